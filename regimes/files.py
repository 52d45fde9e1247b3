"""Reading what others have written: files of arrays and tables, and the data sets of openml.org.

What is read here is checked only for being what it says it is. What it is good for is asked where it is used: by
[tasks.load][regimes.tasks.load] and [inputs.read][regimes.inputs.read].
"""

import gzip
import math
import warnings
import zipfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from regimes import _checks

Array = np.ndarray

FILES = (".npy", ".npz", ".csv", ".parquet")
"""Endings of the files that are read."""
TABLES = (".csv", ".csv.gz", ".parquet")
"""Endings of those that are tables."""
_BINARY = "it holds bytes that are no text; write a table of text in UTF-8"
_NAMELESS = "its first line must name the columns, but holds numbers"
LABEL_NAMES = ("y", "target", "targets", "label", "labels", "class")
"""Columns of a table and arrays of an archive that hold the labels, in any case."""
OPENML = "openml:"
"""What the name of a data set of openml.org begins with."""


class Columns(NamedTuple):
    """Raw inputs and raw labels, before anything is done to them."""

    x: Float64[Array, "samples features"]
    """One column per feature."""
    labels: Any
    """What the label column holds: words or numbers; None where there is none."""
    description: str
    """Where they come from."""


def read_file(
    source: str | Path,
    *,
    names: Sequence[str] | None = None,
    map_above: float = math.inf,
    argument: str = "data",
    built_in: Collection[str] = (),
) -> Any:
    """What a file holds: the one place where files are opened.

    Args:
        source: path of a `.npy`, `.npz`, `.csv` (also `.csv.gz`) or `.parquet` file. Arrays are loaded without pickle.
        names: arrays of an archive to load, in any case; default all. An archive of one array is loaded whatever
            its name.
        map_above: bytes above which a `.npy` file is left on disk and mapped into memory, read-only. An archive,
            which may be compressed, and a table cannot be.
        argument: the argument that a message names.
        built_in: names of data that the caller takes besides those of OpenML and files, for the message that refuses
            another ending.

    Returns:
        The arrays by name: of a `.npy` file the one array by the name of the file, of an archive all names, with
        None for the arrays that were not asked for. Of a `.csv` or `.parquet` file a pandas DataFrame; its columns
        are numbered where the file has no header.

    Raises:
        ValueError: a file that is missing, empty, of another kind, not what its ending says, or with complex numbers.
    """
    path, shown = check_path(source, argument=argument, built_in=built_in), str(source)
    try:
        if path.suffix == ".npy":
            found: Any = _read_npy(path, mapped=path.stat().st_size > map_above)
        else:
            found = _read_npz(path, names) if path.suffix == ".npz" else _read_table(path)
    except ImportError:
        raise ValueError(f"`{argument}`: reading {shown!r} needs pyarrow; install it, or write a .csv file.") from None
    except Exception as error:  # what readers raise on a damaged file has no common type: zlib.error, TokenError, ...
        why = _one_line(error) or type(error).__name__
        ending = ".csv.gz" if path.name.endswith(".csv.gz") else path.suffix
        raise ValueError(f"`{argument}`: {shown!r} could not be read as {ending}: {why}") from error
    for name, array in found.items():
        if array is not None:
            _checks.refuse_complex(f"`{argument}`: {name} in {path.name}", array)
    return found


def check_path(
    source: str | Path,
    *,
    argument: str = "data",
    built_in: Collection[str] = (),
    endings: Sequence[str] = FILES,
    what: str = "",
) -> Path:
    """Refuse what cannot be read by its name and size alone, before any work.

    Args:
        source: path of a file.
        argument: the argument that a message names.
        built_in: as for `read_file`.
        endings: what its name may end in; `.csv` stands for `.csv.gz` too.
        what: what the file is to hold, for the message.

    Returns:
        The path.

    Raises:
        ValueError: a folder, another ending, a file that is missing or empty.
    """
    path, shown = Path(source).expanduser(), str(source)
    if shown and path.is_dir():
        raise ValueError(f"`{argument}`: {shown!r} is a folder; name a file, {_either(endings)}.")
    if path.suffix not in endings and not path.name.endswith(".csv.gz"):
        pickled = path.suffix in (".pkl", ".pickle", ".joblib", ".pt", ".pth")
        named = f"one of {', '.join(built_in)}, {OPENML}NAME, or " if built_in else ""
        raise ValueError(
            f"`{argument}` must be {named}a {_either(endings)} file{what and f' of {what}'}; got {shown!r}"
            + (": a pickle runs code when it is opened and is not read; use numpy.save." if pickled else ".")
        )
    if not path.is_file():
        raise ValueError(f"`{argument}`: there is no file {shown!r}.")
    if path.stat().st_size == 0:
        raise ValueError(f"`{argument}`: the file {shown!r} is empty.")
    return path


