import math
import socket
import sys
import time as clock

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from regimes import asymptotics, dynamics, equivalents, explore, overlays, phases, results, spectra, theory
from regimes import profiles as kernel_profiles
from regimes.commands import explore as command
from regimes.explore import Knobs
from regimes.spectrum import Spectrum

LAW = explore.power_law(0.7, 1.5)


@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 0.2), (0.7, 1.5), (3.0, 6.0), (2.0, 0.5)])
@pytest.mark.parametrize("ridge", [0.0, 1e-10, 1e-3, 10.0])
def test_losses_from_the_table_are_those_of_the_theory(alpha, beta, ridge):
    of = explore.power_law(alpha, beta)
    sizes, knobs = of.sizes(17), Knobs(0.01, ridge)
    for n, k in ((sizes[:, None], sizes), (sizes, np.inf), (np.inf, sizes)):
        known = equivalents.loss(of.spectrum, n, k, ridge, 0.01)
        found = explore.losses(of, n, k, knobs)
        assert np.array_equal(np.isinf(found), np.isinf(known))
        finite = np.isfinite(known)
        np.testing.assert_allclose(found[finite], known[finite], rtol=1e-6)


def test_losses_of_a_kernel_with_degenerate_levels():
    spectrum = spectra.sphere(kernel_profiles.ntk(depth=1), 5)
    of = explore.tabulate(spectrum)
    sizes = of.sizes(17)
    known = equivalents.loss(spectrum, sizes[:, None], 1.1 * sizes, 0.01, 0.1)
    np.testing.assert_allclose(explore.losses(of, sizes[:, None], 1.1 * sizes, Knobs(0.1, 0.01)), known, rtol=1e-6)


@pytest.mark.parametrize("time", [0.01, 1e2, 1e5, 1e12])
def test_losses_at_a_finite_time_are_those_of_gradient_flow(time):
    sizes = LAW.sizes(9)
    known = dynamics.gradient_flow(LAW.spectrum, time, sizes[:, None], sizes, 1e-3, 0.01)
    np.testing.assert_allclose(explore.losses(LAW, sizes[:, None], sizes, Knobs(0.01, 1e-3, time)), known, rtol=2e-4)


@pytest.mark.parametrize(
    "knobs", [Knobs(), Knobs(0.01), Knobs(0.01, 1e-3), Knobs(0.0, 1.0), Knobs(0.01, 1e-3, 1e3), Knobs(0.0, 0.0, 30.0)]
)
def test_regimes_are_those_of_the_phase_map(knobs):
    found = explore.surface(LAW, knobs)
    assert found.draft == math.isfinite(knobs.time)
    known = phases.phase_map(LAW.spectrum, n=found.n, k=found.k, noise=knobs.noise, ridge=knobs.ridge, time=knobs.time)
    assert np.array_equal(found.phase, known.phase)


def test_finer_map_comes_in_slices_and_is_the_same_surface():
    knobs = Knobs(0.01, 1e-3, 1e3)
    *waiting, found = explore.refine(LAW, knobs)
    assert waiting == [None] * len(waiting)
    assert len(waiting) > 3
    known = explore.surface(LAW, knobs, found.n, found.k)
    np.testing.assert_allclose(found.loss, known.loss, rtol=1e-12)
    assert np.array_equal(found.phase, known.phase)
    assert not found.draft


def test_boundaries_part_different_regimes():
    found = explore.surface(LAW, Knobs(0.01, 1e-3))
    lines = explore.boundaries(found)
    sides = []
    for n, k in np.concatenate(lines)[::5]:
        around = np.exp([-0.25, 0.0, 0.25])
        near = explore.surface(LAW, Knobs(0.01, 1e-3), np.clip(n * around, 2, 1e6), np.clip(k * around, 2, 1e6))
        sides.append(len(set(near.phase.ravel())) > 1)
    assert len(lines) >= 4
    assert np.mean(sides) > 0.98


def test_noise_takes_over_where_the_formula_says():
    lines = explore.boundaries(explore.surface(LAW, Knobs(0.01)))
    widest = [line[line[:, 1].argmax()] for line in lines if line[:, 1].max() > 9e5]
    crossing = asymptotics.noise_crossover(0.7, 1.5, noise=0.01)
    assert min(abs(math.log(n / crossing)) for n, _ in widest) < math.log(1.5)


