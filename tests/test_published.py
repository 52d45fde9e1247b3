"""Against numbers that other people computed or measured.

The files are not part of the project: name the folder that holds them in REGIMES_MEASUREMENTS.
"""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from regimes import equivalents, spectra
from regimes.results import log_slope

FOLDER = Path(os.environ.get("REGIMES_MEASUREMENTS", "no such folder"))
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="REGIMES_MEASUREMENTS names no folder of measurements")


def simon_spectrum():
    """lambda_i = v_i^2 = i^-1.5 over 10,000 modes: Simon et al. 2023, arXiv:2311.14646."""
    return spectra.power_law(0.5, modes=10_000, tail=False)


def test_random_feature_theory_of_simon_et_al_is_reproduced():
    stored = np.load(FOLDER / "random_features" / "gaussian_grid_theory.npz", allow_pickle=False)
    n, k, ridge = np.meshgrid(
        *(stored[f"axis_{name}"][::step].astype(float) for name, step in (("n", 3), ("k", 3), ("ridge", 4))),
        indexing="ij",
    )
    kappa, gamma, risk = np.moveaxis(stored["results"][::3, ::3, ::4], -1, 0)
    spectrum = simon_spectrum()
    point = equivalents.solve(spectrum, n, k, ridge)
    # Some stored points, at small ridge near 10,000, do not solve their own equation n = df1 + ridge/kappa.
    solved = np.abs(equivalents.df1(spectrum, gamma) + ridge / kappa - n) < 1e-4 * n
    assert solved.mean() > 0.8
    assert np.median(np.abs(point.kappa / kappa - 1)[solved]) < 1e-6
    assert np.median(np.abs(point.gamma / gamma - 1)[solved]) < 1e-5
    difference = np.abs(equivalents.loss(spectrum, n, k, ridge, 0.5) / risk - 1)[solved]
    assert np.median(difference) < 1e-5
    assert np.quantile(difference, 0.9) < 1e-3


def test_measured_random_features_of_simon_et_al_lie_within_their_errors():
    stored = np.load(FOLDER / "random_features" / "gaussian_n256_measured.npz", allow_pickle=False)
    tests = stored["results"][:, 0, :, :, 1]
    k, ridge = stored["axis_k"].astype(float), stored["axis_ridge"].astype(float)
    predicted = equivalents.loss(simon_spectrum(), 256.0, k[:, None], ridge, 0.5)
    z = (tests.mean(axis=0) - predicted) / (tests.std(axis=0, ddof=1) / math.sqrt(len(tests)))
    relative = np.abs(tests.mean(axis=0) / predicted - 1)
    assert np.median(relative) < 0.01
    assert np.median(np.abs(z)) < 2


def test_kernel_regression_theory_of_canatar_et_al_is_reproduced():
    stored = np.load(FOLDER / "kernel_regression" / "mnist_rbf.npz", allow_pickle=False)
    n = stored["theory_n"].astype(float)
    for kernel in range(3):
        spectrum = spectra.listed(np.maximum(stored["eigenvalues"][kernel], 0), stored["power"][kernel])
        for ridge_index, ridge in enumerate(stored["ridge"]):
            for noise_index, noise in enumerate(stored["noise"]):
                total = 10 * float(noise)  # per output, ten outputs
                ours = equivalents.loss(spectrum, n, math.inf, float(ridge), total) - total
                assert ours == pytest.approx(stored["theory_loss"][kernel, ridge_index, noise_index], rel=1e-5)


@pytest.mark.parametrize("name", ["cifar10_myrtle10", "mnist_myrtle10"])
def test_kappa_of_a_stored_spectrum_solves_its_equation(name):
    stored = np.load(FOLDER / "spectra" / f"{name}.npz", allow_pickle=False)
    values = stored["eigvals"][stored["eigvals"] > 0].astype(float)
    spectrum = spectra.listed(values)
    n = stored["sizes"].astype(float)
    for scale in (1.0, 1e-6, 1e6):
        scaled = spectra.listed(values * scale)
        gamma = equivalents.solve(scaled, n).gamma
        assert np.max(np.abs(equivalents.df1(scaled, gamma) / n - 1)) < 1e-10
    assert equivalents.solve(spectrum, n).gamma == pytest.approx(stored["true_kappas"], rel=0.05)


@pytest.mark.parametrize(("name", "published"), [("cifar10_myrtle10", 1.17), ("mnist_myrtle10", 1.12)])
def test_published_spectral_exponents_are_the_slope_of_kappa(name, published):
    stored = np.load(FOLDER / "spectra" / f"{name}.npz", allow_pickle=False)
    n, kappa = stored["sizes"].astype(float), stored["kappa_estimates"].astype(float)
    window = (n >= 100) & (n <= 10_000)
    assert -log_slope(n[window], kappa[window]) == pytest.approx(published, abs=0.05)
