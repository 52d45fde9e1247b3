"""Size against time: k features for a time t, or 2k for half of it? And what one formula says about both and data.

Random features that are trained at one rate learn k times as fast, so their loss depends on k t until k is felt. Where
that is, the exact loss says; random features of handwritten digits and small networks are measured beside it. Then the
same formula along size, time and data, with label noise: a peak along each. A small version of
`regimes reproduce scale-time` and `regimes reproduce phenomena`. Run with
`uv run python examples/15_scale_and_time.py [folder]`; the figures go to example-output/.
"""

import sys
from pathlib import Path

from regimes import phenomena, scale_time, work_plots

equivalence = scale_time.run(data="digits", quick=True, steps=100)
print(equivalence)
found = phenomena.run(data="gaussian", quick=True, draws=8, seeds=2, steps=200)
print(found)

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output")
out.mkdir(parents=True, exist_ok=True)
work_plots.scale_time(equivalence).savefig(out / "15_scale_and_time.png", dpi=150)
work_plots.phenomena(found).savefig(out / "15_phenomena.png", dpi=150)

for measured, expected in zip(equivalence.features[0].breaks, equivalence.features[0].expected, strict=True):
    assert 0.5 < measured.value / expected < 2, "the equivalence ends where the exact loss says, within a factor 2"
assert all(abs(line.first_order_excess - 1) < 0.1 for line in equivalence.lines), "by as much as to first order"
assert equivalence.networks[0].equivalence < equivalence.networks[0].additive, "a sum of powers is further off"
peaks = [one for one in found.findings if one.what.startswith("double descent")]
assert len(peaks) == 6, "a rise and a fall along size, data and time"
assert all(one.measured.low > 1 for one in peaks), "measured too"
