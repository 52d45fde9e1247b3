"""`regimes fit`: which law a table of losses follows, with which exponents, and what comes next."""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console, tables

SHOWN = 3
"""Up to so many curves are shown one by one; more of them in one table."""
MANY = (
    "Each curve has the law chosen on its own held-out sizes; this table is over all curves. The tail, a fit to the "
    "end of a curve alone, makes forecasts and is no law to choose."
)
"""Said of many curves."""
_TAKEN = (
    "law", "rank", "held_out_error", "low", "high", "best_in", "fitted_up_to", "chosen", "status", "points", "notes",
    "parameter", "value", "level", "method", "loss", "stderr", "residual", "held_out", "extrapolated",
)  # fmt: skip
"""Columns of the tables, by which no column that tells curves apart can go."""


def fit(
    source: tables.Source,
    law: tables.LawName = "auto",
    x: tables.X = None,
    y: tables.Y = None,
    by: tables.By = None,
    holdout: Annotated[
        float, typer.Option(help="Share of the sizes, the largest, on which laws are scored; 0 for no ranking.")
    ] = 0.5,
    along: Annotated[
        str | None, typer.Option(help="Scale to split and to look along. Default: the first that varies.")
    ] = None,
    at: Annotated[
        str, typer.Option(help="Sizes to predict, separated by commas. Default: up to 10 times the largest.")
    ] = "",
    stderr: tables.Stderr = None,
    count: tables.Count = None,
    bootstrap: Annotated[int, typer.Option(help="Draws behind intervals and bands; 0 for none.")] = 200,
    level: tables.Level = 0.9,
    seed: tables.Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-fit"
    ),
) -> None:
    """Fit laws to measured losses: ranked on the sizes held out, parameters with intervals, the loss beyond.

    Writes fit.png and .svg, ranking.csv, parameters.csv, points.csv, forecast.csv and run.json to the folder.
    """
    tables.present(source)
    from regimes import curves

    places = console.numbers("at", at) or None
    if places is not None and not all(math.isfinite(place) and place > 0 for place in places):
        raise ValueError(f"`at` must hold positive numbers, got {at!r}.")
    chosen = tables.named(law)
    found = curves.read(source, x=x, y=y, by=by, stderr=stderr, count=count)
    options = {"holdout": holdout, "along": along, "bootstrap": bootstrap, "level": level, "seed": seed}
    with console.reserved(out):
        results = _analysed(found, chosen, source, options)
    settings = tables.arguments(
        source=source, law=law, x=x, y=y, by=by, holdout=holdout, along=along, at=places, stderr=stderr, count=count,
        bootstrap=bootstrap, level=level, seed=seed,
    )  # fmt: skip
    frames = _frames(results, places)
    written = _write(results, frames, out, settings)
    screen = Console()
    if len(results) <= SHOWN:
        for one in results:
            _show(screen, one, places)
    else:
        _show_many(screen, results)
    console.written(screen, out, written)


def _analysed(found: Sequence[Any], law: Any, source: str, options: dict[str, Any]) -> list[Any]:
    """Every curve; where one of several cannot have the laws at all, the others still do."""
    from regimes import curve_fits

    results = []
    with console.progress() as begin:
        report = begin(source)
        for done, curve in enumerate(found):
            report(curve.name, done / len(found))
            try:
                results.append(curve_fits.analyse(curve, law, **options))
            except ValueError as error:
                if len(found) == 1:
                    raise
                results.append(curve_fits.failed(curve, str(error).rstrip("."), options["level"]))
    tables.refuse(found, [(one.notes or ("nothing could be fitted",))[-1] for one in results if one.status == "failed"])
    return results


