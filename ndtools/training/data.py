"""Images for training and evaluation: whole sets of uint8 on the device, and the constants that normalise them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ndtools.data.labelled.dataset import Dataset, Split
from ndtools.errors import OptionError
from ndtools.numerics.pixels import white

__all__ = ["PUBLISHED", "TrainingData"]

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
        mean, std = constants or _pooled(dataset.train.images)
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

    def normalised(self, images: Tensor) -> Tensor:
        """Return uint8 images as float32, normalised."""
        return images.float().div_(white(images)).sub_(self.mean).div_(self.std)


def _selected(split: Split, index: Tensor) -> Split:
    return Split(split.images[index], split.labels[index])


def _moved(split: Split, device: torch.device | str) -> Split:
    return Split(split.images.to(device), split.labels.to(device))


def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]


def _pooled(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of the pixels of each channel, exactly; 1 for a channel of one value."""
    sums = torch.zeros(2, images.shape[1], dtype=torch.float64, device=images.device)
    for some in images.split(_AT_A_TIME):  # type: ignore[no-untyped-call]
        levels = some.double()  # whole numbers, whose sums are exact
        sums += torch.stack([levels.sum((0, 2, 3)), levels.square().sum((0, 2, 3))])
    mean, square = (sums / (images.numel() // images.shape[1])).cpu()
    std = (square - mean.square()).clamp(min=0).sqrt()
    std[std == 0] = white(images)
    return tuple((mean / white(images)).tolist()), tuple((std / white(images)).tolist())
