"""A spectrum, its exponents and the noise from a finite Gram matrix, with uncertainty.

Fitting a line to the eigenvalues of a Gram matrix depends on the window and is biased by the finite sample. What is
read here is the [resolvent][regimes.resolvents.resolvent], which gives the number of modes learnt and the power not
learnt of the population, corrected for the finite sample, with their covariance. They are trusted up to df1 = N/3 and
inverted there for levels, multiplicities and power.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy import optimize, stats

from regimes import _checks, factor
from regimes.resolvents import REACH, Resolvent, resolvent
from regimes.results import Estimate, log_slope
from regimes.spectrum import Spectrum

Array = np.ndarray

ALPHA = ("kappa", "pivots", "ridgeless", "eigenvalues")
"""The methods of `alpha`, the default first."""
BETA = ("tail", "leave_one_out", "gcv")
"""The methods of `beta`, the default first."""
MISFIT = 0.01
"""Error, as a share of its fall, within which a curve is believed to be a power law above a floor."""
EXPONENTS = np.geomspace(0.01, 4, 160)
"""Those that are tried above a floor."""
_SMOOTHNESS = 3e-3
"""Weight of the smooth first guess against the data in the inversion for levels."""


def spectrum(gram: Any, targets: Any = None, *, noise: float = 0.0, draws: int = 32, seed: int = 0) -> Spectrum:
    """The population spectrum and target power behind a finite Gram matrix.

    The resolvent, its bias taken off, is inverted by non-negative least squares for the multiplicity and power on a
    log-spaced grid of eigenvalues, close to the smooth first guess -d df1/d ln gamma; what lies below the grid goes to
    the tail. Resolvents drawn from its covariance become `Spectrum.replicates`.

    Args:
        gram: (N, N) Gram matrix of samples drawn from the population.
        targets: (N,) or (N, outputs); None takes the kernel's own prior, v_i^2 = lambda_i.
        noise: variance of the label noise in the targets, summed over outputs, if it is known; what is not
            told apart from noise is kept as power in the tail.
        draws: number of replicates; 0 for none, and then no intervals.
        seed: seed of the replicates.

    Returns:
        Spectrum with `resolved` = N/3; infinite where all modes of a kernel of few features are resolved.

    Raises:
        ValueError: as `resolvent`; fewer than 48 samples; noise of at least the mean square of the targets.

    Valid when the samples are independent. Targets that are hard exactly where the kernel finds few neighbours,
    as class labels are, are predicted less well than a prior draw: see docs/sharp_bits.md.
    """
    gram = _checks.gram_matrix("gram", gram)
    if len(gram) < 48:
        raise ValueError(f"`gram` must hold at least 48 samples to estimate a spectrum, got {len(gram)}.")
    draws = _checks.count("draws", draws, low=0)
    return inverted(resolvent(gram, targets, uncertainty=draws > 0, seed=seed), noise=noise, draws=draws, seed=seed)


def inverted(read: Resolvent, *, noise: float = 0.0, draws: int = 0, seed: int = 0) -> Spectrum:
    """The [spectrum][regimes.estimate.spectrum] behind a resolvent that was read already; arguments as there.

    Raises:
        ValueError: fewer than three points, replicates of a resolvent without covariance, noise as there.
    """
    noise, draws = _checks.number("noise", noise, low=0), _checks.count("draws", draws, low=0)
    if len(read.df1) < 3:
        raise ValueError(f"`read` must hold at least 3 points to be inverted, got {len(read.df1)}.")
    whole, reach = _invert(read.corrected(), noise), math.inf if read.exhausted else float(read.df1[-1])
    return dataclasses.replace(
        whole,
        replicates=tuple(
            dataclasses.replace(_invert(drawn, noise), resolved=reach)
            for drawn in (read.draws(draws, seed) if draws else ())
        ),
        resolved=reach,
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
        method: "kappa", the default, reads n kappa(n) from the ridge resolvent of all samples: the smallest variance,
            and an interval of the stated coverage.
            "pivots" reads the leave-one-out variance, the pivot of the Cholesky factor averaged over which
            sample comes last (no Gaussian universality needed, but it is the loss in n only).
            "ridgeless" reads n / tr K_n^-1 without a ridge, which a few near-duplicates spoil.
            "eigenvalues" fits a line to the eigenvalues of K/N, which a finite sample distorts: for comparison only.
        window: smallest and largest n (ranks for "eigenvalues"); default from 32 (or a quarter of the end) to N/4 for
            "kappa", to N/2 for "pivots" and "ridgeless"; from 20 (or a quarter of the end) to N/10 for "eigenvalues".
        splits: pairs of disjoint half-samples behind the intervals of all methods but "kappa" (and behind the value
            of "pivots" and "ridgeless").
        seed: seed of the half-samples and of the pairs that are deleted.
        level: stated coverage.

    Returns:
        Estimate of the mean slope over the window, which is alpha where the spectrum is a power law.

    Raises:
        ValueError: not a Gram matrix, a window outside the data or narrower than a factor of two, splits < 2,
            a level not between 0 and 1.
    """
    gram = _checks.gram_matrix("gram", gram)
    method = _checks.choice("method", method, ALPHA)
    splits, seed, level = (
        _checks.count("splits", splits, low=2),
        _checks.count("seed", seed, low=0),
        _checks.level(level),
    )
    size = len(gram)
    part = {"kappa": 4, "pivots": 2, "ridgeless": 2, "eigenvalues": 10}[method]
    at = _window(window, size, part, 20 if method == "eigenvalues" else 32)
    name = {"kappa": "n kappa(n)", "pivots": "pivot", "ridgeless": "n / tr K_n^-1", "eigenvalues": "eigenvalue"}[method]
    described: dict[str, Any] = {
        "level": level,
        "window": (float(at[0]), float(at[-1])),
        "method": f"log-slope of the {name} curve",
    }
    if method == "kappa":
        read = resolvent(gram, at=at.astype(np.float64), uncertainty=True, seed=seed)
        return _linear(read, "kappa", -1.0, **described)

    def curve(part: Array) -> Array:
        if method == "eigenvalues":
            return np.sort(np.linalg.eigvalsh(part))[::-1][at - 1] / len(part)
        factored = factor.cholesky(part)
        read = factor.leave_one_out(factored.lower, at)
        return _above_rounding(at, read.variance if method == "pivots" else at * read.kappa, factored.jitter)

    # The leave-one-out variance at n is the loss at n - 1; eigenvalues fall as i^-(1+alpha).
    places, less = (at - 1, 0.0) if method == "pivots" else (at, 1.0 if method == "eigenvalues" else 0.0)
    curves = np.array([curve(gram[np.ix_(index, index)]) for index in _half_samples(size, splits, seed)])
    halves = np.array([-log_slope(places, one) - less for one in curves])
    whole = curve(gram) if method == "eigenvalues" else curves.mean(axis=0)
    return Estimate.from_halves(-log_slope(places, whole) - less, halves, **described)


