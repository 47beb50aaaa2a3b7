"""Entries of a source: images, and archives that are read in one pass."""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from PIL import Image

from ndtools.data.images.archives import Member, tar_members
from ndtools.data.images.folders import Skipped, is_hidden, is_image
from ndtools.data.images.parquet import is_parquet, parquet_members
from ndtools.data.images.places import Place
from ndtools.errors import DataError, UnreachableError
from ndtools.text import printable

__all__ = ["Archive", "Entry", "ImageRef", "StreamedEntry", "archive_of", "archive_problem", "is_wanted", "references"]


@dataclass(frozen=True)
class ImageRef:
    """Reference to one image of a source, which is not read yet.

    Parameters
    ----------
    name : str
        Printable name of the image; ``ARCHIVE/MEMBER`` for a member of an archive.
    read : function without arguments
        Function that returns the encoded file (bytes), or a picture if the image is generated. It raises DataError,
        whose message is only the reason. Any thread may call it.
    nbytes : int
        Memory in bytes that the reference itself holds. It is 0 except for members of tar archives. Default 0.
    size : function without arguments
        Function that returns how many bytes `read` adds to `nbytes`, without reading them; 0 if unknown. Any thread
        may call it.
    """

    name: str
    read: Callable[[], bytes | Image.Image] = field(repr=False)
    nbytes: int = 0
    size: Callable[[], int] = field(repr=False, default=int)


@dataclass(frozen=True, eq=False)
class Archive:
    """Archive that is read in one pass: a tar archive, or a Parquet table with a column of images.

    Its images are known once it is listed. A far archive is not listed unless someone asks for that, because all of it
    is read then; it is an entry itself.

    Parameters
    ----------
    path : str
        Path or address of the archive.
    place : Place
        Place that has it.
    """

    path: str
    place: Place = field(repr=False)

    @property
    def name(self) -> str:
        """Printable name of the archive."""
        return printable(self.path)

    def members(self, wanted: Collection[int] | Callable[[str], bool] = ()) -> Iterator[tuple[int, Member]]:
        """Iterate through the members, with the content of those that are wanted; see `archives.tar_members`.

        Parameters
        ----------
        wanted : collection of int, or callable
            Positions of the members to read, or function that returns whether a member of some name is read. If empty,
            the default, all are listed.

        Yields
        ------
        (int, Member)
            Position and member.

        Raises
        ------
        DataError
            If the archive cannot be read. The message contains its name.
        UnreachableError
            If the storage does not answer.
        """
        try:
            if is_parquet(self.path):
                yield from parquet_members(self.path, wanted, self.place.open)
            else:
                yield from tar_members(self.path, wanted, self.place.open)
        except UnreachableError:
            raise
        except DataError as error:
            raise DataError(archive_problem(self.path, error)) from error

    def listed(self) -> "tuple[list[StreamedEntry], list[Skipped]]":
        """Return the images of the archive in its order, and those that cannot be read."""
        entries, skipped = [], []
        for position, member in self.members():
            if not is_parquet(self.path) and not is_wanted(member.name):
                continue
            name = f"{self.name}/{printable(member.name)}"
            if member.problem is None:
                entries.append(StreamedEntry(name, self, position))
            else:
                skipped.append(Skipped(name, member.problem))
        return entries, skipped


@dataclass(frozen=True)
class StreamedEntry:
    """Image in an archive that is read in one pass.

    Parameters
    ----------
    name : str
        Printable name of the image.
    archive : Archive
        Archive that holds it.
    position : int
        Position of the image in the archive.
    """

    name: str
    archive: Archive
    position: int


Entry: TypeAlias = ImageRef | StreamedEntry | Archive


def references(entries: Sequence[Entry]) -> Iterator[ImageRef]:
    """Yield a reference to each image of some entries, and read each archive among them in one pass.

    Parameters
    ----------
    entries : sequence
        Images, images in archives, and whole archives.

    Yields
    ------
    ImageRef
        Reference to an image. If it is in an archive, it holds the content.
    """
    for archive, run in itertools.groupby(entries, archive_of):
        if archive is None:
            yield from (entry for entry in run if isinstance(entry, ImageRef))
            continue
        positions = {entry.position: entry.name for entry in run if isinstance(entry, StreamedEntry)}
        for position, member in archive.members(positions or is_wanted):
            name = positions.get(position) or f"{archive.name}/{printable(member.name)}"
            if member.problem is None:
                content = member.read()
                yield ImageRef(name, partial(bytes, content), len(content))
            else:
                yield ImageRef(name, partial(_refuse, member.problem))


def archive_of(entry: Entry) -> Archive | None:
    """Return the archive that an entry is, or is in; None for an image by itself."""
    if isinstance(entry, Archive):
        return entry
    return entry.archive if isinstance(entry, StreamedEntry) else None


def is_wanted(name: str) -> bool:
    """Return whether a member of an archive is an image, by its name, and not hidden."""
    return is_image(name) and not any(map(is_hidden, name.split("/")))


def archive_problem(path: str, error: DataError) -> str:
    """Return the message for an archive that cannot be read for some reason."""
    return f"cannot read the archive '{printable(path)}': {error}; fetch it again, or unpack it first"


def _refuse(problem: str) -> bytes:
    raise DataError(problem)
