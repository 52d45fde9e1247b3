import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regimes import asymptotics, dynamics, equivalents, frontiers, optima, spectra

INF = math.inf


def law(alpha, beta=None):
    return spectra.power_law(alpha, beta, modes=10**10)


def slope(at, values):
    return np.diff(np.log(values)) / np.diff(np.log(at))


# Ridge


def test_the_best_ridge_of_a_prior_target_is_the_noise():
    # The posterior mean is the best estimate there is: with infinitely many features ridge = noise, exactly.
    n, noise = np.array([3.0, 50.0, 1000.0]), np.array([1e-3, 0.1, 1.0, 1e4, 1e6])[:, None]
    for spectrum in (spectra.power_law(0.5), spectra.power_law(1.3), spectra.white(40)):
        best = optima.optimal_ridge(spectrum, n, INF, noise)
        assert best.at.shape == (5, 3)
        # A minimum is flat: where the ridge changes little of the loss it is found to fewer digits.
        assert best.at[1:3] / noise[1:3] == pytest.approx(np.ones((2, 3)), rel=1e-5)
        assert best.at[[0, 3]] / noise[[0, 3]] == pytest.approx(np.ones((2, 3)), rel=0.05)
        assert best.loss == pytest.approx(equivalents.loss(spectrum, n, INF, noise, noise), rel=1e-11)
        assert (best.loss < best.without).all()
        assert not best.interpolates.any()


@pytest.mark.parametrize("beta", [0.3, 0.5, 0.8, 1.2, 2.0])
def test_zero_ridge_is_best_exactly_where_the_closed_form_says(beta):
    spectrum, n = law(0.5, beta), 1e5
    share = equivalents.solve(spectrum, n).gamma
    bias = float(((share / (spectrum.eigenvalues + share)) ** 2 @ spectrum.power) + spectrum.tail_power)
    threshold = bias * max(beta / 0.5 - 1, 0)
    noise = np.array([0.0, 0.9 * threshold, 1.1 * threshold, 3 * threshold, bias])
    best = optima.optimal_ridge(spectrum, n, INF, noise)
    if beta == 0.5:  # on the threshold itself
        noise, best = noise[-1:], optima.optimal_ridge(spectrum, n, INF, noise[-1:])
    expected = [asymptotics.interpolation_is_optimal(0.5, beta, noise=float(s), bias=bias) for s in noise]
    assert best.interpolates.tolist() == expected
    assert best.loss[best.interpolates] == pytest.approx(best.without[best.interpolates], rel=1e-15)


@pytest.mark.parametrize("beta", [0.3, 0.5, 1.2, 4.0])
@pytest.mark.parametrize("noise", [0.0, 0.05, 2.0])
def test_at_the_best_ridge_the_loss_never_increases_with_n_or_k(beta, noise):
    spectrum = spectra.power_law(0.5, beta)
    sizes = np.sort(np.concatenate([np.geomspace(2, 400, 24), [50.0, 99, 100, 101]]))
    loss = optima.optimal_ridge(spectrum, sizes[:, None], sizes, noise).loss
    assert (np.diff(loss, axis=0) <= 1e-12 * loss[1:]).all()
    assert (np.diff(loss, axis=1) <= 1e-12 * loss[:, 1:]).all()
    ridgeless = equivalents.loss(spectrum, sizes[:, None], sizes, 0, noise)
    assert (np.diff(ridgeless, axis=0) > 0).any()  # as without ridge it does


@pytest.mark.parametrize("beta", [0.3, 0.5, 1.2, 4.0])
def test_the_best_ridge_against_a_scan(beta):
    spectrum = spectra.power_law(0.5, beta)
    points = [(30, 20, 0.0), (30, 30, 0.1), (20, 300, 0.5), (200, INF, 0.01), (50, 49, 0.0), (5, 5, 10.0)]
    ridges = np.concatenate([[0.0], np.geomspace(1e-6, 1e4, 2000)])
    best = optima.optimal_ridge(spectrum, *np.array(points).T)
    for row, (n, k, noise) in enumerate(points):
        scan = equivalents.loss(spectrum, n, k, ridges, noise)
        assert best.loss[row] <= scan.min() * (1 + 1e-12)
        assert best.loss[row] == pytest.approx(scan.min(), rel=1e-4)
        assert best.without[row] == pytest.approx(scan[0], rel=1e-12)
        assert best.loss[row] == pytest.approx(equivalents.loss(spectrum, n, k, best.at[row], noise), rel=1e-12)
        if 0 < scan.argmin() < 2000:
            assert best.at[row] == pytest.approx(ridges[scan.argmin()], rel=0.02)


