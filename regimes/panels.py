"""Figures of one panel, for the results that have no larger figure: each on the caller's axes or on new ones.

What is predicted is a line and what is measured are points, so that they differ in grey as well. Nothing global is set.
"""

from typing import Any

import numpy as np

from regimes import _checks
from regimes.plots import STYLES, _finish, _width
from regimes.results import LearningCurve, LossSurface
from regimes.spectrum import Spectrum

_AXES = {"n": "training samples n", "k": "random features k", "ridge": "ridge δ", "time": "training time t"}
_REGIMES = {
    "resolution_n": "resolution\nin n",
    "resolution_k": "resolution\nin k",
    "variance_n": "variance\nin n",
    "variance_k": "variance\nin k",
}
_SOURCES = tuple((STYLES[place][0], hatch) for place, hatch in ((3, "...."), (2, "////"), (4, ""), (1, "xxxx")))
"""Colour and hatch of each source of error, as in `work_plots`."""


def spectrum(found: Spectrum, ax: Any = None) -> Any:
    """Eigenvalues and target power of each mode by rank, and how far they are resolved.

    Args:
        found: what to draw; the modes of a level share its power.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = _axes(ax)
    there = found.multiplicity > 0
    last = np.cumsum(found.multiplicity[there])
    ranks = np.maximum(last - (found.multiplicity[there] - 1) / 2, 0.5)  # the middle of each level
    few = len(ranks) <= 60
    for values, name, (colour, marker), dash in (
        (found.eigenvalues[there], "eigenvalue", STYLES[0], "-"),
        (found.power[there] / found.multiplicity[there], "target power", STYLES[1], "--"),
    ):
        seen = values > 0
        if seen.any():
            ax.plot(
                ranks[seen], values[seen], dash, marker=marker if few else None, color=colour, ms=4, mfc="white",
                lw=1.4, label=f"{name} of a mode",
            )  # fmt: skip
    if np.isfinite(found.resolved):
        ax.axvline(found.resolved, color="0.4", lw=0.8, ls=":", label="resolved up to here")
    ax.set(xscale="log", yscale="log", xlabel="rank of the mode", ylabel="eigenvalue, power")
    _finish(ax, rows=3, crowded=300)
    return ax


def exponents(found: Any, ax: Any = None, measured: Any = None) -> Any:
    """The exponents of the four regimes with their intervals, each number written beside its point.

    Args:
        found: predicted, [Exponents][regimes.theory.Exponents].
        ax: axes to draw on; new ones by default.
        measured: Comparisons, whose measured exponents are drawn beside them.

    Returns:
        The axes.
    """
    ax = _axes(ax)
    _errors(ax, range(4), [getattr(found, name) for name in _REGIMES], STYLES[0], "predicted", face=STYLES[0][0])
    beside = {one.regime: one.measured_exponent for one in measured or ()}
    if beside:
        places = [place + 0.25 for place, name in enumerate(_REGIMES) if name in beside]
        _errors(ax, places, [beside[name] for name in _REGIMES if name in beside], STYLES[1], "measured", face="white")
    ax.set_xticks(range(4), list(_REGIMES.values()), fontsize=8)
    ax.set(xlim=(-0.5, 3.9), ylabel="exponent")
    ax.grid(axis="y", lw=0.4, color="0.88")
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, 0.0), high + 0.25 * (high - min(low, 0.0)))
    ax.legend(loc="upper left", frameon=False, ncols=2)
    return ax


def surface(found: LossSurface, ax: Any = None) -> Any:
    """Contours of the loss over (n, k), the values written on them; shades that fall monotonically, also in grey.

    Args:
        found: at least two by two places; where the loss is infinite or not positive, nothing is drawn.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.

    Raises:
        ValueError: a single row or column, which is a curve, or no finite loss.
    """
    if min(found.loss.shape) < 2:
        raise ValueError(f"`found` must have two n and two k at least, got {' by '.join(map(str, found.loss.shape))}.")
    good = np.isfinite(found.loss) & (found.loss > 0)
    if not good.any():
        raise ValueError("`found` has no loss that is positive and finite: there is nothing to draw.")
    ax = _axes(ax, (4.6, 3.6))
    ax.set(xscale="log", yscale="log", xlabel=_AXES["n"], ylabel=_AXES["k"])
    shown = np.ma.masked_invalid(np.log10(np.where(good, found.loss, np.nan)).T)
    low, high = float(shown.min()), float(np.quantile(shown.compressed(), 0.98))  # the peak would take all shades
    levels = np.linspace(low, high if high > low else low + 1e-3, 10)
    ax.contourf(found.n, found.k, shown, levels=levels, cmap="cividis_r", extend="max", alpha=0.8)
    lines = ax.contour(found.n, found.k, shown, levels=levels[1:-1], colors="0.2", linewidths=0.6, linestyles="-")
    ax.clabel(lines, fmt=lambda level: f"{10**level:.2g}", fontsize=6.5)
    _finish(ax, rows=0, crowded=300)
    ax.set(xlim=(found.n[0], found.n[-1]), ylim=(found.k[0], found.k[-1]))
    return ax


def verdict(curve: LearningCurve, found: Any, ax: Any = None) -> Any:
    """A measured curve with its [verdict][regimes.classify.RegimeVerdict]: the regime and the exponent above it.

    Args:
        curve: what was judged.
        found: the verdict.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = _axes(ax)
    colour, marker = STYLES[0]
    error = None if curve.stderr is None else np.minimum(1.96 * curve.stderr, 0.95 * curve.loss)
    seen = np.isfinite(curve.loss) & (curve.loss > 0)
    error = None if error is None else error[seen]
    ax.errorbar(curve.at[seen], curve.loss[seen], yerr=error, fmt=marker, color=colour, ms=4, mfc="white", lw=1)
    ax.axvspan(*found.window, color="0.94", lw=0, zorder=0)
    title = found.regime.value
    if np.isfinite(found.exponent.value):
        title += f"\nexponent {found.exponent.value:.3f}{_width(found.exponent)}"
    ax.set(xscale="log", yscale="log", xlabel=_AXES[curve.along], ylabel="test loss", title=title)
    _finish(ax, rows=0, crowded=100)
    return ax


