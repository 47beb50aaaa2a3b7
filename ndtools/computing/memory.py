"""How much memory is free, and sharing it among threads: one notion for all that refuses or waits for want of it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ndtools.errors import DataError

__all__ = ["MemoryGate", "free_memory", "require_memory"]

_SMALL = 2**24  # bytes that are not worth asking for


def free_memory() -> int | None:
    """Return how much main memory this process can still have.

    Returns
    -------
    int or None
        Bytes: the least of what the system has free, what the control group of the process (a container, a batch job)
        allows, and what is left below a limit on its address space (``ulimit -v``). Where the system does not say what
        is free, what it has. None if it does not say that either.
    """
    known = [size for size in (_system_memory(), _control_group_memory(), _address_space()) if size is not None]
    return max(0, min(known)) if known else None


def require_memory(nbytes: int, what: str) -> None:
    """Refuse what does not fit into the free memory, before it is begun.

    Parameters
    ----------
    nbytes : int
        Bytes that it takes.
    what : str
        The thing, with its size, as the subject of a sentence.

    Raises
    ------
    DataError
        Less is free. The message says how much is needed and how much is free.
    """
    if nbytes <= _SMALL:
        return
    free = free_memory()
    if free is not None and nbytes > free:
        raise DataError(f"{what} needs about {nbytes / 1e9:.2g} GB of memory, and {free / 1e9:.2g} GB are free")


class MemoryGate:
    """Lets threads use memory at the same time as long as all of it fits into a limit.

    What exceeds the limit by itself is let through when nobody else holds memory.

    Parameters
    ----------
    limit : int or None
        Bytes; None lets everybody through.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, nbytes: int) -> Iterator[None]:
        """Wait until there is room, and hold it for the body of the ``with`` statement.

        Parameters
        ----------
        nbytes : int
            Bytes that the body takes at most. The body must not ask for more by another call.

        Yields
        ------
        None
            Control, to the body.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self.limit is None or self._held + nbytes <= self.limit)
            self._held += nbytes
        try:
            yield
        finally:
            with self._changed:
                self._held -= nbytes
                self._changed.notify_all()


def _system_memory() -> int | None:
    with suppress(OSError, ValueError, IndexError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    with suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _control_group_memory() -> int | None:
    # Of version 2, and of version 1 as containers see it. Memory that only caches files counts as free.
    second = ("memory.max", "memory.current", "inactive_file")
    places = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")]
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        group = Path("/sys/fs/cgroup", next(line[3:] for line in lines if line.startswith("0::")).lstrip("/"))
        places += [(str(folder), *second) for folder in (group, *group.parents) if "cgroup" in str(folder)]
    free = []
    for folder, limit, used, cached in places:
        with suppress(OSError, ValueError):  # "max" is no number: there is no limit
            allowed, held = (int(Path(folder, name).read_text()) for name in (limit, used))
            fields = dict(line.split() for line in Path(folder, "memory.stat").read_text().splitlines())
            free.append(allowed - held + int(fields.get(cached, 0)))
    return min(free, default=None)


def _address_space() -> int | None:
    with suppress(ImportError, OSError, ValueError, IndexError):
        import resource  # not on Windows

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            return limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return None
