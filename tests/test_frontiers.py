import math

import numpy as np
import pytest
from oracles_powerlaw import fine, flow, sgd
from scipy import optimize

from regimes import equivalents, frontiers, spectra

INF = math.inf


def law(alpha, beta):
    return spectra.power_law(alpha, beta, modes=10**14)


def slope(at, values):
    return math.log(values[1] / values[0]) / math.log(at[1] / at[0])


FLOWS = [(0.5, 0.5, "I"), (1.0, 1.2, "I"), (0.5, 2.2, "II"), (0.5, 4.0, "II"), (1.0, 3.5, "II")]


@pytest.mark.parametrize(("alpha", "beta", "phase"), FLOWS)
def test_compute_frontier_of_gradient_flow(alpha, beta, phase):
    frontier = frontiers.compute_phase(alpha, beta)
    assert frontier.phase == phase
    modes, compute, best = fine(alpha, beta, 1e14), np.array([1e14, 1e16]), []
    for budget in compute:
        start = frontier.width * math.log(budget)

        def loss(log_width, budget=budget):
            width = math.exp(log_width)
            return math.log(sum(flow(modes, width, budget / width)))

        found = optimize.minimize_scalar(loss, bounds=(start - 4, start + 4), method="bounded", options={"xatol": 1e-2})
        assert abs(found.x - start) < 3.9
        best.append((math.exp(found.x), math.exp(found.fun)))
    width, loss = np.array(best).T
    assert slope(compute, width) == pytest.approx(frontier.width, abs=0.03)
    assert -slope(compute, loss) == pytest.approx(frontier.loss, abs=0.03)


def test_sgd_oracle_agrees_with_the_recursion_of_its_moments():
    rate, t = 0.01, np.geomspace(1e-2, 1e3, 120)
    loss, _, _ = sgd(0.5, 1.75, rate, t)
    values, power, count = fine(0.5, 1.75)
    moments, steps, seen = power.copy(), np.array([300, 1000, 3000]), []
    for step in range(steps[-1] + 1):  # one Gaussian sample a step
        total = moments.sum()
        if step in steps:
            seen.append(total)
        moments = ((1 - rate * values) ** 2) * moments + rate**2 * values**2 * count * total
    assert np.exp(np.interp(np.log(rate * steps), np.log(t), np.log(loss))) == pytest.approx(seen, rel=0.02)


@pytest.mark.parametrize(("alpha", "beta", "phase"), [(0.5, 4.0, "III"), (1.0, 5.0, "III"), (0.5, 1.75, "II")])
def test_compute_frontier_of_sgd(alpha, beta, phase):
    t = np.geomspace(1e-2, 1e9, 220)
    loss, leak, _ = sgd(alpha, beta, 0.25, t)
    frontier, compute, best = frontiers.compute_phase(alpha, beta, method="sgd"), np.array([1e10, 1e12]), []
    for budget in compute:
        width = budget / t
        total = np.where((t > 1) & (t < 0.03 * width ** (1 + alpha)), np.log(loss + leak / width), INF)
        around = np.argmin(total) + np.arange(-2, 3)
        best.append(vertex(np.log(width[around]), total[around]))
    slopes = (np.array(best[1]) - best[0]) / math.log(100)
    assert frontier.phase == phase
    assert slopes[0] == pytest.approx(frontier.width, abs=0.012)
    assert -slopes[1] == pytest.approx(frontier.loss, abs=0.006)
    # Gradient flow has no third phase; the exponents of the two differ by more than the tolerance.
    other = frontiers.compute_phase(alpha, beta, method="flow")
    assert other.phase == "II"
    assert phase == "II" or other.loss - frontier.loss > 0.05


def test_sgd_multiplies_the_loss_of_the_flow_by_a_constant_in_phase_one():
    t = np.geomspace(1e-2, 1e9, 220)
    loss, _, clean = sgd(0.5, 0.7, 0.25, t)
    values, _, count = fine(0.5, 0.7)
    assert (loss / clean)[-40:] == pytest.approx(1 / (1 - 0.25 * (values @ count) / 2), rel=3e-3)
    assert frontiers.compute_phase(0.5, 0.7, method="sgd").loss == frontiers.compute_phase(0.5, 0.7).loss


def vertex(x, y):
    """Place and value of the minimum of the parabola through points near it."""
    a, b, c = np.polyfit(x - x.mean(), y, 2)
    return x.mean() - b / (2 * a), c - b * b / (4 * a)


BUDGETS = [
    (0.5, 0.7, 0.0, "even"),
    (0.5, 2.2, 0.0, "wide"),
    (0.5, 4.2, 0.0, "wide"),
    (2.0, 2.5, 0.0, "even"),
    (2.0, 5.0, 0.0, "even"),
    (0.5, 0.7, 0.5, "narrow"),
    (0.5, 2.2, 0.5, "narrow"),
    (2.0, 5.0, 0.5, "narrow"),
]


