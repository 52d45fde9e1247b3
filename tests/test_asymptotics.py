import math

import mpmath
import numpy as np
import pytest
from oracles_powerlaw import fine, flow
from scipy import optimize

from regimes import asymptotics, equivalents, spectra
from regimes.results import log_slope

INF = math.inf
LAWS = [(0.5, 0.3), (0.5, 0.5), (0.5, 1.0), (0.5, 2.2), (0.5, 4.2), (1.0, 0.6), (1.0, 3.0), (1.0, 5.5), (2.0, 2.0)]
"""(alpha, beta) on both sides of beta = 1+alpha and beta = 2(1+alpha), away from equality."""
EDGES = [(0.5, 1.5), (1.0, 2.0), (0.5, 3.0), (1.0, 4.0)]
"""beta = 1+alpha, and beta = 2(1+alpha)."""


def law(alpha, beta):
    return spectra.power_law(alpha, beta, modes=10**14)


def row(alpha, beta, name, noise=0.0):
    (found,) = [rate for rate in asymptotics.rates(alpha, beta, noise=noise) if rate.regime.startswith(name)]
    return found


def agrees(rate, at, exact, factor=3.2):
    """Amplitude and exponent, within `factor` times the correction that the rate itself states."""
    error = np.abs(rate.predict(at) / exact - 1)
    assert np.all(error <= factor * at**-rate.correction + 1e-8), error
    if len(at) > 2:
        slope_error = factor * rate.correction * float(at[0]) ** -rate.correction
        assert -log_slope(at, exact) == pytest.approx(rate.exponent, abs=slope_error + 1e-6)


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 3.0])
def test_gamma_is_where_df1_equals_m(alpha):
    m = np.array([1e3, 1e5])
    exact = equivalents.solve(law(alpha, alpha), m).gamma
    assert asymptotics.gamma(m + 0.5, alpha) == pytest.approx(exact, rel=3 * m[0] ** -min(2.0, 1 + alpha))
    assert asymptotics.gamma(m, alpha) == pytest.approx(exact * (1 + (1 + alpha) / (2 * m)), rel=1e-5)


@pytest.mark.parametrize(("alpha", "beta"), LAWS)
def test_resolution_in_n(alpha, beta):
    n = np.geomspace(1e6, 1e8, 5)
    rate = row(alpha, beta, "resolution-limited in n")
    assert rate.exponent == pytest.approx(min(beta, 2 * (1 + alpha)))
    agrees(rate, n, equivalents.loss(law(alpha, beta), n))


@pytest.mark.parametrize(("alpha", "beta"), LAWS)
def test_resolution_in_k(alpha, beta):
    k = np.geomspace(1e6, 1e8, 5)
    rate = row(alpha, beta, "resolution-limited in k", noise=0.2)
    assert rate.exponent == pytest.approx(min(beta, 1 + alpha))
    agrees(rate, k, equivalents.loss(law(alpha, beta), INF, k))


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.5, 2.2), (0.5, 3.4), (1.0, 1.5), (1.0, 3.5)])
@pytest.mark.parametrize("along", ["n", "k"])
def test_stated_correction_is_the_one_seen(alpha, beta, along):
    m = np.array([1e4, 1e5, 1e6])
    exact = equivalents.loss(law(alpha, beta), *((m, INF) if along == "n" else (INF, m)))
    rate = row(alpha, beta, f"resolution-limited in {along}")
    seen = -log_slope(m, np.abs(exact / rate.predict(m) - 1))
    assert seen == pytest.approx(rate.correction, abs=0.03)


