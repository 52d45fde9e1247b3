"""How far a trained network is from its infinite width: the loss by 1/width, and the kernel by what it has learnt.

Small erf networks learn even against odd digits, each start paired with its mirror image and with the linearised
network: three excesses over the limit fall as 1/width or 1/n, and two losses for which the theorem does not hold.
Then networks of two widths learn digits, and their losses are predicted from the tangent kernel before and after
training. Run with `uv run python examples/10_near_the_limit.py [folder]`; the figures go to example-output/.
"""

import sys
from pathlib import Path

from regimes import network_plots, network_variance, tangent_kernels

variance = network_variance.run(quick=True)
kernels = tangent_kernels.run(quick=True)
print(variance)
print(kernels)

out = Path(sys.argv[1] if len(sys.argv) > 1 else "example-output")
out.mkdir(parents=True, exist_ok=True)
network_plots.network_variance(variance).savefig(out / "10_variance.png", dpi=150)
network_plots.tangent_kernels(kernels).savefig(out / "10_kernels.png", dpi=150)

by_name = {(one.case.architecture, one.quantity): one for one in variance.measurements}
for quantity in ("the linearised network", "the mean of the ensemble", "the whole pool"):
    one = by_name["erf", quantity]
    assert 1.0 in one.exponent, str(one)
    assert abs(one.exponent.value - 1) < 0.35, str(one)
assert all(abs(one.exponent.value - one.expected) < 0.1 for one in variance.failures)
# Trained for 1000 steps, a linear model with rare large inputs has a mean loss beyond all bounds on 128 samples.
assert variance.divergence[variance.divergence_n < 200, 1].min() > 1e100

narrow, wide = kernels.widths
ratios = {one.source: one.ratio.value for one in wide.predictions}
assert abs(ratios["initial kernel"] - 1) < 0.15
assert narrow.movement.value > 2 * wide.movement.value  # the narrow network learns features
assert narrow.kernels[1].leading.value > narrow.kernels[0].leading.value  # and they are those of the target
