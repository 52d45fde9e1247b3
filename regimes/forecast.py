"""Learning curves beyond the data: from N samples to the loss at 10 N, with a band.

A finite sample determines its kernel's spectrum up to df1 = N/3. What lies beyond is a power law with the local
exponents of the last stretch that is known, cut where the trace is used up. Three things are uncertain, and every draw
behind the band takes all of them anew: the sample (from the covariance of the resolvent), the stretch from which the
exponents are read, and how much of the power that is still unlearnt is noise. The amplitude is that of the
leave-one-out loss at N, which does not rest on Gaussian universality.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from regimes import _checks, asymptotics, display, equivalents, estimate, factor, theory
from regimes.resolvents import Resolvent, resolvent
from regimes.results import Estimate, LearningCurve, log_slope
from regimes.spectrum import Spectrum

Array = np.ndarray

MISMATCH = 0.15
"""Standard deviation by which losses of real kernels differ from the theory's at N: 0 to 25 % on real images."""
DRIFT = 1.0
"""How far exponents go on changing: times their change over the stretch they are read from, one standard deviation."""
_DECADES = 9


@display.shown
@dataclasses.dataclass(frozen=True)
class Forecast:
    """A predicted learning curve with its band."""

    curve: LearningCurve
    """The median of the draws."""
    low: Float64[Array, " points"]
    """Lower end of the band."""
    high: Float64[Array, " points"]
    """Upper end of the band."""
    level: float
    """Stated coverage of the band at each point."""
    reach: float
    """Largest size that was seen: beyond it the curve is an extrapolation."""

    @property
    def beyond(self) -> Bool[Array, " points"]:
        """Where the curve is an extrapolation."""
        return self.curve.at > self.reach

    def __str__(self) -> str:
        last = len(self.curve) - 1
        where = f"extrapolated beyond {self.reach:g}" if self.beyond.any() else "within the data"
        return (
            f"{self.curve}; at {self.curve.at[last]:g} between {self.low[last]:.4g} and {self.high[last]:.4g} "
            f"({self.level:.0%} band, {where})"
        )


@display.shown
@dataclasses.dataclass(frozen=True)
class HeldOut:
    """A forecast from some of the samples, and what the rest of them say."""

    forecast: Forecast
    """From the smaller sample."""
    measured: LearningCurve
    """Leave-one-out losses of the whole sample, at the same sizes."""

    @property
    def error(self) -> float:
        """Median over the held-out sizes of |predicted/measured - 1|."""
        held = self.forecast.beyond & (self.measured.loss > 1e-12 * self.measured.loss.max())
        if not held.any():
            return math.nan
        return float(np.median(np.abs(self.forecast.curve.loss[held] / self.measured.loss[held] - 1)))

    @property
    def inside(self) -> float:
        """Share of the held-out sizes at which the measured loss lies in the band."""
        held = self.forecast.beyond
        between = (self.forecast.low <= self.measured.loss) & (self.measured.loss <= self.forecast.high)
        return float(np.mean(between[held]))

    def __str__(self) -> str:
        return (
            f"from {self.forecast.reach:g} samples to {self.forecast.curve.at[-1]:g}: median error {self.error:.1%}, "
            f"{self.inside:.0%} of the held-out sizes inside the {self.forecast.level:.0%} band"
        )


