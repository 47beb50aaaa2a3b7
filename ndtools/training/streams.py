"""Images that are read while a network trains: batches made by worker processes, equal for any number of them."""

import itertools
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ndtools.data.labelled.samples import Samples
from ndtools.data.labelled.streamed import StreamedSet
from ndtools.data.labelled.views import Label, View
from ndtools.errors import DataError, OptionError, SkippedImageWarning
from ndtools.text import reason
from ndtools.training.batches import derived_seed
from ndtools.training.recipe import Recipe

__all__ = ["PHOTOGRAPHS", "Constants", "StreamedBatches", "StreamedData"]

PHOTOGRAPHS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation by which published code normalises ImageNet's photographs."""

Constants: TypeAlias = Literal["pooled", "published"] | tuple[Sequence[float], Sequence[float]]

_ORDER, _NOISE, _VIEW = range(3)  # streams of random numbers
_MEASURED = 1000  # training images whose pixels give mean and standard deviation
_MOST_DAMAGED = 100  # neighbours in the list that are tried in place of a damaged image

_Damage: TypeAlias = list[tuple[int, str]]  # numbers of images, and the reasons why they cannot be used


class _Group(NamedTuple):
    """Images of one size, uint8, and their labels."""

    images: Tensor
    labels: Tensor


class _Training(NamedTuple):
    """Makes the batches of training, in a worker process: from the epoch and the numbers of the images."""

    samples: Samples
    view: View
    fill: tuple[int, ...]
    seed: int
    augment: bool

    def batch(self, key: tuple[int, list[int]]) -> tuple[list[_Group], _Damage]:
        epoch, index = key
        damage: _Damage = []
        items = [self._item(epoch, i, damage) for i in index]
        whole = [item for item in items if item is not None]
        return (_groups(whole) if len(whole) == len(items) else []), damage

    def _item(self, epoch: int, index: int, damage: _Damage) -> tuple[Tensor, Label] | None:
        for place in range(index, index + min(_MOST_DAMAGED, len(self.samples))):
            try:
                image, label = _read(self.samples, place % len(self.samples))
                if not self.augment:
                    return self.view.plain(image, label, self.fill)
                # The numbers belong to the place, so that an image in the place of another has a view of its own.
                random = np.random.default_rng(derived_seed(self.seed, _VIEW, epoch, index))
                return self.view.training(image, label, random, self.fill)
            except DataError as error:
                damage.append((place % len(self.samples), str(error)))
        return None


class _Evaluation(NamedTuple):
    """Makes the batches of evaluation, in a worker process: from the numbers of the images."""

    samples: Samples
    view: View
    plain: tuple[int, ...] | None = None  # colour around images that are to have one size

    def batch(self, key: list[int]) -> tuple[list[_Group], _Damage]:
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

    def __init__(self, work: _Training | _Evaluation) -> None:
        self.work = work

    def __getitem__(self, key: Any) -> tuple[list[_Group], _Damage]:  # noqa: ANN401 (as each kind of work has it)
        return self.work.batch(key)


class _Keys:
    """Keys of the training batches from a step on."""

    def __init__(self, samples: int, recipe: Recipe, per_epoch: int, images: int, rank: int) -> None:
        self.samples, self.recipe, self.per_epoch, self.images, self.rank = samples, recipe, per_epoch, images, rank
        self.start = 0

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        drawn, order = -1, torch.empty(0)
        last = self.recipe.epochs * self.per_epoch
        for step in itertools.count(self.start):
            if step == last > self.start:
                return
            epoch, place = divmod(step, self.per_epoch)
            if epoch != drawn:
                generator = torch.Generator().manual_seed(derived_seed(self.recipe.seed, _ORDER, epoch))
                drawn, order = epoch, torch.randperm(self.samples, generator=generator)
            start = place * self.images + self.rank * self.recipe.batch_size
            yield epoch, order[start : start + self.recipe.batch_size].tolist()


