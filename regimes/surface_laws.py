"""Laws of several scales: Rosenfeld's, Bahri's, Kaplan's, Chinchilla's."""

from typing import Any

import numpy as np

from regimes.law import AMPLITUDES, OFFSETS, Law, Parameter, larger, log_sum, logarithm, powers, smaller

_ALPHA = Parameter("alpha", 1e-3, 10.0, log=True, meaning="exponent in the first scale")
_BETA = Parameter("beta", 1e-3, 10.0, log=True, meaning="exponent in the second scale")
_OFFSET = Parameter("c", *OFFSETS, linear=True, meaning="irreducible loss")


def _amplitude(name: str, meaning: str, *, linear: bool = True) -> Parameter:
    return Parameter(name, *AMPLITUDES, log=True, linear=linear, meaning=meaning)


def _root(value: Any, exponent: Any) -> Any:
    """value^(1/exponent), NaN where value is not positive."""
    return np.where(value > 0, powers(np.where(value > 0, value, 1.0), 1 / exponent), np.nan)


def _rosenfeld(n: Any, k: Any, guess: Any, alpha: Any, beta: Any, b: Any, c: Any, eta: Any) -> Any:
    return guess / np.sqrt(1 + (eta / (powers(n, -alpha) + b * powers(k, -beta) + c)) ** 2)


def _unenveloped(target: Any, guess: Any, eta: Any) -> Any:
    """The sum of powers at which the enveloped law has the loss `target`; NaN from the guess level on."""
    inside = target < guess
    return np.where(inside, eta / np.sqrt(np.where(inside, guess / target, 2.0) ** 2 - 1), np.nan)


ROSENFELD = Law(
    "rosenfeld",
    "guess |e/(e - i eta)| = guess/sqrt(1 + (eta/e)^2), e = n^-alpha + b k^-beta + c",
    ("n", "k"),
    (
        Parameter("guess", *AMPLITUDES, log=True, linear=True, meaning="loss of the best guess"),
        _ALPHA,
        _BETA,
        _amplitude("b", "amplitude in k, in units of that in n", linear=False),
        Parameter("c", *OFFSETS, meaning="floor of e; the loss tends to guess/sqrt(1 + (eta/c)^2)"),
        Parameter("eta", *AMPLITUDES, log=True, meaning="where e saturates into guessing"),
    ),
    _rosenfeld,
    "Rosenfeld et al. 2019 (arXiv:1909.12673)",
    solutions={
        "n": lambda target, k, guess, alpha, beta, b, c, eta: (
            1 / _root(_unenveloped(target, guess, eta) - b * powers(k, -beta) - c, alpha)
        ),
        "k": lambda target, n, guess, alpha, beta, b, c, eta: (
            1 / _root((_unenveloped(target, guess, eta) - powers(n, -alpha) - c) / b, beta)
        ),
    },
)
"""Rosenfeld's joint law for classification, with its envelope.

The published form has e = a n^-alpha + b k^-beta + c. Multiplying a, b, c and eta by one number changes nothing, so
a = 1 here. The formula is the published one as later work cites it; the paper itself was not available to us."""

ROSENFELD_LANGUAGE = Law(
    "rosenfeld-language",
    "a n^-alpha + b k^-beta + c",
    ("n", "k"),
    (_amplitude("a", "amplitude in n"), _ALPHA, _amplitude("b", "amplitude in k"), _BETA, _OFFSET),
    lambda n, k, a, alpha, b, beta, c: a * powers(n, -alpha) + b * powers(k, -beta) + c,
    "Rosenfeld et al. 2019 (arXiv:1909.12673), language modelling",
    offset="c",
    solutions={
        "n": lambda target, k, a, alpha, b, beta, c: 1 / _root((target - b * powers(k, -beta) - c) / a, alpha),
        "k": lambda target, n, a, alpha, b, beta, c: 1 / _root((target - a * powers(n, -alpha) - c) / b, beta),
    },
)
"""Rosenfeld's joint law for language models: no envelope, since their losses are far from guessing."""

