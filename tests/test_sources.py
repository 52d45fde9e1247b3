import math

import numpy as np
import pytest

from regimes import dynamics, equivalents, optima, sources, spectra
from regimes.spectrum import Spectrum


@pytest.fixture(scope="module")
def law():
    return spectra.power_law(0.5, 1.5, modes=1e6)


def test_the_parts_add_up_to_the_loss(law):
    n, k = np.array([20.0, 100.0, 100.0, np.inf, 1e4]), np.array([np.inf, 400.0, 50.0, 50.0, 300.0])
    ridge, noise, time = [0, 0, 0.1, 0, 1], [0.1, 0.1, 0, 0.1, 0.02], [np.inf, 10, np.inf, np.inf, 1e3]
    found = sources.budget(law, n, k, ridge, noise, time)
    assert found.loss == pytest.approx(dynamics.gradient_flow(law, time, n, k, ridge, noise), rel=1e-12)
    assert np.all(found.realizability >= 0)
    assert np.all(found.uncertainty >= 0)


@pytest.mark.parametrize("k", [30.0, 300.0])
def test_realizability_is_the_distance_of_the_target_from_random_features(rng, k):
    lam = np.arange(1, 601.0) ** -1.5
    spectrum = Spectrum(lam, lam**1.2, np.ones(600))
    distances = []
    for _ in range(40):
        features = rng.standard_normal((600, int(k))) * np.sqrt(lam)[:, None]
        basis = np.linalg.qr(features)[0]
        distances.append(np.sum(lam**1.2) - np.sum((basis.T * np.sqrt(lam**1.2)) ** 2))
    expected, error = np.mean(distances), np.std(distances) / math.sqrt(40)
    found = sources.budget(spectrum, 100, k, noise=0.3)
    assert found.realizability == pytest.approx(expected, abs=3 * error + expected / k)
    assert found.noise == 0.3


def test_all_that_is_left_with_infinite_data_is_noise_and_realizability(law):
    found = sources.budget(law, np.inf, 50, noise=0.2)
    assert found.uncertainty == pytest.approx(0, abs=1e-12)
    assert found.deficiency == pytest.approx(0, abs=1e-12)


def test_the_best_ridge_leaves_no_deficiency_and_a_worse_one_does(law):
    best = optima.optimal_ridge(law, 200, 500, 0.1)
    assert sources.budget(law, 200, 500, best.at, 0.1).deficiency == pytest.approx(0, abs=1e-9)
    assert sources.budget(law, 200, 500, 10 * best.at, 0.1).deficiency > 1e-3
    assert sources.budget(law, 200, 200, 0.01 * best.at, 0.1).dominant == "deficiency"  # the interpolation peak


def test_bayes_is_the_posterior_error_of_the_true_prior(rng):
    power = np.arange(1, 301.0) ** -1.8
    spectrum = Spectrum(np.arange(1, 301.0) ** -1.2, power, np.ones(300))
    noise, n = 0.05, 120
    errors = []
    for _ in range(60):
        design = rng.standard_normal((n, 300))
        precision = np.diag(1 / power) + design.T @ design / noise
        errors.append(np.trace(np.linalg.inv(precision)) + noise)
    mean, error = np.mean(errors), np.std(errors) / math.sqrt(60)
    found = sources.bayes(spectrum, n, noise)
    assert found == pytest.approx(mean, abs=3 * error + (mean - noise) / n)  # corrections to the equivalent are of 1/n
    assert found < 0.97 * optima.optimal_ridge(spectrum, n, noise=noise).loss  # the kernel's own prior is worse


def test_no_learner_beats_bayes_and_the_matched_kernel_with_the_right_ridge_reaches_it(law):
    n = np.array([10.0, 100.0, 1000.0])
    floor = sources.bayes(law, n, 0.1)
    for ridge in (0.0, 0.01, 1.0):
        assert np.all(equivalents.loss(law, n, np.inf, ridge, 0.1) >= floor)
    prior = law.with_prior()
    assert sources.bayes(prior, n, 0.1) == pytest.approx(optima.optimal_ridge(prior, n, noise=0.1).loss, rel=1e-9)


def test_levels_without_power_have_no_part_in_the_matched_kernel():
    made = sources.matched(Spectrum(np.array([2.0, 1.0, 0.5]), np.array([3.0, 0.0, 8.0]), np.array([3.0, 2.0, 2.0])))
    assert made.eigenvalues.tolist() == [4.0, 1.0]
    assert made.multiplicity.tolist() == [2.0, 3.0]
    assert made.is_prior


def test_noiseless_realizable_student_is_uncertain_or_deficient_never_short_of_features(rng):
    """Rosenfeld's finding: with a teacher inside the student's span realizability is nothing, whatever dominates."""
    lam = np.arange(1, 101.0) ** -1.5
    spectrum = Spectrum(lam, lam, np.ones(100))
    found = sources.budget(spectrum, [10, 50, 90, 110], 1e6)
    assert np.all(found.realizability < 1e-3 * found.loss[0])
    assert set(found.dominant[:3]) <= {"uncertainty", "deficiency"}


def test_printing_says_the_shares(law):
    text = str(sources.budget(law, 500, 2000, noise=0.1))
    assert "realizability" in text
    assert "%" in text
    assert "3 losses" in str(sources.budget(law, [1, 2, 3]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0}, "`n`"),
        ({"n": math.nan}, "`n`"),
        ({"n": 10, "k": -1}, "`k`"),
        ({"n": 10, "noise": -0.1}, "`noise`"),
        ({"n": 10, "time": -1}, "`time`"),
        ({"n": "ten"}, "`n` must be a number"),
        ({"n": 10, "k": None}, "`k`"),
        ({"n": 10, "ridge": "best"}, "`ridge` must be a number"),
        ({"n": 10, "noise": [0.1, "x"]}, "`noise` must be a number"),
        ({"n": 10, "time": "long"}, "`time` must be a number"),
        ({"n": []}, "`n` is empty"),
        ({"n": [1, 2], "k": [1, 2, 3]}, "`n` .2,., `k` .3,."),
    ],
)
def test_bad_input_is_named(law, arguments, words):
    with pytest.raises(ValueError, match=words):
        sources.budget(law, **arguments)


def test_bayes_names_what_is_no_number(law):
    with pytest.raises(ValueError, match="`n` must be a number"):
        sources.bayes(law, "ten")
    with pytest.raises(ValueError, match="`noise` must be a number"):
        sources.bayes(law, 10, "little")


def test_a_target_without_power_has_no_matched_kernel():
    with pytest.raises(ValueError, match="without power"):
        sources.bayes(Spectrum(np.ones(3), np.zeros(3), np.ones(3)), 2)


def test_printing_an_infinite_loss_says_why(law):
    assert "as many features as samples" in str(sources.budget(law, 50, 50, noise=0.1))
