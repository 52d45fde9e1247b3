"""The command line: `regimes verify`, `regimes predict` and `regimes theory`."""

import importlib.metadata
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

app = typer.Typer(
    help="Kernel and random-feature theory of neural scaling regimes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

PARTS = ("bias", "data", "features", "both", "fitted noise", "noise")
KERNELS: dict[str, dict[str, Any]] = {  # name: its options and their defaults
    "ntk": {"depth": 2, "activation": "relu"},
    "nngp": {"depth": 2, "activation": "relu"},
    "arc-cosine": {"degree": 1},
    "laplace": {"length": 1.0},
    "matern": {"smoothness": 0.5, "length": 1.0},
    "gaussian": {"length": 1.0},
}
TORUS_KERNELS: dict[str, dict[str, Any]] = {
    "ornstein-uhlenbeck": {"length": 1.0},
    "bernoulli": {"order": 1.0},
    "poisson": {"ratio": 0.5},
}
DEFAULT_TASKS = (("photographs", "prior"), ("digits", "labels"))


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


@app.command()
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


@app.command()
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
    from regimes import inputs, pairwise
    from regimes import predict as prediction

    sizes, widths = _numbers("n", n) or None, _numbers("k", k) or [math.inf]
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
    _writable(out)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(data.name, total=1.0)

        def report(what: str, share: float) -> None:
            progress.update(bar, completed=share, description=f"{data.name}: {what}")

        found = prediction.predict(data, **options, scheduler=scheduler, progress=report)
    arguments = {"source": source, "targets": targets, "kernel": name, "column": column, "kind": kind}
    written = prediction.write(found, out, arguments | {"drop_duplicates": drop_duplicates} | given)
    console = Console()
    _show_prediction(console, found, prediction.all_readings(found))
    console.print(f"Written to {out}/: {', '.join(path.name for path in written)}", highlight=False, soft_wrap=True)


@app.command()
def theory(
    alpha: Annotated[float | None, typer.Option(help="Power law: eigenvalues i^-(1+alpha).")] = None,
    beta: Annotated[float | None, typer.Option(help="Target power i^-(1+beta). Default: the kernel's prior.")] = None,
    modes: Annotated[float, typer.Option(help="Modes of the power law; those beyond act as a ridge.")] = 1e8,
    sphere: Annotated[int | None, typer.Option(help="Inputs on the sphere of this dimension.")] = None,
    torus: Annotated[int | None, typer.Option(help="Inputs on the torus of this dimension (1: circle).")] = None,
    hypercube: Annotated[int | None, typer.Option(help="Inputs on the cube with this many coordinates.")] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            help="ntk (default), nngp, arc-cosine, laplace, matern or gaussian on sphere and hypercube; "
            "ornstein-uhlenbeck (default), bernoulli or poisson on the torus."
        ),
    ] = None,
    depth: Annotated[int | None, typer.Option(help="Hidden layers of ntk and nngp. Default: 2.")] = None,
    activation: Annotated[
        str | None, typer.Option(help="relu, erf, gelu or step, of ntk and nngp. Default: relu.")
    ] = None,
    degree: Annotated[int | None, typer.Option(help="Degree of arc-cosine, 0, 1 or 2. Default: 1.")] = None,
    length: Annotated[
        float | None, typer.Option(help="Length scale of laplace, matern, gaussian, ornstein-uhlenbeck. Default: 1.")
    ] = None,
    smoothness: Annotated[float | None, typer.Option(help="nu of matern. Default: 0.5.")] = None,
    order: Annotated[float | None, typer.Option(help="Order of bernoulli. Default: 1.")] = None,
    ratio: Annotated[float | None, typer.Option(help="Ratio of poisson, below 1. Default: 0.5.")] = None,
    ridge: Annotated[float, typer.Option(help="Added to the diagonal of the Gram matrix.")] = 0.0,
    noise: Annotated[float, typer.Option(help="Variance of the label noise.")] = 0.0,
    time: Annotated[float, typer.Option(help="Gradient-flow time. Default: trained to the end.")] = math.inf,
    n: Annotated[str, typer.Option(help="Numbers of samples, separated by commas; inf is allowed.")] = "",
    k: Annotated[str, typer.Option(help="Numbers of features, separated by commas; inf is allowed.")] = "",
    duality: Annotated[
        bool, typer.Option("--duality", help="Also the duality levels at the first finite n, k.")
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="Draw the phase map to this .png, .svg or .pdf.")] = None,
    table: Annotated[Path | None, typer.Option(help="Write the table of losses to this .csv or .parquet.")] = None,
) -> None:
    """Exponents, regimes and losses from the theory, for a power law or a kernel on a sphere, torus or cube."""
    from regimes import asymptotics, equivalents
    from regimes import theory as predictions

    spectrum, rates_of = _spectrum(
        {"alpha": alpha, "sphere": sphere, "torus": torus, "hypercube": hypercube},
        beta=beta, modes=modes, kernel=kernel, depth=depth, activation=activation, degree=degree, length=length,
        smoothness=smoothness, order=order, ratio=ratio,
    )  # fmt: skip
    pairs = _pairs(_numbers("n", n), _numbers("k", k), min(spectrum.resolved, spectrum.modes / 2))
    # Refuse bad numbers and paths before the work begins.
    equivalents.loss(spectrum, [one for one, _ in pairs], [other for _, other in pairs], ridge, noise)
    if not time > 0:
        raise ValueError(f"`time` must be positive, got {time:g}.")
    place = _dual_place(pairs) if duality else None
    outputs = (("figure", figure, (".png", ".svg", ".pdf")), ("table", table, (".csv", ".parquet")))
    for name, path, endings in outputs:
        if path is not None and path.suffix not in endings:
            raise ValueError(f"`{name}` must end in {', '.join(endings)}, got {str(path)!r}.")
    for name, path, _ in outputs:
        if path is not None:
            _writable(path.parent, name)
    console = Console()
    console.print(escape(str(spectrum)), highlight=False, soft_wrap=True)
    if spectrum.caution is not None:
        console.print(f"[bold]Caution:[/] {escape(str(spectrum.caution))}", highlight=False, soft_wrap=True)
    console.print()
    if rates_of is not None:
        _show_rates(console, asymptotics.rates(*rates_of, noise=noise, ridge=ridge), amplitudes=alpha is not None)
    _window(console, spectrum)
    rows = _loss_rows(spectrum, pairs, ridge, noise, time)
    parts = [name for name in rows[0] if name in PARTS]
    others = [name for name in rows[0] if name not in PARTS and name not in ("n", "k")]
    console.print(_loss_table(rows, "Losses, and local exponents of L - noise", ["n", "k", *others]))
    for row in rows:
        if math.isinf(row["loss"]):
            console.print(f"infinite at n = {row['n']:g}, k = {row['k']:g}: {_why_infinite(row)}\n", highlight=False)
    console.print(_loss_table(rows, "Parts of the loss trained to the end", ["n", "k", *parts]))
    if place is not None:
        report = predictions.duality_report(spectrum, *place, ridge, noise)
        _checks_table(console, report, f"duality at ({place[0]}, {place[1]})")
    if table is not None:
        import pandas as pd

        frame = pd.DataFrame(rows)
        frame.to_parquet(table) if table.suffix == ".parquet" else frame.to_csv(table, index=False)
        console.print(f"Table written to {table}", highlight=False, soft_wrap=True)
    if figure is not None:
        from regimes import phases, plots

        found = phases.phase_map(spectrum, ridge=ridge, noise=noise, time=time)
        plots.phase_map(found).figure.savefig(figure, dpi=200)
        console.print(f"{escape(str(found))}\nPhase map written to {figure}", highlight=False, soft_wrap=True)


