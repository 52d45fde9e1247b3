"""Claim: alpha and the top spectrum of a Gram matrix of 20,000 samples fit in 4 GiB, for a fraction of `eigh`.

A ReLU NTK on a sphere, whose exponents are known. Each part runs in a process of its own, so that its peak memory is
its own, and its answers are checked:

1. build: `gram.build` against one BLAS product of the matrix's size with the closed form of the kernel entry by entry
   in NumPy, and against `nt.batch`, at the size of the dense comparison; all give the same matrix.
2. dense: at that size `eigh` and what follows from it, the slope of n kappa(n) and the largest eigenvalues.
3. subsets: alpha by pivots on disjoint subsets, its interval must hold the dense answer and the exact slope; the mirror
   on features, from their covariance over all samples; `modes.top_spectrum` by Nystrom and by Lanczos.
4. large: 3 at full size, with the whole matrix held for Lanczos and below 4 GiB.

Run with `uv run python benchmarks/spectrum.py [--quick] [--n N]`; it takes ten minutes, with --quick one or two.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg, stats

from regimes import _tangents, equivalents, estimate, gram, kernels, modes, profiles, resolvents, spectra, tasks
from regimes._precision import float64
from regimes.results import log_slope

DIM = 2
MODEL = kernels.fully_connected(1)
RANK = 50
FEATURES = 2000


def timed(work: Callable[[], Any], repeats: int = 1) -> tuple[float, Any]:
    """Least wall time of some repetitions, and the result."""
    times, result = [], None
    for _ in range(repeats):
        result = None  # the last one's memory first
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def peak() -> float:
    """GiB held at most by this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def data(size: int) -> np.ndarray:
    return tasks.sphere(size, DIM, seed=0).x


