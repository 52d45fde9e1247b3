"""What a target costs: the scales at which a fitted law reaches a loss, the cheapest of them, and how sure that is."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from regimes import _checks, display
from regimes.fits import Fit
from regimes.law import Law
from regimes.results import Estimate

Array = np.ndarray
COSTS: Mapping[str, Callable[..., Any]] = {
    "product": lambda **scales: math.prod(scales.values()),
    "sum": lambda **scales: sum(scales.values()),
}
"""Costs by word: the product of the wanted scales (training compute up to a constant), or their sum."""
_REACH, _GRID = 1e8, 81
"""How far beyond the measured scales the cheapest place is looked for, and in how many steps."""


@display.shown
class Plan(NamedTuple):
    """Scales that reach a target."""

    target: float
    """The loss wanted."""
    scales: Mapping[str, Estimate]
    """The scale or scales needed; NaN where the target is out of reach. The high end is infinite where the bootstrap
    has too large a share of draws that never get there."""
    cost: Estimate | None
    """What they cost; None without a cost."""
    reached: float
    """Share of the bootstrap draws that reach the target at all; 1 or 0 without draws."""
    note: str
    """Why not, and how far this extrapolates, in words; empty where there is nothing to say."""

    def __str__(self) -> str:
        where = ", ".join(f"{name} = {e.value:.4g} [{e.low:.4g}, {e.high:.4g}]" for name, e in self.scales.items())
        price = f" at a cost of {self.cost.value:.4g} [{self.cost.low:.4g}, {self.cost.high:.4g}]" if self.cost else ""
        return f"loss {self.target:g} needs {where}{price}{'; ' + self.note if self.note else ''}"


def plan(fitted: Fit, target: Any, *, cost: Any = None, **scales: Any) -> Plan:
    """The scales at which a fitted law comes down to `target`.

    With all scales but one given, the law is inverted for that one. With two left, the cheapest pair under `cost` on
    the curve of equal loss is found. Intervals are quantiles over the replicates of the fit's bootstrap.

    Args:
        fitted: the fit, with a bootstrap where intervals are wanted.
        target: the loss to reach.
        cost: a function of the wanted scales by name, positive and increasing, or a word of `COSTS`; needed for two.
        scales: those that are given.

    Raises:
        ValueError: scales that the law does not have, none or more than two left to find, no cost for two.
    """
    fitted._usable()
    law, target = fitted.law, _checks.number("target", target, low=0, strict=True)
    for name in scales:
        _checks.choice("scales", name, law.scales)
        _checks.number(name, scales[name], low=0, strict=True)
    wanted = tuple(name for name in law.scales if name not in scales)
    if not 1 <= len(wanted) <= 2:
        raise ValueError(
            f"one or two scales can be planned, got {len(wanted)} of {', '.join(law.scales)}: give others."
        )
    if isinstance(cost, str):
        cost = COSTS[_checks.choice("cost", cost, tuple(COSTS))]
    if cost is None and len(wanted) == 2:
        raise ValueError(
            f"`cost` is needed to choose between {wanted[0]} and {wanted[1]}; pass a function or 'product'."
        )
    if cost is not None and not callable(cost):
        raise ValueError(f"`cost` must be a function of the scales or one of {', '.join(COSTS)}; got {cost!r}.")
    measured = dict(zip(law.scales, fitted.problem.places, strict=True))
    rows = [np.array(list(fitted.parameters.values())), *fitted.replicates]
    found = np.array([_solve(law, row, target, wanted, scales, measured, cost) for row in rows])
    prices = np.array([math.nan if cost is None else _price(cost, wanted, row) for row in found])
    reached = np.isfinite(found).all(axis=1)
    level = fitted.level
    draws = found[1:] if len(found) > 1 else found[:1]
    share = float(np.mean(reached[1:] if len(found) > 1 else reached))
    answer = {name: _estimate(found[0, i], draws[:, i], level) for i, name in enumerate(wanted)}
    price = None if cost is None else _estimate(prices[0], prices[1:] if len(found) > 1 else prices, level)
    return Plan(target, answer, price, share, _note(law, rows[0], target, wanted, scales, measured, found[0], share))


def _solve(
    law: Law, row: Array, target: float, wanted: tuple[str, ...], given: Mapping[str, Any], measured: Any, cost: Any
) -> Array:
    if len(wanted) == 1:
        return np.array([float(law.inverse(row, target, wanted[0], **given))])
    first, second = wanted
    low, high = (math.log(float(end)) for end in (measured[first].min() / _REACH, measured[first].max() * _REACH))
    best = np.array([math.nan, math.nan])
    for _ in range(6):  # a grid, then ever finer ones about the cheapest place
        at = np.exp(np.linspace(low, high, _GRID))
        other = np.asarray(law.inverse(row, target, second, **given, **{first: at}))
        price = np.array([_price(cost, wanted, pair) for pair in zip(at, other, strict=True)])
        if not np.isfinite(price).any():
            return np.array([math.nan, math.nan])
        i = int(np.nanargmin(price))
        best = np.array([at[i], other[i]])
        step = (high - low) / (_GRID - 1)
        low, high = math.log(at[i]) - 2 * step, math.log(at[i]) + 2 * step
    return best


def _price(cost: Any, wanted: tuple[str, ...], row: Any) -> float:
    if not np.isfinite(row).all():
        return math.nan
    return float(cost(**{name: float(value) for name, value in zip(wanted, row, strict=True)}))


def _estimate(value: float, draws: Array, level: float) -> Estimate:
    """Quantiles over the draws; a draw that never reaches the target counts as infinite."""
    if len(draws) < 2:
        return Estimate(float(value), math.nan, math.nan, level, None, "no bootstrap")
    filled = np.sort(np.where(np.isfinite(draws), draws, np.inf))
    low, high = (filled[min(int(share * len(filled)), len(filled) - 1)] for share in ((1 - level) / 2, (1 + level) / 2))
    return Estimate(float(value), float(low), float(high), level, None, "inverse of the law over bootstrap draws")


def _note(
    law: Law, row: Array, target: float, wanted: tuple[str, ...], given: Any, measured: Any, found: Array, share: float
) -> str:
    notes = []
    if not np.isfinite(found).all():
        notes.append(
            law.unreachable(row, target, wanted[0], **given).removesuffix(".")
            if len(wanted) == 1
            else f"no {wanted[0]} and {wanted[1]} within a factor of {_REACH:g} of the measured ones reach it"
        )
    else:
        for name, value in zip(wanted, found, strict=True):
            factor = value / measured[name].max()
            if factor > 10:
                notes.append(f"{name} is {factor:.3g} times beyond the largest measured one")
            if measured[name].min() / value > 10:
                notes.append(f"{name} is {measured[name].min() / value:.3g} times below the smallest measured one")
    if 0 < share < 1:
        notes.append(f"{1 - share:.0%} of the bootstrap draws never reach the target")
    return "; ".join(notes)
