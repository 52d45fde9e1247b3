"""Gradient flow and one-pass SGD on power-law spectra, slow and obviously right."""

import math

import numpy as np
from scipy import interpolate


def fine(alpha, beta, reach=1e13, listed=300, panel=0.4):
    """lambda, power and count of modes on a grid fine enough in log i for complex arguments."""
    nodes, weights = np.polynomial.legendre.leggauss(6)
    cuts, panel = np.linspace(
        math.log(listed), math.log(reach), math.ceil(math.log(reach / listed) / panel), retstep=True
    )
    half = panel / 2
    between = np.exp((cuts[:-1, None] + half) + half * nodes).ravel()
    rank = np.concatenate([np.arange(1.0, listed + 1), between])
    # The sum beyond mode N is the integral from N less half of the last term (Euler and Maclaurin).
    count = np.concatenate([np.ones(listed - 1), [0.5], np.tile(half * weights, len(cuts) - 1) * between])
    return rank ** -(1 + alpha), count * rank ** -(1 + beta), count


def flow(modes, k, t, nodes=28):
    """(L(inf, inf, t), L(inf, k, t) - L(inf, inf, t)) of gradient flow, no noise: one resolvent, Talbot's contour.

    L(t) is the inverse Laplace transform at 2t of (1/z) sum v^2 gamma/(lambda+gamma), gamma (1 - df1(gamma)/k) = z.
    """
    values, power, count = modes
    angle = np.pi * (2 * np.arange(nodes // 2, nodes) + 1 - nodes) / nodes  # the other half are conjugates
    z = nodes / (2 * t) * (-0.6122 + 0.5017 * angle / np.tan(0.6407 * angle) + 0.2645j * angle)
    steps = 0.5017 / np.tan(0.6407 * angle) - 0.5017 * 0.6407 * angle / np.sin(0.6407 * angle) ** 2 + 0.2645j
    weights = 2 * np.exp(2 * t * z) * nodes / (2 * t) * steps / (1j * nodes)
    gamma = z * 1e4 * max(1.0, 1 / np.abs(z).min())
    path = np.linspace(np.log(gamma[0] / z[0]).real, 0, 50)
    for step in path:  # Newton's method, followed along rays from infinity
        target = z * math.exp(step)
        for _ in range(30):
            learnt = values / (values + gamma[:, None])
            one, two = learnt @ count, learnt**2 @ count
            change = (gamma * (1 - one / k) - target) / (1 - two / k)
            gamma = gamma - change
            if np.all(np.abs(change) < 1e-6 * np.abs(gamma)) and step > 0:
                break
            if np.all(np.abs(change) < 1e-14 * np.abs(gamma)):
                break
    one = (values / (values + gamma[:, None])) @ count
    leak = (power * values / ((values + gamma[:, None]) * (values + z[:, None]))).sum(axis=1)
    return np.sum(power * np.exp(-2 * values * t)), np.sum(weights * gamma * one / (k * z) * leak).real


def sgd(alpha, beta, rate, t):
    """One-pass SGD on the geometric grid t: (loss at infinite width, coefficient of its 1/k, loss of the flow).

    Volterra's equation L(t) = F(t) + rate int_0^t K(t-s) L(s) ds, K(t) = sum lambda^2 exp(-2 lambda t), with F the
    loss of gradient flow; linear in F, whose first two orders in 1/k are passed through it.
    """
    modes = values, power, count = fine(alpha, beta)
    lags = np.geomspace(1e-5 * t[0], t[-1], 400)
    kernel_at = interpolate.CubicSpline(np.log(lags), np.log(np.exp(-2 * lags[:, None] * values) @ (count * values**2)))

    def kernel(lag):
        return np.exp(kernel_at(np.log(np.maximum(lag, lags[0]))))

    nodes = np.geomspace(t[0], t[-1], 45)
    leaks = [flow(modes, 1e14, time)[1] * 1e14 for time in nodes]
    leak = np.exp(interpolate.CubicSpline(np.log(nodes), np.log(leaks))(np.log(t)))
    clean = (power * np.exp(-2 * values * t[:, None])).sum(axis=1)
    step, matrix = math.log(t[1] / t[0]), np.zeros((len(t), len(t)))
    for i in range(1, len(t)):
        # From 0 to about t/2 the trapezoidal rule in log s, and as if L were constant up to t[0] ...
        half = max(1, int(np.searchsorted(t, t[i] / 2)))
        weight = np.full(half, step) * t[:half]
        weight[0] /= 2
        weight[-1] = weight[-1] / 2 if half > 1 else 0.0
        weight[0] += t[0]
        matrix[i, :half] = weight * kernel(t[i] - t[:half])
        # ... and from there to t in log (t - s), with L linear between the points of the grid.
        lag = np.concatenate([[0.0], np.geomspace(1e-4 * t[0], t[i] - t[half - 1], 300)])
        gaps = np.diff(lag, prepend=0.0, append=lag[-1])
        weight = (gaps[1:] + gaps[:-1]) / 2 * kernel(lag)
        right = np.clip(np.searchsorted(t, t[i] - lag), 1, i)
        share = (t[i] - lag - t[right - 1]) / (t[right] - t[right - 1])
        np.add.at(matrix[i], right, weight * share)
        np.add.at(matrix[i], right - 1, weight * (1 - share))
    solved = np.linalg.solve(np.eye(len(t)) - rate * matrix, np.stack([clean, leak], axis=1))
    return solved[:, 0], solved[:, 1], clean
