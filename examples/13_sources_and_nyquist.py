"""Why does a learner err, and how many samples would be enough? Rosenfeld's error sources and Nyquist learners.

The loss of random features is split into noise, realizability, uncertainty and deficiency: in theory from the spectrum,
and from measurements that know nothing of it. Then a target with a band of 64 spherical harmonics is learnt to the last
digit from 64 samples by the learner that has this band, and by a power law by a kernel that has all harmonics.
Run with `uv run python examples/13_sources_and_nyquist.py [figure.png]`; the figure goes to
example-output/13_sources_and_nyquist.png.
"""

import sys
from pathlib import Path

import numpy as np

from regimes import budgets, nyquist_learners, sources, work_plots

n, k, ridge, noise = 128, 64, 0.01, 0.1
task = budgets.Gaussian([n], [k], noise, seed=0)
cells = [budgets.trial(task, number, ridge, time=100.0) for number in range(12)]
measured = budgets.of_trials(
    [cell["limit"][0] for cell in cells],
    [cell["tried"][0, 0] for cell in cells],
    [cell["own"][0, 0, 0] for cell in cells],
    whole=np.array([cell["whole"] for cell in cells]),
)
predicted = sources.budget(task.spectrum, n, k, ridge, noise)
print(f"{n} samples, {k} features: predicted {predicted}")
for part, found in measured.parts.items():
    print(f"  {part}: measured {budgets.said(found)}, predicted {getattr(predicted, part):.3g}")

result = nyquist_learners.run(domains=("circle", "sphere"), reach=8, trials=6)
print(result)

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/13_sources_and_nyquist.png")
out.parent.mkdir(parents=True, exist_ok=True)
work_plots.nyquist_learners(result).savefig(out, dpi=150)

assert sum(found.value for found in measured.parts.values()) - measured.loss.value < 1e-12
for part, found in measured.parts.items():
    wide = 2 * (found.high - found.value)
    assert abs(found.value - getattr(predicted, part)) < wide
limited = next(one for one in result.cases if one.domain == "sphere" and one.learner == "limited" and not one.noise)
assert limited.rate == limited.complete == 64
assert limited.drop > 6
unlimited = next(one for one in result.cases if one.domain == "sphere" and one.learner == "unlimited")
assert unlimited.typical[-1] > 1e-4
assert abs(unlimited.exponent.value / unlimited.predicted_exponent - 1) < 0.2
