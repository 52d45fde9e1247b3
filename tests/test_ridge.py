import math

import numpy as np
import oracles
import pytest

from regimes import ridge


@pytest.fixture
def kernel_problem(rng):
    gram = oracles.sphere_gram("NTK", 120, 3, rng)
    return gram[:90, :90], gram[:90, 90:], rng.standard_normal((90, 3)), rng.standard_normal((30, 3))


@pytest.fixture
def feature_problem(rng):
    return (
        rng.standard_normal((80, 40)),
        rng.standard_normal((25, 40)),
        rng.standard_normal(80),
        rng.standard_normal(25),
    )


@pytest.mark.parametrize("regulariser", [1e-8, 0.1])
def test_loss_at_every_n_equals_refitting(kernel_problem, regulariser):
    gram, cross, y, y_test = kernel_problem
    losses = ridge.loss_in_n(gram, cross, y, y_test, ridge=regulariser)
    refits = [oracles.refit_in_n(gram, cross, y, y_test, regulariser, n) for n in range(1, 91)]
    assert losses == pytest.approx(refits, rel=1e-10)


def test_loss_at_every_k_equals_refitting(feature_problem):
    phi, phi_test, y, y_test = feature_problem
    losses = ridge.loss_in_k(phi, phi_test, y, y_test, ridge=0.3)
    refits = [oracles.refit_in_k(phi, phi_test, y[:, None], y_test[:, None], 0.3, k) for k in range(1, 41)]
    assert losses == pytest.approx(refits, rel=1e-10)


def test_chosen_sizes_equal_all_sizes(kernel_problem, feature_problem, monkeypatch):
    at = [1, 7, 8, 40]
    everything = ridge.loss_in_n(*kernel_problem)
    assert ridge.loss_in_n(*kernel_problem, at=at) == pytest.approx(everything[np.array(at) - 1], rel=1e-10)
    assert ridge.loss_in_k(*feature_problem, at=at) == pytest.approx(
        ridge.loss_in_k(*feature_problem)[np.array(at) - 1], rel=1e-10
    )
    monkeypatch.setattr(ridge, "_CHUNK", 500)  # many blocks
    assert ridge.loss_in_n(*kernel_problem) == pytest.approx(everything, rel=1e-12)


def test_ridgeless_kernel_regression_interpolates(rng):
    gram = oracles.sphere_gram("NTK", 50, 3, rng)
    y = rng.standard_normal(50)
    assert ridge.loss_in_n(gram, gram, y, y)[-1] < 1e-16


def test_loss_at_is_least_squares_below_and_minimum_norm_above_n_equal_k(rng):
    y, y_test = rng.standard_normal(30), rng.standard_normal(11)
    for k in (12, 70):
        phi, phi_test = rng.standard_normal((30, k)), rng.standard_normal((11, k))
        theta = np.linalg.lstsq(phi, y, rcond=None)[0]
        expected = np.mean((y_test - phi_test @ theta) ** 2)
        assert ridge.loss_at(phi, phi_test, y, y_test) == pytest.approx(expected, rel=1e-8)


def test_ridge_of_loss_at_multiplies_the_gram_matrix_on_both_sides(rng):
    y, y_test = rng.standard_normal(30), rng.standard_normal(11)
    for k in (12, 70):
        phi, phi_test = rng.standard_normal((30, k)), rng.standard_normal((11, k))
        expected = oracles.refit_in_n(phi @ phi.T / k, phi @ phi_test.T / k, y[:, None], y_test[:, None], 0.2, 30)
        assert ridge.loss_at(phi, phi_test, y, y_test, ridge=0.2) == pytest.approx(expected, rel=1e-9)


def test_limit_in_n_is_unbiased_for_gaussian_features(rng):
    # y = first feature + independent rest: the loss at infinite n is the variance of the rest.
    limits = []
    for _ in range(200):
        phi = rng.standard_normal((120, 30))
        limits.append(ridge.limit_in_n(phi, phi[:, 0] + 0.5 * rng.standard_normal(120)))
    stderr = np.std(limits, ddof=1) / math.sqrt(200)
    assert abs(np.mean(limits) - 0.25) < 3 * stderr
    assert stderr < 0.005  # small enough to tell 0.25 from the in-sample 0.1875 and the leave-one-out 0.34


def test_limit_in_n_on_some_rows_averages_to_that_on_all(rng):
    phi, y = rng.standard_normal((40, 5)), rng.standard_normal((40, 2))
    halves = [ridge.limit_in_n(phi, y, rows) for rows in (np.arange(20), np.arange(20, 40))]
    assert np.mean(halves) == pytest.approx(ridge.limit_in_n(phi, y), rel=1e-12)


