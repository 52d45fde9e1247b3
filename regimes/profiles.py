"""Kernels of one variable: dot-product kernels by the angle between two inputs, periodic kernels by their lag.

A `Profile` is a kernel K(x, x') on a sphere as a function of the angle between x and x'. The angle, and not its
cosine t, is what the formulas use: near t = 1 the cosine has lost half of the digits that decide how fast small
eigenvalues fall. A `Periodic` is a stationary kernel K(x - x') on the circle with its Fourier coefficients.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy import special

from regimes import _checks, display

Array = np.ndarray


@display.shown
@dataclasses.dataclass(frozen=True)
class Profile:
    """A dot-product kernel on a sphere. Call it with cosines t = x.x'/|x||x'|."""

    name: str
    """What it is, in words."""
    smoothness: float
    """nu of the leading term (1-t)^nu at t = 1 that is not analytic; infinite if the kernel is analytic there."""
    of_angle: Callable[[Array], Array]
    """The kernel as a function of the angle between the inputs, 0 to pi."""

    def __call__(self, t: Any) -> Float64[Array, "..."]:
        """The kernel at cosines t, to which rounding beyond 1 does no harm."""
        t = np.asarray(t, dtype=np.float64)
        return self.of_angle(np.arccos(np.clip(t.reshape(-1), -1.0, 1.0))).reshape(t.shape)

    def alpha(self, dim: int) -> float:
        """2 nu/dim: eigenvalues on S^dim fall as i^-(1+alpha); infinite if faster than any power.

        Source: Bietti and Bach 2021 (arXiv:2009.14397); Scetbon and Harchaoui 2021.
        """
        return 2 * self.smoothness / _checks.count("dim", dim)

    def __str__(self) -> str:
        return self.name


@display.shown
@dataclasses.dataclass(frozen=True)
class Periodic:
    """A stationary kernel K(x) = sum over all whole k of c_k exp(i k x) on the circle of length 2 pi.

    c_k are its eigenvalues under the uniform probability measure, so that their sum is K(0).
    """

    name: str
    """What it is, in words."""
    smoothness: float
    """nu of the leading term |x|^(2 nu) at x = 0 that is not analytic: c_k falls as k^-(1 + 2 nu)."""
    of_lag: Callable[[Array], Array]
    """The kernel as a function of x - x'."""
    coefficient: Callable[[Array], Array]
    """c_k for k = 0, 1, 2, ..."""
    beyond: Callable[[float], float]
    """Sum of c_k over all |k| > the argument."""

    def __call__(self, lag: Any) -> Float64[Array, "..."]:
        """The kernel at lags x - x'."""
        lag = np.asarray(lag, dtype=np.float64)
        return self.of_lag(lag.reshape(-1) % (2 * np.pi)).reshape(lag.shape)

    def __str__(self) -> str:
        return self.name


def arc_cosine(degree: int) -> Profile:
    """Arc-cosine kernel J_degree(angle)/J_degree(0), so that it is 1 at t = 1.

    J_0 = pi - a, J_1 = sin a + (pi - a) cos a, J_2 = 3 sin a cos a + (pi - a) (1 + 2 cos^2 a). It is the kernel
    of infinitely many units max(u, 0)^degree; 0 is the step function and 1 is relu.

    Args:
        degree: 0, 1 or 2.

    Raises:
        ValueError: another degree.

    Source: Cho and Saul 2009.
    """
    degree = _checks.count("degree", degree, low=0, high=2)

    def of_angle(angle: Array) -> Array:
        rest, sine, cosine = np.pi - angle, np.sin(angle), np.cos(angle)
        if degree == 0:
            return rest / np.pi
        if degree == 1:
            return (sine + rest * cosine) / np.pi
        return (3 * sine * cosine + rest * (1 + 2 * cosine**2)) / (3 * np.pi)

    return Profile(f"arc-cosine kernel of degree {degree}", degree + 0.5, of_angle)


def laplace(length: float = 1.0) -> Profile:
    """exp(-r/length) of the chord r = sqrt(2 - 2 t) between points of the unit sphere.

    Args:
        length: length scale, in units of the radius.

    Raises:
        ValueError: a length that is not positive.
    """
    length = _checks.number("length", length, low=0, strict=True)
    return Profile(f"Laplace kernel of length {length:g}", 0.5, lambda angle: np.exp(-_chord(angle) / length))


