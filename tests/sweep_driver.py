"""A run of quick cells in a process of its own, to be killed: prints how many cells are done as it goes."""

import sys

from regimes import sweep
from regimes.sweep import State


def grid(count: int, log: str = "") -> sweep.Sweep:
    """Cells of a few milliseconds with an array each."""
    import sweep_experiments as given

    fixed = {"pause": 0.002, "log": log} if log else {"pause": 0.002}
    return sweep.grid(given.QUICK, {"n": list(range(1, count + 1))}, fixed=fixed)


def say(state: State) -> None:
    """Progress, for whoever watches."""
    print(f"done {state.done}", flush=True)


if __name__ == "__main__":
    path, count, workers, log = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    print(sweep.run(grid(count, log), path, workers=workers, progress=say), flush=True)
