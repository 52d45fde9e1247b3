"""The one door to neural-tangents on current JAX.

neural-tangents 0.6.5, its newest release, imports as published only on JAX 0.4.16 to 0.5.x, and
importing it loads TensorFlow for an experimental sub-package. Its analytic kernels, batching,
empirical kernels and predictions need neither. `load` imports it once, at first use:

- names that left `jax.core`, `jax.util` and `jax.interpreters.ad` are put in place while
  neural-tangents is being imported and taken away again, so that JAX's namespaces and the
  warning filters are afterwards what they were;
- what neural-tangents looks up later, while it runs, is given to its own modules;
- `neural_tangents.experimental` is registered as an empty module, so TensorFlow is not imported.

Not available: `NtkImplementation.STRUCTURED_DERIVATIVES` and `NtkImplementation.AUTO`, which fail, as published too,
on every JAX tested here.
"""

import contextlib
import importlib
import math
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

TESTED_JAX = ("0.5.3", "0.10.2")
"""Oldest and newest JAX on which the numbers of `tests/test_tangents.py` agree."""

_ABSENT = object()
_lock = threading.Lock()


def load() -> Any:
    """Return the `neural_tangents` module, imported on whatever JAX is installed.

    Raises:
        ImportError: if neural-tangents cannot be opened on this JAX; the message names the
            versions found and those tested.
    """
    with _lock:
        module = sys.modules.get("neural_tangents")
        return module if hasattr(module, "stax") else _open()


def _open() -> Any:
    import jax

    before = set(sys.modules)
    stand_in = types.ModuleType("neural_tangents.experimental", "Left out by regimes: it imports TensorFlow.")
    try:
        with warnings.catch_warnings(action="ignore"), _moved_names():
            sys.modules[stand_in.__name__] = stand_in
            module = importlib.import_module("neural_tangents")
        _serve_late_lookups()
    except Exception as error:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "neural_tangents":
                del sys.modules[name]
        raise ImportError(
            f"neural-tangents could not be opened on JAX {jax.__version__} ({type(error).__name__}: {error}). "
            f"regimes is tested with neural-tangents 0.6.5 on JAX {TESTED_JAX[0]} to {TESTED_JAX[1]}: "
            "install one of these."
        ) from error
    return module


@contextlib.contextmanager
def _moved_names() -> Iterator[None]:
    """Give JAX the names that neural-tangents imports and this JAX lacks, for the time of the import."""
    import jax.core
    import jax.extend.core
    import jax.interpreters.ad

    moved = ("ClosedJaxpr", "Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var", "jaxpr_as_fun")
    wanted: list[tuple[types.ModuleType, str, Callable[[], Any]]] = [
        *((jax.core, name, lambda name=name: getattr(jax.extend.core, name)) for name in moved),
        (jax.core, "Value", lambda: Any),
        # Only a key in the rule tables of structured derivatives.
        (jax.interpreters.ad, "zeros_like_p", lambda: jax.extend.core.Primitive("zeros_like")),
    ]
    added: list[tuple[types.ModuleType, str]] = []
    util = types.ModuleType("jax.util")
    vars(util).update(safe_map=_safe_map, safe_zip=_safe_zip)
    borrowed_util = not _importable("jax.util")
    try:
        for module, name, make in wanted:
            if getattr(module, name, _ABSENT) is _ABSENT:
                setattr(module, name, make())
                added.append((module, name))
        if borrowed_util:
            sys.modules["jax.util"] = util
        yield
    finally:
        for module, name in added:
            delattr(module, name)
        if borrowed_util:
            sys.modules.pop("jax.util", None)  # absent when one of the names above could not be made


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _safe_map(function: Callable[..., Any], *sequences: Any) -> list[Any]:
    return [function(*items) for items in _safe_zip(*sequences)]


def _safe_zip(*sequences: Any) -> list[tuple[Any, ...]]:
    return list(zip(*sequences, strict=True))


def _serve_late_lookups() -> None:
    """Give neural-tangents' own modules what they call, while they run, under names that have changed since."""
    import jax.numpy as jnp
    import scipy.linalg

    class Numpy(types.ModuleType):
        """`jax.numpy`, whose `shape` and `size` still take a shape without data, as `empirical_ntk_fn` asks of them."""

        def __getattr__(self, name: str) -> Any:
            return getattr(jnp, name)

        @staticmethod
        def shape(a: Any) -> tuple[int, ...]:
            return tuple(getattr(a, "shape", ()))

        @staticmethod
        def size(a: Any) -> int:
            return math.prod(getattr(a, "shape", ()))

    empirical: Any = importlib.import_module("neural_tangents._src.empirical")
    empirical.jnp = Numpy("jax.numpy")

    def eigvalsh(a: Any, eigvals: tuple[int, int]) -> Any:  # SciPy renamed the argument
        return scipy.linalg.eigvalsh(a, subset_by_index=eigvals)

    predict: Any = importlib.import_module("neural_tangents._src.predict")
    predict.sp = types.SimpleNamespace(linalg=types.SimpleNamespace(eigvalsh=eigvalsh))