@display.shown
@dataclasses.dataclass(frozen=True)
class Population:
    """What a sample says of where it came from, with everything a forecast needs."""

    spectrum: Spectrum
    """Estimated up to df1 = N/3; its replicates differ in sample and in noise, so exponents read from it carry both."""
    noise: Estimate
    """Variance of the label noise, summed over outputs."""
    samples: int
    """N."""
    ridge: float
    """Added to the diagonal of the Gram matrix in the losses."""
    measured: LearningCurve
    """Leave-one-out loss along n, from the sample itself."""
    extended: tuple[Spectrum, ...]
    """The replicates with their tails, each continued from a stretch of its own."""
    floors: Float64[Array, " draws"]
    """The noise of each replicate."""
    scales: Float64[Array, " draws"]
    """By how much the leave-one-out loss at N exceeds the predicted one, for each replicate, over the noise."""

    def curve(self, n: Any, *, k: Any = math.inf, level: float = 0.9) -> Forecast:
        """The learning curve along n, at any n.

        Args:
            n: increasing numbers of samples, positive.
            k: number of features; infinite for the kernel itself.
            level: stated coverage of the band.

        Raises:
            ValueError: n not increasing or not positive, k not positive, a level outside (0, 1).

        Valid when the spectrum beyond N goes on as it did before: a kernel that meets the end of the data's
        dimensions, or a target with a scale of its own there, falls faster than any band says.
        """
        at = _checks.finite_array("n", n, ndim=(0, 1)).reshape(-1)
        if at[0] <= 0 or np.any(np.diff(at) <= 0):
            raise ValueError("`n` must be positive and strictly increasing.")
        k = k if isinstance(k, float) and k == math.inf else _checks.number("k", k, low=0, strict=True)
        level = _checks.level(level)
        losses = np.array(
            [
                floor + scale * (equivalents.loss(one, at, k, self.ridge, floor) - floor)
                for one, floor, scale in zip(self.extended, self.floors, self.scales, strict=True)
            ]
        )
        low, middle, high = np.full((3, len(at)), math.inf)  # as at n = k without ridge
        finite = ~np.isposinf(losses).any(axis=0)
        quantiles = [(1 - level) / 2, 0.5, (1 + level) / 2]
        low[finite], middle[finite], high[finite] = np.quantile(losses[:, finite], quantiles, axis=0)
        fixed = {"k": float(k), "ridge": self.ridge, "noise": self.noise.value}
        curve = LearningCurve("n", at, middle, None, None, fixed, f"forecast from {self.samples} samples")
        return Forecast(curve, low, high, level, float(self.samples))

    @property
    def noise_level(self) -> Estimate:
        """The loss when noise dominates, without ridge: (1+alpha) noise, above which nothing is left to learn.

        A ridge that is tuned to n brings it down to the noise itself.
        """
        reach = self.spectrum.resolved
        alpha = 0.0
        if math.isfinite(reach):
            alpha = theory.exponents(
                dataclasses.replace(self.spectrum, replicates=()), (reach / 8, 0.75 * reach)
            ).alpha.value
        factor_ = 1 + max(alpha, 0.0) if self.ridge == 0 else 1.0
        one = self.noise
        return Estimate(
            factor_ * one.value, factor_ * one.low, factor_ * one.high, one.level, one.window, "(1+alpha) noise"
        )


