import contextlib
import datetime
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest
import sweep_driver
import sweep_experiments as given

from regimes import clusters, jobs, records, store, sweep, workers
from regimes.jobs import Job

DRIVER = Path(__file__).with_name("sweep_driver.py")


def everything(path):
    """All that must be the same however a sweep was run: results, seeds and the content of arrays."""
    with store.read(path) as found:
        found.check()
        rows = {}
        for row in found.records():
            arrays = {name: found.array(row.digest, name).tobytes() for name in row.arrays}
            rows[row.digest] = (
                json.dumps([row.arguments, row.results, row.seed, row.status, row.error, row.arrays], sort_keys=True),
                arrays,
            )
        return rows


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.sqlite"


@pytest.fixture(scope="module")
def grid():
    return sweep.grid("test-quick", {"n": [1, 2, 3, 5, 8, 13, 21, 34], "scale": [1, 0.3]})


@pytest.fixture(scope="module")
def undisturbed(grid, tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed") / "a.sqlite"
    report = sweep.run(grid, path)
    assert (report.computed, report.done, report.failed, report.left, report.stopped) == (16, 16, 0, 0, False)
    return everything(path)


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("distributed")
    with clusters.local_cluster(2) as made:
        yield made


# Where it runs makes no difference


def test_serial_is_processes_to_the_last_bit(grid, undisturbed, path):
    assert sweep.run(grid, path, workers=2).done == 16
    assert everything(path) == undisturbed
    with store.read(path) as found:
        assert len({row.worker for row in found.records()}) == 2
        assert f"{os.getpid()}" not in {row.worker.split(":")[1] for row in found.records()}


def test_serial_is_dask_to_the_last_bit(grid, undisturbed, path, cluster):
    assert sweep.run(grid, path, scheduler=cluster).done == 16
    assert everything(path) == undisturbed
    assert sweep.run(grid, path, scheduler=cluster.scheduler_address).computed == 0
    with store.read(path) as found:
        assert f"{os.getpid()}" not in {row.worker.split(":")[1] for row in found.records()}


@pytest.mark.slow
def test_real_cells_are_the_same_everywhere(tmp_path):
    pytest.importorskip("distributed")
    real = sweep.grid(
        "kernel-loss",
        {"kernel": ["ntk", "gaussian"]},
        fixed={"n": 150, "tests": 50, "trials": 2},
        cells=[{"n": 150, "k": 16, "width": 8}],
    )
    ways = {"here": {}, "processes": {"workers": 2}, "dask": {"workers": 2, "scheduler": "local"}}
    found = {}
    for name, how in ways.items():
        assert sweep.run(real, tmp_path / f"{name}.sqlite", **how).done == 3
        found[name] = everything(tmp_path / f"{name}.sqlite")
    assert found["here"] == found["processes"] == found["dask"]


def test_order_splitting_and_extension_make_no_difference(grid, undisturbed, path):
    few = sweep.grid("test-quick", {"scale": [0.3], "n": [34, 2]})
    more = sweep.grid("test-quick", {"n": [99, 34, 1, 2, 3], "scale": [1, 0.3]})
    assert sweep.run(few, path).computed == 2
    assert sweep.run(more, path).computed == 8
    assert sweep.run(grid, path).computed == 8
    found = everything(path)
    assert len(found) == 18
    assert {digest: found[digest] for digest in undisturbed} == undisturbed


def test_another_seed_gives_other_numbers(grid, undisturbed, path):
    other = sweep.grid("test-quick", {"n": [1, 2, 3, 5, 8, 13, 21, 34], "scale": [1, 0.3]}, seed=1)
    sweep.run(other, path)
    found = everything(path)
    assert found.keys() == undisturbed.keys()
    assert all(found[digest] != undisturbed[digest] for digest in found)
    with pytest.raises(ValueError, match="holds a sweep with seed 1, not 0"):
        sweep.run(grid, path)


# Plans and progress


def test_a_plan_says_what_is_to_do_and_how_long_it_takes(grid, path):
    assert (
        str(sweep.plan(grid, path)) == "16 cells of test-quick, seed 0: 16 to do; time not known before a cell has run"
    )
    assert not path.exists()
    report = sweep.probe(grid, path)
    assert (report.computed, report.left) == (1, 0)
    plan = sweep.plan(grid, path, workers=2)
    assert (plan.done, plan.left, plan.workers) == (1, 15, 2)
    with store.read(path) as found:
        assert plan.seconds == pytest.approx(15 * found.summary().seconds)
        assert plan.memory == pytest.approx(2 * found.summary().memory)
    assert re.search(r"15 to do, 1 done; about .* with 2 workers \(from 1 cell done\), about .* GB", str(plan))
    sweep.run(grid, path)
    assert str(sweep.plan(grid, path)) == "16 cells of test-quick, seed 0: 0 to do, 16 done"


def test_time_is_taken_in_proportion_to_cost(path):
    real = sweep.grid("kernel-loss", {"n": [16, 3000]}, fixed={"kernel": "laplace", "tests": 10, "trials": 1})
    small, large = real.cells
    with store.write(path, "kernel-loss", 1, 0) as made:
        made.finish(store.Record(small.digest, small.arguments, 1, "done", {"loss": 1.0}, seconds=2.0))
    cost = real.experiment.cost
    plan = sweep.plan(real, path)
    assert plan.seconds == pytest.approx(2.0 * cost(large.arguments) / cost(small.arguments))
    assert plan.memory == real.experiment.memory(large.arguments) > 8 * 3000**2


def test_progress_counts_to_the_end(path):
    states = []
    grid = sweep.grid("test-faulty", {"n": list(range(10))}, fixed={"how": "raise"})
    sweep.run(grid, path, progress=states.append)
    assert states[0][:4] == (10, 0, 0, 0)
    assert states[-1] == (10, 8, 2, 0, 0, 0.0, False)
    assert [state.done + state.failed for state in states] == sorted(state.done + state.failed for state in states)
    assert all(state.seconds_left is not None for state in states[2:])


def test_times_in_words():
    assert [sweep.in_words(t) for t in (0.0123, 90, 121, 7300, 2e5)] == [
        "0.0123 s",
        "90 s",
        "2.02 min",
        "2.03 h",
        "2.31 days",
    ]


# Cells that fail


@pytest.mark.parametrize("crew", [0, 2])
@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("raise", "ArithmeticError: diverged at n = 3"),
        ("exit", "SystemExit: 3"),
        ("nonsense", "TypeError: the result 'loss' must be a number, a word or an array, got object."),
        ("same name", "TypeError: the result 'n' has the name of an argument; call it something else."),
    ],
)
def test_a_cell_that_raises_is_a_row_and_the_rest_goes_on(path, how, error, crew):
    grid = sweep.grid("test-faulty", {"n": list(range(6))}, fixed={"how": how})
    report = sweep.run(grid, path, workers=crew)
    assert (report.done, report.failed, report.left) == (5, 1, 0)
    with store.read(path) as found:
        (row,) = found.records("failed")
        assert (row.error, row.attempts, row.arguments["n"]) == (error, 1, 3)
        assert "Traceback" in row.traceback
        assert row.versions == jobs.versions()
    assert sweep.run(grid, path).computed == 0
    assert sweep.run(grid, path, retry_failed=True).computed == 1
    assert str(sweep.plan(grid, path)).endswith("0 to do, 5 done, 1 failed")


