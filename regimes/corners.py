"""A law fitted to the small corner of a grid of losses and asked about the rest.

The grid is over samples n and model sizes k. What counts is the relative divergence (predicted - L)/L: its mean and its
spread over the configurations that were held out, as Rosenfeld et al. 2019 report them.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from regimes import _checks, display, fits, laws
from regimes.fits import Fit
from regimes.law import Law
from regimes.results import Estimate, LossSurface
from regimes.tuned_law import tuned_theory

Array = np.ndarray
LAWS = ("rosenfeld", "chinchilla", "kaplan", "four-regimes", "tuned-theory")
"""What is fitted to their corners."""
SHARES = (8, 16)
"""The corner ends at the largest n over the first of these and the largest k over the second."""
LEAST = 4
"""Different n, and different k, that a corner must hold."""
_LEVEL = 0.9


@display.shown
class Divergence(NamedTuple):
    """Relative divergence (predicted - measured)/measured over some configurations."""

    mean: Estimate
    """Its mean; the interval holds that of the predictions of a bootstrap."""
    spread: Estimate
    """Its standard deviation over the configurations."""
    worst: float
    """The largest size of it."""
    points: int
    """Configurations."""

    def __str__(self) -> str:
        return f"{self.mean.value:+.1%} ± {self.spread.value:.1%}, at most {self.worst:.1%} ({self.points})"


@display.shown
@dataclasses.dataclass(frozen=True)
class Extrapolation:
    """What one law says of a grid whose corner it was fitted to."""

    law: str
    """Its name; "forecast" for the spectrum of the corner's samples, to which nothing is fitted."""
    fit: Fit | None
    """The fit; None for a forecast, or where the law could not be fitted."""
    predicted: Float64[Array, "n k"]
    """The loss everywhere."""
    inside: Divergence
    """In the corner."""
    outside: Divergence
    """Held out."""


def divergence(predicted: Any, measured: Any, draws: Any = ()) -> Divergence:
    """Mean and spread of (predicted - measured)/measured, with intervals over other predictions.

    Args:
        predicted: losses.
        measured: losses, positive, as many.
        draws: further predictions, a row each, whose means and spreads give the intervals (90 %).

    Raises:
        ValueError: lengths that differ, a measured loss that is not positive.
    """
    measured = _checks.finite_array("measured", measured, ndim=1)
    predicted = np.asarray(predicted, dtype=np.float64)
    if predicted.shape != measured.shape:
        raise ValueError(f"`predicted` must be as long as `measured` ({len(measured)}), got shape {predicted.shape}.")
    if (measured <= 0).any():
        raise ValueError(f"`measured` must be positive, got {measured.min():g}.")
    rows = np.array([predicted, *draws]) / measured - 1
    found = []
    for values in (rows.mean(axis=1), rows.std(axis=1)):
        usable = values[1:][np.isfinite(values[1:])]
        ends = np.quantile(usable, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]) if len(usable) > 1 else (math.nan, math.nan)
        value = float(values[0])
        low, high = (float(pick(end, value)) for pick, end in zip((np.fmin, np.fmax), ends, strict=True))
        known = len(usable) > 1
        method = "over the bootstrap of the fit" if known else "no bootstrap"
        found.append(Estimate(value, low if known else math.nan, high if known else math.nan, _LEVEL, None, method))
    return Divergence(found[0], found[1], float(np.abs(rows[0]).max()), len(measured))


def corner_of(n: Any, k: Any, shares: tuple[float, float] = SHARES) -> Bool[Array, "n k"]:
    """Which configurations belong to the small corner of a grid.

    Args:
        n: increasing numbers of samples.
        k: increasing model sizes.
        shares: the corner holds n up to the largest over the first, k up to the largest over the second.

    Raises:
        ValueError: sizes that do not increase, fewer than four different n or k in the corner.
    """
    kept = []
    for name, sizes, share in (("n", n, shares[0]), ("k", k, shares[1])):
        at = _checks.finite_array(name, sizes, ndim=1)
        if at[0] <= 0 or (np.diff(at) <= 0).any():
            raise ValueError(f"`{name}` must be positive and strictly increasing.")
        small = at <= at[-1] / _checks.number("shares", share, low=1, strict=True)
        if small.sum() < LEAST:
            raise ValueError(
                f"`{name}` must hold at least {LEAST} sizes up to {at[-1] / share:g}, the largest over {share:g}; "
                f"got {int(small.sum())} of {len(at)}."
            )
        kept.append(small)
    return kept[0][:, None] & kept[1]


