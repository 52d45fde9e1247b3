import json
import math

import numpy as np
import pytest

from regimes import folders


def test_files_are_written_in_order_into_a_new_folder(tmp_path):
    folder = tmp_path / "deep" / "out"
    written = folders.write(
        folder, {"b.txt": lambda path: path.write_text("b"), "a.txt": lambda path: path.write_text("a")}
    )
    assert [path.name for path in written] == ["b.txt", "a.txt"]
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a.txt": "a", "b.txt": "b"}


def test_failure_of_one_file_changes_none(tmp_path):
    (tmp_path / "first.txt").write_text("old")

    def half(path):
        path.write_text("ha")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        folders.write(tmp_path, {"first.txt": lambda path: path.write_text("new"), "second.txt": half})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"first.txt": "old"}


def test_json_has_no_numbers_that_json_does_not_know(tmp_path):
    value = {"a": [1, math.inf, (np.float64("nan"), np.int64(3))], 2: np.array([1.5, -np.inf]), "t": True, "n": None}
    folders.write_json(tmp_path / "x.json", value)
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "a": [1, None, [None, 3]],
        "2": [1.5, None],
        "t": True,
        "n": None,
    }


def test_versions_name_python_and_the_package():
    assert {"regimes", "python", "jax", "numpy"} <= set(folders.versions())
