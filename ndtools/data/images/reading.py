"""Read or decode the images of a source in threads, in order and ahead of their consumer."""

import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ndtools.computing.memory import MemoryGate, require_memory
from ndtools.data.images.ahead import Claim, ahead
from ndtools.data.images.decoding import (
    Picture,
    Pixels,
    decode_image,
    decoding_memory,
    number_of_frames,
    open_image,
    rounding_step,
    using_memory,
)
from ndtools.data.images.folders import Skipped
from ndtools.data.images.frames import Frames, warn_of_frames
from ndtools.data.images.layouts import ArrayLayout
from ndtools.data.images.planes import Planes
from ndtools.data.images.sources import ImageRef, ImageSource, resolve_source
from ndtools.data.images.stored import RAW_EXTENSIONS
from ndtools.errors import DataError, OptionError, SkippedImageWarning, UnreachableError
from ndtools.numerics.colour import rounding_variance
from ndtools.numerics.pixels import white
from ndtools.validation import Space

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
"""Largest memory in bytes of images that are read or decoded but not yet consumed; the next may take more (256 MiB)."""
READERS = 32
"""Number of threads that only read. They wait for storage, not for a processor; 32 hide a network delay of 100 ms."""

_TOO_LARGE = "too large for the memory"

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Decoded:
    """One decoded image.

    Parameters
    ----------
    name : str
        Printable name of the image.
    pixels : numpy.ndarray of shape (C, H, W)
        Pixels: uint8 in 0..255, float32 in [0, 1] for sources of higher depth, or floating-point values of arrays; see
        `decode_image`.
    frames : int
        Number of frames or pages of the file, of which the pixels are the first. Default 1.
    step : float
        Step between neighbouring values of the file's pixels, in [0, 1] except for arrays whose values are taken as
        they are. In other colour spaces than sRGB, which stretch the steps, it is √12 times the standard deviation of
        the rounding. Default 0: floating point, or unknown.
    """

    name: str
    pixels: Pixels
    frames: int = 1
    step: float = 0.0

    @property
    def nbytes(self) -> int:
        """Memory of the pixels in bytes."""
        return self.pixels.nbytes


@dataclass(frozen=True, eq=False)
class Encoded:
    """One image that is read but not decoded.

    Parameters
    ----------
    name : str
        Printable name of the image.
    content : bytes, PIL.Image.Image or Planes
        Encoded file, a picture if the image is generated, or planes if it is one of an array.
    gray, resize, space
        Settings for decoding; see `load_images`.
    """

    name: str
    content: bytes | Picture
    gray: bool = False
    resize: int | None = None
    space: Space = "srgb"

    @property
    def nbytes(self) -> int:
        """Memory of the content in bytes (for a picture an estimate of three bytes per pixel)."""
        if isinstance(self.content, bytes):
            return len(self.content)
        if isinstance(self.content, Planes):  # which are read when they are decoded
            return 0
        return 3 * self.content.width * self.content.height

    def decode(self) -> Decoded | Skipped:
        """Return the decoded image, or the reason why it cannot be decoded."""
        image = self.open()
        return image if isinstance(image, Skipped) else self._decode(image)

    @contextmanager
    def decoded(self, gate: MemoryGate, working: int = 0) -> Iterator[Decoded | Skipped]:
        """Decode the image for the body of a ``with`` statement, as soon as there is memory for both.

        Parameters
        ----------
        gate : MemoryGate
            Gate that all decoding threads share.
        working : int
            Bytes that the body takes for each pixel of an 8-bit image. Default 0.

        Yields
        ------
        Decoded or Skipped
            The image, or the reason why it cannot be decoded.
        """
        image = self.open()
        if isinstance(image, Skipped):
            yield image
            return
        needed = decoding_memory(image, self.resize, self.space) + using_memory(image, working, self.resize, self.space)
        with gate.hold(needed):
            try:
                require_memory(needed, f"an image of {image.width} x {image.height} pixels")
            except DataError as error:
                item: Decoded | Skipped = Skipped(self.name, str(error))
            else:
                item = self._decode(image)
            yield item

    def open(self) -> Picture | Skipped:
        """Return the image opened but not decoded, or the reason why it cannot be opened."""
        try:
            return open_image(self.content)
        except DataError as error:
            raw = os.path.splitext(self.name)[1].lower() in RAW_EXTENSIONS
            hint = "; `raw` says what a file of numbers without a header holds" if raw else ""
            return Skipped(self.name, f"{error}{hint}")
        except MemoryError:
            return Skipped(self.name, _TOO_LARGE)

    def _decode(self, image: Picture) -> Decoded | Skipped:
        try:
            step = rounding_step(image)
            pixels = decode_image(image, gray=self.gray, resize=self.resize, space=self.space)
            if self.space != "srgb" and step:
                step = math.sqrt(12 * rounding_variance(pixels.astype(np.float32, copy=False), self.space, step))
            return Decoded(self.name, pixels, number_of_frames(image), step)
        except DataError as error:
            return Skipped(self.name, str(error))
        except MemoryError:
            return Skipped(self.name, _TOO_LARGE)


