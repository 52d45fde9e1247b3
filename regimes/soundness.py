"""Whether an array can be analysed: real and finite numbers, a Gram matrix that is one, no copies, enough samples.

[inputs.read][regimes.inputs.read] asks all of this of whatever it takes. An array may lie on disk, mapped into memory:
it is tested a block of rows at a time and not copied whole. `origin` is what to call the array in the sentence that
refuses it.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy import linalg

from regimes import _checks

Array = np.ndarray

WORDS = {
    "gram": "a Gram matrix",
    "features": "features with the linear kernel",
    "inputs": "inputs",
    "eigenvalues": "eigenvalues",
}
"""The kinds of array that can be analysed, and what to call them in a sentence."""
FEWEST = 100
"""Samples below which no regime can be told."""
FEWEST_EIGENVALUES = 10
"""Eigenvalues below which no exponent can be read."""
CHECKED = 1000
"""Samples on which a Gram matrix is tested for negative eigenvalues."""
_BLOCK = 512


def real_array(argument: str, origin: str, value: Any) -> tuple[Array, str]:
    """The value as an array of real numbers, not copied where it is one, and its precision.

    Raises:
        ValueError: a sparse or masked matrix, complex numbers, words or objects, no or only one number.
    """
    if hasattr(value, "toarray"):
        raise ValueError(f"`{argument}`: {origin} is a sparse matrix of shape {value.shape}; pass its .toarray().")
    if np.ma.is_masked(value):
        raise ValueError(f"`{argument}`: {origin} masks {int(np.ma.count_masked(value))} entries; remove or fill them.")
    try:
        array = value if isinstance(value, np.memmap) else np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{argument}`: {origin} is no array of numbers ({error}).") from None
    _checks.refuse_complex(f"`{argument}`: {origin}", array)
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


def tolerance(precision: str) -> float:
    """Asymmetry that counts as rounding, in units of the largest entry."""
    return max(1e-8, 64 * float(np.finfo(precision).eps))


def _blocks(array: Array) -> Iterator[tuple[slice, Array]]:
    """Blocks of rows in float64, small enough to be copied."""
    step = max(1, min(_BLOCK, 2**24 // max(1, int(np.prod(array.shape[1:])))))
    for start in range(0, len(array), step):
        rows = slice(start, min(start + step, len(array)))
        yield rows, np.asarray(array[rows], dtype=np.float64)


def finite(origin: str, array: Array) -> None:
    """Refuses what has no information in it.

    Raises:
        ValueError: NaN or infinite entries, or all entries the same.
    """
    bad = sum(block.size - int(np.isfinite(block).sum()) for _, block in _blocks(array))
    if bad:
        raise ValueError(
            f"`source`: {origin} holds {bad} NaN or infinite values of {array.size}; remove or replace them."
        )
    first = float(array.flat[0])
    if all(np.all(block == first) for _, block in _blocks(array)):
        raise ValueError(f"`source`: all {array.size} entries of {origin} are {first:g}; there is nothing to analyse.")


def asymmetry(array: Array) -> float:
    """Largest |K - K.T| in units of the largest entry."""
    gap = scale = 0.0
    for rows, block in _blocks(array):
        gap = max(gap, float(np.abs(block - np.asarray(array[:, rows], dtype=np.float64).T).max()))
        scale = max(scale, float(np.abs(block).max()))
    return gap / scale


def gram(origin: str, array: Array, precision: str, seed: int) -> tuple[list[str], Array]:
    """What to say of a Gram matrix, and which samples repeat an earlier one.

    Args:
        origin: what to call it.
        array: square matrix.
        precision: float16, float32 or float64, how exact its entries are.
        seed: seed of the samples that are tested for negative eigenvalues, at most `CHECKED` of them.

    Raises:
        ValueError: not symmetric up to rounding, a diagonal that is not positive, a negative eigenvalue.
    """
    gap = asymmetry(array)
    if gap > tolerance(precision):
        raise ValueError(
            f"`source`: {origin} must be symmetric, but |K - K.T| reaches {gap:.1e} of its largest entry; "
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
    values = linalg.eigvalsh(symmetric(submatrix(array, None if len(some) == size else some)))
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
    copies = []
    for rows, block in _blocks(array):
        sums = diagonal[rows, None] + diagonal
        # |phi_i - phi_j|^2 = K_ii + K_jj - 2 K_ij is zero for copies.
        same = np.tril(sums - 2 * block <= near * sums, rows.start - 1)
        copies.append(rows.start + np.flatnonzero(same.any(axis=1)))
    return notes, np.concatenate(copies)


def repeats(array: Array) -> Int64[Array, " repeats"]:
    """Samples equal to an earlier one."""
    seen: set[bytes] = set()
    copies = []
    for rows, block in _blocks(array):
        for index, row in enumerate(block + 0.0, rows.start):  # which makes -0 the same as 0
            digest = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
            if digest in seen:
                copies.append(index)
            seen.add(digest)
    return np.array(copies, dtype=np.int64)


def shaped(origin: str, array: Array, kind: str) -> None:
    """Refuses an array that cannot be of its kind, one of `WORDS`.

    Raises:
        ValueError: another number of axes, a Gram matrix that is not square, fewer than `FEWEST` samples.
    """
    axes = {"gram": (2,), "features": (2,), "inputs": (2, 3, 4, 5), "eigenvalues": (1,)}[kind]
    if array.ndim not in axes:
        raise ValueError(
            f"`source`: {origin} has {array.ndim} axes (shape {array.shape}), which is not {WORDS[kind]}; reshape it "
            f"to {'(number,)' if kind == 'eigenvalues' else '(samples, -1)'}, or state another kind=."
        )
    if kind == "gram" and array.shape[0] != array.shape[1]:
        raise ValueError(
            f"`source` must be a square Gram matrix, got shape {array.shape}; for features say kind='features'."
        )
    if kind != "eigenvalues" and len(array) < FEWEST:
        raise ValueError(f"`source`: {origin} has {len(array)} samples; at least {FEWEST} are needed.")


def eigenvalues(origin: str, array: Array) -> tuple[Float64[Array, " modes"], list[str]]:
    """The eigenvalues in descending order without those that are zero up to rounding, and what was done to them.

    Raises:
        ValueError: negative eigenvalues, fewer than `FEWEST_EIGENVALUES` positive ones.
    """
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


def submatrix(array: Array, rows: Any) -> Float64[Array, "n n"]:
    """Rows and columns of a square array that may lie on disk, read a block of rows at a time."""
    if rows is None:
        return np.asarray(array, dtype=np.float64)
    result = np.empty((len(rows), len(rows)))
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        result[start : start + len(some)] = array[some][:, rows]
    return result


def symmetric(matrix: Float64[Array, "n n"]) -> Float64[Array, "n n"]:
    """The matrix itself where it is symmetric to the last bit, else its symmetric part."""
    return matrix if np.array_equal(matrix, matrix.T) else (matrix + matrix.T) / 2
