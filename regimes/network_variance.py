"""Variance-limited scaling of trained networks: in width and in the number of samples, excess ~ 1/size.

A network of width w is its infinite-width limit plus a random deviation of order w^-1/2, which depends on the start.
The loss is smooth in the outputs, so the mean excess is of second order, 1/w; but in a single difference of losses the
first order is there too, with a fluctuation of order w^-1/2 that would need about w seeds to average away. Three
quantities without it are measured, each with an interval from the seeds:

- **over the linearised network** of the same seed, whose deviation is the same to first order. What is left is of order
  1/w, with a fluctuation of the same order. The larger part of that is odd under a -> -a, the readout at the start
  turned round: the kernel at the start is even in it, its first derivative in training odd. A centred network that
  starts from -a and is trained on y is minus the one that starts from a and is trained on -y (with two classes: on the
  swapped classes), so each seed is trained on both and the two losses are averaged;
- **over the mean of the ensemble**, E L(f) - L(E f), the quantity of Theorem 1 of Bahri et al.: the variance of the
  outputs for the mean squared error, the Jensen gap for cross-entropy, corrected for the finite ensemble;
- **over the infinite network**, for the mean squared error: the excess over the linearised network, and that of the
  linearised over the infinite one, which depends on the kernel K0 at the start alone and is exact without training.
  Of it the part even in K0 - K is kept. The odd part has first order and mean of order 1/w^2 if E K0 = K, as it is with
  one hidden layer; with more, E K0 - K is of order 1/w and the part left out can be of the order of what is measured.

In n a pool of N samples is divided into N/n shards, the network trained on each from the same start. With mu the
empirical distribution of a shard, the trained outputs and so the loss L(mu) are a function of it: full-batch descent
sees means over the samples alone. L(mu) - L(pool) = DL[mu - pool] + D^2 L[mu - pool, mu - pool]/2 + ..., and the mean
of mu over the shards is the pool's, so over a partition the first order adds up to zero exactly. The second goes as the
variance of the mean of n values out of N drawn without replacement, S^2 (1/n - 1/N): the excess over the pool is
measured against 1/(1/n - 1/N). The excess over the mean of the shards goes as S^2/n: their variance is S^2 (1/n - 1/N)
and two shards have the covariance -S^2/N.

All networks are centred (start at zero): otherwise the outputs at the start keep a variance at infinite width.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import special

from regimes import _checks, display, excesses, infinite, kernels, networks, tasks, training
from regimes.results import Estimate, LearningCurve

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Progress = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

LOSSES = ("mse", "cross-entropy")
CLOSE = 0.1
"""Distance of an exponent from the expected one, and half-width of its interval, up to which it counts as found."""
_SHARE = 0.25
"""Learning rate as a share of the largest stable one at infinite width: narrow networks have larger eigenvalues."""
_POWERS = (2.0, 1.0, 0.5)


def architectures() -> dict[str, kernels.Model]:
    """The architectures by name: two hidden layers, one (shallow), and a small convolutional network for images."""
    erf: dict[str, Any] = {"activation": "erf", "weight_std": 1.5}
    return {
        "relu": kernels.fully_connected(2),
        "erf": kernels.fully_connected(2, **erf),
        "shallow-relu": kernels.fully_connected(1),
        "shallow-erf": kernels.fully_connected(1, **erf),
        "convolutional": kernels.convolutional((1, 1)),
    }


class Case(NamedTuple):
    """What is trained, and how."""

    architecture: str
    """One of [architectures][regimes.network_variance.architectures]."""
    loss: str = "mse"
    """mse or cross-entropy."""
    batch: int | None = None
    """Samples in a batch of sgd; None for gradient descent on all."""

    def __str__(self) -> str:
        return f"{self.architecture}, {self.loss}, {'gd' if self.batch is None else f'sgd in batches of {self.batch}'}"


@display.shown
@dataclasses.dataclass(frozen=True)
class Measurement:
    """An excess of the loss along one axis, and its exponent."""

    case: Case
    """What was trained."""
    axis: str
    """width or n."""
    quantity: str
    """What the excess is over, in words."""
    curve: LearningCurve
    """The excess, times `sign`; one row of trials per seed (per partition along n), pseudo-values of a jackknife where
    the excess is not a mean over seeds."""
    exponent: Estimate
    """Minus its log-slope, jackknife over the seeds."""
    expected: float
    """The exponent that the theory gives; NaN where it gives none."""
    sign: int = 1
    """-1 where finite size lowers the loss."""
    abscissa: Float64[Array, " points"] | None = None
    """What the exponent refers to, where that is not the axis itself: 1/(1/n - 1/N)."""

    @property
    def holds(self) -> bool | None:
        """Whether the expected exponent is in the interval and no farther than 0.1 from the value.

        None (undecided) where the interval holds it but is wider than 0.2 to a side, the value is farther off, or there
        is no interval.
        """
        half = (self.exponent.high - self.exponent.low) / 2
        if not math.isfinite(half) or math.isnan(self.expected):
            return None
        if self.expected not in self.exponent:
            return False
        return True if abs(self.exponent.value - self.expected) <= CLOSE and half <= 2 * CLOSE else None

    @property
    def verdict(self) -> str:
        """The finding in words."""
        if math.isnan(self.expected):
            return "no exponent expected"
        if not math.isfinite(self.exponent.high - self.exponent.low):
            return "undecided: the excess changes sign within its error"
        if self.holds:
            return "agrees"
        gap = self.exponent.value - self.expected
        if self.holds is None:
            return f"undecided: uncertain by {(self.exponent.high - self.exponent.low) / 2:.2f}"
        return f"{'above' if gap > 0 else 'below'} {self.expected:g} by {abs(gap):.2f}"

    def __str__(self) -> str:
        lowers = ", finite size lowers the loss" if self.sign < 0 else ""
        return (
            f"{self.case}: excess over {self.quantity} falls as {self.axis}^-{self.exponent} "
            f"(expected {self.expected:g}{lowers}): {self.verdict}"
        )


@display.shown
@dataclasses.dataclass(frozen=True)
class Result:
    """What [run][regimes.network_variance.run] found."""

    measurements: tuple[Measurement, ...]
    """In width, then in n: where the theorem applies."""
    failures: tuple[Measurement, ...]
    """Losses |f - f_inf|^p with p < 2, whose derivative is not bounded or not continuous: the exponent is p/2."""
    divergence: Float64[Array, "sizes times"]
    """Mean loss of a linear model with rare large inputs after `divergence_steps` steps on `divergence_n` samples."""
    divergence_n: Float64[Array, " sizes"]
    """Numbers of samples."""
    divergence_steps: tuple[int, ...]
    """Numbers of steps."""
    settings: dict[str, Any]
    """Every argument, and what was chosen for it."""
    name: str = "network_variance"
    """Stem of its files."""

    @property
    def checks(self) -> tuple[Measurement, ...]:
        """Every claim: a measurement with what was expected, what was found and whether it holds."""
        return self.measurements + self.failures

    def __str__(self) -> str:
        counts = [sum(one.holds is value for one in self.measurements) for value in (True, False, None)]
        lines = [
            f"variance-limited exponents of trained networks: {counts[0]} of {len(self.measurements)} agree with 1 "
            f"within {CLOSE:g}, {counts[1]} do not, {counts[2]} are undecided"
        ]
        lines += [str(one) for one in self.measurements]
        lines += [str(one) for one in self.failures]
        return "\n".join(lines)

    def tables(self) -> "dict[str, pd.DataFrame]":
        """points: one row per size; exponents: one per measurement; divergence: the linear model with rare inputs."""
        import pandas as pd

        points, exponents = [], []
        for one in self.checks:
            about = {**one.case._asdict(), "axis": one.axis, "quantity": one.quantity}
            for index, at in enumerate(one.curve.at):
                points.append(
                    about
                    | {
                        "size": at,
                        "abscissa": at if one.abscissa is None else one.abscissa[index],
                        "excess": one.sign * one.curve.loss[index],
                        "stderr": np.nan if one.curve.stderr is None else one.curve.stderr[index],
                    }
                )
            read = one.exponent
            exponents.append(
                about
                | {"expected": one.expected, "measured": read.value, "low": read.low, "high": read.high}
                | {"sign": one.sign, "holds": one.holds, "verdict": one.verdict}
            )
        rare = [
            {"n": n, "steps": steps, "loss": self.divergence[row, column]}
            for row, n in enumerate(self.divergence_n)
            for column, steps in enumerate(self.divergence_steps)
        ]
        return {"points": pd.DataFrame(points), "exponents": pd.DataFrame(exponents), "divergence": pd.DataFrame(rare)}

    def record(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {
            "settings": self.settings,
            "verdicts": [{"claim": str(one), "holds": one.holds} for one in self.checks],
        }


class _Data(NamedTuple):
    """Two classes, the pool first."""

    x: Array
    classes: Array
    x_test: Array
    classes_test: Array

    def targets(self, loss: str, *, test: bool = False, swapped: bool = False) -> Array:
        chosen = self.classes_test if test else self.classes
        chosen = 1 - chosen if swapped else chosen
        return chosen if loss == "cross-entropy" else 2.0 * chosen - 1


def run(
    *,
    architectures: Sequence[str] = ("relu", "erf"),
    losses: Sequence[str] = LOSSES,
    batches: Sequence[int] = (16,),
    shallow: Sequence[str] = ("shallow-relu", "shallow-erf"),
    widths: Sequence[int] = (128, 256, 512, 1024),
    samples: int = 64,
    seeds: int = 20,
    pool: int = 512,
    sizes: Sequence[int] = (32, 64, 128, 256),
    width: int = 32,
    partitions: int = 8,
    steps: int = 25,
    tests: int = 400,
    data: tuple[Any, Any] | None = None,
    quick: bool = False,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> Result:
    """Measure the excess of the test loss at finite width and at finite n, and its exponents.

    Args:
        architectures: names from [architectures][regimes.network_variance.architectures], trained with every loss.
        losses: mse, cross-entropy.
        batches: sizes of the batches of sgd, with which the first architecture is trained too: over the linearised
            network only, since the order of the batches leaves a variance at infinite width.
        shallow: architectures for the excess over the infinite network, by the mean squared error.
        widths: at least three.
        samples: training samples of the width axis.
        seeds: random starts at each width, at least 4.
        pool: samples divided into shards along n.
        sizes: of the shards, at least three; each must divide the pool, and be half of it at most.
        width: of the networks along n.
        partitions: random partitions of the pool, each with a start of its own; at least 4.
        steps: of gradient descent, at a quarter of the largest stable rate at infinite width.
        tests: test samples.
        data: inputs and classes 0 or 1; scikit-learn's digits, even against odd, by default.
        quick: erf, whose losses scatter less, and mse alone, few seeds: under half a minute.
        seed: of the starts, the data's order and the partitions.
        checkpoint: folder in which trained networks of the width axis are kept; the same call goes on from there.
        progress: called with (what is being done, share of the whole that is done).

    Raises:
        ValueError: unknown words, sizes that do not divide the pool, fewer than three sizes or four seeds, too few
            samples, classes other than 0 and 1.

    Source: Bahri et al. (arXiv:2102.06701), Theorem 1 and Figure 1a, there without the centring and the pairs.

    Valid when the time (steps times rate) is not long against n, and the width not small: the next order is 1/width^2.
    """
    if quick:
        architectures, losses, batches, shallow = ("erf",), ("mse",), (), ("shallow-erf",)
        widths, seeds, sizes, partitions, pool = (32, 64, 128), 12, (16, 32, 64, 128), 6, 256
    known = _architectures()
    for name in (*architectures, *shallow):
        _checks.choice("architectures", name, tuple(known))
    for loss in losses:
        _checks.choice("losses", loss, LOSSES)
    if not architectures or not losses:
        raise ValueError("`architectures` and `losses` must name at least one each.")
    at = _axis("widths", widths, 1, 2**20)
    samples, seeds = _checks.count("samples", samples, low=2), _checks.count("seeds", seeds, low=4)
    pool, partitions = _checks.count("pool", pool, low=8), _checks.count("partitions", partitions, low=4)
    in_n = _axis("sizes", sizes, 1, pool // 2)
    if np.any(pool % in_n):
        raise ValueError(f"`sizes` must divide `pool`, {pool}, into whole shards; got {in_n.tolist()}.")
    for batch in batches:
        _checks.count("batches", batch, high=samples)
    steps, width, seed = (
        _checks.count("steps", steps),
        _checks.count("width", width),
        _checks.count("seed", seed, low=0, high=2**20),
    )
    split = _split(data, max(samples, pool), _checks.count("tests", tests), seed)
    folder = None if checkpoint is None else Path(checkpoint)

    cases = [Case(name, loss) for name in architectures for loss in losses]
    noisy = [Case(architectures[0], losses[0], int(batch)) for batch in batches]
    limits = [Case(name) for name in shallow]
    meter = _Meter(progress, _work(cases + noisy + limits, at, seeds, len(cases), pool, in_n, partitions, width))
    found: list[Measurement] = []
    failures: list[Measurement] = []
    starts = [seed * 1000 + number for number in range(seeds)]
    for case in (*cases, *noisy, *limits):
        model = known[case.architecture]
        more, less = _in_width(model, case, split, at, samples, starts, steps, case in limits, folder, meter)
        found += more
        failures += less
    for case in cases:
        model = known[case.architecture]
        found += _in_n(model, case, split, in_n, pool, width, steps, partitions, seed, meter)
    times = (10, 1000)
    rare = np.unique(np.rint(np.geomspace(64, 4096, 13)))
    settings = {
        "architectures": list(architectures),
        "losses": list(losses),
        "batches": list(batches),
        "shallow": list(shallow),
        "widths": at.tolist(),
        "samples": samples,
        "seeds": seeds,
        "pool": pool,
        "sizes": in_n.tolist(),
        "width": width,
        "partitions": partitions,
        "steps": steps,
        "tests": tests,
        "data": "scikit-learn's digits, even against odd" if data is None else "given",
        "share_of_the_stable_rate": _SHARE,
        "quick": quick,
        "seed": seed,
    }
    return Result(tuple(found), tuple(failures), excesses.rare_inputs(rare, times), rare, times, settings)


_architectures = architectures  # `run` has an argument of that name


def _axis(name: str, values: Sequence[int], low: int, high: int) -> Array:
    at = _checks.sizes(name, values, low=low, high=high)
    if len(at) < 3:
        raise ValueError(f"`{name}` must be at least three for an exponent, got {len(at)}.")
    return at


def _split(data: tuple[Any, Any] | None, train: int, tests: int, seed: int) -> _Data:
    """Samples in random order."""
    if data is None:
        task = tasks.digits()
        assert task.y is not None
        x, classes = task.x, task.y.argmax(axis=1) % 2
    else:
        if not isinstance(data, tuple | list) or len(data) != 2:
            raise ValueError("`data` must be two arrays, the inputs and their classes, 0 or 1.")
        x, classes = _checks.finite_array("data", data[0]), _checks.finite_array("data", data[1], ndim=1)
        if len(x) != len(classes) or not np.all(np.isin(classes, (0, 1))):
            raise ValueError("`data` must have a class, 0 or 1, for each sample.")
    if train + tests > len(x):
        raise ValueError(
            f"`pool` or `samples` of {train} and `tests` of {tests} are more than the {len(x)} samples of the data."
        )
    order = np.random.default_rng([seed, 1]).permutation(len(x))
    x, classes = x[order], classes[order].astype(np.int64)
    if len(np.unique(classes[:train])) < 2:
        raise ValueError("`data` must hold both classes among the training samples.")
    return _Data(x[:train], classes[:train], x[train : train + tests], classes[train : train + tests])


def _measure(loss: str, targets: Array) -> Callable[[Array], Any]:
    """Test losses of outputs (..., tests, outputs), in float64."""
    if loss == "mse":
        return lambda outputs: np.mean((outputs[..., 0] - targets) ** 2, axis=-1)

    def cross_entropy(outputs: Array) -> Any:
        chosen = np.take_along_axis(outputs, np.broadcast_to(targets[:, None], (*outputs.shape[:-1], 1)), axis=-1)
        return np.mean(special.logsumexp(outputs, axis=-1) - chosen[..., 0], axis=-1)

    return cross_entropy


def _in_width(
    model: kernels.Model,
    case: Case,
    data: _Data,
    widths: Array,
    samples: int,
    seeds: list[int],
    steps: int,
    limit: bool,
    folder: Path | None,
    meter: "_Meter",
) -> tuple[list[Measurement], list[Measurement]]:
    """All excesses of one case along the width, and those of losses for which the theorem does not hold."""
    kind: dict[str, Any] = {"outputs": 2 if case.loss == "cross-entropy" else 1, "centred": True}
    wide = networks.network(model, 1, **kind)
    x, measure = data.x[:samples], _measure(case.loss, data.targets(case.loss, test=True))
    optimiser = "gd" if case.batch is None else "sgd"
    rate = _SHARE * infinite.stable_rate(wide, x, loss=case.loss, optimiser=optimiser, batch=case.batch)
    lazy, spread, whole, even, deviations = [], [], [], [], []
    centre = _infinite(wide, case, data, samples, rate, steps) if case.batch is None and case.loss == "mse" else None
    for w in widths.tolist():
        meter.say(f"{case}: width {w}")
        network = networks.network(model, w, **kind)
        common = {"loss": case.loss, "optimiser": optimiser, "batch": case.batch, "rate": rate, "steps": steps}

        def outputs(one: networks.Network, swapped: bool, label: str, common: Any = common, w: int = w) -> Array:
            y, y_test = (data.targets(case.loss, test=test, swapped=swapped) for test in (False, True))
            place = None if folder is None else folder / f"{case}-{w}-{label}".replace(", ", "-").replace(" ", "-")
            trained = training.train(
                one, x, y[:samples], test=(data.x_test, y_test), seeds=seeds, record=[steps], checkpoint=place, **common
            )
            values = np.array([one.apply(trained.parameters(s), data.x_test) for s in seeds], dtype=np.float64)
            return -values if swapped else values

        pairs = np.stack([outputs(network, swapped, f"{swapped:d}") for swapped in (False, True)], axis=1)
        linear = outputs(networks.linearised(network), False, "linear")
        lazy.append(measure(pairs).mean(axis=1) - measure(linear))
        if case.batch is None:
            spread.append(excesses.ensemble_excess(pairs, measure))
        if centre is not None:
            deviations.append(np.abs(pairs[..., 0] - centre.outputs))
        if limit and centre is not None:
            parts = []
            for s in seeds:
                start = network.init(s, x, precision="float64")
                gram = network.tangent_kernel(start, x)
                cross = network.tangent_kernel(start, data.x_test, x)
                y = data.targets("mse")[:samples]
                y_test = data.targets("mse", test=True)
                parts.append(excesses.kernel_excess((gram, cross), (centre.gram, centre.cross), y, y_test, rate, steps))
            second, first = np.array(parts).T
            even.append(lazy[-1] + second)
            whole.append(lazy[-1] + second + first)
        meter.advance(_cost(case, w) * len(seeds))

    def measured(rows: list[Array], quantity: str, expected: float = 1.0) -> Measurement:
        fixed = {"n": float(samples), "rate": rate}
        return _measurement(case, "width", quantity, widths, np.array(rows).T, fixed, expected)

    found = [measured(lazy, "the linearised network")]
    if spread:
        found.append(measured(spread, "the mean of the ensemble"))
    if even:
        found.append(measured(even, "the infinite network"))
        found.append(measured(whole, "the infinite network, first order left in"))
    failures = []
    if deviations and not limit:
        for power in _POWERS[1:]:
            rows = [np.mean(one**power, axis=(1, 2)) for one in deviations]
            failures.append(measured(rows, f"zero of the loss |f - f_inf|^{power:g}", power / 2))
    return found, failures


class _Infinite(NamedTuple):
    """The infinite network after training."""

    gram: Array
    cross: Array
    outputs: Array


def _infinite(network: networks.Network, case: Case, data: _Data, samples: int, rate: float, steps: int) -> _Infinite:
    x = data.x[:samples]
    gram, cross = infinite.kernel(network, x), infinite.kernel(network, data.x_test, x)
    return _Infinite(gram, cross, excesses.descended(gram, cross, data.targets("mse")[:samples], rate, steps))


def _in_n(
    model: kernels.Model,
    case: Case,
    data: _Data,
    sizes: Array,
    pool: int,
    width: int,
    steps: int,
    partitions: int,
    seed: int,
    meter: "_Meter",
) -> list[Measurement]:
    """Excess over the pool and over the mean of the shards."""
    network = networks.network(model, width, outputs=2 if case.loss == "cross-entropy" else 1, centred=True)
    y, y_test = data.targets(case.loss), data.targets(case.loss, test=True)
    measure = _measure(case.loss, y_test)
    rate = _SHARE * infinite.stable_rate(network, data.x[:pool], loss=case.loss)
    over_pool, over_mean = np.empty((2, partitions, len(sizes)))
    for trial in range(partitions):
        meter.say(f"{case}: partition {trial + 1} of {partitions}")
        start = seed * 1000 + 500 + trial
        order = np.random.default_rng([seed, 2, trial]).permutation(pool)

        def trained(rows: Array, start: int = start) -> Array:
            found = training.train(
                network,
                data.x[rows],
                y[rows],
                test=(data.x_test, y_test),
                loss=case.loss,
                rate=rate,
                steps=steps,
                record=[steps],
                seeds=[start],
            )
            return np.asarray(network.apply(found.parameters(start), data.x_test), dtype=np.float64)

        whole = float(measure(trained(order)))
        for column, size in enumerate(sizes.tolist()):
            shards = np.array([trained(rows) for rows in order.reshape(-1, size)])
            over_pool[trial, column] = measure(shards).mean() - whole
            over_mean[trial, column] = _gap(shards, measure)
        meter.advance(pool * (len(sizes) + 1) * width**2)
    fixed = {"k": float(width), "rate": rate, "pool": float(pool)}
    finite = 1 / (1 / sizes - 1 / pool)
    return [
        _measurement(case, "n", "the whole pool", sizes, over_pool, fixed, 1.0, finite),
        _measurement(case, "n", "the mean of the shards", sizes, over_mean, fixed, 1.0),
    ]


def _gap(shards: Array, measure: Callable[[Array], Any]) -> float:
    """E l(f) - l(E f) over the shards of one partition, by the jackknife; two shards leave one each."""
    count = len(shards)
    total = shards.sum(axis=0)
    without = measure((total - shards) / (count - 1)).mean()
    return float(measure(shards).mean() - count * measure(total / count) + (count - 1) * without)


def _measurement(
    case: Case,
    axis: str,
    quantity: str,
    at: Array,
    trials: Array,
    fixed: dict[str, float],
    expected: float,
    abscissa: Array | None = None,
) -> Measurement:
    # The axis counts: an excess that falls as 1/size weighs the same at every size.
    sign = -1 if float(np.sum(trials.mean(axis=0) * at)) < 0 else 1
    curve = LearningCurve.from_trials(
        "k" if axis == "width" else "n", at, sign * trials, fixed, f"excess over {quantity}"
    )
    return Measurement(case, axis, quantity, curve, curve.exponent(at=abscissa), expected, sign, abscissa)


class _Meter:
    """Tells the caller how far it is."""

    def __init__(self, progress: Progress | None, total: float) -> None:
        self.progress, self.total, self.done = progress, total, 0.0

    def say(self, what: str) -> None:
        if self.progress is not None:
            self.progress(what, min(self.done / self.total, 1.0))

    def advance(self, work: float) -> None:
        self.done += work


def _cost(case: Case, width: int) -> float:
    return float(width**2 + 40 * width + 20_000) * (40 if case.architecture == "convolutional" else 1)


def _work(
    cases: Sequence[Case], widths: Array, seeds: int, in_n: int, pool: int, sizes: Array, partitions: int, width: int
) -> float:
    first = sum(_cost(case, int(w)) * seeds for case in cases for w in widths)
    return first + in_n * partitions * pool * (len(sizes) + 1) * width**2
