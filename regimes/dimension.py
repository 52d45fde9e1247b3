"""Intrinsic dimension of data or activations, and the scaling exponents that it implies.

The dimension is read from ratios of neighbour distances. Where the density is constant over the ball that holds the
2m nearest neighbours of a point, the ratio mu of the distances to the 2m-th and the m-th has the density

    d (mu^d - 1)^(m-1) / (B(m, m) mu^((2m-1) d + 1)),    mu > 1,

whatever the density is: maximum likelihood in d is GRIDE, and with m = 1 TwoNN. Larger m look at larger distances, so d
against m tells a manifold (flat) from noise (d falls as m grows).

What a dimension implies for a loss are bounds and predictions under assumptions, which every row of a `Table` states.
"""

import dataclasses
import hashlib
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy import optimize, spatial, stats

from regimes import _checks, display
from regimes.profiles import Periodic, Profile
from regimes.results import Caution, Estimate, log_slope
from regimes.spectrum import Spectrum

Array = np.ndarray
_LIBRARY = {
    "corrint": "CorrInt",
    "fishers": "FisherS",
    "lpca": "lPCA",
    "mada": "MADA",
    "mle": "MLE",
    "mom": "MOM",
    "tle": "TLE",
}
"""Estimators of scikit-dimension by the word for them here."""
_TREE = 12
"""Columns up to which a k-d tree finds neighbours faster than the distances to all points."""
_BLOCK = 2**22
"""Numbers in each of the few arrays held while neighbours are sought: 32 MB."""
_LEAST = 1e-150
"""Shortest distance, of the largest entry: squares of shorter ones underflow."""
_BIAS = ((5.0, 10.0, 0.8, 1.25), (10.0, 15.0, 0.75, 1.5), (15.0, math.inf, 0.75, 2.8))
"""(from, below, low, high): true over estimated dimension for estimates in that range. Measured with 1000 and 4000
points on spheres, cubes, Gaussians, their images under tanh, and tori, of dimension 4 to 50; the tori give the low end,
Gaussians squashed by tanh the high. tests/test_dimension.py::test_bias_stays_in_the_stated_range measures it again."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Dimension:
    """An intrinsic dimension, how it depends on the scale, and what to beware of."""

    estimate: Estimate
    """The dimension at the scale that was asked for; the interval is for sampling, not for the bias."""
    neighbours: Int64[Array, " scales"]
    """m of each scale: its dimension comes from the m-th and 2m-th nearest neighbours."""
    values: Float64[Array, " scales"]
    """Dimension at each scale (GRIDE); NaN where more than nine ratios in ten are 1."""
    stderr: Float64[Array, " scales"]
    """Its standard error."""
    distances: Float64[Array, " scales"]
    """Median distance to the 2m-th neighbour."""
    method: str
    """How `estimate` was obtained."""
    points: int
    """Number of points whose neighbours were used."""
    cautions: tuple[Caution, ...] = ()
    """Where the number is known to mislead."""

    def at(self, neighbours: int) -> Estimate:
        """The dimension from the m-th and 2m-th neighbours, with an interval of the level of `estimate`.

        Args:
            neighbours: m, one of `self.neighbours`.

        Raises:
            ValueError: another m.
        """
        where = np.flatnonzero(self.neighbours == neighbours)
        if not len(where):
            raise ValueError(f"`neighbours` must be one of {self.neighbours.tolist()}, got {neighbours!r}.")
        value, error = float(self.values[where[0]]), float(self.stderr[where[0]])
        return _interval(value, error, self.points, self.estimate.level, f"GRIDE, m = {neighbours}")

    def __str__(self) -> str:
        lines = [f"dimension {self.estimate} ({self.method}, {self.points} points)"]
        lines += [
            f"  m = {m:>3}, distance {r:.3g}: {d:.2f} +- {e:.2f}"
            for m, r, d, e in zip(self.neighbours, self.distances, self.values, self.stderr, strict=True)
        ]
        return "\n".join(lines + [f"  caution: {caution}" for caution in self.cautions])


@dataclasses.dataclass(frozen=True)
class Row:
    """One exponent of the loss: where it comes from, what it claims and under which assumptions."""

    source: str
    """dimension, kernel, spectrum or measured."""
    name: str
    """What it is, in a few words."""
    exponent: Estimate
    """Positive: the loss falls as n (or k) to minus this."""
    kind: str
    """bound (the loss falls at least that fast), prediction, or measured."""
    assumptions: str
    """What has to hold for it."""
    verdict: str = ""
    """How it stands to the measured exponent, or without one to that of the spectrum."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Table:
    """Exponents side by side; print it."""

    rows: tuple[Row, ...]
    """One per exponent."""

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        head = ("source", "exponent of", "kind", "value", "verdict", "if")
        cells = [head] + [(r.source, r.name, r.kind, str(r.exponent), r.verdict, r.assumptions) for r in self.rows]
        shown = [i for i, _ in enumerate(head) if any(row[i] for row in cells[1:])]
        width = {i: max(len(row[i]) for row in cells) for i in shown}
        return "\n".join("  ".join(row[i].ljust(width[i]) for i in shown).rstrip() for row in cells)


