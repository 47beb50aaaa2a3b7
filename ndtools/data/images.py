"""Read or decode the images of a source in threads, ahead of whoever consumes them, in order."""

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ndtools.data.decode import Pixels, decode_image
from ndtools.data.folders import Skipped
from ndtools.data.sources import ImageRef, ImageSource, resolve_source
from ndtools.errors import DataError, OptionError

__all__ = [
    "Decoded",
    "Encoded",
    "Skipped",
    "SkippedImageWarning",
    "iter_images",
    "load_images",
    "processors",
    "read_images",
]

LOOK_AHEAD_BYTES = 2**28
"""No further image is begun while those decoded and not yet consumed take more than this (256 MiB)."""
READERS = 32
"""Threads that only read: they wait for the storage, not for a processor. So many hide the 100 ms of a network."""


class SkippedImageWarning(UserWarning):
    """An image could not be read and was left out."""


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
        try:
            return Decoded(self.name, decode_image(self.content, gray=self.gray, resize=self.resize))
        except DataError as error:
            return Skipped(self.name, str(error))
        except MemoryError:
            return Skipped(self.name, "too large for the memory")


def load_images(
    source: ImageSource, *, gray: bool = False, resize: int | None = None, jobs: int | None = None
) -> Iterator[Decoded | Skipped]:
    """Decode the images of a source, several at a time, ahead of the consumer.

    At most ``2 * jobs + 2`` images are under way, fewer if they are large: none is begun while those that
    wait take more than 256 MiB (those already begun may go beyond it).

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

    def load(reference: ImageRef) -> Decoded | Skipped:
        encoded = read(reference)
        return encoded if isinstance(encoded, Skipped) else encoded.decode()

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


def _reader(gray: bool, resize: int | None) -> Callable[[ImageRef], Encoded | Skipped]:
    if resize is not None and resize < 1:
        raise OptionError("resize", f"the short side must be at least 1 pixel, got {resize}")

    def read(reference: ImageRef) -> Encoded | Skipped:
        try:
            return Encoded(reference.name, reference.read(), gray, resize)
        except DataError as error:
            return Skipped(reference.name, str(error))
        except MemoryError:
            return Skipped(reference.name, "too large for the memory")

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


class _Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


T = TypeVar("T", bound=_Sized)


def _ahead(source: ImageSource, work: Callable[[ImageRef], T | Skipped], threads: int) -> Iterator[T | Skipped]:
    yield from source.skipped
    references = iter(source)
    waiting: deque[Future[tuple[T | Skipped, int]]] = deque()
    expected = LOOK_AHEAD_BYTES // threads  # bytes of an image not loaded yet: the last one's, once there is one
    held, lock = 0, threading.Lock()  # by all that wait, those under way at what is expected of them

    def load(reference: ImageRef, guess: int) -> tuple[T | Skipped, int]:
        nonlocal held
        item = work(reference)
        size = 0 if isinstance(item, Skipped) else item.nbytes
        with lock:
            held += size - guess
        return item, reference.nbytes + size

    pool = ThreadPoolExecutor(threads, thread_name_prefix="ndtools-images")
    try:
        while True:
            while not waiting or (len(waiting) < 2 * threads + 2 and held < LOOK_AHEAD_BYTES):
                reference = next(references, None)
                if reference is None:
                    break
                with lock:
                    held += reference.nbytes + expected
                waiting.append(pool.submit(load, reference, expected))
            if not waiting:
                return
            item, size = waiting.popleft().result()
            with lock:
                held -= size
            if not isinstance(item, Skipped):
                expected = item.nbytes
            yield item
    finally:
        # Not waited for: an interrupted run must stop at once, not after a few large images.
        pool.shutdown(wait=False, cancel_futures=True)


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
