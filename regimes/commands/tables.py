"""Options of all commands that read a table of losses."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

Source = Annotated[str, typer.Argument(metavar="CURVES", help="A .csv, .csv.gz or .parquet file of losses.")]
X = Annotated[
    str | None,
    typer.Option(
        "--x", help="Column of the scale, or several as n=COLUMN,size=COLUMN. Default: columns called like a scale."
    ),
]
Y = Annotated[str | None, typer.Option("--y", help="Column of the losses. Default: one called loss, error or so.")]
By = Annotated[str | None, typer.Option(help="Columns that tell curves apart, separated by commas.")]
Stderr = Annotated[
    str | None, typer.Option(help="Column of standard errors; of standard deviations, with --count. Default: stderr.")
]
Count = Annotated[str | None, typer.Option(help="Column of how many repetitions are behind each loss.")]
LawName = Annotated[
    str,
    typer.Option("--law", help="auto, or names of laws separated by commas. Default: auto, those for these scales."),
]
Level = Annotated[float, typer.Option(help="Coverage of intervals.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]


def present(source: str) -> None:
    """Refuse a table that is not there before the heavy imports.

    Raises:
        ValueError: a folder, another ending, a file that is missing or empty.
    """
    from regimes import files

    files.check_path(source, argument="source", endings=files.TABLES, what="losses")


def named(text: str) -> Any:
    """`auto` or the laws that are named."""
    if text.strip() == "auto":
        return "auto"
    from regimes import laws

    names = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return [laws.get(name) for name in names]
    except ValueError as error:
        raise ValueError(str(error).replace("`name`", "`law`")) from None


def values(name: str, text: str) -> dict[str, float]:
    """Numbers by name, written name=number,name=number.

    Raises:
        ValueError: anything else.
    """
    found = {}
    for part in text.split(","):
        if not part.strip():
            continue
        match = re.fullmatch(r"\s*(\w+)\s*=\s*(\S+)\s*", part)
        try:
            assert match is not None
            found[match[1]] = float(match[2])
        except (AssertionError, ValueError):
            raise ValueError(f"`{name}` must be written as name=number,name=number; got {text!r}.") from None
    return found


def key(curve: Any, taken: Sequence[str] = ()) -> dict[str, Any]:
    """What tells a curve from others, for a row of a table; a name that is `taken` gets an underscore."""
    told = dict(curve.key) or {"curve": curve.name}
    return {f"{name}_" if name in taken else str(name): value for name, value in told.items()}


def refuse(found: Sequence[Any], reasons: Sequence[str]) -> None:
    """Fail where nothing came of any curve.

    Raises:
        ValueError: as many reasons as curves; the first is told.
    """
    if len(reasons) == len(found):
        others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ValueError(f"`source`: {found[0].name}{others}: {reasons[0]}.")


def arguments(**options: Any) -> dict[str, Any]:
    """Options as they are written to run.json."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