@pytest.mark.parametrize(("alpha", "beta"), EDGES)
def test_equality_has_a_logarithm_with_its_amplitude(alpha, beta):
    m = np.geomspace(1e6, 1e8, 3)
    along = "k" if beta == 1 + alpha else "n"
    exact = equivalents.loss(law(alpha, beta), *((INF, m) if along == "k" else (m, INF)))
    rate = row(alpha, beta, f"resolution-limited in {along}")
    assert rate.logarithm
    assert rate.correction == 0
    # L m^exponent = amplitude (ln m + constant): its slope in ln m is free of the constant.
    slope = np.polyfit(np.log(m), exact * m**rate.exponent, 1)[0]
    assert slope == pytest.approx(rate.amplitude, rel=1e-4)
    assert rate.predict(m) == pytest.approx(rate.amplitude * np.log(m) * m**-rate.exponent)


def test_logarithm_appears_nowhere_else():
    found = [rate.regime for pair in LAWS for rate in asymptotics.rates(*pair, noise=0.1) if rate.logarithm]
    assert found == []


def test_prior_is_dual_with_the_closed_amplitude():
    u = asymptotics.spectral_constant(0.7)
    for along in ("n", "k"):
        assert row(0.7, None, f"resolution-limited in {along}").amplitude == pytest.approx(u**1.7, rel=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("beta", [0.5, 2.2, 4.0])
def test_variance_laws_are_exact_at_any_size(beta, noise):
    spectrum = spectra.power_law(0.5, beta, modes=3000)
    small, large = 40.0, np.array([41.0, 90.0, 1e4])

    def loss(n, k):
        return equivalents.loss(spectrum, n, k, 0, noise)

    width = loss(INF, small)
    in_n = (loss(large, small) - width) / (small * width)
    in_k = (loss(small, large) - loss(small, INF)) / (small * width)
    assert row(0.5, beta, "variance-limited in n", noise).predict(large - small) == pytest.approx(in_n, rel=1e-8)
    assert row(0.5, beta, "variance-limited in k", noise).predict(large - small) == pytest.approx(in_k, rel=1e-6)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_interpolation_peak_and_its_top(noise):
    spectrum, m, gap = law(0.5, 1.2), 1e3, np.array([1e-3, 1e-2, 1e-1])
    reference = equivalents.loss(spectrum, INF, m, 0, noise)
    peak = row(0.5, 1.2, "interpolation peak", noise)
    for n, k in ((m + gap, m), (m, m + gap)):
        seen = equivalents.loss(spectrum, n, k, 0, noise) / (m * reference)
        assert peak.predict(gap) == pytest.approx(seen, rel=3e-4)
    ridge = m * float(asymptotics.gamma(m, 0.5)) * np.array([1e-12, 1e-11, 1e-10])
    seen = equivalents.loss(spectrum, m, m, ridge, noise) / (reference * math.sqrt(m * asymptotics.gamma(m, 0.5)))
    assert row(0.5, 1.2, "top of the peak", noise).predict(ridge) == pytest.approx(seen, rel=2e-3)


@pytest.mark.parametrize(("alpha", "beta"), LAWS)
def test_noise_plateau(alpha, beta):
    n = np.array([1e5, 1e7])
    rate = row(alpha, beta, "noise plateau", noise=0.3)
    excess = equivalents.loss(law(alpha, beta), n, INF, 0, 0.3) - 0.3
    # The noiseless loss, and the plateau's own 1/n, are what is left out.
    left_out = row(alpha, beta, "resolution-limited in n").predict(n) / rate.amplitude + 2 * (1 + alpha) / n
    assert np.all(np.abs(excess / rate.predict(n) - 1) <= 1.1 * left_out)
    assert rate.exponent == 0


REGIONS = [(alpha, beta, decay) for alpha, beta in LAWS for decay in (0.3, 0.6, 1 + alpha, 2.5 + alpha)]


@pytest.mark.parametrize(("alpha", "beta", "decay"), REGIONS)
def test_bias_with_a_ridge_that_falls_as_a_power(alpha, beta, decay):
    n = np.array([1e6, 1e8, 1e10])
    (rate,) = asymptotics.ridge_rates(alpha, beta, decay=decay, strength=0.7)
    exact = equivalents.loss(law(alpha, beta), n, INF, 0.7 * n ** (1 - decay))
    assert rate.exponent == pytest.approx(min(decay / (1 + alpha), 1) * min(beta, 2 * (1 + alpha)))
    agrees(rate, n, exact)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("decay", [0.3, 0.6, "edge", 4.0])
def test_noise_with_a_ridge_that_falls_as_a_power(alpha, decay):
    n, spectrum = np.array([1e6, 1e8, 1e10]), law(alpha, alpha)
    decay = 1 + alpha if decay == "edge" else decay
    ridge = 0.7 * n ** (1 - decay)
    terms = asymptotics.ridge_rates(alpha, decay=decay, strength=0.7, noise=0.4)
    (rate,) = [term for term in terms if term.regime.startswith("noisy")]
    point = equivalents.solve(spectrum, n, INF, ridge)
    exact = 0.4 * point.df2 / (n - point.df2)
    assert rate.exponent == pytest.approx(max(0, 1 - decay / (1 + alpha)))
    agrees(rate, n, exact)


@pytest.mark.parametrize(("alpha", "beta"), LAWS)
def test_slowest_term_of_a_falling_ridge_comes_first(alpha, beta):
    b = min(beta, 2 * (1 + alpha))
    best = (1 + alpha) / (1 + b)
    first = [asymptotics.ridge_rates(alpha, beta, decay=f * best, noise=0.1)[0] for f in (0.9, 1.1)]
    assert [rate.regime for rate in first] == ["noiseless, regularised", "noisy, regularised"]
    both = asymptotics.ridge_rates(alpha, beta, decay=best, noise=0.1)
    assert [rate.exponent for rate in both] == pytest.approx([b / (1 + b)] * 2)


def best_ridge(spectrum, n, k, noise):
    """Least excess over the ridge, and the kappa where it is reached."""

    def excess(log_ridge):
        return float(equivalents.loss(spectrum, n, k, math.exp(log_ridge), noise)) - noise

    grid = np.linspace(-25, 25, 51)
    values = np.asarray(equivalents.loss(spectrum, n, k, np.exp(grid), noise)) - noise
    centre = grid[np.argmin(values)]
    found = optimize.minimize_scalar(excess, bounds=(centre - 1, centre + 1), method="bounded", options={"xatol": 1e-5})
    return found.fun, float(equivalents.solve(spectrum, n, k, math.exp(found.x)).kappa)


@pytest.mark.parametrize(("alpha", "beta"), LAWS)
def test_noise_with_the_best_ridge(alpha, beta):
    n = np.array([1e6, 1e8])
    found = np.array([best_ridge(law(alpha, beta), size, INF, 0.5) for size in n]).T
    for name, exact, factor in (("noisy, best ridge", found[0], 1.6), ("best ridge", found[1], 7)):
        agrees(row(alpha, beta, name, noise=0.5), n, exact, factor)


def held(alpha, beta, noise, ridge):
    rates = asymptotics.rates(alpha, beta, noise=noise, ridge=ridge)
    return [rate for rate in rates if "ridge held" in rate.regime]


@pytest.mark.parametrize("ridge", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_ridge_held(ridge, noise):
    n, spectrum = np.geomspace(1e12, 1e14, 3), law(0.5, 2.2)
    terms = held(0.5, 2.2, noise, ridge)
    assert len(terms) == 1 + (noise > 0)
    assert all(rate.quantity.endswith(f" at ridge {ridge:g}") for rate in terms)
    excess = equivalents.loss(spectrum, n, INF, ridge, noise) - noise
    assert sum(rate.predict(n) for rate in terms) == pytest.approx(excess, rel=7e-3)
    assert -log_slope(n, excess) == pytest.approx(terms[0].exponent, abs=2e-3)


def test_without_a_ridge_there_are_no_rows_about_one():
    assert held(0.5, 2.2, 0.5, 0.0) == []


def test_rows_of_the_ridge_held_say_from_which_n_ridge_and_noise_rule():
    crossing = asymptotics.ridge_crossover(0.5, 0.01)
    for noise in (0.0, 1e-6):
        for rate in held(0.5, 1.2, noise, 0.01):
            assert f"n above {crossing:.3g}, where ridge/n exceeds gamma(n)" in rate.valid
    # A ridge above the first eigenvalue at n = 1: nothing is learnt until n is as large.
    assert "n above 30, where ridge/n falls below the first eigenvalue" in held(0.5, 1.2, 0.0, 30.0)[0].valid
    # Bias n^-0.8 and noise n^-1/3: where the printed n is, the exact parts are equal.
    noise, ridge, spectrum = 1e-9, 0.01, law(0.5, 1.2)
    words = held(0.5, 1.2, noise, ridge)[0].valid
    n = float(words.split("the noise part is the larger for n above ")[1])
    assert n > 1e6 * crossing
    bias = float(equivalents.loss(spectrum, n, INF, ridge))
    fitted = float(equivalents.loss(spectrum, n, INF, ridge, noise)) - noise - bias
    assert fitted == pytest.approx(bias, rel=0.05)
    assert "the bias is the larger for n above" in held(0.5, 0.3, 10.0, 1.0)[0].valid
    assert "times the bias at every n" in held(0.5, 0.5, 0.3, 1.0)[0].valid
    plateau = row(0.5, 1.2, "noise plateau", noise=1e-6)
    assert f"n above {asymptotics.noise_crossover(0.5, 1.2, noise=1e-6):.3g}" in plateau.valid
    assert "every n" in row(0.5, 1.2, "noise plateau", noise=1e10).valid


EXTREMES = [(0.5, 300.0), (0.5, 1e300), (300.0, 1e-3), (1e-3, 1e-3), (1e-17, None), (1e17, 3.0), (1e-320, 1e-320)]


@pytest.mark.parametrize(("alpha", "beta"), EXTREMES)
@pytest.mark.parametrize("noise", [0.0, 1e-300, 1e10])
@pytest.mark.parametrize("ridge", [0.0, 1e-300, 1e300])
def test_extreme_parameters_overflow_quietly(alpha, beta, noise, ridge):
    for rate in asymptotics.rates(alpha, beta, noise=noise, ridge=ridge):
        assert not rate.amplitude < 0
        assert str(rate)
    for strength in (1e-300, 1e-20, 1e300):
        assert asymptotics.ridge_rates(alpha, beta, decay=1 + alpha, strength=strength, noise=noise)


def test_amplitude_in_time_of_a_very_smooth_target():
    # Gamma(200)/1.5 2^-200, of which Gamma alone is no float.
    with mpmath.workdps(30):
        exact = mpmath.log(mpmath.gamma(190) / mpmath.mpf(1.5) / mpmath.mpf(2) ** 190)
    assert math.log(row(0.5, 285.0, "time-limited").amplitude) == pytest.approx(float(exact), rel=1e-12)
    assert row(0.5, 300.0, "time-limited").amplitude == INF


def test_crossovers_that_overflow_are_infinite():
    assert asymptotics.ridge_crossover(1e-3, 0.01) == INF
    assert asymptotics.noise_crossover(1e-3, noise=0.01) == INF
    assert asymptotics.noise_crossover(1e-3, noise=0.01, tuned=True) == INF


@pytest.mark.parametrize("alpha", [1e-17, 1e-6, 0.5, 30.0, 1e17])
def test_spectral_constant_keeps_its_digits(alpha):
    with mpmath.workdps(60):
        x = mpmath.pi / (1 + mpmath.mpf(alpha))
        exact = float(x / mpmath.sin(x))
    assert asymptotics.spectral_constant(alpha) == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("strength", [1e-200, 1e-20, 1e-3, 1.0, 1e5, 1e200])
@pytest.mark.parametrize("alpha", [1e-17, 0.5, 3.0])
def test_a_ridge_at_the_edge_of_any_strength(alpha, strength):
    beta = 0.4
    (rate,) = asymptotics.ridge_rates(alpha, beta, decay=1 + alpha, strength=strength)
    with mpmath.workdps(60):
        p, beta = 1 + mpmath.mpf(alpha), mpmath.mpf(beta)
        u = mpmath.pi / p / mpmath.sin(mpmath.pi / p)

        def gap(w):  # y = 1/(1 + e^w)
            y = 1 / (1 + mpmath.exp(w))
            return p * mpmath.log(u / y) + w + mpmath.log(y) - mpmath.log(strength)

        centre = mpmath.log(strength) - p * mpmath.log(u)
        w = mpmath.findroot(
            gap, (centre / p - 5, centre + 5) if centre > 0 else (centre - 5, centre + 5), solver="anderson"
        )
        y = 1 / (1 + mpmath.exp(w))
        head = mpmath.gamma(2 - beta / p) * mpmath.gamma(beta / p) / p
        exact = head * (u / y) ** beta / (1 - y * (p - 1) / p)
    assert rate.amplitude == pytest.approx(float(exact), rel=1e-9)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_a_fixed_ridge_takes_over_at_its_crossover(alpha):
    ridge = 1e-4
    crossing = asymptotics.ridge_crossover(alpha, ridge)
    assert ridge / crossing == pytest.approx(float(asymptotics.gamma(crossing, alpha)), rel=1e-12)
    n, beta = crossing * np.array([1e-4, 1, 1e4]), 1.0
    ratio = equivalents.loss(law(alpha, beta), n, INF, ridge) / equivalents.loss(law(alpha, beta), n)
    # At the crossing ridge/n = u^p n^-p, the edge between two of Cui's regions; far from it, one of them each.
    strength = asymptotics.spectral_constant(alpha) ** (1 + alpha)
    (edge,) = asymptotics.ridge_rates(alpha, beta, decay=1 + alpha, strength=strength)
    (held,) = asymptotics.ridge_rates(alpha, beta, decay=1.0, strength=ridge)
    free = row(alpha, beta, "resolution-limited in n")
    expected = [1.0, edge.amplitude / free.amplitude, held.predict(n[2]) / free.predict(n[2])]
    assert ratio[:2] == pytest.approx(expected[:2], rel=0.02)
    assert ratio[2] == pytest.approx(expected[2], rel=0.06)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.5, 2.2), (1.0, 3.0), (0.5, 3.0)])
