"""Size, time and data in one formula: double descent along each of them, and what else is said to follow.

The exact loss of gradient flow on k random features for a time t from n noisy samples
([dynamics][regimes.dynamics]) is one function of the three. Along k and along n it has the peak at n = k; along time
it has one where strong directions have been fitted, noise and all, before weak ones are learnt. The same function is
asked about four things that Boopathy and Fiete (arXiv:2409.05782) name: that larger models need less data at a fixed
time; that over-parameterised or long-trained models are more sensitive to label noise; that scale may not help; and
whether to train longer or larger.

Each is answered twice: by the formula, and by gradient flow on random features with the noise averaged exactly, first
on Gaussian data with two groups of eigenvalues, then on handwritten digits with the formula fed by the spectrum of
their Gram matrix. Places at which a measurement is judged are chosen on the formula, not on the measurement. Time is
that of features which are not divided by the root of k: the flow moves k times as fast.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from regimes import (
    _checks,
    display,
    dynamics,
    estimate,
    flows,
    kernels,
    networks,
    peaks,
    runs,
    spectra,
    tasks,
    teachers,
    training,
)
from regimes.results import Estimate
from regimes.spectrum import Spectrum
from regimes.teachers import Claim

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

DATA = ("gaussian", "digits")
AXES = ("k", "n", "time")
WITHIN = 0.15
"""Share by which a measured ratio may differ from the predicted one beyond its interval."""
_STRONG, _WEAK = (120, 1.0, 2.0), (60, 0.003, 1.0)
"""Modes, eigenvalue and power of the two groups of the Gaussian data."""


class Sizes(NamedTuple):
    """How large the experiment is."""

    data: tuple[str, ...]
    """What is learnt."""
    draws: int
    """Draws of features (and of samples)."""
    seeds: int
    """Networks, each with noise of its own."""
    steps: int
    """Steps of the networks."""
    noise: float
    """Variance of the label noise, in units of the power of the target."""


@display.shown
class Curve(NamedTuple):
    """The loss along one axis, or at a few places, predicted and measured."""

    data: str
    """What is learnt."""
    name: str
    """What it is for."""
    n: Int64[Array, " points"]
    """Samples."""
    k: Int64[Array, " points"]
    """Features."""
    time: Float64[Array, " points"]
    """Time of features that are not divided by the root of k: the flow is at k time."""
    predicted: Float64[Array, " points"]
    """Loss, noise included, from the formula."""
    predicted_sensitivity: Float64[Array, " points"]
    """Derivative of the predicted loss with respect to the noise variance, less 1."""
    loss: Float64[Array, "draws points"]
    """Measured loss, averaged exactly over the label noise."""
    sensitivity: Float64[Array, "draws points"]
    """Its derivative with respect to the noise variance, less 1."""


@display.shown
class Finding(NamedTuple):
    """A ratio of losses, of sensitivities or of sample sizes."""

    data: str
    """What is learnt."""
    what: str
    """Which ratio."""
    predicted: float
    """From the formula; NaN where it does not say."""
    measured: Estimate
    """With an interval over draws."""
    expected: str
    """more: above 1; less: below 1; equal: within 10 % of 1; predicted: what the formula says."""

    @property
    def holds(self) -> bool | None:
        """Whether the whole interval is where it is expected, with the formula; None where it does not decide.

        Where there is no formula the measurement decides alone.
        """
        low, high = {"more": (1.0, math.inf), "less": (0.0, 1.0), "equal": (0.9, 1.1)}.get(
            self.expected, (self.predicted * (1 - WITHIN), self.predicted * (1 + WITHIN))
        )
        if not math.isfinite(self.measured.value):
            return None
        if not math.isnan(self.predicted) and not low <= self.predicted <= high:
            return False
        return teachers.within(self.measured, low, high)


@display.shown
@dataclasses.dataclass(frozen=True)
class Result:
    """What [run][regimes.phenomena.run] found."""

    curves: tuple[Curve, ...]
    """Losses along k, n and time and at the other places."""
    findings: tuple[Finding, ...]
    """Ratios, predicted and measured."""
    checks: tuple[Claim, ...]
    """The same as claims."""
    settings: dict[str, Any]
    """Every size and seed."""
    name: str = "phenomena"
    """Stem of its files."""

    def curve(self, data: str, name: str) -> Curve:
        """One of the curves.

        Raises:
            ValueError: one that was not measured.
        """
        for one in self.curves:
            if (one.data, one.name) == (data, name):
                return one
        raise ValueError(f"`name` must be one of {', '.join(sorted({one.name for one in self.curves}))}, got {name!r}.")

    def __str__(self) -> str:
        held = sum(one.holds is True for one in self.checks)
        words = {True: "holds", False: "does not hold", None: "undecided"}
        lines = [f"Size, time and data: {held} of {len(self.checks)} claims hold"]
        lines += [
            f"  {one.what}: expected {one.expected}, found {one.found}: {words[one.holds]}" for one in self.checks
        ]
        return "\n".join(lines)

    def tables(self) -> "dict[str, pd.DataFrame]":
        """Data frames: curves (a row per point), findings, checks."""
        import pandas as pd

        points = []
        for one in self.curves:
            error = one.loss.std(axis=0, ddof=1) / math.sqrt(len(one.loss))
            for place in range(len(one.n)):
                points.append(
                    {
                        "data": one.data,
                        "curve": one.name,
                        "n": one.n[place],
                        "k": one.k[place],
                        "time": one.time[place],
                        "predicted": one.predicted[place],
                        "loss": one.loss[:, place].mean(),
                        "stderr": error[place],
                        "predicted_sensitivity": one.predicted_sensitivity[place],
                        "sensitivity": one.sensitivity[:, place].mean(),
                    }
                )
        findings = [
            {
                "data": one.data,
                "what": one.what,
                "predicted": one.predicted,
                "measured": one.measured.value,
                "low": one.measured.low,
                "high": one.measured.high,
                "expected": one.expected,
                "holds": one.holds,
            }
            for one in self.findings
        ]
        named = {"curves": points, "findings": findings, "checks": [one._asdict() for one in self.checks]}
        return {name: pd.DataFrame(each) for name, each in named.items()}

    def record(self) -> dict[str, Any]:
        """All that JSON can hold."""
        return {"run": self.settings, "checks": [one._asdict() for one in self.checks]}


class _Setting(NamedTuple):
    """Grids of one kind of data."""

    spectrum: Spectrum
    noise: float
    n: int
    """Samples along k, and features along n."""
    grid: tuple[int, ...]
    """Along k and n."""
    wide: int
    """Features along time."""
    late: float
    """Raw time that is as good as infinite for the peaks."""
    times: tuple[float, ...]
    """Raw times along time."""
    middle: float
    """Raw time at which wider models are compared, still being trained."""
    small: int
    """Features of the smaller model, a quarter of the larger one's."""
    rich: int
    """Samples where longer is compared with larger."""
    early: float
    """Raw time of the larger model inside the region where scale and time are equivalent."""


