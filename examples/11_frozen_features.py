"""An embedding as it stands: which regime is a linear probe in, and what would more features or labels bring?

A small network is trained on a third of a task, and frozen. Its last layer is the embedding of the rest. From the
covariance of the embedding, the loss of regression on k random projections and n labels is predicted in all four
regimes and across the resonance at n = k, and measured. Run with `uv run python examples/11_frozen_features.py
[figure.png]`; the figure goes to example-output/11_frozen_features.png.
"""

import sys
from pathlib import Path

import numpy as np

from regimes import frozen, frozen_features, network_plots

# An embedding of your own goes to run(array or file, targets=...) instead.
features = frozen.pretrained("teacher-student", width=192, steps=200, samples=4500)
result = frozen_features.run(features.features, targets=features.targets, trials=4)
print(features.description)
print(result)
for check in result.checks:
    print(f"{check.what}: expected {check.expected}, found {check.found}")

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/11_frozen_features.png")
out.parent.mkdir(parents=True, exist_ok=True)
network_plots.frozen_features(result).savefig(out, dpi=150)

assert result.error < 0.2
assert result.loss_error < 0.1
for one in result.comparisons:
    if one.task == "no ridge" and one.regime.startswith("variance"):
        assert abs(one.measured_exponent.value - 1) < 0.2
low = result.resonance[0]
assert low.measured.loss.max() > 1.5 * low.measured.loss[-1]  # the resonance
tuned = result.resonance[2]
assert np.all(np.diff(tuned.predicted.loss) < 0)  # which the best ridge removes
