"""The regimes, and which of them holds at a point of the exact loss surface: what verdicts are tested against."""

import dataclasses
import enum
import math
from typing import Any, NamedTuple

import numpy as np

from regimes import _checks, display, dynamics, equivalents, theory
from regimes.spectrum import Spectrum

Array = np.ndarray
NEAR_ONE = (0.8, 1.25)
"""Exponents that count as 1; an interval must lie inside for variance, outside for resolution."""
FLAT = 0.1
"""A loss within this share of the guess level has learnt nothing yet."""


class Regime(enum.Enum):
    """The regimes; the values are the words for them."""

    RESOLUTION_N = "resolution-limited in n"
    RESOLUTION_K = "resolution-limited in k"
    VARIANCE_N = "variance-limited in n"
    VARIANCE_K = "variance-limited in k"
    CROSSOVER = "crossover"
    INTERPOLATION_PEAK = "interpolation peak"
    SMALL_DATA = "small data"
    NOISE_FLOOR = "noise floor"
    RIDGE_LIMITED = "ridge-limited"
    TIME_LIMITED = "time-limited"
    UNDECIDED = "undecided"


RESOLUTION = {"n": Regime.RESOLUTION_N, "k": Regime.RESOLUTION_K}
VARIANCE = {"n": Regime.VARIANCE_N, "k": Regime.VARIANCE_K}


@display.shown
class Shares(NamedTuple):
    """The loss at a point as a sum of six parts."""

    resolution: float
    """What n or k, the smaller, cannot resolve: loss without ridge and noise at infinite max(n, k)."""
    ridge: float
    """What the ridge adds to that; negative where it helps."""
    noise: float
    """Label noise fitted there, noise df2/(n - df2); none where k < n."""
    excess: float
    """What a finite max(n, k) adds: the variance-limited part, m [B1(m) + noise]/|n - k| without ridge."""
    time: float
    """What stopping early adds; negative where it helps."""
    irreducible: float
    """The label noise itself."""

    @property
    def total(self) -> float:
        """The loss."""
        return float(sum(self))


@display.shown
@dataclasses.dataclass(frozen=True)
class PointVerdict:
    """The regime at one point of the theory, along n and along k."""

    n: Regime
    """Along n."""
    k: Regime
    """Along k."""
    loss: float
    """The loss there, label noise included."""
    exponents: theory.LocalExponents
    """-d ln(L - noise)/d ln n, k, ridge and time."""
    to_limit: tuple[float, float]
    """-d ln(L - limit)/d ln |x - m| for x = n and x = k, each with its own limit at infinite x; m is what the other
    scale lets be learnt, k along n and df1 along k."""
    shares: Shares
    """The loss as a sum."""

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value:.3g}" for name, value in self.shares._asdict().items() if value)
        return (
            f"along n {self.n.value} (local exponent {self.exponents.n:.3g}), along k {self.k.value} "
            f"({self.exponents.k:.3g}). Loss {self.loss:.4g} = {parts}."
        )


def classify_point(
    spectrum: Spectrum, n: float, k: float = math.inf, ridge: float = 0.0, noise: float = 0.0, time: float = math.inf
) -> PointVerdict:
    """The regime at a point of the exact loss surface.

    With x the scale and m what the other one lets be learnt at infinite x (along n the smaller of k and the number of
    modes, along k df1 at infinite k), the first of these that holds:

    - *time-limited*: time < 1/gamma, and at least half of the reducible loss would go with more time;
    - *small data*: at least 90 % of the target's power is left;
    - *interpolation peak*: the loss rises along the axis;
    - *ridge-limited*: along n, n < min(k, m), ridge/n > gamma(n);
    - x > m: *variance-limited* where the loss less its limit falls as |x - m|^-1 (exponent within NEAR_ONE),
      *ridge-limited* where the exponent exceeds 1.7, else *crossover*;
    - *noise floor*: along n, fitted noise is at least half of the reducible loss, whose exponent is below 0.1;
    - *resolution-limited*: the larger scale, being finite, adds less than half of the reducible loss; else *crossover*.

    Args:
        spectrum: kernel and target.
        n: number of samples, positive, possibly infinite.
        k: number of features, likewise; not both infinite.
        ridge: added to the diagonal of the Gram matrix, not negative.
        noise: variance of the label noise, not negative.
        time: gradient-flow time, positive; infinite is trained to the end.

    Raises:
        ValueError: a size or time that is not positive, both sizes infinite, a negative ridge or noise, NaN.

    Valid when: as for the loss.
    """
    sizes = []
    for name, value in (("n", n), ("k", k), ("time", time)):
        size = value if value == math.inf else _checks.number(name, value, low=0, strict=True)
        sizes.append(float(size))
    n, k, time = sizes
    if math.isinf(n) and math.isinf(k):
        raise ValueError("`n` and `k` are both infinite: nothing limits there; make one finite.")
    ridge, noise = _checks.number("ridge", ridge, low=0), _checks.number("noise", noise, low=0)
    found = {axis: labels_along(spectrum, axis, n, k, ridge, noise, time) for axis in ("n", "k")}
    m, wide = min(n, k), n <= k
    limit = (m, math.inf) if wide else (math.inf, m)
    clean = float(equivalents.loss(spectrum, *limit))
    held = float(equivalents.loss(spectrum, *limit, ridge))
    noisy = float(equivalents.loss(spectrum, *limit, ridge, noise, excess=True))
    trained = float(equivalents.loss(spectrum, n, k, ridge, noise))
    loss = float(dynamics.gradient_flow(spectrum, time, n, k, ridge, noise))
    late = 0.0 if math.isinf(time) or math.isinf(trained) else loss - trained
    excess = (loss if math.isinf(trained) and math.isfinite(loss) else trained) - noisy - noise
    shares = Shares(clean, held - clean, noisy - held, excess, late, noise)
    exponents = theory.local_exponents(spectrum, n, k, ridge, noise, time)
    rates = (float(found["n"][1]), float(found["k"][1]))
    return PointVerdict(found["n"][0].item(), found["k"][0].item(), loss, exponents, rates, shares)


