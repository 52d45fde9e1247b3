import dataclasses
import doctest
import functools
import importlib
import inspect
import json
import pickle
import pkgutil
import subprocess
import sys
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import pytest

import regimes
from regimes import (
    asymptotics,
    classify,
    curve_fits,
    curves,
    dimension,
    display,
    equivalents,
    fits,
    frontiers,
    inputs,
    laws,
    optima,
    phases,
    plans,
    predict,
    ranking,
    spectra,
    tasks,
    theory,
)
from regimes.results import Caution, Check, Comparison, Estimate, LearningCurve, LossSurface

N = np.geomspace(16, 512, 6)
EVIL = "<script>alert('a')</script> & \"b\""

PROCEDURES = {
    ("cells", "Cell"), ("cells", "Experiment"), ("kernels", "Model"), ("networks", "Network"),
    ("network_variance", "Case"), ("task_changes", "Change"), ("pairwise", "Radial"), ("pairwise", "Pairwise"),
}  # fmt: skip
"""What describes a procedure: it keeps the form that Python gives it, by which stored runs are told apart."""


def kinds():
    """All public classes of values that say something about themselves."""
    found = {}
    for module in pkgutil.iter_modules(regimes.__path__):
        if not module.name.startswith("_") and module.name not in ("commands", "explorer_page"):
            made = importlib.import_module(f"regimes.{module.name}")
            for name, one in vars(made).items():
                value = inspect.isclass(one) and (dataclasses.is_dataclass(one) or hasattr(one, "_fields"))
                if value and one.__module__ == made.__name__ and not name.startswith("_") and "__str__" in vars(one):
                    found[module.name, name] = one
    return found


@pytest.mark.parametrize(("module", "name"), [pytest.param(*key, id=".".join(key)) for key in sorted(kinds())])
def test_what_has_a_sentence_shows_it_and_what_describes_a_procedure_shows_its_fields(module, name):
    kind = kinds()[module, name]
    if (module, name) in PROCEDURES:
        assert kind.__repr__ is not display.sentence
    else:
        assert kind.__repr__ is display.sentence, "put @display.shown before the class"
        assert kind._repr_html_ is display.as_html


@functools.cache
def results():
    """One of each of many kinds, as their functions make them."""
    spectrum = spectra.power_law(0.5, 1.2, modes=1e4)
    curve = theory.predict_curve(spectrum, n=N)
    noisy = LearningCurve.from_trials("n", N, 3 * N**-0.5 * np.exp(0.01 * np.random.default_rng(0).normal(size=(4, 6))))
    (read,) = curves.read({"n": N, "loss": 3 * N**-0.4 + 0.1})
    fit = fits.fit(laws.get("power"), 3 * N**-0.4 + 0.1, n=N, bootstrap=20)
    loss = 5 * np.arange(1, 9.0) ** -0.5
    phi = np.random.default_rng(0).standard_normal((120, 200)) * np.arange(1, 201.0) ** -0.8
    source = inputs.read(phi @ phi.T, kind="gram", targets=phi[:, 0])
    made = [
        Estimate(0.5, 0.4, 0.6),
        Caution("samples are far from Gaussian", (1.1, 1.3)),
        spectrum,
        curve,
        noisy,
        LossSurface(N, N, np.ones((6, 6))),
        compared(),
        Check("photographs", 1, "gamma(n, k) = gamma(k, n)", "equal", "to the last bit", True),
        theory.exponents(spectrum),
        theory.ridgeless_split(spectrum, 20, 80),
        theory.local_exponents(spectrum, N, 100),
        theory.dual(20, 80),
        *asymptotics.rates(0.5, 1.2),
        equivalents.solve(spectrum, N),
        equivalents.decompose(spectrum, 20, 80),
        optima.optimal_ridge(spectrum, 50, 100, 0.1),
        frontiers.compute_phase(0.5, 1.2),
        phases.phase_map(spectrum, n=N, k=N),
        laws.get("power"),
        fit,
        fit.predict(n=N),
        plans.plan(fit, 0.15),
        ranking.compare(["power", "hestness"], loss, n=np.arange(1, 9.0)),
        classify.classify(noisy),
        read,
        curve_fits.analyse(read, ["power"], bootstrap=20),
        dimension.intrinsic_dimension(np.random.default_rng(0).normal(size=(300, 3))),
        source,
        tasks.sphere(50, 2, seed=0),
        predict.predict(source, n=[10, 40], hold_out=False, draws=20),
    ]
    return {f"{type(one).__module__.rpartition('.')[2]}.{type(one).__name__}": one for one in made}


