"""Nyquist learners: the samples that a band-limited target needs, for learners limited to the band and others.

Without noise and ridge a kernel of N modes interpolates n < N samples and knows every function of its span from n >= N:
its loss falls to zero at a finite number of samples, the rate. A target within a band of the modes is learnt so by the
learner that is limited to this band; a learner with modes beyond it aliases and follows a power law for ever.

    rate = nyquist.rate(spectrum)
    limited = nyquist.limited(spectrum)              # the learner that keeps the band only
    theory.predict_curve(limited, n=[10, 20, 40])
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from regimes import _checks, equivalents
from regimes.spectrum import Spectrum


class Rate(NamedTuple):
    """Numbers of samples at which learning is complete."""

    band: float
    """Modes from the first to the last that holds target power: the rate of the learner that keeps only these. Infinite
    where power lies in the unresolved tail."""
    learner: float
    """Modes of the learner as it is: its own rate; infinite with a tail."""
    oversampling: float
    """learner/band: how many times more samples than necessary; infinite where the learner never completes."""

    def __str__(self) -> str:
        own = f"{self.learner:g} samples" if math.isfinite(self.learner) else "no finite number of samples"
        least = f"{self.band:g}" if math.isfinite(self.band) else "no finite number"
        return f"complete from {own}; a learner limited to the band of the target from {least}"


def rate(spectrum: Spectrum, *, tolerance: float = 0.0) -> Rate:
    """The numbers of samples from which the noiseless, ridgeless loss is zero.

    Args:
        spectrum: kernel and target.
        tolerance: share of the target power, the least important levels first, that may be left out of the band.

    Raises:
        ValueError: a target without power, a tolerance that is not in [0, 1).

    Source: Rosenfeld 2021 (arXiv:2108.07686), chapter on Nyquist learners, for the idea; E[L(n)] = (1 - n/N) |v|^2 for
    N equal eigenvalues and L(n) = 0 for n >= N from [loss][regimes.equivalents.loss].
    """
    last = _last(spectrum, tolerance)
    band = math.inf if last is None else float(spectrum.multiplicity[: last + 1].sum())
    learner = spectrum.modes
    return Rate(band, learner, learner / band if math.isfinite(band) else 1.0)


def limited(spectrum: Spectrum, *, tolerance: float = 0.0, flat: bool = False) -> Spectrum:
    """The learner that keeps the modes up to the last with target power, and no others.

    Args:
        spectrum: kernel and target.
        tolerance: as for `rate`; the power left out is never learnt and acts as noise.
        flat: whether to give all these modes the same eigenvalue, their mean: the learner without other preferences.

    Raises:
        ValueError: as for `rate`, and a target with power in the unresolved tail, which has no band.
    """
    last = _last(spectrum, tolerance)
    if last is None:
        raise ValueError("`spectrum` has target power in its unresolved tail: it has no band; raise `tolerance`.")
    kept = slice(0, last + 1)
    multiplicity = spectrum.multiplicity[kept]
    values = spectrum.eigenvalues[kept]
    if flat:
        values = np.full(len(values), float(values @ multiplicity / multiplicity.sum()))
    return dataclasses.replace(
        spectrum,
        eigenvalues=values,
        power=spectrum.power[kept],
        multiplicity=multiplicity,
        tail=0.0,
        tail_power=float(spectrum.power[last + 1 :].sum()) + spectrum.tail_power,
        replicates=(),
        resolved=math.inf,
    )


def samples(spectrum: Spectrum, loss: float, *, noise: float = 0.0, most: float = 1e12) -> float:
    """The smallest number of samples with a ridgeless loss of at most `loss`; infinite where there is none.

    Args:
        spectrum: kernel and target.
        loss: the loss to reach, label noise included.
        noise: variance of the label noise.
        most: beyond it the answer is infinite.

    Raises:
        ValueError: values out of range.

    Valid when: the loss falls with n up to there, as it does without noise for a kernel with a tail.
    """
    wanted = _checks.number("loss", loss, low=0)
    noise = _checks.number("noise", noise, low=0)
    top = min(_checks.number("most", most, low=1), 1e15)

    def enough(n: Any) -> bool:
        return bool(np.asarray(equivalents.loss(spectrum, n, np.inf, 0.0, noise)) <= wanted)

    if not enough(top):
        return math.inf
    low, high = 0.0, math.log(top)
    if enough(1.0):
        return 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(math.exp(middle)) else (middle, high)
    return float(math.ceil(math.exp(high) * (1 - 1e-8)))


def _last(spectrum: Spectrum, tolerance: float) -> int | None:
    """The last level of the band; None where it lies in the tail."""
    tolerance = _checks.number("tolerance", tolerance, low=0)
    if tolerance >= 1:
        raise ValueError(f"`tolerance` must be below 1, got {tolerance:g}.")
    if spectrum.total_power <= 0:
        raise ValueError("`spectrum` has a target without power: there is nothing to learn.")
    allowed = tolerance * spectrum.total_power
    if spectrum.tail_power > allowed:
        return None
    beyond = spectrum.total_power - np.cumsum(spectrum.power)  # power after each level
    beyond = np.where(beyond < 1e-14 * spectrum.total_power, 0.0, beyond)
    return int(np.flatnonzero(beyond <= allowed)[0])
