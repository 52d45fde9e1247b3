import functools
import math

import numpy as np
import oracles
import pytest

from regimes import equivalents, estimate, resolvents, spectra, theory
from regimes.results import log_slope

SPHERES = [(kernel, dim) for kernel in oracles.PROFILES for dim in (2, 4)]


@functools.cache
def exact_slope(kernel, dim, at):
    """Finite-n slope of the loss of the kernel's prior over the sizes `at`, from the analytic spectrum."""
    spectrum = spectra.sphere(oracles.PROFILES[kernel], dim, degrees=400 if dim == 2 else 120)
    at = np.array(at)
    return -log_slope(at, at * equivalents.solve(spectrum, at).gamma)


@pytest.mark.parametrize("method", ["kappa", "pivots"])
@pytest.mark.parametrize(("kernel", "dim"), SPHERES)
def test_alpha_on_analytic_spheres_is_the_exact_finite_n_slope(kernel, dim, method):
    gram = oracles.sphere_gram(kernel, 1600, dim, np.random.default_rng(7))
    found = estimate.alpha(gram, method=method, splits=4)
    at = np.unique(np.round(np.geomspace(*found.window, 12)))
    assert found.value == pytest.approx(exact_slope(kernel, dim, tuple(at)), abs=0.03)


@functools.cache
def listed(pairs, alpha, beta, count):
    """The spectrum of `oracles.planted` (one mode of each rank) and `oracles.circle` (two of each frequency)."""
    rank = np.repeat(np.arange(1.0, count + 1), pairs)
    return spectra.listed(rank ** -(1 + alpha), rank ** -(1 + beta))


PROBLEMS = {
    "planted 0.6, 1.1": (lambda rng, n: oracles.planted(rng, n, 0.6, 1.1, modes=1000), listed(1, 0.6, 1.1, 1000), 0.0),
    "planted 1, 1.6": (lambda rng, n: oracles.planted(rng, n, 1.0, 1.6, modes=1000), listed(1, 1.0, 1.6, 1000), 0.0),
    "planted with noise": (
        lambda rng, n: oracles.planted(rng, n, 0.3, 0.5, 0.2, modes=1000),
        listed(1, 0.3, 0.5, 1000),
        0.2,
    ),
    "circle": (lambda rng, n: oracles.circle(rng, n, 0.6, 1.1, 500), listed(2, 0.6, 1.1, 500), 0.0),
}


def exact_slopes(problem, window):
    """Finite-n slopes of n gamma(n) and of the power not learnt."""
    _, exact, _ = PROBLEMS[problem]
    at = np.unique(np.round(np.geomspace(*window, 12)))
    gamma = equivalents.solve(exact, at).gamma
    return -log_slope(at, at * gamma), -log_slope(at, equivalents.unlearnt_power(exact, gamma))


def covered(problem, size, repeats, level=0.9):
    """How many intervals of alpha and of beta hold the exact slope, and their mean widths."""
    draw, _, noise = PROBLEMS[problem]
    found = []
    for seed in range(repeats):
        gram, y = draw(np.random.default_rng([8, seed]), size)
        alpha = estimate.alpha(gram, seed=seed, level=level)
        beta = estimate.beta(gram, y, noise=noise, seed=seed, level=level)
        right = exact_slopes(problem, alpha.window)
        pairs = list(zip((alpha, beta), right, strict=True))
        found.append([value in one for one, value in pairs] + [one.high - one.low for one, _ in pairs])
    found = np.array(found, dtype=float)
    return found[:, :2].sum(axis=0), found[:, 2:].mean(axis=0)


