"""The self-consistent equations: gamma and kappa, and the whole loss at (n, k, ridge, noise).

Model: features phi(x) = A psi(x)/sqrt(k), A a k x modes Gaussian matrix, so that E phi.phi' = K;
theta = argmin |Phi theta - y|^2 + ridge |theta|^2 on n samples with label noise of variance `noise`.
With df1(g) = sum_i lambda_i/(lambda_i+g), one scalar equation gives everything:

    gamma (1 - df1/n) (1 - df1/k) = ridge/n,      df1 = df1(gamma) < min(n, k),            (FP)

and kappa = gamma (1 - df1/k) = 1/tr (K_n + ridge)^-1 is the ridge that the data see. k = infinity is
kernel ridge regression, n = infinity the projection on k features. n and k need not be whole.
Further linear random layers of widths k_2, k_3, ... (`stack`) put one factor (1 - df1/k_l) each into (FP)
and into kappa: the product of their S-transforms.

Valid when the eigenfunctions behave like Gaussian variables (Gaussian universality) and n, k and the
effective ranks are large; see docs/sharp_bits.md for how far that holds on real data.

Source: Simon et al. 2023 (arXiv:2311.14646); Atanasov et al. 2024 (arXiv:2405.00592);
Defilippis et al. 2024 (arXiv:2405.15699). Derivations in docs/theory.md.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import elementwise

from regimes import display
from regimes.results import Values
from regimes.spectrum import Spectrum

Array = np.ndarray
_CHUNK = 4_000_000
"""Entries of a (points, levels) table worked on at once: 32 MB."""


@display.shown
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


@display.shown
class Decomposition(NamedTuple):
    """The loss as a sum of parts that are never negative; the fields have the broadcast shape of the arguments.

    Data, features and label noise are independent sources of randomness; the parts of the variance are those of
    an analysis of variance. With E features sets (an ensemble) `features`, `interaction` and `noise_features`
    are divided by E.
    """

    bias: Values
    """Squared error of the predictor averaged over data and features: sum v^2 (gamma/(lambda+gamma))^2."""
    data: Values
    """Variance from the data alone, after averaging over the features."""
    features: Values
    """Variance from the features alone, after averaging over the data."""
    interaction: Values
    """The rest of the variance without label noise: data and features together. It peaks at n = k."""
    noise_data: Values
    """Variance from the label noise that an infinite ensemble over features keeps."""
    noise_features: Values
    """Variance from the label noise that an infinite ensemble over features averages away."""
    irreducible: Values
    """The label noise itself."""

    @property
    def total(self) -> Values:
        """The loss."""
        return sum(self[1:], start=self[0])


@display.shown
class Derivatives(NamedTuple):
    """dL/d ln n, dL/d ln k and dL/d ln ridge; the fields have the broadcast shape of the arguments."""

    n: Values
    """Zero at infinite n."""
    k: Values
    """Zero at infinite k."""
    ridge: Values
    """Zero at zero ridge."""


class _Point(NamedTuple):
    """(FP) solved on flat arguments, with all that the losses need."""

    gamma: Array
    one: Array
    two: Array
    x: Array
    """1 - df1/n, without cancellation where it is small."""
    y: Array
    """Product over the layers of 1 - df1/k_l: kappa/gamma."""
    slope: Array
    """d log gamma / d log kappa: between 0 (k = df1) and 1 (k infinite)."""
    spread: Array
    """(df1 - df2)/n."""


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


def solve(spectrum: Spectrum, n: Any, k: Any = np.inf, ridge: Any = 0.0, *, stack: Sequence[Any] = ()) -> FixedPoint:
    """Solve (FP) at every point of the broadcast n, k, ridge.

    Without ridge, df1(gamma) = min(n, k): one function of one argument, hence gamma(n, k) = gamma(k, n).
    Where min(n, k) reaches the number of modes, gamma is 0. The root is found in log gamma between
    bounds that bracket it for certain, so that scaling kernel and ridge by any factor scales gamma and
    nothing else. A million points in one call are worked on in blocks of bounded memory.

    Args:
        spectrum: the kernel.
        n: numbers of samples, positive, possibly infinite.
        k: numbers of features, positive, possibly infinite.
        ridge: multiple of the identity added to the Gram matrix K itself (not K/n), not negative.
        stack: widths of further linear random layers after the first, each broadcast with the rest.

    Raises:
        ValueError: n, k or a width not positive, a negative ridge, NaN.
    """
    flat, shape = _flat(n=n, k=k, ridge=ridge, **_named(stack))
    point = _solve(spectrum.compressed, *flat[:3], *flat[3:])
    with np.errstate(invalid="ignore"):
        kappa = np.where(point.gamma == 0, 0.0, point.gamma * point.y)
    return FixedPoint(*(field.reshape(shape)[()] for field in (point.gamma, kappa, point.one, point.two)))


def loss(
    spectrum: Spectrum,
    n: Any,
    k: Any = np.inf,
    ridge: Any = 0.0,
    noise: Any = 0.0,
    *,
    stack: Sequence[Any] = (),
    ensemble: Any = 1,
    train: bool = False,
    excess: bool = False,
) -> Values:
    """Mean squared test error (label noise included) at every point of the broadcast arguments.

    With s = gamma/(lambda+gamma), x = 1 - df1/n and h = d log kappa/d log gamma = 1 + sum_l (df1-df2)/(k_l - df1),

        L = { sum_i v_i^2 [s^2 + (1 - 1/h) (s - s^2)] + noise } / { x + (df1-df2)/(n h) },

    every term of which is positive, so nothing cancels near n = k. Without ridge L diverges like
    1/|n-k| there and is infinite at n = k.

    Args:
        spectrum: kernel and target.
        n: numbers of samples, positive, possibly infinite.
        k: numbers of features, positive, possibly infinite.
        ridge: multiple of the identity added to the Gram matrix K itself (not K/n), not negative.
        noise: variance of the label noise (summed over outputs, as the power is), not negative.
        stack: widths of further linear random layers after the first, each broadcast with the rest.
        ensemble: number of models, each with its own features, trained on the same data and averaged;
            possibly infinite.
        train: return the error of one model on the training set, x^2 L, instead.
        excess: return L - noise of one model, without the cancellation where it is small beside the noise.

    Raises:
        ValueError: n, k or a width not positive, a negative ridge or noise, fewer than one model, NaN; the training
            error or the excess of an ensemble, or both at once.

    Source: Simon et al. 2023, in the form derived in docs/theory.md; ensembles: Ruben et al. 2024 (arXiv:2412.05418).
    """
    flat, shape = _flat(n=n, k=k, ridge=ridge, noise=noise, ensemble=ensemble, **_named(stack))
    point = _solve(spectrum.compressed, *flat[:3], *flat[5:])
    once, twice = _power(spectrum.compressed, point.gamma)
    noise, models = flat[3:5]
    if (train or excess) and (np.any(models != 1) or (train and excess)):
        raise ValueError("`train` and `excess` are of one model, and one of the two: they exclude `ensemble`.")
    result = _loss(point, once, twice, noise)
    if excess:
        with np.errstate(divide="ignore", invalid="ignore"):
            fitted = noise * (np.where(point.one == 0, 0.0, point.one / flat[0]) - point.spread * point.slope)
            fitted = np.where(noise == 0, 0.0, fitted / (point.x + point.spread * point.slope))
        result = _loss(point, once, twice, np.zeros_like(noise)) + np.where(np.isinf(flat[0]), 0.0, fitted)
    elif train:
        # Without ridge and n <= k the training data are interpolated, at n = k too, where L is infinite.
        result = np.where(point.x == 0, 0.0, point.x**2 * np.where(np.isinf(result), 0.0, result))
    elif np.any(models != 1):
        shared = _loss(point._replace(slope=np.ones_like(point.slope)), once, twice, noise)
        with np.errstate(invalid="ignore"):
            result = np.where(np.isinf(models) | np.isinf(shared), shared, shared + (result - shared) / models)
    return result.reshape(shape)[()]


def decompose(
    spectrum: Spectrum,
    n: Any,
    k: Any = np.inf,
    ridge: Any = 0.0,
    noise: Any = 0.0,
    *,
    stack: Sequence[Any] = (),
    ensemble: Any = 1,
) -> Decomposition:
    """Bias, variance from data, from features and from both, and label noise; arguments as for `loss`.

    Averaging over the features turns the model into kernel ridge regression with ridge/(1 - df1/k), at the same
    gamma (Jacot et al. 2020): bias + data = sum v^2 s^2 / (1 - df2/n). Averaging over the data leaves
    bias + features = sum v^2 [s^2 + (1 - 1/h)(s - s^2)]. `interaction` is what the loss has beyond these.

    Raises:
        ValueError: as for `loss`.

    Valid when: as for the module. Near n = k without ridge only `interaction` and `noise_features` diverge.

    Source: derived in docs/theory.md; Atanasov et al. 2024 for linear random features.
    """
    flat, shape = _flat(n=n, k=k, ridge=ridge, noise=noise, ensemble=ensemble, **_named(stack))
    point = _solve(spectrum.compressed, *flat[:3], *flat[5:])
    once, bias = _power(spectrum.compressed, point.gamma)
    noise, models = flat[3:5]
    nothing = np.zeros_like(noise)
    averaged = point._replace(slope=np.ones_like(point.slope))
    data = _loss(averaged, once, bias, nothing) - bias
    features = (1 - point.slope) * (once - bias)
    with np.errstate(invalid="ignore"):
        # Where n is the number of modes, what is not learnt makes the variance infinite for any features.
        interaction = np.where(np.isinf(data), 0.0, _loss(point, once, bias, nothing) - bias - data - features)
        noise_data = _loss(averaged, nothing, nothing, noise) - noise
        noise_features = np.where(np.isinf(noise_data), 0.0, _loss(point, nothing, nothing, noise) - noise - noise_data)
        averaged_away = [
            np.where(np.isinf(models), 0.0, part / models) for part in (features, interaction, noise_features)
        ]
    features, interaction, noise_features = averaged_away
    parts = [bias, data, features, interaction, noise_data, noise_features, noise]
    return Decomposition(*(np.maximum(part, 0.0).reshape(shape)[()] for part in parts))


def derivatives(spectrum: Spectrum, n: Any, k: Any = np.inf, ridge: Any = 0.0, noise: Any = 0.0) -> Derivatives:
    """How the loss changes with ln n, ln k and ln ridge: exact, by the implicit function theorem.

    With w = x y + r (y/n + x/k), (FP) gives d ln gamma/d ln n = -y/w, d ln gamma/d ln k = -x df1/(k w) and
    d ln gamma/d ln ridge = x y/w; the rest are derivatives of the formula of `loss`. Arguments as there. Where
    the loss is infinite, at n = k or n = modes without ridge, they are undefined: NaN.

    Raises:
        ValueError: n or k not positive, a negative ridge or noise, NaN.

    Source: derived in docs/theory.md. Other derivatives (of gamma, in the spectrum, in time, of higher order) are in
    [differentiable][regimes.differentiable].
    """
    (n, k, ridge, noise), shape = _flat(n=n, k=k, ridge=ridge, noise=noise)
    levels = spectrum.compressed
    gamma, one, two, x, y, slope, _ = _solve(levels, n, k, ridge)
    once, twice = _power(levels, gamma)
    thrice, three = np.empty_like(gamma), np.empty_like(gamma)
    for part in _chunks(levels, len(gamma)):
        share = gamma[part, None] / (levels.eigenvalues + gamma[part, None])
        thrice[part], three[part] = share**3 @ levels.power, (1 - share) ** 3 @ levels.multiplicity
    thrice += levels.tail_power
    a, b = 1 / n, 1 / k
    both = np.isinf(n) & np.isinf(k)  # nothing but the tail is unlearnt, and nothing changes
    one, two, three = (np.where(both, 0.0, value) for value in (one, two, three))
    r = np.maximum(one - two, 0.0)
    over = y + b * r  # slope = y/over
    numerator = twice + (1 - slope) * (once - twice) + noise
    denominator = x + a * r * slope
    found = []
    with np.errstate(divide="ignore", invalid="ignore"):
        w = x * y + r * (a * y + b * x)
        # (d ln gamma, d(1/n), d(1/k)) for a unit change of ln n, of ln k and of ln ridge.
        for step, da, db in ((-y / w, -a, 0 * b), (-x * b * one / w, 0 * a, -b), (x * y / w, 0 * a, 0 * b)):
            step = np.where(gamma == 0, 0.0, step)  # all modes are learnt, and stay so
            d_one, d_r = -r * step, (2 * (two - three) - r) * step
            dx, dy = -a * d_one - one * da, -b * d_one - one * db
            d_slope = np.where(over > 0, (dy * b * r - y * (b * d_r + r * db)) / over**2, 0.0)
            d_numerator = ((once - twice) * (1 - slope) + 2 * (twice - thrice) * slope) * step - d_slope * (
                once - twice
            )
            d_denominator = dx + (a * d_r + r * da) * slope + a * r * d_slope
            change = (d_numerator - numerator / denominator * d_denominator) / denominator
            change = np.where(denominator == 0, np.nan, change)
            found.append(np.where(numerator == 0, 0.0, change))
    for index, idle in enumerate((np.isinf(n), np.isinf(k), ridge == 0)):
        found[index] = np.where(idle, 0.0, found[index])
    return Derivatives(*(field.reshape(shape)[()] for field in found))


def learnability(spectrum: Spectrum, n: Any, k: Any = np.inf, ridge: Any = 0.0) -> Values:
    """Share of each level that is learnt on average, lambda/(lambda+gamma): the levels are a last axis.

    Summed over all modes (times multiplicity, and with the tail) it is df1, and df1 + ridge/kappa = n.

    Raises:
        ValueError: as for `solve`.

    Source: Simon et al. 2021 (arXiv:2110.03922).
    """
    gamma = np.asarray(solve(spectrum, n, k, ridge).gamma)[..., None]
    return spectrum.eigenvalues / (spectrum.eigenvalues + gamma)


def loss_by_level(spectrum: Spectrum, n: Any, k: Any = np.inf, ridge: Any = 0.0) -> Values:
    """Each level's part of the loss without noise, v^2 [s^2 + (1-1/h)(s-s^2)]/(x + (df1-df2)/(n h)): a last axis.

    The parts sum to `loss` at noise 0 when the spectrum has no tail power.

    Raises:
        ValueError: as for `solve`.

    Source: Bordelon et al. 2020 (arXiv:2002.02561) for infinite k.
    """
    flat, shape = _flat(n=n, k=k, ridge=ridge)
    point = _solve(spectrum.compressed, *flat)
    share = point.gamma[:, None] / (spectrum.eigenvalues + point.gamma[:, None])
    parts = share**2 + (1 - point.slope)[:, None] * (share - share**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        result = spectrum.power * parts / (point.x + point.spread * point.slope)[:, None]
    return np.where(spectrum.power * parts == 0, 0.0, result).reshape(*shape, len(spectrum.eigenvalues))


def gcv(train_loss: Any, n: Any, ridge: Any, kappa: Any) -> Values:
    """Generalised cross-validation: the test loss from the training loss, train / (ridge/(n kappa))^2.

    kappa = 1/tr (K + ridge)^-1 of the training Gram matrix K, so that nothing but training data enters; in the
    theory this is `loss` exactly.

    Args:
        train_loss: mean squared error on the training set.
        n: number of training samples.
        ridge: added to the diagonal of K, positive.
        kappa: 1/tr (K + ridge)^-1.

    Raises:
        ValueError: a ridge or kappa that is not positive (without ridge use leave-one-out).

    Source: Golub, Heath and Wahba 1979; Wei, Hu and Steinhardt 2022 (arXiv:2203.06176).
    """
    (n, train_loss, ridge, kappa), shape = _flat(n=n, train_loss=train_loss, ridge=ridge, kappa=kappa)
    if (ridge <= 0).any() or (kappa <= 0).any():
        raise ValueError("`ridge` and `kappa` must be positive: without ridge the training loss is zero.")
    return (train_loss * (n * kappa / ridge) ** 2).reshape(shape)[()]


def _named(stack: Sequence[Any]) -> dict[str, Any]:
    return {f"stack[{layer}]": width for layer, width in enumerate(stack)}


def _flat(**arguments: Any) -> tuple[list[Array], tuple[int, ...]]:
    """The arguments as float64, checked, broadcast and flattened; and their common shape."""
    arrays = []
    for name, value in arguments.items():
        array = np.asarray(value, dtype=np.float64)
        if np.isnan(array).any():
            raise ValueError(f"`{name}` must not be NaN.")
        if name == "ensemble":
            if (array < 1).any():
                raise ValueError(f"`ensemble` must be at least one model, got {array.min():g}.")
        elif name in ("n", "k") or name.startswith("stack"):
            if (array <= 0).any():
                raise ValueError(f"`{name}` must be positive, got {array.min():g}.")
            array = np.maximum(array, 1e-250)  # nothing is learnt either way, and its inverse is finite
        elif ((array < 0) | np.isinf(array)).any():
            raise ValueError(f"`{name}` must be finite and not negative, got {array.min():g} to {array.max():g}.")
        arrays.append(array)
    together = np.broadcast_arrays(*arrays)
    return [array.ravel() for array in together], together[0].shape


def _loss(point: _Point, once: Array, twice: Array, noise: Array) -> Array:
    """The formula of `loss`, given the fixed point and the power not learnt."""
    numerator = twice + (1 - point.slope) * (once - twice) + noise
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(numerator == 0, 0.0, numerator / (point.x + point.spread * point.slope))


def _solve(spectrum: Spectrum, n: Array, k: Array, ridge: Array, *stack: Array) -> _Point:
    """(FP) on flat arguments."""
    widths = np.stack([k, *stack])
    every = np.concatenate([n[None], widths])
    m = every.min(axis=0)
    distinct, which = np.unique(m, return_inverse=True)
    gamma = _ridgeless(spectrum, distinct)[which]
    effective = ridge / n  # zero for infinite n, where any finite ridge is negligible
    active = (effective > 0) & np.isfinite(m)
    if active.any():
        gamma[active] = _with_ridge(spectrum, gamma[active], every[:, active], effective[active], m[active])
    one, two = _sums(spectrum, gamma)
    one = np.where(active | (gamma == 0), one, m)  # exact by construction
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        r = np.maximum(one - two, 0.0)
        factors = 1 - np.minimum(one, m) / every
        # x y = ridge/(n gamma): the smallest factor follows from the others without cancellation.
        smallest = every == m
        ties = smallest.sum(axis=0)
        others = np.where(smallest, 1.0, factors).prod(axis=0)
        factors = np.where((gamma > 0) & smallest, (effective / gamma / others) ** (1 / ties), factors)
        missing = np.where(np.isinf(widths), 0.0, r / (widths * factors[1:]))
        slope = np.where(r == 0, 1.0, 1 / (1 + missing.sum(axis=0)))
        spread = r / n
    neither = np.isinf(m)  # everything is learnt but the tail
    x, y, slope = (np.where(neither, 1.0, value) for value in (factors[0], factors[1:].prod(axis=0), slope))
    return _Point(gamma, one, two, x, y, slope, np.where(neither, 0.0, spread))


def _chunks(spectrum: Spectrum, points: int) -> list[slice]:
    size = max(1, _CHUNK // len(spectrum.eigenvalues))
    return [slice(start, start + size) for start in range(0, points, size)]


def _power(spectrum: Spectrum, gamma: Array) -> tuple[Array, Array]:
    """Sum v^2 s and sum v^2 s^2 with s = gamma/(lambda+gamma), the share not learnt; the tail has s = 1."""
    once, twice = np.empty_like(gamma), np.empty_like(gamma)
    for part in _chunks(spectrum, len(gamma)):
        share = gamma[part, None] / (spectrum.eigenvalues + gamma[part, None])
        once[part], twice[part] = share @ spectrum.power, share**2 @ spectrum.power
    return once + spectrum.tail_power, twice + spectrum.tail_power


def _sums(spectrum: Spectrum, gamma: Array) -> tuple[Array, Array]:
    """df1 and df2, of real or complex gamma."""
    one, two = np.empty_like(gamma), np.empty_like(gamma)
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
        with np.errstate(over="ignore"):
            low = np.maximum(smallest * (count / target - 1), spectrum.tail / target)
            high = spectrum.trace / target
        gamma[inside] = _root(spectrum, lambda one, _, goal: np.log(goal) - np.log(one), low, high, target)
    return gamma


def _with_ridge(spectrum: Spectrum, floor: Array, every: Array, effective: Array, m: Array) -> Array:
    """Gamma with gamma (1 - df1/n) prod (1 - df1/k_l) = ridge/n, above the ridgeless `floor`."""

    def excess(one: Array, gamma: Array, effective: Array, *sizes: Array) -> Array:
        product = np.ones_like(one)
        for size in sizes:
            product = product * np.maximum(1 - one / size, 0)
        return product - effective / gamma

    low = np.maximum(floor, effective)
    # At gamma = 2 trace/m every factor is at least a half.
    high = np.maximum(2 * spectrum.trace / m, 2.0 ** len(every) * effective)
    return _root(spectrum, excess, low, high, effective, *every)


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
