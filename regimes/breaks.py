"""Where scale-time equivalence ends, in closed form and exactly; and a small model as a random subspace of a large one.

Features that are not divided by the root of k, trained at one learning rate, move k times as fast: their loss is
L(k, t) = l(k t) while k is not felt. In units in which features carry 1/sqrt(k), of [dynamics][regimes.dynamics], the
product t' = k t is the time itself, and the equivalence says that L(k, t') does not depend on k. With infinite data it
does from first order in 1/k on; for power laws, a = 1 + alpha, r = beta/a, u = (pi/a)/sin(pi/a),

    L(k, t')/L(inf, t') - 1 = c t'^p/k,
    beta < a:  p = 1/a,              c = 2^(1/a) u r Gamma(1 - r)/Gamma(1 - r + 1/a)
    beta > a:  p = (beta - alpha)/a, c = 2^p a u zeta(beta - alpha)/(Gamma(r) Gamma(1/a)).               (1)

Derivation of (1): kappa = gamma (1 - Z/k) and z = kappa give gamma = z (1 + Z(z)/k + ...), so the transform F(z) =
(1/z) sum v^2 gamma/(lambda+gamma) of the loss moves by Z(z)/k sum v^2 lambda/(lambda+z)^2; both factors are powers of
z, and z^-s transforms to (2t)^(s-1)/Gamma(s).

Source: Boopathy and Fiete 2024 (arXiv:2409.05782) for the equivalence and the random subspace; their proofs were not
available to us, and (1), the leading order and the bounds are our own.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import optimize, special

from regimes import _checks, display, dynamics, spectra
from regimes.results import Estimate, Values
from regimes.spectrum import Spectrum

Array = np.ndarray

TOLERANCE = 0.1
"""Relative excess over infinite width up to which the equivalence holds."""
_WIDTHS = tuple(2**power for power in range(6, 15))


@display.shown
@dataclasses.dataclass(frozen=True)
class Line:
    """The end of the equivalence in theory, for one power law."""

    alpha: float
    """Decay of the eigenvalues."""
    beta: float
    """Decay of the target power."""
    k: Float64[Array, " widths"]
    """Numbers of features."""
    exact: Float64[Array, " widths"]
    """Time t' = k t at which the exact loss is TOLERANCE above that of infinite width."""
    first_order: Float64[Array, " widths"]
    """The same from (1)."""
    slope: float
    """Log-log slope of the raw time exact/k against k, over the last five widths."""
    expected: float
    """The slope that (1) has."""
    iso_loss: float
    """Slope of the raw time to reach a loss against k, inside the region: near -1 because losses agree there."""
    spread: float
    """Largest relative spread of the loss at equal k t, inside the region: TOLERANCE, by the definition of its end."""
    first_order_excess: float
    """Excess of (1) over the exact one, TOLERANCE, at the exact time, for the most features: 1 up to higher orders."""


@display.shown
class Subspace(NamedTuple):
    """A small model as a random subspace of a large one."""

    p: tuple[int, ...]
    """Numbers of parameters, at equal p t."""
    distance: Float64[Array, "draws sizes"]
    """Distance to the reference."""
    predicted: Float64[Array, " sizes"]
    """Root mean square to leading order."""
    exponential: Float64[Array, "draws sizes"]
    """Distance over the exponential bound."""
    linear: Float64[Array, "draws sizes"]
    """Distance over the bound linear in time, which needs a quadratic loss."""
    slope: Estimate
    """Log-log slope of the root mean square distance against p."""


