"""Training at infinite width: the limit that wide networks tend to, trained the same way.

An infinitely wide network stays linear in its parameters about their start. With T its kernel (NTK, or NNGP where the
readout alone is trained) and g(x) the outputs at the start, its outputs are g(x) + T(x, X) c, and gradient descent
takes

    c <- c + rate (1/n) (y - f(X))               mse
    c <- c + rate (1/n) (onehot y - softmax f(X))    cross-entropy

from c = 0, the flow its continuous form. For mse c is linear in y - g(X): each eigenvector of T(X, X) is a number that
is followed by itself, exactly. Over random starts g is a Gaussian process with the NNGP kernel, so the mean loss is
that of the mean plus the variance; a centred network has g = 0.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from scipy import linalg

from regimes import _checks, descent, display, kernels, networks
from regimes.networks import Network
from regimes.results import LearningCurve

Array = np.ndarray
OPTIMISERS = ("gd", "flow")
_LENGTH = 0.5
"""Largest product of an eigenvalue and a step of the flow of cross-entropy: Runge and Kutta's error is 3e-4 of that."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Limit:
    """An infinitely wide network in training, averaged over random starts."""

    network: Network
    """The architecture."""
    n: int
    """Number of training samples."""
    steps: Int64[Array, " records"]
    """Steps after which it was looked at, 0 first."""
    time: Float64[Array, " records"]
    """Sum of the rates up to there, divided by 1 - momentum."""
    train_loss: Float64[Array, " records"]
    """Mean squared error, or cross-entropy in nats, on the training samples: the mean over starts."""
    test_loss: Float64[Array, " records"]
    """The same on the test samples."""
    test_error: Float64[Array, " records"] | None
    """Share of the test samples in a wrong class; None for mse."""
    outputs: Float64[Array, "records tests outputs"]
    """Mean outputs at the test samples."""
    variance: Float64[Array, "records tests"]
    """Variance of one output over starts; zero for a centred network."""
    end: float
    """Test loss at infinite time; for cross-entropy, which has no end, NaN."""
    rate: float
    """Learning rate; for the flow, the time that one step stands for."""
    loss: str
    """mse or cross-entropy."""
    optimiser: str
    """gd or flow."""
    stderr: Float64[Array, " records"]
    """Standard error of `test_loss` from a finite number of starts drawn; zero where none had to be drawn."""

    def curve(self) -> LearningCurve:
        """Test loss against time, without step 0."""
        return LearningCurve(
            "time",
            self.time[1:],
            self.test_loss[1:],
            fixed={"n": float(self.n), "k": math.inf, "rate": self.rate},
            source=f"test, {self.loss}, {self.optimiser} at infinite width",
        )

    def __str__(self) -> str:
        end = f", {self.end:.4g} at infinite time" if math.isfinite(self.end) else ""
        return (
            f"infinitely wide {self.network}: {self.optimiser} at rate {self.rate:.3g} on {self.loss}, n = {self.n}, "
            f"test loss {self.test_loss[-1]:.4g} after {self.steps[-1]} steps{end}"
        )