def test_labels_stand_in_their_regimes():
    found = explore.surface(LAW, Knobs(0.01, 1e-3))
    placed = explore.labels(found)
    assert {"data", "width", "interpolation", "noise"} <= {one.phase for one in placed}
    for n, k, name, side in placed:
        assert found.phase[np.searchsorted(found.n, n * 0.999), np.searchsorted(found.k, k * 0.999)] == name
        part = math.log(n / found.n[0]) / math.log(found.n[-1] / found.n[0])
        assert {"left": part < 0.1, "center": 0.1 < part < 0.9, "right": part > 0.9}[side]
    assert {one.phase: one.side for one in placed}["data"] == "left"


@pytest.mark.parametrize("along", ["n", "k"])
def test_exponents_along_a_curve_are_the_derivatives_of_the_theory(along):
    knobs = Knobs(0.01, 1e-3)
    made = explore.curve(LAW, along, 700.0, 9000.0, knobs, points=33)
    place = {"n": 700.0, "k": 9000.0} | {along: made.at[1:-1]}
    known = getattr(theory.local_exponents(LAW.spectrum, place["n"], place["k"], 1e-3, 0.01), along)
    np.testing.assert_allclose(made.exponent[1:-1], known, atol=2e-3)
    np.testing.assert_allclose(made.loss[1:-1], equivalents.loss(LAW.spectrum, **place, ridge=1e-3, noise=0.01), 1e-6)


def test_exponents_tend_to_those_of_the_power_law():
    of = explore.power_law(0.5, 1.2)
    assert explore.point(of, 1e4, 1e6, Knobs()).exponents["n"] == pytest.approx(1.2, abs=0.05)
    assert explore.point(of, 1e6, 1e4, Knobs()).exponents["k"] == pytest.approx(1.2, abs=0.05)
    infinite = explore.curve(of, "time", 1e6, 1e6, Knobs(), points=48)
    late = (infinite.at > 1e2) & (infinite.at < 1e4)
    np.testing.assert_allclose(infinite.exponent[late], 1.2 / 1.5, atol=0.05)  # beta/(1+alpha)


def test_curve_has_a_gap_where_the_loss_is_infinite():
    sizes = LAW.sizes(121)
    made = explore.curve(LAW, "n", 700.0, float(sizes[60]), Knobs())
    assert np.flatnonzero(np.isinf(made.loss)).tolist() == [60]
    assert np.isnan(made.exponent[60])


def test_point_gives_the_numbers_of_the_theory():
    exact, quick = (explore.point(LAW, 700.0, 9000.0, Knobs(0.01, 1e-3), quick=each) for each in (False, True))
    assert exact.loss == equivalents.loss(LAW.spectrum, 700, 9000, 1e-3, 0.01)
    known = theory.local_exponents(LAW.spectrum, 700, 9000, 1e-3, 0.01)
    assert exact.exponents == {"n": known.n, "k": known.k}
    assert quick.exponents == pytest.approx(exact.exponents, abs=1e-4)
    assert "fitted label noise" in str(exact)
    assert exact.phase == "noise"


def test_point_at_a_late_time_is_that_of_no_limit_on_time():
    late, ended = (explore.point(LAW, 700.0, 9000.0, Knobs(0.01, 1e-3, time)) for time in (1e9, math.inf))
    assert late.loss == pytest.approx(ended.loss, rel=1e-6)
    assert late.exponents.pop("time") == pytest.approx(0, abs=1e-6)
    assert late.exponents == pytest.approx(ended.exponents, abs=1e-4)
    assert late.phase == ended.phase


@pytest.mark.slow
def test_point_at_a_finite_time_has_the_derivatives_of_the_theory():
    found = explore.point(LAW, 700.0, 9000.0, Knobs(0.01, 1e-3, 300.0))
    assert found.loss == pytest.approx(dynamics.gradient_flow(LAW.spectrum, 300, 700, 9000, 1e-3, 0.01), rel=1e-12)
    known = theory.local_exponents(LAW.spectrum, 700, 9000, 1e-3, 0.01, 300)
    assert found.exponents == pytest.approx({"n": known.n, "k": known.k, "time": known.time}, abs=1e-3)


def test_measured_losses_are_laid_on_the_curve():
    made = explore.curve(LAW, "n", 700.0, 9000.0, Knobs(0.01))
    at = np.array([20.0, 100.0, 400.0])
    loss = explore.losses(LAW, at, 9000.0, Knobs(0.01)) / 7
    assert explore.matching_factor(made, at, loss) == pytest.approx(7, rel=1e-3)
    assert explore.matching_factor(made, 1e8 * at, loss) == 1


