import dataclasses
import functools
import inspect
import io
import itertools
import subprocess
import sys
import types
from xml.etree import ElementTree

import numpy as np
import pytest

from regimes import classify, curve_fits, curves, inputs, phases, plots, predict, spectra
from regimes.results import Comparison, Estimate, LearningCurve

REGIMES = ("resolution_n", "resolution_k", "variance_n", "variance_k")
LABELS = {
    "resolution_n": ("training samples n", "test loss"),
    "resolution_k": ("random features k", "test loss"),
    "variance_n": ("samples beyond the features, n − k", "excess over n = ∞"),
    "variance_k": ("features beyond the samples, k − n", "excess over k = ∞"),
}
AT = np.array([100.0, 200.0, 400.0, 800.0])


GRID = np.geomspace(2, 1e6, 25)
CROWDED = phases.phase_map(spectra.power_law(0.7, 1.5, modes=1e8), n=GRID, k=GRID, ridge=1e-3, noise=0.01)
"""A map with five phases."""
WIDE = phases.phase_map(spectra.power_law(0.7), n=np.array([10.0, 20, 40]), k=np.array([1000.0, 2000, 4000]))
"""A map with one."""


def made(regime, task="made up", stderr=0.01):
    """A comparison whose measured loss is 1.1 times the predicted 50/at."""
    along = regime[-1]
    fixed = {"k" if along == "n" else "n": 64.0}
    loss = 50 / AT
    return Comparison(
        task,
        regime,
        LearningCurve(along, AT, 1.1 * loss, None if stderr is None else np.full(4, stderr), fixed=fixed),
        LearningCurve(along, AT, loss, fixed=fixed),
        Estimate(0.512, 0.480, 0.544),
        Estimate.exact(0.345),
        along,
    )


@pytest.mark.parametrize("regime", REGIMES)
def test_axes_are_returned_with_labels_and_log_scales(regime):
    axes = plots.comparison(made(regime))
    assert (axes.get_xlabel(), axes.get_ylabel()) == LABELS[regime]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_title().lower().startswith(regime.split("_")[0])


def test_callers_axes_are_drawn_on_and_returned():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert plots.comparison(made("resolution_n"), ax=axes) is axes
    assert axes.lines


@pytest.mark.parametrize("regime", REGIMES)
def test_legend_names_the_task_and_both_exponents_with_the_width_of_their_intervals(regime):
    (text,) = [text.get_text() for text in plots.comparison(made(regime)).get_legend().get_texts()]
    assert text == "made up\npredicted 0.345, measured 0.512 ± 0.032"


@pytest.mark.parametrize("regime", REGIMES)
def test_points_are_the_measured_and_the_line_the_predicted_loss_at_their_abscissa(regime):
    axes = plots.comparison(made(regime))
    points, line = axes.containers[0].lines[0], axes.lines[-1]
    x = AT - 64 if regime.startswith("variance") else AT
    assert points.get_xydata() == pytest.approx(np.column_stack([x, 1.1 * 50 / AT]))
    assert line.get_xydata() == pytest.approx(np.column_stack([x, 50 / AT]))
    assert points.get_linestyle() == "None"
    assert line.get_linestyle() == "-"


def test_error_bars_are_95_percent_intervals_that_stay_positive():
    def bars(stderr):
        (segments,) = plots.comparison(made("resolution_n", stderr=stderr)).containers[0].lines[2]
        return np.array([segment[:, 1] for segment in segments.get_segments()])

    loss = 1.1 * 50 / AT
    assert bars(0.01) == pytest.approx(np.column_stack([loss - 0.0196, loss + 0.0196]))
    assert (bars(10.0) > 0).all()


def test_curve_without_standard_errors_has_no_error_bars():
    assert not plots.comparison(made("resolution_n", stderr=None)).containers[0].has_yerr


