"""Linear and logistic regression on images, where learning rate 1 is optimal (Ye et al. 2020, fig. 5 a, b)."""

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ndtools.computing.operators import operator_threads, resolve_device, threads_for
from ndtools.data.labelled.datasets import load_dataset
from ndtools.data.labelled.flat import ROWS, FlatDataset
from ndtools.errors import DataError, NumericalWarning
from ndtools.experiments.regress.arms import MAPS, Arm, Normaliser, spectral_map, train
from ndtools.experiments.regress.config import RegressConfig
from ndtools.experiments.regress.linear_models import (
    CURVATURES,
    RegressionMoments,
    largest_eigenvalue,
    loss_and_error,
    predicted_losses,
)
from ndtools.experiments.regress.logistic import logistic_optimum
from ndtools.moments.gathering import Progress
from ndtools.numerics.inverse_sqrt import method_from_name

__all__ = ["ArmResult", "LossResult", "RegressConfig", "RegressResult", "run"]

NEAR = 1.1  # times the loss of the optimum counts as near it
MANY = 2000  # features, whose eigenvalues take long
AUTO = 0.9  # share of the stability limit
RIDGE = 1e-7  # of the features that L-BFGS sees, relative to the sum of variances: only for its speed


@dataclass(frozen=True, eq=False)
class ArmResult:
    """One way to descend, and where it led.

    Attributes
    ----------
    name : {"sgd", "bn", "deconv"}
        What features it saw: raw pixels, standardised ones, deconvolved ones.
    lr : float
        Its learning rate.
    auto : bool
        Whether that was chosen by its stability limit.
    stability_limit : float
        2/λ_max of the Hessian at zero weights.
    loss : array of shape (repeats, iterations)
        On each batch before the step; NaN after the range of numbers was left.
    train_loss, test_accuracy : array of shape (repeats,)
        In the end, with moving averages of the statistics: of all training images, of the test images.
    seconds : float
        Of one run.
    kernels : array of shape (classes, C, H, W)
        On raw pixels, of the first run.
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
        return f"{self.name}_{'auto' if self.auto else repr(self.lr)}"

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
        Which.
    optimum : float
        The least loss of a linear model on the training images: closed form, or as far as L-BFGS came.
    optimum_accuracy : float
        Of that model on the test images.
    optimum_kernels : array of shape (classes, C, H, W)
        Its kernels.
    optimum_report : dict
        How L-BFGS ended; empty for the closed form.
    arms : tuple of ArmResult
        sgd, bn, deconv; of one kind by rising rate.
    """

    name: str
    optimum: float
    optimum_accuracy: float
    optimum_kernels: NDArray[np.float64]
    optimum_report: dict[str, Any]
    arms: tuple[ArmResult, ...]

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        return {
            "optimum": {"loss": self.optimum, "test_accuracy": self.optimum_accuracy, **self.optimum_report},
            "arms": [arm.numbers(self.optimum) for arm in self.arms],
        }


