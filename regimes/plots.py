"""Figures: one function per type of result, on the caller's axes or new ones, without global state."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from regimes.equivalents import solve
from regimes.phases import PHASES, PhaseMap
from regimes.results import Comparison, Estimate, LearningCurve

# Okabe and Ito's colours, distinguishable with any colour vision, each with a marker of its own for print in grey.
STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"))

_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_N = "training samples n"
_PHASE_LOOK = {  # colour, hatch: told apart in grey too
    "data": ("#56B4E9", ""),
    "width": ("#F0E442", ""),
    "interpolation": ("#D55E00", "xxx"),
    "noise": ("#CC79A7", ".."),  # with three of them 150 kB in an SVG
    "ridge": ("#009E73", "///"),
    "time": ("#999999", "\\\\\\\\\\\\"),
    "small": ("#FFFFFF", ""),
}
_PHASE_NAME = {
    "data": "data-limited:\nresolution in n,\nvariance in k",
    "width": "width-limited:\nresolution in k,\nvariance in n",
    "interpolation": "interpolation",
    "noise": "noise fitted",
    "ridge": "ridge-limited",
    "time": "time-limited",
    "small": "nothing\nlearnt",
}

_TITLES = {
    "resolution_n": ("Resolution-limited in n", "training samples n", "test loss"),
    "resolution_k": ("Resolution-limited in k", "random features k", "test loss"),
    "variance_n": ("Variance-limited in n", "samples beyond the features, n − k", "excess over n = ∞"),
    "variance_k": ("Variance-limited in k", "features beyond the samples, k − n", "excess over k = ∞"),
}

_LOOK: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "legend.fontsize": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
}


def four_regimes(comparisons: Any) -> Any:
    """Four log-log panels: measured points with error bars, predicted curves, both exponents in the legend.

    Args:
        comparisons: of one task or of several, or what [four_regimes][regimes.verify.four_regimes] found; each regime
            gets its panel, each task its colour and marker.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    comparisons = getattr(comparisons, "comparisons", comparisons)
    names = list(dict.fromkeys(one.task for one in comparisons))
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(7.2, 6.2), layout="constrained")
        FigureCanvasAgg(figure)
        for axes, regime in zip(figure.subplots(2, 2).flat, _TITLES, strict=True):
            for one in comparisons:
                if one.regime == regime:
                    comparison(one, ax=axes, style=STYLES[names.index(one.task) % len(STYLES)])
            _finish(axes, rows=2 * len(names))
        figure.legend(handles=_key(), loc="outside lower center", ncols=2, frameon=False)
    return figure


def comparison(one: Comparison, ax: Any = None, style: tuple[str, str] = STYLES[0]) -> Any:
    """One regime of one task on log-log axes.

    Args:
        one: what to draw; the abscissa is the one its exponents refer to.
        ax: axes to draw on; new ones by default.
        style: colour and marker.

    Returns:
        The axes.
    """
    alone = ax is None
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(3.6, 3.1), layout="constrained").subplots()
    colour, marker = style
    title, xlabel, ylabel = _TITLES[one.regime]
    held = one.measured.fixed["k" if one.measured.along == "n" else "n"]
    x = one.measured.at - (held if one.regime.startswith("variance") else 0)
    label = (
        f"{one.task}\npredicted {one.predicted_exponent.value:.3f}{_width(one.predicted_exponent)}, "
        f"measured {one.measured_exponent.value:.3f}{_width(one.measured_exponent)}"
    )
    # A loss has log-scale error bars that cannot reach zero.
    error = None if one.measured.stderr is None else np.minimum(1.96 * one.measured.stderr, 0.95 * one.measured.loss)
    ax.errorbar(
        x, one.measured.loss, yerr=error, fmt=marker, color=colour, ms=4, mfc="white", capsize=2, lw=1, label=label
    )
    ax.plot(x, one.predicted.loss, "-", color=colour, lw=1.4, zorder=1.5)
    ax.set(xscale="log", yscale="log", title=title, xlabel=xlabel, ylabel=ylabel)
    if alone:
        _finish(ax, rows=2)
    return ax


