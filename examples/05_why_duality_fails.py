"""Data and width share an exponent until the target is smoother than 1+α: width saturates there, data at 2(1+α).

Points are regressions on Gaussian inputs, lines the theory: nothing is fitted.
Run with `uv run python examples/05_why_duality_fails.py [figure.png]`; the figure goes to
example-output/05_why_duality_fails.png.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import regimes as rg

ALPHA = 0.5
BETAS = (ALPHA, 1.2, 2.5, 4.0)
SHOWN = 2.5  # between 1+α and 2(1+α): data still follow the target, width does not
sizes = np.geomspace(4, 1e5, 81)


def one_draw(values: np.ndarray, power: np.ndarray, size: int, random: np.random.Generator) -> tuple[float, float]:
    """L(n, inf) and L(inf, k) at n = k = size: kernel regression, and projection on random features."""
    target = np.sqrt(power) * random.choice([-1, 1], len(values))
    gaussian = random.standard_normal((size, len(values)))
    scaled = gaussian * np.sqrt(values)
    learnt = values * (gaussian.T @ np.linalg.solve(scaled @ scaled.T, gaussian @ target))
    spanned = scaled.T @ np.linalg.solve(scaled @ scaled.T, scaled @ target)
    return float(np.sum((target - learnt) ** 2)), float(np.sum((target - spanned) ** 2))


finite = rg.spectra.power_law(ALPHA, SHOWN, modes=2000, tail=False)
at, random = np.array([8, 16, 32, 64, 128]), np.random.default_rng(0)
draws = np.array([[one_draw(finite.eigenvalues, finite.power, m, random) for m in at] for _ in range(40)])
measured = [rg.LearningCurve.from_trials(along, at, draws[:, :, i]) for i, along in enumerate("nk")]

figure = Figure(figsize=(8.2, 6.4), layout="constrained")
panels = figure.subplots(2, 2, sharex="col", sharey="row", height_ratios=(3, 2))
titles = ("infinite width: L(n, ∞)", "infinite data: L(∞, k)")
saturation = {"n": 2 * (1 + ALPHA), "k": 1 + ALPHA}
slopes: dict[tuple[str, float], float] = {}
for column, along in enumerate("nk"):
    above, below = panels[:, column]
    curves, labels = [], []
    for beta, (colour, marker), dashes in zip(BETAS, rg.plots.STYLES, ("-", "--", "-.", ":"), strict=False):
        spectrum = rg.spectra.power_law(ALPHA, beta, modes=1e10)
        ends = {"n": np.inf, "k": np.inf} | {along: sizes}
        curves.append(rg.predict_curve(spectrum, **{along: sizes}))
        labels.append(f"β = {beta:g}" + (" = α, the kernel's prior" if beta == ALPHA else ""))
        local = getattr(rg.theory.local_exponents(spectrum, **ends), along)
        slopes[along, beta] = float(local[-1])
        below.plot(sizes, local, dashes, color=colour, lw=1.4)
        below.plot(sizes[-1], min(beta, saturation[along]), marker, color=colour, ms=6, mfc="white", clip_on=False)
    rg.plots.learning_curves(curves, labels, ax=above)
    colour, marker = rg.plots.STYLES[BETAS.index(SHOWN)]
    seen = measured[column]
    above.errorbar(at, seen.loss, 1.96 * seen.stderr, fmt=marker, color=colour, ms=4, mfc="white", lw=1, zorder=3)
    above.set(title=titles[column], xlabel="")
    below.axhline(saturation[along], color="0.6", lw=0.8, zorder=0)
    name = "2(1+α)" if along == "n" else "1+α"
    below.text(sizes[0], saturation[along] + 0.07, f"{name} = {saturation[along]:g}", color="0.35", fontsize=8)
    below.set(xscale="log", xlabel="training samples n" if along == "n" else "random features k")
panels[0, 0].get_legend().remove()
panels[0, 1].legend(loc="lower left", frameon=False, fontsize=9)
panels[0, 0].set_ylim(1e-14, 20)
panels[1, 0].set(ylabel="local exponent", ylim=(0, 3.5))
panels[0, 1].set_ylabel("")

out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/05_why_duality_fails.png")
out.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(out, dpi=150)

for check in rg.theory.duality_report(rg.spectra.power_law(ALPHA, SHOWN), 50, 200):
    verdict = {True: "holds", False: "does not hold", None: ""}[check.holds]
    print(f"level {check.level}, {check.task}: {check.what}\n    {check.expected}: {check.found}: {verdict}")
    assert check.holds, check.what
for (along, beta), slope in slopes.items():
    print(f"beta = {beta:g}, exponent in {along} at {sizes[-1]:g}: {slope:.3f}, limit {min(beta, saturation[along]):g}")
    assert abs(slope - min(beta, saturation[along])) < 0.05, (along, beta)
for curve in measured:
    expected = rg.predict_curve(finite, **{curve.along: at}).loss
    print(f"measured/predicted in {curve.along}: {np.round(curve.loss / expected, 3)}")
    assert np.all(np.abs(curve.loss / expected - 1) < 4 * curve.stderr / expected + 1 / at), curve.along
