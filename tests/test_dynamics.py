import math
import tracemalloc

import mpmath
import numpy as np
import oracles_dynamics as oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regimes import dynamics, equivalents, spectra
from regimes.dynamics import gradient_descent, gradient_flow, largest_eigenvalue, one_pass_sgd, stable_rate
from regimes.spectrum import Spectrum

INF = math.inf


def law(beta, alpha=0.5, modes=1000, tail=False):
    return spectra.power_law(alpha, beta, modes=modes, tail=tail)


def white(modes):
    return Spectrum(np.ones(1), np.array([float(modes)]), np.array([float(modes)]))


# Computed by an independent script, from bias and variance with the contours kept apart by derivatives on the diagonal.
GOLDEN = [
    (0.5, (50, 200, 0, 0), [1.4110989, 0.72273559, 0.5210239, 0.56042218]),
    (1.2, (200, 50, 0, 0.1), [0.59699347, 0.22416441, 0.18097388, 0.20338564]),
]


@pytest.mark.parametrize(("beta", "arguments", "expected"), GOLDEN)
def test_golden_losses_in_time(beta, arguments, expected):
    assert gradient_flow(law(beta), [1, 10, 100, 1000], *arguments) == pytest.approx(expected, abs=0.51e-8)


SMALL = law(0.7, modes=40)


@pytest.mark.parametrize(
    ("n", "k", "time", "noise", "decay"),
    [(10, 25, 3.0, 0.2, 0.0), (25, 10, 30.0, 0.1, 0.01), (20, 20, 100.0, 0.0, 0.0), (60, 50, 20.0, 0.1, 0.1)],
)
def test_flow_equals_the_double_integral_in_thirty_digits(n, k, time, noise, decay):
    for train in (False, True):
        expected = oracles.flow_loss(SMALL.eigenvalues, SMALL.power, time, (n, k), noise, decay, train)
        found = gradient_flow(SMALL, time, n, k, decay * n, noise, train=train)
        assert found == pytest.approx(expected, rel=5e-12)


def test_stacked_layers_equal_the_double_integral_in_thirty_digits():
    expected = oracles.flow_loss(SMALL.eigenvalues, SMALL.power, 20.0, (20, 30, 25), 0.1)
    assert gradient_flow(SMALL, 20.0, 20, 30, 0, 0.1, stack=[25]) == pytest.approx(expected, rel=5e-12)


@pytest.mark.parametrize(
    ("n", "k", "time", "noise"), [(10, 25, 3.0, 0.2), (25, 10, 300.0, 0.1), (20, 20, 40.0, 0.0), (15, 60, 100.0, 0.3)]
)
def test_flow_equals_bias_plus_variance_as_derived_given_the_features(n, k, time, noise):
    expected = oracles.flow_loss_of_parts(SMALL.eigenvalues, SMALL.power, time, n, k, noise)
    assert gradient_flow(SMALL, time, n, k, 0, noise) == pytest.approx(expected, rel=5e-12)


@pytest.mark.parametrize(("k", "time"), [(10, 3.0), (10, 300.0), (60, 100.0)])
def test_infinitely_many_samples_need_one_resolvent(k, time):
    expected = oracles.projected_flow_loss(SMALL.eigenvalues, SMALL.power, time, k)
    assert gradient_flow(SMALL, time, INF, k) == pytest.approx(expected, rel=5e-12)


@pytest.mark.parametrize("tail", [False, True])
def test_infinite_sizes_decay_mode_by_mode(tail):
    spectrum, times = law(0.7, modes=300, tail=tail), np.geomspace(1e-3, 1e5, 17)
    expected = np.exp(-2 * np.outer(times, spectrum.eigenvalues)) @ spectrum.power + spectrum.tail_power + 0.2
    assert gradient_flow(spectrum, times, noise=0.2) == pytest.approx(expected, rel=3e-12)


def test_the_prior_is_dual_at_every_time():
    times = np.geomspace(1e-3, 1e7, 21)
    for ridge in (0.0, 0.3, 30.0):
        here = gradient_flow(law(0.5), times, 60, 140, ridge / 140)
        assert here == pytest.approx(gradient_flow(law(0.5), times, 140, 60, ridge / 60), rel=1e-11)
    other = gradient_flow(law(1.2), [1e3, 1e5], 60, 140) / gradient_flow(law(1.2), [1e3, 1e5], 140, 60)
    assert np.abs(other - 1).min() > 0.1


SIZES = [(20, 30, 0), (30, 20, 0), (INF, 20, 0), (20, INF, 0), (INF, INF, 0), (60, 50, 0), (20, 60, 0), (60, 20, 0)]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("stack", [(), (25,), (100, INF)])
@pytest.mark.parametrize("tail", [False, True])
@pytest.mark.parametrize("arguments", [*SIZES, (20, 20, 0.1), (20, 30, 2.0), (30, 30, 1e-6)])
def test_late_times_reach_the_loss_of_the_trained_model(arguments, tail, stack, train):
    spectrum = law(0.7, modes=40, tail=tail)
    for noise in (0.0, 0.1):
        expected = equivalents.loss(spectrum, *arguments, noise, stack=stack, train=train)
        for time in (1e20, 1e149, INF):
            found = gradient_flow(spectrum, time, *arguments, noise, stack=stack, train=train)
            assert found == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("train", [False, True])
