"""What the samples say by themselves, beside the spectrum: which are taken, leave-one-out losses, pivots, features."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy import stats

from regimes import _checks, estimate, factor, gram, inputs, modes, ridge
from regimes.inputs import Source
from regimes.readings import Reading
from regimes.results import Estimate, LearningCurve, log_slope

Array = np.ndarray

LARGEST = 2000
"""Samples that are analysed at most, unless `size` says otherwise: work grows as its cube, half a minute here."""
_COPIES = 12
"""Matrices of N x N that the analysis holds at once; measured: 10."""
_PART = 2000
"""Samples of a subset at most."""
_SUBSETS = 4
"""Disjoint subsets on which the pivots are read when there are more samples than are analysed."""
_TRIALS = 4
"""Random orders behind leave-one-out losses and pivots."""


def chosen(available: int, size: int | None, memory: float, seed: int) -> Int64[Array, " size"]:
    """Which samples are analysed, in their order.

    Args:
        available: how many there are.
        size: how many are wanted at most; None for `LARGEST`, or as many as `memory` allows.
        memory: bytes that the analysis may hold.
        seed: seed of the draw.

    Raises:
        ValueError: more than `memory` allows, or fewer than 100.
    """
    memory = _checks.number("memory", memory, low=0, strict=True)
    most = math.isqrt(int(memory / (8 * _COPIES)))
    wanted = min(LARGEST, most) if size is None else _checks.count("size", size, low=100)
    wanted = min(wanted, available)
    if wanted > most or wanted < min(100, available):
        needed = max(wanted, 100)
        raise ValueError(
            f"`memory` is {gram.in_words(memory)}, but the analysis of {needed} samples holds "
            f"{gram.in_words(8 * _COPIES * needed**2)}: "
            + (f"take a `size` of at most {most}, or raise it." if most >= 100 else "raise it.")
        )
    if wanted == available:
        return np.arange(available)
    return np.sort(np.random.default_rng([seed, 5]).permutation(available)[:wanted])


def gram_matrix(source: Source, kernel: Any, rows: Any, *, memory: float, scheduler: Any) -> Float64[Array, "n n"]:
    """Gram matrix of some of the samples, that of a kernel block by block.

    Args:
        source: the samples.
        kernel: as in [inputs.as_kernel][regimes.inputs.as_kernel]; None for a Gram matrix or the linear kernel.
        rows: which samples.
        memory: bytes that may be held.
        scheduler: as in [gram.build][regimes.gram.build].

    Raises:
        ValueError: as there.
    """
    if source.kind == "gram" or kernel is None:
        return source.gram(rows=rows)
    x = np.asarray(source.array[rows], dtype=np.float64)
    return gram.build(inputs.as_kernel(kernel), x, memory=memory, scheduler=scheduler)


def prior(matrix: Float64[Array, "n n"], seed: int) -> tuple[LearningCurve, LearningCurve]:
    """The loss of the kernel's own prior along n: pivots, averaged over which sample comes last, and n kappa.

    Args:
        matrix: Gram matrix.
        seed: seed of the random orders.
    """
    size = len(matrix)
    at = np.unique(np.round(np.geomspace(2, size, 40)).astype(np.int64))
    variance, harmonic = [], []
    for order in _orders(size, seed):
        read = factor.leave_one_out(factor.cholesky(matrix[np.ix_(order, order)]).lower, at)
        variance.append(read.variance)
        harmonic.append(at * read.kappa)
    held = {"k": math.inf}
    return (
        LearningCurve.from_trials("n", at - 1, np.array(variance), held, "Cholesky pivots"),
        LearningCurve.from_trials("n", at, np.array(harmonic), held, "n / tr K_n^-1"),
    )


def left_out(matrix: Float64[Array, "n n"], y: Any, at: Any, *, delta: float, seed: int) -> LearningCurve | None:
    """Leave-one-out losses at the whole sizes inside the data; None if there are none.

    Args:
        matrix: Gram matrix.
        y: (n, outputs) targets; None for the kernel's own prior.
        at: sizes, whole or not, inside the data or not.
        delta: ridge.
        seed: seed of the random orders.

    Raises:
        ValueError: rounding would decide some of them, as in
            [ridge.loss_from_training][regimes.ridge.loss_from_training].
    """
    inside = np.unique(at[(at >= 1) & (at <= len(matrix) - 1) & (at == np.rint(at))]).astype(np.int64)
    if not len(inside):
        return None
    if y is None and delta > 0:
        y = factor.cholesky(matrix).lower  # draws from the prior, as many as there are samples: all of its covariance
    if y is not None:
        return ridge.loss_from_training(matrix, y, inside, ridge=delta, trials=_TRIALS, seed=seed)
    rows = []
    for order in _orders(len(matrix), seed):
        lower = factor.cholesky(matrix[np.ix_(order, order)]).lower
        rows.append(factor.leave_one_out(lower, inside + 1).variance)
    return LearningCurve.from_trials(
        "n", inside, np.array(rows), {"k": math.inf, "ridge": 0.0}, "leave-one-out variance"
    )


def few_features(
    matrix: Float64[Array, "n n"], y: Any, rank: int, *, noise: float | None, level: float, seed: int
) -> tuple[Reading, ...]:
    """Alpha, beta and noise as in [readings.side_by_side][regimes.readings.side_by_side], up to half of the rank.

    Args:
        matrix: Gram matrix of a kernel of fewer features than samples, which is exhausted beyond its rank.
        y: (n, outputs) targets; None leaves out beta and noise.
        rank: number of features.
        noise: variance of the label noise; None for the lower end of what `estimate.noise` allows.
        level: stated coverage of the intervals.
        seed: seed of the half-samples.
    """
    window = (max(2.0, min(32.0, rank / 8)), rank / 2)
    settings: dict[str, Any] = {"level": level, "seed": seed}
    found = []

    def read(quantity: str, method: str, number: Callable[[], Estimate]) -> Estimate:
        remark = f"read below the {rank} features that the kernel has"
        try:
            one = number()
        except ValueError as error:
            one, remark = Estimate(math.nan, -math.inf, math.inf, level), f"not read: {error}"
        found.append(Reading(quantity, method, one, method in ("kappa", "tail", "floor"), remark))
        return one

    for method in estimate.ALPHA:
        ends = (window[0], max(rank / 5, 2 * window[0])) if method == "eigenvalues" else window
        read("alpha", method, functools.partial(estimate.alpha, matrix, method=method, window=ends, **settings))
    if y is None:
        return tuple(found)
    floor = (max(2.0, rank / 32), rank / 2)
    seen = read("noise", "floor", functools.partial(estimate.noise, matrix, y, window=floor, **settings))
    above = noise if noise is not None else seen.low if math.isfinite(seen.low) else 0.0
    settings |= {"window": window, "noise": above}
    for method in estimate.BETA:
        read("beta", method, functools.partial(estimate.beta, matrix, y, method=method, **settings))
    return tuple(found)


def subsets(
    source: Source, kernel: Any, *, rank: int, level: float, seed: int, memory: float, scheduler: Any
) -> Reading | None:
    """Alpha by pivots on disjoint subsets of all samples; None where they are too few.

    Args:
        source: the samples.
        kernel: as in [gram_matrix][regimes.measured.gram_matrix].
        rank: of the Gram matrix, up to half of which it is read.
        level: stated coverage of the interval, from the scatter of the subsets.
        seed: seed of the subsets.
        memory: bytes that may be held.
        scheduler: as there.
    """
    part = min(_PART, source.size // _SUBSETS, math.isqrt(int(memory / (8 * _COPIES))))
    last = min(part, rank) // 2
    if last < 64:
        return None
    at = np.unique(np.round(np.geomspace(min(32, last / 4), last, 12)).astype(np.int64))
    slopes = []
    for rows in gram.subsets(source.size, part, _SUBSETS, seed):
        lower = factor.cholesky(gram_matrix(source, kernel, rows, memory=memory, scheduler=scheduler)).lower
        # The leave-one-out variance of n samples is the loss at n - 1.
        slopes.append(-log_slope(at - 1, factor.leave_one_out(lower, at).variance))
    value = float(np.mean(slopes))
    width = float(stats.t.ppf((1 + level) / 2, _SUBSETS - 1) * np.std(slopes, ddof=1) / math.sqrt(_SUBSETS))
    window = (float(at[0]), float(at[-1]))
    one = Estimate(value, value - width, value + width, level, window, "log-slope of the pivot curve")
    return Reading("alpha", "pivots, subsets", one, False, f"{_SUBSETS} disjoint subsets of {part} of all samples")


def mirror(source: Source, *, level: float, seed: int, memory: float, scheduler: Any) -> Reading | None:
    """Alpha along k, from the pivots of the covariance of the features; None where there are not enough of either.

    Args:
        source: features.
        level: stated coverage of the interval, from random orders of the features.
        seed: seed of the orders.
        memory: bytes that may be held.
        scheduler: as in [modes.covariance][regimes.modes.covariance].

    Raises:
        ValueError: a covariance beyond `memory`.
    """
    size, width = source.array.shape
    if size < 2 * width or width < 64:
        return None
    matrix = modes.covariance(source.array, memory=memory, scheduler=scheduler).matrix
    alive = np.diagonal(matrix) > 0  # a feature that is zero everywhere is none
    matrix, width = matrix[np.ix_(alive, alive)], int(alive.sum())
    if width < 64:
        return None
    at = np.unique(np.round(np.geomspace(width / 16, width / 2, 12)).astype(np.int64))
    curve = ridge.pivot_curve((matrix + matrix.T) / 2, at, trials=2 * _TRIALS, seed=seed)
    assert curve.trials is not None
    # Fitting k features on N samples takes up k/N of the variance, as in `ridge.feature_pivot_curve`.
    curve = LearningCurve.from_trials("k", at, curve.trials / (1 - at / size), {"n": math.inf})
    remark = (
        f"alpha along k: the covariance of {width} features over {size} samples; equal where they are mixtures of modes"
    )
    return Reading("alpha", "pivots, features", curve.exponent(level=level), False, remark)


def _orders(size: int, seed: int) -> list[Array]:
    rng = np.random.default_rng([seed, 6])
    return [rng.permutation(size) for _ in range(_TRIALS)]
