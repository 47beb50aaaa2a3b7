"""Learning curves of a sigmoid perceptron: the result of ``ndtools mlp``, live or read back from its files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult
from ndtools.experiments.mlp.config import MlpConfig
from ndtools.results.inputs import DataUsed
from ndtools.results.read import SavedResult, optional_float
from ndtools.text import counted, percent, shortened

__all__ = ["MlpArm", "MlpResult"]


@dataclass(frozen=True, eq=False)
class MlpArm:
    """One way to normalise, at its best learning rate.

    Attributes
    ----------
    name : {"none", "bn", "deconv"}
        No normalisation; batch normalisation of each hidden layer's sums; deconvolution of each layer's input.
    lr : float
        Learning rate of all repeats: the only one asked for, or the best of those in ``tried``.
    tried : dict of float to float
        Training loss in the last epoch for each of several rates, in runs that are not among the repeats. Empty if
        only one rate was asked for.
    loss : array of shape (repeats, epochs, batches)
        Cross-entropy of each training batch before its step.
    test_accuracy : array of shape (repeats, epochs)
        Share of the test images classified correctly after each epoch.
    seconds : float
        Mean time of the training steps of an epoch, without the test after it.
    """

    name: str
    lr: float
    tried: dict[float, float]
    loss: NDArray[np.float64]
    test_accuracy: NDArray[np.float64]
    seconds: float

    @property
    def at_the_edge(self) -> bool:
        """Whether the best rate is the least or the largest of several that were tried: a better one may lie beyond."""
        return bool(self.tried) and self.lr in (min(self.tried), max(self.tried))

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        return {
            "name": self.name,
            "lr": self.lr,
            "lr_at_the_edge": self.at_the_edge,
            "train_loss": self.loss.mean(2),
            "test_accuracy": self.test_accuracy,
            "seconds_per_epoch": self.seconds,
            "tried": [{"lr": lr, "train_loss": loss} for lr, loss in self.tried.items()],
        }


@dataclass(frozen=True, eq=False, repr=False)
class MlpResult(ShownResult):
    """Learning curves of a sigmoid perceptron without normalisation, with batch normalisation and with deconvolution.

    Attributes
    ----------
    config : MlpConfig
        The configuration of this run.
    data : DataUsed
        Data set that the networks were trained and tested on.
    batch_size : int
        Images in a batch: those asked for, or all if there are fewer.
    widths : tuple of int
        Widths of inputs, hidden layers and outputs, in this order.
    arms : tuple of MlpArm
        Results of "none", "bn" and "deconv".
    device : str
        Device that the networks were trained on.
    """

    config: MlpConfig
    data: DataUsed
    batch_size: int
    widths: tuple[int, ...]
    arms: tuple[MlpArm, ...]
    device: str

    @property
    def source(self) -> str:
        """Location of the data set."""
        return self.data.location

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        data, widths = self.data, "-".join(map(str, self.widths))
        last = [f"{arm.name} {percent(arm.test_accuracy[:, -1].mean())} (lr {arm.lr:.3g})" for arm in self.arms]
        return (
            f"{data.label} · {data.images} images · {shortened(widths)} · eps {self.config.eps:.3g} ·"
            f" {counted(self.config.repeats, 'run')} of {counted(self.config.epochs, 'epoch')}",
            f"test accuracy at the end: {' · '.join(last)}",
        )

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays of the .npz file by name."""
        losses = {f"{arm.name}_loss": arm.loss for arm in self.arms}
        return losses | {f"{arm.name}_test_accuracy": arm.test_accuracy for arm in self.arms}

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            **self.data.numbers(),
            "widths": self.widths,
            "batch_size": self.batch_size,
            "epochs": self.config.epochs,
            "arms": [arm.numbers() for arm in self.arms],
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "MlpResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("mlp"):
            numbers = saved.numbers
            return cls(
                config=saved.configuration(MlpConfig),
                data=DataUsed.from_numbers(numbers),
                batch_size=numbers["batch_size"],
                widths=tuple(numbers["widths"]),
                arms=tuple(_saved_arm(arm, saved) for arm in numbers["arms"]),
                device=saved.device,
            )


def _saved_arm(numbers: dict[str, Any], saved: SavedResult) -> MlpArm:
    name = numbers["name"]
    return MlpArm(
        name=name,
        lr=numbers["lr"],
        # A loss that was not finite counts as infinite in the comparison of rates.
        tried={each["lr"]: optional_float(each["train_loss"], np.inf) for each in numbers["tried"]},
        loss=saved.arrays[f"{name}_loss"],
        test_accuracy=saved.arrays[f"{name}_test_accuracy"],
        seconds=numbers["seconds_per_epoch"],
    )
