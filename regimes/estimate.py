"""A spectrum and its exponents from a finite Gram matrix, with uncertainty.

Fitting a line to the eigenvalues of a Gram matrix depends on the window and is biased by the finite
sample. What is read here instead is the resolvent: for N samples and a ridge delta,

    kappa = 1/tr (K + delta)^-1,    df1(kappa) = N - delta/kappa,
    kappa y^T (K + delta)^-1 y = sum_i v_i^2 kappa/(lambda_i+kappa) + noise,

hold for the eigenvalues lambda and target coefficients v of the *population*, at every delta. So one
eigendecomposition of K gives df1 and the unlearnt power as functions of kappa, corrected for finite N.
They are trusted up to df1 = N/3 and inverted there for levels, multiplicities and power.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import linalg, optimize
from scipy.optimize import elementwise

from regimes import _checks, factor
from regimes.results import Estimate, log_slope
from regimes.spectrum import Spectrum

Array = np.ndarray

REACH = 1 / 3
"""Largest df1 used, as a share of the number of samples; measured in docs/sharp_bits.md."""
_SMOOTHNESS = 3e-3
"""Weight of the smooth first guess against the data in the inversion for levels."""


class Resolvent(NamedTuple):
    """df1 and unlearnt power of the population as functions of kappa, from one Gram matrix."""

    kappa: Float64[Array, " points"]
    """1/tr (K + delta)^-1, descending, in units of the population eigenvalues (those of K/N)."""
    df1: Float64[Array, " points"]
    """N - delta/kappa, ascending."""
    unlearnt: Float64[Array, " points"]
    """kappa y^T (K + delta)^-1 y, the noise included, summed over outputs."""
    trace: float
    """Mean of K(x, x)."""
    total: float
    """Mean of y^2, summed over outputs, the noise included."""


def resolvent(gram: Any, targets: Any = None, at: Any = None) -> Resolvent:
    """df1 and unlearnt power against kappa, by the ridge that makes df1 equal to each of `at`.

    Args:
        gram: (N, N) Gram matrix.
        targets: (N,) or (N, outputs); None takes the kernel's own prior, for which the unlearnt power is
            kappa df1.
        at: values of df1, between 0 and N/2; default log-spaced from 1/4 to N/3.

    Raises:
        ValueError: a matrix that is not a Gram matrix, targets of another length, `at` out of range.
    """
    gram = _checks.gram_matrix("gram", gram)
    size = len(gram)
    at = np.geomspace(0.25, REACH * size, 160) if at is None else _checks.finite_array("at", at, ndim=1)
    if at.min() <= 0 or at.max() > size / 2:
        raise ValueError(f"`at` must lie between 0 and half of {size} samples, got {at.min():g} to {at.max():g}.")
    if targets is None:
        values, squares, total = linalg.eigvalsh(gram, check_finite=False), None, 0.0
    else:
        y = _checks.targets("targets", targets, size)
        values, vectors = linalg.eigh(gram, check_finite=False)
        squares, total = np.sum((vectors.T @ y) ** 2, axis=1), float(np.sum(y**2) / size)
    scale = float(values[-1])
    if values[0] < -1e-8 * scale:
        raise ValueError(
            f"`gram` is not positive semi-definite: its smallest eigenvalue is {values[0] / scale:.1e} of its largest."
        )
    rank = int(np.count_nonzero(values > size * np.finfo(np.float64).eps * scale))
    if rank <= at.max():
        raise ValueError(
            f"`gram` has rank {rank}: too low to resolve {at.max():.0f} modes from {size} samples. A kernel of few "
            "features is exhausted there; take fewer samples or a richer kernel."
        )
    values = np.maximum(values, 0.0)

    def excess(log_ridge: Array, goal: Array) -> Array:
        return np.log(goal) - np.log(np.sum(values / (values + np.exp(log_ridge)[..., None]), axis=-1))

    # df1 <= trace/ridge from above; at this low ridge df1 of any matrix with N/2 positive eigenvalues is larger.
    high = np.log(values.sum() / at) + 1e-9
    low = np.full(len(at), np.log(scale) - 60.0)
    found = elementwise.find_root(excess, (low, high), args=(at,), tolerances={"xatol": 1e-13, "xrtol": 1e-14})
    ridge = np.exp(found.x)
    kappa = ridge / (size - at)
    unlearnt = kappa * at if squares is None else kappa * np.sum(squares / (values + ridge[:, None]), axis=-1)
    trace = float(values.sum() / size)
    return Resolvent(kappa, at, unlearnt, trace, trace if squares is None else total)


def spectrum(gram: Any, targets: Any = None, *, noise: float = 0.0, splits: int = 6, seed: int = 0) -> Spectrum:
    """The population spectrum and target power behind a finite Gram matrix.

    The resolvent is inverted by non-negative least squares for the multiplicity and power on a log-spaced grid
    of eigenvalues, close to the smooth first guess -d df1/d ln gamma; what lies below the grid goes to the tail.
    Half-samples, in `splits` disjoint pairs, become `Spectrum.replicates`.

    Args:
        gram: (N, N) Gram matrix of samples drawn from the population.
        targets: (N,) or (N, outputs); None takes the kernel's own prior, v_i^2 = lambda_i.
        noise: variance of the label noise in the targets, summed over outputs, if it is known; what is not
            told apart from noise is kept as power in the tail.
        splits: pairs of half-samples; 0 for none, and then no intervals.
        seed: seed of the half-samples.

    Returns:
        Spectrum with `resolved` = N/3.

    Raises:
        ValueError: as `resolvent`; fewer than 48 samples; noise of at least the mean square of the targets.

    Valid when the samples are independent. Targets that are hard exactly where the kernel finds few neighbours,
    as class labels are, are predicted less well than a prior draw: see docs/sharp_bits.md.
    """
    gram = _checks.gram_matrix("gram", gram)
    size = len(gram)
    if size < 48:
        raise ValueError(f"`gram` must hold at least 48 samples to estimate a spectrum, got {size}.")
    y = None if targets is None else _checks.targets("targets", targets, size)
    noise = _checks.number("noise", noise, low=0)
    whole = _invert(resolvent(gram, y), noise)
    halves = []
    for index in _half_samples(size, splits, seed):
        part = resolvent(gram[np.ix_(index, index)], None if y is None else y[index])
        halves.append(_invert(part, noise))
    if y is None:
        whole, halves = whole.with_prior(), [half.with_prior() for half in halves]
    return Spectrum(
        whole.eigenvalues,
        whole.power,
        whole.multiplicity,
        whole.tail,
        whole.tail_power,
        replicates=tuple(halves),
        resolved=REACH * size,
    )


def alpha(
    gram: Any,
    *,
    method: str = "kappa",
    window: tuple[float, float] | None = None,
    splits: int = 8,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """The exponent alpha of a kernel from a Gram matrix: minus the log-slope of the loss of its own prior.

    Args:
        gram: (N, N) Gram matrix of independent samples.
        method: "kappa" reads n kappa(n) from the ridge resolvent of all samples (smallest variance);
            "pivots" reads the leave-one-out variance, the pivot of the Cholesky factor averaged over which
            sample comes last, on half-samples (no Gaussian universality needed, but it is the loss in n only).
        window: smallest and largest n; default from 32 (or a quarter of the end) to N/4 for "kappa", to N/2 for
            "pivots".
        splits: pairs of disjoint half-samples behind the interval (and the value, for "pivots").
        seed: seed of the half-samples.
        level: stated coverage.

    Returns:
        Estimate of the mean slope over the window, which is alpha where the spectrum is a power law.

    Raises:
        ValueError: not a Gram matrix, a window outside the data or narrower than a factor of two, splits < 2.
    """
    gram = _checks.gram_matrix("gram", gram)
    method = _checks.choice("method", method, ("pivots", "kappa"))
    splits = _checks.count("splits", splits, low=2)
    part = {"kappa": 4, "pivots": 2}[method]
    reach = len(gram) // part
    low, high = window if window is not None else (min(32, reach / 4), reach)
    if not 2 <= low <= high / 2 or high > reach:
        raise ValueError(
            f"`window` must satisfy 2 <= low <= high / 2 and high <= {reach} (1/{part} of {len(gram)} samples), "
            f"got ({low:g}, {high:g}); take more samples or a narrower window."
        )
    at = np.unique(np.round(np.geomspace(low, high, 12)).astype(np.int64))

    def by_kappa(part: Array, sizes: Array) -> float:
        read = resolvent(part, at=sizes)
        return -log_slope(sizes, sizes * read.kappa)

    def by_pivots(part: Array) -> Array:
        return factor.leave_one_out(factor.cholesky(part).lower, at).variance

    indices = _half_samples(len(gram), splits, seed)
    parts = (gram[np.ix_(index, index)] for index in indices)
    if method == "kappa":
        halves = np.array([by_kappa(part, at.astype(np.float64)) for part in parts])
        value = by_kappa(gram, at.astype(np.float64))
    else:
        curves = np.array([by_pivots(part) for part in parts])
        # The leave-one-out variance at n is the loss at n - 1.
        halves = np.array([-log_slope(at - 1, curve) for curve in curves])
        value = -log_slope(at - 1, curves.mean(axis=0))
    return Estimate.from_halves(
        value, halves, level=level, window=(float(at[0]), float(at[-1])), method=f"log-slope of the {method} curve"
    )


def _half_samples(size: int, splits: int, seed: int) -> list[Array]:
    """Disjoint random halves, two after two."""
    rng = np.random.default_rng(seed)
    halves: list[Array] = []
    for _ in range(splits):
        order = rng.permutation(size)
        halves += [order[: size // 2], order[size // 2 : 2 * (size // 2)]]
    return halves


def _invert(read: Resolvent, noise: float) -> Spectrum:
    """Levels, multiplicities and power whose df1 and unlearnt power are those of the resolvent."""
    if noise >= read.total:
        raise ValueError(f"`noise` is {noise:g}, not less than the mean square of the targets, {read.total:g}.")
    log_kappa = np.log(read.kappa)
    # Below the smallest kappa the data say little: four levels per factor e, one decade on, then the tail.
    levels = np.exp(np.arange(np.log(read.trace), log_kappa[-1] - 2.5, -0.25))
    learnt = levels / (levels + read.kappa[:, None])
    # -d df1/d ln kappa and d unlearnt/d ln kappa, smooth by nature, are the densities blurred by one e-fold.
    density = np.interp(np.log(levels), log_kappa[::-1], -np.gradient(read.df1, log_kappa)[::-1])
    multiplicity, tail = _nonnegative(
        np.vstack([learnt, levels]),
        np.append(1 / read.kappa, 1.0),
        np.append(read.df1, read.trace),
        0.25 * density,
    )
    unlearnt = np.maximum(read.unlearnt - noise, 1e-12 * read.total)
    slope = np.maximum(np.gradient(unlearnt, log_kappa), 0.0)
    power, tail_power = _nonnegative(
        np.vstack([1 - learnt, np.ones_like(levels)]),
        np.ones(len(read.kappa) + 1),
        np.append(unlearnt, read.total - noise),
        0.25 * np.interp(np.log(levels), log_kappa[::-1], slope[::-1]),
    )
    kept = multiplicity > 0
    # Power on a level without modes belongs to no eigenfunction; it can only be learnt as the level beside it.
    if not kept.all():
        nearest = np.abs(np.log(levels)[:, None] - np.log(levels[kept])).argmin(axis=1)
        power = np.bincount(nearest, weights=power, minlength=int(kept.sum()))
    return Spectrum(levels[kept], power, multiplicity[kept], tail=tail, tail_power=tail_power)


def _nonnegative(rows: Array, tail_column: Array, data: Array, guess: Array) -> tuple[Array, float]:
    """Non-negative w, tail with rows w + tail_column tail = data in relative error, w near its guess."""
    guess = np.maximum(guess, 1e-6 * guess.max())
    matrix = np.column_stack([rows * guess, tail_column * data[-1]]) / data[:, None]
    smooth = _SMOOTHNESS * np.eye(len(guess), len(guess) + 1)
    solution, _ = optimize.nnls(
        np.vstack([matrix, smooth]), np.concatenate([np.ones(len(data)), np.full(len(guess), _SMOOTHNESS)])
    )
    return solution[:-1] * guess, float(solution[-1] * data[-1])
