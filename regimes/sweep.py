"""Sweeps: plan, run and resume grids of cells, here, on all cores, on a cluster.

    >>> from regimes import sweep
    >>> grid = sweep.grid("kernel-loss", {"n": [16, 32]}, fixed={"kernel": "laplace", "tests": 20})
    >>> print(sweep.plan(grid))
    2 cells of kernel-loss, seed 0: 2 to do; ...

A cell that is finished is in the store and is never computed again. A run may be killed at any moment, several runs
may work on one store, and what comes out is the same to the last bit.
"""

import contextlib
import dataclasses
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from regimes import display, jobs
from regimes import experiments as experiments  # registers them
from regimes import network_cells as network_cells  # this one too
from regimes import store as stores
from regimes import workers as crews
from regimes.cells import Cell
from regimes.grids import Sweep, grid, read
from regimes.jobs import Job, Outcome
from regimes.store import DONE, FAILED, Record, Store

__all__ = ["Plan", "Report", "State", "Sweep", "grid", "plan", "probe", "read", "run"]

_TICK = 0.2
"""Seconds after which a run looks up, whether or not a cell has ended."""
_AHEAD = 0.5
"""Seconds of work that a run claims ahead."""
_MOST = 256
"""Cells that it claims at once."""
_SAME = 0.3
"""Seconds within which a second signal counts as the first: what starts a run (timeout, uv) may pass it on as well."""
_TOGETHER = 0.1
"""Seconds of work that may be held back to reach the disk together: getting there takes longer than a quick cell."""


@display.shown
class State(NamedTuple):
    """How far a run is."""

    cells: int
    """Cells of the sweep."""
    done: int
    """Cells that are done, whoever did them."""
    failed: int
    """Cells that have failed."""
    running: int
    """Cells that this run works on."""
    elsewhere: int
    """Cells that other runs on the same store work on, as far as known."""
    seconds_left: float | None
    """Time left at the pace of this run; None before it has one."""
    stopping: bool = False
    """Whether it was asked to stop and only finishes what it has begun."""


@display.shown
class Report(NamedTuple):
    """What a run has done."""

    computed: int
    """Cells that this run has finished."""
    done: int
    """Cells of the sweep that are done now."""
    failed: int
    """Cells of the sweep that have failed."""
    left: int
    """Cells of the sweep that are still to do."""
    stopped: bool
    """Whether it was asked to stop before the end."""
    seconds: float
    """What it took."""

    def __str__(self) -> str:
        words = f"{self.done} done, {self.failed} failed, {self.left} to do; {self.computed} computed in "
        return words + in_words(self.seconds) + (", stopped on request" if self.stopped else "")


@display.shown
@dataclasses.dataclass(frozen=True)
class Plan:
    """What a sweep is going to take."""

    sweep: Sweep
    """The cells."""
    done: int
    """Those that are in the store."""
    failed: int
    """Those that are there as failures; a plain run leaves them."""
    seconds: float | None
    """Estimated time of the others, one after the other; None if none was ever run."""
    workers: int
    """Cells computed at once."""
    memory: float | None
    """Estimated bytes that all workers hold together; None if nothing says how much."""
    basis: str
    """Where the estimates come from."""

    @property
    def left(self) -> int:
        """Cells to do."""
        return len(self.sweep) - self.done - self.failed

    def __str__(self) -> str:
        parts = [f"{self.left} to do"]
        parts += [f"{self.done} done"] if self.done else []
        parts += [f"{self.failed} failed"] if self.failed else []
        text = f"{self.sweep}: {', '.join(parts)}"
        if not self.left:
            return text
        took = "time not known before a cell has run"
        if self.seconds is not None:
            took = f"about {in_words(self.seconds / min(self.workers, self.left))}"
            took += f" with {self.workers} worker{'s' * (self.workers != 1)} ({self.basis})"
        held = "" if self.memory is None else f", about {self.memory / 1e9:.2g} GB"
        return f"{text}; {took}{held}"


