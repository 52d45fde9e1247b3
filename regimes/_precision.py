"""float64 inside, the caller's JAX flags untouched."""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Run the enclosed JAX code in float64, whatever `jax_enable_x64` says outside.

    The setting is local to the thread and is undone on exit, also after an exception.
    """
    import jax

    # JAX before 0.8 keeps it in jax.experimental.
    home: Any = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")
    with home.enable_x64(True):
        yield