@pytest.mark.parametrize(
    ("spectrum", "words"),
    [
        (spectra.power_law(1.0, modes=10, tail=False), "resolves sizes up to 1 only"),
        (spectra.listed(np.arange(100, 0, -1.0), np.zeros(100)), "power is zero everywhere"),
    ],
)
def test_spectrum_that_cannot_be_shown_is_refused(spectrum, words):
    with pytest.raises(ValueError, match=words):
        explore.tabulate(spectrum)


# Files on top.


def write(path, text):
    path.write_text(text)
    return path


def table(tmp_path):
    rows = [f"{n},{k},{1 / n + 1 / k}" for n in (10, 20, 40) for k in (8, 16, 32)]
    return write(tmp_path / "grid.csv", "n,k,loss\n" + "\n".join(rows) + "\n")


def test_saved_spectrum_is_read_back(tmp_path):
    known = spectra.power_law(0.7, 1.5, modes=1e6)
    names = ("eigenvalues", "power", "multiplicity", "tail", "tail_power")
    np.savez(tmp_path / "s.npz", **{name: getattr(known, name) for name in names})
    found = overlays.read(tmp_path / "s.npz").spectrum
    for name in names:
        np.testing.assert_array_equal(getattr(found, name), getattr(known, name))


def test_spectrum_of_predict_and_bare_eigenvalues(tmp_path):
    levels = write(tmp_path / "spectrum.csv", "eigenvalue,multiplicity,power\n0.5,10,2\n1,3,4\n")
    found = overlays.read(levels).spectrum
    assert found.eigenvalues.tolist() == [1, 0.5]
    assert found.power.tolist() == [4, 2]
    assert found.multiplicity.tolist() == [3, 10]
    values = 1.0 / np.arange(1, 40)
    np.save(tmp_path / "values.npy", values)
    assert overlays.read(tmp_path / "values.npy").spectrum.power.tolist() == values.tolist()
    bare = write(tmp_path / "bare.csv", "\n".join(f"{value:.17g}" for value in values) + "\n")
    np.testing.assert_allclose(overlays.read(bare).spectrum.eigenvalues, values)


def test_noise_that_belongs_to_a_spectrum_is_read(tmp_path):
    np.savez(tmp_path / "s.npz", eigenvalues=1.0 / np.arange(1, 40), noise=0.3)
    assert overlays.read(tmp_path / "s.npz").noise == 0.3
    levels = write(tmp_path / "spectrum.csv", "eigenvalue,multiplicity,power\n0.5,10,2\n1,3,4\n")
    assert overlays.read(levels).noise is None
    write(tmp_path / "exponents.csv", "quantity,method,value\nnoise,floor,0\nnoise,forecast,0.47\nalpha,forecast,2\n")
    assert overlays.read(levels).noise == 0.47
    write(tmp_path / "exponents.csv", "a,b\n1,2\n")
    assert overlays.read(levels).noise is None
    for value in (-1.0, np.nan):
        np.savez(tmp_path / "s.npz", eigenvalues=np.ones(20), noise=value)
        with pytest.raises(ValueError, match=r"the noise of s\.npz must be a variance"):
            overlays.read(tmp_path / "s.npz")


def test_losses_are_read_and_the_nearest_line_of_a_grid_is_taken(tmp_path):
    found = overlays.read(table(tmp_path))
    assert found.spectrum is None
    (along_n,) = found.along("n", 18, 30)
    assert along_n.fixed["k"] == 32
    assert along_n.at.tolist() == [10, 20, 40]
    assert found.along("k", 18, 30)[0].fixed["n"] == 20
    assert found.along("time", 18, 30) == []
    named = write(tmp_path / "named.csv", "step,a,error bar\n1,3,0.1\n2,2,0.1\n4,1,0.1\n")
    (line,) = overlays.read(named, x="time=step", y="a", stderr="error bar").along("time", 1, 1)
    assert line.stderr.tolist() == [0.1, 0.1, 0.1]