CHINCHILLA = Law(
    "chinchilla",
    "E + A size^-alpha + B n^-beta",
    ("size", "n"),
    (
        Parameter("E", *OFFSETS, linear=True, meaning="irreducible loss"),
        _amplitude("A", "amplitude in the size"),
        _amplitude("B", "amplitude in the data"),
        Parameter("alpha", 1e-3, 10.0, log=True, meaning="exponent in the size"),
        Parameter("beta", 1e-3, 10.0, log=True, meaning="exponent in the data"),
    ),
    lambda size, n, E, A, B, alpha, beta: E + A * powers(size, -alpha) + B * powers(n, -beta),  # noqa: N803
    "Hoffmann et al. 2022 (arXiv:2203.15556)",
    offset="E",
    solutions={
        "size": lambda target, n, E, A, B, alpha, beta: 1 / _root((target - E - B * powers(n, -beta)) / A, alpha),  # noqa: N803
        "n": lambda target, size, E, A, B, alpha, beta: 1 / _root((target - E - A * powers(size, -alpha)) / B, beta),  # noqa: N803
    },
)
"""The sum of powers with the names of Hoffmann et al.; `n` counts tokens."""


def _kaplan(size: Any, n: Any, size_c: Any, n_c: Any, alpha: Any, beta: Any) -> Any:
    of_size = alpha / beta * (logarithm(size_c) - logarithm(size))
    return np.exp(beta * log_sum(of_size, logarithm(n_c) - logarithm(n)))


KAPLAN = Law(
    "kaplan",
    "[(size_c/size)^(alpha/beta) + n_c/n]^beta",
    ("size", "n"),
    (
        _amplitude("size_c", "size at which the loss is 1 with infinite data", linear=False),
        _amplitude("n_c", "data at which the loss is 1 with infinite size", linear=False),
        Parameter("alpha", 1e-3, 10.0, log=True, meaning="exponent in the size"),
        Parameter("beta", 1e-3, 10.0, log=True, meaning="exponent in the data"),
    ),
    _kaplan,
    "Kaplan et al. 2020 (arXiv:2001.08361), Eq. 1.5",
    solutions={
        "size": lambda target, n, size_c, n_c, alpha, beta: (
            size_c / _root(powers(target, 1 / beta) - n_c / n, alpha / beta)
        ),
        "n": lambda target, size, size_c, n_c, alpha, beta: (
            n_c * (1 / _root(powers(target, 1 / beta) - powers(size_c / size, alpha / beta), 1.0))
        ),
    },
)
"""Kaplan's joint law. At fixed size the loss approaches its limit as 1/n: variance-limited in the data."""

MULTIPLICATIVE = Law(
    "multiplicative",
    "A size^-alpha n^-beta + E",
    ("size", "n"),
    (
        _amplitude("A", "amplitude"),
        Parameter("alpha", 1e-3, 10.0, log=True, meaning="exponent in the size"),
        Parameter("beta", 1e-3, 10.0, log=True, meaning="exponent in the data"),
        Parameter("E", *OFFSETS, linear=True, meaning="irreducible loss"),
    ),
    lambda size, n, A, alpha, beta, E: A * np.exp(-alpha * logarithm(size) - beta * logarithm(n)) + E,  # noqa: N803
    "Zhang et al. 2024 (arXiv:2402.17193), for fine-tuning",
    offset="E",
    solutions={
        "size": lambda target, n, A, alpha, beta, E: 1 / _root((target - E) / A * powers(n, beta), alpha),  # noqa: N803
        "n": lambda target, size, A, alpha, beta, E: 1 / _root((target - E) / A * powers(size, alpha), beta),  # noqa: N803
    },
)
"""A product of powers: more of one scale never makes up for the lack of the other in the limit."""


def _pruned(log_density: Any, dense: Any, pruned: Any, slope: Any, place: Any) -> Any:
    """|dense| ((d^2 + p^2 A)/(d^2 + p^2))^(slope/2) with A = (pruned/dense)^(2/slope): the modulus, squared out."""
    square, corner = 2 * log_density, 2 * logarithm(place)
    rise = 2 / slope * (logarithm(pruned) - logarithm(dense))
    return dense * np.exp(slope / 2 * (log_sum(square, corner + rise) - log_sum(square, corner)))


def _pruned_density(target: Any, dense: Any, pruned: Any, slope: Any, place: Any) -> Any:
    inside = (target > dense) & (target < pruned)
    target = np.where(inside, target, np.sqrt(dense * pruned))
    above = np.expm1(2 / slope * (np.log(pruned) - np.log(target)))
    below = -np.expm1(-2 / slope * (np.log(target) - np.log(dense)))
    return np.where(inside, place * np.sqrt(above / np.where(below > 0, below, 1.0)), np.nan)


