"""Depth against width: how the exponents of students depend on the shape of the network.

Students of several depths and widths learn the teachers of `teachers`: from n samples, which gives the exponent in n of
each shape; and from more samples than they can fit, which gives the exponents in width and in depth and the best shape
for a number of parameters. Beside them stands the NTK of each depth: the smoothness of a relu NTK, and with it the
decay of its eigenvalues, does not depend on depth, so neither does its exponent in the limit.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from scipy import stats

from regimes import _checks, display, estimate, kernels, networks, ridge, teachers, theory
from regimes.results import Estimate, LearningCurve
from regimes.teachers import Claim, Teacher

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

SATURATED = 0.1
"""Share by which the exponent in n may still rise over the last step in width where it has saturated."""
ALIKE = 0.15
"""Share by which exponents of the kernel may differ from depth to depth and count as the same on a finite window."""
FEW = 4
"""Samples for each parameter that count as many."""
_TESTS = 2000


class Sizes(NamedTuple):
    """How large the experiment is."""

    dim: int
    """Dimension of the inputs."""
    depths: tuple[int, ...]
    """Hidden layers of the students."""
    widths: tuple[int, ...]
    """Units in each."""
    n: tuple[int, ...]
    """Training samples of the exponent in n."""
    many: int
    """Training samples of the exponents in width and depth."""
    teachers: int
    """Teachers, each with samples of its own."""
    steps: int
    """Steps of training."""
    pool: int
    """Samples of the Gram matrices."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Depth:
    """The kernel of one depth."""

    depth: int
    """Hidden layers."""
    measured: LearningCurve
    """Loss of exact regression with the NTK along n; a row per teacher."""
    measured_exponent: Estimate
    """Its exponent."""
    predicted_exponent: Estimate
    """The exponent over the same n predicted from the spectrum."""
    alpha: Estimate
    """alpha of the NTK over the same window."""
    beta: Estimate
    """beta of the teachers in it."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Result:
    """What [run][regimes.aspect_ratio.run] found; axes of arrays are (teachers, depths, widths, sizes)."""

    sizes: Sizes
    """Grid and window."""
    parameters: Int64[Array, "depths widths"]
    """Numbers of parameters."""
    loss_n: Float64[Array, "teachers depths widths sizes"]
    """Test loss from n samples; NaN where a run diverged."""
    train_n: Float64[Array, "teachers depths widths sizes"]
    """Training loss there."""
    loss_many: Float64[Array, "teachers depths widths"]
    """Test loss from many samples."""
    kernels: tuple[Depth, ...]
    """The NTK of each depth."""
    checks: tuple[Claim, ...]
    """What was expected, what was found."""
    settings: dict[str, Any]
    """Every size and seed."""
    name: str = "aspect_ratio"
    """Stem of its files."""

    def in_n(self, depth: int, width: int) -> Estimate:
        """Exponent in n of one shape.

        Raises:
            ValueError: a depth or width that was not trained.
        """
        row, column = self._place(depth, width)
        return teachers.exponent(self.sizes.n, self.loss_n[:, row, column])

    def in_width(self, depth: int, *, parameters: bool = False) -> Estimate:
        """Exponent in width, or in the number of parameters, at one depth and many samples.

        Read while the samples are FEW times the parameters or more, from three widths at least: beyond, the loss is
        that of the samples.
        """
        row, _ = self._place(depth, self.sizes.widths[0])
        count = max(3, int(np.sum(FEW * self.parameters[row] <= self.sizes.many)))
        at = np.array(self.parameters[row] if parameters else self.sizes.widths, dtype=np.float64)
        return teachers.exponent(at[:count], self.loss_many[:, row, :count])

    def in_depth(self, width: int) -> Estimate:
        """Exponent in depth at one width and many samples, where these are more than the parameters."""
        _, column = self._place(self.sizes.depths[0], width)
        return teachers.exponent(np.array(self.sizes.depths, dtype=np.float64), self.loss_many[:, :, column])

    def matched(self) -> tuple[float, dict[int, Estimate]]:
        """A number of parameters that all depths have or enclose, and the loss there over that of the least depth.

        Losses are read off the straight line between widths, in log-log; the number is in the middle, in the logarithm,
        of what all depths cover. Intervals are of the log ratio, over teachers.
        """
        logs = np.log(self.parameters.astype(np.float64))
        middle = 0.5 * float(logs[:, 0].max() + logs[:, -1].min())
        losses = np.log(self.loss_many)
        there = np.array(
            [[np.interp(middle, logs[row], one[row]) for row in range(len(self.sizes.depths))] for one in losses]
        )
        ratios = {}
        for row, depth in enumerate(self.sizes.depths):
            ratios[depth] = _ratio(there[:, row] - there[:, 0])
        return math.exp(middle), ratios

    def _place(self, depth: int, width: int) -> tuple[int, int]:
        for name, value, among in (("depth", depth, self.sizes.depths), ("width", width, self.sizes.widths)):
            if value not in among:
                raise ValueError(f"`{name}` must be one of {', '.join(map(str, among))}, got {value!r}.")
        return self.sizes.depths.index(depth), self.sizes.widths.index(width)

    def __str__(self) -> str:
        depths, widths = self.sizes.depths, self.sizes.widths
        lines = [f"Depth against width, {len(self.loss_n)} teachers on {self.sizes.dim} inputs"]
        for one in self.kernels:
            lines.append(
                f"  depth {one.depth}: exponent in n at width "
                + ", ".join(f"{width}: {self.in_n(one.depth, width)}" for width in (widths[0], widths[-1]))
                + f"; NTK {one.measured_exponent}, predicted {one.predicted_exponent}; "
                f"exponent in width {self.in_width(one.depth)}, "
                f"in parameters {self.in_width(one.depth, parameters=True)}"
            )
        for width in (widths[0], widths[-1]):
            lines.append(f"  width {width}: exponent in depth {depths[0]} to {depths[-1]} {self.in_depth(width)}")
        words = {True: "holds", False: "does not hold", None: "undecided"}
        lines += [
            f"  {one.what}: expected {one.expected}, found {one.found}: {words[one.holds]}" for one in self.checks
        ]
        return "\n".join(lines)

    def tables(self) -> "dict[str, pd.DataFrame]":
        """Data frames: shapes (a row for each), depths (kernel and exponents in width), widths, losses, checks."""
        import pandas as pd

        shapes, depths, losses = [], [], []
        for row, one in enumerate(self.kernels):
            for column, width in enumerate(self.sizes.widths):
                read = self.in_n(one.depth, width)
                shapes.append(
                    {
                        "depth": one.depth,
                        "width": width,
                        "parameters": self.parameters[row, column],
                        **_columns("exponent_n", read),
                        "loss_many": teachers.log_mean(self.loss_many[:, row, column, None])[0],
                    }
                )
                for index, n in enumerate((*self.sizes.n, self.sizes.many)):
                    every = self.loss_n[:, row, column, index] if n in self.sizes.n else self.loss_many[:, row, column]
                    for teacher, loss in enumerate(every):
                        losses.append({"depth": one.depth, "width": width, "n": n, "teacher": teacher, "loss": loss})
            in_p = self.in_width(one.depth, parameters=True)
            depths.append(
                {"depth": one.depth}
                | _columns("exponent_width", self.in_width(one.depth))
                | _columns("exponent_parameters", in_p)
                | _columns("ntk_measured", one.measured_exponent)
                | _columns("ntk_predicted", one.predicted_exponent)
                | _columns("alpha", one.alpha)
                | _columns("beta", one.beta)
            )
        widths = [{"width": width} | _columns("exponent_depth", self.in_depth(width)) for width in self.sizes.widths]
        checks = [one._asdict() for one in self.checks]
        named = {"shapes": shapes, "depths": depths, "widths": widths, "losses": losses, "checks": checks}
        return {name: pd.DataFrame(each) for name, each in named.items()}

    def record(self) -> dict[str, Any]:
        """All that JSON can hold."""
        at, ratios = self.matched()
        return {
            "run": self.settings,
            "matched": {"parameters": at, "ratios": {str(d): dataclasses.asdict(r) for d, r in ratios.items()}},
            "checks": [one._asdict() for one in self.checks],
        }


def plan(
    *,
    dim: int = 3,
    depths: Any = None,
    widths: Any = None,
    n: Any = None,
    teachers: int | None = None,
    steps: int | None = None,
    quick: bool = False,
) -> Sizes:
    """Sizes of the experiment, those that are not given chosen; see [run][regimes.aspect_ratio.run].

    Raises:
        ValueError: fewer than three depths, widths or n, fewer than two teachers; numbers out of range.
    """

    def own(value: Any, small: Any, large: Any) -> Any:
        return (small if quick else large) if value is None else value

    in_depth = _several("depths", own(depths, (1, 2, 3), (1, 2, 3)), low=1, high=16)
    in_width = _several("widths", own(widths, (8, 16, 32), (8, 16, 32, 64)), low=2, high=1024)
    in_n = _several("n", own(n, (64, 128, 256), (64, 128, 256, 512)), low=8, high=4096)
    return Sizes(
        _checks.count("dim", dim, high=32),
        in_depth,
        in_width,
        in_n,
        max(2048 if quick else 8192, 4 * in_n[-1]),
        _checks.count("teachers", own(teachers, 2, 3), low=2),
        _checks.count("steps", own(steps, 1000, 6000), low=10),
        max(512, 3 * in_n[-1]),
    )


def run(
    *,
    dim: int = 3,
    depths: Any = None,
    widths: Any = None,
    n: Any = None,
    teachers: int | None = None,
    steps: int | None = None,
    quick: bool = False,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Report | None = None,
) -> Result:
    """Train students of several depths and widths on the same teachers and read their exponents.

    Teachers and training are those of [teacher_student.run][regimes.teacher_student.run]: 2 hidden layers of 96 relu
    units, linear part taken away; adam at 0.003 on n samples and 0.01 on many, cosine schedule, batches of 64, the
    recorded step of least test loss.

    Args:
        dim: dimension of the inputs; default 3.
        depths: hidden layers of the students; default 1, 2, 3.
        widths: units in each; default 8, 16, 32, 64.
        n: samples of the exponent in n; default 64 to 512.
        teachers: teachers, each with its own samples; default 3.
        steps: steps of each training; default 6,000.
        quick: less of everything: no numbers to quote.
        seed: seed of everything random.
        checkpoint: folder; see [training.train][regimes.training.train].
        progress: called with (what is being done, share done).

    Raises:
        ValueError: as `plan`.

    Source: Bahri et al. 2021 (arXiv:2102.06701), figure S5, there for wide residual networks; Bietti and Bach 2021
    (arXiv:2009.14397) for the kernels.
    """
    sizes = plan(dim=dim, depths=depths, widths=widths, n=n, teachers=teachers, steps=steps, quick=quick)
    seed = _checks.count("seed", seed, low=0)
    say = progress or (lambda what, share: None)
    folder = None if checkpoint is None else Path(checkpoint)
    every = _draw(sizes, seed)
    data = [_data(one, sizes, np.random.default_rng([seed, t, 1])) for t, one in enumerate(every)]
    shape = (sizes.teachers, len(sizes.depths), len(sizes.widths))
    loss_n, train_n = (np.full((*shape, len(sizes.n)), np.nan) for _ in range(2))
    loss_many, parameters = np.full(shape, np.nan), np.zeros(shape[1:], dtype=np.int64)
    done, whole = 0, math.prod(shape) + len(sizes.depths)
    for row, depth in enumerate(sizes.depths):
        for column, width in enumerate(sizes.widths):
            student = networks.network(_model(depth), width, parameterisation="standard")
            parameters[row, column] = student.parameters(data[0][0][:1])
            for t, (x, y, x_test, y_test) in enumerate(data):
                say(f"depth {depth}, width {width}", done / whole)
                own = None if folder is None else folder / f"depth-{depth}-width-{width}-teacher-{t}"
                options: dict[str, Any] = {"test": (x_test, y_test), "seeds": [t], "steps": sizes.steps}
                few = _trained(student, x, y, sizes.n, sizes.many, 3e-3, own, options)
                loss_n[t, row, column], train_n[t, row, column] = few.test[0], few.train[0]
                loss_many[t, row, column] = _trained(student, x, y, [sizes.many], sizes.many, 1e-2, own, options).test[
                    0, 0
                ]
                done += 1
    found = []
    for depth in sizes.depths:
        say(f"kernel of depth {depth}", done / whole)
        found.append(_kernel(depth, every, sizes, seed))
        done += 1
    say("done", 1.0)
    settings = {"seed": seed, "quick": quick, **sizes._asdict()}
    result = Result(sizes, parameters, loss_n, train_n, loss_many, tuple(found), (), settings)
    return dataclasses.replace(result, checks=_claims(result))


def _model(depth: int) -> kernels.Model:
    return kernels.fully_connected(depth, bias_std=0.3)


def _draw(sizes: Sizes, seed: int) -> list[Teacher]:
    return [teachers.draw(sizes.dim, [seed, t, 0]) for t in range(sizes.teachers)]


def _data(teacher: Teacher, sizes: Sizes, rng: np.random.Generator) -> tuple[Array, Array, Array, Array]:
    x, x_test = (teachers.inputs(count, sizes.dim, rng) for count in (sizes.many, _TESTS))
    return x, teacher.labels(x), x_test, teacher.labels(x_test)


def _trained(
    student: networks.Network,
    x: Array,
    y: Array,
    at: Sequence[int],
    filled: int,
    rate: float,
    folder: Path | None,
    options: dict[str, Any],
) -> teachers.Trained:
    """The same shapes for few samples and for many, so that one program serves both."""
    return teachers.train_in_n(student, x, y, at, filled=filled, rate=rate, checkpoint=folder, **options)


def _several(name: str, value: Any, *, low: int, high: int) -> tuple[int, ...]:
    sizes = _checks.sizes(name, value, low=low, high=high)
    if len(sizes) < 3:
        raise ValueError(f"`{name}` must hold at least three numbers, got {len(sizes)}.")
    return tuple(int(one) for one in sizes)


def _kernel(depth: int, every: Sequence[Teacher], sizes: Sizes, seed: int) -> Depth:
    """The NTK of this depth on the same inputs for every depth."""
    x = teachers.inputs(sizes.pool + _TESTS, sizes.dim, np.random.default_rng([seed, 2]))
    pool, first, test = slice(0, sizes.pool), slice(0, sizes.n[-1]), slice(sizes.pool, None)
    gram, at = _model(depth)(x), np.array(sizes.n)
    labels = [one.labels(x) for one in every]
    losses = [ridge.loss_in_n(gram[first, first], gram[first, test], y[first], y[test], at=at) for y in labels]
    targets = np.concatenate([y[pool] for y in labels], axis=1) / math.sqrt(len(labels))
    spectrum = estimate.spectrum(gram[pool, pool], targets, draws=16, seed=seed)
    read = theory.exponents(spectrum, (float(at[0]), float(at[-1])))
    trials = np.array(losses)
    return Depth(
        depth,
        LearningCurve("n", at.astype(np.float64), teachers.log_mean(trials), None, trials, {"k": math.inf}, "NTK"),
        teachers.exponent(at, trials),
        theory.window_exponent(spectrum, "n", at),
        read.alpha,
        read.beta,
    )


def _ratio(logs: Array) -> Estimate:
    """The geometric mean from logarithms, with an interval from the their spread."""
    logs = logs[np.isfinite(logs)]
    if len(logs) and np.all(logs == 0):
        return Estimate.exact(1.0)
    mean = float(logs.mean()) if len(logs) else math.nan
    width = math.inf
    if len(logs) > 1:
        width = float(stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs)))
    return Estimate(math.exp(mean), math.exp(mean - width), math.exp(min(mean + width, 700.0)), method="over teachers")


def _columns(name: str, one: Estimate) -> dict[str, float]:
    return {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}


def _claims(result: Result) -> tuple[Claim, ...]:
    sizes = result.sizes
    narrow, second, wide = sizes.widths[0], sizes.widths[-2], sizes.widths[-1]
    kernel = np.array([one.measured_exponent.value for one in result.kernels])
    claims = [
        Claim(
            "exponent of the NTK in n over depth",
            f"the same at every depth (within {ALIKE:.0%} on this window)",
            ", ".join(f"{one:.2f}" for one in kernel),
            bool(kernel.max() / kernel.min() - 1 <= ALIKE),
        )
    ]
    widest = [result.in_n(depth, wide) for depth in sizes.depths]
    overlap = all(one.overlaps(other) for one in widest for other in widest)
    claims.append(
        Claim(
            f"exponent of students in n over depth, width {wide}",
            "mild: intervals overlap",
            ", ".join(str(one) for one in widest),
            overlap,
        )
    )
    for depth in sizes.depths:
        low, before, last = (result.in_n(depth, width) for width in (narrow, second, wide))
        rises, falls = last.low > low.high, last.high < low.low
        saturated = abs(last.value / before.value - 1) <= SATURATED
        claims.append(
            Claim(
                f"exponent in n over width, depth {depth}",
                "rises with width until it saturates",
                ", ".join(f"{result.in_n(depth, width).value:.2f}" for width in sizes.widths)
                + f" for widths {', '.join(map(str, sizes.widths))}",
                True if rises and saturated else False if falls else None,
            )
        )
    at, ratios = result.matched()
    deeper = [one for depth, one in ratios.items() if depth != sizes.depths[0]]
    below = [one.high < 1 for one in deeper]
    above = [one.low > 1 for one in deeper]
    claims.append(
        Claim(
            f"loss at {at:.0f} parameters over that of depth {sizes.depths[0]}",
            "less than 1: depth pays at matched parameters",
            ", ".join(f"depth {depth}: {one}" for depth, one in ratios.items() if depth != sizes.depths[0]),
            True if all(below) else False if any(above) else None,
        )
    )
    return tuple(claims)
