import dataclasses
import functools
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial import distance
from scipy.special import zeta

from regimes import (
    equivalents,
    factor,
    forecast,
    gram,
    inputs,
    listed,
    measured,
    predict,
    readings,
    ridge,
    spectra,
    theory,
)
from regimes.results import log_slope
from regimes.spectrum import Spectrum

N, MODES = 240, 3000
LAMBDA = np.arange(1, MODES + 1.0) ** -1.6
POPULATION = spectra.power_law(0.6)
"""A planted power law, with the power of its own prior."""
PHI = np.random.default_rng(0).standard_normal((N, MODES)) * np.sqrt(LAMBDA)
# Modes beyond those listed are nearly orthogonal on so few samples: they add their trace to the diagonal.
GRAM = PHI @ PHI.T + (zeta(1.6) - LAMBDA.sum()) * np.eye(N)
WEIGHTS = np.arange(1, MODES + 1.0) ** -0.2 * np.random.default_rng(1).standard_normal(MODES)
Y = PHI @ WEIGHTS
FILES = ["curve", "eigenvalues", "exponents", "local_exponents", "prior", "spectrum"]


run = functools.partial(predict.predict, draws=20)


@functools.cache
def labelled():
    """The planted sample with targets, analysed once for all tests."""
    return run(inputs.read(GRAM, targets=Y), k=[40.0], n=[30, 60, 120, 239, 480, 2400])


@functools.cache
def prior():
    return run(inputs.read(GRAM))


def exact_slope(spectrum, low, high):
    at = np.geomspace(low, high, 24)
    return -log_slope(at, at * np.asarray(equivalents.solve(spectrum, at).gamma))


# What is found


def test_planted_power_law_is_recovered_and_its_losses_at_ten_times_the_data():
    found = prior()
    alpha = next(one.estimate for one in found.readings if one.quantity == "alpha" and one.default)
    assert alpha.value == pytest.approx(exact_slope(POPULATION, *alpha.window), abs=0.03)
    assert found.exponents.alpha.value == pytest.approx(
        exact_slope(POPULATION, *found.exponents.alpha.window), abs=0.03
    )
    assert found.exponents.resolution_n.value == found.exponents.alpha.value
    last = found.forecasts[0]
    assert last.curve.at[-1] >= 10 * N
    exact = equivalents.loss(POPULATION, last.curve.at)
    inside = last.curve.at <= 10 * N
    assert last.curve.loss[inside] == pytest.approx(exact[inside], rel=0.1)


def test_parts_are_those_of_the_library():
    found = labelled()
    y = Y[:, None] - Y.mean()
    population = forecast.population(GRAM, y, draws=20)
    assert found.noise == population.noise
    assert found.noise_level == population.noise_level
    for one, k in zip(found.forecasts, (math.inf, 40.0), strict=True):
        assert one.curve.fixed["k"] == k
        assert one.curve.loss == pytest.approx(population.curve([30, 60, 120, 239, 480, 2400], k=k).curve.loss)
        assert one.level == 0.9
    assert found.readings == readings.side_by_side(GRAM, y, level=0.9)
    assert found.law.reason == readings.power_law(GRAM, level=0.9).reason
    window = (population.spectrum.resolved / 8, 0.75 * population.spectrum.resolved)
    assert found.exponents == theory.exponents(population.spectrum, window, 0.9)
    assert found.held_out is not None
    assert found.held_out.error == forecast.held_out(GRAM, y, level=0.9, draws=20).error
    assert found.eigenvalues == pytest.approx(np.sort(np.linalg.eigvalsh(GRAM))[::-1] / N)


def test_leave_one_out_losses_stand_where_the_data_reach():
    found = labelled()
    expected = ridge.loss_from_training(GRAM, Y[:, None] - Y.mean(), [30, 60, 120, 239], trials=4, seed=0)
    assert found.measured is not None
    assert found.measured.at.tolist() == [30, 60, 120, 239]
    assert found.measured.loss == pytest.approx(expected.loss)
    assert found.forecasts[0].beyond.tolist() == [False] * 4 + [True] * 2