def test_pivot_curve_is_the_measured_loss_of_the_kernels_own_prior(rng):
    n, at = 300, [40, 80, 150]
    curves, losses = [], []
    for seed in range(6):
        gram = oracles.sphere_gram("NTK", n + 200, 3, rng)
        curves.append(ridge.pivot_curve(gram, at, trials=2, seed=seed).loss)
        teacher = np.linalg.cholesky(gram + 1e-10 * np.eye(n + 200)) @ rng.standard_normal((n + 200, 64)) / 8
        losses.append(ridge.loss_in_n(gram[:n, :n], gram[:n, n:], teacher[:n], teacher[n:], at=at))
    ratio = np.array(curves) / np.array(losses)
    stderr = ratio.std(axis=0, ddof=1) / math.sqrt(6)
    assert np.all(np.abs(ratio.mean(axis=0) - 1) < 4 * stderr + 0.01)
    assert np.all(stderr < 0.05)


def test_feature_pivots_are_the_loss_of_a_new_feature_at_infinite_n(rng):
    # Features A psi with known covariance: the variance of one given k others follows from the population alone.
    eigenvalues = np.arange(1, 81.0) ** -1.5
    features, samples = 60, 20_000
    mixing = rng.standard_normal((features, 80)) * np.sqrt(eigenvalues)
    phi = rng.standard_normal((samples, 80)) @ mixing.T
    at = [5, 20, 45]
    found = ridge.feature_pivot_curve(phi, at, trials=40, seed=1)
    covariance = mixing @ mixing.T
    expected = []
    for k in at:
        draws = []
        for _ in range(200):
            order = rng.permutation(features)[: k + 1]
            block = covariance[np.ix_(order, order)]
            draws.append(1 / np.linalg.inv(block)[-1, -1])
        expected.append(np.mean(draws))
    assert found.along == "k"
    assert found.loss == pytest.approx(expected, rel=0.06)


def test_feature_pivots_have_the_share_of_fitted_features_divided_out(rng):
    # White features: no feature says anything about another, at any k.
    found = ridge.feature_pivot_curve(rng.standard_normal((400, 200)), [1, 50, 150], trials=4)
    assert found.loss == pytest.approx([1, 1, 1], rel=0.02)


def test_kappa_curve_lies_below_the_pivot_curve_as_harmonic_below_arithmetic_mean(rng):
    gram = oracles.sphere_gram("Laplace", 200, 2, rng)
    kappa = ridge.kappa_curve(gram, [20, 80, 150], trials=3, seed=0)
    pivots = ridge.pivot_curve(gram, [19, 79, 149], trials=3, seed=0)
    assert np.all(kappa.loss < pivots.loss)
    assert np.all(kappa.loss > 0.5 * pivots.loss)


def test_same_seed_same_curve(rng):
    gram = oracles.sphere_gram("NTK", 60, 3, rng)
    one, two, other = (ridge.pivot_curve(gram, [5, 20], trials=2, seed=seed).loss for seed in (3, 3, 4))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda g, c, y, t: ridge.loss_in_n(g[:80], c, y, t),
            r"`gram` must be a square Gram matrix, got shape \(80, 90\)",
        ),
        (lambda g, c, y, t: ridge.loss_in_n(g, c.T, y, t), r"`cross` must have shape \(90, 30\), got \(30, 90\)"),
        (lambda g, c, y, t: ridge.loss_in_n(g, c, y[:5], t), "`targets` must have one row per sample: expected 90"),
        (lambda g, c, y, t: ridge.loss_in_n(g, c, y, t[:, :1]), "`test_targets` must have 3 outputs"),
        (lambda g, c, y, t: ridge.loss_in_n(g * np.nan, c, y, t), "`gram` holds 8100 NaN"),
        (lambda g, c, y, t: ridge.loss_in_n(np.triu(g), c, y, t), r"`gram` must be symmetric, but \|K - K.T\| reaches"),
        (lambda g, c, y, t: ridge.loss_in_n(-g, c, y, t), "`gram` has 90 diagonal entries that are not positive"),
        (lambda g, c, y, t: ridge.loss_in_n(g, c, y, t, at=[0, 5]), "`at` must lie between 1 and 90, got 0"),
        (lambda g, c, y, t: ridge.loss_in_n(g, c, y, t, ridge=-1), "`ridge` must be finite and at least 0"),
        (lambda g, c, y, t: ridge.loss_in_k(c.T, c.T, y[:30], y[:30]), "must not have more columns than rows"),
        (lambda g, c, y, t: ridge.limit_in_n(c.T, t), "must have fewer columns than rows"),
        (lambda g, c, y, t: ridge.pivot_curve(g, [90]), "`at` must lie between 1 and 89, got 90"),
        (lambda g, c, y, t: ridge.pivot_curve(g, [5], trials=0), "`trials` must be at least 1, got 0"),
        (lambda g, c, y, t: ridge.feature_pivot_curve(c.T, [5]), "must have fewer columns than rows"),
    ],
)
def test_bad_input_gets_a_sentence(kernel_problem, call, message):
    with pytest.raises(ValueError, match=message):
        call(*kernel_problem)
