"""How results show themselves: a sentence in the shell, a sentence and a small table in a notebook.

Results hold arrays, and Python would print all of them. A class under `@display.shown` shows itself by the first line
of its `str` instead, with its name before it: `<Estimate: 0.512 [0.480, 0.544]>`. What describes a procedure (a
network, the sizes of an experiment, the recipe of a training) keeps the form that Python gives it, with every value:
stored runs are told apart by it.
"""

import html
import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

_T = TypeVar("_T")
_LINE = 240
"""Characters of the sentence in the shell; the others are left to `str`."""
_SHORT = 56
"""Characters from which the first line is enough."""
_ROWS = 24
"""Rows of a table; the others are counted."""
_LINES = 40
"""Lines of text above it; the others are counted."""
_TEXT = 160
"""Characters of a cell."""
_FEW = 6
"""Values of a list that are named one by one."""
_SAID = ("what", "expected", "found", "holds", "regime", "predicted_exponent", "measured_exponent")
"""Fields that the row of a claim or of a comparison has said."""
_WORD = 8
"""Texts longer than this are left out of the table where the sentences above it have them."""
_APART = ("settings", "options", "replicates")
"""Fields that are no findings."""
_DECIDED = {True: "holds", False: "does not hold", None: "undecided"}


class Row(NamedTuple):
    """One number of a result, or what was predicted beside what was measured; empty where there is none."""

    name: str
    """What it is."""
    predicted: str = ""
    """What was predicted, or expected."""
    measured: str = ""
    """What was measured, or found."""
    value: str = ""
    """The number, where it is neither predicted nor measured alone, or whether a claim holds."""
    interval: str = ""
    """Its interval with the stated coverage."""


def shown(kind: type[_T]) -> type[_T]:
    """Class decorator: the sentence of `str` for `repr`, and an HTML table for notebooks.

    A class without `__str__` of its own gets one that names its fields and their values, arrays by their ends.
    """
    chosen: Any = kind
    if chosen.__str__ is object.__str__:
        chosen.__str__ = summary
    chosen.__repr__ = sentence
    chosen._repr_html_ = as_html
    return kind


def sentence(found: Any) -> str:
    """`<Name: first line of its str>`, more lines where that says little; the name alone where nothing can be said."""
    name, lines = type(found).__name__, _lines(found)
    if not lines:
        return f"<{name}>"
    said = lines[0].strip()
    for line in lines[1:]:
        if len(said) >= _SHORT and not said.endswith(":"):
            break
        said += (" " if said.endswith(":") else "; ") + line.strip()
    return f"<{name}: {_cut(said, _LINE)}>"


def _lines(found: Any) -> list[str]:
    """Lines of its str; none where it is half made or empty: showing is never an error."""
    try:
        return str(found).strip().splitlines()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return []


def summary(found: Any) -> str:
    """Fields and their values in one line, arrays by their size and ends."""
    return ", ".join(f"{name} {_brief(value)}" for name, value in _fields(found) if _tells(value))


