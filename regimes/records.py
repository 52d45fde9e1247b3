"""Finished cells, and the rows that they are stored as."""

import dataclasses
import datetime
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from regimes import cells, display

COLUMNS = (
    "digest, arguments, seed, status, results, arrays, seconds, memory, attempts, error, traceback, worker, finished, "
    "environment"
)
"""Columns of a row, but for its checksum."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Record:
    """A finished cell."""

    digest: str
    """The cell's identity."""
    arguments: Mapping[str, Any]
    """All its arguments."""
    seed: int
    """The seed of all that was random."""
    status: str
    """done or failed."""
    results: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Numbers and words by name."""
    arrays: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Arrays by name; as read back, what is known of each (dtype, shape, sha256)."""
    seconds: float = 0.0
    """What the last attempt took."""
    memory: float | None = None
    """Most bytes that its process had held by then, if known."""
    attempts: int = 1
    """How many times it was started; more than once where its worker died."""
    error: str = ""
    """What went wrong, in a line."""
    traceback: str = ""
    """Where it went wrong."""
    worker: str = ""
    """Machine and process."""
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Versions of Python and of the packages behind the numbers."""
    finished: str = ""
    """When it was stored by the clock of that machine, for people: nothing depends on it."""


def row(record: Record, arrays: Mapping[str, Any], environment: str) -> tuple[Any, ...]:
    """A record as a row, its checksum last."""
    values = (
        record.digest,
        cells.encoded(record.arguments, ordered=False),
        record.seed,
        record.status,
        cells.encoded(record.results),
        cells.encoded(arrays),
        float(record.seconds),
        None if record.memory is None else float(record.memory),
        record.attempts,
        record.error,
        record.traceback,
        record.worker,
        record.finished or datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        environment,
    )
    return *values, checksum(values)


def record(row: Any, versions: Mapping[str, str]) -> Record:
    """A row, without its checksum, as a record."""
    digest, arguments, seed, status, results, arrays, seconds, memory, attempts, error, trace, worker, finished, _ = row
    return Record(
        digest,
        cells.decoded(arguments),
        seed,
        status,
        cells.decoded(results),
        cells.decoded(arrays),
        seconds,
        memory,
        attempts,
        error,
        trace,
        worker,
        versions,
        finished,
    )


def checksum(row: Iterable[Any]) -> str:
    """The checksum of a row's values."""
    return hashlib.sha256(cells.encoded(list(row)).encode("utf-8", "surrogatepass")).hexdigest()[:16]
