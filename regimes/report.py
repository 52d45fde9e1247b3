"""One self-contained page from what runs have left behind: it opens from a file, without a network.

    from regimes import report
    report.write(["regimes-verify", "regimes-fit"], "report.html")

The verdicts come first, then figures, tables, how it was done, every argument and version, and how to cite it. All that
comes from files is escaped, figures are images that can neither run scripts nor load anything, and the page itself
forbids every request.
"""

import ast
import base64
import functools
import hashlib
import math
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree

from regimes import findings, folders
from regimes.findings import Finding, Table

LARGEST = 5_000_000
"""Bytes that a page may have."""
_FIGURES = 3_000_000
"""Bytes of it that figures may take."""
_VECTOR = 700_000
"""Bytes above which a figure is shown by its pixels, if they take less."""
_ROWS = (findings.ROWS, 25, 10)
"""Rows of each table: fewer where the page would be too large."""
_OPEN = 12
"""Tables with more rows are folded."""
_LINES = 6
"""Sentences of a verdict; the others are folded."""
_LONG = 24
"""Characters from which the column of a cell is kept wide."""
_TEXT = 300
"""Characters of a cell; the others stay in the file."""


class Column(NamedTuple):
    """A column of a table as the page shows it."""

    heading: str
    """Its name."""
    numbers: bool
    """Whether all its cells are numbers, or empty."""
    long: bool
    """Whether a cell of it holds a long text."""


class Cell(NamedTuple):
    """A cell of a table as the page shows it."""

    shown: str
    """The text."""
    value: str
    """What it is sorted by."""


def write(sources: Any, out: Any, *, title: str | None = None) -> Path:
    """Write a report; none is ever half written.

    Args:
        sources: folders that commands wrote, stores of sweeps; see [findings.read][regimes.findings.read]. Or findings.
        out: the page, ending in .html.
        title: heading of the page; default: what was run.

    Returns:
        The page.

    Raises:
        ValueError: no source, or one that cannot be read; an `out` that is no page; more than fits into 5 MB.
        OSError: the page cannot be written.
    """
    path = target(out)
    text = page(collect(sources), beside=path.parent, title=title)
    # A lone surrogate, which JSON may hold, has no UTF-8.
    made = {path.name: lambda file: file.write_text(text, encoding="utf-8", errors="replace")}
    return folders.write(path.parent, made)[0]


def target(out: Any) -> Path:
    """Where the page goes.

    Raises:
        ValueError: a folder, or a name that does not end in .html.
    """
    path = Path(out)
    if path.is_dir():
        raise ValueError(f"`out` must name a file, and {str(path)!r} is a folder; say {str(path / 'report.html')!r}.")
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"`out` must end in .html, got {str(path)!r}.")
    return path


def collect(sources: Any) -> tuple[Finding, ...]:
    """What all sources hold, each of them once.

    Raises:
        ValueError: none is given, or one cannot be read.
    """
    if isinstance(sources, str | os.PathLike | Finding):
        sources = [sources]
    if not sources:
        raise ValueError("`run_dir`: give at least one folder that a command of regimes has written.")
    found = [one for source in sources for one in ([source] if isinstance(source, Finding) else findings.read(source))]
    return tuple({one.place.resolve(): one for one in found}.values())


def page(found: Sequence[Finding], *, beside: Any = ".", title: str | None = None) -> str:
    """The page as HTML.

    Args:
        found: what runs have found; at least one.
        beside: the folder in which the page will lie, for links to the data.
        title: its heading; default: what was run.

    Raises:
        ValueError: nothing found; more than fits into 5 MB.
    """
    if not found:
        raise ValueError("`found` must hold at least one finding.")
    for rows in _ROWS:
        text = _page(found, Path(beside), title, rows)
        if len(text.encode("utf-8", errors="replace")) < LARGEST:
            return text
    raise ValueError(
        f"`run_dir`: more than fits into one page of {LARGEST / 1e6:g} MB; give fewer (runs: {len(found)})."
    )


def _page(found: Sequence[Finding], beside: Path, title: str | None, rows: int) -> str:
    import jinja2
    from markupsafe import Markup, escape

    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(here),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["powers"] = lambda text: Markup(re.sub(r"\^\{([^}]*)\}", r"<sup>\1</sup>", str(escape(text))))
    parts = {kind: (here / f"report.{kind}").read_text(encoding="utf-8").strip() for kind in ("css", "js")}
    budget = [_FIGURES]
    runs = [_run(one, beside, rows, budget) for one in found]
    words = _words()
    names = dict.fromkeys(name for one in runs for name in one["sources"])
    versions = dict.fromkeys(one.versions["regimes"] for one in found if "regimes" in one.versions)
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_digest(parts['css'])}; script-src {_digest(parts['js'])}"
    )
    return environment.get_template("report.html.jinja").render(
        title=title or (runs[0]["title"] if len(runs) == 1 else f"Report of {len(runs)} runs"),
        policy=policy,
        css=Markup(parts["css"]),
        js=Markup(parts["js"]),
        runs=runs,
        symbols=words["symbols"]["text"],
        software=words["software"],
        versions=list(versions),
        sources=[words["sources"][name] for name in names],
        lines=_LINES,
        few=_OPEN,
    )


