"""Hestness' method on several domains: how the loss falls and how the model grows with data, measured and predicted.

Domains are images (digits, photographs), a teacher-student regression, text (the next character) and the theory's own
Gaussian model. Learners are kernels, which have a curve and no size, random features with a tuned ridge, whose size is
their number, and networks that are stopped early, whose size is their width. For kernels and random features the
spectrum of a Gram matrix predicts both exponents over the same shards and sizes; for power laws with noise they tend to
beta_g = -beta/(1+beta) and beta_p = 1/(1+beta). Networks are shown beside the prediction of random features.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from regimes import _checks, curves, display, estimate, files, frozen, hestness, kernels, learners, tasks, teachers
from regimes.hestness import Hestness
from regimes.results import Estimate
from regimes.spectrum import Spectrum
from regimes.teachers import Claim

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

DOMAINS = ("theory", "digits", "photographs", "teacher-student", "characters")
LEARNERS = ("kernel", "random-features", "network", "network-classes")
DEFAULT = ("theory", "digits", "teacher-student", "characters")
LEVEL = 0.9
"""Coverage of the intervals of measured and predicted exponents."""
ALPHA, BETA = 1.5, 1.5
"""Exponents of the theory's own spectrum and target: its window is close to the asymptotic exponents."""
_MODES = 1000
_NOISE = {"theory": 1.0, "teacher-student": 0.1}
_CLASSES = ("digits", "photographs", "characters")
_POOL = 1500
"""Samples of the training set from which the spectrum is estimated, at most."""
_DRAWS = 8
"""Replicates of it, for the intervals of what it predicts."""


class Cell(NamedTuple):
    """One domain with one learner."""

    domain: str
    learner: str
    samples: int
    """Largest shard."""
    smallest: int
    """Smallest shard."""
    sizes: tuple[int, ...]
    """Models offered: numbers of features, or widths; one for a kernel."""
    repeats: int
    noise: float
    """Variance of the label noise that is added."""
    steps: int
    """Steps of training a network."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Growth:
    """What the method found on one domain with one learner."""

    domain: str
    """Name of the data."""
    learner: str
    """kernel, random-features, network (squared error) or network-classes (cross-entropy); losses for a table."""
    measured: Hestness
    """Envelope, regions, beta_g, beta_p with intervals over repeats."""
    predicted: Hestness | None
    """The same shards and sizes from the spectrum; None for networks, tables, and where it falls below the floor. Read
    above the same known floor as the measurement, or each above its own fitted one."""
    floor_known: bool
    """Whether the irreducible loss was given and not fitted."""
    asymptotic: tuple[float, float]
    """-beta/(1+beta) and 1/(1+beta), for the power law with noise of the theory's own model; NaN elsewhere."""

    @property
    def name(self) -> str:
        """Domain and learner."""
        return f"{self.domain}, {self.learner}"

    def __str__(self) -> str:
        predicted, (of_loss, of_size) = self.predicted, self.asymptotic
        said = f"  {self.name}: beta_g {self.measured.beta_g}"
        said += f" (predicted {predicted.beta_g}" if predicted is not None else ""
        said += f", in the end {of_loss:.3f}" if math.isfinite(of_loss) else ""
        said += ")" if predicted is not None else ""
        if len(self.measured.sizes) > 1:
            said += f", beta_p {self.measured.beta_p}"
            said += f" (predicted {predicted.beta_p}" if predicted is not None else ""
            said += f", in the end {of_size:.3f}" if math.isfinite(of_size) else ""
            said += ")" if predicted is not None else ""
        floor = "known" if self.floor_known else "fitted"
        said += f", floor {self.measured.floor:.3g} ({floor})"
        return said + (f", {self.measured.edges}" if len(self.measured.sizes) > 1 else "")


