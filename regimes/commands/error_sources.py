"""`regimes reproduce sources`: Rosenfeld's sources of error."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console


def command(
    n: Annotated[str | None, typer.Option(help="Training samples of the regressions, as 64,256,1024.")] = None,
    k: Annotated[str | None, typer.Option(help="Random features, as 32,128,512.")] = None,
    trials: Annotated[int | None, typer.Option(help="Repetitions. Default: 16.")] = None,
    noise: Annotated[float, typer.Option(help="Variance of the label noise.")] = 0.1,
    ridge: Annotated[float, typer.Option(help="Ridge of the learner that has one.")] = 0.01,
    time: Annotated[float, typer.Option(help="Training time of the learner that stops.")] = 100.0,
    digits: Annotated[bool, typer.Option(help="Measure random features of digits too.")] = True,
    teacher_width: Annotated[int, typer.Option(help="Units in each hidden layer of the teachers.")] = 8,
    network_n: Annotated[str | None, typer.Option(help="Training samples of the networks, as 32,128,512.")] = None,
    teachers: Annotated[int | None, typer.Option(help="Teachers. Default: 8.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of training. Default: 4,000.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-sources"
    ),
    checkpoint: Annotated[Path | None, typer.Option(help="Folder from which an interrupted run goes on.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to try it out.")] = False,
) -> None:
    """Noise, realizability, uncertainty and deficiency: the loss as their sum, in theory and from measurements.

    Writes error_sources.png and .svg, surfaces.csv, points.csv, students.csv, checks.csv and run.json to the folder.
    """
    from regimes import error_sources, work_plots

    options: dict[str, Any] = {
        "n": n if n is None else console.numbers("n", n),
        "k": k if k is None else console.numbers("k", k),
        "trials": trials,
        "noise": noise,
        "ridge": ridge,
        "time": time,
        "digits": digits,
        "teacher_width": teacher_width,
        "network_n": network_n if network_n is None else console.numbers("network_n", network_n),
        "teachers": teachers,
        "steps": steps,
        "quick": quick,
    }
    error_sources.plan(**options)  # refuse all that can be refused before the work begins
    console.writable(out)
    screen = Console()
    with console.progress() as begin:
        report = begin("sources of error")
        result = error_sources.run(**options, seed=seed, checkpoint=checkpoint, progress=report)
    first = "learner"  # with its task and sizes in one column that wraps: 80 letters hold the numbers whole
    made = console.table("Measured (predicted)", (first, *error_sources.PARTS), wraps=(first,))
    for one in result.points:
        parts = [(one.measured.parts[part].value, float(getattr(one.predicted, part))) for part in error_sources.PARTS]
        cells = [f"{value:.3f} ({predicted:.3f})" for value, predicted in parts]
        made.add_row(f"{one.task}, n = {one.n}, k = {one.k}, {one.learner}", *cells)
    screen.print(made)
    console.say(screen, result)
    console.written(screen, out, console.save(result, work_plots.error_sources(result), out, {**options, "seed": seed}))