_PRUNED = Parameter("pruned", *AMPLITUDES, log=True, meaning="loss at vanishing density")
_SLOPE = Parameter("gamma", 1e-2, 20.0, log=True, meaning="exponent between the plateaus")
_PLACE = Parameter("p", 1e-30, 1e30, log=True, meaning="density at which the high plateau ends")

PRUNING_SINGLE = Law(
    "pruning-single",
    "dense |(d - i p (pruned/dense)^(1/gamma))/(d - i p)|^gamma, d = density",
    ("density",),
    (Parameter("dense", *AMPLITUDES, log=True, meaning="loss before pruning"), _PRUNED, _SLOPE, _PLACE),
    lambda density, dense, pruned, gamma, p: _pruned(logarithm(density), dense, pruned, gamma, p),
    "Rosenfeld et al. 2021 (arXiv:2006.10621), Eq. 1",
    solutions={"density": _pruned_density},
)
"""One network pruned to a density: two plateaus, a power law of exponent gamma from p to p (pruned/dense)^(1/gamma)."""


def _invariant(density: Any, depth: Any, width: Any, phi: Any, psi: Any) -> Any:
    return logarithm(density) + phi * logarithm(depth) + psi * logarithm(width)


PRUNING = Law(
    "pruning",
    "dense |(m - i p (pruned/dense)^(1/gamma))/(m - i p)|^gamma, m = depth^phi width^psi density",
    ("density", "depth", "width", "dense"),
    (
        _PRUNED,
        _SLOPE,
        _PLACE,
        Parameter("phi", 0.0, 10.0, meaning="exponent of the depth in the invariant"),
        Parameter("psi", 0.0, 10.0, meaning="exponent of the width in the invariant"),
    ),
    lambda density, depth, width, dense, pruned, gamma, p, phi, psi: _pruned(
        _invariant(density, depth, width, phi, psi), dense, pruned, gamma, p
    ),
    "Rosenfeld et al. 2021 (arXiv:2006.10621)",
    solutions={
        "density": lambda target, depth, width, dense, pruned, gamma, p, phi, psi: (
            _pruned_density(target, dense, pruned, gamma, p) / np.exp(_invariant(1.0, depth, width, phi, psi))
        ),
        "depth": lambda target, density, width, dense, pruned, gamma, p, phi, psi: _root(
            _pruned_density(target, dense, pruned, gamma, p) / np.exp(_invariant(density, 1.0, width, phi, psi)), phi
        ),
        "width": lambda target, density, depth, dense, pruned, gamma, p, phi, psi: _root(
            _pruned_density(target, dense, pruned, gamma, p) / np.exp(_invariant(density, depth, 1.0, phi, psi)), psi
        ),
    },
)
"""Networks of any depth, width and density, by the invariant m: those that share it share the loss.

The loss before pruning, `dense`, is a scale here: it is measured for each network, and the amount of data acts through
it alone. A solution for the density may exceed 1: then no pruning is possible."""


def _variance(n: Any, k: Any, B: Any, c: Any) -> Any:  # noqa: N803
    ratio = smaller(n, k) / larger(n, k)
    return c + B * ratio / (1 - ratio)


VARIANCE_LIMITED = Law(
    "variance-limited",
    "c + B m/|n - k|, m = min(n, k)",
    ("n", "k"),
    (
        Parameter("B", *AMPLITUDES, log=True, linear=True, meaning="power not represented, and noise"),
        Parameter("c", *OFFSETS, linear=True, meaning="loss in the limit of the larger scale"),
    ),
    _variance,
    "Bahri et al. 2021 (arXiv:2102.06701): excess 1/n or 1/k; m/|n - k| is exact for random features without ridge",
    offset="c",
    solutions={
        "n": lambda target, k, B, c: np.where(target > c, k * (1 + B / (target - c)), np.nan),  # noqa: N803
        "k": lambda target, n, B, c: np.where(target > c, n * (1 + B / (target - c)), np.nan),  # noqa: N803
    },
)
"""One scale held and the other larger: the loss approaches its limit as m/|n - k|, which is 1/n or 1/k far away.

`B` and `c` belong to the scale that is held (m B1(m) + noise in [theory][regimes.theory.ridgeless_split]). The solution
given for a scale is the one above the other scale, beyond the peak at n = k."""