def matern(smoothness: float, length: float = 1.0) -> Profile:
    """Matern kernel 2^(1-nu)/Gamma(nu) s^nu K_nu(s), s = sqrt(2 nu) r/length, of the chord r = sqrt(2 - 2 t).

    Args:
        smoothness: nu, positive; 1/2 is Laplace. For nu to infinity use [gaussian][regimes.profiles.gaussian].
        length: length scale, in units of the radius.

    Raises:
        ValueError: nu or length not positive.

    Source: Rasmussen and Williams 2006, equation 4.14.
    """
    nu = _checks.number("smoothness", smoothness, low=0, strict=True)
    length = _checks.number("length", length, low=0, strict=True)

    def of_angle(angle: Array) -> Array:
        s = math.sqrt(2 * nu) * _chord(angle) / length
        positive = np.where(s > 0, s, 1.0)
        # kve = exp(s) K_nu overflows only where s^nu K_nu has long reached its limit.
        scaled = special.kve(nu, positive)
        logarithm = (1 - nu) * math.log(2) - math.lgamma(nu) + nu * np.log(positive) - positive
        with np.errstate(over="ignore", invalid="ignore"):
            value = np.exp(logarithm + np.log(scaled))
        return np.where((s > 0) & np.isfinite(scaled), value, 1.0)

    return Profile(f"Matern kernel of smoothness {nu:g} and length {length:g}", nu, of_angle)


def gaussian(length: float = 1.0) -> Profile:
    """exp(-r^2/(2 length^2)) = exp(-(1 - t)/length^2) of the chord r between points of the unit sphere.

    Args:
        length: length scale, in units of the radius.

    Raises:
        ValueError: a length that is not positive.
    """
    length = _checks.number("length", length, low=0, strict=True)
    return Profile(
        f"Gaussian kernel of length {length:g}", math.inf, lambda angle: np.exp(-0.5 * (_chord(angle) / length) ** 2)
    )


def nngp(
    depth: int = 2,
    activation: str = "relu",
    *,
    weight_std: float = math.sqrt(2),
    bias_std: float = 0.0,
    input_std: float = 1.0,
) -> Profile:
    """NNGP kernel of a fully connected network, the covariance of its outputs at infinite width.

    With c the covariance of two inputs of one layer,

        c_0 = weight_std^2 input_std^2 t + bias_std^2,  c_l = weight_std^2 E[f(u) f(v)] + bias_std^2,

    u and v Gaussian with covariance c_(l-1); the kernel is c_depth. The same network and the same defaults as
    `kernels.fully_connected(depth, kind="nngp")`.

    Args:
        depth: number of hidden layers.
        activation: relu, erf, gelu or step.
        weight_std: weights are normal with this standard deviation over the square root of the fan-in.
        bias_std: standard deviation of the biases.
        input_std: root mean square of the coordinates of an input, |x|/sqrt(dim + 1): 1 for inputs as
            `tasks.sphere` draws them, 1/sqrt(dim + 1) for the unit sphere S^dim.

    Raises:
        ValueError: an unknown word, depth < 1, a scale that is not positive.

    Source: Cho and Saul 2009; Williams 1997; Lee et al. 2018; Tsuchida et al. 2021 (gelu).
    """
    return _network("nngp", depth, activation, weight_std, bias_std, input_std)


def ntk(
    depth: int = 2,
    activation: str = "relu",
    *,
    weight_std: float = math.sqrt(2),
    bias_std: float = 0.0,
    input_std: float = 1.0,
) -> Profile:
    """Neural tangent kernel of a fully connected network at infinite width.

    With c_l as for [nngp][regimes.profiles.nngp], theta_0 = c_0 and
    theta_l = c_l + weight_std^2 E[f'(u) f'(v)] theta_(l-1); the kernel is theta_depth. The same network and the
    same defaults as `kernels.fully_connected(depth, kind="ntk")`.

    Args:
        depth: number of hidden layers.
        activation: relu, erf or gelu.
        weight_std: weights are normal with this standard deviation over the square root of the fan-in.
        bias_std: standard deviation of the biases.
        input_std: root mean square of the coordinates of an input, see [nngp][regimes.profiles.nngp].

    Raises:
        ValueError: an unknown word, depth < 1, a scale that is not positive; step, whose NTK is infinite.

    Source: Jacot et al. 2018.
    """
    return _network("ntk", depth, activation, weight_std, bias_std, input_std)


