"""Random projections of frozen features: columns of a rotated Gaussian vector, planted populations, and the run."""

import dataclasses

import numpy as np
import pytest

import regimes as rg
from regimes import frozen, frozen_features, network_plots, networks, ridge, subsets
from regimes.equivalents import loss, solve, unlearnt_power
from regimes.spectrum import Spectrum


def _power_law(modes: int, alpha: float, beta: float) -> Spectrum:
    rank = np.arange(1.0, modes + 1)
    values, power = rank ** -(1 + alpha), rank ** -(1 + beta)
    return Spectrum(values / values.sum(), power / power.sum(), np.ones(modes))


def _planted(
    spectrum: Spectrum, samples: int, noise: float, outputs: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotated Gaussian features, noisy targets of the power of the spectrum, and the clean ones."""
    rng = np.random.default_rng(seed)
    modes = len(spectrum.eigenvalues)
    white = rng.standard_normal((samples, modes))
    rotation = np.linalg.qr(rng.standard_normal((modes, modes)))[0]
    signs = rng.choice([-1.0, 1.0], (modes, outputs)) / np.sqrt(outputs)
    clean = white @ (np.sqrt(spectrum.power)[:, None] * signs)
    noisy = clean + rng.standard_normal(clean.shape) * np.sqrt(noise / outputs)
    return (white * np.sqrt(spectrum.eigenvalues)) @ rotation, noisy, clean


@pytest.mark.parametrize(("n", "k", "delta"), [(40, 90, 0.0), (40, 90, 0.02), (90, 40, 0.02), (60, 60, 0.05)])
def test_columns_as_simulated(n: int, k: int, delta: float) -> None:
    """Regression on random columns of rotated Gaussian features, where Gaussian directions would give another loss."""
    spectrum, noise, columns = _power_law(120, 0.4, 0.7), 0.2, 120
    losses = []
    for seed in range(24):
        phi, noisy, clean = _planted(spectrum, n + 150, noise, 4, seed)
        chosen = np.random.default_rng([seed, 1]).choice(columns, k, replace=False)
        few = phi[:, chosen] * np.sqrt(columns)
        losses.append(ridge.loss_at(few[:n], few[n:], noisy[:n], clean[n:], ridge=delta) + noise)
    error = np.std(losses, ddof=1) / np.sqrt(len(losses))
    found = float(subsets.columns_loss(spectrum, n, k, columns, delta, noise))
    assert abs(found - np.mean(losses)) < 3.5 * error
    if n < k:
        assert loss(spectrum, n, k, delta, noise) > np.mean(losses) + 4 * error


def test_columns_in_closed_form() -> None:
    """A white spectrum (Belkin, Hsu and Xu), all columns, and the split without ridge."""
    white = Spectrum(np.ones(1), np.array([50.0]), np.array([50.0]))
    # (M-k) n/(n-k) and (M-n) + n (M-k)/(k-n), of M = 50 unit coefficients
    assert subsets.columns_loss(white, 30, 20, 50) == pytest.approx(30 * 30 / 10, rel=1e-9)
    assert subsets.columns_loss(white, 20, 30, 50) == pytest.approx(30 + 20 * 20 / 10, rel=1e-9)
    spectrum, noise = _power_law(80, 0.3, 0.9), 0.1
    for delta in (0.0, 0.01, 1.0):
        assert subsets.columns_loss(spectrum, 30.0, 80.0, 80, delta, noise) == pytest.approx(
            float(loss(spectrum, 30.0, np.inf, delta, noise)), rel=1e-9
        )
    n, k, columns = 20.0, np.array([25.0, 40.0, 70.0]), 80
    excess = subsets.columns_loss(spectrum, n, k, columns, 0.0, noise) - loss(spectrum, n, np.inf, 0.0, noise)
    unlearnt = unlearnt_power(spectrum, solve(spectrum, n).gamma) + noise
    np.testing.assert_allclose(excess, n * unlearnt * (columns - k) / ((k - n) * (columns - n)), rtol=1e-9)
    # Few samples and columns of very many: like Gaussian directions, and the same on the other side of n = k.
    assert subsets.columns_loss(spectrum, 40.0, 20.0, columns, 0.0, noise) == pytest.approx(
        float(loss(spectrum, 40.0, 20.0, 0.0, noise)), rel=1e-9
    )


def test_columns_without_cancellation() -> None:
    spectrum = _power_law(60, 0.5, 1.0)
    whole = subsets.columns_loss(spectrum, 20.0, 30.0, 60, 0.1, 0.3)
    assert subsets.columns_loss(spectrum, 20.0, 30.0, 60, 0.1, 0.3, excess=True) == pytest.approx(whole - 0.3)
    with pytest.raises(ValueError, match="at most the 60 columns"):
        subsets.columns_loss(spectrum, 20.0, 70.0, 60)


def test_the_population_of_a_planted_sample() -> None:
    """Losses predicted from a sample are those of the population, the noise among them."""
    truth, noise = _power_law(100, 0.5, 0.6), 0.25
    phi, noisy, _ = _planted(truth, 700, noise, 6, 3)
    found, level = frozen.population(phi, noisy, draws=12, seed=0)
    assert level.low < noise < level.high
    assert level.value == pytest.approx(noise, rel=0.1)
    n = np.array([10.0, 20.0, 40.0])
    expected = loss(truth, n, np.inf, 0.02, noise)
    np.testing.assert_allclose(loss(found, n, np.inf, 0.02), expected, rtol=0.06)
    assert found.tail_power == level.value


def test_more_columns_than_samples_resolve_less() -> None:
    truth = _power_law(300, 0.5, 0.6)
    phi, noisy, _ = _planted(truth, 200, 0.1, 6, 4)
    found, level = frozen.population(phi, noisy, draws=12, seed=0)
    assert found.resolved == pytest.approx(200 / 3)
    assert level.low >= 0
    n = np.array([10.0, 20.0, 40.0])
    np.testing.assert_allclose(loss(found, n), loss(truth, n, noise=0.1), rtol=0.2)


@pytest.fixture(scope="module")
def planted() -> frozen_features.FrozenFeatures:
    phi, noisy, _ = _planted(_power_law(192, 0.4, 0.6), 2400, 0.1, 8, 5)
    return frozen_features.run(phi, targets=noisy, trials=4)


@pytest.mark.slow
def test_gaussian_features_are_predicted(planted: frozen_features.FrozenFeatures) -> None:
    """Where all assumptions hold, predictions from a sample agree with all four regimes and the resonance."""
    assert planted.error < 0.1
    assert planted.loss_error < 0.05
    assert planted.noise.value == pytest.approx(0.1, rel=0.15)
    assert [one.regime for one in planted.comparisons] == 2 * list(frozen_features.REGIMES)
    free = {one.regime: one for one in planted.comparisons if one.task == "no ridge"}
    for regime in ("variance_n", "variance_k"):
        assert free[regime].predicted_exponent.value == pytest.approx(1.0, abs=1e-6)
        assert abs(free[regime].measured_exponent.value - 1) < 0.1
    low, tuned = planted.resonance[:2], planted.resonance[2:]
    for each in low:
        assert (
            each.measured.at[np.argmax(each.predicted.loss)]
            == each.measured.fixed["k" if each.measured.along == "n" else "n"]
        )
        assert each.measured.loss.max() > 1.4 * each.measured.loss[0]
    for each in tuned:
        assert np.all(np.diff(each.predicted.loss) < 0)
        np.testing.assert_allclose(each.predicted.loss, each.measured.loss, rtol=0.15)


@pytest.mark.slow
def test_the_result_tells_itself(planted: frozen_features.FrozenFeatures) -> None:
    said = str(planted)
    assert f"{planted.error:.1%}" in said
    frames = planted.tables()
    assert set(frames) == {"points", "exponents", "resonance", "checks"}
    assert len(frames["exponents"]) == 8
    assert planted.record()["noise"]["value"] == planted.noise.value
    figure = network_plots.frozen_features(planted)
    assert len(figure.axes) == 6
    assert figure.axes[0].get_xscale() == "log"


@pytest.mark.slow
def test_same_seed_same_numbers_and_columns_differ() -> None:
    phi, noisy, _ = _planted(_power_law(48, 0.4, 0.6), 700, 0.1, 4, 6)
    first, again = (frozen_features.run(phi, targets=noisy, trials=3, seed=2) for _ in range(2))
    np.testing.assert_array_equal(first.comparisons[3].measured.loss, again.comparisons[3].measured.loss)
    assert dataclasses.asdict(first.noise) == dataclasses.asdict(again.noise)
    columns = frozen_features.run(phi, targets=noisy, trials=3, seed=2, projection="columns")
    # Other projections of the same samples.
    assert not np.array_equal(first.comparisons[3].measured.loss[:3], columns.comparisons[3].measured.loss[:3])
    variance = columns.comparisons[3]
    assert variance.measured.at[-1] <= 48
    # Columns cost less than Gaussian directions, the less the nearer k is to M.
    same = np.isin(first.comparisons[3].measured.at, variance.measured.at)
    ratio = variance.predicted.loss / first.comparisons[3].predicted.loss[same]
    assert np.all(np.diff(ratio) < 0)
    assert ratio[0] < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": np.random.default_rng(0).standard_normal((700, 40))}, "`targets` must be given"),
        ({"source": np.zeros((700, 40)), "targets": np.arange(700.0)}, "there is nothing to analyse"),
        ({"source": np.random.default_rng(0).standard_normal((300, 40)), "targets": np.arange(300.0)}, "at least 600"),
        ({"source": "digits", "targets": np.arange(3)}, "`targets` and `column` belong to an embedding"),
        ({"source": "no-such-thing"}, "no-such-thing"),
        ({"projection": "haar"}, "`projection` must be one of"),
        ({"trials": 1}, "`trials` must be between 3"),
        ({"seed": -1}, "`seed`"),
        ({"width": 0}, "`width`"),
        ({"steps": 0}, "`steps`"),
    ],
)
def test_what_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frozen_features.run(**arguments)


def test_a_trained_network_is_frozen() -> None:
    """Features of a trained network, dead units left out, none of its training samples among them."""
    found = frozen.pretrained("digits", width=64, steps=400)
    task = rg.tasks.digits()
    assert len(found.features) == len(task) - len(task) // 3
    assert found.features.shape[1] <= 64
    assert np.all(found.features.std(axis=0) > 0)
    assert np.mean(np.sum(found.features**2, axis=1)) == pytest.approx(1.0)
    np.testing.assert_allclose(found.targets.mean(axis=0), 0, atol=1e-12)
    # Training has made them better: a linear readout leaves less unexplained than on the same network untrained.
    network = networks.network(rg.kernels.fully_connected(2), 64, outputs=10)
    start = network.embedding(network.init(0, task.x), task.x)
    left, before = ridge.limit_in_n(found.features, found.targets), ridge.limit_in_n(start - start.mean(axis=0), task.y)
    assert left < 0.95 * before