def _spectrum(
    given: dict[str, Any], *, beta: float | None, modes: float, kernel: str | None, **shape: Any
) -> tuple[Any, Any]:
    """The spectrum asked for, and (alpha, beta) of its asymptotic power law, if it has one."""
    from regimes import _checks, profiles, spectra

    asked = [name for name, value in given.items() if value is not None]
    if len(asked) != 1:
        raise ValueError(
            "give exactly one of `--alpha`, `--sphere`, `--torus` and `--hypercube`"
            + (f"; got {' and '.join('--' + name for name in asked)}." if asked else ".")
        )
    extra = {name: value for name, value in {"kernel": kernel, **shape}.items() if value is not None}
    if asked == ["alpha"]:
        if extra:
            raise ValueError(
                f"`{next(iter(extra))}` describes a kernel of inputs: give `--sphere`, `--torus` or `--hypercube`, "
                "not `--alpha`."
            )
        alpha = given["alpha"]
        return spectra.power_law(alpha, beta, modes=modes), (alpha, beta)
    kinds = TORUS_KERNELS if asked == ["torus"] else KERNELS
    name = _checks.choice("kernel", kernel or next(iter(kinds)), tuple(kinds))
    for option in extra:
        if option != "kernel" and option not in kinds[name]:
            raise ValueError(f"`{option}` is no option of {name}, which takes {', '.join(kinds[name])}.")
    chosen = {option: default if shape[option] is None else shape[option] for option, default in kinds[name].items()}
    profile = getattr(profiles, name.replace("-", "_"))(**chosen)
    dim = given[asked[0]]
    made: Any = {"sphere": spectra.sphere, "torus": spectra.torus, "hypercube": spectra.hypercube}[asked[0]]
    spectrum = made(profile, dim, target=beta)
    exponent = 2 * profile.smoothness / dim
    if asked == ["hypercube"] or (asked == ["torus"] and dim > 1) or math.isinf(exponent):
        return spectrum, None
    return spectrum, (exponent, beta)


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(f"`{name}` must be numbers separated by commas, got {text!r}.") from None


