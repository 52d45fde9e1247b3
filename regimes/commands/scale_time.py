"""`regimes reproduce scale-time`: scale-time equivalence and where it ends."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console


def command(
    data: Annotated[str | None, typer.Option(help="digits, photographs. Default: both.")] = None,
    n: Annotated[int | None, typer.Option(help="Training samples of the random features. Default: 500.")] = None,
    k: Annotated[str | None, typer.Option(help="Numbers of features, as 32,64,128.")] = None,
    draws: Annotated[int | None, typer.Option(help="Draws of the features. Default: 20.")] = None,
    feature_width: Annotated[
        int | None, typer.Option(help="Units of the networks whose outputs the features are. Default: 512.")
    ] = None,
    widths: Annotated[str | None, typer.Option(help="Widths of the networks, as 16,32,64.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Networks of each width. Default: 16.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the widest network. Default: 600.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-scale-time"
    ),
    checkpoint: Annotated[Path | None, typer.Option(help="Folder from which an interrupted run goes on.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to try it out.")] = False,
) -> None:
    """Loss over size and time: where size x time alone decides, in theory, random features and networks.

    Writes scale_time.png and .svg, lines.csv, breaks.csv, features.csv, slopes.csv, networks.csv, subspace.csv,
    checks.csv and run.json to the folder.
    """
    from regimes import scale_time, work_plots

    options: dict[str, Any] = {
        "data": data,
        "n": n,
        "k": k if k is None else console.numbers("k", k),
        "draws": draws,
        "feature_width": feature_width,
        "widths": widths if widths is None else console.numbers("widths", widths),
        "seeds": seeds,
        "steps": steps,
        "quick": quick,
    }
    scale_time.plan(**options)  # refuse all that can be refused before the work begins
    console.writable(out)
    screen = Console()
    with console.progress() as begin:
        report = begin("scale and time")
        result = scale_time.run(**options, seed=seed, checkpoint=checkpoint, progress=report)
    for one in result.features:
        made = console.table(f"{one.task}: time k t at which k features are 10 % off", ("k", "measured", "predicted"))
        for size, found, expected in zip(one.k, one.breaks, one.expected, strict=True):
            made.add_row(str(size), str(found), f"{expected:.3g}")
        screen.print(made)
    console.say(screen, result)
    console.written(screen, out, console.save(result, work_plots.scale_time(result), out, {**options, "seed": seed}))