@pytest.mark.parametrize("problem", ["planted 0.6, 1.1", "circle"])
def test_intervals_of_alpha_and_beta_cover_at_their_level(problem):
    counts, widths = covered(problem, 200, 60)
    # 90 % stated: 47 of 60 or fewer happens once in 250, all of 60 once in 550.
    assert np.all(counts >= 48), counts
    assert np.all(counts < 60), counts
    assert np.all(widths < [0.1, 0.25])


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
def test_intervals_of_alpha_and_beta_cover_in_85_to_95_of_100_samples(problem):
    counts, widths = covered(problem, 400, 200)
    assert np.all(counts / 200 >= 0.85), counts
    # On the circle the standard error of alpha is 17 % too large: 94.6 % where 90 % are stated.
    assert np.all(counts / 200 <= ([0.98, 0.95] if problem == "circle" else 0.95)), counts
    assert np.all(widths < [0.04, 0.2])


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "dim"), [("NTK", 2), ("NTK", 4), ("Laplace", 4)])
def test_intervals_of_alpha_on_spheres_cover_in_85_to_95_of_100_samples(kernel, dim):
    count, widths = 0, []
    for seed in range(200):
        found = estimate.alpha(oracles.sphere_gram(kernel, 400, dim, np.random.default_rng([1, seed])), level=0.9)
        at = np.unique(np.round(np.geomspace(*found.window, 12)))
        count += exact_slope(kernel, dim, tuple(at)) in found
        widths.append(found.high - found.low)
    assert 0.85 <= count / 200 <= 0.95, count
    assert np.mean(widths) < 0.025


@pytest.mark.parametrize(("kernel", "dim"), [("NTK", 2), ("Laplace", 4), ("NNGP", 4)])
def test_population_gamma_df2_and_loss_are_recovered_from_a_sample(kernel, dim):
    gram = oracles.sphere_gram(kernel, 1200, dim, np.random.default_rng(3))
    found = estimate.spectrum(gram, draws=0)
    exact = spectra.sphere(oracles.PROFILES[kernel], dim, degrees=300)
    m = np.array([2.0, 5.0, 16.0, 50.0, 150.0, found.resolved])
    one, other = equivalents.solve(found, m), equivalents.solve(exact, m)
    assert one.gamma == pytest.approx(other.gamma, rel=0.03)
    assert one.df2 == pytest.approx(other.df2, rel=0.04)
    assert equivalents.loss(found, m, 3 * m) == pytest.approx(equivalents.loss(exact, m, 3 * m), rel=0.03)


def planted(rng, n=1200, alpha=0.6, beta=1.1, noise=0.0, modes=3000):
    """Gaussian design with a known spectrum and target."""
    spectrum = spectra.power_law(alpha, beta, modes=modes, tail=False)
    x = rng.standard_normal((n, modes))
    y = x @ (np.sqrt(spectrum.power) * rng.choice([-1, 1], modes)) + math.sqrt(noise) * rng.standard_normal(n)
    return (x * spectrum.eigenvalues) @ x.T, y, spectrum


def test_planted_target_power_is_recovered(rng):
    gram, y, truth = planted(rng)
    found = estimate.spectrum(gram, y, draws=0)
    m = np.array([8.0, 30.0, 100.0, 300.0])
    assert equivalents.loss(found, m) == pytest.approx(equivalents.loss(truth, m), rel=0.12)
    assert equivalents.loss(found, math.inf, m) == pytest.approx(equivalents.loss(truth, math.inf, m), rel=0.12)
    assert found.total_power == pytest.approx(np.mean(y**2), rel=0.01)


def test_known_noise_is_not_counted_as_power(rng):
    gram, y, truth = planted(rng, noise=0.2)
    found = estimate.spectrum(gram, y, noise=0.2, draws=0)
    m = np.array([8.0, 30.0, 100.0])
    assert equivalents.unlearnt_power(found, equivalents.solve(found, m).gamma) == pytest.approx(
        equivalents.unlearnt_power(truth, equivalents.solve(truth, m).gamma), rel=0.4, abs=0.02
    )
    assert found.total_power == pytest.approx(np.mean(y**2) - 0.2, rel=0.01)


def test_scaling_the_kernel_scales_the_spectrum_and_nothing_else(rng):
    gram = oracles.sphere_gram("NTK", 300, 3, rng)
    one = estimate.spectrum(gram, draws=2)
    for scale in (1e-12, 1e12):
        other = estimate.spectrum(gram * scale, draws=2)
        m = np.array([3.0, 30.0, 90.0])
        assert equivalents.loss(other, m) == pytest.approx(equivalents.loss(one, m) * scale, rel=1e-6)
        assert estimate.alpha(gram * scale, splits=2).value == pytest.approx(
            estimate.alpha(gram, splits=2).value, rel=1e-9
        )