def test_noise_takes_over_at_its_crossover(alpha, beta):
    noise = 1e-9 if beta > 1 else 1e-3
    n = asymptotics.noise_crossover(alpha, beta, noise=noise)
    spectrum = law(alpha, beta)
    clean = float(equivalents.loss(spectrum, n))
    plateau = float(equivalents.loss(spectrum, n, INF, 0, noise)) - noise - clean
    # At equality of beta and 2(1+alpha) the logarithm's constant is left out: relative 1/ln(n).
    assert plateau == pytest.approx(clean, rel=0.02 if beta < 3 or alpha > 0.5 else 0.2)
    one, ten = (asymptotics.noise_crossover(alpha, beta, noise=s) for s in (noise, noise / 10))
    assert math.log10(ten / one) == pytest.approx(1 / min(beta, 2 * (1 + alpha)), rel=1e-9 if beta != 3.0 else 0.2)


@pytest.mark.parametrize(("alpha", "beta", "noise"), [(0.5, 0.5, 1e-3), (0.5, 2.2, 1e-7), (1.0, 5.5, 1e-14)])
def test_noise_takes_over_at_its_crossover_with_the_best_ridge(alpha, beta, noise):
    n = asymptotics.noise_crossover(alpha, beta, noise=noise, tuned=True)
    clean, noisy = row(alpha, beta, "resolution-limited in n"), row(alpha, beta, "noisy, best ridge", noise=noise)
    assert clean.predict(n) == pytest.approx(noisy.predict(n))
    # A factor 100 before and 10^4 after, the exact loss follows one of the two laws and not the other.
    for size, rate, other in ((n / 100, clean, noisy), (n * 1e4, noisy, clean)):
        exact = best_ridge(law(alpha, beta), size, INF, noise)[0]
        assert exact == pytest.approx(rate.predict(size), rel=0.25)
        assert exact > 2 * other.predict(size)