def ranking(found: Any, ax: Any = None) -> Any:
    """Held-out errors of laws with their intervals, the best on top: a [Ranking][regimes.ranking.Ranking].

    Args:
        found: what to draw; laws that could not be fitted are left out.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = _axes(ax)
    scores = [score for score in found.scores if np.isfinite(score.error.value)][::-1]
    for row, score in enumerate(scores):
        ends = [end if np.isfinite(end) else score.error.value for end in (score.error.low, score.error.high)]
        ax.plot(ends, [row, row], "-", color="0.5", lw=2.5, solid_capstyle="butt")
        ax.plot(score.error.value, row, "o", color=STYLES[0][0], ms=5)
    ax.set_yticks(range(len(scores)), [score.law for score in scores])
    ax.set(
        ylim=(-0.6, len(scores) - 0.4),
        xlabel=f"held-out error of the log loss\nbeyond {found.along} = {found.split:.4g}",
    )
    ax.set_xlim(left=0)
    ax.grid(axis="x", lw=0.4, color="0.88")
    return ax


def profile(found: Any, ax: Any = None) -> Any:
    """Profile of one parameter of a fit, with its estimate and interval: a [Profile][regimes.fits.Profile].

    Args:
        found: what to draw.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = _axes(ax)
    colour, marker = STYLES[0]
    order = np.argsort(found.values)
    ax.plot(found.values[order], found.rise[order], "-", marker=marker, color=colour, ms=3.5, mfc="white", lw=1.2)
    estimate = found.estimate
    label = f"{found.parameter} = {estimate.value:.4g}{_width(estimate)}"
    ax.axvline(estimate.value, color="0.2", lw=1, ls="--", label=label)
    if np.isfinite([estimate.low, estimate.high]).all():
        ax.axvspan(estimate.low, estimate.high, color="0.92", lw=0, zorder=0, label=f"{estimate.level:.0%} interval")
    ax.axhline(0, color="0.5", lw=0.8)
    ax.set(xlabel=found.parameter, ylabel="signed root of the rise")
    ax.grid(lw=0.4, color="0.88")
    ax.legend(loc="upper left", frameon=False)
    return ax


