"""Figures: one function per type of result, on the caller's axes or new ones, without global state."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from regimes.results import Comparison, Estimate

# Okabe and Ito's colours, distinguishable with any colour vision, each with a marker of its own for print in grey.
STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"))

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


def four_regimes(comparisons: Sequence[Comparison]) -> Any:
    """Four log-log panels: measured points with error bars, predicted curves, both exponents in the legend.

    Args:
        comparisons: of one task or of several; each regime gets its panel, each task its colour and marker.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

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


def _finish(ax: Any, rows: int) -> None:
    """Ticks at 1, 2 and 5, light grid, and a legend of so many rows in head-room made for it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
        axis.set_minor_locator(LogLocator(base=10, subs=(3, 4, 6, 7, 8, 9)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    ax.grid(which="major", lw=0.4, color="0.88")
    ax.autoscale_view()
    low, high = ax.get_ylim()
    room = min(0.085 * rows, 0.6)  # share of the height
    ax.set_ylim(low, high * (high / low) ** (room / (1 - room)))
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
