import dataclasses
import math

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regimes import equivalents, spectra
from regimes.spectrum import Spectrum

INF = math.inf


def law(beta, alpha=0.5, modes=1000):
    return spectra.power_law(alpha, beta, modes=modes, tail=False)


# Computed by an independent script (bisection and dense sums): lambda_i = i^-1.5, 1000 modes, v_i^2 = i^-(1+beta).
GOLDEN = [
    (0.5, (50, INF, 0, 0), 0.4268190217),
    (0.5, (INF, 50, 0, 0), 0.4268190217),
    (0.5, (50, 200, 0, 0), 0.5690920289),
    (0.5, (200, 50, 0, 0), 0.5690920289),
    (0.5, (50, 200, 0.02, 0.1), 0.7318020409),
    (0.5, (200, 50, 0.02, 0.1), 0.695547214),
    (0.5, (100, 100, 0.1, 0), 0.5180377064),
    (1.2, (50, INF, 0, 0), 0.02492225936),
    (1.2, (INF, 50, 0, 0), 0.05494305061),
    (1.2, (50, 200, 0, 0), 0.04323660956),
    (1.2, (200, 50, 0, 0), 0.07325740081),
    (1.2, (50, 200, 0.02, 0.1), 0.224127369),
    (1.2, (200, 50, 0.02, 0.1), 0.2045589033),
    (3.0, (50, INF, 0, 0), 0.0003607374954),
    (3.0, (INF, 50, 0, 0), 0.01117784815),
]


@pytest.mark.parametrize(("beta", "arguments", "expected"), GOLDEN)
def test_golden_losses(beta, arguments, expected):
    assert equivalents.loss(law(beta), *arguments) == pytest.approx(expected, rel=5e-10)


def test_golden_gamma():
    assert equivalents.solve(law(0.5), 50).gamma == pytest.approx(0.0085363804, rel=5e-9)


@pytest.mark.parametrize(
    ("n", "k", "ridge"), [(30, 80, 1e-3), (80, 30, 1e-3), (50, 50, 1e-6), (20, 400, 10.0), (150, 199, 1e-9)]
)
def test_gamma_and_kappa_solve_the_two_equations_before_elimination(n, k, ridge):
    spectrum = law(0.5, modes=200)
    point = equivalents.solve(spectrum, n, k, ridge)
    kappa, gamma = oracles.two_unknowns(spectrum.eigenvalues, n, k, ridge)
    assert point.gamma == pytest.approx(gamma, rel=1e-11)
    assert point.kappa == pytest.approx(kappa, rel=1e-8)


@pytest.mark.parametrize(("n", "k", "ridge", "noise"), [(30, 80, 1e-3, 0.2), (80, 30, 1e-2, 0.0), (55, 50, 0.3, 0.1)])
def test_loss_equals_the_form_of_simon(n, k, ridge, noise):
    spectrum = law(1.2, modes=200)
    kappa, gamma = oracles.two_unknowns(spectrum.eigenvalues, n, k, ridge)
    expected = oracles.simon_loss(spectrum.eigenvalues, spectrum.power, n, k, gamma, kappa, noise)
    assert equivalents.loss(spectrum, n, k, ridge, noise) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("n", "k", "ridge", "noise"),
    [(60, 200, 0.0, 0.1), (200, 60, 0.0, 0.1), (120, 90, 1e-2, 0.0), (150, 150, 0.05, 0.2)],
)
@pytest.mark.parametrize("beta", [0.5, 1.2])
def test_loss_agrees_with_monte_carlo_of_gaussian_random_features(n, k, ridge, noise, beta, rng):
    spectrum = law(beta, modes=600)
    draws = [
        oracles.features_experiment(spectrum.eigenvalues, spectrum.power, n, k, ridge, noise, rng) for _ in range(48)
    ]
    stderr = np.std(draws, ddof=1) / math.sqrt(len(draws))
    predicted = equivalents.loss(spectrum, n, k, ridge, noise)
    # Three standard errors, plus the 1/n corrections that the large-size formula leaves out.
    assert abs(np.mean(draws) - predicted) < 3 * stderr + 0.02 * predicted
    assert stderr < 0.05 * predicted


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scaling_kernel_and_ridge_scales_gamma_and_nothing_else(scale):
    spectrum = law(1.2)
    scaled = dataclasses.replace(spectrum, eigenvalues=spectrum.eigenvalues * scale)
    n = np.array([5.0, 50.0, 500.0, 999.0])
    for ridge in (0.0, 1e-3):
        assert equivalents.loss(scaled, n, 100.0, ridge * scale) == pytest.approx(
            equivalents.loss(spectrum, n, 100.0, ridge), rel=1e-12
        )
        assert equivalents.solve(scaled, n, 100.0, ridge * scale).gamma == pytest.approx(
            equivalents.solve(spectrum, n, 100.0, ridge).gamma * scale, rel=1e-12
        )


