"""What the page of `regimes explore` shows: loss, regimes and curves over (n, k), quick enough for a slider.

Without a limit on time everything is a function of four sums over the modes at the implicit regularisation gamma:
df1, df1 - df2 and the two powers of the share not learnt. They are smooth in log gamma, so that a spectrum is tabulated
once, and thousands of points (n, k) at any ridge and noise are read from a cubic spline. At a finite time they are read
from a contour of few nodes over few levels. Both agree with [equivalents][regimes.equivalents] and
[dynamics][regimes.dynamics] to the digits that a picture shows (tests say how many); the numbers of the chosen point
come from these themselves.

Valid as for [equivalents][regimes.equivalents].
"""

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import interpolate, ndimage, optimize

from regimes import display, dynamics, equivalents, spectra, theory
from regimes import spectrum as spectrum_module
from regimes.phases import MEANING, PHASES, _margins
from regimes.spectrum import Spectrum

Array = np.ndarray
SMALLEST, LARGEST = 2.0, 1e6
"""Range of n and k that a power law is shown over."""
MODES = 1e8
"""Listed modes of the power law; those beyond act as an implicit ridge."""
FINE, COARSE = 64, 16
"""Points along each side of the map, trained to the end and as the first answer at a finite time."""
MIDDLE = 48
"""The same at a finite time, once nothing is moved."""
LARGEST_RIDGE = 1e4
_STEP, _BIN, _WIDE, _NODES, _TALBOT = 0.06, 3.0, 4.0, 6, 10
"""Step of the table in log gamma; width of a bin in log lambda, trained to the end and at a finite time, and Gauss
nodes in it; nodes of the contour."""
_SHIFT = 0.01
"""Step in the logarithm of central differences."""
_NEAR, _TURN = 0.03, 0.3
"""A point is at the tip of the peak if log(n/k) is within the first and an exponent changes by more than the second
within one step."""


class Knobs(NamedTuple):
    """What the sliders say, apart from the spectrum."""

    noise: float = 0.0
    """Variance of the label noise."""
    ridge: float = 0.0
    """Added to the diagonal of the Gram matrix."""
    time: float = math.inf
    """Gradient-flow time; infinite is trained to the end."""


@dataclasses.dataclass(frozen=True)
class Tabulated:
    """A spectrum made ready for many quick questions."""

    spectrum: Spectrum
    """The spectrum itself."""
    levels: Spectrum
    """The same in about a hundred levels, for the table."""
    low: float
    """Smallest n and k shown."""
    high: float
    """Largest n and k shown: up to what the spectrum resolves."""
    start: float
    """First log gamma of the table."""
    sums: Any
    """Spline in log gamma of the logarithms of df1, df1 - df2, and of the powers with share and share squared."""

    @functools.cached_property
    def fewer(self) -> Spectrum:
        """The spectrum in still fewer levels, for finite times."""
        return _coarser(self.spectrum.compressed, _WIDE)

    def sizes(self, points: int) -> Array:
        """A grid of sizes, the same for n and k."""
        return np.geomspace(self.low, self.high, points)


class Surface(NamedTuple):
    """The loss over a grid and which regime rules where."""

    n: Array
    """Numbers of samples, one per row."""
    k: Array
    """Numbers of features, one per column."""
    loss: Array
    """(rows, columns) losses, noise included; infinite at n = k without ridge and limit on time."""
    margins: dict[str, Array]
    """By phase, in the order in which they are asked: positive where it holds. Where none does it is `width`."""
    draft: bool
    """Whether the grid is the coarse one, drawn while something moves."""

    @property
    def phase(self) -> Array:
        """(rows, columns) names out of [PHASES][regimes.phases.PHASES]."""
        return np.select([margin > 0 for margin in self.margins.values()], list(self.margins), "width")


class Curve(NamedTuple):
    """The loss through the chosen point along one axis."""

    along: str
    """n, k or time."""
    at: Array
    """Where."""
    loss: Array
    """Loss, noise included."""
    exponent: Array
    """-d ln(loss - noise)/d ln(at); NaN where the loss is infinite."""


