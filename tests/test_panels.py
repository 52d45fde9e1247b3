import functools
import inspect
import io

import numpy as np
import pytest

from regimes import (
    classify,
    dimension,
    envelopes,
    fits,
    laws,
    optima,
    panels,
    ranking,
    runs,
    spectra,
    theory,
)
from regimes.results import Comparison, Estimate, LearningCurve, LossSurface

N = np.geomspace(16, 512, 8)
SPECTRUM = spectra.power_law(0.5, 1.2, modes=1e4)


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
    trained = object.__new__(runs.Training)
    for name, value in {"steps": steps, "train_loss": falling, "test_loss": falling + 0.1}.items():
        object.__setattr__(trained, name, value)
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
    }


FUNCTIONS = {
    name: one
    for name, one in vars(panels).items()
    if inspect.isfunction(one) and one.__module__ == panels.__name__ and not name.startswith("_")
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
