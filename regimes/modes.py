"""Top eigenmodes of Gram matrices at scale, and their mirror image: covariances of features.

`top_spectrum` takes the largest eigenvalues of K/n from products with blocks of K, by randomised Nystrom or by
Lanczos, so that nothing of size n x n is held. `covariance` is the feature side: k x k sums in one pass over any
number of samples. Both work in stated `memory` and on a Dask `scheduler`, as [gram][regimes.gram] does.
"""

import math
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, eigsh

from regimes import _checks, display, gram
from regimes.gram import BLOCK, MEMORY, Blocks, Progress

Array = np.ndarray
_FEATURES = 128e6
"""Bytes of a block of features."""


@display.shown
class TopSpectrum(NamedTuple):
    """The largest eigenvalues of K/n and what the targets have in their eigenvectors."""

    eigenvalues: Float64[Array, " rank"]
    """Of K/n, descending."""
    error: Float64[Array, " rank"]
    """Each exact eigenvalue lies within this of the one given (see `top_spectrum`)."""
    power: Float64[Array, " rank"] | None
    """(u^T y)^2 / n for each eigenvector u, summed over outputs: with all n of them it sums to `total`."""
    vectors: Float64[Array, "n rank"] | None
    """Orthonormal eigenvectors, where they were asked for."""
    trace: float
    """Mean of K(x, x): the sum of all eigenvalues of K/n."""
    total: float | None
    """Mean of y^2, summed over outputs."""
    method: str
    """How it was obtained, in words."""

    def __str__(self) -> str:
        return (
            f"top {len(self.eigenvalues)} eigenvalues {self.eigenvalues[0]:.3g} to {self.eigenvalues[-1]:.3g}, "
            f"{self.eigenvalues.sum() / self.trace:.1%} of the trace, to {self.error.max():.1e}, by {self.method}"
        )


@display.shown
class Covariance(NamedTuple):
    """Second moments of N samples of k features and of the targets."""

    matrix: Float64[Array, "k k"]
    """Phi^T Phi / N."""
    cross: Float64[Array, "k outputs"] | None
    """Phi^T y / N."""
    total: float | None
    """Mean of y^2, summed over outputs."""
    samples: int
    """N."""

    def top_spectrum(self, rank: int | None = None) -> TopSpectrum:
        """Largest eigenvalues of K/N for K = Phi Phi^T / k, which are those of Phi^T Phi / (N k), and their power.

        Args:
            rank: how many; default all min(k, N).

        Raises:
            ValueError: more than there are.
        """
        size = len(self.matrix)
        rank = _checks.count("rank", min(size, self.samples) if rank is None else rank, high=min(size, self.samples))
        values, vectors = linalg.eigh(self.matrix, subset_by_index=(size - rank, size - 1), check_finite=False)
        values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
        trace = float(np.trace(self.matrix) / size)
        error = np.full(rank, size * np.finfo(np.float64).eps * values[0] / size)
        power = None
        if self.cross is not None:
            # u = Phi v / sqrt(N mu), so (u.y)^2 / N = (v . Phi^T y/N)^2 / mu; no power where rounding is all there is.
            squares = np.sum((vectors.T @ self.cross) ** 2, axis=1)
            seen = values > size * np.finfo(np.float64).eps * values[0]
            power = np.divide(squares, values, out=np.zeros(rank), where=seen)
        return TopSpectrum(values / size, error, power, None, trace, self.total, "eigenvalues of the covariance")


