import dataclasses
import math
import time
import tracemalloc

import jax
import numpy as np
import oracles
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from regimes import differentiable, equivalents, spectra
from regimes._precision import float64
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
@example(n=2.0, k=3.0, ridge=2.2e-309)
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


PARTS = equivalents.Decomposition._fields
CORNERS = [
    # n, k, ridge, stack, ensemble
    (50, 200, 0.0, (), 1),
    (200, 50, 0.0, (), 1),
    (100, 100.001, 0.0, (), 1),
    (100, 100, 1e-8, (), 3),
    (60, 90, 1e-2, (40.0, 300.0), 1),
    (60, 90, 0.0, (70.0,), 4),
    (60, INF, 1e-2, (), INF),
    (INF, 60, 0.0, (), 2),
]


@pytest.mark.parametrize(("n", "k", "ridge", "stack", "models"), CORNERS)
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_parts_are_not_negative_and_sum_to_the_loss(n, k, ridge, stack, models, noise):
    parts = equivalents.decompose(law(1.2), n, k, ridge, noise, stack=stack, ensemble=models)
    assert all(part >= 0 for part in parts)
    loss = equivalents.loss(law(1.2), n, k, ridge, noise, stack=stack, ensemble=models)
    assert parts.total == pytest.approx(loss, rel=1e-9)


def test_every_part_has_its_cause():
    """No features part without random features, no data part with infinite data, no interaction unless both."""
    kernel = equivalents.decompose(law(1.2), 60, INF, 1e-2, 0.2)
    assert max(kernel.features, kernel.interaction, kernel.noise_features) < 1e-15
    assert min(kernel.bias, kernel.data, kernel.noise_data) > 1e-3
    projection = equivalents.decompose(law(1.2), INF, 60, 0.0, 0.2)
    assert max(projection.data, projection.interaction, projection.noise_data, projection.noise_features) < 1e-15
    assert min(projection.bias, projection.features) > 1e-3


@pytest.mark.parametrize(
    ("n", "widths", "ridge"),
    [(80, (240,), 0.0), (240, (80,), 0.0), (120, (120,), 0.1), (100, (140,), 1e-2), (120, (180, 240), 0.02)],
)
def test_each_part_agrees_with_monte_carlo(n, widths, ridge, rng):
    """Three standard errors, and 1/n for the corrections that the large-size formulas leave out.

    For the first case thousands of draws resolve corrections of 1 to 5 % at half its sizes, at most 2 % at its sizes.
    """
    spectrum, noise = law(1.2, modes=400), 0.2
    draws = [
        oracles.analysis_of_variance(spectrum.eigenvalues, spectrum.power, n, widths, ridge, noise, rng)
        for _ in range(80)
    ]
    parts = equivalents.decompose(spectrum, n, widths[0], ridge, noise, stack=widths[1:])
    for name in (*PARTS[:-1], "total"):
        values = np.array([draw[name] for draw in draws])
        stderr = values.std(ddof=1) / math.sqrt(len(values))
        predicted = getattr(parts, name)
        assert abs(values.mean() - predicted) < 3 * stderr + predicted / n, name
        assert stderr < 0.05 * predicted or name in ("data", "bias", "features"), name
        assert stderr < 0.12 * predicted, name


@pytest.mark.parametrize(
    ("n", "k", "ridge", "noise"),
    [
        (n, k, ridge, noise)
        for n, k in ((80, 240), (240, 80), (120, 130))
        for ridge in (1e-3, 0.1)
        for noise in (0.0, 0.3)
    ],
)
def test_loss_agrees_with_monte_carlo_on_a_grid(n, k, ridge, noise, rng):
    spectrum = law(0.5, modes=400)
    draws = [
        oracles.features_experiment(spectrum.eigenvalues, spectrum.power, n, k, ridge, noise, rng) for _ in range(40)
    ]
    predicted, stderr = equivalents.loss(spectrum, n, k, ridge, noise), np.std(draws, ddof=1) / math.sqrt(40)
    assert abs(np.mean(draws) - predicted) < 3 * stderr
    assert stderr < 0.06 * predicted


