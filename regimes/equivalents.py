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
from scipy.optimize import elementwise

from regimes.results import Values
from regimes.spectra import Spectrum

Array = np.ndarray
_CHUNK = 4_000_000
"""Entries of a (points, levels) table worked on at once: 32 MB."""


class FixedPoint(NamedTuple):
    """Solution of (FP) at each point; all fields have the broadcast shape of n, k and ridge."""

    gamma: Values
    """Implicit regularisation in feature space, in units of the eigenvalues."""
    kappa: Values
    """Implicit regularisation that the data see: gamma (1 - df1/k)."""
    df1: Values
    """Effective number of modes learnt, sum lambda/(lambda+gamma)."""
    df2: Values
    """sum (lambda/(lambda+gamma))^2."""


def df1(spectrum: Spectrum, gamma: Any) -> Values:
    """sum_i lambda_i/(lambda_i+gamma) + tail/gamma: the effective number of modes above `gamma`."""
    (flat,), shape = _flat(gamma=gamma)
    return _sums(spectrum, flat)[0].reshape(shape)[()]


def df2(spectrum: Spectrum, gamma: Any) -> Values:
    """sum_i (lambda_i/(lambda_i+gamma))^2 = df1 + gamma d df1/d gamma."""
    (flat,), shape = _flat(gamma=gamma)
    return _sums(spectrum, flat)[1].reshape(shape)[()]


def unlearnt_power(spectrum: Spectrum, gamma: Any) -> Values:
    """sum_i v_i^2 gamma/(lambda_i+gamma) + tail_power: the loss of the projection on k features (n infinite)."""
    (flat,), shape = _flat(gamma=gamma)
    return _power(spectrum, flat)[0].reshape(shape)[()]


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
    (n, k, ridge), shape = _flat(n=n, k=k, ridge=ridge)
    return FixedPoint(*(field.reshape(shape)[()] for field in _solve(spectrum, n, k, ridge)))


def loss(
    spectrum: Spectrum, n: Any, k: Any = np.inf, ridge: Any = 0.0, noise: Any = 0.0, *, train: bool = False
) -> Values:
    """Mean squared test error (label noise included) at every point of the broadcast arguments.

    With x = 1 - df1/n, y = 1 - df1/k, r = df1 - df2 and D = x y + r (x/k + y/n),

        L = (gamma/D) sum_i v_i^2 [(r/k) lambda_i + (y + r/k) gamma]/(lambda_i+gamma)^2 + (y + r/k) noise/D,

    every term of which is positive, so nothing cancels near n = k. Without ridge L diverges like
    1/|n-k| there and is infinite at n = k.

    Args:
        spectrum: kernel and target.
        n: numbers of samples, positive, possibly infinite.
        k: numbers of features, positive, possibly infinite.
        ridge: multiple of the identity added to the Gram matrix K itself (not K/n), not negative.
        noise: variance of the label noise (summed over outputs, as the power is), not negative.
        train: return the error on the training set, x^2 L, instead.

    Raises:
        ValueError: n or k not positive, a negative ridge or noise, NaN.

    Source: Simon et al. 2023, in the symmetric form derived in docs/formulas.md.
    """
    (n, k, ridge, noise), shape = _flat(n=n, k=k, ridge=ridge, noise=noise)
    gamma, _, one, two = _solve(spectrum, n, k, ridge)
    once, twice = _power(spectrum, gamma)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = np.maximum(one - two, 0.0)
        x, y = 1 - one / n, 1 - one / k
        # x y = ridge/(n gamma): the smaller of the two follows from the larger without cancellation.
        product = ridge / n / gamma
        x, y = (
            np.where((gamma > 0) & (n <= k), np.where(n == k, np.sqrt(product), product / y), x),
            np.where((gamma > 0) & (k <= n), np.where(n == k, np.sqrt(product), product / x), y),
        )
        neither = np.isinf(n) & np.isinf(k)  # everything is learnt but the tail
        x, y, r = np.where(neither, 1.0, x), np.where(neither, 1.0, y), np.where(neither, 0.0, r)
        weight = y + r / k
        denominator = x * y + r * (x / k + y / n)
        numerator = (once - twice) * r / k + weight * (twice + noise)
        result = np.where(numerator == 0, 0.0, numerator / denominator)
    if train:
        result = np.where(x == 0, 0.0, x**2 * np.where(np.isinf(result), 0.0, result))
    return result.reshape(shape)[()]


