"""A joint law of data and size: fitted to the small corner of a grid of losses, asked about the large one, inverted.

Random features of a power-law spectrum at the best ridge, exactly: Rosenfeld's law fits n up to 256 and k up to 128
within a per cent and is a tenth off beyond, theory as a law is right everywhere. Then both say which n and k reach a
loss that the corner does not. `regimes reproduce joint` adds random features on digits and trained networks. Run with
`uv run python examples/11_joint_law.py [figure.png]`; the figure goes to example-output/11_joint_law.png.
"""

import sys
from pathlib import Path

from regimes import joint_law, work_plots

result = joint_law.run(surfaces=("theory", "noisy-theory"), quick=True)
print(result)

figure = work_plots.joint_law(result)
out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/11_joint_law.png")
out.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(out, dpi=150)

for surface in result.surfaces:
    assert surface.of("rosenfeld").inside.spread.value < 0.02, "Rosenfeld's law fits its corner"
    assert surface.of("tuned-theory").outside.worst < 1e-4, "theory as a law extrapolates theory"
quiet, noisy = (surface.of("rosenfeld").outside.spread.value for surface in result.surfaces)
assert 0.05 < quiet < 0.2, "beyond its corner it is a tenth off"
assert noisy < quiet, "and less with noise, which no configuration removes"
reached = {one.law: one.difference for one in result.surfaces[0].inversions if one.design == "cheapest"}
assert abs(reached["tuned-theory"]) < 0.01, "the loss asked for is the loss that one gets"
