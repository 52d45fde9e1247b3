"""Domains with a band: orthonormal modes, targets in the first of them, and learners on points drawn there.

Each domain gives a list of settings: a learner, the places n at which its loss is measured, a function that measures it
on one set of points, and the spectrum that predicts it.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import fft, special

from regimes import _checks, estimate, factor, kernels, nyquist, profiles, ridge, spectra, tasks
from regimes.spectrum import Spectrum

Array = np.ndarray

_TESTS = 1500


class Sizes(NamedTuple):
    """How large the experiment is."""

    domains: tuple[str, ...]
    """What is measured."""
    band: int
    """Highest frequency on the circle."""
    torus: int
    """Modes on the torus, at least."""
    degree: int
    """Highest degree on the sphere."""
    block: int
    """Side of the block of low frequencies of a patch."""
    noise: float
    """Variance of the label noise where there is some; the target has power 1."""
    reach: int
    """Largest n, as a multiple of the rate."""
    targets: int
    """Targets on each set of points."""
    trials: int
    """Sets of points."""


class Setting(NamedTuple):
    """A case to be measured."""

    domain: str
    learner: str
    design: str
    noise: float
    spectrum: Spectrum
    """Kernel and target: what the rate and the prediction are taken from."""
    band: float
    at: Array
    loss: Callable[[np.random.Generator], Array]
    """For one set of points: (2, sizes) mean losses over targets, and condition numbers."""
    exact: Callable[[Array], Array] | None = None
    """The prediction where it is not the deterministic equivalent."""
    rate: float | None = None
    """The rate where it is not that of the spectrum."""


def _grid(rate: int, reach: int) -> Array:
    """Numbers of samples below, at and beyond a rate."""
    below = np.array([rate // 4, rate // 2, (3 * rate) // 4, (9 * rate) // 10, rate - 1, rate, rate + 1])
    beyond = rate * 2.0 ** np.arange(0.5, math.log2(reach) + 0.25, 0.5)
    return np.unique(np.concatenate([below[below > 0], np.rint(beyond).astype(np.int64)]))


def _by_modes(
    modes: Callable[[Array], Array],
    draw: Callable[[int, np.random.Generator], Array],
    at: Array,
    eigenvalues: Array,
    band: int,
    sizes: Sizes,
    *,
    noise: float = 0.0,
    nested: bool = True,
) -> Callable[[np.random.Generator], Array]:
    """Losses of the learner that has as many modes as there are eigenvalues, on targets in the first `band` modes."""
    count = len(eigenvalues)
    weights = np.sqrt(eigenvalues)

    def loss(rng: np.random.Generator) -> Array:
        target = rng.standard_normal((max(band, count), sizes.targets))
        target[band:] = 0
        target /= np.linalg.norm(target, axis=0)
        whole = modes(draw(int(at[-1]), rng))
        losses, conditions = [], []
        for n in at:
            seen = whole[:n] if nested else modes(draw(int(n), rng))
            y = seen[:, :band] @ target[:band]
            y = y + math.sqrt(noise) * rng.standard_normal(y.shape) if noise else y
            learnt, _, _, singular = np.linalg.lstsq(seen[:, :count] * weights, y, rcond=None)
            conditions.append(float(singular[0] / max(singular[-1], 1e-300)))
            missed = target.copy()
            missed[:count] -= weights[:, None] * learnt
            losses.append(float(np.mean(np.sum(missed**2, axis=0))) + noise)
        return np.array([losses, conditions])

    return loss


def _by_kernel(
    kernel: Callable[[Array, Array], Array],
    modes: Callable[[Array], Array],
    draw: Callable[[int, np.random.Generator], Array],
    at: Array,
    band: int,
    sizes: Sizes,
    *,
    noise: float = 0.0,
    nested: bool = True,
) -> Callable[[np.random.Generator], Array]:
    """Losses of a kernel without a band."""

    def loss(rng: np.random.Generator) -> Array:
        target = rng.standard_normal((band, sizes.targets))
        target /= np.linalg.norm(target, axis=0) * math.sqrt(sizes.targets)  # so that the sum over targets is the mean
        if nested:  # one draw for both: where points are drawn from a finite pool no test may have been trained on
            both = draw(_TESTS + int(at[-1]), rng)
            test, x = both[:_TESTS], both[_TESTS:]
            truth = modes(test)[:, :band] @ target
            y = modes(x)[:, :band] @ target
            y = y + math.sqrt(noise / sizes.targets) * rng.standard_normal(y.shape)
            found = ridge.loss_in_n(kernel(x, x), kernel(x, test), y, truth, at=at) + noise
            return np.array([found, np.full(len(at), np.nan)])
        test = 2 * np.pi * (np.arange(_TESTS) + rng.uniform()) / _TESTS
        truth = modes(test)[:, :band] @ target
        losses = []
        for n in at:
            x = draw(int(n), rng)
            lower = factor.cholesky(kernel(x, x)).lower
            y = modes(x)[:, :band] @ target
            fit = factor.solve_lower(lower, kernel(x, test)).T @ factor.solve_lower(lower, y)
            losses.append(float(np.mean(np.sum((fit - truth) ** 2, axis=1))))
        return np.array([losses, np.full(len(at), np.nan)])

    return loss


def _in_band(spectrum: Spectrum, band: float) -> Spectrum:
    """The kernel with a target of power 1 spread evenly over its first `band` modes."""
    inside = np.cumsum(spectrum.multiplicity) <= band + 0.5
    power = np.where(inside, spectrum.multiplicity, 0.0)
    return dataclasses.replace(spectrum, power=power / power.sum(), tail_power=0.0, replicates=())


def waves(x: Array, frequencies: int) -> Float64[Array, "n modes"]:
    """1, sqrt(2) cos x, sqrt(2) sin x, sqrt(2) cos 2x, ...: orthonormal on the circle, by frequency.

    Args:
        x: (n,) angles.
        frequencies: the highest.
    """
    phase = np.arange(1, frequencies + 1) * np.asarray(x)[:, None]
    pairs = math.sqrt(2) * np.stack([np.cos(phase), np.sin(phase)], axis=2)
    return np.concatenate([np.ones((len(phase), 1)), pairs.reshape(len(phase), -1)], axis=1)


def harmonics(x: Array, degrees: int) -> Float64[Array, "n modes"]:
    """Real spherical harmonics on S^2, of mean square 1, by degree.

    Args:
        x: (n, 3) unit vectors.
        degrees: the highest degree.
    """
    x = np.asarray(x)
    azimuth = np.arctan2(x[:, 1], x[:, 0])
    columns = []
    for degree in range(degrees + 1):
        for order in range(degree + 1):
            scale = (2 * degree + 1) * special.factorial(degree - order) / special.factorial(degree + order)
            polar = math.sqrt(scale) * special.lpmv(order, degree, np.clip(x[:, 2], -1, 1))
            if order == 0:
                columns.append(polar)
            else:
                columns += [math.sqrt(2) * polar * part(order * azimuth) for part in (np.cos, np.sin)]
    return np.stack(columns, axis=1)


def circle(sizes: Sizes, seed: int) -> list[Setting]:
    """Frequencies up to `band`; the kernel of all is the periodic Ornstein-Uhlenbeck kernel."""
    kernel, f = profiles.ornstein_uhlenbeck(), sizes.band
    count = 2 * f + 1
    whole = _in_band(spectra.circle(kernel, frequencies=10_000), count)
    highest = 4 * f

    def modes(x: Array) -> Array:
        return waves(x, highest)

    def scattered(n: int, rng: np.random.Generator) -> Array:
        return rng.uniform(0, 2 * np.pi, n)

    def even(n: int, rng: np.random.Generator) -> Array:
        return 2 * np.pi * (np.arange(n) + rng.uniform()) / n

    def between(a: Array, b: Array) -> Array:
        return np.asarray(kernel(a[:, None] - b))

    eigenvalues = kernel.coefficient(np.arange(50_001.0))
    power = np.where(np.arange(50_001) <= f, np.where(np.arange(50_001) > 0, 2.0, 1.0), 0.0) / count
    made = []

    def add(learner: str, design: str, frequencies: int, flat: bool = True, noise: float = 0.0) -> None:
        """A learner with so many frequencies; 0 for all."""
        regular = design == "regular"
        own = 2 * frequencies + 1
        rate = frequencies + f + 1 if regular else own  # regular points tell a target frequency from all that alias it
        at = _grid(rate if frequencies else count, sizes.reach if frequencies <= f else max(4, sizes.reach // 4))
        draw = even if regular else scattered
        settled: dict[str, Any] = {"noise": noise, "nested": not regular}
        if frequencies:
            values = np.ones(frequencies + 1) if flat else eigenvalues[: frequencies + 1]
            listed = np.where(np.arange(own) > 0, values[(np.arange(own) + 1) // 2], values[0])
            loss = _by_modes(modes, draw, at, listed, count, sizes, **settled)
            inside = np.arange(own) < count
            spectrum = Spectrum(listed, inside / count, np.ones(own), tail_power=max(0, count - own) / count)
            lam = np.concatenate([values, np.zeros(max(0, f - frequencies))])
        else:
            spectrum, lam = whole, eigenvalues
            loss = _by_kernel(between, modes, draw, at, count, sizes, **settled)

        def exact(n: Array) -> Array:
            return np.asarray(nyquist.regular(lam, power[: len(lam)], n, noise=noise))

        changed = (exact, float(rate) if frequencies else None) if regular else (None, None)
        made.append(Setting("circle", learner, design, noise, spectrum, count, at, loss, *changed))

    for design in ("random", "regular"):
        add("limited", design, f)
        add("unlimited", design, 0)
        add("twice the band", design, 2 * f)
        add("limited", design, f, noise=sizes.noise)
    add("limited, falling eigenvalues", "random", f, flat=False)
    add("four times the band", "random", 4 * f)
    add("half the band", "random", f // 2)
    add("unlimited", "random", 0, noise=sizes.noise)
    return made


def torus(sizes: Sizes, seed: int) -> list[Setting]:
    """The largest modes of a product of Ornstein-Uhlenbeck kernels on T^2."""
    kernel = profiles.ornstein_uhlenbeck()
    base = spectra.torus(kernel, 2, frequencies=200)
    sums = np.cumsum(base.multiplicity)
    level = int(np.searchsorted(sums, sizes.torus - 0.5))
    count = round(float(sums[level]))
    one = kernel.coefficient(np.arange(201.0))
    wave = np.concatenate([one[:1], np.repeat(one[1:], 2)])  # of `waves`, in its order
    values = np.multiply.outer(wave, wave).ravel()
    order = np.argsort(-values, kind="stable")[:count]
    first, second = np.divmod(order, len(wave))
    highest = int((max(first.max(), second.max()) + 1) // 2)
    whole = _in_band(base, count)
    at = _grid(count, sizes.reach)

    def modes(x: Array) -> Array:
        return waves(x[:, 0], highest)[:, first] * waves(x[:, 1], highest)[:, second]

    def draw(n: int, rng: np.random.Generator) -> Array:
        return rng.uniform(0, 2 * np.pi, (n, 2))

    def between(a: Array, b: Array) -> Array:
        return np.prod(np.asarray(kernel(a[:, None] - b)), axis=2)

    limited = nyquist.limited(whole, flat=True)
    return [
        Setting("torus", "limited", "random", 0.0, limited, count, at,
                 _by_modes(modes, draw, at, np.ones(count), count, sizes)),
        Setting("torus", "unlimited", "random", 0.0, whole, count, at,
                 _by_kernel(between, modes, draw, at, count, sizes)),
    ]  # fmt: skip


def sphere(sizes: Sizes, seed: int) -> list[Setting]:
    """Harmonics up to `degree` on S^2; the kernel of all is the Laplace kernel."""
    profile = profiles.laplace()
    count = (sizes.degree + 1) ** 2
    whole = _in_band(spectra.sphere(profile, 2, degrees=400), count)
    limited, at = nyquist.limited(whole, flat=True), _grid(count, sizes.reach)

    def modes(x: Array) -> Array:
        return harmonics(x, sizes.degree)

    def draw(n: int, rng: np.random.Generator) -> Array:
        x = rng.standard_normal((n, 3))
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    by_modes = [
        Setting("sphere", "limited", "random", noise, limited, count, at,
                 _by_modes(modes, draw, at, np.ones(count), count, sizes, noise=noise))
        for noise in (0.0, sizes.noise)
    ]  # fmt: skip
    by_kernel = _by_kernel(lambda a, b: profile(a @ b.T), modes, draw, at, count, sizes)
    return [*by_modes, Setting("sphere", "unlimited", "random", 0.0, whole, count, at, by_kernel)]


def low_pass(images: Any, block: int) -> Float64[Array, "n coordinates"]:
    """The low frequencies of images: the first block x block cosine coefficients but the constant one.

    Args:
        images: (n, side, side) or (n, side, side, 1).
        block: side of the block.

    Raises:
        ValueError: images of another shape, a block beyond them.
    """
    x = _checks.finite_array("images", images, ndim=(3, 4))
    x = x[..., 0] if x.ndim == 4 else x
    block = _checks.count("block", block, low=2, high=min(x.shape[1:]))
    return fft.dctn(x, axes=(1, 2), norm="ortho")[:, :block, :block].reshape(len(x), -1)[:, 1:]


def photographs(sizes: Sizes, seed: int) -> list[Setting]:
    """Polynomials of degree two in the low frequencies of 6 x 6 patches; the kernels of all are two NTKs."""
    images = tasks.image_patches(seed=seed).x
    low = low_pass(images, sizes.block)
    low /= math.sqrt(np.mean(np.sum(low**2, axis=1)))
    dims = low.shape[1]
    rows, columns = np.triu_indices(dims)
    products = np.concatenate([np.ones((len(low), 1)), low, low[:, rows] * low[:, columns]], axis=1)
    # All patches there are stand for the population, in which these polynomials are made orthonormal.
    values, vectors = np.linalg.eigh(products.T @ products / len(products))
    values, vectors = values[::-1], vectors[:, ::-1]
    every = products @ vectors / np.sqrt(values)
    count = len(values)
    at = _grid(count, min(sizes.reach, 8))
    held = np.random.default_rng([seed, 1]).permutation(len(low))
    read, rest = held[:700], held[700:]

    def draw(n: int, rng: np.random.Generator) -> Array:
        return rng.choice(rest, n, replace=False)

    def modes(x: Array) -> Array:
        return every[x]

    flat = Spectrum(np.ones(count), np.full(count, 1 / count), np.ones(count))
    made = [
        Setting("photographs", "limited", "random", noise, flat, count, at,
                 _by_modes(modes, draw, at, np.ones(count), count, sizes, noise=noise))
        for noise in (0.0, sizes.noise)
    ]  # fmt: skip
    targets = np.random.default_rng([seed, 2]).standard_normal((count, 8))
    targets /= np.linalg.norm(targets, axis=0) * math.sqrt(8)
    for name, inputs in (("low frequencies", low), ("patches", images.reshape(len(images), -1))):
        model = kernels.fully_connected(2, bias_std=0.3)
        spectrum = estimate.spectrum(model(inputs[read]), every[read] @ targets, draws=0)

        def between(a: Array, b: Array, model: kernels.Model = model, inputs: Array = inputs) -> Array:
            return model(inputs[a]) if a is b else model(inputs[a], inputs[b])

        loss = _by_kernel(between, modes, draw, at, count, sizes)
        made.append(Setting("photographs", f"NTK of {name}", "random", 0.0, spectrum, count, at, loss))
    return made


DOMAINS = {"circle": circle, "torus": torus, "sphere": sphere, "photographs": photographs}
"""By name, from the sizes and a seed to the settings."""