def two_groups() -> Spectrum:
    """The spectrum of the Gaussian data: 120 modes of eigenvalue 1 and power 2, 60 of 0.003 and power 1."""
    groups = (_STRONG, _WEAK)
    values = np.concatenate([np.full(count, value) for count, value, _ in groups])
    return spectra.listed(values, np.concatenate([np.full(count, power / count) for count, _, power in groups]))


def plan(
    *,
    data: Any = None,
    draws: int | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    noise: float = 0.05,
    quick: bool = False,
) -> Sizes:
    """Sizes of the experiment, those that are not given chosen; see [run][regimes.phenomena.run].

    Raises:
        ValueError: unknown data, fewer than two draws or seeds, noise that is not positive.
    """
    try:
        names = [one.strip() for one in (DATA if data is None else data.split(",") if isinstance(data, str) else data)]
    except (TypeError, AttributeError):
        raise ValueError(f"`data` must be names out of {', '.join(DATA)}, got {data!r}.") from None
    if not names or len(set(names)) < len(names):
        raise ValueError(f"`data` must be different ones of {', '.join(DATA)}, got {names}.")
    return Sizes(
        tuple(_checks.choice("data", one, DATA) for one in names),
        _checks.count("draws", (4 if quick else 12) if draws is None else draws, low=2),
        _checks.count("seeds", (3 if quick else 8) if seeds is None else seeds, low=2),
        _checks.count("steps", (400 if quick else 1500) if steps is None else steps, low=50),
        _checks.number("noise", noise, low=0, strict=True),
    )


