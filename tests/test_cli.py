import functools
import importlib.metadata
import json
import re
import subprocess
import sys
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from regimes import (
    asymptotics,
    dynamics,
    equivalents,
    inputs,
    optima,
    predict,
    profiles,
    results,
    spectra,
    theory,
    verify,
)
from regimes.commands import console
from regimes.commands import verify as command

SAMPLES = 300
FILES = ["duality.csv", "exponents.csv", "four_regimes.png", "four_regimes.svg", "points.csv", "run.json"]
REGIMES = ["resolution_n", "resolution_k", "variance_n", "variance_k"]
FAST = ("--quick", "--depth", "1", "--kind", "nngp", "--trials", "2")


@pytest.fixture
def data(tmp_path, rng):
    """A small CSV file of inputs without labels."""
    path = tmp_path / "mine.csv"
    pd.DataFrame(rng.standard_normal((SAMPLES, 4)), columns=list("abcd")).to_csv(path, index=False)
    return path


def in_a_process(*arguments):
    command = [sys.executable, "-c", "from regimes.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def plain(text):
    """Without the colours that rich adds where it believes in a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# Help


def test_help_names_the_commands(regimes):
    code, out, _ = regimes("--help")
    assert code == 0
    assert "verify" in plain(out)
    assert "predict" in plain(out)
    assert "theory" in plain(out)


def test_help_of_theory_names_every_option(regimes):
    code, out, _ = regimes("theory", "--help")
    assert code == 0
    names = "alpha beta modes sphere torus hypercube kernel depth activation length smoothness ridge noise time"
    names = (*names.split(), "n", "k", "duality", "figure", "table")
    assert [name for name in names if not re.search(rf"--{name}\b", plain(out))] == []


def test_help_of_verify_names_every_option(regimes):
    code, out, _ = regimes("verify", "--help")
    assert code == 0
    names = (
        "data",
        "model",
        "depth",
        "kind",
        "activation",
        "target",
        "n",
        "k",
        "noise",
        "trials",
        "seed",
        "out",
        "quick",
    )
    assert [name for name in names if f"--{name}" not in plain(out)] == []


def test_version_is_the_installed_one(regimes):
    assert regimes("--version") == (0, f"regimes {importlib.metadata.version('regimes')}\n", "")


# Bad input

CONTENTS = {
    "empty.csv": b"",
    "nan.csv": b"a,b\n" + b"1,2\n" * SAMPLES + b"3,\n",
    "words.csv": b"a,b\n" + b"1,red\n" * SAMPLES,
    "few.csv": b"a,b\n" + b"1,2\n" * 20,
    "cut.npz": b"PK\x03\x04",
    "wrong.txt": b"1 2 3\n",
}
BAD_DATA = {
    "nope": "`--data` must be one of photographs, digits",
    "missing.csv": "there is no file",
    "empty.csv": "is empty",
    "nan.csv": "x in nan.csv` holds 1 NaN",
    "words.csv": "columns must be numbers",
    "few.csv": "20 samples; the four regimes need at least",
    "cut.npz": "could not be read as .npz",
    "wrong.txt": ".npy, .npz, .csv",
}
BAD_OPTIONS = {
    "--n 100000": "`--n` is 100000",
    "--n 3": "`--n` must be at least",
    "--n -5": "`--n` must be at least",
    "--k 3": "`--k` must be at least",
    "--k 100000": "`--k` is 100000",
    "--model transformer": "`--model` must be fully-connected or convolutional, got 'transformer'",
    "--kind foo": "`--kind` must be one of nngp, ntk; got 'foo'",
    "--activation tanh": "`--activation` must be one of relu, erf, gelu, step; got 'tanh'",
    "--activation step": "`--activation` step has no NTK",
    "--depth 0": "`--depth` must be at least 1, got 0",
    "--target guess": "`--target` must be one of prior, labels; got 'guess'",
    "--target labels": "`--target` is labels, but mine has none",
    "--trials 1": "`--trials` must be between 2 and 64, got 1",
    "--noise -0.5": "`--noise` must be finite and at least 0, got -0.5",
    "--noise nan": "`--noise` must be finite and at least 0, got nan",
    "--seed -1": "`--seed` must be at least 0, got -1",
    "--seed -1 --data sphere": "`--seed` must be at least 0, got -1",
    "--model convolutional": "must be images of shape",
}


def assert_refused(result, says):
    """One sentence on standard error, nothing on standard output, exit code 2."""
    code, out, error = result
    assert code == 2
    assert out == ""
    assert says in error
    assert re.fullmatch(r"Error: [^\n]+", error.strip("\n")), "one line"
    assert "Traceback" not in error


@pytest.mark.parametrize("name", BAD_DATA)
def test_bad_data_are_refused_with_a_sentence(regimes, tmp_path, name):
    if name in CONTENTS:
        (tmp_path / name).write_bytes(CONTENTS[name])
    source = tmp_path / name if "." in name else name
    assert_refused(regimes("verify", "--data", source, "--out", tmp_path / "out"), BAD_DATA[name])


@pytest.mark.parametrize("options", BAD_OPTIONS)
def test_bad_options_are_refused_with_a_sentence(regimes, data, tmp_path, options):
    assert_refused(regimes("verify", "--data", data, "--out", tmp_path / "out", *options.split()), BAD_OPTIONS[options])


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_folder_that_cannot_be_written_is_refused_before_the_work(regimes, data, tmp_path, out):
    (tmp_path / "file").write_text("mine")
    assert_refused(regimes("verify", "--data", data, "--out", tmp_path / out), "`--out`: cannot write to")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("options", [("--trials", "two"), ("--colour",), ("--n", "1.5")])
def test_unknown_and_malformed_options_exit_with_2(regimes, options):
    code, out, error = regimes("verify", *options)
    assert (code, out) == (2, "")
    assert options[0] in plain(error)
    assert "Traceback" not in error


def test_refused_run_leaves_no_folder_behind(regimes, data, tmp_path):
    regimes("verify", "--data", data, "--trials", "1", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_input_exits_with_2_in_a_process_of_its_own(tmp_path):
    done = in_a_process("verify", "--data", tmp_path / "none.csv", "--out", tmp_path / "out")
    assert_refused((done.returncode, done.stdout, done.stderr), "there is no file")


def test_a_file_that_is_missing_is_told_before_the_heavy_imports(tmp_path):
    """It took seven seconds."""
    commands = (
        "predict none.npy", "predict digits --targets none.csv", "fit none.csv", "classify none.csv",
        "plan none.csv --target 1", "report none", "verify --data none.csv",
    )  # fmt: skip
    code = f"""
import sys
from regimes import cli
for words in {commands}:
    sys.argv = ["regimes", *words.split()]
    try:
        cli.main()
    except SystemExit as stopped:
        print(stopped.code, *({{"jax", "pandas", "scipy.stats", "sklearn", "matplotlib"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stdout == "2\n" * len(commands), done.stderr
    assert len(re.findall("there is no (?:file )?'none", done.stderr)) == len(commands)


def test_the_package_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "regimes", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"regimes {importlib.metadata.version('regimes')}\n"), done.stderr


class Parameter(NamedTuple):
    """As a command has it."""

    name: str
    opts: list[str]
    metavar: str | None = None


TYPED = {
    "`source`: there is no file": "`INPUT`: there is no file",
    "`file` must end": "`FILE` must end",
    "`kind` must be one of": "`--kind` must be one of",
    "`kinds` must be one of": "`--kind` must be one of",
    "`loss` must be positive": "`loss` must be positive",
    "say drop_duplicates=True to leave them out": "say --drop-duplicates to leave them out",
    "say kind='features' for": "say --kind features for",
    "state kind= as one of gram": "state --kind as one of gram",
    "state kind=, or save it; name one as kind=.": "state --kind, or save it; name one as --kind.",
    "written as kind=number,n=number, not `kind=3`": "written as kind=number,n=number, not `kind=3`",
    "mankind=True is another word": "mankind=True is another word",
    "write it with index=False": "write it with index=False",
    "`kind` must be None: it is": "`--kind` must be left out: it is",
    "`kind` must be None of them": "`--kind` must be None of them",
    **{
        text: text.replace("`source`", "`INPUT`")
        for text in (
            "`source`: there is no file 'n=.npy'",
            "`source`: there is no file 'kind=True.npy'",
            '`source`: there is no file "a\'s, kind=.npy"',
            "np.load(allow_pickle=False, kind=True) failed",
            "look at load(kind='a')",
        )
    },
    "the user's kind='gram', not the file's": "the user's --kind gram, not the file's",
}


@pytest.mark.parametrize("said", TYPED)
def test_messages_name_what_the_user_types(said):
    parameters = [
        Parameter("source", ["source"], "INPUT"),
        Parameter("file", ["file"]),
        Parameter("kind", ["--kind"]),
        Parameter("n", ["--n"]),
        Parameter("drop_duplicates", ["--drop-duplicates"]),
    ]
    with console.command(parameters):
        assert console.as_typed(said) == TYPED[said]
    assert console.as_typed(said) == said


def planned(available, **options):
    """The sizes of the experiment on a pool, or the message that refuses it."""
    try:
        return verify.plan(available, **options)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("trials", [2, 8])
def test_every_pool_that_is_accepted_has_three_points_for_each_fit(quick, trials):
    plans = [planned(available, trials=trials, quick=quick) for available in (*range(16, 1200), 2000, 6053, 20_000)]
    smallest = next(index for index, one in enumerate(plans) if not isinstance(one, str))
    assert all("the four regimes need at least" in refusal for refusal in plans[:smallest])
    for one in plans[smallest:]:
        shared = np.intersect1d(one.in_n, one.in_k)  # the duality checks fit slopes there
        assert min(len(one.in_n), len(one.in_k), len(one.past), len(shared)) >= 3
        assert one.in_n[-1] <= one.pool - one.test
        assert one.held < one.past[0]
        assert one.past[-1] <= min(one.features, one.pool - one.test)


@pytest.mark.parametrize("options", [{"k": 48}, {"k": 64}, {"n": 128}, {"n": 128, "k": 48}])
def test_smallest_n_and_k_that_are_accepted_leave_three_points_on_both_axes(options):
    sizes = verify.plan(2000, **options)
    assert len(np.intersect1d(sizes.in_n, sizes.in_k)) >= 3


# A real run


def test_verify_writes_the_figure_the_tables_and_the_settings(data, tmp_path):
    out = tmp_path / "deep" / "out"
    done = in_a_process("verify", "--data", data, "--out", out, "--seed", "3", *FAST)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert all(name in done.stdout for name in FILES)
    assert (out / "four_regimes.png").read_bytes().startswith(b"\x89PNG")
    assert ElementTree.parse(out / "four_regimes.svg").getroot().tag.endswith("svg")

    points, exponents, duality = (pd.read_csv(out / f"{name}.csv") for name in ("points", "exponents", "duality"))
    assert list(points["regime"].unique()) == list(exponents["regime"]) == REGIMES
    assert points.groupby("regime").size().min() >= 3
    assert np.isfinite(points[["predicted", "measured", "stderr"]]).all(axis=None)
    assert np.isfinite(exponents[["predicted", "measured"]]).all(axis=None)
    assert (exponents["measured_low"] < exponents["measured_high"]).all()
    assert len(duality) >= 5

    settings = json.loads((out / "run.json").read_text())
    assert settings["versions"]["regimes"] == importlib.metadata.version("regimes")
    assert {"jax", "neural-tangents", "numpy", "scipy", "python"} <= set(settings["versions"])
    (task,) = settings["tasks"]
    assert (task["seed"], task["trials"], task["quick"], task["target"]) == (3, 2, True, "prior")


@pytest.mark.slow
def test_same_seed_writes_the_same_numbers_another_seed_others_and_the_users_files_stay(regimes, data, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")

    def written(seed):
        assert regimes("verify", "--data", data, "--out", out, "--seed", seed, *FAST)[0] == 0
        return {name: (out / name).read_text() for name in FILES if name.endswith((".csv", ".json"))}

    other, one, same = written(2), written(1), written(1)
    assert one == same
    assert not [name for name in one if one[name] == other[name]]
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "notes.txt"])
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("value", [0.5, 0.9])
def test_a_table_in_which_an_exponent_differs_says_what_is_compared(monkeypatch, capsys, unchecked, value):
    monkeypatch.setenv("COLUMNS", "150")
    at = np.array([1.0, 2.0, 4.0])
    curve = results.LearningCurve("n", at, at)
    measured = results.Estimate(value, value - 0.1, value + 0.1, window=(1.0, 4.0))
    predicted = results.Estimate.exact(0.5)
    one = results.Comparison("digits", "resolution_n", curve, curve, measured, predicted, "n")
    exponents = dict.fromkeys(("alpha_kappa", "alpha_pivots", "beta", "rule_n", "rule_k"), predicted)
    command._show(Console(), verify.Verification("digits", "d", (one,), (), None, exponents, {}))
    out = plain(capsys.readouterr().out)
    assert ("exponent above the prediction by 0.400 ± 0.100" in out) is (value == 0.9)
    assert (command.DIFFERS in out) is (value == 0.9)


# Predictions

PREDICTED = [
    *("curve.csv", "eigenvalues.csv", "exponents.csv", "local_exponents.csv", "prediction.png", "prediction.svg"),
    *("prior.csv", "run.json", "spectrum.csv"),
]


@pytest.fixture
def sample(tmp_path, rng):
    """A folder with a Gram matrix of 120 samples, their inputs in a table, targets, and a list of eigenvalues."""
    x = rng.standard_normal((120, 3))
    squares = np.sum((x[:, None] - x) ** 2, axis=-1)
    np.save(tmp_path / "gram.npy", np.exp(-np.sqrt(squares)))
    table = pd.DataFrame(x, columns=list("abc"))
    table.to_csv(tmp_path / "x.csv", index=False)
    table.assign(label=np.where(x[:, 0] > 0, "cat", "dog")).to_parquet(tmp_path / "labelled.parquet")
    pd.DataFrame({"size": x[:, 0], "cost": x[:, 1] ** 2}).to_csv(tmp_path / "targets.csv", index=False)
    np.save(tmp_path / "eigenvalues.npy", np.arange(1, 401.0) ** -1.5)
    np.save(tmp_path / "few.npy", np.exp(-np.sqrt(squares[:50, :50])))
    np.save(tmp_path / "short.npy", x[:60, 0])
    (tmp_path / "model.pkl").write_bytes(b"code")
    return tmp_path


def test_help_of_predict_names_every_option(regimes):
    code, out, _ = regimes("predict", "--help")
    assert code == 0
    names = "targets kernel depth activation length n k ridge noise samples size memory scheduler kind column"
    names = (*names.split(), "drop-duplicates", "level", "seed", "out")
    assert [name for name in names if not re.search(rf"--{name}\b", plain(out))] == []
    assert "INPUT" in plain(out)


def test_predict_prints_and_writes_what_the_library_finds(regimes, sample):
    out = sample / "deep" / "out"
    options = ("--column", "size", "--n", "20,60,119,1000", "--k", "30", "--level", "0.8", "--seed", "2")
    code, printed, error = regimes(
        "predict", sample / "gram.npy", "--targets", sample / "targets.csv", *options, "--out", out
    )
    assert (code, error.strip()) == (0, "")
    source = inputs.read(sample / "gram.npy", targets=sample / "targets.csv", column="size", seed=2)
    found = predict.predict(source, n=[20, 60, 119, 1000], k=[30], level=0.8, seed=2)
    text = plain(printed)
    assert found.description in text
    for one in predict.all_readings(found):
        numbers = f"{one.estimate.value:.3f} +{one.estimate.low:.3f} to {one.estimate.high:.3f}"
        mark = r"\*" if one.default else " "
        row = numbers if one.estimate.level < 1 else "1.000"
        assert re.search(rf"^ ?{mark} +{one.quantity.replace('_', ' ')} +{row} ", text, re.MULTILINE), one
        assert one.quantity not in ("alpha", "beta", "noise") or one.remark in text
    assert f"Verdict: {found.law}" in text
    assert f"Held out: {found.held_out}" in text
    assert all(f"Warning: {warning}" in text for warning in found.warnings)
    loss, seen = found.forecasts[0].curve.loss, found.measured.loss
    assert re.search(rf"^ *119 +{loss[2]:.4g} .* {seen[2]:.4g} +$", text, re.MULTILINE)
    assert re.search(rf"^ *1000 +{loss[3]:.4g} .* extrapolated", text, re.MULTILINE)
    assert re.search(rf"^ *60 +{found.forecasts[1].curve.loss[1]:.4g} ", text, re.MULTILINE)
    assert sorted(path.name for path in out.iterdir()) == PREDICTED
    assert all(name in text for name in PREDICTED)
    assert pd.read_csv(out / "curve.csv")["loss"].tolist() == pytest.approx([*loss, *found.forecasts[1].curve.loss])
    record = json.loads((out / "run.json").read_text())
    assert record["settings"]["arguments"]["column"] == "size"
    assert (record["settings"]["level"], record["settings"]["seed"]) == (0.8, 2)
    assert record["versions"]["regimes"] == importlib.metadata.version("regimes")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("x.csv", "kernel: NTK of a fully connected relu network with 2 hidden layers"),
        ("x.csv --kernel nngp --depth 1 --activation erf", "NNGP of a fully connected erf network with 1 hidden layer"),
        (
            "labelled.parquet --kernel laplace --length 2",
            "targets read as 2 classes; kernel: laplace kernel of length 2",
        ),
        ("x.csv --size 100", "100 of 120 samples analysed"),
        ("eigenvalues.npy", "taken as those of the population"),
        ("eigenvalues.npy --samples 500", "taken as those of K/N for N = 500 samples"),
    ],
)
def test_predict_takes_every_kind_of_input(regimes, sample, monkeypatch, arguments, says):
    monkeypatch.chdir(sample)
    monkeypatch.setattr(predict, "predict", functools.partial(predict.predict, draws=20, hold_out=False))
    code, printed, _ = regimes("predict", *arguments.split())
    assert code == 0
    assert says in plain(printed)
    assert sorted(path.name for path in (sample / "regimes-predict").iterdir()) == PREDICTED


@pytest.mark.parametrize("power", [True, False])
def test_predict_stars_no_exponent_of_a_power_law_where_there_is_none(regimes, tmp_path, power):
    rank = np.arange(1, 2001.0)
    np.save(tmp_path / "list.npy", rank**-1.5 if power else np.exp(-rank / 80))
    code, out, _ = regimes("predict", tmp_path / "list.npy", "--n", 10, "--out", tmp_path / "out")
    assert code == 0
    assert ("Verdict: no power law" in plain(out)) is not power
    stars = re.findall(
        r"^ ?\* +(alpha|beta|resolution n|resolution k|variance n|variance k) ", plain(out), re.MULTILINE
    )
    four = ["alpha", "beta", "resolution n", "resolution k"]
    assert stars == [*(four if power else []), "variance n", "variance k"]
    assert ("No star at alpha, beta and the resolution-limited exponents" in plain(out)) is not power


BAD_PREDICT = {
    "nope": "`INPUT` must be one of photographs, digits",
    "none.npy": "there is no file 'none.npy'",
    "model.pkl": "a pickle runs code when it is opened and is not read",
    "few.npy": "few.npy has 50 samples; at least 100 are needed",
    "gram.npy --targets short.npy": "expected 120 rows, got shape (60,)",
    "gram.npy --targets targets.csv --column mass": "`--column`: the targets have no 'mass'; there is size, cost",
    "gram.npy --kernel rbf": "`--kernel` must be left out: this source is a Gram matrix already",
    "gram.npy --depth 3": "`--depth` is no option of this kernel: no kernel is made here",
    "x.csv --kind features": "`--targets` are needed for x: the kernel has rank 3",
    "gram.npy --n 20,10": "`--n` must be positive and strictly increasing, got 20, 10",
    "gram.npy --n ten": "`--n` must be numbers separated by commas, got 'ten'",
    "gram.npy --k 0": "`--k` must be positive, got 0",
    "gram.npy --noise -1": "`--noise` must be finite and at least 0",
    "gram.npy --level 90": "`--level` must lie between 0 and 1, got 90",
    "gram.npy --seed -1": "`--seed` must be at least 0, got -1",
    "gram.npy --size 3": "`--size` must be at least 100, got 3",
    "gram.npy --memory 0.0001": "`--memory` is 100 kB, but the analysis of 100 samples holds",
    "gram.npy --samples 300": "`--samples` belongs to a list of eigenvalues",
    "gram.npy --kind graph": "`--kind` must be one of gram, features, inputs, eigenvalues; got 'graph'",
    "x.csv --kernel tanh": "`--kernel` must be one of ntk, nngp, laplace",
    "x.csv --kernel rbf --depth 3": "`--depth` is no option of this kernel: rbf takes no options",
    "x.csv --kernel laplace --length 0": "`--length` must be finite and more than 0",
    "x.csv --kernel chi2": "`--kernel` failed on inputs of shape",
    "x.csv --activation tanh": "`--activation` must be one of relu, erf, gelu, step; got 'tanh'",
    "eigenvalues.npy --samples 100": "`--samples` is 100, but",
    "eigenvalues.npy --targets short.npy": "`--targets` need samples",
    "eigenvalues.npy --kernel rbf": "`--kernel` must be left out: a list of eigenvalues",
}


@pytest.mark.parametrize("arguments", BAD_PREDICT)
def test_bad_input_of_predict_is_refused_before_anything_is_printed_or_written(regimes, sample, monkeypatch, arguments):
    monkeypatch.chdir(sample)
    before = sorted(path.name for path in sample.iterdir())
    assert_refused(regimes("predict", *arguments.split()), BAD_PREDICT[arguments])
    assert sorted(path.name for path in sample.iterdir()) == before


def test_folder_that_predict_cannot_write_to_is_refused_before_the_work(regimes, sample):
    result = regimes("predict", sample / "gram.npy", "--out", sample / "targets.csv" / "below")
    assert_refused(result, "`--out`: cannot write to")


# The theory

COLUMNS = ["n", "k", "loss", "in n", "in k", "best ridge", "loss there"]
PARTS = ["bias", "data", "features", "both", "fitted noise", "noise"]


def test_power_law_prints_the_laws_the_exponents_and_the_losses_of_the_library(regimes):
    options = "--alpha 0.7 --beta 1.5 --noise 0.01 --ridge 0.001 --n 50,inf --k 200"
    code, out, error = regimes("theory", *options.split())
    assert (code, error) == (0, "")
    text = plain(out)
    spectrum = spectra.power_law(0.7, 1.5, modes=1e8)
    assert str(spectrum) in text
    for rate in asymptotics.rates(0.7, 1.5, noise=0.01, ridge=0.001):
        factor = f"{rate.amplitude:.3g} " if np.isfinite(rate.amplitude) else ""
        assert f"{rate.regime}: {rate.quantity} ~ {factor}{rate.along}^" in text
    assert str(theory.exponents(spectrum)) in text
    losses = equivalents.loss(spectrum, [50, np.inf], 200, 0.001, 0.01)
    assert re.search(rf"^ *50 +200 +{losses[0]:.4g} ", text, re.MULTILINE)
    assert re.search(rf"^ *inf +200 +{losses[1]:.4g} .* - +- *$", text, re.MULTILINE)
    assert "duality" not in text


def test_default_sizes_are_decades_along_both_axes(regimes, tmp_path):
    code, *_ = regimes("theory", "--alpha", "1", "--modes", "50000", "--table", tmp_path / "t.csv")
    assert code == 0
    table = pd.read_csv(tmp_path / "t.csv")
    decades = [10.0, 100, 1000]  # the spectrum is resolved up to 5000
    assert table["n"].tolist() == decades + [np.inf] * 3
    assert table["k"].tolist() == [np.inf] * 3 + decades


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_table_holds_the_librarys_numbers_for_all_pairs(regimes, tmp_path, ending):
    path = tmp_path / "new" / f"t.{ending}"
    options = "--alpha 0.7 --beta 1.5 --noise 0.1 --ridge 0.5 --time 30 --n 20,80,inf --k 40,inf"
    code, out, error = regimes("theory", *options.split(), "--table", path)
    assert (code, error) == (0, "")
    assert f"Table written to {path}" in out
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    table = pd.read_csv(path) if ending == "csv" else pd.read_parquet(path)
    assert list(table.columns) == [*COLUMNS[:5], "in t", *COLUMNS[5:], *PARTS]
    n, k = table["n"].to_numpy(), table["k"].to_numpy()
    assert list(zip(n, k, strict=True)) == [(one, other) for one in (20, 80, np.inf) for other in (40, np.inf)]
    spectrum = spectra.power_law(0.7, 1.5, modes=1e8)
    assert table["loss"].to_numpy() == pytest.approx(dynamics.gradient_flow(spectrum, 30, n, k, 0.5, 0.1), rel=1e-12)
    slopes = theory.local_exponents(spectrum, n, k, 0.5, 0.1, 30)
    for column, values in (("in n", slopes.n), ("in k", slopes.k), ("in t", slopes.time)):
        assert table[column].to_numpy() == pytest.approx(values, rel=1e-12)
    assert table[PARTS].sum(axis=1).to_numpy() == pytest.approx(equivalents.loss(spectrum, n, k, 0.5, 0.1), rel=1e-10)
    assert table["bias"].to_numpy() == pytest.approx(equivalents.decompose(spectrum, n, k, 0.5, 0.1).bias, rel=1e-12)
    finite = np.isfinite(n)
    best = optima.optimal_ridge(spectrum, n[finite], k[finite], 0.1)
    assert table["best ridge"][finite].to_numpy() == pytest.approx(best.at, rel=1e-4)
    assert table["loss there"][finite].to_numpy() == pytest.approx(best.loss, rel=1e-9)
    assert table.loc[~finite, ["best ridge", "loss there"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("--alpha 0.5 --modes 300 --noise 0.1 --n 100,300 --k 100", "n = 100, k = 100: as many features as samples"),
        ("--hypercube 6 --kernel laplace --noise 0.1 --n 64", "n = 64, k = inf: as many samples as modes"),
    ],
)
def test_an_infinite_loss_is_printed_with_its_reason(regimes, options, reason):
    code, out, _ = regimes("theory", *options.split())
    assert code == 0
    assert f"infinite at {reason}" in out


KERNELS = {
    "--sphere 3": (spectra.sphere(profiles.ntk(2), 3), 1 / 3),
    "--sphere 2 --kernel nngp --depth 2 --activation erf": (spectra.sphere(profiles.nngp(2, "erf"), 2), None),
    "--sphere 4 --kernel arc-cosine --degree 2": (spectra.sphere(profiles.arc_cosine(2), 4), 5 / 4),
    "--sphere 3 --kernel laplace --length 2": (spectra.sphere(profiles.laplace(2), 3), 1 / 3),
    "--sphere 3 --kernel matern --smoothness 1.5 --beta 0.8": (
        spectra.sphere(profiles.matern(1.5, 1), 3, target=0.8),
        1,
    ),
    "--sphere 5 --kernel gaussian": (spectra.sphere(profiles.gaussian(1), 5), None),
    "--torus 1": (spectra.torus(profiles.ornstein_uhlenbeck(1), 1), 1),
    "--torus 1 --kernel bernoulli --order 2": (spectra.torus(profiles.bernoulli(2), 1), 3),
    "--torus 2 --kernel poisson": (spectra.torus(profiles.poisson(0.5), 2), None),
    "--hypercube 10 --depth 1": (spectra.hypercube(profiles.ntk(1), 10), None),
    "--hypercube 9 --kernel laplace": (spectra.hypercube(profiles.laplace(1), 9), None),
}
"""Options -> the spectrum they mean and the alpha of its asymptotic power law."""


@pytest.mark.parametrize("options", KERNELS)
def test_kernels_give_the_spectra_of_the_library_and_the_laws_of_their_smoothness(regimes, options):
    spectrum, alpha = KERNELS[options]
    code, out, error = regimes("theory", *options.split(), "--n", "20", "--k", "inf")
    assert (code, error) == (0, "")
    assert str(spectrum) in out
    assert (f"Caution: {spectrum.caution}" in out) == (spectrum.caution is not None)
    assert re.search(rf"^ *20 +inf +{equivalents.loss(spectrum, 20):.4g} ", out, re.MULTILINE)
    assert ("Asymptotic laws" in out) == (alpha is not None)
    if alpha is not None:  # an amplitude would be that of i^-(1+alpha), which the kernel's eigenvalues are not
        beta = 0.8 if "--beta" in options else alpha
        assert f"resolution-limited in n: L(n, inf) at noise 0 ~ n^-{min(beta, 2 * (1 + alpha)):.3g}\n" in out


def test_duality_report_is_printed_at_the_first_finite_pair(regimes):
    options = ("--alpha", "1", "--modes", "2000", "--noise", "0.1", "--duality")
    code, out, _ = regimes("theory", *options, "--n", "inf,20", "--k", "30")
    assert code == 0
    assert "duality at (20, 30)" in out
    table = out.partition("duality at")[2]
    levels = [str(c.level) for c in theory.duality_report(spectra.power_law(1, modes=2000), 20, 30, 0.0, 0.1)]
    assert re.findall(r"^ (\d) ", table, re.MULTILINE) == levels
    assert table.count("holds") == len(levels)


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_phase_map_is_drawn_and_its_phases_printed(regimes, tmp_path, ending):
    path = tmp_path / "new" / f"map.{ending}"
    code, out, error = regimes("theory", "--alpha", "1", "--n", "20", "--noise", "0.1", "--figure", path)
    assert (code, error) == (0, "")
    assert f"Phase map written to {path}" in out
    assert "noise: fitted label noise is most of the reducible loss" in out
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    if ending == "png":
        from matplotlib.image import imread

        assert min(imread(path).shape[:2]) > 600
    else:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")


BAD_THEORY = {
    "": "give exactly one of `--alpha`, `--sphere`, `--torus` and `--hypercube`.",
    "--alpha 1 --sphere 3": "`--hypercube`; got --alpha and --sphere.",
    "--alpha 0": "`--alpha` must be",
    "--alpha 1 --beta -1": "`--beta` must be",
    "--alpha 1 --modes 0": "`--modes` must be",
    "--alpha 1 --ridge -1": "`--ridge` must be finite and not negative, got -1",
    "--alpha 1 --noise -0.5": "`--noise` must be finite and not negative, got -0.5",
    "--alpha 1 --time 0": "`--time` must be positive, got 0",
    "--alpha 1 --time nan": "`--time` must be positive, got nan",
    "--alpha 1 --kernel ntk": "`--kernel` describes a kernel of inputs",
    "--alpha 1 --depth 3": "`--depth` describes a kernel of inputs",
    "--sphere 3 --kernel laplace --depth 3": "`--depth` is no option of laplace, which takes length.",
    "--torus 1 --kernel poisson --ratio 1": "`--ratio` must be",
    "--alpha 1 --n ten": "`--n` must be numbers separated by commas, got 'ten'",
    "--alpha 1 --k 10;20": "`--k` must be numbers separated by commas, got '10;20'",
    "--alpha 1 --n -5": "`--n` must be positive, got -5",
    "--alpha 1 --n 10 --k 0": "`--k` must be positive, got 0",
    "--alpha 1 --n nan": "`--n` must not be NaN",
    "--alpha 1 --n 10.5 --k 20 --duality": "`--duality` needs whole numbers `--n` and `--k`",
    "--sphere 0": "`--sphere` must be at least 1, got 0",
    "--sphere 3 --kernel tanh": "`--kernel` must be one of ntk, nngp, arc-cosine, laplace, matern, gaussian; got",
    "--torus 1 --kernel ntk": "`--kernel` must be one of ornstein-uhlenbeck, bernoulli, poisson; got 'ntk'",
    "--sphere 3 --kernel laplace --length 0": "`--length` must be",
    "--sphere 3 --activation tanh": "`--activation` must be one of relu, erf, gelu, step; got 'tanh'",
}


@pytest.mark.parametrize("options", BAD_THEORY)
def test_bad_options_of_theory_are_refused_before_anything_is_printed_or_written(regimes, tmp_path, options):
    files = ("--figure", tmp_path / "new" / "map.png", "--table", tmp_path / "new" / "t.csv")
    assert_refused(regimes("theory", *options.split(), *files), BAD_THEORY[options])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ("--figure new/map.gif", "`--figure` must end in .png, .svg, .pdf, got "),
        ("--table new/t.xlsx", "`--table` must end in .csv, .parquet, got "),
        ("--table new/t.csv --figure new/map", "`--figure` must end in"),
        ("--figure new/map.png --table new/t", "`--table` must end in"),
        ("--figure file/map.png", "`--figure`: cannot write to"),
        ("--table file/below/t.csv", "`--table`: cannot write to"),
    ],
)
def test_figures_and_tables_that_cannot_be_written_are_refused_before_the_work(
    regimes, tmp_path, monkeypatch, files, says
):
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert_refused(regimes("theory", "--alpha", "1", *files.split()), says)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_ctrl_c_says_how_to_go_on(capsys):
    with pytest.raises(KeyboardInterrupt), console.progress():
        raise KeyboardInterrupt
    assert "the same command goes on" in capsys.readouterr().err
