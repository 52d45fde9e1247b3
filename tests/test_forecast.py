import dataclasses
import functools
import math
import os
from pathlib import Path

import numpy as np
import oracles
import pytest

from regimes import equivalents, estimate, factor, forecast, kernels, resolvents, spectra, tasks, theory
from regimes.results import LearningCurve


def planted(rng, size, alpha=0.6, beta=1.1, noise=0.0, modes=8000):
    spectrum = spectra.power_law(alpha, beta, modes=modes, tail=False)
    x = rng.standard_normal((size, modes))
    y = x @ (np.sqrt(spectrum.power) * np.where(np.arange(modes) % 3, 1, -1)) + math.sqrt(noise) * rng.standard_normal(
        size
    )
    return (x * spectrum.eigenvalues) @ x.T, y, spectrum


@functools.cache
def measured_on_a_sphere(kernel, dim, sizes):
    """The loss of the kernel's prior at `sizes`, from a sample ten times as large as those that predict it."""
    gram = oracles.sphere_gram(kernel, 3000, dim, np.random.default_rng(77))
    lower = factor.cholesky(gram).lower
    return np.array([np.mean(1 / part.diagonal) for part in factor.inverses(lower, np.array(sizes) + 1)])


def test_tail_continues_an_exact_power_law_where_a_sample_stops():
    exact = spectra.power_law(0.6, 1.1)
    # What a perfect sample of N = 600 would resolve: nothing below gamma(200) but its trace and power.
    cut = float(equivalents.solve(exact, 200.0).gamma) / 12
    kept = exact.eigenvalues > cut
    seen = dataclasses.replace(
        exact,
        eigenvalues=exact.eigenvalues[kept],
        power=exact.power[kept],
        multiplicity=exact.multiplicity[kept],
        tail=exact.trace - float(exact.multiplicity[kept] @ exact.eigenvalues[kept]),
        tail_power=exact.total_power - float(exact.power[kept].sum()),
        resolved=200.0,
    )
    n = np.array([60.0, 200.0, 600.0, 2000.0, 6000.0])
    without = equivalents.loss(seen, n) / equivalents.loss(exact, n)
    found = forecast.continued(seen)
    assert equivalents.loss(found, n) == pytest.approx(equivalents.loss(exact, n), rel=0.08)
    assert abs(without[-1] - 1) > 0.5  # without the tail the curve stops falling
    assert found.trace == pytest.approx(exact.trace, rel=1e-9)
    assert found.total_power == pytest.approx(exact.total_power, rel=1e-9)


def test_tail_keeps_trace_and_power_and_a_resolved_spectrum_stays_itself(rng):
    read = estimate.spectrum(oracles.sphere_gram("Laplace", 200, 2, rng), draws=4)
    found = forecast.continued(read)
    assert found.trace == pytest.approx(read.trace, rel=1e-9)
    assert found.total_power == pytest.approx(read.trace, rel=1e-9)
    assert len(found.replicates) == 4
    assert found.tail < 0.5 * read.tail
    exact = dataclasses.replace(spectra.power_law(0.5, modes=300, tail=False), resolved=math.inf)
    assert forecast.continued(exact) is exact


@pytest.mark.slow
@pytest.mark.parametrize(("kernel", "dim"), [("Laplace", 2), ("Laplace", 4), ("NTK", 4)])
def test_ten_times_the_data_are_predicted_on_spheres(kernel, dim):
    sizes = (299, 900, 2999)
    truth = measured_on_a_sphere(kernel, dim, sizes)
    errors, inside = [], []
    for seed in range(6):
        gram = oracles.sphere_gram(kernel, 300, dim, np.random.default_rng([5, seed]))
        found = forecast.population(gram, seed=seed).curve(np.array(sizes, dtype=float))
        errors.append(np.abs(found.curve.loss / truth - 1))
        inside.append((found.low <= truth) & (truth <= found.high))
        assert list(found.beyond) == [False, True, True]
    assert np.median(errors, axis=0)[2] < 0.10
    assert np.median(errors, axis=0)[1] < 0.05
    assert np.mean(inside) > 0.6, np.mean(inside, axis=0)


def labels(name):
    """Real data with real labels: ten digits; which of the two photographs a patch is from."""
    if name == "digits":
        task = tasks.digits()
        return task.x, task.y
    task = tasks.image_patches(seed=0)
    # Regions are numbered photograph by photograph; the first has 71 x 106 regions of 6 x 6 pixels.
    first = task.region < 71 * 106
    chosen = np.random.default_rng(0).permutation(len(first))[:2400]
    y = np.stack([first, ~first], axis=1)[chosen].astype(float)
    return task.x[chosen], y - y.mean(axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "photographs"])
