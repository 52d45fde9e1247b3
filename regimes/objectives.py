"""A law against measurements: residuals under an objective, their exact Jacobian, starts and the best minimum.

The search runs in each parameter's natural coordinate: the logarithm of amplitudes and of whatever the law searches on
a logarithmic scale, the value itself for offsets and exponents. Where the law is linear given its other parameters,
starts are needed in those only.
"""

import dataclasses
import functools
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from scipy import optimize

from regimes import _checks, least_squares
from regimes.law import Law

Array = np.ndarray
OBJECTIVES = ("log", "huber", "relative", "absolute", "weighted")
"""What a fit may minimise, see [fits.fit][regimes.fits.fit]."""
_STEP = 1e-30
_POPULATION, _GENERATIONS, _FEW = 16, 10, 3
"""Of the evolution of starts, per nonlinear parameter; few generations of a law that is costly to evaluate."""
_PLACE = 6 * math.log(10)
"""Bounds wider than six decades say nothing about where to start: the scales of the points are tried first."""
_ANYTHING = (-12 * math.log(10), 18 * math.log(10))
"""Where else: bounds may be wider still, but starts that fill them would lie nowhere near a minimum."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """A law, measurements and what is to be minimised."""

    law: Law
    """The formula."""
    places: tuple[Float64[Array, " points"], ...]
    """The scales of the points, in the law's order."""
    loss: Float64[Array, " points"]
    """Measured losses."""
    objective: str
    """One of `OBJECTIVES`."""
    delta: float
    """Where Huber's loss turns linear; infinite for least squares."""
    sigma: Float64[Array, " points"] | None
    """Standard errors of the losses, for the objective "weighted"."""
    base: Float64[Array, " all_parameters"]
    """Values of the fixed parameters, 0 for the others."""
    free: tuple[int, ...]
    """Which parameters are fitted."""
    logs: Bool[Array, " parameters"]
    """Which of them are searched by their logarithm."""
    low: Float64[Array, " parameters"]
    """Lower bounds in search coordinates."""
    high: Float64[Array, " parameters"]
    """Upper bounds in search coordinates."""
    unit: Float64[Array, " parameters"]
    """What offsets are divided by for the search, the largest loss: its steps know no other measure. 1 for the rest."""

    def values(self, coordinates: Array) -> Float64[Array, "rows all_parameters"]:
        """All parameters of the law from search coordinates."""
        full = np.repeat(self.base[None], len(coordinates), axis=0)
        with np.errstate(over="ignore"):
            full[:, self.free] = np.where(
                self.logs, np.exp(np.where(self.logs, coordinates, 0.0)), coordinates * self.unit
            )
        return full

    def coordinates(self, values: Array) -> Float64[Array, "rows parameters"]:
        """Search coordinates from all parameters of the law."""
        free = np.atleast_2d(values)[:, self.free]
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.where(self.logs, np.log(np.where(self.logs, np.maximum(free, 1e-300), 1.0)), free / self.unit)
        return np.clip(found, self.low, self.high)

    @functools.cached_property
    def _broadcasts(self) -> bool:
        """Whether the law takes many sets of parameters at once; its author need not have thought of it."""
        trial = np.repeat(self.values(((self.low + self.high) / 2)[None]), 2, axis=0)
        try:
            with np.errstate(all="ignore"):
                if self.law.gradient is not None:
                    found = self.law.gradient(*self.places, *(trial[:, i, None] for i in range(trial.shape[1])))
                    return np.shape(found) == (2, len(self.loss), trial.shape[1])
                found = self.law.function(*self.places, *(trial[:, i, None] for i in range(trial.shape[1])))
        except Exception:
            return False
        return np.shape(found) in {(2, len(self.loss)), (2, 1)}

    def predict(self, values: Array) -> Float64[Array, "rows points"]:
        """The law at the points, for rows of parameters."""
        shape = (len(values), len(self.loss))
        with np.errstate(all="ignore"):
            if not self._broadcasts:
                rows = [np.broadcast_to(self.law.function(*self.places, *row), shape[1:]) for row in values]
                return np.asarray(rows, dtype=np.float64)
            columns = (values[:, i, None] for i in range(values.shape[1]))
            return np.broadcast_to(self.law.function(*self.places, *columns), shape).astype(np.float64)

    def linearise(self, coordinates: Array) -> tuple[Array, Array]:
        """The law at the points and its derivative by the search coordinates, for rows of them."""
        values = self.values(coordinates)
        rows, count, width = len(values), len(self.loss), len(self.free)
        with np.errstate(all="ignore"):
            if self.law.gradient is not None:
                if self._broadcasts:
                    columns = [values[:, i, None] for i in range(values.shape[1])]
                    whole = np.asarray(self.law.gradient(*self.places, *columns), dtype=np.float64)
                else:
                    whole = np.array([self.law.gradient(*self.places, *row) for row in values], dtype=np.float64)
                linear = [i for i, parameter in enumerate(self.law.parameters) if parameter.linear]
                if self.law.basis is None:
                    found = self.predict(values)
                else:  # the law is the sum of its linear terms
                    found = np.einsum("rni,ri->rn", whole[..., linear], values[:, linear])
                jacobian = whole[..., self.free]
            elif self._broadcasts:  # all columns of the Jacobian in one complex evaluation
                moved = np.repeat(values[:, None, :].astype(np.complex128), width, axis=1)
                moved[:, np.arange(width), self.free] += 1j * _STEP
                columns = [moved[:, :, i, None] for i in range(values.shape[1])]
                both = np.broadcast_to(self.law.function(*self.places, *columns), (rows, width, count))
                found, jacobian = both[:, 0].real, np.moveaxis(both.imag, 1, 2) / _STEP
            else:
                found = self.predict(values)
                names = self.law.scales
                given = dict(zip(names, self.places, strict=True))
                jacobian = np.array([self.law.jacobian(row, **given)[..., self.free] for row in values])
            jacobian = jacobian * np.where(self.logs, values[:, self.free], self.unit)[:, None, :]
        return found, jacobian

    def residuals(self, predicted: Array, loss: Array) -> Float64[Array, "rows points"]:
        """What the objective sums, for predicted and measured losses; infinite where it does not exist."""
        with np.errstate(all="ignore"):
            if self.objective in ("log", "huber"):
                found = np.where(predicted > 0, np.log(np.where(predicted > 0, predicted, 1.0) / loss), np.inf)
            elif self.objective == "relative":
                found = predicted / loss - 1
            elif self.objective == "absolute":
                found = predicted - loss
            else:
                found = (predicted - loss) / self.sigma
        return np.where(np.isfinite(found), found, np.inf)

    def evaluator(self, losses: Array | None = None) -> Callable[[Array, Array], tuple[Array, Array]]:
        """What `least_squares.minimise` calls; `losses` are other measurements at the same points, a row each."""

        def evaluate(at: Array, rows: Array) -> tuple[Array, Array]:
            loss = self.loss if losses is None else losses[rows]
            predicted, jacobian = self.linearise(at)
            residual = self.residuals(predicted, loss)
            with np.errstate(all="ignore"):
                if self.objective in ("log", "huber"):
                    jacobian = jacobian / predicted[..., None]
                elif self.objective == "relative":
                    jacobian = jacobian / np.broadcast_to(loss, predicted.shape)[..., None]
                elif self.objective == "weighted":
                    assert self.sigma is not None
                    jacobian = jacobian / self.sigma[:, None]
            fine = np.isfinite(jacobian).all(axis=(1, 2))
            residual = np.where(fine[:, None], residual, np.inf)
            return residual, np.where(np.isfinite(jacobian), jacobian, 0.0)

        return evaluate

    def starts(self, count: int) -> Float64[Array, "starts parameters"]:
        """Search coordinates that fill the bounds of the nonlinear parameters, the linear ones solved for.

        Rows where the law does not exist are NaN.
        """
        linear = np.array([self.law.parameters[i].linear for i in self.free], dtype=bool)
        if self.law.basis is None or sum(p.linear for p in self.law.parameters) != linear.sum():
            linear[:] = False
        rest = np.flatnonzero(~linear)
        at = np.zeros((count if rest.size else 1, len(self.free)))
        if rest.size:
            shares = least_squares.spread(2 * int(rest.size), count).T
            for column, share, choice in zip(rest, shares, shares[rest.size :], strict=False):
                at[:, column] = self._places_to_start(int(column), share, choice)
        if rest.size >= 3:
            return self._evolve(at, rest, linear)
        return self.solve_linear(at, linear) if linear.any() else at

    def scores(self, coordinates: Array) -> Float64[Array, " rows"]:
        """The objective at rows of search coordinates, infinite where there is none."""
        residual = self.residuals(self.predict(self.values(coordinates)), self.loss)
        with np.errstate(all="ignore"):
            return np.sum(least_squares.huber(residual, self.delta), axis=1)

    def _evolve(self, at: Array, rest: Array, linear: Array) -> Array:
        """Starts moved towards the best of them: beyond two dimensions too few lie near a minimum.

        Differential evolution, current to one of the best, on the nonlinear parameters; the
        linear ones are solved for at each trial. Source: Storn & Price, J. Global Optim. 11 (1997) 341; Zhang &
        Sanderson, IEEE Trans. Evol. Comput. 13 (2009) 945.
        """
        rng = np.random.default_rng(0)

        full = self.solve_linear(at, linear) if linear.any() else at
        score = self.scores(full)
        order = np.argsort(np.where(np.isfinite(score), score, np.inf), kind="stable")[: _POPULATION * rest.size]
        order = order[np.isfinite(score[order])]
        full, score = full[order], score[order]
        size = len(full)
        if size < 8:
            return full
        costly = self.law.gradient is not None  # or a complex step would have done
        for _ in range((_FEW if costly else _GENERATIONS) * rest.size):
            best = np.argsort(score, kind="stable")[: max(size // 6, 2)]
            towards, one, other = rng.choice(best, size), rng.integers(0, size, size), rng.integers(0, size, size)
            weight = rng.uniform(0.4, 0.9, (size, 1))
            trial = full.copy()
            step = full[:, rest] + weight * (full[towards][:, rest] - full[:, rest])
            step += weight * (full[one][:, rest] - full[other][:, rest])
            cross = rng.random((size, rest.size)) < 0.9
            trial[:, rest] = np.where(cross, step, full[:, rest])
            outside = (trial < self.low) | (trial > self.high)
            trial = np.where(outside, (full + np.clip(trial, self.low, self.high)) / 2, trial)
            trial = self.solve_linear(trial, linear) if linear.any() else trial
            new = self.scores(trial)
            better = new < score
            full[better], score[better] = trial[better], new[better]
        return full

    def solve_linear(self, at: Array, linear: Array) -> Float64[Array, "starts parameters"]:
        """`at` with the linear parameters that fit best in relative error, the others given."""
        values = self.values(at)
        nonlinear = [i for i, parameter in enumerate(self.law.parameters) if not parameter.linear]
        assert self.law.basis is not None
        shape = (len(at), len(self.loss))
        with np.errstate(all="ignore"):
            if self._broadcasts:
                terms = self.law.basis(*self.places, *(values[:, i, None] for i in nonlinear))
                basis = np.stack([np.broadcast_to(np.real(term), shape) for term in terms], axis=-1)
            else:
                rows = [self.law.basis(*self.places, *(row[i] for i in nonlinear)) for row in values]
                basis = np.array([np.stack([np.broadcast_to(t, shape[1:]) for t in row], axis=-1) for row in rows])
            scale = self.sigma if self.sigma is not None else self.loss
            basis = basis / scale[:, None]
            usable = np.isfinite(basis).all(axis=(1, 2)) & (np.abs(basis).max(axis=(1, 2)) < 1e150)
        basis, at = np.where(usable[:, None, None], basis, 0.0), at.copy()
        signed = np.array([p.low < 0 for p in self.law.parameters if p.linear])
        found = least_squares.amplitudes(basis, self.loss / scale, signed)
        # A start at amplitude 0 has no gradient in its logarithm: begin with a small share of the loss instead.
        share = 1e-3 / np.maximum(np.sqrt(np.mean(basis**2, axis=1)), 1e-300)
        columns = np.flatnonzero(linear)
        with np.errstate(all="ignore"):
            logs = np.log(np.maximum(found, np.minimum(share, 1e300)))
        at[:, columns] = np.where(self.logs[columns], logs, found / self.unit[columns])
        at = np.clip(at, self.low, self.high)
        at[~usable] = np.nan  # no start
        return at

    def search(self, starts: Array, *, keep: int = 4, iterations: int = 100) -> least_squares.Minima:
        """The best minima reached from `starts`, best first, and the starts that lead nowhere left out."""
        evaluate = self.evaluator()
        score = self.scores(starts)
        order = np.argsort(score, kind="stable")
        order = order[np.isfinite(score[order])][: 8 * keep]
        short = least_squares.minimise(evaluate, starts[order], self.low, self.high, delta=self.delta, iterations=12)
        best = np.argsort(short.objective, kind="stable")
        best = _distinct(short.at[best], short.objective[best], best, keep)
        full = least_squares.minimise(
            evaluate, short.at[best], self.low, self.high, delta=self.delta, iterations=iterations
        )
        if math.isfinite(self.delta):
            full = self._polish(full)
        order = np.argsort(full.objective, kind="stable")
        full = least_squares.Minima(*(field[order] for field in full))
        if len(full.at) and not full.converged[0]:
            last = least_squares.minimise(
                evaluate, full.at[:1], self.low, self.high, delta=self.delta, iterations=4 * iterations
            )
            for field, better in zip(full, last, strict=True):
                field[0] = better[0]
        return full

    def _polish(self, found: least_squares.Minima) -> least_squares.Minima:
        """Huber's objective to its minimum: reweighting is slow to arrive where most residuals are beyond delta."""
        evaluate, row = self.evaluator(), np.zeros(1, dtype=np.int64)
        unit = np.maximum(np.abs(self.delta), 1e-300) * len(self.loss)

        def value(scaled: Array, centre: Array, size: Array) -> tuple[float, Array]:
            residual, jacobian = evaluate(np.clip(centre + size * scaled, self.low, self.high)[None], row)
            if not np.isfinite(residual).all():
                return 1e12, np.zeros_like(scaled)
            slope = np.clip(residual[0], -self.delta, self.delta) @ jacobian[0]
            return float(np.sum(least_squares.huber(residual[0], self.delta)) / unit), slope * size / unit

        at, objective, slope, converged = (field.copy() for field in found)
        for i in range(len(at)):
            for _ in range(3):  # quasi-Newton forgets its curvature when it restarts, which helps where that was wrong
                _, jacobian = evaluate(at[i][None], row)
                size = 1 / np.maximum(np.sqrt(np.mean(jacobian[0] ** 2, axis=0)), 1e-12)
                box = list(zip((self.low - at[i]) / size, (self.high - at[i]) / size, strict=True))
                done = optimize.minimize(
                    value,
                    np.zeros(len(size)),
                    args=(at[i].copy(), size),
                    jac=True,
                    method="L-BFGS-B",
                    bounds=box,
                    options={"maxiter": 500, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 20},
                )
                gain = objective[i] - done.fun * unit
                if gain > 0:
                    at[i], objective[i] = np.clip(at[i] + size * done.x, self.low, self.high), done.fun * unit
                converged[i] |= bool(done.success)
                if gain <= 1e-10 * objective[i]:
                    break
        return least_squares.Minima(at, objective, slope, converged)

    def _places_to_start(self, column: int, share: Array, choice: Array) -> Array:
        """Search coordinates of one parameter from shares between 0 and 1."""
        low, high = float(self.low[column]), float(self.high[column])
        parameter = self.law.parameters[self.free[column]]
        largest = float(np.max(np.abs(self.loss)))
        if not self.logs[column]:
            if high - low <= 1e3:
                return low + share * (high - low)
            top = 1.0 if self.unit[column] != 1 else max(largest, 1.0)
            return np.clip((np.sign(low) if low < 0 else 1.0) * top * share**4, low, high)  # any size, small ones more
        inner, outer = max(low, _ANYTHING[0]), min(high, _ANYTHING[1])
        found = inner + share * (outer - inner) if inner < outer else low + share * (high - low)
        positive = np.concatenate([place[(place > 0) & np.isfinite(place)] for place in self.places])
        if high - low <= _PLACE or not positive.size:
            return found
        first, last = math.log(positive.min()) - 1, math.log(positive.max()) + 2
        # The size of a loss, a place on a scale, the inverse of one, or anything.
        size = math.log(largest + 1e-300)
        ranges = [(first, last)] * 3 if parameter.place else [(size - 5, size + 3), (first, last), (-last, -first)]
        for i, (left, right) in enumerate(ranges):
            left, right = max(left, low), min(right, high)
            if left < right:
                chosen = (choice * 4 >= i) & (choice * 4 < i + 1)
                found = np.where(chosen, left + share * (right - left), found)
        return found


def problem(
    law: Law,
    loss: Any,
    scales: Mapping[str, Any],
    *,
    objective: str | None = None,
    variance: Any = None,
    delta: float = 1e-3,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    fixed: Mapping[str, float] | None = None,
) -> Problem:
    """A checked problem; arguments as in [fits.fit][regimes.fits.fit].

    Raises:
        ValueError: as there.
    """
    missing = [name for name in law.scales if name not in scales]
    unknown = [name for name in scales if name not in law.scales]
    if missing or unknown:
        raise ValueError(
            f"{law.name} needs the scales {', '.join(law.scales)}; got {', '.join(scales) or 'none'} (a misspelt "
            "option counts as a scale)."
        )
    measured = _checks.finite_array("loss", loss, ndim=1)
    places = []
    for name in law.scales:
        place = _checks.finite_array(name, scales[name], ndim=(0, 1))
        if place.ndim and place.shape != measured.shape:
            raise ValueError(f"`{name}` must be as long as `loss` ({len(measured)} points), got {len(place)}.")
        if (place <= 0).any():
            raise ValueError(f"`{name}` must be positive, got {place.min():g}.")
        places.append(np.broadcast_to(place, measured.shape).copy())
    if objective is None:
        objective = "log" if variance is None else "weighted"
    objective = _checks.choice("objective", objective, OBJECTIVES)
    if objective in ("log", "huber", "relative") and (measured <= 0).any():
        raise ValueError(
            f"`loss` must be positive for the objective {objective!r}, got {measured.min():g} at point "
            f"{int(np.argmin(measured))}; leave such points out or use objective='absolute'."
        )
    sigma = None
    if (variance is not None) != (objective == "weighted"):
        raise ValueError(
            "`variance` belongs to objective='weighted'; "
            + ("pass the measured variances." if variance is None else f"got objective={objective!r} with it.")
        )
    if variance is not None:
        spread = _checks.finite_array("variance", variance, ndim=(0, 1))
        if spread.ndim and spread.shape != measured.shape:
            raise ValueError(f"`variance` must be as long as `loss` ({len(measured)} points), got {len(spread)}.")
        if (spread <= 0).any():
            raise ValueError(f"`variance` must be positive, got {spread.min():g}; a point measured once has none.")
        sigma = np.sqrt(np.broadcast_to(spread, measured.shape))
    delta = _checks.number("delta", delta, low=0, strict=True) if objective == "huber" else math.inf
    base, free, logs, low, high = _parameters(law, bounds or {}, fixed or {})
    offsets = [law.parameters[i].linear or law.parameters[i].name == law.offset for i in free]
    unit = np.where(np.array(offsets) & ~logs, max(float(np.max(np.abs(measured))), 1e-200), 1.0)
    low, high = low / unit, high / unit
    return Problem(law, tuple(places), measured, objective, delta, sigma, base, free, logs, low, high, unit)


def warn_of_units(losses: Sequence[Any], name: Any = None, guess: Any = None) -> None:
    """Warn where losses look like percent and something else says that they are fractions, or the reverse.

    Three signs: some curves lie between 1 and 100 and others at most at 1; the name is that of an error rate, which is
    at most 1, and losses exceed 1; the guess level is at most 1 and most losses are far above it, or it is at least 10
    and all losses are below 1.

    Args:
        losses: one array per curve; what is not numeric is left to the checks of the fit.
        name: of the losses, such as a column's; anything but text is ignored.
        guess: loss of the best guess, where it is given.
    """
    ends, middles = [], []
    for curve in losses:
        try:
            values = np.asarray(curve, dtype=np.float64)
        except (TypeError, ValueError):
            continue
        values = values[np.isfinite(values)]
        if values.size:
            ends.append((float(values.min()), float(values.max())))
            middles.append(float(np.median(values)))
    if not ends:
        return
    shown = repr(name) if isinstance(name, str) else "`loss`"
    percent = sum(low >= 1 and high <= 100 for low, high in ends)
    fractions = sum(high <= 1 and low < 1 for low, high in ends)
    largest = max(high for _, high in ends)
    if percent and fractions:
        _warn(f"{percent} curves of {shown} lie between 1 and 100 and {fractions} below 1: are some in percent?")
    elif isinstance(name, str) and _is_rate(name) and 1 < largest <= 100:
        _warn(
            f"{shown} reaches {largest:g}, but an error rate is at most 1: is it in percent? If so, divide it by 100."
        )
    level = guess if isinstance(guess, int | float) and math.isfinite(guess) else math.nan
    if level <= 1 < min(middles) and 5 * level < largest <= 100:
        _warn(f"the guess level is {level:g}, but {shown} reaches {largest:g}: is one of them in percent?")
    elif 10 <= level <= 100 and largest <= 1:
        _warn(f"the guess level is {level:g}, but {shown} stays at {largest:g} or below: is one of them in percent?")


def _is_rate(name: str) -> bool:
    """Whether a name is that of an error rate in unstated units; "error (%)" states them, a squared error is none."""
    words = set(re.split(r"[^a-z0-9%]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))
    rate = words & {"error", "err", "errors", "misclassification", "top1", "top5"}
    return bool(rate) and not words & {"%", "percent", "pct", "squared", "square", "mean", "absolute", "bars", "bar"}


def _warn(words: str) -> None:
    """A warning in the name of whoever called the fit."""
    warnings.warn(words, UserWarning, stacklevel=4)


def _parameters(
    law: Law, bounds: Mapping[str, tuple[float, float]], fixed: Mapping[str, float]
) -> tuple[Array, tuple[int, ...], Array, Array, Array]:
    for what, names in (("bounds", bounds), ("fixed", fixed)):
        strange = [name for name in names if name not in law.names]
        if strange:
            raise ValueError(f"`{what}` names {', '.join(map(str, strange))}; {law.name} has {', '.join(law.names)}.")
    base = np.zeros(len(law.parameters))
    free, logs, low, high = [], [], [], []
    for i, parameter in enumerate(law.parameters):
        if parameter.name in fixed:
            base[i] = _checks.number(f"fixed[{parameter.name!r}]", fixed[parameter.name])
            continue
        pair: Sequence[float] = bounds.get(parameter.name, (parameter.low, parameter.high))
        if len(pair) != 2 or not pair[0] < pair[1]:
            raise ValueError(f"`bounds[{parameter.name!r}]` must be (low, high) with low < high, got {pair!r}.")
        by_log = parameter.log or (parameter.linear and parameter.name != law.offset and pair[0] >= 0)
        if by_log and pair[0] < 0:
            raise ValueError(f"`bounds[{parameter.name!r}]` must be positive for a logarithmic search, got {pair!r}.")
        free.append(i)
        logs.append(by_log)
        low.append(math.log(max(pair[0], 1e-280)) if by_log else pair[0])
        high.append(math.log(min(pair[1], 1e280)) if by_log else pair[1])
    if not free:
        raise ValueError(f"`fixed` holds every parameter of {law.name}: nothing is left to fit.")
    return base, tuple(free), np.array(logs), np.array(low, dtype=float), np.array(high, dtype=float)


def _distinct(at: Array, objective: Array, index: Array, keep: int) -> Array:
    """The first `keep` of `index` that are not copies of an earlier one."""
    chosen: list[int] = []
    for i in range(len(index)):
        copies = [
            j
            for j in chosen
            if abs(objective[i] - objective[j]) <= 1e-6 * objective[j] + 1e-300
            and np.all(np.abs(at[i] - at[j]) <= 1e-3 * (1 + np.abs(at[j])))
        ]
        if not copies:
            chosen.append(i)
        if len(chosen) == keep:
            break
    return index[chosen]
