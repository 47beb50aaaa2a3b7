"""Find the images that a SOURCE names: a file, a folder, a glob, a list, an archive, or the built-in set."""

import difflib
import glob
import itertools
import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import BinaryIO, TextIO

import numpy as np
from PIL import Image

from ndtools.data.files import read_file
from ndtools.data.images.archives import Member, is_archive, is_zip, tar_members, zip_members
from ndtools.data.images.folders import Skipped, glob_matches, is_hidden, is_image, walk
from ndtools.data.images.synthetic import sample_images
from ndtools.errors import DataError, OptionError
from ndtools.text import printable

__all__ = ["ImageRef", "ImageSource", "Skipped", "resolve_source"]

_BUILT_IN = "built-in: sample, sample-photo"
_SAMPLES = {"sample": slice(None), "sample-photo": slice(-1, None)}
_LOOKED_FOR = "looked for .jpg, .png, .webp, .tif, .gif, .bmp, .ppm and others of that kind"
_MAX_LIST_BYTES = 2**26  # a million long paths
_MANY = 10_000  # names in a folder beyond which a close match is not looked for


@dataclass(frozen=True)
class ImageRef:
    """One image of a source, not read yet.

    Parameters
    ----------
    name : str
        Printable name; for a member of an archive ``ARCHIVE/MEMBER``.
    read : function without arguments
        Gives the encoded file (bytes), or a picture if the image is made in code; raises DataError with the
        reason alone. Threads may call it.
    nbytes : int
        Memory that the reference itself holds, bytes: not 0 only for members of tar archives.
    size : function without arguments
        Gives the bytes that `read` adds to that, without reading them; 0 if that is not known. Threads may call it.
    """

    name: str
    read: Callable[[], bytes | Image.Image] = field(repr=False)
    nbytes: int = 0
    size: Callable[[], int] = field(repr=False, default=int)


@dataclass(frozen=True)
class _TarEntry:
    name: str
    archive: str
    position: int


@dataclass(frozen=True)
class ImageSource:
    """The images that a SOURCE names, in a fixed order.

    Iterating gives an :class:`ImageRef` for each. Members of tar archives are read while iterating, in one
    pass through the archive, so only what the consumer keeps is in memory; everything else is read by
    ``ImageRef.read``.

    Parameters
    ----------
    label : str
        What was asked for, printable.
    entries : tuple
        The images.
    skipped : tuple of Skipped
        What was found but cannot be used: unreadable folders, dangling links, encrypted members.
    """

    label: str
    entries: tuple[ImageRef | _TarEntry, ...] = field(repr=False)
    skipped: tuple[Skipped, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[ImageRef]:
        for archive, run in itertools.groupby(self.entries, _archive_of):
            if archive is None:
                yield from (entry for entry in run if isinstance(entry, ImageRef))
            else:
                yield from _stream_tar(archive, {e.position: e.name for e in run if isinstance(e, _TarEntry)})

    def subset(self, n: int, seed: int) -> "ImageSource":
        """Choose images at random without replacement, kept in order.

        Parameters
        ----------
        n : int
            How many; all if there are no more. With one seed, a larger `n` adds to the choice of a smaller.
        seed : int
            Of a generator local to this call; at least 0.

        Returns
        -------
        ImageSource
            With the same label and skipped entries.

        Raises
        ------
        OptionError
            `n` is less than 1.
        """
        if n < 1:
            raise OptionError("images", f"must be at least 1, got {n}")
        if n >= len(self):
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self))[:n])
        return replace(self, entries=tuple(self.entries[i] for i in chosen))

    def parts(self, n: int, seed: int) -> "tuple[ImageSource, ...]":
        """Deal the images into parts at random.

        Parameters
        ----------
        n : int
            How many parts; as many as there are images if that is less.
        seed : int
            Of a generator local to this call; at least 0.

        Returns
        -------
        tuple of ImageSource
            Their sizes differ by one at most. Skipped entries are with the first.
        """
        dealt = np.array_split(np.random.default_rng(seed).permutation(len(self)), min(n, len(self)))
        return tuple(
            replace(
                self,
                entries=tuple(self.entries[i] for i in np.sort(chosen)),
                skipped=() if first else self.skipped,
            )
            for first, chosen in enumerate(dealt)
        )


