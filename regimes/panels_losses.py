"""Figures of one panel of losses along an axis: laws and plans, forecasts, limits, pruning, the best models.

What is predicted or fitted is a line and what was measured are points, so that they differ in grey as well. Each
function draws on the caller's axes or on new ones. Nothing global is set.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from regimes import equivalents, nyquist
from regimes.panels import _AXES, _axes
from regimes.plots import _DASHES, STYLES, _finish, _width
from regimes.results import Estimate, LearningCurve, LossSurface
from regimes.spectrum import Spectrum


def fitted(found: Any, ax: Any = None) -> Any:
    """A law with its band and the losses it was fitted to: a [Fit][regimes.fits.Fit].

    Args:
        found: what to draw; where several scales vary, fitted stand against measured losses.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError: a fit that failed.
    """
    places, loss = dict(zip(found.law.scales, found.problem.places, strict=True)), found.problem.loss
    varying = [name for name, values in places.items() if values.min() < values.max()]
    if len(varying) != 1:
        ax = _against(loss, np.asarray(found.predict(**places).loss), {"fitted": np.full(len(loss), True)}, ax)
        ax.set_ylabel(f"{found.law.name}, fitted")
        return ax
    ax, (along,) = _axes(ax), varying
    at = np.geomspace(places[along].min(), places[along].max(), 100)
    held = {name: values[0] for name, values in places.items() if name != along}
    ax.plot(places[along], loss, "o", color=STYLES[0][0], ms=4, mfc="white", label="measured")
    _band(ax, at, found.predict(**{along: at}, **held), STYLES[1][0], "--", f"{found.law.name}, fitted", found.level)
    ax.set(xscale="log", yscale="log", xlabel=_AXES.get(along, along), ylabel="loss")
    _keyed(ax, rows=3)
    return ax


def plan(fits: Any, found: Any, ax: Any = None, **given: float) -> Any:
    """What reaches a target by every law that planned: its curve and band, the size it chose, the interval at the foot.

    Args:
        fits: the [Fit][regimes.fits.Fit] that planned, or several; those with a bootstrap have a band.
        found: the [Plan][regimes.plans.Plan] of each, or pairs of a name and a plan, as
            [CurveFit.plans][regimes.curve_fits.CurveFit.plans] returns them.
        ax: axes to draw on; new ones by default.
        given: scales that the plans were given, by the names of the laws. Of two that were found the second is held at
            the value chosen.

    Returns:
        The axes.

    Raises:
        ValueError: not one plan for each fit, plans of different scales, or a fit that failed.
    """
    fits = [fits] if hasattr(fits, "law") else list(fits)
    plans = [found] if hasattr(found, "target") else [one if hasattr(one, "target") else one[1] for one in found]
    if len(fits) != len(plans) or len({(one.target, *one.scales) for one in plans}) != 1:
        raise ValueError(f"`found` must be one plan for each of {len(fits)} fits, all of one target and its scales.")
    ax = _axes(ax, (5.2, 4.0))
    target, along = plans[0].target, next(iter(plans[0].scales))
    wanted = [[name for name in one.law.scales if name not in given] for one in fits]
    measured = fits[0].problem.places[fits[0].law.scales.index(wanted[0][0])]
    chosen = np.array([one.scales[along].value for one in plans])
    ends = np.append(measured, chosen[np.isfinite(chosen)])
    at = np.geomspace(ends.min() / 1.3, 1.3 * ends.max(), 100)
    if len(fits[0].law.scales) == 1:
        ax.plot(measured, fits[0].problem.loss, "o", color="0.15", ms=4, mfc="white", label="measured", zorder=3)
    for index, (one, answer, names) in enumerate(zip(fits, plans, wanted, strict=True)):
        colour, marker = STYLES[index % len(STYLES)]
        sizes = list(answer.scales.values())
        others = {name: size.value for name, size in zip(names[1:], sizes[1:], strict=True)}
        told = ", ".join(f"{name} = {_short(size.value)}{_ends(size)}" for name, size in answer.scales.items())
        label = f"{one.law.name}: {told if np.isfinite(chosen[index]) else 'out of reach'}"
        if np.isfinite(list(others.values())).all():
            _band(
                ax, at, one.predict(**{names[0]: at}, **others, **given), colour, _DASHES[index % len(_DASHES)], label
            )
        else:
            ax.plot([], [], color=colour, label=label)
        foot, look = 0.03 + 0.04 * index, {"transform": ax.get_xaxis_transform(), "color": colour, "zorder": 3}
        low, high = sizes[0].low, min(sizes[0].high, at[-1])
        if low < high:
            ax.plot([low, high], [foot, foot], lw=2.5, solid_capstyle="butt", alpha=0.5, **look)
        ax.plot(chosen[index], foot, marker, ms=4, **look)
        ax.plot(chosen[index], target, marker, color=colour, ms=6, zorder=4)
    ax.axhline(target, color="0.4", lw=0.8, ls=":", label=f"target {target:.3g}")
    ax.set(xscale="log", yscale="log", xlabel=_AXES.get(along, along), ylabel="loss", xlim=(at[0], at[-1]))
    if at[-1] > 1.31 * measured.max():
        ax.axvspan(measured.max(), at[-1], color="0.94", lw=0, zorder=0)
    _keyed(ax, rows=len(fits) + 1)
    (low, high), room = ax.get_ylim(), 0.04 * (len(fits) + 1)
    ax.set_ylim(low / (high / low) ** (room / (1 - room)), high)  # the intervals at the foot
    return ax


def pruned(found: Any, ax: Any = None) -> Any:
    """Test losses of a pruned network against the share of its weights that is left: a [Pruned][regimes.pruned.Pruned].

    Args:
        found: what to draw: every seed, and their geometric mean up to the round in which one diverges.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = _axes(ax)
    look: Any = {"color": STYLES[0][0], "mfc": "white", "ms": 3.5, "ls": "", "mew": 0.8}
    for row, values in enumerate(found.loss.T):
        ax.plot(found.density, values, "o", **look, label=None if row else "one seed")
    mean = np.exp(np.log(found.loss).mean(axis=1))
    ax.plot(found.density, mean, "-s", color=STYLES[1][0], ms=4.5, lw=1.2, label="geometric mean")
    ax.set(xscale="log", yscale="log", xlabel="density: share of the weights left", ylabel="test loss")
    _keyed(ax, rows=2)
    return ax


