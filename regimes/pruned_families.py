"""Families of pruned networks, the pruning law fitted to them, and what the law says of other shapes.

A family is one shape (depth, width) on one number of samples, from the dense network to its last round of pruning. The
law, of the invariant depth^phi width^psi density, is fitted to the losses of some families. From it follow which
networks of two other shapes should have equal losses, and, with a power law of the dense losses, which network is best
once it is pruned to a number of parameters.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy import stats

from regimes import _checks, display, fits, kernels, laws, networks, teachers
from regimes.fits import Fit
from regimes.results import Estimate

Array = np.ndarray

_WEIGHT_STD, _BIAS_STD = 0.7, 0.1


@display.shown
class Family(NamedTuple):
    """One shape on one number of samples, from dense to its last round."""

    depth: int
    """Hidden layers."""
    width: int
    """Units in each."""
    n: int
    """Training samples."""
    weights: int
    """Weights of the dense network."""
    biases: int
    """Its biases."""
    density: Float64[Array, " rounds_and_1"]
    """Share of the weights left."""
    losses: Float64[Array, "rounds_and_1 seeds"]
    """Test loss of each seed."""

    @property
    def loss(self) -> Float64[Array, " rounds_and_1"]:
        """Geometric mean over seeds."""
        return teachers.log_mean(self.losses.T)

    @property
    def scales(self) -> dict[str, float]:
        """What the law needs to know besides the density."""
        return {"depth": float(self.depth), "width": float(self.width), "dense": float(self.loss[0])}

    def at(self, density: Any) -> Any:
        """Loss at a density, between rounds on a straight line in log-log."""
        return np.exp(np.interp(np.log(density), np.log(self.density[::-1]), np.log(self.loss[::-1])))


@display.shown
class Pair(NamedTuple):
    """Two pruned networks that the law says are interchangeable."""

    n: int
    """Training samples."""
    one: tuple[int, int, float]
    """Depth, width and density of one."""
    other: tuple[int, int, float]
    """Depth, width and density at which the other should have the same loss."""
    predicted: float
    """That loss."""
    measured: tuple[float, float]
    """Losses of the two as trained."""


@display.shown
class Budget(NamedTuple):
    """The best network for a number of parameters, predicted and trained."""

    n: int
    """Training samples."""
    parameters: int
    """Weights and biases that may be left."""
    depth: int
    """Of the network to prune that the law chooses."""
    width: int
    """Its width."""
    density: float
    """Density to which it is pruned."""
    larger: float
    """Its parameters before pruning over those of the budget."""
    predicted: float
    """Loss that law and dense losses say."""
    measured: Float64[Array, " seeds"]
    """Loss as trained."""
    dense_shape: tuple[int, int]
    """Depth and width of the best dense network of the budget, of all depths."""
    dense: Float64[Array, " seeds"]
    """Its loss."""

    @property
    def ratio(self) -> Estimate:
        """Loss of the pruned network over that of the dense one, interval from both spreads over seeds."""
        return _ratio(np.log(self.measured), np.log(self.dense))


def shape(depth: int, width: int, inputs: int, outputs: int) -> tuple[int, int]:
    """Weights and biases of a network.

    Args:
        depth: hidden layers.
        width: units in each.
        inputs: values of a sample.
        outputs: units of the last layer.

    Raises:
        ValueError: fewer than one of any.
    """
    depth, width = _checks.count("depth", depth), _checks.count("width", width)
    inputs, outputs = _checks.count("inputs", inputs), _checks.count("outputs", outputs)
    return width * (inputs + outputs + (depth - 1) * width), depth * width + outputs


def network(depth: int, width: int, outputs: int) -> networks.Network:
    """Hidden layers of relu units in the standard parameterisation, with outputs that begin near zero.

    Weights are drawn with 0.7/sqrt(fan-in): with sqrt(2) the first outputs are so large that adam remembers them for a
    thousand steps.

    Args:
        depth: hidden layers.
        width: units in each.
        outputs: units of the last layer.

    Raises:
        ValueError: fewer than one of any.
    """
    model = kernels.fully_connected(depth, weight_std=_WEIGHT_STD, bias_std=_BIAS_STD)
    return networks.network(model, width, outputs=outputs, parameterisation="standard")


def fit_law(families: Sequence[Family], *, seed: int = 0) -> Fit:
    """The pruning law fitted to all pruned networks of some families, with intervals from resampled families.

    Args:
        families: at least three of different shapes; their dense losses are taken as given.
        seed: of the bootstrap.

    Raises:
        ValueError: fewer than three families.
    """
    _enough(families)
    columns: dict[str, Any] = {name: [] for name in ("density", "depth", "width", "dense", "loss", "family")}
    for index, one in enumerate(families):
        for density, loss in zip(one.density[1:], one.loss[1:], strict=True):
            if not math.isfinite(loss):
                continue
            row = {"density": float(density), **one.scales, "loss": float(loss), "family": float(index)}
            for name, value in row.items():
                columns[name].append(value)
    groups, loss = columns.pop("family"), columns.pop("loss")
    return fits.fit(laws.PRUNING, loss, groups=groups, bootstrap=100, seed=seed, throw=False, **columns)


def dense_law(families: Sequence[Family]) -> dict[str, float]:
    """The power law a width^-b depth^-c of dense losses, by least squares of the logarithm.

    Args:
        families: at least three, of different depths and widths.

    Returns:
        a, b, c and the spread of the logarithm about the law.

    Raises:
        ValueError: fewer than three families.
    """
    _enough(families)
    design = np.array([[1.0, -math.log(one.width), -math.log(one.depth)] for one in families])
    logs = np.log([one.loss[0] for one in families])
    found = np.linalg.lstsq(design, logs, rcond=None)[0]
    spread = float(np.std(design @ found - logs))
    return {"a": math.exp(found[0]), "b": float(found[1]), "c": float(found[2]), "spread": spread}


def pairs(fit: Fit, held: Sequence[Family]) -> list[Pair]:
    """For every pruned network of a further shape, the density at which another shape should have its loss.

    Densities beyond those that the other shape was pruned to are left out.

    Args:
        fit: the law.
        held: families of at least two shapes that it was not fitted to.
    """
    found = []
    for one, other in itertools.permutations(held, 2):
        if one.n != other.n or (one.depth, one.width) > (other.depth, other.width):
            continue
        predicted = np.asarray(fit.law(fit.parameters, density=one.density, **one.scales))
        at = np.asarray(fit.law.inverse(fit.parameters, predicted, "density", **other.scales))
        for density, loss, measured, there in zip(one.density, predicted, one.loss, at, strict=True):
            if density < 1 and other.density[-1] <= there <= 1 and math.isfinite(measured):
                shapes = (one.depth, one.width, float(density)), (other.depth, other.width, float(there))
                found.append(Pair(one.n, *shapes, float(loss), (float(measured), float(other.at(there)))))
    return found


def best_for(
    parameters: int,
    fit: Fit,
    dense: dict[str, float],
    depths: Sequence[int],
    widths: tuple[int, int],
    ends: tuple[int, int],
) -> tuple[int, int, float, float]:
    """Depth, width, density and predicted loss of the network that is best once it is pruned to a number of parameters.

    Args:
        parameters: weights and biases left.
        fit: the law.
        dense: the power law of the dense losses, a width^-b depth^-c.
        depths: depths to choose from.
        widths: smallest and largest width to choose from.
        ends: inputs and outputs.

    Raises:
        ValueError: no shape has at least so many parameters and fewer biases.
    """
    best = None
    for depth in depths:
        for width in range(widths[0], widths[1] + 1):
            weights, biases = shape(depth, width, *ends)
            density = (parameters - biases) / weights
            if not 0 < density <= 1:
                continue
            loss = dense["a"] * width ** -dense["b"] * depth ** -dense["c"]
            # A dense loss above that of no weights is none to be pruned.
            loss = min(loss, 0.999 * fit.parameters["pruned"])
            scales = {"depth": depth, "width": width, "dense": loss}
            predicted = float(fit.law(fit.parameters, density=density, **scales))
            if best is None or predicted < best[3]:
                best = depth, width, density, predicted
    if best is None:
        raise ValueError(f"`parameters` of {parameters} fit no network of depths {depths} and widths {widths}.")
    return best


def _ratio(one: Array, other: Array) -> Estimate:
    """Ratio of geometric means from logarithms, with Welch's interval."""
    one, other = one[np.isfinite(one)], other[np.isfinite(other)]
    if min(len(one), len(other)) < 2:
        return Estimate(math.nan, 0.0, math.inf, 0.95, None, "too few seeds")
    gap = float(one.mean() - other.mean())
    welch = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    return Estimate(math.exp(gap), math.exp(welch.low), math.exp(welch.high), 0.95, None, "over seeds")


def _enough(families: Sequence[Family]) -> None:
    if len(families) < 3:
        raise ValueError(f"`families` must be at least three, got {len(families)}.")
