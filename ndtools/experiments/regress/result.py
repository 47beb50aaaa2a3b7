"""Learning curves of linear and logistic regression: the result of ``ndtools regress``, live or read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult
from ndtools.experiments.regress.config import RegressConfig
from ndtools.results.inputs import DataUsed
from ndtools.results.read import SavedResult
from ndtools.text import counted

__all__ = ["ArmResult", "LossResult", "RegressResult"]

NEAR = 1.1  # times the loss of the optimum counts as near it


@dataclass(frozen=True, eq=False)
class ArmResult:
    """Gradient descent on one kind of features at one learning rate.

    Attributes
    ----------
    name : {"sgd", "bn", "deconv"}
        Features of the arm: raw pixels, standardised pixels, or deconvolved pixels.
    lr : float
        Its learning rate.
    auto : bool
        Whether that was chosen by its stability limit.
    stability_limit : float
        2/λ_max of the Hessian at zero weights.
    loss : array of shape (repeats, iterations)
        Loss on each batch before the step; NaN once it overflows.
    train_loss, test_accuracy : array of shape (repeats,)
        Loss on all training images and accuracy on the test images after the last step, both with moving averages
        of the statistics.
    seconds : float
        Mean time of a run.
    kernels : array of shape (classes, C, H, W)
        Kernels on raw pixels that the first run learned.
    theory : array of shape (iterations,), or None
        Predicted losses of full-batch descent.
    """

    name: str
    lr: float
    auto: bool
    stability_limit: float
    loss: NDArray[np.float64]
    train_loss: NDArray[np.float64]
    test_accuracy: NDArray[np.float64]
    seconds: float
    kernels: NDArray[np.float64]
    theory: NDArray[np.float64] | None

    @property
    def key(self) -> str:
        """Name and rate, unique within a loss."""
        return _key(self.name, self.lr, auto=self.auto)

    @property
    def diverged(self) -> bool:
        """Whether a run ended with a training loss that is not finite, or more than that of zero weights."""
        return not bool((self.train_loss <= self.loss[:, 0]).all())

    def near(self, optimum: float) -> int | None:
        """Return the number of steps after which the mean loss is first within 10 % of the optimum, if ever."""
        below = np.flatnonzero(np.append(self.loss.mean(0), self.train_loss.mean()) <= NEAR * optimum)
        return int(below[0]) if below.size else None

    def numbers(self, optimum: float) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        several = (
            {}
            if len(self.loss) == 1
            else {
                "loss_std": self.loss.std(0, ddof=1),
                "train_loss_std": self.train_loss.std(ddof=1),
                "test_accuracy_std": self.test_accuracy.std(ddof=1),
            }
        )
        return {
            "name": self.name,
            "lr": self.lr,
            "auto": self.auto,
            "stability_limit": self.stability_limit,
            "iterations_to_near": self.near(optimum),
            "loss": self.loss.mean(0),
            "train_loss": self.train_loss.mean(),
            "test_accuracy": self.test_accuracy.mean(),
            "diverged": self.diverged,
            "seconds": self.seconds,
            **several,
            **({} if self.theory is None else {"theory": self.theory}),
        }


@dataclass(frozen=True, eq=False)
class LossResult:
    """All arms of one loss, and its optimum.

    Attributes
    ----------
    name : {"l2", "logistic"}
        Name of the loss.
    optimum : float
        The least loss of a linear model on the training images: closed form, or as far as L-BFGS came.
    optimum_accuracy : float
        Accuracy of that model on the test images.
    optimum_kernels : array of shape (classes, C, H, W)
        Kernels of the optimum.
    optimum_report : dict
        Gradient norm, evaluations and convergence of L-BFGS; empty for the closed form.
    arms : tuple of ArmResult
        sgd, bn, deconv; of one kind by rising rate.
    """

    name: str
    optimum: float
    optimum_accuracy: float
    optimum_kernels: NDArray[np.float64]
    optimum_report: dict[str, Any]
    arms: tuple[ArmResult, ...]

    def in_words(self) -> str:
        """Return a line with the training losses at the end: of the optimum, and of the best arm of each kind."""
        losses = {arm.name: np.inf for arm in self.arms}
        for arm in self.arms:
            losses[arm.name] = min(losses[arm.name], np.inf if arm.diverged else float(arm.train_loss.mean()))
        ends = [f"{name} {value:.4g}" if value < np.inf else f"{name} diverged" for name, value in losses.items()]
        return f"{self.name}, training loss at the end: optimum {self.optimum:.4g} · {' · '.join(ends)}"

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        return {
            "optimum": {"loss": self.optimum, "test_accuracy": self.optimum_accuracy, **self.optimum_report},
            "arms": [arm.numbers(self.optimum) for arm in self.arms],
        }


@dataclass(frozen=True, eq=False, repr=False)
class RegressResult(ShownResult):
    """Learning curves of linear and logistic regression on raw, standardised and deconvolved pixels.

    Attributes
    ----------
    config : RegressConfig
        Configuration of this run.
    data : DataUsed
        Data set that the models were trained and tested on.
    features, classes : int
        Number of pixels of an image, all channels together, and number of classes.
    batch_size, iterations : int
        Batch size and number of iterations that were used.
    losses : tuple of LossResult
        Results for the L2 and the logistic loss.
    device : str
        Device on which the result was computed.
    """

    config: RegressConfig
    data: DataUsed
    features: int
    classes: int
    batch_size: int
    iterations: int
    losses: tuple[LossResult, ...]
    device: str

    @property
    def source(self) -> str:
        """Location of the data set."""
        return self.data.location

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        data, batches = self.data, "all images" if self.config.full_batch else f"{self.batch_size} images"
        return (
            f"{data.label} · {data.images} images · {counted(self.iterations, 'iteration')} of {batches} · eps"
            f" {self.config.eps:.3g}",
            *(loss.in_words() for loss in self.losses),
        )

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays of the .npz file by name."""
        arrays = {}
        for loss in self.losses:
            arrays[f"{loss.name}_optimum_kernels"] = loss.optimum_kernels
            for arm in loss.arms:
                for name in ("loss", "train_loss", "test_accuracy", "kernels"):
                    arrays[f"{loss.name}_{arm.key}_{name}"] = getattr(arm, name)
                if arm.theory is not None:
                    arrays[f"{loss.name}_{arm.key}_theory"] = arm.theory
        return arrays

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            **self.data.numbers(),
            "features": self.features,
            "classes": self.classes,
            "batch_size": self.batch_size,
            "iterations": self.iterations,
            "eps": self.config.eps,
            "method": self.config.method,
            "n_iter": self.config.n_iter if self.config.method != "eigh" else None,
            "losses": {loss.name: loss.numbers() for loss in self.losses},
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "RegressResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("regress"):
            sizes = {name: saved.numbers[name] for name in ("features", "classes", "batch_size", "iterations")}
            return cls(
                config=saved.configuration(RegressConfig),
                data=DataUsed.from_numbers(saved.numbers),
                losses=tuple(_saved_loss(name, loss, saved) for name, loss in saved.numbers["losses"].items()),
                device=saved.device,
                **sizes,
            )