@given(n=st.floats(1, 900), k=st.floats(1, 900), ridge=st.floats(1e-12, 1e3), alpha=st.floats(0.05, 3))
def test_the_fixed_point_has_no_residual(n, k, ridge, alpha):
    spectrum = law(0.5, alpha=alpha, modes=1000)
    point = equivalents.solve(spectrum, n, k, ridge)
    left = point.gamma * (1 - point.df1 / n) * (1 - point.df1 / k)
    # 1 - df1/n is only known to rounding of df1/n.
    assert abs(left - ridge / n) <= 1e-10 * ridge / n + 1e-13 * point.gamma


@given(n=st.floats(2, 5000), k=st.floats(2, 5000), ridge=st.floats(0, 10))
def test_gamma_is_symmetric_under_exchange_at_equal_unnormalised_ridge(n, k, ridge):
    spectrum = law(1.2)
    here, there = (equivalents.solve(spectrum, a, b, ridge / b).gamma for a, b in ((n, k), (k, n)))
    assert here == pytest.approx(there, rel=1e-9)


@given(n=st.floats(2, 900), k=st.floats(2, 900), unnormalised=st.floats(1e-6, 10))
def test_losses_agree_under_exchange_of_n_and_k_for_the_prior(n, k, unnormalised):
    spectrum = law(0.5)
    here = equivalents.loss(spectrum, n, k, unnormalised / k)
    there = equivalents.loss(spectrum, k, n, unnormalised / n)
    assert here == pytest.approx(there, rel=1e-6)


def test_losses_do_not_agree_under_exchange_for_another_target():
    assert equivalents.loss(law(1.2), 50, 200) != pytest.approx(equivalents.loss(law(1.2), 200, 50), rel=0.4)


def test_infinitely_many_features_are_the_limit_of_many():
    spectrum = law(1.2)
    for ridge in (0.0, 0.01):
        many = equivalents.loss(spectrum, 50, 1e10, ridge, 0.1)
        assert many == pytest.approx(equivalents.loss(spectrum, 50, INF, ridge, 0.1), rel=1e-7)
        many = equivalents.loss(spectrum, 1e10, 50, ridge, 0.1)
        assert many == pytest.approx(equivalents.loss(spectrum, INF, 50, ridge, 0.1), rel=1e-6)


def test_loss_diverges_like_one_over_distance_at_n_equal_k():
    spectrum = law(1.2)
    near = [equivalents.loss(spectrum, 100 + gap, 100) * gap for gap in (1e-3, 1e-6, 1e-9)]
    assert near == pytest.approx([near[-1]] * 3, rel=1e-4)
    assert equivalents.loss(spectrum, 100, 100) == INF


def test_peak_is_cut_off_at_one_over_the_root_of_the_ridge():
    spectrum = law(1.2)
    heights = np.array([equivalents.loss(spectrum, 100, 100, ridge) for ridge in (1e-10, 1e-12, 1e-14)])
    assert heights[1:] / heights[:-1] == pytest.approx([10, 10], rel=1e-2)


def test_infinite_ridge_predicts_zero():
    spectrum = law(1.2)
    assert equivalents.loss(spectrum, 50, 100, 1e12, 0.3) == pytest.approx(spectrum.total_power + 0.3, rel=1e-6)


def test_white_spectrum_has_the_marchenko_pastur_losses():
    modes, noise = 300, 0.25
    spectrum = Spectrum(np.ones(1), np.array([float(modes)]), np.array([float(modes)]))
    n = 100.0
    expected = (1 - n / modes) * modes + noise * modes / (modes - n)
    assert equivalents.loss(spectrum, n, INF, 0, noise) == pytest.approx(expected, rel=1e-12)
    n = 900.0
    assert equivalents.loss(spectrum, n, INF, 0, noise) == pytest.approx(noise * n / (n - modes), rel=1e-12)
    k, n = 100.0, 250.0
    assert equivalents.loss(spectrum, n, k) == pytest.approx((modes - k) * n / (n - k), rel=1e-12)
    assert equivalents.loss(spectrum, k, n) == pytest.approx((modes - k) * n / (n - k), rel=1e-12)
    # Ridge: kappa solves a quadratic.
    n, ridge = 150.0, 30.0
    b = ridge + modes - n
    kappa = (b + math.sqrt(b * b + 4 * n * ridge)) / (2 * n)
    assert equivalents.solve(spectrum, n, INF, ridge).kappa == pytest.approx(kappa, rel=1e-12)


