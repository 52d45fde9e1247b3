"""Predictions: curves and surfaces, the ridgeless split, exponents global and local, and duality."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from regimes import _checks, differentiable, display, dynamics, equivalents
from regimes._precision import float64
from regimes.results import Caution, Check, Estimate, LearningCurve, LossSurface, Values, log_slope
from regimes.spectrum import Spectrum


@display.shown
class Split(NamedTuple):
    """The ridgeless loss, L = limit + excess."""

    limit: Values
    """Resolution-limited part: L(n, inf) where n < k, L(inf, k) where k < n."""
    excess: Values
    """Variance-limited part: m [B1(m) + noise]/|n - k| with m = min(n, k)."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Exponents:
    """The four exponents of a spectrum, positive, each of the reducible loss named in its line."""

    alpha: Estimate
    """Kernel spectrum: lambda_i ~ i^-(1+alpha), read from m gamma(m) ~ m^-alpha."""
    beta: Estimate
    """Target power: v_i^2 ~ i^-(1+beta), read from the power beyond rank m ~ m^-beta."""
    resolution_n: Estimate
    """L(n, inf) - noise ~ n^-min(beta, 2(1+alpha))."""
    resolution_k: Estimate
    """L(inf, k) - noise ~ k^-min(beta, 1+alpha)."""
    variance_n: Estimate
    """L(n, k) - L(inf, k) ~ (n-k)^-1."""
    variance_k: Estimate
    """L(n, k) - L(n, inf) ~ (k-n)^-1."""

    def __str__(self) -> str:
        where = self.alpha.window
        read = f", read between {where[0]:g} and {where[1]:g}" if where else ""
        return "\n".join(
            (
                f"alpha = {self.alpha}, beta = {self.beta}{read}",
                f"resolution-limited in n: {self.resolution_n}   (min(beta, 2(1+alpha)))",
                f"resolution-limited in k: {self.resolution_k}   (min(beta, 1+alpha))",
                f"variance-limited in n:   {self.variance_n}",
                f"variance-limited in k:   {self.variance_k}",
            )
        )


def predict_curve(
    spectrum: Spectrum,
    *,
    n: Any = math.inf,
    k: Any = math.inf,
    ridge: Any = 0.0,
    noise: float = 0.0,
    time: Any = math.inf,
) -> LearningCurve:
    """The predicted test loss along n, k, ridge or time, whichever is given as a sequence.

    Args:
        spectrum: kernel and target.
        n: numbers of training samples, or one number to hold (default: infinite).
        k: numbers of features, or one number to hold (default: infinite).
        ridge: added to the diagonal of the Gram matrix, in the units of the kernel.
        noise: variance of the label noise, included in the loss.
        time: gradient-flow times in units of 1/eigenvalue (default: trained to the end).

    Raises:
        ValueError: none or more than one of n, k, ridge and time is a sequence; values that are not positive.

    Formula and range of validity: [equivalents.loss][regimes.equivalents.loss] and
    [dynamics.gradient_flow][regimes.dynamics.gradient_flow].
    """
    axes = {"n": n, "k": k, "ridge": ridge, "time": time}
    along = [name for name, value in axes.items() if np.ndim(value) == 1]
    if len(along) != 1 or any(np.ndim(value) > 1 for value in axes.values()):
        raise ValueError("exactly one of `n`, `k`, `ridge` and `time` must be a sequence: the axis of the curve.")
    noise = _checks.number("noise", noise, low=0)
    fixed = {name: float(value) for name, value in axes.items() if name != along[0]} | {"noise": noise}
    if fixed.get("time") == math.inf:
        del fixed["time"]
    at = np.asarray(axes[along[0]], dtype=np.float64)
    loss = np.asarray(dynamics.gradient_flow(spectrum, time, n, k, ridge, noise))
    source = "deterministic equivalent"
    return LearningCurve(along[0], at, loss, fixed=fixed, source=source, caution=_caution(spectrum, loss))


def predict_surface(
    spectrum: Spectrum, *, n: Any, k: Any, ridge: float = 0.0, noise: float = 0.0, time: float = math.inf
) -> LossSurface:
    """The predicted test loss over the grid of all pairs (n, k); arguments as for `predict_curve`.

    Raises:
        ValueError: n or k is not a sequence; values that are not positive.
    """
    n, k = (_checks.finite_array(name, value, ndim=1) for name, value in (("n", n), ("k", k)))
    fixed = {"ridge": _checks.number("ridge", ridge), "noise": _checks.number("noise", noise), "time": float(time)}
    loss = np.asarray(dynamics.gradient_flow(spectrum, time, n[:, None], k, ridge, noise))
    return LossSurface(n, k, loss, fixed=fixed, source="deterministic equivalent", caution=_caution(spectrum, loss))


