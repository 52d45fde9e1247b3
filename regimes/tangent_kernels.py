"""The empirical tangent kernel before and after training, and what each says of the trained network's losses.

A wide network follows its kernel at the start: its losses are those of gradient flow in that kernel, and their learning
curve follows from the kernel's spectrum and the target's power in it. A narrow one learns features: its kernel turns
towards the target while it trains. For networks of several widths, from lazy to rich, and several numbers of samples:

- losses are measured after training for the same time at every width and n;
- the **initial kernel** predicts them: gradient flow in K0 for that time, on the same samples (this is the linearised
  network), and by theory alone, from the spectrum and power estimated on samples that no training saw;
- the **final kernel**, taken after training, predicts them too: the same flow from zero in it, on the same samples;
- the spectra of both kernels on fresh samples give alpha and beta, how much of the target's power the leading modes
  hold, the alignment with the target, and how far the kernel has moved.

The verdict on a prediction is the ratio predicted/measured, its geometric mean over n, with an interval from the seeds.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import linalg, stats

from regimes import _checks, display, dynamics, estimate, infinite, kernels, networks, tasks, training
from regimes.results import Estimate, LearningCurve

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Progress = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

TASKS = ("digits", "teacher-student")
PREDICTIONS = ("initial kernel", "initial spectrum", "final kernel")
"""What the losses are predicted from."""
CLOSE = 0.1
"""Relative difference of predicted and measured loss up to which a prediction holds."""
LEADING = 10
"""Modes whose share of the target's power is reported."""
_SHARE = 0.25
"""Learning rate as a share of the largest stable one at infinite width."""


@display.shown
class Prediction(NamedTuple):
    """Losses predicted from a kernel for networks of one width."""

    source: str
    """One of [PREDICTIONS][regimes.tangent_kernels.PREDICTIONS]."""
    curve: LearningCurve
    """Predicted test loss along n, one row of trials per seed."""
    exponent: Estimate
    """Minus its log-slope."""
    ratio: Estimate
    """Predicted over measured loss, geometric mean over n."""

    @property
    def holds(self) -> bool | None:
        """Whether the ratio is 1 within 10 %: with its whole interval (True), with none of it (False), else None."""
        low, high = self.ratio.low, self.ratio.high
        if not math.isfinite(high - low):
            return None
        if low >= 1 - CLOSE and high <= 1 + CLOSE:
            return True
        return False if high < 1 - CLOSE or low > 1 + CLOSE else None

    @property
    def verdict(self) -> str:
        """The finding in words."""
        if self.holds is None:
            return "undecided"
        if self.holds:
            return "holds"
        return "too high" if self.ratio.value > 1 else "too low"


@display.shown
class Kernel(NamedTuple):
    """A kernel at the start or after training, on samples that were not trained on; means over the seeds."""

    when: str
    """start or end."""
    alpha: Estimate
    """Exponent of the spectrum, by `estimate.alpha`, of the first seed."""
    beta: Estimate
    """Exponent of the target's power, by `estimate.beta`, of the first seed."""
    leading: Estimate
    """Share of the target's power in the ten leading modes, interval over the seeds."""
    alignment: Estimate
    """<K, y y^T>/(|K| |y y^T|), interval over the seeds."""
    eigenvalues: Float64[Array, " modes"]
    """Of K/N, descending, geometric mean over the seeds."""
    cumulative: Float64[Array, " modes"]
    """Share of the target's power in the first modes, mean over the seeds."""


@display.shown
class Width(NamedTuple):
    """What was found at one width."""

    task: str
    """Name of the task."""
    width: int
    """Units in each hidden layer."""
    measured: LearningCurve
    """Test loss of the trained networks along n, one row of trials per seed."""
    exponent: Estimate
    """Minus its log-slope."""
    predictions: tuple[Prediction, ...]
    """From the initial kernel, its spectrum, and the final kernel."""
    kernels: tuple[Kernel, Kernel]
    """At the start, and after training on the largest n."""
    movement: Estimate
    """|K_end - K_start|/|K_start| in the Frobenius norm, interval over the seeds."""

    def __str__(self) -> str:
        said = "; ".join(f"{one.source} {one.ratio} ({one.verdict})" for one in self.predictions)
        start, end = self.kernels
        return (
            f"{self.task}, width {self.width}: measured exponent {self.exponent}; predicted/measured: {said}; kernel "
            f"moved by {self.movement}, alpha {start.alpha} -> {end.alpha}, beta {start.beta} -> {end.beta}, "
            f"power in {LEADING} modes {start.leading.value:.2f} -> {end.leading.value:.2f}"
        )