def test_figure_has_a_panel_for_each_regime_and_a_colour_and_marker_for_each_task():
    figure = plots.four_regimes([made(regime, task) for task in ("one", "two") for regime in REGIMES])
    panels = figure.axes
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in panels] == [LABELS[regime] for regime in REGIMES]
    styles = set()
    for axes in panels:
        texts = [text.get_text() for text in axes.get_legend().get_texts()]
        assert [text.partition("\n")[0] for text in texts] == ["one", "two"]
        assert all("predicted 0.345, measured 0.512 ± 0.032" in text for text in texts)
        styles.add(tuple((bar.lines[0].get_color(), bar.lines[0].get_marker()) for bar in axes.containers))
    ((first, second),) = styles
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_a_verification_is_drawn_as_its_comparisons():
    found = types.SimpleNamespace(comparisons=tuple(made(regime, "one") for regime in REGIMES))
    assert [len(axes.containers) for axes in plots.four_regimes(found).axes] == [1, 1, 1, 1]


def test_all_points_lie_inside_the_axes_and_below_the_legend():
    figure = plots.four_regimes([made(regime, task) for task in ("one", "two") for regime in REGIMES])
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert low < (50 / AT).min()
        assert high > (55 / AT).max()
        legend = axes.get_legend().get_window_extent()
        top = axes.transData.transform([(AT.min(), (55 / AT).max())])[0, 1]
        assert top < legend.y1


# Learning curves


def curve(along="n", at=AT, stderr=None, scale=50.0):
    return LearningCurve(along, at, scale / at, stderr)


@pytest.mark.parametrize(
    ("along", "label"),
    [("n", "training samples n"), ("k", "random features k"), ("ridge", "ridge δ"), ("time", "training time t")],
)
def test_learning_curves_name_their_axis(along, label):
    axes = plots.learning_curves([curve(along)], ["theory"])
    assert (axes.get_xlabel(), axes.get_ylabel()) == (label, "test loss")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_predictions_are_lines_and_measurements_points_with_95_percent_intervals():
    predicted, measured = curve(), curve(stderr=np.full(4, 0.01), scale=55.0)
    axes = plots.learning_curves([predicted, measured], ["theory", "experiment"])
    (bars,) = axes.containers
    points, (segments,) = bars.lines[0], bars.lines[2]
    assert (points.get_linestyle(), points.get_marker()) == ("None", "s")
    assert points.get_xydata() == pytest.approx(np.column_stack([AT, 55 / AT]))
    assert np.array([segment[:, 1] for segment in segments.get_segments()]) == pytest.approx(
        np.column_stack([55 / AT - 0.0196, 55 / AT + 0.0196])
    )
    line = next(line for line in axes.lines if line is not points and len(line.get_xdata()))
    assert line.get_xydata() == pytest.approx(np.column_stack([AT, 50 / AT]))
    assert (line.get_linestyle(), line.get_marker()) == ("-", "None")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["theory", "experiment"]


def test_each_prediction_has_a_colour_and_a_dash_of_its_own():
    axes = plots.learning_curves([curve(scale=scale) for scale in (1.0, 2, 3, 4, 5)], list("abcde"))
    assert len({line.get_color() for line in axes.lines}) == 5
    assert len({str(line._dash_pattern) for line in axes.lines}) == 5


def test_infinite_loss_is_a_gap_in_the_line():
    loss = np.array([1.0, np.inf, 2.0, 1.0])
    (line,) = plots.learning_curves([LearningCurve("n", AT, loss)], ["theory"]).lines
    assert line.get_ydata() == pytest.approx([1, np.nan, 2, 1], nan_ok=True)


@pytest.mark.parametrize("decades", [0.3, 1, 3, 5, 12])
def test_both_axes_have_labelled_ticks_over_few_and_many_decades(decades):
    at = np.geomspace(1, 10.0**decades, 9)
    axes = plots.learning_curves([curve(at=at)], ["theory"])
    axes.figure.draw_without_rendering()
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        seen = [
            tick.get_loc()
            for tick in axis.get_major_ticks()
            if tick.label1.get_text() and low <= tick.get_loc() <= high
        ]
        assert 2 <= len(seen) <= 14


