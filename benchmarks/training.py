"""Claim: many seeds and widths are trained no slower than by a Python loop over steps, to the same losses.

Seeds x widths of a fully connected network on full-batch gradient descent: `training.train` against a loop in the
style of neural-tangents' own examples of finite networks (`stax` init and apply functions, `jax.grad`, one jitted step
called from Python, one seed at a time). Both start from the same parameters and take the same steps in float32; the
final training losses must agree to rounding, or the script fails. Compilation is part of both; a small width is trained
before the clock starts, so that loading libraries is part of neither. CPU seconds are those of the process.

Run with `uv run python benchmarks/training.py [--quick]`; the whole takes a few minutes on a CPU. On a GPU the seeds
are trained side by side.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from regimes import _tangents, kernels, networks, training

RATE = 0.2


def looped(width: int, seeds: int, x: np.ndarray, y: np.ndarray, steps: int) -> np.ndarray:
    """Final training losses of some seeds, as neural-tangents' example trains one; compiled once for all of them."""
    stax = _tangents.load().stax
    std = float(np.sqrt(2))
    _, apply, _ = stax.serial(
        stax.Dense(width, W_std=std), stax.Relu(), stax.Dense(width, W_std=std), stax.Relu(), stax.Dense(1, W_std=std)
    )
    gradient = jax.grad(lambda theta, x, y: 0.5 * jnp.mean((apply(theta, x) - y) ** 2))

    @jax.jit
    def step(theta, x, y):
        return jax.tree.map(lambda value, slope: value - RATE * slope, theta, gradient(theta, x, y))

    same = networks.network(kernels.fully_connected(2), width)  # the same start as ours: rounding is all that differs
    losses = []
    for seed in range(seeds):
        parameters = jax.tree.map(jnp.asarray, same.init(seed, x))
        for _ in range(steps):
            parameters = step(parameters, x, y)
        losses.append(float(jnp.mean((apply(parameters, x) - y) ** 2)))
    return np.array(losses)


def main(quick: bool) -> None:
    widths, seeds, steps, n = ((32, 64), 4, 200, 32) if quick else ((32, 64, 128, 256, 512), 20, 1000, 100)
    rng = np.random.default_rng(0)
    x, x_test = (rng.standard_normal((size, 10)).astype(np.float32) for size in (n, 200))
    y, y_test = np.tanh(x[:, :1]), np.tanh(x_test[:, :1])
    print(f"{jax.devices()}, JAX {jax.__version__}; {seeds} seeds, n = {n}, {steps} steps of gradient descent")
    training.train(networks.network(kernels.fully_connected(2), 8), x, y, test=(x_test, y_test), steps=1)
    looped(8, 1, x, y, 1)
    total = np.zeros((2, 2))
    for width in widths:
        start = clocks()
        network = networks.network(kernels.fully_connected(2), width)
        found = training.train(network, x, y, test=(x_test, y_test), rate=RATE, steps=steps, seeds=seeds, record=1)
        ours, start = clocks() - start, clocks()
        losses = looped(width, seeds, x, y, steps)
        theirs = clocks() - start
        apart = np.max(np.abs(found.train_loss[:, -1] / losses - 1))
        assert apart < 1e-2, f"the losses differ by {apart:.1e}"
        total += ours, theirs
        print(f"width {width}: {compared(ours, theirs)}; same losses to {apart:.0e}")
    print(f"in all: {compared(*total)}")
    assert total[0, 1] < 1.1 * total[1, 1], "ours takes more CPU time than the loop"


def clocks() -> np.ndarray:
    """Wall and CPU seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def compared(ours: np.ndarray, theirs: np.ndarray) -> str:
    return (
        f"ours {ours[0]:.2f} s (CPU {ours[1]:.2f} s), loop {theirs[0]:.2f} s (CPU {theirs[1]:.2f} s), "
        f"ratio {theirs[0] / ours[0]:.1f} (CPU {theirs[1] / ours[1]:.1f})"
    )


if __name__ == "__main__":
    main("--quick" in sys.argv)
