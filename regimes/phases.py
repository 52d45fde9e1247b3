"""The phase map: over a grid of (n, k), which regime rules, where the crossovers run and where the peak is."""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from regimes import _checks, display, dynamics, equivalents, theory
from regimes.results import LossSurface
from regimes.spectrum import Spectrum

Array = np.ndarray

PHASES = ("data", "width", "interpolation", "noise", "ridge", "time", "small")
"""Names of the phases, in the order of the map's legend."""

MEANING = {
    "data": "limited by data: resolution-limited in n, variance-limited in k",
    "width": "limited by width: resolution-limited in k, variance-limited in n",
    "interpolation": "near n = k: most of the reducible loss is variance that |n - k| governs",
    "noise": "fitted label noise is most of the reducible loss",
    "ridge": "the explicit ridge at least doubles gamma: it, not n or k, sets what is learnt",
    "time": "stopped early: at least half of the reducible loss would go with more time",
    "small": "nothing learnt yet: at least 90 % of the target's power is left",
}
"""What each phase means, in words."""


@display.shown
class Shares(NamedTuple):
    """The loss at each point of the grid as a sum: limit + excess + time + irreducible = loss."""

    limit: Array
    """Reducible loss if the larger of n and k were infinite, trained to the end, at this ridge."""
    excess: Array
    """What the larger of n and k, being finite, adds: the variance-limited part. Infinite at n = k without ridge."""
    time: Array
    """What stopping at a finite time adds to the limit; negative where early stopping helps."""
    irreducible: Array
    """The label noise."""


@display.shown
@dataclasses.dataclass(frozen=True)
class PhaseMap:
    """Which regime rules at each point of a grid."""

    surface: LossSurface
    """The loss on the grid; its `caution` says where the prediction is known to be off."""
    phase: Array
    """(rows, columns) names out of `PHASES`."""
    shares: Shares
    """The parts of the loss on the grid."""
    peak: Float64[Array, " columns"]
    """For each k the n at which the loss has its interpolation peak; NaN where it has none."""

    @property
    def fractions(self) -> dict[str, float]:
        """Share of the grid that each phase takes."""
        return {name: float(np.mean(self.phase == name)) for name in PHASES if np.any(self.phase == name)}

    def along_n(self) -> Array:
        """The regime met when n is varied: resolution_n, variance_n, or the phase's own name."""
        return self._regimes({"data": "resolution_n", "width": "variance_n"})

    def along_k(self) -> Array:
        """The regime met when k is varied: resolution_k, variance_k, or the phase's own name."""
        return self._regimes({"data": "variance_k", "width": "resolution_k"})

    def _regimes(self, names: dict[str, str]) -> Array:
        return np.array([[names.get(name, name) for name in row] for row in self.phase.tolist()])

    @property
    def crossovers(self) -> dict[tuple[str, str], Array]:
        """Where one phase meets another: (points, 2) of (n, k), half-way between neighbours on the grid."""
        n, k = (np.broadcast_to(axis, self.phase.shape) for axis in (self.surface.n[:, None], self.surface.k))
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for first, second in ((np.s_[:-1, :], np.s_[1:, :]), (np.s_[:, :-1], np.s_[:, 1:])):
            here, there = self.phase[first], self.phase[second]
            middle = np.sqrt(n[first] * n[second]), np.sqrt(k[first] * k[second])
            for where in zip(*np.nonzero(here != there), strict=True):
                pair = sorted((str(here[where]), str(there[where])), key=PHASES.index)
                found.setdefault((pair[0], pair[1]), []).append((middle[0][where], middle[1][where]))
        return {pair: np.array(points) for pair, points in found.items()}

    def __str__(self) -> str:
        lines = [f"{share:6.1%}  {name}: {MEANING[name]}" for name, share in self.fractions.items()]
        peaks = int(np.isfinite(self.peak).sum())
        lines.append(f"interpolation peak at {peaks} of {len(self.peak)} values of k")
        return "\n".join([str(self.surface), *lines])


