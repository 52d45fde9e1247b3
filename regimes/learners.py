"""Training functions for the method of `hestness`: kernels, random features, networks, and the theory's own model.

Each is made for a task, of which a part is set aside for validation, and is called with (rows, size, seed). Those with
a ridge return the losses of many, a factor of 1.47 apart, of which `hestness` chooses one for each (n, size).
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
RIDGES = np.geomspace(1e-9, 10, 61)
"""Ridges that are tried, in units of n times the trace of the kernel."""


class Learner(NamedTuple):
    """A way to train, ready for [procedure][regimes.hestness.procedure]."""

    train: Callable[[Array, int, int], Any]
    """From (rows, size, seed) to the validation loss, or to one for each ridge."""
    samples: int
    """Rows of the training set."""
    description: str
    """What is trained on what."""
    limit: Callable[[Array, int], Any] | None = None
    """From (rows, seed) to the losses of an infinitely large model; None where it is not known."""


def kernel(
    task: tasks.Task, model: kernels.Model, *, validation: int | None = None, noise: float = 0.0, seed: int = 0
) -> Learner:
    """Ridge regression with the kernel itself: infinitely many features, so that the size is not looked at.

    Gram matrices are of the rows in use, and never of the whole task.

    Args:
        task: inputs and targets.
        model: the kernel.
        validation: samples set aside, drawn at random region by region; a quarter by default.
        noise: variance of label noise to add.
        seed: of the division and the noise.

    Raises:
        ValueError: a task without targets, too few samples.
    """
    y, clean, index, test = _divided(task, validation, noise, seed)
    trace = _trace(model, task.x)

    def train(rows: Array, size: int, drawn: int) -> Array:
        rows = index[rows]
        values, vectors = linalg.eigh(model(task.x[rows]))
        scores, against = vectors.T @ y[rows], model(task.x[test], task.x[rows]) @ vectors
        inverse = [1 / (np.maximum(values, 0) + ridge) for ridge in RIDGES * len(rows) * trace]
        return np.array([_error(clean[test], against @ (one[:, None] * scores)) for one in inverse]) + noise

    return Learner(train, len(index), f"kernel of {model} on {task.name}")


def random_features(
    task: tasks.Task,
    model: kernels.Model,
    *,
    validation: int | None = None,
    noise: float = 0.0,
    most: int = 256,
    width: int = 16,
    seed: int = 0,
) -> Learner:
    """Ridge regression on `size` random features of a model; with the same seed, the first of any more.

    Args:
        task: inputs and targets.
        model: what the features are drawn from.
        validation: samples set aside, drawn at random region by region; a quarter by default.
        noise: variance of label noise to add.
        most: features to draw at once, best as many as will be asked for at most.
        width: units in each hidden layer of the random networks; see [features][regimes.kernels.Model.features].
        seed: of the division and the noise.

    Returns:
        A learner, with the kernel itself as its limit where there is one hidden layer.

    Raises:
        ValueError: a task without targets, too few samples.
    """
    y, clean, index, test = _divided(task, validation, noise, seed)
    most, width = _checks.count("most", most), _checks.count("width", width)
    drawn_last: dict[int, Array] = {}  # features of the last seed: drawing them takes longer than regression on few

    def train(rows: Array, size: int, drawn: int) -> Array:
        features = drawn_last.get(drawn)
        if features is None or features.shape[1] < size:
            features = model.features(task.x, max(size, most), drawn, width=width)
            drawn_last.clear()
            drawn_last[drawn] = features
        phi = features[:, :size] / math.sqrt(size)
        trace = float(np.mean(np.sum(features**2, axis=1))) / features.shape[1]
        rows = index[rows]
        return _losses(phi[rows], y[rows], trace, phi[test], clean[test]) + noise

    whole = kernel(task, model, validation=validation, noise=noise, seed=seed).train

    def limit(rows: Array, drawn: int) -> Array:
        return whole(rows, 1, drawn)

    # Features of deeper networks, or with pooling, have the kernel of their finite width.
    hidden = [layer.name for layer in model.layers if layer.name not in kernels.ACTIVATIONS]
    if len(hidden) > 1:
        return Learner(train, len(index), f"random features of {model} on {task.name}")
    return Learner(train, len(index), f"random features of {model} on {task.name}", limit)


def gaussian(spectrum: Spectrum, samples: int, *, noise: float = 0.0) -> Learner:
    """The theory's own model: Gaussian inputs with this spectrum, `size` random projections of them, and ridges.

    The loss is exact, over all inputs that there could be. A seed draws a population of its own: a teacher, samples
    and projections, all the same for all sizes and shards. So shards are nested where `procedure` pairs its runs, and
    repeats are independent.

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
    drawn_last: dict[int, tuple[Array, Array, Array, Array, Array]] = {}

    def population(drawn: int, size: int) -> tuple[Array, Array, Array, Array, Array]:
        """Teacher, all labels, projections (modes, size), projected samples without 1/sqrt(size), and the samples."""
        found = drawn_last.get(drawn)
        if found is None or found[2].shape[1] < size:
            z = np.random.default_rng([drawn, 1]).standard_normal((samples, len(lam) + 1))
            teacher = weights * np.random.default_rng([drawn, 2]).choice([-1.0, 1.0], len(lam))
            y = z[:, :-1] @ teacher + math.sqrt(noise) * z[:, -1]
            projections = np.sqrt(lam)[:, None] * np.random.default_rng([drawn, 3]).standard_normal((size, len(lam))).T
            found = (teacher, y, projections, z[:, :-1] @ projections, z[:, :-1])
            drawn_last.clear()
            drawn_last[drawn] = found
        return found

    def train(rows: Array, size: int, drawn: int) -> Array:
        teacher, y, projections, projected, _ = population(drawn, size)
        scale = math.sqrt(size)
        return missed(teacher, y[rows], projected[rows, :size] / scale, lambda vt: projections[:, :size] @ vt.T / scale)

    def limit(rows: Array, drawn: int) -> Array:
        teacher, y, *_, z = population(drawn, 1)
        return missed(teacher, y[rows], z[rows] * np.sqrt(lam), lambda vt: np.sqrt(lam)[:, None] * vt.T)

    def missed(teacher: Array, y: Array, features: Array, back: Callable[[Array], Array]) -> Array:
        """Losses for all ridges; `back` takes weights of the features to weights of the modes."""
        if len(features) > features.shape[1]:  # several times faster than by singular values
            squares, v = linalg.eigh(features.T @ features)
            squares, scores, vt = np.maximum(squares, 0), v.T @ (features.T @ y), v.T
            filtered = scores / (squares + (RIDGES * len(y) * spectrum.trace)[:, None])
        else:
            u, s, vt = linalg.svd(features, full_matrices=False)
            filtered = s * (u.T @ y) / (s**2 + (RIDGES * len(y) * spectrum.trace)[:, None])
        wrong = teacher[:, None] - back(vt) @ filtered.T
        return np.asarray(np.sum(wrong**2, axis=0) + noise)

    return Learner(train, samples, f"random projections of {len(lam)} Gaussian modes", limit)


