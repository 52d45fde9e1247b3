"""Claim: the 90 % intervals of alpha (kappa) and beta (tail) hold the exact finite-n slope in 85 to 95 % of samples.

Fresh samples of problems whose spectrum and target are known: Gaussian designs, harmonics on spheres, Fourier modes on
tori. The truth is the same read-out of the exact spectrum over the very window, so nothing is asymptotic. A row for
each method: exact value, bias and standard deviation over samples, mean width of the interval, coverage, and how often
the method gave up (noise not below the curve), which the other columns leave out. The last two methods of each problem,
`theory.exponents`, read alpha and beta from the inverted spectrum and its replicates, in every other sample.

Run with `uv run python benchmarks/coverage.py [repeats] [problem ...]`; 200 repeats by default, all problems, half an
hour. The script fails if the coverage of kappa or tail is not 85 to 95 %, with two standard errors to spare.
"""

import dataclasses
import math
import sys
from collections.abc import Callable, Iterator

import numpy as np

from regimes import domains, equivalents, estimate, spectra, theory
from regimes.results import Estimate, log_slope
from regimes.spectrum import Spectrum

SIZE, LEVEL = 400, 0.9
Array = np.ndarray
Problem = tuple[Callable[[np.random.Generator], tuple[Array, Array | None]], Spectrum, float]


def planted(alpha: float, beta: float, noise: float = 0.0, modes: int = 3000) -> Problem:
    """Gaussian modes, lambda_i = i^-(1+alpha) and v_i^2 = i^-(1+beta)."""
    exact = spectra.power_law(alpha, beta, modes=modes, tail=False)
    weights = np.sqrt(exact.power) * np.where(np.arange(modes) % 3 == 0, -1, 1)

    def sample(rng: np.random.Generator) -> tuple[Array, Array | None]:
        x = rng.standard_normal((SIZE, modes))
        return (x * exact.eigenvalues) @ x.T, x @ weights + math.sqrt(noise) * rng.standard_normal(SIZE)

    return sample, exact, noise