def compared(task="photographs"):
    curve = LearningCurve("n", N, 1.1 / N, 0.01 / N, fixed={"k": 64.0})
    return Comparison(
        task, "variance_n", curve, LearningCurve("n", N, 1 / N), Estimate(1.012, 0.98, 1.044), Estimate.exact(1.0), "n"
    )


NAMES = [
    "results.Estimate", "results.Caution", "spectrum.Spectrum", "results.LearningCurve", "results.LossSurface",
    "results.Comparison", "results.Check", "theory.Exponents", "theory.Split", "theory.LocalExponents",
    "theory.Point", "asymptotics.Rate", "equivalents.FixedPoint", "equivalents.Decomposition", "optima.Optimum",
    "frontiers.Frontier", "phases.PhaseMap", "law.Law", "fits.Fit", "fits.Prediction", "plans.Plan",
    "ranking.Ranking", "classify.RegimeVerdict", "curves.Curve", "curve_fits.CurveFit", "dimension.Dimension",
    "inputs.Source", "predict.Prediction", "tasks.Task",
]  # fmt: skip


def test_the_results_of_these_tests_are_of_these_kinds():
    assert set(NAMES) == set(results())


@pytest.mark.parametrize("name", NAMES)
def test_repr_is_one_line_with_the_name_and_what_str_says(name):
    found = results()[name]
    shown = repr(found)
    kind = name.partition(".")[2]
    assert shown.startswith(f"<{kind}: ")
    assert shown.endswith(">")
    assert "\n" not in shown
    assert len(shown) < 300
    assert "array(" not in shown
    assert "  " not in shown
    said = " ".join(str(found).replace("\n", "; ").split()).replace(":; ", ": ")
    assert said.startswith(shown.removeprefix(f"<{kind}: ").removesuffix(">").rstrip("… "))


@pytest.mark.parametrize("name", NAMES)
def test_results_can_be_pickled(name):
    found = results()[name]
    again = pickle.loads(pickle.dumps(found))
    assert type(again) is type(found)
    assert str(again) == str(found)


def parsed(text):
    return ElementTree.fromstring(f"<body>{text}</body>")


@pytest.mark.parametrize("name", NAMES)
def test_html_is_well_formed_has_the_sentences_and_no_colour_of_its_own(name):
    found = results()[name]
    text = found._repr_html_()
    root = parsed(text)
    assert {one.tag for one in root.iter()} <= {
        "body", "div", "strong", "table", "thead", "tbody", "tr", "th", "td"
    }  # fmt: skip
    assert str(found).splitlines()[0] in "".join(root.itertext())
    assert "color" not in text
    assert "background" not in text
    assert len(text) < 20_000
    assert len({len(row) for row in root.iter("tr") if "colspan" not in row[0].attrib}) <= 1


def cells(found):
    return [["".join(cell.itertext()) for cell in row] for row in parsed(found._repr_html_()).iter("tr")]


def test_table_of_a_comparison_has_predicted_and_measured_exponents_with_the_interval():
    head, first, *_ = cells(compared())
    assert head == ["", "predicted", "measured", "value", "interval"]
    assert first == ["exponent, variance-limited in n", "1", "1.012", "", "0.98 to 1.044 (95%)"]


def test_table_of_a_claim_says_whether_it_holds():
    for holds, word in ((True, "holds"), (False, "does not hold"), (None, "undecided")):
        (first,) = [
            row for row in cells(Check("sphere", 1, "losses", "equal", "ratio 1.2", holds)) if row[0] == "losses"
        ]
        assert first == ["losses", "equal", "ratio 1.2", word]


def test_table_of_exponents_has_their_values_and_intervals():
    found = dataclasses.replace(results()["theory.Exponents"], alpha=Estimate(0.5, 0.4, 0.6, 0.9))
    rows = {row[0]: row[1:] for row in cells(found)}
    assert rows["alpha"] == ["0.5", "0.4 to 0.6 (90%)"]
    assert rows["variance n"] == ["1", "exact"]


@display.shown
class Pair(NamedTuple):
    name: str
    predicted_slope: Any
    measured_slope: Any
    checks: tuple[Any, ...] = ()
    sizes: Any = None
    by_law: Any = None
    draw: Any = None


def test_what_is_predicted_stands_beside_what_is_measured():
    found = Pair("one", Estimate.exact(0.25), Estimate(0.3, 0.2, 0.4), by_law={"power": Estimate(1, 0.5, 1.5)})
    rows = {row[0]: row[1:] for row in cells(found)}
    assert rows["slope"][:2] == ["0.25", "0.3 [0.2, 0.4]"]
    assert rows["by law: power"] == ["", "", "1", "0.5 to 1.5 (95%)"]
    assert "draw" not in rows


