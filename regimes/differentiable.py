"""gamma, kappa and the loss as JAX functions: gradients in n, k, ridge, noise, time and the whole spectrum.

The same numbers as `regimes.equivalents`, in pure `jax.numpy`, for `jax.grad`, `jax.jvp`, `jax.hessian`, `jax.jit`
and `jax.vmap` in any order:

    spectrum = arguments(spectra.power_law(0.5, 1.2, modes=1000))
    jax.grad(lambda n: loss(**spectrum, n=n, k=200.0, ridge=0.01))(64.0)          # dL/dn
    jax.grad(lambda spectrum: loss(**spectrum, n=64.0))(spectrum)["eigenvalues"]  # dL/d lambda_i

All arguments broadcast; the levels are the last axis of `eigenvalues`, `power` and `multiplicity`. n and k are
real numbers here: pass 64.0 to differentiate, as JAX asks. Where the values are known they are checked; under a
transformation they cannot be, and arguments out of range give NaN.

Derivatives are those of the implicit function theorem, exactly: the self-consistent equation is solved on constants,
and two Newton steps from its root, which change nothing in the value, carry the derivatives up to the third.

Everything is computed in float64, and numbers give NumPy's float64, whatever `jax_enable_x64` says; the flag stays
as it was. With the flag off JAX hands over traced arguments rounded to float32, and results and gradients are rounded
to float32 at the very end: seven digits, all correct. For sixteen turn the flag on. Only `time` under a
transformation is refused then, because JAX (seen in 0.10) cannot transpose complex128 with the flag off; before JAX
0.8 every transformation is, because it lowers float64 wrongly.

Source: equations as in `regimes.equivalents`; gradient flow from the same equation at complex ridge, see `loss`.
"""

import functools
import math
from typing import Any

import numpy as np

from regimes import _checks
from regimes._precision import float64
from regimes.spectrum import Spectrum

Array = np.ndarray
_BISECTIONS = 34
"""Halves a bracket of any two positive float64 numbers to less than 1e-7 in log gamma; Newton does the rest."""
_NODES, _STEPS = 24, 3
"""Nodes of the contour, by Talbot with Weideman and Trefethen's constants, and steps from one to the next."""


def arguments(spectrum: Spectrum) -> dict[str, Any]:
    """The arguments of `loss` that describe a spectrum, by name: `loss(**arguments(spectrum), n=64.0)`.

    A dictionary is a pytree: differentiating with respect to it gives one of the same keys. For many points at once
    `arguments(spectrum.compressed)` takes less time and memory, if the derivatives sought are not of the levels.
    """
    names = ("eigenvalues", "power", "multiplicity", "tail", "tail_power")
    return {name: np.asarray(getattr(spectrum, name), dtype=np.float64) for name in names}


def gamma(
    eigenvalues: Any, n: Any, k: Any = math.inf, ridge: Any = 0.0, *, multiplicity: Any = None, tail: Any = 0.0
) -> Any:
    """Implicit regularisation in feature space: gamma (1 - df1/n) (1 - df1/k) = ridge/n.

    Args:
        eigenvalues: (..., levels) eigenvalues of the kernel, positive, in any order.
        n: number of samples, positive, possibly infinite.
        k: number of features, positive, possibly infinite.
        ridge: multiple of the identity added to the Gram matrix K itself (not K/n), not negative.
        multiplicity: (..., levels) number of modes of each level; None means one.
        tail: sum of the eigenvalues that are not listed.

    Raises:
        ValueError: a value out of range, NaN, lengths that differ; under a transformation only the last.

    Source: Simon et al. 2023 (arXiv:2311.14646).
    """
    return _call(_gamma, eigenvalues, eigenvalues, n, k, ridge, multiplicity=multiplicity, tail=tail)


