"""Go through the images of a source with several threads, each of which gathers what it wants of them."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from ndtools.computing.memory import MemoryGate, free_memory
from ndtools.computing.operators import single_threaded_operators
from ndtools.computing.threads import TOO_MANY_THREADS
from ndtools.data.images.reading import Decoded, Encoded, load_images, processors, read_images
from ndtools.data.images.sources import ImageSource, Skipped
from ndtools.errors import NdtoolsError, NoUsableImageError

__all__ = ["Gathered", "Progress", "gather"]

Progress = Callable[[int, int], None]
"""Told how many of how many images are done."""

A = TypeVar("A")


@dataclass(frozen=True, eq=False)
class Gathered(Generic[A]):
    """What the threads have gathered.

    Attributes
    ----------
    parts : tuple
        An accumulator of each thread that used an image: one at least.
    read : int
        Number of images used.
    skipped : tuple of Skipped
        Those not used, by name and reason, sorted by name.
    """

    parts: tuple[A, ...]
    read: int
    skipped: tuple[Skipped, ...]


def gather(
    source: ImageSource,
    new: Callable[[], A],
    add: Callable[[A, Decoded], str | None],
    *,
    workers: int | None = None,
    jobs: int | None = None,
    gray: bool = False,
    resize: int | None = None,
    working: int = 0,
    progress: Progress | None = None,
) -> Gathered[A]:
    """Add every image of a source to one of several accumulators.

    Each thread has an accumulator of its own and decodes and adds whichever image comes next, as read ahead by
    others. Where there are fewer accumulators than threads, further threads decode for them.

    Parameters
    ----------
    source : ImageSource
        The images.
    new : callable
        Makes an accumulator; called in the thread that uses it, when it has an image for it.
    add : callable
        Adds an image to an accumulator, or says why that one cannot be used.
    workers : int, optional
        How many accumulators at most; as many as threads by default.
    jobs : int, optional
        Threads that decode and compute; one for each processor by default.
    gray, resize
        As in :func:`ndtools.data.images.reading.load_images`.
    working : int
        Bytes that adding an image takes for each of its pixels. Threads wait for one another where large images would
        take more than half of the free memory together.
    progress : callable, optional
        Called in this thread, a few times a second.

    Returns
    -------
    Gathered
        The accumulators, and what was left out.

    Raises
    ------
    NoUsableImageError
        If no image could be used; it names the first and its reason.
    """
    jobs = min(processors(jobs), max(1, len(source)))
    workers = jobs if workers is None else min(workers, jobs)
    images: Iterator[Encoded | Decoded | Skipped] = (
        read_images(source, gray=gray, resize=resize)
        if workers == jobs
        else load_images(source, gray=gray, resize=resize, jobs=jobs)
    )
    free = free_memory()
    gate = MemoryGate(None if free is None else free // 2)
    queue = _Queue(images, total=len(source) + len(source.skipped))

    # Each thread says so for itself: MKL's Fourier transforms ask the thread that calls them.
    pool = ThreadPoolExecutor(workers, "gather", initializer=torch.set_num_threads, initargs=(1,))
    finished = False
    with single_threaded_operators():
        try:
            futures = _submitted(pool, workers, lambda: _consume(queue, new, add, gate, working))
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
    parts = [future.result() for future in futures]
    skipped = sorted((s for part in parts for s in part.skipped), key=lambda s: s.name)
    used = tuple(part.accumulator for part in parts if part.read and part.accumulator is not None)
    if not used:
        first = f"{skipped[0].name}: {skipped[0].reason}" if skipped else "it is empty"
        message = f"no image of {source.label} can be used ({len(skipped)} tried; {first})"
        raise NoUsableImageError(message, tuple(skipped))
    return Gathered(used, sum(part.read for part in parts), tuple(skipped))


def _submitted(pool: ThreadPoolExecutor, workers: int, consume: Callable[[], "_Part[A]"]) -> "list[Future[_Part[A]]]":
    futures: list[Future[_Part[A]]] = []
    for _ in range(workers):
        try:
            futures.append(pool.submit(consume))
        except RuntimeError as error:  # no further thread: those that run consume all there is
            if not futures:
                raise NdtoolsError(TOO_MANY_THREADS) from error
            break
    return futures


@dataclass
class _Part(Generic[A]):
    """What one thread has gathered."""

    accumulator: A | None
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


def _consume(
    queue: _Queue, new: Callable[[], A], add: Callable[[A, Decoded], str | None], gate: MemoryGate, working: int
) -> _Part[A]:
    part: _Part[A] = _Part(None, 0, [])
    for taken in queue:
        with taken.decoded(gate, working) if isinstance(taken, Encoded) else nullcontext(taken) as item:
            if isinstance(item, Skipped):
                reason: str | None = item.reason
            else:
                if part.accumulator is None:
                    part.accumulator = new()
                reason = add(part.accumulator, item)
        if reason is None:
            part.read += 1
        else:
            part.skipped.append(Skipped(taken.name, reason))
    return part
