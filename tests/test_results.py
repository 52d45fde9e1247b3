import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from regimes.results import Caution, Comparison, Estimate, LearningCurve, LossSurface, log_slope


def test_log_slope_of_a_power_law_is_its_exponent():
    at = np.array([1.0, 3.0, 10.0, 200.0])
    assert log_slope(at, 7 * at**-0.37) == pytest.approx(-0.37, rel=1e-12)


def test_a_loss_below_its_limit_has_no_exponent():
    assert math.isnan(log_slope(np.array([1.0, 2.0, 3.0]), np.array([1.0, -0.1, 0.2])))


def test_jackknife_interval_of_a_slope_covers_at_its_level(rng):
    at, truth, level, covered = np.geomspace(10, 1000, 8), 0.4, 0.9, 0
    for _ in range(1000):
        common = rng.standard_normal((6, 1)) * 0.1  # trials shift as a whole and point by point
        trials = at**-truth * np.exp(common + rng.standard_normal((6, 8)) * 0.05)
        covered += truth in LearningCurve.from_trials("n", at, trials).exponent(level=level)
    assert stats.binomtest(covered, 1000, level).pvalue > 1e-3, covered


def test_interval_from_halves_covers_at_least_at_its_level(rng):
    # The mean of log-normal samples: an estimate from all of them, halves in disjoint pairs.
    truth, covered, repeats = math.exp(0.125), 0, 1000
    for _ in range(repeats):
        sample = np.exp(0.5 * rng.standard_normal(200))
        halves = []
        for _ in range(6):
            order = rng.permutation(200)
            halves += [sample[order[:100]].mean(), sample[order[100:]].mean()]
        covered += truth in Estimate.from_halves(sample.mean(), np.array(halves))
    assert covered / repeats > 0.93
    assert covered < repeats  # and not by being useless


def test_interval_from_halves_includes_the_drift_with_sample_size():
    estimate = Estimate.from_halves(1.0, np.array([1.2, 1.2, 1.2, 1.2]))
    assert (estimate.low, estimate.high) == pytest.approx((0.8, 1.2))


def test_without_halves_a_value_counts_as_exact():
    estimate = Estimate.from_halves(1.0, np.array([]))
    assert estimate.low == estimate.value == estimate.high == 1.0
    assert str(estimate) == "1.000"


def test_interval_from_draws_is_students_around_the_value():
    draws = np.array([1.0, 2.0, 4.0, 5.0])  # mean 3, standard deviation sqrt(10/3)
    found = Estimate.from_draws(2.5, draws, level=0.8, window=(2, 9), method="m")
    width = stats.t.ppf(0.9, 3) * math.sqrt(10 / 3)
    assert (found.low, found.value, found.high) == pytest.approx((2.5 - width, 2.5, 2.5 + width), rel=1e-12)
    assert (found.level, found.window, found.method) == (0.8, (2, 9), "m")


def test_interval_from_draws_covers_at_its_level(rng):
    # Few draws: the quantile of the normal distribution would cover 84 %.
    covered = 0
    for _ in range(3000):
        covered += 0.0 in Estimate.from_draws(rng.standard_normal(), rng.standard_normal(6), level=0.9)
    assert stats.binomtest(covered, 3000, 0.9).pvalue > 1e-3, covered


def test_without_draws_a_value_counts_as_exact():
    found = Estimate.from_draws(1.0, np.array([]), window=(1, 2))
    assert (found.low, found.high, found.level, found.window) == (1.0, 1.0, 1.0, (1, 2))


@pytest.mark.parametrize("interval", [Estimate.from_draws, Estimate.from_halves])
@pytest.mark.parametrize("level", [0.0, 1.0, -2.0, math.nan])
def test_a_level_outside_of_0_and_1_is_refused(interval, level):
    with pytest.raises(ValueError, match="`level` must lie between 0 and 1, got"):
        interval(1.0, np.array([1.0, 2.0]), level=level)


def test_a_single_draw_says_nothing_about_the_spread():
    with pytest.raises(ValueError, match="`draws` must be none or at least two"):
        Estimate.from_draws(1.0, np.array([1.0]))


def test_estimates_print_overlap_and_contain():
    one, two = Estimate(0.5, 0.4, 0.6), Estimate(0.7, 0.6, 0.8)
    assert str(one) == "0.500 [0.400, 0.600]"
    assert one.overlaps(two)
    assert not one.overlaps(Estimate.exact(0.61))
    assert 0.45 in one
    assert 0.65 not in one
    assert str(Estimate(math.nan, math.nan, math.nan)) == "undetermined"


def test_curve_from_trials_has_mean_and_standard_error():
    curve = LearningCurve.from_trials("n", np.array([1.0, 2.0]), np.array([[1.0, 4.0], [3.0, 4.0]]))
    assert curve.loss == pytest.approx([2.0, 4.0])
    assert curve.stderr == pytest.approx([1.0, 0.0])


def test_prediction_minus_measurement_is_a_subtraction():
    at = np.array([1.0, 2.0, 4.0])
    one, two = LearningCurve("n", at, at), LearningCurve("n", at, 2 * at)
    assert two - one == pytest.approx(at)
    with pytest.raises(ValueError, match="same axis at the same places"):
        one - LearningCurve("k", at, at)


def comparison(measured, predicted, losses=(1.0, 1.0)):
    at = np.array([1.0, 2.0, 4.0])
    return Comparison(
        "task",
        "resolution_n",
        LearningCurve("n", at, losses[0] * at),
        LearningCurve("n", at, losses[1] * at),
        measured,
        predicted,
        "n",
    )