def limit(found: Any, ax: Any = None, measured: LearningCurve | None = None) -> Any:
    """Losses along the time of infinite-width training: a [Limit][regimes.infinite.Limit].

    Args:
        found: what to draw; time 0, which a logarithmic axis has no place for, is left out.
        ax: axes to draw on; new ones by default.
        measured: losses of a network of finite width, drawn as points, such as `curve()` of a
            [Training][regimes.runs.Training].

    Returns:
        The axes.
    """
    ax, seen = _axes(ax), found.time > 0
    at, error = found.time[seen], 1.96 * found.stderr[seen]
    ends = (found.test_loss[seen] - error, found.test_loss[seen] + error)
    ax.plot(at, _positive(found.train_loss[seen]), "--", color=STYLES[0][0], lw=1.4, label="training, infinite width")
    _band(ax, at, (found.test_loss[seen], *ends), STYLES[1][0], "-", "test, infinite width", 0.95)
    if np.isfinite(found.end):
        ax.axhline(found.end, color="0.4", lw=0.8, ls=":", label=f"test at infinite time, {found.end:.3g}")
    if measured is not None:
        _measured(ax, measured, np.full(len(measured), True), STYLES[1], "white", "measured")
    ax.set(xscale="log", yscale="log", xlabel=_AXES["time"], ylabel="loss")
    _keyed(ax, rows=4)
    return ax


def forecast(found: Any, ax: Any = None, measured: LearningCurve | None = None) -> Any:
    """A predicted learning curve with its band, and where extrapolation begins: a forecast.

    Args:
        found: a [Forecast][regimes.forecast.Forecast].
        ax: axes to draw on; new ones by default.
        measured: losses to compare, drawn as points: filled inside the data, open beyond.

    Returns:
        The axes.
    """
    ax, at = _axes(ax), found.curve.at
    _band(ax, at, (found.curve.loss, found.low, found.high), STYLES[1][0], "-", "predicted", found.level)
    if measured is not None:
        inside = measured.at <= found.reach
        for chosen, face, label in ((inside, STYLES[0][0], "measured"), (~inside, "white", "measured, held out")):
            if chosen.any():
                _measured(ax, measured, chosen, STYLES[0], face, label)
    if found.beyond.any():
        ax.axvspan(found.reach, at[-1], color="0.94", lw=0, zorder=0)
        ax.axvline(found.reach, color="0.4", lw=0.8, ls=":", label=f"extrapolated beyond {found.reach:g}")
    ax.set(xscale="log", yscale="log", xlabel=_AXES[found.curve.along], ylabel="test loss")
    _keyed(ax, rows=5 if measured is not None else 3)
    return ax


