import math

import numpy as np
import oracles
import pytest

from regimes import factor, ridge


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


@pytest.mark.parametrize("regulariser", [0.0, 1e-6, 0.2])
def test_loss_from_training_is_the_error_at_the_sample_left_out(kernel_problem, regulariser):
    gram, _, y, _ = kernel_problem
    at = [1, 2, 30, 89]
    curve = ridge.loss_from_training(gram, y, at, ridge=regulariser, trials=2, seed=3)
    rng = np.random.default_rng(3)
    for row in curve.trials:
        order = rng.permutation(90)
        for index, n in enumerate(at):
            some = order[: n + 1]  # leaving one out leaves n
            errors = oracles.leave_one_out_refits(gram[np.ix_(some, some)], y[some], regulariser)
            assert row[index] == pytest.approx(errors.mean(), rel=1e-10)
    assert curve.along == "n"
    assert curve.loss == pytest.approx(curve.trials.mean(axis=0))
    assert curve.trials[0, -1] == pytest.approx(curve.trials[1, -1], rel=1e-11)  # the same 90 samples


def test_cross_validation_from_training_is_the_printed_formula(kernel_problem):
    gram, _, y, _ = kernel_problem
    at = [2, 30, 90]
    curve = ridge.loss_from_training(gram, y, at, ridge=0.2, method="gcv", trials=2, seed=3)
    rng = np.random.default_rng(3)
    for row in curve.trials:
        order = rng.permutation(90)
        expected = [
            oracles.generalised_cross_validation(gram[np.ix_(order[:n], order[:n])], y[order[:n]], 0.2) for n in at
        ]
        assert row == pytest.approx(expected, rel=1e-9)


def test_loss_from_training_at_all_sizes_by_default(kernel_problem):
    gram, _, y, _ = kernel_problem
    for method, sizes in (("leave_one_out", np.arange(1, 90)), ("gcv", np.arange(2, 91))):
        curve = ridge.loss_from_training(gram, y, method=method, trials=1)
        assert np.array_equal(curve.at, sizes)
        some = ridge.loss_from_training(gram, y, sizes[[4, 50, 88]], method=method, trials=1)
        assert some.loss == pytest.approx(curve.loss[[4, 50, 88]], rel=1e-10)


@pytest.mark.parametrize("regulariser", [1e-3, 2.0])
def test_leave_one_out_is_the_one_of_scikit_learn(rng, regulariser):
    from sklearn.linear_model import RidgeCV

    phi, y = rng.standard_normal((50, 80)), rng.standard_normal((50, 2))
    model = RidgeCV([regulariser], fit_intercept=False, store_cv_results=True).fit(phi, y)
    expected = model.cv_results_[:, :, 0].sum(axis=1)
    curve = ridge.loss_from_training(phi @ phi.T, y, [49], ridge=regulariser, trials=1)
    assert curve.loss[0] == pytest.approx(expected.mean(), rel=1e-9)
    assert curve.stderr[0] == pytest.approx(expected.std() / math.sqrt(50), rel=1e-9)


def planted(rng, samples, exponent, noise, outputs=1):
    """Gaussian samples with eigenvalues i^-exponent, and targets of weight 1 on each mode."""
    x = rng.standard_normal((samples, 500)) * np.arange(1, 501.0) ** (-exponent / 2)
    weights = np.random.default_rng(7).choice([-1, 1], (500, outputs))
    return x, x @ weights + math.sqrt(noise) * rng.standard_normal((samples, outputs))


