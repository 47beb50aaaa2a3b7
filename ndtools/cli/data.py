"""``ndtools data``: which data sets there are, fetching and checking them."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ndtools.console.failures import FailureHandlingGroup

if TYPE_CHECKING:
    from rich.table import Table

    from ndtools.data.labelled.catalogue import KnownSet

__all__ = ["data_app"]

data_app = typer.Typer(
    cls=FailureHandlingGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="List, fetch and check data sets.",
)

_Names = Annotated[list[str], typer.Argument(metavar="NAME", help="Data sets, as 'ndtools data list' has them.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="A data set, as 'ndtools data list' has it.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")]
_DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder of data sets; looked in before $NDTOOLS_DATA and the user's cache.",
    ),
]
_FetchDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="DIR", help="Put them in DIR/NAME (default: $NDTOOLS_DATA, else the user's cache)."
    ),
]


@data_app.command("list")
def list_sets(*, data_dir: _DataDir = None, as_json: _Json = False) -> None:
    """List the data sets that have a name, and where they are.

    Example: [bold]ndtools data list --json[/bold]
    """
    from ndtools.data.labelled.catalogue import BUILT_IN, KNOWN
    from ndtools.data.labelled.locations import fetch_command, find
    from ndtools.text import printable

    rows = []
    for known in KNOWN.values():
        found = None if known.name == BUILT_IN else find(known, data_dir)
        rows.append(_row(known, None if found is None else printable(found.folder)))
    if as_json:
        _print_json({"data_sets": rows})
        return
    commands = {name: fetch_command(known, data_dir) for name, known in KNOWN.items()}
    for line in _list_lines(rows, commands):
        typer.echo(line)


@data_app.command()
def fetch(names: _Names, *, data_dir: _FetchDir = None) -> None:
    """Download data sets and print their folders; what is there and right is not fetched again.

    Every file is checked against its published checksum.

    Example: [bold]ndtools data fetch fashion-mnist[/bold]
    """
    from ndtools.data.labelled.catalogue import BUILT_IN, known_set
    from ndtools.data.labelled.download import fetch as fetch_set

    wanted = [known_set(name).name for name in dict.fromkeys(names)]
    for name in wanted:
        if name == BUILT_IN:
            typer.echo(f"{name} is built in: nothing to fetch", err=True)
            continue
        with _progress(name) as progress:
            folder = fetch_set(name, root=data_dir, progress=progress)
        typer.echo(folder)


@data_app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Data sets (default: all that are here).")
    ] = None,
    *,
    data_dir: _DataDir = None,
    as_json: _Json = False,
) -> None:
    """Check the files of data sets against their checksums.

    The table of all files goes to standard output, whether they are right
    or not; if one is not, the exit code is 3, and standard error says how
    to get it right.

    Example: [bold]ndtools data verify mnist --data-dir downloads/[/bold]
    """
    from ndtools.data.labelled.catalogue import BUILT_IN, KNOWN, known_set
    from ndtools.data.labelled.download import OK, UNKNOWN, remedy
    from ndtools.data.labelled.download import verify as verify_set
    from ndtools.data.labelled.locations import roots, search
    from ndtools.text import printable

    if names:
        wanted = [known_set(name).name for name in dict.fromkeys(names)]
    else:
        wanted = [name for name, known in KNOWN.items() if any(part.files for part in search(known, data_dir))]
    checked = {name: verify_set(name, data_dir) for name in wanted}
    files = [
        {"name": name, "path": printable(path), "status": status}
        for name, listed in checked.items()
        for path, status in listed
    ]
    wrong = [file for file in files if file["status"] not in (OK, UNKNOWN)]
    if as_json:
        _print_json({"ok": not wrong, "files": files})
    elif files:
        for name, folder in dict.fromkeys((file["name"], os.path.dirname(file["path"])) for file in files):
            typer.echo(f"{name}: {folder}")
        _print(_files_table(files))
    elif wanted:
        typer.echo(f"{BUILT_IN} is built in: nothing to check", err=True)
    else:
        folders = ", ".join(f"'{printable(root)}'" for root in roots(data_dir))
        typer.echo(f"no files to check: no data set in {folders}", err=True)
    remedies = [remedy(name, checked[name], data_dir) for name in dict.fromkeys(file["name"] for file in wrong)]
    _complain(len(wrong), len(files), remedies)


@data_app.command("path")
def path_of(name: _Name, *, data_dir: _DataDir = None) -> None:
    """Print the folder that holds the files of a data set.

    Example: [bold]ndtools data path mnist[/bold]
    """
    from ndtools.data.labelled.catalogue import known_set
    from ndtools.data.labelled.locations import locate

    typer.echo(locate(known_set(name), data_dir).folder)


def _complain(n_wrong: int, n_files: int, remedies: list[str]) -> None:
    from ndtools.errors import DataError

    if n_wrong:
        raise DataError(f"{n_wrong} of {n_files} files are not right; {'; '.join(remedies)}")


def _row(known: "KnownSet", location: str | None) -> dict[str, Any]:
    return {
        "name": known.name,
        "what": known.title,
        "train": known.n_train,
        "test": known.n_test,
        "shape": list(known.shape),
        "classes": known.n_classes,
        "bytes": sum(item.size for item in known.downloads),
        "licence": known.licence,
        "citation": known.citation,
        "synthetic": not known.layouts,
        "location": location if known.layouts else "built in",
    }


def _list_lines(rows: list[dict[str, Any]], commands: dict[str, str]) -> Iterator[str]:
    """Yield a line for each set and below it, whole and alone so that it can be copied, its folder or command."""
    cells = [("name", "train + test", "size", "licence", "what")]
    for row in rows:
        images = f"{row['train']:,} + {row['test']:,}"
        cells.append((row["name"], images, "×".join(map(str, row["shape"][1:])), row["licence"], row["what"]))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for i, line in enumerate(cells):
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        if i > 0:
            row = rows[i - 1]
            absent = f"not here, {row['bytes'] / 1e6:.0f} MB: {commands[row['name']]}"
            yield f"    {row['location'] or absent}"


def _files_table(files: list[dict[str, str]]) -> "Table":
    table = _table("data set", "file", "status")
    for file in files:
        table.add_row(file["name"], os.path.basename(file["path"]), file["status"])
    return table


def _table(*headings: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _print(table: "Table") -> None:
    from rich.console import Console

    Console(highlight=False, markup=False).print(table)


def _print_json(content: dict[str, Any]) -> None:
    typer.echo(json.dumps(content, indent=2))


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None] | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