def test_comparisons_and_claims_in_a_result_have_a_row_each():
    check = Check("sphere", 1, "losses", "equal", "equal", True)
    rows = cells(Pair("one", 1, 2, (check, check, compared())))
    assert [row[0] for row in rows].count("losses") == 2
    assert "exponent, variance-limited in n" in [row[0] for row in rows]


def test_a_text_that_the_sentences_have_is_no_row():
    class Named(NamedTuple):
        task: str
        other: str
        __str__ = lambda self: f"{self.task}: all is well"  # noqa: E731

    assert [row.name for row in display.rows(Named("images of cats", "images of dogs"))] == ["other"]


def test_long_tables_and_texts_are_cut_and_say_so():
    found = Pair("word " * 400, 1, 2, tuple(Check("t", 1, f"what {i}", "a", "b", None) for i in range(100)))
    rows = cells(found)
    assert len(rows) == 26
    assert rows[-1] == ["… and 78 more"]
    assert max(len(cell) for row in rows for cell in row) <= 160
    assert len(repr(found)) < 300
    assert repr(found).endswith("…>")


def test_arrays_are_told_by_their_ends_and_never_listed():
    found = Pair("one", 1, 2, sizes=np.arange(1e6))
    assert "0 to 1e+06 (1000000 numbers)" in repr(found)
    assert "…" not in repr(found)
    assert ["sizes", "", "", "0 to 1e+06 (1000000 numbers)"] in cells(found)


def test_text_from_outside_is_escaped():
    for found in (
        compared(EVIL),
        Pair(EVIL, EVIL, EVIL, by_law={EVIL: EVIL}),
        Check(EVIL, 1, EVIL, EVIL, EVIL, True),
        LearningCurve("n", N, N, source=EVIL),
        Caution(EVIL),
    ):
        text = found._repr_html_()
        assert "<script" not in text
        assert EVIL in "".join(parsed(text).itertext())


def test_a_long_line_is_cut_where_a_sentence_ends():
    assert repr(Caution(f"{'one two ' * 20}three. {'four ' * 100}")) == f"<Caution: {'one two ' * 20}three. …>"


def test_lines_follow_until_something_is_said():
    assert repr(Caution("short\n  and more\nmore still")) == "<Caution: short; and more; more still>"
    assert repr(Caution("errors:\n  power 0.1")) == "<Caution: errors: power 0.1>"
    assert repr(Caution("x" * 60 + "\nnot this")) == f"<Caution: {'x' * 60}>"


def test_showing_what_is_empty_or_half_made_is_no_error():
    empty = LearningCurve("n", np.zeros(0), np.zeros(0))
    assert repr(empty) == "<LearningCurve>"
    assert "LearningCurve" in empty._repr_html_()
    half = Estimate.__new__(Estimate)
    object.__setattr__(half, "method", "none")
    assert repr(half) == "<Estimate>"
    assert "Estimate" in half._repr_html_()


def test_values_are_still_compared_unpacked_and_replaced_as_before():
    one, other = Estimate(1, 0, 2), Estimate(1, 0, 2)
    assert one == other
    assert hash(one) == hash(other)
    limit, excess = results()["theory.Split"]
    assert dataclasses.replace(one, value=1.5).value == 1.5
    assert limit + excess == pytest.approx(
        float(equivalents.loss(spectra.power_law(0.5, 1.2, modes=1e4), 20, 80)), rel=1e-6
    )


# The package


def test_help_is_a_tour_whose_example_runs():
    done = doctest.testmod(regimes)
    assert done.attempted >= 6
    assert done.failed == 0


def test_help_names_ten_calls_that_exist():
    lines = [line.strip() for line in regimes.__doc__.splitlines() if line.startswith("    rg.")]
    assert len(lines) == 10
    for line in lines:
        value = regimes
        for part in line.partition("(")[0].split(".")[1:]:
            value = getattr(value, part)
        assert callable(value)


CHILD = """
import json, sys
import regimes
before = dir(regimes)
from regimes import _checks, results, display
repr(results.Estimate(1.0, 0.0, 2.0)), results.Estimate(1.0, 0.0, 2.0)._repr_html_()
print(json.dumps([before, dir(regimes), sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def test_dir_holds_public_names_only_and_showing_loads_neither_pandas_nor_matplotlib():
    done = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, check=True)
    before, after, loaded = json.loads(done.stdout)
    assert before == after
    assert {"theory", "exponents", "LearningCurve"} <= set(before)
    assert [name for name in before if name.startswith("_")] == []
    assert [name for name in before if name in sys.stdlib_module_names] == []
    assert not {"pandas", "matplotlib", "jax", "IPython"} & set(loaded)