@pytest.mark.parametrize("offset", [0.0, 0.2, 1.0])
@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.5), (0.6, 1.1), (1.0, 1.6)])
def test_floor_of_a_power_law_not_yet_reached_is_too_low(alpha, beta, offset):
    exact, n = spectra.power_law(alpha, beta, modes=10**5), np.geomspace(400 / 48, 400 / 3, 24)
    curve = equivalents.unlearnt_power(exact, equivalents.solve(exact, n).gamma)
    rng = np.random.default_rng(0)
    found = [estimate.floor(n[:, None] ** -estimate.EXPONENTS, offset + curve, rng) for _ in range(40)]
    # By a part of what is not learnt at the end of the window, as stated.
    fall = max(curve[-1], 0.03 * (curve[0] - curve[-1]))  # floors are drawn no finer than this
    assert -1.1 * fall <= np.mean(found) - offset < 0.5 * fall


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "beta", "noise"), [(0.6, 1.1, 0.0), (0.6, 1.1, 0.2), (1.0, 1.6, 1.0)])
def test_intervals_of_the_noise_cover(alpha, beta, noise):
    count = 0
    for seed in range(100):
        gram, y = oracles.planted(np.random.default_rng([12, seed]), 400, alpha, beta, noise, modes=1000)
        found = estimate.noise(gram, y, draws=100, seed=seed, level=0.9)
        count += found.low <= noise <= found.high + 1e-12
    # 90 % stated, some lost to the bias of the floor; 81 of 100 happens once in 200 at 90 %.
    assert count >= 82


@pytest.mark.parametrize("method", estimate.ALPHA)
def test_same_seed_same_alpha_other_seed_other_interval(rng, method):
    gram = oracles.sphere_gram("NTK", 200, 3, rng)
    one, two, other = (estimate.alpha(gram, method=method, splits=2, seed=seed) for seed in (1, 1, 2))
    assert one == two
    assert one.low != other.low
    if method in ("kappa", "eigenvalues"):  # read from all samples: only the interval is random
        assert one.value == other.value


def test_spectrum_is_its_resolvent_inverted(rng):
    gram, y, _ = planted(rng, n=200)
    read = resolvents.resolvent(gram, y, uncertainty=True, seed=3)
    one, other = estimate.spectrum(gram, y, draws=3, seed=3), estimate.inverted(read, draws=3, seed=3)
    assert np.array_equal(one.power, other.power)
    assert len(one.replicates) == 3
    for drawn, again in zip(one.replicates, other.replicates, strict=True):
        assert np.array_equal(drawn.multiplicity, again.multiplicity)
    assert estimate.spectrum(gram, y, draws=0).replicates == ()


def test_without_targets_the_spectrum_and_its_replicates_have_the_prior_as_target(rng):
    found = estimate.spectrum(oracles.sphere_gram("NTK", 100, 3, rng), draws=3)
    assert found.is_prior
    assert all(one.is_prior for one in found.replicates)
    read = theory.exponents(found, (4, 25))
    assert read.beta.value == read.alpha.value
    assert (read.beta.low, read.beta.high) == (read.alpha.low, read.alpha.high)


@pytest.mark.slow
def test_replicates_spread_as_the_spectra_of_fresh_samples():
    def read(spectrum):
        return np.log([equivalents.loss(spectrum, 30.0), *(equivalents.solve(spectrum, [8.0, 50.0]).gamma)])

    values, variances = [], []
    for seed in range(30):
        gram, y = oracles.planted(np.random.default_rng([6, seed]), 200, 0.6, 1.1, modes=1000)
        found = estimate.spectrum(gram, y, draws=10, seed=seed)
        values.append(read(found))
        variances.append(np.var([read(one) for one in found.replicates], axis=0, ddof=1))
    # 30 samples know a standard deviation to 13 %.
    true = np.std(values, axis=0, ddof=1)
    assert np.sqrt(np.mean(variances, axis=0)) / true == pytest.approx(np.ones(3), abs=0.35)
    error = np.mean(values, axis=0) - read(listed(1, 0.6, 1.1, 1000))
    assert np.all(np.abs(error) < 0.02 + 3 * true / math.sqrt(30))


