"""Teachers with inputs of a known dimension, students trained on them, and the exponents of their losses.

A teacher is a random relu network on inputs uniform in the hypercube [-1, 1]^d. Its best linear fit is taken away and
the rest scaled to variance 1: the linear part, most of the variance of a random network with few biases, is learnt from
d + 1 samples and says nothing about resolution.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import stats

from regimes import _checks, display, kernels, networks, training
from regimes.networks import Network, Tree
from regimes.results import Estimate, log_slope

Array = np.ndarray
_FIT = 16384
"""Samples on which the linear part of a teacher is measured."""


@display.shown
class Claim(NamedTuple):
    """Something that theory says, and what was found."""

    what: str
    """The quantity."""
    expected: str
    """What the theory or the published experiment says."""
    found: str
    """What was measured."""
    holds: bool | None
    """Whether it is as expected; None where the measurement does not decide."""


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A random network without its linear part."""

    network: Network
    """The architecture."""
    parameters: Tree
    """Its random weights."""
    coefficients: Float64[Array, " d_and_1"]
    """Constant and slopes of the linear part, which is subtracted."""
    scale: float
    """Standard deviation of what is left, by which it is divided."""
    linear_share: float
    """Share of the variance that the linear part had."""

    def labels(self, x: Any) -> Float64[Array, "n 1"]:
        """The target at the inputs: of variance 1, not correlated with any input."""
        x = self.network.model.checked("x", x)
        raw = self.network.apply(self.parameters, x)
        return (raw - (_with_constant(x) @ self.coefficients)[:, None]) / self.scale


def draw(dim: int, seed: Any, *, depth: int = 2, width: int = 96, bias_std: float = 0.3) -> Teacher:
    """A random relu network on [-1, 1]^dim whose linear part is taken away.

    Args:
        dim: dimension of the inputs.
        seed: seed, a whole number or several.
        depth: hidden layers.
        width: units in each.
        bias_std: standard deviation of the biases. Without them the network is homogeneous, a function on the sphere
            of dim - 1 dimensions times the length of the input.

    Raises:
        ValueError: an argument that is not a positive number.
    """
    dim, depth = _checks.count("dim", dim), _checks.count("depth", depth)
    bias_std = _checks.number("bias_std", bias_std, low=0, strict=True)
    rng = np.random.default_rng(seed)
    x = inputs(_FIT, dim, rng)
    network = networks.network(kernels.fully_connected(depth, bias_std=bias_std), width)
    parameters = network.init(int(rng.integers(2**31)), x[:1], precision="float64")
    raw = network.apply(parameters, x)[:, 0]
    design = _with_constant(x)
    coefficients = np.linalg.lstsq(design, raw, rcond=None)[0]
    left = raw - design @ coefficients
    scale, whole = float(left.std()), float(raw.std())
    if not scale > 1e-9 * whole:
        raise ValueError("this teacher is linear: `seed` or a larger `width` may give another.")
    return Teacher(network, parameters, coefficients, scale, 1 - (scale / whole) ** 2)


def inputs(n: int, dim: int, rng: np.random.Generator) -> Float64[Array, "n d"]:
    """Samples uniform in [-1, 1]^dim."""
    return rng.uniform(-1.0, 1.0, (n, dim))


def _with_constant(x: Array) -> Array:
    return np.column_stack([np.ones(len(x)), x])


@display.shown
class Trained(NamedTuple):
    """Losses of students, one row per seed."""

    test: Float64[Array, "seeds sizes"]
    """Test loss at the recorded step where it is least."""
    train: Float64[Array, "seeds sizes"]
    """Training loss there."""
    last: Float64[Array, "seeds sizes"]
    """Test loss after the last step."""
    diverged: int
    """Runs that diverged; their losses are NaN."""
    parameters: Tree
    """Those of the first seed at the last size."""


