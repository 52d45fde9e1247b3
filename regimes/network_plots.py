"""Figures of the experiments on trained networks: one function per experiment, as in `plots`."""

from typing import Any

import numpy as np

from regimes.plots import _DASHES, _LOOK, STYLES, _finish


def network_variance(result: Any) -> Any:
    """Excess of the loss against width and samples, with lines of the expected slope through the points.

    Args:
        result: what [network_variance.run][regimes.network_variance.run] found.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {
        "Width: over the linearised network": lambda one: one.quantity == "the linearised network",
        "Width: over the mean of the ensemble": lambda one: one.quantity == "the mean of the ensemble",
        "Width: over the infinite network": lambda one: one.quantity == "the infinite network",
        "Samples: over the whole pool": lambda one: one.quantity == "the whole pool",
        "Samples: over the mean of the shards": lambda one: one.quantity == "the mean of the shards",
        "Width: losses that are not smooth": lambda one: "zero of the loss" in one.quantity,
    }
    cases = list(dict.fromkeys(one.case for one in result.checks))
    shown = {name: [one for one in result.checks if chosen(one)] for name, chosen in panels.items()}
    shown = {name: found for name, found in shown.items() if found}
    columns = min(len(shown), 3)
    rows = -(-len(shown) // columns)
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(3.6 * columns, 3.5 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        every = figure.subplots(rows, columns, squeeze=False).flat
        for ax in list(every)[len(shown) :]:
            ax.remove()
        for ax, (name, found) in zip(figure.axes, shown.items(), strict=True):
            for one in found:
                where = cases.index(one.case)
                colour, marker = STYLES[where % len(STYLES)]
                x = one.curve.at if one.abscissa is None else one.abscissa
                loss, error = one.curve.loss, one.curve.stderr
                good = loss > 0
                if not good.any():
                    continue
                below = np.minimum(1.96 * error, 0.95 * loss)
                power = f" |f − f∞|^{one.quantity.rpartition('^')[2]}" if "zero" in one.quantity else ""
                half = (one.exponent.high - one.exponent.low) / 2
                read = f"{one.exponent.value:.2f} ± {half:.2f}" if np.isfinite(half) else "undetermined"
                ax.errorbar(
                    x[good],
                    loss[good],
                    yerr=(below[good], 1.96 * error[good]),
                    fmt=marker,
                    color=colour,
                    mfc="white" if where < len(STYLES) else colour,
                    ms=4,
                    capsize=2,
                    lw=1,
                    label=f"{one.case}{power}{' (−)' if one.sign < 0 else ''}: {read}",
                )
                scale = np.exp(np.mean(np.log(loss[good] * x[good] ** one.expected)))
                ends = np.array([x[0], x[-1]])
                ax.plot(ends, scale * ends**-one.expected, color=colour, lw=1.1, ls=_DASHES[where % len(_DASHES)])
            ax.set(xscale="log", yscale="log", title=name, ylabel="excess of the test loss")
            ax.set_xlabel("width" if name.startswith("Width") else "1/(1/n − 1/N)" if "pool" in name else "samples n")
            _finish(ax, rows=len(found))
    return figure


def tangent_kernels(result: Any) -> Any:
    """Losses of trained networks with their predictions, and how the target lies in the kernel before and after.

    Args:
        result: what [tangent_kernels.run][regimes.tangent_kernels.run] found.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    names = list(dict.fromkeys(one.task for one in result.widths))
    looks = {"initial kernel": "-", "initial spectrum": ":", "final kernel": "--"}
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(7.4, 3.2 * len(names) + 0.4), layout="constrained")
        FigureCanvasAgg(figure)
        for (left, right), task in zip(figure.subplots(len(names), 2, squeeze=False), names, strict=True):
            found = [one for one in result.widths if one.task == task]
            for index, one in enumerate(found):
                colour, marker = STYLES[index % len(STYLES)]
                curve = one.measured
                left.errorbar(
                    curve.at,
                    curve.loss,
                    yerr=np.minimum(1.96 * curve.stderr, 0.95 * curve.loss),
                    fmt=marker,
                    color=colour,
                    mfc="white",
                    ms=4,
                    capsize=2,
                    lw=1,
                    label=f"width {one.width}: n^−{one.exponent.value:.2f}",
                )
                for prediction in one.predictions:
                    left.plot(curve.at, prediction.curve.loss, color=colour, lw=1.2, ls=looks[prediction.source])
                for kernel in one.kernels:
                    ranks = np.arange(1, len(kernel.cumulative) + 1)
                    after = kernel.when == "end"
                    label = f"width {one.width}" if after else None
                    style = "--" if after else "-"
                    right.plot(ranks, 1 - kernel.cumulative + 1e-9, color=colour, lw=1.2, ls=style, label=label)
                    every = np.unique(np.geomspace(1, len(ranks) * 0.8, 5).astype(int)) - 1
                    right.plot(ranks[every], 1 - kernel.cumulative[every], marker, color=colour, mfc="white", ms=4)
            left.set(xscale="log", yscale="log", title=task, xlabel="training samples n", ylabel="test loss")
            right.set(xscale="log", yscale="log", title=f"{task}: target in the kernel", xlabel="modes of the kernel")
            right.set_ylabel("share of the power beyond")
            last = 0.8 * len(found[0].kernels[0].cumulative)
            right.set_xlim(1, last)
            right.set_ylim(
                0.5 * min(1 - kernel.cumulative[int(last) - 1] for one in found for kernel in one.kernels), 1
            )
            _finish(left, rows=len(found))
            _finish(right, rows=len(found))
        handles = [Line2D([], [], color="0.2", marker="o", mfc="white", ms=4, ls="", label="trained networks")]
        handles += [
            Line2D([], [], color="0.2", lw=1.2, ls=style, label=f"predicted by the {name}")
            for name, style in looks.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def frozen_features(result: Any) -> Any:
    """The four regimes of frozen features, without ridge and with the tuned one; the resonance; the spectrum.

    Args:
        result: what [frozen_features.run][regimes.frozen_features.run] found.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    titles = {
        "resolution_n": ("Resolution-limited in n", "training samples n", "loss above that of all features"),
        "resolution_k": ("Resolution-limited in k", "projected features k", "loss above that of all features"),
        "variance_n": ("Variance-limited in n", "n − k", "excess over n = ∞"),
        "variance_k": ("Variance-limited in k", "k − n", "excess over k = ∞"),
    }
    ridges = list(dict.fromkeys(one.task for one in result.comparisons))
    looks = {name: (STYLES[index], _DASHES[index]) for index, name in enumerate(reversed(ridges))}
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(10.2, 6.6), layout="constrained")
        FigureCanvasAgg(figure)
        every = figure.subplots(2, 3)
        panels = dict(zip(titles, (every[0, 0], every[0, 1], every[1, 0], every[1, 1]), strict=True))
        for one in result.comparisons:
            ax, ((colour, marker), dashes) = panels[one.regime], looks[one.task]
            held = one.measured.fixed["k" if one.measured.along == "n" else "n"]
            x = one.measured.at - (held if one.abscissa == "|n-k|" else 0)
            title, xlabel, ylabel = titles[one.regime]
            title += f", {'k' if one.measured.along == 'n' else 'n'} = {held:g}" if one.abscissa == "|n-k|" else ""
            seen, said = one.measured_exponent, one.predicted_exponent
            label = f"{one.task}: {said.value:.2f}, measured {seen.value:.2f} ± {(seen.high - seen.low) / 2:.2f}"
            good = one.measured.loss > 0
            error = np.minimum(1.96 * one.measured.stderr, 0.95 * np.abs(one.measured.loss))[good]
            style = {"fmt": marker, "color": colour, "ms": 4, "mfc": "white", "capsize": 2, "lw": 1}
            ax.errorbar(x[good], one.measured.loss[good], yerr=error, label=label, **style)
            ax.plot(x, one.predicted.loss, ls=dashes, color=colour, lw=1.4, zorder=1.5)
            ax.set(xscale="log", yscale="log", title=title, xlabel=xlabel, ylabel=ylabel)
        ax = every[0, 2]
        for each in result.resonance:
            (colour, marker), dashes = looks[each.ridge]
            along_n = each.measured.along == "n"
            held = each.measured.fixed["k" if along_n else "n"]
            x = each.measured.at / held
            other = f"along {each.measured.along}, {'k' if along_n else 'n'} = {held:g}"
            word = "low ridge" if each.ridge == ridges[0] else each.ridge
            style = {"fmt": marker, "color": colour, "ms": 4, "capsize": 2, "lw": 1}
            style |= {"mfc": "white" if along_n else colour}
            ax.errorbar(x, each.measured.loss, yerr=1.96 * each.measured.stderr, label=f"{word}, {other}", **style)
            ax.plot(x, each.predicted.loss, ls=dashes, color=colour, lw=1.4, zorder=1.5)
        ax.set(xscale="log", yscale="log", title="Resonance at n = k", xlabel="n/k, or k/n", ylabel="test loss")
        ax.axvline(1, color="0.6", lw=0.8, ls=":", zorder=0)
        for panel in (*panels.values(), ax):
            _finish(panel, rows=4 if panel is ax else 2)
        _levels(every[1, 2], result)
        figure.suptitle(
            f"{result.data}: {result.columns} frozen features, lines predicted from their spectrum, "
            f"median error {result.error:.1%} with the tuned ridge",
            fontsize=10,
        )
    return figure


def _levels(ax: Any, result: Any) -> None:
    """Eigenvalues of the population by rank, and the power of the target that lies beyond."""
    spectrum = result.spectrum
    last = max(int(min(spectrum.modes, spectrum.resolved)), 2)
    ranks = np.unique(np.round(np.geomspace(1, last, 60)))
    place = np.minimum(np.searchsorted(np.cumsum(spectrum.multiplicity), ranks - 0.5), len(spectrum.eigenvalues) - 1)
    beyond = spectrum.power.sum() - np.cumsum(spectrum.power)[place]
    shown = beyond > 1e-4 * spectrum.total_power
    ax.plot(ranks, spectrum.eigenvalues[place], "-", color=STYLES[0][0], lw=1.4, label="eigenvalue i")
    ax.plot(ranks[shown], beyond[shown], "--", color=STYLES[1][0], lw=1.4, label="learnable power beyond i")
    ax.axhline(max(spectrum.tail_power, 1e-12), color="0.4", lw=0.8, ls=":", label="noise: never explained")
    ax.set(xscale="log", yscale="log", title="Spectrum of the frozen features", xlabel="rank i")
    _finish(ax, rows=3)


def task_changes(result: Any) -> Any:
    """Losses of the changed tasks for kernel and networks, a panel for each kind of change, and their exponents.

    Args:
        result: what [task_changes.run][regimes.task_changes.run] found.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(row.change.kind for row in result.rows[1:]))
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(2.9 * max(len(kinds), 1), 6.6), layout="constrained")
        FigureCanvasAgg(figure)
        every = figure.subplots(2, max(len(kinds), 1), squeeze=False)
        for column, kind in enumerate(kinds):
            rows = [result.rows[0], *(row for row in result.rows if row.change.kind == kind)]
            for ax, who in zip(every[:, column], ("kernel", "network"), strict=True):
                for row, (colour, marker), dashes in zip(rows, STYLES, _DASHES, strict=False):
                    curve, exponent = getattr(row, f"{who}_curve"), getattr(row, who)
                    half = (exponent.high - exponent.low) / 2
                    label = f"{row.change}: {exponent.value:.2f} ± {half:.2f}"
                    error = np.minimum(1.96 * curve.stderr, 0.95 * curve.loss)
                    style = {"fmt": marker, "color": colour, "ms": 4, "mfc": "white", "capsize": 2, "lw": 1}
                    ax.errorbar(curve.at, curve.loss, yerr=error, label=label, **style)
                    if who == "kernel":
                        ax.plot(curve.at, row.predicted_curve.loss, ls=dashes, color=colour, lw=1.4, zorder=1.5)
                    else:
                        fit = np.polyfit(np.log(curve.at), np.log(curve.loss), 1)
                        ax.plot(curve.at, np.exp(np.polyval(fit, np.log(curve.at))), ls=dashes, color=colour, lw=1)
                name = "kernel regression" if who == "kernel" else "networks"
                ax.set(xscale="log", yscale="log", title=f"{kind}: {name}", xlabel="training samples n")
                ax.set(ylabel="loss on clean labels" if column == 0 else "")
                _finish(ax, rows=len(rows))
        figure.suptitle(
            f"{result.data}: what a change of the task does to the exponent "
            "(lines: kernel predicted from the spectrum; networks fitted)",
            fontsize=10,
        )
    return figure


