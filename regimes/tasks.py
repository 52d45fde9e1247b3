"""Inputs and targets: real images, text, manifolds, teacher-student pairs, the user's own files.

A `Task` is a pool of samples. `Task.split` draws disjoint training and test sets from it, region by region
where samples come from regions of a photograph, so that no pixel is shared.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from regimes import _checks, _tangents, display, factor, files
from regimes import characters as letters
from regimes._precision import float64

Array = np.ndarray


@display.shown
@dataclasses.dataclass(frozen=True)
class Task:
    """A pool of samples with their labels, if they have any."""

    name: str
    """What it is called in tables and figures."""
    x: Float64[Array, "samples ..."]
    """Inputs."""
    y: Float64[Array, "samples outputs"] | None = None
    """Labels, centred; None where the targets are to be drawn from a kernel."""
    region: Int64[Array, " samples"] | None = None
    """Samples of one region are never divided between training and test set; None means each on its own."""
    description: str = ""
    """Where it comes from and what was done to it."""

    def __len__(self) -> int:
        return len(self.x)

    def __str__(self) -> str:
        labels = "no labels" if self.y is None else f"{self.y.shape[1]} outputs"
        return f"{self.name}: {len(self)} samples of shape {self.x.shape[1:]}, {labels} ({self.description})"

    def split(self, test: int, seed: int) -> tuple[Int64[Array, " train"], Int64[Array, " test"]]:
        """Random indices of a training and a test set without a common region, each in random order.

        Args:
            test: samples wanted in the test set, at least 1; whole regions are taken until there are so many,
                and what the last region has too many is left out of both sets.
            seed: seed of the draw.

        Raises:
            ValueError: more test samples than leave one for training.
        """
        test = _checks.count("test", test, high=len(self) - 1)
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self))
        if self.region is None:
            return order[test:], order[:test]
        regions = rng.permutation(np.unique(self.region))
        sizes = np.bincount(np.searchsorted(np.unique(self.region), self.region))[
            np.searchsorted(np.unique(self.region), regions)
        ]
        taken = regions[: int(np.searchsorted(np.cumsum(sizes), test)) + 1]
        held_out = np.isin(self.region[order], taken)
        if held_out.all():
            raise ValueError(f"`test` = {test} leaves no region for training; {len(regions)} regions in all.")
        return order[~held_out], order[held_out][:test]


def prior(gram: Any, outputs: int, seed: int) -> Float64[Array, "samples outputs"]:
    """Targets drawn from the kernel as a Gaussian-process prior: v_i^2 = lambda_i, where duality is exact.

    Args:
        gram: (samples, samples) Gram matrix of all samples, training and test.
        outputs: independent draws; each is divided by sqrt(outputs), so that the power summed over outputs is
            the trace of the kernel.
        seed: seed of the draws.

    Raises:
        ValueError: not a Gram matrix, or not positive definite.
    """
    gram = _checks.gram_matrix("gram", gram)
    draws = np.random.default_rng(seed).standard_normal((len(gram), _checks.count("outputs", outputs)))
    return factor.cholesky(gram).lower @ draws / np.sqrt(outputs)


def image_patches(
    size: int = 6, *, count: int | None = None, stride: int | None = None, region: int | None = None, seed: int = 0
) -> Task:
    """Grey patches of the two photographs that scikit-learn embeds (a temple and a flower), no labels.

    The photographs are cut into square regions; patches lie within one region, so patches of different regions
    share no pixel. Each patch has its mean subtracted and is divided by its standard deviation; patches with a
    standard deviation below 2 % of the grey scale (sky, blurred background) are left out.

    Args:
        size: side of a patch in pixels.
        count: patches wanted, drawn at random; default all.
        stride: step between patches of one region; default `size`, so patches do not overlap.
        region: side of a region in pixels, at least `size`; default `size`, one patch each. Larger regions and
            smaller strides give more patches, which are then less independent.
        seed: seed of the draw and of the order.

    Returns:
        Task with x of shape (patches, size, size, 1).

    Raises:
        ValueError: a size that does not fit, or more patches wanted than there are.
    """
    from sklearn import datasets

    photographs = [image.mean(axis=-1) / 255 for image in datasets.load_sample_images().images]
    side = min(min(photograph.shape) for photograph in photographs)
    size = _checks.count("size", size, low=2, high=side)
    region = _checks.count("region", size if region is None else region, low=size, high=side)
    stride = _checks.count("stride", size if stride is None else stride)
    patches: list[Array] = []
    regions: list[Array] = []
    first = 0
    for photograph in photographs:
        rows, columns = photograph.shape[0] // region, photograph.shape[1] // region
        tiles = photograph[: rows * region, : columns * region].reshape(rows, region, columns, region)
        tiles = tiles.transpose(0, 2, 1, 3).reshape(-1, region, region)
        windows = np.lib.stride_tricks.sliding_window_view(tiles, (size, size), axis=(1, 2))
        windows = windows[:, ::stride, ::stride].reshape(len(tiles), -1, size, size)
        regions.append(np.repeat(np.arange(first, first + len(tiles)), windows.shape[1]))
        first += len(tiles)
        patches.append(windows.reshape(-1, size, size))
    x = np.concatenate(patches)
    x = x - x.mean(axis=(1, 2), keepdims=True)
    contrast = x.std(axis=(1, 2))
    kept = np.flatnonzero(contrast > 0.02)
    available = len(kept)
    if count is not None and _checks.count("count", count) > available:
        raise ValueError(
            f"`count` must be at most {available}, the patches of {size} x {size} pixels with enough contrast, "
            f"got {count}; take smaller patches, or a larger region with a smaller stride."
        )
    kept = np.random.default_rng(seed).permutation(kept)[:count]
    x = (x[kept] / contrast[kept, None, None])[..., None]
    return Task(
        "photographs",
        x,
        region=np.concatenate(regions)[kept],
        description=f"{size} x {size} grey patches of scikit-learn's two sample photographs, contrast-normalised",
    )


def digits() -> Task:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels with their real labels, one-hot and centred.

    Each image has its mean subtracted and is divided by its standard deviation.
    """
    from sklearn import datasets

    data = datasets.load_digits()
    x = data.images - data.images.mean(axis=(1, 2), keepdims=True)
    x = (x / x.std(axis=(1, 2), keepdims=True))[..., None]
    return Task("digits", x, one_hot(data.target), description="scikit-learn's 8 x 8 digits, ten classes")