def _caution(spectrum: Spectrum, loss: np.ndarray) -> Caution | None:
    """The spectrum's own caution, and the reason where the loss is infinite."""
    if not np.isinf(loss).any():
        return spectrum.caution
    peak = "infinite at the interpolation peak: as many samples as features or modes, and no ridge"
    if spectrum.caution is None:
        return Caution(peak)
    return Caution(f"{peak}; {spectrum.caution.reason}", spectrum.caution.factor)


def ridgeless_split(spectrum: Spectrum, n: Any, k: Any, noise: float = 0.0) -> Split:
    """The loss without ridge as resolution-limited limit plus variance-limited excess, exactly.

    With m = min(n, k), gamma(m) the root of df1(gamma) = m, and B1(m) = sum v_i^2 gamma/(lambda_i+gamma):

        n < k:  L(n, k) = L(n, inf) + n [B1(n) + noise]/(k - n),
        k < n:  L(n, k) = L(inf, k) + k [B1(k) + noise]/(n - k).

    The excess is the same function of (n, k) and of (k, n) for any target and noise, as long as m is below the number
    of modes; only the limits differ. At n = k it is infinite. Once n and k both reach the number of modes, everything
    is learnt: for n < k the excess is 0, for k < n it has that number in place of k.

    Raises:
        ValueError: n or k not positive; a negative noise.

    Valid when: as for `equivalents.loss`, at ridge 0.
    """
    n, k = np.broadcast_arrays(np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64))
    m = np.minimum(n, k)
    unlearnt = equivalents.unlearnt_power(spectrum, equivalents.solve(spectrum, n, k).gamma)
    limit = np.where(n < k, equivalents.loss(spectrum, m, math.inf, 0, noise), unlearnt + noise)
    learnt = np.minimum(m, spectrum.modes)
    with np.errstate(divide="ignore", invalid="ignore"):
        wide = np.where(n >= spectrum.modes, 0.0, n / (k - n))
        excess = np.where(n < k, wide, learnt / (n - learnt)) * (unlearnt + noise)
        excess = np.where(np.isinf(np.maximum(n, k)) | (unlearnt + noise == 0), 0.0, excess)
    return Split(limit, excess)


def exponents(spectrum: Spectrum, window: tuple[float, float] | None = None, level: float = 0.95) -> Exponents:
    """The four exponents that a spectrum predicts, read over a window of sizes.

    alpha is minus the log-slope of m gamma(m), which for lambda_i ~ i^-(1+alpha) is m^-alpha exactly; beta is
    minus the log-slope of the target power beyond rank m, or alpha where the target is the kernel's prior. Then the
    exponents are min(beta, 2(1+alpha)) in n, min(beta, 1+alpha) in k, and 1 in both variance-limited regimes.

    Args:
        spectrum: kernel and target; its replicates, if any, give the intervals.
        window: smallest and largest m; default from 16 to what the spectrum resolves.
        level: stated coverage of the intervals.

    Raises:
        ValueError: a window outside the spectrum or narrower than a factor of two.

    Valid when the spectrum is close to a power law over the window; on data it drifts, so a window of the
    experiment in question is more telling than the default. Logarithmic corrections at equality
    (beta = 1+alpha, beta = 2(1+alpha)) are ignored.
    """
    low, high = window if window is not None else (16, min(spectrum.resolved, spectrum.modes / 10))
    if window is None and low > high / 2:
        raise ValueError(
            f"the spectrum resolves sizes up to {high:g} only, too few to read exponents by default; give a `window`."
        )
    if not 0 < low <= high / 2 or high >= spectrum.modes:
        raise ValueError(
            f"`window` must satisfy 0 < low <= high / 2 and high < {spectrum.modes:g} modes, got ({low:g}, {high:g})."
        )
    at = np.geomspace(low, high, 24)

    def both(of: Spectrum) -> tuple[float, float]:
        alpha = -log_slope(at, at * equivalents.solve(of, at).gamma)
        # A prior target has beta = alpha by definition, on any window; the two read-outs would drift apart.
        return alpha, alpha if of.is_prior else -log_slope(at, power_beyond(of, at))

    alpha, beta = np.array([both(of) for of in (spectrum, *spectrum.replicates)]).T

    def read(values: np.ndarray, method: str) -> Estimate:
        return Estimate.from_draws(values[0], values[1:], level=level, window=(low, high), method=method)

    return Exponents(
        read(alpha, "log-slope of m gamma(m)"),
        read(beta, "log-slope of the power beyond rank m"),
        read(np.minimum(beta, 2 * (1 + alpha)), "min(beta, 2(1+alpha))"),
        read(np.minimum(beta, 1 + alpha), "min(beta, 1+alpha)"),
        Estimate.exact(1.0),
        Estimate.exact(1.0),
    )


