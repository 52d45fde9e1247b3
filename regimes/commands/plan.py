"""`regimes plan`: what a target loss needs, by every law that fits the measurements, and what it costs."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console, tables


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
    from regimes import _checks, curve_fits, curves

    target = _checks.number("target", target, low=0, strict=True)
    prices, held = tables.values("price", price), tables.values("given", given)
    chosen = tables.named(law)
    found = curves.read(source, x=x, y=y, by=by, stderr=stderr, count=count)
    scales = tuple(found[0].scales)
    for name in {**prices, **held}:
        _checks.choice("price" if name in prices else "given", name, scales)
    for name, value in {**prices, **held}.items():
        _checks.number(name, value, low=0, strict=True)
    how = None if cost is None else _checks.choice("cost", cost, ("product", "sum"))
    if out is not None:
        console.writable(out)
    rows: list[dict[str, Any]] = []
    screen = Console()
    with console.progress() as begin:
        report = begin(source)
        for done, curve in enumerate(found):
            report(curve.name, done / len(found))
            one = curve_fits.analyse(
                curve, chosen, holdout=holdout, along=along, bootstrap=bootstrap, level=level, seed=seed
            )
            key = dict(curve.key) or {"curve": curve.name}
            if one.status == "failed":
                rows.append(key | {"law": "-", "note": "; ".join(one.notes)})
                continue
            ranks = {rank.law: rank.error.value for rank in one.ranks}
            free = [name for name in curve.varying if name not in held]
            spent = _cost(how or ("product" if len(free) > 1 else None), prices)
            for name, answer in one.plans(target, cost=spent, **held):
                rows.append(
                    key
                    | {"law": name, "held_out_error": ranks.get(name, math.nan)}
                    | {
                        f"{scale}{end}": value
                        for scale, estimate in answer.scales.items()
                        for end, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high))
                    }
                    | (
                        {}
                        if answer.cost is None
                        else {"cost": answer.cost.value, "cost_low": answer.cost.low, "cost_high": answer.cost.high}
                    )
                    | {"reached": answer.reached, "note": answer.note}
                )
    _show(screen, rows, target, level, len(found))
    if out is not None:
        console.written(screen, out, _write(rows, out, target, source, level, seed, law, how, prices, held))


def _cost(how: str | None, prices: dict[str, float]) -> Any:
    """A cost of the scales by name."""
    if how is None and not prices:
        return None
    if how == "product":
        return lambda **scales: math.prod(prices.get(name, 1.0) * value for name, value in scales.items())
    return lambda **scales: sum(prices.get(name, 1.0) * value for name, value in scales.items())


def _show(screen: Console, rows: list[dict[str, Any]], target: float, level: float, curves: int) -> None:
    fixed = ("law", "held_out_error", "reached", "note", "cost", "cost_low", "cost_high")
    keys = [name for name in rows[0] if name not in fixed]
    keys = keys[: keys.index(next((name for name in keys if f"{name}_low" in rows[0]), keys[-1]))] or keys[:1]
    scales = list(
        dict.fromkeys(name[:-4] for row in rows for name in row if name.endswith("_low") and name[:4] != "cost")
    )
    priced = any("cost" in row for row in rows)
    headings = [*(keys if curves > 1 else []), "law", "held-out error"]
    for name in (*scales, *(["cost"] if priced else [])):
        headings += [name, f"{level:.0%} interval"]
    table = console.table(f"To reach a loss of {target:g}", headings)
    for row in rows:
        cells = [str(row.get(key, ""))[:40] for key in keys] if curves > 1 else []
        cells += [row["law"], _number(row.get("held_out_error"))]
        for name in (*scales, *(["cost"] if priced else [])):
            low, high = (row.get(f"{name}_{end}", math.nan) for end in ("low", "high"))
            out_of_reach = math.isnan(row.get(name, math.nan))
            cells += [
                "not reached" if out_of_reach else _number(row.get(name)),
                "" if math.isnan(low) or (out_of_reach and math.isinf(low)) else f"{low:.3g} to {high:.3g}",
            ]
        table.add_row(*cells)
    screen.print(table)
    for row in rows:
        if row.get("note"):
            name = ", ".join(str(row.get(key, "")) for key in keys) + ": " if curves > 1 else ""
            console.say(screen, f"{name}{row['law']}: {row['note']}")
    screen.print()


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.4g}"


def _write(
    rows: list[dict[str, Any]], folder: Path, target: float, source: str, level: float, seed: int, law: str,
    how: str | None, prices: dict[str, float], held: dict[str, float],
) -> list[Path]:  # fmt: skip
    import pandas as pd

    from regimes import folders

    frame = pd.DataFrame(rows)
    settings = {"source": source, "target": target, "law": law, "cost": how, "price": prices, "given": held}
    record = {
        "versions": folders.versions(),
        "settings": settings | {"level": level, "seed": seed},
        "plans": frame.to_dict("records"),
    }
    return folders.write(
        folder,
        {
            "plan.csv": lambda path: frame.to_csv(path, index=False),
            "run.json": lambda path: folders.write_json(path, record),
        },
    )