@pytest.mark.parametrize(
    ("curves", "labels", "says"),
    [
        ([curve("n"), curve("k")], ["a", "b"], "`curves` must run along one and the same axis"),
        ([], [], "`curves` must run along one and the same axis"),
        ([curve(), curve()], ["a"], "`labels` must be one per curve: expected 2, got 1"),
    ],
)
def test_curves_that_do_not_fit_together_are_refused(curves, labels, says):
    with pytest.raises(ValueError, match=says):
        plots.learning_curves(curves, labels)


# Phase maps


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize("found", [CROWDED, WIDE], ids=["crowded", "one phase"])
def test_map_spans_its_grid_and_its_legend_names_the_phases_present_and_no_others(found):
    axes = plots.phase_map(found)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("training samples n", "random features k")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlim() == (found.surface.n[0], found.surface.n[-1])
    assert axes.get_ylim() == (found.surface.k[0], found.surface.k[-1])
    names = [plots._PHASE_NAME[name] for name in found.fractions]
    assert [text for text in legend(axes) if text in plots._PHASE_NAME.values()] == names


def test_the_maps_of_these_tests_have_five_phases_and_one():
    assert set(CROWDED.fractions) == {"data", "width", "interpolation", "noise", "ridge"}
    assert set(WIDE.fractions) == {"data"}


def test_peak_is_drawn_and_named_where_there_is_one():
    with_peak, without = plots.phase_map(CROWDED), plots.phase_map(dataclasses.replace(WIDE, peak=np.full(3, np.nan)))
    assert "peak in n" in legend(with_peak)
    assert "peak in n" not in legend(without)
    (dashed,) = [line for line in with_peak.lines if line.get_linestyle() == "--"]
    assert dashed.get_xdata() == pytest.approx(CROWDED.peak, nan_ok=True)
    assert dashed.get_ydata() == pytest.approx(GRID)


def test_colour_of_each_cell_is_that_of_its_phase():
    mesh = plots.phase_map(CROWDED).collections[0]
    number = np.array([[phases.PHASES.index(name) for name in row] for row in CROWDED.phase])
    assert np.array_equal(mesh.get_array().reshape(number.T.shape), number.T)
    colours = [mesh.cmap(mesh.norm(phases.PHASES.index(name)))[:3] for name in CROWDED.fractions]
    from matplotlib.colors import to_rgb

    assert colours == [to_rgb(plots._PHASE_LOOK[name][0]) for name in CROWDED.fractions]


def test_labels_of_the_contours_are_levels_of_the_reducible_loss():
    axes = plots.phase_map(CROWDED)
    loss = CROWDED.surface.loss - 0.01
    values = np.array([float(text.get_text()) for text in axes.texts])
    assert len(values) >= 3
    assert ((values > loss.min()) & (values < loss.max())).all()


def test_map_with_a_single_row_is_drawn():
    found = phases.phase_map(spectra.power_law(0.7), n=np.array([10.0]), k=GRID[GRID < 1e3])
    assert plots.phase_map(found).get_legend() is not None


@pytest.mark.parametrize(
    "draw",
    [lambda ax: plots.phase_map(WIDE, ax=ax), lambda ax: plots.learning_curves([curve()], ["theory"], ax=ax)],
    ids=["map", "curves"],
)
def test_maps_and_curves_are_drawn_on_the_callers_axes(draw):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert draw(axes) is axes
    assert axes.get_legend() is not None


# Predictions


