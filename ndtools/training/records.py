"""Records of a training run, one for each step and one for each epoch. Imports nothing heavy."""

from dataclasses import dataclass

__all__ = ["EpochRecord", "StepRecord"]


@dataclass(frozen=True)
class StepRecord:
    """One step of a training run.

    Attributes
    ----------
    step : int
        Number of the step, from 1.
    epoch : float
        Number of epochs that are done after this step, such as 0.5 in the middle of the first.
    loss : float
        Loss of the batch before the step, over the batches of all processes.
    lr : float
        Learning rate of the step.
    seconds : float
        Time that all steps so far have taken, without evaluation and without pauses between records.
    images : int
        Number of images in the batch, of all processes.
    """

    step: int
    epoch: float
    loss: float
    lr: float
    seconds: float
    images: int


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a training run, and the evaluation after it.

    Attributes
    ----------
    epoch : int
        Number of the epoch, from 1. The last epoch is shorter than the others if ``max_steps`` ends it.
    step : int
        Number of all steps so far.
    train_loss : float
        Mean loss of the epoch's batches, each before its step.
    train_top1 : float
        Share of the epoch's training images that were classified correctly before the step of their batch, percent. In
        segmentation it is the share of labelled pixels, like ``eval_top1``.
    eval_loss : float
        Mean loss of the images kept for evaluation, without label smoothing.
    eval_top1 : float
        Share of the images kept for evaluation that are classified correctly, percent.
    lr : float
        Learning rate of the epoch's last step.
    seconds : float
        Time that all steps so far have taken, without evaluation and without pauses between records.
    eval_top5 : float or None
        Share of the images kept for evaluation whose class is among the five with the largest logits, percent; None
        for sets of at most 10 classes, and in segmentation.
    eval_mean_iou : float or None
        Mean intersection over union of the classes, percent, in segmentation alone.
    """

    epoch: int
    step: int
    train_loss: float
    train_top1: float
    eval_loss: float
    eval_top1: float
    lr: float
    seconds: float
    eval_top5: float | None = None
    eval_mean_iou: float | None = None

    @property
    def score(self) -> float:
        """The measure by which epochs are compared: the mean intersection over union, or else ``eval_top1``."""
        return self.eval_top1 if self.eval_mean_iou is None else self.eval_mean_iou
