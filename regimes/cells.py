"""Cells of a sweep: experiments by name, one set of arguments of one, its identity and its seed.

An experiment is a function of plain arguments that returns numbers, words and arrays by name. A cell is one set of
its arguments. Which cell it is, and what is random in it, follows from these arguments alone and not from the grid,
the order or the machine that it is part of, so that a sweep can be reordered, split and extended:

    >>> from regimes import cells
    >>> def mean_of_squares(n: int, scale: float = 1.0, *, seed: int) -> dict[str, float]:
    ...     import numpy as np
    ...     return {"loss": float(np.mean((scale * np.random.default_rng(seed).standard_normal(n)) ** 2))}
    >>> experiment = cells.Experiment("mean-of-squares", mean_of_squares, version=1)
    >>> cell = experiment.cell({"n": 64})
    >>> cell.arguments, cell.digest == experiment.cell({"scale": 1, "n": 64.0}).digest
    ({'n': 64, 'scale': 1.0}, True)
    >>> cell.seed(0) != cell.seed(1)
    True
"""

import dataclasses
import difflib
import functools
import hashlib
import inspect
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from regimes import _checks

PLAIN = (bool, int, float, str, type(None))
"""Types that an argument may have, alone, in a union or in a list."""
SEED = "seed"
"""The argument that every experiment takes and no cell names: it comes from the cell."""
_REQUIRED = inspect.Parameter.empty