@functools.cache
def predicted(listed=False):
    """An analysis of 160 planted samples, or of a list of eigenvalues."""
    eigenvalues = np.arange(1, 801.0) ** -1.6
    if listed:
        return predict.predict(inputs.read(eigenvalues), n=[10, 40, 160], k=40)
    phi = np.random.default_rng(0).standard_normal((160, 800)) * np.sqrt(eigenvalues)
    source = inputs.read(phi @ phi.T, kind="gram", targets=phi @ eigenvalues**0.25)
    return predict.predict(source, n=[10, 40, 159, 1600], k=40, noise=0.01, hold_out=False, draws=20)


PANELS = ["Eigenvalues", "Loss of the kernel's prior", "Local exponent", "Learning curve"]


@pytest.mark.parametrize("listed", [False, True])
def test_prediction_has_four_panels_with_labels_and_legends(listed):
    panels = plots.prediction(predicted(listed)).axes
    assert [axes.get_title().partition(":")[0] for axes in panels] == PANELS
    assert all(axes.get_xscale() == "log" for axes in panels)
    assert [axes.get_yscale() for axes in panels] == ["log", "log", "linear", "log"]
    assert all(axes.get_xlabel() and axes.get_ylabel() and axes.get_legend() for axes in panels)
    names = [text.get_text() for text in panels[3].get_legend().get_texts()]
    assert names[:2] == ["predicted, k = ∞", "predicted, k = 40"]
    assert ("leave-one-out" in names) is not listed
    lines = [line for line in panels[3].lines if str(line.get_label()).startswith("predicted")]
    assert len({line.get_color() for line in lines}) == len({line.get_linestyle() for line in lines}) == 2


def test_prediction_shows_the_numbers_that_were_found():
    found = predicted()
    eigenvalues, prior, local, curve = plots.prediction(found).axes

    def line(axes, label):
        (one,) = [one for one in axes.lines if str(one.get_label()).startswith(label)]
        return one.get_xydata()

    points = line(eigenvalues, "of K/N")
    assert points[:, 1] == pytest.approx(found.eigenvalues[points[:, 0].astype(int) - 1])
    corrected = line(eigenvalues, "population")
    assert np.all(np.diff(corrected[:, 1]) <= 0)
    assert corrected[-1, 0] <= found.spectrum.resolved
    seen = found.pivots.at >= 3
    assert line(prior, "pivots") == pytest.approx(np.column_stack([found.pivots.at[seen], found.pivots.loss[seen]]))
    assert line(local, "local") == pytest.approx(np.column_stack([found.law.n, found.law.exponent]))
    alpha = next(one.estimate for one in found.readings if one.quantity == "alpha" and one.default)
    assert line(local, "α") == pytest.approx(np.column_stack([alpha.window, [alpha.value] * 2]))
    drawn = found.drawn[0].curve
    assert line(curve, "predicted, k = ∞") == pytest.approx(np.column_stack([drawn.at, drawn.loss]))
    assert line(curve, "beyond")[:, 0].tolist() == [160, 160]
    assert line(curve, "noise")[:, 1].tolist() == [0.01, 0.01]
    measured = curve.containers[0].lines[0].get_xydata()
    assert measured == pytest.approx(np.column_stack([found.measured.at, found.measured.loss]))


def test_peak_of_a_prediction_leaves_the_panel_so_that_the_other_curves_fill_it():
    found = predicted()
    assert np.isinf(found.forecasts[1].curve.loss[1])
    peak = dataclasses.replace(found.drawn[1].curve, loss=np.where(found.drawn[1].curve.at == 40, 1e9, 0.1))
    steep = dataclasses.replace(found, drawn=(found.drawn[0], dataclasses.replace(found.drawn[1], curve=peak)))
    loss = found.drawn[0].curve.loss
    for one in (found, steep):
        *_, curve = plots.prediction(one).axes
        low, high = curve.get_ylim()
        assert low < loss.min()
        assert high < 100 * (found.spectrum.total_power + 0.01)
        assert np.log(loss.max() / loss.min()) > 0.15 * np.log(high / low)


