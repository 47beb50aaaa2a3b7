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
from ndtools.data.images.layouts import ArrayLayout
from ndtools.data.images.planes import Planes
from ndtools.data.images.stored import StoredImages, holds_arrays, is_array_file, stored_images
from ndtools.data.images.synthetic import sample_images
from ndtools.errors import DataError, OptionError
from ndtools.numerics.colour import channel_names
from ndtools.text import counted, printable
from ndtools.validation import Space

__all__ = ["BUILT_IN_SOURCES", "ImageRef", "ImageSource", "Skipped", "resolve_source"]

_BUILT_IN = "built-in: sample, sample-photo, dead-leaves"
_SAMPLES = {"sample": slice(None), "sample-photo": slice(-1, None), "dead-leaves": slice(-1)}
BUILT_IN_SOURCES = tuple(_SAMPLES)
"""Sources that need no file."""
_LOOKED_FOR = "looked for .jpg, .png, .webp, .tif, .gif, .bmp, .ppm and other image files, and .npy, .npz and .mat"
_MAX_LIST_BYTES = 2**26  # room for a million long paths
_MANY = 10_000  # number of names in a folder from which on close matches are not searched


@dataclass(frozen=True)
class ImageRef:
    """Reference to one image of a source, which is not read yet.

    Parameters
    ----------
    name : str
        Printable name of the image; ``ARCHIVE/MEMBER`` for a member of an archive.
    read : function without arguments
        Function that returns the encoded file (bytes), a picture if the image is generated, or planes if it is one of
        an array. It raises DataError, whose message is only the reason. Any thread may call it.
    nbytes : int
        Memory in bytes that the reference itself holds. It is 0 except for members of tar archives. Default 0.
    size : function without arguments
        Function that returns how many bytes `read` adds to `nbytes`, without reading them; 0 if unknown. Any thread
        may call it.
    """

    name: str
    read: Callable[[], bytes | Image.Image | Planes] = field(repr=False)
    nbytes: int = 0
    size: Callable[[], int] = field(repr=False, default=int)


@dataclass(frozen=True)
class _TarEntry:
    name: str
    archive: str
    position: int


