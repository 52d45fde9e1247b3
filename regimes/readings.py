"""The exponents of one sample by every method, side by side, and whether there is a power law to speak of."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import stats

from regimes import _checks, display, estimate
from regimes.resolvents import Resolvent, resolvent
from regimes.results import Estimate

Array = np.ndarray

STEADY = 0.05
"""A local exponent that moves by less than this, or by a tenth of 1 + alpha, counts as steady."""
_REMARKS = {
    "kappa": "all samples, corrected for their number, calibrated interval",
    "pivots": "no Gaussian universality needed; half-samples",
    "ridgeless": "spoilt by near-duplicates and by samples that are not Gaussian",
    "eigenvalues": "distorted by the finite sample; for comparison only",
    "tail": "power not learnt, calibrated interval; saturates at 1+alpha",
    "leave_one_out": "the loss itself; saturates at 2(1+alpha), and noise comes in (1+alpha) times",
    "gcv": "as leave_one_out, but rests on Gaussian universality",
    "floor": "what a power law above it allows",
}


@display.shown
class Reading(NamedTuple):
    """One number by one method."""

    quantity: str
    """alpha, beta or noise."""
    method: str
    """As `estimate.alpha` and `estimate.beta` call it."""
    estimate: Estimate
    """With its interval and the window it was read over; NaN where the method fails."""
    default: bool
    """Whether this is the method to quote."""
    remark: str
    """Why, or why not."""


def side_by_side(
    gram: Any,
    targets: Any = None,
    *,
    noise: float | None = None,
    level: float = 0.9,
    splits: int = 8,
    seed: int = 0,
) -> tuple[Reading, ...]:
    """alpha, beta and the noise by every method.

    Args:
        gram: (N, N) Gram matrix of independent samples.
        targets: (N,) or (N, outputs); None leaves out beta and noise.
        noise: variance of the label noise that beta is read above; default the lower end of what `estimate.noise`
            allows, so that beta is not raised by noise that may not be there.
        level: stated coverage of the intervals.
        splits: pairs of half-samples, for the methods that need them.
        seed: seed of the half-samples.

    Raises:
        ValueError: not a Gram matrix, targets of another length, fewer than 48 samples.
    """
    gram = _checks.gram_matrix("gram", gram)
    if len(gram) < 48:
        raise ValueError(f"`gram` must hold at least 48 samples for exponents to be read, got {len(gram)}.")
    settings: dict[str, Any] = {
        "splits": _checks.count("splits", splits, low=2),
        "seed": _checks.count("seed", seed, low=0),
        "level": _checks.level(level),
    }
    found: list[Reading] = []

    def read(quantity: str, method: str, number: Any) -> None:
        try:
            one, remark = number(), _REMARKS[method]
        except ValueError as error:
            one, remark = Estimate(math.nan, -math.inf, math.inf, level), f"not read: {error}"
        if math.isnan(one.value) and not remark.startswith("not read"):
            remark = "not read: the noise is not below the curve everywhere"
        found.append(Reading(quantity, method, one, method in ("kappa", "tail", "floor"), remark))

    for method in estimate.ALPHA:
        read("alpha", method, lambda method=method: estimate.alpha(gram, method=method, **settings))
    if targets is None:
        return tuple(found)
    y = _checks.targets("targets", targets, len(gram))
    read("noise", "floor", lambda: estimate.noise(gram, y, level=level, seed=seed))
    floor = found.pop()
    lowest = floor.estimate.low if math.isfinite(floor.estimate.low) else 0.0
    above = lowest if noise is None else _checks.number("noise", noise, low=0)
    for method in estimate.BETA:
        read("beta", method, lambda method=method: estimate.beta(gram, y, method=method, noise=above, **settings))
    return (*found, floor)


@display.shown
@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """Whether a spectrum is a power law, and its exponent from place to place."""

    holds: bool | None
    """None where the sample is too small to say."""
    reason: str
    """In words."""
    n: Float64[Array, " points"]
    """Where the local exponents are read."""
    exponent: Float64[Array, " points"]
    """alpha over half a decade around each n: minus the log-slope of n kappa(n)."""
    low: Float64[Array, " points"]
    """Lower ends of the intervals, each at the stated level."""
    high: Float64[Array, " points"]
    """Upper ends."""
    level: float
    """Stated coverage of each interval."""

    def __str__(self) -> str:
        return self.reason


def power_law(gram: Any, *, level: float = 0.9, seed: int = 0) -> PowerLaw:
    """Whether the spectrum behind a Gram matrix is a power law as far as the sample shows it.

    The local exponent alpha(n) = -d ln(n kappa)/d ln n is read over half a decade at a time, up to N/4. A power law
    has the same one everywhere. Analytic kernels have one that rises without end, the shells of a sphere in many
    dimensions let it swing, and so does a spectrum with an edge.

    Args:
        gram: (N, N) Gram matrix of independent samples, or its [Resolvent][regimes.resolvents.Resolvent] with
            uncertainty.
        level: stated coverage of the intervals.
        seed: seed of the pairs of samples that are deleted.

    Raises:
        ValueError: not a Gram matrix; a resolvent without uncertainty.

    Valid over the sizes that are shown: what comes beyond N/4 no sample of N can tell.
    """
    read = gram if isinstance(gram, Resolvent) else resolvent(gram, uncertainty=True, seed=seed)
    if read.covariance is None or read.bias is None:
        raise ValueError("`gram` is a resolvent without uncertainty; read it with uncertainty=True.")
    level = _checks.level(level)
    points = len(read.df1)
    size, log_n = read.samples, np.log(read.df1)
    last = min(0.25 * size, read.df1[-1])
    middles = np.exp(np.arange(np.log(last) - 0.58, max(np.log(3.0), log_n[0] + 0.57), -0.29))[::-1]
    middles = np.array([middle for middle in middles if np.sum(np.abs(log_n - np.log(middle)) <= 0.58) >= 3])
    if len(middles) < 4:
        nothing = np.empty(0)
        few = f"modes ({read.rank})" if read.exhausted else f"samples ({size})"
        reason = f"too few {few} to tell whether the spectrum is a power law"
        return PowerLaw(None, reason, nothing, nothing, nothing, nothing, level)
    rows = np.zeros((len(middles), points))
    for row, middle in zip(rows, middles, strict=True):
        near = np.abs(log_n - np.log(middle)) <= 0.58
        x = log_n[near] - log_n[near].mean()
        row[near] = -x / np.sum(x**2)
    values = rows @ (log_n + np.log(read.corrected().kappa))
    covariance = rows @ read.covariance[:points, :points] @ rows.T
    width = stats.norm.ppf((1 + level) / 2) * np.sqrt(np.diagonal(covariance))
    holds, reason = _verdict(middles, values, covariance, size)
    return PowerLaw(holds, reason, middles, values, values - width, values + width, level)


def _verdict(n: Array, alpha: Array, covariance: Array, size: int) -> tuple[bool | None, str]:
    """Steady, rising, falling or swinging over the last factor of eight; a change counts beyond two standard errors."""
    late = n >= n[-1] / 8.5
    n, alpha, covariance = n[late], alpha[late], covariance[np.ix_(late, late)]
    contrast = np.eye(len(n)) - 1 / len(n)
    spread = float(np.max(alpha) - np.min(alpha))
    error = 2 * float(np.sqrt(np.diagonal(contrast @ covariance @ contrast).max()))
    allowed = max(STEADY, 0.1 * (1 + float(np.mean(alpha))))
    where = f"between n = {n[0]:.0f} and {n[-1]:.0f}"
    move = f"from {alpha[0]:.2f} to {alpha[-1]:.2f} {where}"
    if len(n) < 4 or n[-1] < 16 or error > 2 * allowed:
        return None, f"{size} samples do not tell: the local exponent moves {move}, uncertain by {error:.2f}"
    if spread <= allowed + error:
        return True, f"a power law as far as the sample shows: the local exponent stays within {spread:.2f} {where}"
    steps = np.diff(alpha)
    if np.all(steps > -error):
        why = "it rises, as for analytic kernels and near the end of a spectrum, where no power is fast enough"
    elif np.all(steps < error):
        why = "it falls, so its limit is not reached, and what is predicted beyond the data is less sure"
    else:
        why = "it swings, as when whole shells of modes are learnt one after the other"
    return False, f"no power law: the local exponent moves {move}; {why}"
