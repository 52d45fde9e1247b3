"""One Cholesky factor of a Gram matrix, and what is read off it at every sample size.

For nested training sets the factor of the first n samples is the leading block of the factor of all of
them. So K + ridge = L L^T, computed once, holds for every n up to N

- the pivots L_nn^2: the posterior variance of sample n given those before it. For samples in random order
  its mean is exactly the noiseless loss at n - 1 of a target drawn from the kernel;
- the inverse (K_n + ridge)^-1, by running sums over the rows of L^-1: its trace is 1/kappa(n), and
  1/((K_n)^-1)_ii is the pivot of sample i if it came last.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.linalg import lapack

from regimes import _checks

Array = np.ndarray


class Factor(NamedTuple):
    """K + ridge + jitter = lower lower^T."""

    lower: Float64[Array, "n n"]
    """The Cholesky factor, in Fortran order, zero above the diagonal."""
    jitter: float
    """What was added to the diagonal beside the ridge so that rounding does not spoil the factor."""


class LeaveOneOut(NamedTuple):
    """Running sums over the rows of the inverse factor, at chosen sizes n."""

    variance: Float64[Array, " sizes"]
    """Mean over the n samples of 1/(K_n^-1)_ii: the loss at n - 1 of a target drawn from the kernel."""
    kappa: Float64[Array, " sizes"]
    """1/tr (K_n + ridge)^-1."""


def cholesky(gram: Float64[Array, "n n"], ridge: float = 0.0) -> Factor:
    """Factor a symmetric positive definite matrix.

    Without ridge ("ridgeless") the diagonal gets the smallest jitter that is stable: n eps times its mean,
    the size of the rounding error that the factorisation makes anyway, ten times more as long as it fails.

    Args:
        gram: (n, n), symmetric; only its values are read, it is not changed.
        ridge: added to the diagonal, in the units of the matrix.

    Raises:
        ValueError: the matrix is not positive definite even with a jitter of 1e-6 of its diagonal.
    """
    size = len(gram)
    scale = float(np.diagonal(gram).mean())
    jitter = 0.0 if ridge >= size * np.finfo(np.float64).eps * scale else size * np.finfo(np.float64).eps * scale
    while True:
        # The transpose of a C-ordered symmetric matrix is the same matrix in the order LAPACK wants.
        work = np.array(gram.T, order="F", copy=True)
        work[np.diag_indices(size)] += ridge + jitter
        lower, info = lapack.dpotrf(work, lower=1, clean=1, overwrite_a=1)
        if info == 0:
            return Factor(lower, jitter)
        jitter = 10 * (jitter or size * np.finfo(np.float64).eps * scale)
        if jitter > 1e-6 * scale:
            raise ValueError(
                "`gram` is not positive definite: its Cholesky factorisation breaks down at row "
                f"{info} of {size} even with 1e-6 of its diagonal added. Is it a kernel matrix?"
            )


def solve_lower(lower: Float64[Array, "n n"], right: Float64[Array, "n m"]) -> Float64[Array, "n m"]:
    """L^-1 right."""
    solution, info = lapack.dtrtrs(lower, right, lower=1)
    if info:
        raise ValueError(f"the factor is singular at row {info}.")
    return solution


def pivots(lower: Float64[Array, "n n"]) -> Float64[Array, " n"]:
    """L_jj^2 for j = 1 ... n."""
    return np.diagonal(lower) ** 2


def leave_one_out(lower: Float64[Array, "n n"], at: Any) -> LeaveOneOut:
    """Leave-one-out variance and kappa at the sizes `at`, from one inversion of the factor.

    Args:
        lower: Cholesky factor of K + ridge.
        at: increasing sizes between 1 and n.

    Raises:
        ValueError: sizes outside 1 ... n or not increasing.
    """
    at = _checks.sizes("at", at, low=1, high=len(lower))
    inverse, _ = lapack.dtrtri(lower, lower=1)
    np.square(inverse, out=inverse)
    diagonal = np.zeros(len(lower))  # of (K_n + ridge)^-1
    variance, kappa = np.empty(len(at)), np.empty(len(at))
    start = 0
    for index, n in enumerate(at):
        diagonal[:n] += inverse[start:n, :n].sum(axis=0)
        variance[index], kappa[index] = np.mean(1 / diagonal[:n]), 1 / diagonal[:n].sum()
        start = n
    return LeaveOneOut(variance, kappa)
