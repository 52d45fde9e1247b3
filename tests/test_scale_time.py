import math
import types

import numpy as np
import pytest

from regimes import breaks, dynamics, flows, infinite, iso_loss, scale_time, spectra, training, work_plots
from regimes.commands import scale_time as command
from regimes.results import Estimate
from regimes.teachers import Claim

SMALL = {"data": "digits", "n": 60, "k": (8, 16, 32), "draws": 2, "widths": (16, 32, 64), "seeds": 2, "steps": 60}


def planted(network, x, y, *, steps, record, seeds, **options):
    """Stands for training: losses of width x time (of time for the ntk), with a little of the seed in them."""
    at = np.concatenate([[0], record])
    progress = at / (1 if network.parameterisation == "ntk" else 64 / network.width)
    loss = np.array([(1 + progress / 3) ** -0.6 * 1.01**place for place in range(len(seeds))])
    return types.SimpleNamespace(statuses=(training.Status.CONVERGED,) * len(seeds), test_loss=loss, steps=at)


@pytest.fixture(scope="module")
def result():
    """Networks that are exactly equivalent, and one case of theory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", planted)
        patch.setattr(training, "stable_rate", lambda network, x: 1.0)
        patch.setattr(infinite, "kernel", lambda network, x: network.width * np.eye(len(x)))
        patch.setattr(scale_time, "_CASES", ((0.5, 0.5),))
        patch.setattr(breaks, "_WIDTHS", (64, 128, 256, 512, 1024))
        return scale_time.run(**SMALL, quick=True, seed=3)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (1.0, 1.0), (0.5, 1.0), (1.5, 0.7), (0.5, 2.5)])
def test_the_first_order_line_is_the_exact_one_at_large_k_and_a_small_share(alpha, beta):
    spectrum = spectra.power_law(alpha, beta, modes=1e7)
    k, share = 1e6, 3e-3
    exact = breaks.break_time(spectrum, k, tolerance=share)
    assert breaks.first_order_break(alpha, beta, k, tolerance=share) == pytest.approx(exact, rel=0.08)


def test_the_constant_of_the_first_order():
    """c t^(2/3)/k at alpha = beta = 1/2, c = 1.94, as the exact excess has it at two sizes extrapolated to infinity."""
    spectrum, t = spectra.power_law(0.5, 0.5, modes=1e7), 1e4
    excess = [
        k * (dynamics.gradient_flow(spectrum, t, k=k) / dynamics.gradient_flow(spectrum, t) - 1) for k in (1e6, 2e6)
    ]
    c = (2 * excess[1] - excess[0]) / t ** (2 / 3)
    assert c == pytest.approx(0.1 * 1e6 / breaks.first_order_break(0.5, 0.5, 1e6) ** (2 / 3), rel=0.01)
    assert c == pytest.approx(1.94, abs=0.02)


def test_the_break_is_where_the_excess_is_the_share():
    spectrum = spectra.power_law(0.7, 0.9)
    time = breaks.break_time(spectrum, 100, 300, tolerance=0.2)
    ratio = dynamics.gradient_flow(spectrum, [0.9 * time, time], 300, 100) / dynamics.gradient_flow(
        spectrum, [0.9 * time, time], 300
    )
    assert ratio[1] == pytest.approx(1.2, rel=1e-6)
    assert ratio[0] < 1.2
    assert breaks.break_time(spectra.white(10, 1.0), 1e9, 5) == math.inf


@pytest.mark.parametrize(
    "loss",
    [
        lambda s, t, n=math.inf, k=math.inf: np.asarray(t) ** -0.5 * (1 + 1e4 * np.asarray(t) / np.asarray(k) ** 3),
        lambda s, t, n=math.inf, k=math.inf: np.asarray(t) ** -0.5 * (1 + (np.asarray(t) / np.asarray(k)) ** 0.5),
    ],
    ids=["time over k cubed", "roots"],
)
def test_a_wrong_loss_is_not_the_first_order(monkeypatch, loss):
    """Inside its own region every loss agrees with itself; only the place of the end tells the theory."""
    features, subspace, line = [], breaks.subspace(4, 0), breaks.line(0.5, 0.5)
    assert line.first_order_excess == pytest.approx(1.94 * line.exact[-1] ** (2 / 3) / line.k[-1] / 0.1, rel=0.01)
    right = scale_time._claims([line], features, [], subspace)
    assert [one.holds for one in right[:2]] == [True, True]
    monkeypatch.setattr(dynamics, "gradient_flow", loss)
    line = breaks.line(0.5, 0.5)
    assert line.spread <= 0.1 + 1e-9
    wrong = scale_time._claims([line], features, [], subspace)
    assert [one.holds for one in wrong[:2]] == [False, False]


def estimate(value, half):
    return Estimate(value, value - half, value + half)


@pytest.mark.parametrize(
    ("slopes", "holds"),
    [
        ((estimate(-1.2, 0.1), estimate(-1.1, 0.05)), True),
        ((estimate(-1.2, 0.1), estimate(-1.0, 0.1)), False),
        ((estimate(-1.2, 0.1), estimate(-1.1, 0.3)), None),
        ((estimate(-1.2, 0.1), Estimate(math.nan, -math.inf, math.inf)), None),  # a loss that was never reached
    ],
)
def test_what_is_said_of_adam(slopes, holds):
    assert scale_time._apart(dict(enumerate(slopes))) is holds


def test_the_seed_decides_the_networks(monkeypatch):
    seen = []

    def spy(*arguments, seeds, **options):
        seen.append(seeds)
        return planted(*arguments, seeds=seeds, **options)

    monkeypatch.setattr(training, "train", spy)
    monkeypatch.setattr(training, "stable_rate", lambda network, x: 1.0)
    monkeypatch.setattr(infinite, "kernel", lambda network, x: network.width * np.eye(len(x)))
    drawn = []
    for seed in (0, 0, 1):
        seen.clear()
        iso_loss.train("ntk", (16, 32, 64), samples=64, steps=50, seeds=2, seed=seed)
        assert seen[0] == seen[1] == seen[2]  # all widths
        assert len(set(seen[0])) == 2
        drawn.append(seen[0])
    assert drawn[0] == drawn[1]
    assert not set(drawn[0]) & set(drawn[2])


def test_the_distance_of_a_random_subspace_is_that_of_many_draws(rng):
    m, y, time, p = np.array([1.0, 0.5, 0.5, 0.1]), np.array([1.0, -2.0, 0.5, 1.5]), 3.0, 4000
    squares = []
    for _ in range(600):
        r = rng.standard_normal((4, p))
        metric = np.sqrt(np.outer(m, m)) * (r @ r.T / p)
        values, vectors = np.linalg.eigh(metric)
        found = vectors @ (-np.expm1(-values * time) * (vectors.T @ y))
        squares.append(np.sum((found + np.expm1(-m * time) * y) ** 2))
    error = np.std(squares) / math.sqrt(600)
    assert breaks.subspace_distance(m, y, time, p) ** 2 == pytest.approx(np.mean(squares), abs=4 * error)
    assert breaks.subspace_distance(m, y, 0.0, p) == 0
    assert breaks.subspace_distance([1, 2], [1, 2], 1e300, 3) == 0
    close = breaks.subspace_distance([1.0, 1.0 + 1e-7], [1.0, 1.0], 2.0, 10)
    assert close == pytest.approx(breaks.subspace_distance([1.0, 1.0 + 1e-4], [1.0, 1.0], 2.0, 10), rel=1e-3)


def test_the_flow_is_that_of_small_steps(rng):
    phi, test, y, y_test = (rng.standard_normal(shape) for shape in ((12, 7), (9, 7), (12, 2), (9, 2)))
    theta, dt, losses = np.zeros((7, 2)), 1e-3, []
    for step in range(1, 2001):  # midpoint rule
        half = theta - 0.5 * dt * phi.T @ (phi @ theta - y) / 12
        theta = theta - dt * phi.T @ (phi @ half - y) / 12
        if step in (100, 2000):
            losses.append(np.mean(np.sum((test @ theta - y_test) ** 2, axis=1)))
    found = flows.of_kernel(phi @ phi.T, y, test @ phi.T, y_test, [0.1, 2.0])
    np.testing.assert_allclose(found, losses, rtol=1e-5)


def test_iso_loss_slopes_are_read_back():
    """A loss of width x time has slope -1 and no error; one of time alone 0; a sum of powers is told apart from it."""
    widths, scaled = (16, 32, 64, 128), np.geomspace(1, 1e5, 40)
    seeds = np.array([1.0, 1.02])[:, None, None]
    same = seeds * np.tile(2 * scaled**-0.5, (4, 1))
    found = iso_loss.read("standard", widths, 0.1, scaled, same, -1.0)
    for slope in found.slopes.values():
        assert slope.value == pytest.approx(-1)
    assert found.equivalence == pytest.approx(0, abs=1e-12)
    assert found.large_from_small.value == pytest.approx(0, abs=1e-12)
    assert found.additive > 0.3
    time = scaled / np.array(widths)[:, None]
    for power, expected in ((1.0, 0.0), (2.0, 1.0)):  # L = time^-1/2 width^((power-1)/2)
        loss = seeds * time**-0.5 * (np.array(widths)[:, None] / 16) ** ((power - 1) / 2)
        slope = iso_loss.read("standard", widths, 0.1, scaled, loss, -1.0).slopes[0.2]
        assert slope.value == pytest.approx(expected, abs=0.01)
    # t^-1 + k^-1 scaled so that its frontier, where both are equal, is at the reference width at every k t
    sum_of_powers = seeds * np.cosh(np.log(np.array(widths)[:, None] / 64)) * scaled**-0.5
    found = iso_loss.read("standard", widths, 0.1, scaled, sum_of_powers, -1.0)
    assert found.additive < 0.02 < found.equivalence


def test_planted_networks_and_real_features(result):
    standard = result.networks[0]
    assert standard.slopes[0.2].value == pytest.approx(-1, abs=0.02)
    assert result.networks[1].slopes[0.2].value == pytest.approx(0, abs=0.02)
    assert standard.kernel_slope == pytest.approx(-1)
    line = result.lines[0]
    assert line.slope == pytest.approx(line.expected, abs=0.1)
    # at the edge the fewest features are 10 % late in loss, so 1.1^3 in time (loss ~ time^-1/3), of 16 times as many
    assert -1 - math.log(1.1**3) / math.log(16) < line.iso_loss < -1
    assert line.spread <= 0.1
    one = result.features[0]
    between = (one.time > one.expected[0]) & (one.time < one.expected[-1])  # later the peak at k = n is near
    assert between.any()
    assert np.all(one.excess[0, between] > one.excess[-1, between])
    assert one.breaks[0].value < one.breaks[-1].value
    assert np.all(np.diff(one.expected) > 0)
    assert 1 / 4 < one.breaks[0].value / one.expected[0] < 4
    assert result.subspace.slope.value == pytest.approx(-0.5, abs=0.1)
    assert result.subspace.linear.max() < 1
    assert np.all(result.subspace.exponential < result.subspace.linear)
    assert all(isinstance(claim, Claim) for claim in result.checks)
    assert str(result).startswith("Scale-time equivalence: ")


def test_random_features_of_the_digits_break_where_predicted(tmp_path):
    sizes = scale_time.plan(data="digits", n=100, k=(16, 32, 64), draws=3)
    first = scale_time._features("digits", sizes, 0, tmp_path, lambda what, share: None)
    for found, expected in zip(first.breaks, first.expected, strict=True):
        assert 0.5 < found.value / expected < 2
    saved = tmp_path / "features-digits" / "seed-2.npz"
    saved.unlink()  # as if it had been stopped there
    again = scale_time._features("digits", sizes, 0, tmp_path, lambda what, share: None)
    np.testing.assert_array_equal(first.loss, again.loss)
    with pytest.raises(ValueError, match="another training"):
        scale_time._features("digits", sizes, 1, tmp_path, lambda what, share: None)


def test_the_same_seed_gives_the_same(result):
    sizes = scale_time.plan(**SMALL, quick=True)
    same = scale_time._features("digits", sizes, 3, None, lambda what, share: None)
    np.testing.assert_array_equal(result.features[0].loss, same.loss)
    np.testing.assert_array_equal(result.subspace.distance, breaks.subspace(sizes.subspaces, 3).distance)
    assert not np.array_equal(result.subspace.distance, breaks.subspace(sizes.subspaces, 4).distance)


def test_tables_record_and_figure(result):
    tables = result.tables()
    assert set(tables) == {"lines", "breaks", "features", "slopes", "networks", "subspace", "checks"}
    assert len(tables["breaks"]) == 3
    assert len(tables["slopes"]) == 9
    assert result.record()["run"]["k"] == (8, 16, 32)
    figure = work_plots.scale_time(result)
    assert len(figure.axes) == 4
    line = figure.axes[2].lines[0]
    np.testing.assert_allclose(line.get_xdata(), result.networks[0].scaled)


@pytest.mark.slow
def test_networks_reach_a_loss_in_time_over_width():
    """Standard parameterisation: a small width takes longer at one rate, and about as long in width x time."""
    sizes = scale_time.plan(data="digits", widths=(16, 64, 128), seeds=3, steps=150)
    standard, ntk = (
        iso_loss.train(kind, sizes.widths, samples=sizes.samples, steps=sizes.steps, seeds=sizes.seeds, seed=0)
        for kind in ("standard", "ntk")
    )
    assert -1.5 < standard.slopes[0.3].value < -0.6
    assert -0.6 < ntk.slopes[0.3].value < 0.4
    assert standard.equivalence < standard.additive


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "imagenet"}, "`data` must be one of digits, photographs"),
        ({"data": ()}, "`data` must be different ones"),
        ({"data": "digits,digits"}, "`data` must be different ones"),
        ({"data": "digits, digits"}, "`data` must be different ones"),
        ({"data": 5}, "`data` must be names out of digits, photographs, got 5"),
        ({"data": ("digits", 5)}, "`data` must be names out of"),
        ({"n": 10}, "`n` must be between 48"),
        ({"n": 200.5}, "`n` must be a whole number"),
        ({"k": (8, 16)}, "`k` must hold at least 3"),
        ({"k": (8, 16, math.nan)}, "`k` holds 1 NaN"),
        ({"k": ()}, "`k` is empty"),
        ({"draws": 1}, "`draws` must be at least 2"),
        ({"feature_width": 0}, "`feature_width`"),
        ({"widths": (4, 8, 16)}, "`widths` must hold three of 16 or more"),
        ({"widths": (32, 16, 64)}, "`widths` must be strictly increasing"),
        ({"seeds": 1}, "`seeds` must be at least 2"),
        ({"steps": 3}, "`steps` must be at least 50"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_bad_input(unchecked, arguments, message):
    with pytest.raises(ValueError, match=message):
        scale_time.run(**arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: breaks.first_order_break(0.5, 1.5, 10), "logarithm"),
        (lambda: breaks.first_order_break(0.0, 1.0, 10), "`alpha`"),
        (lambda: breaks.first_order_break(0.5, -1.0, 10), "`beta`"),
        (lambda: breaks.first_order_break(0.5, 0.5, [10, -1]), "`k` must be positive"),
        (lambda: breaks.first_order_break(0.5, 0.5, 10, tolerance=0), "`tolerance`"),
        (lambda: breaks.break_time(spectra.white(5), 3, tolerance=math.nan), "`tolerance`"),
        (lambda: breaks.break_time(spectra.white(5), -3), "`k`"),
        (
            lambda: breaks.break_time(spectra.power_law(0.5, 0.5, modes=1e4), 4, tolerance=1e-12),
            "`tolerance` = 1e-12 is passed before the time 0.001",
        ),
        (lambda: breaks.subspace_distance([1, 2], [1], 1.0, 5), "one for each"),
        (lambda: breaks.subspace_distance([1, 0], [1, 1], 1.0, 5), "must be positive"),
        (lambda: breaks.subspace_distance([1], [1], -1.0, 5), "`time`"),
        (lambda: breaks.subspace_distance([1], [1], 1.0, 0), "`p`"),
    ],
)
def test_bad_input_of_the_formulas(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_command_writes_what_it_found(result, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(scale_time, "run", lambda **options: result)
    command.command(data="digits", k="8,16,32", out=tmp_path / "out", quick=True)
    assert "Scale-time equivalence" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"scale_time.png", "breaks.csv", "run.json"}
    with pytest.raises(ValueError, match="`k` must be numbers"):
        command.command(k="8,x", out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
