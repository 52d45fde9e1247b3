"""Rosenfeld's constructive prediction: a joint law of data and model size, fitted small, asked about what is large.

Losses are known on a grid of samples n and model sizes k. Laws are fitted to its small corner, n up to an eighth and k
up to a sixteenth of the largest, and predict the rest. What counts is the relative divergence (predicted - L)/L, its
mean and spread over the large configurations. Then a fitted law is inverted: for a loss that no configuration of the
corner reaches it names one that should, off the grid, which is measured on fresh samples.

Grids come from three places: exact theory (random features of a power-law spectrum at the best ridge), random features
on real data at the best ridge, and networks trained with early stopping. None has the interpolation peak, which no law
here but theory without a tuned ridge describes.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from regimes import _checks, corners, display, joint_surfaces, plans, teachers
from regimes.corners import Extrapolation
from regimes.joint_surfaces import SURFACES, TASKS, Sizes, Source
from regimes.results import Estimate, LossSurface
from regimes.teachers import Claim

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

WITHIN = 0.15
"""Relative difference from the target up to which an inverted law counts as right."""


@display.shown
class Inversion(NamedTuple):
    """A configuration that a fitted law names for a loss, and the loss measured there."""

    law: str
    """Name of the law."""
    design: str
    """"cheapest" n k, or "given n"."""
    target: float
    """The loss asked for."""
    n: float
    """Samples; NaN where the law never gets there within the sizes allowed."""
    size: float
    """Features, or units in each layer."""
    k: float
    """Features, or parameters."""
    wanted: Estimate
    """What was solved for, n or k, with its interval over the bootstrap of the fit; before rounding."""
    loss: Estimate
    """There, on fresh samples, with a 95 % interval over repetitions; from one repetition without bounds."""

    @property
    def difference(self) -> float:
        """Measured over target, less 1."""
        return self.loss.value / self.target - 1


@display.shown
@dataclasses.dataclass(frozen=True)
class Surface:
    """A grid of losses and what the laws make of it."""

    name: str
    """One of `joint_surfaces.SURFACES`."""
    description: str
    """Where it comes from, in words."""
    measured: LossSurface
    """The losses; k counts features or parameters."""
    trials: Float64[Array, "trials n k"]
    """One grid per repetition, of which `measured` is the geometric mean; NaN where a training diverged."""
    sizes: tuple[int, ...]
    """Features, or units in each layer, along k."""
    corner: Bool[Array, "n k"]
    """What was fitted."""
    guess: float
    """Loss of the best guess."""
    extrapolations: tuple[Extrapolation, ...]
    """One per law."""
    inversions: tuple[Inversion, ...]
    """Configurations asked for and measured."""

    def of(self, law: str) -> Extrapolation:
        """What one law says.

        Raises:
            ValueError: a law that was not fitted.
        """
        names = tuple(one.law for one in self.extrapolations)
        return self.extrapolations[names.index(_checks.choice("law", law, names))]


@display.shown
@dataclasses.dataclass(frozen=True)
class Result:
    """What [run][regimes.joint_law.run] found."""

    surfaces: tuple[Surface, ...]
    """One per place that losses came from."""
    checks: tuple[Claim, ...]
    """What was expected, what was found."""
    settings: dict[str, Any]
    """Every size and seed."""
    name: str = "joint_law"
    """Stem of its files."""

    def __str__(self) -> str:
        lines = ["Joint laws of data and size, fitted to n up to 1/8 and k up to 1/16, at larger configurations:"]
        for one in self.surfaces:
            lines.append(f"  {one.name}: {one.description}")
            for each in one.extrapolations:
                lines.append(f"    {each.law}: in the corner {each.inside}, beyond it {each.outside}")
            for found in one.inversions:
                if math.isnan(found.n):
                    lines.append(f"    {found.law}, {found.design}: {found.target:.3g} is out of its reach")
                else:
                    lines.append(
                        f"    {found.law}, {found.design}: {found.target:.3g} asked for, n = {found.n:g} and k = "
                        f"{found.k:g}, {found.loss.value:.3g} measured ({found.difference:+.1%})"
                    )
        words = {True: "holds", False: "does not hold", None: "undecided"}
        lines += [
            f"  {one.what}: expected {one.expected}, found {one.found}: {words[one.holds]}" for one in self.checks
        ]
        return "\n".join(lines)

    def tables(self) -> "dict[str, pd.DataFrame]":
        """Data frames: laws (a row per surface and law), losses (a row per configuration), inversions, checks."""
        import pandas as pd

        rows, points, inverted = [], [], []
        for one in self.surfaces:
            for each in one.extrapolations:
                row: dict[str, Any] = {"surface": one.name, "law": each.law}
                for where, found in (("inside", each.inside), ("outside", each.outside)):
                    for what, value in (("mean", found.mean), ("spread", found.spread)):
                        name = f"{where}_{what}"
                        row |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
                    row |= {f"{where}_worst": found.worst, f"{where}_points": found.points}
                rows.append(row | {"fit": "" if each.fit is None else str(each.fit)})
            for (i, j), loss in np.ndenumerate(one.measured.loss):
                point = {"surface": one.name, "n": one.measured.n[i], "k": one.measured.k[j], "size": one.sizes[j]}
                stderr = math.nan if one.measured.stderr is None else one.measured.stderr[i, j]
                point |= {"corner": bool(one.corner[i, j]), "loss": loss, "stderr": stderr}
                points.append(point | {each.law: each.predicted[i, j] for each in one.extrapolations})
            for wanted in one.inversions:
                flat = wanted._asdict() | {"surface": one.name, "difference": wanted.difference}
                for name in ("wanted", "loss"):
                    value = flat.pop(name)
                    flat |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
                inverted.append(flat)
        checks = [one._asdict() for one in self.checks]
        named = {"laws": rows, "losses": points, "inversions": inverted, "checks": checks}
        return {name: pd.DataFrame(each) for name, each in named.items()}

    def record(self) -> dict[str, Any]:
        """All that JSON can hold."""
        return {
            "run": self.settings,
            "surfaces": {
                one.name: {
                    "description": one.description,
                    "guess": one.guess,
                    "corner": int(one.corner.sum()),
                    "laws": {e.law: {"parameters": e.fit.parameters if e.fit else None} for e in one.extrapolations},
                }
                for one in self.surfaces
            },
            "checks": [one._asdict() for one in self.checks],
        }


def plan(
    *,
    surfaces: Any = None,
    task: str = "digits",
    alpha: float = 0.5,
    beta: float = 0.5,
    noise: float = 0.3,
    dim: int = 4,
    n: Any = None,
    widths: Any = None,
    trials: int | None = None,
    steps: int | None = None,
    quick: bool = False,
) -> Sizes:
    """Sizes of the experiment, those that are not given chosen; see [run][regimes.joint_law.run].

    Raises:
        ValueError: an unknown surface or task, numbers out of range, a grid whose corner is too small.
    """

    def own(value: Any, small: Any, large: Any) -> Any:
        return (small if quick else large) if value is None else value

    chosen = (surfaces,) if isinstance(surfaces, str) else SURFACES if surfaces is None else tuple(surfaces)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"`surfaces` must name at least one of {', '.join(SURFACES)}, each once; got {chosen}.")
    for one in chosen:
        _checks.choice("surfaces", one, SURFACES)
    in_n = own(n, (32, 64, 128, 256, 512, 1024, 2048), (32, 64, 128, 256, 512, 1024, 2048))
    in_width = own(widths, (6, 8, 12, 16, 24, 48, 80), (6, 8, 12, 16, 24, 32, 48, 64, 96, 128))
    sizes = Sizes(
        chosen,
        tuple(2**p for p in range(5, 12 if quick else 14)),
        tuple(2**p for p in range(4, 12 if quick else 14)),
        _checks.number("alpha", alpha, low=0, strict=True),
        _checks.number("beta", beta, low=0, strict=True),
        _checks.number("noise", noise, low=0, strict=True),
        _checks.choice("task", task, TASKS),
        tuple(2**p for p in range(3, 10 if quick else 11)),
        tuple(2**p for p in range(2 if quick else 3, 10 if quick else 12)),
        2 if quick else 4,
        _checks.count("dim", dim, high=32),
        tuple(int(v) for v in _checks.sizes("n", in_n, low=8, high=16384)),
        tuple(int(v) for v in _checks.sizes("widths", in_width, low=2, high=1024)),
        _checks.count("trials", own(trials, 1, 10)),
        _checks.count("steps", own(steps, 600, 3000), low=10),
    )
    parameters = [joint_surfaces.parameters(sizes, width) for width in sizes.widths]
    try:
        corners.corner_of(sizes.n, parameters)
    except ValueError as error:
        words = str(error).replace("`k`", "`widths`")
        raise ValueError(words) from None
    return sizes


def run(
    *,
    surfaces: Any = None,
    task: str = "digits",
    alpha: float = 0.5,
    beta: float = 0.5,
    noise: float = 0.3,
    dim: int = 4,
    n: Any = None,
    widths: Any = None,
    trials: int | None = None,
    steps: int | None = None,
    quick: bool = False,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Report | None = None,
) -> Result:
    """Fit joint laws to the small corners of grids of losses, predict the rest, and invert them.

    - theory, noisy-theory: the exact loss of random features with lambda_i = i^-(1+alpha), v_i^2 = i^-(1+beta).
    - features: k random features of the NTK of one hidden layer on real labels, ridge regression at the ridge that is
      best on the test samples. Beside the laws stands a forecast from the kernel's spectrum on the samples of the
      corner, to which no loss is fitted.
    - networks: two hidden layers of relu units in the standard parameterisation learn a random teacher (see
      `teachers`) by adam at a rate of 0.005 that falls as a cosine, in batches of 64; the recorded step of least test
      loss counts. k is their number of parameters.

    Losses are geometric means over repetitions. The target of the inversions is half-way, in the logarithm, between
    the best loss of the corner and that of the whole grid.

    Args:
        surfaces: some of theory, noisy-theory, features, networks; default all.
        task: digits or photographs (which of two a patch is from), for the random features.
        alpha: decay of the exact spectrum.
        beta: decay of its target power.
        noise: label noise of noisy-theory.
        dim: dimension of the inputs of the networks.
        n: their samples; default 32 to 2,048.
        widths: units in each of their layers; default 6 to 128.
        trials: repetitions of each training; default 10.
        steps: steps of each training; default 3,000.
        quick: less of everything: no numbers to quote.
        seed: seed of everything random.
        checkpoint: folder from which an interrupted run goes on.
        progress: called with (what is being done, share done).

    Raises:
        ValueError: as `plan`; a checkpoint of other settings.

    Source: Rosenfeld et al. 2019 (arXiv:1909.12673).
    """
    sizes = plan(
        surfaces=surfaces, task=task, alpha=alpha, beta=beta, noise=noise, dim=dim, n=n, widths=widths, trials=trials,
        steps=steps, quick=quick,
    )  # fmt: skip
    seed = _checks.count("seed", seed, low=0)
    say = progress or (lambda what, share: None)
    folder = None if checkpoint is None else Path(checkpoint)
    found = []
    for index, name in enumerate(sizes.surfaces):

        def report(what: str, share: float, name: str = name, index: int = index) -> None:
            say(f"{name}: {what}", (index + share) / len(sizes.surfaces))

        found.append(_surface(name, joint_surfaces.source(name, sizes, seed, folder), seed, report))
    say("done", 1.0)
    settings = {"seed": seed, "quick": quick, **sizes._asdict()}
    return Result(tuple(found), tuple(claim for one in found for claim in _claims(one)), settings)


def _surface(name: str, source: Source, seed: int, say: Report) -> Surface:
    columns = []
    for index, size in enumerate(source.sizes):
        say(f"size {size}", 0.8 * index / len(source.sizes))
        columns.append(source.measure(source.n, size, False))
    trials = np.stack(columns, axis=-1)
    loss = np.stack([teachers.log_mean(trials[:, i]) for i in range(trials.shape[1])])
    stderr = None
    if len(trials) > 1:
        stderr = loss * np.log(trials).std(axis=0, ddof=1) / math.sqrt(len(trials))
    at = np.array(source.n, dtype=np.float64)
    measured = LossSurface(at, source.k, loss, stderr, {}, source.description)
    corner = corners.corner_of(at, source.k)
    say("laws", 0.8)
    every = [
        corners.extrapolate(measured, law, guess=source.guess, units=source.units, seed=seed) for law in corners.LAWS
    ]  # fmt: skip
    if source.forecast is not None:
        say("forecast", 0.85)
        draws = source.forecast()
        there = np.isfinite(loss)
        middle = np.exp(np.mean(np.log(draws), axis=0))
        every.append(corners.judged("forecast", None, middle, draws, loss, corner & there, ~corner & there))
    target = math.sqrt(float(np.nanmin(loss[corner]) * np.nanmin(loss)))
    inverted = []
    for one in every:
        if one.fit is None:
            continue
        say(f"inverting {one.law}", 0.9)
        inverted.append(_verified(one, "cheapest", target, source))
        if one.law == "rosenfeld":
            inverted.append(_verified(one, "given n", target, source))
    return Surface(name, source.description, measured, trials, source.sizes, corner, source.guess, tuple(every),
                   tuple(inverted))  # fmt: skip


def _verified(one: Extrapolation, design: str, target: float, source: Source) -> Inversion:
    """The configuration that a fitted law names, off the grid and no larger than it, with the loss there."""
    assert one.fit is not None
    law, nothing = one.fit.law, Estimate(math.nan, math.nan, math.nan, 0.95, None, "not measured")
    among = np.unique(np.geomspace(source.sizes[0], source.sizes[-1], 80).round().astype(np.int64))
    among = np.setdiff1d(among, source.sizes)
    counts = np.array([source.count(int(size)) for size in among], dtype=np.float64)
    missed = Inversion(one.law, design, target, math.nan, math.nan, math.nan, nothing, nothing)
    if not len(among):  # consecutive sizes leave none between them
        return missed
    if design == "cheapest":
        needed = corners.needed(law, one.fit.parameters, target, counts, (source.n[0], source.n[-1]))
        allowed = np.isfinite(needed)
        if not allowed.any():
            return missed
        best = int(np.argmin(np.where(allowed, needed * counts, np.inf)))
        n, size = round(float(needed[best])), int(among[best])
        drawn = one.fit.replicates
        rows = corners.needed(law, list(drawn.T), target, np.full(len(drawn), counts[best]), (1, 1e12))
        wanted = corners.interval(float(needed[best]), rows, one.fit.level)
    else:
        n = round(source.n[-1] / math.sqrt(2))
        wanted = plans.plan(one.fit, target, n=float(n)).scales["k"]
        if not counts[0] <= wanted.value <= counts[-1]:
            return missed
        size = int(among[np.argmin(np.abs(np.log(counts / wanted.value)))])
    losses = source.measure([n], size, True)[:, 0]
    found = Estimate.exact(float(losses[0])) if source.exact else _mean(losses)
    return Inversion(one.law, design, target, float(n), float(size), float(source.count(size)), wanted, found)


def _mean(losses: Array) -> Estimate:
    """Geometric mean, with a 95 % interval over repetitions."""
    from scipy import stats

    logs = np.log(losses[np.isfinite(losses)])
    if not len(logs):
        return Estimate(math.nan, math.nan, math.nan, 0.95, None, "diverged")
    value = float(logs.mean())
    if len(logs) < 2:
        return Estimate(math.exp(value), 0.0, math.inf, 0.95, None, "measured once")
    width = float(stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs)))
    return Estimate(math.exp(value), math.exp(value - width), math.exp(value + width), 0.95, None, "over repetitions")


def _claims(one: Surface) -> list[Claim]:
    claims = []
    rosenfeld, theory = one.of("rosenfeld"), one.of("tuned-theory")
    if one.name.endswith("theory"):
        worst = theory.outside.worst
        what = f"{one.name}: tuned-theory from the corner, worst held-out divergence"
        claims.append(Claim(what, "0 (below 1e-4): it is the law", f"{worst:.1g}", worst < 1e-4))
    else:
        errors = [math.hypot(e.outside.mean.value, e.outside.spread.value) for e in (theory, rosenfeld)]
        what = f"{one.name}: root mean square held-out divergence of tuned-theory"
        found = f"{errors[0]:.1%}"
        claims.append(Claim(what, f"at most that of rosenfeld, {errors[1]:.1%}", found, errors[0] <= errors[1]))
    if "forecast" in [each.law for each in one.extrapolations]:
        ahead = one.of("forecast").outside
        error, other = (math.hypot(d.mean.value, d.spread.value) for d in (ahead, rosenfeld.outside))
        what = f"{one.name}: root mean square held-out divergence of the spectrum's forecast"
        claims.append(Claim(what, f"at most that of rosenfeld, {other:.1%}", f"{error:.1%}", error <= other))
    mean, spread = rosenfeld.outside.mean, rosenfeld.outside.spread
    holds = abs(mean.value) <= 0.1 and spread.value <= 0.1
    found = f"{mean.value:+.1%} [{mean.low:+.1%}, {mean.high:+.1%}] ± {spread.value:.1%}"
    what = f"{one.name}: held-out divergence of rosenfeld"
    claims.append(Claim(what, "mean and spread within 10 %", found, holds))
    for each in one.inversions:
        if each.law == "rosenfeld":
            reached = math.isfinite(each.difference)
            found = f"{each.difference:+.1%}" if reached else "no configuration within the grid's range"
            what = f"{one.name}: rosenfeld inverted, {each.design}, against the target"
            claims.append(Claim(what, f"within {WITHIN:.0%}", found, reached and abs(each.difference) <= WITHIN))
    return claims
