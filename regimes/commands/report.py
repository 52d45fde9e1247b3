"""`regimes report`: one page from whatever other commands have written."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from regimes.commands import console


def report(
    run_dir: Annotated[
        list[Path], typer.Argument(metavar="RUN_DIR...", help="Folders that commands have written, stores of sweeps.")
    ],
    out: Annotated[Path, typer.Option(help="The page, an .html file.")] = Path("report.html"),
    title: Annotated[str | None, typer.Option(help="Its heading. Default: what was run.")] = None,
) -> None:
    """One self-contained page: verdicts in plain words, figures, tables, methods, every argument, how to cite.

    Needs no network to be read and links to the data beside it. Takes what verify, predict, fit, classify, plan,
    network, reproduce and sweep have written, and folders of tables and figures such as those of theory.
    """
    from regimes import report as reports

    reports.target(out)
    found = reports.collect(run_dir)
    console.writable(out.parent)
    screen = Console()
    path = reports.write(found, out, title=title)
    for one in found:
        console.say(screen, one)
        console.warn(screen, one.warnings)
    console.say(
        screen, f"Written to {path}: {path.stat().st_size / 1e6:.2f} MB, {len(found)} run{'s' * (len(found) > 1)}"
    )