@pytest.mark.parametrize(
    ("n", "widths", "ridge"), [(100, (150, 80), 0.0), (100, (150, 120), 0.05), (150, (90, 120, 200), 0.02)]
)
def test_loss_of_stacked_layers_agrees_with_monte_carlo(n, widths, ridge, rng):
    spectrum, noise = law(0.5, modes=400), 0.1
    draws = [
        oracles.ensemble_experiment(spectrum.eigenvalues, spectrum.power, n, widths, ridge, noise, 1, rng)
        for _ in range(60)
    ]
    predicted = equivalents.loss(spectrum, n, widths[0], ridge, noise, stack=widths[1:])
    assert abs(np.mean(draws) - predicted) < 3 * np.std(draws, ddof=1) / math.sqrt(len(draws))
    # Leaving a layer out would be noticed.
    assert abs(equivalents.loss(spectrum, n, widths[0], ridge, noise) / predicted - 1) > 0.05


@pytest.mark.parametrize("k", [60, 120, 300])
def test_loss_of_an_ensemble_agrees_with_monte_carlo(k, rng):
    spectrum, n, ridge, noise, models = law(0.5, modes=400), 120, 1e-2, 0.2, 3
    draws = [
        oracles.ensemble_experiment(spectrum.eigenvalues, spectrum.power, n, (k,), ridge, noise, models, rng)
        for _ in range(50)
    ]
    predicted, stderr = equivalents.loss(spectrum, n, k, ridge, noise, ensemble=models), np.std(draws) / math.sqrt(49)
    assert abs(np.mean(draws) - predicted) < 3 * stderr
    assert abs(equivalents.loss(spectrum, n, k, ridge, noise) - predicted) > 6 * stderr


@settings(max_examples=40)
@given(n=st.floats(5, 500), k=st.floats(5, 500), ridge=st.floats(1e-4, 10), noise=st.floats(0, 1))
def test_infinite_ensemble_is_kernel_regression_with_a_larger_ridge(n, k, ridge, noise):
    spectrum = law(1.2)
    point = equivalents.solve(spectrum, n, k, ridge)
    kernel = equivalents.loss(spectrum, n, INF, ridge / (1 - point.df1 / k), noise)
    assert equivalents.loss(spectrum, n, k, ridge, noise, ensemble=INF) == pytest.approx(kernel, rel=1e-9)


def test_ensemble_is_the_mean_of_one_model_and_infinitely_many():
    one, three, every = (equivalents.loss(law(1.2), 60, 80, 1e-3, 0.1, ensemble=m) for m in (1, 3, INF))
    assert three == pytest.approx(every + (one - every) / 3, rel=1e-14)
    assert every < 0.5 * one


