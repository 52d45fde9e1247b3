"""Claim: one exact learning curve costs one Cholesky factor, where refitting pays for every size again.

On one Gram matrix of N samples, the test loss of kernel ridge regression at 300 equally spaced and at 30 log-spaced
sizes: `ridge.loss_in_n` (which gives every n from 1 to N) against refitting scikit-learn's KernelRidge and
neural-tangents' `predict.gradient_descent_mse` at each size. The arithmetic limits of the ratios are 75 and 2.6.
The losses must agree to 1e-8, or the script fails.

Run with `uv run python benchmarks/learning_curve.py [N]`; N is 4,000 by default and takes ten minutes, most of them in
neural-tangents, which compiles for every new size.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import lapack
from sklearn.kernel_ridge import KernelRidge

from regimes import _tangents, kernels, ridge, tasks
from regimes._precision import float64


def fastest(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Least wall time of some repetitions, and the result."""
    times, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def main(size: int) -> None:
    tests = size // 4
    task = tasks.sphere(size + tests, 9, seed=0)
    gram = kernels.fully_connected(2)(task.x)
    train, cross = np.ascontiguousarray(gram[:size, :size]), np.ascontiguousarray(gram[:size, size:])
    targets = np.random.default_rng(0).standard_normal((size + tests, 1))
    y, y_test = targets[:size], targets[size:]
    regulariser = 1e-2

    def sklearn_at(n: int) -> float:
        model = KernelRidge(alpha=regulariser, kernel="precomputed").fit(train[:n, :n], y[:n])
        return float(np.mean((y_test - model.predict(cross[:n].T)) ** 2))

    tangents = _tangents.load()

    def tangents_at(n: int) -> float:
        # diag_reg is added as a share of the mean of the diagonal.
        share = regulariser / float(np.trace(train[:n, :n]) / n)
        predict = tangents.predict.gradient_descent_mse(train[:n, :n], y[:n], diag_reg=share)
        _, mean = predict(None, np.zeros((n, 1)), np.zeros((tests, 1)), cross[:n].T)
        return float(np.mean((y_test - np.asarray(mean)) ** 2))

    def lapack_only() -> None:
        factor, _ = lapack.dpotrf(np.asfortranarray(train + regulariser * np.eye(size)), lower=1, overwrite_a=1)
        lapack.dtrtrs(factor, np.asfortranarray(np.column_stack([cross, y])), lower=1)

    floor, _ = fastest(lapack_only, 3)
    ours, losses = fastest(lambda: ridge.loss_in_n(train, cross, y, y_test, ridge=regulariser), 3)
    print(f"N = {size}, {tests} test samples; every n from 1 to N in {ours:.2f} s")
    assert ours < 1.5 * floor, f"ours takes {ours / floor:.2f} times one factor and one solve"
    print(f"one LAPACK Cholesky and one triangular solve: {floor:.2f} s; ours takes {ours / floor:.2f} times that")

    grids = {
        "300 equally spaced": np.unique(np.linspace(size / 300, size, 300).astype(int)),
        "30 log-spaced": np.unique(np.geomspace(32, size, 30).astype(int)),
    }
    least = {"300 equally spaced": 50, "30 log-spaced": 2.5}
    for label, sizes in grids.items():
        took, _ = fastest(lambda at=sizes: ridge.loss_in_n(train, cross, y, y_test, ridge=regulariser, at=at), 3)
        for peer, refit in (("scikit-learn KernelRidge", sklearn_at), ("neural-tangents predict", tangents_at)):
            with float64():
                start = time.perf_counter()
                refits = np.array([refit(int(n)) for n in sizes])
                seconds = time.perf_counter() - start
            apart = float(np.max(np.abs(refits / losses[sizes - 1] - 1)))
            assert apart < 1e-8, f"{peer} differs by {apart:.1e}"
            print(f"{label} sizes: {peer} {seconds:.1f} s, ours {took:.2f} s, ratio {seconds / took:.1f}")
            print(f"    same losses to {apart:.0e}")
            assert seconds > least[label] * took or size < 4000, f"{peer} is only {seconds / took:.1f} times slower"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
