import dataclasses
import math

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from regimes import dynamics, equivalents, spectra, theory
from regimes.results import Caution, log_slope
from regimes.spectrum import Spectrum

INF = math.inf


@given(n=st.floats(1.5, 800), k=st.floats(1.5, 800), noise=st.floats(0, 2), beta=st.floats(0.2, 4))
def test_ridgeless_loss_splits_exactly_into_limit_and_excess(n, k, noise, beta):
    spectrum = spectra.power_law(0.5, beta, modes=1000, tail=False)
    split = theory.ridgeless_split(spectrum, n, k, noise)
    assert split.limit + split.excess == pytest.approx(equivalents.loss(spectrum, n, k, 0, noise), rel=1e-9)


@given(n=st.floats(2, 800), k=st.floats(2, 800), noise=st.floats(0, 2), beta=st.floats(0.2, 4))
def test_excess_is_the_same_under_exchange_for_any_target_and_noise(n, k, noise, beta):
    spectrum = spectra.power_law(0.5, beta, modes=1000)
    here, there = (theory.ridgeless_split(spectrum, a, b, noise).excess for a, b in ((n, k), (k, n)))
    assert here == pytest.approx(there, rel=1e-9)


@pytest.mark.parametrize("beta", [0.3, 0.5, 1.0])
def test_resolution_exponents_are_beta_for_rough_targets(beta):
    spectrum = spectra.power_law(0.5, beta, modes=10**6)
    at = np.geomspace(300, 3000, 8)
    for along in ("n", "k"):
        assert theory.window_exponent(spectrum, along, at).value == pytest.approx(beta, abs=0.03)


def test_width_saturates_at_one_plus_alpha_and_data_at_twice_that():
    spectrum = spectra.power_law(0.5, 5.0, modes=10**6)
    at = np.geomspace(300, 3000, 8)
    assert theory.window_exponent(spectrum, "k", at).value == pytest.approx(1.5, abs=0.02)
    assert theory.window_exponent(spectrum, "n", at).value == pytest.approx(3.0, abs=0.02)
    between = spectra.power_law(0.5, 2.5, modes=10**6)
    assert theory.window_exponent(between, "k", at).value == pytest.approx(1.5, abs=0.05)
    assert theory.window_exponent(between, "n", at).value == pytest.approx(2.5, abs=0.1)


def test_prior_amplitude_is_the_closed_form():
    alpha = 0.5
    u = math.pi / (1 + alpha) / math.sin(math.pi / (1 + alpha))
    spectrum = spectra.power_law(alpha, modes=10**6)
    n = np.array([1e3, 1e4])
    assert equivalents.loss(spectrum, n) * n**alpha == pytest.approx(u ** (1 + alpha), rel=2e-3)


def test_noise_leaves_a_plateau_along_n_and_none_along_k():
    alpha, noise = 0.5, 0.3
    spectrum = spectra.power_law(alpha, 1.0, modes=10**6)
    assert equivalents.loss(spectrum, 1e4, INF, 0, noise) - noise == pytest.approx(noise * alpha, rel=0.02)
    assert equivalents.loss(spectrum, INF, 1e4, 0, noise) - noise < 1e-3


def test_exponents_recover_a_power_law():
    found = theory.exponents(spectra.power_law(0.5, 1.2, modes=10**6), (100, 10_000))
    assert found.alpha.value == pytest.approx(0.5, abs=0.005)
    assert found.beta.value == pytest.approx(1.2, abs=0.01)
    assert found.resolution_n.value == found.resolution_k.value == found.beta.value
    assert found.variance_n.value == found.variance_k.value == 1


def test_beta_of_a_prior_target_is_alpha_on_any_window():
    found = theory.exponents(spectra.power_law(0.5, modes=2000), (20, 150))
    assert found.beta.value == found.alpha.value == found.resolution_n.value


def test_exponents_see_beta_beyond_both_saturations():
    found = theory.exponents(spectra.power_law(0.5, 4.0, modes=10**6), (100, 10_000))
    assert found.beta.value == pytest.approx(4.0, abs=0.02)
    assert found.resolution_n.value == pytest.approx(3.0, abs=0.02)
    assert found.resolution_k.value == pytest.approx(1.5, abs=0.02)


