"""``ndtools data``: list, fetch and check data sets."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ndtools.console.completion import complete_fetched, complete_name_of_dataset
from ndtools.console.failures import FailureHandlingGroup
from ndtools.console.flags import FlagsCommand
from ndtools.console.options import AsJson
from ndtools.console.output import Output
from ndtools.console.tables import new_table

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

_Fetched = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME", help="Data sets, as 'ndtools data list' names them.", autocompletion=complete_fetched
    ),
]
_Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A data set, as 'ndtools data list' names it.", autocompletion=complete_name_of_dataset
    ),
]
_DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder of data sets that is searched before $NDTOOLS_DATA and the user's cache.",
    ),
]
_FetchDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", metavar="DIR", help="Put data sets in DIR/NAME (default: $NDTOOLS_DATA, else the user's cache)."
    ),
]


@data_app.command("list", cls=FlagsCommand)
def list_sets(*, data_dir: _DataDir = None, as_json: AsJson = False) -> None:
    """List the data sets that have a name, and the folders that hold them.

    Example: [bold]ndtools data list --json[/bold]
    """
    from ndtools.data.labelled.catalogue import BUILT_IN, KNOWN
    from ndtools.data.labelled.locations import fetch_command, find
    from ndtools.text import printable

    output = Output(as_json=as_json)
    rows = []
    for known in KNOWN.values():
        place = None if known.name == BUILT_IN else find(known, data_dir)
        rows.append(_row(known, None if place is None else printable(place.folder)))
    output.json({"data_sets": rows})
    commands = {name: fetch_command(known, data_dir) for name, known in KNOWN.items()}
    for line in _list_lines(rows, commands):
        output.text(line)


@data_app.command(cls=FlagsCommand)
def fetch(names: _Fetched, *, data_dir: _FetchDir = None) -> None:
    """Download data sets and print their folders.

    Every file is checked against its published checksum. Files that are
    already there and right are not fetched again.

    Example: [bold]ndtools data fetch fashion-mnist[/bold]
    """
    from ndtools.data.labelled.catalogue import BUILT_IN, known_set
    from ndtools.data.labelled.download import fetch as fetch_set

    output = Output()
    wanted = [known_set(name).name for name in dict.fromkeys(names)]
    for name in wanted:
        if name == BUILT_IN:
            output.note(f"{name} is built in: nothing to fetch")
            continue
        with output.progress(name, of_bytes=True) as progress:
            folder = fetch_set(name, data_dir=data_dir, progress=progress)
        output.text(str(folder))


@data_app.command(cls=FlagsCommand)
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Data sets (default: all that have files here).",
            autocompletion=complete_name_of_dataset,
        ),
    ] = None,
    *,
    data_dir: _DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Check the files of data sets against their checksums.

    The table of all files goes to standard output, whether they are right
    or not. If one is not, the exit code is 3, and standard error says how
    to repair it.

    Example: [bold]ndtools data verify mnist --data-dir downloads/[/bold]
    """
    from ndtools.data.labelled.catalogue import BUILT_IN, KNOWN, known_set
    from ndtools.data.labelled.download import OK, UNKNOWN, remedy
    from ndtools.data.labelled.download import verify as verify_set
    from ndtools.data.labelled.locations import roots, search
    from ndtools.text import printable

    output = Output(as_json=as_json)
    if names:
        wanted = [known_set(name).name for name in dict.fromkeys(names)]
    else:
        wanted = [name for name, known in KNOWN.items() if any(place.files for place in search(known, data_dir))]
    checked = {name: verify_set(name, data_dir) for name in wanted}
    files = [
        {"name": name, "path": printable(path), "status": status}
        for name, listed in checked.items()
        for path, status in listed
    ]
    wrong = [file for file in files if file["status"] not in (OK, UNKNOWN)]
    output.json({"ok": not wrong, "files": files})
    if files:
        for name, folder in dict.fromkeys((file["name"], os.path.dirname(file["path"])) for file in files):
            output.text(f"{name}: {folder}")
        output.table(_files_table(files))
    elif wanted:
        output.note(f"{BUILT_IN} is built in: nothing to check")
    else:
        folders = ", ".join(f"'{printable(root)}'" for root in roots(data_dir))
        output.note(f"no files to check: no data set in {folders}")
    remedies = [remedy(name, checked[name], data_dir) for name in dict.fromkeys(file["name"] for file in wrong)]
    _fail_if_wrong(len(wrong), len(files), remedies)


@data_app.command("path", cls=FlagsCommand)
def path_of(name: _Name, *, data_dir: _DataDir = None) -> None:
    """Print the folder that holds the files of a data set.

    Example: [bold]ndtools data path mnist[/bold]
    """
    from ndtools.data.labelled.catalogue import known_set
    from ndtools.data.labelled.locations import locate

    Output().text(str(locate(known_set(name), data_dir).folder))


def _fail_if_wrong(n_wrong: int, n_files: int, remedies: list[str]) -> None:
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
    """Yield two lines for each data set: the second is its folder, or the command that fetches it, to be copied."""
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
    table = new_table(("data set", "file", "status"), gap=2)
    for file in files:
        table.add_row(file["name"], os.path.basename(file["path"]), file["status"])
    return table
