"""Claim: storing every cell safely costs little, and a large store opens at once.

- Time per cell beyond the cell itself, of cells that do nothing: a bare Python loop, joblib without storage, and
  `sweep.run` with one transaction, on disk, for each. Ours must stay under 5 ms in this process and with two others.
- A store of 100,000 finished cells must be opened and summarised in under a second.
- Two processes on two cores must be at least 1.7 times as fast as one on cells of a second.

Run with `uv run python benchmarks/sweep.py [--quick]`; a minute and a half, most of it the cells of a second. The last
claim needs two idle cores: how many there were is printed and, if fewer, the claim is not judged.
"""

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from regimes import cells, store, sweep

OVERHEAD = 5e-3
OPENED = 1.0
SPEED_UP = 1.7


def nothing(n: int, *, seed: int) -> dict[str, float]:
    """A cell that takes no time."""
    return {"loss": float(n + seed % 2)}


def busy(n: int, seconds: float = 1.0, *, seed: int) -> dict[str, float]:
    """A cell that takes so much CPU time, not wall time: what others take from the machine does not shorten it."""
    rng, total = np.random.default_rng(seed), 0.0
    end = time.process_time() + seconds
    while time.process_time() < end:
        total += float(rng.standard_normal(20_000).sum())
    return {"loss": math.copysign(1.0, total)}


NOTHING = cells.Experiment("nothing", nothing, version=1)
BUSY = cells.Experiment("busy", busy, version=1)


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def overhead(folder: Path, count: int) -> None:
    grid = sweep.grid(NOTHING, {"n": list(range(count))})
    calls = [(cell.arguments["n"], cell.seed(0)) for cell in grid.cells]
    print(f"cells that do nothing, {count} of them, time per cell:")
    bare = timed(lambda: [nothing(n, seed=seed) for n, seed in calls]) / count
    print(f"    bare loop, nothing kept                  {bare * 1e3:8.4f} ms")
    found = {}
    for workers in (1, 2):
        parallel = Parallel(n_jobs=workers)
        with parallel:
            parallel(delayed(nothing)(n, seed=seed) for n, seed in calls[:20])
            took = timed(lambda p=parallel: p(delayed(nothing)(n, seed=seed) for n, seed in calls)) / count
        print(f"    joblib, n_jobs={workers}, nothing stored         {took * 1e3:8.4f} ms")
    for workers in (0, 2):
        name = "in this process" if workers == 0 else f"{workers} processes"
        seen: list[tuple[float, int]] = []  # when so many cells were on disk

        def note(state: sweep.State, seen: list[tuple[float, int]] = seen) -> None:
            seen.append((time.perf_counter(), state.done))

        began = time.perf_counter()
        sweep.run(grid, folder / f"many{workers}.sqlite", workers=workers, progress=note)
        # What starting takes is not the cells' fault: from the moment the first of them were stored.
        first = next(entry for entry in seen if entry[1] > 0)
        first = next(entry for entry in reversed(seen) if entry[0] - first[0] < 1e-2)  # stored together with it
        found[workers] = (seen[-1][0] - first[0]) / (count - first[1])
        print(
            f"    ours, {name:15s}, every cell on disk {found[workers] * 1e3:8.4f} ms; "
            f"first stored after {first[0] - began:.2f} s"
        )
    handle = os.open(folder / "probe", os.O_CREAT | os.O_WRONLY)
    synced = timed(lambda: [(os.write(handle, b"x" * 4096), os.fsync(handle)) for _ in range(100)]) / 100
    os.close(handle)
    print(f"    one write that reaches this disk takes   {synced * 1e3:8.4f} ms")
    assert max(found.values()) - bare < OVERHEAD, "more than 5 ms per cell"


def opening(folder: Path, count: int) -> None:
    path = folder / "large.sqlite"
    grid = sweep.grid(NOTHING, {"n": list(range(count))})
    with store.write(path, "nothing", 1) as made:
        made.connection.execute("PRAGMA synchronous = OFF")
        versions = {"python": "3"}
        for cell in grid.cells:
            made.finish(
                store.Record(cell.digest, cell.arguments, 0, "done", {"loss": 1 / 3}, seconds=0.1, versions=versions)
            )

    def summarised() -> None:
        with store.read(path) as opened:
            assert opened.summary().done == count

    def planned() -> None:
        assert sweep.plan(grid, path).done == count

    took, plan = min(timed(summarised) for _ in range(3)), min(timed(planned) for _ in range(3))
    made_again = timed(lambda: sweep.grid(NOTHING, {"n": list(range(count))}))

    def read() -> Any:
        with store.read(path) as opened:
            return opened.frame()

    print(f"a store of {count:,} cells, {path.stat().st_size / 1e6:.0f} MB:")
    print(f"    opened and summarised                    {took:8.4f} s")
    print(f"    compared with its grid, cell by cell     {plan:8.4f} s; making the grid {made_again:.2f} s")
    print(f"    read as a frame, every checksum looked at {timed(read):7.2f} s")
    assert took < OPENED, "more than a second to open and summarise"


def speed_up(folder: Path, count: int) -> None:
    grid = sweep.grid(BUSY, {"n": list(range(count))})
    idle = os.cpu_count() or 1
    load = os.getloadavg()[0]
    one = timed(lambda: sweep.run(grid, folder / "one.sqlite", workers=1))
    two = timed(lambda: sweep.run(grid, folder / "two.sqlite", workers=2))
    print(
        f"{count} cells of a second of CPU time: one process {one:.1f} s, two {two:.1f} s, {one / two:.2f} times faster"
    )
    print(f"    {idle} cores, of which others kept {load:.1f} busy before")
    if load < 0.3 and idle > 1:
        assert one / two >= SPEED_UP, f"only {one / two:.2f} times as fast"
    else:
        print("    not judged: it needs two idle cores")


if __name__ == "__main__":
    quick = "--quick" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        speed_up(here, 6 if quick else 24)
        overhead(here, 300 if quick else 2000)
        opening(here, 10_000 if quick else 100_000)
