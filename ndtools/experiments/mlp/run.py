"""A perceptron with sigmoids, without normalisation, with BN, with deconvolution (Ye et al. 2020, fig. 5 c, d)."""

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ndtools.computing.operators import check_memory, operator_threads, resolve_device, seconds_at, threads_for
from ndtools.data.labelled.datasets import load_dataset
from ndtools.data.labelled.flat import FlatDataset
from ndtools.errors import DataError, NumericalWarning
from ndtools.experiments.mlp.config import MlpConfig
from ndtools.layers.config import DeconvConfig
from ndtools.layers.linear import DeconvLinear
from ndtools.moments.gathering import Progress

__all__ = ["ARMS", "MlpArm", "MlpConfig", "MlpResult", "build_mlp", "run"]

ARMS = ("none", "bn", "deconv")


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


@dataclass(frozen=True, eq=False)
class MlpResult:
    """Learning curves of all arms.

    Attributes
    ----------
    config : MlpConfig
        The configuration of this run.
    dataset : str
        Name of the data set.
    synthetic : bool
        Whether its images are made in code.
    location : str
        Folder of its files, or "built in".
    images, test_images : int
        Numbers of training and of test images.
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
    dataset: str
    synthetic: bool
    location: str
    images: int
    test_images: int
    batch_size: int
    widths: tuple[int, ...]
    arms: tuple[MlpArm, ...]
    device: str

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays of the .npz file by name."""
        losses = {f"{arm.name}_loss": arm.loss for arm in self.arms}
        return losses | {f"{arm.name}_test_accuracy": arm.test_accuracy for arm in self.arms}

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "dataset": {"name": self.dataset, "synthetic": self.synthetic, "location": self.location},
            "images": {"train": self.images, "test": self.test_images},
            "widths": self.widths,
            "batch_size": self.batch_size,
            "epochs": self.config.epochs,
            "arms": [arm.numbers() for arm in self.arms],
        }


def build_mlp(widths: tuple[int, ...], arm: str, config: DeconvConfig) -> nn.Sequential:
    """Build the perceptron of an arm, with torch's initial weights for linear layers.

    Parameters
    ----------
    widths : tuple of int
        Inputs, hidden layers, classes.
    arm : {"none", "bn", "deconv"}
        How it normalises.
    config : DeconvConfig
        Of "deconv".

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


def run(config: MlpConfig, *, progress: Progress | None = None) -> MlpResult:
    """Train each arm at its best learning rate, as often as asked for.

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
        Learning curves.

    Raises
    ------
    DataError
        If the data set is not here, or has one image only.
    """
    device = resolve_device(config.device)
    dataset = load_dataset(config.dataset, data_dir=config.data_dir)
    data = FlatDataset.of(dataset).to(device)
    widths = (data.features, *config.hidden, data.classes)
    batch_size = min(config.batch_size, len(data))
    if batch_size < 2:
        raise DataError(f"{dataset.name} has one training image only, and a batch needs two at least")
    # A layer has weights, their gradient and momentum, and with deconvolution a covariance and what D is made of.
    parameters = sum(3 * a * b + 3 * a * min(a, config.block_size or a) for a, b in itertools.pairwise(widths))
    check_memory("hidden", ",".join(map(str, config.hidden)), 4 * parameters, device)
    total = len(ARMS) * config.epochs * (len(_compared(config)) + config.repeats)
    counted = itertools.count(1)

    def done() -> None:
        if progress:
            progress(next(counted), total)

    largest = max(min(width, config.block_size or width) for width in widths[:-1])
    with operator_threads(config.jobs or threads_for(largest)):
        arms = tuple(_arm(name, config, data, widths, batch_size, done) for name in ARMS)
    return MlpResult(
        config=config,
        dataset=dataset.name,
        synthetic=dataset.synthetic,
        location=dataset.location,
        images=len(data),
        test_images=len(data.test_labels),
        batch_size=batch_size,
        widths=widths,
        arms=arms,
        device=str(device),
    )


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
    data: FlatDataset,
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
    data: FlatDataset,
    widths: tuple[int, ...],
    batch_size: int,
    lr: float,
    seed: int,
    done: Callable[[], None],
) -> _Run:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        deconvolution = DeconvConfig(block_size=config.block_size, n_iter=config.n_iter, eps=config.eps)
        model = build_mlp(widths, name, deconvolution).to(data.pixels.device)
    optimiser = torch.optim.SGD(model.parameters(), lr=lr, momentum=config.momentum)
    per_epoch = len(data) // batch_size
    batches = data.batches(batch_size, config.epochs * per_epoch, seed)
    losses, accuracies = [], []
    seconds = 0.0
    for _ in range(config.epochs):
        start = seconds_at(data.pixels.device)
        model.train()
        with warnings.catch_warnings():
            # That 512 images cannot tell 784 pixels apart does no harm to so few iterations: see `ndtools regress`.
            warnings.simplefilter("ignore", NumericalWarning)
            losses.append([_step(model, optimiser, *batch) for batch in itertools.islice(batches, per_epoch)])
        seconds += seconds_at(data.pixels.device) - start
        accuracies.append(_accuracy(model, data))
        done()
    return _Run(np.array(losses), np.array(accuracies), seconds)


def _step(model: nn.Module, optimiser: torch.optim.Optimizer, rows: Tensor, labels: Tensor) -> float:
    loss = cross_entropy(model(rows), labels)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return loss.item()


@torch.no_grad()
def _accuracy(model: nn.Module, data: FlatDataset) -> float:
    model.eval()
    return data.accuracy(model)