def run(
    *,
    data: Any = None,
    draws: int | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    noise: float = 0.05,
    quick: bool = False,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Report | None = None,
) -> Result:
    """Predict and measure double descent along size, time and data, and the four phenomena.

    Every ratio has an interval at 95 % over draws. A draw has samples and features of its own on Gaussian data;
    on digits features (of the NNGP kernel of one hidden relu layer) and training samples are drawn anew, and the test
    samples are the same. Networks of two hidden relu layers in the standard parameterisation learn a teacher of three
    inputs from 128 samples by gradient descent at a common rate, with the noise, with its mirror image and without it.

    Args:
        data: gaussian, digits; default both.
        draws: draws of features and samples; default 12.
        seeds: networks; default 8.
        steps: steps of the networks; default 1,500.
        noise: variance of the label noise, in units of the power of the target.
        quick: less of everything: no numbers to quote.
        seed: seed of everything random.
        checkpoint: folder from which an interrupted run goes on.
        progress: called with (what is being done, share done).

    Raises:
        ValueError: as `plan`; a checkpoint of another run.

    Source: Boopathy and Fiete 2024 (arXiv:2409.05782), whose formulas were not available to us: the formula here is
    that of [dynamics][regimes.dynamics], exact for Gaussian data.
    """
    sizes = plan(data=data, draws=draws, seeds=seeds, steps=steps, noise=noise, quick=quick)
    seed = _checks.count("seed", seed, low=0)
    say = progress or (lambda what, share: None)
    folder = None if checkpoint is None else Path(checkpoint)
    curves: list[Curve] = []
    findings: list[Finding] = []
    for place, name in enumerate(sizes.data):

        def report(what: str, share: float, name: str = name, place: int = place) -> None:
            say(f"{name}: {what}", 0.7 * (place + share) / len(sizes.data))

        setting, measure = _gaussian(sizes) if name == "gaussian" else _digits(sizes, seed)
        found = _measured(name, setting, measure, sizes.draws, seed, folder, report)
        curves += found
        findings += _found(name, setting, {one.name: one for one in found})
    findings += _networks(sizes, seed, folder, lambda what, share: say(what, 0.7 + 0.3 * share))
    say("done", 1.0)
    settings = {"seed": seed, "quick": quick, **sizes._asdict()}
    return Result(tuple(curves), tuple(findings), tuple(_claim(one) for one in findings), settings)


def _claim(one: Finding) -> Claim:
    words = {"more": "above 1", "less": "below 1", "equal": "1 within 10 %"}.get(one.expected, f"within {WITHIN:.0%}")
    predicted = "" if math.isnan(one.predicted) else f", predicted {one.predicted:.3g}"
    return Claim(f"{one.data}: {one.what}", words + predicted, str(one.measured), one.holds)


Measure = Callable[[int, Sequence[tuple[int, int]], dict[tuple[int, int], Array]], dict[tuple[int, int], Array]]
"""Called with (draw, pairs of n and k, raw times for each): losses and sensitivities, (2, times) for each."""


