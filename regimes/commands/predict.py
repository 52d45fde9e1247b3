"""`regimes predict`: from data to exponents and learning curves."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from regimes.commands import console


def predict(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A Gram matrix, features, inputs or a list of eigenvalues: a .npy, .npz, .csv or .parquet file; "
            "photographs, digits, sphere, torus, teacher-student or openml:NAME.",
        ),
    ],
    targets: Annotated[str | None, typer.Option(help="File of targets or class labels, one row per sample.")] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            help="Of raw inputs (default ntk), or of features instead of the linear kernel: ntk, nngp, laplace, "
            "gaussian, or scikit-learn's rbf, laplacian, linear, polynomial, cosine, sigmoid, chi2, additive_chi2."
        ),
    ] = None,
    depth: Annotated[int | None, typer.Option(help="Hidden layers of ntk and nngp. Default: 2.")] = None,
    activation: Annotated[
        str | None, typer.Option(help="relu, erf, gelu or step, of ntk and nngp. Default: relu.")
    ] = None,
    length: Annotated[
        float | None, typer.Option(help="Of laplace and gaussian. Default: the median distance of two samples.")
    ] = None,
    n: Annotated[str, typer.Option(help="Sizes to predict, separated by commas. Default: up to 10 times the data.")] = (
        ""
    ),
    k: Annotated[str, typer.Option(help="Numbers of random features, separated by commas, beside inf.")] = "",
    ridge: Annotated[float, typer.Option(help="Added to the diagonal of the Gram matrix.")] = 0.0,
    noise: Annotated[float | None, typer.Option(help="Variance of the label noise. Default: estimated.")] = None,
    samples: Annotated[
        int | None, typer.Option(help="Of eigenvalues: they are those of K/N with N this number of samples.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Samples to analyse at most, drawn at random. Default: 2000.")
    ] = None,
    memory: Annotated[float, typer.Option(help="Gigabytes that may be held.")] = 8.0,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler that computes the kernel.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="gram, features, inputs or eigenvalues. Default: told by name and shape.")
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column, or array of an archive, that holds the targets.")] = None,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Leave out samples that repeat an earlier one.")
    ] = False,
    level: Annotated[float, typer.Option(help="Coverage of intervals and bands.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder for the figure, the numbers and the settings.")] = Path(
        "regimes-predict"
    ),
) -> None:
    """Exponents and the learning curve of your data, also beyond them, each with its interval and what to beware of.

    Writes prediction.png and .svg, exponents.csv, curve.csv, eigenvalues.csv, spectrum.csv, prior.csv,
    local_exponents.csv and run.json to the folder.
    """
    console.present(source, "source")
    if targets is not None:
        console.present(targets, "targets")
    from regimes import inputs, pairwise
    from regimes import predict as prediction

    sizes, widths = console.numbers("n", n) or None, console.numbers("k", k) or [math.inf]
    data = inputs.read(source, kind=kind, targets=targets, column=column, drop_duplicates=drop_duplicates, seed=seed)
    name = kernel or ("ntk" if data.kind == "inputs" else None)
    shape = {"depth": depth, "activation": activation, "length": length}
    given: dict[str, Any] = {option: value for option, value in shape.items() if value is not None}
    allowed = () if name is None else pairwise.options(name)
    for option in given:
        if option not in allowed:
            takes = "no kernel is made here" if name is None else f"{name} takes {', '.join(allowed) or 'no options'}"
            raise ValueError(f"`{option}` is no option of this kernel: {takes}.")
    made = None
    if name is not None and data.kind in ("inputs", "features"):
        made = pairwise.named(name, data.array, **given)
    options: dict[str, Any] = {
        "kernel": name if made is None else made, "n": sizes, "k": widths, "ridge": ridge, "noise": noise,
        "level": level, "samples": samples, "size": size, "memory": 1e9 * memory, "seed": seed,
    }  # fmt: skip
    prediction.check(data, **options)
    console.writable(out)
    with console.progress() as begin:
        found = prediction.predict(data, **options, scheduler=scheduler, progress=begin(data.name))
    arguments = {"source": source, "targets": targets, "kernel": name, "column": column, "kind": kind}
    written = prediction.write(found, out, arguments | {"drop_duplicates": drop_duplicates} | given)
    screen = Console()
    _show(screen, found, prediction.all_readings(found))
    console.written(screen, out, written)


def _show(screen: Console, found: Any, readings: Any) -> None:
    """The exponents with their reasons, the verdict, the learning curve, its score, and the warnings."""
    console.say(screen, f"{found.name}: {found.samples} {'eigenvalues' if found.kind == 'eigenvalues' else 'samples'}")
    console.say(screen, f"{found.description}\n")
    level = f"{found.level:.0%} interval"
    table = console.table("Exponents", ("", "quantity", "value", level, "read over", "method"))
    for one in readings:
        window = one.estimate.window
        table.add_row(
            "*" if one.default else "",
            one.quantity.replace("_", " "),
            "-" if math.isnan(one.estimate.value) else f"{one.estimate.value:.3f}",
            ""
            if one.estimate.level == 1 or math.isnan(one.estimate.value)
            else f"{one.estimate.low:.3f} to {one.estimate.high:.3f}",
            "" if window is None else f"{window[0]:.0f} to {window[1]:.0f}",
            one.method.replace("_", " "),
        )
    screen.print(table)
    reasons = dict.fromkeys(
        f"{one.quantity.replace('_', ' ')} by {one.method.replace('_', ' ')}: {one.remark}"
        for one in readings
        if one.quantity in ("alpha", "beta", "noise", "noise_level")
    )
    if found.law.holds is False:
        console.say(
            screen,
            "No star at alpha, beta and the resolution-limited exponents: there is no power law to have them, so each "
            "value holds over its own stretch only; the local exponents below show how alpha changes.",
        )
    console.say(screen, "* the one to quote\n  " + "\n  ".join(reasons) + "\n")
    console.say(screen, f"Verdict: {found.law}\n")
    if found.law.holds is not True and len(found.law.n):
        local = console.table("Local exponent of n kappa(n)", ("n", "alpha(n)", level))
        for row in zip(found.law.n, found.law.exponent, found.law.low, found.law.high, strict=True):
            local.add_row(f"{row[0]:.0f}", f"{row[1]:.3f}", f"{row[2]:.3f} to {row[3]:.3f}" if row[2] < row[3] else "")
        screen.print(local)
    for one in found.forecasts:
        _show_forecast(screen, one, found.measured)
    if found.held_out is not None:
        console.say(screen, f"Held out: {found.held_out}\n")
    console.warn(screen, found.warnings)


def _show_forecast(screen: Console, one: Any, measured: Any) -> None:
    k = one.curve.fixed["k"]
    inside = {} if measured is None or math.isfinite(k) else dict(zip(measured.at, measured.loss, strict=True))
    headings = ("n", "loss", f"{one.level:.0%} band", *(("leave-one-out",) if inside else ()), "")
    table = console.table(f"Learning curve, k = {k:g}", headings)
    for index, at in enumerate(one.curve.at):
        loss, low, high = one.curve.loss[index], one.low[index], one.high[index]
        seen = (f"{inside[at]:.4g}" if at in inside else "",) if inside else ()
        band = f"{low:.4g} to {high:.4g}" if low < high else ""
        table.add_row(f"{at:g}", f"{loss:.4g}", band, *seen, "extrapolated" if one.beyond[index] else "")
    screen.print(table)