@display.shown
class Point(NamedTuple):
    """The numbers of the chosen point."""

    n: float
    """Number of samples."""
    k: float
    """Number of features."""
    loss: float
    """Loss, noise included."""
    exponents: dict[str, float]
    """-d ln(loss - noise)/d ln of n, k and time, the last at a finite time only."""
    phase: str
    """The regime, one of [PHASES][regimes.phases.PHASES]."""
    peak: bool = False
    """Whether it is the tip of the interpolation peak, where the exponents in n and k turn at once and are NaN."""

    @property
    def meaning(self) -> str:
        """The regime in words."""
        return MEANING[self.phase]

    def __str__(self) -> str:
        falls = ", ".join(
            f"{'time' if name == 'time' else name}^{-value:.3f}".replace("^-0.000", "^0")
            for name, value in self.exponents.items()
            if math.isfinite(value)
        )
        said = f"; locally loss - noise goes as {falls}" if falls else ""
        said += "; at the peak" if self.peak else ""
        return f"n = {self.n:.4g}, k = {self.k:.4g}: loss {self.loss:.4g}, {self.meaning}{said}"


def power_law(alpha: float, beta: float) -> Tabulated:
    """The spectrum that the sliders alpha and beta make: lambda_i = i^-(1+alpha), v_i^2 = i^-(1+beta).

    Raises:
        ValueError: alpha or beta not positive.
    """
    return tabulate(spectra.power_law(alpha, beta, modes=MODES))


def tabulate(spectrum: Spectrum) -> Tabulated:
    """A spectrum ready to be shown, with the range of sizes that it resolves, at most `SMALLEST` to `LARGEST`.

    Raises:
        ValueError: fewer than 16 modes, or few resolved; a target without power.
    """
    high = min(LARGEST, spectrum.resolved, spectrum.modes / 2)
    if high < 4 * SMALLEST:
        raise ValueError(
            f"`spectrum` resolves sizes up to {high:g} only, too few to show: up to {4 * SMALLEST:g} is the least."
        )
    if not spectrum.total_power > 0:
        raise ValueError("`spectrum`: its power is zero everywhere, so that there is nothing to learn.")
    if not math.isfinite(spectrum.trace):
        raise ValueError(f"`spectrum` must have a finite trace, got {spectrum.trace}.")
    levels = _coarser(spectrum.compressed, _BIN)

    def beyond(log_gamma: float) -> float:
        """By how much df1 exceeds what the largest size asks for."""
        gamma = math.exp(log_gamma)
        learnt = levels.eigenvalues / (levels.eigenvalues + gamma)
        return float(learnt @ levels.multiplicity) + levels.tail / gamma - 1.01 * high

    upper = math.log(2 * spectrum.trace / high)  # df1 is at most trace/gamma
    lower = upper - 1
    while beyond(lower) < 0:
        lower -= 1
    start = optimize.brentq(beyond, lower, upper)
    stop = math.log(4 * spectrum.trace / SMALLEST + 8 * LARGEST_RIDGE / SMALLEST)
    log_gamma = np.linspace(start, stop, max(8, math.ceil((stop - start) / _STEP)))
    gamma = np.exp(log_gamma)
    learnt = levels.eigenvalues / (levels.eigenvalues + gamma[:, None])
    missed = 1 - learnt
    one = learnt @ levels.multiplicity + levels.tail / gamma
    difference = (learnt * missed) @ levels.multiplicity + levels.tail / gamma
    once, twice = missed @ levels.power + levels.tail_power, missed**2 @ levels.power + levels.tail_power
    sums = np.log(np.maximum(np.stack([one, difference, once, twice], axis=1), 1e-300))
    return Tabulated(spectrum, levels, SMALLEST, high, start, interpolate.CubicSpline(log_gamma, sums))


def losses(of: Tabulated, n: Any, k: Any, knobs: Knobs) -> Array:
    """The loss at every point of the broadcast n and k, quickly: six digits trained to the end, three at a finite time.

    Args:
        of: the spectrum.
        n: numbers of samples within the range shown, or infinite.
        k: numbers of features within the range shown, or infinite.
        knobs: noise, ridge and time.
    """
    n, k = np.broadcast_arrays(np.asarray(n, dtype=np.float64), np.asarray(k, dtype=np.float64))
    if math.isfinite(knobs.time):
        return _flow(of, knobs.time, n, k, knobs.ridge, knobs.noise)
    return _trained(*_solve(of, n.ravel(), k.ravel(), knobs.ridge), knobs.noise).reshape(n.shape)


