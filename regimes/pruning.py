"""Rosenfeld's pruning law: one formula for the loss of networks of any depth, width and density.

Networks of several depths and widths learn a random teacher of few inputs, or handwritten digits, from nested sets of
samples and are pruned by magnitude, a fifth of the remaining weights at a time. The law is fitted to the smaller half
of the shapes and says the losses of the larger half; its invariant depth^phi width^psi density says which networks are
interchangeable, and with it which pruned network is best for a number of parameters. Both are then trained.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import stats

from regimes import _checks, display, fits, laws, pruned, pruned_families, tasks, teachers
from regimes.fits import Fit
from regimes.pruned_families import Budget, Family, Pair
from regimes.results import Estimate
from regimes.teachers import Claim

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""
Data = tuple[Array, Array, Array, Array]

SPREAD = 0.06
"""Spread of the relative divergence that Rosenfeld et al. 2021 found over depth, width and density."""
ALONE = 0.04
"""Spread that they found where each network has a law of its own."""
NETWORKS = 200
"""Pruned networks that the law is asked to describe."""
_RATE, _BATCH = 5e-3, 50
ENDS = {"teacher-student": (4, 1), "digits": (64, 10)}
"""Inputs and outputs of the networks of a task."""
_LARGEST = {"teacher-student": 4096, "digits": 1200}
"""Samples that may be trained on; the other digits are the test."""
_TEST = 4096
"""Samples of the teacher to test on."""
_NOISE = 0.05
"""Variance of the noise of the teacher's labels: a constant scores some ten times what the best networks reach, as the
error of a guess on images is some ten times that of the paper's dense networks."""


class Sizes(NamedTuple):
    """What is learnt and how large the experiment is."""

    task: str
    """teacher-student or digits."""
    noise: float
    """Variance of the noise of the teacher's labels; its signal has variance 1."""
    depths: tuple[int, ...]
    """Hidden layers of the shapes of the grid."""
    widths: tuple[int, ...]
    """Units in each."""
    n: tuple[int, ...]
    """Training samples."""
    held: tuple[tuple[int, int], ...]
    """(depth, width) of further shapes, for the interchange only."""
    rounds: int
    """How often a fifth of the weights is taken away."""
    steps: int
    """Steps of the dense training."""
    rewind: int
    """Step to which the weights are set back."""
    seeds: int
    """Networks of each shape."""
    budgets: tuple[int, ...]
    """Numbers of parameters for which the best network is looked for."""

    @property
    def ends(self) -> tuple[int, int]:
        """Inputs and outputs."""
        return ENDS[self.task]


