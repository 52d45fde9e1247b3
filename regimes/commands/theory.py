"""`regimes theory`: laws, exponents and losses of a power law or of a kernel."""

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from regimes.commands import console

PARTS = ("bias", "data", "features", "both", "fitted noise", "noise")
LAW = ("regime", "quantity", "along", "exponent", "amplitude", "logarithm", "reason", "valid")
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
    out: Annotated[
        Path | None, typer.Option(help="Folder for the phase map, all numbers and the settings. Default: none.")
    ] = None,
) -> None:
    """Exponents, regimes and losses from the theory, for a power law or a kernel on a sphere, torus or cube.

    With --out, writes theory.png and .svg, losses.csv, exponents.csv, laws.csv, phases.csv, duality.csv and run.json
    to the folder.
    """
    arguments = {name: value for name, value in locals().items() if name not in ("figure", "table", "out")}
    from regimes import asymptotics, equivalents, phases, plots
    from regimes import theory as predictions

    spectrum, rates_of = _spectrum(
        {"alpha": alpha, "sphere": sphere, "torus": torus, "hypercube": hypercube},
        beta=beta, modes=modes, kernel=kernel, depth=depth, activation=activation, degree=degree, length=length,
        smoothness=smoothness, order=order, ratio=ratio,
    )  # fmt: skip
    pairs = _pairs(console.numbers("n", n), console.numbers("k", k), min(spectrum.resolved, spectrum.modes / 2))
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
            console.writable(path.parent, name)
    screen = Console()
    with console.reserved(out):
        screen.print(escape(str(spectrum)), highlight=False, soft_wrap=True)
        if spectrum.caution is not None:
            screen.print(f"[bold]Caution:[/] {escape(str(spectrum.caution))}", highlight=False, soft_wrap=True)
        screen.print()
        rates = () if rates_of is None else asymptotics.rates(*rates_of, noise=noise, ridge=ridge)
        if rates:
            _show_rates(screen, rates, amplitudes=alpha is not None)
        exponents = _window(screen, spectrum)
        rows = _loss_rows(spectrum, pairs, ridge, noise, time)
        parts = [name for name in rows[0] if name in PARTS]
        others = [name for name in rows[0] if name not in PARTS and name not in ("n", "k")]
        screen.print(_loss_table(rows, "Losses, and local exponents of L - noise", ["n", "k", *others]))
        for row in rows:
            if math.isinf(row["loss"]):
                screen.print(f"infinite at n = {row['n']:g}, k = {row['k']:g}: {_why_infinite(row)}\n", highlight=False)
        screen.print(_loss_table(rows, "Parts of the loss trained to the end", ["n", "k", *parts]))
        report = [] if place is None else predictions.duality_report(spectrum, *place, ridge, noise)
        if place is not None:
            console.checks(screen, report, f"duality at ({place[0]}, {place[1]})")
        if table is not None:
            import pandas as pd

            frame = pd.DataFrame(rows)
            frame.to_parquet(table) if table.suffix == ".parquet" else frame.to_csv(table, index=False)
            screen.print(f"Table written to {table}", highlight=False, soft_wrap=True)
        if figure is not None or out is not None:
            found = phases.phase_map(spectrum, ridge=ridge, noise=noise, time=time)
            drawn = plots.phase_map(found).figure
            screen.print(escape(str(found)), highlight=False, soft_wrap=True)
        if figure is not None:
            drawn.savefig(figure, dpi=200)
            screen.print(f"Phase map written to {figure}", highlight=False, soft_wrap=True)
        if out is not None:
            whole = _Found(spectrum, tuple(rates), exponents, tuple(rows), tuple(report), found)
            console.written(screen, out, console.save(whole, drawn, out, arguments))