def teacher_student(result: Any) -> Any:
    """Losses of students in n and in parameters with the kernel's predicted lines, and 4/alpha against d.

    Args:
        result: what [teacher_student.run][regimes.teacher_student.run] found.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(10.4, 3.7), layout="constrained")
        FigureCanvasAgg(figure)
        left, middle, right = figure.subplots(1, 3)
        for ax, axis in ((left, "n"), (middle, "k")):
            for index, one in enumerate(result.dimensions):
                colour, marker = STYLES[index % len(STYLES)]
                curve, predicted = getattr(one, f"network_{axis}"), getattr(one, f"predicted_{axis}")
                error = np.minimum(1.96 * curve.stderr, 0.95 * curve.loss)
                look: Any = {"fmt": marker, "color": colour, "mfc": "white", "ms": 4, "capsize": 2, "lw": 1}
                ax.errorbar(curve.at, curve.loss, yerr=error, label=f"d = {one.dim}", **look)
                ax.plot(predicted.at, predicted.loss, color=colour, ls=_DASHES[index % len(_DASHES)], lw=1.3)
            ax.set(xscale="log", yscale="log", ylabel="test loss")
            _finish(ax, rows=1)
            places: Any = {"loc": "upper center", "columnspacing": 0.5, "handlelength": 0.8, "handletextpad": 0.3}
            ax.legend(ncols=len(result.dimensions), frameon=False, borderaxespad=0, **places)
        left.set(title="Students in n", xlabel="training samples n")
        middle.set(title="Students in k", xlabel="parameters; random features of the NTK")
        d = np.array([one.dim for one in result.dimensions], dtype=np.float64)
        shown = (
            ("network_n", "students, n", STYLES[0], "white", -0.09),
            ("network_k", "students, k", STYLES[1], "white", -0.03),
            ("kernel_n", "NTK, n", STYLES[0], STYLES[0][0], 0.03),
            ("kernel_k", "NTK, k", STYLES[1], STYLES[1][0], 0.09),
        )
        top = 0.0
        for name, label, (colour, marker), face, shift in shown:
            alpha = [one.exponents()[name] for one in result.dimensions]
            value = np.array([4 / one.value for one in alpha])
            top = max(top, float(np.nanmax(value)))
            low, high = (np.array([4 / end if end > 0 else np.inf for end in ends]) for ends in _ends(alpha))
            error = np.array([value - low, np.minimum(high, 1e3) - value])
            slope = f"{label}: slope {result.slopes[name].value:.2f}"
            right.errorbar(d + shift, value, error, fmt=marker, color=colour, mfc=face, ms=4.5, lw=1, label=slope)
        for name, ls in (("spectrum_n", "-"), ("spectrum_k", "--")):
            value = np.array([4 / one.exponents()[name].value for one in result.dimensions])
            right.plot(d, value, color="0.55", ls=ls, lw=1.3, label=f"predicted, {name[-1]}", zorder=1)
        ends = np.array([0.9 * d[0], 1.05 * d[-1]])
        right.plot(ends, ends, color="black", ls=":", lw=1.1, label="4/α = d")
        right.set(title="Exponents against dimension", xlabel="dimension d of the inputs", ylabel="4/α")
        right.set_ylim(0, 1.75 * max(top, d[-1]))
        right.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.grid(lw=0.4, color="0.88")
        right.legend(loc="upper left", frameon=False, ncols=2, columnspacing=0.8, handlelength=1.6)
        keys = [
            Line2D([], [], color="0.3", marker="o", mfc="white", ls="", ms=4, label="students"),
            Line2D([], [], color="0.3", lw=1.3, label="predicted from the spectrum of the NTK"),
        ]
        figure.legend(handles=keys, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _ends(estimates: Any) -> tuple[list[float], list[float]]:
    """Upper and lower ends of the intervals of exponents: lower and upper ones of 4/alpha."""
    return [one.high for one in estimates], [one.low for one in estimates]


def aspect_ratio(result: Any) -> Any:
    """Exponent in n against width for each depth, with that of the NTK, and the loss against parameters.

    Args:
        result: what [aspect_ratio.run][regimes.aspect_ratio.run] found.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    widths = np.array(result.sizes.widths, dtype=np.float64)
    count = len(result.sizes.depths)
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(7.6, 3.5), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        for row, one in enumerate(result.kernels):
            colour, marker = STYLES[row % len(STYLES)]
            read = [result.in_n(one.depth, width) for width in result.sizes.widths]
            value = np.array([each.value for each in read])
            error = np.array([each.high - each.value for each in read])
            shift = 1.03 ** (row - (count - 1) / 2)
            look: Any = {"fmt": marker, "color": colour, "mfc": "white", "ms": 4.5, "capsize": 2, "lw": 1}
            left.errorbar(widths * shift, value, np.where(np.isfinite(error), error, 0), **look)
            dash = _DASHES[row % len(_DASHES)]
            left.plot(
                widths[[0, -1]],
                [one.measured_exponent.value] * 2,
                color=colour,
                ls=dash,
                lw=1.2,
                label=f"NTK of depth {one.depth}",
            )
            logs = np.log(result.loss_many[:, row])
            loss = np.exp(np.nanmean(logs, axis=0))
            spread = 1.96 * np.nanstd(logs, axis=0, ddof=1) / np.sqrt(len(logs))
            below, above = loss * (1 - np.exp(-spread)), loss * (np.exp(spread) - 1)
            exponent = result.in_width(one.depth, parameters=True)
            right.errorbar(
                result.parameters[row],
                loss,
                (below, above),
                **look,
                label=f"depth {one.depth}: exponent {exponent.value:.2f}",
            )
            assert exponent.window is not None
            at, inside = np.array(exponent.window), result.parameters[row] <= exponent.window[1]
            scale = np.exp(np.mean(np.log(loss * result.parameters[row] ** exponent.value)[inside]))
            right.plot(at, scale * at**-exponent.value, color=colour, ls=dash, lw=1)
        low, high = left.get_ylim()
        left.set(xscale="log", title="Exponent in n", xlabel="width of the students", ylabel="exponent")
        left.set_ylim(min(0.0, low), high * (1 + 0.08 * count))
        left.set_xticks(widths, [f"{width:g}" for width in widths])
        left.minorticks_off()
        left.grid(lw=0.4, color="0.88")
        left.legend(loc="upper left", frameon=False)
        right.set(xscale="log", yscale="log", title="Many samples", xlabel="parameters", ylabel="test loss")
        _finish(right, rows=count, crowded=100)
    return figure
