"""Find image files in folders and by glob patterns."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ndtools.data.files import irregular, open_regular
from ndtools.errors import DataError
from ndtools.text import begins_as_result, printable, reason

__all__ = ["EXTENSIONS", "Skipped", "glob_matches", "is_hidden", "is_image", "walk"]

# fmt: off
EXTENSIONS = frozenset([
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".avifs", ".gif",
    ".tif", ".tiff", ".bmp", ".dib", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm",
    ".tga", ".pcx", ".sgi", ".psd", ".qoi",
])
"""Extensions of files that count as images in folders, archives and matches of a glob, compared in lower case."""
# fmt: on


@dataclass(frozen=True)
class Skipped:
    """An image or folder that could not be read.

    Parameters
    ----------
    name : str
        Printable name of the image or folder.
    reason : str
        Reason in a few words, for messages.
    """

    name: str
    reason: str

    def in_words(self, source: str) -> str:
        """Return the name and the reason; the reason alone if the source of this name was the image itself."""
        return self.reason if self.name == source else f"{self.name}: {self.reason}"


def walk(
    root: str, entered: set[tuple[int, int]], wanted: Callable[[str], bool] | None = None
) -> Iterator[tuple[str, list[str], list[Skipped]]]:
    """Iterate through a folder and its subfolders, following links and entering each folder once.

    Parameters
    ----------
    root : str
        Path of the folder to begin with.
    entered : set of (int, int)
        Device and inode numbers of the folders entered so far. This function adds to the set; folders in it are not
        entered again, which ends loops of links.
    wanted : callable, optional
        Function of a file name that says whether the file is listed. Default: `is_image`.

    Yields
    ------
    (str, list of str, list of Skipped)
        A folder, the image files in it, and the entries in it (or the folder itself) that cannot be read. Hidden files
        and folders are left out, and so are files that are not wanted.
    """
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                visible = sorted((e for e in entries if not is_hidden(e.name)), key=lambda entry: entry.name)
        except OSError as error:
            yield folder, [], [Skipped(printable(folder), reason(error))]
            continue
        subfolders, files, skipped = _sorted_out(visible, wanted or is_image)
        # The last folder in the list is entered first. Reversed order makes that the first by name, so if two paths
        # lead to one folder, the path that is first by name is used.
        folders.extend(reversed(subfolders))
        yield folder, files, skipped


def glob_matches(pattern: str) -> list[str]:
    """Return the files and folders that match a glob pattern; ``**`` stands for any depth of folders.

    For each ``**``, every folder is entered once, however many links lead to it. The search therefore ends even where
    links form loops, and its time is proportional to the number of folders and to the number of ``**``. Neither holds
    for :func:`glob.glob`.

    Parameters
    ----------
    pattern : str
        Glob pattern in the syntax of :mod:`glob`.

    Returns
    -------
    list of str
        Paths that match, in no particular order.
    """
    # The pattern is split at each "**". An empty segment in the middle changes nothing.
    first, *others = _segments(pattern)
    matches = glob.glob(first) if first else [os.curdir]
    for position, segment in enumerate(others):
        matches = [match for match in matches if os.path.isdir(match)]
        if not segment and position == len(others) - 1:
            break  # "**" at the end: the caller lists the matching folders, and so finds what is below them
        if not segment:
            continue
        entered: set[tuple[int, int]] = set()
        folders = [folder for start in sorted(matches) for folder, _, _ in walk(start, entered)]
        matches = [m for folder in folders for m in glob.glob(_below(folder, segment))]
    return matches


def is_image(name: str) -> bool:
    """Return whether a file name or path has the extension of an image."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden: its name begins with a dot, or is that of macOS resource forks.

    Parameters
    ----------
    name : str
        Name of the file or folder, without its path.

    Returns
    -------
    bool
        True if the file or folder is left out.
    """
    return name == "__MACOSX" or (name.startswith(".") and name not in (".", ".."))


def _sorted_out(
    entries: list[os.DirEntry[str]],
    wanted: Callable[[str], bool],
) -> tuple[list[str], list[str], list[Skipped]]:
    folders, files, skipped = [], [], []
    results = _Results(entry.path for entry in entries)
    for entry in entries:
        try:
            if entry.is_dir():
                folders.append(entry.path)
            elif wanted(entry.name):
                refusal = irregular(entry.stat().st_mode)
                refusal = refusal or results.refusal(entry.path)
                if refusal is None:
                    files.append(entry.path)
                else:
                    skipped.append(Skipped(printable(entry.path), refusal))
        except FileNotFoundError:
            skipped.append(Skipped(printable(entry.path), "a link to a file that does not exist"))
        except OSError as error:  # e.g. links that form a loop
            skipped.append(Skipped(printable(entry.path), reason(error)))
    return folders, files, skipped


class _Results:
    """Results of ndtools among the files of a folder, whose pictures are not taken for photographs."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._candidates = {os.path.splitext(path)[0]: path for path in paths if path.endswith(".json")}
        self._known: dict[str, bool] = {}

    def refusal(self, path: str) -> str | None:
        """Return why an image file is not read, if it is a picture of a result: STEM.png, or STEM_fit.png and such."""
        stem = os.path.splitext(path)[0]
        for candidate in (stem, stem.rpartition("_")[0]):
            numbers = self._candidates.get(candidate)
            if numbers and self._is_result(numbers):
                return f"a picture that ndtools made, of the result {os.path.basename(numbers)}"
        return None

    def _is_result(self, path: str) -> bool:
        if path not in self._known:
            try:
                with open_regular(path) as file:
                    self._known[path] = begins_as_result(file.read(1000))
            except (DataError, OSError):
                self._known[path] = False
        return self._known[path]


def _segments(pattern: str) -> list[str]:
    segments: list[list[str]] = [[]]
    for part in os.path.normpath(pattern).split(os.sep):
        if part == "**":
            segments.append([])
        else:
            segments[-1].append(part)
    return [os.sep.join(parts) or (os.sep if parts else "") for parts in segments]


def _below(folder: str, segment: str) -> str:
    return os.path.join(glob.escape(os.path.normpath(folder)), segment)
