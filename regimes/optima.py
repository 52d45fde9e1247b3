"""What is best: the ridge, the stopping time, the width, and how to spend compute.

Each function minimises the loss of [equivalents][regimes.equivalents] or [dynamics][regimes.dynamics] numerically, for
any spectrum; the exponents that power laws give for the same questions are in [asymptotics][regimes.asymptotics].
A minimum is sought on a grid wide enough to hold it and refined between its neighbours there, so that two local
minima (epoch-wise double descent) are no trap unless they lie within one step of the grid.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import elementwise

from regimes import _checks, display, dynamics, equivalents
from regimes.results import Values, log_slope
from regimes.spectrum import Spectrum

Array = np.ndarray


@display.shown
class Optimum(NamedTuple):
    """The best setting at each point; the fields have the broadcast shape of the arguments."""

    at: Values
    """The best ridge, or the best time."""
    loss: Values
    """The loss there, label noise included."""
    without: Values
    """The loss without it: at zero ridge, or at infinite time."""

    @property
    def interpolates(self) -> Any:
        """Whether no regularisation is better: zero ridge, or training to the end."""
        return (np.asarray(self.at) == 0) | np.isinf(self.at)


@display.shown
class ComputeFrontier(NamedTuple):
    """The best width at each compute budget."""

    compute: Array
    """C = k x time, or k x n."""
    k: Array
    """The best number of features."""
    other: Array
    """The time, or the number of samples, that goes with it: C/k."""
    loss: Array
    """The loss there, label noise included."""
    noise: float
    """The label noise, which no compute removes."""

    @property
    def exponent(self) -> float:
        """L - noise ~ C^-exponent, fitted over the budgets."""
        return -log_slope(self.compute, self.loss - self.noise)

    @property
    def width_exponent(self) -> float:
        """The best k ~ C^exponent, fitted over the budgets."""
        return log_slope(self.compute, self.k)


def optimal_ridge(spectrum: Spectrum, n: Any, k: Any = np.inf, noise: Any = 0.0) -> Optimum:
    """The ridge with the smallest test loss, possibly zero, at each point of the broadcast n, k, noise.

    At the optimal ridge the loss never increases with n or with k: no double descent. Zero is optimal where the target
    is smooth enough for the noise; for k = infinity and power laws where noise/bias <= beta/alpha - 1.

    Args:
        spectrum: kernel and target.
        n: numbers of samples, positive and finite.
        k: numbers of features, positive, possibly infinite.
        noise: variance of the label noise, not negative.

    Raises:
        ValueError: n not finite (any finite ridge is then negligible), n or k not positive, a negative noise, NaN.

    Source: Simon et al. 2023 (arXiv:2311.14646).
    """
    (n, k, noise), shape = equivalents._flat(n=n, k=k, noise=noise)
    if np.isinf(n).any():
        raise ValueError("`n` must be finite: with infinite data any finite ridge is negligible.")
    without = np.asarray(equivalents.loss(spectrum, n, k, 0.0, noise))
    # The explicit ridge against the implicit one, n gamma: nothing below 1e-6 of it matters, nor far above the trace,
    # or far above trace x noise/power, the best ridge where noise is all there is.
    low = n * np.maximum(np.asarray(equivalents.solve(spectrum, n, k).gamma), 1e-6 * spectrum.eigenvalues[-1]) * 1e-6
    high = np.maximum(n, np.minimum(noise / max(spectrum.total_power, 1e-100), 1e100)) * spectrum.trace * 1e4 + low * 10
    at, loss = _minimum(
        lambda log_ridge, *rest: np.asarray(equivalents.loss(spectrum, rest[0], rest[1], np.exp(log_ridge), rest[2])),
        np.log(low),
        np.log(high),
        (n, k, noise),
    )
    zero = without <= loss
    fields = (np.where(zero, 0.0, np.exp(at)), np.where(zero, without, loss), without)
    return Optimum(*(field.reshape(shape)[()] for field in fields))


def optimal_time(spectrum: Spectrum, n: Any, k: Any = np.inf, noise: Any = 0.0) -> Optimum:
    """The gradient-flow time with the smallest test loss (early stopping), possibly infinite.

    Early stopping and ridge regularise alike, t ~ 1/kappa, but with noise the flow does not saturate on smooth targets
    as the ridge does. Zero where it is best not to train.

    Args:
        spectrum: kernel and target.
        n: numbers of samples, positive, possibly infinite.
        k: numbers of features, positive, possibly infinite.
        noise: variance of the label noise, not negative.

    Raises:
        ValueError: n or k not positive, a negative noise, NaN.
    """
    (n, k, noise), shape = equivalents._flat(n=n, k=k, noise=noise)
    without = np.asarray(equivalents.loss(spectrum, n, k, 0.0, noise))
    smallest = np.maximum(np.asarray(equivalents.solve(spectrum, n, k).gamma), 1e-3 * spectrum.eigenvalues[-1])
    at, loss = _minimum(
        lambda log_time, *rest: np.asarray(
            dynamics.gradient_flow(spectrum, np.exp(log_time), rest[0], rest[1], 0, rest[2])
        ),
        # Where noise is all there is, it is best to stop before anything is learnt of the noise either.
        -math.log(spectrum.trace) - 5 - np.log(np.maximum(1, noise / (n * max(spectrum.total_power, 1e-100)))),
        np.log(1e4 / smallest),
        (n, k, noise),
    )
    start = spectrum.total_power + noise
    level = loss * (1 + 1e-11)  # the accuracy of the flow
    at, loss = np.where(start <= level, -np.inf, at), np.where(start <= level, start, loss)
    end = without <= loss * (1 + 1e-11)
    fields = (np.where(end, np.inf, np.exp(at)), np.where(end, without, loss), without)
    return Optimum(*(field.reshape(shape)[()] for field in fields))


def smallest_width(spectrum: Spectrum, n: Any, noise: Any, *, tolerance: float = 0.2) -> Values:
    """The number of features with which L - noise at the optimal ridge is within `tolerance` of its limit in k.

    The kernel counterpart of model-size growth: for power laws k_min ~ n^(1/(1+beta)) while beta <= 1+alpha, and
    n^((beta-alpha)/(1+beta)) up to beta = 2(1+alpha).

    Args:
        spectrum: kernel and target.
        n: numbers of samples, positive and finite.
        noise: variance of the label noise, positive: without noise k_min grows as n, or faster.
        tolerance: relative excess over infinite width that counts as adequate.

    Raises:
        ValueError: n or noise not positive, a tolerance that is not positive.

    Source: derived in docs/theory.md; Defilippis et al. 2024 (arXiv:2405.15699) for the exponents.
    """
    tolerance = _checks.number("tolerance", tolerance, low=0, strict=True)
    (n, noise), shape = equivalents._flat(n=n, noise=noise)
    if (noise == 0).any():
        raise ValueError("`noise` must be positive: without label noise the width must grow with n, or faster.")
    goal = (np.asarray(optimal_ridge(spectrum, n, np.inf, noise).loss) - noise) * (1 + tolerance)

    def excess(log_k: Array, n: Array, noise: Array, goal: Array) -> Array:
        return np.log((np.asarray(optimal_ridge(spectrum, n, np.exp(log_k), noise).loss) - noise) / goal)

    low, high = np.zeros(n.shape), np.log(1e3 * n * (1 + 1 / tolerance))  # one feature at the least
    # The excess falls as 1/k, but for little noise on a smooth target from n^(1+alpha) times the limit.
    while (short := (excess(high, n, noise, goal) > 0) & (high < 100)).any():
        high = high + 5 * short
    enough = excess(low, n, noise, goal) <= 0
    width = np.ones(n.shape)
    if not enough.all():
        rest = ~enough
        found = elementwise.find_root(
            excess, (low[rest], high[rest]), args=(n[rest], noise[rest], goal[rest]), tolerances={"xatol": 1e-6}
        )
        width[rest] = np.exp(found.x)
    return width.reshape(shape)[()]


def compute_frontier(spectrum: Spectrum, compute: Any, *, cost: str = "k*time", noise: float = 0.0) -> ComputeFrontier:
    """The number of features that makes the most of each compute budget.

    `k*time`: fresh data without limit, gradient flow for time C/k. `k*n`: C/k samples, trained to the end at the
    optimal ridge. For power laws with beta < 1+alpha the first gives k ~ C^(1/(2+alpha)), L ~ C^(-beta/(2+alpha)).

    Args:
        spectrum: kernel and target.
        compute: the budgets, positive.
        cost: what compute buys, "k*time" or "k*n".
        noise: variance of the label noise, not negative.

    Raises:
        ValueError: budgets that are not positive, an unknown cost, a negative noise.

    Source: Bordelon et al. 2024 (arXiv:2402.01092), Paquette et al. 2024 (arXiv:2405.15074).
    """
    compute = _checks.finite_array("compute", compute, ndim=(0, 1)).reshape(-1)
    if (compute <= 0).any():
        raise ValueError(f"`compute` must be positive, got {compute.min():g}.")
    noise = _checks.number("noise", noise, low=0)
    if _checks.choice("cost", cost, ("k*time", "k*n")) == "k*time":

        def loss(log_k: Array, budget: Array) -> Array:
            k = np.exp(log_k)
            return np.asarray(dynamics.gradient_flow(spectrum, budget / k, np.inf, k, 0, noise))

        high = np.log(compute * spectrum.trace * 10 + 10)
    else:

        def loss(log_k: Array, budget: Array) -> Array:
            k = np.exp(log_k)
            return np.asarray(optimal_ridge(spectrum, budget / k, k, noise).loss)

        high = np.log(compute)
    at, best = _minimum(loss, np.zeros(len(compute)), np.maximum(high, 1e-3), (compute,))
    return ComputeFrontier(compute, np.exp(at), compute / np.exp(at), best, noise)


def _minimum(
    function: Callable[..., Array], low: Array, high: Array, arguments: tuple[Array, ...], steps: int = 60
) -> tuple[Array, Array]:
    """Smallest value between low and high at each point: a grid, then Brent's method between its neighbours."""
    grid = np.linspace(low, high, steps)
    values = function(grid, *(np.broadcast_to(argument, grid.shape) for argument in arguments))
    best = values.argmin(axis=0)
    here = np.arange(len(low))
    at, smallest = grid[best, here], values[best, here]
    inside = (best > 0) & (best < steps - 1)
    # A neighbour may be equal to rounding, one of two either side of the minimum: the next but one brackets it.
    left, right = (np.clip(best + shift, 0, steps - 1) for shift in (-1, 1))
    level = smallest * (1 + 1e-10)
    left = np.maximum(left - (values[left, here] <= level), 0)
    right = np.minimum(right + (values[right, here] <= level), steps - 1)
    # On a plateau there is nothing to refine: the grid value stands.
    inside &= np.minimum(values[left, here], values[right, here]) > level
    if inside.any():
        bracket = tuple(grid[index[inside], here[inside]] for index in (left, best, right))
        found = elementwise.find_minimum(
            function,
            bracket,
            args=tuple(argument[inside] for argument in arguments),
            tolerances={"xatol": 1e-7, "xrtol": 1e-9, "fatol": 0.0, "frtol": 1e-14},
        )
        better = found.f_x <= smallest[inside]
        at[inside], smallest[inside] = (
            np.where(better, found.x, at[inside]),
            np.where(better, found.f_x, smallest[inside]),
        )
    return at, smallest
