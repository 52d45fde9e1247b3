"""Claim: a forecast from N samples is right to some 10 % at 4 N on real labels and at 10 N on spheres.

Real labels: the leave-one-out losses of four times the samples are the truth. Spheres: the leave-one-out variances of a
sample ten times as large. Printed: the median over draws of |predicted/measured - 1| at the last size, its mean, and
the share of draws whose 90 % band holds the truth.

Run with `uv run python benchmarks/forecast.py [--quick]`; it takes five minutes, with --quick one.
"""

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from regimes import factor, forecast, kernels, profiles, tasks


def losses(gram: np.ndarray, y: Any, at: np.ndarray) -> np.ndarray:
    """Leave-one-out losses at the sizes `at`; of the kernel's prior where there are no targets."""
    factored = factor.cholesky(gram)
    if y is None:
        return np.array([np.mean(1 / part.diagonal) for part in factor.inverses(factored.lower, at + 1)])
    return factor.training_losses(factored.lower, y, at + 1, ridge=factored.jitter).leave_one_out


def real() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Digits, and which of the two photographs a patch is from."""
    digits = tasks.digits()
    patches = tasks.image_patches(seed=0)
    chosen = np.random.default_rng(0).permutation(len(patches.x))[:4000]
    first = (patches.region < 71 * 106)[chosen]  # regions are numbered photograph by photograph
    y = np.stack([first, ~first], axis=1).astype(float)
    for name, x, targets in (("digits", digits.x, digits.y), ("photographs", patches.x[chosen], y - y.mean(axis=0))):
        for kind in ("ntk", "nngp"):
            yield f"{name}, {kind.upper()}", kernels.fully_connected(depth=2, kind=kind)(x), targets
        flat = x.reshape(len(x), -1)
        distance = cdist(flat, flat)
        yield f"{name}, Laplace", np.exp(-distance / np.median(distance)), targets


def sphere(profile: Any, dim: int, size: int, seed: Any) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((size, dim + 1))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    gram = profile(np.clip(x @ x.T, -1, 1))
    return (gram + gram.T) / 2


def report(name: str, size: int, found: list[tuple[float, bool]], last: int) -> None:
    errors = np.array([error for error, _ in found])
    print(
        f"| {name} | {size} | {last} | {np.median(np.abs(errors)):.1%} | {errors.mean():+.1%} | "
        f"{np.mean([inside for _, inside in found]):.0%} |",
        flush=True,
    )


def score(gram: np.ndarray, y: Any, n: int, truth: float, seed: int) -> tuple[float, bool]:
    curve = forecast.population(gram, y, seed=seed).curve([float(n)])
    return float(curve.curve.loss[0] / truth - 1), bool(curve.low[0] <= truth <= curve.high[0])


def main(quick: bool) -> None:
    draws = 3 if quick else 8
    print("| data | from | to | median error | mean | in the 90 % band |\n|---|---|---|---|---|---|")
    for name, gram, y in real():
        size, rng = len(gram) // 4, np.random.default_rng(0)
        order = rng.permutation(len(gram))
        last = 4 * size - 1
        truth = float(losses(gram[np.ix_(order, order)], y[order], np.array([last]))[0])
        found = []
        for seed in range(draws):
            part = rng.permutation(len(gram))[:size]
            found.append(score(gram[np.ix_(part, part)], y[part], last, truth, seed))
        report(name, size, found, last)
        assert np.median([abs(error) for error, _ in found]) < 0.2
    size, large = (200, 2000) if quick else (400, 4000)
    for name, profile, dim in (
        ("S^2, Laplace", profiles.laplace(1.0), 2),
        ("S^4, Laplace", profiles.laplace(1.0), 4),
        ("S^2, NTK", profiles.ntk(1), 2),
        ("S^4, NTK", profiles.ntk(1), 4),
    ):
        last = large - 1
        truth = np.mean(
            [losses(sphere(profile, dim, large, [9, seed]), None, np.array([last]))[0] for seed in range(2)]
        )
        found = [score(sphere(profile, dim, size, seed), None, last, float(truth), seed) for seed in range(2 * draws)]
        report(f"{name}, its prior", size, found, last)
        assert np.median([abs(error) for error, _ in found]) < 0.2


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three draws, smaller spheres")
    main(parser.parse_args().quick)
