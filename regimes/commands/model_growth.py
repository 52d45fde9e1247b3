"""`regimes reproduce hestness`: learning curves and model sizes on nested shards."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console


def command(
    domain: Annotated[
        str | None,
        typer.Option(
            help="theory, digits, photographs, teacher-student, characters, or several with commas. Default: all but "
            "photographs."
        ),
    ] = None,
    learner: Annotated[
        str | None,
        typer.Option(
            help="kernel, random-features, network (squared error), network-classes (cross-entropy), or several with "
            "commas. Default: two or three that suit the domain."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="Losses of yours instead: a .csv or .parquet file with columns n (samples, tokens), size (parameters, "
            "width), loss (and seed)."
        ),
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Largest shard. Default: 1,024 or 2,048.")] = None,
    smallest: Annotated[int | None, typer.Option(help="Smallest shard. Default: a 32nd of the largest.")] = None,
    sizes: Annotated[str | None, typer.Option(help="Models offered, as 8,16,32,64.")] = None,
    repeats: Annotated[int | None, typer.Option(help="How often all is done, shards drawn anew.")] = None,
    noise: Annotated[float | None, typer.Option(help="Variance of label noise.")] = None,
    floor: Annotated[float | None, typer.Option(help="Irreducible loss. Default: where known, else fitted.")] = None,
    tolerance: Annotated[
        float | None, typer.Option(help="Share of the reducible loss that the smallest adequate model may lose.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of training a network. Default: 1,000.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-hestness"
    ),
    checkpoint: Annotated[Path | None, typer.Option(help="Folder from which an interrupted run goes on.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to try it out.")] = False,
) -> None:
    """Hestness' method: nested shards, the best model for each, the exponents of loss and model size, beside theory.

    Writes model_growth.png and .svg, exponents.csv, envelope.csv, runs.csv, checks.csv and run.json to the folder.
    """
    from regimes import model_growth, work_plots

    options: dict[str, Any] = {
        "domain": domain if domain is None else _words(domain),
        "learner": learner if learner is None else _words(learner),
        "samples": samples,
        "smallest": smallest,
        "sizes": sizes if sizes is None else console.numbers("sizes", sizes),
        "repeats": repeats,
        "noise": noise,
        "steps": steps,
    }
    reading: dict[str, Any] = {"floor": floor, "tolerance": tolerance}
    screen = Console()
    if table is not None:
        given = [name for name, value in options.items() if value is not None]
        if given or quick or checkpoint is not None:
            raise ValueError(f"`table` is read as it is and takes no {[*given, 'quick or checkpoint'][0]}.")
        result = model_growth.from_table(table, floor=floor, tolerance=0.2 if tolerance is None else tolerance)
        console.writable(out)
        settings = {"table": str(table), **reading}
    else:
        options["quick"] = quick
        model_growth.plan(**options)  # refuse all that can be refused before the work begins
        console.writable(out)
        with console.progress() as begin:
            report = begin("hestness")
            result = model_growth.run(**options, **reading, seed=seed, checkpoint=checkpoint, progress=report)
        settings = {**options, **reading, "seed": seed}
    first = "domain, learner"  # in one column that wraps: 80 letters hold the numbers whole
    made = console.table("Exponents", (first, "beta_g", "predicted", "beta_p", "predicted"), wraps=(first,))
    for one in result.growths:
        cells = []
        for name in ("beta_g", "beta_p"):
            for found in (one.measured, one.predicted):
                value = None if found is None else getattr(found, name)
                cells.append("" if value is None or value.value != value.value else console.plus_minus(value))
        made.add_row(f"{one.domain}, {one.learner}", *cells)
    screen.print(made)
    console.say(screen, result)
    console.written(screen, out, console.save(result, work_plots.model_growth(result), out, settings))


def _words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
