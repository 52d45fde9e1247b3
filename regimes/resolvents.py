"""The resolvent of a Gram matrix: what a finite sample says of the population, and how sure it is.

For N samples and a ridge delta,

    kappa = 1/tr (K + delta)^-1,    df1(kappa) = N - delta/kappa,
    kappa y^T (K + delta)^-1 y = sum_i v_i^2 kappa/(lambda_i+kappa) + noise,

hold for the eigenvalues lambda and target coefficients v of the *population*, at every delta. So one
eigendecomposition of K gives df1 and the unlearnt power as functions of kappa, corrected for finite N.

How sure they are is read by deleting samples. With M = (K + delta)^-1, leaving out sample i changes the trace of M by
-(M^2)_ii/M_ii and y^T M y by -(M y)_i^2/M_ii, and a pair by the same with 2 x 2 blocks, so that all samples and many
pairs are deleted at the cost of two matrix products. The squares of the single changes count a part of the variance
that belongs to m samples together m times over (Efron and Stein 1981); on homogeneous inputs, as on a sphere, all of
it is of that kind. The second differences measure that part, and it is taken off.
"""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy import linalg
from scipy.optimize import elementwise

from regimes import _checks, display

Array = np.ndarray

REACH = 1 / 3
"""Largest df1 used, as a share of the number of samples; measured in docs/sharp_bits.md."""
_FILLED = 0.9
"""Largest df1 used, as a share of the rank of the Gram matrix."""
_BLOCK = 100
"""Samples whose pairs are deleted."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Resolvent:
    """df1 and unlearnt power of the population as functions of kappa, from one Gram matrix."""

    kappa: Float64[Array, " points"]
    """1/tr (K + delta)^-1, descending, in units of the population eigenvalues (those of K/N)."""
    df1: Float64[Array, " points"]
    """N - delta/kappa, ascending."""
    unlearnt: Float64[Array, " points"]
    """kappa y^T (K + delta)^-1 y, the noise included, summed over outputs."""
    trace: float
    """Mean of K(x, x)."""
    total: float
    """Mean of y^2, summed over outputs, the noise included."""
    samples: int
    """N."""
    rank: int
    """Number of eigenvalues of K above rounding."""
    prior: bool = False
    """Whether the target is the kernel's own prior, so that `unlearnt` is kappa df1."""
    covariance: Float64[Array, "values values"] | None = None
    """Of the logarithms of kappa, unlearnt, trace and total, at fixed df1, between one sample of N and another."""
    bias: Float64[Array, " values"] | None = None
    """Of the same logarithms: their expectation at N minus that of the population."""

    @property
    def exhausted(self) -> bool:
        """Whether `df1` reaches nearly all modes: the kernel has few features, and no tail."""
        return bool(self.df1[-1] >= 0.999 * _FILLED * self.rank)

    @property
    def logarithms(self) -> Float64[Array, " values"]:
        """The logarithms of kappa, unlearnt, trace and total, one after the other."""
        with np.errstate(divide="ignore"):
            return np.log(np.concatenate([self.kappa, self.unlearnt, [self.trace, self.total]]))

    def corrected(self) -> "Resolvent":
        """With `bias` taken off."""
        return self if self.bias is None else self._at(self.logarithms - self.bias)

    def draws(self, count: int, seed: int) -> list["Resolvent"]:
        """Resolvents as other samples of the same size would have given them: Gaussian in the logarithms.

        Raises:
            ValueError: one without covariance; a negative count or seed.
        """
        count, seed = _checks.count("count", count, low=0), _checks.count("seed", seed, low=0)
        if self.covariance is None or self.bias is None:
            raise ValueError("`uncertainty` was not asked for when this resolvent was read; there is nothing to draw.")
        values, vectors = linalg.eigh(self.covariance)
        # The symmetric root: unlike eigenvectors it does not jump where rounding differs.
        root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        # The size of the correction is uncertain too.
        noise = np.random.default_rng(seed).standard_normal((count, len(values) + 1))
        moved = noise[:, :-1] @ root + 0.25 * noise[:, -1:] * self.bias
        middle = self.logarithms - self.bias
        return [self._at(middle + row) for row in moved]

    def _at(self, logarithms: Array) -> "Resolvent":
        points = len(self.kappa)
        # Sampling noise must not make a decreasing function increase.
        kappa = np.minimum.accumulate(np.exp(logarithms[:points]))
        if np.any(np.diff(kappa) == 0):
            kappa = kappa * np.exp(-1e-9 * np.arange(points))
        unlearnt = kappa * self.df1 if self.prior else np.exp(logarithms[points : 2 * points])
        trace, total = np.exp(logarithms[-2:])
        return dataclasses.replace(
            self,
            kappa=kappa,
            unlearnt=unlearnt,
            trace=float(trace),
            total=float(trace if self.prior else total),
            covariance=None,
            bias=None,
        )


