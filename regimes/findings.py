"""What a run has left behind: its record, claims, tables and figures, read back from the folder or the store.

    for one in findings.read("regimes-verify"):
        print(one.verdict[0])

Anything that the package writes is read: folders with a `run.json`, stores of sweeps, and folders that hold tables and
figures alone, such as those of `regimes theory`.
"""

import csv
import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from regimes import display, sayings

ROWS = 100
"""Rows of a table that are kept; the others stay in the file."""
COLUMNS = 40
"""Columns that are kept."""
_COUNTED = 200_000_000
"""Bytes up to which the rows of a table are counted."""
_FEW = 12
"""Up to so many values of a list are shown."""
_BARE = (".csv", ".parquet", ".svg", ".png")
_JUDGED = ("checks", "duality")
"""Tables that are the claims themselves."""
_KNOWN = {  # key of a record that only this experiment has: the experiment
    "tasks": "four_regimes",
    "curve": "prediction",
    "curves": "fit",
    "plans": "plan",
    "verdicts": "verdicts",
}
_TABLES = {
    "four_regimes": ("exponents", "duality", "points"),
    "prediction": ("exponents", "curve", "local_exponents", "spectrum", "prior", "eigenvalues"),
    "fit": ("parameters", "ranking", "forecast", "points"),
    "verdicts": ("verdicts",),
    "plan": ("plan",),
}
"""Tables of the commands whose record does not name its files, in the order in which they are read."""
_ARGUMENTS = {"settings": "As given", "run": "As run", "sizes": "As run", "tasks": "As run"}
_APART = {"experiment", "summary", "files", "versions", "checks", "claims", "warnings", *_ARGUMENTS}


@display.shown
class Claim(NamedTuple):
    """Something that was expected, and what was found."""

    what: str
    """The quantity."""
    expected: str
    """What was expected; empty where the quantity says it."""
    found: str
    """What was found."""
    holds: bool | None
    """Whether it is as expected; None where that was not decided."""


