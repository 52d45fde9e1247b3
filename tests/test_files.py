import email.message
import gc
import gzip
import io
import json
import re
import urllib.error
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import _openml

from regimes import files, inputs, tasks

X = np.arange(60.0).reshape(20, 3) ** 2


def refused(says, call, *args, **options):
    """The one sentence with which a file or a name is refused."""
    with pytest.raises(ValueError, match=says) as raised:
        call(*args, **options)
    text = str(raised.value)
    assert "\n" not in text
    return text


def unread(says, path):
    text = refused(says, files.read_file, path, argument="it")
    assert text.startswith("`it`")
    assert path.name in text, "the file is named"


# Arrays


def test_npy_holds_one_array_by_the_name_of_the_file(tmp_path):
    np.save(tmp_path / "mine.npy", X.astype(np.float32))
    for path in (tmp_path / "mine.npy", str(tmp_path / "mine.npy")):
        found = files.read_file(path)
        assert list(found) == ["mine"]
        assert np.array_equal(found["mine"], X)
        assert found["mine"].dtype == np.float32


def test_large_npy_is_mapped_read_only(tmp_path):
    path = tmp_path / "mine.npy"
    np.save(path, X)
    size = path.stat().st_size
    assert not isinstance(files.read_file(path, map_above=size)["mine"], np.memmap)
    mapped = files.read_file(path, map_above=size - 1)["mine"]
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    assert np.array_equal(mapped, X)


def test_npz_holds_the_arrays_that_are_asked_for_and_the_names_of_all(tmp_path):
    np.savez(tmp_path / "mine.npz", K=X, y=X[:, 0], notes=X[:2])
    found = files.read_file(tmp_path / "mine.npz", names=("k", "Y"))
    assert list(found) == ["K", "y", "notes"]
    assert np.array_equal(found["K"], X)
    assert np.array_equal(found["y"], X[:, 0])
    assert found["notes"] is None
    assert [array is None for array in files.read_file(tmp_path / "mine.npz").values()] == [False] * 3
    np.savez(tmp_path / "one.npz", anything=X)
    assert np.array_equal(files.read_file(tmp_path / "one.npz", names=("k",))["anything"], X)


def test_arrays_of_objects_are_never_unpickled(tmp_path):
    objects = np.array([[{}, 1]] * 20, dtype=object)
    np.save(tmp_path / "o.npy", objects)
    unread("could not be read as .npy: .*allow_pickle", tmp_path / "o.npy")
    for name in "xy":
        np.savez(tmp_path / f"{name}.npz", **{"x": X, "y": X, name: objects})
        unread("could not be read as .npz: .*allow_pickle", tmp_path / f"{name}.npz")


def test_complex_arrays_are_refused(tmp_path):
    np.save(tmp_path / "c.npy", X + 2j)
    unread("`it`: c in c.npy holds complex numbers, with imaginary parts up to 2; pass real ones", tmp_path / "c.npy")
    np.savez(tmp_path / "c.npz", x=X, y=X + 0j)
    unread("y in c.npz holds complex numbers, with imaginary parts up to 0", tmp_path / "c.npz")
    assert files.read_file(tmp_path / "c.npz", names=("x",))["y"] is None


# Files that are not what they should be

