"""Random projections of frozen features: the four regimes of a pretrained network's last layer, or of any embedding.

The features phi(x) of M columns do not change any more. Linear regression runs on k random directions A phi of them and
n samples, with A Gaussian, as in the theory, or a random choice of columns. What is predicted comes from the covariance
of the features, the power of the target in it and the noise, all read on samples that are not used again: the loss of
regression on n others is then measured, without ridge, where it has a resonance at n = k, and at the ridge that the
theory calls best, where all four regimes are seen.

Labels that are no linear function of the features leave a part unexplained by all of them. It acts like label noise:
its variance is estimated with the spectrum, and losses are compared with and without it.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from regimes import _checks, display, equivalents, frozen, ridge, subsets
from regimes.results import Check, Comparison, Estimate, LearningCurve, log_slope
from regimes.spectrum import Spectrum

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

PROJECTIONS = ("gaussian", "columns")
REGIMES = ("resolution_n", "resolution_k", "variance_n", "variance_k")
RIDGES = ("no ridge", "tuned ridge")
LARGEST_REFERENCE = 1200
"""Samples from which the population is read at most."""
REPEATS = 4
"""Draws per trial where few samples or few features make a loss noisy."""
_FACTORS = 2.0 ** np.arange(-4, 5)
"""Times the best ridge, to be tried instead of it."""
_STEPS = 97
"""Ridges that are tried on the way to the best one, a factor of 1.3 from one to the next."""


class Sizes(NamedTuple):
    """How large each part of the experiment is."""

    reference: int
    """Samples from which the population is read."""
    test: int
    """Samples held out in each trial."""
    train: int
    """Samples left for training in each trial: n where it stands for infinity."""
    in_n: Array
    """n along the resolution-limited curve with the tuned ridge."""
    in_k: Array
    """k along the other."""
    held: int
    """The k, or n, that is held in the variance-limited panels and at the resonance."""
    past: Array
    """The n that are varied there."""
    past_k: Array
    """The k that are varied there."""
    around: Array
    """The n, or k, around the resonance."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Resonance:
    """Losses across n = k, along one axis and at one ridge."""

    ridge: str
    """no ridge (a hundredth of the best at n = k, for a peak of finite height) or tuned ridge."""
    measured: LearningCurve
    """The loss, noise included."""
    predicted: LearningCurve
    """The same from the spectrum."""


