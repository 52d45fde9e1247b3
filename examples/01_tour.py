# %% [markdown]
"""A tour for theorists: from a spectrum to the loss surface, its regimes, time, real data, and back.

Run it with `uv run python examples/01_tour.py [figure.png]`, or open it cell by cell in an editor or in Jupyter (the
`# %%` lines are cells). The figure goes to example-output/01_tour.png.
"""

# %% A kernel is its spectrum: eigenvalues i^-(1+alpha), and what power of the target lies in each mode, i^-(1+beta).
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics.pairwise import laplacian_kernel

import regimes as rg

ALPHA, BETA, NOISE = 0.6, 1.2, 0.01
spectrum = rg.spectra.power_law(ALPHA, BETA)
print(spectrum)
print(rg.exponents(spectrum))  # what follows from it, in all four regimes, with reasons

# %% Without noise and ridge the loss falls as n^-min(beta, 2(1+alpha)) and k^-min(beta, 1+alpha). These are limits;
# the deterministic equivalent is the whole surface, at every n, k, ridge and noise.
n = np.geomspace(10, 1000, 25)
in_n = rg.predict_curve(spectrum, n=n)
in_k = rg.predict_curve(spectrum, k=n)
tuned = rg.optima.optimal_ridge(spectrum, n, noise=NOISE)
slope = -np.gradient(np.log(in_n.loss), np.log(n))[-2]
print(f"slope at n = {n[-2]:.0f}: {slope:.3f}; with noise {NOISE} and the best ridge beta/(1+beta) takes over")

# %% Duality: with a target drawn from the kernel itself, samples and features may trade places, to the last digit.
prior = rg.spectra.power_law(ALPHA, ALPHA)
dual = rg.predict_curve(prior, n=n).loss / rg.predict_curve(prior, k=n).loss
print(f"L(n, infinite)/L(infinite, k = n): {dual.min():.3f} to {dual.max():.3f}, the same exponent in both")

# %% Time is a third axis: gradient flow of k features on n samples, exactly.
time = np.geomspace(1, 1e6, 40)
flow = rg.dynamics.gradient_flow(spectrum, time, n=300, k=300, noise=NOISE)
print(
    f"300 features, 300 samples: best stopped at t = {time[np.argmin(flow)]:.0f}, {flow.min():.3f} then {flow[-1]:.3f}"
)

# %% From data: any Gram matrix will do. Here a Laplace kernel of scikit-learn on patches of two photographs; 1,200
# samples to predict from, 1,200 others to check.
task = rg.tasks.image_patches(size=6, count=2400, seed=0)
gram = laplacian_kernel(task.x.reshape(len(task), -1), gamma=0.02)
estimated = rg.estimate.spectrum(gram[:1200, :1200])
print(rg.exponents(estimated, window=(32, 400)))
at = np.array([25, 50, 100, 200, 400])
predicted = rg.predict_curve(estimated, n=at)
measured = rg.ridge.pivot_curve(gram[1200:, 1200:], at, trials=8, seed=0)
print("predicted/measured loss of the kernel's own prior:", np.round(predicted.loss / measured.loss, 3))

# %% All four regimes of a network's kernel and of its random features, predicted and measured: `regimes verify` does
# this for photographs and digits, this for points on a torus.
torus = rg.tasks.torus(1600, dim=3, seed=0)
verified = rg.four_regimes(torus, rg.kernels.fully_connected(depth=1, kind="ntk"), "prior", trials=6, seed=0)
print(verified)

# %% The figure.
figure = Figure(figsize=(10, 7), layout="constrained")
(a, b), (c, d) = figure.subplots(2, 2)
a.loglog(n, in_n.loss, color="tab:blue", label="samples n, no noise")
a.loglog(n, in_k.loss, color="tab:orange", ls="--", label="features k, no noise")
a.loglog(n, tuned.loss - NOISE, color="black", ls=":", label=f"n, noise {NOISE}, best ridge, above noise")
a.set(xlabel="n or k", ylabel="loss", title=f"α = {ALPHA}, β = {BETA}")
a.legend(frameon=False)
rg.plots.phase_map(rg.phases.phase_map(spectrum, noise=NOISE, ridge=1e-3), ax=b)
c.loglog(time, flow, color="tab:blue")
c.set(xlabel="time t", ylabel="loss", title="gradient flow, n = k = 300")
d.loglog(at, predicted.loss, color="tab:blue", label="predicted from 1,200 samples")
d.loglog(at, measured.loss, "o", color="black", ms=4, label="measured on 1,200 others")
d.set(xlabel="samples n", ylabel="loss", title="Laplace kernel on photographs")
d.set_xticks(at, [f"{each}" for each in at])
d.set_xticks([], minor=True)
d.legend(frameon=False)
out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("example-output/01_tour.png")
out.parent.mkdir(parents=True, exist_ok=True)
figure.savefig(out, dpi=150)

# %% What was claimed on the way holds, or this fails.
assert abs(slope - min(BETA, 2 * (1 + ALPHA))) < 0.05
assert np.ptp(np.log(dual[5:])) < 0.05
assert flow.min() < flow[-1]
assert np.all(np.abs(predicted.loss / measured.loss - 1) < 0.1)
for one in verified.comparisons:
    assert one.difference < 0.1, f"{one.regime}: losses differ by {one.difference:.1%}"
    gap = abs(one.measured_exponent.value - one.predicted_exponent.value)
    assert one.exponent_agrees or gap < 0.05, f"{one.regime}: {one.verdict}"
