"""Fits against curves that other people measured; the folder that holds them is named in REGIMES_MEASUREMENTS."""

import csv
import gzip
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from regimes import fits, laws, ranking

FOLDER = Path(os.environ.get("REGIMES_MEASUREMENTS", "no such folder")) / "laws"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="REGIMES_MEASUREMENTS names no folder of measurements")


def columns(name, *wanted):
    """Columns of a CSV file by name; numbers where they are numbers."""
    path = FOLDER / name
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        rows = list(csv.DictReader(stream))
    found = []
    for column in wanted:
        texts = [row[column] for row in rows]
        try:
            found.append(np.array([float(text) if text else np.nan for text in texts]))
        except ValueError:
            found.append(np.array(texts))
    return found


def rmse(predicted, measured):
    return float(np.sqrt(np.mean(np.log(predicted / measured) ** 2)))


def test_chinchilla_reaches_the_accepted_optimum_with_intervals_that_contain_it():
    """Besiroglu et al. 2024 (arXiv:2404.10102): five highest losses dropped, log-Huber 1e-3."""
    size, compute, loss = columns("chinchilla_points.csv", "Model Size", "Training FLOP", "loss")
    keep = np.argsort(loss)[:-5]
    size, tokens, loss = size[keep], (compute / 6 / size)[keep], loss[keep]
    start = time.process_time()
    found = fits.fit(laws.get("chinchilla"), loss, objective="huber", delta=1e-3, size=size, n=tokens)
    spent = time.process_time() - start
    assert found.objective <= 1.0183e-3
    accepted = {"A": 482.01, "B": 2085.43, "E": 1.817, "alpha": 0.348, "beta": 0.366}
    for name, value in accepted.items():
        assert value in found[name], (name, str(found[name]))
    # Intervals of a useful width: the published 80 % intervals are about 0.02 either way on the exponents.
    assert found["alpha"].high - found["alpha"].low < 0.12
    assert spent < 2 * (1 + os.getloadavg()[0] / (os.cpu_count() or 1))  # CPU time doubles where cores are shared


@pytest.mark.slow
def test_tail_forecasts_beat_the_laws_fitted_to_whole_vision_curves():
    """Every sixth of 72 curves here; all of them, and M1 to M4 as published, in benchmarks/laws.py."""
    task, model, n, loss, training = columns("vision_curves.csv", "Task", "Model", "Seen Examples", "Loss", "Training")
    ours, whole = [], []
    for label in sorted({f"{a}|{b}" for a, b in zip(task, model, strict=True)})[::6]:
        member = np.array([f"{a}|{b}" == label for a, b in zip(task, model, strict=True)])
        fitted, held = member & (training == 1), member & (training == 0)
        forecast = ranking.fit_tail(loss[fitted], n=n[fitted]).predict(n=n[held]).loss
        ours.append(rmse(forecast, loss[held]))
        row = []
        for name in ("m1", "m2", "m3"):
            one = fits.fit(laws.get(name), loss[fitted], n=n[fitted], bootstrap=0, throw=False)
            row.append(rmse(one.predict(n=n[held]).loss, loss[held]))
        whole.append(row)
    assert np.all(np.mean(ours) < 0.7 * np.mean(whole, axis=0))
    assert np.mean(np.array(ours)[:, None] < np.array(whole)) > 2 / 3


def test_every_fiftieth_lcdb_curve_gets_a_row_and_a_status():
    data, learner, n, mean = columns("lcdb_error_curves.csv.gz", "openmlid", "learner", "size_train", "mean")
    keys = np.char.add(np.char.add(data.astype(int).astype(str), "|"), learner)
    chosen = np.isin(keys, np.unique(keys)[::50])
    frame = {"curve": keys[chosen], "n": n[chosen], "loss": mean[chosen]}
    rows = ranking.fit_table(frame, "hestness", by="curve")
    assert len(rows) == len(np.unique(keys)[::50])
    assert all(row["status"] for row in rows)
    usable = [row for row in rows if np.isfinite(row["objective"])]
    assert len(usable) > 0.9 * len(rows)
    # No silent bad optimum: never worse than the best constant.
    for row in usable:
        member = frame["curve"] == row["curve"]
        logs = np.log(frame["loss"][member])
        assert row["objective"] <= np.sum((logs - logs.mean()) ** 2) / 2 * (1 + 1e-6) + 1e-12


def test_measured_variances_give_weighted_least_squares():
    """Hoiem et al. 2021: error = a n^-1/2 + c, a weighted linear regression; sizes measured once are left out."""
    for name in ("no_pretr_ft", "pretr_ft", "pretr_linear", "no_pretr_linear"):
        sizes = json.loads((FOLDER / "image_classifiers_with_variance" / f"{name}.json").read_text())
        sizes = [one for one in sizes if len(one["test_errors"]) > 1]
        n = np.array([one["num_train_samples"] for one in sizes], dtype=float)
        loss = np.array([np.mean(one["test_errors"]) for one in sizes])
        variance = np.array([np.var(one["test_errors"], ddof=1) / len(one["test_errors"]) for one in sizes])
        found = fits.fit(
            laws.HESTNESS, loss, variance=variance, fixed={"b": 0.5}, n=n, bounds={"c": (-100.0, 100.0)}, bootstrap=0
        )
        design = np.stack([n**-0.5, np.ones_like(n)], axis=1) / np.sqrt(variance)[:, None]
        exact, *_ = np.linalg.lstsq(design, loss / np.sqrt(variance))
        assert found["a"].value == pytest.approx(exact[0], rel=1e-6)
        assert found["c"].value == pytest.approx(exact[1], rel=1e-6)
