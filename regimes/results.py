"""What both columns return: curves, estimates with intervals, and comparisons of the two."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float64
from scipy import stats

from regimes import display

Array = np.ndarray
Values: TypeAlias = Float64[Array, "..."] | np.float64
"""A float64 array of the arguments' broadcast shape; a NumPy number where all of them are scalars."""


def log_slope(at: Any, values: Any) -> float:
    """Slope of log(values) against log(at) by least squares, every point with the same weight.

    Returns NaN when a value is not positive: a reducible loss below its limit has no exponent.

    Raises:
        ValueError: fewer than three points.
    """
    at, values = np.asarray(at, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(at) < 3:
        raise ValueError(f"a slope needs at least three points, got {len(at)}.")
    if not np.all(values > 0):
        return math.nan
    return float(np.polyfit(np.log(at), np.log(values), 1)[0])


@display.shown
@dataclasses.dataclass(frozen=True)
class Estimate:
    """A number with a confidence interval."""

    value: float
    """The point estimate."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    level: float = 0.95
    """Stated coverage of [low, high]. An exact value has low = value = high."""
    window: tuple[float, float] | None = None
    """The range of n or k over which it was read."""
    method: str = ""
    """How it was obtained, in words."""

    @classmethod
    def exact(cls, value: float, method: str = "exact") -> "Estimate":
        """A number known without uncertainty."""
        return cls(value, value, value, 1.0, None, method)

    @classmethod
    def from_halves(
        cls,
        value: float,
        halves: Array,
        *,
        level: float = 0.95,
        window: tuple[float, float] | None = None,
        method: str = "",
    ) -> "Estimate":
        """An interval from the same statistic on half-samples, which come in disjoint pairs (a, b).

        (a + b)/2 has the variance of the whole sample, and (a - b)/2 estimates it: its mean square gives the
        standard error, with a Student quantile for the number of pairs. Half-samples also show how much the
        statistic moves with sample size; mean(halves) - value is added in quadrature, so the interval covers
        the finite-size error of the whole sample as long as that is not larger than its change from N/2 to N.
        Without halves the value counts as exact.
        """
        value = float(value)
        if not 0 < level < 1:
            raise ValueError(f"`level` must lie between 0 and 1, got {level:g}.")
        if len(halves) == 0:
            return cls(value, value, value, 1.0, window, method)
        pairs = np.asarray(halves, dtype=np.float64).reshape(-1, 2)
        sampling = math.sqrt(np.mean(((pairs[:, 0] - pairs[:, 1]) / 2) ** 2))
        drift = float(pairs.mean() - value)
        quantile = float(stats.t.ppf((1 + level) / 2, len(pairs)))
        width = math.hypot(quantile * sampling, drift)
        return cls(value, value - width, value + width, level, window, method)

    @classmethod
    def from_draws(
        cls,
        value: float,
        draws: Array,
        *,
        level: float = 0.95,
        window: tuple[float, float] | None = None,
        method: str = "",
    ) -> "Estimate":
        """An interval from the same statistic on draws from its sampling distribution, such as replicates.

        value -+ t s with s the standard deviation of the draws and t Student's quantile for their number, around the
        value and not around the mean of the draws. Without draws the value counts as exact.

        Raises:
            ValueError: a level outside (0, 1), a single draw.
        """
        value, draws = float(value), np.asarray(draws, dtype=np.float64)
        if not 0 < level < 1:
            raise ValueError(f"`level` must lie between 0 and 1, got {level:g}.")
        if draws.size == 0:
            return cls(value, value, value, 1.0, window, method)
        if draws.size == 1:
            raise ValueError("`draws` must be none or at least two: one says nothing about the spread.")
        width = float(stats.t.ppf((1 + level) / 2, draws.size - 1) * draws.std(ddof=1))
        return cls(value, value - width, value + width, level, window, method)

    def overlaps(self, other: "Estimate") -> bool:
        """Whether the two intervals share a point."""
        return bool(self.low <= other.high and other.low <= self.high)

    def __contains__(self, value: float) -> bool:
        return bool(self.low <= value <= self.high)

    def __str__(self) -> str:
        if not math.isfinite(self.value):
            return "undetermined"
        if self.low == self.value == self.high:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@display.shown
@dataclasses.dataclass(frozen=True)
class Caution:
    """Where a prediction is known to be off: a value to carry along, not an exception."""

    reason: str
    """What fails, in words."""
    factor: tuple[float, float] = (math.nan, math.nan)
    """Range of (true loss)/(predicted loss) without noise where it is known, else NaN."""

    def __str__(self) -> str:
        low, high = self.factor
        known = f" by a factor of {low:g} to {high:g}" if low < high else f" by a factor of {low:g}"
        return self.reason + (known if math.isfinite(low) else "")


@display.shown
@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """A loss along one axis, predicted or measured: the same type for both."""

    along: str
    """The axis: "n" (samples), "k" (features), "ridge" or "time"."""
    at: Float64[Array, " points"]
    """Where on that axis."""
    loss: Float64[Array, " points"]
    """Mean squared test error, label noise included, summed over outputs."""
    stderr: Float64[Array, " points"] | None = None
    """Standard error of `loss`; None for a prediction."""
    trials: Float64[Array, "trials points"] | None = None
    """One row per repetition; `loss` is their mean. None for a prediction."""
    fixed: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """What was held: those of n and k (possibly infinite), ridge, noise and time that are not the axis."""
    source: str = ""
    """Where it came from, in words."""
    caution: Caution | None = None
    """Where the prediction is known to be off, and by what factor."""

    @classmethod
    def from_trials(
        cls, along: str, at: Array, trials: Array, fixed: Mapping[str, float] | None = None, source: str = ""
    ) -> "LearningCurve":
        """A measured curve from one row per repetition, with the standard error of their mean."""
        trials = np.atleast_2d(np.asarray(trials, dtype=np.float64))
        count = trials.shape[0]
        stderr = trials.std(axis=0, ddof=1) / math.sqrt(count) if count > 1 else np.full(trials.shape[1], np.nan)
        at = np.asarray(at, dtype=np.float64)
        return cls(along, at, trials.mean(axis=0), stderr, trials, dict(fixed or {}), source)

    def __len__(self) -> int:
        return len(self.at)

    def exponent(self, offset: float | Array = 0.0, at: Array | None = None, level: float = 0.95) -> Estimate:
        """Minus the log-log slope of loss - offset, by least squares over the points of the curve.

        Args:
            offset: the limit to subtract: a number, or one per point.
            at: abscissa other than `self.at`, such as |n - k| for a variance-limited excess.
            level: stated coverage of the interval, from deleting one trial at a time (jackknife with a
                Student quantile). A prediction, which has no trials, counts as exact; with a single trial the
                interval is infinite.

        Raises:
            ValueError: fewer than three points.
        """
        where = self.at if at is None else np.asarray(at, dtype=np.float64)
        window = (float(where[0]), float(where[-1]))
        method = "least-squares log-log slope"
        value = -log_slope(where, self.loss - offset)
        if self.trials is None:
            return Estimate(value, value, value, 1.0, window, method)
        if len(self.trials) < 2:  # measured once: nothing says how sure it is
            return Estimate(value, -math.inf, math.inf, level, window, method)
        count = len(self.trials)
        without = (count * self.loss - self.trials) / (count - 1)
        slopes = np.array([-log_slope(where, row - offset) for row in without])
        stderr = math.sqrt((count - 1) * np.mean((slopes - slopes.mean()) ** 2))
        width = float(stats.t.ppf((1 + level) / 2, count - 1)) * stderr
        return Estimate(value, value - width, value + width, level, window, method)

    def __sub__(self, other: "LearningCurve") -> Float64[Array, " points"]:
        """Difference of the losses of two curves on the same axis at the same places."""
        if self.along != other.along or not np.array_equal(self.at, other.at):
            raise ValueError("two curves can be subtracted only on the same axis at the same places.")
        return self.loss - other.loss

    def __str__(self) -> str:
        held = ", ".join(f"{name} = {value:g}" for name, value in self.fixed.items())
        return (
            f"loss along {self.along} from {self.at[0]:g} to {self.at[-1]:g} ({len(self)} points"
            f"{', ' + held if held else ''}): {self.loss[0]:.4g} to {self.loss[-1]:.4g}"
            f"{' - ' + self.source if self.source else ''}"
            f"{'; caution: ' + str(self.caution) if self.caution else ''}"
        )


@display.shown
@dataclasses.dataclass(frozen=True)
class LossSurface:
    """A loss over a grid of (n, k), predicted or measured."""

    n: Float64[Array, " rows"]
    """Numbers of samples, one per row."""
    k: Float64[Array, " columns"]
    """Numbers of features, one per column."""
    loss: Float64[Array, "rows columns"]
    """Mean squared test error, label noise included, summed over outputs."""
    stderr: Float64[Array, "rows columns"] | None = None
    """Standard error of `loss`; None for a prediction."""
    fixed: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """What was held: ridge, noise, and time (infinite when trained to the end)."""
    source: str = ""
    """Where it came from, in words."""
    caution: Caution | None = None
    """Where the prediction is known to be off, and by what factor."""

    def along_n(self, column: int) -> LearningCurve:
        """The learning curve at one k: a column of the surface."""
        return self._curve("n", self.n, self.loss[:, column], (slice(None), column), "k", self.k[column])

    def along_k(self, row: int) -> LearningCurve:
        """The learning curve at one n: a row of the surface."""
        return self._curve("k", self.k, self.loss[row], (row, slice(None)), "n", self.n[row])

    def _curve(self, along: str, at: Array, loss: Array, cut: Any, held: str, value: float) -> LearningCurve:
        stderr = None if self.stderr is None else self.stderr[cut]
        fixed = {held: float(value), **self.fixed}
        return LearningCurve(along, at, loss, stderr, None, fixed, self.source, self.caution)

    def __str__(self) -> str:
        held = ", ".join(f"{name} = {value:g}" for name, value in self.fixed.items())
        return (
            f"loss surface, {len(self.n)} n from {self.n[0]:g} to {self.n[-1]:g} by {len(self.k)} k from {self.k[0]:g} "
            f"to {self.k[-1]:g}{' (' + held + ')' if held else ''}: {self.loss.min():.4g} to {self.loss.max():.4g}"
            f"{'; caution: ' + str(self.caution) if self.caution else ''}"
        )


@display.shown
@dataclasses.dataclass(frozen=True)
class Comparison:
    """One regime of one task: the predicted and the measured curve, and what they say."""

    task: str
    """Name of the data and target."""
    regime: str
    """resolution_n, resolution_k, variance_n or variance_k."""
    measured: LearningCurve
    """The measured loss; for the variance-limited regimes its excess over the paired limit."""
    predicted: LearningCurve
    """The predicted loss (or excess) at the same places, nothing fitted to the measured one."""
    measured_exponent: Estimate
    """Read from the measured curve."""
    predicted_exponent: Estimate
    """Read from the spectrum over the same places."""
    abscissa: str
    """What the exponents refer to: n, k or |n-k|."""
    resolved: float = math.inf
    """Largest size that the spectrum resolves; predictions beyond it are extrapolations."""
    tolerance: float = 0.10
    """Median relative difference of the losses up to which amplitudes count as agreeing."""

    @property
    def difference(self) -> float:
        """Median over the points of |predicted/measured - 1|."""
        return float(np.median(np.abs(self.predicted.loss / self.measured.loss - 1)))

    @property
    def exponent_agrees(self) -> bool:
        """Whether the exponents differ by no more than their two half-widths added in quadrature."""
        return abs(self.measured_exponent.value - self.predicted_exponent.value) <= self.allowed

    @property
    def allowed(self) -> float:
        """Half the width of the interval of the exponents' difference: their half-widths added in quadrature.

        Two intervals that overlap by a little may still exclude that the exponents are equal.
        """
        one, other = self.measured_exponent, self.predicted_exponent
        return math.hypot(one.high - one.low, other.high - other.low) / 2

    @property
    def verdict(self) -> str:
        """The finding in words; undecided where the interval is wider than half of the exponent."""
        measured, predicted = self.measured_exponent, self.predicted_exponent
        if not math.isfinite(measured.value):
            return "undecided: the measured excess is not positive everywhere"
        width = (measured.high - measured.low) / 2
        if not width <= 0.5 * abs(predicted.value):
            return f"undecided: the measured exponent is uncertain by {width:.2g}"
        amplitude = self.difference <= self.tolerance
        if self.exponent_agrees:
            words = "agrees" if amplitude else f"exponent agrees, losses differ by {self.difference:.0%}"
        else:
            gap = measured.value - predicted.value
            words = f"exponent {'above' if gap > 0 else 'below'} the prediction by {_beyond(abs(gap), self.allowed)}"
            words += "" if amplitude else f", losses differ by {self.difference:.0%}"
        beyond = self.measured.at[-1] > 1.05 * self.resolved
        return words + (f"; extrapolated beyond {self.resolved:.0f}" if beyond else "")

    def __str__(self) -> str:
        return (
            f"{self.task}, {self.regime.replace('_', '-limited in ')}: exponent predicted {self.predicted_exponent}, "
            f"measured {self.measured_exponent}; {self.verdict}"
        )


def _beyond(gap: float, allowed: float) -> str:
    """A difference beyond its half-width, with as many digits as show that it is."""
    digits = next((many for many in range(3, 9) if round(gap, many) > round(allowed, many)), 9)
    return f"{gap:.{digits}f} ± {allowed:.{digits}f}"


@display.shown
@dataclasses.dataclass(frozen=True)
class Check:
    """One duality check of one task."""

    task: str
    """Name of the data and target."""
    level: int
    """Level of the duality ladder: 1 equal losses, 2 equal exponents, 3 to 5 reasons why not."""
    what: str
    """The two things compared."""
    expected: str
    """What the theory says."""
    found: str
    """What was measured."""
    holds: bool | None
    """Whether what was found is what was expected; None where the line explains and does not judge."""

    def __str__(self) -> str:
        said = {True: ": holds", False: ": does not hold", None: ""}[self.holds]
        return f"{self.task}, level {self.level}, {self.what}: expected {self.expected}, found {self.found}{said}"
