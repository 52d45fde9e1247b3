"""Neural-network kernels and their random features, built with neural-tangents.

A `Model` is a network architecture with random weights. At infinite width it is a kernel: the NNGP kernel
(covariance of the outputs) or the NTK (inner product of the output gradients). At finite width it gives random
features whose Gram matrix tends to that kernel. Any other callable that returns a Gram matrix serves as a
kernel too; only features need a `Model`.
"""

import dataclasses
import functools
import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from regimes import _checks, _tangents
from regimes._precision import float64

Array = np.ndarray
Progress = Callable[[int, int], None]
"""Called with (blocks done, blocks in all) after each block."""

ACTIVATIONS = ("relu", "erf", "gelu", "step")
BLOCK = 2048
"""Rows beyond which a Gram matrix is computed block by block."""
_ENTRIES = 4_000_000
"""Activations held at once while features are computed: 32 MB."""


class Layer(NamedTuple):
    """One layer of an architecture, by name, with the scales of its weights and biases."""

    name: str
    """dense, convolution, pool, global_pool, or an activation."""
    weight_std: float = 0.0
    """Standard deviation of a weight times the square root of the fan-in."""
    bias_std: float = 0.0
    """Standard deviation of a bias."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A random network as a kernel and as a source of random features.

    Call it for the infinite-width Gram matrix; ask `features` for the finite-width ones.
    """

    kind: str
    """nngp or ntk."""
    layers: tuple[Layer, ...]
    """The architecture, from the inputs to the last hidden layer; a dense readout follows."""
    readout: Layer
    """Scales of the readout."""
    images: bool
    """Whether inputs are images (samples, height, width, channels) or are flattened to vectors."""

    def __str__(self) -> str:
        depth = sum(layer.name in ("dense", "convolution") for layer in self.layers)
        activation = next(layer.name for layer in self.layers if layer.name in ACTIVATIONS)
        shape = "convolutional" if self.images else "fully connected"
        return f"{self.kind.upper()} of a {shape} {activation} network with {depth} hidden layer{'s' * (depth > 1)}"

    def __call__(
        self, inputs: Any, others: Any = None, *, block: int = BLOCK, progress: Progress | None = None
    ) -> Float64[Array, "n m"]:
        """Infinite-width Gram matrix in float64.

        Args:
            inputs: (n, ...) samples.
            others: (m, ...) samples; None for the symmetric Gram matrix of `inputs` with itself.
            block: rows above which it is computed in blocks of this size.
            progress: called with (blocks done, blocks in all); by default a bar appears in a terminal when
                there are more than ten blocks.

        Raises:
            ValueError: NaN, inputs of the wrong shape, all-zero inputs to a network without biases.
        """
        block = _checks.count("block", block)
        x = self.checked("inputs", inputs)
        y = None if others is None else self.checked("others", others)
        if self.images:  # pooling needs the covariance of all pairs of pixels
            block = min(block, max(8, math.isqrt(_ENTRIES) // math.prod(x.shape[1:3])))
        if y is not None and y.shape[1:] != x.shape[1:]:
            raise ValueError(f"`others` must have samples of shape {x.shape[1:]} like `inputs`, got {y.shape[1:]}.")
        rows = _slices(len(x), block)
        columns = rows if y is None else _slices(len(y), block)
        pairs = [(r, c) for i, r in enumerate(rows) for j, c in enumerate(columns) if y is not None or i <= j]
        result = np.empty((len(x), len(x) if y is None else len(y)))
        with float64(), _shown(progress, len(pairs), "Gram matrix") as advance:
            kernel = _kernel(self)
            for done, (r, c) in enumerate(pairs):
                if y is None and r is c:
                    result[r, c] = kernel(x[r], None)  # equal inputs, known to be equal
                else:
                    result[r, c] = kernel(x[r], (x if y is None else y)[c])
                    if y is None:
                        result[c, r] = result[r, c].T
                advance(done + 1, len(pairs))
        return result

    def features(
        self, inputs: Any, k: int, seed: int, *, width: int = 64, progress: Progress | None = None
    ) -> Float64[Array, "n k"]:
        """K independent random features: the mean square error of phi(x).phi(x')/k falls as 1/k.

        Feature j belongs to a network of its own with random parameters theta_j and `width` units (channels) in
        each hidden layer. For the NNGP kernel it is the output f(x; theta_j); for the NTK it is the derivative of
        the output along a random direction u_j, grad f(x; theta_j).u_j with u_j standard normal. So features are
        independent and identically distributed, the first k of 2k are the k features, and E phi_j(x) phi_j(x')
        is the mean of the network's empirical kernel: exactly the infinite-width kernel for one hidden layer
        without pooling, and within O(1/width) of it for deeper ones. The wider, the closer the features are to
        Gaussian processes, as the theory assumes.

        Args:
            inputs: (n, ...) samples.
            k: number of features.
            seed: seed; different seeds give independent features.
            width: units in each hidden layer of the sampled networks.
            progress: called with (blocks done, blocks in all).

        Raises:
            ValueError: k, width or seed not whole numbers in range; bad inputs.
        """
        x = self.checked("inputs", inputs)
        k, width = _checks.count("k", k), _checks.count("width", width)
        seed = _checks.count("seed", seed, low=0)
        import jax

        positions = math.prod(x.shape[1:3]) if self.images else 1
        rows = _slices(len(x), max(1, _ENTRIES // (positions * width)))
        # One network at a time for images: a convolution batched over its weights compiles and runs slowly on CPUs.
        most = 1 if self.images else max(1, _ENTRIES // (rows[0].stop * width))
        columns = _slices(k, math.ceil(k / math.ceil(k / 512)))
        # Columns and batches of one size each, a few features computed in vain: compiling takes longest.
        batches = math.ceil(columns[0].stop / most)
        together = math.ceil(columns[0].stop / batches)
        result = np.empty((len(x), k))
        with float64(), _shown(progress, len(rows) * len(columns), "features") as advance:
            sample = _sampler(self, width, x.shape[1:], together)
            for done, (c, r) in enumerate((c, r) for c in columns for r in rows):
                drawn = sample(jax.random.key(seed), np.arange(c.start, c.start + batches * together), x[r])
                result[r, c] = np.asarray(drawn)[: min(c.stop, k) - c.start].T
                advance(done + 1, len(rows) * len(columns))
        return result

    def checked(self, name: str, inputs: Any) -> Float64[Array, "n ..."]:
        """The inputs as this model takes them: images as they are, anything else flattened to vectors.

        Raises:
            ValueError: NaN, inputs of the wrong shape, all-zero inputs to a network without biases.
        """
        x = _checks.finite_array(name, inputs)
        if self.images and x.ndim != 4:
            raise ValueError(
                f"`{name}` must be images of shape (samples, height, width, channels) for a convolutional model, "
                f"got shape {x.shape}."
            )
        if x.ndim < 2:
            raise ValueError(f"`{name}` must have shape (samples, ...), got {x.shape}.")
        if self.images:
            pools = sum(layer.name == "pool" for layer in self.layers)
            if min(x.shape[1:3]) < 2**pools:
                raise ValueError(f"`{name}` must be images of at least {2**pools} pixels a side, got {x.shape[1:3]}.")
        else:
            x = x.reshape(len(x), -1)
        biased = any(layer.bias_std > 0 for layer in self.layers)
        if not biased and not np.all(np.any(x.reshape(len(x), -1) != 0, axis=1)):
            raise ValueError(f"`{name}` holds samples that are all zero; remove them or set `bias_std`.")
        return x


def fully_connected(
    depth: int = 2,
    *,
    kind: str = "ntk",
    activation: str = "relu",
    weight_std: float = math.sqrt(2),
    bias_std: float = 0.0,
) -> Model:
    """A fully connected network; inputs are flattened and divided by the square root of their number.

    Args:
        depth: number of hidden layers.
        kind: nngp or ntk.
        activation: relu, erf, gelu or step (the Heaviside function, whose kernel is arc-cosine of degree 0).
        weight_std: weights are normal with this standard deviation over the square root of the fan-in;
            sqrt(2) keeps K(x, x) for relu.
        bias_std: standard deviation of the biases.

    Raises:
        ValueError: an unknown word, depth < 1, a scale that is not positive; the NTK of step, which is infinite.

    Source: Cho and Saul 2009; Jacot et al. 2018; Lee et al. 2018.
    """
    layers: list[Layer] = []
    for _ in range(_checks.count("depth", depth)):
        layers += [Layer("dense", weight_std, bias_std), Layer(activation)]
    return _model(kind, activation, layers, weight_std, bias_std, images=False)


def convolutional(
    blocks: tuple[int, ...] = (1, 1),
    *,
    kind: str = "ntk",
    activation: str = "relu",
    weight_std: float = math.sqrt(2),
    bias_std: float = 0.0,
) -> Model:
    """A Myrtle-style network: 3x3 convolutions in blocks, 2x2 average pooling between them, global pooling last.

    Args:
        blocks: convolutions in each block; (2, 1, 1) is Myrtle-5, (3, 3, 3) Myrtle-10.
        kind: nngp or ntk.
        activation: as for [fully_connected][regimes.kernels.fully_connected].
        weight_std: as there.
        bias_std: as there.

    Raises:
        ValueError: no block, a block without convolution, and as for `fully_connected`.

    Cost: pooling needs the covariance of every pair of pixels, samples^2 (height width)^2 numbers.

    Source: Shankar et al. 2020 (Myrtle kernels).
    """
    if not blocks:
        raise ValueError("`blocks` must name at least one block of convolutions.")
    layers: list[Layer] = []
    for index, convolutions in enumerate(blocks):
        layers += [Layer("pool")] if index else []
        for _ in range(_checks.count("blocks", convolutions)):
            layers += [Layer("convolution", weight_std, bias_std), Layer(activation)]
    layers.append(Layer("global_pool"))
    return _model(kind, activation, layers, weight_std, bias_std, images=True)


def _model(kind: str, activation: str, layers: list[Layer], weight_std: float, bias_std: float, images: bool) -> Model:
    _checks.choice("kind", kind, ("nngp", "ntk"))
    _checks.choice("activation", activation, ACTIVATIONS)
    _checks.number("weight_std", weight_std, low=0, strict=True)
    _checks.number("bias_std", bias_std, low=0)
    if activation == "step" and kind == "ntk":
        raise ValueError("`activation` step has no NTK: its derivative is not square integrable; use kind='nngp'.")
    return Model(kind, tuple(layers), Layer("dense", weight_std, bias_std), images)


def _network(model: Model, width: int) -> tuple[Any, Any, Any]:
    """init, apply and kernel functions of the network with `width` units in each hidden layer."""
    stax = _tangents.load().stax
    make: dict[str, Callable[[Layer], Any]] = {
        "dense": lambda layer: stax.Dense(width, W_std=layer.weight_std, b_std=layer.bias_std or None),
        "convolution": lambda layer: stax.Conv(
            width, (3, 3), padding="SAME", W_std=layer.weight_std, b_std=layer.bias_std or None
        ),
        "pool": lambda _: stax.AvgPool((2, 2), strides=(2, 2)),
        "global_pool": lambda _: stax.GlobalAvgPool(),
        "relu": lambda _: stax.Relu(),
        "erf": lambda _: stax.Erf(),
        "gelu": lambda _: stax.Gelu(),
        "step": lambda _: _step(stax),
    }
    readout = stax.Dense(1, W_std=model.readout.weight_std, b_std=model.readout.bias_std or None)
    return stax.serial(*(make[layer.name](layer) for layer in model.layers), readout)


def _step(stax: Any) -> Any:
    """The Heaviside step: E[s(u) s(v)] = 1/4 + arcsin(correlation)/(2 pi)."""
    import jax.numpy as jnp

    def covariance(cov: Any, var1: Any, var2: Any) -> Any:
        correlation = cov / jnp.sqrt(var1 * var2)
        # Rounding below 1 grows like its square root in each layer: equal inputs must stay equal.
        correlation = jnp.where(jnp.abs(correlation) > 1 - 1e-14, jnp.sign(correlation), correlation)
        return 0.25 + jnp.arcsin(correlation) / (2 * jnp.pi)

    return stax.Elementwise(
        lambda x: jnp.where(x > 0, 1.0, 0.0), covariance, lambda cov, var1, var2: jnp.zeros_like(cov)
    )


@functools.lru_cache(maxsize=16)
def _kernel(model: Model) -> Callable[..., Any]:
    """The compiled infinite-width kernel."""
    import jax

    function = _network(model, 1)[2]
    symmetric = jax.jit(lambda x: function(x, None, model.kind))
    # XLA's fused loops over the covariances of all pairs of pixels crash on some CPUs (jaxlib 0.10.2, AVX-512).
    options = {"xla_disable_hlo_passes": "fusion"} if model.images else None
    general = jax.jit(lambda x, y: function(x, y, model.kind), compiler_options=options)
    return lambda x, y: symmetric(x) if y is None else general(x, y)


@functools.lru_cache(maxsize=64)
def _sampler(model: Model, width: int, shape: tuple[int, ...], together: int) -> Callable[..., Any]:
    """The compiled map from (key, feature numbers, samples) to features, `together` of them at a time."""
    import jax

    init, apply, _ = _network(model, width)

    def feature(key: Any, x: Any) -> Any:
        key_parameters, key_direction = jax.random.split(key)
        _, parameters = init(key_parameters, (1, *shape))
        if model.kind == "nngp":
            return apply(parameters, x)[:, 0]
        leaves, tree = jax.tree.flatten(parameters)
        keys = jax.random.split(key_direction, len(leaves))
        direction = jax.tree.unflatten(
            tree, [jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
        )
        return jax.jvp(lambda theta: apply(theta, x)[:, 0], (parameters,), (direction,))[1]

    @jax.jit
    def sample(key: Any, numbers: Any, x: Any) -> Any:
        return jax.lax.map(lambda j: feature(jax.random.fold_in(key, j), x), numbers, batch_size=together)

    return sample


def _slices(size: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


class _shown:
    """A progress bar in a terminal for long work, or the caller's own callback."""

    def __init__(self, progress: Progress | None, total: int, label: str) -> None:
        self.progress, self.label = progress, label
        self.bar: Any = None
        self.wanted = progress is None and total > 10 and sys.stderr.isatty()
        self.total = total

    def __enter__(self) -> Progress:
        if not self.wanted:
            return self.progress or (lambda done, total: None)
        from rich.console import Console
        from rich.progress import Progress as Bar

        self.bar = Bar(console=Console(stderr=True), transient=True)
        self.bar.start()
        task = self.bar.add_task(self.label, total=self.total)
        return lambda done, total: self.bar.update(task, completed=done)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
