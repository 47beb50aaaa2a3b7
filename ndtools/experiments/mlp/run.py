"""A perceptron with sigmoids, without normalisation, with BN, with deconvolution (Ye et al. 2020, fig. 5 c, d)."""

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ndtools.computing.operators import check_memory, operator_threads, resolve_device, threads_for
from ndtools.computing.progress import Progress, counter
from ndtools.console.short_form import short_form
from ndtools.data.labelled.dataset import Dataset
from ndtools.data.labelled.datasets import load_dataset
from ndtools.errors import DataError, NumericalWarning, TrainingDiverged
from ndtools.experiments.mlp.config import MlpConfig
from ndtools.experiments.mlp.result import MlpArm, MlpResult
from ndtools.layers.config import DeconvConfig
from ndtools.layers.linear import DeconvLinear
from ndtools.results.inputs import DataUsed
from ndtools.training.data import TrainingData
from ndtools.training.loop import Training
from ndtools.training.recipe import Recipe
from ndtools.training.records import StepRecord

__all__ = ["ARMS", "build_mlp", "mlp", "recipe_of", "run", "unprocessed"]

ARMS = ("none", "bn", "deconv")


def build_mlp(widths: tuple[int, ...], arm: str, config: DeconvConfig) -> nn.Sequential:
    """Build the perceptron of an arm, with torch's initial weights for linear layers.

    Parameters
    ----------
    widths : tuple of int
        Inputs, hidden layers, classes.
    arm : {"none", "bn", "deconv"}
        Normalisation of the layers: none, batch normalisation, or deconvolution.
    config : DeconvConfig
        Settings of the deconvolution layers of the arm "deconv".

    Returns
    -------
    nn.Sequential
        Logits from rows.
    """
    layers: list[nn.Module] = []
    for i, (wide, narrow) in enumerate(itertools.pairwise(widths)):
        layers.append(DeconvLinear(wide, narrow, config=config) if arm == "deconv" else nn.Linear(wide, narrow))
        if i < len(widths) - 2:
            layers += [nn.BatchNorm1d(narrow)] if arm == "bn" else []
            layers.append(nn.Sigmoid())
    return nn.Sequential(*layers)


def unprocessed(dataset: Dataset) -> TrainingData:
    """Return the images of a data set for training on pixels in [0, 1], as they are."""
    zero, one = torch.zeros(1, 1, 1), torch.ones(1, 1, 1)
    return TrainingData(dataset.train, dataset.test, dataset.test, zero, one, len(dataset.classes))


def recipe_of(config: MlpConfig, batch_size: int, lr: float, seed: int) -> Recipe:
    """Return the recipe of one run: momentum at a constant rate, without weight decay and augmentation."""
    return Recipe(
        epochs=config.epochs,
        batch_size=batch_size,
        lr=lr,
        momentum=config.momentum,
        weight_decay=0,
        sched="constant",
        seed=seed,
        augment=False,
    )


