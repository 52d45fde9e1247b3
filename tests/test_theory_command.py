import json
import re

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from regimes import cli, findings, phases, report, spectra, theory

OPTIONS = ["--alpha", "0.7", "--beta", "1.5", "--modes", "1e4", "--noise", "0.01", "--n", "20,40", "--k", "30"]
FILES = ["duality.csv", "exponents.csv", "laws.csv", "losses.csv", "phases.csv", "run.json", "theory.png", "theory.svg"]


def run(*arguments):
    return CliRunner().invoke(cli.app, ["theory", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What one run printed, and its folder."""
    folder = tmp_path_factory.mktemp("theory") / "new"
    done = run(*OPTIONS, "--duality", "--out", folder)
    assert done.exit_code == 0, done.output
    return done.output, folder


def test_folder_holds_the_figure_the_tables_and_the_record(made):
    printed, folder = made
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert all(name in printed for name in FILES)
    record = json.loads((folder / "run.json").read_text())
    assert record["settings"]["alpha"] == 0.7
    assert record["settings"]["n"] == "20,40"
    assert record["settings"]["duality"] is True
    assert not {"out", "figure", "table"} & set(record["settings"])


def test_the_map_in_the_svg_is_a_picture_of_its_thousands_of_cells(made):
    """It took 1.2 MB as paths."""
    drawing = made[1] / "theory.svg"
    assert drawing.stat().st_size < 300_000
    assert "<image" in drawing.read_text()


def test_numbers_in_the_tables_are_those_of_the_library(made):
    spectrum = spectra.power_law(0.7, 1.5, modes=1e4)
    folder = made[1]
    read = pd.read_csv(folder / "exponents.csv").set_index("exponent")
    found = theory.exponents(spectrum)
    assert list(read.index) == ["alpha", "beta", "resolution_n", "resolution_k", "variance_n", "variance_k"]
    assert read["value"].to_dict() == pytest.approx({name: getattr(found, name).value for name in read.index})
    losses = pd.read_csv(folder / "losses.csv")
    expected = theory.predict_curve(spectrum, n=[20, 40], k=30, noise=0.01)
    assert losses["n"].tolist() == [20, 40]
    assert losses["loss"].to_numpy() == pytest.approx(expected.loss)
    points = pd.read_csv(folder / "phases.csv")
    mapped = phases.phase_map(spectrum, noise=0.01)
    assert points["phase"].tolist() == mapped.phase.ravel().tolist()
    row = points.iloc[70]
    assert row["loss"] == pytest.approx(mapped.surface.loss.ravel()[70])
    assert row["n"] == pytest.approx(np.repeat(mapped.surface.n, len(mapped.surface.k))[70])


def test_report_has_a_verdict_claims_and_the_figure(made, tmp_path):
    (one,) = findings.read(made[1])
    found = theory.exponents(spectra.power_law(0.7, 1.5, modes=1e4))
    assert one.experiment == "theory"
    assert len(one.claims) == len(pd.read_csv(made[1] / "duality.csv"))
    assert re.match(r"\d of \d claims hold", one.verdict[0])
    assert f"exponent {found.resolution_n} in n and {found.resolution_k} in k" in one.verdict[1]
    shares = [float(line.partition("%")[0]) for line in one.verdict if "% of the map" in line]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert shares == sorted(shares, reverse=True)
    assert [path.name for path in one.figures[0]] == ["theory.svg", "theory.png"]
    assert one.warnings == ()
    page = report.write(made[1], tmp_path / "report.html").read_text()
    assert "of the map" in page


def test_without_duality_and_with_too_few_modes_there_is_still_a_verdict(tmp_path):
    done = run("--alpha", "1", "--modes", "5", "--n", "2", "--k", "3", "--out", tmp_path / "few")
    assert done.exit_code == 0, done.output
    (one,) = findings.read(tmp_path / "few")
    assert one.claims == ()
    assert one.verdict[0] == "Too few modes to read exponents over a window of sizes."
    assert not (tmp_path / "few" / "exponents.csv").exists()


def test_without_out_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*OPTIONS).exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("mine")
    done = run(*OPTIONS, "--out", tmp_path / "file" / "below")
    assert done.exit_code != 0
    said = str(done.exception) + done.output
    assert "`out`: cannot write to" in said
    assert "alpha =" not in done.output
    assert (tmp_path / "file").read_text() == "mine"


def test_bad_arguments_leave_no_folder(tmp_path):
    assert run("--alpha", "-1", "--out", tmp_path / "new").exit_code != 0
    assert list(tmp_path.iterdir()) == []
