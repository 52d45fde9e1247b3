"""Finite networks of the architectures of `kernels`, built with neural-tangents, to be trained.

A `Network` is a `kernels.Model` with a width and a readout of several numbers. Its kernel at infinite width is the
model's: all weights train for a model of kind ntk, the readout alone for one of kind nngp. Nothing is stored in it but
the architecture: parameters are plain trees of arrays, drawn from a seed.
"""

import dataclasses
import functools
import importlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from regimes import _checks, _precision, _tangents, kernels

Array = np.ndarray
Tree = Any
"""Parameters: nested lists and tuples of arrays, as neural-tangents makes them, or `Parameters`."""

PARAMETERISATIONS = ("ntk", "standard")
PRECISIONS = ("float32", "float64")
_ENTRIES = 16_000_000
"""Activations held at once outside of training."""


_BACKWARD = 1.3
"""Numbers held per activation during a gradient: compiled programs take 1 for relu and erf, 1.8 for gelu."""


class Parameters(NamedTuple):
    """Parameters of a network that is measured from where it started: a centred or an expanded one."""

    now: Tree
    """What is trained."""
    start: Tree
    """The values at the start."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of finite width: `network` makes one."""

    model: kernels.Model
    """Architecture, scales of the weights, and by its kind what is trained."""
    width: int
    """Units (channels) of each hidden layer."""
    outputs: int = 1
    """Numbers that the readout gives."""
    parameterisation: str = "ntk"
    """Where the factor weight_std/sqrt(fan-in) is: in the layer (ntk) or in the random weights (standard)."""
    centred: bool = False
    """Whether the outputs at the start are subtracted."""
    order: int | None = None
    """Order of the Taylor series in the parameters that stands for the network; None for the network itself."""

    def __str__(self) -> str:
        depth = sum(layer.name in ("dense", "convolution") for layer in self.model.layers)
        activation = next(layer.name for layer in self.model.layers if layer.name in kernels.ACTIVATIONS)
        expanded = {None: "", 1: "linearised "}.get(self.order, f"Taylor-expanded (order {self.order}) ")
        return (
            f"{expanded}{'convolutional' if self.model.images else 'fully connected'} {activation} network with "
            f"{depth} hidden layer{'s' * (depth > 1)} of {self.width} {'channel' if self.model.images else 'unit'}"
            f"{'s' * (self.width > 1)} and {self.outputs} output{'s' * (self.outputs > 1)}, "
            f"{'NTK' if self.parameterisation == 'ntk' else 'standard'} parameterisation"
            f"{', centred' * self.centred}{', readout trained only' * (self.model.kind == 'nngp')}"
        )

    @property
    def anchored(self) -> bool:
        """Whether its parameters are `Parameters`, with the start beside the present."""
        return self.centred or self.order is not None

    def init(self, seed: int, inputs: Any, *, precision: str = "float32") -> Tree:
        """Random parameters. One seed gives the same ones in both precisions and both parameterisations.

        Args:
            seed: a whole number from 0 to 2^32 - 1.
            inputs: samples, of which only the shape matters.
            precision: float32 or float64.

        Raises:
            ValueError: a seed out of range, inputs that the architecture does not take.
        """
        seed = _checks.count("seed", seed, low=0, high=2**32 - 1)
        _checks.choice("precision", precision, PRECISIONS)
        shape = self.model.checked("inputs", inputs).shape[1:]
        tree = draw(self, shape, seed, precision)
        return Parameters(tree, tree) if self.anchored else tree

    def apply(self, parameters: Tree, inputs: Any) -> Float[Array, "n outputs"]:
        """Outputs at the inputs, in the precision of the parameters."""
        x = self._fitting(inputs, parameters)
        precision = _dtype(parameters)
        with in_precision(precision):
            return _by_rows(lambda part: _applied(self)(parameters, part), x.astype(precision), self.activations(x))

    def embedding(self, parameters: Tree, inputs: Any) -> Float64[Array, "n width"]:
        """Activations of the last hidden layer, computed in float64: features to freeze.

        The readout multiplies them by weights and 1/sqrt(width), so they are features without the factor 1/sqrt(k),
        as [loss_in_n][regimes.ridge] and its like take them.
        """
        x, now = self._fitting(inputs, parameters), self._now(parameters)
        with in_precision("float64"):
            now = _as_type(now, "float64")
            return _by_rows(lambda part: _hidden(self)(now[:-1], part), x, self.activations(x))

    def tangent_kernel(
        self, parameters: Tree, inputs: Any, others: Any = None, *, memory: float = 1e9
    ) -> Float64[Array, "n m"]:
        """Empirical NTK in float64: the mean over outputs of grad f(x).grad f(x'), over what is trained.

        Args:
            parameters: at which the gradients are taken.
            inputs: (n, ...) samples.
            others: (m, ...) samples; None for the symmetric matrix of `inputs` with itself.
            memory: bytes for the gradients held at once; blocks are made to fit.

        Raises:
            ValueError: bad inputs; memory for less than the gradients of two samples.
        """
        x = self._fitting(inputs, parameters)
        y = None if others is None else self.model.checked("others", others)
        if y is not None and y.shape[1:] != x.shape[1:]:
            raise ValueError(f"`others` must have samples of shape {x.shape[1:]} like `inputs`, got {y.shape[1:]}.")
        # The gradients of a block of rows and of columns, and a copy that contracting them makes.
        gradient = 8 * self.outputs * self.parameters(x)
        rows = int(_checks.number("memory", memory, low=0, strict=True) // (4 * gradient))
        if rows < 1:
            raise ValueError(
                f"`memory` of {memory:.3g} bytes holds no two gradients of {gradient:.3g} bytes; "
                f"allow {4 * gradient:.3g} or take a smaller width."
            )
        result = np.empty((len(x), len(x) if y is None else len(y)))
        with in_precision("float64"):
            parameters, block = _as_type(parameters, "float64"), _gradients(self)
            for r in _slices(len(x), rows):
                for c in _slices(result.shape[1], rows):
                    if y is None and c.start < r.start:
                        continue
                    result[r, c] = block(x[r], (x if y is None else y)[c], parameters)
                    if y is None:
                        result[c, r] = result[r, c].T
        return result

    def parameters(self, inputs: Any) -> int:
        """Number of parameters of a network that takes these inputs."""
        import jax

        shape = self.model.checked("inputs", inputs).shape[1:]
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(_shapes(self, shape)))

    def activations(self, inputs: Any) -> int:
        """Numbers that one sample makes on its way: the inputs, each layer before and after its activation, outputs."""
        shape = self.model.checked("inputs", inputs).shape[1:]
        height, width_ = shape[:2] if self.model.images else (1, 1)
        total = math.prod(shape) + self.outputs
        for layer in self.model.layers:
            if layer.name == "pool":
                height, width_ = height // 2, width_ // 2
            elif layer.name == "global_pool":
                height = width_ = 1
            total += height * width_ * self.width
        return total

    def memory(
        self, inputs: Any, *, rows: int | None = None, states: int = 0, precision: str = "float32", seeds: int = 1
    ) -> float:
        """Estimate of the bytes that training takes, data included, to within a factor of two.

        Parameters, their gradient and an update of both, and every activation of the samples in a gradient; networks
        that are expanded about their start keep the start and the tangents too.

        Args:
            inputs: the training samples.
            rows: samples in one gradient; all by default.
            states: further copies of the parameters that the optimiser keeps: 1 for momentum, 2 for adam.
            precision: float32 or float64.
            seeds: networks trained side by side.
        """
        x = self.model.checked("inputs", inputs)
        rows = len(x) if rows is None else _checks.count("rows", rows)
        size = np.dtype(_checks.choice("precision", precision, PRECISIONS)).itemsize
        expansion = 0 if self.order is None else self.order
        copies = 3 + states + expansion + (self.order is not None)
        per_seed = copies * self.parameters(x) + _BACKWARD * (1 + expansion) * rows * self.activations(x)
        return float(size * (x.size + seeds * per_seed))

    def _fitting(self, inputs: Any, parameters: Tree) -> Float64[Array, "n ..."]:
        """The inputs, if the parameters are of a network that takes them."""
        x = self.model.checked("inputs", inputs)
        if self.anchored and not isinstance(parameters, Parameters):
            raise ValueError("`parameters` must be networks.Parameters, present and start, for this network.")
        first = self._now(parameters)[0][0]
        if first.shape[-2] != x.shape[-1]:
            kind = "channels" if self.model.images else "numbers"
            raise ValueError(
                f"`inputs` must have samples of {first.shape[-2]} {kind}, as the parameters do; got {x.shape[-1]}."
            )
        return x

    def _now(self, parameters: Tree) -> Tree:
        return parameters.now if self.anchored else parameters


