"""Covariance of the patches of an image source, by several threads."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Literal

import torch

from ndtools.data.images import Decoded, Encoded, load_images, processors, read_images
from ndtools.data.sources import ImageSource, Skipped
from ndtools.errors import DataError, OptionError
from ndtools.experiments.computing import single_threaded_operators
from ndtools.numerics.covariance import PatchCovariance, memory_needed

__all__ = ["ImageMoments", "Progress", "image_moments"]

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
    *,
    kernel_size: int,
    method: Literal["exact", "im2col"] = "exact",
    stride: int = 1,
    device: torch.device | str = "cpu",
    gray: bool = False,
    resize: int | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> ImageMoments:
    """Accumulate the patch moments of all images of a source.

    Each thread has an accumulator of its own and decodes and adds whichever image comes next, as read ahead by
    others; in the end the accumulators are added. Where only few accumulators fit, or there is one on a GPU, further
    threads decode for them. Memory does not grow with the number of images.

    Parameters
    ----------
    source : ImageSource
        The images.
    kernel_size, method, stride, device
        As in :class:`ndtools.numerics.covariance.PatchCovariance`.
    gray, resize
        As in :func:`ndtools.data.images.load_images`.
    jobs : int, optional
        Threads that decode and compute; one for each processor by default.
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
    OptionError
        If patches of that size need more memory than there is.
    """
    device = torch.device(device)
    channels = 1 if gray else 3

    def new() -> PatchCovariance:
        return PatchCovariance(channels, kernel_size, method=method, stride=stride, device=device)

    jobs = min(processors(jobs), max(1, len(source)))
    workers = 1 if device.type != "cpu" else _affordable(jobs, memory_needed(channels, kernel_size, method))
    images: Iterator[Encoded | Decoded | Skipped] = (
        read_images(source, gray=gray, resize=resize)
        if workers == jobs
        else load_images(source, gray=gray, resize=resize, jobs=jobs)
    )
    queue = _Queue(images, total=len(source) + len(source.skipped))

    # Each thread says so for itself: MKL's Fourier transforms ask the thread that calls them.
    pool = ThreadPoolExecutor(workers, "moments", initializer=torch.set_num_threads, initargs=(1,))
    finished = False
    with single_threaded_operators():
        try:
            futures = [pool.submit(_consume, queue, new) for _ in range(workers)]
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
                if progress:
                    progress(queue.done, queue.total)
                for future in done:
                    future.result()  # raises what went wrong in the thread
            finished = True
        finally:  # also when interrupted: no thread takes another image, and none is waited for
            queue.close()
            pool.shutdown(wait=finished, cancel_futures=True)
    return _merged([future.result() for future in futures], source.label)


def _merged(parts: list["_Part"], label: str) -> ImageMoments:
    """Add up what the threads have accumulated."""
    skipped = sorted((s for part in parts for s in part.skipped), key=lambda s: s.name)
    accumulators = [part.moments for part in parts if part.moments is not None]
    if not accumulators:
        first = f"{skipped[0].name}: {skipped[0].reason}" if skipped else "it is empty"
        raise DataError(f"no image of {label} can be used ({len(skipped)} tried; {first})")
    total = accumulators[0]
    for moments in accumulators[1:]:
        total.merge(moments)
    return ImageMoments(total, sum(part.read for part in parts), tuple(skipped))


@dataclass
class _Part:
    """What one thread has accumulated; it makes an accumulator when it has a use for one."""

    moments: PatchCovariance | None
    read: int
    skipped: list[Skipped]


class _Queue:
    """An iterator of images that threads may share."""

    def __init__(self, items: Iterator[Encoded | Decoded | Skipped], total: int) -> None:
        self._items, self._lock, self._closed = items, threading.Lock(), False
        self.done, self.total = 0, total

    def __iter__(self) -> Iterator[Encoded | Decoded | Skipped]:
        while True:
            with self._lock:
                item = None if self._closed else next(self._items, None)
                if self._closed:
                    self._close_items()
                    return
            if item is None:
                return
            yield item
            with self._lock:
                self.done += 1

    def close(self) -> None:
        """Give out nothing more. Does not wait for an image that a thread is waiting for."""
        self._closed = True
        if self._lock.acquire(blocking=False):  # else the thread that holds it sees that the queue is closed
            self._close_items()
            self._lock.release()

    def _close_items(self) -> None:
        close = getattr(self._items, "close", None)  # a generator drops the work that has not begun
        if close:
            close()


def _consume(queue: _Queue, new: Callable[[], PatchCovariance]) -> _Part:
    part = _Part(None, 0, [])
    for taken in queue:
        item = taken.decode() if isinstance(taken, Encoded) else taken
        if isinstance(item, Skipped):
            part.skipped.append(item)
            continue
        if part.moments is None:
            part.moments = new()
        _, height, width = item.pixels.shape
        ky, kx = part.moments.kernel_size
        if height < ky or width < kx:
            part.skipped.append(Skipped(item.name, f"{width}×{height} pixels, smaller than a {kx}×{ky} patch"))
            continue
        part.moments.update(item.pixels)
        part.read += 1
    if part.read == 0:
        part.moments = None
    return part


def _affordable(workers: int, needed: int) -> int:
    """Return how many accumulators of ``needed`` bytes fit into memory, up to ``workers``."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not told on this system
        return workers
    if needed > memory:
        raise OptionError(
            "kernel_size",
            f"is too large for this machine: patches of that size need about {needed / 1e9:.0f} GB,"
            f" and it has {memory / 1e9:.0f} GB",
        )
    return max(1, min(workers, memory // (2 * needed)))