def dimension(found: Any, ax: Any = None) -> Any:
    """Intrinsic dimension against the scale at which it is read: a [Dimension][regimes.dimension.Dimension].

    Args:
        found: what to draw; the line is the quoted estimate, the band its interval.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = _axes(ax)
    colour, marker = STYLES[0]
    seen = np.isfinite(found.values) & (found.distances > 0)
    error = 1.96 * found.stderr[seen]
    ax.errorbar(
        found.distances[seen], found.values[seen], yerr=error, fmt=marker, color=colour, ms=4, mfc="white",
        capsize=2, lw=1, label="at this scale, 95 %",
    )  # fmt: skip
    estimate = found.estimate
    ax.axhline(estimate.value, color=STYLES[1][0], lw=1.4, ls="--", label=f"{estimate.value:.2f}{_width(estimate)}")
    ax.axhspan(estimate.low, estimate.high, color=STYLES[1][0], alpha=0.15, lw=0, zorder=0)
    ax.set(xscale="log", xlabel="distance to the neighbours", ylabel="intrinsic dimension")
    _finish(ax, rows=2, linear=True)
    return ax


def envelope(found: Any, ax: Any = None) -> Any:
    """The smallest loss for each size of the training set: an [Envelope][regimes.envelopes.Envelope].

    Args:
        found: what to draw; open points are sizes where the best model was the smallest or the largest of those tried.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = _axes(ax)
    edge = found.at_edge > 0
    for chosen, face, label in ((~edge, STYLES[0][0], "best model"), (edge, "white", "best at the edge of the grid")):
        if chosen.any():
            ax.plot(found.n[chosen], found.loss[chosen], "o", color=STYLES[0][0], ms=4, mfc=face, label=label)
    ax.set(xscale="log", yscale="log", xlabel=_AXES["n"], ylabel="smallest loss")
    _finish(ax, rows=2, crowded=300)
    return ax