@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_without_targets_leave_one_out_losses_are_variances_of_the_prior(delta):
    curve = measured.left_out(GRAM, None, np.array([10.0, 20.5, 100, 239, 1000]), delta=delta, seed=3)
    assert curve.at.tolist() == [10, 100, 239]
    slow = []
    for i in range(N):  # the error of the fit to all others, over draws with the covariance K
        rest = np.delete(np.arange(N), i)
        block, cross = GRAM[np.ix_(rest, rest)], GRAM[i, rest]
        fit = np.linalg.solve(block + delta * np.eye(N - 1), cross)
        slow.append(GRAM[i, i] - 2 * fit @ cross + fit @ block @ fit)
    assert curve.loss[-1] == pytest.approx(np.mean(slow), rel=1e-8)
    assert curve.loss[1] == pytest.approx(float(equivalents.loss(POPULATION, 100, math.inf, delta)), rel=0.05)


def test_gram_features_and_inputs_of_the_same_kernel_give_the_same():
    options = {"n": [50, 500], "noise": 0.0, "hold_out": False}
    x = np.random.default_rng(2).standard_normal((N, 3))
    kernel = np.exp(-distance.cdist(x, x))
    one = run(inputs.read(kernel, kind="gram"), **options)
    other = run(inputs.read(x, kind="inputs"), kernel=lambda a, b: np.exp(-distance.cdist(a, b)), **options)
    assert other.forecasts[0].curve.loss == pytest.approx(one.forecasts[0].curve.loss, rel=1e-8)
    assert other.readings[0].estimate.value == pytest.approx(one.readings[0].estimate.value, rel=1e-8)
    linear = measured.gram_matrix(inputs.read(x), None, np.arange(0, N, 2), memory=1e9, scheduler=None)
    assert linear == pytest.approx(x[::2] @ x[::2].T)


def test_targets_of_noise_alone_are_said_to_be():
    noise = np.random.default_rng(9).standard_normal(N)
    found = run(inputs.read(GRAM, targets=noise), n=[20, 239, 1000])
    assert any(text.startswith("nothing is learnt: at n = 239") for text in found.warnings)
    assert found.noise.high > 0.9 * np.var(noise)  # a target that is never learnt would look the same
    assert np.all(found.forecasts[0].curve.loss > 0.9 * found.noise.value)


def test_text_says_what_was_read_what_was_found_and_the_warnings():
    text = str(labelled())
    assert "read as a Gram matrix" in text
    assert str(labelled().law) in text
    assert str(labelled().exponents) in text
    assert all(f"warning: {one}" in text for one in labelled().warnings)


def test_progress_is_reported_from_beginning_to_end():
    seen = []
    run(inputs.read(GRAM), progress=lambda what, share: seen.append(share), hold_out=False)
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert 0.9 < seen[-1] <= 1


def test_interpolation_peak_is_infinite():
    found = run(inputs.read(GRAM), n=[20, 40, 80], k=40, hold_out=False)
    assert np.isinf(found.forecasts[1].curve.loss).tolist() == [False, True, False]
    assert np.isinf(found.forecasts[1].high).tolist() == [False, True, False]


def test_default_sizes_are_decades_up_to_ten_times_the_data_and_all_but_one_sample():
    at = prior().forecasts[0].curve.at
    assert at.tolist() == [5, 10, 20, 50, 100, 200, 239, 500, 1000, 2000, 5000]


# More samples than are analysed


def test_subset_is_seeded_and_named_and_pivots_are_read_beside_it():
    many = np.random.default_rng(4).standard_normal((1200, 40)) * np.arange(1, 41.0) ** -0.8
    source = inputs.read(many, kind="inputs")
    kernel = functools.partial(_laplace, scale=1.0)
    one, same, other = (run(source, kernel=kernel, size=200, seed=seed, hold_out=False) for seed in (0, 0, 1))
    assert (one.samples, one.analysed) == (1200, 200)
    assert "200 of 1200 samples analysed" in one.description
    assert any("200 of 1200 samples" in text for text in one.warnings)
    assert np.array_equal(one.forecasts[0].curve.loss, same.forecasts[0].curve.loss)
    assert not np.array_equal(one.forecasts[0].curve.loss, other.forecasts[0].curve.loss)
    (beside,) = [reading for reading in one.readings if reading.method == "pivots, subsets"]
    whole = ridge.pivot_curve(_laplace(many, many, 1.0), [32, 50, 80, 120, 150], trials=2).exponent()
    assert beside.estimate.low < whole.value < beside.estimate.high
    slopes = []
    for rows in gram.subsets(1200, 300, 4, 0):
        lower = factor.cholesky(_laplace(many[rows], many[rows], 1.0)).lower
        at = np.unique(np.round(np.geomspace(32, 150, 12)))
        slopes.append(-log_slope(at - 1, factor.leave_one_out(lower, at).variance))
    width = stats.t.ppf(0.95, 3) * stats.sem(slopes)
    assert [beside.estimate.low, beside.estimate.high] == pytest.approx(
        [np.mean(slopes) - width, np.mean(slopes) + width]
    )
    assert beside.remark == "4 disjoint subsets of 300 of all samples"


