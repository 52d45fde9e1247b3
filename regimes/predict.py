"""From data to exponents and learning curves: whatever `inputs.read` takes, analysed end to end.

One sample of N, from which come

- the exponents alpha and beta and the noise by every method, side by side, and the four exponents they predict;
- whether the spectrum is a power law, and the local exponent along n;
- the learning curve up to ten times the data and more, next to the leave-one-out losses inside them;
- the score of such a forecast from a quarter of the samples;
- what there is to be wary of, in words.

    found = predict.predict(inputs.read("digits"), kernel="ntk")
    print(found)
    predict.write(found, Path("regimes-predict"))
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg

from regimes import (
    _checks,
    display,
    doubts,
    folders,
    forecast,
    gram,
    inputs,
    listed,
    measured,
    pairwise,
    plots,
    readings,
    theory,
)
from regimes.forecast import Forecast, HeldOut
from regimes.inputs import Source
from regimes.readings import PowerLaw, Reading
from regimes.results import Estimate, LearningCurve
from regimes.spectrum import Spectrum

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Progress = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""
_OF_POWER_LAWS = ("alpha", "beta", "resolution_n", "resolution_k")
"""Exponents that only a power law has."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Prediction:
    """What [predict][regimes.predict.predict] found."""

    name: str
    """What was analysed, for tables and figures."""
    description: str
    """Where it comes from, what it was read as, and the kernel, in words."""
    kind: str
    """gram, features, inputs or eigenvalues."""
    samples: int
    """Samples in all; for a list of eigenvalues those of its Gram matrix, or their number."""
    analysed: int
    """Samples of the dense analysis."""
    level: float
    """Stated coverage of all intervals and bands."""
    readings: tuple[Reading, ...]
    """alpha, beta and noise by every method."""
    law: PowerLaw
    """Whether the spectrum is a power law, and its local exponent."""
    spectrum: Spectrum
    """The population spectrum and target power, corrected for the finite sample, without a tail attached."""
    exponents: theory.Exponents
    """alpha and beta of this spectrum and the four exponents that they predict."""
    noise: Estimate
    """Variance of the label noise, summed over outputs."""
    noise_level: Estimate | None
    """The loss at which noise holds the curve up; None without targets."""
    forecasts: tuple[Forecast, ...]
    """The learning curve at infinite k, then at each finite k."""
    drawn: tuple[Forecast, ...]
    """The same at many sizes, for figures."""
    measured: LearningCurve | None
    """Leave-one-out losses at those sizes of the forecasts that lie inside the data; None without samples."""
    held_out: HeldOut | None
    """The forecast from a share of the samples against the rest."""
    eigenvalues: Array
    """Of K/N for the samples analysed, descending; of a list, the list."""
    pivots: LearningCurve | None
    """Loss of the kernel's own prior from the samples (leave-one-out variance)."""
    harmonic: LearningCurve | None
    """n kappa(n) = n/tr K_n^-1, which is the same under Gaussian universality."""
    warnings: tuple[str, ...]
    """What to be wary of, a sentence each."""
    settings: dict[str, Any]
    """Every argument."""

    def __str__(self) -> str:
        last = self.forecasts[0]
        lines = [f"{self.name}: {self.description}", str(self.exponents), str(self.law), str(last)]
        lines += [] if self.held_out is None else [str(self.held_out)]
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])


