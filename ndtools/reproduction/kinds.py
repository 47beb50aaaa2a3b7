"""Kinds of training runs, and the sets that they stream from files: what a run says of both."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ndtools.data.labelled.catalogue import KNOWN
from ndtools.experiments.segment.config import SegmentConfig
from ndtools.experiments.train.config import TrainConfig
from ndtools.runs.config import RunConfig

__all__ = ["KINDS", "SCENES", "STREAMED", "Streamed", "config_of", "same_data"]

KINDS: Mapping[str, type[RunConfig]] = {kind.command: kind for kind in (TrainConfig, SegmentConfig)}
"""Classes of the configurations of training runs, by the command that makes them."""

SCENES = "scenes"
"""Name of the built-in set with label maps."""


class Streamed(NamedTuple):
    """Set that is streamed from files.

    Attributes
    ----------
    folders : tuple of str
        Usual names of its folder.
    train : int
        Number of training images.
    """

    folders: tuple[str, ...]
    train: int


STREAMED = {
    "imagenet": Streamed(("imagenet", "ILSVRC2012"), 1_281_167),
    "cityscapes": Streamed(("cityscapes", "Cityscapes"), 2975),
    "camvid": Streamed(("camvid", "CamVid", "camvid-480x360", "camvid-240x180"), 367),
    SCENES: Streamed((SCENES,), 400),
}
"""Streamed sets by name."""


def config_of(about: Mapping[str, Any]) -> RunConfig:
    """Return the configuration of a training run from its run.json.

    Parameters
    ----------
    about : mapping
        Content of the run.json.

    Returns
    -------
    RunConfig
        Configuration of the class that the command has which made the run.

    Raises
    ------
    LookupError, TypeError, ValueError
        If the run is of another version, with other commands or settings.
    """
    return KINDS[about.get("experiment", TrainConfig.command)](**about["config"])


def same_data(data: Mapping[str, Any], config: RunConfig) -> bool:
    """Return whether a run was trained with the images that a configuration names.

    Parameters
    ----------
    data : mapping
        Entry of the run.json that describes the images.
    config : RunConfig
        Configuration whose data need not be on this machine.

    Returns
    -------
    bool
        Whether name and numbers of images are those of the set.
    """
    folder = Path(os.path.abspath(config.dataset)).name
    known = KNOWN.get(folder)
    if known is not None:
        numbers = {"train_images": known.n_train, "test_images": known.n_test}
        names: tuple[str, ...] = (known.name,)
    else:
        name = next((name for name, each in STREAMED.items() if folder in (name, *each.folders)), None)
        if name is None:
            return False
        numbers, names = {"train_images": STREAMED[name].train}, (name, *STREAMED[name].folders)
    total = numbers["train_images"]
    numbers["train_images"] = min(total, config.images or total) - config.holdout
    return data.get("name") in names and all(data.get(key) == number for key, number in numbers.items())