def network(
    model: kernels.Model,
    width: int,
    *,
    outputs: int = 1,
    parameterisation: str = "ntk",
    centred: bool = False,
) -> Network:
    """A network of finite width with the architecture of a kernel model.

    Args:
        model: the architecture; all its layers are trained if its kind is ntk, the readout alone if nngp.
        width: units (channels) in each hidden layer.
        outputs: numbers that the readout gives: 1 for regression, the number of classes for classification.
        parameterisation: ntk, with standard normal weights and weight_std/sqrt(fan-in) in the layer; or standard,
            with that factor in the random weights and bias_std in the random biases. Both are the same function at
            the start. They differ in training: a learning rate r of the standard one acts on a layer as
            r fan-in/weight_std^2 (r/bias_std^2 for biases) does in the other.
        centred: subtract the outputs at the start, f(x; theta) - f(x; theta_0): the network starts at zero, as the
            theory assumes, and no variance of the start is left at infinite width. The parameters are as random as
            before, in either parameterisation.

    Raises:
        ValueError: an impossible width or number of outputs, an unknown word; the step activation with all layers
            trained.
    """
    if not isinstance(model, kernels.Model):
        raise ValueError(
            "`model` must come from kernels.fully_connected or kernels.convolutional, "
            f"got {type(model).__name__}: only an architecture has a width."
        )
    return Network(
        model,
        _checks.count("width", width),
        _checks.count("outputs", outputs),
        _checks.choice("parameterisation", parameterisation, PARAMETERISATIONS),
        bool(centred),
    )


