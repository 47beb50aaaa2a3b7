"""Process the images of a source in several threads, each of which adds them to an accumulator."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch

from ndtools.computing.memory import MemoryGate, free_memory
from ndtools.computing.operators import single_threaded_operators
from ndtools.computing.progress import Progress
from ndtools.computing.threads import TOO_MANY_THREADS
from ndtools.data.images.frames import Frames
from ndtools.data.images.reading import Decoded, Encoded, load_images, processors, read_images
from ndtools.data.images.sources import ImageSource, Skipped
from ndtools.errors import NdtoolsError, NoUsableImageError
from ndtools.moments.keeping import KeptImages
from ndtools.validation import Space

__all__ = ["Gathered", "gather"]

A = TypeVar("A")

AHEAD = 1  # images that are dealt to a thread before it has taken them; others wait for it then
# Seconds after which a waiting thread looks whether it is still needed: a closing dealer may not tell it.
PATIENCE = 0.1


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
    noise : float
        Mean variance of the rounding of the files' pixels in [0, 1]: step²/12, 1.3e-6 for files of 8 bits.
    """

    parts: tuple[A, ...]
    read: int
    skipped: tuple[Skipped, ...]
    frames: tuple[Frames, ...] = ()
    noise: float = 0.0


def gather(
    source: ImageSource,
    new: Callable[[], A],
    add: Callable[[A, Decoded], str | None],
    *,
    workers: int | None = None,
    jobs: int | None = None,
    gray: bool = False,
    resize: int | None = None,
    space: Space = "srgb",
    working: int = 0,
    kept: KeptImages | None = None,
    progress: Progress | None = None,
) -> Gathered[A]:
    """Add every image of a source to one of several accumulators.

    Each thread has its own accumulator. It decodes the next image, which other threads have read ahead, and adds it.
    If there are fewer accumulators than threads, the images are decoded by further threads. Images are dealt to the
    accumulators in turn, so that equal runs add in the same order and have equal results to the bit.

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
    gray, resize, space
        Settings for decoding, as in :func:`ndtools.data.images.reading.load_images`.
    working : int
        Bytes that adding an image takes for each of its pixels. Default 0. Threads wait for one another where large
        images would together take more than half of the free memory.
    kept : KeptImages, optional
        Images that an earlier pass with the same settings for decoding has kept, and that are then not decoded again.
        Where there are none yet, those of this pass are kept for the next. By default none are.
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
    jobs = processors(jobs)
    if source.total is not None:
        jobs = min(jobs, max(1, len(source)))
    workers = jobs if workers is None else min(workers, jobs)
    images: Iterator[Encoded | Decoded | Skipped] | None = kept.of(source) if kept else None
    if images is not None:
        kept = None
    elif workers == jobs:
        images = read_images(source, gray=gray, resize=resize, space=space)
    else:
        images = load_images(source, gray=gray, resize=resize, space=space, jobs=jobs)
    free = free_memory()
    gate = MemoryGate(None if free is None else free // 2)
    dealer = _Dealer(images, total=source.total)

    # Each thread sets the number of threads to 1 for itself: MKL's Fourier transforms use that of the calling thread.
    pool = ThreadPoolExecutor(workers, "gather", initializer=torch.set_num_threads, initargs=(1,))
    finished = False
    with single_threaded_operators():
        try:
            futures = _submitted(pool, workers, lambda hand: _consume(dealer.hand(hand), new, add, gate, working, kept))
            dealer.deal_to(len(futures))
            pending = set(futures)
            while pending:
                done, pending = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
                if progress:
                    progress(dealer.done, dealer.total or 0)
                for future in done:
                    future.result()  # raises the exception of the thread, if there was one
            finished = True
        finally:  # after an interruption or error, no thread takes another image, and no thread is waited for
            dealer.close()
            pool.shutdown(wait=finished, cancel_futures=True)
    results = [future.result() for future in futures]
    skipped = sorted((s for result in results for s in result.skipped), key=lambda s: s.name)
    accumulators = tuple(result.accumulator for result in results if result.read and result.accumulator is not None)
    if not accumulators:
        first = skipped[0].in_words(source.label) if skipped else "it is empty"
        message = f"no image of {source.label} can be used ({len(skipped)} tried; {first})"
        raise NoUsableImageError(message, tuple(skipped))
    frames = sorted((f for result in results for f in result.frames), key=lambda f: f.name)
    read = sum(result.read for result in results)
    noise = sum(result.noise for result in results) / read
    return Gathered(accumulators, read, tuple(skipped), tuple(frames), noise)


def _submitted(
    pool: ThreadPoolExecutor, workers: int, consume: Callable[[int], "_ThreadResult[A]"]
) -> "list[Future[_ThreadResult[A]]]":
    futures: list[Future[_ThreadResult[A]]] = []
    for number in range(workers):
        try:
            futures.append(pool.submit(consume, number))
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
    noise: float = 0.0
    skipped: list[Skipped] = field(default_factory=list)
    frames: list[Frames] = field(default_factory=list)


class _Dealer:
    """Deals the items of an iterator to several threads in turn: item i goes to thread i modulo their number."""

    def __init__(self, items: Iterator[Encoded | Decoded | Skipped], total: int | None) -> None:
        self._items, self._changed, self._closed = items, threading.Condition(), False
        self._hands: list[deque[Encoded | Decoded | Skipped]] = []
        self._dealt, self.done, self.total = 0, 0, total

    def deal_to(self, threads: int) -> None:
        """Begin to deal, to this number of threads."""
        with self._changed:
            self._hands = [deque() for _ in range(threads)]
            self._changed.notify_all()

    def hand(self, number: int) -> Iterator[Encoded | Decoded | Skipped]:
        """Yield the items that are dealt to a thread, in order."""
        while (item := self._take(number)) is not None:
            yield item
            with self._changed:
                self.done += 1

    def close(self) -> None:
        """Stop dealing. Does not wait while a thread waits for the next item of the iterator."""
        self._closed = True
        if self._changed.acquire(blocking=False):  # otherwise its holder sees that the dealer is closed
            self._close_items()
            self._changed.notify_all()
            self._changed.release()

    def _take(self, number: int) -> Encoded | Decoded | Skipped | None:
        with self._changed:
            while not self._closed:
                if not self._hands:
                    self._changed.wait(PATIENCE)
                elif self._hands[number]:
                    self._changed.notify_all()
                    return self._hands[number].popleft()
                elif len(self._hands[self._dealt % len(self._hands)]) >= AHEAD:  # that thread is slow
                    self._changed.wait(PATIENCE)
                elif (item := next(self._items, None)) is not None:
                    self._hands[self._dealt % len(self._hands)].append(item)
                    self._dealt += 1
                    self._changed.notify_all()
                else:
                    return None
            self._close_items()
            self._changed.notify_all()
            return None

    def _close_items(self) -> None:
        close = getattr(self._items, "close", None)  # closing a generator drops the work that has not begun
        if close:
            close()


def _consume(
    items: Iterator[Encoded | Decoded | Skipped],
    new: Callable[[], A],
    add: Callable[[A, Decoded], str | None],
    gate: MemoryGate,
    working: int,
    kept: KeptImages | None,
) -> _ThreadResult[A]:
    result: _ThreadResult[A] = _ThreadResult(None)
    for taken in items:
        with taken.decoded(gate, working) if isinstance(taken, Encoded) else nullcontext(taken) as item:
            if kept:
                kept.add(item)
            if isinstance(item, Skipped):
                reason: str | None = item.reason
            else:
                if result.accumulator is None:
                    result.accumulator = new()
                reason = add(result.accumulator, item)
        if reason is None:
            result.read += 1
            assert isinstance(item, Decoded)
            result.noise += item.step**2 / 12
            if item.frames > 1:
                result.frames.append(Frames(item.name, item.frames))
        else:
            result.skipped.append(Skipped(taken.name, reason))
    return result