def resolve_source(source: str | os.PathLike[str], *, stdin: BinaryIO | TextIO | None = None) -> ImageSource:
    """Find the images that a SOURCE names.

    A SOURCE is a file (tried whatever its extension), a folder (with its subfolders), a glob (``**`` for any
    depth), ``@LIST`` (a file with one path a line), ``-`` (such a list on standard input), an archive (.zip,
    .tar, .tar.gz, .tar.bz2, .tar.xz), ``sample`` (the built-in set) or ``sample-photo`` (the one photograph in it). An
    existing path wins over every other reading except ``-``.

    In folders, archives and matches of a glob that does not spell out an extension, files count by their
    extension (`EXTENSIONS`), and hidden ones are passed over. Links are followed, each folder is entered
    once. Lists may be separated by NUL instead; blank lines are ignored; a relative path is looked for in
    the current folder, then beside the list. The order is that of the paths' bytes, for lists and tar
    archives their own.

    Parameters
    ----------
    source : str or path-like
        See above.
    stdin : file, optional
        Read for ``-`` instead of ``sys.stdin``.

    Returns
    -------
    ImageSource
        At least one image, none of them opened yet (archives are listed).

    Raises
    ------
    DataError
        Nothing there, no images in it, or an archive that cannot be read; the message names the remedy.
    """
    text = os.fspath(source)
    found = _Found()
    if text == "-":
        found.add_list(_read_stdin(stdin), folder="")
        nothing = "no paths on standard input; pipe one path a line into it"
    elif os.path.lexists(text):
        found.add(text)
        nothing = f"no images in '{printable(text)}' ({_LOOKED_FOR})"
    elif text.startswith("@"):
        found.add_list(_read_list(text[1:]), folder=os.path.dirname(text[1:]))
        nothing = f"the list '{printable(text[1:])}' names no images; write one path a line"
    elif glob.has_magic(text):
        found.add_glob(text)
        nothing = f"nothing matches '{printable(text)}', or no images ({_LOOKED_FOR})"
    elif text in _SAMPLES:
        found.entries.extend(ImageRef(name, read) for name, read in sample_images()[_SAMPLES[text]])
        nothing = ""
    else:
        raise DataError(f"no such file or folder: '{printable(text)}'{_suggestion(text)} ({_BUILT_IN})")
    if not found.entries and found.skipped:
        first = found.skipped[0]
        raise DataError(f"no usable images in '{printable(text)}': {first.name}: {first.reason}")
    if not found.entries:
        raise DataError(nothing)
    return ImageSource(printable(text), tuple(found.entries), tuple(found.skipped))


