"""From embeddings to a data budget: how many labels until a linear probe errs by less than a target?

A small network is trained on a third of the digits and then frozen. Its hidden layer is the embedding of the others,
of which a few hundred are labelled. Their losses are predicted for more labels than there are, with a band, and
checked on the images that were held out. Run with `uv run python examples/02_data_budget_from_embeddings.py
[figure.png]`; the figure goes to example-output/02_data_budget.png.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import regimes as rg

task = rg.tasks.digits()
x, y = task.x.reshape(len(task.x), -1), task.y
order = np.random.default_rng(0).permutation(len(x))
pretraining, rest = order[:600], order[600:]

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    network = MLPClassifier((256,), max_iter=12, random_state=0).fit(x[pretraining], y[pretraining].argmax(axis=1))
embedding = np.maximum(x[rest] @ network.coefs_[0] + network.intercepts_[0], 0.0)

# The kernel of a probe that is close to linear: the dot product of normalised embeddings, and its square.
unit = embedding / np.linalg.norm(embedding, axis=1, keepdims=True)
gram = (0.5 + 0.5 * unit @ unit.T) ** 4
labelled = 300
found = rg.forecast.population(gram[:labelled, :labelled], y[rest][:labelled], seed=0)
n = np.unique(np.round(np.geomspace(30, len(rest) - 1, 14)))
forecast = found.curve(n)
measured = rg.ridge.loss_from_training(gram, y[rest], n.astype(int))

print(f"alpha, beta: {rg.exponents(found.spectrum, (8, 75)).alpha}, {rg.exponents(found.spectrum, (8, 75)).beta}")
goal = 0.12
first, last = (np.interp(-goal, -loss, n, right=np.inf) for loss in (forecast.low, forecast.high))
print(f"labels for a loss of {goal}: between {first:.0f} and {last:.0f}")  # inf: more than are looked at
print(f"measured with all {len(rest)}: {measured.loss[-1]:.3f}; predicted from {labelled}: {forecast}")

figure = Figure(figsize=(5, 3.6), layout="constrained")
ax = figure.subplots()
ax.fill_between(n, forecast.low, forecast.high, color="0.85", label="90 % band")
ax.plot(n, forecast.curve.loss, color="tab:blue", label=f"predicted from {labelled} labels")
ax.plot(n, measured.loss, "o", color="black", ms=4, label="leave-one-out, all labels")
ax.axvline(labelled, color="0.5", lw=1, ls=":")
ax.axhline(goal, color="0.5", lw=1, ls="--")
ax.set(xscale="log", yscale="log", xlabel="labelled images n", ylabel="squared error of the one-hot labels")
ax.legend(frameon=False, loc="lower left")
out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/02_data_budget.png")
out.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(out, dpi=150)

held = n > labelled
assert np.median(np.abs(forecast.curve.loss[held] / measured.loss[held] - 1)) < 0.2
assert np.mean((forecast.low <= measured.loss) & (measured.loss <= forecast.high)) > 0.6