@pytest.mark.parametrize(
    ("name", "text", "options", "words"),
    [
        ("none.csv", None, {}, "there is no file"),
        ("empty.csv", "", {}, "is empty"),
        ("losses.txt", "1", {}, "must be a .npy"),
        ("negative.csv", "eigenvalue,power\n1,1\n-1,1\n", {}, "must not be negative"),
        ("missing.csv", "eigenvalue,power\n1,1\n,1\n", {}, "NaN"),
        ("words.csv", "eigenvalue,power\n1,a\n", {}, "must be numeric"),
        ("level.csv", "eigenvalue,power\n1,1\n", {"x": "n"}, "`x` is for a table of losses"),
        ("size.csv", "colour,loss\n1,2\n2,1\n", {}, "called like a scale"),
        ("one.csv", "n,loss\n1,2\n", {}, "nothing varies"),
    ],
)
def test_files_that_cannot_be_drawn_are_refused(tmp_path, name, text, options, words):
    if text is not None:
        write(tmp_path / name, text)
    with pytest.raises(ValueError, match=words):
        overlays.read(tmp_path / name, **options)


def test_npz_with_unequal_lengths_is_refused(tmp_path):
    np.savez(tmp_path / "s.npz", eigenvalues=np.ones(3), power=np.ones(2))
    with pytest.raises(ValueError, match="`power` must be as long"):
        overlays.read(tmp_path / "s.npz")


# The page without a browser, and the command.


def page(loaded=None):
    pytest.importorskip("bokeh")
    from bokeh.document import Document

    from regimes import explorer_page

    own = None if loaded is None or loaded.spectrum is None else explore.tabulate(loaded.spectrum)
    made = explorer_page._Page(Document(), loaded, own)
    made.begin()
    return made


def test_slider_changes_what_is_drawn_and_a_click_moves_the_point():
    from types import SimpleNamespace

    shown = page()
    before = shown.panels["n"]["theory"].data["loss"].copy(), shown.sources["map"].data["image"][0].copy()
    shown.sliders["alpha"].value = 1.5
    assert shown.pending
    shown._answer()
    assert not np.array_equal(before[0], shown.panels["n"]["theory"].data["loss"])
    assert not np.array_equal(before[1], shown.sources["map"].data["image"][0])
    law = explore.power_law(1.5, 1.5)
    theirs = equivalents.loss(law.spectrum, shown.panels["n"]["theory"].data["at"], 1e4, 1e-3, 0.01)
    np.testing.assert_allclose(shown.panels["n"]["theory"].data["loss"], theirs, rtol=1e-6)
    shown._tapped(SimpleNamespace(x=50.0, y=3e5))
    shown._answer()
    assert shown.sources["point"].data == {"n": [50.0], "k": [pytest.approx(3e5, rel=0.02)]}
    assert "n = 50, k = 3" in shown.words.text
    shown._tapped(SimpleNamespace(x=None, y=-1.0))  # outside of the axes
    assert shown._at()[0] == 50


def test_finite_time_is_drawn_coarse_and_then_fine():
    shown = page()
    shown.sliders["time"].value = 4.0
    shown._answer()
    assert shown.sources["map"].data["image"][0].shape == (explore.COARSE, explore.COARSE)
    rough = shown.panels["n"]["point"].data  # read from the few points of the curve
    shown._follow()
    known = explore.point(LAW, *shown._at(), shown._knobs())
    dots = {axis: shown.panels[axis]["point"].data for axis in ("n", "k", "time")}
    assert {axis: dot["exponent"] for axis, dot in dots.items()} == {
        axis: [value] for axis, value in known.exponents.items()
    }
    assert all(dot["loss"] == [known.loss] for dot in dots.values())
    assert rough["loss"] == pytest.approx([known.loss], rel=0.02)
    assert rough["exponent"] == pytest.approx(dots["n"]["exponent"], abs=0.05)
    while shown.refining is not None:
        shown._refine(shown.asked)
    assert shown.sources["map"].data["image"][0].shape == (explore.MIDDLE, explore.MIDDLE)
    assert "goes with time as" in shown.words.text
    assert len(shown.panels["time"]["point"].data["at"]) == 1
    shown.sliders["n"].value = 2.0  # moves the point and leaves the map as it is
    shown._answer()
    shown._follow()
    assert shown.refining is None
    assert shown.sources["map"].data["image"][0].shape == (explore.MIDDLE, explore.MIDDLE)


def test_knobs_reach_zero_and_infinity():
    shown = page()
    for name in ("noise", "ridge"):
        shown.sliders[name].value = shown.sliders[name].start
    assert shown._knobs() == Knobs(0.0, 0.0, math.inf)
    shown._answer()
    shown._follow()
    assert np.isfinite(shown.colours.high)