def population(
    gram: Any,
    targets: Any = None,
    *,
    ridge: float = 0.0,
    noise: float | None = None,
    draws: int = 64,
    seed: int = 0,
) -> Population:
    """Spectrum, noise and leave-one-out losses of a sample, ready for forecasts.

    Args:
        gram: (N, N) Gram matrix of independent samples.
        targets: (N,) or (N, outputs); None takes the kernel's own prior, without noise.
        ridge: added to the diagonal of the Gram matrix.
        noise: variance of the label noise, summed over outputs; default estimated: every floor is possible above
            which the unlearnt power falls as a power law, as in
            [estimate.noise][regimes.estimate.noise].
        draws: number of replicates behind intervals and bands.
        seed: seed of the replicates.

    Raises:
        ValueError: as [estimate.spectrum][regimes.estimate.spectrum]; fewer than 20 draws.
    """
    gram = _checks.gram_matrix("gram", gram)
    size = len(gram)
    ridge = _checks.number("ridge", ridge, low=0)
    draws, seed = _checks.count("draws", draws, low=20), _checks.count("seed", seed, low=0)
    if size < 48:
        raise ValueError(f"`gram` must hold at least 48 samples to estimate a spectrum, got {size}.")
    y = None if targets is None else _checks.targets("targets", targets, size)
    read = resolvent(gram, y, uncertainty=True, seed=seed)
    drawn = read.draws(draws, seed)
    rng = np.random.default_rng([seed, 2])
    if y is None and noise:
        raise ValueError("`noise` needs `targets`: the kernel's own prior is taken without noise.")
    if y is None or noise is not None:
        known = 0.0 if noise is None else _checks.number("noise", noise, low=0)
        if known >= read.total:
            raise ValueError(f"`noise` is {known:g}, not less than the mean square of the targets, {read.total:g}.")
        floors, found = np.full(draws, known), Estimate.exact(known, "given")
    else:
        floors = _floors(read, drawn, gram, y, rng)
        low, middle, high = np.quantile(floors, [0.025, 0.5, 0.975])
        window = (float(read.df1[-1] / 16), float(read.df1[-1]))
        found = Estimate(float(middle), float(low), float(high), 0.95, window, "floors that a power law allows")
    # A draw may have less power than there is noise: some is left to learn all the same.
    floors = np.minimum(floors, [0.98 * one.total for one in drawn])
    replicates = tuple(estimate.inverted(one, noise=floor) for one, floor in zip(drawn, floors, strict=True))
    whole = dataclasses.replace(
        estimate.inverted(read, noise=min(found.value, 0.98 * read.corrected().total)), replicates=replicates
    )
    extended = tuple(continued(one, _stretch(size, rng), DRIFT * rng.standard_normal()) for one in replicates)
    order = np.random.default_rng([seed, 5]).permutation(size)
    measured, spread, noisy = _left_out(gram[np.ix_(order, order)], None if y is None else y[order], ridge)
    scales = []
    for one, floor, moved in zip(extended, floors, rng.standard_normal(draws), strict=True):
        expected = float(equivalents.loss(one, size - 1, math.inf, ridge, floor)) - floor
        if not 1e-9 * read.total < expected < math.inf:  # nothing is left to learn, or n is at a peak
            scales.append(1.0)
            continue
        ratio = max(measured.loss[-1] - floor, 0.05 * measured.loss[-1]) / expected
        # Both the theory and the leave-one-out loss are uncertain: each counts by its precision.
        error = math.hypot(spread, floor * noisy / measured.loss[-1]) * measured.loss[-1] / (ratio * expected)
        weight = MISMATCH**2 / (MISMATCH**2 + error**2)
        scales.append(math.exp(weight * math.log(ratio) + math.sqrt(weight) * error * moved))
    return Population(whole, found, size, ridge, measured, extended, floors, np.array(scales))


def _floors(read: Resolvent, drawn: list[Resolvent], gram: Array, y: Array, rng: np.random.Generator) -> Array:
    """A noise variance for every draw."""
    if read.exhausted:  # all modes are learnt: what they leave is noise
        _, vectors = np.linalg.eigh(gram)
        left = vectors[:, : len(gram) - read.rank].T @ y
        scatter = rng.chisquare(max(left.size, 1), len(drawn)) / max(left.size, 1)
        return np.sum(left**2) / max(len(left), 1) * scatter
    last = slice(int(np.searchsorted(read.df1, read.df1[-1] / 16)), None, 4)
    shapes = read.df1[last, None] ** -estimate.EXPONENTS
    floors = [estimate.floor(shapes, one.unlearnt[last], rng) for one in drawn]
    return np.minimum(floors, [0.98 * one.total for one in drawn])


