"""Gram matrices at scale: block by block, in stated memory, on one machine or on a Dask cluster.

A kernel is any callable (x, other) -> block: a `Model`, a pairwise kernel of scikit-learn, a `kernel_fn` of
neural-tangents. It is called on rows of x, in float64, once for every block on or above the diagonal:

- `build` writes the blocks into one matrix, in memory or in a `.npy` file;
- `multiply` uses each block and drops it, so that nothing of size n x n is held;
- `subsets` draws the disjoint samples on which exponents are read when n is large.

Top eigenvalues and the feature side are in [modes][regimes.modes].

`memory` bounds what each of them holds beside its arguments. `scheduler` is the address of a Dask scheduler, a
cluster or a `Client`: the same blocks are then computed by its workers, one BLAS thread for each of their threads,
and put together in the same order. On SLURM, with dask-jobqueue:

    cluster = SLURMCluster(cores=16, memory="64GB", walltime="02:00:00")
    cluster.scale(jobs=8)
    gram.build(kernel, x, out="gram.npy", scheduler=cluster)
"""

import contextlib
import inspect
import math
import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from regimes import _checks
from regimes._precision import float64

Array = np.ndarray
Progress = Callable[[int, int], None]
"""Called with (blocks done, blocks in all) after each block."""

BLOCK = 2048
"""Most rows of a block."""
MEMORY = 8e9
"""Bytes that may be held, unless `memory` says otherwise."""
_COPIES = 6
"""Blocks that the evaluation of one block may hold; measured with the kernels of `regimes.kernels`: 4."""
LEAST = 64
"""Fewest rows of a block: below, calls cost more than kernels."""
_CORNER = 16
"""Rows and columns of each block that are computed a second time, the arguments exchanged."""
_SYMMETRY = 1e-8
"""Largest difference of the two, as a share of the largest entry."""


def required(n: int, m: int | None = None, *, block: int = BLOCK) -> int:
    """Bytes that `build` holds for an n x m matrix (n x n by default): the matrix and its work on one block.

    Args:
        n: rows.
        m: columns.
        block: most rows of a block.

    Raises:
        ValueError: not whole numbers of at least 1.
    """
    n, m = _checks.count("n", n), _checks.count("m", n if m is None else m)
    return 8 * n * m + work(min(_checks.count("block", block), max(n, m)))


def subsets(n: int, size: int, count: int = 1, seed: int = 0) -> list[np.ndarray]:
    """Random subsets of n samples, in random order: disjoint as long as n / size of them suffice.

    Beyond that they come from further permutations, and are disjoint within each.

    Args:
        n: samples in all.
        size: samples of a subset.
        count: how many subsets.
        seed: seed of the permutations.

    Raises:
        ValueError: a subset larger than the whole.
    """
    n, count, seed = _checks.count("n", n), _checks.count("count", count), _checks.count("seed", seed, low=0)
    size = _checks.count("size", size, high=n)
    rng = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    while len(parts) < count:
        order = rng.permutation(n)
        parts += [order[start : start + size] for start in range(0, n - size + 1, size)]
    return parts[:count]