def test_replicates_become_intervals():
    draws = tuple(spectra.power_law(alpha, modes=1000) for alpha in (0.4, 0.6, 0.45, 0.55))
    spectrum = dataclasses.replace(spectra.power_law(0.5, modes=1000), replicates=draws, resolved=100)
    found = theory.exponents(spectrum, level=0.9)
    assert found.alpha.window == (16, 100)
    assert "[" in str(found)
    apart = [theory.exponents(one, (16, 100)) for one in draws]
    # Student's 95 % quantile of 3 degrees of freedom, around the value of the spectrum itself.
    width = 2.353363 * np.std([one.alpha.value for one in apart], ddof=1)
    assert found.alpha.value == theory.exponents(dataclasses.replace(spectrum, replicates=()), (16, 100)).alpha.value
    assert (found.alpha.high - found.alpha.low) / 2 == pytest.approx(width, rel=1e-6)
    assert found.beta.high == pytest.approx(found.alpha.high)  # a prior target
    width = 2.353363 * np.std([one.resolution_k.value for one in apart], ddof=1)
    assert (found.resolution_k.high - found.resolution_k.low) / 2 == pytest.approx(width, rel=1e-6)
    at = np.geomspace(16, 100, 10)
    one = theory.window_exponent(spectrum, "n", at, level=0.9)
    width = 2.353363 * np.std([theory.window_exponent(draw, "n", at).value for draw in draws], ddof=1)
    assert (one.high - one.low) / 2 == pytest.approx(width, rel=1e-6)


def test_predict_curve_runs_along_the_axis_that_is_a_sequence():
    spectrum = spectra.power_law(0.5)
    curve = theory.predict_curve(spectrum, n=[10, 20, 40], k=100, noise=0.1)
    assert curve.along == "n"
    assert curve.fixed == {"k": 100.0, "ridge": 0.0, "noise": 0.1}
    assert curve.loss == pytest.approx(equivalents.loss(spectrum, np.array([10.0, 20, 40]), 100, 0, 0.1))
    assert theory.predict_curve(spectrum, k=[10, 20]).along == "k"
    assert "along n from 10 to 40" in str(curve)


def test_power_beyond_is_the_tail_sum_of_a_steep_target_up_to_a_factor():
    spectrum = spectra.power_law(0.5, 2.0, modes=10**5)
    m = np.geomspace(30, 1000, 10)
    assert log_slope(m, theory.power_beyond(spectrum, m)) == pytest.approx(-2.0, abs=0.02)


def test_predict_curve_along_ridge_and_time_holds_the_rest():
    spectrum = spectra.power_law(0.5, 1.2, modes=500)
    ridges, times = np.array([0.0, 0.1, 1.0]), np.array([0.0, 1.0, 30.0, INF])
    ridge = theory.predict_curve(spectrum, n=30, k=50, ridge=ridges, noise=0.1)
    assert (ridge.along, ridge.fixed) == ("ridge", {"n": 30.0, "k": 50.0, "noise": 0.1})
    assert ridge.loss == pytest.approx(equivalents.loss(spectrum, 30, 50, ridges, 0.1), rel=1e-12)
    time = theory.predict_curve(spectrum, n=30, k=50, ridge=0.2, noise=0.1, time=times)
    assert (time.along, time.fixed) == ("time", {"n": 30.0, "k": 50.0, "ridge": 0.2, "noise": 0.1})
    assert time.loss == pytest.approx(dynamics.gradient_flow(spectrum, times, 30, 50, 0.2, 0.1), rel=1e-12)
    assert time.loss[0] == pytest.approx(spectrum.total_power + 0.1, rel=1e-12)
    assert time.loss[-1] == pytest.approx(equivalents.loss(spectrum, 30, 50, 0.2, 0.1), rel=1e-12)
    early = theory.predict_curve(spectrum, n=[10, 30], time=5)
    assert early.fixed == {"k": INF, "ridge": 0.0, "noise": 0.0, "time": 5.0}
    assert early.loss == pytest.approx(dynamics.gradient_flow(spectrum, 5, np.array([10.0, 30.0])), rel=1e-12)