def kappa(
    eigenvalues: Any, n: Any, k: Any = math.inf, ridge: Any = 0.0, *, multiplicity: Any = None, tail: Any = 0.0
) -> Any:
    """Implicit regularisation that the data see: gamma (1 - df1/k) = 1/tr (K_n + ridge)^-1; arguments as for `gamma`.

    Raises:
        ValueError: as for `gamma`.

    Source: Simon et al. 2023 (arXiv:2311.14646).
    """
    return _call(_kappa, eigenvalues, eigenvalues, n, k, ridge, multiplicity=multiplicity, tail=tail)


def loss(
    eigenvalues: Any,
    power: Any,
    n: Any,
    k: Any = math.inf,
    ridge: Any = 0.0,
    noise: Any = 0.0,
    *,
    multiplicity: Any = None,
    tail: Any = 0.0,
    tail_power: Any = 0.0,
    time: Any = None,
) -> Any:
    """Mean squared test error (label noise included), trained to the end or for a `time` by gradient flow.

    Trained to the end it is `regimes.equivalents.loss`. Gradient flow from zero,
    d theta/dt = -(Phi^T (Phi theta - y) + ridge theta)/n, averages ridge regressions over complex ridges n z:

        L(t) = (2 pi i)^-2 int int e^{(z_1+z_2) t} / (z_1 z_2) (kappa_1 P_2 - kappa_2 P_1)/(z_1 - z_2) dz_1 dz_2,

    where gamma (1 - df1/n) (1 - df1/k) = z + ridge/n, kappa = gamma (1 - df1/k) and P is the power not learnt,
    sum v^2 gamma/(lambda+gamma) + noise. Both integrals are sums over one contour of 24 nodes.

    Without ridge the loss trained to the end is infinite at n = k, and its derivatives there are not finite; at a
    finite time both are.

    Args:
        eigenvalues: (..., levels) eigenvalues of the kernel, positive, in any order.
        power: (..., levels) squared target coefficients, summed over the modes of the level.
        n: number of samples, positive, possibly infinite (then derivatives with respect to n are 0).
        k: number of features, positive, possibly infinite (likewise).
        ridge: multiple of the identity added to the Gram matrix K itself (not K/n), not negative; derivatives at 0
            are those from above.
        noise: variance of the label noise, not negative.
        multiplicity: (..., levels) number of modes of each level; None means one.
        tail: sum of the eigenvalues that are not listed.
        tail_power: target power in those modes.
        time: gradient-flow time, not negative, in units of 1/eigenvalue; None or infinity means trained to the end.
            At 0 only the first derivative with respect to time is right.

    Raises:
        ValueError: a value out of range, NaN, lengths that differ; under a transformation only the last.

    Valid when: as for `regimes.equivalents`. With time, to about 1e-11 of the total power and noise.

    Source: Simon et al. 2023 (arXiv:2311.14646); the double contour integral is derived from the covariance of ridge
    regressions at two ridges, as in Bordelon, Atanasov and Pehlevan 2024 (arXiv:2402.01092) for dynamics; contour:
    Weideman and Trefethen 2007.
    """
    given = {"noise": noise, "tail_power": tail_power}
    function: Any = _static
    if time is not None and not (_known(time) and np.all(np.isposinf(np.asarray(time, dtype=np.float64)))):
        function, given["time"] = _flow, time
    return _call(function, eigenvalues, power, n, k, ridge, multiplicity=multiplicity, tail=tail, **given)


def _known(value: Any) -> bool:
    """Whether `value` is a number or array, and not the tracer of a transformation."""
    import jax

    return not isinstance(value, jax.core.Tracer)