@dataclasses.dataclass(frozen=True)
class Cell:
    """One set of arguments of one experiment."""

    digest: str
    """Its identity: SHA-256 of the experiment's name and version and of all arguments, in hexadecimal."""
    arguments: Mapping[str, Any]
    """All arguments, those left at their defaults included."""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Absolute paths of the files that arguments name."""

    def seed(self, sweep: int) -> int:
        """The seed of all that is random in this cell: 63 bits of SHA-256(sweep, digest).

        Args:
            sweep: the seed of the whole sweep.
        """
        return int.from_bytes(hashlib.sha256(f"{sweep}:{self.digest}".encode()).digest()[:8], "big") >> 1

    def __str__(self) -> str:
        return ", ".join(f"{name} = {value}" for name, value in self.arguments.items())


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What the cells of a sweep compute.

    Its function takes plain arguments (numbers, words, truth values, None, lists of these) and a `seed`, and returns
    numbers, words and arrays by name. Annotations say what an argument is: 1 stands for 1.0 where a float is asked
    for, and 1e3 for 1000 where a whole number is. It must be a function of a module, so that other processes find it.
    """

    name: str
    """What it is called in sweep files and stores."""
    function: Callable[..., Mapping[str, Any]]
    """Called with the arguments of a cell and its `seed`, all by name."""
    version: int
    """To be raised when the function would give other results: stores of another version are refused."""
    files: tuple[str, ...] = ()
    """Arguments that may name a file, whose content then stands for its name in the cell's identity."""
    named: Callable[[str], bool] | None = None
    """Whether a value of these arguments is not a file after all but, say, built-in data; default never."""
    check: Callable[[Mapping[str, Any]], None] | None = None
    """Raises ValueError for arguments that cannot work, before anything runs."""
    cost: Callable[[Mapping[str, Any]], float] | None = None
    """Time of a cell up to a factor, such as n^3; default the same for all."""
    memory: Callable[[Mapping[str, Any]], float] | None = None
    """Bytes that a cell takes; default not known before one has run."""

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise ValueError(f"`name` must be a word, got {self.name!r}.")
        _checks.count("version", self.version)
        if SEED not in inspect.signature(self.function).parameters:
            raise ValueError(
                f"`function` of {self.name} must take a `seed`, from which comes all that is random in it."
            )
        for name in self.files:
            if name not in self.parameters:
                raise ValueError(f"`files` names {name!r}, which is no argument of {self.name}.")

    @functools.cached_property
    def parameters(self) -> Mapping[str, tuple[Any, Any]]:
        """Arguments by name: what they are annotated as, and their default (`inspect.Parameter.empty` if none)."""
        hints = typing.get_type_hints(self.function)
        found = {}
        for name, parameter in inspect.signature(self.function).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
                raise ValueError(f"`function` of {self.name} must name its arguments, not take {parameter}.")
            if name != SEED:
                found[name] = (hints.get(name, Any), parameter.default)
        return found

    def __str__(self) -> str:
        return f"{self.name}, version {self.version}: {(inspect.getdoc(self.function) or '').partition(chr(10))[0]}"

    def cell(self, arguments: Mapping[str, Any], *, folder: Any = None, allow_outside: bool = True) -> Cell:
        """The cell of these arguments.

        Args:
            arguments: values by name; those with a default may be left out.
            folder: where files that arguments name are; default the current one.
            allow_outside: whether such a file may lie outside this folder.

        Raises:
            ValueError: an unknown or a missing argument, a value of another type, NaN, a file that is not there.
        """
        self.refuse_unknown(arguments)
        chosen = {}
        for name, (_, default) in self.parameters.items():
            if name not in arguments and default is _REQUIRED:
                raise ValueError(f"`{name}` must be given for {self.name}.")
            value = self.plain(name, arguments.get(name, default))
            chosen[name] = value, *self.fragment(name, value, folder=folder, allow_outside=allow_outside)
        return self.assembled(chosen)

    def assembled(self, chosen: Mapping[str, tuple[Any, str, str | None]]) -> Cell:
        """The cell of all arguments as (value, its part of the identity, the file that it names).

        Raises:
            ValueError: arguments that the experiment's own check refuses.
        """
        arguments = {name: chosen[name][0] for name in self.parameters}
        if self.check is not None:
            try:
                self.check(arguments)
            except ValueError as error:
                raise ValueError(f"{self.name}: {error} It is the cell {Cell('', arguments)}.") from None
        begin, keys, end = self._canonical
        text = begin + ",".join([key + chosen[name][1] for name, key in keys]) + end
        paths = {name: file for name in self.files if (file := chosen[name][2]) is not None}
        return Cell(hashlib.sha256(text.encode()).hexdigest(), arguments, paths)

    @functools.cached_property
    def _canonical(self) -> tuple[str, list[tuple[str, str]], str]:
        """The identity around the values: canonical JSON, keys in order and no spaces."""
        keys = [(name, json.dumps(name) + ":") for name in sorted(self.parameters)]
        return '{"arguments":{', keys, f'}},"experiment":{json.dumps(self.name)},"version":{self.version}}}'

    def refuse_unknown(self, names: Iterable[str], where: str = "") -> None:
        """ValueError for names that are no arguments, with those that come near.

        Args:
            names: what was given.
            where: the place, for the message.
        """
        for name in names:
            if name == SEED:
                raise ValueError(
                    "`seed` is no argument of a cell, whose seed comes from its other arguments; set the seed of the "
                    "sweep, or repeat cells by an argument that counts them."
                )
            if name not in self.parameters:
                raise ValueError(f"{where}{unknown(name, self.parameters, f'argument of {self.name}')}")

    def plain(self, name: str, value: Any) -> Any:
        """`value` as the type that the argument `name` is annotated with.

        Raises:
            ValueError: another type, NaN.
        """
        return _plain(name, value, self.parameters[name][0])

    def fragment(
        self, name: str, value: Any, *, folder: Any = None, allow_outside: bool = True
    ) -> tuple[str, str | None]:
        """How a value appears in the identity of a cell, and the absolute path of the file that it names.

        Args:
            name: the argument.
            value: its value.
            folder: as in [cell][regimes.cells.Experiment.cell].
            allow_outside: as there.

        Raises:
            ValueError: a file that is not there, or outside the folder.
        """
        if name not in self.files or value is None or (self.named is not None and self.named(value)):
            return encoded(value), None
        path = _inside(name, value, Path.cwd() if folder is None else Path(folder), allow_outside)
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        return encoded({"sha256": content}), str(path)


