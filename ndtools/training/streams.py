"""Images that are read while a network trains: batches made by worker processes, equal for any number of them."""

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ndtools.data.images.reading import processors
from ndtools.data.labelled.samples import Samples
from ndtools.data.labelled.streamed import StreamedSet
from ndtools.data.labelled.views import Crops, Scenes, View
from ndtools.errors import DataError, OptionError, SkippedImageWarning
from ndtools.training.batches import Steps
from ndtools.training.data import Evaluated, pooled
from ndtools.training.loading import Damage, EvaluationWork, Group, TrainingWork, following, loader, started
from ndtools.training.recipe import Recipe

__all__ = ["PHOTOGRAPHS", "Constants", "Crops", "Scenes", "StreamedBatches", "StreamedData"]

PHOTOGRAPHS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation by which published code normalises ImageNet's photographs."""

Constants: TypeAlias = Literal["pooled", "published"] | tuple[Sequence[float], Sequence[float]]

_MOST_WORKERS = 8  # unless more are asked for
_MEASURED = 1000  # training images whose pixels give mean and standard deviation


class _Keys:
    """Keys of the training batches from a step on."""

    def __init__(self, steps: Steps) -> None:
        self.steps, self.start = steps, 0

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        drawn, order = -1, torch.empty(0)
        last = self.steps.recipe.epochs * self.steps.per_epoch
        for step in itertools.count(self.start):
            if step == last > self.start:
                return
            epoch, mine = self.steps.share(step)
            if epoch != drawn:
                drawn, (order, _) = epoch, self.steps.order(epoch)
            yield epoch, order[mine].tolist()


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
    workers : int or None
        Number of worker processes that read and scale images; 0 (the default) for none beside this one, None for as
        many as there are processors, at most 8.
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
        If a setting is out of range, or the view does not fit the set.
    DataError
        If no training image can be used for the constants, or, with `strict`, one of them cannot.
    """

    def __init__(
        self,
        streamed: StreamedSet,
        view: View,
        *,
        device: torch.device | str = "cpu",
        workers: int | None = 0,
        strict: bool = False,
        constants: Constants = "pooled",
        batch_of_evaluation: int = 64,
    ) -> None:
        if workers is None:
            workers = min(processors(), _MOST_WORKERS)
        if workers < 0:
            raise OptionError("workers", f"must be at least 0, got {workers}")
        if batch_of_evaluation < 1:
            raise OptionError("batch_of_evaluation", f"must be at least 1, got {batch_of_evaluation}")
        if view.pairs != streamed.pairs:
            kinds = {True: "a label map for each image", False: "a class for each image"}
            raise OptionError("view", f"must be one for {kinds[streamed.pairs]}, which {streamed.location} has")
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
        """Return the training batches of one of several processes."""
        return StreamedBatches(self, recipe, rank, processes)

    def evaluated(self, split: Evaluated, rank: int = 0, processes: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised images (B, 3, H, W), of one size in a batch, and labels (B,) or (B, h, w) of an evaluation.

        The validation or the test images are evaluated; if the set has only one of both, that is used for either, and
        if it has none, the training images are used. Processes share the images in neighbouring parts.
        """
        samples = self._evaluated(split)
        index = range(len(samples) * rank // processes, len(samples) * (rank + 1) // processes)
        for group in self._read(EvaluationWork(samples, self.view), index):
            yield self.on_device(group)

    def examples(self, split: Evaluated, n: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Iterate through some images of a split that lie evenly spaced in its list, the same in all runs.

        Parameters
        ----------
        split : {"eval", "test"}
            Split as in `evaluated`.
        n : int
            Number of images; fewer are returned if there are not as many that can be used.

        Yields
        ------
        (uint8 Tensor of shape (3, H, W), float32 Tensor of shape (1, 3, H, W), int64 Tensor of shape (1,) or (1, h, w))
            Pixels of an image, and the image normalised with its label as a batch of one, on the device.
        """
        samples = self._evaluated(split)
        n = min(n, len(samples))
        middles = [(2 * i + 1) * len(samples) // (2 * n) for i in range(n)]
        for images, labels in self._read(EvaluationWork(samples, self.view), middles):
            for i in range(len(images)):
                yield images[i], *self.on_device(Group(images[i : i + 1], labels[i : i + 1]))

    def some(self, n: int) -> Tensor:
        """Return at most ``n`` normalised training images without augmentation; DataError if none can be used."""
        work = EvaluationWork(self.streamed.train, self.view, plain=self._fill)
        images = [self.on_device(group)[0] for group in self._read(work, self._fixed(n))]
        if not images:
            raise DataError(f"no training image of {self.streamed.location} can be used: the warnings say why")
        return torch.cat(images)

    def numbers(self) -> dict[str, Any]:
        """Return numbers of images and classes, the view, the constants, and fingerprints of lists and file sizes."""
        splits = {"train": self.streamed.train, "eval": self.streamed.eval, "test": self.streamed.test}
        there = {name: split for name, split in splits.items() if split is not None}
        last = self.streamed.test or self.streamed.eval
        return {
            "train_images": len(self),
            "eval_images": len(self.streamed.eval or self.streamed.test or self.streamed.train),
            "eval_split": "validation" if self.streamed.eval is not None else "test" if last else "training",
            "test_images": len(last) if last is not None else 0,
            "classes": self.classes,
            "view": {"kind": type(self.view).__name__.lower(), **asdict(self.view)},  # type: ignore[call-overload]
            **self._numbers,
            "fingerprint": {name: split.fingerprint for name, split in there.items()},
            "sizes": {name: split.sizes for name, split in there.items()},
        }

    def on_device(self, group: Group) -> tuple[Tensor, Tensor]:
        """Return images and labels on the device, normalised."""
        images, labels = (tensor.to(self.device, non_blocking=True) for tensor in group)
        return images.float().div_(255).sub_(self.mean).div_(self.std), labels.long()

    def loader(self, work: TrainingWork | EvaluationWork, keys: Iterable[Any], *, lasting: bool) -> DataLoader[Any]:
        """Return a loader with the settings of the data; see `ndtools.training.loading.loader`."""
        return loader(work, keys, workers=self.workers, pinned=self.device.type == "cuda", lasting=lasting)

    def name_damage(self, samples: Samples, damage: Damage, *, replaced: bool) -> None:
        """Warn of images that cannot be used, each once; with `strict`, raise a DataError in place of that."""
        for index, why in damage:
            path = samples.files.path(index)
            if self.strict:
                raise DataError(f"cannot use {path}: {why} (without `strict`, it would be left out)")
            if (id(samples), index) not in self._named:
                self._named.add((id(samples), index))
                instead = "; the next image takes its place" if replaced else ""
                warnings.warn(f"left out {path}: {why}{instead}", SkippedImageWarning, stacklevel=3)

    def _evaluated(self, split: Evaluated) -> Samples:
        first, second = self.streamed.eval, self.streamed.test
        samples = (second or first) if split == "test" else (first or second)
        return samples or self.streamed.train

    def _fixed(self, n: int) -> list[int]:
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))
        numbers: list[int] = order[:n].tolist()
        return numbers

    def _read(self, work: EvaluationWork, index: Sequence[int]) -> Iterator[Group]:
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
        groups = self._read(EvaluationWork(self.streamed.train, self.view), self._fixed(_MEASURED))
        mean, std = pooled((image[None] for images, _ in groups for image in images), 255)  # one by one, to save memory
        if not mean:
            raise DataError(f"no training image of {self.streamed.location} can be used: the warnings say why")
        return mean, std


class StreamedBatches(Steps):
    """Training batches by the number of their step. Steps in their order are read ahead; any other may come next.

    Parameters
    ----------
    data : StreamedData
        Lists of the images, with the way that they are read.
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
        super().__init__(len(data), recipe, rank, processes)
        self.data = data
        self._work = TrainingWork(data.streamed.train, data.view, data._fill, recipe.seed, recipe.augment)
        self._keys = _Keys(Steps(len(data), recipe, rank, processes))  # not self: a cycle would keep the workers alive
        self._loader: DataLoader[Any] | None = None
        self._results: Iterator[tuple[list[Group], Damage]] = iter(())
        self._next = -1

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


def _colour(mean: Sequence[float]) -> tuple[int, ...]:
    return tuple(min(255, max(0, round(255 * value))) for value in mean)