@dataclass(frozen=True, eq=False)
class RegressResult:
    """Learning curves of all arms.

    Attributes
    ----------
    config : RegressConfig
        What was asked for.
    dataset : str
        Name of the data.
    synthetic : bool
        Whether they are made in code.
    location : str
        Where they were found.
    images, test_images, features, classes : int
        Sizes.
    batch_size, iterations : int
        Those used.
    losses : tuple of LossResult
        l2, logistic.
    device : str
        Where it was computed.
    """

    config: RegressConfig
    dataset: str
    synthetic: bool
    location: str
    images: int
    test_images: int
    features: int
    classes: int
    batch_size: int
    iterations: int
    losses: tuple[LossResult, ...]
    device: str

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays of the .npz file by name."""
        arrays = {}
        for loss in self.losses:
            arrays[f"{loss.name}_optimum_kernels"] = loss.optimum_kernels
            for arm in loss.arms:
                arrays[f"{loss.name}_{arm.key}_loss"] = arm.loss
                arrays[f"{loss.name}_{arm.key}_kernels"] = arm.kernels
        return arrays

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "dataset": {"name": self.dataset, "synthetic": self.synthetic, "location": self.location},
            "images": {"train": self.images, "test": self.test_images},
            "features": self.features,
            "classes": self.classes,
            "batch_size": self.batch_size,
            "iterations": self.iterations,
            "eps": self.config.eps,
            "method": self.config.method,
            "n_iter": self.config.n_iter if self.config.method != "eigh" else None,
            "losses": {loss.name: loss.numbers() for loss in self.losses},
        }


def run(
    config: RegressConfig, *, progress: Progress | None = None, say: Callable[[str], None] = lambda _: None
) -> RegressResult:
    """Train all arms on the same batches from zero weights, beside the optimum.

    Parameters
    ----------
    config : RegressConfig
        What to do.
    progress : callable, optional
        Told how many of how many iterations are done.
    say : callable
        Told in words what is computed before the iterations, if that takes long.

    Returns
    -------
    RegressResult
        Curves and kernels.

    Raises
    ------
    DataError
        If the data set is not here, or its training images are all the same.

    Warns
    -----
    NumericalWarning
        If batches have no more images than features and D whitens them fully.
    """
    device = resolve_device(config.device)
    dataset = load_dataset(config.dataset, data_dir=config.data_dir)
    data = FlatDataset.of(dataset).to(device)
    if bool((data.pixels == data.pixels[0]).all()):
        raise DataError(f"all training images of {dataset.name} are the same: there is nothing to regress on")
    batch_size = len(data) if config.full_batch else min(config.batch_size, len(data))
    iterations = config.iterations if config.epochs is None else config.epochs * (len(data) // batch_size)
    _warn_of_small_batches(config, batch_size, data.features)
    if data.features >= MANY:
        say(f"{data.features} features: first the covariance of {len(data)} images and its eigenvalues, some minutes")
    with operator_threads(config.jobs or threads_for(data.features)):
        study = _Study.of(config, data, iterations)
        runs = []
        for repeat in range(config.repeats):
            done = _counter(progress, repeat * iterations, config.repeats * iterations)
            runs.append(list(study.train(study.batches(batch_size, repeat), done)))
        losses = tuple(study.collect(name, runs) for name in study.names)
    return RegressResult(
        config=config,
        dataset=dataset.name,
        synthetic=dataset.synthetic,
        location=dataset.location,
        images=len(data),
        test_images=len(data.test_labels),
        features=data.features,
        classes=data.classes,
        batch_size=batch_size,
        iterations=iterations,
        losses=losses,
        device=str(device),
    )


@dataclass(frozen=True, eq=False)
class _Judged:
    """An arm after a run."""

    arm: Arm
    train_loss: float
    test_accuracy: float
    kernels: Tensor


@dataclass(frozen=True, eq=False)
class _Study:
    """What all runs share: the data, and their moments through the maps that the whole set gives."""

    config: RegressConfig
    data: FlatDataset
    iterations: int
    normaliser: Normaliser
    moments: RegressionMoments
    mapped: dict[str, RegressionMoments]
    curvatures: dict[str, float]

    @classmethod
    def of(cls, config: RegressConfig, data: FlatDataset, iterations: int) -> "_Study":
        method = method_from_name(config.method, n_iter=config.n_iter)
        normaliser = Normaliser(method=method, eps=config.eps, shrinkage=config.shrinkage)
        moments = RegressionMoments.of(data.pixels, data.labels, data.classes)
        maps = {name: normaliser.of_all(name, moments) for name in MAPS}
        mapped = {name: moments.through(features) for name, features in maps.items()}
        curvatures = {name: largest_eigenvalue(m.second) for name, m in mapped.items()}
        return cls(config, data, iterations, normaliser, moments, mapped, curvatures)

    @property
    def names(self) -> tuple[str, ...]:
        return ("l2", "logistic") if self.config.loss == "both" else (self.config.loss,)

    def arms(self) -> Iterator[Arm]:
        dtype = torch.float64 if self.config.full_batch else torch.float32
        for loss, name in itertools.product(self.names, MAPS):
            limit = 2 / (CURVATURES[loss] * self.curvatures[name])
            asked = (str(self.config.lr),) if name == "deconv" else self.config.baseline_lr
            best = limit / 2 if name == "deconv" else AUTO * limit
            rates = [(best, True) if rate == "auto" else (float(rate), False) for rate in asked]
            for rate, auto in sorted(rates):
                yield Arm(loss, name, rate, auto, limit, torch.zeros_like(self.moments.cross, dtype=dtype))

    def batches(self, size: int, repeat: int) -> Iterable[tuple[Tensor, Tensor]]:
        if not self.config.full_batch:
            return self.data.batches(size, self.iterations, self.config.seed + repeat)
        # The moments are all that the L2 loss asks for.
        rows = self.data.rows(slice(None), torch.float64) if "logistic" in self.names else self.data.pixels
        return itertools.repeat((rows, self.data.labels), self.iterations)

    def train(self, batches: Iterable[tuple[Tensor, Tensor]], done: Callable[[], None]) -> Iterator[_Judged]:
        arms = list(self.arms())
        whole = self.moments if self.config.full_batch else None
        maps = train(arms, batches, self.normaliser, whole=whole, done=done)
        for arm in arms:
            weights = maps[arm.features].fold(arm.weights)
            exact = arm.loss_name == "l2"
            loss = self.moments.loss(weights.double()).item() if exact else self.loss(arm.loss_name, weights)
            yield _Judged(arm, loss, self.data.accuracy(_linear(weights)), self.data.kernels(weights))

    def loss(self, name: str, weights: Tensor) -> float:
        """Return a loss over all training images, of weights on raw features of shape (1 + f, classes)."""
        total, weights = 0.0, weights.float()
        for at in range(0, len(self.data), ROWS):
            part = slice(at, at + ROWS)
            logits = torch.addmm(weights[0], self.data.rows(part, torch.float32), weights[1:])
            total += loss_and_error(name, logits, self.data.labels[part])[0].item() * len(logits)
        return total / len(self.data)

    def collect(self, name: str, runs: Sequence[Sequence[_Judged]]) -> LossResult:
        weights, report = self._optimum(name)
        exact = name == "l2"
        arms = [judged for judged in zip(*runs, strict=True) if judged[0].arm.loss_name == name]
        return LossResult(
            name=name,
            optimum=self.moments.loss(weights).item() if exact else report.pop("loss"),
            optimum_accuracy=self.data.accuracy(_linear(weights)),
            optimum_kernels=self.data.kernels(weights).cpu().numpy(),
            optimum_report=report,
            arms=tuple(self._arm(judged) for judged in arms),
        )

    def _optimum(self, name: str) -> tuple[Tensor, dict[str, Any]]:
        if name == "l2":
            return self.moments.closed_form(), {}
        rows = self.data.rows(slice(None), torch.float32)
        values, vectors = self.moments.spectrum
        ridge = RIDGE * values.sum()
        exact = spectral_map(self.moments.mean, (values + ridge).rsqrt(), vectors)
        found = logistic_optimum(rows, self.data.labels, self.data.classes, exact)
        report = {"loss": max(found.loss, 0.0), "gradient_norm": found.gradient_norm, "evaluations": found.evaluations}
        return found.weights, report | {"converged": found.converged}

    def _arm(self, judged: Sequence[_Judged]) -> ArmResult:
        arm = judged[0].arm
        predicted = None
        if self.config.theory and arm.loss_name == "l2":
            predicted = predicted_losses(self.mapped[arm.features], arm.lr, self.iterations).cpu().numpy()
        return ArmResult(
            name=arm.features,
            lr=arm.lr,
            auto=arm.auto,
            stability_limit=arm.stability_limit,
            loss=np.array([each.arm.losses for each in judged]),
            train_loss=np.array([each.train_loss for each in judged]),
            test_accuracy=np.array([each.test_accuracy for each in judged]),
            seconds=float(np.mean([each.arm.seconds for each in judged])),
            kernels=judged[0].kernels.double().cpu().numpy(),
            theory=predicted,
        )


def _linear(weights: Tensor) -> Callable[[Tensor], Tensor]:
    single = weights.float()
    return lambda rows: torch.addmm(single[0], rows, single[1:])


def _counter(progress: Progress | None, before: int, total: int) -> Callable[[], None]:
    counted = itertools.count(before + 1)

    def done() -> None:
        if progress:
            progress(next(counted), total)

    return done


def _warn_of_small_batches(config: RegressConfig, batch_size: int, features: int) -> None:
    whitens_fully = config.method == "eigh" or config.n_iter > 5
    if batch_size <= features and whitens_fully and config.shrinkage == "none":
        warnings.warn(
            f"the covariance of {batch_size} images cannot tell {features} features apart: D fits their noise, and"
            " the loss on a batch says little of other images; take a larger --batch-size or --method coupled with"
            " no more than 5 iterations (--shrinkage oas helps in part)",
            NumericalWarning,
            stacklevel=3,
        )
