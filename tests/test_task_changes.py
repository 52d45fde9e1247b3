"""Changes of a task: what is done to the data, what the kernel says of it in exact cases, and the verdicts of a run."""

import math

import numpy as np
import pytest

import regimes as rg
from regimes import network_plots, task_changes
from regimes.task_changes import Change, changed


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    task = rg.tasks.digits()
    assert task.y is not None
    return task.x, task.y.argmax(axis=1)


def test_superclasses_merge_neighbours(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, labels = digits
    five, two = (changed(x, labels, Change("superclasses", classes)) for classes in (5, 2))
    np.testing.assert_array_equal(five.y.argmax(axis=1), labels // 2)
    np.testing.assert_array_equal(two.y.argmax(axis=1), labels // 5)
    np.testing.assert_array_equal(five.x, x)
    # Indicators of merged classes are sums of those before: a linear map of the labels.
    ten = changed(x, labels, Change("none"))
    np.testing.assert_allclose(five.y, ten.y.reshape(-1, 5, 2).sum(axis=2), atol=1e-12)


def test_label_noise_has_its_variance_and_spares_the_clean_labels(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, labels = digits
    task, clean = changed(x, labels, Change("label noise", 0.4)), changed(x, labels, Change("none"))
    power = np.mean(np.sum(clean.y**2, axis=1))
    np.testing.assert_array_equal(task.y, clean.y)
    assert task.noise == pytest.approx(0.4 * power)
    assert np.mean(np.sum((task.noisy - task.y) ** 2, axis=1)) == pytest.approx(task.noise, rel=0.05)
    weaker = changed(x, labels, Change("label noise", 0.1))
    np.testing.assert_allclose(2 * (weaker.noisy - weaker.y), task.noisy - task.y, atol=1e-12)


def test_input_noise_and_coarse_graining_keep_the_scale(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, labels = digits
    for change, side in ((Change("input noise", 2.0), 8), (Change("coarse graining", 2), 4)):
        task = changed(x, labels, change)
        assert task.x.shape == (len(x), side, side, 1)
        np.testing.assert_allclose(task.x.mean(axis=(1, 2)), 0, atol=1e-12)
        np.testing.assert_allclose(task.x.std(axis=(1, 2)), 1, rtol=1e-9)
    coarse = changed(x, labels, Change("coarse graining", 4)).x[3, ..., 0]
    means = np.array([[x[3, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean() for j in range(2)] for i in range(2)])
    np.testing.assert_allclose(coarse, (means - means.mean()) / means.std(), rtol=1e-9)
    # Noise of standard deviation 2 on pixels of 1 leaves a correlation of 1/sqrt(5).
    noisy = changed(x, labels, Change("input noise", 2.0)).x
    assert np.mean(noisy * x) == pytest.approx(1 / math.sqrt(5), abs=0.02)


def test_no_change_is_none(digits: tuple[np.ndarray, np.ndarray]) -> None:
    x, labels = digits
    task = changed(x, labels, Change("none"))
    assert task.noise == 0
    np.testing.assert_array_equal(task.noisy, task.y)
    np.testing.assert_array_equal(task.y, rg.tasks.one_hot(labels))


@pytest.fixture(scope="module")
def found() -> task_changes.TaskChanges:
    changes = [Change("superclasses", 2), Change("label noise", 0.5), Change("input noise", 1.5)]
    return task_changes.run(changes=changes, n=[32, 96, 288], width=32, steps=60, seeds=2, trials=4)


@pytest.mark.slow
def test_the_kernel_is_predicted_through_every_change(found: task_changes.TaskChanges) -> None:
    """From the spectrum of the changed task alone: losses within 10 %, exponents within their intervals."""
    assert [row.change.kind for row in found.rows] == ["none", "superclasses", "label noise", "input noise"]
    for row in found.rows:
        np.testing.assert_allclose(row.predicted_curve.loss, row.kernel_curve.loss, rtol=0.12)
        assert abs(row.predicted.value - row.kernel.value) < 0.1
    before, merged, noisy_labels, noisy_inputs = found.rows
    assert abs(before.kernel.value - merged.kernel.value) < 0.12
    assert noisy_inputs.kernel.value < 0.5 * before.kernel.value
    assert noisy_inputs.beta.value < 0.5 * before.beta.value
    # The best ridge slows the reducible loss down under noise, no further than beta/(1+beta).
    beta = noisy_labels.beta.value
    assert beta / (1 + beta) - 0.05 < noisy_labels.kernel.value < before.kernel.value - 0.05
    # Without ridge noise adds noise n/(n - df2) - noise and nothing else.
    assert noisy_labels.floor[1] == pytest.approx(noisy_labels.floor[0], rel=0.15)
    assert math.isnan(before.floor[0])


@pytest.mark.slow
def test_labels_do_not_change_the_kernel(found: task_changes.TaskChanges) -> None:
    before, merged, noisy_labels, noisy_inputs = found.rows
    assert merged.alpha.value == pytest.approx(before.alpha.value, abs=0.02)
    assert noisy_labels.alpha.value == pytest.approx(before.alpha.value, abs=0.02)
    assert noisy_inputs.alpha.value < before.alpha.value - 0.05


@pytest.mark.slow
def test_networks_learn(found: task_changes.TaskChanges) -> None:
    for row in found.rows:
        assert row.network_curve.trials is not None
        assert row.network_curve.trials.shape == (2, 3)
        assert np.all(np.diff(row.network_curve.loss) < 0)
    # Stopped early from zero, no network is worse than no network.
    assert found.rows[0].network_curve.loss[0] < 0.9


@pytest.mark.slow
def test_the_result_tells_itself(found: task_changes.TaskChanges) -> None:
    said = str(found)
    assert all(str(row.change) in said for row in found.rows)
    frames = found.tables()
    assert len(frames["exponents"]) == 4
    assert len(frames["losses"]) == 4 * 3 * 3
    assert len(frames["checks"]) == len(found.checks)
    verdicts = {check.what: check.holds for check in found.checks}
    assert verdicts["input noise 1.5, exponent of the kernel"] is True
    assert found.record()["sizes"]["n"] == [32, 96, 288]
    figure = network_plots.task_changes(found)
    assert len(figure.axes) == 6


@pytest.mark.slow
def test_same_seed_same_numbers() -> None:
    options = {"changes": [], "n": [16, 32, 64], "width": 8, "steps": 5, "seeds": 2, "trials": 2}
    first, again = (task_changes.run("photographs", **options, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.rows[0].network_curve.loss, again.rows[0].network_curve.loss)
    np.testing.assert_array_equal(first.rows[0].kernel_curve.loss, again.rows[0].kernel_curve.loss)
    assert len(first.rows) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "faces"}, "`data` must be one of"),
        ({"changes": ["superclasses"]}, "pairs of a kind and a strength"),
        ({"changes": [("sharpening", 1)]}, "`change` must be one of"),
        ({"changes": [("superclasses", 11)]}, "whole number from 2 to 10"),
        ({"changes": [("coarse graining", 3)]}, "must divide the 8 x 8 pixels"),
        ({"changes": [("coarse graining", 8)]}, "leave more than one"),
        ({"changes": [("label noise", -1)]}, "`strength`"),
        ({"data": "photographs", "changes": [("superclasses", 5)]}, "whole number from 2 to 2"),
        ({"n": [32, 64]}, "at least 3 sizes"),
        ({"n": [32, 64, 5000]}, "`n` must lie between"),
        ({"n": [64, 32, 128]}, "strictly increasing"),
        ({"seeds": 1}, "`seeds`"),
        ({"trials": 1}, "`trials`"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_what_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task_changes.run(**arguments)
