import math

import numpy as np
import oracles
import pytest
from scipy import special
from sklearn.gaussian_process import kernels as sklearn_kernels

from regimes import kernels, profiles


@pytest.fixture
def points(rng):
    """Points of norm sqrt(6) in six dimensions, and their cosines, exact on the diagonal."""
    x = np.sqrt(6) * oracles.sphere_points(12, 5, rng)
    cosines = x @ x.T / 6
    np.fill_diagonal(cosines, 1.0)
    return x, cosines


NETWORKS = [("relu", "nngp"), ("relu", "ntk"), ("erf", "nngp"), ("erf", "ntk"), ("gelu", "nngp"), ("gelu", "ntk")]


@pytest.mark.parametrize(("activation", "kind"), [*NETWORKS, ("step", "nngp")])
@pytest.mark.parametrize(("depth", "bias_std", "input_std"), [(1, 0.0, 1.0), (3, 0.5, 6**-0.5)])
def test_network_profiles_are_the_kernels_of_neural_tangents(points, activation, kind, depth, bias_std, input_std):
    x, cosines = points
    options = {"activation": activation, "bias_std": bias_std, "weight_std": 1.3}
    profile = getattr(profiles, kind)(depth, **options, input_std=input_std)
    expected = kernels.fully_connected(depth, kind=kind, **options)(x * input_std)
    apart = ~np.eye(len(x), dtype=bool)
    assert profile(cosines)[apart] == pytest.approx(expected[apart], rel=1e-12, abs=1e-13)
    # There a rounding error of cosine 1 becomes its square root in the angle.
    assert np.diag(profile(cosines)) == pytest.approx(np.diag(expected), rel=1e-7)


@pytest.mark.parametrize("kind", ["nngp", "ntk"])
def test_defaults_are_those_of_the_network(points, kind):
    x, cosines = points
    expected = kernels.fully_connected(kind=kind)(x)
    apart = ~np.eye(len(x), dtype=bool)
    assert getattr(profiles, kind)()(cosines)[apart] == pytest.approx(expected[apart], rel=1e-12)
    # Each of the two hidden layers and the readout adds 2 |x|^2/6 = 2 to the NTK.
    assert getattr(profiles, kind)()(1.0) == pytest.approx(6 if kind == "ntk" else 2, rel=1e-14)


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_arc_cosine_is_the_mean_over_gaussian_weights(degree):
    # In polar coordinates of the plane of x and x', E = int over the angle where both units are on.
    for t in (-0.7, 0.1, 0.95):
        angle = math.acos(t)
        phi = np.linspace(angle - np.pi / 2, np.pi / 2, 20001)
        both = (np.cos(phi) * np.cos(phi - angle)) ** degree
        alone = np.linspace(-np.pi / 2, np.pi / 2, 20001)
        expected = np.trapezoid(both, phi) / np.trapezoid(np.cos(alone) ** (2 * degree), alone)
        assert profiles.arc_cosine(degree)(t) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("nu", [0.3, 0.5, 1.0, 1.5, 2.5, 4.0])
def test_matern_is_that_of_scikit_learn(points, nu):
    x, cosines = points
    expected = sklearn_kernels.Matern(length_scale=0.7, nu=nu)(x / np.sqrt(6))
    assert profiles.matern(nu, 0.7)(cosines) == pytest.approx(expected, abs=1e-13)


def test_laplace_and_gaussian_are_functions_of_the_chord(points):
    x, cosines = points
    chord = np.linalg.norm(x[:, None] - x, axis=2) / np.sqrt(6)
    assert profiles.laplace(0.6)(cosines) == pytest.approx(np.exp(-chord / 0.6), abs=1e-13)
    assert profiles.gaussian(0.6)(cosines) == pytest.approx(np.exp(-(chord**2) / 0.72), abs=1e-13)
    assert profiles.matern(0.5, 0.6)(cosines) == pytest.approx(profiles.laplace(0.6)(cosines), rel=1e-12)


ALL = [
    profiles.arc_cosine(0),
    profiles.arc_cosine(1),
    profiles.arc_cosine(2),
    profiles.laplace(0.5),
    profiles.matern(0.3),
    profiles.matern(1.25),
    profiles.nngp(2, "relu"),
    profiles.ntk(2, "relu", bias_std=0.3),
    profiles.nngp(2, "step"),
    profiles.nngp(3, "step"),
]


