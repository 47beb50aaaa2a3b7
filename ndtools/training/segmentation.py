"""Training for label maps: the loss of pixels, with an auxiliary classifier, and measures from a confusion matrix."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

from ndtools.layers.processes import world_size
from ndtools.numerics.confusion import Segmented, confusion
from ndtools.training.processes import total
from ndtools.training.recipe import Recipe
from ndtools.training.tasks import Evaluation

__all__ = ["IGNORED", "Segmentation", "at_size"]

IGNORED = 255
"""Label of the pixels that neither loss nor measures count."""


@dataclass(frozen=True)
class Segmentation:
    """Classification of pixels: labels are maps (N, H, W) of class indices, in which 255 is ignored.

    In training, outputs are a pair of logits (N, K, H, W): those of the network, and those of its auxiliary classifier.
    In evaluation they are the former alone; they are scaled to the size of the label map, which never is.

    Attributes
    ----------
    classes : int
        Number of classes K.
    auxiliary : float
        Weight of the loss of the auxiliary classifier. Default 0.5, as in torchvision's recipe.
    auxiliary_lr : float
        Factor of the learning rate in the auxiliary classifier. Default 10.
    """

    classes: int
    auxiliary: float = 0.5
    auxiliary_lr: float = 10.0

    @property
    def faster(self) -> Mapping[str, float]:
        """Factor of the learning rate of the network's part ``auxiliary``."""
        return {"auxiliary": self.auxiliary_lr}

    def loss(self, outputs: tuple[Tensor, Tensor], labels: Tensor, recipe: Recipe) -> Tensor:
        """Return the mean cross-entropy of the labelled pixels, plus that of the auxiliary classifier, weighted."""
        # The mean over processes is that of all labelled pixels, however many of them each process has.
        pixels = total((labels != IGNORED).sum()).clamp(min=1) / world_size()
        main, auxiliary = (_pixel_losses(logits, labels, recipe.smoothing) / pixels for logits in outputs)
        return main + self.auxiliary * auxiliary

    def counts(self, outputs: tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
        """Return how many labelled pixels of a training batch are classified correctly, and how many there are."""
        counted = labels != IGNORED
        correct = counted & (outputs[0].detach().argmax(1) == labels)
        return torch.stack([correct.sum(), counted.sum()])

    def sums(self, outputs: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:  # noqa: ARG002 - as in all tasks
        """Return the sum of the losses of a batch, followed by its confusion matrix, row after row; void is last."""
        logits = at_size(outputs, labels)
        loss = cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum").double()
        matrix = confusion(logits.argmax(1), labels, self.classes, IGNORED, keep_ignored=True)
        return torch.cat([loss[None], matrix.to(loss).flatten()])

    def nothing(self, device: torch.device) -> Tensor:
        """Return a loss of 0 and an empty confusion matrix."""
        return torch.zeros(1 + (self.classes + 1) ** 2, dtype=torch.float64, device=device)

    def evaluation(self, sums: Tensor) -> Evaluation:
        """Return the loss of labelled pixels, their accuracy, and the confusion matrix; NaN without such pixels."""
        size = self.classes + 1
        segmented = Segmented(sums[1:].view(size, size).long().cpu(), void=self.classes)
        pixels = int(segmented.matrix[:-1].sum())
        loss = float(sums[0]) / pixels if pixels else math.nan
        return Evaluation(loss, 100 * segmented.pixel_accuracy, segmented=segmented)


def at_size(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return logits (N, K, h, w) as float32, scaled bilinearly to the size of the label maps (N, H, W)."""
    logits = outputs.float()
    if logits.shape[2:] == labels.shape[1:]:
        return logits
    return interpolate(logits, labels.shape[1:], mode="bilinear", align_corners=False)


def _pixel_losses(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return the sum of the cross-entropy of labelled pixels, at least in float32; 0 if there are none."""
    if logits.dtype.itemsize < 4:
        logits = logits.float()
    return cross_entropy(logits, labels, ignore_index=IGNORED, label_smoothing=smoothing, reduction="sum")
