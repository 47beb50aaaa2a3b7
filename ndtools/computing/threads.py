"""Start threads with a clear error if that is impossible, and limit how long OpenMP's threads spin while they wait."""

import os
import threading
from collections.abc import Callable

from ndtools.errors import NdtoolsError

__all__ = ["TOO_MANY_THREADS", "limit_spinning", "start_thread"]

TOO_MANY_THREADS = (
    "cannot start a thread: a limit on memory or processes is reached (see ulimit -v and ulimit -u); raise the limit,"
    " or choose fewer jobs"
)


def start_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Run a function in a new daemon thread, which does not keep the program from ending.

    Parameters
    ----------
    target : callable without arguments
        Function that the thread runs.
    name : str
        Name of the thread, for debuggers.

    Returns
    -------
    threading.Thread
        Thread that has been started.

    Raises
    ------
    NdtoolsError
        The system allows no further thread.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise NdtoolsError(TOO_MANY_THREADS) from error
    return thread


def limit_spinning() -> None:
    """Let waiting threads of GNU OpenMP spin for microseconds before they sleep, unless the environment sets the time.

    By default they spin for milliseconds. Where other processes keep the processors busy, spinning threads take time
    from the very threads that they wait for. Without any spinning, small operators take longer on a quiet machine. The
    setting has an effect only if it is made before torch is loaded and torch was built with GNU OpenMP, as on Linux.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