def power_beyond(spectrum: Spectrum, m: Any) -> Values:
    """Target power in the modes beyond rank m, with a soft edge: sum_i v_i^2 (gamma/(lambda_i+gamma))^4.

    gamma = gamma(m) is the root of df1(gamma) = m. On a power law this falls as m^-min(beta, 4(1+alpha)), so it
    shows beta long after the losses (powers 1 and 2 of the same filter) have saturated, and unlike a sharp cut
    it does not jump from one degenerate level to the next.

    Args:
        spectrum: kernel and target.
        m: ranks, positive and below the number of modes; need not be whole.
    """
    gamma = np.asarray(equivalents.solve(spectrum, m).gamma)[..., None]
    return (gamma / (spectrum.eigenvalues + gamma)) ** 4 @ spectrum.power + spectrum.tail_power


def window_exponent(spectrum: Spectrum, along: str, at: Any, noise: float = 0.0, level: float = 0.95) -> Estimate:
    """Minus the log-slope of the predicted resolution-limited loss over the very points of an experiment.

    On a finite window this is what a measured slope must be compared with; the exponents of
    [exponents][regimes.theory.exponents] are its limits on a pure power law.

    Args:
        spectrum: kernel and target; its replicates, if any, give the interval.
        along: "n" for L(n, inf) - noise, "k" for L(inf, k) - noise.
        at: the sizes.
        noise: variance of the label noise.
        level: stated coverage of the interval.

    Raises:
        ValueError: an unknown axis, or fewer than three sizes.
    """
    along = _checks.choice("along", along, ("n", "k"))
    at = np.asarray(at, dtype=np.float64)

    def statistic(of: Spectrum) -> float:
        n, k = (at, math.inf) if along == "n" else (math.inf, at)
        return -log_slope(at, equivalents.loss(of, n, k, 0.0, noise, excess=True))

    draws = np.array([statistic(replicate) for replicate in spectrum.replicates])
    return Estimate.from_draws(
        statistic(spectrum),
        draws,
        level=level,
        window=(float(at[0]), float(at[-1])),
        method="log-slope of the predicted curve",
    )


@display.shown
class LocalExponents(NamedTuple):
    """Minus the log-derivatives of the reducible loss, L - noise: positive where more of it helps."""

    n: Values
    """-d ln(L - noise)/d ln n; 0 at infinite n."""
    k: Values
    """-d ln(L - noise)/d ln k; 0 at infinite k."""
    ridge: Values
    """-d ln(L - noise)/d ln ridge; 0 at zero ridge."""
    time: Values
    """-d ln(L - noise)/d ln t; 0 at infinite time."""