def _flat(**arguments: Any) -> tuple[list[Array], tuple[int, ...]]:
    """The arguments as float64, checked, broadcast and flattened; and their common shape."""
    arrays = []
    for name, value in arguments.items():
        array = np.asarray(value, dtype=np.float64)
        if np.isnan(array).any():
            raise ValueError(f"`{name}` must not be NaN.")
        if name in ("n", "k") and (array <= 0).any():
            raise ValueError(f"`{name}` must be positive, got {array.min():g}.")
        if name not in ("n", "k") and ((array < 0) | np.isinf(array)).any():
            raise ValueError(f"`{name}` must be finite and not negative, got {array.min():g} to {array.max():g}.")
        arrays.append(array)
    together = np.broadcast_arrays(*arrays)
    return [array.ravel() for array in together], together[0].shape


def _solve(spectrum: Spectrum, n: Array, k: Array, ridge: Array) -> tuple[Array, Array, Array, Array]:
    """gamma, kappa, df1 and df2 on flat arguments."""
    m = np.minimum(n, k)
    gamma = _ridgeless(spectrum, m)
    effective = ridge / n  # zero for infinite n, where any finite ridge is negligible
    active = (effective > 0) & np.isfinite(m)
    if active.any():
        gamma[active] = _with_ridge(spectrum, gamma[active], n[active], k[active], effective[active], m[active])
    one, two = _sums(spectrum, gamma)
    one = np.where(active | (gamma == 0), one, m)  # exact by construction
    with np.errstate(invalid="ignore"):
        kappa = np.where(gamma == 0, 0.0, gamma * (1 - one / k))
    return gamma, kappa, one, two


def _chunks(spectrum: Spectrum, points: int) -> list[slice]:
    size = max(1, _CHUNK // len(spectrum.eigenvalues))
    return [slice(start, start + size) for start in range(0, points, size)]


def _power(spectrum: Spectrum, gamma: Array) -> tuple[Array, Array]:
    """Sum v^2 s and sum v^2 s^2 with s = gamma/(lambda+gamma), the share not learnt; the tail has s = 1."""
    once, twice = np.empty(len(gamma)), np.empty(len(gamma))
    for part in _chunks(spectrum, len(gamma)):
        share = gamma[part, None] / (spectrum.eigenvalues + gamma[part, None])
        once[part], twice[part] = share @ spectrum.power, share**2 @ spectrum.power
    return once + spectrum.tail_power, twice + spectrum.tail_power


def _sums(spectrum: Spectrum, gamma: Array) -> tuple[Array, Array]:
    """df1 and df2."""
    one, two = np.empty(len(gamma)), np.empty(len(gamma))
    for part in _chunks(spectrum, len(gamma)):
        learnt = spectrum.eigenvalues / (spectrum.eigenvalues + gamma[part, None])
        one[part], two[part] = learnt @ spectrum.multiplicity, learnt**2 @ spectrum.multiplicity
    if spectrum.tail:
        with np.errstate(divide="ignore"):
            one += spectrum.tail / gamma
    return one, two


def _ridgeless(spectrum: Spectrum, m: Array) -> Array:
    """Gamma with df1(gamma) = m; 0 where m reaches the number of modes."""
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
    """Gamma with gamma (1 - df1/n)(1 - df1/k) = ridge/n, above the ridgeless `floor`."""

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
