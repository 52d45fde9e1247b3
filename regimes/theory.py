"""Predictions: learning curves, the ridgeless split, the four exponents."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from regimes import _checks, equivalents
from regimes.results import Estimate, LearningCurve, Values, log_slope
from regimes.spectrum import Spectrum


class Split(NamedTuple):
    """The ridgeless loss, L = limit + excess."""

    limit: Values
    """Resolution-limited part: L(n, inf) where n < k, L(inf, k) where k < n."""
    excess: Values
    """Variance-limited part: m [B1(m) + noise]/|n - k| with m = min(n, k)."""


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
    spectrum: Spectrum, *, n: Any = math.inf, k: Any = math.inf, ridge: float = 0.0, noise: float = 0.0
) -> LearningCurve:
    """The predicted test loss along n or along k, whichever is given as a sequence.

    Args:
        spectrum: kernel and target.
        n: numbers of training samples, or one number to hold (default: infinite).
        k: numbers of features, or one number to hold (default: infinite).
        ridge: added to the diagonal of the Gram matrix, in the units of the kernel.
        noise: variance of the label noise, included in the loss.

    Raises:
        ValueError: both or neither of n and k are sequences; values that are not positive.

    Formula and range of validity: [equivalents.loss][regimes.equivalents.loss].
    """
    along_n, along_k = np.ndim(n) == 1, np.ndim(k) == 1
    if along_n == along_k:
        raise ValueError("exactly one of `n` and `k` must be a sequence: the axis of the curve.")
    at = np.asarray(n if along_n else k, dtype=np.float64)
    fixed = {"k": float(k)} if along_n else {"n": float(n)}
    return LearningCurve(
        "n" if along_n else "k",
        at,
        np.asarray(equivalents.loss(spectrum, n, k, ridge, noise)),
        fixed=fixed | {"ridge": ridge, "noise": noise},
        source="deterministic equivalent",
    )


def ridgeless_split(spectrum: Spectrum, n: Any, k: Any, noise: float = 0.0) -> Split:
    """The loss without ridge as resolution-limited limit plus variance-limited excess, exactly.

    With m = min(n, k), gamma(m) the root of df1(gamma) = m, and B1(m) = sum v_i^2 gamma/(lambda_i+gamma):

        n < k:  L(n, k) = L(n, inf) + n [B1(n) + noise]/(k - n),
        k < n:  L(n, k) = L(inf, k) + k [B1(k) + noise]/(n - k).

    The excess is the same function of (n, k) and of (k, n) for any target and noise; only the limits differ.
    At n = k it is infinite.

    Raises:
        ValueError: n or k not positive; a negative noise.

    Valid when: as for `equivalents.loss`, at ridge 0.
    """
    n, k = np.broadcast_arrays(np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64))
    m = np.minimum(n, k)
    unlearnt = equivalents.unlearnt_power(spectrum, equivalents.solve(spectrum, n, k).gamma)
    limit = np.where(n < k, equivalents.loss(spectrum, m, math.inf, 0, noise), unlearnt + noise)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.abs(n - k)
        excess = np.where(np.isinf(gap), 0.0, m * (unlearnt + noise) / gap)
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
    if not 0 < low <= high / 2 or high >= spectrum.modes:
        raise ValueError(
            f"`window` must satisfy 0 < low <= high / 2 and high < {spectrum.modes:g} modes, got ({low:g}, {high:g})."
        )
    at = np.geomspace(low, high, 24)

    def read(statistic: Callable[[Spectrum], float], method: str) -> Estimate:
        halves = np.array([statistic(replicate) for replicate in spectrum.replicates])
        return Estimate.from_halves(statistic(spectrum), halves, level=level, window=(low, high), method=method)

    def alpha(of: Spectrum) -> float:
        return -log_slope(at, at * equivalents.solve(of, at).gamma)

    def beta(of: Spectrum) -> float:
        # A prior target has beta = alpha by definition, on any window; the two read-outs would drift apart.
        return alpha(of) if of.is_prior else -log_slope(at, power_beyond(of, at))

    return Exponents(
        read(alpha, "log-slope of m gamma(m)"),
        read(beta, "log-slope of the power beyond rank m"),
        read(lambda of: min(beta(of), 2 * (1 + alpha(of))), "min(beta, 2(1+alpha))"),
        read(lambda of: min(beta(of), 1 + alpha(of)), "min(beta, 1+alpha)"),
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
        curve = predict_curve(of, n=at, noise=noise) if along == "n" else predict_curve(of, k=at, noise=noise)
        return -log_slope(at, curve.loss - noise)

    halves = np.array([statistic(replicate) for replicate in spectrum.replicates])
    return Estimate.from_halves(
        statistic(spectrum),
        halves,
        level=level,
        window=(float(at[0]), float(at[-1])),
        method="log-slope of the predicted curve",
    )