@pytest.mark.parametrize("time", [INF, 20.0])
def test_rows_and_columns_of_a_surface_are_curves(time):
    spectrum, n, k = spectra.power_law(0.5, 1.2, modes=500), [10.0, 40.0, 90.0], [20.0, 40.0]
    given = {"ridge": 0.1, "noise": 0.2, "time": time}
    surface = theory.predict_surface(spectrum, n=n, k=k, **given)
    assert surface.loss.shape == (3, 2)
    assert surface.fixed == given
    for column, value in enumerate(k):
        curve = theory.predict_curve(spectrum, n=n, k=value, **given)
        assert surface.along_n(column).loss == pytest.approx(curve.loss, rel=1e-12)
        assert surface.along_n(column).fixed["k"] == curve.fixed["k"]
    for row, value in enumerate(n):
        assert surface.along_k(row) - theory.predict_curve(spectrum, k=k, n=value, **given) == pytest.approx(
            0, abs=1e-12
        )


def test_the_caution_of_a_spectrum_goes_with_its_predictions():
    caution = Caution("universality fails", (1.1, 1.2))
    spectrum = dataclasses.replace(spectra.power_law(0.5, modes=100), caution=caution)
    curve = theory.predict_curve(spectrum, n=[5.0, 10.0])
    surface = theory.predict_surface(spectrum, n=[5.0, 10.0], k=[7.0])
    assert curve.caution == surface.caution == surface.along_k(0).caution == caution
    assert "caution: universality fails by a factor of 1.1 to 1.2" in str(curve)
    assert theory.predict_curve(spectra.power_law(0.5, modes=100), n=[5.0]).caution is None


# Local exponents: every static call below has the same shape and number of levels, so that JAX compiles once.
LONG = spectra.power_law(0.5, 0.8, modes=10**6)
POINTS = np.array(
    [
        # n, k, ridge, noise
        [(20, 50, 0.1, 0.1), (50, 20, 0.05, 0.3), (50, INF, 0.5, 0.3), (INF, 30, 0, 0.2)],
        [(40, 40, 0.2, 0), (40, 40, 0, 0), (100, 300, 0, 0), (300, 100, 0, 0)],
        [(1e4, INF, 0, 0), (INF, 1e4, 0, 0), (1e4, 10, 0, 0), (10, 1e4, 0, 0)],
        [(99, 100, 0, 1), (100, 99, 0, 1), (50, INF, 1e-3, 0.01), (1e3, 1e3, 10, 1)],
    ]
).transpose(2, 0, 1)
AXES = ("n", "k", "ridge", "time")


@pytest.fixture(scope="module")
def static():
    return theory.local_exponents(LONG, *POINTS)


def slope_by_differences(function, at, step):
    """-d ln function/d ln at: central differences at two steps, Richardson's extrapolation."""
    rough, fine = (
        (math.log(function(at * math.exp(h))) - math.log(function(at * math.exp(-h)))) / (2 * h)
        for h in (step, step / 2)
    )
    return -(4 * fine - rough) / 3


@pytest.mark.parametrize("row", range(16))
def test_local_exponents_are_the_slopes_of_the_loss(static, row):
    point = [float(value) for value in POINTS.reshape(4, 16)[:, row]]
    if point[0] == point[1] and point[2] == 0:
        assert math.isnan(static.n.flat[row])
        assert math.isnan(static.k.flat[row])
        return
    for axis in range(3):
        found = static[axis].flat[row]
        if point[axis] == 0 or math.isinf(point[axis]):
            assert found == 0
            continue

        def reducible(value, axis=axis):
            return equivalents.loss(LONG, *point[:axis], value, *point[axis + 1 :]) - point[3]

        near = 1e-4 if abs(point[0] - point[1]) == 1 else 1e-2
        assert found == pytest.approx(slope_by_differences(reducible, point[axis], near), abs=1e-7)


def test_local_exponents_of_the_variance_limited_regimes_are_exact(static):
    # Without ridge and noise L = L(inf, k)/(1 - k/n) for k < n: the log-slope in n is that of 1/(1 - k/n).
    n, k = POINTS[:2]
    wide = (POINTS[2] == 0) & (POINTS[3] == 0) & (k < n) & np.isfinite(n)
    assert wide.sum() == 2
    assert static.n[wide] == pytest.approx(k[wide] / (n - k)[wide], rel=1e-9)
    # L(n, k) = L(n, inf) + n B1/(k-n): the excess over the limit has the slope k/(k-n).
    limit, total = (equivalents.loss(LONG, 100, width) for width in (INF, 300))
    assert static.k[1, 2] == pytest.approx(300 / 200 * (1 - limit / total), rel=1e-9)


