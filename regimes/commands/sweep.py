"""`regimes sweep`: plan, run, resume and export the cells of a sweep file."""

import contextlib
import importlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from regimes.commands import console

app = typer.Typer(help="Grids of experiments that survive whatever happens to them.", no_args_is_help=True)

SHOWN = 5
"""Kinds of failures that are shown."""
_EVERY = 30.0
"""Seconds between two lines where there is no terminal."""

File = Annotated[Path, typer.Argument(metavar="FILE.toml", help="The sweep file.")]
At = Annotated[Path | None, typer.Option("--store", help="The store. Default: the file's name, ending in .sqlite.")]
Outside = Annotated[bool, typer.Option("--allow-outside", help="Let the file name files outside of its folder.")]
Modules = Annotated[
    list[str] | None, typer.Option("--module", help="Import this module or .py file, which registers experiments.")
]
Workers = Annotated[
    int | None, typer.Option(help="Processes; 0 computes in this one. Default: one for each core at its disposal.")
]
Scheduler = Annotated[str | None, typer.Option(help="Address of a Dask scheduler; local for one on this machine.")]
Slurm = Annotated[int | None, typer.Option(help="Ask SLURM for so many jobs, as ~/.config/dask/jobqueue.yaml says.")]
Timeout = Annotated[float | None, typer.Option(help="Seconds after which a cell is given up.")]
Devices = Annotated[str, typer.Option(help="GPUs by number, as in 0,1,2,3: each process gets one of them.")]
Mixed = Annotated[bool, typer.Option("--mixed", help="Add to cells that other versions of packages have computed.")]
Retry = Annotated[bool, typer.Option("--retry-failed", help="Compute failed cells again.")]


@app.command()
def plan(
    file: File,
    store: At = None,
    allow_outside: Outside = False,
    module: Modules = None,
    workers: Workers = None,
    probe: Annotated[bool, typer.Option("--probe", help="Compute one cell to see how long they take; kept.")] = False,
) -> None:
    """How many cells there are, how many are done, and what the others will take."""
    from regimes import sweep

    found = _read(file, allow_outside, module)
    if probe and sweep.plan(found, store).left:
        sweep.probe(found, store)
    console.say(Console(), sweep.plan(found, store, workers=_cores() if workers is None else max(1, workers)))


@app.command()
def run(
    file: File,
    store: At = None,
    allow_outside: Outside = False,
    module: Modules = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    slurm: Slurm = None,
    timeout: Timeout = None,
    devices: Devices = "",
    retry_failed: Retry = False,
    mixed: Mixed = False,
) -> None:
    """Compute all cells that are not in the store yet. Ctrl-C once ends in order, twice at once.

    Exit status: 0 if all cells are done, 1 if some have failed, 130 if it was stopped.
    """
    _run(_read(file, allow_outside, module), store, workers, scheduler, slurm, timeout, devices, retry_failed, mixed)


@app.command()
def resume(
    file: File,
    store: At = None,
    allow_outside: Outside = False,
    module: Modules = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    slurm: Slurm = None,
    timeout: Timeout = None,
    devices: Devices = "",
    retry_failed: Retry = False,
    mixed: Mixed = False,
) -> None:
    """Like run, for a store that must be there: nothing finished is computed again."""
    from regimes import store as stores

    found = _read(file, allow_outside, module)
    stores.read(store or found.store).close()
    _run(found, store, workers, scheduler, slurm, timeout, devices, retry_failed, mixed)


@app.command()
def status(file: File, store: At = None, allow_outside: Outside = False, module: Modules = None) -> None:
    """What is done, what has failed and why, what is left."""
    from regimes import store as stores
    from regimes import sweep

    screen, found = Console(), _read(file, allow_outside, module)
    console.say(screen, sweep.plan(found, store, workers=1))
    with stores.read(store or found.store) as opened:
        summary = opened.summary()
        if summary.claimed:
            console.say(screen, f"{summary.claimed} claimed by runs that work on them, or were killed over them")
        if summary.failed:
            errors = Counter(record.error for record in opened.records(stores.FAILED))
            for error, count in errors.most_common(SHOWN):
                console.say(screen, f"failed {count} time{'s' * (count > 1)}: {error}")
            if len(errors) > SHOWN:
                console.say(screen, f"and {len(errors) - SHOWN} other errors: see the column error of an export")
        if summary.done:
            mean = sweep.in_words(summary.seconds / summary.done)
            console.say(screen, f"{sweep.in_words(summary.seconds)} in all, {mean} per cell")
        if summary.environments > 1:
            console.warn(screen, [f"computed with {summary.environments} sets of package versions: see an export"])


