"""Resolution-limited networks: teacher and student in d dimensions, and 4/alpha against d.

Students learn random teachers (see `teachers`) on inputs of d dimensions. Two exponents are measured for each d: along
n, with a student as wide as the teacher that interpolates n samples; and along k, with students that are narrower than
the teacher and more samples than they can fit, k being their number of parameters. Beside them stands what the NTK of
the same architecture does on the same inputs and teachers: its loss predicted from the spectrum of a Gram matrix, and
its exact loss measured, along n and along k random features.

A student that is linear between samples, of a target with bounded second derivatives, has the exponent 4/d. For the
NTK of a relu network the theory says another one. Its eigenvalues have alpha = 1/d and a wide relu teacher, a draw of
the NNGP kernel, has beta = 3/d, so in both directions the exponent tends to 3/d, from d = 2 on: 4/alpha = (4/3) d.

A power law begins only when the polynomials of degree two are learnt, (d+1)(d+2)/2 of them with those of lower degree:
exponents are read from 4 times as many samples, or parameters, on; and up to where students still interpolate.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from regimes import _checks, dimension, display, estimate, kernels, networks, ridge, teachers, theory
from regimes.results import Estimate, LearningCurve
from regimes.teachers import Claim, Teacher

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

RANGE = (0.7, 1.4)
"""Slopes of 4/alpha against d that count as the rule of 4/d."""
INTERPOLATED = 0.25
"""Training loss relative to the test loss up to which a student counts as interpolating."""
BEYOND = 4
"""Multiple of the number of polynomials up to degree two from which on exponents are read."""
_TESTS = 2000


class Sizes(NamedTuple):
    """How large the experiment is."""

    dims: tuple[int, ...]
    """Dimensions d."""
    n: tuple[int, ...]
    """Training samples along n."""
    widths: tuple[int, ...]
    """Widths of the students along k."""
    teachers: int
    """Teachers of each dimension, each with samples of its own."""
    students: int
    """Students of each teacher."""
    student_width: int
    """Width of the student along n."""
    steps: int
    """Steps of training along n."""
    steps_k: int
    """Along k, where students fit slowly."""
    many: int
    """Training samples along k."""
    features: tuple[int, ...]
    """Random features of the kernel along k."""
    pool: int
    """Samples of the Gram matrix, from which the spectrum is read and on which the features are fitted."""


@display.shown
@dataclasses.dataclass(frozen=True)
class AtDimension:
    """All that was found at one dimension d."""

    dim: int
    """d."""
    linear_share: float
    """Mean share of the teachers' variance that their linear part had, before it was taken away."""
    network_n: LearningCurve
    """Log-mean loss of the students along n; a row per teacher."""
    network_k: LearningCurve
    """The same along k, their number of parameters."""
    kernel_n: LearningCurve
    """Loss of exact regression with the NTK along n."""
    kernel_k: LearningCurve
    """Loss of k random features of the NTK, with what the finite number of samples adds taken off."""
    predicted_n: LearningCurve
    """The loss along n that the spectrum of the NTK predicts."""
    predicted_k: LearningCurve
    """Along k."""
    spectrum_n: Estimate
    """Exponent of `predicted_n`."""
    spectrum_k: Estimate
    """Exponent of `predicted_k`."""
    alpha: Estimate
    """alpha of the NTK over the window in n."""
    beta: Estimate
    """beta of the teachers in the NTK over the same window."""
    data: Estimate
    """Intrinsic dimension measured on the inputs."""
    student: Estimate
    """On the last hidden layer of the student trained on most samples."""
    teacher: Estimate
    """On the last hidden layer of its teacher."""
    train_share: Float64[Array, " sizes"]
    """Training loss over test loss along n: small where students interpolate."""
    diverged: int
    """Runs that diverged and are left out."""
    widths: tuple[int, ...]
    """Widths along `network_k`."""
    window_n: slice
    """Places along n from which exponents are read."""

    def each(self, name: str, *, everywhere: bool = False) -> Array:
        """Exponents of the teachers, one each, of network_n, network_k, kernel_n or kernel_k.

        Args:
            name: which.
            everywhere: from all places and not only from those where a power law is expected.
        """
        curve = getattr(self, name)
        where = slice(None) if everywhere else self._window(name)
        return teachers.slopes(curve.at[where], curve.trials[:, where])

    def exponents(self) -> dict[str, Estimate]:
        """Every measured or predicted exponent, by name."""
        found = {}
        for name in ("network_n", "network_k", "kernel_n", "kernel_k"):
            curve, where = getattr(self, name), self._window(name)
            found[name] = teachers.exponent(curve.at[where], curve.trials[:, where])
        where = self._window("network_k")
        width, losses = np.array(self.widths, dtype=np.float64)[where], self.network_k.trials
        assert losses is not None
        return {
            **found,
            "network_width": teachers.exponent(width, losses[:, where]),
            "spectrum_n": self.spectrum_n,
            "spectrum_k": self.spectrum_k,
        }

    def _window(self, name: str) -> slice:
        return self.window_n if name.endswith("_n") else _learnt(self.dim, getattr(self, name).at)