def _laplace(x, other, scale):
    return np.exp(-distance.cdist(x, other) / scale)


def test_mirror_of_mixed_features_shows_alpha_along_k():
    rng = np.random.default_rng(5)
    width, rank = 256, 600
    eigenvalues = np.arange(1, rank + 1.0) ** -1.6
    mixed = rng.standard_normal((3000, rank)) * np.sqrt(eigenvalues) @ rng.standard_normal((rank, width))
    found = measured.mirror(inputs.read(mixed), level=0.9, seed=0, memory=1e9, scheduler=None)
    truth = Spectrum(eigenvalues, eigenvalues, np.ones(rank))
    assert found.estimate.value == pytest.approx(exact_slope(truth, *found.estimate.window), abs=0.05)
    assert found.estimate.window == (16, 128)
    at = np.unique(np.round(np.geomspace(16, 128, 12)))
    in_memory = ridge.feature_pivot_curve(mixed, at, trials=8, seed=0).exponent(level=0.9)
    assert found.estimate.value == pytest.approx(in_memory.value, rel=1e-9)
    few = inputs.read(mixed[:400])
    assert measured.mirror(few, level=0.9, seed=0, memory=1e9, scheduler=None) is None


def test_kernel_of_few_features_is_read_below_their_number_and_exhausted_beyond():
    rng = np.random.default_rng(6)
    eigenvalues = np.arange(1, 65.0) ** -1.5
    phi = rng.standard_normal((300, 64)) * np.sqrt(eigenvalues)
    y = phi @ rng.standard_normal(64) + 0.3 * rng.standard_normal(300)
    found = run(inputs.read(phi, targets=y), n=[16, 128, 299, 3000])
    truth = Spectrum(eigenvalues, eigenvalues, np.ones(64))
    alpha = next(one.estimate for one in found.readings if one.method == "kappa")
    assert alpha.window[1] <= 32
    assert alpha.value == pytest.approx(exact_slope(truth, *alpha.window), abs=0.1)
    assert any("64 features: from n = 64 on" in text for text in found.warnings)
    assert {one.quantity for one in found.readings if one.default} == {"alpha", "beta", "noise"}
    # All is learnt but the noise, and n - 64 samples are left to average it: 0.09 n/(n - 64).
    assert found.forecasts[0].curve.loss[-1] == pytest.approx(0.09 * 3000 / 2936, rel=0.2)
    assert found.measured is not None
    assert np.all(np.isfinite(found.measured.loss))


def test_prior_of_few_features_is_asked_of_fewer_samples():
    phi = np.random.default_rng(8).standard_normal((500, 160)) * np.arange(1, 161.0) ** -0.8
    found = run(inputs.read(phi), n=[20, 60, 119], hold_out=False)
    assert found.analysed == 120
    assert "rank 160, and without targets 160 samples learn all" in found.warnings[0]
    eigenvalues = np.arange(1, 161.0) ** -1.6
    exact = equivalents.loss(Spectrum(eigenvalues, eigenvalues, np.ones(160)), [20, 60, 119])
    assert found.measured.loss == pytest.approx(exact, rel=0.15)
    with pytest.raises(ValueError, match=r"`targets` are needed for features: the kernel has rank 20"):
        run(inputs.read(phi[:, :20]))


def test_memory_bounds_the_samples_that_are_analysed():
    assert len(measured.chosen(10_000, None, 8e9, 0)) == measured.LARGEST
    assert len(measured.chosen(10_000, None, 1e7, 0)) == math.isqrt(int(1e7 / 96))
    assert np.array_equal(measured.chosen(150, None, 8e9, 0), np.arange(150))
    with pytest.raises(
        ValueError, match=r"`memory` is 10 MB, but the analysis of 500 samples holds 24 MB: take a `size`"
    ):
        measured.chosen(10_000, 500, 1e7, 0)
    with pytest.raises(ValueError, match=r"`memory` is 100 kB, but the analysis of 100 samples .* raise it"):
        measured.chosen(10_000, None, 1e5, 0)


