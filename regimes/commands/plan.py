"""`regimes plan`: what a target loss needs, by every law that fits the measurements, and what it costs."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console, tables

_TAKEN = ("law", "held_out_error", "cost", "cost_low", "cost_high", "reached", "note")
"""Columns of the table, by which no column that tells curves apart can go."""


def plan(
    source: tables.Source,
    target: Annotated[float, typer.Option(help="The loss to reach.")],
    law: tables.LawName = "auto",
    x: tables.X = None,
    y: tables.Y = None,
    by: tables.By = None,
    given: Annotated[str, typer.Option(help="Scales that are given, as name=number,name=number.")] = "",
    cost: Annotated[
        str | None,
        typer.Option(help="product (of the scales, such as training compute) or sum. Default: product of two scales."),
    ] = None,
    price: Annotated[
        str,
        typer.Option(
            help="Price of a unit of each scale, as name=number,name=number; for a product their product counts."
        ),
    ] = "",
    holdout: Annotated[float, typer.Option(help="Share of the sizes on which laws are ranked.")] = 0.5,
    along: Annotated[
        str | None, typer.Option(help="Scale to split for the ranking. Default: the first that varies.")
    ] = None,
    stderr: tables.Stderr = None,
    count: tables.Count = None,
    bootstrap: Annotated[int, typer.Option(help="Draws behind the intervals.")] = 200,
    level: tables.Level = 0.9,
    seed: tables.Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for plan.csv and run.json. Default: nothing written.")
    ] = None,
) -> None:
    """The scales at which measured losses come down to a target, with intervals, and what they cost.

    Laws are ranked on the largest sizes first; the table shows all of them, so that what depends on the choice of the
    law is seen to do so.
    """
    tables.present(source)
    from regimes import _checks, curve_fits, curves

    target = _checks.number("target", target, low=0, strict=True)
    prices, held = tables.values("price", price), tables.values("given", given)
    chosen = tables.named(law)
    found = curves.read(source, x=x, y=y, by=by, stderr=stderr, count=count)
    scales = tuple(found[0].scales)
    for name in {**prices, **held}:
        _checks.choice("price" if name in prices else "given", name, scales)
    for argument, numbers in (("price", prices), ("given", held)):
        for name, value in numbers.items():
            _checks.number(f"{argument}`: `{name}", value, low=0, strict=True)
    how = None if cost is None else _checks.choice("cost", cost, ("product", "sum"))
    rows: list[dict[str, Any]] = []
    reasons: list[str] = []
    screen = Console()
    with console.reserved(out), console.progress() as begin:
        report = begin(source)
        for done, curve in enumerate(found):
            report(curve.name, done / len(found))
            try:
                one = curve_fits.analyse(
                    curve, chosen, holdout=holdout, along=along, bootstrap=bootstrap, level=level, seed=seed
                )
                if one.status == "failed":
                    raise ValueError(f"{curve.name} could not be fitted: {(one.notes or ('no reason known',))[-1]}.")
                free = [name for name in curve.varying if name not in held]
                spent = _cost(how or ("product" if len(free) > 1 else None), prices)
                rows += [_row(one, name, answer) for name, answer in one.plans(target, cost=spent, **held)]
            except ValueError as error:
                if len(found) == 1:
                    raise
                reasons.append(str(error).rstrip("."))
                rows.append(tables.key(curve, _TAKEN) | {"law": "-", "note": reasons[-1]})
        tables.refuse(found, reasons)
    _show(screen, rows, target, level, list(tables.key(found[0], _TAKEN)) if len(found) > 1 else [])
    if out is not None:
        settings = tables.arguments(
            source=source, target=target, law=law, x=x, y=y, by=by, given=held, cost=how, price=prices, holdout=holdout,
            along=along, stderr=stderr, count=count, bootstrap=bootstrap, level=level, seed=seed,
        )  # fmt: skip
        console.written(screen, out, _write(rows, out, settings))


def _row(one: Any, law: str, answer: Any) -> dict[str, Any]:
    """What one law says that the target needs."""
    errors = {rank.law: rank.error.value for rank in one.ranks}
    row = tables.key(one.curve, (*_TAKEN, *answer.scales)) | {"law": law, "held_out_error": errors.get(law, math.nan)}
    prices = {} if answer.cost is None else {"cost": answer.cost}
    for name, estimate in {**answer.scales, **prices}.items():
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return row | {"reached": answer.reached, "note": answer.note}


def _cost(how: str | None, prices: dict[str, float]) -> Any:
    """A cost of the scales by name."""
    if how is None and not prices:
        return None
    if how == "product":
        return lambda **scales: math.prod(prices.get(name, 1.0) * value for name, value in scales.items())
    return lambda **scales: sum(prices.get(name, 1.0) * value for name, value in scales.items())


def _show(screen: Console, rows: list[dict[str, Any]], target: float, level: float, keys: Sequence[str]) -> None:
    wanted = list(dict.fromkeys(name[:-4] for row in rows for name in row if name.endswith("_low")))
    wanted.sort(key=lambda name: name == "cost")
    title = f"To reach a loss of {target:g}, {level:.0%} intervals"
    table = console.table(title, [*keys, "law", "error", *wanted])
    for column in table.columns:
        column.no_wrap, column.overflow = False, "fold"  # no digit is lost where the screen is narrow
    for row in rows:
        cells = [str(row.get(key, ""))[:40] for key in keys] + [row["law"], _number(row.get("held_out_error"))]
        for name in wanted:
            value, low, high = (row.get(f"{name}{end}", math.nan) for end in ("", "_low", "_high"))
            cell = "" if name not in row else "not reached" if math.isnan(value) else _number(value)
            hidden = math.isnan(low) or (math.isnan(value) and math.isinf(low))
            cells.append(cell if hidden else f"{cell}\n{low:.2g}–{high:.2g}")
        table.add_row(*cells)
    screen.print(table)
    for row in rows:
        if row.get("note"):
            console.say(screen, f"{', '.join([*(str(row.get(key, '')) for key in keys), row['law']])}: {row['note']}")
    screen.print()


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3g}"


def _write(rows: list[dict[str, Any]], folder: Path, settings: dict[str, Any]) -> list[Path]:
    import pandas as pd

    from regimes import folders

    frame = pd.DataFrame(rows)
    record = {"versions": folders.versions(), "settings": settings, "plans": frame.to_dict("records")}
    return folders.write(
        folder,
        {
            "plan.csv": lambda path: frame.to_csv(path, index=False),
            "run.json": lambda path: folders.write_json(path, record),
        },
    )
