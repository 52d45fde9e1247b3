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
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from scipy import linalg

from regimes import _checks, tasks
from regimes._precision import float64
from regimes.kernels import Model

Array = np.ndarray

KINDS = ("gram", "features", "inputs", "eigenvalues")
NAMES = {
    **dict.fromkeys(("gram", "k", "kernel"), "gram"),
    **dict.fromkeys(("features", "phi", "embedding", "embeddings"), "features"),
    **dict.fromkeys(("x", "inputs"), "inputs"),
    **dict.fromkeys(("eigenvalues", "eigenvalue", "eigvals"), "eigenvalues"),
}
"""What an array is, by its name in an archive, of its column or of its file, in any case."""
MAPPED = 2**30
"""Bytes above which a .npy file is left on disk."""
FEWEST = 100
"""Samples below which no regime can be told."""
FEWEST_EIGENVALUES = 10
"""Eigenvalues below which no exponent can be read."""
CHECKED = 1000
"""Samples on which a Gram matrix is tested for negative eigenvalues."""
_BLOCK = 512
_WORDS = dict(zip(KINDS, ("a Gram matrix", "features with the linear kernel", "inputs", "eigenvalues"), strict=True))


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
            return _symmetric(_submatrix(self.array, None if rows is None else self._rows(rows)))
        x = self.array if rows is None else self.array[self._rows(rows)]
        x = np.asarray(x, dtype=np.float64)
        if kernel is not None:
            return as_kernel(kernel)(x)
        if self.kind == "inputs":
            raise ValueError(
                "`kernel` must be given for raw inputs, such as regimes.kernels.fully_connected(), "
                "sklearn.metrics.pairwise.rbf_kernel or a neural-tangents kernel_fn; got None."
            )
        return _symmetric(x @ x.T)

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
            raise ValueError(f"`source` must be raw inputs for a model to run on, got {_WORDS[self.kind]}.")
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
        _, precision = _numeric("kernel", "its result", matrix)
        if others is not None:
            return _checks.finite_array("kernel", matrix, ndim=2)
        return _symmetric(_checks.gram_matrix("kernel", matrix, tolerance=_tolerance(precision)))

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

    Valid when: a Gram matrix is tested for negative eigenvalues on at most `CHECKED` random samples: one found there
        proves that the matrix is no kernel, none found proves nothing about the rest.
    """
    if kind is not None:
        _checks.choice("kind", kind, KINDS)
    seed = _checks.count("seed", seed, low=0)
    elsewhere = isinstance(targets, str | Path) or hasattr(targets, "columns")  # where `column` is to be found
    found = _open(source, kind, None if elsewhere else column, seed)
    array, precision = _numeric("source", found.origin, found.array)
    _finite(found.origin, array)
    notes = []
    if kind is None:
        kind, why = (found.kind, "") if found.kind else _guess(found, array, precision)
        notes += [why] if why else []
    _shaped(found.origin, array, kind)
    if precision != "float64":
        notes.append(f"numbers of {precision}")
    raw = found.labels if targets is None else _targets(targets, column if elsewhere else None)
    if kind == "eigenvalues":
        if raw is not None:
            raise ValueError("`targets` need samples, which a list of eigenvalues lacks; build a regimes.Spectrum.")
        (array, said), repeats = _eigenvalues(found.origin, array), np.empty(0)
    else:
        said, repeats = _check_gram(found.origin, array, precision, seed) if kind == "gram" else ([], _repeats(array))
    y, classes = raw if isinstance(raw, tasks.Labels) else (None, None)
    if raw is not None and y is None:
        y, classes = tasks.centred(raw, len(array), what="the targets", argument="targets")
        notes.append(f"targets read as {len(classes)} classes" if classes else "targets centred")
    if not isinstance(array, np.memmap):
        array = np.ascontiguousarray(array, dtype=np.float64)
        array = _symmetric(array) if kind == "gram" else array
    description = "; ".join([f"{found.origin}, read as {_WORDS[kind]}", *notes, *said])
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
    if isinstance(source, str) and source.startswith(tasks.OPENML):
        data = tasks.fetch(source, column=column, argument="source")
        name = source.removeprefix(tasks.OPENML).partition(":")[0]
        return _Found(name, data.description, data.x, data.labels, "inputs")
    if not isinstance(source, str | Path):
        if hasattr(source, "columns"):  # a DataFrame
            return _table("", "a table", source, kind, column)
        return _Found("", "an array", source)
    path = Path(source)
    wanted = [*NAMES, *tasks.LABEL_NAMES, *([] if column is None else [column.lower()])]
    found = tasks.read_file(source, names=wanted, map_above=MAPPED, argument="source")
    if path.suffix == ".npy":
        return _Found(path.stem, path.name, found[path.stem], key=path.stem)
    if path.suffix == ".npz":
        return _archive(path, found, kind, column)
    return _table(path.stem, path.name, found, kind, column)


def _archive(path: Path, found: dict[str, Any], kind: str | None, column: str | None) -> _Found:
    loaded = {name: array for name, array in found.items() if array is not None}
    if column is not None and column not in loaded:
        raise ValueError(f"`column`: {path.name} has no array {column!r}; it holds {', '.join(found)}.")
    target = column or next((name for name in loaded if name.lower() in tasks.LABEL_NAMES), None)
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
        words = tasks.words(table)
        if words:
            raise ValueError(f"`source`: {len(words)} columns of {origin} are not numbers ({', '.join(words[:5])}).")
        numbers = table.to_numpy(dtype=np.float64, na_value=np.nan)
        key = str(table.columns[0]) if listed else ""
        return _Found(name, origin, numbers[:, 0] if listed else numbers, key=key, otherwise="inputs")
    try:
        x, labels = tasks.columns(table, column)
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
        asymmetry = _asymmetry(array)
        if asymmetry <= _tolerance(precision) and np.all(np.diagonal(array) > 0):
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
    found = targets if hasattr(targets, "columns") else tasks.read_file(targets, argument="targets")
    names = {str(name): name for name in found}
    if column is not None and column not in names:
        raise ValueError(f"`column`: the targets have no {column!r}; there is {', '.join(list(names)[:20])}.")
    chosen = [column] if column else [name for name in names if name.lower() in tasks.LABEL_NAMES][:1] or list(names)
    if isinstance(found, dict) and len(chosen) > 1:
        raise ValueError(f"`targets`: {targets} holds {', '.join(names)}; name one as column=.")
    return np.asarray(found[names[chosen[0]]] if len(chosen) == 1 else found)


def _numeric(argument: str, origin: str, value: Any) -> tuple[Array, str]:
    """The value as an array of real numbers, not copied where it is one, and its precision."""
    if hasattr(value, "toarray"):
        raise ValueError(f"`{argument}`: {origin} is a sparse matrix of shape {value.shape}; pass its .toarray().")
    if np.ma.is_masked(value):
        raise ValueError(f"`{argument}`: {origin} masks {int(np.ma.count_masked(value))} entries; remove or fill them.")
    try:
        array = value if isinstance(value, np.memmap) else np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{argument}`: {origin} is no array of numbers ({error}).") from None
    tasks.refuse_complex(argument, origin, array)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"`{argument}`: {origin} must hold real numbers, got {array.size} entries of {array.dtype}.")
    if array.size == 0 or array.ndim == 0:
        raise ValueError(f"`{argument}`: {origin} is {'empty' if array.ndim else 'one number'} (shape {array.shape}).")
    if array.dtype.kind != "f":
        return array, "float64"  # whole numbers are exact
    return array, array.dtype.name if array.dtype.itemsize < 8 else _precision(array)


def _precision(array: Array) -> str:
    """float32 where the numbers of a float64 array were computed in single precision."""
    some = np.asarray(array[:: max(1, len(array) // 64)], dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        single = np.array_equal(some.astype(np.float32).astype(np.float64), some)
        exact = np.array_equal(np.rint(some * 4096), some * 4096)  # whole numbers and simple fractions
    return "float32" if single and not exact else "float64"


def _tolerance(precision: str) -> float:
    """Asymmetry that counts as rounding, in units of the largest entry."""
    return max(1e-8, 64 * float(np.finfo(precision).eps))


def _blocks(array: Array) -> Iterator[tuple[slice, Array]]:
    """Blocks of rows in float64, small enough to be copied."""
    step = max(1, min(_BLOCK, 2**24 // max(1, int(np.prod(array.shape[1:])))))
    for start in range(0, len(array), step):
        rows = slice(start, min(start + step, len(array)))
        yield rows, np.asarray(array[rows], dtype=np.float64)


def _finite(origin: str, array: Array) -> None:
    bad = sum(block.size - int(np.isfinite(block).sum()) for _, block in _blocks(array))
    if bad:
        raise ValueError(
            f"`source`: {origin} holds {bad} NaN or infinite values of {array.size}; remove or replace them."
        )
    first = float(array.flat[0])
    if all(np.all(block == first) for _, block in _blocks(array)):
        raise ValueError(f"`source`: all {array.size} entries of {origin} are {first:g}; there is nothing to analyse.")


def _asymmetry(array: Array) -> float:
    """Largest |K - K.T| in units of the largest entry."""
    gap = scale = 0.0
    for rows, block in _blocks(array):
        gap = max(gap, float(np.abs(block - np.asarray(array[:, rows], dtype=np.float64).T).max()))
        scale = max(scale, float(np.abs(block).max()))
    return gap / scale


def _check_gram(origin: str, array: Array, precision: str, seed: int) -> tuple[list[str], Array]:
    """What to say of a Gram matrix, and which samples repeat an earlier one."""
    asymmetry = _asymmetry(array)
    if asymmetry > _tolerance(precision):
        raise ValueError(
            f"`source`: {origin} must be symmetric, but |K - K.T| reaches {asymmetry:.1e} of its largest entry; "
            "if that is rounding, pass (K + K.T) / 2."
        )
    diagonal = np.asarray(np.diagonal(array), dtype=np.float64)
    if not np.all(diagonal > 0):
        raise ValueError(
            f"`source`: {int((diagonal <= 0).sum())} diagonal entries of {origin} are not positive (the smallest is "
            f"{diagonal.min():.3g}); a Gram matrix has K(x, x) > 0, so remove inputs that are all zero."
        )
    size = len(array)
    some = np.sort(np.random.default_rng(seed).permutation(size)[:CHECKED])
    values = linalg.eigvalsh(_symmetric(_submatrix(array, None if len(some) == size else some)))
    smallest, largest = float(values[0]), float(values[-1])
    # Entries rounded at random, and the decomposition itself; a factorisation copes with 1e-6 of the diagonal.
    rounding = 10 * (np.sqrt(len(some)) * float(np.finfo(precision).eps) + len(some) * np.finfo(float).eps)
    part = f"on {len(some)} of {size} samples"
    if smallest < -max(rounding * float(np.abs(diagonal).max()), 1e-6 * float(diagonal.mean())):
        raise ValueError(
            f"`source`: {origin} has {int((values < -rounding * diagonal.max()).sum())} negative eigenvalues {part}, "
            f"down to {smallest:.3g} (the largest is {largest:.3g}); it is not the Gram matrix of a positive kernel: "
            "check the kernel, or add the size of the smallest to the diagonal."
        )
    notes = [] if len(some) == size else [f"no negative eigenvalue found {part}"]
    near = 4 * float(np.finfo(precision).eps)
    repeats = []
    for rows, block in _blocks(array):
        sums = diagonal[rows, None] + diagonal
        # |phi_i - phi_j|^2 = K_ii + K_jj - 2 K_ij is zero for copies.
        same = np.tril(sums - 2 * block <= near * sums, rows.start - 1)
        repeats.append(rows.start + np.flatnonzero(same.any(axis=1)))
    return notes, np.concatenate(repeats)


def _repeats(array: Array) -> Int64[Array, " repeats"]:
    """Samples equal to an earlier one."""
    seen: set[bytes] = set()
    repeats = []
    for rows, block in _blocks(array):
        for index, row in enumerate(block + 0.0, rows.start):  # which makes -0 the same as 0
            digest = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
            if digest in seen:
                repeats.append(index)
            seen.add(digest)
    return np.array(repeats, dtype=np.int64)


def _without(source: Source, repeats: Sequence[int] | Array, drop: bool) -> Source:
    if not len(repeats):
        return source
    if not drop:
        raise ValueError(
            f"`source`: {len(repeats)} of {source.size} samples repeat an earlier one (the first is row {repeats[0]}), "
            "which makes the Gram matrix singular; say drop_duplicates=True to leave them out."
        )
    kept = source.take(np.setdiff1d(np.arange(source.size), repeats))
    _shaped(f"{source.name} without its {len(repeats)} repeated samples", kept.array, source.kind)
    y = None if kept.targets is None else kept.targets - kept.targets.mean(axis=0)
    text = f"{source.description}; {len(repeats)} repeated samples left out"
    return dataclasses.replace(kept, targets=y, description=text)


def _shaped(origin: str, array: Array, kind: str) -> None:
    axes = {"gram": (2,), "features": (2,), "inputs": (2, 3, 4, 5), "eigenvalues": (1,)}[kind]
    if array.ndim not in axes:
        raise ValueError(
            f"`source`: {origin} has {array.ndim} axes (shape {array.shape}), which is not {_WORDS[kind]}; reshape it "
            f"to {'(number,)' if kind == 'eigenvalues' else '(samples, -1)'}, or state another kind=."
        )
    if kind == "gram" and array.shape[0] != array.shape[1]:
        raise ValueError(
            f"`source` must be a square Gram matrix, got shape {array.shape}; for features say kind='features'."
        )
    if kind != "eigenvalues" and len(array) < FEWEST:
        raise ValueError(f"`source`: {origin} has {len(array)} samples; at least {FEWEST} are needed.")


def _eigenvalues(origin: str, array: Array) -> tuple[Float64[Array, " modes"], list[str]]:
    """The eigenvalues in descending order, and what was done to them."""
    values = np.asarray(array, dtype=np.float64)
    notes = []
    if np.any(np.diff(values) > 0):
        values = -np.sort(-values)
        notes.append("sorted")
    floor = len(values) * float(np.finfo(np.float64).eps) * max(values[0], 0.0)
    negative = int(np.sum(values < -floor))
    if negative:
        raise ValueError(
            f"`source`: {negative} of {len(values)} eigenvalues are negative, down to {values[-1]:.3g}; "
            "a positive kernel has none."
        )
    zero = int(np.sum(values <= floor))
    if zero:
        values = values[: len(values) - zero]
        notes.append(f"{zero} eigenvalues that are zero up to rounding left out")
    if len(values) < FEWEST_EIGENVALUES:
        raise ValueError(
            f"`source`: {origin} has {len(values)} positive eigenvalues; at least {FEWEST_EIGENVALUES} are needed."
        )
    return values, notes


def _submatrix(array: Array, rows: Any) -> Float64[Array, "n n"]:
    """Rows and columns of a square array that may lie on disk, read a block of rows at a time."""
    if rows is None:
        return np.asarray(array, dtype=np.float64)
    result = np.empty((len(rows), len(rows)))
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        result[start : start + len(some)] = array[some][:, rows]
    return result


def _symmetric(matrix: Float64[Array, "n n"]) -> Float64[Array, "n n"]:
    """The matrix itself where it is symmetric to the last bit, else its symmetric part."""
    return matrix if np.array_equal(matrix, matrix.T) else (matrix + matrix.T) / 2


def _takes_get(kernel: Any) -> bool:
    with contextlib.suppress(TypeError, ValueError):  # of callables written in C
        return "get" in inspect.signature(kernel).parameters
    return False