def frontier(found: Any, ax: Any = None) -> Any:
    """The reducible loss at the best width for each budget, and its exponent: a ComputeFrontier.

    Args:
        found: a [ComputeFrontier][regimes.optima.ComputeFrontier], which is a prediction.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = _axes(ax)
    label = f"predicted, C^{-found.exponent:.3f};\nbest k ~ C^{found.width_exponent:.3f}"
    ax.plot(found.compute, found.loss - found.noise, "-", color=STYLES[0][0], lw=1.4, label=label)
    ax.set(xscale="log", yscale="log", xlabel="compute C", ylabel="loss − noise")
    _finish(ax, rows=2, crowded=300)
    return ax


def training(found: Any, ax: Any = None) -> Any:
    """Losses of each seed along the steps, on training and test samples: a [Training][regimes.runs.Training].

    Args:
        found: what to draw; step 0, which a logarithmic axis has no place for, is left out.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes.
    """
    ax = _axes(ax)
    seen = found.steps > 0
    sets = (("training loss", found.train_loss, STYLES[0], "--"), ("test loss", found.test_loss, STYLES[1], "-"))
    for name, losses, (colour, _), dash in sets:
        for row, values in enumerate(np.asarray(losses, dtype=np.float64)):
            shown = np.where(np.isfinite(values) & (values > 0), values, np.nan)[seen]
            ax.plot(found.steps[seen], shown, dash, color=colour, lw=1.1, label=None if row else name)
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel="loss")
    _finish(ax, rows=2, crowded=300)
    return ax


def budget(found: Any, at: Any = None, along: str = "n", ax: Any = None) -> Any:
    """Sources of error as shares of the loss, stacked along an axis, or bars for a single point.

    Args:
        found: a [Budget][regimes.sources.Budget], of one point or of a row of them.
        at: where its points lie; none for a single one.
        along: the axis that they lie on: n, k, ridge or time.
        ax: axes to draw on; new ones by default.

    Returns:
        The axes. A negative deficiency lies below zero, and the others exceed 1 by as much. Where a part is infinite
        it is the whole loss.

    Raises:
        ValueError: not one place for each point, points in more than one direction, an unknown axis.
    """
    along = _checks.choice("along", along, tuple(_AXES))
    shape = np.shape(found.loss)
    if shape != np.shape(at if at is not None else 0.0) or len(shape) > 1:
        raise ValueError(f"`at` must hold the place of each point of a row; got shape {np.shape(at)} for {shape}.")
    ax = _axes(ax)
    with np.errstate(invalid="ignore"):
        shares = [np.where(np.isinf(found.loss), np.isinf(part), np.divide(part, found.loss)) for part in found]
    if not shape:
        for row, (name, share, (colour, hatch)) in enumerate(zip(found._fields, shares, _SOURCES, strict=True)):
            ax.bar(row, share, color=colour, hatch=hatch, edgecolor="0.3", lw=0.5, alpha=0.8)
            ax.annotate(
                f"{getattr(found, name):.3g}", (row, max(float(share), 0.0)), xytext=(0, 2),
                textcoords="offset points", fontsize=7, ha="center",
            )  # fmt: skip
        ax.set_xticks(range(len(shares)), found._fields, fontsize=8)
        ax.set(ylabel=f"share of the loss, {found.loss:.3g}")
        ax.axhline(0, color="0.3", lw=0.8)
        return ax
    at, base = np.asarray(at, dtype=np.float64), np.zeros(shape)
    for name, share, (colour, hatch) in zip(found._fields, shares, _SOURCES, strict=True):
        look: Any = {"color": colour, "hatch": hatch, "edgecolor": "0.3", "lw": 0.5, "alpha": 0.8}
        ax.fill_between(at, base, base + np.maximum(share, 0.0), label=name, **look)
        if (share < 0).any():
            ax.fill_between(at, np.minimum(share, 0.0), 0.0, **look)
        base = base + np.maximum(share, 0.0)
    ax.set(xscale="log", xlabel=_AXES[along], ylabel="share of the loss", xlim=(at[0], at[-1]))
    _finish(ax, rows=2, linear=True, crowded=300)
    ax.legend(loc="upper left", frameon=False, ncols=2, handlelength=1.2, borderpad=0)
    return ax


def _axes(ax: Any, size: tuple[float, float] = (4.2, 3.2)) -> Any:
    """The caller's axes, or those of a new figure that no window has."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained").subplots()


def _errors(ax: Any, places: Any, estimates: Any, style: tuple[str, str], label: str, face: str) -> None:
    """Points with intervals, the number beside each."""
    colour, marker = style
    values = np.array([one.value for one in estimates])
    ends = np.array([[one.value - one.low, one.high - one.value] for one in estimates]).T
    ends = np.where(np.isfinite(ends), ends, 0.0)
    ax.errorbar(
        list(places), values, yerr=np.maximum(ends, 0.0), fmt=marker, color=colour, ms=5, mfc=face, capsize=3, lw=1,
        label=label,
    )  # fmt: skip
    for place, one in zip(places, estimates, strict=True):
        if np.isfinite(one.value):
            ax.annotate(
                f"{one.value:.3f}{_width(one)}", (place, one.high if np.isfinite(one.high) else one.value),
                xytext=(0, 4), textcoords="offset points", fontsize=6.5, ha="center",
            )  # fmt: skip