def intrinsic_dimension(
    x: Any,
    *,
    method: str = "gride",
    at: int = 1,
    scales: Any = None,
    points: int = 5000,
    splits: int = 4,
    seed: int = 0,
    level: float = 0.95,
) -> Dimension:
    """Intrinsic dimension of samples, with an interval, its dependence on the scale, and cautions.

    The standard error of the maximum-likelihood estimate comes from the scores s_i of all points, counted together
    where neighbourhoods share points: with I the information, se^2 = sum_p (sum_{i: p in ball i} s_i)^2 / ((2m+1) I^2).
    Ratios of neighbouring points are not independent; the error 1/sqrt(I) that ignores it is too small by a factor of
    1.2 to 1.7. Copies of a point are dropped first: a point with a copy has no ratio.

    Memory is that of one copy of x in float64, a second one where samples repeat, and some 200 MB.

    Args:
        x: (samples, features); further axes, as of images, are flattened. A sample of which no two are dependent: no
            augmented copies, no consecutive frames.
        method: "gride" (at=1 is TwoNN); or an estimator of scikit-dimension, which the extra `dimension` installs:
            corrint, fishers, lpca, mada, mle, mom, tle. Their interval is from half-samples.
        at: m of the estimate for gride: the m-th and 2m-th neighbours. Take it from the plateau of the scales where
            there is noise.
        scales: the values of m at which the dimension is shown; default 1, 2, 4, ... up to 64 or samples/16.
        points: at most so many points, drawn at random, are asked for their neighbours. For gride these are sought
            among all samples; the other methods see the drawn points only.
        splits: pairs of disjoint half-samples behind the interval of a method of scikit-dimension.
        seed: seed of the draws.
        level: stated coverage of the interval.

    Raises:
        ValueError: not an array of numbers, fewer than 10 distinct samples, neighbours beyond the samples, a lattice,
            an unknown method; a method of scikit-dimension without that package.

    Source: Facco et al. 2017 (TwoNN); Denti et al. 2022 (GRIDE); standard error ours.

    Valid when the density hardly changes over a neighbourhood: many points, few dimensions. From about dimension 5 on
    there is bias, and above 15 the estimate is mostly too low; the cautions say by how much.
    """
    method = _checks.choice("method", method, ("gride", *_LIBRARY))
    at, points = _checks.count("at", at), _checks.count("points", points, low=10)
    splits, seed = _checks.count("splits", splits, low=1), _checks.count("seed", seed, low=0)
    level = _level(level)
    cloud, scale, images = _cloud(x)
    total = len(cloud)
    distinct = _first_of_each(cloud)
    if len(distinct) < 10:
        raise ValueError(f"`x` must hold at least 10 distinct samples, got {len(distinct)} (of {total}).")
    if method != "gride" and len(distinct) < 100:
        raise ValueError(f"`method` {method} needs 100 distinct samples, got {len(distinct)}; take gride.")
    if len(distinct) < total:
        cloud = cloud[distinct]
    orders = _orders(scales, at, len(cloud))
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(cloud), points, replace=False) if len(cloud) > points else np.arange(len(cloud))
    far, who = _neighbours(cloud, drawn, 2 * int(orders[-1]))
    ratios = [np.log(far[:, 2 * m - 1] / far[:, m - 1]) for m in orders]
    ratios = [np.where(ratio > 1e-10, ratio, 0.0) for ratio in ratios]  # ties, but for rounding
    balls = [np.column_stack([drawn, who[:, : 2 * m]]) for m in orders]
    found = [_gride(*each) for each in zip(ratios, orders.tolist(), balls, strict=True)]
    values, errors = np.array(found).T
    here = int(np.flatnonzero(orders == at)[0])
    if method == "gride":
        if math.isnan(values[here]):
            raise ValueError(
                f"`x` is a lattice: nine points in ten have their neighbours {at} and {2 * at} at the same distance; "
                "the dimension is read from distances of random samples."
            )
        what = "TwoNN" if at == 1 else f"GRIDE, m = {at}"
        estimate = _interval(values[here], errors[here], len(drawn), level, what)
    else:
        what = f"{_LIBRARY[method]} of scikit-dimension"
        estimate = _by_library(cloud[drawn], method, splits, rng, level, what)
    distances = scale * np.median(far[:, 2 * orders - 1], axis=0)
    cautions = _cautions(estimate.value, values, errors, orders, total - len(cloud), ratios[here], len(cloud), images)
    return Dimension(estimate, orders, values, errors, distances, what, len(drawn), cautions)


