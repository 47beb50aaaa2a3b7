"""Where and how experiments compute: devices, threads, memory, interruption."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import torch

from ndtools.errors import OptionError
from ndtools.memory import free_memory
from ndtools.threads import start_thread

__all__ = ["available_memory", "interruptible", "operator_threads", "resolve_device", "single_threaded_operators"]

T = TypeVar("T")


def available_memory(device: torch.device) -> int | None:
    """Say how much memory a computation can have.

    Parameters
    ----------
    device : torch.device
        The device that computes.

    Returns
    -------
    int or None
        Bytes that are free on a GPU; for a CPU as :func:`ndtools.memory.free_memory`.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free_memory()


def interruptible(function: Callable[[], T]) -> T:
    """Call a function that may spend long in one operator, such that Ctrl-C stops the caller at once.

    Python handles signals between operators of its main thread: a large eigendecomposition would hold them up.

    Parameters
    ----------
    function : callable without arguments
        Runs in a thread of its own, which is left behind when the caller is interrupted.

    Returns
    -------
    object
        What the function returns; what it raises is raised here.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001  # raised again in the caller's thread
            errors.append(error)

    start_thread(call, "ndtools-operator").join()
    if errors:
        raise errors[0]
    return results[0]


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


def single_threaded_operators() -> AbstractContextManager[None]:
    """Keep torch from splitting small operators while the images are what runs in parallel.

    Returns
    -------
    context manager
        As `operator_threads`.
    """
    return operator_threads(1)
