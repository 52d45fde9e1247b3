"""Functional forms of the loss against data, size, time and density: what one fits, inverts and compares.

    law = laws.HESTNESS                       # or laws.get("hestness")
    law({"a": 2.0, "b": 0.3, "c": 0.1}, n=[100, 1000])
    law.inverse([2.0, 0.3, 0.1], target=0.2, along="n")

`names` lists them, `get` finds one by name, `register` adds one's own. What a law can do is in [law][regimes.law].
"""

import difflib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from regimes.curve_laws import HESTNESS, HESTNESS_REGIONS, M1, M2, M3, M4, MODEL_GROWTH, POWER, broken, scale_time
from regimes.flow_law import UNIFIED
from regimes.law import Law, Parameter, larger, log_sum, logarithm, magnitude, powers, smaller
from regimes.surface_laws import (
    CHINCHILLA,
    FOUR_REGIMES,
    KAPLAN,
    MULTIPLICATIVE,
    PRUNING,
    PRUNING_SINGLE,
    RESOLUTION_LIMITED,
    ROSENFELD,
    ROSENFELD_LANGUAGE,
    VARIANCE_LIMITED,
)
from regimes.theory_law import theory

__all__ = [
    "CHINCHILLA",
    "FOUR_REGIMES",
    "HESTNESS",
    "HESTNESS_REGIONS",
    "KAPLAN",
    "M1",
    "M2",
    "M3",
    "M4",
    "MODEL_GROWTH",
    "MULTIPLICATIVE",
    "POWER",
    "PRUNING",
    "PRUNING_SINGLE",
    "RESOLUTION_LIMITED",
    "ROSENFELD",
    "ROSENFELD_LANGUAGE",
    "UNIFIED",
    "VARIANCE_LIMITED",
    "Law",
    "Parameter",
    "broken",
    "get",
    "larger",
    "log_sum",
    "logarithm",
    "magnitude",
    "names",
    "powers",
    "register",
    "scale_time",
    "smaller",
    "theory",
]

_KNOWN: dict[str, Law | Callable[..., Law]] = {
    law.name: law
    for law in (
        POWER,
        HESTNESS,
        HESTNESS_REGIONS,
        MODEL_GROWTH,
        M1,
        M2,
        M3,
        M4,
        ROSENFELD,
        ROSENFELD_LANGUAGE,
        PRUNING,
        PRUNING_SINGLE,
        VARIANCE_LIMITED,
        RESOLUTION_LIMITED,
        FOUR_REGIMES,
        KAPLAN,
        CHINCHILLA,
        MULTIPLICATIVE,
        UNIFIED,
        theory("n"),
        theory("k"),
    )
}
_KNOWN |= {"broken": broken, "scale-time": scale_time, "theory": theory}


def names() -> tuple[str, ...]:
    """Names of all laws known, in order of registration."""
    return tuple(_KNOWN)


def get(name: str, *, along: str | Sequence[str] | None = None, **options: Any) -> Law:
    """A law by its name.

    Args:
        name: one of `names()`; case, blanks and underscores do not matter.
        along: other names for its scales, in order; a plain word for a law of one scale.
        options: those of the law's constructor, such as `breaks` of "broken".

    Raises:
        ValueError: an unknown name or option.
    """
    known = {_plain(word): word for word in _KNOWN}
    if _plain(name) not in known:
        near = difflib.get_close_matches(_plain(name), list(known), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(known[word] for word in near)}?" if near else f"known: {', '.join(_KNOWN)}."
        raise ValueError(f"`name` must be a law, got {name!r}; {hint}")
    found = _KNOWN[known[_plain(name)]]
    accepted = () if isinstance(found, Law) else tuple(inspect.signature(found).parameters)
    unknown = [word for word in options if word not in accepted]
    if unknown:
        has = f"the options {', '.join(accepted)}" if accepted else "no options"
        raise ValueError(f"{name} has {has}, got {', '.join(unknown)}.")
    law = found if isinstance(found, Law) else found(**options)
    return law if along is None else law.rename(along)


def register(law: Law) -> Law:
    """Make a law known to `get`, the fitter and the command line by its name; returns it.

    Raises:
        ValueError: the name is taken.
    """
    if _plain(law.name) in {_plain(word) for word in _KNOWN}:
        raise ValueError(f"`law` has the name {law.name!r}, which is taken; known: {', '.join(_KNOWN)}.")
    _KNOWN[law.name] = law
    return law


def _plain(word: str) -> str:
    return word.strip().lower().replace("_", "-").replace(" ", "-")
