"""The self-consistent equations: gamma and kappa, and the whole loss at (n, k, ridge, noise).

Model: features phi(x) = A psi(x)/sqrt(k), A a k x modes Gaussian matrix, so that E phi.phi' = K;
theta = argmin |Phi theta - y|^2 + ridge |theta|^2 on n samples with label noise of variance `noise`.
With df1(g) = sum_i lambda_i/(lambda_i+g), one scalar equation gives everything:

    gamma (n - df1) (k - df1) = ridge k,      df1 = df1(gamma) < min(n, k),            (FP)

and kappa = gamma (1 - df1/k) = 1/tr (K_n + ridge)^-1 is the ridge that the data see. k = infinity is
kernel ridge regression, n = infinity the projection on k features. n and k need not be whole.

Valid when the eigenfunctions behave like Gaussian variables (Gaussian universality) and n, k and the
effective ranks are large; see docs/sharp_bits.md for how far that holds on real data.

Source: Simon et al. 2023 (arXiv:2311.14646); Atanasov et al. 2024 (arXiv:2405.00592);
Defilippis et al. 2024 (arXiv:2405.15699).
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.optimize import elementwise

from regimes import _checks
from regimes.spectra import Spectrum

Array = np.ndarray
_CHUNK = 4_000_000
"""Entries of a (points, levels) table worked on at once: 32 MB."""


class FixedPoint(NamedTuple):
    """Solution of (FP) at each point; all fields have the broadcast shape of n, k and ridge."""

    gamma: Float64[Array, "..."]
    """Implicit regularisation in feature space, in units of the eigenvalues."""
    kappa: Float64[Array, "..."]
    """Implicit regularisation that the data see: gamma (1 - df1/k)."""
    df1: Float64[Array, "..."]
    """Effective number of modes learnt, sum lambda/(lambda+gamma)."""
    df2: Float64[Array, "..."]
    """sum (lambda/(lambda+gamma))^2."""


def df1(spectrum: Spectrum, gamma: Any) -> Float64[Array, "..."]:
    """sum_i lambda_i/(lambda_i+gamma) + tail/gamma: the effective number of modes above `gamma`."""
    gamma = np.asarray(gamma, dtype=np.float64)
    return _sums(spectrum, gamma)[0]


def df2(spectrum: Spectrum, gamma: Any) -> Float64[Array, "..."]:
    """sum_i (lambda_i/(lambda_i+gamma))^2 = df1 + gamma d df1/d gamma."""
    return _sums(spectrum, np.asarray(gamma, dtype=np.float64))[1]


def unlearnt_power(spectrum: Spectrum, gamma: Any) -> Float64[Array, "..."]:
    """sum_i v_i^2 gamma/(lambda_i+gamma) + tail_power: the loss of the projection on k features (n infinite)."""
    return _power(spectrum, np.asarray(gamma, dtype=np.float64))[0]


def solve(spectrum: Spectrum, n: Any, k: Any = np.inf, ridge: Any = 0.0) -> FixedPoint:
    """Solve (FP) at every point of the broadcast n, k, ridge.

    Without ridge, df1(gamma) = min(n, k): one function of one argument, hence gamma(n, k) = gamma(k, n).
    Where min(n, k) reaches the number of modes, gamma is 0. The root is found in log gamma between
    bounds that bracket it for certain, so that scaling kernel and ridge by any factor scales gamma and
    nothing else.

    Args:
        spectrum: the kernel.
        n: numbers of samples, positive, possibly infinite.
        k: numbers of features, positive, possibly infinite.
        ridge: multiple of the identity added to the Gram matrix K itself (not K/n), not negative.

    Raises:
        ValueError: n or k not positive, a negative ridge, NaN.
    """
    n, k, ridge = _points(n, k, ridge)
    m = np.minimum(n, k)
    gamma = _ridgeless(spectrum, m)
    effective = ridge / n  # zero for infinite n, where any finite ridge is negligible
    active = (effective > 0) & np.isfinite(m)
    if active.any():
        gamma = gamma.copy()
        gamma[active] = _with_ridge(spectrum, gamma[active], n[active], k[active], effective[active], m[active])
    one, two = _sums(spectrum, gamma)
    one = np.where(active | (gamma == 0), one, m)  # exact by construction
    with np.errstate(invalid="ignore"):
        kappa = np.where(gamma == 0, 0.0, gamma * (1 - one / k))
    return FixedPoint(gamma, kappa, one, two)


def loss(
    spectrum: Spectrum, n: Any, k: Any = np.inf, ridge: Any = 0.0, noise: Any = 0.0, *, train: bool = False
) -> Float64[Array, "..."]:
    """Mean squared test error (label noise included) at every point of the broadcast arguments.

    With x = 1 - df1/n, y = 1 - df1/k, r = df1 - df2 and D = x y + r (x/k + y/n),

        L = (gamma/D) sum_i v_i^2 [(r/k) lambda_i + (y + r/k) gamma]/(lambda_i+gamma)^2 + (y + r/k) noise/D,

    every term of which is positive, so nothing cancels near n = k. Without ridge L diverges like
    1/|n-k| there and is infinite at n = k.

    Args:
        spectrum, n, k, ridge: as in [solve][regimes.equivalents.solve].
        noise: variance of the label noise (summed over outputs, as the power is), not negative.
        train: return the error on the training set, x^2 L, instead.

    Raises:
        ValueError: as `solve`; a negative noise.

    Source: Simon et al. 2023, in the symmetric form derived in docs/formulas.md.
    """
    n, k, ridge, noise = _points(n, k, ridge, noise)
    point = solve(spectrum, n, k, ridge)
    gamma = point.gamma
    once, twice = _power(spectrum, gamma)
    inverse_n, inverse_k = 1 / n, 1 / k
    # The smaller of x and y follows from x y = ridge/(n gamma) without cancellation.
    x, y = 1 - point.df1 * inverse_n, 1 - point.df1 * inverse_k
    with np.errstate(divide="ignore", invalid="ignore"):
        product = np.where(gamma > 0, ridge * inverse_n / gamma, x * y)
        x, y = (
            np.where((gamma > 0) & (n <= k), np.where(n == k, np.sqrt(product), product / y), x),
            np.where((gamma > 0) & (k <= n), np.where(n == k, np.sqrt(product), product / x), y),
        )
        r = np.maximum(point.df1 - point.df2, 0.0)
        weight = y + r * inverse_k
        denominator = x * y + r * (x * inverse_k + y * inverse_n)
        numerator = (once - twice) * r * inverse_k + weight * (twice + noise)
        result = np.where(numerator == 0, 0.0, numerator / denominator)
        return np.where(x == 0, 0.0, x**2 * result) if train else result


def _points(*arguments: Any) -> tuple[Array, ...]:
    """n, k, ridge and noise as float64, checked and broadcast to one shape."""
    for name, value in zip(("n", "k", "ridge", "noise"), arguments, strict=False):
        array = np.asarray(value, dtype=np.float64)
        if np.isnan(array).any():
            raise ValueError(f"`{name}` must not be NaN.")
        if name in ("n", "k") and (array <= 0).any():
            raise ValueError(f"`{name}` must be positive, got {array.min():g}.")
        if name in ("ridge", "noise") and ((array < 0) | np.isinf(array)).any():
            raise ValueError(f"`{name}` must be finite and not negative, got {array.min():g} to {array.max():g}.")
    return tuple(np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in arguments)))


def _chunks(spectrum: Spectrum, points: int) -> list[slice]:
    size = max(1, _CHUNK // len(spectrum.eigenvalues))
    return [slice(start, start + size) for start in range(0, points, size)]


def _power(spectrum: Spectrum, gamma: Array) -> tuple[Array, Array]:
    """sum v^2 s and sum v^2 s^2 with s = gamma/(lambda+gamma), the share not learnt; the tail has s = 1."""
    flat = np.ravel(gamma)
    once, twice = np.empty(flat.shape), np.empty(flat.shape)
    for part in _chunks(spectrum, flat.size):
        share = flat[part, None] / (spectrum.eigenvalues + flat[part, None])
        once[part], twice[part] = share @ spectrum.power, share**2 @ spectrum.power
    shape = np.shape(gamma)
    return once.reshape(shape) + spectrum.tail_power, twice.reshape(shape) + spectrum.tail_power


def _sums(spectrum: Spectrum, gamma: Array) -> tuple[Array, Array]:
    """df1 and df2, chunk by chunk."""
    flat = np.ravel(gamma)
    one, two = np.empty(flat.shape), np.empty(flat.shape)
    for part in _chunks(spectrum, flat.size):
        learnt = spectrum.eigenvalues / (spectrum.eigenvalues + flat[part, None])
        one[part], two[part] = learnt @ spectrum.multiplicity, learnt**2 @ spectrum.multiplicity
    if spectrum.tail:
        with np.errstate(divide="ignore"):
            one += spectrum.tail / flat
    return one.reshape(np.shape(gamma)), two.reshape(np.shape(gamma))


def _ridgeless(spectrum: Spectrum, m: Array) -> Array:
    """gamma with df1(gamma) = m; 0 where m reaches the number of modes."""
    gamma = np.zeros(m.shape)
    inside = m < spectrum.modes
    target = m[inside]
    if target.size:
        # df1 <= trace/gamma bounds gamma from above; df1 >= (all modes at the smallest eigenvalue),
        # or the tail alone, bounds it from below.
        count, smallest = spectrum.multiplicity.sum(), spectrum.eigenvalues[-1]
        low = np.maximum(smallest * (count / target - 1), spectrum.tail / target)
        high = spectrum.trace / target
        gamma[inside] = _root(spectrum, lambda one, _, goal: np.log(goal) - np.log(one), low, high, target)
    return gamma


def _with_ridge(spectrum: Spectrum, floor: Array, n: Array, k: Array, effective: Array, m: Array) -> Array:
    """gamma with gamma (1 - df1/n)(1 - df1/k) = ridge/n, above the ridgeless `floor`."""

    def excess(one: Array, gamma: Array, n: Array, k: Array, effective: Array) -> Array:
        return np.maximum(1 - one / n, 0) * np.maximum(1 - one / k, 0) - effective / gamma

    low = np.maximum(floor, effective)
    high = np.maximum(2 * spectrum.trace / m, 4 * effective)
    return _root(spectrum, excess, low, high, n, k, effective)


def _root(spectrum: Spectrum, function: Any, low: Array, high: Array, *arguments: Array) -> Array:
    """The root in log gamma of function(df1, gamma, *arguments), increasing between low and high."""

    def at(log_gamma: Array, *rest: Array) -> Array:
        gamma = np.exp(log_gamma)
        return function(_sums(spectrum, gamma)[0], gamma, *rest)

    # A hair wider, so that a root that coincides with a bound is bracketed in spite of rounding.
    bounds = (np.log(low) - 1e-12, np.log(high) + 1e-12)
    found = elementwise.find_root(
        at, bounds, args=arguments, tolerances={"xatol": 1e-15, "xrtol": 4e-16, "fatol": 0, "frtol": 0}
    )
    return np.exp(found.x)
