import math
import types

import numpy as np
import pytest

from regimes import dynamics, flows, peaks, phenomena, training, work_plots
from regimes.commands import phenomena as command
from regimes.phenomena import Finding
from regimes.results import Estimate


def planted(network, x, y, *, record, seeds, **options):
    """Stands for training: the test loss rises with the label noise, the width and the step."""
    size = float(np.mean(y**2))
    at = np.array([0, *record])
    loss = (1 + size * 1e-3 * network.width * (1 + at) + 1e-12 * seeds[0])[None]
    return types.SimpleNamespace(statuses=(training.Status.CONVERGED,), test_loss=loss, steps=at)


@pytest.fixture(scope="module")
def result():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", planted)
        patch.setattr(training, "stable_rate", lambda network, x: 0.1)
        return phenomena.run(data="gaussian", draws=6, seeds=2, quick=True, seed=1)


def test_the_flow_is_that_of_small_steps_and_the_noise_its_average(rng):
    phi, test, y, y_test = (rng.standard_normal(shape) for shape in ((12, 7), (9, 7), (12, 2), (9, 2)))
    time, dt = 1.5, 1e-3

    def stepped(targets):
        theta = np.zeros((7, targets.shape[1]))
        for _ in range(1500):  # midpoint rule
            half = theta - 0.5 * dt * phi.T @ (phi @ theta - targets) / 12
            theta = theta - dt * phi.T @ (phi @ half - targets) / 12
        return test @ theta

    loss, noise = flows.of_features(phi, y, test, y_test, [time])[:, 0]
    assert loss == pytest.approx(np.mean(np.sum((stepped(y) - y_test) ** 2, axis=1)), rel=1e-5)
    # noise of variance 1 summed over two outputs: half in each, so the squared norm of the linear map over the tests
    assert noise == pytest.approx(np.sum(stepped(np.eye(12)) ** 2) / 9, rel=1e-5)
    np.testing.assert_allclose(
        flows.of_features(phi, y, test, y_test, 0.0)[:, 0], [np.mean(np.sum(y_test**2, axis=1)), 0]
    )


def test_the_flow_on_gaussian_data_is_the_formula(result):
    """Every measured curve within its error of the formula, but near n = k, where few draws decide."""
    for one in result.curves:
        far = np.abs(np.log(one.n / one.k)) > 0.5
        error = one.loss.std(axis=0, ddof=1) / math.sqrt(len(one.loss))
        assert np.all(np.abs(one.loss.mean(axis=0) - one.predicted)[far] < (6 * error + 0.03 * one.predicted)[far])
        ratio = one.sensitivity.mean(axis=0)[far] / one.predicted_sensitivity[far]
        np.testing.assert_allclose(ratio, 1, atol=0.2)


def test_the_formula_has_double_descent_along_all_three():
    spectrum, noise = phenomena.two_groups(), 0.15
    assert spectrum.total_power == pytest.approx(3)
    for n, k, time in (
        (160, np.array([40, 160, 640]), 1e7),
        (np.array([40, 160, 640]), 160, 1e7),
        (160, 800, np.array([1.5, 80, 4000])),
    ):
        before, peak, after = dynamics.gradient_flow(spectrum, time, n, k, noise=noise)
        assert peak > 1.3 * before
        assert peak > 1.3 * after


def test_peaks_are_found():
    assert peaks.peak(np.array([3.0, 1.0, 2.0, 0.5])) == (1, 2, 3)
    assert peaks.peak(np.array([3.0, 1.0, 1.01, 0.9, 0.8])) == (
        1,
        2,
        4,
    )  # a rise of 1 % is no peak, and the end is the end
    assert peaks.peak(np.array([3.0, 2.0, 1.0])) == (0, 0, 2)  # falls all along
    assert peaks.peak(np.array([3.0, 1.0, 1.5, 2.0])) == (1, 3, 3)  # rises and stays
    assert peaks.peak(np.array([3.0, 2.0, 2.2, 1.0, 4.0, 0.1])) == (3, 4, 5)  # the larger of two


