"""Nyquist learners: the samples that a band-limited target needs, for learners limited to the band and others.

Without noise and ridge a kernel of N modes interpolates n < N samples and knows every function of its span from n >= N:
its loss falls to zero at a finite number of samples, the rate. A target within a band of the modes is learnt so by the
learner that is limited to this band; a learner with modes beyond it aliases and follows a power law for ever.

    rate = nyquist.rate(spectrum)
    limited = nyquist.limited(spectrum)              # the learner that keeps the band only
    theory.predict_curve(limited, n=[10, 20, 40])

Near the rate, solve for the coefficients of the modes and not with the Gram matrix, whose condition number is the
square of theirs: on random points of the circle rounding then stays below 1e-10 of the power (see docs/rosenfeld.md).
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from regimes import _checks, display, equivalents
from regimes.results import Values
from regimes.spectrum import Spectrum

Array = np.ndarray


@display.shown
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


def regular(eigenvalues: Any, power: Any, n: Any, *, ridge: float = 0.0, noise: float = 0.0) -> Values:
    """The exact loss of kernel ridge regression on n equidistant points of the circle, averaged over their offset.

    Frequencies that differ by a multiple of n are the same on the points: those of residue r share what is seen there,
    each a part lambda_k/(L_r + ridge/n) with L_r the sum over the residue. With p_k the power at k (of both signs)

        L = sum_k { (1 - s_k)^2 p_k + s_k^2 (P_r - p_k) + s_k^2 noise/n } + noise,  s_k = lambda_k/(L_r + ridge/n),

    P_r the sum of p over the residue. Of equal eigenvalues on B frequencies, both signs counted, and power spread
    evenly over them, 1 - n/B is left, as with random points; but noise adds only noise B/n from n = B on: no peak.

    Args:
        eigenvalues: c_0, c_1, ... of the stationary kernel, as in [circle][regimes.spectra.circle], none negative.
        power: of the target at frequency 0, and in the pair of sine and cosine at 1, 2, ...; as many.
        n: numbers of points.
        ridge: added to the diagonal of the Gram matrix.
        noise: variance of the label noise.

    Raises:
        ValueError: lengths that differ, negative values, a number of points that is not whole or below 1.

    Source: Spigler et al. 2020 (arXiv:1905.10843) for lattices; with noise and the average over the offset, here.
    """
    values, squares = (
        _checks.finite_array(name, value, ndim=1) for name, value in (("eigenvalues", eigenvalues), ("power", power))
    )
    if len(values) != len(squares):
        raise ValueError(f"`power` must be as long as `eigenvalues`, {len(values)}, got {len(squares)}.")
    if min(values.min(), squares.min()) < 0:
        raise ValueError("`eigenvalues` and `power` must not be negative.")
    sizes = _checks.finite_array("n", n, ndim=(0, 1))
    if np.any(sizes < 1) or np.any(sizes != np.rint(sizes)):
        raise ValueError(f"`n` must be whole numbers of at least 1, got {sizes.min():g}.")
    ridge, noise = _checks.number("ridge", ridge, low=0), _checks.number("noise", noise, low=0)
    k = np.arange(1 - len(values), len(values))
    values, squares = values[np.abs(k)], np.where(k == 0, squares[0], squares[np.abs(k)] / 2)
    losses = []
    for size in sizes.reshape(-1):
        residue = k % int(min(size, len(k)))  # from as many points on as there are frequencies none aliases another
        shared = np.bincount(residue, values)[residue] + ridge / size
        share = np.where(shared > 0, values / np.where(shared > 0, shared, 1.0), 0.0)
        others = np.bincount(residue, squares)[residue] - squares
        others = np.maximum(others, 0.0)  # rounding
        losses.append(np.sum((1 - share) ** 2 * squares + share**2 * (others + noise / size)) + noise)
    return np.array(losses).reshape(sizes.shape)[()]
