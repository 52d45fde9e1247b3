"""Figures of the experiments of Rosenfeld, Hestness, Boopathy and Fiete."""

from typing import Any

import numpy as np

from regimes.plots import _DASHES, _LOOK, STYLES, _finish


def error_sources(result: Any) -> Any:
    """Which source is largest over (n, k) in theory; measured against predicted parts; the parts of networks' losses.

    Args:
        result: what [error_sources.run][regimes.error_sources.run] found.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    names = ("noise", "realizability", "uncertainty", "deficiency")
    hatches = ("....", "////", "", "xxxx")
    colours = [STYLES[index][0] for index in (3, 2, 4, 1)]
    with matplotlib.rc_context({**_LOOK, "hatch.linewidth": 0.4}):
        figure = Figure(figsize=(7.4, 6.6), layout="constrained")
        FigureCanvasAgg(figure)
        (one, two), (three, four) = figure.subplots(2, 2)
        for ax, surface in zip((one, two), result.surfaces, strict=True):
            largest = np.argmax(np.stack([getattr(surface.budget, name) for name in names]), axis=0)
            ax.pcolormesh(surface.n, surface.k, largest.T, cmap=ListedColormap(colours), vmin=-0.5, vmax=3.5, alpha=0.8)
            for index, hatch in enumerate(hatches):
                if hatch and (largest == index).any():
                    cells = np.ma.masked_not_equal(largest.T, index)
                    ax.pcolor(surface.n, surface.k, cells, hatch=hatch, facecolors="none", edgecolors="0.2", lw=0)
            ax.set(xscale="log", yscale="log", xlabel="training samples n", ylabel="random features k")
            ax.set_title(f"Largest in theory: {surface.title}", fontsize=9)
        every = [value for point in result.points for name in names for value in (getattr(point.predicted, name),)]
        least = 3e-4
        for index, name in enumerate(names):
            for task, filled in (("gaussian", False), ("digits", True)):
                chosen = [point for point in result.points if point.task == task]
                at = np.array([float(getattr(point.predicted, name)) for point in chosen])
                found = [point.measured.parts[name] for point in chosen]
                value = np.array([each.value for each in found])
                below = np.array([each.value - each.low for each in found])
                above = np.array([each.high - each.value for each in found])
                seen = (at > least) & (value > least)
                if not seen.any():
                    continue
                three.errorbar(
                    at[seen],
                    value[seen],
                    yerr=(np.minimum(below, 0.95 * value)[seen], above[seen]),
                    fmt=STYLES[index][1],
                    color=colours[index],
                    mfc=colours[index] if filled else "white",
                    ms=4,
                    capsize=1.5,
                    lw=0.8,
                    label=f"{name}, {task}",
                )
        ends = np.array([least, 1.3 * max(every)])
        three.plot(ends, ends, color="0.4", lw=0.8, zorder=1)
        three.set(xscale="log", yscale="log", xlabel="predicted part", ylabel="measured part")
        three.set_title("Random features", fontsize=9)
        _finish(three, rows=4, crowded=1e2)
        three.legend(ncols=2, fontsize=6.5, frameon=False, loc="upper left")
        wide = [student for student in result.students if student.parts]
        sizes = sorted({student.n for student in wide})
        widths = sorted({student.width for student in wide})
        for student in wide:
            where = sizes.index(student.n) + 0.27 * (widths.index(student.width) - (len(widths) - 1) / 2)
            whole, bottom = student.loss.value, 0.0
            for name, colour, hatch in list(zip(names, colours, hatches, strict=True))[2:]:
                share = student.parts[name].value / whole
                four.bar(where, share, 0.25, bottom=bottom, color=colour, alpha=0.8, hatch=hatch, ec="0.25", lw=0.5)
                bottom += share
            four.text(where, 1.02, f"{student.width}: {whole:.1g}", ha="center", va="bottom", rotation=90, fontsize=6.5)
        four.set_xticks(range(len(sizes)), [str(n) for n in sizes])
        four.set(xlabel="training samples n", ylabel="share of the loss", ylim=(0, 1.35))
        four.set_title(f"Networks, teacher of width {result.teacher_width}; above: width, loss", fontsize=9)
        handles = [
            Patch(fc=colour, hatch=hatch, ec="0.25", alpha=0.8, label=name)
            for name, colour, hatch in zip(names, colours, hatches, strict=True)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def nyquist_learners(result: Any) -> Any:
    """Loss against n over the modes of the target: a panel for each domain, one for noise; points and predictions.

    Args:
        result: what [nyquist_learners.run][regimes.nyquist_learners.run] found.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    quiet = [one for one in result.cases if not one.noise]
    names = [f"{one.domain}, {one.design} points" if one.domain == "circle" else one.domain for one in quiet]
    panels = {name: [one for one, own in zip(quiet, names, strict=True) if own == name] for name in names}
    noisy = [one for one in result.cases if one.noise]
    panels |= {"label noise": noisy} if noisy else {}
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(3.7 * columns, 3.9 * rows), layout="constrained")
        FigureCanvasAgg(figure)
        every = list(figure.subplots(rows, columns, squeeze=False).flat)
        for ax in every[len(panels) :]:
            ax.remove()
        for ax, (name, cases) in zip(every, panels.items(), strict=False):
            silent = name != "label noise"
            floor, top = (1e-16, 1e3) if silent else (min(one.noise for one in cases), 50)
            for index, one in enumerate(cases):
                colour, marker = STYLES[index % len(STYLES)]
                filled = index >= len(STYLES)
                label = one.learner if silent else f"{one.domain}, {one.learner}, {one.design}"
                x, y = one.measured.at / one.band, np.clip(one.typical, floor, top)
                ax.plot(x, y, marker, color=colour, mfc=colour if filled else "white", ms=4, label=label)
                line = np.clip(one.predicted.loss, floor, top)
                ax.plot(x, line, color=colour, lw=1, ls=_DASHES[index % len(_DASHES)], zorder=1)
            ax.axvline(1, color="0.6", lw=0.8, ls=":", zorder=0)
            ax.set(xscale="log", yscale="log", title=name, xlabel="samples / modes of the target")
            ax.set_ylabel("loss / power" if silent else f"loss at power 1, cut at {top}")
            _finish(ax, rows=0)
            ax.set_ylim(floor / 3 if silent else 0.8 * floor, (2 if silent else 20) * top)  # room for the legend
            where = "lower left" if silent else "upper right"
            ax.legend(fontsize=6, frameon=False, loc=where, handlelength=0.8, handletextpad=0.4, borderaxespad=0.2)
        figure.suptitle("Points: measured, geometric mean; lines: predicted", fontsize=9)
    return figure


