"""Fits of laws: exact data, planted parameters, an independent optimiser, intervals, statuses, bad input."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

from regimes import fits, intervals, laws, least_squares, objectives, ranking
from regimes.fits import FitError, Status
from regimes.law import Law, Parameter

N = np.geomspace(30, 1e6, 24)
GRID_N, GRID_K = (axis.ravel() for axis in np.meshgrid(np.geomspace(30, 3e4, 7), np.geomspace(50, 5e4, 7)))
SIZE, TOKENS = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e10, 6), np.geomspace(1e8, 1e11, 6)))
DENSITY, DEPTH, WIDTH = (
    axis.ravel() for axis in np.meshgrid(np.geomspace(0.01, 1, 8), [8.0, 20.0, 50.0], [16.0, 32.0, 64.0])
)
PLANTED = {
    "power": ({"a": 3, "b": 0.4}, {"n": N}),
    "hestness": ({"a": 3, "b": 0.4, "c": 0.05}, {"n": N}),
    "hestness-regions": (
        {"guess": 0.9, "start": 300, "b": 0.5, "end": 3e5, "sharpness": 2},
        {"n": np.geomspace(10, 1e8, 30)},
    ),
    "model-growth": ({"a": 3, "b": 0.6}, {"n": N}),
    "m3": ({"a": 3, "b": 0.4, "rate": 1e-4}, {"n": N}),
    "m4": ({"gap": 0.9, "c": 0.05, "a": 30, "b": 0.5, "alpha": 1.3}, {"n": np.geomspace(10, 1e7, 40)}),
    "rosenfeld": (
        {"guess": 0.9, "alpha": 0.5, "beta": 0.4, "b": 1.0, "c": 0.01, "eta": 0.05},
        {"n": GRID_N, "k": GRID_K},
    ),
    "rosenfeld-language": ({"a": 3, "alpha": 0.4, "b": 2, "beta": 0.5, "c": 0.1}, {"n": GRID_N, "k": GRID_K}),
    "pruning": (
        {"pruned": 0.9, "gamma": 1, "p": 100.0, "phi": 1.0, "psi": 1.0},
        {"density": DENSITY, "depth": DEPTH, "width": WIDTH, "dense": np.full(len(DENSITY), 0.1)},
    ),
    "pruning-single": ({"dense": 0.1, "pruned": 0.9, "gamma": 1, "p": 0.05}, {"density": np.geomspace(0.003, 1, 24)}),
    "variance-limited": ({"B": 0.5, "c": 0.1}, {"n": GRID_N, "k": 1.01 * GRID_K}),
    "resolution-limited": ({"a": 3, "b": 0.4, "c": 0.05}, {"n": GRID_N, "k": GRID_K}),
    "four-regimes": ({"a": 3, "alpha": 0.4, "b": 2, "beta": 0.6, "c": 0.02}, {"n": GRID_N, "k": GRID_K}),
    "kaplan": ({"size_c": 1e13, "n_c": 1e13, "alpha": 0.08, "beta": 0.1}, {"size": SIZE, "n": TOKENS}),
    "chinchilla": (
        {"E": 1.8, "A": 480, "B": 2100, "alpha": 0.35, "beta": 0.37},
        {"size": SIZE, "n": TOKENS},
    ),
    "multiplicative": ({"A": 480, "alpha": 0.15, "beta": 0.2, "E": 0.2}, {"size": SIZE, "n": TOKENS}),
    "broken": (
        {"a": 0.05, "b": 3, "c0": 0.2, "c1": 0.4, "d1": 3000.0, "f1": 0.5},
        {"n": np.geomspace(10, 1e7, 40)},
    ),
    "scale-time": ({"a": 3, "b": 0.4, "c": 0.05}, {"k": GRID_N, "time": GRID_K}),
}
UNIFIED_N, UNIFIED_K, UNIFIED_TIME = (
    axis.ravel()
    for axis in np.meshgrid(np.geomspace(20, 2000, 4), 1.1 * np.geomspace(20, 2000, 4), np.geomspace(0.01, 10, 4))
)
THEORY = {"alpha": 0.5, "beta": 0.8, "a": 2, "noise": 0.3}
COSTLY = {  # a second or more for each fit
    "theory": (THEORY, {"n": GRID_N, "k": 1.01 * GRID_K}),
    "theory-n": (THEORY, {"n": N}),
    "theory-k": (THEORY, {"k": N}),
    "unified": (
        {"modes": 100, "power": 2, "noise": 0.3, "rate": 0.1},
        {"n": UNIFIED_N, "k": UNIFIED_K, "time": UNIFIED_TIME},
    ),
}


def noisy(law, truth, scales, spread, seed):
    exact = law(truth, **scales)
    return exact * np.exp(spread * np.random.default_rng(seed).normal(size=exact.size))


@pytest.mark.parametrize("name", PLANTED)
def test_exact_losses_give_the_planted_parameters_back(name):
    truth, scales = PLANTED[name]
    law = laws.get(name)
    found = fits.fit(law, law(truth, **scales), bootstrap=0, **scales)
    assert found.objective < 1e-20
    for parameter, value in truth.items():
        assert found[parameter].value == pytest.approx(value, rel=1e-6), parameter


@pytest.mark.parametrize("name", PLANTED)
def test_noisy_losses_are_fitted_better_than_by_the_truth(name):
    truth, scales = PLANTED[name]
    law = laws.get(name)
    loss = noisy(law, truth, scales, 0.02, 1)
    found = fits.fit(law, loss, bootstrap=0, **scales)
    # The sum of squares falls by chi^2 with as many degrees of freedom as parameters, never below all but a few points.
    at_truth = np.sum(np.log(law(truth, **scales) / loss) ** 2) / 2
    assert 0.4 * at_truth < found.objective < at_truth
    expected = found.problem.predict(np.array([list(found.parameters.values())]))[0]
    np.testing.assert_allclose(found.residuals, np.log(expected / loss), atol=1e-12)
    assert found.objective == pytest.approx(np.sum(found.residuals**2) / 2)


@pytest.mark.parametrize("name", ["theory", "unified"])
def test_costly_laws_give_the_planted_parameters_back(name):
    truth, scales = COSTLY[name]
    chosen = slice(None, None, 3)
    scales = {scale: place[chosen] for scale, place in scales.items()}
    law = laws.get(name)
    found = fits.fit(law, law(truth, **scales), bootstrap=0, starts=8, **scales)
    assert found.objective < 1e-16
    for parameter, value in truth.items():
        assert found[parameter].value == pytest.approx(value, rel=1e-6), parameter


def test_the_place_of_the_peak_is_a_parameter():
    """Losses from the law of both scales at n = 300; k in a unit of its own."""
    k = np.geomspace(20, 5e3, 15)
    loss = laws.theory(ridge=True)({**THEORY, "ridge": 0.05}, n=300.0, k=k)
    law = laws.theory("k", units=True, ridge=True, peak=True)
    known = {"alpha": 0.5, "beta": 0.8, "a": 2.0, "ridge": 0.05, "noise": 0.3}
    np.testing.assert_allclose(law({**known, "unit_k": 7.0, "peak": 2100.0}, k=7 * k), loss, rtol=1e-12)
    found = fits.fit(law, loss, k=7 * k, bootstrap=0, starts=64, fixed={**known, "unit_k": 7.0})
    assert found["peak"].value == pytest.approx(2100, rel=1e-6)
    with pytest.raises(ValueError, match="one scale"):
        laws.theory(peak=True)


@pytest.mark.parametrize(
    ("name", "factor"),
    [("hestness", 1e30), ("hestness", 1e-30), ("broken", 1e30), ("rosenfeld-language", 1e-20), ("m4", 1e4)],
)
def test_units_of_the_loss_and_of_the_scales_do_not_matter(name, factor):
    """Bounds are wide enough, and starts find the same minimum, sizes times 1e9 besides."""
    truth, scales = PLANTED[name]
    law = laws.get(name)
    loss = noisy(law, truth, scales, 0.02, 4)
    one = fits.fit(law, loss, bootstrap=0, **scales)
    huge = {scale: 1e9 * place for scale, place in scales.items()}
    other = fits.fit(law, factor * loss, bootstrap=0, **huge)
    assert other.objective == pytest.approx(one.objective, rel=1e-5)
    assert Status.AT_BOUND not in other.statuses


@pytest.mark.parametrize(
    ("name", "factor", "guess", "words"),
    [
        ("test_error", 50, None, "'test_error' reaches .* in percent"),
        ("testError", 50, None, "in percent"),
        ("top-1 err", 50, None, "in percent"),
        (None, 50, 0.9, "guess level is 0.9, but `loss` reaches"),
        (None, 0.1, 90, "guess level is 90, but `loss` stays"),
        ("test error (%)", 50, None, None),
        ("squared error", 50, None, None),
        ("test_error", 0.5, 0.9, None),
        ("cross-entropy", 50, None, None),
        ("error", 5000, None, None),
        (None, 50, 90, None),
    ],
)
def test_percent_among_fractions_warns_for_one_curve(name, factor, guess, words):
    loss = pd.Series(factor * (3 * N**-0.4 + 0.05), name=name)
    fixed = {} if guess is None else {"guess": guess}
    law = laws.HESTNESS if guess is None else laws.HESTNESS_REGIONS
    if words is None:
        fits.fit(law, loss, n=N, bootstrap=0, fixed=fixed)  # a warning is an error here
        return
    with pytest.warns(UserWarning, match=words):
        fits.fit(law, loss, n=N, bootstrap=0, fixed=fixed)
    with pytest.warns(UserWarning, match="percent"):
        ranking.fit_table({"n": N, str(name): loss.to_numpy()}, law, y=str(name), fixed=fixed)


@pytest.mark.parametrize("name", ["hestness", "m3", "broken", "chinchilla", "rosenfeld", "m4"])
def test_an_independent_optimiser_finds_no_lower_minimum(name):
    """SciPy's differential evolution over all parameters in the same box, polished by L-BFGS-B."""
    truth, scales = PLANTED[name]
    law = laws.get(name)
    loss = noisy(law, truth, scales, 0.05, 3)
    found = fits.fit(law, loss, bootstrap=0, **scales)
    logs = np.array([parameter.log for parameter in law.parameters])
    values = np.array([truth[parameter] for parameter in law.names], dtype=float)
    centre = np.where(logs, np.log(np.where(logs, values, 1.0)), values)
    box = list(zip(centre - np.where(logs, 2.0, values), centre + np.where(logs, 2.0, values), strict=True))

    def objective(point):
        with np.errstate(all="ignore"):
            value = np.sum(np.log(law(np.where(logs, np.exp(point * logs), point), **scales) / loss) ** 2) / 2
        return value if np.isfinite(value) else 1e9

    other = optimize.differential_evolution(objective, box, rng=0, maxiter=150, popsize=10, tol=1e-12)
    assert found.objective <= other.fun * (1 + 1e-9)


