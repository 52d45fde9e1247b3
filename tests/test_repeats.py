import importlib
import inspect

import numpy as np
import pandas as pd
import pytest

from regimes import cells, frozen_features, repeats, store, sweep, teachers

RUN = {  # name in sweep files -> module whose `run` it is
    "network-variance": "network_variance",
    "network-resolution": "teacher_student",
    "network-features": "frozen_features",
    "network-tasks": "task_changes",
    "network-aspect": "aspect_ratio",
    "network-kernels": "tangent_kernels",
    "reproduce-joint": "joint_law",
    "reproduce-pruning": "pruning",
    "reproduce-sources": "error_sources",
    "reproduce-nyquist": "nyquist_learners",
    "reproduce-hestness": "model_growth",
    "reproduce-scale-time": "scale_time",
    "reproduce-phenomena": "phenomena",
}
NOT_PLAIN = {"network-variance": {"data"}, "network-features": {"targets", "column"}}
"""Arguments that take arrays or files, left out of cells."""
SMALL = {
    "architectures": ["erf"], "losses": ["mse"], "batches": [], "shallow": [], "widths": [8, 16, 32], "samples": 12,
    "seeds": 4, "pool": 64, "sizes": [8, 16, 32], "width": 8, "partitions": 4, "steps": 4, "tests": 40,
}  # fmt: skip


@pytest.mark.parametrize("name", RUN)
def test_arguments_and_defaults_are_those_of_the_experiment(name):
    run = inspect.signature(importlib.import_module(f"regimes.{RUN[name]}").run).parameters
    ours = cells.get(name).parameters
    missing = set(run) - set(ours) - {"seed", "checkpoint", "progress"} - NOT_PLAIN.get(name, set())
    assert not missing
    assert set(ours) - set(run) == {"replicate"}
    for argument, (_, default) in ours.items():
        if argument != "replicate":
            wanted = run[argument].default
            assert default == (list(wanted) if isinstance(wanted, tuple) else wanted), argument


def test_repetitions_run_as_a_sweep_and_gather_their_tables(tmp_path):
    grid = sweep.grid("network-variance", {"replicate": [0, 1]}, fixed=SMALL)
    path = tmp_path / "v.sqlite"
    assert sweep.run(grid, path, workers=0).done == 2
    with store.read(path) as opened:
        frame = opened.frame()
    assert (frame[["held", "missed", "undecided"]].sum(axis=1) > 0).all()
    points = repeats.gathered(frame, "points")
    assert sorted(points["replicate"].unique()) == [0, 1]
    one, other = (points[points["replicate"] == each] for each in (0, 1))
    assert len(one) == len(other)
    assert not np.allclose(one["excess"], other["excess"])  # seeds of their own
    exponents = repeats.gathered(frame, "exponents")
    assert len(exponents) % 2 == 0
    with pytest.raises(ValueError, match="'exponent' is no table of these cells; did you mean exponents"):
        repeats.gathered(frame, "exponent")


def test_a_cell_is_the_experiment_itself():
    claims = (teachers.Claim("a", "1", "1", True), teachers.Claim("b", "1", "?", None))

    class Found:
        checks = claims

        def tables(self):
            return {"t": pd.DataFrame({"x": [1.0, float("nan")]})}

        def __str__(self):
            return "found"

    asked = {}

    def run(**arguments):
        asked.update(arguments)
        return Found()

    told = repeats._run(run, {"n": [3], "replicate": 7, "seed": 2**40 + 5})
    assert asked == {"n": [3], "seed": 5}
    assert told == {
        "held": 1, "missed": 0, "undecided": 1, "summary": "found", "tables": '{"t":[{"x":1.0},{"x":null}]}'
    }  # fmt: skip


def test_frames_of_other_sweeps_are_refused():
    with pytest.raises(ValueError, match="`frame` has no column `tables`"):
        repeats.gathered(pd.DataFrame({"loss": [1.0]}), "points")


def test_a_bad_argument_fails_its_own_cell_with_the_experiments_sentence(tmp_path):
    grid = sweep.grid("network-features", {"trials": [0]}, fixed={"quick": True})
    path = tmp_path / "bad.sqlite"
    assert sweep.run(grid, path, workers=0).failed == 1
    with store.read(path) as opened:
        assert "`trials`" in opened.frame()["error"][0]
    with pytest.raises(ValueError, match="`replicate`"):
        sweep.grid("network-features", {"replicate": [-1]})


@pytest.mark.slow
def test_verify_and_features_as_cells(tmp_path):
    grid = sweep.grid("network-features", fixed={"quick": True})
    assert sweep.run(grid, tmp_path / "f.sqlite", workers=1).done == 1
    with store.read(tmp_path / "f.sqlite") as opened:
        frame = opened.frame()
    seed = int(frame["seed"][0]) % 2**20
    assert frame["summary"][0] == str(frozen_features.run(quick=True, seed=seed))
    grid = sweep.grid("verify", fixed={"quick": True})
    assert sweep.run(grid, tmp_path / "v.sqlite", workers=0).done == 1
    with store.read(tmp_path / "v.sqlite") as opened:
        regimes = repeats.gathered(opened.frame(), "exponents")["regime"]
    assert list(regimes) == ["resolution_n", "resolution_k", "variance_n", "variance_k"]
