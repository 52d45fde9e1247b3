"""The variance-limited regime of trained networks: the loss is 1/width, or 1/n, from its limit.

Small erf networks learn even against odd digits, from random starts, each start paired with its mirror image and with
the linearised network. Three excesses are measured, each free of the first-order fluctuation that would drown it, and
two losses for which the theorem does not hold. Run with `uv run python examples/13_variance_limited_networks.py
[figure.png]`; the figure goes to example-output/13_variance_limited_networks.png.
"""

import sys
from pathlib import Path

from regimes import network_plots, network_variance

found = network_variance.run(quick=True)
print(found)

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/13_variance_limited_networks.png")
out.parent.mkdir(parents=True, exist_ok=True)
network_plots.network_variance(found).savefig(out, dpi=150)

by_name = {(one.case.architecture, one.quantity): one for one in found.measurements}
for quantity in ("the linearised network", "the mean of the ensemble", "the whole pool"):
    one = by_name["erf", quantity]
    assert 1.0 in one.exponent, str(one)
    assert abs(one.exponent.value - 1) < 0.35, str(one)
assert all(abs(one.exponent.value - one.expected) < 0.1 for one in found.failures)
# Trained for 1000 steps, a linear model with rare large inputs has a mean loss beyond all bounds on 128 samples.
assert found.divergence[found.divergence_n < 200, 1].min() > 1e100
