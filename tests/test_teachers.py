import math

import numpy as np
import pytest
from scipy import stats

from regimes import kernels, networks, teachers, training
from regimes.results import Estimate, log_slope


def forward(parameters, x, bias_std):
    """A relu network in the NTK parameterisation, layer by layer."""
    dense = [layer for layer in parameters if len(layer)]
    for index, (weights, biases) in enumerate(dense):
        x = math.sqrt(2) / math.sqrt(x.shape[1]) * x @ weights + bias_std * biases
        x = np.maximum(x, 0) if index < len(dense) - 1 else x
    return x[:, 0]


def test_labels_are_the_network_less_its_linear_part(rng):
    teacher = teachers.draw(3, [5, 1], width=20, bias_std=0.4)
    x = teachers.inputs(200, 3, rng)
    raw = forward(teacher.parameters, x, 0.4)
    constant, *slopes = teacher.coefficients
    expected = (raw - constant - x @ np.array(slopes)) / teacher.scale
    np.testing.assert_allclose(teacher.labels(x)[:, 0], expected, rtol=1e-10, atol=1e-12)


def test_labels_have_no_linear_part_on_other_samples(rng):
    teacher = teachers.draw(2, 0)
    x = teachers.inputs(20_000, 2, rng)
    y = teacher.labels(x)[:, 0]
    error = 4.5 * math.sqrt(1 / 20_000 + 1 / 16_384)
    assert abs(y.mean()) < error
    assert np.abs(x.T @ y / len(x)).max() / x.std() < error
    assert y.var() == pytest.approx(1, abs=0.05)
    raw = forward(teacher.parameters, x, 0.3)
    left = raw - np.column_stack([np.ones(len(x)), x]) @ teacher.coefficients
    assert teacher.linear_share == pytest.approx(1 - left.var() / raw.var(), abs=0.02)


def test_a_seed_is_a_teacher(rng):
    x = teachers.inputs(5, 2, rng)
    first, again, other = (teachers.draw(2, seed, width=8).labels(x) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_a_linear_teacher_is_refused():
    with pytest.raises(ValueError, match="teacher is linear"):
        teachers.draw(2, 0, width=4, bias_std=1e5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"dim": 0}, "`dim`"), ({"depth": 0}, "`depth`"), ({"width": 0}, "`width`"), ({"bias_std": 0.0}, "`bias_std`")],
)
def test_bad_teachers(arguments, message):
    with pytest.raises(ValueError, match=message):
        teachers.draw(**{"dim": 2, "seed": 0} | arguments)


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    teacher = teachers.draw(2, 1, width=16)
    x, x_test = teachers.inputs(48, 2, rng), teachers.inputs(100, 2, rng)
    student = networks.network(kernels.fully_connected(1, bias_std=0.3), 8, parameterisation="standard")
    return student, x, teacher.labels(x), (x_test, teacher.labels(x_test))


def test_repeated_samples_descend_the_same_loss(pair):
    student, x, y, test = pair
    # Batches of all 48: three times each of the first 16 samples, so every step is a full one on 16.
    found = teachers.train_in_n(student, x, y, [16, 24], test=test, batch=48, steps=40, seeds=[7, 3], rate=0.01)
    options = {"test": test, "optimiser": "adam", "rate": 0.01, "schedule": "cosine", "early_stopping": True}
    options |= {"steps": 40, "record": 20}
    for column, n in enumerate((16, 24)):
        plain = training.train(student, x[:n], y[:n], seeds=[3, 7], **options)
        np.testing.assert_allclose(found.test[::-1, column], plain.losses("test"), rtol=2e-3)
        np.testing.assert_allclose(found.train[::-1, column], plain.losses("train"), rtol=2e-3)
    assert found.diverged == 0
    again = teachers.train_in_n(student, x, y, [16, 24], test=test, batch=48, steps=40, seeds=[3, 7], rate=0.01)
    np.testing.assert_array_equal(again.test, found.test[::-1])


