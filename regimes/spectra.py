"""Spectra known in closed form: listed, power laws, and kernels on spheres."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from regimes import _checks
from regimes.spectrum import Spectrum

Array = np.ndarray
_GREGORY = (
    np.array([2558783, -1908311, 2696283, -2899075, 2134045, -1012293, 278921, -33953], dtype=np.float64) / 3628800
)
"""Gregory's coefficients to eighth order: sum_{i >= 0} f(i) - int_0^inf f = sum_j c_j f(j)."""


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


def power_law(alpha: float, beta: float | None = None, *, modes: float = 10_000, tail: bool = True) -> Spectrum:
    """lambda_i = i^-(1+alpha) and v_i^2 = i^-(1+beta) for i = 1 ... modes.

    Up to ten thousand modes are listed one by one. Of more, the first and the last few are, with Gregory's end
    weights, and those between are levels of a Gauss-Legendre rule in log i with real-valued multiplicities:
    sums over modes agree to about 1e-13 and 10^12 modes are some four hundred levels.

    Args:
        alpha: decay of the kernel spectrum, positive (Bahri et al.'s alpha_K; capacity).
        beta: decay of the target power, positive; None means beta = alpha, the kernel's own prior.
        modes: how many modes there are, a whole number.
        tail: add the modes beyond, to infinity, as an implicit ridge (exact sums by the Hurwitz zeta function);
            without it the model has this many modes and no more, and the loss plunges as n approaches them.

    Valid when n and k stay well below `modes`: up to a tenth the tail costs less than 1 % in gamma.

    Raises:
        ValueError: alpha or beta not positive, or fewer than one mode.
    """
    alpha = _checks.number("alpha", alpha, low=0, strict=True)
    beta = alpha if beta is None else _checks.number("beta", beta, low=0, strict=True)
    modes = _checks.number("modes", modes, low=1)
    if modes != math.floor(modes):
        raise ValueError(f"`modes` must be a whole number, got {modes:g}.")
    rank, multiplicity = _ranks(modes, 1.2 / (1 + alpha))
    beyond = [float(special.zeta(1 + exponent, modes + 1)) if tail else 0.0 for exponent in (alpha, beta)]
    return Spectrum(
        rank ** -(1 + alpha),
        multiplicity * rank ** -(1 + beta),
        multiplicity,
        tail=beyond[0],
        tail_power=beyond[1],
        resolved=modes / 10,
    )


def _ranks(modes: float, width: float) -> tuple[Array, Array]:
    """Nodes and weights of the sum over i = 1 ... modes, for functions smooth over `width` in log i."""
    if modes <= 10_000:
        return np.arange(1.0, modes + 1), np.ones(int(modes))
    # The sum from `first` to `last` is the integral plus Gregory's end corrections; those are taken from the modes
    # outside the integral, which are listed, so that all weights stay positive.
    first, order = 200, len(_GREGORY)
    last = modes - order + 1
    head, tail = np.arange(1.0, first + 1), last + np.arange(order)
    weights = np.concatenate([np.ones(first - order), 1 - _GREGORY[::-1]])
    cuts = np.linspace(math.log(first), math.log(last), 2 + int(math.log(last / first) / width))
    nodes, gauss = np.polynomial.legendre.leggauss(8)
    half = np.diff(cuts)[:, None] / 2
    middle = np.exp((cuts[:-1, None] + half) + half * nodes).ravel()
    between = (half * gauss).ravel() * middle
    return np.concatenate([head, middle, tail]), np.concatenate([weights, between, 1 - _GREGORY])


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