def first_order_break(alpha: float, beta: float, k: Any, *, tolerance: float = TOLERANCE) -> Values:
    """Time t' = k t at which k features of a power law are off by a share, to first order in 1/k: (1) of the module.

    Args:
        alpha: eigenvalues fall as i^-(1+alpha), positive.
        beta: target powers fall as i^-(1+beta), positive, not 1 + alpha.
        k: numbers of features.
        tolerance: the share.

    Raises:
        ValueError: a number that is not positive, beta = 1 + alpha, where there is a logarithm.

    Valid when: n is infinite, k large and the share small: the exact place is up to 20 % later at k = 256, and half as
    much again for beta near 1 + alpha.
    """
    alpha = _checks.number("alpha", alpha, low=0, strict=True)
    beta = _checks.number("beta", beta, low=0, strict=True)
    tolerance = _checks.number("tolerance", tolerance, low=0, strict=True)
    size = _checks.finite_array("k", k)
    if (size <= 0).any():
        raise ValueError(f"`k` must be positive, got {size.min():g}.")
    a = 1 + alpha
    if beta == a:
        raise ValueError(f"`beta` = 1 + alpha = {a:g} has a logarithm in the place of a power; take another.")
    r, u = beta / a, math.pi / a / math.sin(math.pi / a)
    if r < 1:
        power, c = 1 / a, u * r * special.gamma(1 - r) / special.gamma(1 - r + 1 / a)
    else:
        power, c = (beta - alpha) / a, a * u * special.zeta(beta - alpha) / (special.gamma(r) * special.gamma(1 / a))
    return (0.5 * (tolerance * size / c) ** (1 / power))[()]


def break_time(spectrum: Spectrum, k: float, n: float = math.inf, *, tolerance: float = TOLERANCE) -> float:
    """Time t' = k t at which the exact loss of k features is first a share above that of infinitely many.

    Args:
        spectrum: kernel and target.
        k: number of features.
        n: number of samples.
        tolerance: the share.

    Returns:
        The time; infinite where the loss never is.

    Raises:
        ValueError: a number that is not positive; a share that is passed before the first time that is searched, a
            thousandth of the inverse of the largest eigenvalue.
    """
    tolerance = _checks.number("tolerance", tolerance, low=0, strict=True)

    def over(log: Any) -> Any:
        time = np.exp(log)
        return dynamics.gradient_flow(spectrum, time, n, k) / dynamics.gradient_flow(spectrum, time, n) - 1 - tolerance

    logs = np.linspace(math.log(1e-3 / spectrum.eigenvalues[0]), math.log(1e12 / spectrum.eigenvalues[0]), 61)
    above = np.flatnonzero(over(logs) > 0)
    if not len(above):
        return math.inf
    first = int(above[0])
    if first == 0:
        raise ValueError(
            f"`tolerance` = {tolerance:g} is passed before the time {math.exp(logs[0]):.3g}, where the search begins; "
            "take a larger one."
        )
    return math.exp(optimize.brentq(over, logs[first - 1], logs[first], xtol=1e-10))


def subspace_distance(eigenvalues: Any, target: Any, time: float, p: int) -> float:
    """Root mean square distance of a random subspace of p parameters from its reference, to leading order in 1/p.

    alpha = K R theta with R of independent standard normals, K K^T = diag(m), follows d alpha/dt' = -K (R R^T/p) K^T
    (alpha - y), t' = p t, from zero; the reference has the identity for R R^T/p, whose entries deviate with variance
    (1 + delta_ij)/p. To first order in the deviation,

        p E|alpha - A|^2 = sum_ij m_i m_j y_j^2 phi_ij^2 (1 + delta_ij),
        phi_ij = (exp(-m_j t') - exp(-m_i t'))/(m_i - m_j), or t' exp(-m_i t') where they are equal.

    Args:
        eigenvalues: m, positive.
        target: y, one for each.
        time: t'.
        p: number of parameters.

    Raises:
        ValueError: not one target for each eigenvalue, one that is not positive, a negative time.
    """
    m, y = _checks.finite_array("eigenvalues", eigenvalues, ndim=1), _checks.finite_array("target", target, ndim=1)
    if len(m) != len(y) or (m <= 0).any():
        raise ValueError(f"`eigenvalues` must be positive, one for each `target`; got {len(m)} and {len(y)}.")
    time, p = _checks.number("time", time, low=0), _checks.count("p", p)
    with np.errstate(over="ignore"):  # an exponent without end is right
        apart = np.abs(m[:, None] - m) * time
        slower = np.exp(-np.minimum(m[:, None], m) * time)
    close = apart < 1e-6
    # exp(-m t)(1 - exp(-x))/x with m the smaller of m_i and m_j and x = |m_i - m_j| t: no factor grows
    phi = time * slower * np.where(close, 1 - apart / 2, -np.expm1(-apart) / np.where(close, 1.0, apart))
    root = np.sqrt(m)
    return math.sqrt(float(np.sum((root[:, None] * root * y * phi) ** 2 * (1 + np.eye(len(m))))) / p)


