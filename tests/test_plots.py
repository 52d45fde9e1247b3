import io
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from regimes import plots
from regimes.results import Comparison, Estimate, LearningCurve

REGIMES = ("resolution_n", "resolution_k", "variance_n", "variance_k")
LABELS = {
    "resolution_n": ("training samples n", "test loss"),
    "resolution_k": ("random features k", "test loss"),
    "variance_n": ("samples beyond the features, n − k", "excess over n = ∞"),
    "variance_k": ("features beyond the samples, k − n", "excess over k = ∞"),
}
AT = np.array([100.0, 200.0, 400.0, 800.0])


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
    assert dict(matplotlib.rcParams) == before


def test_drawing_never_imports_pyplot():
    code = """
import sys
sys.path.insert(0, {folder!r})
import test_plots
test_plots.plots.four_regimes([test_plots.made(regime) for regime in test_plots.REGIMES])
test_plots.plots.comparison(test_plots.made("variance_k"))
print("matplotlib.figure" in sys.modules, "matplotlib.pyplot" in sys.modules)
"""
    code = code.format(folder=__file__.rpartition("test_plots.py")[0])
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