def continued(spectrum: Spectrum, window: tuple[float, float] | None = None, drift: float = 0.0) -> Spectrum:
    """An estimated spectrum with a power-law tail where the data stop.

    Levels below gamma(high) are replaced by lambda_i = c i^-(1+alpha), with alpha the log-slope of m gamma(m) over the
    window and c such that gamma(high) stays what it is; their power by i^-(1+beta), with beta from
    [power_beyond][regimes.theory.power_beyond]. The tail ends where the trace is used up; where it would not be, the
    rest stays in `Spectrum.tail`.

    Args:
        spectrum: from [estimate.spectrum][regimes.estimate.spectrum].
        window: smallest and largest m from which the exponents are read; default from 1/8 to 3/4 of what the spectrum
            resolves, that is, from N/24 to N/4.
        drift: how far the exponents go on changing, as a multiple of their change over the window.

    Raises:
        ValueError: a window narrower than a factor of two or beyond what the spectrum resolves.

    A spectrum that is resolved to the end is returned as it is. Its replicates are continued too. A prior target is
    continued like any other: with v_i^2 = lambda_i an error of the trace would be power that is never learnt.
    """
    reach = spectrum.resolved
    if math.isinf(reach):
        return spectrum
    low, high = (reach / 8, 0.75 * reach) if window is None else _checks.interval("window", window)
    drift = _checks.number("drift", drift)
    if not 0 < low <= high / 2 or high > reach * (1 + 1e-9):
        raise ValueError(
            f"`window` must satisfy 0 < low <= high / 2 and high <= {reach:g}, up to which the spectrum is resolved; "
            f"got ({low:g}, {high:g})."
        )
    at = np.geomspace(low, high, 8)
    gamma = np.asarray(equivalents.solve(spectrum, at).gamma)
    alpha = max(_onward(at, at * gamma, drift), 0.01)
    cut = float(gamma[-1])
    # df1 = high at gamma = cut for the power law c i^-(1+alpha), of which `first` ranks lie above the cut.
    scale = cut * (high / asymptotics.spectral_constant(alpha)) ** (1 + alpha)
    first = (scale / cut) ** (1 / (1 + alpha))
    edges = first * np.geomspace(1, 10.0**_DECADES, 60 * _DECADES)
    ranks = np.sqrt(edges[1:] * edges[:-1])
    values = scale * ranks ** -(1 + alpha)
    counts = scale * (edges[:-1] ** -alpha - edges[1:] ** -alpha) / alpha / values  # the trace of each bin is exact
    kept = spectrum.eigenvalues > cut
    left = max(spectrum.trace - float(spectrum.multiplicity[kept] @ spectrum.eigenvalues[kept]), 0.0)
    stop = max(int(np.searchsorted(np.cumsum(counts * values), left)), 1)
    values, counts, edges = values[:stop], counts[:stop], edges[: stop + 1]
    beta = max(_onward(at, np.asarray(theory.power_beyond(spectrum, at)), drift), 0.01)
    beyond = max(spectrum.total_power - float(spectrum.power[kept].sum()), 0.0)
    power = beyond * ((edges[:-1] / first) ** -beta - (edges[1:] / first) ** -beta)
    return dataclasses.replace(
        spectrum,
        eigenvalues=np.concatenate([spectrum.eigenvalues[kept], values]),
        power=np.concatenate([spectrum.power[kept], power]),
        multiplicity=np.concatenate([spectrum.multiplicity[kept], counts]),
        tail=max(left - float(counts @ values), 0.0),
        tail_power=max(beyond - float(power.sum()), 0.0),
        replicates=tuple(continued(one, window, drift) for one in spectrum.replicates),
    )


def _onward(at: Array, values: Array, drift: float) -> float:
    """Minus the log-slope, moved by `drift` times its change from the first to the second half of the window."""
    half = len(at) // 2
    change = log_slope(at[:half], values[:half]) - log_slope(at[half:], values[half:])
    return -log_slope(at, values) + drift * change


