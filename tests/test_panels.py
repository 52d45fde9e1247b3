import dataclasses
import functools
import importlib
import inspect
import io
import re
from pathlib import Path

import numpy as np
import pytest

from regimes import (
    classify,
    corners,
    curve_fits,
    curves,
    dimension,
    envelopes,
    equivalents,
    fits,
    forecast,
    hestness,
    infinite,
    laws,
    network_plots,
    network_variance,
    nyquist,
    optima,
    panels,
    panels_losses,
    phases,
    plans,
    plots,
    predict,
    pruned,
    ranking,
    runs,
    sources,
    spectra,
    theory,
    verify,
    work_plots,
)
from regimes.results import Comparison, Estimate, LearningCurve, LossSurface

N = np.geomspace(16, 512, 8)
TIME = np.geomspace(1, 1e5, 9)
SPECTRUM = spectra.power_law(0.5, 1.2, modes=1e4)
BAND = spectra.Spectrum(np.arange(1, 129.0) ** -1.5, np.where(np.arange(128) < 16, 1 / 16, 0.0), np.ones(128))
"""A learner of 128 modes and a target within the first 16."""
TABLE = Path(__file__).parent.parent / "docs" / "api" / "panels.md"


@functools.cache
def drawn():
    """Every public function of the module: what it is called with."""
    noisy = LearningCurve.from_trials("n", N, 3 * N**-0.5 * np.exp(0.01 * np.random.default_rng(0).normal(size=(4, 8))))
    loss = 3 * N**-0.4 * np.exp(0.01 * np.random.default_rng(1).normal(size=8)) + 0.1
    fit = fits.fit(laws.get("hestness"), loss, n=N, bootstrap=0)
    sizes, model = (part.ravel() for part in np.meshgrid([10.0, 100, 1000], [1.0, 2, 4], indexing="ij"))
    best = sizes**-0.5 + (np.log(model) - np.log(sizes) / 7) ** 2 / 50
    predicted = theory.predict_surface(SPECTRUM, n=np.geomspace(4, 400, 9), k=np.geomspace(4, 4000, 10), noise=0.1)
    steps = np.array([0, 1, 10, 100, 1000])
    falling = np.array([[2.0, 1.5, 0.7, 0.2, 0.05], [2.0, 1.4, 0.8, np.nan, np.nan]])
    trained = bare(runs.Training, steps=steps, train_loss=falling, test_loss=falling + 0.1)
    wide = bare(
        infinite.Limit,
        time=np.array([0.0, 1, 10, 100]),
        train_loss=np.array([2.0, 1, 0.1, 0.01]),
        test_loss=np.array([2.0, 1.1, 0.4, 0.3]),
        stderr=np.array([0.0, 0.1, 0.02, 0.01]),
        end=0.25,
    )
    thin = bare(
        pruned.Pruned,
        density=0.8 ** np.arange(4),
        loss=np.array([[0.5, 0.6], [0.4, 0.5], [0.6, np.nan], [0.9, np.nan]]),
    )
    at = np.geomspace(10, 1000, 7)
    ahead = forecast.Forecast(LearningCurve("n", at, at**-0.5), 0.8 * at**-0.5, 1.3 * at**-0.5, 0.9, 100.0)
    seen = LearningCurve("n", at, 1.1 * at**-0.5)
    excess = LearningCurve.from_trials("k", np.array([32.0, 64, 128]), np.array([[0.4, 0.21, 0.1], [0.44, 0.2, 0.13]]))
    over = network_variance.Measurement(
        network_variance.Case("relu"), "width", "the infinite network", excess, excess.exponent(), 1.0
    )
    grid, corner = LossSurface(N, N, N[:, None] ** -0.5 + N**-0.3), np.outer(N < 100, N < 100)
    said = grid.loss * 1.05
    apart = [corners.divergence(said[chosen], grid.loss[chosen]) for chosen in (corner, ~corner)]
    return {
        "spectrum": (SPECTRUM,),
        "exponents": (theory.exponents(SPECTRUM),),
        "surface": (predicted,),
        "verdict": (noisy, classify.classify(noisy)),
        "ranking": (ranking.compare(["power", "hestness"], loss, n=N),),
        "profile": (fits.profile(fit, "c"),),
        "dimension": (dimension.intrinsic_dimension(np.random.default_rng(0).normal(size=(300, 3))),),
        "envelope": (envelopes.envelope(sizes, model, best),),
        "frontier": (optima.compute_frontier(SPECTRUM, np.geomspace(1e3, 1e6, 5), noise=0.02),),
        "training": (trained,),
        "budget": (sources.budget(SPECTRUM, 200, 1000, 0.0, 0.02, TIME), TIME, "time"),
        "fitted": (banded(),),
        "plan": (banded(), plans.plan(banded(), 0.3)),
        "limit": (wide,),
        "forecast": (ahead,),
        "held_out": (forecast.HeldOut(ahead, seen),),
        "nyquist_rate": (nyquist.rate(BAND), BAND),
        "hestness": (grown(),),
        "pruned": (thin,),
        "excess": (over,),
        "extrapolation": (corners.Extrapolation("hestness", None, said, *apart), grid, corner),
    }


