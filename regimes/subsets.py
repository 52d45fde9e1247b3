"""Regression on a random subset of the features, or on any orthogonal directions, in place of Gaussian ones.

Few of many features are like random directions. All of them are the features themselves, which M Gaussian directions
are not: on the side of n < k the two differ, by geometry alone.
"""

from typing import Any

import numpy as np
from scipy.optimize import elementwise

from regimes.results import Values
from regimes.spectrum import Spectrum

Array = np.ndarray


def columns_loss(
    spectrum: Spectrum, n: Any, k: Any, columns: int, ridge: Any = 0.0, noise: Any = 0.0, *, excess: bool = False
) -> Values:
    """Test loss of regression on k of M columns chosen at random, or on any k orthogonal directions.

    As [equivalents.loss][regimes.equivalents.loss], with the S-transform of a projection in place of that of Gaussian
    directions:

        gamma (1 - df1/n) (1 - df1/k)/(1 - df1/M) = ridge/n,      h = 1 + (df1-df2)/(k-df1) - (df1-df2)/(M-df1).

    All M columns are the features themselves, k = infinity. Without ridge and for n < k it exceeds that limit by
    n [B1(n) + noise] (M-k)/((k-n)(M-n)), which is (M-k)/(M-n) of what Gaussian directions cost; for k < n there is no
    difference between the two.

    Args:
        spectrum: of the population, with M modes; power that is never learnt acts as noise.
        n: numbers of samples.
        k: numbers of columns, at most M.
        columns: M.
        ridge: added to the Gram matrix, for columns scaled by sqrt(M/k).
        noise: variance of the label noise.
        excess: return the loss without the noise.

    Raises:
        ValueError: k or the modes of the spectrum beyond M.

    Valid when the eigenvectors are spread over the columns (no column is a mode of its own): choosing columns is then
    like choosing a random subspace.

    Source: the S-transform of a free projection, (1 + t)/(c + t) for a share c = k/M; derived as the loss of Gaussian
    features is in docs/theory.md. At a white spectrum it is the loss of Belkin, Hsu and Xu 2020.
    """
    n, k, ridge, noise = np.broadcast_arrays(*(np.asarray(part, dtype=np.float64) for part in (n, k, ridge, noise)))
    if np.any(k > columns):
        raise ValueError(f"`k` must be at most the {columns} columns there are, got {k.max():g}.")
    shape = n.shape
    n, k, ridge, noise = (part.reshape(-1) for part in (n, k, ridge, noise))
    values, modes, power = spectrum.eigenvalues, spectrum.multiplicity, spectrum.power
    # Estimated multiplicities need not add up to M exactly; modes that are missing are never learnt.
    modes = modes * min(1.0, columns / modes.sum())

    def share(log_gamma: Array) -> Array:
        return values / (values + np.exp(log_gamma)[..., None])

    def excess_of(log_gamma: Array, n: Array, k: Array, ridge: Array) -> Array:
        one = share(log_gamma) @ modes
        filled = np.minimum(one / np.minimum(n, k), 2.0)
        inside = (1 - one / n) * (1 - one / k) / np.maximum(1 - one / columns, 1e-300)
        # Beyond the smaller of n and k the equation has other roots: they must not be found.
        return np.where(filled < 1, np.exp(log_gamma) * inside - ridge / n, 1 - filled - ridge / n)

    low, high = np.log(values[-1]) - 40.0, np.log(spectrum.trace + ridge.max(initial=0.0)) + 5.0
    found = elementwise.find_root(
        excess_of, (np.full(len(n), low), np.full(len(n), high)), args=(n, k, ridge), tolerances={"xatol": 1e-13}
    )
    # Without ridge all modes are learnt from as many samples and columns.
    gamma = np.where((ridge == 0) & (np.minimum(n, k) >= modes.sum()), 0.0, np.exp(found.x))
    learnt = values / (values + gamma[:, None])
    one, two = learnt @ modes, learnt**2 @ modes
    once = (1 - learnt) @ power + spectrum.tail_power
    twice = (1 - learnt) ** 2 @ power + spectrum.tail_power
    with np.errstate(divide="ignore", invalid="ignore"):
        # 1/h, which is 0 for k = df1.
        per = (one - two) * (columns - k) / (np.maximum(columns - one, 1e-300))
        slope = np.maximum(k - one, 0.0) / (np.maximum(k - one, 0.0) + per)
        slope = np.where(per == 0, 1.0, slope)
        numerator = twice + (1 - slope) * (once - twice) + noise
        loss = numerator / (np.maximum(1 - one / n, 0.0) + (one - two) * slope / n)
    return ((loss - noise) if excess else loss).reshape(shape)[()]