@pytest.mark.parametrize("beta", [0.3, 1.2, 3.0])
@pytest.mark.parametrize("noise", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("n", [40, 400])
def test_one_large_model_beats_an_ensemble_of_as_many_features(n, beta, noise):
    """Ruben et al. 2024 (arXiv:2412.05418): no free lunch, at the best ridge of each."""
    models = np.array([1.0, 2.0, 4.0, 8.0])
    ridge = np.geomspace(1e-6, 1e3, 120)[:, None]
    best = equivalents.loss(law(beta), n, 160 / models, ridge, noise, ensemble=models).min(axis=0)
    assert np.all(np.diff(best) > 0)


@pytest.mark.parametrize(
    ("n", "widths", "ridge"),
    [(30, (80, 50), 1e-3), (80, (30, 60), 1e-2), (50, (50, 50), 1e-4), (60, (90, 40, 120), 0.3), (40, (40.001,), 1e-6)],
)
def test_stack_against_the_derivation_in_forty_digits(n, widths, ridge):
    spectrum = law(1.2, modes=150)
    expected = oracles.derived_loss(spectrum.eigenvalues, spectrum.power, n, widths, ridge, 0.1)
    found = equivalents.loss(spectrum, n, widths[0], ridge, 0.1, stack=widths[1:])
    assert found == pytest.approx(expected, rel=1e-9)


def test_stack_solves_its_equation_and_knows_no_order():
    spectrum = law(0.5)
    n, k, ridge, stack = 60.0, np.array([40.0, 60.0, 200.0]), 1e-2, (80.0, 300.0)
    point = equivalents.solve(spectrum, n, k, ridge, stack=stack)
    product = (1 - point.df1 / k) * (1 - point.df1 / 80) * (1 - point.df1 / 300)
    assert point.gamma * (1 - point.df1 / n) * product == pytest.approx(np.full(3, ridge / n), rel=1e-11)
    assert point.kappa == pytest.approx(point.gamma * product, rel=1e-11)
    swapped = equivalents.loss(spectrum, n, 80.0, ridge, 0.1, stack=(300.0, k))
    assert swapped == pytest.approx(equivalents.loss(spectrum, n, k, ridge, 0.1, stack=stack), rel=1e-12)


def test_a_further_layer_of_infinite_width_changes_nothing():
    for ridge in (0.0, 1e-2):
        plain = equivalents.loss(law(1.2), 60, [40, 90], ridge, 0.1)
        assert equivalents.loss(law(1.2), 60, [40, 90], ridge, 0.1, stack=(INF, INF)) == pytest.approx(plain, rel=1e-14)
        wide = equivalents.loss(law(1.2), 60, [40, 90], ridge, 0.1, stack=(1e9,))
        assert wide == pytest.approx(plain, rel=1e-6)


@settings(max_examples=40)
@given(n=st.floats(2, 700), k=st.floats(2, 5000), ridge=st.floats(1e-9, 1e3))
def test_learnability_is_conserved(n, k, ridge):
    spectrum = spectra.power_law(0.5, 1.2, modes=200)
    point = equivalents.solve(spectrum, n, k, ridge)
    learnt = equivalents.learnability(spectrum, n, k, ridge)
    assert np.all(np.diff(learnt) <= 0)
    total = learnt @ spectrum.multiplicity + spectrum.tail / point.gamma
    assert total == pytest.approx(point.df1, rel=1e-11)
    assert total + ridge / point.kappa == pytest.approx(n, rel=1e-10)


def test_loss_by_level_sums_to_the_loss():
    spectrum = law(1.2)
    n, k = np.array([50.0, 200.0, 2000.0])[:, None], np.array([20.0, 100.0, INF])
    for ridge in (0.0, 1e-2):
        parts = equivalents.loss_by_level(spectrum, n, k, ridge)
        assert parts.shape == (3, 3, 1000)
        assert np.all(parts >= 0)
        assert parts.sum(axis=-1) == pytest.approx(equivalents.loss(spectrum, n, k, ridge), rel=1e-10)
    # Kernel regression: v^2 s^2 / (1 - df2/n), Bordelon et al. 2020.
    point = equivalents.solve(spectrum, 50, INF, 1e-2)
    share = point.kappa / (spectrum.eigenvalues + point.kappa)
    expected = spectrum.power * share**2 / (1 - point.df2 / 50)
    assert equivalents.loss_by_level(spectrum, 50, INF, 1e-2) == pytest.approx(expected, rel=1e-10)


@settings(max_examples=40)
@given(n=st.floats(2, 700), k=st.floats(2, 5000), ridge=st.floats(1e-3, 1e3), noise=st.floats(0, 1))
def test_cross_validation_is_exact_in_the_theory(n, k, ridge, noise):
    spectrum = law(1.2)
    train = equivalents.loss(spectrum, n, k, ridge, noise, stack=(100,), train=True)
    kappa = equivalents.solve(spectrum, n, k, ridge, stack=(100,)).kappa
    expected = equivalents.loss(spectrum, n, k, ridge, noise, stack=(100,))
    assert equivalents.gcv(train, n, ridge, kappa) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("k", [100, 300])
def test_cross_validation_from_training_data_alone_finds_the_test_loss(k, rng):
    spectrum, n, ridge, noise = law(0.5, modes=400), 200, 0.05, 0.2
    found, tests = [], []
    for _ in range(60):
        x = rng.standard_normal((n, 400)) * np.sqrt(spectrum.eigenvalues)
        weights = rng.choice([-1, 1], 400)
        y = x @ weights + math.sqrt(noise) * rng.standard_normal(n)
        layer = oracles.linear_layers(400, (k,), rng)
        inverse = np.linalg.inv(x @ layer.T @ layer @ x.T + ridge * np.eye(n))
        dual = inverse @ y
        found.append(equivalents.gcv(np.mean((ridge * dual) ** 2), n, ridge, 1 / np.trace(inverse)))
        error = weights - layer.T @ (layer @ (x.T @ dual))
        tests.append(np.sum(spectrum.eigenvalues * error**2) + noise)
    gap = np.array(found) - np.array(tests)
    assert abs(gap.mean()) < 3 * gap.std(ddof=1) / math.sqrt(len(gap))
    assert gap.std(ddof=1) / math.sqrt(len(gap)) < 0.03 * np.mean(tests)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6, 1e12])