def bare(kind, **fields):
    """A result with no more than is drawn."""
    one = object.__new__(kind)
    for name, value in fields.items():
        object.__setattr__(one, name, value)
    return one


@functools.cache
def banded(name="hestness"):
    """A fit with a bootstrap."""
    loss = 3 * N**-0.4 * np.exp(0.01 * np.random.default_rng(1).normal(size=8)) + 0.1
    return fits.fit(laws.get(name), loss, n=N, bootstrap=20)


@functools.cache
def grown():
    """A measured procedure with a plateau before the power law and adequate sizes ~ n^(1/2)."""

    def train(rows, size, seed):
        best = (1 + (len(rows) / 60) ** 6) ** (-0.5 / 6) + 0.03
        noise = np.exp(0.01 * np.random.default_rng(seed).normal())
        return best * (1 + 0.04 * np.log(size / len(rows) ** 0.5) ** 2) * noise

    return hestness.procedure(train, 4096, 2 ** np.arange(1, 9), smallest=8, search="grid", floor=0.03)


FUNCTIONS = {
    name: one
    for module in (panels, panels_losses)
    for name, one in vars(module).items()
    if inspect.isfunction(one) and one.__module__ == module.__name__ and not name.startswith("_")
}


def test_every_public_function_is_drawn_here():
    assert set(drawn()) == set(FUNCTIONS)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_panel_is_drawn_on_the_callers_axes_or_new_ones_with_labels_and_without_global_state(name):
    import matplotlib
    from matplotlib.figure import Figure

    before = dict(matplotlib.rcParams)
    axes = Figure().subplots()
    assert FUNCTIONS[name](*drawn()[name], ax=axes) is axes
    new = FUNCTIONS[name](*drawn()[name])
    assert new is not axes
    assert new.get_xlabel() or [label.get_text() for label in new.get_xticklabels()]
    assert new.get_ylabel() or [label.get_text() for label in new.get_yticklabels()]
    for ending in ("png", "svg"):
        file = io.BytesIO()
        new.figure.savefig(file, format=ending)
        assert len(file.getvalue()) > 3000
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_logarithmic_axes_over_decades_have_minor_ticks(name):
    axes = FUNCTIONS[name](*drawn()[name])
    for axis, scale in ((axes.xaxis, axes.get_xscale()), (axes.yaxis, axes.get_yscale())):
        low, high = axis.get_view_interval()
        if scale == "log" and high > 10 * low:
            assert np.sum((axis.get_minorticklocs() > low) & (axis.get_minorticklocs() < high)) >= 4


def line(axes, label):
    (one,) = [one for one in axes.lines if str(one.get_label()).startswith(label)]
    return one