def surface(of: Tabulated, knobs: Knobs, n: Array | None = None, k: Array | None = None) -> Surface:
    """Loss and regimes over the grid: fine where trained to the end, a draft at a finite time.

    The regimes are those of [phase_map][regimes.phases.phase_map], asked in the same order.

    Args:
        of: the spectrum.
        knobs: noise, ridge and time.
        n: numbers of samples, ascending; default the range shown.
        k: numbers of features, ascending; default the range shown.
    """
    draft = math.isfinite(knobs.time) and n is None
    sizes = of.sizes(COARSE if draft else FINE)
    n, k = sizes if n is None else n, sizes if k is None else k
    if math.isinf(knobs.time):
        return _surface(of, knobs, n, k)
    total, bare = _flow(of, knobs.time, n[:, None], k, knobs.ridge, np.array([knobs.noise, 0.0]))
    return _surface(of, knobs, n, k, total, bare, draft)


def refine(of: Tabulated, knobs: Knobs) -> Iterator[Surface | None]:
    """The surface at a finite time on the finer grid, in slices: None while it is not done, then the surface.

    Each slice takes a few hundredths of a second, after which the caller can turn to something else.
    """
    sizes, noises = of.sizes(MIDDLE), np.array([knobs.noise, 0.0])
    parts = []
    for first in range(0, MIDDLE, 8):
        parts.append(_flow(of, knobs.time, sizes[first : first + 8, None], sizes, knobs.ridge, noises))
        yield None
    yield _surface(of, knobs, sizes, sizes, *np.concatenate(parts, axis=1))


def curve(of: Tabulated, along: str, n: float, k: float, knobs: Knobs, points: int = 121) -> Curve:
    """The loss through (n, k) along n, k or time, and its local exponent by central differences.

    Args:
        of: the spectrum.
        along: n, k or time.
        n: number of samples of the point, held unless it is the axis.
        k: number of features of the point, held unless it is the axis.
        knobs: noise, ridge, and time unless it is the axis.
        points: how many there are; at a finite time each costs as much as a hundred without limit on time.
    """
    if along == "time":
        at = times(of, points)
        shifted = np.exp(np.array([-_SHIFT, 0.0, _SHIFT]))[:, None] * at
        loss = _flow(of, shifted, np.full(shifted.shape, n), np.full(shifted.shape, k), knobs.ridge, knobs.noise)
    else:
        at = of.sizes(points)
        # The last points stay within the table.
        shifted = np.exp(np.array([-_SHIFT, 0.0, _SHIFT]))[:, None] * np.clip(at, of.low, of.high * (1 - _SHIFT))
        shifted[1] = at
        loss = losses(of, shifted if along == "n" else n, shifted if along == "k" else k, knobs)
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(loss - knobs.noise)
        exponent = -(logs[2] - logs[0]) / (2 * _SHIFT)
    return Curve(along, at, loss[1], np.where(np.isfinite(loss).all(axis=0), exponent, np.nan))


def matching_factor(theory_curve: Curve, at: Array, loss: Array) -> float:
    """The factor that lays measured losses on the curve: the median ratio, in logarithms, over the shared range.

    Units of a loss are arbitrary, so that a power law can be compared with a measurement in its shape only. One where
    the ranges do not meet.
    """
    good = np.isfinite(theory_curve.loss)
    where, known = np.log(theory_curve.at[good]), np.log(theory_curve.loss[good])
    inside = (np.log(at) >= where[0]) & (np.log(at) <= where[-1])
    if not inside.any():
        return 1.0
    return float(np.exp(np.median(np.interp(np.log(at[inside]), where, known) - np.log(loss[inside]))))


def times(of: Tabulated, points: int) -> Array:
    """Times that show a spectrum being learnt: from a tenth of the time of its first mode to the last size shown."""
    first = 0.1 / of.levels.eigenvalues[0]
    return np.geomspace(first, min(max(1e4 * first, 10 / math.exp(of.start)), 1e13 * first), points)


