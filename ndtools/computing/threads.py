"""Start threads, or say why that is not possible; and how long they wait for one another."""

import os
import threading
from collections.abc import Callable

from ndtools.errors import NdtoolsError

__all__ = ["TOO_MANY_THREADS", "limit_spinning", "start_thread"]

TOO_MANY_THREADS = (
    "cannot start a thread: a limit on memory or processes is reached (see ulimit -v and ulimit -u); raise it, or"
    " choose fewer threads with --jobs"
)


def start_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Run a function in a thread of its own, which does not keep the program from ending.

    Parameters
    ----------
    target : callable without arguments
        The function.
    name : str
        Name of the thread, for debuggers.

    Returns
    -------
    threading.Thread
        The thread, which runs.

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
    """Let GNU OpenMP's threads spin for microseconds when they wait, and then sleep, unless the user says how long.

    By default they spin for milliseconds. Where other processes keep the processors busy, spinning threads take the
    time of the very threads that they wait for; where they do not spin at all, small operators take longer on a quiet
    machine. The setting has an effect before torch is loaded, if torch was built with GNU OpenMP, as on Linux.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
