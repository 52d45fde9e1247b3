"""One Cholesky factor of a Gram matrix, and what is read off it at every sample size.

For nested training sets the factor of the first n samples is the leading block of the factor of all of
them. So K + ridge = L L^T, computed once, holds for every n up to N

- the pivots L_nn^2: the posterior variance of sample n given those before it. For samples in random order
  its mean is exactly the noiseless loss at n - 1 of a target drawn from the kernel;
- the inverse (K_n + ridge)^-1, by running sums over the rows of L^-1: its trace is 1/kappa(n), and
  1/((K_n)^-1)_ii is the pivot of sample i if it came last;
- with targets y, the coefficients (K_n + ridge)^-1 y_n of kernel ridge regression in the same way, and from both
  the training, leave-one-out and generalised cross-validation losses.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.linalg import lapack

from regimes import _checks, display

Array = np.ndarray


@display.shown
class Factor(NamedTuple):
    """K + ridge + jitter = lower lower^T."""

    lower: Float64[Array, "n n"]
    """The Cholesky factor, in Fortran order, zero above the diagonal."""
    jitter: float
    """What was added to the diagonal beside the ridge so that rounding does not spoil the factor."""


@display.shown
class LeaveOneOut(NamedTuple):
    """Running sums over the rows of the inverse factor, at chosen sizes n."""

    variance: Float64[Array, " sizes"]
    """Mean over the n samples of 1/(K_n^-1)_ii: the loss at n - 1 of a target drawn from the kernel."""
    kappa: Float64[Array, " sizes"]
    """1/tr (K_n + ridge)^-1."""


@display.shown
class Inverse(NamedTuple):
    """What is kept of M = (K_n + ridge)^-1 at one size n."""

    size: int
    """n."""
    diagonal: Float64[Array, " n"]
    """M_ii."""
    coefficients: Float64[Array, "n outputs"]
    """M y_n: the prediction at a point is its kernel row times these."""


@display.shown
class TrainingLosses(NamedTuple):
    """Losses of kernel ridge regression that need no test set, at chosen sizes n, summed over outputs."""

    train: Float64[Array, " sizes"]
    """Mean squared residual of the fit."""
    leave_one_out: Float64[Array, " sizes"]
    """Mean squared residual of sample i in the fit on the n - 1 others: the loss at n - 1."""
    leave_one_out_spread: Float64[Array, " sizes"]
    """Standard deviation of these squared residuals over the n samples."""
    gcv: Float64[Array, " sizes"]
    """Generalised cross-validation, n y^T M^2 y/(tr M)^2 with M = (K_n + ridge)^-1: the loss at n."""
    gcv_spread: Float64[Array, " sizes"]
    """Standard deviation over the n samples of the squares whose mean it is."""
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
    found = [(np.mean(1 / part.diagonal), 1 / part.diagonal.sum()) for part in inverses(lower, at)]
    variance, kappa = np.array(found).T
    return LeaveOneOut(variance, kappa)


def inverses(
    lower: Float64[Array, "n n"], at: Any, targets: Float64[Array, "n outputs"] | None = None
) -> Iterator[Inverse]:
    """The diagonal of (K_n + ridge)^-1, and its product with the targets, at one size n after the other.

    With R = L^-1 and z = R y, (K_n + ridge)^-1_ii = sum_{j<=n} R_ji^2 and ((K_n + ridge)^-1 y)_i =
    sum_{j<=n} R_ji z_j: from one size to the next only the new rows are added. R takes n^2 numbers once, and each
    size n (1 + outputs) more as long as what was yielded is kept.

    Args:
        lower: Cholesky factor of K + ridge.
        at: increasing sizes between 1 and n.
        targets: one row per sample; None leaves the coefficients without columns.

    Raises:
        ValueError: sizes outside 1 ... n or not increasing.
    """
    at = _checks.sizes("at", at, low=1, high=len(lower))
    targets = np.empty((len(lower), 0)) if targets is None else targets
    last = int(at[-1])
    rotated = solve_lower(lower, targets) if targets.size else targets
    inverse, info = lapack.dtrtri(lower[:last, :last], lower=1)
    if info:
        raise ValueError(f"the factor is singular at row {info}.")
    diagonal, coefficients = np.zeros(last), np.zeros((last, targets.shape[1]))
    start = 0
    for n in at.tolist():
        rows = inverse[start:n, :n]
        diagonal[:n] += np.einsum("ij,ij->j", rows, rows)
        coefficients[:n] += rows.T @ rotated[start:n]
        yield Inverse(n, diagonal[:n].copy(), coefficients[:n].copy())
        start = n


def training_losses(
    lower: Float64[Array, "n n"], targets: Float64[Array, "n outputs"], at: Any, *, ridge: float
) -> TrainingLosses:
    """Training, leave-one-out and generalised cross-validation losses at the sizes `at`, from one factor.

    With M = (K_n + ridge)^-1 and a = M y_n, the residual of sample i is ridge a_i in the fit on all n samples and
    a_i/M_ii in the fit without it; generalised cross-validation puts the mean diagonal tr M/n in place of M_ii.

    Args:
        lower: Cholesky factor of K + ridge.
        targets: one row per sample.
        at: increasing sizes between 1 and n.
        ridge: what was added to the diagonal before the factorisation, the jitter included.

    Raises:
        ValueError: sizes outside 1 ... n or not increasing.

    Source: Allen, Technometrics 16 (1974) 125, for the residuals without sample i; Golub, Heath and Wahba,
    Technometrics 21 (1979) 215, for the mean diagonal.
    """
    found = []
    for n, diagonal, coefficients in inverses(lower, at, targets):
        kappa = 1 / diagonal.sum()
        # Residuals are squared, never coefficients: these have the units of y/K.
        single = np.sum((coefficients / diagonal[:, None]) ** 2, axis=1)
        pooled = np.sum((coefficients * (n * kappa)) ** 2, axis=1)
        train = np.sum((ridge * coefficients) ** 2, axis=1).mean()
        found.append((train, single.mean(), single.std(), pooled.mean(), pooled.std(), kappa))
    return TrainingLosses(*np.array(found).T)