def test_huber_is_scipys_and_its_minimum_is_found():
    residual = np.linspace(-0.01, 0.01, 41)
    np.testing.assert_allclose(least_squares.huber(residual, 1e-3), special.huber(1e-3, residual), rtol=1e-14)
    np.testing.assert_allclose(least_squares.huber(residual, math.inf), residual**2 / 2)
    truth, scales = PLANTED["hestness"]
    law = laws.HESTNESS
    loss = noisy(law, truth, scales, 0.02, 5)
    loss[3] *= 2  # an outlier
    found = fits.fit(law, loss, objective="huber", delta=1e-2, bootstrap=0, **scales)

    def objective(point):
        predicted = np.exp(point[0]) * scales["n"] ** -point[1] + abs(point[2])
        return np.sum(special.huber(1e-2, np.log(predicted / loss)))

    options = {"xatol": 1e-10, "fatol": 1e-16, "maxiter": 8000}
    starts = ([math.log(3), 0.4, 0.05], [math.log(2), 0.3, 0.05], [math.log(4), 0.5, 0.05])
    best = min(optimize.minimize(objective, at, method="Nelder-Mead", options=options).fun for at in starts)
    assert found.objective <= best * (1 + 1e-9)
    assert found["b"].value == pytest.approx(0.4, abs=0.02)
    squares = fits.fit(law, loss, bootstrap=0, **scales)
    assert abs(squares["b"].value - 0.4) > abs(found["b"].value - 0.4)


