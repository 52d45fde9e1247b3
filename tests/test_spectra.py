import math

import mpmath
import numpy as np
import oracles
import pytest
from scipy import integrate, special

from regimes import domains, equivalents, factor, profiles, spectra, theory
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


@pytest.mark.parametrize("tail", [True, False])
@pytest.mark.parametrize(("alpha", "modes"), [(40.0, 1e8), (100.0, 5000), (0.5, 1e300)])
def test_eigenvalues_that_underflow_go_to_the_tail_with_their_power(alpha, modes, tail):
    spectrum = spectra.power_law(alpha, 0.3, modes=modes, tail=tail)
    assert spectrum.eigenvalues[-1] > 1e-300
    last = spectrum.multiplicity.sum()
    assert last == pytest.approx(10 ** (300 / (1 + alpha)), rel=0.2)
    assert last < modes
    assert spectrum.resolved == pytest.approx(last / 10)
    beyond = special.zeta(1.3, last + 1) - (0.0 if tail else special.zeta(1.3, modes + 1))
    assert spectrum.tail_power == pytest.approx(beyond, rel=1e-6)
    assert spectrum.trace == pytest.approx(special.zeta(1 + alpha), rel=1e-12)
    assert spectra.power_law(alpha, modes=modes, tail=tail).is_prior


def test_series_that_underflow_end_where_floats_do():
    spectrum = spectra.circle(profiles.bernoulli(20.0), frequencies=10**8)
    assert 1e-300 < spectrum.eigenvalues[-1] < 1e-290
    assert equivalents.loss(spectrum, 20) > 0


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


@pytest.mark.parametrize("exponent", [0, 1, 2])
@pytest.mark.parametrize("dim", [1, 3, 6])
def test_arc_cosine_kernels_on_the_sphere_have_the_closed_form_of_bach(exponent, dim):
    # K(t)/K(1) with weights on the sphere; E (w.x)_+^(2p) = 1/2 E w_1^(2p).
    half = {0: 0.5, 1: 0.5 / (dim + 1), 2: 1.5 / ((dim + 1) * (dim + 3))}[exponent]
    found = spectra.sphere(profiles.arc_cosine(exponent), dim, degrees=40)
    degrees = [degree for degree in range(exponent + 1, 41) if (degree - exponent) % 2]
    expected = [float(oracles.relu_power_on_sphere(degree, dim, exponent) ** 2) / half for degree in degrees]
    for degree, value in zip(degrees, expected, strict=True):
        nearest = np.argmin(np.abs(found.eigenvalues / value - 1))
        assert found.eigenvalues[nearest] == pytest.approx(value, rel=1e-6 if value > 1e-8 else 1e-3)
        assert found.multiplicity[nearest] == domains.harmonics(dim, degree)
    # Of the other parity there are only degrees up to the exponent: the rest of the list is of this parity.
    low = exponent + 1
    assert len(found.eigenvalues) <= len(degrees) + low
    assert found.trace == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("dim", [2, 5, 8])
def test_gaussian_kernel_on_the_sphere_is_a_bessel_function(dim):
    # exp(t/l^2) = Gamma(dim/2+1/2) (2 l^2)^((dim-1)/2) sum N P I_(degree + (dim-1)/2)(1/l^2).
    length, order = 0.7, (dim - 1) / 2
    found = spectra.sphere(profiles.gaussian(length), dim, degrees=30).eigenvalues
    degree = np.arange(len(found))
    scale = math.gamma(order + 1) * (2 * length**2) ** order
    assert found == pytest.approx(scale * special.ive(degree + order, 1 / length**2), rel=1e-2)
    assert found[:8] == pytest.approx(scale * special.ive(degree[:8] + order, 1 / length**2), rel=1e-7)


