"""A bare list of eigenvalues: exponents and learning curve of the kernel's own prior.

Taken as the population's, a list is a spectrum already. Taken as the eigenvalues of K/N, it is corrected for the finite
sample as a Gram matrix is (`resolvents.from_eigenvalues`), but no sample can be left out of it, so that nothing is
known of the sampling error: bands hold the choice of the window from which the tail is continued, and no more.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float64

from regimes import estimate, forecast, readings, theory
from regimes.equivalents import solve
from regimes.forecast import Forecast, Population
from regimes.readings import PowerLaw, Reading
from regimes.resolvents import from_eigenvalues
from regimes.results import Estimate, log_slope
from regimes.spectrum import Spectrum

Array = np.ndarray

_WINDOWS = 32
"""Windows from which the tail is read."""
_HALF = 0.58
"""Half of the stretch, in ln n, over which a local exponent is read: half a decade in all."""


def spectrum(values: Float64[Array, " modes"], samples: int | None = None) -> Spectrum:
    """The population spectrum behind a list, with the power of the kernel's own prior.

    Args:
        values: eigenvalues, descending.
        samples: N if they are those of K/N; None if they are those of the population.

    Raises:
        ValueError: more eigenvalues than samples, too few of them.
    """
    if samples is None:
        return Spectrum(values, values, np.ones(len(values)))
    return estimate.inverted(from_eigenvalues(values, samples))


def forecasts(
    found: Spectrum,
    samples: int | None,
    n: Float64[Array, " points"],
    widths: list[float],
    *,
    ridge: float = 0.0,
    noise: float = 0.0,
    level: float = 0.9,
    seed: int = 0,
) -> tuple[Forecast, ...]:
    """The learning curve at each number of features in `widths`.

    Args:
        found: from [spectrum][regimes.listed.spectrum].
        samples: as there.
        n: increasing sizes.
        widths: numbers of features, possibly infinite.
        ridge: added to the diagonal of the Gram matrix.
        noise: variance of the label noise.
        level: stated coverage of the band: over windows, not over samples.
        seed: seed of the windows.

    Without samples there is no band, and the last nine tenths of the list count as extrapolation: what comes after
    its end has a part in the loss there.
    """
    if samples is None:
        curves = [theory.predict_curve(found, n=n, k=k, ridge=ridge, noise=noise) for k in widths]
        return tuple(Forecast(one, one.loss, one.loss, level, found.modes / 10) for one in curves)
    rng, reach = np.random.default_rng([seed, 7]), found.resolved
    drawn = []
    for _ in range(_WINDOWS):
        low, high = np.exp(rng.uniform(np.log([1 / 12, 3 / 5]), np.log([1 / 4, 1])))
        drift = forecast.DRIFT * rng.standard_normal()
        drawn.append(forecast.continued(found, None if math.isinf(reach) else (low * reach, high * reach), drift))
    seen = theory.predict_curve(found, n=np.geomspace(4, min(reach, found.modes / 2), 24))
    floors, ones = np.full(_WINDOWS, noise), np.ones(_WINDOWS)
    known = Estimate.exact(noise, "given")
    population = Population(found, known, samples, ridge, seen, tuple(drawn), floors, ones)
    return tuple(population.curve(n, k=k, level=level) for k in widths)


def line(values: Float64[Array, " modes"], samples: int | None) -> Reading:
    """The fit of a line to the eigenvalues from rank 20 (or less) to a tenth of them.

    Args:
        values: eigenvalues, descending.
        samples: N if they are those of K/N, and the fit is only for comparison.
    """
    high = min(max(len(values) // 10, 8), len(values))
    at = np.unique(np.round(np.geomspace(min(20, high / 4), high, 12)).astype(np.int64))
    remark = "distorted by the finite sample; for comparison only" if samples else "the list as it is, its end not felt"
    value, window = -log_slope(at, values[at - 1]) - 1, (float(at[0]), float(at[-1]))
    one = Estimate(value, value, value, 1.0, window, "log-slope of the eigenvalue curve")
    return Reading("alpha", "eigenvalues", one, samples is None, remark)


def power_law(found: Spectrum, window: tuple[float, float], level: float) -> PowerLaw:
    """Whether a spectrum without uncertainty is a power law, by the local exponent of m gamma(m).

    Args:
        found: the spectrum.
        window: smallest and largest m that it is read at.
        level: for the record; the intervals have no width.
    """
    low, high = max(window[0], 2.0), window[1]
    middles: Any = np.exp(np.arange(np.log(high) - _HALF, np.log(low), -_HALF / 2))[::-1]
    if len(middles) < 4:
        nothing = np.empty(0)
        reason = f"too few eigenvalues ({found.modes:.0f}) to tell whether the spectrum is a power law"
        return PowerLaw(None, reason, nothing, nothing, nothing, nothing, level)
    exponents = []
    for middle in middles:
        near = middle * np.exp(np.linspace(-_HALF, _HALF, 7))
        exponents.append(-log_slope(near, near * np.asarray(solve(found, near).gamma)))
    values = np.array(exponents)
    last = middles >= middles[-1] / 8.5
    late, where = values[last], f"between n = {middles[last][0]:.0f} and {middles[-1]:.0f}"
    spread = float(np.ptp(late))
    holds = spread <= max(readings.STEADY, 0.1 * (1 + float(late.mean())))
    if holds:
        reason = f"a power law as far as the list shows it: the local exponent stays within {spread:.2f} {where}"
    else:
        reason = f"no power law: the local exponent moves from {late[0]:.2f} to {late[-1]:.2f} {where}"
    return PowerLaw(holds, reason, middles, values, values, values, level)
