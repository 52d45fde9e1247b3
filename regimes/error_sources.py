"""Rosenfeld's sources of error, in theory over a surface and from measurements alone.

The loss is noise + realizability + uncertainty + deficiency; see [sources][regimes.sources] for what each is in theory.
A measurement knows neither the spectrum nor the target. For k features and n samples of a larger pool it gives

    noise          the residual of a fit on all columns of the pool, extrapolated, or a value that is known
    realizability  the residual of a fit of the k features on the whole pool, extrapolated, less the noise
    uncertainty    the test loss of n samples at the best ridge, less these two
    deficiency     the test loss of the learner as it is, less that

Extrapolated means by the variance-limited form L(P, k) = L(inf, k)/(1 - k/P), sample by sample: r^2/(1 - h) with h the
leverage. The best ridge of a trial is the one that is best for the other trials. The sum of these parts is the loss by
definition, whatever they are: what tests them is the theory, part by part. The loss is measured once more on trials of
its own, which says how well it repeats and nothing about the parts.

The third part trains networks on a network as teacher, without noise. A student as wide as the teacher can be it: what
it errs is uncertainty, the loss of the best student that n samples gave, and deficiency, the rest.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from regimes import _checks, budgets, display, equivalents, networks, runs, sources, spectra, teachers
from regimes.budgets import MODES, PARTS, Measurement, mean, said
from regimes.results import Estimate
from regimes.sources import Budget
from regimes.teachers import Claim

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""
LEARNERS = ("ridge", "stopped")
"""A fixed ridge, trained to the end; and no ridge, stopped after a fixed time."""


class Sizes(NamedTuple):
    """How large the experiment is."""

    n: tuple[int, ...]
    """Training samples of the regressions."""
    k: tuple[int, ...]
    """Random features."""
    trials: int
    """Repetitions, and as many again for the loss that is measured anew."""
    noise: float
    """Variance of the label noise that is added."""
    ridge: float
    """Ridge of the first learner."""
    time: float
    """Training time of the second."""
    digits: bool
    """Whether the digits are measured too."""
    widths: tuple[int, ...]
    """Widths of the students: half of the teacher's, the teacher's and more."""
    network_n: tuple[int, ...]
    """Their training samples."""
    teachers: int
    """Teachers, each with samples of its own."""
    steps: int
    """Steps of training."""
    many: int
    """Samples that stand for infinitely many."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Point:
    """One learner at one (n, k): measured and predicted."""

    task: str
    """gaussian or digits."""
    n: int
    """Training samples."""
    k: int
    """Random features."""
    learner: str
    """ridge or stopped."""
    measured: Measurement
    """The parts."""
    anew: Estimate
    """The loss of the learner in other trials."""
    predicted: Budget
    """The same from the spectrum."""

    def holds(self, part: str) -> bool:
        """Whether the interval of a part contains the predicted one."""
        one, expected = self.measured.parts[part], float(getattr(self.predicted, part))
        return bool(one.low - 1e-12 <= expected <= one.high + 1e-12)

    def off(self, part: str) -> float:
        """Difference of the measured and the predicted part, as a share of the predicted loss."""
        return (self.measured.parts[part].value - float(getattr(self.predicted, part))) / float(self.predicted.loss)

    @property
    def repeats(self) -> bool:
        """Whether the loss and that of other trials differ by no more than both intervals together.

        The parts add up to the first one by definition, so that this says nothing about them.
        """
        one, other = self.measured.loss, self.anew
        return abs(one.value - other.value) <= math.hypot(one.high - one.low, other.high - other.low) / 2


