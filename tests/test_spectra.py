import math

import numpy as np
import oracles
import pytest
from scipy import integrate, special

from regimes import equivalents, spectra, theory
from regimes.spectrum import Spectrum


@pytest.mark.parametrize("kernel", oracles.PROFILES)
@pytest.mark.parametrize("dim", [2, 4, 7])
def test_sphere_eigenvalues_equal_adaptive_gegenbauer_quadrature(kernel, dim):
    profile = oracles.PROFILES[kernel]
    spectrum = spectra.sphere(profile, dim, degrees=60)
    order = (dim - 1) / 2

    def eigenvalue(degree):
        def weighted(angle):
            t = np.cos(angle)
            harmonic = special.eval_gegenbauer(degree, order, t) / special.eval_gegenbauer(degree, order, 1.0)
            return profile(t) * harmonic * np.sin(angle) ** (dim - 1)

        norm = integrate.quad(lambda angle: np.sin(angle) ** (dim - 1), 0, np.pi)[0]
        return integrate.quad(weighted, 0, np.pi, epsabs=1e-13, epsrel=1e-12, limit=400)[0] / norm

    expected = np.array([eigenvalue(degree) for degree in (0, 1, 2, 4, 6)])
    for value in expected:
        assert np.min(np.abs(spectrum.eigenvalues / value - 1)) < 1e-9


def test_relu_nngp_on_the_sphere_has_the_closed_form_of_bach():
    # Harmonic coefficients of relu, Bach 2017 (JMLR 18, appendix D); Gaussian weights multiply by dim + 1.
    dim, degree = 4, 6
    j = (degree - 2) // 2
    coefficient = (
        (-1) ** j
        * math.gamma((dim + 1) / 2)
        * math.gamma(degree - 1)
        / (math.sqrt(math.pi) * 2**degree * math.gamma(degree / 2) * math.gamma((degree + dim + 2) / 2))
    )
    # arc_cosine is scaled to 1 at t = 1, twice E[relu relu] of unit Gaussian variables.
    expected = 2 * (dim + 1) * coefficient**2
    spectrum = spectra.sphere(oracles.PROFILES["NNGP"], dim, degrees=40)
    assert np.min(np.abs(spectrum.eigenvalues / expected - 1)) < 1e-10


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_sphere_trace_is_the_kernel_on_the_diagonal(dim):
    spectrum = spectra.sphere(oracles.PROFILES["Laplace"], dim, degrees=150)
    assert spectrum.trace == pytest.approx(1.0, rel=1e-12)
    assert 0 < spectrum.tail < 0.05


def test_on_the_circle_levels_are_fourier_coefficients_of_the_profile():
    spectrum = spectra.sphere(oracles.PROFILES["Laplace"], 1, degrees=50)
    angle = 2 * np.pi * np.arange(2**19) / 2**19
    fourier = np.fft.rfft(oracles.PROFILES["Laplace"](np.cos(angle))).real / len(angle)
    assert spectrum.eigenvalues == pytest.approx(np.sort(fourier[:51])[::-1], rel=1e-6)
    assert np.array_equal(spectrum.multiplicity, [1.0] + [2.0] * 50)


def test_multiplicities_fill_the_space_of_polynomials():
    # Restrictions to S^d of polynomials of degree <= l in d+1 variables: C(d+l, d) + C(d+l-1, d) dimensions.
    dim, degrees = 3, 12
    spectrum = spectra.sphere(oracles.PROFILES["Laplace"], dim, degrees=degrees)
    assert spectrum.multiplicity.sum() == math.comb(dim + degrees, dim) + math.comb(dim + degrees - 1, dim)


def test_gram_eigenvalues_approach_those_of_the_sphere(rng):
    spectrum = spectra.sphere(oracles.PROFILES["NTK"], 2)
    gram = oracles.sphere_gram("NTK", 1500, 2, rng)
    top = np.linalg.eigvalsh(gram)[::-1][:9] / 1500
    listed = np.repeat(spectrum.eigenvalues, spectrum.multiplicity.astype(int))[:9]
    assert top == pytest.approx(listed, rel=0.15)