def nameless(table: Any) -> str:
    """Why the columns of a table cannot be told by their names; nothing where they can.

    A file whose first line holds numbers only is read with the columns 0, 1, 2, ..., so that no row is lost.
    """
    if all(_is_number(str(heading)) for heading in table):
        return f"{_NAMELESS} only: write such a line above it"
    return ""


def columns(table: Any, column: str | None = None) -> tuple[Float64[Array, "rows features"], Any]:
    """Inputs and labels of a table, the labels as they are or None.

    Args:
        table: pandas DataFrame with named columns.
        column: the column of the labels; default the first that has one of `LABEL_NAMES`.

    Raises:
        ValueError: no header, an index among the columns, columns of words, no such column.
    """
    headings = [str(heading) for heading in table]
    if any(heading.startswith("Unnamed: ") for heading in headings):
        raise ValueError("it has a column without a name, which looks like a row index; write it with index=False")
    if reason := nameless(table):
        raise ValueError(reason)
    if column is not None and column not in headings:
        raise ValueError(f"it has no column {column!r}; its columns are {', '.join(headings[:20])}")
    matches = [h.lower() in LABEL_NAMES if column is None else h == column for h in headings]
    label = table.columns[matches.index(True)] if any(matches) else None
    inputs = table if label is None else table.drop(columns=label)
    worded = words(inputs)
    if worded or inputs.shape[1] == 0:
        cells = [one for name in worded[:1] for one in inputs[name] if isinstance(one, str) and not _is_number(one)]
        held = f", which holds {cells[0]!r}" if cells else ""
        raise ValueError(
            f"its columns must be numbers, apart from the labels; look at {', '.join(worded) or 'none'}{held}"
        )
    return inputs.to_numpy(dtype=np.float64, na_value=np.nan), None if label is None else table[label].to_numpy()


def fetch(source: str, *, column: str | None = None, argument: str = "data") -> Columns:
    """A data set of openml.org by name, through scikit-learn's loader, which keeps it on disk for the next time.

    Args:
        source: `openml:NAME`, whose oldest active version is taken, or `openml:NAME:VERSION`.
        column: the column that holds the labels; default the one that OpenML names.
        argument: the argument that a message names.

    Raises:
        ValueError: an unknown name or version, columns that are not numbers, no connection and no copy on disk.
    """
    name, _, version = source.removeprefix(OPENML).partition(":")
    if not name or (version and not version.isdecimal()):
        raise ValueError(
            f"`{argument}` must be openml:NAME or openml:NAME:VERSION, such as openml:mnist_784:1; got {source!r}."
        )
    import urllib.error

    import pandas as pd
    from sklearn import datasets

    wanted: Any = int(version) if version else "active"
    target = "default-target" if column is None else column
    try:
        with warnings.catch_warnings():  # that there are more versions is said in the description
            warnings.simplefilter("ignore")
            data = datasets.fetch_openml(name, version=wanted, target_column=target, n_retries=1, delay=0.5)
    except urllib.error.HTTPError as error:
        error.close()
        raise ValueError(
            f"`{argument}`: openml.org answered {error.code} ({error.reason}) when asked for {source!r}."
        ) from None
    except OSError as error:  # URLError, time-outs and refused connections
        raise ValueError(
            f"`{argument}`: {source!r} is not on this machine yet and openml.org cannot be reached "
            f"({getattr(error, 'reason', error)}); connect once, after which scikit-learn keeps it in "
            f"{datasets.get_data_home()}, or pass a file."
        ) from None
    except (ValueError, KeyError) as error:
        raise ValueError(f"`{argument}`: {source!r} could not be had from openml.org: {_one_line(error)}") from None
    if not isinstance(data.data, pd.DataFrame):
        raise ValueError(f"`{argument}`: {source!r} is a sparse matrix, which is not read; pass features made from it.")
    worded = words(data.data)
    if worded:
        raise ValueError(
            f"`{argument}`: {len(worded)} of the {data.data.shape[1]} columns of {source!r} are not numbers "
            f"({', '.join(worded[:5])}); encode them and pass the table."
        )
    labels = data.target
    labels = None if labels is None or labels.size == 0 else labels.to_numpy()
    description = f"{data.details['name']} of openml.org, version {data.details['version']}"
    return Columns(data.data.to_numpy(dtype=np.float64, na_value=np.nan), labels, description)


