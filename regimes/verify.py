"""The four-regime experiment end to end: predicted from the spectrum, measured on the data, compared.

One pool of samples, one kernel and its random features, one target. Four measurements:

- resolution-limited in n: kernel regression (k infinite), n varied;
- resolution-limited in k: k features fitted on all training samples (n as good as infinite), k varied;
- variance-limited in n: few features, n well past k; excess over the same features' loss at infinite n;
- variance-limited in k: few samples, k well past n; excess over the same samples' kernel loss.

Every prediction comes from the spectrum of the Gram matrix and the target power in it; none is fitted to a
measured curve.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from regimes import _checks, display, estimate, folders, plots, ridge, tasks, theory
from regimes.equivalents import loss, solve
from regimes.kernels import Model
from regimes.results import Check, Comparison, Estimate, LearningCurve, log_slope
from regimes.spectrum import Spectrum
from regimes.tasks import Task

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

LARGEST_POOL = 8000
"""Samples used at most: the Gram matrix and its eigenvalues are dense."""
OUTPUTS = 16
"""Independent teachers drawn from the prior in each trial."""
REPEATS = 4
"""Draws per trial in the variance-limited panels, which are cheap and noisy."""


class Sizes(NamedTuple):
    """How large each part of the experiment is."""

    pool: int
    """Samples in all."""
    test: int
    """Samples held out in each trial."""
    in_n: Array
    """n of the resolution-limited panel."""
    in_k: Array
    """k of the resolution-limited panel."""
    held: int
    """The k, or n, held in the variance-limited panels."""
    past: Array
    """The n, or k, varied in them."""
    features: int
    """Random features computed in all: disjoint ones for each trial along k, random choices in the variance panels."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Verification:
    """What [four_regimes][regimes.verify.four_regimes] found for one task."""

    task: str
    """Name of the data and target."""
    description: str
    """The data and the model in words."""
    comparisons: tuple[Comparison, ...]
    """resolution_n, resolution_k, variance_n, variance_k."""
    checks: tuple[Check, ...]
    """The duality checks."""
    spectrum: Spectrum
    """The spectrum that the predictions come from."""
    exponents: dict[str, Estimate]
    """alpha by pivots and by kappa, beta by the target's tail power, over the window in n."""
    settings: dict[str, Any]
    """Every size and seed used."""

    def __str__(self) -> str:
        lines = [f"{self.task}: {self.description}"]
        for one in self.comparisons:
            lines.append(
                f"  {one.regime:13s} predicted {one.predicted_exponent}, measured {one.measured_exponent}, "
                f"losses within {one.difference:.1%}: {one.verdict}"
            )
        return "\n".join(lines)