class _Start(NamedTuple):
    """Covariance of the outputs at the start."""

    train: Array
    """(n, n)"""
    cross: Array
    """(tests, n)"""
    test: Array
    """(tests,), the variances only"""


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
    schedule: str = "constant",
    momentum: float = 0.0,
    record: Sequence[int] | int = 24,
    draws: int = 64,
    seed: int = 0,
) -> Limit:
    """Train the network at infinite width, in float64, as `training.train` trains it at its width.

    The arguments are those of [training.train][regimes.training.train]; a rate that both are to share can come from
    `stable_rate` here. In the standard parameterisation the kernel is proportional to the width but for the first
    layer and the biases: that of the network's width is taken.

    Args:
        network: the architecture; its width counts in the standard parameterisation only.
        x: (n, ...) training samples.
        y: (n,) or (n, outputs) targets for mse; (n,) classes for cross-entropy.
        test: test samples and their targets.
        loss: mse or cross-entropy.
        optimiser: gd, exactly step by step; or flow, exact for mse, in Runge-Kutta steps for cross-entropy.
        rate: learning rate; half of `stable_rate`, times 1 - momentum, by default.
        steps: number of steps.
        schedule: constant or cosine, for gd.
        momentum: for gd.
        record: steps to look at, or how many of them.
        draws: random starts over which cross-entropy is averaged if the network is not centred.
        seed: of those.

    Raises:
        ValueError: sgd or adam, whose limits are not these; otherwise as `training.train`.

    Valid when: the width is much larger than n and the depth, and the time is not so long that the loss has become as
    small as the corrections, which are of order 1/width.

    Source: Jacot et al. 2018; Lee et al. 2019.
    """
    _checks.choice("loss", loss, descent.LOSSES)
    if optimiser not in OPTIMISERS:
        raise ValueError(
            f"`optimiser` must be one of {', '.join(OPTIMISERS)} at infinite width; got {optimiser!r}: batches of sgd "
            "are random, and adam does not follow the kernel."
        )
    task = descent.task(network, x, y, test, loss, "float64")
    recipe = descent.recipe(network, len(task.x), loss, optimiser, None, schedule, momentum)
    at = descent.records(record, steps)
    gram, cross = kernel(network, task.x), kernel(network, task.x_test, task.x)
    top = _top(gram)
    if rate is None:
        share = 0.25 if optimiser == "flow" else 0.5 * (1 - recipe.momentum)
        rate = share * descent.edge(recipe, top, math.nan)
    rate = _checks.number("rate", rate, low=0, strict=True)
    start = None if network.centred else _start(network, task.x, task.x_test)
    time = descent.times(recipe, rate, at)
    solve = _mean_squared if loss == "mse" else functools.partial(_cross_entropy, draws=draws, seed=seed)
    found = solve(recipe, task, gram, cross, start, rate, at, time)
    return Limit(
        network=network,
        n=len(task.x),
        steps=at,
        time=time,
        train_loss=found.train_loss,
        test_loss=found.test_loss,
        test_error=found.test_error,
        outputs=found.outputs,
        variance=found.variance,
        end=found.end,
        rate=rate,
        loss=loss,
        optimiser=optimiser,
        stderr=found.stderr,
    )


def stable_rate(
    network: Network,
    x: Any,
    *,
    loss: str = "mse",
    optimiser: str = "gd",
    batch: int | None = None,
    momentum: float = 0.0,
) -> float:
    """Largest stable learning rate at infinite width, the same for all widths that are large enough.

    As [descent.stable_rate][regimes.descent.stable_rate], with the kernel in place of the empirical NTK.

    Args:
        network: the architecture; its width counts in the standard parameterisation only.
        x: (n, ...) training samples.
        loss: mse or cross-entropy.
        optimiser: gd, sgd or flow.
        batch: samples in a batch of sgd.
        momentum: of gd and sgd.
    """
    gram = kernel(network, x)
    recipe = descent.recipe(network, len(gram), loss, optimiser, batch, "constant", momentum)
    return descent.edge(recipe, _top(gram), float(np.diagonal(gram).max()))