def labels_along(
    spectrum: Spectrum, axis: str, n: Any, k: Any, ridge: float, noise: float, time: float
) -> tuple[Array, Array]:
    """Regimes along one axis at every point, and the exponents of the loss less its limit over |x - m|."""
    n, k = (np.array(value) for value in np.broadcast_arrays(np.float64(n), np.float64(k)))
    at, other = (n, k) if axis == "n" else (k, n)

    def loss(x: Any, y: Any = other) -> Array:
        pair = (x, y) if axis == "n" else (y, x)
        return np.asarray(dynamics.gradient_flow(spectrum, time, *pair, ridge, noise))

    step = 1e-3
    with np.errstate(all="ignore"):
        here, below, above = loss(at), loss(at * (1 - step)), loss(at * (1 + step))
        limit = loss(np.full(at.shape, np.inf))
        cap = np.asarray(equivalents.solve(spectrum, other, np.inf, ridge).df1) if axis == "k" else other
        cap = np.minimum(cap, spectrum.modes)
        distance = np.log(np.abs(at * (1 + step) - cap) / np.abs(at * (1 - step) - cap))
        rate = -np.log((above - limit) / (below - limit)) / distance
        smaller = np.minimum(n, k)
        floor, free = loss(at, np.full(at.shape, np.inf)), np.asarray(equivalents.solve(spectrum, smaller).gamma)
        added = (here - floor) / (here - noise)
        parts = equivalents.decompose(spectrum, n, k, ridge, noise)
        fitted = np.asarray(parts.noise_data + parts.noise_features)
        fall = -(above - below) / (2 * step) / (here - noise)
        unlearnt = parts.bias if math.isinf(time) else here - noise
        beyond = at > cap
        late = 0.0 if math.isinf(time) else here - np.asarray(equivalents.loss(spectrum, n, k, ridge, noise))
        tests = [
            np.isinf(at),
            (time * np.asarray(equivalents.solve(spectrum, n, k, ridge).gamma) < 1) & (late > 0.5 * (here - noise)),
            unlearnt > (1 - FLAT) * spectrum.total_power,
            np.isinf(here) | (fall < -1e-9),
            (axis == "n") & (n < k) & ~beyond & (ridge > free * n),
            beyond & (rate >= NEAR_ONE[0]) & (rate <= NEAR_ONE[1]),
            beyond & (rate > 1.7),
            beyond,
            (axis == "n") & (fitted >= 0.5 * (here - noise)) & (fall < 0.1),
            added < 0.5,
        ]
    names = [
        VARIANCE[axis],  # at its very end, where nothing is left of it
        Regime.TIME_LIMITED,
        Regime.SMALL_DATA,
        Regime.INTERPOLATION_PEAK,
        Regime.RIDGE_LIMITED,
        VARIANCE[axis],
        Regime.RIDGE_LIMITED,
        Regime.CROSSOVER,
        Regime.NOISE_FLOOR,
        RESOLUTION[axis],
    ]
    result = np.full(at.shape, Regime.CROSSOVER, dtype=object)
    for test, name in reversed(list(zip(tests, names, strict=True))):
        result[np.broadcast_to(test, at.shape)] = name
    return result, np.asarray(rate)
