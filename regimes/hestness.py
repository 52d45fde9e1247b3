"""Hestness et al.'s method as a procedure: the best model for each amount of data, and the two exponents that follow.

    found = hestness.procedure(train, samples=4096, sizes=[8, 16, 32, 64, 128], repeats=4)
    print(found)                     # beta_g of the loss, beta_p of the model size, three regions

`train(rows, size, seed)` trains a model of that size on these rows of a training set and returns its loss on a
validation set that is always the same. Shards are nested and grow by a factor of two; for each, models are searched for
the one with the smallest validation loss. The lower envelope of these losses is the learning curve, and the smallest
model that is nearly as good is the size that the data ask for.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64
from scipy import stats

from regimes import _checks, fits, laws
from regimes.results import Estimate, LearningCurve, log_slope

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Train = Callable[[Array, int, int], float]
"""Called with (rows of the training set, size of the model, seed); returns the validation loss."""
Progress = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

SEARCHES = ("bracket", "grid")


@dataclasses.dataclass(frozen=True)
class Hestness:
    """What the procedure found."""

    n: Float64[Array, " shards"]
    """Sizes of the shards."""
    sizes: Float64[Array, " sizes"]
    """Sizes of the models that were offered."""
    losses: Float64[Array, "repeats shards sizes"]
    """Validation losses; NaN where the search did not look."""
    curve: LearningCurve
    """The lower envelope. With several repeats the size is chosen on the others and the loss read from the one left
    out, so that choosing the smallest of noisy losses does not make it too small. Where many sizes are as good as one
    another within the noise, a chosen one is not the best, and it lies that much too high."""
    floor: float
    """The irreducible loss: as given, or as fitted."""
    adequate: Float64[Array, " shards"]
    """Size at which the reducible loss is within `tolerance` of its smallest, interpolated between models."""
    at_edge: Float64[Array, " shards"]
    """1 where the best model is the smallest or the largest offered: the envelope may be lower, the size another."""
    beta_g: Estimate
    """Minus the exponent of the loss: L - floor ~ n^beta_g in Hestness' sign, negative."""
    beta_p: Estimate
    """Exponent of the model size: s ~ n^beta_p; NaN with fewer than three shards away from the edges."""
    tolerance: float
    """Share of the reducible loss that an adequate model may lose."""
    source: str
    """Measured or predicted, in words."""

    name = "hestness"

    @functools.cached_property
    def regions(self) -> fits.Fit | None:
        """The three regions, small data, power law and floor, fitted to the envelope; None with too few shards."""
        if len(self.n) < 7:
            return None
        found = fits.fit(laws.get("hestness-regions"), self.curve.loss, n=self.n, bootstrap=0, throw=False)
        return None if math.isnan(found.objective) else found

    def __str__(self) -> str:
        lines = [
            f"{self.source}: {len(self.n)} shards from {self.n[0]:g} to {self.n[-1]:g} samples, models of "
            f"{self.sizes[0]:g} to {self.sizes[-1]:g}",
            f"beta_g = {self.beta_g} of the loss above {self.floor:.4g}",
            f"beta_p = {self.beta_p} of the smallest model within {self.tolerance:.0%} of the best",
        ]
        if self.regions is not None:
            start, end = self.regions["start"].value, self.regions["end"].value
            lines.append(f"power law from n = {start:.3g} to n = {end:.3g} ({self.regions.status.value})")
        if self.at_edge.any():
            lines.append(f"the best model is at the edge of those offered for {int(self.at_edge.sum())} shards")
        return "\n".join(lines)

    def tables(self) -> "dict[str, pd.DataFrame]":
        """Every run, and the envelope."""
        import pandas as pd

        repeat, shard, size = np.nonzero(np.isfinite(self.losses))
        runs = {"repeat": repeat, "n": self.n[shard], "size": self.sizes[size]}
        stderr = np.full(len(self.n), math.nan) if self.curve.stderr is None else self.curve.stderr
        envelope = {"n": self.n, "loss": self.curve.loss, "stderr": stderr, "adequate_size": self.adequate}
        return {
            "runs": pd.DataFrame(runs | {"loss": self.losses[repeat, shard, size]}),
            "envelope": pd.DataFrame(envelope | {"at_edge": self.at_edge}),
        }

    def record(self) -> dict[str, Any]:
        """The exponents and the regions."""
        regions = None if self.regions is None else {name: e.value for name, e in self.regions.estimates.items()}
        return {
            "beta_g": [self.beta_g.value, self.beta_g.low, self.beta_g.high],
            "beta_p": [self.beta_p.value, self.beta_p.low, self.beta_p.high],
            "level": self.beta_g.level,
            "floor": self.floor,
            "regions": regions,
            "tolerance": self.tolerance,
        }


