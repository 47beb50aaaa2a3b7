"""Read or decode the images of a source in threads, ahead of whoever consumes them, in order."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ndtools.computing.memory import MemoryGate, require_memory
from ndtools.data.images.ahead import Claim, ahead
from ndtools.data.images.decoding import Pixels, decode_image, decoding_memory, open_image
from ndtools.data.images.folders import Skipped
from ndtools.data.images.sources import ImageRef, ImageSource, resolve_source
from ndtools.errors import DataError, OptionError, SkippedImageWarning

__all__ = [
    "Decoded",
    "Encoded",
    "Skipped",
    "iter_images",
    "load_images",
    "processors",
    "read_images",
]

LOOK_AHEAD_BYTES = 2**28
"""Memory for images that are read or decoded and not yet consumed, but for the next one (256 MiB)."""
READERS = 32
"""Threads that only read: they wait for the storage, not for a processor. So many hide the 100 ms of a network."""

_TOO_LARGE = "too large for the memory"

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Decoded:
    """One decoded image.

    Parameters
    ----------
    name : str
        Printable name.
    pixels : numpy.ndarray of shape (C, H, W)
        uint8 in 0..255, or float32 in [0, 1] for sources of higher depth; see `decode_image`.
    """

    name: str
    pixels: Pixels

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes."""
        return self.pixels.nbytes


@dataclass(frozen=True, eq=False)
class Encoded:
    """One image that is read but not decoded.

    Parameters
    ----------
    name : str
        Printable name.
    content : bytes or PIL.Image.Image
        The encoded file, or a picture if the image was made in code.
    gray, resize
        How to decode it; see `load_images`.
    """

    name: str
    content: bytes | Image.Image
    gray: bool = False
    resize: int | None = None

    @property
    def nbytes(self) -> int:
        """Memory taken, bytes (of a picture about as many, at three bytes a pixel)."""
        if isinstance(self.content, bytes):
            return len(self.content)
        return 3 * self.content.width * self.content.height

    def decode(self) -> Decoded | Skipped:
        """Decode it, or say why that is not possible."""
        image = self.open()
        return image if isinstance(image, Skipped) else self._decode(image)

    @contextmanager
    def decoded(self, gate: MemoryGate, working: int = 0) -> Iterator[Decoded | Skipped]:
        """Decode it for the body of a ``with`` statement, once there is memory for that.

        Parameters
        ----------
        gate : MemoryGate
            Shared by all threads that decode.
        working : int
            Bytes for each pixel that the body takes.

        Yields
        ------
        Decoded or Skipped
            The image, or why there is none.
        """
        image = self.open()
        if isinstance(image, Skipped):
            yield image
            return
        needed = decoding_memory(image, self.resize) + working * image.width * image.height
        with gate.hold(needed):
            try:
                require_memory(needed, f"an image of {image.width} x {image.height} pixels")
            except DataError as error:
                item: Decoded | Skipped = Skipped(self.name, str(error))
            else:
                item = self._decode(image)
            yield item

    def open(self) -> Image.Image | Skipped:
        """Open it without decoding, or say why that is not possible."""
        try:
            return open_image(self.content)
        except DataError as error:
            return Skipped(self.name, str(error))
        except MemoryError:
            return Skipped(self.name, _TOO_LARGE)

    def _decode(self, image: Image.Image) -> Decoded | Skipped:
        try:
            return Decoded(self.name, decode_image(image, gray=self.gray, resize=self.resize))
        except DataError as error:
            return Skipped(self.name, str(error))
        except MemoryError:
            return Skipped(self.name, _TOO_LARGE)


def load_images(
    source: ImageSource, *, gray: bool = False, resize: int | None = None, jobs: int | None = None
) -> Iterator[Decoded | Skipped]:
    """Decode the images of a source, several at a time, ahead of the consumer.

    At most ``2 * jobs + 2`` images are under way, fewer if they are large: they take at most 256 MiB together, files
    and pixels, but for the one that comes next, which may take more.

    Parameters
    ----------
    source : ImageSource
        From `resolve_source`.
    gray : bool
        One channel (luma) instead of three.
    resize : int, optional
        Length of the short side, pixels.
    jobs : int, optional
        Decoding threads; as many as there are processors for this process if not given.

    Returns
    -------
    iterator of Decoded or Skipped
        First what the source could not use, then every image in the order of the source. Closing the
        iterator early drops the work that has not begun.

    Raises
    ------
    OptionError
        `jobs` or `resize` is less than 1.
    DataError
        While iterating: an archive turned out to be damaged. A single bad image is Skipped instead.
    """
    threads = processors(jobs)
    read = _reader(gray, resize)

    def load(reference: ImageRef, claim: Claim) -> Decoded | Skipped:
        item = read(reference, claim)
        if isinstance(item, Skipped):
            return item
        image = item.open()
        if isinstance(image, Skipped):
            return image
        claim(reference.nbytes + item.nbytes + decoding_memory(image, resize))
        loaded = item.decode()
        claim(reference.nbytes + (0 if isinstance(loaded, Skipped) else loaded.nbytes))
        return loaded

    return _ahead(source, load, threads)