@pytest.mark.parametrize("objective", ["relative", "absolute", "weighted"])
def test_objectives_are_what_they_say(objective):
    truth, scales = PLANTED["power"]
    loss = noisy(laws.POWER, truth, scales, 0.05, 7)
    variance = (0.05 * loss) ** 2 * np.linspace(0.5, 2, len(loss)) if objective == "weighted" else None
    found = fits.fit(laws.POWER, loss, objective=objective, variance=variance, bootstrap=0, **scales)
    width = {
        "relative": loss,
        "absolute": np.ones_like(loss),
        "weighted": np.sqrt(variance) if variance is not None else 1,
    }

    def residual(point):
        return (np.exp(point[0]) * scales["n"] ** -point[1] - loss) / width[objective]

    other = optimize.least_squares(residual, [1.0, 0.4], xtol=1e-15, ftol=1e-15, gtol=1e-15)
    assert found.objective == pytest.approx(other.cost, rel=1e-9)
    assert found["b"].value == pytest.approx(other.x[1], rel=1e-6)


def test_power_law_intervals_are_those_of_linear_regression():
    """In logarithms the power law is linear: value -+ Student quantile times standard error is exact there."""
    truth, scales = PLANTED["power"]
    loss = noisy(laws.POWER, truth, scales, 0.05, 11)[:8]
    line = stats.linregress(np.log(N[:8]), np.log(loss))
    width = stats.t.ppf(0.95, 6) * line.stderr
    for bootstrap, method in ((0, "linearised"), (10, "profile")):
        found = fits.fit(laws.POWER, loss, n=N[:8], bootstrap=bootstrap)["b"]
        assert found.method == method
        # b is searched by its logarithm: linearised ends differ from the exact ones by second order in width/b.
        tolerance = 1.5 * width**2 / found.value if method == "linearised" else 0.02 * width
        assert found.low == pytest.approx(-line.slope - width, abs=tolerance)
        assert found.high == pytest.approx(-line.slope + width, abs=tolerance)