def network(
    task: tasks.Task,
    model: kernels.Model,
    *,
    validation: int | None = None,
    classes: bool = False,
    centred: bool = True,
    noise: float = 0.0,
    seed: int = 0,
    **options: Any,
) -> Learner:
    """A network of width `size`, trained with early stopping on the validation set.

    With a batch, samples are repeated in turn until they are as many as the largest shard: the mean over them, which is
    descended, is the same up to a share of n/samples, and one compiled program serves all n.

    Args:
        task: inputs and targets; for classes, targets that tell them apart by their largest column.
        model: the architecture.
        validation: samples set aside, drawn at random region by region; a quarter by default.
        classes: train with cross-entropy and return the cross-entropy; else the mean squared error of both.
        centred: subtract the output at the start, so that narrow networks do not begin with a large loss.
        noise: variance of label noise to add, for the mean squared error.
        seed: of the division and the noise.
        options: of [train][regimes.training.train], such as steps, optimiser and rate.

    Raises:
        ValueError: a task without targets, too few samples, noise for classes; options that `train` refuses.
    """
    if classes and noise:
        raise ValueError(f"`noise` is added to values, not to classes, got {noise:g}.")
    y, clean, index, held = _divided(task, validation, noise, seed)
    labels, wanted = (np.argmax(one, axis=1) if classes else one for one in (y, clean))
    outputs = y.shape[1]
    settings: dict[str, Any] = {"steps": 1000, "early_stopping": True, "loss": "cross-entropy" if classes else "mse"}
    settings |= options

    def train(rows: Array, size: int, drawn: int) -> float:
        made = networks.network(model, size, outputs=outputs, centred=centred)
        test = (task.x[held], wanted[held])
        rows = index[rows]
        rows = rows if settings.get("batch") is None else np.resize(rows, max(len(index), settings["batch"]))
        found = training.train(made, task.x[rows], labels[rows], test=test, seeds=[drawn], keep=False, **settings)
        return float(np.nanmin(found.test_loss)) + noise

    loss = "cross-entropy" if classes else "mean squared error"
    return Learner(train, len(index), f"networks of the architecture of {model} on {task.name}, stopped early, {loss}")