def held_out(
    gram: Any,
    targets: Any = None,
    *,
    share: float = 0.25,
    ridge: float = 0.0,
    noise: float | None = None,
    points: int = 12,
    level: float = 0.9,
    draws: int = 64,
    seed: int = 0,
) -> HeldOut:
    """The score of a forecast: from a share of the samples, checked at the sizes that were held out.

    Args:
        gram: (N, N) Gram matrix of independent samples.
        targets: (N,) or (N, outputs); None for the kernel's own prior.
        share: part of the samples that the forecast sees, between 0 and 1/2.
        ridge: as in [population][regimes.forecast.population].
        noise: as there.
        points: number of sizes.
        level: stated coverage of the band.
        draws: as there.
        seed: seed of the draws and of which samples are seen.

    Raises:
        ValueError: as there; a share outside (0, 1/2], or one that leaves fewer than 48 samples.
    """
    gram = _checks.gram_matrix("gram", gram)
    size = len(gram)
    share, points = _checks.number("share", share), _checks.count("points", points, low=3)
    seed = _checks.count("seed", seed, low=0)
    if not 0 < share <= 0.5 or int(share * size) < 48:
        raise ValueError(f"`share` must lie between 0 and 1/2 and leave at least 48 of {size} samples, got {share:g}.")
    y = None if targets is None else _checks.targets("targets", targets, size)
    order = np.random.default_rng([seed, 3]).permutation(size)
    seen = order[: int(share * size)]
    part = population(
        gram[np.ix_(seen, seen)], None if y is None else y[seen], ridge=ridge, noise=noise, draws=draws, seed=seed
    )
    at = np.unique(np.round(np.geomspace(max(8, len(seen) // 8), size - 1, points)).astype(np.int64))
    measured, *_ = _left_out(gram[np.ix_(order, order)], None if y is None else y[order], ridge, at)
    return HeldOut(part.curve(at.astype(np.float64), level=level), measured)


def from_curve(
    curve: LearningCurve,
    n: Any,
    *,
    spectrum: Spectrum | None = None,
    noise: float | None = None,
    level: float = 0.9,
    draws: int = 200,
    seed: int = 0,
) -> tuple[Forecast, Estimate]:
    """A measured learning curve continued, and the exponent beta that it shows.

    A target with power i^-(1+beta) in mode i of the spectrum has a loss known at every n up to its amplitude and
    noise, and these three are chosen to fit the curve; without a spectrum the loss is amplitude n^-beta + noise. Every
    draw takes other trials (with replacement), another beginning of the stretch that is fitted, and another noise, as
    in [population][regimes.forecast.population].

    Args:
        curve: a loss along n, with trials if the band is to hold their scatter.
        n: increasing numbers of samples, positive, at which to predict.
        spectrum: of the kernel, known or estimated (it is continued where it is not resolved); its target is not used.
        noise: variance of the label noise, summed over outputs, if it is known.
        level: stated coverage of the band and of the interval of beta.
        draws: number of draws.
        seed: seed of the draws.

    Returns:
        The forecast, and beta with its interval: of the target power with a spectrum, of the loss itself without.

    Raises:
        ValueError: a curve along another axis, with fewer than six points or losses that are not positive; n not
            increasing; a noise not below the curve.
    """
    at = _checks.finite_array("n", n, ndim=(0, 1)).reshape(-1)
    if at[0] <= 0 or np.any(np.diff(at) <= 0):
        raise ValueError("`n` must be positive and strictly increasing.")
    if curve.along != "n":
        raise ValueError(f"`curve` must run along n, got one along {curve.along}.")
    if len(curve) < 6:
        raise ValueError(f"`curve` must have at least six points, got {len(curve)}.")
    if not np.all(curve.loss > 0):
        raise ValueError(f"`curve` must be positive; its smallest loss is {curve.loss.min():.3g}.")
    known = None if noise is None else _checks.number("noise", noise, low=0)
    if known is not None and known >= curve.loss.min():
        raise ValueError(f"`noise` is {known:g}, not less than the smallest loss, {curve.loss.min():.3g}.")
    draws, seed, level = _checks.count("draws", draws, low=20), _checks.count("seed", seed, low=0), _checks.level(level)
    shapes = _shapes(spectrum, np.concatenate([curve.at, at]))
    seen, ahead = shapes[:, : len(curve)], shapes[:, len(curve) :]
    if spectrum is not None and not (np.isfinite(shapes).all() and (seen > 0).all()):
        raise ValueError(
            f"`spectrum` has {spectrum.modes:g} modes, all learnt before the end of `curve` at n = {curve.at[-1]:g}: "
            "there is no exponent to read; take a spectrum with a tail, or none."
        )
    rng = np.random.default_rng([seed, 4])
    losses, betas = np.empty((draws, len(at))), np.empty(draws)
    # The stretch ends with the curve and begins anywhere that leaves a factor of four, or six points.
    latest = max(min(int(np.searchsorted(curve.at, curve.at[-1] / 4)), len(curve) - 6), 0)
    for index in range(draws):
        part = slice(int(rng.integers(0, latest + 1)), None)
        loss = curve.loss
        if curve.trials is not None and len(curve.trials) > 1:
            loss = curve.trials[rng.integers(0, len(curve.trials), len(curve.trials))].mean(axis=0)
        floor = estimate.floor(seen[:, part].T, loss[part], rng) if known is None else known
        weighed, target = seen[:, part] / loss[part], (loss[part] - floor) / loss[part]
        squares = np.sum(weighed**2, axis=1)
        best = int(np.argmax((weighed @ target) ** 2 / squares))
        losses[index] = floor + float(weighed[best] @ target / squares[best]) * ahead[best]
        betas[index] = estimate.EXPONENTS[best]
    quantiles = [(1 - level) / 2, 0.5, (1 + level) / 2]
    low, middle, high = np.quantile(losses, quantiles, axis=0)
    below, beta, above = np.quantile(betas, quantiles)
    window = (float(curve.at[0]), float(curve.at[-1]))
    method = "loss of the spectrum" if spectrum is not None else "power law of the loss"
    predicted = LearningCurve("n", at, middle, None, None, curve.fixed, f"forecast from {curve.source or 'a curve'}")
    found = Estimate(float(beta), float(below), float(above), level, window, method)
    return Forecast(predicted, low, high, level, window[1]), found


def _shapes(spectrum: Spectrum | None, at: Array) -> Float64[Array, "exponents points"]:
    """The noiseless loss at `at` of a target of each exponent in `EXPONENTS`, up to a factor."""
    if spectrum is None:
        return at ** -estimate.EXPONENTS[:, None]
    whole = continued(dataclasses.replace(spectrum, replicates=()))
    last = np.cumsum(whole.multiplicity)
    # Level j holds the ranks from `first` to `last`; power i^-(1+beta) is summed over them by an integral.
    edges = np.concatenate([[0.0], last]) + 0.5
    shapes = np.empty((len(estimate.EXPONENTS), len(at)))
    for row, beta in zip(shapes, estimate.EXPONENTS, strict=True):
        beyond = edges**-beta / beta
        power = beyond[:-1] - beyond[1:]
        tail_power = float(beyond[-1]) if whole.tail > 0 else 0.0
        row[:] = equivalents.loss(dataclasses.replace(whole, power=power, tail_power=tail_power), at)
    return shapes


def _left_out(
    gram: Array, y: Array | None, ridge: float, at: Array | None = None
) -> tuple[LearningCurve, float, float]:
    """Leave-one-out losses at the sizes `at`, and the errors of the last: relative, and per unit of noise variance.

    Noise makes the residuals of different samples agree. For independent noise they are e = D^-1 M noise with M the
    inverse of K + ridge and D its diagonal, so the variance of the mean of e^2 is 2 |D^-1 M^2 D^-1|^2/N^2.
    """
    size = len(gram)
    at = np.unique(np.round(np.geomspace(4, size - 1, 24)).astype(np.int64)) if at is None else at
    factored = factor.cholesky(gram, ridge)
    noisy = 0.0
    if y is None and ridge == 0:
        shares = [1 / part.diagonal for part in factor.inverses(factored.lower, at + 1)]
        loss, spread = np.array([share.mean() for share in shares]), float(shares[-1].std() / shares[-1].mean())
    elif y is None:  # the columns of the factor of K are draws from the prior with exactly its covariance
        draws = factor.cholesky(gram).lower
        losses = factor.training_losses(factored.lower, draws, at + 1, ridge=ridge + factored.jitter)
        loss, spread = losses.leave_one_out, float(losses.leave_one_out_spread[-1] / losses.leave_one_out[-1])
    else:
        losses = factor.training_losses(factored.lower, y, at + 1, ridge=ridge + factored.jitter)
        loss, spread = losses.leave_one_out, float(losses.leave_one_out_spread[-1] / losses.leave_one_out[-1])
        root = factor.solve_lower(factored.lower, np.eye(size)[:, : at[-1] + 1])
        inverse = root.T @ root
        residual = inverse / np.diagonal(inverse)[:, None]
        noisy = math.sqrt(2 * float(np.sum((residual @ residual.T) ** 2)) / y.shape[1]) / size
    curve = LearningCurve(
        "n", at.astype(np.float64), loss, None, None, {"k": math.inf, "ridge": ridge}, "leave-one-out, one sample"
    )
    return curve, spread / math.sqrt(int(at[-1]) + 1), noisy


def _stretch(size: int, rng: np.random.Generator) -> tuple[float, float]:
    """A window of m from which to read exponents: about N/24 to N/4, drawn."""
    low, high = np.exp(rng.uniform(np.log([1 / 36, 1 / 5]), np.log([1 / 12, 1 / 3])))
    return float(low * size), float(high * size)