@pytest.mark.parametrize(
    ("profile", "dim"),
    [
        (profiles.arc_cosine(0), 2),
        (profiles.nngp(3), 2),
        (profiles.ntk(2, bias_std=0.2), 3),
        (profiles.laplace(0.5), 4),
        (profiles.matern(0.8, 0.5), 2),
        (profiles.nngp(2, "step"), 2),
        (profiles.nngp(3, "step"), 1),
    ],
    ids=str,
)
def test_eigenvalues_fall_with_the_exponent_of_the_profile(profile, dim):
    spectrum = spectra.sphere(profile, dim, degrees=800)
    ranks = np.cumsum(spectrum.multiplicity)
    window = slice(len(ranks) // 4, None)
    slope = np.polyfit(np.log(ranks[window]), np.log(spectrum.eigenvalues[window]), 1)[0]
    assert -slope - 1 == pytest.approx(profile.alpha(dim), rel=0.05)


@pytest.mark.parametrize("degrees", [1, 20, 200])
@pytest.mark.parametrize("dim", [30, 100, 300, 1000, 10**5])
def test_exponential_kernel_on_spheres_of_high_dimension(dim, degrees):
    # mu_l = Gamma(order + 1) 2^order I_(order + l)(1), a modified Bessel function, with order = (dim - 1)/2.
    found = spectra.sphere(np.exp, dim, degrees=degrees)
    count = min(4, len(found.eigenvalues))
    with mpmath.workdps(40):
        order = mpmath.mpf(dim - 1) / 2
        exact = [
            float(mpmath.gamma(order + 1) * 2**order * mpmath.besseli(order + degree, 1)) for degree in range(count)
        ]
    assert found.eigenvalues[:count] == pytest.approx(exact, rel=1e-9)
    assert found.trace == pytest.approx(math.e, rel=1e-12)
    assert found.multiplicity[:2] == pytest.approx([1, dim + 1], rel=1e-12)


@pytest.mark.parametrize("dim", [300, 1000, 10**5])
def test_ntk_on_spheres_of_high_dimension_has_its_taylor_coefficients(dim):
    profile = profiles.ntk(2)
    for degrees in (20, 200):
        found = spectra.sphere(profile, dim, degrees=degrees)
        assert found.trace == pytest.approx(float(profile(np.ones(1))[0]), rel=1e-12)
        share = (found.eigenvalues * found.multiplicity)[:3]
        step = 1e-3
        low, middle, high = profile(np.array([-step, 0.0, step]))
        taylor = [middle, (high - low) / (2 * step), (high - 2 * middle + low) / (2 * step**2)]
        assert share == pytest.approx(taylor, rel=10 / dim + 2e-6, abs=2 / dim)


def test_a_profile_of_high_dimension_that_is_not_positive_definite_is_refused():
    with pytest.raises(ValueError, match=r"not positive definite on S\^1000: degree 1 "):
        spectra.sphere(lambda t: 1 - t, 1000)


def test_degrees_that_rounding_hides_are_not_listed():
    # Odd degrees from 3 on are zero; so are all beyond 2 of a polynomial of degree 2.
    assert len(spectra.sphere(profiles.nngp(1), 2, degrees=50).eigenvalues) == 1 + 1 + 25
    square = spectra.sphere(lambda t: t**2, 3)
    assert square.eigenvalues == pytest.approx([1 / 4, 1 / 12], rel=1e-12)
    assert np.array_equal(square.multiplicity, [1, 9])
    assert square.tail == 0


def test_circle_is_the_fourier_transform_of_the_profile():
    length = 0.8
    found = spectra.circle(profiles.ornstein_uhlenbeck(length), frequencies=300)
    x = 2 * np.pi * np.arange(2**20) / 2**20
    transform = np.fft.rfft(np.cosh((np.pi - x) / length) / np.sinh(np.pi / length)).real[:301] / len(x)
    assert found.eigenvalues == pytest.approx(transform, rel=1e-6)
    assert found.trace == pytest.approx(1 / np.tanh(np.pi / length), rel=1e-13)
    sampled = spectra.circle(profiles.ornstein_uhlenbeck(length).of_lag, frequencies=300)
    assert sampled.eigenvalues == pytest.approx(found.eigenvalues, rel=1e-9)
    assert sampled.tail == pytest.approx(found.tail, rel=1e-9)
    given = spectra.circle(transform[:20])
    assert given.eigenvalues == pytest.approx(found.eigenvalues[:20], rel=1e-6)
    assert (given.tail, given.modes) == (0, 39)


def test_circle_and_sphere_of_dimension_one_agree():
    one, other = (
        spectra.circle(profiles.laplace(0.5), frequencies=60),
        spectra.sphere(profiles.laplace(0.5), 1, degrees=60),
    )
    assert one.eigenvalues == pytest.approx(other.eigenvalues, rel=1e-10)
    assert np.array_equal(one.multiplicity, other.multiplicity)


@pytest.mark.parametrize("degree", [0, 1, 7, 40])
def test_kernels_that_are_rough_at_the_pole_are_integrated_to_rounding(degree):
    # Three step layers go as angle^(1/4) at the pole; in u, angle = pi u^8, they are smooth.
    profile = profiles.nngp(3, "step", bias_std=0.3)
    nodes, weights = np.polynomial.legendre.leggauss(16)  # of high order it has only twelve digits
    u = ((np.arange(200)[:, None] + (nodes + 1) / 2) / 200).ravel()
    weights = np.tile(weights / 200, 200)
    angle = np.pi * u**8
    expected = np.sum(4 * u**7 * weights * profile.of_angle(angle) * np.cos(degree * angle))
    found = spectra.sphere(profile, 1, degrees=50)
    assert np.min(np.abs(found.eigenvalues / expected - 1)) < 1e-11


def test_poisson_and_bernoulli_kernels():
    poisson = spectra.circle(profiles.poisson(0.5), frequencies=5000)
    assert poisson.eigenvalues == pytest.approx(0.5 ** np.arange(len(poisson.eigenvalues)), rel=1e-12)
    assert len(poisson.eigenvalues) < 1000
    bernoulli = spectra.circle(profiles.bernoulli(0.75), frequencies=10**6)
    assert len(bernoulli.eigenvalues) < 1000
    assert bernoulli.trace == pytest.approx(2 * special.zeta(1.5), rel=1e-12)
    assert theory.exponents(bernoulli, (100, 10_000)).alpha.value == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("target", [None, 0.7, 3.0])
@pytest.mark.parametrize(
    "make",
    [
        lambda count, target: spectra.ornstein_uhlenbeck(0.3, frequencies=count, target=target),
        lambda count, target: spectra.circle(profiles.bernoulli(1.2), frequencies=count, target=target),
        lambda count, target: spectra.brownian(modes=count, target=target),
    ],
    ids=["ou", "bernoulli", "brownian"],
)
def test_long_series_agree_with_listed_modes(make, target, monkeypatch):
    binned = make(40_000, target)
    assert len(binned.eigenvalues) < 600
    ranks = domains.ranks
    monkeypatch.setattr(domains, "ranks", lambda count, width: (np.arange(1.0, count + 1), np.ones(int(count))))
    listed = make(40_000, target)
    monkeypatch.setattr(domains, "ranks", ranks)
    assert len(listed.eigenvalues) >= 40_000
    assert binned.multiplicity.sum() == pytest.approx(listed.multiplicity.sum(), rel=1e-12)
    assert (binned.trace, binned.total_power) == pytest.approx((listed.trace, listed.total_power), rel=1e-12)
    for n in (7, 300, 20_000):
        assert equivalents.loss(binned, n, 2 * n) == pytest.approx(equivalents.loss(listed, n, 2 * n), rel=1e-10)


def test_brownian_motion_in_closed_form():
    spectrum = spectra.brownian(modes=10**9)
    assert spectrum.trace == pytest.approx(0.5, rel=1e-13)
    assert spectra.brownian(modes=30).trace == pytest.approx(0.5, rel=1e-13)
    gamma = np.array([1e-8, 1e-4, 0.1, 10.0])
    expected = np.tanh(1 / np.sqrt(gamma)) / (2 * np.sqrt(gamma))
    assert equivalents.df1(spectrum, gamma) == pytest.approx(expected, rel=1e-11)
    n = np.array([10.0, 100.0, 10_000.0])
    exact = (n + 3) / (3 * (n + 1) * (n + 2))
    ratio = exact / equivalents.loss(spectrum, n)
    assert ratio == pytest.approx(4 / 3, rel=0.03)
    assert ratio[-1] == pytest.approx(4 / 3, rel=1e-3)
    assert spectrum.caution.factor == (4 / 3, 4 / 3)


def test_exact_loss_of_brownian_motion_is_the_mean_of_its_pivots(rng):
    x = rng.uniform(size=(4000, 12))
    gram = np.minimum(x[:, :, None], x[:, None])
    pivots = np.linalg.cholesky(gram).diagonal(axis1=1, axis2=2) ** 2
    n = np.arange(12)
    expected = np.where(n > 0, (n + 3) / (3 * (n + 1) * (n + 2)), 0.5)
    error = pivots.std(axis=0) / math.sqrt(len(x))
    assert np.abs(pivots.mean(axis=0) - expected).max() < 4 * error.max()


@pytest.mark.parametrize("length", [0.3, 2.0])
def test_ornstein_uhlenbeck_loses_four_thirds_of_the_prediction(length):
    spectrum = spectra.ornstein_uhlenbeck(length, frequencies=10**7)
    n = 3000
    exact = oracles.ornstein_uhlenbeck_loss(n, length)
    assert exact / float(equivalents.loss(spectrum, n)) == pytest.approx(4 / 3, rel=0.005)
    low, high = spectrum.caution.factor
    assert low == high == 4 / 3


def test_lattice_oracle_is_a_regression_on_the_lattice():
    """The oracle itself, against solving the linear system; the theory for random points is of the same order."""
    k, n, ridge = np.arange(-60, 61), 16, 1e-3
    eigenvalues = profiles.ornstein_uhlenbeck(1.0).coefficient(np.abs(k).astype(float))
    coefficients = np.where(k % 2 == 1, 1.0, 0.5j * np.sign(k)) / (1 + k**2)
    x = 2 * np.pi * np.arange(n) / n
    waves = np.exp(1j * np.outer(x, k))
    dual = np.linalg.solve((waves * eigenvalues) @ waves.conj().T + ridge * np.eye(n), waves @ coefficients)
    fit = eigenvalues * (waves.conj().T @ dual)
    expected = np.sum(np.abs(coefficients - fit) ** 2)
    assert oracles.lattice_loss(eigenvalues, coefficients, n, ridge) == pytest.approx(expected, rel=1e-10)


def test_lattice_and_random_points_have_the_same_exponent(rng):
    # alpha = 1 and a rougher target, beta = 0.5, of random signs: n^-beta for both.
    k = np.arange(-200_000, 200_001)
    eigenvalues = profiles.ornstein_uhlenbeck(1.0).coefficient(np.abs(k).astype(float))
    coefficients = np.maximum(np.abs(k), 1.0) ** -0.75 * rng.choice([-1, 1], len(k))
    spectrum = spectra.circle(profiles.ornstein_uhlenbeck(1.0), frequencies=10**6, target=0.5)
    n = np.array([101, 1001])
    lattice = np.array([oracles.lattice_loss(eigenvalues, coefficients, size, 0.0) for size in n])
    random = equivalents.loss(spectrum, n)
    for loss in (lattice, random):
        assert -np.diff(np.log(loss)) / np.diff(np.log(n)) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("dim", [1, 2, 7, 8])
@pytest.mark.parametrize("profile", [profiles.ntk(2), profiles.laplace(0.7), profiles.nngp(1)], ids=str)
def test_hypercube_has_the_eigenvalues_of_all_its_corners(profile, dim):
    found = spectra.hypercube(profile, dim)
    listed = np.repeat(found.eigenvalues, found.multiplicity.round().astype(int))
    expected = oracles.walsh_eigenvalues(profile, dim)
    assert listed == pytest.approx(expected[: len(listed)], abs=1e-13 * found.trace)
    assert np.all(expected[len(listed) :] < 1e-13 * found.trace)
    assert found.trace == pytest.approx(float(profile(1.0)), rel=1e-12)
    assert found.total_power == pytest.approx(found.trace, rel=1e-12)


def test_hypercube_of_many_coordinates_has_the_degrees_of_a_power():
    # (x.x'/dim)^2 = 1/dim + 2/dim^2 sum over pairs of coordinates.
    found = spectra.hypercube(lambda t: t**2, 200)
    assert found.eigenvalues == pytest.approx([1 / 200, 2 / 200**2], rel=1e-10)
    assert found.multiplicity == pytest.approx([1, 200 * 199 / 2], rel=1e-12)


@pytest.mark.parametrize(("length", "scale"), [(1.0, 1.0), (0.3, 0.5), (2.0, 0.7)])
def test_gaussian_kernel_on_gaussian_inputs(length, scale):
    found = spectra.gaussian_inputs(length, scale)
    expected = oracles.gaussian_by_quadrature(length, scale)
    assert found.eigenvalues[:12] == pytest.approx(expected[:12], abs=1e-10)
    three = spectra.gaussian_inputs(length, scale, 3, levels=9)
    products = np.sort(np.multiply.outer(np.multiply.outer(expected[:12], expected[:12]), expected[:12]).ravel())[::-1]
    ranks = np.repeat(three.eigenvalues, three.multiplicity.astype(int))
    assert ranks == pytest.approx(products[: len(ranks)], abs=1e-10)
    assert three.trace == pytest.approx(1.0, rel=1e-12)
    assert three.tail == pytest.approx(1 - ranks.sum(), rel=1e-9)


def test_separable_torus_is_the_outer_product():
    one = spectra.circle(profiles.ornstein_uhlenbeck(0.6), frequencies=40)
    values = np.repeat(one.eigenvalues, one.multiplicity.astype(int))
    products = np.sort(np.multiply.outer(np.multiply.outer(values, values), values).ravel())[::-1]
    found = spectra.torus(profiles.ornstein_uhlenbeck(0.6), 3, frequencies=40)
    listed = np.repeat(found.eigenvalues, found.multiplicity.astype(int))
    assert listed == pytest.approx(products[: len(listed)], rel=1e-8)
    # No frequency beyond 40 has a product above the last one listed.
    assert found.eigenvalues[-1] >= values[-1] * values[0] ** 2 * (1 - 1e-8)
    assert found.trace == pytest.approx(one.trace**3, rel=1e-12)
    assert spectra.torus(values[:1], 2).modes == 1


def test_torus_by_transform_agrees_with_the_product():
    def kernel(lags):
        return np.prod(profiles.poisson(0.3)(lags), axis=1)

    product = spectra.torus(profiles.poisson(0.3), 2, frequencies=12)
    transform = spectra.torus(kernel, 2, separable=False, frequencies=12)
    count = 8
    assert transform.eigenvalues[:count] == pytest.approx(product.eigenvalues[:count], rel=1e-9)
    assert np.array_equal(transform.multiplicity[:count], product.multiplicity[:count])
    assert transform.trace == pytest.approx(product.trace, rel=1e-12)


def test_a_function_on_the_torus_has_its_power_at_its_frequencies():
    def target(x):
        return 2 + 3 * np.cos(x[:, 0] - 2 * x[:, 1]) + np.sin(5 * x[:, 1])

    for separable, profile in (
        (True, profiles.poisson(0.5)),
        (False, lambda lags: np.prod(profiles.poisson(0.5)(lags), axis=1)),
    ):
        found = spectra.torus(profile, 2, separable=separable, frequencies=8, target=target)
        level = np.rint(-np.log2(found.eigenvalues)).astype(int)  # |k_1| + |k_2|
        assert np.bincount(level, found.power)[:6] == pytest.approx([4.0, 0, 0, 4.5, 0, 0.5], rel=1e-9, abs=1e-12)
        assert found.total_power == pytest.approx(9.0, rel=1e-12)
    high = spectra.torus(profiles.poisson(0.5), 2, frequencies=3, target=target)
    assert high.tail_power == pytest.approx(0.5, rel=1e-9)


def test_a_function_on_the_circle_has_its_power_at_its_frequencies():
    def target(x):
        return 1 + 2 * np.sin(3 * x) + np.cos(70 * x)

    found = spectra.ornstein_uhlenbeck(frequencies=50, target=target)
    assert found.power[[0, 3]] == pytest.approx([1, 2], rel=1e-12)
    assert found.tail_power == pytest.approx(0.5, rel=1e-12)
    without_constant = spectra.circle(profiles.bernoulli(1), frequencies=50, target=target)
    assert without_constant.power[2] == pytest.approx(2, rel=1e-12)
    assert without_constant.tail_power == pytest.approx(1.5, rel=1e-12)
    sampled = spectra.circle(profiles.laplace(), frequencies=50, target=target)
    assert sampled.power[3] == pytest.approx(2, rel=1e-12)
    even = spectra.circle(profiles.arc_cosine(1), frequencies=50, target=target)  # 3 is a frequency it never learns
    assert even.tail_power == pytest.approx(2.5, rel=1e-12)


def test_a_function_on_the_interval_has_the_power_of_its_sine_series():
    # x = sum_j sqrt(2) (-1)^(j+1)/((j-1/2)^2 pi^2) e_j on [0, 1].
    found = spectra.brownian(modes=1000, target=lambda x: x)
    assert found.power[:20] == pytest.approx(2 * found.eigenvalues[:20] ** 2, rel=1e-4)
    assert found.total_power == pytest.approx(1 / 3, rel=1e-6)


@pytest.mark.parametrize("dim", [1, 2, 6])
def test_a_zonal_function_has_the_power_of_direct_quadrature(dim):
    found = spectra.sphere(profiles.laplace(), dim, degrees=30, target=np.exp)
    norm = integrate.quad(lambda a: np.sin(a) ** (dim - 1), 0, np.pi)[0]

    def mean(function):
        return integrate.quad(lambda a: function(np.cos(a)) * np.sin(a) ** (dim - 1) / norm, 0, np.pi, epsabs=1e-14)[0]

    first = mean(lambda t: t * np.exp(t)) ** 2 / mean(lambda t: t**2)
    assert found.power[:2] == pytest.approx([mean(np.exp) ** 2, first], rel=1e-10)
    assert found.total_power == pytest.approx(mean(lambda t: np.exp(2 * t)), rel=1e-10)
    rough = spectra.sphere(profiles.laplace(), dim, degrees=30, target=np.sign)
    assert rough.total_power == pytest.approx(1.0, rel=1e-12)
    assert 0.001 < rough.tail_power < 0.2
    # Even degrees are the part of the target that arc-cosine of degree 1 learns, and the linear part.
    even = spectra.sphere(profiles.arc_cosine(1), dim, degrees=30, target=np.sign)
    assert even.tail_power == pytest.approx(1 - mean(np.abs) ** 2 / mean(lambda t: t**2), rel=1e-3)


def test_a_zonal_function_on_the_cube_has_its_power_by_degree(rng):
    found = spectra.hypercube(profiles.laplace(), 5, target=np.sign)
    corners = 1 - 2.0 * ((np.arange(32)[:, None] >> np.arange(5)) & 1)
    majority = np.sign(corners.sum(axis=1))
    triples = [np.prod(corners[:, [a, b, c]], axis=1) for a in range(5) for b in range(a) for c in range(b)]
    assert found.power[1] == pytest.approx(np.sum(np.mean(corners * majority[:, None], axis=0) ** 2), rel=1e-12)
    assert found.power[3] == pytest.approx(sum(np.mean(column * majority) ** 2 for column in triples), rel=1e-12)
    assert found.total_power == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda target: spectra.sphere(profiles.laplace(), 2, degrees=40, target=target),
        lambda target: spectra.circle(profiles.laplace(), frequencies=40, target=target),
        lambda target: spectra.circle(profiles.bernoulli(1), frequencies=40, target=target),
        lambda target: spectra.ornstein_uhlenbeck(0.4, frequencies=40, target=target),
        lambda target: spectra.brownian(modes=40, target=target),
        lambda target: spectra.torus(profiles.ornstein_uhlenbeck(), 2, frequencies=10, target=target),
        lambda target: spectra.gaussian_inputs(1.0, 1.0, 2, levels=12, target=target),
        lambda target: spectra.hypercube(profiles.laplace(), 7, target=target),
        lambda target: spectra.circle([1.0, 0.5, 0.1], target=target),
    ],
)
def test_power_by_rank_is_summed_over_the_modes_of_a_level(make):
    found, beta = make(0.8), 0.8
    ends = np.cumsum(found.multiplicity).round().astype(int)
    single = np.arange(1.0, ends[-1] + 1) ** -(1 + beta)
    assert found.power == pytest.approx(np.add.reduceat(single, np.concatenate([[0], ends[:-1]])), rel=1e-11)
    beyond = special.zeta(1 + beta, ends[-1] + 1) if math.isfinite(found.resolved) else 0.0
    assert found.tail_power == pytest.approx(beyond, rel=1e-11)
    assert make(None).is_prior


