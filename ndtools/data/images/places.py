"""Places that list and open files: this machine, or storage that an address such as ``s3://bucket/photos`` names."""

import glob
import itertools
import os
import re
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from ndtools.data.files import MAX_FILE_BYTES, open_regular, read_file
from ndtools.data.images.folders import Skipped, glob_matches, walk
from ndtools.errors import OptionError

__all__ = ["LocalPlace", "Place", "expand_braces", "is_address", "place_of"]

# Chained addresses such as simplecache::s3://bucket/photos are addresses, too.
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*::)*[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST_NAMES = 1_000_000  # that braces stand for


class Place(Protocol):
    """A place that lists and opens files. Paths in it are as the user writes them: whole addresses, if it is far."""

    far: bool
    """Whether files are far, so that each is opened once and read ahead."""

    def has(self, path: str) -> bool:
        """Return whether there is a file or folder of that name, or a link."""

    def is_folder(self, path: str) -> bool:
        """Return whether a path is a folder, or a link to one."""

    def is_pattern(self, path: str) -> bool:
        """Return whether a path has the wildcards of a glob pattern."""

    def walk(self, folder: str) -> Iterator[tuple[list[str], list[Skipped]]]:
        """Yield the images of a folder and of each folder below it, and what cannot be read; see `folders.walk`."""

    def matches(self, pattern: str) -> list[str]:
        """Return the files and folders that match a glob pattern, in no particular order."""

    def beside(self, path: str, folder: str) -> str:
        """Return where a path of a list is, whose folder this place has."""

    def identity(self, path: str) -> str:
        """Return a text that is the same for two paths of one file."""

    def size(self, path: str) -> int:
        """Return the size of a file in bytes; 0 if it is not known."""

    def read(self, path: str, *, limit: int = MAX_FILE_BYTES) -> bytes:
        """Return the content of a file; DataError, with the reason alone, if that is not possible."""

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading; DataError, with the reason alone, if that is not possible."""


class LocalPlace:
    """A machine with all that is mounted on it: the one that runs."""

    far = False

    def __init__(self) -> None:
        self._entered: set[tuple[int, int]] = set()  # device and inode of each folder: links may form loops

    def has(self, path: str) -> bool:
        """Return whether there is a file or folder of that name, or a link."""
        return os.path.lexists(path)

    def is_folder(self, path: str) -> bool:
        """Return whether a path is a folder, or a link to one."""
        return os.path.isdir(path)

    def is_pattern(self, path: str) -> bool:
        """Return whether a path has the wildcards of a glob pattern."""
        return glob.has_magic(path)

    def walk(self, folder: str) -> Iterator[tuple[list[str], list[Skipped]]]:
        """Yield the images of a folder and of each folder below it; each folder is entered once."""
        for _, files, skipped in walk(folder, self._entered):
            yield files, skipped

    def matches(self, pattern: str) -> list[str]:
        """Return the files and folders that match a glob pattern, in no particular order."""
        return glob_matches(pattern)

    def beside(self, path: str, folder: str) -> str:
        """Return where a path of a list is: in the current folder, or in that of the list."""
        beside = os.path.join(folder, path)
        return beside if not os.path.lexists(path) and os.path.lexists(beside) else path

    def identity(self, path: str) -> str:
        """Return the absolute path."""
        return os.path.abspath(path)

    def size(self, path: str) -> int:
        """Return the size of a file in bytes; 0 if it is not known."""
        return _size(path)

    def read(self, path: str, *, limit: int = MAX_FILE_BYTES) -> bytes:
        """Return the content of a regular file."""
        return read_file(path, limit=limit)

    def open(self, path: str) -> BinaryIO:
        """Open a regular file for reading."""
        return open_regular(path)


def is_address(path: str) -> bool:
    """Return whether a path is an address such as ``s3://bucket/photos``, and names no file of this machine."""
    return _ADDRESS.match(path) is not None and not os.path.lexists(path)


def place_of(path: str, known: dict[str, Place]) -> Place:
    """Return the place that has a path.

    Parameters
    ----------
    path : str
        Path or address.
    known : dict
        Places that were found before, by what their addresses have in common. A new one is added.

    Returns
    -------
    Place
        This machine, or the storage that an address names.

    Raises
    ------
    DataError
        If a package that reads from such addresses is not installed, or the storage cannot be reached.
    OptionError
        If the options of the storage are not known to it.
    """
    if not is_address(path):
        return known.setdefault("", LocalPlace())
    from ndtools.data.images.far import FarPlace, around

    ends = "".join(around(path))
    if ends not in known:
        known[ends] = FarPlace(path)
    return known[ends]


def expand_braces(text: str) -> Iterator[str]:
    """Expand braces as a shell does: ``{a,b}`` is one of several words, and ``{000..999}`` a number of that width.

    Parameters
    ----------
    text : str
        Path with or without braces.

    Returns
    -------
    iterator of str
        Path without braces, for each combination in turn. Braces without a comma or a range stay as they are.

    Raises
    ------
    OptionError
        If there are more than a million combinations.
    """
    parts: list[list[str]] = []
    end, total = 0, 1
    for braces in _BRACES.finditer(text):
        words = _words(braces[1])
        if words:
            parts += [[text[end : braces.start()]], words]
            end, total = braces.end(), total * len(words)
            if total > _MOST_NAMES:
                raise OptionError("source", f"must stand for a million files at most, got {text}")
    parts.append([text[end:]])
    return map("".join, itertools.product(*parts))


def _words(inside: str) -> list[str]:
    if found := _RANGE.fullmatch(inside):
        first, last = int(found[1]), int(found[2])
        width = max(map(len, found.groups())) if inside.startswith("0") or found[2].startswith("0") else 0
        if abs(last - first) >= _MOST_NAMES:
            raise OptionError("source", f"must stand for a million files at most, got {{{inside}}}")
        step = 1 if first <= last else -1
        return [str(number).zfill(width) for number in range(first, last + step, step)]
    return inside.split(",") if "," in inside else []


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):  # reading the file will report the reason
        return 0