@display.shown
@dataclasses.dataclass(frozen=True)
class Result:
    """What [run][regimes.teacher_student.run] found."""

    dimensions: tuple[AtDimension, ...]
    """One per d."""
    slopes: dict[str, Estimate]
    """Slope of 4/alpha against d for network_n, network_k, kernel_n, kernel_k, spectrum_n and spectrum_k."""
    everywhere: dict[str, Estimate]
    """The same from all places, for the first four."""
    checks: tuple[Claim, ...]
    """What was expected, what was found."""
    settings: dict[str, Any]
    """Every size and seed."""
    name: str = "teacher_student"
    """Stem of its files."""

    def __str__(self) -> str:
        d = ", ".join(str(one.dim) for one in self.dimensions)
        lines = [
            f"Teacher-student in d = {d}: 4/alpha against d has the slope {self.slopes['network_n']} in n and "
            f"{self.slopes['network_k']} in k (parameters); the NTK {self.slopes['kernel_n']} and "
            f"{self.slopes['kernel_k']}, predicted from its spectrum {self.slopes['spectrum_n']} and "
            f"{self.slopes['spectrum_k']}."
        ]
        lines.append(
            f"  from all places, not only where a power law is expected: {self.everywhere['network_n']} in n, "
            f"{self.everywhere['network_k']} in k"
        )
        for one in self.dimensions:
            e = one.exponents()
            lines.append(
                f"  d = {one.dim} (4/d = {4 / one.dim:.3f}): n {e['network_n']}, NTK {e['kernel_n']}, predicted "
                f"{e['spectrum_n']}; k {e['network_k']}, NTK {e['kernel_k']}, predicted {e['spectrum_k']}"
            )
        words = {True: "holds", False: "does not hold", None: "undecided"}
        lines += [
            f"  {one.what}: expected {one.expected}, found {one.found}: {words[one.holds]}" for one in self.checks
        ]
        return "\n".join(lines)

    def tables(self) -> "dict[str, pd.DataFrame]":
        """Data frames: exponents and dimensions (a row per d), losses (a row per point), slopes, checks."""
        import pandas as pd

        rows, points = [], []
        for one in self.dimensions:
            row: dict[str, Any] = {"d": one.dim, "4/d": 4 / one.dim, "linear_share": one.linear_share}
            found = {"d_data": one.data, "d_student": one.student, "d_teacher": one.teacher}
            for name, value in (found | {"alpha": one.alpha, "beta": one.beta} | one.exponents()).items():
                row |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
            rows.append(row | {"diverged": one.diverged})
            for name in ("network_n", "network_k", "kernel_n", "kernel_k", "predicted_n", "predicted_k"):
                curve = getattr(one, name)
                for index, at in enumerate(curve.at):
                    stderr = math.nan if curve.stderr is None else curve.stderr[index]
                    points.append({"d": one.dim, "curve": name, "at": at, "loss": curve.loss[index], "stderr": stderr})
        slopes = [
            {"of": name, "from": places, "slope": one.value, "low": one.low, "high": one.high, "level": one.level}
            for places, named in (("window", self.slopes), ("everywhere", self.everywhere))
            for name, one in named.items()
        ]
        checks = [one._asdict() for one in self.checks]
        named = {"exponents": rows, "losses": points, "slopes": slopes, "checks": checks}
        return {name: pd.DataFrame(each) for name, each in named.items()}

    def record(self) -> dict[str, Any]:
        """All that JSON can hold."""
        return {
            "run": self.settings,
            "slopes": {name: dataclasses.asdict(one) for name, one in self.slopes.items()},
            "everywhere": {name: dataclasses.asdict(one) for name, one in self.everywhere.items()},
            "windows": {
                str(one.dim): {
                    name: getattr(one, name).at[one._window(name)].tolist()
                    for name in ("network_n", "network_k", "kernel_n", "kernel_k")
                }
                for one in self.dimensions
            },
            "checks": [one._asdict() for one in self.checks],
        }


