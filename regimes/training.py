"""Training of finite networks: many seeds at once, a step at a time, with what came of it for each.

Gradient descent takes theta <- theta - rate (1/n) sum_i grad f(x_i)^T (f(x_i) - y_i) on the squared error and
(softmax f(x_i) - onehot y_i) in place of the difference on cross-entropy: it descends half of the mean squared error,
or the mean cross-entropy in nats. So time = rate x steps is in units of 1/eigenvalue of the kernel operator, as it is
in `dynamics`, and rates below 2/eigenvalue are stable. Losses are reported as everywhere: the mean squared error summed
over outputs, without a factor 1/2.

A seed fixes the network and its batches. Its result does not depend on which other seeds are trained, but for rounding
where networks are trained side by side in other numbers.
"""

import functools
import hashlib
import math
import time as clock
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from regimes import _checks, descent, networks
from regimes.descent import Recipe, Task, stable_rate
from regimes.networks import Network, Tree
from regimes.runs import Progress, Status, Store, Training

Array = np.ndarray
_CHUNK = 1.0
"""Seconds of steps between two looks at the clock."""
_SETTLED = 0.01
"""Share by which the training loss may still fall over the second half of the steps of a converged run."""
_INTERPOLATED = 1e-6
"""Training loss relative to the start below which a run counts as converged however it falls."""