def build(
    kernel: Any,
    x: Any,
    other: Any = None,
    *,
    memory: float = MEMORY,
    block: int = BLOCK,
    out: Any = None,
    scheduler: Any = None,
    progress: Progress | None = None,
) -> Float64[Array, "n m"]:
    """The Gram matrix, block by block; without `other` only blocks on and above the diagonal are computed.

    Args:
        kernel: callable (x, other) -> block. If its second argument has a default, as in a `Model`, it is left out
            for blocks on the diagonal.
        x: (n, ...) samples: an array, a memory map or the path of a `.npy` file.
        other: (m, ...) samples; None for the symmetric matrix of x with itself.
        memory: bytes that may be held, the matrix included unless `out` is given.
        block: most rows of a block; fewer where `memory` asks for it.
        out: `.npy` file to write; it appears when it is complete, and the matrix returned is a read-only map of it.
        scheduler: Dask address, cluster or `Client`.
        progress: called with (blocks done, blocks in all).

    Raises:
        ValueError: a matrix or block beyond `memory` or the disk; a block that is not float64, has NaN, is of the
            wrong shape or not symmetric; a `.npy` file of Python objects.
    """
    x, other = samples("x", x), None if other is None else samples("other", other)
    n, m = len(x), len(x) if other is None else len(other)
    memory = _checks.number("memory", memory, low=0, strict=True)
    if out is None and 8 * n * m + work(min(LEAST, max(n, m))) > memory:
        raise ValueError(
            f"`memory` is {in_words(memory)}, but a {n} x {m} Gram matrix takes "
            f"{in_words(required(n, m, block=LEAST))} with the work on one small block. Name a file to hold it with "
            "`out`, take its top eigenvalues with `modes.top_spectrum`, which does not hold it, or work on `subsets`."
        )
    with connected(scheduler) as client:
        blocks = Blocks(kernel, x, other, memory - (8.0 * n * m if out is None else 0.0), block, client)
        if out is None:
            result = np.empty((n, m))
            for rows, columns, values in blocks.run(entries, progress=progress):
                store(result, rows, columns, values, mirrored=other is None)
            return result
        path = Path(out)
        with _new_file(path, (n, m)) as opened:
            for rows, columns, values in blocks.run(entries, progress=progress):
                # Mapped anew for each block: pages that stay mapped would count as memory of this process.
                opened()[rows, columns] = values
                if other is None and rows != columns:
                    opened()[columns, rows] = values.T
        return _load("out", path)


def multiply(
    kernel: Any,
    x: Any,
    vectors: Any,
    other: Any = None,
    *,
    memory: float = MEMORY,
    block: int = BLOCK,
    scheduler: Any = None,
    progress: Progress | None = None,
) -> Float64[Array, "n s"]:
    """K @ vectors, each block of K computed, used and dropped.

    Args:
        kernel: as in [build][regimes.gram.build]; or a Gram matrix, an array or the path of a `.npy` file, with x
            None. Of a matrix only the blocks on and above the diagonal are read.
        x: as there.
        vectors: (m,) or (m, s); the result has as many columns.
        other: as there; predictions at new samples are `multiply(kernel, new, coefficients, x)`.
        memory: bytes that may be held.
        block: as there.
        scheduler: as there.
        progress: as there.

    Raises:
        ValueError: as there; vectors of another length than K has columns.
    """
    memory = _checks.number("memory", memory, low=0, strict=True)
    x, other, kernel = problem(kernel, x, other)
    columns = _checks.targets("vectors", vectors, len(x) if other is None else len(other))
    with connected(scheduler) as client:
        held = 8.0 * (len(x) * columns.shape[1] + 2 * block * columns.shape[1])
        blocks = Blocks(kernel, x, other, memory - held, block, client)
        return blocks.multiply(columns, progress)[0]


# Blocks of a kernel


