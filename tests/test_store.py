import math
import os
import re
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sweep_experiments import VERSIONS, opened, record

from regimes import database, recovery, store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.sqlite"


def filled(path, count=20, **more):
    with opened(path) as made:
        made.connection.execute("PRAGMA synchronous = OFF")  # no power cut in the tests
        for i in range(count):
            made.finish(record(i, **more))
    return path


def close_the_journal(path):
    """All rows in the file itself."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


# What goes in comes out


def test_a_record_is_read_back_to_the_last_bit(path):
    numbers = [0.1, 1 / 3, 5e-324, -math.inf, math.inf, 1e308, 2**70, True, None, "ñ\n"]
    results = {f"r{i}": value for i, value in enumerate(numbers)}
    array = np.random.default_rng(0).standard_normal((3, 4))
    put = record(1, results=results, arrays={"curve": array, "counts": np.arange(3)}, memory=1e9, attempts=2)
    with opened(path) as made:
        assert made.finish(put)
    with store.read(path) as found:
        (got,) = found.records()
        assert {**vars(got), "arrays": 0, "finished": 0} == {**vars(put), "arrays": 0, "finished": 0}
        assert [type(value) for value in got.results.values()] == [type(value) for value in numbers]
        assert got.arrays["curve"]["shape"] == [3, 4]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", got.finished)
        assert np.array_equal(found.array(put.digest, "curve"), array)
        assert found.array(put.digest, "counts", memory_map=True).tolist() == [0, 1, 2]
        assert (found.experiment, found.version, found.seed) == ("e", 1, 5)
        assert found.environments() == [VERSIONS]
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.arrays", "a.sqlite"]


def test_nan_is_a_result(path):
    filled(path, 1, results={"loss": math.nan})
    with store.read(path) as found:
        assert math.isnan(next(found.records()).results["loss"])


def test_the_first_of_two_records_is_kept(path):
    with opened(path) as made:
        assert made.finish(record(1))
        assert not made.finish(record(1, results={"loss": 7.0}))
        assert [row.results["loss"] for row in made.records()] == [0.1]
        assert made.summary().done == 1


def test_summary_counts(path):
    with opened(path) as made:
        for i in range(10):
            made.finish(record(i, status="failed" if i < 3 else "done", memory=float(i), seconds=1.5))
        made.finish(record(10, versions={"python": "4"}))
        made.claim([f"{i:064x}" for i in range(20)], 5)
        assert made.summary() == (8, 3, 5, 7 * 1.5 + 0.25, 9.0, 2)
        assert made.environments() == [VERSIONS, {"python": "4"}]
        assert len(made.statuses()) == 11
        assert set(made.seconds().values()) == {1.5, 0.25}


def test_frame_and_exports_hold_everything(path, tmp_path):
    with opened(path) as made:
        for i in (3, 1, 2):
            made.finish(record(i, arrays={"curve": np.zeros(2)}))
        made.finish(record(0, status="failed", results={}, error="E: x", versions={"python": "4"}))
        frame = made.frame()
        assert frame["n"].tolist() == [0, 1, 2, 3]
        assert frame["loss"].tolist()[1:] == [0.1, 0.2, 0.1 * 3]
        assert frame["status"].tolist() == ["failed", "done", "done", "done"]
        assert frame["version of python"].tolist() == ["4", "3", "3", "3"]
        assert frame["seed"].tolist()[1] == 2**63 - 2
        assert frame["curve.npy"][1] == f"{1:064x}.curve.npy"
        for out in ("t.csv", "t.parquet"):
            assert store.export(made, tmp_path / out) == 4
    for table in (pd.read_csv(tmp_path / "t.csv"), pd.read_parquet(tmp_path / "t.parquet")):
        assert table["loss"].tolist()[1:] == [0.1, 0.2, 0.1 * 3]
        assert table["k"].tolist() == [3, math.inf, 3, math.inf]
        assert table["seed"].tolist()[1] == 2**63 - 2
        assert set(table.columns) == set(frame.columns)


def test_columns_of_words_and_numbers_can_be_exported(path, tmp_path):
    with opened(path) as made:
        made.finish(record(1, results={"mixed": "word"}))
        made.finish(record(2, results={"mixed": 2.5}))
        store.export(made, tmp_path / "t.parquet")
    assert sorted(pd.read_parquet(tmp_path / "t.parquet")["mixed"]) == ["2.5", "word"]


def test_bad_exports_get_a_sentence(path, tmp_path):
    with opened(path) as made:
        with pytest.raises(ValueError, match="holds no finished cell yet"):
            store.export(made, tmp_path / "t.csv")
        with pytest.raises(ValueError, match=r"`out` must end in .csv or .parquet"):
            store.export(made, tmp_path / "t.xlsx")


@pytest.mark.parametrize("name", ["../x", "a/b", "", "a.b", "..", "a\0"])
def test_an_array_cannot_leave_its_folder(path, name):
    with opened(path) as made, pytest.raises(ValueError, match="name like a variable"):
        made.finish(record(1, arrays={name: np.zeros(2)}))
    with store.read(path) as found, pytest.raises(ValueError, match="holds no array"):
        found.array("../" * 20 + "etc", "passwd")


def test_no_pickle_is_written_or_loaded(path):
    with opened(path) as made, pytest.raises(ValueError, match=r"[Oo]bject arrays cannot be saved"):
        made.finish(record(1, arrays={"bad": np.array([{}], dtype=object)}))
    with opened(path) as made:
        assert made.summary().done == 0
        made.finish(record(1, arrays={"fine": np.zeros(2)}))
        file = made.array_path(record(1).digest, "fine")
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)
        with pytest.raises(store.DamagedError, match="is not as it was written"):
            made.array(record(1).digest, "fine")
        with pytest.raises(ValueError, match=r"allow_pickle=False|[Oo]bject arrays|Python objects"):
            made.array(record(1).digest, "fine", memory_map=True)
        file.unlink()
        with pytest.raises(store.DamagedError, match="is gone"):
            made.array(record(1).digest, "fine")


# Refusals


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"experiment": "f"}, "holds cells of e, not of f; name another store"),
        ({"version": 2}, "holds version 1 of e, whose version is now 2"),
        ({"seed": 6}, "holds a sweep with seed 5, not 6"),
    ],
)
def test_a_store_of_something_else_is_refused(path, other, message):
    filled(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        opened(path, **other)
    assert path.read_bytes() == before


def test_a_store_of_a_later_release_and_other_databases_are_refused(path, tmp_path):
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {store.SCHEMA + 1}")
    connection.close()
    for door in (opened, store.read):
        with pytest.raises(ValueError, match="has tables of version 2, and this release of regimes knows version 1"):
            door(path)
    with sqlite3.connect(tmp_path / "b.sqlite") as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    for door in (opened, store.read):
        with pytest.raises(ValueError, match="is a database of something else"):
            door(tmp_path / "b.sqlite")
    with sqlite3.connect(tmp_path / "b.sqlite") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]
    connection.close()


def test_what_is_not_there_gets_a_sentence(path, tmp_path):
    with pytest.raises(ValueError, match=r"there is no store .* yet"):
        store.read(path)
    with pytest.raises(OSError, match=r"the folder .* is not there"):
        opened(tmp_path / "none" / "a.sqlite")
    path.touch()
    with pytest.raises(ValueError, match=r"there is no store .* yet"):
        store.read(path)
    with opened(path) as made:
        assert made.summary().done == 0


# Claims


def ids(*numbers):
    return [f"{i:064x}" for i in numbers]


def test_a_cell_is_claimed_by_one(path):
    with opened(path) as one, opened(path) as two:
        one.finish(record(0))
        assert one.claim(ids(0, 1, 2, 3), 2) == (ids(1, 2), {ids(0)[0]: "done"})
        assert two.claim(ids(0, 1, 2, 3), 5) == (ids(3), {ids(0)[0]: "done"})
        one.release(ids(2))
        assert two.claim(ids(1, 2), 5)[0] == ids(2)
        one.finish(record(1))
        assert two.claim(ids(1), 1) == ([], {ids(1)[0]: "done"})
    with opened(path) as three:
        assert three.summary().claimed == 0
        assert three.claim(ids(2, 3), 5)[0] == ids(2, 3)
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.sqlite"]


CLAIMING = """
import sys, time
from regimes import database, recovery, store
made = store.write(sys.argv[1], "e", 1, 5)
print(len(made.claim([f"{i:064x}" for i in range(3)], 3)[0]), flush=True)
import numpy as np
(made.path.with_name("a.arrays")).mkdir()
(made.path.with_name("a.arrays") / f".x.npy.{made.owner}.partial").touch()
sys.stdin.read()
"""


def test_claims_of_the_dead_are_taken_again_and_those_of_the_living_are_not(path):
    with subprocess.Popen(
        [sys.executable, "-c", CLAIMING, str(path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "3\n"
        with opened(path) as mine:
            assert mine.claim(ids(0, 1, 2, 3), 4)[0] == ids(3)
            other.kill()
            other.wait()
            assert mine.claim(ids(0, 1, 2, 3), 4)[0] == ids(0, 1, 2)
            assert list(path.with_name("a.arrays").iterdir()) == []
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.arrays", "a.sqlite"]


def test_many_writers_claim_every_cell_once(path):
    opened(path).close()
    every = ids(*range(200))
    taken, errors = [], []

    def work():
        try:
            with opened(path) as mine:
                while True:
                    claimed, _ = mine.claim(every, 3)
                    if not claimed:
                        break
                    for digest in claimed:
                        assert mine.finish(record(int(digest, 16)))
                        taken.append(digest)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(taken) == every


def test_failures_are_forgotten_only_where_asked(path):
    with opened(path) as made:
        for i in range(4):
            made.finish(record(i, status="failed" if i < 3 else "done"))
        assert made.forget_failures(ids(0, 1, 3, 9)) == 2
        assert made.statuses() == {ids(2)[0]: "failed", ids(3)[0]: "done"}


# Faults


def test_a_full_database_is_said_and_nothing_is_lost(path):
    with opened(path) as made:
        made.finish(record(0))
        pages = made.connection.execute("PRAGMA page_count").fetchone()[0]
        made.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        stored = 1
        with pytest.raises(OSError, match="the disk is full; what was stored before stays stored"):  # noqa: PT012
            for i in range(1, 500):
                made.finish(record(i, traceback="x" * 500))
                stored += 1
        assert stored > 1
        assert len(list(made.records())) == stored
        made.connection.execute("PRAGMA max_page_count = 100000")
        made.finish(record(499))
        made.check()
        assert made.summary().done == stored + 1


FILLING = """
import resource, signal, sys
import numpy as np
sys.path.insert(0, sys.argv[2])
from sweep_experiments import opened, record
from pathlib import Path
made = opened(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
try:
    for i in range(1000):
        made.finish(record(i, traceback="x" * 2000, arrays={"big": np.zeros(int(sys.argv[3]))}))
        print(i, flush=True)
except OSError as error:
    print(error, flush=True)
"""


@pytest.mark.parametrize(("numbers", "words"), [(3, "the disk refused|the disk is full"), (60_000, "the disk is full")])
def test_files_that_cannot_grow_are_said_and_nothing_is_lost(path, numbers, words):
    found = subprocess.run(
        [sys.executable, "-c", FILLING, str(path), str(Path(__file__).parent), str(numbers)],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert re.search(words + ".*stays stored", found[-1])
    assert (len(found) > 1) == (numbers == 3)
    with opened(path) as made:
        made.check()
        assert [int(row.digest, 16) for row in made.records()] == [int(line) for line in found[:-1]]
        for row in made.records():
            assert made.array(row.digest, "big").shape == (numbers,)
        assert not list(path.parent.rglob("*.partial"))


def test_a_disk_full_of_arrays_leaves_no_row_and_no_file(path, monkeypatch):
    def full(file, array, allow_pickle):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with opened(path) as made:
        monkeypatch.setattr(store.np, "save", full)
        with pytest.raises(OSError, match="the disk is full"):
            made.finish(record(0, arrays={"curve": np.zeros(3)}))
        monkeypatch.undo()
        assert made.summary().done == 0
        assert list(path.with_name("a.arrays").iterdir()) == []
        made.finish(record(0, arrays={"curve": np.zeros(3)}))
        assert made.array(record(0).digest, "curve").tolist() == [0, 0, 0]


READING = """
import os, sys
sys.path.insert(0, sys.argv[2])
from sweep_experiments import opened
from regimes import database, recovery, store
from pathlib import Path
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
path = Path(sys.argv[1])
with store.read(path) as found:
    print(found.summary().done, len(list(found.records())))
try:
    opened(path)
except OSError as error:
    print(error)
"""


@pytest.mark.parametrize("journal", [False, True])
def test_a_folder_that_cannot_be_written_can_be_read(tmp_path, journal):
    folder = tmp_path / "shared"
    folder.mkdir()
    path = filled(folder / "a.sqlite")
    if journal:  # rows of a writer that was killed, not yet in the file itself
        script = "import os, sys; sys.path.insert(0, sys.argv[2]); from sweep_experiments import *\n"
        script += "made = opened(Path(sys.argv[1])); made.finish(record(99)); os._exit(0)"
        subprocess.run([sys.executable, "-c", script, str(path), str(Path(__file__).parent)], check=True)
        assert (folder / "a.sqlite-wal").stat().st_size
        (folder / "a.sqlite-shm").unlink()
    for parent in (tmp_path, *tmp_path.parents):  # for the other user
        if "pytest" in str(parent):
            parent.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    try:
        found = subprocess.run(
            [sys.executable, "-c", READING, str(path), str(Path(__file__).parent)],
            capture_output=True, text=True, check=True, env={**os.environ, "TMPDIR": "/tmp"},
        ).stdout.splitlines()  # fmt: skip
    finally:
        folder.chmod(0o755)
    assert found[0] == f"{20 + journal} {20 + journal}"
    assert "cannot be written there" in found[1]


def damage(path, at, length=600):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * length)


@pytest.mark.parametrize("share", [0.02, 0.2, 0.4, 0.6, 0.8, 0.97])
def test_a_truncated_store_is_said_and_recovered(path, tmp_path, share):
    filled(path, 400)
    close_the_journal(path)
    whole = path.stat().st_size
    os.truncate(path, int(share * whole))
    with (
        pytest.raises(store.DamagedError, match=r"is damaged .*`regimes sweep recover .*computed again"),
        opened(path) as made,
    ):
        made.check()
    before = path.read_bytes()
    try:
        kept, _ = recovery.recover(path, tmp_path / "new.sqlite")
    except ValueError:  # nothing can be read
        assert share < 0.1
        return
    assert path.read_bytes() == before
    assert kept > 400 * (share - 0.35)
    with opened(tmp_path / "new.sqlite") as new:
        new.check()
        rows = list(new.records())
    assert len(rows) == kept
    assert all(row.results == record(int(row.digest, 16)).results and row.versions == VERSIONS for row in rows)


@pytest.mark.parametrize("page", range(12))
def test_a_store_with_a_page_of_rubbish_is_said_and_recovered(path, tmp_path, page):
    filled(path, 400)
    close_the_journal(path)
    assert path.stat().st_size > 12 * 4096
    damage(path, page * 4096, 4096)
    with (
        pytest.raises((store.DamagedError, ValueError), match=r"is damaged|database of something else"),
        opened(path) as made,
    ):
        made.check()
    try:
        kept, _ = recovery.recover(path, tmp_path / "new.sqlite")
    except ValueError:  # nothing can be read
        assert page in range(1, 5)  # the tree of a table begins there, or what the store is about
        return
    with opened(tmp_path / "new.sqlite") as new:
        new.check()
        rows = list(new.records())
    assert len(rows) == kept
    assert all(row.results == record(int(row.digest, 16)).results for row in rows)
    assert kept >= 340 or page in (4, 5)


def test_a_changed_number_is_not_believed(path, tmp_path):
    filled(path, 50, results={"loss": 0.123456789})
    close_the_journal(path)
    content = path.read_bytes()
    assert content.count(b"0.123456789") == 50
    path.write_bytes(content.replace(b"0.123456789", b"0.923456789", 1))
    with store.read(path) as found:
        assert found.summary().done == 50
        with pytest.raises(store.DamagedError, match=r"the row of cell 0000\w* is not as it was written"):
            found.frame()
        with pytest.raises(store.DamagedError, match="is not as it was written"):
            found.check()
    assert recovery.recover(path, tmp_path / "new.sqlite") == (49, 1)


def test_recovery_takes_arrays_and_what_the_journal_holds_along(path, tmp_path):
    made = opened(path)
    for i in range(5):
        made.finish(record(i, arrays={"curve": np.full(3, i)}))
    assert recovery.recover(path, tmp_path / "new.sqlite") == (5, 0)  # nothing is in the file itself yet
    made.close()
    with store.read(tmp_path / "new.sqlite") as new:
        assert new.array(record(3).digest, "curve").tolist() == [3, 3, 3]
    with pytest.raises(ValueError, match="is there already"):
        recovery.recover(path, tmp_path / "new.sqlite")
    with pytest.raises(ValueError, match="there is no store"):
        recovery.recover(tmp_path / "none", tmp_path / "newer.sqlite")


def test_what_is_no_store_is_refused(path):
    path.write_text("a text of some length, which is no store")
    for door in (opened, store.read):
        with pytest.raises(store.DamagedError, match="does not begin like a store"):
            door(path)


def test_an_interrupted_beginning_is_begun_again(path):
    connection = sqlite3.connect(path)  # killed after the journal mode was set, before there were tables
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert path.stat().st_size > 0
    with opened(path) as made:
        made.finish(record(0))
    with store.read(path) as found:
        assert found.summary().done == 1


def test_a_store_on_a_network_has_a_journal_without_shared_memory(path, monkeypatch):
    assert not database.on_network(path)
    monkeypatch.setattr(database, "SHARED", ("ext4", "overlay", "tmpfs", "xfs", "btrfs", "zfs", "9p", "virtiofs"))
    if not database.on_network(path):
        pytest.skip("an unknown file system")
    filled(path)
    assert path.read_bytes()[18:20] == b"\1\1"  # 2 for WAL
    with store.read(path) as found:
        assert found.summary().done == 20


def test_a_busy_store_is_said(path, monkeypatch):
    monkeypatch.setattr(database, "BUSY", 0.05)
    with opened(path) as one, opened(path) as two:
        with one.transaction(), pytest.raises(OSError, match="another process has kept the store busy"):
            two.finish(record(0))
        two.finish(record(0))


def test_results_called_like_what_is_recorded_keep_their_names(path):
    with opened(path) as made:
        made.finish(record(1, results={"error": 0.25, "seconds": 7.0}))
    with store.read(path) as found:
        frame = found.frame()
    assert (frame["error"][0], frame["seconds"][0]) == (0.25, 7.0)
    assert frame["cell error"][0] == ""
    assert frame["status"][0] == "done"


def test_stores_beside_each_other_have_arrays_of_their_own(tmp_path):
    names = ["out.0", "out.1", "a.sqlite", "a.db"]
    assert len({store.arrays_folder(tmp_path / name) for name in names}) == 4


def test_rows_whose_arrays_are_lost_are_said_and_not_recovered(path, tmp_path):
    filled(path, 3, arrays={"curve": np.zeros(2)})
    lost, spoilt, _ = sorted(path.with_name("a.arrays").iterdir())
    spoilt.write_bytes(b"rubbish")
    lost.unlink()
    with store.read(path) as found, pytest.raises(database.DamagedError, match="is gone"):
        found.check()
    assert recovery.recover(path, tmp_path / "b.sqlite") == (1, 2)
    with store.read(tmp_path / "b.sqlite") as found:
        (row,) = found.records()
        assert found.array(row.digest, "curve").tolist() == [0, 0]