def _gaussian(sizes: Sizes) -> tuple[_Setting, Measure]:
    spectrum = two_groups()
    values = np.repeat(spectrum.eigenvalues, spectrum.multiplicity.astype(int))
    root = np.sqrt(np.repeat(spectrum.power / spectrum.multiplicity, spectrum.multiplicity.astype(int)))

    def measure(draw: Any, pairs: Any, times: Any) -> Any:
        rng = np.random.default_rng(draw)
        z = rng.standard_normal((max(n for n, _ in pairs), len(values)))
        w = rng.standard_normal((max(k for _, k in pairs), len(values))) * np.sqrt(values)
        target = rng.standard_normal((len(values), 8))  # eight outputs in random directions share the power of a mode
        target *= (root / np.linalg.norm(target, axis=1))[:, None]
        found = {}
        for n, k in pairs:
            test = w[:k].T / math.sqrt(k)  # the error over the population is the sum over the modes
            at = k * times[n, k]
            found[n, k] = flows.of_features(z[:n] @ test, z[:n] @ target, test, target, at) * len(values)
        return found

    grid = (20, 40, 80, 113, 160, 226, 320, 640)
    times = tuple(np.geomspace(1e-3, 1e3, 25))
    noise = sizes.noise * spectrum.total_power
    return _Setting(spectrum, noise, 160, grid, 800, 1e4, times, 5.0, 80, 640, 6e-4), measure


def _digits(sizes: Sizes, seed: int) -> tuple[_Setting, Measure]:
    task, model = tasks.digits(), kernels.fully_connected(1, kind="nngp")
    assert task.y is not None
    pool, test = task.split(797, seed)
    labels = task.y
    spectrum = estimate.spectrum(model(task.x[pool]), labels[pool], draws=0)
    tested = test[:500]

    def measure(draw: Any, pairs: Any, times: Any) -> Any:
        rng = np.random.default_rng(draw)
        train = rng.permutation(pool)
        rows = np.concatenate([train, tested])
        phi = model.features(task.x[rows], max(k for _, k in pairs), int(rng.integers(2**31)))
        found = {}
        for n, k in pairs:
            scaled = phi[:, :k] / math.sqrt(k)
            at = k * times[n, k]
            found[n, k] = flows.of_features(scaled[:n], labels[train[:n]], scaled[len(train) :], labels[tested], at)
        return found

    grid = (32, 64, 128, 181, 256, 362, 512, 900)
    times = tuple(np.geomspace(1e-3, 1e4, 25))
    noise = sizes.noise * spectrum.total_power
    return _Setting(spectrum, noise, 256, grid, 900, 1e6, times, 0.5, 64, 900, 0.05), measure


