"""Compute-optimal frontiers of power-law spectra: how to split a budget between width and time, or width and data.

Source: Paquette et al. 2024 (arXiv:2405.15074); Bordelon et al. 2024 (arXiv:2402.01092); the terms that are balanced
are the laws of [asymptotics][regimes.asymptotics].

Valid when the budget is large.
"""

import dataclasses

from regimes import _checks, display

METHODS = ("flow", "sgd", "ridgeless", "ridge")
"""Gradient flow and one-pass SGD, whose cost is k t; trained to the end without ridge or with the best, cost k n."""


@display.shown
@dataclasses.dataclass(frozen=True)
class Frontier:
    """The best split of a compute budget C: k ~ C^width and excess loss ~ C^-loss."""

    phase: str
    """I, II or III as numbered by Paquette et al. for C = k t; a word for C = k n."""
    cost: str
    """What C counts: "k t" (features times time) or "k n" (features times samples)."""
    width: float
    """Exponent of the best number of features; the rest of C goes to t or n."""
    loss: float
    """Exponent of the excess loss along the frontier."""
    reason: str
    """Which terms of the loss are equal along the frontier."""
    valid: str
    """Where it holds."""

    def __str__(self) -> str:
        return (
            f"compute C = {self.cost}, phase {self.phase}: k ~ C^{self.width:.4g}, excess loss ~ C^{-self.loss:.4g}: "
            f"{self.reason} [{self.valid}]"
        )


def compute_phase(alpha: float, beta: float | None = None, *, method: str = "flow", noise: float = 0.0) -> Frontier:
    """Phase and exponents of the compute-optimal frontier for lambda_i = i^-(1+alpha), v_i^2 = i^-(1+beta).

    Two terms of the loss are equal along it. With p = 1 + alpha:

    C = k t, data unlimited ("flow": gradient flow; "sgd": one pass of SGD at a small constant rate). The terms are

        target       t^(-beta/p),
        features     k^-1 t^(-alpha/p)      for beta > p (for beta < p it is smaller than the others on the frontier),
        floor        k^(-min(beta, p)),
        SGD noise    t^(-(1+2 alpha)/p)     "sgd" only: sum lambda^2 exp(-2 lambda t), times the integral of the loss.

    I: beta < p, target = floor. II: p < beta, target = features. III: beta > 1+2alpha and "sgd", SGD noise =
    features. In the notation of Paquette et al. 2 alpha_P = 1+alpha and 2 beta_P = beta-alpha; here 2 alpha_P > 1
    always, so that of their phases only these three occur (their IV has 2 alpha_P < 1).

    C = k n, trained to the end ("ridgeless": ridge 0; "ridge": the best ridge). The terms, with df1 = z modes learnt
    and b = min(beta, 2p), are z^-b (bias), z^(1-min(beta, p))/k (features), and with noise z/n; z <= min(n, k).

    Args:
        alpha: decay of the kernel spectrum, positive.
        beta: decay of the target power, positive; None means beta = alpha.
        method: "flow", "sgd", "ridgeless" or "ridge".
        noise: variance of the label noise; only whether there is any matters, and only for C = k n.

    Raises:
        ValueError: alpha or beta not positive, a negative noise, an unknown method.

    Source: Paquette et al. 2024; Bordelon et al. 2024; re-derived here, and C = k n derived here.

    Valid when C is large; where two phases meet there are logarithms. Label noise changes nothing for "flow" (n is
    infinite) and adds to "sgd" a floor proportional to the rate, which is not counted.
    """
    alpha = _checks.number("alpha", alpha, low=0, strict=True)
    beta = alpha if beta is None else _checks.number("beta", beta, low=0, strict=True)
    noise = _checks.number("noise", noise, low=0)
    _checks.choice("method", method, METHODS)
    if method in ("flow", "sgd"):
        return _time_frontier(alpha, beta, method)
    if noise > 0:
        return _noisy_frontier(alpha, beta, method)
    return _noiseless_frontier(alpha, beta)


def _time_frontier(alpha: float, beta: float, method: str) -> Frontier:
    p = 1 + alpha
    valid = "n infinite; " + ("gradient flow" if method == "flow" else "one-pass SGD, small constant rate, no noise")
    if beta <= p:
        reason = "the target not yet learnt, t^(-beta/(1+alpha)), equals what the width cannot express, k^-beta"
        return Frontier("I", "k t", 1 / (2 + alpha), beta / (2 + alpha), reason, valid)
    if method == "flow" or beta <= 1 + 2 * alpha:
        reason = (
            "the target not yet learnt, t^(-beta/(1+alpha)), equals the variance of the features, "
            "k^-1 t^(-alpha/(1+alpha))"
        )
        return Frontier("II", "k t", (beta - alpha) / (1 + beta), beta / (1 + beta), reason, valid)
    reason = (
        "the noise of SGD, t^(-(1+2 alpha)/(1+alpha)), equals the variance of the features, k^-1 t^(-alpha/(1+alpha))"
    )
    return Frontier("III", "k t", 0.5, (1 + 2 * alpha) / (2 * p), reason, valid)


def _noiseless_frontier(alpha: float, beta: float) -> Frontier:
    p = 1 + alpha
    b, w = min(beta, 2 * p), min(beta, p)
    valid = "trained to the end, no noise"
    if beta > p and alpha < 1:
        # n^-b = n^(2-p)/C with k = C/n.
        total = 1 - alpha + b
        reason = "data gain from smoothness what width does not: the bias n^-b equals the variance n^-alpha/k at k >> n"
        return Frontier("wide", "k n", 1 - 1 / total, b / total, reason, valid)
    reason = "the smaller of n and k sets the loss: both grow together"
    return Frontier("even", "k n", 0.5, w / 2, reason, valid)


def _noisy_frontier(alpha: float, beta: float, method: str) -> Frontier:
    p = 1 + alpha
    b, w = min(beta, 2 * p), min(beta, p)
    valid = "trained to the end, noise > 0, " + ("no ridge" if method == "ridgeless" else "best ridge")
    if method == "ridge" and beta > p and alpha < 1:
        # z^-b = z/n = z^(1-p)/k
        total = 2 * b + 1 - alpha
        reason = "target power given up, noise fitted and variance of the features are equal, with df1 < k"
        return Frontier("wide", "k n", (b - alpha) / total, b / total, reason, valid)
    # z = k:  k^-w = k/n
    reason = "what the width cannot express, k^-w, equals the noise fitted, k/n: the width regularises"
    return Frontier("narrow", "k n", 1 / (2 + w), w / (2 + w), reason, valid)