def joint_law(result: Any) -> Any:
    """Losses along n with two of the laws fitted to the corner, and the divergence of every law: a row per surface.

    Args:
        result: what [joint_law.run][regimes.joint_law.run] found.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    looks = {"rosenfeld": "-", "tuned-theory": "--"}
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(7.4, 2.7 * len(result.surfaces) + 0.4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(result.surfaces), 2, squeeze=False)
        for (left, right), one in zip(axes, result.surfaces, strict=True):
            at, k = one.measured.n, one.measured.k
            chosen = np.unique(np.linspace(0, len(k) - 1, 4).round().astype(int))
            letter = "parameters" if one.name == "networks" else "k"
            for index, column in enumerate(chosen):
                colour, marker = STYLES[index]
                loss, inside = one.measured.loss[:, column], one.corner[:, column]
                left.plot(at, loss, marker, color=colour, mfc="white", ms=4, label=f"{letter} = {k[column]:g}")
                left.plot(at[inside], loss[inside], marker, color=colour, ms=4)
                for law, style in looks.items():
                    left.plot(at, one.of(law).predicted[:, column], color=colour, ls=style, lw=1, zorder=1)
            left.set(xscale="log", yscale="log", title=one.name, xlabel="training samples n", ylabel="test loss")
            _finish(left, rows=0, crowded=100)
            left.legend(loc="lower left", frameon=False, fontsize=6.5)
            names = [each.law for each in one.extrapolations]
            for shift, (colour, marker), part in ((-0.15, STYLES[0], "inside"), (0.15, STYLES[1], "outside")):
                found = [getattr(each, part) for each in one.extrapolations]
                mean, spread = ([100 * getattr(each, what).value for each in found] for what in ("mean", "spread"))
                label = "corner, fitted" if part == "inside" else "held out"
                y = np.arange(len(names)) + shift
                right.errorbar(mean, y, xerr=spread, fmt=marker, color=colour, ms=4, capsize=2, lw=1, label=label)
            right.axvline(0, color="0.6", lw=0.8, zorder=0)
            right.set_yticks(np.arange(len(names)), names)
            right.set_ylim(len(names) - 0.5, -0.5)
            right.set(title="divergence: mean and spread", xlabel="(predicted − measured)/measured, %")
            right.grid(axis="x", lw=0.4, color="0.88")
        axes[0, 1].legend(loc="best", frameon=False, fontsize=6.5)
        handles = [Line2D([], [], color="0.2", marker="o", ls="", ms=4, label="fitted")]
        handles += [Line2D([], [], color="0.2", marker="o", mfc="white", ls="", ms=4, label="held out")]
        handles += [Line2D([], [], color="0.2", ls=style, lw=1, label=law) for law, style in looks.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return figure


def scale_time(result: Any) -> Any:
    """Iso-loss collapse of random features and of networks, the end of the equivalence, and the random subspace.

    Args:
        result: what [scale_time.run][regimes.scale_time.run] found.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(7.6, 6.6), layout="constrained")
        FigureCanvasAgg(figure)
        (one, two), (three, four) = figure.subplots(2, 2)
        shown = result.features[0]
        for row, k in enumerate(shown.k):
            colour, marker = STYLES[row % len(STYLES)]
            one.plot(shown.time, shown.excess[row], marker, color=colour, mfc="white", ms=3, markevery=2, label=f"{k}")
            one.plot(shown.time, shown.predicted[row], color=colour, lw=1)
        one.axhline(0.1, color="0.5", lw=0.8, ls=":")
        one.set(xscale="log", yscale="log", ylim=(1e-3, None), xlabel="features × raw time", ylabel="excess")
        one.set_title(f"{shown.task}: excess over infinite width", fontsize=9)
        one.legend(title="features", frameon=False, fontsize=7)
        for row, each in enumerate(result.features):
            colour, marker = STYLES[row % len(STYLES)]
            k, value = np.array(each.k), np.array([found.value for found in each.breaks])
            error = np.array([[found.value - found.low, found.high - found.value] for found in each.breaks]).T
            good = np.isfinite(value) & np.isfinite(error).all(axis=0)
            two.errorbar(k[good], value[good], error[:, good], fmt=marker, color=colour, mfc="white", ms=4, capsize=2)
            two.plot(k, each.expected, color=colour, lw=1.2, label=f"{each.task}, predicted")
        low, high = min(result.features[0].k), max(result.features[0].k)
        for row, line in enumerate(result.lines):
            inside = (line.k >= low) & (line.k <= 16 * high)
            two.plot(
                line.k[inside],
                line.exact[inside],
                color="0.4",
                ls=_DASHES[row % len(_DASHES)],
                lw=0.9,
                label=f"α = {line.alpha:g}, β = {line.beta:g}",
            )
        two.set(xscale="log", yscale="log", xlabel="features k", ylabel="k × raw time")
        two.set_title("Where the excess passes 10 %", fontsize=9)
        two.legend(frameon=False, fontsize=7)
        net = result.networks[0]
        loss = np.exp(np.nanmean(np.log(net.loss), axis=0))
        for row, width in enumerate(net.widths):
            colour, marker = STYLES[row % len(STYLES)]
            fill = "white" if row < len(STYLES) else colour
            three.plot(net.scaled, loss[row], color=colour, marker=marker, mfc=fill, ms=3, lw=0.8, label=f"{width}")
        three.set(xscale="log", yscale="log", xlabel="width × raw time", ylabel="test loss")
        three.set_title("Networks, standard parameterisation", fontsize=9)
        three.legend(title="width", frameon=False, fontsize=7)
        for row, each in enumerate(result.networks):
            colour, marker = STYLES[row % len(STYLES)]
            at = np.array(list(each.slopes)) * 1.04 ** (row - 1)
            slopes = list(each.slopes.values())
            value = np.array([slope.value for slope in slopes])
            error = np.array([[slope.value - slope.low, slope.high - slope.value] for slope in slopes]).T
            error = np.where(np.isfinite(error), error, 0)
            look: Any = {"fmt": marker, "color": colour, "mfc": "white", "ms": 4.5, "capsize": 2, "lw": 1}
            four.errorbar(at, value, error, **look, label=each.kind)
        for expected in (-1, 0):
            four.axhline(expected, color="0.5", lw=0.8, ls=":")
        four.set(xscale="log", xlabel="test loss to be reached", ylabel="slope against width", ylim=(-2, 0.8))
        ticks = list(result.networks[0].slopes)
        four.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        four.minorticks_off()
        four.set_title("Networks: time to reach a loss", fontsize=9)
        # Wide intervals reach beyond the axes, so the legend hides what is behind it.
        four.legend(fontsize=7, loc="upper center", ncols=3, framealpha=1, edgecolor="none", borderaxespad=0)
    return figure


