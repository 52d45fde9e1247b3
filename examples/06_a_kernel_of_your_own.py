"""A kernel of your own: exponents, whether they mean anything, and the learning curve beyond the data.

Anything that returns a Gram matrix will do. Here a Matern kernel, whose exponent is known, and a Gaussian one, which
has none: the verdict tells them apart.
"""

import numpy as np
from scipy.spatial.distance import cdist

import regimes as rg

DIM, NU = 3, 0.5


def matern(x, others):
    """exp(-distance): the Matern kernel of smoothness 1/2."""
    return np.exp(-cdist(x, others))


def gaussian(x, others):
    """exp(-distance^2 / 2): analytic, so its spectrum falls faster than any power."""
    return np.exp(-(cdist(x, others) ** 2) / 2)


x = rg.tasks.sphere(900, DIM, seed=0).x
x = x / np.linalg.norm(x, axis=1, keepdims=True)
for name, kernel in (("Matern", matern), ("Gaussian", gaussian)):
    gram = rg.inputs.as_kernel(kernel)(x)
    verdict = rg.readings.power_law(gram)
    print(f"{name}: {verdict}")
    for row in rg.readings.side_by_side(gram, splits=4):
        print(f"  {row.quantity} by {row.method:12s} {row.estimate}   {row.remark}")
    if verdict.holds:
        alpha = rg.estimate.alpha(gram)
        # On S^d the kernel is as rough as distance^(2 nu), so alpha tends to 2 nu/d.
        print(f"  expected {2 * NU / DIM:.3f} in the limit, found {alpha}")
        assert abs(alpha.value - 2 * NU / DIM) < 0.05
        forecast = rg.forecast.population(gram[:300, :300]).curve([300.0, 900.0, 3000.0])
        print(f"  from 300 samples: {forecast}")
        measured = rg.ridge.pivot_curve(gram, [899]).loss[0]
        assert abs(forecast.curve.loss[1] / measured - 1) < 0.1
    else:
        assert name == "Gaussian"