@display.shown
@dataclasses.dataclass(frozen=True)
class FrozenFeatures:
    """What [run][regimes.frozen_features.run] found."""

    data: str
    """Name of the features."""
    description: str
    """The features in words."""
    comparisons: tuple[Comparison, ...]
    """Four regimes without ridge and four with the tuned one; `task` names the ridge. Losses of the resolution-limited
    ones are those above the floor that all features leave at infinite n."""
    resonance: tuple[Resonance, ...]
    """Along n and along k, with next to no ridge and with the tuned one."""
    loss_error: float
    """The same for the whole losses, noise included, of the two resolution-limited curves with the tuned ridge."""
    spectrum: Spectrum
    """The population that the predictions come from; its unlearnable power is the noise."""
    noise: Estimate
    """Variance of the targets that no linear function of all features explains, summed over outputs."""
    columns: int
    """M, number of columns that are not zero."""
    checks: tuple[Check, ...]
    """Every claim, with what was expected and what was found."""
    settings: dict[str, Any]
    """Every size and seed used."""
    name: str = "frozen_features"
    """Stem of the files that it is written to."""

    @property
    def error(self) -> float:
        """Median over the points of all curves with the tuned ridge of |predicted/measured - 1|."""
        every = [abs(p / m - 1) for one in self._with(RIDGES[1]) for p, m in _points(one)]
        return float(np.median(every))

    def _with(self, ridge: str) -> list[Comparison]:
        return [one for one in self.comparisons if one.task == ridge]

    def __str__(self) -> str:
        good = sum(check.holds is True for check in self.checks)
        judged = sum(check.holds is not None for check in self.checks)
        lines = [
            f"{self.data}: {good} of {judged} claims hold; curves predicted from the spectrum of the frozen features "
            f"are within {self.error:.1%} of the measured ones (median, tuned ridge; {self.loss_error:.1%} with the "
            "noise included).",
            f"  {self.description}; noise {self.noise}",
        ]
        for one in self.comparisons:
            lines.append(
                f"  {one.task:11s} {one.regime:12s} predicted {one.predicted_exponent}, measured "
                f"{one.measured_exponent}, losses within {one.difference:.1%}: {one.verdict}"
            )
        return "\n".join(lines)

    def tables(self) -> dict[str, "pd.DataFrame"]:
        """points, exponents, resonance and checks."""
        import pandas as pd

        points, exponents, resonance = [], [], []
        for one in self.comparisons:
            held = "k" if one.measured.along == "n" else "n"
            stderr = _stderr(one.measured)
            for index, at in enumerate(one.measured.at):
                points.append(
                    {"ridge": one.task, "regime": one.regime, one.measured.along: at, held: one.measured.fixed[held]}
                    | {"predicted": one.predicted.loss[index], "measured": one.measured.loss[index]}
                    | {"stderr": stderr[index]}
                )
            row: dict[str, Any] = {"ridge": one.task, "regime": one.regime, "abscissa": one.abscissa}
            for name, exponent in (("predicted", one.predicted_exponent), ("measured", one.measured_exponent)):
                row |= {name: exponent.value, f"{name}_low": exponent.low, f"{name}_high": exponent.high}
            exponents.append(row | {"median_difference": one.difference, "verdict": one.verdict})
        for each in self.resonance:
            held, stderr = "k" if each.measured.along == "n" else "n", _stderr(each.measured)
            for index, at in enumerate(each.measured.at):
                resonance.append(
                    {"ridge": each.ridge, each.measured.along: at, held: each.measured.fixed[held]}
                    | {"predicted": each.predicted.loss[index], "measured": each.measured.loss[index]}
                    | {"stderr": stderr[index]}
                )
        checks = [dataclasses.asdict(check) for check in self.checks]
        frames = {"points": points, "exponents": exponents, "resonance": resonance, "checks": checks}
        return {name: pd.DataFrame(rows) for name, rows in frames.items()}

    def record(self) -> dict[str, Any]:
        """What JSON can hold: settings, noise, errors and the spectrum."""
        return {
            "data": self.data,
            "description": self.description,
            "columns": self.columns,
            "noise": dataclasses.asdict(self.noise),
            "median_error": self.error,
            "median_error_of_the_whole_loss": self.loss_error,
            "spectrum": {
                "eigenvalues": self.spectrum.eigenvalues.tolist(),
                "multiplicity": self.spectrum.multiplicity.tolist(),
                "power": self.spectrum.power.tolist(),
            },
            "sizes": self.settings,
        }