@pytest.mark.parametrize(
    ("alpha", "beta"), [(0.5, 0.3), (0.5, 0.5), (0.5, 1.0), (0.5, 2.2), (0.5, 5.0), (1.0, 1.5), (2.0, 3.0)]
)
@pytest.mark.parametrize("noise", [0.0, 1e-4, 1.0])
def test_derivative_of_the_loss_in_kappa_at_ridge_zero(alpha, beta, noise):
    spectrum, n = law(alpha, beta), 1e6
    start = equivalents.solve(spectrum, n)
    bias = float(equivalents.loss(spectrum, n)) * (1 - start.df2 / n)
    ridge = 1e-5 * n * start.kappa * np.array([1.0, 2.0])
    log_loss = np.log(equivalents.loss(spectrum, n, INF, np.array([0.0, *ridge]), noise))
    log_kappa = np.log(equivalents.solve(spectrum, n, INF, np.array([0.0, *ridge])).kappa)
    slopes = np.diff(log_loss) / np.diff(log_kappa)
    numeric = 1.5 * slopes[0] - 0.5 * slopes[1]
    formula = asymptotics.ridge_derivative(alpha, beta, noise=noise, bias=bias)
    assert formula == pytest.approx(numeric, abs=5e-3)
    decided = abs(formula) > 5e-3
    assert not decided or asymptotics.interpolation_is_optimal(alpha, beta, noise=noise, bias=bias) == (numeric > 0)


