"""What a measured curve says of laws: each scored on sizes it has not seen, the best fitted, and a forecast beyond.

    for one in curves.read("losses.csv", by="model"):
        print(curve_fits.analyse(one))

Two questions have two answers. *Which law, with which exponents?* is answered by the law that extrapolates best from
the smaller sizes to the larger. *What comes next?* is answered, for one scale, by the end of the curve alone
([fit_tail][regimes.ranking.fit_tail]): on real curves that came closer than any law chosen on a held-out part.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from regimes import _checks, laws, plans, ranking
from regimes.curves import Curve
from regimes.fits import Fit, FitError, Status, fit
from regimes.law import Law
from regimes.results import Estimate

Array = np.ndarray
TAIL = "tail"
"""The name under which the forecast from the end of a curve is ranked among the laws."""
AUTO: dict[int, tuple[str, ...]] = {
    1: ("power", "hestness", "m3", "m4", "hestness-regions"),
    2: ("chinchilla", "multiplicative", "kaplan", "rosenfeld", "four-regimes"),
}
"""Laws that "auto" tries, by the number of scales; those with too many parameters for the points are left out."""
_TIE = 0.01
"""Share by which errors must differ to count: a law that contains another follows it almost exactly."""
_FAR = 0.2
"""Held-out error of the log loss beyond which no law can be said to extrapolate."""
_ROLES = {"size": "k", "k": "size", "width": "k"}
"""A scale that a law does not have stands for this one of it."""


class Rank(NamedTuple):
    """One law's extrapolation."""

    law: str
    """Its name, or "tail"."""
    error: Estimate
    """Root mean square error of the log loss at the sizes held out; NaN where it could not be fitted."""
    best: float
    """Share of the bootstrap draws in which no other law did better; NaN for the tail, which has no draws."""
    status: Status
    """Of the fit to the smaller sizes."""


class Forecast(NamedTuple):
    """Losses along one scale, inside the measurements and beyond."""

    at: Float64[Array, " places"]
    """Where."""
    loss: Float64[Array, " places"]
    """What is expected."""
    low: Float64[Array, " places"]
    """Lower end of the band."""
    high: Float64[Array, " places"]
    """Upper end."""
    beyond: Bool[Array, " places"]
    """Whether that is larger than anything measured."""
    method: str
    """In words: the law, and the tail where it takes over."""