def test_a_cell_that_diverges_is_a_result(path):
    grid = sweep.grid("test-faulty", {"n": [3]}, fixed={"how": "nan"})
    assert sweep.run(grid, path).done == 1
    with store.read(path) as found:
        assert math.isnan(found.frame()["loss"][0])


@pytest.mark.parametrize("scheduler", [None, "dask"])
def test_a_worker_that_dies_once_loses_nothing(path, tmp_path, scheduler, cluster):
    grid = sweep.grid("test-faulty", {"n": list(range(10))}, fixed={"how": "kill once", "folder": str(tmp_path)})
    report = sweep.run(grid, path, workers=2, scheduler=scheduler and cluster)
    assert (report.done, report.failed) == (10, 0)
    assert (tmp_path / "3").exists()
    assert (tmp_path / "8").exists()
    if scheduler is None:
        with store.read(path) as found:
            assert sorted(row.arguments["n"] for row in found.records() if row.attempts == 2) == [3, 8]


@pytest.mark.parametrize("scheduler", [None, "dask"])
def test_a_cell_that_kills_its_workers_is_a_row_and_the_rest_goes_on(path, scheduler, cluster):
    grid = sweep.grid("test-faulty", {"n": list(range(10))}, fixed={"how": "kill"})
    report = sweep.run(grid, path, workers=2, scheduler=scheduler and cluster)
    assert (report.done, report.failed) == (8, 2)
    with store.read(path) as found:
        for row in found.records("failed"):
            assert re.search("KilledWorker" if scheduler else r"its worker died \(SIGKILL, perhaps for", row.error)
            assert row.attempts == (1 if scheduler else 2)


