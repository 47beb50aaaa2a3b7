"""Process the items of a sequence in threads, ahead of the consumer of the results, in order and in bounded memory."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError, Future
from queue import SimpleQueue
from typing import Generic, TypeVar

from ndtools.computing.threads import start_thread
from ndtools.errors import NdtoolsError

__all__ = ["Claim", "ahead"]

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

Claim = Callable[[int], None]
"""Function that sets how many bytes an item takes from now on. If that is more than before, it waits for room."""


def ahead(
    items: Iterator[I],
    work: Callable[[I, Claim], R],
    *,
    threads: int,
    limit: int,
    held: Callable[[I], int],
) -> Generator[R, None, None]:
    """Process items in threads and yield the results in the order of the items.

    At most ``2 * threads + 2`` items are in progress: started or queued, and not yet consumed. Together they take at
    most `limit` bytes, except that the next item to be yielded takes what it needs. An item above the limit is
    therefore processed when its turn comes.

    Parameters
    ----------
    items : iterator
        Items to process. The next item is taken from it in the consumer's thread.
    work : callable
        Function that computes the result of an item. It must claim the memory of the item before taking it. Its last
        claim counts until the result is consumed.
    threads : int
        Number of threads; fewer are used where the system does not allow that many.
    limit : int
        Largest number of bytes that the items in progress take together.
    held : callable
        Function that returns the bytes an item takes before it is processed.

    Yields
    ------
    object
        Result of each item. Closing the iterator early drops the work that has not begun, and waits for no thread.

    Raises
    ------
    NdtoolsError
        The system does not allow a single thread to be started.
    """
    room: _Room = _Room(limit)
    tasks: SimpleQueue[_Task[I, R] | None] = SimpleQueue()

    def run() -> None:
        while (task := tasks.get()) is not None:
            if task.future.set_running_or_notify_cancel():
                try:
                    task.future.set_result(work(task.item, task.claim))
                except BaseException as error:  # noqa: BLE001  # raised again in the consumer's thread
                    task.future.set_exception(error)

    started = 0
    waiting: deque[_Task[I, R]] = deque()
    try:
        while True:
            while not waiting or (len(waiting) < 2 * threads + 2 and not room.full):
                try:
                    item = next(items)
                except StopIteration:
                    break
                task: _Task[I, R] = _Task(item, room, held(item))
                if started < threads:
                    try:
                        start_thread(run, f"ndtools-images-{started}")
                        started += 1
                    except NdtoolsError:  # continue with the threads that run already
                        if not started:
                            raise
                        threads = started
                waiting.append(task)
                tasks.put(task)
            if not waiting:
                return
            task = waiting.popleft()
            result = task.future.result()
            room.leave(task.share)
            yield result
    finally:
        # The threads are not waited for: an interrupted run must stop at once, not after a few large images.
        room.close()
        for task in waiting:
            task.future.cancel()
        for _ in range(started):
            tasks.put(None)


class _Share:
    """Memory in bytes that one item takes."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes


class _Room:
    """Memory that the items in progress share. The oldest item always gets what it needs, so that work goes on."""

    def __init__(self, limit: int) -> None:
        self._limit, self._closed = limit, False
        self._shares: deque[_Share] = deque()  # in the order of the items
        self._changed = threading.Condition()

    @property
    def full(self) -> bool:
        """Whether no further item should be started."""
        with self._changed:
            return self._held >= self._limit

    @property
    def _held(self) -> int:
        return sum(share.nbytes for share in self._shares)

    def enter(self, nbytes: int) -> _Share:
        """Add a new item that takes `nbytes` already, and return its share."""
        share = _Share(nbytes)
        with self._changed:
            self._shares.append(share)
        return share

    def claim(self, share: _Share, nbytes: int) -> None:
        """Wait until there is room, then set the bytes that an item takes."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._fits(share, nbytes))
            if self._closed:
                raise CancelledError
            share.nbytes = nbytes
            self._changed.notify_all()

    def leave(self, share: _Share) -> None:
        """Remove an item and free its share."""
        with self._changed:
            self._shares.remove(share)
            self._changed.notify_all()

    def close(self) -> None:
        """Wake all waiting threads; their claims raise CancelledError."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fits(self, share: _Share, nbytes: int) -> bool:
        more = nbytes - share.nbytes
        return more <= 0 or share is self._shares[0] or self._held + more <= self._limit


class _Task(Generic[I, R]):
    """An item in progress, with its share of the memory and its future result."""

    def __init__(self, item: I, room: _Room, nbytes: int) -> None:
        self.item = item
        self.share = room.enter(nbytes)
        self.future: Future[R] = Future()
        self._room = room

    def claim(self, nbytes: int) -> None:
        """Set how many bytes the item takes from now on, once there is room."""
        self._room.claim(self.share, nbytes)