@dataclasses.dataclass(frozen=True)
class CurveFit:
    """What [analyse][regimes.curve_fits.analyse] found."""

    curve: Curve
    """The measurements."""
    ranks: tuple[Rank, ...]
    """Best first; empty where nothing could be held out."""
    split: float
    """Sizes up to here were fitted for the ranks, larger ones scored; NaN without."""
    along: str
    """The scale of the curve that was split."""
    fit: Fit | None
    """The best law, fitted to all points; None where no law could be."""
    others: tuple[Fit, ...]
    """All other laws that could be fitted to all points, in the order of their ranks."""
    held: Fit | None
    """The best law as fitted to the smaller sizes only."""
    tail: ranking.Tail | None
    """The forecast from the end of the curve; None with several scales or too few points."""
    level: float
    """Stated coverage of the intervals of the parameters."""
    notes: tuple[str, ...]
    """What to be wary of."""

    @property
    def status(self) -> str:
        """One word: converged, doubtful (the fit has something to say about itself) or failed."""
        if self.fit is None or math.isnan(self.fit.objective):
            return "failed"
        return "converged" if self.fit.statuses == (Status.CONVERGED,) else "doubtful"

    def forecast(self, at: Any = None) -> Forecast:
        """Losses along the one scale that varies, the others as in the last point.

        Inside the measurements both loss and band are those of the best law and its bootstrap. Beyond them, along one
        scale, the loss is that of the tail, and the band runs from the lowest to the highest of its forecasts and of
        the best law's band: how far choices of window and law differ. No coverage is stated for it.

        Args:
            at: places; by default from the smallest measured to ten times the largest.

        Raises:
            ValueError: no law could be fitted.
        """
        if self.fit is None or math.isnan(self.fit.objective):
            raise ValueError(f"{self.curve.name} has no forecast: {'; '.join(self.notes) or 'no law could be fitted'}.")
        place = self.curve.scales[self.along]
        where = np.geomspace(place.min(), 10 * place.max(), 61) if at is None else _checks.finite_array("at", at)
        where = np.atleast_1d(where)
        scales = {name: np.full(len(where), values[-1]) for name, values in self.curve.scales.items()}
        scales[self.along] = where
        beyond = where > place.max()
        law = self.fit.predict(**_mapped(self.fit.law, scales))
        loss, low, high = (np.atleast_1d(part) for part in law)
        method = self.fit.law.name
        if self.tail is not None:
            tail = self.tail.predict(**_mapped(self.tail.law, scales))
            low = np.where(beyond, np.minimum(np.fmin(low, loss), tail.low), low)
            high = np.where(beyond, np.maximum(np.fmax(high, loss), tail.high), high)
            loss = np.where(beyond, tail.loss, loss)
            method = f"{method}, beyond the measured {TAIL}"
        return Forecast(where, loss, low, high, beyond, method)

    def plans(self, target: float, *, cost: Any = None, **given: Any) -> "list[tuple[str, plans.Plan]]":
        """What a target needs, by every law that could be fitted, in the order of their ranks.

        Args:
            target: the loss to reach.
            cost: as for [plan][regimes.plans.plan].
            given: scales that are given, by the names of the curve.

        Raises:
            ValueError: as for `plan`.
        """
        fitted = [one for one in (self.fit, *self.others) if one is not None and not math.isnan(one.objective)]
        return [(one.law.name, _planned(one, target, cost, self.curve, given)) for one in fitted]

    def __str__(self) -> str:
        lines = [f"{self.curve.name}: {len(self.curve.loss)} points"]
        lines += [] if self.fit is None else [str(self.fit)]
        if self.ranks:
            scored = ", ".join(f"{one.law} {one.error.value:.3g}" for one in self.ranks)
            lines.append(f"held-out error of the log loss beyond {self.along} = {self.split:g}: {scored}")
        return "\n".join([*lines, *self.notes])


def analyse(
    curve: Curve,
    law: Any = "auto",
    *,
    holdout: float = 0.5,
    along: str | None = None,
    bootstrap: int = 200,
    level: float = 0.9,
    seed: int = 0,
) -> CurveFit:
    """Rank laws on the larger sizes, fit them to all, and look beyond.

    Args:
        curve: from [curves.read][regimes.curves.read].
        law: "auto" (those of `AUTO` that the points can carry), a law or its name, or several.
        holdout: share of the different sizes, the largest, on which laws are scored; 0 for no ranking.
        along: the scale to split and to look along; by default the first that varies.
        bootstrap: draws for intervals and bands.
        level: coverage of the intervals.
        seed: of the bootstrap.

    Returns:
        Whatever becomes of the curve: where nothing could be fitted the status is "failed" and the notes say why.

    Raises:
        ValueError: an unknown law, laws of other scales than the curve, a share that is not in [0, 1).
    """
    holdout = _checks.number("holdout", holdout, low=0)
    if holdout >= 1:
        raise ValueError(f"`holdout` must be below 1, got {holdout:g}.")
    varying = curve.varying or tuple(curve.scales)[:1]
    along = _checks.choice("along", varying[0] if along is None else along, tuple(curve.scales))
    candidates = _candidates(law, curve, varying)
    notes = list(curve.notes)
    if not len(curve.loss):
        return CurveFit(curve, (), math.nan, along, None, (), None, None, level, (*notes, "there are no points"))
    variance = None if curve.stderr is None else curve.stderr**2
    sizes = np.unique(curve.scales[along])
    count = round(holdout * len(sizes))
    split = float(sizes[-count - 1]) if 0 < count < len(sizes) else math.nan
    ranks: list[Rank] = []
    held: dict[str, Fit] = {}
    if not math.isnan(split):
        ranks, held = _ranked(candidates, curve, along, split, holdout, variance, bootstrap, level, seed)
    elif holdout:
        notes.append(f"{len(sizes)} different {along}: nothing to hold out, so laws are not ranked")
    order = [one.law for one in ranks if one.law != TAIL] or [one.name for one in candidates]
    options: dict[str, Any] = {"variance": variance, "bootstrap": bootstrap, "level": level, "seed": seed}
    named = {one.name: one for one in candidates}
    every = [
        fit(named[name], curve.loss, throw=False, **options, **_mapped(named[name], curve.scales)) for name in order
    ]
    best = _preferred(every, ranks)
    every = [best, *(one for one in every if one is not best and not math.isnan(one.objective))]
    tail = None
    if len(varying) == 1 and law == "auto":
        tail = _tail(curve, along, np.ones(len(curve.loss), dtype=bool))
    notes += [f"{best.law.name}: {note}" for note in best.notes]
    missed = next((one.error.value for one in ranks if one.law == best.law.name), math.nan)
    if missed > _FAR:
        notes.append(f"even {best.law.name} missed the sizes held out by {missed:.0%}: what lies beyond is a guess")
    return CurveFit(
        curve, tuple(ranks), split, along, best, tuple(every[1:]), held.get(best.law.name), tail, level, tuple(notes)
    )


