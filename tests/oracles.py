"""Slow and obviously right: what the fast code is compared with."""

import mpmath
import numpy as np


def features_experiment(eigenvalues, power, n, k, ridge, noise, rng):
    """Test loss of ridge regression on k Gaussian random features and n Gaussian samples, one draw, exactly."""
    modes = len(eigenvalues)
    weights = np.sqrt(power / eigenvalues) * rng.choice([-1, 1], modes)
    projection = rng.standard_normal((k, modes))
    samples = rng.standard_normal((n, modes)) * np.sqrt(eigenvalues)
    y = samples @ weights + np.sqrt(noise) * rng.standard_normal(n)
    phi = samples @ projection.T / np.sqrt(k)
    if ridge > 0:
        theta = np.linalg.solve(phi.T @ phi + ridge * np.eye(k), phi.T @ y)
    else:
        theta = np.linalg.lstsq(phi, y, rcond=None)[0]
    error = weights - projection.T @ theta / np.sqrt(k)
    return float(np.sum(eigenvalues * error**2) + noise)


def two_unknowns(eigenvalues, n, k, ridge, digits=40):
    """(kappa, gamma) from n = df1 + ridge/kappa, k = df1 + k kappa/gamma: the equations before elimination."""
    mpmath.mp.dps = digits
    values = [mpmath.mpf(float(v)) for v in eigenvalues]
    n, k, ridge = mpmath.mpf(n), mpmath.mpf(k), mpmath.mpf(ridge)

    def df1(gamma):
        return mpmath.fsum(v / (v + gamma) for v in values)

    def kappa_of(gamma):
        return gamma * (1 - df1(gamma) / k)

    def gap(log_gamma):
        gamma = mpmath.exp(log_gamma)
        return n - df1(gamma) - ridge / kappa_of(gamma)

    # The gap rises from -infinity where df1 reaches min(n, k) to n at infinity.
    low, high = mpmath.mpf(-80), mpmath.mpf(80)
    while high - low > mpmath.mpf(10) ** (-digits + 8):
        middle = (low + high) / 2
        gamma = mpmath.exp(middle)
        if df1(gamma) >= min(n, k) or gap(middle) < 0:
            low = middle
        else:
            high = middle
    gamma = mpmath.exp((low + high) / 2)
    return float(kappa_of(gamma)), float(gamma)


def simon_loss(eigenvalues, power, n, k, gamma, kappa, noise):
    """The loss in the form in which Simon et al. 2023 (arXiv:2311.14646) print it."""
    learnt = eigenvalues / (eigenvalues + gamma)
    z, q = learnt.sum(), (learnt**2).sum()
    x = (q * (k - 2 * z) + z**2) / (n * (k - q))
    bias = power * (gamma / (eigenvalues + gamma) - kappa * eigenvalues / (eigenvalues + gamma) ** 2 * k / (k - q))
    return (bias.sum() + noise) / (1 - x)


def refit_in_n(gram, cross, y, y_test, ridge, n):
    """Test loss of kernel ridge regression refitted from scratch on the first n samples."""
    alpha = np.linalg.solve(gram[:n, :n] + ridge * np.eye(n), y[:n])
    return float(np.sum((y_test - cross[:n].T @ alpha) ** 2) / len(y_test))


def refit_in_k(phi, phi_test, y, y_test, ridge, k):
    """Test loss of ridge regression refitted from scratch on the first k features."""
    theta = np.linalg.solve(phi[:, :k].T @ phi[:, :k] + ridge * np.eye(k), phi[:, :k].T @ y)
    return float(np.sum((y_test - phi_test[:, :k] @ theta) ** 2) / len(y_test))


def sphere_points(n, dim, rng):
    """n points uniform on the unit sphere S^dim."""
    x = rng.standard_normal((n, dim + 1))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def arc_cosine(t, degree):
    """Arc-cosine kernel of Cho and Saul, scaled to 1 at t = 1, for degree 0 and 1."""
    t = np.clip(t, -1, 1)
    angle = np.arccos(t)
    if degree == 0:
        return (np.pi - angle) / np.pi
    return (np.sin(angle) + (np.pi - angle) * t) / np.pi


PROFILES = {
    "NTK": lambda t: arc_cosine(t, 1) + t * arc_cosine(t, 0),
    "NNGP": lambda t: arc_cosine(t, 1),
    "Laplace": lambda t: np.exp(-np.sqrt(2 - 2 * np.clip(t, -1, 1))),
}
"""Dot-product kernels whose spectrum on the sphere is known: one hidden relu layer, and Laplace."""


def sphere_gram(kernel, n, dim, rng):
    """Gram matrix of n uniform points on S^dim, exact on the diagonal."""
    x = sphere_points(n, dim, rng)
    cosines = x @ x.T
    np.fill_diagonal(cosines, 1.0)
    return PROFILES[kernel](cosines)
