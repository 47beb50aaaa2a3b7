"""Batches of a training run: their order and augmentation follow from seed and epoch alone, so no state is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ndtools.errors import OptionError
from ndtools.training.data import TrainingData
from ndtools.training.recipe import Recipe

__all__ = ["MOST_SHIFT", "VIEW", "Batches", "Steps", "augmented", "derived_seed", "seeded"]

MOST_SHIFT = 4  # pixels, as in the published code
_ORDER, _NOISE, VIEW = range(3)  # streams of random numbers; the last is that of views of streamed images


class _Epoch(NamedTuple):
    """Order of the images in an epoch, and for each place in it the shift and whether the image is mirrored."""

    number: int
    order: Tensor
    top: Tensor
    left: Tensor
    mirrored: Tensor


def derived_seed(seed: int, *keys: int) -> int:
    """Return a seed that depends on a run's seed and further numbers; other numbers give unrelated seeds."""
    return int(np.random.SeedSequence((seed, *keys)).generate_state(1, np.uint64)[0])


@contextmanager
def seeded(device: torch.device, seed: int, *keys: int) -> Iterator[None]:
    """Seed torch's generators, by `derived_seed`, for the body of a ``with`` statement, and restore them after it."""
    value = derived_seed(seed, *keys)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(value)
        if device.type == "cuda":
            torch.cuda.manual_seed(value)
        yield


class Steps:
    """Steps of a training run, whose batches several processes share; see `Batches`."""

    def __init__(self, total: int, recipe: Recipe, rank: int, processes: int) -> None:
        self.total, self.recipe, self.rank = total, recipe, rank
        self.images = recipe.batch_size * processes
        self.per_epoch = total // self.images
        if not self.per_epoch:
            together = f" in each of {processes} processes" if processes > 1 else ""
            raise OptionError(
                "batch_size",
                f"must be at most the number of training images, {total}, got {recipe.batch_size}{together}",
            )

    def share(self, step: int) -> tuple[int, slice]:
        """Return the epoch of a step, and the places in its order of the images that this process gets."""
        epoch, place = divmod(step, self.per_epoch)
        start = place * self.images + self.rank * self.recipe.batch_size
        return epoch, slice(start, start + self.recipe.batch_size)

    def order(self, epoch: int) -> tuple[Tensor, torch.Generator]:
        """Return the order of the images in an epoch, and the generator of its further random numbers."""
        generator = torch.Generator().manual_seed(derived_seed(self.recipe.seed, _ORDER, epoch))
        return torch.randperm(self.total, generator=generator), generator

    def noise(self, step: int) -> tuple[int, int, int, int]:
        """Return the arguments of `seeded` that give this process its random numbers of a step, such as dropout's."""
        return self.recipe.seed, _NOISE, step, self.rank


class Batches(Steps):
    """Training batches by the number of their step.

    Each epoch draws a new order of the images, and a shift and a reflection for each of them, from a generator that is
    seeded with seed and epoch. Any batch can therefore be made at any time, on every device alike.

    Parameters
    ----------
    data : TrainingData
        Images on the device that computes.
    recipe : Recipe
        Settings of the run, of which batch size, seed and augmentation count.
    rank, processes : int
        Number of this process, and the number of processes that share each batch in neighbouring parts of equal size.

    Raises
    ------
    OptionError
        If there are fewer images than a batch of all processes has.
    """

    def __init__(self, data: TrainingData, recipe: Recipe, rank: int = 0, processes: int = 1) -> None:
        super().__init__(len(data.train.labels), recipe, rank, processes)
        self.data = data
        self._epoch: _Epoch | None = None

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        """Return normalised images (float32) and labels of a step, counted from 0."""
        number, mine = self.share(step)
        if self._epoch is None or self._epoch.number != number:
            self._epoch = self._drawn(number)
        index = self._epoch.order[mine]
        images = self.data.train.images[index]
        if self.recipe.augment:
            images = augmented(images, *(choice[mine] for choice in self._epoch[2:]))
        return self.data.normalised(images), self.data.train.labels[index]

    def _drawn(self, number: int) -> _Epoch:
        order, generator = self.order(number)
        top, left = torch.randint(2 * MOST_SHIFT + 1, (2, self.total), generator=generator)
        mirrored = (torch.rand(self.total, generator=generator) < 0.5) & self.data.mirror
        return _Epoch(number, *(choice.to(self.data.device) for choice in (order, top, left, mirrored)))


def augmented(images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor) -> Tensor:
    """Shift and mirror images, each in its own way.

    Parameters
    ----------
    images : Tensor of shape (N, C, H, W)
        Images, which are padded by 4 zeros on each side.
    top, left : int64 Tensor of shape (N,)
        First row and column of each padded image that are kept, 0 to 8; 4 leaves an image where it is.
    mirrored : bool Tensor of shape (N,)
        Whether the columns of an image that are kept are put in reverse order.

    Returns
    -------
    Tensor of shape (N, C, H, W)
        The shifted and mirrored images.
    """
    n, channels, height, width = images.shape
    padded = pad(images, (MOST_SHIFT,) * 4).flatten(2)
    across = torch.arange(width, device=images.device)
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.where(mirrored[:, None], across.flip(0), across)
    index = rows[:, :, None] * (width + 2 * MOST_SHIFT) + columns[:, None]
    return padded.gather(2, index.view(n, 1, -1).expand(-1, channels, -1)).view_as(images)
