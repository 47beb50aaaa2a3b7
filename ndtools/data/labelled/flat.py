"""A data set whose images are rows of features: batches of them, and how well a model does on all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ndtools.data.labelled.dataset import Dataset

__all__ = ["ROWS", "FlatDataset"]

ROWS = 8192  # of a data set that are held as floats at a time


@dataclass(frozen=True, eq=False)
class FlatDataset:
    """A data set, flattened.

    Attributes
    ----------
    pixels, test_pixels : uint8 Tensor of shape (n, f)
        Features are pixels/255 in (c, y, x) order.
    labels, test_labels : int64 Tensor of shape (n,)
        Classes.
    classes : int
        How many.
    image_shape : (int, int, int)
        Channels, height, width.
    """

    pixels: Tensor
    labels: Tensor
    test_pixels: Tensor
    test_labels: Tensor
    classes: int
    image_shape: tuple[int, int, int]

    @classmethod
    def of(cls, dataset: Dataset) -> "FlatDataset":
        """Flatten the images of a data set, which stay on their device."""
        train, test = dataset.train, dataset.test
        _, channels, height, width = train.images.shape
        return cls(
            train.images.flatten(1),
            train.labels,
            test.images.flatten(1),
            test.labels,
            len(dataset.classes),
            (channels, height, width),
        )

    def to(self, device: torch.device) -> "FlatDataset":
        """Return the data set on another device, or itself if it is there."""
        names = ("pixels", "labels", "test_pixels", "test_labels")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def features(self) -> int:
        """Pixels of an image, all channels."""
        return self.pixels.shape[1]

    def rows(self, index: Tensor | slice, dtype: torch.dtype) -> Tensor:
        """Return features of some training images, of shape (n, f), in [0, 1]."""
        return self.pixels[index].to(dtype).div_(255)

    def batches(self, size: int, iterations: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Give batches in a random order, anew in each epoch, which ends when no whole batch is left.

        Parameters
        ----------
        size : int
            Images in a batch, as many as there are at most.
        iterations : int
            How many batches.
        seed : int
            Of a generator local to this call.

        Yields
        ------
        (Tensor, Tensor)
            float32 rows of shape (size, f) and labels of shape (size,).
        """
        generator = torch.Generator().manual_seed(seed)
        left = torch.zeros(0, dtype=torch.long)
        for _ in range(iterations):
            if len(left) < size:
                left = torch.randperm(len(self), generator=generator)
            index, left = left[:size].to(self.pixels.device), left[size:]
            yield self.rows(index, torch.float32), self.labels[index]

    @torch.no_grad()
    def accuracy(self, model: Callable[[Tensor], Tensor]) -> float:
        """Return the share of test images whose largest logit is that of their class.

        Parameters
        ----------
        model : callable
            From float32 rows of shape (n, f) to logits of shape (n, classes). Those that are not finite are wrong.

        Returns
        -------
        float
            In [0, 1].
        """
        right = 0
        for at in range(0, len(self.test_labels), ROWS):
            logits = model(self.test_pixels[at : at + ROWS].float().div_(255))
            found = logits.isfinite().all(1) & (logits.argmax(1) == self.test_labels[at : at + ROWS])
            right += int(found.sum())
        return right / len(self.test_labels)

    def kernels(self, weights: Tensor) -> Tensor:
        """Return weights on raw features, of shape (1 + f, classes), as kernels (classes, C, H, W)."""
        return weights[1:].mT.reshape(self.classes, *self.image_shape)
