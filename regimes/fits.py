"""Fitting a law: the parameters, how sure they are, and what the law says at other scales.

    fit = fits.fit(laws.HESTNESS, loss, n=n)
    print(fit)                                   # a sentence: parameters with intervals, and what is doubtful
    fit.predict(n=1e6)                           # the loss there, with a band

One fitter for all laws: starts that fill the stated bounds, amplitudes and offsets solved for at each of them, the best
polished with exact Jacobians. What it cannot know it says: a [Status][regimes.fits.Status] for a parameter at its
bound, a range too short, an offset that the points do not tell from none.
"""

import dataclasses
import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import stats

from regimes import _checks, display, intervals, laws, least_squares, objectives
from regimes.law import Law
from regimes.objectives import Problem
from regimes.results import Estimate, Values

Array = np.ndarray
RESAMPLES = ("residuals", "points", "groups")
"""What a bootstrap draws anew."""


class Status(enum.Enum):
    """What a fit has to say about itself; the values are the messages."""

    CONVERGED = "a minimum of the objective was reached"
    AT_BOUND = "a parameter lies at a bound: the minimum may be beyond it, or a term has vanished"
    ILL_CONDITIONED = "directions in parameter space that the points hardly see: single parameters mean little"
    SHORT_RANGE = "a scale covers less than a factor of ten: exponents depend on the choice of law"
    OFFSET_UNIDENTIFIED = "the points do not tell the offset from none"
    SEVERAL_OPTIMA = "other parameters fit equally well"
    MISFIT = "the residuals exceed the measured variances: the law or the variances are wrong"
    NO_FREEDOM = "as many parameters as points: the fit is exact and says nothing about its errors"
    TOO_FEW_POINTS = "fewer different points than parameters"
    DEGENERATE = "all losses are equal"
    NOT_CONVERGED = "no start led to a minimum"


FAILURES = (Status.TOO_FEW_POINTS, Status.DEGENERATE, Status.NOT_CONVERGED)
"""Raised, unless `throw=False`; where the search only stopped too early, what it had reached is kept then."""


class FitError(ArithmeticError):
    """A fit that has no usable parameters; says why."""


@display.shown
class Prediction(NamedTuple):
    """What a fitted law says, with a band."""

    loss: Values
    """The value at the estimates."""
    low: Values
    """Lower end of the band of the law itself, the scatter of a new measurement not included."""
    high: Values
    """Upper end."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Fit:
    """A law with parameters from measurements."""

    law: Law
    """The law."""
    estimates: Mapping[str, Estimate]
    """By parameter name; a fixed one is exact."""
    statuses: tuple[Status, ...]
    """CONVERGED or a failure first, then all that is doubtful."""
    notes: tuple[str, ...]
    """A sentence for each status but CONVERGED, naming what it concerns."""
    objective: float
    """The minimum: sum over points of r^2/2, or of Huber's loss of r."""
    residuals: Float64[Array, " points"]
    """r at the minimum: log(predicted/measured) for "log" and "huber", and so on."""
    replicates: Float64[Array, "draws parameters"]
    """Parameters from resampled measurements, spread as the estimate is uncertain; none without bootstrap."""
    problem: Problem
    """The measurements and what was minimised."""
    level: float
    """Stated coverage of the intervals."""

    @property
    def status(self) -> Status:
        """The first status: CONVERGED, or why there is nothing."""
        return self.statuses[0]

    @property
    def parameters(self) -> dict[str, float]:
        """The estimates as plain numbers, as `law` takes them."""
        return {name: estimate.value for name, estimate in self.estimates.items()}

    def __getitem__(self, name: str) -> Estimate:
        """The estimate of one parameter."""
        return self.estimates[_checks.choice("name", name, tuple(self.estimates))]

    def predict(self, **scales: Any) -> Prediction:
        """The law at other scales, with the band of the bootstrap (NaN without one).

        Raises:
            ValueError: scales that the law does not have, or a fit that failed.
        """
        self._usable()
        value = self.law(self.parameters, **scales)
        return Prediction(value, *self._band([self.law(row, **scales) for row in self.replicates], np.shape(value)))

    def slope(self, along: str, **scales: Any) -> Prediction:
        """The local exponent -d ln L/d ln scale at other scales, with its band.

        Raises:
            ValueError: as for `predict`, or a scale that the law does not have.
        """
        self._usable()
        value = self.law.slope(self.parameters, along, **scales)
        rows = [self.law.slope(row, along, **scales) for row in self.replicates]
        return Prediction(value, *self._band(rows, np.shape(value)))

    def _usable(self) -> None:
        if math.isnan(self.objective):
            raise ValueError(f"this fit has no parameters: {self.status.value}.")

    def _band(self, rows: Sequence[Any], shape: tuple[int, ...]) -> tuple[Values, Values]:
        if not len(rows):
            nothing = np.full(shape, np.nan)[()]
            return nothing, nothing
        tail = (1 - self.level) / 2
        low, high = np.nanquantile(np.array(rows), [tail, 1 - tail], axis=0)
        return low[()], high[()]

    def __str__(self) -> str:
        values = ", ".join(f"{name} = {_plainly(estimate)}" for name, estimate in self.estimates.items())
        notes = "".join(f"; {note}" for note in self.notes)
        if math.isnan(self.objective):
            return f"{self.law.name} could not be fitted: {self.notes[0]}"
        return f"{self.law.formula}: {values} ({len(self.residuals)} points, {self.level:.0%} intervals){notes}"