def held_out(found: Any, ax: Any = None) -> Any:
    """A forecast from some of the samples with the losses of all: a [HeldOut][regimes.forecast.HeldOut].

    Args:
        found: what to draw; the title says how well the forecast did beyond the samples that it saw.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = forecast(found.forecast, ax, found.measured)
    ax.set_title(f"median error {found.error:.1%}, {found.inside:.0%} inside the band", fontsize=9)
    return ax


def nyquist_rate(found: Any, spectrum: Spectrum, ax: Any = None) -> Any:
    """Noiseless losses of a learner and of the one limited to the target's band, up to the samples that complete them.

    Args:
        found: the [Rate][regimes.nyquist.Rate]; where its band is infinite the learner stands alone.
        spectrum: kernel and target that it is of.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes; a loss of zero, which a logarithmic axis has no place for, is left out.
    """
    learners = [("this learner", spectrum, found.learner, STYLES[0][0], "-")]
    if np.isfinite(found.band) and found.band < found.learner:
        inside = np.cumsum(spectrum.multiplicity) <= found.band
        beyond = max(1 - float(spectrum.power[inside].sum()) / spectrum.total_power, 0.0)
        limited = nyquist.limited(spectrum, tolerance=beyond * (1 + 1e-9))
        learners.append(("limited to the band", limited, found.band, STYLES[1][0], "--"))
    ax = _axes(ax)
    last = 10 * min(each[2] for each in learners)
    last = last if np.isfinite(last) else min(spectrum.resolved, 1e4)
    for name, each, complete, colour, dash in learners:
        at = np.geomspace(1.0, last, 120)
        if complete < last:
            at = np.unique(np.append(at, complete * (1 - np.geomspace(1e-4, 0.5, 40))))  # up to the fall
        with np.errstate(all="ignore"):
            loss = np.asarray(equivalents.loss(each, at, np.inf, 0.0, 0.0))
        loss = np.where(loss > 1e-12 * spectrum.total_power, loss, 0.0)  # not what rounding leaves
        ax.plot(at, _positive(loss), dash, color=colour, lw=1.4, label=name)
        if complete < last:
            ax.axvline(complete, color=colour, ls=":", lw=1, label=f"rate: n = {complete:g}")
    ax.set(xscale="log", yscale="log", xlabel=_AXES["n"], ylabel="loss without noise", xlim=(1, last))
    _finish(ax, rows=0, crowded=300)
    ax.legend(loc="lower left", frameon=False, fontsize=7.5)  # where no loss is: it stays high up to the rate
    return ax


def hestness(found: Any, ax: Any = None) -> Any:
    """The learning curve of the best models, its three regions, and at each point the adequate size of the model.

    Args:
        found: a [Hestness][regimes.hestness.Hestness]; open points are shards whose adequate size is not determined.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = _axes(ax, (4.8, 3.6))
    curve, sized = found.curve, np.isfinite(found.adequate)
    above = f" above {found.floor:.3g}" if found.floor > 0 else ""
    label = f"loss{above} ~ n^{found.beta_g.value:.3f}{_width(found.beta_g)}"
    grows = f"adequate size (written) ~ n^{found.beta_p.value:.3f}{_width(found.beta_p)}"
    if not np.isfinite(found.beta_p.value):
        grows = "adequate size (written)"
    for chosen, face, text in ((~sized, "white", label if not sized.any() else None), (sized, STYLES[0][0], label)):
        if chosen.any():
            _measured(ax, curve, chosen, STYLES[0], face, text)
    for n, loss, size in zip(curve.at[sized], curve.loss[sized], found.adequate[sized], strict=True):
        ax.annotate(f"{size:.3g}", (n, loss), xytext=(-4, -7), textcoords="offset points", fontsize=6.5, ha="right")
    if sized.any():
        ax.plot([], [], " ", label=grows)
    if found.regions is not None:
        at = np.geomspace(curve.at[0], curve.at[-1], 100)
        start, end = found.regions["start"].value, found.regions["end"].value
        label = f"regions: power law from {start:.3g} to {end:.3g}"
        ax.plot(at, found.regions.predict(n=at).loss, "--", color=STYLES[1][0], lw=1.3, label=label)
        for place in (start, end):
            if curve.at[0] < place < curve.at[-1]:
                ax.axvline(place, color=STYLES[1][0], lw=0.8, ls=":")
    if found.floor > 0:
        ax.axhline(found.floor, color="0.4", lw=0.8, ls=":")
    ax.set(xscale="log", yscale="log", xlabel=_AXES["n"], ylabel="loss of the best model")
    _keyed(ax, rows=3)
    return ax


