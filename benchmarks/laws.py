"""Claim: one fitter reaches accepted optima, forecasts real curves better than M1 to M4, and keeps its stated coverage.

Four tables on measurements that other people made, each left out where its file is absent (their folder is named in
REGIMES_MEASUREMENTS), one on exact surfaces and one on planted parameters:

1. Chinchilla's points: the objective, CPU seconds, and whether the intervals contain the accepted parameters.
2. 72 curves of image classifiers, training part fitted, larger sizes predicted: mean error of the log loss by task, and
   on how many curves the forecast from the tail beats M1 to M4. These are fitted by us to their global least-squares
   optimum over the whole training part; the errors of the published implementation (2,000 iterations) are beside them.
3. Double descent: second half predicted from the first, against a power law with offset, and the place of the peak
   from the first half and from what lies before it.
4. LCDB: all curves by four laws; statuses and mean rank of the held-out error.
5. Exact surfaces of random features: which law extrapolates in samples and features.
6. Coverage of 90 % intervals over repeats of planted curves, for every law.

Run with `uv run python benchmarks/laws.py [chinchilla vision double lcdb surfaces coverage]`; all but coverage by
default; `coverage NAME ...` takes those laws only.
"""

import itertools
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from regimes import equivalents, fits, laws, optima, ranking, spectra

FOLDER = Path(os.environ.get("REGIMES_MEASUREMENTS", "no such folder")) / "laws"
PUBLISHED = {"M1": 0.1046, "M2": 0.0809, "M3": 0.0615, "M4": 0.0410}
"""Mean held-out error over the 72 curves with the implementation that its authors published."""


def rmse(predicted: np.ndarray, measured: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.mean(np.log(predicted / measured) ** 2)))


def chinchilla() -> None:
    frame = pd.read_csv(FOLDER / "chinchilla_points.csv").sort_values("loss").iloc[:-5]
    size, loss = frame["Model Size"].to_numpy(), frame["loss"].to_numpy()
    tokens = frame["Training FLOP"].to_numpy() / 6 / size
    start = time.process_time()
    found = fits.fit(laws.get("chinchilla"), loss, objective="huber", delta=1e-3, size=size, n=tokens)
    spent = time.process_time() - start
    print(f"Chinchilla, 240 points: objective {found.objective:.7g} (accepted 1.018274e-3) in {spent:.2f} CPU s")
    for name, value in {"A": 482.01, "B": 2085.43, "E": 1.817, "alpha": 0.348, "beta": 0.366}.items():
        one = found[name]
        inside = "inside" if value in one else "OUTSIDE"
        print(f"  {name:5s} {one.value:9.4g} [{one.low:.4g}, {one.high:.4g}]  accepted {value:g}: {inside}")


def vision() -> None:
    frame = pd.read_csv(FOLDER / "vision_curves.csv")
    rows = []
    for (task, model), curve in frame.groupby(["Task", "Model"]):
        seen, held = curve[curve["Training"] == 1], curve[curve["Training"] == 0]
        n, loss = seen["Seen Examples"].to_numpy(), seen["Loss"].to_numpy()
        later, truth = held["Seen Examples"].to_numpy(), held["Loss"].to_numpy()
        row: dict[str, object] = {"task": task, "model": model}
        start = time.process_time()
        row["tail"] = rmse(ranking.fit_tail(loss, n=n).predict(n=later).loss, truth)
        row["tail s"] = time.process_time() - start
        for name in ("m1", "m2", "m3", "m4"):
            start = time.process_time()
            wide = {"a": (1e-12, 1e30)}
            one = fits.fit(laws.get(name), loss, n=n, bounds=wide, bootstrap=0, throw=False)
            row[name.upper()] = rmse(one.predict(n=later).loss, truth)
            row[f"{name.upper()} s"] = time.process_time() - start
        rows.append(row)
    table = pd.DataFrame(rows)
    errors = ["tail", "M1", "M2", "M3", "M4"]
    print("Image classifiers: mean held-out error of the log loss by task")
    print(table.groupby("task")[errors].mean().round(4).to_string())
    print("all tasks:", table.groupby("task")[errors].mean().mean().round(4).to_dict(), "published:", PUBLISHED)
    wins = {name: int((table["tail"] < table[name]).sum()) for name in errors[1:]}
    print(f"curves of {len(table)} where the tail is better:", wins)
    print("CPU s per curve:", table[[f"{name} s" for name in errors]].mean().round(3).to_dict())