def learning_curves(curves: Sequence[LearningCurve], labels: Sequence[str], ax: Any = None) -> Any:
    """Predicted or measured losses along the same axis, log-log: lines for predictions, points for measurements.

    Args:
        curves: what to draw, all along the same of n, k, ridge and time.
        labels: one per curve, for the legend.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError: curves along different axes, or not one label per curve.
    """
    if len({curve.along for curve in curves}) != 1:
        raise ValueError("`curves` must run along one and the same axis.")
    if len(labels) != len(curves):
        raise ValueError(f"`labels` must be one per curve: expected {len(curves)}, got {len(labels)}.")
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(4.2, 3.2), layout="constrained").subplots()
    for index, (curve, label) in enumerate(zip(curves, labels, strict=True)):
        colour, marker = STYLES[index % len(STYLES)]
        shown = np.where(np.isfinite(curve.loss), curve.loss, np.nan)
        if curve.stderr is None:
            ax.plot(curve.at, shown, ls=_DASHES[index % len(_DASHES)], color=colour, lw=1.4, label=label)
        else:
            error = np.minimum(1.96 * curve.stderr, 0.95 * curve.loss)
            ax.errorbar(curve.at, shown, yerr=error, fmt=marker, color=colour, ms=4, mfc="white", lw=1, label=label)
    axis = {"n": "training samples n", "k": "random features k", "ridge": "ridge δ", "time": "training time t"}
    ax.set(xscale="log", yscale="log", xlabel=axis[curves[0].along], ylabel="test loss")
    _finish(ax, rows=len(curves))
    return ax


def phase_map(found: PhaseMap, ax: Any = None) -> Any:
    """Phases over (n, k) as coloured and hatched areas, contours of the loss, and the interpolation peak.

    Args:
        found: what to draw.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.2, 4.4), layout="constrained").subplots()
    n, k = found.surface.n, found.surface.k
    ax.set(xscale="log", yscale="log", xlabel="training samples n", ylabel="random features k")
    limits = [(axis[0], axis[-1]) if len(axis) > 1 else (axis[0] / 2, axis[0] * 2) for axis in (n, k)]
    ax.set(xlim=limits[0], ylim=limits[1])  # before the labels of the contours, which cut gaps to scale
    number = np.array([PHASES.index(name) for name in found.phase.ravel()]).reshape(found.phase.shape)
    colours = ListedColormap([_PHASE_LOOK[name][0] for name in PHASES])
    look = {"vmin": -0.5, "vmax": len(PHASES) - 0.5, "alpha": 0.35, "shading": "nearest", "lw": 0}
    ax.pcolormesh(n, k, number.T, cmap=colours, rasterized=True, **look)  # thousands of cells, also in an SVG
    present = [name for name in PHASES if np.any(found.phase == name)]
    for name in present:
        if _PHASE_LOOK[name][1] and min(number.shape) > 1:
            inside = (number == PHASES.index(name)).astype(float).T
            layer = ax.contourf(n, k, inside, levels=[0.5, 1.5], colors="none", hatches=[_PHASE_LOOK[name][1]])
            layer.set(edgecolor="0.55", linewidth=0)
    loss = found.surface.loss - found.surface.fixed.get("noise", 0.0)
    finite = np.isfinite(loss) & (loss > 0)
    shown = np.log10(np.where(finite, loss, loss[finite].max()))
    if min(shown.shape) > 1:
        top = np.log10(min(loss[finite].max(), loss[0, 0]))  # the flank of the peak is steep: no lines above the corner
        levels = np.linspace(shown.min(), top, 12)[1:-1]
        lines = ax.contour(n, k, shown.T, levels=levels, colors="0.25", linewidths=0.6, linestyles="-")
        ax.clabel(lines, fmt=lambda level: f"{10**level:.2g}", fontsize=6.5)
    ax.plot(found.peak, k, color="black", lw=1.3, ls="--")
    handles: list[Any] = [
        Patch(facecolor=_PHASE_LOOK[name][0], alpha=0.5, hatch=_PHASE_LOOK[name][1], label=_PHASE_NAME[name])
        for name in present
    ]
    if np.isfinite(found.peak).any():
        handles.append(Line2D([], [], color="black", ls="--", lw=1.3, label="peak in n"))
    handles.append(Line2D([], [], color="0.25", lw=0.6, label="reducible loss"))
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=7.5)
    return ax


def prediction(found: Any) -> Any:
    """Four log-log panels of a [Prediction][regimes.predict.Prediction]: spectrum, prior, local exponent, forecast.

    Args:
        found: what to draw; of a bare list of eigenvalues there are no pivots and no leave-one-out points.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(7.6, 6.4), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(f"{found.name}: {found.analysed} samples", fontsize=10)
        (first, second), (third, fourth) = figure.subplots(2, 2)
        _eigenvalues(first, found)
        _prior(second, found)
        _local_exponents(third, found)
        _forecast(fourth, found)
    return figure


