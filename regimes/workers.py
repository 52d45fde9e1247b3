"""Where cells are computed: in this process, in processes of this machine, on a Dask cluster.

All three give the same bits on one machine: a cell gets nothing but its arguments and its seed, and BLAS has one
thread everywhere. What goes wrong in a cell is an [Outcome][regimes.jobs.Outcome], never an exception. A worker
that dies takes with it no more than the cell that it works on.

Processes are spawned, not forked, so JAX and threads of the parent do no harm, and they end when their parent ends,
however it ends.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
import platform
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

from regimes import _checks, gram
from regimes.clusters import Cluster, local_cluster
from regimes.jobs import LONGEST, Job, Outcome, compute, versions

ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Environment variables that limit threads, set to 1 for the processes started here."""


class Here:
    """In this process, one after the other."""

    tries = 1
    size = 1

    def __init__(self) -> None:
        self.running: dict[str, Job] = {}
        import scipy.linalg  # noqa: F401  (its BLAS must be there to be limited)
        import threadpoolctl  # type: ignore[import-untyped]

        self._limits = threadpoolctl.threadpool_limits(1)

    def room(self) -> int:
        """How many more cells may be started."""
        return 0 if self.running else 1

    def start(self, job: Job) -> None:
        """Take a cell."""
        self.running[job.key] = job

    def finished(self, timeout: float) -> list[tuple[str, Outcome]]:
        """Cells that have come to an end, waiting for one for at most so many seconds (here, as long as it takes)."""
        return [(key, compute(self.running.pop(key))) for key in list(self.running)]

    def close(self) -> None:
        """End."""
        self._limits.restore_original_limits()


class Processes:
    """Processes of this machine, each with one BLAS thread, replaced when they die."""

    tries = 2
    """How often a cell is started whose worker dies."""

    def __init__(self, size: int, *, timeout: float | None = None, devices: tuple[str, ...] = ()) -> None:
        """Start them.

        Args:
            size: how many.
            timeout: seconds that a cell may take.
            devices: `CUDA_VISIBLE_DEVICES` of each, in turn.
        """
        self.size = _checks.count("workers", size)
        self.timeout = None if timeout is None else _checks.number("timeout", timeout, low=0, strict=True)
        self.devices = devices
        self.context = multiprocessing.get_context("spawn")
        self.crew: list[_Worker] = []
        try:
            for place in range(self.size):
                self.crew.append(self._hire(place))
        except BaseException:
            self.close()
            raise

    @property
    def running(self) -> dict[str, Job]:
        """Cells that are being computed."""
        return {worker.job.key: worker.job for worker in self.crew if worker.job is not None}

    def room(self) -> int:
        """How many more cells may be started."""
        return sum(worker.job is None for worker in self.crew)

    def start(self, job: Job) -> None:
        """Take a cell."""
        message = pickle.dumps((job, versions()))
        worker = next(worker for worker in self.crew if worker.job is None)
        worker.job = job
        worker.deadline = time.monotonic() + self.timeout if self.timeout is not None and worker.ready else None
        with contextlib.suppress(OSError):  # it has just died: `finished` will find out
            worker.pipe.send_bytes(message)

    def finished(self, timeout: float) -> list[tuple[str, Outcome]]:
        """Cells that have come to an end, waiting for one for at most so many seconds."""
        ends = [worker.deadline for worker in self.crew if worker.job is not None and worker.deadline is not None]
        if ends:
            timeout = max(0.0, min(timeout, min(ends) - time.monotonic()))
        multiprocessing.connection.wait(
            [item for worker in self.crew for item in (worker.pipe, worker.process.sentinel)], timeout
        )
        found = []
        for place, worker in enumerate(self.crew):
            outcome = self._heard(place, worker)
            if outcome is not None:
                found.append(outcome)
        return found

    def close(self) -> None:
        """End all processes, whatever they do."""
        for worker in self.crew:
            with contextlib.suppress(OSError):
                worker.pipe.close()
            worker.process.kill()
        for worker in self.crew:
            worker.process.join()
        self.crew = []

    def _hire(self, place: int) -> "_Worker":
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=_serve, args=(theirs,), name=f"cells-{place}", daemon=True)
        settings = dict.fromkeys(ONE_THREAD, "1") | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        if self.devices:
            settings["CUDA_VISIBLE_DEVICES"] = self.devices[place % len(self.devices)]
        with _environment(settings):
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def _heard(self, place: int, worker: "_Worker") -> tuple[str, Outcome] | None:
        """What a worker has to say, if anything; a dead one is replaced."""
        alive = worker.process.is_alive()  # asked first: what it sent before it died can still be read
        try:
            while worker.pipe.poll():
                said = worker.pipe.recv()
                if said is None:
                    worker.ready = True
                    if self.timeout is not None:  # what it took to start does not count
                        worker.deadline = time.monotonic() + self.timeout
                    continue
                assert worker.job is not None
                key, worker.job = worker.job.key, None
                return key, said
        except (EOFError, OSError, pickle.UnpicklingError):
            alive = False
        job = worker.job
        late = job is not None and worker.deadline is not None and time.monotonic() >= worker.deadline
        if alive and not late:
            return None
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()
        if not worker.ready and not late:
            raise RuntimeError(
                "a worker process could not start (its own message is above); a script that runs a sweep with workers "
                'must do so under `if __name__ == "__main__":`.'
            )
        self.crew[place] = self._hire(place)
        if job is None:
            return None
        name = f"{platform.node()}:{worker.process.pid}"
        if late:
            return job.key, Outcome(f"took longer than {self.timeout:g} s", seconds=self.timeout or 0.0, worker=name)
        return job.key, Outcome(f"its worker died ({_how(worker.process.exitcode)})", died=True, worker=name)