def resolvent(gram: Any, targets: Any = None, at: Any = None, *, uncertainty: bool = False, seed: int = 0) -> Resolvent:
    """df1 and unlearnt power against kappa, by the ridge that makes df1 equal to each of `at`.

    Args:
        gram: (N, N) Gram matrix.
        targets: (N,) or (N, outputs); None takes the kernel's own prior, for which the unlearnt power is
            kappa df1.
        at: values of df1, ascending, between 0 and N/2; default log-spaced from 1/4 to N/3 or nine tenths of the rank.
        uncertainty: whether to delete samples, for `covariance` and `bias`.
        seed: seed of the samples whose pairs are deleted.

    Raises:
        ValueError: a matrix that is not a Gram matrix, targets of another length or zero everywhere, `at` out of
            range or not ascending; with uncertainty fewer than five samples, or targets of only one or two.

    Valid when the samples are independent; where they are not, as with overlapping patches, the covariance is too
    small.
    """
    gram = _checks.gram_matrix("gram", gram)
    size = len(gram)
    y = None if targets is None else _checks.targets("targets", targets, size)
    seed = _checks.count("seed", seed, low=0)
    if y is not None and not y.any():
        raise ValueError("`targets` are zero everywhere: there is nothing to learn.")
    if y is not None and not 1e-150 < np.abs(y).max() < 1e150:
        raise ValueError(
            f"`targets` reach {np.abs(y).max():.1e}, whose square floating point does not hold; rescale them."
        )
    if uncertainty:
        _enough(size, y)
    values, vectors = (linalg.eigvalsh(gram), None) if y is None and not uncertainty else linalg.eigh(gram)
    scale = float(values[-1])
    if values[0] < -1e-8 * scale:
        raise ValueError(
            f"`gram` is not positive semi-definite: its smallest eigenvalue is {values[0] / scale:.1e} of its largest."
        )
    # Negative eigenvalues are rounding, and so are positive ones of their size, as of a kernel computed in float32.
    rank = int(np.count_nonzero(values > max(size * np.finfo(np.float64).eps * scale, -2 * values[0])))
    at = _places(at, size, rank)
    values = np.maximum(values, 0.0)
    ridge = _ridges(values, at)
    kappa = ridge / (size - at)
    trace = float(values.sum() / size)
    if y is None:
        found = Resolvent(kappa, at, kappa * at, trace, trace, size, rank, prior=True)
    else:
        unlearnt = kappa * (np.sum((vectors.T @ y) ** 2, axis=1) @ (1 / (values[:, None] + ridge)))
        found = Resolvent(kappa, at, unlearnt, trace, float(np.sum(y**2) / size), size, rank)
    if not uncertainty:
        return found
    # Logarithms have no units; squares of the resolvent of a kernel far from 1 would overflow.
    y = None if y is None else y / np.sqrt(found.total)
    covariance, bias = _deleted(gram / trace, y, values / trace, vectors, ridge / trace, seed)
    return dataclasses.replace(found, covariance=covariance, bias=bias)


