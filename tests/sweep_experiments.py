"""Experiments of a few milliseconds and records for the tests of sweeps, in a module that other processes find."""

import math
import os
import signal
import time
from pathlib import Path

import numpy as np

from regimes import cells, store
from regimes.store import Record


def quick(n: int, scale: float = 1.0, word: str = "a", pause: float = 0.0, log: str = "", *, seed: int) -> dict:
    """Numbers that depend on everything, and an array."""
    if log:
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {n}\n")
    time.sleep(pause)
    draws = scale * np.random.default_rng(seed).standard_normal((n, n))
    values = np.linalg.svd(draws @ draws.T)[1]
    return {"loss": float(values[0]), "name": f"{word} {n}", "values": values, "infinite": math.inf}


def faulty(n: int, how: str = "", folder: str = "", *, seed: int) -> dict:
    """Some cells raise, diverge, kill their worker or never end."""
    if n % 5 == 3:
        if how == "raise":
            raise ArithmeticError(f"diverged at\n n = {n}")
        if how == "nan":
            return {"loss": math.nan}
        if how == "exit":
            raise SystemExit(3)
        if how == "nonsense":
            return {"loss": object()}
        if how == "same name":
            return {"n": 1}
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "kill once":
            mark = Path(folder) / f"{n}"
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if how == "hang":
            time.sleep(600)
    return {"loss": float(np.random.default_rng(seed).standard_normal() + n)}


def reading(n: int, data: str = "built-in", *, seed: int) -> dict:
    """Reads a file."""
    total = 0.0 if data == "built-in" else float(np.load(data, allow_pickle=False).sum())
    return {"loss": total + n}


def typed(whole: int, real: float, word: str = "w", truth: bool = False, maybe: int | None = None,
          some: list[float] | None = None, *, seed: int) -> dict:  # fmt: skip
    """One argument of every kind."""
    return {"loss": 0.0}


def _positive(arguments):
    if arguments["n"] < 1:
        raise ValueError("`n` must be at least 1")


QUICK = cells.register(cells.Experiment("test-quick", quick, version=1, check=_positive))
FAULTY = cells.register(cells.Experiment("test-faulty", faulty, version=2))
READING = cells.register(
    cells.Experiment("test-reading", reading, version=1, files=("data",), named=lambda value: value == "built-in")
)
TYPED = cells.Experiment("test-typed", typed, version=1)


# Records

VERSIONS = {"python": "3", "regimes": "0"}


def record(i, **more):
    given = {"arguments": {"n": i, "k": math.inf if i % 2 else 3.0}, "results": {"loss": 0.1 * i, "word": "ü"}}
    settings = {"seed": 2**63 - 1 - i, "status": "done", "seconds": 0.25, "versions": VERSIONS} | given | more
    return Record(f"{i:064x}", **settings)


def opened(path, **more):
    return store.write(path, **({"experiment": "e", "version": 1, "seed": 5} | more))


def environment(*, seed: int) -> dict:
    """What a worker process is given."""
    import threadpoolctl

    threads = max((library["num_threads"] for library in threadpoolctl.threadpool_info()), default=1)
    return {"device": os.environ.get("CUDA_VISIBLE_DEVICES", ""), "threads": threads}