def test_rounding_is_not_drawn():
    found = predicted()
    lost = dataclasses.replace(found, eigenvalues=np.append(found.eigenvalues[:100], found.eigenvalues[0] * 1e-17))
    axes = plots.prediction(lost).axes[0]
    assert axes.lines[0].get_xdata().max() == 100


# Form


def test_svg_parses_and_keeps_its_text_as_text():
    file = io.BytesIO()
    plots.four_regimes([made(regime) for regime in REGIMES]).savefig(file, format="svg")
    root = ElementTree.fromstring(file.getvalue())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 20


def test_drawing_leaves_the_callers_settings_as_they_were():
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.four_regimes([made(regime) for regime in REGIMES])
    plots.phase_map(CROWDED).figure.savefig(io.BytesIO(), format="png")
    plots.learning_curves([curve()], ["theory"])
    plots.prediction(predicted(True)).savefig(io.BytesIO(), format="png")
    assert dict(matplotlib.rcParams) == before


def test_drawing_never_imports_pyplot():
    code = """
import sys
import types
sys.path.insert(0, {folder!r})
import test_plots
test_plots.plots.four_regimes([test_plots.made(regime) for regime in test_plots.REGIMES])
test_plots.plots.comparison(test_plots.made("variance_k"))
test_plots.plots.phase_map(test_plots.WIDE)
test_plots.plots.learning_curves([test_plots.curve()], ["theory"])
test_plots.plots.prediction(test_plots.predicted(True))
print("matplotlib.figure" in sys.modules, "matplotlib.pyplot" in sys.modules)
"""
    code = code.format(folder=__file__.rpartition("test_plots.py")[0])
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


# Fits of laws, and verdicts


def analysed(points=12, seed=0, table=None, **options):
    """A fit as `regimes fit` makes it, of laws that are quick to fit."""
    n = np.geomspace(100, 204800, points)
    loss = (3 * n**-0.4 + 0.05) * np.exp(0.01 * np.random.default_rng(seed).standard_normal(points))
    (curve,) = curves.read({"n": n, "loss": loss} if table is None else table)
    return curve_fits.analyse(curve, options.pop("law", ["power", "hestness"]), bootstrap=20, **options)


@pytest.fixture(scope="module")
def one_fit():
    return analysed()


def test_fit_shows_the_points_the_law_and_the_forecast_with_its_band(one_fit):
    axes = plots.fit(one_fit)
    seen, held = (bars.lines[0].get_xydata() for bars in axes.containers)
    assert np.vstack([seen, held]) == pytest.approx(np.column_stack([one_fit.curve.scales["n"], one_fit.curve.loss]))
    assert seen[:, 0].max() == pytest.approx(one_fit.split)
    made = one_fit.forecast()
    lines = {line.get_label(): line.get_xydata() for line in axes.lines}
    assert lines["hestness, all points"] == pytest.approx(np.column_stack([made.at, made.loss])[~made.beyond])
    assert lines["forecast"] == pytest.approx(np.column_stack([made.at, made.loss])[made.beyond])
    edge = axes.collections[0].get_paths()[0].vertices
    assert edge[:, 1].max() == pytest.approx(made.high.max())
    assert edge[:, 1].min() == pytest.approx(made.low.min())
    at, loss = lines["up to the split"].T
    assert loss == pytest.approx(one_fit.held.predict(n=at).loss)


def test_fits_of_one_curve_have_residuals_and_ranks_beside_it(one_fit):
    first, second, third = plots.fits([one_fit]).axes
    assert first.get_xscale() == first.get_yscale() == "log"
    (residuals,) = [line for line in second.lines if line.get_marker() == "o"]
    assert residuals.get_ydata() == pytest.approx(one_fit.fit.residuals)
    dots = {round(line.get_ydata()[0]): line.get_xdata()[0] for line in third.lines if line.get_marker() == "o"}
    names = [label.get_text() for label in third.get_yticklabels()]
    assert {names[row]: error for row, error in dots.items()} == {
        rank.law: pytest.approx(rank.error.value) for rank in one_fit.ranks
    }
    assert names[-1] == one_fit.ranks[0].law  # the best on top


