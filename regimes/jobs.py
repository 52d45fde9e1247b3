"""A cell as whoever computes it gets it, and what became of it.

What goes wrong in a cell is in its [Outcome][regimes.jobs.Outcome], never an exception. A cell gets nothing but its
arguments and its seed.
"""

import functools
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from regimes import folders

NUMERICAL = ("regimes", "python", "numpy", "scipy", "scikit-learn", "jax", "jaxlib", "neural-tangents")
"""Packages whose versions can change a number."""
LONGEST = 20_000
"""Characters of a traceback that are kept."""


class Job(NamedTuple):
    """A cell as a worker gets it."""

    key: str
    """The cell's identity."""
    function: Callable[..., Mapping[str, Any]]
    """What to call."""
    arguments: Mapping[str, Any]
    """By name; files by their absolute path."""
    seed: int
    """The cell's seed."""


class Outcome(NamedTuple):
    """What became of a cell."""

    error: str = ""
    """What went wrong, in a line; empty if nothing did."""
    traceback: str = ""
    """Where it went wrong."""
    died: bool = False
    """Whether the worker died over it, rather than the cell itself failing."""
    results: Mapping[str, Any] = {}
    """Numbers and words by name."""
    arrays: Mapping[str, Any] = {}
    """Arrays by name."""
    seconds: float = 0.0
    """What it took."""
    memory: float | None = None
    """Most bytes that the process had held by then, if the system says so."""
    worker: str = ""
    """Machine and process."""
    versions: Mapping[str, str] = {}
    """Versions of the packages."""


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages, looked up once."""
    return folders.versions()


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """What differs of two sets of versions that can change a number, in words.

    Args:
        one: versions by name.
        other: as well.
    """
    return [
        f"{name} {one.get(name, 'absent')} against {other.get(name, 'absent')}"
        for name in NUMERICAL
        if one.get(name) != other.get(name)
    ]


def compute(job: Job, expected: Mapping[str, str] | None = None) -> Outcome:
    """Run one cell; whatever it raises is in the outcome.

    Args:
        job: the cell.
        expected: versions that this process must have too; None if it may have others.
    """
    known = versions()
    worker = f"{platform.node()}:{os.getpid()}"
    apart = [] if expected is None else differing(known, expected)
    if apart:
        return Outcome(
            f"the worker has other packages than the process that asks: {', '.join(apart)}", "", False, {}, {}, 0.0,
            None, worker, known,
        )  # fmt: skip
    results: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    error = trace = ""
    start = time.perf_counter()
    try:
        results, arrays = _sorted_out(job.function(**job.arguments, seed=job.seed), job.arguments)
    except (Exception, SystemExit) as raised:
        error = " ".join(f"{type(raised).__name__}: {raised}".split())[:1000]
        trace = traceback.format_exc()[-LONGEST:]
        results, arrays = {}, {}
    seconds = time.perf_counter() - start
    return Outcome(error, trace, False, results, arrays, seconds, _peak(), worker, known)


def _sorted_out(returned: Any, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a cell returned, as plain results and arrays.

    Raises:
        TypeError: something else.
    """
    if not isinstance(returned, Mapping):
        raise TypeError(f"an experiment must return numbers, words and arrays by name, not {type(returned).__name__}.")
    results: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    for name, value in returned.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"an experiment must name its results by words, got {name!r}.")
        if name in arguments:
            raise TypeError(f"the result {name!r} has the name of an argument; call it something else.")
        if hasattr(value, "__array__") and np.ndim(value) == 0:
            value = np.asarray(value).item()
        if isinstance(value, bool | int | float | str | None):
            results[name] = value
        elif hasattr(value, "__array__") and np.asarray(value).dtype.kind in "biufcUS" and name.isidentifier():
            arrays[name] = np.asarray(value)
        else:
            raise TypeError(f"the result {name!r} must be a number, a word or an array, got {type(value).__name__}.")
    return results, arrays


def _peak() -> float | None:
    """Most bytes that this process has held so far."""
    try:  # Linux; getrusage there begins with what the parent held
        with open("/proc/self/status", encoding="ascii") as status:
            return next(1024.0 * int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most * (1 if sys.platform == "darwin" else 1024))
