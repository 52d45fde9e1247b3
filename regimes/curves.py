"""Tables of measured losses: which column is which, and one curve or grid for each group of rows.

    found = curves.read("losses.csv", by="model")       # columns n and loss, one curve per model
    found = curves.read(frame, x="n=tokens,size=params", y="val loss")

A scale is what the laws call it: n (samples), k (features), size (parameters), time, density, depth, width, dense. Rows
that cannot be used are left out and counted; a curve that cannot be used keeps its place with the reason.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from regimes import _checks, display, files
from regimes.results import LearningCurve, LossSurface

Array = np.ndarray

SCALES: Mapping[str, tuple[str, ...]] = {
    "n": ("n", "samples", "examples", "seen examples", "train size", "size train", "training samples", "tokens"),
    "k": ("k", "features"),
    "size": ("size", "parameters", "params", "model size"),
    "time": ("time", "steps", "epochs"),
    "density": ("density",),
    "depth": ("depth",),
    "width": ("width",),
    "dense": ("dense",),
}
"""Headings that are taken for a scale, in any case, `_` and `-` as spaces."""
LOSSES = ("loss", "test loss", "error", "test error", "validation loss", "val loss", "mse")
"""Headings that are taken for the loss."""
STDERRS = ("stderr", "standard error", "sem")
"""Headings that are taken for its standard error."""


@display.shown
class Curve(NamedTuple):
    """Losses of one group of rows."""

    name: str
    """The values that tell it from others, or the name of the file."""
    key: Mapping[str, Any]
    """Those values by column; empty where there is one curve only."""
    scales: Mapping[str, Float64[Array, " points"]]
    """Where each loss was measured, ordered by the first scale that varies; infinite only where all of a scale is."""
    loss: Float64[Array, " points"]
    """The losses."""
    stderr: Float64[Array, " points"] | None
    """Their standard errors, where a column tells them."""
    notes: tuple[str, ...]
    """What was left out, and what looks odd."""

    @property
    def varying(self) -> tuple[str, ...]:
        """The scales that take more than one value."""
        return tuple(name for name, values in self.scales.items() if len(values) and values.min() < values.max())

    def lines(self, fixed: Mapping[str, float] | None = None) -> "list[LearningCurve | LossSurface]":
        """As the other modules take them: a curve along n, k or time, a full grid of n and k as a surface.

        A grid with gaps becomes its lines along n. Where there is no k, `size` or `width` counts as k. Losses that
        repeat a place are averaged, with the standard error of their mean.

        Args:
            fixed: noise, ridge, time and the other scale, where they are known.

        Raises:
            ValueError: no points, a scale that varies and is said to be fixed, other scales, or more than two of them.
        """
        if not len(self.loss):
            raise ValueError(f"{self.name} has no points: {'; '.join(self.notes) or 'no rows'}.")
        sizes = [name for name in (*self.varying, *self.scales) if name in ("k", "size", "width")]
        scales = {name: values for name, values in self.scales.items() if name not in ("k", *sizes[:1])}
        if sizes:
            scales["k"] = self.scales[sizes[0]]
        vary = ["k" if name in sizes[:1] else name for name in self.varying]
        held = {name: float(values[0]) for name, values in scales.items() if name not in vary}
        known = {**held, **dict(fixed or {})}
        for name in vary:
            if name in known:
                raise ValueError(f"`fixed`: {name} varies in {self.name}, so it cannot be held at {known[name]:g}.")
        if len(vary) == 1 and vary[0] in ("n", "k", "time"):
            at, loss, stderr = _averaged(scales[vary[0]], self.loss, self.stderr)
            return [LearningCurve(vary[0], at, loss, stderr, None, known, self.name)]
        if sorted(vary) != ["k", "n"]:
            told = f"{', '.join(vary) or 'nothing'} var{'y' if len(vary) > 1 else 'ies'}"
            raise ValueError(f"a curve runs along n, k or time and a surface along n and k; in {self.name} {told}.")
        n, k = (np.unique(scales[name]) for name in ("n", "k"))
        lines = []
        for width in k:
            inside = scales["k"] == width
            cut = None if self.stderr is None else self.stderr[inside]
            lines.append(_averaged(scales["n"][inside], self.loss[inside], cut))
        if all(len(at) == len(n) for at, _, _ in lines):
            errors = [error for _, _, error in lines if error is not None]
            stderr = np.stack(errors, axis=1) if len(errors) == len(lines) else None
            return [LossSurface(n, k, np.stack([line[1] for line in lines], axis=1), stderr, known, self.name)]
        return [
            LearningCurve("n", at, loss, stderr, None, {**known, "k": float(width)}, f"{self.name}, k = {width:g}")
            for width, (at, loss, stderr) in zip(k, lines, strict=True)
        ]


def read(
    source: Any,
    *,
    x: str | Mapping[str, str] | None = None,
    y: str | None = None,
    by: str | Sequence[str] | None = None,
    stderr: str | None = None,
    count: str | None = None,
) -> tuple[Curve, ...]:
    """The curves of a table.

    Args:
        source: path of a .csv or .parquet file, a pandas DataFrame, or a mapping of columns.
        x: columns of the scales: "column" (n, unless its heading says otherwise), "scale=column,scale=column", or a
            mapping; by default the headings of `SCALES`.
        y: column of the loss; by default a heading of `LOSSES`.
        by: column or columns that tell curves apart, separated by commas; none for one curve.
        stderr: column of standard errors, or of standard deviations with `count`; by default a heading of `STDERRS`.
        count: column of the numbers of repetitions behind each loss.

    Raises:
        ValueError: a file that cannot be read, a column that is missing or holds words, no rows.
    """
    frame, name = _frame(source)
    reason = files.nameless(frame)
    if reason and (x is None or y is None):
        raise ValueError(f"`source`: {name} could not be read as a table: {reason}.")
    headings = [str(heading) for heading in frame]
    frame = frame.set_axis(headings, axis=1)
    if len(set(headings)) < len(headings):
        raise ValueError(f"`source` has two columns of the same name among {', '.join(headings)}.")
    keys = [part.strip() for part in by.split(",")] if isinstance(by, str) and by not in headings else by
    keys = [keys] if isinstance(keys, str) else list(keys or ())
    for key in keys:
        _present("by", key, headings)
    columns = _scales(x, [heading for heading in headings if heading not in keys], headings)
    loss = _column("y", y, LOSSES, headings)
    error = stderr if stderr is not None else _find(STDERRS, headings)
    for argument, wanted in (("stderr", error), ("count", count)):
        if wanted is not None:
            _present(argument, wanted, headings)
    if count is not None and error is None:
        raise ValueError("`count` needs `stderr`: the column of the standard deviations.")
    told = (*columns.values(), loss, *(one for one in (error, count) if one is not None))
    used = set(told)
    twice = next((column for column in told if told.count(column) > 1), None)
    if twice is not None:
        raise ValueError(f"column {twice!r} cannot be two of scale, loss and error at once.")
    for key in keys:  # what tells curves apart may be what was held
        scale = next((scale for scale, names in SCALES.items() if _plain(key) in names), None)
        if scale is not None and scale not in columns and key not in used and key not in files.words(frame[[key]]):
            columns[scale] = key
            used.add(key)
    values = {column: _numbers(frame[column], column) for column in used}
    groups: list[tuple[tuple[Any, ...], Array]]
    if keys:
        found: Any = frame.groupby(keys, sort=False, dropna=False).indices
        groups = [(key if isinstance(key, tuple) else (key,), np.sort(rows)) for key, rows in found.items()]
    else:
        groups = [((), np.arange(len(frame)))]
    spare = [] if keys else [word for word in files.words(frame) if word not in used]
    made = []
    for told, rows in groups:
        title = ", ".join(str(part) for part in told) if told else name
        spread = None
        if error is not None:
            spread = values[error][rows]
            if count is not None:
                with np.errstate(all="ignore"):
                    spread = spread / np.sqrt(values[count][rows])
        scales = {scale: values[column][rows] for scale, column in columns.items()}
        made.append(
            _curve(title, dict(zip(keys, told, strict=True)), scales, values[loss][rows], spread, error, loss, spare)
        )
    return tuple(made)


def _curve(
    name: str,
    key: Mapping[str, Any],
    scales: Mapping[str, Array],
    loss: Array,
    stderr: Array | None,
    error: str | None,
    heading: str,
    spare: Sequence[str],
) -> Curve:
    """Without the rows that cannot be used, in order."""
    notes = []
    usable = np.isfinite(loss)
    endless = np.zeros(len(loss), dtype=bool)
    for scale, values in scales.items():
        endless_here = values == math.inf
        # A scale that is infinite throughout is held there, and not one to fit along.
        if not endless_here[np.isfinite(loss)].all():
            usable &= np.isfinite(values) & (values > 0)
            if endless_here.any():
                endless |= endless_here
                notes.append(
                    f"{int(endless_here.sum())} of {len(loss)} rows left out: {scale} is infinite there and finite in "
                    f"others; with `by` as the column of {scale} each of its values makes a curve"
                )
    if not (usable | endless).all():
        bad = int((~usable & ~endless).sum())
        notes.append(f"{bad} of {len(loss)} rows left out: no number for the loss, or none above 0 for a scale")
    low = usable & (loss <= 0)
    if low.any():
        notes.append(
            f"{int(low.sum())} of {len(loss)} rows left out: the loss is not positive, and laws are for its logarithm"
        )
        usable &= ~low
    if stderr is not None and not (np.isfinite(stderr[usable]) & (stderr[usable] > 0)).all():
        notes.append(f"some of {error!r} are missing or not positive: standard errors are not used")
        stderr = None
    kept = np.flatnonzero(usable)
    varying = [values[kept] for values in scales.values() if len(kept) and values[kept].min() < values[kept].max()]
    order = kept[np.lexsort(varying[::-1])] if varying else kept
    places = {scale: values[order] for scale, values in scales.items()}
    cut = loss[order]
    if "error" in heading.lower() and len(cut) and cut.max() > 1 and cut.max() <= 100:
        notes.append(f"{heading!r} goes up to {cut.max():g}: percent, where laws with a guess level expect fractions")
    if spare and len(varying) == 1 and len(np.unique(varying[0])) < len(kept):
        notes.append(f"places repeat, and {', '.join(map(repr, spare[:3]))} hold words: pass `by` to tell curves apart")
    return Curve(name, key, places, cut, None if stderr is None else stderr[order], tuple(notes))


def _frame(source: Any) -> tuple[Any, str]:
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        frame, name = source, "the table"
    elif isinstance(source, Mapping):
        frame, name = pd.DataFrame(source), "the table"
    elif isinstance(source, str | Path):
        path = files.check_path(source, argument="source", endings=files.TABLES, what="losses")
        frame, name = files.read_file(path, argument="source"), path.name
        if path.suffix != ".parquet":  # pandas renames a heading that repeats
            first = list(pd.read_csv(path, header=None, nrows=1, dtype=str).iloc[0].dropna())
            if len(set(first)) < len(first) and isinstance(frame.columns[0], str):
                raise ValueError(f"`source` has two columns of the same name among {', '.join(first)}.")
    else:
        raise ValueError(f"`source` must be a path, a pandas DataFrame or a mapping; got {type(source).__name__}.")
    if not len(frame):
        raise ValueError("`source` holds no rows.")
    return frame, name


def _plain(heading: str) -> str:
    return heading.strip().lower().replace("_", " ").replace("-", " ")


def _find(names: Sequence[str], headings: Sequence[str]) -> str | None:
    """The column of the first of these names that there is."""
    plain = [_plain(heading) for heading in headings]
    return next((headings[plain.index(name)] for name in names if name in plain), None)


def _present(argument: str, column: str, headings: Sequence[str]) -> str:
    if column not in headings:
        raise ValueError(f"`{argument}`: there is no column {column!r}; the columns are {', '.join(headings[:20])}.")
    return column


def _column(argument: str, given: str | None, names: Sequence[str], headings: Sequence[str]) -> str:
    if given is not None:
        return _present(argument, given, headings)
    found = _find(names, headings)
    if found is None:
        raise ValueError(
            f"`{argument}`: none of the columns {', '.join(headings[:20])} has a heading that says so; name it."
        )
    return found


def _scales(x: Any, offered: Sequence[str], headings: Sequence[str]) -> dict[str, str]:
    """Columns by scale."""
    if x is None:
        found = {scale: _find(names, offered) for scale, names in SCALES.items()}
        columns = {scale: column for scale, column in found.items() if column is not None}
        if not columns:
            raise ValueError(
                f"`x`: none of the columns {', '.join(headings[:20])} is called like a scale; name it, or several as "
                "n=COLUMN,size=COLUMN."
            )
        return columns
    if isinstance(x, Mapping):
        pairs = [(str(scale), str(column)) for scale, column in x.items()]
    elif x in headings:
        pairs = [(next((scale for scale, names in SCALES.items() if _plain(x) in names), "n"), x)]
    else:
        parts = [part.split("=", 1) for part in str(x).split(",") if part.strip()]
        if not parts or (len(parts) > 1 and any(len(part) == 1 for part in parts)):
            raise ValueError(f"`x` must be a column or scale=column,scale=column; got {x!r}.")
        pairs = [("n", part[0].strip()) if len(part) == 1 else (part[0].strip(), part[1].strip()) for part in parts]
    for scale, column in pairs:
        _checks.choice("x", scale, tuple(SCALES))
        _present("x", column, headings)
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"`x` names a scale twice: {x!r}.")
    return dict(pairs)


def _numbers(values: Any, column: str) -> Array:
    import pandas as pd

    types = pd.api.types
    if types.is_datetime64_any_dtype(values) or types.is_bool_dtype(values) or types.is_complex_dtype(values):
        raise ValueError(f"column {column!r} must hold real numbers, not {values.dtype}.")
    if not types.is_numeric_dtype(values):
        number = pd.to_numeric(values, errors="coerce")
        bad = values[number.isna() & values.notna()]
        if len(bad):
            where = int(np.flatnonzero(number.isna() & values.notna())[0]) + 1
            said = "; write percent as bare numbers or as fractions" if "%" in str(bad.iloc[0]) else ""
            raise ValueError(f"column {column!r} must hold numbers; that of row {where} is {bad.iloc[0]!r}{said}.")
        values = number
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _averaged(at: Array, loss: Array, stderr: Array | None) -> tuple[Array, Array, Array | None]:
    """One loss per place: the mean of those that repeat it."""
    places, where = np.unique(at, return_inverse=True)
    count = np.bincount(where)
    mean = np.bincount(where, loss) / count
    if stderr is not None:
        return places, mean, np.sqrt(np.bincount(where, stderr**2)) / count
    if count.min() < 3:
        return places, mean, None
    square = np.bincount(where, (loss - mean[where]) ** 2) / (count - 1)
    spread = np.sqrt(square / count)
    return places, mean, spread if math.isfinite(spread.sum()) and (spread > 0).all() else None