def train_in_n(
    student: Network,
    x: Any,
    y: Any,
    at: Sequence[int],
    *,
    test: tuple[Any, Any],
    seeds: Sequence[int] | int = 1,
    rate: float = 3e-3,
    batch: int = 64,
    steps: int = 6000,
    record: int = 20,
    filled: int | None = None,
    checkpoint: Path | str | None = None,
    report: Callable[[float], None] | None = None,
) -> Trained:
    """Students trained on the first n samples for several n, by adam with a cosine schedule and early stopping.

    For every n the samples are repeated in turn until they are as many as the largest n asks for. The mean over them,
    which is descended, is the same (to a share of n/filled where n does not divide it), batches may be larger than n,
    and one program serves all n.

    Args:
        student: the network.
        x: at least max(at) samples.
        y: their targets.
        at: increasing numbers of samples.
        test: test samples and their targets, which also choose the step that is kept.
        seeds: how many students, or which.
        rate: largest learning rate.
        batch: samples in a step.
        steps: number of steps.
        record: at how many steps the losses are looked at, evenly in the logarithm.
        filled: number to which samples are repeated; default the largest n, or the batch if that is larger.
        checkpoint: folder; as for [training.train][regimes.training.train].
        report: called with the share that is done.

    Raises:
        ValueError: as `training.train`; more samples asked for than there are.
    """
    x, y = _checks.finite_array("x", x), _checks.finite_array("y", y)
    sizes = _checks.sizes("at", at, low=1, high=len(x))
    least = max(int(sizes[-1]), _checks.count("batch", batch))
    largest = least if filled is None else _checks.count("filled", filled, low=least)
    test_losses, train_losses, last, diverged, parameters = [], [], [], 0, None
    for index, n in enumerate(sizes):
        rows = np.arange(largest) % n
        found = training.train(
            student,
            x[rows],
            y[rows],
            test=test,
            optimiser="adam",
            rate=rate,
            schedule="cosine",
            batch=batch,
            steps=steps,
            record=record,
            early_stopping=True,
            seeds=seeds,
            checkpoint=None if checkpoint is None else Path(checkpoint) / f"n-{n}",
        )
        bad = np.array([status is training.Status.DIVERGED for status in found.statuses])
        diverged += int(bad.sum())
        test_losses.append(np.where(bad, np.nan, found.losses("test")))
        train_losses.append(np.where(bad, np.nan, found.losses("train")))
        last.append(np.where(bad, np.nan, found.test_loss[:, -1]))
        parameters = found.parameters(found.seeds[0])
        if report is not None:
            report((index + 1) / len(sizes))
    return Trained(np.array(test_losses).T, np.array(train_losses).T, np.array(last).T, diverged, parameters)


def log_mean(trials: Any) -> Float64[Array, " sizes"]:
    """Geometric mean over rows, the mean of the log loss; NaN is left out, and what comes of nothing else."""
    logs = np.log(np.atleast_2d(np.asarray(trials, dtype=np.float64)))
    there = np.isfinite(logs)
    count = there.sum(axis=0)
    mean = np.where(there, logs, 0.0).sum(axis=0) / np.maximum(count, 1)
    return np.where(count > 0, np.exp(mean), np.nan)


def slopes(at: Any, trials: Any) -> Float64[Array, " trials"]:
    """Minus the log-log slope of each row; NaN for rows with NaN."""
    return np.array([math.nan if np.isnan(row).any() else -log_slope(at, row) for row in np.asarray(trials)])


