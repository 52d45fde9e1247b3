"""Which networks can be exchanged for which? Pruning over depth and width, one law, and the best network of a size.

Small networks learn digits and lose a fifth of their weights a round. The law is fitted to the smaller half of the
shapes and says the rest; its invariant depth^phi width^psi density says at which density another shape is as good. Run
with `uv run python examples/12_pruning.py [figure.png]`; the figure goes to example-output/12_pruning.png.
"""

import sys
from pathlib import Path

from regimes import pruning, work_plots

found = pruning.run(quick=True, seed=1)
print(found)

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/12_pruning.png")
out.parent.mkdir(parents=True, exist_ok=True)
work_plots.pruning(found).savefig(out, dpi=150)

apart = found.collapse()
print(f"spread of ln m about the law: {apart['invariant']:.2f}; of ln density: {apart['density']:.2f}")
assert apart["invariant"] < apart["density"], "losses collapse against the invariant better than against the density"
assert found.fit.parameters["psi"] > 0, "wider networks bear a lower density"
for one in found.families:
    assert abs(one.loss[2] / one.loss[0] - 1) < 0.15, "a third of the weights costs nothing"