def procedure(
    train: Train,
    samples: int,
    sizes: Any,
    *,
    smallest: int | None = None,
    repeats: int = 3,
    search: str = "bracket",
    floor: float | None = None,
    tolerance: float = 0.2,
    level: float = 0.9,
    seed: int = 0,
    progress: Progress | None = None,
) -> Hestness:
    """Train models of several sizes on nested shards, and read the envelope.

    Args:
        train: the training function; its randomness must come from the seed that it is given.
        samples: rows of the training set, which is the largest shard.
        sizes: sizes of models, at least three, best in equal ratios.
        smallest: smallest shard; 1/256 of the samples, at least 4, by default. Shards double from there.
        repeats: how often all is done, each time with another order of the rows and other seeds.
        search: "bracket" looks around the best size of the shard before until the best has worse neighbours, which
            finds the minimum of a loss that falls and then rises with the size; "grid" trains all.
        floor: irreducible loss where it is known; fitted otherwise.
        tolerance: share of the reducible loss that an adequate model may lose.
        level: coverage of the intervals, by deleting one repeat at a time.
        seed: of the orders and of the seeds that `train` gets.
        progress: called with (what is being done, share).

    Raises:
        ValueError: too few samples or sizes, an unknown search, a loss that is not a positive number.

    Source: Hestness et al. 2017 (arXiv:1712.00409), section 3.
    """
    samples, repeats = _checks.count("samples", samples, low=8), _checks.count("repeats", repeats)
    offered = np.unique(_checks.finite_array("sizes", sizes, ndim=1))
    if len(offered) < 3 or offered[0] <= 0:
        raise ValueError(f"`sizes` must hold at least three different positive sizes, got {list(sizes)}.")
    if (offered != np.rint(offered)).any():
        raise ValueError(f"`sizes` must be whole numbers, got {offered[offered != np.rint(offered)][0]:g}.")
    seed = _checks.count("seed", seed, low=0)
    search = _checks.choice("search", search, SEARCHES)
    least = max(4, samples // 256) if smallest is None else _checks.count("smallest", smallest, low=1, high=samples)
    shards = [samples]
    while shards[-1] // 2 >= least:
        shards.append(shards[-1] // 2)
    shards.reverse()
    if len(shards) < 3:
        raise ValueError(f"`samples` of {samples} give {len(shards)} shards from {least} on; at least 3 are needed.")
    losses = np.full((repeats, len(shards), len(offered)), np.nan)
    orders = [np.random.default_rng([seed, repeat]).permutation(samples) for repeat in range(repeats)]

    def look(repeat: int, shard: int, place: int) -> float:
        if math.isnan(losses[repeat, shard, place]):
            drawn = int(np.random.default_rng([seed, repeat, shard, place]).integers(2**31))
            loss = float(train(orders[repeat][: shards[shard]], int(offered[place]), drawn))
            if not (math.isfinite(loss) and loss > 0):
                raise ValueError(
                    f"`train` must return a positive loss; got {loss!r} for {shards[shard]} samples and size "
                    f"{offered[place]:g}."
                )
            losses[repeat, shard, place] = loss
        return float(losses[repeat, shard, place])

    for repeat in range(repeats):
        place = 0
        for shard, count in enumerate(shards):
            if progress is not None:
                done = (repeat * len(shards) + shard) / (repeats * len(shards))
                progress(f"repeat {repeat + 1} of {repeats}, {count} samples", done)
            if search == "grid":
                for each in range(len(offered)):
                    look(repeat, shard, each)
            else:
                place = _bracket(functools.partial(look, repeat, shard), place, len(offered))
    for shard, place in np.argwhere(np.isfinite(losses).any(axis=0)):  # what one repeat looked at, all do
        for repeat in range(repeats):
            look(repeat, int(shard), int(place))
    return analyse(
        shards, offered, losses, floor=floor, tolerance=tolerance, level=level, source=f"{repeats} repeats measured"
    )


def analyse(
    n: Any,
    sizes: Any,
    losses: Any,
    *,
    floor: float | None = None,
    tolerance: float = 0.2,
    level: float = 0.9,
    source: str = "losses",
) -> Hestness:
    """The envelope of a table of losses, its regions, beta_g and beta_p.

    Args:
        n: sizes of the shards, ascending.
        sizes: sizes of the models, ascending.
        losses: (repeats, shards, sizes) or (shards, sizes), NaN where nothing was trained.
        floor: irreducible loss where it is known; otherwise that of a power law with offset fitted to the envelope.
        tolerance: share of the reducible loss that an adequate model may lose.
        level: coverage of the intervals.
        source: where the losses come from, in words.

    Raises:
        ValueError: shapes that do not fit, a shard without losses, values out of range.
    """
    shards = _checks.finite_array("n", n, ndim=1)
    offered = _checks.finite_array("sizes", sizes, ndim=1)
    table = np.asarray(losses, dtype=np.float64)
    table = table[None] if table.ndim == 2 else table
    if table.ndim != 3 or table.shape[1:] != (len(shards), len(offered)):
        raise ValueError(
            f"`losses` must have shape (repeats, {len(shards)}, {len(offered)}), got {np.asarray(losses).shape}."
        )
    if np.any(np.diff(shards) <= 0) or np.any(np.diff(offered) <= 0):
        raise ValueError("`n` and `sizes` must ascend.")
    if not np.isfinite(table).any(axis=2).all():
        raise ValueError("`losses` must hold at least one loss for each shard of each repeat.")
    if offered[0] <= 0 or shards[0] <= 0:
        raise ValueError("`n` and `sizes` must be positive.")
    if np.isinf(table).any() or (table[np.isfinite(table)] <= 0).any():
        raise ValueError("`losses` must be positive and finite, NaN where nothing was trained.")
    common: Any = np.isfinite(table).all(axis=0)
    if not common.any(axis=1).all():
        raise ValueError("`losses` must hold a size for each shard that all repeats have looked at.")
    tolerance, level = _checks.number("tolerance", tolerance, low=0, strict=True), _checks.level(level)
    repeats = len(table)
    trials = np.stack([_envelope(table, repeat) for repeat in range(repeats)])
    curve = LearningCurve.from_trials("n", shards, trials, source=source)
    ground = _floor(shards, curve.loss) if floor is None else _checks.number("floor", floor, low=0)
    if ground >= curve.loss.min():
        raise ValueError(f"`floor` must be below all losses of the envelope, got {ground:g} and {curve.loss.min():g}.")

    def exponents(rows: Array, kept: Array) -> tuple[float, float, Array]:
        """beta_g, beta_p and the adequate sizes from some of the repeats."""
        mean = rows.mean(axis=0)
        under = _floor(shards, mean) if floor is None else ground
        slope = log_slope(shards, np.maximum(mean - under, 1e-12 * mean))
        average = table[kept].mean(axis=0)  # NaN where one of them did not look
        enough = _adequate(offered, average, under, tolerance)
        usable = np.isfinite(enough)
        growth = math.nan
        if usable.sum() >= 3:
            growth = log_slope(shards[usable], enough[usable])
        return slope, growth, enough

    every = np.arange(repeats)
    beta_g, beta_p, adequate = exponents(trials, every)
    left_out = [exponents(np.delete(trials, r, axis=0), np.delete(every, r))[:2] for r in every] if repeats > 1 else []
    window = (float(shards[0]), float(shards[-1]))
    best = np.argmin(np.where(np.isfinite(table).all(axis=0), table.sum(axis=0), np.inf), axis=1)
    return Hestness(
        shards,
        offered,
        table,
        curve,
        ground,
        adequate,
        np.isin(best, (0, len(offered) - 1)).astype(np.float64),
        _jackknife(beta_g, [one[0] for one in left_out], level, window, "power law above the floor"),
        _jackknife(beta_p, [one[1] for one in left_out], level, window, "power law through the adequate sizes"),
        tolerance,
        source,
    )


def _bracket(look: Callable[[int], float], place: int, count: int) -> int:
    """The place of a minimum with worse neighbours, walking downhill from `place`."""
    while True:
        around = [at for at in (place - 1, place, place + 1) if 0 <= at < count]
        best = min(around, key=look)
        if best == place:
            return place
        place = best


def _envelope(table: Array, repeat: int) -> Array:
    """Losses of one repeat at the sizes that are best in the others; with one repeat the smallest."""
    if len(table) == 1:
        return np.nanmin(table[0], axis=1)
    others = np.delete(table, repeat, axis=0)
    seen = np.isfinite(table[repeat]) & np.isfinite(others).all(axis=0)
    mean = np.where(seen, others.mean(axis=0), np.inf)
    chosen = np.argmin(mean, axis=1)
    return table[repeat][np.arange(len(chosen)), chosen]


def _floor(n: Array, loss: Array) -> float:
    """The offset of a power law with offset; zero where it cannot be had."""
    found = fits.fit(laws.get("hestness"), loss, n=n, bootstrap=0, throw=False)
    return 0.0 if math.isnan(found.objective) else min(found.parameters["c"], 0.999 * float(loss.min()))


def _adequate(sizes: Array, losses: Array, floor: float, tolerance: float) -> Array:
    """Where the reducible loss first comes within the tolerance of its smallest; NaN at the smallest model."""
    found = np.full(len(losses), np.nan)
    for row, line in enumerate(losses):
        seen = np.flatnonzero(np.isfinite(line))
        excess = np.log(np.maximum(line[seen] - floor, 1e-300))
        goal = excess.min() + math.log1p(tolerance)
        first = int(np.argmax(excess <= goal))
        if first > 0:
            x = np.log(sizes[seen[first - 1 : first + 1]])
            y = excess[first - 1 : first + 1]
            found[row] = math.exp(x[0] + (goal - y[0]) / (y[1] - y[0]) * (x[1] - x[0]))
    return found


def _jackknife(value: float, without: list[float], level: float, window: tuple[float, float], method: str) -> Estimate:
    """Student interval from leaving out one repeat at a time; without repeats, none."""
    count = len(without)
    if count < 2 or not np.isfinite([value, *without]).all():
        return Estimate(value, -math.inf, math.inf, level, window, f"{method}, one repeat")
    error = math.sqrt((count - 1) * float(np.mean((np.array(without) - np.mean(without)) ** 2)))
    width = float(stats.t.ppf((1 + level) / 2, count - 1)) * error
    return Estimate(value, value - width, value + width, level, window, f"{method}, jackknife over repeats")
