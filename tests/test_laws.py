import copy
import dataclasses
import math
import pickle
import subprocess
import sys

import mpmath as mp
import numpy as np
import oracles_laws
import pytest

from regimes import dynamics, equivalents, laws, spectra
from regimes.laws import Law, Parameter

INF = math.inf

# (law, the law as on paper, parameters, scales at which both are evaluated)
CASES = {
    "power": (laws.POWER, oracles_laws.power, [2.5, 0.37], [[1.0], [300.0], [1e12]]),
    "hestness": (laws.HESTNESS, oracles_laws.offset, [2.5, 0.37, 0.02], [[1.0], [300.0], [1e12]]),
    "hestness-regions": (
        laws.HESTNESS_REGIONS,
        oracles_laws.regions,
        [0.9, 40.0, 0.4, 3e6, 1.7],
        [[1.0], [40.0], [2000.0], [3e6], [1e12]],
    ),
    "model-growth": (laws.MODEL_GROWTH, oracles_laws.growth, [30.0, 0.6], [[1.0], [300.0], [1e12]]),
    "m1": (laws.M1, oracles_laws.power, [2.5, 0.37], [[300.0]]),
    "m2": (laws.M2, oracles_laws.offset, [2.5, 0.37, 0.02], [[300.0]]),
    "m3": (laws.M3, oracles_laws.m3, [2.5, 0.37, 1e-5], [[1.0], [300.0], [1e5], [1e12]]),
    "m4": (laws.M4, oracles_laws.m4, [0.8, 0.1, 3.0, 0.4, 0.6], [[1.0], [30.0], [1e4], [1e12]]),
    "m4, steep": (laws.M4, oracles_laws.m4, [0.8, 0.1, 30.0, 0.4, 4.0], [[1.0], [30.0], [1e4], [1e12]]),
    "broken": (laws.broken(), oracles_laws.broken, [0.02, 3.0, 0.2, 0.5, 300.0, 0.3], [[1.0], [300.0], [1e12]]),
    "broken-3": (
        laws.broken(3),
        oracles_laws.broken,
        [0.02, 3.0, 0.1, 0.4, 1e2, 0.3, -0.9, 1e4, 0.2, 0.8, 1e7, 0.5],
        [[1.0], [90.0], [3e4], [1e12]],
    ),
    "rosenfeld": (
        laws.ROSENFELD,
        oracles_laws.rosenfeld,
        [0.9, 0.6, 0.5, 2.0, 0.05, 1.3],
        [[1.0, 1.0], [300.0, 20.0], [1e12, 50.0], [40.0, 1e12]],
    ),
    "rosenfeld-language": (
        laws.ROSENFELD_LANGUAGE,
        oracles_laws.language,
        [3.0, 0.6, 2.0, 0.5, 0.05],
        [[1.0, 1.0], [300.0, 20.0]],
    ),
    "pruning": (
        laws.PRUNING,
        oracles_laws.pruning,
        [0.9, 0.7, 0.8, 0.8, 1.4],
        [[1.0, 8.0, 1.0, 0.06], [0.1, 20.0, 0.5, 0.08], [1e-4, 50.0, 0.25, 0.1]],
    ),
    "pruning-single": (
        laws.PRUNING_SINGLE,
        oracles_laws.pruning_single,
        [0.06, 0.9, 0.7, 0.02],
        [[1.0], [0.1], [1e-5]],
    ),
    "variance-limited": (laws.VARIANCE_LIMITED, oracles_laws.variance, [0.5, 0.1], [[300.0, 20.0], [10.0, 11.0]]),
    "resolution-limited": (
        laws.RESOLUTION_LIMITED,
        oracles_laws.resolution,
        [2.0, 0.4, 0.1],
        [[300.0, 20.0], [5.0, 11.0]],
    ),
    "four-regimes": (
        laws.FOUR_REGIMES,
        oracles_laws.four_regimes,
        [2.0, 0.5, 3.0, 0.8, 0.1],
        [[1.0, 1.0], [300.0, 20.0], [1e12, 20.0], [50.0, 1e12]],
    ),
    "kaplan": (laws.KAPLAN, oracles_laws.kaplan, [8.8e13, 5.4e13, 0.076, 0.095], [[1e3, 1e12], [1e8, 1e9]]),
    "chinchilla": (
        laws.CHINCHILLA,
        oracles_laws.chinchilla,
        [1.82, 482.0, 2085.0, 0.348, 0.366],
        [[1e8, 2e9], [1.0, 1e12]],
    ),
    "multiplicative": (
        laws.MULTIPLICATIVE,
        oracles_laws.multiplicative,
        [20.0, 0.1, 0.2, 0.7],
        [[1e8, 2e4], [1.0, 1e12]],
    ),
    "scale-time": (laws.scale_time(), oracles_laws.scale_time, [2.0, 0.3, 0.1], [[30.0, 5.0], [1e6, 1e5]]),
}
UNIFIED = [100.0, 2.0, 0.3, 0.7]
THEORY = {"alpha": 0.5, "beta": 0.8, "a": 2.0, "noise": 0.3}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request):
    return request.param


def exact(*values):
    return [mp.mpf(float(value)) for value in values]


def scales(law, place):
    return dict(zip(law.scales, place, strict=True))


def test_value_is_that_of_the_formula_on_paper(case):
    law, oracle, parameters, places = case
    for place in places:
        expected = float(oracle(*exact(*place, *parameters)))
        assert law(parameters, **scales(law, place)) == pytest.approx(expected, rel=3e-14, abs=0)


