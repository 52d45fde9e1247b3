"""How far a random network's loss is from its limit, without the part of first order that swamps it.

The statistics behind [network_variance][regimes.network_variance]: an ensemble's excess over its mean, the excess of
kernel descent over the infinite kernel, and the losses for which variance-limited scaling fails.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy import linalg, special, stats

Array = np.ndarray


def ensemble_excess(outputs: Array, measure: Callable[[Array], Any]) -> Float64[Array, " members"]:
    """E l(f) - l(E f) from m members: pseudo-values of the jackknife, whose mean is the estimate.

    The loss of the mean of m members is too high by (1/m) of the second-order term; the jackknife
    m l(mean) - (m-1) mean_i l(mean without i) takes it off, exactly for a loss of second degree, for which this is the
    variance with m - 1 in the denominator. Leaving out each member in turn, and all of that again, gives the
    pseudo-values: their standard error is that of the estimate.

    Args:
        outputs: (m, pairs, tests, outputs) with m at least 3; what belongs to one member is left out together.
        measure: from outputs (..., tests, outputs) to losses (...).

    Raises:
        ValueError: fewer than three members.
    """
    count = len(outputs)
    if count < 3:
        raise ValueError(f"`outputs` must hold at least 3 members, got {count}.")
    own = measure(outputs).mean(axis=1)
    members = outputs.mean(axis=1)
    total = members.sum(axis=0)
    left = total - members
    without = measure(left / (count - 1))
    two = np.array([measure((left[j] - members) / (count - 2)) for j in range(count)])
    two_out = (two.sum(axis=1) - np.diagonal(two)) / (count - 1)
    whole = own.mean() - count * measure(total / count) + (count - 1) * without.mean()
    reduced = (own.sum() - own) / (count - 1) - (count - 1) * without + (count - 2) * two_out
    return count * whole - (count - 1) * reduced


def kernel_excess(
    start: tuple[Array, Array], limit: tuple[Array, Array], y: Array, y_test: Array, rate: float, steps: int
) -> tuple[float, float]:
    """Excess of the loss of a linearised network over the infinite one: its parts even and odd in K0 - K.

    With g(K) the test loss of gradient descent in the kernel K: even (g(K0) + g(2K - K0))/2 - g(K), and odd
    (g(K0) - g(2K - K0))/2. Their sum is g(K0) - g(K).

    Args:
        start: kernel of the network at its start, (n, n) and (tests, n).
        limit: the same at infinite width.
        y: (n,) targets.
        y_test: (tests,) targets.
        rate: learning rate.
        steps: their number.
    """

    def loss(gram: Array, cross: Array) -> float:
        return float(np.mean((descended(gram, cross, y, rate, steps) - y_test) ** 2))

    there = loss(*start)
    mirror = loss(2 * limit[0] - start[0], 2 * limit[1] - start[1])
    return (there + mirror) / 2 - loss(*limit), (there - mirror) / 2


def descended(gram: Array, cross: Array, y: Array, rate: float, steps: int) -> Float64[Array, " tests"]:
    """Outputs at the test samples after gradient descent in a kernel, from zero: exactly, by its eigenvectors.

    K(x, X) sum_i u_i u_i^T y (1 - (1 - rate lambda_i/n)^steps)/lambda_i, with lambda_i, u_i of K(X, X); any symmetric
    matrix will do.
    """
    values, vectors = linalg.eigh(gram)
    small = np.abs(values) * steps * rate / len(y) < 1e-12
    safe = np.where(small, 1.0, values)
    gain = np.where(small, rate * steps / len(y), (1 - (1 - rate * safe / len(y)) ** steps) / safe)
    return cross @ (vectors @ (gain * (vectors.T @ y)))


def rare_inputs(
    n: Any, steps: Sequence[int], *, rate: float = 0.05, large: float = 100.0, chance: float = 0.01
) -> Float64[Array, "sizes times"]:
    """Mean loss of gradient descent on y = x with x^2 = 1, or `large` with a small chance: exact.

    theta <- theta - rate m (theta - 1) from 0, with m the mean of x^2 over n samples: the loss is
    E[x^2] E (1 - rate m)^(2 steps), and m is binomial. With chance^j a share j/n of the samples is large and
    rate m > 2 diverges, as |1 - rate m|^(2 steps): that the chance is as small as chance^n helps as long as the steps
    are few against n. Where they are not, the mean loss is beyond all bounds: an unbounded loss, trained for long.

    Args:
        n: numbers of samples.
        steps: numbers of steps.
        rate: learning rate, stable for the mean of x^2.
        large: value of x^2 of the rare samples.
        chance: of a sample to be such.

    Source: the first of the two counterexamples to Theorem 1 in Bahri et al., appendix C, in the simplest case.
    """
    mean = 1 - chance + chance * large
    result = np.empty((len(n), len(steps)))
    for row, size in enumerate(np.asarray(n, dtype=int)):
        many = np.arange(size + 1)
        weight = stats.binom.logpmf(many, size, chance)
        base = np.log(np.abs(1 - rate * (1 + (large - 1) * many / size)) + 1e-300)
        with np.errstate(over="ignore"):
            result[row] = [mean * np.exp(special.logsumexp(weight + 2 * time * base)) for time in steps]
    return result