def phenomena(result: Any) -> Any:
    """Loss along features, samples and time: the formula as lines, measured points with their standard error.

    Args:
        result: what [phenomena.run][regimes.phenomena.run] found.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(one.data for one in result.curves))
    labels = {"k": "features k", "n": "samples n", "time": "raw time"}
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(7.6, 2.6 * len(names) + 0.2), layout="constrained")
        FigureCanvasAgg(figure)
        for row, axes in zip(names, figure.subplots(len(names), 3, squeeze=False), strict=True):
            for ax, axis in zip(axes, labels, strict=True):
                shown = [(axis, 0, "")]
                if axis == "k":
                    shown = [("k", 0, "long time"), ("k, middle", 1, "short time")]
                for name, style, label in shown:
                    one = result.curve(row, name)
                    at, colour = getattr(one, axis), STYLES[style][0]
                    ax.plot(at, one.predicted, color=colour, ls=_DASHES[style], lw=1.2)
                    error = one.loss.std(axis=0, ddof=1) / np.sqrt(len(one.loss))
                    look: Any = {"fmt": STYLES[style][1], "color": colour, "mfc": "white", "ms": 3.5, "capsize": 1.5}
                    ax.errorbar(at, one.loss.mean(axis=0), error, **look, lw=0.8, label=label)
                ax.set(xscale="log", yscale="log", xlabel=labels[axis])
                _finish(ax, rows=0, crowded=100)
                ax.set_title(f"{row}, along {axis}", fontsize=9)
                if axis == "k":
                    ax.set_ylabel("test loss")
                    ax.legend(frameon=False, fontsize=7)
    return figure


def pruning(result: Any) -> Any:
    """Losses along density with the law, against the invariant, and predicted against measured.

    Args:
        result: what [pruning.run][regimes.pruning.run] found.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(7.6, 6.6), layout="constrained")
        FigureCanvasAgg(figure)
        (one, two), (three, four) = figure.subplots(2, 2)
        most = max(result.sizes.n)
        shown = [each for each in result.families if each.n == most]
        widths = sorted({each.width for each in shown})
        depths = sorted({each.depth for each in shown})
        for each in shown:
            colour, marker = STYLES[widths.index(each.width) % len(STYLES)][0], STYLES[depths.index(each.depth) % 5][1]
            filled = each in result.families[: result.fitted]
            look: Any = {"color": colour, "mfc": colour if filled else "white", "ms": 3.2, "ls": ""}
            label = f"{each.depth} × {each.width}"
            one.plot(each.density, each.loss, marker, **look, label=label)
            one.plot(each.density, result.predicted(each), color=colour, lw=0.9, zorder=1.7)
            two.plot(result.invariant(each), each.loss / each.loss[0], marker, **look)
        one.set(xscale="log", yscale="log", xlabel="density", ylabel="test loss")
        one.set_title(f"Depth × width, n = {most}; lines: the law", fontsize=9)
        _finish(one, rows=0, crowded=100)
        one.legend(frameon=False, fontsize=6.5, ncols=2)
        law = result.fit.parameters
        two.set(xscale="log", yscale="log", ylabel="test loss / dense loss")
        two.set_xlabel(f"depth^{law['phi']:.2f} width^{law['psi']:.2f} density")
        _finish(two, rows=0, crowded=300)
        two.set_title("Against the invariant; filled: fitted", fontsize=9)
        parts = (
            ("fitted", result.families[: result.fitted]),
            ("larger half", result.families[result.fitted :]),
            ("other shapes", result.held),
        )
        for index, (label, chosen) in enumerate(parts):
            colour, marker = STYLES[index]
            losses = np.concatenate([each.loss[1:] for each in chosen])
            predicted = np.concatenate([result.predicted(each)[1:] for each in chosen])
            three.plot(losses, predicted / losses - 1, marker, color=colour, mfc="white", ms=3, label=label)
        three.axhspan(-0.06, 0.06, color="0.9", zorder=0)
        three.set(xscale="log", xlabel="measured test loss", ylabel="predicted / measured − 1")
        _finish(three, rows=0, linear=True, crowded=100)
        three.set_title("Divergence; band: 6 %", fontsize=9)
        three.legend(frameon=False, fontsize=7)
        for index, best in enumerate(result.budgets):
            pruned, dense = (np.exp(np.log(each).mean()) for each in (best.measured, best.dense))
            spots = ((best.predicted, "_", "0.2", "predicted"), (pruned, "o", STYLES[0][0], "pruned"))
            for value, marker, colour, label in (*spots, (dense, "s", STYLES[1][0], "dense")):
                four.plot(index, value, marker, color=colour, ms=12 if marker == "_" else 5, label=label)
        named = [f"{best.parameters}\nn = {best.n}" for best in result.budgets]
        four.set_xticks(range(len(named)), named)
        # On a linear axis, from 0: there are few points, none of them small against the others.
        four.set(xlabel="parameters left", ylabel="test loss", xlim=(-0.5, len(named) - 0.5))
        four.set_ylim(0, 1.35 * np.nanmax([each.get_ydata() for each in four.lines]))
        four.set_title("Best network of a number of parameters", fontsize=9)
        handles, labels = four.get_legend_handles_labels()
        four.legend(handles[:3], labels[:3], frameon=False, fontsize=7)
    return figure