class Blocks:
    """The blocks of K(x, other), evaluated in order, here or by Dask workers."""

    def __init__(self, kernel: Any, x: Any, other: Any, memory: float, block: int, client: Any) -> None:
        self.kernel, self.client = kernel, client
        self.x, self.other = x, x if other is None else other
        self.checked = False  # a matrix is looked at in the first pass only
        n, m = len(x), len(x) if other is None else len(other)
        self.shape, self.symmetric = (n, m), other is None
        most = max(n, m)
        rows = min(_checks.count("block", block), most, math.isqrt(int(max(memory, 0) / (8 * _COPIES))))
        if rows < min(LEAST, most, block):
            raise ValueError(
                f"`memory` leaves {in_words(max(memory, 0))} for the work on a block, but a block of "
                f"{min(LEAST, most)} rows takes {in_words(work(min(LEAST, most)))}: raise it, or work on `subsets`."
            )
        self.rows = slices(n, rows)
        self.columns = self.rows if other is None else slices(m, rows)
        self.pairs = [
            (i, j) for i in range(len(self.rows)) for j in range(len(self.columns)) if other is not None or i <= j
        ]
        if kernel is None:  # a matrix: its blocks are read, not computed
            if client is not None:
                raise ValueError("`scheduler` computes blocks of a kernel; products with a matrix are made here.")
            return
        self.alone = _takes_one(kernel)
        self.sent: dict[Any, Any] = {}
        if client is not None:
            # Sent once, to wherever they are needed; small data to all, so that a lost worker loses nothing.
            self.sent = {("x", i): self._scatter(np.asarray(x[r], dtype=np.float64)) for i, r in enumerate(self.rows)}
            if other is not None:
                self.sent |= {
                    ("other", j): self._scatter(np.asarray(other[c], dtype=np.float64))
                    for j, c in enumerate(self.columns)
                }

    def _scatter(self, array: Array) -> Any:
        small = array.nbytes * (len(self.rows) + len(self.columns)) < 1e8
        return self.client.scatter(array, broadcast=small, hash=False)

    def _inputs(self, i: int, j: int) -> tuple[Any, Any]:
        """Rows of x and of other behind a block; None where they are the same."""
        if self.client is not None:
            first = self.sent["x", i]
            return first, None if self.symmetric and i == j else self.sent["x" if self.symmetric else "other", j]
        first = np.asarray(self.x[self.rows[i]], dtype=np.float64)
        if self.symmetric and i == j:
            return first, None
        return first, np.asarray(self.other[self.columns[j]], dtype=np.float64)

    def run(self, task: Callable[..., Any], vectors: Any = None, progress: Progress | None = None) -> Iterator[Any]:
        """`task` on every block in order: (rows, columns, what it returns)."""
        parts: list[Any] = []
        if vectors is not None:
            parts = [np.ascontiguousarray(vectors[c]) for c in self.columns]
            if self.client is not None:
                parts = [self.client.scatter(part, hash=False) for part in parts]

        def items() -> Iterator[tuple[Any, ...]]:
            for i, j in self.pairs:
                r, c = self.rows[i], self.columns[j]
                head: tuple[Any, ...]
                if self.kernel is None:
                    head = (_taken if self.checked else _given, self.x[r, c], r, c)
                else:
                    head = (_computed, (self.kernel, self.alone, self.symmetric), *self._inputs(i, j), r, c)
                if vectors is None:
                    yield head
                else:
                    yield parts[j], (parts[i] if self.symmetric and i != j else None), *head

        for done, ((i, j), result) in enumerate(zip(self.pairs, in_order(task, items(), self.client), strict=True)):
            yield self.rows[i], self.columns[j], result
            if progress is not None:
                progress(done + 1, len(self.pairs))
        self.checked = True

    def multiply(self, vectors: Array, progress: Progress | None = None) -> tuple[Array, float]:
        """K @ vectors, and the trace of a symmetric K on the way."""
        result, trace = np.zeros((self.shape[0], vectors.shape[1])), 0.0
        for rows, columns, (right, below, diagonal) in self.run(_products, vectors, progress):
            result[rows] += right
            if below is not None:
                result[columns] += below
            if rows == columns:
                trace += diagonal
        return result, trace


def entries(source: Callable[..., Array], *arguments: Any) -> Array:
    """The entries of a block."""
    return source(*arguments)


def _products(right: Array, left: Array | None, source: Callable[..., Array], *arguments: Any) -> Any:
    """Block @ right, block^T @ left where the block stands for its mirror image too, and the trace."""
    block = source(*arguments)
    return block @ right, None if left is None else block.T @ left, float(np.trace(block))


def _given(block: Array, rows: slice, columns: slice) -> Array:
    """A block of a matrix, checked."""
    largest = _largest("the Gram matrix", block, rows, columns)
    if rows == columns:
        _symmetric("the Gram matrix", block, block.T, largest, rows, columns)
    return block


def _taken(block: Array, rows: slice, columns: slice) -> Array:
    """A block of a matrix that has been checked before."""
    return block


