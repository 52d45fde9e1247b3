"""`regimes verify`: the four-regime experiment."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from regimes.commands import console

DEFAULT_TASKS = (("photographs", "prior"), ("digits", "labels"))
DIFFERS = (
    "above or below the prediction by: measured less predicted exponent, ± the half-widths of both intervals added in "
    "quadrature. It excludes zero, so the difference is significant at the level of the intervals, also where they "
    "overlap a little; a verdict that agrees has a difference within it."
)
"""Said under a table in which an exponent differs."""


def verify(
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="photographs, digits, sphere, torus, teacher-student, openml:NAME, or a .npy, .npz, .csv or .parquet "
            "file; may be repeated. "
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
    for name in data or ():
        console.present(name, "data")
    from regimes import kernels, tasks, verify

    network = _model(kernels, model, depth, kind, activation)
    chosen = [(name, target) for name in data] if data else [(name, target or own) for name, own in DEFAULT_TASKS]
    pool = [tasks.load(name, seed=seed) for name, _ in chosen]
    wanted = [own or ("prior" if task.y is None else "labels") for task, (_, own) in zip(pool, chosen, strict=True)]
    options: dict[str, Any] = {"n": n, "k": k, "noise": noise, "trials": trials, "seed": seed, "quick": quick}
    for task, own in zip(pool, wanted, strict=True):  # refuse all that can be refused before the work begins
        verify.check(task, own, network, **options)
    console.writable(out)
    screen = Console()
    results: list[Any] = []
    written: list[Path] = []
    with console.progress() as begin:
        for task, own in zip(pool, wanted, strict=True):
            results.append(verify.four_regimes(task, network, own, **options, report=begin(task.name)))
            written = verify.write(results, out)  # so that a task that fails loses no other's results
    for result in results:
        _show(screen, result)
    console.written(screen, out, written)


def _model(kernels: Any, name: str, depth: int, kind: str, activation: str) -> Any:
    if name == "fully-connected":
        return kernels.fully_connected(depth, kind=kind, activation=activation)
    if name == "convolutional":
        if depth < 1:
            raise ValueError(f"`depth` must be at least 1, got {depth}.")
        return kernels.convolutional((1,) * depth, kind=kind, activation=activation)
    raise ValueError(f"`model` must be fully-connected or convolutional, got {name!r}.")


def _show(screen: Console, result: Any) -> None:
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
            console.plus_minus(one.predicted_exponent),
            console.plus_minus(one.measured_exponent),
            f"{one.difference:.1%}",
            one.verdict,
        )
    screen.print(table)
    if any("the prediction by" in one.verdict for one in result.comparisons):
        console.say(screen, f"{DIFFERS}\n")
    found = result.exponents
    alpha, other, beta = (console.plus_minus(found[name]) for name in ("alpha_kappa", "alpha_pivots", "beta"))
    screen.print(
        f"{escape(result.description)}\n"
        f"alpha {alpha} (kappa), {other} (pivots); beta {beta}\n"
        f"were they pure power laws: min(beta, 2(1+alpha)) = {found['rule_n'].value:.3f} in n, "
        f"min(beta, 1+alpha) = {found['rule_k'].value:.3f} in k\n",
        highlight=False,
    )
    console.checks(screen, result.checks, "duality of n and k")
