"""Arms of a comparison of training runs, the learning curves of their runs, and what they are compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ndtools.experiments.compare.welch import Difference, difference
from ndtools.results.runs import MEAN_IOU

__all__ = ["TABLE", "CompareArm", "Curve", "Reach", "Reference"]

TABLE = ("epoch", "step", "seconds", "train_loss", "train_top1", "eval_loss", "eval_top1", "lr")
"""Columns of the table of each run, a row for each epoch so far. One that was cut short counts as a fraction."""


@dataclass(frozen=True)
class Reference:
    """Published number beside which the accuracy of an arm stands.

    Attributes
    ----------
    document : {"paper", "report", "ReScience"}
        Document in a word: the paper, the report of the University of Southampton, or the third-party reproduction.
    id : str
        ID of the number in :mod:`ndtools.published`.
    value : float
        Accuracy in per cent; the mean of several runs.
    n : int or None
        Number of runs; None if the document does not say.
    spread : float or None
        Standard deviation over the runs.
    split : {"test", "train", "unclear"}
        Images that the accuracy was measured on.
    doubt : str or None
        Reason why the number should not be taken at face value.
    differs : tuple of str
        Settings in words in which the published run differs from those of the arm.
    """

    document: str
    id: str
    value: float
    n: int | None
    spread: float | None
    split: str
    doubt: str | None
    differs: tuple[str, ...]

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any]) -> Self:
        """Restore the value from the entries of a .json file."""
        return cls(**{**numbers, "differs": tuple(numbers["differs"])})


@dataclass(frozen=True, eq=False)
class Curve:
    """Learning curves of one run.

    Attributes
    ----------
    path : str
        Path of the folder of the run, printable.
    seed : int
        Seed of the run.
    state : {"finished", "running", "diverged"}
        State of the run; "running" also if it was interrupted.
    reason : str or None
        Reason in words if the run diverged.
    table : dict of str to array
        Columns of :data:`TABLE`: epochs, training steps and seconds so far, losses, accuracies in per cent, and rate.
        Runs that segment have the column "eval_mean_iou", too, and their accuracies are shares of labelled pixels.
    step, loss : array of shape (steps,)
        Number and loss of the first training steps: those that are drawn, and half a window of the average more.
    test : float
        Test accuracy of the last epoch in per cent, if the run has finished; else NaN. In segmentation it is the mean
        intersection over union.
    steps : int
        Number of all training steps so far.
    pixels : float
        In segmentation the share of right pixels where ``test`` is the mean intersection over union; else NaN.
    """

    path: str
    seed: int
    state: Literal["finished", "running", "diverged"]
    reason: str | None
    table: dict[str, NDArray[np.float64]]
    step: NDArray[np.float64]
    loss: NDArray[np.float64]
    test: float
    steps: int
    pixels: float = float("nan")

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Accuracy after each epoch in per cent, on the images of the split that was given for evaluation.

        In segmentation it is the mean intersection over union.
        """
        return self.table.get(MEAN_IOU, self.table["eval_top1"])

    def __len__(self) -> int:
        return len(self.table["epoch"])


