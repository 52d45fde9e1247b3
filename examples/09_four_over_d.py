"""The 4/d rule: exponents of networks in n and in parameters for inputs of 2 and 4 dimensions, beside their kernel.

Students learn random relu teachers. How fast their loss falls depends on the dimension of the inputs, which is also
measured on the activations; the spectrum of the NTK of the same architecture predicts an exponent too. This is a small
version, with two teachers; `regimes network resolution` runs the larger one. Run with
`uv run python examples/09_four_over_d.py [figure.png]`; the figure goes to example-output/09_four_over_d.png.
"""

import sys
from pathlib import Path

import regimes as rg

result = rg.teacher_student.run(quick=True, seed=1)
print(result)

figure = rg.network_plots.teacher_student(result)
out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/09_four_over_d.png")
out.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(out, dpi=150)

flat, deep = result.dimensions  # d = 2 and d = 4
for name in ("network_n", "network_k", "kernel_n", "kernel_k", "spectrum_n", "spectrum_k"):
    assert flat.exponents()[name].value > deep.exponents()[name].value, name  # the more dimensions, the slower
assert abs(flat.student.value - 2) < 0.3, "the activations have the dimension of the inputs"
assert abs(deep.student.value - 4) < 0.6
assert flat.diverged == deep.diverged == 0