def bernoulli(order: float) -> Periodic:
    """K(x) = sum_(k >= 1) 2 cos(k x)/k^(2 order): c_k = k^(-2 order), c_0 = 0, alpha = 2 order - 1.

    For whole orders it is (-1)^(order+1) (2 pi)^(2 order)/(2 order)! B_(2 order)(x/2 pi), a Bernoulli polynomial;
    for others the coefficients are known, the function of the lag is not and asking for it raises ValueError.

    Args:
        order: more than 1/2, not necessarily whole.

    Raises:
        ValueError: an order of at most 1/2, for which K(0) is infinite.

    Source: Wahba 1990; Bach 2017.
    """
    order = _checks.number("order", order, low=0.5, strict=True)

    def of_lag(lag: Array) -> Array:
        if order != round(order):
            raise ValueError(f"`order` must be whole for the kernel as a function of the lag, got {order:g}.")
        degree = 2 * round(order)
        even = np.arange(2, degree + 1, 2)
        numbers = np.zeros(degree + 1)  # scipy.special.bernoulli has only eleven digits
        numbers[:2] = 1, -0.5
        numbers[even] = 2 * (-1.0) ** (even // 2 + 1) * special.factorial(even) * special.zeta(even)
        numbers[even] /= (2 * np.pi) ** even
        polynomial = special.comb(degree, np.arange(degree + 1)) * numbers
        sign = (-1) ** (degree // 2 + 1)
        return sign * (2 * np.pi) ** degree / math.factorial(degree) * np.polyval(polynomial, lag / (2 * np.pi))

    return Periodic(
        f"Bernoulli kernel of order {order:g}",
        order - 0.5,
        of_lag,
        lambda k: np.where(k > 0, np.maximum(k, 1.0) ** (-2 * order), 0.0),
        lambda last: 2 * float(special.zeta(2 * order, last + 1)),
    )


def poisson(ratio: float) -> Periodic:
    """Poisson kernel (1 - r^2)/(1 - 2 r cos x + r^2): c_k = r^|k|, analytic.

    Args:
        ratio: r, between 0 and 1.

    Raises:
        ValueError: a ratio outside.
    """
    ratio = _checks.number("ratio", ratio, low=0, strict=True)
    if ratio >= 1:
        raise ValueError(f"`ratio` must be less than 1, got {ratio:g}.")
    return Periodic(
        f"Poisson kernel of ratio {ratio:g}",
        math.inf,
        # 1 - 2 r cos x + r^2 without cancellation at r near 1 and x near 0.
        lambda lag: (1 - ratio**2) / ((1 - ratio) ** 2 + 4 * ratio * np.sin(lag / 2) ** 2),
        lambda k: ratio**k,
        lambda last: 2 * ratio ** (last + 1) / (1 - ratio),
    )


def ornstein_uhlenbeck(length: float = 1.0) -> Periodic:
    """Periodic Ornstein-Uhlenbeck (Laplace) kernel cosh((pi - |x|)/length)/sinh(pi/length), |x| <= pi.

    It is the sum of exp(-|x + 2 pi m|/length) over all whole m; c_k = length/(pi (1 + k^2 length^2)).

    Args:
        length: length scale, in radians.

    Raises:
        ValueError: a length that is not positive.
    """
    length = _checks.number("length", length, low=0, strict=True)

    def of_lag(lag: Array) -> Array:
        near, far = np.exp(-lag / length), np.exp(-(2 * np.pi - lag) / length)
        return (near + far) / -math.expm1(-2 * np.pi / length)

    return Periodic(
        f"periodic Ornstein-Uhlenbeck kernel of length {length:g}",
        0.5,
        of_lag,
        lambda k: length / (np.pi * (1 + (k * length) ** 2)),
        # sum_(k > last) 1/(k^2 + a^2) = Im psi(last + 1 + i a)/a with a = 1/length.
        lambda last: 2 / np.pi * float(special.psi(complex(last + 1, 1 / length)).imag),
    )


def _chord(angle: Array) -> Array:
    """sqrt(2 - 2 cos angle)."""
    return 2 * np.sin(angle / 2)


def _network(kind: str, depth: int, activation: str, weight_std: float, bias_std: float, input_std: float) -> Profile:
    depth = _checks.count("depth", depth)
    _checks.choice("activation", activation, tuple(_DUALS))
    weight = _checks.number("weight_std", weight_std, low=0, strict=True) ** 2
    bias = _checks.number("bias_std", bias_std, low=0) ** 2
    scale = _checks.number("input_std", input_std, low=0, strict=True) ** 2
    if activation == "step" and kind == "ntk":
        raise ValueError("`activation` step has no NTK: its derivative is not square integrable; use profiles.nngp.")
    dual = _DUALS[activation]

    def of_angle(angle: Array) -> Array:
        # The variance q of a unit and the gap q - c to the covariance c: the gap keeps its digits near t = 1.
        variance = np.full_like(angle, weight * scale + bias)
        gap = weight * scale * _chord(angle) ** 2 / 2
        tangent = variance - gap
        for _ in range(depth):
            square, below, slope = dual(variance, gap)
            variance, gap = weight * square + bias, weight * below
            tangent = variance - gap + weight * slope * tangent
        return variance - gap if kind == "nngp" else tangent

    smoothness = {"relu": 1.5 if kind == "nngp" else 0.5, "step": 0.5**depth}.get(activation, math.inf)
    name = f"{kind.upper()} of a fully connected {activation} network with {depth} hidden layer{'s' * (depth > 1)}"
    return Profile(name, smoothness, of_angle)


# For a Gaussian pair (u, v) of variance q and covariance c = q - gap: E[f(u)^2], E[f(u)^2] - E[f(u) f(v)] and
# E[f'(u) f'(v)].


def _relu(q: Array, gap: Array) -> tuple[Array, Array, Array]:
    angle = _angle(q, gap)
    below = 2 * np.sin(angle / 2) ** 2 - (np.sin(angle) - angle * np.cos(angle)) / np.pi
    return q / 2, q / 2 * below, (np.pi - angle) / (2 * np.pi)


def _step(q: Array, gap: Array) -> tuple[Array, Array, Array]:
    return np.full_like(q, 0.5), _angle(q, gap) / (2 * np.pi), np.full_like(q, np.nan)


def _erf(q: Array, gap: Array) -> tuple[Array, Array, Array]:
    most, c = 1 + 2 * q, q - gap
    square = 2 / np.pi * np.arcsin(2 * q / most)
    root = np.sqrt((1 + 2 * gap) * (most + 2 * c))
    return square, square - 2 / np.pi * np.arctan2(2 * c, root), 4 / np.pi / root


def _gelu(q: Array, gap: Array) -> tuple[Array, Array, Array]:
    """By Stein's lemma from E[Phi(u) Phi(v)] and E[phi(u) phi(v)], phi and Phi the normal density and distribution."""

    def moments(c: Array) -> tuple[Array, Array]:
        squared = (1 + q - c) * (1 + q + c)
        density = 1 / (2 * np.pi * np.sqrt(squared))
        both = 0.25 + np.arctan2(c, np.sqrt(squared)) / (2 * np.pi)
        factor = q**2 + c**2 * (1 - q) / (1 + q)
        slope = both + density * c * (1 + 2 * (1 - q) / (1 + q) + factor / squared)
        return c * both + density * factor, slope

    square, (value, slope) = moments(q)[0], moments(q - gap)
    return square, square - value, slope


_DUALS: dict[str, Callable[[Array, Array], tuple[Array, Array, Array]]] = {
    "relu": _relu,
    "erf": _erf,
    "gelu": _gelu,
    "step": _step,
}


def _angle(q: Array, gap: Array) -> Array:
    """Angle whose cosine is 1 - gap/q."""
    return 2 * np.arcsin(np.minimum(np.sqrt(gap / (2 * q)), 1.0))