@pytest.mark.parametrize("profile", ALL, ids=str)
def test_smoothness_is_the_exponent_of_the_term_that_is_not_analytic(profile):
    """A fourth difference in s = angle^2 takes out s^0 to s^3 and leaves s^nu, which scales as the step."""

    def fourth(step):
        return np.array([1, -4, 6, -4, 1]) @ profile.of_angle(np.sqrt(step * np.arange(5)))

    step = 1e-3
    assert math.log2(abs(fourth(step) / fourth(step / 2))) == pytest.approx(profile.smoothness, abs=0.05)
    assert profile.alpha(4) == profile.smoothness / 2


@pytest.mark.parametrize("profile", [profiles.gaussian(), profiles.nngp(2, "erf"), profiles.ntk(2, "gelu")], ids=str)
def test_analytic_profiles_have_no_exponent(profile):
    assert profile.alpha(2) == math.inf
    # Analytic in angle^2: the fourth difference goes as the fourth power of the step.
    large, small = (np.array([1, -4, 6, -4, 1]) @ profile.of_angle(np.sqrt(h * np.arange(5))) for h in (0.01, 0.005))
    assert math.log2(abs(large / small)) == pytest.approx(4, abs=0.3)


def test_profiles_keep_their_digits_next_to_one():
    angle = 1e-9  # cos(angle) is 1 in floating point
    assert 1 - profiles.laplace().of_angle(np.array([angle]))[0] == pytest.approx(angle, rel=1e-6)
    deep = profiles.nngp(2, "step", weight_std=1.0)  # 1/2 - (1/2 pi) arccos(1 - angle/pi), to leading order
    gap = 0.5 - deep.of_angle(np.array([angle]))[0]
    assert gap == pytest.approx(math.sqrt(2 * angle / np.pi) / (2 * np.pi), rel=1e-6)


@pytest.mark.parametrize(
    "periodic",
    [profiles.bernoulli(1), profiles.bernoulli(2), profiles.poisson(0.6), profiles.ornstein_uhlenbeck(0.4)],
    ids=str,
)
def test_periodic_kernels_are_the_sums_of_their_fourier_series(periodic):
    lag, k = np.array([0.0, 0.3, 2.0, 6.0]), np.arange(1, 200_001.0)
    series = periodic.coefficient(np.zeros(1))[0] + 2 * np.cos(lag[:, None] * k) @ periodic.coefficient(k)
    assert periodic(lag) == pytest.approx(series, abs=2e-5)
    assert periodic(-lag) == pytest.approx(periodic(lag), rel=1e-12)
    listed = periodic.coefficient(np.zeros(1))[0] + 2 * periodic.coefficient(k[:50]).sum() + periodic.beyond(50)
    assert listed == pytest.approx(float(periodic(0.0)), rel=1e-12)


def test_bernoulli_of_order_one_half_and_more_is_known_by_its_coefficients():
    rough = profiles.bernoulli(0.8)
    k = np.arange(11, 2_000_001.0)
    assert rough.beyond(10) == pytest.approx(2 * np.sum(k**-1.6) + 2 * k[-1] ** -0.6 / 0.6, rel=1e-6)
    assert rough.beyond(0) == pytest.approx(2 * special.zeta(1.6))
    with pytest.raises(ValueError, match=r"`order` must be whole for the kernel as a function of the lag, got 0.8"):
        rough(0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: profiles.arc_cosine(3), "`degree` must be between 0 and 2, got 3"),
        (lambda: profiles.laplace(0.0), "`length` must be finite and more than 0"),
        (lambda: profiles.matern(-1.0), "`smoothness` must be finite and more than 0"),
        (lambda: profiles.matern(math.inf), "`smoothness` must be finite"),
        (lambda: profiles.gaussian(-1.0), "`length` must be"),
        (lambda: profiles.nngp(0), "`depth` must be at least 1"),
        (lambda: profiles.nngp(1, "tanh"), "`activation` must be one of relu, erf, gelu, step; got 'tanh'"),
        (lambda: profiles.ntk(1, "step"), "`activation` step has no NTK"),
        (lambda: profiles.ntk(1, weight_std=0.0), "`weight_std` must be"),
        (lambda: profiles.ntk(1, bias_std=-1.0), "`bias_std` must be"),
        (lambda: profiles.ntk(1, input_std=0.0), "`input_std` must be"),
        (lambda: profiles.bernoulli(0.5), "`order` must be finite and more than 0.5"),
        (lambda: profiles.poisson(1.0), "`ratio` must be less than 1"),
        (lambda: profiles.poisson(0.0), "`ratio` must be finite and more than 0"),
        (lambda: profiles.ornstein_uhlenbeck(0.0), "`length` must be"),
        (lambda: profiles.laplace().alpha(0), "`dim` must be at least 1"),
    ],
)
def test_bad_input_gets_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