def test_the_data_needed_are_read_off():
    n = np.array([10, 20, 40, 80])
    losses = 5.0 / n
    assert peaks.needed(n, losses, 0.2) == pytest.approx(25)
    assert peaks.needed(n, np.array([0.1, 0.05, 0.3, 0.1]), 0.2) == pytest.approx(
        40 * 2 ** (math.log(1.5) / math.log(3))
    )  # the last time that it passes, beyond the peak
    assert math.isnan(peaks.needed(n, losses, 1.0))
    assert math.isnan(peaks.needed(n, losses, 1e-3))


def curves_of_data(small, large, draws=((1.0, 1.0), (1.02, 0.98), (0.98, 1.01))):
    """Curves over n = 10 to 80 of a small and a large model; draws are factors on the two."""
    n, ones = np.array([10, 20, 40, 80]), np.ones(4)
    found = []
    for place, losses in enumerate((small, large)):
        measured = np.array([factors[place] * losses for factors in draws])
        found.append(
            phenomena.Curve(
                "digits", "data", n, np.full(4, 64 * 4**place), ones, np.array(losses), ones, measured, measured
            )
        )
    return found


def test_fewer_data_are_read_inside_both_curves():
    n = np.array([10, 20, 40, 80])
    small, large = 20.0 / n, 10.0 / n  # from 2 to 1/4 and from 1 to 1/8: both between 1 and 1/4, the middle 1/2
    found = phenomena._fewer("digits", *curves_of_data(small, large))
    assert found.what == "data to reach a loss of 0.5 in equal time, 256 features over 64"
    assert found.predicted == pytest.approx(0.5)
    assert found.measured.value == pytest.approx(0.5, rel=0.01)
    assert found.holds is True
    more = phenomena._fewer("digits", *curves_of_data(large, small))
    assert more.holds is False


@pytest.mark.parametrize(
    ("small", "large", "draws"),
    [
        ((4.0, 3.5, 3.0, 2.5), (2.0, 1.5, 1.0, 0.5), ((1.0, 1.0), (1.01, 1.0))),  # no loss that both pass
        ((2.0, 1.0, 0.5, 0.25), (1.0, 0.5, 0.25, 0.125), ((1.0, 1.0), (1.0, 0.45))),  # a draw below from the start
        ((2.0, 1.0, 0.5, 0.25), (1.0, 0.5, 0.25, 0.125), ((1.0, 1.0), (2.1, 1.0))),  # a draw that does not reach it
    ],
)
def test_data_beyond_the_ends_decide_nothing(small, large, draws):
    found = phenomena._fewer("digits", *curves_of_data(np.array(small), np.array(large), draws))
    assert math.isnan(found.measured.value)
    assert found.holds is None
    assert phenomena._claim(found).found == "undetermined"


def test_the_seed_decides_the_networks(monkeypatch):
    seen = []

    def spy(*arguments, seeds, **options):
        seen.append(seeds)
        return planted(*arguments, seeds=seeds, **options)

    monkeypatch.setattr(training, "train", spy)
    monkeypatch.setattr(training, "stable_rate", lambda network, x: 0.1)
    drawn = []
    for seed in (0, 0, 1):
        seen.clear()
        phenomena._networks(phenomena.plan(quick=True), seed, None, lambda what, share: None)
        assert len({one for (one,) in seen}) == 3  # each seed for both widths and the three signs of the noise
        drawn.append(list(seen))
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_ratios_have_the_interval_of_their_logs():
    found = peaks.log_ratio([2.0, 8.0, 4.0], [1.0, 2.0, 1.0])
    assert found.value == pytest.approx(2 ** (5 / 3))
    logs = np.log([2.0, 4.0, 4.0])
    assert math.log(found.high / found.value) == pytest.approx(4.302653 * logs.std(ddof=1) / math.sqrt(3), rel=1e-6)
    many = np.random.default_rng(0).normal(0.3, 0.5, (600, 5))
    inside = [math.exp(0.3) in peaks.log_ratio(np.exp(row), np.ones(5)) for row in many]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)