def run(
    source: Any = "teacher-student",
    *,
    targets: Any = None,
    column: str | None = None,
    projection: str = "gaussian",
    width: int = 512,
    depth: int = 2,
    steps: int = 400,
    trials: int = 6,
    quick: bool = False,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Report | None = None,
) -> FrozenFeatures:
    """Measure the four regimes of regression on random projections of frozen features, and predict them.

    Args:
        source: teacher-student, digits or photographs (the label is which of the two a patch is from): a
            network is trained on a part of the samples, which are not used again, and frozen. Or an embedding of
            yours: whatever [inputs.read][regimes.inputs.read] takes as features, one row per sample.
        targets: of an embedding, as there.
        column: of an embedding in a table, as there.
        projection: gaussian, independent Gaussian directions as the theory has them; columns, a random choice among
            the M columns themselves. With few of them, n and k far below M, the two agree. But all M columns are the
            features themselves, with no excess over k = infinity, where M Gaussian directions still have one: see
            [columns_loss][regimes.subsets.columns_loss], which predicts this case for columns that are
            alike. Units of a trained network are not: some are nearly dead, and predictions fail.
        width: units in each hidden layer of the network, so many columns.
        depth: its hidden layers.
        steps: steps of Adam in batches of 64.
        trials: repetitions, each with its own split into training and test samples and its own projections.
        quick: fewer columns, steps and trials.
        seed: seed of everything random.
        checkpoint: folder for the training of the network.
        progress: called with (what is being done, share done).

    Returns:
        FrozenFeatures; intervals at 95 %.

    Raises:
        ValueError: an unknown task or projection; an embedding without targets, with fewer than 600 samples or 32
            columns that are not constant; numbers out of range.

    Valid when the features are close to Gaussian in all directions that matter and the unexplained part of the labels
    does not depend on the features. Both fail to some degree on real data: see the checks.
    """
    _checks.choice("projection", projection, PROJECTIONS)
    trials, seed = _checks.count("trials", trials, low=3, high=64), _checks.count("seed", seed, low=0)
    say = progress or (lambda what, share: None)
    if quick:
        width, steps, trials = min(width, 256), min(steps, 150), min(trials, 4)
    if isinstance(source, str) and source in frozen.PRETRAINED:
        if targets is not None or column is not None:
            raise ValueError(f"`targets` and `column` belong to an embedding; {source} has its own labels.")
        say("training the network", 0.0)
        found = frozen.pretrained(
            source,
            width=width,
            depth=depth,
            steps=steps,
            samples=2500 if quick else 7000,
            seed=seed,
            checkpoint=checkpoint,
        )
    else:
        found = frozen.embedding(source, targets, column)
    phi, y = found.features, found.targets
    sizes = plan(len(phi), phi.shape[1], projection)
    order = np.random.default_rng([seed, 1]).permutation(len(phi))
    reference, rest = order[: sizes.reference], order[sizes.reference :]
    say("spectrum", 0.3)
    spectrum, noise = frozen.population(phi[reference], y[reference], draws=16, seed=_seed(seed, 2))
    sizes = _resolved(sizes, spectrum)

    laws = _Laws(spectrum, projection, phi.shape[1])
    settings = {"source": found.name, "projection": projection, "width": width, "depth": depth, "steps": steps}
    settings |= {"trials": trials, "seed": seed, "quick": quick, "repeats": REPEATS}
    settings |= {key: part.tolist() if isinstance(part, np.ndarray) else part for key, part in sizes._asdict().items()}
    panels = _panels(sizes, laws)
    rows: dict[Any, list[Array]] = {}
    for trial in range(trials):
        say(f"trial {trial + 1} of {trials}", 0.45 + 0.5 * trial / trials)
        for what, losses in _trial(phi[rest], y[rest], sizes, laws, panels, [seed, 3, trial]).items():
            rows.setdefault(what, []).append(losses)
    measured = {what: np.array(one) for what, one in rows.items()}
    comparisons = tuple(
        _compare(panels[what, which], laws, measured[what, which]) for which in RIDGES for what in REGIMES
    )
    resonance = tuple(
        _across(panels[f"resonance_{along}", which], laws, measured[f"resonance_{along}", which])
        for which in RIDGES
        for along in "nk"
    )
    whole = _whole_error(laws, panels, measured)
    checks = _judged(found.name, comparisons, resonance, whole, measured, sizes)
    say("done", 1.0)
    return FrozenFeatures(
        found.name, found.description, comparisons, resonance, whole, spectrum, noise, phi.shape[1], checks, settings
    )


