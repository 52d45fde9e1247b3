"""Argument checks. Each message names the argument, says what came and what to do."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

Array = np.ndarray


def finite_array(name: str, value: Any, *, ndim: int | tuple[int, ...] | None = None) -> Float64[Array, "..."]:
    """`value` as a float64 array without NaN or infinity, of the given number of axes."""
    try:  # NumPy would drop imaginary parts with no more than a warning
        array = np.asarray(value, dtype=np.complex128 if np.iscomplexobj(value) else np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` must be numeric, got {type(value).__name__} ({error}).") from None
    refuse_complex(f"`{name}`", array)
    allowed = (ndim,) if isinstance(ndim, int) else ndim
    if allowed is not None and array.ndim not in allowed:
        wanted = " or ".join(str(n) for n in allowed) + (" axis" if allowed == (1,) else " axes")
        raise ValueError(f"`{name}` must have {wanted}, got shape {array.shape}.")
    if array.size == 0:
        raise ValueError(f"`{name}` is empty (shape {array.shape}).")
    bad = array.size - int(np.isfinite(array).sum())
    if bad:
        raise ValueError(f"`{name}` holds {bad} NaN or infinite values of {array.size}; remove or replace them.")
    return array


def refuse_complex(subject: str, array: Any) -> None:
    """ValueError where an array is complex, even if all imaginary parts are zero; `subject` begins the sentence."""
    if np.iscomplexobj(array):
        largest = float(np.abs(np.imag(array)).max(initial=0))
        raise ValueError(f"{subject} holds complex numbers, with imaginary parts up to {largest:.2g}; pass real ones.")


def gram_matrix(name: str, value: Any, *, tolerance: float = 1e-8) -> Float64[Array, "n n"]:
    """`value` as a square, symmetric float64 matrix with a positive diagonal.

    Symmetry is asked to `tolerance` times the largest entry. Positive definiteness shows in the
    Cholesky factor and is not tested here.
    """
    array = finite_array(name, value, ndim=2)
    if array.shape[0] != array.shape[1]:
        raise ValueError(
            f"`{name}` must be a square Gram matrix, got shape {array.shape}; for a feature matrix pass phi @ phi.T."
        )
    scale = float(np.abs(array).max())
    asymmetry = max(
        float(np.abs(array[i : i + 512] - array[:, i : i + 512].T).max()) for i in range(0, array.shape[0], 512)
    )
    if asymmetry > tolerance * scale:
        raise ValueError(
            f"`{name}` must be symmetric, but |K - K.T| reaches {asymmetry / scale:.1e} of its largest entry; "
            "if that is rounding, pass (K + K.T) / 2."
        )
    if not np.all(np.diagonal(array) > 0):
        raise ValueError(
            f"`{name}` has {int((np.diagonal(array) <= 0).sum())} diagonal entries that are not positive; "
            "a Gram matrix has K(x, x) > 0 (remove inputs that are all zero)."
        )
    return array


def targets(name: str, value: Any, rows: int) -> Float64[Array, "n outputs"]:
    """`value` as (rows, outputs); a vector becomes one column."""
    array = finite_array(name, value, ndim=(1, 2))
    if array.shape[0] != rows:
        raise ValueError(f"`{name}` must have one row per sample: expected {rows} rows, got shape {array.shape}.")
    return array[:, None] if array.ndim == 1 else array


def sizes(name: str, value: Sequence[Any] | Array, *, low: int, high: int) -> np.ndarray:
    """Strictly increasing whole numbers between `low` and `high`, both included."""
    array = finite_array(name, value, ndim=(0, 1)).reshape(-1)
    whole = np.rint(array)
    if np.any(whole != array):
        raise ValueError(f"`{name}` must be whole numbers, got {array[whole != array][0]:g}.")
    if whole.min() < low or whole.max() > high:
        outside = whole[(whole < low) | (whole > high)][0]
        raise ValueError(f"`{name}` must lie between {low} and {high}, got {outside:g}.")
    if np.any(np.diff(whole) <= 0):
        raise ValueError(f"`{name}` must be strictly increasing, got {[int(v) for v in whole[:8]]}.")
    return whole.astype(np.int64)


def count(name: str, value: Any, *, low: int = 1, high: int | None = None) -> int:
    """A whole number of at least `low` (and at most `high`)."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(f"`{name}` must be a whole number, got {value!r}.")
    if value < low or (high is not None and value > high):
        bound = f"at least {low}" if high is None else f"between {low} and {high}"
        raise ValueError(f"`{name}` must be {bound}, got {value}.")
    return int(value)


def number(name: str, value: Any, *, low: float = -math.inf, strict: bool = False) -> float:
    """A finite number, of at least `low` (more than `low` if `strict`)."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"`{name}` must be a number, got {value!r}.") from None
    if not math.isfinite(result) or result < low or (strict and result == low):
        bound = "finite" if low == -math.inf else f"finite and {'more than' if strict else 'at least'} {low:g}"
        raise ValueError(f"`{name}` must be {bound}, got {value!r}.")
    return result


def level(value: Any) -> float:
    """A stated coverage, between 0 and 1."""
    value = number("level", value)
    if not 0 < value < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {value:g}.")
    return value


def interval(name: str, value: Any) -> tuple[float, float]:
    """The two ends of a range."""
    ends = finite_array(name, value, ndim=1)
    if len(ends) != 2:
        raise ValueError(f"`{name}` must be the smallest and the largest size, got {len(ends)} numbers.")
    return float(ends[0]), float(ends[1])


def choice(name: str, value: Any, allowed: Sequence[str]) -> str:
    """One of the `allowed` words."""
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(allowed)}; got {value!r}.")
    return str(value)