@display.shown
@dataclasses.dataclass(frozen=True)
class Result:
    """What [run][regimes.pruning.run] found."""

    sizes: Sizes
    """Grid and lengths."""
    families: tuple[Family, ...]
    """The grid, the smaller shapes first."""
    held: tuple[Family, ...]
    """The further shapes."""
    fitted: int
    """How many of the first families the law was fitted to."""
    fit: Fit
    """The law, from the smaller half of the shapes."""
    dense: dict[int, dict[str, float]]
    """For each n the power law of the dense losses, a width^-b depth^-c, with the spread of the families about it."""
    pairs: tuple[Pair, ...]
    """Networks that should be interchangeable, of the further shapes."""
    budgets: tuple[Budget, ...]
    """Best networks for a number of parameters."""
    checks: tuple[Claim, ...]
    """What was expected, what was found."""
    settings: dict[str, Any]
    """Every size and seed."""
    name: str = "pruning"
    """Stem of its files."""

    @property
    def networks(self) -> int:
        """Pruned networks of the grid, each the mean over its seeds."""
        return sum(len(one.density) - 1 for one in self.families)

    def predicted(self, family: Family) -> Float64[Array, " rounds_and_1"]:
        """What the law says of all densities of a family, from its dense loss."""
        return np.asarray(self.fit.law(self.fit.parameters, density=family.density, **family.scales))

    def divergence(self, which: str = "out") -> tuple[Estimate, Estimate]:
        """Mean and spread (standard deviation) of predicted/measured - 1, with intervals from deleting families.

        Args:
            which: in (the smaller half, fitted), out (the larger half) or held (the further shapes).

        Raises:
            ValueError: an unknown word.
        """
        _checks.choice("which", which, ("in", "out", "held"))
        chosen = {"in": self.families[: self.fitted], "out": self.families[self.fitted :], "held": self.held}[which]
        apart = [self.predicted(one)[1:] / one.loss[1:] - 1 for one in chosen]
        return _moments([each[np.isfinite(each)] for each in apart])

    def alone(self) -> tuple[Estimate, Estimate]:
        """Mean and spread of the divergence where each shape of the grid has a law of its own (their Eq. 1).

        What is left of it is the form of one curve and the noise; what `divergence` has beyond it is the invariant.
        """
        apart = []
        for one in self.families:
            fixed = {"dense": float(one.loss[0])}
            fit = fits.fit(laws.PRUNING_SINGLE, one.loss[1:], fixed=fixed, bootstrap=0, density=one.density[1:])
            apart.append(fit.law(fit.parameters, density=one.density[1:]) / one.loss[1:] - 1)
        return _moments(apart)

    @property
    def noise(self) -> tuple[float, float]:
        """Relative spread over seeds of one network of the grid, and of the mean over them; pooled."""
        logs = np.log(np.concatenate([one.losses[1:] for one in self.families]))
        one = math.sqrt(float(np.nanmean(np.nanvar(logs, axis=1, ddof=1))))
        return one, one / math.sqrt(self.sizes.seeds)

    def invariant(self, family: Family, density: Any = None) -> Any:
        """depth^phi width^psi density of a family."""
        at = family.density if density is None else density
        phi, psi = self.fit.parameters["phi"], self.fit.parameters["psi"]
        return family.depth**phi * family.width**psi * np.asarray(at)

    def collapse(self) -> dict[str, float]:
        """Spread of ln m about the law: how far along the invariant, or along the density alone, losses are apart.

        For each network of the grid whose loss lies well between the plateaus, m is read from its loss; its log is
        compared with that of the invariant, and, for the density alone, with the mean of all.
        """
        apart, alone = [], []
        for one in self.families:
            found = np.asarray(self.fit.law.inverse(self.fit.parameters, one.loss, "density", **one.scales))
            top = self.fit.parameters["pruned"]
            inside = (one.loss > 1.2 * one.loss[0]) & (one.loss < 0.8 * top) & np.isfinite(found)
            apart += list(np.log(found[inside] / one.density[inside]))
            alone += list(np.log(found[inside] / one.density[inside] * self.invariant(one, 1.0)))
        return {"invariant": float(np.std(apart)), "density": float(np.std(alone))} if apart else {}

    def interchange(self) -> tuple[Estimate, Estimate]:
        """Mean and spread of measured loss over measured loss of the networks of a pair, minus 1."""
        groups = {(one.n, one.one[:2], one.other[:2]): list[float]() for one in self.pairs}
        for one in self.pairs:
            groups[one.n, one.one[:2], one.other[:2]].append(one.measured[1] / one.measured[0] - 1)
        return _moments([np.array(each) for each in groups.values()])

    def __str__(self) -> str:
        words = {True: "holds", False: "does not hold", None: "undecided"}
        seed, mean = self.noise
        lines = [f"Pruning of {self.networks} networks on {self.sizes.task}, {self.sizes.seeds} seeds each"]
        lines += [
            f"  {one.what}: expected {one.expected}, found {one.found}: {words[one.holds]}" for one in self.checks
        ]
        lines.append(f"  spread over seeds: {seed:.1%} of one network, {mean:.1%} of the mean that is fitted")
        lines.append(f"  {self.fit}")
        for one in self.budgets:
            lines.append(
                f"  {one.parameters} parameters, n = {one.n}: depth {one.depth}, width {one.width} pruned to "
                f"{one.density:.3f} ({one.larger:.1f} times the budget before): predicted {one.predicted:.4f}, found "
                f"{np.exp(np.log(one.measured).mean()):.4f}; dense {np.exp(np.log(one.dense).mean()):.4f}"
            )
        return "\n".join(lines)

    def tables(self) -> "dict[str, pd.DataFrame]":
        """Data frames: networks (a row for each seed), parameters of the law, pairs, budgets, checks."""
        import pandas as pd

        rows = []
        for index, one in enumerate((*self.families, *self.held)):
            role = "in" if index < self.fitted else "out" if index < len(self.families) else "held"
            for number, predicted in enumerate(self.predicted(one)):
                for seed, loss in enumerate(one.losses[number]):
                    shape = {"depth": one.depth, "width": one.width, "n": one.n}
                    left = {"round": number, "density": one.density[number]}
                    left["parameters"] = round(one.density[number] * one.weights) + one.biases
                    rows.append({"role": role, **shape, **left, "seed": seed, "loss": loss, "predicted": predicted})
        estimates = [{"parameter": name, **dataclasses.asdict(one)} for name, one in self.fit.estimates.items()]
        pairs = []
        for pair in self.pairs:
            first, second = (
                {f"{name}_{place}": value for name, value in zip(("depth", "width", "density"), shape, strict=True)}
                for place, shape in ((1, pair.one), (2, pair.other))
            )
            losses = {"predicted": pair.predicted, "loss_1": pair.measured[0], "loss_2": pair.measured[1]}
            pairs.append({"n": pair.n, **first, **second, **losses})
        budgets = []
        for best in self.budgets:
            for seed, (loss, dense) in enumerate(zip(best.measured, best.dense, strict=True)):
                row = {name: value for name, value in best._asdict().items() if name not in ("measured", "dense_shape")}
                shape = {"dense_depth": best.dense_shape[0], "dense_width": best.dense_shape[1]}
                budgets.append({**row, **shape, "seed": seed, "loss": loss, "dense": dense})
        checks = [one._asdict() for one in self.checks]
        named = {"networks": rows, "law": estimates, "pairs": pairs, "budgets": budgets, "checks": checks}
        return {name: pd.DataFrame(each) for name, each in named.items()}

    def record(self) -> dict[str, Any]:
        """All that JSON can hold."""
        divergence = {}
        for which in ("in", "out", "held"):
            mean, spread = self.divergence(which)
            divergence[which] = {"mean": dataclasses.asdict(mean), "spread": dataclasses.asdict(spread)}
        return {
            "run": self.settings,
            "law": self.fit.parameters,
            "divergence": divergence,
            "alone": dict(zip(("mean", "spread"), map(dataclasses.asdict, self.alone()), strict=True)),
            "noise": dict(zip(("one", "mean"), self.noise, strict=True)),
            "collapse": self.collapse(),
            "dense": self.dense,
            "checks": [one._asdict() for one in self.checks],
        }


