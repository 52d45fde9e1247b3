"""From a Gram matrix alone: the exponents, the learning curve to come, and how far they can be trusted.

Here the matrix is a Laplace kernel of scikit-learn on photographic patches; any array or callable serves.
Run with `uv run python examples/02_exponents_from_your_data.py`.
"""

import numpy as np
from sklearn.metrics.pairwise import laplacian_kernel

import regimes as rg

task = rg.tasks.image_patches(size=6, count=2400, seed=0)
x = task.x.reshape(len(task), -1)
gram = laplacian_kernel(x, gamma=0.02)

# Use 1,200 samples to predict; keep 1,200 to check.
spectrum = rg.estimate.spectrum(gram[:1200, :1200])
print(spectrum)
print(rg.exponents(spectrum, window=(32, 400)))

n = np.array([50, 100, 200, 400])
predicted = rg.predict_curve(spectrum, n=n)
measured = rg.ridge.pivot_curve(gram[1200:, 1200:], n, trials=8, seed=0)
print("predicted/measured loss of the kernel's own prior:", np.round(predicted.loss / measured.loss, 3))

assert np.all(np.abs(predicted.loss / measured.loss - 1) < 0.1)
