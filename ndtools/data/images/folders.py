"""Find image files in folders and by globs, and their names."""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass

from ndtools.data.files import irregular
from ndtools.text import printable, reason

__all__ = ["EXTENSIONS", "Skipped", "glob_matches", "is_hidden", "is_image", "walk"]

# fmt: off
EXTENSIONS = frozenset([
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".avifs", ".gif",
    ".tif", ".tiff", ".bmp", ".dib", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm",
    ".tga", ".pcx", ".sgi", ".psd", ".qoi",
])
"""What counts as an image in folders, archives and matches of a glob, compared in lower case."""
# fmt: on


@dataclass(frozen=True)
class Skipped:
    """An image or folder that could not be read.

    Parameters
    ----------
    name : str
        Its printable name.
    reason : str
        A few words, for a person.
    """

    name: str
    reason: str


def walk(root: str, entered: set[tuple[int, int]]) -> Iterator[tuple[str, list[str], list[Skipped]]]:
    """Pass through a folder and its subfolders, links included, each once.

    Parameters
    ----------
    root : str
        The folder to begin with.
    entered : set of (int, int)
        Device and inode of the folders passed through, filled here: what ends loops of links.

    Yields
    ------
    (str, list of str, list of Skipped)
        A folder, the image files in it, and what in it (or itself) cannot be read. Hidden files and folders
        are passed over, and so are files that are no images by their extension.
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
        subfolders, files, skipped = _sorted_out(visible)
        # Last in, first out: reversed, so that of two ways to one folder the first by name is taken.
        folders.extend(reversed(subfolders))
        yield folder, files, skipped


def glob_matches(pattern: str) -> list[str]:
    """Return the files and folders that match a glob; ``**`` stands for any depth of folders.

    Each ``**`` passes once through every folder, however links lead to it. So the search ends where links form loops,
    and takes time in proportion to the number of folders and of ``**``, unlike that of :func:`glob.glob`.

    Parameters
    ----------
    pattern : str
        As in :mod:`glob`.

    Returns
    -------
    list of str
        In no particular order.
    """
    # Segments of the pattern between its "**"s; an empty one in the middle makes no difference.
    first, *others = _segments(pattern)
    matches = glob.glob(first) if first else [os.curdir]
    for position, segment in enumerate(others):
        matches = [match for match in matches if os.path.isdir(match)]
        if not segment and position == len(others) - 1:
            break  # "**" at the end: whoever lists the folders that match finds what is below them
        if not segment:
            continue
        entered: set[tuple[int, int]] = set()
        folders = [folder for start in sorted(matches) for folder, _, _ in walk(start, entered)]
        matches = [m for folder in folders for m in glob.glob(_below(folder, segment))]
    return matches


def is_image(name: str) -> bool:
    """Tell by the extension whether a file is an image.

    Parameters
    ----------
    name : str
        File name or path.

    Returns
    -------
    bool
    """
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder is passed over: dot files, and the resource forks of macOS archives.

    Parameters
    ----------
    name : str
        One part of a path.

    Returns
    -------
    bool
    """
    return name == "__MACOSX" or (name.startswith(".") and name not in (".", ".."))


def _sorted_out(
    entries: list[os.DirEntry[str]],
) -> tuple[list[str], list[str], list[Skipped]]:
    folders, files, skipped = [], [], []
    for entry in entries:
        try:
            if entry.is_dir():
                folders.append(entry.path)
            elif is_image(entry.name):
                refusal = irregular(entry.stat().st_mode)
                if refusal is None:
                    files.append(entry.path)
                else:
                    skipped.append(Skipped(printable(entry.path), refusal))
        except FileNotFoundError:
            skipped.append(Skipped(printable(entry.path), "a link to a file that is not there"))
        except OSError as error:  # links that lead in a circle
            skipped.append(Skipped(printable(entry.path), reason(error)))
    return folders, files, skipped


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
