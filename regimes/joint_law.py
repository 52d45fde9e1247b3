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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from regimes import (
    _checks,
    corners,
    equivalents,
    forecast,
    frozen,
    kernels,
    networks,
    optima,
    plans,
    runs,
    spectra,
    teachers,
)
from regimes import tasks as datasets
from regimes.corners import Extrapolation
from regimes.results import Estimate, LossSurface
from regimes.teachers import Claim

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

SURFACES = ("theory", "noisy-theory", "features", "networks")
"""Where grids of losses come from."""
TASKS = ("digits", "photographs")
"""Real data for random features."""
WITHIN = 0.15
"""Relative difference from the target up to which an inverted law counts as right."""
_RIDGES = np.geomspace(1e-7, 1e3, 31)
"""Ridges that are tried, in units of the mean diagonal entry of the Gram matrix."""
_TESTS = 2000
_DRAWS = 8


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


@dataclasses.dataclass(frozen=True)
class Surface:
    """A grid of losses and what the laws make of it."""

    name: str
    """One of `SURFACES`."""
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


class Sizes(NamedTuple):
    """How large the experiment is."""

    surfaces: tuple[str, ...]
    """Which of `SURFACES`."""
    theory_n: tuple[int, ...]
    """Samples of the exact surfaces."""
    theory_k: tuple[int, ...]
    """Their features."""
    alpha: float
    """Decay of their spectrum."""
    beta: float
    """Decay of their target power."""
    noise: float
    """Label noise of the noisy one."""
    task: str
    """Real data of the random features."""
    feature_n: tuple[int, ...]
    """Samples there."""
    features: tuple[int, ...]
    """Numbers of random features."""
    feature_trials: int
    """Repetitions, each with its own samples and features."""
    dim: int
    """Dimension of the inputs of the networks."""
    n: tuple[int, ...]
    """Their samples."""
    widths: tuple[int, ...]
    """Units in each of their two hidden layers."""
    trials: int
    """Repetitions, each with its own samples and start."""
    steps: int
    """Steps of each training."""


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
        _checks.count("trials", own(trials, 1, 3)),
        _checks.count("steps", own(steps, 600, 3000), low=10),
    )
    parameters = [_parameters(sizes, width) for width in sizes.widths]
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
        surfaces: some of `SURFACES`; default all.
        task: digits or photographs (which of two a patch is from), for the random features.
        alpha: decay of the exact spectrum.
        beta: decay of its target power.
        noise: label noise of noisy-theory.
        dim: dimension of the inputs of the networks.
        n: their samples; default 32 to 2,048.
        widths: units in each of their layers; default 6 to 128.
        trials: repetitions of each training; default 3.
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

        source = {"features": _features, "networks": _networks}.get(name, _theory)(name, sizes, seed, folder)
        found.append(_surface(name, source, seed, report))
    say("done", 1.0)
    settings = {"seed": seed, "quick": quick, **sizes._asdict()}
    return Result(tuple(found), tuple(claim for one in found for claim in _claims(one)), settings)


class _Source(NamedTuple):
    """Where losses come from."""

    description: str
    n: tuple[int, ...]
    sizes: tuple[int, ...]
    k: Array
    """Features or parameters at `sizes`."""
    count: Callable[[int], int]
    """Features or parameters at any size."""
    guess: float
    units: bool
    measure: Callable[[Sequence[int], int, bool], Array]
    """measure(n, size, fresh) -> losses (trials, n); fresh samples for what was not on the grid."""
    forecast: Callable[[], list[Array]] | None = None
    """Surfaces that need no losses, a draw each."""
    exact: bool = False
    """Whether losses are known and not measured."""