BAD = {
    "empty": (".csv", b"", "the file .* is empty"),
    "empty npz": (".npz", b"", "the file .* is empty"),
    "blank": (".csv", b"\n\n", "could not be read as .csv"),
    "header only": (".csv", b"a,b,c\n", "holds no rows"),
    "ragged": (".csv", b"a,b\n1,2\n3,4,5,6\n", "could not be read as .csv"),
    "not text": (".csv", bytes(range(128, 256)), "as .csv: it holds bytes that are no text"),
    "not text further down": (".csv", b"a,b\n1,2\n3,\xff\n", "as .csv: it holds bytes that are no text"),
    "binary": (".csv", bytes(range(256)) * 20, "as .csv: it holds bytes that are no text"),
    "binary gz": (".csv.gz", gzip.compress(bytes(range(256)) * 20), "it holds bytes that are no text"),
    "semicolons": (".csv", b"n;loss\n1;2\n", "its columns are separated by ';'; write commas"),
    "no header, labels": (".csv", b"5.1,3.5,cat\n4.9,3.0,dog\n", "name the columns, but holds numbers such as 5.1"),
    "no header, a gap": (".csv", b"5.1,,1.4\n4.9,3.0,1.2\n", "name the columns, but holds numbers such as 5.1"),
    "a comment above": (".csv", b"# mine\nn,loss\n1,2\n", "but has 1 of 2 .'# mine'.; remove lines above the names"),
    "text as gz": (".csv.gz", b"a,b\n1,2\n", "could not be read as .csv.gz"),
    "text as npy": (".npy", b"a,b\n1,2\n", "could not be read as .npy"),
    "text as npz": (".npz", b"a,b\n1,2\n", "could not be read as .npz"),
    "cut npz": (".npz", b"PK\x03\x04 and no more", "could not be read as .npz"),
    "cut npy": (".npy", b"\x93NUMPY\x01\x00", "could not be read as .npy"),
    "unknown ending": (".txt", b"1 2 3", "must be a .npy, .npz, .csv or .parquet file; got .*mine.txt'.$"),
    "pickle": (".pkl", b"1", "a pickle runs code when it is opened and is not read"),
    "torch": (".pt", b"1", "a pickle runs code"),
}


@pytest.mark.parametrize("header", ["model,2019,2020", "loss,0.5,1.0", "n,inf,nan2", "label,28,29"])
def test_a_header_with_numbers_stands_above_lines_of_another_kind(tmp_path, header):
    path = tmp_path / "mine.csv"
    path.write_text(f"{header}\n3,4,5\n")
    assert list(files.read_file(path)) == header.split(",")


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_by_name(tmp_path, case):
    suffix, content, says = BAD[case]
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(content)
    unread(says, path)


def test_what_else_the_caller_takes_is_said(tmp_path):
    says = "`data` must be one of digits, torus, openml:NAME, or a .npy, .npz, .csv or .parquet file; got 'nope'"
    refused(says, files.read_file, "nope", built_in=("digits", "torus"))


def test_npy_under_the_name_of_npz_is_refused(tmp_path):
    np.save(tmp_path / "mine.npy", X)
    unread("could not be read as .npz: it is not a .npz", (tmp_path / "mine.npy").rename(tmp_path / "mine.npz"))


def test_npz_under_the_name_of_npy_is_refused(tmp_path):
    np.savez(tmp_path / "mine.npz", x=X)
    unread("could not be read as .npy: it is a .npz", (tmp_path / "mine.npz").rename(tmp_path / "mine.npy"))
    gc.collect()  # a file left open is a warning, hence an error, here and not in the next test


def test_archive_of_nothing_is_refused(tmp_path):
    np.savez(tmp_path / "mine.npz")
    unread("it holds no arrays", tmp_path / "mine.npz")


