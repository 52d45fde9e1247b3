"""Laws of one scale: power laws, with an offset, saturating, broken, Hestness' three regions, and k t as that scale.

The scale is called n here; `Law.rename` calls it otherwise.
"""

from typing import Any

import numpy as np

from regimes import _checks
from regimes.law import AMPLITUDES, OFFSETS, PLACES, Law, Parameter, log_sum, logarithm, maker, powers

_AMPLITUDE = Parameter("a", *AMPLITUDES, log=True, linear=True, meaning="what the power law gives at scale 1")
_EXPONENT = Parameter("b", 1e-3, 10.0, log=True, meaning="exponent")
_OFFSET = Parameter("c", *OFFSETS, linear=True, meaning="irreducible loss")
_ALABDULMOHSIN = "Alabdulmohsin et al. 2022 (arXiv:2209.06640)"


def _power(n: Any, a: Any, b: Any) -> Any:
    return a * powers(n, -b)


def _power_offset(n: Any, a: Any, b: Any, c: Any) -> Any:
    return a * powers(n, -b) + c


def _power_inverse(target: Any, a: Any, b: Any, c: Any = 0.0) -> Any:
    return np.where(target > c, powers(np.where(target > c, (target - c) / a, 1.0), -1 / b), np.nan)


POWER = Law(
    "power",
    "a n^-b",
    ("n",),
    (_AMPLITUDE, _EXPONENT),
    _power,
    "textbook",
    solutions={"n": _power_inverse},
)
"""A straight line on logarithmic axes."""

HESTNESS = Law(
    "hestness",
    "a n^-b + c",
    ("n",),
    (_AMPLITUDE, _EXPONENT, _OFFSET),
    _power_offset,
    "Hestness et al. 2017 (arXiv:1712.00409)",
    offset="c",
    solutions={"n": _power_inverse},
)
"""A power law with an irreducible loss: the second and third of Hestness' regions."""


def _regions(n: Any, guess: Any, start: Any, b: Any, end: Any, sharpness: Any) -> Any:
    decades = logarithm(end) - logarithm(start)
    floor = guess * np.exp(-log_sum(0.0, b * decades))
    fallen = -b / sharpness * log_sum(0.0, sharpness * (logarithm(n) - logarithm(start)))
    return floor + (guess - floor) * np.exp(fallen)


def _regions_inverse(target: Any, guess: Any, start: Any, b: Any, end: Any, sharpness: Any) -> Any:
    floor = guess / (1 + powers(end / start, b))
    inside = (target > floor) & (target < guess)
    share = np.where(inside, (guess - floor) / np.where(inside, target - floor, 1.0), 2.0)
    return np.where(inside, start * powers(np.expm1(sharpness / b * np.log(share)), 1 / sharpness), np.nan)


HESTNESS_REGIONS = Law(
    "hestness-regions",
    "f + (guess - f) [1 + (n/start)^sharpness]^(-b/sharpness), f = guess/[1 + (end/start)^b]",
    ("n",),
    (
        Parameter("guess", *AMPLITUDES, log=True, linear=True, meaning="loss of the best guess, at small n"),
        Parameter("start", *PLACES, log=True, meaning="where the power law meets the guess", place=True),
        Parameter("b", 1e-3, 10.0, log=True, meaning="exponent"),
        Parameter(
            "end", *PLACES, log=True, meaning="where what is reducible has fallen to the irreducible", place=True
        ),
        Parameter("sharpness", 0.1, 20.0, log=True, meaning="how abruptly the power law starts"),
    ),
    _regions,
    "Hestness et al. 2017 (arXiv:1712.00409) for the three regions; this smooth form is ours",
    solutions={"n": _regions_inverse},
)
"""Hestness' three regions with their two change points.

Far above `start` it is the power law with offset f + (guess - f)(n/start)^-b. `start` is where that power law,
extrapolated to smaller n, meets the level guess - f that the reducible loss has at n = 0; `end` is where it meets the
irreducible loss, (guess - f)(end/start)^-b = f, which gives the floor f = guess/[1 + (end/start)^b]. The three regions
are n < start, start < n < end and n > end; with end < start there is no region between.
"""

