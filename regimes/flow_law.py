"""The unified law of size, time and data: gradient flow on isotropic Gaussian data, exactly.

Teacher and data have `modes` equal directions; the student sees k random combinations of them, which are not divided by
the root of k, and learns from n samples by gradient flow from zero. With s = 1/(1 + gamma) the share of a direction
that is learnt, a = modes/n and b = modes/k, the resolvent at z = -eigenvalue of the empirical covariance obeys a cubic,

    z = gamma (1 - a s)(1 - b s),                                                              (1)

and the double contour integral for the loss of gradient flow ([dynamics][regimes.dynamics]) has a rational integrand,

    L = int int w(z1) w(z2) {power (1-s1)(1-s2) + noise (1 - b s1 s2)}
                            / {1 - (a+b) s1 s2 - a b s1 s2 (1 - s1 - s2)} dz1 dz2/(2 pi i)^2,   (2)

with w = e^(z tau)/z and tau = rate k t: time and scale enter together, until b is felt. At tau = infinity s1 = s2 is
real and (2) is the loss of random features without ridge, with its peak at n = min(k, modes); along tau it has the
peak of early overfitting to the noise, gone where the noise is zero.

Derivation of (2) from the general integrand [kappa1 P2 - kappa2 P1]/(z1 - z2) of [dynamics][regimes.dynamics], where
kappa = gamma (1 - b s) and P = power (1 - s) + noise: numerator and denominator are both gamma1 - gamma2 times a
polynomial in s1 and s2, since s1 - s2 = -(gamma1 - gamma2) s1 s2. The quotient of the polynomials is (2).

Source: Boopathy and Fiete 2024 (arXiv:2409.05782) combine the product k t with a linear analysis of double descent.
Their formulas (their Eqs. 9 and 10) were not available to us: (1) and (2) are our reconstruction from the same model
in its exact form, after Advani and Saxe 2017 (arXiv:1710.03667), and not a transcription.
"""

from typing import Any

import numpy as np

from regimes.law import AMPLITUDES, OFFSETS, Law, Parameter

Array = np.ndarray
_NODES = 32
_LATEST = 1e150


def _contour() -> tuple[Array, Array]:
    """Upper half of the modified Talbot contour of Weideman 2006: places z tau, and w dz/(2 pi i) with its weight."""
    theta = np.pi * np.arange(1, _NODES, 2) / _NODES
    place = _NODES * (-0.6122 + 0.5017 * theta / np.tan(0.6407 * theta) + 0.2645j * theta)
    turn = 0.5017 / np.tan(0.6407 * theta) - 0.5017 * 0.6407 * theta / np.sin(0.6407 * theta) ** 2 + 0.2645j
    return place, np.exp(place) / place * turn / 1j


_PLACE, _WEIGHT = _contour()


def _learnt(z: Array, a: Array, b: Array) -> Array:
    """The share s of (1) at z in the upper half plane: the root with gamma and both kappas there too."""
    matrix = np.zeros((*z.shape, 3, 3), dtype=np.complex128)
    matrix[..., 1, 0] = matrix[..., 2, 1] = 1
    scale = np.abs(z) + a + b + 1  # roots of order one, or the companion matrix would not be balanced
    matrix[..., 0, 2] = z / scale**3
    matrix[..., 1, 2] = -(1 - (a + b) + a * b - 2 * z) / scale**2
    matrix[..., 2, 2] = -(2 - (a + b) - z) / scale
    gamma = np.linalg.eigvals(matrix) * scale[..., None]
    z, a, b = z[..., None], a[..., None], b[..., None]
    for _ in range(3):
        s = 1 / (1 + gamma)
        gamma = gamma - (gamma * (1 - a * s) * (1 - b * s) - z) / _steepness(s, a, b)
    s = 1 / (1 + gamma)
    height = np.min([np.angle(root) for root in (gamma, gamma * (1 - a * s), gamma * (1 - b * s))], axis=0)
    best = np.argmax(np.where(np.isnan(height), -np.inf, height), axis=-1)
    return np.take_along_axis(s, best[..., None], axis=-1)[..., 0]


def _steepness(s: Array, a: Array, b: Array) -> Array:
    """dz/dgamma of (1)."""
    return 1 - (a + b) * s**2 - a * b * s**2 * (1 - 2 * s)


def _points(n: Any, k: Any, time: Any, modes: Any, power: Any, noise: Any, rate: Any) -> tuple[list[Array], Any]:
    """(1/n-ratio a, 1/k-ratio b, tau, power, noise) flattened, and the shape."""
    tau = np.clip(np.where((time == 0) | (k == 0), 0.0, rate * k * np.maximum(time, 1e-300)), 1 / _LATEST, _LATEST)
    few = 1e-100  # fewer samples or features than this learn nothing
    together = np.broadcast_arrays(modes / np.maximum(n, few), modes / np.maximum(k, few), tau, power, noise)
    return [np.ravel(one).astype(np.float64) for one in together], together[0].shape