def test_spectrum_on_top_takes_the_map_and_the_power_law_is_dashed(tmp_path):
    known = spectra.power_law(1.2, 2.0, modes=2000, tail=False)
    shown = page(overlays.Loaded("<b>.npz", known, (), ()))
    assert shown.sliders["alpha"].disabled
    assert "<b>" not in shown.words.text.split("<h2>")[2]
    data = shown.panels["n"]["theory"].data
    assert shown._at() == (14, 57)  # off the diagonal: sqrt(200) and four times it
    np.testing.assert_allclose(data["loss"], equivalents.loss(known, data["at"], 57, 1e-3, 0.01), rtol=1e-6)
    assert data["at"][-1] == pytest.approx(200)  # what the spectrum resolves
    assert 14 in data["at"]
    assert len(shown.panels["n"]["other"].data["at"]) == 121
    shown.choice.active = 0
    shown._answer()
    assert not shown.sliders["alpha"].disabled
    assert shown.map.x_range.end == pytest.approx(1e6)


def test_sliders_of_the_point_end_where_the_map_does():
    known = spectra.power_law(1.2, 2.0, modes=480, tail=False)
    shown = page(overlays.Loaded("s.csv", known, (), (), 0.047))
    ends = {name: shown.sliders[name].end for name in ("n", "k")}
    assert ends == pytest.approx({"n": math.log10(48), "k": math.log10(48)}, abs=1e-4)
    assert shown._knobs().noise == pytest.approx(0.047)
    for name in ("n", "k"):
        assert round(10 ** shown.sliders[name].value) == shown._at()[name == "k"]  # what it reads is what is drawn
    shown.choice.active = 0
    shown._answer()
    assert shown.sliders["k"].end == 6
    shown.sliders["k"].value = 5.0
    shown.choice.active = 1
    shown._answer()
    assert not shown.pending
    assert shown.sliders["k"].value == shown.sliders["k"].end == ends["k"]
    assert shown._at()[1] == 48
    silent = page(overlays.Loaded("s.csv", known, (), ()))
    assert silent._knobs().noise == pytest.approx(0.01)
    assert page(overlays.Loaded("s.csv", known, (), (), 0.0))._knobs().noise == 0


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize(("n", "k"), [(700, 720), (30, 30), (50, 56), (300, 4000)])
def test_dot_on_the_curve_has_the_numbers_beside_the_map(n, k, slow):
    shown = page()
    shown.sliders["n"].value, shown.sliders["k"].value = math.log10(n), math.log10(k)
    shown._answer()
    if slow:
        shown._follow()
    known = explore.point(LAW, n, k, Knobs(0.01, 1e-3), quick=not slow)
    assert known.peak == (n == k) == all(math.isnan(value) for value in known.exponents.values())
    for axis, value in (("n", n), ("k", k)):
        dot, line = (shown.panels[axis][name].data for name in ("point", "theory"))
        assert (dot["at"], dot["loss"]) == ([value], [pytest.approx(known.loss)])
        assert dot["exponent"] == pytest.approx([known.exponents[axis]], nan_ok=True)
        assert np.asarray(line["loss"])[np.asarray(line["at"]) == value] == pytest.approx(known.loss, rel=1e-6)
        said = "at the peak" if n == k else explorer_words(axis, known.exponents[axis])
        assert f"<td>goes with {axis} as</td><td>{said}</td>" in shown.words.text
    assert ("at the peak" in str(known)) == (n == k)


def explorer_words(axis, exponent):
    return f"{axis}<sup>{'−' if exponent >= 0 else '+'}{abs(exponent):.3f}</sup>"


def test_peak_without_ridge_is_infinite_and_said_to_be_one():
    for knobs in (Knobs(), Knobs(0.01)):
        found = explore.point(LAW, 700.0, 700.0, knobs)
        assert found.peak
        assert math.isinf(found.loss)
        assert all(math.isnan(value) for value in found.exponents.values())
    ridged = explore.point(LAW, 300.0, 300.0, Knobs(0.0, 1e4))  # ridge enough that there is no peak
    assert not ridged.peak
    assert all(math.isfinite(value) for value in ridged.exponents.values())