def coverage(name, repeats, spread=0.02, first=5000):
    truth, scales = {**PLANTED, **COSTLY}[name]
    law = laws.get(name)
    hits = dict.fromkeys(law.names, 0)
    for repeat in range(repeats):
        loss = noisy(law, truth, scales, spread, first + repeat)
        found = fits.fit(law, loss, bootstrap=1, **scales)
        for parameter in law.names:
            hits[parameter] += truth[parameter] in found[parameter]
    return hits


@pytest.mark.parametrize("name", ["hestness", "resolution-limited"])
def test_intervals_cover_planted_parameters(name):
    """At a true coverage of 90 % fewer than 48 or more than 60 - 0 hits of 60 would happen once in 400."""
    for parameter, hits in coverage(name, 60).items():
        assert stats.binomtest(hits, 60, 0.9).pvalue > 1 / 400, (parameter, hits)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["power", "hestness", "m3", "hestness-regions", "chinchilla", "rosenfeld", "broken"])
def test_intervals_cover_between_85_and_95_percent(name):
    """200 repeats have a standard error of 2.1 %: true coverages of 85 to 95 % show as 80 to 99 %."""
    for parameter, hits in coverage(name, 200).items():
        assert stats.binomtest(hits, 200, 0.85, alternative="less").pvalue > 0.01, (parameter, hits)
        assert stats.binomtest(hits, 200, 0.95, alternative="greater").pvalue > 0.01, (parameter, hits)