@app.command()
def export(
    file: File,
    out: Annotated[Path, typer.Option(help="The .csv or .parquet file to write.")],
    store: At = None,
    allow_outside: Outside = False,
    module: Modules = None,
) -> None:
    """Write all finished cells to a table: arguments, results, seed, time, errors, versions."""
    from regimes import store as stores

    found = _read(file, allow_outside, module)
    with stores.read(store or found.store) as opened:
        opened.refuse_others(found.experiment.name, found.experiment.version, found.seed)
        rows = stores.export(opened, out)
    console.say(Console(), f"Written to {out}: {rows} cells")


@app.command()
def recover(
    store: Annotated[Path, typer.Argument(help="The damaged store, which is left as it is.")],
    new: Annotated[Path, typer.Argument(help="The store to write.")],
) -> None:
    """Copy what is whole of a damaged store into a new one; the rest is computed again by resume."""
    from regimes import recovery

    kept, damaged = recovery.recover(store, new)
    console.say(Console(), f"Written to {new}: {kept} cells; {damaged} more were seen but are damaged")


def _run(
    found: Any,
    store: Path | None,
    workers: int | None,
    scheduler: str | None,
    slurm: int | None,
    timeout: float | None,
    devices: str,
    retry_failed: bool,
    mixed: bool,
) -> None:
    from regimes import clusters, sweep

    if slurm is not None and scheduler is not None:
        raise ValueError("`slurm` makes a scheduler of its own; leave out `scheduler`.")
    if workers is None:
        workers = 0 if slurm is not None or scheduler not in (None, "local") else _cores()
    screen = Console()
    console.say(screen, sweep.plan(found, store, workers=max(1, workers)))
    with contextlib.ExitStack() as stack:
        cluster = scheduler if slurm is None else stack.enter_context(clusters.slurm_cluster(slurm))
        progress = stack.enter_context(_shown(len(found)))
        try:
            report = sweep.run(
                found, store, workers=workers, scheduler=cluster, timeout=timeout, mixed=mixed, progress=progress,
                devices=tuple(part.strip() for part in devices.split(",") if part.strip()), retry_failed=retry_failed,
            )  # fmt: skip
        except KeyboardInterrupt:
            stack.close()
            console.say(Console(stderr=True), "Ended at once; cells that were finished are stored.")
            raise typer.Exit(130) from None
    console.say(screen, report)
    if report.stopped:
        raise typer.Exit(130)
    if report.failed:
        raise typer.Exit(1)


def _read(file: Path, allow_outside: bool, modules: list[str] | None) -> Any:
    from regimes import repeats as repeats  # registers the whole experiments
    from regimes import sweep

    for name in modules or ():
        path = Path(name)
        if path.suffix == ".py":
            if not path.is_file():
                raise ValueError(f"`module`: there is no file {name!r}.")
            sys.path.insert(0, str(path.resolve().parent))  # where worker processes look too
            name = path.stem
        else:
            sys.path.insert(0, os.getcwd())
        try:
            importlib.import_module(name)
        except Exception as error:  # it may raise anything
            why = " ".join(f"{type(error).__name__}: {error}".split())
            raise ValueError(f"`module`: {name!r} could not be imported ({why}).") from error
    return sweep.read(file, allow_outside=allow_outside)


def _cores() -> int:
    """Cores at the disposal of this process, which may be fewer than there are."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS, not on Windows
        return os.cpu_count() or 1


@contextlib.contextmanager
def _shown(cells: int) -> Iterator[Callable[[Any], None]]:
    """A bar on a terminal, a line now and then elsewhere, as in the log of a job."""
    screen = Console(stderr=True)
    if not screen.is_terminal:
        last = time.monotonic()

        def line(state: Any) -> None:
            nonlocal last
            if time.monotonic() - last >= _EVERY:
                last = time.monotonic()
                console.say(screen, f"{state.done + state.failed} of {state.cells} cells; {_words(state)}")

        yield line
        return
    columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=cells)
        yield lambda state: bar.update(task, completed=state.done + state.failed, description=escape(_words(state)))


def _words(state: Any) -> str:
    from regimes import sweep

    words = [f"{state.running} running"]
    words += [f"{state.failed} failed"] if state.failed else []
    words += [f"waiting for {state.elsewhere} that other runs work on"] if state.elsewhere else []
    words += [f"{sweep.in_words(state.seconds_left)} left"] if state.seconds_left is not None else []
    words += ["finishing what has begun; Ctrl-C again ends at once"] if state.stopping else []
    return ", ".join(words)