@dataclass(frozen=True)
class ImageSource:
    """Images that a SOURCE names, in a fixed order.

    Iterating yields an :class:`ImageRef` for each image. Members of tar archives are read while iterating, in one pass
    through the archive, so that only the members that the consumer keeps are in memory. All other images are read by
    ``ImageRef.read``.

    Parameters
    ----------
    label : str
        Name of the SOURCE in printable form.
    entries : tuple
        Entries of the source, one for each image.
    skipped : tuple of Skipped
        Entries that cannot be used: unreadable folders, dangling links, encrypted members.
    repeated : int
        Number of paths of a list that were left out because the list names them before. Default 0.
    channels : tuple of str
        Names of the channels of arrays, all of which have as many. Default: none, for image files, which are decoded to
        R, G and B or to luma.
    calibrated : bool
        Whether the images are arrays whose values are taken as they are, and need not be in [0, 1]. Default False.
    """

    label: str
    entries: tuple[ImageRef | _TarEntry, ...] = field(repr=False)
    skipped: tuple[Skipped, ...] = ()
    repeated: int = 0
    channels: tuple[str, ...] = ()
    calibrated: bool = False

    def channels_decoded(self, *, gray: bool, space: Space = "srgb") -> tuple[str, ...]:
        """Return the names of the channels of decoded images.

        Parameters
        ----------
        gray : bool
            Whether images are reduced to luma.
        space : {"srgb", "linear", "xyz", "lms", "log-lms"}
            Colour space of the pixels of image files. Default "srgb".

        Returns
        -------
        tuple of str
            Names of the channels; "gray" for luma.

        Raises
        ------
        OptionError
            `gray` is set for arrays whose channels are not R, G and B, of which luma is defined; or another `space` is
            wanted than that of arrays.
        """
        if not self.channels:
            return channel_names(1 if gray else 3, space)
        if space != "srgb":
            raise OptionError("space", f"has no meaning for {self.label}, whose values are taken as they are")
        if not gray or len(self.channels) == 1:
            return self.channels
        if self.channels != ("R", "G", "B"):
            found = ", ".join(map(printable, self.channels))
            raise OptionError("gray", f"needs channels R, G and B, of which luma is defined, got {found}")
        return ("gray",)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[ImageRef]:
        for archive, run in itertools.groupby(self.entries, _archive_of):
            if archive is None:
                yield from (entry for entry in run if isinstance(entry, ImageRef))
            else:
                yield from _stream_tar(archive, {e.position: e.name for e in run if isinstance(e, _TarEntry)})

    def subset(self, n: int, seed: int) -> "ImageSource":
        """Choose images at random without replacement, and keep their order.

        Parameters
        ----------
        n : int
            Number of images to choose, at least 1; all are chosen if the source has no more. With the same seed, a
            larger `n` adds to the choice of a smaller `n`.
        seed : int
            Seed of a random generator local to this call, at least 0.

        Returns
        -------
        ImageSource
            Source of the chosen images, with the same label and skipped entries.

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
        """Divide the images into parts at random.

        Parameters
        ----------
        n : int
            Number of parts; if there are fewer images, each image is a part.
        seed : int
            Seed of a random generator local to this call, at least 0.

        Returns
        -------
        tuple of ImageSource
            Parts whose sizes differ by at most one image. The first part has the skipped entries.
        """
        groups = np.array_split(np.random.default_rng(seed).permutation(len(self)), min(n, len(self)))
        return tuple(
            replace(
                self,
                entries=tuple(self.entries[i] for i in np.sort(chosen)),
                skipped=() if position else self.skipped,
            )
            for position, chosen in enumerate(groups)
        )


def resolve_source(
    source: str | os.PathLike[str], *, stdin: BinaryIO | TextIO | None = None, layout: ArrayLayout | None = None
) -> ImageSource:
    """Find the images that a SOURCE names.

    A SOURCE is a file (with any extension), a folder (with its subfolders), a glob pattern (``**`` for any depth),
    ``@LIST`` (a file with one path per line), ``-`` (such a list on standard input), an archive (.zip, .tar, .tar.gz,
    .tar.bz2, .tar.xz), ``sample`` (the built-in set), ``sample-photo`` (the one photograph in that set) or
    ``dead-leaves`` (its generated images). An existing path takes precedence over every other meaning except ``-``.

    In folders, archives and matches of a glob that does not spell out an extension, the images are the files with one
    of `EXTENSIONS`, and hidden files are left out. Links are followed, and each folder is entered once. The paths of a
    list may be separated by NUL instead of newlines. Blank lines are ignored. A file that a list names again counts
    once. A relative path in a list is looked for in the current folder, then in the folder of the list. Images are
    ordered by the bytes of their paths; lists and tar archives keep their own order.

    Files of arrays (.npy, .npz, .mat, .iml, .imc) hold one image or several, of any number of channels, whose values
    are taken as they are. They are read if there is a `layout`. In folders and matches of a glob they count if there
    are no image files. With a key, axes or raw numbers in the layout, they alone count, and TIFF files are among them.
    Archives hold no arrays.

    Parameters
    ----------
    source : str or path-like
        SOURCE as described above.
    stdin : file, optional
        File to read for ``-`` instead of ``sys.stdin``.
    layout : ArrayLayout, optional
        Names, axes and types of the arrays in files. By default no arrays are read.

    Returns
    -------
    ImageSource
        Source of at least one image. No image is opened yet (but archives are listed).

    Raises
    ------
    DataError
        The source does not exist, holds no images, or is an archive that cannot be read. The message names the remedy.
    OptionError
        `layout` names channels that are not those of the arrays, or says how arrays are read that are none.
    """
    text = os.fspath(source)
    collector = _Collector(layout)
    if text == "-":
        collector.add_list(_read_stdin(stdin), folder="")
        no_images = "no paths on standard input; pipe one path per line into it"
    elif os.path.lexists(text):
        collector.add(text)
        no_images = f"no images in '{printable(text)}' ({_LOOKED_FOR})"
    elif text.startswith("@"):
        collector.add_list(_read_list(text[1:]), folder=os.path.dirname(text[1:]))
        no_images = f"the list '{printable(text[1:])}' names no images; write one path per line"
    elif glob.has_magic(text):
        collector.add_glob(text)
        no_images = f"no files match '{printable(text)}', or none of them is an image ({_LOOKED_FOR})"
    elif text in _SAMPLES:
        collector.entries.extend(ImageRef(name, read) for name, read in sample_images()[_SAMPLES[text]])
        no_images = ""
    else:
        raise DataError(f"no such file or folder: '{printable(text)}'{_suggestion(text)} ({_BUILT_IN})")
    if not collector.entries and collector.skipped:
        first = collector.skipped[0]
        raise DataError(f"no usable images in '{printable(text)}': {first.name}: {first.reason}")
    if not collector.entries:
        raise DataError(no_images)
    return collector.source(printable(text))


class _Collector:
    """Collects the images of one SOURCE, and the entries that cannot be used."""

    def __init__(self, layout: ArrayLayout | None) -> None:
        self._layout = layout
        self._arrays: StoredImages | None = None  # the first of them, which the others must fit
        self.entries: list[ImageRef | _TarEntry] = []
        self.skipped: list[Skipped] = []
        self.repeated = 0  # paths of files that were added before
        self._added: set[str] = set()
        self._entered: set[tuple[int, int]] = set()  # device and inode of each folder: links may form loops

    def add(self, path: str) -> None:
        if os.path.isdir(path):
            for file in self._files_in(path):
                self._add_file(file)
        elif is_archive(path):
            if self._is_new(path):
                self._add_archive(path)
        else:
            self._add_file(path)

    def source(self, label: str) -> ImageSource:
        """Return the source of what was added."""
        if self._arrays is None:
            if self._layout and (self._layout.channels or self._layout.is_given):
                given = next(name for name in ("key", "axes", "raw", "channels") if getattr(self._layout, name))
                raise OptionError(given, f"has no meaning for {label}, whose images are not arrays")
            return ImageSource(label, tuple(self.entries), tuple(self.skipped), self.repeated)
        assert self._layout is not None
        return ImageSource(
            label,
            tuple(self.entries),
            tuple(self.skipped),
            self.repeated,
            self._layout.names(self._arrays.channels),
            self._arrays.calibrated,
        )

    def _add_file(self, path: str) -> None:
        if not self._is_new(path):
            return
        name = printable(path)
        if self._layout and holds_arrays(path, self._layout):
            self._add_arrays(path, name, self._layout)
        elif self._arrays is not None:
            self.skipped.append(Skipped(name, "an image file among arrays"))
        else:
            self.entries.append(ImageRef(name, partial(read_file, path), size=partial(_size, path)))

    def _add_arrays(self, path: str, name: str, layout: ArrayLayout) -> None:
        try:
            images = stored_images(path, layout)
            first = self._arrays or images
            if self.entries and self._arrays is None:
                raise DataError("an array among image files")
            if images.channels != first.channels:
                raise DataError(f"{counted(images.channels, 'channel')}, where the arrays before have {first.channels}")
            if images.calibrated != first.calibrated:
                raise DataError("uint8, which stands for [0, 1], and other types of numbers are not read together")
        except DataError as error:
            self.skipped.append(Skipped(name, str(error)))
            return
        self._arrays = first
        for i in range(images.count):
            numbered = name if images.count == 1 else f"{name}[{i}]"
            self.entries.append(ImageRef(numbered, partial(images.image, i)))

    def _is_new(self, path: str) -> bool:
        """Return whether a file is added for the first time, judged by its path."""
        full = os.path.abspath(path)
        if full in self._added:
            self.repeated += 1
            return False
        self._added.add(full)
        return True

    def add_list(self, paths: list[str], folder: str) -> None:
        for path in paths:
            beside = os.path.join(folder, path)
            self.add(beside if not os.path.lexists(path) and os.path.lexists(beside) else path)

    def add_glob(self, pattern: str) -> None:
        extension = os.path.splitext(pattern)[1]
        any_file = bool(extension) and not glob.has_magic(extension)
        matches = sorted(glob_matches(pattern), key=os.fsencode)
        for wanted in self._wanted():
            files: dict[str, str] = {}  # by normalised path: "**" matches folders and also the files in them
            for match in matches:
                if os.path.isdir(match):
                    paths = self._listed(match, wanted)
                else:
                    paths = [match] if any_file or is_archive(match) or wanted(match) else []
                for path in paths:
                    files.setdefault(os.path.normpath(path), path)
            for path in sorted(files.values(), key=os.fsencode):
                self.add(path)
            if files or self.skipped:
                return

    def _files_in(self, folder: str) -> list[str]:
        for wanted in self._wanted():
            files = self._listed(folder, wanted)
            if files or self.skipped:
                break
        return files

    def _wanted(self) -> "list[Callable[[str], bool]]":
        """Return functions of a file name that say which files of a folder count; the next only if there are none."""
        if self._layout is None:
            return [is_image]
        arrays = partial(is_array_file, layout=self._layout)
        return [arrays] if self._layout.is_given else [is_image, arrays]

    def _listed(self, folder: str, wanted: Callable[[str], bool]) -> list[str]:
        entered = set(self._entered)  # a folder without image files is entered again for arrays
        files: list[str] = []
        for _, images, skipped in walk(folder, entered, wanted):
            files += images
            self.skipped += skipped
        if files or self.skipped or wanted is not is_image:
            self._entered |= entered
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
        if any(map(is_hidden, member.name.split("/"))):
            return
        layout = self._layout
        if layout and (holds_arrays(member.name, layout) or self._arrays is not None):
            if is_image(member.name) or is_array_file(member.name, layout):
                self.skipped.append(Skipped(entry.name, "arrays are not read from archives; unpack it first"))
            return
        if not is_image(member.name):
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
        raise DataError("standard input must be a list of paths, got more than 64 MiB")
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
    except (OSError, ValueError):  # reading the file will report the reason
        return 0


def _paths(content: bytes) -> list[str]:
    # One path per line, unless the content holds a NUL: then paths are separated by NUL, as by `find -print0`.
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