class KilledWorker(Exception):  # noqa: N818
    """Named as Dask's."""


class DaskThatGivesUp:
    """A client whose cells run when asked, and which gives up those of some names a number of times."""

    def __init__(self, given_up, lost=types.MappingProxyType({})):
        self.given_up, self.lost, self.status = given_up, lost, "running"
        self.submitted, self.waiting, self.waited = [], [], []

    def nthreads(self):
        return {"one": 2}

    def submit(self, work, job, versions, **options):
        self.submitted.append(job.key)
        future = types.SimpleNamespace(status="pending", add_done_callback=lambda done: self.waiting.append(future))
        failed = self.submitted.count(job.key) <= self.given_up.get(job.key, 0)
        future.exception = lambda timeout: KilledWorker("2 workers died") if failed else None
        future.result = lambda timeout: self.fetch(job, timeout)
        future.end = "error" if failed else "finished"
        return future

    def fetch(self, job, timeout):
        self.waited.append(timeout)
        if self.submitted.count(job.key) <= 1 and job.key in self.lost:
            raise self.lost[job.key]
        return jobs.Outcome(results={"loss": 1.0})

    def end(self, number=1):
        for future in self.waiting[:number]:
            future.status = future.end
        del self.waiting[:number]


def test_a_cell_that_only_waited_behind_one_that_kills_is_tried_again_alone():
    client = DaskThatGivesUp({"killer": 2, "behind": 1})
    crew = clusters.Cluster(client)
    for key in ("killer", "behind", "other"):
        crew.start(Job(key, dict, {}, 0))
    client.end(2)
    assert crew.finished(0) == []
    assert (client.submitted, len(crew.running)) == (["killer", "behind", "other"], 3)  # as long as another runs
    client.end()
    assert [key for key, _ in crew.finished(0)] == ["other"]
    found = []
    while crew.running:
        found += crew.finished(0)
        assert crew.room() == 0 or not client.waiting  # nothing beside it
        assert len(client.waiting) <= 1
        client.end()
    assert [(key, outcome.died) for key, outcome in found] == [("behind", False), ("killer", True)]
    assert crew.room() > 0


def test_a_result_that_dies_with_its_worker_on_the_way_is_computed_again():
    client = DaskThatGivesUp({}, lost={"near": KilledWorker("2 workers died"), "far": OSError("no route to host")})
    crew = clusters.Cluster(client)
    crew.start(Job("near", dict, {}, 0))
    client.end()
    assert crew.finished(0) == []
    assert crew.finished(0) == []
    client.end()
    assert [(key, outcome.error) for key, outcome in crew.finished(0)] == [("near", "")]
    assert client.submitted == ["near", "near"]
    crew.start(Job("far", dict, {}, 0))
    client.end()
    with pytest.raises(OSError, match="no route"):  # no fault of the cell's
        crew.finished(0)


def test_a_result_that_does_not_come_is_asked_for_again_with_more_patience():
    client = DaskThatGivesUp({}, lost={"late": TimeoutError("timed out after 1 s")})
    crew = clusters.Cluster(client)
    crew.start(Job("late", dict, {}, 0))
    crew.start(Job("other", dict, {}, 0))
    client.end(2)
    assert [key for key, _ in crew.finished(0)] == ["other"]
    assert crew.finished(0) == []
    assert list(crew.running) == ["late"]
    client.lost.clear()
    assert [(key, outcome.error) for key, outcome in crew.finished(0)] == [("late", "")]
    assert client.submitted == ["late", "other"]
    assert client.waited == [1, 1, 2, 4]


def test_a_result_that_is_lost_as_one_looks_is_waited_for():
    class Future:
        statuses = iter(["finished", "finished", "lost"])  # as asked whether it is lost, has ended, and how

        @property
        def status(self):
            return next(self.statuses, "finished")

        def result(self, timeout):
            return jobs.Outcome(results={"loss": 1.0})

    crew = clusters.Cluster(DaskThatGivesUp({}))
    crew.start(Job("lost", dict, {}, 0))
    crew._futures["lost"] = Future()
    assert crew.finished(0) == []
    assert [key for key, _ in crew.finished(0)] == ["lost"]