def predict(
    source: Any,
    *,
    kernel: Any = None,
    n: Any = None,
    k: Any = math.inf,
    ridge: float = 0.0,
    noise: float | None = None,
    level: float = 0.9,
    samples: int | None = None,
    size: int | None = None,
    memory: float = gram.MEMORY,
    scheduler: Any = None,
    window: tuple[float, float] | None = None,
    hold_out: bool = True,
    draws: int = 64,
    seed: int = 0,
    progress: Progress | None = None,
) -> Prediction:
    """Exponents with intervals and the learning curve, from a sample or from a list of eigenvalues.

    Args:
        source: a [Source][regimes.inputs.Source], or anything else that [inputs.read][regimes.inputs.read] takes.
            Without targets, the target is the kernel's own prior.
        kernel: for raw inputs, and for features if not the linear kernel: a name of
            [pairwise.NAMES][regimes.pairwise.NAMES], a `Model`, or whatever
            [inputs.as_kernel][regimes.inputs.as_kernel] takes.
        n: increasing numbers of samples for the forecast; default 1, 2, 5, 10, ... up to ten times the data.
        k: number or numbers of random features, beside infinitely many.
        ridge: added to the diagonal of the Gram matrix.
        noise: variance of the label noise, summed over outputs; default estimated.
        level: stated coverage of intervals and bands.
        samples: for eigenvalues: they are those of K/N, N = samples, and not of the population.
        size: samples that are analysed densely at most, the rest being left out at random; default
            [LARGEST][regimes.measured.LARGEST], or as many as `memory` allows.
        memory: bytes that may be held.
        scheduler: Dask address, cluster or `Client` for the Gram matrix of a kernel.
        window: sizes between which alpha and beta of the spectrum are read; default the stretch from which its tail is
            continued, from an eighth to three quarters of what it resolves.
        hold_out: whether to score a forecast from a share of the samples.
        draws: number of replicates behind intervals and bands of the spectrum and the forecast.
        seed: seed of everything random.
        progress: called with (what is being done, share done).

    Raises:
        ValueError: what cannot be read or analysed; arguments out of range; more than `memory`.
    """
    source = source if isinstance(source, Source) else inputs.read(source, seed=seed)
    if isinstance(kernel, str):
        kernel = pairwise.named(kernel, source.array)
    settings = {
        "source": str(source), "kind": source.kind, "kernel": None if kernel is None else str(kernel), "n": n, "k": k,
        "ridge": ridge, "noise": noise, "level": level, "samples": samples, "size": size, "memory": memory,
        "scheduler": None if scheduler is None else str(scheduler), "window": window, "hold_out": hold_out,
        "draws": draws, "seed": seed,
    }  # fmt: skip
    check(source, kernel=kernel, n=n, k=k, ridge=ridge, noise=noise, level=level, samples=samples, size=size,
          memory=memory, seed=seed)  # fmt: skip
    widths = [math.inf, *(float(one) for one in np.atleast_1d(k) if math.isfinite(one))]
    sizes = None if n is None else np.asarray(n, dtype=np.float64).reshape(-1)
    say = progress or (lambda what, share: None)
    if source.kind == "eigenvalues":
        found = _of_list(source, samples, sizes, widths, ridge, noise or 0.0, level, window, seed)
        return dataclasses.replace(found, settings=settings)

    say("Gram matrix", 0.0)
    chosen = measured.chosen(source.size, size, memory, seed)
    y = None if source.targets is None else source.targets[chosen]
    cautions: list[str] = []
    matrix = measured.gram_matrix(source, kernel, chosen, memory=memory, scheduler=scheduler)
    values, lift, rank = _eigenvalues(matrix)
    if y is None and rank < len(matrix) / 2:
        chosen, text = _fewer(source, chosen, rank, seed)
        cautions.append(text)
        matrix = measured.gram_matrix(source, kernel, chosen, memory=memory, scheduler=scheduler)
        values, lift, rank = _eigenvalues(matrix)
    if lift > 0:
        matrix = matrix + lift * np.eye(len(matrix))
    cautions += doubts.of_sample(source, matrix, values, lift, kernel is not None)
    say("pivots", 0.2)
    pivots, harmonic = measured.prior(matrix, seed)
    options: dict[str, Any] = {"level": level, "seed": seed, "memory": memory, "scheduler": scheduler}
    beside = (
        [measured.subsets(source, kernel, rank=rank if rank < len(matrix) else source.size, **options)]
        if source.size > len(chosen)
        else []
    )
    if source.kind == "features" and kernel is None:
        try:
            beside.append(measured.mirror(source, **options))
        except ValueError as error:
            cautions.append(f"no pivots of the features: {error}")
    say("spectrum", 0.35)
    known: dict[str, Any] = {"ridge": ridge, "noise": noise, "draws": draws, "seed": seed}
    population = forecast.population(matrix, y, **known)
    say("exponents by every method", 0.55)
    if rank < len(matrix) / 2:
        read = measured.few_features(matrix, y, rank, noise=noise, level=level, seed=seed)
    else:
        read = readings.side_by_side(matrix, y, noise=noise, level=level, seed=seed)
    read += tuple(one for one in beside if one)
    law = readings.power_law(matrix, level=level, seed=seed)
    held = None
    if hold_out:
        say("held-out sizes", 0.85)
        share = 0.25 if len(chosen) >= 200 else 0.5
        try:
            held = forecast.held_out(matrix, y, share=share, level=level, **known)
        except ValueError as error:
            cautions.append(f"no held-out sizes: {error}")
    say("forecast", 0.95)
    at = np.union1d(_decades(len(chosen)), [len(chosen) - 1.0]) if sizes is None else sizes
    try:
        losses = measured.left_out(matrix, y, at, delta=ridge, seed=seed)
    except ValueError as error:
        losses = population.measured
        if rank >= len(matrix) / 2:  # features that are exhausted need no ridge, and are what they are
            cautions.append(f"leave-one-out losses are not safe from rounding: {error}")
    found = Prediction(
        name=source.name,
        description=_described(source, kernel, len(chosen)),
        kind=source.kind,
        samples=source.size,
        analysed=len(chosen),
        level=level,
        readings=read,
        law=law,
        spectrum=population.spectrum,
        exponents=theory.exponents(population.spectrum, _window(population.spectrum, window), level),
        noise=population.noise,
        noise_level=None if y is None else population.noise_level,
        forecasts=tuple(population.curve(at, k=width, level=level) for width in widths),
        drawn=tuple(population.curve(_finely(at), k=width, level=level) for width in widths),
        measured=losses,
        held_out=held,
        eigenvalues=values / len(matrix),
        pivots=pivots,
        harmonic=harmonic,
        warnings=(),
        settings=settings,
    )
    total = None if y is None else float(np.sum(y**2) / len(y))
    given = noise is not None
    return _warned(found, cautions, population.measured, total, float(np.diagonal(matrix).mean()), given)


