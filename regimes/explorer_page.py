"""The page of `regimes explore`: sliders, map and curves in a browser, drawn by Bokeh from a server on this machine.

A slider is answered at once with the map and the curves along n and k; what takes longer (the curve in time, a finer
map at a finite time) follows when nothing has moved for a moment. Nothing is asked of any other host. The mathematics
is in [explore][regimes.explore].
"""

import errno
import functools
import html
import importlib
import math
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from regimes import _checks, explore, overlays
from regimes.explore import Curve, Knobs, Point, Surface, Tabulated
from regimes.overlays import Loaded
from regimes.results import LearningCurve

NO_BOKEH = "`regimes explore` needs Bokeh, which is not installed: run `pip install 'regimes[explore]'`."
PAUSE = 200
"""Milliseconds without a change after which the slower parts are drawn."""
PACE = 20
"""Least milliseconds from one answer to the beginning of the next."""
_NAMES = {
    "data": "data-limited",
    "width": "width-limited",
    "interpolation": "interpolation",
    "noise": "noise fitted",
    "ridge": "ridge-limited",
    "time": "time-limited",
    "small": "nothing learnt",
}
_AXES = {"n": "training samples n", "k": "random features k", "time": "training time t"}
_BLUE, _ORANGE, _BLACK, _GREY = "#0072B2", "#D55E00", "#000000", "#808080"
# name: (lowest, highest, step, start) of log10; below `zero` it is 0, above `infinite` there is no limit.
_LOGARITHMIC = {"noise": (-8.1, 3.0, 0.1, -2.0), "ridge": (-10.1, 4.0, 0.1, -3.0), "time": (-2.0, 12.1, 0.1, 12.1)}
_ZERO = {"noise": -8.05, "ridge": -10.05}
_INFINITE = 12.05
_TITLES = {
    "alpha": "α: eigenvalues fall as i^-(1+α)",
    "beta": "β: target power falls as i^-(1+β)",
    "noise": "label noise σ²",
    "ridge": "ridge",
    "time": "training time t",
    "n": "the point: samples n",
    "k": "the point: features k",
}
_TRACK = ".noUi-target { background: var(--track) }"
_TEMPLATE = Path(__file__).with_name("explorer_page.html.jinja")


