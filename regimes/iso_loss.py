"""Iso-loss curves of trained networks: how long each width takes to reach a loss, and how one predicts another.

Networks of all widths are trained at one learning rate: to the same width x time in the standard parameterisation,
where the tangent kernel grows with the width, and to the same time in that of the tangent kernel. Where scale and time
are equivalent the time to reach a loss has slope -1 in the width, and a large network does at once what a small one
does when trained longer.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy import stats

from regimes import display, infinite, kernels, networks, teachers, training
from regimes.results import Estimate

Array = np.ndarray
Report = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

KINDS = ("standard", "ntk", "adam")
"""Networks: gradient descent in either parameterisation, adam in the standard one."""
THRESHOLDS = (0.3, 0.2, 0.1)
"""Test losses of the iso-loss curves, in units of the variance of the target."""
LEAST = 16
"""Width from which on exponents are read."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Networks:
    """Networks over width and time."""

    kind: str
    """standard, ntk or adam."""
    widths: tuple[int, ...]
    """Units in each hidden layer."""
    rate: float
    """The learning rate of all widths."""
    scaled: Float64[Array, " records"]
    """width x time, or time alone for ntk; the same for all widths."""
    loss: Float64[Array, "seeds widths records"]
    """Test loss; NaN where a run diverged."""
    kernel_slope: float
    """Minus the log-log slope of the trace of the tangent kernel of infinite width against the width: -1 but for the
    first layer of the standard parameterisation, whose part does not grow."""
    slopes: dict[float, Estimate]
    """Slope of the time to reach a loss against the width, for each loss."""
    large_from_small: Estimate
    """Mean relative error of the widest network predicted from the narrowest that counts, trained longer."""
    small_from_large: Estimate
    """The other way about."""
    additive: float
    """Mean relative error at equal width x time of a power law in time plus one in width, equal on its frontier."""
    equivalence: float
    """Mean relative error of the equivalence at the same places."""


def train(
    kind: str,
    widths: Sequence[int],
    *,
    samples: int,
    steps: int,
    seeds: int,
    seed: int,
    folder: Path | None = None,
    report: Report | None = None,
) -> Networks:
    """Networks of several widths on one teacher of three inputs, and what is read off them.

    Args:
        kind: one of KINDS.
        widths: units in each of two hidden layers, ascending, three of 16 or more.
        samples: training samples.
        steps: of the widest network.
        seeds: networks of each width.
        seed: of the teacher, the samples and the networks.
        folder: where trained networks are kept.
        report: called with (what is being done, share done).
    """
    say = report or (lambda what, share: None)
    rng = np.random.default_rng([seed, 5])
    teacher = teachers.draw(3, [seed, 6])
    x, x_test = teachers.inputs(samples, 3, rng), teachers.inputs(1000, 3, rng)
    y, y_test = teacher.labels(x), teacher.labels(x_test)
    model, widest = kernels.fully_connected(2, bias_std=0.3), widths[-1]
    parameterisation = "ntk" if kind == "ntk" else "standard"
    every = [networks.network(model, one, parameterisation=parameterisation, centred=True) for one in widths]
    options: dict[str, Any] = {"optimiser": "adam" if kind == "adam" else "gd", "test": (x_test, y_test)}
    slowest = min(training.stable_rate(one, x) for one in (every if kind == "ntk" else every[-1:]))
    options["rate"] = 1e-3 if kind == "adam" else 0.5 * slowest
    at = np.unique(np.round(np.geomspace(1, steps, 24)).astype(int))
    drawn = [int(np.random.default_rng([seed, one, 7]).integers(2**31)) for one in range(seeds)]
    losses = []
    for place, (one, width) in enumerate(zip(every, widths, strict=True)):
        say(f"width {width}", place / len(every))
        longer = 1 if kind == "ntk" else widest / width
        ends = np.maximum.accumulate(np.round(at * longer).astype(int))
        found = training.train(
            one,
            x,
            y,
            **options,
            steps=int(ends[-1]),
            record=[int(step) for step in np.unique(ends)],
            seeds=drawn,
            keep=False,
            checkpoint=None if folder is None else folder / f"networks-{kind}-{width}",
        )
        bad = np.array([status is training.Status.DIVERGED for status in found.statuses])
        losses.append(np.where(bad[:, None], np.nan, found.test_loss[:, np.searchsorted(found.steps, ends)]))
    loss = np.stack(losses, axis=1)
    scaled = at * options["rate"] * (1 if kind == "ntk" else widest)
    counted = [(one, width) for one, width in zip(every, widths, strict=True) if width >= LEAST]
    traces = [float(np.trace(infinite.kernel(one, x[:64]))) for one, _ in counted]
    slope = -float(np.polyfit(np.log([width for _, width in counted]), np.log(traces), 1)[0])
    return read(kind, widths, float(options["rate"]), scaled.astype(np.float64), loss, slope)


def read(kind: str, widths: Sequence[int], rate: float, scaled: Array, loss: Array, kernel_slope: float) -> Networks:
    """Iso-loss slopes and errors of prediction from losses of (seeds, widths, records)."""
    counted = np.array([width >= LEAST for width in widths])
    width, logs = np.array(widths, dtype=np.float64)[counted], np.log(loss[:, counted])
    window = float(width[0]), float(width[-1])
    exact = 0.0 if kind == "ntk" else 1.0
    slopes = {}
    for threshold in THRESHOLDS:
        rows = [[_reached(one, math.log(threshold), scaled) for one in each] for each in logs]
        lines = np.array([np.polyfit(np.log(width), np.array(row) - exact * np.log(width), 1)[0] for row in rows])
        slopes[threshold] = _mean(lines[np.isfinite(lines)], window)
    small, large, middle = logs[:, 0], logs[:, -1], logs[:, len(width) // 2]
    forward, back = (np.abs(np.expm1(sign * (small - large))).mean(axis=1) for sign in (1, -1))
    steep = -np.gradient(middle.mean(axis=0), np.log(scaled))
    apart = np.abs(np.expm1(logs.mean(axis=0) - middle.mean(axis=0)))
    mimic = np.log(np.cosh(2 * steep * np.log(width / width[len(width) // 2])[:, None]))
    wrong = np.abs(np.expm1(logs.mean(axis=0) - middle.mean(axis=0) - mimic))
    others = np.arange(len(width)) != len(width) // 2
    return Networks(
        kind,
        tuple(widths),
        rate,
        scaled,
        loss,
        kernel_slope,
        slopes,
        _mean(forward, window),
        _mean(back, window),
        float(np.mean(wrong[others])),
        float(np.mean(apart[others])),
    )


def _reached(logs: Array, threshold: float, scaled: Array) -> float:
    """Log of the first time at which the loss is below; NaN where it never is, or was at the first record."""
    below = np.flatnonzero(logs <= threshold)
    if not len(below) or below[0] == 0 or np.isnan(logs).any():
        return math.nan
    last = int(below[0])
    part = (threshold - logs[last - 1]) / (logs[last] - logs[last - 1])
    return float(np.log(scaled[last - 1]) + part * np.log(scaled[last] / scaled[last - 1]))


def _mean(values: Array, window: tuple[float, float]) -> Estimate:
    """Mean over seeds with Student's interval; undetermined from fewer than two."""
    method = "mean over seeds"
    if len(values) < 2:
        return Estimate(math.nan, -math.inf, math.inf, 0.95, window, method)
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    value = float(values.mean())
    return Estimate(value, value - half, value + half, 0.95, window, method)