def plan(
    *,
    dims: Any = None,
    n: Any = None,
    widths: Any = None,
    teachers: int | None = None,
    students: int = 1,
    student_width: int | None = None,
    steps: int | None = None,
    steps_k: int | None = None,
    quick: bool = False,
) -> Sizes:
    """Sizes of the experiment, those that are not given chosen; see [run][regimes.teacher_student.run].

    Raises:
        ValueError: fewer than two dimensions, three sizes along n or k, two teachers; numbers out of range.
    """

    def own(value: Any, small: Any, large: Any) -> Any:
        return (small if quick else large) if value is None else value

    chosen_n = _several("n", own(n, (32, 64, 128, 256), (32, 64, 128, 256, 512)), low=8, high=4096)
    chosen_widths = _several("widths", own(widths, (6, 10, 16), (6, 8, 12, 16, 24)), low=2, high=512)
    chosen_dims = _several("dims", own(dims, (2, 4), (2, 3, 4, 6)), low=1, high=32, least=2)
    pool = max(512 if quick else 1536, 3 * chosen_n[-1])
    return Sizes(
        chosen_dims,
        chosen_n,
        chosen_widths,
        _checks.count("teachers", own(teachers, 2, 3), low=2),
        _checks.count("students", students),
        _checks.count("student_width", own(student_width, 64, 96), low=2),
        _checks.count("steps", own(steps, 2000, 6000), low=10),
        _checks.count("steps_k", own(steps_k, 4000, 20000), low=10),
        4096 if quick else 16384,
        tuple(2**power for power in range(5, 13) if 2**power <= (pool // 3)),
        pool,
    )


def run(
    *,
    dims: Any = None,
    n: Any = None,
    widths: Any = None,
    teachers: int | None = None,
    students: int = 1,
    student_width: int | None = None,
    steps: int | None = None,
    steps_k: int | None = None,
    quick: bool = False,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Report | None = None,
) -> Result:
    """Measure the exponents of students in n and in their number of parameters over several dimensions.

    Teachers have 2 hidden layers of 96 relu units with biases of standard deviation 0.3 and their linear part taken
    away. Students have the same architecture in the standard parameterisation and are trained by adam on the squared
    error, in batches of 64, at a rate of 0.003 along n and 0.01 along k that falls to zero as a cosine; the recorded
    step of least test loss counts. Losses are averaged in the logarithm; intervals are at 95 % and from the spread over
    teachers. Exponents are read from 2 (d+1) (d+2) samples or parameters on, and along n while the training loss is at
    most a quarter of the test loss, from three places at least.

    Args:
        dims: dimensions; default 2, 3, 4, 6.
        n: samples; default 32 to 512.
        widths: of the students along k, below the teacher's 96; default 6 to 24.
        teachers: teachers for each d, each with its own samples; default 3.
        students: students of each teacher.
        student_width: along n; default 96.
        steps: steps along n; default 6,000.
        steps_k: steps along k; default 20,000.
        quick: less of everything: no numbers to quote.
        seed: seed of everything random.
        checkpoint: folder; see [training.train][regimes.training.train].
        progress: called with (what is being done, share done).

    Raises:
        ValueError: as `plan`.

    Source: Sharma and Kaplan 2022; Bahri et al. 2021 (arXiv:2102.06701), figures 1b and S4.

    Valid when: students interpolate along n (`train_share` says) and have converged along k, which takes the more
    steps the wider and the lower d.
    """
    sizes = plan(
        dims=dims,
        n=n,
        widths=widths,
        teachers=teachers,
        students=students,
        student_width=student_width,
        steps=steps,
        steps_k=steps_k,
        quick=quick,
    )
    seed = _checks.count("seed", seed, low=0)
    say = progress or (lambda what, share: None)
    folder = None if checkpoint is None else Path(checkpoint)
    found = []
    for index, dim in enumerate(sizes.dims):

        def report(what: str, share: float, dim: int = dim, index: int = index) -> None:
            say(f"d = {dim}: {what}", (index + share) / len(sizes.dims))

        found.append(_at(dim, sizes, seed, folder, report))
    say("done", 1.0)
    slopes, everywhere = _slopes(found, seed, False), _slopes(found, seed, True)
    settings = {"seed": seed, "quick": quick, **sizes._asdict()}
    return Result(tuple(found), slopes, everywhere, _claims(found, slopes), settings)


def _learnt(dim: int, at: Any, *, until: int | None = None) -> slice:
    """Places from BEYOND times the number of polynomials up to degree two on, before `until`; three at least."""
    stop = max(len(at) if until is None else until, min(3, len(at)))
    first = int(np.searchsorted(at, BEYOND * (dim + 1) * (dim + 2) // 2))
    return slice(max(0, min(first, stop - 3)), stop)


def _several(name: str, value: Any, *, low: int, high: int, least: int = 3) -> tuple[int, ...]:
    sizes = _checks.sizes(name, value, low=low, high=high)
    if len(sizes) < least:
        raise ValueError(f"`{name}` must hold at least {least} numbers, got {len(sizes)}.")
    return tuple(int(one) for one in sizes)


def _at(dim: int, sizes: Sizes, seed: int, folder: Path | None, report: Report) -> AtDimension:
    every = [teachers.draw(dim, [seed, dim, t, 0]) for t in range(sizes.teachers)]
    numbers = list(range(sizes.students))
    model = every[0].network.model
    rows: dict[str, list[Array]] = {"n": [], "k": [], "train": []}
    diverged, embedded = 0, None
    done, whole = 0, sizes.teachers * (1 + len(sizes.widths)) + 3

    def settings(t: int, what: str) -> dict[str, Any]:
        own = [1000 * t + number for number in numbers]
        return {"seeds": own, "checkpoint": None if folder is None else folder / f"d-{dim}" / f"teacher-{t}" / what}

    def student(width: int) -> networks.Network:
        return networks.network(model, width, parameterisation="standard")

    data = [_data(one, dim, sizes, np.random.default_rng([seed, dim, t, 1])) for t, one in enumerate(every)]
    for t, (x, y, x_test, y_test) in enumerate(data):
        report(f"teacher {t + 1}, along n", done / whole)
        found = teachers.train_in_n(
            student(sizes.student_width), x, y, sizes.n, test=(x_test, y_test), steps=sizes.steps, **settings(t, "n")
        )
        rows["n"].append(teachers.log_mean(found.test))
        rows["train"].append(teachers.log_mean(found.train))
        diverged += found.diverged
        if t == 0:
            embedded = student(sizes.student_width).embedding(found.parameters, x_test)
        done += 1
    along_k = np.full((sizes.teachers, len(sizes.widths)), np.nan)
    for column, width in enumerate(sizes.widths):  # teachers inside, so that each width is compiled once
        for t, (x, y, x_test, y_test) in enumerate(data):
            report(f"width {width}", done / whole)
            found = teachers.train_in_n(
                student(width),
                x,
                y,
                [sizes.many],
                test=(x_test, y_test),
                rate=1e-2,
                steps=sizes.steps_k,
                **settings(t, f"width-{width}"),
            )
            along_k[t, column] = teachers.log_mean(found.test)[0]
            diverged += found.diverged
            done += 1
    report("kernel", done / whole)
    parameters = [student(width).parameters(data[0][0][:1]) for width in sizes.widths]
    share = teachers.log_mean(rows["train"]) / teachers.log_mean(rows["n"])
    over = np.flatnonzero(~(share <= INTERPOLATED))
    window = _learnt(dim, sizes.n, until=int(over[0]) if len(over) else None)
    kernel = _kernel(model, every, dim, sizes, window, np.random.default_rng([seed, dim, 2]))
    x_test = data[0][2]
    return AtDimension(
        dim=dim,
        linear_share=float(np.mean([one.linear_share for one in every])),
        network_n=_curve("n", sizes.n, rows["n"], "students"),
        network_k=_curve("k", parameters, along_k, "students"),
        data=dimension.intrinsic_dimension(x_test, at=2, seed=seed).estimate,
        student=dimension.intrinsic_dimension(embedded, at=2, seed=seed).estimate,
        teacher=dimension.intrinsic_dimension(
            every[0].network.embedding(every[0].parameters, x_test), at=2, seed=seed
        ).estimate,
        train_share=share,
        diverged=diverged,
        widths=sizes.widths,
        window_n=window,
        **kernel,
    )


def _data(teacher: Teacher, dim: int, sizes: Sizes, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    x, x_test = (teachers.inputs(count, dim, rng) for count in (max(sizes.many, sizes.n[-1]), _TESTS))
    return x, teacher.labels(x), x_test, teacher.labels(x_test)


def _kernel(
    model: kernels.Model,
    every: Sequence[Teacher],
    dim: int,
    sizes: Sizes,
    window: slice,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Losses of regression with the kernel of the same architecture on the same teachers, predicted and measured."""
    tests = min(_TESTS, sizes.pool)
    x = teachers.inputs(sizes.pool + tests, dim, rng)
    train, test = slice(0, sizes.pool), slice(sizes.pool, None)
    gram = model(x)
    phi = model.features(x, sizes.features[-1], int(rng.integers(2**31)))
    along_n, along_k, labels = [], [], []
    at_n, at_k = np.array(sizes.n), np.array(sizes.features)
    for one in every:
        y = one.labels(x)
        labels.append(y[train])
        first = slice(0, sizes.n[-1])
        along_n.append(ridge.loss_in_n(gram[first, first], gram[first, test], y[first], y[test], at=at_n))
        # L(n, k) = L(inf, k)/(1 - k/n) without ridge.
        finite = ridge.loss_in_k(phi[train], phi[test], y[train], y[test], at=at_k)
        along_k.append(finite * (1 - at_k / sizes.pool))
    targets = np.concatenate(labels, axis=1) / math.sqrt(len(every))
    spectrum = estimate.spectrum(gram[train, train], targets, draws=16, seed=int(rng.integers(2**31)))
    read = theory.exponents(spectrum, (float(at_n[window][0]), float(at_n[window][-1])))
    return {
        "kernel_n": _curve("n", at_n, along_n, "NTK"),
        "kernel_k": _curve("k", at_k, along_k, "random features of the NTK"),
        "predicted_n": theory.predict_curve(spectrum, n=at_n),
        "predicted_k": theory.predict_curve(spectrum, k=at_k),
        "spectrum_n": theory.window_exponent(spectrum, "n", at_n[window]),
        "spectrum_k": theory.window_exponent(spectrum, "k", at_k[_learnt(dim, at_k)]),
        "alpha": read.alpha,
        "beta": read.beta,
    }


def _curve(along: str, at: Any, rows: Any, source: str) -> LearningCurve:
    """The log-mean over teachers, and its standard error."""
    trials, at = np.array(rows, dtype=np.float64), np.array(at, dtype=np.float64)
    loss, count = teachers.log_mean(trials), len(trials)
    stderr = loss * np.log(trials).std(axis=0, ddof=1) / math.sqrt(count)
    fixed = {"k" if along == "n" else "n": math.inf, "ridge": 0.0, "noise": 0.0}
    return LearningCurve(along, at, loss, stderr, trials, fixed, f"{source}, log-mean over teachers")


def _slopes(found: Sequence[AtDimension], seed: int, everywhere: bool) -> dict[str, Estimate]:
    dims = [one.dim for one in found]
    slopes = {}
    for name in ("network_n", "network_k", "kernel_n", "kernel_k"):
        slopes[name] = teachers.dimension_slope(
            dims, [one.each(name, everywhere=everywhere) for one in found], seed=seed
        )
    for name in () if everywhere else ("spectrum_n", "spectrum_k"):
        slopes[name] = teachers.dimension_slope(dims, [getattr(one, name).value for one in found], seed=seed)
    return slopes


def _claims(found: Sequence[AtDimension], slopes: dict[str, Estimate]) -> tuple[Claim, ...]:
    low, high = RANGE
    claims = [
        Claim(
            f"slope of 4/alpha against d in {axis}, students",
            f"1, in [{low}, {high}]",
            str(slopes[name]),
            teachers.within(slopes[name], low, high),
        )
        for axis, name in (("n", "network_n"), ("k", "network_k"))
    ]
    for axis in ("n", "k"):
        kernel, network, predicted = (
            np.array([one.exponents()[f"{name}_{axis}"].value for one in found])
            for name in ("kernel", "network", "spectrum")
        )
        ratio = kernel / predicted
        claims.append(
            Claim(
                f"exponent of the NTK in {axis}, measured over predicted from its spectrum",
                "1 within 15 %",
                ", ".join(f"{one:.2f}" for one in ratio),
                bool(np.abs(ratio - 1).max() <= 0.15),
            )
        )
        pairs = [(one.exponents()[f"network_{axis}"], one.exponents()[f"spectrum_{axis}"]) for one in found]
        apart = [one.dim for one, (a, b) in zip(found, pairs, strict=True) if not a.overlaps(b)]
        claims.append(
            Claim(
                f"exponent of students in {axis} over the kernel prediction",
                "1 where students stay close to their kernel",
                ", ".join(f"{one:.2f}" for one in network / predicted)
                + (f"; intervals apart at d = {', '.join(map(str, apart))}" if apart else ""),
                not apart,
            )
        )
    inside = max(float(np.max(one.train_share[one.window_n])) for one in found)
    claims.append(
        Claim(
            "training loss over test loss along n, where exponents are read",
            f"at most {INTERPOLATED}: students interpolate",
            f"at most {inside:.2g}",
            bool(inside <= INTERPOLATED),
        )
    )
    error = max(abs(one.data.value / one.dim - 1) for one in found)
    claims.append(Claim("dimension measured on the inputs", "d within 15 %", f"within {error:.0%}", error <= 0.15))
    shift = max(abs(one.student.value / one.data.value - 1) for one in found)
    claims.append(
        Claim("dimension of the student's activations", "that of the inputs within 15 %", f"{shift:.0%}", shift <= 0.15)
    )
    return tuple(claims)
