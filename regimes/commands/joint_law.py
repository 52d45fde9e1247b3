"""`regimes reproduce joint`: the joint law of data and size, extrapolated and inverted."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console


def command(
    surfaces: Annotated[
        str | None, typer.Option(help="Some of theory,noisy-theory,features,networks. Default: all.")
    ] = None,
    task: Annotated[str, typer.Option(help="Data of the random features: digits or photographs.")] = "digits",
    alpha: Annotated[float, typer.Option(help="Decay of the spectrum of the exact surfaces.")] = 0.5,
    beta: Annotated[float, typer.Option(help="Decay of their target power.")] = 0.5,
    noise: Annotated[float, typer.Option(help="Label noise of noisy-theory.")] = 0.3,
    dim: Annotated[int, typer.Option(help="Dimension of the inputs of the networks.")] = 4,
    n: Annotated[str | None, typer.Option(help="Their training samples, as 32,64,128,...")] = None,
    widths: Annotated[str | None, typer.Option(help="Units in each of their layers, as 6,8,12,...")] = None,
    trials: Annotated[int | None, typer.Option(help="Repetitions of each training. Default: 10.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each training. Default: 3,000.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-joint"
    ),
    checkpoint: Annotated[Path | None, typer.Option(help="Folder from which an interrupted run goes on.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to try it out.")] = False,
) -> None:
    """Joint laws fitted to small data and small models predict large ones, and say which model reaches a loss.

    Writes joint_law.png and .svg, laws.csv, losses.csv, inversions.csv, checks.csv and run.json to the folder.
    """
    from regimes import joint_law, work_plots

    options: dict[str, Any] = {
        "surfaces": None if surfaces is None else tuple(part.strip() for part in surfaces.split(",") if part.strip()),
        "task": task,
        "alpha": alpha,
        "beta": beta,
        "noise": noise,
        "dim": dim,
        "n": n if n is None else console.numbers("n", n),
        "widths": widths if widths is None else console.numbers("widths", widths),
        "trials": trials,
        "steps": steps,
        "quick": quick,
    }
    joint_law.plan(**options)  # refuse all that can be refused before the work begins
    console.writable(out)
    screen = Console()
    with console.progress() as begin:
        report = begin("joint law")
        result = joint_law.run(**options, seed=seed, checkpoint=checkpoint, progress=report)
    for one in result.surfaces:
        title = f"{one.name}: (predicted - measured)/measured, mean and spread"
        made = console.table(title, ("law", "corner", "held out", "worst"))
        for each in one.extrapolations:
            inside, outside = (f"{d.mean.value:+.1%} ± {d.spread.value:.1%}" for d in (each.inside, each.outside))
            made.add_row(each.law, inside, outside, f"{each.outside.worst:.0%}")
        screen.print(made)
    console.say(screen, result)
    console.written(screen, out, console.save(result, work_plots.joint_law(result), out, {**options, "seed": seed}))