def test_jacobian_is_exact(case):
    law, oracle, parameters, places = case
    for place in places:
        found = law.jacobian(parameters, **scales(law, place))
        arguments = exact(*place, *parameters)
        expected = [float(oracles_laws.derivative(oracle, arguments, len(place) + i)) for i in range(len(parameters))]
        assert found == pytest.approx(expected, rel=1e-11, abs=1e-14 * max(map(abs, expected)))


def test_slope_is_exact(case):
    law, oracle, parameters, places = case
    for place in places:
        arguments = exact(*place, *parameters)
        for index, name in enumerate(law.scales):
            expected = -oracles_laws.derivative(oracle, arguments, index) * arguments[index] / oracle(*arguments)
            found = law.slope(parameters, name, **scales(law, place))
            assert found == pytest.approx(float(expected), rel=1e-11, abs=1e-15)


def test_inverse_returns_the_scale(case):
    law, _, parameters, places = case
    for place in places:
        given = scales(law, place)
        loss = law(parameters, **given)
        for name in law.solutions:
            others = {other: value for other, value in given.items() if other != name}
            sensitivity = abs(law.slope(parameters, name, **given))
            if sensitivity < 1e-6:  # on a plateau the loss does not know the scale
                continue
            found = law.inverse(parameters, loss, name, **others)
            if law.name == "variance-limited" and given[name] < max(others.values()):
                assert law(parameters, **{**given, name: found}) == pytest.approx(loss, rel=1e-12)
            elif law.name == "resolution-limited" and given[name] > max(others.values()):
                assert found == pytest.approx(max(others.values()), rel=1e-12)
            else:
                assert found == pytest.approx(given[name], rel=1e-13 + 4e-15 / sensitivity)