def _pairs(n: list[float], k: list[float], high: float) -> list[tuple[float, float]]:
    """Which (n, k) the table shows: all pairs of those given, or decades along either axis."""
    if n or k:
        return [(one, other) for one in n or [math.inf] for other in k or [math.inf]]
    decades = [10.0**power for power in range(1, 7) if 10.0**power <= high] or [high]
    return [(m, math.inf) for m in decades] + [(math.inf, m) for m in decades]


def _dual_place(pairs: list[tuple[float, float]]) -> tuple[int, int]:
    """Where to compare data and width."""
    n, k = next(((n, k) for n, k in pairs if math.isfinite(n) and math.isfinite(k)), (50.0, 200.0))
    if n != int(n) or k != int(k):
        raise ValueError("`duality` needs whole numbers `n` and `k`: it draws samples and features.")
    return int(n), int(k)


def _show_rates(console: Console, rates: Any, *, amplitudes: bool) -> None:
    """One law per paragraph: tables are too narrow for reasons.

    Amplitudes are those of lambda_i = i^-(1+alpha); a kernel with the same exponent has others.
    """
    console.print("[bold]Asymptotic laws[/]")
    for rate in rates:
        factor = f"{rate.amplitude:.3g} " if amplitudes and math.isfinite(rate.amplitude) else ""
        at = rate.along
        logarithm = f" ln {at}" if rate.logarithm else ""
        law = f"{rate.quantity} ~ {factor}{at}^{0 - rate.exponent:.3g}{logarithm}"
        console.print(f"{escape(rate.regime)}: [bold]{escape(law)}[/]", highlight=False, soft_wrap=True)
        where = f" ({rate.valid})" if amplitudes and re.search("ridge held|plateau", rate.regime) else ""
        console.print(Padding(escape(rate.reason + where), (0, 0, 0, 4), expand=False), highlight=False)
    console.print()


def _window(console: Console, spectrum: Any) -> None:
    """The exponents as they are at finite size."""
    from regimes import theory

    try:
        found = theory.exponents(spectrum)
    except ValueError:
        console.print("Too few modes to read exponents over a window of sizes.\n", highlight=False)
    else:
        console.print(f"[bold]Over a window of sizes[/]\n{escape(str(found))}\n", highlight=False, soft_wrap=True)


def _loss_rows(spectrum: Any, pairs: Any, ridge: float, noise: float, time: float) -> list[dict[str, float]]:
    from regimes import dynamics, equivalents, optima, theory

    n, k = ([pair[axis] for pair in pairs] for axis in (0, 1))
    found = equivalents.decompose(spectrum, n, k, ridge, noise)
    fitted = found.noise_data + found.noise_features
    parts: Any = (found.bias, found.data, found.features, found.interaction, fitted, found.irreducible)
    slopes: Any = theory.local_exponents(spectrum, n, k, ridge, noise, time)
    losses: Any = dynamics.gradient_flow(spectrum, time, n, k, ridge, noise)
    rows = []
    for row, (samples, features) in enumerate(pairs):
        best = optima.optimal_ridge(spectrum, samples, features, noise) if math.isfinite(samples) else None
        rows.append(
            {"n": samples, "k": features, "loss": float(losses[row])}
            | {"in n": float(slopes.n[row]), "in k": float(slopes.k[row])}
            | ({"in t": float(slopes.time[row])} if math.isfinite(time) else {})
            | {"best ridge": float(best.at) if best else math.nan, "loss there": float(best.loss) if best else math.nan}
            | dict(zip(PARTS, (float(part[row]) for part in parts), strict=True))
        )
    return rows