def test_fits_of_several_curves_have_a_panel_each_and_the_ranks_of_all(one_fit):
    flat = analysed(table={"n": AT, "loss": np.full(4, 0.3)}, law="power")
    figure = plots.fits([one_fit, analysed(seed=1), flat])
    figure.draw_without_rendering()
    assert [ax.get_title() for ax in figure.axes[:4]] == [
        "the table: hestness", "the table: hestness", "the table", "Ranking over 3 curves (quartiles)"
    ]  # fmt: skip
    assert any("all losses are" in text.get_text() for text in figure.axes[2].texts)
    assert len(plots.fits([one_fit] * 12, most=2).axes) == 3


def test_fit_in_several_scales_shows_what_is_predicted_against_what_is_measured():
    n, k = (part.ravel() for part in np.meshgrid(np.geomspace(10, 1e4, 5), np.geomspace(10, 1e4, 5)))
    found = analysed(table={"n": n, "k": k, "loss": 1 + n**-0.5 + k**-0.4}, law="chinchilla")
    axes = plots.fit(found)
    points = np.vstack([bars.lines[0].get_xydata() for bars in axes.containers])
    assert points[:, 0] == pytest.approx(points[:, 1], rel=1e-6)
    assert np.sort(points[:, 0]) == pytest.approx(np.sort(found.curve.loss))
    assert axes.get_xlim() == axes.get_ylim()


@pytest.mark.parametrize("last", [150, 1e3, 1e4, 1e7])
def test_tick_labels_of_a_fit_do_not_overlap(last):
    n = np.geomspace(100, last, 10)
    figure = plots.fits([analysed(table={"n": n, "loss": 2 * n**-0.3})])
    figure.draw_without_rendering()
    for ax in figure.axes[:2]:
        low, high = ax.get_xlim()
        boxes = [
            label.get_window_extent()
            for label, place in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)
            if low <= place <= high and label.get_text()
        ]
        boxes.sort(key=lambda box: box.x0)
        assert len(boxes) >= 2
        assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_verdicts_have_a_panel_each_with_the_regime_and_the_exponent():
    curve = LearningCurve("n", np.geomspace(10, 1e4, 10), 2 * np.geomspace(10, 1e4, 10) ** -0.5, fixed={"k": np.inf})
    verdict = classify.classify(curve)
    figure = plots.verdicts([(curve, verdict)] * 4)
    assert len(figure.axes) == 6
    title = figure.axes[0].get_title()
    assert verdict.regime.value in title
    assert "k = inf" in title
    assert "exponent 0.500" in title
    points = figure.axes[0].containers[0].lines[0].get_xydata()
    assert points == pytest.approx(np.column_stack([curve.at, curve.loss]))
    assert len(plots.verdicts([(curve, verdict)] * 20, most=6).axes) == 6


# What all figures have in common


@functools.cache
def drawn():
    """Every public function of the module: what it is called with."""
    noisy = LearningCurve("n", np.geomspace(10, 1e4, 10), 2 * np.geomspace(10, 1e4, 10) ** -0.5, fixed={"k": np.inf})
    one = analysed()
    return {
        "four_regimes": ([made(regime) for regime in REGIMES],),
        "comparison": (made("resolution_n"),),
        "learning_curves": ([curve(), curve(stderr=np.full(4, 0.01))], ["predicted", "measured"]),
        "phase_map": (CROWDED,),
        "prediction": (predicted(),),
        "fits": ([one],),
        "fit": (one,),
        "verdicts": ([(noisy, classify.classify(noisy))],),
    }


