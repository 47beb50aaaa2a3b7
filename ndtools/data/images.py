"""Decode the images of a source in threads, ahead of whoever consumes them, in order."""

import os
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ndtools.data.decode import Pixels, decode_image
from ndtools.data.folders import Skipped
from ndtools.data.sources import ImageRef, ImageSource, resolve_source
from ndtools.errors import DataError, OptionError

__all__ = ["Decoded", "Skipped", "SkippedImageWarning", "iter_images", "load_images", "processors"]

LOOK_AHEAD_BYTES = 2**28
"""No further image is begun while those decoded and not yet consumed take more than this (256 MiB)."""


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
    if jobs is not None and jobs < 1:
        raise OptionError("jobs", f"must be at least 1, got {jobs}")
    if resize is not None and resize < 1:
        raise OptionError("resize", f"the short side must be at least 1 pixel, got {resize}")
    return _load(source, gray, resize, jobs or processors())


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


_Task: TypeAlias = tuple[ImageRef, "Future[Decoded | Skipped]"]


def _load(source: ImageSource, gray: bool, resize: int | None, jobs: int) -> Iterator[Decoded | Skipped]:
    yield from source.skipped
    references = iter(source)
    waiting: deque[_Task] = deque()
    expected = LOOK_AHEAD_BYTES // jobs  # bytes of an image not decoded yet: the last one's, once there is one
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="ndtools-decode")
    try:
        while True:
            while not waiting or (len(waiting) < 2 * jobs + 2 and _held(waiting, expected) < LOOK_AHEAD_BYTES):
                reference = next(references, None)
                if reference is None:
                    break
                waiting.append((reference, pool.submit(_decode, reference, gray, resize)))
            if not waiting:
                return
            item = waiting.popleft()[1].result()
            if isinstance(item, Decoded):
                expected = item.pixels.nbytes
            yield item
    finally:
        # Not waited for: an interrupted run must stop at once, not after a few large images.
        pool.shutdown(wait=False, cancel_futures=True)


def _held(waiting: deque[_Task], expected: int) -> int:
    # Bytes that the tasks take or are about to take.
    total = 0
    for reference, future in waiting:
        total += reference.nbytes
        if not future.done():
            total += expected
        elif future.exception() is None and isinstance(item := future.result(), Decoded):
            total += item.pixels.nbytes
    return total


def _decode(reference: ImageRef, gray: bool, resize: int | None) -> Decoded | Skipped:
    try:
        return Decoded(reference.name, decode_image(reference.read(), gray=gray, resize=resize))
    except DataError as error:
        return Skipped(reference.name, str(error))
    except MemoryError:
        return Skipped(reference.name, "too large for the memory")


def processors() -> int:
    """Count the processors that this process may use: in a container or a batch job fewer than there are.

    Returns
    -------
    int
        At least 1.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