def _why_infinite(row: dict[str, float]) -> str:
    if row["n"] == row["k"]:
        return "as many features as samples and no ridge, the interpolation peak"
    return "as many samples as modes and no ridge, so that the label noise is fitted without bound"


def _loss_table(rows: list[dict[str, float]], title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*("-" if math.isnan(row[name]) else f"{row[name]:.4g}" for name in columns))
    return table


def _model(kernels: Any, name: str, depth: int, kind: str, activation: str) -> Any:
    if name == "fully-connected":
        return kernels.fully_connected(depth, kind=kind, activation=activation)
    if name == "convolutional":
        if depth < 1:
            raise ValueError(f"`depth` must be at least 1, got {depth}.")
        return kernels.convolutional((1,) * depth, kind=kind, activation=activation)
    raise ValueError(f"`model` must be fully-connected or convolutional, got {name!r}.")


def _writable(folder: Path, name: str = "out") -> None:
    """Fail before the work, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".regimes-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(f"`{name}`: cannot write to {str(folder)!r} ({error.strerror or error}).") from None


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
    _checks_table(console, result.checks, "duality of n and k")


def _show_prediction(console: Console, found: Any, readings: Any) -> None:
    """The exponents with their reasons, the verdict, the learning curve, its score, and the warnings."""

    def say(text: str) -> None:
        console.print(escape(text), highlight=False, soft_wrap=True)

    say(f"{found.name}: {found.samples} {'eigenvalues' if found.kind == 'eigenvalues' else 'samples'}")
    say(f"{found.description}\n")
    level = f"{found.level:.0%} interval"
    table = _plain_table("Exponents", ("", "quantity", "value", level, "read over", "method"))
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
    console.print(table)
    reasons = dict.fromkeys(
        f"{one.quantity.replace('_', ' ')} by {one.method.replace('_', ' ')}: {one.remark}"
        for one in readings
        if one.quantity in ("alpha", "beta", "noise", "noise_level")
    )
    say("* the one to quote\n  " + "\n  ".join(reasons) + "\n")
    say(f"Verdict: {found.law}\n")
    if found.law.holds is not True and len(found.law.n):
        local = _plain_table("Local exponent of n kappa(n)", ("n", "alpha(n)", level))
        for row in zip(found.law.n, found.law.exponent, found.law.low, found.law.high, strict=True):
            local.add_row(f"{row[0]:.0f}", f"{row[1]:.3f}", f"{row[2]:.3f} to {row[3]:.3f}" if row[2] < row[3] else "")
        console.print(local)
    for one in found.forecasts:
        _show_forecast(console, one, found.measured)
    if found.held_out is not None:
        say(f"Held out: {found.held_out}\n")
    for text in found.warnings:
        console.print(f"[bold]Warning:[/] {escape(text)}", highlight=False, soft_wrap=True)
    if found.warnings:
        console.print()


def _show_forecast(console: Console, one: Any, measured: Any) -> None:
    k = one.curve.fixed["k"]
    inside = {} if measured is None or math.isfinite(k) else dict(zip(measured.at, measured.loss, strict=True))
    headings = ("n", "loss", f"{one.level:.0%} band", *(("leave-one-out",) if inside else ()), "")
    table = _plain_table(f"Learning curve, k = {k:g}", headings)
    for index, at in enumerate(one.curve.at):
        loss, low, high = one.curve.loss[index], one.low[index], one.high[index]
        seen = (f"{inside[at]:.4g}" if at in inside else "",) if inside else ()
        band = f"{low:.4g} to {high:.4g}" if low < high else ""
        table.add_row(f"{at:g}", f"{loss:.4g}", band, *seen, "extrapolated" if one.beyond[index] else "")
    console.print(table)


def _plain_table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def _checks_table(console: Console, checks: Any, title: str) -> None:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("level", "compared", "expected", "found", ""):
        table.add_column(heading)
    for check in checks:
        if check.holds is not None:
            mark = "holds" if check.holds else "does not hold"
            table.add_row(str(check.level), check.what, check.expected, check.found, mark)
    console.print(table)
    for check in checks:
        if check.holds is None:
            console.print(f"level {check.level} ({check.expected}): {check.found}\n", highlight=False)


def _plus_minus(estimate: Any) -> str:
    half = (estimate.high - estimate.low) / 2
    return f"{estimate.value:.3f}" + (f" ± {half:.3f}" if half > 0 else "")