def fit(
    law: Law | str,
    loss: Any,
    *,
    objective: str | None = None,
    delta: float = 1e-3,
    variance: Any = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    fixed: Mapping[str, float] | None = None,
    starts: Any = None,
    bootstrap: int = 200,
    resample: str | None = None,
    groups: Any = None,
    level: float = 0.9,
    seed: int = 0,
    throw: bool = True,
    **scales: Any,
) -> Fit:
    """Fit a law to measured losses.

    Minimised is sum_i rho(r_i) with rho = r^2/2, or Huber's loss of `delta`, and r by `objective`:

        log        ln(predicted/measured)
        huber      the same, under Huber's loss: Chinchilla's objective
        relative   predicted/measured - 1
        absolute   predicted - measured
        weighted   (predicted - measured)/sqrt(variance)

    Intervals come from the profile of the objective (`profile`) where points err independently and least squares is
    minimised: [low, high] holds the values at which the objective, minimised over the other parameters, rises by less
    than a Student quantile for n - p degrees of freedom allows. Of the methods that were compared on planted laws this
    one kept its stated coverage at few points and near bounds. With `groups`, and under Huber's loss, they are
    quantiles of a bootstrap, whose draws are spread about the estimate by sqrt(m/(m - 1)) and the ratio of Student's
    to the normal quantile (m groups, or n/(n - p) and n - p degrees of freedom for points): plain percentiles are too
    narrow at small m. `bootstrap=0` gives the linearised intervals, value -+ Student quantile times standard error in
    search coordinates, which cost nothing.

    Args:
        law: from [laws][regimes.laws], the name of one, or one's own.
        loss: measured losses, one per point; points may repeat a size and come in any order. A pandas column that is
            named as an error rate and exceeds 1, or losses and a fixed `guess` on different sides of 1, look like
            percent mixed with fractions: a warning says so.
        objective: "log" by default, "weighted" where variances are given.
        delta: where Huber's loss turns linear, in units of the log residual.
        variance: squared standard errors of the losses (of the means, where they are means).
        bounds: other bounds than the law's, by parameter name.
        fixed: parameters that are known, by name.
        starts: how many starts, or an array of them with a row of all parameters each. By default 32 for one
            nonlinear parameter, doubled twice for each further one up to 2048, and 4096 from six on.
        bootstrap: number of resampled data sets, for the bands of predictions; 0 for none.
        resample: "residuals" (default): the law plus residuals drawn anew; "points": points drawn anew (default under
            Huber's loss); "groups" (default where `groups` is given): whole groups drawn anew.
        groups: a label per point (run, curve, seed) where points of the same label err together.
        level: stated coverage of the intervals.
        seed: of the bootstrap.
        throw: whether a fit without usable parameters raises; else it is returned with its status and NaN.
        scales: the law's scales by name, an array as long as `loss` or one number each.

    Raises:
        ValueError: arguments that do not fit, NaN, a loss that is not positive under a logarithm.
        FitError: fewer points than parameters, equal losses, no minimum found.

    Source: variable projection: Golub & Pereyra, SIAM J. Numer. Anal. 10 (1973) 413; log-Huber: Hoffmann et al. 2022
    (arXiv:2203.15556) with Besiroglu et al. 2024 (arXiv:2404.10102); intervals: Bates & Watts, Nonlinear Regression
    Analysis (1988), ch. 6.
    """
    law = laws.get(law) if isinstance(law, str) else law
    if not isinstance(law, Law):
        raise ValueError(f"`law` must be a law or the name of one, got {type(law).__name__}.")
    task = objectives.problem(
        law, loss, scales, objective=objective, variance=variance, delta=delta, bounds=bounds, fixed=fixed
    )
    objectives.warn_of_units([task.loss], getattr(loss, "name", None), (fixed or {}).get("guess"))
    bootstrap = _checks.count("bootstrap", bootstrap, low=0)
    level = _level(level)
    labels, resample = _labels(groups, resample, task)
    given = _given_starts(starts, task)
    trouble = _hopeless(task)
    if trouble is not None:
        return _failed(task, *trouble, level, throw)
    minima = task.search(task.starts(given) if isinstance(given, int) else given)
    if not len(minima.at) or not math.isfinite(minima.objective[0]):
        return _failed(task, Status.NOT_CONVERGED, Status.NOT_CONVERGED.value, level, throw)
    best = minima.at[0]
    statuses, notes = _doubts(task, minima, level)
    if statuses[0] in FAILURES and throw:
        raise FitError(f"{notes[0]}; pass throw=False to keep this as a status.")
    predicted, _ = task.linearise(best[None])
    residuals = task.residuals(predicted, task.loss)[0]
    objective_value = float(minima.objective[0])
    draws = np.empty((0, len(best)))
    if bootstrap:
        draws = intervals.bootstrap(task, minima, bootstrap, resample, labels, level, seed)
    if not bootstrap or Status.NO_FREEDOM in statuses:
        low, high, method = *intervals.linearised(task, best, objective_value, level), "linearised"
    elif resample == "residuals":
        low, high, method = *intervals.profile_ends(task, best, objective_value, level), "profile"
    else:
        tail = (1 - level) / 2
        (low, high), method = np.quantile(draws, [tail, 1 - tail], axis=0), f"bootstrap over {resample}"
        low, high = np.minimum(low, best), np.maximum(high, best)
    values = task.values(np.stack([best, low, high]))
    estimates = {}
    for i, name in enumerate(law.names):
        if i in task.free:
            ends = values[1:, i]
            estimates[name] = Estimate(float(values[0, i]), float(ends[0]), float(ends[1]), level, None, method)
        else:
            estimates[name] = Estimate.exact(float(task.base[i]), "fixed")
    return Fit(
        law,
        estimates,
        tuple(statuses),
        tuple(notes),
        objective_value,
        residuals,
        task.values(draws),
        task,
        level,
    )