def test_nothing_is_learnt_at_time_zero_nor_long_before_the_first_mode(train):
    found = gradient_flow(SMALL, [0, 1e-320, 1e-200, 1e-149, 1e-100, 1e-16], 20, 30, 0.1, 0.3, train=train)
    assert found == pytest.approx(np.full(6, SMALL.total_power + 0.3), rel=3e-12)
    assert gradient_descent(SMALL, 0, 1.0, 20, 30, 0.3, train=train) == SMALL.total_power + 0.3


def test_at_n_equal_k_the_loss_grows_for_ever():
    times = np.array([1e10, 1e20, 1e100])
    found = gradient_flow(SMALL, times, 20, 20, 0, 0.1)
    assert np.diff(np.log(found)) / np.diff(np.log(times)) == pytest.approx([0.5, 0.5], abs=0.02)
    assert gradient_flow(SMALL, INF, 20, 20, 0, 0.1) == INF


# Matrices

TIMES, RIDGES, NOISE = (1.0, 10.0, 100.0, 1000.0), (0.0, 3.0), 0.1


@pytest.mark.parametrize(("n", "k"), [(100, 160), (160, 100), (120, 120), (120, INF)])
def test_flow_and_descent_agree_with_monte_carlo_of_gaussian_random_features(n, k, rng):
    spectrum = law(1.2, modes=300)
    flows = [(time, ridge) for ridge in RIDGES for time in TIMES]
    # Two steps close to the edge of stability amplify how much the largest eigenvalue varies from draw to draw.
    descents = [(1, 1.0), (2, 1.8 / float(largest_eigenvalue(spectrum, n, k))), (30, 1.2), (300, 0.8)]
    draws = []
    for _ in range(30):
        losses, values = oracles.trained(spectrum.eigenvalues, spectrum.power, n, k, rng)
        filters = [oracles.flow_filter(values, time, ridge / n) for time, ridge in flows]
        filters += [oracles.descent_filter(values, steps, rate) for steps, rate in descents]
        draws.append([losses(g, NOISE) for g in filters])
    predicted = np.array(
        [[gradient_flow(spectrum, t, n, k, ridge, NOISE, train=train) for train in (False, True)] for t, ridge in flows]
        + [[gradient_descent(spectrum, s, q, n, k, NOISE, train=train) for train in (False, True)] for s, q in descents]
    )
    stderr = np.std(draws, axis=0, ddof=1) / math.sqrt(len(draws))
    # Three standard errors, plus the 1/n corrections that the large-size formula leaves out.
    assert np.all(np.abs(np.mean(draws, axis=0) - predicted) < 3 * stderr + predicted / min(n, k))
    assert np.median(stderr / predicted) < 0.01


def test_label_noise_makes_the_loss_fall_rise_and_fall_again(rng):
    # The fast modes learn their signal, then fit noise and what the slow modes will only explain much later.
    spectrum = Spectrum(np.array([1.0, 0.001]), np.array([100.0, 40.0]), np.array([100.0, 20.0]))
    modes = np.repeat(spectrum.eigenvalues, [100, 20])
    power = np.repeat(spectrum.power / spectrum.multiplicity, [100, 20])
    times, n, noise = np.geomspace(0.1, 1e6, 57), 160, 1.0
    predicted = gradient_flow(spectrum, times, n, INF, 0, noise)
    falls = np.diff(predicted) < -1e-9
    turns = np.flatnonzero(np.diff(falls))
    assert falls[0]
    assert len(turns) >= 2
    assert predicted[turns[0] + 1] * 1.2 < predicted[turns[1] + 1] > 2 * predicted[-1]
    draws = []
    for _ in range(100):
        losses, values = oracles.trained(modes, power, n, INF, rng)
        draws.append([losses(oracles.flow_filter(values, time), noise)[0] for time in times])
    stderr = np.std(draws, axis=0, ddof=1) / math.sqrt(len(draws))
    # The mean of an inverse Wishart matrix is n/(n - modes - 1): corrections are of the order of 1/(n - modes).
    assert np.all(np.abs(np.mean(draws, axis=0) - predicted) < 3 * stderr + 2 * predicted / (n - len(modes)))


def test_early_stopping_is_as_good_as_ridge_and_does_not_saturate():
    times, ridges = np.geomspace(1e-1, 1e6, 141), np.geomspace(1e-4, 1e3, 141)
    rough = law(1.0, modes=3000)
    by_time = gradient_flow(rough, times, 200, INF, 0, 0.1).min() - 0.1
    by_ridge = equivalents.loss(rough, 200, INF, ridges, 0.1).min() - 0.1
    assert by_time / by_ridge == pytest.approx(1, abs=0.05)
    # beta > 2 (1 + alpha): ridge saturates there, n^-b/(1+b) with b = 2 (1 + alpha) instead of beta.
    smooth, n = law(8.0, modes=3000), np.array([[500.0], [5000.0]])
    by_time = gradient_flow(smooth, times, n, INF, 0, 0.1).min(axis=1) - 0.1
    by_ridge = equivalents.loss(smooth, n, INF, ridges * np.sqrt(n), 0.1).min(axis=1) - 0.1
    ratio = by_time / by_ridge
    assert ratio[1] < ratio[0] < 0.9


