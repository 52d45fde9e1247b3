"""The command line: the commands of `regimes.commands` put together."""

import importlib.metadata
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from regimes.commands import (
    classify,
    doctor,
    explore,
    fit,
    network,
    plan,
    predict,
    report,
    reproduce,
    sweep,
    theory,
    verify,
)

app = typer.Typer(
    help="Kernel and random-feature theory of neural scaling regimes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    verify.verify,
    predict.predict,
    theory.theory,
    fit.fit,
    classify.classify,
    plan.plan,
    report.report,
    explore.explore,
    doctor.doctor,
):
    app.command()(command)
app.add_typer(network.app, name="network")
app.add_typer(reproduce.app, name="reproduce")
app.add_typer(sweep.app, name="sweep")


def main() -> None:
    """Entry point: one clear sentence and status 2 for bad input, never a traceback."""
    try:
        app()
    except (ValueError, ArithmeticError, OSError, ImportError, MemoryError, RuntimeError) as error:
        Console(stderr=True).print(f"[bold red]Error:[/] {_plain(error)}", highlight=False, soft_wrap=True)
        sys.exit(2)


def _plain(error: Exception) -> str:
    """The message, safe to print."""
    return escape(str(error) or type(error).__name__)


def _version(wanted: bool | None) -> None:
    if wanted:
        typer.echo(f"regimes {importlib.metadata.version('regimes')}")
        raise typer.Exit


@app.callback()
def regimes(
    version: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")
    ] = None,
) -> None:
    """Kernel and random-feature theory of neural scaling regimes."""