@pytest.mark.parametrize(("regulariser", "noise"), [(0.0, 0.0), (0.0, 0.2), (0.5, 0.2)])
def test_loss_from_training_is_the_loss_on_a_test_set(rng, regulariser, noise):
    at, draws = [20, 80, 199], 40
    measured, found = [], {"leave_one_out": [], "gcv": []}
    for seed in range(draws):
        x, y = planted(rng, 1000, 1.5, noise, outputs=16)
        gram, cross = x[:200] @ x[:200].T, x[:200] @ x[200:].T
        measured.append(ridge.loss_in_n(gram, cross, y[:200], y[200:], ridge=regulariser, at=at))
        for method, rows in found.items():
            curve = ridge.loss_from_training(gram, y[:200], at, ridge=regulariser, method=method, trials=2, seed=seed)
            rows.append(curve.loss)
    for method, rows in found.items():
        gap, mean = np.array(rows) - measured, np.mean(measured, axis=0)
        stderr = gap.std(axis=0, ddof=1) / math.sqrt(draws)
        # Leave-one-out has no bias; that of cross-validation falls like 1/n.
        bias = mean / at if method == "gcv" else 0.0
        assert np.all(np.abs(gap.mean(axis=0)) < 3 * stderr + bias)
        assert np.all(stderr < 0.03 * mean)


def test_sizes_count_training_samples_and_not_those_left_out(rng):
    # Two samples: the one fits the other with coefficient K_12/(K_11 + ridge).
    gram, y = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([1.0, 3.0])
    expected = ((1 - 0.5 * 3 / 1.25) ** 2 + (3 - 0.5 * 1 / 2.25) ** 2) / 2
    assert ridge.loss_from_training(gram, y, [1], ridge=0.25, trials=1).loss[0] == pytest.approx(expected, rel=1e-13)


def test_error_of_the_loss_from_training_is_the_spread_over_samples(rng):
    at, losses, stated, orders = [25, 50, 99], [], [], []
    for seed in range(300):
        x, y = planted(rng, 100, 1.5, 0.3)
        curve = ridge.loss_from_training(x @ x.T, y, at, ridge=0.5, trials=4, seed=seed)
        losses.append(curve.loss)
        stated.append(curve.stderr**2)
        orders.append(curve.trials.var(axis=0, ddof=1) / 4)
    spread = np.std(losses, axis=0, ddof=1)
    ratio = np.sqrt(np.mean(stated, axis=0)) / spread
    assert np.all((ratio > 0.85) & (ratio < 1.25))
    # The orders alone say too little, the less the more samples they share, and nothing once they share all.
    alone = np.sqrt(np.mean(orders, axis=0)) / spread
    assert 0.65 < alone[0] < 0.95
    assert 0.35 < alone[1] < 0.75
    assert alone[2] < 1e-6


def test_one_order_still_has_an_error(rng):
    x, y = planted(rng, 60, 1.5, 0.0)
    curve = ridge.loss_from_training(x @ x.T, y, [10, 40], trials=1, seed=5)
    order = np.random.default_rng(5).permutation(60)[:11]
    errors = oracles.leave_one_out_refits((x @ x.T)[np.ix_(order, order)], y[order], 0.0)
    assert curve.stderr[0] == pytest.approx(errors.std() / math.sqrt(11), rel=1e-8)


def matern(points, length):
    """Matern kernel of smoothness 3/2, whose small eigenvalues are known to fall like i^-4 over length^3."""
    r = np.sqrt(3) * np.abs(points[:, None] - points) / length
    return (1 + r) * np.exp(-r)


def test_without_ridge_what_is_not_refused_is_the_loss_of_the_matrix(rng):
    x = rng.uniform(size=40)
    y = np.sin(7 * x) + 0.3 * rng.standard_normal(40)
    error, moved = [], []
    for length in (1, 5, 8, 40):
        gram = matern(x, length)
        jitter = factor.cholesky(gram).jitter
        exact = oracles.exact_leave_one_out(gram, y)
        lowers = [factor.cholesky(gram, c * jitter).lower for c in (1, 10)]
        less, more = (factor.training_losses(low, y[:, None], [40], ridge=0.0).leave_one_out[0] for low in lowers)
        error.append(abs(less / exact - 1))
        moved.append(abs(more / less - 1))
        if length < 40:
            assert ridge.loss_from_training(gram, y, [39], trials=1).loss[0] == pytest.approx(exact, rel=0.01)
    assert moved[2] > 0.3 * ridge.ROUNDING  # near the edge
    assert error[3] > 0.05
    with pytest.raises(ValueError, match="nearly singular"):
        ridge.loss_from_training(gram, y, [39], trials=1)


