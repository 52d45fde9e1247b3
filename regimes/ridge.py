"""Exact measured losses: every n, or every k, from one Cholesky factor.

With K + ridge = L L^T over N nested training samples, the prediction from the first n of them is the running
sum over i <= n of (L^-1 K_test)_i (L^-1 y)_i. One factor gives the exact test loss at every n up to N; the
same lines with the feature covariance Phi^T Phi in place of K give it at every k up to n.

The loss is the mean over test samples of the squared error summed over outputs.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float64

from regimes import _checks, factor
from regimes.results import LearningCurve

Array = np.ndarray
ROUNDING = 0.05
"""How much ten times the jitter may change a loss without ridge; the error by the jitter is then below 1 %."""
_CHUNK = 1_000_000
"""Entries of a (sizes, test, outputs) table worked on at once."""


def loss_in_n(
    gram: Any, cross: Any, targets: Any, test_targets: Any, *, ridge: float = 0.0, at: Any = None
) -> Float64[Array, " sizes"]:
    """Test loss of kernel ridge regression on the first n samples, for every n.

    Args:
        gram: (N, N) Gram matrix of the training samples, in the order in which they are added.
        cross: (N, tests) kernel between training and test samples.
        targets: (N,) or (N, outputs).
        test_targets: (tests,) or (tests, outputs), noise included if the loss is to include it.
        ridge: added to the diagonal; 0 means the smallest stable jitter (see `factor.cholesky`).
        at: increasing sizes between 1 and N; default every n from 1 to N, at no further cost.

    Raises:
        ValueError: shapes that do not fit, NaN, a matrix that is not symmetric positive definite.
    """
    gram = _checks.gram_matrix("gram", gram)
    y, y_test = _pair(targets, test_targets, len(gram))
    cross = _cross("cross", cross, len(gram), len(y_test))
    ridge = _checks.number("ridge", ridge, low=0)
    return _running_loss(factor.cholesky(gram, ridge).lower, cross, y, y_test, at)


def loss_in_k(
    features: Any, test_features: Any, targets: Any, test_targets: Any, *, ridge: float = 0.0, at: Any = None
) -> Float64[Array, " sizes"]:
    """Test loss of ridge regression on the first k features, for every k up to the number of samples.

    Args:
        features: (n, K) features of the training samples, K <= n, in the order in which they are added.
        test_features: (tests, K).
        targets: (n,) or (n, outputs).
        test_targets: (tests,) or (tests, outputs).
        ridge: added to Phi^T Phi (the features without their 1/sqrt(k)): `ridge` of the theory times k.
        at: increasing sizes between 1 and K; default every k.

    Raises:
        ValueError: shapes that do not fit, NaN, more features than samples.
    """
    phi = _checks.finite_array("features", features, ndim=2)
    if phi.shape[1] > phi.shape[0]:
        raise ValueError(
            f"`features` must not have more columns than rows, got shape {phi.shape}; beyond k = n use `loss_at`."
        )
    y, y_test = _pair(targets, test_targets, len(phi))
    phi_test = _cross("test_features", test_features, len(y_test), phi.shape[1])
    ridge = _checks.number("ridge", ridge, low=0)
    lower = factor.cholesky(phi.T @ phi, ridge).lower
    return _running_loss(lower, phi_test.T, phi.T @ y, y_test, at)


def loss_at(features: Any, test_features: Any, targets: Any, test_targets: Any, *, ridge: float = 0.0) -> float:
    """Test loss of ridge regression at one (n, k), on either side of n = k.

    Fewer features than samples: the normal equations. More: the Gram matrix phi phi^T / k, whose ridgeless
    limit is the interpolator of minimum norm.

    Args:
        features: (n, k), without the factor 1/sqrt(k).
        test_features: (tests, k).
        targets: as in [loss_in_n][regimes.ridge.loss_in_n].
        test_targets: as there.
        ridge: added to the Gram matrix phi phi^T / k.

    Raises:
        ValueError: shapes that do not fit, NaN.
    """
    phi = _checks.finite_array("features", features, ndim=2)
    n, k = phi.shape
    if k < n:
        losses = loss_in_k(phi, test_features, targets, test_targets, ridge=ridge * k, at=[k])
    else:
        phi_test = _checks.finite_array("test_features", test_features, ndim=2)
        losses = loss_in_n(phi @ phi.T / k, phi @ phi_test.T / k, targets, test_targets, ridge=ridge, at=[n])
    return float(losses[0])


def limit_in_n(features: Any, targets: Any, rows: Any = None) -> float:
    """The loss at infinite n of a least-squares fit on k features, estimated on chosen samples.

    Fitted on all P samples, sample i leaves the residual r_i and has the leverage h_i. E r_i^2 falls short of
    the limit as its leave-one-out error r_i^2/(1-h_i)^2 exceeds it, so the mean of r_i^2/(1-h_i) estimates it.

    Args:
        features: (P, k) with k < P.
        targets: (P,) or (P, outputs).
        rows: which samples to average over, such as those on which a loss at finite n is measured: then the
            difference of the two does not feel how hard these samples are. Default all.

    Raises:
        ValueError: shapes that do not fit, NaN, k not below P.
    """
    phi = _checks.finite_array("features", features, ndim=2)
    if phi.shape[1] >= phi.shape[0]:
        raise ValueError(f"`features` must have fewer columns than rows, got shape {phi.shape}.")
    y = _checks.targets("targets", targets, len(phi))
    lower = factor.cholesky(phi.T @ phi).lower
    half = factor.solve_lower(lower, phi.T)
    residual = y - half.T @ (half @ y)
    share = np.sum(residual**2, axis=1) / (1 - np.sum(half**2, axis=0))
    return float(share.mean() if rows is None else share[rows].mean())


def pivot_curve(gram: Any, at: Any, *, trials: int = 4, seed: int = 0) -> LearningCurve:
    """The loss of the kernel's own prior along n, from the Gram matrix alone: no target, no test set.

    In random order E[L_jj^2] is the posterior variance at a new point after j - 1, whatever the distribution of
    the data; here averaged over which of the first j samples comes last, 1/(K_j^-1)_ii. Where only rounding is left
    of it, from the rank of the kernel on, it is zero.

    Args:
        gram: (N, N) Gram matrix.
        at: numbers of samples, between 1 and N - 1.
        trials: random orders.
        seed: seed of the orders.

    Raises:
        ValueError: not a Gram matrix, sizes out of range.
    """
    gram = _checks.gram_matrix("gram", gram)
    at = _checks.sizes("at", at, low=1, high=len(gram) - 1)
    rows = []
    for order in _orders(len(gram), trials, seed):
        order = order[: at[-1] + 1]
        factored = factor.cholesky(gram[np.ix_(order, order)])
        variance = factor.leave_one_out(factored.lower, at + 1).variance
        rows.append(np.where(variance < 100 * factored.jitter, 0.0, variance))
    return LearningCurve.from_trials("n", at, np.array(rows), {"k": math.inf}, "Cholesky pivots of the Gram matrix")


def feature_pivot_curve(features: Any, at: Any, *, trials: int = 4, seed: int = 0) -> LearningCurve:
    """The mirror image of [pivot_curve][regimes.ridge.pivot_curve]: the same loss along k, from features alone.

    The pivots of the feature covariance Phi^T Phi / N in random feature order are the variance of a new feature
    that k others leave unexplained: the loss at n = infinity of a target drawn like the features. Fitting k
    features on N samples takes up k/N of that variance, which is divided out.

    Args:
        features: (N, K) with K < N.
        at: numbers of features, between 1 and K - 1.
        trials: random orders.
        seed: seed of the orders.

    Raises:
        ValueError: more features than samples, sizes out of range, NaN.
    """
    phi = _checks.finite_array("features", features, ndim=2)
    if phi.shape[1] >= phi.shape[0]:
        raise ValueError(f"`features` must have fewer columns than rows, got shape {phi.shape}.")
    at = np.asarray(at)
    curve = pivot_curve(phi.T @ phi / len(phi), at, trials=trials, seed=seed)
    assert curve.trials is not None
    return LearningCurve.from_trials(
        "k", curve.at, curve.trials / (1 - curve.at / len(phi)), {"n": math.inf}, "Cholesky pivots of the features"
    )


def kappa_curve(gram: Any, at: Any, *, trials: int = 4, seed: int = 0) -> LearningCurve:
    """N kappa(n) with kappa = 1/tr K_n^-1: the loss along n of the kernel's own prior under Gaussian universality.

    n kappa is the harmonic and the pivot curve the arithmetic mean of the leave-one-out variances 1/(K_n^-1)_ii,
    so their ratio, at most 1, shows how far the samples are from Gaussian: see docs/sharp_bits.md.

    Args and errors as in [pivot_curve][regimes.ridge.pivot_curve]; sizes may reach N.
    """
    gram = _checks.gram_matrix("gram", gram)
    at = _checks.sizes("at", at, low=1, high=len(gram))
    rows = []
    for order in _orders(len(gram), trials, seed):
        order = order[: at[-1]]
        lower = factor.cholesky(gram[np.ix_(order, order)]).lower
        rows.append(at * factor.leave_one_out(lower, at).kappa)
    return LearningCurve.from_trials("n", at, np.array(rows), {"k": math.inf}, "n / tr K_n^-1")


def loss_from_training(
    gram: Any,
    targets: Any,
    at: Any = None,
    *,
    ridge: float = 0.0,
    method: str = "leave_one_out",
    trials: int = 4,
    seed: int = 0,
) -> LearningCurve:
    """The test loss of kernel ridge regression along n from training data alone, from one factor per random order.

    With M = (K_m + ridge)^-1 over m samples,

        leave_one_out:  L(n) = mean_i (M y)_i^2/M_ii^2,       m = n + 1,
        gcv:            L(n) = n y^T M^2 y/(tr M)^2,          m = n.

    Leave-one-out is the mean error of the m fits on n samples at the sample that each lacks. Over independent samples
    its mean is the loss at n exactly, whatever the kernel, the target and the noise. Generalised cross-validation
    puts the mean of M_ii for each: it is the training loss over (ridge tr M/m)^2, the square of the share that is not
    fitted, and is right as far as Gaussian universality is. Without ridge both stay finite, although the training
    loss is 0: interpolation leaves no residual but M = K^-1 remembers how hard each sample is to predict. They are
    then the loss of the interpolator of minimum norm.

    Orders of one sample are not independent: all draw from the same N, and where m = N they agree fully. So their
    spread over T rows of `trials`, r, understates what another sample would give, for a plain mean by a factor
    sqrt(1 + T m/(N - m)). `stderr` adds what all orders share: stderr^2 = r^2/T + s^2/N, s the standard deviation of
    the squared errors over samples (s^2/m for one order). Intervals of `LearningCurve.exponent` rest on the rows only.

    Args:
        gram: (N, N) Gram matrix of independent samples.
        targets: (N,) or (N, outputs), with their noise: the loss includes it.
        at: increasing numbers of training samples n, from 1 to N - 1 for "leave_one_out" and from 2 to N for "gcv";
            default all of them, at little further cost.
        ridge: added to the diagonal at every n, not multiplied by n.
        method: "leave_one_out" or "gcv".
        trials: random orders.
        seed: seed of the orders.

    Raises:
        ValueError: not a Gram matrix, targets of another length, sizes out of range; a ridge below rounding and
            a matrix so nearly singular that the jitter (see `factor.cholesky`) would decide the loss, as for smooth
            kernels and for fewer features than samples.

    Source: Golub, Heath and Wahba, Technometrics 21 (1979) 215; Jacot et al. 2020 (arXiv:2006.09796), whose kernel
    alignment risk estimator is "gcv"; Wei, Hu and Steinhardt 2022 (arXiv:2203.06176), also without ridge.

    Valid when the samples are independent: copies or near copies (augmented images, neighbouring frames) make the
    loss too small. On planted Gaussian data "gcv" was low by 0.7/n in relative terms; on the labels of 8 x 8 digits
    (NTK and Laplace kernel, n = 50 to 898) it was 0.70 to 0.89 of the test loss, as hard images are also far from their
    neighbours, and "leave_one_out" 0.96 to 1.04. Prefer the latter.

    `stderr` takes errors at different samples for uncorrelated. On planted power laws of N = 200 with 4 orders it was
    0.9 to 1.2 times the spread over independent samples up to n = N/2, and 0.7 to 1.1 at 3N/4. Near n = N it was 0.9
    to 1.1 with a ridge and without one 0.8, or 0.4 where noise is interpolated. The spread of the orders alone fell
    from 0.8-1.0 at N/8 to 0.5-0.7 at N/2 and to 0 at N.
    """
    gram = _checks.gram_matrix("gram", gram)
    y = _checks.targets("targets", targets, len(gram))
    ridge = _checks.number("ridge", ridge, low=0)
    method = _checks.choice("method", method, ("leave_one_out", "gcv"))
    if len(gram) < 2:
        raise ValueError(f"`gram` must hold at least 2 samples, got {len(gram)}.")
    beyond = 1 if method == "leave_one_out" else 0  # samples more than the fit has
    first, last = 2 - beyond, len(gram) - beyond
    at = np.arange(first, last + 1) if at is None else _checks.sizes("at", at, low=first, high=last)
    sizes = at + beyond
    losses, spreads = [], []
    for order in _orders(len(gram), trials, seed):
        order = order[: sizes[-1]]
        part = gram[np.ix_(order, order)]
        lower, jitter = factor.cholesky(part, ridge)
        found = factor.training_losses(lower, y[order], sizes, ridge=ridge + jitter)
        # A ridge delta leaves delta tr (K + delta)^-1 = delta/kappa of n samples unfitted.
        unfitted = jitter / found.kappa
        spoilt = unfitted > 0.1 * sizes  # where more of the jitter may change no more
        if np.any(unfitted > 1e-6 * sizes):  # else the jitter is nothing
            lower = factor.cholesky(part, ridge + 10 * jitter).lower
            more = getattr(factor.training_losses(lower, y[order], sizes, ridge=ridge + 10 * jitter), method)
            less = getattr(found, method)
            spoilt |= np.abs(more - less) > ROUNDING * less + 1e-12 * np.mean(y**2)
        if spoilt.any():
            raise ValueError(_rounding_decides(part, at, spoilt, jitter))
        losses.append(getattr(found, method))
        spreads.append(getattr(found, f"{method}_spread"))
    name = {"leave_one_out": "leave-one-out", "gcv": "generalised cross-validation"}[method]
    curve = LearningCurve.from_trials("n", at, np.array(losses), {"k": math.inf, "ridge": ridge}, name)
    assert curve.stderr is not None
    over_samples = np.mean(np.square(spreads), axis=0)  # of squared errors, not yet of their mean
    if trials == 1:
        return dataclasses.replace(curve, stderr=np.sqrt(over_samples / sizes))
    return dataclasses.replace(curve, stderr=np.sqrt(curve.stderr**2 + over_samples / len(gram)))


def _rounding_decides(gram: Array, at: Array, spoilt: Array, jitter: float) -> str:
    """What to say where the jitter has a part in the loss."""
    size, first = len(gram), int(np.argmax(spoilt))
    fine = f"sizes up to {at[first - 1]} are fine" if first else "no size asked for is fine"
    floor = size * np.finfo(np.float64).eps * np.diagonal(gram).mean()
    return (
        f"`gram` is nearly singular: from n = {at[first]} on the loss without ridge hangs on the jitter {jitter:.1e} "
        f"that rounding asks for, not only on the kernel; {fine}, or pass a `ridge` of at least "
        f"{100 * floor:.1e}."
    )


def _running_loss(lower: Array, right: Array, left: Array, y_test: Array, at: Any) -> Float64[Array, " sizes"]:
    """Losses of the predictions sum_{i<=j} (L^-1 right)_i (L^-1 left)_i at the sizes j."""
    size, (tests, outputs) = len(lower), y_test.shape
    every = at is None
    sizes = np.arange(1, size + 1) if every else _checks.sizes("at", at, low=1, high=size)
    # One triangular solve for both; LAPACK wants Fortran order.
    joint = np.empty((size, tests + outputs), order="F")
    joint[:, :tests], joint[:, tests:] = right, left
    joint = factor.solve_lower(lower, joint)
    rows, coefficients = joint[:, :tests], joint[:, tests:]
    losses = np.empty(len(sizes))
    residual = y_test.copy()
    if every:
        step = max(1, _CHUNK // y_test.size)
        for start in range(0, size, step):
            part = slice(start, min(start + step, size))
            running = rows[part, :, None] * coefficients[part, None, :]
            np.cumsum(running, axis=0, out=running)
            np.subtract(residual, running, out=running)
            losses[part] = np.einsum("itm,itm->i", running, running) / tests
            residual = running[-1].copy()
        return losses
    done = 0
    for index, stop in enumerate(sizes):
        residual -= rows[done:stop].T @ coefficients[done:stop]
        losses[index] = np.sum(residual**2) / tests
        done = stop
    return losses


def _orders(size: int, trials: int, seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.permutation(size) for _ in range(_checks.count("trials", trials))]


def _pair(targets: Any, test_targets: Any, rows: int) -> tuple[Array, Array]:
    y = _checks.targets("targets", targets, rows)
    test = _checks.finite_array("test_targets", test_targets, ndim=(1, 2))
    test = test[:, None] if test.ndim == 1 else test
    if test.shape[1] != y.shape[1]:
        raise ValueError(f"`test_targets` must have {y.shape[1]} outputs like `targets`, got shape {test.shape}.")
    return y, test


def _cross(name: str, value: Any, rows: int, columns: int) -> Array:
    array = _checks.finite_array(name, value, ndim=2)
    if array.shape != (rows, columns):
        raise ValueError(f"`{name}` must have shape ({rows}, {columns}), got {array.shape}.")
    return array
