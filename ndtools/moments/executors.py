"""Run numbered tasks on any executor, and again those whose worker was lost, so that each is done once."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Generator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from ndtools.errors import NdtoolsError, OptionError
from ndtools.text import reason

__all__ = ["AnyExecutor", "LostTaskError", "completed"]

R = TypeVar("R")

AnyExecutor: TypeAlias = Executor | Callable[[], Executor]
"""Executor, or function that makes one: it is called again when the executor is broken."""

POLL = 0.1  # seconds after which futures are looked at again
ASKED = 5.0  # seconds after which a cluster is asked again for its workers
WORKERLESS = 300.0  # seconds after which a cluster that has had no worker since is given up
# Packages whose errors mean that a worker was lost: errors of a task itself arrive as what they are.
_ENGINES = ("distributed", "dask", "ray", "submitit", "loky", "joblib")
_LOST = (BrokenExecutor, CancelledError, ConnectionError, EOFError)


class LostTaskError(NdtoolsError):
    """A task was not finished, because the process that ran it ended again and again.

    Parameters
    ----------
    number : int
        Number of the task.
    attempts : int
        Number of times that the task was begun.
    why : str
        Reason of the last failure, as the executor has it.
    """

    def __init__(self, number: int, attempts: int, why: str) -> None:
        super().__init__(f"task {number} was lost {attempts} times: {why}")
        self.number, self.attempts, self.why = number, attempts, why

    def __reduce__(self) -> tuple[type["LostTaskError"], tuple[int, int, str]]:
        return type(self), (self.number, self.attempts, self.why)


def completed(
    executor: AnyExecutor, work: Callable[..., R], argument: object, numbers: Collection[int], *, attempts: int = 3
) -> Generator[tuple[int, R], None, None]:
    """Run ``work(argument, number, attempt)`` for each number, and yield the results as they come.

    A task whose worker is lost (killed, out of memory, disconnected) is begun again. A pool of processes of which one
    ended abruptly takes no further tasks; another like it takes its place. Each task has one result: what a worker that
    was taken for lost may still return is not looked at.

    Parameters
    ----------
    executor : concurrent.futures.Executor, or function that returns one
        Executor of processes, threads, or a cluster. Its ``submit`` returns an object with ``done``, ``result`` and
        ``cancel``.
    work : callable
        Function of a module, so that other processes find it.
    argument : object
        First argument of the function; it can be pickled, and is small.
    numbers : collection of int
        Numbers of the tasks.
    attempts : int
        Number of times that a task is begun at most. Default 3.

    Yields
    ------
    (int, object)
        Number and result of each task.

    Raises
    ------
    LostTaskError
        A task was begun that often and not finished.
    NdtoolsError
        The executor is broken and cannot be made again, or is a cluster of Dask that had no worker for five minutes.
    OptionError
        The executor forks processes.
    """
    engine = _Engine(executor)
    begun: Counter[int] = Counter()
    waiting = list(numbers)
    pending: dict[Any, int] = {}
    running: set[int] = set()
    try:
        while waiting or pending:
            lost: list[int] = []
            why = ""
            try:
                while waiting:
                    future = engine.executor.submit(work, argument, waiting[0], begun[waiting[0]])
                    pending[future] = waiting.pop(0)
            except BrokenExecutor as error:
                why, broken = reason(error), True
            else:
                broken = False
            done = _done(pending)
            if not done:
                engine.check_workers()
            for future in done:
                number = pending.pop(future)
                try:
                    result = future.result()
                except BaseException as error:
                    if not _is_lost(error):
                        raise
                    why, broken = reason(error), broken or isinstance(error, BrokenExecutor)
                    lost.append(number)
                else:
                    running.discard(number)
                    yield number, result
            if broken:  # none of its tasks will be finished, and those that ran are under suspicion
                lost += [number for number in pending.values() if number not in lost]
                lost = lost or list(waiting)
                pending.clear()
                engine.renew(why)
            if lost:
                suspects = running.intersection(lost) or set(lost)
                for number in sorted(suspects if broken else lost):
                    begun[number] += 1
                    if begun[number] >= attempts:
                        raise LostTaskError(number, attempts, why)
                waiting = sorted({*waiting, *lost})
                running.clear()
            running |= {number for future, number in pending.items() if _is_running(future)}
    finally:
        for future in pending:
            future.cancel()
        engine.close()


class _Engine:
    """An executor, and another like it when it is broken."""

    def __init__(self, given: AnyExecutor) -> None:
        self._make: Callable[[], Executor] | None = None
        self._owned = False
        self._asked = self._seen = time.monotonic()  # when a cluster was last asked, and when it last had a worker
        if isinstance(given, Executor) or (hasattr(given, "submit") and not isinstance(given, type)):
            self.executor: Any = given
            _refuse_forks(given)
            if isinstance(given, ProcessPoolExecutor):
                self._make = lambda: _like(given)
        elif callable(given):
            self._make = given
            self._begin()
        else:
            raise TypeError(f"executor must be a concurrent.futures.Executor, got {type(given).__name__}")

    def _begin(self) -> None:
        assert self._make is not None
        self.executor, self._owned = self._make(), True
        _refuse_forks(self.executor)

    def renew(self, why: str) -> None:
        """Take another executor in the place of one that is broken."""
        self.close()
        if self._make is None:
            raise NdtoolsError(
                f"the executor is broken ({why}): give a function that makes an executor, so that another can take its"
                " place"
            )
        self._begin()

    def check_workers(self) -> None:
        """Raise an error if a cluster has had no worker for long: its tasks would wait for ever."""
        now = time.monotonic()
        if now < self._asked + ASKED:
            return
        self._asked = now
        if _number_of_workers(self.executor) != 0:
            self._seen = now
        elif now >= self._seen + WORKERLESS:
            raise NdtoolsError(
                f"the executor's cluster has had no worker for {now - self._seen:.0f} s: start some, as by"
                " cluster.scale(4), and wait for them with client.wait_for_workers(1) before"
            )

    def close(self) -> None:
        """Shut the executor down, unless it is the caller's; tasks that run are not waited for."""
        if self._owned:
            self.executor.shutdown(wait=False, cancel_futures=True)


