import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import report_runs

from regimes import findings, grids, inputs, plots, predict, results, sayings, store, sweep, verify

VERSIONS = {"regimes": "0.1.0"}


def record(folder, **content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"versions": VERSIONS, **content}))
    return folder


# What the commands write


def test_an_experiment_is_read_as_it_was_saved(tmp_path):
    result = report_runs.Result()
    (one,) = findings.read(report_runs.experiment(tmp_path / "out"))
    assert one.experiment == "teacher_student"
    assert [claim._asdict() for claim in one.claims] == list(result.claims)
    assert one.verdict == (
        "1 of 2 claims hold; 1 more could not be decided. Does not hold: the same in k (expected 1, found 0.47 "
        "[0.3, 0.6]).",
        "Teacher-student in d = 2, 3",
        "d = 2: n 1.9",
    )
    (points,) = one.tables  # the claims are no table once more
    frame = result.tables()["points"]
    assert points.headings == tuple(frame.columns)
    np.testing.assert_array_equal([float(row[1]) for row in points.rows], frame["loss"])
    assert [[path.name for path in figure] for figure in one.figures] == [
        ["teacher_student.svg", "teacher_student.png"]
    ]
    assert dict(one.arguments)["As run"] == (("dims", "2, 3"), ("quick", "yes"), ("seed", "7"))
    assert one.recorded == (("noise.value", "0.5"),)
    assert one.seed == "7"
    assert one.warnings == ("The quick version was run: small sizes and few repetitions, to try it out.",)
    assert str(one) == f"teacher_student in {tmp_path / 'out'}: {one.verdict[0]}"


def verification(tmp_path, monkeypatch, measured):
    """One task, of which the exponent in k was measured as given and predicted as 0.5."""
    at = np.array([10.0, 20.0, 40.0])
    curve = results.LearningCurve("n", at, at**-0.5, fixed={"k": math.inf})
    comparisons = [
        results.Comparison("digits", name, curve, curve, results.Estimate(value, value - 0.1, value + 0.1),
                           results.Estimate.exact(0.5), name[-1])
        for name, value in (("resolution_n", 0.52), ("resolution_k", measured))
    ]  # fmt: skip
    checks = (
        results.Check("digits", 1, "losses", "equal", "equal", True),
        results.Check("digits", 2, "reason", "beta is small", "kappa/pivots = 0.9", None),
    )
    found = verify.Verification(
        "digits", "d", tuple(comparisons), checks, None, {"beta": results.Estimate.exact(1.0)},
        {"task": "digits: 9 samples", "seed": 3, "quick": False, "n_asked": None},
    )  # fmt: skip
    monkeypatch.setattr(plots, "four_regimes", lambda _: report_runs.Figure())
    verify.write([found], tmp_path)
    return findings.read(tmp_path)[0]


def test_four_regimes_say_which_agree(tmp_path, monkeypatch, unchecked):
    one = verification(tmp_path, monkeypatch, 0.9)
    assert one.experiment == "four_regimes"
    assert one.verdict == (
        "1 of 2 measured regimes agree with what the spectrum predicts; 1 of 1 checks of the duality of n and k hold.",
        "digits: resolution-limited in n as predicted.",
        "digits, resolution-limited in k: exponent above the prediction by 0.400 ± 0.100; predicted 0.500, measured "
        "0.900 [0.800, 1.000].",
        "digits, duality: beta is small; kappa/pivots = 0.9.",
    )
    assert [claim.what for claim in one.claims] == ["digits: losses"]
    assert [table.name for table in one.tables] == ["exponents", "points"]
    assert one.arguments == (
        ("As run, digits", (("task", "digits: 9 samples"), ("seed", "3"), ("quick", "no"), ("n_asked", "not given"))),
    )
    assert one.warnings == ()


def test_four_regimes_without_their_table_have_no_verdict(tmp_path, monkeypatch, unchecked):
    verification(tmp_path, monkeypatch, 0.5)
    (tmp_path / "exponents.csv").unlink()
    (tmp_path / "four_regimes.png").unlink()
    one = findings.read(tmp_path)[0]
    assert one.verdict[0].startswith("No verdict: a part of the record")
    assert one.warnings == ("exponents.csv is missing from the folder.", "four_regimes.png is missing from the folder.")
    assert [[path.name for path in figure] for figure in one.figures] == [["four_regimes.svg"]]