@pytest.mark.parametrize("modes", [1000, 10**7])
def test_n_is_conserved_at_every_scale_of_the_kernel(scale, modes):
    spectrum = spectra.power_law(0.2, modes=modes)
    scaled = dataclasses.replace(spectrum, eigenvalues=spectrum.eigenvalues * scale, tail=spectrum.tail * scale)
    n = np.geomspace(1, 10_000, 50)[:, None]
    for ridge in (0.0, 1e-3 * scale, scale, 1e3 * scale):
        point = equivalents.solve(scaled, n, np.array([3.0, 300.0, INF]), ridge)
        learnt = equivalents.df1(scaled, point.gamma)  # by full sums
        with np.errstate(invalid="ignore", divide="ignore"):
            kept = np.where(point.kappa > 0, ridge / point.kappa, 0.0)
        residual = np.abs(learnt + kept - n) / n
        if ridge == 0:  # then k, where it is smaller, is what is conserved
            smaller = np.minimum(n, np.array([3.0, 300.0, INF]))
            residual = np.abs(learnt / smaller - 1)
        assert residual.max() < 1e-10


@pytest.mark.slow
def test_a_million_points_in_one_call_stay_within_bounded_memory(record_property):
    """The table of points and listed modes would be 80 GB, of points and compressed levels 1 GB."""
    spectrum = law(0.5, modes=10_000)
    n, k, ridge = np.ix_(*(np.geomspace(low, high, 100) for low, high in ((10, 5000), (11, 6000), (1e-8, 10))))
    tracemalloc.start()
    start = time.process_time()
    losses = equivalents.loss(spectrum, n, k, ridge, 0.1)
    seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    record_property("seconds", seconds)
    record_property("peak_bytes", peak)
    assert losses.shape == (100, 100, 100)
    assert peak < 0.7e9
    some = np.random.default_rng(0).integers(0, 100, (3, 50))
    alone = [equivalents.loss(spectrum, n[a, 0, 0], k[0, b, 0], ridge[0, 0, c], 0.1) for a, b, c in some.T]
    assert losses[tuple(some)] == pytest.approx(np.array(alone), rel=1e-11)


def test_sizes_beyond_the_number_of_modes_have_their_values():
    """With k >= modes and n > modes the target is learnt; ordinary least squares in `modes` dimensions is left."""
    spectrum = law(1.2, modes=50)
    n, k = np.array([60.0, 500.0])[:, None], np.array([50.0, 51.0, INF])
    point = equivalents.solve(spectrum, n, k)
    assert np.all(point.gamma == 0)
    assert np.all(point.kappa == 0)
    assert np.all(point.df1 == 50)
    assert np.all(point.df2 == 50)
    expected = np.broadcast_to(0.2 * n / (n - 50), (2, 3))
    assert equivalents.loss(spectrum, n, k, 0, 0.2) == pytest.approx(expected, rel=1e-12)
    assert equivalents.loss(spectrum, n, k, 0, 0.2, ensemble=5) == pytest.approx(expected, rel=1e-12)
    train = equivalents.loss(spectrum, n, k, 0, 0.2, train=True)
    assert train == pytest.approx(np.broadcast_to(0.2 * (1 - 50 / n), (2, 3)), rel=1e-12)
    parts = equivalents.decompose(spectrum, n, k, 0, 0.2)
    assert parts.noise_data == pytest.approx(expected - 0.2, rel=1e-12)
    assert np.all(np.array([parts.bias, parts.data, parts.features, parts.interaction]) == 0)
    assert np.all(equivalents.loss_by_level(spectrum, n, k) == 0)
    assert np.all(equivalents.learnability(spectrum, n, k) == 1)