class StreamedData:
    """Training and evaluation images that are read from their files, batch by batch.

    Batches follow from seed and step alone, whatever the number of worker processes. Images that cannot be used are
    named once, in a `SkippedImageWarning`: in training the next in the list takes the place of each, and in evaluation
    they are left out.

    Parameters
    ----------
    streamed : StreamedSet
        Lists of the images.
    view : View
        The way that images are scaled and cropped: `Crops`, or `Scenes` for images with label maps.
    device : torch.device or str
        Device that batches are moved to. They are normalised there.
    workers : int
        Number of worker processes that read and scale images; 0 for none beside this one.
    strict : bool
        Whether an image that cannot be used is an error.
    constants : {"pooled", "published"} or pair of sequences of float
        Mean and standard deviation that normalise pixels in [0, 1]: those of all pixels of up to 1,000 training images,
        the same in all runs; those of published code for ImageNet; or numbers for the three colours.
    batch_of_evaluation : int
        Largest number of images in a batch of evaluation.

    Raises
    ------
    OptionError
        If a setting is out of range, the view does not fit the set, or there are no images to evaluate on.
    DataError
        If no training image can be used for the constants, or, with `strict`, one of them cannot.
    """

    def __init__(
        self,
        streamed: StreamedSet,
        view: View,
        *,
        device: torch.device | str = "cpu",
        workers: int = 0,
        strict: bool = False,
        constants: Constants = "pooled",
        batch_of_evaluation: int = 64,
    ) -> None:
        if workers < 0:
            raise OptionError("workers", f"must be at least 0, got {workers}")
        if batch_of_evaluation < 1:
            raise OptionError("batch_of_evaluation", f"must be at least 1, got {batch_of_evaluation}")
        if view.pairs != streamed.pairs:
            kinds = {True: "a label map for each image", False: "a class for each image"}
            raise OptionError("view", f"must be one for {kinds[streamed.pairs]}, which {streamed.location} has")
        if streamed.eval is None and streamed.test is None:
            raise OptionError(
                "holdout", f"must be at least 1: {streamed.location} has neither validation nor test images"
            )
        self.streamed, self.view, self.device = streamed, view, torch.device(device)
        self.workers, self.strict, self.batch_of_evaluation = workers, strict, batch_of_evaluation
        self._named: set[tuple[int, int]] = set()
        mean, std = self._constants(constants)
        self.mean, self.std = (
            torch.tensor(values, dtype=torch.float32, device=self.device)[:, None, None] for values in (mean, std)
        )
        self._numbers = {"mean": list(mean), "std": list(std)}
        self._fill = _colour(mean)

    def __len__(self) -> int:
        return len(self.streamed.train)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.streamed.classes)

    @property
    def held_out(self) -> bool:
        """Whether evaluation uses images that are not the test images."""
        return self.streamed.eval is not None and self.streamed.test is not None

    def batches(self, recipe: Recipe, rank: int = 0, processes: int = 1) -> "StreamedBatches":
        """Return the training batches of a run.

        Parameters
        ----------
        recipe : Recipe
            Settings of the run, of which batch size, seed, augmentation and the number of epochs count.
        rank, processes : int
            Number of this process, and the number of processes that share each batch in neighbouring parts of equal
            size.

        Returns
        -------
        StreamedBatches
            Batches by the number of their step.
        """
        return StreamedBatches(self, recipe, rank, processes)

    def evaluated(
        self, split: Literal["eval", "test"], rank: int = 0, processes: int = 1
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Iterate once through the images of a split, in batches of one size of images.

        Parameters
        ----------
        split : {"eval", "test"}
            Validation or test images; if the set has only one of both, that is used for either.
        rank, processes : int
            Number of this process, and the number of processes that share the images in neighbouring parts.

        Yields
        ------
        (float32 Tensor of shape (B, 3, H, W), int64 Tensor of shape (B,) or (B, h, w))
            Normalised images and their labels on the device.
        """
        first, second = self.streamed.eval, self.streamed.test
        samples = (second or first) if split == "test" else (first or second)
        assert samples is not None
        index = range(len(samples) * rank // processes, len(samples) * (rank + 1) // processes)
        for group in self._read(_Evaluation(samples, self.view), index):
            yield self.on_device(group)

    def some(self, n: int) -> Tensor:
        """Return training images without augmentation, the same in all runs.

        Parameters
        ----------
        n : int
            Number of images; fewer are returned if there are not as many that can be used.

        Returns
        -------
        float32 Tensor of shape (n, 3, H, W)
            Normalised images on the device.

        Raises
        ------
        DataError
            If none of them can be used, or, with `strict`, one cannot.
        """
        work = _Evaluation(self.streamed.train, self.view, plain=self._fill)
        images = [self.on_device(group)[0] for group in self._read(work, self._fixed(n))]
        if not images:
            raise DataError(f"no training image of {self.streamed.location} can be used: the warnings say why")
        return torch.cat(images)

    def numbers(self) -> dict[str, object]:
        """Return what a run records of its data, and compares when it is continued.

        Returns
        -------
        dict
            Numbers of images and classes, the view, mean and standard deviation, and fingerprints of the lists.
        """
        splits = {"train": self.streamed.train, "eval": self.streamed.eval, "test": self.streamed.test}
        there = {name: split for name, split in splits.items() if split is not None}
        return {
            "images": {name: len(split) for name, split in there.items()},
            "classes": self.classes,
            "view": {"kind": type(self.view).__name__.lower(), **asdict(self.view)},  # type: ignore[call-overload]
            **self._numbers,
            "fingerprint": {name: split.fingerprint for name, split in there.items()},
        }

    def on_device(self, group: _Group) -> tuple[Tensor, Tensor]:
        """Return images and labels on the device, normalised."""
        images, labels = (tensor.to(self.device, non_blocking=True) for tensor in group)
        return images.float().div_(255).sub_(self.mean).div_(self.std), labels.long()

    def loader(self, work: _Training | _Evaluation, keys: Iterable[Any], *, lasting: bool) -> DataLoader[Any]:
        """Return torch's loader of batches, whose processes read ahead.

        Parameters
        ----------
        work : object
            What worker processes do with each key.
        keys : iterable
            Keys of the batches, which may have another beginning whenever they are iterated.
        lasting : bool
            Whether processes outlive an iteration.

        Returns
        -------
        DataLoader
            Loader of uint8 batches and lists of damaged images.
        """
        with warnings.catch_warnings():
            # More processes than processors are the choice of the user.
            warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)
            return DataLoader(
                _Reading(work),
                batch_size=None,
                sampler=keys,
                num_workers=self.workers,
                collate_fn=_unchanged,
                pin_memory=self.device.type == "cuda",
                worker_init_fn=_deaf,
                persistent_workers=lasting and self.workers > 0,
                generator=torch.Generator(),  # else torch would draw a number from the generator of the run
            )

    def name_damage(self, samples: Samples, damage: _Damage, *, replaced: bool) -> None:
        """Name images that cannot be used, each once.

        Parameters
        ----------
        samples : Samples
            List of the images.
        damage : list of (int, str)
            Numbers of the images, and reasons.
        replaced : bool
            Whether others take their places.

        Raises
        ------
        DataError
            If `strict` is set and there is such an image.
        """
        for index, why in damage:
            path = samples.files.path(index)
            if self.strict:
                raise DataError(f"cannot use {path}: {why} (without `strict`, it would be left out)")
            if (id(samples), index) not in self._named:
                self._named.add((id(samples), index))
                instead = "; the next image takes its place" if replaced else ""
                warnings.warn(f"left out {path}: {why}{instead}", SkippedImageWarning, stacklevel=3)

    def _fixed(self, n: int) -> list[int]:
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))
        numbers: list[int] = order[:n].tolist()
        return numbers

    def _read(self, work: _Evaluation, index: Sequence[int]) -> Iterator[_Group]:
        size = self.batch_of_evaluation
        keys = [list(index[start : start + size]) for start in range(0, len(index), size)]
        results = started(self.loader(work, keys, lasting=False))
        for _ in keys:
            groups, damage = following(results)
            self.name_damage(work.samples, damage, replaced=False)
            yield from groups

    def _constants(self, constants: Constants) -> tuple[Sequence[float], Sequence[float]]:
        if constants == "published":
            return PHOTOGRAPHS
        if constants == "pooled":
            return self._pooled()
        mean, std = map(tuple, constants)
        if len(mean) != 3 or len(std) != 3 or not all(value > 0 for value in std):
            raise OptionError("constants", f"must be three means and three positive deviations, got {mean} and {std}")
        return mean, std

    def _pooled(self) -> tuple[list[float], list[float]]:
        """Return mean and standard deviation of all pixels of some training images, as they are evaluated."""
        count, sums = 0, torch.zeros(2, 3, dtype=torch.float64)
        for images, _ in self._read(_Evaluation(self.streamed.train, self.view), self._fixed(_MEASURED)):
            for image in images:
                levels = image.double()  # whole numbers, whose sums are exact
                sums += torch.stack([levels.sum((1, 2)), levels.square().sum((1, 2))])
            count += images[:, 0].numel()
        if not count:
            raise DataError(f"no training image of {self.streamed.location} can be used: the warnings say why")
        mean, square = sums / count
        std = (square - mean.square()).clamp(min=0).sqrt()
        std[std == 0] = 255  # a colour of one value
        return (mean / 255).tolist(), (std / 255).tolist()


class StreamedBatches:
    """Training batches by the number of their step. Steps in their order are read ahead; any other may come next.

    Parameters
    ----------
    data : StreamedData
        The images.
    recipe : Recipe
        Settings of the run.
    rank, processes : int
        Number of this process, and the number of processes that share each batch.

    Raises
    ------
    OptionError
        If there are fewer images than a batch of all processes has.
    """

    def __init__(self, data: StreamedData, recipe: Recipe, rank: int = 0, processes: int = 1) -> None:
        self.data, self.recipe, self.rank = data, recipe, rank
        self.images = recipe.batch_size * processes
        self.per_epoch = len(data) // self.images
        if not self.per_epoch:
            together = f" in each of {processes} processes" if processes > 1 else ""
            raise OptionError(
                "batch_size",
                f"must be at most the number of training images, {len(data)}, got {recipe.batch_size}{together}",
            )
        work = _Training(data.streamed.train, data.view, data._fill, recipe.seed, recipe.augment)
        self._keys = _Keys(len(data), recipe, self.per_epoch, self.images, rank)
        self._work = work
        self._loader: DataLoader[Any] | None = None
        self._results: Iterator[tuple[list[_Group], _Damage]] = iter(())
        self._next = -1

    def noise(self, step: int) -> tuple[int, int, int, int]:
        """Return the arguments of `seeded` that give this process its random numbers of a step, such as dropout's."""
        return self.recipe.seed, _NOISE, step, self.rank

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return normalised images (float32) and labels of a step, counted from 0."""
        if step != self._next or step == self.recipe.epochs * self.per_epoch:
            self._keys.start = step
            if self._loader is None:
                self._loader = self.data.loader(self._work, self._keys, lasting=True)
            self._results = started(self._loader)
        self._next = -1  # until there is a batch: after an error, all begins anew
        try:
            groups, damage = following(self._results)
        except BaseException:  # also by the keyboard: the queues may be in any state
            self._loader, self._results = None, iter(())
            raise
        samples = self.data.streamed.train
        self.data.name_damage(samples, damage, replaced=True)
        if not groups:
            raise DataError(
                f"{len(damage)} training images of {self.data.streamed.location} in succession cannot be used, the last"
                f" of them {samples.files.path(damage[-1][0])}: {damage[-1][1]}"
            )
        self._next = step + 1
        return self.data.on_device(groups[0])


def started(loader: DataLoader[Any]) -> Iterator[Any]:
    """Return an iterator of a loader, whose processes leave interruption by the keyboard to this one."""
    with _signals_kept(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        return iter(loader)


def following(results: Iterator[Any]) -> tuple[list[_Group], _Damage]:
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
        A worker process has ended, as by lack of memory.
    RuntimeError
        Another error of torch.
    """
    try:
        return next(results)  # type: ignore[no-any-return]
    except (OSError, EOFError) as error:
        raise _ended(error) from error
    except RuntimeError as error:
        if "worker" not in str(error):
            raise
        raise _ended(error) from error


def _ended(error: Exception) -> DataError:
    return DataError(
        f"a process that reads images has ended, probably for lack of (shared) memory: {reason(error)}; take fewer"
        " `workers` or a smaller batch, or give /dev/shm more memory"
    )


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


def _deaf(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _unchanged(batch: Any) -> Any:  # noqa: ANN401 (a batch is whole already)
    return batch


def _read(samples: Samples, index: int) -> tuple[Tensor, Label]:
    try:
        return samples.read(index)
    except MemoryError:
        raise DataError("too large for the memory") from None


def _groups(items: list[tuple[Tensor, Label]]) -> list[_Group]:
    """Stack images of equal size, and of label maps of equal size, in the order of the first of each."""
    by_size: dict[tuple[Any, ...], tuple[list[Tensor], list[Tensor]]] = {}
    for image, label in items:
        labels = torch.as_tensor(label)
        images, others = by_size.setdefault((image.shape, labels.shape), ([], []))
        images.append(image)
        others.append(labels)
    return [_Group(torch.stack(images), torch.stack(labels)) for images, labels in by_size.values()]


def _colour(mean: Sequence[float]) -> tuple[int, ...]:
    return tuple(min(255, max(0, round(255 * value))) for value in mean)
