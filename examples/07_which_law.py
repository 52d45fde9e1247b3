"""Which law do measured losses follow, what comes next, what does a target cost, and which regime is this?

The losses of kernel regression on handwritten digits are measured at 16 sizes; the eleven smaller ones are a table
such as anybody has. Four questions are put to it, and the answers are checked on the sizes that were kept back. Run
with `uv run python examples/07_which_law.py [figure.png]`; the figure goes to example-output/07_which_law.png.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

import regimes as rg

task = rg.tasks.digits()
gram = rg.kernels.fully_connected(depth=2, kind="ntk")(task.x)
n = np.unique(np.round(np.geomspace(20, 1790, 16)).astype(int))
measured = rg.ridge.loss_from_training(gram, task.y, n)
table = pd.DataFrame({"n": measured.at, "loss": measured.loss})
known = table[table["n"] <= 400]

(curve,) = rg.curves.read(known)
found = rg.curve_fits.analyse(curve, seed=0)
for rank in found.ranks:
    print(f"{rank.law:17s} held-out error of the log loss {rank.error.value:.3f}")
print(found.fit)

later = table[table["n"] > 400]
forecast = found.forecast(later["n"].to_numpy())
for at, loss, low, high, truth in zip(*forecast[:4], later["loss"], strict=True):
    print(f"n = {at:4.0f}: forecast {loss:.4f} [{low:.4f}, {high:.4f}], measured {truth:.4f}")

target = float(later["loss"].iloc[-1])
plans = dict(found.plans(target))
for law, plan in plans.items():
    print(f"{law}: {plan}")

(line,) = curve.lines({"ridge": 0.0})
verdict = rg.classify.classify(line, seed=0)
print(verdict)

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/07_which_law.png")
out.parent.mkdir(parents=True, exist_ok=True)
rg.plots.fits([found]).savefig(out, dpi=150)

miss = np.abs(np.log(forecast.loss / later["loss"].to_numpy()))
assert np.median(miss) < 0.12
assert np.mean((forecast.low <= later["loss"]) & (later["loss"] <= forecast.high)) > 0.6
assert abs(np.log(plans[found.fit.law.name].scales["n"].value / later["n"].iloc[-1])) < 1