def run(config: MlpConfig, *, progress: Progress | None = None) -> MlpResult:
    """Train a sigmoid perceptron in several runs with each normalisation, at its best learning rate.

    If there are several rates, each arm is trained at each of them once more, with initial weights and batches of its
    own, and keeps to the rate with the least training loss in the last epoch. Those runs are not among the repeats:
    the run that wins a comparison is better than others at the same rate. The test images have no part in the choice.

    Parameters
    ----------
    config : MlpConfig
        The configuration of the experiment.
    progress : callable, optional
        Called with the number of epochs done and the number of all epochs, over all runs.

    Returns
    -------
    MlpResult
        Learning curves of all arms.

    Raises
    ------
    DataError
        If the data set is not here, or has one image only.
    """
    MlpConfig.check_type(config)
    device = resolve_device(config.device)
    dataset = load_dataset(config.dataset, data_dir=config.data_dir)
    data = unprocessed(dataset).to(device)
    images = len(data.train.labels)
    widths = (dataset.train.images[0].numel(), *config.hidden, data.classes)
    batch_size = min(config.batch_size, images)
    if batch_size < 2:
        raise DataError(f"{dataset.name} has one training image only, and a batch needs two at least")
    # A layer has weights, their gradient and momentum, and with deconvolution a covariance and what D is made of.
    parameters = sum(3 * a * b + 3 * a * min(a, config.block_size or a) for a, b in itertools.pairwise(widths))
    check_memory("hidden", ",".join(map(str, config.hidden)), 4 * parameters, device)
    total = len(ARMS) * config.epochs * (len(_compared(config)) + config.repeats)
    done = counter(progress, total)
    largest = max(min(width, config.block_size or width) for width in widths[:-1])
    with operator_threads(config.jobs or threads_for(largest)):
        arms = tuple(_arm(name, config, data, widths, batch_size, done) for name in ARMS)
    return MlpResult(
        config=config,
        data=DataUsed(dataset.name, dataset.synthetic, dataset.location, images, len(data.test.labels)),
        batch_size=batch_size,
        widths=widths,
        arms=arms,
        device=str(device),
    )


mlp = short_form(MlpConfig, run, counting="epochs, all arms")


@dataclass(frozen=True, eq=False)
class _Run:
    loss: NDArray[np.float64]
    test_accuracy: NDArray[np.float64]
    seconds: float

    @property
    def final(self) -> float:
        """Training loss of the last epoch; infinite if it is not a number."""
        last = float(self.loss[-1].mean())
        return last if np.isfinite(last) else np.inf


def _compared(config: MlpConfig) -> tuple[float, ...]:
    """Return the learning rates among which each arm chooses; none where there is no choice."""
    return config.lr if len(config.lr) > 1 else ()


def _arm(
    name: str,
    config: MlpConfig,
    data: TrainingData,
    widths: tuple[int, ...],
    batch_size: int,
    done: Callable[[], None],
) -> MlpArm:
    def once(lr: float, seed: int) -> _Run:
        return _train(name, config, data, widths, batch_size, lr, seed, done)

    tried = {lr: once(lr, config.seed).final for lr in _compared(config)}
    best = min(tried, key=tried.__getitem__, default=config.lr[0])
    runs = [once(best, config.seed + repeat) for repeat in range(1, config.repeats + 1)]
    return MlpArm(
        name=name,
        lr=best,
        tried=tried,
        loss=np.array([each.loss for each in runs]),
        test_accuracy=np.array([each.test_accuracy for each in runs]),
        seconds=float(np.mean([each.seconds for each in runs])) / config.epochs,
    )


def _train(
    name: str,
    config: MlpConfig,
    data: TrainingData,
    widths: tuple[int, ...],
    batch_size: int,
    lr: float,
    seed: int,
    done: Callable[[], None],
) -> _Run:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        deconvolution = DeconvConfig(block_size=config.block_size, n_iter=config.n_iter, eps=config.eps)
        model = nn.Sequential(nn.Flatten(), build_mlp(widths, name, deconvolution))
    training = Training(model, data, recipe_of(config, batch_size, lr, seed))
    losses = np.full((config.epochs, training.per_epoch), np.nan)
    accuracies = np.zeros(config.epochs)  # outputs of a run that diverged are NaN, and classify no image right
    seconds, epochs = 0.0, 0
    with warnings.catch_warnings():
        # That 512 images cannot tell 784 pixels apart does no harm to so few iterations: see `ndtools regress`.
        warnings.simplefilter("ignore", NumericalWarning)
        try:
            for record in training.records():
                seconds = record.seconds
                if isinstance(record, StepRecord):
                    losses[divmod(record.step - 1, training.per_epoch)] = record.loss
                else:
                    accuracies[epochs] = record.eval_top1 / 100
                    epochs += 1
                    done()
        except TrainingDiverged:
            for _ in range(epochs, config.epochs):
                done()
    return _Run(losses, accuracies, seconds)