def functions(module):
    return {
        name: one
        for name, one in vars(module).items()
        if inspect.isfunction(one) and one.__module__ == module.__name__ and not name.startswith("_")
    }


def test_every_public_function_is_drawn_here():
    assert set(drawn()) == set(functions(plots))


@pytest.mark.parametrize("name", sorted(functions(plots)))
def test_one_panel_takes_the_callers_axes_and_returns_them_and_several_make_a_figure(name):
    from matplotlib.figure import Figure

    function, arguments = functions(plots)[name], drawn()[name]
    if "ax" in inspect.signature(function).parameters:
        axes = Figure().subplots()
        assert function(*arguments, ax=axes) is axes
        assert function(*arguments).figure is not axes.figure
    else:
        assert isinstance(function(*arguments), Figure)


@pytest.mark.parametrize("name", sorted(functions(plots)))
def test_logarithmic_axes_have_minor_ticks(name):
    found = functions(plots)[name](*drawn()[name])
    panels = getattr(found, "axes", None)
    for axes in panels if isinstance(panels, list) else [found]:
        for axis, scale in ((axes.xaxis, axes.get_xscale()), (axes.yaxis, axes.get_yscale())):
            low, high = axis.get_view_interval()
            if scale == "log" and axes.axison and high > 10 * low:
                assert np.sum((axis.get_minorticklocs() > low) & (axis.get_minorticklocs() < high)) >= 4


def in_grey(artist):
    """What an artist looks like without colour: dash and marker."""
    return artist.get_linestyle(), artist.get_marker()


@pytest.mark.parametrize("name", ["comparison", "learning_curves"])
def test_predicted_and_measured_differ_in_grey(name):
    axes = functions(plots)[name](*drawn()[name])
    (bars,) = axes.containers
    measured = bars.lines[0]
    (line,) = [one for one in axes.lines if one is not measured and one.get_linestyle() == "-" and len(one.get_xdata())
               == len(AT) and one.get_marker() == "None"]  # fmt: skip
    assert in_grey(measured) != in_grey(line)
    assert in_grey(measured)[0] == "None"
    assert in_grey(measured)[1] not in ("None", "", None)


def test_markers_and_dashes_tell_five_curves_apart_and_their_greys_are_not_all_one():
    from matplotlib.colors import to_rgb

    assert len({marker for _, marker in plots.STYLES}) == len(plots.STYLES) == len({str(d) for d in plots._DASHES})
    greys = [float(np.dot(to_rgb(colour), [0.2126, 0.7152, 0.0722])) for colour, _ in plots.STYLES]
    assert max(greys) - min(greys) > 0.2


def test_figure_in_grey_still_shows_line_and_points_apart():
    """The grey picture with both has ink where the picture of the line alone has none, and the reverse."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def ink(curves, labels):
        figure = Figure(figsize=(3, 3), dpi=100)
        canvas = FigureCanvasAgg(figure)
        axes = plots.learning_curves(curves, labels, ax=figure.subplots())
        axes.get_legend().remove()
        axes.set(xlim=(90, 900), ylim=(0.03, 1.2))
        canvas.draw()
        picture = np.asarray(canvas.buffer_rgba())[:, :, :3] @ np.array([0.2126, 0.7152, 0.0722])
        inside = axes.get_window_extent()
        return (
            picture[int(300 - inside.y1) + 3 : int(300 - inside.y0) - 3, int(inside.x0) + 3 : int(inside.x1) - 3] < 200
        )

    predicted, measured = curve(), curve(stderr=np.full(4, 0.01), scale=70.0)
    line, points = ink([predicted], ["a"]), ink([measured], ["b"])
    joined = ink([predicted, measured], ["a", "b"])
    assert line.sum() > 100
    assert points.sum() > 50
    assert (joined & ~line).sum() > 50
    # Every column under the line has ink, and few of those under four separate points.
    assert line.any(axis=0).mean() > 0.8
    assert points.any(axis=0).mean() < 0.4
