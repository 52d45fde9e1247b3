"""The compressed spectrum gives every sum of the theory; the checks and properties are in test_spectra."""

import dataclasses
import math

import numpy as np
import oracles
import pytest

from regimes import equivalents, spectra
from regimes.spectrum import Spectrum


def staircase(rng):
    """Forty narrow shells, some split to a relative 1e-9 and some to 1e-3, as a sphere seen through samples has."""
    centres = np.repeat(np.geomspace(1, 1e-8, 40), 200)
    values = np.sort(centres * np.exp(rng.choice([1e-9, 1e-3], 40).repeat(200) * rng.standard_normal(8000)))[::-1]
    return Spectrum(values, rng.exponential(size=8000) * values, np.ones(8000))


def random_levels(rng):
    """Levels over thirty decades with real multiplicities over six, and power unrelated to them."""
    values = np.sort(10 ** rng.uniform(-20, 10, 6000))[::-1]
    return Spectrum(values, 10 ** rng.uniform(-12, 0, 6000), 10 ** rng.uniform(-3, 3, 6000), tail=1e-21, tail_power=0.3)


def sparse_target(rng):
    """A target in one mode of a hundred, and none at all in the bulk."""
    values = np.arange(1, 5001.0) ** -1.3
    power = np.where(rng.random(5000) < 0.01, rng.exponential(size=5000), 0.0)
    power[1000:] = 0
    return spectra.listed(values, power)


def sparse_kernel(rng):
    """Levels without modes that still hold power, as an estimate may give."""
    spectrum = random_levels(rng)
    return dataclasses.replace(spectrum, multiplicity=np.where(rng.random(6000) < 0.7, 0.0, 1.0))


SPECTRA = {
    "steep": lambda rng: spectra.power_law(1.5, 0.4, modes=10_000, tail=False),
    "flat": lambda rng: spectra.power_law(0.05, 3.0, modes=10_000),
    "prior": lambda rng: spectra.power_law(0.5, modes=10_000),
    "staircase": staircase,
    "random": random_levels,
    "sparse target": sparse_target,
    "sparse kernel": sparse_kernel,
}


@pytest.fixture(params=SPECTRA)
def spectrum(request, rng):
    return SPECTRA[request.param](rng)


def gammas(spectrum):
    top, bottom = math.log(spectrum.eigenvalues[0]) + 12, math.log(spectrum.eigenvalues[-1]) - 12
    return np.exp(np.linspace(bottom, top, 150))


def test_compressed_levels_give_the_full_sums(spectrum):
    short = spectrum.compressed
    assert len(short.eigenvalues) < len(spectrum.eigenvalues) / 2
    full, fast = (oracles.resolvent_sums(which, gammas(spectrum)) for which in (spectrum, short))
    assert np.max(np.abs(fast / full - 1)) < 2e-13


@pytest.mark.parametrize(("angle", "tolerance"), [(math.pi / 4, 1e-13), (math.pi / 2, 1e-12), (0.75 * math.pi, 1e-8)])
def test_compressed_levels_give_the_full_sums_at_complex_gamma(spectrum, angle, tolerance):
    """The sums have their poles at gamma = -lambda, a distance pi - angle from the real axis of log lambda.

    Six nodes in a bin of half-width 1/4 leave an error of about (8 (pi - angle))^-12, relative to the absolute sum.
    """
    gamma = gammas(spectrum) * np.exp(1j * angle)
    full, fast = (oracles.resolvent_sums(which, gamma) for which in (spectrum, spectrum.compressed))
    size = np.abs(spectrum.eigenvalues / (spectrum.eigenvalues + gamma[:, None]))
    rest = np.abs(gamma[:, None] / (spectrum.eigenvalues + gamma[:, None]))
    m, p = spectrum.multiplicity, spectrum.power
    absolute = np.stack([size @ m, size**2 @ m, rest @ p, rest**2 @ p, (size * rest) @ p])
    assert np.max(np.abs(fast - full) / absolute) < tolerance


