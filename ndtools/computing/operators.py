"""Where torch computes: devices, the memory they have, and the threads that operators are split among."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from ndtools.computing.memory import free_memory
from ndtools.errors import OptionError

__all__ = [
    "available_memory",
    "check_memory",
    "operator_threads",
    "resolve_device",
    "seconds_at",
    "single_threaded_operators",
    "threads_for",
]

LARGE = 512  # rows of a matrix whose products are worth several threads


def available_memory(device: torch.device) -> int | None:
    """Say how much memory a computation can have.

    Parameters
    ----------
    device : torch.device
        The device that computes.

    Returns
    -------
    int or None
        Bytes that are free on a GPU; for a CPU as :func:`ndtools.computing.memory.free_memory`.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_memory()


def check_memory(option: str, value: object, needed: float, device: torch.device) -> None:
    """Refuse an option that asks for more memory than there is.

    Parameters
    ----------
    option : str
        Name of the option.
    value : object
        Its value.
    needed : float
        Bytes that the computation takes at least.
    device : torch.device
        Where it runs.

    Raises
    ------
    OptionError
        If more is needed than is free.
    """
    available = available_memory(device)
    if available is not None and needed > available:
        raise OptionError(
            option,
            f"{value} is too large for this machine: it takes {needed / 1e9:.3g} GB at least, and"
            f" {available / 1e9:.3g} GB are free",
        )


def resolve_device(name: str) -> torch.device:
    """Turn the name of a device into one that computes in float64.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
        "auto" is CUDA where there is a device, the CPU elsewhere.

    Returns
    -------
    torch.device
        The device.

    Raises
    ------
    OptionError
        If there is no such device, or it lacks float64.
    """
    if name == "mps":
        raise OptionError("device", "mps has no float64, in which moments are summed; choose cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise OptionError("device", "cuda is not available to this torch; choose auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def seconds_at(device: torch.device) -> float:
    """Wait until a device has done all that was asked of it, and return the time then.

    A GPU takes orders and is done later: without waiting, a clock measures how long it takes to give them.

    Parameters
    ----------
    device : torch.device
        Device whose work is timed.

    Returns
    -------
    float
        Seconds since some fixed moment, for differences.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextmanager
def operator_threads(threads: int | None) -> Iterator[None]:
    """Have torch split its operators among so many threads. The setting is that of the whole process.

    Parameters
    ----------
    threads : int, optional
        How many; as torch has it by default.

    Yields
    ------
    None
        Control, to the body of the ``with`` statement.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(rows: int) -> int:
    """Choose the number of threads among which torch splits operators on matrices.

    Parameters
    ----------
    rows : int
        Number of rows of the largest square matrix.

    Returns
    -------
    int
        1 for small matrices: a second thread saves little on a quiet machine, and where other processes keep the
        processors busy, waiting for it costs several times the work (``benchmarks/threads.py``). Otherwise all threads
        that torch has.
    """
    return torch.get_num_threads() if rows >= LARGE else 1


def single_threaded_operators() -> AbstractContextManager[None]:
    """Keep torch from splitting small operators while the images are what runs in parallel.

    Returns
    -------
    context manager
        As `operator_threads`.
    """
    return operator_threads(1)
