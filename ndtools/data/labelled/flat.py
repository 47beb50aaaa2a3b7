"""Data sets whose images are flattened to rows of features: training batches and the accuracy of a model."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ndtools.data.labelled.dataset import Dataset
from ndtools.numerics.pixels import white

__all__ = ["ROWS", "FlatDataset"]

ROWS = 8192
"""Largest number of images that are converted to floating point at a time."""


@dataclass(frozen=True, eq=False)
class FlatDataset:
    """A data set whose images are flattened to rows of features.

    Attributes
    ----------
    pixels, test_pixels : uint8 Tensor of shape (n, f)
        Training and test pixels in (c, y, x) order. The features are these pixels divided by 255.
    labels, test_labels : int64 Tensor of shape (n,)
        The class index of each training and test image.
    classes : int
        Number of classes.
    image_shape : (int, int, int)
        Channels, height and width of an image.
    """

    pixels: Tensor
    labels: Tensor
    test_pixels: Tensor
    test_labels: Tensor
    classes: int
    image_shape: tuple[int, int, int]

    @classmethod
    def of(cls, dataset: Dataset) -> "FlatDataset":
        """Flatten the images of a data set on the device that they are on."""
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
        """Return the data set with its tensors moved to a device."""
        names = ("pixels", "labels", "test_pixels", "test_labels")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def features(self) -> int:
        """Number of features of an image: pixels times channels."""
        return self.pixels.shape[1]

    def rows(self, index: Tensor | slice, dtype: torch.dtype) -> Tensor:
        """Return the features of the selected training images: values in [0, 1] of shape (n, f)."""
        return self.pixels[index].to(dtype).div_(white(self.pixels))

    def batches(self, size: int, iterations: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield training batches in random order.

        The order is drawn anew for each epoch. An epoch ends when fewer images are left than a batch has.

        Parameters
        ----------
        size : int
            Number of images in a batch, at most the number of training images.
        iterations : int
            Number of batches to yield.
        seed : int
            Seed of the order in which the images are drawn. The generator is local to this call.

        Yields
        ------
        (Tensor, Tensor)
            Features as float32 of shape (size, f), and labels of shape (size,).
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
        """Return the fraction of test images that a model classifies correctly.

        Parameters
        ----------
        model : callable
            Function from float32 features of shape (n, f) to logits of shape (n, classes). An image with a logit that
            is NaN or infinite counts as an error.

        Returns
        -------
        float
            The accuracy, in [0, 1].
        """
        right = 0
        for at in range(0, len(self.test_labels), ROWS):
            logits = model(self.test_pixels[at : at + ROWS].float().div_(white(self.test_pixels)))
            correct = logits.isfinite().all(1) & (logits.argmax(1) == self.test_labels[at : at + ROWS])
            right += int(correct.sum())
        return right / len(self.test_labels)

    def kernels(self, weights: Tensor) -> Tensor:
        """Reshape the weights of raw features, (1 + f, classes) with the bias first, to kernels (classes, C, H, W)."""
        return weights[1:].mT.reshape(self.classes, *self.image_shape)
