import dataclasses
import math

import numpy as np
import pytest

from regimes import aspect_ratio, kernels, network_plots, teachers
from regimes.results import log_slope

SMALL = {"dim": 2, "depths": (1, 2, 4), "widths": (4, 8, 16), "n": (16, 32, 64), "teachers": 2, "steps": 10}


def shape(student):
    return sum(layer.name == "dense" for layer in student.model.layers), student.width


def planted(student, x, y, at, *, seeds, filled, **options):
    """n^-a with a = 0.5 at the least width, 1 beyond; from many samples width^-1.2 depth^-0.7 — instead of training."""
    depth, width = shape(student)
    assert filled == len(x) >= 4 * 64
    if len(at) == 1:
        loss = np.array([3 * width**-1.2 * depth**-0.7])
    else:
        loss = 2 * np.array(at, dtype=float) ** -(0.5 if width == 4 else 1.0)
    test = np.tile(loss * math.exp(0.01 * seeds[0]), (1, 1))
    return teachers.Trained(test, 0.1 * test, test, 0, None)


@pytest.fixture(scope="module")
def runs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teachers, "train_in_n", planted)
        return [aspect_ratio.run(**SMALL, quick=True, seed=seed) for seed in (1, 1, 2)]


@pytest.fixture
def result(runs):
    return runs[0]


def test_planted_exponents_come_back(result):
    for depth in (1, 2, 4):
        assert result.in_n(depth, 4).value == pytest.approx(0.5)
        assert result.in_n(depth, 16).value == pytest.approx(1)
        assert result.in_width(depth).value == pytest.approx(1.2)
    assert result.in_depth(8).value == pytest.approx(0.7)
    slope = log_slope(result.parameters[0], 3 * np.array([4, 8, 16]) ** -1.2)
    assert result.in_width(1, parameters=True).value == pytest.approx(-slope)
    assert result.parameters[0].tolist() == [4 * width + 1 for width in (4, 8, 16)]


def test_widths_with_more_parameters_than_samples_are_left_out(result):
    sizes = result.sizes._replace(widths=(4, 8, 16, 500), many=2048)
    parameters = np.concatenate([result.parameters, [[10_000]] * 3], axis=1)
    losses = np.concatenate([result.loss_many, np.full((2, 3, 1), 9.0)], axis=2)
    in_n = np.concatenate([result.loss_n, result.loss_n[:, :, :1]], axis=2)
    changes = {"parameters": parameters, "loss_many": losses, "loss_n": in_n, "train_n": in_n}
    more = dataclasses.replace(result, sizes=sizes, **changes)
    assert more.in_width(1).value == pytest.approx(1.2)


def test_matched_parameters_are_read_off_the_lines(result):
    at, ratios = result.matched()
    low, high = result.parameters[:, 0].max(), result.parameters[:, -1].min()
    assert at == pytest.approx(math.sqrt(low * high))
    assert (ratios[1].low, ratios[1].value, ratios[1].high) == (1, 1, 1)
    logs = np.log(result.loss_many[0])
    for row, depth in enumerate((1, 2, 4)):
        there = np.interp(math.log(at), np.log(result.parameters[row]), logs[row])
        base = np.interp(math.log(at), np.log(result.parameters[0]), logs[0])
        assert ratios[depth].value == pytest.approx(math.exp(there - base))


def test_verdicts_follow_the_numbers(result):
    named = {one.what: one for one in result.checks}
    assert named["exponent of students in n over depth, width 16"].holds
    for depth in (1, 2, 4):
        assert named[f"exponent in n over width, depth {depth}"].holds
    flat = dataclasses.replace(result, loss_n=result.loss_n[:, :, ::-1])
    falling = {one.what: one for one in aspect_ratio._claims(flat)}
    assert falling["exponent in n over width, depth 1"].holds is False