def _run(one: Finding, beside: Path, rows: int, budget: list[int]) -> dict[str, Any]:
    """All that the page shows of one run."""
    about = _words()["experiments"].get(one.experiment, {})
    title = about.get("title") or one.experiment.replace("_", " ").capitalize() or "Tables and figures"
    figures, warnings = [], list(one.warnings)
    for files in one.figures:
        uri, missing = _image(files, budget)
        links = [(path.name, _link(path, beside)) for path in files]
        alt = _cut(f"{files[0].stem.replace('_', ' ')}. {one.verdict[0]} The numbers are in the tables.", _TEXT)
        figures.append({"name": files[0].stem, "uri": uri, "alt": alt, "files": links})
        warnings += [missing] if missing else []
    return {
        "title": title,
        "asks": about.get("asks", ""),
        "command": about.get("command", ""),
        "place": str(one.place),
        "verdict": one.verdict,
        "seed": one.seed,
        "version": one.versions.get("regimes"),
        "warnings": warnings,
        "claims": [claim._asdict() for claim in one.claims],
        "figures": figures,
        "tables": [_table(table, rows, beside) for table in one.tables],
        "method": about.get("method") or _described(one.experiment),
        "formulas": about.get("formulas", ()),
        "sources": about.get("sources", ()),
        "arguments": one.arguments,
        "recorded": one.recorded,
        "versions": list(one.versions.items()),
        "files": [(path.name, _link(path, beside), _size(path)) for path in one.files],
    }  # fmt: skip


def _table(table: Table, rows: int, beside: Path) -> dict[str, Any]:
    """A table as the page shows it."""
    kept = table.rows[:rows]
    numbers = [_numbers(row[place] for row in kept) for place in range(len(table.headings))]
    total = "more rows than were counted" if table.total is None else f"{table.total:,} rows"
    cut = [f"the first {len(kept)} of {total}"] if table.total != len(kept) else []
    if table.columns > len(table.headings):
        cut.append(f"the first {len(table.headings)} of {table.columns:,} columns")
    return {
        "name": table.name,
        "columns": [
            Column(heading, numbers[place], any(len(row[place]) > _LONG for row in kept) and not numbers[place])
            for place, heading in enumerate(table.headings)
        ],
        "rows": [[_cell(*one) for one in zip(row, numbers, strict=True)] for row in kept],
        "cut": " and ".join(cut),
        "link": _link(table.path, beside),
        "file": table.path.name,
    }


def _numbers(cells: Iterator[str]) -> bool:
    """Whether cells are numbers or empty, and not all empty."""
    filled = [cell for cell in cells if cell]
    return bool(filled) and all(_number(cell) is not None for cell in filled)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _cell(text: str, numbers: bool) -> Cell:
    number = _number(text) if numbers else None
    if number is None:
        return Cell(_cut(text, _TEXT), "")
    if not math.isfinite(number):
        return Cell("" if math.isnan(number) else f"{number}".replace("inf", "∞"), "" if math.isnan(number) else text)
    whole = number == int(number) and abs(number) < 1e15
    shown = f"{int(number)}" if whole else f"{number:.4g}"
    return Cell(shown, "" if shown == text else text)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _image(files: Sequence[Path], budget: list[int]) -> tuple[str | None, str]:
    """The figure as a data URI, the vectors if they are not too large; or why there is none.

    In an image browsers run no scripts and load nothing, whatever an SVG says.
    """
    readable = [path for path in files if _is_image(path)]
    if not readable:
        return None, f"The figure {files[0].name} cannot be read."
    sizes = {path: path.stat().st_size for path in readable}
    chosen = readable[0] if sizes[readable[0]] <= _VECTOR else min(readable, key=sizes.__getitem__)
    data = base64.b64encode(chosen.read_bytes()).decode()
    if len(data) > budget[0]:
        return None, f"The figure {chosen.name} is too large for this page; it lies beside it."
    budget[0] -= len(data)
    return f"data:image/{'svg+xml' if chosen.suffix == '.svg' else 'png'};base64,{data}", ""


def _is_image(path: Path) -> bool:
    try:
        if path.suffix == ".png":
            with path.open("rb") as opened:
                return opened.read(8) == b"\x89PNG\r\n\x1a\n"
        return ElementTree.parse(path).getroot().tag.rpartition("}")[2] == "svg"
    except (OSError, ElementTree.ParseError):
        return False


def _link(path: Path, beside: Path) -> str:
    """Where the file is, seen from the page."""
    try:
        return quote(os.fsencode(Path(os.path.relpath(path, beside)).as_posix()))
    except ValueError:  # another drive
        return path.resolve().as_uri()


def _size(path: Path) -> str:
    size = float(path.stat().st_size)
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{math.ceil(size / 1e3)} kB"


def _digest(text: str) -> str:
    """The hash by which a policy allows one script or style and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@functools.cache
def _words() -> dict[str, Any]:
    """What there is to say of each experiment."""
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _described(experiment: str) -> list[str]:
    """The docstring of the experiment's module, in paragraphs without code."""
    path = Path(__file__).parent / f"{experiment}.py"
    if not experiment.isidentifier() or not path.is_file():
        return []
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraphs = [part for part in re.split(r"\n\s*\n|\n(?=- )", text) if part.strip() and not part.startswith("    ")]
    plain = (re.sub(r"\[([^\]]+)\]\[[^\]]*\]|\*\*(.+?)\*\*|`([^`]+)`", _inner, part) for part in paragraphs)
    return [re.sub(r"^- ", "• ", " ".join(part.split())) for part in plain]


def _inner(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None)