def test_one_of_several_curves_is_shown_and_named(tmp_path):
    rows = [f"{n},{width},{1 / n + 1 / width}" for width in (64, 256, 1024) for n in (100, 1000, 10000)]
    path = write(tmp_path / "losses.csv", "n,width,loss\n" + "\n".join(rows) + "\n")
    shown = page(overlays.read(path, by="width"))
    for k, width in ((70, 64), (300, 256), (1e5, 1024)):
        shown.sliders["k"].value = math.log10(k)
        shown._answer()
        drawn = shown.panels["n"]["measured"].data
        assert drawn["at"].tolist() == [100, 1000, 10000]
        assert f"; measured: k = {width}, times " in shown.panels["n"]["heading"].text
        assert f"<p><b>k = {width}</b>: 3 losses along n from 100 to 10000.</p>" in shown.words.text
    assert "the one nearest to the point" in shown.words.text
    nameless = [results.LearningCurve("n", np.array([1.0, 2]), np.array([2.0, 1]), source=name) for name in "<b"]
    shown = page(overlays.Loaded("a.csv", None, tuple(nameless), ()))
    assert "the first where the table does not say what was held" in shown.words.text
    assert "<b>&lt;</b>: 2 losses" in shown.words.text


def test_measured_losses_on_top_are_drawn(tmp_path):
    shown = page(overlays.read(table(tmp_path)))
    assert len(shown.sources["places"].data["n"]) == 9
    drawn = shown.panels["n"]["measured"].data
    assert drawn["at"].tolist() == [10, 20, 40]
    scaled = drawn["loss"]
    shown.rescale.active = []
    shown._answer()
    raw = shown.panels["n"]["measured"].data["loss"]
    np.testing.assert_allclose(raw, 1 / np.array([10, 20, 40]) + 1 / 32)
    np.testing.assert_allclose(scaled / raw, scaled[0] / raw[0])
    assert scaled[0] != pytest.approx(raw[0])


def test_answer_to_a_slider_takes_less_than_a_tenth_of_a_second_of_this_machine():
    shown, taken = page(), []
    for alpha in np.linspace(0.5, 1.0, 7):
        shown.sliders["alpha"].value = float(alpha)
        start = clock.process_time()
        shown._answer()
        taken.append(clock.process_time() - start)
    assert np.median(taken) < 0.1


def run(*arguments):
    app = typer.Typer()
    app.command()(command.explore)
    return CliRunner().invoke(app, list(arguments)).exception


def test_command_refuses_in_a_sentence(tmp_path):
    pytest.importorskip("bokeh")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = {
            "is in use": ("--port", str(port)),
            "must be between 0 and 65535": ("--port", "70000"),
            "'no.such.host.invalid' is not known": ("--host", "no.such.host.invalid"),
            "is no address of this machine": ("--host", "192.0.2.1"),
            "there is no file": (str(tmp_path / "none.csv"),),
            "name columns of FILE": ("--x", "n"),
        }
        for words, arguments in refused.items():
            error = run(*arguments, "--no-browser")
            assert isinstance(error, ValueError), (arguments, error)
            assert words in str(error)


def test_without_bokeh_the_command_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "bokeh"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "bokeh", None)
    error = run("--no-browser", "--port", "0")
    assert isinstance(error, ImportError)
    assert "pip install 'regimes[explore]'" in str(error)


def test_surface_of_a_spectrum_without_tail_stays_below_its_modes():
    of = explore.tabulate(Spectrum(np.array([1.0, 0.1]), np.array([1.0, 0.5]), np.array([40.0, 200.0])))
    assert of.high == 120
    found = explore.surface(of, Knobs(0.1, 0.01))
    known = equivalents.loss(of.spectrum, found.n[:, None], found.k, 0.01, 0.1)
    np.testing.assert_allclose(found.loss, known, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_trace_that_is_no_number_is_refused_at_once():
    huge = np.full(3, 1e200)
    with pytest.raises(ValueError, match="`spectrum` must have a finite trace, got inf"):
        explore.tabulate(Spectrum(huge, np.ones(3), huge))


@pytest.mark.parametrize("content", [None, "", "eigenvalue\n-1\n2\n"])
def test_a_file_that_is_refused_is_named_as_it_is_typed(regimes, tmp_path, content):
    path = tmp_path / "mine.csv"
    if content is not None:
        path.write_text(content)
    code, _, said = regimes("explore", path, "--no-browser", "--port", 0)
    assert code == 2
    assert said.startswith("Error: `FILE`: ")