def _candidates(law: Any, curve: Curve, varying: Sequence[str]) -> list[Law]:
    """The laws to try, all of them able to take the curve's scales."""
    if isinstance(law, str) and law == "auto":
        names = AUTO.get(len(varying))
        if names is None:
            raise ValueError(
                f"no laws are tried by themselves for the {len(varying)} scales {', '.join(varying)}: name one of "
                f"{', '.join(name for name in laws.names() if len(laws.get(name).scales) == len(varying)) or 'none'}."
            )
        every = [laws.get(name) for name in names]
        points = len(np.unique(np.stack([curve.scales[name] for name in varying]), axis=1).T) if len(curve.loss) else 0
        return [one for one in every if len(one.parameters) + 2 <= points] or every[:1]
    asked = [law] if isinstance(law, str | Law) else list(law)
    if not asked:
        raise ValueError("`law` is empty; pass a law, a name or 'auto'.")
    chosen = [laws.get(one) if isinstance(one, str) else one for one in asked]
    if len({one.name for one in chosen}) < len(chosen):
        raise ValueError(f"`law` holds a name twice: {', '.join(one.name for one in chosen)}.")
    for one in chosen:
        _mapped(one, curve.scales)
    return chosen


def _mapped(law: Law, scales: Any) -> dict[str, Any]:
    """The scales of a curve under the names of the law: its own, a synonym, or the only one that varies.

    Raises:
        ValueError: a scale that the law needs and the curve does not have.
    """
    found = {name: scales[name] for name in law.scales if name in scales}
    for name in law.scales:
        other = _ROLES.get(name)
        if name not in found and other in scales and other not in law.scales:
            found[name] = scales[other]
    if len(law.scales) == 1 and not found:
        varying = [name for name, values in scales.items() if np.size(values) and np.ptp(values) > 0]
        if len(varying) == 1 or len(scales) == 1:
            found[law.scales[0]] = scales[varying[0] if len(varying) == 1 else next(iter(scales))]
    missing = [name for name in law.scales if name not in found]
    if missing:
        raise ValueError(
            f"{law.name} needs the scales {', '.join(law.scales)}; the table has {', '.join(scales)}: name columns for "
            f"{', '.join(missing)} or choose another law."
        )
    return found


