"""Free memory, and its sharing among threads. All code that refuses or delays work for lack of memory uses it."""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ndtools.errors import DataError, NdtoolsError

__all__ = ["MemoryGate", "free_memory", "is_out_of_memory", "prepare_allocator", "require_memory"]

_SMALL = 2**24  # bytes up to which the free memory is not checked
_MMAP_THRESHOLD = -3  # number of this setting in glibc's malloc.h
_OWN_MEMORY = 2**23  # bytes from which on a tensor gets memory of its own
_ALLOCATION = (
    "MALLOC_MMAP_THRESHOLD_",
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
)  # variables that decide how memory is allocated
# Texts of errors that mean a lack of memory, though their class (RuntimeError, OSError, ImportError) does not say so.
_WITHOUT_MEMORY = (
    "can't start new thread",
    "can't allocate memory",
    "not enough memory",
    "out of memory",  # of a GPU
    "Cannot allocate memory",
    "could not create a primitive",
    "failed to map segment",
)


def free_memory() -> int | None:
    """Return how much more main memory this process can use.

    Returns
    -------
    int or None
        Smallest of three numbers of bytes: the free memory of the system, the memory that the control group of the
        process (a container, a batch job) still allows, and the memory left below the limit on its address space
        (``ulimit -v``). If the system does not report its free memory, its total memory is used instead. None if none
        of the numbers is known.
    """
    known = [size for size in (_system_memory(), _control_group_memory(), _address_space()) if size is not None]
    return max(0, min(known)) if known else None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means a lack of memory, of the machine or of the device.

    Parameters
    ----------
    error : BaseException
        Error of any class.

    Returns
    -------
    bool
        Whether it is a MemoryError, or one whose text says so, and none of this package.
    """
    if isinstance(error, MemoryError):
        return True
    return not isinstance(error, NdtoolsError) and any(text in str(error) for text in _WITHOUT_MEMORY)


def require_memory(nbytes: int, what: str, remedy: str | None = None) -> None:
    """Raise an error if a step needs more memory than is free; call it before the step.

    Parameters
    ----------
    nbytes : int
        Bytes that the step needs. Up to 16 MiB are never refused.
    what : str
        Description of the step with its size, as the subject of a sentence.
    remedy : str, optional
        Advice for the user, which ends the message. By default the message has none.

    Raises
    ------
    DataError
        Less memory is free. The message says how much is needed and how much is free.
    """
    if nbytes <= _SMALL:
        return
    free = free_memory()
    if free is not None and nbytes > free:
        message = f"{what} needs about {nbytes / 1e9:.2g} GB of memory, and {free / 1e9:.2g} GB are free"
        raise DataError(message if remedy is None else f"{message}; {remedy}")


def prepare_allocator() -> None:
    """Choose how memory for large tensors is allocated, unless the environment does: for commands, before torch loads.

    By itself, glibc comes to cut tensors of up to 32 MiB out of one area. Those that live shorter leave gaps behind
    which the next ones, of other sizes, do not fit: the training of a network of many shapes takes several times the
    memory of its tensors, and ever more of it. Here a tensor above 8 MiB gets memory of its own, which the system has
    back when it is freed. torch asks for pages of 2 MiB, of which the system clears fewer.

    It has an effect on Linux with glibc. The environment decides with ``MALLOC_MMAP_THRESHOLD_``, ``GLIBC_TUNABLES`` or
    ``LD_PRELOAD`` (another allocator), and with ``THP_MEM_ALLOC_ENABLE``.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if any(name in os.environ for name in _ALLOCATION):
        return
    with suppress(AttributeError, OSError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _OWN_MEMORY)


class MemoryGate:
    """Gate that lets threads use memory at the same time as long as their total stays within a limit.

    A request that alone exceeds the limit is granted when no other thread holds memory.

    Parameters
    ----------
    limit : int or None
        Limit in bytes, or None to grant all requests at once.
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
            Largest number of bytes that the body takes. The body must not call `hold` for more.

        Yields
        ------
        None
            No value; the body runs while the memory is held.
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
    # Reads control groups of version 2, and of version 1 as containers see it. Memory that only caches files counts as
    # free.
    second = ("memory.max", "memory.current", "inactive_file")
    places = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")]
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        group = Path("/sys/fs/cgroup", next(line[3:] for line in lines if line.startswith("0::")).lstrip("/"))
        places += [(str(folder), *second) for folder in (group, *group.parents) if "cgroup" in str(folder)]
    free = []
    for folder, limit, used, cached in places:
        with suppress(OSError, ValueError):  # "max" is not a number: it means that there is no limit
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
