"""What a network is trained for: the loss of its outputs, and what an evaluation measures. Here: classes of images."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ndtools.training.losses import loss_of, right
from ndtools.training.recipe import Recipe

if TYPE_CHECKING:
    from ndtools.numerics.confusion import Segmented

__all__ = ["Classification", "Evaluation", "Task"]

_FEW = 10  # classes of which five are no guess worth counting
_TOP = 5


class Evaluation(NamedTuple):
    """Measures of a network on a set of images.

    Attributes
    ----------
    loss : float
        Mean loss over images, or over labelled pixels, without label smoothing and auxiliary losses.
    top1 : float
        Share of the images, or of the labelled pixels, that are classified correctly, percent.
    top5 : float or None
        Share of the images whose class is among the five with the largest logits, percent; None for label maps, and for
        sets of at most 10 classes.
    segmented : Segmented or None
        Confusion matrix of the pixels, from which further measures follow; None for the classification of images.
    """

    loss: float
    top1: float
    top5: float | None = None
    segmented: "Segmented | None" = None

    @property
    def mean_iou(self) -> float | None:
        """Mean intersection over union of the classes, percent; None for the classification of images."""
        return None if self.segmented is None else 100 * self.segmented.mean_iou


class Task(Protocol):
    """Loss and measures of a training run."""

    @property
    def faster(self) -> Mapping[str, float]:
        """Factors of the learning rate, by the name of the network's part that they hold for."""

    def loss(self, outputs: Any, labels: Tensor, recipe: Recipe) -> Tensor:  # noqa: ANN401
        """Return the mean loss of a training batch."""

    def counts(self, outputs: Any, labels: Tensor) -> Tensor:  # noqa: ANN401
        """Return how many decisions of a training batch are right, and how many there are: int64 of shape (2,)."""

    def sums(self, outputs: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
        """Return numbers of a batch of the evaluation, float64 of one axis, which add up over batches and processes."""

    def nothing(self, device: torch.device) -> Tensor:
        """Return the numbers of no batch, from which the sum over all of them starts."""

    def evaluation(self, sums: Tensor) -> Evaluation:
        """Return the measures that follow from the sum of all numbers."""


@dataclass(frozen=True)
class Classification:
    """Classification of images: outputs are logits (N, K), labels are class indices (N,).

    Attributes
    ----------
    classes : int
        Number of classes K.
    """

    classes: int
    faster: Mapping[str, float] = field(default_factory=dict, init=False)

    def loss(self, outputs: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
        """Return the mean loss of a training batch, with label smoothing."""
        return loss_of(outputs, labels, recipe.loss, recipe.smoothing)

    def counts(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return how many images of a training batch are classified correctly, and how many there are."""
        found = right(outputs.detach(), labels)
        return torch.stack([found, torch.full_like(found, len(labels))])

    def sums(self, outputs: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
        """Return the sum of the losses of a batch, its number of images, and how many of them are right."""
        loss = loss_of(outputs, labels, recipe.loss).double() * len(labels)
        among = (outputs.topk(min(_TOP, outputs.shape[1])).indices == labels[:, None]).any(1)
        near = (outputs.isfinite().all(1) & among).sum()
        return torch.stack([loss, torch.full_like(loss, len(labels)), right(outputs, labels).double(), near.double()])

    def nothing(self, device: torch.device) -> Tensor:
        """Return four zeros."""
        return torch.zeros(4, dtype=torch.float64, device=device)

    def evaluation(self, sums: Tensor) -> Evaluation:
        """Return loss and accuracies; NaN without images."""
        loss, images, first, near = sums.tolist()
        if not images:  # as none could be used
            return Evaluation(math.nan, math.nan, math.nan if self.classes > _FEW else None)
        top5 = 100 * near / images if self.classes > _FEW else None
        return Evaluation(loss / images, 100 * first / images, top5)
