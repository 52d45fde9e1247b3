"""Gradient flow on given features or a given kernel, exactly at every time, from one decomposition.

The measured counterpart of [gradient_flow][regimes.dynamics.gradient_flow]; time is in its units.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float64

from regimes import _checks

Array = np.ndarray


def of_features(
    features: Any, targets: Any, test_features: Any, test_targets: Any, time: Any
) -> Float64[Array, "two times"]:
    """Test loss of gradient flow on given features from zero, and what a unit of label noise adds to it.

    theta' = -(1/n) Phi^T (Phi theta - y); with Phi/sqrt(n) = U diag(s) V^T the prediction is linear in the targets,
    f = Phi_test V diag((1 - exp(-s^2 t))/s) U^T y/sqrt(n), and noise of variance 1 in each target adds its squared
    Frobenius norm over the number of test samples: the average over noise, exactly.

    Args:
        features: (n, k).
        targets: (n, outputs), without noise.
        test_features: (m, k).
        test_targets: (m, outputs).
        time: times, not negative.

    Returns:
        (2, times): squared error summed over outputs, mean over test samples; and its increase for noise of variance 1
        summed over outputs.

    Raises:
        ValueError: shapes that do not fit, NaN, a negative time.
    """
    phi, other = (
        _checks.finite_array("features", features, ndim=2),
        _checks.finite_array("test_features", test_features, ndim=2),
    )
    y = _checks.targets("targets", targets, len(phi))
    y_test = _checks.targets("test_targets", test_targets, len(other))
    if other.shape[1] != phi.shape[1] or y.shape[1] != y_test.shape[1]:
        raise ValueError(
            f"`test_features` must have the {phi.shape[1]} columns of `features`, and `test_targets` the "
            f"{y.shape[1]} of `targets`; got shapes {other.shape} and {y_test.shape}."
        )
    at = _times(time)
    left, scale, right = np.linalg.svd(phi / math.sqrt(len(phi)), full_matrices=False)
    cross, along = other @ right.T, left.T @ y / math.sqrt(len(phi))
    size = np.sum(cross**2, axis=0) / len(phi) / len(other)
    safe = np.where(scale > 0, scale, 1.0)
    result = np.empty((2, len(at)))
    for place, t in enumerate(at):
        learnt = -np.expm1(-(scale**2) * t) / safe  # (1 - exp(-s^2 t))/s, zero where s is
        error = cross @ (learnt[:, None] * along) - y_test
        result[:, place] = np.mean(np.sum(error**2, axis=1)), np.sum(size * learnt**2)
    return result


def of_kernel(gram: Any, targets: Any, cross: Any, test_targets: Any, time: Any) -> Float64[Array, " times"]:
    """Test loss of gradient flow in a kernel from zero: f = K(test, train) (1 - exp(-K t/n)) K^-1 y.

    Args:
        gram: (n, n) kernel of the training samples.
        targets: (n, outputs).
        cross: (m, n) kernel between test and training samples.
        test_targets: (m, outputs).
        time: times, not negative.

    Returns:
        Squared error summed over outputs, mean over test samples.

    Raises:
        ValueError: shapes that do not fit, NaN, a negative time.
    """
    kernel = _checks.gram_matrix("gram", gram)
    y, other = _checks.targets("targets", targets, len(kernel)), _checks.finite_array("cross", cross, ndim=2)
    y_test = _checks.targets("test_targets", test_targets, len(other))
    if other.shape[1] != len(kernel) or y.shape[1] != y_test.shape[1]:
        raise ValueError(
            f"`cross` must have {len(kernel)} columns, and `test_targets` {y.shape[1]}; got shapes {other.shape} and "
            f"{y_test.shape}."
        )
    at = _times(time)
    values, vectors = np.linalg.eigh(kernel / len(kernel))
    values = np.maximum(values, 1e-14 * values.max())
    along, across = vectors.T @ y, other @ vectors / len(kernel)
    each = [across @ (-np.expm1(-values * t)[:, None] / values[:, None] * along) for t in at]
    return np.array([np.mean(np.sum((one - y_test) ** 2, axis=1)) for one in each])


def _times(time: Any) -> Array:
    at = np.atleast_1d(_checks.finite_array("time", time, ndim=(0, 1)))
    if (at < 0).any():
        raise ValueError("`time` must not be negative.")
    return at
