"""What a linear probe on an embedding will lose in all four regimes, and which changes of its task change that.

A small network is trained on a third of a task, and frozen. From the covariance of its last layer on other samples the
loss of regression on k random projections and n labels is predicted, across the resonance at n = k, and measured. Then
digits are changed in three ways, and what that does to the exponent is predicted from the Gram matrix. Run with `uv run
python examples/09_features_and_tasks.py [folder]`; the figures go to example-output/.
"""

import sys
from pathlib import Path

import numpy as np

from regimes import frozen, frozen_features, network_plots, task_changes
from regimes.task_changes import Change

# An embedding of your own goes to run(array or file, targets=...) instead.
features = frozen.pretrained("teacher-student", width=192, steps=200, samples=4500)
probe = frozen_features.run(features.features, targets=features.targets, trials=4)
print(features.description)
print(probe)
for check in probe.checks:
    print(f"{check.what}: expected {check.expected}, found {check.found}")

changes = [Change("superclasses", 2), Change("label noise", 0.5), Change("input noise", 1.5)]
changed = task_changes.run("digits", changes=changes, n=[32, 96, 288], width=64, steps=120, seeds=2, trials=6)
print(changed)

out = Path(sys.argv[1] if len(sys.argv) > 1 else "example-output")
out.mkdir(parents=True, exist_ok=True)
network_plots.frozen_features(probe).savefig(out / "09_features.png", dpi=150)
network_plots.task_changes(changed).savefig(out / "09_tasks.png", dpi=150)

assert probe.error < 0.2
assert probe.loss_error < 0.1
for one in probe.comparisons:
    if one.task == "no ridge" and one.regime.startswith("variance"):
        assert abs(one.measured_exponent.value - 1) < 0.2
low, _, tuned = probe.resonance[:3]
assert low.measured.loss.max() > 1.5 * low.measured.loss[-1]  # the resonance
assert np.all(np.diff(tuned.predicted.loss) < 0)  # which the best ridge removes
before, merged, _, noisy_inputs = changed.rows
assert abs(merged.kernel.value - before.kernel.value) < 0.12  # classes merged: the exponent stays
assert noisy_inputs.kernel.value < 0.5 * before.kernel.value  # noise on the inputs: it falls
for row in changed.rows:
    assert abs(row.predicted.value - row.kernel.value) < 0.1  # and the spectrum says so beforehand