@pytest.mark.parametrize("kind", ["ntk", "nngp"])
def test_real_labels_are_predicted_at_four_times_the_sample(name, kind):
    x, y = labels(name)
    gram = kernels.fully_connected(depth=2, kind=kind)(x)
    scores = [forecast.held_out(gram, y, share=0.25, seed=seed) for seed in range(4)]
    assert np.median([score.error for score in scores]) < 0.10
    assert np.median([abs(s.forecast.curve.loss[-1] / s.measured.loss[-1] - 1) for s in scores]) < 0.15
    assert np.mean([score.inside for score in scores]) > 0.5
    assert "held-out sizes inside the 90% band" in str(scores[0])


def test_planted_noise_becomes_the_floor_of_the_forecast(rng):
    gram, y, truth = planted(rng, 300, noise=0.3)
    found = forecast.population(gram, y, seed=1)
    assert found.noise.low <= 0.3 <= found.noise.high
    n = np.array([300.0, 800.0])  # 8,000 modes: beyond, the truth is no power law any more
    exact = equivalents.loss(truth, n, noise=0.3)
    curve = found.curve(n)
    assert curve.curve.loss == pytest.approx(exact, rel=0.25)
    assert np.all(curve.low <= exact)
    assert np.all(exact <= curve.high)
    level = found.noise_level
    assert level.value / found.noise.value == pytest.approx(1.6, abs=0.15)  # (1+alpha) times, without ridge
    known = forecast.population(gram, y, noise=0.3, seed=1)
    assert known.noise.low == known.noise.high == 0.3
    assert set(known.floors) == {0.3}


def test_exponents_carry_sample_and_noise(rng):
    gram, y, _ = planted(rng, 400, noise=0.05)
    unknown = forecast.population(gram, y, seed=0)
    known = forecast.population(gram, y, noise=0.05, seed=0)
    window = (8, 40)
    betas = [theory.exponents(one, window).beta.value for one in unknown.spectrum.replicates]
    assert np.corrcoef(unknown.floors, betas)[0, 1] > 0.5  # the more of it is noise, the faster the rest falls
    assert np.std(unknown.floors) > 0.002
    loose, tight = (theory.exponents(one.spectrum, window, level=0.9) for one in (unknown, known))
    assert tight.beta.low <= 1.1 <= tight.beta.high
    assert loose.resolution_n.high - loose.resolution_n.low > 0.1
    assert loose.alpha.high - loose.alpha.low == pytest.approx(tight.alpha.high - tight.alpha.low, rel=0.5)


def test_finite_width_and_ridge_are_carried_into_the_forecast(rng):
    gram, y, truth = planted(rng, 250)
    found = forecast.population(gram, y, ridge=0.5, noise=0.0)
    n = np.array([250.0, 750.0])
    for k in (math.inf, 800.0):
        exact = equivalents.loss(truth, n, k, 0.5)
        assert found.curve(n, k=k).curve.loss == pytest.approx(exact, rel=0.15)


def test_leave_one_out_losses_come_with_the_population(rng):
    gram, y, _ = planted(rng, 120)
    found = forecast.population(gram, y, noise=0.0)
    n = int(found.measured.at[-1])
    assert n == 119
    refits = []
    for i in range(120):
        rest = np.delete(np.arange(120), i)
        refits.append((y[i] - gram[i, rest] @ np.linalg.solve(gram[np.ix_(rest, rest)], y[rest])) ** 2)
    assert found.measured.loss[-1] == pytest.approx(np.mean(refits), rel=1e-6)
    # At N - 1 the forecast is that loss.
    assert found.curve([119.0]).curve.loss[0] == pytest.approx(np.mean(refits), rel=0.25)


def test_same_seed_same_forecast(rng):
    gram, y, _ = planted(rng, 100)
    one, two, other = (forecast.population(gram, y, seed=seed).curve([100.0, 1000.0]) for seed in (1, 1, 2))
    assert np.array_equal(one.low, two.low)
    assert not np.array_equal(one.low, other.low)
    assert "extrapolated beyond 100" in str(one)


def test_a_curve_of_a_known_spectrum_shows_its_beta_and_goes_on():
    exact = spectra.power_law(0.4, 0.9)
    n = np.geomspace(20, 500, 14)
    loss = equivalents.loss(exact, n)
    rng = np.random.default_rng(0)
    curve = LearningCurve.from_trials("n", n, loss * (1 + 0.01 * rng.standard_normal((8, 14))))
    ahead = np.array([1000.0, 5000.0])
    found, beta = forecast.from_curve(curve, ahead, spectrum=exact, noise=0.0)
    assert beta.low <= 0.9 <= beta.high
    assert beta.value == pytest.approx(0.9, abs=0.03)
    assert found.curve.loss == pytest.approx(equivalents.loss(exact, ahead), rel=0.06)
    assert np.all((found.low <= equivalents.loss(exact, ahead)) & (equivalents.loss(exact, ahead) <= found.high))
    free, _ = forecast.from_curve(curve, ahead, spectrum=exact)
    assert np.all(free.high - free.low >= found.high - found.low)


