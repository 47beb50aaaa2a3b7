"""``ndtools report``: one HTML page of results, training runs, and what a reproduction found."""

from pathlib import Path
from typing import Annotated

import typer

from ndtools.console.options import AsJson, Quiet
from ndtools.console.output import Output

__all__ = ["report"]


def report(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FOLDER...",
            help="Folders of a reproduction, of results, or of training runs (default: reproduction, or else figures).",
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "--out", "-o", help="Path of the page. An older report is replaced, and no other file."
        ),
    ] = Path("report.html"),
    title: Annotated[
        str | None,
        typer.Option(
            "--title", help="Title of the page (default: a title that says what it holds).", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write one HTML page of results that needs no other file.

    For a folder that ndtools reproduce wrote, the page shows each published
    number beside the measured one, and begins with those that disagree. For
    other results it shows figures, numbers, commands and configurations, and
    for training runs their curves. Damaged files are named and left out.

    Example: [bold]ndtools report figures/ --output figures.html[/bold]
    """
    screen = Output(quiet=quiet, as_json=as_json)

    from ndtools.report.run import write_report

    written = screen.compute(write_report, folders, output, title=title, counting="files")
    screen.json(
        {
            "path": written.path,
            "bytes": written.size,
            "items": written.items,
            "results": written.results,
            "runs": written.runs,
            "verdicts": written.verdicts,
            "left_out": written.remarks,
        }
    )
    screen.text(f"{written.path}   {written.size / 1e6:.2f} MB   {written.counts}")
