"""What can be read of a damaged store, copied into a new one."""

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from regimes import cells, database, records, store


def recover(path: Any, new: Any) -> tuple[int, int]:
    """Copy what can be read of a damaged store into a new one; cells that are lost are computed again.

    Every row is looked up by itself and kept if its checksum and those of its arrays are right. Where the beginning of
    the file is gone, that of a new store is taken, which has the same layout.

    Args:
        path: the damaged store, which is left as it is.
        new: the file to write; not there yet.

    Returns:
        How many rows were kept, and how many were seen but are damaged.

    Raises:
        ValueError: a new store that is there already; one that says nothing about its experiment.
    """
    path, new = Path(path), Path(new)
    if not path.is_file():
        raise ValueError(f"there is no store {str(path)!r}.")
    for there in (new, store.arrays_folder(new)):
        if there.exists():
            raise ValueError(f"{str(there)!r} is there already; name a file that is not.")
    with tempfile.TemporaryDirectory(prefix="regimes-store-") as folder:
        copy = database.copy(path, Path(folder))
        blank = Path(folder) / "blank"
        with contextlib.closing(sqlite3.connect(blank, isolation_level=None)) as fresh:
            fresh.execute("PRAGMA journal_mode = WAL")
            store.create(fresh, {})
        rows, damaged, about, environments = _readable(copy)
        if not about:  # the first page may be gone: all stores have the same one
            with copy.open("r+b") as file:
                file.write(blank.read_bytes()[:4096])
                file.seek(28)
                file.write(bytes(4))  # as many pages as the file has
            rows, damaged, about, environments = _readable(copy)
    whole = [row for row in rows if _arrays_are_whole(path, row)]
    rows, damaged = whole, damaged + len(rows) - len(whole)
    if not {"experiment", "version", "seed"} <= set(about):
        raise ValueError(f"nothing can be read of {str(path)!r} any more; start a new store.")
    with (
        store.write(new, about["experiment"], int(about["version"]), int(about["seed"])) as made,
        database.speaking(new),
        made.transaction(),
    ):
        made.connection.executemany("INSERT OR IGNORE INTO environments VALUES (?, ?)", environments.items())
        made.connection.executemany(
            f"INSERT INTO cells ({records.COLUMNS}, checksum) VALUES ({', '.join('?' * 15)})",
            [(*row, records.checksum(row)) for row in rows],
        )
    if store.arrays_folder(path).is_dir():
        shutil.copytree(store.arrays_folder(path), store.arrays_folder(new))
    return len(rows), damaged


def _arrays_are_whole(path: Path, row: Any) -> bool:
    """Whether all arrays of a row are there, as they were written."""
    for name, told in cells.decoded(row[5]).items():
        file = store.arrays_folder(path) / f"{row[0]}.{name}.npy"
        if not file.is_file() or database.sha256(file) != told["sha256"]:
            return False
    return True


def _readable(path: Path) -> tuple[list[Any], int, dict[str, str], dict[str, str]]:
    """Rows that can be looked up and whose checksum is right, how many are not, and the small tables."""
    rows: list[Any] = []
    damaged = 0
    about: dict[str, str] = {}
    environments: dict[str, str] = {}
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        try:
            connection.execute("PRAGMA writable_schema = ON")  # read on where the file is shorter than it says
            for table, found in (("about", about), ("environments", environments)):
                with contextlib.suppress(sqlite3.Error):
                    found.update(connection.execute(f"SELECT * FROM {table} NOT INDEXED").fetchall())
            last = _last(connection)
        except sqlite3.Error:
            return rows, damaged, about, environments
        for number in range(1, last + 1):
            try:
                found_row = connection.execute(
                    f"SELECT {records.COLUMNS}, checksum FROM cells WHERE number = ?", (number,)
                ).fetchone()
            except sqlite3.Error:
                damaged += 1
                continue
            if found_row is None:
                continue
            if found_row[-1] == records.checksum(found_row[:-1]):
                rows.append(found_row[:-1])
            else:
                damaged += 1
    return rows, damaged, about, environments


def _last(connection: Any) -> int:
    """The highest row number, also where the end of the table is gone."""
    try:
        return int(connection.execute("SELECT max(number) FROM cells").fetchone()[0] or 0)
    except sqlite3.Error:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        return int(pages * 100)  # a row takes more than a hundredth of a page
