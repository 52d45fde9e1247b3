import math

import numpy as np
import oracles
import pytest
from scipy.special import eval_legendre, sph_harm_y

from regimes import equivalents, nyquist, spectra
from regimes.spectrum import Spectrum

BAND = 20  # frequencies on the circle: 41 modes


@pytest.fixture(scope="module")
def wide():
    """400 modes falling as i^-2, a target in the first 41."""
    return Spectrum(np.arange(1, 401.0) ** -2, np.where(np.arange(400) < 41, 1.0, 0.0), np.ones(400))


def circle(frequencies, x, y):
    """The kernel with equal eigenvalues on these frequencies."""
    return 1 + 2 * np.cos(np.arange(1, frequencies + 1)[:, None, None] * (x[:, None] - y)).sum(axis=0)


def interpolated(kernel, x, y, test, truth):
    """Error of kernel interpolation relative to the power of the target."""
    found = kernel(test, x) @ np.linalg.solve(kernel(x, x), y)
    return float(np.mean((found - truth) ** 2) / np.mean(truth**2))


def test_the_band_is_what_the_target_occupies(wide):
    assert nyquist.rate(wide) == nyquist.Rate(41, 400, 400 / 41)
    assert "400 samples" in str(nyquist.rate(wide))


def test_loss_is_nothing_from_the_rate_on_and_something_before(wide):
    limited = nyquist.limited(wide)
    before, at, after = equivalents.loss(limited, [40.9, 41, 60])
    assert before > 1e-3
    assert (at, after) == (0, 0)
    assert equivalents.loss(wide, 60) > 1  # the learner with modes beyond the band is not done
    assert equivalents.loss(wide, 400) == 0


def test_flat_band_has_the_straight_line_of_the_closed_form(wide):
    limited = nyquist.limited(wide, flat=True)
    n = np.array([1.0, 10.0, 30.0, 40.0])
    assert equivalents.loss(limited, n) == pytest.approx(41 * (1 - n / 41), rel=1e-9)
    assert limited.trace == pytest.approx(np.sum(np.arange(1, 42.0) ** -2))


@pytest.mark.parametrize("jitter", [0.0, 0.6])
def test_error_on_the_circle_falls_by_six_orders_of_magnitude_at_the_rate(rng, jitter):
    """One point in each of n equal arcs, at its middle or anywhere in the inner part of it.

    Points wholly at random need oversampling: some of 41 lie so close that rounding is amplified beyond all measure.
    """
    modes = 2 * BAND + 1
    coefficients = rng.standard_normal((2, 30, BAND + 1))
    waves = np.arange(BAND + 1)[:, None]

    def targets(at):
        return (coefficients[0] @ np.cos(waves * at) + coefficients[1] @ np.sin(waves * at)).T

    test = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    errors = {}
    for n in (modes - 1, modes):
        x = 2 * np.pi * (np.arange(n) + 0.5 + jitter * rng.uniform(-0.5, 0.5, n)) / n
        errors[n] = interpolated(lambda a, b: circle(BAND, a, b), x, targets(x), test, targets(test))
    assert errors[modes - 1] > 1e-3
    assert errors[modes] < 1e-6 * errors[modes - 1]


