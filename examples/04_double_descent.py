"""One model has double descent in samples, in features and in training time; the best ridge removes the first two.

Points are regressions on random features of Gaussian inputs, lines the theory: nothing is fitted.
Run with `uv run python examples/04_double_descent.py [figure.png]`; the figure goes to
example-output/04_double_descent.png.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import regimes as rg

# 40 strong modes and 80 weak ones, which are learnt a thousand times later and matter as much: chosen so that the
# rise in time is large. Power laws have it too, but smaller.
MODES, NOISE, TRIALS = np.array([40, 80]), 0.05, 24
spectrum = rg.Spectrum(np.array([1.0, 1e-3]), np.array([2.0, 2.0]), MODES.astype(float))
values, power = np.repeat(spectrum.eigenvalues, MODES), np.repeat(spectrum.power / MODES, MODES)
random = np.random.default_rng(0)


def regression(n: int, k: int, times: np.ndarray) -> np.ndarray:
    """Test loss of one draw of data, noise and features, by gradient flow up to each time."""
    z = random.standard_normal((n, len(values)))
    a = random.standard_normal((k, len(values))) * np.sqrt(values / k)
    coefficients = np.sqrt(power) * random.choice([-1, 1], len(values))
    y = z @ coefficients + np.sqrt(NOISE) * random.standard_normal(n)
    left, singular, right = np.linalg.svd(z @ a.T, full_matrices=False)
    kept = singular > 1e-10 * singular[0]
    left, singular, right = left[:, kept], singular[kept], right[kept]
    learnt = -np.expm1(-np.outer(times, singular**2 / n)) / singular
    missed = coefficients - (learnt * (left.T @ y)) @ right @ a
    return np.sum(missed**2, axis=1) + NOISE


def measured(along: str, at: np.ndarray, n: int = 0, k: int = 0) -> rg.LearningCurve:
    """The mean over many draws, each size or all times at once."""
    end = np.array([np.inf])
    if along == "time":
        rows = np.array([regression(n, k, at) for _ in range(5 * TRIALS)])
    else:
        sizes = [(m, k) if along == "n" else (n, m) for m in at.astype(int)]
        rows = np.array([[regression(*size, end)[0] for size in sizes] for _ in range(TRIALS)])
    return rg.LearningCurve.from_trials(along, at, rows)


def best_ridge(curve: rg.LearningCurve) -> rg.LearningCurve:
    """The same curve, with the best ridge at every point."""
    held = {name: curve.fixed[name] for name in ("n", "k") if name in curve.fixed}
    best = rg.optima.optimal_ridge(spectrum, noise=NOISE, **{curve.along: curve.at}, **held)
    return rg.LearningCurve(curve.along, curve.at, best.loss, fixed=curve.fixed)


grid = np.geomspace(8, 800, 160)
in_n = rg.predict_curve(spectrum, n=grid, k=100, noise=NOISE)
in_k = rg.predict_curve(spectrum, n=90, k=grid, noise=NOISE)
in_time = rg.predict_curve(spectrum, n=90, k=240, time=np.geomspace(0.1, 1e6, 141), noise=NOISE)
points = [
    measured("n", np.array([10.0, 18, 28, 40, 55, 70, 84, 120, 150, 220, 450]), k=100),
    measured("k", np.array([10.0, 18, 28, 40, 52, 66, 78, 105, 130, 190, 400]), n=90),
    measured("time", np.geomspace(0.2, 5e5, 14), n=90, k=240),
]
ridged = [best_ridge(in_n), best_ridge(in_k)]
panels = [
    ("in samples, k = 100", [in_n, ridged[0], points[0]], ["no ridge", "best ridge", "no ridge, measured"]),
    ("in features, n = 90", [in_k, ridged[1], points[1]], ["no ridge", "best ridge", "no ridge, measured"]),
    ("in time, n = 90, k = 240", [in_time, points[2]], ["no ridge", "no ridge, measured"]),
]

figure = Figure(figsize=(10.4, 3.6), layout="constrained")
for ax, (title, curves, labels) in zip(figure.subplots(1, 3), panels, strict=True):
    rg.plots.learning_curves(curves, labels, ax=ax)
    ax.set_title(title, fontsize=10)

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/04_double_descent.png")
out.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(out, dpi=150)

for curve, seen in zip((in_n, in_k, in_time), points, strict=True):
    inner, beside = curve.loss[1:-1], np.maximum(curve.loss[:-2], curve.loss[2:])
    tops = 1 + np.flatnonzero(inner > beside * (1 + 1e-6))  # a plateau is no peak
    places = ", ".join(f"{place:.3g}" for place in curve.at[tops])
    here = rg.predict_curve(spectrum, **(curve.fixed | {curve.along: seen.at}))
    errors = (seen.loss - here.loss) / seen.stderr
    print(f"in {curve.along}: peaks at {places}; measured - predicted in standard errors: {np.round(errors, 1)}")
    assert len(tops) > 0, curve.along
    assert np.abs(errors).max() < 4, curve.along
for curve in ridged:
    assert np.all(np.diff(curve.loss) < 1e-9 * curve.loss[1:]), curve.along