def test_missing_file_and_folder_are_refused(tmp_path):
    unread("there is no file", tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    unread("folder.csv' is a folder; name a file, .npy, .npz, .csv or .parquet", tmp_path / "folder.csv")


# Tables


@pytest.mark.parametrize(
    ("header", "headings"), [("a,b,c\n", ["a", "b", "c"]), ("0,1,2\n", ["0", "1", "2"]), ("", [0, 1, 2])]
)
def test_table_is_read_with_and_without_header(tmp_path, header, headings):
    path = tmp_path / "mine.csv"
    path.write_text(header + "\n".join(",".join(map(str, row)) for row in X))
    table = files.read_file(path)
    assert list(table) == headings
    assert np.array_equal(table.to_numpy(), X)


def test_columns_may_be_counted_beside_some_with_names(tmp_path):
    for first in (0, 1):
        pd.DataFrame(X, columns=range(first, first + 3)).assign(label="cat").to_csv(tmp_path / "mine.csv", index=False)
        table = files.read_file(tmp_path / "mine.csv")
        assert list(table) == [*(str(first + i) for i in range(3)), "label"]
        assert len(table) == len(X)


@pytest.mark.parametrize("label", [*files.LABEL_NAMES, "Label", "TARGET"])
def test_column_with_a_labels_name_holds_them(label):
    table = pd.DataFrame({"a": X[:, 0], label: ["cat", "dog"] * 10, "b": X[:, 1]})
    x, labels = files.columns(table)
    assert np.array_equal(x, X[:, :2])
    assert labels.tolist() == ["cat", "dog"] * 10


def test_column_of_the_labels_may_be_stated_or_missing():
    table = pd.DataFrame({"a": X[:, 0], "y": X[:, 1], "b": X[:, 2]})
    x, labels = files.columns(table, "b")
    assert np.array_equal(x, X[:, :2])
    assert np.array_equal(labels, X[:, 2])
    x, labels = files.columns(table.rename(columns={"y": "z"}))
    assert np.array_equal(x, X)
    assert labels is None
    refused("it has no column 'z'; its columns are a, y, b$", files.columns, table, "z")


def test_missing_values_of_a_table_are_nan():
    x, _ = files.columns(pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64"), "b": [1.0, 2.0, 3.0]}))
    assert np.array_equal(x, [[1, 1], [np.nan, 2], [3, 3]], equal_nan=True)


def test_columns_of_words_are_refused():
    table = pd.DataFrame({"a": [1, 2], "b": ["red", "blue"], "c": ["x", "y"]})
    assert files.words(table) == ["b", "c"]
    refused("its columns must be numbers, .* look at b, c, which holds 'red'$", files.columns, table)
    percent = pd.DataFrame({"a": ["12.5", "12.5 %"]})
    refused("its columns must be numbers, .* look at a, which holds '12.5 %'$", files.columns, percent)
    refused("its columns must be numbers, .* look at none$", files.columns, pd.DataFrame({"y": [1, 2]}))


def test_a_row_index_or_a_missing_header_is_refused(tmp_path):
    table = pd.DataFrame({"a": [1.5, 2.5, 3.5], "b": [3.0, 4.0, 6.0]})
    table.to_csv(tmp_path / "index.csv")
    table.to_csv(tmp_path / "bare.csv", index=False, header=False)
    index, bare = (tmp_path / "index.csv", tmp_path / "bare.csv")
    refused("looks like a row index; write it with index=False", files.columns, files.read_file(index))
    refused("its first line must name the columns", files.columns, files.read_file(bare))
    refused("`data`: .*index.csv' could not be read as .csv: .* a row index", tasks.load, str(index))
    refused("`source`: bare.csv could not be read as a table: .* name the columns", inputs.read, bare)


# OpenML

REPLIES = json.loads((Path(__file__).parent / "golden" / "openml_iris.json").read_text())


class Reply(io.BytesIO):
    def info(self):
        return {}


@pytest.fixture
def openml(monkeypatch, tmp_path):
    """openml.org as recorded, for iris only, with a fresh folder on disk; the list of what was asked for."""
    asked = []
    kinds = [("data/list/.*data_version/1", "version"), ("data/list/.*/active", "list"), ("features/61", "features")]
    kinds += [("qualities/61", "qualities"), ("json/data/61", "data"), (r"download.*61|\.arff", "arff")]

    def urlopen(request, *args, **kwargs):
        url = request.full_url
        asked.append(url)
        if ("/data_name/" in url and "/data_name/iris/" not in url) or "data_version/9" in url:
            raise urllib.error.HTTPError(url, 412, "Precondition Failed", email.message.Message(), io.BytesIO(b"{}"))
        reply = next(REPLIES[kind] for pattern, kind in kinds if re.search(pattern, url))
        return Reply((reply if isinstance(reply, str) else json.dumps(reply)).encode())

    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "home"))
    monkeypatch.setattr(_openml, "urlopen", urlopen)
    return asked


def offline(monkeypatch, error):
    def urlopen(*args, **kwargs):
        raise error

    monkeypatch.setattr(_openml, "urlopen", urlopen)
    monkeypatch.setattr(_openml.time, "sleep", lambda _: None)