def plan(
    *,
    task: str = "teacher-student",
    noise: float | None = None,
    depths: Any = None,
    widths: Any = None,
    n: Any = None,
    rounds: int | None = None,
    steps: int | None = None,
    seeds: int | None = None,
    budgets: Any = None,
    quick: bool = False,
) -> Sizes:
    """Sizes of the experiment, those that are not given chosen; see [run][regimes.pruning.run].

    Raises:
        ValueError: an unknown task, fewer than two depths or widths or five shapes, numbers out of range, more rounds
            than weights, a budget that no network of the grid has.
    """

    def own(value: Any, small: Any, large: Any) -> Any:
        return (small if quick else large) if value is None else value

    ends = ENDS[_checks.choice("task", task, tuple(ENDS))]
    digits = task == "digits"
    if digits and noise:
        raise ValueError(f"`noise` is that of the teacher's labels, got {noise:g} for the digits; leave it out.")
    variance = _checks.number("noise", own(noise, *((0.0, 0.0) if digits else (_NOISE, _NOISE))), low=0)
    in_depth = _several("depths", own(depths, *(((1, 2), (1, 2, 4)) if digits else ((2, 3), (2, 3, 4)))), low=1, high=8)
    small, large = ((16, 24, 40), (24, 48, 96)) if digits else ((12, 24, 48), (24, 36, 54, 80))
    in_width = _several("widths", own(widths, small, large), low=2, high=512)
    if len(in_depth) * len(in_width) < 5:
        raise ValueError(
            f"`depths` and `widths` make {len(in_depth) * len(in_width)} shapes, at least 5 are needed: the law is "
            "fitted to half of them."
        )
    in_n = _several("n", own(n, (500,), (250, 1000)), low=_BATCH, high=_LARGEST[task], least=1)
    # Between the depths where there is room, and between the widths.
    deep = (in_depth[-2] + in_depth[-1]) // 2
    between = [round(math.sqrt(a * b)) for a, b in itertools.pairwise(in_width)]
    held = [(deep, between[0]), (in_depth[0], between[-1]), (in_depth[-1], between[-1])]
    held = [shape for shape in dict.fromkeys(held) if shape not in itertools.product(in_depth, in_width)]
    if not held:
        raise ValueError("`widths` and `depths` leave no shape between them to predict; take widths further apart.")
    number = _checks.count("rounds", own(rounds, 14, 18))
    least = pruned_families.shape(in_depth[0], in_width[0], *ends)
    if round(least[0] * (1 - pruned.SHARE) ** number) < 1:
        raise ValueError(f"`rounds` of {number} leave nothing of {least[0]} weights; take fewer or wider networks.")
    length = _checks.count("steps", own(steps, 800, 1000), low=20)
    largest = sum(pruned_families.shape(in_depth[-1], in_width[-1], *ends))
    if budgets is None:
        budgets = (sum(least),) if quick else sorted({sum(least), max(largest // 5, sum(least))})
    wanted = _several("budgets", budgets, low=2 * sum(ends), high=largest, least=1)
    repeats = _checks.count("seeds", own(seeds, 2 if digits else 3, 3 if digits else 8), low=2)
    return Sizes(task, variance, in_depth, in_width, in_n, tuple(held), number, length, length // 20, repeats, wanted)


def run(
    *,
    task: str = "teacher-student",
    noise: float | None = None,
    depths: Any = None,
    widths: Any = None,
    n: Any = None,
    rounds: int | None = None,
    steps: int | None = None,
    seeds: int | None = None,
    budgets: Any = None,
    quick: bool = False,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Report | None = None,
) -> Result:
    """Prune networks over depth, width and data, fit the law to the smaller half, and try what it says.

    Relu networks in the standard parameterisation, weights of standard deviation 0.7/sqrt(fan-in), learn a random
    teacher on [-1, 1]^4 ([teachers.draw][regimes.teachers.draw]; a constant scores 1 + noise), or scikit-learn's
    digits, each pixel centred, on the squared error summed over ten centred indicators: there a constant scores 0.9.
    With four inputs and two hidden layers or more nearly all weights are (depth - 1) width^2, a power of the width, as
    in the paper's networks; with the 64 pixels the first layer holds most weights of the narrow networks.
    Adam at 0.005 in batches of 50, the rate falling to zero as a cosine; weights are set back to those at a twentieth
    of the steps. All test losses are on the same samples, which are never trained on. Seeds are averaged in the
    logarithm, and the dense loss that the law takes is that mean at density 1.

    Args:
        task: teacher-student or digits.
        noise: variance of the noise of the teacher's labels, those of the test too; default 0.05.
        depths: hidden layers of the shapes, at least two; default 2, 3, 4, of digits 1, 2, 4.
        widths: units in each, at least two; default 24, 36, 54, 80, of digits 24, 48, 96.
        n: training samples, up to 4,096 and 1,200; default 250 and 1,000.
        rounds: how often a fifth of the weights is taken away; default 18.
        steps: of the dense training; default 1,000.
        seeds: networks of each shape, at least 2; default 8, of digits 3.
        budgets: numbers of parameters for which the best network is looked for; default those of the smallest shape,
            and a fifth of those of the largest.
        quick: less of everything: no numbers to quote.
        seed: seed of everything random.
        checkpoint: folder from which an interrupted run goes on.
        progress: called with (what is being done, share done).

    Raises:
        ValueError: as `plan`.

    Source: Rosenfeld et al. 2021 (arXiv:2006.10621), there for residual networks on CIFAR-10 and ImageNet.
    """
    wanted: dict[str, Any] = {
        "noise": noise,
        "depths": depths,
        "widths": widths,
        "n": n,
        "rounds": rounds,
        "steps": steps,
    }
    sizes = plan(task=task, **wanted, seeds=seeds, budgets=budgets, quick=quick)
    seed = _checks.count("seed", seed, low=0, high=2**20)
    folder = None if checkpoint is None else Path(checkpoint)
    data = _data(sizes, seed)
    shapes = sorted(
        itertools.product(sizes.depths, sizes.widths),
        key=lambda one: sum(pruned_families.shape(one[0], one[1], *sizes.ends)),
    )
    trained = len(shapes) + len(sizes.held)
    whole = trained * len(sizes.n) + 1 + 2 * len(sizes.n) * len(sizes.budgets)
    done = 0

    def say(what: str, share: float = 0.0) -> None:
        if progress is not None:
            progress(what, min((done + share) / whole, 1.0))

    found = []
    for depth, width in (*shapes, *sizes.held):
        for count in sizes.n:
            name = f"depth {depth}, width {width}, n = {count}"
            options = {"rounds": sizes.rounds, "progress": lambda what, share, name=name: say(f"{name}: {what}", share)}
            found.append(_family(depth, width, count, data, sizes, seed, folder, options))
            done += 1
    families, held = tuple(found[: len(shapes) * len(sizes.n)]), tuple(found[len(shapes) * len(sizes.n) :])
    fitted = -(-len(shapes) // 2) * len(sizes.n)
    say("fitting the law")
    fit = pruned_families.fit_law(families[:fitted], seed=seed)
    dense = {count: pruned_families.dense_law([one for one in families if one.n == count]) for count in sizes.n}
    done += 1
    best = []
    for count in sizes.n:
        for parameters in sizes.budgets:
            say(f"best network of {parameters} parameters, n = {count}")
            best.append(_budget(parameters, count, fit, dense[count], data, sizes, seed, folder))
            done += 2
    say("done", 1.0)
    settings = {"seed": seed, "quick": quick, **sizes._asdict()}
    result = Result(
        sizes, families, held, fitted, fit, dense, tuple(pruned_families.pairs(fit, held)), tuple(best), (), settings
    )
    return dataclasses.replace(result, checks=_claims(result))


def _several(name: str, value: Any, *, low: int, high: int, least: int = 2) -> tuple[int, ...]:
    sizes = _checks.sizes(name, value, low=low, high=high)
    if len(sizes) < least:
        raise ValueError(f"`{name}` must hold at least {least} numbers, got {len(sizes)}.")
    return tuple(int(one) for one in sizes)


def _data(sizes: Sizes, seed: int) -> Data:
    """Training samples of which the first n are nested, and those of the test; every pixel centred."""
    rng, most = np.random.default_rng([seed, 0]), _LARGEST[sizes.task]
    if sizes.task == "teacher-student":
        dim = sizes.ends[0]
        teacher, x = teachers.draw(dim, [seed, 1]), teachers.inputs(most + _TEST, dim, rng)
        y = teacher.labels(x)
        y = y + math.sqrt(sizes.noise) * rng.standard_normal(y.shape)
    else:
        task = tasks.digits()
        order = rng.permutation(len(task.x))
        x = np.asarray(task.x, dtype=np.float64).reshape(len(task.x), -1)[order]
        y = np.asarray(task.y, dtype=np.float64)[order]
        x = x - x[: sizes.n[0]].mean(axis=0)
    return x[:most], y[:most], x[most:], y[most:]


def _training(n: int, data: Data, sizes: Sizes, seed: int) -> tuple[Array, Array, dict[str, Any]]:
    """Samples repeated to the largest n, so that one compiled program serves all n; and how to train."""
    x, y, x_test, y_test = data
    rows = np.arange(sizes.n[-1]) % n
    how = {"test": (x_test, y_test), "steps": sizes.steps, "optimiser": "adam", "rate": _RATE, "batch": _BATCH}
    seeds = [1000 * seed + number for number in range(sizes.seeds)]
    return x[rows], y[rows], how | {"schedule": "cosine", "record": 2, "seeds": seeds}


def _family(
    depth: int,
    width: int,
    n: int,
    data: Data,
    sizes: Sizes,
    seed: int,
    folder: Path | None,
    options: dict[str, Any],
    name: str = "grid",
) -> Family:
    x, y, how = _training(n, data, sizes, seed)
    own = None if folder is None else folder / f"{name}-depth-{depth}-width-{width}-n-{n}"
    found = pruned.prune(
        pruned_families.network(depth, width, sizes.ends[1]),
        x,
        y,
        rewind=sizes.rewind,
        checkpoint=own,
        **how,
        **options,
    )
    return Family(depth, width, n, int(found.weights[0]), found.biases, found.density, found.loss)


def _budget(
    parameters: int,
    n: int,
    fit: Fit,
    dense: dict[str, float],
    data: Data,
    sizes: Sizes,
    seed: int,
    folder: Path | None,
) -> Budget:
    ends = sizes.widths[0], sizes.widths[-1]
    depth, width, density, predicted = pruned_families.best_for(parameters, fit, dense, sizes.depths, ends, sizes.ends)
    weights, biases = pruned_families.shape(depth, width, *sizes.ends)
    # A whole number of rounds of about a fifth that end at the density.
    rounds = max(1, round(math.log(density) / math.log1p(-pruned.SHARE))) if density < 1 else 0
    options: dict[str, Any] = {"rounds": rounds}
    if rounds:
        options["share"] = 1 - ((parameters - biases) / weights) ** (1 / rounds)
    name = f"budget-{parameters}"
    chosen = _family(depth, width, n, data, sizes, seed, folder, options, name)
    rivals = {}
    for layers in sizes.depths:
        units = max(
            (
                one
                for one in range(1, ends[1] + 1)
                if sum(pruned_families.shape(layers, one, *sizes.ends)) <= parameters
            ),
            default=0,
        )
        if units:
            dense_name = f"{name}-dense"
            rival = _family(layers, units, n, data, sizes, seed, folder, {"rounds": 0}, dense_name)
            rivals[layers, units] = rival.losses[0]
    shape = min(rivals, key=lambda one: float(np.log(rivals[one]).mean()))
    larger = (weights + biases) / parameters
    return Budget(n, parameters, depth, width, density, larger, predicted, chosen.losses[-1], shape, rivals[shape])


def _moments(groups: Sequence[Array], level: float = 0.95) -> tuple[Estimate, Estimate]:
    """Mean and standard deviation of all values, with intervals from deleting one group at a time (jackknife)."""
    groups = [each for each in groups if len(each)]
    every = np.concatenate([np.empty(0), *groups])
    made = []
    for statistic in (np.mean, np.std):
        value = float(statistic(every)) if len(every) else math.nan
        width = math.inf
        if len(groups) > 2:
            count = len(groups)
            left = [statistic(np.concatenate([*groups[:i], *groups[i + 1 :]])) for i in range(count)]
            width = float(stats.t.ppf((1 + level) / 2, count - 1) * math.sqrt((count - 1) * np.var(left)))
        low = value - width if statistic is np.mean else max(value - width, 0.0)
        made.append(Estimate(value, low, value + width, level, None, "jackknife over families"))
    return made[0], made[1]


def _under(value: float, limit: float) -> bool | None:
    """Whether a number is below a limit; None where it is not there."""
    return value < limit if math.isfinite(value) else None


def _percent(one: Estimate) -> str:
    if not math.isfinite(one.value):
        return "undetermined"
    return f"{one.value:.1%} [{one.low:.1%}, {one.high:.1%}]"


def _claims(result: Result) -> tuple[Claim, ...]:
    claims = [
        Claim(
            "pruned networks, each a mean over seeds",
            f"at least {NETWORKS}",
            f"{result.networks}",
            result.networks >= NETWORKS,
        )
    ]
    mean, spread = result.alone()
    what = "spread of the law of one curve, fitted to each shape by itself"
    found = f"{_percent(spread)}, mean {_percent(mean)}"
    claims.append(Claim(what, f"under {ALONE:.0%}", found, _under(spread.value, ALONE)))
    for which, what in (("in", "fitted: smaller half of the shapes"), ("out", "extrapolated: larger half")):
        mean, spread = result.divergence(which)
        found = f"{_percent(spread)}, mean {_percent(mean)}"
        claims.append(Claim(f"spread of the law, {what}", f"under {SPREAD:.0%}", found, _under(spread.value, SPREAD)))
    mean, spread = result.interchange()
    limit = math.sqrt(2) * SPREAD
    claims.append(
        Claim(
            f"losses of {len(result.pairs)} pairs that should be equal, at other shapes",
            f"mean and spread together under {limit:.1%}: two of {SPREAD:.0%}",
            f"{_percent(spread)}, mean {_percent(mean)}",
            _under(math.hypot(mean.value, spread.value), limit),
        )
    )
    for one in result.budgets:
        ratio = one.ratio
        holds = None if not (ratio.high < 1 or ratio.low > 1) else ratio.high < 1
        claims.append(
            Claim(
                f"best network of {one.parameters} parameters over the best dense one, n = {one.n}",
                "less than 1: prune a larger one",
                f"{ratio} from {one.larger:.1f} times the size",
                holds,
            )
        )
    return tuple(claims)
