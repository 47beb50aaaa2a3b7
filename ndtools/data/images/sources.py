"""Find the images that a SOURCE names: a file, a folder, a glob, a list, an archive, or the built-in set."""

import difflib
import hashlib
import itertools
import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import BinaryIO, TextIO

import numpy as np

from ndtools.data.images.entries import Archive, Entry, ImageRef, archive_of, references
from ndtools.data.images.finding import Collector
from ndtools.data.images.folders import Skipped
from ndtools.data.images.layouts import ArrayLayout
from ndtools.data.images.places import Place, expand_braces
from ndtools.data.images.synthetic import sample_images
from ndtools.errors import DataError, OptionError, UnreachableError
from ndtools.numerics.colour import channel_names
from ndtools.text import names_in_words, printable
from ndtools.validation import Space

__all__ = ["BUILT_IN_SOURCES", "ImageRef", "ImageSource", "Skipped", "resolve_source"]

_BUILT_IN = "built-in: sample, sample-photo, dead-leaves"
_SAMPLES = {"sample": slice(None), "sample-photo": slice(-1, None), "dead-leaves": slice(-1)}
BUILT_IN_SOURCES = tuple(_SAMPLES)
"""Sources that need no file."""
_LOOKED_FOR = "looked for .jpg, .png, .webp, .tif, .gif, .bmp, .ppm and other image files, and .npy, .npz and .mat"
_LOOKED_FOR_ARRAYS = "looked for arrays alone, as axes, key and raw say; photographs are read without these options"
_MAX_LIST_BYTES = 2**26  # room for a million long paths
_MANY = 10_000  # number of names in a folder from which on close matches are not searched