def torus(alpha: float, beta: float, dim: int, highest: int) -> Problem:
    """Uniform points on a torus; cosines and sines up to a frequency, power laws in the rank of the frequency."""
    grid = np.stack(np.meshgrid(*[np.arange(-highest, highest + 1)] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    half = grid[len(grid) // 2 + 1 :]  # one of each wave and its opposite
    norm = np.repeat(np.sqrt(np.sum(half**2, axis=1)), 2).reshape(-1, 2)
    eigenvalues, power = (norm ** -(dim * (1 + exponent)) for exponent in (alpha, beta))
    weights = np.sqrt(power) * np.random.default_rng(5).choice([-1, 1], power.shape)
    order = np.argsort(-eigenvalues.ravel(), kind="stable")

    def sample(rng: np.random.Generator) -> tuple[Array, Array | None]:
        phase = rng.uniform(0, 2 * np.pi, (SIZE, dim)) @ half.T
        cos, sin = np.sqrt(2) * np.cos(phase), np.sqrt(2) * np.sin(phase)
        gram = (cos * eigenvalues[:, 0]) @ cos.T + (sin * eigenvalues[:, 1]) @ sin.T
        return gram, cos @ weights[:, 0] + sin @ weights[:, 1]

    return sample, spectra.listed(eigenvalues.ravel()[order], power.ravel()[order]), 0.0


def laplace(t: Array) -> Array:
    """exp(-distance) of points on the unit sphere."""
    return np.exp(-np.sqrt(np.maximum(2 - 2 * t, 0)))


def tangent(t: Array) -> Array:
    """Neural tangent kernel of one hidden relu layer, without biases."""
    angle = np.arccos(np.clip(t, -1, 1))
    return (np.sin(angle) + 2 * (np.pi - angle) * t) / np.pi


def sphere(profile: Callable[[Array], Array], dim: int, beta: float | None = None, highest: int = 40) -> Problem:
    """Uniform points on S^dim; the kernel's prior, or a fixed sum of harmonics of power (modes up to them)^-beta."""
    exact = spectra.sphere(profile, dim, degrees=400 if dim == 2 else 120)
    poles = np.zeros((1, dim + 1))
    weights = np.zeros((highest + 1, 1))
    if beta is not None:
        rng = np.random.default_rng(11)
        poles = rng.standard_normal((300, dim + 1))
        poles /= np.linalg.norm(poles, axis=1, keepdims=True)
        weights = rng.standard_normal((highest + 1, len(poles)))
        ends = np.cumsum(exact.multiplicity)[: highest + 1]
        power = np.append(1.0, ends[:-1]) ** -beta - (ends + 1) ** -beta
        # The mean over x of P_l(x.u) P_l(x.w) is P_l(u.w)/multiplicity.
        between = domains.gegenbauer((poles @ poles.T).ravel(), dim, highest)
        for row, (polynomial, modes, goal) in enumerate(zip(between, exact.multiplicity, power, strict=False)):
            found = weights[row] @ polynomial.reshape(len(poles), -1) @ weights[row] / modes
            weights[row] *= math.sqrt(goal / found)
        rest = np.zeros(len(exact.power) - len(power))
        exact = dataclasses.replace(exact, power=np.append(power, rest), tail_power=0.0)

    def sample(rng: np.random.Generator) -> tuple[Array, Array | None]:
        x = rng.standard_normal((SIZE, dim + 1))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        t = np.clip(x @ x.T, -1, 1)
        np.fill_diagonal(t, 1.0)
        if beta is None:
            return profile(t), None
        terms = domains.gegenbauer((x @ poles.T).ravel(), dim, highest)
        return profile(t), sum(term.reshape(SIZE, -1) @ row for term, row in zip(terms, weights, strict=True))

    return sample, exact, 0.0


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "planted 0.6, 1.1": lambda: planted(0.6, 1.1),
    "planted 0.3, 0.5": lambda: planted(0.3, 0.5),
    "planted 1.0, 1.6": lambda: planted(1.0, 1.6),
    "planted 0.3, 0.5, noise 0.2": lambda: planted(0.3, 0.5, 0.2),
    "torus 1, 0.6, 1.1": lambda: torus(0.6, 1.1, 1, 1500),
    "torus 2, 0.5, 0.8": lambda: torus(0.5, 0.8, 2, 30),
    "sphere 2, tangent kernel": lambda: sphere(tangent, 2),
    "sphere 4, tangent kernel": lambda: sphere(tangent, 4),
    "sphere 2, Laplace, 0.8": lambda: sphere(laplace, 2, 0.8),
    "sphere 4, Laplace, 0.4": lambda: sphere(laplace, 4, 0.4, 12),
}


def slope_of_alpha(exact: Spectrum, method: str, at: Array) -> float:
    """What `method` should read: the same slope of the exact spectrum."""
    if method == "eigenvalues":
        level = np.searchsorted(np.cumsum(exact.multiplicity), at - 0.5)
        return -log_slope(at, exact.eigenvalues[level]) - 1
    places = at - 1 if method == "pivots" else at
    return -log_slope(places, places * equivalents.solve(exact, places).gamma)


def slope_of_beta(exact: Spectrum, method: str, at: Array, noise: float) -> float:
    """What `method` should read: the same slope of the exact loss."""
    if method == "tail":
        return -log_slope(at, equivalents.loss(exact, math.inf, at, 0.0, noise, excess=True))
    places = at - 1 if method == "leave_one_out" else at
    return -log_slope(places, equivalents.loss(exact, places, math.inf, 0.0, noise, excess=True))


def sizes(found: Estimate) -> Array:
    """The whole sizes of a window, as `estimate` chooses them."""
    assert found.window is not None
    return np.unique(np.round(np.geomspace(*found.window, 12)))


def measure(problem: Problem, repeats: int) -> Iterator[tuple[str, float, list[Estimate]]]:
    """The methods, what they should have found, and what they found in every sample."""
    draw, exact, noise = problem
    found: dict[str, list[Estimate]] = {}
    truth: dict[str, float] = {}
    for seed in range(repeats):
        gram, y = draw(np.random.default_rng([seed, 7]))
        for method in estimate.ALPHA:
            one = estimate.alpha(gram, method=method, level=LEVEL, seed=seed)
            found.setdefault(f"alpha {method}", []).append(one)
            if not seed:
                truth[f"alpha {method}"] = slope_of_alpha(exact, method, sizes(one))
        for method in estimate.BETA if y is not None else ():
            one = estimate.beta(gram, y, method=method, noise=noise, level=LEVEL, seed=seed)
            found.setdefault(f"beta {method}", []).append(one)
            if not seed:
                truth[f"beta {method}"] = slope_of_beta(exact, method, sizes(one), noise)
        if seed % 2:  # the slowest: every other sample will do
            continue
        read = theory.exponents(estimate.spectrum(gram, y, noise=noise, seed=seed), level=LEVEL)
        if not seed:
            right = theory.exponents(exact, read.alpha.window)
        for name in ("alpha", "beta") if y is not None else ("alpha",):
            found.setdefault(f"{name} theory.exponents", []).append(getattr(read, name))
            truth[f"{name} theory.exponents"] = getattr(right, name).value
    for method, estimates in found.items():
        yield method, truth[method], estimates


def main(repeats: int, names: list[str]) -> None:
    print(f"{repeats} samples of N = {SIZE}; intervals of {LEVEL:.0%}\n")
    print("| problem | method | exact | bias | s.d. | mean width | coverage | undetermined |")
    print("|---|---|---|---|---|---|---|---|")
    failed = []
    for name in names or PROBLEMS:
        for method, exact, estimates in measure(PROBLEMS[name](), repeats):
            known = [one for one in estimates if math.isfinite(one.high - one.low)]
            values = np.array([one.value for one in known])
            covered = np.mean([exact in one for one in known])
            width = np.mean([one.high - one.low for one in known])
            print(
                f"| {name} | {method} | {exact:.3f} | {values.mean() - exact:+.4f} | {values.std(ddof=1):.4f} "
                f"| {width:.4f} | {covered:.1%} | {len(estimates) - len(known)} |",
                flush=True,
            )
            spare = 2 * math.sqrt(LEVEL * (1 - LEVEL) / repeats)
            if method in ("alpha kappa", "beta tail") and not 0.85 - spare <= covered <= 0.95 + spare:
                failed.append(f"{name}, {method}: {covered:.1%}")
    assert not failed, f"intervals that do not hold what they say: {failed}"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200, sys.argv[2:])