def test_a_curve_without_spectrum_is_a_power_law_above_a_floor():
    n = np.geomspace(10, 1000, 12)
    curve = LearningCurve("n", n, 3 * n**-0.7 + 0.2)
    found, beta = forecast.from_curve(curve, [1e4], noise=0.2)
    assert beta.value == pytest.approx(0.7, abs=0.03)
    assert found.curve.loss[0] == pytest.approx(3 * 1e4**-0.7 + 0.2, rel=0.02)
    free, wide = forecast.from_curve(curve, [1e4])
    assert free.low[0] <= 3 * 1e4**-0.7 + 0.2 <= free.high[0]
    assert wide.high - wide.low > beta.high - beta.low


MEASUREMENTS = os.environ.get("REGIMES_MEASUREMENTS", "")


@pytest.mark.skipif(not MEASUREMENTS, reason="REGIMES_MEASUREMENTS does not name the folder of stored measurements")
@pytest.mark.parametrize(("name", "rank_exponent", "slope"), [("cifar10", 1.17, 0.13), ("mnist", 1.12, 0.38)])
def test_myrtle_kernel_from_3000_samples_to_ten_times_as_many(name, rank_exponent, slope):
    stored = np.load(Path(MEASUREMENTS) / "spectra" / f"{name}_myrtle10.npz")
    n, losses = stored["sizes"].astype(float), stored["test_mses"]
    spectrum = estimate.inverted(resolvents.from_eigenvalues(stored["eigvals"], 30_000))
    alpha = theory.exponents(spectrum, (1000, 7500)).alpha
    assert 1 + alpha.value == pytest.approx(rank_exponent, abs=0.03)
    seen, ahead = (n >= 30) & (n <= 3000), n > 3000
    curve = LearningCurve.from_trials("n", n[seen], losses[:, seen])
    truth = losses.mean(axis=0)[ahead]
    found, beta = forecast.from_curve(curve, n[ahead])
    assert beta.low - 0.01 <= slope <= beta.high
    error = np.abs(found.curve.loss / truth - 1)
    assert np.median(error) < 0.06
    assert error[-1] < 0.15  # at 28,999, without any spectrum
    assert np.mean((found.low <= truth * 1.03) & (truth * 0.97 <= found.high)) > 0.9
    through, _ = forecast.from_curve(curve, n[ahead], spectrum=spectrum)
    error = np.abs(through.curve.loss / truth - 1)
    assert np.median(error) < 0.06
    assert error[-1] < 0.10


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: forecast.population(g[:40, :40]), "`gram` must hold at least 48 samples"),
        (lambda g: forecast.population(g, np.ones(3)), "`targets` must have one row per sample"),
        (lambda g: forecast.population(g, ridge=-1.0), "`ridge` must be finite and at least 0"),
        (lambda g: forecast.population(g, draws=3), "`draws` must be at least 20, got 3"),
        (lambda g: forecast.population(g).curve([10.0, 5.0]), "`n` must be positive and strictly increasing"),
        (lambda g: forecast.population(g).curve([10.0], k=0.0), "`k` must be finite and more than 0"),
        (lambda g: forecast.population(g).curve([10.0], level=90), "`level` must lie between 0 and 1, got 90"),
        (lambda g: forecast.held_out(g, share=0.9), "`share` must lie between 0 and 1/2"),
        (lambda g: forecast.held_out(g, share=0.25), "`share` must lie between 0 and 1/2 and leave at least 48 of 100"),
        (lambda g: forecast.held_out(g, share=0.5, points=1), "`points` must be at least 3, got 1"),
        (lambda g: forecast.population(g, noise=0.1), "`noise` needs `targets`"),
        (
            lambda g: forecast.population(g, np.arange(100.0) - 50, noise=1e4),
            "`noise` is 10000, not less than the mean",
        ),
        (lambda g: forecast.population(g).curve([10.0], k="inf"), "`k` must be finite and more than 0, got 'inf'"),
        (lambda g: forecast.continued(estimate.spectrum(g, draws=0), (5, 90)), "`window` must satisfy 0 < low"),
        (lambda g: forecast.from_curve(LearningCurve("k", np.arange(1.0, 9), np.ones(8)), [9.0]), "must run along n"),
        (
            lambda g: forecast.from_curve(LearningCurve("n", np.arange(1.0, 4), np.ones(3)), [9.0]),
            "at least six points",
        ),
        (lambda g: forecast.from_curve(LearningCurve("n", np.arange(1.0, 9), -np.ones(8)), [9.0]), "must be positive"),
        (
            lambda g: forecast.from_curve(LearningCurve("n", np.arange(1.0, 9), np.ones(8)), [9.0], noise=1.0),
            "`noise` is 1, not less than the smallest loss, 1",
        ),
        (lambda g: resolvents.from_eigenvalues([3.0, 2.0], 1), "`samples` must be at least 4"),
        (
            lambda g: resolvents.from_eigenvalues(np.ones(9), 5),
            "`eigenvalues` must be at most 5, one per sample; got 9",
        ),
        (lambda g: resolvents.from_eigenvalues([1.0, 2.0], 5), "positive and in descending order"),
    ],
)
def test_bad_input_gets_a_sentence(rng, call, message):
    with pytest.raises(ValueError, match=message):
        call(oracles.sphere_gram("NTK", 100, 3, rng))