def _computed(
    how: tuple[Any, bool, bool], x: Array, other: Array | None, rows: slice, columns: slice
) -> Float64[Array, "rows columns"]:
    """A block of a kernel, checked; `other` None means the rows of x themselves."""
    kernel, alone, symmetric = how
    x, other = _aligned(x), None if other is None else _aligned(other)
    with float64():

        def call(one: Array, two: Array | None) -> Array:
            value = kernel(one) if two is None and alone else kernel(one, one if two is None else two)
            return np.asarray(value)

        block = call(x, other)
        expected = (len(x), len(x if other is None else other))
        if block.shape != expected:
            raise ValueError(
                f"`kernel` must return {expected[0]} x {expected[1]} entries for as many samples, got shape "
                f"{block.shape} (of {block.dtype}); of a neural-tangents kernel_fn ask for one kernel with `get`."
            )
        if block.dtype.kind not in "biuf" or (block.dtype.kind == "f" and block.dtype.itemsize < 8):
            raise ValueError(
                f"`kernel` must return float64, got {block.dtype}: in less the small eigenvalues are lost in rounding."
            )
        block = block.astype(np.float64, copy=False)
        largest = _largest("`kernel`", block, rows, columns)
        if symmetric and other is None:
            _symmetric("`kernel`", block, block.T, largest, rows, columns)
            block = block + block.T
            block *= 0.5
        elif symmetric and other is not None:
            # Half of the blocks are never computed: a corner of this one with its arguments exchanged stands for them.
            few, fewer = x[:_CORNER], other[:_CORNER]
            corner = call(fewer, few)
            # Entries far from the diagonal can be all rounding: what counts is their size beside K(x, x).
            scale = max(largest, float(np.abs(call(few, few.copy())).max()))
            _symmetric("`kernel`", block[: len(few), : len(fewer)], corner.T, scale, rows, columns)
        return block


def _aligned(array: Array) -> Array:
    """A copy that begins on a cache line: sums of what comes over a network would else be ordered otherwise."""
    room = np.empty(array.nbytes + 64, dtype=np.uint8)
    start = -room.ctypes.data % 64
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _largest(name: str, block: Array, rows: slice, columns: slice) -> float:
    """Largest absolute value of a block, which must be finite; no copy is made, NaN shows in the extremes."""
    largest = max(float(block.max()), -float(block.min()))
    if math.isfinite(largest):
        return largest
    bad = ~np.isfinite(block)
    i, j = (int(index[0]) for index in np.nonzero(bad))
    raise ValueError(
        f"{name} holds {int(bad.sum())} NaN or infinite values in {_place(rows, columns)}, the first at "
        f"({rows.start + i}, {columns.start + j})."
    )


def _symmetric(name: str, block: Array, mirror: Array, scale: float, rows: slice, columns: slice) -> None:
    strips = range(0, len(block), 256)  # few at a time: no copy of the whole
    apart = max(float(np.abs(block[i : i + 256] - mirror[i : i + 256]).max()) for i in strips)
    if not apart <= _SYMMETRY * scale:
        raise ValueError(
            f"{name} must be symmetric and the same for every block it is computed in, but in "
            f"{_place(rows, columns)} K(x, x') and K(x', x) differ by {apart / scale:.1e} of the largest entry."
        )


def _place(rows: slice, columns: slice) -> str:
    return f"rows {rows.start} to {rows.stop - 1} against {columns.start} to {columns.stop - 1}"


def _takes_one(kernel: Any) -> bool:
    """Whether the kernel can be called on x alone, and so knows that both arguments are equal."""
    if not callable(kernel):
        raise ValueError(f"`kernel` must be callable as kernel(x, other), got {type(kernel).__name__}.")
    try:
        parameters = list(inspect.signature(kernel).parameters.values())
    except (TypeError, ValueError):  # some compiled callables have no signature
        return False
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(places) > 1 and places[1].default is not inspect.Parameter.empty


# Dask


@contextlib.contextmanager
def connected(scheduler: Any) -> Iterator[Any]:
    """A Dask client, or None to work here; closed at the end if it was opened here."""
    if scheduler is None or hasattr(scheduler, "submit"):
        yield scheduler
        return
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("`scheduler` needs Dask: install it with `pip install regimes[scale]`.") from None
    try:
        client = Client(scheduler, set_as_default=False, timeout=10)
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(f"`scheduler`: no Dask scheduler answers at {scheduler!r} ({error}).") from None
    with client:
        yield client


def in_order(task: Callable[..., Any], items: Iterable[tuple[Any, ...]], client: Any) -> Iterator[Any]:
    """task(*item) for all items, in their order; by the workers of a client two per thread ahead."""
    if client is None:
        for item in items:
            yield task(*item)
        return
    ahead: deque[Any] = deque()
    most = 2 * max(1, sum(client.nthreads().values()))
    try:
        for item in items:
            sent = [
                client.scatter(part, hash=False) if isinstance(part, np.ndarray) and part.nbytes > 1e5 else part
                for part in item
            ]
            ahead.append(client.submit(_with_one_thread, task, *sent, pure=False))
            if len(ahead) >= most:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()


