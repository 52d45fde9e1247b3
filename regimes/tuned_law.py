"""Theory as a law where the ridge was tuned, or training stopped in time: random features at the best ridge.

The ridge multiplies nothing but one term of the fixed point, so instead of the ridge one may choose gamma: any value at
which fewer than min(n, k) modes are learnt belongs to one ridge, gamma (n - df1)(k - df1)/k, and the loss is explicit
in it. The best gamma is sought on a table of sums that all points of a fit share, and refined by exact evaluation;
derivatives in the parameters are taken there, which does not move to first order.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from regimes import domains
from regimes.law import AMPLITUDES, Law, Parameter, maker

Array = np.ndarray
_MODES = 1e12
_RANK, _COUNT = domains.ranks(_MODES, 0.6)
_LOG = np.log(_RANK)
_NODES = 128
_LARGEST, _SMALLEST = 1e11, 1e-6
_STEP = 1e-30
_STEPS = (0.2, 0.04, 0.01)
"""Steps in ln gamma of the parabolas that refine the best node."""
_CHUNK = 400_000
"""Entries of a table worked on at once."""


class _Modes(NamedTuple):
    """What a power law needs at every gamma, a row for each pair of exponents."""

    inverse: Array
    """1/lambda."""
    power: Array
    """v^2 times the number of modes."""
    tail: Array
    """Sum of lambda beyond the grid."""
    beyond: Array
    """Sum of v^2 beyond it."""

    def of(self, row: Array) -> "_Modes":
        """Those of the given rows."""
        return _Modes(*(part[row] for part in self))


class _Sums(NamedTuple):
    """Sums over modes at one gamma."""

    one: Array
    """df1."""
    two: Array
    """df2."""
    once: Array
    """Sum of v^2 lambda gamma/(lambda + gamma)^2."""
    twice: Array
    """Sum of v^2 gamma^2/(lambda + gamma)^2."""


def _modes(alpha: Any, beta: Any) -> _Modes:
    """For exponents one per row; what lies beyond the grid by Euler and Maclaurin."""
    x = _MODES + 1
    tail, beyond = (x**-decay / decay + x ** -(1 + decay) / 2 for decay in (alpha, beta))
    inverse, power = (np.exp(sign * (1 + one)[:, None] * _LOG) for sign, one in ((1, alpha), (-1, beta)))
    return _Modes(inverse, power * _COUNT, tail, beyond)


def _sums(gamma: Any, modes: _Modes) -> _Sums:
    """One gamma per row; modes beyond the grid count as far below it."""
    above = gamma[:, None] * modes.inverse
    learnt = 1 / (1 + above)
    left = above * learnt
    rest = left * modes.power
    once = np.einsum("ri,ri->r", learnt, rest)
    return _Sums(learnt @ _COUNT + modes.tail / gamma, learnt**2 @ _COUNT, once, rest.sum(axis=1) - once + modes.beyond)


def _loss(sums: _Sums, n: Any, k: Any, share: Any) -> Any:
    """The loss of `equivalents.loss` in units of a, for the sums at gamma."""
    one, two, once, twice = sums
    spread = one - two
    of_n, of_k = 1 - two / n, 1 - two / k
    return (spread / k * once + of_k * (twice + share)) / (of_n * of_k - spread / n * (spread / k))


def _vertex(left: Array, middle: Array, right: Array) -> Array:
    """Place of the least value of a parabola through -1, 0, 1, between these; 0 where there is none."""
    bend = left - 2 * middle + right
    there = np.isfinite(bend) & (bend > 0)
    return np.where(there, np.clip((left - right) / np.where(there, 2 * bend, 1.0), -1, 1), 0.0)


def _newton(at: Array, m: Array, modes: _Modes) -> tuple[Array, Array]:
    """The ln gamma a Newton's step nearer to where m modes are learnt, and the step."""
    sums = _sums(np.exp(at), modes)
    step = np.log(sums.one / m) * sums.one / (sums.one - sums.two)
    return at + step, step


def _best(n: Array, k: Array, alpha: Array, beta: Array, share: Array, row: Array) -> tuple[Array, Array]:
    """The best ln gamma of each point, and whether it is where the ridge is zero.

    Args:
        n: one per point.
        k: one per point.
        alpha: one per row.
        beta: one per row.
        share: one per point.
        row: which of the pairs alpha, beta each point has.
    """
    m = np.minimum(n, k)
    largest, noise = np.zeros(len(alpha)), np.zeros(len(alpha))
    np.maximum.at(largest, row, np.log(m))
    np.maximum.at(noise, row, np.log1p(share))
    low, high = -(1 + alpha) * (largest + 1.2) - 0.5, np.log(2 + 2 / alpha) + noise + 7
    grid = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _NODES)
    rows = _modes(alpha, beta)
    table = _Sums(*(np.array(part) for part in zip(*(_table(grid[i], rows, i) for i in range(len(grid))), strict=True)))
    modes, every = rows.of(row), np.arange(len(row))
    with np.errstate(all="ignore"):
        one = table.one[row]
        values = np.log(_loss(_Sums(*(part[row] for part in table)), n[:, None], k[:, None], share[:, None]))
        values = np.where(one < m[:, None], values, np.inf)
        node = np.clip(np.argmin(values, axis=1), 1, _NODES - 2)
        move = _vertex(*(values[every, node + shift] for shift in (-1, 0, 1)))
        here = grid[row, node] + move * (high - low)[row] / (_NODES - 1)
        # Where m modes are learnt the ridge is zero: no smaller gamma exists.
        edge = grid[row, np.maximum(np.argmax(one <= m[:, None], axis=1), 1)]
        for _ in range(6):
            edge, step = _newton(edge, m, modes)
            if np.all(np.abs(step) < 1e-9):
                break
        for length in _STEPS:
            here = np.maximum(here, edge + length)
            around = (np.log(_loss(_sums(np.exp(here + by), modes), n, k, share)) for by in (-length, 0.0, length))
            here = np.maximum(here + length * _vertex(*around), edge)
        inside, without = (_loss(_sums(np.exp(at), modes), n, k, share) for at in (here, edge))
    zero = (without > 0) & np.isfinite(without) & ~(inside < without)  # rounding may turn an infinite one negative
    return np.where(zero, edge, here), zero