def exponents(
    dim: Any, *, smoothness: Any = None, target: Any = None, order: float | None = None, along: str = "n"
) -> Table:
    """The exponents of the loss that an intrinsic dimension d implies, each with its assumptions.

    A test point is at a distance r ~ n^(-1/d) from the nearest of n samples. With no error on the samples:

    - a Lipschitz loss of Lipschitz functions is O(r): the exponent is at least 1/d (Theorem 2; along k, with no error
      at k random points, Theorem 3);
    - a loss with a minimum where model and target agree, such as the squared error, is O(r^2): at least 2/d;
    - a model that is linear between samples, as relu networks are piecewise, leaves an error O(r^2) of a target with
      bounded second derivatives, so the loss is O(r^4): at least 4/d, and 4/d where those derivatives do not vanish;
    - an error O(r^s) gives in the same way at least 2 s/d.

    Ridgeless kernel regression, noise-free, by a kernel of smoothness nu (eigenvalues i^-(1+2 nu/d)) of a target drawn
    from a kernel of smoothness nu': min(2 nu'/d, 2 + 4 nu/d) in n and min(2 nu'/d, 1 + 2 nu/d) in k. With nu' = nu,
    2 nu/d in both: 1/d for the NTK of a relu network, 3/d for its NNGP.

    Args:
        dim: d: a [Dimension][regimes.dimension.Dimension], an [Estimate][regimes.results.Estimate] or a number.
        smoothness: nu of the kernel, a number or a kernel of `regimes.profiles`; None leaves the kernel out.
        target: nu' of the kernel that the target is drawn from, in the same form; None for the same kernel.
        order: s, the order in r to which model and target agree away from the samples; None leaves the row out.
        along: "n" for samples, "k" for features or parameters.

    Raises:
        ValueError: a dimension, smoothness or order that is not positive, a smooth kernel (of infinite smoothness)
            without a rougher target, a target without a kernel.

    Source: Bahri et al. 2021 (1/d, 2/d, 4/d); Sharma and Kaplan 2022 (4/d); Spigler et al. 2020 (kernels in n); the
    saturation in k as in [theory.exponents][regimes.theory.exponents].

    Valid when the samples fill a compact d-dimensional manifold with a density bounded away from zero, and there is no
    label noise: noise ends every one of these laws.
    """
    along = _checks.choice("along", along, ("n", "k"))
    d = _dimension(dim)
    zero = "no error on the samples" if along == "n" else "no error at k random points"
    rows = [
        _bound(d, 1, "Lipschitz loss, 1/d", f"{zero}; loss, model and target Lipschitz"),
        _bound(d, 2, "smooth loss, 2/d", f"{zero}; model and target Lipschitz, loss quadratic at its minimum"),
        _bound(
            d,
            4,
            "piecewise linear model, 4/d",
            f"{zero}; model linear between them, target with bounded second derivatives, squared error; "
            "reached where these do not vanish",
        ),
    ]
    if order is not None:
        s = _checks.number("order", order, low=0, strict=True)
        name = f"agreement to order {s:g}, {2 * s:g}/d"
        rows.append(_bound(d, 2 * s, name, f"{zero}; error O(r^{s:g}) at distance r from them, squared error"))
    if smoothness is not None:
        rows.append(_kernel(d, smoothness, target, along))
    elif target is not None:
        raise ValueError("`target` needs the `smoothness` of the kernel that learns it.")
    return Table(tuple(rows))