def _theory(name: str, sizes: Sizes, seed: int, folder: Path | None) -> _Source:
    spectrum = spectra.power_law(sizes.alpha, sizes.beta, modes=10**12)
    noise = sizes.noise if name == "noisy-theory" else 0.0

    grid: list[Array] = []

    def measure(n: Sequence[int], size: int, fresh: bool) -> Array:
        if fresh:
            return np.asarray(optima.optimal_ridge(spectrum, np.array(n, dtype=np.float64), float(size), noise).loss)[
                None
            ]
        if not grid:
            at, k = (np.array(one, dtype=np.float64) for one in (sizes.theory_n, sizes.theory_k))
            grid.append(np.asarray(optima.optimal_ridge(spectrum, at, k[:, None], noise).loss))
        return grid[0][[sizes.theory_k.index(size)]]

    return _Source(
        f"exact, alpha = {sizes.alpha:g}, beta = {sizes.beta:g}, noise {noise:g}, best ridge",
        sizes.theory_n,
        sizes.theory_k,
        np.array(sizes.theory_k, dtype=np.float64),
        lambda size: size,
        spectrum.total_power + noise,
        False,
        measure,
        exact=True,
    )


def _features(name: str, sizes: Sizes, seed: int, folder: Path | None) -> _Source:
    pool = datasets.digits() if sizes.task == "digits" else datasets.image_patches(seed=seed)
    y = pool.y if pool.y is not None else datasets.one_hot(frozen.which_photograph(pool))
    model = kernels.fully_connected(1)
    largest = sizes.feature_n[-1]
    tests = min(_TESTS, len(pool.x) - largest)

    def rows(trial: int) -> tuple[Array, Array]:
        order = np.random.default_rng([seed, 1, trial]).permutation(len(pool.x))
        return order[:largest], order[largest : largest + tests]

    store = None
    if folder is not None:
        settings = {"task": sizes.task, "seed": seed, "n": sizes.feature_n, "largest": sizes.features[-1]}
        store = runs.Store(folder / "features", settings)
    held: dict[int, Array] = {}

    def trial(index: int, n: Sequence[int], sizes_: Sequence[int]) -> Array:
        """Losses (sizes, n, ridges)."""
        train, test = rows(index)
        if index not in held or held[index].shape[1] < sizes_[-1]:
            held.clear()
            draw = int(np.random.default_rng([seed, 2, index]).integers(2**31))
            held[index] = model.features(pool.x[np.concatenate([train, test])], sizes_[-1], draw)
        phi = held[index]
        return np.array(
            [
                [_ridges(phi[:i, :k], phi[largest:, :k], y[train[:i]], y[test]) for i in n]
                for k in sizes_
            ]
        )  # fmt: skip

    grids: list[Array] = []

    def measure(n: Sequence[int], size: int, fresh: bool) -> Array:
        if fresh:
            every = np.array([trial(sizes.feature_trials + t, n, [size])[0] for t in range(sizes.feature_trials)])
        else:
            if not grids:
                for t in range(sizes.feature_trials):
                    done = {} if store is None else store.finished([t])
                    grid = done[t]["losses"] if t in done else trial(t, sizes.feature_n, sizes.features)
                    if store is not None and t not in done:
                        store.finish(t, {"losses": grid})
                    grids.append(grid)
            every = np.array(grids)[:, sizes.features.index(size)]
        best = np.exp(np.log(every).mean(axis=0)).argmin(axis=1)
        return every[:, np.arange(len(n)), best]

    def ahead() -> list[Array]:
        draws = []
        for t in range(sizes.feature_trials):
            few = rows(t)[0][: largest // corners.SHARES[0]]
            known = forecast.population(model(pool.x[few]), y[few], draws=20, seed=seed)
            for spectrum, floor, scale in list(zip(known.extended, known.floors, known.scales, strict=True))[:_DRAWS]:
                n, k = np.meshgrid(np.array(sizes.feature_n, float), np.array(sizes.features, float), indexing="ij")
                plain = dataclasses.replace(spectrum, replicates=())
                draws.append(floor + scale * (np.asarray(_best(plain, n, k, float(floor))) - floor))
        return draws

    return _Source(
        f"random features of the {model} on {sizes.task}, best ridge, {sizes.feature_trials} repetitions",
        sizes.feature_n,
        sizes.features,
        np.array(sizes.features, dtype=np.float64),
        lambda size: size,
        float(np.mean(np.sum(y**2, axis=1))),
        False,
        measure,
        ahead if largest // corners.SHARES[0] >= 48 else None,
    )


def _best(spectrum: Any, n: Array, k: Array, noise: float) -> Array:
    """Loss at the best of many ridges; `optima.optimal_ridge` to a third of a per cent, in a tenth of the time."""
    ridges = n[..., None] * np.asarray(equivalents.solve(spectrum, n, k).gamma)[..., None] * np.geomspace(1e-3, 1e4, 29)
    loss = np.asarray(equivalents.loss(spectrum, n[..., None], k[..., None], ridges, noise))
    without = np.asarray(equivalents.loss(spectrum, n, k, 0.0, noise))
    return np.minimum(loss.min(axis=-1), without)


def _ridges(phi: Array, phi_test: Array, y: Array, y_test: Array) -> Array:
    """Test losses of ridge regression at all of `_RIDGES`, from one eigendecomposition of the smaller Gram matrix."""
    n, k = phi.shape
    few = k <= n
    gram = (phi.T @ phi if few else phi @ phi.T) / k
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0.0)
    if few:
        left, right = phi_test @ vectors, vectors.T @ (phi.T @ y) / k
    else:
        left, right = phi_test @ (phi.T @ vectors) / k, vectors.T @ y
    unit = float(np.sum(phi**2)) / (n * k)
    found = []
    for ridge in _RIDGES:
        rest = y_test - left @ (right / (values + ridge * unit)[:, None])
        found.append(np.mean(np.sum(rest**2, axis=1)))
    return np.array(found)