def from_eigenvalues(eigenvalues: Any, samples: int, at: Any = None) -> Resolvent:
    """The resolvent of a Gram matrix of which only the eigenvalues are left, for the kernel's own prior.

    Args:
        eigenvalues: those of K/N, descending; the largest of them if not all, the others counting as zero.
        samples: N.
        at: as in `resolvent`.

    Raises:
        ValueError: more eigenvalues than samples, eigenvalues that are negative beyond rounding or not descending.

    How sure it is cannot be told: `covariance` needs the eigenvectors.
    """
    values = _checks.finite_array("eigenvalues", eigenvalues, ndim=1)
    samples = _checks.count("samples", samples, low=4)
    if len(values) > samples:
        raise ValueError(f"`eigenvalues` must be at most {samples}, one per sample; got {len(values)}.")
    if values[0] <= 0 or np.any(np.diff(values) > 0) or values[-1] < -1e-8 * values[0]:
        raise ValueError("`eigenvalues` must be positive and in descending order.")
    values = samples * np.maximum(values[::-1], 0.0)
    rank = int(np.count_nonzero(values > samples * np.finfo(np.float64).eps * values[-1]))
    at = _places(at, samples, rank)
    ridge = _ridges(values, at)
    kappa = ridge / (samples - at)
    trace = float(values.sum() / samples)
    return Resolvent(kappa, at, kappa * at, trace, trace, samples, rank, prior=True)


def _places(at: Any, size: int, rank: int) -> Array:
    """`at`, or its default, checked."""
    if at is None:
        at = np.geomspace(min(0.25, 0.1 * rank), min(REACH * size, _FILLED * rank), 160)
    at = _checks.finite_array("at", at, ndim=1)
    if at.min() <= 0 or at.max() > size / 2:
        raise ValueError(f"`at` must lie between 0 and half of {size} samples, got {at.min():g} to {at.max():g}.")
    if np.any(np.diff(at) <= 0):
        raise ValueError("`at` must ascend.")
    if rank <= at.max():
        raise ValueError(
            f"`gram` has rank {rank}: too low to resolve {at.max():.0f} modes from {size} samples. A kernel of few "
            "features is exhausted there; take fewer samples or a richer kernel."
        )
    return at


def _ridges(values: Array, at: Array) -> Array:
    """The ridge at which sum_i l_i/(l_i + ridge) is each of `at`, for the eigenvalues l of the Gram matrix."""

    def excess(log_ridge: Array, goal: Array) -> Array:
        return np.log(goal) - np.log(np.sum(values / (values + np.exp(log_ridge)[..., None]), axis=-1))

    # df1 <= trace/ridge from above; at this low ridge df1 of any matrix with more positive eigenvalues is larger.
    high = np.log(values.sum() / at) + 1e-9
    low = np.full(len(at), np.log(values[-1]) - 60.0)
    found = elementwise.find_root(excess, (low, high), args=(at,), tolerances={"xatol": 1e-13, "xrtol": 1e-14})
    return np.exp(found.x)


def _enough(size: int, y: Array | None) -> None:
    """Something is left, of samples and of targets, when a pair is deleted."""
    if size < 5:
        raise ValueError(f"`gram` must hold at least 5 samples to leave out pairs of them, got {size}.")
    if y is not None and np.count_nonzero(y.any(axis=1)) < 3:
        raise ValueError("`targets` are zero for all samples but one or two: they say nothing about other samples.")