def point(of: Tabulated, n: float, k: float, knobs: Knobs, *, quick: bool = False) -> Point:
    """The numbers at (n, k), from the theory itself; or from the table where that is quicker.

    Exponents trained to the end are those of [local_exponents][regimes.theory.local_exponents]; at a finite time
    central differences of [gradient_flow][regimes.dynamics.gradient_flow] stand for them.

    Args:
        of: the spectrum.
        n: number of samples, within the range shown.
        k: number of features, within the range shown.
        knobs: noise, ridge and time.
        quick: whether the table will do: for a moving slider. Trained to the end only.

    Raises:
        ValueError: n, k or time not positive, a negative ridge or noise, NaN.
    """
    noise, ridge, time = knobs
    exponents: dict[str, float]
    if math.isinf(time) and quick:
        up, down = math.exp(_SHIFT), math.exp(-_SHIFT)
        here, *around = losses(of, n * np.array([1, up, down, 1, 1]), k * np.array([1, 1, 1, up, down]), knobs)
        with np.errstate(invalid="ignore", divide="ignore"):
            logs = np.log(np.array(around) - noise)
        slopes = (logs[1::2] - logs[::2]) / (2 * _SHIFT)
        loss, exponents = float(here), {"n": float(slopes[0]), "k": float(slopes[1])}
    elif math.isinf(time):
        loss = float(equivalents.loss(of.spectrum, n, k, ridge, noise))
        exact = theory.local_exponents(of.spectrum, n, k, ridge, noise)
        exponents = {"n": float(exact.n), "k": float(exact.k)}
    else:
        moved = np.exp(_SHIFT * np.concatenate([np.zeros((3, 1)), np.eye(3), -np.eye(3)], axis=1))
        times, sizes, widths = np.array([[time], [n], [k]]) * moved
        values = np.asarray(dynamics.gradient_flow(of.spectrum, times, sizes, widths, ridge, noise))
        loss = float(values[0])
        with np.errstate(invalid="ignore", divide="ignore"):
            slopes = -(np.log(values[1:4] - noise) - np.log(values[4:7] - noise)) / (2 * _SHIFT)
        exponents = {"n": float(slopes[1]), "k": float(slopes[2]), "time": float(slopes[0])}
    regime = str(surface(of, knobs, np.array([n]), np.array([k])).phase[0, 0])
    peak = regime == "interpolation" and _tip(of, n, k, knobs)
    if peak:  # a slope there would be that of one side, or of none
        exponents |= {"n": math.nan, "k": math.nan}
    return Point(n, k, loss, exponents, regime, peak)


def _tip(of: Tabulated, n: float, k: float, knobs: Knobs) -> bool:
    """Whether (n, k) is so near to n = k, and the peak so sharp, that the exponents are those of no place."""
    if abs(math.log(n / k)) > _NEAR:
        return False
    up, down = math.exp(_SHIFT), math.exp(-_SHIFT)
    loss = losses(of, n * np.array([1, up, down, 1, 1]), k * np.array([1, 1, 1, up, down]), knobs)
    if not np.isfinite(loss).all():
        return True
    here, *around = np.log(loss - knobs.noise)
    turns = [abs(around[first] - 2 * here + around[first + 1]) / _SHIFT for first in (0, 2)]
    return bool(max(turns) > _TURN)


def boundaries(found: Surface) -> list[Array]:
    """Lines between the regimes, each (points, 2) of (n, k): smooth between the points of the grid."""
    import contourpy

    lines = []
    before = np.full(found.loss.shape, np.inf)
    for name in found.margins:
        inside = np.minimum(found.margins[name], before)
        before = np.minimum(before, -found.margins[name])
        if name == "small" or np.any(inside > 0):
            made = contourpy.contour_generator(np.log(found.k), np.log(found.n), inside).lines(0.0)
            lines += [np.exp(np.asarray(line)[:, ::-1]) for line in made]
    return lines


class Label(NamedTuple):
    """Where to write the name of a regime."""

    n: float
    """Samples."""
    k: float
    """Features."""
    phase: str
    """Its regime, one of `PHASES`."""
    side: str
    """What of the name stands there: center, or left or right, at that edge of the map, where half would be cut off."""


