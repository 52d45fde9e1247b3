"""Laws written as on paper, in forty digits: complex moduli as such, implicit laws by bisection."""

import mpmath as mp
import numpy as np
from scipy import integrate

mp.mp.dps = 40


def power(n, a, b):
    return a * n**-b


def offset(n, a, b, c):
    return a * n**-b + c


def regions(n, guess, start, b, end, sharpness):
    # The floor is where what is reducible, on the extrapolated power law, equals what is not, at n = end.
    floor = bisect(lambda f: f - (guess - f) * (end / start) ** -b, mp.mpf(0), guess)
    return floor + (guess - floor) * (1 + (n / start) ** sharpness) ** (-b / sharpness)


def growth(n, a, b):
    return a * n**b


def m3(n, a, b, rate):
    return a * (1 / n + rate) ** b


def m4(n, gap, c, a, b, alpha):
    guess = c + gap
    return bisect(lambda x: (x - c) - a * n**-b * (guess - x) ** alpha, c, guess)


def broken(n, a, b, c0, *rest):
    result = b * n**-c0
    for change, place, width in zip(rest[0::3], rest[1::3], rest[2::3], strict=True):
        result *= (1 + (n / place) ** (1 / width)) ** (-change * width)
    return a + result


def rosenfeld(n, k, guess, alpha, beta, b, c, eta, a=1):
    e = a * n**-alpha + b * k**-beta + c
    return guess * abs(e / (e - 1j * eta))


def language(n, k, a, alpha, b, beta, c):
    return a * n**-alpha + b * k**-beta + c


def pruning_single(density, dense, pruned, gamma, p):
    return dense * abs((density - 1j * p * (pruned / dense) ** (1 / gamma)) / (density - 1j * p)) ** gamma


def pruning(density, depth, width, dense, pruned, gamma, p, phi, psi):
    return pruning_single(depth**phi * width**psi * density, dense, pruned, gamma, p)


def variance(n, k, b, c):
    return c + b * min(n, k) / abs(n - k)


def resolution(n, k, a, b, c):
    return a * min(n, k) ** -b + c


def four_regimes(n, k, a, alpha, b, beta, c):
    high = a * n**-alpha + b * k**-beta
    low = max(a * n**-alpha, b * k**-beta)
    # Where each term is at least half, the excess is at most 2^exponent times the larger loss.
    high *= 2 ** max(alpha, beta)
    return c + bisect(lambda e: 1 - (a / e) ** (1 / alpha) / n - (b / e) ** (1 / beta) / k, low, high)


def kaplan(size, n, size_c, n_c, alpha, beta):
    return ((size_c / size) ** (alpha / beta) + n_c / n) ** beta


def chinchilla(size, n, e, a, b, alpha, beta):
    return e + a / size**alpha + b / n**beta


def multiplicative(size, n, a, alpha, beta, e):
    return a * size**-alpha * n**-beta + e


def scale_time(k, time, a, b, c):
    return a * (k * time) ** -b + c


def bisect(rising, low, high):
    """The root of a function that rises through zero between low and high, to forty digits."""
    for _ in range(200):
        middle = (low + high) / 2
        if rising(middle) > 0:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def derivative(function, arguments, index):
    """d function/d arguments[index] by a central difference, exact to about twenty digits."""
    step = abs(arguments[index]) * mp.mpf("1e-10") or mp.mpf("1e-10")
    above, below = list(arguments), list(arguments)
    above[index], below[index] = arguments[index] + step, arguments[index] - step
    return (function(*above) - function(*below)) / (2 * step)


def slow_derivative(function, point, index):
    """The same in float64 by Richardson's extrapolation, to about ten digits."""

    def central(step):
        above, below = list(point), list(point)
        above[index], below[index] = point[index] * (1 + step), point[index] * (1 - step)
        return (function(above) - function(below)) / (2 * step * point[index])

    return (64 * central(5e-4) - 20 * central(1e-3) + central(2e-3)) / 45


def marchenko_pastur_flow(ratio, time, power, noise):
    """Gradient flow of linear regression on isotropic data with modes/n = ratio, integrated over the eigenvalues.

    The error in direction of eigenvalue x decays as e^-xt, noise of variance ratio/x per direction is fitted.
    """
    low, high = (1 - np.sqrt(ratio)) ** 2, (1 + np.sqrt(ratio)) ** 2

    def over(function):
        middle, half = (low + high) / 2, (high - low) / 2

        def at(angle):  # x = middle + half cos(angle) takes the square roots at both ends away
            x = middle + half * np.cos(angle)
            return function(x) * (half * np.sin(angle)) ** 2 / (2 * np.pi * ratio * x)

        return integrate.quad(at, 0, np.pi, epsabs=1e-13, epsrel=1e-12, limit=400)[0]

    unseen = max(0.0, 1 - 1 / ratio)
    bias = over(lambda x: np.exp(-2 * x * time)) + unseen
    variance = ratio * over(lambda x: (1 - np.exp(-x * time)) ** 2 / x)
    return power * bias + noise * (1 + variance)
