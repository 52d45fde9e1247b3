"""Many small nonlinear least-squares problems at once: bounded, optionally robust, with exact Jacobians.

A fit of a law is small (a few parameters, tens of points), and there are many of them: one from each start, one for
each bootstrap sample, one for each point of a profile. Solved one by one, nearly all time goes to overhead; here all
of them take each Levenberg-Marquardt step together. Problems are the rows of arrays.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64
from scipy.optimize import nnls
from scipy.stats import qmc

from regimes import display

Array = np.ndarray


@display.shown
class Minima(NamedTuple):
    """Where the problems ended, one row each."""

    at: Float64[Array, "rows parameters"]
    """The parameters."""
    objective: Float64[Array, " rows"]
    """Sum of the losses of the residuals; infinite where no step was possible."""
    slope: Float64[Array, " rows"]
    """Largest cosine between the residuals and a column of the Jacobian that is free to move: 0 at a minimum."""
    converged: Bool[Array, " rows"]
    """Whether it stopped because nothing was left to gain."""


def huber(residual: Any, delta: float) -> Any:
    """r^2/2 up to |r| = delta, then delta (|r| - delta/2): Huber's loss; delta = inf gives least squares.

    Source: Huber, Ann. Math. Statist. 35 (1964) 73; Hoffmann et al. 2022 (arXiv:2203.15556) use it on log residuals.
    """
    size = np.abs(residual)
    if math.isinf(delta):
        return size**2 / 2
    return np.where(size <= delta, size**2 / 2, delta * (size - delta / 2))


def minimise(
    evaluate: Callable[[Array, Array], tuple[Array, Array]],
    start: Float64[Array, "rows parameters"],
    low: Any,
    high: Any,
    *,
    delta: float = math.inf,
    weights: Any = 1.0,
    iterations: int = 60,
    tolerance: float = 1e-9,
) -> Minima:
    """Minimise sum_i w_i huber(r_i) in every row by projected Levenberg-Marquardt steps.

    The normal matrix carries Huber's weights min(1, delta/|r|) (iteratively reweighted least squares, which lowers the
    objective as long as the step is short), its diagonal is raised by the damping, parameters at a bound whose gradient
    points outwards are held, and a step that leaves the box is cut at it.

    Args:
        evaluate: evaluate(parameters (m, p), rows (m,)) -> residuals (m, points), Jacobian (m, points, p); a residual
            that is not finite refuses the step.
        start: one row per problem.
        low: lower bounds, broadcast to `start`.
        high: upper bounds, broadcast to `start`.
        delta: where Huber's loss turns linear.
        weights: of the points, broadcast to (rows, points).
        iterations: largest number of steps.
        tolerance: smallest `slope` worth a step.
    """
    rows = len(start)
    low, high = np.broadcast_to(low, start.shape), np.broadcast_to(high, start.shape)
    at = np.clip(start, low, high)
    residual, jacobian = evaluate(at, np.arange(rows))
    weights = np.broadcast_to(weights, residual.shape)
    objective = _objective(residual, weights, delta)
    damping, growth = np.full(rows, 1e-3), np.full(rows, 2.0)
    slope, done = np.full(rows, np.inf), ~np.isfinite(objective)
    diagonal = np.zeros_like(at)
    for _ in range(iterations + 1):
        active = np.flatnonzero(~done)
        if not active.size:
            break
        res, jac = residual[active], jacobian[active]
        influence = weights[active] * (1.0 if math.isinf(delta) else delta / np.maximum(np.abs(res), delta))
        weighted = jac * influence[..., None]
        normal = np.einsum("mni,mnj->mij", weighted, jac)
        gradient = np.einsum("mni,mn->mi", weighted, res)
        here = at[active]
        held = ((here <= low[active]) & (gradient > 0)) | ((here >= high[active]) & (gradient < 0))
        held |= low[active] >= high[active]
        own = np.einsum("mii->mi", normal).copy()
        norm = np.sqrt(own * np.maximum(np.sum(influence * res**2, axis=1), 1e-300)[:, None])
        slope[active] = np.max(np.where(held, 0.0, np.abs(gradient) / np.maximum(norm, 1e-300)), axis=1)
        finished = (slope[active] < tolerance) | (objective[active] < 1e-28 * np.sum(weights[active], axis=1))
        done[active[finished]] = True
        diagonal[active] = np.maximum(diagonal[active] * 0.5, own)
        # A parameter that the residuals do not see must not run to a bound: it shares a trace of the largest entry.
        scale = np.maximum(diagonal[active], 1e-10 * np.max(own, axis=1, keepdims=True) + 1e-300)
        step = _step(normal, gradient, damping[active][:, None] * scale + 1e-14 * scale, held)
        outwards = ((here <= low[active]) & (step < 0)) | ((here >= high[active]) & (step > 0))
        if outwards.any():  # at a bound, and leaving it only because others move: hold it as well
            step = _step(normal, gradient, damping[active][:, None] * scale + 1e-14 * scale, held | outwards)
        moved = np.clip(here + step, low[active], high[active])
        taken = moved - here
        whole = np.all((taken == step) | held | outwards | (np.abs(taken - step) <= 1e-12 * np.abs(here)), axis=1)
        promised = -np.sum(gradient * taken, axis=1) - np.einsum("mi,mij,mj->m", taken, normal, taken) / 2
        new_residual, new_jacobian = evaluate(moved, active)
        new_objective = _objective(new_residual, weights[active], delta)
        gain = objective[active] - new_objective
        better = gain > 0
        ratio = np.where(promised > 0, gain / np.where(promised > 0, promised, 1.0), 0.0)
        grow = np.clip(1 - (2 * np.clip(ratio, -1, 2) - 1) ** 3, 1 / 5, 3)
        damping[active] = np.clip(damping[active] * np.where(better, grow, growth[active]), 1e-12, 1e16)
        growth[active] = np.where(better, 2.0, growth[active] * 2)
        accepted = active[better]
        at[accepted], objective[accepted] = moved[better], new_objective[better]
        residual[accepted], jacobian[accepted] = new_residual[better], new_jacobian[better]
        # Nothing more to gain: the step promises no more than a share of the objective that nobody sees.
        small = promised <= max(1e-13, 1e-4 * tolerance) * objective[active]
        done[active[(small & whole) | (damping[active] >= 1e15)]] = True
    # A long flat valley: what is left to gain is of the order of slope^2 of the objective.
    return Minima(at, objective, slope, (done | (slope < 1e-5)) & np.isfinite(objective))


def _step(normal: Array, gradient: Array, raised: Array, held: Array) -> Array:
    """Solutions of (normal + raised diagonal) step = -gradient, 0 where held."""
    width = normal.shape[1]
    matrix = normal.copy()
    matrix[:, np.arange(width), np.arange(width)] += raised
    matrix[held[:, :, None] | held[:, None, :]] = 0.0
    diagonal = np.where(held, 1.0, matrix[:, np.arange(width), np.arange(width)])
    matrix[:, np.arange(width), np.arange(width)] = diagonal
    root = np.sqrt(diagonal)  # unit diagonal before solving: columns differ by many decades
    scaled = matrix / (root[:, :, None] * root[:, None, :])
    return -np.linalg.solve(scaled, (np.where(held, 0.0, gradient) / root)[..., None])[..., 0] / root


def _objective(residual: Array, weights: Array, delta: float) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.sum(weights * huber(residual, delta), axis=-1)
    return np.where(np.isfinite(total), total, np.inf)


def amplitudes(
    basis: Float64[Array, "rows points terms"], target: Float64[Array, "*rows points"], signed: Bool[Array, " terms"]
) -> Float64[Array, "rows terms"]:
    """Least-squares coefficients of `target` in each row's basis, not negative except where `signed`.

    With few terms the best of all subsets that may be positive is exact and takes all rows at once.
    """
    rows, points, terms = basis.shape
    size = np.sqrt(np.mean(basis**2, axis=1))
    columns = basis / np.where(size > 0, size, 1.0)[:, None, :]
    target = np.broadcast_to(target, (rows, points))
    if terms > 5:
        if signed.any():
            raise ValueError("`signed` needs at most five terms.")
        found = np.array([nnls(columns[i], target[i])[0] for i in range(rows)])
        return found / np.where(size > 0, size, 1.0)
    normal = np.einsum("rni,rnj->rij", columns, columns)
    moment = np.einsum("rni,rn->ri", columns, target)
    best, found = np.full(rows, np.inf), np.zeros((rows, terms))
    for mask in itertools.product((True, False), repeat=terms):
        if any(s and not m for s, m in zip(signed, mask, strict=True)):
            continue
        keep = np.array(mask)
        if not keep.any():
            coefficient = np.zeros((rows, terms))
        else:
            matrix = np.where(keep[:, None] & keep[None, :], normal, 0.0) + np.diag(np.where(keep, 1e-13, 1.0))
            coefficient = np.linalg.solve(matrix, np.where(keep, moment, 0.0)[..., None])[..., 0]
        fine = np.all(signed | (coefficient >= 0), axis=1)
        fit = np.einsum("ri,rij,rj->r", coefficient, normal, coefficient) - 2 * np.sum(coefficient * moment, axis=1)
        better = fine & (fit < best)
        best[better], found[better] = fit[better], coefficient[better]
    return found / np.where(size > 0, size, 1.0)


@functools.lru_cache(maxsize=32)
def spread(dimensions: int, count: int) -> Float64[Array, "count dimensions"]:
    """`count` points that fill the unit cube evenly, the same at every call (Sobol, midpoint first)."""
    points = qmc.Sobol(dimensions, scramble=False).random_base2(math.ceil(math.log2(count)))[:count]
    points = (points + 0.5 / len(points)) % 1.0
    points.setflags(write=False)
    return points
