"""`regimes network resolution`: teacher and student in several dimensions."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console


def command(
    dims: Annotated[str | None, typer.Option(help="Dimensions, as 2,3,4,6.")] = None,
    n: Annotated[str | None, typer.Option(help="Training samples, as 32,64,128,256,512.")] = None,
    widths: Annotated[str | None, typer.Option(help="Widths of the students along k, as 6,8,12,16,24.")] = None,
    teachers: Annotated[int | None, typer.Option(help="Teachers of each dimension. Default: 3.")] = None,
    students: Annotated[int, typer.Option(help="Students of each teacher.")] = 1,
    student_width: Annotated[int | None, typer.Option(help="Width of the student along n. Default: 96.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of training along n. Default: 6,000.")] = None,
    steps_k: Annotated[int | None, typer.Option(help="Steps of training along k. Default: 20,000.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-resolution"
    ),
    checkpoint: Annotated[Path | None, typer.Option(help="Folder from which an interrupted run goes on.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small version, to try it out.")] = False,
) -> None:
    """Exponents in samples and in parameters of networks in d dimensions: is 4/alpha = d, and what does the kernel say?

    Writes teacher_student.png and .svg, exponents.csv, losses.csv, slopes.csv, checks.csv and run.json to the folder.
    """
    from regimes import network_plots, teacher_student

    options: dict[str, Any] = {
        "dims": dims if dims is None else console.numbers("dims", dims),
        "n": n if n is None else console.numbers("n", n),
        "widths": widths if widths is None else console.numbers("widths", widths),
        "teachers": teachers,
        "students": students,
        "student_width": student_width,
        "steps": steps,
        "steps_k": steps_k,
        "quick": quick,
    }
    teacher_student.plan(**options)  # refuse all that can be refused before the work begins
    console.writable(out)
    screen = Console()
    with console.progress() as begin:
        report = begin("teacher-student")
        result = teacher_student.run(**options, seed=seed, checkpoint=checkpoint, progress=report)
    made = console.table(
        "Exponents", ("d", "4/d", "n", "NTK", "predicted", "k", "NTK", "predicted", "d of data", "of net")
    )
    for one in result.dimensions:
        found = one.exponents()
        names = ("network_n", "kernel_n", "spectrum_n", "network_k", "kernel_k", "spectrum_k")
        cells = [f"{found[name].value:.2f}" for name in names]
        made.add_row(str(one.dim), f"{4 / one.dim:.2f}", *cells, f"{one.data.value:.2f}", f"{one.student.value:.2f}")
    screen.print(made)
    console.say(screen, result)
    console.written(
        screen, out, console.save(result, network_plots.teacher_student(result), out, {**options, "seed": seed})
    )