def four_regimes(
    task: Task,
    model: Model,
    target: str = "prior",
    *,
    n: int | None = None,
    k: int | None = None,
    noise: float = 0.0,
    trials: int = 8,
    seed: int = 0,
    quick: bool = False,
    report: Report | None = None,
) -> Verification:
    """Measure the four regimes of a kernel and its random features on a task, and predict them.

    Args:
        task: the pool of samples.
        model: the kernel, with its features.
        target: "prior" draws teachers from the kernel; "labels" takes the task's own.
        n: largest number of samples in the panel in n; default a third of the pool, 2,048 at most;
            beyond what the spectrum of the pool resolves, predictions are marked as extrapolated.
        k: largest number of features in the panel in k; default an eighth of the training samples, 512 at most.
        noise: variance of Gaussian noise added to all labels, training and test, summed over outputs.
        trials: repetitions, each with its own split, teachers and (along k) disjoint features.
        seed: seed of everything random.
        quick: a smaller pool, fewer features.
        report: called with (what is being done, share done).

    Returns:
        Verification; `exponents` and `comparisons` carry intervals at 95 %.

    Raises:
        ValueError: an unknown target, labels asked of a task without any, n or k beyond the data or too few for
            a fit, fewer than two trials.
    """
    sizes = check(task, target, model, n=n, k=k, noise=noise, trials=trials, seed=seed, quick=quick)
    say = report or (lambda what, share: None)
    if sizes.pool < len(task):
        chosen = np.sort(np.random.default_rng([seed, 0]).permutation(len(task))[: sizes.pool])
        task = _subset(task, chosen)

    say("kernel", 0.0)
    gram = model(task.x)
    say("random features", 0.1)
    phi = model.features(task.x, sizes.features, _seed(seed, 1))
    say("spectrum", 0.35)
    if target == "prior":
        teachers = tasks.prior(gram, OUTPUTS * trials, _seed(seed, 2)) * math.sqrt(trials)
        labels = [teachers[:, t * OUTPUTS : (t + 1) * OUTPUTS] for t in range(trials)]
    else:
        assert task.y is not None
        labels = [task.y] * trials
    spectrum = estimate.spectrum(gram, None if target == "prior" else task.y, seed=_seed(seed, 3))
    labels = [tasks.with_noise(y, noise, _seed(seed, 4, t)) for t, y in enumerate(labels)]

    name = f"{task.name}, {target}"
    rows: dict[str, list[Any]] = {"resolution_n": [], "resolution_k": [], "variance_n": [], "variance_k": []}
    for t, y in enumerate(labels):
        say(f"trial {t + 1} of {trials}", 0.55 + 0.35 * t / trials)
        train, test = task.split(sizes.test, _seed(seed, 5, t))
        full = len(train)
        own = phi[:, t * sizes.in_k[-1] : (t + 1) * sizes.in_k[-1]]
        rows["resolution_n"].append(_kernel_losses(gram, y, train, test, sizes.in_n))
        rows["resolution_k"].append(ridge.loss_in_k(own[train], own[test], y[train], y[test], at=sizes.in_k))
        draws = [_seed(seed, 6, t, repeat) for repeat in range(REPEATS)]
        rows["variance_n"].append(np.mean([_excess_in_n(task, phi, y, sizes, draw) for draw in draws], axis=0))
        rows["variance_k"].append(np.mean([_excess_in_k(task, gram, phi, y, sizes, draw) for draw in draws], axis=0))
    say("comparison", 0.9)
    comparisons = (
        _resolution(name, "n", sizes.in_n, rows["resolution_n"], math.inf, spectrum, noise),
        _resolution(name, "k", sizes.in_k, rows["resolution_k"], full, spectrum, noise),
        _variance(name, "n", sizes, rows["variance_n"], spectrum, noise),
        _variance(name, "k", sizes, rows["variance_k"], spectrum, noise),
    )
    window = (float(sizes.in_n[0]), float(min(sizes.in_n[-1], spectrum.resolved)))
    read = theory.exponents(spectrum, window)
    found = {
        "alpha_kappa": read.alpha,
        "alpha_pivots": estimate.alpha(gram, method="pivots", window=window, splits=4, seed=_seed(seed, 7)),
        "beta": read.beta,
        "rule_n": read.resolution_n,
        "rule_k": read.resolution_k,
    }
    checks = _duality(name, target, noise, gram, phi, sizes, spectrum, comparisons, found, _seed(seed, 8))
    say("done", 1.0)
    settings = {
        "task": str(task),
        "model": str(model),
        "architecture": dataclasses.asdict(model),
        "n_asked": n,
        "k_asked": k,
        "target": target,
        "noise": noise,
        "trials": trials,
        "seed": seed,
        "quick": quick,
        "outputs_per_trial": OUTPUTS if target == "prior" else labels[0].shape[1],
        "repeats_per_trial_in_variance_panels": REPEATS,
        **{key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in sizes._asdict().items()},
    }
    return Verification(name, f"{task}; {model}", comparisons, checks, spectrum, found, settings)


def check(
    task: Task,
    target: str,
    model: Model,
    *,
    n: int | None = None,
    k: int | None = None,
    noise: float = 0.0,
    trials: int = 8,
    seed: int = 0,
    quick: bool = False,
) -> Sizes:
    """Refuse what [four_regimes][regimes.verify.four_regimes] cannot do, before any work; return its sizes.

    Raises:
        ValueError: as `four_regimes`.
    """
    _checks.choice("target", target, ("prior", "labels"))
    if target == "labels" and task.y is None:
        raise ValueError(f"`target` is labels, but {task.name} has none; use the prior.")
    model.checked(f"x of {task.name}", task.x)
    _checks.number("noise", noise, low=0)
    _checks.count("seed", seed, low=0)
    return plan(len(task), n=n, k=k, trials=_checks.count("trials", trials, low=2, high=64), quick=quick)