def labels(found: Surface, share: float = 0.02) -> list[Label]:
    """Where to write the names of the regimes: deepest inside of each that has this share of the map.

    Args:
        found: the map.
        share: the least share that gets a name.
    """
    step = max(1, len(found.n) // 32)  # near enough for a name
    n, k, phase = found.n[::step], found.k[::step], found.phase[::step, ::step]
    placed = []
    for name in PHASES:
        inside = phase == name
        if inside.mean() < share:
            continue
        depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        away = np.zeros_like(depth)  # from the edges of the map, where a name would be cut off
        aside = max(1, len(n) // 10)
        away[aside:-aside, 1:-1] = 1
        depth = depth * away if np.any(depth * away) else depth
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        side, at, border = "center", int(row), len(n) // 5
        for one, edge, near in (("left", 1, at < border), ("right", -2, at >= len(n) - border)):
            if near and inside[edge, column]:
                side, at = one, edge
        placed.append(Label(float(n[at]), float(k[column]), name, side))
    return placed


def _surface(
    of: Tabulated,
    knobs: Knobs,
    n: Array,
    k: Array,
    total: Array | None = None,
    bare: Array | None = None,
    draft: bool = False,
) -> Surface:
    """The margins by which each regime rules, given the losses at a finite time, with and without noise."""
    noise, ridge, time = knobs
    stops, shape = math.isfinite(time), (len(n), len(k))
    rows, columns = (axis.ravel() for axis in np.broadcast_arrays(n[:, None], k))
    static, once, twice = _solve(of, rows, columns, ridge)
    if total is None:
        total = _trained(static, once, twice, noise).reshape(shape)
    reducible = total - noise

    def limit(each: Knobs) -> Array:
        along_n, along_k = losses(of, n, np.inf, each), losses(of, np.inf, k, each)
        return np.where(n[:, None] <= k, along_n[:, None], along_k) - noise

    trained = limit(knobs._replace(time=math.inf))
    fitted = None
    if noise > 0:
        with np.errstate(invalid="ignore", divide="ignore"):
            share = static.x + static.spread * static.slope
            fitted = (noise / share - noise).reshape(shape) if bare is None else reducible - bare
    raised = (static.gamma / _floor(of, np.minimum(rows, columns))).reshape(shape) if ridge > 0 else None
    margins = _margins(
        n[:, None], k, reducible, limit(knobs) if stops else trained, twice.reshape(shape) / of.spectrum.total_power,
        trained=trained if stops else None, raised=raised, fitted=fitted,
    )  # fmt: skip
    return Surface(n, k, total, {name: np.clip(value, -1, 1) for name, value in margins.items()}, draft)


def _coarser(spectrum: Spectrum, width: float) -> Spectrum:
    """As `Spectrum.compressed`, with bins of another width in log lambda."""
    x = np.log(spectrum.eigenvalues)
    bins = np.floor((x[0] - x) / width).astype(np.int64)
    occupied = np.flatnonzero(np.diff(bins, prepend=-1))
    if 2 * _NODES * len(occupied) >= len(x):
        return spectrum
    nodes, modes = spectrum_module._gauss(x, spectrum.multiplicity, occupied)
    apart, power = spectrum_module._gauss(x, spectrum.power, occupied)
    values = np.concatenate([nodes, apart])
    modes = np.concatenate([modes, np.zeros(len(apart))])
    power = np.concatenate([np.zeros(len(nodes)), power])
    order = np.argsort(-values, kind="stable")
    order = order[(modes + power)[order] > 0]
    return dataclasses.replace(
        spectrum, eigenvalues=values[order], power=power[order], multiplicity=modes[order], replicates=()
    )


def _floor(of: Tabulated, m: Array) -> Array:
    """Gamma without ridge, df1(gamma) = m, by Newton from linear interpolation in the table; m is flat."""
    each, back = np.unique(m, return_inverse=True)  # a grid has few
    x = np.interp(-np.log(each), -of.sums.c[3, :, 0], of.sums.x[:-1])
    for _ in range(4):
        log_one, log_difference = of.sums(x)[..., :2].T
        x = np.clip(x + (log_one - np.log(each)) * np.exp(log_one - log_difference), of.start, of.sums.x[-1])
    return np.exp(x)[back]


def _trained(point: equivalents._Point, once: Array, twice: Array, noise: float) -> Array:
    """The loss trained to the end from what `_solve` gave."""
    return equivalents._loss(point, once, twice, np.full(once.size, noise))


def _solve(of: Tabulated, n: Array, k: Array, ridge: float) -> tuple[equivalents._Point, Array, Array]:
    """The fixed point on flat n and k, and the power not learnt with share and share squared.

    Newton in w = log(gamma - floor) for log of gamma (1 - df1/n) (1 - df1/k) = ridge/n: increasing and concave with a
    slope between 1 and 2, so that steps from the left end, where gamma = floor + ridge/n, never overshoot.
    """
    m = np.minimum(n, k)
    floor = _floor(of, m)
    gamma, effective = floor.copy(), ridge / n
    active = (effective > 0) & np.isfinite(n)
    if active.any():
        base, goal, sizes = floor[active], np.log(effective[active]), (n[active], k[active])
        low, w = np.log(base), goal.copy()
        log_base, log_drop = of.sums(low)[:, :2].T
        drop = np.exp(log_drop - log_base)
        for _ in range(40):
            distance = np.exp(w)
            away = np.log1p(distance / base)
            log_one, log_difference = of.sums(low + away)[:, :2].T
            # Differences of the spline are rounding next to the floor.
            fall = np.where(away < 1e-5, -drop * away, log_one - log_base)
            value, slope = low + away - goal, np.ones_like(w)
            for size in sizes:
                learnt = m[active] / size
                rest = (1 - learnt) - learnt * np.expm1(fall)  # 1 - df1/size
                value, slope = value + np.log(rest), slope + np.exp(log_difference) / size / rest
            step = -value / (distance / (base + distance) * slope)
            w = w + step
            if np.all(np.abs(step) < 1e-9):
                break
        gamma[active] = base + np.exp(w)
    log_one, log_difference, once, twice = of.sums(np.log(gamma)).T
    one, r = np.where(active, np.exp(log_one), m), np.exp(log_difference)
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = [1 - np.minimum(one, m) / size for size in (n, k)]
        known = effective / gamma  # the product of both factors: the smaller follows from the larger
        tie = n == k
        x = np.where(tie, np.sqrt(known), np.where(n < k, known / factors[1], factors[0]))
        y = np.where(tie, np.sqrt(known), np.where(n < k, factors[1], known / factors[0]))
        y = np.where(np.isinf(n) & (k == m), 0.0, y)
        slope = np.where(np.isinf(k), 1.0, 1 / (1 + r / (k * y)))
    return equivalents._Point(gamma, one, one - r, x, y, slope, r / n), np.exp(once), np.exp(twice)


def _flow(of: Tabulated, time: Any, n: Any, k: Any, ridge: float, noise: Any) -> Array:
    """[gradient_flow][regimes.dynamics.gradient_flow] on few levels and few nodes; for several noises, one for each."""
    noise = np.asarray(noise, dtype=np.float64)
    times, n, k = np.broadcast_arrays(np.asarray(time, dtype=np.float64), n, k)
    theta = np.pi * np.arange(1, _TALBOT, 2) / _TALBOT
    place = -0.6122 + 0.5017 * theta / np.tan(0.6407 * theta) + 0.2645j * theta
    turn = 0.5017 / np.tan(0.6407 * theta) - 0.5017 * 0.6407 * theta / np.sin(0.6407 * theta) ** 2 + 0.2645j
    flat = times.reshape(-1, 1)
    weights = np.broadcast_to(np.exp(_TALBOT * place) / place * turn / (1j * _TALBOT), (len(flat), len(place)))
    nodes = dynamics._Nodes(ridge / n.reshape(-1, 1) + _TALBOT / flat * place, weights, closed=False)
    made = np.empty((*noise.shape, len(flat)))
    for part in dynamics._blocks(np.arange(len(flat)), len(of.fewer.eigenvalues)):
        every = np.stack([n.ravel()[part], k.ravel()[part]])
        noises = np.repeat(noise[..., None], len(part), axis=-1)
        cut = nodes._replace(z=nodes.z[part], weights=nodes.weights[part])
        made[..., part] = dynamics._quadratic(of.fewer, every, cut, noises, False)
    return made.reshape(*noise.shape, *times.shape)