@display.shown
class Profile(NamedTuple):
    """How the objective rises as one parameter is held away from its estimate."""

    parameter: str
    """Which."""
    values: Float64[Array, " held"]
    """Where it was held."""
    rise: Float64[Array, " held"]
    """Signed root of the rise of the objective in units of the residual variance: a Student variable with n - p
    degrees of freedom where the model holds; compare it with +-1.7 for 90 % at many points."""
    others: Float64[Array, "held parameters"]
    """All parameters of the law at those minima: how the rest moves with this one."""
    estimate: Estimate
    """The value with the interval where |rise| stays below the quantile of `level`."""

    def __str__(self) -> str:
        return f"{self.parameter} = {_plainly(self.estimate)} ({self.estimate.level:.0%} profile interval)"


def profile(fitted: Fit, parameter: str, values: Any = None, *, level: float | None = None) -> Profile:
    """Profile likelihood of one parameter, such as the offset, which trades against the exponent.

    Args:
        fitted: a fit by least squares (not Huber's loss).
        parameter: its name.
        values: where to hold it; by default 25 values over twice the interval.
        level: coverage of the interval; by default that of the fit.

    Raises:
        ValueError: an unknown or fixed parameter, a robust objective, a failed fit.

    Source: Bates & Watts, Nonlinear Regression Analysis (1988), ch. 6: the profile t function.
    """
    fitted._usable()
    task, level = fitted.problem, fitted.level if level is None else _level(level)
    fitted[parameter]
    index = fitted.law.names.index(parameter)
    if index not in task.free:
        raise ValueError(f"`parameter` {parameter!r} was fixed in this fit.")
    if math.isfinite(task.delta):
        raise ValueError("a profile needs a least-squares objective; this fit used Huber's loss: use its bootstrap.")
    column = task.free.index(index)
    best = task.coordinates(np.array([list(fitted.parameters.values())]))[0]
    low, high = intervals.profile_ends(task, best, fitted.objective, level, columns=[column])
    ends = task.values(np.stack([low, high]))[:, index]
    if values is None:
        span = [2 * end - best[column] for end in (low[column], high[column])]
        at = np.clip(np.linspace(span[0], span[1], 25), task.low[column], task.high[column])
    else:
        asked = _checks.finite_array("values", values, ndim=(0, 1)).reshape(-1)
        rows = np.repeat(np.array([list(fitted.parameters.values())]), len(asked), axis=0)
        rows[:, index] = asked
        at = task.coordinates(rows)[:, column]
    start = np.repeat(best[None], len(at), axis=0)
    start[:, column] = at
    held = intervals.held(task, start, column)
    scale, _ = intervals.scale_of(task, fitted.objective)
    rise = np.sign(at - best[column]) * np.sqrt(2 * np.maximum(held.objective - fitted.objective, 0) / scale)
    estimate = Estimate(fitted[parameter].value, float(ends[0]), float(ends[1]), level, None, "profile")
    others = task.values(held.at)
    return Profile(parameter, others[:, index].copy(), rise, others, estimate)