def test_scheduler_and_memory_reach_the_gram_matrix(monkeypatch):
    seen = []

    def build(kernel, x, *, memory, scheduler):
        seen.append((len(x), memory, scheduler))
        return kernel(x)

    monkeypatch.setattr(measured.gram, "build", build)
    source = inputs.read(np.random.default_rng(7).standard_normal((900, 3)), kind="inputs")
    run(source, kernel="laplace", size=120, memory=1e9, scheduler="tcp://here:1", hold_out=False)
    assert seen == [(120, 1e9, "tcp://here:1")] + [(225, 1e9, "tcp://here:1")] * 4


# Lists of eigenvalues


def test_list_of_the_population_is_a_spectrum():
    found = run(inputs.read(LAMBDA), n=[10, 100], k=30, noise=0.1, ridge=0.01)
    for one, k in zip(found.forecasts, (math.inf, 30), strict=True):
        listed_as_is = Spectrum(LAMBDA, LAMBDA, np.ones(MODES))
        assert one.curve.loss == pytest.approx(equivalents.loss(listed_as_is, [10, 100], k, 0.01, 0.1))
        assert np.array_equal(one.low, one.high)
    (quoted,) = [one for one in predict.all_readings(found) if one.quantity == "alpha" and one.default]
    assert quoted.estimate.value == pytest.approx(0.6, abs=1e-10)
    assert found.measured is None
    assert found.held_out is None
    assert any("--samples N" in text for text in found.warnings)


def test_no_exponent_of_a_power_law_is_quoted_where_there_is_none():
    found = predict.predict(np.arange(1, 401.0) ** -1.5, n=[10], draws=20)
    four = {"alpha", "beta", "resolution_n", "resolution_k"}
    for holds, quoted in ((True, four), (None, four), (False, set())):
        one = dataclasses.replace(found, law=found.law.__class__(holds, "a reason", *([np.empty(0)] * 4), 0.9))
        stars = {reading.quantity for reading in predict.all_readings(one) if reading.default}
        assert stars & four == quoted
        assert stars >= {"variance_n", "variance_k"}  # 1 for any spectrum


def test_list_of_a_gram_matrix_is_corrected_for_the_sample():
    values = np.sort(np.linalg.eigvalsh(GRAM))[::-1] / N
    found = run(inputs.read(values), samples=N)
    window = found.exponents.alpha.window
    assert window == (N / 24, N / 4)
    assert found.exponents.alpha.value == pytest.approx(exact_slope(POPULATION, *window), abs=0.04)
    naive = exact_slope(Spectrum(values, values, np.ones(N)), *window)
    assert abs(naive - exact_slope(POPULATION, *window)) > 0.1
    at = found.forecasts[0].curve.at
    assert found.forecasts[0].curve.loss == pytest.approx(equivalents.loss(POPULATION, at), rel=0.15)
    assert (found.forecasts[0].high > found.forecasts[0].low).all()
    assert found.forecasts[0].reach == N


@pytest.mark.parametrize(
    ("alpha", "holds"), [(np.arange(1, 4001.0) ** -1.5, True), (np.exp(-np.arange(1, 4001.0) / 150), False)]
)
def test_verdict_of_a_list(alpha, holds):
    found = listed.power_law(listed.spectrum(alpha), (16, len(alpha) / 20), 0.9)
    assert found.holds is holds
    assert ("no power law" in found.reason) is not holds
    for n, exponent in zip(found.n, found.exponent, strict=True):
        assert exponent == pytest.approx(exact_slope(listed.spectrum(alpha), n / 1.786, n * 1.786), rel=0.02)


def test_short_list_is_undecided():
    found = run(inputs.read(np.arange(1, 13.0) ** -2))
    assert found.law.holds is None
    assert np.isfinite(found.exponents.alpha.value)


# Tables and files