def as_html(found: Any) -> str:
    """The sentences of `str`, then the main numbers in a table: predicted, measured, value and interval.

    All text is escaped. Nothing has a colour of its own, so that it reads on light and on dark ground.
    """
    lines = _lines(found)
    more = [f"… and {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []
    name = html.escape(type(found).__name__)
    text = html.escape("\n".join([*lines[:_LINES], *more]))
    parts = [
        '<div class="regimes-result">',
        f'<div style="white-space: pre-wrap"><strong>{name}</strong> {text}</div>',
        _table(rows(found)),
        "</div>",
    ]
    return "".join(parts)


def rows(found: Any) -> list[Row]:
    """The main numbers of a result, a row each: its fields, and those of the comparisons and claims that it holds."""
    made: list[Row] = []
    fields, text = dict(_fields(found)), " ".join(_lines(found))
    own = _judged("", found)
    if own is not None:
        made.append(own)
    for name, value in fields.items():
        if name in _APART or (own is not None and name in _SAID):
            continue
        if isinstance(value, str) and len(value) > _WORD and value in text:
            continue
        other = fields.get(name.replace("predicted", "measured", 1))
        if name.startswith("predicted") and other is not None:
            made.append(Row(_words(name.removeprefix("predicted")) or "both", _brief(value), _brief(other)))
        elif name.startswith("measured") and fields.get(name.replace("measured", "predicted", 1)) is not None:
            continue  # stands beside what was predicted
        else:
            made.extend(_listed(_words(name), value))
    return made


def _listed(name: str, value: Any) -> Iterator[Row]:
    """Rows of one field."""
    if not _tells(value):
        return
    if isinstance(value, Mapping):
        for key, one in value.items():
            if _tells(one) and not isinstance(one, Mapping):
                yield _single(f"{name}: {key}", one)
    elif isinstance(value, list | tuple) and not hasattr(value, "_fields") and any(_of_fields(one) for one in value):
        for place, one in enumerate(value, 1):
            yield _judged(name, one) or _single(f"{name} {place}", one)
    else:
        yield _judged(name, value) or _single(name, value)


def _judged(name: str, value: Any) -> Row | None:
    """The row of a comparison or of a claim; None where the value is neither."""
    if all(hasattr(value, part) for part in ("predicted_exponent", "measured_exponent", "regime")):
        where = str(value.regime).replace("_", "-limited in ")
        ends = _interval(value.measured_exponent)
        return Row(f"exponent, {where}", _number(value.predicted_exponent), _number(value.measured_exponent), "", ends)
    if all(hasattr(value, part) for part in ("what", "expected", "found", "holds")):
        decided = _DECIDED.get(value.holds, "")
        return Row(_cut(str(value.what)), _cut(str(value.expected)), _cut(str(value.found)), decided)
    return None


def _single(name: str, value: Any) -> Row:
    if _is_estimate(value):
        return Row(name, value=_number(value), interval=_interval(value))
    return Row(name, value=_brief(value))


def _table(made: Sequence[Row]) -> str:
    """The rows as HTML, without columns that are empty."""
    if not made:
        return ""
    left_out, made = len(made) - _ROWS, made[:_ROWS]
    columns = [name for name in Row._fields if name == "name" or any(getattr(row, name) for row in made)]
    head = "".join("<td></td>" if name == "name" else f'<th scope="col">{name}</th>' for name in columns)
    body = []
    for row in made:
        cells = [f'<th scope="row" style="text-align: left">{html.escape(row.name)}</th>']
        cells += [f'<td style="text-align: left">{html.escape(getattr(row, name))}</td>' for name in columns[1:]]
        body.append(f"<tr>{''.join(cells)}</tr>")
    rest = f'<tr><td colspan="{len(columns)}">… and {left_out} more</td></tr>' if left_out > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}{rest}</tbody></table>"


def _fields(found: Any) -> Iterator[tuple[str, Any]]:
    """Public fields of a NamedTuple or of a dataclass."""
    names: Any = getattr(found, "_fields", None) or getattr(found, "__dataclass_fields__", ())
    for name in names:
        if not name.startswith("_") and hasattr(found, name):
            yield name, getattr(found, name)


def _of_fields(value: Any) -> bool:
    return hasattr(value, "_fields") or hasattr(value, "__dataclass_fields__")


def _is_estimate(value: Any) -> bool:
    return all(hasattr(value, part) for part in ("value", "low", "high", "level", "window"))


def _tells(value: Any) -> bool:
    """Whether there is something to show."""
    if value is None or (callable(value) and not _of_fields(value)):
        return False
    return not (isinstance(value, str | bytes | Mapping | list | tuple) and len(value) == 0)


def _brief(value: Any) -> str:
    """A value in a few words."""
    if _is_estimate(value):
        return _number(value) + (f" [{_float(value.low)}, {_float(value.high)}]" if value.low < value.high else "")
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return str(value)
    if isinstance(value, numbers.Real) or (hasattr(value, "ndim") and value.ndim == 0):
        return _float(value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        size = " by ".join(str(length) for length in value.shape)
        if value.size == 0 or value.dtype.kind not in "iuf":
            return f"({size} values)"
        return f"{_float(value.flat[0])} to {_float(value.flat[-1])} ({size} numbers)"
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        if len(value) <= _FEW:
            return _cut(", ".join(_brief(one) for one in value)) or "none"
        return f"{_brief(value[0])} to {_brief(value[-1])} ({len(value)} values)"
    if isinstance(value, Mapping):
        return _cut(", ".join(f"{key} {_brief(one)}" for key, one in value.items()))
    try:
        lines = str(value).strip().splitlines() or [""]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return type(value).__name__
    return _cut(lines[0])


def _number(estimate: Any) -> str:
    return _float(estimate.value) if math.isfinite(estimate.value) else "undetermined"


def _interval(estimate: Any) -> str:
    """The ends with the stated coverage; "exact" where they are the value itself."""
    if not math.isfinite(estimate.value):
        return ""
    if estimate.low == estimate.value == estimate.high:
        return "exact"
    return f"{_float(estimate.low)} to {_float(estimate.high)} ({estimate.level:.0%})"


def _float(value: Any) -> str:
    return f"{value:.4g}"


def _words(name: str) -> str:
    return name.replace("_", " ").strip()


def _cut(text: str, length: int = _TEXT) -> str:
    """The beginning of a text, ended at a sentence if one ends in it, else at a word."""
    text = " ".join(text.split())
    if len(text) <= length:
        return text
    begun = text[: length - 1]
    whole, stop, _ = begun.rpartition(". ")
    return f"{whole}. …" if stop else f"{(begun.rpartition(' ')[0] or begun).rstrip(',;: ')}…"