def _eigenvalues(matrix: Array) -> tuple[Array, float, int]:
    """Eigenvalues, descending; what rounding asks to be added to them, added; how many are above rounding."""
    values = linalg.eigvalsh(matrix)[::-1]
    lift = doubts.lift(values)
    rounding = max(len(values) * np.finfo(np.float64).eps * float(values[0]), lift)
    return values + lift, lift, int(np.count_nonzero(values > rounding))


def _fewer(source: Source, chosen: Array, rank: int, seed: int) -> tuple[Array, str]:
    """Fewer samples than the kernel has features, where a draw from its prior is to be learnt, and a sentence on it."""
    size = 3 * rank // 4
    why = f"the kernel has rank {rank}, and without targets {rank} samples learn all of a draw from its prior"
    if size < 100:
        raise ValueError(f"`targets` are needed for {source.name}: {why}.")
    return np.sort(np.random.default_rng([seed, 8]).permutation(chosen)[:size]), f"{why}: {size} are analysed."


def _warned(
    found: Prediction,
    cautions: list[str],
    left_out: LearningCurve | None,
    total: float | None,
    trace: float,
    given: bool,
) -> Prediction:
    """With all that there is to be wary of."""
    later = doubts.of_results(
        reach=found.spectrum.resolved,
        forecasts=found.forecasts,
        noise=found.noise,
        given=given,
        total=total,
        trace=trace,
        measured=left_out,
        pivots=found.pivots,
        harmonic=found.harmonic,
        held_out=found.held_out,
    )
    return dataclasses.replace(found, warnings=(*cautions, *later))