def test_tables_hold_every_number():
    found = labelled()
    frames = predict.tables(found)
    assert sorted(frames) == FILES
    exponents, curve = frames["exponents"], frames["curve"]
    assert list(exponents.columns) == [
        *("quantity", "method", "value", "low", "high", "level", "from", "to", "default", "remark")
    ]
    assert exponents.loc[exponents["default"], "quantity"].tolist() == [
        *("alpha", "beta", "noise", "noise_level", "resolution_n", "resolution_k", "variance_n", "variance_k")
    ]
    assert (exponents["remark"] != "").all()
    assert len(curve) == 12
    assert curve["k"].tolist() == [math.inf] * 6 + [40.0] * 6
    assert curve["measured"].notna().tolist() == [True] * 4 + [False] * 8
    assert curve["extrapolated"].tolist() == [False, False, False, False, True, True] * 2
    assert frames["spectrum"]["eigenvalue"].tolist() == found.spectrum.eigenvalues.tolist()
    lower = factor.cholesky(GRAM).lower
    last = frames["prior"].dropna().iloc[-1]
    assert last["n_kappa"] / last["n"] < factor.leave_one_out(lower, [10]).kappa[0]
    assert frames["local_exponents"]["n"].tolist() == found.law.n.tolist()


def test_folder_holds_figure_tables_and_every_argument(tmp_path):
    found = labelled()
    (tmp_path / "notes.txt").write_text("mine")
    written = predict.write(found, tmp_path, {"targets": "y.csv"})
    names = sorted(path.name for path in written)
    assert names == sorted([*(f"{name}.csv" for name in FILES), "prediction.png", "prediction.svg", "run.json"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "notes.txt"])
    record = json.loads((tmp_path / "run.json").read_text())
    wanted = {*("kernel", "n", "k", "ridge", "noise", "level", "samples", "size", "memory", "scheduler", "seed")}
    assert wanted | {"window", "hold_out"} <= set(record["settings"])
    assert record["settings"]["k"] == [40.0]
    assert record["settings"]["arguments"] == {"targets": "y.csv"}
    assert record["versions"]["regimes"]
    assert record["held_out"]["median_error"] == found.held_out.error
    assert record["warnings"] == list(found.warnings)
    assert record["curve"][0]["k"] is None  # infinite
    curve = pd.read_csv(tmp_path / "curve.csv")
    assert curve["loss"].tolist() == pytest.approx(predict.tables(found)["curve"]["loss"].tolist(), rel=1e-12)


def test_failure_leaves_the_folder_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "curve.csv").write_text("old")

    def full(*arguments, **options):
        raise OSError("no space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="no space"):
        predict.write(labelled(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["curve.csv"]
    assert (tmp_path / "curve.csv").read_text() == "old"


# Refusals

SOURCES = {
    "gram": inputs.read(GRAM, targets=Y),
    "inputs": inputs.read(PHI[:, :3], kind="inputs"),
    "eigenvalues": inputs.read(LAMBDA),
}
REFUSED = [
    ("gram", {"n": [5, 3]}, "`n` must be positive and strictly increasing, got 5, 3"),
    ("gram", {"n": [0, 3]}, "`n` must be positive"),
    ("gram", {"k": [10, -2]}, "`k` must be positive, got -2"),
    ("gram", {"ridge": -1.0}, "`ridge` must be finite and at least 0"),
    ("gram", {"noise": -1.0}, "`noise` must be finite and at least 0"),
    ("gram", {"level": 1.0}, "`level` must lie between 0 and 1, got 1"),
    ("gram", {"seed": -1}, "`seed` must be at least 0"),
    ("gram", {"samples": 500}, "`samples` belongs to a list of eigenvalues"),
    ("gram", {"size": 20}, "`size` must be at least 100, got 20"),
    ("gram", {"memory": 1e4}, "`memory` is 10 kB"),
    ("gram", {"kernel": "rbf"}, "`kernel` must be None: this source is a Gram matrix"),
    ("inputs", {}, "`kernel` must be given for raw inputs: one of ntk"),
    ("inputs", {"kernel": "tanh"}, "`kernel` must be one of ntk"),
    ("inputs", {"kernel": "chi2"}, "`kernel` failed on inputs of shape"),
    ("inputs", {"kernel": lambda x, y: x}, "`kernel` must return a matrix of shape"),
    ("eigenvalues", {"kernel": "rbf"}, "`kernel` must be None: a list of eigenvalues"),
    ("eigenvalues", {"samples": 100}, "`samples` is 100, but"),
]


@pytest.mark.parametrize(("name", "options", "says"), REFUSED)
def test_what_cannot_be_done_is_refused_before_the_work(name, options, says):
    def never(what, share):
        raise AssertionError("the work has begun")

    with pytest.raises(ValueError, match=says):
        run(SOURCES[name], progress=never, **options)


def test_result_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        prior().name = "other"