def local_exponents(
    spectrum: Spectrum, n: Any, k: Any = math.inf, ridge: Any = 0.0, noise: Any = 0.0, time: Any = math.inf
) -> LocalExponents:
    """The exponents at a point, exactly: derivatives of the loss by the implicit function theorem.

    What a log-log slope between two nearby sizes tends to. Negative where more data, features, ridge or time raise
    the loss (double descent). On a power law, deep in a regime, they are the exponents of
    [exponents][regimes.theory.exponents].

    Args:
        spectrum: kernel and target.
        n: numbers of samples, positive, possibly infinite.
        k: numbers of features, positive, possibly infinite.
        ridge: added to the diagonal of the Gram matrix, not negative.
        noise: variance of the label noise, not negative.
        time: gradient-flow time, positive; infinite (the default) is trained to the end. Finite at all points or none.

    Raises:
        ValueError: n, k or time not positive, a negative ridge or noise, NaN; finite and infinite times mixed.

    Valid when: as for the loss. At n = k without ridge the loss is infinite and its exponents are NaN.
    """
    times = np.asarray(time, dtype=np.float64)
    if np.isnan(times).any() or (times <= 0).any() or (np.isinf(times).any() and not np.isinf(times).all()):
        raise ValueError("`time` must be positive, and finite at all points or infinite at all.")
    if np.isinf(times).all():
        with np.errstate(divide="ignore", invalid="ignore"):
            excess = np.asarray(equivalents.loss(spectrum, n, k, ridge, noise, excess=True))
            known = equivalents.derivatives(spectrum, n, k, ridge, noise)
            in_n, in_k, in_ridge = (np.where(slope == 0, 0.0, -slope / excess)[()] for slope in known)
        return LocalExponents(in_n, in_k, in_ridge, np.zeros(np.shape(excess))[()])
    every = (np.asarray(value, dtype=np.float64) for value in (n, k, ridge, times, noise))
    *points, noise = (np.array(array) for array in np.broadcast_arrays(*every))
    of = differentiable.arguments(spectrum.compressed)
    with float64():
        import jax

        def total(n: Any, k: Any, ridge: Any, time: Any) -> Any:
            values = differentiable.loss(**of, n=n, k=k, ridge=ridge, noise=noise, time=time)
            return values.sum(), values

        slopes, values = jax.grad(total, argnums=(0, 1, 2, 3), has_aux=True)(*points)
        slopes, reducible = [np.asarray(slope) for slope in slopes], np.asarray(values) - noise
    with np.errstate(divide="ignore", invalid="ignore"):
        found = [
            np.where((slope == 0) | (at == 0) | np.isinf(at), 0.0, -slope * at / reducible)
            for slope, at in zip(slopes, points, strict=True)
        ]
    return LocalExponents(*(value[()] for value in found))


@display.shown
class Point(NamedTuple):
    """A place on the loss surface."""

    n: float
    """Number of samples."""
    k: float
    """Number of features."""
    ridge: float
    """Added to the diagonal of the Gram matrix."""
    time: float
    """Gradient-flow time."""


def dual(n: float, k: float, ridge: float = 0.0, time: float = math.inf) -> Point:
    """The point that is dual to (n, k, ridge, time): data and features exchanged.

    A target drawn from the kernel as a prior, without noise, has the same loss at both, also for a single draw of
    data and projection when these are exchanged (averaged over targets only). What stays the same is the ridge of
    unnormalised features, ridge x k, hence (k, n, ridge k/n, time).

    Args:
        n: number of samples, positive, possibly infinite.
        k: number of features, positive, possibly infinite.
        ridge: added to the diagonal of the Gram matrix, not negative.
        time: gradient-flow time, with Phi^T Phi/n and features that carry 1/sqrt(k): it stays.

    Raises:
        ValueError: n or k not positive, a negative ridge or time; a ridge with infinite n or k, whose dual is no
            finite ridge.

    Source: Maloney, Roberts and Sully 2022 (arXiv:2210.16859) without ridge; Zhang 2024 (arXiv:2405.19398) with;
    for single draws derived in docs/theory.md.
    """
    equivalents._flat(n=n, k=k, ridge=ridge)
    if not time >= 0:
        raise ValueError(f"`time` must not be negative, got {time}.")
    if ridge > 0 and (math.isinf(n) or math.isinf(k)):
        raise ValueError("`ridge` has no dual at infinite `n` or `k`: only ridge/n stays the same, use a large size.")
    return Point(k, n, ridge * k / n if ridge else 0.0, time)


