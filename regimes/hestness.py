"""Hestness et al.'s method as a procedure: the best model for each amount of data, and the two exponents that follow.

    found = hestness.procedure(train, samples=4096, sizes=[8, 16, 32, 64, 128], repeats=4)
    print(found)                     # beta_g of the loss, beta_p of the model size, three regions

`train(rows, size, seed)` trains a model of that size on these rows of a training set and returns its loss on a
validation set that is always the same, or several losses, one for each setting that was tried, such as ridges. Shards
are nested and grow by a factor of two; for each, models are searched for the one with the smallest validation loss. The
lower envelope of these losses is the learning curve, and the smallest model that is nearly as good is the size that the
data ask for.

The smallest of several noisy losses is too small. So what is best, a setting or a size, is chosen on the other repeats,
and the loss there is read from the one left out: one setting for each number of samples and size, as the theory's
optimum is, not the one that happens to suit a single draw.
"""

import dataclasses
import functools
import json
import math
import time as clock
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64
from scipy import stats

from regimes import _checks, display, fits, folders, laws
from regimes.results import Estimate, LearningCurve, log_slope

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray
Train = Callable[[Array, int, int], Any]
"""Called with (rows of the training set, size of the model, seed); returns the validation loss, or a sequence of them,
one for each setting, always the same settings in the same order."""
Progress = Callable[[str, float], None]
"""Called with (what is being done, share of the whole that is done)."""

Limit = Callable[[Array, int], Any]
"""The same of an infinitely large model: called with (rows, seed), returns a loss or a sequence of them."""

SEARCHES = ("bracket", "grid")
_MOVED = 0.1
"""Share by which an adequate size may change when the largest model is left out, before the edge counts as binding."""
_SAVED = 5.0
"""Seconds between two looks at the disk."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Hestness:
    """What the procedure found."""

    n: Float64[Array, " shards"]
    """Sizes of the shards."""
    sizes: Float64[Array, " sizes"]
    """Sizes of the models that were offered."""
    losses: Float64[Array, "repeats shards sizes"]
    """Validation losses, each at the setting that is best in the other repeats; NaN where the search did not look."""
    curve: LearningCurve
    """The lower envelope. With several repeats the size is chosen on the others and the loss read from the one left
    out, so that choosing the smallest of noisy losses does not make it too small. Where many sizes are as good as one
    another within the noise, a chosen one is not the best, and it lies that much too high."""
    floor: float
    """The irreducible loss: as given, or as fitted."""
    adequate: Float64[Array, " shards"]
    """Size at which the reducible loss is within `tolerance` of that of an infinitely large model, where it is known,
    or else of the best of those offered; interpolated between models, NaN where it is not determined."""
    at_edge: Float64[Array, " shards"]
    """1 where the models offered decide and not the data, and no size counts: the smallest is the best, none comes
    within the tolerance of the infinite one, or, where that is not known, the largest is the best and the adequate
    size is another by a tenth without it."""
    beta_g: Estimate
    """Minus the exponent of the loss: L - floor ~ n^beta_g in Hestness' sign, negative."""
    beta_p: Estimate
    """Exponent of the model size: s ~ n^beta_p; NaN with fewer than three shards away from the edges."""
    tolerance: float
    """Share of the reducible loss that an adequate model may lose."""
    source: str
    """Measured or predicted, in words."""
    limit: Float64[Array, "repeats shards"] | None = None
    """Losses of an infinitely large model on the same shards; None where they are not known."""

    name = "hestness"

    @functools.cached_property
    def regions(self) -> fits.Fit | None:
        """The three regions, small data, power law and floor, fitted to the envelope; None with too few shards."""
        if len(self.n) < 7:
            return None
        found = fits.fit(laws.get("hestness-regions"), self.curve.loss, n=self.n, bootstrap=0, throw=False)
        return None if math.isnan(found.objective) else found

    @property
    def edges(self) -> str:
        """How many shards do not count for beta_p, in words."""
        return f"{int(self.at_edge.sum())} of {len(self.n)} shards at the edge of the models offered"

    def __str__(self) -> str:
        lines = [
            f"{self.source}: {len(self.n)} shards from {self.n[0]:g} to {self.n[-1]:g} samples"
            + (f", models of {self.sizes[0]:g} to {self.sizes[-1]:g}" if len(self.sizes) > 1 else ""),
            f"beta_g = {self.beta_g} of the loss above {self.floor:.4g}",
        ]
        if len(self.sizes) > 1:
            against = "best" if self.limit is None else "infinitely large one"
            lines.append(f"beta_p = {self.beta_p} of the smallest model within {self.tolerance:.0%} of the {against}")
        if self.regions is not None:
            start, end = self.regions["start"].value, self.regions["end"].value
            lines.append(f"power law from n = {start:.3g} to n = {end:.3g} ({self.regions.status.value})")
        if self.at_edge.any():
            lines.append(f"{self.edges}; beta_p is of the others")
        return "\n".join(lines)

    def tables(self) -> "dict[str, pd.DataFrame]":
        """Every run, and the envelope."""
        import pandas as pd

        repeat, shard, size = np.nonzero(np.isfinite(self.losses))
        runs = {"repeat": repeat, "n": self.n[shard], "size": self.sizes[size]}
        stderr = np.full(len(self.n), math.nan) if self.curve.stderr is None else self.curve.stderr
        envelope = {"n": self.n, "loss": self.curve.loss, "stderr": stderr, "adequate_size": self.adequate}
        infinite = {} if self.limit is None else {"infinite_size_loss": self.limit.mean(axis=0)}
        return {
            "runs": pd.DataFrame(runs | {"loss": self.losses[repeat, shard, size]}),
            "envelope": pd.DataFrame(envelope | {"at_edge": self.at_edge} | infinite),
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
            "at_edge": [bool(one) for one in self.at_edge],
        }