def characters(count: int | None = 4000, *, context: int = 8, text: str | None = None, seed: int = 0) -> Task:
    """The next character of a text from the ones before it: Shakespeare's sonnets, or a text of yours.

    Each character before is an indicator over [ALPHABET][regimes.characters.ALPHABET], scaled so that the mean square
    of an input is 1; the next one is an indicator too, centred. Samples of one sonnet (or paragraph) are one region.

    Args:
        count: windows wanted, drawn at random; None for all.
        context: characters before the next one.
        text: by default the sonnets.
        seed: seed of the draw and of the order.

    Raises:
        ValueError: more windows wanted than there are; as [windows][regimes.characters.windows].
    """
    found = letters.windows(text, context=context)
    available = len(found.following)
    if count is not None and _checks.count("count", count, low=2) > available:
        raise ValueError(f"`count` must be at most {available}, the windows of this text, got {count}.")
    seed = _checks.count("seed", seed, low=0)
    kept = np.random.default_rng(seed).permutation(available)[:count]
    symbols = np.eye(len(letters.ALPHABET))
    x = np.sqrt(len(symbols)) * symbols[found.before[kept]].reshape(len(kept), -1)
    y = symbols[found.following[kept]]
    whose = "Shakespeare's sonnets" if text is None else "a text"
    return Task(
        "characters",
        x,
        y - y.mean(axis=0),
        found.block[kept],
        f"the next of {len(symbols)} characters of {whose} from the {context} before it",
    )