def _shares(a: Array, b: Array, tau: Array) -> tuple[Array, Array]:
    """The nodes z and s on them; for the latest times s at z = 0."""
    z = _PLACE / tau[:, None]
    a, b = a[:, None], b[:, None]
    finite = (tau < _LATEST) & (tau > 1 / _LATEST) & (np.maximum(a, b)[:, 0] < 1e90)
    s = np.where(tau[:, None] > 1, np.minimum(1.0, 1 / np.maximum(np.maximum(a, b), 1e-300)), 0.0) + 0 * z
    if finite.any():
        s[finite] = _learnt(z[finite], a[finite] + 0 * z.real[finite], b[finite] + 0 * z.real[finite])
    return z, s


def _unified(n: Any, k: Any, time: Any, modes: Any, power: Any, noise: Any, rate: Any) -> Any:
    (a, b, tau, power, noise), shape = _points(n, k, time, modes, power, noise, rate)
    _, s = _shares(a, b, tau)
    one, two = s[:, :, None], np.concatenate([s, s.conj()], axis=1)[:, None, :]
    a, b, power, noise = (value[:, None, None] for value in (a, b, power, noise))
    both = one * two
    found = (power * (1 - one) * (1 - two) + noise * (1 - b * both)) / (
        1 - (a + b) * both - a * b * both * (1 - one - two)
    )
    loss = 2 * np.einsum("i,j,pij->p", _WEIGHT, np.concatenate([_WEIGHT, _WEIGHT.conj()]), found).real
    return np.maximum(loss, noise[:, 0, 0]).reshape(shape)  # where all is learnt only rounding is left


def _derivatives(n: Any, k: Any, time: Any, modes: Any, power: Any, noise: Any, rate: Any) -> tuple[Array, ...]:
    """dL/d ln a, dL/d ln b, dL/d ln tau, dL/d power and dL/d noise, by differentiating (2) and (1)."""
    (a, b, tau, power, noise), shape = _points(n, k, time, modes, power, noise, rate)
    z, s = _shares(a, b, tau)
    one, two = s[:, :, None], np.concatenate([s, s.conj()], axis=1)[:, None, :]
    weights = np.concatenate([_WEIGHT, _WEIGHT.conj()])
    flat_a, flat_b = a[:, None], b[:, None]
    a, b, power, noise = (value[:, None, None] for value in (a, b, power, noise))
    both = one * two
    below = 1 - (a + b) * both - a * b * both * (1 - one - two)
    of_power, of_noise = (1 - one) * (1 - two) / below, (1 - b * both) / below
    found = power * of_power + noise * of_noise
    of_a = found * both * (1 + b * (1 - one - two)) / below
    of_b = (found * both * (1 + a * (1 - one - two)) - noise * both) / below
    of_s = -(power * (1 - two) + noise * b * two) / below
    of_s = of_s + found * ((a + b) * two + a * b * two * (1 - 2 * one - two)) / below
    inner = np.einsum("j,pij->pi", weights, of_s)
    move = -(s**2) / _steepness(s, flat_a, flat_b)  # ds for dz at fixed a and b

    def total(direct: Array) -> Array:
        return 2 * np.einsum("i,j,pij->p", _WEIGHT, weights, direct).real

    def through(change: Array) -> Array:  # both arguments of the integrand move alike
        return 4 * np.einsum("i,pi->p", _WEIGHT, inner * change).real

    by_a = total(of_a) + through(move * (1 - s) * (1 - flat_b * s))
    by_b = total(of_b) + through(move * (1 - s) * (1 - flat_a * s))
    parts = (flat_a[:, 0] * by_a, flat_b[:, 0] * by_b, through(-move * z), total(of_power), total(of_noise))
    return tuple(part.reshape(shape) for part in parts)


def _gradient(n: Any, k: Any, time: Any, modes: Any, power: Any, noise: Any, rate: Any) -> Array:
    by_a, by_b, by_time, by_power, by_noise = _derivatives(n, k, time, modes, power, noise, rate)
    return np.stack([(by_a + by_b) / modes, by_power, by_noise, by_time / rate], axis=-1)


def _scale_gradient(n: Any, k: Any, time: Any, modes: Any, power: Any, noise: Any, rate: Any) -> Array:
    by_a, by_b, by_time, _, _ = _derivatives(n, k, time, modes, power, noise, rate)
    return np.stack([-by_a, by_time - by_b, by_time], axis=-1)


UNIFIED = Law(
    "unified",
    "gradient flow at rate k on n isotropic samples with k features: (2) of the module",
    ("n", "k", "time"),
    (
        Parameter("modes", 1e-3, 1e15, log=True, meaning="number of directions of teacher and data"),
        Parameter("power", *AMPLITUDES, log=True, linear=True, meaning="squared norm of the teacher"),
        Parameter("noise", *OFFSETS, linear=True, meaning="variance of the label noise"),
        Parameter("rate", 1e-30, 1e30, log=True, meaning="learning speed per feature, in units of 1/eigenvalue"),
    ),
    _unified,
    "model of Boopathy and Fiete 2024 (arXiv:2409.05782), solved here; see the module",
    offset="noise",
    gradient=_gradient,
    scale_gradient=_scale_gradient,
)
"""Loss in size, time and data with the double descent along each of them."""