@dataclass(frozen=True)
class Reach:
    """Cost of reaching the final accuracy of another arm: at the end of the first epoch that has it.

    Attributes
    ----------
    accuracy : float
        Accuracy to be reached in per cent: the mean over the runs of the other arm in their last epoch.
    runs : int
        Number of runs that reach it.
    of : int
        Number of runs that were counted.
    epochs, steps, seconds : float or None
        Means over the runs that reach it; None if none does.
    """

    accuracy: float
    runs: int
    of: int
    epochs: float | None = None
    steps: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class CompareArm:
    """Runs whose settings are equal apart from the seed.

    Attributes
    ----------
    name : str
        Name by which the arms of a comparison are told apart.
    arch, norm : str
        Network and normalisation.
    epochs : int
        Number of epochs of a whole run.
    split : str
        Images that accuracies after each epoch were measured on: "test", "held-out", "validation" or "training".
    settings : dict
        All settings that the runs share.
    runs : tuple of Curve
        Learning curves of the runs.
    references : tuple of Reference
        Published numbers for this network and these settings.
    final : str
        Images that the accuracy at the end is measured on: "test", or ``split`` in sets without test images.
    segments : bool
        Whether the runs segment. What is called accuracy here, without a further word, is then the mean intersection
        over union.
    """

    name: str
    arch: str
    norm: str
    epochs: int
    split: str
    settings: dict[str, Any]
    runs: tuple[Curve, ...]
    references: tuple[Reference, ...]
    final: str = "test"
    segments: bool = False

    @property
    def measure(self) -> str:
        """Name of what arms are compared by."""
        return "mean IoU" if self.segments else "accuracy"

    def in_state(self, state: str) -> list[Curve]:
        """Return the runs in a state."""
        return [run for run in self.runs if run.state == state]

    @cached_property
    def counted(self) -> list[Curve]:
        """Runs that the numbers are of: those that have finished or, before any has, those that are running."""
        finished = self.in_state("finished")
        return finished or [run for run in self.in_state("running") if len(run)]

    @property
    def common(self) -> int:
        """Number of epochs that all counted runs have done; 0 without such runs. Means are of these epochs alone."""
        return min(map(len, self.counted), default=0)

    @property
    def finished(self) -> bool:
        """Whether the numbers are final: the counted runs have finished, and are of equal length."""
        return bool(self.in_state("finished")) and len({len(run) for run in self.counted}) == 1 and self.common > 0

    @property
    def done(self) -> float:
        """Number of epochs that all counted runs have done, as a fraction for one that was cut short."""
        return float(self.curves("epoch")[:, -1].min()) if self.common else 0.0

    @property
    def cut_short(self) -> bool:
        """Whether the counted runs have finished before all epochs were done."""
        return self.finished and self.done < self.epochs

    def curves(self, column: str | None = None) -> NDArray[np.float64]:
        """Return a column of the counted runs, by default the accuracy, of shape (runs, common epochs)."""
        column = column or (MEAN_IOU if self.segments else "eval_top1")
        values = [run.table[column][: self.common] for run in self.counted]
        return np.array(values).reshape(len(values), self.common)

    @property
    def last(self) -> NDArray[np.float64]:
        """Accuracy of each counted run: on the test images at the end, or else after the last common epoch."""
        if self.finished:
            return np.array([run.test for run in self.counted])
        return self.curves()[:, -1] if self.common else np.empty(0)

    @property
    def pixels(self) -> NDArray[np.float64]:
        """In segmentation the pixel accuracy of each counted run, of the same images as `last`; else empty."""
        if not self.segments:
            return np.empty(0)
        if self.finished:
            return np.array([run.pixels for run in self.counted])
        return self.curves("eval_top1")[:, -1] if self.common else np.empty(0)

    @property
    def best(self) -> NDArray[np.float64]:
        """Accuracy of the best epoch of each counted run, on the images of ``split``."""
        return self.curves().max(1) if self.common else np.empty(0)

    @property
    def seconds_per_epoch(self) -> NDArray[np.float64]:
        """Mean time of an epoch of each counted run, seconds, without evaluation."""
        return self.curves("seconds")[:, -1] / self.curves("epoch")[:, -1] if self.common else np.empty(0)

    def against(self, other: "CompareArm") -> Difference | None:
        """Compare the accuracies with those of another arm.

        Parameters
        ----------
        other : CompareArm
            The arm to compare with.

        Returns
        -------
        Difference or None
            Difference at the end of training or, while an arm has not finished, after the last epoch that all counted
            runs of both arms have done. None if there is no such epoch, or accuracies are of different images.
        """
        return self._against(other, self.last, other.last)

    def against_pixels(self, other: "CompareArm") -> Difference | None:
        """Compare the pixel accuracies with those of another arm, as `against` does; None without segmentation."""
        return self._against(other, self.pixels, other.pixels, "eval_top1") if self.segments else None

    def _against(
        self, other: "CompareArm", ours: NDArray[np.float64], theirs: NDArray[np.float64], column: str | None = None
    ) -> Difference | None:
        """Compare measures at the end of training or, while an arm has not finished, a column of the curves."""
        if self.finished and other.finished:
            return difference(ours, theirs) if self.final == other.final else None
        epoch = min(self.common, other.common)
        if epoch == 0 or self.split != other.split:
            return None
        return difference(self.curves(column)[:, epoch - 1], other.curves(column)[:, epoch - 1], epoch)

    def reach(self, other: "CompareArm") -> Reach | None:
        """Return what it takes to reach the final accuracy of another arm; None if that has not finished."""
        if not other.finished or not self.common or self.split != other.split:
            return None
        target = float(other.curves()[:, -1].mean())
        firsts = [
            (run, int(np.argmax(run.accuracy >= target))) for run in self.counted if (run.accuracy >= target).any()
        ]
        if not firsts:
            return Reach(target, 0, len(self.counted))
        epochs, steps, seconds = (
            float(np.mean([run.table[name][at] for run, at in firsts])) for name in ("epoch", "step", "seconds")
        )
        return Reach(target, len(firsts), len(self.counted), epochs, steps, seconds)