def test_an_error_of_the_scheduler_does_not_take_with_it_what_has_come():
    client = DaskThatGivesUp({}, lost={"far": OSError("no route to host")})
    crew = clusters.Cluster(client)
    for key in ("near", "far"):
        crew.start(Job(key, dict, {}, 0))
    client.end(2)
    assert [key for key, _ in crew.finished(0)] == ["near"]
    with pytest.raises(OSError, match="no route"):
        crew.finished(0)


@pytest.mark.slow
def test_workers_that_die_again_and_again_come_back(tmp_path):
    pytest.importorskip("distributed")
    grid = sweep.grid("test-faulty", {"n": list(range(30))}, fixed={"how": "kill"})
    with clusters.local_cluster(2) as cluster:
        report = sweep.run(grid, tmp_path / "a.sqlite", workers=2, scheduler=cluster)
        assert (report.done, report.failed) == (24, 6)
        time.sleep(20)  # Dask looks 15 s after a death
        wait_for(lambda: len(cluster.scheduler_info["workers"]) == 2)


def test_a_cell_that_takes_too_long_is_a_row_and_the_rest_goes_on(path):
    grid = sweep.grid("test-faulty", {"n": list(range(5))}, fixed={"how": "hang"})
    report = sweep.run(grid, path, workers=2, timeout=2.0)
    assert (report.done, report.failed) == (4, 1)
    with store.read(path) as found:
        (row,) = found.records("failed")
        assert row.error == "took longer than 2 s"


def test_what_the_workers_cannot_find_is_said(path):
    def local(n: int, *, seed: int) -> dict:
        return {}

    crew = workers.Processes(1)
    try:
        local.__module__, local.__qualname__ = "sweep_experiments", "gone"
        given.gone = local
        crew.start(Job("a", local, {"n": 1}, 0))
        del given.gone
        found = []
        while not found:
            found = crew.finished(1.0)
        assert found[0][1].error.startswith("AttributeError: Can't get attribute 'gone'")
    finally:
        crew.close()


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": -1}, "`workers` must be at least 0"),
        ({"timeout": 3.0}, "`timeout` needs processes of this machine: set `workers`"),
        ({"devices": ("0",)}, "`devices` needs processes of this machine"),
        ({"workers": 1, "timeout": 0.0}, "`timeout` must be finite and more than 0"),
    ],
)
def test_bad_settings_get_a_sentence(grid, path, settings, message):
    with pytest.raises(ValueError, match=message):
        sweep.run(grid, path, **settings)


def test_a_sweep_without_a_store_is_refused(grid):
    with pytest.raises(ValueError, match="`store` must name a file"):
        sweep.run(grid)


def test_other_packages_are_not_mixed_in_unasked(grid, path, monkeypatch):
    few = sweep.grid("test-quick", {"n": [1]})
    sweep.run(few, path)
    now = jobs.versions() | {"numpy": "9.9", "pandas": "9.9"}
    monkeypatch.setattr(jobs, "versions", lambda: now)
    with pytest.raises(ValueError, match=r"computed with other packages: numpy \S+ against 9.9 now.*--mixed"):
        sweep.run(grid, path)
    assert sweep.run(grid, path, mixed=True).done == 16
    with store.read(path) as found:
        assert found.summary().environments == 2
        assert sorted({row.versions["numpy"] for row in found.records()}) == sorted({np.__version__, "9.9"})


def test_a_worker_with_other_packages_computes_nothing():
    job = Job("a", given.quick, {"n": 2}, 0)
    found = jobs.compute(job, jobs.versions() | {"numpy": "9.9"})
    assert re.search(r"the worker has other packages .*: numpy \S+ against 9.9", found.error)
    assert jobs.compute(job, jobs.versions()).error == ""