@pytest.mark.parametrize(
    ("measured", "losses", "verdict"),
    [
        (Estimate(0.5, 0.4, 0.6), (1.0, 1.05), "agrees"),
        (Estimate(0.5, 0.4, 0.6), (1.0, 1.5), "exponent agrees, losses differ by 50%"),
        (Estimate(0.8, 0.7, 0.9), (1.0, 1.0), "exponent above the prediction by 0.300 ± 0.112"),
        (Estimate(0.2, 0.1, 0.3), (1.0, 1.5), "exponent below the prediction by 0.300 ± 0.112, losses differ by 50%"),
        (
            Estimate(math.nan, math.nan, math.nan),
            (1.0, 1.0),
            "undecided: the measured excess is not positive everywhere",
        ),
    ],
)
def test_verdicts(measured, losses, verdict):
    assert comparison(measured, Estimate(0.5, 0.45, 0.55), losses).verdict == verdict


def test_a_wide_interval_is_undecided_and_an_extrapolation_says_so():
    wide = comparison(Estimate(0.6, -1.0, 2.2), Estimate(0.5, 0.45, 0.55))
    assert wide.verdict == "undecided: the measured exponent is uncertain by 1.6"
    beyond = dataclasses.replace(comparison(Estimate(0.5, 0.4, 0.6), Estimate.exact(0.5)), resolved=2.0)
    assert beyond.verdict == "agrees; extrapolated beyond 2"


def test_a_difference_of_overlapping_intervals_is_shown_beyond_its_own_half_width():
    """Half-widths of 0.03 and 0.04 make 0.05 for the difference, which 0.0502 exceeds, although they overlap."""
    one = comparison(Estimate(0.4498, 0.4198, 0.4798), Estimate(0.5, 0.46, 0.54))
    assert one.measured_exponent.overlaps(one.predicted_exponent)
    assert one.allowed == pytest.approx(0.05)
    assert not one.exponent_agrees
    assert one.verdict == "exponent below the prediction by 0.0502 ± 0.0500"  # and not 0.050 ± 0.050


def test_exponents_that_only_touch_do_not_agree():
    touching = comparison(Estimate(0.5, 0.4, 0.6), Estimate(0.69, 0.59, 0.79))
    assert not touching.exponent_agrees  # 0.19 apart, 0.14 allowed


def test_a_slope_measured_once_has_an_infinite_interval():
    once = LearningCurve.from_trials("n", np.array([1.0, 2.0, 4.0]), np.array([[4.0, 2.0, 1.0]])).exponent()
    assert once.value == pytest.approx(1.0)
    assert (once.low, once.high) == (-math.inf, math.inf)


def test_a_level_that_is_not_a_share_is_refused():
    with pytest.raises(ValueError, match="`level` must lie between 0 and 1, got 95"):
        Estimate.from_halves(1.0, np.array([1.0, 1.1]), level=95)


@pytest.mark.parametrize(
    ("caution", "text"),
    [
        (Caution("samples repeat"), "samples repeat"),
        (Caution("too smooth", (1.1, 1.25)), "too smooth by a factor of 1.1 to 1.25"),
        (Caution("too smooth", (1.5, 1.5)), "too smooth by a factor of 1.5"),
    ],
)
def test_a_caution_prints_its_reason_and_its_factor_where_known(caution, text):
    assert str(caution) == text


def test_a_curve_prints_its_caution_only_where_it_has_one():
    at, caution = np.array([1.0, 2.0]), Caution("too smooth", (1.5, 1.5))
    careful = LearningCurve("n", at, at, caution=caution, source="theory")
    assert str(careful).endswith("1 to 2 - theory; caution: too smooth by a factor of 1.5")
    assert careful.caution is caution
    assert "caution" not in str(LearningCurve("n", at, at))
    assert LearningCurve.from_trials("n", at, at).caution is None


def surface(**given):
    n, k = np.array([1.0, 2.0, 4.0]), np.array([10.0, 30.0])
    return LossSurface(n, k, np.arange(6.0).reshape(3, 2), **given)


def test_rows_and_columns_of_a_surface_are_learning_curves():
    caution = Caution("too smooth")
    whole = surface(stderr=np.arange(6.0).reshape(3, 2) / 10, fixed={"ridge": 0.5}, source="here", caution=caution)
    column, row = whole.along_n(1), whole.along_k(2)
    assert (column.along, row.along) == ("n", "k")
    assert column.at.tolist() == [1, 2, 4]
    assert column.loss.tolist() == [1, 3, 5]
    assert column.stderr.tolist() == pytest.approx([0.1, 0.3, 0.5])
    assert column.fixed == {"k": 30.0, "ridge": 0.5}
    assert row.at.tolist() == [10, 30]
    assert row.loss.tolist() == [4, 5]
    assert row.stderr.tolist() == pytest.approx([0.4, 0.5])
    assert row.fixed == {"n": 4.0, "ridge": 0.5}
    assert column.source == row.source == "here"
    assert column.caution is row.caution is caution
    assert column.trials is None
    assert surface().along_n(0).stderr is None
    assert surface().along_n(0).fixed == {"k": 10.0}


def test_a_surface_prints_its_extent():
    assert str(surface()) == "loss surface, 3 n from 1 to 4 by 2 k from 10 to 30: 0 to 5"
    whole = str(surface(fixed={"ridge": 0.5, "noise": 0.0}, caution=Caution("too smooth", (1.1, 1.2))))
    assert "(ridge = 0.5, noise = 0): 0 to 5; caution: too smooth by a factor of 1.1 to 1.2" in whole
