"""One door for what there is to analyse: Gram matrices, features, raw inputs, eigenvalues.

`read` takes a file, an array, the name of a built-in or of an OpenML data set, finds out what it is, refuses what
cannot be analysed, and says in one sentence what it took it for:

    >>> import numpy as np
    >>> from regimes import inputs
    >>> embedding = np.random.default_rng(0).standard_normal((200, 16))
    >>> source = inputs.read(embedding, targets=embedding[:, 0] > 0)
    >>> print(source)
    features: 200 samples, 2 outputs (an array, read as features with the linear kernel; targets read as 2 classes)
    >>> source.gram().shape, source.take(range(150)).size
    ((200, 200), 150)

An array of more than `MAPPED` bytes in a `.npy` file stays on disk and is read when it is needed. Archives (`.npz`)
and tables cannot be mapped: they are read into memory whatever their size.
"""

import contextlib
import dataclasses
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from regimes import _checks, display, files, soundness, tasks
from regimes._precision import float64
from regimes.kernels import Model

Array = np.ndarray

KINDS = tuple(soundness.WORDS)
NAMES = {
    **dict.fromkeys(("gram", "k", "kernel"), "gram"),
    **dict.fromkeys(("features", "phi", "embedding", "embeddings"), "features"),
    **dict.fromkeys(("x", "inputs"), "inputs"),
    **dict.fromkeys(("eigenvalues", "eigenvalue", "eigvals"), "eigenvalues"),
}
"""What an array is, by its name in an archive, of its column or of its file, in any case."""
MAPPED = 2**30
"""Bytes above which a .npy file is left on disk."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Source:
    """Something to analyse, checked, with its targets if it has any."""

    kind: str
    """gram, features, inputs or eigenvalues."""
    array: Array
    """The Gram matrix, the feature matrix, the inputs or the descending eigenvalues, in float64. A file of more
    than `MAPPED` bytes is a read-only array on disk in the type of the file; `gram` and `take` convert it."""
    targets: Float64[Array, "samples outputs"] | None = None
    """Centred targets: values, or indicator columns of classes."""
    classes: tuple[str, ...] | None = None
    """Names of the classes, in the order of the columns of `targets`."""
    name: str = ""
    """What to call it in tables and figures."""
    description: str = ""
    """Where it comes from and what it was read as."""
    precision: str = "float64"
    """float16, float32 or float64: how exact the numbers are. Numbers stored as float64 that are all exact in
    float32 count as float32, since that is how they were computed."""
    region: Int64[Array, " samples"] | None = None
    """Samples of one region are never divided between training and test set; None means each on its own."""

    @property
    def size(self) -> int:
        """Number of samples; of a list of eigenvalues, their number."""
        return len(self.array)

    @property
    def epsilon(self) -> float:
        """Relative rounding of the numbers: half-widths below it times the largest eigenvalue are noise."""
        return float(np.finfo(self.precision).eps)

    def __str__(self) -> str:
        if self.kind == "eigenvalues":
            return f"{self.name}: {self.size} eigenvalues ({self.description})"
        outputs = "no targets" if self.targets is None else f"{self.targets.shape[1]} outputs"
        return f"{self.name}: {self.size} samples, {outputs} ({self.description})"

    def gram(self, kernel: Any = None, rows: Any = None) -> Float64[Array, "n n"]:
        """Gram matrix of all samples or of some of them.

            K_ij = phi(x_i) . phi(x_j)   for features without a kernel (no division by their number),
            K_ij = k(x_i, x_j)           with a kernel.

        Args:
            kernel: for inputs: a `Model`, or whatever `as_kernel` takes. Features may be given to a kernel too. A
                Gram matrix takes none.
            rows: indices or a mask of the samples wanted; default all.

        Raises:
            ValueError: eigenvalues, inputs without a kernel, a Gram matrix with one, a kernel that does not return
                a Gram matrix, rows out of range.
        """
        if self.kind == "eigenvalues":
            raise ValueError("`source` is a bare list of eigenvalues, which has no Gram matrix; pass the matrix.")
        if self.kind == "gram":
            if kernel is not None:
                raise ValueError("`kernel` must be None: this source is a Gram matrix already.")
            return soundness.symmetric(soundness.submatrix(self.array, None if rows is None else self._rows(rows)))
        x = self.array if rows is None else self.array[self._rows(rows)]
        x = np.asarray(x, dtype=np.float64)
        if kernel is not None:
            return as_kernel(kernel)(x)
        if self.kind == "inputs":
            raise ValueError(
                "`kernel` must be given for raw inputs, such as regimes.kernels.fully_connected(), "
                "sklearn.metrics.pairwise.rbf_kernel or a neural-tangents kernel_fn; got None."
            )
        return soundness.symmetric(x @ x.T)

    def take(self, rows: Any) -> "Source":
        """The samples at `rows` (indices without repetition, or a mask), with their targets, in memory.

        Raises:
            ValueError: eigenvalues, which belong to no sample; rows out of range or repeated.
        """
        if self.kind == "eigenvalues":
            raise ValueError("`source` is a bare list of eigenvalues, which has no samples to take.")
        rows = self._rows(rows)
        array = self.gram(rows=rows) if self.kind == "gram" else np.asarray(self.array[rows], dtype=np.float64)
        targets, region = (None if part is None else part[rows] for part in (self.targets, self.region))
        return dataclasses.replace(self, array=array, targets=targets, region=region)

    def half(self, seed: int = 0) -> "Source":
        """A random half of the samples, rounded down: what changes from half to all is not converged.

        Raises:
            ValueError: eigenvalues, which belong to no sample.
        """
        return self.take(np.sort(np.random.default_rng(seed).permutation(self.size)[: self.size // 2]))

    def task(self) -> tasks.Task:
        """Raw inputs as the `Task` that the experiments take.

        Raises:
            ValueError: anything but raw inputs.
        """
        if self.kind != "inputs":
            raise ValueError(f"`source` must be raw inputs for a model to run on, got {soundness.WORDS[self.kind]}.")
        x = np.asarray(self.array, dtype=np.float64)
        return tasks.Task(self.name, x, self.targets, self.region, self.description)

    def _rows(self, rows: Any) -> Int64[Array, " rows"]:
        index = np.asarray(rows)
        if index.dtype == bool:
            if index.shape != (self.size,):
                raise ValueError(f"`rows`: a mask must have length {self.size}, got shape {index.shape}.")
            index = np.flatnonzero(index)
        if index.ndim != 1 or not index.size or not np.issubdtype(index.dtype, np.integer):
            raise ValueError(f"`rows` must be a list of whole numbers or a mask, got shape {index.shape}.")
        if index.min() < 0 or index.max() >= self.size:
            raise ValueError(f"`rows` must lie between 0 and {self.size - 1}, got {index.min()} to {index.max()}.")
        if len(np.unique(index)) < len(index):
            raise ValueError(f"`rows` must not repeat, but {len(index) - len(np.unique(index))} do.")
        return index.astype(np.int64)


def as_kernel(kernel: Any, *, get: str = "ntk", flatten: bool = False) -> Callable[..., Float64[Array, "n m"]]:
    """Any kernel as a function of (x, others=None) that returns a checked float64 Gram matrix.

    Args:
        kernel: a `Model`; a callable of two arrays of samples that returns the matrix of their kernel, such as
            those of sklearn.metrics.pairwise; or a `kernel_fn` of neural-tangents, which is known by its argument
            `get` and runs in float64.
        get: which kernel of a `kernel_fn`, or of a named result: ntk or nngp.
        flatten: whether to hand images to the kernel as vectors.

    Raises:
        ValueError: not callable; when called, a result that is not a Gram matrix of the samples.
    """
    if isinstance(kernel, Model):
        return kernel
    if not callable(kernel):
        raise ValueError(
            f"`kernel` must be callable as kernel(x, others) -> matrix, got {type(kernel).__name__}; "
            "pass a Gram matrix itself as the source."
        )
    named = _takes_get(kernel)

    def checked(x: Any, others: Any = None) -> Float64[Array, "n m"]:
        samples = [np.asarray(part, dtype=np.float64) for part in (x, others) if part is not None]
        if flatten:
            samples = [part.reshape(len(part), -1) for part in samples]
        first, second = samples[0], samples[-1]
        # neural-tangents is told by None that the inputs are equal.
        rest = (None if others is None else second, get) if named else (second,)
        try:
            with float64() if named or "jax" in sys.modules else contextlib.nullcontext():
                result = kernel(first, *rest)
        except (TypeError, ValueError) as error:
            hint = "; as_kernel(kernel, flatten=True) hands it vectors" if first.ndim > 2 and not flatten else ""
            text = " ".join(str(error).split())
            raise ValueError(f"`kernel` failed on inputs of shape {first.shape}: {text}{hint}.") from error
        matrix = np.asarray(getattr(result, get, result))
        if matrix.shape != (len(first), len(second)):
            raise ValueError(
                f"`kernel` must return a matrix of shape {(len(first), len(second))}, one row and one column per "
                f"sample, got shape {matrix.shape}."
            )
        _, precision = soundness.real_array("kernel", "its result", matrix)
        if others is not None:
            return _checks.finite_array("kernel", matrix, ndim=2)
        return soundness.symmetric(_checks.gram_matrix("kernel", matrix, tolerance=soundness.tolerance(precision)))

    return checked


def read(
    source: Any,
    *,
    kind: str | None = None,
    targets: Any = None,
    column: str | None = None,
    drop_duplicates: bool = False,
    seed: int = 0,
) -> Source:
    """Whatever there is to analyse, checked, with a sentence on what it was taken for.

    What is not stated is guessed, by name (`NAMES`) and otherwise by shape: a square, symmetric matrix with a
    positive diagonal is a Gram matrix; a descending list of positive numbers is eigenvalues; any other matrix holds
    features, of a table (`.csv`, `.parquet`, DataFrame, OpenML) inputs; arrays of more axes are inputs. A square
    matrix that is not symmetric is not guessed.

    Args:
        source: the path of a `.npy`, `.npz`, `.csv` or `.parquet` file; an array or a DataFrame; a `Task`, or the
            name of a built-in one; `openml:NAME` or `openml:NAME:VERSION`.
        kind: gram, features, inputs or eigenvalues; default guessed.
        targets: an array or the path of a file, instead of those that come with the source: values (one or more
            columns) or class labels (words, or few whole numbers). They are centred.
        column: the column of a table, or the array of an archive, that holds the targets; default one that is
            named y, target, label or class. Of a file of targets, the column or array to take.
        drop_duplicates: whether to leave out samples that repeat an earlier one, instead of refusing them.
        seed: seed of built-in data, and of the samples of a large Gram matrix that are tested.

    Raises:
        ValueError: a source that cannot be read, told or analysed. The message says what was found and what to do.

    Valid when: a Gram matrix is tested for negative eigenvalues on at most [CHECKED][regimes.soundness.CHECKED] random
        samples: one found there proves that the matrix is no kernel, none found proves nothing about the rest.
    """
    if kind is not None:
        _checks.choice("kind", kind, KINDS)
    seed = _checks.count("seed", seed, low=0)
    elsewhere = isinstance(targets, str | Path) or hasattr(targets, "columns")  # where `column` is to be found
    found = _open(source, kind, None if elsewhere else column, seed)
    array, precision = soundness.real_array("source", found.origin, found.array)
    soundness.finite(found.origin, array)
    notes = []
    if kind is None:
        kind, why = (found.kind, "") if found.kind else _guess(found, array, precision)
        notes += [why] if why else []
    soundness.shaped(found.origin, array, kind)
    if precision != "float64":
        notes.append(f"numbers of {precision}")
    raw = found.labels if targets is None else _targets(targets, column if elsewhere else None)
    if kind == "eigenvalues":
        if raw is not None:
            raise ValueError("`targets` need samples, which a list of eigenvalues lacks; build a regimes.Spectrum.")
        (array, said), repeats = soundness.eigenvalues(found.origin, array), np.empty(0)
    else:
        said, repeats = (
            soundness.gram(found.origin, array, precision, seed) if kind == "gram" else ([], soundness.repeats(array))
        )
    y, classes = raw if isinstance(raw, tasks.Labels) else (None, None)
    if raw is not None and y is None:
        y, classes = tasks.centred(raw, len(array), what="the targets", argument="targets")
        notes.append(f"targets read as {len(classes)} classes" if classes else "targets centred")
    if not isinstance(array, np.memmap):
        array = np.ascontiguousarray(array, dtype=np.float64)
        array = soundness.symmetric(array) if kind == "gram" else array
    description = "; ".join([f"{found.origin}, read as {soundness.WORDS[kind]}", *notes, *said])
    result = Source(kind, array, y, classes, found.name or kind, description, precision, found.region)
    return _without(result, repeats, drop_duplicates)


class _Found(NamedTuple):
    """What was behind the door, as it is."""

    name: str
    origin: str  # what to call it in a message and in the description
    array: Any
    labels: Any = None  # `tasks.Labels` where they were centred already
    kind: str = ""  # where it is known
    key: str = ""  # name of the array, which may tell its kind
    otherwise: str = "features"  # what a matrix is that is neither named nor a Gram matrix
    region: Any = None


def _open(source: Any, kind: str | None, column: str | None, seed: int) -> _Found:
    if isinstance(source, str) and source in tasks.BUILT_IN:
        source = tasks.load(source, seed=seed)
    if isinstance(source, tasks.Task):
        labels = None if source.y is None else tasks.Labels(source.y, None)
        return _Found(source.name, source.description or source.name, source.x, labels, "inputs", region=source.region)
    if isinstance(source, str) and source.startswith(files.OPENML):
        data = files.fetch(source, column=column, argument="source")
        name = source.removeprefix(files.OPENML).partition(":")[0]
        return _Found(name, data.description, data.x, data.labels, "inputs")
    if not isinstance(source, str | Path):
        if hasattr(source, "columns"):  # a DataFrame
            return _table("", "a table", source, kind, column)
        return _Found("", "an array", source)
    path = Path(source)
    wanted = [*NAMES, *files.LABEL_NAMES, *([] if column is None else [column.lower()])]
    found = files.read_file(source, names=wanted, map_above=MAPPED, argument="source", built_in=tasks.BUILT_IN)
    if path.suffix == ".npy":
        return _Found(path.stem, path.name, found[path.stem], key=path.stem)
    if path.suffix == ".npz":
        return _archive(path, found, kind, column)
    return _table(path.stem, path.name, found, kind, column)


def _archive(path: Path, found: dict[str, Any], kind: str | None, column: str | None) -> _Found:
    loaded = {name: array for name, array in found.items() if array is not None}
    if column is not None and column not in loaded:
        raise ValueError(f"`column`: {path.name} has no array {column!r}; it holds {', '.join(found)}.")
    target = column or next((name for name in loaded if name.lower() in files.LABEL_NAMES), None)
    rest = [name for name in loaded if name != target]
    named = [name for name in rest if NAMES.get(name.lower()) == kind] if kind else rest
    choice = named or rest
    if len(choice) != 1:
        known = ", ".join(NAMES)
        what = f"{len(choice)} of them ({', '.join(choice)})" if choice else "none"
        raise ValueError(
            f"`source`: {path.name} must hold one array to analyse, named one of {known}, and holds {what}, of "
            f"{', '.join(found)}; state kind=, or save it alone."
        )
    origin = f"{choice[0]} in {path.name}"
    return _Found(path.stem, origin, loaded[choice[0]], None if target is None else loaded[target], key=choice[0])


def _table(name: str, origin: str, table: Any, kind: str | None, column: str | None) -> _Found:
    rows, width = table.shape
    # Bare numbers: a list, or a matrix as wide as long, need no header.
    bare = list(table) == list(range(width)) or [str(heading) for heading in table] == [str(i) for i in range(width)]
    listed = width == 1 and kind not in ("features", "inputs")
    if listed or (bare and (rows == width or kind == "gram" or not name)):
        words = files.words(table)
        if words:
            raise ValueError(f"`source`: {len(words)} columns of {origin} are not numbers ({', '.join(words[:5])}).")
        numbers = table.to_numpy(dtype=np.float64, na_value=np.nan)
        key = str(table.columns[0]) if listed else ""
        return _Found(name, origin, numbers[:, 0] if listed else numbers, key=key, otherwise="inputs")
    try:
        x, labels = files.columns(table, column)
    except ValueError as error:
        raise ValueError(f"`source`: {origin} could not be read as a table: {error}.") from None
    return _Found(name, origin, x, labels, otherwise="inputs")


def _guess(found: _Found, array: Array, precision: str) -> tuple[str, str]:
    """The kind of an array and why."""
    state = f"state kind= as one of {', '.join(KINDS)}"
    named = NAMES.get(found.key.lower())
    if named:
        return named, "by its name"
    if array.ndim == 1:
        if np.all(array > 0) and np.all(np.diff(array) <= 0):
            return "eigenvalues", "a descending list of positive numbers"
        rising = int(np.sum(np.diff(array) > 0))
        raise ValueError(
            f"`source`: {found.origin} is a list of {len(array)} numbers, {rising} of which are larger than the one "
            f"before and {int(np.sum(array <= 0))} not positive; {state}, or give one row per sample."
        )
    if array.ndim == 2 and array.shape[0] == array.shape[1]:
        asymmetry = soundness.asymmetry(array)
        if asymmetry <= soundness.tolerance(precision) and np.all(np.diagonal(array) > 0):
            return "gram", "square and symmetric"
        raise ValueError(
            f"`source`: {found.origin} is square ({len(array)} x {len(array)}) but no Gram matrix: |K - K.T| reaches "
            f"{asymmetry:.1e} of its largest entry, and {int(np.sum(np.diagonal(array) <= 0))} diagonal entries are "
            f"not positive; {state}."
        )
    return (found.otherwise, "") if array.ndim == 2 else ("inputs", "")


def _targets(targets: Any, column: str | None) -> Any:
    """Raw targets, of an array or a file."""
    if not isinstance(targets, str | Path) and not hasattr(targets, "columns"):
        return np.asarray(targets)
    found = (
        targets
        if hasattr(targets, "columns")
        else files.read_file(targets, argument="targets", built_in=tasks.BUILT_IN)
    )
    names = {str(name): name for name in found}
    if column is not None and column not in names:
        raise ValueError(f"`column`: the targets have no {column!r}; there is {', '.join(list(names)[:20])}.")
    chosen = [column] if column else [name for name in names if name.lower() in files.LABEL_NAMES][:1] or list(names)
    if isinstance(found, dict) and len(chosen) > 1:
        raise ValueError(f"`targets`: {targets} holds {', '.join(names)}; name one as column=.")
    return np.asarray(found[names[chosen[0]]] if len(chosen) == 1 else found)


def _without(source: Source, repeats: Sequence[int] | Array, drop: bool) -> Source:
    if not len(repeats):
        return source
    if not drop:
        raise ValueError(
            f"`source`: {len(repeats)} of {source.size} samples repeat an earlier one (the first is row {repeats[0]}), "
            "which makes the Gram matrix singular; say drop_duplicates=True to leave them out."
        )
    kept = source.take(np.setdiff1d(np.arange(source.size), repeats))
    soundness.shaped(f"{source.name} without its {len(repeats)} repeated samples", kept.array, source.kind)
    y = None if kept.targets is None else kept.targets - kept.targets.mean(axis=0)
    text = f"{source.description}; {len(repeats)} repeated samples left out"
    return dataclasses.replace(kept, targets=y, description=text)


def _takes_get(kernel: Any) -> bool:
    with contextlib.suppress(TypeError, ValueError):  # of callables written in C
        return "get" in inspect.signature(kernel).parameters
    return False