@pytest.mark.parametrize("name", ["openml:iris", "openml:iris:1"])
def test_openml_by_name_is_read_once_and_kept(openml, monkeypatch, name):
    rows = [line.split(",") for line in REPLIES["arff"].splitlines() if re.match(r"\d", line)]
    x, labels = np.array([row[:4] for row in rows], dtype=float), [row[4] for row in rows]
    refused("`source`: 3 of 150 samples repeat an earlier one", inputs.read, name)
    assert len(openml) == len(set(openml)) == 5
    offline(monkeypatch, urllib.error.URLError("no network"))  # from here on from the disk
    found = files.fetch(name)
    assert np.array_equal(found.x, x)
    assert found.labels.tolist() == labels
    assert found.description == "iris of openml.org, version 1"
    task = tasks.load(name)
    assert task.name == "iris"
    assert np.array_equal(task.x, x)
    assert np.array_equal(task.y, tasks.one_hot(labels))
    assert "iris of openml.org, version 1, y read as 3 classes" in str(task)
    source = inputs.read(name, drop_duplicates=True)
    assert source.kind == "inputs"
    assert source.classes == ("Iris-setosa", "Iris-versicolor", "Iris-virginica")
    assert np.array_equal(np.unique(source.array, axis=0), np.unique(x, axis=0))
    assert source.size == 147
    assert "iris of openml.org, version 1, read as inputs; targets read as 3 classes" in source.description


@pytest.mark.parametrize("call", [files.fetch, inputs.read])
def test_openml_takes_the_column_that_is_asked_for_and_refuses_words(openml, call):
    says = "1 of the 4 columns of 'openml:iris' are not numbers .class.; encode them"
    refused(says, call, "openml:iris", column="petalwidth")
    refused("could not be had from openml.org: .*no_such", call, "openml:iris", column="no_such")


@pytest.mark.parametrize(("call", "argument"), [(files.fetch, "data"), (tasks.load, "data"), (inputs.read, "source")])
def test_openml_offline_says_so(openml, monkeypatch, tmp_path, call, argument):
    offline(monkeypatch, urllib.error.URLError("Name or service not known"))
    says = f"`{argument}`: .* not on this machine yet and openml.org cannot be reached .Name or service not known."
    assert str(tmp_path / "home") in refused(says, call, "openml:iris")
    offline(monkeypatch, TimeoutError("timed out"))
    refused("cannot be reached .timed out.", call, "openml:iris")
    headers = email.message.Message()
    offline(monkeypatch, urllib.error.HTTPError("https://x", 503, "Service Unavailable", headers, io.BytesIO()))
    refused(rf"`{argument}`: openml\.org answered 503 .Service Unavailable.", call, "openml:iris")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("openml:nothing", "'openml:nothing' could not be had from openml.org: No active dataset nothing found"),
        ("openml:iris:9", "Dataset iris with version 9 not found"),
        ("openml:", "must be openml:NAME or openml:NAME:VERSION, such as openml:mnist_784:1; got 'openml:'"),
        ("openml:iris:one", "must be openml:NAME or openml:NAME:VERSION, such as .* got 'openml:iris:one'"),
        ("openml::1", "must be openml:NAME or openml:NAME:VERSION, such as .* got 'openml::1'"),
    ],
)
@pytest.mark.parametrize("call", [files.fetch, tasks.load, inputs.read])
def test_unknown_openml_names_are_refused(openml, call, name, says):
    refused(says, call, name)


@pytest.mark.filterwarnings("ignore")  # of the readers, about what they find
@pytest.mark.parametrize("ending", [".npy", ".npz", ".csv", ".parquet"])
def test_a_damaged_file_is_read_or_refused_in_a_sentence(tmp_path, rng, ending):
    whole, damaged = tmp_path / f"whole{ending}", tmp_path / f"damaged{ending}"
    table = pd.DataFrame(rng.random((50, 3)), columns=list("abc"))
    if ending == ".npy":
        np.save(whole, table.to_numpy())
    elif ending == ".npz":
        np.savez_compressed(whole, x=np.round(table, 1), y=np.arange(50.0))
    else:
        table.to_csv(whole, index=False) if ending == ".csv" else table.to_parquet(whole)
    content, messages = whole.read_bytes(), []
    for trial in range(150):
        changed = bytearray(content)
        if trial % 3 == 0:
            changed = changed[: rng.integers(1, len(content))]
        else:
            for place in rng.integers(len(content), size=5):
                changed[place] = rng.integers(256)
        damaged.write_bytes(changed)
        try:
            files.read_file(damaged)
        except ValueError as error:  # anything else fails the test
            messages.append(str(error))
    assert len(messages) > 10
    assert all("damaged" in message and "\n" not in message for message in messages)