def server(loaded: Loaded | None = None, *, host: str = "127.0.0.1", port: int = 5006) -> Any:
    """A Bokeh server with the page at `/`, listening but not started.

    Args:
        loaded: what is drawn on top, if anything.
        host: address to listen at; the default can be reached from this machine only.
        port: port to listen at; 0 takes a free one.

    Returns:
        bokeh.server.server.Server: `start()` it and run its `io_loop`.

    Raises:
        ImportError: Bokeh is not installed.
        ValueError: a port that is taken or not allowed, an unknown host.
    """
    try:
        from bokeh.application import Application
        from bokeh.application.handlers.function import FunctionHandler
        from bokeh.server.server import Server
    except ImportError:
        raise ImportError(NO_BOKEH) from None
    port = _checks.count("port", port, low=0, high=65535)
    own = None if loaded is None or loaded.spectrum is None else explore.tabulate(loaded.spectrum)
    page = Application(FunctionHandler(lambda document: _Page(document, loaded, own).begin()))
    names = {host, "127.0.0.1", "localhost", socket.gethostname()}
    try:  # a probe, since Bokeh leaves a socket open where it cannot listen
        socket.getaddrinfo(host, port)
        with socket.create_server((host, port)) as probe:
            port = probe.getsockname()[1]
        return Server({"/": page}, address=host, port=port, allow_websocket_origin=[f"{one}:{port}" for one in names])
    except socket.gaierror:
        raise ValueError(f"`host`: {host!r} is not known; use 127.0.0.1, or an address of this machine.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ValueError(f"`port`: {port} is in use; give another, or 0 for any that is free.") from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise ValueError(f"`host`: {host!r} is no address of this machine; use 127.0.0.1.") from None
        raise ValueError(f"`port`: cannot listen at {host}:{port} ({error.strerror or error}).") from None


class _Page:
    """One browser window: its widgets, and what they show."""

    def __init__(self, document: Any, loaded: Loaded | None, own: Tabulated | None) -> None:
        self.document, self.loaded, self.own = document, loaded, own
        self.law: Tabulated | None = None
        self.law_of: tuple[float, float] | None = None
        self.pending, self.later = False, None
        self.answered = -math.inf
        self.refining: Iterator[Surface | None] | None = None
        self.asked = 0
        self.drawn: Any = None
        self.draft = False
        self.sliders = _sliders()
        if own is not None:
            self._begin_at(own, None if loaded is None else loaded.noise)
        self.choice, self.rescale = _choices(loaded, own)
        self.words = _bokeh("models").Div(name="words")
        self.map, self.sources, self.colours = _map()
        self.panels = {axis: _panel(axis) for axis in _AXES}

    def begin(self) -> None:
        """Put everything in its place and draw it."""
        from bokeh.events import Tap
        from bokeh.layouts import column

        for slider in self.sliders.values():
            slider.on_change("value", self._moved)
        for other in (self.choice, self.rescale):
            if other is not None:
                other.on_change("active", self._moved)
        self.map.on_event(Tap, self._tapped)
        controls = [one for one in (self.choice, *self.sliders.values(), self.rescale) if one]
        for axis, panel in self.panels.items():
            self.document.add_root(column(*panel["figures"], sizing_mode="stretch_width", name=f"panel_{axis}"))
        self.document.add_root(self.map)
        self.document.add_root(column(*controls, width=300, name="controls"))
        places = np.array(overlays.places(self.loaded)).reshape(-1, 2)
        self.sources["places"].data = {"n": places[:, 0], "k": places[:, 1]}
        self._dress()
        self.document.title = "Regimes explorer"
        self.document.template = _TEMPLATE.read_text(encoding="utf-8")
        self._answer()

    def _dress(self) -> None:
        """Texts that the page shows outside of Bokeh's layout, which would be made anew at each change of one."""
        texts = [self.words, *[panel["heading"] for panel in self.panels.values()]]
        self.map.tags = texts  # a part of the document, without a place of their own
        figures = [self.map, *[figure for panel in self.panels.values() for figure in panel["figures"]]]
        sliders, bar = list(self.sliders.values()), self.map.right[0]
        arguments = {"texts": texts, "sliders": sliders, "figures": figures, "bar": bar}
        made = _bokeh("models").CustomJS(args=arguments, code="dress(texts, sliders, figures, bar)")
        self.document.js_on_event("document_ready", made)

    def _begin_at(self, own: Tabulated, noise: float | None) -> None:
        """Sliders for a spectrum from a file: a point on its map away from n = k, and the noise that belongs to it."""
        n = math.sqrt(own.high)
        self.sliders["n"].value = math.log10(n)
        self.sliders["k"].value = math.log10(min(4 * n, own.high))
        if noise is not None:
            slider = self.sliders["noise"]
            slider.value = min(max(math.log10(noise), slider.start), slider.end) if noise > 0 else slider.start

    def _bound(self, of: Tabulated) -> None:
        """The sliders of the point end where the map does."""
        end = round(math.log10(of.high), 4)
        if self.sliders["n"].end != end:
            pending, self.pending = self.pending, True  # what is set here is part of the answer that is being made
            for name in ("n", "k"):
                self.sliders[name].update(end=end, value=min(self.sliders[name].value, end))
            self.pending = pending

    def _moved(self, attr: str, old: Any, new: Any) -> None:
        """One answer to all that came in since the last one."""
        self.refining = None
        if self.pending:
            return
        self.pending = True
        early = PACE - 1e3 * (time.perf_counter() - self.answered)
        if early > 0:  # a slider is dragged: let more of its values come in
            self.document.add_timeout_callback(self._answer, math.ceil(early))
        else:
            self.document.add_next_tick_callback(self._answer)

    def _tapped(self, event: Any) -> None:
        of = self._shown()
        for name, value in (("n", event.x), ("k", event.y)):
            if value is not None and value > 0:
                slider = self.sliders[name]
                slider.value = min(round(math.log10(min(max(value, of.low), of.high)), 2), slider.end)

    def _knobs(self) -> Knobs:
        noise, ridge, until = (self.sliders[name].value for name in ("noise", "ridge", "time"))
        return Knobs(
            0.0 if noise < _ZERO["noise"] else 10.0**noise,
            0.0 if ridge < _ZERO["ridge"] else 10.0**ridge,
            math.inf if until > _INFINITE else 10.0**until,
        )

    def _power_law(self) -> Tabulated:
        wanted = self.sliders["alpha"].value, self.sliders["beta"].value
        if self.law is None or self.law_of != wanted:
            self.law, self.law_of = explore.power_law(*wanted), wanted
        return self.law

    def _shown(self) -> Tabulated:
        """The spectrum that the map is of."""
        if self.own is not None and self.choice is not None and self.choice.active == 1:
            return self.own
        return self._power_law()

    def _at(self) -> tuple[float, float]:
        """The chosen point, within what is shown."""
        of = self._shown()
        n, k = (min(max(float(round(10.0 ** self.sliders[name].value)), of.low), of.high) for name in ("n", "k"))
        return n, k

    def _answer(self) -> None:
        """What is quick: the map, the curves along n and k, the numbers of the point."""
        self.pending = False
        of, knobs = self._shown(), self._knobs()
        self._bound(of)
        n, k = self._at()
        own = self.choice is not None and self.choice.active == 1
        self.document.hold("combine")
        for name in ("alpha", "beta"):
            if self.sliders[name].disabled != own:
                self.sliders[name].disabled = own
        drawn = (own, None if own else self.law_of, knobs)
        if drawn != self.drawn:  # and not only the point that moved
            self._draw_map(explore.surface(of, knobs))
            self.drawn, self.draft = drawn, math.isfinite(knobs.time)
        self.sources["point"].data = {"n": [n], "k": [k]}
        ended = math.isinf(knobs.time)
        found = explore.point(of, n, k, knobs, quick=True) if ended else None
        for axis in ("n", "k"):
            self._draw_curve(axis, of, n, k, knobs, 121 if ended else 24, found)
        if found is not None:
            self._say(of, found, knobs)
        self.document.unhold()
        if self.later is not None:
            self.document.remove_timeout_callback(self.later)
        self.later = self.document.add_timeout_callback(self._follow, PAUSE)
        self.answered = time.perf_counter()

    def _follow(self) -> None:
        """What takes longer, once nothing moves."""
        self.later = None
        of, knobs, (n, k) = self._shown(), self._knobs(), self._at()
        self.document.hold("combine")
        found = explore.point(of, n, k, knobs)
        if math.isfinite(knobs.time):
            for axis in _AXES:
                self._draw_curve(axis, of, n, k, knobs, 64, found)
        else:
            self._draw_curve("time", of, n, k, knobs, 64)
            for axis in ("n", "k"):
                self.panels[axis]["point"].data = _marked(axis, found)
        self._say(of, found, knobs)
        self.document.unhold()
        if self.draft:
            self.refining = explore.refine(of, knobs)
            self.asked += 1
            self.document.add_next_tick_callback(functools.partial(self._refine, self.asked))

    def _refine(self, asked: int) -> None:
        if self.refining is None or asked != self.asked:
            return  # something moved
        found = next(self.refining)
        if found is None:
            self.document.add_next_tick_callback(functools.partial(self._refine, asked))
        else:
            self.refining, self.draft = None, False
            self._draw_map(found)

    def _draw_map(self, found: Surface) -> None:
        knobs, of = self._knobs(), self._shown()
        reducible = found.loss - knobs.noise
        finite = reducible[np.isfinite(reducible) & (reducible > 0)]
        top = min(float(finite.max()), of.spectrum.total_power)
        _move(self.colours, "low", "high", *_snapped(float(finite.min()), top))
        log_n, log_k = np.log10(found.n), np.log10(found.k)
        step = log_n[1] - log_n[0]
        shown = np.where(np.isfinite(reducible), reducible, 1e30).astype(np.float32)
        self.sources["map"].data = {
            "image": [shown.T],
            "x": [10 ** (log_n[0] - step / 2)],
            "y": [10 ** (log_k[0] - step / 2)],
            "dw": [10 ** (log_n[-1] + step / 2) - 10 ** (log_n[0] - step / 2)],
            "dh": [10 ** (log_k[-1] + step / 2) - 10 ** (log_k[0] - step / 2)],
        }
        gap = np.full((1, 2), np.nan)
        lines = np.concatenate([gap, *[part for line in explore.boundaries(found) for part in (line, gap)]])
        self.sources["lines"].data = {"n": lines[:, 0], "k": lines[:, 1]}
        named = explore.labels(found)
        self.sources["labels"].data = {
            "n": [one.n for one in named],
            "k": [one.k for one in named],
            "text": [_NAMES[one.phase] for one in named],
            "align": [one.side for one in named],
        }
        for span in (self.map.x_range, self.map.y_range):
            _move(span, "start", "end", of.low, of.high)

    def _draw_curve(
        self, axis: str, of: Tabulated, n: float, k: float, knobs: Knobs, points: int, found: Point | None = None
    ) -> None:
        """Loss and exponent along an axis, with the point where its numbers are known."""
        panel = self.panels[axis]
        made = explore.curve(of, axis, n, k, knobs, points)
        other = self._other(of)
        beside = None if other is None else explore.curve(other, axis, n, k, knobs, points)
        lines = [] if self.loaded is None else self.loaded.along(axis, n, k)
        factor = 1.0
        if lines and self.rescale is not None and self.rescale.active:
            at, loss = (np.concatenate([getattr(line, name) for line in lines]) for name in ("at", "loss"))
            factor = explore.matching_factor(made, at, loss)
        panel["theory"].data = _finite(made if found is None else _through(made, found, knobs.time))
        if beside is not None or len(panel["other"].data["at"]):
            panel["other"].data = _empty() if beside is None else _finite(beside)
        if lines or len(panel["measured"].data["at"]):
            panel["measured"].data = overlays.drawn(lines, factor)
        if found is None:  # read from the curve, until nothing moves
            found = _between(made, n, k, knobs.time)
        panel["point"].data = _marked(axis, found, knobs.time)
        _ranges(panel, made, beside, lines, factor, of.spectrum.total_power + knobs.noise)
        title = f"loss along {axis}"
        if lines:
            title += f"; measured: {overlays.named(lines[0])}" + ("" if factor == 1 else f", times {factor:.3g}")
        panel["heading"].text = html.escape(title)

    def _other(self, of: Tabulated) -> Tabulated | None:
        """The spectrum that is not on the map, for comparison, where a file brought one."""
        if self.own is None:
            return None
        return self._power_law() if of is self.own else self.own

    def _say(self, of: Tabulated, found: Point, knobs: Knobs) -> None:
        until = "trained to the end" if math.isinf(knobs.time) else f"t = {knobs.time:.3g}"
        rows = [("loss", f"{found.loss:.4g}"), ("of it noise", f"{knobs.noise:.3g}")]
        rows += [
            (f"goes with {axis} as", "at the peak" if found.peak and axis != "time" else _power(axis, value))
            for axis, value in found.exponents.items()
        ]
        cells = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in rows)
        self.words.text = (
            f"<h2>n = {found.n:.0f}, k = {found.k:.0f}, {until}</h2>"
            f"<p><b>{_NAMES[found.phase].capitalize()}</b>: {html.escape(found.meaning)}.</p><table>{cells}</table>"
            f"<p>Exponents are those of the loss above the noise, at this point.</p>{self._expected(of)}{self._file()}"
            "<h2>The map</h2><p>Colour is the loss above the noise, lightest where that is more than predicting nothing"
            " would cost; lines part the regimes. At a finite time it is coarse while a slider moves and finer a moment"
            " later.</p>"
        )

    def _expected(self, of: Tabulated) -> str:
        """What a power law tends to, in words."""
        if of is self.own:
            return ""
        alpha, beta = self.sliders["alpha"].value, self.sliders["beta"].value
        data, width = min(beta, 2 * (1 + alpha)), min(beta, 1 + alpha)
        return (
            f"<h2>The power law tends to</h2><table><tr><td>k = ∞: min(β, 2(1+α))</td><td>n<sup>−{data:.2f}</sup></td>"
            f"</tr><tr><td>n = ∞: min(β, 1+α)</td><td>k<sup>−{width:.2f}</sup></td></tr></table>"
        )

    def _file(self) -> str:
        """What was loaded, in words."""
        if self.loaded is None:
            return ""
        name = html.escape(self.loaded.name)
        if self.own is not None:
            said = f"{html.escape(str(self.own.spectrum))}. The spectrum that is not on the map is dashed."
        else:
            said = self._measured_words()
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.loaded.notes[:3])
        return f"<h2>{name}</h2><p>{said}</p>{notes}"

    def _measured_words(self) -> str:
        """Which of the measured curves are shown."""
        assert self.loaded is not None
        shown = [line for axis in _AXES for line in self.loaded.along(axis, *self._at())]
        each = [
            f"<b>{html.escape(overlays.named(line))}</b>: {len(line)} losses along {line.along} from {line.at[0]:g} to "
            f"{line.at[-1]:g}."
            for line in shown
        ]
        several = any(not isinstance(line, LearningCurve) for line in self.loaded.lines) or len(self.loaded.lines) > 1
        nearest = "Of several curves the one nearest to the point is shown" if several else ""
        if several and any(not overlays.held(line) for line in shown):
            nearest += ", or the first where the table does not say what was held"
        return "</p><p>".join([*([nearest + "."] if several else []), *each])


