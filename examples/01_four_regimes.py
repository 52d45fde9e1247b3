"""On a three-dimensional torus, the four regimes have the exponents that the spectrum of the kernel predicts.

Run with `uv run python examples/01_four_regimes.py`; the figure goes to example-output/01_four_regimes.png.
"""

from pathlib import Path

import regimes as rg

task = rg.tasks.torus(1600, dim=3, seed=0)
model = rg.kernels.fully_connected(depth=1, kind="ntk")
result = rg.four_regimes(task, model, "prior", trials=6, seed=0)
print(result)

out = Path("example-output")
out.mkdir(exist_ok=True)
rg.plots.four_regimes(result.comparisons).savefig(out / "01_four_regimes.png")

for one in result.comparisons:
    assert one.difference < 0.1, f"{one.regime}: losses differ by {one.difference:.1%}"
    gap = abs(one.measured_exponent.value - one.predicted_exponent.value)
    assert one.exponent_agrees or gap < 0.05, f"{one.regime}: {one.verdict}"
