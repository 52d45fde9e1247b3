"""The code that the README and the home page show does what they say."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


def run(code):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README", "exec"), {})
    return printed.getvalue()


def test_the_library_example_of_the_readme_prints_what_stands_below_it():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.S)
    (shown,) = re.findall(r"```python\n.*?```\n+```text\n(.*?)```", text, flags=re.S)
    printed = run(code)
    assert NUMBER.sub("#", printed).split() == NUMBER.sub("#", shown).split()
    # To the precision of the random features' and LAPACK's rounding on another machine.
    numbers = [[float(v) for v in NUMBER.findall(part)] for part in (printed, shown)]
    assert numbers[0] == pytest.approx(numbers[1], abs=2e-3)
    assert len(code.strip().splitlines()) <= 14


def test_the_example_of_the_home_page_runs():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/index.md").read_text(encoding="utf-8"), flags=re.S)
    assert "beta = 1.19" in run(code)


def test_the_home_page_and_the_readme_show_the_same_command():
    for page in ("README.md", "docs/index.md"):
        assert "pip install uv && uv run regimes verify\n" in (ROOT / page).read_text(encoding="utf-8")