def runs_with_exponents_of_their_own(seed, count=8):
    """Every run has its own exponent about 0.4, and hardly any noise besides: points of a run err together."""
    rng = np.random.default_rng(seed)
    n = np.tile(np.geomspace(100, 1e5, 40), count)
    runs = np.repeat(np.arange(count), 40)
    loss = 3 * n ** -(0.4 + 0.02 * rng.normal(size=count)[runs]) * np.exp(0.01 * rng.normal(size=n.size))
    return n, runs, loss


def test_groups_that_err_together_widen_the_intervals():
    n, runs, loss = runs_with_exponents_of_their_own(1)
    points = fits.fit(laws.POWER, loss, n=n)["b"]
    groups = fits.fit(laws.POWER, loss, n=n, groups=runs)["b"]
    assert groups.method == "bootstrap over groups"
    assert (groups.high - groups.low) > 1.5 * (points.high - points.low)


@pytest.mark.slow
def test_groups_cover():
    hits = 0
    for seed in range(100):
        n, runs, loss = runs_with_exponents_of_their_own(seed)
        hits += 0.4 in fits.fit(laws.POWER, loss, n=n, groups=runs, bootstrap=100)["b"]
    assert 80 <= hits <= 98  # 90 with a standard error of 3


def test_points_bootstrap_agrees_with_the_profile_where_both_hold():
    truth, scales = PLANTED["resolution-limited"]
    law = laws.get("resolution-limited")
    loss = noisy(law, truth, scales, 0.05, 1)
    one = fits.fit(law, loss, bootstrap=400, resample="points", **scales)["b"]
    other = fits.fit(law, loss, **scales)["b"]
    assert (one.high - one.low) == pytest.approx(other.high - other.low, rel=0.3)


def test_profile_is_a_student_variable():
    truth, scales = PLANTED["hestness"]
    loss = noisy(laws.HESTNESS, truth, scales, 0.05, 4)
    found = fits.fit(laws.HESTNESS, loss, **scales)
    curve = fits.profile(found, "c")
    assert np.all(np.diff(curve.rise) > 0)
    quantile = stats.t.ppf(0.95, len(loss) - 3)
    ends = fits.profile(found, "c", [found["c"].low, found["c"].high]).rise
    np.testing.assert_allclose(ends, [-quantile, quantile], rtol=0.02)
    # Against a search that holds c by hand.
    held = fits.fit(laws.HESTNESS, loss, fixed={"c": found["c"].low}, bootstrap=0, **scales)
    rise = math.sqrt(2 * (held.objective - found.objective) / (2 * found.objective / (len(loss) - 3)))
    assert ends[0] == pytest.approx(-rise, rel=1e-6)
    assert np.corrcoef(curve.values, curve.others[:, 1])[0, 1] > 0.9  # a larger offset goes with a steeper exponent


def test_predictions_carry_a_band_that_widens_outwards():
    truth, scales = PLANTED["hestness"]
    found = fits.fit(laws.HESTNESS, noisy(laws.HESTNESS, truth, scales, 0.05, 4), **scales)
    band = found.predict(n=np.array([1e3, 1e9]))
    width = np.log(band.high / band.low)
    assert np.all((band.low < band.loss) & (band.loss < band.high))
    assert width[1] > 2 * width[0]
    slope = found.slope("n", n=1e3)
    assert slope.low < slope.loss < slope.high
    assert slope.loss == laws.HESTNESS.slope(found.parameters, "n", n=1e3)
    again = fits.fit(laws.HESTNESS, noisy(laws.HESTNESS, truth, scales, 0.05, 4), **scales)
    np.testing.assert_array_equal(found.replicates, again.replicates)  # the seed decides


