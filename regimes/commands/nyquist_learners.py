"""`regimes reproduce nyquist`: Nyquist learners."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console


def command(
    domains: Annotated[str | None, typer.Option(help="Some of circle,torus,sphere,photographs.")] = None,
    band: Annotated[int | None, typer.Option(help="Highest frequency on the circle. Default: 20.")] = None,
    torus: Annotated[int | None, typer.Option(help="Modes on the torus. Default: 49.")] = None,
    degree: Annotated[int | None, typer.Option(help="Highest degree on the sphere. Default: 7.")] = None,
    block: Annotated[int | None, typer.Option(help="Side of the low frequencies of a patch. Default: 4.")] = None,
    noise: Annotated[float, typer.Option(help="Variance of the label noise, where there is some.")] = 0.1,
    reach: Annotated[int | None, typer.Option(help="Largest n over the rate. Default: 16.")] = None,
    targets: Annotated[int, typer.Option(help="Targets on each set of points.")] = 16,
    trials: Annotated[int | None, typer.Option(help="Sets of points. Default: 16.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-nyquist"
    ),
    checkpoint: Annotated[Path | None, typer.Option(help="Folder from which an interrupted run goes on.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to try it out.")] = False,
) -> None:
    """Band-limited targets: learnt to the last digit at the Nyquist rate, or by a power law, on four domains.

    Writes nyquist_learners.png and .svg, learners.csv, losses.csv, checks.csv and run.json to the folder.
    """
    from regimes import nyquist_learners, work_plots

    options: dict[str, Any] = {
        "domains": None if domains is None else [one.strip() for one in domains.split(",") if one.strip()],
        "band": band,
        "torus": torus,
        "degree": degree,
        "block": block,
        "noise": noise,
        "reach": reach,
        "targets": targets,
        "trials": trials,
        "quick": quick,
    }
    nyquist_learners.plan(**options)  # refuse all that can be refused before the work begins
    console.writable(out)
    screen = Console()
    with console.progress() as begin:
        report = begin("Nyquist learners")
        result = nyquist_learners.run(**options, seed=seed, checkpoint=checkpoint, progress=report)
    first = "learner"  # with its domain and points in one column that wraps: 80 letters hold the numbers whole
    headings = (first, "band", "rate", "complete from", "orders", "exponent")
    made = console.table("Without noise", headings, wraps=(first,))
    for one in result.cases:
        if not one.noise:
            numbers = [f"{value:g}" if math.isfinite(value) else "-" for value in (one.band, one.rate, one.complete)]
            orders = f"{one.drop:.1f}" if one.limited else "-"
            falls = "-" if one.limited else f"{one.exponent.value:.2f} ({one.predicted_exponent:.2f})"
            made.add_row(f"{one.domain}, {one.learner}, {one.design}", *numbers, orders, falls)
    screen.print(made)
    console.say(screen, result)
    console.written(
        screen, out, console.save(result, work_plots.nyquist_learners(result), out, {**options, "seed": seed})
    )
