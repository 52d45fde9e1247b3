"""Which law: ranked by what each says about sizes it has not seen; many curves at once; fits to the tail of a curve.

A law that follows the measured points is no better for it: what counts is the loss at larger sizes. `compare` fits each
law to the smaller sizes and scores it on the larger ones.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from regimes import _checks, display, fits, laws, objectives
from regimes.fits import Fit, FitError, Prediction
from regimes.law import Law
from regimes.results import Estimate

Array = np.ndarray
WINDOWS = tuple(float(2 ** (j / 4)) for j in range(2, 21))
"""Factors of size that `fit_tail` looks back over: quarter octaves from 1.4 to 32."""


@display.shown
class Score(NamedTuple):
    """How well one law extrapolates."""

    law: str
    """Its name."""
    error: Estimate
    """Root mean square error of the log loss at the sizes held out; NaN where it could not be fitted. The interval is
    that of the bootstrap, over the fitted points and over the scored ones."""
    best: float
    """Share of the bootstrap draws in which no other law did better."""
    fit: Fit
    """The fit to the smaller sizes."""

    def __str__(self) -> str:
        return f"{self.law}: {self.error} (best in {self.best:.0%} of draws; {self.fit.status.value})"


@display.shown
@dataclasses.dataclass(frozen=True)
class Ranking:
    """Laws from best to worst by held-out extrapolation."""

    scores: tuple[Score, ...]
    """Best first; those that could not be fitted last."""
    along: str
    """The scale that was split."""
    split: float
    """Sizes up to here were fitted, larger ones scored."""

    @property
    def best(self) -> Score:
        """The law with the smallest error."""
        return self.scores[0]

    def __getitem__(self, law: str) -> Score:
        """The score of one law."""
        names = tuple(score.law for score in self.scores)
        return self.scores[names.index(_checks.choice("law", law, names))]

    def __str__(self) -> str:
        rows = "\n".join(f"  {i}. {score}" for i, score in enumerate(self.scores, 1))
        return f"held-out error of the log loss beyond {self.along} = {self.split:g}:\n{rows}"


def compare(
    candidates: Sequence[Law | str],
    loss: Any,
    *,
    holdout: float = 0.5,
    along: str | None = None,
    bootstrap: int = 100,
    level: float = 0.9,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    **scales: Any,
) -> Ranking:
    """Rank laws by the error of the log loss at sizes larger than those fitted.

    Args:
        candidates: laws or their names, all of the same scales.
        loss: measured losses, positive.
        holdout: share of the different sizes, the largest ones, that is held out.
        along: the scale to split; by default the first of the laws that takes several values.
        bootstrap: draws for the uncertainty of the scores: each law's parameters resampled, the scored points too.
        level: coverage of their intervals.
        seed: of the bootstrap.
        options: further arguments of [fits.fit][regimes.fits.fit].
        scales: as there.

    Raises:
        ValueError: no law, laws of different scales, a share that leaves nothing to fit or to score, losses that are
            not positive.
    """
    chosen = [laws.get(law) if isinstance(law, str) else law for law in candidates]
    if not chosen:
        raise ValueError("`candidates` is empty; pass at least one law.")
    if len({law.name for law in chosen}) < len(chosen):
        raise ValueError(f"`candidates` holds a name twice: {', '.join(law.name for law in chosen)}.")
    different = [law.name for law in chosen if set(law.scales) != set(chosen[0].scales)]
    if different:
        raise ValueError(f"laws can be compared on the same scales only; {different[0]} has other ones.")
    measured = _checks.finite_array("loss", loss, ndim=1)
    if (measured <= 0).any():
        raise ValueError(f"`loss` must be positive, got {measured.min():g}: the score is an error of its logarithm.")
    places = _places(chosen[0], measured, scales)
    if along is None:
        along = next((name for name in chosen[0].scales if np.ptp(places[name]) > 0), chosen[0].scales[0])
    along = _checks.choice("along", along, chosen[0].scales)
    holdout = _checks.number("holdout", holdout)
    sizes = np.unique(places[along])
    count = round(holdout * len(sizes))
    if not 0 < holdout < 1 or not 0 < count < len(sizes):
        raise ValueError(
            f"`holdout` must leave sizes to fit and to score, got {holdout:g} of {len(sizes)} different {along}."
        )
    split = float(sizes[-count - 1])
    seen = places[along] <= split
    given = {name: place[seen] for name, place in places.items()}
    asked = {name: place[~seen] for name, place in places.items()}
    extra = dict(options or {})
    for name in ("variance", "groups"):
        if extra.get(name) is not None:
            extra[name] = np.broadcast_to(np.asarray(extra[name]), measured.shape)[seen]
    truth = measured[~seen]
    drawn = np.random.default_rng(seed).integers(0, len(truth), (max(bootstrap, 1), len(truth)))
    found, draws = [], []
    for law in chosen:
        one = fits.fit(
            law, measured[seen], bootstrap=bootstrap, level=level, seed=seed, throw=False, **{**extra, **given}
        )
        error, spread = math.nan, np.full(len(drawn), np.inf)
        if not math.isnan(one.objective):
            error = _error(law(one.parameters, **asked), truth)
            for i in range(min(len(one.replicates), len(drawn))):
                with np.errstate(all="ignore"):
                    spread[i] = _error(
                        np.broadcast_to(law(one.replicates[i], **asked), truth.shape)[drawn[i]], truth[drawn[i]]
                    )
        found.append((law, one, error))
        draws.append(spread)
    table = np.array(draws)
    shares = np.bincount(np.argmin(table, axis=0), minlength=len(found)) / table.shape[1]
    scores = []
    for (law, one, error), spread, share in zip(found, table, shares, strict=True):
        usable = spread[np.isfinite(spread)]
        ends = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2]) if len(usable) else (math.nan, math.nan)
        low, high = np.fmin(ends[0], error), np.fmax(ends[1], error)  # drawn parameters err more than the best ones
        estimate = Estimate(error, float(low), float(high), level, None, "held-out RMSE of log loss")
        scores.append(Score(law.name, estimate, float(share) if len(usable) else 0.0, one))
    order = sorted(range(len(scores)), key=lambda i: (math.isnan(scores[i].error.value), scores[i].error.value))
    return Ranking(tuple(scores[i] for i in order), along, split)


@display.shown
@dataclasses.dataclass(frozen=True)
class Tail:
    """Fits of one law to the last parts of a curve, and their common forecast."""

    law: Law
    """The law."""
    fits: tuple[Fit, ...]
    """One per window, narrowest first."""
    windows: tuple[float, ...]
    """Over how large a factor of size each of them looks back."""

    def predict(self, **scales: Any) -> Prediction:
        """The geometric mean of the forecasts; low and high are the lowest and highest of them.

        Raises:
            ValueError: as for [Law][regimes.law.Law].
        """
        rows = np.log([one.law(one.parameters, **scales) for one in self.fits])
        middle, low, high = (np.exp(value) for value in (rows.mean(axis=0), rows.min(axis=0), rows.max(axis=0)))
        return Prediction(middle[()], low[()], high[()])

    def __str__(self) -> str:
        looks = ", ".join(f"{window:.3g}" for window in self.windows)
        return f"{self.law.name} over the last factors {looks} of size, geometric mean of {len(self.fits)} forecasts"


def fit_tail(
    loss: Any,
    *,
    law: Law = laws.HESTNESS,
    along: str | None = None,
    windows: Sequence[float] = WINDOWS,
    options: Mapping[str, Any] | None = None,
    **scales: Any,
) -> Tail:
    """A forecast from the end of a curve: a simple law fitted to the last parts of it, averaged over how long a part.

    No law of few parameters follows a real curve over many decades, and one that follows it in the middle may miss its
    end. So the law (power law with offset by default) is fitted to the points with size >= largest/window, for each
    window, and the forecasts are averaged with equal weights in the logarithm. There is nothing to choose: picking the
    window or the law by an inner held-out part was measured too and did worse, since a short held-out part is noisy.
    On 72 curves of image classifiers (Alabdulmohsin et al. 2022) this beats M1 to M4 fitted to whole curves;
    `benchmarks/laws.py` has the numbers.

    Args:
        loss: measured losses.
        law: what to fit.
        along: the scale whose end counts; the law's first by default.
        windows: factors larger than 1.
        options: further arguments of [fits.fit][regimes.fits.fit].
        scales: the law's scales.

    Raises:
        ValueError: as for `fit`, or windows that are not larger than 1.
        FitError: no window holds enough points, and neither does the whole curve.
    """
    measured = _checks.finite_array("loss", loss, ndim=1)
    places = _places(law, measured, scales)
    along = _checks.choice("along", law.scales[0] if along is None else along, law.scales)
    factors = np.sort(_checks.finite_array("windows", windows, ndim=1))
    if (factors <= 1).any():
        raise ValueError(f"`windows` must be larger than 1, got {factors[0]:g}.")
    settings = {"bounds": _wide(law), **dict(options or {})}
    settings.update(bootstrap=0, throw=False)
    found: dict[int, tuple[float, Fit]] = {}
    seen: dict[int, Fit] = {}  # neighbouring windows may hold the same points
    for factor in (*factors, math.inf):
        inside = places[along] >= places[along].max() / factor
        count = int(inside.sum())
        if count < len(law.parameters) + 2 and not (math.isinf(factor) and not found):
            continue
        if math.isinf(factor) and found:
            break
        if count not in seen:
            cut = {name: place[inside] for name, place in places.items()}
            seen[count] = fits.fit(law, measured[inside], **settings, **cut)
        one = seen[count]
        if not math.isnan(one.objective):
            found[len(found)] = (float(factor), one)
        elif math.isinf(factor):
            raise FitError(f"{one.notes[0]}: too little for a forecast from the tail.")
    return Tail(law, tuple(one for _, one in found.values()), tuple(factor for factor, _ in found.values()))


def fit_table(
    frame: Any,
    law: Law | str,
    *,
    x: str | Mapping[str, str] | None = None,
    y: str = "loss",
    by: str | Sequence[str] | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Fit every curve of a table; a row each, whatever becomes of it.

    Args:
        frame: anything with named columns: a pandas frame, or a mapping of arrays.
        law: the law or its name.
        x: column of the scale, or a mapping from the law's scales to columns; the scales' own names by default.
        y: column of the losses.
        by: column(s) that tell curves apart; None for one curve.
        options: further arguments of [fits.fit][regimes.fits.fit]; `bootstrap` is 0 by default.

    Returns:
        A dictionary per curve: the values of `by`, law, points, status, notes, objective, error (root mean square of
        the residuals) and for each parameter its value, low and high. A curve that cannot be fitted has its reason
        under status or notes and NaN elsewhere.

    Raises:
        ValueError: a column that is missing.
    """
    chosen = laws.get(law) if isinstance(law, str) else law
    if x is None:
        columns = {name: name for name in chosen.scales}
    elif isinstance(x, str):
        if len(chosen.scales) != 1:
            raise ValueError(f"`x` must map the scales {', '.join(chosen.scales)} of {chosen.name} to columns.")
        columns = {chosen.scales[0]: x}
    else:
        columns = dict(x)
    keys = [by] if isinstance(by, str) else list(by or [])
    for column in (*columns.values(), y, *keys):
        if column not in frame:
            raise ValueError(f"column {column!r} is missing; there are {', '.join(map(str, frame))}.")
    table = {column: np.asarray(frame[column]) for column in (*columns.values(), y, *keys)}
    length = len(table[y])
    labels = list(zip(*(table[key].tolist() for key in keys), strict=True)) if keys else [()] * length
    members: dict[tuple[Any, ...], list[int]] = {}
    for i, label in enumerate(labels):
        members.setdefault(label, []).append(i)
    rows = []
    objectives.warn_of_units([table[y][index] for index in members.values()], y)
    for label, index in members.items():
        row: dict[str, Any] = {**dict(zip(keys, label, strict=True)), "law": chosen.name, "points": len(index)}
        nothing = {f"{name}{end}": math.nan for name in chosen.names for end in ("", "_low", "_high")}
        try:
            scales = {name: table[column][index] for name, column in columns.items()}
            settings: dict[str, Any] = {"bootstrap": 0, **options, **scales}
            one = fits.fit(chosen, table[y][index], throw=False, **settings)
        except ValueError as error:  # a curve that is no data: named, and the next one still fitted
            row |= {"status": "BAD_INPUT", "notes": str(error), "objective": math.nan, "error": math.nan, **nothing}
        else:
            row |= {
                "status": one.status.name if len(one.statuses) == 1 else " ".join(s.name for s in one.statuses),
                "notes": "; ".join(one.notes),
                "objective": one.objective,
                "error": float(np.sqrt(np.mean(one.residuals**2))),
            }
            for name, estimate in one.estimates.items():
                row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        rows.append(row)
    return rows