def test_statuses_say_what_is_wrong():
    n = np.geomspace(100, 1e4, 12)
    clean = 3 * n**-0.4
    noise = np.exp(0.03 * np.random.default_rng(0).normal(size=12))
    assert fits.fit(laws.POWER, clean * noise, n=n).statuses == (Status.CONVERGED,)
    found = fits.fit(laws.HESTNESS, clean * noise, n=n)
    assert Status.OFFSET_UNIDENTIFIED in found.statuses
    assert found["c"].low == 0
    assert Status.AT_BOUND in fits.fit(laws.POWER, clean * noise, n=n, bounds={"b": (0.5, 2.0)}).statuses
    short = fits.fit(laws.POWER, (clean * noise)[:5], n=n[:5])
    assert Status.SHORT_RANGE in short.statuses
    assert "factor of" in str(short)
    exact = fits.fit(laws.HESTNESS, (clean * noise)[:3], n=n[:3])
    assert Status.NO_FREEDOM in exact.statuses
    assert math.isinf(exact["b"].high) or exact["b"].high == pytest.approx(10)
    equal = fits.fit(laws.POWER, np.full(12, 0.3), n=n, throw=False)
    assert equal.status is Status.DEGENERATE
    assert "all losses are equal" in str(equal)
    few = fits.fit(laws.HESTNESS, [0.3, 0.2], n=[10, 100], throw=False)
    assert few.status is Status.TOO_FEW_POINTS
    assert math.isnan(few["a"].value)
    measured = fits.fit(laws.POWER, clean * noise, n=n, variance=(0.001 * clean) ** 2)
    assert Status.MISFIT in measured.statuses


def test_exchangeable_parameters_are_ill_conditioned():
    twice = Law(
        "twice",
        "a n^-b + c n^-(1.0001 b)",
        ("n",),
        (
            Parameter("a", 1e-9, 1e9, log=True, linear=True),
            Parameter("c", 1e-9, 1e9, log=True, linear=True),
            Parameter("b", 0.01, 5, log=True),
        ),
        lambda n, a, c, b: a * np.exp(-b * np.log(n)) + c * np.exp(-1.0001 * b * np.log(n)),
        "a test",
    )
    found = fits.fit(twice, 3 * N**-0.4 * np.exp(0.01 * np.sin(N)), n=N, bootstrap=0)
    assert Status.ILL_CONDITIONED in found.statuses or Status.AT_BOUND in found.statuses


def test_order_repeats_and_units_of_size_do_not_matter():
    truth, scales = PLANTED["hestness"]
    loss = noisy(laws.HESTNESS, truth, scales, 0.03, 1)
    one = fits.fit(laws.HESTNESS, loss, **scales, bootstrap=0)
    order = np.random.default_rng(0).permutation(len(N))
    shuffled = fits.fit(laws.HESTNESS, loss[order], n=N[order], bootstrap=0)
    twice = fits.fit(laws.HESTNESS, np.tile(loss, 2), n=np.tile(N, 2), bootstrap=0)
    thousands = fits.fit(laws.HESTNESS, 100 * loss, n=N / 1000, bootstrap=0)
    for other in (shuffled, twice, thousands):
        assert other["b"].value == pytest.approx(one["b"].value, rel=1e-5)
    assert thousands["c"].value == pytest.approx(100 * one["c"].value, rel=1e-4)
    assert twice.objective == pytest.approx(2 * one.objective)


def test_fixed_parameters_and_bounds_hold():
    truth, scales = PLANTED["hestness"]
    loss = noisy(laws.HESTNESS, truth, scales, 0.03, 1)
    found = fits.fit(laws.HESTNESS, loss, fixed={"c": 0.05}, bounds={"b": (0.1, 0.39)}, **scales)
    assert (found["c"].value, found["c"].level) == (0.05, 1.0)
    assert found["b"].high <= 0.39
    start = fits.fit(laws.HESTNESS, loss, starts=[[3, 0.4, 0.05]], bootstrap=0, **scales)
    assert start.objective == pytest.approx(fits.fit(laws.HESTNESS, loss, bootstrap=0, **scales).objective)