def _read_npy(path: Path, mapped: bool) -> dict[str, Array]:
    loaded = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
    if not isinstance(loaded, np.ndarray):
        loaded.close()
        raise ValueError("it is a .npz archive")
    return {path.stem: loaded}


def _read_npz(path: Path, names: Sequence[str] | None) -> dict[str, Array | None]:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not a .npz archive")
    with np.load(path, allow_pickle=False) as archive:
        if not archive.files:
            raise ValueError("it holds no arrays")
        wanted = archive.files if names is None or len(archive.files) == 1 else names
        asked = [name.lower() for name in wanted]
        return {name: archive[name] if name.lower() in asked else None for name in archive.files}


def _read_table(path: Path) -> Any:
    import pandas as pd

    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
    else:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            binary = b"\0" in file.read(4096)
        try:
            if binary:
                raise ValueError(_BINARY)
            table = _read_csv(path)
        except UnicodeDecodeError:
            raise ValueError(_BINARY) from None
    if table.empty:
        raise ValueError("it holds no rows")
    return table


def _read_csv(path: Path) -> Any:
    import pandas as pd

    first = [str(cell) for cell in pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0]]
    if len(first) == 1 and (mark := next((mark for mark in ";\t" if mark in first[0]), "")):
        raise ValueError(f"its columns are separated by {mark!r}; write commas")
    # A DataFrame without names for its columns is written with 0, 1, 2, ... as header.
    numbered = len(first) > 2 and first == [str(i) for i in range(len(first))]
    # A cell without text, which stands above an index, belongs to a header.
    bare = not numbered and all(cell != "nan" and _is_number(cell) for cell in first)
    figures = [cell for cell in first if cell != "nan" and _is_number(cell)]
    try:
        second = [str(cell) for cell in pd.read_csv(path, header=None, skiprows=1, nrows=1, dtype=str).iloc[0]]
    except pd.errors.EmptyDataError:
        second = []
    if len(second) > len(first):
        raise ValueError(
            f"its first line must name the columns, but has {len(first)} of {len(second)} ({first[0]!r}); remove lines "
            "above the names"
        )
    # Columns may be counted, beside some with names, and words may stand above numbers.
    if figures and not bare and not _counted(figures) and _alike(first, second):
        raise ValueError(
            f"{_NAMELESS} such as {figures[0]}, where the second does: write such a line above it, or, if it is one, a "
            "letter before the numbers"
        )
    return pd.read_csv(path, header=None if bare else 0)


def words(table: Any) -> list[str]:
    """Columns of a table that are not numbers."""
    import pandas as pd

    return [str(column) for column in table if not pd.api.types.is_numeric_dtype(table[column])]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _either(endings: Sequence[str]) -> str:
    return f"{', '.join(endings[:-1])} or {endings[-1]}"


def _counted(figures: Sequence[str]) -> bool:
    """Whether they are 0, 1, 2, ... or 1, 2, 3, ..."""
    return any(list(figures) == [str(i + first) for i in range(len(figures))] for first in (0, 1))


def _alike(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether two lines have numbers and words in the same places, apart from gaps."""
    pairs = zip(first, second, strict=False)
    return all("nan" in pair or _is_number(pair[0]) == _is_number(pair[1]) for pair in pairs)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
