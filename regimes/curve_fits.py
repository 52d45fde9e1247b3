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
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from scipy import stats

from regimes import _checks, display, laws, plans, ranking
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
_ROLES = {"size": ("k", "width"), "k": ("size", "width"), "width": ("k",)}
"""Scales of a table that may stand for one of a law that it does not have."""


@display.shown
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


@display.shown
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


@display.shown
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
    """All other laws that could be fitted to all points, in the order of their ranks, without a bootstrap."""
    held: Fit | None
    """The best law as fitted to the smaller sizes only."""
    tail: ranking.Tail | None
    """The forecast from the end of the curve; None with several scales or too few points."""
    level: float
    """Stated coverage of the intervals of the parameters."""
    notes: tuple[str, ...]
    """What to be wary of."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """How the best law was fitted: variance, bootstrap, level, seed."""

    @property
    def status(self) -> str:
        """One word: converged, doubtful (the fit has something to say about itself) or failed."""
        if self.fit is None or math.isnan(self.fit.objective):
            return "failed"
        return "converged" if self.fit.statuses == (Status.CONVERGED,) else "doubtful"

    @property
    def choice(self) -> str:
        """Why this law and no other, and what makes the forecast, in a sentence or two; empty where nothing came."""
        if self.fit is None or self.status == "failed":
            return ""
        name = self.fit.law.name
        scores = {one.law: one.error.value for one in self.ranks if math.isfinite(one.error.value)}
        fitted = [name, *(one.law.name for one in self.others)]
        scored = [law for law in scores if law in fitted]
        if name not in scored:
            why = "the only law" if len(fitted) == 1 else "the law that the points support most (Akaike's criterion)"
            said = f"{name} is {why}; it was not tried out on sizes held out."
        elif name == scored[0]:
            why = "is the only law" if len(scored) == 1 else f"is chosen, the closest of {len(scored)} laws"
            near = [law for law in scored[1:] if scores[law] <= (1 + _TIE) * scores[name]]
            beside = f", that of {' and '.join(near)} within {_TIE:.0%} of it" if near else ""
            said = f"{name} {why}: its error at the sizes held out is {scores[name]:.3g}{beside}."
        else:
            said = (
                f"{name} is chosen: its error at the sizes held out, {scores[name]:.3g}, is within {_TIE:.0%} of the "
                f"least, that of {scored[0]}, and of such laws it is the one that all points support most (Akaike's "
                "criterion)."
            )
        if TAIL not in scores:
            return said
        what = f"The {TAIL}, a fit to the end of the curve alone and no law of all of it (error {scores[TAIL]:.3g}), "
        if self.tail is None:
            closer = (1 + _TIE) * scores[TAIL] < scores.get(name, math.nan)
            return said + (f" {what}came closer." if closer else "")
        return f"{said} {what}makes the forecast beyond the points."

    def predicted(self) -> Float64[Array, " points"]:
        """What the best law says at the measured places.

        Raises:
            ValueError: no law could be fitted.
        """
        if self.fit is None:
            raise ValueError(f"{self.curve.name} has no law: {'; '.join(self.notes) or 'nothing could be fitted'}.")
        return np.asarray(self.fit.predict(**_mapped(self.fit.law, self.curve, self.along)).loss)

    def forecast(self, at: Any = None) -> Forecast:
        """Losses along the one scale that varies, the others as in the last point.

        Inside the measurements both loss and band are those of the best law and its bootstrap. Beyond them, along one
        scale and where no law was asked for, the loss is that of the tail. There the band holds the forecasts of all
        windows, the best law's band, and the expected error about the loss: the scatter of the points about the law,
        and the error at the sizes held out, growing as the logarithm of the distance, at the normal quantile of
        `level`.

        Bands stated as 90 % held 91 % of the losses that were held out of 72 curves of image classifiers
        (Alabdulmohsin et al. 2022; up to 250 times the largest size fitted, in the median) and 82 % of those of 100
        curves of classical learners cut at half of their sizes (LCDB, drawn at random; up to 17 times). The median
        error of the log loss was 0.023 and 0.089 by the tail, 0.034 and 0.105 by the best-ranked law alone, about which
        bands of the same kind held 59 % and 73 %: so they do with a law that was asked for, since the law itself is
        what is most in doubt. The rule of the band was chosen on these curves.

        Args:
            at: places; by default from the smallest measured to ten times the largest.

        Raises:
            ValueError: no law could be fitted, places that are not positive.
        """
        if self.fit is None or math.isnan(self.fit.objective):
            raise ValueError(f"{self.curve.name} has no forecast: {'; '.join(self.notes) or 'no law could be fitted'}.")
        place = self.curve.scales[self.along]
        where = np.geomspace(place.min(), 10 * place.max(), 61)
        if at is not None:
            where = np.atleast_1d(_checks.finite_array("at", at, ndim=(0, 1)))
        if (where <= 0).any():
            raise ValueError(f"`at` must be positive, got {where.min():g}.")
        scales = {name: np.full(len(where), values[-1]) for name, values in self.curve.scales.items()}
        scales[self.along] = where
        beyond = where > place.max()
        law = self.fit.predict(**_mapped(self.fit.law, self.curve, self.along, scales))
        loss, low, high = (np.atleast_1d(part).astype(np.float64) for part in law)
        method = self.fit.law.name
        if self.tail is not None:
            tail = self.tail.predict(**_mapped(self.tail.law, self.curve, self.along, scales))
            low = np.where(beyond, np.minimum(np.fmin(low, loss), tail.low), low)
            high = np.where(beyond, np.maximum(np.fmax(high, loss), tail.high), high)
            loss = np.where(beyond, tail.loss, loss)
            method = f"{method} up to the largest measured, the {TAIL} of the curve beyond"
        if beyond.any():
            width = np.exp(stats.norm.ppf((1 + self.level) / 2) * self._error(where[beyond]))
            low[beyond] = np.fmin(low[beyond], loss[beyond] / width)
            high[beyond] = np.fmax(high[beyond], loss[beyond] * width)
        return Forecast(where, loss, low, high, beyond, method)

    def _error(self, where: Array) -> Array:
        """Standard error of the log loss beyond the measurements: scatter, and the held-out error by distance."""
        assert self.fit is not None
        place = self.curve.scales[self.along]
        scatter = np.log(self.predicted() / self.curve.loss)
        variance = float(np.sum(scatter**2)) / max(len(scatter) - len(self.fit.problem.free), 1)
        errors = {one.law: one.error.value for one in self.ranks}
        error = errors.get(self.fit.law.name if self.tail is None else TAIL, math.nan)
        if math.isfinite(error):
            held = np.unique(place[place > self.split])
            steps = np.log(where / place.max()) ** 2 / np.mean(np.log(held / self.split) ** 2)
            return np.sqrt(variance + error**2 * steps)
        return np.full(len(where), math.sqrt(variance))

    def plans(self, target: float, *, cost: Any = None, **given: Any) -> "list[tuple[str, plans.Plan]]":
        """What a target needs, by every law that could be fitted, in the order of their ranks.

        Args:
            target: the loss to reach.
            cost: as for [plan][regimes.plans.plan].
            given: scales that are given, by the names of the curve.

        Raises:
            ValueError: as for `plan`.
        """
        if self.status == "failed" or self.fit is None:
            return []
        rest = [
            fit(one.law, self.curve.loss, throw=False, **self.options, **_mapped(one.law, self.curve, self.along))
            for one in self.others
        ]
        return [(one.law.name, _planned(one, target, cost, self, given)) for one in (self.fit, *rest)]

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
    bootstrap, seed = _checks.count("bootstrap", bootstrap, low=0), _checks.count("seed", seed, low=0)
    level = _checks.level(level)
    varying = curve.varying or tuple(curve.scales)[:1]
    asked = _asked(law)
    if along is None:
        single = [one.scales[0] for one in asked if len(one.scales) == 1]
        along = next((name for name in single if name in varying), varying[0])
    along = _checks.choice("along", along, tuple(curve.scales))
    notes = list(curve.notes)
    sizes = np.unique(curve.scales[along])
    count = round(holdout * len(sizes))
    split = float(sizes[-count - 1]) if 0 < count < len(sizes) else math.nan
    candidates = asked or _automatic(curve, varying, along, split)
    for one in candidates:
        if len(curve.loss) or len(one.scales) > 1:
            _mapped(one, curve, along)
    if not len(curve.loss):
        return failed(curve, "there are no points", level)
    ignored = [name for name in varying if name != along]
    if ignored and all(len(one.scales) == 1 for one in candidates):
        notes.append(f"the laws run along {along} only, although {', '.join(ignored)} varies too")
    variance = None if curve.stderr is None else curve.stderr**2
    ranks: list[Rank] = []
    held: dict[str, Fit] = {}
    if not math.isnan(split):
        ranks, held = _ranked(candidates, curve, along, split, holdout, variance, bootstrap, level, seed)
    elif holdout:
        notes.append(f"{len(sizes)} different {along}: nothing to hold out, so laws are not ranked")
    order = [one.law for one in ranks if one.law != TAIL] or [one.name for one in candidates]
    options: dict[str, Any] = {"variance": variance, "bootstrap": bootstrap, "level": level, "seed": seed}
    named = {one.name: one for one in candidates}
    quick = options | {"bootstrap": 0}
    every = [fit(named[name], curve.loss, throw=False, **quick, **_mapped(named[name], curve, along)) for name in order]
    best = _preferred(every, ranks)
    others = tuple(one for one in every if one is not best and not math.isnan(one.objective))
    if bootstrap and not math.isnan(best.objective):
        best = fit(best.law, curve.loss, throw=False, **options, **_mapped(best.law, curve, along))
    tail = None
    if len(varying) == 1 and law == "auto":
        tail = _tail(curve, along, np.ones(len(curve.loss), dtype=bool))
    notes += [f"{best.law.name}: {note}" for note in best.notes]
    missed = next((one.error.value for one in ranks if one.law == best.law.name), math.nan)
    if missed > _FAR:
        notes.append(f"even {best.law.name} missed the sizes held out by {missed:.0%}: what lies beyond is a guess")
    chosen = held.get(best.law.name)
    return CurveFit(curve, tuple(ranks), split, along, best, others, chosen, tail, level, tuple(notes), options)


def failed(curve: Curve, reason: str, level: float = 0.9) -> CurveFit:
    """A curve of which nothing came, with the reason in its notes."""
    along = (curve.varying or tuple(curve.scales))[0]
    return CurveFit(curve, (), math.nan, along, None, (), None, None, level, (*curve.notes, reason))


def _asked(law: Any) -> list[Law]:
    """The laws that are named; none for "auto"."""
    if isinstance(law, str) and law == "auto":
        return []
    asked = [law] if isinstance(law, str | Law) else list(law)
    if not asked:
        raise ValueError("`law` is empty; pass a law, a name or 'auto'.")
    chosen = [laws.get(one) if isinstance(one, str) else one for one in asked]
    if len({one.name for one in chosen}) < len(chosen):
        raise ValueError(f"`law` holds a name twice: {', '.join(one.name for one in chosen)}.")
    return chosen


def _automatic(curve: Curve, varying: Sequence[str], along: str, split: float) -> list[Law]:
    """The laws of `AUTO` for these scales that the points can carry, those up to the split too."""
    every = [laws.get(name) for name in AUTO.get(len(varying), ())]
    every = [one for one in every if len(one.scales) == 1 or set(_roles(one, curve, along).values()) >= set(varying)]
    if not every:
        known = (laws.get(name) for name in laws.names())
        fitting = [one.name for one in known if set(_roles(one, curve, along).values()) == set(varying)]
        raise ValueError(
            f"no laws are tried by themselves for the scales {', '.join(varying)}: name one"
            f"{' of ' + ', '.join(fitting) if fitting else ', or fewer columns'}."
        )
    if not len(curve.loss):
        return every
    seen = curve.scales[along] <= (math.inf if math.isnan(split) else split)
    places = np.stack([curve.scales[name] for name in varying])
    all_points, fitted = (len(np.unique(part, axis=1).T) for part in (places, places[:, seen]))
    return [one for one in every if len(one.parameters) <= min(all_points - 2, fitted)] or every[:1]


def _roles(law: Law, curve: Curve, along: str) -> dict[str, str]:
    """What the curve calls each scale of the law: a law of one scale runs along the curve, others go by names."""
    if len(law.scales) == 1:
        return {law.scales[0]: along}
    found = {name: name for name in law.scales if name in curve.scales}
    for name in law.scales:
        others = [one for one in _ROLES.get(name, ()) if one in curve.scales and one not in law.scales]
        if name not in found and others:
            found[name] = others[0]
    return found


def _mapped(law: Law, curve: Curve, along: str, scales: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The scales of a curve, or others by the same names, under the names of the law.

    Raises:
        ValueError: a scale that the law needs and the curve does not have.
    """
    roles = _roles(law, curve, along)
    missing = [name for name in law.scales if name not in roles]
    if missing:
        raise ValueError(
            f"{law.name} needs the scales {', '.join(law.scales)}; the table has {', '.join(curve.scales)}: name "
            f"columns for {', '.join(missing)} or choose another law."
        )
    if along not in roles.values():
        raise ValueError(f"`along` is {along}, which {law.name} does not have: it runs along {', '.join(law.scales)}.")
    values = curve.scales if scales is None else scales
    return {name: values[theirs] for name, theirs in roles.items()}


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
        scales = _mapped(several[0], curve, along)
        name = next(name for name, theirs in _roles(several[0], curve, along).items() if theirs == along)
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
            asked = _mapped(tail.law, curve, along, {name: values[~seen] for name, values in curve.scales.items()})
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
    scored = [one for one in usable if math.isfinite(errors.get(one.law.name, math.nan))]
    least = min((errors[one.law.name] for one in scored), default=math.nan)
    near = [one for one in scored if errors[one.law.name] <= (1 + _TIE) * least]
    return min(near or usable, key=_akaike)