@display.shown
@dataclasses.dataclass(frozen=True)
class Student:
    """Students of one width on n samples of noiseless teachers; losses as a share of the teachers' variance."""

    width: int
    """Units in each hidden layer."""
    n: int
    """Training samples."""
    loss: Estimate
    """Test loss after the last step."""
    train: Estimate
    """Training loss at the best step."""
    many: Estimate
    """Test loss of the same width after training on many samples: an upper bound of realizability."""
    ratio: Estimate
    """Test loss over that of a student as wide as the teacher: geometric mean over teachers."""
    parts: dict[str, Estimate] | None
    """The budget; None for students narrower than the teacher, whose realizability is not known."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Surface:
    """The budget in theory over (n, k)."""

    title: str
    """What the task is."""
    n: Float64[Array, " rows"]
    """Samples."""
    k: Float64[Array, " columns"]
    """Features."""
    budget: Budget
    """Parts of shape (rows, columns)."""
    gap: float
    """Largest relative difference of the sum and the loss by another formula."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Result:
    """What [run][regimes.error_sources.run] found."""

    surfaces: tuple[Surface, ...]
    """In theory: noisy, and noiseless and realizable."""
    points: tuple[Point, ...]
    """Measured on random features."""
    students: tuple[Student, ...]
    """Measured on networks."""
    teacher_width: int
    """Width of the teachers of these networks."""
    noise: Estimate | None
    """Noise of the digits as `estimate.noise` reads it, of which `settings` says how much was added; None without."""
    checks: tuple[Claim, ...]
    """What was expected, what was found."""
    settings: dict[str, Any]
    """Every size and seed."""
    name: str = "error_sources"
    """Stem of its files."""

    def __str__(self) -> str:
        good, judged = sum(one.holds is True for one in self.checks), sum(one.holds is not None for one in self.checks)
        inside = [one.holds(part) for one in self.points if one.task == "gaussian" for part in PARTS]
        wide = [one for one in self.students if one.parts]
        largest = [_largest(one) for one in wide]
        lines = [
            f"Sources of error: {good} of {judged} claims hold; {sum(inside)} of {len(inside)} parts measured on "
            f"Gaussian features have the theory's value in their 95 % interval; of {len(wide)} noiseless networks at "
            f"least as wide as their teacher {largest.count('deficiency')} err mostly by deficiency, "
            f"{largest.count('uncertainty')} by uncertainty, none by realizability."
        ]
        for one in self.points:
            shares = ", ".join(f"{p} {said(one.measured.parts[p])} ({getattr(one.predicted, p):.3g})" for p in PARTS)
            lines.append(f"  {one.task}, n = {one.n}, k = {one.k}, {one.learner}: {shares}")
        for student in self.students:
            budget = ", ".join(f"{p} {said(e)}" for p, e in (student.parts or {}).items() if e.value)
            lines.append(
                f"  width {student.width}, n = {student.n}: loss {said(student.loss)}; {budget or 'not realizable'}"
            )
        words = {True: "holds", False: "does not hold", None: "undecided"}
        lines += [
            f"  {one.what}: expected {one.expected}, found {one.found}: {words[one.holds]}" for one in self.checks
        ]
        return "\n".join(lines)

    def tables(self) -> "dict[str, pd.DataFrame]":
        """Data frames: surfaces, points and students, a row per part; checks."""
        import pandas as pd

        rows: dict[str, list[Any]] = {"surfaces": [], "points": [], "students": []}
        for surface in self.surfaces:
            for i, j in np.ndindex(surface.budget.loss.shape):
                parts = {part: getattr(surface.budget, part)[i, j] for part in PARTS}
                rows["surfaces"].append({"surface": surface.title, "n": surface.n[i], "k": surface.k[j]} | parts)
        for one in self.points:
            where = {"task": one.task, "n": one.n, "k": one.k, "learner": one.learner}
            for part in PARTS:
                rows["points"].append(
                    where | _row(part, one.measured.parts[part]) | {"predicted": getattr(one.predicted, part)}
                )
            for name, found in (("sum", one.measured.loss), ("loss measured anew", one.anew)):
                rows["points"].append(where | _row(name, found) | {"predicted": one.predicted.loss})
        for each in self.students:
            named = {"loss": each.loss, "train": each.train, "many samples": each.many, "ratio": each.ratio}
            named |= each.parts or {}
            rows["students"] += [{"width": each.width, "n": each.n} | _row(name, e) for name, e in named.items()]
        rows["checks"] = [one._asdict() for one in self.checks]
        return {name: pd.DataFrame(each) for name, each in rows.items()}

    def record(self) -> dict[str, Any]:
        """All that JSON can hold."""
        return {
            "run": self.settings,
            "noise_of_the_digits": None if self.noise is None else dataclasses.asdict(self.noise),
            "gaps": {one.title: one.gap for one in self.surfaces},
            "checks": [one._asdict() for one in self.checks],
        }