MODEL_GROWTH = Law(
    "model-growth",
    "a n^b",
    ("n",),
    (
        Parameter("a", *AMPLITUDES, log=True, linear=True, meaning="size at n = 1"),
        Parameter("b", 1e-3, 3.0, log=True, meaning="beta_p, below 1 where models grow more slowly than data"),
    ),
    lambda n, a, b: a * powers(n, b),
    "Hestness et al. 2017 (arXiv:1712.00409)",
    solutions={"n": lambda target, a, b: powers(target / a, 1 / b)},
)
"""The size of the best model for n samples (not a loss): it grows."""

M1 = Law(
    "m1",
    "a n^-b",
    ("n",),
    (_AMPLITUDE, _EXPONENT),
    _power,
    _ALABDULMOHSIN,
    solutions={"n": _power_inverse},
)
"""The power law under the name it has in the benchmark of Alabdulmohsin et al."""

M2 = Law(
    "m2",
    "a n^-b + c",
    ("n",),
    (_AMPLITUDE, _EXPONENT, _OFFSET),
    _power_offset,
    _ALABDULMOHSIN,
    offset="c",
    solutions={"n": _power_inverse},
)
"""The power law with offset under the name it has there."""


def _m3(n: Any, a: Any, b: Any, rate: Any) -> Any:
    return a * np.exp(b * log_sum(-logarithm(n), logarithm(rate)))


def _m3_inverse(target: Any, a: Any, b: Any, rate: Any) -> Any:
    left = powers(target / a, 1 / b) - rate
    return np.where(left > 0, 1 / np.where(left > 0, left, 1.0), np.nan)


M3 = Law(
    "m3",
    "a (1/n + rate)^b",
    ("n",),
    (
        _AMPLITUDE,
        _EXPONENT,
        Parameter("rate", 1 / PLACES[1], 1 / PLACES[0], log=True, meaning="inverse of the n where it levels off"),
    ),
    _m3,
    _ALABDULMOHSIN,
    solutions={"n": _m3_inverse},
)
"""A power law that levels off at n = 1/rate."""


def _m4(n: Any, gap: Any, c: Any, a: Any, b: Any, alpha: Any) -> Any:
    """With t = (L - c)/gap = 1/(1+e^-u): ln t - alpha ln(1-t) = ln [a n^-b gap^(alpha-1)].

    The left side is concave (alpha < 1) or convex in u with slopes between 1 and alpha, so that Newton's steps close in
    from one side. A last complex one carries the derivative.
    """
    goal = np.log(a) - b * logarithm(n) + (alpha - 1) * np.log(gap)
    real, power = np.real(goal), np.real(alpha)
    u = np.where(real < 0, real, real / power)
    for _ in range(60):
        step = (power * np.logaddexp(0, u) - np.logaddexp(0, -u) - real) / _m4_slope(u, power)
        u = u - step
        if not np.any(np.abs(step) > 1e-15 * (1 + np.abs(u))):
            break
    value = alpha * np.logaddexp(0, u) - np.logaddexp(0, -u)
    u = u - (value - goal) / _m4_slope(u, alpha)
    return c + gap * np.exp(-log_sum(0.0, -u))


def _m4_slope(u: Any, alpha: Any) -> Any:
    return np.exp(-np.logaddexp(0, u)) + alpha * np.exp(-np.logaddexp(0, -u))


def _m4_inverse(target: Any, gap: Any, c: Any, a: Any, b: Any, alpha: Any) -> Any:
    inside = (target > c) & (target < c + gap)
    above = np.where(inside, target - c, gap / 2)
    return np.where(inside, np.exp((np.log(a) + alpha * np.log(gap - above) - np.log(above)) / b), np.nan)