def _networks(name: str, sizes: Sizes, seed: int, folder: Path | None) -> _Source:
    teacher = teachers.draw(sizes.dim, [seed, 3])
    test = teachers.inputs(_TESTS, sizes.dim, np.random.default_rng([seed, 4]))
    labels = teacher.labels(test)

    def measure(n: Sequence[int], size: int, fresh: bool) -> Array:
        student = _student(size)
        found = []
        for t in range(sizes.trials):
            index = t + sizes.trials * fresh
            x = teachers.inputs(sizes.n[-1], sizes.dim, np.random.default_rng([seed, 5, index]))
            start = int(np.random.default_rng([seed, 6, index]).integers(2**31))
            place = None if folder is None else folder / "networks" / f"width-{size}" / f"trial-{index}"
            trained = teachers.train_in_n(
                student, x, teacher.labels(x), list(n), test=(test, labels), seeds=[start], rate=5e-3,
                steps=sizes.steps, record=16, filled=sizes.n[-1], checkpoint=place,
            )  # fmt: skip
            found.append(trained.test[0])
        return np.array(found)

    return _Source(
        f"relu networks of two hidden layers, a random teacher on {sizes.dim} inputs, {sizes.steps} steps of adam, "
        f"early stopping, {sizes.trials} repetition{'s' * (sizes.trials > 1)}",
        sizes.n,
        sizes.widths,
        np.array([_parameters(sizes, width) for width in sizes.widths], dtype=np.float64),
        lambda width: _parameters(sizes, width),
        1.0,
        True,
        measure,
    )


def _student(width: int) -> networks.Network:
    return networks.network(kernels.fully_connected(2, bias_std=0.3), width, parameterisation="standard")


def _parameters(sizes: Sizes, width: int) -> int:
    """Weights and biases of the student."""
    return (sizes.dim + 1) * width + (width + 1) * width + width + 1


def _surface(name: str, source: _Source, seed: int, say: Report) -> Surface:
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


def _verified(one: Extrapolation, design: str, target: float, source: _Source) -> Inversion:
    """The configuration that a fitted law names, off the grid and no larger than it, with the loss there."""
    assert one.fit is not None
    law, nothing = one.fit.law, Estimate(math.nan, math.nan, math.nan, 0.95, None, "not measured")
    among = np.unique(np.geomspace(source.sizes[0], source.sizes[-1], 80).round().astype(np.int64))
    among = np.setdiff1d(among, source.sizes)
    counts = np.array([source.count(int(size)) for size in among], dtype=np.float64)
    missed = Inversion(one.law, design, target, math.nan, math.nan, math.nan, nothing, nothing)
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
    if len(losses) < 2:
        return Estimate(math.exp(value), 0.0, math.inf, 0.95, None, "measured once")
    width = float(stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs))) if len(logs) > 1 else 0.0
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
