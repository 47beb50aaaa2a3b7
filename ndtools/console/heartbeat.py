"""A line of progress now and then, for long runs whose standard error is a file or a pipe."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ndtools.computing.threads import start_thread

__all__ = ["INTERVAL", "heartbeat"]

INTERVAL = 30.0
"""Seconds between two lines; shorter runs say nothing."""


@contextmanager
def heartbeat(
    what: str, say: Callable[[str], None], *, interval: float = INTERVAL
) -> Iterator[Callable[[int, int], None]]:
    """Say regularly how far a run is.

    Parameters
    ----------
    what : str
        Things that are counted, such as "images".
    say : callable
        Function that prints a line. A thread of its own calls it.
    interval : float
        Seconds between two lines. Default 30.

    Yields
    ------
    callable
        Function that takes the number done and the total. Lines are printed whether it is called or not, until the
        ``with`` block ends.
    """
    counts: list[tuple[int, int]] = []
    ended, start = threading.Event(), time.monotonic()

    def update(done: int, total: int) -> None:
        counts[:] = [(done, total)]

    def beat() -> None:
        while not ended.wait(interval):
            done = f"counting {what}"
            if counts:
                ready, total = counts[0]
                done = f"{ready:,} of {total:,} {what}" if ready and total else f"{ready:,} {what}"
                if not ready and total:
                    done = f"{total:,} {what} found"
            say(f"{done} after {time.monotonic() - start:.0f} s")

    thread = start_thread(beat, "ndtools-heartbeat")
    try:
        yield update
    finally:
        ended.set()
        thread.join()