def window(subset: int) -> np.ndarray:
    return np.unique(np.geomspace(32, subset // 4, 12).round())


def closed_form(x: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The NTK of one hidden ReLU layer, entry by entry, from one product."""
    norms = np.sqrt(np.outer(np.sum(x**2, axis=1), np.sum(other**2, axis=1)))
    t = np.clip(x @ other.T / norms, -1, 1)
    angle = np.pi - np.arccos(t)
    return norms * 2 / x.shape[1] * (np.sqrt(1 - t**2) + 2 * t * angle) / np.pi


def build(size: int) -> dict[str, Any]:
    x = data(size)
    MODEL(x[:64]), MODEL(x[:64], x[64:128])
    square = np.random.default_rng(0).standard_normal((size, size))
    product, _ = timed(lambda: square @ square)
    del square
    elementwise, expected = timed(lambda: closed_form(x, x), 2)
    ours, found = timed(lambda: gram.build(MODEL, x), 2)
    nt = _tangents.load()
    stax = nt.stax
    root = 2**0.5
    kernel_fn = stax.serial(stax.Dense(1, W_std=root), stax.Relu(), stax.Dense(1, W_std=root))[2]
    with float64():
        batched = nt.batch(kernel_fn, batch_size=size // -(-size // gram.BLOCK))
        theirs, other = timed(lambda: np.asarray(batched(x, None, "ntk")), 2)
    gaps = []
    for matrix in (expected, other):
        gap = np.abs(found - matrix)
        np.fill_diagonal(gap, 0)  # the angle between equal inputs is rounded to eight digits
        gaps.append(float(gap.max()))
    return {
        "product": product,
        "elementwise": elementwise,
        "ours": ours,
        "theirs": theirs,
        "apart": max(gaps),
    }


def dense(size: int, subset: int) -> dict[str, Any]:
    x = data(size)
    matrix = gram.build(MODEL, x)
    seconds, (values, _) = timed(lambda: linalg.eigh(matrix, check_finite=False))
    at = window(subset)
    kappa = resolvents.resolvent(matrix, at=at).kappa
    return {
        "seconds": seconds,
        "alpha": -log_slope(at, at * kappa),
        "top": (values[::-1][:RANK] / size).tolist(),
        "peak": peak(),
    }


def subsets(size: int, subset: int, count: int, held: bool) -> dict[str, Any]:
    x = data(size)
    at = window(subset)

    def alpha() -> tuple[float, float]:
        slopes = []
        for part in gram.subsets(size, subset, count, seed=0):
            found = estimate.alpha(gram.build(MODEL, x[part]), method="pivots", window=(at[0], at[-1]), splits=2)
            slopes.append(found.value)
        error = float(np.std(slopes, ddof=1) / count**0.5)
        return float(np.mean(slopes)), float(stats.t.ppf(0.975, count - 1)) * error

    def mirror() -> float:
        moments = modes.covariance(lambda rows: MODEL.features(rows, FEATURES, seed=0), x=x)
        # Pivots of the covariance in random order are the loss in k at n = infinity.
        return estimate.alpha(moments.matrix, method="pivots", window=(at[0], at[-1]), splits=2).value

    pivots, (value, width) = timed(alpha)
    features, mirrored = timed(mirror)
    nystrom, sketched = timed(lambda: modes.top_spectrum(MODEL, x, RANK, memory=1e9))
    before = peak()
    memory = 3.6e9 if held else 1e9
    lanczos, exact = (
        timed(lambda: modes.top_spectrum(MODEL, x, RANK, method="lanczos", memory=memory))
        if held
        else (
            0.0,
            None,
        )
    )
    return {
        "pivots": pivots,
        "alpha": value,
        "width": width,
        "features": features,
        "mirror": mirrored,
        "nystrom": nystrom,
        "sketched": sketched.eigenvalues.tolist(),
        "sketch_error": sketched.error.tolist(),
        "lanczos": lanczos,
        "top": None if exact is None else exact.eigenvalues.tolist(),
        "streamed": before,
        "peak": peak(),
    }


def apart(work: str, *arguments: Any) -> dict[str, Any]:
    """A part in a process of its own."""
    command = [sys.executable, __file__, "--part", json.dumps([work, *arguments])]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def report(name: str, found: dict[str, Any], exact: float) -> None:
    print(
        f"{name}: alpha by pivots {found['alpha']:.3f} +- {found['width']:.3f} in {found['pivots']:.1f} s (exact slope"
    )
    print(f"    {exact:.3f}); mirror on {FEATURES} features {found['mirror']:.3f} in {found['features']:.1f} s")
    print(f"    top {RANK}: Nystrom {found['nystrom']:.1f} s, Lanczos {found['lanczos']:.1f} s")
    print(f"    at most {found['streamed']:.2f} GiB streamed, {found['peak']:.2f} GiB with the matrix held")
    gap = np.array(found["top"]) - np.array(found["sketched"])
    assert np.all(np.abs(gap) <= np.array(found["sketch_error"]) + 1e-13), "Nystrom is off by more than it says"
    print(f"    Nystrom against Lanczos: {np.max(gap / np.array(found['top'])):.1e} at most, relative")
    assert abs(found["alpha"] - exact) <= found["width"], "the exact slope lies outside the interval"
    assert abs(found["mirror"] - exact) < 0.05, "the mirror on features has another exponent"


def main(size: int, small: int, subset: int) -> None:
    spectrum = spectra.sphere(profiles.ntk(1), DIM, degrees=600)
    at = window(subset)
    exact = -log_slope(at, at * equivalents.solve(spectrum, at).gamma)

    found = apart("build", small)
    floor = found["product"] + found["elementwise"]
    ours, form = found["ours"], found["elementwise"]
    print(f"build at {small}: ours {ours:.2f} s, one product {found['product']:.2f} s, closed form {form:.2f} s;")
    print(f"    ours is {ours / floor:.2f} of both and {ours / form:.2f} of the closed form alone")
    print(
        f"    nt.batch {found['theirs']:.2f} s: {found['theirs'] / ours:.1f} times ours; apart by {found['apart']:.0e}"
    )
    assert found["apart"] < 1e-10, f"the matrices differ by {found['apart']:.1e}"
    assert found["ours"] < 2.5 * floor

    whole = apart("dense", small, subset)
    part = apart("subsets", small, subset, min(4, small // subset), True)
    print(f"dense eigh of {small}: {whole['seconds']:.1f} s, {whole['peak']:.2f} GiB; its alpha {whole['alpha']:.3f}")
    report(f"N = {small}", part, exact)
    assert np.allclose(part["top"], whole["top"], rtol=1e-9, atol=0)
    assert abs(part["alpha"] - whole["alpha"]) <= part["width"], "the dense answer lies outside the interval"
    for name in ("pivots", "nystrom", "lanczos"):
        print(f"    eigh takes {whole['seconds'] / part[name]:.1f} times {name}")
    assert whole["seconds"] > 3 * part["pivots"] or small < 8000

    if size > small:
        large = apart("subsets", size, subset, 4, True)
        report(f"N = {size}", large, exact)
        assert large["peak"] < 4, f"{large['peak']:.2f} GiB"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="4,000 samples in all")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        work, *arguments = json.loads(options.part)
        print(json.dumps({"build": build, "dense": dense, "subsets": subsets}[work](*arguments)))
    elif options.quick:
        main(4000, 4000, 1000)
    else:
        main(options.n, min(options.n, 8000), 2000)