def test_pure_noise_on_few_samples_is_forecast_as_noise():
    x = np.random.default_rng(1).standard_normal((60, 3))
    gram = np.exp(-np.linalg.norm(x[:, None] - x[None], axis=-1))
    for seed in range(4):
        y = np.random.default_rng([501, seed]).standard_normal(60)
        found = forecast.population(gram, y, draws=20, seed=seed)
        curve = found.curve([60.0, 600.0])
        assert np.all(np.isfinite(curve.high))
        assert curve.high[-1] > 0.5
        assert found.noise_level.high >= found.noise.high


def test_noise_of_a_kernel_of_few_features_is_what_they_leave(rng):
    features = rng.standard_normal((300, 12)) * np.arange(1.0, 13) ** -0.5
    y = features @ rng.standard_normal(12) + 0.5 * rng.standard_normal(300)
    found = forecast.population(features @ features.T, y, seed=0)
    assert found.noise.value == pytest.approx(0.25, rel=0.25)
    assert found.noise.low <= 0.25 <= found.noise.high
    assert found.curve([3000.0]).curve.loss[0] == pytest.approx(0.25, rel=0.3)


def test_measured_losses_do_not_depend_on_the_order_of_the_samples(rng):
    x = np.sort(rng.standard_normal(150))
    gram, y = np.exp(-np.abs(x[:, None] - x[None])), np.sin(3 * x)
    found = forecast.population(gram, y, draws=20).measured
    order = rng.permutation(150)
    shuffled = forecast.population(gram[np.ix_(order, order)], y[order], draws=20).measured
    assert found.loss[8] == pytest.approx(shuffled.loss[8], rel=0.7)
    assert found.loss[8] > 10 * found.loss[-1]


def test_prior_with_ridge_has_its_leave_one_out_loss(rng):
    gram = oracles.sphere_gram("Laplace", 120, 2, rng)
    found = forecast.population(gram, ridge=0.3, draws=20).measured
    losses = []
    for i in range(120):
        rest = np.delete(np.arange(120), i)
        weights = np.linalg.solve(gram[np.ix_(rest, rest)] + 0.3 * np.eye(119), gram[rest, i])
        losses.append(gram[i, i] - 2 * weights @ gram[rest, i] + weights @ gram[np.ix_(rest, rest)] @ weights)
    assert found.loss[-1] == pytest.approx(np.mean(losses), rel=1e-8)


def test_at_the_interpolation_peak_the_forecast_is_infinite(rng):
    found = forecast.population(oracles.sphere_gram("Laplace", 100, 2, rng), draws=20).curve([50.0, 200.0], k=200.0)
    assert np.isfinite(found.curve.loss[0])
    assert math.isinf(found.curve.loss[1])


def test_rounding_of_float32_is_not_read_as_modes(rng):
    x = rng.standard_normal((600, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    gram = np.exp(-((x[:, None] - x[None]) ** 2).sum(axis=-1) / 2).astype(np.float32)
    with pytest.raises(ValueError, match=r"`gram` has rank \d+: too low"):
        estimate.alpha(gram)


def test_eigenvalues_alone_give_the_resolvent_of_their_matrix(rng):
    gram = oracles.sphere_gram("NTK", 150, 3, rng)
    one = resolvents.resolvent(gram)
    other = resolvents.from_eigenvalues(np.linalg.eigvalsh(gram)[::-1] / 150, 150)
    assert other.kappa == pytest.approx(one.kappa, rel=1e-9)
    assert other.trace == pytest.approx(one.trace, rel=1e-9)