class _Worker:
    """A process, the pipe to it, and what it works on."""

    def __init__(self, process: Any, pipe: Any) -> None:
        self.process, self.pipe = process, pipe
        self.job: Job | None = None
        self.deadline: float | None = None
        self.ready = False


@contextlib.contextmanager
def crew(
    workers: int = 0, *, scheduler: Any = None, timeout: float | None = None, devices: tuple[str, ...] = ()
) -> Iterator[Any]:
    """Workers for a while.

    Args:
        workers: processes; 0 for this one. With "local" the processes of the Dask cluster.
        scheduler: address of a Dask scheduler, a cluster or a `Client`; "local" for a new Dask cluster on this machine.
        timeout: seconds that a cell may take; for processes only.
        devices: `CUDA_VISIBLE_DEVICES` of each process, in turn; for processes only.

    Raises:
        ValueError: no such scheduler, settings that do not go together.
        ImportError: Dask is not installed.
    """
    workers = _checks.count("workers", workers, low=0)
    if (timeout is not None or devices) and (workers == 0 or scheduler is not None):
        raise ValueError(
            f"`{'devices' if timeout is None else 'timeout'}` needs processes of this machine: set `workers` to at "
            "least 1 and no scheduler."
        )
    with contextlib.ExitStack() as stack:
        if isinstance(scheduler, str) and scheduler == "local":
            scheduler = stack.enter_context(local_cluster(max(1, workers)))
        if scheduler is not None:
            made: Any = Cluster(stack.enter_context(gram.connected(scheduler)))
        else:
            made = Processes(workers, timeout=timeout, devices=devices) if workers else Here()
        stack.callback(made.close)
        yield made


def _serve(pipe: Any) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the parent decides
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    pipe.send(None)
    while True:
        try:
            message = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            job, expected = pickle.loads(message)  # from our own parent
            outcome = compute(job, expected)
        except Exception as raised:  # a function that this process does not find
            outcome = Outcome(f"{type(raised).__name__}: {raised}", traceback.format_exc()[-LONGEST:])
        try:
            pipe.send(outcome)
        except OSError:
            return


def _how(code: int | None) -> str:
    """How a process ended, in words."""
    if code is not None and code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return name + (", perhaps for want of memory" if name == "SIGKILL" else "")
    return f"exit status {code}"


@contextlib.contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for processes started meanwhile; limits of threads are set, others only if they are not."""
    wanted = {
        name: value
        for name, value in settings.items()
        if name in ONE_THREAD or name == "CUDA_VISIBLE_DEVICES" or name not in os.environ
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