def _marked(axis: str, found: Point, time: float = math.inf) -> dict[str, Any]:
    """The point in the panel of an axis: the numbers that stand beside the map."""
    place = {"n": found.n, "k": found.k, "time": time}[axis]
    if not math.isfinite(place):
        return _empty()
    loss = found.loss if math.isfinite(found.loss) else math.nan
    return {"at": [place], "loss": [loss], "exponent": [found.exponents.get(axis, math.nan)]}


def _between(made: Curve, n: float, k: float, time: float) -> Point:
    """The point as far as a curve of few points tells its numbers."""
    place = {"n": n, "k": k, "time": time}[made.along]
    where, known = np.log(min(max(place, made.at[0]), made.at[-1])), np.log(made.at)
    loss = float(np.exp(np.interp(where, known, np.log(made.loss))))
    return Point(n, k, loss, {made.along: float(np.interp(where, known, made.exponent))}, "")


def _through(made: Curve, found: Point, time: float) -> Curve:
    """The curve with the point on it, which may lie on a peak between two others."""
    marked = _marked(made.along, found, time)
    if not marked["at"] or not made.at[0] < marked["at"][0] < made.at[-1] or marked["at"][0] in made.at:
        return made
    where = int(np.searchsorted(made.at, marked["at"][0]))
    values = (np.insert(getattr(made, name), where, marked[name]) for name in ("at", "loss", "exponent"))
    return Curve(made.along, *values)