def _call(function: Any, eigenvalues: Any, power: Any, n: Any, k: Any, ridge: Any, **given: Any) -> Any:
    """Check what is known, convert to float64 and call the compiled function."""
    import jax
    import jax.numpy as jnp

    length = np.shape(eigenvalues)[-1:]
    multiplicity, tail = given.pop("multiplicity"), given.pop("tail")
    levels = {
        "eigenvalues": eigenvalues,
        "power": power,
        "multiplicity": np.ones(length) if multiplicity is None else multiplicity,
    }
    numbers = {"tail": tail, "n": n, "k": k, "ridge": ridge, **given}
    for name, value in levels.items():
        if np.ndim(value) == 0 or np.shape(value)[-1:] != length:
            raise ValueError(
                f"`{name}` must have the levels as its last axis, as many as `eigenvalues`: "
                f"expected (..., {length[0] if length else 'levels'}), got shape {np.shape(value)}."
            )
        if _known(value):
            low = _checks.finite_array(name, value).min()
            if low < 0 or (low == 0 and name == "eigenvalues"):
                wanted = "positive" if name == "eigenvalues" else "not negative"
                raise ValueError(f"`{name}` must be {wanted}, got {low:g}.")
    for name, value in numbers.items():
        if _known(value):
            _check(name, np.asarray(value, dtype=np.float64))
    outside = jnp.result_type(float)  # what the caller's JAX computes in
    traced = not all(_known(value) for value in (*levels.values(), *numbers.values()))
    if traced and outside != np.float64 and ("time" in given or not hasattr(jax, "enable_x64")):
        what = "`time`" if "time" in given else "`regimes.differentiable` on JAX before 0.8"
        raise ValueError(
            f"{what} under a JAX transformation needs 64-bit JAX: set jax_enable_x64, or put the whole call of "
            "jax.grad, jax.jit or jax.vmap in `with jax.enable_x64(True):` (before JAX 0.8 "
            "`with jax.experimental.enable_x64():`)."
        )
    with float64():
        every = [jnp.asarray(value, dtype=jnp.float64) for value in (*levels.values(), *numbers.values())]
        result = _compiled(function, len(numbers))(*every)
        return np.asarray(result)[()] if _known(result) else result.astype(outside)


def _check(name: str, value: Array) -> None:
    if np.isnan(value).any():
        raise ValueError(f"`{name}` must not be NaN.")
    if name in ("n", "k"):
        if (value <= 0).any():
            raise ValueError(f"`{name}` must be positive, got {value.min():g}.")
    elif (value < 0).any() or (name != "time" and np.isinf(value).any()):
        wanted = "not negative" if name == "time" else "finite and not negative"
        raise ValueError(f"`{name}` must be {wanted}, got {value.min():g} to {value.max():g}.")


@functools.cache
def _compiled(function: Any, numbers: int) -> Any:
    """`function` of one point, broadcast over all axes but that of the levels; NaN outside its domain."""
    import jax
    import jax.numpy as jnp

    def valid(lam: Any, power: Any, mult: Any, tail: Any, n: Any, k: Any, *rest: Any) -> Any:
        signs = [jnp.min(lam) > 0, n > 0, k > 0] + [jnp.min(value) >= 0 for value in (power, mult, tail, *rest)]
        return jnp.where(jnp.stack(signs).all(), function(lam, power, mult, tail, n, k, *rest), jnp.nan)

    # The two sizes enter as 1/n and 1/k: infinity is then an ordinary point, with derivative 0.
    return jax.jit(jnp.vectorize(valid, signature=",".join(["(l)"] * 3 + ["()"] * numbers) + "->()"))


def _gamma(lam: Any, power: Any, mult: Any, tail: Any, n: Any, k: Any, ridge: Any) -> Any:
    return _point(lam, mult, tail, 1 / n, 1 / k, ridge / n)[0]


def _kappa(lam: Any, power: Any, mult: Any, tail: Any, n: Any, k: Any, ridge: Any) -> Any:
    g, _, y = _point(lam, mult, tail, 1 / n, 1 / k, ridge / n)
    return g * y


