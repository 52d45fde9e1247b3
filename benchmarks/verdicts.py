"""Claim: verdicts are rarely wrong, and undecided where a curve does not tell; what they say of other people's curves.

1. Confusion table over synthetic curves from 13 corners of the exact surface: power-law and white spectra, label noise,
   ridge, time, errors of 1 to 10 %, windows of a factor 3 to 1000, wrong limits, and what is held often not told. What
   is right is read off the exact surface (`tests/oracles_verdicts.py`).
2. A Markdown table of verdicts on measured curves, each left out where its file is absent (their folder is named in
   REGIMES_MEASUREMENTS). Nothing but the curve is given: sizes are parameters or widths and not random features, so
   that what is held of the other scale has no meaning for |n - k|.

Run with `uv run python benchmarks/verdicts.py [confusion real] [--seeds 520] [--first 1000000]`; both by default.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from regimes.classify import Regime, classify
from regimes.results import LearningCurve

FOLDER = Path(os.environ.get("REGIMES_MEASUREMENTS", "no such folder")) / "laws"
LCDB = 24
"""How many of the curves of LCDB are listed; their counts are over ten times as many."""


def confusion(first: int, seeds: int) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import oracles_verdicts

    table: defaultdict[Regime, Counter[Regime]] = defaultdict(Counter)
    corners: defaultdict[str, Counter[str]] = defaultdict(Counter)
    whole, clean = Counter[str](), Counter[str]()
    spent = 0.0
    for seed in range(first, first + seeds):
        case = oracles_verdicts.case(seed)
        start = time.process_time()
        verdict = classify(case.curve, **case.options)
        spent += time.process_time() - start
        undecided = verdict.regime is Regime.UNDECIDED
        result = "undecided" if undecided else "right" if verdict.regime in case.accepted else "wrong"
        table[case.truth][verdict.regime] += 1
        corners[case.corner][result] += 1
        whole[result] += 1
        if case.clean:
            clean[result] += 1
    print(f"{seeds} curves, seeds from {first}: {shares(whole)}; {spent / seeds:.3f} CPU s each")
    print(f"clean long windows: {shares(clean)}\n")
    columns = [regime for regime in Regime if any(row[regime] for row in table.values())]
    print("| truth \\ verdict | " + " | ".join(regime.value for regime in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for truth in Regime:
        if truth in table:
            print(f"| {truth.value} | " + " | ".join(str(table[truth][regime] or "") for regime in columns) + " |")
    print("\n| corner | right | undecided | wrong |\n|---|---|---|---|")
    for corner, row in corners.items():
        print(f"| {corner} | {row['right']} | {row['undecided']} | {row['wrong']} |")


def shares(counts: Counter[str]) -> str:
    total = max(sum(counts.values()), 1)
    return ", ".join(f"{name} {counts[name]} ({counts[name] / total:.1%})" for name in ("right", "undecided", "wrong"))


def double_descent() -> Iterator[tuple[str, str, LearningCurve]]:
    for name, curve in pd.read_csv(FOLDER / "double_descent_curves.csv").groupby("curve"):
        curve = curve.sort_values("x")
        label = str(curve["x_label"].iloc[0])
        along = "n" if "Sample" in label else "time" if "poch" in label else "k"
        yield "double descent", str(name), one(along, curve["x"], curve["y"])


def vision() -> Iterator[tuple[str, str, LearningCurve]]:
    for (task, model), curve in pd.read_csv(FOLDER / "vision_curves.csv").groupby(["Task", "Model"]):
        yield "vision", f"{task} {model}", one("n", curve["Seen Examples"], curve["Loss"])


def lcdb() -> Iterator[tuple[str, str, LearningCurve]]:
    frame = pd.read_csv(FOLDER / "lcdb_error_curves.csv.gz")
    groups = list(frame.groupby(["openmlid", "learner"]))
    for i in np.linspace(0, len(groups) - 1, 10 * LCDB).astype(int):
        (dataset, learner), curve = groups[i]
        errors = curve["std"].to_numpy() / np.sqrt(curve["count"].to_numpy())
        yield "LCDB", f"{learner} on {dataset}", one("n", curve["size_train"], curve["mean"], errors)


def images() -> Iterator[tuple[str, str, LearningCurve]]:
    for path in sorted((FOLDER / "image_classifiers_with_variance").glob("*.json")):
        rows = json.loads(path.read_text())
        spread = np.concatenate([np.array(row["test_errors"]) / np.mean(row["test_errors"]) - 1 for row in rows])
        loss, freedom = np.array([np.mean(row["test_errors"]) for row in rows]), len(spread) - len(rows)
        errors = None
        if freedom > 0:  # pooled over sizes: the largest has a single run
            relative = float(np.sqrt(np.sum(spread**2) / freedom))
            errors = relative * loss / np.sqrt([len(row["test_errors"]) for row in rows])
        yield "image classifiers", path.stem, one("n", [row["num_train_samples"] for row in rows], loss, errors)


def one(along: str, at: object, loss: object, errors: object = None) -> LearningCurve:
    x, y = np.asarray(at, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    keep = (y > 0) & (x > 0)
    error = None if errors is None else np.asarray(errors, dtype=np.float64)[keep]
    return LearningCurve(along, x[keep], y[keep], stderr=error)


def real() -> None:
    print("\n| source | curve | points | verdict | exponent | reason |\n|---|---|---|---|---|---|")
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    seen: Counter[str] = Counter()
    for read in (double_descent, images, vision, lcdb):
        if not FOLDER.is_dir():
            print(f"(measurements absent: {read.__name__})", file=sys.stderr)
            continue
        for source, name, curve in read():
            seen[source] += 1
            shown = source != "LCDB" or seen[source] % 10 == 1
            try:
                verdict = classify(curve)
            except ValueError as error:
                counts[source]["refused"] += 1
                if shown:
                    print(f"| {source} | {name} | {len(curve)} | refused | | {error} |")
                continue
            counts[source][verdict.regime.value] += 1
            if not shown:
                continue
            label = verdict.regime.value
            if verdict.regime is Regime.UNDECIDED:
                label += ": " + " or ".join(regime.value for regime in verdict.possible)
            exponent = str(verdict.exponent) if np.isfinite(verdict.exponent.value) else ""
            print(f"| {source} | {name} | {len(curve)} | {label} | {exponent} | {verdict.evidence[-1]} |")
    print()
    for source, row in counts.items():
        print(f"{source}: " + ", ".join(f"{count} {name}" for name, count in row.most_common()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["confusion", "real"])
    parser.add_argument("--seeds", type=int, default=520)
    parser.add_argument("--first", type=int, default=1_000_000)
    given = parser.parse_args()
    if "confusion" in given.parts:
        confusion(given.first, given.seeds)
    if "real" in given.parts:
        real()