def _deleted(
    gram: Array, y: Array | None, values: Array, vectors: Array, ridge: Array, seed: int
) -> tuple[Array, Array]:
    """Covariance and bias of the logarithms, from deleting every sample and many pairs.

    Kernel and targets are scaled to a mean of K(x, x) and of y^2 of 1.
    """
    size, points = len(gram), len(ridge)
    inverse = 1 / (values[:, None] + ridge)
    of_trace, of_square = inverse.sum(axis=0), (inverse**2).sum(axis=0)
    # Along the curve, per unit of the ridge: ln kappa, df1 and ln unlearnt.
    rise = ridge * of_square - of_trace
    squares = None if y is None else np.sum((vectors.T @ y) ** 2, axis=1)
    energy = np.ones(points) if squares is None else squares @ inverse
    bend = np.zeros(points) if squares is None else -(squares @ inverse**2)
    slope_kappa = of_square / of_trace / rise
    slope_unlearnt = slope_kappa + bend / energy / rise

    def at_fixed_df1(trace: Array, power: Array, fewer: int, where: slice = slice(None)) -> tuple[Array, Array]:
        """Changes of ln kappa and ln unlearnt where tr M and y^T M y change by these."""
        shift = -fewer - ridge[where] * trace  # of df1, to be undone along the curve
        kappa = -np.log1p(trace / of_trace[where])
        return (
            kappa - slope_kappa[where] * shift,
            kappa + np.log1p(power / energy[where]) - slope_unlearnt[where] * shift,
        )

    diagonal, squared = vectors**2 @ inverse, vectors**2 @ inverse**2
    power = np.zeros((size, points))
    if y is not None:
        coefficients = vectors.T @ y
        for column in coefficients.T:
            power -= (vectors @ (column[:, None] * inverse)) ** 2
        power /= diagonal
    one = np.concatenate([*at_fixed_df1(-squared / diagonal, power, 1), np.zeros((size, 2))], axis=1)
    one[:, -2] = np.log1p((1 - np.diagonal(gram)) / (size - 1))
    one[:, -1] = one[:, -2] if y is None else np.log1p(np.maximum((1 - np.sum(y**2, axis=1)) / (size - 1), -1 + 1e-6))
    rows = np.random.default_rng(seed).permutation(size)[: min(_BLOCK, size)]
    upper = np.triu_indices(len(rows), 1)
    two = np.zeros((len(upper[0]), 2 * points + 2))
    chosen = vectors[rows]
    for index in range(points):
        weighted = chosen * inverse[:, index]
        m, m2 = weighted @ chosen.T, weighted @ weighted.T
        a, b, c = m[upper[0], upper[0]], m[upper[1], upper[1]], m[upper]
        determinant = a * b - c**2
        trace = -(b * m2[upper[0], upper[0]] + a * m2[upper[1], upper[1]] - 2 * c * m2[upper]) / determinant
        power_of_two = np.zeros(len(trace))
        if y is not None:
            p = weighted @ coefficients
            cross, own = p @ p.T, np.sum(p**2, axis=1)
            power_of_two = -(b * own[upper[0]] + a * own[upper[1]] - 2 * c * cross[upper]) / determinant
        changed = at_fixed_df1(trace, power_of_two, 2, slice(index, index + 1))
        for offset, change in zip((0, points), changed, strict=True):
            column = one[rows, offset + index]
            two[:, offset + index] = change - column[upper[0]] - column[upper[1]]
    first = one - one.mean(axis=0)
    second = two - two.mean(axis=0)
    covariance = _once(first.T @ first * (size - 1) / size, second.T @ second * (size * (size - 1) / 2 / len(second)))
    # The sample is biased by N^-2, half of what a jackknife for 1/N says: measured in docs/sharp_bits.md.
    return covariance, 0.5 * (size - 1) * one.mean(axis=0)


def _once(single: Array, pairs: Array) -> Array:
    """The covariance that counts every part once, from the squares of first and of second differences.

    A part that belongs to m samples together enters the first m times and the second m (m - 1)/2 times. The
    difference first - second is right for m = 1 and 2, also mixed; first/(1 + 2 second/first) for any one m. In each
    direction the larger of the two is taken, which is positive.
    """
    values, vectors = linalg.eigh(single)
    kept = values > 1e-12 * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    white = vectors / np.sqrt(values)
    share, axes = linalg.eigh(white.T @ pairs @ white)
    share = np.maximum(share, 0.0)
    root = (vectors * np.sqrt(values)) @ axes * np.sqrt(np.maximum(1 - share, 1 / (1 + 2 * share)))
    return root @ root.T
