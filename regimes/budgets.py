"""The four sources of error from measurements: random features on a pool of samples, without knowing the target.

One trial gives the loss of k features at infinite n, extrapolated from a fit on the whole pool; test losses of n
samples at many ridges; and those of two learners as they are. `of_trials` makes the four parts of them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, stats

from regimes import _checks, estimate, kernels, spectra, tasks
from regimes.results import Estimate
from regimes.ridge import limit_in_n
from regimes.spectrum import Spectrum

Array = np.ndarray

PARTS = ("noise", "realizability", "uncertainty", "deficiency")
MODES = 300
"""Modes of the Gaussian task: more features than these can express all."""
_RIDGES = 2.0 ** np.arange(-26, 14)
"""Times n, to be tried for the best ridge."""
_TESTS = 1000
_DIGITS = 512


class Measurement(NamedTuple):
    """The budget of one learner at one (n, k), measured."""

    parts: dict[str, Estimate]
    """By name; the interval is from the spread over trials."""
    loss: Estimate
    """The loss of the same trials: the sum of the parts."""


def of_trials(
    limit: Any, tried: Any, own: Any, noise: Any = None, *, whole: Any = None, level: float = 0.95
) -> Measurement:
    """The four parts from the losses of independent trials.

    Args:
        limit: (trials,) loss of the k features at infinite n, label noise included.
        tried: (trials, ridges) test losses at n for the same ridges in all trials.
        own: (trials,) test loss of the learner as it is.
        noise: variance of the label noise, if it is known.
        whole: (trials,) what all columns leave unexplained; stands for the noise where that is not known.
        level: stated coverage of the intervals, by Student's t over trials.

    Raises:
        ValueError: fewer than three trials, shapes that differ, neither noise nor whole, or both.
    """
    limit, own = _checks.finite_array("limit", limit, ndim=1), _checks.finite_array("own", own, ndim=1)
    tried = _checks.finite_array("tried", tried, ndim=2)
    if (noise is None) == (whole is None):
        raise ValueError("give `noise`, where it is known, or `whole`, from which it is measured: one of them.")
    floor = np.full(len(limit), _checks.number("noise", noise, low=0)) if whole is None else whole
    floor = _checks.finite_array("whole", floor, ndim=1)
    if len(limit) < 3 or {len(own), len(tried), len(floor)} != {len(limit)}:
        raise ValueError(
            "`limit`, `tried`, `own` and `whole` must hold the same three or more trials, got "
            f"{len(limit)}, {len(tried)}, {len(own)} and {len(floor)}."
        )
    others = (tried.sum(axis=0) - tried).argmin(axis=1)
    best = tried[np.arange(len(tried)), others]
    parts = dict(zip(PARTS, (floor, limit - floor, best - limit, own - best), strict=True))
    return Measurement({name: mean(part, level) for name, part in parts.items()}, mean(own, level))


def said(one: Estimate) -> str:
    """An estimate in three digits, whatever its size."""
    return f"{one.value:.3g} [{one.low:.3g}, {one.high:.3g}]"


def mean(trials: Array, level: float = 0.95) -> Estimate:
    """The mean over trials with Student's interval."""
    value, count = float(np.mean(trials)), len(trials)
    width = float(stats.t.ppf((1 + level) / 2, count - 1) * np.std(trials, ddof=1) / math.sqrt(count))
    return Estimate(value, value - width, value + width, level, None, f"mean over {count} trials")


def modes() -> Spectrum:
    """Eigenvalues i^-1.5 and target power i^-2 in `MODES` modes."""
    ranks = np.arange(1, MODES + 1.0)
    return spectra.listed(ranks**-1.5, ranks**-2.0)


def of_digits(name: str, values: Sequence[int]) -> tuple[int, ...]:
    """The sizes that the digits can be measured at: those below 512, as the pool has 750 images.

    Args:
        name: n or k.
        values: samples or features.

    Raises:
        ValueError: none of them is.
    """
    kept = tuple(one for one in values if one < _DIGITS)
    if not kept:
        raise ValueError(
            f"`{name}` has no value below {_DIGITS}, beyond which there are too few digits: the smallest is "
            f"{min(values)}; add a smaller one or leave the digits out (`digits=False`)."
        )
    return kept