def _places(setting: _Setting) -> dict[str, list[tuple[int, int, float]]]:
    """(n, k, raw time) of every curve."""
    n, four = setting.n, 4 * setting.small
    grown = (setting.grid[0] // 2, *setting.grid)
    curves = {
        "k": [(n, k, setting.late) for k in setting.grid],
        "n": [(size, n, setting.late) for size in setting.grid],
        "time": [(n, setting.wide, time) for time in setting.times],
        "data, small": [(size, setting.small, setting.middle) for size in grown],
        "data, large": [(size, four, setting.middle) for size in grown],
        "k, middle": [(n, k, setting.middle) for k in setting.grid],
    }
    rich, small = setting.rich, setting.small
    curves["longer"] = [(rich, small, 4 * setting.early), (rich, small, 4 * setting.late)]
    curves["larger"] = [(rich, four, setting.early), (rich, four, setting.late)]
    return curves


def _measured(
    name: str, setting: _Setting, measure: Measure, draws: int, seed: int, folder: Path | None, report: Report
) -> list[Curve]:
    curves = _places(setting)
    times: dict[tuple[int, int], list[float]] = {}
    for points in curves.values():
        for n, k, time in points:
            if time not in times.setdefault((n, k), []):
                times[n, k].append(time)
    pairs, ordered = sorted(times), {pair: np.array(times[pair]) for pair in times}
    settings = {"experiment": "phenomena", "data": name, "seed": seed, "places": curves}
    store = None if folder is None else runs.Store(folder / f"draws-{name}", settings)
    done = {} if store is None else store.finished(range(draws))
    for draw in range(draws):
        report(f"draw {draw + 1}", draw / draws)
        if draw not in done:
            found = measure([seed, draw, 7], pairs, ordered)  # type: ignore[arg-type]
            done[draw] = {"values": np.concatenate([found[pair] for pair in pairs], axis=1)}
            if store is not None:
                store.finish(draw, done[draw])
    values = np.stack([done[draw]["values"] for draw in range(draws)])
    column = {place: i for i, place in enumerate((*pair, float(t)) for pair in pairs for t in ordered[pair])}
    result = []
    for what, points in curves.items():
        chosen = values[:, :, [column[n, k, float(t)] for n, k, t in points]]
        n_, k_, raw = (np.array(each) for each in zip(*points, strict=True))
        clean = np.asarray(dynamics.gradient_flow(setting.spectrum, k_ * raw, n_, k_))
        share = np.asarray(dynamics.gradient_flow(setting.spectrum, k_ * raw, n_, k_, noise=1.0)) - clean - 1
        loss = chosen[:, 0] + setting.noise * (1 + chosen[:, 1])
        predicted = clean + setting.noise * (1 + share)
        result.append(Curve(name, what, n_, k_, raw.astype(np.float64), predicted, share, loss, chosen[:, 1]))
    return result


def _found(name: str, setting: _Setting, curves: dict[str, Curve]) -> list[Finding]:
    """The ratios, at places chosen on the formula."""
    found = []

    def ratio(what: str, expected: str, above: tuple[Curve, int], below: tuple[Curve, int], of: str = "loss") -> None:
        (one, i), (two, j) = above, below
        theory = "predicted" if of == "loss" else "predicted_sensitivity"
        predicted = float(getattr(one, theory)[i] / getattr(two, theory)[j])
        measured = peaks.log_ratio(getattr(one, of)[:, i], getattr(two, of)[:, j])
        found.append(Finding(name, what, predicted, measured, expected))

    for axis in AXES:
        curve = curves[axis]
        before, peak, after = peaks.peak(curve.predicted)
        at = getattr(curve, axis)
        falls = curve.predicted[peak] / curve.predicted[after] > peaks.RISE
        words = f"double descent along {axis}" if falls else f"rise along {axis}, without a second descent"
        words += f": loss at {axis} = {at[peak]:.3g} over that at"
        ratio(f"{words} {at[before]:.3g}", "more", (curve, peak), (curve, before))
        if falls:
            ratio(f"{words} {at[after]:.3g}", "more", (curve, peak), (curve, after))
    found.append(_fewer(name, curves["data, small"], curves["data, large"]))
    middle, late = curves["k, middle"], curves["k"]
    under, equal, over = 1, setting.grid.index(setting.n), len(setting.grid) - 1
    pair = f"k = {setting.grid[over]} over k = {setting.grid[under]}"
    ratio(f"sensitivity to noise, {pair} in equal time", "more", (middle, over), (middle, under), "sensitivity")
    long = curves["time"]
    ratio(
        f"sensitivity to noise, time {long.time[-1]:.3g} over {long.time[len(long.n) // 2]:.3g}",
        "more",
        (long, -1),
        (long, len(long.n) // 2),
        "sensitivity",
    )
    ratio(
        f"sensitivity to noise after a long time, k = {setting.grid[over]} over k = n",
        "less",
        (late, over),
        (late, equal),
        "sensitivity",
    )
    here = middle if peaks.rises(middle.predicted) else late
    before, peak, _ = peaks.peak(here.predicted)
    ratio(
        f"scale that does not help: loss at k = {here.k[peak]} over k = {here.k[before]} at the time {here.time[0]:g}",
        "more",
        (here, peak),
        (here, before),
    )
    longer, larger = curves["longer"], curves["larger"]
    words = f"{larger.k[0]} features over {longer.k[0]} trained four times as long"
    ratio(f"loss of {words}, early", "equal", (larger, 0), (longer, 0))
    ratio(f"loss of {words}, late", "less", (larger, 1), (longer, 1))
    return found


def _fewer(name: str, small: Curve, large: Curve) -> Finding:
    """Samples to a loss, of a larger model over a smaller one.

    The loss is the geometric middle of those that both predicted curves start above and end below, so that the larger
    model does not have it with the fewest samples and the smaller one has it with the most. Where there is no such
    loss, or where a draw has it at the first place or not at the last, nothing is said.
    """
    start = min(one.predicted[0] for one in (small, large))
    end = max(one.predicted[-1] for one in (small, large))
    target = math.sqrt(start * end)
    predicted = [peaks.needed(one.n, one.predicted, target) for one in (large, small)]
    rows = np.array([[peaks.needed(one.n, row, target) for row in one.loss] for one in (large, small)])
    words = f"data to reach a loss of {target:.3g} in equal time, {large.k[0]} features over {small.k[0]}"
    if np.isnan(predicted).any() or np.isnan(rows).any():
        measured = Estimate(math.nan, 0.0, math.inf, method="not inside every curve")
    else:
        measured = peaks.log_ratio(*rows)
    return Finding(name, words, predicted[0] / predicted[1], measured, "less")


def _networks(sizes: Sizes, seed: int, folder: Path | None, report: Report) -> list[Finding]:
    """Sensitivity of trained networks to label noise: wide over narrow in equal time, late over early."""
    rng = np.random.default_rng([seed, 8])
    teacher = teachers.draw(3, [seed, 9])
    x, x_test = teachers.inputs(128, 3, rng), teachers.inputs(1000, 3, rng)
    y, y_test = teacher.labels(x), teacher.labels(x_test)
    widths, model = (8, 64), kernels.fully_connected(2, bias_std=0.3)
    every = [networks.network(model, width, parameterisation="standard", centred=True) for width in widths]
    rate = 0.5 * training.stable_rate(every[-1], x)
    early = max(1, sizes.steps // 30)
    found = np.empty((sizes.seeds, len(widths), 2))
    for one in range(sizes.seeds):
        report(f"networks, seed {one}", one / sizes.seeds)
        drawn = int(np.random.default_rng([seed, one, 12]).integers(2**31))
        change = np.random.default_rng([seed, one, 10]).standard_normal(y.shape) * math.sqrt(sizes.noise)
        for row, network in enumerate(every):
            losses = []
            for sign in (0, 1, -1):
                place = None if folder is None else folder / f"network-{widths[row]}-{one}-{sign}"
                options: dict[str, Any] = {"test": (x_test, y_test), "rate": rate, "steps": sizes.steps}
                trained = training.train(
                    network,
                    x,
                    y + sign * change,
                    record=[early, sizes.steps],
                    seeds=[drawn],
                    keep=False,
                    checkpoint=place,
                    **options,
                )
                losses.append(trained.test_loss[0, 1:])
            found[one, row] = (0.5 * (losses[1] + losses[2]) - losses[0]) / sizes.noise
    narrow, wide = widths
    words = f"sensitivity to noise, width {wide} over width {narrow} after"
    ratios = {
        f"{words} {early} steps": (found[:, 1, 0], found[:, 0, 0]),
        f"{words} {sizes.steps} steps": (found[:, 1, 1], found[:, 0, 1]),
        f"sensitivity to noise at width {wide}, after {sizes.steps} steps over {early}": (
            found[:, 1, 1],
            found[:, 1, 0],
        ),
    }
    return [
        Finding("networks", what, math.nan, _share(above, below, seed), "more")
        for what, (above, below) in ratios.items()
    ]


def _share(above: Array, below: Array, seed: int) -> Estimate:
    """Ratio of the means, with a bootstrap interval over seeds; without end where the mean below may be nothing."""
    tries = np.random.default_rng([seed, 11]).integers(len(above), size=(2000, len(above)))
    drawn = below[tries].mean(axis=1)
    ratio = np.where(drawn > 0, above[tries].mean(axis=1) / np.where(drawn > 0, drawn, 1.0), np.inf)
    value = float(above.mean() / below.mean())
    low, high = np.quantile(ratio, [0.025, 0.975], method="nearest")
    return Estimate(value, min(float(low), value), max(float(high), value), method="bootstrap over seeds")