def texts(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_spectrum_shows_eigenvalues_power_and_resolution_by_rank():
    axes = panels.spectrum(SPECTRUM)
    rank, values = line(axes, "eigenvalue").get_xydata().T
    assert rank == pytest.approx(np.arange(1, 1e4 + 1))
    assert values == pytest.approx(SPECTRUM.eigenvalues)
    assert line(axes, "target power").get_ydata() == pytest.approx(SPECTRUM.power)
    assert line(axes, "resolved").get_xdata()[0] == SPECTRUM.resolved
    assert line(axes, "eigenvalue").get_linestyle() != line(axes, "target power").get_linestyle()


def test_level_of_many_modes_stands_at_its_middle_with_the_power_of_one_mode():
    found = spectra.Spectrum(np.array([2.0, 1.0]), np.array([3.0, 8.0]), np.array([1.0, 4.0]))
    axes = panels.spectrum(found)
    assert line(axes, "eigenvalue").get_xydata() == pytest.approx(np.array([[1.0, 2.0], [3.5, 1.0]]))
    assert line(axes, "target power").get_ydata() == pytest.approx([3.0, 2.0])


def measured(regime):
    curve = LearningCurve("n", N, 1 / N)
    return Comparison("task", regime, curve, curve, Estimate(0.9, 0.8, 1.1), Estimate.exact(1.0), "n")


def test_exponents_have_their_numbers_and_intervals_written_on_them():
    found = drawn()["exponents"][0]
    axes = panels.exponents(found, measured=[measured("variance_n")])
    written = [text.get_text() for text in axes.texts]
    assert written[0].startswith(f"{found.resolution_n.value:.3f}")
    assert written[-1] == "0.900 ± 0.150"
    assert len(written) == 5
    first, second = (bars.lines[0] for bars in axes.containers)
    assert first.get_ydata() == pytest.approx(
        [found.resolution_n.value, found.resolution_k.value, found.variance_n.value, found.variance_k.value]
    )
    assert second.get_xydata().tolist() == [[2.25, 0.9]]
    segment = axes.containers[1].lines[2][0].get_segments()[0]
    assert segment[:, 1] == pytest.approx([0.8, 1.1])
    assert first.get_marker() != second.get_marker()
    assert texts(axes) == ["predicted", "measured"]


def test_contours_of_a_surface_are_labelled_with_losses_of_it():
    found = drawn()["surface"][0]
    axes = panels.surface(found)
    values = np.array([float(text.get_text()) for text in axes.texts])
    assert len(values) >= 3
    assert ((values > 0.95 * found.loss.min()) & (values < found.loss.max())).all()
    assert axes.get_xlim() == (found.n[0], found.n[-1])
    assert axes.get_ylim() == (found.k[0], found.k[-1])


def test_shades_of_a_surface_are_ordered_in_grey():
    from matplotlib import colormaps

    grey = colormaps["cividis_r"](np.linspace(0, 1, 10))[:, :3] @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(grey) < 0).all()


@pytest.mark.parametrize(
    ("loss", "says"),
    [(np.ones((1, 3)), "`found` must have two n and two k at least, got 1 by 3"), (np.full((2, 2), np.inf), "no loss")],
)
def test_surface_that_is_none_is_refused(loss, says):
    sizes = [np.geomspace(1, 10, length) for length in loss.shape]
    with pytest.raises(ValueError, match=says):
        panels.surface(LossSurface(*sizes, loss))


def test_verdict_has_its_regime_and_its_exponent_with_the_interval():
    curve, found = drawn()["verdict"]
    axes = panels.verdict(curve, found)
    half = (found.exponent.high - found.exponent.low) / 2
    assert axes.get_title() == f"{found.regime.value}\nexponent {found.exponent.value:.3f} ± {half:.3f}"
    assert axes.containers[0].lines[0].get_xydata() == pytest.approx(np.column_stack([curve.at, curve.loss]))
    assert axes.containers[0].lines[0].get_linestyle() == "None"


