"""Print, as JSON, numbers from neural-tangents: what `test_tangents.py` compares with `golden/tangents.json`.

    python -W error tests/tangents_numbers.py                                       opened by regimes._tangents.load()
    python tests/tangents_numbers.py --as-published > tests/golden/tangents.json    opened without it

The golden file was made by the second command with neural-tangents 0.6.5 as published on JAX 0.5.3, SciPy 1.13.1
and NumPy 2.2.6: there nothing of neural-tangents or JAX needs to be patched, and no line of regimes takes part. The
only liberty taken is an empty module in the place of `neural_tangents.experimental`, which would import TensorFlow.
(SciPy 1.14 and later have dropped an argument that `max_learning_rate` passes.)

Parameters of finite networks are drawn by JAX, and are themselves among the numbers: a JAX that draws others is seen
as such.
"""

import importlib
import json
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Numbers = Iterator[tuple[str, Any]]
"""Names, and the arrays that go with them."""

KERNELS = ("nngp", "ntk")


def as_published() -> Any:
    """Import neural-tangents with nothing patched, less the sub-package that imports TensorFlow."""
    name = "neural_tangents.experimental"
    sys.modules[name] = types.ModuleType(name)
    return importlib.import_module("neural_tangents")


def opened() -> Any:
    """Import neural-tangents the way regimes does."""
    from regimes import _tangents

    return _tangents.load()


