"""The store of a sweep: one SQLite file that survives its writers, and arrays in a folder beside it.

A finished cell is one row, written in a transaction: it is there, whole and on disk, or not at all. A row carries the
arguments, the seed, the results, the time, the error if there was one and the versions of the packages behind it, and
a checksum of all that. Arrays are `.npy` files named after cell and array; their SHA-256 is in the row.

Several processes of one machine may write to one store. What one of them works on it has claimed, and a claim
is good as long as its owner lives: each owner holds a lock that the operating system drops when the process ends,
however it ends. No clock is asked. On a network file system SQLite cannot share memory between processes, and an
older, slower journal is used; let one process write there.
"""

import contextlib
import hashlib
import os
import re
import sqlite3
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from regimes import cells, database, display, records
from regimes.database import DamagedError as DamagedError
from regimes.records import Record as Record

Array = np.ndarray

SCHEMA = 1
"""Version of the tables."""
DONE, FAILED = "done", "failed"
EXPORTS = (".csv", ".parquet")
"""Endings of the files that `export` writes."""
_APPLICATION = 0x52474D53  # RGMS
_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE environments (hash TEXT PRIMARY KEY, versions TEXT NOT NULL);
CREATE TABLE cells (
    number INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, arguments TEXT NOT NULL, seed INTEGER NOT NULL,
    status TEXT NOT NULL, results TEXT NOT NULL, arrays TEXT NOT NULL, seconds REAL NOT NULL, memory REAL,
    attempts INTEGER NOT NULL, error TEXT NOT NULL, traceback TEXT NOT NULL, worker TEXT NOT NULL,
    finished TEXT NOT NULL, environment TEXT NOT NULL, checksum TEXT NOT NULL
);
CREATE INDEX summary ON cells (status, environment, seconds, memory);
CREATE TABLE claims (digest TEXT PRIMARY KEY, owner TEXT NOT NULL);
"""
_PLACES = ", ".join("?" * 15)
_HEX = re.compile(r"[0-9a-f]{64}")


@display.shown
class Summary(NamedTuple):
    """What a store holds."""

    done: int
    """Cells that are done."""
    failed: int
    """Cells that raised, or whose worker died twice."""
    claimed: int
    """Cells that someone works on, or worked on when it was killed."""
    seconds: float
    """Time of all cells that are done, added up."""
    memory: float | None
    """Most bytes that a process which ran one has held."""
    environments: int
    """Different sets of package versions behind them."""


# Opening


def write(path: Any, experiment: str, version: int, seed: int = 0) -> "Store":
    """A store to add to, made if it is not there; close it, or use it in a `with`.

    Args:
        path: the file.
        experiment: name of the experiment.
        version: its version.
        seed: seed of the sweep.

    Raises:
        ValueError: a store of another experiment, version or seed, or of a later release; no store at all.
        DamagedError: a store that is damaged.
        OSError: a folder that is not there or cannot be written; a full disk.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OSError(f"the folder {str(path.parent)!r} is not there; make it first, or name another store.")
    database.first_bytes(path)
    with database.speaking(path):
        connection = sqlite3.connect(path, timeout=database.BUSY, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA journal_mode = {'DELETE' if database.on_network(path) else 'WAL'}")
            connection.execute("PRAGMA synchronous = FULL")  # a row that is there survives a power cut too
            create(connection, {"experiment": experiment, "version": str(version), "seed": str(seed)})
            store = Store(path, connection, writable=True)
            store.refuse_others(experiment, version, seed)
            return store
        except BaseException:
            connection.close()
            raise


def read(path: Any) -> "Store":
    """A store to look at, even in a folder that cannot be written; close it, or use it in a `with`.

    Args:
        path: the file.

    Raises:
        ValueError: no such file, or no store.
        DamagedError: a store that is damaged.
    """
    path = Path(path)
    if not path.is_file() or path.stat().st_size == 0:
        raise ValueError(f"there is no store {str(path)!r} yet; `regimes sweep run` makes it.")
    database.first_bytes(path)
    copied = None
    with database.speaking(path):
        try:
            connection = database.connect(path, "mode=rw")  # a reader too takes part in the journal
            connection.execute("PRAGMA query_only = ON")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            if database.code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
            # A folder that cannot be written has no room for the file through which readers meet writers.
            journal = path.with_name(f"{path.name}-wal")
            if journal.exists() and journal.stat().st_size:  # rows that are not yet in the file itself
                copied = tempfile.TemporaryDirectory(prefix="regimes-store-")
                connection = database.connect(database.copy(path, Path(copied.name)), "mode=rw")
            else:
                connection = database.connect(path, "mode=ro&immutable=1")
        try:
            return Store(path, connection, writable=False, copied=copied)
        except BaseException:
            connection.close()
            raise


class Store:
    """An open store; made by [write][regimes.store.write] and [read][regimes.store.read]."""

    def __init__(self, path: Path, connection: Any, *, writable: bool, copied: Any = None) -> None:
        self.path, self.connection, self.writable = path, connection, writable
        self._copied = copied
        self._lock: Any = None
        self.owner = ""
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        schema = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != _APPLICATION:
            raise ValueError(
                f"{str(path)!r} is a database of something else, not the store of a sweep; name another file."
            )
        if schema != SCHEMA:
            raise ValueError(
                f"{str(path)!r} has tables of version {schema}, and this release of regimes knows version {SCHEMA}: "
                "use the release that wrote it, or another store."
            )
        about = dict(connection.execute("SELECT name, value FROM about"))
        self.experiment, self.version, self.seed = about["experiment"], int(about["version"]), int(about["seed"])

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Give up all claims and close the file."""
        with contextlib.suppress(sqlite3.Error, OSError):
            if self.owner:
                self.connection.execute("DELETE FROM claims WHERE owner = ?", (self.owner,))
        self.connection.close()
        if self._lock is not None:
            self._lock.close()
            self._lock_file(self.owner).unlink(missing_ok=True)
            self._lock, self.owner = None, ""
        if self._copied is not None:
            self._copied.cleanup()
            self._copied = None

    def refuse_others(self, experiment: str, version: int, seed: int) -> None:
        """ValueError unless the store is one of this experiment, version and seed.

        Args:
            experiment: name.
            version: its version.
            seed: seed of the sweep.
        """
        if self.experiment != experiment:
            raise ValueError(
                f"{str(self.path)!r} holds cells of {self.experiment}, not of {experiment}; name another store."
            )
        if self.version != version:
            raise ValueError(
                f"{str(self.path)!r} holds version {self.version} of {experiment}, whose version is now {version}: "
                "their results differ. Name another store; the old one can still be exported."
            )
        if self.seed != seed:
            raise ValueError(f"{str(self.path)!r} holds a sweep with seed {self.seed}, not {seed}; name another store.")

    # What is there

    def summary(self) -> Summary:
        """Counts, time and memory, without reading the rows themselves."""
        with database.speaking(self.path):
            found = self.connection.execute(
                "SELECT status, count(*), total(seconds), max(memory) FROM cells INDEXED BY summary GROUP BY status"
            ).fetchall()
            claimed = self.connection.execute("SELECT count(*) FROM claims").fetchone()[0]
            environments = self.connection.execute("SELECT count(DISTINCT environment) FROM cells").fetchone()[0]
        by = {status: (count, seconds, memory) for status, count, seconds, memory in found}
        done, seconds, memory = by.get(DONE, (0, 0.0, None))
        return Summary(done, by.get(FAILED, (0,))[0], claimed, seconds, memory, environments)

    def statuses(self) -> dict[str, str]:
        """Whether each cell is done or failed, by its identity."""
        with database.speaking(self.path):
            return dict(self.connection.execute("SELECT digest, status FROM cells"))

    def seconds(self) -> dict[str, float]:
        """Time of the cells that are done, by identity."""
        with database.speaking(self.path):
            return dict(self.connection.execute("SELECT digest, seconds FROM cells WHERE status = ?", (DONE,)))

    def environments(self) -> list[dict[str, str]]:
        """The sets of package versions behind the cells, the most frequent first."""
        with database.speaking(self.path):
            found = self.connection.execute(
                "SELECT versions FROM environments JOIN (SELECT environment, count(*) AS uses FROM cells GROUP BY "
                "environment) ON environment = hash ORDER BY uses DESC, hash"
            ).fetchall()
        return [cells.decoded(versions) for (versions,) in found]

    def records(self, status: str | None = None) -> Iterator[Record]:
        """All finished cells, each with its checksum looked at.

        Args:
            status: only those; default all.

        Raises:
            DamagedError: a row that is not as it was written.
        """
        with database.speaking(self.path):
            known = dict(self.connection.execute("SELECT hash, versions FROM environments"))
            versions = {key: cells.decoded(text) for key, text in known.items()}
            for row in self._rows():
                if status in (None, row[3]):
                    yield records.record(row, versions.get(row[-1], {}))

    def _rows(self) -> Iterator[list[Any]]:
        """All rows, each with its checksum looked at."""
        for *row, written in self.connection.execute(f"SELECT {records.COLUMNS}, checksum FROM cells ORDER BY digest"):
            if written != records.checksum(row):
                what = f"the row of cell {str(row[0])[:12]} is not as it was written"
                raise DamagedError(database.advice(self.path, what))
            yield row

    def check(self) -> None:
        """Read all of it: pages, indices and the checksum of every row; and see that all arrays are there.

        Raises:
            DamagedError: something is not as it was written.
        """
        with database.speaking(self.path):
            found = self.connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                raise DamagedError(database.advice(self.path, found.splitlines()[0]))
            for row in self._rows():
                for name in cells.decoded(row[5]):
                    if not self.array_path(row[0], name).is_file():
                        gone = self.array_path(row[0], name).name
                        raise DamagedError(database.advice(self.path, f"the array {gone} is gone"))

    def array(self, digest: str, name: str, *, memory_map: bool = False) -> Array:
        """An array that a cell returned.

        Args:
            digest: the cell.
            name: the array.
            memory_map: leave it on disk, and leave its checksum unread.

        Raises:
            ValueError: no such cell or array.
            DamagedError: a file that is gone or not as it was written.
        """
        with database.speaking(self.path):
            found = self.connection.execute("SELECT arrays FROM cells WHERE digest = ?", (digest,)).fetchone()
        known = {} if found is None else cells.decoded(found[0])
        if name not in known or not _HEX.fullmatch(digest):
            raise ValueError(
                f"{str(self.path)!r} holds no array {name!r} of cell {digest[:12]!r}"
                + (f"; there are {', '.join(known)}." if known else ".")
            )
        path = self.array_path(digest, name)
        if not path.is_file():
            raise DamagedError(database.advice(self.path, f"the array {path.name} is gone"))
        if not memory_map and database.sha256(path) != known[name]["sha256"]:
            raise DamagedError(database.advice(self.path, f"the array {path.name} is not as it was written"))
        return np.asarray(np.load(path, allow_pickle=False, mmap_mode="r" if memory_map else None))

    def array_path(self, digest: str, name: str) -> Path:
        """The file of an array."""
        return arrays_folder(self.path) / f"{digest}.{name}.npy"

    def frame(self) -> Any:
        """All finished cells as a pandas DataFrame: a column for each argument, each result and all that was recorded.

        What was recorded is called `cell status` and so on where an argument or a result is called `status` itself.

        Raises:
            DamagedError: a row that is not as it was written.
        """
        import pandas as pd

        rows: list[Any] = []
        arguments: dict[str, Any] = {}
        for record in self.records():
            arguments |= dict.fromkeys(record.arguments)
            beside = {f"{name}.npy": self.array_path(record.digest, name).name for name in record.arrays}
            told = (
                {"status": record.status, "error": record.error}
                | {"seed": record.seed, "seconds": record.seconds, "memory": record.memory}
                | {"attempts": record.attempts, "worker": record.worker, "finished": record.finished}
                | {f"version of {name}": version for name, version in record.versions.items()}
                | {"experiment": self.experiment, "experiment version": self.version, "cell": record.digest}
            )
            rows.append(({**beside, **record.arguments, **record.results}, told))
        # An experiment may well return an `error`: what is recorded beside it then has another name.
        taken = {name for own, _ in rows for name in own}
        rows = [
            own | {f"cell {name}" if name in taken else name: value for name, value in told.items()}
            for own, told in rows
        ]
        frame = pd.DataFrame(rows)
        with contextlib.suppress(TypeError):  # words and numbers in one column have no order
            ordered: Any = frame.sort_values  # its stubs want every option
            frame = ordered(list(arguments), kind="stable", ignore_index=True) if rows else frame
        return frame

    # Working on it

    def claim(self, digests: Iterable[str], most: int) -> tuple[list[str], dict[str, str]]:
        """Claim up to `most` cells that are not finished and not claimed by another process that lives.

        Args:
            digests: candidates, in order.
            most: how many.

        Returns:
            The cells claimed, and the status of those that were found finished on the way.
        """
        if not self.owner:
            self._own()
        claimed: list[str] = []
        finished: dict[str, str] = {}
        with database.speaking(self.path), self.transaction():
            self._free_the_dead()
            for digest in digests:
                if len(claimed) == most:
                    break
                found = self.connection.execute("SELECT status FROM cells WHERE digest = ?", (digest,)).fetchone()
                if found is not None:
                    finished[digest] = found[0]
                    continue
                new = self.connection.execute("INSERT OR IGNORE INTO claims VALUES (?, ?)", (digest, self.owner))
                if new.rowcount:
                    claimed.append(digest)
        return claimed, finished

    def release(self, digests: Iterable[str]) -> None:
        """Give up claims.

        Args:
            digests: the cells.
        """
        with database.speaking(self.path), self.transaction():
            self.connection.executemany(
                "DELETE FROM claims WHERE digest = ? AND owner = ?", [(digest, self.owner) for digest in digests]
            )

    def finish(self, record: Record) -> bool:
        """Store a finished cell, its arrays first, and give up the claim on it.

        Args:
            record: the cell.

        Returns:
            False where it was finished already, in which case the first record is kept.

        Raises:
            OSError: a full disk, a folder that cannot be written. What was stored before stays stored.
        """
        return self.finish_all([record]) == 1

    def finish_all(self, finished: Iterable[Record]) -> int:
        """Store some finished cells in one transaction: all of them or none; see [finish][regimes.store.Store.finish].

        Args:
            finished: the cells.

        Returns:
            How many were not finished already.
        """
        environments: dict[str, str] = {}
        rows = []
        for record in finished:
            known = {name: self._save(record.digest, name, array) for name, array in record.arrays.items()}
            versions = cells.encoded(record.versions)
            environment = hashlib.sha256(versions.encode()).hexdigest()[:16]
            environments[environment] = versions
            rows.append(records.row(record, known, environment))
        with database.speaking(self.path), self.transaction():
            self.connection.executemany("INSERT OR IGNORE INTO environments VALUES (?, ?)", environments.items())
            added = self.connection.executemany(
                f"INSERT INTO cells ({records.COLUMNS}, checksum) VALUES ({_PLACES}) ON CONFLICT DO NOTHING",
                rows,
            )
            self.connection.executemany("DELETE FROM claims WHERE digest = ?", [row[:1] for row in rows])
        return int(added.rowcount)

    def forget_failures(self, digests: Iterable[str]) -> int:
        """Take failed cells out, so that they are computed again.

        Args:
            digests: those to take out, if they have failed.
        """
        with database.speaking(self.path), self.transaction():
            before = self.connection.total_changes
            self.connection.executemany(
                "DELETE FROM cells WHERE digest = ? AND status = ?", [(digest, FAILED) for digest in digests]
            )
            return int(self.connection.total_changes - before)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:  # a full disk has rolled back already
                self.connection.execute("ROLLBACK")
            raise

    def _save(self, digest: str, name: str, array: Any) -> dict[str, Any]:
        """Write an array under a temporary name and rename it."""
        if not name.isidentifier():
            raise ValueError(f"an array must have a name like a variable, got {name!r}.")
        array = np.asarray(array)
        folder, path = arrays_folder(self.path), self.array_path(digest, name)
        partial = folder / f".{path.name}.{self.owner}.partial"
        try:
            folder.mkdir(exist_ok=True)
            with partial.open("wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            checksum = database.sha256(partial)
            os.replace(partial, path)
            database.sync(folder)
        except OSError as error:
            raise database.full_or(error, folder) from error
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        return {"dtype": str(array.dtype), "shape": list(array.shape), "sha256": checksum}

    def _lock_file(self, owner: str) -> Path:
        return self.path.with_name(f"{self.path.name}-run-{owner}")

    def _own(self) -> None:
        """Become someone who can claim: hold a lock that ends with this process."""
        owner = uuid.uuid4().hex
        with database.speaking(self.path):
            self._lock = sqlite3.connect(self._lock_file(owner), isolation_level=None, check_same_thread=False)
            self._lock.execute("BEGIN EXCLUSIVE")
        self.owner = owner

    def _free_the_dead(self) -> None:
        """Drop claims and unfinished files of processes that are no more."""
        for (owner,) in self.connection.execute("SELECT DISTINCT owner FROM claims").fetchall():
            if owner != self.owner and not database.alive(self._lock_file(owner)):
                self.connection.execute("DELETE FROM claims WHERE owner = ?", (owner,))
                for left in arrays_folder(self.path).glob(f".*.{owner}.partial"):
                    left.unlink(missing_ok=True)
                self._lock_file(owner).unlink(missing_ok=True)


def export(store: Store, out: Any) -> int:
    """Write all finished cells to a `.csv` or `.parquet` file; it appears when it is complete.

    Args:
        store: an open store.
        out: the file.

    Returns:
        The number of rows.

    Raises:
        ValueError: another ending, nothing to write.
        DamagedError: a row that is not as it was written.
    """
    from regimes import folders

    out = Path(out)
    if out.suffix not in EXPORTS:
        raise ValueError(f"`out` must end in {' or '.join(EXPORTS)}, got {str(out)!r}.")
    frame = store.frame()
    if frame.empty:
        raise ValueError(f"{str(store.path)!r} holds no finished cell yet.")
    if out.suffix == ".csv":
        folders.write(out.parent, {out.name: lambda path: frame.to_csv(path, index=False)})
        return len(frame)
    for column in [name for name in frame if frame[name].dtype.kind == "O"]:  # Parquet has one type for each column
        kinds = {type(value) for value in frame[column] if value is not None and value == value}
        if len(kinds) > 1 or list in kinds:
            frame[column] = [None if value is None or value != value else str(value) for value in frame[column]]
    folders.write(out.parent, {out.name: lambda path: frame.to_parquet(path, index=False)})
    return len(frame)


# SQLite


def create(connection: Any, about: Mapping[str, str]) -> None:
    """The tables, if they are not there: all or none, whoever is first."""
    if connection.execute("PRAGMA application_id").fetchone()[0] == _APPLICATION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _TABLES.split(";")[:-1]:
                connection.execute(statement)
            connection.executemany("INSERT INTO about VALUES (?, ?)", about.items())
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def arrays_folder(path: Path) -> Path:
    """Where the arrays of a store are."""
    return path.with_name(f"{path.stem if path.suffix == '.sqlite' else path.name}.arrays")
