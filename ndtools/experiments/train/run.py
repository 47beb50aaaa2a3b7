"""One training run, from its configuration to the files in its folder."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad

from ndtools.checkpoints.files import save_network
from ndtools.checkpoints.metadata import spec_to_metadata
from ndtools.computing.hardware import hardware
from ndtools.computing.operators import resolve_device
from ndtools.data.labelled.dataset import Dataset, Split
from ndtools.data.labelled.datasets import load_dataset
from ndtools.errors import TrainingDiverged
from ndtools.experiments.train.config import TrainConfig
from ndtools.layers.processes import rank, world_size
from ndtools.models.catalogue import build
from ndtools.models.norms import arm
from ndtools.models.norms import prepare as prepare_network
from ndtools.results.manifest import versions
from ndtools.results.run_folder import RunFolder
from ndtools.training.batches import Batches
from ndtools.training.data import TrainingData
from ndtools.training.loop import Training
from ndtools.training.processes import total
from ndtools.training.records import EpochRecord, StepRecord
from ndtools.training.state import TrainingState

__all__ = ["DataSets", "Prepared", "check", "describe", "prepare", "resume", "train"]

SIDE = 32
"""Side of the images that all networks take; smaller images get black margins."""
_PREPARING = 5000
"""Number of training images from which a network learns what it must know before the first step."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A training run that is ready to start or to go on.

    Attributes
    ----------
    config : TrainConfig
        Configuration of the run.
    dataset : Dataset
        Labelled images, as large as the network takes them.
    network : Module
        Network that is trained.
    training : Training
        The run, between two of its records.
    """

    config: TrainConfig
    dataset: Dataset
    network: nn.Module
    training: Training


class DataSets:
    """Data of several runs. What follows runs have in common with the run before is not loaded again."""

    def __init__(self) -> None:
        self._source: tuple[object, ...] = ()
        self._chosen: tuple[object, ...] = ()
        self._dataset: Dataset | None = None
        self._data: TrainingData | None = None

    def of(self, config: TrainConfig) -> tuple[Dataset, TrainingData]:
        """Load the data of a run.

        Parameters
        ----------
        config : TrainConfig
            Configuration of the run.

        Returns
        -------
        dataset : Dataset
            The whole set, with margins around images that are smaller than 32×32 pixels.
        data : TrainingData
            Images for training and evaluation, on the device of the run.
        """
        source = (config.dataset, config.data_dir)
        if self._dataset is None or source != self._source:
            self._dataset, self._source = _large_enough(load_dataset(config.dataset, data_dir=config.data_dir)), source
        chosen = (*source, config.images, config.holdout, config.norm == "deconv-reference", config.device)
        if self._data is None or chosen != self._chosen:
            *_, images, holdout, published, device = chosen
            data = TrainingData.of(self._dataset, images=config.images, holdout=config.holdout, published=published)
            self._data, self._chosen = data.to(resolve_device(config.device)), chosen
        return self._dataset, self._data


def check(config: TrainConfig, data_sets: DataSets) -> None:
    """Refuse a configuration that does not fit the data or the network, before any work.

    Parameters
    ----------
    config : TrainConfig
        Configuration of a run.
    data_sets : DataSets
        Loader of the data, which keeps them for the run.
    """
    dataset, data = data_sets.of(config)
    Batches(data, config.recipe, rank(), world_size())
    with torch.device("meta"):
        _network(config, dataset)


def prepare(config: TrainConfig, data_sets: DataSets) -> Prepared:
    """Load the data of a run and build its network.

    Parameters
    ----------
    config : TrainConfig
        Configuration of the run.
    data_sets : DataSets
        Loader of the data.

    Returns
    -------
    Prepared
        The run before its first step.
    """
    dataset, data = data_sets.of(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = _network(config, dataset)
    prepare_network(network, data.normalised(data.train.images[:_PREPARING]))
    return Prepared(config, dataset, network, Training(network, data, config.recipe))


def resume(run: Prepared, folder: RunFolder) -> None:
    """Bring a run and the lines in its folder to the state that was written last.

    Parameters
    ----------
    run : Prepared
        The run before its first step. If no state was written, it starts from the beginning.
    folder : RunFolder
        Folder of the run, which this process has locked unless it is one of several and not the first.
    """
    step = epochs = 0
    if folder.state.exists():
        state = TrainingState.load(folder.state)
        run.training.restore(state)
        step, epochs = state.step, state.epochs
    if rank() == 0:
        folder.cut_back(step=step, epochs=epochs)


def describe(run: Prepared, command: str) -> dict[str, Any]:
    """Return the description of a run for its run.json.

    Parameters
    ----------
    run : Prepared
        The run before its first step.
    command : str
        Command line that starts the run.

    Returns
    -------
    dict
        Everything that was asked for, the data, versions and hardware.
    """
    config, data = run.config, run.training.data
    spec = run.network.spec
    return {
        "command": command,
        "arch": config.arch,
        "norm": config.norm,
        "parameters": sum(p.numel() for p in run.network.parameters()),
        "network": spec_to_metadata(spec),  # type: ignore[arg-type]
        "config": asdict(config),
        "data": {
            "name": run.dataset.name,
            "synthetic": run.dataset.synthetic,
            "location": run.dataset.location,
            "shape": list(run.dataset.train.images.shape[1:]),
            "train_images": len(data.train.labels),
            "eval_images": len(data.eval.labels),
            "eval_split": "held-out" if data.held_out else "test",
            "test_images": len(data.test.labels),
            "mean": data.mean.flatten().tolist(),
            "std": data.std.flatten().tolist(),
        },
        "steps": run.training.steps,
        "versions": versions(),
        "hardware": hardware(data.device),
        "processes": world_size(),
        "threads": torch.get_num_threads(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def train(
    run: Prepared,
    folder: RunFolder,
    *,
    show: Callable[[StepRecord | EpochRecord], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    checkpoint_every: float = 60.0,
) -> dict[str, Any] | None:
    """Train, and write records and checkpoints into the folder of the run.

    The state from which the run can be resumed is written after each epoch, whenever ``checkpoint_every`` seconds have
    passed since it was written last, and when the run is stopped. Of several processes, the first writes.

    Parameters
    ----------
    run : Prepared
        The run, before its first step or resumed.
    folder : RunFolder
        Folder of the run, which the first process has locked.
    show : callable
        Function that is called with each record.
    stop : callable
        Function that returns whether the run should stop; it is asked after each record.
    checkpoint_every : float
        Seconds between two writings of the state, at most. Default 60.

    Returns
    -------
    dict or None
        Content of the result.json that was written, without the version of its format; None if the run was stopped,
        so that it can be resumed.
    """
    training, writer = run.training, _Writer(run, folder)
    stopped, reason = ("max_steps" if training.steps < run.config.epochs * training.per_epoch else None), None
    written = time.monotonic()
    try:
        for record in training.records():
            writer.add(record)
            show(record)
            due = isinstance(record, EpochRecord) or time.monotonic() - written > checkpoint_every
            due, stopping = _agreed(due, stop(), run)
            if due or stopping:
                writer.checkpoint()
                written = time.monotonic()
            if stopping and training.step < training.steps:
                return None
    except TrainingDiverged as error:
        stopped, reason = "diverged", str(error)
    return writer.finish(stopped, reason)


class _Writer:
    """Files of a run, which the first of several processes writes."""

    def __init__(self, run: Prepared, folder: RunFolder) -> None:
        self.run, self.folder, self.writes = run, folder, rank() == 0
        self.seconds, self.checkpoints = 0.0, 0
        self.epochs = folder.epochs() if self.writes else []
        self.trained = self.epochs[-1]["seconds"] if self.epochs else 0.0

    @property
    def best(self) -> Mapping[str, float] | None:
        """The epoch with the highest accuracy, the first of several; None if there is none with a number."""
        known = [epoch for epoch in self.epochs if not math.isnan(epoch["eval_top1"])]
        return max(known, key=lambda epoch: epoch["eval_top1"], default=None)

    def add(self, record: StepRecord | EpochRecord) -> None:
        self.trained = record.seconds
        if not self.writes:
            return
        if isinstance(record, StepRecord):
            self.folder.add_step(asdict(record))
            return
        line = asdict(record)
        self.folder.add_epoch(line)
        self.epochs.append(line)
        save_network(self.run.network, self.folder.last)
        if self.run.training.data.held_out and self.best is line:
            save_network(self.run.network, self.folder.best)

    def checkpoint(self) -> None:
        started = time.monotonic()
        state = self.run.training.state()
        if self.writes:
            state.save(self.folder.state)
        self.seconds += time.monotonic() - started
        self.checkpoints += 1

    def finish(self, stopped: str | None, reason: str | None) -> dict[str, Any]:
        training = self.run.training
        last, best = (self.epochs[-1] if self.epochs else None), self.best
        result: dict[str, Any] = {
            "steps": training.step,
            "last": None,
            "best": best and {"epoch": int(best["epoch"]), "eval_top1": best["eval_top1"]},
            "seconds": self.trained,
            "stopped": stopped,
            "reason": reason,
            "checkpoints": {"count": self.checkpoints, "seconds": round(self.seconds, 3)},
        }
        if stopped != "diverged":
            test = training.evaluate(training.data.test) if training.data.held_out else None
            if last is not None:
                result["last"] = {
                    "epoch": int(last["epoch"]),
                    "eval_top1": last["eval_top1"],
                    "eval_loss": last["eval_loss"],
                    "test_top1": last["eval_top1"] if test is None else test.top1,
                    "test_loss": last["eval_loss"] if test is None else test.loss,
                }
        if self.writes:
            self._draw()
            self.folder.finish(result)
        return result

    def _draw(self) -> None:
        from ndtools.experiments.train.figure import plot_train
        from ndtools.experiments.train.result import TrainResult
        from ndtools.writing import write_whole

        figure = plot_train(TrainResult.read(self.folder))
        write_whole({self.folder.figure: lambda file: figure.savefig(file, dpi=200)})


def _network(config: TrainConfig, dataset: Dataset) -> nn.Module:
    settings: dict[str, Any] = dict(config.layer_settings)
    makers = arm(config.norm, config.arch, **settings)
    channels = dataset.train.images.shape[1]
    return build(config.arch, makers, num_classes=len(dataset.classes), in_channels=channels)


def _agreed(due: bool, stop: bool, run: Prepared) -> tuple[bool, bool]:
    """Return whether any process has to write the state, and whether any has to stop: all do so together."""
    if world_size() == 1:
        return due, stop
    wishes = total(torch.tensor([due, stop], dtype=torch.long, device=run.training.device))
    return bool(wishes[0]), bool(wishes[1])


def _large_enough(dataset: Dataset) -> Dataset:
    """Return a data set with black margins around its images, if they are smaller than 32×32 pixels."""
    height, width = dataset.train.images.shape[2:]
    if min(height, width) >= SIDE:
        return dataset
    across, down = max(SIDE - width, 0), max(SIDE - height, 0)
    margins = (across // 2, across - across // 2, down // 2, down - down // 2)

    def enlarged(split: Split) -> Split:
        return Split(pad(split.images, margins), split.labels)

    return replace(dataset, train=enlarged(dataset.train), test=enlarged(dataset.test))
