"""One training run, from its configuration to the files in its folder."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ndtools.computing.hardware import hardware
from ndtools.computing.operators import operator_threads, resolve_device
from ndtools.errors import DataError, OutputError, TrainingDiverged
from ndtools.layers.processes import rank, world_size
from ndtools.models.catalogue import build
from ndtools.models.norms import arm
from ndtools.results.manifest import versions
from ndtools.results.run_folder import RunFolder
from ndtools.results.runs import Run
from ndtools.runs.config import CHECKPOINT_EVERY, RunConfig
from ndtools.runs.data_sets import DataSets
from ndtools.runs.grid import name_of
from ndtools.runs.loaded import Loaded
from ndtools.runs.writer import Writer
from ndtools.text import printable, shortened
from ndtools.training.loop import Training, check_amp
from ndtools.training.processes import first_alone
from ndtools.training.records import EpochRecord, StepRecord
from ndtools.training.state import TrainingState

__all__ = ["Prepared", "check", "describe", "prepare", "resume", "run", "train"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A training run that is ready to start or to go on.

    Attributes
    ----------
    config : RunConfig
        Configuration of the run.
    loaded : Loaded
        Labelled images, and what the network is trained for.
    training : Training
        The run, between two of its records.
    """

    config: RunConfig
    loaded: Loaded
    training: Training


def run(
    config: RunConfig,
    output: str | os.PathLike[str],
    *,
    name: str | None = None,
    show: Callable[[StepRecord | EpochRecord], None] = lambda _: None,
    checkpoint_every: float = CHECKPOINT_EVERY,
) -> Run:
    """Train a network, and write the run into a new folder.

    Parameters
    ----------
    config : RunConfig
        Configuration of the run.
    output : str or path-like
        Folder of all runs, such as "runs", which is made if it does not exist.
    name : str, optional
        Name of the run; where it exists, "-2", "-3", ... is added. The default is data set, network and arm, as in
        "glyphs-vgg11-bn".
    show : callable, optional
        Function that is called with each record of the run: a `StepRecord` or an `EpochRecord`.
    checkpoint_every : float
        Seconds between two writings of the state, at most. Default 60. If the run is interrupted, the command
        ``ndtools train --resume`` goes on from the state that was written last.

    Returns
    -------
    Run
        Records and result of the run, and the path of its folder. A run that diverged has the state "diverged".

    Raises
    ------
    TypeError
        If ``config`` is no configuration.
    OptionError
        If a setting does not fit the data, the network or this machine.
    DataError
        If the data set is not there, or is damaged.
    OutputError
        If a file cannot be written.

    Examples
    --------
    >>> import ndtools as nd, tempfile
    >>> config = nd.TrainConfig("glyphs", arch="simple_cnn", norm="bn", images=64, batch_size=32, epochs=1)
    >>> run = nd.run_train(config, tempfile.mkdtemp())
    >>> run.name, run.state, len(run.steps["loss"])
    ('glyphs-simple_cnn-bn', 'finished', 2)
    """
    given: object = config
    if not isinstance(given, RunConfig):
        words = shortened(repr(given))
        raise TypeError(
            f"config must be a TrainConfig or a SegmentConfig, got {words}; write"
            " nd.run_train(nd.TrainConfig(...), output)"
        )
    data_sets = DataSets(resolve_device(config.device))
    with operator_threads(config.jobs):
        check(config, data_sets)
        prepared = prepare(config, data_sets)
        folder = RunFolder.create(Path(output), name or name_of(config))
        with folder.lock():
            folder.describe(describe(prepared, f"nd.run_train({config!r}, ...)"))
            train(prepared, folder, show=show, checkpoint_every=checkpoint_every)
    return folder.read()


def check(config: RunConfig, data_sets: DataSets) -> None:
    """Refuse a configuration that does not fit the data or the network, before any work."""
    check_amp(config.recipe, data_sets.device)
    loaded = data_sets.of(config)
    loaded.data.batches(config.recipe, rank(), world_size())
    with torch.device("meta"):
        _network(config, loaded)


