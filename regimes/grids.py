"""Grids of cells: all combinations of some values, from Python or from a sweep file.

A sweep file is TOML. Every value of `[grid]` is combined with every other; `[fixed]` holds for all cells; each
`[[cells]]` adds one cell of its own:

    [experiment]
    name = "kernel-loss"
    seed = 0                      # of the whole sweep

    [fixed]
    task = "sphere"
    tests = 200

    [grid]
    kernel = ["ntk", "laplace"]
    n = [64, 128, 256]

    [[cells]]
    kernel = "gaussian"
    n = 512
"""

import dataclasses
import inspect
import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regimes import _checks, cells, display
from regimes.cells import Cell, Experiment

LARGEST = 10_000_000
"""Cells that a grid may have."""
_TABLES = ("experiment", "fixed", "grid", "cells")
_SETTINGS = ("name", "version", "seed", "store")


@display.shown
@dataclasses.dataclass(frozen=True)
class Sweep:
    """An experiment and the cells to compute."""

    experiment: Experiment
    """What is computed."""
    cells: tuple[Cell, ...]
    """Each once, in the order of the grid."""
    seed: int = 0
    """From it and from the cell's identity comes the seed of each cell."""
    duplicates: int = 0
    """Cells that came more than once and were left out."""
    store: Path | None = None
    """The store that the sweep file names: by default the file's own name, ending in .sqlite."""

    def __len__(self) -> int:
        return len(self.cells)

    def __str__(self) -> str:
        again = f" ({self.duplicates} named twice and left out)" if self.duplicates else ""
        return f"{len(self)} cell{'s' * (len(self) != 1)} of {self.experiment.name}{again}, seed {self.seed}"


def grid(
    experiment: Any,
    grid: Mapping[str, Sequence[Any]] | None = None,
    *,
    fixed: Mapping[str, Any] | None = None,
    cells: Sequence[Mapping[str, Any]] = (),
    seed: int = 0,
    folder: Any = None,
    allow_outside: bool = True,
) -> Sweep:
    """All combinations of the values of a grid, and single cells.

    Args:
        experiment: an [Experiment][regimes.cells.Experiment] or the name of one.
        grid: lists of values by argument.
        fixed: values that all cells share.
        cells: arguments of further cells, on top of `fixed`.
        seed: seed of the sweep.
        folder: where files that arguments name are; default the current one.
        allow_outside: whether they may lie outside of it.

    Raises:
        ValueError: an unknown experiment or argument, an argument that is both fixed and varied, an empty list, no
            cell at all, and what [cell][regimes.cells.Experiment.cell] refuses.
    """
    known = _experiment(experiment)
    axes, fixed = dict(grid or {}), dict(fixed or {})
    seed = _checks.count("seed", seed, low=0)
    known.refuse_unknown(axes, "in `grid`: ")
    known.refuse_unknown(fixed, "in `fixed`: ")
    for name in axes:
        if name in fixed:
            raise ValueError(f"`{name}` is in `grid` and in `fixed`; leave it in one of them.")
        if isinstance(axes[name], str) or not isinstance(axes[name], Sequence):
            raise ValueError(
                f"`{name}` in `grid` must be a list of values, got {axes[name]!r}; one value goes to `fixed`."
            )
        if not axes[name]:
            raise ValueError(f"`{name}` in `grid` is an empty list, so there would be no cell.")
    product = math.prod(len(values) for values in axes.values()) if axes or not cells else 0
    if product + len(cells) > LARGEST:
        raise ValueError(f"the grid has {product + len(cells):,} cells; the most is {LARGEST:,}. Split it.")

    def chosen(name: str, value: Any) -> tuple[Any, str, str | None]:
        plain = known.plain(name, value)
        return plain, *known.fragment(name, plain, folder=folder, allow_outside=allow_outside)

    defaults = {
        name: chosen(name, default)
        for name, (_, default) in known.parameters.items()
        if default is not inspect.Parameter.empty and name not in fixed and name not in axes
    }
    common = defaults | {name: chosen(name, value) for name, value in fixed.items()}
    every: dict[str, Cell] = {}
    if product:
        missing = [name for name in known.parameters if name not in common and name not in axes]
        if missing:
            raise ValueError(f"`{missing[0]}` must be given for {known.name}, in `fixed` or in `grid`.")
        varied = [[chosen(name, value) for value in values] for name, values in axes.items()]
        for values in itertools.product(*varied):
            cell = known.assembled(common | dict(zip(axes, values, strict=True)))
            every[cell.digest] = cell
    for own in cells:
        if not isinstance(own, Mapping):
            raise ValueError(f"`cells` must hold arguments by name, got {own!r}.")
        known.refuse_unknown(own, "in `cells`: ")
        one = known.cell({**fixed, **own}, folder=folder, allow_outside=allow_outside)
        every[one.digest] = one
    return Sweep(known, tuple(every.values()), seed, product + len(cells) - len(every))


def read(path: Any, *, allow_outside: bool = False) -> Sweep:
    """The sweep of a file.

    Args:
        path: a `.toml` file, see the head of this module.
        allow_outside: whether files that it names may lie outside its folder.

    Raises:
        ValueError: no such file, not TOML, an unknown key, and what [grid][regimes.grids.grid] refuses.
    """
    path = Path(path)
    if path.suffix != ".toml":
        raise ValueError(f"a sweep file must end in .toml, got {str(path)!r}.")
    if not path.is_file():
        raise ValueError(f"there is no sweep file {str(path)!r}.")
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{str(path)!r} is not TOML: {error}.") from None
    try:
        return _from_tables(found, path, allow_outside)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _from_tables(found: Mapping[str, Any], path: Path, allow_outside: bool) -> Sweep:
    for key in found:
        if key not in _TABLES:
            raise ValueError(cells.unknown(key, _TABLES, "table of a sweep file"))
    settings = found.get("experiment")
    if not isinstance(settings, Mapping) or "name" not in settings:
        raise ValueError(f"`[experiment]` must have a `name`; there are {', '.join(cells.names())}.")
    for key in settings:
        if key not in _SETTINGS:
            raise ValueError("in `[experiment]`: " + cells.unknown(key, _SETTINGS, "setting"))
    for table, kind in (("fixed", Mapping), ("grid", Mapping), ("cells", list)):
        if not isinstance(found.get(table, kind() if kind is list else {}), kind):
            raise ValueError(f"`{table}` must be written as {'[[cells]]' if kind is list else f'[{table}]'}.")
    experiment = cells.get(settings["name"])
    version = settings.get("version", experiment.version)
    if version != experiment.version:
        raise ValueError(
            f"the file is for version {version} of {experiment.name}, whose version is now {experiment.version}: "
            "results differ. Change the number and name another store."
        )
    store = path.with_suffix(".sqlite")
    if "store" in settings:
        if not isinstance(settings["store"], str) or not settings["store"]:
            raise ValueError(f"`store` must be the path of a file, got {settings['store']!r}.")
        store = path.parent / Path(settings["store"]).expanduser()
        if not allow_outside and not store.resolve().is_relative_to(path.parent.resolve()):
            raise ValueError(
                f"`store`: {settings['store']!r} lies outside the folder of the sweep file; allow it with "
                "--allow-outside."
            )
    made = grid(
        experiment,
        found.get("grid"),
        fixed=found.get("fixed"),
        cells=found.get("cells", ()),
        seed=settings.get("seed", 0),
        folder=path.parent,
        allow_outside=allow_outside,
    )
    return dataclasses.replace(made, store=store)


def _experiment(experiment: Any) -> Experiment:
    return experiment if isinstance(experiment, Experiment) else cells.get(experiment)