def test_local_exponents_deep_in_a_regime_are_the_global_ones(static):
    steep = spectra.power_law(0.5, 4.0, modes=10**6)
    saturated = theory.local_exponents(steep, *POINTS)
    for spectrum, local, away in ((LONG, static, 0.01), (steep, saturated, 0.001)):
        limits = theory.exponents(spectrum, (1e3, 1e5))
        assert local.n[2, 0] == pytest.approx(limits.resolution_n.value, abs=away)
        assert local.k[2, 1] == pytest.approx(limits.resolution_k.value, abs=away)
    assert saturated.n[2, 0] == pytest.approx(3.0, abs=0.001)
    assert saturated.k[2, 1] == pytest.approx(1.5, abs=0.001)
    assert static.n[3, 0] < -10  # double descent: just below n = k more data hurt


def test_inputs_of_local_exponents_broadcast(static):
    n, noise = np.array([[30.0], [60.0], [90.0], [INF]]), np.array([0.0, 0.1, 0.5, 1.0])
    found = theory.local_exponents(LONG, n, 100, 0.1, noise)
    every = theory.local_exponents(LONG, *(np.array(a) for a in np.broadcast_arrays(n, 100.0, 0.1, noise)))
    for one, other in zip(found, every, strict=True):
        assert one.shape == (4, 4)
        assert one == pytest.approx(other, rel=1e-12)
    assert (found.n[:3, 0] != found.n[:3, 1]).all()
    assert (found.n[3] == 0).all()


@pytest.mark.parametrize("setting", [False, True])
def test_local_exponents_leave_the_flags_of_jax_alone(static, setting):
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", setting)
    try:
        found = theory.local_exponents(LONG, *POINTS)
        assert jax.config.jax_enable_x64 is setting
        assert jax.numpy.ones(1).dtype == (np.float64 if setting else np.float32)
    finally:
        jax.config.update("jax_enable_x64", before)
    assert found.n == pytest.approx(static.n, rel=1e-12, nan_ok=True)


def test_local_exponents_in_time_are_the_slopes_of_the_flow():
    spectrum = spectra.power_law(0.5, 1.2, modes=100)
    points = np.array([(20, 50, 0.1, 0.1, 1), (50, 20, 0, 0, 10), (50, INF, 0.5, 0.3, 100), (40, 40, 0.2, 0, 30)]).T
    n, k, ridge, noise, time = points
    found = theory.local_exponents(spectrum, n, k, ridge, noise, time)
    for row in range(4):
        point = {"time": time[row], "n": n[row], "k": k[row], "ridge": ridge[row]}
        for name in AXES:
            local = getattr(found, name)[row]
            if point[name] == 0 or math.isinf(point[name]):
                assert local == 0
                continue

            def reducible(value, row=row, name=name, point=point):
                return dynamics.gradient_flow(spectrum, **(point | {name: value}), noise=noise[row]) - noise[row]

            assert local == pytest.approx(slope_by_differences(reducible, point[name], 0.03), abs=1e-7)
    assert found.time[0] > 0.3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 0}, "`n` must be positive, got 0"),
        ({"n": math.nan}, "`n` must not be NaN"),
        ({"n": 10, "k": -1}, "`k` must be positive, got -1"),
        ({"n": 10, "ridge": -1}, "`ridge` must be finite and not negative"),
        ({"n": 10, "noise": -1}, "`noise` must be finite and not negative"),
        ({"n": 10, "time": 0}, "`time` must be positive, and finite at all points or infinite at all"),
        ({"n": 10, "time": math.nan}, "`time` must be positive"),
        ({"n": 10, "time": [1.0, INF]}, "finite at all points or infinite at all"),
    ],
)
def test_bad_input_of_local_exponents_gets_a_sentence(given, message):
    if "time" in given:
        spectrum, rest = spectra.power_law(0.5, modes=20), given
    else:  # found after compiling: in the shape that is compiled already
        spectrum, rest = LONG, {name: np.full((4, 4), float(value)) for name, value in given.items()}
    with pytest.raises(ValueError, match=message):
        theory.local_exponents(spectrum, **rest)