def test_ranking_has_the_best_law_on_top():
    found = drawn()["ranking"][0]
    axes = panels.ranking(found)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[-1] == found.best.law
    dots = [one for one in axes.lines if one.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == [score.error.value for score in found.scores][::-1]


def test_profile_shows_the_rise_the_estimate_and_the_interval():
    found = drawn()["profile"][0]
    axes = panels.profile(found)
    curve = axes.lines[0].get_xydata()
    assert np.sort(curve[:, 0]) == pytest.approx(np.sort(found.values))
    assert line(axes, "c =").get_xdata()[0] == found.estimate.value
    half = (found.estimate.high - found.estimate.low) / 2
    assert texts(axes)[0] == f"c = {found.estimate.value:.4g} ± {half:.3f}"


def test_dimension_shows_all_scales_and_the_estimate():
    found = drawn()["dimension"][0]
    axes = panels.dimension(found)
    assert axes.containers[0].lines[0].get_xydata() == pytest.approx(np.column_stack([found.distances, found.values]))
    assert f"{found.estimate.value:.2f} ± " in texts(axes)[0] + texts(axes)[1]


def test_envelope_tells_edges_from_minima_inside():
    found = drawn()["envelope"][0]
    axes = panels.envelope(found)
    assert found.at_edge.any()
    assert not found.at_edge.all()
    edge = line(axes, "best at the edge")
    assert edge.get_xdata() == pytest.approx(found.n[found.at_edge > 0])
    assert edge.get_markerfacecolor() == "white"
    assert line(axes, "best model").get_ydata() == pytest.approx(found.loss[found.at_edge == 0])


def test_frontier_is_the_reducible_loss_with_its_exponents():
    found = drawn()["frontier"][0]
    axes = panels.frontier(found)
    assert line(axes, "predicted").get_xydata() == pytest.approx(np.column_stack([found.compute, found.loss - 0.02]))
    assert texts(axes) == [f"predicted, C^{-found.exponent:.3f};\nbest k ~ C^{found.width_exponent:.3f}"]


def test_training_has_a_line_per_seed_and_set_and_no_step_zero():
    axes = panels.training(drawn()["training"][0])
    assert len(axes.lines) == 4
    assert texts(axes) == ["training loss", "test loss"]
    assert line(axes, "training loss").get_linestyle() != line(axes, "test loss").get_linestyle()
    assert line(axes, "test loss").get_xydata() == pytest.approx(
        np.column_stack([[1, 10, 100, 1000], [1.6, 0.8, 0.3, 0.15]])
    )


def test_budget_is_stacked_as_shares_of_the_loss_with_a_negative_deficiency_below_zero():
    found, at, along = drawn()["budget"]
    axes = panels.budget(found, at, along)
    assert axes.get_xlabel() == "training time t"
    assert texts(axes) == list(found._fields)
    below = found.deficiency < 0
    assert below.any()
    assert not below.all()
    top = np.zeros(len(at))
    patches = iter(axes.collections)
    for part in found:
        share = part / found.loss
        assert edges(next(patches), at) == pytest.approx(np.column_stack([top, top + np.maximum(share, 0)]))
        if (share < 0).any():
            assert edges(next(patches), at) == pytest.approx(np.column_stack([np.minimum(share, 0), 0 * at]))
        top = top + np.maximum(share, 0)
    assert len({patch.get_hatch() for patch in axes.collections}) == 4  # told apart in grey


def edges(patch, at):
    """Lower and upper ordinates of an area at these places."""
    x, y = patch.get_paths()[0].vertices.T
    return np.array([[y[x == place].min(), y[x == place].max()] for place in at])


def test_budget_of_one_point_has_a_bar_for_each_part_and_its_number():
    found = sources.budget(SPECTRUM, 200, 100, 1e-2, 0.1)
    axes = panels.budget(found)
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([part / found.loss for part in found])
    assert [text.get_text() for text in axes.texts] == [f"{part:.3g}" for part in found]
    assert [label.get_text() for label in axes.get_xticklabels()] == list(found._fields)


def test_infinite_part_of_a_budget_is_the_whole_loss():
    axes = panels.budget(sources.budget(SPECTRUM, 100, 100, 0.0, 0.1))
    assert [bar.get_height() for bar in axes.patches] == [0, 0, 0, 1]


def test_budget_without_its_places_is_refused():
    found, at, _ = drawn()["budget"]
    for wrong in (None, at[:-1]):
        with pytest.raises(ValueError, match="`at` must hold the place of each point of a row"):
            panels.budget(found, wrong)


def curve(axes, label):
    return line(axes, label).get_xydata().T


def points(axes, label):
    """What was drawn with error bars, or could have been."""
    (bars,) = [one for one in axes.containers if one.get_label() == label]
    assert bars.lines[0].get_linestyle() == "None"
    return bars.lines[0].get_xydata().T


def test_fitted_law_has_its_points_and_its_band():
    found = banded()
    axes = panels_losses.fitted(found)
    x, y = curve(axes, "hestness, fitted")
    law = found.predict(n=x)
    assert y == pytest.approx(law.loss)
    assert edges(axes.collections[0], x) == pytest.approx(np.column_stack([law.low, law.high]))
    assert curve(axes, "measured") == pytest.approx(np.stack([N, found.problem.loss]))
    assert line(axes, "measured").get_linestyle() == "None"
    assert texts(axes) == ["measured", "90% band", "hestness, fitted"]


def test_fitted_law_of_several_scales_stands_against_the_measured_losses():
    n, size = (part.ravel() for part in np.meshgrid(N[:5], N[:5]))
    found = fits.fit("chinchilla", n**-0.5 + size**-0.4 + 0.1, n=n, size=size, bootstrap=0)
    axes = panels_losses.fitted(found)
    x, y = curve(axes, "fitted")
    assert x == pytest.approx(n**-0.5 + size**-0.4 + 0.1)
    assert y == pytest.approx(found.predict(n=n, size=size).loss)


def test_plans_have_every_law_with_its_size_at_the_target_and_its_interval_at_the_foot():
    fitted = [banded(), banded("power"), banded("m4")]
    target = 0.3
    found = [plans.plan(one, target) for one in fitted]
    named = [(one.law.name, answer) for one, answer in zip(fitted, found, strict=True)]
    axes = panels_losses.plan(fitted, named)
    assert "out of reach" not in texts(axes)[1]
    for one, answer in zip(fitted, found, strict=True):
        size = answer.scales["n"]
        at, loss = curve(axes, f"{one.law.name}:")
        assert loss == pytest.approx(one.predict(n=at).loss)
        marks = [mark for mark in axes.lines if np.ravel(mark.get_xdata()).tolist() == [size.value]]
        assert target in [mark.get_ydata()[0] for mark in marks]
        bars = [bar.get_xdata() for bar in axes.lines if len(bar.get_xdata()) == 2 and bar.get_linewidth() == 2.5]
        assert [size.low, min(size.high, at[-1])] in [list(bar) for bar in bars]
        assert at[-1] > size.value
    size = found[0].scales["n"]
    assert texts(axes)[1] == f"hestness: n = {size.value:.3g} [{size.low:.3g}, {size.high:.3g}]"
    assert found[2].scales["n"].high > at[-1]  # one interval goes beyond the figure
    assert curve(axes, "measured") == pytest.approx(np.stack([N, banded().problem.loss]))
    assert len({line(axes, f"{one.law.name}:").get_linestyle() for one in fitted}) == 3


def test_plan_out_of_reach_is_said_to_be():
    axes = panels_losses.plan(banded(), plans.plan(banded(), 0.5 * banded().parameters["c"]))
    assert "hestness: out of reach" in texts(axes)


def test_plan_of_two_scales_runs_along_the_first_at_the_second_that_was_chosen():
    n, size = (part.ravel() for part in np.meshgrid(N[:5], N[:5]))
    found = fits.fit("chinchilla", n**-0.5 + size**-0.4 + 0.1, n=n, size=size, bootstrap=0)
    answer = plans.plan(found, 0.3, cost="product")
    axes = panels_losses.plan(found, answer)
    at, loss = curve(axes, "chinchilla")
    assert axes.get_xlabel() == "size"
    assert loss == pytest.approx(found.predict(size=at, n=answer.scales["n"].value).loss)
    given = panels_losses.plan(found, plans.plan(found, 0.3, n=200.0), n=200.0)
    at, loss = curve(given, "chinchilla")
    assert loss == pytest.approx(found.predict(size=at, n=200.0).loss)


def test_plans_that_are_not_of_the_fits_are_refused():
    answer = plans.plan(banded(), 0.3)
    for wrong in ([answer, answer], [], [answer._replace(target=0.2), answer, answer]):
        with pytest.raises(ValueError, match="`found` must be one plan for each of"):
            panels_losses.plan([banded()] * max(len(wrong) - 1, 1) if len(wrong) < 3 else [banded()] * 3, wrong)


def test_limit_has_its_losses_as_lines_and_those_of_a_network_as_points():
    (found,) = drawn()["limit"]
    finite = LearningCurve.from_trials("time", found.time[1:], np.array([[1.2, 0.5, 0.4], [1.3, 0.5, 0.5]]))
    axes = panels_losses.limit(found, measured=finite)
    assert curve(axes, "training") == pytest.approx(np.stack([found.time, found.train_loss])[:, 1:])
    assert curve(axes, "test, infinite width") == pytest.approx(np.stack([found.time, found.test_loss])[:, 1:])
    assert line(axes, "training").get_linestyle() != line(axes, "test, infinite").get_linestyle()
    band = np.stack([found.test_loss - 1.96 * found.stderr, found.test_loss + 1.96 * found.stderr], axis=1)
    assert edges(axes.collections[0], found.time[1:]) == pytest.approx(band[1:])
    assert line(axes, "test at infinite time").get_ydata()[0] == 0.25
    assert points(axes, "measured") == pytest.approx(np.stack([finite.at, finite.loss]))


def test_forecast_has_its_band_and_the_beginning_of_extrapolation():
    (found,) = drawn()["forecast"]
    axes = panels_losses.forecast(found)
    assert curve(axes, "predicted") == pytest.approx(np.stack([found.curve.at, found.curve.loss]))
    assert edges(axes.collections[0], found.curve.at) == pytest.approx(np.stack([found.low, found.high], axis=1))
    assert line(axes, "extrapolated beyond 100").get_xdata()[0] == 100
    assert "90% band" in texts(axes)
    within = panels_losses.forecast(dataclasses.replace(found, reach=1000.0))
    assert not [text for text in texts(within) if "extrapolated" in text]


def test_forecast_leaves_out_an_infinite_loss():
    (found,) = drawn()["forecast"]
    loss = found.curve.loss.copy()
    loss[2] = np.inf
    axes = panels_losses.forecast(dataclasses.replace(found, curve=dataclasses.replace(found.curve, loss=loss)))
    assert np.isnan(curve(axes, "predicted")[1]).tolist() == [place == 2 for place in range(7)]


def test_losses_held_out_are_open_and_their_errors_in_the_title():
    (found,) = drawn()["held_out"]
    axes = panels_losses.held_out(found)
    beyond = found.forecast.beyond
    both = np.stack([found.measured.at, found.measured.loss])
    assert points(axes, "measured") == pytest.approx(both[:, ~beyond])
    assert points(axes, "measured, held out") == pytest.approx(both[:, beyond])
    faces = [bars.lines[0].get_markerfacecolor() for bars in axes.containers]
    assert faces[0] != faces[1]
    assert faces[1] == "white"
    assert axes.get_title() == "median error 9.1%, 100% inside the band"
    assert found.error == pytest.approx(1 - 1 / 1.1)


def test_nyquist_rates_end_the_curves_of_their_learners():
    found, spectrum = drawn()["nyquist_rate"]
    axes = panels_losses.nyquist_rate(found, spectrum)
    limited = nyquist.limited(spectrum)
    for label, learner, rate in (("this learner", spectrum, 128), ("limited", limited, 16)):
        n, loss = curve(axes, label)
        seen = np.isfinite(loss)
        assert n[seen].max() == pytest.approx(rate, rel=1e-3)
        assert loss[seen] == pytest.approx(np.asarray(equivalents.loss(learner, n[seen], np.inf, 0.0, 0.0)))
        assert line(axes, f"rate: n = {rate}").get_xdata()[0] == rate
    assert line(axes, "this learner").get_linestyle() != line(axes, "limited").get_linestyle()


def test_nyquist_rate_with_a_tolerance_has_the_learner_of_that_band():
    spectrum = dataclasses.replace(BAND, power=np.where(np.arange(128) < 16, 1 / 16, 1e-6))
    axes = panels_losses.nyquist_rate(nyquist.rate(spectrum, tolerance=1e-3), spectrum)
    n, loss = curve(axes, "limited")
    limited = nyquist.limited(spectrum, tolerance=1e-3)
    assert loss == pytest.approx(np.asarray(equivalents.loss(limited, n, np.inf, 0.0, 0.0)))


def test_target_without_a_band_leaves_the_learner_alone():
    spectrum = dataclasses.replace(BAND, tail=1.0, tail_power=0.1)
    axes = panels_losses.nyquist_rate(nyquist.rate(spectrum), spectrum)
    assert texts(axes) == ["this learner"]


def test_hestness_has_its_envelope_its_regions_and_the_adequate_sizes():
    (found,) = drawn()["hestness"]
    axes = panels_losses.hestness(found)
    sized = np.isfinite(found.adequate)
    assert sized.any()
    assert not sized.all()
    drawn_points = np.concatenate([bars.lines[0].get_xydata() for bars in axes.containers])
    both = np.column_stack([found.n, found.curve.loss])
    assert drawn_points == pytest.approx(np.concatenate([both[~sized], both[sized]]))
    assert [text.get_text() for text in axes.texts] == [f"{size:.3g}" for size in found.adequate[sized]]
    assert [text.xy[0] for text in axes.texts] == found.n[sized].tolist()
    at, loss = curve(axes, "regions")
    assert loss == pytest.approx(found.regions.predict(n=at).loss)
    start = found.regions["start"].value
    assert start == pytest.approx(60, rel=0.1)
    assert start in [one.get_xdata()[0] for one in axes.lines if one.get_linestyle() == ":"]
    told = " ".join(texts(axes))
    assert f"loss above 0.03 ~ n^{found.beta_g.value:.3f}" in told
    assert f"adequate size (written) ~ n^{found.beta_p.value:.3f}" in told


def test_pruned_has_every_seed_and_their_geometric_mean_until_one_diverges():
    (found,) = drawn()["pruned"]
    axes = panels_losses.pruned(found)
    seeds = [one for one in axes.lines if one.get_marker() == "o"]
    for one, loss in zip(seeds, found.loss.T, strict=True):
        assert one.get_linestyle() == "None"
        assert one.get_xdata() == pytest.approx(found.density)
        assert one.get_ydata() == pytest.approx(loss, nan_ok=True)
    mean = [np.sqrt(0.5 * 0.6), np.sqrt(0.4 * 0.5), np.nan, np.nan]
    assert curve(axes, "geometric mean") == pytest.approx(np.stack([found.density, mean]), nan_ok=True)


def test_excess_has_its_points_and_the_expected_slope_through_them():
    (found,) = drawn()["excess"]
    axes = panels_losses.excess(found)
    half = (found.exponent.high - found.exponent.low) / 2
    x, y = points(axes, f"measured {found.exponent.value:.3f} ± {half:.3f}")
    assert (x.tolist(), y.tolist()) == (found.curve.at.tolist(), found.curve.loss.tolist())
    ends, loss = curve(axes, "expected slope 1")
    assert np.diff(np.log(loss)) / np.diff(np.log(ends)) == pytest.approx([-1])
    assert np.exp(np.mean(np.log(y * x))) == pytest.approx(loss[0] * ends[0])


def test_excess_along_another_abscissa_is_drawn_on_it_without_what_is_negative():
    (found,) = drawn()["excess"]
    loss = found.curve.loss * np.array([1, -1, 1])
    other = dataclasses.replace(
        found, curve=dataclasses.replace(found.curve, loss=loss), abscissa=np.array([1.0, 2.0, 5.0]), sign=-1
    )
    axes = panels_losses.excess(other)
    assert axes.containers[0].lines[0].get_xdata().tolist() == [1.0, 5.0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("1/(1/n − 1/N)", "loss below that of\nthe infinite network")
    none = dataclasses.replace(found, curve=dataclasses.replace(found.curve, loss=-found.curve.loss))
    with pytest.raises(ValueError, match="no excess that is positive"):
        panels_losses.excess(none)


def test_extrapolation_tells_the_corner_from_what_was_held_out():
    found, measured_, corner = drawn()["extrapolation"]
    axes = panels_losses.extrapolation(found, measured_, corner)
    for label, chosen in ((f"corner, {found.inside}", corner), (f"held out, {found.outside}", ~corner)):
        assert curve(axes, label) == pytest.approx(np.stack([measured_.loss[chosen], found.predicted[chosen]]))
    assert line(axes, "held out").get_markerfacecolor() == "white"
    assert line(axes, "corner").get_markerfacecolor() != "white"
    with pytest.raises(ValueError, match="must have the shape of the predictions"):
        panels_losses.extrapolation(found, measured_, corner[:-1])


@functools.cache
def drawn_elsewhere():
    """What the functions of `plots` are called with; test_plots.py looks at what they draw."""
    noisy = drawn()["verdict"]
    table = curves.read({"n": N, "loss": banded().problem.loss})
    fit = curve_fits.analyse(table[0], "hestness", bootstrap=0)
    comparisons = tuple(
        dataclasses.replace(
            measured(regime),
            measured=LearningCurve(regime[-1], N, 1 / N, fixed={"n": 8.0, "k": 8.0}),
            predicted=LearningCurve(regime[-1], N, 1 / N),
        )
        for regime in ("resolution_n", "resolution_k", "variance_n", "variance_k")
    )
    return {
        "learning_curves": ([theory.predict_curve(SPECTRUM, n=N)], ["theory"]),
        "comparison": (comparisons[0],),
        "four_regimes": (bare(verify.Verification, comparisons=comparisons),),
        "phase_map": (phases.phase_map(SPECTRUM, n=N, k=N),),
        "prediction": (predict.predict(SPECTRUM.eigenvalues[:200]),),
        "fit": (fit,),
        "fits": ([fit, fit],),
        "verdicts": ([noisy, noisy],),
    }


def rows():
    """(module and class of the result, module and name of the function) of the table in the docs."""
    cell = r"\[[\w.]+\]\[regimes\.(\w+)\.(\w+)\]"
    return re.findall(rf"^\| {cell}(?:, several)? \| {cell} \|$", TABLE.read_text(encoding="utf-8"), flags=re.M)


def test_table_of_the_docs_has_every_figure_function_and_no_other_row():
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("| [")]
    assert len(rows()) == len(lines)
    there = {
        (module.__name__.removeprefix("regimes."), name)
        for module in (plots, panels, panels_losses, network_plots, work_plots)
        for name, one in vars(module).items()
        if inspect.isfunction(one) and one.__module__ == module.__name__ and not name.startswith("_")
    }
    assert {(module, name) for *_, module, name in rows()} == there


@pytest.mark.parametrize(("home", "kind", "module", "name"), rows())
def test_figure_that_the_docs_name_draws_that_result(home, kind, module, name):
    kind = getattr(importlib.import_module(f"regimes.{home}"), kind)
    assert "_repr_html_" in vars(kind)  # one of the results that show themselves
    if module in ("network_plots", "work_plots"):  # of whole experiments, drawn in the tests of these
        test = (Path(__file__).parent / f"test_{home}.py").read_text(encoding="utf-8")
        assert f"{module}.{name}(" in test
        return
    arguments = (drawn() if module.startswith("panels") else drawn_elsewhere())[name]
    parts = [part for one in arguments for part in (one if type(one) is list else [one])]
    parts += [part for one in parts if type(one) is tuple for part in one]
    assert any(isinstance(part, kind) for part in parts)
    found = getattr(importlib.import_module(f"regimes.{module}"), name)(*arguments)
    file = io.BytesIO()
    getattr(found, "figure", found).savefig(file, format="png")
    assert len(file.getvalue()) > 3000