def test_a_diverged_run_is_a_result(pair):
    student, x, y, test = pair
    found = teachers.train_in_n(student, x, y, [16, 24], test=test, batch=48, steps=40, rate=1e4)
    assert found.diverged == 2
    assert np.isnan(found.test).all()
    assert math.isnan(teachers.exponent([1, 2, 4], [[np.nan, 0.5, 0.25]]).value)


def test_more_samples_than_there_are(pair):
    student, x, y, test = pair
    with pytest.raises(ValueError, match=r"`at` must lie between 1 and 48"):
        teachers.train_in_n(student, x, y, [64], test=test)
    with pytest.raises(ValueError, match=r"`filled`.*at least 64"):
        teachers.train_in_n(student, x, y, [16], test=test, filled=32)


def test_log_mean_leaves_out_what_is_not_there():
    found = teachers.log_mean([[1.0, np.nan, np.nan], [4.0, 3.0, np.nan]])
    np.testing.assert_allclose(found, [2, 3, np.nan])


def test_exponent_is_that_of_the_log_mean(rng):
    at = np.array([16.0, 32, 64, 128])
    trials = at ** -rng.normal(1.2, 0.2, (5, 1)) * rng.lognormal(0, 0.1, (5, 4))
    found = teachers.exponent(at, trials)
    assert found.value == pytest.approx(-log_slope(at, teachers.log_mean(trials)))
    each = [-log_slope(at, row) for row in trials]
    expected = stats.ttest_1samp(each, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    shuffled = teachers.exponent(at, trials[::-1])
    assert (shuffled.low, shuffled.high) == pytest.approx((found.low, found.high))
    assert math.isinf(teachers.exponent(at, trials[:1]).high)


def test_planted_slopes():
    d = np.array([2.0, 3, 4, 6])
    exact = teachers.dimension_slope(d, 4 / (1.2 * d + 1))
    assert (exact.low, exact.value, exact.high) == pytest.approx((1.2, 1.2, 1.2))
    spread = teachers.dimension_slope(d, [alpha * np.array([0.9, 1.0, 1.1]) for alpha in 4 / d])
    assert spread.value == pytest.approx(1)
    assert spread.low < 0.98
    assert spread.high > 1.02
    again = teachers.dimension_slope(d, [alpha * np.array([1.1, 0.9, 1.0]) for alpha in 4 / d])
    assert again.value == pytest.approx(spread.value)
    two = teachers.dimension_slope(d[:2], [[2.0, 2.2], [1.3, 1.4]])
    assert two.value == pytest.approx(4 / 1.35 - 4 / 2.1)
    assert two.low < two.value < two.high


def test_the_bootstrap_covers_the_slope():
    rng = np.random.default_rng(1)
    d = np.array([2.0, 3, 4, 6])
    inside = 0
    for repeat in range(150):
        alphas = [alpha * rng.normal(1, 0.08, 4) for alpha in 4 / d]
        inside += 1.0 in teachers.dimension_slope(d, alphas, draws=200, seed=repeat)
    assert inside >= 0.85 * 150  # few teachers and few dimensions: at least nearly the 95 % that are stated


@pytest.mark.parametrize(("dims", "alphas"), [([2], [1.0]), ([2, 2], [1.0, 2.0]), ([2, 3], [1.0])])
def test_slopes_need_two_dimensions(dims, alphas):
    with pytest.raises(ValueError, match="`dims` must be two different ones"):
        teachers.dimension_slope(dims, alphas)


def test_no_exponent_gives_no_slope():
    found = teachers.dimension_slope([2, 3], [[np.nan], [1.0]])
    assert math.isnan(found.value)
    assert teachers.within(found, 0, 1) is None


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0.8, 1.2, True), (0.5, 1.0, None), (1.5, 1.6, False), (0.1, 0.2, False)]
)
def test_within(low, high, expected):
    assert teachers.within(Estimate((low + high) / 2, low, high), 0.7, 1.4) is expected
