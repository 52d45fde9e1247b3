"""Which regime: a verdict on a measured curve with its evidence, and the exact answer at a point of the theory.

    print(classify(curve))                          # a LearningCurve: one verdict
    print(classify(surface).n)                      # a LossSurface: a verdict per line along each axis
    print(classify_point(spectrum, n=200, k=1000))  # the truth in the theory

Regimes are about the difference of the loss from its limit L(inf) along an axis, and not about which term is largest:

- *variance-limited*: the other scale sets the limit, and the difference from it falls as 1/|n - k|;
- *resolution-limited*: the scale itself is the smaller one, and the difference falls with an exponent of the task.

A measured curve rarely shows its limit, so that often several explanations remain. Then the verdict is UNDECIDED, and
`possible` names them: doubt is a value and not an error.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from regimes import _checks, dimension, display, dynamics
from regimes.evidence import Data, Finding, prepare, reason, slope
from regimes.regime_points import PointVerdict, Regime, Shares, classify_point, labels_along
from regimes.results import Estimate, LearningCurve, LossSurface
from regimes.spectrum import Spectrum

Array = np.ndarray
__all__ = ["PointVerdict", "Regime", "RegimeVerdict", "Shares", "SurfaceVerdict", "classify", "classify_point"]


@display.shown
@dataclasses.dataclass(frozen=True)
class RegimeVerdict:
    """Which regime a curve is in, and why."""

    regime: Regime
    """The verdict."""
    along: str
    """The axis: "n", "k" or "time"."""
    evidence: tuple[str, ...]
    """Sentences: slopes with intervals, laws compared, limits, predictions."""
    window: tuple[float, float]
    """From where to where the curve was read."""
    exponent: Estimate
    """Exponent of the loss less its limit, over n or k or |n - k| as `method` says; NaN where there is none."""
    possible: tuple[Regime, ...]
    """What the measurements allow: the verdict alone, or all that remain where it is UNDECIDED."""

    def __str__(self) -> str:
        rest = ""
        if self.regime is Regime.UNDECIDED and self.possible:
            rest = f" between {' and '.join(one.value for one in self.possible)}"
        where = f"along {self.along} from {self.window[0]:g} to {self.window[1]:g}"
        return f"{self.regime.value}{rest} {where}. " + " ".join(f"{one}." for one in self.evidence)


@display.shown
@dataclasses.dataclass(frozen=True)
class SurfaceVerdict:
    """Verdicts on a surface: one per line, along either axis."""

    along_n: tuple[RegimeVerdict, ...]
    """Along n, one for each k; None of them where there are fewer than four n."""
    along_k: tuple[RegimeVerdict, ...]
    """Along k, one for each n."""
    held: Mapping[str, tuple[float, ...]]
    """What was held on the lines along "n" (values of k) and along "k" (values of n)."""

    @property
    def n(self) -> Regime:
        """What most lines along n show; CROSSOVER where regimes change from line to line without a majority."""
        return _majority(self.along_n)

    @property
    def k(self) -> Regime:
        """What most lines along k show."""
        return _majority(self.along_k)

    def __str__(self) -> str:
        lines = []
        for axis, other, verdicts in (("n", "k", self.along_n), ("k", "n", self.along_k)):
            if verdicts:
                lines.append(f"along {axis}: {_majority(verdicts).value}")
            lines += [
                f"  {other} = {at:g}: {one.regime.value}" for at, one in zip(self.held[axis], verdicts, strict=True)
            ]
        return "\n".join(lines)


def classify(
    curve: LearningCurve | LossSurface,
    *,
    spectrum: Spectrum | None = None,
    dim: Any = None,
    limit: Any = None,
    noise: float | None = None,
    ridge: float | None = None,
    time: float | None = None,
    guess: float | None = None,
    level: float = 0.9,
    seed: int = 0,
) -> Any:
    """Which regime a measured curve is in, or each line of a surface.

    Explanations are laws, each fitted with the errors of the points: a constant; a x^-b + c (resolution-limited);
    a/|x - m| + c (variance-limited), m being what is held of the other scale. One is given up when its chi^2, two added
    for each parameter, exceeds that of the best by REJECTED; a bump or a rise counts beyond 3.5 standard errors. The
    verdict is what all that remain have in common, else UNDECIDED.

    Where `curve.fixed` tells the other scale (possibly infinite), it decides on which side the curve lies: above it
    slopes are read against |x - m|, below it the loss is multiplied by 1 - x/m, which without ridge takes the peak
    away exactly along k. Without it, an exponent of 1 means variance only above a known limit. A limit that the curve
    contradicts is not used, and the evidence says so. Where errors were not measured, they are estimated from the
    scatter about a smooth curve.

    Args:
        curve: a [LearningCurve][regimes.results.LearningCurve] along n, k or time with at least four points, or a
            [LossSurface][regimes.results.LossSurface].
        spectrum: kernel and target, for predictions: what no curve shows by itself (ridge- or time-limited, small
            data) is decided by the theory where its slopes agree with those measured.
        dim: intrinsic dimension of the inputs, for the exponents that it implies; a number, an
            [Estimate][regimes.results.Estimate] or a [Dimension][regimes.dimension.Dimension].
        limit: L(inf) along the axis where it is known: a number, or one per point.
        noise: variance of the label noise; by default that of `curve.fixed`.
        ridge: likewise.
        time: likewise. A ridge or a time that neither says is taken as none: trained to the end.
        guess: loss of the best guess without data (target power plus noise), where it is known.
        level: stated coverage of the intervals.
        seed: of the fits.

    Returns:
        A RegimeVerdict, or a SurfaceVerdict for a surface.

    Raises:
        ValueError: fewer than four different places, values that are not positive, NaN, an axis other than n, k and
            time, a limit or noise that is negative.

    Source: regimes as in Bahri et al. 2021 (arXiv:2102.06701) and the exact split of
    [ridgeless_split][regimes.theory.ridgeless_split]; the rules are ours, tested against `classify_point`.
    """
    if not 0 < _checks.number("level", level) < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {level:g}.")
    seed = _checks.count("seed", seed, low=0)
    if spectrum is not None and not isinstance(spectrum, Spectrum):
        raise ValueError(f"`spectrum` must be a Spectrum, got {type(spectrum).__name__}.")
    options: dict[str, Any] = {"spectrum": spectrum, "dim": dim, "noise": noise, "ridge": ridge, "time": time}
    options["guess"] = guess
    options |= {"level": level, "seed": seed}
    if isinstance(curve, LossSurface):
        if limit is not None:
            raise ValueError("`limit` is for a curve; a surface has one limit per line.")
        return _surface(curve, options)
    if not isinstance(curve, LearningCurve):
        raise ValueError(f"`curve` must be a LearningCurve or a LossSurface, got {type(curve).__name__}.")
    data, notes = prepare(curve, limit, {"noise": noise, "ridge": ridge, "time": time, "guess": guess}, level)
    found = reason(data, seed)
    if spectrum is not None and data.along != "time":
        found = _with_theory(found, data, spectrum)
    if dim is not None and data.along != "time":
        found = found._replace(evidence=found.evidence + _implied(found, data, dim))
    possible = found.possible
    regime = possible[0] if len(possible) == 1 else Regime.UNDECIDED
    window = (float(data.x[0]), float(data.x[-1]))
    evidence = tuple(notes) + found.evidence
    return RegimeVerdict(regime, data.along, evidence, window, found.exponent, possible)


def _surface(surface: LossSurface, options: dict[str, Any]) -> SurfaceVerdict:
    lines: dict[str, list[RegimeVerdict]] = {"n": [], "k": []}
    held: dict[str, tuple[float, ...]] = {"n": (), "k": ()}
    for axis, at, others, line in (
        ("n", surface.n, surface.k, surface.along_n),
        ("k", surface.k, surface.n, surface.along_k),
    ):
        if len(at) >= 4:
            held[axis] = tuple(float(value) for value in others)
            lines[axis] = [classify(line(i), **options) for i in range(len(others))]
    if not lines["n"] and not lines["k"]:
        raise ValueError(f"`curve` must have at least four n or four k, got {len(surface.n)} by {len(surface.k)}.")
    return SurfaceVerdict(tuple(lines["n"]), tuple(lines["k"]), held)


def _majority(verdicts: tuple[RegimeVerdict, ...]) -> Regime:
    regimes = [one.regime for one in verdicts]
    if not regimes:
        return Regime.UNDECIDED
    most = max(regimes, key=regimes.count)
    decided = {one for one in regimes if one is not Regime.UNDECIDED}
    if 2 * regimes.count(most) > len(regimes):
        return most
    return Regime.CROSSOVER if len(decided) > 1 else Regime.UNDECIDED


def _with_theory(found: Finding, data: Data, spectrum: Spectrum) -> Finding:
    """What the exact surface says at these points; it decides where its slopes agree with those measured."""
    other = math.inf if data.other is None else data.other
    noise, ridge = data.noise or 0.0, data.ridge or 0.0

    def sizes(x: Array) -> tuple[Any, Any]:
        return (x, other) if data.along == "n" else (other, x)

    n, k = sizes(data.x)
    predicted = np.asarray(dynamics.gradient_flow(spectrum, data.time, n, k, ridge, noise))
    finite = np.isfinite(predicted) & (predicted > 0)
    fine = np.geomspace(data.x[0], data.x[-1], 40)
    n, k = sizes(fine)
    labels, _ = labels_along(spectrum, data.along, n, k, ridge, noise, data.time)
    names = list(labels)
    most = max(dict.fromkeys(names), key=names.count)
    usable = found.evidence
    if finite.sum() < 4:
        return found
    theirs = slope(data._replace(y=predicted), finite)
    ours = slope(data, finite)
    ratio = np.log(data.y[finite] / predicted[finite])
    error = (data.sigma / data.smooth)[finite]
    left = ratio - np.average(ratio, weights=1 / error**2)
    agrees = float(np.sum((left / error) ** 2)) <= stats.chi2.ppf(0.999, finite.sum() - 1)
    agrees &= abs(theirs.value - ours.value) < 0.05 + 2 * (ours.high - ours.low)
    share = names.count(most) / len(names)
    said = (
        f"the spectrum predicts a slope of {theirs.value:.3f} over these points (measured {ours}) and "
        f"calls {share:.0%} of the window {most.value}"
    )
    if not agrees:
        return found._replace(
            evidence=(*usable, said, "the measured curve is not the predicted one: theory has no say")
        )
    scale = abs(float(np.average(ratio, weights=1 / error**2)))
    said += f"; losses agree within {max(scale, float(np.abs(left).max())):.0%}"
    possible = (most,) if share > 0.75 else (Regime.CROSSOVER,) if share < 0.7 else (most, Regime.CROSSOVER)
    possible = tuple(dict.fromkeys(possible))
    if found.possible in (possible, (Regime.INTERPOLATION_PEAK,)):
        return found._replace(evidence=(*usable, said))
    logs = np.log(predicted[finite])
    top = int(np.argmax(logs[1:])) + 1
    bump = min(float(logs[top] - logs[:top].min()), float(logs[top] - logs[top:].min()))
    if Regime.INTERPOLATION_PEAK in found.possible and bump > 0.05:
        return found._replace(evidence=(*usable, said))
    if scale > 0.15 or data.other is None:  # the same slope at another height, or elsewhere, is no agreement
        return found._replace(evidence=(*usable, said))
    return Finding(possible, found.exponent, (*usable, said))


def _implied(found: Finding, data: Data, dim: Any) -> tuple[str, ...]:
    """The exponents that a dimension implies, beside the one measured."""
    rows = dimension.exponents(dim, along=data.along).rows
    implied = ", ".join(f"{row.name} = {row.exponent.value:.3f}" for row in rows)
    return (f"the dimension implies exponents of at least {implied}; measured {found.exponent}",)