def _level(level: Any) -> float:
    level = _checks.number("level", level)
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {level:g}.")
    return level


def _plainly(estimate: Estimate) -> str:
    if not math.isfinite(estimate.value):
        return "undetermined"
    if estimate.low == estimate.value == estimate.high:
        return f"{estimate.value:.4g}"
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def _labels(groups: Any, resample: str | None, task: Problem) -> tuple[Array | None, str]:
    """Group of each point as 0, 1, ..., and what to resample."""
    if resample is None:
        resample = "groups" if groups is not None else "points" if math.isfinite(task.delta) else "residuals"
    resample = _checks.choice("resample", resample, RESAMPLES)
    if (resample == "groups") != (groups is not None):
        raise ValueError("`groups` and resample='groups' belong together: pass a label for each point.")
    if resample == "residuals" and math.isfinite(task.delta):
        raise ValueError("`resample` 'residuals' needs a least-squares objective; use 'points' under Huber's loss.")
    if groups is None:
        return None, resample
    labels = np.asarray(groups)
    if labels.shape != task.loss.shape:
        raise ValueError(f"`groups` must hold a label for each of {len(task.loss)} points, got shape {labels.shape}.")
    _, found = np.unique(labels.astype(str), return_inverse=True)
    if found.max() < 2:
        raise ValueError(f"`groups` must hold at least three different labels, got {found.max() + 1}.")
    return found, resample


def _given_starts(starts: Any, task: Problem) -> Any:
    nonlinear = sum(not task.law.parameters[i].linear for i in task.free)
    if starts is None:
        return int(min(32 * 4 ** max(nonlinear - 1, 0), 2048 if nonlinear < 6 else 4096))
    if isinstance(starts, int | np.integer) and not isinstance(starts, bool):
        return _checks.count("starts", starts)
    rows = _checks.finite_array("starts", starts, ndim=(1, 2))
    rows = np.atleast_2d(rows)
    if rows.shape[1] != len(task.law.parameters):
        raise ValueError(f"`starts` must have {len(task.law.parameters)} columns, got shape {rows.shape}.")
    return task.coordinates(rows)


def _hopeless(task: Problem) -> tuple[Status, str] | None:
    """Why no fit is worth trying, if so."""
    points = np.unique(np.stack(task.places, axis=1), axis=0)
    if len(points) < len(task.free):
        many = f"{len(task.loss)} points at {len(points)} different scales"
        return Status.TOO_FEW_POINTS, f"{many} for {len(task.free)} parameters of {task.law.name}"
    if len(task.loss) > 1 and np.ptp(task.loss) <= 1e-12 * np.max(np.abs(task.loss)):
        return Status.DEGENERATE, f"all losses are equal ({task.loss[0]:g}): there is nothing to fit"
    return None


