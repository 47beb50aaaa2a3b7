"""Work on the items of a sequence in threads, ahead of whoever consumes the results, in order and in bounded memory."""

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
"""Says how many bytes an item takes from now on. If that is more than before, waits until there is room for it."""


def ahead(
    items: Iterator[I],
    work: Callable[[I, Claim], R],
    *,
    threads: int,
    limit: int,
    held: Callable[[I], int],
) -> Generator[R, None, None]:
    """Work on items in threads and give the results in the order of the items.

    At most ``2 * threads + 2`` items are under way. All of them together take no more than the limit, but the one
    that is to come next takes what it needs: so an item beyond the limit is worked on when its turn comes.

    Parameters
    ----------
    items : iterator
        The items; asked for the next one in the consumer's thread.
    work : callable
        Makes the result from an item. It must claim the memory of an item before taking it; what it claimed last
        counts until the result is consumed.
    threads : int
        How many threads; fewer where the system does not allow so many.
    limit : int
        Bytes that the items under way take together.
    held : callable
        Bytes that an item takes before any work is done.

    Yields
    ------
    object
        The results. Closing the iterator early drops the work that has not begun, and waits for none.

    Raises
    ------
    NdtoolsError
        Not a single thread can be started.
    """
    room: _Room = _Room(limit)
    tasks: SimpleQueue[_Task[I, R] | None] = SimpleQueue()

    def run() -> None:
        while (task := tasks.get()) is not None:
            if task.future.set_running_or_notify_cancel():
                try:
                    task.future.set_result(work(task.item, task.claim))
                except BaseException as error:  # noqa: BLE001  # raised again where the result is taken
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
                    except NdtoolsError:  # those that run must do
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
        # Not waited for: an interrupted run must stop at once, not after a few large images.
        room.close()
        for task in waiting:
            task.future.cancel()
        for _ in range(started):
            tasks.put(None)


class _Share:
    """Bytes that one item takes."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes


class _Room:
    """Memory that items under way share. The oldest of them always gets what it needs, so that work goes on."""

    def __init__(self, limit: int) -> None:
        self._limit, self._closed = limit, False
        self._shares: deque[_Share] = deque()  # in the order of the items
        self._changed = threading.Condition()

    @property
    def full(self) -> bool:
        """Whether nothing more should be begun."""
        with self._changed:
            return self._held >= self._limit

    @property
    def _held(self) -> int:
        return sum(share.nbytes for share in self._shares)

    def enter(self, nbytes: int) -> _Share:
        """Count a new item, which takes so many bytes already."""
        share = _Share(nbytes)
        with self._changed:
            self._shares.append(share)
        return share

    def claim(self, share: _Share, nbytes: int) -> None:
        """Change what an item takes, once there is room for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._fits(share, nbytes))
            if self._closed:
                raise CancelledError
            share.nbytes = nbytes
            self._changed.notify_all()

    def leave(self, share: _Share) -> None:
        """Forget an item."""
        with self._changed:
            self._shares.remove(share)
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fits(self, share: _Share, nbytes: int) -> bool:
        more = nbytes - share.nbytes
        return more <= 0 or share is self._shares[0] or self._held + more <= self._limit


class _Task(Generic[I, R]):
    """An item on its way."""

    def __init__(self, item: I, room: _Room, nbytes: int) -> None:
        self.item = item
        self.share = room.enter(nbytes)
        self.future: Future[R] = Future()
        self._room = room

    def claim(self, nbytes: int) -> None:
        """Say how many bytes the item takes from now on."""
        self._room.claim(self.share, nbytes)
