"""`regimes fit`, `classify` and `plan` as a user types them."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from regimes import classify, curve_fits, curves, spectra, theory
from regimes.results import LearningCurve

N = np.geomspace(100, 12800, 8)
QUICK = ("--bootstrap", "20", "--law", "power,hestness")


def plain(text):
    """Without colours, and without the line breaks that depend on the width of the screen."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


def losses(b=0.4, seed=0):
    return (3 * N**-b + 0.05) * np.exp(0.01 * np.random.default_rng(seed).standard_normal(len(N)))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of tables, in which commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    pd.DataFrame({"n": N, "loss": losses()}).to_csv("one.csv", index=False)
    pd.DataFrame({"n": N, "loss": losses()}).to_parquet("one.parquet", index=False)
    rows = [
        {"model": f"m{i}", "n": n, "loss": loss}
        for i in range(4)
        for n, loss in zip(N, losses(0.3 + 0.05 * i, i), strict=True)
    ]
    pd.DataFrame(rows).to_csv("four.csv", index=False)
    rows += [{"model": "flat", "n": n, "loss": 0.3} for n in N] + [{"model": "lonely", "n": 100, "loss": 0.4}]
    pd.DataFrame(rows).to_csv("six.csv", index=False)
    return tmp_path


# regimes fit


def test_fit_prints_what_the_library_says_and_writes_it(regimes, folder):
    code, out, err = regimes("fit", "one.csv", *QUICK, "--at", "1e4,1e5", "--out", "made")
    assert (code, err.strip()) == (0, "")
    (curve,) = curves.read("one.csv")
    expected = curve_fits.analyse(curve, ["power", "hestness"], bootstrap=20)
    assert expected.fit.law.name == "hestness"
    assert "hestness: a n^-b + c" in plain(out)
    assert f"b {expected.fit['b'].value:.4g} {expected.fit['b'].low:.4g} to {expected.fit['b'].high:.4g}" in plain(out)
    beyond = expected.forecast([1e5])
    assert f"100000 {beyond.loss[0]:.4g} {beyond.low[0]:.4g} to {beyond.high[0]:.4g} extrapolated" in plain(out)
    files = ["fit.png", "fit.svg", "forecast.csv", "parameters.csv", "points.csv", "ranking.csv", "run.json"]
    assert sorted(path.name for path in (folder / "made").iterdir()) == files
    ranking = pd.read_csv("made/ranking.csv").set_index("law")
    assert ranking["chosen"].to_dict() == {"tail": False, "hestness": True, "power": False}
    for rank in expected.ranks:
        assert ranking.loc[rank.law, "held_out_error"] == pytest.approx(rank.error.value, rel=1e-12)
    parameters = pd.read_csv("made/parameters.csv").set_index(["law", "parameter"])
    assert parameters.loc[("hestness", "b"), "value"] == pytest.approx(expected.fit["b"].value, rel=1e-12)
    points = pd.read_csv("made/points.csv")
    np.testing.assert_allclose(points["residual"], expected.fit.residuals, rtol=1e-9, atol=1e-15)
    assert points["held_out"].tolist() == [False] * 4 + [True] * 4
    forecast = pd.read_csv("made/forecast.csv")
    assert forecast["extrapolated"].tolist() == [False, True]
    np.testing.assert_allclose(forecast["loss"], expected.forecast([1e4, 1e5]).loss)
    record = json.loads((folder / "made/run.json").read_text())
    assert record["settings"]["at"] == [1e4, 1e5]
    assert record["settings"]["source"] == "one.csv"
    assert record["curves"][0]["parameters"]["b"][0] == pytest.approx(expected.fit["b"].value)
    assert ElementTree.parse(folder / "made/fit.svg").getroot().tag.endswith("svg")


def test_fit_of_many_curves_has_a_row_each_and_those_that_cannot_be_fitted_say_why(regimes, folder):
    code, out, _ = regimes("fit", "six.csv", "--by", "model", *QUICK, "--out", "made")
    assert code == 0
    assert "6 curves" in out
    assert "Laws over all curves" in out
    assert "2 failed" in out
    ranking = pd.read_csv("made/ranking.csv")
    assert set(ranking["model"]) == {"m0", "m1", "m2", "m3", "flat", "lonely"}
    failed = ranking[ranking["status"] == "degenerate"]
    assert failed["model"].unique().tolist() == ["flat"]
    assert "all losses are equal" in failed["notes"].iloc[0]
    record = json.loads((folder / "made/run.json").read_text())
    assert [one["status"] for one in record["curves"]][4:] == ["failed", "failed"]
    assert "1 points at 1 different scales" in " ".join(record["curves"][5]["notes"])
    found = (
        pd.read_csv("made/parameters.csv").query("law == 'hestness' and parameter == 'b'").set_index("model")["value"]
    )
    assert [found[f"m{i}"] for i in range(4)] == pytest.approx([0.3, 0.35, 0.4, 0.45], abs=0.05)