def plan(samples: int, columns: int, projection: str = "gaussian") -> Sizes:
    """Sizes that fit so many samples and columns: powers of sqrt(2).

    The population is read on three eighths of the samples; of the others a third, at most, is left for tests.
    """
    reference = min(3 * samples // 8, LARGEST_REFERENCE)
    rest = samples - reference
    test = min(rest // 3, 800)
    train = rest - test
    grid = np.unique(np.rint(2.0 ** np.arange(3, 16, 0.5)).astype(np.int64))
    held = 1 << min(6, (min(train // 8, columns // 6)).bit_length() - 1)
    widest = columns if projection == "columns" else 16 * held
    return Sizes(
        reference,
        test,
        train,
        grid[(grid >= 16) & (grid <= train)],
        grid[(grid >= 8) & (grid <= min(train // 4, columns // 2))],
        held,
        grid[(grid >= 2 * held) & (grid <= train)],
        grid[(grid >= 2 * held) & (grid <= widest)],
        grid[(grid >= held // 4) & (grid <= min(8 * held, train, widest))],
    )


def _resolved(sizes: Sizes, spectrum: Spectrum) -> Sizes:
    """Without the k of the resolution-limited panel that the spectrum does not resolve."""
    kept = sizes.in_k[sizes.in_k <= spectrum.resolved]
    return sizes._replace(in_k=kept if len(kept) >= 3 else sizes.in_k[:3])


class _Laws(NamedTuple):
    """The predictions of one population under one kind of projection."""

    spectrum: Spectrum
    projection: str
    columns: int

    def loss(self, n: Any, k: Any, ridge: Any = 0.0, *, of: Spectrum | None = None) -> Array:
        """The loss above the noise that is never learnt. Above the floor of all features nothing cancels."""
        spectrum = self.spectrum if of is None else of
        floor, learnable = spectrum.tail_power, dataclasses.replace(spectrum, tail_power=0.0, replicates=())
        if self.projection == "columns" and np.all(np.isfinite(k)):
            return np.asarray(subsets.columns_loss(learnable, n, k, self.columns, ridge, floor, excess=True))
        return np.asarray(equivalents.loss(learnable, n, k, ridge, floor, excess=True))

    def best(self, n: Any, k: Any) -> Array:
        """The ridge with the least loss, of many a factor of 1.3 apart."""
        ridges = self.spectrum.trace * np.geomspace(1e-8, 1e3, _STEPS)
        n, k = np.broadcast_arrays(np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64))
        return np.asarray(ridges[np.argmin(self.loss(n[..., None], k[..., None], ridges), axis=-1)])

    def curve(self, panel: "_Panel", of: Spectrum | None = None) -> Array:
        """What a panel shows: losses above the noise, or excesses over their limit."""
        of = self.spectrum if of is None else of
        losses = self.loss(panel.n, panel.k, panel.ridges, of=of)
        if panel.what == "variance_n":
            return losses - self.loss(math.inf, panel.k[0], of=of)
        if panel.what == "variance_k":
            return losses - self.loss(panel.n[0], math.inf, panel.limit, of=of)
        return losses


class _Panel(NamedTuple):
    """One curve: where it is measured and with which ridges."""

    what: str
    """A regime, or resonance_n or resonance_k."""
    which: str
    """no ridge or tuned ridge."""
    n: Array
    k: Array
    ridges: Array
    limit: float = 0.0
    """The ridge of the kernel at the n that is held, for the excess over it."""

    @property
    def along(self) -> str:
        return self.what[-1]

    @property
    def at(self) -> Array:
        return self.n if self.along == "n" else self.k


def _panels(sizes: Sizes, laws: _Laws) -> dict[tuple[str, str], _Panel]:
    """Every curve, with the ridges that the theory calls best where they are tuned.

    Without ridge n stays well below M, where it would meet the resonance of all columns. The resonance has a hundredth
    of the best ridge at n = k in place of none, for a peak of finite height.
    """
    found, held = {}, float(sizes.held)
    low = float(laws.best(held, held)) / 100
    below = sizes.in_n[sizes.in_n <= min(laws.columns / 2, laws.spectrum.resolved)]
    for which in RIDGES:
        tuned = which == RIDGES[1]
        axes: dict[str, tuple[Any, Any]] = {
            "resolution_n": (sizes.in_n if tuned or len(below) < 3 else below, math.inf),
            "resolution_k": (float(sizes.train), sizes.in_k),
            "variance_n": (sizes.past, held),
            "variance_k": (held, sizes.past_k),
            "resonance_n": (sizes.around, held),
            "resonance_k": (held, sizes.around),
        }
        for what, (n, k) in axes.items():
            n, k = np.broadcast_arrays(np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64))
            ridges = laws.best(n, k) if tuned else np.full(len(n), low if what.startswith("resonance") else 0.0)
            limit = float(laws.best(held, math.inf)) if tuned else 0.0
            found[what, which] = _Panel(what, which, n, k, ridges, limit)
    return found


def _project(phi: Array, k: int, projection: str, rng: np.random.Generator) -> Array:
    """K features, without the factor 1/sqrt(k), whose Gram matrix is phi phi^T on average."""
    columns = phi.shape[1]
    if projection == "columns":
        return phi[:, rng.choice(columns, k, replace=False)] * math.sqrt(columns)
    return phi @ rng.standard_normal((columns, k))


def _trial(
    phi: Array, y: Array, sizes: Sizes, laws: _Laws, panels: dict[tuple[str, str], _Panel], path: list[int]
) -> dict[Any, Array]:
    """Losses of one split into training and test samples: a row for every panel, and two more."""
    rng = np.random.default_rng(path)
    order = rng.permutation(len(phi))
    test, train = order[: sizes.test], order[sizes.test :]
    y_test, held = y[test], sizes.held
    whole = phi * math.sqrt(phi.shape[1])  # all columns as features without their factor 1/sqrt(k)
    floor = _floor(phi, y, test, laws)

    def at(features: Array, rows: Array, delta: float) -> float:
        return ridge.loss_at(features[rows], features[test], y[rows], y_test, ridge=float(delta))

    def along_n(features: Array, rows: Array, panel: _Panel) -> Array:
        return np.array([at(features, rows[: int(n)], d) for n, d in zip(panel.n, panel.ridges, strict=True)])

    def along_k(features: Array, rows: Array, panel: _Panel) -> Array:
        return np.array([at(features[:, : int(k)], rows, d) for k, d in zip(panel.k, panel.ridges, strict=True)])

    wide = _project(phi, int(sizes.in_k[-1]), laws.projection, rng)
    found: dict[Any, Array] = {"floor": np.array([floor])}
    for which in RIDGES:
        found["resolution_n", which] = along_n(whole, train, panels["resolution_n", which]) - floor
        found["resolution_k", which] = along_k(wide, train, panels["resolution_k", which]) - floor
    draws: dict[Any, list[Array]] = {}
    for _ in range(REPEATS):
        few = rng.permutation(train)
        narrow = _project(phi, held, laws.projection, rng)
        limit = ridge.limit_in_n(narrow, y, test)
        wide = _project(phi, int(max(sizes.past_k[-1], sizes.around[-1])), laws.projection, rng)
        for which in RIDGES:
            kernel = at(whole, few[:held], panels["variance_k", which].limit)
            losses = {
                "variance_n": along_n(narrow, few, panels["variance_n", which]) - limit,
                "variance_k": along_k(wide, few[:held], panels["variance_k", which]) - kernel,
                "resonance_n": along_n(narrow, few, panels["resonance_n", which]),
                "resonance_k": along_k(wide, few[:held], panels["resonance_k", which]),
            }
            for what, row in losses.items():
                draws.setdefault((what, which), []).append(row)
    found |= {what: np.mean(rows, axis=0) for what, rows in draws.items()}
    # Whether another ridge would have been better than the theory's.
    panel = panels["resolution_n", RIDGES[1]]
    middle = len(panel.n) // 2
    rows = train[: int(panel.n[middle])]
    found["best ridge"] = np.array([at(whole, rows, factor * panel.ridges[middle]) for factor in _FACTORS])
    return found


def _floor(phi: Array, y: Array, test: Array, laws: _Laws) -> float:
    """The loss on these test samples of the best linear function of all features."""
    if phi.shape[1] < 0.5 * len(phi):
        return ridge.limit_in_n(phi, y, test)
    return laws.spectrum.tail_power


def _curves(panel: _Panel, predicted: Array, rows: Array) -> tuple[LearningCurve, LearningCurve]:
    """Measured and predicted, in the same places."""
    along = panel.along
    fixed = {"k" if along == "n" else "n": float((panel.k if along == "n" else panel.n)[0])}
    measured = LearningCurve.from_trials(along, panel.at, rows, fixed, "measured")
    return measured, LearningCurve(along, panel.at, predicted, fixed=fixed, source="deterministic equivalent")


def _across(panel: _Panel, laws: _Laws, rows: Array) -> Resonance:
    predicted = laws.loss(panel.n, panel.k, panel.ridges) + laws.spectrum.tail_power
    return Resonance(panel.which, *_curves(panel, predicted, rows))


def _compare(panel: _Panel, laws: _Laws, rows: Array) -> Comparison:
    variance = panel.what.startswith("variance")
    where = np.abs(panel.n - panel.k) if variance else panel.at
    predicted = laws.curve(panel)
    measured, expected = _curves(panel, predicted, rows)
    draws = np.array([-log_slope(where, laws.curve(panel, one)) for one in laws.spectrum.replicates])
    exponent = Estimate.from_draws(
        -log_slope(where, predicted),
        draws[np.isfinite(draws)],
        window=(float(where[0]), float(where[-1])),
        method="log-slope of the predicted curve",
    )
    least = np.minimum(panel.n, panel.k).max()
    return Comparison(
        panel.which,
        panel.what,
        measured,
        expected,
        measured.exponent(at=where),
        exponent,
        "|n-k|" if variance else panel.along,
        # What is resolved counts in numbers of modes, which the smaller of n and k limits, and a ridge too.
        math.inf if panel.which == RIDGES[1] or least <= laws.spectrum.resolved else laws.spectrum.resolved,
    )


def _whole_error(laws: _Laws, panels: dict[tuple[str, str], _Panel], measured: dict[Any, Array]) -> float:
    """Median error of the whole losses of the two resolution-limited curves with the tuned ridge."""
    errors = []
    for what in REGIMES[:2]:
        panel = panels[what, RIDGES[1]]
        seen = measured[what, RIDGES[1]].mean(axis=0) + measured["floor"].mean()
        errors += list(np.abs((laws.curve(panel) + laws.spectrum.tail_power) / seen - 1))
    return float(np.median(errors))


def _points(one: Comparison) -> list[tuple[float, float]]:
    return list(zip(one.predicted.loss.tolist(), one.measured.loss.tolist(), strict=True))


def _stderr(curve: LearningCurve) -> Array:
    return np.full(len(curve), np.nan) if curve.stderr is None else curve.stderr


def _judged(
    name: str,
    comparisons: tuple[Comparison, ...],
    resonance: tuple[Resonance, ...],
    whole: float,
    measured: dict[str, Array],
    sizes: Sizes,
) -> tuple[Check, ...]:
    """Every claim."""
    checks = []
    tuned = [one for one in comparisons if one.task == RIDGES[1]]
    every = float(np.median([abs(p / m - 1) for one in tuned for p, m in _points(one)]))
    checks.append(Check(name, 1, "predicted curves, tuned ridge", "median error <= 10 %", f"{every:.1%}", every <= 0.1))
    checks.append(Check(name, 1, "the same with the noise included", "<= 10 %", f"{whole:.1%}", whole <= 0.1))
    for one in comparisons:
        seen = one.measured_exponent
        holds = one.exponent_agrees if math.isfinite(seen.value) and seen.high - seen.low < 1 else None
        checks.append(
            Check(name, 2, f"exponent, {one.regime}, {one.task}", str(one.predicted_exponent), str(seen), holds)
        )
    for one in comparisons:
        if one.task == RIDGES[0] and one.regime.startswith("variance"):
            seen = one.measured_exponent
            near = abs(seen.value - 1) < 0.1
            checks.append(Check(name, 1, f"{one.regime} without ridge", "1 in |n - k|, within 0.1", str(seen), near))
    for each in resonance:
        curve, along = each.measured, each.measured.along
        if each.ridge == RIDGES[0]:
            top = float(curve.at[np.argmax(curve.loss)])
            high = each.predicted.loss.max() / curve.loss.max()
            found = f"at {along} = {top:g}, predicted/measured height {high:.2f}"
            expected = f"a peak at {along} = {sizes.held}"
            checks.append(Check(name, 1, f"resonance along {along}", expected, found, top == sizes.held))
        else:
            assert curve.stderr is not None
            assert curve.trials is not None
            steps = np.diff(curve.trials, axis=1)
            rises = steps.mean(axis=0) / np.maximum(steps.std(axis=0, ddof=1) / math.sqrt(len(steps)), 1e-300)
            found = f"largest rise from one {along} to the next: {rises.max():.1f} standard errors"
            checks.append(Check(name, 1, f"tuned ridge, along {along}", "no rise", found, bool(rises.max() < 3)))
    tried = measured["best ridge"].mean(axis=0)
    cost = float(tried[len(tried) // 2] / tried.min() - 1)
    found = f"{cost:.1%} above the best of the ridges from 1/16 to 16 times it"
    checks.append(Check(name, 1, "the ridge that theory calls best", "within 3 % of the best loss", found, cost < 0.03))
    return tuple(checks)


def _seed(*path: int) -> int:
    """An independent seed for each path."""
    return int(np.random.default_rng(path).integers(2**31))
