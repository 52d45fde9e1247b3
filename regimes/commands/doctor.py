"""`regimes doctor`: what is installed, on which hardware, and what will not work and why."""

import importlib.metadata
import importlib.util
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console

from regimes.commands import console

EXTRAS = {  # package to import: extra that brings it, what needs it
    "dask": ("scale", "kernels and sweeps on other processes and machines"),
    "distributed": ("scale", "the same"),
    "dask_jobqueue": ("scale", "SLURM and other queues"),
    "skdim": ("dimension", "estimators of intrinsic dimension beyond the two built in"),
}


def doctor() -> None:
    """Look at this installation: versions, devices, precision, memory, and a small computation with each part.

    Ends with status 1 where something that the package cannot do without does not work.
    """
    screen = Console()
    facts = console.table("This machine", ("", ""))
    facts.columns[1].no_wrap = False
    for name, value in _facts():
        facts.add_row(name, value)
    screen.print(facts)
    checks = console.table("What works", ("", "", ""))
    checks.columns[2].no_wrap = False
    failed = []
    for name, probe in (
        ("neural-tangents", _tangents),
        ("float64 in JAX", _float64),
        ("linear algebra", _factor),
        ("finite networks", _networks),
        ("figures", _figure),
        ("tables", _tables),
        ("SQLite", _sqlite),
    ):
        began = time.perf_counter()
        try:
            said = probe()
        except Exception as error:  # what a broken installation raises has no common type
            failed.append(name)
            checks.add_row(name, "[red]broken[/]", f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])
        else:
            checks.add_row(name, "works", f"{said} ({time.perf_counter() - began:.1f} s)")
    for package, (extra, use) in EXTRAS.items():
        if importlib.util.find_spec(package) is None:
            checks.add_row(
                package, "absent", f"{use}; comes with the extra `{extra}`: pip install 'regimes\\[{extra}]'"
            )
        else:
            checks.add_row(package, "there", use)
    screen.print(checks)
    if failed:
        console.say(screen, f"Broken: {', '.join(failed)}.")
        raise typer.Exit(1)


def _facts() -> list[tuple[str, str]]:
    import jax

    names = ("regimes", "jax", "jaxlib", "neural-tangents", "numpy", "scipy", "scikit-learn", "pandas", "matplotlib")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names]
    devices = [f"{device.platform} {device.device_kind}{_device_memory(device)}" for device in jax.devices()]
    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name in os.environ}
    said = ", ".join(f"{name}={value}" for name, value in threads.items()) or "not limited by the environment"
    return [
        ("system", f"{platform.platform()}, Python {sys.version.split()[0]}"),
        ("versions", ", ".join(versions)),
        ("devices of JAX", "; ".join(devices)),
        (
            "default precision of JAX",
            "float64" if jax.config.read("jax_enable_x64") else "float32 (regimes sets its own)",
        ),
        ("processors", f"{len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()}"),
        ("memory", _memory()),
        ("threads of linear algebra", said),
    ]


def _device_memory(device: Any) -> str:
    stats: Callable[[], Any] | None = getattr(device, "memory_stats", None)
    found = stats() if stats is not None else None
    limit = (found or {}).get("bytes_limit")
    return f" with {limit / 2**30:.0f} GiB" if limit else ""


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown"
    largest = int(math.sqrt(size / 4 / 8))
    return f"{size / 2**30:.1f} GiB: a Gram matrix of {largest:,} samples and its factor take half of it"


def _tangents() -> str:
    import numpy as np

    from regimes import _tangents, kernels

    _tangents.load()
    x = np.array([[1.0, 0.0], [0.6, 0.8]])
    found = kernels.fully_connected(1, kind="nngp")(x)[0, 1]
    angle = math.acos(0.6)  # the arc-cosine kernel of degree 1 with K(x, x) = 1, inputs divided by sqrt(2)
    expected = (math.sin(angle) + (math.pi - angle) * 0.6) / math.pi
    if abs(found / expected - 1) > 1e-12:
        raise ArithmeticError(f"the arc-cosine kernel is {found!r}, not {expected!r}")
    low, high = _tangents.TESTED_JAX
    return f"opened; the arc-cosine kernel to {abs(found / expected - 1):.0e}; tested on JAX {low} to {high}"


def _float64() -> str:
    import jax
    import jax.numpy as jnp

    from regimes._precision import float64

    before = jax.config.read("jax_enable_x64")
    with float64():
        size = jnp.ones(3).dtype.itemsize
    if size != 8 or jax.config.read("jax_enable_x64") != before:
        raise ArithmeticError(f"arrays have {size} bytes a number, or the flag of the caller was changed")
    return "set where needed, the caller's setting left as it was"


def _factor() -> str:
    import numpy as np

    from regimes import factor

    gram = 1.0 / (1 + np.abs(np.subtract.outer(np.arange(200.0), np.arange(200.0))))
    lower = factor.cholesky(gram).lower
    error = float(np.abs(lower @ lower.T - gram).max())
    if error > 1e-10:
        raise ArithmeticError(f"a Cholesky factor is off by {error:.1e}")
    return f"a Cholesky factor to {error:.0e}"


def _networks() -> str:
    import numpy as np

    from regimes import kernels, networks, training

    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 3))
    made = networks.network(kernels.fully_connected(1), 16)
    found = training.train(made, x, x[:, :1], test=(x, x[:, :1]), steps=20)
    losses = found.train_loss[0]
    if not losses[-1] < losses[0]:
        raise ArithmeticError(f"the loss of a small network rose from {losses[0]:.3g} to {losses[-1]:.3g}")
    return f"20 steps took a loss from {losses[0]:.2g} to {losses[-1]:.2g}"


def _figure() -> str:
    import io

    import numpy as np

    from regimes import plots
    from regimes.results import LearningCurve

    axes = plots.learning_curves([LearningCurve("n", np.array([1.0, 10.0]), np.array([1.0, 0.1]))], ["a"])
    held = io.BytesIO()
    axes.figure.savefig(held, format="png")
    return f"a PNG of {held.tell() // 1000} kB"


def _tables() -> str:
    import io

    import pandas as pd

    frame = pd.DataFrame({"n": [1.0, 2.0]})
    held = io.BytesIO()
    frame.to_parquet(held)
    held.seek(0)
    if not pd.read_parquet(held).equals(frame):
        raise ArithmeticError("a Parquet file does not give back what was written")
    return "CSV and Parquet"


def _sqlite() -> str:
    import sqlite3

    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE t (a)")
    return f"version {sqlite3.sqlite_version}"
