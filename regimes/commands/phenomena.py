"""`regimes reproduce phenomena`: double descent along size, time and data, and what else one formula says."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console


def command(
    data: Annotated[str | None, typer.Option(help="gaussian, digits. Default: both.")] = None,
    draws: Annotated[int | None, typer.Option(help="Draws of features and samples. Default: 12.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Networks. Default: 8.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the networks. Default: 1,500.")] = None,
    noise: Annotated[float, typer.Option(help="Label noise, in units of the power of the target.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-phenomena"
    ),
    checkpoint: Annotated[Path | None, typer.Option(help="Folder from which an interrupted run goes on.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to try it out.")] = False,
) -> None:
    """Double descent along size, time and data from one formula, and four things that follow, each measured too.

    Writes phenomena.png and .svg, curves.csv, findings.csv, checks.csv and run.json to the folder.
    """
    from regimes import phenomena, work_plots

    options: dict[str, Any] = {
        "data": data,
        "draws": draws,
        "seeds": seeds,
        "steps": steps,
        "noise": noise,
        "quick": quick,
    }
    phenomena.plan(**options)  # refuse all that can be refused before the work begins
    console.writable(out)
    screen = Console()
    with console.progress() as begin:
        report = begin("size, time and data")
        result = phenomena.run(**options, seed=seed, checkpoint=checkpoint, progress=report)
    console.say(screen, result)
    console.written(screen, out, console.save(result, work_plots.phenomena(result), out, {**options, "seed": seed}))