@pytest.mark.parametrize("arguments", [(60, 200, 0, 0.2), (200, 60, 0, 0), (100, 100, 0.1, 0.1), (100, INF, 1.0, 0.3)])
def test_training_loss_never_rises(arguments):
    times = np.geomspace(1e-4, 1e12, 161)
    found = gradient_flow(law(0.5), times, *arguments, train=True)
    assert np.all(np.diff(found) <= 3e-12 * found[0])
    expected = equivalents.loss(law(0.5), *arguments, train=True)
    assert found[-1] == pytest.approx(expected, rel=1e-7, abs=1e-8)


# Gradient descent


@pytest.mark.parametrize(("n", "k", "steps", "share"), [(10, 25, 1, 0.999), (25, 10, 7, 0.5), (20, 20, 20, 0.999)])
def test_descent_equals_the_double_integral_on_circles(n, k, steps, share):
    edge = float(largest_eigenvalue(SMALL, n, k))
    rate = share * 2 / edge
    expected = oracles.descent_loss(SMALL.eigenvalues, SMALL.power, steps, rate, (n, k), edge, 0.1)
    assert gradient_descent(SMALL, steps, rate, n, k, 0.1) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("rate", [0.01, 1.0, 1.9, 1.99])
@pytest.mark.parametrize("tail", [False, True])
def test_descent_at_infinite_sizes_decays_mode_by_mode(rate, tail):
    spectrum, steps = law(0.7, modes=300, tail=tail), np.array([1, 2, 10, 100, 500])
    expected = (1 - rate * spectrum.eigenvalues) ** (2 * steps[:, None]) @ spectrum.power + spectrum.tail_power + 0.2
    assert gradient_descent(spectrum, steps, rate, noise=0.2) == pytest.approx(expected, rel=1e-11)


def test_one_step_is_the_quadratic_in_the_moments():
    # theta = rate Phi^T y/n; with k infinite E S = Lambda and E S Lambda S = Lambda^3 + Lambda^2 tr/n at large sizes.
    lam, v2, n, rate, noise = SMALL.eigenvalues, SMALL.power, 15, 0.8, 0.3
    # The mean over data of |Lambda^1/2 (1 - rate S) w|^2, from E S A S = Lambda A Lambda + Lambda tr(A Lambda)/n.
    expected = v2 @ (1 - rate * lam) ** 2 + rate**2 / n * (lam**2).sum() * (v2.sum() + noise) + noise
    assert gradient_descent(SMALL, 1, rate, n, INF, noise) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("n", "k"), [(100, 160), (INF, 50), (INF, INF)])
def test_halving_the_rate_halves_the_distance_to_the_flow(n, k):
    flow = gradient_flow(law(1.2), 10.0, n, k, 0, 0.1)
    gaps = np.array([gradient_descent(law(1.2), round(10 / q), q, n, k, 0.1) - flow for q in (0.05, 0.025, 0.0125)])
    assert gaps[:-1] / gaps[1:] == pytest.approx([2, 2], rel=0.05)


@pytest.mark.parametrize(("n", "k"), [(100, 160), (160, 100), (100, 100), (INF, 50)])
@pytest.mark.parametrize(("steps", "rate"), [(128, 1.0), (1000, 0.5)])
def test_the_open_and_the_closed_contour_agree(n, k, steps, rate):
    spectrum, every = law(1.2, modes=300), np.array([[n], [k]], dtype=float)
    edge = float(largest_eigenvalue(spectrum, n, k))
    chosen = dynamics._descent_nodes(float(steps), rate, edge)
    assert chosen.z.size == 16  # the open one
    closed = dynamics._ellipse(edge, 4 / (rate * steps))
    closed = closed._replace(weights=closed.weights * (1 + rate * closed.z) ** steps / closed.z)
    one, other = (
        dynamics._quadratic(levels, every, nodes, np.array([0.1]), False)[0]
        for levels, nodes in ((spectrum.compressed, chosen), (spectrum, closed))
    )
    assert one == pytest.approx(other, rel=1e-11)


def test_descent_converges_below_the_stable_rate_and_diverges_above():
    spectrum, steps = law(1.2, modes=300), np.array([500, 1000, 2000])
    rate = float(stable_rate(spectrum, 100, 160))
    below, above = (gradient_descent(spectrum, steps, share * rate, 100, 160, 0.1) for share in (0.98, 1.02))
    assert np.all(below < spectrum.total_power + 0.1)
    # The spectrum ends like a square root at its edge, which costs a power of the number of steps.
    growth = np.diff(np.log(above)) / np.diff(steps) / 2
    assert growth == pytest.approx(np.full(2, math.log(1.04)), rel=0.1)
    assert gradient_descent(spectrum, 10**6, 3 * rate, 100, 160) == INF


# Dense spectra: many levels in a bin of Spectrum.compressed, and a contour that passes right next to them.

DENSE = Spectrum(np.linspace(1, 0.3, 4000), np.ones(4000), np.ones(4000))