def compare(
    dim: Any = None,
    *,
    spectrum: Any = None,
    measured: Any = None,
    along: str = "n",
    window: tuple[float, float] | None = None,
    smoothness: Any = None,
    target: Any = None,
    order: float | None = None,
    level: float = 0.95,
) -> Table:
    """Exponents from the dimension, from the spectrum and from measurement side by side.

    A prediction agrees when its interval and the measured one overlap. A bound holds when the measured exponent is not
    below it, and is reached when the intervals overlap; a bound that holds says nothing more. Where the measured
    interval is wider than the exponent, the verdict is undecided.

    Args:
        dim: as for [exponents][regimes.dimension.exponents]; None leaves the dimension out.
        spectrum: a spectrum, whose loss at k = infinity (or n = infinity) without ridge gives the exponent over the
            window; or alpha itself, which is the exponent for a target of the kernel's own prior.
        measured: a measured exponent of the same axis, as of
            [LearningCurve.exponent][regimes.results.LearningCurve.exponent].
        along: "n" or "k".
        window: sizes over which the spectrum is read; default that of `measured`, else from 16 to what it resolves.
        smoothness: as for `exponents`.
        target: as for `exponents`.
        order: as for `exponents`.
        level: stated coverage of the interval of the spectrum's exponent, from its replicates.

    Raises:
        ValueError: nothing to compare, a window that the spectrum does not reach, a measured exponent that is not an
            Estimate.
    """
    along, level = _checks.choice("along", along, ("n", "k")), _level(level)
    if sum(item is not None for item in (dim, spectrum, measured)) < 2:
        raise ValueError("`compare` needs at least two of `dim`, `spectrum` and `measured`.")
    if measured is not None and not isinstance(measured, Estimate):
        raise ValueError(f"`measured` must be an Estimate, got {type(measured).__name__}; see LearningCurve.exponent.")
    rows = (
        list(exponents(dim, smoothness=smoothness, target=target, order=order, along=along)) if dim is not None else []
    )
    if isinstance(spectrum, Estimate):
        assumptions = "the target is a draw from the kernel; no noise, no ridge"
        rows.append(Row("spectrum", "alpha", spectrum, "prediction", assumptions))
    elif isinstance(spectrum, Spectrum):
        rows.append(_from_spectrum(spectrum, along, window or (measured.window if measured else None), level))
    elif spectrum is not None:
        raise ValueError(f"`spectrum` must be a Spectrum or an Estimate of alpha, got {type(spectrum).__name__}.")
    reference = measured if measured is not None else rows[-1].exponent
    last = None if measured is not None else rows[-1]
    judged = [row if row is last else dataclasses.replace(row, verdict=_verdict(row, reference)) for row in rows]
    if measured is not None:
        judged.append(Row("measured", f"loss in {along}", measured, "measured", measured.method))
    return Table(tuple(judged))


def _level(level: Any) -> float:
    level = _checks.number("level", level)
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {level:g}.")
    return level