def _static(lam: Any, power: Any, mult: Any, tail: Any, n: Any, k: Any, ridge: Any, noise: Any, tail_power: Any) -> Any:
    """The formula of `equivalents.loss`; every term is positive."""
    import jax.numpy as jnp

    a, b = 1 / n, 1 / k
    g, x, y = _point(lam, mult, tail, a, b, ridge / n)
    missed = g / (lam + g)
    spread = _dot(mult, missed * (1 - missed)) + _over(tail, g)
    both = y + b * spread  # 1/h = y/both; where it is zero nothing is spread and h = 1
    share = jnp.where(both > 0, b * spread / jnp.where(both > 0, both, 1.0), 0.0)
    slope = jnp.where(both > 0, y / jnp.where(both > 0, both, 1.0), 1.0)
    numerator = _dot(power, missed**2) + tail_power + share * _dot(power, missed * (1 - missed)) + noise
    denominator = x + a * spread * slope
    nothing = (numerator == 0) & (denominator == 0)
    return jnp.where(nothing, 0.0, numerator / jnp.where(nothing, 1.0, denominator))


def _dot(weights: Any, values: Any) -> Any:
    """Sum over the levels. Not a matrix product: that would be transposed to float32 where x64 is off."""
    return (weights * values).sum(-1)


def _over(tail: Any, g: Any) -> Any:
    """tail/g; 0 where g is 0: that happens only with an infinite size or without a tail."""
    import jax.numpy as jnp

    return jnp.where(g == 0, 0.0, tail / jnp.where(g == 0, 1.0, g))