@settings(max_examples=15)
@given(n=st.floats(1, 300), k=st.floats(1, 300), noise=st.floats(0, 3), ridge=st.floats(1e-6, 1e3))
def test_no_ridge_is_better_than_the_best(n, k, noise, ridge):
    spectrum = spectra.power_law(0.5, 1.2)
    best = optima.optimal_ridge(spectrum, n, k, noise)
    assert best.loss <= equivalents.loss(spectrum, n, k, ridge, noise) * (1 + 1e-12)
    assert best.loss <= best.without


def test_the_best_ridge_with_more_samples_or_features_than_modes():
    sizes = np.array([1.0, 2, 3, 5])
    best = optima.optimal_ridge(spectra.listed([1.0, 0.5, 0.2]), sizes, sizes[:, None])
    assert np.isfinite(best.loss).all()
    assert (best.loss[2:, 2:] == 0).all()
    assert best.interpolates[2:, 2:].all()


# Time


def test_early_stopping_does_not_help_a_noiseless_prior_target():
    best = optima.optimal_time(spectra.power_law(0.5), np.array([10.0, 100.0]))
    assert np.isinf(best.at).all()
    assert best.interpolates.all()
    assert best.loss == pytest.approx(best.without, rel=1e-15)
    # It helps with noise, with few features, and a target rougher than the kernel; never where data are unlimited.
    for found in (
        optima.optimal_time(spectra.power_law(0.5), 100, INF, 0.1),
        optima.optimal_time(spectra.power_law(0.5), 100, 50),
        optima.optimal_time(spectra.power_law(0.5, 0.2), 100),
    ):
        assert np.isfinite(found.at)
        assert found.loss < found.without
    assert np.isinf(optima.optimal_time(spectra.power_law(0.5, 0.2), INF, 50, 0.3).at)


@pytest.mark.parametrize("beta", [0.3, 1.2, 4.0])
def test_the_best_time_against_a_scan(beta):
    spectrum = spectra.power_law(0.5, beta, modes=1000)
    points = [(30, 20, 0.0), (30, 30, 0.1), (20, 300, 0.5), (200, INF, 0.01), (50, 49, 0.0)]
    times = np.concatenate([np.geomspace(1e-2, 1e7, 500), [INF]])
    best = optima.optimal_time(spectrum, *np.array(points).T)
    for row, (n, k, noise) in enumerate(points):
        scan = dynamics.gradient_flow(spectrum, times, n, k, 0, noise)
        assert best.loss[row] <= scan.min() * (1 + 1e-10)
        assert best.loss[row] == pytest.approx(scan.min(), rel=1e-3)
        if scan.argmin() < 499:
            assert best.at[row] == pytest.approx(times[scan.argmin()], rel=0.1)
        assert best.without[row] == pytest.approx(scan[-1], rel=1e-12)


def test_the_best_time_lies_in_the_deeper_of_two_minima():
    # A strong level, and many weak ones near n = k: their noise is learnt late, and after it the target's rest.
    spectrum = spectra.listed(np.repeat([1.0, 1e-4], [5, 60]), np.repeat([1.0, 0.5], [5, 60]))
    times = np.geomspace(1e-2, 1e9, 1500)
    scan = dynamics.gradient_flow(spectrum, times, 400, INF, 0, 40.0)
    local = np.flatnonzero((scan[1:-1] < scan[:-2]) & (scan[1:-1] < scan[2:]))
    assert len(local) >= 2
    assert optima.optimal_time(spectrum, 400, INF, 40.0).loss <= scan.min() * (1 + 1e-10)


