"""Claim: alpha read from the resolvent or the pivots is right where fits to the eigenvalues of a Gram matrix are not.

For analytic kernels on spheres the exact slope of the learning curve over a window of n follows from the analytic
spectrum. Printed beside it: `estimate.alpha` by both methods over the same window, and least-squares fits to the
Gram eigenvalues over three windows of rank. The script fails if one of ours is off by more than 0.03.

Run with `uv run python benchmarks/exponents.py [N]`; N is 2,000 by default.
"""

import sys

import numpy as np

from regimes import equivalents, estimate, kernels, spectra, tasks
from regimes.results import log_slope


def profile(model: kernels.Model):
    """The kernel as a function of the cosine: two points on the circle of radius sqrt(2) at that angle."""

    def at(t: np.ndarray) -> np.ndarray:
        pole = np.array([[np.sqrt(2), 0.0]])
        points = np.sqrt(2) * np.column_stack([t, np.sqrt(np.clip(1 - t**2, 0, None))])
        values = model(points, pole)[:, 0]
        return np.where(t == 1, model(pole)[0, 0], values)

    return at


def main(size: int) -> None:
    print(f"N = {size}; alpha: exact slope | kappa | pivots | eigenvalues of rank 20 to N/10, N/2, 0.95 N")
    for dim in (2, 4):
        for model in (kernels.fully_connected(1, kind="ntk"), kernels.fully_connected(1, kind="nngp")):
            spectrum = spectra.sphere(profile(model), dim, degrees=400 if dim == 2 else 120)
            gram = model(tasks.sphere(size, dim, seed=dim).x)
            row = []
            for method in ("kappa", "pivots"):
                found = estimate.alpha(gram, method=method)
                at = np.geomspace(*found.window, 12)
                exact = -log_slope(at, at * equivalents.solve(spectrum, at).gamma)
                assert abs(found.value - exact) < 0.03, f"{method} on S^{dim}: {found}, exact {exact:.3f}"
                row.append(f"{exact:.3f}: {found}")
            values = np.linalg.eigvalsh(gram)[::-1]
            for last in (size // 10, size // 2, int(0.95 * size)):
                rank = np.arange(20, last)
                row.append(f"{-log_slope(rank, np.maximum(values[rank - 1], 1e-16)) - 1:.3f}")
            print(f"S^{dim} {model.kind.upper():4s}  {'  |  '.join(row)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