def test_the_interpolation_peak_is_infinite_in_the_parts_that_cause_it():
    parts = equivalents.decompose(law(1.2), 100, 100, 0, 0.1)
    assert parts.interaction == parts.noise_features == parts.total == INF
    assert np.all(np.isfinite([parts.bias, parts.data, parts.features, parts.noise_data]))
    assert np.isfinite(equivalents.loss(law(1.2), 100, 100, 0, 0.1, ensemble=INF))
    assert equivalents.loss(law(1.2), 100, 100, 0, 0.1, ensemble=7) == INF
    assert equivalents.loss(law(1.2), 100, 100, 0, 0.1, train=True) == 0


def test_an_infinite_ensemble_has_no_peak_in_its_parts():
    parts = equivalents.decompose(law(1.2), 100, 100, 0, 0.1, ensemble=INF)
    assert parts.features == parts.interaction == parts.noise_features == 0
    assert parts.total == pytest.approx(equivalents.loss(law(1.2), 100, 100, 0, 0.1, ensemble=INF), rel=1e-12)


def test_as_many_samples_as_modes_make_the_label_noise_infinite_for_any_number_of_models():
    spectrum = law(1.2, modes=50)
    for k in (50, 80, INF):
        for models in (1, 2, INF):
            assert equivalents.loss(spectrum, 50, k, 0, 0.1, ensemble=models) == INF
            parts = equivalents.decompose(spectrum, 50, k, 0, 0.1, ensemble=models)
            assert parts.noise_data == parts.total == INF
            assert parts.noise_features == 0
            assert equivalents.loss(spectrum, 50, k, 0, 0.0, ensemble=models) == 0


@pytest.mark.parametrize("gap", [0.0, 4e-16, 1e-14, 1e-9])
@pytest.mark.parametrize("stack", [(), (27.5,)])
def test_almost_equal_sizes_and_almost_no_ridge_give_a_huge_loss_and_not_a_negative_one(gap, stack):
    n, ridge = 27.47224103420704, np.geomspace(1e-250, 1e-12, 60)
    for along, noise in ((n * (1 + gap), 0.0), (n * (1 - gap), 0.1)):
        point = equivalents.solve(law(1.2, modes=50), n, along, ridge, stack=stack)
        assert np.all(point.kappa > 0)
        losses = equivalents.loss(law(1.2, modes=50), n, along, ridge, noise, stack=stack)
        assert np.all(losses > 10)


SIZES = st.one_of(st.integers(1, 60).map(float), st.floats(0.1, 1e6), st.just(INF))


@given(
    n=SIZES,
    k=SIZES,
    width=SIZES,
    ridge=st.one_of(st.just(0.0), st.floats(1e-200, 1e6)),
    noise=st.floats(0, 10),
    models=st.one_of(st.integers(1, 20).map(float), st.just(INF)),
    tail=st.booleans(),
)
@example(n=40.0, k=INF, width=INF, ridge=0.0, noise=1.0, models=2.0, tail=False)
@example(n=20.0, k=20.0, width=INF, ridge=0.0, noise=1.0, models=INF, tail=True)
@example(n=20.0, k=20.000000000000004, width=INF, ridge=1e-60, noise=1.0, models=1.0, tail=False)
def test_nothing_is_ever_nan_and_nobody_beats_the_noise(n, k, width, ridge, noise, models, tail):
    spectrum = spectra.power_law(0.5, 1.2, modes=40, tail=tail)
    options = {"stack": (width,), "ensemble": models}
    loss = equivalents.loss(spectrum, n, k, ridge, noise, **options)
    parts = equivalents.decompose(spectrum, n, k, ridge, noise, **options)
    train = equivalents.loss(spectrum, n, k, ridge, noise, stack=(width,), train=True)
    assert not np.any(np.isnan([loss, train, *parts, *equivalents.solve(spectrum, n, k, ridge, stack=(width,))]))
    assert min(*parts, train) >= 0
    assert min(loss, parts.total) >= noise
    assert not np.any(np.isnan(equivalents.loss_by_level(spectrum, n, k, ridge)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ensemble": 0.5}, "`ensemble` must be at least one model, got 0.5"),
        ({"ensemble": math.nan}, "`ensemble` must not be NaN"),
        ({"ensemble": 2, "train": True}, "`train` and `excess` are of one model"),
        ({"stack": (50, 0)}, r"`stack\[1\]` must be positive, got 0"),
        ({"stack": (-3,)}, r"`stack\[0\]` must be positive, got -3"),
        ({"stack": (math.nan,)}, r"`stack\[0\]` must not be NaN"),
    ],
)
def test_bad_ensembles_and_layers_get_a_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        equivalents.loss(law(0.5), 10, 20, 0.1, **options)