def test_closed_inverse_is_that_of_root_finding(case):
    law, _, parameters, places = case
    if law.name in ("model-growth", "variance-limited", "resolution-limited") or not law.solutions:
        return  # these do not fall, fall on one side of a peak only, or are flat from some point on
    searching = dataclasses.replace(law, solutions={})
    for name in law.solutions:
        given = scales(law, places[len(places) // 2])
        others = {other: value for other, value in given.items() if other != name}
        loss = law(parameters, **given)
        if law.slope(parameters, name, **given) > 1e-4:
            assert searching.inverse(parameters, loss, name, **others) == pytest.approx(given[name], rel=1e-9)


def test_linear_parameters_enter_through_the_basis(case):
    law, _, parameters, places = case
    linear = [i for i, parameter in enumerate(law.parameters) if parameter.linear]
    if not linear:
        assert law.basis is None
        return
    for place in places:
        rest = [value for i, value in enumerate(parameters) if i not in linear]
        terms = law.basis(*map(np.float64, place), *rest)
        assert len(terms) == len(linear)
        total = sum(parameters[i] * term for i, term in zip(linear, terms, strict=True))
        assert total == pytest.approx(law(parameters, **scales(law, place)), rel=1e-13)


# law, parameters, scale, its limit, the others -> the loss in closed form
LIMITS = [
    ("power", "n", 0, {}, INF),
    ("power", "n", INF, {}, 0.0),
    ("hestness", "n", 0, {}, INF),
    ("hestness", "n", INF, {}, 0.02),
    ("hestness-regions", "n", 0, {}, 0.9),
    ("hestness-regions", "n", INF, {}, 0.9 / (1 + (3e6 / 40) ** 0.4)),
    ("model-growth", "n", 0, {}, 0.0),
    ("model-growth", "n", INF, {}, INF),
    ("m3", "n", 0, {}, INF),
    ("m3", "n", INF, {}, 2.5 * 1e-5**0.37),
    ("m4", "n", 0, {}, 0.9),
    ("m4", "n", INF, {}, 0.1),
    ("m4, steep", "n", 0, {}, 0.9),
    ("m4, steep", "n", INF, {}, 0.1),
    ("broken", "n", 0, {}, INF),
    ("broken", "n", INF, {}, 0.02),
    ("rosenfeld", "n", 0, {"k": 20.0}, 0.9),
    ("rosenfeld", "k", 0, {"n": 20.0}, 0.9),
    ("rosenfeld", "n", INF, {"k": INF}, 0.9 * 0.05 / math.hypot(0.05, 1.3)),
    ("rosenfeld-language", "n", INF, {"k": 4.0}, 1.05),
    ("rosenfeld-language", "k", 0, {"n": 4.0}, INF),
    ("pruning", "density", 0, {"depth": 20.0, "width": 1.0, "dense": 0.05}, 0.9),
    ("pruning", "density", INF, {"depth": 20.0, "width": 1.0, "dense": 0.05}, 0.05),
    ("pruning-single", "density", 0, {}, 0.9),
    ("pruning-single", "density", INF, {}, 0.06),
    ("variance-limited", "n", INF, {"k": 20.0}, 0.1),
    ("variance-limited", "n", 0, {"k": 20.0}, 0.1),
    ("resolution-limited", "n", INF, {"k": 16.0}, 2 * 16**-0.4 + 0.1),
    ("four-regimes", "n", INF, {"k": 16.0}, 3 * 16**-0.8 + 0.1),
    ("four-regimes", "k", INF, {"n": 16.0}, 2 * 16**-0.5 + 0.1),
    ("four-regimes", "k", INF, {"n": INF}, 0.1),
    ("four-regimes", "n", 0, {"k": 16.0}, INF),
    ("kaplan", "size", INF, {"n": 1e9}, 5.4e4**0.095),
    ("kaplan", "n", INF, {"size": 1e9}, 8.8e4**0.076),
    ("chinchilla", "n", INF, {"size": INF}, 1.82),
    ("multiplicative", "n", INF, {"size": 1e6}, 0.7),
    ("scale-time", "k", INF, {"time": 1.0}, 0.1),
    ("scale-time", "time", 0, {"k": 1.0}, INF),
]


@pytest.mark.parametrize(("name", "along", "to", "others", "expected"), LIMITS)
def test_limit_of_a_scale(name, along, to, others, expected):
    law, _, parameters, _ = CASES[name]
    assert law.limit(parameters, along, to)(**others) == pytest.approx(expected, rel=1e-13)


def everyone():
    return [laws.get(name) for name in laws.names()] + [laws.broken(3), laws.theory(units=True, ridge=True)]


def draw(law, rng):
    """Parameters anywhere in their bounds."""
    rows = [
        np.exp(rng.uniform(np.log(parameter.low), np.log(parameter.high)))
        if parameter.log
        else rng.uniform(parameter.low, parameter.high)
        for parameter in law.parameters
    ]
    return [float(row) for row in rows]


@pytest.mark.parametrize("law", everyone(), ids=lambda law: law.name)
def test_no_parameters_within_bounds_give_nan(law):
    rng = np.random.default_rng(5)
    for _ in range(20):
        parameters = draw(law, rng)
        places = {name: 10 ** rng.uniform(0, 12, 12) for name in law.scales}
        loss, jacobian = law(parameters, **places), law.jacobian(parameters, **places)
        assert not np.isnan(loss).any()
        assert (loss >= 0).all()
        assert np.isfinite(jacobian[np.isfinite(loss) & (loss < 1e150)]).all()


@pytest.mark.parametrize("law", everyone(), ids=lambda law: law.name)
def test_law_is_described(law):
    assert law.formula
    assert law.source
    assert all(parameter.meaning for parameter in law.parameters)
    assert str(law).startswith(law.name)


def test_scales_and_parameters_broadcast():
    parameters = [np.array([[1.0], [2.0]]), 0.5, 0.1]
    found = laws.HESTNESS(parameters, n=np.array([1.0, 4.0, 16.0]))
    assert found == pytest.approx(np.array([[1.1, 0.6, 0.35], [2.1, 1.1, 0.6]]))
    assert laws.HESTNESS({"c": 0.1, "b": 0.5, "a": 2.0}, n=4) == pytest.approx(1.1)
    assert laws.HESTNESS.jacobian([1.0, 0.5, 0.1], n=[1.0, 4.0]).shape == (2, 3)
    assert laws.HESTNESS.inverse([1.0, 0.5, 0.1], [0.2, 0.6], "n") == pytest.approx([100.0, 4.0])


def test_a_new_law_is_a_function_and_its_parameters():
    def decay(n, a, rate):
        return a * np.exp(-rate * n)

    law = Law(
        "decay",
        "a exp(-rate n)",
        ("n",),
        (Parameter("a", 1e-9, 1e9, log=True, linear=True), Parameter("rate", 1e-9, 10.0, log=True)),
        decay,
        "textbook",
    )
    loss = law([2.0, 0.1], n=[5.0, 50.0])
    assert law.jacobian([2.0, 0.1], n=[5.0, 50.0]) == pytest.approx(np.stack([loss / 2, -loss * [5.0, 50.0]], axis=-1))
    assert law.slope([2.0, 0.1], "n", n=5.0) == pytest.approx(0.5)
    assert law.inverse([2.0, 0.1], 0.5, "n") == pytest.approx(np.log(4) / 0.1)
    assert law.limit([2.0, 0.1], "n", INF)() == 0
    assert law.basis(5.0, 0.1) == pytest.approx([np.exp(-0.5)])


def test_helpers_pass_complex_numbers():
    step = 1e-30j
    assert np.imag(laws.magnitude(-3.0 + step)) == -1e-30
    assert np.imag(laws.smaller(2.0 + step, 3.0)) == 1e-30
    assert laws.log_sum(-2000.0, -2001.0) == pytest.approx(-2000 + math.log1p(math.exp(-1)))
    assert np.imag(laws.log_sum(1.0 + step, 2.0)) == pytest.approx(1e-30 / (1 + math.e))
    assert np.imag(laws.larger(2.0 + step, 2.0)) == 0
    with np.errstate(over="ignore"):
        assert laws.powers(np.array([0.0, 4.0, INF]), -0.5) == pytest.approx([INF, 0.5, 0.0])
    assert laws.logarithm(np.array([1.0]))[0] == 0


def test_unreachable_targets_are_nan_with_a_reason():
    law, parameters = laws.HESTNESS, [2.0, 0.5, 0.1]
    assert np.isnan(law.inverse(parameters, 0.1, "n"))
    assert (
        law.unreachable(parameters, 0.1, "n") == "the loss tends to 0.1 as n grows, which is not below the target 0.1."
    )
    assert law.unreachable(parameters, 0.2, "n") == ""
    reason = laws.HESTNESS_REGIONS.unreachable([0.9, 40.0, 0.4, 3e6, 1.7], 0.95, "n")
    assert reason == "the loss is 0.9 already as n goes to 0, not above the target 0.95."
    assert np.isnan(laws.POWER.inverse([1.0, 1e-3], 1e-30, "n"))  # 10^30000
    assert "between 1e-06 and 1e+24" in laws.POWER.unreachable([1.0, 1e-3], 1e-30, "n")
    without = dataclasses.replace(laws.HESTNESS_REGIONS, solutions={})
    assert np.isnan(without.inverse([0.9, 40.0, 0.4, 3e6, 1.7], [0.95, 1e-9], "n")).all()
    searching = dataclasses.replace(laws.POWER, solutions={})
    assert "between 1e-06 and 1e+24" in searching.unreachable([1.0, 0.01], 1e-9, "n")


# ---- what each law claims of itself


def test_rosenfeld_has_one_parameter_fewer_than_it_is_written_with():
    _, oracle, (guess, alpha, beta, b, c, eta), _ = CASES["rosenfeld"]
    for factor in (1.0, 7.0, 0.01):
        written = oracle(*exact(300, 20, guess, alpha, beta, b * factor, c * factor, eta * factor), a=mp.mpf(factor))
        found = laws.ROSENFELD([guess, alpha, beta, b, c, eta], n=300, k=20)
        assert found == pytest.approx(float(written), rel=1e-14)


def test_regions_have_their_change_points_where_they_say():
    guess, start, b, end = 0.9, 40.0, 0.4, 3e9
    parameters = [guess, start, b, end, 1.7]
    floor = laws.HESTNESS_REGIONS.limit(parameters, "n", INF)()
    n = np.array([1e5, 1e6, 1e7])
    reducible = laws.HESTNESS_REGIONS(parameters, n=n) - floor
    # The line through the middle region meets the guess level at `start` and the floor at `end`.
    slope, height = np.polyfit(np.log(n), np.log(reducible), 1)
    assert slope == pytest.approx(-b, abs=1e-5)
    assert math.exp((math.log(guess - floor) - height) / slope) == pytest.approx(start, rel=1e-3)
    assert math.exp((math.log(floor) - height) / slope) == pytest.approx(end, rel=1e-3)
    local = laws.HESTNESS_REGIONS.slope(parameters, "n", n=np.array([0.1, 1e5, 1e15]))
    assert local == pytest.approx([0.0, b, 0.0], abs=0.02)


def test_m4_solves_its_equation():
    rng = np.random.default_rng(2)
    for _ in range(200):
        gap, c, a, b, alpha = draw(laws.M4, rng)
        c = gap * rng.uniform(0, 2)
        n = 10 ** rng.uniform(0, 9)
        loss = laws.M4([gap, c, a, b, alpha], n=n)
        above, below = loss - c, c + gap - loss
        if min(above, below) < 1e-9 * (c + gap):  # a difference of equal numbers
            continue
        assert math.log(above) - alpha * math.log(below) == pytest.approx(
            math.log(a) - b * math.log(n), rel=1e-6, abs=1e-5
        )


def test_broken_law_has_its_exponents_between_the_breaks():
    c0, c1, d1, c2 = 0.2, 0.5, 1e3, -1.1
    parameters = [0.0, 3.0, c0, c1, d1, 0.2, c2, 1e8, 0.2]
    law = laws.broken(2)
    local = law.slope(parameters, "n", n=np.array([1e0, 3e5, 1e11]))
    assert local == pytest.approx([c0, c0 + c1, c0 + c1 + c2], abs=1e-5)
    assert local[2] < 0  # it rises
    assert laws.broken(0).names == ("a", "b", "c0")
    assert law.slope(parameters, "n", n=d1) == pytest.approx(c0 + c1 / 2, abs=1e-9)


def test_four_regimes_are_the_corners_of_their_surface():
    _, alpha, _, beta, c = parameters = [2.0, 0.5, 3.0, 0.8, 0.1]
    law = laws.FOUR_REGIMES

    def falls(values):
        return -np.diff(np.log(values)) / math.log(10)

    many = np.array([1e5, 1e6, 1e7])
    assert falls(law(parameters, n=many, k=INF) - c) == pytest.approx([alpha, alpha])
    assert falls(law(parameters, n=INF, k=many) - c) == pytest.approx([beta, beta])
    assert falls(law(parameters, n=many * 1e3, k=10) - law(parameters, n=INF, k=10)) == pytest.approx([1, 1], abs=1e-3)
    assert falls(law(parameters, n=10, k=many * 1e2) - law(parameters, n=10, k=INF)) == pytest.approx([1, 1], abs=1e-3)


def test_four_regimes_with_equal_exponents_are_the_law_of_kaplan():
    size_c, n_c, alpha = 300.0, 50.0, 0.4
    kaplan = laws.KAPLAN([size_c, n_c, alpha, alpha], size=[3.0, 90.0], n=[20.0, 4.0])
    surface = laws.FOUR_REGIMES([n_c**alpha, alpha, size_c**alpha, alpha, 0.0], n=[20.0, 4.0], k=[3.0, 90.0])
    assert surface == pytest.approx(kaplan, rel=1e-13)


def test_pruned_networks_with_the_same_invariant_have_the_same_loss():
    parameters = CASES["pruning"][2]
    _, _, _, phi, psi = parameters
    one = laws.PRUNING(parameters, density=0.1, depth=20.0, width=1.0, dense=0.06)
    other = laws.PRUNING(parameters, density=0.1 / 2**phi / 3**psi, depth=40.0, width=3.0, dense=0.06)
    assert one == pytest.approx(other, rel=1e-14)
    pruned, gamma, p, _, _ = parameters
    single = laws.PRUNING_SINGLE([0.06, pruned, gamma, p], density=0.1 * 20**phi)
    assert one == pytest.approx(single, rel=1e-14)


def test_pruning_has_two_plateaus_and_a_slope_between():
    dense, pruned, gamma, p = parameters = [1e-4, 1.0, 0.7, 1e-3]
    end = p * (pruned / dense) ** (1 / gamma)
    middle = math.sqrt(p * end)
    local = laws.PRUNING_SINGLE.slope(parameters, "density", density=np.array([p / 1e3, middle, end * 1e3]))
    assert local == pytest.approx([0, gamma, 0], abs=1e-3)


def test_variance_limited_law_is_the_excess_of_the_theory():
    spectrum = spectra.power_law(0.5, 0.9)
    held = equivalents.unlearnt_power(spectrum, equivalents.solve(spectrum, 50).gamma) + 0.2
    n = np.array([60.0, 100.0, 1e3, 1e5, INF])
    law = laws.VARIANCE_LIMITED([held, held], n=n, k=50.0)
    assert law == pytest.approx(equivalents.loss(spectrum, n, 50.0, noise=0.2), rel=1e-11)
    assert laws.VARIANCE_LIMITED([held, held], n=50.0, k=50.0) == INF


def test_scale_time_law_knows_the_product_only():
    law = laws.scale_time(laws.HESTNESS_REGIONS)
    parameters = CASES["hestness-regions"][2]
    one, other = law(parameters, k=10.0, time=300.0), law(parameters, k=1000.0, time=3.0)
    assert one == other == laws.HESTNESS_REGIONS(parameters, n=3000.0)
    assert law.inverse(parameters, one, "time", k=1000.0) == pytest.approx(3.0)
    assert law.offset is None
    with pytest.raises(ValueError, match="`of` must be a law of one scale"):
        laws.scale_time(laws.CHINCHILLA)


# ---- the unified law


def test_unified_law_is_gradient_flow_on_a_white_spectrum():
    rng = np.random.default_rng(1)
    for _ in range(40):
        modes, n, k = 10 ** rng.uniform(0.5, 3.5, 3)
        tau, power, noise = 10 ** rng.uniform(-2, 4), rng.uniform(0.5, 3), rng.choice([0.0, 0.3, 2.0])
        n = rng.choice([n, n, n, INF])
        tau = rng.choice([tau, tau, tau, INF])
        expected = dynamics.gradient_flow(spectra.white(modes, power), tau, n, k, noise=noise)
        found = laws.UNIFIED([modes, power, noise, 1.7], n=n, k=k, time=tau / 1.7 / k)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("ratio", [0.3, 0.98, 1.7])
@pytest.mark.parametrize("time", [0.1, 3.0, 200.0])
def test_unified_law_of_wide_models_is_an_integral_over_marchenko_pastur(ratio, time):
    expected = oracles_laws.marchenko_pastur_flow(ratio, time, 2.0, 0.3)
    found = laws.UNIFIED([100.0, 2.0, 0.3, 1e-14], n=100 / ratio, k=1e14, time=time)
    assert found == pytest.approx(expected, rel=1e-9)


def test_unified_gradient_and_slope():
    rng = np.random.default_rng(3)
    for _ in range(12):
        modes, n, k = 10 ** rng.uniform(0.7, 3, 3)
        point = [n, k, 10 ** rng.uniform(-4, 0), modes, 2.0, 0.3, 0.7]

        def loss(values):
            return laws.UNIFIED(values[3:], n=values[0], k=values[1], time=values[2])

        places = dict(zip(laws.UNIFIED.scales, point, strict=False))
        size = loss(point)
        expected = np.array([oracles_laws.slow_derivative(loss, point, i) * point[i] for i in range(7)])
        found = laws.UNIFIED.jacobian(point[3:], **places) * point[3:]
        assert found == pytest.approx(expected[3:], rel=1e-7, abs=1e-8 * size)
        slopes = [laws.UNIFIED.slope(point[3:], name, **places) for name in laws.UNIFIED.scales]
        assert slopes == pytest.approx(-expected[:3] / size, rel=1e-7, abs=1e-8)


def test_unified_law_has_double_descent_along_each_scale():
    def has_peak(values):
        inner = np.diff(np.sign(np.diff(values)))
        return (inner < 0).any() and values[-1] < values.max() / 1.2

    grid = np.logspace(0.5, 4, 60)
    noisy = [100.0, 1.0, 0.5, 1.0]
    along_n = laws.UNIFIED(noisy, n=grid, k=1e4, time=INF)
    assert has_peak(along_n)
    assert grid[np.argmax(along_n)] == pytest.approx(100, rel=0.1)
    along_k = laws.UNIFIED(noisy, n=60.0, k=grid, time=INF)
    assert has_peak(along_k)
    assert grid[np.argmax(along_k)] == pytest.approx(60, rel=0.1)
    early = laws.UNIFIED(noisy, n=100.0, k=1e4, time=np.logspace(-6, 3, 60))
    assert early[-1] > 2 * early.min()  # the noise is learnt late
    assert early.argmin() > 0


def test_unified_law_has_scale_time_equivalence_until_the_width_is_felt():
    k = np.array([1e3, 1e4, 1e5, 1e6])
    loss = laws.UNIFIED(UNIFIED, n=300.0, k=k, time=3.0 / k)
    limit = laws.UNIFIED([*UNIFIED[:3], UNIFIED[3] * 1e-12], n=300.0, k=1e12, time=3.0)
    error = np.abs(loss / limit - 1)
    assert error[-1] < 1e-4
    assert -np.diff(np.log10(error)) == pytest.approx([1, 1, 1], abs=0.1)  # it breaks as 1/k


def test_unified_limits():
    assert laws.UNIFIED.limit(UNIFIED, "time", 0)(n=50.0, k=70.0) == pytest.approx(2.3)
    assert laws.UNIFIED.limit(UNIFIED, "n", 0)(k=50.0, time=70.0) == pytest.approx(2.3)
    assert laws.UNIFIED.limit(UNIFIED, "k", 0)(n=50.0, time=70.0) == pytest.approx(2.3)
    # k = infinity at a given time is infinite speed: ridgeless regression.
    expected = equivalents.loss(spectra.white(100, 2.0), 50.0, noise=0.3)
    assert laws.UNIFIED.limit(UNIFIED, "k", INF)(n=50.0, time=1.0) == pytest.approx(expected)
    expected = equivalents.loss(spectra.white(100, 2.0), 50.0, 70.0, noise=0.3)
    assert laws.UNIFIED.limit(UNIFIED, "time", INF)(n=50.0, k=70.0) == pytest.approx(expected)


def test_unified_inverse_is_the_first_crossing():
    time = laws.UNIFIED.inverse(UNIFIED, 1.6, "time", n=300.0, k=50.0)
    assert laws.UNIFIED(UNIFIED, n=300.0, k=50.0, time=time) == pytest.approx(1.6)
    assert (laws.UNIFIED(UNIFIED, n=300.0, k=50.0, time=time * np.linspace(0.01, 0.99, 20)) > 1.6).all()


# ---- theory as a law


def test_theory_is_the_loss_of_the_deterministic_equivalent():
    rng = np.random.default_rng(4)
    law = laws.theory(ridge=True)
    for _ in range(60):
        alpha, beta = 10 ** rng.uniform(-1.2, 0.6), 10 ** rng.uniform(-1, 0.8)
        n, k = 10 ** rng.uniform(-1, 8, 2)
        n, k = [(n, k), (n, k), (n, k), (INF, k), (n, INF), (n, n)][rng.integers(6)]
        ridge, noise = rng.choice([1e-12, 1e-3, 1.0, 100.0]), rng.choice([0.0, 0.3])
        spectrum = spectra.power_law(alpha, beta, modes=1e16)
        expected = equivalents.loss(spectrum, n, k, ridge, noise)
        assert law([alpha, beta, 1.0, noise, ridge], n=n, k=k) == pytest.approx(expected, rel=5e-11, abs=0)
        if n != k:
            without = equivalents.loss(spectrum, n, k, 0.0, noise)
            assert laws.theory()([alpha, beta, 1.0, noise], n=n, k=k) == pytest.approx(without, rel=5e-11, abs=0)


def test_theory_keeps_its_digits_where_nearly_all_is_learnt():
    alpha, beta, n, k, ridge = 1.4892887238022123, 1.8921051363370884, 322745.6629295048, 1766179.995595544, 1e-12
    # Bisection and sums in forty digits, over the same ranks.
    expected = 9.720632118884319e-11
    assert laws.theory(ridge=True)([alpha, beta, 1.0, 0.0, ridge], n=n, k=k) == pytest.approx(
        expected, rel=1e-13, abs=0
    )


def test_theory_gradient_counts_the_modes_beyond_the_grid():
    law, point = laws.theory(), [0.1, 0.03, 1.0, 0.0]

    def loss(values):
        return law(values, n=40.0, k=70.0)

    expected = [oracles_laws.slow_derivative(loss, point, i) for i in range(3)]
    assert law.jacobian(point, n=40.0, k=70.0)[:3] == pytest.approx(expected, rel=1e-8)


def test_theory_scales_amplitude_noise_and_units():
    plain = laws.theory()
    expected = 3 * plain({**THEORY, "a": 1.0, "noise": 0.1}, n=40.0, k=70.0)
    assert plain({**THEORY, "a": 3.0, "noise": 0.3}, n=40.0, k=70.0) == pytest.approx(expected)
    units = laws.theory(units=True)
    found = units({**THEORY, "unit_n": 10.0, "unit_k": 0.5}, n=400.0, k=35.0)
    assert found == pytest.approx(plain(THEORY, n=40.0, k=70.0), rel=1e-14)
    assert laws.theory("n")(THEORY, n=40.0) == plain(THEORY, n=40.0, k=INF)
    assert laws.theory("k")(THEORY, k=40.0) == plain(THEORY, n=INF, k=40.0)


def test_theory_gradient_and_slope():
    law = laws.theory(ridge=True, units=True)
    rng = np.random.default_rng(6)
    for _ in range(10):
        point = [10 ** rng.uniform(0.5, 4), 10 ** rng.uniform(0.5, 4), rng.uniform(0.1, 2), rng.uniform(0.1, 4), 2.0]
        point += [0.3, 1.3, 0.8, 10 ** rng.uniform(-4, 1)]

        def loss(values):
            return law(values[2:], n=values[0], k=values[1])

        expected = np.array([oracles_laws.slow_derivative(loss, point, i) * point[i] for i in range(len(point))])
        places = {"n": point[0], "k": point[1]}
        found = law.jacobian(point[2:], **places) * point[2:]
        assert found == pytest.approx(expected[2:], rel=1e-7, abs=1e-8 * loss(point))
        slopes = [law.slope(point[2:], name, **places) for name in law.scales]
        assert slopes == pytest.approx(-expected[:2] / loss(point), rel=1e-7, abs=1e-8)


def test_theory_slopes_are_the_derivatives_of_the_equivalents():
    law, spectrum = laws.theory(ridge=True), spectra.power_law(0.5, 0.8, modes=1e16)
    n, k = np.array([40.0, 90.0, 70.0]), np.array([70.0, 30.0, 70.0])
    parameters = [0.5, 0.8, 1.0, 0.2, 1e-2]
    expected = equivalents.derivatives(spectrum, n, k, 1e-2, 0.2)
    loss = law(parameters, n=n, k=k)
    assert law.slope(parameters, "n", n=n, k=k) * loss == pytest.approx(-expected.n, rel=1e-10)
    assert law.slope(parameters, "k", n=n, k=k) * loss == pytest.approx(-expected.k, rel=1e-10)
    assert law.jacobian(parameters, n=n, k=k)[:, 4] * 1e-2 == pytest.approx(expected.ridge, rel=1e-10)


def test_theory_without_ridge_peaks_as_one_over_the_distance():
    law = laws.theory()
    distance = np.array([1e-1, 1e-3, 1e-5])
    above = law(THEORY, n=50.0 + distance, k=50.0) * distance
    assert np.diff(above) == pytest.approx([0, 0], abs=0.02 * above[0])
    assert law(THEORY, n=50.0, k=50.0) == INF
    limit = law(THEORY, n=INF, k=50.0)
    n = np.array([60.0, 500.0, 1e6])
    assert law(THEORY, n=n, k=50.0) == pytest.approx(limit / (1 - 50 / n), rel=1e-12)


def test_theory_is_linear_in_amplitude_and_noise():
    law = laws.theory()
    power, noise = law.basis(np.float64(40.0), np.float64(70.0), 0.5, 0.8)
    assert 2 * power + 0.3 * noise == pytest.approx(law(THEORY, n=40.0, k=70.0), rel=1e-14)


def test_theory_limits_and_ends():
    law = laws.theory()
    total = 2.0 * float(mp.zeta(1.8)) + 0.3
    assert law.limit(THEORY, "n", 0)(k=50.0) == pytest.approx(total, rel=1e-12)
    assert law.limit(THEORY, "k", 0)(n=50.0) == pytest.approx(total, rel=1e-12)
    assert law(THEORY, n=INF, k=INF) == 0.3
    assert law(THEORY, n=1e16, k=50.0) == law(THEORY, n=1e20, k=50.0)
    n = law.inverse(THEORY, 0.5, "n", k=1e4)
    assert law(THEORY, n=n, k=1e4) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="`scales` must be"):
        laws.theory("m")


def test_theory_takes_arrays_of_parameters_and_long_tables():
    law = laws.theory()
    alpha = np.array([[0.3], [0.6]])
    found = law([alpha, 0.8, 2.0, 0.3], n=np.array([10.0, 20.0, 40.0]), k=70.0)
    assert found.shape == (2, 3)
    assert found[1, 2] == pytest.approx(law([0.6, 0.8, 2.0, 0.3], n=40.0, k=70.0), rel=1e-14)
    many = law(THEORY, n=np.linspace(10, 60, 4000), k=70.0)  # more than one block
    assert many[-1] == pytest.approx(law(THEORY, n=60.0, k=70.0), rel=1e-14)


# ---- names


def test_every_name_gives_a_law_and_names_do_not_repeat():
    assert len(set(laws.names())) == len(laws.names()) >= 24
    for name in laws.names():
        assert isinstance(laws.get(name), Law)


def test_names_are_forgiving_and_options_pass():
    assert laws.get("Hestness_Regions") is laws.HESTNESS_REGIONS
    assert laws.get(" four regimes") is laws.FOUR_REGIMES
    assert laws.get("broken", breaks=2).names == laws.broken(2).names
    assert laws.get("power", along="k").scales == ("k",)
    assert laws.get("chinchilla", along=("params", "tokens"))([1.0, 2, 3, 0.5, 0.5], params=4, tokens=9) == 3.0
    assert laws.get("theory", scales="n", units=True).names[-1] == "unit_n"


def test_renamed_law_keeps_its_inverse_and_limits():
    law = laws.HESTNESS.rename("tokens")
    assert law.inverse([2.0, 0.5, 0.1], 0.3, "tokens") == pytest.approx(100)
    assert law.limit([2.0, 0.5, 0.1], "tokens", INF)() == 0.1
    with pytest.raises(ValueError, match="has 1 scales"):
        laws.HESTNESS.rename(("n", "k"))


def _halves(n, a):
    return a * laws.powers(n, -0.5)


HALVES = Law("halves", "a n^-1/2", ("n",), (Parameter("a", 1e-9, 1e9, linear=True),), lambda n, a: _halves(n, a), "")
PICKLED = {
    **{name: laws.get(name) for name in laws.names()},
    "renamed": laws.CHINCHILLA.rename(["k", "n"]),
    "made": laws.theory("n", units=True, peak=True),
    "made and renamed": laws.broken(2).rename("k"),
    "made of another": laws.scale_time(laws.broken(2)),
    "of one's own": HALVES,
    "changed": dataclasses.replace(laws.HESTNESS.rename("k"), name="mine", function=laws.HESTNESS.function),
    "of fields": Law("fields", "a n^-1/2", ("n",), (Parameter("a", 1e-9, 1e9, linear=True),), _halves, ""),
}


@pytest.mark.parametrize("name", PICKLED)
def test_a_pickled_law_is_the_same_law(name):
    law = PICKLED[name]
    values = [math.sqrt(one.low * one.high) if one.log else (one.low + one.high) / 2 for one in law.parameters]
    scales = {scale: np.geomspace(3.0, 300.0, 7) for scale in law.scales}
    again = pickle.loads(pickle.dumps(law))
    assert str(again) == str(law)
    assert again.parameters == law.parameters
    np.testing.assert_array_equal(again(values, **scales), law(values, **scales))
    np.testing.assert_array_equal(again.jacobian(values, **scales), law.jacobian(values, **scales))
    assert (again.basis is None) == (law.basis is None)


def test_a_copied_law_is_of_its_kind_and_of_the_arguments_it_was_made_with():
    class Own(Law):
        pass

    own = Own("own", "a n^-1/2", ("n",), (Parameter("a", 1e-9, 1e9, linear=True),), _halves, "")
    assert type(copy.deepcopy(own)) is Own
    scales = ["n"]
    law = laws.theory(scales)
    scales[0] = "k"
    assert copy.deepcopy(law).scales == ("n",)


def test_a_pickled_law_is_found_by_another_process():
    content = pickle.dumps([laws.CHINCHILLA, laws.broken(2).rename("k")])
    code = (
        "import pickle, sys; first, other = pickle.load(sys.stdin.buffer); from regimes import laws; "
        "assert first is laws.CHINCHILLA; print(other)"
    )
    done = subprocess.run([sys.executable, "-c", code], input=content, capture_output=True, check=True)
    assert done.stdout.decode().strip() == str(laws.broken(2).rename("k"))


def test_stated_limits_win_and_a_changed_function_gets_its_own_basis():
    law = dataclasses.replace(laws.HESTNESS, limits={("n", INF): lambda a, b, c: c + 7.0})
    assert law.limit([2.0, 0.5, 0.1], "n", INF)() == pytest.approx(7.1)
    assert law.rename("k").limit([2.0, 0.5, 0.1], "k", INF)() == pytest.approx(7.1)
    doubled = dataclasses.replace(laws.POWER, function=lambda n, a, b: 2 * a * n**-b)
    assert doubled.basis(4.0, 0.5) == (1.0,)


def test_registered_law_is_found(monkeypatch):
    monkeypatch.setattr(laws, "_KNOWN", dict(laws._KNOWN))
    own = dataclasses.replace(laws.POWER, name="my law")
    assert laws.register(own) is own
    assert laws.get("my-law") is own
    with pytest.raises(ValueError, match="which is taken"):
        laws.register(own)


BAD = [
    (lambda: laws.get("hestnes"), "did you mean hestness"),
    (lambda: laws.get("zzzzzz"), "known: power"),
    (lambda: laws.get("broken", brakes=2), "has the options breaks, got brakes"),
    (lambda: laws.get("power", breaks=2), "has no options"),
    (lambda: laws.broken(-1), "`breaks`"),
    (lambda: laws.broken(1.5), "`breaks`"),
    (lambda: laws.POWER([1.0, 0.5]), "n missing"),
    (lambda: laws.POWER([1.0, 0.5], n=1, k=2), "k unknown"),
    (lambda: laws.POWER([1.0], n=1), "power has 2 parameters"),
    (lambda: laws.POWER(1.0, n=1), "power has 2 parameters"),
    (lambda: laws.POWER({"a": 1.0, "c": 2.0}, n=1), "b missing and c unknown"),
    (lambda: laws.POWER([1.0, math.nan], n=1), "`b` must be a number"),
    (lambda: laws.POWER([1.0, "x"], n=1), "`b` must be a number"),
    (lambda: laws.POWER([1.0, 1j], n=1), "`b` must be a number"),
    (lambda: laws.POWER([1.0, None], n=1), "`b` must be a number"),
    (lambda: laws.POWER([1.0, 0.5], n=[1, math.nan]), "`n` must not be negative or NaN"),
    (lambda: laws.POWER([1.0, 0.5], n=-1), "`n` must not be negative or NaN"),
    (lambda: laws.POWER([1.0, 0.5], n="many"), "`n` must be numeric"),
    (lambda: laws.POWER([1.0, 0.5], n=1j), "`n` holds complex numbers"),
    (lambda: laws.KAPLAN([1.0, 1, 1, 1], size=[1, 2, 3], n=[1, 2]), "do not broadcast"),
    (lambda: laws.POWER.slope([1.0, 0.5], "k", n=1), "`along` must be one of n"),
    (lambda: laws.POWER.limit([1.0, 0.5], "n", 1), "`to` must be 0 or infinity"),
    (lambda: laws.POWER.limit([1.0, 0.5], "n", 0)(n=3), "pass the other scales only"),
    (lambda: laws.POWER.inverse([1.0, 0.5], 0.0, "n"), "`target` must be positive"),
    (lambda: laws.POWER.inverse([1.0, 0.5], math.nan, "n"), "`target` holds 1 NaN"),
    (lambda: laws.POWER.inverse([1.0, 0.5], [], "n"), "`target` is empty"),
    (lambda: laws.POWER.inverse([1.0, 0.5], 0.1, "n", n=3), "pass the other scales only"),
    (lambda: dataclasses.replace(laws.POWER, scales=("n", "n")), "names that differ"),
    (lambda: dataclasses.replace(laws.POWER, parameters=()), "names that differ"),
    (lambda: dataclasses.replace(laws.POWER, offset="c"), "`offset` must be one of a, b"),
    (
        lambda: dataclasses.replace(
            laws.POWER, parameters=(Parameter("a", 0.0, 1.0, log=True), laws.POWER.parameters[1])
        ),
        "`a` must have low < high, both positive",
    ),
]


@pytest.mark.parametrize(("call", "words"), BAD, ids=[words for _, words in BAD])
def test_bad_input_is_a_sentence(call, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        call()