def exponent(at: Any, trials: Any, *, level: float = 0.95) -> Estimate:
    """Exponent of the log-mean loss, with an interval from the spread over rows.

    The slope is linear in the log losses, so that of their mean is the mean of the rows' slopes, and Student's t for
    the mean gives the interval. One row has an interval without end.

    Args:
        at: sizes, at least three.
        trials: (rows, sizes) losses; each row is independent of the others, such as a teacher of its own.
        level: stated coverage.
    """
    at = _checks.finite_array("at", at, ndim=1)
    level = _checks.level(level)
    each = slopes(at, np.atleast_2d(np.asarray(trials, dtype=np.float64)))
    each = each[np.isfinite(each)]
    window, method = (float(at[0]), float(at[-1])), "mean over teachers of the log-log slope"
    if not len(each):
        return Estimate(math.nan, -math.inf, math.inf, level, window, method)
    value = float(each.mean())
    if len(each) == 1:
        return Estimate(value, -math.inf, math.inf, level, window, method)
    width = float(stats.t.ppf((1 + level) / 2, len(each) - 1) * each.std(ddof=1) / math.sqrt(len(each)))
    return Estimate(value, value - width, value + width, level, window, method)


def dimension_slope(dims: Any, alphas: Any, *, draws: int = 2000, seed: int = 0, level: float = 0.95) -> Estimate:
    """Slope of 4/alpha against d by least squares, with a bootstrap interval over teachers and dimensions.

    A draw takes the teachers of each dimension with replacement, the mean of their exponents for alpha, then dimensions
    with replacement (at least two different ones). Deviations of the means are widened by sqrt(T/(T-1)), which the
    bootstrap of T teachers falls short of. Two dimensions only cannot be drawn: then teachers alone are.

    Args:
        dims: dimensions, at least two different ones.
        alphas: for each, the exponents of its teachers (or a number, that counts as exact).
        draws: bootstrap draws.
        seed: their seed.
        level: stated coverage.

    Raises:
        ValueError: fewer than two dimensions, not one set of exponents for each.
    """
    d = _checks.finite_array("dims", dims, ndim=1)
    if len(np.unique(d)) < 2 or len(alphas) != len(d):
        raise ValueError(f"`dims` must be two different ones or more, with `alphas` for each; got {d.tolist()}.")
    level, draws = _checks.level(level), _checks.count("draws", draws, low=2)
    sets = [np.atleast_1d(np.asarray(each, dtype=np.float64)) for each in alphas]
    sets = [each[np.isfinite(each)] for each in sets]
    if not all(len(each) for each in sets):
        return Estimate(math.nan, -math.inf, math.inf, level, (float(d.min()), float(d.max())), "no exponent")
    means = np.array([each.mean() for each in sets])
    rng = np.random.default_rng(seed)
    alpha = np.stack([_resampled(each, draws, rng) for each in sets], axis=1)
    chosen = np.tile(np.arange(len(d)), (draws, 1))
    if len(np.unique(d)) > 2:
        again = np.arange(draws)
        while len(again):
            chosen[again] = rng.integers(len(d), size=(len(again), len(d)))
            again = again[np.ptp(d[chosen[again]], axis=1) == 0]
    drawn = _slope(d[chosen], 4 / np.take_along_axis(alpha, chosen, axis=1))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    value = float(_slope(d, 4 / means))
    window = (float(d.min()), float(d.max()))
    return Estimate(value, min(float(low), value), max(float(high), value), level, window, "bootstrap")


def _slope(x: Array, y: Array) -> Array:
    """Least-squares slopes along the last axis."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return np.asarray(np.sum(centred * y, axis=-1) / np.sum(centred**2, axis=-1))


def _resampled(each: Array, draws: int, rng: np.random.Generator) -> Array:
    mean, count = float(each.mean()), len(each)
    if count == 1:
        return np.full(draws, mean)
    drawn = each[rng.integers(count, size=(draws, count))].mean(axis=1)
    return mean + math.sqrt(count / (count - 1)) * (drawn - mean)


def within(one: Estimate, low: float, high: float) -> bool | None:
    """Whether an estimate lies in a range: True with its whole interval, False where the two do not meet, else None."""
    if not math.isfinite(one.value):
        return None
    if low <= one.low and one.high <= high:
        return True
    return False if one.high < low or one.low > high else None