def test_interpolation_threshold_is_the_stated_ratio():
    alpha, beta, bias = 0.5, 1.2, 0.01
    edge = bias * (beta / alpha - 1)
    assert asymptotics.interpolation_is_optimal(alpha, beta, noise=0.99 * edge, bias=bias)
    assert not asymptotics.interpolation_is_optimal(alpha, beta, noise=1.01 * edge, bias=bias)


@pytest.mark.parametrize("beta", [0.7, 2.2])
def test_best_width_without_ridge(beta):
    n = 1e10
    for noise in (0.0, 0.5):
        found = optimize.minimize_scalar(
            lambda x, noise=noise: float(equivalents.loss(law(0.5, beta), n, math.exp(x), 0, noise)) - noise,
            bounds=(math.log(10), math.log(0.99 * n)),
            method="bounded",
            options={"xatol": 1e-7},
        )
        rate = row(0.5, beta, "best width without ridge", noise)
        assert math.exp(found.x) == pytest.approx(rate.predict(n), rel=4 * n**-rate.correction + 3e-4)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.5, 2.2), (1.0, 3.0), (0.5, 4.2)])
def test_smallest_adequate_width_with_noise(alpha, beta):
    n, spectrum, noise = np.array([1e7, 1e8]), law(alpha, beta), 1.0
    widths = []
    for size in n:
        least, kappa = best_ridge(spectrum, size, INF, noise)
        ridge = size * kappa * np.exp(np.linspace(-2, 2, 21))

        def gap(log_width, size=size, ridge=ridge, goal=1.2 * least):
            excess = np.log(equivalents.loss(spectrum, size, math.exp(log_width), ridge, noise) - noise)
            inside = int(np.clip(np.argmin(excess), 1, len(ridge) - 2))
            left, middle, right = excess[inside - 1 : inside + 2]
            return middle - (right - left) ** 2 / (8 * (right - 2 * middle + left)) - math.log(goal)

        widths.append(math.exp(optimize.brentq(gap, math.log(30), math.log(size), xtol=3e-3)))
    assert log_slope_of_two(n, widths) == pytest.approx(
        -row(alpha, beta, "smallest adequate", noise).exponent, abs=0.03
    )