def extrapolate(
    measured: LossSurface,
    law: str,
    *,
    guess: float,
    shares: tuple[float, float] = SHARES,
    units: bool = False,
    bootstrap: int = 50,
    seed: int = 0,
) -> Extrapolation:
    """Fit a law to the small corner of a grid of losses and compare it with the rest.

    Args:
        measured: the losses; those that are NaN are left out.
        law: one of `LAWS`. Fitted by least squares on the relative divergence, as the paper does.
        guess: loss of the best guess, which Rosenfeld's law takes as known: the power of the target and the noise for
            the squared error.
        shares: see `corner_of`.
        units: whether theory gets a unit of its own for n and for k: needed where k counts parameters.
        bootstrap: draws behind the intervals. "tuned-theory" has none, for the time that it would take.
        seed: of the bootstrap.

    Raises:
        ValueError: an unknown law, a guess that is not positive, as `corner_of`.

    Source: Rosenfeld et al. 2019 (arXiv:1909.12673).
    """
    guess = _checks.number("guess", guess, low=0, strict=True)
    formula, extra = _law(law, units, guess)
    corner = corner_of(measured.n, measured.k, shares)
    places = np.meshgrid(measured.n, measured.k, indexing="ij")
    there = np.isfinite(measured.loss)
    seen, held = corner & there, ~corner & there
    fixed = {"guess": guess} if "guess" in formula.names else {}
    fitted = fits.fit(
        formula,
        measured.loss[seen],
        objective="relative",
        n=places[0][seen],
        k=places[1][seen],
        fixed=fixed,
        seed=seed,
        throw=False,
        **({"bootstrap": bootstrap} | extra),
    )
    if math.isnan(fitted.objective):
        nothing = divergence(np.full(2, math.nan), np.ones(2))
        return Extrapolation(law, None, np.full(measured.loss.shape, math.nan), nothing, nothing)
    predicted = np.asarray(formula(fitted.parameters, n=places[0], k=places[1]))
    draws = [np.asarray(formula(row, n=places[0], k=places[1])) for row in fitted.replicates]
    return judged(law, fitted, predicted, draws, measured.loss, seen, held)


def _law(name: str, units: bool, guess: float) -> tuple[Law, dict[str, Any]]:
    """The law of (n, k), and options of its fit."""
    if _checks.choice("law", name, LAWS) == "tuned-theory":
        several = itertools.product((0.15, 0.5, 1.2), (0.2, 0.6, 1.5), (1e-6, 1e-2))
        rows = [[a, b, guess * b / (1 + b), share, *[1.0] * (2 * units)] for a, b, share in several]
        return tuned_theory(units=units), {"bootstrap": 0, "starts": np.array(rows)}
    law = laws.get(name)
    return law if law.scales == ("n", "k") else law.rename(("k", "n")), {}


def judged(
    law: str, fitted: Fit | None, predicted: Array, draws: Sequence[Array], loss: Array, seen: Array, held: Array
) -> Extrapolation:
    """Predictions of the whole grid with their divergences, and those of a bootstrap for the intervals.

    Args:
        law: what made them.
        fitted: the fit, if any.
        predicted: losses.
        draws: further predictions, whose divergences give the intervals.
        loss: measured losses.
        seen: where the corner is.
        held: what is held out.
    """
    inside, outside = (
        divergence(predicted[where], loss[where], [one[where] for one in draws]) for where in (seen, held)
    )
    return Extrapolation(law, fitted, predicted, inside, outside)


def needed(law: Law, parameters: Any, target: float, k: Array, between: tuple[float, float]) -> Array:
    """The n at which a law that falls with n comes down to the target, at each k.

    Args:
        law: of n and k.
        parameters: as it takes them; arrays of many sets of them are as long as `k`.
        target: the loss.
        k: sizes, an array.
        between: where n is looked for; NaN comes where it is not there.
    """
    low, high = (np.full(len(k), math.log(end)) for end in between)
    reached = (law(parameters, n=np.exp(low), k=k) > target) & (law(parameters, n=np.exp(high), k=k) <= target)
    for _ in range(45):
        middle = (low + high) / 2
        below = law(parameters, n=np.exp(middle), k=k) <= target
        low, high = np.where(below, low, middle), np.where(below, middle, high)
    return np.where(reached, np.exp(high), math.nan)


def interval(value: float, draws: Array, level: float) -> Estimate:
    """Quantiles over a bootstrap, draws that never reach the target being infinite."""
    if len(draws) < 2:
        return Estimate(value, math.nan, math.nan, level, None, "no bootstrap")
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(np.where(np.isfinite(draws), draws, math.inf), ends, method="inverted_cdf")
    return Estimate(value, min(float(low), value), max(float(high), value), level, None, "over the bootstrap")