def _places(law: Law, measured: Array, scales: Mapping[str, Any]) -> dict[str, Array]:
    """The scales as arrays as long as the losses."""
    missing = [name for name in law.scales if name not in scales]
    unknown = [name for name in scales if name not in law.scales]
    if missing or unknown:
        raise ValueError(f"{law.name} needs the scales {', '.join(law.scales)}; got {', '.join(scales) or 'none'}.")
    places = {}
    for name in law.scales:
        place = _checks.finite_array(name, scales[name], ndim=(0, 1))
        if place.ndim and place.shape != measured.shape:
            raise ValueError(f"`{name}` must be as long as `loss` ({len(measured)} points), got {len(place)}.")
        places[name] = np.broadcast_to(place, measured.shape)
    return places


def _wide(law: Law) -> dict[str, tuple[float, float]]:
    """Amplitudes without bounds: over a narrow window far from scale 1 they take any size."""
    return {p.name: (1e-100, 1e100) for p in law.parameters if p.linear and p.name != law.offset and p.low >= 0}


def _error(predicted: Any, truth: Float64[Array, " points"]) -> float:
    with np.errstate(all="ignore"):
        difference = np.log(np.broadcast_to(predicted, truth.shape)) - np.log(truth)
    return float(np.sqrt(np.mean(difference**2))) if np.isfinite(difference).all() else math.inf
