"""Requests to stop: Ctrl-C, and the signals by which systems end programs."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["StopRequest", "stop_requests"]

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # the last when a terminal is closed


class StopRequest:
    """Whether the user or the system has asked this process to stop."""

    def __init__(self) -> None:
        self.made = False

    def __call__(self) -> bool:
        """Return whether it was asked to stop."""
        return self.made


@contextmanager
def stop_requests(*, insistent: bool = True, noted: Callable[[], None] = lambda: None) -> Iterator[StopRequest]:
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
    StopRequest
        Request that the body has to look at. Outside the main thread, which alone is told of signals, it is never made.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        if request.made:
            if insistent:
                raise KeyboardInterrupt
            return
        request.made = True
        noted()

    before: dict[int, Any] = {}
    for name in _SIGNALS:
        number = getattr(signal, name, None)  # Windows lacks one
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores it on purpose
            before[number] = signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
