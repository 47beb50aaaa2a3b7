"""Write a report: one HTML page that holds everything, whole or not at all."""

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ndtools.errors import OptionError, OutputError, SkippedResultWarning
from ndtools.report.gathering import default_folder, gather
from ndtools.report.page import GENERATOR, make_page
from ndtools.text import counted, printable
from ndtools.writing import check_writable, write_whole

__all__ = ["Report", "write_report"]

_LARGE = 4_000_000  # bytes: mail and phones take less
_ANOTHER = "another `output`"
_FOREIGN = (".pdf", ".png", ".svg", ".json", ".md", ".txt", ".doc", ".docx")


@dataclass(frozen=True)
class Report:
    """Path, size and counts of a report that was written.

    Attributes
    ----------
    path : Path
        Path of the page.
    size : int
        Size of the page in bytes.
    verdicts : dict of str to int
        Number of published numbers and claims by verdict; all 0 without a reproduction.
    items, results, runs : int
        Numbers of items of reproductions, of results, and of training runs that the page shows.
    remarks : tuple of str
        Sentences about what was left out.
    """

    path: Path
    size: int
    verdicts: dict[str, int]
    items: int
    results: int
    runs: int
    remarks: tuple[str, ...]

    @property
    def counts(self) -> str:
        """What the page holds, in words."""
        parts = [
            counted(number, noun)
            for number, noun in ((self.items, "item"), (self.results, "result"), (self.runs, "training run"))
            if number
        ]
        verdicts = [f"{verdict} {number}" for verdict, number in self.verdicts.items() if number]
        return ", ".join(parts) + (f" ({', '.join(verdicts)})" if verdicts else "")


def write_report(
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    output: str | os.PathLike[str] = "report.html",
    *,
    title: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write one HTML page of reproductions, results and training runs.

    The page needs no other file and no network: figures, styles and all numbers are in it.

    Parameters
    ----------
    folders : path, or sequence of paths, optional
        Folders that ``ndtools reproduce`` wrote, folders of results, and folders of training runs. Default:
        "reproduction" if it exists, or else "figures".
    output : str or path-like
        Path of the page. An older report is replaced, and no other file. Default "report.html".
    title : str, optional
        Title of the page. By default it says what the page holds.
    progress : callable, optional
        Function that is given the number of files done and their total.

    Returns
    -------
    Report
        Path, size and content in numbers.

    Raises
    ------
    DataError
        If a folder does not exist, or none holds anything that ndtools wrote.
    OptionError
        If the name of the page is that of another kind of file, such as ``page.pdf``.
    OutputError
        If the page cannot be written, or would replace a file that is no report.

    Warns
    -----
    SkippedResultWarning
        If a result, run or item is damaged and left out, or the page is large.

    Examples
    --------
    >>> import ndtools as nd
    >>> nd.write_report("figures/", "figures.html")  # doctest: +SKIP
    """
    path = Path(output)
    _check(path)
    paths = [folders] if isinstance(folders, str | os.PathLike) else folders
    page = make_page(gather(paths or [default_folder()]), title=title, progress=progress)
    content = page.html.encode("utf-8")
    write_whole({path: lambda file: file.write(content)}, elsewhere=_ANOTHER)
    for remark in page.remarks:
        warnings.warn(remark.rstrip("."), SkippedResultWarning, stacklevel=2)
    if len(content) > _LARGE:
        warnings.warn(
            f"the page has {len(content) / 1e6:.1f} MB; name fewer folders for a smaller one",
            SkippedResultWarning,
            stacklevel=2,
        )
    return Report(path, len(content), page.verdicts, page.items, page.results, page.runs, page.remarks)


def _check(path: Path) -> None:
    """Check, before any work, that the page can be written, and that it replaces nothing but an older report."""
    if path.suffix.lower() in _FOREIGN:
        raise OptionError("output", f"must be the path of a page of HTML, such as report.html, got '{printable(path)}'")
    check_writable([path], elsewhere=_ANOTHER, shorter="a shorter `output`")
    if path.exists():
        with path.open("rb") as file:
            begins = file.read(1000)
        if begins.strip() and f'<meta name="generator" content="{GENERATOR}'.encode() not in begins:
            raise OutputError(f"cannot write {printable(path)}: it exists, and is no report; choose {_ANOTHER}")
