"""Data and width each rule a corner of one map, and label noise takes over where a formula in n alone says.

Run with `uv run python examples/03_phase_map.py [figure.png]`; the figure goes to example-output/03_phase_map.png.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import regimes as rg

ALPHA, BETA, NOISE = 0.7, 1.5, 0.01
power_law = rg.spectra.power_law(ALPHA, BETA, modes=1e8)
network = rg.spectra.sphere(rg.profiles.ntk(depth=1), 5)
maps = {
    "power law, α = 0.7, β = 1.5, noise 0.01, ridge 0.001": rg.phases.phase_map(power_law, noise=NOISE, ridge=1e-3),
    "ReLU NTK on the sphere S⁵, noise 1, ridge 0.1": rg.phases.phase_map(network, noise=1.0, ridge=0.1),
}

figure = Figure(figsize=(10.4, 4.4), layout="constrained")
panels = figure.subplots(1, 2)
for ax, (title, found) in zip(panels, maps.items(), strict=True):
    print(f"{title}\n{found}\n")
    rg.plots.phase_map(found, ax=ax)
    ax.set_title(title, fontsize=10)
panels[0].get_legend().remove()  # both maps have the same phases
panels[1].set_ylabel("")

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/03_phase_map.png")
out.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(out, dpi=150)

for title, found in maps.items():
    assert found.phase[10, -1] == "data", title  # few samples, many features
    assert found.phase[-1, 10] == "width", title
    assert set(found.fractions) == {"data", "width", "interpolation", "noise", "ridge"}, title
law = maps["power law, α = 0.7, β = 1.5, noise 0.01, ridge 0.001"]
widest = law.phase[:, -1]
begins = law.surface.n[np.argmax(widest == "noise")]
crossover = rg.asymptotics.noise_crossover(ALPHA, BETA, noise=NOISE)
print(f"at the largest width noise rules from n = {begins:.0f}; asymptotics.noise_crossover: {crossover:.0f}")
assert 1 / 1.5 < begins / crossover < 1.5