def test_prediction_says_exponents_and_loss(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.arange(1, 400.0) ** -1.5)
    found = predict.predict(inputs.read(str(tmp_path / "a.npy")))
    monkeypatch.setattr(plots, "prediction", lambda _: report_runs.Figure())
    predict.write(found, tmp_path / "out", {"source": "a.npy"})
    one = findings.read(tmp_path / "out")[0]
    exponent = found.exponents.resolution_n.value
    assert one.experiment == "prediction"
    assert one.verdict[0].startswith(f"The loss is predicted to fall with the exponent {exponent:.4g} in n and ")
    last = predict.tables(found)["curve"].iloc[-1]
    assert f"to {last['loss']:.4g} at n = {last['n']:,.0f}." in one.verdict[0]
    assert "alpha = 0.5" in one.verdict[2]
    assert one.verdict[3].startswith("Is the spectrum a power law? Undecided: too few eigenvalues")
    assert {"exponents", "curve", "spectrum"} <= {table.name for table in one.tables}
    assert one.warnings == tuple(found.warnings)


@pytest.fixture
def curve(tmp_path):
    n = 2.0 ** np.arange(3, 12)
    pd.DataFrame({"n": n, "loss": 3 * n**-0.5}).to_csv(tmp_path / "c.csv", index=False)
    return tmp_path / "c.csv"


def test_fit_and_plan_say_law_and_scale(tmp_path, regimes, monkeypatch, curve):
    monkeypatch.setattr(plots, "fits", lambda _: report_runs.Figure())
    options = ("--law", "power", "--bootstrap", 4)
    assert regimes("fit", curve, *options, "--out", tmp_path / "fit")[0] == 0
    assert regimes("plan", curve, "--target", 0.03, *options, "--out", tmp_path / "plan")[0] == 0
    (fit,), (plan,) = findings.read(tmp_path / "fit"), findings.read(tmp_path / "plan")
    assert fit.experiment == "fit"
    assert fit.verdict[0] == "c.csv: of the laws tried, power is chosen, with a = 3, b = 0.5 (90% intervals, 9 points)."
    assert fit.verdict[1].startswith("power is the only law: its error at the sizes held out is ")
    assert len(fit.verdict) == 2
    assert {table.name for table in fit.tables} == {"ranking", "parameters", "points", "forecast"}
    assert plan.experiment == "plan"
    assert plan.verdict[0].startswith("c.csv: a loss of 0.03 needs n = 1e+04")
    assert plan.figures == ()
    assert (*fit.warnings, *plan.warnings) == ()


def test_many_curves_are_counted():
    one = {"status": "converged", "law": "m4", "name": "a", "notes": []}
    content = {
        "curves": [one] * 5 + [one | {"status": "failed", "law": None}],
        "settings": {"level": 0.9},
        "laws": [{"law": "m4", "mean_rank": 1.2, "median_error": 0.03, "fitted": 5, "first": 4}],
    }
    assert sayings.verdict("fit", content, {}, ()) == (
        "6 curves: 5 converged, 1 failed.",
        "Chosen most often: m4 (5).",
        "Over all curves, m4 has the best rank of the laws on the sizes held out: mean rank 1.20 over 5 curves, median "
        "error 0.03 in the logarithm of the loss. Each curve has the law chosen on its own sizes.",
    )


def test_a_tail_that_ranks_first_is_no_second_choice():
    """The report once said "m4 is chosen" and "tail came closest" in two lines without a word between them."""
    rows = [
        {"law": "tail", "mean_rank": 1.0, "median_error": 0.02, "fitted": 1, "first": 1},
        {"law": "m4", "mean_rank": 2.0, "median_error": 0.03, "fitted": 1, "first": 0},
    ]
    one = {"status": "converged", "law": "m4", "name": "a", "notes": [], "points": 9, "parameters": {}}
    content = {"curves": [one], "settings": {"level": 0.9}, "laws": rows}
    told = " ".join(sayings.verdict("fit", content, {}, ()))
    assert "Of the laws, m4 came closest to the sizes held out, with an error of 0.03 in" in told
    assert "The tail, a fit to the end of the curve alone and no law of all of it (error 0.02), makes" in told
    content["curves"] = [one | {"choice": "m4 is chosen, and why."}]
    assert sayings.verdict("fit", content, {}, ())[1:] == ("m4 is chosen, and why.",)


