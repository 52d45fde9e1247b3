"""Depth or width? Exponents in n of students of three depths and widths, and the loss for a number of parameters.

A narrow student stops learning where a wide one goes on, so the exponent in n rises with width until it saturates near
that of the kernel, which hardly knows about depth. This is a small version; `regimes network aspect` runs the larger
one. Run with `uv run python examples/10_depth_or_width.py [figure.png]`; the figure goes to
example-output/10_depth_or_width.png.
"""

import sys
from pathlib import Path

import regimes as rg

result = rg.aspect_ratio.run(quick=True, seed=3)
print(result)
at, ratios = result.matched()
print(f"loss at {at:.0f} parameters over that of one hidden layer: two {ratios[2]}, three {ratios[3]}")

figure = rg.network_plots.aspect_ratio(result)
out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/10_depth_or_width.png")
out.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(out, dpi=150)

for depth in (2, 3):
    assert result.in_n(depth, 32).value > result.in_n(depth, 8).value + 0.2, "wide students go on"
kernel = [one.measured_exponent.value for one in result.kernels]
assert max(kernel) / min(kernel) < 1.15, "the kernel of every depth has nearly the same exponent"
assert all(result.in_width(depth).value > 0.3 for depth in (1, 2, 3)), "many samples: wider is better"
