"""What all commands print with: tables, progress, numbers with their intervals; and checks before the work begins."""

import contextlib
import contextvars
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

STOPPED = "Stopped. What a run keeps with --checkpoint FOLDER, where it has that option, the same command goes on from."
"""Said after Ctrl-C."""


_TYPED: contextvars.ContextVar[Mapping[str, str]] = contextvars.ContextVar("typed", default={})  # noqa: B039


@contextlib.contextmanager
def command(parameters: Sequence[Any]) -> Iterator[None]:
    """While a command runs: messages name its options and arguments as the user types them.

    Args:
        parameters: of the command, with `name` (the Python name), `opts` and, for an argument, `metavar`.
    """
    names = {}
    for one in parameters:
        options = [text for text in one.opts if text.startswith("--")]
        names[one.name] = options[0] if options else (one.metavar or one.name.upper()).strip("[].")
    before = _TYPED.set(names)
    try:
        yield
    finally:
        _TYPED.reset(before)


def as_typed(text: str) -> str:
    """A message of the library with the Python arguments in it as options and arguments of the command that runs.

    `drop_duplicates`, drop_duplicates=True and kind='features' become `--drop-duplicates`, --drop-duplicates and
    --kind features. Words in quotes, such as the name of a file, stay as they are.
    """
    names = _TYPED.get()
    if not names:
        return text
    options = "|".join(name for name, typed in names.items() if typed.startswith("--")) or "(?!)"
    parts = (
        r"`(?P<argument>\w+)`(?P<absent> must be None(?=[:.,;]|$))?",
        rf"(?<![\w`,=-])(?P<option>{options})=(?:True\b|'(?P<value>[^']*)'|(?=[\s.;,)]|$))",
        r"(?<!\w)'[^']*'|(?<!\w)\"[^\"]*\"|\w+\([^()]*\)",  # what came, and calls of other libraries: as they are
    )

    def typed(found: re.Match[str]) -> str:
        if name := found["argument"]:
            shown = names.get(name) or names.get(name.removesuffix("s"), name)
            return f"`{shown}`" + (" must be left out" if found["absent"] else "")
        if name := found["option"]:
            return f"{names[name]} {found['value']}" if found["value"] else names[name]
        return found[0]

    return re.sub("|".join(parts), typed, text)


def present(source: str, argument: str) -> None:
    """Refuse a file of data that is not there before the heavy imports; names of built-in and OpenML data pass.

    Raises:
        ValueError: a folder, an unknown ending, a file that is missing or empty.
    """
    from regimes import files, tasks

    if source not in tasks.BUILT_IN and not source.startswith(files.OPENML):
        files.check_path(source, argument=argument, built_in=tasks.BUILT_IN)


def say(console: Console, text: Any) -> None:
    """A line of plain text, never taken for markup."""
    console.print(escape(str(text)), highlight=False, soft_wrap=True)


def warn(console: Console, texts: Sequence[str]) -> None:
    """Warnings, a line each, and an empty line after them."""
    for text in texts:
        console.print(f"[bold]Warning:[/] {escape(as_typed(text))}", highlight=False, soft_wrap=True)
    if texts:
        console.print()


def save(result: Any, figure: Any, folder: Path, settings: Mapping[str, Any]) -> list[Path]:
    """Write what an experiment found to a folder: its figure (PNG and SVG), tables (CSV), and all else (JSON).

    Args:
        result: with `name`, `tables()` (pandas frames by name) and `record()` (what JSON can hold).
        figure: matplotlib Figure.
        folder: made if it is not there.
        settings: every argument.

    Raises:
        OSError: the folder cannot be written.
    """
    from regimes import folders

    frames = result.tables()
    stored = [f"{result.name}.svg", f"{result.name}.png", *(f"{name}.csv" for name in frames)]
    about = {"experiment": result.name, "summary": str(result), "files": stored, "versions": folders.versions()}
    record = {**about, "settings": dict(settings), **result.record()}
    writers: dict[str, Callable[[Path], Any]] = {
        f"{result.name}.png": lambda path: figure.savefig(path, format="png", dpi=200),
        f"{result.name}.svg": lambda path: figure.savefig(path, format="svg", dpi=200),
        "run.json": lambda path: folders.write_json(path, record),
    }
    for name, frame in frames.items():
        writers[f"{name}.csv"] = functools.partial(frame.to_csv, index=False)
    return folders.write(folder, writers)


def written(console: Console, folder: Path, paths: Sequence[Path]) -> None:
    """Where the results are."""
    say(console, f"Written to {folder}/: {', '.join(path.name for path in paths)}")


def table(title: str, headings: Sequence[str], *, wraps: Sequence[str] = ()) -> Table:
    """An empty table as all commands have them; only the columns `wraps` may break their text."""
    made = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        made.add_column(heading, no_wrap=heading not in wraps)
    return made


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], Callable[[str, float], None]]]:
    """A bar on standard error: called with a name, gives what reports (what is being done, share that is done).

    Ctrl-C inside ends with a sentence that says how to go on.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:

        def begin(name: str) -> Callable[[str, float], None]:
            bar = shown.add_task(escape(name), total=1.0)

            def report(what: str, share: float) -> None:
                shown.update(bar, completed=share, description=escape(f"{name}: {what}"))

            return report

        try:
            yield begin
        except KeyboardInterrupt:
            shown.stop()
            say(Console(stderr=True), STOPPED)
            raise


def checks(console: Console, found: Any, title: str) -> None:
    """Checks that hold or do not, in a table; those that could not be made, a line each."""
    rows = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("level", "compared", "expected", "found", ""):
        rows.add_column(heading)
    for check in found:
        if check.holds is not None:
            mark = "holds" if check.holds else "does not hold"
            rows.add_row(str(check.level), check.what, check.expected, check.found, mark)
    console.print(rows)
    for check in found:
        if check.holds is None:
            console.print(f"level {check.level} ({check.expected}): {check.found}\n", highlight=False)


def plus_minus(estimate: Any) -> str:
    """The value and half the width of its interval."""
    half = (estimate.high - estimate.low) / 2
    return f"{estimate.value:.3f}" + (f" ± {half:.3f}" if half > 0 else "")


def numbers(name: str, text: str) -> list[float]:
    """Numbers separated by commas.

    Raises:
        ValueError: something else.
    """
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(f"`{name}` must be numbers separated by commas, got {text!r}.") from None


@contextlib.contextmanager
def reserved(folder: Path | None) -> Iterator[None]:
    """A folder that can be written to, if any; where the work inside fails it is not left behind empty.

    Raises:
        ValueError: nothing can be written there.
    """
    made = folder is not None and not folder.exists()
    if folder is not None:
        writable(folder)
    try:
        yield
    except BaseException:
        if folder is not None and made:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def writable(folder: Path, name: str = "out") -> None:
    """Fail before the work, not after it.

    Raises:
        ValueError: nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".regimes-write-test"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ValueError(f"`{name}`: cannot write to {str(folder)!r} ({error.strerror or error}).") from None