RESOLUTION_LIMITED = Law(
    "resolution-limited",
    "a m^-b + c, m = min(n, k)",
    ("n", "k"),
    (_amplitude("a", "amplitude"), Parameter("b", 1e-3, 10.0, log=True, meaning="exponent"), _OFFSET),
    lambda n, k, a, b, c: a * powers(smaller(n, k), -b) + c,
    "Bahri et al. 2021 (arXiv:2102.06701)",
    offset="c",
    solutions={
        "n": lambda target, k, a, b, c: _within(1 / _root((target - c) / a, b), k),
        "k": lambda target, n, a, b, c: _within(1 / _root((target - c) / a, b), n),
    },
)
"""One scale as good as infinite: the smaller alone decides. Amplitude and exponent are the same along both, as they are
for a target drawn from the kernel (duality)."""


def _within(found: Any, other: Any) -> Any:
    return np.where(found <= other, found, np.nan)


def _four_regimes(n: Any, k: Any, a: Any, alpha: Any, b: Any, beta: Any, c: Any) -> Any:
    """The excess e solves n*(e)/n + k*(e)/k = 1; the log of the left side is convex and falls in ln e.

    Newton's steps from the larger of the two resolution-limited losses, where it is not negative, rise to the root.
    """
    of_n, of_k = np.log(a) - alpha * logarithm(n), np.log(b) - beta * logarithm(k)
    start = np.where(np.real(of_n) >= np.real(of_k), of_n, of_k)
    one, other = np.real(of_n), np.real(of_k)
    inverse, converse = 1 / np.real(alpha), 1 / np.real(beta)
    excess = np.real(start)
    for _ in range(60):
        step = _four_step(excess, one, other, inverse, converse)
        excess = excess + step
        if not np.any(np.abs(step) > 1e-15 * (1 + np.abs(excess))):
            break
    excess = excess + _four_step(excess, of_n, of_k, 1 / alpha, 1 / beta)
    return c + np.exp(excess)


def _four_step(excess: Any, of_n: Any, of_k: Any, inverse: Any, converse: Any) -> Any:
    """Newton's step; written by the distance to each loss so that one at minus infinity takes no part."""
    first, second = (of_n - excess) * inverse, (of_k - excess) * converse
    total = log_sum(first, second)
    return total / (np.exp(first - total) * inverse + np.exp(second - total) * converse)


FOUR_REGIMES = Law(
    "four-regimes",
    "(a/e)^(1/alpha)/n + (b/e)^(1/beta)/k = 1, L = c + e",
    ("n", "k"),
    (
        _amplitude("a", "excess at n = 1 with infinite k", linear=False),
        _ALPHA,
        _amplitude("b", "excess at k = 1 with infinite n", linear=False),
        _BETA,
        Parameter("c", *OFFSETS, meaning="irreducible loss"),
    ),
    _four_regimes,
    "regimes of Bahri et al. 2021 (arXiv:2102.06701); the form is ours, and Kaplan's where alpha = beta and c = 0",
    offset="c",
    solutions={
        "n": lambda target, k, a, alpha, b, beta, c: _needed(target - c, k, a, alpha, b, beta),
        "k": lambda target, n, a, alpha, b, beta, c: _needed(target - c, n, b, beta, a, alpha),
    },
)
"""A surface whose four corners are the four regimes, with different exponents in data and width.

Write n*(e) = (a/e)^(1/alpha) for the n that the excess e needs when k is infinite, and k*(e) likewise. The law is
n*(e)/n + k*(e)/k = 1. At k = infinity it is a n^-alpha, at n = infinity b k^-beta: resolution-limited. Next to either
limit the excess over it is first order in the small term, so it falls as 1/n or 1/k: variance-limited. There is no
peak at n = k, as for a model whose ridge is tuned; [theory][regimes.theory_law.theory] has one."""


def _needed(excess: Any, other: Any, a: Any, alpha: Any, b: Any, beta: Any) -> Any:
    free = excess > 0
    safe = np.where(free, excess, 1.0)
    left = 1 - powers(b / safe, 1 / beta) / other
    return np.where(free & (left > 0), powers(a / safe, 1 / alpha) / np.where(left > 0, left, 1.0), np.nan)