@dataclass(frozen=True)
class ImageSource:
    """Images that a SOURCE names, in a fixed order.

    Iterating yields an :class:`ImageRef` for each image. Members of tar archives are read while iterating, in one pass
    through the archive, so that only the members that the consumer keeps are in memory. All other images are read by
    ``ImageRef.read``. A tar archive that is far is not listed before; asking for the length of a source lists it.

    Parameters
    ----------
    label : str
        Name of the SOURCE in printable form.
    entries : tuple
        Entries of the source, one for each image, and one for each tar archive that is far.
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
    entries: tuple[Entry, ...] = field(repr=False)
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
            raise OptionError(
                "gray", f"needs channels R, G and B, of which luma is defined, got {names_in_words(self.channels)}"
            )
        return ("gray",)

    def __len__(self) -> int:
        return len(self.listed.entries)

    def __iter__(self) -> Iterator[ImageRef]:
        return references(self.entries)

    @property
    def total(self) -> int | None:
        """Number of images and of skipped entries; None if it is known only when far archives have been read."""
        if any(isinstance(entry, Archive) for entry in self.entries):
            return None
        return len(self.entries) + len(self.skipped)

    @cached_property
    def listed(self) -> "ImageSource":
        """The same source, of which all images are known: far archives are read for that, once."""
        if self.total is not None:
            return self
        entries: list[Entry] = []
        skipped = list(self.skipped)
        for entry in self.entries:
            if isinstance(entry, Archive):
                within, without = entry.listed()
                entries += within
                skipped += without
            else:
                entries.append(entry)
        return replace(self, entries=tuple(entries), skipped=tuple(skipped))

    def subset(self, n: int | None, seed: int) -> "ImageSource":
        """Choose images at random without replacement, and keep their order.

        Parameters
        ----------
        n : int or None
            Number of images to choose, at least 1; all are chosen if it is None, or the source has no more. With the
            same seed, a larger `n` adds to the choice of a smaller `n`.
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
        if n is None:
            return self
        if n < 1:
            raise OptionError("images", f"must be at least 1, got {n}")
        if n >= len(self):
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self))[:n])
        return replace(self.listed, entries=tuple(self.listed.entries[i] for i in chosen))

    def shard(self, number: int, of: int) -> "ImageSource":
        """Return one of several parts in which neighbours stay together, for several machines.

        Every tar archive is in one part, so that none reads it in vain. If a source has fewer archives and images
        outside of them than parts, the images in its archives are divided.

        Parameters
        ----------
        number : int
            Number of the part, from 1.
        of : int
            Number of parts.

        Returns
        -------
        ImageSource
            Part of the source. The first part has the skipped entries.

        Raises
        ------
        OptionError
            If there are fewer images than parts.
        """
        source = self
        units = [list(run) for _, run in itertools.groupby(source.entries, _unit_of)]
        if len(units) < of:
            source = self.listed
            units = [[entry] for entry in source.entries]
        if len(units) < of:
            raise OptionError("shard", f"must have at most as many parts as {self.label} has images, {len(units)}")
        first, last = ((number - 1) * len(units) // of, number * len(units) // of)
        chosen = tuple(entry for unit in units[first:last] for entry in unit)
        return replace(source, entries=chosen, skipped=() if number > 1 else source.skipped)

    def shards(self, most: int) -> int:
        """Return into how many parts `shard` divides by default: one for each archive and other image, up to `most`."""
        units = len({_unit_of(entry) for entry in self.entries})
        return min(most, units if units > 1 else len(self))

    @property
    def listing(self) -> str:
        """Digest of the names of the images and archives, which tells whether a source is as it was."""
        units = itertools.groupby(self.entries, _unit_of)
        names = "\n".join(unit.name if isinstance(unit, Archive) else next(run).name for unit, run in units)
        return hashlib.sha256(names.encode(errors="surrogateescape")).hexdigest()[:16]

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
        source = self.listed
        groups = np.array_split(np.random.default_rng(seed).permutation(len(source)), min(n, len(source)))
        return tuple(
            replace(
                source,
                entries=tuple(source.entries[i] for i in np.sort(chosen)),
                skipped=() if position else source.skipped,
            )
            for position, chosen in enumerate(groups)
        )


def resolve_source(
    source: str | os.PathLike[str],
    *,
    stdin: BinaryIO | TextIO | None = None,
    layout: ArrayLayout | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> ImageSource:
    """Find the images that a SOURCE names.

    A SOURCE is a file (with any extension), a folder (with its subfolders), a glob pattern (``**`` for any depth),
    ``@LIST`` (a file with one path per line), ``-`` (such a list on standard input), an archive (.zip, .tar, .tar.gz,
    .tar.bz2, .tar.xz) or Parquet table with a column of images (.parquet), ``sample`` (the built-in set),
    ``sample-photo`` (the one photograph in that set) or ``dead-leaves`` (its generated images). An existing path takes
    precedence over every other meaning except ``-``. Instead of paths there may be addresses of fsspec, such as
    ``s3://bucket/photos``. Braces stand for several paths: ``{a,b}``, or ``{000..999}`` for numbers of that width.

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
    progress : callable, optional
        Function that is told, while folders are listed, that no image is done, and how many were found.

    Returns
    -------
    ImageSource
        Source of at least one image. No image is opened yet, but archives are listed unless they are far.

    Raises
    ------
    DataError
        The source does not exist, holds no images, or is an archive that cannot be read. The message names the remedy.
    OptionError
        `layout` names channels that are not those of the arrays, or says how arrays are read that are none.
    """
    text = os.fspath(source)
    collector = Collector((lambda found: progress(0, found)) if progress else None, layout)
    if text == "-":
        collector.add_list(_read_stdin(stdin), folder="")
        no_images = "no paths on standard input; pipe one path per line into it"
    elif os.path.lexists(text):
        collector.add(text)
        no_images = f"no images in '{printable(text)}' ({_LOOKED_FOR})"
    elif text.startswith("@"):
        name = text[1:]
        collector.add_list(_read_list(name, collector.place(name)), folder=os.path.dirname(name))
        no_images = f"the list '{printable(name)}' names no images; write one path per line"
    elif text in _SAMPLES:
        collector.entries.extend(ImageRef(name, read) for name, read in sample_images()[_SAMPLES[text]])
        no_images = ""
    else:
        for path in expand_braces(text):
            _add_path(collector, path)
        no_images = f"no files match '{printable(text)}', or none of them is an image ({_LOOKED_FOR})"
    if layout is not None and layout.is_given:
        no_images = no_images.replace(_LOOKED_FOR, _LOOKED_FOR_ARRAYS)
    if not collector.entries and collector.skipped:
        label = printable(text)
        raise DataError(f"no usable images in '{label}': {collector.skipped[0].in_words(label)}")
    if not collector.entries:
        raise DataError(no_images)
    label, arrays = printable(text), collector.arrays
    return ImageSource(
        label,
        tuple(collector.entries),
        tuple(collector.skipped),
        collector.repeated,
        arrays.channels(label),
        arrays.calibrated,
    )


def _add_path(collector: Collector, path: str) -> None:
    place = collector.place(path)
    if not place.far and place.has(path):
        collector.add(path)
    elif place.is_pattern(path):
        collector.add_glob(path)
    elif place.far:
        collector.add(path)
    else:
        raise DataError(f"no such file or folder: '{printable(path)}'{_suggestion(path)} ({_BUILT_IN})")


def _unit_of(entry: Entry) -> object:
    """Return what an entry stays together with: its archive, or nothing but itself."""
    return archive_of(entry) or id(entry)


def _read_stdin(stdin: BinaryIO | TextIO | None) -> list[str]:
    stream = sys.stdin if stdin is None else stdin
    if stream is None:
        return []
    content = getattr(stream, "buffer", stream).read(_MAX_LIST_BYTES + 1)
    if len(content) > _MAX_LIST_BYTES:
        raise DataError("standard input must be a list of paths, got more than 64 MiB")
    return _paths(content if isinstance(content, bytes) else os.fsencode(content))


def _read_list(path: str, place: Place) -> list[str]:
    try:
        return _paths(place.read(path, limit=_MAX_LIST_BYTES))
    except UnreachableError:
        raise
    except DataError as error:
        remedy = "" if place.far or os.path.lexists(path) else _suggestion(path)
        if _is_pipe(path):
            remedy = ", or pipe the list into '-'"
        raise DataError(f"cannot read the list '{printable(path)}': {error}{remedy}") from error


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


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
