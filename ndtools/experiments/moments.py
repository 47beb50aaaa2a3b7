"""Covariance of the patches of an image source: decoding threads ahead of arithmetic threads."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from ndtools.data.images import Decoded, load_images
from ndtools.data.sources import ImageSource, Skipped
from ndtools.errors import DataError, OptionError
from ndtools.numerics.covariance import PatchCovariance

__all__ = ["ImageMoments", "Progress", "image_moments", "resolve_device"]

Progress = Callable[[int, int], None]
"""Told how many of how many images are done."""


@dataclass(frozen=True, eq=False)
class ImageMoments:
    """Patch moments of those images of a source that could be used.

    Attributes
    ----------
    moments : PatchCovariance
        Their sum.
    read : int
        Number of images used.
    skipped : tuple of Skipped
        Those not used, by name and reason, sorted by name.
    """

    moments: PatchCovariance
    read: int
    skipped: tuple[Skipped, ...]


def image_moments(
    source: ImageSource,
    new: Callable[[], PatchCovariance],
    *,
    gray: bool = False,
    resize: int | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> ImageMoments:
    """Accumulate the patch moments of all images of a source.

    Each arithmetic thread has an accumulator of its own and takes whichever image comes next from the decoding
    threads; in the end the accumulators are added. Memory does not grow with the number of images.

    Parameters
    ----------
    source : ImageSource
        The images.
    new : callable
        Makes an empty accumulator.
    gray, resize
        As in :func:`ndtools.data.images.load_images`.
    jobs : int, optional
        Threads of each kind; one for each processor by default.
    progress : callable, optional
        Called in this thread, a few times a second.

    Returns
    -------
    ImageMoments
        The sum, and what was left out.

    Raises
    ------
    DataError
        If no image could be used; it names the first and its reason.
    """
    workers = jobs or processors()
    queue = _Queue(load_images(source, gray=gray, resize=resize, jobs=jobs), total=len(source))
    with _single_threaded_operators(), ThreadPoolExecutor(workers, "moments") as pool:
        futures = [pool.submit(_consume, queue, new()) for _ in range(workers)]
        try:
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
                if any(future.exception() for future in done):
                    break
                if progress:
                    progress(queue.taken, queue.total)
        finally:  # also when interrupted: no thread takes another image
            queue.close()
    parts = [future.result() for future in futures]
    moments = parts[0].moments
    for part in parts[1:]:
        moments.merge(part.moments)
    read = sum(part.read for part in parts)
    skipped = sorted((s for part in parts for s in part.skipped), key=lambda s: s.name)
    if read == 0:
        first = f"{skipped[0].name}: {skipped[0].reason}" if skipped else "it is empty"
        raise DataError(f"no image of {source.label} can be used ({len(skipped)} tried; {first})")
    return ImageMoments(moments, read, tuple(skipped))


class _Queue:
    """An iterator of images that threads may share."""

    def __init__(self, items: Iterator[Decoded | Skipped], total: int) -> None:
        self._items, self._lock, self._closed = items, threading.Lock(), False
        self.taken, self.total = 0, total

    def __iter__(self) -> Iterator[Decoded | Skipped]:
        while True:
            with self._lock:
                item = None if self._closed else next(self._items, None)
                if item is None:
                    return
                self.taken += 1
            yield item

    def close(self) -> None:
        self._closed = True
        with self._lock:
            close = getattr(self._items, "close", None)  # a generator drops the work that has not begun
            if close:
                close()


def _consume(queue: _Queue, moments: PatchCovariance) -> ImageMoments:
    read, skipped = 0, []
    ky, kx = moments.kernel_size
    for item in queue:
        if isinstance(item, Skipped):
            skipped.append(item)
            continue
        _, height, width = item.pixels.shape
        if height < ky or width < kx:
            skipped.append(Skipped(item.name, f"{width}×{height} pixels, smaller than a {kx}×{ky} patch"))
            continue
        moments.update(item.pixels)
        read += 1
    return ImageMoments(moments, read, tuple(skipped))


def resolve_device(name: str) -> torch.device:
    """Turn the name of a device into one that computes in float64.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
        "auto" is CUDA where there is a device, the CPU elsewhere.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    OptionError
        If there is no such device, or it lacks float64.
    """
    if name == "mps":
        raise OptionError("device", "mps has no float64, in which moments are summed; use --device cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise OptionError("device", "cuda is not available to this torch; use --device auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def processors() -> int:
    """Count the processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _single_threaded_operators() -> Iterator[None]:
    """Keep torch from splitting small operators: the images are what runs in parallel."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