def test_a_share_without_a_sure_denominator_has_no_upper_end():
    above, below = np.array([1.0, 1.2, 0.9, 1.1]), np.array([0.5, -0.6, 0.4, 0.1])
    found = phenomena._share(above, below, 0)
    assert found.value == pytest.approx(above.mean() / below.mean())
    assert found.high == math.inf
    sure = phenomena._share(above, np.full(4, 0.5), 0)
    assert 1.8 <= sure.low < 2.1 < sure.high <= 2.4


@pytest.mark.parametrize(
    ("predicted", "measured", "expected", "holds"),
    [
        (2.0, (1.5, 1.2, 1.9), "more", True),
        (2.0, (1.5, 0.9, 1.9), "more", None),
        (2.0, (0.5, 0.4, 0.6), "more", False),
        (0.9, (1.5, 1.2, 1.9), "more", False),  # the formula itself says otherwise
        (0.5, (0.5, 0.4, 0.6), "less", True),
        (0.95, (0.97, 0.95, 0.99), "equal", True),
        (0.95, (0.7, 0.6, 0.8), "equal", False),
        (math.nan, (1.5, 1.2, 1.9), "more", True),  # without a formula the measurement decides
        (math.nan, (0.5, 0.4, 0.6), "more", False),
        (1.5, (math.nan, 0.0, math.inf), "less", None),
    ],
)
def test_a_finding_holds_where_formula_and_interval_agree(predicted, measured, expected, holds):
    assert Finding("gaussian", "a ratio", predicted, Estimate(*measured), expected).holds is holds


def test_the_four_phenomena_are_found(result):
    named = {one.what.split(":")[0].split(",")[0]: one for one in result.findings}
    assert named["scale that does not help"].measured.low > 1
    (needed,) = [one for one in result.findings if one.what.startswith("data to reach")]
    assert needed.measured.high < 1
    assert needed.measured.value == pytest.approx(needed.predicted, rel=0.35)
    noise = [one for one in result.findings if one.what.startswith("sensitivity") and one.data == "gaussian"]
    assert [one.holds for one in noise] == [True] * 3
    assert [one.measured.value for one in noise] == pytest.approx([one.predicted for one in noise], rel=0.25)
    late = next(one for one in result.findings if one.what.endswith("late"))
    assert late.measured.value == pytest.approx(late.predicted, rel=0.15)
    wide = next(one for one in result.findings if one.data == "networks")
    assert wide.measured.value == pytest.approx(8)  # as planted: widths 64 and 8
    assert sum(one.holds is True for one in result.checks) >= len(result.checks) - 2


def test_resumed_and_repeated_runs_are_the_same(result, tmp_path):
    sizes = phenomena.plan(data="gaussian", draws=2, quick=True)
    setting, measure = phenomena._gaussian(sizes)

    def measured(folder, seed=1):
        return phenomena._measured("gaussian", setting, measure, 2, seed, folder, lambda what, share: None)

    first = measured(tmp_path)
    (tmp_path / "draws-gaussian" / "seed-1.npz").unlink()  # as if it had been stopped there
    for one, two, whole in zip(first, measured(tmp_path), result.curves, strict=True):
        np.testing.assert_array_equal(one.loss, two.loss)
        np.testing.assert_array_equal(one.loss, whole.loss[:2])
    assert not np.array_equal(first[0].loss, measured(None, seed=2)[0].loss)


def test_tables_record_and_figure(result):
    tables = result.tables()
    assert set(tables) == {"curves", "findings", "checks"}
    assert len(tables["curves"]) == sum(len(one.n) for one in result.curves)
    assert len(tables["findings"]) == len(result.findings)
    assert list(tables["findings"]["holds"]) == [one.holds for one in result.checks]
    assert any(one.data == "networks" and one.holds for one in result.findings)
    assert result.record()["run"]["draws"] == 6
    assert str(result).startswith("Size, time and data: ")
    figure = work_plots.phenomena(result)
    assert len(figure.axes) == 3
    np.testing.assert_allclose(figure.axes[1].lines[0].get_ydata(), result.curve("gaussian", "n").predicted)
    with pytest.raises(ValueError, match="`name` must be one of"):
        result.curve("gaussian", "depth")