@display.shown
class Table(NamedTuple):
    """The beginning of a table."""

    name: str
    """Its name, without ending."""
    path: Path
    """The file that holds all of it."""
    headings: tuple[str, ...]
    """Names of the columns that are kept."""
    rows: tuple[tuple[str, ...], ...]
    """The first rows, as they are written in the file."""
    total: int | None
    """How many rows there are; None where the file is too long to count them."""
    columns: int
    """How many columns there are."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Finding:
    """What one run has found."""

    experiment: str
    """Name of the experiment; empty where no record tells it."""
    place: Path
    """The folder, or the store of a sweep."""
    verdict: tuple[str, ...]
    """Sentences, what was found first."""
    claims: tuple[Claim, ...]
    """Claims that hold or do not."""
    tables: tuple[Table, ...]
    """Tables."""
    figures: tuple[tuple[Path, ...], ...]
    """The files of each figure, vectors first."""
    arguments: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    """Names and values of all arguments, in groups."""
    recorded: tuple[tuple[str, str], ...]
    """What else the record holds."""
    versions: Mapping[str, str]
    """Version of each package behind the numbers; empty where unknown."""
    warnings: tuple[str, ...]
    """What there is to be wary of."""
    files: tuple[Path, ...]
    """All that belongs to the run."""

    @property
    def seed(self) -> str | None:
        """Seed of everything random, if there is one."""
        found = [value for _, rows in self.arguments for name, value in rows if name.rpartition(".")[2] == "seed"]
        return ", ".join(dict.fromkeys(found)) or None

    def __str__(self) -> str:
        return f"{self.experiment or 'a folder without a record'} in {self.place}: {self.verdict[0]}"


def read(source: Any) -> tuple[Finding, ...]:
    """Everything that a folder or a store holds.

    Args:
        source: a folder that a command wrote, its `run.json`, or the store of a sweep (.sqlite).

    Returns:
        One finding; several where a folder holds several stores.

    Raises:
        ValueError: nothing there that the package wrote, or a record that cannot be read.
        DamagedError: a store that is damaged.
    """
    path = Path(source)
    if not path.exists():
        raise ValueError(f"`run_dir`: there is no {str(path)!r}; name a folder that a command of regimes has written.")
    if path.is_file():
        if path.name == "run.json":
            return (_folder(path.parent),)
        if path.suffix == ".sqlite":
            return (_store(path),)
        raise ValueError(f"`run_dir` must be a folder with a run.json, or a store (.sqlite); {str(path)!r} is neither.")
    if (path / "run.json").is_file():
        return (_folder(path),)
    stores = sorted(path.glob("*.sqlite"))
    if stores:
        return tuple(_store(store) for store in stores)
    bare = sorted(file for file in path.iterdir() if file.suffix in _BARE and file.is_file())
    if bare:
        return (_bare(path, bare),)
    inside = sorted(str(record.parent) for record in path.glob("*/run.json"))
    hint = f"; give {' '.join(inside[:5])}" if inside else "; give a folder that a command of regimes has written"
    raise ValueError(f"`run_dir`: {str(path)!r} holds no run.json{hint}.")


def _folder(folder: Path) -> Finding:
    """A folder with a record."""
    record = _record(folder / "run.json")
    experiment = _experiment(record)
    named = record.get("files")
    if isinstance(named, list) and all(isinstance(name, str) for name in named):
        wanted = [folder / name for name in named if Path(name).name == name]
    elif experiment in _TABLES:
        wanted = [folder / f"{name}.csv" for name in _TABLES[experiment]]
        wanted += [] if experiment == "plan" else [folder / f"{experiment}.svg", folder / f"{experiment}.png"]
    else:
        wanted = [*sorted(folder.glob("*.csv")), folder / f"{experiment}.svg", folder / f"{experiment}.png"]
    there = [path for path in wanted if path.is_file()]
    warnings = [f"{path.name} is missing from the folder." for path in wanted if path not in there]
    warnings += [str(text) for text in _list(record.get("warnings"))]
    arguments = _arguments(record)
    if any(name.rpartition(".")[2] == "quick" and value == "yes" for _, rows in arguments for name, value in rows):
        warnings.insert(0, "The quick version was run: small sizes and few repetitions, to try it out.")
    tables, unread = _tables([path for path in there if path.suffix == ".csv"])
    claims = _claims(record, tables)
    about = sayings.verdict(experiment, record, {table.name: _mappings(table) for table in tables}, claims)
    return Finding(
        experiment=experiment,
        place=folder,
        verdict=about,
        claims=claims,
        tables=tuple(table for table in tables if not (claims and table.name in _JUDGED)),
        figures=_figures(there),
        arguments=arguments,
        recorded=tuple(_flat({key: value for key, value in record.items() if key not in _APART})),
        versions={str(name): str(value) for name, value in record["versions"].items()},
        warnings=(*warnings, *unread),
        files=(folder / "run.json", *there),
    )


def _bare(folder: Path, files: Sequence[Path]) -> Finding:
    """A folder of tables and figures alone."""
    tables, unread = _tables([path for path in files if path.suffix in (".csv", ".parquet")])
    missing = "There is no run.json: with which arguments and versions this was made is not known."
    return Finding(
        "", folder, ("No verdict: the folder holds tables and figures, and no record of the run.",), (), tuple(tables),
        _figures(files), (), (), {}, (missing, *unread), tuple(files),
    )  # fmt: skip


def _store(path: Path) -> Finding:
    """The store of a sweep."""
    from regimes import store as stores

    with stores.read(path) as opened:
        summary, frame, environments = opened.summary(), opened.frame(), opened.environments()
        experiment, version, seed = opened.experiment, opened.version, opened.seed
    if len(frame):
        left_out = [name for name in frame.columns if name.startswith("version of ")]
        left_out += [name for name in ("cell", "experiment", "experiment version", "worker") if name in frame.columns]
        frame = frame.drop(columns=left_out).dropna(axis="columns", how="all")
    told = frame["error"] if "error" in frame.columns else ()
    errors = Counter(error for error in told if isinstance(error, str) and error)
    warnings = [f"{count} cells failed: {error}" for error, count in errors.most_common(5)]
    if summary.environments > 1:
        warnings.append(f"The cells were computed with {summary.environments} sets of package versions.")
    arguments = {"experiment": experiment, "version of the experiment": version, "seed": seed}
    return Finding(
        experiment="sweep",
        place=path,
        verdict=sayings.sweep(experiment, summary, errors.most_common()),
        claims=(),
        tables=(_of_frame("cells", path, frame),) if len(frame) else (),
        figures=(),
        arguments=(("As given", tuple(_flat(arguments))),),
        recorded=(),
        versions=environments[0] if environments else {},
        warnings=tuple(warnings),
        files=(path,),
    )


def _record(path: Path) -> dict[str, Any]:
    """The record of a run.

    Raises:
        ValueError: no JSON, or no record of this package.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise ValueError(f"{str(path)!r} is no JSON that can be read ({why}); run the command again.") from None
    if not isinstance(found, dict) or not isinstance(found.get("versions"), dict):
        raise ValueError(f"{str(path)!r} is not the record of a command of regimes: it names no versions.")
    return found


def _experiment(record: Mapping[str, Any]) -> str:
    named = record.get("experiment")
    if isinstance(named, str):
        return named
    return next((name for key, name in _KNOWN.items() if key in record), "")