def log_slope_of_two(at, values):
    return math.log(values[1] / values[0]) / math.log(at[1] / at[0])


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.5, 2.2), (1.0, 3.0), (0.5, 4.2)])
def test_smallest_adequate_width_without_noise(alpha, beta):
    n, spectrum = np.array([1e5, 1e6]), law(alpha, beta)
    widths = []
    for size in n:
        goal = 1.2 * float(equivalents.loss(spectrum, size))
        gap = lambda x, size=size, goal=goal: math.log(float(equivalents.loss(spectrum, size, math.exp(x))) / goal)  # noqa: E731
        widths.append(math.exp(optimize.brentq(gap, math.log(1.001 * size), math.log(1e30), xtol=1e-6)))
    assert log_slope_of_two(n, widths) == pytest.approx(-row(alpha, beta, "smallest adequate").exponent, abs=0.02)


def test_flow_oracle_agrees_with_flows_on_drawn_features(rng):
    modes, k, t = 1500, 48, 60.0
    rank = np.arange(1, modes + 1.0)
    values, power = rank**-1.5, rank**-1.7
    drawn = []
    for _ in range(24):
        features = np.sqrt(values)[:, None] * rng.standard_normal((modes, k)) / math.sqrt(k)
        vectors, singular, _ = np.linalg.svd(features, full_matrices=False)
        share = (vectors**2 * power[:, None]).sum(axis=0)  # mean over the signs of the target
        drawn.append(power.sum() - share.sum() + share @ np.exp(-2 * t * singular**2))
    infinite, excess = flow((values, power, np.ones(modes)), k, t)
    stderr = np.std(drawn, ddof=1) / math.sqrt(len(drawn))
    assert stderr < 0.03 * excess
    assert abs(np.mean(drawn) - infinite - excess) < 3 * stderr + 0.02 * excess