class _Found:
    """What one SOURCE has yielded so far."""

    def __init__(self) -> None:
        self.entries: list[ImageRef | _TarEntry] = []
        self.skipped: list[Skipped] = []
        self._entered: set[tuple[int, int]] = set()  # folders, by device and inode: links may form loops

    def add(self, path: str) -> None:
        if os.path.isdir(path):
            self._add_files(self._files_in(path))
        elif is_archive(path):
            self._add_archive(path)
        else:
            self._add_files([path])

    def _add_files(self, paths: list[str]) -> None:
        self.entries.extend(
            ImageRef(printable(path), partial(read_file, path), size=partial(_size, path)) for path in paths
        )

    def add_list(self, paths: list[str], folder: str) -> None:
        for path in paths:
            beside = os.path.join(folder, path)
            self.add(beside if not os.path.lexists(path) and os.path.lexists(beside) else path)

    def add_glob(self, pattern: str) -> None:
        extension = os.path.splitext(pattern)[1]
        any_file = bool(extension) and not glob.has_magic(extension)
        files: dict[str, str] = {}  # by normal form, for "**" matches folders and also what is in them
        for match in sorted(glob_matches(pattern), key=os.fsencode):
            if os.path.isdir(match):
                paths = self._files_in(match)
            else:
                paths = [match] if any_file or is_archive(match) or is_image(match) else []
            for path in paths:
                files.setdefault(os.path.normpath(path), path)
        for path in sorted(files.values(), key=os.fsencode):
            self.add(path)

    def _files_in(self, folder: str) -> list[str]:
        files: list[str] = []
        for _, images, skipped in walk(folder, self._entered):
            files += images
            self.skipped += skipped
        return sorted(files, key=os.fsencode)

    def _add_archive(self, path: str) -> None:
        name = printable(path)
        try:
            if is_zip(path):
                for member in zip_members(path):
                    entry = ImageRef(f"{name}/{printable(member.name)}", member.read, size=partial(int, member.size))
                    self._add_member(member, entry)
            else:
                for position, member in tar_members(path):
                    self._add_member(member, _TarEntry(f"{name}/{printable(member.name)}", path, position))
        except DataError as error:
            raise _bad_archive(path, error) from error

    def _add_member(self, member: Member, entry: ImageRef | _TarEntry) -> None:
        if not is_image(member.name) or any(map(is_hidden, member.name.split("/"))):
            return
        if member.problem is None:
            self.entries.append(entry)
        else:
            self.skipped.append(Skipped(entry.name, member.problem))


def _stream_tar(archive: str, names: dict[int, str]) -> Iterator[ImageRef]:
    try:
        for position, member in tar_members(archive, names):
            content = member.read()
            yield ImageRef(names[position], partial(bytes, content), len(content))
    except DataError as error:
        raise _bad_archive(archive, error) from error


def _archive_of(entry: ImageRef | _TarEntry) -> str | None:
    return entry.archive if isinstance(entry, _TarEntry) else None


def _bad_archive(path: str, error: DataError) -> DataError:
    return DataError(f"cannot read the archive '{printable(path)}': {error}; fetch it again, or unpack it first")


def _read_stdin(stdin: BinaryIO | TextIO | None) -> list[str]:
    stream = sys.stdin if stdin is None else stdin
    if stream is None:
        return []
    content = getattr(stream, "buffer", stream).read(_MAX_LIST_BYTES + 1)
    if len(content) > _MAX_LIST_BYTES:
        raise DataError("standard input is no list of paths: it is larger than 64 MiB")
    return _paths(content if isinstance(content, bytes) else os.fsencode(content))


def _read_list(path: str) -> list[str]:
    try:
        return _paths(read_file(path, limit=_MAX_LIST_BYTES))
    except DataError as error:
        remedy = "" if os.path.lexists(path) else _suggestion(path)
        if _is_pipe(path):
            remedy = ", or pipe the list into '-'"
        raise DataError(f"cannot read the list '{printable(path)}': {error}{remedy}") from error


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):  # reading says why
        return 0


def _paths(content: bytes) -> list[str]:
    # One a line, or separated by NUL if there is one, as `find -print0` writes them.
    if b"\0" in content:
        lines = content.split(b"\0")
    else:
        lines = [line.removesuffix(b"\r") for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    return [os.fsdecode(line) for line in lines if line.strip()]


def _suggestion(path: str) -> str:
    folder, name = os.path.split(os.path.normpath(path))
    try:
        names = [*os.listdir(folder or "."), *_SAMPLES]
    except (OSError, ValueError):  # a zero byte in the name
        return ""
    close = difflib.get_close_matches(name, names, n=1) if len(names) < _MANY else []
    return f"; did you mean '{printable(os.path.join(folder, close[0]))}'?" if close else ""