def plan(available: int, *, n: int | None = None, k: int | None = None, trials: int = 8, quick: bool = False) -> Sizes:
    """Sizes that fit a pool of `available` samples: powers of sqrt(2), so that both axes share their points.

    Raises:
        ValueError: fewer than 256 samples; n or k beyond what the pool allows, or too few for a fit.
    """
    if available < 256:
        raise ValueError(f"the data hold {available} samples; the four regimes need at least 256.")
    pool = min(available, 2000 if quick else LARGEST_POOL)
    test = min(pool // 4, 1500)
    train = pool - test
    most_n = min(pool // 3, 2048) if n is None else _checks.count("n", n, low=128)
    if most_n > train:
        raise ValueError(
            f"`n` is {most_n}, but of {pool} samples only {train} are left for training"
            + (f" ({pool} of the {available} in the data are used at most)." if available > pool else ".")
        )
    most_k = min(max(32, train // 8), 128 if quick else 512) if k is None else _checks.count("k", k, low=48)
    if most_k > train // 4:
        raise ValueError(f"`k` is {most_k}, but must stay below a quarter of the {train} training samples.")
    grid = np.unique(np.rint(2.0 ** np.arange(4, 20, 0.5)).astype(np.int64))
    held = 1 << min(6, (train // 8).bit_length() - 1)
    features = max(trials * int(most_k), (32 if quick else 64) * held)
    past = grid[(grid >= 2 * held) & (grid <= min(features, train // 2))]
    first = 32 if most_k >= 64 else 16
    in_n, in_k = _up_to(grid[grid >= first], most_n), _up_to(grid, most_k)
    return Sizes(pool, test, in_n, in_k, held, past, max(features, int(past[-1])))


def _up_to(grid: Array, last: int) -> Array:
    """The part of a grid up to `last`, which is added if it is well past the point before."""
    inside = grid[grid <= last]
    return np.append(inside, last) if last > 1.15 * inside[-1] else inside


def _seed(*path: int) -> int:
    """An independent seed for each path."""
    return int(np.random.default_rng(path).integers(2**31))


def _subset(task: Task, chosen: Array) -> Task:
    return dataclasses.replace(
        task,
        x=task.x[chosen],
        y=None if task.y is None else task.y[chosen],
        region=None if task.region is None else task.region[chosen],
    )


def _kernel_losses(gram: Array, y: Array, train: Array, test: Array, at: Array) -> Array:
    train = train[: at[-1]]
    return ridge.loss_in_n(gram[np.ix_(train, train)], gram[np.ix_(train, test)], y[train], y[test], at=at)


def _excess_in_n(task: Task, phi: Array, y: Array, sizes: Sizes, seed: int) -> Array:
    """Excess at finite n of `held` random features over their own loss at infinite n, on the same test samples."""
    rng = np.random.default_rng(seed)
    own = phi[:, rng.choice(phi.shape[1], sizes.held, replace=False)]
    train, test = task.split(sizes.test, seed)
    limit = ridge.limit_in_n(own, y, test)
    return np.array([ridge.loss_at(own[train[:n]], own[test], y[train[:n]], y[test]) for n in sizes.past]) - limit


def _excess_in_k(task: Task, gram: Array, phi: Array, y: Array, sizes: Sizes, seed: int) -> Array:
    """Excess at finite k over the kernel's loss on the same `held` training samples."""
    rng = np.random.default_rng(seed)
    train, test = task.split(sizes.test, seed)
    train = train[: sizes.held]
    limit = _kernel_losses(gram, y, train, test, np.array([sizes.held]))[0]
    columns = rng.permutation(phi.shape[1])[: sizes.past[-1]]
    fit, held_out = phi[np.ix_(train, columns)], phi[np.ix_(test, columns)]
    return np.array([ridge.loss_at(fit[:, :k], held_out[:, :k], y[train], y[test]) for k in sizes.past]) - limit


def _resolution(
    name: str, along: str, at: Array, rows: list[Array], other: float, spectrum: Spectrum, noise: float
) -> Comparison:
    fixed = {"k" if along == "n" else "n": other, "ridge": 0.0, "noise": noise}
    measured = LearningCurve.from_trials(along, at, np.array(rows), fixed, "measured")
    if along == "n":
        predicted = theory.predict_curve(spectrum, n=at, noise=noise)
        exponent = measured.exponent(noise)
    else:
        predicted = theory.predict_curve(spectrum, k=at, n=other, noise=noise)
        # n is large and not infinite: L(n, k) = L(inf, k)/(1 - k/n) exactly, for any spectrum and target.
        scale = 1 - at / other
        exponent = LearningCurve.from_trials(along, at, np.array(rows) * scale).exponent(noise)
    return Comparison(
        name,
        f"resolution_{along}",
        measured,
        predicted,
        exponent,
        theory.window_exponent(spectrum, along, at, noise),
        along,
        spectrum.resolved,
    )


def _variance(name: str, along: str, sizes: Sizes, rows: list[Array], spectrum: Spectrum, noise: float) -> Comparison:
    held, at = float(sizes.held), sizes.past.astype(np.float64)
    fixed = {"k" if along == "n" else "n": held, "ridge": 0.0, "noise": noise}
    measured = LearningCurve.from_trials(along, at, np.array(rows), fixed, "measured excess")
    split = theory.ridgeless_split(spectrum, at, held, noise)
    predicted = LearningCurve(along, at, np.asarray(split.excess), fixed=fixed, source="m [B1(m) + noise]/|n - k|")
    return Comparison(
        name,
        f"variance_{along}",
        measured,
        predicted,
        measured.exponent(at=at - held),
        Estimate.exact(1.0),
        "|n-k|",
    )


def _duality(
    name: str,
    target: str,
    noise: float,
    gram: Array,
    phi: Array,
    sizes: Sizes,
    spectrum: Spectrum,
    comparisons: tuple[Comparison, ...],
    found: dict[str, Estimate],
    seed: int,
) -> tuple[Check, ...]:
    """The checks of the duality ladder that data can answer, strongest first."""
    in_n, in_k, var_n, var_k = comparisons
    shared = np.intersect1d(sizes.in_n, sizes.in_k)
    checks = []

    # The unnormalised ridge, delta k, is what the exchange of n and k keeps.
    n, k = np.meshgrid(shared.astype(float), 2.0 * shared)
    unnormalised = 0.01 * spectrum.trace * n.max()
    swapped = solve(spectrum, n, k, unnormalised / k).gamma / solve(spectrum, k, n, unnormalised / n).gamma - 1
    worst = float(np.abs(swapped).max())
    checks.append(
        Check(
            name,
            1,
            "gamma(n, k) = gamma(k, n)",
            "equal",
            f"to {worst:.0e}" if worst else "to the last bit",
            worst < 1e-9,
        )
    )

    pivots = ridge.pivot_curve(gram, shared, trials=4, seed=seed)
    mirror = ridge.feature_pivot_curve(phi[:, : min(phi.shape[1], sizes.pool // 2)], shared, trials=4, seed=seed)
    ratio = float(np.median(mirror.loss / pivots.loss))
    checks.append(
        Check(
            name,
            1,
            f"pivots in n, pivots in k ({shared[0]}-{shared[-1]})",
            "equal (within 10 %)",
            f"ratio {ratio:.3f}, slopes {pivots.exponent().value:.3f}, {mirror.exponent().value:.3f}",
            abs(ratio - 1) <= 0.1,
        )
    )
    both = float(np.median(var_n.measured.loss / var_k.measured.loss))
    checks.append(
        Check(
            name,
            1,
            f"excess at k = {sizes.held}, at n = {sizes.held}",
            "equal, any target (15 %)",
            f"ratio {both:.3f}",
            abs(both - 1) <= 0.15,
        )
    )

    def at_shared(one: Comparison) -> LearningCurve:
        assert one.measured.trials is not None
        place = np.isin(one.measured.at, shared)
        scale = 1 - shared / one.measured.fixed.get("n", math.inf)
        return LearningCurve.from_trials(one.measured.along, shared, one.measured.trials[:, place] * scale)

    data, width = at_shared(in_n), at_shared(in_k)
    expected = float(np.median(loss(spectrum, shared, np.inf, 0, noise) / loss(spectrum, np.inf, shared, 0, noise)))
    amplitude = float(np.median(data.loss / width.loss))
    checks.append(
        Check(
            name,
            1,
            "L(n=m, inf) / L(inf, k=m)",
            f"{expected:.3f} (within 10 %)",
            f"{amplitude:.3f}",
            abs(amplitude / expected - 1) <= 0.1,
        )
    )
    gap = data.exponent(noise).value - width.exponent(noise).value
    theory_gap = -log_slope(shared, loss(spectrum, shared, np.inf, 0, noise) - noise) + log_slope(
        shared, loss(spectrum, np.inf, shared, 0, noise) - noise
    )
    width_of_gap = math.hypot(*(curve.exponent(noise).high - curve.exponent(noise).value for curve in (data, width)))
    checks.append(
        Check(
            name,
            2,
            "exponent in n - exponent in k",
            f"{theory_gap:+.3f}",
            f"{gap:+.3f} ± {width_of_gap:.3f}",
            abs(gap - theory_gap) <= width_of_gap if width_of_gap < 0.3 else None,
        )
    )
    checks.append(_reason(name, target, noise, gram, shared, pivots, found, theory_gap, seed))
    return tuple(checks)


def _reason(
    name: str,
    target: str,
    noise: float,
    gram: Array,
    shared: Array,
    pivots: LearningCurve,
    found: dict[str, Estimate],
    theory_gap: float,
    seed: int,
) -> Check:
    """Why duality holds or does not, in words."""
    universality = float(np.median(ridge.kappa_curve(gram, shared, trials=4, seed=seed).loss / pivots.loss))
    gaussian = (
        f"samples are {'close to' if universality > 0.9 else 'not'} Gaussian: n kappa/pivots = {universality:.2f}"
    )
    alpha, beta = found["alpha_kappa"].value, found["beta"].value
    if noise > 0:
        return Check(name, 4, "reason", "noise breaks duality", f"noise stays along n, not along k; {gaussian}", None)
    if target == "prior":
        return Check(name, 1, "reason", "the target is the kernel's prior, duality is exact", gaussian, None)
    if beta > 1 + alpha:
        return Check(
            name, 3, "reason", "exponents differ", f"beta = {beta:.2f} > 1 + alpha = {1 + alpha:.2f}: k saturates", None
        )
    return Check(
        name,
        2,
        "reason",
        "equal exponents in the limit only",
        f"labels are not drawn from the kernel: beta = {beta:.2f} < 1 + alpha = {1 + alpha:.2f}, exponents differ by "
        f"{theory_gap:+.2f} on this window; {gaussian}",
        None,
    )


def tables(results: Sequence[Verification]) -> dict[str, pd.DataFrame]:
    """The numbers as data frames: points (one row per point), exponents (one per regime) and duality checks."""
    points, exponents, duality = [], [], []
    for result in results:
        for one in result.comparisons:
            measured = one.measured
            held = "k" if measured.along == "n" else "n"
            for index, at in enumerate(measured.at):
                points.append(
                    {
                        "task": one.task,
                        "regime": one.regime,
                        measured.along: at,
                        held: measured.fixed[held],
                        "quantity": "excess" if one.regime.startswith("variance") else "loss",
                        "predicted": one.predicted.loss[index],
                        "measured": measured.loss[index],
                        "stderr": np.nan if measured.stderr is None else measured.stderr[index],
                    }
                )
            row: dict[str, Any] = {"task": one.task, "regime": one.regime, "abscissa": one.abscissa}
            for name, exponent in (("predicted", one.predicted_exponent), ("measured", one.measured_exponent)):
                row |= {name: exponent.value, f"{name}_low": exponent.low, f"{name}_high": exponent.high}
            exponents.append(row | {"median_difference": one.difference, "verdict": one.verdict})
        duality += [dataclasses.asdict(one) for one in result.checks]
    frames = {"points": points, "exponents": exponents, "duality": duality}
    return {name: pd.DataFrame(rows) for name, rows in frames.items()}


def write(results: Sequence[Verification], folder: Path) -> list[Path]:
    """Write the figure (PNG and SVG), the tables (CSV) and all settings and versions (JSON) to a folder.

    None is ever half written: see [folders.write][regimes.folders.write].

    Raises:
        OSError: the folder cannot be written.
    """
    figure = plots.four_regimes([one for result in results for one in result.comparisons])
    settings = {
        "versions": folders.versions(),
        "tasks": [
            {
                **result.settings,
                "exponents": {name: dataclasses.asdict(value) for name, value in result.exponents.items()},
            }
            for result in results
        ],
    }
    writers: dict[str, Callable[[Path], Any]] = {
        "four_regimes.png": lambda path: figure.savefig(path, format="png", dpi=200),
        "four_regimes.svg": lambda path: figure.savefig(path, format="svg"),
        "run.json": lambda path: folders.write_json(path, settings),
    }
    for name, frame in tables(results).items():
        writers[f"{name}.csv"] = functools.partial(frame.to_csv, index=False)
    return folders.write(folder, writers)
