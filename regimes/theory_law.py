"""Theory as a law: the deterministic equivalent of random features with a power-law spectrum, to be fitted.

The eigenvalues are i^-(1+alpha), the target powers a i^-(1+beta), and the loss is that of
[equivalents][regimes.equivalents.loss]. Unlike the other laws it knows the peak at n = k, both limits and how they are
approached, and that noise enters the exponents. It is evaluated on a fixed grid of ranks, so that it is smooth in alpha
and beta, and its gradient is exact: the fixed point is solved in real numbers, and all that depends on it is continued
by its derivatives, which a complex step then reads off.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from regimes import domains
from regimes.law import AMPLITUDES, OFFSETS, PLACES, Law, Parameter, larger, maker, smaller

Array = np.ndarray
_MODES = 1e16
_LARGEST, _SMALLEST = 1e15, 1e-30
_STEP = 1e-30
_RANK, _COUNT = domains.ranks(_MODES, 0.36)
_LOG = np.log(_RANK)
_CHUNK = max(1, 100_000 // len(_RANK))
"""Points worked on at once: tables that stay in the cache of a processor, which halves the time."""


class _Sums(NamedTuple):
    """A sum over modes and its derivatives."""

    value: Array
    gamma: Array | float
    """In ln gamma."""
    alpha: Array | float
    beta: Array | float

    def moved(self, log_gamma: Any, alpha: Any, beta: Any) -> Any:
        """The value after small changes, to first order."""
        return self.value + self.gamma * log_gamma + self.alpha * alpha + self.beta * beta


class _Point(NamedTuple):
    """The fixed point in real numbers and the sums there."""

    log_gamma: Array
    alpha: Array
    beta: Array
    one: _Sums
    """df1."""
    two: _Sums
    """df2."""
    once: _Sums
    """Sum of v^2 s, with s = gamma/(lambda+gamma) and v^2 = i^-(1+beta)."""
    twice: _Sums
    """Sum of v^2 s^2."""


def _tail(exponent: Any) -> tuple[Any, Any]:
    """Sum of i^-(1+exponent) beyond the grid, and its derivative, by Euler and Maclaurin (two terms are exact here)."""
    x = _MODES + 1
    first, second = x**-exponent / exponent, x ** -(1 + exponent) / 2
    return first + second, -first * (np.log(x) + 1 / exponent) - second * np.log(x)


def _factor(epsilon: Any, ratio: Any) -> Any:
    """The factor x = 1 - df1/m at the smaller size m: x (1 - ratio + ratio x) = epsilon, without cancellation."""
    return 2 * epsilon / (1 - ratio + _discriminant(epsilon, ratio))


def _discriminant(epsilon: Any, ratio: Any) -> Any:
    square = (1 - ratio) ** 2 + 4 * ratio * epsilon
    return np.sqrt(np.where(np.abs(square) < 1e-200, 1e-200, square))


def _powers(exponent: Array) -> Array:
    """The ranks to the given powers, a row each; one row where all are the same."""
    distinct = exponent[:1] if np.all(exponent == exponent[0]) else exponent
    return np.exp(distinct[:, None] * _LOG)


def _root(m: Array, ratio: Array, effective: Array, alpha: Array, inverse: Array) -> Array:
    """The ln gamma with df1/m + x = 1: Newton's steps in ln gamma on the logarithm of the left side, kept in a bracket.

    At gamma = (2m+1)^-(1+alpha) half of at least 2 m modes are learnt; at 2 trace/m and 4 ridge/n both terms are
    at most a half.
    """
    tail = _tail(alpha)[0]
    trace = (1 / inverse) @ _COUNT + tail
    low = -(1 + alpha) * np.log(2 * m + 1) - 0.1
    high = np.maximum(np.log(2 * trace / m), np.log(np.maximum(4 * effective, 1e-300))) + 0.1
    low = np.minimum(low, high - 0.1)
    here = np.clip((1 + alpha) * np.log(np.pi / (1 + alpha) / np.sin(np.pi / (1 + alpha)) / m), low, high)
    for _ in range(100):
        learnt = 1 / (1 + np.exp(here)[:, None] * inverse)
        one, two = learnt @ _COUNT + tail * np.exp(-here), learnt**2 @ _COUNT
        epsilon = effective * np.exp(-here)
        left = one / m + _factor(epsilon, ratio)
        fall = (one - two) / m + epsilon / _discriminant(epsilon, ratio)
        low, high = np.where(left > 1, here, low), np.where(left > 1, high, here)
        step = np.log(left) * left / fall
        after = here + step
        outside = (after <= low) | (after >= high) | np.isnan(after)
        after = np.where(outside & (np.abs(step) > 1e-14), (low + high) / 2, after)
        done = np.abs(after - here) <= 1e-14 * (1 + np.abs(here))
        here = after
        if done.all():
            break
    return here


def _solve(n: Array, k: Array, alpha: Array, beta: Array, ridge: Array, derivatives: bool) -> _Point:
    """The fixed point; without `derivatives`, those of the sums are 0 but for the one that residuals are divided by."""
    m, ratio, effective = _sizes(n, k, ridge)
    inverse = _powers(1 + alpha)
    log_gamma = _root(m, ratio, effective, alpha, inverse)
    above = np.exp(log_gamma)[:, None] * inverse
    table, rest = 1 / (1 + above), above / (1 + above)  # learnt and not
    power = _COUNT / _powers(1 + beta)
    (tail, tail_alpha), (beyond, beyond_beta) = _tail(alpha), _tail(beta)
    implicit = np.exp(-log_gamma)
    first, squares = table @ _COUNT, table**2 @ _COUNT
    once, twice = rest * power, rest**2 * power
    if not derivatives:
        one = _Sums(first + tail * implicit, squares - first - tail * implicit, 0.0, 0.0)
        values = (squares, once.sum(1) + beyond, twice.sum(1) + beyond)
        return _Point(log_gamma, alpha, beta, one, *(_Sums(value, 0.0, 0.0, 0.0) for value in values))
    both = table * rest
    modes = np.stack([_COUNT, _COUNT * _LOG], axis=1)
    of_one, of_two = both @ modes, 2 * (both * table) @ modes
    one = _Sums(first + tail * implicit, -of_one[:, 0] - tail * implicit, -of_one[:, 1] + tail_alpha * implicit, 0.0)
    two = _Sums(squares, -of_two[:, 0], -of_two[:, 1], 0.0)
    of_once, of_twice = once * table, 2 * twice * table
    return _Point(
        log_gamma,
        alpha,
        beta,
        one,
        two,
        _Sums(once.sum(1) + beyond, of_once.sum(1), of_once @ _LOG, -(once @ _LOG) + beyond_beta),
        _Sums(twice.sum(1) + beyond, of_twice.sum(1), of_twice @ _LOG, -(twice @ _LOG) + beyond_beta),
    )


def _sizes(n: Any, k: Any, ridge: Any) -> tuple[Any, Any, Any]:
    """The smaller size, its ratio to the larger one, and ridge/n."""
    m = smaller(n, k)
    return m, m / larger(n, k), ridge / n


def _loss(point: _Point, n: Any, k: Any, alpha: Any, beta: Any, a: Any, noise: Any, ridge: Any) -> Any:
    """The formula of `equivalents.loss`, at `point` or a complex step away from it."""
    m, ratio, effective = _sizes(n, k, ridge)
    d_alpha, d_beta = alpha - point.alpha, beta - point.beta
    epsilon = effective * np.exp(-point.log_gamma)
    residual = point.one.moved(0.0, d_alpha, 0.0) / m + _factor(epsilon, ratio) - 1
    move = residual / (-point.one.gamma / m + epsilon / _discriminant(epsilon, ratio))
    x = _factor(epsilon * (1 - move), ratio)
    other = 1 - ratio + ratio * x
    one, two, once, twice = (part.moved(move, d_alpha, d_beta) for part in point[3:])
    data_smaller = np.real(n) <= np.real(k)
    x, y = np.where(data_smaller, x, other), np.where(data_smaller, other, x)
    spread = one - two
    slope = y / (y + spread / k)
    return (a * (twice + (1 - slope) * (once - twice)) + noise) / (x + spread / n * slope)


class _Arguments(NamedTuple):
    """What the law takes, in the order of `_loss`."""

    n: Any
    k: Any
    alpha: Any
    beta: Any
    a: Any
    noise: Any
    ridge: Any


def _clipped(size: Any) -> Any:
    """Sizes so small that nothing is learnt, or beyond the grid, at its ends; infinity stays."""
    low, high = np.real(size) < _SMALLEST, (np.real(size) > _LARGEST) & ~np.isinf(np.real(size))
    return np.where(low, _SMALLEST, np.where(high, _LARGEST, size))


def _evaluate(arguments: _Arguments, moved: Sequence[_Arguments] = ()) -> list[Array]:
    """The loss at the arguments, or at each of those a complex step away from them, the fixed point solved once."""
    targets = [arguments] if not moved else list(moved)
    derivatives = any(np.iscomplexobj(one) for target in targets for one in target)
    targets = [target._replace(n=_clipped(target.n), k=_clipped(target.k)) for target in targets]
    shape = np.broadcast_shapes(*(np.shape(one) for one in arguments))
    flat = [[np.broadcast_to(one, shape).ravel() for one in target] for target in targets]
    real = [np.real(one).astype(np.float64) for one in flat[0]]
    found = [np.empty(len(real[0]), dtype=np.result_type(*target)) for target in flat]
    for start in range(0, len(real[0]), _CHUNK):
        part = slice(start, start + _CHUNK)
        n, k, alpha, beta, _, _, ridge = (one[part] for one in real)
        everything = np.isinf(n) & np.isinf(k)  # nothing is left but the noise
        n = np.where(everything, 1.0, n)
        point = _solve(n, k, alpha, beta, ridge, derivatives)
        for target, result in zip(flat, found, strict=True):
            given = [one[part] for one in target]
            given[0] = np.where(everything, 1.0, given[0])
            result[part] = np.where(everything, given[5], _loss(point, *given))
    return [result.reshape(shape) for result in found]


@maker
def theory(
    scales: str | Sequence[str] = ("n", "k"), *, units: bool = False, ridge: bool = False, peak: bool = False
) -> Law:
    """The loss of random features (or of kernel regression) with a power-law spectrum as a law.

    L = a [sum v^2 (s^2 + (1-1/h)(s-s^2))]/D + noise/D with lambda_i = i^-(1+alpha) and v_i^2 = i^-(1+beta); s, h and D
    are those of [equivalents][regimes.equivalents.loss], with the modes beyond the grid of 10^16 as implicit ridge.

    Args:
        scales: ("n", "k"), or "n" alone (infinite k) or "k" alone (infinite n).
        units: give n and k units of their own, unit_n and unit_k, by which they are divided: for sizes that are
            proportional to the samples and features of the theory, such as parameters or tokens.
        ridge: give it a ridge, added to the diagonal of the Gram matrix; without, the loss diverges at n = k.
        peak: for one scale, take the other as finite, and as a parameter `peak`: the place on this scale, in its units,
            where both are equal and the loss has its peak (near it, with a ridge). Where the place is known, hold it:
            `fits.fit(law, ..., fixed={"peak": 5e4})`.

    Raises:
        ValueError: other scales, or a peak with two of them.

    Source: as for [equivalents][regimes.equivalents]; as a law to be fitted it is ours.

    Valid when n and k, in their units, stay below 10^15; what is larger and finite counts as 10^15. The gradient is
    undefined where the loss is infinite.
    Along one scale alone alpha and the noise are nearly exchangeable with the rest: their intervals end at the bounds
    and hold the truth more often than stated. A ridge that was tuned at each point is not described.
    """
    names = (scales,) if isinstance(scales, str) else tuple(scales)
    if names not in (("n", "k"), ("n",), ("k",)):
        raise ValueError(f'`scales` must be ("n", "k"), "n" or "k", got {scales!r}.')
    if peak and len(names) == 2:
        raise ValueError("`peak` belongs to a law of one scale; with both, the peak is where n = k.")
    parameters = [
        Parameter("alpha", 0.02, 4.0, log=True, meaning="decay of the spectrum, i^-(1+alpha)"),
        Parameter("beta", 0.01, 8.0, log=True, meaning="decay of the target power, i^-(1+beta)"),
        Parameter("a", *AMPLITUDES, log=True, linear=True, meaning="power of the first mode"),
        Parameter("noise", *OFFSETS, linear=True, meaning="variance of the label noise"),
    ]
    if units:
        parameters += [
            Parameter(f"unit_{name}", 1e-9, 1e12, log=True, meaning=f"what counts as one {name}") for name in names
        ]
    if ridge:
        parameters.append(Parameter("ridge", 1e-18, 1e9, log=True, meaning="ridge, the first eigenvalue being 1"))
    if peak:
        parameters.append(Parameter("peak", *PLACES, log=True, meaning=f"{names[0]} at which n = k", place=True))

    def arranged(*values: Any) -> _Arguments:
        places, (alpha, beta, a, noise, *rest) = values[: len(names)], values[len(names) :]
        held = rest[-1] if peak else np.inf
        if units and peak:
            held = held / rest[0]
        if units:
            places = tuple(place / unit for place, unit in zip(places, rest, strict=False))
        sizes = dict(zip(names, places, strict=True))
        delta = rest[len(names) if units else 0] if ridge else 0.0
        return _Arguments(sizes.get("n", held), sizes.get("k", held), alpha, beta, a, noise, delta)

    def function(*values: Any) -> Any:
        moved = arranged(*values)
        arguments = _Arguments(*(np.real(one) for one in moved))
        return _evaluate(arguments, [moved])[0]

    def basis(*values: Any) -> list[Array]:
        places, (alpha, beta, *rest) = values[: len(names)], values[len(names) :]
        both = [arranged(*places, alpha, beta, *shares, *rest) for shares in ((1.0, 0.0), (0.0, 1.0))]
        return _evaluate(both[0], both)

    def gradient(*values: Any) -> Array:
        first = len(names)
        moved = [
            arranged(*values[:i], np.asarray(values[i]) + 1j * _STEP, *values[i + 1 :])
            for i in range(first, len(values))
        ]
        return np.stack([np.imag(column) / _STEP for column in _evaluate(arranged(*values), moved)], axis=-1)

    return Law(
        "theory" if names == ("n", "k") else f"theory-{names[0]}" + "-peak" * peak,
        "deterministic equivalent of random features with lambda_i = i^-(1+alpha), v_i^2 = a i^-(1+beta)",
        names,
        tuple(parameters),
        function,
        "Simon et al. 2023 (arXiv:2311.14646) for the loss",
        basis=basis,
        offset="noise",
        gradient=gradient,
    )