def read_images(source: ImageSource, *, gray: bool = False, resize: int | None = None) -> Iterator[Encoded | Skipped]:
    """Read the images of a source ahead of consumers that decode them, each in its own thread.

    Parameters
    ----------
    source : ImageSource
        From `resolve_source`.
    gray, resize
        As in `load_images`.

    Returns
    -------
    iterator of Encoded or Skipped
        First what the source could not use, then every image in the order of the source. Closing the
        iterator early drops the work that has not begun.

    Raises
    ------
    OptionError
        `resize` is less than 1.
    DataError
        While iterating: an archive turned out to be damaged. A single unreadable file is Skipped instead.
    """
    return _ahead(source, _reader(gray, resize), READERS)


def _reader(gray: bool, resize: int | None) -> Callable[[ImageRef, Claim], Encoded | Skipped]:
    if resize is not None and resize < 1:
        raise OptionError("resize", f"the short side must be at least 1 pixel, got {resize}")

    def read(reference: ImageRef, claim: Claim) -> Encoded | Skipped:
        claim(reference.nbytes + reference.size())
        try:
            return Encoded(reference.name, reference.read(), gray, resize)
        except DataError as error:
            return Skipped(reference.name, str(error))
        except MemoryError:
            return Skipped(reference.name, _TOO_LARGE)

    return read


def iter_images(
    source: str | os.PathLike[str] | ImageSource,
    *,
    gray: bool = False,
    resize: int | None = None,
    images: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Go through the images of a source as floating-point arrays; what cannot be read is warned about.

    Parameters
    ----------
    source : str, path-like or ImageSource
        What `resolve_source` takes or gives, e.g. a folder or ``"sample"``.
    gray : bool
        One channel (luma) instead of three.
    resize : int, optional
        Length of the short side, pixels.
    images : int, optional
        Choose so many at random; all if not given.
    seed : int
        Of that choice.
    jobs : int, optional
        Decoding threads; as many as there are processors for this process if not given.

    Returns
    -------
    iterator of numpy.ndarray
        float32 of shape (C, H, W) in [0, 1], contiguous and writable. A `SkippedImageWarning` names each
        unreadable image and the reason.

    Raises
    ------
    DataError
        Nothing there, or no images in it.
    OptionError
        `images`, `jobs` or `resize` is less than 1.
    """
    found = source if isinstance(source, ImageSource) else resolve_source(source)
    if images is not None:
        found = found.subset(images, seed)
    return _as_float(load_images(found, gray=gray, resize=resize, jobs=jobs))


def _as_float(loaded: Iterator[Decoded | Skipped]) -> Iterator[NDArray[np.float32]]:
    for item in loaded:
        if isinstance(item, Skipped):
            # Level 2 is the line that iterates.
            warnings.warn(f"skipped {item.name}: {item.reason}", SkippedImageWarning, stacklevel=2)
        else:
            scale = 255 if item.pixels.dtype == np.uint8 else 1
            yield np.divide(item.pixels, scale, dtype=np.float32, order="C")


def _ahead(source: ImageSource, work: Callable[[ImageRef, Claim], T | Skipped], threads: int) -> Iterator[T | Skipped]:
    yield from source.skipped
    with closing(
        ahead(iter(source), work, threads=threads, limit=LOOK_AHEAD_BYTES, held=lambda reference: reference.nbytes)
    ) as results:
        yield from results


def processors(jobs: int | None = None) -> int:
    """Return how many threads to use.

    Parameters
    ----------
    jobs : int, optional
        What was asked for.

    Returns
    -------
    int
        That, or the number of processors that this process may use: in a container or a batch job fewer than
        there are.

    Raises
    ------
    OptionError
        `jobs` is less than 1.
    """
    if jobs is not None:
        if jobs < 1:
            raise OptionError("jobs", f"must be at least 1, got {jobs}")
        return jobs
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