def sphere(n: int, dim: int, seed: int) -> Task:
    """N points uniform on the sphere S^dim, of norm sqrt(dim + 1), no labels.

    Raises:
        ValueError: n or dim not a positive whole number.
    """
    n, dim = _checks.count("n", n), _checks.count("dim", dim)
    x = np.random.default_rng(seed).standard_normal((n, dim + 1))
    x *= np.sqrt(dim + 1) / np.linalg.norm(x, axis=1, keepdims=True)
    return Task(f"sphere S^{dim}", x, description="uniform points")


def torus(n: int, dim: int, seed: int) -> Task:
    """N points uniform on the flat torus of dimension dim, embedded as (cos, sin) of each angle, no labels.

    Raises:
        ValueError: n or dim not a positive whole number.
    """
    n, dim = _checks.count("n", n), _checks.count("dim", dim)
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, (n, dim))
    x = np.sqrt(2) * np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    return Task(f"torus T^{dim}", x, description="uniform angles")


def teacher_student(n: int, dim: int, seed: int, *, depth: int = 2, width: int = 96, outputs: int = 1) -> Task:
    """Inputs uniform in the hypercube [-1, 1]^dim, labelled by a random relu network (the teacher).

    Args:
        n: samples.
        dim: dimension of the inputs.
        seed: seed of inputs and teacher.
        depth: hidden layers of the teacher.
        width: units in each.
        outputs: outputs of the teacher; labels are centred and scaled to a mean square of 1 summed over outputs.

    Raises:
        ValueError: an argument that is not a positive whole number.

    Source: the teacher-student experiment of Bahri et al. (arXiv:2102.06701), section on dimension.
    """
    n, dim, depth = _checks.count("n", n, low=2), _checks.count("dim", dim), _checks.count("depth", depth)
    width, outputs = _checks.count("width", width), _checks.count("outputs", outputs)
    x = np.random.default_rng(seed).uniform(-1, 1, (n, dim))
    import jax

    stax = _tangents.load().stax
    with float64():
        hidden = [layer for _ in range(depth) for layer in (stax.Dense(width, W_std=2**0.5, b_std=0.1), stax.Relu())]
        init, apply, _ = stax.serial(*hidden, stax.Dense(outputs))
        _, parameters = init(jax.random.key(seed), x.shape)
        y = np.asarray(apply(parameters, x))
    y = y - y.mean(axis=0)
    y /= np.sqrt(np.mean(np.sum(y**2, axis=1)))
    return Task("teacher-student", x, y, description=f"random {depth}-layer teacher on {dim} inputs")


def with_noise(y: Float64[Array, "n outputs"], noise: float, seed: int) -> Float64[Array, "n outputs"]:
    """Labels plus independent Gaussian noise of variance `noise`, shared equally among the outputs.

    Raises:
        ValueError: a negative noise.
    """
    noise = _checks.number("noise", noise, low=0)
    if noise == 0:
        return y
    return y + np.random.default_rng(seed).standard_normal(y.shape) * np.sqrt(noise / y.shape[1])


def one_hot(labels: Any) -> Float64[Array, "n classes"]:
    """Class labels as indicator columns, centred to mean zero.

    Raises:
        ValueError: fewer than two classes.
    """
    classes, index = np.unique(np.asarray(labels).reshape(-1), return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"`labels` must hold at least two classes, got only {classes!r}.")
    columns = np.eye(len(classes))[index]
    return columns - columns.mean(axis=0)


BUILT_IN: dict[str, Callable[[int], Task]] = {
    "photographs": lambda seed: image_patches(seed=seed),
    "digits": lambda seed: digits(),
    "characters": lambda seed: characters(seed=seed),
    "sphere": lambda seed: sphere(4000, 4, seed),
    "torus": lambda seed: torus(4000, 3, seed),
    "teacher-student": lambda seed: teacher_student(4000, 4, seed),
}
"""Data that can be asked for by name."""


class Labels(NamedTuple):
    """Targets made of labels."""

    y: Float64[Array, "samples outputs"]
    """Centred values, or centred indicator columns, one per class."""
    classes: tuple[str, ...] | None
    """Names of the classes, in the order of the columns; None where the labels are values."""