@display.shown
@dataclasses.dataclass(frozen=True)
class Result:
    """What [run][regimes.tangent_kernels.run] found."""

    widths: tuple[Width, ...]
    """By task, then by width."""
    settings: dict[str, Any]
    """Every argument, and what was chosen for it."""
    name: str = "tangent_kernels"
    """Stem of its files."""

    @property
    def checks(self) -> tuple[tuple[Width, Prediction], ...]:
        """Every claim: a width and a prediction, which has the ratio and whether it holds."""
        return tuple((one, prediction) for one in self.widths for prediction in one.predictions)

    def __str__(self) -> str:
        counts = []
        for source in PREDICTIONS:
            found = [prediction.holds for _, prediction in self.checks if prediction.source == source]
            counts.append(f"{source} {found.count(True)} of {len(found)} (undecided {found.count(None)})")
        heading = f"losses of trained networks predicted within {CLOSE:.0%} by: {', '.join(counts)}"
        return "\n".join([heading, *(str(one) for one in self.widths)])

    def tables(self) -> "dict[str, pd.DataFrame]":
        """losses: one row per size and prediction; verdicts: one per prediction; kernels; spectra."""
        import pandas as pd

        losses, verdicts, found, spectra = [], [], [], []
        for one in self.widths:
            about = {"task": one.task, "width": one.width}
            for prediction in one.predictions:
                for index, n in enumerate(one.measured.at):
                    losses.append(
                        about
                        | {"n": n, "measured": one.measured.loss[index], "stderr": _stderr(one.measured, index)}
                        | {"source": prediction.source, "predicted": prediction.curve.loss[index]}
                    )
                verdicts.append(
                    about
                    | {"source": prediction.source}
                    | _spread("measured_exponent", one.exponent)
                    | _spread("predicted_exponent", prediction.exponent)
                    | _spread("ratio", prediction.ratio)
                    | {"holds": prediction.holds, "verdict": prediction.verdict}
                )
            for kernel in one.kernels:
                numbers = {name: getattr(kernel, name) for name in ("alpha", "beta", "leading", "alignment")}
                row = about | {"when": kernel.when}
                for name, value in numbers.items():
                    row |= _spread(name, value)
                found.append(row | _spread("movement", one.movement))
                for rank, value in enumerate(kernel.eigenvalues):
                    spectra.append(
                        about
                        | {"when": kernel.when, "rank": rank + 1, "eigenvalue": value}
                        | {"power": kernel.cumulative[rank]}
                    )
        frames = {"losses": losses, "verdicts": verdicts, "kernels": found, "spectra": spectra}
        return {name: pd.DataFrame(rows) for name, rows in frames.items()}

    def record(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {
            "settings": self.settings,
            "verdicts": [
                {"task": one.task, "width": one.width, "source": prediction.source, "holds": prediction.holds}
                for one, prediction in self.checks
            ],
        }


def _stderr(curve: LearningCurve, index: int) -> float:
    return math.nan if curve.stderr is None else float(curve.stderr[index])


def _spread(name: str, value: Estimate) -> dict[str, float]:
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def run(
    *,
    tasks: Sequence[str] = TASKS,
    activation: str = "relu",
    depth: int = 2,
    dim: int = 4,
    widths: Sequence[int] = (16, 64, 256),
    sizes: Sequence[int] = (32, 64, 128, 256),
    fresh: int = 384,
    tests: int = 400,
    seeds: int = 4,
    steps: int = 400,
    quick: bool = False,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> Result:
    """Train networks of several widths on several numbers of samples, and predict their losses from their kernels.

    Args:
        tasks: digits (even against odd) and teacher-student (a random network on inputs of the hypercube).
        activation: of the networks: relu, erf or gelu.
        depth: hidden layers.
        dim: inputs of the teacher.
        widths: units in each hidden layer; small ones move their kernel.
        sizes: numbers of training samples, at least three.
        fresh: samples, neither trained nor tested on, for the spectra; at least 48.
        tests: test samples.
        seeds: random starts, at least 3.
        steps: of gradient descent at a quarter of the largest stable rate at infinite width: the time is their product.
        quick: digits alone, small networks.
        seed: of the starts, and of the order of the samples.
        checkpoint: folder in which trained networks are kept; the same call goes on from there.
        progress: called with (what is being done, share of the whole that is done).

    Raises:
        ValueError: unknown words, too few sizes or seeds, more samples than the digits have.

    Source: for the final kernel, Long 2021 (arXiv:2105.14301) and Vyas et al. 2022 (arXiv:2206.10012).
    """
    if quick:
        tasks, widths, sizes, fresh, tests, seeds = ("digits",), (16, 64), (32, 64, 128), 192, 200, 3
    for name in tasks:
        _checks.choice("tasks", name, TASKS)
    if not tasks:
        raise ValueError("`tasks` must name at least one.")
    model = kernels.fully_connected(depth, activation=activation)
    at = _checks.sizes("sizes", sizes, low=2, high=2**20)
    if len(at) < 3:
        raise ValueError(f"`sizes` must be at least three for an exponent, got {len(at)}.")
    wide = [_checks.count("widths", width) for width in widths]
    if not wide:
        raise ValueError("`widths` must hold at least one width.")
    fresh, tests = _checks.count("fresh", fresh, low=48), _checks.count("tests", tests)
    seeds, steps = _checks.count("seeds", seeds, low=3), _checks.count("steps", steps)
    dim, seed = _checks.count("dim", dim), _checks.count("seed", seed, low=0, high=2**20)
    splits = [_split(name, int(at[-1]), tests, fresh, dim, seed) for name in tasks]
    starts = [seed * 1000 + number for number in range(seeds)]
    work, done, found = float(len(splits) * sum(w**2 + 500 for w in wide)), 0.0, []
    for split in splits:
        for width in wide:
            if progress is not None:
                progress(f"{split.name}, width {width}", done / work)
            place = None if checkpoint is None else Path(checkpoint) / f"{split.name}-{width}"
            found.append(_at_width(networks.network(model, width, centred=True), split, at, starts, steps, place))
            done += width**2 + 500
    settings = {
        "tasks": list(tasks),
        "model": str(model),
        "dim": dim,
        "widths": wide,
        "sizes": at.tolist(),
        "fresh": fresh,
        "tests": tests,
        "seeds": seeds,
        "steps": steps,
        "share_of_the_stable_rate": _SHARE,
        "quick": quick,
        "seed": seed,
    }
    return Result(tuple(found), settings)


def flow(gram: Array, cross: Array, y: Array, time: float) -> Float64[Array, " tests"]:
    """Outputs at the test samples after gradient flow in a kernel from zero, for this time.

    K(x, X) sum_i u_i u_i^T y (1 - exp(-lambda_i time/n))/lambda_i, with lambda_i, u_i of K(X, X).

    Args:
        gram: (n, n) kernel of the training samples.
        cross: (tests, n).
        y: (n,) targets.
        time: rate times steps; infinity for kernel regression.
    """
    values, vectors = linalg.eigh(gram)
    values = np.maximum(values, 1e-14 * values[-1])
    gain = -np.expm1(-values * time / len(y)) / values
    return cross @ (vectors @ (gain * (vectors.T @ y)))


def cumulative_power(gram: Array, y: Array) -> tuple[Float64[Array, " modes"], Float64[Array, " modes"]]:
    """Eigenvalues of K/N in descending order, and the share of the target's power in the modes up to each.

    Args:
        gram: (N, N) kernel.
        y: (N,) targets.
    """
    values, vectors = linalg.eigh(gram / len(y))
    power = (vectors[:, ::-1].T @ y) ** 2
    return np.maximum(values[::-1], 0.0), np.cumsum(power) / power.sum()


def alignment(gram: Array, y: Array) -> float:
    """<K, y y^T>/(|K| |y y^T|): 1 for a kernel that knows the target and nothing else.

    Source: Cristianini et al. 2001.
    """
    return float(y @ gram @ y / (np.linalg.norm(gram) * (y @ y)))


class _Split(NamedTuple):
    name: str
    x: Array
    y: Array
    x_test: Array
    y_test: Array
    x_fresh: Array
    y_fresh: Array


def _split(name: str, train: int, test: int, fresh: int, dim: int, seed: int) -> _Split:
    """Training, test and fresh samples."""
    wanted = train + test + fresh
    if name == "digits":
        task = tasks.digits()
        assert task.y is not None
        x, y = task.x.reshape(len(task.x), -1), 2.0 * (task.y.argmax(axis=1) % 2) - 1
    else:
        task = tasks.teacher_student(wanted, dim, seed)
        assert task.y is not None
        x, y = task.x, task.y[:, 0]
    if wanted > len(x):
        raise ValueError(
            f"`sizes`, `tests` and `fresh` ask for {wanted} samples, {name} has {len(x)}: take fewer of one of them."
        )
    order = np.random.default_rng([seed, 1]).permutation(len(x))[:wanted]
    parts = np.split(order, [train, train + test])
    return _Split(name, *(array[part] for part in parts for array in (x, y)))


def _at_width(
    network: networks.Network, split: _Split, sizes: Array, seeds: list[int], steps: int, folder: Path | None
) -> Width:
    """Train, take the kernels, predict."""
    rate = _SHARE * infinite.stable_rate(network, split.x)
    time = rate * steps
    y, y_test = split.y, split.y_test
    begin = [network.init(s, split.x, precision="float64") for s in seeds]
    at_start = [_kernels(network, one, split, len(y)) for one in begin]
    measured = np.empty((len(seeds), len(sizes)))
    predicted = {name: np.empty_like(measured) for name in PREDICTIONS}
    moved: list[Array] = []
    for column, n in enumerate(sizes.tolist()):
        trained = training.train(
            network,
            split.x[:n],
            y[:n],
            test=(split.x_test, y_test),
            rate=rate,
            steps=steps,
            record=[steps],
            seeds=seeds,
            checkpoint=None if folder is None else folder / str(n),
        )
        measured[:, column] = trained.losses()
        for row, s in enumerate(seeds):
            gram, cross = at_start[row]
            end = trained.parameters(s)
            if np.all(np.isfinite(trained.losses()[row])):
                last_gram, last_cross = _kernels(network, end, split, n)
                if n == sizes[-1]:
                    moved.append(_positive(network.tangent_kernel(end, split.x_fresh)))
            else:  # diverged: nothing to predict from
                last_gram, last_cross = np.full((n, n), np.nan), np.full((len(y_test), n), np.nan)
            predicted["initial kernel"][row, column] = _loss(gram[:n, :n], cross[:, :n], y[:n], y_test, time)
            predicted["final kernel"][row, column] = (
                _loss(last_gram, last_cross, y[:n], y_test, time) if np.isfinite(last_gram).all() else math.nan
            )
    fresh = [_positive(network.tangent_kernel(one, split.x_fresh)) for one in begin]
    for row, gram in enumerate(fresh):
        spectrum = estimate.spectrum(gram, split.y_fresh, draws=0)
        predicted["initial spectrum"][row] = dynamics.gradient_flow(spectrum, time, sizes.astype(float))
    fixed = {"k": float(network.width), "time": time}
    curve = LearningCurve.from_trials("n", sizes, measured, fixed, "trained networks")
    found = []
    for name in PREDICTIONS:
        one = LearningCurve.from_trials("n", sizes, predicted[name], fixed, name)
        found.append(Prediction(name, one, one.exponent(), _ratio(predicted[name], measured)))
    if not moved:
        raise ValueError(
            f"`steps`: every network of width {network.width} diverged on {sizes[-1]} samples; take wider ones."
        )
    change = [np.linalg.norm(b - a) / np.linalg.norm(a) for a, b in zip(fresh, moved, strict=False)]
    pair = (_described("start", fresh, split.y_fresh), _described("end", moved, split.y_fresh))
    return Width(
        split.name,
        network.width,
        curve,
        curve.exponent(),
        tuple(found),
        pair,
        _mean(np.array(change), "over the seeds"),
    )


def _kernels(network: networks.Network, parameters: Any, split: _Split, n: int) -> tuple[Array, Array]:
    x = split.x[:n]
    return network.tangent_kernel(parameters, x), network.tangent_kernel(parameters, split.x_test, x)


def _positive(gram: Array) -> Array:
    """The kernel with a diagonal that is not zero where all units of a narrow relu network are off."""
    return gram + 1e-10 * np.mean(np.diagonal(gram)) * np.eye(len(gram))


def _loss(gram: Array, cross: Array, y: Array, y_test: Array, time: float) -> float:
    return float(np.mean((flow(gram, cross, y, time) - y_test) ** 2))


def _ratio(predicted: Array, measured: Array, level: float = 0.95) -> Estimate:
    """Geometric mean over n of mean predicted over mean measured loss, jackknife over the seeds."""

    def log_ratio(rows: Array) -> float:
        return float(np.mean(np.log(predicted[rows].mean(axis=0) / measured[rows].mean(axis=0))))

    count = len(measured)
    value = log_ratio(np.arange(count))
    without = np.array([log_ratio(np.delete(np.arange(count), row)) for row in range(count)])
    stderr = math.sqrt((count - 1) * np.mean((without - without.mean()) ** 2))
    width = float(stats.t.ppf((1 + level) / 2, count - 1)) * stderr
    low, middle, high = np.exp([value - width, value, value + width])
    return Estimate(float(middle), float(low), float(high), level, None, "geometric mean over n, jackknife over seeds")


def _mean(values: Array, method: str, level: float = 0.95) -> Estimate:
    width = 0.0
    if len(values) > 1:
        width = float(stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return Estimate(
        float(values.mean()), float(values.mean()) - width, float(values.mean()) + width, level, None, method
    )


def _described(when: str, grams: list[Array], y: Array) -> Kernel:
    """Spectrum, exponents and alignment of the kernels of all seeds."""
    values, power = zip(*(cumulative_power(gram, y) for gram in grams), strict=True)
    floor = 1e-16 * values[0][0]
    return Kernel(
        when,
        estimate.alpha(grams[0]),
        estimate.beta(grams[0], y),
        _mean(np.array([one[LEADING - 1] for one in power]), "over the seeds"),
        _mean(np.array([alignment(gram, y) for gram in grams]), "over the seeds"),
        np.exp(np.mean(np.log(np.maximum(values, floor)), axis=0)),
        np.mean(power, axis=0),
    )