def beta(
    gram: Any,
    targets: Any,
    *,
    method: str = "tail",
    noise: float = 0.0,
    window: tuple[float, float] | None = None,
    splits: int = 8,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """The exponent beta of a target: minus the log-slope, along n, of what n samples leave unlearnt.

    Args:
        gram: (N, N) Gram matrix of independent samples.
        targets: (N,) or (N, outputs).
        method: "tail", the default, reads the power not learnt, B1(n) = sum_i v_i^2 kappa/(lambda_i+kappa), from the
            ridge resolvent: n^-min(beta, 1+alpha), and an interval of the stated coverage.
            "leave_one_out" and "gcv" read the loss without ridge, n^-min(beta, 2(1+alpha)), from the training set.
        noise: variance of the label noise, summed over outputs, to be taken off; see `noise`.
        window: smallest and largest n; default from 32 (or a quarter of the end) to N/4 for "tail", to N/2 else.
        splits: pairs of disjoint half-samples behind the value and the interval of all methods but "tail".
        seed: seed of the half-samples and of the pairs that are deleted.
        level: stated coverage.

    Returns:
        Estimate of the mean slope over the window; NaN where the noise is not below the curve everywhere, and an
        interval without ends where it is not in some half-sample.

    Raises:
        ValueError: not a Gram matrix, targets of another length, a window outside the data, splits < 2,
            a level not between 0 and 1.

    Valid when `noise` is right: a noise that is left in lowers the slope, the more the farther the window reaches.
    """
    gram = _checks.gram_matrix("gram", gram)
    method = _checks.choice("method", method, BETA)
    splits, seed, level = (
        _checks.count("splits", splits, low=2),
        _checks.count("seed", seed, low=0),
        _checks.level(level),
    )
    noise = _checks.number("noise", noise, low=0)
    size = len(gram)
    y = _checks.targets("targets", targets, size)
    at = _window(window, size, 4 if method == "tail" else 2, 32)
    name = {"tail": "power not learnt", "leave_one_out": "leave-one-out loss", "gcv": "cross-validated loss"}[method]
    described: dict[str, Any] = {
        "level": level,
        "window": (float(at[0]), float(at[-1])),
        "method": f"log-slope of the {name}",
    }
    if method == "tail":
        read = resolvent(gram, y, at.astype(np.float64), uncertainty=True, seed=seed)
        return _linear(read, "unlearnt", 0.0, noise=noise, **described)
    curves = []
    for index in _half_samples(size, splits, seed):
        part = gram[np.ix_(index, index)]
        factored = factor.cholesky(part)
        losses = factor.training_losses(factored.lower, y[index], at, ridge=factored.jitter)
        _above_rounding(at, at * losses.kappa, factored.jitter)
        curves.append(losses.leave_one_out if method == "leave_one_out" else losses.gcv)
    places = at - 1 if method == "leave_one_out" else at
    halves = np.array([-log_slope(places, one - noise) for one in curves])
    value = -log_slope(places, np.mean(curves, axis=0) - noise)
    if not np.all(np.isfinite(halves)):
        return Estimate(value, -math.inf, math.inf, **described)
    return Estimate.from_halves(value, halves, **described)


def noise(
    gram: Any,
    targets: Any,
    *,
    window: tuple[float, float] | None = None,
    draws: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """The variance of the label noise: what the power not learnt would fall to.

    Every floor is possible above which the unlearnt power falls as a power law, sigma^2 + A n^-b, to within `MISFIT`;
    the interval holds those that many windows and draws of the resolvent allow. No floor at all and the best floor are
    weighed as two laws. Noise is not told apart from a target so rough that it is never learnt.

    Args:
        gram: (N, N) Gram matrix of independent samples.
        targets: (N,) or (N, outputs).
        window: smallest and largest n of the widest window; default N/48 (at least 4) to N/3.
        draws: number of draws behind the interval.
        seed: seed of the draws.
        level: stated coverage of the sampling error and of the choice of the window.

    Returns:
        Estimate, not negative, summed over outputs; an interval that begins at 0 says that no noise is seen.

    Raises:
        ValueError: not a Gram matrix, targets of another length, a window outside the data.

    Valid when the power not learnt is a power law over the window, whatever its exponent, or small against the noise
    at its end. It bends down before it is one, and then the floor is too low by a part of what is not learnt at the
    end: a third for beta = 1.1, most of it for beta = 0.5. An interval that begins at 0 does not exclude noise.
    """
    gram = _checks.gram_matrix("gram", gram)
    size = len(gram)
    draws, seed, level = _checks.count("draws", draws, low=20), _checks.count("seed", seed, low=0), _checks.level(level)
    reach = REACH * size
    low, high = (max(4, size / 48), reach) if window is None else _checks.interval("window", window)
    _between(low, high, reach, size, 3)
    at = np.geomspace(low, high, 24)
    read = resolvent(gram, _checks.targets("targets", targets, size), at, uncertainty=True, seed=seed)
    offset = floors(read, draws, seed)
    return Estimate(
        float(np.median(offset)),
        float(np.quantile(offset, (1 - level) / 2)),
        float(np.quantile(offset, (1 + level) / 2)),
        level,
        (float(low), float(high)),
        "floor of the power not learnt",
    )


def floors(read: Resolvent, draws: int, seed: int) -> Float64[Array, " draws"]:
    """Floors of `draws` draws of the unlearnt power, each over a window of its own."""
    rng = np.random.default_rng([seed, 1])
    points = len(read.df1)
    found = []
    for drawn in read.draws(draws, seed):
        start = int(rng.integers(0, points // 2))
        found.append(floor(read.df1[start:, None] ** -EXPONENTS, drawn.unlearnt[start:], rng))
    return np.array(found)


def floor(shapes: Float64[Array, "points exponents"], curve: Float64[Array, " points"], rng: Any) -> float:
    """A floor of a falling curve, drawn from those above which it is one of the shapes to within `MISFIT`.

    Args:
        shapes: a column for every possible exponent, known up to a factor.
        curve: positive.
        rng: random generator.
    """
    # None, and floors that leave from all of the curve down to a fiftieth of its fall.
    least = 0.02 * max(curve[0] - curve[-1], 1e-6 * curve[-1])
    candidates = np.maximum(curve.min() - np.geomspace(curve.min(), min(least, 0.02 * curve.min()), 80), 0.0)
    # Over every floor the best amplitude of every shape, in relative error of the curve.
    weighed = shapes / curve[:, None]
    target = 1 - candidates[:, None] / curve
    explained = (target @ weighed) ** 2 / np.sum(weighed**2, axis=0)
    misfit = np.maximum(np.sum(target**2, axis=1)[:, None] - explained, 0.0).min(axis=1) / len(curve)
    allowed = MISFIT * max(1 - curve[-1] / curve[0], 1e-6)  # of the part that falls
    weights = np.exp(-(misfit - misfit.min()) / (2 * allowed**2))
    # No floor and the best floor are weighed as two laws: the range of possible floors is not evidence for one.
    none = weights[0] / (weights[0] + weights[1:].max())
    chances = np.concatenate([[none], (1 - none) * weights[1:] / weights[1:].sum()])
    return float(rng.choice(candidates, p=chances))


def _linear(
    read: Resolvent, which: str, less: float, *, noise: float = 0.0, level: float, window: Any, method: str
) -> Estimate:
    """Minus the log-slope of kappa or unlearnt - noise, plus `less`; the bias taken off and carried in part."""
    points = len(read.df1)
    assert read.covariance is not None
    assert read.bias is not None
    part = slice(0, points) if which == "kappa" else slice(points, 2 * points)
    share = np.ones(points)
    values = read.corrected().kappa if which == "kappa" else read.corrected().unlearnt
    if noise > 0:
        if np.any(values <= noise):
            return Estimate(math.nan, -math.inf, math.inf, level, window, method)
        share, values = values / (values - noise), values - noise
    x = np.log(read.df1)
    weights = -(x - x.mean()) / np.sum((x - x.mean()) ** 2)
    value = float(weights @ np.log(values)) + less
    sampling = (weights * share) @ read.covariance[part, part] @ (weights * share)
    correction = 0.25 * (weights * share) @ read.bias[part]
    width = float(stats.norm.ppf((1 + level) / 2) * math.hypot(math.sqrt(sampling), correction))
    return Estimate(value, value - width, value + width, level, window, method)


def _window(window: tuple[float, float] | None, size: int, part: int, start: int) -> Array:
    """Twelve whole sizes over a window that ends at most at size/part."""
    reach = size // part
    low, high = (min(start, reach / 4), reach) if window is None else _checks.interval("window", window)
    _between(low, high, reach, size, part)
    return np.unique(np.round(np.geomspace(low, high, 12)).astype(np.int64))


def _above_rounding(at: Array, variance: Array, jitter: float) -> Array:
    """The same, where the jitter that keeps the factor stable does not decide it."""
    low = variance < 100 * jitter
    if low.any():
        raise ValueError(
            f"`gram` leaves no more than rounding ({jitter:.1e} of jitter) unexplained from {at[low][0]} samples on: "
            "its rank is too low, or samples repeat; take a window below that."
        )
    return variance


def _between(low: float, high: float, reach: float, size: int, part: int) -> None:
    if not 2 <= low <= high / 2 or high > reach:
        raise ValueError(
            f"`window` must satisfy 2 <= low <= high / 2 and high <= {reach:.0f} (1/{part} of {size} samples), "
            f"got ({low:g}, {high:g}); take more samples or a narrower window."
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
    # Modes too small to be listed act as a ridge, tail/kappa; a kernel of few features has none, but a number of modes.
    rows, data = np.vstack([learnt, levels]), np.append(read.df1, read.trace)
    if read.exhausted:
        rows, data = np.vstack([rows, np.ones_like(levels)]), np.append(data, read.rank)
    below = np.zeros(len(data)) if read.exhausted else np.append(1 / read.kappa, 1.0)
    multiplicity, tail = _nonnegative(rows, below, data, 0.25 * density)
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
    found = Spectrum(levels[kept], power, multiplicity[kept], tail=tail, tail_power=tail_power)
    return found.with_prior() if read.prior else found


def _nonnegative(rows: Array, tail_column: Array, data: Array, guess: Array) -> tuple[Array, float]:
    """Non-negative w, tail with rows w + tail_column tail = data in relative error, w near its guess."""
    guess = np.maximum(guess, 1e-6 * guess.max())
    matrix = np.column_stack([rows * guess, tail_column * data[-1]]) / data[:, None]
    smooth = _SMOOTHNESS * np.eye(len(guess), len(guess) + 1)
    solution, _ = optimize.nnls(
        np.vstack([matrix, smooth]), np.concatenate([np.ones(len(data)), np.full(len(guess), _SMOOTHNESS)])
    )
    return solution[:-1] * guess, float(solution[-1] * data[-1])