def taylor(network: Network, order: int) -> Network:
    """The network's Taylor series in its parameters about their start, to this order: 1 is the linearised network.

    It starts as the network of the same seed does and is trained alike.

    Raises:
        ValueError: an order outside 1 to 4; a network that is a series already.

    Source: Lee et al. 2019 (linearised); Bai and Lee 2020 (quadratic).
    """
    order = _checks.count("order", order, low=1, high=4)
    if network.order is not None:
        raise ValueError(f"`network` is expanded to order {network.order} already; pass the network itself.")
    return dataclasses.replace(network, order=order)


def linearised(network: Network) -> Network:
    """The network linearised about its start: training it is kernel regression with its own empirical NTK."""
    return taylor(network, 1)


@contextmanager
def in_precision(precision: str) -> Iterator[None]:
    """Run the enclosed JAX code in float32 or float64, the caller's flag untouched."""
    if precision == "float64":
        with _precision.float64():
            yield
        return
    import jax

    # JAX before 0.8 keeps it in jax.experimental.
    home: Any = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")
    with home.enable_x64(False):
        yield


def function(network: Network, *, centred: bool | None = None) -> Callable[[Tree, Tree, Any], Any]:
    """The network as JAX traces it: outputs from (parameters, parameters at the start or None, inputs).

    Args:
        network: the network.
        centred: False leaves out the subtraction of the outputs at the start.
    """
    centred = network.centred if centred is None else centred
    tangents, raw = _tangents.load(), _stax(network)[1]

    def plain(now: Tree, x: Any) -> Any:
        import jax

        if network.model.kind == "nngp":
            now = [*jax.lax.stop_gradient(now[:-1]), now[-1]]
        return raw(now, x)

    def apply(now: Tree, start: Tree, x: Any) -> Any:
        if network.order is None:
            values = plain(now, x)
        elif network.order == 1:
            values = tangents.linearize(plain, start)(now, x)
        else:
            values = tangents.taylor_expand(plain, start, network.order)(now, x)
        return values - plain(start, x) if centred else values

    return apply


