"""`regimes network tasks`: what changes of a task do to its exponent."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console


def command(
    data: Annotated[str, typer.Argument(help="digits or photographs.")] = "digits",
    width: Annotated[int, typer.Option(help="Units of the networks in each hidden layer.")] = 256,
    depth: Annotated[int, typer.Option(help="Their hidden layers, and the kernel's.")] = 2,
    steps: Annotated[int, typer.Option(help="Steps of their training, stopped early.")] = 600,
    sizes: Annotated[
        str | None, typer.Option(help="Training samples, separated by commas. Default: 32 to 512.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Networks of each size.")] = 4,
    trials: Annotated[int, typer.Option(help="Repetitions of kernel regression.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Folder that keeps trained networks.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-network-tasks"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="One strength of each change, fewer sizes and seeds.")] = False,
) -> None:
    """Superclasses, noisy labels, noisy inputs, coarser images: the exponent predicted, of the kernel and of networks.

    Writes task_changes.png and .svg, exponents.csv, losses.csv, checks.csv and run.json to the folder.
    """
    from regimes import network_plots, task_changes

    n = None if sizes is None else [int(v) if v == int(v) else v for v in console.numbers("sizes", sizes)]
    options: dict[str, Any] = {"n": n, "width": width, "depth": depth, "steps": steps, "seeds": seeds}
    options |= {"trials": trials, "quick": quick, "seed": seed}
    console.writable(out)
    with console.progress() as begin:
        result = task_changes.run(data, **options, checkpoint=checkpoint, progress=begin("tasks"))
    screen = Console()
    table = console.table("Exponents of the loss in n", ("change", "alpha", "beta", "predicted", "kernel", "network"))
    for row in result.rows:
        numbers = (row.alpha, row.beta, row.predicted, row.kernel, row.network)
        table.add_row(str(row.change), *(console.plus_minus(one) for one in numbers))
    screen.print(table)
    console.checks(screen, result.checks, "claims")
    paths = console.save(result, network_plots.task_changes(result), out, {"data": data, **options})
    console.written(screen, out, paths)
