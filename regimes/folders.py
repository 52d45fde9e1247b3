"""A folder of results: every file whole or not there, and settings that another program can read."""

import importlib.metadata
import json
import math
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_VERSIONS = (
    "regimes",
    "jax",
    "jaxlib",
    "neural-tangents",
    "optax",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "matplotlib",
)


def write(folder: Path, writers: Mapping[str, Callable[[Path], Any]]) -> list[Path]:
    """Write files to a folder, none of them ever half written.

    All are written under temporary names first and then renamed: where one of them fails, the folder keeps what it had.

    Args:
        folder: made if it is not there.
        writers: by name of the file, what writes it to the path that it is given.

    Returns:
        The paths, in the order of the writers.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = {name: folder / f".{name}.partial" for name in writers}
    try:
        for name, save in writers.items():
            save(temporary[name])
        return [path.replace(folder / name) for name, path in temporary.items()]
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write settings or results as JSON: no NaN, no infinity, which JSON does not know, but null."""
    path.write_text(json.dumps(_plain(value), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that its numbers depend on."""
    return {name: importlib.metadata.version(name) for name in _VERSIONS} | {"python": platform.python_version()}


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # arrays and numbers of NumPy
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
