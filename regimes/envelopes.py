"""The lower envelope of many runs: the best model for each amount of data, as Hestness et al. fit it."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from scipy import stats

from regimes import _checks, display

Array = np.ndarray


@display.shown
class Envelope(NamedTuple):
    """The smallest loss for each size of the training set."""

    n: Float64[Array, " sizes"]
    """The sizes, ascending."""
    loss: Float64[Array, " sizes"]
    """The smallest measured loss at each."""
    size: Float64[Array, " sizes"]
    """The model that had it."""
    runs: Int64[Array, " sizes"]
    """How many runs it was chosen from."""
    bias: Float64[Array, " sizes"]
    """Upper bound of the selection bias: how far the smallest of so many runs lies below their common mean if they
    differ by noise only. NaN without standard errors."""
    at_edge: Float64[Array, " sizes"]
    """1 where the best model is the smallest or the largest of those tried: the true envelope may lie lower."""

    def __str__(self) -> str:
        edge = int(self.at_edge.sum())
        return (
            f"envelope over {len(self.n)} sizes from {self.n[0]:g} to {self.n[-1]:g}: loss {self.loss[0]:.4g} to "
            f"{self.loss[-1]:.4g}" + (f"; best model at the edge of the grid at {edge} sizes" if edge else "")
        )


def envelope(n: Any, size: Any, loss: Any, *, stderr: Any = None) -> Envelope:
    """The best model per size of the training set; fit a law in n to what comes out.

    The smallest of several noisy losses is too small: with m runs whose true losses are equal it lies E_m standard
    errors below them, E_m the expected maximum of m normal numbers (0.56, 1.03, 1.54 at m = 2, 4, 10). Where true
    losses differ by more than the noise the bias vanishes, so this is an upper bound. It is larger where the optimum is
    flat and where more models were tried. A law fitted to the envelope takes it for signal: an offset comes out too
    small, and an exponent wrong where the noise falls with n otherwise than the loss.

    Args:
        n: sizes of the training sets, one per run.
        size: model sizes.
        loss: measured losses.
        stderr: their standard errors: a number or one per run.

    Raises:
        ValueError: arrays of different lengths, values that are not positive.

    Source: Hestness et al. 2017 (arXiv:1712.00409), section 3; order statistics of the normal distribution.
    """
    samples = _checks.finite_array("n", n, ndim=1)
    sizes, losses = (_checks.finite_array(name, value, ndim=1) for name, value in (("size", size), ("loss", loss)))
    for name, values in (("size", sizes), ("loss", losses)):
        if len(values) != len(samples):
            raise ValueError(f"`{name}` must be as long as `n` ({len(samples)} runs), got {len(values)}.")
    if (samples <= 0).any() or (sizes <= 0).any():
        raise ValueError("`n` and `size` must be positive.")
    error = np.full(len(samples), np.nan)
    if stderr is not None:
        spread = _checks.finite_array("stderr", stderr, ndim=(0, 1))
        if (spread < 0).any() or (spread.ndim and spread.shape != samples.shape):
            raise ValueError(f"`stderr` must not be negative, one number or one per run; got shape {spread.shape}.")
        error = np.broadcast_to(spread, samples.shape)
    rows = []
    for value in np.unique(samples):
        members = np.flatnonzero(samples == value)
        best = members[np.argmin(losses[members])]
        tried = sizes[members]
        edge = tried.size > 1 and sizes[best] in (tried.min(), tried.max())
        rows.append(
            (value, losses[best], sizes[best], len(members), _expected_maximum(len(members)) * error[best], edge)
        )
    columns = [np.array(column, dtype=np.float64) for column in zip(*rows, strict=True)]
    return Envelope(columns[0], columns[1], columns[2], columns[3].astype(np.int64), columns[4], columns[5])


def _expected_maximum(count: int) -> float:
    """Expected maximum of `count` standard normal numbers."""
    if count == 1:
        return 0.0
    x = np.linspace(-9, 9, 4001)
    density = count * stats.norm.pdf(x) * stats.norm.cdf(x) ** (count - 1)
    return float(np.sum(x * density) * (x[1] - x[0])) if count > 1 else math.nan