class Gaussian:
    """Gaussian modes: samples, projections and teacher's signs anew in every trial."""

    name = "gaussian"

    def __init__(self, n: Sequence[int], k: Sequence[int], noise: float, seed: int) -> None:
        self.n, self.k, self.noise, self.seed = tuple(n), tuple(k), noise, seed
        self.spectrum, self.known = modes(), None
        self.pool = max(3 * max(k), max(n), 3 * MODES)

    def draw(self, trial: int) -> tuple[Array, Array, Callable[[int], Array]]:
        """Columns and targets of the pool and the tests, and the features for each k."""
        rng = np.random.default_rng([self.seed, 1, trial])
        z = rng.standard_normal((self.pool + _TESTS, MODES))
        x = z * np.sqrt(self.spectrum.eigenvalues)
        y = z @ (np.sqrt(self.spectrum.power) * rng.choice([-1.0, 1.0], MODES))
        y += math.sqrt(self.noise) * rng.standard_normal(len(y))
        directions = rng.standard_normal((MODES, max(self.k)))
        return x, y[:, None], lambda k: x @ directions[:, :k] / math.sqrt(k)


class Digits:
    """Random features of images with real classes; the spectrum is estimated on images that are not used again.

    Of n and k those below 512 are measured.
    """

    name = "digits"

    def __init__(self, n: Sequence[int], k: Sequence[int], noise: float, seed: int) -> None:
        task = tasks.digits()
        assert task.y is not None
        rng = np.random.default_rng([seed, 2])
        order = rng.permutation(len(task))
        y = tasks.with_noise(task.y, noise, int(rng.integers(2**31)))[order]
        x = task.x[order]
        self.seed, self.model, self.known = seed, kernels.fully_connected(1, kind="nngp"), noise
        read, self.x, self.y = slice(0, 700), x[700:], y[700:]
        gram = self.model(x[read])
        known = min(noise, 0.9 * float(np.mean(np.sum(y[read] ** 2, axis=1))))
        self.spectrum = estimate.spectrum(gram, y[read], noise=known, draws=0)
        self.read = estimate.noise(gram, y[read], seed=seed)
        self.pool = 750
        self.n, self.k = of_digits("n", n), of_digits("k", k)

    def draw(self, trial: int) -> tuple[Array, Array, Callable[[int], Array]]:
        """As for the Gaussian task."""
        rng = np.random.default_rng([self.seed, 3, trial])
        order = rng.permutation(len(self.x))
        phi = self.model.features(self.x, max(self.k), int(rng.integers(2**31)))[order]
        return phi, self.y[order], lambda k: phi[:, :k] / math.sqrt(k)


def trial(task: Any, number: int, ridge: float, time: float) -> dict[str, Array]:
    """Losses of one draw: `limit` in k; `tried` in n, k and ridge; `own` in n, k and learner; `whole` of all columns.

    Args:
        task: a Gaussian or Digits.
        number: which draw.
        ridge: of the first learner.
        time: at which the second stops.
    """
    columns, y, features = task.draw(number)
    pool = slice(0, task.pool)
    tried = np.empty((len(task.n), len(task.k), len(_RIDGES)))
    own, limit = np.empty((len(task.n), len(task.k), 2)), np.empty(len(task.k))
    for j, k in enumerate(task.k):
        phi = features(k)
        limit[j] = _limit(phi[pool], y[pool])
        for i, n in enumerate(task.n):
            tried[i, j], own[i, j] = losses(phi, y, n, task.pool, ridge, time)
    return {"limit": limit, "tried": tried, "own": own, "whole": np.array(_limit(columns[pool], y[pool]))}


def _limit(phi: Array, y: Array) -> float:
    """Loss at infinite n; columns beyond the rank of the features are no further features."""
    if phi.shape[1] >= len(phi) // 2 or phi.shape[1] > MODES:
        u, s, _ = linalg.svd(phi, full_matrices=False)
        phi = u[:, s > 1e-10 * s[0]] * math.sqrt(len(phi))
    return limit_in_n(phi, y)


def losses(phi: Array, y: Array, n: int, pool: int, ridge: float, time: float) -> tuple[Array, Array]:
    """Test losses of the first n samples at all ridges that are tried, and of the two learners.

    Args:
        phi: (samples, k) features, with their 1/sqrt(k).
        y: (samples, outputs).
        n: samples to train on, the first ones.
        pool: samples from this one on are for testing.
        ridge: of the first learner.
        time: at which the second stops, without ridge.
    """
    u, s, vt = linalg.svd(phi[:n], full_matrices=False)
    scores, against = u.T @ y[:n], phi[pool:] @ vt.T
    kept = s > 1e-10 * s[0]
    inverse = np.where(kept, 1 / np.where(kept, s, 1.0), 0.0)

    def loss(learnt: Array) -> float:
        missed = y[pool:] - against @ ((learnt * inverse)[:, None] * scores)
        return float(np.mean(np.sum(missed**2, axis=1)))

    # A scale of the ridge that is the same in all trials: n is nearly the sum of the eigenvalues of K.
    tried = np.array([loss(s**2 / (s**2 + one)) for one in n * _RIDGES])
    own = [loss(s**2 / (s**2 + ridge) if ridge else 1.0 * kept)]
    own.append(loss(-np.expm1(-(s**2) * time / n)))
    return tried, np.array(own)
