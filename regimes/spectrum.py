"""The kernel spectrum: eigenvalues, their multiplicities, and the power of the target in each level.

A kernel K on inputs of a given distribution has eigenvalues lambda_i and orthonormal
eigenfunctions e_i; a target f = sum_i v_i e_i has power v_i^2 in mode i. Equal (or nearly equal)
eigenvalues form one *level* with a multiplicity, so a sphere in ten dimensions is some forty
numbers instead of 10^10.
"""

import dataclasses
import functools
import math

import numpy as np
from jaxtyping import Float64

from regimes import _checks, display
from regimes.results import Caution

Array = np.ndarray
_BIN, _NODES = 0.5, 6
"""Width of a bin in log lambda and Gauss nodes in it, see `Spectrum.compressed`."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of a kernel by level, descending, with the power of a target.

    Raises:
        ValueError: eigenvalues that are not positive or not descending, negative power,
            multiplicity or tail, or lengths that differ.
    """

    eigenvalues: Float64[Array, " levels"]
    """lambda of each level, positive and descending (eigenvalues of K/n for n samples, not of K)."""
    power: Float64[Array, " levels"]
    """Squared target coefficients v^2, summed over the modes of the level (and over outputs)."""
    multiplicity: Float64[Array, " levels"]
    """Number of modes of the level; need not be whole for an estimated spectrum."""
    tail: float = 0.0
    """Sum of the eigenvalues too small to be listed. It acts as an implicit ridge: it adds tail/gamma to df1."""
    tail_power: float = 0.0
    """Target power in those modes. It is never learnt and acts as noise."""
    replicates: tuple["Spectrum", ...] = ()
    """Spectra as other samples of the same size would have given them: what intervals are made of."""
    resolved: float = math.inf
    """Largest n or k at which a finite sample determines this spectrum; beyond it is extrapolation."""
    caution: Caution | None = None
    """Set where Gaussian universality is known to fail on this kernel and domain: why, and by what factor."""

    def __post_init__(self) -> None:
        for name in ("eigenvalues", "power", "multiplicity"):
            object.__setattr__(self, name, _checks.finite_array(name, getattr(self, name), ndim=1))
        if len({len(self.eigenvalues), len(self.power), len(self.multiplicity)}) != 1:
            raise ValueError(
                "`eigenvalues`, `power` and `multiplicity` must be equally long, got "
                f"{len(self.eigenvalues)}, {len(self.power)} and {len(self.multiplicity)}."
            )
        for name in ("tail", "tail_power"):
            object.__setattr__(self, name, _checks.number(name, getattr(self, name), low=0))
        if self.eigenvalues[-1] <= 0 or np.any(np.diff(self.eigenvalues) > 0):
            raise ValueError("`eigenvalues` must be positive and in descending order.")
        if min(self.power.min(), self.multiplicity.min()) < 0:
            raise ValueError("`power` and `multiplicity` must not be negative.")
        if not self.multiplicity.any():
            raise ValueError("`multiplicity` must not be zero for all levels: there would be no modes.")

    @property
    def modes(self) -> float:
        """Number of modes; infinite when there is a tail."""
        return math.inf if self.tail > 0 else float(self.multiplicity.sum())

    @property
    def trace(self) -> float:
        """Mean of K(x, x): the sum of all eigenvalues, the tail included."""
        return float(self.multiplicity @ self.eigenvalues) + self.tail

    @property
    def total_power(self) -> float:
        """Mean square of the target: what the zero predictor scores without noise."""
        return float(self.power.sum()) + self.tail_power

    @property
    def is_prior(self) -> bool:
        """Whether the target is a draw from the kernel as a prior: v_i^2 = lambda_i in every mode."""
        return bool(
            self.tail_power == self.tail
            and np.allclose(self.power, self.multiplicity * self.eigenvalues, rtol=1e-12, atol=0)
        )

    def with_prior(self) -> "Spectrum":
        """The same kernel with the power of a target drawn from it as a prior: v_i^2 = lambda_i.

        This is the target for which data and width are exactly dual.
        """
        return dataclasses.replace(
            self,
            power=self.multiplicity * self.eigenvalues,
            tail_power=self.tail,
            replicates=tuple(replicate.with_prior() for replicate in self.replicates),
        )

    @functools.cached_property
    def compressed(self) -> "Spectrum":
        """The same spectrum in a few hundred levels, for the functions of gamma that the theory uses.

        All of them are sums of lambda/(lambda+gamma) and its square, functions of log lambda with poles at a distance
        pi - |arg gamma| from the real axis. Gauss quadrature with 6 nodes in bins of width 0.5 of log lambda, with the
        modes (and apart from them the power) as weight, replaces each such sum with an error, relative to the sum of
        absolute values, of rounding (about 1e-13) up to |arg gamma| = pi/4, below 1e-12 up to pi/2 and below 1e-8 up to
        3 pi/4. Closer to the negative axis it fails: nodes next to a pole do not stand for the levels around them.
        A spectrum that would not get shorter is returned as it is.
        """
        x = np.log(self.eigenvalues)
        bins = np.floor((x[0] - x) / _BIN).astype(np.int64)
        occupied = np.flatnonzero(np.diff(bins, prepend=-1))
        if 2 * _NODES * len(occupied) >= len(x):
            return self
        nodes, modes = _gauss(x, self.multiplicity, occupied)
        if self.is_prior:
            power = modes * nodes
        else:
            apart, weights = _gauss(x, self.power, occupied)
            power = np.concatenate([np.zeros(len(nodes)), weights])
            modes = np.concatenate([modes, np.zeros(len(apart))])
            nodes = np.concatenate([nodes, apart])
        order = np.argsort(-nodes, kind="stable")
        order = order[(modes + power)[order] > 0]
        return dataclasses.replace(
            self, eigenvalues=nodes[order], power=power[order], multiplicity=modes[order], replicates=()
        )

    def __str__(self) -> str:
        reach = f", resolved up to {self.resolved:g}" if math.isfinite(self.resolved) else ""
        return (
            f"spectrum of {len(self.eigenvalues)} levels, eigenvalues {self.eigenvalues[0]:.3g} to "
            f"{self.eigenvalues[-1]:.3g}, trace {self.trace:.4g} ({self.tail / self.trace:.1%} unresolved), "
            f"target power {self.total_power:.4g}{reach}"
        )