def _key(name: str, lr: float, *, auto: bool) -> str:
    return f"{name}_{'auto' if auto else repr(lr)}"


def _saved_loss(name: str, numbers: dict[str, Any], saved: SavedResult) -> LossResult:
    optimum = dict(numbers["optimum"])
    return LossResult(
        name=name,
        optimum=optimum.pop("loss"),
        optimum_accuracy=optimum.pop("test_accuracy"),
        optimum_kernels=saved.arrays[f"{name}_optimum_kernels"],
        optimum_report=optimum,
        arms=tuple(_saved_arm(name, arm, saved) for arm in numbers["arms"]),
    )


def _saved_arm(loss: str, numbers: dict[str, Any], saved: SavedResult) -> ArmResult:
    key = f"{loss}_{_key(numbers['name'], numbers['lr'], auto=numbers['auto'])}"
    return ArmResult(
        name=numbers["name"],
        lr=numbers["lr"],
        auto=numbers["auto"],
        stability_limit=numbers["stability_limit"],
        loss=saved.arrays[f"{key}_loss"],
        train_loss=saved.arrays[f"{key}_train_loss"],
        test_accuracy=saved.arrays[f"{key}_test_accuracy"],
        seconds=numbers["seconds"],
        kernels=saved.arrays[f"{key}_kernels"],
        theory=saved.arrays[f"{key}_theory"] if "theory" in numbers else None,
    )