def _ranked(
    candidates: Sequence[Law],
    curve: Curve,
    along: str,
    split: float,
    holdout: float,
    variance: Array | None,
    bootstrap: int,
    level: float,
    seed: int,
) -> tuple[list[Rank], dict[str, Fit]]:
    """All laws by their held-out errors, the tail among them where there is one scale."""
    ranks, held = [], {}
    renamed: dict[tuple[str, ...], list[Law]] = {}
    for one in candidates:
        renamed.setdefault(one.scales, []).append(one)
    for several in renamed.values():  # laws that call the scales otherwise are scored apart, on the same split
        scales = _mapped(several[0], curve.scales)
        name = next(name for name, values in scales.items() if values is curve.scales[along])
        found = ranking.compare(
            several, curve.loss, holdout=holdout, along=name, bootstrap=min(bootstrap, 100), level=level, seed=seed,
            options={"variance": variance}, **scales,
        )  # fmt: skip
        for score in found.scores:
            share = score.best if len(renamed) == 1 else math.nan
            ranks.append(Rank(score.law, score.error, share, score.fit.status))
            held[score.law] = score.fit
    if len(curve.varying) == 1:
        seen = curve.scales[along] <= split
        tail = _tail(curve, along, seen)
        if tail is not None:
            asked = _mapped(tail.law, {name: values[~seen] for name, values in curve.scales.items()})
            miss = np.log(tail.predict(**asked).loss / curve.loss[~seen])
            draws = np.random.default_rng(seed).integers(0, len(miss), (100, len(miss)))
            spread = np.sqrt(np.mean(miss[draws] ** 2, axis=1))
            low, high = (float(end) for end in np.quantile(spread, [(1 - level) / 2, (1 + level) / 2]))
            error = Estimate(float(np.sqrt(np.mean(miss**2))), low, high, level, None, "over the points only")
            ranks.append(Rank(TAIL, error, math.nan, Status.CONVERGED))
    ranks.sort(key=lambda one: (math.isnan(one.error.value), one.error.value))
    return ranks, held


def _preferred(fitted: Sequence[Fit], ranks: Sequence[Rank]) -> Fit:
    """The law that extrapolates best; of those that do so equally well, the one that the points support most."""
    errors = {one.law: one.error.value for one in ranks}
    usable = [one for one in fitted if not math.isnan(one.objective)]
    if not usable:
        return fitted[0]
    least = min((errors.get(one.law.name, math.nan) for one in usable), default=math.nan)
    near = [one for one in usable if not errors.get(one.law.name, math.inf) > (1 + _TIE) * least]
    return min(near or usable, key=_akaike)


def _akaike(one: Fit) -> float:
    """Akaike's criterion: 2 p + chi^2 with measured errors, 2 p + points ln(squares) without."""
    points, squares = len(one.residuals), max(2 * one.objective, 1e-300)
    return 2 * len(one.problem.free) + (squares if one.problem.sigma is not None else points * math.log(squares))


def _tail(curve: Curve, along: str, seen: Array) -> ranking.Tail | None:
    try:
        law = laws.get("hestness")
        return ranking.fit_tail(curve.loss[seen], law=law, **{law.scales[0]: curve.scales[along][seen]})
    except (FitError, ValueError):
        return None


def _planned(fitted: Fit, target: float, cost: Any, curve: Curve, given: dict[str, Any]) -> "plans.Plan":
    """A plan under the names of the curve."""
    names = _names(fitted.law, curve)
    back = {theirs: ours for ours, theirs in names.items()}
    for name in given:
        _checks.choice("given", name, tuple(back))
    price = cost
    if callable(cost):

        def price(**scales: Any) -> Any:
            return cost(**{names[name]: value for name, value in scales.items()})

    found = plans.plan(fitted, target, cost=price, **{back[name]: value for name, value in given.items()})
    note = re.sub(r"\b\w+\b", lambda word: names.get(word[0], word[0]), found.note)
    return found._replace(scales={names[name]: value for name, value in found.scales.items()}, note=note)


def _names(law: Law, curve: Curve) -> dict[str, str]:
    """What the curve calls each scale of the law."""
    mapped = _mapped(law, curve.scales)
    return {
        name: next(theirs for theirs, values in curve.scales.items() if values is mapped[name]) for name in law.scales
    }
