import importlib.metadata
import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from regimes import cli, verify

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


@pytest.fixture
def regimes(monkeypatch, capsys, unchecked):
    """Run the command line in this process: (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["regimes", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stopped:
            code = stopped.code or 0
        return code, *capsys.readouterr()

    return run


def in_a_process(*arguments):
    command = [sys.executable, "-c", "from regimes.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def plain(text):
    """Without the colours that rich adds where it believes in a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


# Help


def test_help_names_the_command(regimes):
    code, out, _ = regimes("--help")
    assert code == 0
    assert "verify" in plain(out)


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
    "nope": "`data` must be one of photographs, digits",
    "missing.csv": "there is no file",
    "empty.csv": "is empty",
    "nan.csv": "x in nan.csv` holds 1 NaN",
    "words.csv": "columns must be numbers",
    "few.csv": "20 samples; the four regimes need at least",
    "cut.npz": "could not be read as .npz",
    "wrong.txt": ".npy, .npz or .csv file",
}
BAD_OPTIONS = {
    "--n 100000": "`n` is 100000",
    "--n 3": "`n` must be at least",
    "--n -5": "`n` must be at least",
    "--k 3": "`k` must be at least",
    "--k 100000": "`k` is 100000",
    "--model transformer": "`model` must be fully-connected or convolutional, got 'transformer'",
    "--kind foo": "`kind` must be one of nngp, ntk; got 'foo'",
    "--activation tanh": "`activation` must be one of relu, erf, gelu, step; got 'tanh'",
    "--activation step": "`activation` step has no NTK",
    "--depth 0": "`depth` must be at least 1, got 0",
    "--target guess": "`target` must be one of prior, labels; got 'guess'",
    "--target labels": "`target` is labels, but mine has none",
    "--trials 1": "`trials` must be between 2 and 64, got 1",
    "--noise -0.5": "`noise` must be finite and at least 0, got -0.5",
    "--noise nan": "`noise` must be finite and at least 0, got nan",
    "--seed -1": "`seed` must be at least 0, got -1",
    "--seed -1 --data sphere": "`seed` must be at least 0, got -1",
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
    assert_refused(regimes("verify", "--data", data, "--out", tmp_path / out), "`out`: cannot write to")
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
