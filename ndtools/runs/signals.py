"""Requests to stop: Ctrl-C, and the signals by which systems end programs."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["stop_requests"]

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # the last when a terminal is closed


@contextmanager
def stop_requests(*, insistent: bool = True, noted: Callable[[], None] = lambda: None) -> Iterator[Callable[[], bool]]:
    """Note Ctrl-C and signals to end, for the body of a ``with`` statement.

    Parameters
    ----------
    insistent : bool
        Whether a second signal interrupts the body. Default True. Of the processes that ``torchrun`` starts each gets
        Ctrl-C twice, from the terminal and from ``torchrun``, which kills them if they do not end.
    noted : callable
        Called at the first signal, in the middle of whatever the body does: it must not print through a buffer.
        By default nothing is called.

    Yields
    ------
    callable
        Function that returns whether this process was asked to stop, which the body has to call. Outside the main
        thread, which alone is told of signals, it never was.
    """
    requests: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return

    def note(number: int, frame: FrameType | None) -> None:
        if requests and insistent:
            raise KeyboardInterrupt
        requests.append(number)
        if len(requests) == 1:
            noted()

    before: dict[int, Any] = {}
    for name in _SIGNALS:
        number = getattr(signal, name, None)  # Windows lacks one
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores it on purpose
            before[number] = signal.signal(number, note)
    try:
        yield lambda: bool(requests)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