def kernel(network: Network, inputs: Any, others: Any = None) -> Float64[Array, "n m"]:
    """Kernel that training follows at infinite width, in float64: the limit of the network's empirical NTK.

    The model's own in the ntk parameterisation. In the standard one gradients with respect to weights carry no factor
    weight_std/sqrt(fan-in): hidden layers and the readout count by the width, which is the network's own here.

    Args:
        network: the network.
        inputs: (n, ...) samples.
        others: (m, ...) samples; None for the symmetric matrix.
    """
    model = network.model
    if network.parameterisation == "ntk":
        return model(inputs, others)
    if model.kind == "nngp":  # readout: width h.h'/width, and 1 of its bias
        weight, bias = model.readout.weight_std, model.readout.bias_std
        return network.width * (model(inputs, others) - bias**2) / weight**2 + (bias > 0)
    x = model.checked("inputs", inputs)
    y = None if others is None else model.checked("others", others)
    block = min(kernels.BLOCK, max(8, 2000 // math.prod(x.shape[1:3]))) if model.images else kernels.BLOCK
    result = np.empty((len(x), len(x) if y is None else len(y)))
    with networks.in_precision("float64"):
        compiled = _standard(network)
        for r in range(0, len(x), block):
            rows = slice(r, r + block)
            for c in range(0, result.shape[1], block):
                columns = slice(c, c + block)
                other = None if y is None and r == c else (x if y is None else y)[columns]
                result[rows, columns] = compiled(x[rows], other)
    return result


class _Found(NamedTuple):
    """What a solution has to say at the records."""

    train_loss: Array
    test_loss: Array
    test_error: Array | None
    outputs: Array
    variance: Array
    end: float
    stderr: Array


def _mean_squared(
    recipe: descent.Recipe,
    task: descent.Task,
    gram: Array,
    cross: Array,
    start: _Start | None,
    rate: float,
    at: Array,
    time: Array,
) -> _Found:
    n, outputs = len(gram), recipe.network.outputs
    values, vectors = linalg.eigh(gram)
    values = np.maximum(values, 0)
    seen, reach = vectors.T @ task.y, cross @ vectors
    if start is not None:
        train_cov, cross_cov = vectors.T @ start.train @ vectors, start.cross @ vectors

    def look(learnt: Array) -> tuple[float, float, Array, Array]:
        """Losses, outputs and their variance where coefficients are learnt/values of their own size."""
        left = 1 - values * learnt
        mean = reach @ (learnt[:, None] * seen)
        train_loss = np.sum((left[:, None] * seen) ** 2) / n
        variance = np.zeros(len(cross))
        if start is not None:
            train_loss += outputs * np.sum(left**2 * np.diagonal(train_cov)) / n
            moved = reach * learnt
            variance = start.test - 2 * np.sum(moved * cross_cov, axis=1) + np.sum((moved @ train_cov) * moved, axis=1)
        test_loss = np.mean(np.sum((mean - task.y_test) ** 2, axis=1) + outputs * variance)
        return float(train_loss), float(test_loss), mean, variance

    with np.errstate(over="ignore", invalid="ignore"):  # above the stable rate
        found = [look(learnt) for learnt in _learnt(recipe, values, rate, at, time)]
    train_loss, test_loss, mean, variance = (np.array(column) for column in zip(*found, strict=True))
    kept = values > n * np.finfo(np.float64).eps * values[-1]
    end = look(np.where(kept, 1 / np.where(kept, values, 1), 0))[1]
    return _Found(train_loss, test_loss, None, mean, variance, end, np.zeros(len(at)))


def _learnt(recipe: descent.Recipe, values: Array, rate: float, at: Array, time: Array) -> Array:
    """(records, n) ratio of coefficient to target in each eigenvector of the Gram matrix, 1/eigenvalue in the end."""
    n = len(values)
    if recipe.optimiser == "flow":
        return _saturating(values, time[:, None] / n)
    if recipe.schedule == "constant" and recipe.momentum == 0:
        factor = 1 - rate * values / n
        with np.errstate(divide="ignore"):
            logs = np.log1p(-np.minimum(rate * values / n, 1))
        slow = _grown(values, logs, at, rate / n)
        with np.errstate(invalid="ignore", divide="ignore"):
            fast = (1 - factor ** at[:, None].astype(np.float64)) / values
        return np.where(factor > 0.5, slow, fast)
    result, learnt, velocity = np.empty((len(at), n)), np.zeros(n), np.zeros(n)
    rates = descent.rates(recipe, rate, int(at[-1]))
    record = 0
    for step in range(int(at[-1]) + 1):
        if step == at[record]:
            result[record] = learnt
            record += 1
        if step < at[-1]:
            velocity = recipe.momentum * velocity + (1 - values * learnt) / n
            learnt = learnt + rates[step] * velocity
    return result


def _saturating(values: Array, time: Array) -> Array:
    """(1 - exp(-values time))/values, time where values vanish."""
    exponent = values * time
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(exponent > 0, -np.expm1(-exponent) / values, time)


def _grown(values: Array, logs: Array, steps: Array, rate: float) -> Array:
    """(1 - (1 - rate values)^steps)/values with logs = log(1 - rate values); rate steps where values vanish."""
    powers = steps[:, None] * logs
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(powers < 0, -np.expm1(powers) / values, rate * steps[:, None])


def _cross_entropy(
    recipe: descent.Recipe,
    task: descent.Task,
    gram: Array,
    cross: Array,
    start: _Start | None,
    rate: float,
    at: Array,
    time: Array,
    *,
    draws: int,
    seed: int,
) -> _Found:
    import jax.numpy as jnp

    n, outputs = len(gram), recipe.network.outputs
    draws = 1 if start is None else _checks.count("draws", draws, low=2)
    seed = _checks.count("seed", seed, low=0)
    begun, test_begun = np.zeros((n, 1, outputs)), np.zeros((len(cross), 1, outputs))
    if start is not None:
        begun, test_begun = _drawn(start, draws, outputs, seed)
    found = []
    with networks.in_precision("float64"):
        rates = jnp.asarray(descent.rates(recipe, rate, int(at[-1])))
        pieces = 1
        if recipe.optimiser == "flow":
            pieces = math.ceil(rate * _top(gram) / 2 / _LENGTH)
        advance = _advance(recipe.momentum, recipe.optimiser == "flow")
        state = (jnp.zeros_like(jnp.asarray(begun), shape=(n, draws, outputs)),) * 2
        gram_, begun_, y = jnp.asarray(gram), jnp.asarray(begun), jnp.asarray(np.eye(outputs)[task.y][:, None, :])
        done = 0
        for until in at:
            state = advance(state, gram_, begun_, y, rates, pieces, done, int(until))
            done = int(until)
            coefficients = np.asarray(state[0])
            train_outputs = begun + np.tensordot(gram, coefficients, 1)
            test_outputs = test_begun + np.tensordot(cross, coefficients, 1)
            losses = _entropy(test_outputs, task.y_test).mean(axis=0)  # one per draw
            wrong = np.mean(test_outputs.argmax(axis=2) != task.y_test[:, None])
            found.append(
                (
                    _entropy(train_outputs, task.y).mean(),
                    losses.mean(),
                    wrong,
                    test_outputs.mean(axis=1),
                    test_outputs.var(axis=1, ddof=1).mean(axis=1) if draws > 1 else np.zeros(len(cross)),
                    losses.std(ddof=1) / math.sqrt(draws) if draws > 1 else 0.0,
                )
            )
    train_loss, test_loss, error, mean, variance, stderr = (np.array(column) for column in zip(*found, strict=True))
    return _Found(train_loss, test_loss, error, mean, variance, math.nan, stderr)


def _entropy(outputs: Array, classes: Array) -> Array:
    """(samples, draws) cross-entropy in nats."""
    top = outputs.max(axis=2)
    total = top + np.log(np.sum(np.exp(outputs - top[:, :, None]), axis=2))
    return total - np.take_along_axis(outputs, classes[:, None, None], axis=2)[:, :, 0]


@functools.lru_cache(maxsize=8)
def _advance(momentum: float, flow: bool) -> Callable[..., Any]:
    """Compiled steps of the coefficients: (state, gram, outputs at the start, one-hot classes, rates, ...) -> state."""
    import jax
    import jax.numpy as jnp

    def residual(coefficients: Any, gram: Any, begun: Any, y: Any) -> Any:
        return (y - jax.nn.softmax(begun + jnp.tensordot(gram, coefficients, 1), axis=2)) / len(gram)

    def step(state: Any, rate: Any, pieces: Any, data: Any) -> Any:
        coefficients, velocity = state
        if not flow:
            velocity = momentum * velocity + residual(coefficients, *data)
            return coefficients + rate * velocity, velocity

        def piece(_: Any, now: Any) -> Any:
            return descent.runge_kutta(lambda c: -residual(c, *data), now, rate / pieces)

        return jax.lax.fori_loop(0, pieces, piece, coefficients), velocity

    def advance(state: Any, gram: Any, begun: Any, y: Any, rates: Any, pieces: Any, first: Any, last: Any) -> Any:
        return jax.lax.fori_loop(first, last, lambda t, s: step(s, rates[t], pieces, (gram, begun, y)), state)

    return jax.jit(advance)


def _drawn(start: _Start, draws: int, outputs: int, seed: int) -> tuple[Array, Array]:
    """Outputs at the start on the training and on the test samples, (samples, draws, outputs).

    Test samples are drawn each given the training samples and not together: the mean loss over them is the same.
    """
    rng = np.random.default_rng(seed)
    values, vectors = linalg.eigh(start.train)
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    root = vectors[:, kept] * np.sqrt(values[kept])
    numbers = rng.standard_normal((root.shape[1], draws * outputs))
    given = start.cross @ (vectors[:, kept] / np.sqrt(values[kept]))
    spread = np.sqrt(np.maximum(start.test - np.sum(given**2, axis=1), 0))
    others = given @ numbers + spread[:, None] * rng.standard_normal((len(given), draws * outputs))
    return (root @ numbers).reshape(-1, draws, outputs), others.reshape(-1, draws, outputs)


def _start(network: Network, x: Array, x_test: Array) -> _Start:
    outputs = dataclasses.replace(network.model, kind="nngp")
    test = np.concatenate([np.diagonal(outputs(part)) for part in np.array_split(x_test, -(-len(x_test) // 256))])
    return _Start(outputs(x), outputs(x_test, x), test)


def _top(gram: Array) -> float:
    """Largest eigenvalue over n."""
    last = len(gram) - 1
    return float(linalg.eigh(gram, eigvals_only=True, subset_by_index=[last, last])[0]) / len(gram)


@functools.lru_cache(maxsize=16)
def _standard(network: Network) -> Callable[..., Any]:
    """The compiled kernel of the standard parameterisation."""
    import jax

    function = networks._stax(network)[2]
    symmetric = jax.jit(lambda x: function(x, None, "ntk"))
    general = jax.jit(lambda x, y: function(x, y, "ntk"))
    return lambda x, y: symmetric(x) if y is None else general(x, y)
