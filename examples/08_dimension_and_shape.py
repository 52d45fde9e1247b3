"""Exponents of networks depend on the dimension of the data, as 4/d says, and hardly on the shape of the network.

Students learn random relu teachers, from inputs of 2 and of 4 dimensions; then students of three depths and widths
learn from inputs of 3. The spectrum of the NTK of the same architecture predicts an exponent for each. These are small
versions of `regimes network resolution` and `regimes network aspect`. Run with `uv run python
examples/08_dimension_and_shape.py [folder]`; the figures go to example-output/.
"""

import sys
from pathlib import Path

import regimes as rg

dimension = rg.teacher_student.run(quick=True, seed=1)
shape = rg.aspect_ratio.run(quick=True, seed=3)
print(dimension)
print(shape)
at, ratios = shape.matched()
print(f"loss at {at:.0f} parameters over that of one hidden layer: two {ratios[2]}, three {ratios[3]}")

out = Path(sys.argv[1] if len(sys.argv) > 1 else "example-output")
out.mkdir(parents=True, exist_ok=True)
rg.network_plots.teacher_student(dimension).savefig(out / "08_dimension.png", dpi=150)
rg.network_plots.aspect_ratio(shape).savefig(out / "08_shape.png", dpi=150)

flat, deep = dimension.dimensions  # d = 2 and d = 4
for name in ("network_n", "network_k", "kernel_n", "kernel_k", "spectrum_n", "spectrum_k"):
    assert flat.exponents()[name].value > deep.exponents()[name].value, name  # the more dimensions, the slower
assert abs(flat.student.value - 2) < 0.3, "the activations have the dimension of the inputs"
assert abs(deep.student.value - 4) < 0.6
assert flat.diverged == deep.diverged == 0
for depth in (2, 3):
    assert shape.in_n(depth, 32).value > shape.in_n(depth, 8).value + 0.2, "wide students go on where narrow ones stop"
kernel = [one.measured_exponent.value for one in shape.kernels]
assert max(kernel) / min(kernel) < 1.15, "the kernel of every depth has nearly the same exponent"
assert all(shape.in_width(depth).value > 0.3 for depth in (1, 2, 3)), "many samples: wider is better"
