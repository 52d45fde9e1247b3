"""Dask clusters as workers: one of this machine, of SLURM jobs, or any that a client reaches.

Schedulers and dashboards that are started here listen on 127.0.0.1, those for SLURM where the nodes can reach them.
"""

import contextlib
import queue
import time
from collections.abc import Iterator, Mapping
from typing import Any

from regimes import _checks, gram
from regimes.jobs import Job, Outcome, compute, versions

_LOST = 30.0
"""Seconds after which a cell that Dask has lost is given out anew."""
_PATIENCE = 1.0
"""Seconds that a result has to come at the first attempt, twice as many at each that follows."""
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
        self._patience: dict[str, float] = {}
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
        found: list[tuple[str, Outcome]] = []
        for key in ended:
            try:
                outcome = self._outcome(key)
            except Exception:
                if found:
                    break  # it is raised again by the next call, which has nothing to lose
                raise
            if outcome is None:
                continue
            del self._futures[key]
            if outcome.died and key != self._alone:
                self._suspects.append(self.running[key])
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

    def _outcome(self, key: str) -> Outcome | None:
        """What became of a cell; None if its result does not come, as one that was lost with its worker."""
        future, patience = self._futures[key], self._patience.get(key, _PATIENCE)
        status = future.status
        if status == "cancelled":
            raise OSError("the Dask scheduler has cancelled a cell; what was stored stays stored, resume later.")
        try:
            if status == "finished":
                outcome: Outcome = future.result(timeout=patience)
                return outcome
            error = future.exception(timeout=patience) if status == "error" else None
        except TimeoutError:
            self._patience[key] = 2 * patience  # a large one may just be slow to come
            return None
        except Exception as raised:
            if not _killed(raised):
                raise
            error = raised  # the worker that computed a lost one anew has died too
        if error is None:
            return None
        return Outcome(" ".join(f"{type(error).__name__}: {error}".split())[:1000], died=_killed(error))


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


def _killed(error: BaseException) -> bool:
    return type(error).__name__ == "KilledWorker"  # by name: Dask need not be installed
