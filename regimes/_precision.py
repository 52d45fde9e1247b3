"""float64 inside, the caller's JAX flags untouched."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Run the enclosed JAX code in float64, whatever `jax_enable_x64` says outside.

    The setting is local to the thread and is undone on exit, also after an exception.
    """
    import jax

    enable = getattr(jax, "enable_x64", None)
    if enable is None:  # JAX before 0.8
        from jax.experimental import enable_x64 as enable
    with enable(True):
        yield