def _power(axis: str, exponent: float) -> str:
    if not math.isfinite(exponent):
        return "infinite there"
    symbol = "t" if axis == "time" else axis
    return f"{symbol}<sup>{'−' if exponent >= 0 else '+'}{abs(exponent):.3f}</sup>"


def _sliders() -> dict[str, Any]:
    models = _bokeh("models")

    made = {
        "alpha": models.Slider(start=0.1, end=3, step=0.01, value=0.7),
        "beta": models.Slider(start=0.1, end=6, step=0.01, value=1.5),
    }
    code = (
        "return {zero}tick > {infinite} ? '∞' : 10 ** tick < 1e5"
        " ? String(Number((10 ** tick).toPrecision(2))) : (10 ** tick).toExponential(1)"
    )
    for name, (start, end, step, value) in _LOGARITHMIC.items():
        zero = f"tick < {_ZERO[name]} ? '0' : " if name in _ZERO else ""
        shown = models.CustomJSTickFormatter(code=code.format(zero=zero, infinite=_INFINITE))
        made[name] = models.Slider(start=start, end=end, step=step, value=value, format=shown)
    low, high = math.log10(explore.SMALLEST), math.log10(explore.LARGEST)
    for name, value in (("n", 3.0), ("k", 4.0)):
        shown = models.CustomJSTickFormatter(code="return Math.round(10 ** tick).toString()")
        made[name] = models.Slider(start=round(low, 2), end=high, step=0.01, value=value, format=shown)
    for name, slider in made.items():
        slider.update(title=_TITLES[name], name=name, width=285, margin=(2, 5, 2, 5), stylesheets=[_TRACK])
    return made