def _show(screen: Console, one: Any, places: Sequence[float] | None) -> None:
    """One curve: ranks, parameters, forecast, warnings."""
    console.say(screen, f"{one.curve.name}: {len(one.curve.loss)} points, {_scales(one.curve)}\n")
    if one.ranks:
        share = f"{one.level:.0%} interval"
        title = f"Error of the log loss beyond {one.along} = {one.split:g}, fitted up to there"
        table = console.table(title, ("", "law", "error", share, "best in", "fit"))
        best = one.fit.law.name if one.fit is not None else None
        for rank in one.ranks:
            table.add_row(
                "*" if rank.law == best else "",
                rank.law,
                "-" if math.isnan(rank.error.value) else f"{rank.error.value:.4f}",
                "" if math.isnan(rank.error.low) else f"{rank.error.low:.4f} to {rank.error.high:.4f}",
                "" if math.isnan(rank.best) else f"{rank.best:.0%}",
                rank.status.name.lower().replace("_", " "),
            )
        screen.print(table)
    if one.choice:
        console.say(screen, f"{'* ' * bool(one.ranks)}{one.choice}\n")
    if one.status == "failed":
        console.warn(screen, one.notes)
        console.say(screen, f"{one.curve.name} could not be fitted.\n")
        return
    console.say(screen, f"{one.fit.law.name}: {one.fit.law.formula}")
    table = console.table("Parameters, fitted to all points", ("parameter", "value", f"{one.level:.0%} interval", ""))
    table.columns[-1].no_wrap = False
    for parameter in one.fit.law.parameters:
        estimate = one.fit[parameter.name]
        ends = "" if math.isnan(estimate.low) else f"{estimate.low:.4g} to {estimate.high:.4g}"
        table.add_row(parameter.name, f"{estimate.value:.4g}", ends, parameter.meaning)
    screen.print(table)
    forecast = one.forecast(places if places else _decades(one))
    table = console.table(f"Loss along {one.along}", (one.along, "loss", "band", ""))
    first = one.curve.scales[one.along].min()
    for row in zip(forecast.at, forecast.loss, forecast.low, forecast.high, forecast.beyond, strict=True):
        band = f"{row[2]:.4g} to {row[3]:.4g}" if row[2] < row[3] else ""
        table.add_row(f"{row[0]:.6g}", f"{row[1]:.4g}", band, "extrapolated" if row[4] or row[0] < first else "")
    screen.print(table)
    console.say(screen, f"by {forecast.method}\n")
    console.warn(screen, one.notes)


def _scales(curve: Any) -> str:
    """Which scales vary, and where the others are held."""
    held = [f"{name} held at {values[0]:g}" for name, values in curve.scales.items() if name not in curve.varying]
    vary = [f"{name} {curve.scales[name].min():g} to {curve.scales[name].max():g}" for name in curve.varying]
    return ", ".join(vary + held)


def _show_many(screen: Console, results: Sequence[Any], rows: int = 40) -> None:
    """Many curves: a row each, and how laws did over all of them."""
    headings = ("curve", "points", "law", "held-out error", "exponent", "status")
    table = console.table(f"{len(results)} curves", headings)
    for one in results[:rows]:
        table.add_row(
            one.curve.name[:40],
            str(len(one.curve.loss)),
            "-" if one.fit is None else one.fit.law.name,
            _error(one),
            _exponent(one),
            one.status,
        )
    screen.print(table)
    if len(results) > rows:
        console.say(screen, f"... and {len(results) - rows} more in ranking.csv and parameters.csv\n")
    summary = _summary(results)
    if summary:
        table = console.table("Laws over all curves", ("law", "mean rank", "first", "median error", "fitted"))
        for row in summary:
            table.add_row(
                row["law"], f"{row['mean_rank']:.2f}", str(row["first"]), f"{row['median_error']:.4f}",
                f"{row['fitted']} of {len(results)}",
            )  # fmt: skip
        screen.print(table)
        console.say(screen, f"{MANY}\n")
    counts = {word: sum(one.status == word for one in results) for word in ("converged", "doubtful", "failed")}
    console.say(screen, ", ".join(f"{many} {word}" for word, many in counts.items() if many) + "\n")


def _error(one: Any) -> str:
    mine = [rank.error.value for rank in one.ranks if one.fit is not None and rank.law == one.fit.law.name]
    return f"{mine[0]:.4f}" if mine and not math.isnan(mine[0]) else "-"


def _exponent(one: Any) -> str:
    """The parameter that is the power of the scale, where the law has one called so."""
    if one.status == "failed":
        return "-"
    name = next((name for name in ("b", "alpha", "c0") if name in one.fit.estimates), None)
    return "-" if name is None else f"{name} = {one.fit[name].value:.3g}"


def _decades(one: Any) -> list[float]:
    """1, 2, 5, 10, ... over the last decade of the measurements and the next."""
    last = float(one.curve.scales[one.along].max())
    first = math.floor(math.log10(last)) - 1
    every = [step * 10.0**power for power in range(first, first + 4) for step in (1, 2, 5)]
    return [place for place in every if last / 10 <= place <= 10 * last]