def line(alpha: float, beta: float) -> Line:
    """The end of the equivalence for a power law: the exact place, (1), and the loss over k and time inside.

    Args:
        alpha: eigenvalues fall as i^-(1+alpha).
        beta: target powers fall as i^-(1+beta), not 1 + alpha.

    Raises:
        ValueError: as `first_order_break`.
    """
    spectrum, k = spectra.power_law(alpha, beta, modes=1e6), np.array(_WIDTHS, dtype=np.float64)
    exact = np.array([break_time(spectrum, one) for one in k])
    first = np.asarray(first_order_break(alpha, beta, k))
    slope = float(np.polyfit(np.log(k[-5:]), np.log(exact / k)[-5:], 1)[0])
    power = 1 + alpha if beta < 1 + alpha else (1 + alpha) / (beta - alpha)
    time = np.geomspace(1e-2 * exact[0], exact[-1], 60)
    loss = np.asarray(dynamics.gradient_flow(spectrum, time, k=k[:, None]))
    inside = time <= exact[:, None]
    level = loss[0, np.flatnonzero(inside[0])[-1]]  # the loss that the fewest features reach inside
    reached = [np.interp(-math.log(level), -np.log(row), np.log(time)) for row in loss]
    iso = float(np.polyfit(np.log(k), np.array(reached) - np.log(k), 1)[0])
    share = float((exact[-1] / first[-1]) ** (1 / power))
    return Line(alpha, beta, k, exact, first, slope, power - 1, iso, spread(loss, inside), share)


def spread(loss: Any, inside: Any) -> float:
    """Largest relative spread of a column of losses among the rows that are inside.

    Args:
        loss: (rows, times).
        inside: as many truth values.
    """
    top = np.where(inside, loss, -np.inf).max(axis=0)
    bottom = np.where(inside, loss, np.inf).min(axis=0)
    return float(np.max(np.where(inside.sum(axis=0) > 1, top / bottom - 1, 0.0)))


def subspace(draws: int, seed: int) -> Subspace:
    """Random subspaces of a quadratic loss, integrated exactly, at equal p t.

    With E = K (R R^T/p - 1) K^T, h the Lipschitz constant of the gradient and g the longest gradient on the way,
    |d'| <= |K K^T| h |d| + |E| g gives the exponential bound |E| g (exp(|K K^T| h t') - 1)/(|K K^T| h), of any smooth
    loss. Here h = 1 and g = |y|; and as exp(-K R R^T K^T s/p) never lengthens, |d| <= |E| |y| t' as well.

    Args:
        draws: of the subspace at each number of parameters.
        seed: of all that is random.
    """
    m, p = np.geomspace(1, 0.05, 8), (32, 128, 512, 2048)
    rng = np.random.default_rng([seed, 90])
    y, time = rng.standard_normal(len(m)), 4.0
    root, reference = np.sqrt(m), -np.expm1(-m * time) * y
    distance, exponential, linear = (np.empty((draws, len(p))) for _ in range(3))
    for draw in range(draws):
        for place, one in enumerate(p):
            r = rng.standard_normal((len(m), one))
            metric = root[:, None] * (r @ r.T / one) * root
            values, vectors = np.linalg.eigh(metric)
            found = vectors @ (-np.expm1(-np.maximum(values, 0) * time) * (vectors.T @ y))
            distance[draw, place] = np.linalg.norm(found - reference)
            off = np.linalg.norm(metric - np.diag(m), 2) * np.linalg.norm(y)
            exponential[draw, place] = distance[draw, place] / (off * math.expm1(m[0] * time) / m[0])
            linear[draw, place] = distance[draw, place] / (off * time)
    predicted = np.array([subspace_distance(m, y, time, one) for one in p])
    tries = rng.integers(draws, size=(400, draws))

    def slope(rows: Array) -> float:
        return float(np.polyfit(np.log(p), 0.5 * np.log(np.mean(distance[rows] ** 2, axis=0)), 1)[0])

    value = slope(np.arange(draws))
    method = "bootstrap over draws of the subspace"
    steepness = Estimate.from_draws(
        value, np.array([slope(rows) for rows in tries]), window=(float(p[0]), float(p[-1])), method=method
    )
    return Subspace(p, distance, predicted, exponential, linear, steepness)