def top_spectrum(
    kernel: Any,
    x: Any = None,
    rank: int = 100,
    *,
    targets: Any = None,
    method: str = "nystrom",
    passes: int = 2,
    sketch: int | None = None,
    vectors: bool = False,
    seed: int = 0,
    memory: float = MEMORY,
    block: int = BLOCK,
    scheduler: Any = None,
    progress: Progress | None = None,
) -> TopSpectrum:
    """The largest eigenvalues of K/n, their eigenvectors and the power of the targets in them.

    "nystrom" computes K `passes` times and holds n x sketch numbers: with Q an orthonormal basis of the range of
    K^(passes - 1) times a random matrix, K is replaced by K Q (Q^T K Q)^-1 Q^T K, whose eigenvalues are lower bounds.
    "lanczos" (ARPACK) goes to rounding. It multiplies two to four times `rank` times, by the matrix if it is given or
    fits in `memory`, otherwise by blocks that are computed every time: then write it with `build(out=...)` first.

    Args:
        kernel: as in [multiply][regimes.gram.multiply].
        x: as there.
        rank: how many eigenvalues.
        targets: (n,) or (n, outputs).
        method: "nystrom" or "lanczos".
        passes: times that "nystrom" computes K; each brings the eigenvalues closer.
        sketch: columns of Q; default 2 rank + 16, at most n.
        vectors: whether to return the eigenvectors.
        seed: seed of the random matrix, or of the starting vector.
        memory: bytes that may be held.
        block: as there.
        scheduler: as there.
        progress: as there, for each pass.

    Returns:
        TopSpectrum. `error` is the norm of K u - n lambda u over n for "lanczos"; for "nystrom" the same of the Ritz
        pairs of Q, which are worse than what is returned. As for every iteration, an eigenvalue passed over
        altogether is not seen by it. With a single pass it is the trace that the approximation leaves over, a
        bound without exception and usually far too wide.

    Raises:
        ValueError: as `multiply`; `rank` too large for n or for `memory`; not a positive semi-definite kernel.

    Source: Tropp, Yurtsever, Udell and Cevher 2017 (stable Nystrom); Halko, Martinsson and Tropp 2011 (passes).
    """
    method = _checks.choice("method", method, ("nystrom", "lanczos"))
    memory = _checks.number("memory", memory, low=0, strict=True)
    passes, seed = _checks.count("passes", passes), _checks.count("seed", seed, low=0)
    x, _, kernel = gram.problem(kernel, x, None)
    n = len(x)
    rank = _checks.count("rank", rank, high=n if method == "nystrom" else n - 1)
    y = None if targets is None else _checks.targets("targets", targets, n)
    width = min(n, 2 * rank + 16) if sketch is None else _checks.count("sketch", sketch, low=rank, high=n)
    # Lanczos keeps max(2 rank + 1, 20) vectors; either holds a few copies of its vectors while it orthogonalises.
    held = 8.0 * 5 * n * (width if method == "nystrom" else max(2 * rank + 1, 20)) + 8.0 * 2 * block * width
    if held > memory:
        raise ValueError(
            f"`memory` is {gram.in_words(memory)}, but {rank} eigenvectors of {n} samples take "
            f"{gram.in_words(held)} while they are computed: take a smaller `rank` or `sketch`, "
            "or work on `gram.subsets`."
        )
    with gram.connected(scheduler) as client:
        blocks = Blocks(kernel, x, None, memory - held, block, client)
        if method == "nystrom":
            values, error, u, trace = _nystrom(blocks, n, rank, width, passes, seed, progress)
            words = f"randomised Nystrom, {passes} pass{'es' * (passes > 1)}, sketch {width}"
        else:
            words = "Lanczos"
            if kernel is not None and 8 * n * n + held + gram.work(min(block, n)) <= memory:
                matrix = np.empty((n, n))
                for rows, columns, entries in blocks.run(gram.entries, progress=progress):
                    gram.store(matrix, rows, columns, entries, mirrored=True)
                blocks, progress = Blocks(None, matrix, None, memory, block, None), None
                blocks.checked = True
            values, error, u, trace = _lanczos(blocks, n, rank, seed, progress)
    power = None if y is None else np.sum((u.T @ y) ** 2, axis=1) / n
    total = None if y is None else float(np.sum(y**2) / n)
    return TopSpectrum(values / n, error / n, power, u if vectors else None, trace / n, total, words)


