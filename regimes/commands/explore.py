"""`regimes explore`: the phase map in a browser, with sliders."""

from typing import Annotated

import typer
from rich.console import Console

from regimes.commands import console, tables


def explore(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="Drawn on top: a spectrum (.npz, .npy, or a .csv or .parquet with a column eigenvalue, such as "
            "spectrum.csv of `regimes predict`), or a table of losses along n, k or time.",
        ),
    ] = None,
    x: tables.X = None,
    y: tables.Y = None,
    by: tables.By = None,
    stderr: Annotated[
        str | None, typer.Option(help="Column of standard errors. Default: one called stderr or so.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at. The default is this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes one that is free.")] = 5006,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
) -> None:
    """Open a page of the phase map: sliders for alpha, beta, noise, ridge and time, curves through a chosen point.

    Works without any network. Ctrl+C ends it. Needs the extra `explore` (Bokeh).
    """
    import logging
    import webbrowser

    from regimes import explorer_page, overlays

    columns = {"x": x, "y": y, "by": by, "stderr": stderr}
    if source is None and any(column is not None for column in columns.values()):
        raise ValueError("`--x`, `--y`, `--by` and `--stderr` name columns of FILE, which is not given.")
    loaded = None if source is None else overlays.read(source, **columns)
    server = explorer_page.server(loaded, host=host, port=port)
    for name in ("bokeh", "tornado.access"):
        logging.getLogger(name).setLevel(logging.ERROR)  # a window that is closed while it is drawn is no news
    server.start()
    screen = Console()
    if loaded is not None:
        console.warn(screen, list(loaded.notes))
    url = f"http://{host}:{server.port}/"
    console.say(screen, f"The explorer is at {url} - Ctrl+C ends it.")
    if browser:
        server.io_loop.add_callback(webbrowser.open, url)
    try:
        server.io_loop.start()
    except KeyboardInterrupt:
        console.say(screen, "\nEnded.")
    finally:
        server.stop()