def test_infinite_sizes_leave_the_noise():
    spectrum = law(1.2)
    assert equivalents.loss(spectrum, INF, INF, 0, 0.3) == 0.3
    assert equivalents.loss(spectrum, 2000, INF, 0, 0.3) == pytest.approx(0.3 * 2000 / 1000)
    assert equivalents.loss(spectrum, 2000, 3000) == 0.0


def test_train_loss_vanishes_without_ridge_and_obeys_gcv_with_it(rng):
    spectrum = law(0.5, modes=400)
    assert equivalents.loss(spectrum, 50, 100, 0, 0.1, train=True) == 0
    n, ridge, noise = 120, 0.5, 0.1
    trains, tests = [], []
    for _ in range(60):
        x = rng.standard_normal((n, 400)) * np.sqrt(spectrum.eigenvalues)
        w = rng.choice([-1, 1], 400)
        y = x @ w + math.sqrt(noise) * rng.standard_normal(n)
        theta = x.T @ np.linalg.solve(x @ x.T + ridge * np.eye(n), y)
        trains.append(np.mean((y - x @ theta) ** 2))
        tests.append(np.sum(spectrum.eigenvalues * (w - theta) ** 2) + noise)
    assert equivalents.loss(spectrum, n, INF, ridge, noise, train=True) == pytest.approx(np.mean(trains), rel=0.02)
    assert equivalents.loss(spectrum, n, INF, ridge, noise) == pytest.approx(np.mean(tests), rel=0.02)


def test_levels_with_multiplicity_equal_listed_modes():
    levels = Spectrum(np.array([1.0, 0.1, 0.01]), np.array([1.0, 0.5, 0.2]), np.array([1.0, 7.0, 90.0]))
    modes = Spectrum(
        np.repeat(levels.eigenvalues, [1, 7, 90]),
        np.repeat(levels.power / levels.multiplicity, [1, 7, 90]),
        np.ones(98),
    )
    for arguments in ((20, 50), (50, 20, 0.01), (30, INF, 0.1, 0.2)):
        assert equivalents.loss(levels, *arguments) == pytest.approx(equivalents.loss(modes, *arguments), rel=1e-12)


def test_tail_stands_for_the_modes_it_sums():
    values = np.arange(1, 100_001.0) ** -1.5
    full, beyond = spectra.listed(values), values[10_000:].sum()
    short = dataclasses.replace(spectra.listed(values[:10_000]), tail=beyond, tail_power=beyond)
    n = np.array([10.0, 100.0, 1000.0])
    assert equivalents.loss(short, n) == pytest.approx(equivalents.loss(full, n), rel=2e-3)
    dropped = dataclasses.replace(short, tail=0.0, tail_power=0.0)
    assert abs(equivalents.loss(dropped, 1000.0) / equivalents.loss(full, 1000.0) - 1) > 0.05


def test_arguments_broadcast():
    values = equivalents.loss(law(0.5), np.array([10.0, 20.0])[:, None], np.array([30.0, 40.0, INF]), 0.01)
    assert values.shape == (2, 3)
    assert values[1, 2] == pytest.approx(float(equivalents.loss(law(0.5), 20, INF, 0.01)), rel=1e-13)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 10), "`n` must be positive, got 0"),
        ((10, -1), "`k` must be positive, got -1"),
        ((10, 10, -0.1), "`ridge` must be finite and not negative"),
        ((10, 10, 0.0, -1.0), "`noise` must be finite and not negative"),
        ((math.nan, 10), "`n` must not be NaN"),
    ],
)
def test_bad_input_gets_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        equivalents.loss(law(0.5), *arguments)


def test_infinite_sizes_leave_the_tail_and_the_noise():
    spectrum = spectra.power_law(0.5, 1.2, modes=100)
    assert equivalents.loss(spectrum, INF, INF, 0, 0.3) == pytest.approx(spectrum.tail_power + 0.3, rel=1e-12)
