"""Spectra known in closed form: listed, power laws, and kernels on spheres, tori, cubes and the line.

What a constructor does not list of the trace K(x, x) is `Spectrum.tail`: it acts as an implicit ridge. Analytic
constructors take `target`, the squared coefficients of the target:

- None: the kernel's own prior, v_i^2 = lambda_i in every mode, `tail` included;
- a number beta: i^-(1+beta) in the mode of rank i, modes in order of descending eigenvalue and modes without an
  eigenvalue not counted, summed over each level exactly; what is beyond the listed modes is `tail_power`;
- a function on the domain: its mean square in each level, and in `tail_power` what it has outside of them.

Where Gaussian universality is known to fail, `Spectrum.caution` says so.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from scipy import fft, special

from regimes import _checks, domains, profiles
from regimes.profiles import Periodic, Profile
from regimes.results import Caution
from regimes.spectrum import Spectrum

Array = np.ndarray
_HIGH = 8
"""Dimension from which on no kernel gets a caution."""
_RATIOS = {
    (1, 0.25): (1.05, 1.08),
    (1, 0.5): (4 / 3, 4 / 3),  # exact for large n: Brownian motion, Ornstein-Uhlenbeck
    (1, 1.0): (2.1, 2.5),
    (1, 1.5): (2.3, 5.2),  # grows with n: 2.3 (Bernoulli) to 2.9 (NNGP) at n = 20
    (2, 0.25): (1.01, 1.02),
    (2, 0.5): (1.04, 1.1),
    (2, 1.0): (1.18, 1.24),
    (2, 1.5): (1.36, 1.45),
    (2, 2.5): (1.8, 1.95),
    (3, 0.25): (1.0, 1.02),
    (3, 0.5): (1.01, 1.05),
    (3, 1.0): (1.05, 1.1),
    (3, 1.5): (1.1, 1.18),
    (3, 2.5): (1.17, 1.3),
    (4, 2.5): (1.05, 1.12),
    (5, 2.5): (1.02, 1.08),
}
"""(dim, smoothness) -> range of (true loss)/(predicted loss) without noise and ridge, target drawn from the kernel, n
from 20 to 1200. Measured on spheres by Monte Carlo from Cholesky pivots, whose mean is the true loss: 8 to 12 draws of
1200 points, on the circle also 3000 draws of 120, of Laplace, Matern, relu NTK and NNGP, and step networks.
tests/test_spectra.py::test_caution_factors measures some of them again."""


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
    modes = _whole("modes", modes)
    rank, multiplicity = domains.ranks(modes, 1.2 / (1 + alpha))
    beyond = [float(special.zeta(1 + exponent, modes + 1)) if tail else 0.0 for exponent in (alpha, beta)]
    return _descending(
        rank ** -(1 + alpha), multiplicity * rank ** -(1 + beta), multiplicity, beyond[0], beyond[1], None
    )


def white(modes: float, power: float | None = None, *, eigenvalue: float = 1.0) -> Spectrum:
    """One level: `modes` modes of the same eigenvalue, as in linear regression on isotropic Gaussian inputs.

    Args:
        modes: number of modes, positive, not necessarily whole.
        power: squared norm of the target, not negative; None for the kernel's own prior, modes times eigenvalue.
        eigenvalue: the eigenvalue.

    Raises:
        ValueError: modes or eigenvalue not positive, negative power.
    """
    modes = _checks.number("modes", modes, low=0, strict=True)
    value = _checks.number("eigenvalue", eigenvalue, low=0, strict=True)
    total = modes * value if power is None else _checks.number("power", power, low=0)
    return Spectrum(np.array([value]), np.array([total]), np.array([modes]))


def sphere(profile: Callable[[Array], Array], dim: int, *, degrees: int = 200, target: Any = None) -> Spectrum:
    """Spectrum of a dot-product kernel K(x, x') = profile(x.x') for inputs uniform on the unit sphere S^dim.

    Funk-Hecke: the harmonics of degree l share the eigenvalue

        mu_l = int profile(t) P_l(t) (1-t^2)^((dim-2)/2) dt / int (1-t^2)^((dim-2)/2) dt,

    with P_l the Gegenbauer polynomial scaled to P_l(1) = 1, and there are
    N_l = (2l+dim-1)/(dim-1) C(l+dim-2, l) of them (2 on the circle). The integral is taken over the angle by
    Gauss-Legendre quadrature on panels that shrink towards both poles, where kernels may be rough; in high dimension
    on narrow panels around the equator, where the points are. What the degrees beyond leave of the trace profile(1)
    becomes `Spectrum.tail`, and `resolved` is df1 at ten times the last eigenvalue listed. Degrees whose eigenvalue
    drowns in the rounding of the integral are not listed.

    Args:
        profile: the kernel as a function of the cosine t, vectorised over arrays in [-1, 1]; a
            [Profile][regimes.profiles.Profile] is evaluated by the angle, which keeps small eigenvalues accurate.
        dim: dimension of the sphere itself (2 is the sphere in ordinary space).
        degrees: highest degree listed.
        target: None, a number or a function (see the top of this module); a function f(t) of the cosine between x
            and a fixed pole has mean square N_l a_l^2 in degree l, a_l = mu_l with f in place of the profile.

    Raises:
        ValueError: dim < 1, degrees < 1, a profile that returns NaN or is not positive definite.

    Source: Bietti and Bach 2021; Simon et al. 2023; theory of dot-product kernels.
    """
    dim, degrees = _checks.count("dim", dim), _checks.count("degrees", degrees)
    multiplicity = domains.harmonics_up_to(dim, degrees)
    degrees = len(multiplicity) - 1
    angle, t, weights = domains.latitudes(degrees, dim)
    values = profile.of_angle(angle) if isinstance(profile, Profile) else profile(t)
    caution = _caution(dim, _smoothness(profile))
    trace = _value_at("profile(1)", profile, np.ones(1))
    polynomials = domains.gegenbauer(t, dim, degrees)
    return _zonal(f"S^{dim}", t, weights, polynomials, multiplicity, values, trace, target, math.inf, caution)


def hypercube(profile: Callable[[Array], Array], dim: int, *, target: Any = None) -> Spectrum:
    """Spectrum of a dot-product kernel K(x, x') = profile(x.x'/dim) for x uniform on the corners {-1, 1}^dim.

    The C(dim, l) products of l distinct coordinates (parities, or Walsh functions) share the eigenvalue

        lambda_l = 2^-dim sum_j C(dim, j) profile(1 - 2j/dim) k_l(j),

    with k_l the Krawtchouk polynomial scaled to k_l(0) = 1: a finite sum. Degrees whose eigenvalue drowns in its
    rounding are not listed; what they have of the trace is `Spectrum.tail`.

    Args:
        profile: the kernel as a function of the cosine t, vectorised over arrays in [-1, 1].
        dim: number of coordinates, at most 1000.
        target: None, a number or a function (see the top of this module); a function f(t) of the cosine between x
            and a fixed corner, such as the sign of t (the majority of the coordinates).

    Raises:
        ValueError: dim < 1 or > 1000, a profile that returns NaN or is not positive definite.

    Source: O'Donnell 2014; Simon et al. 2023.
    """
    dim = _checks.count("dim", dim, high=1000)
    flips = np.arange(dim + 1.0)
    t = 1 - 2 * flips / dim
    multiplicity = special.comb(dim, flips)

    caution = Caution(f"the cube has only {2**dim} corners, so that samples repeat") if dim < _HIGH else None
    weights = multiplicity / multiplicity.sum()
    trace = _value_at("profile(1)", profile, np.ones(1))
    where = f"the cube of {dim} coordinates"
    return _zonal(
        where, t, weights, domains.krawtchouk(dim), multiplicity, profile(t), trace, target, 2.0**dim, caution
    )


def circle(profile: Any, *, frequencies: int = 1000, target: Any = None) -> Spectrum:
    """Spectrum of a stationary kernel K(x, x') = profile(x - x') for x uniform on the circle [0, 2 pi).

    cos(k x) and sin(k x) share the eigenvalue c_k = int_0^pi profile(x) cos(k x) dx / pi.

    Args:
        profile: a [Periodic][regimes.profiles.Periodic] kernel, whose c_k are known in closed form; a
            [Profile][regimes.profiles.Profile], for which x - x' is the angle; a function of the lag, even and
            vectorised over arrays in [0, pi], whose c_k are taken by Gauss-Legendre quadrature; or an array of the
            coefficients c_0, c_1, ... themselves, with none beyond.
        frequencies: highest k listed. Of more than ten thousand frequencies of a `Periodic` kernel those between
            the first and the last few are levels of a quadrature in log k, as for `power_law`. For a
            function the cost grows as the square.
        target: None, a number or a function (see the top of this module); a function f(x) on [0, 2 pi), vectorised,
            has mean square 2 |f_k|^2 in the pair k, by fast Fourier transform.

    Raises:
        ValueError: frequencies < 1, a profile that returns NaN or is not positive definite; a function as target
            with more than ten thousand frequencies.

    Source: Wahba 1990; Bach 2017.
    """
    count = _checks.count("frequencies", frequencies)
    caution = _caution(1, _smoothness(profile))
    if isinstance(profile, Periodic) and math.isfinite(profile.smoothness):
        k, weights = domains.ranks(count, 1.2 / (1 + 2 * profile.smoothness))
        constant = float(profile.coefficient(np.zeros(1))[0])
        values, tail = profile.coefficient(k), profile.beyond(count)
        return _series(
            k, weights, values, tail, 2, constant, target, lambda: domains.circle_power(target, count), caution
        )
    values, tail = domains.fourier(profile, count)
    power = domains.circle_power(target, len(values) - 1) if callable(target) else None
    multiplicity = np.where(np.arange(len(values)) > 0, 2.0, 1.0)
    modes = math.inf if isinstance(profile, Periodic) or callable(profile) else float(multiplicity @ (values > 0))
    return _assemble(values, multiplicity, tail, target, power, modes, caution)


def torus(
    profile: Any, dim: int, *, separable: bool = True, frequencies: int | None = None, target: Any = None
) -> Spectrum:
    """Spectrum of a stationary kernel for x uniform on the torus [0, 2 pi)^dim.

    The kernel is the product of profile(x_i - x_i') over the coordinates, with eigenvalues c_(k_1) ... c_(k_dim),
    or, with separable=False, any profile(x - x') of the vector of lags, whose eigenvalues are taken by fast Fourier
    transform. All modes down to the largest eigenvalue that a frequency beyond the last one could have are
    listed, equal ones as one level, and the rest of the trace is `Spectrum.tail`.

    Args:
        profile: what [circle][regimes.spectra.circle] takes; with separable=False a function of lags of shape
            (points, dim), even, for dim up to 3.
        dim: number of coordinates.
        separable: whether the kernel is a product.
        frequencies: highest frequency in each coordinate; None for 200, and where the transform is needed (a
            function as target, or separable=False) for 1000, 64 or 16 in dimension 1, 2 or 3. The transform
            has 4 points per frequency: the eigenvalues it gives contain those at 3 times the highest and above.
        target: None, a number or a function (see the top of this module) of points of shape (points, dim), for
            dim up to 3.

    Raises:
        ValueError: dim < 1, a transform in more than 3 dimensions, too many products, a profile that returns NaN or
            is not positive definite.

    Valid when the eigenvalues fall beyond the last frequency.
    """
    dim = _checks.count("dim", dim)
    transform = callable(target) or not separable
    if transform and dim > 3:
        what = "`target` as a function" if callable(target) else "`separable` False"
        raise ValueError(f"{what} needs a transform over the torus, which is for `dim` up to 3, got {dim}.")
    highest = {1: 1000, 2: 64, 3: 16}[dim] if transform else 200
    count = highest if frequencies is None else _checks.count("frequencies", frequencies)
    caution = _caution(dim, _smoothness(profile) if dim == 1 else None)
    modes: float = math.inf
    if separable:
        one, beyond = domains.fourier(profile, count)
        count = len(one) - 1
        trace = (one[0] + 2 * one[1:].sum() + beyond) ** dim
        least = one[one > 0].min() * one.max() ** (dim - 1)
        if not (isinstance(profile, Periodic) or callable(profile)):
            least, modes = 0.0, float((one[0] > 0) + 2 * np.sum(one[1:] > 0)) ** dim
    if not transform:
        values, multiplicity = domains.products(one, dim, least)
        return _assemble(values, multiplicity, domains.rest(trace, values @ multiplicity), target, None, modes, caution)
    lags = domains.grid(dim, 4 * count)
    inner = np.ix_(*[np.r_[0 : count + 1, -count:0]] * dim)
    if separable:
        values = np.asarray(one)[np.abs(np.r_[0 : count + 1, -count:0])]
        grid = values
        for _ in range(dim - 1):
            grid = np.multiply.outer(grid, values)
    else:
        sampled = _checks.finite_array("profile(lags)", profile(lags), ndim=1)
        trace = float(sampled[0])
        grid = fft.fftn(sampled.reshape((4 * count,) * dim)).real[inner] / len(lags)
        domains.refuse_negative(f"the torus of dimension {dim}", grid.ravel(), 1e-13 * trace)
        face = np.zeros(grid.shape, dtype=bool)
        for axis in range(dim):
            np.moveaxis(face, axis, 0)[[count, count + 1]] = True
        least = max(float(grid[face].max()), 1e-15 * trace)
    values, kept = grid.ravel(), grid.ravel() >= least * (1 - 1e-9)
    kept &= values > 0
    power = None
    if callable(target):
        sampled = _checks.finite_array("target(x)", target(lags), ndim=1)
        squares = np.abs(fft.fftn(sampled.reshape((4 * count,) * dim))[inner].ravel() / len(lags)) ** 2
        power = squares[kept], float(np.mean(sampled**2) - squares[kept].sum())
    ones = np.ones(int(kept.sum()))
    return _assemble(values[kept], ones, domains.rest(trace, values[kept].sum()), target, power, modes, caution)


def ornstein_uhlenbeck(length: float = 1.0, *, frequencies: int = 10_000, target: Any = None) -> Spectrum:
    """The periodic Ornstein-Uhlenbeck kernel on the circle: eigenvalues length/(pi (1 + k^2 length^2)).

    Arguments as for [profiles.ornstein_uhlenbeck][regimes.profiles.ornstein_uhlenbeck] and
    [circle][regimes.spectra.circle]. The exact noiseless loss of its prior on n uniform points is known:
    (n length/2 pi) E[h coth h - 1], h = 2 pi u/length, u ~ Beta(1, n-1); see `Spectrum.caution`.
    """
    return circle(profiles.ornstein_uhlenbeck(length), frequencies=frequencies, target=target)


def brownian(*, modes: float = 10_000, target: Any = None) -> Spectrum:
    """Brownian motion on [0, 1], K(x, x') = min(x, x'): eigenvalues 1/((j-1/2)^2 pi^2), functions sin((j-1/2) pi x).

    The exact noiseless loss of its prior on n uniform points is (n+3)/(3 (n+1)(n+2)), 4/3 of what the theory says
    for large n; df1 is tanh(1/sqrt(gamma))/(2 sqrt(gamma)).

    Args:
        modes: how many are listed, more than ten thousand as for `power_law`; the tail is exact.
        target: None, a number or a function (see the top of this module); a function f(x) on [0, 1], vectorised, by
            fast sine transform.

    Raises:
        ValueError: fewer than one mode; a function as target with more than ten thousand modes.

    Source: Rasmussen and Williams 2006, section 4.3.
    """
    modes = _whole("modes", modes)
    j, weights = domains.ranks(modes, 0.6)
    tail = float(special.zeta(2, modes + 0.5)) / np.pi**2

    def power() -> tuple[Array, float]:
        size = max(4 * int(modes), 4096)
        values = _checks.finite_array("target(x)", target((np.arange(size) + 0.5) / size), ndim=1)
        squares = fft.dst(values, type=4)[: int(modes)] ** 2 / (2 * size**2)
        return squares, float(np.mean(values**2) - squares.sum())

    return _series(j, weights, ((j - 0.5) * np.pi) ** -2, tail, 1, 0.0, target, power, _caution(1, 0.5))


def gaussian_inputs(
    length: float = 1.0, scale: float = 1.0, dim: int = 1, *, levels: int = 400, target: Any = None
) -> Spectrum:
    """Spectrum of the Gaussian kernel exp(-|x-x'|^2/(2 length^2)) for normal x of variance scale^2 per coordinate.

    With a = 1/(4 scale^2), b = 1/(2 length^2), c = sqrt(a^2 + 2 a b) and A = a + b + c, the C(j+dim-1, j) products
    of Hermite functions of total degree j share the eigenvalue (2a/A)^(dim/2) (b/A)^j. No power law: alpha grows
    with n.

    Args:
        length: length scale of the kernel.
        scale: standard deviation of a coordinate.
        dim: number of coordinates.
        levels: how many degrees are listed, at most; the tail is exact (incomplete beta function).
        target: None for the kernel's own prior, or a number beta (see the top of this module).

    Raises:
        ValueError: a length or scale that is not positive, dim or levels < 1.

    Source: Rasmussen and Williams 2006, section 4.3.1.
    """
    a = 1 / (4 * _checks.number("scale", scale, low=0, strict=True) ** 2)
    b = 1 / (2 * _checks.number("length", length, low=0, strict=True) ** 2)
    dim, levels = _checks.count("dim", dim), _checks.count("levels", levels)
    if callable(target):
        raise ValueError("`target` must be None or a number for Gaussian inputs, got a function.")
    c = math.sqrt(a * a + 2 * a * b)
    whole = a + b + c
    degree = np.arange(float(levels))
    logarithm = dim / 2 * math.log(2 * a / whole) + degree * math.log(b / whole)
    kept = logarithm > -690  # the smallest float is exp(-708)
    if not kept.any():
        raise ValueError(f"`dim` {dim} makes every eigenvalue less than 1e-300; choose a longer `length`.")
    degree = degree[kept]
    multiplicity = special.comb(degree + dim - 1, degree)
    tail = float(special.betainc(len(degree), dim, b / whole))
    return _assemble(np.exp(logarithm[kept]), multiplicity, tail, target, None, math.inf, _caution(dim, math.inf))


def _zonal(
    where: str,
    t: Array,
    weights: Array,
    polynomials: Iterable[Array],
    multiplicity: Array,
    values: Array,
    trace: float,
    target: Any,
    modes: float,
    caution: Caution | None,
) -> Spectrum:
    """The spectrum of a kernel with values K(t) at nodes t, given the orthogonal polynomials of the weights."""
    columns = [_checks.finite_array("profile(t)", values, ndim=1)]
    if callable(target):
        columns.append(_checks.finite_array("target(t)", target(t), ndim=1))
    weighted = weights * np.array(columns)
    found = np.array([weighted @ polynomial for polynomial in polynomials])
    # Polynomial l is of size 1/sqrt(multiplicity) where the weight is: so is the rounding of its integral,
    # seen to be up to 1e-15 where an eigenvalue is zero; what is listed is then right to 1 %.
    rounding = 1e-13 * np.abs(columns[0]).max() / np.sqrt(multiplicity)
    domains.refuse_negative(where, found[:, 0], 10 * rounding)
    kept = found[:, 0] > rounding
    power = None
    if callable(target):
        squares = multiplicity[kept] * found[kept, 1] ** 2
        power = squares, float(weighted[1] @ columns[1] - squares.sum())
    eigenvalues, multiplicity = found[kept, 0], multiplicity[kept]
    tail = domains.rest(trace, eigenvalues @ multiplicity)
    return _assemble(eigenvalues, multiplicity, tail, target, power, modes, caution)


def _series(
    k: Array,
    weights: Array,
    values: Array,
    tail: float,
    per: int,
    constant: float,
    target: Any,
    power: Callable[[], tuple[Array, float]],
    caution: Caution | None,
) -> Spectrum:
    """A descending series of eigenvalues `values` at k = 1, 2, ..., each of `per` modes, after one for the constant.

    `k` and `weights` are the nodes of `domains.ranks`. `power` gives the power of a function as target, constant first.
    """
    has_constant = constant > 0
    first = per * (k - 1) + 1 + has_constant  # rank of the first mode of each level
    last = float(first[-1]) + per - 1
    if callable(target):
        if len(k) < k[-1]:
            raise ValueError(f"`target` can be a function for up to 10000 modes or frequencies, got {k[-1]:.0f}.")
        squares, outside = power()
        if per == 2 and not has_constant:
            squares, outside = squares[1:], outside + float(squares[0])
    elif target is None:
        squares, outside = np.concatenate([[constant] * has_constant, per * weights * values]), tail
    else:
        beta = _checks.number("target", target, low=0, strict=True)
        ranked = weights * sum((first + m) ** -(1 + beta) for m in range(per))
        squares, outside = np.concatenate([[1.0] * has_constant, ranked]), float(special.zeta(1 + beta, last + 1))
    values = np.concatenate([[constant] * has_constant, values])
    return _descending(
        values, squares, np.concatenate([[1.0] * has_constant, per * weights]), tail, max(outside, 0.0), caution
    )


def _descending(
    values: Array, squares: Array, multiplicity: Array, tail: float, outside: float, caution: Caution | None
) -> Spectrum:
    """A descending series and its tail; eigenvalues that underflow, and their power, go to the tail."""
    kept = values > 1e-300
    return Spectrum(
        values[kept],
        squares[kept],
        multiplicity[kept],
        tail=tail + float((multiplicity * values)[~kept].sum()),
        tail_power=outside + float(squares[~kept].sum()),
        resolved=float(multiplicity[kept].sum()) / 10,
        caution=caution,
    )


def _assemble(
    values: Array,
    multiplicity: Array,
    tail: float,
    target: Any,
    power: tuple[Array, float] | None,
    modes: float,
    caution: Caution | None,
) -> Spectrum:
    """Levels in any order as a Spectrum: zeros out, sorted, merged where equal, with the power of the target.

    `power` is that of a function as target, by level and outside of the levels; `modes` are all that there are.
    """
    squares, outside = (values, 0.0) if power is None else power
    outside += float(squares[values <= 0].sum())
    order = np.argsort(-values, kind="stable")[: int((values > 0).sum())]
    if not len(order):
        raise ValueError("`profile` has no positive eigenvalue.")
    values, multiplicity, squares = values[order], multiplicity[order], squares[order]
    values, multiplicity, squares = domains.merged(values, multiplicity, squares)
    listed = float(multiplicity.sum())
    if target is None:
        squares, outside = multiplicity * values, tail
    elif power is None:
        beta = _checks.number("target", target, low=0, strict=True)
        ends = np.cumsum(multiplicity)
        squares = domains.rank_power(ends - multiplicity, ends, beta)
        outside = float(domains.rank_power(np.array([listed]), np.array([modes]), beta)[0]) if modes > listed else 0.0
    # The tail is an implicit ridge as long as gamma is well above its eigenvalues: df1 where it is ten times the last.
    gamma = 10 * values[-1]
    resolved = float((values / (values + gamma)) @ multiplicity + tail / gamma)
    return Spectrum(
        values,
        squares,
        multiplicity,
        tail=tail,
        tail_power=max(outside, 0.0),
        resolved=math.inf if listed >= modes else resolved,
        caution=caution,
    )


def _value_at(name: str, profile: Callable[[Array], Array], at: Array) -> float:
    return float(_checks.finite_array(name, profile(at))[0])


def _smoothness(profile: Any) -> float | None:
    return profile.smoothness if isinstance(profile, Profile | Periodic) else None


def _whole(name: str, value: Any) -> float:
    value = _checks.number(name, value, low=1)
    if value != math.floor(value):
        raise ValueError(f"`{name}` must be a whole number, got {value:g}.")
    return value


def _caution(dim: int, smoothness: float | None) -> Caution | None:
    """Where Gaussian universality fails: the rule, and the factors of the table above.

    From dimension 4 on, kernels of smoothness up to 3/2 were off by at most 6 % (n from 80 to 1200); from dimension 8
    on, analytic ones too.
    """
    if dim >= _HIGH or (dim >= 4 and (smoothness is None or smoothness <= 1.5)):
        return None
    where = f"in {dim} dimension{'s' * (dim > 1)}: where no ridge matters the loss exceeds the prediction"
    if smoothness is None:
        return Caution(f"a kernel {where}, the more the smoother it is")
    if math.isinf(smoothness):
        return Caution(f"an analytic kernel {where}, the more the larger n")
    low, high = _RATIOS.get((dim, smoothness), (math.nan, math.nan))
    grows = ", more so at larger n," if high > 1.5 * low else ""
    return Caution(f"a kernel of smoothness {smoothness:g} {where}{grows}", (low, high))
