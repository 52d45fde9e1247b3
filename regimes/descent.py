"""Steps of gradient descent and its kin on finite networks, compiled, and the rates at which they are stable.

`training` runs them, `infinite` takes the same arguments at infinite width. With f(x) the outputs on n samples, a step
is

    theta <- theta - rate (1/n) sum_i grad f(x_i)^T (f(x_i) - y_i)                    mse
    theta <- theta - rate (1/n) sum_i grad f(x_i)^T (softmax f(x_i) - onehot y_i)     cross-entropy

that is, half of the mean squared error is descended, or the mean cross-entropy in nats.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import special
from scipy.sparse import linalg

from regimes import _checks, networks
from regimes.networks import Network, Tree

Array = np.ndarray
LOSSES = ("mse", "cross-entropy")
OPTIMISERS = ("gd", "sgd", "adam", "flow")
SCHEDULES = ("constant", "cosine")
ENTRIES = 16_000_000
"""Activations held at once while the loss is measured."""
_BATCHES = 0xBA7C4E5
"""First half of the keys for the order of batches; the second is the seed."""
_RUNGE_KUTTA = 2.785293563405282
"""Largest stable product of a step and an eigenvalue: 1 - z + z^2/2 - z^3/6 + z^4/24 = 1."""


class Task(NamedTuple):
    """What is trained on, checked and in the precision of the training."""

    x: Array
    y: Array
    x_test: Array
    y_test: Array


class Recipe(NamedTuple):
    """What a compiled program depends on besides shapes."""

    network: Network
    loss: str
    optimiser: str
    batch: int | None
    schedule: str
    momentum: float


class Program(NamedTuple):
    """Compiled functions of a recipe, each over seeds side by side."""

    start: Callable[..., Any]
    """keys, parameters, n, first step -> state"""
    advance: Callable[..., Any]
    """state, start, offset, keys, masks, x, y, rate, steps, first, last -> state after step `last` - 1"""
    outputs: Callable[..., Any]
    """now, start, x in blocks of rows -> outputs, those at the start not subtracted"""


def recipe(
    network: Network, n: int, loss: str, optimiser: str, batch: int | None, schedule: str, momentum: float
) -> Recipe:
    """How to train on n samples, checked."""
    _checks.choice("loss", loss, LOSSES)
    _checks.choice("optimiser", optimiser, OPTIMISERS)
    _checks.choice("schedule", schedule, SCHEDULES)
    if optimiser == "flow" and schedule != "constant":
        raise ValueError("`schedule` must be constant for the flow: its rate is only the length of a step.")
    return Recipe(network, loss, optimiser, _batch(optimiser, batch, n), schedule, _momentum(optimiser, momentum))


def stable_rate(
    network: Network,
    x: Any,
    *,
    loss: str = "mse",
    optimiser: str = "gd",
    batch: int | None = None,
    momentum: float = 0.0,
    seed: int = 0,
    parameters: Tree = None,
) -> float:
    """Largest learning rate at which the network, linearised where it is, does not diverge.

    With s the largest eigenvalue of the empirical NTK over n: 2 (1 + momentum)/s for gd; 2.785/s, the step of
    Runge and Kutta's method, for the flow; for sgd (1 - momentum) 2/(s + (R - s)/batch) with R the largest K(x, x),
    which is enough (Jain et al. 2018) but may be less than the edge. For cross-entropy s is halved, since the softmax
    has a derivative of at most 1/2: enough again. Far from linear, networks survive a little more.

    Args:
        network: the network.
        x: (n, ...) training samples.
        loss: mse or cross-entropy.
        optimiser: gd, sgd or flow.
        batch: samples in a batch of sgd.
        momentum: of gd and sgd.
        seed: of the parameters.
        parameters: parameters instead of those of the seed.

    Raises:
        ValueError: adam, whose steps do not grow with the gradient.
    """
    inputs = network.model.checked("x", x)
    how = recipe(network, len(inputs), loss, optimiser, batch, "constant", momentum)
    if parameters is None:
        parameters = network.init(seed, inputs, precision="float64")
    return edge(how, *_largest(network, inputs, parameters, how.batch is not None))


def edge(recipe: Recipe, top: float, norm: float) -> float:
    """Largest stable rate from the largest eigenvalue of the kernel over n, and for batches the largest K(x, x)."""
    if recipe.optimiser == "adam":
        raise ValueError("`optimiser` adam has no largest stable rate: its steps do not grow with the gradient.")
    bend = 1.0 if recipe.loss == "mse" else 0.5
    if recipe.optimiser == "flow":
        return _RUNGE_KUTTA / (bend * top)
    if recipe.batch is None:
        return 2 * (1 + recipe.momentum) / (bend * top)
    return 2 * (1 - recipe.momentum) / (bend * (top + max(norm - top, 0) / recipe.batch))


def task(network: Network, x: Any, y: Any, test: Any, loss: str, precision: str) -> Task:
    """What to train on, checked and in the precision of the training."""
    _checks.choice("loss", loss, LOSSES)
    inputs = network.model.checked("x", x)
    if not isinstance(test, tuple | list) or len(test) != 2:
        raise ValueError("`test` must be two arrays, the test samples and their targets.")
    others = network.model.checked("test", test[0])
    if others.shape[1:] != inputs.shape[1:]:
        raise ValueError(f"`test` must have samples of shape {inputs.shape[1:]} like `x`, got {others.shape[1:]}.")
    prepare = _classes if loss == "cross-entropy" else _values
    if loss == "cross-entropy" and network.outputs < 2:
        raise ValueError("`loss` cross-entropy needs a network with one output per class, at least 2; it has 1.")
    targets = prepare("y", y, len(inputs), network.outputs)
    test_targets = prepare("test", test[1], len(others), network.outputs)
    if loss == "mse":
        targets, test_targets = targets.astype(precision), test_targets.astype(precision)
    return Task(inputs.astype(precision), targets, others.astype(precision), test_targets)


def _values(name: str, value: Any, rows: int, outputs: int) -> Array:
    y = _checks.targets(name, value, rows)
    if y.shape[1] != outputs:
        raise ValueError(
            f"`{name}` must have {outputs} column{'s' * (outputs > 1)}, one per output of the network, "
            f"got {y.shape[1]}."
        )
    return y


def _classes(name: str, value: Any, rows: int, outputs: int) -> Array:
    labels = _checks.finite_array(name, value, ndim=1)
    if len(labels) != rows:
        raise ValueError(f"`{name}` must have one class per sample: expected {rows}, got {len(labels)}.")
    wrong = labels[(labels != np.rint(labels)) | (labels < 0) | (labels >= outputs)]
    if len(wrong):
        raise ValueError(
            f"`{name}` must hold whole numbers from 0 to {outputs - 1}, one class per output, got {wrong[0]:g}."
        )
    return labels.astype(np.int32)


def _batch(optimiser: str, batch: int | None, n: int) -> int | None:
    if optimiser in ("gd", "flow"):
        if batch is not None:
            raise ValueError(f"`batch` is for sgd and adam; {optimiser} takes all samples in every step.")
        return None
    if batch is None:
        if optimiser == "sgd":
            raise ValueError("`batch` must be given for sgd; for all samples in every step take gd.")
        return None
    return _checks.count("batch", batch, high=n)


def _momentum(optimiser: str, momentum: float) -> float:
    momentum = _checks.number("momentum", momentum, low=0)
    if momentum >= 1:
        raise ValueError(f"`momentum` must be less than 1, got {momentum:g}.")
    if momentum and optimiser not in ("gd", "sgd"):
        raise ValueError(f"`momentum` is for gd and sgd; {optimiser} has none to set.")
    return momentum


def records(record: Sequence[int] | int, steps: int) -> Array:
    """Steps at which to look, from their number or a list: 0 and the last are among them."""
    steps = _checks.count("steps", steps, high=2**31 - 1)
    if isinstance(record, int | np.integer):
        count = _checks.count("record", record)
        inner = np.rint(np.geomspace(1, steps, count)).astype(np.int64)
    else:
        inner = _checks.sizes("record", record, low=0, high=steps)
    return np.unique(np.concatenate([[0], inner, [steps]])).astype(np.int64)


def seed_numbers(seeds: Sequence[int] | int) -> tuple[int, ...]:
    """Seeds from their number or a list."""
    if isinstance(seeds, int | np.integer):
        return tuple(range(_checks.count("seeds", seeds)))
    numbers = tuple(_checks.count("seeds", seed, low=0, high=2**32 - 1) for seed in seeds)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"`seeds` must be different whole numbers, at least one; got {listed(numbers)}.")
    return numbers


def listed(seeds: Sequence[int]) -> str:
    """A few seeds in words."""
    return ", ".join(str(seed) for seed in seeds[:8]) + (", ..." if len(seeds) > 8 else "") if seeds else "none"


def rates(recipe: Recipe, rate: float, steps: int) -> Array:
    """Rate of each step."""
    shape = 0.5 * (1 + np.cos(np.pi * np.arange(steps) / steps)) if recipe.schedule == "cosine" else np.ones(steps)
    return rate * shape


def times(recipe: Recipe, rate: float, at: Array, steps: int | None = None) -> Array:
    """Time at the recorded steps; for adam, the steps. The schedule ends with the last of them, or at `steps`."""
    if recipe.optimiser == "adam":
        return at.astype(np.float64)
    if recipe.schedule == "constant":
        return rate * at / (1 - recipe.momentum)
    whole = int(at[-1]) if steps is None else steps
    return np.concatenate([[0], np.cumsum(rates(recipe, rate, whole))])[at] / (1 - recipe.momentum)


def stretch(span: Any, at: Array) -> Array:
    """The recorded steps inside a stretch of a training, its two ends among them."""
    if span is None:
        return at
    first, last = _checks.sizes("span", span, low=0, high=int(at[-1]))[[0, -1]]
    if len(span) != 2:
        raise ValueError(f"`span` must be the first and the last step, got {len(span)} numbers.")
    return np.unique(np.concatenate([[first], at[(at > first) & (at < last)], [last]]))


def trees(name: str, value: Any, network: Network, x: Array, seeds: Sequence[int]) -> dict[int, Tree] | None:
    """Arrays like the network's parameters for each seed, in the precision of x, checked."""
    import jax

    if value is None:
        return None
    if network.anchored:
        raise ValueError(f"`{name}` is for plain networks: a centred or expanded one is measured from its own start.")
    if not isinstance(value, list | tuple) or len(value) != len(seeds):
        came = f"{len(value)}" if isinstance(value, list | tuple) else type(value).__name__
        raise ValueError(f"`{name}` must be a list of parameters, one for each of {len(seeds)} seeds, got {came}.")
    like, structure = jax.tree.flatten(networks._shapes(network, x.shape[1:]))
    found = {}
    for seed, tree in zip(seeds, value, strict=True):
        leaves = [_checks.finite_array(name, leaf) for leaf in jax.tree.leaves(tree)]
        if [leaf.shape for leaf in leaves] != [leaf.shape for leaf in like]:
            raise ValueError(
                f"`{name}` must have arrays of shapes {', '.join(str(leaf.shape) for leaf in like)} like the "
                f"parameters, got {', '.join(str(leaf.shape) for leaf in leaves)}."
            )
        if name == "masks" and any(np.any((leaf != 0) & (leaf != 1)) for leaf in leaves):
            raise ValueError("`masks` must hold 1 for a weight that is trained and 0 for one that stays at zero.")
        found[seed] = jax.tree.unflatten(structure, [leaf.astype(x.dtype) for leaf in leaves])
    return found


