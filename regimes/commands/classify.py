"""`regimes classify`: which regime measured curves are in, and why."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console, tables

_TAKEN = ("along", "regime", "possible", "exponent", "low", "high", "from", "to", "evidence")
"""Columns of the table, by which no column that tells curves apart can go."""


def classify(
    source: tables.Source,
    x: tables.X = None,
    y: tables.Y = None,
    by: tables.By = None,
    fixed: Annotated[
        str,
        typer.Option(
            help="What was held, as name=number,name=number: n or k (inf is allowed), noise, ridge, time. "
            "Constant columns of the table count too."
        ),
    ] = "",
    limit: Annotated[float | None, typer.Option(help="The loss at infinity along the axis, where it is known.")] = None,
    guess: Annotated[float | None, typer.Option(help="Loss of the best guess without data, where it is known.")] = None,
    dim: Annotated[
        str, typer.Option(help="Intrinsic dimension of the inputs: a number, or a file of inputs to measure it on.")
    ] = "",
    spectrum: Annotated[
        Path | None,
        typer.Option(help="Spectrum of kernel and target: spectrum.csv of `regimes predict`, for predictions."),
    ] = None,
    stderr: tables.Stderr = None,
    count: tables.Count = None,
    level: tables.Level = 0.9,
    seed: tables.Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for verdicts.csv, verdicts.png and .svg and run.json. Default: none.")
    ] = None,
) -> None:
    """Tell the regime of measured losses along n, k or time, with the evidence for it.

    Variance-limited, resolution-limited, crossover, interpolation peak, small data, noise floor, ridge- or
    time-limited, or undecided between those that remain.
    """
    tables.present(source)
    if spectrum is not None:
        _check_spectrum(spectrum)
    from regimes import _checks, classify, curves

    held = tables.values("fixed", fixed)
    for name in held:
        _checks.choice("fixed", name, ("n", "k", "noise", "ridge", "time"))
    options: dict[str, Any] = {"limit": limit, "guess": guess, "level": level, "seed": seed}
    if spectrum is not None:
        options["spectrum"] = _spectrum(spectrum)
    if dim:
        options["dim"] = _dimension(dim, seed)
    found = curves.read(source, x=x, y=y, by=by, stderr=stderr, count=count)
    rows: list[dict[str, Any]] = []
    drawn: list[tuple[Any, Any]] = []
    reasons: list[str] = []
    screen = Console()
    with console.reserved(out):
        for one in found:
            key = tables.key(one, _TAKEN)
            try:
                verdicts = _verdicts(one, held, options, classify.classify)
            except ValueError as error:
                if len(found) == 1:
                    raise
                rows.append(key | {"regime": "failed", "evidence": str(error)})
                reasons.append(str(error).rstrip("."))
                continue
            drawn += verdicts
            for curve, verdict in verdicts:
                other = {name: value for name, value in curve.fixed.items() if name in ("n", "k")}
                rows.append(
                    key
                    | {"along": verdict.along, **other, "regime": verdict.regime.value}
                    | {"possible": "; ".join(regime.value for regime in verdict.possible)}
                    | {"exponent": verdict.exponent.value, "low": verdict.exponent.low, "high": verdict.exponent.high}
                    | {"from": verdict.window[0], "to": verdict.window[1], "evidence": "; ".join(verdict.evidence)}
                )
        tables.refuse(found, reasons)
    _show(screen, rows, drawn, level)
    for one in found:
        console.warn(screen, [f"{one.name}: {note}" for note in one.notes])
    if out is not None:
        settings = tables.arguments(
            source=source, x=x, y=y, by=by, fixed=held, limit=limit, guess=guess, dim=dim, spectrum=spectrum,
            stderr=stderr, count=count, level=level, seed=seed,
        )  # fmt: skip
        console.written(screen, out, _write(rows, drawn, out, settings))


def _verdicts(one: Any, held: dict[str, float], options: dict[str, Any], classify: Any) -> list[tuple[Any, Any]]:
    """Each line of a curve or surface with its verdict."""
    from regimes.results import LossSurface

    made: list[tuple[Any, Any]] = []
    lines = one.lines(held)
    for line in lines:
        if not isinstance(line, LossSurface):
            if len(lines) > 1 and len(line) < 4:
                continue  # a line of a grid with gaps
            made.append((line, classify(line, **options)))
            continue
        verdict = classify(line, **options)
        made += [(line.along_n(i), each) for i, each in enumerate(verdict.along_n)]
        made += [(line.along_k(i), each) for i, each in enumerate(verdict.along_k)]
    if not made:
        raise ValueError(f"`source`: {one.name} has no line with at least four points.")
    return made


def _check_spectrum(path: Path) -> None:
    from regimes import files

    files.check_path(path, argument="spectrum", endings=files.TABLES)


def _spectrum(path: Path) -> Any:
    import numpy as np

    from regimes import files
    from regimes.spectrum import Spectrum

    frame = files.read_file(path, argument="spectrum")
    missing = [name for name in ("eigenvalue", "power") if name not in frame]
    if missing:
        raise ValueError(
            f"`spectrum` must have the columns eigenvalue, power and, for degenerate levels, multiplicity; "
            f"{path.name} lacks {', '.join(missing)}."
        )
    if "multiplicity" not in frame:
        frame = frame.assign(multiplicity=1.0)
    words = files.words(frame[["eigenvalue", "power", "multiplicity"]])
    if words:
        raise ValueError(f"`spectrum`: the column {words[0]} of {path.name} must hold numbers.")
    return Spectrum(*(frame[name].to_numpy(dtype=np.float64) for name in ("eigenvalue", "power", "multiplicity")))


def _dimension(text: str, seed: int) -> Any:
    from regimes import dimension, inputs

    try:
        return float(text)
    except ValueError:
        pass
    try:
        x = inputs.read(text, kind="inputs", seed=seed).array
    except ValueError as error:
        why = str(error).removeprefix("`source`").lstrip(": ")
        raise ValueError(f"`dim` must be a number or a file of inputs: {why}") from None
    return dimension.intrinsic_dimension(x, seed=seed)


def _show(screen: Console, rows: Sequence[dict[str, Any]], drawn: Sequence[tuple[Any, Any]], level: float) -> None:
    """The verdicts: with their evidence where they are few."""
    table = console.table("Verdicts", ("curve", "along", "held", "regime", "exponent", f"{level:.0%} interval"))
    for column in (0, 3):
        table.columns[column].no_wrap = False
    for row in rows:
        name = ", ".join(str(value) for key, value in row.items() if key not in (*_TAKEN, "n", "k"))
        exponent, low, high = (row.get(part, math.nan) for part in ("exponent", "low", "high"))
        held = ", ".join(f"{key} = {row[key]:g}" for key in ("n", "k") if key in row)
        regime = row["regime"]
        if regime == "undecided" and row.get("possible"):
            regime += f": {row['possible'].replace('; ', ' or ')}"
        table.add_row(
            name[:40], row.get("along", ""), held, regime,
            "-" if math.isnan(exponent) else f"{exponent:.3f}", "" if math.isnan(low) else f"{low:.3f} to {high:.3f}",
        )  # fmt: skip
    screen.print(table)
    if len(rows) <= 4:
        for _, verdict in drawn:
            console.say(screen, f"{verdict}\n")
    for row in rows:
        if row["regime"] == "failed":
            console.say(screen, f"{next(iter(row.values()))}: {row['evidence']}")
    screen.print()


def _write(
    rows: Sequence[dict[str, Any]], drawn: Sequence[tuple[Any, Any]], folder: Path, settings: dict[str, Any]
) -> list[Path]:
    import pandas as pd

    from regimes import folders, plots

    frame = pd.DataFrame(rows)
    figure = plots.verdicts(drawn)
    record = {"versions": folders.versions(), "settings": settings, "verdicts": frame.to_dict("records")}
    return folders.write(
        folder,
        {
            "verdicts.csv": lambda path: frame.to_csv(path, index=False),
            "verdicts.png": lambda path: figure.savefig(path, format="png", dpi=200),
            "verdicts.svg": lambda path: figure.savefig(path, format="svg"),
            "run.json": lambda path: folders.write_json(path, record),
        },
    )