def _tables(paths: Sequence[Path]) -> tuple[list[Table], list[str]]:
    """The tables that can be read, and why the others cannot."""
    tables, unread = [], []
    for path in paths:
        try:
            table = _parquet(path) if path.suffix == ".parquet" else _csv(path)
        except (OSError, ValueError, csv.Error) as error:  # UnicodeDecodeError is one of them
            unread.append(f"{path.name} cannot be read as a table ({' '.join(str(error).split())[:200]}).")
        else:
            if table is None:
                unread.append(f"{path.name} is empty.")
            else:
                tables.append(table)
    return tables, unread


def _csv(path: Path) -> Table | None:
    """The beginning of a .csv file; None if it is empty."""
    with path.open(encoding="utf-8-sig", newline="") as opened:
        lines = csv.reader(opened)
        headings = next((line for line in lines if line), None)
        if headings is None:
            return None
        rows = [row for row in islice(lines, ROWS) if row]
        counted = path.stat().st_size <= _COUNTED
        total = len(rows) + sum(1 for _ in lines) if counted else None
    width = len(headings)
    whole = tuple(tuple([*row, *[""] * (width - len(row))][:width][:COLUMNS]) for row in rows)
    return Table(path.stem, path, tuple(headings[:COLUMNS]), whole, total, width)


def _parquet(path: Path) -> Table:
    import pandas as pd

    return _of_frame(path.stem, path, pd.read_parquet(path))


def _of_frame(name: str, path: Path, frame: Any) -> Table:
    """The beginning of a data frame."""
    short = frame.iloc[:ROWS, :COLUMNS]
    rows = (tuple("" if value is None or value != value else str(value) for value in row) for row in _each(short))
    return Table(name, path, tuple(str(column) for column in short.columns), tuple(rows), len(frame), frame.shape[1])


def _each(frame: Any) -> Iterator[tuple[Any, ...]]:
    columns = [frame.iloc[:, place].tolist() for place in range(frame.shape[1])]
    return zip(*columns, strict=True)


def _mappings(table: Table) -> list[dict[str, str]]:
    return [dict(zip(table.headings, row, strict=True)) for row in table.rows]


def _claims(record: Mapping[str, Any], tables: Sequence[Table]) -> tuple[Claim, ...]:
    """Whatever in the record or the tables holds or does not."""
    for key in ("checks", "claims", "verdicts"):
        rows = [row for row in _list(record.get(key)) if isinstance(row, dict) and "holds" in row]
        if rows:
            return tuple(_claim(row) for row in rows)
    for table in sorted(tables, key=lambda table: table.name not in _JUDGED):
        if "holds" in table.headings and table.total == len(table.rows):
            return tuple(
                _claim(row) for row in _mappings(table) if row.get("what") != "reason"
            )  # explains, does not judge
    return ()


def _claim(row: Mapping[str, Any]) -> Claim:
    said = row.get("what") or row.get("claim")
    if said is None:
        said = ", ".join(
            str(value) for key, value in row.items() if key != "holds" and not isinstance(value, list | dict)
        )
    elif row.get("task"):
        said = f"{row['task']}: {said}"
    holds = {"true": True, "false": False}.get(str(row["holds"]).lower())
    return Claim(str(said), str(row.get("expected") or ""), str(row.get("found") or ""), holds)


def _figures(files: Sequence[Path]) -> tuple[tuple[Path, ...], ...]:
    """Files of figures by name, the vectors of each first."""
    by: dict[str, list[Path]] = {}
    for path in files:
        if path.suffix in (".svg", ".png"):
            by.setdefault(path.stem, []).append(path)
    return tuple(tuple(sorted(paths, key=lambda path: path.suffix, reverse=True)) for paths in by.values())


def _arguments(record: Mapping[str, Any]) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """The arguments in groups, each of which is there once."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, title in _ARGUMENTS.items():
        if not isinstance(record.get(key), dict | list):
            continue
        if key == "tasks":
            for one in _list(record[key]):
                if isinstance(one, dict):
                    name = f"{title}, {str(one.get('task', '')).partition(':')[0]}"
                    groups[name] = list(_flat({part: value for part, value in one.items() if part != "exponents"}))
        else:
            groups.setdefault(title, []).extend(_flat(record[key]))
    return tuple((title, tuple(rows)) for title, rows in groups.items() if rows)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of nested settings, a.b for b in a."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and 0 < len(value) <= _FEW and all(isinstance(item, dict) for item in value):
        for place, item in enumerate(value, 1):
            yield from _flat(item, f"{name}.{place}")
    else:
        yield name, _shown(value)


def _shown(value: Any) -> str:
    """A value in words."""
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        if not value:
            return "none"
        if len(value) <= _FEW:
            return ", ".join(f"({_shown(item)})" if isinstance(item, list) else _shown(item) for item in value)
        return f"{len(value)} values" + (
            ""
            if isinstance(value[0], list | dict)
            else f": {_shown(value[0])}, {_shown(value[1])}, … {_shown(value[-1])}"
        )
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
