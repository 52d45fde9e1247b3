"""Infinite-width kernels by textbook recursions, pair by pair of inputs: what `regimes.kernels` is compared with."""

import functools
import math

import numpy as np
from scipy import special


def arc_cosine_0(t):
    """Cho and Saul 2009, degree 0, scaled to 1 at t = 1."""
    return 1 - np.arccos(np.clip(t, -1, 1)) / np.pi


def arc_cosine_1(t):
    """Cho and Saul 2009, degree 1, scaled to 1 at t = 1."""
    t = np.clip(t, -1, 1)
    return (np.sqrt(1 - t**2) + t * (np.pi - np.arccos(t))) / np.pi


def relu_by_arc_cosines(x, y, depth):
    """(NNGP, NTK) of a relu network with weight_std sqrt(2) and no bias: 2 |x||y|/d times functions of the angle."""
    scale = 2 * np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)) / x.shape[1]
    t = 2 * x @ y.T / x.shape[1] / scale
    theta = t
    for _ in range(depth):
        theta = arc_cosine_1(t) + theta * arc_cosine_0(t)
        t = arc_cosine_1(t)
    return scale * t, scale * theta


# E[phi(u) phi(v)] and E[phi'(u) phi'(v)] of Gaussian u, v with variances a, b and covariance c.


def relu(a, b, c):
    t = c / math.sqrt(a * b)
    return math.sqrt(a * b) / 2 * arc_cosine_1(t), arc_cosine_0(t) / 2


def step(a, b, c):
    return arc_cosine_0(c / math.sqrt(a * b)) / 2, math.nan


def erf(a, b, c):
    """Williams 1997, equation 11; the second is the derivative of the first in c."""
    product = (1 + 2 * a) * (1 + 2 * b)
    return 2 / np.pi * math.asin(2 * c / math.sqrt(product)), 4 / np.pi / math.sqrt(product - 4 * c**2)


def gelu(a, b, c):
    """x Phi(x) by Gauss-Hermite quadrature in two dimensions."""
    u, v, weight = correlated(a, b, c)
    density = [np.exp(-(z**2) / 2) / math.sqrt(2 * np.pi) for z in (u, v)]
    value = weight * u * special.ndtr(u) * v * special.ndtr(v)
    slope = weight * (special.ndtr(u) + u * density[0]) * (special.ndtr(v) + v * density[1])
    return value.sum(), slope.sum()


def correlated(a, b, c):
    """Nodes (u, v) and weights for expectations over the Gaussian pair."""
    z, weight = hermite()
    u, w = np.meshgrid(z, z, indexing="ij")
    t = c / math.sqrt(a * b)
    return math.sqrt(a) * u, math.sqrt(b) * (t * u + math.sqrt(max(0, 1 - t**2)) * w), np.outer(weight, weight)


@functools.cache
def hermite():
    z, weight = np.polynomial.hermite_e.hermegauss(150)
    return z, weight / weight.sum()


ACTIVATIONS = {"relu": relu, "erf": erf, "gelu": gelu, "step": step}


def fully_connected(x, y, depth, activation, weight_std, bias_std):
    """(NNGP, NTK) of one pair of vectors, layer by layer: Lee et al. 2018 (eq. 5), Jacot et al. 2018 (theorem 1)."""
    expect = ACTIVATIONS[activation]
    a, b, c = (weight_std**2 * (u @ v) / len(x) + bias_std**2 for u, v in ((x, x), (y, y), (x, y)))
    theta = c
    for _ in range(depth):
        slope = expect(a, b, c)[1]
        a, b, c = (weight_std**2 * expect(*v)[0] + bias_std**2 for v in ((a, a, a), (b, b, b), (a, b, c)))
        theta = c + weight_std**2 * theta * slope
    return c, theta


def convolutional(x, y, blocks, activation, weight_std, bias_std):
    """(NNGP, NTK) of one pair of images, from the covariances of every pair of pixels, written out.

    Arora et al. 2019, section 4: 3x3 convolutions with zeros around, 2x2 average pooling between blocks, global
    average pooling and a dense readout.
    """
    expect = ACTIVATIONS[activation]
    pairs = {"xx": (x, x), "yy": (y, y), "xy": (x, y)}
    k = {name: np.einsum("abc,dec->abde", *both) / x.shape[2] for name, both in pairs.items()}
    theta = np.zeros_like(k["xy"])
    for index, convolutions in enumerate(blocks):
        if index:
            k = {name: pooled(values) for name, values in k.items()}
            theta = pooled(theta)
        for _ in range(convolutions):
            k = {name: weight_std**2 * convolved(values) + bias_std**2 for name, values in k.items()}
            theta = k["xy"] + weight_std**2 * convolved(theta)
            k, slope = activated(k, expect)
            theta = theta * slope
    c = weight_std**2 * k["xy"].mean() + bias_std**2
    return c, c + weight_std**2 * theta.mean()


def convolved(values):
    """Mean over the nine offsets, the same in both images; outside there are zeros."""
    height, width = values.shape[:2]
    around = np.pad(values, 1)
    offsets = [(i, j) for i in range(3) for j in range(3)]
    return sum(around[i : i + height, j : j + width, i : i + height, j : j + width] for i, j in offsets) / 9


def pooled(values):
    """Mean over 2x2 pixels of each image; an odd row or column at the end is left out."""
    height, width = values.shape[0] // 2, values.shape[1] // 2
    return (
        values[: 2 * height, : 2 * width, : 2 * height, : 2 * width]
        .reshape(height, 2, width, 2, height, 2, width, 2)
        .mean(axis=(1, 3, 5, 7))
    )


def activated(k, expect):
    """Covariances after the activation, and E[phi' phi'] between the two images."""
    after, slope = {name: np.empty_like(values) for name, values in k.items()}, np.empty_like(k["xy"])
    for place in np.ndindex(slope.shape):
        p, q = place[:2], place[2:]
        for name in k:
            a, b = k[name[0] * 2][p + p], k[name[1] * 2][q + q]
            after[name][place], rise = expect(a, b, k[name][place])
            if name == "xy":
                slope[place] = rise
    return after, slope