def _eigenvalues(ax: Any, found: Any) -> None:
    """Eigenvalues of K/N by rank, and those of the population as far as they are resolved."""
    colour, marker = STYLES[0]
    values = found.eigenvalues[found.eigenvalues > 1e-14 * found.eigenvalues[0]]  # the rest is rounding
    every = np.unique(np.round(np.geomspace(1, len(values), 60)).astype(np.int64)) - 1
    finite = math.isfinite(found.spectrum.resolved) or found.kind != "eigenvalues"
    name = "of K/N" if finite else "as listed"
    ax.plot(every + 1, values[every], marker, color=colour, ms=3.5, mfc="white", mew=0.8, label=name)
    if finite:
        last = int(min(found.spectrum.resolved, found.spectrum.modes))
        ranks = np.unique(np.round(np.geomspace(1, last, 80)))
        place = np.searchsorted(np.cumsum(found.spectrum.multiplicity), ranks - 0.5)
        levels = found.spectrum.eigenvalues[np.minimum(place, len(found.spectrum.eigenvalues) - 1)]
        ax.plot(ranks, levels, "-", color=STYLES[1][0], lw=1.4, label="population, corrected")
    ax.set(xscale="log", yscale="log", title="Eigenvalues", xlabel="rank i", ylabel="eigenvalue")
    _finish(ax, rows=2, crowded=300)


def _prior(ax: Any, found: Any) -> None:
    """Loss of the kernel's own prior along n, three ways."""
    top = min(found.spectrum.resolved, found.spectrum.modes / 2, found.samples)
    at = np.geomspace(3, max(top, 6), 60)
    if found.pivots is not None:
        curves = (("pivots", found.pivots, STYLES[0]), ("n/tr K$_n^{-1}$, no ridge", found.harmonic, STYLES[2]))
        for label, curve, (colour, marker) in curves:
            seen = (curve.at >= 3) & (curve.loss > 1e-9 * found.spectrum.trace)  # not what jitter leaves
            ax.plot(curve.at[seen], curve.loss[seen], marker, color=colour, ms=3.5, mfc="white", mew=0.8, label=label)
    loss = at * np.asarray(solve(found.spectrum, at).gamma)
    ax.plot(at, loss, "-", color=STYLES[1][0], lw=1.4, label="n κ(n), corrected")
    ax.set(xscale="log", yscale="log", title="Loss of the kernel's prior", xlabel=_N, ylabel="loss of a prior draw")
    _finish(ax, rows=3 if found.pivots is not None else 1, crowded=300)