def points(seed: int, *shape: int) -> jax.Array:
    """Normal numbers that depend on NumPy alone."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def drawn(init_fn: Any, seed: int, shape: tuple[int, ...]) -> Any:
    """Parameters of a finite network."""
    return jax.jit(lambda key: init_fn(key, shape)[1])(jax.random.PRNGKey(seed))


def dense(nt: Any, activation: str, depth: int, width: int = 6, outputs: int = 1) -> Any:
    """A fully connected network with biases: its (init_fn, apply_fn, kernel_fn)."""
    stax = nt.stax
    hidden = [layer for _ in range(depth) for layer in (stax.Dense(width, 1.4, 0.3), getattr(stax, activation)())]
    return stax.serial(*hidden, stax.Dense(outputs, 1.2, 0.2))


def analytic(nt: Any) -> Numbers:
    """Infinite-width kernels of fully connected networks, of two sets of points and of one with itself."""
    train, test = points(0, 5, 3), points(1, 3, 3)
    for activation in ("Relu", "Erf", "Gelu", "Sign"):
        for depth in (1, 2, 3):
            kernel_fn = dense(nt, activation, depth)[2]
            cross, square = kernel_fn(test, train, KERNELS), kernel_fn(train, None, KERNELS)
            for get in KERNELS:
                yield f"analytic/{activation}/{depth}/{get}/cross", getattr(cross, get)
                yield f"analytic/{activation}/{depth}/{get}/square", getattr(square, get)


def batched(nt: Any) -> Numbers:
    """The same kernels computed block by block, kept on the device or taken off it, or in parallel."""
    x, other = points(0, 6, 3), points(1, 4, 3)
    kernel_fn = dense(nt, "Relu", 2)[2]
    for name, options in (
        ("device", {"batch_size": 2, "device_count": 0}),
        ("host", {"batch_size": 2, "device_count": 0, "store_on_device": False}),
        ("parallel", {"batch_size": 2, "device_count": 1}),
    ):
        kernels = nt.batch(kernel_fn, **options)(x, other, KERNELS)
        yield f"batch/{name}/nngp", kernels.nngp
        yield f"batch/{name}/ntk", kernels.ntk
    yield "batch/ntk/square", nt.batch(kernel_fn, batch_size=3, device_count=0)(x, None, "ntk")


def finite(nt: Any) -> Numbers:
    """Kernels, linearization and Taylor expansion of one finite network, most of them compiled, to save time."""
    x, other = points(0, 4, 3), points(1, 2, 3)
    init_fn, apply_fn, _ = dense(nt, "Erf", 2, width=5, outputs=2)
    params = drawn(init_fn, 0, x.shape)
    for number, leaf in enumerate(jax.tree_util.tree_leaves(params)):
        yield f"finite/params/{number}", leaf
    yield "finite/outputs", apply_fn(params, x)
    yield "finite/nngp", jax.jit(nt.empirical_nngp_fn(apply_fn))(other, x, params)
    for implementation in (1, 2):
        for name, axes in (("traced", (-1,)), ("full", ())):
            kernel_fn = jax.jit(nt.empirical_ntk_fn(apply_fn, trace_axes=axes, implementation=implementation))
            yield f"finite/ntk/{implementation}/{name}/cross", kernel_fn(other, x, params)
            yield f"finite/ntk/{implementation}/{name}/square", kernel_fn(x, None, params)
    yield "finite/ntk/2/not_compiled", nt.empirical_ntk_fn(apply_fn, implementation=2)(other, x, params)
    yield "finite/ntk/1/vmap", jax.jit(nt.empirical_ntk_fn(apply_fn, vmap_axes=0))(other, x, params)
    both = jax.jit(lambda a, b: tuple(nt.empirical_kernel_fn(apply_fn)(a, b, KERNELS, params)))(other, x)
    yield "finite/both/nngp", both[0]
    yield "finite/both/ntk", both[1]
    yield "finite/ntk/product", jax.jit(nt.empirical_ntk_vp_fn(apply_fn, other, x, params))(points(2, 4, 2))

    moved = jax.tree_util.tree_map(lambda leaf: leaf + 0.1 * points(3, *leaf.shape), params)
    yield "finite/linearize", jax.jit(nt.linearize(apply_fn, params))(moved, x)
    yield "finite/taylor", jax.jit(nt.taylor_expand(apply_fn, params, 2))(moved, x)


def sampled(nt: Any) -> Numbers:
    """Kernels averaged over a few networks drawn from one key."""
    x, other = points(0, 4, 3), points(1, 2, 3)
    init_fn, apply_fn, _ = dense(nt, "Relu", 1, width=16)
    key = jax.random.PRNGKey(1)
    whole = nt.monte_carlo_kernel_fn(init_fn, apply_fn, key, 3)(other, x, KERNELS)
    blocks = nt.monte_carlo_kernel_fn(init_fn, apply_fn, key, 3, batch_size=2, device_count=0)(other, x, KERNELS)
    for get in KERNELS:
        yield f"monte_carlo/whole/{get}", getattr(whole, get)
        yield f"monte_carlo/blocks/{get}", getattr(blocks, get)
    growing = nt.monte_carlo_kernel_fn(init_fn, apply_fn, key, (1, 2))(other, x, "ntk")
    for count, estimate in zip((1, 2), growing, strict=True):
        yield f"monte_carlo/growing/{count}", estimate


def convolutional(nt: Any) -> Numbers:
    """Infinite-width kernels of convolutions with local, global and no pooling, and one finite network."""
    stax = nt.stax
    x, other = points(0, 3, 4, 4, 2), points(1, 2, 4, 4, 2)

    def layers(padding: str) -> list[Any]:
        return [stax.Conv(4, (3, 3), padding=padding, W_std=1.3, b_std=0.2), stax.Relu()]

    networks = {
        "flatten": [*layers("SAME"), stax.Flatten()],
        "avg_pool": [*layers("SAME"), stax.AvgPool((2, 2), (2, 2)), *layers("SAME"), stax.Flatten()],
        "global_avg_pool": [*layers("SAME"), *layers("CIRCULAR"), stax.GlobalAvgPool()],
        "both_pools": [*layers("SAME"), stax.AvgPool((2, 2), (2, 2)), stax.GlobalAvgPool()],
    }
    for name, network in networks.items():
        init_fn, apply_fn, kernel_fn = stax.serial(*network, stax.Dense(1, 1.1, 0.1))
        # Compiled as a whole: one by one, the many small operations take far longer.
        cross = jax.jit(lambda a, b, fn=kernel_fn: tuple(fn(a, b, KERNELS)))(other, x)
        square = jax.jit(lambda a, fn=kernel_fn: tuple(fn(a, None, KERNELS)))(x)
        for position, get in enumerate(KERNELS):
            yield f"convolution/{name}/{get}/cross", cross[position]
            yield f"convolution/{name}/{get}/square", square[position]
        if name == "both_pools":
            params = drawn(init_fn, 2, x.shape)
            yield "convolution/finite/outputs", jax.jit(apply_fn)(params, x)
            yield "convolution/finite/ntk", jax.jit(nt.empirical_ntk_fn(apply_fn))(other, x, params)


def predictions(nt: Any) -> Numbers:
    """Means and covariances of trained infinite networks, and what gradient descent needs to know."""
    predict = nt.predict
    x, y, other = points(0, 6, 3), points(4, 6, 2), points(1, 3, 3)
    # Not Relu: the error of its NTK at coinciding points, about 1e-9, would be seen in every prediction.
    kernel_fn = dense(nt, "Erf", 2)[2]
    # A ridge keeps the condition number, and with it the error of solving, small.
    ensemble = predict.gradient_descent_mse_ensemble(kernel_fn, x, y, learning_rate=0.5, diag_reg=0.1)
    for name, time in (("finite", 3.0), ("times", np.array([0.5, 20.0])), ("infinite", None)):
        result = ensemble(t=time, x_test=other, get=KERNELS, compute_cov=True)
        for get in KERNELS:
            yield f"ensemble/{name}/{get}/mean", getattr(result, get).mean
            yield f"ensemble/{name}/{get}/covariance", getattr(result, get).covariance
    yield "ensemble/train/ntk", ensemble(t=3.0, x_test=None, get="ntk")

    train, cross, test = kernel_fn(x, None, KERNELS), kernel_fn(other, x, KERNELS), kernel_fn(other, None, KERNELS)
    start, start_other = points(5, 6, 2), points(6, 3, 2)
    descent = predict.gradient_descent_mse(train.ntk, y, learning_rate=0.5, diag_reg=0.1)
    for name, time in (("finite", 3.0), ("infinite", None)):
        fitted, predicted = descent(time, start, start_other, cross.ntk)
        yield f"descent/{name}/train", fitted
        yield f"descent/{name}/test", predicted
    posterior = predict.gp_inference(train, y, diag_reg=0.1)(get=KERNELS, k_test_train=cross, k_test_test=test)
    for get in KERNELS:
        yield f"posterior/{get}/mean", getattr(posterior, get).mean
        yield f"posterior/{get}/covariance", getattr(posterior, get).covariance
    flow = predict.gradient_descent(lambda fx, y: 0.5 * jnp.mean((fx - y) ** 2), train.ntk, y, learning_rate=0.5)
    yield "flow/train", flow(3.0, start)
    yield "max_learning_rate/plain", predict.max_learning_rate(train.ntk)
    yield "max_learning_rate/momentum", predict.max_learning_rate(train.ntk, y_train_size=12, momentum=0.9)


def numbers(nt: Any) -> dict[str, Any]:
    """All of them, as nested lists of Python floats."""
    parts: tuple[Callable[[Any], Numbers], ...] = (
        analytic,
        batched,
        finite,
        sampled,
        convolutional,
        predictions,
    )
    out: dict[str, Any] = {}
    for part in parts:
        for name, value in part(nt):
            array = np.asarray(value)
            assert array.dtype == np.float64, f"{name} is {array.dtype}"
            assert np.isfinite(array).all(), name
            assert name not in out, name
            out[name] = array.tolist()
    return out


def main() -> None:
    """Print one line per name, so that a changed golden file can be read."""
    jax.config.update("jax_enable_x64", True)
    nt = as_published() if "--as-published" in sys.argv[1:] else opened()
    lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in numbers(nt).items())
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
