"""Peaks of measured curves: where losses rise and fall again, what reaches a target, ratios with intervals."""

import math
from typing import Any

import numpy as np
from scipy import stats

from regimes import _checks
from regimes.results import Estimate

Array = np.ndarray

RISE = 1.02
"""Least rise and fall that count as a peak."""


def peak(losses: Array) -> tuple[int, int, int]:
    """Places of the valley before, the inner peak and the valley after, by the smaller of rise and fall.

    Where there is no peak of RISE or more on both sides, the largest rise, and the end.

    Args:
        losses: along one axis, positive.
    """
    best, found = RISE, None
    for place in range(1, len(losses)):
        before, after = int(np.argmin(losses[:place])), place + int(np.argmin(losses[place:]))
        score = min(losses[place] / losses[before], losses[place] / losses[after])
        if score > best:
            best, found = score, (before, place, after)
    if found is None:
        rise = losses / np.minimum.accumulate(losses)
        place = int(np.argmax(rise))
        found = int(np.argmin(losses[: place + 1])), place, len(losses) - 1
    return found


def rises(losses: Array) -> bool:
    """Whether the losses rise by RISE or more anywhere."""
    return bool(np.max(losses / np.minimum.accumulate(losses)) > RISE)


def needed(n: Array, losses: Array, target: float) -> float:
    """Samples from which on the loss stays below the target, in log-log; NaN where it always or never does.

    Args:
        n: numbers of samples, ascending.
        losses: at each of them, positive.
        target: the loss to stay below.
    """
    above = np.flatnonzero(losses > target)
    if not len(above) or above[-1] == len(n) - 1:
        return math.nan
    last = int(above[-1])
    part = math.log(losses[last] / target) / math.log(losses[last] / losses[last + 1])
    return float(n[last] * (n[last + 1] / n[last]) ** part)


def log_ratio(above: Any, below: Any, *, level: float = 0.95) -> Estimate:
    """Geometric mean of paired ratios with Student's interval.

    Args:
        above: positive numbers, one per draw.
        below: as many.
        level: stated coverage.

    Raises:
        ValueError: fewer than two pairs, numbers that are not positive.
    """
    one, two = _checks.finite_array("above", above, ndim=1), _checks.finite_array("below", below, ndim=1)
    if len(one) != len(two) or len(one) < 2 or min(one.min(), two.min()) <= 0:
        raise ValueError(
            f"`above` and `below` must be two or more pairs of positive numbers, got {len(one)}, {len(two)}."
        )
    level, logs = _checks.level(level), np.log(one / two)
    half = float(stats.t.ppf((1 + level) / 2, len(logs) - 1) * logs.std(ddof=1) / math.sqrt(len(logs)))
    value = float(logs.mean())
    return Estimate(math.exp(value), math.exp(value - half), math.exp(value + half), level, None, "paired draws")
