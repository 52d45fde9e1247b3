"""What a measured curve says about its regime: slopes, laws that follow the points or do not, limits.

Each explanation is a law fitted with the errors of the points; a finding holds all regimes whose laws remain.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from regimes import _checks, display, fits, laws
from regimes.regime_points import FLAT, NEAR_ONE, RESOLUTION, VARIANCE, Regime
from regimes.results import Estimate, LearningCurve

Array = np.ndarray
REJECTED = 8.0
"""A law is given up when chi^2 + 2 parameters is larger by this than for the best law."""
MISFIT = 0.05
"""A power law that is off by more than this share of the loss is no description of a curve."""


class Data(NamedTuple):
    """A curve made ready: sorted, with the error of every point and all that is known of it."""

    along: str
    x: Array
    y: Array
    sigma: Array
    """Standard error of each loss, never below half a per cent of it: laws are approximations."""
    smooth: Array
    other: float | None
    """What is held of n and k; None where unknown."""
    limit: float | None
    noise: float | None
    ridge: float | None
    guess: float | None
    time: float
    level: float
    measured: bool
    """Whether the errors were measured; else they are estimated from the scatter."""
    infinite: bool
    """Whether points of infinite loss were left out."""

    def part(self, keep: Array, scale: Any = 1.0) -> "Data":
        """Some of the points, their losses times `scale`."""
        scale = np.broadcast_to(scale, self.x.shape)[keep]
        fields = {name: getattr(self, name)[keep] for name in ("x", "y", "sigma", "smooth")}
        fields |= {name: fields[name] * scale for name in ("y", "sigma", "smooth")}
        return self._replace(**fields)


class Trial(NamedTuple):
    """One law fitted: a x^-b + c over x or |x - m|."""

    exponent: Estimate
    amplitude: Estimate
    offset: Estimate
    criterion: float
    """chi^2 + 2 free parameters."""
    unidentified: bool
    """Whether the points do not tell the offset from none."""


@display.shown
class Finding(NamedTuple):
    """What a part of the reasoning arrives at."""

    possible: tuple[Regime, ...]
    exponent: Estimate
    evidence: tuple[str, ...]


NOTHING = Estimate(math.nan, math.nan, math.nan, 0.9)


def prepare(curve: LearningCurve, limit: Any, options: Mapping[str, Any], level: float) -> tuple[Data, list[str]]:
    """The curve checked, sorted and with errors, and what there is to say about that; arguments as for `classify`."""
    along = _checks.choice("curve.along", curve.along, ("n", "k", "time"))
    x = _checks.finite_array("curve.at", curve.at, ndim=1)
    y = np.asarray(curve.loss, dtype=np.float64)
    if y.shape != x.shape:
        raise ValueError(f"`curve.loss` must be as long as `curve.at` ({len(x)}), got shape {y.shape}.")
    if np.isnan(y).any():
        raise ValueError(f"`curve.loss` holds {int(np.isnan(y).sum())} NaN of {len(y)}; remove or replace them.")
    if x.min() <= 0 or y.min() <= 0:
        raise ValueError(
            f"`curve` must be positive, got {along} = {x.min():g} and a loss of {y.min():g}; "
            "pass the loss itself and its `limit`, not a difference that noise has made negative."
        )
    notes = []
    shift: Any = 0.0
    if limit is not None:
        below = _checks.finite_array("limit", limit, ndim=(0, 1))
        if below.ndim and below.shape != x.shape:
            raise ValueError(f"`limit` must be one number or one per point ({len(x)}), got {len(below)}.")
        if below.min() < 0:
            raise ValueError(f"`limit` must not be negative, got {below.min():g}.")
        limit = float(np.mean(below))
        shift = np.broadcast_to(below - limit, x.shape)
    finite, order = np.isfinite(y), np.argsort(x, kind="stable")
    order = order[finite[order]]
    errors = None if curve.stderr is None else np.asarray(curve.stderr, dtype=np.float64)
    if errors is not None and errors.shape != x.shape:
        raise ValueError(f"`curve.stderr` must be as long as `curve.at` ({len(x)}), got shape {errors.shape}.")
    if errors is not None and (errors < 0).any():
        raise ValueError("`curve.stderr` must not be negative.")
    x, y = x[order], (y - shift)[order]
    if len(np.unique(x)) < 4 or (y <= 0).any():
        raise ValueError(f"a verdict needs at least four different places with a finite loss, got {len(np.unique(x))}.")
    log_x, log_y = np.log(x), np.log(y)
    relative = None
    if errors is not None and np.isfinite(errors[order]).all() and (errors[order] > 0).all():
        # Errors from few repetitions are themselves uncertain: half of their square is what all points share.
        own = errors[order] / y
        relative = np.sqrt((own**2 + np.median(own) ** 2) / 2)
    degree = 3 if len(x) >= 8 else 2 if len(x) >= 5 else 1
    weights = None if relative is None else 1 / np.hypot(relative, 0.005)
    fitted = np.polyval(np.polyfit(log_x - log_x.mean(), log_y, degree, w=weights), log_x - log_x.mean())
    measured = relative is not None
    if relative is None:
        relative = np.full(len(x), _scatter(log_x, log_y, log_y - fitted, len(x) - degree - 1))
        notes.append(f"errors of the points estimated from their scatter: {relative[0]:.1%}")
    share = np.hypot(relative, 0.005)
    close = np.abs(log_y - fitted) < 3 * share
    smooth = np.where(close, np.exp(fitted), y)
    fixed = dict(curve.fixed)
    known = {}
    for name, given in options.items():
        value = fixed.get(name) if given is None else given
        if value is not None and not (name == "time" and value == math.inf):
            value = _checks.number(name, value, low=0)
        known[name] = None if value is None else float(value)
    other = fixed.get({"n": "k", "k": "n"}.get(along, ""))
    if other is not None and not other > 0:
        raise ValueError(f"`curve.fixed` must hold positive sizes, got {other}.")
    stop = math.inf if known["time"] is None else known["time"]
    if along == "time":
        stop = math.inf
    data = Data(
        along,
        x,
        y,
        share * smooth,
        smooth,
        None if other is None else float(other),
        limit,
        known["noise"],
        known["ridge"],
        known["guess"],
        stop,
        level,
        measured,
        not finite.all(),
    )
    return data, notes


def _scatter(log_x: Array, log_y: Array, residuals: Array, freedom: int) -> float:
    """Relative error of a point from its distance to a line through its neighbours (robust) or to a polynomial."""
    spread = math.sqrt(float(residuals @ residuals) / freedom)
    weight = (log_x[1:-1] - log_x[:-2]) / np.maximum(log_x[2:] - log_x[:-2], 1e-12)
    middle = log_y[1:-1] - (1 - weight) * log_y[:-2] - weight * log_y[2:]
    middle = np.abs(middle) / np.sqrt(1 + weight**2 + (1 - weight) ** 2)
    if len(middle) >= 4:
        spread = min(spread, 1.4826 * float(np.median(middle)))
    # Few degrees of freedom: as much wider as Student's quantile is than the normal one.
    return spread * float(stats.t.ppf(0.95, max(freedom, 1)) / stats.norm.ppf(0.95))


def slope(data: Data, keep: Any = slice(None), offset: float = 0.0) -> Estimate:
    """Minus the weighted log-log slope of loss - offset, with its interval; not finite where the difference is not."""
    x, y, sigma = data.x[keep], data.y[keep] - offset, data.sigma[keep]
    window = (float(x[0]), float(x[-1]))
    if (y <= 0).any() or len(np.unique(x)) < 2:
        return Estimate(math.nan, -math.inf, math.inf, data.level, window, "log-log slope")
    weight = (y / sigma) ** 2
    centred = np.log(x) - np.average(np.log(x), weights=weight)
    power = float(weight @ centred**2)
    value = -float(weight @ (centred * np.log(y))) / power
    width = float(stats.norm.ppf((1 + data.level) / 2)) / math.sqrt(power)
    return Estimate(value, value - width, value + width, data.level, window, "log-log slope")


def _trial(data: Data, seed: int, *, shift: float = 0.0, b: float | None = None, c: float | None = None) -> Trial:
    """Fit a (x - shift)^-b + c, b and c free unless given."""
    at = data.x - shift
    unit, size = math.exp(float(np.mean(np.log(at)))), math.exp(float(np.mean(np.log(data.y))))
    fixed = {} if b is None else {"b": b}
    fixed |= {} if c is None else {"c": c / size}
    one = fits.fit(
        laws.HESTNESS,
        data.y / size,
        n=at / unit,
        variance=(data.sigma / size) ** 2,
        fixed=fixed,
        bounds={"a": (1e-9, 1e9)},
        starts=8 if b is None else 1,
        bootstrap=1,
        level=data.level,
        seed=seed,
        throw=False,
    )
    if math.isnan(one.objective):
        return Trial(NOTHING, NOTHING, NOTHING, math.inf, False)
    window = (float(data.x[0]), float(data.x[-1]))
    method = f"over {data.along}" + (f" - {shift:g}" if shift > 0 else f" + {-shift:g}" if shift < 0 else "")
    exponent = dataclasses.replace(one["b"], window=window, method=method)
    factor = size * unit ** one["b"].value
    amplitude, offset = (
        Estimate(e.value * f, e.low * f, e.high * f, e.level) for e, f in ((one["a"], factor), (one["c"], size))
    )
    criterion = 2 * one.objective + 2 * (3 - len(fixed))
    return Trial(exponent, amplitude, offset, criterion, fits.Status.OFFSET_UNIDENTIFIED in one.statuses)


def _reference(data: Data) -> float:
    """chi^2 + 2 parameters of the best of a constant and polynomials in log-log: what any smooth law can reach."""
    x, y, weight = np.log(data.x), np.log(data.y), data.smooth / data.sigma
    x = x - x.mean()
    best = math.inf
    for degree in range(min(4, len(np.unique(x)) - 1)):
        left = y - np.polyval(np.polyfit(x, y, degree, w=weight), x)
        best = min(best, float(np.sum((left * weight) ** 2)) + 2 * (degree + 1))
    return best


def _bump(data: Data) -> float:
    """Beyond how many standard errors a rise counts: more where these are estimates themselves."""
    return 3.5 if data.measured else 5.0


def _rises(data: Data) -> tuple[int, int] | None:
    """Places (low, peak) of the most significant rise along the curve; None if it is within the errors."""
    y = data.y
    if not data.measured and len(y) >= 30:  # single wild points of a long record are no peak
        y = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(y, 1, mode="edge"), 3), axis=1)
    z = (y[None, :] - y[:, None]) / np.hypot(data.sigma[None, :], data.sigma[:, None])
    z = np.where(data.x[None, :] > data.x[:, None], z, -np.inf)
    low, high = np.unravel_index(int(np.argmax(z)), z.shape)
    return (int(low), int(high)) if z[low, high] > _bump(data) else None


def reason(data: Data, seed: int) -> Finding:
    """From the curve alone, with what is known about it."""
    third = max(3, len(data.x) // 3)
    whole, first, last = slope(data), slope(data, slice(None, third)), slope(data, slice(-third, None))
    notes = (f"local slope {first} at the start, {last} at the end, {whole} overall ({data.level:.0%} intervals)",)
    found = _non_monotone(data)
    early = _guessing(data) if found is None and data.along != "time" else None
    found = found or early or _flat(data, whole)
    if found is None:
        found = _time_curve(data, seed) if data.along == "time" else _falling(data, seed, first, last)
    gaps = np.maximum.accumulate(np.log(data.y)[::-1])[::-1] - np.log(data.y)
    if not data.measured and gaps.max() > 0.25 and Regime.INTERPOLATION_PEAK not in found.possible:
        what = f"a rise by {math.expm1(gaps.max()):.0%} may be a peak: measured errors would tell"
        found = found._replace(possible=(*found.possible, Regime.INTERPOLATION_PEAK), evidence=(*found.evidence, what))
    if data.guess is not None and early is None:  # the level of guessing is known, and the curve is not near it
        possible = tuple(one for one in found.possible if one is not Regime.SMALL_DATA)
        found = found._replace(possible=possible or found.possible)
    return found._replace(evidence=notes + found.evidence)


def _guessing(data: Data) -> Finding | None:
    """How much of the window is near the level of guessing, where that is known; None where hardly any is."""
    if data.guess is None:
        return None
    base = data.noise or 0.0
    edge = base + (1 - FLAT) * (data.guess - base)
    place = (np.log(data.x) - math.log(data.x[0])) / math.log(data.x[-1] / data.x[0])
    sure, perhaps = (
        float(place[near].max()) if near.any() else 0.0
        for near in (data.y - data.sigma > edge, data.y + data.sigma > edge)
    )
    what = f"the loss is within {FLAT:.0%} of the level of guessing {data.guess:.4g} on {sure:.0%} of the window"
    if perhaps < 0.25 or (data.other is not None and data.x[-1] > data.other and sure <= 0.75):
        return None  # hardly any; or what is high is the peak
    if data.along == "n" and (data.noise is None or data.guess < 4 * data.noise):
        # Fitted noise can lift a plateau to any level between once and several times the noise.
        return Finding((Regime.SMALL_DATA, Regime.NOISE_FLOOR), NOTHING, (what, "and fitted noise may be why"))
    if sure > 0.75 and (data.other is None or data.x[-1] > data.other):
        return Finding((Regime.SMALL_DATA, VARIANCE[data.along]), NOTHING, (what,))
    if sure > 0.75:
        return Finding((Regime.SMALL_DATA,), NOTHING, (what,))
    rest: tuple[Regime, ...] = (
        (Regime.CROSSOVER,) if perhaps < 0.7 and sure > 0.25 else (Regime.SMALL_DATA, Regime.CROSSOVER)
    )
    if sure <= 0.25:
        rest = (Regime.SMALL_DATA, Regime.CROSSOVER, RESOLUTION[data.along])
    return Finding(rest, NOTHING, (what,))


def _non_monotone(data: Data) -> Finding | None:
    held = {"n": "k", "k": "n"}.get(data.along, "")
    rise = _rises(data)
    if data.infinite:
        return Finding((Regime.INTERPOLATION_PEAK,), NOTHING, ("the loss is infinite within the window",))
    if rise is None:
        return None
    low, high = rise
    after = data.y[high + 1 :]
    falls = len(after) > 0 and np.max(
        (data.y[high] - after) / np.hypot(data.sigma[high], data.sigma[high + 1 :])
    ) > _bump(data)
    what = f"the loss rises from {data.y[low]:.4g} at {data.x[low]:.4g} to {data.y[high]:.4g} at {data.x[high]:.4g}"
    if falls:
        where = f", where {held} = {data.other:g} is held" if data.other and math.isfinite(data.other) else ""
        return Finding((Regime.INTERPOLATION_PEAK,), NOTHING, (f"{what} and falls again{where}",))
    near = data.other is not None and 0.3 < data.x[high] / data.other < 1.5
    if near:
        return Finding(
            (Regime.INTERPOLATION_PEAK,), NOTHING, (f"{what}, towards {held} = {data.other:g}: the flank of the peak",)
        )
    return Finding(
        (Regime.INTERPOLATION_PEAK, Regime.CROSSOVER), NOTHING, (f"{what} and the window ends before it falls again",)
    )


def _flat(data: Data, whole: Estimate) -> Finding | None:
    """A curve whose fall is within its errors."""
    weight = 1 / data.sigma**2
    level = float(np.average(data.y, weights=weight))
    chi = float(np.sum(((data.y - level) / data.sigma) ** 2)) + 2
    fall = abs(whole.value) * math.log(data.x[-1] / data.x[0])
    if chi > _reference(data) + 4 or (whole.low > 0 and fall > 0.02):
        return None
    error = max(3 / math.sqrt(float(weight.sum())), 0.03 * level)
    for name, value in (("limit", data.limit), ("label noise", data.noise)):
        if value is not None and value > 0 and abs(level - value) < error:
            return Finding(
                (Regime.NOISE_FLOOR,), NOTHING, (f"no slope is left, and the loss is at the {name} {value:.4g}",)
            )
    settled = math.isinf(data.time) and data.along == "n" and (data.other or 0) >= 30 * data.x[-1]
    if settled and data.noise and level < 4 * data.noise:
        what = f"no slope is left at {level / data.noise:.2f} times the label noise: fitted noise does not average out"
        return Finding((Regime.NOISE_FLOOR,), NOTHING, (what,))
    possible = [Regime.NOISE_FLOOR, Regime.SMALL_DATA]
    if data.along != "time":
        possible += [VARIANCE[data.along]] if data.other is None or math.isfinite(data.other) else []
        possible += [Regime.TIME_LIMITED] if math.isfinite(data.time) else []
        possible += [Regime.RIDGE_LIMITED] if data.ridge else []
    what = f"no slope within the errors at {level:.4g}, and neither limit nor guess level says why"
    return Finding(tuple(possible), NOTHING, (what,))


def _time_curve(data: Data, seed: int) -> Finding:
    one = _trial(data, seed, c=data.limit)
    return Finding((Regime.TIME_LIMITED,), one.exponent, (f"the loss still falls with time, as t^-{one.exponent}",))


def _falling(data: Data, seed: int, first: Estimate, last: Estimate) -> Finding:
    """A curve that falls along n or k: by the place of the other scale where it is known."""
    m, held = data.other, {"n": "k", "k": "n"}[data.along]
    if m is None:
        return _unplaced(data, seed, first, last)
    if math.isinf(m):
        return _below(data, seed, first, last, f"{held} is infinite")
    span = math.log(data.x[-1] / data.x[0])
    beyond = math.log(data.x[-1] / max(data.x[0], m)) / span if data.x[-1] > m else 0.0
    unseen: tuple[Regime, ...] = (
        (Regime.INTERPOLATION_PEAK,) if data.x[0] < m < data.x[-1] and not data.measured else ()
    )
    if beyond > 0.75 and (data.x > m).sum() >= 4:
        found = _beyond(data.part(data.x > m), seed)
        return found._replace(possible=found.possible + unseen)
    under = math.log(min(data.x[-1], m / 2) / data.x[0]) / span if data.x[0] < m / 2 else 0.0
    keep = data.x <= m / 2
    if under > 0.75 and keep.sum() >= 4:
        what = f"{data.along} stays below {held} = {m:g}; the loss times 1 - {data.along}/{held} is read"
        found = _below(data.part(keep, 1 - np.minimum(data.x / m, 1)), seed, first, last, what)
        return found._replace(possible=found.possible + unseen)
    possible: tuple[Regime, ...] = (Regime.CROSSOVER,)
    if not 0.25 < beyond < 0.7:
        possible += (VARIANCE[data.along],) if beyond > 0.25 else (RESOLUTION[data.along],)
    if data.ridge and data.along == "k" and VARIANCE["k"] not in possible:
        possible += (VARIANCE["k"],)  # with a ridge fewer than n modes are learnt, and k may be beyond all of them
    return Finding(possible + unseen, NOTHING, (f"the window passes {held} = {m:g}, with no peak beyond its errors",))


def _beyond(data: Data, seed: int) -> Finding:
    """All points above the other scale m, which sets the limit."""
    m, held = float(data.other or 0), {"n": "k", "k": "n"}[data.along]
    free = _trial(data, seed, shift=m)
    limit, notes = _usable_limit(data, free)
    exact = _trial(data, seed, shift=m, b=1.0, c=limit)
    chosen = free if limit is None else _trial(data, seed, shift=m, c=limit)
    rate = chosen.exponent
    notes += (f"over {data.along} - {held} the loss less its limit falls with exponent {rate}",)
    best = min(_reference(data), free.criterion, chosen.criterion)
    if exact.criterion > best + REJECTED:
        notes += (f"a/({data.along} - {m:g}) + c does not follow the points",)
        if rate.low > 1.6:
            return Finding((Regime.RIDGE_LIMITED,), rate, (*notes, _two(data)))
        return Finding((Regime.CROSSOVER, Regime.RIDGE_LIMITED), rate, notes)
    if not data.ridge and not (data.ridge is None and rate.low > 1.6):
        return Finding((VARIANCE[data.along],), rate, (*notes, f"exponent 1 over {data.along} - {held}, as it must"))
    if rate.low > 1.6:
        return Finding((Regime.RIDGE_LIMITED,), rate, (*notes, _two(data)))
    if 1 in rate and rate.low > 0.6 and rate.high < 1.6:
        return Finding((VARIANCE[data.along],), rate, (*notes, "exponent 1 follows the points"))
    possible: tuple[Regime, ...] = (VARIANCE[data.along], Regime.CROSSOVER)
    return Finding(possible + ((Regime.RIDGE_LIMITED,) if rate.high > 1.6 else ()), rate, notes)


def _two(data: Data) -> str:
    why = "a realisable target under a fixed ridge has the bias (ridge/n)^2"
    if data.along == "k":
        why = "not an exponent of random features in k beyond n"
    return f"an exponent of 2 and no 1/{data.along} term: {why}"


def _usable_limit(data: Data, free: Trial) -> tuple[float | None, tuple[str, ...]]:
    """The limit, unless the curve contradicts it; and what there is to say about the offset."""
    offset = free.offset
    if data.limit is None:
        if free.unidentified:
            fitting = f"from 0 to {offset.high:.4g} all fit" if offset.high > 0 else "it is not told from none"
            return None, (f"no limit is known, and the offset is not identifiable: {fitting}",)
        return None, (f"no limit is known; offset {_short(offset)}",)
    width = 1.6 * max(offset.high - offset.value, offset.value - offset.low)
    if not offset.value - width <= data.limit <= offset.value + width or data.limit >= data.y.min() + data.sigma.max():
        what = f"the limit {data.limit:.4g} contradicts the curve, whose offset is {_short(offset)}: it is not used"
        return None, (what,)
    return data.limit, (f"known limit {data.limit:.4g} (by itself the curve says {_short(offset)})",)


def _short(estimate: Estimate) -> str:
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def _below(data: Data, seed: int, first: Estimate, last: Estimate, place: str) -> Finding:
    """All points below the other scale: what the axis itself cannot resolve."""
    free = _trial(data, seed)
    limit, notes = _usable_limit(data, free)
    chosen = free if limit is None else _trial(data, seed, c=limit)
    rate, m = chosen.exponent, float(data.other or 0)
    notes = (place, *notes, f"exponent {rate} of the loss less its offset")
    possible: list[Regime] = [RESOLUTION[data.along]]
    if data.along == "n" and data.noise != 0:
        best = min(_reference(data), free.criterion)
        if _variance_follows(data, seed, (data.noise,), best):
            possible.append(VARIANCE["n"])
            notes += ("noise/(1 - modes/n) follows the points as well, the loss of a realisable target",)
    if data.along == "n" and math.isfinite(m):
        steep = first.value > 1.1 and data.x[-1] > m / 30 and last.low < first.value - 0.15
        if steep or (data.noise == 0 and free.offset.low > 0):
            possible.append(Regime.CROSSOVER)
            notes += (f"at n/k = {data.x[-1] / m:.2g} a smooth target feels k as well",)
    smooth = min(_reference(data), free.criterion)
    if data.along == "k" and math.isfinite(m) and data.ridge and _variance_follows(data, seed, (limit,), smooth):
        possible += [VARIANCE["k"], Regime.CROSSOVER]
        notes += ("with a ridge fewer than n modes are learnt, and k may be beyond them",)
    if abs(rate.value - 2) < 0.1 and rate.high - rate.low < 0.2 and data.ridge != 0 and data.along == "n":
        notes += (_two(data),)
        if data.ridge:
            return Finding((Regime.RIDGE_LIMITED,), rate, notes)
        possible.append(Regime.RIDGE_LIMITED)
    return _doubts(data, Finding(tuple(possible), rate, notes), first, last)


def _variance_follows(data: Data, seed: int, limits: tuple[float | None, ...], best: float) -> bool:
    """Whether a/(x - m) + c follows the points for some m below them, with a and c of a size that theory allows."""
    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 0.95):
        for c in limits:
            one = _trial(data, seed, shift=share * data.x[0], b=1.0, c=c)
            # The excess m [B1(m) + noise]/|x - m| is of the order of the limit at x = 2m, and m < x.
            if one.offset.value * 10 * data.x[0] >= one.amplitude.value and one.criterion <= best + REJECTED:
                return True
    return False


def _doubts(data: Data, found: Finding, first: Estimate, last: Estimate) -> Finding:
    """What else a falling curve may be, as far as is known about noise, ridge and time."""
    possible, notes = list(found.possible), list(found.evidence)
    if data.along == "n":
        base = data.noise or 0.0
        fall = slope(data, offset=base) if data.noise != 0 else None
        if fall is not None and math.isfinite(fall.value) and data.noise:
            notes.append(f"slope of the loss less the label noise {fall}")
            end = data.y[-1] - data.noise < 4 * data.noise
            if fall.high < 0.08 and end and data.other is not None:
                return Finding((Regime.NOISE_FLOOR,), found.exponent, tuple(notes))
            if fall.low < 0.15 and end:
                possible.append(Regime.NOISE_FLOOR)
        elif fall is not None and fall.low < 0.1 and data.noise is None:
            possible.append(Regime.NOISE_FLOOR)
        if data.ridge:
            possible.append(Regime.RIDGE_LIMITED)
            notes.append("there is a ridge: whether it or n limits takes the spectrum to tell")
    if math.isfinite(data.time):
        possible.append(Regime.TIME_LIMITED)
        notes.append("training stops early: whether time limits takes the spectrum to tell")
    left = slope(data, offset=data.noise or 0.0)
    fallen = max(left.low if math.isfinite(left.low) else 0.0, slope(data).low) * math.log(data.x[-1] / data.x[0])
    if fallen < 0.35 and first.low <= last.high:  # near the level of guessing a curve bends down, not up
        possible.append(Regime.SMALL_DATA)
        notes.append("the loss falls too little in all to tell it from the level of guessing")
    elif first.low < 0.1 and first.high < last.low:
        possible.append(Regime.SMALL_DATA)
        notes.append("the curve starts flatter than it ends, as near the level of guessing")
    return Finding(tuple(dict.fromkeys(possible)), found.exponent, tuple(notes))


def _unplaced(data: Data, seed: int, first: Estimate, last: Estimate) -> Finding:
    """The other scale is not known: the exponent has to tell."""
    along = data.along
    free = _trial(data, seed)
    limit, notes = _usable_limit(data, free)
    limits: tuple[float | None, ...] = (None,) if limit is None else (0.95 * limit, limit, 1.05 * limit)
    best = min(_reference(data), free.criterion)
    follows = _variance_follows(data, seed, limits, best)
    chosen = free if limit is None else _trial(data, seed, c=limit)
    rate = chosen.exponent
    notes += (f"exponent {rate} of the loss less its {'offset' if limit is None else 'limit'}",)
    held = {"n": "k", "k": "n"}[along]
    if chosen.criterion > best + REJECTED and not follows:
        # No law is exact. With errors so large that the power law fits, does variance still not?
        misfit = max(1.0, free.criterion / max(len(data.x) - 3, 1))
        off = math.sqrt(misfit) * float(np.median(data.sigma / data.smooth))
        notes += (f"no simple law follows the points to their errors; a power law with offset is off by {off:.1%}",)
        loose = data._replace(sigma=data.sigma * math.sqrt(misfit))
        if off > MISFIT or _variance_follows(loose, seed, (None,), free.criterion / misfit):
            return Finding((RESOLUTION[along], Regime.CROSSOVER), rate, notes)
    if not follows:
        notes += (f"a/({along} - m) + c does not follow the points for any {held} = m",)
        return _doubts(data, Finding((RESOLUTION[along],), rate, notes), first, last)
    narrow = rate.high - rate.low < 0.25 and rate.low > NEAR_ONE[0] and rate.high < NEAR_ONE[1]
    if limit is not None and limit > 0 and narrow and 1 in rate:
        return Finding((VARIANCE[along],), rate, (*notes, f"an exponent of 1 above a known limit: {held} limits"))
    if limit is not None and rate.low > 1.7 and rate.high < 2.3 and limit == 0:
        notes += (_two(data),)
    notes += (f"a/({along} - m) + c with some {held} = m follows the points as well",)
    return _doubts(data, Finding((RESOLUTION[along], VARIANCE[along]), rate, notes), first, last)