def procedure(
    train: Train,
    samples: int,
    sizes: Any,
    *,
    smallest: int | None = None,
    largest: int | None = None,
    repeats: int = 3,
    search: str = "bracket",
    floor: float | None = None,
    tolerance: float = 0.2,
    level: float = 0.9,
    paired: bool = False,
    limit: Limit | None = None,
    description: str = "",
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> Hestness:
    """Train models of several sizes on nested shards, and read the envelope.

    Args:
        train: the training function; its randomness must come from the seed that it is given.
        samples: rows of the training set.
        sizes: sizes of models, at least three, best in equal ratios; or one, whatever its value, for a learner without
            a size, such as a kernel: then there is a curve and no beta_p.
        smallest: smallest shard; 1/256 of the largest, at least 4, by default. Shards double from there.
        largest: largest shard; all samples by default, and then all repeats have the same largest shard.
        repeats: how often all is done, each time with another order of the rows and other seeds.
        search: "bracket" looks around the best size of the shard before until the best has worse neighbours, which
            finds the minimum of a loss that falls and then rises with the size; "grid" trains all.
        floor: irreducible loss where it is known; fitted otherwise.
        tolerance: share of the reducible loss that an adequate model may lose.
        level: coverage of the intervals, by deleting one repeat at a time.
        paired: give `train` one seed for all runs of a repeat, so that models of different sizes can share what is
            drawn at random and their differences are less noisy; otherwise each run has its own.
        limit: trains an infinitely large model on (rows, seed), where there is one, such as the kernel of random
            features; then the adequate size is measured against it and no longer against the largest offered.
        description: what is trained; told in the result, and compared with that of the checkpoint.
        seed: of the orders and of the seeds that `train` gets.
        checkpoint: folder in which finished losses are kept: the same call goes on from there.
        progress: called with (what is being done, share).

    Raises:
        ValueError: too few samples or sizes, an unknown search, a loss that is not a positive number, another number of
            losses than before; a checkpoint of another procedure.

    Source: Hestness et al. 2017 (arXiv:1712.00409), section 3.
    """
    if not callable(train):
        raise ValueError(f"`train` must be a function of (rows, size, seed), got {train!r}.")
    floor, tolerance, level = _reading(floor, tolerance, level)  # before hours of training, not after them
    samples, repeats = _checks.count("samples", samples, low=8), _checks.count("repeats", repeats)
    offered = np.unique(_checks.finite_array("sizes", sizes, ndim=1))
    if len(offered) not in (1, *range(3, len(offered) + 1)) or offered[0] <= 0:
        raise ValueError(f"`sizes` must hold at least three different positive sizes, or one, got {list(sizes)}.")
    if (offered != np.rint(offered)).any():
        raise ValueError(f"`sizes` must be whole numbers, got {offered[offered != np.rint(offered)][0]:g}.")
    seed = _checks.count("seed", seed, low=0)
    search = _checks.choice("search", search, SEARCHES)
    most = samples if largest is None else _checks.count("largest", largest, low=8, high=samples)
    least = max(4, most // 256) if smallest is None else _checks.count("smallest", smallest, low=1, high=most)
    shards = [most]
    while shards[-1] // 2 >= least:
        shards.append(shards[-1] // 2)
    shards.reverse()
    if len(shards) < 3:
        raise ValueError(f"`samples` of {most} give {len(shards)} shards from {least} on; at least 3 are needed.")
    losses = np.full((repeats, len(shards), len(offered)), np.nan)
    runs: dict[tuple[int, int, int], Array] = {}
    orders = [np.random.default_rng([seed, repeat]).permutation(samples) for repeat in range(repeats)]
    drawn_from = {"samples": samples, "shards": shards, "sizes": offered, "paired": paired, "seed": seed}
    kept = _Kept(checkpoint, {"description": description, **drawn_from})

    def trained(repeat: int, shard: int, place: int) -> Array:
        found = kept.get((repeat, shard, place))
        if found is None:
            path = [seed, repeat] if paired else [seed, repeat, shard, place]
            drawn = int(np.random.default_rng(path).integers(2**31))
            rows, infinite = orders[repeat][: shards[shard]], place == len(offered)
            size = math.inf if infinite else float(offered[place])
            returned = limit(rows, drawn) if infinite and limit is not None else train(rows, int(size), drawn)
            found = _losses(returned, shards[shard], size)
            kept.put((repeat, shard, place), found)
        return found

    def look(repeat: int, shard: int, place: int) -> float:
        cell = (repeat, shard, place)
        if cell not in runs:
            found = trained(*cell)
            if runs and len(found) != len(next(iter(runs.values()))):
                raise ValueError(
                    f"`train` must return as many losses each time, one for each setting; got {len(found)} and "
                    f"{len(next(iter(runs.values())))}."
                )
            runs[cell] = found
            losses[cell] = found.min()
        return float(losses[cell])

    try:
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
        infinite = None
        if limit is not None and len(offered) > 1:
            every = [
                [trained(repeat, shard, len(offered)) for repeat in range(repeats)] for shard in range(len(shards))
            ]
            infinite = np.stack([_left_out(np.stack(one)) for one in every], axis=1)
    finally:
        kept.save()
    for shard, place in np.argwhere(np.isfinite(losses[0])):
        settings = np.stack([runs[repeat, int(shard), int(place)] for repeat in range(repeats)])
        losses[:, shard, place] = _left_out(settings)
    source = f"{description}, {repeats} repeats" if description else f"{repeats} repeats measured"
    return analyse(
        shards, offered, losses, limit=infinite, floor=floor, tolerance=tolerance, level=level, source=source
    )


def analyse(
    n: Any,
    sizes: Any,
    losses: Any,
    *,
    limit: Any = None,
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
        limit: (repeats, shards) or (shards,) losses of an infinitely large model, where they are known; the adequate
            size is then measured against them and no longer against the best of the models offered.
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
    floor, tolerance, level = _reading(floor, tolerance, level)
    repeats = len(table)
    infinite = None if limit is None else _checks.finite_array("limit", limit, ndim=(1, 2))
    if infinite is not None:
        infinite = infinite[None] if infinite.ndim == 1 else infinite
        if infinite.shape != (repeats, len(shards)) or (infinite <= 0).any():
            raise ValueError(
                f"`limit` must hold positive losses of shape ({repeats}, {len(shards)}), got {np.shape(limit)}."
            )
    trials = np.stack([_envelope(table, repeat) for repeat in range(repeats)])
    curve = LearningCurve.from_trials("n", shards, trials, source=source)
    ground = _floor(shards, curve.loss) if floor is None else floor
    if infinite is not None and floor is None:  # a fitted one must leave something of the limit, too
        ground = min(ground, 0.999 * float(infinite.mean(axis=0).min()))
    if infinite is not None and ground >= infinite.mean(axis=0).min():
        raise ValueError(
            f"`floor` must be below all losses of the limit, got {ground:g} and {infinite.mean(axis=0).min():g}."
        )
    if ground >= curve.loss.min():
        raise ValueError(f"`floor` must be below all losses of the envelope, got {ground:g} and {curve.loss.min():g}.")

    def read(kept: Array) -> tuple[float, Array]:
        """beta_g and the adequate sizes from some of the repeats."""
        mean = trials[kept].mean(axis=0)
        under = _floor(shards, mean) if floor is None else ground
        slope = log_slope(shards, np.maximum(mean - under, 1e-12 * mean))
        average = table[kept].mean(axis=0)  # NaN where one of them did not look
        beyond = None if infinite is None else infinite[kept].mean(axis=0)
        return slope, _adequate(offered, average, under, tolerance, beyond)

    every = np.arange(repeats)
    (beta_g, adequate), *left_out = map(read, [every, *(np.delete(every, r) for r in every if repeats > 1)])
    # The same shards with all repeats and with one left out, or their slopes would differ by their windows.
    used = np.isfinite(adequate) & np.isfinite([enough for _, enough in left_out]).all(axis=0)

    def growth(enough: Array) -> float:
        return log_slope(shards[used], enough[used]) if used.sum() >= 3 else math.nan

    window = (float(shards[0]), float(shards[-1]))
    within = (float(shards[used][0]), float(shards[used][-1])) if used.any() else window
    best = np.argmin(np.where(np.isfinite(table).all(axis=0), table.sum(axis=0), np.inf), axis=1)
    edge = (best == 0) | ~used & ((best == len(offered) - 1) | (infinite is not None))
    return Hestness(
        shards,
        offered,
        table,
        curve,
        ground,
        adequate,
        (edge & (len(offered) > 1)).astype(np.float64),
        _jackknife(beta_g, [slope for slope, _ in left_out], level, window, "power law above the floor"),
        _jackknife(
            growth(adequate),
            [growth(enough) for _, enough in left_out],
            level,
            within,
            "power law through the adequate sizes",
        ),
        tolerance,
        source,
        infinite,
    )


def _reading(floor: float | None, tolerance: float, level: float) -> tuple[float | None, float, float]:
    return (
        None if floor is None else _checks.number("floor", floor, low=0),
        _checks.number("tolerance", tolerance, low=0, strict=True),
        _checks.level(level),
    )


def _bracket(look: Callable[[int], float], place: int, count: int) -> int:
    """The place of a minimum with worse neighbours, walking downhill from `place`."""
    while True:
        around = [at for at in (place - 1, place, place + 1) if 0 <= at < count]
        best = min(around, key=look)
        if best == place:
            return place
        place = best


class _Kept:
    """Finished losses in a file, written every few seconds."""

    def __init__(self, folder: Path | str | None, settings: Mapping[str, Any]) -> None:
        self.folder = None if folder is None else Path(folder)
        self.settings: dict[str, Any] = json.loads(json.dumps(dict(settings), default=lambda value: value.tolist()))
        self.losses: dict[str, list[float]] = {}
        self.saved = clock.monotonic()
        if self.folder is None or not (self.folder / "losses.json").exists():
            return
        try:
            found = json.loads((self.folder / "losses.json").read_text(encoding="utf-8"))
            settings, self.losses = found["settings"], found["losses"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"`checkpoint`: {self.folder / 'losses.json'} is no file of losses; remove it.") from None
        other = [name for name, value in self.settings.items() if settings.get(name) != value]
        if other:
            raise ValueError(
                f"`checkpoint`: {str(self.folder)!r} holds the losses of another procedure (other {', '.join(other)}); "
                "take another folder."
            )

    def get(self, cell: tuple[int, int, int]) -> Array | None:
        found = self.losses.get("-".join(map(str, cell)))
        return None if found is None else np.array(found, dtype=np.float64)

    def put(self, cell: tuple[int, int, int], losses: Array) -> None:
        self.losses["-".join(map(str, cell))] = losses.tolist()
        if clock.monotonic() - self.saved > _SAVED:
            self.save()

    def save(self) -> None:
        if self.folder is not None:
            record = {"settings": self.settings, "losses": self.losses}
            folders.write(self.folder, {"losses.json": lambda path: folders.write_json(path, record)})
            self.saved = clock.monotonic()


def _losses(returned: Any, samples: int, size: float) -> Array:
    """What a training function returned: one positive loss for each setting."""
    try:
        found = np.atleast_1d(np.asarray(returned, dtype=np.float64))
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if found.ndim != 1 or not found.size or not (np.isfinite(found) & (found > 0)).all():
        raise ValueError(
            f"`train` must return a positive loss, or several; got {returned!r} for {samples} samples, size {size:g}."
        )
    return found


def _chosen(settings: Array) -> Array:
    """For each repeat the setting with the smallest mean loss in the others; with one repeat the smallest."""
    if len(settings) == 1:
        return np.argmin(settings, axis=1)
    return np.argmin(settings.sum(axis=0) - settings, axis=1)


def _left_out(settings: Array) -> Array:
    """For each repeat its loss at the setting that is best in the others."""
    return np.diagonal(settings[:, _chosen(settings)])


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


def _adequate(sizes: Array, losses: Array, floor: float, tolerance: float, limit: Array | None) -> Array:
    """Where the reducible loss first comes within the tolerance of the limit, or of its smallest; NaN at an edge."""
    found = np.full(len(losses), np.nan)
    for row, line in enumerate(losses):
        seen = np.flatnonzero(np.isfinite(line))
        x, y = np.log(sizes[seen]), np.log(np.maximum(line[seen] - floor, 1e-300))
        bottom = y.min() if limit is None else math.log(max(limit[row] - floor, 1e-300))
        found[row] = _crossing(x, y, bottom + math.log1p(tolerance))
        if limit is None and len(sizes) - 1 in seen and len(seen) > 1 and np.argmin(y) == len(seen) - 1:
            # A still larger model might be better, and the size another: as far as it is without the largest.
            without = _crossing(x[:-1], y[:-1], y[:-1].min() + math.log1p(tolerance))
            if not abs(math.log(found[row] / without)) <= _MOVED:
                found[row] = math.nan
    return found


def _crossing(x: Array, y: Array, goal: float) -> float:
    """Where y(log size) first comes down to the goal, as a size; NaN where it is there from the start, or never is."""
    first = int(np.argmax(y <= goal))
    if first == 0:
        return math.nan
    share = (goal - y[first - 1]) / (y[first] - y[first - 1])
    return math.exp(x[first - 1] + share * (x[first] - x[first - 1]))


def _jackknife(value: float, without: list[float], level: float, window: tuple[float, float], method: str) -> Estimate:
    """Student interval from leaving out one repeat at a time; without repeats, none."""
    count = len(without)
    if count < 2 or not np.isfinite([value, *without]).all():
        why = "one repeat" if count < 2 else "not determined with every repeat left out"
        return Estimate(value, -math.inf, math.inf, level, window, f"{method}, {why}")
    error = math.sqrt((count - 1) * float(np.mean((np.array(without) - np.mean(without)) ** 2)))
    width = float(stats.t.ppf((1 + level) / 2, count - 1)) * error
    return Estimate(value, value - width, value + width, level, window, f"{method}, jackknife over repeats")