def model_growth(result: Any) -> Any:
    """Learning curves of every domain with what the spectrum predicts, and below them the sizes that the data ask for.

    Args:
        result: what [model_growth.run][regimes.model_growth.run] or
            [model_growth.from_table][regimes.model_growth.from_table] found.

    Returns:
        matplotlib Figure, not attached to any window.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    domains = list(dict.fromkeys(one.domain for one in result.growths))
    order = ("random-features", "kernel", "network", "network-classes", "losses")
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(2.9 * max(len(domains), 2), 5.6), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(2, len(domains), squeeze=False)
        for column, domain in enumerate(domains):
            found = [one for one in result.growths if one.domain == domain]
            upper, lower = panels[:, column]
            for one in found:
                measured, predicted = one.measured, one.predicted
                colour, marker = STYLES[order.index(one.learner)]
                curve = measured.curve
                above = curve.loss - (measured.floor if one.floor_known else 0.0)
                error = np.zeros(len(above)) if curve.stderr is None else np.nan_to_num(1.96 * curve.stderr)
                look: Any = {"fmt": marker, "color": colour, "mfc": "white", "ms": 4.5, "lw": 1}
                grows = len(measured.sizes) > 1
                label = f"{one.learner}: {measured.beta_g.value:.2f}"
                upper.errorbar(curve.at, above, np.minimum(error, 0.95 * above.clip(0)), capsize=2, **look, label=label)
                read = measured.beta_p.value
                size = f"{one.learner}: " + (f"{read:.2f}" if np.isfinite(read) else "undecided") if grows else ""
                if np.isfinite(measured.adequate).any():
                    lower.plot(curve.at, measured.adequate, marker, color=colour, mfc="white", ms=4.5, label=size)
                if predicted is not None:
                    said = predicted.curve.loss - (measured.floor if one.floor_known else 0.0)
                    upper.plot(curve.at, said, color=colour, lw=1.2)
                    if np.isfinite(predicted.adequate).any():
                        lower.plot(curve.at, predicted.adequate, color=colour, lw=1.2)
            known = all(one.floor_known for one in found)
            title = {"theory": "theory's own model"}.get(domain, domain)
            upper.set(title=title, ylabel="loss above the floor" if known else "loss")
            lower.set(xlabel="training samples n", ylabel="smallest adequate model")
            for ax in (upper, lower):  # a logarithmic axis must have something on it
                some = any((np.asarray(line.get_ydata(), dtype=float) > 0).any() for line in ax.lines)
                ax.set(xscale="log", yscale="log" if some else "linear")
            for ax in (upper, lower):
                ax.set_xlim(*upper.get_xlim())
                if ax is upper or ax.lines:
                    _finish(ax, rows=len(found), linear=ax.get_yscale() == "linear")
            if not lower.lines:
                lower.tick_params(which="both", left=False, labelleft=False, labelbottom=False)
            if not np.isfinite([one.measured.adequate for one in found]).any():
                lower.text(0.5, 0.5, "not determined", transform=lower.transAxes, ha="center", color="0.4")
        keys = [
            Line2D([], [], color="0.3", marker="o", mfc="white", ls="", ms=4.5, label="measured (slope in the legend)"),
            Line2D([], [], color="0.3", lw=1.2, label="predicted from the spectrum"),
        ]
        if any(one.predicted is not None for one in result.growths):
            figure.legend(handles=keys, loc="outside lower center", ncols=2, frameon=False)
    return figure