def _cloud(x: Any) -> tuple[Array, float, bool]:
    """Rows of x scaled by its largest entry and centred, that entry, and whether they are images."""
    values = _checks.finite_array("x", x)
    if values.ndim < 2:
        raise ValueError(
            f"`x` must have one row per sample, got shape {values.shape}; for one feature pass x[:, None]."
        )
    scale = max(abs(float(values.max())), abs(float(values.min()))) or 1.0
    rows = values.reshape(len(values), -1)
    # In place where the conversion to float64 has made a copy already.
    own = isinstance(x, np.ndarray) and x.dtype != np.float64
    rows = np.divide(rows, scale, out=rows if own else None)
    rows -= rows.mean(axis=0)
    rows += 0.0  # no -0.0, so that equal rows have equal bytes
    return rows, scale, values.ndim > 2


def _first_of_each(rows: Array) -> Array:
    """Places of the distinct rows."""
    first: dict[bytes, int] = {}
    for place, row in enumerate(np.ascontiguousarray(rows)):
        first.setdefault(hashlib.blake2b(row.tobytes(), digest_size=16).digest(), place)
    return np.fromiter(first.values(), dtype=np.int64)


def _orders(scales: Any, at: int, size: int) -> Array:
    """The m of all scales, `at` among them."""
    most = (size - 1) // 2
    if at > most:
        raise ValueError(f"`at` must be at most {most} for {size} distinct samples (neighbour 2m), got {at}.")
    if scales is None:
        chosen = 2 ** np.arange(int(math.log2(min(64, max(size // 16, 1)))) + 1)
    else:
        chosen = _checks.sizes("scales", scales, low=1, high=most)
    return np.union1d(chosen, [at]).astype(np.int64)


def _neighbours(cloud: Array, drawn: Array, count: int) -> tuple[Array, Array]:
    """Ascending distances of the drawn points to their `count` nearest others, and who these are."""
    if cloud.shape[1] <= _TREE:
        distance, who = (np.asarray(part) for part in spatial.KDTree(cloud).query(cloud[drawn], k=count + 1))
        # The point itself comes first: the rows are distinct.
        return np.maximum(distance[:, 1:], _LEAST), who[:, 1:]
    squares = np.einsum("ij,ij->i", cloud, cloud)
    rows = max(1, _BLOCK // max(len(cloud), count * cloud.shape[1]))
    parts = []
    for start in range(0, len(drawn), rows):
        block = drawn[start : start + rows]
        near = squares - 2 * (cloud[block] @ cloud.T)
        near[np.arange(len(block)), block] = np.inf
        who = np.argpartition(near, count - 1, axis=1)[:, :count]
        # Once more from the differences: the expanded square has cancelled digits.
        distance = np.linalg.norm(cloud[who] - cloud[block][:, None], axis=2)
        order = np.argsort(distance, axis=1)
        parts.append((np.take_along_axis(distance, order, 1), np.take_along_axis(who, order, 1)))
    far, who = (np.concatenate(part) for part in zip(*parts, strict=True))
    return np.maximum(far, _LEAST), who


def _gride(ratio: Array, m: int, ball: Array) -> tuple[float, float]:
    """Maximum-likelihood dimension from the log ratios of distances, and its standard error; NaN on a lattice."""
    count, total = len(ratio), float(ratio.sum())
    if np.mean(ratio == 0) > 0.9:
        return math.nan, math.nan
    safe = np.where(ratio > 0, ratio, 1.0)

    def pull(d: float) -> Array:  # log mu/(1 - mu^-d), which is 1/d at mu = 1
        return np.where(ratio > 0, safe / -np.expm1(-d * safe), 1 / d)

    def score(d: float) -> float:  # N - 1 makes TwoNN unbiased
        return (count - 1) / d + (m - 1) * float(pull(d).sum()) - (2 * m - 1) * total

    high = 1.0
    while score(high) > 0:
        high *= 2
    low = high
    while score(low) <= 0:
        low /= 2
    d = (count - 1) / total if m == 1 else float(optimize.brentq(score, low, high, rtol=1e-12))
    curve = np.where(ratio > 0, safe / (2 * np.sinh(np.minimum(d * safe / 2, 350))), 1 / d) ** 2
    information = count / d**2 + (m - 1) * float(curve.sum())
    scores = 1 / d + (m - 1) * pull(d) - (2 * m - 1) * ratio
    scores -= scores.mean()
    shared = np.bincount(ball.ravel(), np.repeat(scores, ball.shape[1]))
    return d, float(np.linalg.norm(shared)) / math.sqrt(ball.shape[1]) / information


def _interval(value: float, error: float, count: int, level: float, method: str) -> Estimate:
    """An interval symmetric in log d: the error is proportional to d."""
    value = float(value)
    factor = math.exp(float(stats.t.ppf((1 + level) / 2, count - 1)) * float(error) / value)
    return Estimate(value, value / factor, value * factor, level, None, method)


def _by_library(cloud: Array, method: str, splits: int, rng: np.random.Generator, level: float, what: str) -> Estimate:
    try:
        from skdim import id as estimators  # type: ignore[import-untyped]
    except ImportError:
        raise ValueError(
            f"`method` {method} needs scikit-dimension: install regimes[dimension], or take method gride."
        ) from None
    options = {"verbose": False} if method == "lpca" else {}

    def fit(rows: Array) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(getattr(estimators, _LIBRARY[method])(**options).fit(rows).dimension_)

    half = len(cloud) // 2
    halves = []
    for _ in range(splits):
        shuffled = rng.permutation(len(cloud))
        halves += [fit(cloud[shuffled[:half]]), fit(cloud[shuffled[half : 2 * half]])]
    return Estimate.from_halves(fit(cloud), np.array(halves), level=level, method=what)


def _cautions(
    value: float,
    values: Array,
    errors: Array,
    orders: Array,
    copies: int,
    ratio: Array,
    size: int,
    images: bool,
) -> tuple[Caution, ...]:
    found = []
    if copies:
        found.append(f"{copies} samples are copies of others and were dropped")
    if size < 100:
        found.append(f"only {size} distinct samples")
    ties = float(np.mean(ratio == 0))
    if ties > 0.01:
        found.append(f"{ties:.0%} of the points have two neighbours at the same distance: quantised or repeated values")
    known = np.flatnonzero(np.isfinite(values))
    if len(known) > 1:
        first, last = known[0], known[-1]
        change = values[first] / values[last]
        clear = abs(values[first] - values[last]) > 3 * math.hypot(errors[first], errors[last])
        words = "the dimension {} " + f"from {values[first]:.1f} at m = {orders[first]} to {values[last]:.1f} at "
        words += f"m = {orders[last]}"
        if clear and change > 1.25:
            found.append(words.format("falls") + ": noise at small distances, or too few points for this dimension")
        elif clear and change < 0.8:
            found.append(words.format("rises") + ": curved, clustered or nearly repeated data")
    for start, end, low, high in _BIAS:
        if start <= value < end:
            lower = ", mostly a lower bound" if math.isinf(end) else ""
            found.append(
                f"at this dimension estimates are biased{lower}: true over estimated was {low:g} to {high:g} on known "
                "manifolds"
            )
    if images:
        found.append("distances between pixels are not those between contents: other features give other dimensions")
    return tuple(Caution(reason) for reason in found)


def _dimension(dim: Any) -> Estimate:
    if isinstance(dim, Dimension):
        dim = dim.estimate
    if isinstance(dim, Estimate):
        if not 0 < dim.low <= dim.value <= dim.high < math.inf:
            raise ValueError(f"`dim` must be positive and finite with its whole interval, got {dim}.")
        return dim
    return Estimate.exact(_checks.number("dim", dim, low=0, strict=True))


def _bound(d: Estimate, numerator: float, name: str, assumptions: str) -> Row:
    ends = (numerator / d.value, numerator / d.high, numerator / d.low)
    return Row("dimension", name, Estimate(*ends, d.level, None, f"{numerator:g}/d"), "bound", assumptions)


def _smoothness(name: str, value: Any) -> float:
    value = value.smoothness if isinstance(value, Profile | Periodic) else value
    if isinstance(value, float) and value == math.inf:
        return value
    return _checks.number(name, value, low=0, strict=True)


def _kernel(d: Estimate, smoothness: Any, target: Any, along: str) -> Row:
    own = _smoothness("smoothness", smoothness)
    aim = own if target is None else _smoothness("target", target)
    if math.isinf(aim):
        what = "target" if target is not None else "smoothness"
        raise ValueError(f"`{what}` is infinite: the loss falls faster than any power; give a rougher `target`.")
    factor = {"n": 2, "k": 1}[along]
    # Both arguments of the minimum fall as d grows, so the ends of the interval go to the ends.
    method = f"min(2 nu'/d, {factor} + {2 * factor} nu/d)"
    ends = [min(2 * aim / end, factor * (1 + 2 * own / end)) for end in (d.value, d.high, d.low)]
    exponent = Estimate(ends[0], ends[1], ends[2], d.level, None, method)
    drawn = "itself" if target is None else f"a kernel of smoothness {aim:g}"
    return Row(
        "kernel",
        f"kernel of smoothness {own:g}",
        exponent,
        "prediction",
        f"ridgeless regression by this kernel, no noise; target drawn from {drawn}",
    )


def _from_spectrum(spectrum: Spectrum, along: str, window: tuple[float, float] | None, level: float) -> Row:
    """Log-slope of the ridgeless loss at the other size infinite, over the window."""
    low, high = window if window is not None else (16.0, min(spectrum.resolved, spectrum.modes / 10))
    if not 0 < low <= high / 2 or high >= spectrum.modes:
        raise ValueError(
            f"`window` must satisfy 0 < low <= high / 2 and high < {spectrum.modes:g} modes, got ({low:g}, {high:g}); "
            "give one that the spectrum reaches."
        )
    at = np.geomspace(low, high, 24)

    def read(of: Spectrum) -> float:
        size, loss = _ridgeless(of.compressed, along)
        if not size[0] <= math.log(low) < math.log(high) <= size[-1]:
            raise ValueError(f"`window` ({low:g}, {high:g}) is beyond the {of.modes:g} modes of the spectrum.")
        return -log_slope(at, np.exp(np.interp(np.log(at), size, loss)))

    halves = np.array([read(replicate) for replicate in spectrum.replicates])
    method = f"log-slope of the ridgeless loss in {along}"
    exponent = Estimate.from_halves(read(spectrum), halves, level=level, window=(low, high), method=method)
    beyond = f"; extrapolated beyond {spectrum.resolved:g}" if high > 1.05 * spectrum.resolved else ""
    assumptions = f"the kernel and target of the spectrum, from {low:g} to {high:g}; no noise, no ridge{beyond}"
    return Row("spectrum", f"loss in {along}", exponent, "prediction", assumptions)


def _ridgeless(spectrum: Spectrum, along: str) -> tuple[Array, Array]:
    """Log of size and log of loss, ascending in size: both are functions of gamma, and size = df1(gamma)."""
    values = spectrum.eigenvalues
    top, bottom = spectrum.trace * 4, values[-1] * 1e-3
    gamma = np.geomspace(top, bottom, 4000)[:, None]
    kept = values / (values + gamma)
    size = kept @ spectrum.multiplicity + spectrum.tail / gamma[:, 0]
    if along == "k":
        loss = (1 - kept) @ spectrum.power + spectrum.tail_power
    else:
        df2 = kept**2 @ spectrum.multiplicity
        loss = size / (size - df2) * ((1 - kept) ** 2 @ spectrum.power + spectrum.tail_power)
    return np.log(size), np.log(loss)


def _verdict(row: Row, reference: Estimate) -> str:
    if not (math.isfinite(reference.low) and math.isfinite(reference.high) and math.isfinite(reference.value)):
        return "undecided: the exponent to compare with has no finite interval"
    width = (reference.high - reference.low) / 2
    if width > 0.5 * max(abs(reference.value), abs(row.exponent.value)):
        return f"undecided: the exponent to compare with is uncertain by {width:.2g}"
    gap = reference.value - row.exponent.value
    if row.exponent.overlaps(reference):
        return "agrees" if row.kind == "prediction" else "holds, reached"
    if row.kind == "prediction":
        return f"measured {'above' if gap > 0 else 'below'} it by {abs(gap):.3f}"
    return "holds, only a bound" if gap > 0 else f"violated by {abs(gap):.3f}: an assumption fails"