def _summary(results: Sequence[Any]) -> list[dict[str, Any]]:
    """How each law did: its mean rank where it was scored, how often it came first, its median error."""
    import statistics

    errors: dict[str, list[float]] = {}
    ranks: dict[str, list[float]] = {}
    for one in results:
        scored = sorted(rank.error.value for rank in one.ranks if not math.isnan(rank.error.value))
        for rank in one.ranks:
            if not math.isnan(rank.error.value):
                errors.setdefault(rank.law, []).append(rank.error.value)
                ranks.setdefault(rank.law, []).append(1 + scored.index(rank.error.value))
    rows = [
        {
            "law": law,
            "mean_rank": statistics.fmean(ranks[law]),
            "first": sum(rank == 1 for rank in ranks[law]),
            "median_error": statistics.median(errors[law]),
            "fitted": len(errors[law]),
        }
        for law in errors
    ]
    return sorted(rows, key=lambda row: row["mean_rank"])


def _frames(results: Sequence[Any], places: Sequence[float] | None) -> dict[str, Any]:
    """The tables, one row per curve and law, parameter, point and size."""
    import numpy as np
    import pandas as pd

    ranking: list[dict[str, Any]] = []
    parameters: list[dict[str, Any]] = []
    points, forecasts = [], []
    for one in results:
        key = tables.key(one.curve, _TAKEN)
        fitted = [each for each in (one.fit, *one.others) if each is not None]
        by_law = {each.law.name: each for each in fitted}
        ranks = {rank.law: rank for rank in one.ranks}
        for place, law in enumerate(ranks or by_law, 1):
            rank, each = ranks.get(law), by_law.get(law)
            ranking.append(
                key
                | {"law": law, "rank": place if rank and not math.isnan(rank.error.value) else math.nan}
                | {
                    "held_out_error": rank.error.value if rank else math.nan,
                    "low": rank.error.low if rank else math.nan,
                    "high": rank.error.high if rank else math.nan,
                    "best_in": rank.best if rank else math.nan,
                    "fitted_up_to": one.split,
                    "chosen": one.fit is not None and law == one.fit.law.name,
                    "status": each.status.name.lower() if each else rank.status.name.lower() if rank else "",
                    "points": len(one.curve.loss),
                    "notes": "; ".join(each.notes) if each else "",
                }
            )
        if not fitted:
            ranking.append(key | {"status": "failed", "points": len(one.curve.loss), "notes": "; ".join(one.notes)})
        for each in fitted:
            for name, estimate in each.estimates.items():
                ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
                parameters.append(
                    key | {"law": each.law.name, "parameter": name} | ends
                    | {"level": estimate.level, "method": estimate.method}
                )  # fmt: skip
        columns: dict[str, Any] = {**one.curve.scales, "loss": one.curve.loss}
        if one.curve.stderr is not None:
            columns["stderr"] = one.curve.stderr
        columns["residual"] = np.full(len(one.curve.loss), math.nan) if one.fit is None else one.fit.residuals
        columns["held_out"] = one.curve.scales[one.along] > one.split
        points.append(pd.DataFrame(columns).assign(**key))
        if one.status != "failed":
            made = one.forecast(places)
            columns = {one.along: made.at, "loss": made.loss, "low": made.low, "high": made.high}
            outside = made.beyond | (made.at < one.curve.scales[one.along].min())
            forecasts.append(pd.DataFrame({**columns, "extrapolated": outside}).assign(**key))
    return {
        "ranking": pd.DataFrame(ranking),
        "parameters": pd.DataFrame(parameters),
        "points": pd.concat(points, ignore_index=True),
        "forecast": pd.concat(forecasts, ignore_index=True) if forecasts else pd.DataFrame(),
    }


def _write(results: Sequence[Any], frames: dict[str, Any], folder: Path, settings: dict[str, Any]) -> list[Path]:
    from regimes import folders, plots

    figure = plots.fits(results)
    record = {
        "versions": folders.versions(),
        "settings": settings,
        "curves": [
            {
                "name": one.curve.name,
                "points": len(one.curve.loss),
                "status": one.status,
                "law": None if one.fit is None else one.fit.law.name,
                "choice": one.choice,
                "parameters": {}
                if one.fit is None
                else {name: [e.value, e.low, e.high] for name, e in one.fit.estimates.items()},
                "notes": one.notes,
            }
            for one in results
        ],
        "laws": _summary(results),
    }
    writers: dict[str, Callable[[Path], Any]] = {
        "fit.png": lambda path: figure.savefig(path, format="png", dpi=200),
        "fit.svg": lambda path: figure.savefig(path, format="svg"),
        "run.json": lambda path: folders.write_json(path, record),
    }
    for name, frame in frames.items():
        writers[f"{name}.csv"] = functools.partial(frame.to_csv, index=False)
    return folders.write(folder, writers)
