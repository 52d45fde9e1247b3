"""The command line: the commands of `regimes.commands` put together."""

import functools
import importlib.metadata
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from regimes.commands import (
    classify,
    console,
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


REFUSED = (ValueError, ArithmeticError, OSError, ImportError, MemoryError, RuntimeError)
"""What ends a command with one sentence; anything else is a bug and shows where it is."""


def main() -> None:
    """Entry point: one clear sentence and status 2 for bad input, never a traceback."""
    command = typer.main.get_command(app)
    _guard(command)
    command()


def _guard(command: Any) -> None:
    """Let every command below end with a sentence, in the words that its user types."""
    for each in getattr(command, "commands", {}).values():
        _guard(each)
    work = command.callback

    @functools.wraps(work)
    def told(*arguments: Any, **options: Any) -> Any:
        with console.command(command.params):
            try:
                return work(*arguments, **options)
            except (typer.Exit, typer.Abort):  # a status of the command's own; they are RuntimeErrors
                raise
            except REFUSED as error:
                text = escape(console.as_typed(_plain(error)))
                Console(stderr=True).print(f"[bold red]Error:[/] {text}", highlight=False, soft_wrap=True)
                sys.exit(2)

    if not hasattr(command, "commands"):
        command.callback = told


def _plain(error: Exception) -> str:
    """The message, or what it is."""
    return str(error) or type(error).__name__


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