@pytest.mark.slow
def test_intervals_of_the_exponents_of_an_estimated_spectrum_cover():
    counts, exact = np.zeros(2), listed(1, 0.6, 1.1, 1000)
    for seed in range(60):
        gram, y = oracles.planted(np.random.default_rng([5, seed]), 400, 0.6, 1.1, modes=1000)
        found = theory.exponents(estimate.spectrum(gram, y, seed=seed), level=0.9)
        right = theory.exponents(exact, found.alpha.window)
        counts += [right.alpha.value in found.alpha, right.beta.value in found.beta]
    # The inversion is biased in beta by a quarter of a standard deviation. 47 of 60 happens once in 250 at 90 %.
    assert np.all(counts >= 48), counts
    assert np.all(counts < 60), counts


def test_few_features_leave_no_tail():
    rng = np.random.default_rng(2)
    eigenvalues = np.geomspace(1, 0.02, 40)
    power = eigenvalues**1.2
    features = rng.standard_normal((600, 40))
    y = features @ (np.sqrt(power) * rng.choice([-1, 1], 40))
    found = estimate.spectrum((features * eigenvalues) @ features.T, y, draws=4)
    exact = spectra.listed(eigenvalues, power)
    assert found.tail == 0
    assert math.isinf(found.resolved)
    assert found.modes == pytest.approx(40, rel=0.02)
    # What few samples leave is most of the mean square, which 600 samples know to 6 %.
    assert found.total_power == pytest.approx(np.mean(y**2), rel=5e-3)
    n = np.array([10.0, 20.0, 30.0])
    assert equivalents.loss(found, n) == pytest.approx(equivalents.loss(exact, n), rel=0.05)
    assert equivalents.loss(found, math.inf, n) == pytest.approx(equivalents.loss(exact, math.inf, n), rel=0.05)
    assert equivalents.loss(found, 200, ridge=3.0) == pytest.approx(equivalents.loss(exact, 200, ridge=3.0), rel=0.05)
    # With noise the peak stands where the features are used up.
    n = np.array([25.0, 60.0, 100.0])
    assert equivalents.loss(found, n, noise=0.1) == pytest.approx(equivalents.loss(exact, n, noise=0.1), rel=0.05)
    assert all(one.tail == 0 for one in found.replicates)


@pytest.mark.parametrize("method", estimate.ALPHA)
def test_every_method_reads_alpha_of_a_planted_power_law(method):
    rng = np.random.default_rng(4)
    gram, _ = oracles.planted(rng, 800, 0.6, 1.1, modes=1000)
    found = estimate.alpha(gram, method=method, splits=4)
    at = np.unique(np.round(np.geomspace(*found.window, 12)))
    exact = listed(1, 0.6, 1.1, 1000)
    places = at - 1 if method == "pivots" else at
    right = 0.6 if method == "eigenvalues" else -log_slope(places, places * equivalents.solve(exact, places).gamma)
    tolerance = {"kappa": 0.01, "pivots": 0.015, "ridgeless": 0.015, "eigenvalues": 0.08}[method]
    assert found.value == pytest.approx(right, abs=tolerance)
    assert right in found


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("method", estimate.BETA)
def test_every_method_reads_beta_of_a_planted_power_law(method, noise):
    gram, y = oracles.planted(np.random.default_rng(4), 800, 0.3, 0.5, noise, modes=1000)
    found = estimate.beta(gram, y, method=method, noise=noise, splits=4)
    at = np.unique(np.round(np.geomspace(*found.window, 12)))
    exact = listed(1, 0.3, 0.5, 1000)
    if method == "tail":
        right = -log_slope(at, equivalents.loss(exact, math.inf, at))
    else:
        places = at - 1 if method == "leave_one_out" else at
        right = -log_slope(places, equivalents.loss(exact, places, noise=noise, excess=True))
    assert found.value == pytest.approx(right, abs=0.05 if method == "tail" else 0.12)
    assert right in found