def _table(log_gamma: Array, modes: _Modes, i: int) -> _Sums:
    """Sums of row i at many gamma."""
    gamma = np.exp(log_gamma)
    above = gamma[:, None] * modes.inverse[i]
    learnt = 1 / (1 + above)
    squares = learnt**2
    total, once, twice = modes.power[i].sum(), learnt @ modes.power[i], squares @ modes.power[i]
    return _Sums(
        learnt @ _COUNT + modes.tail[i] / gamma,
        squares @ _COUNT,
        once - twice,
        total - 2 * once + twice + modes.beyond[i],
    )


def _value(at: Array, zero: Array, n: Any, k: Any, alpha: Any, beta: Any, a: Any, share: Any) -> Any:
    """The loss at the best gamma; where the ridge is zero gamma follows n, k and alpha by one exact step of Newton."""
    modes = _modes(alpha, beta)
    if any(np.iscomplexobj(one) for one in (alpha, n, k)):
        _, step = _newton(at, np.where(np.real(n) <= np.real(k), n, k), modes)
        at = at + np.where(zero, step, 0.0)
    return a * _loss(_sums(np.exp(at), modes), n, k, share)


def _points(moved: Sequence[Sequence[Any]]) -> list[Array]:
    """Losses for several sets of (n, k, alpha, beta, a, share) with the same real parts."""
    shape = np.broadcast_shapes(*(np.shape(one) for one in moved[0]))
    real = [np.broadcast_to(np.real(one), shape).ravel().astype(np.float64) for one in moved[0]]
    flat = [[np.broadcast_to(one, shape).ravel() for one in each] for each in moved]
    found = [np.empty(len(real[0]), dtype=np.result_type(*each)) for each in flat]
    chunk = max(1, _CHUNK // len(_RANK))
    for start in range(0, len(real[0]), chunk):
        part = slice(start, start + chunk)
        n, k, alpha, beta, _, share = (one[part] for one in real)
        pairs, row = np.unique(np.stack([alpha, beta], axis=1), axis=0, return_inverse=True)
        at, zero = _best(n, k, pairs[:, 0], pairs[:, 1], share, row.reshape(-1))
        for each, result in zip(flat, found, strict=True):
            with np.errstate(all="ignore"):
                result[part] = _value(at, zero, *(one[part] for one in each))
    return [result.reshape(shape) for result in found]


@maker
def tuned_theory(*, units: bool = False) -> Law:
    """The loss of random features with a power-law spectrum at the ridge that is best at each (n, k), as a law.

    lambda_i = i^-(1+alpha), v_i^2 = a i^-(1+beta), label noise of variance a share. There is no peak at n = k, and no
    parameter for the ridge. Training that is stopped in time is regularised alike.

    Args:
        units: give n and k units of their own, unit_n and unit_k, by which they are divided: for sizes that are
            proportional to the samples and features of the theory, such as the parameters of a network.

    Source: Simon et al. 2023 (arXiv:2311.14646) for the loss at the best ridge; as a law to be fitted it is ours.

    Valid when n and k, in their units, lie between 1e-6 and 10^11; both are clipped to that range.
    """
    parameters = [
        Parameter("alpha", 0.02, 2.0, log=True, meaning="decay of the spectrum, i^-(1+alpha)"),
        Parameter("beta", 0.01, 8.0, log=True, meaning="decay of the target power, i^-(1+beta)"),
        Parameter("a", *AMPLITUDES, log=True, linear=True, meaning="power of the first mode"),
        Parameter("share", 1e-9, 1e3, log=True, meaning="variance of the label noise over a"),
    ]
    if units:
        parameters += [
            Parameter(f"unit_{name}", 1e-6, 1e9, log=True, meaning=f"what counts as one {name}") for name in "nk"
        ]

    def arranged(n: Any, k: Any, alpha: Any, beta: Any, a: Any, share: Any, *rest: Any) -> tuple[Any, ...]:
        sizes = [place / unit for place, unit in zip((n, k), rest, strict=True)] if units else [n, k]
        n, k = (
            np.where(np.real(x) < _SMALLEST, _SMALLEST, np.where(np.real(x) > _LARGEST, _LARGEST, x)) for x in sizes
        )
        return n, k, np.asarray(alpha), np.asarray(beta), a, share

    def function(*values: Any) -> Any:
        return _points([arranged(*values)])[0]

    def basis(*values: Any) -> list[Array]:
        n, k, alpha, beta, *rest = values
        return [function(n, k, alpha, beta, 1.0, *rest)]

    def gradient(*values: Any) -> Array:
        moved = [(*values[:i], np.asarray(values[i]) + 1j * _STEP, *values[i + 1 :]) for i in range(2, len(values))]
        return np.stack([np.imag(one) / _STEP for one in _points([arranged(*each) for each in moved])], axis=-1)

    return Law(
        "tuned-theory",
        "random features with lambda_i = i^-(1+alpha), v_i^2 = a i^-(1+beta), noise a share, at the best ridge",
        ("n", "k"),
        tuple(parameters),
        function,
        "Simon et al. 2023 (arXiv:2311.14646) for the loss",
        basis=basis,
        gradient=gradient,
    )
