"""Features that do not change any more: of a network trained here, or any embedding; and the population behind them."""

import dataclasses
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from regimes import _checks, display, estimate, inputs, kernels, networks, resolvents, tasks, training
from regimes.results import Estimate
from regimes.spectrum import Spectrum

Array = np.ndarray

PRETRAINED = ("photographs", "digits", "teacher-student")
"""Tasks on which a network can be trained here."""
_PHOTOGRAPH = (427, 640)
"""Rows and columns of each of scikit-learn's two photographs."""


@display.shown
class Frozen(NamedTuple):
    """Features that do not change any more, and what is to be learnt from them."""

    features: Float64[Array, "samples columns"]
    """Centred, scaled to a mean square norm of 1, without columns that are zero everywhere."""
    targets: Float64[Array, "samples outputs"]
    """Centred."""
    name: str
    """What they are called in tables and figures."""
    description: str
    """Where they come from."""


def pretrained(
    task: str,
    *,
    width: int = 512,
    depth: int = 2,
    steps: int = 400,
    samples: int = 7000,
    seed: int = 0,
    checkpoint: Path | str | None = None,
) -> Frozen:
    """Activations of the last hidden layer of a relu network trained on a part of a task, at all its other samples.

    Args:
        task: digits, photographs or teacher-student.
        width: units in each hidden layer.
        depth: hidden layers.
        steps: steps of Adam at cosine rate, in batches of 64, on the squared error of the labels.
        samples: of the task, at most.
        seed: seed of the samples, the network and its batches.
        checkpoint: folder for the training.

    Raises:
        ValueError: an unknown task, numbers out of range.
    """
    _checks.choice("source", task, PRETRAINED)
    seed = _checks.count("seed", seed, low=0)
    if task == "photographs":
        pool, of = tasks.image_patches(seed=seed), "which of two photographs a patch is from"
        pool = dataclasses.replace(pool, y=tasks.one_hot(which_photograph(pool)))
    elif task == "digits":
        pool, of = tasks.digits(), "ten classes"
    else:
        pool, of = tasks.teacher_student(samples, 6, seed, outputs=4), "four outputs of a random network"
    x, y = pool.x, pool.y
    assert y is not None
    order = np.random.default_rng([seed, 0]).permutation(len(x))[:samples]
    first_part = len(order) // 3
    pre, rest = order[:first_part], order[first_part:]
    network = networks.network(kernels.fully_connected(depth), width, outputs=y.shape[1])
    held = (
        pre[: first_part // 5],
        pre[first_part // 5 :],
    )  # early stopping looks at none of the samples of the experiment
    trained = training.train(
        network,
        x[held[1]],
        y[held[1]],
        test=(x[held[0]], y[held[0]]),
        optimiser="adam",
        batch=64,
        steps=_checks.count("steps", steps),
        schedule="cosine",
        early_stopping=True,
        seeds=[seed],
        checkpoint=checkpoint,
    )
    phi = network.embedding(trained.parameters(seed), x[rest])
    described = f"last hidden layer of a {network} trained on {len(held[1])} samples, {of}"
    return _frozen(phi, y[rest], task, described)


def embedding(source: Any, targets: Any = None, column: str | None = None) -> Frozen:
    """A user's matrix of embeddings, one row per sample, with what is to be learnt from it.

    Args:
        source: a file, an array or a DataFrame, as in [inputs.read][regimes.inputs.read].
        targets: values or class labels, an array or a file; default those that come with the source.
        column: the column of a table with the labels.

    Raises:
        ValueError: no targets, too few samples or columns; what `inputs.read` refuses.
    """
    found = inputs.read(source, kind="features", targets=targets, column=column)
    if found.targets is None:
        raise ValueError("`targets` must be given: there is nothing to learn from an embedding without them.")
    return _frozen(np.asarray(found.array, dtype=np.float64), found.targets, found.name, found.description)


def _frozen(phi: Array, y: Array, name: str, description: str) -> Frozen:
    phi = phi - phi.mean(axis=0)
    spread = phi.std(axis=0)
    live = spread > 1e-9 * spread.max(initial=0.0)
    if len(phi) < 600 or live.sum() < 32:
        raise ValueError(
            f"`source` must hold at least 600 samples and 32 columns that are not constant, got {len(phi)} and "
            f"{int(live.sum())}: the four regimes need room."
        )
    phi = phi[:, live] / math.sqrt(float(np.sum(spread[live] ** 2)))
    dead = f", {int((~live).sum())} constant columns left out" if not live.all() else ""
    described = f"{description}: {len(phi)} samples of {phi.shape[1]} features{dead}"
    return Frozen(phi, y - y.mean(axis=0), name, described)


def which_photograph(pool: tasks.Task) -> Array:
    """0 or 1 for each patch of [image_patches][regimes.tasks.image_patches]: regions are counted through both."""
    if pool.region is None:
        raise ValueError("`pool` must come from tasks.image_patches, whose samples have regions.")
    rows, columns = (length // pool.x.shape[1] for length in _PHOTOGRAPH)
    return (pool.region >= rows * columns).astype(np.int64)


def population(
    features: Float64[Array, "samples columns"],
    targets: Float64[Array, "samples outputs"],
    *,
    draws: int = 16,
    seed: int = 0,
) -> tuple[Spectrum, Estimate]:
    """Spectrum of the population covariance, power of the target in it, and the noise, from a finite sample.

    N samples of M < N columns leave sigma^2 (N - M) of their squared residuals, whence the noise; M of at least 0.8 N
    leave too little, and the noise is then the part of the power that the resolvent sees never learnt. Eigenvalues and
    power are those of the [resolvent][regimes.resolvents.resolvent], which takes off what N < infinity adds to both.

    Returns:
        Spectrum whose `tail_power` is the noise (which it acts as in every loss), and the noise with its interval.

    Raises:
        ValueError: as [estimate.spectrum][regimes.estimate.spectrum].
    """
    gram = features @ features.T
    size = len(gram)
    values, vectors = np.linalg.eigh(features.T @ features)
    live = values > size * np.finfo(np.float64).eps * values[-1]
    rank = int(live.sum())
    read = resolvents.resolvent(gram, targets, uncertainty=True, seed=seed)
    least = 0.0
    if rank < 0.8 * size:
        explained = (vectors[:, live].T @ (features.T @ targets)) ** 2 / values[live, None]
        least = float(np.sum(targets**2) - explained.sum()) / (size - rank)
    # What is known of the noise is taken off before the inversion, the rest found by it; all of it is put back as
    # power that is never learnt.
    one = _with_noise(read.corrected(), read, least)
    replicates = tuple(_with_noise(drawn, read, least) for drawn in read.draws(draws, seed))
    spectrum = dataclasses.replace(one, replicates=replicates)
    floors = [each.tail_power for each in replicates]
    return spectrum, Estimate.from_draws(one.tail_power, np.array(floors), method="unexplained by all features")


def _with_noise(drawn: resolvents.Resolvent, read: resolvents.Resolvent, noise: float) -> Spectrum:
    least = min(0.9 * noise, 0.9 * float(drawn.unlearnt.min()))
    reach = math.inf if read.exhausted else float(read.df1[-1])
    plain = dataclasses.replace(drawn, bias=None, covariance=None)
    found = estimate.inverted(plain, noise=least)
    return dataclasses.replace(found, tail_power=found.tail_power + least, resolved=reach)