@pytest.mark.parametrize("method", estimate.BETA)
def test_beta_is_undetermined_where_noise_is_not_below_the_curve(method):
    gram, y = oracles.planted(np.random.default_rng(4), 200, 0.6, 1.1, modes=300)
    found = estimate.beta(gram, y, method=method, noise=100.0)
    assert str(found) == "undetermined"
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_beta_without_ends_where_some_half_sample_is_below_the_noise():
    # Little is left above the noise at the end of the window: all samples together see it, not every half.
    gram, y = oracles.planted(np.random.default_rng(1), 200, 0.6, 1.1, 0.2, modes=300)
    found = estimate.beta(gram, y, method="gcv", noise=0.24)
    assert (found.low, found.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_intervals_are_the_slopes_of_the_corrected_resolvent_and_its_covariance(noise):
    gram, y = oracles.circle(np.random.default_rng(4), 200, 0.3, 0.5, 300)
    alpha = estimate.alpha(gram, window=(8, 48), level=0.9, seed=2)
    beta = estimate.beta(gram, y, noise=noise, window=(8, 48), level=0.9, seed=2)
    at = np.unique(np.round(np.geomspace(8, 48, 12)))
    points = len(at)

    def slope_of_kappa(logarithms):
        return -log_slope(at, at * np.exp(logarithms[:points]))

    def slope_of_unlearnt(logarithms):
        return -log_slope(at, np.exp(logarithms[points : 2 * points]) - noise)

    for found, targets, slope in ((alpha, None, slope_of_kappa), (beta, y, slope_of_unlearnt)):
        read = resolvents.resolvent(gram, targets, at, uncertainty=True, seed=2)
        middle, steps = read.logarithms - read.bias, 1e-5 * np.eye(2 * points + 2)
        gradient = np.array([slope(middle + step) - slope(middle - step) for step in steps]) / 2e-5
        # Normal quantile of 90 %; the correction is known to a quarter of itself.
        width = 1.644854 * math.hypot(math.sqrt(gradient @ read.covariance @ gradient), gradient @ read.bias / 4)
        assert found.value == pytest.approx(slope(middle), abs=1e-9)
        assert (found.high - found.value, found.value - found.low) == pytest.approx((width, width), rel=1e-5)


def test_leave_one_out_beta_is_read_at_one_sample_fewer():
    gram, y = oracles.planted(np.random.default_rng(4), 40, 0.3, 0.5, modes=300)
    found = estimate.beta(gram, y, method="leave_one_out", splits=2, window=(4, 20))
    at = np.unique(np.round(np.geomspace(4, 20, 12)).astype(int))
    curves = [
        [oracles.leave_one_out_refits(gram[np.ix_(p, p)], y[p, None], 0.0).mean() for p in (half[:n] for n in at)]
        for half in estimate._half_samples(40, 2, 0)
    ]
    assert len(curves) == 4
    assert found.value == pytest.approx(-log_slope(at - 1, np.mean(curves, axis=0)), abs=1e-6)


def test_noise_is_the_median_of_the_floors_and_its_interval_their_quantiles():
    gram, y = oracles.planted(np.random.default_rng(3), 300, 0.6, 1.1, 0.3, modes=500)
    found = estimate.noise(gram, y, window=(5, 90), draws=40, seed=1, level=0.8)
    read = resolvents.resolvent(gram, y, np.geomspace(5, 90, 24), uncertainty=True, seed=1)
    floors = estimate.floors(read, 40, 1)
    assert (found.low, found.value, found.high) == pytest.approx(tuple(np.quantile(floors, [0.1, 0.5, 0.9])), rel=1e-9)
    assert (found.window, found.level) == ((5, 90), 0.8)


def test_a_noise_left_in_lowers_beta():
    gram, y = oracles.planted(np.random.default_rng(4), 400, 0.3, 0.5, 0.2, modes=1000)
    assert estimate.beta(gram, y).high < estimate.beta(gram, y, noise=0.2).low


@pytest.mark.parametrize("noise", [0.2, 1.0])
def test_noise_is_found(noise):
    gram, y = oracles.planted(np.random.default_rng(3), 600, 0.6, 1.1, noise, modes=1000)
    found = estimate.noise(gram, y, draws=60)
    assert noise in found
    assert found.value == pytest.approx(noise, rel=0.15)
    assert estimate.noise(gram, y, draws=60, level=0.8).low > 0.25 * noise
    scaled = estimate.noise(gram * 1e3, 10 * y, draws=60)
    assert scaled.value == pytest.approx(100 * found.value, rel=1e-6)
    two = estimate.noise(gram, np.stack([y, y], axis=1), draws=60)
    assert two.high == pytest.approx(2 * found.high, rel=1e-6)


def test_without_noise_little_is_found():
    gram, y = oracles.planted(np.random.default_rng(3), 600, 0.6, 1.1, modes=1000)
    found = estimate.noise(gram, y, draws=60)
    assert found.low == 0
    assert found.high < 0.01 * np.mean(y**2)
    assert found.value == 0


# How far the median may be off, as a share of the fall: a slow law is hardly told from a faster one above a floor.
@pytest.mark.parametrize(("offset", "exponent", "off"), [(0.3, 0.7, 0.1), (1.0, 0.15, 0.5), (0.02, 1.5, 0.1)])
def test_floors_of_an_exact_power_law_lie_about_its_offset(offset, exponent, off):
    n = np.geomspace(8, 130, 24)
    curve = offset + 5 * n**-exponent
    read = resolvents.Resolvent(
        np.geomspace(1, 0.01, 24), n, curve, 1.0, 6.0, 400, 400, False, np.zeros((50, 50)), np.zeros(50)
    )
    found = estimate.floors(read, 200, 0)
    assert len(found) == 200
    low, high = np.quantile(found, [0.05, 0.95])
    assert low <= offset <= high
    assert np.median(found[found > 0]) == pytest.approx(offset, abs=off * (curve[0] - curve[-1]))
    assert np.all((found >= 0) & (found < curve[-1]))


def test_no_floor_is_drawn_below_a_pure_power_law():
    n, rng = np.geomspace(8, 130, 24), np.random.default_rng(0)
    found = [estimate.floor(n[:, None] ** -estimate.EXPONENTS, 5 * n**-1.2, rng) for _ in range(200)]
    assert np.mean(np.array(found) == 0) > 0.4  # weighed against the best floor alone
    assert np.quantile(found, 0.9) < 0.2 * 5 * 130**-1.2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda g: estimate.spectrum(g[:40, :40]),
            "`gram` must hold at least 48 samples to estimate a spectrum, got 40",
        ),
        (lambda g: estimate.spectrum(g[:, :50]), "`gram` must be a square Gram matrix"),
        (lambda g: estimate.spectrum(g, np.ones(7)), "`targets` must have one row per sample: expected 100"),
        (lambda g: estimate.spectrum(g, np.full(100, np.nan)), "`targets` holds 100 NaN"),
        (lambda g: estimate.spectrum(g, np.ones(100), noise=2.0), "`noise` is 2, not less than the mean square"),
        (lambda g: estimate.spectrum(g - 0.5 * np.eye(100)), "`gram` is not positive semi-definite"),
        (lambda g: estimate.spectrum(g, np.zeros(100)), "`targets` are zero everywhere"),
        (lambda g: estimate.spectrum(g, draws=-1), "`draws` must be at least 0, got -1"),
        (lambda g: estimate.spectrum(g, seed=-1), "`seed` must be at least 0, got -1"),
        (lambda g: estimate.spectrum(g, noise=-1.0), "`noise` must be finite and at least 0, got -1"),
        (lambda g: estimate.inverted(resolvents.resolvent(g), draws=2), "`uncertainty` was not asked for"),
        (lambda g: estimate.inverted(resolvents.resolvent(g, at=[2.0, 9.0])), "`read` must hold at least 3 points"),
        (lambda g: estimate.inverted(resolvents.resolvent(g), draws=-2), "`draws` must be at least 0, got -2"),
        (lambda g: estimate.alpha(few_features()), "`gram` has rank 4: too low to resolve 25 modes from 100 samples"),
        (lambda g: estimate.alpha(g, method="tail"), "`method` must be one of kappa, pivots, ridgeless, eigenvalues"),
        (lambda g: estimate.alpha(g, window=(10, 80)), "`window` must satisfy 2 <= low <= high / 2 and high <= 25 "),
        (lambda g: estimate.alpha(g, window=(10, 15)), "`window` must satisfy 2 <= low <= high / 2 and high <= 25 "),
        (lambda g: estimate.alpha(g, window=(1, 15)), "`window` must satisfy 2 <= low <= high / 2 and high <= 25 "),
        (lambda g: estimate.alpha(g, window=(5, math.nan)), "`window` holds 1 NaN"),
        (lambda g: estimate.alpha(g[:4, :4]), "`window` must satisfy .* high <= 1 .1/4 of 4 samples"),
        (lambda g: estimate.alpha(g, method="pivots", window=(10, 51)), "high <= 50 .1/2 of 100 samples"),
        (lambda g: estimate.alpha(g, method="eigenvalues", window=(3, 11)), "high <= 10 .1/10 of 100 samples"),
        (lambda g: estimate.alpha(g, splits=1), "`splits` must be at least 2, got 1"),
        (lambda g: estimate.alpha(g, seed=-1), "`seed` must be at least 0, got -1"),
        (lambda g: estimate.alpha(g, level=1.0), "`level` must lie between 0 and 1, got 1"),
        (lambda g: estimate.alpha(g, level=math.nan), "`level` must be finite, got nan"),
        (lambda g: estimate.beta(g, np.ones(99)), "`targets` must have one row per sample: expected 100"),
        (lambda g: estimate.beta(g, np.ones(100), method="kappa"), "`method` must be one of tail, leave_one_out, gcv"),
        (lambda g: estimate.beta(g, np.ones(100), noise=math.nan), "`noise` must be finite and at least 0, got nan"),
        (lambda g: estimate.beta(g, np.ones(100), window=(20, 30)), "high <= 25 .1/4 of 100 samples"),
        (lambda g: estimate.beta(g, np.ones(100), splits=0), "`splits` must be at least 2, got 0"),
        (lambda g: estimate.beta(g, np.ones(100), level=0.0), "`level` must lie between 0 and 1, got 0"),
        (lambda g: estimate.noise(g, np.ones(100), window=(10, 40)), "high <= 33 .1/3 of 100 samples"),
        (lambda g: estimate.noise(g, np.ones(100), draws=3), "`draws` must be at least 20, got 3"),
        (lambda g: estimate.noise(g, np.ones(100), level=2.0), "`level` must lie between 0 and 1, got 2"),
        (lambda g: estimate.noise(g, np.ones((50, 2))), "`targets` must have one row per sample: expected 100"),
    ],
)
def test_bad_input_gets_a_sentence(rng, call, message):
    with pytest.raises(ValueError, match=message):
        call(oracles.sphere_gram("NTK", 100, 3, rng))