def test_the_flow_beats_the_best_ridge_on_smooth_targets():
    # Ridge saturates at 2(1+alpha): its rate there is 3/4 of the noise's, the flow's 6/7.
    spectrum, n = law(0.5, 6.0), np.array([1e4, 1e5])
    flow, ridge = (
        function(spectrum, n, INF, 0.1).loss - 0.1 for function in (optima.optimal_time, optima.optimal_ridge)
    )
    assert (flow < 0.5 * ridge).all()
    assert -slope(n, ridge) == pytest.approx(3 / 4, abs=0.02)
    assert -slope(n, flow) == pytest.approx(6 / 7, abs=0.02)


# Width


@pytest.mark.parametrize(
    ("alpha", "beta", "independent"),
    [
        (0.5, 1.0, 0.505),
        (1.0, 3.0, 0.488),
        pytest.param(0.5, 0.5, 0.670, marks=pytest.mark.slow),
        pytest.param(0.5, 2.2, 0.518, marks=pytest.mark.slow),
    ],
)
def test_smallest_width_grows_as_derived(alpha, beta, independent):
    # `independent`: slope from 1e5 to 1e6 samples by a script with other quadrature, minimiser and bisection.
    n = np.array([1e5, 1e6])
    width = optima.smallest_width(law(alpha, beta), n, 1.0)
    limit = 1 / (1 + beta) if beta <= 1 + alpha else (beta - alpha) / (1 + beta)
    assert slope(n, width)[0] == pytest.approx(independent, abs=0.002)
    assert slope(n, width)[0] == pytest.approx(limit, abs=0.015)


@pytest.mark.parametrize("tolerance", [0.2, pytest.param(1.0, marks=pytest.mark.slow)])
def test_smallest_width_meets_its_tolerance(tolerance):
    spectrum, noise = spectra.power_law(0.5, 1.2), np.array([[0.01], [1.0]])
    n = np.array([20.0, 300.0])
    width = optima.smallest_width(spectrum, n, noise, tolerance=tolerance)
    assert width.shape == (2, 2)
    there, limit = (optima.optimal_ridge(spectrum, n, k, noise).loss - noise for k in (width, INF))
    assert there / limit == pytest.approx(np.full((2, 2), 1 + tolerance), rel=1e-5)


def test_one_feature_is_enough_where_nothing_can_be_learnt():
    assert optima.smallest_width(spectra.power_law(0.5), 2, 1e3) == 1


def test_smallest_width_with_little_noise_on_a_smooth_target_is_far_beyond_n():
    # Without noise the excess of the limit is n B1/k with B1 ~ n^-1.5, the limit ~ n^-3: k ~ n^2.5.
    spectrum, n, noise = law(0.5, 4.0), 1e3, 1e-9
    width = optima.smallest_width(spectrum, n, noise)
    there, limit = (optima.optimal_ridge(spectrum, n, k, noise).loss - noise for k in (width, INF))
    assert width > 1e4 * n
    assert there / limit == pytest.approx(1.2, rel=1e-5)


# Compute


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (1.0, 1.2), (0.5, 2.2), (0.5, 4.0)])
def test_frontier_of_width_and_time(alpha, beta):
    found = optima.compute_frontier(law(alpha, beta), [1e10, 1e11, 1e12])
    phase = frontiers.compute_phase(alpha, beta)
    assert found.width_exponent == pytest.approx(phase.width, abs=0.003)
    assert found.exponent == pytest.approx(phase.loss, abs=0.003)
    assert found.k * found.other == pytest.approx(found.compute, rel=1e-12)
    around = found.k * np.array([[0.9], [1.0], [1.1]])
    loss = dynamics.gradient_flow(law(alpha, beta), found.compute / around, INF, around)
    assert loss[1] == pytest.approx(found.loss, rel=1e-10)
    assert (loss[1] < loss[0]).all()
    assert (loss[1] < loss[2]).all()