@dataclasses.dataclass(frozen=True)
class _Found:
    """Everything that was printed, as `console.save` writes it."""

    spectrum: Any
    rates: tuple[Any, ...]
    exponents: Any
    """None where there are too few modes."""
    losses: tuple[dict[str, float], ...]
    checks: tuple[Any, ...]
    phases: Any
    name: str = "theory"

    def __str__(self) -> str:
        if self.exponents is None:
            lines = ["Too few modes to read exponents over a window of sizes."]
        else:
            low, high = self.exponents.alpha.window
            lines = [
                f"Where resolution limits the loss, it falls with exponent {self.exponents.resolution_n} in n and "
                f"{self.exponents.resolution_k} in k, between {low:g} and {high:g} and without ridge.",
                f"There the spectrum has alpha = {self.exponents.alpha} and the target beta = {self.exponents.beta}.",
            ]
        lines += [f"{share:.1%} of the map: {meaning}." for meaning, share in self._shares()]
        lines.append(f"The {self.spectrum}.")
        return "\n".join(lines + ([f"Caution: {self.spectrum.caution}."] if self.spectrum.caution else []))

    def _shares(self) -> list[tuple[str, float]]:
        from regimes.phases import MEANING

        shares = sorted(self.phases.fractions.items(), key=lambda item: -item[1])
        return [(MEANING[name], share) for name, share in shares]

    def tables(self) -> dict[str, Any]:
        """Data frames: losses, exponents, laws, phases and duality, without those that are empty."""
        import pandas as pd

        surface = self.phases.surface
        n, k = np.meshgrid(surface.n, surface.k, indexing="ij")
        grid = {"n": n, "k": k, "phase": self.phases.phase, "loss": surface.loss}
        read = ("value", "low", "high", "level")
        exponents = [] if self.exponents is None else dataclasses.fields(self.exponents)
        rows: dict[str, Any] = {
            "exponents": [
                {"exponent": one.name, **{part: getattr(getattr(self.exponents, one.name), part) for part in read}}
                for one in exponents
            ],
            "losses": list(self.losses),
            "laws": [{part: getattr(rate, part) for part in LAW} for rate in self.rates],
            "phases": {name: np.ravel(values) for name, values in grid.items()},
            "duality": [dataclasses.asdict(check) for check in self.checks],
        }
        return {name: pd.DataFrame(made) for name, made in rows.items() if made}

    def record(self) -> dict[str, Any]:
        """What the tables leave out, and the checks."""
        caution = self.spectrum.caution
        return {
            "spectrum": str(self.spectrum),
            "shares of the map": dict(self.phases.fractions),
            "checks": [dataclasses.asdict(check) for check in self.checks],
            "warnings": [] if caution is None else [str(caution)],
        }


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
    dim = _checks.count(asked[0], given[asked[0]])
    made: Any = {"sphere": spectra.sphere, "torus": spectra.torus, "hypercube": spectra.hypercube}[asked[0]]
    spectrum = made(profile, dim, target=beta)
    exponent = 2 * profile.smoothness / dim
    if asked == ["hypercube"] or (asked == ["torus"] and dim > 1) or math.isinf(exponent):
        return spectrum, None
    return spectrum, (exponent, beta)


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


def _show_rates(screen: Console, rates: Any, *, amplitudes: bool) -> None:
    """One law per paragraph: tables are too narrow for reasons.

    Amplitudes are those of lambda_i = i^-(1+alpha); a kernel with the same exponent has others.
    """
    screen.print("[bold]Asymptotic laws[/]")
    for rate in rates:
        factor = f"{rate.amplitude:.3g} " if amplitudes and math.isfinite(rate.amplitude) else ""
        at = rate.along
        logarithm = f" ln {at}" if rate.logarithm else ""
        law = f"{rate.quantity} ~ {factor}{at}^{0 - rate.exponent:.3g}{logarithm}"
        screen.print(f"{escape(rate.regime)}: [bold]{escape(law)}[/]", highlight=False, soft_wrap=True)
        where = f" ({rate.valid})" if amplitudes and re.search("ridge held|plateau", rate.regime) else ""
        screen.print(Padding(escape(rate.reason + where), (0, 0, 0, 4), expand=False), highlight=False)
    screen.print()


def _window(screen: Console, spectrum: Any) -> Any:
    """The exponents as they are at finite size; None where there are too few modes."""
    from regimes import theory

    try:
        found = theory.exponents(spectrum)
    except ValueError:
        screen.print("Too few modes to read exponents over a window of sizes.\n", highlight=False)
        return None
    screen.print(f"[bold]Over a window of sizes[/]\n{escape(str(found))}\n", highlight=False, soft_wrap=True)
    return found


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