def _gauss(x: Array, weights: Array, starts: Array) -> tuple[Array, Array]:
    """Gauss nodes exp(x) and weights of the discrete measure `weights` at `x`, in each bin; all bins at once.

    Stieltjes' recurrence for the orthogonal polynomials of each bin, then Golub and Welsch. A bin with fewer
    points than nodes gets its own points back: the recurrence ends there and the other nodes weigh nothing.
    """
    counts = np.diff(starts, append=len(x))
    centre = (x[starts] + x[starts + counts - 1]) / 2
    half = np.maximum((x[starts] - x[starts + counts - 1]) / 2, 1e-300)
    t = (x - np.repeat(centre, counts)) / np.repeat(half, counts)
    total = np.add.reduceat(weights, starts)
    jacobi = np.zeros((len(starts), _NODES, _NODES))
    previous, current = np.zeros_like(t), np.ones_like(t)
    norm, ratio, alive = total, np.zeros(len(starts)), total > 0
    for step in range(_NODES):
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(alive, np.add.reduceat(weights * t * current**2, starts) / norm, 0.0)
            following = (t - np.repeat(mean, counts)) * current - np.repeat(ratio, counts) * previous
            after = np.add.reduceat(weights * following**2, starts)
            ratio = np.where(alive, after / norm, 0.0)
        alive = alive & (ratio > 1e-20)
        ratio = np.where(alive, ratio, 0.0)
        jacobi[:, step, step] = mean
        if step + 1 < _NODES:
            jacobi[:, step, step + 1] = jacobi[:, step + 1, step] = np.sqrt(ratio)
        previous, current, norm = current, following, np.where(alive, after, 1.0)
    nodes, vectors = np.linalg.eigh(jacobi)
    share = vectors[:, 0, :] ** 2
    inside = np.clip(nodes, -1, 1) * half[:, None] + centre[:, None]
    return np.exp(inside).ravel(), (total[:, None] * np.where(share > 1e-30, share, 0.0)).ravel()