@pytest.mark.parametrize(("alpha", "beta"), LAWS)
def test_time(alpha, beta):
    t = np.array([30.0, 1e3, 1e6])
    values, power, _ = fine(alpha, beta)
    exact = (power * np.exp(-2 * values * t[:, None])).sum(axis=1)
    # Modes beyond the grid's end are never learnt in this time.
    exact += 1e13**-beta / beta
    rate = row(alpha, beta, "time-limited", noise=0.3)
    assert rate.exponent == pytest.approx(beta / (1 + alpha))
    assert rate.predict(t[1:]) == pytest.approx(exact[1:], rel=2e-5)
    assert rate.correction == INF


@pytest.mark.parametrize(("alpha", "beta"), [pair for pair in LAWS if pair[1] != 2.0])
def test_time_and_width(alpha, beta):
    t = np.array([1e6, 1e8])
    k = 1e4 * t ** (1 / (1 + alpha))
    exact = np.array([flow(fine(alpha, beta), width, time)[1] * width for width, time in zip(k, t, strict=True)])
    rate = row(alpha, beta, "time and width")
    assert rate.exponent == pytest.approx((min(beta, 1 + alpha) - 1) / (1 + alpha))
    # Second order in 1/k is a relative t^(1/(1+alpha))/k = 1e-4 times a number of order one.
    assert np.all(np.abs(rate.predict(t) / exact - 1) < 4 * t**-rate.correction + 5e-4)
    if rate.correction > 0.2:
        assert -log_slope_of_two(t, exact) == pytest.approx(rate.exponent, abs=0.02)


def test_time_and_width_has_a_logarithm_at_equality():
    alpha, beta, t = 0.5, 1.5, np.array([1e6, 1e8, 1e10])
    k = 1e5 * t ** (1 / (1 + alpha))
    exact = np.array([flow(fine(alpha, beta, 1e15), width, time)[1] * width for width, time in zip(k, t, strict=True)])
    rate = row(alpha, beta, "time and width")
    slope = np.polyfit(np.log(t), exact * t**rate.exponent, 1)[0]
    assert rate.logarithm
    assert slope == pytest.approx(rate.amplitude, rel=2e-3)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.7), (1.0, 1.2), (0.5, 2.2), (1.0, 4.0)])
