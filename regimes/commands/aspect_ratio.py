"""`regimes network aspect`: depth against width."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console


def command(
    dim: Annotated[int, typer.Option(help="Dimension of the inputs.")] = 3,
    depths: Annotated[str | None, typer.Option(help="Hidden layers, as 1,2,3.")] = None,
    widths: Annotated[str | None, typer.Option(help="Units in each, as 8,16,32,64.")] = None,
    n: Annotated[str | None, typer.Option(help="Training samples, as 64,128,256,512.")] = None,
    teachers: Annotated[int | None, typer.Option(help="Teachers. Default: 3.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of each training. Default: 6,000.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-aspect"
    ),
    checkpoint: Annotated[Path | None, typer.Option(help="Folder from which an interrupted run goes on.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to try it out.")] = False,
) -> None:
    """Exponents of networks of several depths and widths, and which shape is best for a number of parameters.

    Writes aspect_ratio.png and .svg, shapes.csv, depths.csv, widths.csv, losses.csv, checks.csv and run.json to the
    folder.
    """
    from regimes import aspect_ratio, network_plots

    options: dict[str, Any] = {
        "dim": dim,
        "depths": depths if depths is None else console.numbers("depths", depths),
        "widths": widths if widths is None else console.numbers("widths", widths),
        "n": n if n is None else console.numbers("n", n),
        "teachers": teachers,
        "steps": steps,
        "quick": quick,
    }
    aspect_ratio.plan(**options)  # refuse all that can be refused before the work begins
    console.writable(out)
    screen = Console()
    with console.progress() as begin:
        report = begin("depth against width")
        result = aspect_ratio.run(**options, seed=seed, checkpoint=checkpoint, progress=report)
    made = console.table("Exponent in n", ("depth", *(f"width {width}" for width in result.sizes.widths), "NTK"))
    for one in result.kernels:
        read = [f"{result.in_n(one.depth, width).value:.2f}" for width in result.sizes.widths]
        made.add_row(str(one.depth), *read, f"{one.measured_exponent.value:.2f}")
    screen.print(made)
    console.say(screen, result)
    console.written(
        screen, out, console.save(result, network_plots.aspect_ratio(result), out, {**options, "seed": seed})
    )
