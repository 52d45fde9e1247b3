"""Changes of a task and what they do to its exponent: fewer classes, noisy labels, noisy inputs, coarser images.

Every change is put to three: the kernel prediction (alpha and beta of the changed task and the slope that its spectrum
predicts), kernel regression as measured, and trained networks. The kernel is the NTK of the network's architecture. All
three are trained on labels with their noise and tested on clean ones, so that noise of the labels is no part of the
loss. The ridge is the one that the theory calls best, as the networks are stopped where they are best.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from regimes import (
    _checks,
    display,
    equivalents,
    estimate,
    frozen,
    kernels,
    networks,
    optima,
    resolvents,
    ridge,
    tasks,
    theory,
    training,
)
from regimes.results import Check, Estimate, LearningCurve, log_slope
from regimes.spectrum import Spectrum

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

KINDS = ("none", "superclasses", "label noise", "input noise", "coarse graining")
DATA = ("digits", "photographs")
TESTS = 400
"""Samples held out in each trial."""
_RATE = 0.0003
"""Of Adam, times the square root of the width."""
REFERENCE = 1000
"""Samples from which a spectrum is read at most."""


class Change(NamedTuple):
    """One change of a task."""

    kind: str
    """One of `KINDS`."""
    strength: float = 0.0
    """superclasses: how many classes are left. label noise: its variance as a share of the labels' own. input noise:
    the standard deviation added to pixels, whose own is 1. coarse graining: pixels averaged along each side."""

    def __str__(self) -> str:
        return {
            "none": "as it is",
            "superclasses": f"{self.strength:g} classes",
            "label noise": f"label noise {self.strength:g}",
            "input noise": f"input noise {self.strength:g}",
            "coarse graining": f"pixels of {self.strength:g} x {self.strength:g}",
        }[self.kind]


class Changed(NamedTuple):
    """A task after a change."""

    x: Float64[Array, "samples height width one"]
    """Inputs, each with mean 0 and standard deviation 1."""
    y: Float64[Array, "samples outputs"]
    """Clean labels."""
    noisy: Float64[Array, "samples outputs"]
    """Labels to be trained on."""
    noise: float
    """Variance of the noise in them, summed over outputs."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Row:
    """What one change does."""

    change: Change
    """The change."""
    alpha: Estimate
    """Of the kernel on the changed inputs."""
    beta: Estimate
    """Of the changed labels in it."""
    predicted: Estimate
    """Slope of the predicted reducible loss at the best ridge over the sizes that are measured."""
    kernel: Estimate
    """Slope of the measured loss of kernel regression with the same ridges."""
    network: Estimate
    """Slope of the measured loss of early-stopped networks."""
    predicted_curve: LearningCurve
    """Reducible loss of the kernel from the spectrum."""
    kernel_curve: LearningCurve
    """The same measured."""
    network_curve: LearningCurve
    """Loss of the networks, on clean labels."""
    floor: tuple[float, float] = (math.nan, math.nan)
    """What label noise adds to the loss without ridge, at the largest n: predicted and measured."""
    ridgeless: tuple[float, float] = (math.nan, math.nan)
    """Slopes of the measured loss without ridge on clean labels: of this task, and less what its noise adds."""


