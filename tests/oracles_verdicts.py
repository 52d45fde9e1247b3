"""Curves from all corners of the exact surface with what is true of them, for the confusion table of `classify`."""

import dataclasses
import math

import numpy as np

from regimes import dynamics, regime_points, spectra
from regimes.regime_points import Regime
from regimes.results import LearningCurve
from regimes.spectrum import Spectrum

CORNERS = (
    "resolution n",
    "resolution k",
    "resolution n, finite k",
    "resolution k, finite n",
    "variance n",
    "variance k",
    "peak",
    "through n = k with ridge",
    "noise plateau",
    "ridge",
    "time",
    "small data",
    "realisable",
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A noisy curve, what `classify` is told beside it, and the verdicts that are right."""

    corner: str
    curve: LearningCurve
    options: dict
    truth: Regime
    accepted: frozenset
    clean: bool
    """Whether the window is long, the errors small and nothing hidden."""


def case(seed: int) -> Case:
    """One random curve; the corner follows from the seed, all else is drawn."""
    rng = np.random.default_rng([seed, 5])
    corner = CORNERS[seed % len(CORNERS)]
    spectrum = spectra.power_law(rng.uniform(0.2, 1.5), rng.uniform(0.2, 3.0), modes=100_000)
    along, other, ridge, noise, time = "n", math.inf, 0.0, 0.0, math.inf
    factor, start = 10 ** rng.uniform(0.5, 3), 10 ** rng.uniform(0.7, 2)
    some_noise = float(rng.choice([0.0, 10 ** rng.uniform(-3, 0)]))
    if corner == "resolution n":
        noise = float(rng.choice([0.0, 10 ** rng.uniform(-4, -1)]))
    elif corner == "resolution k":
        along, noise = "k", some_noise
    elif corner.startswith("resolution"):
        along, noise = corner[11], some_noise
        other = start * factor * 10 ** rng.uniform(0.3, 2)
    elif corner.startswith("variance"):
        along, noise = corner[-1], some_noise
        other = start / rng.uniform(1.1, 10)
    elif corner in ("peak", "through n = k with ridge"):
        along, noise = str(rng.choice(["n", "k"])), some_noise
        other = start * factor ** rng.uniform(0.1, 0.9)
        ridge = 0.0 if corner == "peak" else 10 ** rng.uniform(-3, 1)
    elif corner == "noise plateau":
        noise = 10 ** rng.uniform(-0.5, 1)
    elif corner == "ridge":
        ridge, noise = 10 ** rng.uniform(-1, 2), some_noise
        other = float(rng.choice([math.inf, start * factor * 30]))
    elif corner == "time":
        along, time, noise = str(rng.choice(["n", "k"])), 10 ** rng.uniform(0.5, 3), some_noise
        other = float(rng.choice([math.inf, start * factor * 3]))
    elif corner == "small data":
        head = int(10 ** rng.uniform(2, 3.5))
        rank = np.arange(20_000) + head
        decay = rng.uniform(1.2, 2.5)
        spectrum = spectra.listed((rank / head) ** -decay, (rank / head) ** -decay)
        start, factor = 2.0, max(4.0, head ** rng.uniform(0.3, 1.2))
    elif corner == "realisable":
        modes = int(rng.integers(5, 60))
        spectrum = spectra.white(modes)
        ridge, noise = float(rng.choice([0.0, 10 ** rng.uniform(0, 1.5)])), float(rng.choice([0.0, 0.1, 1.0]))
        noise = noise if ridge else max(noise, 0.1)
        start = modes * rng.uniform(2, 10)
    at = np.geomspace(start, start * factor, int(rng.integers(6, 18)))
    if abs(at / other - 1).min() < 1e-6:
        at = at * 1.001
    size = 10 ** rng.uniform(-2, -1)

    def exact(x):
        pair = (x, other) if along == "n" else (other, x)
        return np.asarray(dynamics.gradient_flow(spectrum, time, *pair, ridge, noise))

    loss = exact(at)
    told = rng.random(7)
    fixed = {"k" if along == "n" else "n": other, "ridge": ridge, "noise": noise, "time": time}
    for name, chance in (("k", told[0]), ("n", told[0]), ("ridge", told[1]), ("noise", told[2])):
        if chance < 0.3 and not (name == "ridge" and ridge > 0):  # a ridge that is not mentioned is none
            fixed.pop(name, None)
    options: dict = {}
    if told[3] < 0.25:
        options["spectrum"] = spectrum
    if told[6] < 0.4:
        options["guess"] = spectrum.total_power + noise
    limit = float(exact(np.array([math.inf]))[0]) if math.isfinite(other) or along == "k" or ridge else noise
    if 0.5 < told[4] < 0.75:
        options["limit"] = limit
    elif told[4] > 0.75:
        options["limit"] = limit * float(rng.uniform(0.7, 1.4))
    noisy = loss * (1 + size * np.clip(rng.standard_normal(len(at)), -4, 4))
    stderr = size * loss if told[5] < 0.6 else None
    curve = LearningCurve(along, at, noisy, stderr=stderr, fixed=fixed, source=corner)
    truth, accepted = judged(spectrum, along, at, loss, other, ridge, noise, time, size)
    hidden = len(fixed) < 4 or (told[4] > 0.75 and limit > 0) or stderr is None
    clean = size < 0.03 and factor > 30 and len(at) >= 8 and not hidden
    return Case(corner, curve, options, truth, accepted, clean)


def judged(
    spectrum: Spectrum,
    along: str,
    at: np.ndarray,
    loss: np.ndarray,
    other: float,
    ridge: float,
    noise: float,
    time: float,
    error: float,
) -> tuple[Regime, frozenset]:
    """The regime of a window and all verdicts that are right: from exact labels and exact losses only.

    A regime that holds on three quarters of the window (in the logarithm) is its truth; else the window is a
    crossover, and so are right the regimes that hold on 40 % of it. A bump counts where the exact curve rises and falls
    by six errors; between one and six, it may or may not be seen. Where the exact loss changes by less than
    five errors, it is right to say that no slope is left. Where stopping early limits, the rest along the axis may at
    the same time be exactly variance-limited.
    """
    fine = np.geomspace(at[0], at[-1], 40)
    pair = (fine, other) if along == "n" else (other, fine)
    labels, rates = regime_points.labels_along(spectrum, along, *pair, ridge, noise, time)
    names = list(labels)
    counts = {name: names.count(name) / len(names) for name in dict.fromkeys(names)}
    truth = max(counts, key=counts.get)
    accepted = {truth}
    if counts[truth] < 0.75:
        truth = Regime.CROSSOVER
        accepted = {truth} | {name for name, share in counts.items() if share >= 0.4}
    logs = np.log(loss)
    gaps = np.where(at[None, :] > at[:, None], logs[None, :] - logs[:, None], -np.inf)
    low, high = np.unravel_index(int(np.argmax(gaps)), gaps.shape)
    rise, fall = gaps[low, high], float(logs[high] - logs[high:].min())
    if min(rise, fall) > 6 * error:
        truth, accepted = Regime.INTERPOLATION_PEAK, {Regime.INTERPOLATION_PEAK}
    elif rise > error:
        accepted |= {Regime.INTERPOLATION_PEAK}
    if np.ptp(logs) < 5 * error:
        accepted |= {Regime.NOISE_FLOOR}
        truth = Regime.NOISE_FLOOR if np.ptp(logs) < error else truth
    if counts.get(Regime.TIME_LIMITED, 0) > 0.4 and np.mean((rates > 0.8) & (rates < 1.25)) > 0.6:
        accepted |= {regime_points.VARIANCE[along]}
    return truth, frozenset(accepted)