def encoded(value: Any, *, ordered: bool = True) -> str:
    """JSON of plain values, the same text for the same value always; infinities and NaN as {"float": "inf"}.

    Args:
        value: numbers, words, truth values, None, lists and mappings of these.
        ordered: whether names come in the order of the alphabet, not in their own.
    """
    return json.dumps(_json(value), sort_keys=ordered, separators=(",", ":"), allow_nan=False)


def decoded(text: str) -> Any:
    """What `encoded` has written.

    Raises:
        ValueError: text that is not JSON.
    """
    return json.loads(text, object_hook=lambda found: float(found["float"]) if set(found) == {"float"} else found)


# The registry

_EXPERIMENTS: dict[str, Experiment] = {}


def register(experiment: Experiment) -> Experiment:
    """Make an experiment known by its name; the same name again takes the place of the one before.

    Args:
        experiment: its function must be one of a module, found there by other processes.

    Raises:
        ValueError: a function inside of another.
    """
    if "<" in getattr(experiment.function, "__qualname__", "<"):
        raise ValueError(
            f"`function` of {experiment.name} must be defined at the top of a module, where other processes find it."
        )
    _EXPERIMENTS[experiment.name] = experiment
    return experiment


def names() -> tuple[str, ...]:
    """Names of the experiments that are known."""
    return tuple(sorted(_EXPERIMENTS))


def get(name: str) -> Experiment:
    """The experiment of that name.

    Args:
        name: one of [names][regimes.cells.names].

    Raises:
        ValueError: an unknown name.
    """
    if not isinstance(name, str) or name not in _EXPERIMENTS:
        raise ValueError(unknown(name, names(), "experiment"))
    return _EXPERIMENTS[name]


def unknown(name: Any, known: Iterable[str], what: str) -> str:
    """The sentence that refuses a name, with those near to it.

    Args:
        name: what came.
        known: what would do.
        what: what it should have been.
    """
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=3) or [one for one in known if str(name) and str(name) in one]
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known) or 'none'}."
    return f"{name!r} is no {what}; {hint}"


def _plain(name: str, value: Any, kind: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    if kind is Any or kind is _REQUIRED:
        return _finite_or_infinite(name, value)
    options = (
        typing.get_args(kind)
        if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union
        else (kind,)
    )
    for option in options:  # exact types first
        if typing.get_origin(option) in (list, tuple) or option in (list, tuple):
            if isinstance(value, list | tuple):
                inner = (*typing.get_args(option), Any)[0]
                return [_plain(name, item, inner) for item in value]
        elif type(value) is option:
            return _finite_or_infinite(name, value)
    if float in options and type(value) is int:
        return float(value)
    if int in options and type(value) is float and value.is_integer():
        return int(value)
    wanted = {bool: "true or false", int: "a whole number", float: "a number", str: "a word", type(None): "null"}
    said = " or ".join(wanted.get(option, "a list") for option in options if option is not type(None))
    raise ValueError(f"`{name}` must be {said}, got {value!r}.")


def _finite_or_infinite(name: str, value: Any) -> Any:
    """`value`, which must be plain; NaN is no argument, and there is but one zero."""
    if isinstance(value, list | tuple):
        return [_finite_or_infinite(name, item) for item in value]
    if not isinstance(value, PLAIN):
        raise ValueError(f"`{name}` must be a number, a word or a list of these, got {type(value).__name__}.")
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError(f"`{name}` must be a number, got NaN.")
        return value + 0.0
    return value


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    return value


def _inside(name: str, value: Any, folder: Path, allow_outside: bool) -> Path:
    """The file that a value names, links followed."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"`{name}` must be the path of a file, got {value!r}.")
    path = (folder / Path(value).expanduser()).resolve()
    if not allow_outside and not path.is_relative_to(folder.resolve()):
        raise ValueError(
            f"`{name}`: {value!r} lies outside the folder of the sweep file; move it there, or allow it with "
            "--allow-outside."
        )
    if not path.is_file():
        raise ValueError(f"`{name}`: there is no file {value!r}.")
    return path
