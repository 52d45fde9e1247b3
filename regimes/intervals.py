"""How sure the parameters of a fit are: from the profile of the objective, by resampling, or linearised.

Everything here is in search coordinates of a [Problem][regimes.objectives.Problem] and takes all parameters, both sides
and all resampled data sets together.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy import stats

from regimes import least_squares
from regimes.objectives import Problem

Array = np.ndarray


def scale_of(task: Problem, objective: float) -> tuple[float, float]:
    """Variance of the residuals, and its degrees of freedom; measured variances count unless residuals exceed them."""
    freedom = max(len(task.loss) - len(task.free), 0)
    if freedom == 0:
        return (1.0, math.inf) if task.sigma is not None else (math.nan, 0.0)
    if task.sigma is None:
        return 2 * objective / freedom, float(freedom)
    chi = 2 * objective / freedom
    return (chi, float(freedom)) if chi > 1 else (1.0, math.inf)


def quantile(level: float, freedom: float) -> float:
    """Two-sided quantile of Student's t, normal at infinite freedom."""
    if freedom <= 0:
        return math.inf
    return float(stats.norm.ppf((1 + level) / 2) if math.isinf(freedom) else stats.t.ppf((1 + level) / 2, freedom))


def held(task: Problem, start: Array, columns: Any) -> least_squares.Minima:
    """Minima with one parameter of each row (`columns`) held at its start."""
    low, high = (np.repeat(bound[None], len(start), axis=0) for bound in (task.low, task.high))
    rows = np.arange(len(start))
    low[rows, columns] = high[rows, columns] = start[rows, columns]
    return least_squares.minimise(task.evaluator(), start, low, high, delta=task.delta, iterations=40, tolerance=1e-7)


def covariance_of(task: Problem, best: Array) -> tuple[Array, Array]:
    """(J^T J)^-1 over the parameters that are free to move, zero elsewhere; and the leverage of each point."""
    _, jacobian = task.evaluator()(best[None], np.zeros(1, dtype=np.int64))
    jacobian = jacobian[0]
    inside = (best > task.low) & (best < task.high)
    size = np.linalg.norm(jacobian, axis=0)
    usable = inside & (size > 0)
    covariance = np.zeros((len(best), len(best)))
    leverage = np.zeros(len(task.loss))
    if usable.any():
        u, s, vt = np.linalg.svd(jacobian[:, usable] / size[usable], full_matrices=False)
        kept = s > 1e-12 * s[0]
        root = (vt[kept].T / s[kept]) / size[usable][:, None]
        with np.errstate(over="ignore"):
            covariance[np.ix_(usable, usable)] = root @ root.T
        leverage = np.sum(u[:, kept] ** 2, axis=1)
    return covariance, leverage


def linearised(task: Problem, best: Array, objective: float, level: float) -> tuple[Array, Array]:
    """Ends of the intervals by value -+ quantile times standard error, in search coordinates."""
    if math.isfinite(task.delta):  # least squares says nothing about a robust estimate
        return np.full(len(best), np.nan), np.full(len(best), np.nan)
    scale, freedom = scale_of(task, objective)
    covariance, _ = covariance_of(task, best)
    width = quantile(level, freedom) * np.sqrt(np.diagonal(covariance) * scale)
    if freedom == 0:
        width = np.full(len(best), np.inf)
    return np.maximum(best - width, task.low), np.minimum(best + width, task.high)