def draw(network: Network, shape: tuple[int, ...], seed: int, precision: str) -> Tree:
    """Random parameters of a network for samples of this shape.

    NumPy draws them, layer by layer, in the distribution of neural-tangents: the same on every device and with every
    version of JAX, and nothing has to be compiled for a width.
    """
    rng, tree = np.random.default_rng(seed), list[Any]()
    layers = [*network.model.layers, network.model.readout]
    for layer, leaves in zip(layers, _shapes(network, shape), strict=True):
        if not leaves:  # an activation
            tree.append(())
            continue
        weights, bias = (None if leaf is None else rng.standard_normal(leaf.shape) for leaf in leaves)
        assert weights is not None
        if network.parameterisation == "standard":
            weights *= layer.weight_std / math.sqrt(math.prod(weights.shape[:-1]))
            bias = None if bias is None else layer.bias_std * bias
        tree.append((weights.astype(precision), None if bias is None else bias.astype(precision)))
    return tree


def _stax(network: Network, hidden: bool = False) -> tuple[Any, Any, Any]:
    """init, apply and kernel functions of the whole network or of its hidden layers."""
    stax = _tangents.load().stax
    style = network.parameterisation

    def scales(layer: kernels.Layer) -> dict[str, Any]:
        return {"W_std": layer.weight_std, "b_std": layer.bias_std or None, "parameterization": style}

    make: dict[str, Callable[[kernels.Layer], Any]] = {
        "dense": lambda layer: stax.Dense(network.width, **scales(layer)),
        "convolution": lambda layer: stax.Conv(network.width, (3, 3), padding="SAME", **scales(layer)),
        "pool": lambda _: stax.AvgPool((2, 2), strides=(2, 2)),
        "global_pool": lambda _: stax.GlobalAvgPool(),
        "relu": lambda _: stax.Relu(),
        "erf": lambda _: stax.Erf(),
        "gelu": lambda _: stax.Gelu(),
        "step": lambda _: kernels._step(stax),
    }
    layers = [make[layer.name](layer) for layer in network.model.layers]
    if not hidden:
        layers.append(stax.Dense(network.outputs, **scales(network.model.readout)))
    return stax.serial(*layers)


@functools.lru_cache(maxsize=32)
def _shapes(network: Network, shape: tuple[int, ...]) -> Tree:
    import jax

    with in_precision("float32"):
        return jax.eval_shape(lambda key: _stax(network)[0](key, (1, *shape))[1], jax.random.key(0))


@functools.lru_cache(maxsize=32)
def _applied(network: Network) -> Callable[[Tree, Any], Any]:
    import jax

    apply = function(network)
    return jax.jit(lambda parameters, x: apply(*_parts(network, parameters), x))


@functools.lru_cache(maxsize=32)
def _hidden(network: Network) -> Callable[[Tree, Any], Any]:
    import jax

    return jax.jit(_stax(network, hidden=True)[1])


@functools.lru_cache(maxsize=32)
def _gradients(network: Network) -> Callable[[Any, Any, Tree], Any]:
    """One block of the empirical NTK."""
    import jax

    tangents, apply = _tangents.load(), function(network, centred=False)

    def block(x: Any, y: Any, parameters: Tree) -> Any:
        now, start = _parts(network, parameters)
        ntk = tangents.empirical_ntk_fn(
            lambda theta, inputs: apply(theta, start, inputs),
            vmap_axes=0,  # samples are independent of one another
            implementation=tangents.NtkImplementation.JACOBIAN_CONTRACTION,
        )
        return ntk(x, y, now)

    return jax.jit(block)


def _parts(network: Network, parameters: Tree) -> tuple[Tree, Tree]:
    return (parameters.now, parameters.start) if network.anchored else (parameters, None)


def _dtype(parameters: Tree) -> str:
    import jax

    return str(np.dtype(jax.tree.leaves(parameters)[0].dtype))


def _as_type(parameters: Tree, precision: str) -> Tree:
    import jax

    return jax.tree.map(lambda leaf: np.asarray(leaf, dtype=precision), parameters)


def _by_rows(function: Callable[[Any], Any], x: Array, activations: int) -> Array:
    step = max(1, _ENTRIES // activations)
    return np.concatenate([np.asarray(function(x[part])) for part in _slices(len(x), step)])


def _slices(size: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]
