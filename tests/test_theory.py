import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regimes import equivalents, spectra, theory
from regimes.results import log_slope
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
    halves = tuple(spectra.power_law(alpha, modes=1000) for alpha in (0.4, 0.6, 0.45, 0.55))
    whole = spectra.power_law(0.5, modes=1000)
    spectrum = Spectrum(
        whole.eigenvalues,
        whole.power,
        whole.multiplicity,
        whole.tail,
        whole.tail_power,
        replicates=halves,
        resolved=100,
    )
    found = theory.exponents(spectrum)
    assert found.alpha.low < 0.45 < 0.55 < found.alpha.high
    assert found.alpha.window == (16, 100)
    assert "[" in str(found)


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: theory.predict_curve(s, n=10, k=20), "exactly one of `n` and `k` must be a sequence"),
        (lambda s: theory.predict_curve(s, n=[10], k=[20]), "exactly one of `n` and `k` must be a sequence"),
        (lambda s: theory.exponents(s, (10, 12)), "`window` must satisfy 0 < low <= high / 2"),
        (lambda s: theory.window_exponent(s, "m", [1, 2, 3]), "`along` must be one of n, k; got 'm'"),
        (lambda s: theory.window_exponent(s, "n", [1, 2]), "a slope needs at least three points, got 2"),
        (lambda s: theory.ridgeless_split(s, 10, 0), "`k` must be positive"),
    ],
)
def test_bad_input_gets_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call(spectra.power_law(0.5, modes=100))