def test_a_nearly_singular_matrix_is_refused_with_advice_that_holds(rng):
    x = rng.uniform(size=40)
    y = np.sin(7 * x)
    gram = matern(x, 1e3)
    with pytest.raises(ValueError, match="`gram` is nearly singular: from n = ") as info:
        ridge.loss_from_training(gram, y, trials=1)
    words = str(info.value)
    fine = int(words.split("sizes up to ")[1].split()[0])
    assert 2 <= fine < 39
    ridge.loss_from_training(gram, y, np.arange(1, fine + 1), trials=1)
    advised = float(words.split("at least ")[1].rstrip("."))
    found = ridge.loss_from_training(gram, y, [39], ridge=advised, trials=1).loss[0]
    assert found == pytest.approx(oracles.exact_leave_one_out(gram, y, advised), rel=2e-3)
    with pytest.raises(ValueError, match="no size asked for is fine"):
        ridge.loss_from_training(gram, y, [39], ridge=1e-17, method="gcv", trials=1)


def test_few_features_without_ridge_are_refused_well_beyond_as_many_samples(rng):
    phi = rng.standard_normal((60, 40))
    y = rng.standard_normal(60)
    with pytest.raises(ValueError, match="nearly singular"):
        ridge.loss_from_training(phi @ phi.T, y, [59], trials=1)
    # Just beyond, least squares: the residual over 1 - leverage.
    phi, y = phi[:41], y[:41]
    basis = np.linalg.qr(phi)[0]
    expected = np.mean(((y - basis @ (basis.T @ y)) / (1 - np.sum(basis**2, axis=1))) ** 2)
    assert ridge.loss_from_training(phi @ phi.T, y, [40], trials=1).loss[0] == pytest.approx(expected, rel=0.01)


def test_a_target_without_error_is_not_taken_for_rounding(rng):
    phi = rng.standard_normal((41, 40))
    for target in (phi[:, 0], np.zeros(41)):
        assert ridge.loss_from_training(phi @ phi.T, target, [40], trials=1).loss[0] < 1e-12


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
        (lambda g, c, y, t: ridge.loss_from_training(g, y, [90]), "`at` must lie between 1 and 89, got 90"),
        (lambda g, c, y, t: ridge.loss_from_training(g, y, [1], method="gcv"), "`at` must lie between 2 and 90, got 1"),
        (lambda g, c, y, t: ridge.loss_from_training(g, y[:5]), "`targets` must have one row per sample: expected 90"),
        (lambda g, c, y, t: ridge.loss_from_training(g, y * np.nan), "`targets` holds 270 NaN"),
        (lambda g, c, y, t: ridge.loss_from_training(c, y), "`gram` must be a square Gram matrix"),
        (lambda g, c, y, t: ridge.loss_from_training(g, y, ridge=-1.0), "`ridge` must be finite and at least 0"),
        (lambda g, c, y, t: ridge.loss_from_training(g, y, method="loo"), "`method` must be one of leave_one_out, gcv"),
        (lambda g, c, y, t: ridge.loss_from_training(g, y, trials=0), "`trials` must be at least 1, got 0"),
        (lambda g, c, y, t: ridge.loss_from_training(g[:1, :1], y[:1]), "`gram` must hold at least 2 samples, got 1"),
        (lambda g, c, y, t: ridge.feature_pivot_curve(c.T, [5]), "must have fewer columns than rows"),
    ],
)
def test_bad_input_gets_a_sentence(kernel_problem, call, message):
    with pytest.raises(ValueError, match=message):
        call(*kernel_problem)


def test_nothing_is_left_from_the_rank_of_the_kernel_on(rng):
    features = rng.standard_normal((60, 20))
    curve = ridge.pivot_curve(features @ features.T, [10, 19, 21, 40])
    assert np.all(curve.loss[:2] > 0.1)
    assert curve.loss[2:].tolist() == [0, 0]