def prepare(config: RunConfig, data_sets: DataSets) -> Prepared:
    """Load the data of a run and build its network: the run before its first step."""
    loaded = data_sets.of(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = _network(config, loaded)
    return Prepared(config, loaded, Training(network, loaded.data, config.recipe, loaded.task))


def resume(run: Prepared, folder: RunFolder) -> None:
    """Bring a run, and the lines in its folder, to the state that was written last, and note in its run.json where.

    Parameters
    ----------
    run : Prepared
        The run before its first step. If no state was written, it starts from the beginning.
    folder : RunFolder
        Folder of the run, which the first process has locked. If the run ends after more steps than the folder
        says, the folder says so from now on, and its result is removed.

    Raises
    ------
    OptionError
        If the run would end before the steps that were made.
    DataError
        If the images are not those that the run was started with, or the state cannot be read.
    """
    _check_images(run, folder)
    step = epochs = 0
    if folder.state.exists():
        state = TrainingState.load(folder.state)
        run.training.restore(state)
        step, epochs = run.training.step, run.training.epochs

    def go_on() -> None:
        about, max_steps = folder.about, run.config.max_steps
        again = {"step": step, **_surroundings(run)}
        if about["config"].get("max_steps") != max_steps:
            again["max_steps"] = max_steps
            about["config"]["max_steps"], about["steps"] = max_steps, run.training.steps
        # First, so that a run that is killed here is not taken for one that has finished.
        folder.describe({**about, "resumed": [*about.get("resumed", []), again]})
        folder.reopen(whole_epochs=step >= epochs * run.training.per_epoch)
        folder.cut_back(step=step, epochs=epochs)

    first_alone(go_on, device=run.training.device)


def describe(run: Prepared, command: str) -> dict[str, Any]:
    """Return the content of run.json: command line, everything that was asked for, data, versions, hardware."""
    config, loaded, network = run.config, run.loaded, run.training.model
    return {
        "command": command,
        "experiment": config.command,
        "task": config.task,
        "arch": config.arch,
        "norm": config.norm,
        "parameters": sum(p.numel() for p in network.parameters()),
        "network": asdict(network.spec),
        "config": asdict(config),
        "data": {
            "name": loaded.name,
            "synthetic": loaded.synthetic,
            "location": loaded.location,
            "classes": len(loaded.classes),
            **({"class_names": list(loaded.classes)} if config.task == "segmentation" else {}),
            **run.training.data.numbers(),
        },
        "steps": run.training.steps,
        **_surroundings(run),
    }


def train(
    run: Prepared,
    folder: RunFolder,
    *,
    show: Callable[[StepRecord | EpochRecord], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    checkpoint_every: float = CHECKPOINT_EVERY,
) -> dict[str, Any] | None:
    """Train, and write records and checkpoints into the folder of the run.

    The state from which the run can be resumed is written after each epoch, whenever ``checkpoint_every`` seconds have
    passed since it was written last, and when the run is stopped, by a wish or as no more images can be read. Of
    several processes, the first writes.

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

    Raises
    ------
    DataError
        If images cannot be read any more. In a run of one process, the state before that is written.
    """
    training, writer = run.training, Writer(run.training, folder, run.loaded.classes)
    stopped, reason = ("max_steps" if training.steps < run.config.epochs * training.per_epoch else None), None
    written, saved = time.monotonic(), training.step
    try:
        for record in training.records():
            due = isinstance(record, EpochRecord) or time.monotonic() - written > checkpoint_every
            due, stopping = writer.add(record, due, stop())
            show(record)
            if due or stopping:
                writer.checkpoint()
                written, saved = time.monotonic(), training.step
            if stopping and training.step < training.steps:
                return None
    except TrainingDiverged as error:
        stopped, reason = "diverged", str(error)
    except DataError:
        # There is no batch for the next step, as a process that reads images was killed; nothing has changed since the
        # last one. Of several processes, the others do not know that this one has stopped.
        if training.step > saved and world_size() == 1:
            with suppress(OutputError):
                writer.checkpoint()
        raise
    return writer.finish(stopped, reason)


def _network(config: RunConfig, loaded: Loaded) -> nn.Module:
    makers = arm(config.norm, config.arch, stem=loaded.stem, **config.layer_settings)
    return build(config.arch, makers, num_classes=len(loaded.classes), in_channels=loaded.channels, stem=loaded.stem)


def _surroundings(run: Prepared) -> dict[str, Any]:
    """Return what trains a run from now on."""
    return {
        "versions": versions(),
        "hardware": hardware(run.training.device),
        "processes": world_size(),
        "threads": torch.get_num_threads(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


_LISTS = {"fingerprint": "names or labels", "sizes": "sizes"}
"""What entries of the data in run.json are fingerprints of. Older runs do not have all of them."""


_WORDS = {
    "train_images": "number of training images",
    "eval_images": "number of images for evaluation",
    "test_images": "number of test images",
    "eval_split": "set for evaluation",
    "classes": "number of classes",
    "shape": "shape of an image",
    "mean": "mean of the pixels",
    "std": "standard deviation of the pixels",
}


def _told_apart(before: object, now: object) -> tuple[str, str]:
    """Return two values in words, numbers with only as many digits as tell them apart."""
    texts = ("", "")
    for digits in (4, 6, 9, 17):
        texts = (_in_words(before, digits), _in_words(now, digits))
        if texts[0] != texts[1]:
            break
    return texts


def _in_words(value: object, digits: int) -> str:
    if isinstance(value, list):
        return ", ".join(_in_words(each, digits) for each in value)
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def _check_images(run: Prepared, folder: RunFolder) -> None:
    before, location = folder.about["data"], printable(run.loaded.location)
    for name, value in run.training.data.numbers().items():
        if name not in before or before[name] == value:
            continue
        if name in _LISTS and isinstance(value, dict):
            others = [split for split in {**before[name], **value} if before[name].get(split) != value.get(split)]
            why = f"the {_LISTS[name]} of the files in {location} are others (in {' and '.join(others)})"
        else:
            then, now = _told_apart(before[name], value)
            why = f"or other constants: its {_WORDS.get(name, name)} was {then}, and that of {location} is {now}"
        raise DataError(
            f"{printable(folder.path)} was started with other images, {why}; give the folder of the same images as"
            " `dataset`"
        )