def train(
    network: Network,
    x: Any,
    y: Any,
    *,
    test: tuple[Any, Any],
    loss: str = "mse",
    optimiser: str = "gd",
    rate: float | None = None,
    steps: int = 1000,
    batch: int | None = None,
    schedule: str = "constant",
    momentum: float = 0.0,
    early_stopping: bool = False,
    record: Sequence[int] | int = 24,
    seeds: Sequence[int] | int = 1,
    precision: str = "float32",
    memory: float = 8e9,
    together: int | None = None,
    keep: bool = True,
    start: Sequence[Tree] | None = None,
    masks: Sequence[Tree] | None = None,
    span: Sequence[int] | None = None,
    checkpoint: Path | str | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Training:
    """Train a network from several seeds; a run that diverges is a result too.

    Args:
        network: what to train, from [networks][regimes.networks.network].
        x: (n, ...) training samples.
        y: (n,) or (n, outputs) targets for mse; (n,) classes 0, 1, ... for cross-entropy.
        test: test samples and their targets.
        loss: mse or cross-entropy.
        optimiser: gd, all samples in every step; sgd, `batch` of them, every sample once an epoch (what is left of an
            epoch that is no multiple of the batch waits for the next); adam, in batches or on all; flow, gradient flow
            by Runge and Kutta's fourth-order steps of length `rate`, four gradients each.
        rate: learning rate. By default half of `stable_rate` of the network of seed 0 (a quarter for the flow), times
            1 - momentum; for adam 0.001, times the square root of the width in the ntk parameterisation, where it
            means the same.
        steps: number of steps.
        batch: samples in a batch, for sgd and adam.
        schedule: constant, or cosine: the rate falls to zero over the steps as half a period of the cosine.
        momentum: velocity <- momentum velocity + gradient, theta <- theta - rate velocity; for gd and sgd.
        early_stopping: keep the parameters, and call that the loss, of the recorded step with the least test loss. It
            is chosen on the test samples and a little too low if they are few.
        record: steps at which the losses are measured, or how many of them, spread evenly in the logarithm; steps 0
            and the last are always among them.
        seeds: how many, 0 upwards, or which.
        precision: float32 or float64.
        memory: bytes that may be used, by the estimate of `Network.memory`.
        together: seeds trained side by side in one vectorised program; by default one on a CPU, where that is
            fastest, and else as many as fit into `memory`.
        keep: whether to return the parameters.
        start: parameters to begin from, for each seed, instead of random ones.
        masks: arrays like the parameters, for each seed: 1 for a weight that is trained, 0 for one that is set to zero
            at the start and stays there.
        span: first and last step of a part of the training: the schedule and the order of the batches are those of
            the whole, what the optimiser remembers begins anew. With `start`, a training can be gone on with.
        checkpoint: folder in which finished seeds are kept and a run under way is saved every half minute. The same
            call goes on from there, to the same bits; finished seeds are not trained again.
        progress: called about every second, and at every record.

    Raises:
        ValueError: an unknown word, targets or classes that do not fit the network, NaN, a batch for gd, a momentum
            for adam; too little memory for one seed; a start or masks that do not fit; a checkpoint of another
            training.
    """
    _checks.choice("precision", precision, networks.PRECISIONS)
    task = descent.task(network, x, y, test, loss, precision)
    recipe = descent.recipe(network, len(task.x), loss, optimiser, batch, schedule, momentum)
    at = descent.records(record, steps)
    numbers, whole = descent.seed_numbers(seeds), int(at[-1])
    at = descent.stretch(span, at)
    given = Given(
        descent.trees("start", start, network, task.x, numbers), descent.trees("masks", masks, network, task.x, numbers)
    )
    room = _room(recipe, task, early_stopping + (masks is not None), precision, memory)
    together = _together(together, room, len(numbers))
    if rate is None:
        rate = _default_rate(recipe, task)
    rate = _checks.number("rate", rate, low=0, strict=True)
    store = None
    if checkpoint is not None:
        settings = _settings(recipe, task, rate, at, early_stopping, precision, keep)
        if span is not None:
            settings["whole"] = whole
        settings |= {f"given {name}": _digest(tree) for name, tree in given._asdict().items() if tree is not None}
        store = Store(Path(checkpoint), settings)
    runs: dict[int, dict[str, Array]] = {} if store is None else store.finished(numbers)
    todo = [seed for seed in numbers if seed not in runs]
    length = int(at[-1] - at[0])
    meter = _Meter(progress, length * len(numbers), length * len(runs))
    with networks.in_precision(precision):
        for first in range(0, len(todo), together):
            group = todo[first : first + together]
            found = _train_group(
                recipe, task, given, group, together, rate, at, whole, early_stopping, keep, store, meter
            )
            for seed, run in found.items():
                if store is not None:
                    store.finish(seed, run)
                runs[seed] = run
            if store is not None:
                store.forget()
    finished = [runs[seed] for seed in numbers]
    return _collect(recipe, task, given, finished, numbers, at, whole, rate, early_stopping, precision, keep)


def train_all(
    several: Sequence[Network],
    x: Any,
    y: Any,
    *,
    rate: float | Callable[[Network], float] | None = None,
    checkpoint: Path | str | None = None,
    **options: Any,
) -> list[Training]:
    """Train networks of several widths, or otherwise different ones, in turn: `train` for each.

    Args:
        several: the networks.
        x: (n, ...) training samples.
        y: their targets.
        rate: one rate for all, or a function of the network; None for the default of each.
        checkpoint: folder with a folder for each network in it.
        options: as for [train][regimes.training.train].
    """
    found = []
    for index, network in enumerate(several):
        folder = None if checkpoint is None else Path(checkpoint) / f"{index:03d}-width-{network.width}"
        one = rate(network) if callable(rate) else rate
        found.append(train(network, x, y, rate=one, checkpoint=folder, **options))
    return found


class Given(NamedTuple):
    """What the caller gives for each seed; None for nothing."""

    start: dict[int, Tree] | None
    masks: dict[int, Tree] | None


def _room(recipe: Recipe, task: Task, copies: int, precision: str, memory: float) -> int:
    """How many seeds fit side by side, with some copies of the parameters besides."""
    memory = _checks.number("memory", memory, low=0, strict=True)
    rows = recipe.batch or len(task.x)
    states = _states(recipe) + copies
    share = functools.partial(recipe.network.memory, task.x, rows=rows, states=states, precision=precision)
    one = share(seeds=1)
    if one > memory:
        fewer = "a smaller width" if recipe.batch or recipe.optimiser in ("gd", "flow") else "a batch"
        fewer = fewer if recipe.optimiser != "gd" else "a smaller width, or sgd with a batch"
        raise ValueError(
            f"`memory` of {memory:.3g} bytes is less than the {one:.3g} that one seed of width "
            f"{recipe.network.width} takes with {rows} samples in a step: allow more or take {fewer}."
        )
    return max(1, int((memory - one) // (share(seeds=2) - one)) + 1)


def _states(recipe: Recipe) -> int:
    """Copies of the parameters that an optimiser keeps besides them."""
    return {"adam": 2, "flow": 3}.get(recipe.optimiser, int(recipe.momentum > 0))


def _together(together: int | None, room: int, seeds: int) -> int:
    import jax

    if together is None:
        return 1 if jax.default_backend() == "cpu" else min(room, seeds)
    wanted = min(_checks.count("together", together), seeds)
    if wanted > room:
        raise ValueError(f"`together` must be at most {room} for `memory`, got {together}.")
    return wanted


def _default_rate(recipe: Recipe, task: Task) -> float:
    network = recipe.network
    if recipe.optimiser == "adam":
        return 1e-3 * (math.sqrt(network.width) if network.parameterisation == "ntk" else 1.0)
    if recipe.optimiser == "flow":
        return 0.25 * stable_rate(network, task.x, loss=recipe.loss, optimiser="flow")
    stable = stable_rate(network, task.x, loss=recipe.loss, optimiser=recipe.optimiser, batch=recipe.batch)
    return 0.5 * stable * (1 - recipe.momentum)


class _Meter:
    """Tells the caller how far it is, and stretches of steps of about a second."""

    def __init__(self, progress: Callable[[Progress], None] | None, total: int, done: int) -> None:
        self.progress, self.total, self.done = progress, total, done
        self.first, self.began = done, math.nan

    def advance(self, steps: int, loss: float) -> None:
        self.done += steps
        if self.progress is not None:
            taken, left = self.done - self.first, self.total - self.done
            seconds = (clock.monotonic() - self.began) * left / taken if taken else math.nan
            self.progress(Progress(self.done, self.total, loss, seconds))
        if steps and math.isnan(self.began):  # the first steps have compiled the program
            self.first, self.began = self.done, clock.monotonic()


def _train_group(
    recipe: Recipe,
    task: Task,
    given: Given,
    group: Sequence[int],
    together: int,
    rate: float,
    at: Array,
    whole: int,
    early_stopping: bool,
    keep: bool,
    store: Store | None,
    meter: _Meter,
) -> dict[int, dict[str, Array]]:
    """Train some seeds side by side; what is returned of each are arrays that can be saved."""
    import jax
    import jax.numpy as jnp

    network, program, n = recipe.network, descent.program(recipe), len(task.x)
    filled = [*group, *[group[-1]] * (together - len(group))]  # one shape, so compiled once
    if given.start is None:
        drawn = [networks.draw(network, task.x.shape[1:], seed, str(task.x.dtype)) for seed in filled]
    else:
        drawn = [given.start[seed] for seed in filled]
    first = jax.device_put(_stacked(drawn))
    masks = None
    if given.masks is not None:
        masks = jax.device_put(_stacked([given.masks[seed] for seed in filled]))
        first = jax.tree.map(jnp.multiply, first, masks)
    del drawn
    start = first if network.order is not None else None
    keys = descent.keys(filled)
    x, y = jnp.asarray(task.x), jnp.asarray(task.y)
    block = max(recipe.batch or n, descent.ENTRIES // (network.activations(task.x) * together))
    both = np.concatenate([task.x, task.x_test])
    parts = jnp.asarray(descent.blocked(both, min(len(both), block)))

    def values(now: Tree) -> tuple[Array, Array]:
        found = np.asarray(program.outputs(now, start, parts))
        return found[:, :n], found[:, n : len(both)]

    if network.centred:
        offset, test_offset = values(first)
    else:
        offset, test_offset = np.zeros((together, n, network.outputs), task.x.dtype), np.zeros(1)
    state = program.start(keys, jax.tree.map(jnp.copy, first), n, int(at[0]))
    best = jax.tree.map(jnp.copy, first) if early_stopping else None
    table = np.full((4, together, len(at)), np.nan)
    done, taken, record, kept = int(at[0]), 0, 0, np.zeros(together, dtype=np.int64)
    leaves, tree = jax.tree.flatten((state, best))
    saved = store.under_way(group, together) if store is not None else None
    if saved is not None:
        done, record, table, kept = int(saved["done"]), int(saved["record"]), saved["table"], saved["kept"]
        leaves = [jnp.asarray(saved[f"leaf{index}"]) for index in range(len(leaves))]
        state, best = jax.tree.unflatten(tree, leaves)
        meter.first += (done - int(at[0])) * len(group)
        meter.done += (done - int(at[0])) * len(group)
    del leaves, first
    stretch, length = 16, np.asarray(rate, dtype=task.x.dtype)
    while record < len(at):
        if done == at[record]:
            found, test_found = values(state[0])
            train_loss, train_error = descent.losses(recipe, found - offset, task.y)
            test_loss, test_error = descent.losses(recipe, test_found - test_offset, task.y_test)
            table[:, :, record] = np.array([train_loss, test_loss, train_error, test_error])
            if early_stopping:
                with np.errstate(invalid="ignore"):
                    better = table[1, :, record] < table[1, np.arange(together), kept]
                kept[better] = record
                best = _better(better, state[0], best)
            else:
                kept[:] = record
            record += 1
            meter.advance(taken * len(group), float(np.mean(table[0, :, record - 1])))
            taken = 0
            if record < len(at) and not np.isfinite(table[0, :, record - 1]).any():
                meter.advance((int(at[-1]) - done) * len(group), math.nan)
                break  # none of these networks comes back
            continue
        until = min(done + stretch, int(at[record]))
        began = clock.monotonic()
        state = jax.block_until_ready(
            program.advance(
                state, start, offset, keys, masks, x, y, length, np.int32(whole), np.int32(done), np.int32(until)
            )
        )
        if clock.monotonic() - began < _CHUNK / 2:
            stretch *= 2
        elif clock.monotonic() - began > 2 * _CHUNK:
            stretch = max(1, stretch // 2)
        taken, done = taken + until - done, until
        if store is not None and store.due():
            store.save(_state(group, together, done, record, table, kept, (state, best)))
        if done < at[record]:
            meter.advance(taken * len(group), float(np.mean(table[0, :, record - 1])))
            taken = 0
    lost = np.cumsum(~np.isfinite(table[0]), axis=1) > 0
    table[:, lost] = np.nan  # whether its neighbours went on or not
    final = best if early_stopping else state[0]
    host = [np.asarray(leaf) for leaf in jax.tree.leaves(final)] if keep else []
    return {
        seed: {"table": table[:, row], "kept": kept[row]}
        | {f"leaf{index}": leaf[row] for index, leaf in enumerate(host)}
        for row, seed in enumerate(group)
    }


def _stacked(trees: Sequence[Tree]) -> Tree:
    import jax

    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _better(choice: Array, new: Tree, old: Tree) -> Tree:
    """The new parameters of the seeds that are chosen, the old ones of the others."""
    import jax
    import jax.numpy as jnp

    def pick(one: Any, other: Any) -> Any:
        return jnp.where(choice.reshape(-1, *[1] * (one.ndim - 1)), one, other)

    return jax.tree.map(pick, new, old)


def _state(
    group: Sequence[int], together: int, done: int, record: int, table: Array, kept: Array, tree: Tree
) -> dict[str, Array]:
    import jax

    leaves = {f"leaf{index}": np.asarray(leaf) for index, leaf in enumerate(jax.tree.leaves(tree))}
    whole = {"group": group, "together": together, "done": done, "record": record, "table": table, "kept": kept}
    return {name: np.asarray(value) for name, value in whole.items()} | leaves


def _settings(
    recipe: Recipe, task: Task, rate: float, at: Array, early_stopping: bool, precision: str, keep: bool
) -> dict[str, Any]:
    """What a result depends on, for a folder to know its own."""
    data = hashlib.sha256()
    for array in task:
        data.update(repr((array.shape, array.dtype.str)).encode())
        data.update(np.ascontiguousarray(array).tobytes())
    return {
        "network": repr(recipe.network),
        # Other versions may draw other parameters from the same seeds.
        "start": _digest(recipe.network.init(0, task.x[:1])),
        "data": data.hexdigest(),
        "loss": recipe.loss,
        "optimiser": recipe.optimiser,
        "batch": recipe.batch,
        "schedule": recipe.schedule,
        "momentum": recipe.momentum,
        "rate": rate,
        "record": at.tolist(),
        "early_stopping": early_stopping,
        "precision": precision,
        "keep": keep,
    }


def _digest(tree: Tree) -> str:
    """A fingerprint of all arrays of a tree."""
    import jax

    found = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        found.update(np.ascontiguousarray(leaf).tobytes())
    return found.hexdigest()


def _collect(
    recipe: Recipe,
    task: Task,
    given: Given,
    runs: list[dict[str, Array]],
    seeds: tuple[int, ...],
    at: Array,
    whole: int,
    rate: float,
    early_stopping: bool,
    precision: str,
    keep: bool,
) -> Training:
    import jax

    tables = np.stack([run["table"] for run in runs], axis=1)
    network, classes = recipe.network, recipe.loss == "cross-entropy"
    kept = np.array([int(run["kept"]) for run in runs])
    statuses = tuple(_status(at, tables[0, row], int(kept[row]), early_stopping) for row in range(len(runs)))
    stable = np.full(len(runs), np.nan)
    if recipe.optimiser != "adam":
        how = {"loss": recipe.loss, "optimiser": recipe.optimiser, "batch": recipe.batch, "momentum": recipe.momentum}
        for row, status in enumerate(statuses):
            if status is Status.DIVERGED:
                begun = None if given.start is None else given.start[seeds[row]]
                stable[row] = stable_rate(network, task.x, seed=seeds[row], parameters=begun, **how)  # type: ignore[arg-type]
    stacked = None
    if keep:
        tree: Any = jax.tree.structure(networks._shapes(network, task.x.shape[1:]))
        stacked = jax.tree.unflatten(
            tree, [np.stack([run[f"leaf{index}"] for run in runs]) for index in range(tree.num_leaves)]
        )
    return Training(
        network=network,
        n=len(task.x),
        seeds=seeds,
        steps=at,
        time=descent.times(recipe, rate, at, whole),
        train_loss=tables[0],
        test_loss=tables[1],
        train_error=tables[2] if classes else None,
        test_error=tables[3] if classes else None,
        statuses=statuses,
        kept=kept,
        stable=stable,
        rate=rate,
        loss=recipe.loss,
        optimiser=recipe.optimiser,
        batch=recipe.batch,
        stacked=stacked,
        inputs=task.x[:1],
        precision=precision,
    )


def _status(at: Array, losses: Array, kept: int, early_stopping: bool) -> Status:
    start, end = losses[0], losses[-1]
    if not math.isfinite(end) or end > start:
        return Status.DIVERGED
    if early_stopping and kept < len(at) - 1:
        return Status.STOPPED_EARLY
    half = losses[np.searchsorted(at, (at[0] + at[-1]) / 2, side="right") - 1]
    settled = end <= _INTERPOLATED * start or end >= (1 - _SETTLED) * half
    return Status.CONVERGED if settled else Status.NOT_CONVERGED