def pathwise_loss(eigenvalues: Any, samples: Any, projection: Any, ridge: float = 0.0, time: float = math.inf) -> float:
    """The loss of one data set and one projection, averaged over targets from the prior: no approximation.

    With Z (n x modes) the whitened samples, A (k x modes) the projection and f the filter of ridge or of gradient
    flow, loss = | L - (A L)^T f(X) (Z L) |_F^2, L = Lambda^(1/2), X = Z L A^T. Exchanging Z and A transposes the
    matrix inside, so the loss at (Z, A, ridge) equals that at (A, Z, ridge k/n), whatever the distributions.

    Args:
        eigenvalues: (modes,) lambda_i.
        samples: (n, modes) coefficients of the samples in the orthonormal eigenbasis.
        projection: (k, modes) the rows of A; features are A Lambda^(1/2) e(x)/sqrt(k).
        ridge: added to the diagonal of the Gram matrix, not negative.
        time: gradient-flow time; infinite is trained to the end.

    Raises:
        ValueError: shapes that do not fit, negative eigenvalues, ridge or time, NaN.
    """
    eigenvalues = _checks.finite_array("eigenvalues", eigenvalues, ndim=1)
    samples = _checks.finite_array("samples", samples, ndim=2)
    projection = _checks.finite_array("projection", projection, ndim=2)
    for name, array in (("samples", samples), ("projection", projection)):
        if array.shape[1] != len(eigenvalues):
            raise ValueError(
                f"`{name}` must have {len(eigenvalues)} columns, one per eigenvalue, got {array.shape[1]}."
            )
    if eigenvalues.min() < 0:
        raise ValueError(f"`eigenvalues` must not be negative, got {eigenvalues.min():.3g}.")
    ridge = _checks.number("ridge", ridge, low=0)
    if not time >= 0:
        raise ValueError(f"`time` must not be negative, got {time}.")
    n, k = len(samples), len(projection)
    root = np.sqrt(eigenvalues)
    left, singular, right = np.linalg.svd(samples * root @ projection.T / math.sqrt(k), full_matrices=False)
    kept = singular > singular[0] * max(n, k) * np.finfo(np.float64).eps
    left, singular, right = left[:, kept], singular[kept], right[kept]
    rate = (singular**2 + ridge) / n
    learnt = singular / (singular**2 + ridge) * (-np.expm1(-rate * time))
    fitted = (projection * root).T / math.sqrt(k) @ (right.T * learnt) @ (left.T @ (samples * root))
    return float(np.sum((np.diag(root) - fitted) ** 2))


def duality_report(
    spectrum: Spectrum, n: int, k: int, ridge: float = 0.0, noise: float = 0.0, *, modes: int = 400, seed: int = 0
) -> tuple[Check, ...]:
    """What of the duality between data and width holds at (n, k), what only for exponents, and what breaks it.

    Level 0: one draw, data and projection exchanged: an identity. Level 1: the mean loss of a target from the prior.
    Level 2: equal exponents while beta <= 1+alpha. Level 3: unequal exponents beyond, where width saturates at
    1+alpha and data at 2(1+alpha). Level 4: label noise, which only data feel. Level 5: geometry, which features.

    Args:
        spectrum: kernel and target.
        n: number of samples.
        k: number of features.
        ridge: added to the diagonal of the Gram matrix, not negative.
        noise: variance of the label noise, not negative.
        modes: how many of the leading modes the draws of levels 0 and 5 have.
        seed: of those draws.

    Raises:
        ValueError: n, k or modes not a positive whole number, a negative ridge or noise.
    """
    n, k, modes = _checks.count("n", n), _checks.count("k", k), _checks.count("modes", modes)
    noise, swapped = _checks.number("noise", noise, low=0), dual(n, k, ridge)
    checks = [_pathwise_check(spectrum, n, k, ridge, swapped.ridge, modes, seed)]
    prior = spectrum.with_prior()
    points = ((n, k, ridge), (swapped.n, swapped.k, swapped.ridge))
    here = [float(equivalents.loss(prior, *point)) for point in points]
    same = bool(here[0] == here[1] or abs(here[0] / here[1] - 1) < 1e-9)
    found = f"{here[0]:.8g} and {here[1]:.8g}"
    checks.append(Check("prior target", 1, f"L({n}, {k}) and L({k}, {n}), no noise", "equal", found, same))
    if n != k and not _proportional(spectrum, prior):
        own = [float(equivalents.loss(spectrum, *point)) for point in points]
        expected, found = "unequal: power is not the prior's", f"{own[0]:.4g} and {own[1]:.4g}"
        unequal = abs(own[0] - own[1]) > 1e-9 * own[1] if max(own) > 0 else None
        checks.append(Check("this target", 1, f"L({n}, {k}) and L({k}, {n}), no noise", expected, found, unequal))
    checks.append(_exponent_check(spectrum, n, k))
    if noise > 0:
        pairs = (n, math.inf), (math.inf, n)
        parts = [equivalents.decompose(spectrum, one, other, 0.0, noise) for one, other in pairs]
        variance = [float(part.noise_data + part.noise_features) for part in parts]
        what = f"noise variance at (n, k) = ({n}, inf) and (inf, {n}), no ridge"
        expected = "data fit the noise, features with infinite data do not"
        found = f"{variance[0]:.4g} and {variance[1]:.4g}"
        checks.append(Check("this target", 4, what, expected, found, variance[0] > 0 == variance[1]))
    checks.append(_geometry_check(spectrum, min(n, k), max(n, k), modes, seed))
    return tuple(checks)