@pytest.mark.parametrize("before", [4000.0, 10.0**12])
def test_power_by_rank_keeps_its_digits_at_large_ranks(before):
    count = 2.0
    with mpmath.workdps(40):
        expected = mpmath.mpf(before + 1) ** -1.5 + mpmath.mpf(before + 2) ** -1.5
    assert domains.rank_power(np.array([before]), np.array([before + count]), 0.5)[0] == pytest.approx(
        float(expected), rel=1e-12, abs=0
    )


def test_white_is_one_level_with_the_closed_form_of_regression():
    n, modes, power, noise = 30, 100, 3.0, 0.2
    spectrum = spectra.white(modes, power)
    expected = (1 - n / modes) * power + noise * modes / (modes - n)
    assert equivalents.loss(spectrum, n, noise=noise) == pytest.approx(expected, rel=1e-10)
    assert spectra.white(modes, eigenvalue=2.0).total_power == 200


@pytest.mark.parametrize(
    ("dim", "profile"),
    [(1, profiles.matern(1.5)), (2, profiles.matern(1.5)), (2, profiles.ntk(1)), (3, profiles.nngp(1))],
    ids=str,
)
def test_caution_factors(dim, profile, rng):
    """Mean Cholesky pivots over the predicted loss, against the table of `spectra`."""
    spectrum = spectra.sphere(profile, dim, degrees=1000)
    ratios, n = [], np.arange(80, 300)
    predicted = equivalents.loss(spectrum, n)
    for _ in range(16):
        x = oracles.sphere_points(300, dim, rng)
        chord = np.linalg.norm(x[:, None] - x, axis=2)
        lower = factor.cholesky(profile.of_angle(2 * np.arcsin(np.minimum(chord / 2, 1)))).lower
        ratios.append(np.mean(factor.pivots(lower)[n] / predicted))
    error = np.std(ratios, ddof=1) / math.sqrt(len(ratios))
    low, high = spectrum.caution.factor
    assert low - 3 * error < np.mean(ratios) < high + 3 * error
    assert error < 0.1 * np.mean(ratios)