@pytest.mark.parametrize(("ridge", "kappa"), [(0.0, 1.0), (1.0, 0.0)])
def test_cross_validation_needs_a_ridge(ridge, kappa):
    with pytest.raises(ValueError, match="`ridge` and `kappa` must be positive"):
        equivalents.gcv(0.1, 10, ridge, kappa)


@pytest.mark.parametrize("spectrum", [law(1.2), spectra.power_law(0.7, 3.0), spectra.white(80)])
def test_derivatives_are_those_of_the_differentiable_loss(spectrum):
    n = np.array([50.0, 200.0, 100.0, 100.0, 30.0, INF, 70.0, 500.0, 20.0, 100.0])
    k = np.array([200.0, 50.0, 130.0, 100.0, INF, 40.0, INF, 300.0, 500.0, 200.0])
    ridge = np.array([0.02, 0.02, 0.0, 0.1, 0.0, 0.0, 0.3, 0.0, 1e-9, 30.0])
    found = equivalents.derivatives(spectrum, n, k, ridge, 0.1)
    of = differentiable.arguments(spectrum.compressed)
    with float64():
        slopes = jax.grad(
            lambda n, k, ridge: differentiable.loss(**of, n=n, k=k, ridge=ridge, noise=0.1).sum(), argnums=(0, 1, 2)
        )(n, k, ridge)
    for slope, at, ours in zip(slopes, (n, k, ridge), found, strict=True):
        expected = np.asarray(slope) * np.where(np.isinf(at), 0.0, at)
        assert ours == pytest.approx(expected, rel=1e-8, abs=1e-10)


def test_derivatives_are_undefined_only_where_the_loss_is_infinite():
    found = equivalents.derivatives(law(1.2), 100, [100, INF, 100], [0, 0, 0.1], 0.1)
    assert np.isnan(found.n[0])
    assert np.isfinite([found.n[1:], found.k[1:], found.ridge[1:]]).all()
    assert found.k[1] == found.ridge[1] == 0


def test_derivatives_where_all_modes_are_learnt():
    assert equivalents.derivatives(spectra.white(10), 20, 10, 0, 0.1) == pytest.approx((-0.2, 0.0, 0.0))
    found = equivalents.derivatives(law(1.2, modes=50), 100, [50, 80, INF], 0, 0.1)
    assert found.n == pytest.approx(np.full(3, -0.1 * 0.5 / 0.5**2))
    assert np.all(found.k == 0)
    assert np.isnan(equivalents.derivatives(law(1.2, modes=50), 50, 80, 0, 0.1).n)


def test_parts_are_infinite_and_not_nan_where_power_lies_outside_the_modes():
    parts = equivalents.decompose(spectra.listed([1, 1, 0], [1, 1, 1]), 2, 5, 0, 0.1)
    assert parts.total == equivalents.loss(spectra.listed([1, 1, 0], [1, 1, 1]), 2, 5, 0, 0.1) == INF
    assert not np.isnan(parts).any()


def test_excess_is_the_loss_without_the_noise_and_keeps_its_digits():
    spectrum = spectra.power_law(0.5, 4.0, modes=10**8)
    n, k = np.array([100, 300, INF, 100, 100, 50]), np.array([300, 100, 40, INF, 100, 50])
    ridge = np.array([0, 0.1, 0, 0.2, 0.1, 0])
    for noise in (0.0, 0.3):
        whole = equivalents.loss(spectrum, n, k, ridge, noise)
        assert equivalents.loss(spectrum, n, k, ridge, noise, excess=True) + noise == pytest.approx(whole, rel=1e-12)
    small = [equivalents.loss(spectrum, INF, 1e6, 0, noise, excess=True) for noise in (0.0, 1.0, 100.0)]
    assert small[0] > 0
    assert small == pytest.approx([small[0]] * 3, rel=1e-12, abs=0)
    with pytest.raises(ValueError, match="exclude `ensemble`"):
        equivalents.loss(spectrum, 100, 50, excess=True, ensemble=2)
