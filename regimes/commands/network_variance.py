"""`regimes network variance`: the variance-limited regime of trained networks."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from regimes.commands import console


def command(
    architecture: Annotated[
        list[str] | None,
        typer.Option(
            help="relu, erf, shallow-relu, shallow-erf or convolutional; may be repeated. Default: relu and erf."
        ),
    ] = None,
    loss: Annotated[
        list[str] | None, typer.Option(help="mse or cross-entropy; may be repeated. Default: both.")
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(help="Samples in a batch of sgd; may be repeated. Default: 16.")
    ] = None,
    widths: Annotated[str, typer.Option(help="Widths, separated by commas.")] = "128,256,512,1024",
    samples: Annotated[int, typer.Option(help="Training samples along the width.")] = 64,
    seeds: Annotated[int, typer.Option(help="Random starts at each width.")] = 20,
    pool: Annotated[int, typer.Option(help="Samples that are divided into shards.")] = 512,
    sizes: Annotated[str, typer.Option(help="Samples in a shard, separated by commas.")] = "32,64,128,256",
    width: Annotated[int, typer.Option(help="Width of the networks trained on shards.")] = 32,
    partitions: Annotated[int, typer.Option(help="Random partitions of the pool.")] = 8,
    steps: Annotated[int, typer.Option(help="Steps of gradient descent.")] = 25,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder that keeps trained networks, to go on after an interruption.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-network-variance"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="erf and mse alone, under half a minute.")] = False,
) -> None:
    """Measure how the loss of trained networks tends to its limit in width and in samples: excess ~ 1/size.

    Writes network_variance.png and .svg, points.csv, exponents.csv, divergence.csv and run.json to the folder.
    """
    from regimes import network_plots, network_variance

    options = {
        "architectures": tuple(architecture or ("relu", "erf")),
        "losses": tuple(loss or network_variance.LOSSES),
        "batches": tuple((16,) if batch is None else batch),
        "widths": [int(value) if value == int(value) else value for value in console.numbers("widths", widths)],
        "samples": samples,
        "seeds": seeds,
        "pool": pool,
        "sizes": [int(value) if value == int(value) else value for value in console.numbers("sizes", sizes)],
        "width": width,
        "partitions": partitions,
        "steps": steps,
        "quick": quick,
        "seed": seed,
    }
    console.writable(out)
    with console.progress() as begin:
        result = network_variance.run(**options, checkpoint=checkpoint, progress=begin("variance"))  # type: ignore[arg-type]
    screen = Console()
    headings = ("network", "along", "over", "expected", "measured", "verdict")
    title = "Excess of the test loss and its exponent"
    table = console.table(title, headings, wraps=("network", "over", "verdict"))
    for one in result.checks:
        said = one.verdict + (" (finite size lowers the loss)" if one.sign < 0 else "")
        table.add_row(str(one.case), one.axis, one.quantity, f"{one.expected:g}", f"{one.exponent}", said)
    screen.print(table)
    paths = console.save(result, network_plots.network_variance(result), out, options)
    console.written(screen, out, paths)