def test_caution_factor_of_smooth_kernels_on_the_circle_at_small_n(rng):
    """Posterior variance at a point from 20 others: at n = 20 the factor is below that at n = 100."""
    spectrum = spectra.circle(profiles.bernoulli(2), frequencies=20_000)
    x = rng.uniform(0, 2 * np.pi, (4000, 21))
    lag = np.abs(x[:, :, None] - x[:, None])
    gram = profiles.bernoulli(2).of_lag(np.minimum(lag, 2 * np.pi - lag)) + 1e-13 * np.eye(21)
    pivots = np.linalg.cholesky(gram)[:, -1, -1] ** 2
    ratio, error = (value / equivalents.loss(spectrum, 20) for value in (pivots.mean(), pivots.std() / len(x) ** 0.5))
    low, high = spectrum.caution.factor
    assert low < ratio + 3 * error
    assert ratio - 3 * error < high
    assert ratio < 3.0
    assert "where no ridge matters" in str(spectrum.caution)
    assert "the prediction, more so at larger n, by a factor of 2.3 to 5.2" in str(spectrum.caution)
    assert "larger n" not in str(spectra.brownian().caution)


@pytest.mark.parametrize(
    ("spectrum", "words"),
    [
        (lambda: spectra.sphere(profiles.matern(2.2), 2), "smoothness 2.2 in 2 dimensions"),
        (lambda: spectra.sphere(profiles.gaussian(), 3), "an analytic kernel in 3 dimensions"),
        (lambda: spectra.sphere(profiles.nngp(2, "erf"), 5), "an analytic kernel in 5 dimensions"),
        (lambda: spectra.sphere(profiles.matern(2.2), 5), "smoothness 2.2 in 5"),
        (lambda: spectra.sphere(np.exp, 2), "a kernel in 2 dimensions"),
        (lambda: spectra.circle(profiles.poisson(0.5)), "an analytic kernel in 1 dimension:"),
        (lambda: spectra.torus(profiles.ornstein_uhlenbeck(), 3), "a kernel in 3 dimensions"),
        (lambda: spectra.gaussian_inputs(dim=2), "an analytic kernel in 2 dimensions"),
        (lambda: spectra.hypercube(profiles.laplace(), 4), "only 16 corners"),
    ],
)
def test_caution_without_a_known_factor_gives_its_reason(spectrum, words):
    caution = spectrum().caution
    assert words in str(caution)
    assert math.isnan(caution.factor[0])


