"""Files that a user lays on top of a picture of the theory: a spectrum, or measured losses."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from regimes import curves, files, inputs, spectra
from regimes.results import LearningCurve, LossSurface
from regimes.spectrum import Spectrum

Array = np.ndarray
_LEVELS = ("eigenvalue", "eigenvalues", "power", "multiplicity", "multiplicities", "tail", "tail_power")


class Loaded(NamedTuple):
    """A user's file, to draw on top."""

    name: str
    """Name of the file."""
    spectrum: Spectrum | None
    """What it holds, if it is a spectrum."""
    lines: tuple[LearningCurve | LossSurface, ...]
    """What it holds, if it is a table of losses."""
    notes: tuple[str, ...]
    """What was left out of the table, and what looks odd."""

    def along(self, axis: str, n: float, k: float) -> list[LearningCurve]:
        """The measured curves along an axis; of a grid the one that is nearest to the chosen point."""
        found = []
        for line in self.lines:
            if isinstance(line, LearningCurve):
                found += [line] if line.along == axis else []
            elif axis == "n":
                found.append(line.along_n(int(np.abs(np.log(line.k / k)).argmin())))
            elif axis == "k":
                found.append(line.along_k(int(np.abs(np.log(line.n / n)).argmin())))
        return found


def read(
    path: str | Path,
    *,
    x: str | None = None,
    y: str | None = None,
    by: str | None = None,
    stderr: str | None = None,
) -> Loaded:
    """A file to draw on top: a spectrum, or measured losses.

    Args:
        path: a `.npy`, `.npz`, `.csv` or `.parquet` file. One with eigenvalues (an array, or a column of that name,
            such as spectrum.csv of `regimes predict`; also power, multiplicity, tail and tail_power) is a spectrum,
            without power that of the kernel's own prior; a table without them is one of losses.
        x: column of the scale, as [curves.read][regimes.curves.read] takes it.
        y: column of the losses.
        by: columns that tell curves apart.
        stderr: column of standard errors.

    Raises:
        ValueError: a file that is missing, empty or neither of the two; losses along something else than n, k or time.
    """
    path = Path(path).expanduser()
    columns = {"x": x, "y": y, "by": by, "stderr": stderr}
    table = path.suffix in (".csv", ".parquet") or path.name.endswith(".csv.gz")
    found = files.read_file(path, argument="file")
    named = {str(name).lower(): np.asarray(found[name]) for name in found if str(name).lower() in _LEVELS}
    values = next((named[name] for name in ("eigenvalues", "eigenvalue") if name in named), None)
    told = any(column is not None for column in columns.values())
    if table and values is None and (told or len(found.columns) > 1):  # one column of numbers is a list of eigenvalues
        made = curves.read(path, **columns)
        lines = tuple(line for each in made for line in each.lines())
        notes = tuple(f"{each.name}: {note}" for each in made for note in each.notes)
        return Loaded(path.name, None, lines, notes)
    for name, column in columns.items():
        if column is not None:
            raise ValueError(f"`{name}` is for a table of losses, but {path.name} holds eigenvalues.")
    if values is None:
        values = inputs.read(path, kind="eigenvalues").array
    return Loaded(path.name, _spectrum(path.name, values, named), (), ())


def _spectrum(name: str, values: Array, named: dict[str, Array]) -> Spectrum:
    """The levels of a file, in any order."""
    power = named.get("power")
    many = next((named[word] for word in ("multiplicity", "multiplicities") if word in named), None)
    rest = {word: float(named[word].ravel()[0]) for word in ("tail", "tail_power") if word in named}
    try:
        if many is None and not rest:
            made = spectra.listed(values, power)
        else:
            many = np.ones(np.shape(values)) if many is None else many
            power = np.asarray(values) * many if power is None else power
            order = np.argsort(-np.asarray(values), kind="stable")
            one, two, three = (np.asarray(each, dtype=np.float64)[order] for each in (values, power, many))
            made = Spectrum(one, two, three, tail=rest.get("tail", 0.0), tail_power=rest.get("tail_power", 0.0))
    except (ValueError, IndexError, TypeError) as error:
        raise ValueError(f"`file`: {name} holds no spectrum: {error}") from None
    return made