@pytest.mark.slow
def test_networks_grow_sensitive_to_noise_with_time(tmp_path):
    sizes = phenomena.plan(seeds=3, steps=400)
    first = phenomena._networks(sizes, 0, tmp_path, lambda what, share: None)
    assert first[2].measured.value > 2
    again = phenomena._networks(sizes, 0, tmp_path, lambda what, share: None)
    assert [one.measured for one in first] == [one.measured for one in again]


@pytest.mark.slow
def test_the_digits_have_the_predicted_peak():
    sizes = phenomena.plan(data="digits", draws=2, quick=True)
    setting, measure = phenomena._digits(sizes, 0)
    place = {(256, 64): np.array([1e6]), (256, 256): np.array([1e6])}
    found = measure([0, 0, 7], list(place), place)
    for (n, k), values in found.items():
        expected = dynamics.gradient_flow(setting.spectrum, k * 1e6, n, k)
        assert values[0, 0] == pytest.approx(expected, rel=0.1 if n != k else 1.0)
    assert found[256, 256][0, 0] > 10 * found[256, 64][0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "mnist"}, "`data` must be one of gaussian, digits"),
        ({"data": ()}, "`data` must be different ones"),
        ({"data": "digits,digits"}, "`data` must be different ones"),
        ({"data": "digits, digits"}, "`data` must be different ones"),
        ({"data": 5}, "`data` must be names out of gaussian, digits, got 5"),
        ({"data": ("digits", 5)}, "`data` must be names out of"),
        ({"draws": 1}, "`draws` must be at least 2"),
        ({"draws": 2.5}, "`draws` must be a whole number"),
        ({"seeds": 1}, "`seeds` must be at least 2"),
        ({"steps": 1}, "`steps` must be at least 50"),
        ({"noise": 0}, "`noise` must be finite and more than 0"),
        ({"noise": math.nan}, "`noise`"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_bad_input(unchecked, arguments, message):
    with pytest.raises(ValueError, match=message):
        phenomena.run(**arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flows.of_features([[1.0, math.nan]], [1], [[1, 2]], [1], 1.0), "`features`"),
        (lambda: flows.of_features([[1.0, 2.0]], [1, 2], [[1, 2]], [1], 1.0), "`targets`"),
        (
            lambda: flows.of_features([[1.0, 2.0]], [1], [[1, 2, 3]], [1], 1.0),
            "`test_features` must have the 2 columns",
        ),
        (lambda: flows.of_features([[1.0, 2.0]], [1], [[1, 2]], [1], -1.0), "`time` must not be negative"),
        (lambda: flows.of_features([[1.0, 2.0]], [1], [[1, 2]], [1], [[1.0, 2.0]]), "`time` must have 0 or 1 axes"),
        (lambda: flows.of_features([[1.0, 2.0]], [1], 3.0, [1], 1.0), "`test_features` must have 2 axes"),
        (lambda: flows.of_kernel([[1.0]], [1], [[1.0]], [1], [[1.0, 2.0]]), "`time` must have 0 or 1 axes"),
        (lambda: peaks.log_ratio([1.0], [1.0]), "two or more pairs"),
        (lambda: peaks.log_ratio([1.0, 0.0], [1.0, 1.0]), "positive"),
        (lambda: peaks.log_ratio([1.0, 2.0], [1.0, 1.0], level=1), "`level`"),
    ],
)
def test_bad_input_of_the_functions(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_command_writes_what_it_found(result, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(phenomena, "run", lambda **options: result)
    command.command(data="gaussian", out=tmp_path / "out", quick=True, noise=0.05)
    assert "Size, time and data" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"phenomena.png", "curves.csv", "run.json"}
    with pytest.raises(ValueError, match="`data` must be one of"):
        command.command(data="mnist", out=tmp_path / "none", noise=0.05)
    assert not (tmp_path / "none").exists()