def phase_map(
    spectrum: Spectrum,
    *,
    n: Any = None,
    k: Any = None,
    ridge: float = 0.0,
    noise: float = 0.0,
    time: float = math.inf,
) -> PhaseMap:
    """Which regime rules at each point of a grid of (n, k).

    The first of these that holds names the phase: *small*, the bias is at least 0.9 of the target power; *time*,
    stopping early makes at least half of the reducible loss; *ridge*, gamma is at least twice its value without ridge;
    *interpolation*, the excess over the limit of infinite max(n, k) makes at least half of the reducible loss; *noise*,
    fitted label noise does; else *data* where n <= k and *width* where k < n. The four regimes are about differences:
    in *data* the loss is resolution-limited along n, and its excess variance-limited along k; in *width* the other way
    round.

    Args:
        spectrum: kernel and target.
        n: numbers of samples, ascending; default 61 (31 at a finite time) between 2 and what the spectrum resolves,
            at most 10^6.
        k: numbers of features, ascending; the same default.
        ridge: added to the diagonal of the Gram matrix, not negative.
        noise: variance of the label noise, not negative.
        time: gradient-flow time, positive; infinite is trained to the end.

    Raises:
        ValueError: n or k not ascending or not positive; a negative ridge or noise; a time that is not positive.

    Valid when: as for the loss; `surface.caution` says where it is known not to be.
    """
    high = min(1e6, spectrum.resolved, spectrum.modes / 2)
    points = 61 if math.isinf(time) else 31  # a point in time costs a hundred times more
    default = np.geomspace(2, high, points) if high > 4 else np.linspace(min(0.5, high), 2 * high, points)
    n, k = (
        default if value is None else _checks.finite_array(name, value, ndim=1) for name, value in (("n", n), ("k", k))
    )
    for name, values in (("n", n), ("k", k)):
        if values[0] <= 0 or np.any(np.diff(values) <= 0):
            raise ValueError(f"`{name}` must be positive and ascending.")
    if not time > 0:
        raise ValueError(f"`time` must be positive, got {time}.")
    surface = theory.predict_surface(spectrum, n=n, k=k, ridge=ridge, noise=noise, time=time)
    rows, columns = n[:, None], k[None, :]
    parts = equivalents.decompose(spectrum, rows, columns, ridge, noise)
    stops, fits = math.isfinite(time), noise > 0

    def limit_at(time: float) -> Array:
        wide = dynamics.gradient_flow(spectrum, time, rows, np.inf, ridge, noise)
        rich = dynamics.gradient_flow(spectrum, time, np.inf, columns, ridge, noise)
        return np.where(rows <= columns, wide, rich) - noise

    trained = limit_at(math.inf)
    limit = limit_at(time) if stops else trained
    gamma = np.asarray(equivalents.solve(spectrum, rows, columns, ridge).gamma)
    free = np.asarray(equivalents.solve(spectrum, rows, columns).gamma)
    left, fitted = np.asarray(parts.bias), np.asarray(parts.noise_data + parts.noise_features)
    if stops and fits:
        fitted = surface.loss - noise - np.asarray(dynamics.gradient_flow(spectrum, time, rows, columns, ridge))
    with np.errstate(invalid="ignore", divide="ignore"):
        reducible = surface.loss - noise
        excess = np.where(np.isinf(limit), 0.0, reducible - limit)
        late = limit - trained if stops else np.zeros(limit.shape)
        margins = _margins(
            rows, columns, reducible, limit, left / spectrum.total_power,
            trained=trained if stops else None, raised=gamma / free if ridge > 0 else None,
            fitted=fitted if fits else None,
        )  # fmt: skip
    shares = Shares(trained, excess, late, np.full(limit.shape, noise))
    phase = np.select([margin > 0 for margin in margins.values()], list(margins), "width")
    return PhaseMap(surface, phase, shares, _peaks(spectrum, k, ridge, noise, time))


def _margins(
    n: Array,
    k: Array,
    reducible: Array,
    limit: Array,
    left: Array,
    *,
    trained: Array | None,
    raised: Array | None,
    fitted: Array | None,
) -> dict[str, Array]:
    """By phase, in the order in which they are asked: positive where it holds. Where none does it is `width`.

    Args:
        n: numbers of samples, broadcast with k.
        k: numbers of features.
        reducible: loss above the noise.
        limit: the same if the larger of n and k were infinite.
        left: share of the target's power in the bias, trained to the end.
        trained: the limit trained to the end; None where nothing is stopped early.
        raised: gamma over its value without ridge; None without ridge.
        fitted: the part of the loss that is fitted label noise; None without noise.
    """
    margins = {"small": left / 0.9 - 1}
    with np.errstate(invalid="ignore", divide="ignore"):
        if trained is not None:
            margins["time"] = 2 * (limit - trained) / reducible - 1
        if raised is not None:
            margins["ridge"] = np.log(raised / 2)
        peak = np.where(np.isinf(reducible), 1.0, 1 - 2 * limit / reducible)
        margins["interpolation"] = np.where(np.isinf(limit), -1.0, peak)
        if fitted is not None:
            margins["noise"] = np.where(np.isinf(fitted), 1.0, 2 * fitted / reducible - 1)
    ahead = np.broadcast_to(np.log(k / n), reducible.shape)
    margins["data"] = np.where(np.broadcast_to(n <= k, reducible.shape), np.maximum(ahead, 1e-9), ahead)
    return margins


def _peaks(spectrum: Spectrum, k: Array, ridge: float, noise: float, time: float) -> Array:
    """For each k the n within a factor 4 of it where the loss has a local maximum, else NaN."""
    steps = np.geomspace(0.25, 4, 161 if math.isinf(time) else 41)  # k itself is among them
    at = np.outer(k, steps)
    if math.isinf(time):
        loss = np.asarray(equivalents.loss(spectrum, at, k[:, None], ridge, noise))
    else:
        loss = np.asarray(dynamics.gradient_flow(spectrum, time, at, k[:, None], ridge, noise))
    lower = loss * (1 - 1e-9)  # ripples of rounding are no peaks
    inner = (lower[:, 1:-1] > loss[:, :-2]) & (lower[:, 1:-1] > loss[:, 2:])
    best = np.where(inner, loss[:, 1:-1], -np.inf).argmax(axis=1) + 1
    return np.where(inner.any(axis=1), at[np.arange(len(k)), best], np.nan)