def few_features():
    features = np.random.default_rng(0).standard_normal((100, 4))
    return features @ features.T


@pytest.mark.parametrize(
    ("window", "message"),
    [((5, 10, 20), "got 3 numbers"), (("a", "b"), "`window` must be numeric"), (7, "`window` must have 1 axis")],
)
def test_a_window_of_another_kind_gets_a_sentence(rng, unchecked, window, message):
    gram = oracles.sphere_gram("NTK", 100, 3, rng)
    for call in (estimate.alpha, lambda g, window: estimate.noise(g, np.ones(100), window=window)):
        with pytest.raises(ValueError, match=message):
            call(gram, window=window)


@pytest.mark.parametrize("method", ["pivots", "ridgeless"])
def test_rounding_beyond_the_rank_is_not_read_as_alpha(rng, method):
    features = rng.standard_normal((200, 30))
    gram = features @ features.T
    with pytest.raises(ValueError, match=r"no more than rounding .* from (3[0-9]|4[0-9]) samples on"):
        estimate.alpha(gram, method=method)
    assert math.isfinite(estimate.alpha(gram, method=method, window=(4, 20)).value)


@pytest.mark.parametrize("method", ["leave_one_out", "gcv"])
def test_rounding_beyond_the_rank_is_not_read_as_beta(rng, method):
    features = rng.standard_normal((200, 30))
    with pytest.raises(ValueError, match="its rank is too low, or samples repeat"):
        estimate.beta(features @ features.T, features[:, 0], method=method)
