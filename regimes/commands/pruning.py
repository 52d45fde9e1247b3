"""`regimes reproduce pruning`: the pruning law of Rosenfeld et al."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console


def command(
    task: Annotated[str, typer.Option(help="teacher-student (four inputs) or digits.")] = "teacher-student",
    noise: Annotated[
        float | None, typer.Option(help="Variance of the noise of the teacher's labels. Default: 0.05.")
    ] = None,
    depths: Annotated[str | None, typer.Option(help="Hidden layers, as 2,3,4.")] = None,
    widths: Annotated[str | None, typer.Option(help="Units in each, as 24,36,54,80.")] = None,
    n: Annotated[str | None, typer.Option(help="Training samples, as 250,1000.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Times a fifth of the weights is taken away. Default: 18.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the dense training. Default: 1,000.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Networks of each shape. Default: 8, of digits 3.")] = None,
    budgets: Annotated[
        str | None, typer.Option(help="Numbers of parameters to look for the best network of, as 1800,4000.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-pruning"
    ),
    checkpoint: Annotated[Path | None, typer.Option(help="Folder from which an interrupted run goes on.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to try it out.")] = False,
) -> None:
    """Prune networks of several depths and widths, fit Rosenfeld's law, extrapolate it, and train what it says.

    Writes pruning.png and .svg, networks.csv, law.csv, pairs.csv, budgets.csv, checks.csv and run.json to the folder.
    """
    from regimes import pruning, work_plots

    options: dict[str, Any] = {
        "task": task,
        "noise": noise,
        "depths": depths if depths is None else console.numbers("depths", depths),
        "widths": widths if widths is None else console.numbers("widths", widths),
        "n": n if n is None else console.numbers("n", n),
        "rounds": rounds,
        "steps": steps,
        "seeds": seeds,
        "budgets": budgets if budgets is None else console.numbers("budgets", budgets),
        "quick": quick,
    }
    pruning.plan(**options)  # refuse all that can be refused before the work begins
    console.writable(out)
    screen = Console()
    with console.progress() as begin:
        result = pruning.run(**options, seed=seed, checkpoint=checkpoint, progress=begin("pruning"))
    console.say(screen, result)
    console.written(screen, out, console.save(result, work_plots.pruning(result), out, {**options, "seed": seed}))