def plan(sweep: Sweep, store: Any = None, *, workers: int = 1) -> Plan:
    """What there is to do and what it will take, from the cells of the store that are done.

    The time of a cell is taken to be in proportion to what its experiment says about its `cost`, and the same for all
    if it says nothing.

    Args:
        sweep: the cells.
        store: path of the store; default the one of the sweep file. It need not be there.
        workers: cells computed at once.

    Raises:
        ValueError: a store of something else.
        DamagedError: a damaged store.
    """
    experiment, count = sweep.experiment, max(1, workers)
    statuses: dict[str, str] = {}
    seconds: dict[str, float] = {}
    most = None
    path = sweep.store if store is None else Path(store)
    if path is not None and path.is_file() and path.stat().st_size:
        with stores.read(path) as opened:
            opened.refuse_others(experiment.name, experiment.version, sweep.seed)
            statuses, seconds, most = opened.statuses(), opened.seconds(), opened.summary().memory
    mine = [statuses.get(cell.digest) for cell in sweep.cells]
    left = [cell for cell, status in zip(sweep.cells, mine, strict=True) if status is None]
    known = [cell for cell in sweep.cells if cell.digest in seconds]
    took = None
    if known and left:
        price = sum(seconds[cell.digest] for cell in known) / sum(_cost(sweep, cell) for cell in known)
        took = price * sum(_cost(sweep, cell) for cell in left)
    needs = [] if experiment.memory is None else [float(experiment.memory(cell.arguments)) for cell in left]
    memory = max(needs, default=0.0) or most
    return Plan(
        sweep,
        mine.count(DONE),
        mine.count(FAILED),
        took,
        count,
        None if memory is None else memory * min(count, max(1, len(left))),
        f"from {len(known)} cell{'s' * (len(known) != 1)} done",
    )