@pytest.mark.parametrize("point", [(30.0, 70.0, 0.0, INF), (30.0, 70.0, 0.4, 12.0), (50.0, 50.0, 0.1, INF)])
def test_dual_exchanges_data_and_features_and_is_its_own_inverse(point):
    swapped = theory.dual(*point)
    assert swapped[:2] == (point[1], point[0])
    assert swapped.ridge * swapped.k == pytest.approx(point[2] * point[1])  # of unnormalised features
    assert swapped.time == point[3]
    assert tuple(theory.dual(*swapped)) == pytest.approx(point)


def test_dual_of_infinite_sizes_without_ridge():
    assert theory.dual(INF, 5.0) == theory.Point(5.0, INF, 0.0, INF)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 5), "`n` must be positive"),
        ((5, -1), "`k` must be positive"),
        ((5, 5, -1), "`ridge` must be finite and not negative"),
        ((5, 5, 0, -1), "`time` must not be negative, got -1"),
        ((5, 5, 0, math.nan), "`time` must not be negative, got nan"),
        ((INF, 5, 0.1), "`ridge` has no dual at infinite `n` or `k`"),
    ],
)
def test_bad_input_of_dual_gets_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        theory.dual(*arguments)


@settings(max_examples=40)
@given(n=st.floats(2, 300), k=st.floats(2, 300), ridge=st.floats(0, 10))
def test_dual_points_have_the_same_loss_for_the_prior(n, k, ridge):
    spectrum = spectra.power_law(0.5, modes=1000)
    swapped = theory.dual(n, k, ridge)
    here, there = equivalents.loss(spectrum, n, k, ridge), equivalents.loss(spectrum, *swapped[:3])
    assert here == pytest.approx(there, rel=1e-9)


def test_dual_points_have_the_same_loss_for_the_prior_at_any_time():
    spectrum = spectra.power_law(0.5, modes=1000)
    for ridge in (0.0, 0.3):
        for time in (0.1, 3.0, 100.0, 1e4):
            n, k, other, _ = theory.dual(60, 140, ridge, time)
            here = dynamics.gradient_flow(spectrum, time, 60, 140, ridge)
            assert here == pytest.approx(dynamics.gradient_flow(spectrum, time, n, k, other), rel=1e-9)
    own = spectra.power_law(0.5, 1.2, modes=1000)  # and for no other target
    assert equivalents.loss(own, 60, 140) != pytest.approx(equivalents.loss(own, 140, 60), rel=0.01)


MODES = 40
VALUES = np.arange(1.0, MODES + 1) ** -1.5


def matrices(kind, n, k):
    rng = np.random.default_rng(n + 100 * k)
    if kind == "gaussian":
        return rng.standard_normal((n, MODES)), rng.standard_normal((k, MODES))
    if kind == "uniform":  # not even centred, and of different laws
        return rng.uniform(-1, 3, (n, MODES)), rng.standard_normal((k, MODES)) ** 3
    return rng.standard_normal((n, MODES)) * (rng.random((n, MODES)) < 0.1), 1.0 * (rng.random((k, MODES)) < 0.2)


@pytest.mark.parametrize("kind", ["gaussian", "uniform", "sparse"])
@pytest.mark.parametrize(("n", "k"), [(10, 25), (25, 10), (15, 15), (60, 50)])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("time", [INF, 7.0])
def test_pathwise_loss_is_the_same_with_data_and_projection_exchanged(kind, n, k, ridge, time):
    samples, projection = matrices(kind, n, k)
    one = theory.pathwise_loss(VALUES, samples, projection, ridge, time)
    other = theory.pathwise_loss(VALUES, projection, samples, ridge * k / n, time)
    assert one == pytest.approx(other, rel=1e-12, abs=1e-20)
    if ridge:
        assert one != pytest.approx(theory.pathwise_loss(VALUES, projection, samples, ridge, time), rel=1e-6) or n == k


@pytest.mark.parametrize("kind", ["gaussian", "uniform", "sparse"])
@pytest.mark.parametrize(("n", "k"), [(10, 25), (25, 10), (15, 15)])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_pathwise_loss_is_the_mean_over_teachers_of_a_trained_model(kind, n, k, ridge):
    samples, projection = matrices(kind, n, k)
    # The error is quadratic in the teacher: its mean over N(0, 1) is the sum over unit teachers.
    teachers = np.eye(MODES)
    features = projection / math.sqrt(k)
    errors = [
        oracles.error_vectors(VALUES, w, samples * np.sqrt(VALUES), np.zeros(n), features, ridge)[0] for w in teachers
    ]
    found = theory.pathwise_loss(VALUES, samples, projection, ridge)
    assert found == pytest.approx(np.sum(np.square(errors)), rel=1e-8)