def _choices(loaded: Loaded | None, own: Tabulated | None) -> tuple[Any, Any]:
    """Which spectrum the map is of, and whether measured losses are moved to the curve; None where there is none."""
    models = _bokeh("models")

    if loaded is None:
        return None, None
    if own is not None:
        return models.RadioButtonGroup(labels=["power law", loaded.name], active=1, name="choice", width=285), None
    return None, models.CheckboxGroup(
        labels=["scale measured losses to the curve"], active=[0], name="rescale", width=285
    )


def _bokeh(name: str) -> Any:
    """A module of Bokeh as it is, and not as its type stubs describe it, which refuse much of what it takes."""
    return importlib.import_module(f"bokeh.{name}")


def _source(name: str, **columns: Any) -> Any:
    return _bokeh("models").ColumnDataSource(columns, name=name)


def _map() -> tuple[Any, dict[str, Any], Any]:
    """The map with its sources and the mapper of its colours."""
    models, figure = _bokeh("models"), _bokeh("plotting").figure

    low, high = explore.SMALLEST, explore.LARGEST
    sources = {
        "map": _source("map", image=[], x=[], y=[], dw=[], dh=[]),
        **{name: _source(name, n=[], k=[]) for name in ("lines", "point", "places")},
        "labels": _source("labels", n=[], k=[], text=[], align=[]),
    }
    made = figure(
        x_axis_type="log", y_axis_type="log", x_range=models.Range1d(low, high), y_range=models.Range1d(low, high),
        x_axis_label=_AXES["n"], y_axis_label=_AXES["k"], height=520, min_width=340, sizing_mode="stretch_width",
        tools="save", name="phases",
    )  # fmt: skip
    made.toolbar.logo = None
    made.grid.visible = False
    colours = models.LogColorMapper(palette=_bokeh("palettes").Cividis256, low=1e-6, high=1.0, high_color="#FFF9D6")
    made.image("image", "x", "y", "dw", "dh", source=sources["map"], color_mapper=colours)
    for draw, at in ((made.vspan, "n"), (made.hspan, "k")):
        draw(at, source=sources["point"], line_color="white", line_dash="dotted", line_width=1.5)
    for colour, width in (("white", 4), (_BLACK, 1.6)):
        made.line("n", "k", source=sources["lines"], color=colour, line_width=width)
    made.scatter("n", "k", source=sources["places"], marker="x", size=5, color="white", line_width=1)
    made.text(
        "n", "k", "text", source=sources["labels"], text_align="align", text_baseline="middle",
        text_font_size="13px", text_color=_BLACK, background_fill_color="white", background_fill_alpha=0.85,
        padding=3, border_radius=3,
    )  # fmt: skip
    made.scatter("n", "k", source=sources["point"], size=15, fill_color=_ORANGE, line_color="white", line_width=2.5)
    made.add_layout(models.ColorBar(color_mapper=colours, title="loss − noise", width=12, padding=6), "right")
    _apart(made)
    return made, sources, colours