def test_a_law_whose_author_did_not_think_of_arrays_is_fitted_all_the_same():
    def scalar(n, a, b):
        if np.ndim(a) and np.size(a) > 1:
            raise TypeError("numbers only")
        return a * np.exp(-b * np.log(n))

    law = Law("scalar", "a n^-b", ("n",), laws.POWER.parameters, scalar, "a test")
    loss = 3 * N**-0.4 * (1 + 0.01 * np.sin(N))
    one, other = (fits.fit(which, loss, n=N, bootstrap=0) for which in (law, laws.POWER))
    assert one["b"].value == pytest.approx(other["b"].value, rel=1e-8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": [0.3, np.nan, 0.1, 0.1]}, "`loss`"),
        ({"loss": [0.3, -0.2, 0.1, 0.05]}, "positive"),
        ({"loss": [0.3, 0.0, 0.1, 0.05]}, "positive"),
        ({"loss": []}, "empty"),
        ({"loss": [0.3, 0.2, 0.1]}, "as long as"),
        ({"loss": ["a", "b", "c", "d"]}, "numeric"),
        ({"n": [1, 2, np.nan, 4]}, "`n`"),
        ({"n": [1, 2, 0, 4]}, "positive"),
        ({"objective": "squares"}, "objective"),
        ({"variance": [1, 1, 1, -1.0]}, "`variance`"),
        ({"variance": [1, 1.0]}, "as long as"),
        ({"objective": "weighted"}, "variance"),
        ({"objective": "log", "variance": 1.0}, "variance"),
        ({"bounds": {"q": (0, 1)}}, "bounds"),
        ({"bounds": {"b": (1, 0)}}, "low < high"),
        ({"bounds": {"b": (-1, 1)}}, "positive"),
        ({"fixed": {"a": 1.0, "b": 1.0}}, "nothing is left"),
        ({"fixed": {"z": 1.0}}, "fixed"),
        ({"level": 1.0}, "level"),
        ({"bootstrap": -1}, "bootstrap"),
        ({"resample": "dice"}, "resample"),
        ({"resample": "groups"}, "groups"),
        ({"groups": [1, 1, 2, 2]}, "three"),
        ({"starts": 0}, "starts"),
        ({"starts": [[1.0]]}, "columns"),
        ({"k": [1, 2, 3, 4]}, "needs the scales n"),
        ({"delta": 0.0, "objective": "huber"}, "delta"),
    ],
)
def test_bad_input_is_named(change, words, unchecked):
    arguments = {"loss": [0.4, 0.3, 0.2, 0.15], "n": [10, 20, 40, 80], **change}
    loss = arguments.pop("loss")
    with pytest.raises(ValueError, match=words):
        fits.fit(laws.POWER, loss, **arguments)


def test_a_law_may_be_named(unchecked):
    loss, n = [0.4, 0.3, 0.22, 0.17], [10, 20, 40, 80]
    assert fits.fit("power", loss, n=n).parameters == fits.fit(laws.POWER, loss, n=n).parameters
    with pytest.raises(ValueError, match="`name` must be a law, got 'powre'; did you mean power"):
        fits.fit("powre", loss, n=n)
    with pytest.raises(ValueError, match="`law` must be a law or the name of one, got int"):
        fits.fit(3, loss, n=n)


def test_hopeless_fits_raise_unless_told_not_to():
    with pytest.raises(FitError, match="for 2 parameters"):
        fits.fit(laws.POWER, [0.3], n=[10])
    with pytest.raises(FitError, match="all losses are equal"):
        fits.fit(laws.POWER, [0.3, 0.3, 0.3], n=[10, 20, 30])
    with pytest.raises(FitError, match="1 different scales"):
        fits.fit(laws.POWER, [0.3, 0.2, 0.1], n=[10, 10, 10])
    failed = fits.fit(laws.POWER, [0.3], n=[10], throw=False)
    with pytest.raises(ValueError, match="no parameters"):
        failed.predict(n=10)


def test_profile_refuses_what_it_cannot_do():
    truth, scales = PLANTED["hestness"]
    loss = noisy(laws.HESTNESS, truth, scales, 0.03, 1)
    found = fits.fit(laws.HESTNESS, loss, fixed={"c": 0.05}, bootstrap=0, **scales)
    with pytest.raises(ValueError, match="fixed"):
        fits.profile(found, "c")
    with pytest.raises(ValueError, match="must be one of"):
        fits.profile(found, "z")
    with pytest.raises(ValueError, match="Huber"):
        fits.profile(fits.fit(laws.HESTNESS, loss, objective="huber", bootstrap=0, **scales), "c")