@pytest.mark.parametrize(
    ("beta", "noise", "away"),
    [
        (0.5, 0.0, 0.001),
        (0.5, 1.0, 0.02),
        pytest.param(1.0, 0.0, 0.01, marks=pytest.mark.slow),
        pytest.param(2.2, 0.0, 0.02, marks=pytest.mark.slow),
        pytest.param(1.0, 1.0, 0.02, marks=pytest.mark.slow),
    ],
)
def test_frontier_of_width_and_data(beta, noise, away):
    spectrum = spectra.power_law(0.5, beta, modes=10**8)
    found = optima.compute_frontier(spectrum, [1e7, 1e7 * 10**0.5, 1e8], cost="k*n", noise=noise)
    phase = frontiers.compute_phase(0.5, beta, method="ridge", noise=noise)
    assert found.width_exponent == pytest.approx(phase.width, abs=away)
    assert found.exponent == pytest.approx(phase.loss, abs=away)
    assert found.k * found.other == pytest.approx(found.compute, rel=1e-12)


def test_for_a_noiseless_prior_data_and_width_grow_together():
    # L(n, k) = L(k, n) at the best ridge: the minimum at a given product is where they are equal.
    compute = np.array([100.0, 777.0, 1e4, 31622.8, 1e5])
    found = optima.compute_frontier(spectra.power_law(0.5, modes=3000), compute, cost="k*n")
    assert found.k == pytest.approx(np.sqrt(compute), rel=1e-6)
    assert found.other == pytest.approx(np.sqrt(compute), rel=1e-6)


def test_tiny_budgets_buy_one_feature_at_the_least():
    for cost in ("k*time", "k*n"):
        found = optima.compute_frontier(spectra.power_law(0.5), 0.1, cost=cost, noise=0.5)
        assert (found.k >= 1).all()
        assert np.isfinite(found.loss).all()
        assert found.loss.shape == (1,)


S = spectra.power_law(0.5, modes=100)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optima.optimal_ridge(S, INF), "`n` must be finite: with infinite data"),
        (lambda: optima.optimal_ridge(S, 0), "`n` must be positive, got 0"),
        (lambda: optima.optimal_ridge(S, math.nan), "`n` must not be NaN"),
        (lambda: optima.optimal_ridge(S, 5, -1), "`k` must be positive"),
        (lambda: optima.optimal_ridge(S, 5, 5, -0.1), "`noise` must be finite and not negative"),
        (lambda: optima.optimal_time(S, 0), "`n` must be positive, got 0"),
        (lambda: optima.optimal_time(S, 5, 5, -0.1), "`noise` must be finite and not negative"),
        (lambda: optima.smallest_width(S, INF, 1.0), "`n` must be finite"),
        (lambda: optima.smallest_width(S, -1, 1.0), "`n` must be positive"),
        (lambda: optima.smallest_width(S, 5, 0.0), "`noise` must be positive"),
        (lambda: optima.smallest_width(S, 5, -1.0), "`noise` must be finite and not negative"),
        (lambda: optima.smallest_width(S, 5, 1.0, tolerance=0.0), "`tolerance` must be finite and more than 0"),
        (lambda: optima.compute_frontier(S, [10.0, -1.0]), "`compute` must be positive, got -1"),
        (lambda: optima.compute_frontier(S, [10.0, INF]), "`compute` holds 1 NaN or infinite"),
        (lambda: optima.compute_frontier(S, [10.0], cost="k+n"), r"`cost` must be one of k\*time, k\*n; got 'k\+n'"),
        (lambda: optima.compute_frontier(S, [10.0], noise=-1.0), "`noise` must be finite and at least 0"),
    ],
)
def test_bad_input_gets_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("noise", [1e2, 1e6])
def test_training_never_makes_the_best_time_worse_than_none(noise):
    spectrum = spectra.power_law(0.5, 1.2)
    found = optima.optimal_time(spectrum, 10, noise=noise)
    scan = dynamics.gradient_flow(spectrum, np.geomspace(1e-12, 1e3, 400), 10, noise=noise)
    assert found.loss <= min(scan.min(), spectrum.total_power + noise) * (1 + 1e-12)


def test_without_any_power_it_is_best_not_to_train():
    assert optima.optimal_time(spectra.white(20, 0.0), 10, noise=1.0).at == 0
