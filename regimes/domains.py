"""Eigenvalues of kernels on spheres, cubes and tori as plain arrays: nodes, polynomials, sums over modes.

Numerics without opinions: `regimes.spectra` makes spectra of them.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import fft, special

from regimes import _checks
from regimes.profiles import Periodic, Profile

Array = np.ndarray
_GREGORY = (
    np.array([2558783, -1908311, 2696283, -2899075, 2134045, -1012293, 278921, -33953], dtype=np.float64) / 3628800
)
"""Gregory's coefficients to eighth order: sum_{i >= 0} f(i) - int_0^inf f = sum_j c_j f(j)."""
_LARGEST = 4_000_000
"""Products of coefficients or grid points that a torus may take: 32 MB."""


def angles(degrees: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on (0, pi) for functions that oscillate up to cos(degrees angle).

    Panels span at most 10 radians of the fastest oscillation and shrink threefold towards both ends, so that any
    power of the angle there, whole or not, is integrated to rounding.
    """
    middle = np.linspace(0, np.pi, 4 + math.ceil(degrees * np.pi / 10))
    first = middle[1] * 3.0 ** -np.arange(40, 0, -1)
    edges = np.concatenate([[0.0], first, middle[1:-1], np.pi - first[::-1], [np.pi]])
    nodes, gauss = np.polynomial.legendre.leggauss(16)
    half = np.diff(edges)[:, None] / 2
    return ((edges[:-1, None] + half) + half * nodes).ravel(), (half * gauss).ravel()


def latitudes(degrees: int, dim: int) -> tuple[Array, Array, Array]:
    """Angles from a pole of S^dim, their cosines and weights of sum 1 for the mean over the sphere.

    sin(angle)^((dim-1)/2) P_l oscillates as cos(sqrt(l (l+dim-1)) angle) for |cos| < sqrt(l (l+dim-1))/(l+(dim-1)/2)
    and dies out beyond; the other factor sin(angle)^((dim-1)/2) is a bell of width 1/sqrt(dim).
    """
    frequency = math.sqrt(degrees * (degrees + dim - 1))
    bell = 10 / math.sqrt(dim)
    reach = math.asin(min(frequency / (degrees + (dim - 1) / 2), 1.0)) + bell
    if dim < 30:  # the bell is broader than the panels
        angle, weights = angles(degrees)
        t = np.cos(angle)
    elif reach >= np.pi / 2:
        angle, weights = angles(math.ceil(frequency + 10 * math.sqrt(dim)))
        t = np.cos(angle)
    else:
        edges = np.linspace(-reach, reach, 4 + math.ceil((frequency + 10 * math.sqrt(dim)) * 2 * reach / 10))
        nodes, gauss = np.polynomial.legendre.leggauss(16)
        half = np.diff(edges)[:, None] / 2
        north, weights = ((edges[:-1, None] + half) + half * nodes).ravel(), (half * gauss).ravel()
        angle, t = np.pi / 2 - north, np.sin(north)
    if dim < 30:
        weights = weights * np.sin(angle) ** (dim - 1)
    else:  # the sine has too few digits near the equator for a high power; at the poles the logarithm is -inf
        with np.errstate(divide="ignore"):
            weights = weights * np.exp((dim - 1) / 2 * np.log1p(-(t**2)))
    return angle, t, weights / weights.sum()


def gegenbauer(t: Array, dim: int, degrees: int) -> Iterator[Array]:
    """Gegenbauer polynomials of degree 0 to `degrees` at t, for the sphere S^dim, scaled to 1 at t = 1."""
    previous, current = np.zeros_like(t), np.ones_like(t)
    for degree in range(degrees + 1):
        yield current
        # Three-term recurrence, in a form that also holds on the circle, where it is Chebyshev's.
        step = ((2 * degree + dim - 1) * t * current - degree * previous) / (degree + dim - 1) if degree else t
        previous, current = current, step


def harmonics(dim: int, degree: int) -> float:
    """Number of spherical harmonics of a degree on S^dim."""
    if degree == 0:
        return 1.0
    if dim == 1:
        return 2.0
    return (2 * degree + dim - 1) / (dim - 1) * float(special.comb(degree + dim - 2, degree))


def harmonics_up_to(dim: int, degrees: int) -> Array:
    """Those numbers for degree 0 to `degrees`, as far as they are below 1e200: no eigenvalue is seen beyond."""
    numbers = itertools.takewhile(
        lambda count: count < 1e200, (harmonics(dim, degree) for degree in range(degrees + 1))
    )
    return np.array(list(numbers))


def krawtchouk(dim: int) -> Iterator[Array]:
    """Krawtchouk polynomials k_l(j) of all degrees l at j = 0 ... dim, scaled to k_l(0) = 1."""
    flips = np.arange(dim + 1.0)
    lower = [np.ones(dim + 1), 1 - 2 * flips / dim]
    for degree in range(1, dim // 2):
        lower.append(((dim - 2 * flips) * lower[-1] - degree * lower[-2]) / (dim - degree))
    for degree in range(dim + 1):  # beyond the middle, where the recurrence is unstable: (-1)^j k_(dim-l)(j)
        yield lower[degree] if 2 * degree <= max(dim, 2) else (1 - 2 * (flips % 2)) * lower[dim - degree]


def fourier(profile: Any, count: int) -> tuple[Array, float]:
    """c_0 ... c_count of a one-dimensional profile and the sum of all beyond, both signs of k."""
    if isinstance(profile, Periodic):
        values = profile.coefficient(np.arange(count + 1.0))
        last = max(int(np.flatnonzero(values > 1e-300)[-1]), 1)  # an analytic kernel underflows
        return values[: last + 1], profile.beyond(last)
    if not callable(profile):
        values = _checks.finite_array("profile", profile, ndim=1)
        refuse_negative("the circle", values, 0.0)
        if not values.any():
            raise ValueError("`profile` has no positive eigenvalue.")
        return values, 0.0
    function = profile.of_angle if isinstance(profile, Profile) else profile
    lags, weights = angles(count)
    weighted = _checks.finite_array("profile(x)", function(lags), ndim=1) * weights / np.pi
    values = np.concatenate([np.cos(k[:, None] * lags) @ weighted for k in np.array_split(np.arange(count + 1.0), 32)])
    trace = float(_checks.finite_array("profile(0)", function(np.zeros(1)), ndim=1)[0])
    refuse_negative("the circle", values, 1e-13 * trace)
    values[values < 1e-15 * trace] = 0.0
    return values, rest(trace, values[0] + 2 * values[1:].sum())


def circle_power(target: Callable[[Array], Array], count: int) -> tuple[Array, float]:
    """Mean square of a function on the circle at k = 0 ... count, and what is left of it."""
    size = max(8 * count, 4096)
    values = _checks.finite_array("target(x)", target(2 * np.pi * np.arange(size) / size), ndim=1)
    squares = np.abs(fft.rfft(values)[: count + 1] / size) ** 2
    squares[1:] *= 2
    return squares, float(np.mean(values**2) - squares.sum())


def products(one: Array, dim: int, least: float) -> tuple[Array, Array]:
    """Products of `dim` of the eigenvalues c_k, k of both signs, down to `least`, equal ones merged."""
    order = np.argsort(-one, kind="stable")[: int((one > 0).sum())]
    factors, pairs = one[order], np.where(order > 0, 2.0, 1.0)
    values, multiplicity = np.ones(1), np.ones(1)
    for left in range(dim - 1, -1, -1):
        enough = least * (1 - 1e-9) / (values * factors[0] ** left)
        counts = np.searchsorted(-factors, -enough, side="right")
        if counts.sum() > _LARGEST:
            raise ValueError(f"`frequencies` are too many for `dim` {dim}: over {_LARGEST} products; choose fewer.")
        column = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        values, multiplicity = (
            np.repeat(values, counts) * factors[column],
            np.repeat(multiplicity, counts) * pairs[column],
        )
        order = np.argsort(-values, kind="stable")
        values, multiplicity = merged(values[order], multiplicity[order])
    return values, multiplicity


def grid(dim: int, size: int) -> Array:
    """(size^dim, dim) equidistant points of the torus."""
    if size**dim > _LARGEST:
        raise ValueError(f"`frequencies` are too many: the transform has {size**dim} points, more than {_LARGEST}.")
    axis = 2 * np.pi * np.arange(size) / size
    return np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)


def ranks(modes: float, width: float) -> tuple[Array, Array]:
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


def rank_power(before: Array, last: Array, beta: float) -> Array:
    """Sum of i^-(1+beta) over before < i <= last."""
    exponent = 1 + beta
    beyond = np.where(np.isinf(last), 0.0, special.zeta(exponent, np.where(np.isinf(last), 1.0, last + 1)))
    # Where few of many ranks are summed, Hurwitz' zeta functions cancel; the midpoint rule does not.
    count, middle = last - before, (before + last + 1) / 2
    few = count < 1e-3 * before
    with np.errstate(invalid="ignore"):
        curvature = exponent * (exponent + 1) * (count**2 - 1) / (24 * middle**2)
        return np.where(few, count * middle**-exponent * (1 + curvature), special.zeta(exponent, before + 1) - beyond)


def merged(values: Array, *weights: Array) -> tuple[Array, ...]:
    """Descending values that are equal to nine digits as one, the weights summed."""
    if not np.any(values[1:] > values[:-1] * (1 - 1e-9)):
        return values, *weights
    starts = np.concatenate([[0], 1 + np.flatnonzero(values[1:] <= values[:-1] * (1 - 1e-9))])
    mean = np.add.reduceat(values * weights[0], starts) / np.add.reduceat(weights[0], starts)
    return mean, *(np.add.reduceat(weight, starts) for weight in weights)


def rest(trace: float, listed: float) -> float:
    """What is left of the trace, to rounding."""
    return trace - float(listed) if trace - listed > 1e-12 * trace else 0.0


def refuse_negative(where: str, values: Array, rounding: Any) -> None:
    """Raise a ValueError if an eigenvalue lies below zero by more than its `rounding`."""
    worst = int(np.argmin(values + rounding))
    if values[worst] < -np.broadcast_to(rounding, values.shape)[worst]:
        raise ValueError(
            f"`profile` is not positive definite on {where}: degree {worst} has eigenvalue {values[worst]:.2e}."
        )