def test_compressed_levels_do_not_give_the_full_sums_next_to_the_negative_axis():
    """Why contours that pass next to the eigenvalues need all levels, see regimes.dynamics."""
    spectrum = spectra.listed(np.linspace(1, 0.3, 4000), np.ones(4000))
    off = []
    for angle in (0.75, 0.9, 0.99):
        gamma = np.array([0.6 * np.exp(1j * math.pi * angle)])
        full, fast = (equivalents._sums(which, gamma)[0] for which in (spectrum, spectrum.compressed))
        off.append(float(np.abs(fast / full - 1)[0]))
    assert off[0] < 1e-8 < off[1] < off[2]
    assert off[2] > 0.01


def test_compression_keeps_the_totals(spectrum):
    short = spectrum.compressed
    assert short.multiplicity.sum() == pytest.approx(spectrum.multiplicity.sum(), rel=1e-14)
    assert short.power.sum() == pytest.approx(spectrum.power.sum(), rel=1e-14)
    assert short.trace == pytest.approx(spectrum.trace, rel=1e-13)
    assert short.total_power == pytest.approx(spectrum.total_power, rel=1e-14)
    assert (short.tail, short.tail_power, short.resolved) == (spectrum.tail, spectrum.tail_power, spectrum.resolved)
    assert short.is_prior == spectrum.is_prior
    # Nothing outside the range of the eigenvalues: bounds on gamma stay bounds.
    assert short.eigenvalues[0] <= spectrum.eigenvalues[0] * (1 + 1e-14)
    assert short.eigenvalues[-1] >= spectrum.eigenvalues[-1] * (1 - 1e-14)


def test_losses_of_the_compressed_spectrum_are_those_of_the_full_one(spectrum, monkeypatch):
    n, k = np.array([3.0, 30.0, 300.0])[:, None, None], np.array([20.0, 31.0, math.inf])[:, None]
    ridge = np.array([0.0, 1e-3, 1.0]) * spectrum.eigenvalues[0]
    fast = equivalents.loss(spectrum, n, k, ridge, 0.1)
    monkeypatch.setattr(Spectrum, "compressed", property(lambda self: self))
    assert fast == pytest.approx(equivalents.loss(spectrum, n, k, ridge, 0.1), rel=1e-11)


def test_a_prior_stays_a_prior_in_half_the_levels():
    prior = spectra.power_law(0.5, modes=10_000)
    assert prior.compressed.is_prior
    other = dataclasses.replace(prior, power=prior.power[::-1].copy())
    assert not other.compressed.is_prior
    assert len(prior.compressed.eigenvalues) < 0.6 * len(other.compressed.eigenvalues)


def test_few_levels_are_returned_as_they_are():
    for few in (
        Spectrum(np.ones(1), np.ones(1), np.ones(1)),
        spectra.power_law(0.5, modes=20),
        Spectrum(np.geomspace(1, 1e-40, 150), np.ones(150), np.ones(150)),
    ):
        assert few.compressed is few


def test_equal_eigenvalues_become_one_level():
    many = spectra.listed(np.repeat([3.0, 0.2], [70, 500]), np.ones(570))
    short = many.compressed
    for value, count in ((3.0, 70), (0.2, 500)):
        here = np.isclose(short.eigenvalues, value, rtol=1e-14, atol=0)
        assert short.multiplicity[here].sum() == pytest.approx(count, rel=1e-14)
        assert short.power[here].sum() == pytest.approx(count, rel=1e-14)
    assert len(short.eigenvalues) == 4


def test_compression_is_done_once_and_compresses_no_further():
    spectrum = spectra.power_law(0.5, 1.2, modes=10_000)
    assert spectrum.compressed is spectrum.compressed
    again = spectrum.compressed.compressed
    assert equivalents.df1(again, 0.01) == pytest.approx(equivalents.df1(spectrum, 0.01), rel=1e-13)
