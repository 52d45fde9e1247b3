"""Claim: the self-consistent equations are solved to rounding, at any scale of the kernel, in no time.

Three parts, each with its answers checked in the same run:

1. kappa at 80 sizes for a spectrum of 30,000 modes (`--data` or REGIMES_MEASUREMENTS names a folder with
   spectra/cifar10_myrtle10.npz; without it a power law of the same length), the kernel scaled by 1e-12 to 1e12. What is
   conserved, df1(kappa) = n, must hold to 1e-10 by sums over all modes. Peers: SciPy's `brentq` in log kappa for
   each size; `brentq` in kappa from 0 to the trace; Newton's method in kappa from a fixed start.
2. The loss on a grid of 31 x 31 x 17 points (n, k, ridge) at 10,000 modes, against two nested root searches of
   n = df1 + ridge/kappa and k = df1 + k kappa/gamma over all modes on some of the points, to 1e-9.
3. A million points in one call.

Times are CPU seconds, the least of several; compressing the spectrum is included. Run with
`OMP_NUM_THREADS=1 uv run python benchmarks/theory.py [--data FOLDER]`; it takes a minute.
"""

import argparse
import functools
import math
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq

from regimes import equivalents, spectra
from regimes.spectrum import Spectrum

SCALES = (1e-12, 1e-6, 1.0, 1e6, 1e12)


def fastest(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Least CPU time of some repetitions, and the result."""
    times, result = [], None
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        times.append(time.process_time() - start)
    return min(times), result


def eigenvalues_of(folder: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Eigenvalues, sizes, and what they are."""
    path = Path(folder) / "spectra" / "cifar10_myrtle10.npz"
    if path.is_file():
        stored = np.load(path, allow_pickle=False)
        values = stored["eigvals"].astype(np.float64)
        return values[values > 0], stored["sizes"].astype(np.float64), "Myrtle-10 tangent kernel of CIFAR-10"
    return np.arange(1, 30_001.0) ** -1.17, np.unique(np.geomspace(10, 20_000, 80).round()), "power law i^-1.17"


def log_brentq(values: np.ndarray, n: float) -> float:
    """The careful peer: in log kappa, between bounds made from the spectrum."""
    low = math.log(values[-1] * max(len(values) / n - 1, 1e-12))
    high = math.log(values.sum() / n)
    return math.exp(brentq(lambda t: np.sum(values / (values + math.exp(t))) - n, low - 1e-9, high + 1e-9, xtol=1e-14))


def plain_brentq(values: np.ndarray, n: float) -> float:
    """The usual peer: in kappa itself, with SciPy's tolerances as they come."""
    return float(brentq(lambda kappa: np.sum(values / (values + kappa)) - n, 1e-300, values.sum()))


def newton(values: np.ndarray, n: float) -> float:
    """The quick peer: Newton's method in kappa from 1e-3, kept positive, up to 100 steps."""
    kappa = 1e-3
    for _ in range(100):
        learnt = values / (values + kappa)
        step = (learnt.sum() - n) / np.sum(learnt / (values + kappa))
        kappa = max(kappa + step, kappa / 2)
        if abs(step) < 1e-12:
            break
    return kappa


def residual(values: np.ndarray, kappa: np.ndarray, n: np.ndarray) -> float:
    """Largest |df1(kappa)/n - 1|, summed over all modes."""
    return float(max(abs(np.sum(values / (values + one)) / size - 1) for one, size in zip(kappa, n, strict=True)))


def kappas(folder: str) -> None:
    values, sizes, what = eigenvalues_of(folder)
    print(f"{what}: kappa of {len(values)} modes at {len(sizes)} sizes {sizes[0]:g} to {sizes[-1]:g}")
    print(f"{'':34s}{'CPU seconds':>12s}   |df1/n - 1| at kernel scale {', '.join(f'{s:.0e}' for s in SCALES)}")
    methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "ours": lambda scaled: np.atleast_1d(equivalents.solve(spectra.listed(scaled), sizes).kappa),
        "brentq in log kappa, all modes": lambda scaled: np.array([log_brentq(scaled, n) for n in sizes]),
        "brentq in kappa, all modes": lambda scaled: np.array([plain_brentq(scaled, n) for n in sizes]),
        "Newton in kappa, all modes": lambda scaled: np.array([newton(scaled, n) for n in sizes]),
    }
    seconds, worst = {}, {}
    for name, method in methods.items():
        repeats = 7 if name == "ours" else 1
        times, residuals = [], []
        for scale in SCALES:
            took, found = fastest(functools.partial(method, values * scale), repeats)
            times.append(took)
            residuals.append(residual(values * scale, found, sizes))
        seconds[name], worst[name] = times[SCALES.index(1.0)], max(residuals)
        spread = f" (to {max(times):.2f})" if max(times) > 1.5 * seconds[name] else ""
        print(f"{name:34s}{seconds[name]:12.3f}   {', '.join(f'{r:.0e}' for r in residuals)}{spread}")
    assert worst["ours"] < 1e-10, f"df1 = n holds only to {worst['ours']:.1e}"
    assert seconds["ours"] < 0.15, f"ours takes {seconds['ours']:.3f} s"
    ratio = seconds["brentq in log kappa, all modes"] / seconds["ours"]
    assert ratio > 3, f"brentq is only {ratio:.1f} times slower"
    print(f"the careful peer takes {ratio:.0f} times ours")


