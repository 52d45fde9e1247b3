"""The command line: `regimes verify`."""

import importlib.metadata
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

app = typer.Typer(
    help="Kernel and random-feature theory of neural scaling regimes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DEFAULT_TASKS = (("photographs", "prior"), ("digits", "labels"))


def main() -> None:
    """Entry point: one clear sentence and status 2 for bad input, never a traceback."""
    try:
        app()
    except (ValueError, OSError, ImportError, MemoryError, RuntimeError) as error:
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


@app.command()
def verify(
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="photographs, digits, sphere, torus, teacher-student, or a .npy, .npz or .csv file; may be repeated. "
            "Default: photographs with a prior teacher and digits with their labels."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="fully-connected or convolutional.")] = "fully-connected",
    depth: Annotated[int, typer.Option(help="Hidden layers.")] = 2,
    kind: Annotated[str, typer.Option(help="ntk or nngp.")] = "ntk",
    activation: Annotated[str, typer.Option(help="relu, erf, gelu or step.")] = "relu",
    target: Annotated[
        str | None,
        typer.Option(help="prior or labels. Default: labels for digits, teacher-student and files with labels."),
    ] = None,
    n: Annotated[int | None, typer.Option(help="Largest n of the resolution-limited panel.")] = None,
    k: Annotated[int | None, typer.Option(help="Largest k of the resolution-limited panel.")] = None,
    noise: Annotated[float, typer.Option(help="Variance of label noise to add.")] = 0.0,
    trials: Annotated[int, typer.Option(help="Repetitions with their own split, teachers and features.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-verify"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="A smaller pool, under a minute.")] = False,
) -> None:
    """Verify the four scaling regimes: exponents and losses predicted from the spectrum, and measured.

    Writes four_regimes.png and .svg, points.csv, exponents.csv, duality.csv and run.json to the folder.
    """
    from regimes import kernels, tasks, verify

    network = _model(kernels, model, depth, kind, activation)
    chosen = [(name, target) for name in data] if data else [(name, target or own) for name, own in DEFAULT_TASKS]
    pool = [tasks.load(name, seed=seed) for name, _ in chosen]
    wanted = [own or ("prior" if task.y is None else "labels") for task, (_, own) in zip(pool, chosen, strict=True)]
    for task, own in zip(pool, wanted, strict=True):  # refuse all that can be refused before the work begins
        verify.check(task, own, network, n=n, k=k, noise=noise, trials=trials, seed=seed, quick=quick)

    _writable(out)
    console = Console()
    results: list[Any] = []
    written: list[Path] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        for task, own in zip(pool, wanted, strict=True):
            bar = progress.add_task(task.name, total=1.0)

            def report(what: str, share: float, bar: Any = bar, name: str = task.name) -> None:
                progress.update(bar, completed=share, description=f"{name}: {what}")

            results.append(
                verify.four_regimes(
                    task, network, own, n=n, k=k, noise=noise, trials=trials, seed=seed, quick=quick, report=report
                )
            )
            written = verify.write(results, out)  # so that a task that fails loses no other's results
    for result in results:
        _show(console, result)
    console.print(f"Written to {out}/: {', '.join(path.name for path in written)}", highlight=False, soft_wrap=True)


def _model(kernels: Any, name: str, depth: int, kind: str, activation: str) -> Any:
    if name == "fully-connected":
        return kernels.fully_connected(depth, kind=kind, activation=activation)
    if name == "convolutional":
        if depth < 1:
            raise ValueError(f"`depth` must be at least 1, got {depth}.")
        return kernels.convolutional((1,) * depth, kind=kind, activation=activation)
    raise ValueError(f"`model` must be fully-connected or convolutional, got {name!r}.")


def _writable(folder: Path) -> None:
    """Fail before the work, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".regimes-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(f"`out`: cannot write to {str(folder)!r} ({error.strerror or error}).") from None


def _show(console: Console, result: Any) -> None:
    table = Table(
        title=f"[bold]{escape(result.task)}[/]",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading in ("regime", "window", "predicted", "measured", "losses"):
        table.add_column(heading, no_wrap=True)
    table.add_column("verdict")
    for one in result.comparisons:
        window = one.measured_exponent.window
        table.add_row(
            one.regime.replace("_", " "),
            f"{one.abscissa} {window[0]:g}-{window[1]:g}",
            _plus_minus(one.predicted_exponent),
            _plus_minus(one.measured_exponent),
            f"{one.difference:.1%}",
            one.verdict,
        )
    console.print(table)
    found = result.exponents
    console.print(
        f"{escape(result.description)}\n"
        f"alpha {_plus_minus(found['alpha_kappa'])} (kappa), {_plus_minus(found['alpha_pivots'])} (pivots); "
        f"beta {_plus_minus(found['beta'])}\n"
        f"were they pure power laws: min(beta, 2(1+alpha)) = {found['rule_n'].value:.3f} in n, "
        f"min(beta, 1+alpha) = {found['rule_k'].value:.3f} in k\n",
        highlight=False,
    )
    duality = Table(
        title="duality of n and k", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for heading in ("level", "compared", "expected", "found", ""):
        duality.add_column(heading)
    for check in result.checks:
        if check.holds is not None:
            mark = "holds" if check.holds else "does not hold"
            duality.add_row(str(check.level), check.what, check.expected, check.found, mark)
    console.print(duality)
    for check in result.checks:
        if check.holds is None:
            console.print(f"level {check.level} ({check.expected}): {check.found}\n", highlight=False)


def _plus_minus(estimate: Any) -> str:
    half = (estimate.high - estimate.low) / 2
    return f"{estimate.value:.3f}" + (f" ± {half:.3f}" if half > 0 else "")