def test_amplitudes_are_non_negative_least_squares(rng):
    basis, target = rng.random((20, 12, 3)), rng.normal(size=(20, 12))
    found = least_squares.amplitudes(basis, target, np.zeros(3, dtype=bool))
    for i in range(20):
        np.testing.assert_allclose(found[i], optimize.nnls(basis[i], target[i])[0], atol=1e-8)
    free = least_squares.amplitudes(basis, target, np.ones(3, dtype=bool))
    np.testing.assert_allclose(free[0], np.linalg.lstsq(basis[0], target[0])[0], atol=1e-8)


def test_minimise_solves_a_bounded_problem_as_scipy_does(rng):
    matrix, target = rng.normal(size=(9, 3)), rng.normal(size=9)

    def evaluate(at, rows):
        return at @ matrix.T - target, np.broadcast_to(matrix, (len(at), 9, 3)).copy()

    start = rng.normal(size=(5, 3))
    found = least_squares.minimise(evaluate, start, -0.1, 0.2)
    other = optimize.lsq_linear(matrix, target, (-0.1, 0.2))
    np.testing.assert_allclose(found.objective, other.cost, rtol=1e-9)
    assert found.converged.all()


def test_jacobian_in_search_coordinates_is_the_derivative():
    truth, scales = PLANTED["chinchilla"]
    law = laws.get("chinchilla")
    task = objectives.problem(law, law(truth, **scales) * 1.1, scales)
    at = task.coordinates(np.array([[truth[name] for name in law.names]], dtype=float))
    residual, jacobian = task.evaluator()(at, np.array([0]))
    for i in range(at.shape[1]):
        step = np.zeros_like(at)
        step[0, i] = 1e-6
        moved, back = (task.evaluator()(at + sign * step, np.array([0]))[0] for sign in (1, -1))
        np.testing.assert_allclose(jacobian[0, :, i], (moved - back)[0] / 2e-6, rtol=1e-4, atol=1e-7)
    assert residual.shape == (1, len(SIZE))


def test_measured_variances_scale_only_upwards():
    n = np.geomspace(10, 1e4, 10)
    loss = 3 * n**-0.4 * np.exp(0.01 * np.random.default_rng(0).normal(size=10))
    task = objectives.problem(laws.POWER, loss, {"n": n}, variance=(0.1 * loss) ** 2)
    assert intervals.scale_of(task, 0.05) == (1.0, math.inf)  # smaller residuals than measured: the measured ones count
    assert intervals.scale_of(task, 40.0) == (10.0, 8.0)


def test_a_curve_that_goes_down_up_and_down_again_is_fitted_by_two_breaks():
    """Eight nonlinear parameters: a small number of starts ends in one-break optima a hundred times worse."""
    law = laws.get("broken", breaks=2)
    x = np.arange(1.0, 65.0)
    truth = {"a": 0.2, "b": 0.6, "c0": 0.4, "c1": -1.0, "d1": 7.0, "f1": 0.15, "c2": 1.6, "d2": 14.0, "f2": 0.15}
    loss = noisy(law, truth, {"n": x}, 0.005, 2)
    found = fits.fit(law, loss, n=x, bootstrap=0, throw=False)
    assert found.objective < np.sum(np.log(law(truth, n=x) / loss) ** 2) / 2


def test_known_variances_give_normal_intervals():
    """Weighted linear regression with known errors: value -+ 1.645 standard errors."""
    n = np.geomspace(10, 1e4, 6)
    sigma = 0.02 * n**-0.2
    loss = 3 * n**-0.4 + sigma * np.array([0.5, -0.7, 0.3, 0.2, -0.6, 0.4])
    found = fits.fit(laws.HESTNESS, loss, variance=sigma**2, fixed={"b": 0.4, "c": 0.0}, n=n)
    error = 1 / math.sqrt(np.sum((n**-0.4 / sigma) ** 2))
    assert found["a"].high - found["a"].value == pytest.approx(1.6449 * error, rel=0.02)
    assert found["a"].value - found["a"].low == pytest.approx(1.6449 * error, rel=0.02)