_gate = threading.Lock()
_inside: dict[str, Any] = {"count": 0, "limits": None}


def _with_one_thread(task: Callable[..., Any], *arguments: Any) -> Any:
    """task(*arguments) with BLAS on one thread, since a worker runs one task on each of its threads."""
    try:
        import threadpoolctl  # type: ignore[import-untyped]
    except ImportError:
        return task(*arguments)
    # The limit is the whole process's: the first task to come sets it, the last to go takes it back.
    with _gate:
        if _inside["count"] == 0:
            _inside["limits"] = threadpoolctl.threadpool_limits(1)
        _inside["count"] += 1
    try:
        return task(*arguments)
    finally:
        with _gate:
            _inside["count"] -= 1
            if _inside["count"] == 0:
                _inside["limits"].restore_original_limits()


# Arguments and files


def problem(kernel: Any, x: Any, other: Any) -> tuple[Any, Any, Any]:
    """x, other and kernel; a Gram matrix in place of a kernel comes back as x, with kernel None."""
    if isinstance(kernel, np.ndarray | str | os.PathLike):
        matrix = samples("kernel", kernel)
        if x is not None or other is not None:
            raise ValueError("`x` and `other` must be None when `kernel` is a matrix.")
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype != np.float64:
            raise ValueError(
                f"`kernel` must be a callable or a square float64 matrix, got {matrix.dtype} of shape {matrix.shape}."
            )
        return matrix, None, None
    if x is None:
        raise ValueError("`x` must be given with a kernel; only a Gram matrix goes without.")
    return samples("x", x), None if other is None else samples("other", other), kernel


def samples(name: str, value: Any) -> Any:
    """`value` as an array of numbers, mapped if it is the path of a file; its values are looked at block by block."""
    if isinstance(value, str | os.PathLike):
        return _load(name, Path(value))
    array = np.asarray(value)
    if array.ndim == 0 or array.size == 0 or array.dtype.kind not in "biuf":
        raise ValueError(f"`{name}` must be samples of numbers, got {array.dtype} of shape {array.shape}.")
    return array


def _load(name: str, path: Path) -> Any:
    """A read-only memory map of a `.npy` file."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"`{name}`: {path} is not a .npy file of numbers ({error}); save an array of them.") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or array.ndim == 0:
        raise ValueError(f"`{name}`: {path} must be a .npy file of numbers.")
    return array


@contextlib.contextmanager
def _new_file(path: Path, shape: tuple[int, int]) -> Iterator[Callable[[], Array]]:
    """A function that maps a new `.npy` file under a temporary name; at the end the file gets its own."""
    if path.suffix != ".npy" or not path.parent.is_dir():
        raise ValueError(f"`out` must be a .npy file in a folder that exists, got {path}.")
    size, free = 8 * math.prod(shape), shutil.disk_usage(path.parent).free
    if size > free:
        raise ValueError(f"`out`: {path} takes {in_words(size)}, but only {in_words(free)} are free in its folder.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        np.lib.format.open_memmap(partial, mode="w+", dtype=np.float64, shape=shape)
        if hasattr(os, "posix_fallocate"):  # a full disk is an error now, not a crash while the map is written
            with open(partial, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        yield lambda: np.load(partial, mmap_mode="r+")
        with open(partial, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def store(result: Array, rows: slice, columns: slice, values: Array, *, mirrored: bool) -> None:
    """Write a block, and its mirror image below the diagonal."""
    result[rows, columns] = values
    if mirrored and rows != columns:
        result[columns, rows] = values.T


def work(rows: int) -> int:
    """Bytes held while a square block of so many rows is computed."""
    return 8 * _COPIES * rows * rows


def in_words(count: float) -> str:
    """So many bytes, in their unit."""
    power = min(max(int(math.log10(max(count, 1)) // 3), 0), 3)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB')[power]}"


def slices(size: int, most: int) -> Sequence[slice]:
    """Equal steps of at most `most`, the last one shorter: few shapes to compile for."""
    step = math.ceil(size / math.ceil(size / max(1, most)))
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]
