"""Confusion of classes, pixel by pixel, and the measures of segmentation that follow from it."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Segmented", "confusion"]


def confusion(
    predicted: Tensor, labels: Tensor, classes: int, ignore: int | None = 255, *, keep_ignored: bool = False
) -> Tensor:
    """Count how often each class was taken for each other one.

    Counts of several batches, or of several processes, add up.

    Parameters
    ----------
    predicted : Tensor
        Predicted class of each pixel, whole numbers from 0 to ``classes`` − 1, of any shape.
    labels : Tensor
        True class of each pixel, of the same shape, on the same device.
    classes : int
        Number of classes K.
    ignore : int, optional
        Label of pixels that are left out, whatever was predicted there. With None no label is.
    keep_ignored : bool
        Whether ignored pixels are counted in a further row, the last, beside an empty column. The measures leave this
        class out as void, see `Segmented`.

    Returns
    -------
    Tensor of shape (K, K), or (K + 1, K + 1) with ``keep_ignored``
        Numbers of pixels as int64, with the true classes in the rows and the predicted ones in the columns.

    Raises
    ------
    ValueError
        If the shapes differ, there is no class, or a label or a prediction is none of the classes.
    TypeError
        If labels or predictions are not whole numbers.

    Examples
    --------
    >>> confusion(torch.tensor([0, 1, 1, 2]), torch.tensor([0, 1, 0, 255]), 3)
    tensor([[1, 1, 0],
            [0, 1, 0],
            [0, 0, 0]])
    """
    if classes < 1:
        raise ValueError(f"classes must be at least 1, got {classes}")
    if predicted.shape != labels.shape:
        raise ValueError(f"predicted and labels must have one shape, got {list(predicted.shape)}, {list(labels.shape)}")
    for name, values in {"predicted": predicted, "labels": labels}.items():
        if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
            raise TypeError(f"{name} must hold whole numbers, got {values.dtype}")
    predicted, labels = predicted.flatten().long(), labels.flatten().long()
    ignored = torch.zeros_like(labels, dtype=torch.bool) if ignore is None else labels == ignore
    _check_range("labels", labels[~ignored], classes)
    size = classes
    if keep_ignored:
        labels, size = labels.masked_fill(ignored, classes), classes + 1
    else:
        predicted, labels = predicted[~ignored], labels[~ignored]
    _check_range("predicted", predicted, classes)
    return torch.bincount(labels * size + predicted, minlength=size * size).view(size, size)


def _check_range(name: str, values: Tensor, classes: int) -> None:
    if values.numel() and (least := int(values.min())) < 0:
        raise ValueError(f"{name} must be classes from 0 to {classes - 1}, got {least}")
    if values.numel() and (largest := int(values.max())) >= classes:
        raise ValueError(f"{name} must be classes from 0 to {classes - 1}, got {largest}")


@dataclass(frozen=True, eq=False)
class Segmented:
    """Measures of a segmentation, all from one confusion matrix.

    Attributes
    ----------
    matrix : Tensor of shape (K, K)
        Numbers of pixels, with the true classes in the rows and the predicted ones in the columns, see `confusion`.
    void : int, optional
        Class of pixels without a truth, if the matrix has one. Pixels of this class are left out of all measures but
        `mean_iou_official`; elsewhere, its prediction is a mistake like any other.
    """

    matrix: Tensor
    void: int | None = None

    def __post_init__(self) -> None:
        if self.matrix.dim() != 2 or self.matrix.shape[0] != self.matrix.shape[1]:
            raise ValueError(f"matrix must be square, got shape {tuple(self.matrix.shape)}")
        if self.void is not None and not 0 <= self.void < len(self.matrix):
            raise ValueError(f"void must be a class from 0 to {len(self.matrix) - 1}, got {self.void}")

    @property
    def pixel_accuracy(self) -> float:
        """Share of the pixels whose class was found; NaN without pixels."""
        counts = self._without_void
        return float(counts.diagonal().sum() / counts.sum())

    @property
    def iou(self) -> Tensor:
        """Intersection over union of each class but void, in float64; NaN for classes in neither truth nor prediction.

        The union has the pixels of the class and those that were taken for it, the intersection those that are both.
        """
        values = _iou(self._without_void)
        return values if self.void is None else torch.cat([values[: self.void], values[self.void + 1 :]])

    @property
    def mean_iou(self) -> float:
        """Mean intersection over union of the classes that occur in truth or prediction; NaN if none does."""
        return float(self.iou.nanmean())

    def mean_iou_official(self, rows: int | None = None) -> float:
        """Return the mean that the published code reports as mean intersection over union.

        There void is a class like any other, and classes that do not occur count as 0. For Cityscapes the mean is over
        21 rows: 19 classes, void, and one that never occurs. It is smaller than the usual mean over 19 classes, and
        cannot be compared with it.

        Parameters
        ----------
        rows : int, optional
            Number of rows of the mean, at least those of the matrix, which is the default. Rows that the matrix does
            not have count as 0: 21 is the published number for Cityscapes.

        Returns
        -------
        float
            The mean over all rows.

        Raises
        ------
        ValueError
            If there are fewer rows than the matrix has.
        """
        rows = len(self.matrix) if rows is None else rows
        if rows < len(self.matrix):
            raise ValueError(f"rows must be at least {len(self.matrix)}, the classes of the matrix, got {rows}")
        return float(_iou(self.matrix.double()).nan_to_num(0).sum() / rows)

    @property
    def _without_void(self) -> Tensor:
        """Counts in float64, without pixels whose true class is void."""
        counts = self.matrix.double()
        if self.void is not None:
            counts = counts.index_fill(0, torch.tensor([self.void], device=counts.device), 0)
        return counts


def _iou(counts: Tensor) -> Tensor:
    """Return the intersection over union of each class: 0/0 = NaN where a class does not occur."""
    found = counts.diagonal()
    return found / (counts.sum(0) + counts.sum(1) - found)