def covariance(
    features: Any,
    targets: Any = None,
    *,
    x: Any = None,
    memory: float = MEMORY,
    scheduler: Any = None,
    progress: Progress | None = None,
) -> Covariance:
    """Phi^T Phi / N and Phi^T y / N, accumulated in one pass over the samples: N may be in the millions.

    What depends on the Gram matrix K = Phi Phi^T / k alone follows: its nonzero eigenvalues are N/k times those of
    Phi^T Phi / N (`Covariance.top_spectrum`), and the pivots of Phi^T Phi / N are the loss in k.

    Args:
        features: (N, k) array, memory map or path of a `.npy` file; an iterable of (rows, k) blocks or of pairs
            (block, targets of the block); or a callable that makes the features of rows of `x`.
        targets: (N,) or (N, outputs), unless they come with the blocks.
        x: (N, ...) samples for a callable, such as `lambda x: model.features(x, k, seed)`.
        memory: bytes that may be held, blocks that an iterable makes not counted.
        scheduler: Dask address, cluster or `Client`; workers then make the features from x, or get blocks sent.
        progress: called with (blocks done, blocks in all); with -1 in all for an iterable.

    Raises:
        ValueError: NaN, blocks of different widths, targets of another length, k x k beyond `memory`.
    """
    memory = _checks.number("memory", memory, low=0, strict=True)
    y = None if targets is None else gram.samples("targets", targets)
    make, total, items = _feature_blocks(features, y, x, memory)
    matrix, cross, square, count, done = np.zeros((0, 0)), None, 0.0, 0, 0
    with gram.connected(scheduler) as client:
        tasks = ((make, *item) for item in items)
        for product, part, squares, rows in gram.in_order(_moments, tasks, client):
            if done == 0:
                matrix, cross = np.zeros_like(product), None if part is None else np.zeros_like(part)
            if product.shape != matrix.shape or (part is None) != (cross is None):
                raise ValueError(
                    f"`features` must have as many columns in every block, with or without targets: the first has "
                    f"{len(matrix)}, block {done} has {len(product)}."
                )
            if 8 * 3 * matrix.size > memory:
                _refuse_features(len(matrix), memory)
            matrix += product
            if cross is not None:
                cross += part
            square, count, done = square + squares, count + rows, done + 1
            if progress is not None:
                progress(done, total)
    if count == 0:
        raise ValueError("`features` is empty.")
    if y is not None and len(y) != count:
        raise ValueError(f"`targets` must have one row per sample: expected {count} rows, got {len(y)}.")
    matrix /= count
    return Covariance(
        matrix, None if cross is None else cross / count, None if cross is None else square / count, count
    )


def _nystrom(
    blocks: Blocks, n: int, rank: int, width: int, passes: int, seed: int, progress: Progress | None
) -> tuple[Array, Array, Array, float]:
    """Eigenvalues of K, their error, eigenvectors and the trace."""
    basis = linalg.qr(np.random.default_rng(seed).standard_normal((n, width)), mode="economic", overwrite_a=True)[0]
    image, trace = blocks.multiply(basis, progress)
    for _ in range(passes - 1):
        basis = linalg.qr(image, mode="economic", overwrite_a=True)[0]
        image, _ = blocks.multiply(basis, progress)
    # K + shift has a core that Cholesky can factor; the shift is the size of rounding and is taken off at the end.
    core = basis.T @ image
    core = (core + core.T) / 2
    scale = float(linalg.norm(core, 2))
    shift = math.sqrt(n) * np.finfo(np.float64).eps * scale
    upper = None
    while upper is None:
        try:
            upper = linalg.cholesky(core + shift * np.eye(width), lower=False)
        except linalg.LinAlgError:
            if shift > 1e-9 * scale:
                raise ValueError("`kernel` must be positive semi-definite, but its largest part is not.") from None
            shift *= 10
    ritz, turn = linalg.eigh(core)
    ritz, turn = ritz[::-1], turn[:, ::-1]
    residual = np.linalg.norm(image @ turn - (basis @ turn) * ritz, axis=0)
    image += shift * basis
    root = linalg.solve_triangular(upper, image.T, trans="T", lower=False).T
    vectors, singular, _ = linalg.svd(root, full_matrices=False, overwrite_a=True)
    values = np.maximum(singular**2 - shift, 0.0)
    left_over = max(trace - float(values.sum()), 0.0) + shift
    # The first basis is random: its Ritz pairs are no eigenpairs, and their residuals say nothing.
    error = np.minimum(residual[:rank] + shift, left_over) if passes > 1 else np.full(rank, left_over)
    return values[:rank], error, vectors[:, :rank], trace