def _local_exponents(ax: Any, found: Any) -> None:
    """The exponent from place to place with its band, and alpha as it is quoted."""
    law, alpha = found.law, found.exponents.alpha
    for reading in found.readings:
        if reading.quantity == "alpha" and reading.default:
            alpha = reading.estimate
    if len(law.n):
        band = f"{law.level:.0%} band" if np.any(law.high > law.low) else None
        ax.fill_between(law.n, law.low, law.high, color=STYLES[4][0], alpha=0.35, lw=0, label=band)
        ax.plot(law.n, law.exponent, "-o", color=STYLES[0][0], ms=3, lw=1.2, label="local exponent of n κ(n)")
    if alpha.window is not None and np.isfinite(alpha.value):
        label = f"α = {alpha.value:.3f}{_width(alpha)}"
        ax.plot(alpha.window, [alpha.value] * 2, "--", color=STYLES[1][0], lw=1.4, label=label)
    verdict = {True: "power law", False: "no power law", None: "undecided"}[law.holds]
    ax.set(xscale="log", title=f"Local exponent: {verdict}", xlabel=_N, ylabel="α(n)")
    low, high = ax.get_ylim()
    wide = max(high - low, 0.3)  # what is steady must look steady
    ax.set_ylim((low + high - wide) / 2, (low + high + wide) / 2)
    _finish(ax, rows=3, linear=True, crowded=300)


def _forecast(ax: Any, found: Any) -> None:
    """Predicted curves with their bands, leave-one-out points, and where the extrapolation begins."""
    for index, one in enumerate(found.drawn):
        colour = (STYLES[1], STYLES[0], *STYLES[2:])[index % len(STYLES)][0]
        k = one.curve.fixed["k"]
        at, *lines = (one.curve.at, one.curve.loss, one.low, one.high)
        loss, low, high = (np.where(np.isfinite(part) & (part > 0), part, np.nan) for part in lines)
        ax.fill_between(at, low, high, color=colour, alpha=0.2, lw=0)
        label = "predicted, k = ∞" if np.isinf(k) else f"predicted, k = {k:g}"
        ax.plot(at, loss, ls=_DASHES[index % len(_DASHES)], color=colour, lw=1.4, label=label)
    if found.measured is not None:
        curve = found.measured
        error = None if curve.stderr is None else np.minimum(1.96 * curve.stderr, 0.95 * curve.loss)
        style = {"fmt": "o", "color": "0.15", "ms": 4, "mfc": "white", "capsize": 2, "lw": 1}
        shown = (curve.at >= found.drawn[0].curve.at[0]) & (curve.loss > 0)
        error = None if error is None else error[shown]
        ax.errorbar(curve.at[shown], curve.loss[shown], yerr=error, label="leave-one-out", **style)
    first = found.drawn[0]
    ax.set(xscale="log", yscale="log", title="Learning curve", xlabel=_N, ylabel="test loss")
    if first.beyond.any():
        ax.axvspan(first.reach, first.curve.at[-1], color="0.93", lw=0, zorder=0)
        ax.axvline(first.reach, color="0.4", lw=0.8, ls=":", label="beyond: extrapolated")
    if found.noise.value > 0:
        ax.axhline(found.noise.value, color="0.4", lw=0.8, ls="--", label="noise")
    ax.autoscale_view()
    low, high = ax.get_ylim()
    ax.set_ylim(low, min(high, 5 * (found.spectrum.total_power + found.noise.value)))  # peaks leave the panel
    _finish(ax, rows=2, crowded=300)  # falling curves leave the corner of the legend free
    ax.get_legend().set(frame_on=True)
    ax.get_legend().get_frame().set(facecolor="white", edgecolor="none", alpha=0.85)


