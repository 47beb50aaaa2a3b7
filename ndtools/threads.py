"""Start threads, or say why that is not possible."""

import threading
from collections.abc import Callable

from ndtools.errors import NdtoolsError

__all__ = ["TOO_MANY_THREADS", "start_thread"]

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