@pytest.mark.parametrize("rate", [1.9, 1.99])
def test_descent_on_a_dense_spectrum_decays_level_by_level(rate):
    assert len(DENSE.compressed.eigenvalues) < 50
    steps = np.array([1, 20, 50, 100])
    expected = ((1 - rate * DENSE.eigenvalues) ** (2 * steps[:, None])).sum(axis=1)
    # The contour adds up terms of the size of the total power and rounds accordingly.
    assert gradient_descent(DENSE, steps, rate) == pytest.approx(expected, rel=1e-11, abs=1e-15 * DENSE.total_power)


@pytest.mark.parametrize(("n", "k"), [(1e5, 1e5), (3000, 2000)])
@pytest.mark.parametrize("train", [False, True])
def test_descent_on_a_dense_spectrum_at_finite_sizes(n, k, train):
    # All levels, on a contour that lies four times closer to the eigenvalues and is twice as fine.
    edge, every = float(largest_eigenvalue(DENSE, n, k)), np.array([[n], [k]])
    rate, steps = 1.95 / edge, 20
    nodes = dynamics._ellipse(edge, 1 / (rate * steps))
    nodes = nodes._replace(weights=nodes.weights * (1 + rate * nodes.z) ** steps / nodes.z)
    expected = dynamics._quadratic(DENSE, every, nodes, np.array([0.1]), train)[0]
    found = gradient_descent(DENSE, steps, rate, n, k, 0.1, train=train)
    assert found == pytest.approx(expected, rel=1e-10)