def _panel(axis: str) -> dict[str, Any]:
    """Loss and local exponent along one axis, one above the other."""
    models, figure = _bokeh("models"), _bokeh("plotting").figure

    sources = {name: _source(f"{name}_{axis}", **_empty()) for name in ("theory", "other", "point")}
    sources["measured"] = _source(f"measured_{axis}", at=[], loss=[], low=[], high=[])
    span = models.Range1d(explore.SMALLEST, explore.LARGEST)
    common: dict[str, Any] = {"x_axis_type": "log", "x_range": span, "tools": "save", "sizing_mode": "stretch_width"}
    loss = figure(height=230, y_axis_type="log", y_axis_label="test loss", y_range=models.Range1d(0.1, 1), **common)
    slope = figure(
        height=150, x_axis_label=_AXES[axis], y_axis_label="local exponent", y_range=models.Range1d(-1, 2), **common
    )
    for made, value in ((loss, "loss"), (slope, "exponent")):
        made.min_border_left = 62
        made.toolbar.logo = None
        made.line("at", value, source=sources["other"], color=_ORANGE, line_width=2, line_dash="dashed")
        made.line("at", value, source=sources["theory"], color=_BLUE, line_width=2.5)
        made.scatter("at", value, source=sources["point"], size=11, color=_ORANGE, line_color="white", line_width=1.5)
    loss.segment("at", "low", "at", "high", source=sources["measured"], line_color=_GREY, line_width=1.5)
    loss.scatter(
        "at", "loss", source=sources["measured"], size=7, fill_color="white", line_color=_BLACK, line_width=1.3
    )
    for made in (loss, slope):
        _apart(made)
    loss.xaxis.visible = False
    loss.yaxis.ticker = models.FixedTicker(ticks=[])
    loss.yaxis.formatter = models.CustomJSTickFormatter(
        code="return tick >= 1e-3 && tick < 1e4 ? String(Number(tick.toPrecision(2))) : tick.toExponential(0)"
    )
    slope.yaxis.ticker.update(desired_num_ticks=4, num_minor_ticks=0)
    heading = models.Div(name=f"heading_{axis}")
    return {**sources, "figures": (loss, slope), "heading": heading}