def fits(results: Sequence[Any], most: int = 9) -> Any:
    """Fits of laws to measured losses: [CurveFit][regimes.curve_fits.CurveFit]s of one curve or of several.

    One curve has three panels: measured points (filled: fitted for the ranking; open: held out) with the law, the
    forecast and its band; the residuals; the ranking with its intervals. With several scales the first panel has
    predicted against measured losses. Of several curves each has the first panel, and the last one ranks laws by their
    median error over all of them.

    Args:
        results: what to draw.
        most: curves to draw at most.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    single = len(results) == 1
    shown = list(results[:most])
    with matplotlib.rc_context(_LOOK):
        panels = 3 if single else len(shown) + 1
        columns = min(panels, 3)
        rows = -(-panels // columns)
        figure = Figure(figsize=(3.4 * columns, 3.0 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for ax, one in zip(axes, shown, strict=False):
            fit(one, ax=ax, title=not single, key=single or ax is axes[0], law="" if single else "best law")
        if single:
            figure.suptitle(shown[0].curve.name, fontsize=10)
            _residuals(axes[1], shown[0])
        _ranks(axes[panels - 1], results)
        for ax in axes[panels:]:
            ax.set_axis_off()
    return figure


def fit(one: Any, ax: Any = None, title: bool = True, key: bool = True, law: str = "") -> Any:
    """A measured curve with the law fitted to it, and the forecast beyond with its band.

    Args:
        one: a [CurveFit][regimes.curve_fits.CurveFit].
        ax: axes to draw on; new ones by default.
        title: whether to write the name of the curve above it.
        key: whether to draw a legend.
        law: what the legend calls the law; its name by default.

    Returns:
        The axes.
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(4.2, 3.4), layout="constrained").subplots()
    place, loss = one.curve.scales[one.along], one.curve.loss
    colour = STYLES[0][0]
    held = place > one.split  # nothing is, where the split is NaN
    several = len(one.curve.varying) > 1
    if several and one.status != "failed":
        x, y = loss, one.predicted()
        ends = min(x.min(), y.min()) / 1.1, max(x.max(), y.max()) * 1.1
        ax.plot(ends, ends, "-", color="0.5", lw=1)
        ax.set(xlabel="measured loss", ylabel=f"{one.fit.law.name}, fitted to all")
    else:
        x, y = place, loss
        ax.set(xlabel=one.along, ylabel="loss")
    few = len(x) <= 60
    size, edge = (4, 0.8) if few else (2, 0.4)
    error = None if one.curve.stderr is None or several else np.minimum(1.96 * one.curve.stderr, 0.95 * loss)
    for inside, face, label in ((~held, colour, "fitted for the ranking"), (held, "white", "held out")):
        if inside.any():
            label = label if held.any() else "measured"
            spread = None if error is None else error[inside]
            ax.errorbar(x[inside], y[inside], yerr=spread, fmt="o", color=colour, ms=size, mfc=face, mew=edge, lw=0.8,
                        label=label, zorder=2)  # fmt: skip
    if one.status != "failed" and not several:
        made = one.forecast()
        ax.fill_between(made.at, made.low, made.high, color=STYLES[1][0], alpha=0.2, lw=0, zorder=1)
        inside = ~made.beyond
        label = f"{law or one.fit.law.name}, all points"
        ax.plot(made.at[inside], made.loss[inside], "-", color=STYLES[1][0], lw=1.4, zorder=3, label=label)
        ax.plot(made.at[~inside], made.loss[~inside], ":", color=STYLES[1][0], lw=1.8, zorder=3, label="forecast")
        if one.held is not None and held.any() and not math.isnan(one.held.objective):
            at = np.geomspace(place.min(), place.max(), 80)
            (scale,) = one.held.law.scales
            ax.plot(
                at, one.held.predict(**{scale: at}).loss, "--", color="0.25", lw=1.1, zorder=4, label="up to the split"
            )
        if made.beyond.any():
            ax.axvspan(place.max(), made.at[-1], color="0.94", lw=0, zorder=0)
        low, high = loss.min(), loss.max()
        lowest = np.nanmin(np.append(made.low[~inside], made.loss))
        ax.set_ylim(max(0.5 * np.nanmin(np.append(made.loss, low)), 0.9 * min(lowest, low)), 1.1 * high)
    ax.set(xscale="log", yscale="log")
    if title:
        ax.set_title(one.curve.name[:42] + (f": {one.fit.law.name}" if one.status != "failed" and law else ""))
    crossed = several and one.status != "failed"
    _finish(ax, rows=4 if key and not crossed else 0, crowded=100)
    if crossed and key:
        ax.set(xlim=ends, ylim=ends)
        ax.legend(loc="upper left", frameon=False, handlelength=1.2, borderpad=0, labelspacing=0.35)
    if one.status == "failed":
        reason = textwrap.fill((one.notes or ("nothing could be fitted",))[-1], 34)
        ax.text(0.5, 0.5, reason, transform=ax.transAxes, ha="center", va="center", fontsize=7.5, color="0.3")
    return ax


