"""`regimes network features`: the four regimes of random projections of frozen features."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console


def command(
    source: Annotated[
        str,
        typer.Argument(
            help="digits, photographs or teacher-student: a network is trained and frozen. Or an embedding of yours: a "
            ".npy, .npz, .csv or .parquet file with one row per sample."
        ),
    ] = "teacher-student",
    targets: Annotated[Path | None, typer.Option(help="File of what is to be learnt from an embedding.")] = None,
    column: Annotated[str | None, typer.Option(help="Column or array with the targets.")] = None,
    projection: Annotated[str, typer.Option(help="gaussian directions, or columns of the features.")] = "gaussian",
    width: Annotated[int, typer.Option(help="Units in each hidden layer of the network.")] = 512,
    depth: Annotated[int, typer.Option(help="Its hidden layers.")] = 2,
    steps: Annotated[int, typer.Option(help="Steps of its training.")] = 400,
    trials: Annotated[int, typer.Option(help="Repetitions with their own samples and projections.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder that keeps the trained network.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-network-features"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer features, steps and trials.")] = False,
) -> None:
    """Regression on random projections of frozen features: four regimes and the resonance at n = k.

    Losses are predicted from the spectrum of the features on samples of their own. Writes frozen_features.png and .svg,
    points.csv, exponents.csv, resonance.csv, checks.csv and run.json to the folder.
    """
    from regimes import frozen_features, network_plots

    options: dict[str, Any] = {"targets": targets, "column": column, "projection": projection, "width": width}
    options |= {"depth": depth, "steps": steps, "trials": trials, "quick": quick, "seed": seed}
    console.writable(out)
    with console.progress() as begin:
        result = frozen_features.run(source, **options, checkpoint=checkpoint, progress=begin("features"))
    screen = Console()
    console.say(screen, result.description)
    table = console.table("Four regimes", ("ridge", "regime", "predicted", "measured", "losses"))
    table.add_column("verdict")
    for one in result.comparisons:
        said, seen = (console.plus_minus(each) for each in (one.predicted_exponent, one.measured_exponent))
        table.add_row(one.task, one.regime.replace("_", " "), said, seen, f"{one.difference:.1%}", one.verdict)
    screen.print(table)
    console.checks(screen, result.checks, "claims")
    figure = network_plots.frozen_features(result)
    paths = console.save(
        result, figure, out, {"source": source, **options, "targets": str(targets) if targets else None}
    )
    console.written(screen, out, paths)
