"""Does the tangent kernel at the start predict what a trained network loses, or that after training?

Networks of two widths are trained on digits. Their losses are predicted by gradient flow in the kernel at the start, by
theory from that kernel's spectrum, and by the kernel after training. Run with
`uv run python examples/14_initial_or_final_kernel.py [figure.png]`; the figure goes to
example-output/14_initial_or_final_kernel.png.
"""

import sys
from pathlib import Path

from regimes import network_plots, tangent_kernels

found = tangent_kernels.run(quick=True)
print(found)

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/14_initial_or_final_kernel.png")
out.parent.mkdir(parents=True, exist_ok=True)
network_plots.tangent_kernels(found).savefig(out, dpi=150)

narrow, wide = found.widths
ratios = {one.source: one.ratio.value for one in wide.predictions}
assert abs(ratios["initial kernel"] - 1) < 0.15
assert narrow.movement.value > 2 * wide.movement.value  # the narrow network learns features
assert narrow.kernels[1].leading.value > narrow.kernels[0].leading.value  # and they are those of the target
