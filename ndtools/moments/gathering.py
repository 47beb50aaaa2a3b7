"""Process the images of a source in several threads, each of which adds them to an accumulator."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch

from ndtools.computing.memory import MemoryGate, free_memory
from ndtools.computing.operators import single_threaded_operators
from ndtools.computing.threads import TOO_MANY_THREADS
from ndtools.data.images.frames import Frames
from ndtools.data.images.reading import Decoded, Encoded, load_images, processors, read_images
from ndtools.data.images.sources import ImageSource, Skipped
from ndtools.errors import NdtoolsError, NoUsableImageError

__all__ = ["Gathered", "Progress", "gather"]

Progress = Callable[[int, int], None]
"""Function that is called with the number of images done and the number of all images."""

A = TypeVar("A")


@dataclass(frozen=True, eq=False)
class Gathered(Generic[A]):
    """Accumulators of all threads, and the images that were used and skipped.

    Attributes
    ----------
    parts : tuple
        Accumulators of the threads that used an image, at least one.
    read : int
        Number of images that were used.
    skipped : tuple of Skipped
        Images that were not used, each with the reason, sorted by name.
    frames : tuple of Frames
        Images of several frames, of which the first was used, sorted by name.
    """

    parts: tuple[A, ...]
    read: int
    skipped: tuple[Skipped, ...]
    frames: tuple[Frames, ...] = ()


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

    Each thread has its own accumulator. It decodes the next image, which other threads have read ahead, and adds it.
    If there are fewer accumulators than threads, the images are decoded by further threads.

    Parameters
    ----------
    source : ImageSource
        Source of the images.
    new : callable
        Function that makes an accumulator. It is called in the thread that uses the accumulator, once that thread has
        an image.
    add : callable
        Function that adds an image to an accumulator and returns None, or returns why the image cannot be used.
    workers : int, optional
        Largest number of accumulators. Default: the number of threads.
    jobs : int, optional
        Number of threads that decode and compute. Default: one for each processor.
    gray, resize
        Settings for decoding, as in :func:`ndtools.data.images.reading.load_images`.
    working : int
        Bytes that adding an image takes for each of its pixels. Default 0. Threads wait for one another where large
        images would together take more than half of the free memory.
    progress : callable, optional
        Function that is called in the caller's thread a few times a second; see `Progress`.

    Returns
    -------
    Gathered
        Accumulators, and the images that were left out.

    Raises
    ------
    NoUsableImageError
        If no image could be used. The message names the first skipped image and the reason.
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

    # Each thread sets the number of threads to 1 for itself: MKL's Fourier transforms use that of the calling thread.
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
                    future.result()  # raises the exception of the thread, if there was one
            finished = True
        finally:  # after an interruption or error, no thread takes another image, and no thread is waited for
            queue.close()
            pool.shutdown(wait=finished, cancel_futures=True)
    results = [future.result() for future in futures]
    skipped = sorted((s for result in results for s in result.skipped), key=lambda s: s.name)
    accumulators = tuple(result.accumulator for result in results if result.read and result.accumulator is not None)
    if not accumulators:
        first = f"{skipped[0].name}: {skipped[0].reason}" if skipped else "it is empty"
        message = f"no image of {source.label} can be used ({len(skipped)} tried; {first})"
        raise NoUsableImageError(message, tuple(skipped))
    frames = sorted((f for result in results for f in result.frames), key=lambda f: f.name)
    return Gathered(accumulators, sum(result.read for result in results), tuple(skipped), tuple(frames))


def _submitted(
    pool: ThreadPoolExecutor, workers: int, consume: Callable[[], "_ThreadResult[A]"]
) -> "list[Future[_ThreadResult[A]]]":
    futures: list[Future[_ThreadResult[A]]] = []
    for _ in range(workers):
        try:
            futures.append(pool.submit(consume))
        except RuntimeError as error:  # no further thread can be started: the running ones process all images
            if not futures:
                raise NdtoolsError(TOO_MANY_THREADS) from error
            break
    return futures


@dataclass
class _ThreadResult(Generic[A]):
    """Accumulator of one thread, and the images that it used and skipped."""

    accumulator: A | None
    read: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    frames: list[Frames] = field(default_factory=list)


class _Queue:
    """Iterator of images that several threads may share."""

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
        """Stop yielding images. Does not wait while a thread waits for its next image."""
        self._closed = True
        if self._lock.acquire(blocking=False):  # otherwise its holder sees that the queue is closed
            self._close_items()
            self._lock.release()

    def _close_items(self) -> None:
        close = getattr(self._items, "close", None)  # closing a generator drops the work that has not begun
        if close:
            close()


def _consume(
    queue: _Queue, new: Callable[[], A], add: Callable[[A, Decoded], str | None], gate: MemoryGate, working: int
) -> _ThreadResult[A]:
    result: _ThreadResult[A] = _ThreadResult(None)
    for taken in queue:
        with taken.decoded(gate, working) if isinstance(taken, Encoded) else nullcontext(taken) as item:
            if isinstance(item, Skipped):
                reason: str | None = item.reason
            else:
                if result.accumulator is None:
                    result.accumulator = new()
                reason = add(result.accumulator, item)
        if reason is None:
            result.read += 1
            if isinstance(item, Decoded) and item.frames > 1:
                result.frames.append(Frames(item.name, item.frames))
        else:
            result.skipped.append(Skipped(taken.name, reason))
    return result
