"""The index of formulas: every row names tests that exist and a function that exists."""

import importlib
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "formulas.md").read_text(encoding="utf-8")
ROWS = [
    line
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith("| formula ") and not set(line) <= set("|- ")
]


def test_there_are_rows():
    assert len(ROWS) > 60


@pytest.mark.parametrize("row", ROWS, ids=[row[2:50] for row in ROWS])
def test_row_names_a_function_and_tests_that_exist(row):
    functions = re.findall(r"\]\[regimes\.([\w.]+)\]", row)
    tests = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row)
    assert functions, "no function"
    assert tests, "no test"
    for path in functions:
        module, *names = path.split(".")
        found = importlib.import_module(f"regimes.{module}")
        for name in names:
            known = hasattr(found, name) or name in getattr(found, "__annotations__", {})
            assert known, path
            found = getattr(found, name, None)
    for file, name in tests:
        assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8"), f"{file}::{name}"