def test_workers_have_one_thread_and_their_device():
    crew = workers.Processes(2, devices=("5", "7"))
    try:
        for i in range(2):
            crew.start(Job(str(i), given.environment, {}, 0))
        found = []
        while len(found) < 2:
            found += crew.finished(1.0)
    finally:
        crew.close()
    results = sorted((outcome.results for _, outcome in found), key=lambda result: result["device"])
    assert [result["device"] for result in results] == ["5", "7"]
    assert all(result["threads"] == 1 for result in results)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_cluster_made_here_listens_on_this_machine_only(cluster):
    psutil = pytest.importorskip("psutil")
    assert cluster.scheduler_address.startswith("tcp://127.0.0.1:")
    assert cluster.dashboard_link.startswith("http://127.0.0.1:")
    mine = psutil.Process()

    def listening():
        found = []
        for process in (mine, *mine.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                found += [one.laddr.ip for one in process.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
        return found

    wait_for(lambda: len(listening()) >= 4)  # scheduler, dashboard, and two workers, which may just be starting again
    assert set(listening()) == {"127.0.0.1"}


# Being stopped


def wait_for(condition, seconds=60.0):
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds
        time.sleep(0.02)


def begun(path, count, crew, log=""):
    """A run in a process of its own, once it has done its first cell."""
    process = subprocess.Popen(
        [sys.executable, str(DRIVER), str(path), str(count), str(crew), log], stdout=subprocess.PIPE, text=True
    )
    while process.stdout.readline() in ("done 0\n", ""):
        assert process.poll() is None
    return process


@pytest.mark.parametrize("crew", [0, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_once_it_ends_in_order(path, crew, number):
    process = begun(path, 500, crew)
    process.send_signal(number)
    rest = process.communicate()[0]
    assert process.returncode == 0
    said = re.search(r"(\d+) done, 0 failed, (\d+) to do; .*, stopped on request", rest)
    with store.read(path) as found:
        found.check()
        assert found.summary()[:3] == (int(said[1]), 0, 0)
        assert 0 < int(said[1]) < 500 == int(said[1]) + int(said[2])
    assert [p.name for p in path.parent.glob("*-run-*")] == []


def test_asked_twice_it_ends_at_once_and_loses_nothing(path, tmp_path):
    slow = f"""
import sys; sys.path.insert(0, {str(DRIVER.parent)!r})
import sweep_experiments as given
from regimes import sweep
from sweep_driver import say
if __name__ == "__main__":
    cells = [{{"n": 2}}, {{"n": 3, "pause": 600.0}}, {{"n": 4, "pause": 600.0}}, {{"n": 5}}]
    grid = sweep.grid(given.QUICK, cells=cells)
    sweep.run(grid, {str(path)!r}, workers=int(sys.argv[1]), progress=say)
"""
    (tmp_path / "slow.py").write_text(slow)
    for crew in (0, 1):
        process = subprocess.Popen(
            [sys.executable, tmp_path / "slow.py", str(crew)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() in ("done 0\n", "done 1\n")
        if crew == 0:
            assert process.stdout.readline() == "done 1\n"
        time.sleep(1.5)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
        assert time.monotonic() - start < 30
        with store.read(path) as found:
            assert found.summary()[:3] == (1, 0, 0)


def test_a_thread_can_stop_a_run(path):
    stop = threading.Event()
    many = sweep.grid("test-quick", {"n": list(range(1, 400))}, fixed={"pause": 0.002})
    report = sweep.run(many, path, stop=stop, progress=lambda state: state.done >= 3 and stop.set())
    assert report.stopped
    assert 3 <= report.done < 399 == report.done + report.left


def test_a_full_disk_ends_the_run_and_what_was_stored_stays(grid, undisturbed, path, monkeypatch):
    finish, stored = store.Store.finish_all, []

    def until_full(self, records):
        if len(stored) >= 5:
            pages = self.connection.execute("PRAGMA page_count").fetchone()[0]
            self.connection.execute(f"PRAGMA max_page_count = {pages}")
            for i in range(100):
                finish(self, [given.record(i, traceback="x" * 5000)])
        stored.extend(record.digest for record in records)
        return finish(self, records)

    sweep.run(sweep.grid("test-quick", {"n": [1]}), path)
    monkeypatch.setattr(store.Store, "finish_all", until_full)
    monkeypatch.setattr(sweep, "_TOGETHER", 0.0)
    with pytest.raises(OSError, match="the disk is full; what was stored before stays stored, resume"):
        sweep.run(grid, path, workers=2)
    monkeypatch.undo()
    with store.write(path, "test-quick", 1, 0) as made:
        made.connection.execute("DELETE FROM cells WHERE traceback != ''")  # room again
        assert set(stored) < set(made.statuses())
    assert sweep.run(grid, path).done == 16
    assert everything(path) == undisturbed


def test_a_clock_that_goes_back_changes_nothing(grid, undisturbed, path, monkeypatch):
    jumps = iter(range(10**9))

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz) - datetime.timedelta(days=next(jumps))

    monkeypatch.setattr(records.datetime, "datetime", Clock)
    few = sweep.grid("test-quick", {"n": [1, 2, 3, 5], "scale": [1, 0.3]})
    with store.write(path, "test-quick", 1, 0) as other:  # someone else, before and after
        other.claim([few.cells[0].digest], 1)
        rest = sweep.grid("test-quick", {"n": [2, 3, 5], "scale": [1, 0.3]})
        assert sweep.run(rest, path).computed == 6
    assert sweep.run(grid, path, workers=2).computed == 10
    assert everything(path) == undisturbed
    assert next(jumps) >= 16


def test_two_processes_on_one_store_share_the_work(path, tmp_path):
    log = str(tmp_path / "log")
    both = [begun(path, 300, crew, log) for crew in (0, 2)]
    said = [process.communicate()[0].splitlines()[-1] for process in both]
    assert all(line.startswith("300 done, 0 failed, 0 to do;") for line in said)
    computed = [int(re.search(r"(\d+) computed", line)[1]) for line in said]
    assert sum(computed) == 300
    assert min(computed) > 0
    started = [line.split()[1] for line in Path(log).read_text().splitlines()]
    assert len(started) == len(set(started)) == 300


def test_the_last_run_takes_over_from_one_that_is_killed(path):
    slow = sweep.grid(given.QUICK, {"n": [3, 4]}, fixed={"word": "slow"})
    script = f"""
import sys; sys.path.insert(0, {str(DRIVER.parent)!r})
from regimes import store
made = store.write({str(path)!r}, "test-quick", 1, 0)
made.claim([{slow.cells[0].digest!r}], 1)
print("claimed", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "claimed\n"
        states = []
        runner = threading.Thread(target=lambda: sweep.run(slow, path, progress=states.append))
        runner.start()
        wait_for(lambda: states and states[-1].elsewhere == 1)
        assert (states[-1].done, runner.is_alive()) == (1, True)
        other.kill()
        runner.join(60)
        assert states[-1].done == 2


def test_workers_end_with_their_parent_whatever_they_do(path):
    script = f"""
import sys; sys.path.insert(0, {str(DRIVER.parent)!r})
import sweep_experiments as given
from regimes import sweep
from sweep_driver import say
grid = sweep.grid(given.QUICK, cells=[{{"n": 2}}, {{"n": 3, "pause": 600.0}}, {{"n": 4, "pause": 600.0}}])
sweep.run(grid, {str(path)!r}, workers=2, progress=say)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    while process.stdout.readline() != "done 1\n":
        assert process.poll() is None
    time.sleep(0.5)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        pytest.skip("needs /proc")
    mine = [int(number) for number in children.read_text().split()]
    assert len(mine) >= 2
    process.kill()
    process.wait()
    process.stdout.close()
    wait_for(lambda: not any(running(number) for number in mine))


def running(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_killed_at_random_moments_again_and_again(tmp_path, capsys):
    """SIGKILL of the whole run, at least 50 times, here and with two workers."""
    rng = np.random.default_rng(0)
    path, log, count = tmp_path / "killed.sqlite", tmp_path / "log", 400
    whole = sweep_driver.grid(count, str(log))
    kills = lost = again = 0
    end = ""
    before: set[str] = set()
    while "0 to do" not in end:
        crew = 2 * (kills % 2)
        process = subprocess.Popen(
            [sys.executable, str(DRIVER), str(path), str(count), str(crew), str(log)], stdout=subprocess.PIPE, text=True
        )
        early = kills % 5 == 0  # while it opens the store
        if early:
            time.sleep(rng.uniform(0.2, 0.6))
        else:
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.06 if kills < 55 else 60))
        process.kill()
        said = process.communicate()[0].splitlines()
        kills += process.returncode == -signal.SIGKILL
        end = said[-1] if said else ""
        reported = max([int(line.split()[1]) for line in said if line.startswith("done ")], default=0)
        if not path.exists():
            continue
        with store.read(path) as found:
            statuses = set(found.statuses())
            lost += len(before - statuses) + max(0, reported - len(statuses))
        begun_now = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        numbers = {cell.arguments["n"]: cell.digest for cell in whole.cells}
        again += sum(numbers[int(line.split()[1])] in before for line in begun_now if len(line.split()) == 2)
        before = statuses
    with store.read(path) as found:
        digests = [row.digest for row in found.records()]
    sweep.run(whole, tmp_path / "whole.sqlite")
    identical = everything(path) == everything(tmp_path / "whole.sqlite")
    with capsys.disabled():
        print(
            f"\nkills {kills}, cells {len(digests)}, lost {lost}, doubled {len(digests) - len(set(digests))}, "
            f"finished and computed again {again}, identical {'yes' if identical else 'no'}"
        )
    assert kills >= 50
    assert lost == again == 0
    assert sorted(digests) == sorted(cell.digest for cell in whole.cells)
    assert identical