@display.shown
@dataclasses.dataclass(frozen=True)
class ModelGrowth:
    """What [run][regimes.model_growth.run] found."""

    growths: tuple[Growth, ...]
    """Every domain with every learner."""
    checks: tuple[Claim, ...]
    """What theory says, and what was found."""
    settings: dict[str, Any]
    """Everything that the run depends on."""

    name = "model_growth"

    def __getitem__(self, key: tuple[str, str]) -> Growth:
        """By domain and learner."""
        for one in self.growths:
            if (one.domain, one.learner) == key:
                return one
        raise KeyError(f"no {', '.join(key)}; there are " + "; ".join(one.name for one in self.growths))

    def __str__(self) -> str:
        judged = [one for one in self.checks if one.holds is not None]
        lines = [f"{sum(bool(one.holds) for one in judged)} of {len(judged)} claims hold."] if judged else []
        lines += [str(one) for one in self.growths]
        mark = {True: "holds", False: "does not hold", None: "not judged"}
        lines += [f"  {c.what}: expected {c.expected}, found {c.found}: {mark[c.holds]}" for c in self.checks]
        return "\n".join(lines)

    def tables(self) -> dict[str, "pd.DataFrame"]:
        """exponents, envelope, runs and checks."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        parts: dict[str, list[Any]] = {"envelope": [], "runs": []}
        for one in self.growths:
            row: dict[str, Any] = {"domain": one.domain, "learner": one.learner}
            for name, at in (("beta_g", 0), ("beta_p", 1)):
                for source, found in (("", one.measured), ("predicted_", one.predicted)):
                    value = None if found is None else getattr(found, name)
                    row[source + name] = math.nan if value is None else value.value
                    row[f"{source}{name}_low"] = math.nan if value is None else value.low
                    row[f"{source}{name}_high"] = math.nan if value is None else value.high
                row[f"asymptotic_{name}"] = one.asymptotic[at]
            row |= {"floor": one.measured.floor, "floor_known": one.floor_known}
            rows.append(row | {"shards": len(one.measured.n), "shards_at_edge": int(one.measured.at_edge.sum())})
            frames = one.measured.tables()
            if one.predicted is not None:
                frames["envelope"]["predicted_loss"] = one.predicted.curve.loss
                frames["envelope"]["predicted_adequate_size"] = one.predicted.adequate
            for name, collected in parts.items():
                frame = frames[name]
                frame.insert(0, "domain", one.domain)
                frame.insert(1, "learner", one.learner)
                collected.append(frame)
        whole = {name: pd.concat(collected, ignore_index=True) for name, collected in parts.items()}
        return {"exponents": pd.DataFrame(rows), **whole, "checks": pd.DataFrame(self.checks, columns=Claim._fields)}

    def record(self) -> dict[str, Any]:
        """Exponents and regions of every domain and learner, the claims and the settings."""
        return {
            "growths": [
                {"domain": one.domain, "learner": one.learner, "source": one.measured.source}
                | {"measured": one.measured.record(), "asymptotic": list(one.asymptotic)}
                | {"predicted": None if one.predicted is None else one.predicted.record()}
                for one in self.growths
            ],
            "checks": [one._asdict() for one in self.checks],
            "run": self.settings,
        }


def plan(
    *,
    domain: str | Sequence[str] | None = None,
    learner: str | Sequence[str] | None = None,
    samples: int | None = None,
    smallest: int | None = None,
    sizes: Sequence[Any] | None = None,
    repeats: int | None = None,
    noise: float | None = None,
    steps: int | None = None,
    quick: bool = False,
) -> tuple[Cell, ...]:
    """What a run would do, without doing it. Arguments as for [run][regimes.model_growth.run].

    Raises:
        ValueError: an unknown domain or learner, too few samples, sizes or repeats, a learner that the domain has not.
    """
    domains = _several("domain", domain, DOMAINS) if domain is not None else DEFAULT
    wanted = None if learner is None else _several("learner", learner, LEARNERS)
    cells = []
    for one in domains:
        possible = [
            name
            for name in LEARNERS
            if (name == "random-features" if one == "theory" else name != "network-classes" or one in _CLASSES)
        ]
        usual = {"digits": LEARNERS[:2], "teacher-student": LEARNERS[:3], "characters": (LEARNERS[0], LEARNERS[3])}
        chosen = usual.get(one, possible[:2]) if wanted is None else [name for name in wanted if name in possible]
        if not chosen:
            raise ValueError(
                f"`learner` for {one} must be one of {', '.join(possible)}; got {', '.join(wanted or ())}."
            )
        cells += [_cell(one, name, samples, smallest, sizes, repeats, noise, steps, quick) for name in chosen]
    return tuple(cells)


def _cell(
    domain: str,
    learner: str,
    samples: int | None,
    smallest: int | None,
    sizes: Sequence[Any] | None,
    repeats: int | None,
    noise: float | None,
    steps: int | None,
    quick: bool,
) -> Cell:
    network = learner.startswith("network")
    most = 512 if quick else 2048 if domain in ("theory", "characters") else 1024
    count = _checks.count("samples", most if samples is None else samples, low=16, high=16384)
    low = max(4, count // (16 if quick else 32)) if smallest is None else smallest
    if sizes is not None:
        offered = tuple(int(one) for one in _checks.sizes("sizes", sizes, low=1, high=8192))
    elif network:
        offered = (4, 16, 64) if quick else (4, 8, 16, 32, 64, 128)
    else:
        # The theory's own model has 1,000 modes; elsewhere the largest must come close to the kernel.
        offered = tuple(
            2**power for power in range(2, (9 if quick else 10) if domain == "theory" else 11 if quick else 13)
        )
    if learner == "kernel":
        offered = (1,)
    elif len(offered) < 3:
        raise ValueError(f"`sizes` must hold at least three sizes, got {len(offered)}.")
    usual = (8 if quick else 24) if domain == "theory" else 3 if quick or network else 4
    if noise is not None and learner == "network-classes" and noise != 0:
        raise ValueError(f"`noise` is added to values, not to the classes of network-classes, got {noise}.")
    found = Cell(
        domain,
        learner,
        count,
        _checks.count("smallest", low, low=4, high=count // 4),
        offered,
        _checks.count("repeats", usual if repeats is None else repeats, low=2, high=1000),
        _checks.number("noise", _NOISE.get(domain, 0.0) if noise is None else noise, low=0),
        _checks.count("steps", (200 if quick else 1000) if steps is None else steps),
    )
    limit = {"digits": _DIGITS, "photographs": _PATCHES - _validation(found)}.get(domain, count)
    if count > limit:
        raise ValueError(f"`samples` of {domain} must be at most {limit}, got {count}.")
    return found


_DIGITS = 1200
"""Of 1,797 digits; the others are set aside for validation."""
_PATCHES = 6000
"""Patches of the photographs."""
_CONTEXT = 4
"""Characters before the next one."""


def run(
    *,
    domain: str | Sequence[str] | None = None,
    learner: str | Sequence[str] | None = None,
    samples: int | None = None,
    smallest: int | None = None,
    sizes: Sequence[Any] | None = None,
    repeats: int | None = None,
    noise: float | None = None,
    floor: float | None = None,
    tolerance: float | None = None,
    steps: int | None = None,
    quick: bool = False,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Report | None = None,
) -> ModelGrowth:
    """Learning curves and model sizes on nested shards, with what the spectrum predicts.

    For training functions of your own see [hestness.procedure][regimes.hestness.procedure].

    Args:
        domain: theory (the Gaussian model of a power law), digits, photographs (which of two a patch is from),
            teacher-student (a relu network in four dimensions), characters; one or several. Default all but the
            photographs.
        learner: kernel, random-features, network (mean squared error), network-classes (cross-entropy); one or several,
            those that a domain can have. Default two each, three for the teacher.
        samples: largest shard; by default 1,024, 2,048 in theory's own model and for characters.
        smallest: smallest shard, at most a quarter of the largest; a 32nd by default. Shards double.
        sizes: models offered: numbers of random features, or widths.
        repeats: how often all is done, with shards drawn anew; default 24 in theory's own model, 4 for kernels and
            random features, 3 for networks.
        noise: variance of label noise; default 1 in theory's own model, 0.1 for the teacher, none for others.
        floor: irreducible loss. By default the noise in theory's own model and for the teacher, none for digits (their
            labels are sure), fitted for photographs and characters.
        tolerance: share of the reducible loss that an adequate model may lose. Default 0.2; 0.02 where the floor is not
            known, and a fitted one, often zero, leaves all of the loss to be reduced.
        steps: steps of training a network in batches of 64.
        quick: less of everything: no numbers to quote.
        seed: seed of everything random.
        checkpoint: folder from which an interrupted run goes on.
        progress: called with (what is being done, share done).

    Raises:
        ValueError: as `plan`; a floor above a measured loss; a checkpoint of another run.

    Source: Hestness et al. 2017 (arXiv:1712.00409); the predictions are of the deterministic equivalent.
    """
    cells = plan(
        domain=domain,
        learner=learner,
        samples=samples,
        smallest=smallest,
        sizes=sizes,
        repeats=repeats,
        noise=noise,
        steps=steps,
        quick=quick,
    )
    tolerance = None if tolerance is None else _checks.number("tolerance", tolerance, low=0, strict=True)
    seed = _checks.count("seed", seed, low=0)
    floor = None if floor is None else _checks.number("floor", floor, low=0)
    say = progress or (lambda what, share: None)
    growths: list[Growth] = []
    spectra: dict[str, Spectrum] = {}
    for index, cell in enumerate(cells):

        def report(what: str, share: float, index: int = index, cell: Cell = cell) -> None:
            say(f"{cell.domain}, {cell.learner}: {what}", (index + share) / len(cells))

        folder = None if checkpoint is None else Path(checkpoint) / f"{cell.domain}-{cell.learner}"
        growths.append(_grown(cell, floor, tolerance, seed, spectra, folder, report))
    say("done", 1.0)
    settings = {"seed": seed, "quick": quick, "floor": floor, "tolerance": tolerance}
    return ModelGrowth(tuple(growths), _claims(growths), settings | {"cells": [one._asdict() for one in cells]})


def from_table(source: Any, *, floor: float | None = None, tolerance: float = 0.2, level: float = LEVEL) -> ModelGrowth:
    """The same analysis of losses that were measured elsewhere.

    Args:
        source: a pandas DataFrame, or a .csv, .csv.gz or .parquet file, with columns n (or samples, tokens), size (or
            parameters, model size, width, features) and loss (or test loss, validation loss), and seed (or repeat)
            where there are several runs; without it, runs of the same n and size are numbered as they come.
        floor: irreducible loss where it is known; fitted otherwise.
        tolerance: share of the reducible loss that an adequate model may lose.
        level: coverage of the intervals.

    Raises:
        ValueError: columns that are missing or hold anything but numbers; fewer than three n or sizes; what
            [analyse][regimes.hestness.analyse] refuses.
    """
    import pandas as pd

    table = source if isinstance(source, pd.DataFrame) else files.read_file(source, argument="table")
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"`table` must be a .csv or .parquet file of losses, got {source}.")
    name = "table" if isinstance(source, pd.DataFrame) else Path(source).name.partition(".")[0]
    columns = {" ".join(re.split(r"[\s_-]+", str(column).strip().lower())): column for column in table.columns}
    for wanted, names in _HEADINGS.items():
        here = [columns[name] for name in names if name in columns]
        if here:
            columns[wanted] = here[0]
    missing = [wanted for wanted in _HEADINGS if wanted not in columns]
    if missing:
        raise ValueError(
            f"`table` must have the columns n, size and loss; it has no {' and no '.join(missing)} "
            f"but {', '.join(map(str, table.columns))}. Rename a column to "
            + "; to ".join(f"{wanted} (or {', '.join(_HEADINGS[wanted][1:6])})" for wanted in missing)
            + "."
        )
    values = {}
    for wanted in ("n", "size", "loss"):
        try:
            column = pd.to_numeric(table[columns[wanted]]).to_numpy(dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"`table`: the column {wanted} must hold numbers only.") from None
        values[wanted] = _checks.finite_array(f"table: {wanted}", column, ndim=1)
    n, at_n = np.unique(values["n"], return_inverse=True)
    sizes, at_size = np.unique(values["size"], return_inverse=True)
    if len(n) < 3 or len(sizes) == 2:
        raise ValueError(
            f"`table` must hold at least three n, and three sizes or one, got {len(n)} n and {len(sizes)} sizes."
        )
    given = columns.get("seed", columns.get("repeat"))
    if given is None:
        frame = pd.DataFrame({"n": at_n, "size": at_size})
        repeat = frame.groupby(["n", "size"]).cumcount().to_numpy()
    else:
        repeat = pd.factorize(table[given], sort=True)[0]
        if (repeat < 0).any():
            raise ValueError(f"`table`: the column {given} has missing values.")
    losses = np.full((int(repeat.max()) + 1, len(n), len(sizes)), math.nan)
    for row in zip(repeat, at_n, at_size, values["loss"], strict=True):
        if not math.isnan(losses[row[:3]]):
            raise ValueError(
                f"`table` holds two losses for n = {n[row[1]]:g}, size = {sizes[row[2]]:g} of the same {given}."
            )
        losses[row[:3]] = row[3]
    found = hestness.analyse(
        n, sizes, losses, floor=floor, tolerance=tolerance, level=level, source=f"{name}, {len(losses)} repeats"
    )
    growth = Growth(name, "losses", found, None, floor is not None, (math.nan, math.nan))
    settings = {"table": name, "floor": floor, "tolerance": tolerance, "level": level}
    return ModelGrowth((growth,), (), settings)


_HEADINGS = {
    "n": curves.SCALES["n"],
    "size": (*curves.SCALES["size"], *curves.SCALES["width"], *curves.SCALES["k"]),
    "loss": curves.LOSSES,
}
"""Headings that are taken for each column, the first of them that there is."""


def _several(name: str, value: Any, allowed: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(value, str | Sequence):
        raise ValueError(f"`{name}` must be one or several of {', '.join(allowed)}; got {value!r}.")
    given = [value] if isinstance(value, str) else list(value)
    if not given:
        raise ValueError(f"`{name}` is empty; give one or several of {', '.join(allowed)}.")
    return tuple(dict.fromkeys(_checks.choice(name, one, allowed) for one in given))


def _power_law() -> Spectrum:
    rank = np.arange(1.0, _MODES + 1)
    return Spectrum(rank ** -(1 + ALPHA), rank ** -(1 + BETA), np.ones(_MODES))


def _task(cell: Cell, seed: int) -> tasks.Task:
    """Samples and targets; with enough of them left for validation."""
    count = 2 * cell.samples + _validation(cell)
    if cell.domain == "digits":
        return tasks.digits()
    if cell.domain == "photographs":
        pool = tasks.image_patches(count=min(count, _PATCHES), seed=seed)
        return dataclasses.replace(pool, y=tasks.one_hot(frozen.which_photograph(pool)))
    if cell.domain == "characters":
        # Whole sonnets are set aside, and what the last of them has too many is lost.
        return tasks.characters(count + 200, context=_CONTEXT, seed=seed)
    x = teachers.inputs(count, 4, np.random.default_rng([seed, 1]))
    y = teachers.draw(4, [seed, 0]).labels(x)
    return tasks.Task("teacher-student", x, y, description="a relu network in four dimensions")


def _validation(cell: Cell) -> int:
    """Samples that are set aside."""
    return 1797 - _DIGITS if cell.domain == "digits" else max(cell.samples // 2, 1000)


def _model(domain: str, kind: str = "nngp") -> kernels.Model:
    return kernels.fully_connected(1, kind=kind, bias_std=0.3 if domain == "teacher-student" else 0.0)


def _learner(cell: Cell, seed: int, spectra: dict[str, Spectrum]) -> tuple[learners.Learner, Spectrum | None]:
    """What is trained, and the spectrum that predicts it, estimated once for each domain."""
    if cell.domain == "theory":
        spectrum = _power_law()
        return learners.gaussian(spectrum, cell.samples, noise=cell.noise), spectrum
    task = _task(cell, seed)
    held = _validation(cell)
    common: dict[str, Any] = {"validation": held, "noise": cell.noise, "seed": seed}
    if cell.learner.startswith("network"):
        made = learners.network(
            task,
            _model(cell.domain, "ntk"),
            classes=cell.learner == "network-classes",
            steps=cell.steps,
            optimiser="adam",
            batch=64,
            schedule="cosine",
            record=16,
            **common,
        )
        return made, None
    model = _model(cell.domain)
    if cell.learner == "kernel":
        made = learners.kernel(task, model, **common)
    else:
        made = learners.random_features(task, model, most=cell.sizes[-1], **common)
    if cell.domain not in spectra:
        train, _ = task.split(held, seed)
        pool = train[:_POOL]
        assert task.y is not None
        y = tasks.with_noise(task.y, cell.noise, seed)
        spectra[cell.domain] = estimate.spectrum(model(task.x[pool]), y[pool], draws=_DRAWS, seed=seed)
    return made, spectra[cell.domain]


def _grown(
    cell: Cell,
    floor: float | None,
    tolerance: float | None,
    seed: int,
    spectra: dict[str, Spectrum],
    folder: Path | None,
    report: Report,
) -> Growth:
    report("data and spectrum", 0.0)
    made, spectrum = _learner(cell, seed, spectra)
    if floor is None and cell.domain in ("theory", "teacher-student", "digits"):
        # A network that returns a cross-entropy has labels as sure as those of squared errors.
        floor = cell.noise
    network = cell.learner.startswith("network")
    share = tolerance or (0.02 if floor is None else 0.2)
    found = hestness.procedure(
        made.train,
        made.samples,
        cell.sizes,
        smallest=cell.smallest,
        largest=cell.samples,
        repeats=cell.repeats,
        search="bracket" if network else "grid",
        floor=floor,
        tolerance=share,
        level=LEVEL,
        paired=not network,
        limit=made.limit,
        # A checkpoint is told apart by this: repr has all digits of the noise.
        description=f"{made.description}, label noise {cell.noise!r}" + (f", {cell.steps} steps" if network else ""),
        seed=seed,
        checkpoint=folder,
        progress=report,
    )
    predicted, asymptotic = None, (math.nan, math.nan)
    if spectrum is not None:
        try:
            predicted = learners.predicted(
                spectrum,
                found.n,
                None if cell.learner == "kernel" else found.sizes,
                noise=cell.noise if cell.domain == "theory" else 0.0,  # elsewhere it is in the tail of the spectrum
                tolerance=share,
                floor=floor,
                level=LEVEL,
            )
        except ValueError:  # an estimated spectrum whose loss falls below the floor
            predicted = None
    if cell.domain == "theory" and cell.noise:
        asymptotic = (-BETA / (1 + BETA), 1 / (1 + BETA))
    return Growth(cell.domain, cell.learner, found, predicted, floor is not None, asymptotic)


def _claims(growths: Sequence[Growth]) -> tuple[Claim, ...]:
    claims = []
    for one in growths:
        if one.predicted is None:
            continue
        for name in ("beta_g", "beta_p"):
            seen, said = getattr(one.measured, name), getattr(one.predicted, name)
            if name == "beta_p" and len(one.measured.sizes) == 1:
                continue
            bound = name == "beta_p" and (one.measured.at_edge.any() or one.predicted.at_edge.any())
            holds = None if bound else _agree(seen, said)  # another window otherwise
            claims.append(Claim(f"{name}, {one.name}", f"{said}, from the spectrum", str(seen), holds))
    for one in growths:
        grows = one.measured.beta_p
        if len(one.measured.sizes) > 1 and math.isfinite(grows.low):
            below = True if grows.high < 1 else False if grows.low > 1 else None
            below = None if one.measured.at_edge.any() else below
            claims.append(Claim(f"the model grows less than the data, {one.name}", "beta_p < 1", str(grows), below))
    return tuple(claims)


def _agree(one: Estimate, other: Estimate) -> bool | None:
    """Whether the intervals share a point; None where one of them is not known."""
    known = np.isfinite([one.value, other.value, one.low, one.high]).all()
    return one.overlaps(other) if known else None
