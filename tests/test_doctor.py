import importlib.util

import pytest
from typer.testing import CliRunner

from regimes import factor
from regimes.cli import app


@pytest.fixture
def doctor(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    return lambda: CliRunner().invoke(app, ["doctor"])


def test_doctor_finds_this_installation_sound(doctor):
    found = doctor()
    assert found.exit_code == 0, found.output
    assert "broken" not in found.output
    assert found.output.count("works") >= 7
    assert "processors" in found.output
    assert "neural-tangents 0.6" in found.output


def test_doctor_says_what_is_broken_and_why_and_goes_on(doctor, monkeypatch):
    monkeypatch.setattr(factor, "cholesky", lambda gram: 1 / 0)
    found = doctor()
    assert found.exit_code == 1
    assert "ZeroDivisionError" in found.output
    assert "Broken: linear algebra." in found.output
    assert "SQLite" in found.output


def test_the_status_is_that_of_the_command_to_the_shell_too(regimes, monkeypatch):
    """typer.Exit is a RuntimeError: the sentence for what went wrong is not said of it."""
    monkeypatch.setattr(factor, "cholesky", lambda gram: 1 / 0)
    code, out, err = regimes("doctor")
    assert code == 1
    assert "Broken: linear algebra." in out
    assert err == ""


def test_doctor_says_which_extra_brings_what_is_absent(doctor, monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "dask" else there(name))
    found = doctor()
    assert found.exit_code == 0
    assert "pip install 'regimes[scale]'" in found.output