def _lanczos(
    blocks: Blocks, n: int, rank: int, seed: int, progress: Progress | None
) -> tuple[Array, Array, Array, float]:
    """Eigenvalues of K, their error, eigenvectors and the trace."""

    def product(vector: Array) -> Array:
        return blocks.multiply(vector.reshape(n, -1), progress)[0].reshape(vector.shape)

    operator = LinearOperator((n, n), matvec=product, matmat=product, dtype=np.float64)
    start = np.random.default_rng(seed).standard_normal(n)
    values, vectors = eigsh(operator, k=rank, which="LA", v0=start)
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors[:, order]
    image, trace = blocks.multiply(vectors, progress)
    rounding = n * np.finfo(np.float64).eps * float(values[0])
    error = np.linalg.norm(image - vectors * values, axis=0) + rounding
    if values[-1] < -1e-8 * values[0]:
        raise ValueError("`kernel` must be positive semi-definite, but its largest part is not.")
    return np.maximum(values, 0.0), error, vectors, trace


# Features


def _feature_blocks(features: Any, y: Any, x: Any, memory: float) -> tuple[Any, int, Iterator[tuple[Any, Any]]]:
    """What makes features of a block, how many blocks there are (-1: unknown), and the blocks with their targets."""
    if callable(features):
        if x is None:
            raise ValueError("`x` must be given with a callable that makes `features` of its rows.")
        source, make, step = gram.samples("x", x), features, BLOCK
    elif isinstance(features, np.ndarray | str | os.PathLike):
        source, make = gram.samples("features", features), None
        if source.ndim != 2:
            raise ValueError(f"`features` must have 2 axes, got shape {source.shape}.")
        k = source.shape[1]
        step = int(min(_FEATURES, max(memory - 24 * k * k, 0) / 4) // (8 * k))
        if step < min(gram.LEAST, len(source)):
            _refuse_features(k, memory)
    elif isinstance(features, Iterable):
        return None, -1, _paired(features, y)
    else:
        raise ValueError(
            f"`features` must be an array, an iterable of blocks or a callable, got {type(features).__name__}."
        )
    if y is not None and len(y) != len(source):
        raise ValueError(f"`targets` must have one row per sample: expected {len(source)} rows, got {len(y)}.")
    rows = gram.slices(len(source), step)
    return make, len(rows), ((source[r], None if y is None else y[r]) for r in rows)


def _paired(features: Iterable[Any], y: Any) -> Iterator[tuple[Any, Any]]:
    """Blocks with their targets, which come with them or are cut from y."""
    start = 0
    for block in features:
        if isinstance(block, tuple):
            if len(block) != 2 or y is not None:
                raise ValueError("`features` must hold blocks, or pairs (block, targets) and no `targets` beside them.")
            yield block
        else:
            stop = start + len(block)
            yield block, None if y is None else y[start:stop]
            start = stop


def _moments(make: Any, block: Any, y: Any) -> tuple[Array, Array | None, float, int]:
    """Phi^T Phi, Phi^T y, the sum of y^2 and the number of rows of one block."""
    phi = _checks.finite_array("features", block if make is None else make(block), ndim=2)
    if y is None:
        return phi.T @ phi, None, 0.0, len(phi)
    y = _checks.targets("targets", y, len(phi))
    return phi.T @ phi, phi.T @ y, float(np.sum(y**2)), len(phi)


def _refuse_features(k: int, memory: float) -> None:
    raise ValueError(
        f"`memory` is {gram.in_words(memory)}, but the covariance of {k} features takes "
        f"{gram.in_words(24 * k * k + 32 * gram.LEAST * k)} while it is accumulated: take fewer features, or the Gram "
        "matrix of a subset of the samples (`gram.subsets`)."
    )
