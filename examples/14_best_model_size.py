"""How large should the model be for so much data? Hestness' method with a training function of your own.

The task is the next character of Shakespeare's sonnets from the three before it. The model is a table of embeddings
made of random cosines, and a linear readout with a ridge: twenty lines of NumPy, as any training function could be. It
returns its losses at several ridges, of which the procedure chooses one for each amount of data and size of model. Then
the theory's own Gaussian model, where both exponents are predicted before anything is measured.
Run with `uv run python examples/14_best_model_size.py [figure.png]`; the figure goes to
example-output/14_best_model_size.png.
"""

import sys
from pathlib import Path

import numpy as np

from regimes import hestness, model_growth, tasks, work_plots

task = tasks.characters(3000, context=3)
train_rows, held = task.split(1000, seed=0)  # whole sonnets are set aside
frequencies = 0.5 * np.random.default_rng(1).standard_normal((512, task.x.shape[1])) / np.sqrt(task.x.shape[1])


def train(rows: np.ndarray, size: int, seed: int) -> list[float]:
    """Validation losses of `size` random cosines on these rows, one for each ridge."""
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, size)
    here = train_rows[rows]
    phi, phi_held = (np.cos(task.x[part] @ frequencies[:size].T + phase) / np.sqrt(size) for part in (here, held))
    u, s, vt = np.linalg.svd(phi, full_matrices=False)
    losses = []
    for ridge in np.geomspace(1e-3, 1e3, 13):
        weights = vt.T @ ((s / (s**2 + ridge))[:, None] * (u.T @ task.y[here]))
        losses.append(np.mean(np.sum((task.y[held] - phi_held @ weights) ** 2, axis=1)))
    return losses


mine = hestness.procedure(
    train,
    samples=len(train_rows),
    sizes=[8, 32, 128, 512],
    largest=1024,
    smallest=128,
    repeats=3,
    search="grid",
    paired=True,
    floor=0.0,  # none is seen on so little text
    tolerance=0.02,
    description="random cosines on the sonnets",
)
print(mine)

found = model_growth.run(domain="theory")
print(found)
own = found["theory", "random-features"]
print(f"for ever more data beta_g would be {own.asymptotic[0]:.2f} and beta_p {own.asymptotic[1]:.2f}")

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/14_best_model_size.png")
out.parent.mkdir(parents=True, exist_ok=True)
work_plots.model_growth(found).savefig(out, dpi=150)

assert mine.beta_g.value < -0.01, "the loss falls with data"
assert mine.curve.loss[-1] < 0.95 * np.mean(np.sum(task.y[held] ** 2, axis=1)), "and below that of guessing"
assert own.predicted is not None
assert own.predicted.beta_g.value in own.measured.beta_g
assert own.predicted.beta_p.value in own.measured.beta_p
assert own.measured.beta_p.high < 1, "the model grows less than the data"