BAD = {
    "there is no file 'missing.csv'": "fit missing.csv",
    "is empty": "fit empty.csv",
    "`CURVES`: '.' is a folder; name a file, .csv, .csv.gz or .parquet": "fit .",
    "`--dim` must be a number or a file of inputs: there is no file 'none.npy'": "classify one.csv --dim none.npy",
    "it holds no rows": "fit header.csv",
    "column 'loss' must hold numbers; that of row 2 is 'low'": "fit words.csv",
    "`--x`: there is no column 'tokens'": "fit one.csv --x tokens",
    "`--y`: there is no column 'error'": "fit one.csv --y error",
    "`--by`: there is no column 'model'": "fit one.csv --by model",
    "1 points at 1 different scales for 2 parameters": "fit point.csv",
    "all losses are equal (0.3)": "fit flat.csv",
    "`--law` must be a law, got 'nonsense'; did you mean": "fit one.csv --law nonsense",
    "`--law` is empty": "fit one.csv --law ,",
    "chinchilla needs the scales size, n; the table has n": "fit one.csv --law chinchilla",
    "`--holdout` must be below 1, got 1.": "fit one.csv --holdout 1",
    "`--holdout` must be below 1, got 1.5": "fit one.csv --holdout 1.5",
    "`--at` must be numbers separated by commas, got '1e5,many'": "fit one.csv --at 1e5,many",
    "`--at` must hold positive numbers, got '0'": "fit one.csv --at 0",
    "`--along` must be one of n; got 'k'": "fit one.csv --along k",
    "`--level` must lie between 0 and 1": "fit one.csv --level 2",
    "`--seed` must be at least 0": "fit one.csv --seed -1",
    "`--bootstrap` must be at least 0": "fit one.csv --bootstrap -1",
    "`--out`: cannot write to 'one.csv/made'": "fit one.csv --out one.csv/made",
    "`--target` must be finite and more than 0, got -1": "plan one.csv --target -1",
    "`--target` must be finite and more than 0, got nan": "plan one.csv --target nan",
    "`--price` must be one of n; got 'params'": "plan one.csv --target 0.1 --price params=3",
    "`--price` must be written as name=number": "plan one.csv --target 0.1 --price n=cheap",
    "`--price`: `n` must be finite and more than 0": "plan one.csv --target 0.1 --price n=-2",
    "`--given` must be one of n; got 'k'": "plan one.csv --target 0.1 --given k=3",
    "got 0 of n": "plan one.csv --target 0.1 --given n=100",
    "`--cost` must be one of product, sum; got 'square'": "plan one.csv --target 0.1 --cost square",
    "point.csv could not be fitted": "plan point.csv --target 0.1",
    "nothing varies": "classify point.csv",
    "at least four different places": "classify two.csv",
    "`--fixed` must be one of n, k, noise, ridge, time; got 'colour'": "classify one.csv --fixed colour=3",
    "`--fixed` must be written as name=number": "classify one.csv --fixed noise=much",
    "n varies in one.csv, so it cannot be held at 3": "classify one.csv --fixed n=3",
    "`noise` must be finite and at least 0, got -1": "classify one.csv --fixed noise=-1",
    "`--dim` must be a number or a file of inputs": "classify one.csv --dim banana",
    "`--spectrum`: there is no file 'missing.csv'": "classify one.csv --spectrum missing.csv",
    "one.csv lacks eigenvalue, power": "classify one.csv --spectrum one.csv",
    "`--spectrum` must be a .csv, .csv.gz or .parquet file": "classify one.csv --spectrum one.npy",
    "`--limit` holds 1 NaN": "classify one.csv --limit nan",
    "`--guess` must be finite and at least 0": "classify one.csv --guess -1",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input_is_one_sentence_status_2_and_nothing_written(regimes, folder, words):
    texts = {
        "header": "n,loss\n",
        "words": "n,loss\n1,0.5\n2,low\n",
        "point": "n,loss\n9,0.5\n",
        "two": "n,loss\n9,0.5\n20,0.4\n",
        "flat": "n,loss\n" + "".join(f"{n},0.3\n" for n in N),
        "empty": "",
    }
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    before = sorted(folder.iterdir())
    command = BAD[words].split()
    if "--out" not in command:
        command += ["--out", "made"]
    code, out, err = regimes(*command)
    assert (code, out) == (2, "")
    assert plain(err).startswith("Error: ")
    assert words in plain(err)
    assert "Traceback" not in err
    assert sorted(folder.iterdir()) == before


def test_rows_that_are_left_out_are_warned_of(regimes, folder):
    pd.DataFrame({"n": N, "error": [np.nan, -0.1, *(100 * losses()[2:])]}).to_csv("odd.csv", index=False)
    code, out, _ = regimes("fit", "odd.csv", "--law", "power", "--bootstrap", 0, "--out", "made")
    assert code == 0
    for words in ("1 of 8 rows left out: no number", "1 of 8 rows left out: the loss is not positive", "percent"):
        assert f"Warning: {words}" in plain(out) or f"{words}, where laws" in plain(out)


def test_fit_says_why_the_law_with_the_star_is_chosen_and_what_makes_the_forecast(regimes, folder):
    code, out, _ = regimes("fit", "one.csv", "--bootstrap", 0, "--out", "made")
    assert code == 0
    expected = curve_fits.analyse(curves.read("one.csv")[0], bootstrap=0)
    assert expected.choice
    assert f"* {expected.choice}" in plain(out)
    assert json.loads((folder / "made/run.json").read_text())["curves"][0]["choice"] == expected.choice
    _, out, _ = regimes("fit", "six.csv", "--by", "model", *QUICK, "--out", "made")
    assert "The tail, a fit to the end of a curve alone, makes forecasts and is no law to choose." in plain(out)


def test_a_scale_held_at_infinity_is_said_and_the_other_is_fitted(regimes, folder):
    pd.DataFrame({"n": N, "k": np.inf, "loss": losses()}).to_csv("inf.csv", index=False)
    code, out, _ = regimes("fit", "inf.csv", *QUICK, "--out", "made")
    assert code == 0
    assert "inf.csv: 8 points, n 100 to 12800, k held at inf" in plain(out)
    both = pd.DataFrame({"n": np.tile(N, 2), "k": np.repeat([64, np.inf], 8), "loss": np.tile(losses(), 2)})
    both.to_csv("both.csv", index=False)
    _, out, _ = regimes("fit", "both.csv", *QUICK, "--out", "made")
    assert "Warning: 8 of 16 rows left out: k is infinite there and finite in others; with `--by` as" in plain(out)


def test_a_table_without_header_is_refused_by_fit_and_predict_in_the_same_words(regimes, folder):
    pd.read_csv("one.csv").to_csv("bare.csv", index=False, header=False)
    said = [plain(regimes(command, "bare.csv", "--out", "made")[2]) for command in ("fit", "predict")]
    assert said[0].replace("CURVES", "INPUT") == said[1]
    assert "bare.csv could not be read as a table: its first line must name the columns, but holds numbers" in said[1]


# regimes plan


def test_plan_prints_and_writes_what_the_library_says(regimes, folder):
    code, out, _ = regimes("plan", "one.csv", "--target", 0.1, *QUICK, "--price", "n=2", "--out", "made")
    assert code == 0
    (curve,) = curves.read("one.csv")
    expected = dict(curve_fits.analyse(curve, ["power", "hestness"], bootstrap=20).plans(0.1))
    table = pd.read_csv("made/plan.csv").set_index("law")
    for law in ("hestness", "power"):
        for end, value in (("", "value"), ("_low", "low"), ("_high", "high")):
            assert table.loc[law, f"n{end}"] == pytest.approx(getattr(expected[law].scales["n"], value))
        assert table.loc[law, "cost"] == pytest.approx(2 * table.loc[law, "n"])
        assert f"{table.loc[law, 'n']:.3g}" in out
    record = json.loads((folder / "made/run.json").read_text())
    assert record["settings"]["target"] == 0.1
    assert record["settings"]["price"] == {"n": 2}
    assert record["settings"]["bootstrap"] == 20


def test_plan_tells_targets_out_of_reach_and_those_reached_already(regimes, folder):
    _, out, _ = regimes("plan", "one.csv", "--target", 0.001, *QUICK)
    assert "not reached" in out
    assert "hestness: the loss tends to" in out
    _, out, _ = regimes("plan", "one.csv", "--target", 10, *QUICK)
    assert "all measured losses are below the target" in out
    assert sorted(path.name for path in folder.iterdir()) == ["four.csv", "one.csv", "one.parquet", "six.csv"]


def test_plan_of_many_curves_has_rows_for_each_and_the_reason_where_there_are_none(regimes, folder):
    code, _, _ = regimes("plan", "six.csv", "--by", "model", "--target", 0.2, *QUICK, "--out", "made")
    assert code == 0
    table = pd.read_csv("made/plan.csv")
    assert table.groupby("model").size().to_dict() == {"m0": 2, "m1": 2, "m2": 2, "m3": 2, "flat": 1, "lonely": 1}
    assert "all losses are equal" in table.set_index("model").loc["flat", "note"]
    exact = (3 / 0.15) ** (1 / 0.45)
    assert table.query("model == 'm3' and law == 'hestness'")["n"].item() == pytest.approx(exact, rel=0.2)


def test_columns_that_tell_curves_apart_keep_their_values_beside_ours(regimes, folder):
    pd.read_csv("four.csv").rename(columns={"model": "note"}).to_csv("clash.csv", index=False)
    options = ("--by", "note", "--target", 0.3, "--law", "power", "--bootstrap", 0, "--out", "made")
    assert regimes("plan", "clash.csv", *options)[0] == 0
    table = pd.read_csv("made/plan.csv")
    assert table["note_"].tolist() == ["m0", "m1", "m2", "m3"]
    assert table["note"].isna().all()


def test_plan_finds_the_cheapest_pair_and_one_scale_given_the_other(regimes, folder):
    grid = [
        (n, p, 1.7 + 400 * p**-0.34 + 1000 * n**-0.37)
        for n in np.geomspace(1e7, 1e10, 5)
        for p in np.geomspace(1e6, 1e9, 5)
    ]
    pd.DataFrame(grid, columns=["tokens", "params", "loss"]).to_csv("joint.csv", index=False)
    options = ("plan", "joint.csv", "--target", 2.2, "--law", "chinchilla", "--bootstrap", 0, "--out", "made")
    assert regimes(*options)[0] == 0
    pair = pd.read_csv("made/plan.csv").iloc[0]
    # On 400 p^-0.34 + 1000 n^-0.37 = 0.5 the product is least where 0.34 A p^-0.34 = 0.37 B n^-0.37.
    assert 0.34 * 400 * pair["size"] ** -0.34 == pytest.approx(0.37 * 1000 * pair["n"] ** -0.37, rel=1e-3)
    assert pair["cost"] == pytest.approx(pair["n"] * pair["size"])
    assert regimes(*options, "--price", "n=6")[0] == 0
    assert pd.read_csv("made/plan.csv")["cost"].item() == pytest.approx(6 * pair["cost"], rel=1e-6)
    assert regimes(*options, "--given", "size=1e9")[0] == 0
    (n,) = pd.read_csv("made/plan.csv")["n"]
    assert n == pytest.approx((1000 / (0.5 - 400 * 1e9**-0.34)) ** (1 / 0.37), rel=1e-3)
    assert regimes(*options, "--cost", "sum", "--price", "size=100")[0] == 0
    assert pd.read_csv("made/plan.csv")["size"].item() < pair["size"]


# regimes classify

SPECTRUM = spectra.power_law(0.5, 0.8, modes=1e6)


@pytest.fixture
def surface(folder):
    """Losses of the exact theory along n at k = 4096 and 16, with errors of 1 per cent."""
    rng = np.random.default_rng(0)
    rows = []
    for k in (16, 4096):
        n = np.array([8.0, 16, 32, 64, 128, 256, 512])
        for at, loss in zip(n, theory.predict_curve(SPECTRUM, n=n, k=k).loss, strict=True):
            if np.isfinite(loss):
                rows.append({"n": at, "k": k, "loss": loss * np.exp(0.01 * rng.standard_normal())})
    pd.DataFrame(rows).to_csv("two.csv", index=False)
    i = np.arange(1.0, 1e4)
    pd.DataFrame({"eigenvalue": i**-1.5, "power": i**-1.8}).to_csv("spectrum.csv", index=False)
    return folder


def test_classify_tells_what_the_library_tells_of_each_curve_with_what_was_held(regimes, surface):
    code, out, _ = regimes("classify", "two.csv", "--by", "k", "--fixed", "noise=0,ridge=0", "--out", "made")
    assert code == 0
    table = pd.read_csv("made/verdicts.csv").set_index("k")
    frame = pd.read_csv("two.csv")
    for k in (16, 4096):
        rows = frame[frame["k"] == k]
        curve = LearningCurve(
            "n", rows["n"].to_numpy(), rows["loss"].to_numpy(), None, None, {"k": k, "noise": 0, "ridge": 0}
        )
        expected = classify.classify(curve)
        assert table.loc[k, "regime"] == expected.regime.value
        assert table.loc[k, "evidence"] == "; ".join(expected.evidence)
        assert expected.evidence[0] in plain(out)
    assert table.loc[4096, "regime"] == "resolution-limited in n"
    assert sorted(path.name for path in (surface / "made").iterdir()) == [
        "run.json", "verdicts.csv", "verdicts.png", "verdicts.svg"
    ]  # fmt: skip


def test_classify_takes_a_spectrum_and_a_dimension(regimes, surface):
    frame = pd.read_csv("two.csv").query("k == 4096")
    frame.to_csv("line.csv", index=False)
    pd.DataFrame(np.random.default_rng(0).random((200, 2)), columns=["a", "b"]).to_csv("inputs.csv", index=False)
    code, out, _ = regimes("classify", "line.csv", "--spectrum", "spectrum.csv", "--dim", "2")
    assert code == 0
    assert "the spectrum predicts a slope of" in plain(out)
    assert "the dimension implies exponents of at least" in plain(out)
    code, out, _ = regimes("classify", "line.csv", "--dim", "inputs.csv")
    assert code == 0
    assert "the dimension implies" in plain(out)


def test_classify_of_a_full_grid_goes_along_both_axes_and_of_one_with_gaps_along_n(regimes, folder):
    n, k = np.array([8.0, 16, 32, 64, 128]), np.array([6.0, 20, 300, 3000])
    found = theory.predict_surface(SPECTRUM, n=n, k=k, ridge=1e-2)
    rows = [{"n": a, "k": b, "loss": found.loss[i, j]} for i, a in enumerate(n) for j, b in enumerate(k)]
    pd.DataFrame(rows).to_csv("grid.csv", index=False)
    pd.DataFrame(rows[1:]).to_csv("gaps.csv", index=False)
    code, out, _ = regimes("classify", "grid.csv", "--fixed", "ridge=0.01")
    assert code == 0
    for held in [f"n k = {value:g} " for value in k] + [f"k n = {value:g} " for value in n]:
        assert f"grid.csv {held}" in plain(out)
    assert regimes("classify", "gaps.csv", "--fixed", "ridge=0.01", "--out", "made")[0] == 0
    table = pd.read_csv("made/verdicts.csv")
    assert table["along"].unique().tolist() == ["n"]
    assert table["k"].tolist() == k.tolist()


def test_classify_of_a_curve_in_time_and_of_some_that_are_none(regimes, folder):
    pd.DataFrame({"time": N, "loss": losses()}).to_csv("time.csv", index=False)
    code, out, _ = regimes("classify", "time.csv")
    assert code == 0
    assert "along time from 100 to 12800" in plain(out)
    code, out, _ = regimes("classify", "six.csv", "--by", "model", "--out", "made")
    assert code == 0
    table = pd.read_csv("made/verdicts.csv").set_index("model")
    assert table.loc["lonely", "regime"] == "failed"
    assert "nothing varies" in table.loc["lonely", "evidence"]
    assert (table.drop(index="lonely")["regime"] != "failed").all()


# Help


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("fit", "law x y by holdout along at stderr count bootstrap level seed out"),
        ("classify", "x y by fixed limit guess dim spectrum stderr count level seed out"),
        ("plan", "target law x y by given cost price holdout along stderr count bootstrap level seed out"),
    ],
)
def test_help_names_every_option(regimes, command, names):
    code, out, _ = regimes(command, "--help")
    assert code == 0
    assert [name for name in names.split() if f"--{name}" not in plain(out)] == []
