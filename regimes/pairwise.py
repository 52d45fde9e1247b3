"""Kernels by name: neural networks, the Laplace and Gaussian kernels, and scikit-learn's pairwise kernels."""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.spatial import distance

from regimes import _checks
from regimes.kernels import fully_connected

Array = np.ndarray

NETWORKS = ("ntk", "nngp")
RADIAL = ("laplace", "gaussian")
SCIKIT_LEARN = ("rbf", "laplacian", "linear", "polynomial", "cosine", "sigmoid", "chi2", "additive_chi2")
NAMES = (*NETWORKS, *RADIAL, *SCIKIT_LEARN)
"""The kernels that [named][regimes.pairwise.named] knows."""
_LOOKED_AT = 500
"""Samples from whose distances a length is taken."""


@dataclasses.dataclass(frozen=True)
class Radial:
    """exp(-r/length) (laplace) or exp(-r^2/(2 length^2)) (gaussian) of the Euclidean distance r."""

    name: str
    """laplace or gaussian."""
    length: float
    """In the units of the inputs."""

    def __call__(self, x: Any, other: Any = None) -> Float64[Array, "n m"]:
        """Gram matrix of flattened samples."""
        first = _flat(x)
        r = distance.cdist(first, first if other is None else _flat(other)) / self.length
        return np.exp(-r if self.name == "laplace" else -(r**2) / 2)

    def __str__(self) -> str:
        return f"{self.name} kernel of length {self.length:.3g}"


@dataclasses.dataclass(frozen=True)
class Pairwise:
    """A kernel of `sklearn.metrics.pairwise` with its own defaults."""

    name: str
    """As scikit-learn calls it."""

    def __call__(self, x: Any, other: Any = None) -> Float64[Array, "n m"]:
        """Gram matrix of flattened samples."""
        from sklearn.metrics.pairwise import pairwise_kernels

        return np.asarray(pairwise_kernels(_flat(x), None if other is None else _flat(other), metric=self.name))

    def __str__(self) -> str:
        return f"{self.name} kernel of scikit-learn"


def named(name: str, x: Any, *, depth: int = 2, activation: str = "relu", length: float | None = None) -> Any:
    """The kernel of that name, a callable (x, other) -> Gram matrix.

    Args:
        name: ntk or nngp of a fully connected network; laplace or gaussian; or a pairwise kernel of scikit-learn,
            whose rbf and laplacian divide by the number of inputs, the latter in the distance of absolute values.
        x: (n, ...) samples, from which the length of laplace and gaussian is taken where none is given: the median
            distance between two samples.
        depth: hidden layers of ntk and nngp.
        activation: of ntk and nngp.
        length: of laplace and gaussian.

    Raises:
        ValueError: an unknown name, a network that cannot be, a length that is not positive.
    """
    name = _checks.choice("kernel", name, NAMES)
    if name in NETWORKS:
        return fully_connected(depth, kind=name, activation=activation)
    if name in RADIAL:
        return Radial(name, _median(x) if length is None else _checks.number("length", length, low=0, strict=True))
    return Pairwise(name)


def options(name: str) -> tuple[str, ...]:
    """The options of [named][regimes.pairwise.named] that a kernel takes.

    Raises:
        ValueError: an unknown name.
    """
    name = _checks.choice("kernel", name, NAMES)
    return ("depth", "activation") if name in NETWORKS else ("length",) if name in RADIAL else ()


def _median(x: Any) -> float:
    """Median distance between two of some samples, evenly spread over all."""
    some = _flat(x[:: max(1, math.ceil(len(x) / _LOOKED_AT))])
    return float(np.median(distance.pdist(some)))


def _flat(x: Any) -> Array:
    x = np.asarray(x, dtype=np.float64)
    return x.reshape(len(x), -1)