def profile_ends(
    task: Problem, best: Array, objective: float, level: float, columns: Sequence[int] | None = None
) -> tuple[Array, Array]:
    """Ends of the profile intervals in search coordinates, all parameters and both sides together."""
    scale, freedom = scale_of(task, objective)
    goal = quantile(level, freedom)
    low, high = best.copy(), best.copy()
    if not scale > 1e-26:
        return low, high
    columns = list(range(len(best))) if columns is None else list(columns)
    covariance, _ = covariance_of(task, best)
    error = np.sqrt(np.diagonal(covariance) * scale)
    span = np.where(np.isfinite(task.high - task.low), task.high - task.low, 1.0)
    error = np.where(error > 0, np.minimum(error, span), 1e-3 * span)
    column = np.repeat(columns, 2)
    side = np.tile([-1.0, 1.0], len(columns))
    rows = np.arange(len(column))
    limit = np.where(side > 0, task.high[column], task.low[column])
    inner, at_inner = best[column].copy(), np.repeat(best[None], len(column), axis=0)
    outer = np.clip(best[column] + side * goal * error[column], task.low[column], task.high[column])
    rise_inner, rise_outer = np.zeros(len(column)), np.full(len(column), np.nan)
    bracketed, finished = np.zeros(len(column), bool), np.abs(limit - best[column]) <= 0
    answer = np.where(finished, limit, np.nan)
    for step in range(28):
        todo = np.flatnonzero(~finished)
        if not todo.size:
            break
        if step == 0:
            at = outer[todo]
        else:  # expand until the rise is passed, then regula falsi kept away from both ends
            share = (goal - rise_inner[todo]) / np.maximum(rise_outer[todo] - rise_inner[todo], 1e-12)
            inside = inner[todo] + np.clip(share, 0.1, 0.9) * (outer[todo] - inner[todo])
            wider = inner[todo] + 2 * (inner[todo] - best[column[todo]]) + side[todo] * 1e-3 * error[column[todo]]
            at = np.where(bracketed[todo], inside, np.clip(wider, task.low[column[todo]], task.high[column[todo]]))
        start = at_inner[todo].copy()
        start[np.arange(len(todo)), column[todo]] = at
        found = held(task, start, column[todo])
        rise = np.sqrt(2 * np.maximum(found.objective - objective, 0) / scale)
        over = ~(rise < goal)
        bracketed[todo] |= over
        outer[todo[over]], rise_outer[todo[over]] = at[over], np.minimum(rise[over], 1e6)
        under = todo[~over]
        inner[under], rise_inner[under], at_inner[under] = at[~over], rise[~over], found.at[~over]
        stuck = under[np.abs(inner[under] - limit[under]) <= 0]  # the bound is reached before the rise is
        answer[stuck], finished[stuck] = limit[stuck], True
        near = todo[np.abs(rise - goal) < 0.01 * goal]
        answer[near], finished[near] = at[np.abs(rise - goal) < 0.01 * goal], True
        small = bracketed & (np.abs(outer - inner) < 1e-4 * error[column]) & ~finished
        answer[small], finished[small] = inner[small], True
    # Never bracketed: the objective stays flat as far as it was followed, so the interval is open on that side.
    answer = np.where(finished, answer, np.where(bracketed, inner, limit))
    for i in rows:
        if side[i] < 0:
            low[column[i]] = min(answer[i], best[column[i]])
        else:
            high[column[i]] = max(answer[i], best[column[i]])
    return low, high


def bootstrap(
    task: Problem,
    minima: least_squares.Minima,
    draws: int,
    resample: str,
    labels: Array | None,
    level: float,
    seed: int,
) -> Float64[Array, "draws parameters"]:
    """Search coordinates of resampled data sets, spread so that their quantiles are those of Student's t."""
    rng = np.random.default_rng(seed)
    best, count = minima.at[0], len(task.loss)
    start = np.repeat(best[None], draws, axis=0)
    freedom: float = count - len(task.free)
    losses, weights, stretch = None, np.ones((draws, count)), 1.0
    predicted = task.predict(task.values(best[None]))[0]
    if resample == "residuals":
        if task.sigma is not None:
            scale, freedom = scale_of(task, float(minima.objective[0]))
            losses = predicted + math.sqrt(scale) * task.sigma * rng.standard_normal((draws, count))
        else:
            _, leverage = covariance_of(task, best)
            residual = -task.residuals(predicted[None], task.loss)[0] / np.sqrt(np.maximum(1 - leverage, 1e-3))
            drawn = rng.choice(residual - residual.mean(), (draws, count))
            if task.objective == "log":
                losses = predicted * np.exp(drawn)
            else:  # a relative residual is a share of the measured loss
                losses = predicted + drawn if task.objective == "absolute" else predicted / np.maximum(1 - drawn, 0.05)
    elif resample == "points":
        weights = rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(float)
        stretch = math.sqrt(count / max(freedom, 1))
    else:
        assert labels is not None
        groups = int(labels.max()) + 1
        weights = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws).astype(float)[:, labels]
        stretch, freedom = math.sqrt(groups / (groups - 1)), groups - 1
    evaluate = task.evaluator(losses)
    found = least_squares.minimise(
        evaluate, start, task.low, task.high, delta=task.delta, weights=weights, iterations=60, tolerance=1e-5
    )
    usable = np.isfinite(found.objective)
    stretch *= quantile(level, max(freedom, 1)) / quantile(level, math.inf)
    spread = best + stretch * (found.at[usable] - best)
    return np.clip(spread, task.low, task.high)