def test_verdicts_tell_what_an_undecided_curve_may_be():
    rows = [
        {"curve": "a", "regime": "undecided", "possible": "variance-limited in n; resolution-limited in n",
         "exponent": None, "evidence": "too few points"},
        {"curve": "b", "regime": "noise floor", "possible": "noise floor", "exponent": 0.5, "low": 0.4, "high": None},
    ]  # fmt: skip
    assert sayings.verdict("verdicts", {"verdicts": rows}, {}, ()) == (
        "2 curves; a: undecided (variance-limited in n or resolution-limited in n).",
        "b: noise floor, exponent 0.5 [0.4, ∞].",
        "Evidence, a: too few points.",
        "Evidence, b: none.",
    )
    rows = [row | {"curve": str(place)} for place, row in enumerate(rows * 4)]
    many = sayings.verdict("verdicts", {"verdicts": rows}, {}, ())
    assert many[:2] == (
        "8 verdicts: 4 undecided, 4 noise floor.",
        "0: undecided (variance-limited in n or resolution-limited in n).",
    )
    assert (len(many), many[-1]) == (8, "And 2 more: see the table.")


def test_lines_of_one_grid_are_told_apart_by_what_is_held():
    rows = [{"curve": "a.csv", "along": "n", "k": float(k), "regime": "noise floor"} for k in (64, 256)]
    said = sayings.verdict("verdicts", {"verdicts": rows}, {}, ())
    assert said[:2] == ("2 curves; a.csv, k = 64: noise floor.", "a.csv, k = 256: noise floor.")


def test_plan_that_no_law_reaches():
    rows = [{"curve": "a", "law": "m2", "n": None, "n_low": 9.0, "n_high": None, "reached": 0.0, "note": "tends to 1"}]
    said = sayings.verdict("plan", {"plans": rows, "settings": {"target": 0.1}}, {}, ())
    assert said == ("a: no law that was fitted reaches a loss of 0.1.",)


def planned(law, error, n=None, reached=0.0, note="", **key):
    ends = {"n": n, "n_low": n and 0.9 * n, "n_high": n and 1.1 * n}
    return (key or {"curve": "a"}) | {"law": law, "held_out_error": error, **ends, "reached": reached, "note": note}


def test_plan_that_the_best_law_does_not_reach_says_so_first():
    rows = [planned("m3", 0.03, note="tends to 0.46"), planned("power", 0.15, 8e5, 1.0)]
    options = {"settings": {"target": 0.35}}
    assert sayings.verdict("plan", {"plans": rows, **options}, {}, ()) == (
        "a: a loss of 0.35 is not reached by m3 (held-out error 0.03), which ranks first; only power (held-out error "
        "0.15) reaches it, at n = 8e+05 [7.2e+05, 8.8e+05].",
        "a, m3: tends to 0.46.",
    )
    more = [planned("chinchilla", 0.2, 9e5, 1.0), *rows]
    said = sayings.verdict("plan", {"plans": more, **options}, {}, ())[0]
    assert "which ranks first; power (held-out error 0.15) is the best that does, at n = 8e+05" in said
    unranked = [row | {"held_out_error": None} for row in rows]
    said = sayings.verdict("plan", {"plans": unranked, **options}, {}, ())[0]
    assert said.endswith("by power; 1 of 2 laws reach it, none of them ranked.")


def test_plans_of_several_curves_have_a_line_each():
    rows = [planned("m3", 0.03, 100.0 * place, 1.0, width=place, depth=depth) for place in (1, 2, 3, 4)
            for depth in (1, 2)]  # fmt: skip
    rows += [{"width": 5, "depth": 1, "law": "-", "note": "has 2 points"}]
    said = sayings.verdict("plan", {"plans": rows[-4:], "settings": {"target": 0.35}}, {}, ())
    assert said[0].startswith("4 curves; width = 3, depth = 2: a loss of 0.35 needs n = 300 ")
    assert said[1].startswith("width = 4, depth = 1: a loss of 0.35 needs n = 400 ")
    assert said[3] == "width = 5, depth = 1: no law could be fitted: has 2 points."
    said = sayings.verdict("plan", {"plans": rows, "settings": {"target": 0.35}}, {}, ())
    assert said[0].startswith("9 curves; width = 1, depth = 1: a loss")
    assert (len(said), said[-1]) == (7, "And 3 more: see the table.")


def predicted(holds, reason):
    rows = [{"quantity": name, "value": 1.5, "low": 0.1, "high": 3.0, "default": True}
            for name in ("alpha", "beta", "noise", "resolution_n", "resolution_k")]  # fmt: skip
    curve = [{"n": 2000.0, "k": None, "loss": 0.4755, "low": 0.46, "high": 0.49}]
    return {"exponents": rows, "curve": curve, "description": "d", "held_out": None,
            "verdict": {"power_law": holds, "reason": reason}}  # fmt: skip