def excess(found: Any, ax: Any = None) -> Any:
    """An excess of the loss with its exponent: a [Measurement][regimes.network_variance.Measurement].

    Args:
        found: what to draw; the line through the points has the expected slope.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError: no excess is positive, so that a logarithmic axis has no place for any.
    """
    x, loss = found.curve.at if found.abscissa is None else found.abscissa, found.curve.loss
    seen = np.isfinite(loss) & (loss > 0)
    if not seen.any():
        raise ValueError("`found` has no excess that is positive: there is nothing to draw.")
    ax = _axes(ax)
    label = f"measured {found.exponent.value:.3f}{_width(found.exponent)}"
    _measured(ax, dataclasses.replace(found.curve, at=x), seen, STYLES[0], "white", label)
    if np.isfinite(found.expected):
        scale = np.exp(np.mean(np.log(loss[seen] * x[seen] ** found.expected)))
        ends = np.array([x.min(), x.max()])
        label = f"expected slope {found.expected:.3g}"
        ax.plot(ends, scale * ends**-found.expected, "-", color=STYLES[1][0], lw=1.3, label=label)
    xlabel = "1/(1/n − 1/N)" if found.abscissa is not None else _AXES.get(found.axis, found.axis)
    sign = "below" if found.sign < 0 else "over"
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel=f"loss {sign} that of\n{found.quantity}")
    _keyed(ax, rows=2)
    return ax


def extrapolation(found: Any, measured: LossSurface, corner: Any, ax: Any = None) -> Any:
    """Losses that a law predicts from the corner of a grid against those measured.

    Args:
        found: an [Extrapolation][regimes.corners.Extrapolation].
        measured: the losses of the whole grid.
        corner: which of them the law was fitted to, (n, k).
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError: grids of different shapes.
    """
    corner = np.asarray(corner, dtype=bool)
    if not found.predicted.shape == measured.loss.shape == corner.shape:
        raise ValueError(
            f"`measured` and `corner` must have the shape of the predictions, {found.predicted.shape}; got "
            f"{measured.loss.shape} and {corner.shape}."
        )
    sets = {f"corner, {found.inside}": corner, f"held out, {found.outside}": ~corner}
    ax = _against(measured.loss, found.predicted, sets, ax)
    ax.set_ylabel(f"predicted by {found.law}")
    return ax


def _positive(values: Any) -> Any:
    """What a logarithmic axis has a place for, else NaN."""
    values = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _band(ax: Any, at: Any, law: Any, colour: str, dash: Any, label: str, level: float = math.nan) -> None:
    """A line with its band, if it has one, which has a place in the legend if it has a level."""
    loss, low, high = (_positive(part) for part in law)
    if np.any(low < high):
        name = f"{level:.0%} band" if np.isfinite(level) else None
        ax.fill_between(at, low, high, color=colour, alpha=0.2, lw=0, label=name)
    ax.plot(at, loss, ls=dash, color=colour, lw=1.4, label=label)


def _measured(ax: Any, curve: LearningCurve, chosen: Any, style: tuple[str, str], face: str, label: str | None) -> None:
    """Points with 95 % intervals, which cannot reach zero."""
    colour, marker = style
    error = None if curve.stderr is None else np.minimum(1.96 * curve.stderr, 0.95 * np.abs(curve.loss))[chosen]
    ax.errorbar(
        curve.at[chosen], _positive(curve.loss[chosen]), yerr=error, fmt=marker, color=colour, ms=4, mfc=face,
        capsize=2, lw=1, label=label,
    )  # fmt: skip


def _against(measured: Any, predicted: Any, sets: dict[str, Any], ax: Any) -> Any:
    """Predicted against measured losses with their diagonal: the first set filled, the second open."""
    ax = _axes(ax)
    for (label, chosen), face, (colour, marker) in zip(sets.items(), (STYLES[0][0], "white"), STYLES, strict=False):
        ax.plot(measured[chosen], predicted[chosen], marker, color=colour, ms=4, mfc=face, label=label)
    seen = np.isfinite(measured) & np.isfinite(predicted)
    ends = [min(measured[seen].min(), predicted[seen].min()), max(measured[seen].max(), predicted[seen].max())]
    ax.plot(ends, ends, "-", color="0.5", lw=1, zorder=1)
    ax.set(xscale="log", yscale="log", xlabel="measured loss", ylabel="predicted loss")
    _finish(ax, rows=len(sets), crowded=300)
    ax.get_legend().set_loc("upper left")
    return ax


def _ends(estimate: Estimate) -> str:
    """The interval, if there is one."""
    return f" [{_short(estimate.low)}, {_short(estimate.high)}]" if np.isfinite(estimate.low) else ""


def _short(value: float) -> str:
    """Three digits, without a power of ten up to a million."""
    return f"{float(f'{value:.3g}'):g}"


def _keyed(ax: Any, rows: int) -> None:
    """Ticks and grid as in all panels, and a small legend: there are many rows of it."""
    ax.autoscale_view()
    (low, high), room = ax.get_ylim(), min(0.05 * rows, 0.4)
    ax.set_ylim(low, high * (high / low) ** (room / (1 - room)))
    _finish(ax, rows=0, crowded=300)
    ax.legend(loc="upper right", frameon=False, fontsize=7.5, handlelength=1.6, borderpad=0, labelspacing=0.35)
