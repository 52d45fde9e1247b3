"""Where the losses of a joint law come from: theory, random features on real data, or trained networks.

Each place is a [Source][regimes.joint_surfaces.Source]: a grid of samples n and sizes, and how to measure the losses at
one size, on the grid or on fresh samples off it. The exact losses are those of random features of a power-law spectrum.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from regimes import (
    _checks,
    corners,
    equivalents,
    forecast,
    frozen,
    kernels,
    networks,
    optima,
    runs,
    spectra,
    teachers,
)
from regimes import tasks as datasets

Array = np.ndarray

SURFACES = ("theory", "noisy-theory", "features", "networks")
"""Where grids of losses come from."""
TASKS = ("digits", "photographs")
"""Real data for random features."""
RIDGES = np.geomspace(1e-7, 1e3, 31)
"""Ridges that are tried, in units of the mean diagonal entry of the Gram matrix."""
_TESTS = 2000
_DRAWS = 8


class Sizes(NamedTuple):
    """How large the experiment is."""

    surfaces: tuple[str, ...]
    """Which of `SURFACES`."""
    theory_n: tuple[int, ...]
    """Samples of the exact surfaces."""
    theory_k: tuple[int, ...]
    """Their features."""
    alpha: float
    """Decay of their spectrum."""
    beta: float
    """Decay of their target power."""
    noise: float
    """Label noise of the noisy one."""
    task: str
    """Real data of the random features."""
    feature_n: tuple[int, ...]
    """Samples there."""
    features: tuple[int, ...]
    """Numbers of random features."""
    feature_trials: int
    """Repetitions, each with its own samples and features."""
    dim: int
    """Dimension of the inputs of the networks."""
    n: tuple[int, ...]
    """Their samples."""
    widths: tuple[int, ...]
    """Units in each of their two hidden layers."""
    trials: int
    """Repetitions, each with its own samples and start."""
    steps: int
    """Steps of each training."""


class Source(NamedTuple):
    """Where losses come from."""

    description: str
    """In words."""
    n: tuple[int, ...]
    """Samples of the grid."""
    sizes: tuple[int, ...]
    """Features, or units in each layer, of the grid."""
    k: Array
    """Features or parameters at `sizes`."""
    count: Callable[[int], int]
    """Features or parameters at any size."""
    guess: float
    """Loss of the best guess."""
    units: bool
    """Whether the units of n and k are not those of theory, so that its law fits them too."""
    measure: Callable[[Sequence[int], int, bool], Array]
    """measure(n, size, fresh) -> losses (trials, n); fresh samples for what was not on the grid."""
    forecast: Callable[[], list[Array]] | None = None
    """Surfaces that need no losses, a draw each."""
    exact: bool = False
    """Whether losses are known and not measured."""


def source(name: str, sizes: Sizes, seed: int, folder: Path | None = None) -> Source:
    """One of `SURFACES` by name.

    Args:
        name: theory, noisy-theory, features or networks.
        sizes: how large.
        seed: of everything random.
        folder: where what is finished is kept.

    Raises:
        ValueError: an unknown name.
    """
    _checks.choice("name", name, SURFACES)
    if name == "features":
        return features(sizes, seed, folder)
    if name == "networks":
        return trained(sizes, seed, folder)
    return theory(sizes, sizes.noise if name == "noisy-theory" else 0.0)


def theory(sizes: Sizes, noise: float) -> Source:
    """Exact losses of random features of a power-law spectrum, each at its best ridge.

    Args:
        sizes: alpha, beta and the grid.
        noise: variance of the noise of the labels.
    """
    spectrum = spectra.power_law(sizes.alpha, sizes.beta, modes=10**12)
    grid: list[Array] = []

    def measure(n: Sequence[int], size: int, fresh: bool) -> Array:
        if fresh:
            return np.asarray(optima.optimal_ridge(spectrum, np.array(n, dtype=np.float64), float(size), noise).loss)[
                None
            ]
        if not grid:
            at, k = (np.array(one, dtype=np.float64) for one in (sizes.theory_n, sizes.theory_k))
            grid.append(np.asarray(optima.optimal_ridge(spectrum, at, k[:, None], noise).loss))
        return grid[0][[sizes.theory_k.index(size)]]

    return Source(
        f"exact, alpha = {sizes.alpha:g}, beta = {sizes.beta:g}, noise {noise:g}, best ridge",
        sizes.theory_n,
        sizes.theory_k,
        np.array(sizes.theory_k, dtype=np.float64),
        lambda size: size,
        spectrum.total_power + noise,
        False,
        measure,
        exact=True,
    )


def features(sizes: Sizes, seed: int, folder: Path | None = None) -> Source:
    """Random features of the NTK of one hidden layer on real data, at the ridge that is best on the test samples.

    Args:
        sizes: the task, the grid and the repetitions.
        seed: of samples and features.
        folder: where finished repetitions are kept.
    """
    pool = datasets.digits() if sizes.task == "digits" else datasets.image_patches(seed=seed)
    y = pool.y if pool.y is not None else datasets.one_hot(frozen.which_photograph(pool))
    model = kernels.fully_connected(1)
    largest = sizes.feature_n[-1]
    tests = min(_TESTS, len(pool.x) - largest)

    def rows(trial: int) -> tuple[Array, Array]:
        order = np.random.default_rng([seed, 1, trial]).permutation(len(pool.x))
        return order[:largest], order[largest : largest + tests]

    store = None
    if folder is not None:
        settings = {"task": sizes.task, "seed": seed, "n": sizes.feature_n, "largest": sizes.features[-1]}
        store = runs.Store(folder / "features", settings)
    held: dict[int, Array] = {}

    def trial(index: int, n: Sequence[int], at: Sequence[int]) -> Array:
        """Losses (sizes, n, ridges)."""
        train, test = rows(index)
        if index not in held or held[index].shape[1] < at[-1]:
            held.clear()
            draw = int(np.random.default_rng([seed, 2, index]).integers(2**31))
            held[index] = model.features(pool.x[np.concatenate([train, test])], at[-1], draw)
        phi = held[index]
        return np.array(
            [
                [ridges(phi[:i, :k], phi[largest:, :k], y[train[:i]], y[test]) for i in n]
                for k in at
            ]
        )  # fmt: skip

    grids: list[Array] = []

    def measure(n: Sequence[int], size: int, fresh: bool) -> Array:
        if fresh:
            every = np.array([trial(sizes.feature_trials + t, n, [size])[0] for t in range(sizes.feature_trials)])
        else:
            if not grids:
                for t in range(sizes.feature_trials):
                    done = {} if store is None else store.finished([t])
                    grid = done[t]["losses"] if t in done else trial(t, sizes.feature_n, sizes.features)
                    if store is not None and t not in done:
                        store.finish(t, {"losses": grid})
                    grids.append(grid)
            every = np.array(grids)[:, sizes.features.index(size)]
        best = np.exp(np.log(every).mean(axis=0)).argmin(axis=1)
        return every[:, np.arange(len(n)), best]

    def ahead() -> list[Array]:
        draws = []
        for t in range(sizes.feature_trials):
            few = rows(t)[0][: largest // corners.SHARES[0]]
            known = forecast.population(model(pool.x[few]), y[few], draws=20, seed=seed)
            for spectrum, floor, scale in list(zip(known.extended, known.floors, known.scales, strict=True))[:_DRAWS]:
                n, k = np.meshgrid(np.array(sizes.feature_n, float), np.array(sizes.features, float), indexing="ij")
                plain = dataclasses.replace(spectrum, replicates=())
                draws.append(floor + scale * (np.asarray(_best(plain, n, k, float(floor))) - floor))
        return draws

    return Source(
        f"random features of the {model} on {sizes.task}, best ridge, {sizes.feature_trials} repetitions",
        sizes.feature_n,
        sizes.features,
        np.array(sizes.features, dtype=np.float64),
        lambda size: size,
        float(np.mean(np.sum(y**2, axis=1))),
        False,
        measure,
        ahead if largest // corners.SHARES[0] >= 48 else None,
    )


def _best(spectrum: Any, n: Array, k: Array, noise: float) -> Array:
    """Loss at the best of many ridges; `optima.optimal_ridge` to a third of a per cent, in a tenth of the time."""
    ridges = n[..., None] * np.asarray(equivalents.solve(spectrum, n, k).gamma)[..., None] * np.geomspace(1e-3, 1e4, 29)
    loss = np.asarray(equivalents.loss(spectrum, n[..., None], k[..., None], ridges, noise))
    without = np.asarray(equivalents.loss(spectrum, n, k, 0.0, noise))
    return np.minimum(loss.min(axis=-1), without)


def ridges(phi: Array, phi_test: Array, y: Array, y_test: Array) -> Array:
    """Test losses of ridge regression at all of `RIDGES`, from one eigendecomposition of the smaller Gram matrix.

    Args:
        phi: features of the training samples, (n, k).
        phi_test: those of the test samples.
        y: labels (n, outputs).
        y_test: those of the test samples.
    """
    n, k = phi.shape
    few = k <= n
    gram = (phi.T @ phi if few else phi @ phi.T) / k
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0.0)
    if few:
        left, right = phi_test @ vectors, vectors.T @ (phi.T @ y) / k
    else:
        left, right = phi_test @ (phi.T @ vectors) / k, vectors.T @ y
    unit = float(np.sum(phi**2)) / (n * k)
    found = []
    for ridge in RIDGES:
        rest = y_test - left @ (right / (values + ridge * unit)[:, None])
        found.append(np.mean(np.sum(rest**2, axis=1)))
    return np.array(found)


def trained(sizes: Sizes, seed: int, folder: Path | None = None) -> Source:
    """Networks of two hidden layers that learn a random teacher, with early stopping.

    Args:
        sizes: the grid, the dimension, the repetitions and the steps.
        seed: of the teacher, the samples and the starts.
        folder: where finished trainings are kept.
    """
    teacher = teachers.draw(sizes.dim, [seed, 3])
    test = teachers.inputs(_TESTS, sizes.dim, np.random.default_rng([seed, 4]))
    labels = teacher.labels(test)

    def measure(n: Sequence[int], size: int, fresh: bool) -> Array:
        network = student(size)
        found = []
        for t in range(sizes.trials):
            index = t + sizes.trials * fresh
            x = teachers.inputs(sizes.n[-1], sizes.dim, np.random.default_rng([seed, 5, index]))
            start = int(np.random.default_rng([seed, 6, index]).integers(2**31))
            place = None if folder is None else folder / "networks" / f"width-{size}" / f"trial-{index}"
            done = teachers.train_in_n(
                network, x, teacher.labels(x), list(n), test=(test, labels), seeds=[start], rate=5e-3,
                steps=sizes.steps, record=16, filled=sizes.n[-1], checkpoint=place,
            )  # fmt: skip
            found.append(done.test[0])
        return np.array(found)

    return Source(
        f"relu networks of two hidden layers, a random teacher on {sizes.dim} inputs, {sizes.steps} steps of adam, "
        f"early stopping, {sizes.trials} repetition{'s' * (sizes.trials > 1)}",
        sizes.n,
        sizes.widths,
        np.array([parameters(sizes, width) for width in sizes.widths], dtype=np.float64),
        lambda width: parameters(sizes, width),
        1.0,
        True,
        measure,
    )


def student(width: int) -> networks.Network:
    """Two hidden layers of relu units in the standard parameterisation.

    Args:
        width: units in each.
    """
    return networks.network(kernels.fully_connected(2, bias_std=0.3), width, parameterisation="standard")


def parameters(sizes: Sizes, width: int) -> int:
    """Weights and biases of the student.

    Args:
        sizes: the dimension of the inputs.
        width: units in each layer.
    """
    return (sizes.dim + 1) * width + (width + 1) * width + width + 1