def _proportional(spectrum: Spectrum, prior: Spectrum) -> bool:
    """Whether the target is the prior up to its size, which no duality depends on."""
    power = np.append(spectrum.power, spectrum.tail_power) * prior.total_power
    return np.allclose(power, np.append(prior.power, prior.tail_power) * spectrum.total_power, rtol=1e-12, atol=0)


def _gap(one: float, other: float, scale: float) -> float:
    """Relative difference of two losses; those below 1e-12 of `scale` are zero but for rounding."""
    return float(abs(one - other) / max(one, other, 1e-12 * scale))


def _draw(spectrum: Spectrum, n: int, k: int, modes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The leading eigenvalues one by one, whitened samples and a projection."""
    total = int(min(modes, math.ceil(spectrum.multiplicity.sum())))
    level = np.searchsorted(np.cumsum(spectrum.multiplicity), np.arange(total) + 0.5)
    eigenvalues = spectrum.eigenvalues[np.minimum(level, len(spectrum.eigenvalues) - 1)]
    random = np.random.default_rng(seed)
    return eigenvalues, random.standard_normal((n, total)), random.standard_normal((k, total))


def _pathwise_check(spectrum: Spectrum, n: int, k: int, ridge: float, other: float, modes: int, seed: int) -> Check:
    values, samples, projection = _draw(spectrum, n, k, modes, seed)
    pairs = [
        (pathwise_loss(values, samples, projection, ridge, t), pathwise_loss(values, projection, samples, other, t))
        for t in (10 / values[0], math.inf)
    ]
    worst = max(_gap(one, other, values.sum()) for one, other in pairs)
    what = f"one draw of data and projection on {len(values)} modes, exchanged; early and late"
    return Check("prior target", 0, what, "equal to rounding", f"relative difference {worst:.1e}", worst < 1e-9)


def _exponent_check(spectrum: Spectrum, n: int, k: int) -> Check:
    low, high = min(n, k), max(n, k)
    window = (low / 2, high * 2.0) if high < 4 * low else (float(low), float(high))
    what = f"exponents in n and in k between {window[0]:g} and {window[1]:g}"
    if window[1] >= spectrum.modes:
        return Check("this target", 2, what, "read below the number of modes", f"only {spectrum.modes:g} modes", None)
    read = exponents(spectrum, window)
    at = np.geomspace(*window, 24)
    slopes = [window_exponent(spectrum, along, at).value for along in ("n", "k")]
    found = f"{slopes[0]:.3f} and {slopes[1]:.3f}"
    alpha, beta = read.alpha.value, read.beta.value
    if beta <= 1 + alpha:
        expected = f"equal: beta = {beta:.2f} <= 1+alpha = {1 + alpha:.2f}"
        # Width approaches its law as k^-(1+alpha-beta): close to 1+alpha no window is long enough to judge.
        slow = math.sqrt(window[0] * window[1]) ** -(1 + alpha - beta) > 0.1
        equal = abs(slopes[0] - slopes[1]) < 0.1 * slopes[0]
        return Check("this target", 2, what, expected, found, None if slow and not equal else equal)
    expected = (
        f"unequal: beta = {beta:.2f}, width saturates at 1+alpha = {1 + alpha:.2f}, data at {2 * (1 + alpha):.2f}"
    )
    return Check("this target", 3, what, expected, found, slopes[0] > slopes[1])


def _geometry_check(spectrum: Spectrum, n: int, k: int, modes: int, seed: int) -> Check:
    """Orthonormal rows against Gaussian rows with the same span."""
    values, samples, projection = _draw(spectrum, n, k, modes, seed)
    k = min(k, len(values))
    rows = np.linalg.qr(projection[:k].T)[0].T * math.sqrt(len(values))
    everything = np.eye(len(values)) * math.sqrt(len(values))
    infinite, finite = (
        _gap(pathwise_loss(values, z, projection[:k]), pathwise_loss(values, z, rows), values.sum())
        for z in (everything, samples)
    )
    what = f"Gaussian and orthonormal projections with the same span, n = inf and n = {n}, k = {k}"
    # From n = k on, or as many samples as modes, the span is all that matters with finite data too.
    expected = "equal at n = inf, " + ("unequal at n < k" if n < k else "at finite n only for n < k")
    found = f"relative difference {infinite:.1e} and {finite:.1e}"
    return Check("prior target", 5, what, expected, found, infinite < 1e-9 < finite if n < k else infinite < 1e-9)
