"""Processes that read batches of images, and what they do: torch's loader with its signals and errors in order."""

import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ndtools.computing.memory import prepare_allocator
from ndtools.data.labelled.samples import Samples
from ndtools.data.labelled.views import Label, View
from ndtools.errors import DataError
from ndtools.text import reason
from ndtools.training.batches import VIEW, derived_seed

__all__ = ["Damage", "EvaluationWork", "Group", "TrainingWork", "following", "loader", "started"]

_MOST_DAMAGED = 100  # neighbours in the list that are tried in place of a damaged image

Damage: TypeAlias = list[tuple[int, str]]  # numbers of images, and the reasons why they cannot be used


class Group(NamedTuple):
    """Images of one size, uint8, and their labels."""

    images: Tensor
    labels: Tensor


class Unshared(NamedTuple):
    """Reason why a batch could not be brought into memory that processes share."""

    why: str


class TrainingWork(NamedTuple):
    """Makes the batches of training, in a worker process: from the epoch and the numbers of the images."""

    samples: Samples
    view: View
    fill: tuple[int, ...]
    seed: int
    augment: bool

    def batch(self, key: tuple[int, list[int]]) -> tuple[list[Group], Damage]:
        """Return the images of a batch, or none if one has no replacement, and those that are damaged."""
        epoch, index = key
        damage: Damage = []
        items = [self._item(epoch, i, damage) for i in index]
        whole = [item for item in items if item is not None]
        return (_groups(whole) if len(whole) == len(items) else []), damage

    def _item(self, epoch: int, index: int, damage: Damage) -> tuple[Tensor, Label] | None:
        for place in range(index, index + min(_MOST_DAMAGED, len(self.samples))):
            try:
                image, label = _read(self.samples, place % len(self.samples))
                if not self.augment:
                    return self.view.plain(image, label, self.fill)
                # The numbers belong to the place, so that an image in the place of another has a view of its own.
                random = np.random.default_rng(derived_seed(self.seed, VIEW, epoch, index))
                return self.view.training(image, label, random, self.fill)
            except DataError as error:
                damage.append((place % len(self.samples), str(error)))
        return None


class EvaluationWork(NamedTuple):
    """Makes the batches of evaluation, in a worker process: from the numbers of the images."""

    samples: Samples
    view: View
    plain: tuple[int, ...] | None = None  # colour around images that are to have one size

    def batch(self, key: list[int]) -> tuple[list[Group], Damage]:
        """Return the images that can be used, by their sizes, and those that are damaged."""
        items, damage = [], []
        for index in key:
            try:
                image, label = _read(self.samples, index)
                if self.plain is None:
                    items.append(self.view.evaluation(image, label))
                else:
                    items.append(self.view.plain(image, label, self.plain))
            except DataError as error:
                damage.append((index, str(error)))
        return _groups(items), damage


class _Reading(torch.utils.data.Dataset[Any]):
    """The work of a loader as torch wants it: a batch for each key."""

    def __init__(self, work: TrainingWork | EvaluationWork) -> None:
        self.work = work

    def __getitem__(self, key: Any) -> tuple[list[Group], Damage] | Unshared:  # noqa: ANN401 (as each work has it)
        groups, damage = self.work.batch(key)
        if torch.utils.data.get_worker_info() is not None:
            # Else a thread of torch would do so, which drops a batch that finds no room, so that it never arrives.
            try:
                for group in groups:
                    for tensor in group:
                        tensor.share_memory_()  # type: ignore[no-untyped-call]
            except (RuntimeError, OSError) as error:
                return Unshared(reason(error))
        return groups, damage


def loader(
    work: TrainingWork | EvaluationWork, keys: Iterable[Any], *, workers: int, pinned: bool, lasting: bool
) -> DataLoader[Any]:
    """Return torch's loader of batches, whose processes read ahead.

    Parameters
    ----------
    work : TrainingWork or EvaluationWork
        The work of each process, which makes a batch of a key.
    keys : iterable
        Keys of the batches, which may have another beginning whenever they are iterated.
    workers : int
        Number of processes beside this one.
    pinned : bool
        Whether batches lie in memory that a GPU reads by itself.
    lasting : bool
        Whether processes outlive an iteration.

    Returns
    -------
    DataLoader
        Loader of uint8 batches and lists of damaged images.
    """
    with _quiet():
        return DataLoader(
            _Reading(work),
            batch_size=None,
            sampler=keys,
            num_workers=workers,
            collate_fn=_unchanged,
            pin_memory=pinned,
            worker_init_fn=_begun,
            persistent_workers=lasting and workers > 0,
            generator=torch.Generator(),  # else torch would draw a number from the generator of the run
        )


def started(loader: DataLoader[Any]) -> Iterator[Any]:
    """Return an iterator of a loader, whose processes leave interruption by the keyboard to this one."""
    with _signals_kept(), _quiet():
        return iter(loader)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # More processes than processors are the choice of the user; torch's way to start them is tested.
        warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        yield


def following(results: Iterator[Any]) -> tuple[list[Group], Damage]:
    """Return the next result of a loader.

    Parameters
    ----------
    results : iterator
        Results of `started`.

    Returns
    -------
    (list of groups, list of (int, str))
        Images of each size with their labels, and numbers of damaged images with the reasons.

    Raises
    ------
    DataError
        A worker process has ended, as by lack of memory, or cannot hand over a batch.
    RuntimeError
        Another error of torch, also one that a worker process met.
    """
    remedy = "take fewer `workers` or a smaller batch, or give /dev/shm more memory"
    try:
        result = next(results)
    except (OSError, EOFError) as caught:
        error: Exception = caught
    except RuntimeError as caught:
        if "worker" not in str(caught) or str(caught).startswith("Caught "):  # the latter is handed on by a worker
            raise
        error = caught
    else:
        if isinstance(result, Unshared):
            raise DataError(f"a batch of images finds no room in shared memory: {result.why}; {remedy}")
        return result  # type: ignore[no-any-return]
    raise DataError(
        f"a process that reads images has ended, probably for lack of (shared) memory: {reason(error)}; {remedy}"
    ) from error


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep the signals of this process as they are while others start, and interruption by the keyboard from those.

    Torch would let the end of a worker raise an error wherever this process happens to be. Without its handler the
    error comes where a batch is waited for, up to five seconds later.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGCHLD, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _begun(worker: int) -> None:
    prepare_allocator()  # else the memory of a worker would grow to several times that of its batches
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # which whole groups of processes get; the one that trains ends these
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _unchanged(batch: Any) -> Any:  # noqa: ANN401 (a batch is whole already)
    return batch


def _read(samples: Samples, index: int) -> tuple[Tensor, Label]:
    try:
        return samples.read(index)
    except MemoryError:
        raise DataError("too large for the memory") from None


def _groups(items: list[tuple[Tensor, Label]]) -> list[Group]:
    """Stack images of equal size, and of label maps of equal size, in the order of the first of each."""
    by_size: dict[tuple[Any, ...], tuple[list[Tensor], list[Tensor]]] = {}
    for image, label in items:
        labels = torch.as_tensor(label)
        images, others = by_size.setdefault((image.shape, labels.shape), ([], []))
        images.append(image)
        others.append(labels)
    return [Group(torch.stack(images), torch.stack(labels)) for images, labels in by_size.values()]