def _residuals(ax: Any, one: Any) -> None:
    """Log residuals along the scale that was split."""
    place = one.curve.scales[one.along]
    if one.status != "failed":
        few = len(place) <= 60
        ax.axhline(0, color="0.5", lw=1)
        ax.plot(place, one.fit.residuals, "o", color=STYLES[0][0], ms=4 if few else 2, mfc="white", mew=0.6)
        what = "ln(predicted/measured)" if one.fit.problem.objective == "log" else "residual / standard error"
        ax.set(ylabel=what, title=f"Residuals of {one.fit.law.name}, all points")
    ax.set(xscale="log", xlabel=one.along)
    _finish(ax, rows=0, linear=True, crowded=100)


def _ranks(ax: Any, results: Sequence[Any]) -> None:
    """Held-out errors of laws: with intervals for one curve, medians and quartiles for several."""
    errors: dict[str, list[float]] = {}
    for one in results:
        for rank in one.ranks:
            if np.isfinite(rank.error.value):
                errors.setdefault(rank.law, []).append(rank.error.value)
    if not errors:
        ax.set_axis_off()
        return
    if len(results) == 1:
        ends = {rank.law: (rank.error.low, rank.error.high) for rank in results[0].ranks}
    else:
        ends = {law: tuple(np.quantile(values, [0.25, 0.75])) for law, values in errors.items()}
    middle = {law: float(np.median(values)) for law, values in errors.items()}
    order = sorted(middle, key=lambda law: middle[law], reverse=True)
    for row, law in enumerate(order):
        low, high = (end if np.isfinite(end) else middle[law] for end in ends[law])
        ax.plot([low, high], [row, row], "-", color="0.5", lw=2.5, solid_capstyle="butt")
        ax.plot(middle[law], row, "o", color=STYLES[0][0], ms=5)
    several = len(results) > 1
    ax.set_yticks(range(len(order)), order)
    widest = max(end if np.isfinite(end) else middle[law] for law, (_, end) in ends.items() if law in middle)
    right = 1.05 * min(widest, 4 * max(middle.values())) or 1.0  # where an interval is very wide, the laws still differ
    ax.set(
        xlim=(0, right), ylim=(-0.6, len(order) - 0.4), xlabel="held-out error of the log loss",
        title=f"Ranking over {len(results)} curves (quartiles)" if several else "Ranking",
    )  # fmt: skip
    ax.grid(axis="x", lw=0.4, color="0.88")


