import dataclasses
import math

import mpmath
import numpy as np
import pytest
from scipy.special import sph_harm_y

from regimes import bands, nyquist, nyquist_learners, work_plots
from regimes.commands import nyquist_learners as commands
from regimes.results import LearningCurve

SMALL = {
    "domains": ("circle", "torus", "sphere"),
    "band": 6,
    "torus": 13,
    "degree": 3,
    "reach": 8,
    "trials": 4,
    "targets": 8,
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nyquist")
    return nyquist_learners.run(**SMALL, seed=1, checkpoint=folder), nyquist_learners.run(**SMALL, seed=2), folder


@pytest.fixture
def result(runs):
    return runs[0]


def chosen(result, domain, learner, design="random", noisy=False):
    (one,) = [
        one
        for one in result.cases
        if (one.domain, one.learner, one.design, bool(one.noise)) == (domain, learner, design, noisy)
    ]
    return one


@pytest.mark.parametrize(("domain", "rate"), [("circle", 13), ("torus", 13), ("sphere", 16)])
def test_the_loss_falls_by_six_orders_at_the_rate(result, domain, rate):
    one = chosen(result, domain, "limited")
    assert one.rate == one.band == one.complete == rate
    assert one.drop >= 6
    before = one.measured.at == rate - 1
    assert one.typical[before] > 1e-4
    assert one.measured.trials[:, one.measured.at >= rate].max() < 1e-6 * one.typical[before].item()


def test_a_wider_band_has_its_own_rate_and_regular_points_need_fewer(result):
    assert chosen(result, "circle", "twice the band").rate == 25
    assert chosen(result, "circle", "four times the band").rate == 49
    regular = chosen(result, "circle", "twice the band", "regular")
    assert regular.rate == regular.complete == 12 + 6 + 1
    assert regular.drop > 6


@pytest.mark.parametrize(("frequencies", "band"), [(5, 5), (9, 5), (10, 2)])
def test_regular_points_are_complete_from_the_sum_of_both_frequencies_on(frequencies, band):
    """The exact loss: aliasing until no frequency of the learner is that of the target on the points."""
    flat, power = np.ones(frequencies + 1), np.where(np.arange(frequencies + 1) <= band, 1.0, 0.0)
    rate = frequencies + band + 1
    losses = nyquist.regular(flat, power, np.arange(rate - 1, 3 * rate))
    assert losses[0] > 0.01
    assert np.all(losses[1:] < 1e-12)


def test_unlimited_learners_go_on_by_a_power_law(result):
    for domain in ("circle", "torus", "sphere"):
        one = chosen(result, domain, "unlimited")
        assert math.isinf(one.rate)
        assert math.isinf(one.complete)
        assert one.exponent.value == pytest.approx(one.predicted_exponent, rel=0.3)
    exact = chosen(result, "circle", "unlimited", "regular")
    assert exact.error() < 0.15
    assert exact.exponent.value == pytest.approx(4, rel=0.05)  # 2 (1 + alpha), alpha = 1


def test_regular_points_are_predicted_exactly(result):
    for learner, noisy in (("limited", False), ("limited", True), ("twice the band", False)):
        one = chosen(result, "circle", learner, "regular", noisy)
        before = one.measured.at < one.rate
        spread = np.std(one.measured.trials, axis=0, ddof=1) / math.sqrt(len(one.measured.trials))
        gap = np.abs(one.measured.loss - one.predicted.loss)
        assert np.all(gap[before] < 6 * spread[before] + 1e-12)  # Student's t with three degrees of freedom
    noisy = chosen(result, "circle", "limited", "regular", True)
    assert noisy.predicted.loss[noisy.measured.at == 13] == pytest.approx(0.2)


def test_noise_has_a_peak_on_random_points_only(result):
    random, regular = (chosen(result, "circle", "limited", design, True) for design in ("random", "regular"))
    at = random.measured.at == random.rate
    assert random.measured.loss[at] > 5 * regular.measured.loss[at]
    assert random.typical[-1] == pytest.approx(0.1 * (1 + 13 / (random.measured.at[-1] - 13)), rel=0.03)


def test_half_of_the_band_keeps_the_rest(result):
    one = chosen(result, "circle", "half the band")
    outside = 1 - 7 / 13
    assert one.predicted.loss[-1] == pytest.approx(outside * (1 + 7 / (one.measured.at[-1] - 7)), rel=1e-6)
    assert one.typical[-1] == pytest.approx(one.predicted.loss[-1], rel=0.2)  # few random points, and they alias
    assert not one.done


def test_random_points_are_complete_at_the_rate_where_rounding_hides_it(rng):
    """Eighty-one modes on as many random points of the circle, with 60 digits and with sixteen."""
    modes, band = 81, 41
    draws = [np.sort(rng.uniform(0, 2 * np.pi, modes)) for _ in range(16)]
    x = max(draws, key=lambda one: np.linalg.cond(bands.waves(one, (modes - 1) // 2)))  # the least lucky of them
    target = rng.standard_normal(band)
    design = bands.waves(x, (modes - 1) // 2)
    rounded = np.linalg.lstsq(design, design[:, :band] @ target, rcond=None)[0]
    rounded[:band] -= target
    with mpmath.workdps(60):
        rows = [[mpmath.mpf(1)] for _ in x]
        for row, at in zip(rows, x, strict=True):
            for k in range(1, (modes - 1) // 2 + 1):
                row += [
                    mpmath.sqrt(2) * mpmath.cos(k * mpmath.mpf(at)),
                    mpmath.sqrt(2) * mpmath.sin(k * mpmath.mpf(at)),
                ]
        y = [mpmath.fdot(row[:band], [mpmath.mpf(value) for value in target]) for row in rows]
        found = mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix(y))
        exact = mpmath.fsum((found[i] - (mpmath.mpf(target[i]) if i < band else 0)) ** 2 for i in range(modes))
    assert float(exact) < 1e-40
    assert np.linalg.cond(design) > 1e12
    assert np.sum(rounded**2) > 1e-12


def test_modes_are_orthonormal_and_those_of_the_sphere_the_spherical_harmonics(rng):
    x = 2 * np.pi * np.arange(40) / 40
    waves = bands.waves(x, 8)
    np.testing.assert_allclose(waves.T @ waves / 40, np.eye(17), atol=1e-12)
    z, weights = np.polynomial.legendre.leggauss(12)
    angles = 2 * np.pi * np.arange(24) / 24
    height, turn = (one.ravel() for one in np.meshgrid(z, angles, indexing="ij"))
    radius = np.sqrt(1 - height**2)
    points = np.column_stack([radius * np.cos(turn), radius * np.sin(turn), height])
    found = bands.harmonics(points, 6)
    mean = np.repeat(weights / 2, 24) / 24
    np.testing.assert_allclose(found.T * mean @ found, np.eye(49), atol=1e-11)
    real = math.sqrt(8 * math.pi) * sph_harm_y(3, 2, np.arccos(height), turn).real
    assert min(np.abs(found[:, 9 + 3] - sign * real).max() for sign in (-1, 1)) < 1e-11


def test_low_pass_keeps_slow_waves_and_nothing_else():
    side = np.arange(8)
    slow = np.cos(np.pi * (side + 0.5) * 2 / 8)
    fast = np.cos(np.pi * (side + 0.5) * 5 / 8)
    images = np.stack([np.outer(slow, np.ones(8)), np.outer(fast, slow), np.ones((8, 8))])[..., None]
    found = bands.low_pass(images, 3)
    assert found.shape == (3, 8)
    assert np.sum(found[0] ** 2) == pytest.approx(np.sum(images[0] ** 2))
    assert np.abs(found[1:]).max() < 1e-12


@pytest.mark.slow
def test_photographs_have_a_rate_too():
    found = nyquist_learners.run(domains="photographs", block=3, reach=4, trials=2, seed=3)
    one = chosen(found, "photographs", "limited")
    assert one.rate == one.complete == 45
    assert one.drop > 6
    low, whole = (chosen(found, "photographs", f"NTK of {name}") for name in ("low frequencies", "patches"))
    assert low.typical[-1] < whole.typical[-1]  # the filter helps a learner without a band too
    assert low.error() < 0.15


def test_same_seed_same_result_and_an_interrupted_run_goes_on(runs, monkeypatch):
    first, other, folder = runs
    (folder / "sphere" / "2" / "seed-1.npz").unlink()
    calls = []
    real = bands._by_kernel

    def counted(*arguments, **options):
        loss = real(*arguments, **options)
        return lambda rng: calls.append(1) or loss(rng)

    monkeypatch.setattr(bands, "_by_kernel", counted)
    again = nyquist_learners.run(**SMALL, seed=1, checkpoint=folder)
    assert len(calls) == 1
    for one, same, new in zip(first.cases, again.cases, other.cases, strict=True):
        np.testing.assert_array_equal(one.measured.trials, same.measured.trials)
        assert not np.array_equal(one.measured.trials, new.measured.trials)
    with pytest.raises(ValueError, match="differs in band"):
        nyquist_learners.run(**SMALL | {"band": 7}, seed=1, checkpoint=folder)


def test_verdicts_follow_the_numbers(result):
    one = chosen(result, "sphere", "limited")
    assert nyquist_learners._claims([one])[0].holds is True
    late = np.where(one.measured.at >= 20, one.measured.trials, 0.01)
    curve = LearningCurve.from_trials("n", one.measured.at, late)
    assert nyquist_learners._claims([dataclasses.replace(one, measured=curve)])[0].holds is False
    bad = dataclasses.replace(one, measured=curve, condition=np.full(one.condition.shape, 1e15))
    assert nyquist_learners._claims([bad])[0].holds is None
    assert "rounding" in nyquist_learners._claims([bad])[0].found


def test_no_kernel_is_tested_on_what_it_was_trained_on(rng, monkeypatch):
    """Points drawn from a pool of a hundred: the rows of the two Gram matrices."""
    seen = []
    monkeypatch.setattr(bands, "_TESTS", 60)

    def kernel(a, b):
        seen.append((a, b))
        return np.exp(-np.abs(a[:, None] - b) / 30.0)

    sizes, at = nyquist_learners.plan(trials=2, targets=2), np.array([10, 40])
    loss = bands._by_kernel(
        kernel,
        lambda x: np.ones((len(x), 1)),
        lambda n, rng: rng.choice(100, n, replace=False),
        at,
        1,
        sizes,
    )
    loss(rng)
    (x, same), (rows, test) = seen
    assert same is x
    assert rows is x
    assert (len(x), len(test)) == (40, 60)
    assert not np.intersect1d(x, test).size


def test_a_loss_that_is_far_off_at_one_n_fails_its_claim(result):
    """Of several n from four times the rate on, of which all others are as predicted."""
    for one, expected in (
        (chosen(result, "circle", "limited", noisy=True), "loss at every n from 4 times the rate on"),
        (chosen(result, "circle", "half the band"), "floor, at every n from 4 times its rate on"),
    ):
        for factor, holds in ((1.0, True), (2.0, False)):
            losses = np.tile(np.minimum(one.predicted.loss, 1e3), (4, 1))
            losses[:, one.measured.at == one.measured.at[-2]] *= factor
            curve = LearningCurve.from_trials("n", one.measured.at, losses)
            planted = dataclasses.replace(one, measured=curve)
            claims = nyquist_learners._claims([planted])
            (claim,) = [claim for claim in claims if claim.what.endswith(expected)]
            assert claim.holds is holds
            assert planted.error(4 * one.rate) < 1e-12  # the median does not see it


def test_tables_text_and_figure(result):
    tables = result.tables()
    assert len(tables["learners"]) == len(result.cases) == 17
    assert len(tables["losses"]) == sum(len(one.measured) for one in result.cases)
    assert "done exactly at the rate" in str(result)
    assert result.record()["run"]["band"] == 6
    figure = work_plots.nyquist_learners(result)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["circle, random points", "circle, regular points", "torus", "sphere", "label noise"]
    for ax in figure.axes:
        assert ax.get_xscale() == ax.get_yscale() == "log"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"domains": ()}, "`domains` is empty"),
        ({"domains": "cube"}, "`domains` must be one of circle"),
        ({"domains": ("circle", "cube")}, "`domains` must be one of circle"),
        ({"band": 3}, "`band` must be between 4"),
        ({"torus": 2}, "`torus`"),
        ({"degree": 16}, "`degree`"),
        ({"block": 1}, "`block`"),
        ({"noise": 0.0}, "`noise`"),
        ({"noise": math.nan}, "`noise`"),
        ({"reach": 2}, "`reach`"),
        ({"targets": 0}, "`targets`"),
        ({"trials": 1}, "`trials` must be at least 2"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        nyquist_learners.run(**arguments)


def test_domains_that_are_no_words_are_named(unchecked):
    with pytest.raises(ValueError, match=r"`domains` must be some of circle.*got 5"):
        nyquist_learners.plan(domains=5)


def test_low_pass_refuses_what_is_no_image():
    with pytest.raises(ValueError, match="`images` must have 3 or 4 axes"):
        bands.low_pass(np.ones((4, 8)), 3)
    with pytest.raises(ValueError, match="`block`"):
        bands.low_pass(np.ones((4, 8, 8)), 9)


def test_the_command_writes_what_it_found(tmp_path, unchecked, capsys):
    commands.command(domains="sphere", degree=2, reach=4, trials=2, targets=2, out=tmp_path / "out")
    assert "Nyquist learners" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"nyquist_learners.png", "nyquist_learners.svg", "learners.csv", "losses.csv", "run.json"}


def test_the_command_refuses_before_it_begins(tmp_path, unchecked):
    with pytest.raises(ValueError, match="`domains` must be one of"):
        commands.command(domains="cube", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