def predicted(
    spectrum: Spectrum,
    n: Any,
    sizes: Any = None,
    *,
    noise: float = 0.0,
    tolerance: float = 0.2,
    floor: float | None = None,
    level: float = 0.9,
) -> hestness.Hestness:
    """What the theory says of random features with the best ridge, read as the measurements are.

    For power laws with noise beta_g = -b/(1+b), b = min(beta, 2(1+alpha)), and beta_p = 1/(1+beta) for
    beta <= 1+alpha; over a finite window of n both are the slopes of that window.

    Args:
        spectrum: kernel and target; with replicates, the exponents get intervals.
        n: sizes of the shards.
        sizes: numbers of features; None for the kernel itself.
        noise: variance of the label noise.
        tolerance: share of the reducible loss that an adequate model may lose.
        floor: the irreducible loss; fitted, as from measurements, by default.
        level: coverage of the intervals.

    Raises:
        ValueError: values out of range, a floor above a predicted loss.
    """
    shards = _checks.finite_array("n", n, ndim=1)
    offered = np.ones(1) if sizes is None else _checks.finite_array("sizes", sizes, ndim=1)
    level = _checks.level(level)

    def read(one: Spectrum) -> hestness.Hestness | None:
        k = np.array([math.inf]) if sizes is None else offered
        losses = np.asarray(optima.optimal_ridge(one, shards[:, None], k, noise).loss)
        limit = None if sizes is None else np.asarray(optima.optimal_ridge(one, shards, math.inf, noise).loss)
        if floor is not None and floor >= min(losses.min(), math.inf if limit is None else limit.min()):
            return None
        return hestness.analyse(
            shards, offered, losses, limit=limit, floor=floor, tolerance=tolerance, source="predicted"
        )

    found, drawn = read(spectrum), [read(one) for one in spectrum.replicates]
    if found is None:
        raise ValueError(f"`floor` of {floor:g} is above the smallest loss that this spectrum predicts.")

    def sure(name: str) -> Estimate:
        value = getattr(found, name)
        method = value.method.removesuffix(", one repeat")
        draws = np.array([getattr(one, name).value for one in drawn if one is not None])
        draws = draws[np.isfinite(draws)]
        if len(draws) < 2:
            return Estimate.exact(value.value, method)
        return Estimate.from_draws(value.value, draws, level=level, window=value.window, method=method)

    return dataclasses.replace(found, beta_g=sure("beta_g"), beta_p=sure("beta_p"))


class _Divided(NamedTuple):
    """Targets, and which samples are for training and validation.

    Validation is on the clean targets, with the variance of the noise added to the loss: noise that is drawn has not
    that variance exactly, and by as much the loss would stand off a floor that is known.
    """

    y: Array
    clean: Array
    train: Array
    test: Array


def _divided(task: tasks.Task, validation: int | None, noise: float, seed: int) -> _Divided:
    if task.y is None:
        raise ValueError(f"`task` {task.name} has no targets to learn.")
    size, seed = len(task.y), _checks.count("seed", seed, low=0)
    held = size // 4 if validation is None else _checks.count("validation", validation, high=size - 1)
    train, test = task.split(held, seed)
    if len(train) < 8:
        raise ValueError(f"`validation` of {held} leaves {len(train)} of {size} samples to train on.")
    return _Divided(tasks.with_noise(task.y, noise, seed), task.y, train, test)


def _trace(model: kernels.Model, x: Array) -> float:
    """Mean of the kernel's diagonal, block by block."""
    blocks = np.array_split(np.arange(len(x)), math.ceil(len(x) / 256))
    return float(np.mean(np.concatenate([np.diag(model(x[block])) for block in blocks])))


def _losses(features: Array, y: Array, trace: float, test: Array, y_test: Array) -> Array:
    """Mean squared errors for all ridges, from one decomposition."""
    u, s, vt = linalg.svd(features, full_matrices=False)
    scores, against = u.T @ y, test @ vt.T
    filters = [s / (s**2 + ridge) for ridge in RIDGES * len(features) * trace]
    return np.array([_error(y_test, against @ (one[:, None] * scores)) for one in filters])


def _error(y: Array, fitted: Array) -> float:
    return float(np.mean(np.sum((y - fitted) ** 2, axis=1)))
