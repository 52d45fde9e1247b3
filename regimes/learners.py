"""Training functions for the method of `hestness`: random features with the best ridge, and networks.

Each is made for a task, whose last samples become the validation set, and is called with (rows, size, seed).
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from regimes import _checks, hestness, kernels, networks, optima, tasks, training
from regimes.results import Estimate
from regimes.spectrum import Spectrum

Array = np.ndarray
_RIDGES = 61


class Learner(NamedTuple):
    """A way to train, ready for [procedure][regimes.hestness.procedure]."""

    train: Callable[[Array, int, int], float]
    """From (rows, size, seed) to the validation loss."""
    samples: int
    """Rows of the training set."""
    description: str
    """What is trained on what."""


def random_features(
    task: tasks.Task, model: kernels.Model, *, validation: int | None = None, noise: float = 0.0, seed: int = 0
) -> Learner:
    """Ridge regression on `size` random features of a model, with the ridge that is best on the validation set.

    Args:
        task: inputs and targets.
        model: what the features are drawn from.
        validation: samples set aside; a quarter by default.
        noise: variance of label noise to add.
        seed: of the noise.

    Raises:
        ValueError: a task without targets, too few samples.
    """
    y, held = _targets(task, validation)
    y = tasks.with_noise(y, noise, seed) if noise else y
    x, count = task.x, len(y) - held

    def train(rows: Array, size: int, drawn: int) -> float:
        both = np.concatenate([rows, np.arange(count, len(y))])
        features = model.features(x[both], size, drawn) / math.sqrt(size)
        return _best_ridge(features[: len(rows)], y[rows], features[len(rows) :], y[count:])

    return Learner(train, count, f"random features of {model} on {task.name}, the best ridge of each")


def gaussian(spectrum: Spectrum, samples: int, *, noise: float = 0.0) -> Learner:
    """The theory's own model: Gaussian inputs with this spectrum, `size` random projections of them, the best ridge.

    The loss is exact, over all inputs that there could be, as is the best ridge; all samples come from the rows' own
    seeds, so that shards are nested.

    Args:
        spectrum: listed modes; multiplicities are written out.
        samples: rows of the training set.
        noise: variance of the label noise.

    Raises:
        ValueError: more than 20,000 modes, or a tail, which has no list of modes; samples or noise out of range.
    """
    if not spectrum.modes <= 20_000:
        raise ValueError(f"`spectrum` must have at most 20,000 modes and no tail, got {spectrum.modes:g}.")
    samples, noise = _checks.count("samples", samples), _checks.number("noise", noise, low=0)
    count = np.round(spectrum.multiplicity).astype(np.int64)
    lam = np.repeat(spectrum.eigenvalues, count)
    weights = np.sqrt(np.repeat(spectrum.power / spectrum.multiplicity, count))

    def train(rows: Array, size: int, drawn: int) -> float:
        # One sample per row, the same whatever the shard; the teacher's signs belong to the seed.
        z = np.stack([np.random.default_rng([7, int(row)]).standard_normal(len(lam) + 1) for row in rows])
        rng = np.random.default_rng([drawn, size])
        teacher = weights * rng.choice([-1.0, 1.0], len(lam))
        y = z[:, :-1] @ teacher + math.sqrt(noise) * z[:, -1]
        projection = np.sqrt(lam)[:, None] * rng.standard_normal((len(lam), size)) / math.sqrt(size)
        u, s, vt = linalg.svd(z[:, :-1] @ projection, full_matrices=False)
        scores, against = u.T @ y, projection @ vt.T

        def loss(ridge: float) -> float:
            missed = teacher - against @ (s / (s**2 + ridge) * scores)
            return float(missed @ missed) + noise

        ridges = np.geomspace(1e-10, 1e3, _RIDGES) * max(float(s[0] ** 2), 1e-300)
        return min(loss(ridge) for ridge in ridges)

    return Learner(train, samples, f"random projections of {len(lam)} Gaussian modes, the best ridge of each")


def network(
    task: tasks.Task,
    model: kernels.Model,
    *,
    validation: int | None = None,
    classes: bool = False,
    **options: Any,
) -> Learner:
    """A network of width `size`, trained with early stopping on the validation set.

    Args:
        task: inputs and targets; for classes, targets that tell them apart by their largest column.
        model: the architecture.
        validation: samples set aside; a quarter by default.
        classes: train with cross-entropy and return the cross-entropy; else the mean squared error of both.
        options: of [train][regimes.training.train], such as steps, optimiser and rate.

    Raises:
        ValueError: a task without targets, too few samples; options that `train` refuses.
    """
    y, held = _targets(task, validation)
    labels = np.argmax(y, axis=1) if classes else y
    count, outputs = len(y) - held, y.shape[1]
    settings: dict[str, Any] = {"steps": 1000, "early_stopping": True, "loss": "cross-entropy" if classes else "mse"}
    settings |= options

    def train(rows: Array, size: int, drawn: int) -> float:
        made = networks.network(model, size, outputs=outputs)
        test = (task.x[count:], labels[count:])
        found = training.train(made, task.x[rows], labels[rows], test=test, seeds=[drawn], keep=False, **settings)
        return float(np.nanmin(found.test_loss))

    return Learner(train, count, f"networks of the architecture of {model} on {task.name}, stopped early")


def predicted(
    spectrum: Spectrum, n: Any, sizes: Any, *, noise: float = 0.0, tolerance: float = 0.2, floor: float | None = None
) -> hestness.Hestness:
    """What the theory says of random features with the best ridge, read as the measurements are.

    For power laws with noise beta_g = -b/(1+b), b = min(beta, 2(1+alpha)), and beta_p = 1/(1+beta) for
    beta <= 1+alpha; over a finite window of n both are the slopes of that window.

    Args:
        spectrum: kernel and target.
        n: sizes of the shards.
        sizes: numbers of features.
        noise: variance of the label noise.
        tolerance: share of the reducible loss that an adequate model may lose.
        floor: the irreducible loss; fitted, as from measurements, by default.
    """
    shards, offered = (_checks.finite_array(name, value, ndim=1) for name, value in (("n", n), ("sizes", sizes)))
    losses = np.asarray(optima.optimal_ridge(spectrum, shards[:, None], offered, noise).loss)
    found = hestness.analyse(shards, offered, losses, floor=floor, tolerance=tolerance, source="predicted")

    def exact(one: Estimate) -> Estimate:
        return Estimate.exact(one.value, one.method.removesuffix(", one repeat"))

    return dataclasses.replace(found, beta_g=exact(found.beta_g), beta_p=exact(found.beta_p))


def _targets(task: tasks.Task, validation: int | None) -> tuple[Array, int]:
    if task.y is None:
        raise ValueError(f"`task` {task.name} has no targets to learn.")
    size = len(task.y)
    held = size // 4 if validation is None else _checks.count("validation", validation)
    if size - held < 8:
        raise ValueError(f"`validation` of {held} leaves {size - held} of {size} samples to train on.")
    return task.y, held


def _best_ridge(features: Array, y: Array, test: Array, y_test: Array) -> float:
    """Smallest mean squared error over ridges, all from one decomposition."""
    u, s, vt = linalg.svd(features, full_matrices=False)
    scores, against = u.T @ y, test @ vt.T
    ridges = np.geomspace(1e-10, 1e3, _RIDGES) * max(float(s[0] ** 2), 1e-300)
    losses = [np.mean(np.sum((y_test - against @ ((s / (s**2 + r))[:, None] * scores)) ** 2, axis=1)) for r in ridges]
    return float(min(losses))
