"""SQLite files: opened, copied, locked by the living, and what goes wrong with them in sentences."""

import contextlib
import errno
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BUSY = 60.0
"""Seconds to wait for another process that writes."""
SHARED = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "beegfs", "gpfs", "ceph", "fuse.sshfs", "9p", "afs")
"""File systems of several machines, on which processes share no memory."""


class DamagedError(RuntimeError):
    """A store that cannot be trusted as it is."""


def connect(path: Path, how: str) -> Any:
    """Open a file in a way that SQLite's URIs know, such as mode=ro."""
    uri = f"{path.resolve().as_uri()}?{how}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False)


def alive(lock: Path) -> bool:
    """Whether someone holds the lock."""
    try:
        with contextlib.closing(sqlite3.connect(f"{lock.resolve().as_uri()}?mode=rw", uri=True, timeout=0)) as probe:
            probe.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        return code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return False


@contextlib.contextmanager
def speaking(path: Path) -> Iterator[None]:
    """What SQLite says, in a sentence."""
    try:
        yield
    except sqlite3.Error as error:
        number, shown = code(error), str(path)
        if number == sqlite3.SQLITE_FULL:
            raise full(path) from error
        if number in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
            raise PermissionError(
                errno.EACCES,
                f"the store cannot be written there ({error}); look at the rights of file and folder",
                shown,
            ) from error
        if number == sqlite3.SQLITE_IOERR:
            raise OSError(
                errno.EIO,
                f"the disk refused ({error}): it may be full, or files may have a limit; what was stored before stays "
                "stored, resume when there is room",
                shown,
            ) from error
        if number in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise OSError(errno.EAGAIN, f"another process has kept the store busy for {BUSY:.0f} s", shown) from error
        raise DamagedError(advice(path, str(error))) from error


def code(error: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    return int(getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_CORRUPT) & 0xFF


def advice(path: Path, what: str) -> str:
    """What to do about a damaged store."""
    return (
        f"the store {str(path)!r} is damaged ({what}). `regimes sweep recover {path} NEW.sqlite` copies all that is "
        "whole into a new store; what is lost is then computed again."
    )


def full(path: Path) -> OSError:
    """The error of a full disk."""
    return OSError(
        errno.ENOSPC, "the disk is full; what was stored before stays stored, resume when there is room", str(path)
    )


def full_or(error: OSError, path: Path) -> OSError:
    """The error of a full disk if it was one; else the error itself."""
    # NumPy says only how much it could write.
    return full(path) if error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else error


def first_bytes(path: Path) -> None:
    """DamagedError unless the file is new or begins like one of SQLite."""
    try:
        with path.open("rb") as file:
            first = file.read(16)
    except FileNotFoundError:
        return
    if first and first != b"SQLite format 3\0":
        raise DamagedError(advice(path, "it does not begin like a store; if it never was one, name another file"))


def copy(path: Path, folder: Path) -> Path:
    """The store and what is not yet in it, copied to a folder."""
    for ending in ("", "-wal", "-journal"):
        source = path.with_name(path.name + ending)
        if source.exists():
            shutil.copyfile(source, folder / f"copy{ending}")
    return folder / "copy"


def on_network(path: Path) -> bool:
    """Whether a file lies on a file system of several machines, as far as Linux says."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    real = str(path.resolve())
    mounts = [(fields[1], fields[2]) for fields in (line.split() for line in lines) if len(fields) > 2]
    inside = [
        (point, kind)
        for point, kind in mounts
        if point == "/" or real == point or real.startswith(point.rstrip("/") + "/")
    ]
    return bool(inside) and max(inside, key=lambda mount: len(mount[0]))[1] in SHARED


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(folder: Path) -> None:
    """Make names in a folder last; Windows does so by itself."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
