"""Linear and logistic regression on images, where learning rate 1 is optimal (Ye et al. 2020, fig. 5 a, b)."""

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ndtools.computing.operators import operator_threads, resolve_device, threads_for
from ndtools.computing.progress import Progress, counter
from ndtools.console.short_form import short_form
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
from ndtools.experiments.regress.result import ArmResult, LossResult, RegressResult
from ndtools.numerics.inverse_sqrt import method_from_name
from ndtools.results.inputs import DataUsed

__all__ = ["regress", "run"]

MANY = 2000  # features, whose eigenvalues take long
AUTO = 0.9  # share of the stability limit
RIDGE = 1e-7  # of the features that L-BFGS sees, relative to the sum of variances: only for its speed


def run(
    config: RegressConfig, *, progress: Progress | None = None, say: Callable[[str], None] = lambda _: None
) -> RegressResult:
    """Train linear models on raw, standardised and deconvolved pixels, and compute the optimum.

    Parameters
    ----------
    config : RegressConfig
        Configuration of the run.
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
    RegressConfig.check_type(config)
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
            done = counter(progress, config.repeats * iterations, repeat * iterations)
            runs.append(list(study.train(study.batches(batch_size, repeat), done)))
        losses = tuple(study.collect(name, runs) for name in study.names)
    return RegressResult(
        config=config,
        data=DataUsed(dataset.name, dataset.synthetic, dataset.location, len(data), len(data.test_labels)),
        features=data.features,
        classes=data.classes,
        batch_size=batch_size,
        iterations=iterations,
        losses=losses,
        device=str(device),
    )


regress = short_form(RegressConfig, run, counting="iterations")


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


def _warn_of_small_batches(config: RegressConfig, batch_size: int, features: int) -> None:
    whitens_fully = config.method == "eigh" or config.n_iter > 5
    if batch_size <= features and whitens_fully and config.shrinkage == "none":
        warnings.warn(
            f"the covariance of {batch_size} images cannot tell {features} features apart: D fits their noise, and"
            ' the loss on a batch says little of other images; take a larger `batch_size`, or `method="coupled"` with'
            ' no more than 5 iterations (`shrinkage="oas"` helps in part)',
            NumericalWarning,
            stacklevel=3,
        )