def test_pathwise_loss_in_time_is_that_of_the_differential_equation(rng):
    n, k, ridge, time = 12, 20, 0.3, 4.0
    samples, projection = matrices("uniform", n, k)
    phi = (samples * np.sqrt(VALUES)) @ (projection / math.sqrt(k)).T
    covariance = (phi.T @ phi + ridge * np.eye(k)) / n
    teachers = rng.standard_normal((MODES, 4000))
    slope = phi.T @ (samples * np.sqrt(VALUES)) @ teachers / n
    # d theta/dt = slope - covariance theta, as one matrix exponential.
    whole = linalg.expm(time * np.block([[-covariance, np.eye(k)], [np.zeros((k, 2 * k))]]))
    theta = whole[:k, k:] @ slope
    errors = VALUES @ (teachers - projection.T @ theta / math.sqrt(k)) ** 2
    found = theory.pathwise_loss(VALUES, samples, projection, ridge, time)
    assert abs(errors.mean() - found) < 3 * errors.std() / math.sqrt(4000)
    exact = np.eye(MODES) - projection.T @ whole[:k, k:] @ phi.T @ (samples * np.sqrt(VALUES)) / n / math.sqrt(k)
    assert found == pytest.approx(VALUES @ (exact**2).sum(axis=1), rel=1e-10)
    assert theory.pathwise_loss(VALUES, samples, projection, ridge, 0.0) == pytest.approx(VALUES.sum(), rel=1e-12)


@pytest.mark.parametrize(("n", "k", "ridge", "time"), [(150, 500, 0, INF), (500, 150, 0.1, INF), (200, 200, 0.1, 30)])
def test_mean_pathwise_loss_is_the_equivalent_for_the_prior(rng, n, k, ridge, time):
    modes = 600
    values = spectra.power_law(0.5, modes=modes, tail=False).eigenvalues
    losses = [
        theory.pathwise_loss(values, rng.standard_normal((n, modes)), rng.standard_normal((k, modes)), ridge, time)
        for _ in range(10)
    ]
    stderr = np.std(losses) / math.sqrt(len(losses))
    expected = dynamics.gradient_flow(spectra.power_law(0.5, modes=modes, tail=False), time, n, k, ridge)
    # The equivalent has corrections of relative order 1/n: half a percent here.
    assert abs(np.mean(losses) - expected) < 3 * stderr + expected / min(n, k)
    assert stderr < 0.01 * expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(3), np.ones((2, 4)), np.ones((2, 3))), "`samples` must have 3 columns, one per eigenvalue, got 4"),
        ((np.ones(3), np.ones((2, 3)), np.ones((2, 2))), "`projection` must have 3 columns"),
        ((np.ones(3), np.ones(3), np.ones((2, 3))), "`samples` must have"),
        ((np.array([1.0, -1.0]), np.ones((2, 2)), np.ones((2, 2))), "`eigenvalues` must not be negative, got -1"),
        ((np.ones(2), np.full((2, 2), np.nan), np.ones((2, 2))), "`samples` holds 4 NaN"),
        ((np.ones(2), np.ones((2, 2)), np.ones((2, 2)), -1.0), "`ridge` must be finite and at least 0"),
        ((np.ones(2), np.ones((2, 2)), np.ones((2, 2)), 0.0, -1.0), "`time` must not be negative"),
    ],
)
def test_bad_input_of_pathwise_loss_gets_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        theory.pathwise_loss(*arguments)


def by_level(report):
    return {(check.level, check.task): check for check in report}


def test_duality_report_of_the_prior():
    report = by_level(theory.duality_report(spectra.power_law(0.5), 40, 100, 0.2))
    assert list(report) == [(0, "prior target"), (1, "prior target"), (2, "this target"), (5, "prior target")]
    assert all(check.holds is True for check in report.values())


