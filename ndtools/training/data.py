"""Images for training and evaluation: whole sets of uint8 on the device, and the constants that normalise them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from ndtools.data.labelled.dataset import Dataset, Split
from ndtools.errors import OptionError
from ndtools.numerics.pixels import white

if TYPE_CHECKING:
    from ndtools.training.recipe import Recipe

__all__ = ["PUBLISHED", "BatchSource", "Evaluated", "RunData", "TrainingData", "pooled"]

Evaluated = Literal["eval", "test"]
"""Images that evaluate a network: those after each epoch, or those for the final number."""

PUBLISHED = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2009, 0.1984, 0.2023)),
    "mnist": ((0.1307,), (0.3081,)),
    "fashion-mnist": ((0.0,), (1.0,)),
}
"""Means and standard deviations by which the published code normalises images. The deviations of colour images are
means of those of single images, which are smaller than those of all pixels."""

_DIGITS = ("mnist", "glyphs")  # sets whose images mean something else when they are mirrored
_AT_A_TIME = 1000  # images whose pixels are widened at a time
_EVALUATED = 500  # images that are evaluated at a time


class BatchSource(Protocol):
    """Training batches by the number of their step, which follow from the seed of the run alone."""

    images: int
    """Number of images in a batch of all processes together."""
    per_epoch: int
    """Number of batches in an epoch."""

    def noise(self, step: int) -> tuple[int, ...]:
        """Return the arguments of `ndtools.training.batches.seeded` for the random numbers of a step."""

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return normalised images (float32) and labels of a step, counted from 0, on the device of the run."""