@pytest.mark.parametrize(("alpha", "beta", "noise", "phase"), BUDGETS)
def test_compute_frontier_in_samples_without_ridge(alpha, beta, noise, phase):
    frontier = frontiers.compute_phase(alpha, beta, method="ridgeless", noise=noise)
    spectrum, compute, best = law(alpha, beta), np.array([1e10, 1e12]), []
    for budget in compute:
        ratio = (2 * frontier.width - 1) * math.log(budget) + np.linspace(-6, 6, 2001)
        n, k = math.sqrt(budget) * np.exp(-ratio / 2), math.sqrt(budget) * np.exp(ratio / 2)
        total = np.asarray(equivalents.loss(spectrum, n, k, 0, noise)) - noise
        best.append((math.log(k[total.argmin()]), math.log(total.min())))
    slopes = (np.array(best[1]) - best[0]) / math.log(100)
    assert frontier.phase == phase
    assert slopes[0] == pytest.approx(frontier.width, abs=0.006)
    assert -slopes[1] == pytest.approx(frontier.loss, abs=0.002)


@pytest.mark.parametrize(
    ("alpha", "beta", "noise", "phase"),
    [(0.5, 2.2, 0.0, "wide"), (0.5, 0.7, 0.5, "narrow"), (0.5, 4.2, 0.5, "wide"), (1.5, 4.0, 0.5, "narrow")],
)
def test_compute_frontier_in_samples_with_the_best_ridge(alpha, beta, noise, phase):
    frontier = frontiers.compute_phase(alpha, beta, method="ridge", noise=noise)
    spectrum, compute, best = law(alpha, beta), np.array([1e10, 1e12]), []
    ridge = np.exp(np.linspace(-12, 12, 61) if noise else np.linspace(-30, 12, 61))
    for budget in compute:
        ratio = (2 * frontier.width - 1) * math.log(budget) + np.linspace(-5, 5, 26)
        n, k = math.sqrt(budget) * np.exp(-ratio / 2), math.sqrt(budget) * np.exp(ratio / 2)
        total = (np.asarray(equivalents.loss(spectrum, n[:, None], k[:, None], ridge, noise)) - noise).min(axis=1)
        around = np.argmin(total) + np.arange(-2, 3)
        best.append(vertex(np.log(k[around]), np.log(total[around])))
    slopes = (np.array(best[1]) - best[0]) / math.log(100)
    assert frontier.phase == phase
    assert slopes[0] == pytest.approx(frontier.width, abs=0.03)
    assert -slopes[1] == pytest.approx(frontier.loss, abs=0.006)


def test_frontier_exponents_do_not_jump_where_phases_meet():
    for alpha in (0.3, 0.9, 1.7):
        for method in ("flow", "sgd", "ridgeless", "ridge"):
            for noise in (0.0, 1.0):
                for edge in (1 + alpha, 1 + 2 * alpha, 2 + 2 * alpha):
                    below, above = (
                        frontiers.compute_phase(alpha, edge + step, method=method, noise=noise)
                        for step in (-1e-9, 1e-9)
                    )
                    assert (below.width, below.loss) == pytest.approx((above.width, above.loss), abs=1e-8)


def test_phases_in_the_notation_of_paquette():
    # Paquette et al.: d ~ C^(1/(2a+1)), C^(b/(a+b)), C^(1/2) with a = (1+alpha)/2, b = (beta-alpha)/2.
    for alpha, beta, phase in [(0.5, 1.0, "I"), (0.5, 1.8, "II"), (0.5, 3.0, "III")]:
        a, b = (1 + alpha) / 2, (beta - alpha) / 2
        width = {"I": 1 / (2 * a + 1), "II": b / (a + b), "III": 0.5}[phase]
        loss = {
            "I": (2 * a + 2 * b - 1) / (2 * a + 1),
            "II": (2 * a + 2 * b - 1) / (2 * (a + b)),
            "III": 1 - 1 / (4 * a),
        }
        found = frontiers.compute_phase(alpha, beta, method="sgd")
        assert found.phase == phase
        assert (found.width, found.loss) == pytest.approx((width, loss[phase]))


def test_a_printed_line():
    assert str(frontiers.compute_phase(1.0, 1.0)).startswith(
        "compute C = k t, phase I: k ~ C^0.3333, excess loss ~ C^-0.3333: "
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, "`alpha` must be finite and more than 0"),
        ({"alpha": 0.5, "beta": -1.0}, "`beta` must be finite and more than 0"),
        ({"alpha": 0.5, "noise": -1.0}, "`noise` must be finite and at least 0"),
        ({"alpha": 0.5, "method": "adam"}, "`method` must be one of flow, sgd, ridgeless, ridge; got 'adam'"),
    ],
)
def test_bad_input_gets_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        frontiers.compute_phase(**arguments)