def _of_list(
    source: Source,
    samples: int | None,
    sizes: Array | None,
    widths: list[float],
    delta: float,
    noise: float,
    level: float,
    window: tuple[float, float] | None,
    seed: int,
) -> Prediction:
    """A list has no targets and no samples: the kernel's own prior, and no intervals but those of the continuation."""
    values = np.asarray(source.array)
    spectrum = listed.spectrum(values, samples)
    ends = _window(spectrum, window)
    at = sizes
    if at is None:
        at = _decades(samples) if samples else _decades(max(len(values) // 20, 4))
    options: dict[str, Any] = {"ridge": delta, "noise": noise, "level": level, "seed": seed}
    what = "the population" if samples is None else f"K/N for N = {samples} samples"
    found = Prediction(
        name=source.name,
        description=f"{source.description}; taken as those of {what}; the target is the kernel's own prior",
        kind=source.kind,
        samples=samples or source.size,
        analysed=samples or source.size,
        level=level,
        readings=(listed.line(values, samples),),
        law=listed.power_law(spectrum, ends, level),
        spectrum=spectrum,
        exponents=theory.exponents(spectrum, ends, level),
        noise=Estimate.exact(noise, "given"),
        noise_level=None,
        forecasts=listed.forecasts(spectrum, samples, at, widths, **options),
        drawn=listed.forecasts(spectrum, samples, _finely(at), widths, **options),
        measured=None,
        held_out=None,
        eigenvalues=values,
        pivots=None,
        harmonic=None,
        warnings=(),
        settings={},
    )
    return _warned(found, doubts.of_list(source, samples), None, None, float(values.sum()), given=True)


def check(
    source: Source,
    *,
    kernel: Any = None,
    n: Any = None,
    k: Any = math.inf,
    ridge: float = 0.0,
    noise: float | None = None,
    level: float = 0.9,
    samples: int | None = None,
    size: int | None = None,
    memory: float = gram.MEMORY,
    seed: int = 0,
) -> None:
    """Refuse what [predict][regimes.predict.predict] cannot do, before any work; arguments as there.

    Raises:
        ValueError: as there.
    """
    if n is not None:
        at = _checks.finite_array("n", n, ndim=(0, 1)).reshape(-1)
        if at[0] <= 0 or np.any(np.diff(at) <= 0):
            raise ValueError(
                f"`n` must be positive and strictly increasing, got {', '.join(f'{v:g}' for v in at[:8])}."
            )
    for width in np.atleast_1d(np.asarray(k, dtype=np.float64)):
        if not width > 0:
            raise ValueError(f"`k` must be positive, got {width:g}.")
    _checks.number("ridge", ridge, low=0)
    if noise is not None:
        _checks.number("noise", noise, low=0)
    if not 0 < _checks.number("level", level) < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {level:g}.")
    _checks.count("seed", seed, low=0)
    if source.kind == "eigenvalues":
        if kernel is not None:
            raise ValueError("`kernel` must be None: a list of eigenvalues has its kernel behind it.")
        if samples is not None and _checks.count("samples", samples) < source.size:
            raise ValueError(
                f"`samples` is {samples}, but a Gram matrix of so many samples has no more eigenvalues than that, and "
                f"there are {source.size}."
            )
        return
    if samples is not None:
        raise ValueError("`samples` belongs to a list of eigenvalues; of samples it is their number.")
    if kernel is not None and source.kind == "gram":
        raise ValueError("`kernel` must be None: this source is a Gram matrix already.")
    if kernel is None and source.kind == "inputs":
        raise ValueError(
            f"`kernel` must be given for raw inputs: one of {', '.join(pairwise.NAMES)}, a model or a callable; or say "
            "kind='features' for the linear kernel."
        )
    if hasattr(kernel, "checked"):
        kernel.checked(f"x of {source.name}", source.array)
    elif kernel is not None:
        inputs.as_kernel(kernel)(source.array[:8])  # a kernel that fails, fails on a few samples too
    analysed = len(measured.chosen(source.size, size, memory, seed))
    if source.kind == "features" and kernel is None and source.targets is None:
        width = source.array.shape[1]
        if width < analysed / 2:
            _fewer(source, np.arange(analysed), width, seed)


def tables(found: Prediction) -> dict[str, "pd.DataFrame"]:
    """The numbers as data frames.

    Returns:
        exponents (one row per reading), curve (one row per n and k), eigenvalues (of K/N), spectrum (levels of the
        population), prior (loss of the kernel's own prior along n) and local_exponents.
    """
    import pandas as pd

    rows = []
    for reading in all_readings(found):
        one = reading.estimate
        low, high = one.window or (math.nan, math.nan)
        rows.append(
            {"quantity": reading.quantity, "method": reading.method, "value": one.value, "low": one.low}
            | {"high": one.high, "level": one.level, "from": low, "to": high, "default": reading.default}
            | {"remark": reading.remark}
        )
    curve = []
    for each in found.forecasts:
        k = each.curve.fixed["k"]
        inside = {} if found.measured is None or math.isfinite(k) else _by_size(found.measured)
        for index, at in enumerate(each.curve.at.tolist()):
            seen = inside.get(at, (math.nan, math.nan))
            curve.append(
                {"n": at, "k": k, "loss": each.curve.loss[index], "low": each.low[index], "high": each.high[index]}
                | {"measured": seen[0], "stderr": seen[1], "extrapolated": each.beyond[index]}
            )
    prior = pd.DataFrame({"n": np.empty(0), "pivots": np.empty(0), "n_kappa": np.empty(0)})
    if found.pivots is not None and found.harmonic is not None:
        prior = pd.merge(
            pd.DataFrame({"n": found.pivots.at, "pivots": found.pivots.loss}),
            pd.DataFrame({"n": found.harmonic.at, "n_kappa": found.harmonic.loss}),
            how="outer",
            on="n",
        )
    spectrum, law = found.spectrum, found.law
    levels = {"eigenvalue": spectrum.eigenvalues, "multiplicity": spectrum.multiplicity, "power": spectrum.power}
    local = {"n": law.n, "exponent": law.exponent, "low": law.low, "high": law.high}
    ranked = {"rank": np.arange(1, len(found.eigenvalues) + 1), "eigenvalue": found.eigenvalues}
    return {
        "exponents": pd.DataFrame(rows),
        "curve": pd.DataFrame(curve),
        "eigenvalues": pd.DataFrame(ranked),
        "spectrum": pd.DataFrame(levels),
        "prior": prior,
        "local_exponents": pd.DataFrame(local),
    }


def all_readings(found: Prediction) -> tuple[Reading, ...]:
    """The readings of the samples, then those of the spectrum: alpha, beta and the four exponents they predict.

    Where there is no power law, none of the exponents of one is the default: they change from place to place.
    """
    four = found.exponents
    quoted = {one.quantity for one in found.readings if one.default and math.isfinite(one.estimate.value)}
    rows = [
        Reading(
            "alpha", "spectrum", four.alpha, "alpha" not in quoted, "of the spectrum that the forecast starts from"
        ),
        Reading("beta", "spectrum", four.beta, "beta" not in quoted, "power beyond rank m of the same spectrum"),
    ]
    if found.noise_level is not None:
        rows.append(Reading("noise", "forecast", found.noise, False, f"behind the forecast: {found.noise.method}"))
        level = found.noise_level
        rows.append(Reading("noise_level", level.method, level, True, "where the loss ends when noise is all of it"))
    for name in ("resolution_n", "resolution_k", "variance_n", "variance_k"):
        one = getattr(four, name)
        where = "exact, for any spectrum and target, along |n - k|" if name[:3] == "var" else f"is {one.method}"
        rows.append(Reading(name, "spectrum", one, True, where))
    order = ["alpha", "beta", "noise", "noise_level"]
    read = [one if math.isfinite(one.estimate.value) else one._replace(default=False) for one in found.readings]
    if found.law.holds is False:
        rows = [one._replace(default=one.default and one.quantity not in _OF_POWER_LAWS) for one in rows]
        read = [one._replace(default=one.default and one.quantity not in _OF_POWER_LAWS) for one in read]
    every = sorted([*read, *rows], key=lambda row: order.index(row.quantity) if row.quantity in order else len(order))
    return tuple(every)


def write(found: Prediction, folder: Path, arguments: Mapping[str, Any] | None = None) -> list[Path]:
    """Write the figure (PNG and SVG), the tables (CSV) and all settings, versions and results (JSON) to a folder.

    None is ever half written: see [folders.write][regimes.folders.write].

    Args:
        found: the results.
        folder: made if it is not there.
        arguments: what else to keep with the settings, such as how the source was asked for.

    Raises:
        OSError: the folder cannot be written.
    """
    figure = plots.prediction(found)
    frames = tables(found)
    record = {
        "versions": folders.versions(),
        "settings": found.settings | {"arguments": dict(arguments or {})},
        "description": found.description,
        "samples": found.samples,
        "analysed": found.analysed,
        "verdict": {"power_law": found.law.holds, "reason": found.law.reason},
        "exponents": frames["exponents"].to_dict("records"),
        "curve": frames["curve"].to_dict("records"),
        "held_out": None
        if found.held_out is None
        else {
            "samples": found.held_out.forecast.reach,
            "median_error": found.held_out.error,
            "inside": found.held_out.inside,
        },
        "warnings": found.warnings,
    }
    writers: dict[str, Callable[[Path], Any]] = {
        "prediction.png": lambda path: figure.savefig(path, format="png", dpi=200),
        "prediction.svg": lambda path: figure.savefig(path, format="svg"),
        "run.json": lambda path: folders.write_json(path, record),
    }
    for name, frame in frames.items():
        writers[f"{name}.csv"] = functools.partial(frame.to_csv, index=False)
    return folders.write(folder, writers)


def _by_size(curve: LearningCurve) -> dict[float, tuple[float, float]]:
    stderr = np.full(len(curve), np.nan) if curve.stderr is None else curve.stderr
    return {at: (loss, error) for at, loss, error in zip(curve.at.tolist(), curve.loss, stderr, strict=True)}


def _described(source: Source, kernel: Any, analysed: int) -> str:
    parts = [source.description]
    if kernel is not None:
        parts.append(f"kernel: {kernel if type(kernel).__str__ is not object.__str__ else _called(kernel)}")
    if analysed < source.size:
        parts.append(f"{analysed} of {source.size} samples analysed")
    return "; ".join(parts)


def _called(kernel: Any) -> str:
    return str(getattr(kernel, "__name__", type(kernel).__name__))


def _decades(size: int) -> Array:
    """1, 2, 5, 10, ... from a fiftieth of the data to ten times them."""
    every = np.array([step * 10.0**power for power in range(12) for step in (1, 2, 5)])
    first = every[every >= max(size / 50, 2)]
    return first[: int(np.searchsorted(first, 10 * size)) + 1]


def _finely(at: Array) -> Array:
    """Sizes between the first and the last, close enough for a line."""
    return at if len(at) < 2 else np.union1d(np.geomspace(at[0], at[-1], 100), at)


def _window(spectrum: Spectrum, window: tuple[float, float] | None) -> tuple[float, float]:
    """The last factor of six that a sample resolves, from which its tail is continued; of a whole spectrum more."""
    if window is not None:
        return window
    if math.isfinite(spectrum.resolved):
        return spectrum.resolved / 8, 0.75 * spectrum.resolved
    high = spectrum.modes / 10
    high = high if high >= 32 else spectrum.modes / 2
    return min(16.0, high / 4), high
