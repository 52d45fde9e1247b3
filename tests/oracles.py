"""Slow and obviously right: what the fast code is compared with."""

import mpmath
import numpy as np
from scipy import optimize


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


def derived_loss(eigenvalues, power, n, widths, ridge, noise, digits=40):
    """The loss at a positive ridge from S - kappa dS/dkappa, with derivatives taken numerically in `digits` digits.

    With Z the number of modes learnt, S the power not learnt and kappa = gamma prod (1 - Z/k_l), gamma solves
    n = Z + ridge/kappa; the loss is (S - kappa dS/dkappa + noise) / (1 - (Z + kappa dZ/dkappa)/n).
    """
    mpmath.mp.dps = digits
    values, squares = ([mpmath.mpf(float(v)) for v in column] for column in (eigenvalues, power))
    n, ridge, widths = mpmath.mpf(n), mpmath.mpf(ridge), [mpmath.mpf(width) for width in widths]

    def learnt(t):
        return mpmath.fsum(v / (v + mpmath.exp(t)) for v in values)

    def unlearnt(t):
        return mpmath.fsum(p * mpmath.exp(t) / (v + mpmath.exp(t)) for v, p in zip(values, squares, strict=True))

    def log_kappa(t):
        return t + mpmath.fsum(mpmath.log(1 - learnt(t) / width) for width in widths)

    low, high = mpmath.mpf(-80), mpmath.mpf(80)
    while high - low > mpmath.mpf(10) ** (-digits + 8):
        middle = (low + high) / 2
        if learnt(middle) >= min([n, *widths]) or n - learnt(middle) < ridge / mpmath.exp(log_kappa(middle)):
            low = middle
        else:
            high = middle
    mpmath.mp.dps = 2 * digits  # room for the differences
    step = mpmath.mpf(10) ** (-digits // 2)

    def derivative(function):
        return (function(high + step) - function(high - step)) / (log_kappa(high + step) - log_kappa(high - step))

    top = unlearnt(high) - derivative(unlearnt) + mpmath.mpf(noise)
    return float(top / (1 - (learnt(high) + derivative(learnt)) / n))


def linear_layers(modes, widths, rng):
    """The product of Gaussian random layers, each scaled by one over the root of its width, one draw."""
    product = np.eye(modes)
    for width in widths:
        product = rng.standard_normal((width, len(product))) @ product / np.sqrt(width)
    return product


def error_vectors(eigenvalues, weights, samples, labels, projection, ridge):
    """(2, modes): what ridge regression misses of the target, and what it makes of the label noise `labels`.

    Both as coefficients of the orthonormal modes, so that their squares sum to the losses.
    """
    phi = samples @ projection.T
    both = np.stack([samples @ weights, labels], axis=1)
    if ridge > 0:
        dual = np.linalg.solve(phi @ phi.T + ridge * np.eye(len(phi)), both)
        theta = phi.T @ dual
    else:
        theta = np.linalg.lstsq(phi, both, rcond=None)[0]
    learnt = (projection.T @ theta).T
    learnt[0] -= weights
    return np.sqrt(eigenvalues) * learnt


def analysis_of_variance(eigenvalues, power, n, widths, ridge, noise, rng):
    """The parts of the loss from two data sets and two draws of the features, one draw, without bias.

    A product of the errors of two models that share nothing has the squared bias as its mean; sharing the data, or
    the features, adds the variance that comes from these alone.
    """
    weights = np.sqrt(power / eigenvalues) * rng.choice([-1, 1], len(power))
    data = [
        (rng.standard_normal((n, len(power))) * np.sqrt(eigenvalues), np.sqrt(noise) * rng.standard_normal(n))
        for _ in range(2)
    ]
    layers = [linear_layers(len(power), widths, rng) for _ in range(2)]
    fits = np.array([[error_vectors(eigenvalues, weights, x, e, p, ridge) for p in layers] for x, e in data])
    target, label = fits[:, :, 0], fits[:, :, 1]

    def products(v):
        nothing = (v[0, 0] @ v[1, 1] + v[0, 1] @ v[1, 0]) / 2
        same_data = (v[0, 0] @ v[0, 1] + v[1, 0] @ v[1, 1]) / 2
        same_features = (v[0, 0] @ v[1, 0] + v[0, 1] @ v[1, 1]) / 2
        return nothing, same_data, same_features, (v**2).sum() / 4

    bias, same_data, same_features, everything = products(target)
    _, label_data, _, label_everything = products(label)
    return {
        "bias": bias,
        "data": same_data - bias,
        "features": same_features - bias,
        "interaction": everything - same_data - same_features + bias,
        "noise_data": label_data,
        "noise_features": label_everything - label_data,
        "total": everything + label_everything + noise,
    }


def ensemble_experiment(eigenvalues, power, n, widths, ridge, noise, models, rng):
    """Test loss of the mean of several models on the same data, each with its own features, one draw."""
    weights = np.sqrt(power / eigenvalues) * rng.choice([-1, 1], len(power))
    samples = rng.standard_normal((n, len(power))) * np.sqrt(eigenvalues)
    labels = np.sqrt(noise) * rng.standard_normal(n)
    errors = [
        error_vectors(eigenvalues, weights, samples, labels, linear_layers(len(power), widths, rng), ridge)
        for _ in range(models)
    ]
    return float(np.sum(np.mean(errors, axis=0).sum(axis=0) ** 2) + noise)


def resolvent_sums(spectrum, gamma):
    """The sums over modes that the theory is made of, at each (possibly complex) gamma, by plain summation."""
    learnt = spectrum.eigenvalues / (spectrum.eigenvalues + np.asarray(gamma)[:, None])
    missed = np.asarray(gamma)[:, None] / (spectrum.eigenvalues + np.asarray(gamma)[:, None])
    m, p = spectrum.multiplicity, spectrum.power
    return np.stack([learnt @ m, learnt**2 @ m, missed @ p, missed**2 @ p, (learnt * missed) @ p])


def relu_power_on_sphere(degree, dim, exponent):
    """Harmonic coefficient of max(u, 0)^exponent on S^dim, Bach 2017 (JMLR 18, appendix D), for degree > exponent."""
    if (degree - exponent) % 2 == 0:
        return mpmath.mpf(0)
    j = (degree - exponent - 1) // 2
    up = mpmath.factorial(exponent) * mpmath.gamma((dim + 1) / mpmath.mpf(2)) * mpmath.gamma(degree - exponent)
    down = mpmath.gamma((degree - exponent + 1) / mpmath.mpf(2))
    down *= mpmath.gamma((degree + dim + exponent + 1) / mpmath.mpf(2))
    return (-1) ** j * up / (mpmath.sqrt(mpmath.pi) * mpmath.mpf(2) ** degree * down)


def lattice_loss(eigenvalues, coefficients, n, ridge):
    """Exact error of kernel ridge regression on n equidistant points of the circle.

    `eigenvalues` and `coefficients` belong to the frequencies k = -K ... K. With r = k mod n, sampling adds up all
    frequencies of one residue: the fit has lambda_k n C_r/(n L_r + ridge) at k, C_r and L_r those sums.
    """
    highest = len(eigenvalues) // 2
    residues = np.arange(-highest, highest + 1) % n
    total = np.bincount(residues, eigenvalues, n)
    aliased = np.bincount(residues, np.real(coefficients), n) + 1j * np.bincount(residues, np.imag(coefficients), n)
    fit = eigenvalues * (n * aliased / (n * total + ridge))[residues]
    return float(np.sum(np.abs(coefficients - fit) ** 2))


def ornstein_uhlenbeck_loss(n, length):
    """Mean posterior variance of the periodic Ornstein-Uhlenbeck process after n uniform points, exactly.

    The process is Markov, so that only the gap g around a point matters, and g/2 pi ~ Beta(1, n-1).
    """

    def weighted(u):
        h = 2 * mpmath.pi * u / length
        return (n - 1) * (1 - u) ** (n - 2) * (h * mpmath.coth(h) - 1)

    return float(n * length / (2 * mpmath.pi) * mpmath.quad(weighted, [0, 1 / mpmath.mpf(n), 10 / mpmath.mpf(n), 1]))


def walsh_eigenvalues(profile, dim):
    """Eigenvalues of the kernel matrix over all 2^dim corners, divided by their number, descending."""
    corners = 1 - 2.0 * ((np.arange(2**dim)[:, None] >> np.arange(dim)) & 1)
    return np.sort(np.linalg.eigvalsh(profile(corners @ corners.T / dim)))[::-1] / 2**dim


def gaussian_by_quadrature(length, scale, nodes=160):
    """Eigenvalues of the Gaussian kernel on normal inputs of one dimension, by Nystrom on Gauss-Hermite nodes."""
    x, weights = np.polynomial.hermite_e.hermegauss(nodes)
    x, roots = scale * x, np.sqrt(weights / weights.sum())
    gram = np.exp(-((x[:, None] - x) ** 2) / (2 * length**2))
    return np.linalg.eigvalsh(roots[:, None] * gram * roots)[::-1]


def leave_one_out_refits(gram, y, ridge):
    """Squared error at each sample, summed over outputs, of a fit on all others from scratch."""
    errors = np.empty(len(y))
    for i in range(len(y)):
        others = np.delete(np.arange(len(y)), i)
        alpha = np.linalg.solve(gram[np.ix_(others, others)] + ridge * np.eye(len(others)), y[others])
        errors[i] = np.sum((y[i] - gram[i, others] @ alpha) ** 2)
    return errors


def generalised_cross_validation(gram, y, ridge):
    """(mean |y - S y|^2)/(tr(1 - S)/n)^2 with the smoother S = K (K + ridge)^-1, as Golub, Heath and Wahba print it."""
    size = len(y)
    rest = np.eye(size) - gram @ np.linalg.inv(gram + ridge * np.eye(size))
    return np.sum((rest @ y) ** 2) / size / (np.trace(rest) / size) ** 2


def exact_leave_one_out(gram, y, ridge=0.0, digits=60):
    """Mean squared leave-one-out error of the matrix as it stands, in `digits` digits."""
    mpmath.mp.dps = digits
    size = len(y)
    inverse = (mpmath.matrix(gram.tolist()) + mpmath.mpf(ridge) * mpmath.eye(size)) ** -1
    coefficients = inverse * mpmath.matrix(y.tolist())
    return float(mpmath.fsum((coefficients[i] / inverse[i, i]) ** 2 for i in range(size)) / size)


def resolvent_at(gram, y, ridge):
    """df1, and (ln 1/tr M, ln y^T M y/tr M), with M = (K + ridge)^-1."""
    inverse = np.linalg.inv(gram + ridge * np.eye(len(gram)))
    trace = np.trace(inverse)
    return len(gram) - ridge * trace, np.array([-np.log(trace), np.log(np.sum(y * (inverse @ y)) / trace)])


def resolvent_by_inverse(gram, y, at):
    """(2, points): the two logarithms, and the ridge, where df1 = at."""
    ridges = [
        np.exp(optimize.brentq(lambda u, a=a: np.log(resolvent_at(gram, y, np.exp(u))[0] / a), -25, 15, xtol=1e-13))
        for a in at
    ]
    return np.array([resolvent_at(gram, y, ridge)[1] for ridge in ridges]).T, np.array(ridges)


def changes_without(gram, y, at, left_out):
    """(sets, 2, points): changes of the two when each set of samples is left out at the same ridge, and the modes that
    go with it undone along the curve of all samples, a straight line between at (1 +- 1e-5)."""
    whole, ridges = resolvent_by_inverse(gram, y, at)
    slope = (resolvent_by_inverse(gram, y, at * (1 + 1e-5))[0] - resolvent_by_inverse(gram, y, at * (1 - 1e-5))[0]) / (
        2e-5 * at
    )
    changes = []
    for some in left_out:
        kept = np.delete(np.arange(len(gram)), some)
        found = [resolvent_at(gram[np.ix_(kept, kept)], y[kept], ridge) for ridge in ridges]
        modes, logs = np.array([one for one, _ in found]), np.array([one for _, one in found]).T
        changes.append(logs - whole - slope * (modes - at))
    return np.array(changes)


def planted(rng, n, alpha, beta, noise=0.0, modes=2000):
    """Gram matrix and targets of n Gaussian samples: lambda_i = i^-(1+alpha), v_i^2 = i^-(1+beta), signs fixed."""
    rank = np.arange(1.0, modes + 1)
    x = rng.standard_normal((n, modes))
    y = x @ (rank ** (-(1 + beta) / 2) * np.where(rank % 3 == 0, -1, 1)) + np.sqrt(noise) * rng.standard_normal(n)
    return (x * rank ** -(1 + alpha)) @ x.T, y


def circle(rng, n, alpha, beta, frequencies=1000):
    """The same for n uniform points on the circle and cosines and sines of each frequency, signs fixed."""
    k = np.arange(1.0, frequencies + 1)
    phase = rng.uniform(0, 2 * np.pi, (n, 1)) * k
    waves = np.sqrt(2) * np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
    k = np.concatenate([k, k])
    signs = np.random.default_rng(5).choice([-1, 1], len(k))
    return (waves * k ** -(1 + alpha)) @ waves.T, waves @ (signs * k ** (-(1 + beta) / 2))