def _point(
    lam: Any, mult: Any, tail: Any, a: Any, b: Any, effective: Any, differentiable: bool = True
) -> tuple[Any, Any, Any]:
    """gamma, x = 1 - a df1 and y = 1 - b df1 with gamma x y = effective; a = 1/n, b = 1/k, effective = ridge/n.

    b x - a y = b - a eliminates df1, so that x and y are roots of a quadratic in p = effective/gamma. Written
    without cancellation they are right to the last digits near n = k and without ridge. What remains is

        max(a, b) df1(gamma) + small(effective/gamma) - 1 = 0,      small = min(x, y),

    which falls strictly in log gamma, and whose second derivative nowhere exceeds its first: bisection to 1e-7, then
    Newton's method converges in a step or two. Two more steps carry the derivatives.
    """
    import jax
    import jax.numpy as jnp

    def factors(p: Any, a: Any, b: Any, rooted: Any) -> tuple[Any, Any, Any]:
        """The smaller and the larger factor, and p d small/dp."""
        hi = jnp.where(rooted, jnp.where(a >= b, a, b), 1.0)
        lo = jnp.where(rooted, jnp.where(a >= b, b, a), 0.0)
        square = (hi - lo) ** 2 + 4 * hi * lo * p
        root = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
        total = root + (hi - lo)
        some = total > 0
        small = jnp.where(some, 2 * hi * p / jnp.where(some, total, 1.0), 0.0)
        falls = jnp.where(some, hi * p / jnp.where(some, root, 1.0), 0.0)
        return small, jnp.where(some, total / (2 * hi), 0.0), falls

    def newton(u: Any, lam: Any, mult: Any, tail: Any, a: Any, b: Any, effective: Any, rooted: Any) -> tuple[Any, Any]:
        """The left-hand side at u = log gamma, and the next u."""
        g = jnp.exp(u)
        learnt = lam / (lam + g)
        hi = jnp.where(a >= b, a, b)
        small, _, falls = factors(effective / g, a, b, rooted)
        value = hi * (_dot(mult, learnt) + tail / g) + small - 1
        slope = hi * (_dot(mult, learnt * (1 - learnt)) + tail / g) + falls
        return value, u + value / jnp.where(rooted, slope, 1.0)

    fixed = jax.lax.stop_gradient((lam, mult, tail, a, b, effective))
    hi, count = jnp.maximum(fixed[3], fixed[4]), jnp.sum(fixed[1])
    trace = _dot(fixed[1], fixed[0]) + fixed[2]
    # Without ridge df1 = min(n, k) has a root only below the number of modes; above, gamma is 0.
    rooted = (hi * count > 1) | (hi * fixed[2] > 0) | (fixed[5] > 0)
    low = jnp.maximum(jnp.maximum(jnp.min(fixed[0]) * (hi * count - 1), hi * fixed[2]), fixed[5])
    high = jnp.maximum(2 * hi * trace, 4 * fixed[5])
    bounds = (jnp.log(jnp.where(rooted, low, 1.0)) - 1e-9, jnp.log(jnp.where(rooted, high, 1.0)) + 1e-9)

    def halve(step: Any, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        low, high, u = state
        value, following = newton(u, *fixed, rooted)
        low, high = jnp.where(value > 0, u, low), jnp.where(value > 0, high, u)
        return low, high, jnp.where(step < _BISECTIONS, (low + high) / 2, following)

    u = jax.lax.fori_loop(0, _BISECTIONS + 2, halve, (*bounds, sum(bounds) / 2))[2]
    for _ in range(2 * differentiable):
        u = newton(u, lam, mult, tail, a, b, effective, rooted)[1]

    # Where gamma is 0 it still has derivatives with respect to the ridge: two Newton steps from 0, in gamma itself.
    zero = jnp.zeros_like(u)
    for _ in range(2 * differentiable):
        learnt = lam / (lam + zero)
        x, y = 1 - a * _dot(mult, learnt), 1 - b * _dot(mult, learnt)
        curve = _dot(mult, learnt**2 / lam)
        slope = x * y + zero * curve * (a * y + b * x)
        zero = zero - (zero * x * y - effective) / jnp.where(rooted | (slope == 0), 1.0, slope)
    g = jnp.where(rooted, jnp.exp(u), zero)
    learnt = _dot(mult, lam / (lam + g))
    small, large, _ = factors(effective / jnp.where(rooted, g, 1.0), a, b, rooted)
    x = jnp.where(rooted, jnp.where(a >= b, small, large), 1 - a * learnt)
    y = jnp.where(rooted, jnp.where(a >= b, large, small), 1 - b * learnt)
    return g, x, y


@functools.cache
def _contour() -> tuple[Array, Array, Array]:
    """The contour in z t, from its real point; of these the nodes; and e^{zt} dz/(2 pi i z) of each node.

    Nodes of the upper half plane only: the lower half is its mirror image.
    """
    sigma, mu, nu, beta = -0.6122, 0.5017, 0.6407, 0.2645
    angle = np.arange(1, (_NODES - 1) * _STEPS + 1) * np.pi / (_NODES * _STEPS)
    way = _NODES * (sigma + mu * angle / np.tan(nu * angle) + 1j * beta * angle)
    speed = _NODES * (mu / np.tan(nu * angle) - mu * nu * angle / np.sin(nu * angle) ** 2 + 1j * beta)
    nodes = slice(_STEPS - 1, None, 2 * _STEPS)
    weights = np.exp(way[nodes]) * speed[nodes] / (1j * _NODES * way[nodes])
    return np.concatenate([[_NODES * (sigma + mu / nu)], way]), way[nodes], weights


def _flow(
    lam: Any,
    power: Any,
    mult: Any,
    tail: Any,
    n: Any,
    k: Any,
    ridge: Any,
    noise: Any,
    tail_power: Any,
    time: Any,
) -> Any:
    """The double contour integral of `loss`.

    gamma is written as g + h, with g the real solution at z = 0, and every difference from z = 0 as h times a sum:
    at late times, when z and h are tiny, nothing cancels. g and what follows from it are constants; their
    derivatives enter through the values at g of the expressions that they solve.
    """
    import jax
    import jax.numpy as jnp

    def pinned(value: Any, expression: Any) -> Any:
        """The known value of an expression, with the derivatives of the expression."""
        return value + (expression - jax.lax.stop_gradient(expression))

    a, b, effective = 1 / n, 1 / k, ridge / n
    fixed = jax.lax.stop_gradient((lam, mult, tail, a, b, effective))
    g, x, y = _point(*fixed, differentiable=False)
    # Later than this nothing happens any more, and earlier powers of z stay within range.
    time = jnp.minimum(time, 1e30 / jax.lax.stop_gradient(_dot(mult, lam) + tail))
    started = time > 0
    way, nodes, weights = _contour()
    z = nodes / jnp.where(started, time, 1.0)

    df1 = _dot(mult, lam / (lam + g)) + _over(tail, g)
    x0, y0 = pinned(x, 1 - a * df1), pinned(y, 1 - b * df1)
    residual = pinned(0.0, g * x0 * y0 - effective)
    kappa0, power0 = g * y0, _dot(power, g / (lam + g)) + tail_power + noise

    def newton(h: Any, z: Any, lam: Any, mult: Any, tail: Any, a: Any, b: Any, terms: Any) -> tuple[Any, ...]:
        """The next h; and the change of df1 since z = 0 (reversed), its slope, and x, y and dz/dh here."""
        x0, y0, residual = terms
        here = g + h
        below = lam / (lam + here[..., None])
        change = h * (_dot(mult, below / (lam + g)) + _over(tail, g) / here)
        slope = _dot(mult, below**2 / lam) + tail / here**2
        x, y = x0 + a * change, y0 + b * change
        speed = x * y + here * slope * (a * y + b * x)
        rest = residual + h * x0 * y0 + here * change * (a * y0 + b * x0 + a * b * change) - z
        return h - rest / speed, change, slope, y, speed

    def follow(h: Any, z: Any) -> tuple[Any, Any]:
        h = newton(h, z, *fixed[:5], (x, y, 0.0))[0]
        return h, h

    late = jax.lax.stop_gradient(time)
    path = np.repeat(way, 3) / jnp.where(started, late, 1.0)  # three Newton steps at each point
    # With both sizes infinite gamma = z; `_point` wants one of them finite.
    start = (
        *fixed[:3],
        jnp.maximum(fixed[3], 1e-100),
        fixed[4],
        fixed[5] + way[0].real / jnp.where(started, late, 1.0),
    )
    first = _point(*start, differentiable=False)[0] - g
    h = jax.lax.scan(follow, first.astype(path.dtype), path)[1][3 * _STEPS + 2 :: 6 * _STEPS]
    for _ in range(2):
        h = newton(h, z, lam, mult, tail, a, b, (x0, y0, residual))[0]

    _, change, slope, y, speed = newton(h, z, lam, mult, tail, a, b, (x0, y0, residual))
    here = g + h
    below = lam / (lam + here[:, None])
    dkappa, dpower = h * y0 + here * b * change, h * _dot(power, below / (lam + g))
    diagonal = ((y + here * b * slope) * (power0 + dpower) - here * y * _dot(power, below**2 / lam)) / speed

    def between(dkappa2: Any, dpower2: Any, z2: Any, same: Any) -> Any:
        """(kappa_1 P_2 - kappa_2 P_1)/(z_1 - z_2)."""
        one, other = dkappa[:, None], dpower[:, None]
        cross = kappa0 * (dpower2 - other) + power0 * (one - dkappa2) + one * dpower2 - dkappa2 * other
        return jnp.where(same, diagonal[:, None], cross / jnp.where(same, 1.0, z[:, None] - z2))

    above = between(dkappa, dpower, z, np.eye(len(nodes), dtype=bool))
    across = between(jnp.conj(dkappa), jnp.conj(dpower), jnp.conj(z), False)
    total = 2 * jnp.real(np.outer(weights, weights) * above + np.outer(weights, weights.conj()) * across).sum()
    # At the start the predictor is 0 and the loss falls at the rate 2 sum v^2 lambda.
    return jnp.where(started, total, power.sum() + tail_power + noise - 2 * time * _dot(power, lam))