def _failed(task: Problem, status: Status, note: str, level: float, throw: bool) -> Fit:
    if throw:
        raise FitError(f"{note}; pass throw=False to keep this as a status.")
    nothing = Estimate(math.nan, math.nan, math.nan, level, None, "none")
    estimates = dict.fromkeys(task.law.names, nothing)
    empty = np.empty((0, len(task.base)))
    return Fit(task.law, estimates, (status,), (note,), math.nan, np.full(len(task.loss), np.nan), empty, task, level)


def _doubts(task: Problem, minima: least_squares.Minima, level: float) -> tuple[list[Status], list[str]]:
    """All that the fit has to say about itself."""
    best, objective = minima.at[0], float(minima.objective[0])
    statuses, notes = [Status.CONVERGED], []

    def doubt(status: Status, note: str) -> None:
        statuses.append(status)
        notes.append(note)

    if not minima.converged[0]:
        doubt(Status.NOT_CONVERGED, "the search stopped before a minimum was reached")
        statuses.pop(0)
    names = [task.law.names[i] for i in task.free]
    width = 1e-6 * (1 + np.abs(best))
    offset = task.law.offset
    for name, value, low, high in zip(names, best, task.low, task.high, strict=True):
        if value - low < width[names.index(name)] or high - value < width[names.index(name)]:
            side = "lower" if value - low < high - value else "upper"
            if not (name == offset and side == "lower"):
                shown = task.values(best[None])[0, task.law.names.index(name)]
                doubt(Status.AT_BOUND, f"{name} lies at its {side} bound {shown:.4g}")
    _, jacobian = task.evaluator()(best[None], np.zeros(1, dtype=np.int64))
    inside = (best - task.low > width) & (task.high - best > width)
    columns = jacobian[0][:, inside]
    size = np.linalg.norm(columns, axis=0)
    if columns.size:
        condition = min(np.linalg.cond(columns / np.where(size > 0, size, 1.0)), 1e150)
        if (size == 0).any() or condition > 1e4:
            doubt(
                Status.ILL_CONDITIONED,
                f"the parameters {', '.join(n for n, i in zip(names, inside, strict=True) if i)} are nearly "
                f"exchangeable (condition number {condition**2:.1e} of the normal matrix): single ones mean little",
            )
    for name, place in zip(task.law.scales, task.places, strict=True):
        factor = place.max() / place.min()
        if factor < 10:
            doubt(Status.SHORT_RANGE, f"{name} covers a factor of {factor:.3g} only, less than ten")
    freedom = len(task.loss) - len(task.free)
    if freedom == 0:
        doubt(Status.NO_FREEDOM, Status.NO_FREEDOM.value)
    if task.sigma is not None and freedom > 0 and stats.chi2.sf(2 * objective, freedom) < 0.01:
        chi = 2 * objective / freedom
        doubt(
            Status.MISFIT, f"residuals are {math.sqrt(chi):.2g} times the measured errors: law or variances are wrong"
        )
    if offset in names and freedom > 0:
        column = names.index(offset)
        if task.low[column] <= 0 and not task.logs[column]:
            start = np.repeat(best[None], 1, axis=0)
            start[:, column] = 0.0
            without = float(intervals.held(task, start, column).objective[0])
            scale, dof = (
                intervals.scale_of(task, objective) if math.isinf(task.delta) else (2 * task.delta**2, math.inf)
            )
            if 2 * (without - objective) <= intervals.quantile(level, dof) ** 2 * scale:
                doubt(Status.OFFSET_UNIDENTIFIED, f"without the offset {offset} the fit is not significantly worse")
    near = np.flatnonzero(minima.objective[1:] <= objective * (1 + 1e-4) + 1e-300) + 1
    apart = [i for i in near if np.max(np.abs(minima.at[i] - best) / (1 + np.abs(best))) > 0.05]
    if apart and freedom > 0 and objective > 1e-20:
        other = ", ".join(f"{task.law.names[i]} = {v:.4g}" for i, v in enumerate(task.values(minima.at[apart[:1]])[0]))
        doubt(Status.SEVERAL_OPTIMA, f"{other} fits equally well")
    return statuses, notes
