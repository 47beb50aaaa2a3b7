"""Find image files in folders and by globs, and print their names."""

import glob
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["EXTENSIONS", "Skipped", "glob_matches", "is_hidden", "is_image", "printable", "walk"]

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
            yield folder, [], [Skipped(printable(folder), error.strerror or str(error))]
            continue
        subfolders, files, skipped = _sorted_out(visible)
        # Last in, first out: reversed, so that of two ways to one folder the first by name is taken.
        folders.extend(reversed(subfolders))
        yield folder, files, skipped


def glob_matches(pattern: str) -> list[str]:
    """Return the files and folders that match a glob; ``**`` stands for any depth of folders.

    Unlike :func:`glob.glob` it ends in reasonable time, and without repetition, where links form loops.

    Parameters
    ----------
    pattern : str
        As in :mod:`glob`.

    Returns
    -------
    list of str
        In no particular order.
    """
    parts = os.path.normpath(pattern).split(os.sep)
    if "**" not in parts:
        return glob.glob(pattern)
    depth = parts.index("**")
    head, tail = os.sep.join([*parts[:depth], ""]), parts[depth + 1 :]
    matches: list[str] = []
    for root in glob.glob(head) if head else [""]:
        if not tail:
            matches.append(root or os.curdir)
            continue
        for folder, _, _ in walk(root or os.curdir, set()):
            below = os.path.join(root, os.path.relpath(folder, root or os.curdir))
            matches += glob_matches(os.path.join(glob.escape(os.path.normpath(below)), *tail))
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


def printable(path: str | os.PathLike[str]) -> str:
    r"""Return a path as text that can be printed: undecodable bytes and control characters are escaped.

    Parameters
    ----------
    path : str or path-like
        As the operating system gives it, with surrogates for undecodable bytes.

    Returns
    -------
    str

    Examples
    --------
    >>> printable("caf\udce9.png")
    'caf\\xe9.png'
    """
    text = os.fspath(path)
    try:
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte, in a name from Windows or an archive
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda match: f"\\x{ord(match[0]):02x}", text)


def _sorted_out(
    entries: list[os.DirEntry[str]],
) -> tuple[list[str], list[str], list[Skipped]]:
    folders, files, skipped = [], [], []
    for entry in entries:
        try:
            if entry.is_dir():
                folders.append(entry.path)
            elif is_image(entry.name) and entry.is_file():
                files.append(entry.path)
            elif is_image(entry.name) and entry.is_symlink():
                skipped.append(Skipped(printable(entry.path), "a link to a file that is not there"))
        except OSError as error:  # links that lead in a circle
            skipped.append(Skipped(printable(entry.path), error.strerror or str(error)))
    return folders, files, skipped
