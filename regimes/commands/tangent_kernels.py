"""`regimes network kernels`: the empirical tangent kernel before and after training."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from regimes.commands import console


def command(
    task: Annotated[
        list[str] | None, typer.Option(help="digits or teacher-student; may be repeated. Default: both.")
    ] = None,
    activation: Annotated[str, typer.Option(help="relu, erf or gelu.")] = "relu",
    depth: Annotated[int, typer.Option(help="Hidden layers.")] = 2,
    dim: Annotated[int, typer.Option(help="Inputs of the teacher.")] = 4,
    widths: Annotated[str, typer.Option(help="Widths, separated by commas: small ones learn features.")] = "16,64,256",
    sizes: Annotated[str, typer.Option(help="Training samples, separated by commas.")] = "32,64,128,256",
    fresh: Annotated[int, typer.Option(help="Samples for the spectra, not trained or tested on.")] = 384,
    seeds: Annotated[int, typer.Option(help="Random starts.")] = 4,
    steps: Annotated[int, typer.Option(help="Steps of gradient descent.")] = 400,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder that keeps trained networks, to go on after an interruption.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-network-kernels"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="Digits alone, under half a minute.")] = False,
) -> None:
    """Predict the losses of trained networks from their tangent kernels at the start and after training.

    Writes tangent_kernels.png and .svg, losses.csv, verdicts.csv, kernels.csv, spectra.csv and run.json to the folder.
    """
    from regimes import network_plots, tangent_kernels

    options = {
        "tasks": tuple(task or tangent_kernels.TASKS),
        "activation": activation,
        "depth": depth,
        "dim": dim,
        "widths": [int(value) if value == int(value) else value for value in console.numbers("widths", widths)],
        "sizes": [int(value) if value == int(value) else value for value in console.numbers("sizes", sizes)],
        "fresh": fresh,
        "seeds": seeds,
        "steps": steps,
        "quick": quick,
        "seed": seed,
    }
    console.writable(out)
    with console.progress() as begin:
        result = tangent_kernels.run(**options, checkpoint=checkpoint, progress=begin("kernels"))  # type: ignore[arg-type]
    screen = Console()
    headings = ("task", "width", "exponent", "predicted from", "its exponent", "predicted/measured", "verdict")
    table = console.table("Losses of trained networks, predicted from their kernels", headings)
    for one, prediction in result.checks:
        exponents = console.plus_minus(one.exponent), console.plus_minus(prediction.exponent)
        ratio = str(prediction.ratio)
        table.add_row(
            one.task, str(one.width), exponents[0], prediction.source, exponents[1], ratio, prediction.verdict
        )
    screen.print(table)
    headings = ("task", "width", "kernel", "alpha", "beta", f"power in {tangent_kernels.LEADING} modes", "alignment")
    table = console.table("The kernels on fresh samples", (*headings, "moved by"))
    for one in result.widths:
        for kernel in one.kernels:
            numbers = (kernel.alpha, kernel.beta, kernel.leading, kernel.alignment)
            moved = console.plus_minus(one.movement) if kernel.when == "end" else ""
            table.add_row(one.task, str(one.width), kernel.when, *(console.plus_minus(x) for x in numbers), moved)
    screen.print(table)
    paths = console.save(result, network_plots.tangent_kernels(result), out, options)
    console.written(screen, out, paths)
