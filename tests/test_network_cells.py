import math

import numpy as np
import pytest

from regimes import cells, network_cells, sweep

SMALL = {"n": 20, "width": 8, "dim": 2, "steps": 30, "tests": 40, "networks": 2, "depth": 1}


def test_it_is_registered_for_sweep_files():
    assert "trained-network" in cells.names()
    assert cells.get("trained-network").function is network_cells.trained_network


def test_loss_falls_with_training_and_same_seed_same_result():
    found = [network_cells.trained_network(**(SMALL | {"steps": steps}), seed=1) for steps in (1, 300)]
    assert found[1]["train_loss"] < found[0]["train_loss"]
    assert found[1]["diverged"] == 0
    assert found[1]["test_loss_stderr"] > 0
    assert network_cells.trained_network(**SMALL, seed=3) == network_cells.trained_network(**SMALL, seed=3)
    assert network_cells.trained_network(**SMALL, seed=3) != network_cells.trained_network(**SMALL, seed=4)


def test_networks_that_diverge_are_counted_and_left_out():
    found = network_cells.trained_network(**(SMALL | {"rate": 1e4}), seed=0)
    assert found["diverged"] == 2
    assert math.isnan(found["test_loss"])
    assert found["rate_used"] == 1e4


def test_classes_of_digits_are_told_apart():
    found = network_cells.trained_network(
        n=300, width=64, depth=1, task="digits", loss="cross-entropy", steps=200, networks=1, seed=0
    )
    assert found["test_loss"] < 0.7 * np.log(10)


def test_a_sweep_of_widths_runs(tmp_path):
    grid = sweep.grid("trained-network", {"width": [4, 8]}, fixed={k: v for k, v in SMALL.items() if k != "width"})
    report = sweep.run(grid, tmp_path / "w.sqlite", workers=0)
    assert report.done == 2
    assert "2 cells" in str(sweep.plan(grid, tmp_path / "w.sqlite"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0}, "`n`"),
        ({"width": 0}, "`width`"),
        ({"loss": "hinge"}, "`loss`"),
        ({"optimiser": "lbfgs"}, "`optimiser`"),
        ({"optimiser": "gd", "batch": 4}, "`batch`"),
        ({"activation": "tanh"}, "`activation`"),
        ({"activation": "step"}, "step"),
        ({"task": "sphere"}, "`task`"),
        ({"rate": -1.0}, "`rate`"),
        ({"task": "photographs"}, "`task`"),
        ({"loss": "cross-entropy", "task": "digits", "noise": 0.1}, "`noise`"),
        ({"loss": "cross-entropy"}, "`loss`"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(arguments, words):
    with pytest.raises(ValueError, match=words):
        cells.get("trained-network").cell(SMALL | arguments)