@pytest.mark.parametrize(
    ("beta", "noise", "levels"),
    [(1.2, 0.0, [0, 1, 1, 2, 5]), (3.0, 0.0, [0, 1, 1, 3, 5]), (3.0, 0.3, [0, 1, 1, 3, 4, 5])],
)
def test_duality_report_of_other_targets(beta, noise, levels):
    spectrum = spectra.power_law(0.5, beta)
    report = theory.duality_report(spectrum, 40, 100, noise=noise)
    assert [check.level for check in report] == levels
    assert all(check.holds is True for check in report)
    here, there = (equivalents.loss(spectrum, *point) for point in ((40, 100), (100, 40)))
    assert report[2].found == f"{here:.4g} and {there:.4g}"
    if noise:
        fitted = equivalents.loss(spectrum, 40, INF, 0, noise) - equivalents.loss(spectrum, 40) - noise
        assert report[4].found == f"{fitted:.4g} and 0"


def test_a_broken_duality_is_noticed(monkeypatch):
    spectrum = spectra.power_law(0.5)
    with monkeypatch.context() as patch:
        patch.setattr(theory, "dual", lambda n, k, ridge: theory.Point(k, n, ridge, INF))  # the ridge not rescaled
        assert [check.holds for check in theory.duality_report(spectrum, 40, 100, 0.2)] == [False, False, True, True]
        # Without ridge nothing is to be rescaled.
        assert [check.holds for check in theory.duality_report(spectrum, 40, 100)] == [True, True, True, True]
    right = equivalents.loss

    def skewed(spectrum, n, k=INF, ridge=0.0, noise=0.0, **rest):  # n > k loses its ridge
        return right(spectrum, n, k, ridge * np.less_equal(n, k), noise, **rest)

    def symmetric(spectrum, n, k=INF, ridge=0.0, noise=0.0, **rest):
        return right(spectrum, np.minimum(n, k), np.maximum(n, k), ridge, noise, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(equivalents, "loss", skewed)
        assert by_level(theory.duality_report(spectrum, 40, 100, 0.2))[1, "prior target"].holds is False
    with monkeypatch.context() as patch:  # a target of its own that turns out symmetric
        patch.setattr(equivalents, "loss", symmetric)
        report = by_level(theory.duality_report(spectra.power_law(0.5, 1.2), 40, 100))
        assert report[1, "this target"].holds is False


@pytest.mark.parametrize(
    ("spectrum", "n", "k"),
    [
        (spectra.white(20), 30, 40),
        (spectra.white(20), 10, 20),
        (spectra.white(20), 30, 10),
        (spectra.white(20), 30, 30),
        (spectra.listed([1.0, 0.5, 0.2]), 1, 2),
        (spectra.listed([1.0, 0.5, 0.2]), 2, 2),
        (spectra.listed([1.0]), 1, 1),
        (spectra.listed([1.0, 0.5, 0.2], [1.0, 2.0, 3.0]), 5, 7),
        (spectra.listed([1.0, 0.5, 0.2], [1.0, 2.0, 3.0]), 2, 2),
        (Spectrum(np.array([1.0, 0.1, 0.01]), np.array([1.0, 0.5, 0.2]), np.array([1.0, 7.5, 90.0])), 60, 120),
        (spectra.sphere(oracles.PROFILES["NTK"], 9, degrees=20), 50, 300),  # 10^9 modes in 21 levels
    ],
)
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_duality_holds_for_few_modes_and_for_degenerate_ones(spectrum, n, k, ridge):
    report = theory.duality_report(spectrum, n, k, ridge, noise=0.1)
    assert [check.level for check in report if check.task == "prior target"] == [0, 1, 5]
    for check in report:
        assert check.holds is True or (check.level in (1, 2) and check.task == "this target" and check.holds is None)
    assert not any("nan" in check.found for check in report)


def test_a_multiple_of_the_prior_counts_as_the_prior():
    report = theory.duality_report(spectra.white(20, 1.0), 5, 10)
    assert (1, "this target") not in by_level(report)


def test_no_verdict_on_exponents_close_to_saturation():
    for beta in (1.3, 1.4):
        report = by_level(theory.duality_report(spectra.power_law(0.5, beta), 30, 30))
        assert report[2, "this target"].holds is None
    far = by_level(theory.duality_report(spectra.power_law(0.5, 0.9), 30, 30))
    assert far[2, "this target"].holds is True


def test_duality_report_is_the_same_for_the_same_seed():
    one, same, other = (theory.duality_report(spectra.power_law(0.5), 40, 100, modes=60, seed=s) for s in (1, 1, 2))
    assert one == same
    assert one != other
    assert "on 60 modes" in one[0].what


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 0, "k": 5}, "`n` must be at least 1, got 0"),
        ({"n": 5, "k": 5.5}, "`k` must be a whole number"),
        ({"n": 5, "k": 5, "ridge": -1.0}, "`ridge` must be finite and not negative"),
        ({"n": 5, "k": 5, "noise": -1.0}, "`noise` must be finite and at least 0"),
        ({"n": 5, "k": 5, "modes": 0}, "`modes` must be at least 1"),
    ],
)
def test_bad_input_of_duality_report_gets_a_sentence(unchecked, given, message):
    with pytest.raises(ValueError, match=message):
        theory.duality_report(spectra.power_law(0.5, modes=100), **given)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: theory.predict_curve(s, n=10, k=20), "exactly one of `n`, `k`, `ridge` and `time` must be a seq"),
        (lambda s: theory.predict_curve(s, n=[10], k=[20]), "exactly one of `n`, `k`, `ridge` and `time` must be"),
        (lambda s: theory.predict_curve(s, n=10, ridge=[0.1], time=[1.0]), "exactly one of"),
        (lambda s: theory.predict_curve(s, n=[[10.0]]), "exactly one of"),
        (lambda s: theory.predict_curve(s, n=[10, 0]), "`n` must be positive, got 0"),
        (lambda s: theory.predict_curve(s, n=10, ridge=[0.1, -1]), "`ridge` must be finite and not negative"),
        (lambda s: theory.predict_curve(s, n=10, time=[1.0, -1]), "`time` must not be negative"),
        (lambda s: theory.predict_surface(s, n=10, k=[20]), "`n` must have 1 axis"),
        (lambda s: theory.predict_surface(s, n=[10], k=[INF]), "`k` holds 1 NaN or infinite"),
        (lambda s: theory.predict_surface(s, n=[10], k=[0.0]), "`k` must be positive"),
        (lambda s: theory.exponents(s, (10, 12)), "`window` must satisfy 0 < low <= high / 2"),
        (lambda s: theory.window_exponent(s, "m", [1, 2, 3]), "`along` must be one of n, k; got 'm'"),
        (lambda s: theory.window_exponent(s, "n", [1, 2]), "a slope needs at least three points, got 2"),
        (lambda s: theory.ridgeless_split(s, 10, 0), "`k` must be positive"),
    ],
)
def test_bad_input_gets_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call(spectra.power_law(0.5, modes=100))


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_split_sums_to_the_loss_beyond_the_number_of_modes_too(noise):
    spectrum = spectra.white(10)
    n, k = (axis.ravel() for axis in np.meshgrid([4.0, 9, 10, 20, 30, INF], [4.0, 9, 10, 20, 30, INF]))
    split = theory.ridgeless_split(spectrum, n, k, noise)
    loss = equivalents.loss(spectrum, n, k, 0, noise)
    assert split.limit + split.excess == pytest.approx(loss, rel=1e-12)


def test_an_infinite_loss_carries_its_reason():
    spectrum = spectra.power_law(0.5, modes=1000)
    assert "interpolation peak" in str(theory.predict_curve(spectrum, n=[50, 100, 200], k=100).caution)
    assert theory.predict_curve(spectrum, n=[50, 101, 200], k=100).caution is None
    assert "interpolation peak" in str(theory.predict_surface(spectrum, n=[50, 100], k=[100, 200]))
    both = theory.predict_curve(spectra.brownian(), n=[50, 100], k=100).caution
    assert "interpolation peak" in both.reason
    assert both.factor == spectra.brownian().caution.factor


def test_local_exponents_keep_their_digits_beside_large_noise():
    spectrum = spectra.power_law(0.5, 4.0, modes=10**10)
    found = [theory.local_exponents(spectrum, INF, 1e7, 0, noise).k for noise in (0.0, 1.0, 100.0)]
    assert found == pytest.approx([found[0]] * 3, rel=1e-10)


def test_a_spectrum_of_few_modes_says_so_when_asked_for_exponents():
    with pytest.raises(ValueError, match="resolves sizes up to 1 only"):
        theory.exponents(spectra.white(10))
