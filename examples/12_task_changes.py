"""Fewer classes, noisy labels, noisy inputs: which of them changes the exponent, and does the kernel know?

Digits are changed in three ways; for each, alpha, beta and the exponent of the loss are predicted from the Gram matrix
of the network's kernel, and measured in kernel regression and in trained networks. Run with `uv run python
examples/12_task_changes.py [figure.png]`; the figure goes to example-output/12_task_changes.png.
"""

import sys
from pathlib import Path

from regimes import network_plots, task_changes
from regimes.task_changes import Change

changes = [Change("superclasses", 2), Change("label noise", 0.5), Change("input noise", 1.5)]
result = task_changes.run("digits", changes=changes, n=[32, 96, 288], width=64, steps=120, seeds=2, trials=6)
print(result)

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/12_task_changes.png")
out.parent.mkdir(parents=True, exist_ok=True)
network_plots.task_changes(result).savefig(out, dpi=150)

before, merged, noisy_labels, noisy_inputs = result.rows
assert abs(merged.kernel.value - before.kernel.value) < 0.12  # classes: the exponent stays
assert noisy_inputs.kernel.value < 0.5 * before.kernel.value  # inputs: it falls
for row in result.rows:
    assert abs(row.predicted.value - row.kernel.value) < 0.1  # and the spectrum says so beforehand
