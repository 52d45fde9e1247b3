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


@pytest.mark.parametrize("name", ["gaussian_n256_theory", "gaussian_grid_theory"])
def test_random_feature_theory_of_simon_et_al_is_reproduced(name):
    stored = np.load(FOLDER / "random_features" / f"{name}.npz", allow_pickle=False)
    n, k, ridge = np.meshgrid(*(stored[f"axis_{axis}"].astype(float) for axis in ("n", "k", "ridge")), indexing="ij")
    theirs = {str(field): stored["results"][..., i] for i, field in enumerate(stored["axis_result"])}
    kappa, gamma = theirs["kappa"], theirs["gamma"]
    spectrum = simon_spectrum()
    point = equivalents.solve(spectrum, n, k, ridge)

    def residual(kappa, gamma):  # of n = df1 + ridge/kappa and k = df1 + k kappa/gamma
        one = equivalents.df1(spectrum, gamma)
        return np.maximum(np.abs((one + ridge / kappa) / n - 1), np.abs(one / k + kappa / gamma - 1))

    # Theirs was solved to about 1e-6 to 1e-5, and some points near n = 10,000 not at all.
    assert np.max(residual(point.kappa, point.gamma)) < 1e-13
    solved = residual(kappa, gamma) < 1e-5
    assert solved.mean() > 0.8
    differences = {
        "kappa": point.kappa / kappa - 1,
        "gamma": point.gamma / gamma - 1,
        "test_mse": equivalents.loss(spectrum, n, k, ridge, 0.5) / theirs["test_mse"] - 1,
    }
    for difference in differences.values():
        assert np.quantile(np.abs(difference)[solved], 0.95) < 1e-5
    if name == "gaussian_n256_theory":
        assert np.max(np.abs(differences["test_mse"])) < 1e-5
    # Close to n = k = modes, where the loss is large and a small error in gamma counts for more.
    assert np.max(np.abs(differences["test_mse"])[solved]) < 2e-4


@pytest.mark.parametrize("train", [True, False])
def test_measured_random_features_of_simon_et_al_lie_within_their_errors(train):
    """45 draws at n = 256, over 31 widths and 31 ridges.

    The cells of one draw share their data, so that neighbours err together: the common shift is judged by the mean
    over the grid of each draw, which are independent, and the rest by the spread of z. Robust (median, median
    absolute deviation, and mean) because the losses are skewed near n = k (skewness up to 2 at the smallest ridge,
    which hardly matters in a mean of 45) and because a single width below 20 is a few random numbers.
    """
    stored = np.load(FOLDER / "random_features" / "gaussian_n256_measured.npz", allow_pickle=False)
    draws = stored["results"][:, 0, :, :, 0 if train else 1]
    k, ridge = stored["axis_k"].astype(float), stored["axis_ridge"].astype(float)
    predicted = equivalents.loss(simon_spectrum(), 256.0, k[:, None], ridge, 0.5, train=train)
    stderr = draws.std(axis=0, ddof=1) / math.sqrt(len(draws))
    z = (draws.mean(axis=0) - predicted) / stderr
    assert np.median(np.abs(draws.mean(axis=0) / predicted - 1)) < 0.01
    common = np.mean(draws / predicted - 1, axis=(1, 2))
    assert abs(common.mean()) < 3 * common.std(ddof=1) / math.sqrt(len(common))
    assert abs(np.median(z)) < 1.5
    assert 1.4826 * np.median(np.abs(z - np.median(z))) < 1.2
    assert np.mean(np.abs(z[k >= 20]) < 3) > 0.95
    # The measurement is sharp enough to tell: another noise by a tenth would lie outside.
    other = equivalents.loss(simon_spectrum(), 256.0, k[:, None], ridge, 0.6, train=train)
    assert np.median(np.abs(draws.mean(axis=0) - other) / stderr) > 3


def canatar():
    """Stored arrays, and our loss without the label noise at every n given, as (kernel, ridge, noise, n)."""
    stored = np.load(FOLDER / "kernel_regression" / "mnist_rbf.npz", allow_pickle=False)
    total = 10 * stored["noise"][:, None]  # theirs is per output, of ten

    def ours(n):
        ridge, losses = stored["ridge"][:, None, None], []
        for eigenvalues, power in zip(stored["eigenvalues"], stored["power"], strict=True):
            spectrum = spectra.listed(np.maximum(eigenvalues, 0), power)
            losses.append(equivalents.loss(spectrum, n.astype(float), math.inf, ridge, total) - total)
        return np.stack(losses)

    return stored, ours


def test_kernel_regression_theory_of_canatar_et_al_is_reproduced():
    stored, ours = canatar()
    assert np.max(np.abs(ours(stored["theory_n"]) / stored["theory_loss"] - 1)) < 1e-6


def test_measured_kernel_regression_of_canatar_et_al_is_predicted():
    """MNIST, three Gaussian kernels, two ridges, seven noises, 10 to 12,000 samples, nothing fitted."""
    stored, ours = canatar()
    predicted = ours(stored["measured_n"])
    difference = np.abs(stored["measured_loss"] / predicted - 1)
    assert np.median(difference) < 0.01
    assert np.quantile(difference, 0.9) < 0.03
    assert np.mean(np.abs(stored["measured_loss"] - predicted) < 2 * stored["measured_std"]) > 0.94


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