def load_images(
    source: ImageSource,
    *,
    gray: bool = False,
    resize: int | None = None,
    space: Space = "srgb",
    jobs: int | None = None,
) -> Iterator[Decoded | Skipped]:
    """Decode the images of a source, several at a time, ahead of the consumer.

    At most ``2 * jobs + 2`` images are in progress, and fewer if they are large. Their files and pixels take at most
    256 MiB together, except that the next image may take more.

    Parameters
    ----------
    source : ImageSource
        Source of the images, from `resolve_source`.
    gray : bool
        Whether to return one channel (luma) instead of three. Default False.
    resize : int, optional
        Length of the short side in pixels, at least 1. By default images keep their size.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels; see `decode_image`. Default "srgb", as files have it.
    jobs : int, optional
        Number of decoding threads, at least 1. Default: the number of processors that this process may use.

    Returns
    -------
    iterator of Decoded or Skipped
        First the skipped entries of the source, then every image in the order of the source. Closing the iterator
        early drops the work that has not begun.

    Raises
    ------
    OptionError
        `jobs` or `resize` is less than 1.
    DataError
        While iterating: an archive is damaged. A single bad image is returned as Skipped instead.
    """
    threads = processors(jobs)
    source.channels_decoded(gray=gray, space=space)  # raises an error where these have no meaning
    read = _reader(gray, resize, space)

    def load(reference: ImageRef, claim: Claim) -> Decoded | Skipped:
        item = read(reference, claim)
        if isinstance(item, Skipped):
            return item
        image = item.open()
        if isinstance(image, Skipped):
            return image
        claim(reference.nbytes + item.nbytes + decoding_memory(image, resize, space))
        loaded = item.decode()
        claim(reference.nbytes + (0 if isinstance(loaded, Skipped) else loaded.nbytes))
        return loaded

    return _ahead(source, load, threads)


def read_images(
    source: ImageSource, *, gray: bool = False, resize: int | None = None, space: Space = "srgb"
) -> Iterator[Encoded | Skipped]:
    """Read the images of a source ahead of its consumers, which decode them in threads of their own.

    Parameters
    ----------
    source : ImageSource
        Source of the images, from `resolve_source`.
    gray, resize, space
        Settings for decoding, as in `load_images`.

    Returns
    -------
    iterator of Encoded or Skipped
        First the skipped entries of the source, then every image in the order of the source. Closing the iterator
        early drops the work that has not begun.

    Raises
    ------
    OptionError
        `resize` is less than 1.
    DataError
        While iterating: an archive is damaged. A single unreadable file is returned as Skipped instead.
    """
    source.channels_decoded(gray=gray, space=space)  # raises an error where these have no meaning
    return _ahead(source, _reader(gray, resize, space), READERS)


def _reader(gray: bool, resize: int | None, space: Space) -> Callable[[ImageRef, Claim], Encoded | Skipped]:
    if resize is not None and resize < 1:
        raise OptionError("resize", f"must be at least 1 pixel, got {resize}")

    def read(reference: ImageRef, claim: Claim) -> Encoded | Skipped:
        claim(reference.nbytes + reference.size())
        try:
            return Encoded(reference.name, reference.read(), gray, resize, space)
        except UnreachableError:  # which says nothing about the image
            raise
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
    space: Space = "srgb",
    images: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    layout: ArrayLayout | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Iterate through the images of a source as floating-point arrays, with a warning for each unreadable image.

    Parameters
    ----------
    source : str, path-like or ImageSource
        Argument or result of `resolve_source`, e.g. a folder or ``"sample"``.
    gray : bool
        Whether to return one channel (luma) instead of three. Default False.
    resize : int, optional
        Length of the short side in pixels, at least 1. By default images keep their size.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels; see `decode_image`. Default "srgb", as files have it.
    images : int, optional
        Number of images to choose at random, at least 1. By default all are used.
    seed : int
        Seed of the random choice of images. Default 0.
    jobs : int, optional
        Number of decoding threads, at least 1. Default: the number of processors that this process may use.
    layout : ArrayLayout, optional
        Names, axes and types of the arrays in files. By default axes are told by the shapes of arrays.

    Returns
    -------
    iterator of numpy.ndarray
        Arrays of shape (C, H, W), float32, contiguous and writable, in [0, 1] or the range of `space`. A
        `SkippedImageWarning` names each unreadable image and the reason, and a `NumericalWarning` each image with
        several frames, of which the first is used.

    Raises
    ------
    DataError
        The source does not exist, or holds no images.
    OptionError
        `images`, `jobs` or `resize` is less than 1.
    """
    chosen = source if isinstance(source, ImageSource) else resolve_source(source, layout=layout or ArrayLayout())
    return _as_float(load_images(chosen.subset(images, seed), gray=gray, resize=resize, space=space, jobs=jobs))


def _as_float(loaded: Iterator[Decoded | Skipped]) -> Iterator[NDArray[np.float32]]:
    for item in loaded:
        if isinstance(item, Skipped):
            # With level 2, the warning points to the line that iterates.
            warnings.warn(f"skipped {item.name}: {item.reason}", SkippedImageWarning, stacklevel=2)
        else:
            if item.frames > 1:
                warn_of_frames([Frames(item.name, item.frames)])
            yield np.divide(item.pixels, white(item.pixels), dtype=np.float32, order="C")


def _ahead(source: ImageSource, work: Callable[[ImageRef, Claim], T | Skipped], threads: int) -> Iterator[T | Skipped]:
    yield from source.skipped
    with closing(
        ahead(iter(source), work, threads=threads, limit=LOOK_AHEAD_BYTES, held=lambda reference: reference.nbytes)
    ) as results:
        yield from results


def processors(jobs: int | None = None) -> int:
    """Return the number of threads to use.

    Parameters
    ----------
    jobs : int, optional
        Number of threads that was requested, at least 1.

    Returns
    -------
    int
        `jobs` if it is given. Else the number of processors that this process may use; in a container or a batch job,
        they are fewer than those of the machine.

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