def _refuse_forks(executor: object) -> None:
    """Refuse a pool that forks processes: they lack the threads of torch, and may wait for these forever."""
    if isinstance(executor, ProcessPoolExecutor):
        known: Any = executor
        if known._mp_context.get_start_method() == "fork":
            raise OptionError(
                "executor",
                "must not fork processes, in which torch may hang: make it as ProcessPoolExecutor(8, mp_context="
                "multiprocessing.get_context('forkserver')), or with 'spawn'",
            )


def _like(pool: ProcessPoolExecutor) -> ProcessPoolExecutor:
    """Return a pool of processes with the settings of another one."""
    known: Any = pool
    return ProcessPoolExecutor(
        known._max_workers,
        known._mp_context,
        initializer=known._initializer,
        initargs=known._initargs,
        max_tasks_per_child=known._max_tasks_per_child,
    )


def _number_of_workers(executor: Any) -> int | None:  # noqa: ANN401
    """Return the number of workers of a cluster of Dask; None for executors that do not say."""
    client: Any = getattr(executor, "_client", None)
    with suppress(Exception):  # a cluster that is lost says so by its futures
        return len(client.scheduler_info()["workers"])
    return None


def _done(pending: Collection[Any]) -> list[Any]:
    """Wait a moment, and return the futures that are done."""
    if not pending:
        return []
    if all(isinstance(future, Future) for future in pending):
        return list(wait(pending, POLL, FIRST_COMPLETED).done)
    found = [future for future in pending if future.done()]
    if not found:
        time.sleep(POLL)
    return found


def _is_running(future: Any) -> bool:  # noqa: ANN401
    running = getattr(future, "running", None)
    return bool(running()) if callable(running) else False


def _is_lost(error: BaseException) -> bool:
    """Return whether an error means that the worker was lost, and not that the task failed."""
    if isinstance(error, NdtoolsError):
        return False
    return isinstance(error, _LOST) or any(kind.__module__.split(".")[0] in _ENGINES for kind in type(error).__mro__)