def test_data_that_are_no_power_law_have_losses_and_no_exponent():
    reason = "no power law: the local exponent moves from 0.31 to 1.66 between n = 6 and 48"
    assert sayings.verdict("prediction", predicted(False, reason), {}, ()) == (
        f"No power law, so that no exponent is quoted: {reason[14:]}.",
        "The loss is predicted to be 0.4755 [0.46, 0.49] at n = 2,000.",
        "Data: d.",
        "Read from the sample: noise = 1.5 [0.1, 3].",
    )
    for holds, answer in ((True, "Yes"), (None, "Undecided")):
        said = sayings.verdict("prediction", predicted(holds, "r"), {}, ())
        assert said[0] == (
            "The loss is predicted to fall with the exponent 1.5 [0.1, 3] in n and 1.5 [0.1, 3] in k, to 0.4755 "
            "[0.46, 0.49] at n = 2,000."
        )
        assert said[-1] == f"Is the spectrum a power law? {answer}: r."


@pytest.mark.parametrize("content", [{"plans": 3}, {"plans": []}, {"plans": [{}], "settings": {}}])
def test_record_that_is_not_as_it_was_written_is_no_traceback(content, tmp_path):
    one = findings.read(record(tmp_path, **content))[0]
    assert one.verdict[0].startswith("No verdict")


def test_claims_that_cannot_be_decided():
    claim = SimpleNamespace(what="a", expected="", found="", holds=None)
    assert sayings.verdict("x", {}, {}, [claim])[0] == "None of 1 claim could be decided."
    wrong = [SimpleNamespace(what=f"c{place}", expected="", found="", holds=False) for place in range(7)]
    said = sayings.verdict("x", {"summary": "a\nb: holds"}, {}, wrong)
    assert said == ("0 of 7 claims hold. Does not hold: c0; c1; and 5 others.",
                    *(f"Does not hold: c{place}." for place in (2, 3, 4)), "And 2 others too.", "a")  # fmt: skip
    assert sayings.verdict("x", {}, {}, wrong[:2])[0] == "0 of 2 claims hold. Does not hold: c0; c1."


def test_own_count_of_a_run_is_followed_by_what_does_not_hold():
    claims = [SimpleNamespace(what="a", expected="1", found="2", holds=False),
              SimpleNamespace(what="b", expected="1", found="1", holds=True)]  # fmt: skip
    summary = "Joint: 1 of 2 claims hold; far off.\nmore"
    told = "Joint: 1 of 2 claims hold; far off. Does not hold: a (expected 1, found 2)."
    assert sayings.verdict("x", {"summary": summary}, {}, claims) == (told, "more")
    assert sayings.verdict("x", {"summary": summary}, {}, claims[1:]) == (summary.split("\n")[0], "more")


def test_verdicts_of_records_without_texts_are_named_after_their_columns(tmp_path):
    rows = [{"task": "digits", "width": 16, "source": "initial", "holds": False}, {"claim": "width^-1", "holds": True}]
    one = findings.read(record(tmp_path, experiment="tangent_kernels", verdicts=rows))[0]
    assert one.claims == (
        findings.Claim("digits, 16, initial", "", "", False),
        findings.Claim("width^-1", "", "", True),
    )


def test_store_of_a_sweep(tmp_path):
    grid = grids.grid(
        "kernel-loss", {"n": [8, 16]}, fixed={"kernel": "laplace", "tests": 20, "dim": 3, "task": "sphere"}
    )
    sweep.run(grid, tmp_path / "s.sqlite", workers=0)
    (one,) = findings.read(tmp_path / "s.sqlite")
    assert findings.read(tmp_path) == (one,)  # the folder it lies in
    assert one.verdict[0] == "2 cells of kernel-loss are done, none failed."
    assert dict(one.arguments)["As given"] == (
        ("experiment", "kernel-loss"), ("version of the experiment", "1"), ("seed", "0"),
    )  # fmt: skip
    (cells,) = one.tables
    assert cells.total == 2
    assert sorted(row[cells.headings.index("n")] for row in cells.rows) == ["16", "8"]
    assert "numpy" in one.versions
    assert one.warnings == ()


def test_failed_cells_are_said_to_fail_and_why():
    summary = SimpleNamespace(done=1, failed=4, claimed=0, seconds=2.0)
    errors = [("`n` must be\npositive.", 2), ("no memory", 1), ("other", 1)]
    assert sayings.sweep("joint", summary, errors)[0] == (
        "1 cell of joint is done, 4 failed: `n` must be positive (2 cells); no memory (1 cell); and for other reasons."
    )