@display.shown
@dataclasses.dataclass(frozen=True)
class TaskChanges:
    """What [run][regimes.task_changes.run] found."""

    data: str
    """Name of the data."""
    description: str
    """Data, kernel and network in words."""
    rows: tuple[Row, ...]
    """The task as it is, then a row for each change."""
    checks: tuple[Check, ...]
    """A verdict on each change, of the kernel and of the networks."""
    settings: dict[str, Any]
    """Every size and seed used."""
    name: str = "task_changes"
    """Stem of the files that it is written to."""

    def __str__(self) -> str:
        lines = [f"{self.data}: {self.description}"]
        for check in self.checks:
            mark = {True: "holds", False: "does not hold", None: "undecided"}[check.holds]
            lines.append(f"  {check.what}: expected {check.expected}; found {check.found}: {mark}")
        for row in self.rows:
            lines.append(
                f"  {row.change!s:18s} alpha {row.alpha}, beta {row.beta}; exponent predicted {row.predicted}, kernel "
                f"{row.kernel}, network {row.network}"
            )
        return "\n".join(lines)

    def tables(self) -> dict[str, "pd.DataFrame"]:
        """Exponents (a row for each change), losses and checks."""
        import pandas as pd

        exponents, losses = [], []
        for row in self.rows:
            entry: dict[str, Any] = {"change": row.change.kind, "strength": row.change.strength}
            for name in ("alpha", "beta", "predicted", "kernel", "network"):
                one = getattr(row, name)
                entry |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
            exponents.append(entry)
            for who, curve in (
                ("predicted", row.predicted_curve),
                ("kernel", row.kernel_curve),
                ("network", row.network_curve),
            ):
                stderr = np.full(len(curve), np.nan) if curve.stderr is None else curve.stderr
                for n, loss, error in zip(curve.at, curve.loss, stderr, strict=True):
                    losses.append(
                        {"change": row.change.kind, "strength": row.change.strength, "of": who, "n": n}
                        | {"loss": loss, "stderr": error}
                    )
        checks = [dataclasses.asdict(check) for check in self.checks]
        return {
            name: pd.DataFrame(rows)
            for name, rows in {"exponents": exponents, "losses": losses, "checks": checks}.items()
        }

    def record(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {
            "data": self.data,
            "description": self.description,
            "checks": [dataclasses.asdict(check) for check in self.checks],
            "sizes": self.settings,
        }


def run(
    data: str = "digits",
    *,
    changes: Sequence[Any] | None = None,
    n: Any = None,
    width: int = 256,
    depth: int = 2,
    steps: int = 600,
    seeds: int = 4,
    trials: int = 8,
    quick: bool = False,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Report | None = None,
) -> TaskChanges:
    """Change a task in several ways and measure what each does to the exponent of the loss in n.

    Args:
        data: digits, or photographs, 8 x 8 patches of two of them whose label is which (there are no classes to merge).
        changes: which, each a `Change` or a pair of its kind and strength; default all that the data allow, two
            strengths each.
        n: training samples, increasing; default powers of two from 32 to 512.
        width: units of the network in each hidden layer.
        depth: its hidden layers, and the kernel's.
        steps: steps of Adam, in batches of 32, stopped early.
        seeds: networks of each size, each with its own samples.
        trials: repetitions of kernel regression, each with its own samples.
        quick: one strength of each change, fewer sizes and seeds.
        seed: seed of everything random.
        checkpoint: folder for the training of the networks.
        progress: called with (what is being done, share done).

    Returns:
        TaskChanges; intervals at 95 %.

    Raises:
        ValueError: an unknown word, a change that the data do not allow, sizes beyond the data or fewer than three.
    """
    _checks.choice("data", data, DATA)
    seed = _checks.count("seed", seed, low=0, high=2**20)
    seeds, trials = _checks.count("seeds", seeds, low=2), _checks.count("trials", trials, low=2)
    x, labels = _pool(data, seed)
    changes = _allowed(data, labels, changes, quick)
    if quick:
        width, steps, seeds = min(width, 64), min(steps, 200), min(seeds, 3)
    sizes = np.array([32, 96, 288] if quick else [32, 64, 128, 256, 512]) if n is None else n
    at = _checks.sizes("n", sizes, low=8, high=len(x) - TESTS)
    if len(at) < 3:
        raise ValueError(f"`n` must hold at least 3 sizes for an exponent, got {len(at)}.")
    model = kernels.fully_connected(depth)
    say = progress or (lambda what, share: None)
    rows: list[Row] = []
    grams: dict[Any, Array] = {}
    for index, change in enumerate(changes):
        say(str(change), index / len(changes))
        task = changed(x, labels, change, seed)
        key = change if change.kind in ("input noise", "coarse graining") else None
        if key not in grams:
            grams = {name: gram for name, gram in grams.items() if name is None} | {key: model(task.x)}
        network = networks.network(model, width, outputs=task.y.shape[1], centred=True)
        folder = None if checkpoint is None else Path(checkpoint) / f"{index:02d}"
        learn = functools.partial(_networks, task, network, at, steps, seeds, seed, folder)
        rows.append(_row(change, task, grams[key], at, trials, seed, learn))
    say("done", 1.0)
    network = networks.network(model, width, outputs=int(labels.max()) + 1, centred=True)
    described = f"{len(x)} images; {network}; {model}; n from {at[0]} to {at[-1]}"
    settings = {"data": data, "n": at.tolist(), "width": width, "depth": depth, "steps": steps, "seeds": seeds}
    settings |= {"trials": trials, "quick": quick, "seed": seed, "changes": [list(change) for change in changes]}
    return TaskChanges(data, described, tuple(rows), _verdicts(data, rows), settings)


def changed(x: Any, labels: Any, change: Change, seed: int = 0) -> Changed:
    """A classification task of images after one change.

    Superclasses merge neighbouring classes, c -> floor(c left/classes). Noise is Gaussian. Coarse graining averages
    squares of pixels. Inputs are brought back to mean 0 and standard deviation 1, image by image.

    Args:
        x: (samples, height, width, 1) images.
        labels: (samples,) classes 0, 1, ...
        change: what to do.
        seed: seed of the noise: one seed gives the same draws at every strength.

    Raises:
        ValueError: an unknown kind, more classes than there are or fewer than two, a negative noise, squares that do
            not divide the image or leave one pixel.
    """
    _checks.choice("change", change.kind, KINDS)
    x = _checks.finite_array("x", x, ndim=4)
    labels = np.asarray(labels)
    classes = int(labels.max()) + 1
    strength = _checks.number("strength", change.strength, low=0)
    rng = np.random.default_rng([seed, KINDS.index(change.kind)])
    if change.kind == "superclasses":
        left = int(strength)
        if left != strength or not 2 <= left <= classes:
            raise ValueError(
                f"`strength` of superclasses must be a whole number from 2 to {classes}, got {strength:g}."
            )
        labels = labels * left // classes
    elif change.kind == "input noise":
        x = _normalised(x + strength * rng.standard_normal(x.shape))
    elif change.kind == "coarse graining":
        side, height, width = int(strength), x.shape[1], x.shape[2]
        if side != strength or side < 1 or height % side or width % side or min(height, width) <= side:
            raise ValueError(
                f"`strength` of coarse graining must divide the {height} x {width} pixels and leave more than one, "
                f"got {strength:g}."
            )
        x = _normalised(x.reshape(len(x), height // side, side, width // side, side, 1).mean(axis=(2, 4)))
    y = tasks.one_hot(labels)
    noise, noisy = 0.0, y
    if change.kind == "label noise":
        noise = strength * float(np.mean(np.sum(y**2, axis=1)))
        noisy = y + rng.standard_normal(y.shape) * math.sqrt(noise / y.shape[1])
    return Changed(x, y, noisy, noise)


def _normalised(x: Array) -> Array:
    x = x - x.mean(axis=(1, 2), keepdims=True)
    return x / np.maximum(x.std(axis=(1, 2), keepdims=True), 1e-6)


def _pool(data: str, seed: int) -> tuple[Array, Int64[Array, " samples"]]:
    """Images and classes."""
    if data == "digits":
        task = tasks.digits()
        assert task.y is not None
        return task.x, task.y.argmax(axis=1)
    task = tasks.image_patches(8, seed=seed)
    return task.x, frozen.which_photograph(task)


def _allowed(data: str, labels: Array, changes: Sequence[Any] | None, quick: bool) -> tuple[Change, ...]:
    """The changes, the task as it is first."""
    none = Change("none")
    if changes is None:
        every = [Change("superclasses", 5), Change("superclasses", 2)] if data == "digits" else []
        every += [Change("label noise", 0.1), Change("label noise", 0.5), Change("input noise", 0.5)]
        every += [Change("input noise", 1.5), Change("coarse graining", 2), Change("coarse graining", 4)]
        return (none, *(every[1::2] if quick else every))
    for change in changes:
        if isinstance(change, str) or len(change) != 2 or not isinstance(change[0], str):
            raise ValueError(f"`changes` must be pairs of a kind and a strength, got {change!r}.")
    given = tuple(Change(change[0], _checks.number("strength", change[1], low=0)) for change in changes)
    probe = np.zeros((len(labels), 8, 8, 1))
    for change in given:
        changed(probe, labels, change)
    return (none, *(change for change in given if change.kind != "none"))


def _row(change: Change, task: Changed, gram: Array, at: Array, trials: int, seed: int, learn: Any) -> Row:
    spectrum = _population(gram, task, seed)
    best = optima.optimal_ridge(spectrum, at, math.inf, task.noise)
    ridges = np.asarray(best.at)

    def predict(of: Spectrum) -> Array:
        return np.asarray(equivalents.loss(of, at, math.inf, ridges, task.noise, excess=True))

    window = (float(at[0]), float(min(at[-1], 0.99 * spectrum.resolved)))
    read = theory.exponents(spectrum, window)
    curve = LearningCurve("n", at.astype(np.float64), predict(spectrum), None, None, {"k": math.inf}, "predicted")
    predicted = Estimate.from_draws(
        -log_slope(at, curve.loss),
        np.array([-log_slope(at, predict(one)) for one in spectrum.replicates]),
        window=(float(at[0]), float(at[-1])),
        method="log-slope of the predicted curve",
    )
    rows, bare, noisy = [], [], []
    for trial in range(trials):
        order = np.random.default_rng([seed, 1, trial]).permutation(len(gram))
        test, train = order[:TESTS], order[TESTS : TESTS + at[-1]]
        cross, inside, clean = gram[np.ix_(train, test)], gram[np.ix_(train, train)], task.y[test]
        rows.append(
            [
                ridge.loss_in_n(inside[:n, :n], cross[:n], task.noisy[train[:n]], clean, ridge=float(delta), at=[n])[0]
                for n, delta in zip(at, ridges, strict=True)
            ]
        )
        if task.noise > 0:
            bare.append(ridge.loss_in_n(inside, cross, task.y[train], clean, at=at))
            noisy.append(ridge.loss_in_n(inside, cross, task.noisy[train], clean, at=at))
    measured = LearningCurve.from_trials("n", at, np.array(rows), {"k": math.inf}, "kernel regression, best ridge")
    floor = ridgeless = (math.nan, math.nan)
    if task.noise > 0:
        # Without ridge the loss is linear in the variance of the noise, which adds (noise n/(n - df2) - noise) to it.
        added = np.mean(noisy, axis=0) - np.mean(bare, axis=0)
        nothing = dataclasses.replace(spectrum, power=0 * spectrum.power, tail_power=0.0, replicates=())
        expected = np.asarray(equivalents.loss(nothing, at, math.inf, 0.0, task.noise, excess=True))
        floor = (float(expected[-1]), float(added[-1]))
        ridgeless = (-log_slope(at, np.mean(noisy, axis=0)), -log_slope(at, np.mean(bare, axis=0)))
    trained = learn()
    exponents = measured.exponent(), trained.exponent()
    return Row(change, read.alpha, read.beta, predicted, *exponents, curve, measured, trained, floor, ridgeless)


def _population(gram: Array, task: Changed, seed: int) -> Spectrum:
    """Spectrum and power of the reducible part, the noise of the labels known."""
    chosen = np.random.default_rng([seed, 2]).permutation(len(gram))[:REFERENCE]
    read = resolvents.resolvent(gram[np.ix_(chosen, chosen)], task.noisy[chosen], uncertainty=True, seed=seed)

    def inverted(one: resolvents.Resolvent) -> Spectrum:
        # A sample may leave less power than there is noise.
        noise = min(task.noise, 0.9 * float(one.unlearnt.min()))
        plain = dataclasses.replace(one, covariance=None, bias=None)
        return dataclasses.replace(estimate.inverted(plain, noise=noise), resolved=float(read.df1[-1]))

    replicates = tuple(inverted(one) for one in read.draws(16, seed))
    return dataclasses.replace(inverted(read.corrected()), replicates=replicates)


def _networks(
    task: Changed, network: Any, at: Array, steps: int, seeds: int, seed: int, folder: Path | None
) -> LearningCurve:
    """Losses of early-stopped networks, a row for each seed, which has its own samples."""
    rows = np.empty((seeds, len(at)))
    for row in range(seeds):
        order = np.random.default_rng([seed, 3, row]).permutation(len(task.x))
        test, train = order[:TESTS], order[TESTS : TESTS + at[-1]]
        for column, n in enumerate(at):
            found = training.train(
                network,
                task.x[train[:n]],
                task.noisy[train[:n]],
                test=(task.x[test], task.y[test]),
                optimiser="adam",
                batch=min(32, int(n)),
                rate=_RATE * math.sqrt(network.width),
                schedule="cosine",
                steps=_checks.count("steps", steps),
                early_stopping=True,
                seeds=[1000 * seed + row],
                keep=False,
                checkpoint=None if folder is None else folder / f"{row}-{n}",
            )
            rows[row, column] = found.losses()[0]
    return LearningCurve.from_trials("n", at, rows, {"k": float(network.width)}, "networks, stopped early")


def _apart(one: Estimate, other: Estimate) -> bool:
    """Whether two exponents differ by more than their half-widths added in quadrature."""
    return abs(one.value - other.value) > math.hypot(one.high - one.low, other.high - other.low) / 2


def _verdicts(data: str, rows: Sequence[Row]) -> tuple[Check, ...]:
    """What each change, at its strongest, does to the exponents; and whether the prediction says so."""
    before, checks = rows[0], []
    strongest = {row.change.kind: row for row in rows[1:]}
    if "superclasses" in strongest:
        strongest["superclasses"] = min(
            (row for row in rows if row.change.kind == "superclasses"), key=lambda row: row.change.strength
        )
    for kind, row in strongest.items():
        for who in ("kernel", "network"):
            was, now = getattr(before, who), getattr(row, who)
            apart, lower = _apart(was, now), now.value < was.value
            beta = row.beta.value
            expected, holds = {
                "superclasses": ("as before", not apart),
                # At the best ridge noise slows the reducible loss down from n^-beta, at last to n^-(beta/(1+beta)).
                "label noise": (f"not above, down to beta/(1+beta) = {beta / (1 + beta):.3f}", lower or not apart),
                "input noise": ("lower", apart and lower),
                "coarse graining": ("lower", apart and lower),
            }[kind]
            found = f"{was} before, {now} after"
            checks.append(Check(data, 1, f"{row.change}, exponent of the {who}", expected, found, holds))
        if kind == "label noise":
            found = f"{row.floor[1]:.3f} measured at n = {row.kernel_curve.at[-1]:g}"
            near = abs(row.floor[1] / row.floor[0] - 1) < 0.25
            checks.append(
                Check(data, 1, "what label noise adds without ridge", f"{row.floor[0]:.3f} (predicted)", found, near)
            )
    for row in rows:
        agrees = not _apart(row.predicted, row.kernel)
        checks.append(
            Check(data, 2, f"{row.change}: kernel prediction", str(row.predicted), f"{row.kernel} measured", agrees)
        )
    return tuple(checks)