class RunData(Protocol):
    """Labelled images of a training run, in memory or streamed.

    In a run of several processes each has a number, its ``rank``, and a share of every batch and of every evaluation.
    """

    @property
    def device(self) -> torch.device:
        """Device that computes."""

    @property
    def classes(self) -> int:
        """Number of classes."""

    @property
    def held_out(self) -> bool:
        """Whether the evaluation after each epoch uses other images than those for the final number."""

    def __len__(self) -> int:
        """Return the number of training images."""

    def batches(self, recipe: "Recipe", rank: int = 0, processes: int = 1) -> BatchSource:
        """Return the training batches of one of several processes."""

    def evaluated(self, split: Evaluated, rank: int = 0, processes: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised images (float32) and labels of the share of a process in an evaluation, batch by batch."""

    def some(self, n: int) -> Tensor:
        """Return at most ``n`` normalised training images without augmentation, the same in all runs."""

    def numbers(self) -> dict[str, Any]:
        """Return numbers that tell whether two runs have the same images, for the description of the run."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Images with labels, as a training run uses them.

    Attributes
    ----------
    train : Split
        Images that the network is trained on, uint8, with their labels.
    eval : Split
        Images that the network is evaluated on after each epoch: held-out training images, or else the test images.
    test : Split
        Images for the final number.
    mean, std : float32 Tensor of shape (C, 1, 1)
        Constants that normalise pixels: those in [0, 1] minus ``mean``, divided by ``std``.
    classes : int
        Number of classes.
    mirror : bool
        Whether a mirrored image still belongs to its class, so that augmentation may mirror it.
    """

    train: Split
    eval: Split
    test: Split
    mean: Tensor
    std: Tensor
    classes: int
    mirror: bool = True

    @classmethod
    def of(
        cls, dataset: Dataset, *, images: int | None = None, holdout: int = 0, published: bool = False
    ) -> "TrainingData":
        """Take training and evaluation images from a data set.

        Parameters
        ----------
        dataset : Dataset
            The labelled images.
        images : int, optional
            Number of images to train on, drawn at random, but the same in all runs. By default all that are not held
            out.
        holdout : int, default 0
            Number of training images that are kept from training and evaluated after each epoch, in place of the test
            images. They, too, are the same in all runs.
        published : bool, default False
            Whether pixels are normalised by the constants of the published code, where it has some for this set,
            instead of the mean and the standard deviation of all pixels of the set's training images.

        Returns
        -------
        TrainingData
            Images and constants, on the device that the data set is on.

        Raises
        ------
        OptionError
            If there are fewer training images than asked for.
        """
        train = dataset.train
        total = len(train.labels)
        if not 0 <= holdout < total:
            raise OptionError("holdout", f"must be at least 0 and less than the {total} training images, got {holdout}")
        if images is not None and not 1 <= images <= total - holdout:
            most = f"{total} training images{f', of which {holdout} are held out' if holdout else ''}"
            raise OptionError("images", f"must be at least 1 and at most the {most}, got {images}")
        evaluated = dataset.test
        if holdout or images is not None:  # in an order of their own, as some sets are sorted by class
            order = torch.randperm(total, generator=torch.Generator().manual_seed(0)).to(train.labels.device)
            if holdout:
                evaluated = _selected(train, order[total - holdout :])
            train = _selected(train, order[: total - holdout][:images])
        constants = PUBLISHED.get(dataset.name) if published else None
        pieces = dataset.train.images.split(_AT_A_TIME)  # type: ignore[no-untyped-call]
        mean, std = constants or pooled(pieces, white(dataset.train.images))
        return cls(
            train=train,
            eval=evaluated,
            test=dataset.test,
            mean=_constant(mean, train.images.device),
            std=_constant(std, train.images.device),
            classes=len(dataset.classes),
            mirror=dataset.name not in _DIGITS,
        )

    def to(self, device: torch.device | str) -> "TrainingData":
        """Return the data with its tensors on a device."""
        splits = {id(split): _moved(split, device) for split in (self.train, self.eval, self.test)}
        return replace(
            self,
            train=splits[id(self.train)],
            eval=splits[id(self.eval)],
            test=splits[id(self.test)],
            mean=self.mean.to(device),
            std=self.std.to(device),
        )

    @property
    def held_out(self) -> bool:
        """Whether evaluation uses held-out training images, and not the test images."""
        return self.eval is not self.test

    @property
    def device(self) -> torch.device:
        """Device of the images."""
        return self.train.images.device

    def __len__(self) -> int:
        return len(self.train.labels)

    def batches(self, recipe: "Recipe", rank: int = 0, processes: int = 1) -> BatchSource:
        """Return the training batches of one of several processes."""
        from ndtools.training.batches import Batches

        return Batches(self, recipe, rank, processes)

    def evaluated(self, split: Evaluated, rank: int = 0, processes: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised images (B, C, H, W) and labels (B,) of the share of a process in an evaluation."""
        chosen = self.eval if split == "eval" else self.test
        for start in range(_EVALUATED * rank, len(chosen.labels), _EVALUATED * processes):
            piece = slice(start, start + _EVALUATED)
            yield self.normalised(chosen.images[piece]), chosen.labels[piece]

    def some(self, n: int) -> Tensor:
        """Return at most ``n`` normalised training images, at equal distances in their list."""
        images = self.train.images
        return self.normalised(images[:: -(-len(images) // n)])

    def numbers(self) -> dict[str, Any]:
        """Return numbers that tell whether two runs have the same images."""
        return {
            "shape": list(self.train.images.shape[1:]),
            "train_images": len(self.train.labels),
            "eval_images": len(self.eval.labels),
            "eval_split": "held-out" if self.held_out else "test",
            "test_images": len(self.test.labels),
            "mean": self.mean.flatten().tolist(),
            "std": self.std.flatten().tolist(),
        }

    def normalised(self, images: Tensor) -> Tensor:
        """Return uint8 images as float32, normalised."""
        return images.float().div_(white(images)).sub_(self.mean).div_(self.std)


def _selected(split: Split, index: Tensor) -> Split:
    return Split(split.images[index], split.labels[index])


def _moved(split: Split, device: torch.device | str) -> Split:
    return Split(split.images.to(device), split.labels.to(device))


def _constant(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]


def pooled(batches: Iterable[Tensor], white: float) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of the pixels of each channel, exactly.

    Parameters
    ----------
    batches : iterable of Tensor of shape (N, C, H, W)
        Images in batches, whose values are whole numbers.
    white : float
        Value of a pixel that stands for 1.

    Returns
    -------
    mean, std : list of float
        Mean and standard deviation of each channel, in units of ``white``; a channel of one value has the deviation 1.
        Both are empty if there are no images.
    """
    count, sums = 0, torch.zeros(2, 0, dtype=torch.float64)
    for images in batches:
        levels = images.double()  # whole numbers, whose sums are exact
        new = torch.stack([levels.sum((0, 2, 3)), levels.square().sum((0, 2, 3))]).cpu()
        sums = sums + new if count else new
        count += images[:, 0].numel()
    mean, square = sums / count
    std = (square - mean.square()).clamp(min=0).sqrt()
    std[std == 0] = white
    return (mean / white).tolist(), (std / white).tolist()