def test_width_and_time_stop_being_equivalent(alpha, beta):
    k, modes, raw = np.array([1e5, 1e7]), fine(alpha, beta), []
    for width in k:

        def gap(log_time, width=width):
            infinite, excess = flow(modes, width, math.exp(log_time))
            return math.log(excess / infinite / 0.02)

        raw.append(math.exp(optimize.brentq(gap, math.log(10), (1 + alpha) * math.log(width), xtol=1e-4)) / width)
    rate = row(alpha, beta, "scale-time equivalence ends")
    assert log_slope_of_two(k, raw) == pytest.approx(-rate.exponent, abs=0.03)


@pytest.mark.parametrize(("alpha", "beta"), [*LAWS, *EDGES, (1, 3)])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_every_rate_prints_on_one_line_with_its_reason(alpha, beta, noise):
    rates = asymptotics.rates(alpha, beta, noise=noise)
    names = [rate.regime for rate in rates]
    assert len(set(names)) == len(names)
    assert any("plateau" in name for name in names) == (noise > 0)
    for rate in rates:
        line = str(rate)
        assert "\n" not in line
        assert rate.reason in line
        assert rate.along in {"n", "k", "t", "C", "|n-k|", "ridge"}
        assert math.isfinite(rate.exponent)
        assert not rate.amplitude <= 0
        assert math.isnan(rate.amplitude) == ("nan" in f"{rate.predict(10.0)}")


def test_a_printed_line():
    amplitude = 1.5 * asymptotics.spectral_constant(0.5) ** 3
    assert str(row(0.5, 3.0, "resolution-limited in n")) == (
        f"resolution-limited in n: L(n, inf) at noise 0 ~ {amplitude:.4g} n^-3 ln(n): the target is smoother than the "
        "kernel can follow: the squared shrinkage of its first modes remains, and data saturate at 2(1+alpha); the "
        "target is just that smooth, which adds a logarithm [infinite width, no noise, no ridge]"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: asymptotics.rates(0.0), "`alpha` must be finite and more than 0"),
        (lambda: asymptotics.rates(0.5, -1.0), "`beta` must be finite and more than 0"),
        (lambda: asymptotics.rates(0.5, noise=-1.0), "`noise` must be finite and at least 0"),
        (lambda: asymptotics.ridge_rates(0.5, decay=0.0), "`decay` must be finite and more than 0"),
        (lambda: asymptotics.ridge_rates(0.5, decay=1.0, strength=-2.0), "`strength` must be finite and more than 0"),
        (lambda: asymptotics.noise_crossover(0.5, noise=0.0), "`noise` must be finite and more than 0"),
        (lambda: asymptotics.rates(0.5, ridge=-1.0), "`ridge` must be finite and at least 0"),
        (lambda: asymptotics.noise_crossover(0.5, 3.0, noise=1e3), "`noise` dominates at every n"),
        (lambda: asymptotics.noise_crossover(0.5, 1.0, noise=1e10), "`noise` dominates at every n"),
        (lambda: asymptotics.noise_crossover(0.5, 1.0, noise=1e10, tuned=True), "`noise` dominates at every n"),
        (lambda: asymptotics.noise_crossover(0.5, 3.0, noise=0.1, tuned=True), "`tuned` has no amplitude"),
        (lambda: asymptotics.ridge_crossover(0.5, 0.0), "`ridge` must be finite and more than 0"),
        (lambda: asymptotics.ridge_derivative(0.5, noise=0.1, bias=0.0), "`bias` must be finite and more than 0"),
        (lambda: asymptotics.gamma([1.0, -1.0], 0.5), "`m` must be positive, got -1"),
        (lambda: asymptotics.gamma(10.0, -0.5), "`alpha` must be finite and more than 0"),
    ],
)
def test_bad_input_gets_a_sentence(call, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        call()