def test_a_kernel_that_is_not_positive_definite_is_refused():
    with pytest.raises(ValueError, match=r"`profile` is not positive definite on S\^2: degree 1 "):
        spectra.sphere(lambda t: 1 - t, 2)


def test_power_law_tail_is_the_sum_of_the_modes_beyond():
    spectrum = spectra.power_law(0.5, 1.2, modes=100)
    beyond = np.arange(101, 4_000_000.0)
    remainder = 2 * beyond[-1] ** -0.5, beyond[-1] ** -1.2 / 1.2
    assert spectrum.tail == pytest.approx(np.sum(beyond**-1.5) + remainder[0], rel=1e-6)
    assert spectrum.tail_power == pytest.approx(np.sum(beyond**-2.2) + remainder[1], rel=1e-6)
    assert spectrum.total_power == pytest.approx(special.zeta(2.2), rel=1e-12)


def test_listed_sorts_and_keeps_the_power_of_null_modes():
    spectrum = spectra.listed([0.0, 1.0, 3.0], [5.0, 1.0, 2.0])
    assert np.array_equal(spectrum.eigenvalues, [3.0, 1.0])
    assert np.array_equal(spectrum.power, [2.0, 1.0])
    assert spectrum.tail_power == 5.0
    assert spectrum.total_power == 8.0


def test_prior_power_is_the_spectrum_itself():
    spectrum = spectra.power_law(0.5, 2.0, modes=50).with_prior()
    assert np.array_equal(spectrum.power, spectrum.eigenvalues)
    assert spectrum.total_power == pytest.approx(spectrum.trace)
    assert spectrum.is_prior
    assert not spectra.power_law(0.5, 2.0, modes=50).is_prior


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spectra.listed([1.0, float("nan")]), "`eigenvalues` holds 1 NaN"),
        (lambda: spectra.listed([1.0, -0.1]), "`eigenvalues` must not be negative, got -0.1"),
        (lambda: spectra.listed([0.0, 0.0]), "at least one positive"),
        (lambda: spectra.listed([1.0, 2.0], [1.0]), "`power` must be as long as `eigenvalues`: expected 2, got 1"),
        (lambda: spectra.listed([]), "`eigenvalues` is empty"),
        (lambda: spectra.power_law(0.0), "`alpha` must be finite and more than 0"),
        (lambda: spectra.power_law(1.0, -1.0), "`beta` must be finite and more than 0"),
        (lambda: spectra.power_law(1.0, modes=0), "`modes` must be finite and at least 1, got 0"),
        (lambda: spectra.sphere(np.cos, 0), "`dim` must be at least 1, got 0"),
        (lambda: Spectrum(np.array([1.0, 2.0]), np.ones(2), np.ones(2)), "descending order"),
        (lambda: spectra.listed([1.0, 2.0], [[1.0, 2.0]]), "`power` must have 1 axis, got shape"),
        (lambda: Spectrum(np.ones(2), -np.ones(2), np.ones(2)), "must not be negative"),
    ],
)
def test_bad_input_gets_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_spectrum_prints_as_a_sentence():
    assert str(spectra.power_law(0.5, modes=100)).startswith("spectrum of 100 levels, eigenvalues 1 to 0.001")


def test_a_sphere_with_fewer_degrees_agrees_up_to_where_it_is_resolved():
    few, many = (spectra.sphere(oracles.PROFILES["Laplace"], 4, degrees=degrees) for degrees in (20, 300))
    assert 100 < few.resolved < many.resolved
    gammas = [equivalents.solve(spectrum, few.resolved).gamma for spectrum in (few, many)]
    assert gammas[0] == pytest.approx(gammas[1], rel=0.02)
    assert theory.exponents(many).alpha.value == pytest.approx(0.25, abs=0.02)


def test_a_spectrum_with_nan_is_refused():
    with pytest.raises(ValueError, match="`power` holds 1 NaN"):
        Spectrum(np.ones(1), np.array([np.nan]), np.ones(1))