def _akaike(one: Fit) -> float:
    """Akaike's criterion, for few points: chi^2 with measured errors, else points ln(squares); plus what p costs."""
    points, squares, count = len(one.residuals), max(2 * one.objective, 1e-300), len(one.problem.free)
    if one.problem.sigma is not None:
        return 2 * count + squares
    count += 1  # the variance
    left = points - count - 1
    return points * math.log(squares) + (2 * count * points / left if left > 0 else math.inf)


def _tail(curve: Curve, along: str, seen: Array) -> ranking.Tail | None:
    try:
        law = laws.get("hestness")
        return ranking.fit_tail(curve.loss[seen], law=law, **{law.scales[0]: curve.scales[along][seen]})
    except (FitError, ValueError):
        return None


def _planned(fitted: Fit, target: float, cost: Any, of: CurveFit, given: dict[str, Any]) -> "plans.Plan":
    """A plan under the names of the curve."""
    names = _roles(fitted.law, of.curve, of.along)
    back = {theirs: ours for ours, theirs in names.items()}
    for name in given:
        _checks.choice("given", name, tuple(back))
    price = cost
    if callable(cost):

        def price(**scales: Any) -> Any:
            return cost(**{names[name]: value for name, value in scales.items()})

    found = plans.plan(fitted, target, cost=price, **{back[name]: value for name, value in given.items()})
    if target >= of.curve.loss.max():
        found = found._replace(note="; ".join(filter(None, (found.note, "all measured losses are below the target"))))
    note = re.sub(r"\b\w+\b", lambda word: names.get(word[0], word[0]), found.note)
    return found._replace(scales={names[name]: value for name, value in found.scales.items()}, note=note)