def nested(values: np.ndarray, power: np.ndarray, n: float, k: float, ridge: float, noise: float) -> float:
    """The loss by two nested root searches over all modes, and the formula as Simon et al. 2023 print it."""

    def df1(t: float) -> float:
        return float(np.sum(values / (values + math.exp(t))))

    def gamma_of(log_kappa: float) -> float:  # k = df1 + k kappa/gamma
        low, high = log_kappa, math.log(math.exp(log_kappa) + values.sum() / k)
        return float(brentq(lambda t: k - df1(t) - k * math.exp(log_kappa - t), low - 1e-9, high + 1e-9, xtol=1e-14))

    def gap(log_kappa: float) -> float:  # n = df1 + ridge/kappa
        return n - df1(gamma_of(log_kappa)) - ridge * math.exp(-log_kappa)

    # df1 <= trace/kappa bounds kappa from above; kappa > ridge/n.
    low, high = math.log(ridge / n), math.log((ridge + values.sum()) / n)
    log_kappa = brentq(gap, low - 1e-9, high + 1e-9, xtol=1e-14)
    gamma, kappa = math.exp(gamma_of(log_kappa)), math.exp(log_kappa)
    learnt = values / (values + gamma)
    z, q = learnt.sum(), np.sum(learnt**2)
    missed = power * (gamma / (values + gamma) - kappa * learnt / (values + gamma) * k / (k - q))
    return float((missed.sum() + noise) / (1 - (q * (k - 2 * z) + z**2) / (n * (k - q))))


def grid() -> None:
    noise, some = 0.1, 500
    at = np.geomspace(10, 5000, 31), np.geomspace(11, 6000, 31), np.geomspace(1e-6, 10, 17)
    n, k, ridge = np.ix_(*at)

    def fresh() -> Spectrum:
        return spectra.power_law(0.5, 1.2, modes=10_000, tail=False)

    seconds, losses = fastest(lambda: np.asarray(equivalents.loss(fresh(), n, k, ridge, noise)), 5)
    spectrum, rng = fresh(), np.random.default_rng(0)
    chosen = np.stack([rng.integers(0, len(axis), some) for axis in at])
    start = time.process_time()
    slow = np.array(
        [nested(spectrum.eigenvalues, spectrum.power, at[0][a], at[1][b], at[2][c], noise) for a, b, c in chosen.T]
    )
    each = (time.process_time() - start) / some
    apart = float(np.max(np.abs(losses[tuple(chosen)] / slow - 1)))
    ours = seconds / losses.size
    print(f"loss on {losses.size} points (n, k, ridge) at 10,000 modes: {seconds:.2f} s, {1e3 * ours:.3f} ms a point")
    print(f"nested searches over all modes: {1e3 * each:.0f} ms a point, {each / ours:.0f} times ours")
    print(f"same losses to {apart:.0e} on {some} points")
    assert apart < 1e-9, f"the losses differ by {apart:.1e}"
    assert ours < 1.5e-4, f"ours takes {1e3 * ours:.3f} ms a point"
    assert each > 50 * ours, f"nested searches are only {each / ours:.0f} times slower"


def million() -> None:
    n, k, ridge = np.ix_(np.geomspace(10, 5000, 100), np.geomspace(11, 6000, 100), np.geomspace(1e-6, 10, 100))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, losses = fastest(
        lambda: equivalents.loss(spectra.power_law(0.5, 1.2, modes=10_000, tail=False), n, k, ridge, 0.5), 1
    )
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6
    assert np.all(np.isfinite(losses))
    assert more < 1.5, f"a million points took {more:.1f} GB"
    print(f"a million points in one call: {seconds:.1f} s, {more:.2f} GB more than before")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("REGIMES_MEASUREMENTS", ""), help="folder of measurements")
    kappas(parser.parse_args().data)
    grid()
    million()
