"""Files that a user lays on top of a picture of the theory: a spectrum, or measured losses."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from regimes import curves, files, inputs, spectra
from regimes.results import LearningCurve, LossSurface
from regimes.spectrum import Spectrum

Array = np.ndarray
_LEVELS = ("eigenvalue", "eigenvalues", "power", "multiplicity", "multiplicities", "tail", "tail_power", "noise")


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
    noise: float | None = None
    """Variance of the label noise that belongs to the spectrum; None where the file does not say."""

    def along(self, axis: str, n: float, k: float) -> list[LearningCurve]:
        """The measured curve along an axis that is nearest to the chosen point, if there is one.

        Near is what is held: k for a curve along n, n for one along k, both for one in time. Curves that do not tell it
        come last, in the order of the table.
        """
        found = []
        for line in self.lines:
            if isinstance(line, LearningCurve):
                found += [line] if line.along == axis else []
            elif axis == "n":
                found.append(line.along_n(int(np.abs(np.log(line.k / k)).argmin())))
            elif axis == "k":
                found.append(line.along_k(int(np.abs(np.log(line.n / n)).argmin())))

        def distance(line: LearningCurve) -> float:
            held = [(line.fixed.get(name, math.nan), size) for name, size in (("n", n), ("k", k)) if name != axis]
            told = [abs(math.log(value / size)) for value, size in held if math.isfinite(value) and value > 0]
            return sum(told) if told else math.inf

        return sorted(found, key=distance)[:1]


def read(
    source: str | Path,
    *,
    x: str | None = None,
    y: str | None = None,
    by: str | None = None,
    stderr: str | None = None,
) -> Loaded:
    """A file to draw on top: a spectrum, or measured losses.

    Args:
        source: a `.npy`, `.npz`, `.csv` or `.parquet` file. One with eigenvalues (an array, or a column of that name,
            such as spectrum.csv of `regimes predict`; also power, multiplicity, tail and tail_power) is a spectrum,
            without power that of the kernel's own prior; a table without them is one of losses.
        x: column of the scale, as [curves.read][regimes.curves.read] takes it.
        y: column of the losses.
        by: columns that tell curves apart.
        stderr: column of standard errors.

    Raises:
        ValueError: a file that is missing, empty or neither of the two; losses along something else than n, k or time.
    """
    path = Path(source).expanduser()
    columns = {"x": x, "y": y, "by": by, "stderr": stderr}
    table = path.suffix in (".csv", ".parquet") or path.name.endswith(".csv.gz")
    found = files.read_file(path, argument="source")
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
    return Loaded(path.name, _spectrum(path.name, values, named), (), (), _noise(path, named))


def held(line: LearningCurve) -> str:
    """What was held along a measured curve."""
    fixed = {name: line.fixed[name] for name in ("n", "k") if name != line.along and name in line.fixed}
    return ", ".join(f"{name} = {value:g}" for name, value in fixed.items() if math.isfinite(value))


def named(line: LearningCurve) -> str:
    """A measured curve by its name and by what was held."""
    fixed = held(line)
    name = "" if fixed.endswith(f"= {line.source}") else line.source  # a curve that is called by what is held
    return ", ".join(text for text in (name, fixed) if text) or "losses"


def places(loaded: Loaded | None) -> list[tuple[float, float]]:
    """Where a table's losses were measured, as far as both n and k are known."""
    found = []
    for line in () if loaded is None else loaded.lines:
        if isinstance(line, LearningCurve):
            other = {"n": "k", "k": "n"}.get(line.along, "")
            if other in line.fixed:
                pairs = ((float(at), line.fixed[other]) for at in line.at)
                found += [pair if line.along == "n" else pair[::-1] for pair in pairs]
        else:
            found += [(float(n), float(k)) for n in line.n for k in line.k]
    return [pair for pair in found if all(map(math.isfinite, pair))][:2000]


def drawn(lines: list[LearningCurve], factor: float) -> dict[str, Any]:
    """Columns of measured losses times a factor, with the ends of their errors."""
    columns: dict[str, list[np.ndarray]] = {"at": [], "loss": [], "low": [], "high": []}
    for line in lines:
        loss = factor * line.loss
        error = np.zeros(len(loss)) if line.stderr is None else np.nan_to_num(factor * line.stderr)
        for name, values in (("at", line.at), ("loss", loss), ("high", loss + error)):
            columns[name].append(values)
        columns["low"].append(np.maximum(loss - error, 0.05 * loss))  # there is no zero on a logarithmic axis
    return {name: np.concatenate(values) if values else [] for name, values in columns.items()}


def _noise(path: Path, named: dict[str, Array]) -> float | None:
    """The noise that the file tells, or that `regimes predict` has written beside its spectrum.csv."""
    told = named.get("noise")
    if told is None and path.name == "spectrum.csv":
        try:
            beside = files.read_file(path.parent / "exponents.csv", argument="source")
            told = np.asarray(beside["value"][(beside["quantity"] == "noise") & (beside["method"] == "forecast")])
        except (ValueError, KeyError, OSError):
            return None  # another file of that name
    if told is None or not np.size(told):
        return None
    try:
        value = float(np.ravel(told)[0])
    except (ValueError, TypeError):
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"`source`: the noise of {path.name} must be a variance, not {np.ravel(told)[0]}.")
    return value


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
        raise ValueError(f"`source`: {name} holds no spectrum: {error}") from None
    return made