M4 = Law(
    "m4",
    "(L - c)/(c + gap - L)^alpha = a n^-b",
    ("n",),
    (
        Parameter("gap", *AMPLITUDES, log=True, meaning="loss of a random guess, less the irreducible"),
        Parameter("c", *OFFSETS, meaning="irreducible loss"),
        Parameter("a", *AMPLITUDES, log=True, meaning="the right side at n = 1"),
        Parameter("b", 1e-3, 10.0, log=True, meaning="exponent"),
        Parameter("alpha", 1e-3, 20.0, log=True, meaning="how strongly the loss bends towards the guess"),
    ),
    _m4,
    _ALABDULMOHSIN,
    offset="c",
    solutions={"n": _m4_inverse},
)
"""A power law with offset that bends towards the level of guessing, c + gap; implicit, and solved to rounding.

The paper has the level of guessing itself as a parameter; its distance to the offset keeps any box of bounds valid."""


@maker
def broken(breaks: Any = 1) -> Law:
    """The smoothly broken power law: a + b n^-c0 prod_i [1 + (n/d_i)^(1/f_i)]^(-c_i f_i).

    Its local exponent, offset apart, is c0 before the first break and gains c_i at the break d_i; f_i is the width of
    the break, small for a sharp one. A negative exponent lets it rise, as through an interpolation peak.

    Args:
        breaks: number of breaks, from 0 to 8.

    Raises:
        ValueError: a number of breaks that is not whole or out of range.

    Source: Caballero et al. 2022 (arXiv:2210.14891).
    """
    breaks = _checks.count("breaks", breaks, low=0, high=8)
    parameters = [
        Parameter("a", *OFFSETS, linear=True, meaning="irreducible loss"),
        Parameter("b", *AMPLITUDES, log=True, linear=True, meaning="what the first power law gives at scale 1"),
        Parameter("c0", -2.0, 10.0, meaning="first exponent"),
    ]
    for i in range(1, breaks + 1):
        parameters += [
            Parameter(f"c{i}", -10.0, 10.0, meaning=f"change of the exponent at break {i}"),
            Parameter(f"d{i}", *PLACES, log=True, meaning=f"place of break {i}", place=True),
            Parameter(f"f{i}", 0.02, 10.0, log=True, meaning=f"width of break {i}"),
        ]

    def function(n: Any, a: Any, b: Any, c0: Any, *rest: Any) -> Any:
        log_n = logarithm(n)
        total = -c0 * log_n
        for change, place, width in zip(rest[0::3], rest[1::3], rest[2::3], strict=True):
            total = total - change * width * log_sum(0.0, (log_n - logarithm(place)) / width)
        return a + b * np.exp(total)

    product = " ".join(f"[1 + (n/d{i})^(1/f{i})]^(-c{i} f{i})" for i in range(1, breaks + 1))
    return Law(
        "broken" if breaks == 1 else f"broken-{breaks}",
        f"a + b n^-c0 {product}".strip(),
        ("n",),
        tuple(parameters),
        function,
        "Caballero et al. 2022 (arXiv:2210.14891)",
        offset="a",
    )


@maker
def scale_time(of: Any = HESTNESS) -> Law:
    """Scale-time equivalence: any law of one scale as a law of the product k t.

    For features that are not divided by the root of k, gradient flow is k times as fast, and loss depends on k t
    until the width itself is felt, at t of the order of k^alpha for a power-law spectrum.

    Args:
        of: a law of one scale.

    Raises:
        ValueError: a law of several scales.

    Source: Boopathy and Fiete 2024 (arXiv:2409.05782) for the equivalence. That the loss is a power law in k t is an
    assumption of the law passed.
    """
    if not isinstance(of, Law) or len(of.scales) != 1:
        raise ValueError(f"`of` must be a law of one scale, got {of}.")
    function, solution = of.function, of.solutions.get(of.scales[0])
    solutions = {}
    if solution is not None:
        solutions = {
            "k": lambda target, time, *values: solution(target, *values) / time,
            "time": lambda target, k, *values: solution(target, *values) / k,
        }
    return Law(
        "scale-time" if of.name == HESTNESS.name else f"scale-time-{of.name}",
        f"{of.formula} at {of.scales[0]} = k time",
        ("k", "time"),
        of.parameters,
        lambda k, time, *values: function(k * time, *values),
        f"Boopathy and Fiete 2024 (arXiv:2409.05782) with {of.source}",
        offset=of.offset,
        solutions=solutions,
    )
