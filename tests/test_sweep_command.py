import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import sweep_experiments  # noqa: F401  (registers its experiments)
import typer.testing

from regimes import cli, store
from regimes.commands import sweep as command

ROOT = Path(__file__).parent.parent
MODULE = str(Path(__file__).with_name("sweep_experiments.py"))
FILE = """
[experiment]
name = "test-faulty"

[fixed]
how = "raise"

[grid]
n = [0, 1, 2, 3]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def call(unchecked):
    """Run a command: (exit status, what it prints); what it raises comes through."""

    def run(*arguments):
        found = typer.testing.CliRunner().invoke(command.app, [str(a) for a in arguments])
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found.exit_code, found.output

    return run


def test_from_plan_to_export(call, file, tmp_path):
    assert call("plan", file) == (0, "4 cells of test-faulty, seed 0: 4 to do; time not known before a cell has run\n")
    code, out = call("plan", file, "--probe", "--workers", 2)
    assert re.search("3 to do, 1 done; about .* with 2 workers", out)
    code, out = call("run", file, "--workers", 0)
    assert code == 1
    assert "3 done, 1 failed, 0 to do; 3 computed in" in out
    code, out = call("status", file)
    assert code == 0
    assert "failed 1 time: ArithmeticError: diverged at n = 3" in out
    assert re.search("0 to do, 3 done, 1 failed", out)
    code, out = call("resume", file, "--workers", 1, "--retry-failed")
    assert code == 1
    assert "1 computed" in out
    for name in ("t.csv", "t.parquet"):
        assert call("export", file, "--out", tmp_path / name)[1].endswith("4 cells\n")
    assert pd.read_csv(tmp_path / "t.csv")["n"].tolist() == [0, 1, 2, 3]


def test_all_done_is_status_0(call, file):
    file.write_text(FILE.replace(", 3]", "]"))
    assert call("run", file, "--workers", 0)[0] == 0


def test_what_is_refused_says_why(call, file, tmp_path):
    with pytest.raises(ValueError, match="there is no store"):
        call("resume", file)
    with pytest.raises(ValueError, match="there is no store"):
        call("status", file)
    with pytest.raises(ValueError, match="there is no sweep file"):
        call("run", tmp_path / "b.toml")
    with pytest.raises(ValueError, match="leave out `scheduler`"):
        call("run", file, "--slurm", 2, "--scheduler", "local")
    with pytest.raises(ValueError, match="`module`: there is no file"):
        call("run", file, "--module", "none.py")
    file.write_text(FILE.replace("how =", "hwo ="))
    with pytest.raises(ValueError, match=r"'hwo' is no argument of test-faulty; did you mean how\?"):
        call("run", file)


def test_a_store_elsewhere(call, file, tmp_path):
    call("run", file, "--workers", 0, "--store", tmp_path / "b.sqlite")
    assert not (tmp_path / "a.sqlite").exists()
    with store.read(tmp_path / "b.sqlite") as found:
        assert found.summary()[:2] == (3, 1)


def test_recover(call, file, tmp_path):
    call("run", file, "--workers", 0)
    assert "4 cells; 0 more" in call("recover", tmp_path / "a.sqlite", tmp_path / "b.sqlite")[1]
    assert "0 computed" in call("resume", file, "--store", tmp_path / "b.sqlite")[1]


def test_a_module_of_ones_own(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from regimes import cells\n"
        "def mine(n: int, *, seed: int) -> dict:\n"
        "    return {'loss': n + 0.5}\n"
        "cells.register(cells.Experiment('mine', mine, version=1))\n"
    )
    (tmp_path / "a.toml").write_text("[experiment]\nname = 'mine'\n[grid]\nn = [1, 2]\n")
    script = "from regimes.commands.sweep import app; app()"
    arguments = ["run", tmp_path / "a.toml", "--module", tmp_path / "mine.py", "--workers", "1"]
    found = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert "2 done, 0 failed" in found.stdout, found.stderr
    with store.read(tmp_path / "a.sqlite") as opened:
        assert opened.frame()["loss"].tolist() == [1.5, 2.5]


@pytest.mark.skipif(os.name != "posix", reason="a job file for bash")
@pytest.mark.parametrize("stopped", [False, True])
def test_the_job_file(tmp_path, stopped):
    """With SLURM's part played by a shell: the signal before the time is up, and the request to come back."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "regimes").write_text(
        f"#!{sys.executable}\nimport sys\nfrom regimes.commands.sweep import app\n"
        "if __name__ == '__main__':\n    sys.argv.pop(1)\n    app()\n"
    )
    (tools / "scontrol").write_text(f'#!/bin/bash\necho "$@" > {tmp_path}/asked\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    pause = 0.2 if stopped else 0.0
    (tmp_path / "a.toml").write_text(
        f"[experiment]\nname = 'test-quick'\n[fixed]\npause = {pause}\n[grid]\nn = {list(range(1, 60))}\n"
    )
    environment = os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "17",
        "SLURM_CPUS_PER_TASK": "1",
    }
    with subprocess.Popen(
        ["bash", ROOT / "examples/sweep_slurm.sh", tmp_path / "a.toml", "--module", MODULE],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as job:  # fmt: skip
        if stopped:
            while not (tmp_path / "a.sqlite").exists():
                assert job.poll() is None
                time.sleep(0.05)
            time.sleep(2)
            job.send_signal(signal.SIGTERM)
        said = job.communicate(timeout=60)[0]
    with store.read(tmp_path / "a.sqlite") as found:
        done = found.summary().done
    if stopped:
        assert "stopped on request" in said
        assert job.returncode == 130
        assert (tmp_path / "asked").read_text() == "requeue 17\n"
        assert done < 59
    else:
        assert job.returncode == 0, said
        assert done == 59
        assert not (tmp_path / "asked").exists()


def test_the_example_is_a_sweep(call):
    code, out = call("plan", ROOT / "examples/sweep.toml", "--workers", 1)
    assert code == 0
    assert "26 cells of kernel-loss, seed 0: 26 to do" in out


def test_a_module_that_cannot_be_imported_is_one_sentence(tmp_path, monkeypatch, capsys, unchecked):
    (tmp_path / "bad.py").write_text("def (", encoding="utf-8")
    (tmp_path / "a.toml").write_text('[experiment]\nname = ["a"]\n', encoding="utf-8")
    for extra, words in ((["--module", str(tmp_path / "bad.py")], "could not be imported"), ([], "experiment")):
        monkeypatch.setattr(sys, "argv", ["regimes", "sweep", "plan", str(tmp_path / "a.toml"), *extra])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert stopped.value.code == 2
        assert words in " ".join(capsys.readouterr().err.split())