def verdicts(found: Sequence[tuple[LearningCurve, Any]], most: int = 12) -> Any:
    """Measured curves with their [verdicts][regimes.classify.RegimeVerdict], a panel each.

    Args:
        found: curves and verdicts.
        most: curves to draw at most.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = list(found[:most])
    with matplotlib.rc_context(_LOOK):
        columns = min(len(shown), 3) or 1
        rows = -(-len(shown) // columns) or 1
        figure = Figure(figsize=(3.4 * columns, 2.9 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for ax, (curve, verdict) in zip(axes, shown, strict=False):
            error = None if curve.stderr is None else np.minimum(1.96 * curve.stderr, 0.95 * curve.loss)
            ax.errorbar(curve.at, curve.loss, yerr=error, fmt="o", color=STYLES[0][0], ms=4, mfc="white", lw=1)
            held = ", ".join(f"{name} = {curve.fixed[name]:g}" for name in ("n", "k") if name in curve.fixed)
            ax.set(xscale="log", yscale="log", xlabel=curve.along, ylabel="loss")
            exponent = verdict.exponent
            text = verdict.regime.value
            if text == "undecided" and verdict.possible:
                text += ": " + " or ".join(regime.value for regime in verdict.possible)
            if np.isfinite(exponent.value):
                text += f"\nexponent {exponent.value:.3f}{_width(exponent)}"
            lines = (textwrap.wrap(line, 44, break_on_hyphens=False) for line in text.split("\n"))
            wrapped = "\n".join(part for several in lines for part in several)
            name = curve.source[:30] if not held or held in curve.source else f"{curve.source[:30]}, {held}"
            ax.set_title(f"{name}\n{wrapped}", fontsize=8)
            _finish(ax, rows=0, crowded=100)
        for ax in axes[len(shown) :]:
            ax.set_axis_off()
    return figure


def _finish(ax: Any, rows: int, linear: bool = False, crowded: float = 1e4) -> None:
    """Ticks at 1, 2 and 5 or at powers of ten, light grid, and a legend of so many rows in head-room made for it.

    A vertical axis that is linear keeps its own ticks. A horizontal one has powers of ten only from `crowded` times its
    beginning on, a vertical one from 1e4 times.
    """
    from matplotlib.ticker import (
        FuncFormatter,
        LogFormatterSciNotation,
        LogLocator,
        MaxNLocator,
        NullFormatter,
        NullLocator,
    )

    ax.autoscale_view()
    low, high = ax.get_ylim()
    room = min(0.085 * rows, 0.6)  # share of the height
    above = room / (1 - room)
    ax.set_ylim(low, high + (high - low) * above if linear else high * (high / low) ** above)
    for axis in (ax.xaxis,) if linear else (ax.xaxis, ax.yaxis):
        first, last = axis.get_view_interval()
        many = (
            last > (crowded if axis is ax.xaxis else 1e4) * first
        )  # decades: ticks between powers of ten would crowd, and none would be drawn
        axis.set_major_locator(LogLocator(base=10, subs=(1,) if many else (1, 2, 5)))
        axis.set_minor_locator(LogLocator(base=10, subs="auto" if many else (3, 4, 6, 7, 8, 9)))
        if many and not np.any(axis.get_minorticklocs()):  # so many decades that not each has a label: a tick for each
            axis.set_minor_locator(LogLocator(base=10, subs=(1,), numticks=99))
        axis.set_major_formatter(LogFormatterSciNotation() if many else FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
        if np.sum((axis.get_majorticklocs() >= first) & (axis.get_majorticklocs() <= last)) < 2:  # less than an octave
            axis.set_major_locator(MaxNLocator(4))
            axis.set_minor_locator(NullLocator())
    ax.grid(which="major", lw=0.4, color="0.88")
    if rows:
        ax.legend(loc="upper right", frameon=False, handlelength=1.2, borderpad=0, labelspacing=0.35)


def _width(estimate: Estimate) -> str:
    half = (estimate.high - estimate.low) / 2
    return f" ± {half:.3f}" if half > 0 else ""


def _key() -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color="0.2", marker="o", mfc="white", ms=4, ls="", label="measured, 95 % interval of the mean"),
        Line2D([], [], color="0.2", lw=1.4, label="predicted from the spectrum, nothing fitted"),
    ]