def probe(sweep: Sweep, store: Any = None) -> Report:
    """Compute the one cell of middling cost, so that `plan` knows how long the others take; it is kept.

    Args:
        sweep: the cells.
        store: path of the store; default the one of the sweep file.

    Raises:
        ValueError: as [run][regimes.sweep.run].
    """
    ordered = sorted(sweep.cells, key=lambda cell: _cost(sweep, cell))
    return run(dataclasses.replace(sweep, cells=(ordered[len(ordered) // 2],)), store, workers=1)


def run(
    sweep: Sweep,
    store: Any = None,
    *,
    workers: int = 0,
    scheduler: Any = None,
    timeout: float | None = None,
    devices: tuple[str, ...] = (),
    retry_failed: bool = False,
    mixed: bool = False,
    progress: Callable[[State], None] | None = None,
    stop: threading.Event | None = None,
) -> Report:
    """Compute the cells that are not in the store, and store each as it is done.

    A cell that raises is stored as failed, with its error, and so is one whose worker died twice; the others go on.
    Ctrl-C (SIGINT) or SIGTERM once: no new cell is begun and those that run are finished. Twice: it ends at once.
    Another run on the same store at the same time takes other cells; the last to finish waits for the other's last.

    Args:
        sweep: the cells.
        store: path of the store; default the one of the sweep file.
        workers: processes of this machine; 0 computes here, one cell after the other.
        scheduler: address of a Dask scheduler, a cluster or a `Client`; "local" for a new Dask cluster of `workers`
            processes on this machine.
        timeout: seconds that a cell may take before its process is ended; needs `workers`.
        devices: `CUDA_VISIBLE_DEVICES` of each process, in turn.
        retry_failed: compute failed cells again.
        mixed: add to a store whose cells were computed with other versions of packages.
        progress: called with a [State][regimes.sweep.State] when something has happened.
        stop: set it from another thread to stop as with Ctrl-C.

    Raises:
        ValueError: a store of another experiment, version, seed or other package versions; no store named.
        DamagedError: a damaged store.
        OSError: a full disk or a folder that cannot be written; what was stored before stays stored.
        KeyboardInterrupt: Ctrl-C twice.
    """
    path = sweep.store if store is None else Path(store)
    if path is None:
        raise ValueError("`store` must name a file: a sweep made in Python has none of its own.")
    started = time.monotonic()
    with stores.write(path, sweep.experiment.name, sweep.experiment.version, sweep.seed) as opened:
        opened.check()
        if not mixed:
            _refuse_other_versions(opened)
        if retry_failed:
            opened.forget_failures(cell.digest for cell in sweep.cells)
        with (
            _signals(stop) as stopping,
            crews.crew(workers, scheduler=scheduler, timeout=timeout, devices=devices) as crew,
        ):
            work = _Work(sweep, opened, crew, progress)
            computed, stopped = work.through(stopping)
        statuses = opened.statuses()
    found = [statuses.get(cell.digest) for cell in sweep.cells]
    done, failed = found.count(DONE), found.count(FAILED)
    left = len(found) - done - failed
    return Report(computed, done, failed, left, stopped and left > 0, time.monotonic() - started)


class _Work:
    """One run: what is to be claimed, what is claimed and what is being computed."""

    def __init__(self, sweep: Sweep, opened: Store, crew: Any, progress: Callable[[State], None] | None) -> None:
        self.sweep, self.store, self.crew, self.progress = sweep, opened, crew, progress
        statuses = opened.statuses()
        todo = [cell for cell in sweep.cells if cell.digest not in statuses]
        if crew.size > 1:  # the long ones first, so that none is left at the end with one worker on it
            todo.sort(key=lambda cell: -_cost(sweep, cell))
        self.todo: dict[str, Cell] = {cell.digest: cell for cell in todo}
        self.claimed: deque[Cell] = deque()
        self.running: dict[str, Cell] = {}
        self.attempts: dict[str, int] = {}
        mine = [statuses[cell.digest] for cell in sweep.cells if cell.digest in statuses]
        self.done, self.failed = mine.count(DONE), mine.count(FAILED)
        self.cost_left = sum(_cost(sweep, cell) for cell in todo)
        self.cost_done = 0.0
        self.spent: list[float] = []
        self.started = time.monotonic()
        self.waiting = self.stopping = False
        self.held: list[Record] = []
        self.counted: list[tuple[Cell, str]] = []
        self.flushed = -math.inf

    def through(self, stopping: Callable[[], bool]) -> tuple[int, bool]:
        """Work until nothing is left or it is told to stop: (cells finished, whether it was told)."""
        self.tell()
        try:
            return self.until(stopping)
        finally:
            self.flush()

    def until(self, stopping: Callable[[], bool]) -> tuple[int, bool]:
        """The same, but for cells that are still held back."""
        computed = 0
        while True:
            asked = stopping()
            if asked and not self.stopping:
                self.stopping = True
                self.tell()
            if not asked:
                self.hand_out()
            elif self.claimed:
                self.store.release([cell.digest for cell in self.claimed])
                self.claimed.clear()
            if not self.running:
                self.flush()
                if asked or not self.todo:
                    return computed, asked
                self.waiting = True  # what is left is claimed by others, who may finish it or die
                self.tell()
                time.sleep(_TICK)
                self.look_around()
                continue
            self.waiting = False
            for key, outcome in self.crew.finished(_TICK):
                computed += self.keep(key, outcome)
            if not (self.running or self.claimed or self.todo) or time.monotonic() - self.flushed >= _TOGETHER:
                self.flush()

    def hand_out(self) -> None:
        """Give work to all workers that have none."""
        while self.crew.room() > 0:
            if not self.claimed and not self.claim():
                return
            cell = self.claimed.popleft()
            self.running[cell.digest] = cell
            self.attempts[cell.digest] = self.attempts.get(cell.digest, 0) + 1
            arguments = {**cell.arguments, **cell.files}
            self.crew.start(Job(cell.digest, self.sweep.experiment.function, arguments, cell.seed(self.sweep.seed)))

    def claim(self) -> bool:
        """Claim as many cells as will be done soon."""
        mean = sum(self.spent) / len(self.spent) if self.spent else math.inf
        many = self.crew.size * max(1, round(_AHEAD / mean) if mean > 0 else _MOST)
        claimed, finished = self.store.claim(self.todo, min(max(1, many), _MOST))
        for digest in claimed:
            self.claimed.append(self.todo.pop(digest))
        for digest, status in finished.items():
            self.elsewhere(digest, status)
        return bool(claimed)

    def keep(self, key: str, outcome: Outcome) -> int:
        """Note what a cell has come to; 1 if it is finished, 0 if it is to be tried again."""
        cell = self.running.pop(key)
        if outcome.died and self.attempts[key] < self.crew.tries:
            self.claimed.appendleft(cell)
            return 0
        status = FAILED if outcome.error else DONE
        self.held.append(
            Record(
                key,
                cell.arguments,
                cell.seed(self.sweep.seed),
                status,
                outcome.results,
                outcome.arrays,
                outcome.seconds,
                outcome.memory,
                self.attempts.pop(key),
                outcome.error,
                outcome.traceback,
                outcome.worker,
                outcome.versions or jobs.versions(),
            )
        )
        self.spent = [*self.spent[-19:], outcome.seconds]
        self.cost_done += _cost(self.sweep, cell)
        self.counted.append((cell, status))
        return 1

    def flush(self) -> None:
        """Store the cells that are finished."""
        held, counted = self.held, self.counted
        self.held, self.counted = [], []
        if held:
            self.store.finish_all(held)
        for cell, status in counted:
            self.count(cell, status)
        self.flushed = time.monotonic()

    def count(self, cell: Cell, status: str) -> None:
        """Note that a cell is finished."""
        self.done += status == DONE
        self.failed += status == FAILED
        self.cost_left -= _cost(self.sweep, cell)
        self.tell()

    def elsewhere(self, digest: str, status: str) -> None:
        """Note that another run has finished a cell."""
        self.count(self.todo.pop(digest), status)

    def look_around(self) -> None:
        """What others have finished meanwhile."""
        statuses = self.store.statuses()
        for digest in [digest for digest in self.todo if digest in statuses]:
            self.elsewhere(digest, statuses[digest])

    def tell(self) -> None:
        """Report how far it is."""
        if self.progress is None:
            return
        spent = time.monotonic() - self.started
        left = spent * self.cost_left / self.cost_done if self.cost_done > 0 else None
        elsewhere = len(self.todo) if self.waiting else 0
        mine = len(self.running)
        self.progress(State(len(self.sweep), self.done, self.failed, mine, elsewhere, left, self.stopping))


@contextlib.contextmanager
def _signals(stop: threading.Event | None) -> Iterator[Callable[[], bool]]:
    """Whether to stop; a second Ctrl-C raises KeyboardInterrupt."""
    asked = threading.Event()
    first = math.inf

    def heard(number: int, frame: Any) -> None:
        nonlocal first
        if not asked.is_set():
            first = time.monotonic()
            asked.set()
        elif time.monotonic() - first > _SAME:
            raise KeyboardInterrupt

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, heard)
    try:
        yield lambda: asked.is_set() or (stop is not None and stop.is_set())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _refuse_other_versions(opened: Store) -> None:
    for known in opened.environments():
        apart = jobs.differing(known, jobs.versions())
        if apart:
            raise ValueError(
                f"{str(opened.path)!r} holds cells computed with other packages: {', '.join(apart)} now. Install those "
                "again, name another store, or let both stand beside each other with --mixed."
            )


def _cost(sweep: Sweep, cell: Cell) -> float:
    return 1.0 if sweep.experiment.cost is None else float(sweep.experiment.cost(cell.arguments))


def in_words(seconds: float) -> str:
    """A time in its unit.

    Args:
        seconds: how many.
    """
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"
