"""The loss in training time: gradient flow, gradient descent and one-pass SGD at any n and k.

With S = Phi^T Phi/n the empirical covariance of the features, kappa(z) and gamma(z) the solution of

    z = kappa (1 - df1/n),   kappa = gamma (1 - df1/k),   df1 = df1(gamma),

at complex z, and P(z) = sum v^2 gamma/(lambda+gamma) + noise, the loss of gradient flow with ridge
(rho = ridge/n) at time t is a double contour integral, each contour around all singularities of its integrand:

    L(t) = int int dz1 dz2/(2 pi i)^2 w(z1) w(z2) [kappa1 P2 - kappa2 P1]/(z1 - z2),
    w(z) = exp((z - rho) t)/(z - rho).

As t grows only the pole at rho is left, and L = P dkappa/dz - kappa dP/dz at z = ridge/n: the loss of
[equivalents][regimes.equivalents.loss] is the Wronskian of kappa and P. Gradient descent has another w, one-pass SGD
the same kappa and P at infinite n. The difference quotient is never formed by subtraction: with R = 1/(lambda+gamma),
every one in it is a matrix product R diag(...) R^T over the levels, so nothing cancels at late times or near n = k.

Valid as for [equivalents][regimes.equivalents]. Time is in units of 1/eigenvalue, with features that carry 1/sqrt(k):
d theta/dt = -(1/n) Phi^T (Phi theta - y) - (ridge/n) theta from theta = 0.

Source: the form above is derived in docs/theory.md; Bodin and Macris 2021 (arXiv:2110.11805) and Bordelon et al. 2024
(arXiv:2402.01092) for the same loss by other routes; Paquette et al. 2024 (arXiv:2405.15074) for SGD.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import elementwise

from regimes import _checks, equivalents
from regimes.results import Values
from regimes.spectrum import Spectrum

Array = np.ndarray
_TALBOT = 32
"""Nodes of the modified Talbot contour; twelve digits for the flow."""
_MOST = 2000
"""Most nodes of a contour for gradient descent: the tables of their pairs take a gigabyte."""
_LATEST = 1e150
"""Times beyond are as good as infinite, below its inverse as good as zero; the squares of those between are finite.
A ridge/n beyond this many traces leaves nothing to learn."""
_FEWEST = 1e-100
"""Sizes below learn nothing, and the training loss depends on their ratio and on time/size only."""
_TABLE = 4_000_000
"""Entries of a (points, nodes, levels) table worked on at once: 64 MB of complex numbers."""


class _Nodes(NamedTuple):
    """The upper half of a contour that is symmetric about the real axis: (points, nodes) each."""

    z: Array
    """Nodes, the one nearest to the positive real axis first."""
    weights: Array
    """w(z) dz/(2 pi i), quadrature weight included."""
    closed: bool
    """Whether it encloses the eigenvalues and so passes next to arg gamma = pi, where `Spectrum.compressed` fails."""


class _Tracked(NamedTuple):
    """Gamma(z) on the nodes."""

    gamma: Array
    """(points, nodes) gamma."""
    distance: Array
    """gamma - gamma(0), to full relative accuracy."""
    floor: Array
    """(points,) gamma at z = 0."""


def gradient_flow(
    spectrum: Spectrum,
    time: Any,
    n: Any = np.inf,
    k: Any = np.inf,
    ridge: Any = 0.0,
    noise: Any = 0.0,
    *,
    stack: Sequence[Any] = (),
    train: bool = False,
) -> Values:
    """Mean squared test error (label noise included) after gradient flow for a time, at every point.

    Time 0 gives total power + noise, infinite time [equivalents.loss][regimes.equivalents.loss]; n = k = infinity gives
    sum v^2 exp(-2 lambda t) + noise. The contour is Weideman's modified Talbot contour with 32 nodes.

    Args:
        spectrum: kernel and target.
        time: training times, not negative, possibly infinite; in units of 1/eigenvalue.
        n: numbers of samples, positive, possibly infinite.
        k: numbers of features, positive, possibly infinite.
        ridge: multiple of the identity added to the Gram matrix K itself (weight decay ridge/n), not negative.
        noise: variance of the label noise (summed over outputs, as the power is), not negative.
        stack: widths of further linear random layers (not trained), each broadcast with the rest.
        train: return the error on the training set instead.

    Raises:
        ValueError: n, k or a width not positive, a negative time, ridge or noise, NaN.
    """
    flat, shape = _broadcast("time", time, n, k, ridge, noise, stack)
    time, ridge, noise = flat[0], flat[3], flat[4]
    every = np.stack([flat[1], flat[2], *flat[5:]])
    with np.errstate(over="ignore"):
        # df1 is trace/gamma where a size is that small: sizes and time can be scaled by one factor.
        scale = np.maximum(_FEWEST / every.min(axis=0), 1)
        time, every = time * scale, every * scale
        effective = ridge / every[0]
    result = np.empty(len(time))
    start = (time < 1 / _LATEST) | (effective > _LATEST * spectrum.trace)
    end = (time > _LATEST) & ~start
    result[start] = spectrum.total_power + noise[start]
    (n, k), stack = every[:2, end], every[2:, end]
    result[end] = equivalents.loss(spectrum, n, k, ridge[end], noise[end], stack=list(stack), train=train)
    rest = np.flatnonzero(~start & ~end)
    compressed = spectrum.compressed
    for part in _blocks(rest, len(compressed.eigenvalues)):
        t, rho = time[part, None], effective[part, None]
        # w(z) dz/(2 pi i) = exp(zeta t)/zeta dzeta/(2 pi i), zeta = z - rho: free of t but for the place.
        place, turn = _talbot()
        weights = np.broadcast_to(np.exp(_TALBOT * place) / place * turn, (len(part), len(place)))
        nodes = _Nodes(rho + _TALBOT / t * place, weights, closed=False)
        result[part] = _quadratic(compressed, every[:, part], nodes, noise[part], train)
    return result.reshape(shape)[()]


def gradient_descent(
    spectrum: Spectrum,
    steps: Any,
    rate: Any,
    n: Any = np.inf,
    k: Any = np.inf,
    noise: Any = 0.0,
    *,
    stack: Sequence[Any] = (),
    train: bool = False,
) -> Values:
    """Mean squared test error (label noise included) after full-batch gradient descent, at every point.

    theta <- theta - (rate/n) Phi^T (Phi theta - y): w(z) = (1 + rate z)^steps / z. It follows the flow at
    time = rate x steps while rate x eigenvalue is small, and diverges for a rate above `stable_rate`: infinite where
    the loss is beyond floating point. Close to that rate, or for fewer than 128 steps, the contour encloses the
    eigenvalues and works on all levels: time grows with steps x levels.

    Args:
        spectrum: kernel and target.
        steps: numbers of steps, whole, not negative.
        rate: learning rates, positive.
        n: numbers of samples, positive, possibly infinite.
        k: numbers of features, positive, possibly infinite.
        noise: variance of the label noise (summed over outputs, as the power is), not negative.
        stack: widths of further linear random layers (not trained), each broadcast with the rest.
        train: return the error on the training set instead.

    Raises:
        ValueError: n, k, a width or a rate not positive, steps that are negative or not whole, a negative noise, NaN;
            too many steps within a hair of the edge of stability.
    """
    flat, shape = _broadcast("steps", steps, n, k, rate, noise, stack)
    steps, n, k, rate, noise = flat[:5]
    if (rate <= 0).any():
        raise ValueError(f"`rate` must be positive, got {rate.min():g}.")
    if np.isinf(steps).any() or (steps != np.floor(steps)).any():
        raise ValueError("`steps` must be whole numbers.")
    every = np.stack([n, k, *flat[5:]])
    edge, _ = _edge(spectrum, every)
    with np.errstate(divide="ignore"):
        overflow = 2 * steps * np.log(np.abs(1 - rate * edge)) > 650
    result = np.where(overflow, np.inf, spectrum.total_power + noise)
    for point in np.flatnonzero((steps > 0) & ~overflow):
        nodes = _descent_nodes(steps[point], rate[point], edge[point])
        at = slice(point, point + 1)
        levels = spectrum if nodes.closed else spectrum.compressed
        result[at] = _quadratic(levels, every[:, at], nodes, noise[at], train)
    return result.reshape(shape)[()]


def one_pass_sgd(
    spectrum: Spectrum, steps: Any, rate: float, *, batch: int = 1, k: Any = math.inf, noise: float = 0.0
) -> Values:
    """Mean squared test error (label noise included) after steps of SGD, each on a fresh batch.

    With a(s) = (1 - rate s)^2 + rate^2 s^2/batch, M the covariance of the features and q = rate^2/batch, the loss
    solves the Volterra equation

        L(r) = F(r) + sum_{u<r} H(r-1-u) L(u),   F(r) = v^T a(M)^r v + noise,   H(r) = q tr M^2 a(M)^r,

    exact for Gaussian features. At infinite k the eigenvalues of M are the spectrum's own; at finite k the nodes of a
    contour around those of M serve as complex eigenvalues with complex weights, good for all steps asked.

    Args:
        spectrum: kernel and target.
        steps: numbers of steps, whole, not negative; one number or a list.
        rate: learning rate, positive.
        batch: samples per step.
        k: number of features, a single one, possibly infinite.
        noise: variance of the label noise, not negative.

    Raises:
        ValueError: a rate, batch or k not positive, several k or NaN, steps negative or not whole, a negative noise.

    Valid when: as for the module. Time and memory grow with the largest number of steps (10^5 in seconds). The loss
    grows without bound for a rate above `stable_rate(..., batch=batch)`.

    Source: Paquette et al. 2024 (arXiv:2405.15074); derivation in docs/theory.md.
    """
    wanted = _checks.finite_array("steps", steps)
    if (wanted < 0).any() or (wanted != np.floor(wanted)).any():
        raise ValueError("`steps` must be whole numbers, not negative.")
    rate = _checks.number("rate", rate, low=0, strict=True)
    batch = _checks.count("batch", batch)
    noise = _checks.number("noise", noise, low=0)
    if np.ndim(k):
        raise ValueError(
            f"`k` must be a single number, possibly infinite, got shape {np.shape(k)}; call once for each."
        )
    (k_,), _ = equivalents._flat(k=k)
    last = int(wanted.max())
    if np.isinf(k_[0]):
        s, power = spectrum.eigenvalues.astype(complex), spectrum.power.astype(complex)
        trace = spectrum.multiplicity * s**2
        noise_floor = noise + spectrum.tail_power
    else:
        every = np.array([[np.inf], [float(k_[0])]])
        nodes = _ellipse(float(_edge(spectrum, every)[0][0]), 2.5 / (rate * max(last, 1)))
        tracked = _track(spectrum, every, nodes.z)
        z, gamma = nodes.z[0], tracked.gamma[0]
        once = equivalents._power(spectrum, gamma)[0]
        # v^T (M+z)^-1 v = P/z and tr M (M+z)^-1 = df1; twice the real part stands for both halves of the contour.
        s, power = -z, 2 * nodes.weights[0] * once / z
        trace = 2 * nodes.weights[0] * -z * equivalents._sums(spectrum, gamma)[0]
        noise_floor = noise
    decay = (1 - rate * s) ** 2 + rate**2 * s**2 / batch
    kernel = rate**2 / batch * trace
    result = np.empty(last + 1)
    memory = np.zeros_like(decay)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(last + 1):
            result[step] = noise_floor + (power.sum() + kernel @ memory).real
            memory = decay * memory + result[step]
            power = decay * power
    result[~np.isfinite(result)] = np.inf  # diverged beyond floating point
    return result[wanted.astype(np.int64)]


def largest_eigenvalue(spectrum: Spectrum, n: Any = np.inf, k: Any = np.inf) -> Values:
    """Upper edge of the spectrum of the empirical covariance Phi^T Phi/n (and of K/n).

    The minimum over g > lambda_1 of g (1 + Z/n) (1 + Z/k) with Z = sum lambda/(g - lambda).

    Args:
        spectrum: the kernel.
        n: numbers of samples, positive, possibly infinite.
        k: numbers of features, positive, possibly infinite.

    Raises:
        ValueError: n or k not positive, NaN.

    Valid when: as for the module. It is the edge of the deterministic spectrum, in which a single mode on top is a
    narrow band: the largest eigenvalue of a sample then lies below by a share of about 2/sqrt(min(n, k)).

    Source: Silverstein and Choi 1995, applied to both factors.
    """
    (n, k), shape = equivalents._flat(n=n, k=k)
    return _edge(spectrum, np.stack([n, k]))[0].reshape(shape)[()]


def stable_rate(spectrum: Spectrum, n: Any = np.inf, k: Any = np.inf, *, batch: float = math.inf) -> Values:
    """Largest learning rate that does not diverge: 2/s_max for gradient descent, less for SGD.

    One-pass SGD (finite batch, n infinite) needs a(s) < 1 at the largest eigenvalue, rate < 2/(s_max (1 + 1/batch)),
    and a Volterra kernel that sums to less than one, sum_r H(r) = (rate/batch) tr M/(2 - rate (1+1/batch) M) < 1.

    Args:
        spectrum: the kernel.
        n: numbers of samples, positive, possibly infinite.
        k: numbers of features, positive, possibly infinite.
        batch: samples per step of one-pass SGD; infinite is gradient descent.

    Raises:
        ValueError: n, k or batch not positive; a finite batch with finite n.
    """
    if not batch > 0:
        raise ValueError(f"`batch` must be positive, got {batch}.")
    (n, k), shape = equivalents._flat(n=n, k=k)
    edge, place = _edge(spectrum, np.stack([n, k]))
    if math.isinf(batch):
        return (2 / edge).reshape(shape)[()]
    if np.isfinite(n).any():
        raise ValueError("a finite `batch` means one-pass SGD, for which `n` is infinite.")
    # At z = -s outside the spectrum of M, gamma = -g and tr M/(s - M) = sum lambda/(g - lambda): the Volterra kernel
    # sums to one where that is batch + 1.
    top = spectrum.eigenvalues[0]
    found = elementwise.find_root(
        lambda over: _beyond(spectrum, over) / (batch + 1) - 1,
        (spectrum.multiplicity[0] * top / (batch + 1) / 2, spectrum.trace / (batch + 1)),
    )
    over = np.maximum(place - top, found.x)
    g = top + over
    s = g * (1 + _beyond(spectrum, over) / k)
    return (2 / (s * (1 + 1 / batch))).reshape(shape)[()]


def _broadcast(
    name: str, when: Any, n: Any, k: Any, third: Any, noise: Any, stack: Sequence[Any]
) -> tuple[list[Array], tuple[int, ...]]:
    """Arguments checked, broadcast and flattened: (when, n, k, third, noise, *stack)."""
    times = np.asarray(when, dtype=np.float64)
    if np.isnan(times).any() or (times < 0).any():
        raise ValueError(f"`{name}` must not be negative or NaN.")
    third_name = "ridge" if name == "time" else "rate"
    arguments = {"n": n, "k": k, third_name: third, "noise": noise} | equivalents._named(stack)
    flat, shape = equivalents._flat(**arguments)
    together = np.broadcast_shapes(times.shape, shape)
    return (
        [
            np.broadcast_to(array.reshape(s), together).ravel()
            for array, s in [(times, times.shape)] + [(a, shape) for a in flat]
        ],
        together,
    )


def _blocks(points: Array, levels: int) -> list[Array]:
    """The points in blocks whose (points, nodes, levels) tables stay below 64 MB."""
    size = max(1, _TABLE // (levels * _TALBOT))
    return [points[start : start + size] for start in range(0, len(points), size)]


def _descent_nodes(steps: float, rate: float, edge: float) -> _Nodes:
    """A contour for w(z) = (1 + rate z)^steps/z."""
    fastest = abs(1 - rate * edge)
    if steps >= 128 and fastest < 1 and steps * math.log(max(fastest, 1e-300)) < -40:
        # What the open contour leaves out has died away.
        place, turn = _talbot()
        growth = np.exp(steps * np.log1p(_TALBOT * place / steps))
        return _Nodes((_TALBOT / (rate * steps) * place)[None], (growth / place * turn)[None], closed=False)
    nodes = _ellipse(edge, 4 / (rate * steps))
    if nodes.z.size > _MOST:
        raise ValueError(
            f"`steps` = {steps:g} at `rate` = {rate:g} is too close to the edge of stability {2 / edge:g} for so many "
            "steps; lower the rate."
        )
    return nodes._replace(weights=nodes.weights * (1 + rate * nodes.z) ** steps / nodes.z)


def _talbot() -> tuple[Array, Array]:
    """Places z t/N on the modified Talbot contour, and dz/(2 pi i) in the same unit with the quadrature weight."""
    # Weideman 2006: z t/N = -0.6122 + 0.5017 theta cot(0.6407 theta) + 0.2645 i theta.
    theta = np.pi * np.arange(1, _TALBOT, 2) / _TALBOT
    place = -0.6122 + 0.5017 * theta / np.tan(0.6407 * theta) + 0.2645j * theta
    turn = 0.5017 / np.tan(0.6407 * theta) - 0.5017 * 0.6407 * theta / np.sin(0.6407 * theta) ** 2 + 0.2645j
    return place, turn / (1j * _TALBOT)


def _ellipse(edge: float, beyond: float) -> _Nodes:
    """Trapezoidal rule on an ellipse around [-edge, 0], `beyond` further at both ends; w = 1."""
    beyond = min(beyond, edge / 2)
    cosh = 1 + 2 * beyond / edge
    log_radius = math.acosh(cosh)
    count = 2 * math.ceil(19 / log_radius)
    theta = np.pi * (2 * np.arange(count // 2) + 1) / count
    z = edge / 2 * (np.cosh(log_radius + 1j * theta) - 1)
    return _Nodes(z[None], (edge / 2 * np.sinh(log_radius + 1j * theta) / count)[None], closed=True)


def _quadratic(spectrum: Spectrum, every: Array, nodes: _Nodes, noise: Array, train: bool) -> Array:
    """The double contour integral at each point; `every` holds n, k and further widths, (sizes, points).

    `noise` is (points,), or (several, points) for as many losses.
    """
    tracked = _track(spectrum, every, nodes.z)
    gamma, floor, distance = tracked.gamma, tracked.floor, tracked.distance
    both = np.concatenate([gamma, gamma.conj()], axis=1)
    weights = np.concatenate([nodes.weights, nodes.weights.conj()], axis=1)
    learnt, many = _learnt(spectrum, floor), spectrum.multiplicity * spectrum.eigenvalues
    points, half = gamma.shape
    modes = np.zeros((points, half, 2 * half), dtype=complex)
    unlearnt, change, once = np.zeros_like(modes), np.zeros_like(gamma), np.zeros_like(both)
    size = max(1, _TABLE // both.size)
    for first in range(0, len(many), size):
        part = slice(first, first + size)
        resolvent = 1 / (spectrum.eigenvalues[part] + both[..., None])
        upper = resolvent[:, :half]
        modes += (upper * many[part]) @ resolvent.swapaxes(1, 2)
        unlearnt += (upper * spectrum.power[part]) @ resolvent.swapaxes(1, 2)
        change += (upper @ learnt[:, part, None])[:, :, 0]
        once += resolvent @ spectrum.power[part]
    a, b = gamma[:, :, None], both[:, None, :]
    modes += spectrum.tail / (a * b)  # -(Z_a - Z_b)/(gamma_a - gamma_b)
    # 1 - Z/w for each size w, from Z(floor) - Z(gamma) = distance sum lambda/((lambda+gamma)(lambda+floor)).
    factors = _factors(spectrum, every, floor, gamma, distance, change)
    here = factors[:, :, :, None]
    there = np.concatenate([factors, factors.conj()], axis=2)[:, :, None, :]
    y_there, by_layers = _difference(here[1:], there[1:], modes, every[1:])
    # z = gamma x y: its difference quotient, inverted, is that of gamma.
    all_there, by_all = _difference(here, there, modes, every)
    quotient = 1 / (all_there + a * by_all)
    once = both * once + spectrum.tail_power
    twice = a * b * unlearnt + spectrum.tail_power
    if train:
        quotient = quotient * here[0] * there[0]

    def integral(of: Array) -> Array:
        return 2 * np.einsum("pa,pab,pb->p", nodes.weights, quotient * of, weights).real

    signal = integral(y_there * twice + a * by_layers * once[:, None, :])
    return signal + (noise * integral(y_there + a * by_layers) if noise.any() else np.zeros_like(noise))


def _difference(here: Array, there: Array, modes: Array, sizes: Array) -> tuple[Array, Array]:
    """The product of all x(b), and [prod x(a) - prod x(b)]/(gamma_a - gamma_b), over factors x = 1 - Z/size."""
    product, quotient = np.ones_like(modes), np.zeros_like(modes)
    for x_here, x_there, size in zip(here, there, sizes, strict=True):
        quotient = quotient * x_here + product * modes / size[:, None, None]
        product = product * x_there
    return product, quotient


def _factors(spectrum: Spectrum, every: Array, floor: Array, gamma: Array, distance: Array, change: Array) -> Array:
    """1 - Z(gamma)/w for each size w, (sizes, points, nodes), from Z(floor) - Z(gamma) = distance x change.

    `change` is sum lambda/((lambda+gamma)(lambda+floor)) over the listed modes.
    """
    m = np.minimum(every.min(axis=0), spectrum.modes)
    with np.errstate(invalid="ignore", divide="ignore"):
        missing = np.where(np.isinf(every), 0.0, m / every)
        rest = np.where(floor > 0, spectrum.tail / floor, 0.0) / every
    return (1 - missing)[:, :, None] + distance * (change / every[:, :, None]) + rest[:, :, None] * (distance / gamma)


def _track(spectrum: Spectrum, every: Array, z: Array) -> _Tracked:
    """Gamma(z) along paths of nodes that begin near the positive real axis: Newton in log(gamma - gamma(0)).

    That logarithm is a smooth, nearly linear function of log z with a slope between 1/2 and 1, from the real axis on.
    """
    floor = equivalents._ridgeless(spectrum, every.min(axis=0))
    place = np.log(np.abs(z[:, 0])).astype(complex)
    learnt = _learnt(spectrum, floor)
    u, slope = _newton(spectrum, every, floor, learnt, place, place, 500)  # steps of at most one, from log z to log z/2
    found = np.empty(z.shape, dtype=complex)
    for node, target in enumerate(np.log(z).T):
        u, slope = _newton(spectrum, every, floor, learnt, u + (target - place) / slope, target, 12)
        place, found[:, node] = target, u
    distance = np.exp(found)
    return _Tracked(floor[:, None] + distance, distance, floor)


def _learnt(spectrum: Spectrum, floor: Array) -> Array:
    """Modes of each level times the share of them that is learnt at `floor`: (points, levels)."""
    return spectrum.multiplicity * spectrum.eigenvalues / (spectrum.eigenvalues + floor[:, None])


def _newton(
    spectrum: Spectrum, every: Array, floor: Array, learnt: Array, u: Array, target: Array, iterations: int
) -> tuple[Array, Array]:
    """Newton for log z = target as a function of u = log(gamma - floor); also d log z/du where it ends."""
    for _ in range(iterations):
        distance = np.exp(u)
        gamma = floor + distance
        resolvent = 1 / (spectrum.eigenvalues + gamma[:, None])
        change = (learnt * resolvent).sum(axis=1)
        x = _factors(spectrum, every, floor, gamma[:, None], distance[:, None], change[:, None])[:, :, 0]
        square = resolvent**2 @ (spectrum.multiplicity * spectrum.eigenvalues) + spectrum.tail / gamma**2
        slope = distance * (1 / gamma + (square / every / x).sum(axis=0))
        goal = np.exp(target)
        step = -np.log(np.concatenate([(gamma / goal)[None], x]).prod(axis=0)) / slope  # in this order: no underflow
        u = u + step / np.maximum(1, np.abs(step))
        if np.all(np.abs(step) < 1e-8):  # the next step would be of the order of its square
            break
    return u, slope


def _beyond(spectrum: Spectrum, over: Any) -> Array:
    """The sum of lambda/(g - lambda) for g = lambda_1 + over: minus df1 at gamma = -g."""
    top, many = spectrum.eigenvalues[0], spectrum.multiplicity * spectrum.eigenvalues
    below = top - spectrum.eigenvalues
    flat = np.ravel(over)
    result = np.empty(len(flat))
    size = max(1, _TABLE // len(below))  # (places, levels) tables of 32 MB
    for first in range(0, len(flat), size):
        part = slice(first, first + size)
        result[part] = (many / (flat[part, None] + below)).sum(axis=1)  # a product would round differently in blocks
    return np.asarray(result.reshape(np.shape(over)) + spectrum.tail / (top + np.asarray(over)))


def _edge(spectrum: Spectrum, every: Array) -> tuple[Array, Array]:
    """Largest eigenvalue s at each point, and the -gamma that belongs to it; `every` is (sizes, points)."""
    top = float(spectrum.eigenvalues[0])
    edge, place = np.full(every.shape[1], top), np.full(every.shape[1], top)

    def height(log_gap: Array, *sizes: Array) -> Array:
        over = top * np.exp(log_gap)
        g, z = top + over, _beyond(spectrum, over)
        for size in sizes:
            g = g * (1 + z / size)
        return g

    finite = np.isfinite(every.min(axis=0))
    if finite.any():
        sizes = every[:, finite]
        # s is g to within a factor 2 or so where g - lambda_1 is above trace/m; it rises again well below.
        width = np.log(spectrum.trace / top / sizes.min(axis=0))
        grid = np.linspace(np.minimum(width, 0) - 12, np.maximum(width, 0) + 3, 60)
        best = height(grid, *sizes[:, None]).argmin(axis=0).clip(1, len(grid) - 2)
        bracket = tuple(np.take_along_axis(grid, (best + shift)[None], axis=0)[0] for shift in (-1, 0, 1))
        found = elementwise.find_minimum(height, bracket, args=tuple(sizes))
        edge[finite], place[finite] = found.f_x, top * (1 + np.exp(found.x))
    return edge, place
