"""Kernel spectra: eigenvalues, their multiplicities, and the power of the target in each level.

A kernel K on inputs of a given distribution has eigenvalues lambda_i and orthonormal
eigenfunctions e_i; a target f = sum_i v_i e_i has power v_i^2 in mode i. Equal (or nearly equal)
eigenvalues form one *level* with a multiplicity, so a sphere in ten dimensions is some forty
numbers instead of 10^10.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy import special

from regimes import _checks

Array = np.ndarray


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
    """The same spectrum estimated from half-samples, in disjoint pairs: what intervals are made of."""
    resolved: float = math.inf
    """Largest n or k at which a finite sample determines this spectrum; beyond it is extrapolation."""

    def __post_init__(self) -> None:
        for name in ("eigenvalues", "power", "multiplicity"):
            object.__setattr__(self, name, _checks.finite_array(name, getattr(self, name), ndim=1))
        if len({len(self.eigenvalues), len(self.power), len(self.multiplicity)}) != 1:
            raise ValueError(
                "`eigenvalues`, `power` and `multiplicity` must be equally long, got "
                f"{len(self.eigenvalues)}, {len(self.power)} and {len(self.multiplicity)}."
            )
        if self.eigenvalues[-1] <= 0 or np.any(np.diff(self.eigenvalues) > 0):
            raise ValueError("`eigenvalues` must be positive and in descending order.")
        if min(self.power.min(), self.multiplicity.min(), self.tail, self.tail_power) < 0:
            raise ValueError("`power`, `multiplicity`, `tail` and `tail_power` must not be negative.")

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
        return self.tail_power == self.tail and bool(
            np.allclose(self.power, self.multiplicity * self.eigenvalues, rtol=1e-12, atol=0)
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

    def __str__(self) -> str:
        reach = f", resolved up to {self.resolved:g}" if math.isfinite(self.resolved) else ""
        return (
            f"spectrum of {len(self.eigenvalues)} levels, eigenvalues {self.eigenvalues[0]:.3g} to "
            f"{self.eigenvalues[-1]:.3g}, trace {self.trace:.4g} ({self.tail / self.trace:.1%} unresolved), "
            f"target power {self.total_power:.4g}{reach}"
        )


def listed(eigenvalues: Any, power: Any = None) -> Spectrum:
    """A spectrum from a bare list of eigenvalues, in any order, and optionally the target power of each.

    Args:
        eigenvalues: (modes,) eigenvalues of the kernel operator (of K/n for a Gram matrix K of n samples).
            Zeros are dropped, their power is kept as `tail_power`.
        power: (modes,) squared target coefficients; None takes the kernel's own prior, v_i^2 = lambda_i.

    Raises:
        ValueError: NaN, negative values, no positive eigenvalue, or lengths that differ.
    """
    values = _checks.finite_array("eigenvalues", eigenvalues, ndim=1)
    squares = values.copy() if power is None else _checks.finite_array("power", power, ndim=1)
    if squares.shape != values.shape:
        raise ValueError(f"`power` must be as long as `eigenvalues`: expected {len(values)}, got {len(squares)}.")
    if values.min() < 0:
        raise ValueError(f"`eigenvalues` must not be negative, got {values.min():.3g}; clip rounding errors to 0.")
    kept = values > 0
    if not kept.any():
        raise ValueError("`eigenvalues` must hold at least one positive value.")
    order = np.argsort(-values[kept], kind="stable")
    return Spectrum(
        values[kept][order], squares[kept][order], np.ones(int(kept.sum())), tail_power=float(squares[~kept].sum())
    )


def power_law(alpha: float, beta: float | None = None, *, modes: int = 10_000, tail: bool = True) -> Spectrum:
    """lambda_i = i^-(1+alpha) and v_i^2 = i^-(1+beta) for i = 1 ... modes.

    Args:
        alpha: decay of the kernel spectrum, positive (Bahri et al.'s alpha_K; capacity).
        beta: decay of the target power, positive; None means beta = alpha, the kernel's own prior.
        modes: how many modes are listed.
        tail: add the modes beyond, to infinity, as an implicit ridge (exact sums by the Hurwitz zeta function);
            without it the model has this many modes and no more, and the loss plunges as n approaches them.

    Valid when n and k stay well below `modes`: up to a tenth the tail costs less than 1 % in gamma.

    Raises:
        ValueError: alpha or beta not positive, or fewer than one mode.
    """
    alpha = _checks.number("alpha", alpha, low=0, strict=True)
    beta = alpha if beta is None else _checks.number("beta", beta, low=0, strict=True)
    rank = np.arange(1.0, _checks.count("modes", modes) + 1)
    beyond = [float(special.zeta(1 + exponent, modes + 1)) if tail else 0.0 for exponent in (alpha, beta)]
    return Spectrum(
        rank ** -(1 + alpha),
        rank ** -(1 + beta),
        np.ones(len(rank)),
        tail=beyond[0],
        tail_power=beyond[1],
        resolved=modes / 10,
    )


def sphere(profile: Callable[[Array], Array], dim: int, *, degrees: int = 200) -> Spectrum:
    """Spectrum of a dot-product kernel K(x, x') = profile(x.x') for inputs uniform on the unit sphere S^dim.

    Funk-Hecke: the harmonics of degree l share the eigenvalue

        mu_l = int profile(t) P_l(t) (1-t^2)^((dim-2)/2) dt / int (1-t^2)^((dim-2)/2) dt,

    with P_l the Gegenbauer polynomial scaled to P_l(1) = 1, and there are
    (2l+dim-1)/(dim-1) C(l+dim-2, l) of them (2 on the circle). The integral is taken over the angle by
    Gauss-Legendre quadrature, in which arc-cosine, Laplace and Matern kernels are smooth. What the
    degrees beyond leave of the trace profile(1) becomes `Spectrum.tail`, and `resolved` is df1 at ten times
    the last eigenvalue listed. Power is the kernel's own prior.

    Args:
        profile: the kernel as a function of the cosine t, vectorised over arrays in [-1, 1].
        dim: dimension of the sphere itself (2 is the sphere in ordinary space).
        degrees: highest degree listed.

    Raises:
        ValueError: dim < 1, degrees < 1, a profile that returns NaN or is not positive definite.

    Source: Bietti and Bach 2021; Simon et al. 2023; theory of dot-product kernels.
    """
    dim = _checks.count("dim", dim)
    degrees = _checks.count("degrees", degrees)
    nodes, weights = np.polynomial.legendre.leggauss(2 * degrees + 400)
    angle = (nodes + 1) * np.pi / 2
    weights = weights * np.sin(angle) ** (dim - 1)
    weights /= weights.sum()
    t = np.cos(angle)
    values = _checks.finite_array("profile(t)", profile(t), ndim=1) * weights
    trace = float(_checks.finite_array("profile(1)", profile(np.ones(1)))[0])
    eigenvalues, multiplicity = np.empty(degrees + 1), np.empty(degrees + 1)
    previous, current = np.zeros_like(t), np.ones_like(t)
    for degree in range(degrees + 1):
        eigenvalues[degree] = values @ current
        multiplicity[degree] = _harmonics(dim, degree)
        # Three-term recurrence, in a form that also holds on the circle, where it is Chebyshev's.
        step = ((2 * degree + dim - 1) * t * current - degree * previous) / (degree + dim - 1) if degree else t
        previous, current = current, step
    rounding = 1e-14 * trace
    if eigenvalues.min() < -100 * rounding:
        worst = int(eigenvalues.argmin())
        raise ValueError(
            f"`profile` is not positive definite on S^{dim}: degree {worst} has eigenvalue {eigenvalues[worst]:.2e}."
        )
    kept = eigenvalues > rounding
    order = np.argsort(-eigenvalues[kept], kind="stable")
    levels, modes = eigenvalues[kept][order], multiplicity[kept][order]
    tail = trace - float(levels @ modes)
    tail = tail if tail > 1e-12 * trace else 0.0
    # The tail is an implicit ridge as long as gamma is well above its eigenvalues: df1 where it is ten times the last.
    gamma = 10 * levels[-1]
    resolved = float((levels / (levels + gamma)) @ modes + tail / gamma)
    return Spectrum(levels, levels * modes, modes, tail=tail, tail_power=tail, resolved=resolved)


def _harmonics(dim: int, degree: int) -> float:
    """Number of spherical harmonics of a degree on S^dim."""
    if degree == 0:
        return 1.0
    if dim == 1:
        return 2.0
    return (2 * degree + dim - 1) / (dim - 1) * float(special.comb(degree + dim - 2, degree))
