"""Where cells are computed: in this process, in processes of this machine, on a Dask cluster.

All three give the same bits on one machine: a cell gets nothing but its arguments and its seed, and BLAS has one
thread everywhere. What goes wrong in a cell is an [Outcome][regimes.workers.Outcome], never an exception. A worker
that dies takes with it no more than the cell that it works on.

Processes are spawned, not forked, so JAX and threads of the parent do no harm, and they end when their parent ends,
however it ends. A scheduler and a dashboard that are started here listen on 127.0.0.1.
"""

import contextlib
import functools
import multiprocessing
import multiprocessing.connection
import os
import pickle
import platform
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from regimes import _checks, folders, gram

ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Environment variables that limit threads, set to 1 for the processes started here."""
NUMERICAL = ("regimes", "python", "numpy", "scipy", "scikit-learn", "jax", "jaxlib", "neural-tangents")
"""Packages whose versions can change a number."""
_LONGEST = 20_000
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
        trace = traceback.format_exc()[-_LONGEST:]
        results, arrays = {}, {}
    seconds = time.perf_counter() - start
    return Outcome(error, trace, False, results, arrays, seconds, _peak(), worker, known)


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


_LOST = 30.0
"""Seconds after which a cell that Dask has lost is given out anew."""


_LENIENT = {
    # The second worker that dies over a cell is the last one; Dask's own number is four.
    "distributed.scheduler.allowed-failures": 1,
    # Dask closes for good a worker that is absent 15 s after it died, though one that dies again and again may just be
    # starting, and ends up with none.
    "distributed.deploy.lost-worker-timeout": "1 day",
}
"""Settings of the clusters that are made here."""


class Cluster:
    """The workers of a Dask cluster. Dask itself gives the cell of a worker that died to another one.

    It gives up a cell that was on workers when they died, be it only in wait behind the one that killed them. So such a
    cell is tried once more when nothing else runs.
    """

    tries = 1

    def __init__(self, client: Any) -> None:
        """Use them.

        Args:
            client: a `distributed.Client`.
        """
        self.client = client
        self.running: dict[str, Job] = {}
        self._futures: dict[str, Any] = {}
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()  # something may have ended
        self._lost: dict[str, float] = {}
        self._suspects: list[Job] = []
        self._alone = ""  # the suspect that is tried by itself
        self._looked = -1e9
        self._threads = 1

    @property
    def size(self) -> int:
        """Threads of all workers; they may come and go."""
        if time.monotonic() - self._looked > 2:
            self._threads = max(1, sum(self.client.nthreads().values()))
            self._looked = time.monotonic()
        return self._threads

    def room(self) -> int:
        """How many more cells may be started; a few wait at the scheduler, so that no worker does."""
        return 0 if self._alone else self.size + 1 + self.size // 4 - len(self._futures)

    def start(self, job: Job) -> None:
        """Take a cell."""
        key = f"cell-{job.key[:16]}-{time.monotonic_ns()}"
        future = self.client.submit(_on_a_worker, job, versions(), pure=False, key=key)
        self.running[job.key], self._futures[job.key] = job, future
        future.add_done_callback(lambda _: self._ended.put(None))

    def finished(self, timeout: float) -> list[tuple[str, Outcome]]:
        """Cells that have come to an end, waiting for one for at most so many seconds."""
        if self._suspects and not self._futures:
            job = self._suspects.pop()
            self._alone = job.key
            self.start(job)
        with contextlib.suppress(queue.Empty):
            self._ended.get(timeout=timeout)
            while True:
                self._ended.get_nowait()
        if self.client.status == "closed":
            raise OSError("the Dask scheduler is gone; what was stored stays stored, resume with another one.")
        # A future whose worker died is lost until Dask has given it to another one; if it never does, we do.
        lost = [key for key, future in self._futures.items() if future.status == "lost"]
        self._lost = {key: self._lost.get(key, time.monotonic()) for key in lost}
        for key in [key for key, since in self._lost.items() if time.monotonic() - since > _LOST]:
            self.start(self.running[key])
        ended = [key for key, future in self._futures.items() if future.status in ("finished", "error", "cancelled")]
        found = []
        for key in ended:
            job, outcome = self.running[key], self._outcome(key)
            if outcome.died and key != self._alone:
                self._suspects.append(job)
                continue
            del self.running[key]
            self._alone = "" if key == self._alone else self._alone
            found.append((key, outcome))
        return found

    def close(self) -> None:
        """Give up what is still running."""
        for key in self.running:
            with contextlib.suppress(Exception):
                self._futures[key].cancel(force=True)
        self.running.clear()

    def _outcome(self, key: str) -> Outcome:
        future = self._futures.pop(key)
        if future.status == "cancelled":
            raise OSError("the Dask scheduler has cancelled a cell; what was stored stays stored, resume later.")
        error = future.exception()
        if error is None:
            try:
                return future.result()
            except Exception as raised:
                if not _killed(raised):
                    raise
                error = raised  # lost with its worker before it got here, and so where it was computed anew
        died = _killed(error)
        return Outcome(" ".join(f"{type(error).__name__}: {error}".split())[:1000], died=died)


def _killed(error: BaseException) -> bool:
    return type(error).__name__ == "KilledWorker"  # by name: Dask need not be installed


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


@contextlib.contextmanager
def local_cluster(workers: int) -> Iterator[Any]:
    """A Dask cluster of processes on this machine, which listens on 127.0.0.1 only.

    Args:
        workers: how many.

    Raises:
        ImportError: Dask is not installed.
    """
    dask, distributed = _dask()
    with (
        dask.config.set(_LENIENT),
        distributed.LocalCluster(
            n_workers=_checks.count("workers", workers),
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
    ):
        yield cluster


@contextlib.contextmanager
def slurm_cluster(jobs: int, **settings: Any) -> Iterator[Any]:
    """A Dask cluster whose workers are SLURM jobs.

    Its scheduler listens where the nodes can reach it, not on 127.0.0.1 only: by default on all interfaces, or on the
    one that `interface` names. Whoever can reach it can run code as you; on a shared network ask for `protocol="tls://"`
    and a `security` (see dask-jobqueue). The dashboard stays on 127.0.0.1.

    Args:
        jobs: how many jobs to ask for.
        settings: passed to `dask_jobqueue.SLURMCluster`, on top of what `~/.config/dask/jobqueue.yaml` says.

    Raises:
        ImportError: dask-jobqueue is not installed.
        ValueError: settings that dask-jobqueue refuses.
    """
    jobs = _checks.count("jobs", jobs)
    dask, _ = _dask()
    try:
        from dask_jobqueue import SLURMCluster  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise ImportError("SLURM needs dask-jobqueue: install it with `pip install regimes[scale]`.") from None
    options = dict(settings.pop("scheduler_options", {}))
    options.setdefault("dashboard_address", "127.0.0.1:0")
    with dask.config.set(_LENIENT):
        cluster = SLURMCluster(scheduler_options=options, **settings)
        with cluster:
            cluster.scale(jobs=jobs)
            yield cluster


def _dask() -> tuple[Any, Any]:
    try:
        import dask
        import distributed
    except ImportError:
        raise ImportError("`scheduler` needs Dask: install it with `pip install regimes[scale]`.") from None
    return dask, distributed


def _on_a_worker(job: Job, expected: Mapping[str, str]) -> Outcome:
    """`compute` on a Dask worker, which may run several cells in threads and has a BLAS of its own."""
    import scipy.linalg  # noqa: F401  (its BLAS must be there to be limited)

    return gram._with_one_thread(compute, job, expected)


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
            outcome = Outcome(f"{type(raised).__name__}: {raised}", traceback.format_exc()[-_LONGEST:])
        try:
            pipe.send(outcome)
        except OSError:
            return


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