def test_sgd_on_a_dense_spectrum_with_a_contour_is_sgd_without():
    steps = np.array([0, 1, 20, 100])
    for rate in (1.9, 1.99):
        expected = one_pass_sgd(DENSE, steps, rate, batch=10**9)
        assert one_pass_sgd(DENSE, steps, rate, batch=10**9, k=1e18) == pytest.approx(expected, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("sizes", [(INF, INF), (1e5, 1e5), (3000, 2000), (100, 1e4)])
def test_the_open_contour_keeps_clear_of_dense_levels(sizes, monkeypatch):
    # There the compressed levels are as good as all of them, up to the accuracy of the contour.
    times, start = np.geomspace(0.1, 1e4, 11), DENSE.total_power
    flow = gradient_flow(DENSE, times, *sizes)
    edge = float(largest_eigenvalue(DENSE, *sizes))
    nodes = dynamics._descent_nodes(200.0, 1 / edge, edge)
    assert not nodes.closed
    descent = gradient_descent(DENSE, 200, 1 / edge, *sizes)
    monkeypatch.setattr(Spectrum, "compressed", property(lambda self: self))
    assert flow == pytest.approx(gradient_flow(DENSE, times, *sizes), rel=1e-12, abs=1e-12 * start)
    assert descent == pytest.approx(gradient_descent(DENSE, 200, 1 / edge, *sizes), rel=1e-12, abs=1e-12 * start)


def test_blocks_of_levels_and_of_places_give_the_same(monkeypatch):
    spectrum, n, k = law(1.2, modes=300, tail=True), np.array([100.0, 60.0]), np.array([160.0, 40.0])

    def everything():
        descent = gradient_descent(spectrum, 30, 0.8 * stable_rate(spectrum, n, k), n, k, 0.1)
        rates = stable_rate(spectrum, k=k, batch=2)
        return np.concatenate([descent, rates, largest_eigenvalue(spectrum, n, k), gradient_flow(spectrum, 9.0, n, k)])

    whole = everything()
    monkeypatch.setattr(dynamics, "_TABLE", 5000)
    assert everything() == pytest.approx(whole, rel=1e-12)
    assert np.array_equal(largest_eigenvalue(spectrum, n, k), whole[4:6])


def test_memory_does_not_grow_with_points_times_levels():
    """The table of places, points and levels would take 2.4 GB, that of the nodes and levels of descent 0.3 GB."""
    spectrum, sizes = law(1.2, modes=10_000), np.geomspace(10, 1e6, 500)
    tracemalloc.start()
    try:
        many = largest_eigenvalue(spectrum, sizes, 100.0)
        assert tracemalloc.get_traced_memory()[1] < 100e6
        tracemalloc.reset_peak()
        gradient_descent(spectrum, 900, 1.99 / many[250], sizes[250], 100.0)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
    for point in (0, 250, 499):
        assert largest_eigenvalue(spectrum, sizes[point], 100.0) == many[point]


# SGD

SGD = law(1.2, alpha=1.0, modes=200)


@pytest.mark.parametrize("batch", [1, 4])
def test_sgd_at_infinite_k_is_the_recursion_of_second_moments(batch):
    rate = 0.5 * float(stable_rate(SGD, batch=batch))
    expected = oracles.sgd_moments(SGD.eigenvalues, SGD.power, 300, rate, batch, 0.1)
    assert one_pass_sgd(SGD, np.arange(301), rate, batch=batch, noise=0.1) == pytest.approx(expected, rel=1e-12)


def test_sgd_agrees_with_its_simulation(rng):
    rate, spectrum = 0.3, law(1.2, alpha=1.0, modes=60)
    runs = oracles.sgd_run(spectrum.eigenvalues, spectrum.power, 60, rate, 2, 0.1, 4000, rng)
    at = [0, 1, 2, 5, 20, 60]
    stderr = runs.std(axis=0, ddof=1)[at] / math.sqrt(len(runs))
    predicted = one_pass_sgd(spectrum, at, rate, batch=2, noise=0.1)
    assert np.all(np.abs(runs.mean(axis=0)[at] - predicted) < 3.5 * stderr + 1e-12)
    assert (stderr / predicted).max() < 0.05


@pytest.mark.parametrize("tail", [False, True])
def test_sgd_solves_the_volterra_equation(tail):
    spectrum = law(1.2, alpha=1.0, modes=100, tail=tail)
    rate, batch, steps = 0.4, 3, np.arange(121)
    decay = (1 - rate * spectrum.eigenvalues) ** 2 + rate**2 * spectrum.eigenvalues**2 / batch
    powers = decay ** steps[:, None]
    forcing = powers @ spectrum.power + spectrum.tail_power + 0.1
    expected = oracles.volterra(forcing, powers @ spectrum.eigenvalues**2 * rate**2 / batch)
    assert one_pass_sgd(spectrum, steps, rate, batch=batch, noise=0.1) == pytest.approx(expected, rel=1e-12)
    # The contour for finite k around a spectrum that k does not change any more.
    near = one_pass_sgd(spectrum, steps, rate, batch=batch, noise=0.1, k=1e13)
    assert near == pytest.approx(expected, rel=1e-10)


def test_sgd_on_random_features_agrees_with_the_exact_recursion_given_them(rng):
    k, rate, steps = 80, 0.4, 400
    draws = [oracles.sgd_moments(SGD.eigenvalues, SGD.power, steps, rate, 2, 0.1, k, rng) for _ in range(40)]
    predicted = one_pass_sgd(SGD, np.arange(steps + 1), rate, batch=2, noise=0.1, k=k)
    stderr = np.std(draws, axis=0, ddof=1) / math.sqrt(len(draws))
    assert np.all(np.abs(np.mean(draws, axis=0) - predicted) < 3 * stderr + predicted / k)
    assert (stderr / predicted).max() < 0.02


@pytest.mark.parametrize("k", [30, INF])
def test_sgd_with_huge_batches_is_descent_on_infinitely_many_samples(k):
    steps, rate = np.array([0, 1, 10, 300]), 0.7
    expected = gradient_descent(SGD, steps, rate, INF, k, 0.1)
    assert one_pass_sgd(SGD, steps, rate, batch=10**13, k=k, noise=0.1) == pytest.approx(expected, rel=2e-11)


@pytest.mark.parametrize("k", [30, INF])
@pytest.mark.parametrize("batch", [1, 2, 50])
def test_sgd_is_bounded_below_the_stable_rate_and_grows_above(k, batch):
    rate = float(stable_rate(SGD, k=k, batch=batch))
    assert rate < stable_rate(SGD, k=k)
    below, above = (one_pass_sgd(SGD, [0, 500, 5000, 20000], f * rate, batch=batch, k=k) for f in (0.98, 1.02))
    assert below[3] < below[2] < below[1] * 1.01 < 2 * below[0]
    assert above[3] > 10 * above[2] > above[1]


def test_the_stable_rate_of_sgd_makes_the_kernel_sum_to_one():
    for batch in (1, 3):
        rate = float(stable_rate(SGD, batch=batch))
        values = SGD.eigenvalues
        assert rate / batch * np.sum(values / (2 - rate * (1 + 1 / batch) * values)) == pytest.approx(1, rel=1e-9)
        assert np.all((1 - rate * values) ** 2 + rate**2 * values**2 / batch < 1)
    assert stable_rate(SGD, batch=1e13) == pytest.approx(float(stable_rate(SGD)), rel=1e-9)


def test_diverged_sgd_is_infinite():
    assert one_pass_sgd(SGD, 20000, 3.0, k=30) == INF
    assert one_pass_sgd(SGD, 20000, 3.0) == INF


# The edge of the spectrum


def test_largest_eigenvalue_of_white_noise_is_marchenko_pasturs():
    sizes = np.array([10.0, 300.0, 3000.0, 3e7])
    expected = (1 + np.sqrt(300 / sizes)) ** 2
    assert largest_eigenvalue(white(300), sizes) == pytest.approx(expected, rel=1e-12)
    assert largest_eigenvalue(white(300), INF, sizes) == pytest.approx(expected, rel=1e-12)
    assert stable_rate(white(300), sizes) == pytest.approx(2 / expected, rel=1e-12)


def largest_of_samples(listed, n, k, count, rng):
    found = []
    for _ in range(count):
        features = np.diag(np.sqrt(listed))
        if np.isfinite(n):
            features = rng.standard_normal((n, len(listed))) @ features / math.sqrt(n)
        if np.isfinite(k):
            features = features @ rng.standard_normal((len(listed), k)) / math.sqrt(k)
        small = features @ features.T if len(features) < features.shape[1] else features.T @ features
        found.append(np.linalg.eigvalsh(small)[-1])
    return np.array(found)


@pytest.mark.parametrize(("n", "k"), [(200, 400), (400, 200), (300, INF), (INF, 300)])
def test_largest_eigenvalue_of_a_sample(n, k, rng):
    # A sample's largest eigenvalue lies below the edge by a share of the order of n^-2/3 (Tracy and Widom).
    found = largest_of_samples(np.ones(600), n, k, 3, rng)
    assert found.mean() == pytest.approx(float(largest_eigenvalue(white(600), n, k)), rel=0.06)
    # A tail is what very many very small modes are.
    tail = Spectrum(np.full(1, 2.0), np.ones(1), np.full(1, 60.0), tail=20.0)
    many = Spectrum(np.array([2.0, 1e-6]), np.ones(2), np.array([60.0, 2e7]))
    assert largest_eigenvalue(tail, n, k) == pytest.approx(float(largest_eigenvalue(many, n, k)), rel=1e-5)


@pytest.mark.parametrize(("n", "k"), [(200, 400), (400, 200), (300, INF), (INF, 300)])
@pytest.mark.parametrize("rest", [np.full(399, 0.1), np.arange(2, 401.0) ** -1.5])
def test_a_single_mode_on_top_stays_inside_the_edge(rest, n, k, rng):
    listed = np.append([1.0], rest)
    found = largest_of_samples(listed, n, k, 24, rng)
    pushed = np.sum(rest / (1 - rest))
    centre = (1 + pushed / n) * (1 + pushed / k)
    stderr = found.std(ddof=1) / math.sqrt(len(found))
    assert abs(found.mean() - centre) < 3 * stderr + 0.02
    # The deterministic spectrum has a band around it, two standard deviations of a semicircle wide.
    edge = float(largest_eigenvalue(spectra.listed(listed), n, k))
    assert centre < edge < centre * (1 + 3.5 / math.sqrt(min(n, k)))


@pytest.mark.parametrize("tail", [False, True])
def test_largest_eigenvalue_at_large_sizes_is_the_first(tail):
    spectrum = law(1.2, tail=tail)
    assert largest_eigenvalue(spectrum) == 1
    gaps = largest_eigenvalue(spectrum, np.array([1e6, 1e8]), 1e7) - 1
    assert gaps[0] == pytest.approx((1e-6 + 1e-7) * dynamics._beyond(spectrum, 1e-3), rel=1)
    assert 0 < gaps[1] < gaps[0]
    # Exact bounds: the mean over draws is at least the first eigenvalue, and the trace bounds from above at small n.
    assert largest_eigenvalue(spectrum, 1e-9) * 1e-9 == pytest.approx(spectrum.trace, rel=1e-3)


# Extreme arguments


@pytest.mark.parametrize("tail", [False, True])
def test_a_huge_ridge_leaves_nothing_to_learn(tail):
    spectrum = law(0.7, modes=40, tail=tail)
    for arguments in [(20, 30, 1e149), (20, 30, 1e160), (20, 30, 1e300), (1e-5, 1, 1e306), (1e-200, 1, 1e200)]:
        for train in (False, True):
            found = gradient_flow(spectrum, [0, 1e-140, 1.0, 1e140, INF], *arguments, 0.3, train=train)
            assert found == pytest.approx(np.full(5, spectrum.total_power + 0.3), rel=3e-12)


@pytest.mark.parametrize("tail", [False, True])
def test_a_huge_size_is_as_good_as_infinite(tail):
    spectrum, times = law(0.7, modes=40, tail=tail), [1e-100, 1.0, 1e10, 1e140]
    for train in (False, True):
        for n, k in [(1e190, 1e190), (1e300, 1e300), (1e300, 1e250), (INF, 1e300), (1e300, INF)]:
            found = gradient_flow(spectrum, times, n, k, 0, 0.1, train=train)
            assert found == pytest.approx(gradient_flow(spectrum, times, noise=0.1), rel=1e-11)
        # Weight decay counts per sample.
        found = gradient_flow(spectrum, 10.0, 1e300, 30, 1e299, 0.1, train=train)
        assert found == pytest.approx(gradient_flow(spectrum, 10.0, 1e100, 30, 1e99, 0.1, train=train), rel=1e-12)


@pytest.mark.parametrize("tail", [False, True])
def test_a_tiny_size_learns_nothing_and_fits_as_a_function_of_time_over_size(tail):
    spectrum, start = law(0.7, modes=40, tail=tail), law(0.7, modes=40, tail=tail).total_power + 0.1
    times = np.array([1e-140, 1.0, 1e10, 1e140])
    for n, k in [(1e-200, 10), (10, 1e-200), (1e-310, INF), (1e-120, 1e-100), (1e-149, 1)]:
        assert gradient_flow(spectrum, times, n, k, 0, 0.1) == pytest.approx(np.full(4, start), rel=3e-12)
    # With one sample in 10^-200 the Gram matrix over n is trace/n: exp(-2 t trace/n) of the labels is not fitted.
    shares = np.array([0.01, 0.5, 2.0, 5.0])
    for n in (1e-60, 1e-120, 1e-140):
        found = gradient_flow(spectrum, shares * n / spectrum.trace, n, INF, 0, 0.1, train=True)
        assert found == pytest.approx(start * np.exp(-2 * shares), rel=1e-9)
        ridge = spectrum.trace  # as large as the only eigenvalue: half of the labels is left in the end
        found = gradient_flow(spectrum, [1e140, INF], n, 10, ridge, 0.1, train=True)
        assert found == pytest.approx(np.full(2, start / 4), rel=1e-11)


# Anything else


def case(seed):
    """A spectrum, n, k, noise and a time (as a power of ten in units of 1/lambda_1), all over the place."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 61))
    values = np.sort(10 ** (rng.uniform(-8, 8) - rng.uniform(0, 14) * rng.random(count)))[::-1]
    multiplicity = rng.integers(1, 50, count).astype(float)
    power = multiplicity * (values / values[0]) ** rng.uniform(0, 2) * rng.random(count)
    tail = float(rng.choice([0.0, 0.0, 0.01, 3.0]) * (multiplicity @ values))
    spectrum = Spectrum(values, power / power.sum(), multiplicity, tail=tail, tail_power=float(rng.choice([0.0, 0.1])))
    sizes = [INF, float(count), *rng.uniform(0.5, 3 * multiplicity.sum(), 3)]
    n, k = (float(size) for size in rng.choice(sizes, 2))
    return spectrum, n, k, float(rng.choice([0.0, 0.2])), rng.uniform(-15, 15)


SEEDS = st.integers(0, 2**32)


@given(seed=SEEDS)
@settings(max_examples=80)
def test_the_loss_is_sane_at_any_spectrum_size_and_time(seed):
    spectrum, n, k, noise, exponent = case(seed)
    time = 10**exponent / spectrum.eigenvalues[0]
    start = spectrum.total_power + noise
    found = gradient_flow(spectrum, time, n, k, 0, noise)
    assert math.isfinite(found)
    assert found >= noise + (spectrum.tail_power if spectrum.tail else 0.0) - 1e-11 * start
    train = gradient_flow(spectrum, time, n, k, 0, noise, train=True)
    assert -1e-11 * start <= train <= start * (1 + 1e-11)
    # The overfitted part is at most what the slowest direction learnt so far could carry.
    reach = time * float(largest_eigenvalue(spectrum, n, k))
    assert found <= start * (1 + reach) * (1 + 1e-11)


@given(seed=SEEDS)
@settings(max_examples=40)
def test_gamma_solves_its_equation_on_every_contour(seed):
    spectrum, n, k, _, exponent = case(seed)
    every = np.array([[n], [k]])
    place, _ = dynamics._talbot()
    edge = float(largest_eigenvalue(spectrum, n, k))
    flow = dynamics._TALBOT / 10**exponent * spectrum.eigenvalues[0] * place[None]
    for z in (flow, dynamics._ellipse(edge, edge / 10 ** (2 * abs(exponent) / 15)).z):
        tracked = dynamics._track(spectrum, every, z)
        assert np.all(tracked.gamma.imag > 0)
        assert np.all((tracked.gamma * dynamics_kappa(spectrum, k, tracked.gamma)).imag > 0)
        with mpmath.workdps(60):
            # floor as many digits as it takes, so that 1 - df1/m does not cancel
            floor = exact_floor(spectrum, min(n, k), float(tracked.floor[0]))
            for node in range(0, z.shape[1], 1 + z.shape[1] // 3):
                gamma = floor + mpmath.mpmathify(complex(tracked.distance[0, node]))
                one = exact_df1(spectrum, gamma)
                left = gamma * (1 - one / n) * (1 - one / k)
                assert abs(left / mpmath.mpmathify(complex(z[0, node])) - 1) < 1e-11


def dynamics_kappa(spectrum, k, gamma):
    """kappa/gamma = 1 - df1/k, with plain sums."""
    learnt = spectrum.eigenvalues / (spectrum.eigenvalues + gamma[..., None])
    return 1 - (learnt @ spectrum.multiplicity + spectrum.tail / gamma) / k


def exact_df1(spectrum, gamma):
    parts = zip(spectrum.eigenvalues, spectrum.multiplicity, strict=True)
    return mpmath.fsum(float(m) * float(v) / (float(v) + gamma) for v, m in parts) + spectrum.tail / gamma


def exact_floor(spectrum, m, guess):
    if guess == 0:
        return mpmath.mpf(0)
    gamma = mpmath.mpf(guess)
    for _ in range(5):
        parts = zip(spectrum.eigenvalues, spectrum.multiplicity, strict=True)
        slope = mpmath.fsum(float(c) * float(v) / (float(v) + gamma) ** 2 for v, c in parts) + spectrum.tail / gamma**2
        gamma += (exact_df1(spectrum, gamma) - m) / slope
    return gamma


@given(seed=SEEDS)
@settings(max_examples=40)
def test_the_loss_falls_at_first(seed):
    spectrum, n, k, noise, _ = case(seed)
    first = 1e-3 / float(largest_eigenvalue(spectrum, n, k))
    found = gradient_flow(spectrum, np.array([0, 1e-6, 1e-4, 1e-2, 1]) * first, n, k, 0, noise)
    slope = -2 * float(spectrum.power @ spectrum.eigenvalues)  # that of the loss at time 0, whatever n and k
    assert found[0] == spectrum.total_power + noise
    assert found[-1] - found[0] == pytest.approx(slope * first, rel=2e-2, abs=1e-11 * found[0]) or slope == 0


# Arguments


def test_arguments_broadcast_and_scalars_give_numbers():
    values = gradient_flow(SMALL, np.array([1.0, 10.0, INF])[:, None], np.array([10.0, INF]), 30, 0.1)
    assert values.shape == (3, 2)
    assert values[1, 0] == pytest.approx(gradient_flow(SMALL, 10.0, 10, 30, 0.1), rel=1e-13)
    values = gradient_descent(SMALL, np.array([0, 1, 5])[:, None], np.array([0.1, 0.5]), 10)
    assert values.shape == (3, 2)
    assert values[2, 1] == gradient_descent(SMALL, 5, 0.5, 10)
    assert one_pass_sgd(SMALL, [[0, 3], [2, 1]], 0.1).shape == (2, 2)
    assert stable_rate(SMALL, np.array([10.0, 20.0])[:, None], [3.0, 4.0, INF]).shape == (2, 3)
    assert stable_rate(SMALL, k=[3.0, 4.0, INF], batch=2).shape == (3,)
    for scalar in (
        gradient_flow(SMALL, 1.0, 10),
        gradient_flow(SMALL, 0, 10),
        gradient_descent(SMALL, 3, 0.1, 10),
        one_pass_sgd(SMALL, 3, 0.1),
        largest_eigenvalue(SMALL, 10),
        stable_rate(SMALL, 10),
        stable_rate(SMALL, batch=2),
    ):
        assert isinstance(scalar, np.float64)


def test_a_call_with_many_points_is_its_points_one_by_one(monkeypatch):
    times = np.geomspace(0.1, 1e4, 7)
    whole = gradient_flow(SMALL, times, 20, 30, 0, 0.1)
    monkeypatch.setattr(
        dynamics, "_blocks", lambda points, levels: [points[i : i + 2] for i in range(0, len(points), 2)]
    )
    assert gradient_flow(SMALL, times, 20, 30, 0, 0.1) == pytest.approx(whole, rel=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gradient_flow(SMALL, -1.0, 10), "`time` must not be negative or NaN"),
        (lambda: gradient_flow(SMALL, math.nan, 10), "`time` must not be negative or NaN"),
        (lambda: gradient_flow(SMALL, 1.0, 0), "`n` must be positive, got 0"),
        (lambda: gradient_flow(SMALL, 1.0, 10, -1), "`k` must be positive, got -1"),
        (lambda: gradient_flow(SMALL, 1.0, 10, 10, -0.1), "`ridge` must be finite and not negative"),
        (lambda: gradient_flow(SMALL, 1.0, 10, 10, 0, -0.1), "`noise` must be finite and not negative"),
        (lambda: gradient_flow(SMALL, 1.0, 10, 10, stack=[0]), r"`stack\[0\]` must be positive"),
        (lambda: gradient_descent(SMALL, 1.5, 0.1, 10), "`steps` must be whole numbers"),
        (lambda: gradient_descent(SMALL, INF, 0.1, 10), "`steps` must be whole numbers"),
        (lambda: gradient_descent(SMALL, -1, 0.1, 10), "`steps` must not be negative"),
        (lambda: gradient_descent(SMALL, 1, 0.0, 10), "`rate` must be positive, got 0"),
        (lambda: gradient_descent(SMALL, 1, -1.0, 10), "`rate` must"),
        (lambda: gradient_descent(SMALL, 1, math.nan, 10), "`rate` must not be NaN"),
        (lambda: one_pass_sgd(SMALL, 1.5, 0.1), "`steps` must be whole numbers, not negative"),
        (lambda: one_pass_sgd(SMALL, [1, -1], 0.1), "`steps` must be whole numbers, not negative"),
        (lambda: one_pass_sgd(SMALL, 1, 0.0), "`rate` must be finite and more than 0"),
        (lambda: one_pass_sgd(SMALL, 1, 0.1, batch=0), "`batch` must be at least 1, got 0"),
        (lambda: one_pass_sgd(SMALL, 1, 0.1, k=0), "`k` must be positive"),
        (lambda: one_pass_sgd(SMALL, 1, 0.1, k=-INF), "`k` must be positive"),
        (lambda: one_pass_sgd(SMALL, 1, 0.1, k=math.nan), "`k` must not be NaN"),
        (lambda: one_pass_sgd(SMALL, 1, 0.1, k=[30, 60]), r"`k` must be a single number, .* got shape \(2,\)"),
        (lambda: one_pass_sgd(SMALL, 1, 0.1, k=np.array([INF, 60])), "`k` must be a single number"),
        (lambda: one_pass_sgd(SMALL, 1, 0.1, noise=-1.0), "`noise` must be finite and at least 0"),
        (lambda: largest_eigenvalue(SMALL, 0), "`n` must be positive"),
        (lambda: stable_rate(SMALL, 10, batch=0), "`batch` must be positive"),
        (lambda: stable_rate(SMALL, batch=math.nan), "`batch` must be positive"),
        (lambda: stable_rate(SMALL, 10, batch=2), "a finite `batch` means one-pass SGD, for which `n` is infinite"),
    ],
)
def test_bad_input_gets_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