def test_the_kernel_of_each_depth(result):
    """Measured as plain linear algebra measures it; the exponents hardly change with depth, as the theory says."""
    x = teachers.inputs(result.sizes.pool + 2000, 2, np.random.default_rng([1, 2]))
    y = teachers.draw(2, [1, 1, 0]).labels(x)
    gram = kernels.fully_connected(4, bias_std=0.3)(x)
    fit = gram[result.sizes.pool :, :32] @ np.linalg.solve(gram[:32, :32], y[:32])
    loss = np.mean((fit - y[result.sizes.pool :]) ** 2)
    assert result.kernels[2].measured.trials[1, 1] == pytest.approx(loss, rel=1e-6)
    predicted = [one.predicted_exponent.value for one in result.kernels]
    assert max(predicted) / min(predicted) < 1.3


def test_the_same_seed_gives_the_same(runs):
    first, again, other = runs
    np.testing.assert_array_equal(first.kernels[0].measured.trials, again.kernels[0].measured.trials)
    assert not np.array_equal(first.kernels[0].measured.trials, other.kernels[0].measured.trials)


def test_tables_and_figure(result):
    tables = result.tables()
    assert len(tables["shapes"]) == 9
    assert len(tables["losses"]) == 9 * 4 * 2
    assert tables["widths"]["exponent_depth"].tolist() == pytest.approx([0.7] * 3)
    assert "matched" in result.record()
    assert "depth 4: exponent in n" in str(result)
    left, right = network_plots.aspect_ratio(result).axes
    assert len(left.lines) >= 3
    assert "depth 1: exponent 1.2" in right.get_legend().get_texts()[0].get_text()


def test_a_shape_that_was_not_trained(result):
    with pytest.raises(ValueError, match="`depth` must be one of 1, 2, 4, got 3"):
        result.in_n(3, 8)
    with pytest.raises(ValueError, match="`width` must be one of 4, 8, 16, got 5"):
        result.in_depth(5)


@pytest.mark.slow
def test_narrow_students_stop_where_wide_ones_go_on():
    """Trained for real: an exponent in n of a narrow student below that of a wide one, and losses falling in width."""
    arguments = SMALL | {"depths": (1, 2, 3), "widths": (4, 12, 36), "n": (32, 64, 128), "steps": 1500}
    found = aspect_ratio.run(**arguments, quick=True)
    assert np.isfinite(found.loss_n).all()
    assert found.in_n(2, 36).value > found.in_n(2, 4).value + 0.3
    for row in range(3):
        logs = np.log(found.loss_many[:, row]).mean(axis=0)
        assert np.all(np.diff(logs) < 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "`dim`"),
        ({"depths": (1, 2)}, "`depths` must hold at least three"),
        ({"depths": (0, 1, 2)}, "`depths` must lie between 1"),
        ({"widths": (8, 16)}, "`widths` must hold at least three"),
        ({"n": (8, 16)}, "`n` must hold at least three"),
        ({"n": (8, 16, math.inf)}, "`n` holds 1 NaN or infinite"),
        ({"teachers": 1}, "`teachers` must be at least 2"),
        ({"steps": 0}, "`steps`"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        aspect_ratio.run(**arguments)


def test_the_command_writes_what_it_found(regimes, monkeypatch, tmp_path):
    monkeypatch.setattr(teachers, "train_in_n", planted)
    arguments = ["--dim", 2, "--depths", "1,2,4", "--widths", "4,8,16", "--n", "16,32,64", "--teachers", 2]
    code, printed, _ = regimes("network", "aspect", *arguments, "--quick", "--out", tmp_path / "out")
    assert code == 0
    assert "Exponent in n" in printed
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"aspect_ratio.png", "shapes.csv", "run.json"}


def test_the_command_refuses_before_it_begins(regimes, tmp_path):
    code, _, error = regimes("network", "aspect", "--depths", "1,2", "--out", tmp_path / "out")
    assert code == 2
    assert "`--depths` must hold at least three" in error
    assert not (tmp_path / "out").exists()
