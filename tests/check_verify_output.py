"""Check the folder that `regimes verify` wrote: `python tests/check_verify_output.py FOLDER`."""

import json
import sys
from pathlib import Path

import pandas as pd

REGIMES = {"resolution_n", "resolution_k", "variance_n", "variance_k"}


def main(folder: Path) -> None:
    exponents = pd.read_csv(folder / "exponents.csv")
    points = pd.read_csv(folder / "points.csv")
    duality = pd.read_csv(folder / "duality.csv")
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    tasks = set(exponents["task"])
    assert tasks == {"photographs, prior", "digits, labels"}, tasks
    for task in tasks:
        rows = exponents[exponents["task"] == task].set_index("regime")
        assert set(rows.index) == REGIMES, rows.index
        assert (rows["median_difference"] < 0.15).all(), rows
        assert ((rows["measured"] - rows["predicted"]).abs() < 0.08).all(), rows
        assert (points["task"] == task).sum() >= 20
    photographs = exponents[exponents["task"] == "photographs, prior"]
    assert (photographs["median_difference"] < 0.1).all(), photographs
    assert set(duality["level"]) >= {1, 2}
    assert {task["seed"] for task in run["tasks"]} == {0}
    assert {"regimes", "jax", "neural-tangents", "python"} <= set(run["versions"])
    for name in ("four_regimes.png", "four_regimes.svg"):
        assert (folder / name).stat().st_size > 10_000, name
    print(f"{len(exponents)} regimes and {len(points)} points as they should be")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