def test_no_caution_where_the_theory_holds():
    rough = [spectra.sphere(profile, dim) for profile in (profiles.ntk(1), profiles.nngp(1)) for dim in (4, 8)]
    others = [spectra.sphere(profiles.gaussian(), 8), spectra.hypercube(profiles.ntk(1), 20), spectra.white(5)]
    assert [spectrum.caution for spectrum in rough + others] == [None] * 7


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spectra.sphere(profiles.laplace(), 2, degrees=0), "`degrees` must be at least 1"),
        (lambda: spectra.sphere(profiles.laplace(), 2, target=-1.0), "`target` must be finite and more than 0"),
        (lambda: spectra.sphere(profiles.laplace(), 2, target="x"), "`target` must be a number, got 'x'"),
        (lambda: spectra.sphere(lambda t: t * np.nan, 2), r"`profile\(1\)` holds 1 NaN|`profile\(t\)` holds"),
        (lambda: spectra.sphere(profiles.laplace(), 2, target=lambda t: t / 0), r"`target\(t\)` holds"),
        (lambda: spectra.hypercube(profiles.laplace(), 1001), "`dim` must be between 1 and 1000, got 1001"),
        (lambda: spectra.hypercube(lambda t: -t, 3), "`profile` is not positive definite on the cube of 3"),
        (lambda: spectra.circle(lambda x: x), "`profile` is not positive definite on the circle"),
        (lambda: spectra.circle([0.0, 0.0]), "`profile` has no positive eigenvalue"),
        (lambda: spectra.circle([1.0, -0.1]), "not positive definite on the circle: degree 1"),
        (lambda: spectra.circle(profiles.laplace(), frequencies=0), "`frequencies` must be at least 1"),
        (lambda: spectra.ornstein_uhlenbeck(frequencies=10**5, target=np.sin), "`target` can be a function for up to"),
        (lambda: spectra.brownian(modes=10**5, target=np.sin), "`target` can be a function for up to 10000"),
        (lambda: spectra.brownian(modes=1.5), "`modes` must be a whole number, got 1.5"),
        (lambda: spectra.torus(profiles.laplace(), 4, target=lambda x: x[:, 0]), "`target` as a function needs a"),
        (lambda: spectra.torus(lambda x: x[:, 0], 4, separable=False), "`separable` False needs a transform"),
        (lambda: spectra.torus(profiles.laplace(), 3, frequencies=50, target=lambda x: x[:, 0]), "the transform has"),
        (lambda: spectra.torus(1 / np.arange(1.0, 3001.0), 6), "`frequencies` are too many for `dim` 6"),
        (lambda: spectra.torus(profiles.laplace(), 0), "`dim` must be at least 1"),
        (lambda: spectra.torus(lambda x: -np.ones(len(x)), 2, separable=False), "not positive definite on the torus"),
        (lambda: spectra.gaussian_inputs(0.0), "`length` must be finite and more than 0"),
        (lambda: spectra.gaussian_inputs(1.0, -1.0), "`scale` must be finite and more than 0"),
        (lambda: spectra.gaussian_inputs(target=np.sin), "`target` must be None or a number for Gaussian inputs"),
        (lambda: spectra.gaussian_inputs(0.01, dim=400), "makes every eigenvalue less than 1e-300"),
        (lambda: spectra.white(0.0), "`modes` must be finite and more than 0"),
        (lambda: spectra.white(3, -1.0), "`power` must be finite and at least 0"),
        (lambda: spectra.white(3, eigenvalue=0.0), "`eigenvalue` must be finite and more than 0"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_bad_input_of_domains_gets_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