def plan(
    *,
    n: Any = None,
    k: Any = None,
    trials: int | None = None,
    noise: float = 0.1,
    ridge: float = 0.01,
    time: float = 100.0,
    digits: bool = True,
    teacher_width: int = 8,
    network_n: Any = None,
    teachers: int | None = None,
    steps: int | None = None,
    quick: bool = False,
) -> Sizes:
    """Sizes of the experiment, those that are not given chosen; see [run][regimes.error_sources.run].

    Raises:
        ValueError: no size, none that the digits can be measured at, fewer than three trials or teachers, numbers out
            of range, `digits` that is neither True nor False.
    """

    def own(value: Any, small: Any, large: Any) -> Any:
        return (small if quick else large) if value is None else value

    def several(name: str, value: Any, low: int, high: int) -> tuple[int, ...]:
        return tuple(int(one) for one in _checks.sizes(name, value, low=low, high=high))

    width = _checks.count("teacher_width", teacher_width, low=2, high=256)
    at = several("network_n", own(network_n, (32, 256), (32, 128, 512, 2048)), 4, 8192)
    samples = several("n", own(n, (64, 256), (64, 256, 1024)), 4, 2048)
    features = several("k", own(k, (32, 512), (32, 128, 512)), 2, 1024)
    if not isinstance(digits, bool | np.bool_):
        raise ValueError(f"`digits` must be True or False, got {digits!r}.")
    if digits:
        budgets.of_digits("n", samples)
        budgets.of_digits("k", features)
    return Sizes(
        samples,
        features,
        _checks.count("trials", own(trials, 6, 16), low=3),
        _checks.number("noise", noise, low=0),
        _checks.number("ridge", ridge, low=0),
        _checks.number("time", time, low=0, strict=True),
        bool(digits),
        (width // 2, width, 2 * width, 8 * width),
        at,
        _checks.count("teachers", own(teachers, 3, 8), low=3),
        _checks.count("steps", own(steps, 1000, 4000), low=10),
        max(4096 if quick else 16384, 2 * at[-1]),
    )


def run(
    *,
    n: Any = None,
    k: Any = None,
    trials: int | None = None,
    noise: float = 0.1,
    ridge: float = 0.01,
    time: float = 100.0,
    digits: bool = True,
    teacher_width: int = 8,
    network_n: Any = None,
    teachers: int | None = None,
    steps: int | None = None,
    quick: bool = False,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Report | None = None,
) -> Result:
    """Split losses into the four sources of error: in theory, on random features, and on networks.

    Two regressions are measured. "gaussian": 300 Gaussian modes, eigenvalues i^-1.5, target power i^-2, k Gaussian
    projections; the noise is measured, the theory known. "digits": k random features of a relu network with one hidden
    layer on 8 x 8 digits, ten real classes; the noise that was added counts as known and what the labels have of their
    own goes to realizability and uncertainty; the theory is that of a spectrum estimated on other images.

    The networks have 2 hidden layers, inputs are uniform in [-1, 1]^3, and teachers are as drawn but for their mean and
    scale. Students train by adam at rates from 0.01 to 0 on batches of 64, two of each width per teacher.

    Args:
        n: samples of the regressions; default 64, 256, 1,024 (on digits those below 512, of which there must be one).
        k: random features; default 32, 128, 512 (on digits likewise).
        trials: repetitions; default 16.
        noise: variance of the label noise added to both regressions.
        ridge: of the learner that has one, added to the diagonal of the Gram matrix.
        time: training time of the learner that stops.
        digits: whether to measure the digits.
        teacher_width: units in each hidden layer of the teachers. Students have 1/2, 1, 2 and 8 times as many.
        network_n: samples of the networks; default 32, 128, 512, 2,048.
        teachers: default 8.
        steps: steps of training; default 4,000.
        quick: less of everything: no numbers to quote.
        seed: seed of everything random.
        checkpoint: folder in which finished trials and trainings are kept; the same call goes on from there.
        progress: called with (what is being done, share done).

    Raises:
        ValueError: as `plan`; a checkpoint of other settings.

    Source: Rosenfeld 2021 (arXiv:2108.07686) for the names of the four parts and the teacher-student question; the
    operational definitions are those of [sources][regimes.sources].

    Valid when trials are independent: the digits are a finite set of 1,797, shared by all trials, so that their
    intervals do not hold the choice of these images.
    """
    sizes = plan(
        n=n,
        k=k,
        trials=trials,
        noise=noise,
        ridge=ridge,
        time=time,
        digits=digits,
        teacher_width=teacher_width,
        network_n=network_n,
        teachers=teachers,
        steps=steps,
        quick=quick,
    )
    seed = _checks.count("seed", seed, low=0)
    say = progress or (lambda what, share: None)
    folder = None if checkpoint is None else Path(checkpoint)
    drawn = sizes.n, sizes.k, sizes.noise, seed
    say("theory", 0.0)
    surfaces = _surfaces(sizes, 13 if quick else 33)
    points = _measure(budgets.Gaussian(*drawn), sizes, seed, folder, lambda what, share: say(what, 0.05 + 0.35 * share))
    found = None
    if sizes.digits:
        images = budgets.Digits(*drawn)
        found = images.read
        points += _measure(images, sizes, seed, folder, lambda what, share: say(what, 0.4 + 0.2 * share))
    students = _networks(sizes, teacher_width, seed, folder, lambda what, share: say(what, 0.6 + 0.4 * share))
    say("done", 1.0)
    settings = {"seed": seed, "quick": quick, "teacher_width": teacher_width, **sizes._asdict()}
    checks = _claims(surfaces, points, students, teacher_width)
    return Result(tuple(surfaces), tuple(points), tuple(students), teacher_width, found, checks, settings)


def _row(name: str, one: Estimate) -> dict[str, Any]:
    return {"part": name, "value": one.value, "low": one.low, "high": one.high}


def _surfaces(sizes: Sizes, points: int) -> list[Surface]:
    n, k = np.geomspace(8, 8192, points), np.geomspace(8.1, 8100, points)
    noisy, finite = spectra.power_law(0.5, 1.0, modes=1e5), budgets.modes()
    made = []
    for title, spectrum, noise, widths in (
        (f"noise {sizes.noise:g}, endless modes", noisy, sizes.noise, k),
        (f"noiseless, k > {MODES} modes", finite, 0.0, np.geomspace(MODES * 1.01, 100 * MODES, points)),
    ):
        at = n[:, None], widths[None, :]
        budget = sources.budget(spectrum, *at, sizes.ridge, noise)
        # The loss once more, as the sum of bias and variances.
        loss = np.asarray(equivalents.decompose(spectrum, *at, sizes.ridge, noise).total)
        made.append(Surface(title, n, widths, budget, float(np.max(np.abs(budget.loss / loss - 1)))))
    return made


def _measure(task: Any, sizes: Sizes, seed: int, folder: Path | None, report: Report) -> list[Point]:
    """All (n, k) and both learners on one task."""
    store = None
    settings = {"task": task.name, "seed": seed, "n": task.n, "k": task.k, "noise": sizes.noise}
    settings |= {"ridge": sizes.ridge, "time": sizes.time}
    if folder is not None:
        store = runs.Store(folder / task.name, settings)
    cells: list[dict[str, Array]] = []
    for trial in range(2 * sizes.trials):  # the second half measures the loss anew
        report(f"{task.name}, trial {trial + 1} of {2 * sizes.trials}", trial / (2 * sizes.trials))
        kept = store.finished([trial]) if store is not None else {}
        cell = kept.get(trial)
        if cell is None:
            cell = budgets.trial(task, trial, sizes.ridge, sizes.time)
            if store is not None:
                store.finish(trial, cell)
        cells.append(cell)
    first, second = cells[: sizes.trials], cells[sizes.trials :]
    points = []
    for j, k in enumerate(task.k):
        for i, n in enumerate(task.n):
            for index, learner in enumerate(LEARNERS):
                known: dict[str, Any] = {"noise": task.known}
                if task.known is None:
                    known = {"whole": np.array([cell["whole"] for cell in first])}
                measured = budgets.of_trials(
                    [cell["limit"][j] for cell in first],
                    [cell["tried"][i, j] for cell in first],
                    [cell["own"][i, j, index] for cell in first],
                    **known,
                )
                anew = mean(np.array([cell["own"][i, j, index] for cell in second]))
                settled = (sizes.ridge, np.inf) if learner == "ridge" else (0.0, sizes.time)
                predicted = sources.budget(task.spectrum, float(n), float(k), settled[0], sizes.noise, settled[1])
                points.append(Point(task.name, n, k, learner, measured, anew, predicted))
    return points


def _seeds(seed: int, teacher: int) -> list[int]:
    """Seeds of the two students of each width that learn from one teacher."""
    return [int(one) for one in np.random.default_rng([seed, 6, teacher]).integers(2**31, size=2)]


def _networks(sizes: Sizes, teacher_width: int, seed: int, folder: Path | None, report: Report) -> list[Student]:
    shape = (sizes.teachers, len(sizes.widths))
    best, last, train = (np.empty((*shape, len(sizes.network_n))) for _ in range(3))
    many = np.empty(shape)
    for j, width in enumerate(sizes.widths):  # teachers inside, so that each width is compiled once
        for t in range(sizes.teachers):
            report(f"width {width}, teacher {t + 1}", (j * sizes.teachers + t) / math.prod(shape))
            one, rng = realizable(3, teacher_width, [seed, 4, t]), np.random.default_rng([seed, 5, t])
            x = teachers.inputs(sizes.many + 2000, 3, rng)
            y = one.labels(x)
            student = networks.network(one.network.model, width, parameterisation="standard")
            settings: dict[str, Any] = {
                "test": (x[sizes.many :], y[sizes.many :]),
                "rate": 1e-2,
                "seeds": _seeds(seed, t),
            }
            where = None if folder is None else folder / f"width-{width}" / f"teacher-{t}"
            pool = x[: sizes.many], y[: sizes.many]
            found = teachers.train_in_n(
                student, *pool, sizes.network_n, steps=sizes.steps, checkpoint=where, **settings
            )
            best[t, j], last[t, j] = np.nanmean(found.test, axis=0), np.nanmean(found.last, axis=0)
            train[t, j] = np.nanmean(found.train, axis=0)
            longer = 2 * sizes.steps
            where = None if where is None else where / "many"
            end = teachers.train_in_n(student, *pool, [sizes.many], steps=longer, checkpoint=where, **settings)
            many[t, j] = np.nanmin(end.test)  # the smaller one bounds what the width cannot express
    return _students(sizes, teacher_width, best, last, train, many)


def _students(sizes: Sizes, teacher_width: int, best: Array, last: Array, train: Array, many: Array) -> list[Student]:
    """Budgets from losses of shape (teachers, widths, n)."""
    wide = np.flatnonzero(np.array(sizes.widths) >= teacher_width)
    students = []
    for j, width in enumerate(sizes.widths):
        for i, n in enumerate(sizes.network_n):
            parts = None
            if j in wide:
                # The width that is best for the other teachers, as for the ridge.
                chosen = wide[(best[:, wide, i].sum(axis=0) - best[:, wide, i]).argmin(axis=1)]
                uncertain = best[np.arange(len(best)), chosen, i]
                exact = Estimate.exact(0.0, "known")
                parts = {"noise": exact, "realizability": exact}
                parts |= {"uncertainty": mean(uncertain), "deficiency": mean(last[:, j, i] - uncertain)}
            logs = mean(np.log(last[:, j, i] / last[:, wide[0], i]))
            ratio = dataclasses.replace(
                logs, value=math.exp(logs.value), low=math.exp(logs.low), high=math.exp(logs.high)
            )
            loss, fitted, bound = (mean(losses) for losses in (last[:, j, i], train[:, j, i], many[:, j]))
            students.append(Student(width, n, loss, fitted, bound, ratio, parts))
    return students


def realizable(dim: int, width: int, seed: Any) -> teachers.Teacher:
    """A random relu network as teacher, of which only the mean is taken away: students of its width can be it.

    Args:
        dim: dimension of the inputs, uniform in [-1, 1]^dim.
        width: units in each of its two hidden layers.
        seed: seed.

    Raises:
        ValueError: as [draw][regimes.teachers.draw].
    """
    one = teachers.draw(dim, seed, width=width)
    x = teachers.inputs(16384, dim, np.random.default_rng(0))
    raw = one.network.apply(one.parameters, x)[:, 0]
    constant = np.concatenate([[raw.mean()], np.zeros(dim)])
    return dataclasses.replace(one, coefficients=constant, scale=float(raw.std()))


def _largest(student: Student) -> str:
    assert student.parts is not None
    return max(student.parts, key=lambda part: student.parts[part].value)  # type: ignore[index]


def _claims(
    surfaces: Sequence[Surface], points: Sequence[Point], students: Sequence[Student], teacher_width: int
) -> tuple[Claim, ...]:
    claims = []
    gap = max(one.gap for one in surfaces)
    claims.append(
        Claim("theory: the sum of the parts less the loss", "0 within 1e-10 of it", f"{gap:.1g}", gap <= 1e-10)
    )
    named = surfaces[1].budget.dominant
    share = float(np.mean(named == "realizability"))
    claims.append(
        Claim("theory, noiseless and realizable", "realizability nowhere largest", f"in {share:.0%}", share == 0)
    )
    for task in dict.fromkeys(one.task for one in points):
        mine = [one for one in points if one.task == task]
        inside = [one.holds(part) for one in mine for part in PARTS]
        off = [abs(one.off(part)) for one in mine for part in PARTS]
        if task == "gaussian":
            found = f"{sum(inside)} of {len(inside)}"
            claims.append(
                Claim(
                    "gaussian: parts with the theory in the interval", ">= 85 %", found, bool(np.mean(inside) >= 0.85)
                )
            )
        worst = f"median {np.median(off):.1%}, largest {np.max(off):.1%}"
        claims.append(
            Claim(
                f"{task}: parts less predicted ones, of the loss", "median <= 5 %", worst, bool(np.median(off) <= 0.05)
            )
        )
        same = [one.repeats for one in mine]
        claims.append(
            Claim(
                f"{task}: repeatability of the loss, in trials of its own",
                "equal within the intervals, >= 85 %",
                f"{sum(same)} of {len(same)}",
                bool(np.mean(same) >= 0.85),
            )
        )
    for n in dict.fromkeys(one.n for one in students):
        here = {one.width: one for one in students if one.n == n}
        ratio = here[max(here)].ratio
        claims.append(
            Claim(
                f"networks, n = {n}: loss at {max(here) // teacher_width} times the teacher's width over that at it",
                "below 1: width helps where nothing is left to realize",
                str(ratio),
                bool(ratio.value < 1) if not ratio.low <= 1 <= ratio.high else None,
            )
        )
    narrow = min(one.width for one in students)
    for one in (one for one in students if one.width == narrow):
        share = one.many.value / one.loss.value
        claims.append(
            Claim(
                f"networks, n = {one.n}: what a width of {narrow} cannot express, at most",
                "below half of its loss",
                f"{share:.0%}",
                bool(share < 0.5),
            )
        )
    return tuple(claims)