def double() -> None:
    """Each curve from its first half, and its peak from what lies before it."""
    frame = pd.read_csv(FOLDER / "double_descent_curves.csv")
    print("Double descent: held-out error of the log loss, second half from the first; place of the largest loss")
    wins: Counter[str] = Counter()
    places: dict[str, list[float]] = {}
    unseen = 0
    for name, curve in frame.groupby("curve"):
        samples = curve["x_label"].iloc[0] == "Sample Size"
        curve = curve.groupby("x", as_index=False)["y"].mean().sort_values("x")
        x, y = curve["x"].to_numpy(), curve["y"].to_numpy()
        half = max(3, len(x) // 2)
        inner = slice(len(x) // 10, None)
        peak = x[inner][np.argmax(y[inner])]
        unseen += bool(peak > x[half - 1])
        early = int(np.sum(x < 0.8 * peak))
        row, found = {}, {}
        for title in ("hestness", "broken-1", "broken-2", "theory-peak"):
            one, measured = _peaked(title, x[:half], y[:half], samples)
            usable = np.isfinite(one.objective)
            row[title] = rmse(one.predict(**measured(x[half:])).loss, y[half:]) if usable else np.nan
            if title in ("broken-2", "theory-peak"):
                found[f"{title}, half"] = _place(one, measured, x)
                if early >= 8:
                    found[f"{title}, before it"] = _place(*_peaked(title, x[:early], y[:early], samples), x)
        row["tail"] = rmse(ranking.fit_tail(y[:half], n=x[:half]).predict(n=x[half:]).loss, y[half:])
        wins.update(k for k, v in row.items() if v < row["hestness"])
        wins["curves"] += 1
        for title, at in found.items():
            places.setdefault(title, []).append(at / peak)
        shown = {k: float(f"{v:.3g}") for k, v in found.items()}
        print(
            f"  {name:40s}", {k: round(v, 3) for k, v in row.items()}, f"peak {peak:g}, predicted {shown}", flush=True
        )
    print(f"  error below that of the power law with offset: {dict(wins)}; peaks after the first half: {unseen}")
    for title, ratios in places.items():
        away = np.array(ratios)
        near = np.sum(np.abs(np.log(away)) < np.log(1.25))
        middle = np.nanmedian(np.abs(np.log(away)))
        print(
            f"  peak from {title}: within 25 % on {near} of {len(away)}, none on {np.isnan(away).sum()}, "
            f"median |ln| {middle:.2f}"
        )


def _peaked(title: str, x: np.ndarray, y: np.ndarray, samples: bool) -> tuple[fits.Fit, Callable]:
    """The fit of a law to a curve, and what its scales are at x: features are counted as the square of the width."""
    if title == "theory-peak":
        name, power = ("n", 1) if samples else ("k", 2)
        law = laws.theory(name, units=True, ridge=True, peak=True)
    else:
        (name, power), law = ("n", 1), laws.get("broken", breaks=int(title[-1])) if title[0] == "b" else laws.get(title)

    def measured(x: np.ndarray) -> dict[str, np.ndarray]:
        return {name: x**power}

    return fits.fit(law, y, bootstrap=0, throw=False, **measured(x)), measured


def _place(one: fits.Fit, measured: Callable, x: np.ndarray) -> float:
    """Where the law has its largest inner maximum, up to four times the largest size; NaN if it has none."""
    if not np.isfinite(one.objective):
        return np.nan
    grid = np.geomspace(x[len(x) // 10], 4 * x[-1], 2000)
    loss = one.predict(**measured(grid)).loss
    tops = np.flatnonzero((loss[1:-1] > loss[:-2]) & (loss[1:-1] >= loss[2:])) + 1
    return float(grid[tops[np.argmax(loss[tops])]]) if tops.size else np.nan


def lcdb() -> None:
    frame = pd.read_csv(FOLDER / "lcdb_error_curves.csv.gz")
    start = time.process_time()
    rows = ranking.fit_table(
        {"n": frame["size_train"], "loss": frame["mean"], "openmlid": frame["openmlid"], "learner": frame["learner"]},
        "hestness",
        by=["openmlid", "learner"],
    )
    spent = time.process_time() - start
    print(f"LCDB: {len(rows)} curves by a power law with offset in {spent:.0f} CPU s")
    print(" ", Counter(row["status"].split()[0] for row in rows))
    names = ("power", "hestness", "m3", "hestness-regions", "tail")
    errors = []
    for _, curve in frame.groupby(["openmlid", "learner"]):
        n, loss = curve["size_train"].to_numpy(dtype=float), curve["mean"].to_numpy()
        seen = n <= 0.5 * n.max()  # the larger half of the range of sizes is held out
        if (loss <= 0).any() or seen.sum() < 6:
            continue
        row = []
        for name in names:
            try:
                if name == "tail":
                    forecast = ranking.fit_tail(loss[seen], n=n[seen]).predict(n=n[~seen]).loss
                else:
                    one = fits.fit(laws.get(name), loss[seen], n=n[seen], bootstrap=0, throw=False)
                    forecast = one.predict(n=n[~seen]).loss
                row.append(rmse(forecast, loss[~seen]))
            except (ValueError, ArithmeticError):
                row.append(np.inf)
        errors.append(row)
        if len(errors) == LIMIT:
            break
    table = np.nan_to_num(np.array(errors), nan=np.inf)
    ranks = pd.DataFrame(table).rank(axis=1).mean().round(2).tolist()
    print(f"  held-out half, {len(table)} curves: mean rank", dict(zip(names, ranks, strict=True)))
    print("  median error", dict(zip(names, np.median(table, axis=0).round(4).tolist(), strict=True)))


def coverage(wanted: list[str], repeats: int = 200) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from test_fits import COSTLY, PLANTED, noisy

    print(f"Coverage of 90 % intervals over {repeats} repeats (standard error {100 * np.sqrt(0.09 / repeats):.1f} %)")
    for name, (truth, scales) in {**PLANTED, **COSTLY}.items():
        if wanted and name not in wanted:
            continue
        law = laws.get(name)
        hits, worse, statuses = dict.fromkeys(law.names, 0), 0, Counter()
        for repeat in range(repeats):
            loss = noisy(law, truth, scales, 0.02, repeat)
            found = fits.fit(law, loss, bootstrap=1, throw=False, **scales)
            statuses.update(status.name for status in found.statuses)
            worse += bool(found.objective > np.sum(np.log(law(truth, **scales) / loss) ** 2) / 2)
            for parameter in law.names:
                hits[parameter] += truth[parameter] in found[parameter]
        shares = {parameter: f"{count / repeats:.1%}" for parameter, count in hits.items()}
        print(f"  {name:20s} {shares}; worse than the truth {worse}; {dict(statuses)}", flush=True)


def surfaces() -> None:
    """Exact losses of random features, in two ways to leave out the larger sizes: which law extrapolates?"""
    n, k = (axis.ravel() for axis in np.meshgrid(2.0 ** np.arange(3, 15), 2.0 ** np.arange(3, 15), indexing="ij"))
    parts = {"n, k <= 512": (n <= 512) & (k <= 512), "n <= 2048, k <= 1024": (n <= 2**11) & (k <= 2**10)}
    print("Exact surfaces, n and k from 8 to 16384: relative divergence of the fit to one part on all the rest")
    for (alpha, beta), noise, ridge in itertools.product(
        [(0.5, 0.5), (0.5, 1.2), (1.0, 0.5)], [0.0, 0.3], ["best", 0.1, 0.0]
    ):
        spectrum = spectra.power_law(alpha, beta, modes=1e9)
        if ridge == "best":
            loss = np.asarray(optima.optimal_ridge(spectrum, n, k, noise).loss)
        else:
            loss = np.asarray(equivalents.loss(spectrum, n, k, ridge, noise))
        usable = np.isfinite(loss)  # without ridge not so at n = k
        print(f"alpha {alpha:g}, beta {beta:g}, noise {noise:g}, ridge {ridge}", flush=True)
        for name in ("rosenfeld", "rosenfeld-language", "kaplan", "multiplicative", "four-regimes", "theory"):
            law = laws.theory(ridge=ridge != 0.0) if name == "theory" else laws.get(name)
            law = law.rename(("k", "n")) if law.scales == ("size", "n") else law
            fixed = {"guess": spectrum.total_power + noise} if name == "rosenfeld" else {}
            row, start = [], time.process_time()
            for part in parts.values():
                seen = usable & part
                options = {"objective": "relative", "bootstrap": 0, "throw": False, "fixed": fixed}
                one = fits.fit(law, loss[seen], n=n[seen], k=k[seen], **options)
                there = {"n": n[usable & ~part], "k": k[usable & ~part]}
                away = one.predict(**there).loss / loss[usable & ~part] - 1
                inside = np.sqrt(2 * one.objective / seen.sum())
                row.append(
                    f"{inside:6.1%} in, {away.mean():+7.1%} +- {away.std():6.1%}, worst {np.abs(away).max():6.1%}"
                )
            spent = time.process_time() - start
            print(f"  {name:19s} {' | '.join(row)}  ({spent:.1f} s)", flush=True)


LIMIT = 500
"""Curves of LCDB in the comparison of laws; all of them are fitted once."""

TABLES = {"chinchilla": chinchilla, "vision": vision, "double": double, "lcdb": lcdb, "surfaces": surfaces}

if __name__ == "__main__":
    if "coverage" in sys.argv[1:2]:
        coverage(sys.argv[2:])
    for wanted in () if "coverage" in sys.argv[1:2] else sys.argv[1:] or TABLES:
        if wanted != "surfaces" and not FOLDER.is_dir():
            print(f"{wanted}: left out, REGIMES_MEASUREMENTS names no folder of measurements")
            continue
        TABLES[wanted]()