def _apart(figure: Any) -> None:
    """What is drawn lies on a canvas of its own, so that the axes are not drawn again with each change of it."""
    for renderer in figure.renderers:
        renderer.level = "overlay"


def _empty() -> dict[str, Any]:
    return {"at": [], "loss": [], "exponent": []}


def _finite(made: Curve) -> dict[str, Any]:
    """The columns of a curve, with gaps where it is infinite."""
    return {
        "at": made.at,
        "loss": np.where(np.isfinite(made.loss), made.loss, np.nan),
        "exponent": made.exponent,
    }


def _ranges(
    panel: dict[str, Any], made: Curve, beside: Curve | None, lines: list[LearningCurve], factor: float, most: float
) -> None:
    """Axes that hold the curves and what was measured, and not the whole of an infinite peak."""
    at = np.concatenate([made.at, *([] if beside is None else [beside.at]), *[line.at for line in lines]])
    every = [made, *([] if beside is None else [beside])]
    loss = np.concatenate([*[each.loss for each in every], *[factor * line.loss for line in lines]])
    loss = loss[np.isfinite(loss) & (loss > 0)]
    exponent = np.concatenate([each.exponent for each in every])
    exponent = exponent[np.isfinite(exponent)]
    low, high = np.quantile(exponent, [0.06, 0.94]) if exponent.size else (0.0, 1.0)
    measured = max((factor * float(line.loss.max()) for line in lines), default=0.0)
    bottom, top = _snapped(float(loss.min()), max(min(float(loss.max()), 3 * most), measured))
    upper, lower = panel["figures"]
    _move(upper.x_range, "start", "end", float(at.min()), float(at.max()))
    _move(upper.y_range, "start", "end", bottom, top)
    ticks = _ticks(bottom, top)
    if upper.yaxis.ticker.ticks != ticks:
        upper.yaxis.ticker.ticks = ticks
    _move(lower.y_range, "start", "end", min(-0.2, math.floor(2 * low) / 2), max(1.2, math.ceil(2 * high) / 2 + 0.1))


def _move(model: Any, first: str, last: str, low: float, high: float) -> None:
    """Both ends of a range, only where they change: a new range is dear in the browser."""
    if (getattr(model, first), getattr(model, last)) != (low, high):
        model.update(**{first: low, last: high})


def _snapped(low: float, high: float) -> tuple[float, float]:
    """A logarithmic range that holds both, in steps, so that it stays where it is while a slider moves."""
    return 10 ** (math.floor(4 * math.log10(low) - 0.2) / 4), 10 ** (math.ceil(4 * math.log10(high) + 0.2) / 4)


def _ticks(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis, some five of them: powers of ten, or also 3, or also 2 and 5 times these."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = math.log10(high / low)
    mantissas = (1, 2, 5) if decades < 1.7 else (1, 3) if decades < 3 else (1,)
    step = max(1, round(decades / 5)) if len(mantissas) == 1 else 1
    return [float(m * 10.0**power) for power in range(first, last + 1, step) for m in mantissas]
