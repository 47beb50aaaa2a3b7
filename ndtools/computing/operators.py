"""Devices that torch computes on, their free memory, and the number of threads of torch's operators."""

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

LARGE = 512  # number of rows from which on several threads make products of matrices faster


def available_memory(device: torch.device) -> int | None:
    """Return the free memory of a device in bytes.

    Parameters
    ----------
    device : torch.device
        Device that runs the computation.

    Returns
    -------
    int or None
        Free memory of a GPU in bytes; for a CPU the result of :func:`ndtools.computing.memory.free_memory`.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_memory()


def check_memory(option: str, value: object, needed: float, device: torch.device) -> None:
    """Raise an error if the value of an option needs more memory than is free.

    Parameters
    ----------
    option : str
        Name of the option, for the message.
    value : object
        Value of the option, for the message.
    needed : float
        Smallest number of bytes that the computation takes.
    device : torch.device
        Device that runs the computation.

    Raises
    ------
    OptionError
        If more memory is needed than is free.
    """
    available = available_memory(device)
    if available is not None and needed > available:
        raise OptionError(
            option,
            f"{value} is too large for this machine: it takes at least {needed / 1e9:.3g} GB, and"
            f" {available / 1e9:.3g} GB are free",
        )


def resolve_device(name: str) -> torch.device:
    """Return the device with a given name, if it is available and supports float64.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"}
        Name of the device. "auto" stands for CUDA where a CUDA device is available, and for the CPU elsewhere.

    Returns
    -------
    torch.device
        Device that can compute in float64.

    Raises
    ------
    OptionError
        If the device is not available or lacks float64.
    """
    if name == "mps":
        raise OptionError("device", "must support float64, in which moments are summed, got mps; choose cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise OptionError("device", "must be available to torch, got cuda; choose auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def seconds_at(device: torch.device) -> float:
    """Wait until a device has finished all its work, and return the time of that moment.

    A GPU runs operators asynchronously. Without waiting, a clock would only measure the time to launch them.

    Parameters
    ----------
    device : torch.device
        Device whose work is timed.

    Returns
    -------
    float
        Time in seconds since an arbitrary fixed moment; only differences have a meaning.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextmanager
def operator_threads(threads: int | None) -> Iterator[None]:
    """Set the number of threads of torch's operators for the body of a ``with`` statement, in the whole process.

    Parameters
    ----------
    threads : int, optional
        Number of threads. By default torch keeps its present number.

    Yields
    ------
    None
        No value; the body runs with that number of threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_for(rows: int) -> int:
    """Choose the number of threads for torch's operators on matrices.

    Parameters
    ----------
    rows : int
        Number of rows of the largest square matrix.

    Returns
    -------
    int
        Number of threads: 1 for matrices of fewer than 512 rows, otherwise the number that torch is set to. For small
        matrices, a second thread saves little time on a quiet machine. Where other processes keep the processors busy,
        waiting for it costs several times the work (``benchmarks/threads.py``).
    """
    return torch.get_num_threads() if rows >= LARGE else 1


def single_threaded_operators() -> AbstractContextManager[None]:
    """Run each of torch's operators in one thread, for code that processes several images in parallel.

    Returns
    -------
    context manager
        Context manager from `operator_threads`, with one thread.
    """
    return operator_threads(1)