def test_error_on_the_sphere_falls_by_six_orders_of_magnitude_at_the_rate(rng):
    degree = 7
    modes = (degree + 1) ** 2

    def kernel(a, b):
        cosine = np.clip(a @ b.T, -1, 1)
        return sum((2 * m + 1) * eval_legendre(m, cosine) for m in range(degree + 1))

    def harmonics(at):
        polar, azimuth = np.arccos(np.clip(at[:, 2], -1, 1)), np.arctan2(at[:, 1], at[:, 0])
        rows = [
            part
            for m in range(degree + 1)
            for order in range(m + 1)
            for part in (sph_harm_y(m, order, polar, azimuth).real, sph_harm_y(m, order, polar, azimuth).imag)
        ]
        return np.array(rows).T

    weights = rng.standard_normal((harmonics(np.eye(3)).shape[1], 50))
    points = rng.standard_normal((2000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    train, test = points[:modes], points[modes:]
    truth = harmonics(test) @ weights
    errors = [interpolated(kernel, train[:n], harmonics(train[:n]) @ weights, test, truth) for n in (modes - 1, modes)]
    assert errors[0] > 1e-3
    assert errors[1] < 1e-6 * errors[0]
    made = spectra.sphere(lambda z: sum((2 * m + 1) * eval_legendre(m, z) for m in range(degree + 1)), 2)
    assert nyquist.rate(made, tolerance=1e-10).band == modes


def test_noise_makes_the_rate_a_peak_and_oversampling_removes_it(wide):
    limited = nyquist.limited(wide)
    loss = equivalents.loss(limited, [41.001, 50, 80, 400], noise=0.1)
    assert np.all(np.diff(loss) < 0)
    assert loss[1:] == pytest.approx(0.1 * (1 + 41 / (np.array([50, 80, 400]) - 41)), rel=1e-9)


def test_samples_is_the_smallest_number_that_does(wide):
    law = spectra.power_law(0.5, modes=1e6)
    found = nyquist.samples(law, 0.05)
    assert equivalents.loss(law, found) <= 0.05 < equivalents.loss(law, found - 1)
    assert nyquist.samples(nyquist.limited(wide), 1e-9) == 41
    assert nyquist.samples(law, 0.05, noise=0.1) == math.inf
    assert nyquist.samples(law, 100.0) == 1


def test_power_in_the_tail_has_no_band_unless_it_is_tolerated():
    law = spectra.power_law(0.5, 2.0, modes=1e4)
    assert law.tail_power > 0
    assert nyquist.rate(law).band == math.inf
    with pytest.raises(ValueError, match="no band"):
        nyquist.limited(law)
    cut = nyquist.limited(law, tolerance=0.01)
    assert cut.total_power == pytest.approx(law.total_power, rel=1e-12)
    assert cut.tail_power <= 0.01 * law.total_power
    assert nyquist.rate(law, tolerance=0.01).band < 20


@pytest.mark.parametrize("tolerance", [-0.1, 1.0, math.nan])
def test_bad_tolerance_is_named(wide, tolerance):
    with pytest.raises(ValueError, match="`tolerance`"):
        nyquist.rate(wide, tolerance=tolerance)


def test_a_target_without_power_is_refused():
    with pytest.raises(ValueError, match="without power"):
        nyquist.rate(Spectrum(np.ones(2), np.zeros(2), np.ones(2)))


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("n", [1, 2, 7, 12, 20])
def test_regular_points_have_the_loss_of_a_regression_on_them(rng, n, ridge):
    """Against the aliasing oracle, averaged over the phases that the offset of the points makes random."""
    values, power = np.arange(1, 12.0) ** -1.7, rng.uniform(0, 1, 11)
    losses = []
    for _ in range(1500):
        half = np.sqrt(power / 2) * np.exp(2j * np.pi * rng.uniform(size=11))
        half[0] = math.sqrt(power[0]) * rng.choice([-1, 1])
        both = np.concatenate([half[:0:-1].conj(), half])
        losses.append(oracles.lattice_loss(np.concatenate([values[:0:-1], values]), both, n, ridge))
    error = np.std(losses) / math.sqrt(len(losses))
    assert nyquist.regular(values, power, n, ridge=ridge) == pytest.approx(np.mean(losses), abs=4 * error + 1e-12)


def test_regular_points_learn_a_flat_band_in_a_straight_line_and_noise_makes_no_peak():
    flat, power = np.ones(BAND + 1), np.where(np.arange(BAND + 1) > 0, 2.0, 1.0) / 41
    n = np.array([1, 13, 40, 41, 42, 100])
    assert nyquist.regular(flat, power, n) == pytest.approx(np.maximum(1 - n / 41, 0), abs=1e-12)
    noisy = nyquist.regular(flat, power, n, noise=0.1)
    assert noisy[3:] == pytest.approx(0.1 * (1 + 41 / n[3:]))
    assert np.all(np.diff(noisy) < 0)


def test_regular_points_with_noise_have_the_loss_of_simulated_ones(rng):
    values, power, n, noise = 1 / (1 + np.arange(31.0) ** 2), np.where(np.arange(31) < 4, 1.0, 0.0), 9, 0.2
    frequencies = np.arange(1, 31)
    grid = 2 * np.pi * np.arange(64) / 64

    def modes(x):
        waves = frequencies * x[:, None]
        return np.concatenate([np.ones((len(x), 1)), np.sqrt(2) * np.cos(waves), np.sqrt(2) * np.sin(waves)], axis=1)

    lam, squares = (np.concatenate([[one[0]], one[1:], one[1:]]) for one in (values, power))
    squares[1:] /= 2
    losses = []
    for _ in range(1500):
        x = 2 * np.pi * (np.arange(n) + rng.uniform()) / n
        weights = np.sqrt(squares) * rng.standard_normal(61)
        y = modes(x) @ weights + math.sqrt(noise) * rng.standard_normal(n)
        gram, cross = (modes(x) * lam) @ modes(x).T, (modes(grid) * lam) @ modes(x).T
        losses.append(np.mean((cross @ np.linalg.solve(gram, y) - modes(grid) @ weights) ** 2) + noise)
    expected, error = np.mean(losses), np.std(losses) / math.sqrt(len(losses))
    assert nyquist.regular(values, power, n, noise=noise) == pytest.approx(expected, abs=4 * error)


def test_regular_points_beyond_all_frequencies_cost_no_memory():
    """No frequency of three values aliases another on 5 points or more: each learns by itself, at any n."""
    values, power = np.array([1.0, 0.5, 0.2]), np.array([0.3, 0.4, 0.1])
    n = np.array([5.0, 6, 1000, 1e13])
    shrunk = values[:, None] / (values[:, None] + 0.3 / n)
    counted = np.array([1, 2, 2])[:, None]
    expected = np.sum((1 - shrunk) ** 2 * power[:, None] + shrunk**2 * counted * 0.2 / n, axis=0) + 0.2
    np.testing.assert_allclose(nyquist.regular(values, power, n, ridge=0.3, noise=0.2), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"power": [1.0]}, "`power` must be as long"),
        ({"eigenvalues": [1.0, -1.0]}, "must not be negative"),
        ({"eigenvalues": []}, "`eigenvalues` is empty"),
        ({"power": [1.0, math.nan]}, "`power` holds 1 NaN"),
        ({"n": 1.5}, "`n` must be whole"),
        ({"n": [3, 0]}, "`n` must be whole"),
        ({"n": "ten"}, "`n` must be numeric"),
        ({"ridge": -1}, "`ridge`"),
        ({"noise": -1}, "`noise`"),
    ],
)
def test_regular_points_refuse_bad_input(changes, words):
    with pytest.raises(ValueError, match=words):
        nyquist.regular(**{"eigenvalues": [1.0, 0.5], "power": [0.0, 1.0], "n": 3} | changes)
