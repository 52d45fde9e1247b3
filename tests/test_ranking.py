"""Ranking by held-out extrapolation, tails, tables of curves, plans and envelopes."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from regimes import envelopes, fits, laws, plans, ranking
from regimes.fits import FitError

N = np.geomspace(100, 1e6, 24)


def offset_curve(seed=0, spread=0.01):
    return (3 * N**-0.4 + 0.05) * np.exp(spread * np.random.default_rng(seed).normal(size=len(N)))


def test_the_law_that_made_the_curve_wins_and_the_score_is_the_held_out_error():
    loss = offset_curve()
    found = ranking.compare(["power", "hestness", "m3"], loss, n=N, holdout=0.4)
    assert found.best.law == "hestness"
    assert found.best.best > 0.8
    assert found["power"].error.value > found["hestness"].error.high
    seen = found.split >= N
    assert (~seen).sum() == round(0.4 * len(N))
    by_hand = fits.fit(laws.HESTNESS, loss[seen], n=N[seen], bootstrap=0).predict(n=N[~seen]).loss
    error = np.sqrt(np.mean(np.log(by_hand / loss[~seen]) ** 2))
    assert found["hestness"].error.value == pytest.approx(error, rel=1e-9)
    assert found["hestness"].error.low <= error <= found["hestness"].error.high * 1.5
    assert "hestness" in str(found).splitlines()[1]


def test_a_law_that_cannot_be_fitted_comes_last():
    loss = 3 * N[:8] ** -0.4 * np.exp(0.01 * np.sin(N[:8]))
    found = ranking.compare(["broken", "power"], loss, n=N[:8], holdout=0.5)
    assert [score.law for score in found.scores] == ["power", "broken"]
    assert math.isnan(found["broken"].error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"candidates": []}, "candidates"),
        ({"candidates": ["power", "power"]}, "twice"),
        ({"candidates": ["power", "chinchilla"]}, "same scales"),
        ({"candidates": ["powr"]}, "did you mean"),
        ({"holdout": 0.0}, "holdout"),
        ({"holdout": 0.99}, "holdout"),
        ({"along": "k"}, "along"),
        ({"loss": np.append(N[:-1], -1.0)}, "positive"),
        ({"loss": np.append(N[:-1], np.nan)}, "NaN|finite"),
        ({"n": N[:3]}, "as long as"),
    ],
)
def test_compare_names_bad_input(change, words):
    arguments = {"candidates": ["power", "hestness"], "loss": offset_curve(), "n": N, **change}
    with pytest.raises(ValueError, match=words):
        ranking.compare(arguments.pop("candidates"), arguments.pop("loss"), **arguments)


def test_a_tail_forecast_is_the_geometric_mean_over_windows():
    loss = offset_curve()
    windows = [4.0, 16.0, 64.0]
    found = ranking.fit_tail(loss, n=N, windows=windows)
    assert found.windows == (16.0, 64.0)  # a factor of 4 holds too few points
    rows = []
    for window in found.windows:
        inside = N.max() / window <= N
        rows.append(fits.fit(laws.HESTNESS, loss[inside], n=N[inside], bootstrap=0).predict(n=1e7).loss)
    forecast = found.predict(n=1e7)
    assert forecast.loss == pytest.approx(np.sqrt(rows[0] * rows[1]), rel=1e-6)
    assert forecast.low <= forecast.loss <= forecast.high


def test_a_tail_beats_the_whole_where_the_curve_bends_early():
    bent = (1 + N / 3e3) ** -0.5 * np.exp(0.005 * np.random.default_rng(0).normal(size=len(N)))
    later = np.geomspace(1.5e6, 1e7, 10)
    truth = (1 + later / 3e3) ** -0.5
    whole = fits.fit(laws.HESTNESS, bent, n=N, bootstrap=0).predict(n=later).loss
    tail = ranking.fit_tail(bent, n=N, windows=[8.0, 32.0, 100.0]).predict(n=later).loss
    assert np.abs(np.log(tail / truth)).mean() < 0.5 * np.abs(np.log(whole / truth)).mean()


def test_a_short_curve_falls_back_on_all_its_points():
    loss = offset_curve()[:4]
    assert ranking.fit_tail(loss, n=N[:4]).windows == (math.inf,)
    with pytest.raises(FitError, match="too little"):
        ranking.fit_tail(loss[:2], n=N[:2])
    with pytest.raises(ValueError, match="larger than 1"):
        ranking.fit_tail(loss, n=N[:4], windows=[0.5])


def test_a_table_has_a_row_for_every_curve_whatever_becomes_of_it():
    frame = pd.concat(
        [
            pd.DataFrame({"who": "good", "n": N, "loss": offset_curve()}),
            pd.DataFrame({"who": "negative", "n": N, "loss": -offset_curve()}),
            pd.DataFrame({"who": "equal", "n": N, "loss": np.full(len(N), 0.3)}),
            pd.DataFrame({"who": "missing", "n": N, "loss": np.where(np.arange(len(N)) == 3, np.nan, 0.3)}),
            pd.DataFrame({"who": "short", "n": N[:1], "loss": [0.3]}),
            pd.DataFrame({"who": "last", "n": N[::-1], "loss": offset_curve()[::-1]}),
        ]
    )
    rows = {row["who"]: row for row in ranking.fit_table(frame, "hestness", x="n", by="who")}
    assert list(rows) == ["good", "negative", "equal", "missing", "short", "last"]
    assert rows["good"]["status"] == "CONVERGED"
    assert rows["last"]["b"] == pytest.approx(rows["good"]["b"], rel=1e-6)
    assert rows["good"]["b_low"] < rows["good"]["b"] < rows["good"]["b_high"]
    assert rows["good"]["b"] == pytest.approx(0.4, abs=0.01)
    assert rows["negative"]["status"] == "BAD_INPUT"
    assert "positive" in rows["negative"]["notes"]
    assert rows["equal"]["status"] == "DEGENERATE"
    assert rows["missing"]["status"] == "BAD_INPUT"
    assert rows["short"]["status"] == "TOO_FEW_POINTS"
    assert all(set(row) == set(rows["good"]) for row in rows.values())
    text = frame.assign(loss=frame["loss"].astype(str)).replace({"loss": {"0.3": "many"}})
    assert ranking.fit_table(text, "hestness", x="n", by="who")[2]["status"] == "BAD_INPUT"
    with pytest.raises(ValueError, match="column 'size' is missing"):
        ranking.fit_table(frame, "hestness", x="size")
    with pytest.raises(ValueError, match="must map the scales"):
        ranking.fit_table(frame, "chinchilla", x="n")


def test_percent_among_fractions_warns():
    frame = pd.DataFrame({"n": np.tile(N, 2), "loss": np.append(offset_curve(), 100 * offset_curve())})
    frame["who"] = np.repeat(["fraction", "percent"], len(N))
    with pytest.warns(UserWarning, match="percent"):
        rows = ranking.fit_table(frame, "hestness", by="who")
    assert rows[1]["b"] == pytest.approx(rows[0]["b"], rel=1e-4)


def test_a_plan_inverts_the_law_and_carries_its_uncertainty():
    found = fits.fit(laws.HESTNESS, offset_curve(), n=N)
    plan = plans.plan(found, 0.08)
    assert laws.HESTNESS(found.parameters, n=plan.scales["n"].value) == pytest.approx(0.08)
    assert plan.scales["n"].low < (3 / 0.03) ** 2.5 < plan.scales["n"].high
    assert (plan.reached, plan.note) == (1.0, "")
    beyond = plans.plan(found, 0.02)
    assert math.isnan(beyond.scales["n"].value)
    assert "tends to" in beyond.note
    far = plans.plan(found, 1.005 * found["c"].value)
    assert "beyond the largest measured" in far.note
    assert 0 < far.reached < 1
    assert math.isinf(far.scales["n"].high)


def test_the_cheapest_pair_is_chinchillas_optimum():
    """min N D with A N^-a + B D^-b fixed: a A N^-a = b B D^-b."""
    size, tokens = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e7, 1e10, 5), np.geomspace(1e8, 1e11, 5)))
    law = laws.get("chinchilla")
    truth = {"E": 1.8, "A": 480, "B": 2100, "alpha": 0.35, "beta": 0.37}
    loss = law(truth, size=size, n=tokens) * np.exp(0.002 * np.random.default_rng(0).normal(size=size.size))
    found = fits.fit(law, loss, size=size, n=tokens, bootstrap=20)
    plan = plans.plan(found, 2.5, cost="product")
    p = found.parameters
    share = (2.5 - p["E"]) / (1 / p["alpha"] + 1 / p["beta"])
    assert plan.scales["size"].value == pytest.approx((p["A"] * p["alpha"] / share) ** (1 / p["alpha"]), rel=0.01)
    assert plan.scales["n"].value == pytest.approx((p["B"] * p["beta"] / share) ** (1 / p["beta"]), rel=0.01)
    best = plan.scales["size"].value * plan.scales["n"].value
    assert plan.cost.value == pytest.approx(best)
    assert plan.cost.low < best < plan.cost.high
    # Any other cost: data a thousand times dearer than parameters, against SciPy.
    dear = plans.plan(found, 2.5, cost=lambda size, n: size + 1000 * n)

    def price(log_size):
        return np.exp(log_size) + 1000 * law.inverse(p, 2.5, "n", size=np.exp(log_size))

    low = math.log((p["A"] / (2.5 - p["E"])) ** (1 / p["alpha"])) + 1e-6
    other = optimize.minimize_scalar(price, bounds=(low, low + 20), method="bounded", options={"xatol": 1e-9})
    assert dear.cost.value == pytest.approx(other.fun, rel=1e-5)
    one = plans.plan(found, 2.5, size=1e9)
    assert law(p, size=1e9, n=one.scales["n"].value) == pytest.approx(2.5)


def test_plans_name_bad_input():
    found = fits.fit(laws.HESTNESS, offset_curve(), n=N, bootstrap=0)
    assert math.isnan(plans.plan(found, 0.08).scales["n"].low)
    cases = [
        ({"target": -1.0}, "target"),
        ({"cost": "gold"}, "cost"),
        ({"cost": 3}, "cost"),
        ({"n": 3.0}, "one or two"),
    ]
    for change, words in cases:
        with pytest.raises(ValueError, match=words):
            plans.plan(found, **{"target": 0.08, **change})


def test_envelope_takes_the_best_model_and_bounds_its_bias():
    rng = np.random.default_rng(0)
    n, size = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e3, 1e6, 7), np.geomspace(10, 1e4, 9)))
    noise = 0.01 * rng.normal(size=n.size)
    found = envelopes.envelope(n, size, n**-0.3 + noise, stderr=0.01)
    for i, value in enumerate(found.n):
        members = np.isclose(n, value)
        assert found.loss[i] == (n**-0.3 + noise)[members].min()
    # All models are equally good here, so that the bound is the bias itself: mean over 2,000 repeats.
    draws = rng.normal(size=(20_000, 9)).max(axis=1)
    assert found.bias[0] / 0.01 == pytest.approx(draws.mean(), abs=4 * draws.std() / math.sqrt(20_000))
    assert found.runs.tolist() == [9] * 7
    assert np.isnan(envelopes.envelope(n, size, n**-0.3).bias).all()
    assert envelopes.envelope(n, size, 1 / size).at_edge.all()
    with pytest.raises(ValueError, match="as long as"):
        envelopes.envelope(n, size[:3], n)
    with pytest.raises(ValueError, match="positive"):
        envelopes.envelope(-n, size, n)