def load(source: str, *, seed: int = 0) -> Task:
    """A task by name, or from a file.

    Args:
        source: one of `BUILT_IN`; `openml:NAME` or `openml:NAME:VERSION`, as in [files.fetch][regimes.files.fetch];
            or the path of a file: `.npy` (inputs, one row or image per sample), `.npz` (arrays `x` and optionally
            `y`), `.csv` or `.parquet` (one column per feature; a column with one of
            [LABEL_NAMES][regimes.files.LABEL_NAMES], if there is one, holds the labels). Labels that are words or
            few whole numbers are taken as classes.
        seed: seed of built-in data that are drawn at random.

    Raises:
        ValueError: an unknown name, a file that is missing, empty, of the wrong kind or shape, or with NaN.
    """
    seed = _checks.count("seed", seed, low=0)
    if source in BUILT_IN:
        return BUILT_IN[source](seed)
    if source.startswith(files.OPENML):
        name = source.removeprefix(files.OPENML).partition(":")[0]
        data = files.fetch(source)
        inputs, labels, label, description = data.x, data.labels, source, data.description
    else:
        path = Path(source)
        name, label, description = path.stem, f"y in {path.name}", path.name
        found = files.read_file(source, names=("x", "y"), built_in=BUILT_IN)
        if path.suffix == ".npy":
            inputs, labels = found[path.stem], None
        elif path.suffix == ".npz":
            if found.get("x") is None:
                raise ValueError(f"`data`: {path.name} must hold an array named x, it holds {', '.join(found)}.")
            inputs, labels = found["x"], found.get("y")
        else:
            try:
                inputs, labels = files.columns(found)
            except ValueError as error:
                raise ValueError(f"`data`: {source!r} could not be read as {path.suffix}: {error}") from None
    x = _checks.finite_array(f"x in {description}", inputs)
    if x.ndim < 2:
        raise ValueError(f"`data`: x in {description} must have shape (samples, ...), got {x.shape}.")
    if labels is None:
        return Task(name, x, description=description)
    y, classes = centred(labels, len(x), what=label)
    return Task(name, x, y, description=description + (f", y read as {len(classes)} classes" if classes else ""))


def centred(labels: Any, rows: int, *, what: str = "the labels", argument: str = "data") -> Labels:
    """Labels as targets of mean zero: words and few whole numbers as classes, all else as values.

    Args:
        labels: (rows,) words or numbers, or (rows, outputs) numbers. Whole numbers are classes where there are at
            most a hundred different ones and ten samples for each.
        rows: how many samples there are.
        what: what to call the labels in a message.
        argument: the argument that a message names.

    Raises:
        ValueError: another number of rows, missing values, complex numbers, the same label for all samples.
    """
    array = np.asarray(labels)
    if array.ndim == 0 or len(array) != rows:
        raise ValueError(
            f"`{argument}`: {what} must have one row per sample: expected {rows} rows, got shape {array.shape}."
        )
    import pandas as pd

    missing = int(pd.isna(array).sum())
    if missing:
        raise ValueError(
            f"`{argument}`: `{what}` holds {missing} NaN or missing values of {array.size}; remove or replace them."
        )
    _checks.refuse_complex(f"`{argument}`: {what}", array)
    values = array if array.ndim != 2 or array.shape[1] != 1 else array[:, 0]
    try:
        if values.ndim == 1 and not np.issubdtype(array.dtype, np.number):
            return _classes(values.astype(str))
        y = _checks.targets(what, values, rows)
        if y.shape[1] == 1 and np.all(y == np.rint(y)) and len(np.unique(y)) <= min(100, rows // 10):
            return _classes(values)
    except ValueError as error:
        raise ValueError(f"`{argument}`: {what}: {error}") from None
    if not np.any(np.ptp(y, axis=0)):
        raise ValueError(f"`{argument}`: {what} is the same for all samples; there is nothing to learn.")
    return Labels(y - y.mean(axis=0), None)


def _classes(labels: Array) -> Labels:
    return Labels(
        one_hot(labels), tuple(f"{name:g}" if name.dtype.kind == "f" else str(name) for name in np.unique(labels))
    )