def _largest(network: Network, x: Array, parameters: Tree, diagonal: bool) -> tuple[float, float]:
    """Largest eigenvalue of the empirical NTK over n, all outputs, and the largest K(x, x) if asked for."""
    with networks.in_precision("float64"):
        parameters = networks._as_type(parameters, "float64")
        block = max(1, min(len(x), ENTRIES // (4 * network.activations(x))))
        parts, count = blocked(np.asarray(x, dtype=np.float64), block), len(x)
        product, norms = _products(network)
        size = count * network.outputs

        def times(vector: Array) -> Array:
            padded = np.zeros((parts.shape[0] * block, network.outputs))
            padded[:count] = vector.reshape(count, network.outputs)
            result = np.asarray(product(parameters, parts, padded.reshape(*parts.shape[:2], network.outputs)))
            return result.reshape(padded.shape)[:count].ravel() / count

        if size <= 8:
            top = float(np.linalg.eigvalsh(np.stack([times(row) for row in np.eye(size)]))[-1])
        else:
            operator = linalg.LinearOperator((size, size), matvec=times, dtype=np.float64)
            start = np.random.default_rng(0).standard_normal(size)
            top = float(linalg.eigsh(operator, k=1, v0=start, tol=1e-8, return_eigenvectors=False)[0])
        return top, float(np.max(norms(parameters, parts))) if diagonal else math.nan


@functools.lru_cache(maxsize=32)
def _products(network: Network) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Compiled products of the empirical NTK with a vector, and its diagonal per output."""
    import jax
    import jax.numpy as jnp

    apply = networks.function(network, centred=False)

    def product(parameters: Tree, parts: Any, vectors: Any) -> Any:
        now, start = networks._parts(network, parameters)

        def pull(total: Tree, part: Any) -> Any:
            rows, vector = part
            gradient = jax.vjp(lambda theta: apply(theta, start, rows), now)[1](vector)[0]
            return jax.tree.map(jnp.add, total, gradient), None

        gradient, _ = jax.lax.scan(pull, jax.tree.map(jnp.zeros_like, now), (parts, vectors))
        return jax.lax.map(lambda rows: jax.jvp(lambda theta: apply(theta, start, rows), (now,), (gradient,))[1], parts)

    def norms(parameters: Tree, parts: Any) -> Any:
        now, start = networks._parts(network, parameters)

        def norm(row: Any) -> Any:
            gradients = jax.jacrev(lambda theta: apply(theta, start, row[None])[0])(now)
            return sum(jnp.sum(leaf.reshape(network.outputs, -1) ** 2, axis=1) for leaf in jax.tree.leaves(gradients))

        return jax.lax.map(norm, parts.reshape(-1, *parts.shape[2:]))

    return jax.jit(product), jax.jit(norms)


def blocked(x: Array, block: int) -> Array:
    """(blocks, block, ...) rows, the last block filled up with the first row."""
    count = -(-len(x) // block)
    filled = np.concatenate([x, np.repeat(x[:1], count * block - len(x), axis=0)])
    return filled.reshape(count, block, *x.shape[1:])


def keys(seeds: Sequence[int]) -> Any:
    """One key for each seed, from which the order of its batches is drawn."""
    import jax

    halves: Any = np.array([[_BATCHES, seed] for seed in seeds], dtype=np.uint32)
    return jax.random.wrap_key_data(halves, impl="threefry2x32")


def losses(recipe: Recipe, outputs: Array, y: Array) -> tuple[Array, Array]:
    """Loss of each seed and its share of wrong classes, from (seeds, samples, outputs); in float64."""
    outputs = outputs.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # where it diverged
        if recipe.loss == "mse":
            return np.sum((outputs - y) ** 2, axis=2).mean(axis=1), np.full(len(outputs), np.nan)
        right = np.take_along_axis(outputs, y[None, :, None], axis=2)[:, :, 0]
        entropy = special.logsumexp(outputs, axis=2) - right
        return entropy.mean(axis=1), np.mean(outputs.argmax(axis=2) != y, axis=1)


@functools.lru_cache(maxsize=32)
def program(recipe: Recipe) -> Program:
    """Compile what a recipe asks for; shapes come with the first call."""
    import jax
    import jax.numpy as jnp
    import optax

    network, n_outputs = recipe.network, recipe.network.outputs
    raw = networks.function(network, centred=False)
    if recipe.optimiser == "adam":
        transform = optax.scale_by_adam()
    else:
        transform = optax.trace(recipe.momentum) if recipe.momentum else optax.identity()

    def descended(now: Tree, start: Tree, offset: Any, x: Any, y: Any) -> Any:
        outputs = raw(now, start, x) - offset
        if recipe.loss == "mse":
            return 0.5 * jnp.sum((outputs - y) ** 2) / len(x)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(outputs, y))

    def shuffled(key: Any, epoch: Any, n: int) -> Any:
        return jax.random.permutation(jax.random.fold_in(key, epoch), n)

    def begin(key: Any, now: Tree, n: int, first: int) -> Any:
        # Batches are drawn from a shuffled order, which is part of the state so that an epoch shuffles once.
        order = jnp.arange(n if recipe.batch else 0)
        if recipe.batch and first % (n // recipe.batch):
            order = shuffled(key, first // (n // recipe.batch), n).astype(order.dtype)
        return now, transform.init(now), order

    def step(
        state: Any, t: Any, start: Tree, offset: Any, key: Any, mask: Tree, x: Any, y: Any, rate: Any, steps: Any
    ) -> Any:
        now, memory, order = state
        if recipe.batch:
            epoch, place = jnp.divmod(t, len(x) // recipe.batch)
            order = jax.lax.cond(place == 0, lambda: shuffled(key, epoch, len(x)).astype(order.dtype), lambda: order)
            rows = jax.lax.dynamic_slice_in_dim(order, place * recipe.batch, recipe.batch)
            x, y, offset = x[rows], y[rows], offset[rows]

        def gradient(*arguments: Any) -> Tree:
            found = jax.grad(descended)(*arguments)
            return found if mask is None else jax.tree.map(jnp.multiply, found, mask)

        if recipe.optimiser == "flow":
            return runge_kutta(lambda theta: gradient(theta, start, offset, x, y), now, rate), memory, order
        if recipe.schedule == "cosine":
            rate = rate * 0.5 * (1 + jnp.cos(jnp.pi * t / steps)).astype(rate.dtype)
        updates, memory = transform.update(gradient(now, start, offset, x, y), memory, now)
        return jax.tree.map(lambda value, update: value - rate * update, now, updates), memory, order

    def advance(
        state: Any,
        start: Tree,
        offset: Any,
        keys: Any,
        masks: Tree,
        x: Any,
        y: Any,
        rate: Any,
        steps: Any,
        first: Any,
        last: Any,
    ) -> Any:
        if len(offset) > 1:
            every = jax.vmap(step, in_axes=(0, None, 0, 0, 0, 0, None, None, None, None))
            return jax.lax.fori_loop(
                first, last, lambda t, s: every(s, t, start, offset, keys, masks, x, y, rate, steps), state
            )
        # Products of matrices with a batch axis of one take three times as long on CPUs as without it.
        a, b, c, d, now = jax.tree.map(lambda leaf: leaf[0], (start, offset, keys, masks, state))
        one = jax.lax.fori_loop(first, last, lambda t, s: step(s, t, a, b, c, d, x, y, rate, steps), now)
        return jax.tree.map(lambda leaf: leaf[None], one)

    def outputs(now: Tree, start: Tree, parts: Any) -> Any:
        one = jax.vmap(lambda a, b, rows: raw(a, b, rows), in_axes=(0, 0, None))
        blocks = jax.lax.map(lambda rows: one(now, start, rows), parts)  # (blocks, seeds, rows, outputs)
        return jnp.moveaxis(blocks, 0, 1).reshape(blocks.shape[1], -1, n_outputs)

    return Program(
        jax.jit(jax.vmap(begin, in_axes=(0, 0, None, None)), static_argnums=(2, 3)),
        jax.jit(advance, donate_argnums=0),
        jax.jit(outputs),
    )


def runge_kutta(gradient: Callable[[Tree], Tree], now: Tree, length: Any) -> Tree:
    """One step of gradient flow, to fourth order in its length."""
    import jax

    def moved(slope: Tree, by: Any) -> Tree:
        return jax.tree.map(lambda value, rise: value - by * rise, now, slope)

    one = gradient(now)
    two = gradient(moved(one, length / 2))
    three = gradient(moved(two, length / 2))
    four = gradient(moved(three, length))
    mean = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, one, two, three, four)
    return moved(mean, length)
