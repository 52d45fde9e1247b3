"""What to be wary of when a sample is analysed, each in one sentence with the number that gives cause."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float64

from regimes.forecast import Forecast, HeldOut
from regimes.inputs import Source
from regimes.results import Estimate, LearningCurve

Array = np.ndarray

FEW = 300
"""Samples below which the intervals are wide and windows narrow."""
_NEAR = 1e-4
"""Squared distance of a near copy, as a share of the median squared distance of nearest neighbours."""
_OFTEN = 0.01
"""Share of near copies above which they are mentioned; by chance there are fewer."""
_GAUSSIAN = 0.8
"""n kappa(n) over the pivots at half of the data, below which the samples count as far from Gaussian."""


def lift(values: Float64[Array, " n"]) -> float:
    """What must be added to the diagonal of a Gram matrix so that rounding leaves no negative eigenvalue.

    Args:
        values: eigenvalues, descending.
    """
    rounding = len(values) * np.finfo(np.float64).eps * float(values[0])
    return -1.01 * float(values[-1]) if values[-1] < -rounding else 0.0


def rounding_floor(source: Source, values: Float64[Array, " n"], computed: bool) -> tuple[float, str]:
    """Eigenvalues below this, as a share of the largest, are rounding; and of which numbers.

    Args:
        source: with the precision of its numbers.
        values: eigenvalues of K, descending.
        computed: whether K was computed here from inputs by a kernel; then inputs in single precision are inputs like
            others.
    """
    double = len(values) * float(np.finfo(np.float64).eps)
    if computed or source.kind == "inputs" or source.precision == "float64":
        return double, "float64"
    # Features enter squared: their singular values are known to epsilon, eigenvalues to its square.
    single = source.epsilon**2 if source.kind == "features" else source.epsilon
    return (single, source.precision) if single > double else (double, "float64")


def of_sample(
    source: Source, matrix: Float64[Array, "n n"], values: Float64[Array, " n"], lifted: float, computed: bool
) -> list[str]:
    """Doubts about the numbers that came in.

    Args:
        source: what was read.
        matrix: Gram matrix of the samples that are analysed.
        values: its eigenvalues, descending.
        lifted: what [lift][regimes.doubts.lift] added.
        computed: as in [rounding_floor][regimes.doubts.rounding_floor].
    """
    size, found = len(matrix), []
    if size < source.size:
        found.append(f"{size} of {source.size} samples are analysed, drawn at random: say a larger `size` for more.")
    if size < FEW:
        found.append(
            f"{size} samples are few: alpha and beta are read up to n = {size // 4}, the spectrum up to {size // 3}."
        )
    if lifted > 0:
        found.append(
            f"rounding has made eigenvalues negative: {lifted:.1e} was added to the diagonal, whose mean is "
            f"{np.diagonal(matrix).mean():.3g}."
        )
    share, precision = rounding_floor(source, values, computed)
    mode = int(np.count_nonzero(values > max(share * float(values[0]), 2 * lifted)))
    features = source.array.shape[1] if source.kind == "features" and not computed else math.inf
    if min(features, mode) < size and features <= mode + 1:
        found.append(
            f"the kernel has {features:g} features: from n = {features:g} on it is exhausted, and what is left of the "
            "loss cannot be learnt with it."
        )
    elif mode < size:
        within = "inside" if mode < size / 3 else "beyond"
        found.append(
            f"the floor of rounding is reached at mode {mode + 1} of {size} ({precision}: eigenvalues below {share:.1e}"
            f" of the largest), {within} what is read (up to {size // 3})"
            + ("; compute the kernel in float64 if it is not." if precision != "float64" else ".")
        )
    copies = _near_copies(matrix)
    if copies > _OFTEN * size:
        found.append(
            f"{copies} of {size} samples are near copies of another: samples that are not independent make losses and "
            "intervals too small."
        )
    return found


def of_results(
    *,
    reach: float,
    forecasts: tuple[Forecast, ...],
    noise: Estimate,
    given: bool,
    total: float | None,
    trace: float,
    measured: LearningCurve | None,
    pivots: LearningCurve | None,
    harmonic: LearningCurve | None,
    held_out: HeldOut | None,
) -> list[str]:
    """Doubts about what came out.

    Args:
        reach: largest size that the spectrum is read at.
        forecasts: the predicted curves.
        noise: of the labels.
        given: whether the noise was stated and not estimated.
        total: mean square of the targets; None for the kernel's prior.
        trace: mean of K(x, x).
        measured: leave-one-out losses, the last one on all samples but one.
        pivots: loss of the kernel's own prior.
        harmonic: the same under Gaussian universality.
        held_out: score of a forecast from a share of the samples.
    """
    found = []
    first = forecasts[0]
    if first.beyond.any() and math.isfinite(reach):
        found.append(
            f"beyond n = {first.reach:g} the curve is an extrapolation: the spectrum goes on as the power law that "
            f"it is read as up to n = {reach:.0f}."
        )
    loss = None if measured is None else float(measured.loss[-1])
    if total is not None and not given and noise.low <= 0 < noise.high:
        found.append(
            f"noise is not told apart from a target that is hard to learn: any variance up to {noise.high:.3g} will do."
        )
    if total is not None and loss is not None and noise.low > 0 and noise.value > 0.5 * loss:
        found.append(f"noise dominates: about {noise.value:.3g} of the loss {loss:.3g} on all of the data are noise.")
    if total is not None and loss is not None and measured is not None and pivots is not None:
        left, prior = loss / total, float(np.interp(measured.at[-1], pivots.at, pivots.loss)) / trace
        if left >= 1:
            found.append(
                f"nothing is learnt: at n = {measured.at[-1]:g} the leave-one-out loss is {left:.2f} times the mean "
                "square of the targets."
            )
        elif left >= prior and math.isfinite(reach):
            found.append(
                f"the targets are learnt no better than draws from the kernel's prior: at n = {measured.at[-1]:g} "
                f"{left:.0%} of their power is left, of a draw {prior:.0%}; another kernel may suit them better."
            )
    if pivots is not None and harmonic is not None:
        half = pivots.at[-1] / 2
        ratio = float(np.interp(half, harmonic.at, harmonic.loss) / np.interp(half, pivots.at, pivots.loss))
        if ratio < _GAUSSIAN:
            found.append(
                f"the samples are far from Gaussian (n kappa/pivots = {ratio:.2f} at n = {half:.0f}): exponents hold, "
                "losses predicted from the spectrum can be off."
            )
    if held_out is not None and held_out.error > 0.15:
        found.append(
            f"from {held_out.forecast.reach:g} samples the forecast of the rest missed by {held_out.error:.0%} in the "
            "median."
        )
    return found


def of_list(source: Source, samples: int | None) -> list[str]:
    """Doubts about a list of eigenvalues.

    Args:
        source: the list.
        samples: of the Gram matrix that they come from; None if they are those of the population.
    """
    found = []
    if samples is None:
        found.append(
            f"the list counts as the whole spectrum of the population: eigenvalues beyond the {source.size} listed are "
            "taken as zero. If they come from a Gram matrix of N samples, say samples=N (--samples N)."
        )
    else:
        found.append("a list of eigenvalues has no intervals: how far another sample would differ is not told.")
        if source.size < samples:
            found.append(f"{samples - source.size} of {samples} eigenvalues are missing and count as zero.")
    share, precision = rounding_floor(source, source.array, False)
    mode = int(np.count_nonzero(source.array > share * float(source.array[0])))
    if mode < source.size:
        found.append(f"the floor of rounding is reached at mode {mode + 1} of {source.size} ({precision}).")
    return found


def _near_copies(matrix: Array) -> int:
    """Samples that are closer to another one than a hundredth of what is usual."""
    diagonal = np.diagonal(matrix)
    nearest = np.empty(len(matrix))
    for start in range(0, len(matrix), 512):
        rows: Any = slice(start, min(start + 512, len(matrix)))
        squares = diagonal[rows, None] + diagonal - 2 * matrix[rows]
        squares[np.arange(rows.stop - start), np.arange(start, rows.stop)] = np.inf
        nearest[rows] = squares.min(axis=1)
    return int(np.count_nonzero(nearest < _NEAR * np.median(nearest)))