def test_tables_and_figures_without_a_record(tmp_path):
    frame = pd.DataFrame({"n": [1.0, math.nan], "a": ["x", None]})
    frame.to_csv(tmp_path / "b.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    (tmp_path / "map.svg").write_text(report_runs.SVG)
    (one,) = findings.read(tmp_path)
    assert one.verdict == ("No verdict: the folder holds tables and figures, and no record of the run.",)
    assert one.warnings[0].startswith("There is no run.json")
    assert [table.rows for table in one.tables] == [(("1.0", "x"), ("", ""))] * 2
    assert str(one).startswith("a folder without a record in ")


# Tables


def test_long_and_wide_tables_are_cut_and_counted(tmp_path):
    wide = pd.DataFrame(np.arange(50 * 1000).reshape(1000, 50))
    wide.to_csv(record(tmp_path, experiment="x") / "t.csv", index=False)
    (table,) = findings.read(tmp_path)[0].tables
    assert (table.total, table.columns) == (1000, 50)
    assert len(table.rows) == findings.ROWS
    assert table.rows[1] == tuple(str(value) for value in range(50, 50 + findings.COLUMNS))


def test_rows_of_a_very_long_table_are_not_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(findings, "_COUNTED", 10)
    pd.DataFrame({"a": range(300)}).to_csv(record(tmp_path, experiment="x") / "t.csv", index=False)
    assert findings.read(tmp_path)[0].tables[0].total is None


def test_crooked_tables(tmp_path):
    record(tmp_path, experiment="x", files=["a.csv", "b.csv", "c.csv", "d.csv", "../e.csv", 5])
    assert findings.read(tmp_path)[0].tables == ()  # names of files are no list of words: those that are there count
    record(tmp_path, experiment="x", files=["a.csv", "b.csv", "c.csv", "d.csv", "../e.csv"])
    (tmp_path / "a.csv").write_text('h,"two\nlines"\n1\n1,2,3\n\n')
    (tmp_path / "b.csv").write_text("\n")
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe\x00\x01")
    one = findings.read(tmp_path)[0]
    assert [table.rows for table in one.tables] == [(("1", ""), ("1", "2"))]
    assert one.tables[0].headings == ("h", "two\nlines")
    assert one.warnings[:2] == ("d.csv is missing from the folder.", "b.csv is empty.")
    assert one.warnings[2].startswith("c.csv cannot be read as a table")


# What cannot be read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON that can be read"),
        ("", "is no JSON that can be read"),
        ("[" * 100_000, "is no JSON that can be read"),
        ("[1]", "names no versions"),
        ('{"a": 1}', "names no versions"),
        ('{"versions": "1"}', "names no versions"),
    ],
)
def test_broken_record(tmp_path, text, words):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=words):
        findings.read(tmp_path)


def test_record_that_is_no_text(tmp_path):
    (tmp_path / "run.json").write_bytes(b"\xff\xff")
    with pytest.raises(ValueError, match="is no JSON"):
        findings.read(tmp_path)


def test_nothing_to_read(tmp_path):
    with pytest.raises(ValueError, match=r"`run_dir`: there is no '.*absent'"):
        findings.read(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"holds no run\.json; give a folder"):
        findings.read(tmp_path)
    record(tmp_path / "inside")
    with pytest.raises(ValueError, match=r"holds no run\.json; give .*inside"):
        findings.read(tmp_path)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match=r"must be a folder with a run\.json, or a store"):
        findings.read(tmp_path / "a.txt")
    (tmp_path / "a.sqlite").write_text("no store")
    with pytest.raises(store.DamagedError, match=r"a\.sqlite"):
        findings.read(tmp_path / "a.sqlite")
    assert findings.read(tmp_path / "inside" / "run.json") == findings.read(tmp_path / "inside")


# Values in words


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": {"b": 1, "c": None}}, [("a.b", "1"), ("a.c", "not given")]),
        ({"a": True, "b": [False, 0.1]}, [("a", "yes"), ("b", "no, 0.1")]),
        ({"a": [], "b": [[1, 2], [3]]}, [("a", "none"), ("b", "(1, 2), (3)")]),
        ({"a": list(range(20))}, [("a", "20 values: 0, 1, … 19")]),
        ({"a": [{"b": 1}, {"b": 2}]}, [("a.1.b", "1"), ("a.2.b", "2")]),
        ({"a": [{"b": 1}] * 20}, [("a", "20 values")]),
        ({"a": {}}, []),
    ],
)
def test_settings_are_flattened(value, expected):
    assert list(findings._flat(value)) == expected
