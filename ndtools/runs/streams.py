"""Data of training runs that are streamed from files: class folders, tar shards, and scenes with label maps."""

import difflib
import os
import warnings
from pathlib import Path

import torch

from ndtools.data.labelled.catalogue import KNOWN
from ndtools.data.labelled.locations import VARIABLE, find_in, roots
from ndtools.data.labelled.scenes import SCENES, scenes
from ndtools.data.labelled.streamed import StreamedSet
from ndtools.errors import DataError, SkippedImageWarning
from ndtools.runs.config import RunConfig
from ndtools.runs.loaded import Loaded
from ndtools.text import printable
from ndtools.training.streams import StreamedData

__all__ = ["check_known", "is_streamed", "load_streams"]

_FOLDERS = {"imagenet": ("imagenet", "ILSVRC2012"), "camvid": ("camvid", "CamVid"), "cityscapes": ("cityscapes",)}
"""Names of the folders that known sets are looked for in, by the name of the set."""
_OF_CLASSES = ("imagenet",)  # those whose images have one label each
_EVALUATED_IMAGES, _EVALUATED_SCENES = 64, 4  # at a time; logits have the size of the label maps


def check_known(config: RunConfig) -> None:
    """Raise a DataError with what may be meant if a data set is neither a folder nor the name of a set."""
    name = config.dataset
    if os.path.lexists(name) or name in _FOLDERS:
        return
    names, others, command = [SCENES, "camvid", "cityscapes"], [*KNOWN, *_OF_CLASSES], "train"
    if config.task != "segmentation":
        names, others, command = others, names, "segment"
    if name in names:
        return
    like = difflib.get_close_matches(name.lower().replace("_", "-"), names, n=1)
    below = next((place for root in roots(config.data_dir) if (place := Path(root) / name).is_dir()), None)
    if name in others:
        hint = f"; for '{name}' use ndtools {command}"
    elif below is not None:
        hint = f"; there is {printable(below)}: give this path"
    else:
        hint = f"; did you mean {like[0]}?" if like else ""
    raise DataError(
        f"no such folder or data set: '{printable(name)}': {printable(os.path.abspath(name))} does not exist, and the"
        f" names of data sets are {', '.join(names[:-1])} and {names[-1]}{hint}"
    )


def is_streamed(dataset: str) -> bool:
    """Return whether a data set for classification is none of the layouts that fit in memory."""
    if not os.path.isdir(dataset):
        return dataset in _FOLDERS
    try:
        find_in(dataset)
    except DataError:
        return True
    return False


def load_streams(config: RunConfig, device: torch.device) -> Loaded:
    """Find the files of a streamed data set, and say how they are read.

    Parameters
    ----------
    config : RunConfig
        Configuration of the run.
    device : torch.device
        Device that computes.

    Returns
    -------
    Loaded
        The data, of which nothing but the list of files is held in memory.

    Raises
    ------
    DataError
        If the folder is not there, or has no known layout, or its images have labels of the other kind.

    Warns
    -----
    SkippedImageWarning
        If there are no images for evaluation, so that it uses the training images.
    """
    segments = config.task == "segmentation"
    found = scenes() if segments and config.dataset == SCENES else config.find(_folder(config))
    if found.pairs != segments:
        raise DataError(_other_command(found.location, pairs=found.pairs))
    chosen = found.chosen(images=config.images, holdout=config.holdout)
    if chosen.eval is None and chosen.test is None:
        warnings.warn(
            f"{found.location} has no images for evaluation, so that the training images are used for it; put some into"
            " a subfolder `val`, or hold some back with `holdout`",
            SkippedImageWarning,
            stacklevel=2,
        )
    data = StreamedData(
        chosen,
        config.view_of(chosen, _size_of(chosen)),
        device=device,
        workers=config.workers,
        strict=config.strict,
        constants=config.constants,
        batch_of_evaluation=_EVALUATED_SCENES if segments else _EVALUATED_IMAGES,
    )
    return Loaded(
        name=found.name,
        location=found.location,
        synthetic=found.synthetic,
        classes=found.classes,
        channels=3,
        data=data,
        task=config.task_of(len(found.classes)),
        stem=config.stem,
    )


def _folder(config: RunConfig) -> str:
    """Return the folder of a data set, which is given or looked for by its name."""
    name = config.dataset
    if name in _FOLDERS and (name in _OF_CLASSES) == (config.task == "segmentation") and not os.path.lexists(name):
        raise DataError(_other_command(name, pairs=name not in _OF_CLASSES))
    if os.path.lexists(name):
        return name  # what is not a folder is refused where its files are looked for
    places = [Path(root) / folder for root in roots(config.data_dir) for folder in _FOLDERS[name]]
    for place in places:
        if place.is_dir():
            return str(place)
    looked = ", ".join(printable(place) for place in places)
    raise DataError(
        f"{name} is not found: looked for {looked}; give its folder, or the folder that holds it with `data_dir` or"
        f" ${VARIABLE}. Its licence does not allow that ndtools downloads it"
    )


def _other_command(name: str, *, pairs: bool) -> str:
    """Return a message that names the command for a set whose images have labels of the other kind."""
    if pairs:
        return f"{name}: its images have label maps; use `ndtools segment` for such sets"
    return (
        f"{name}: its images have one label each; use `ndtools train` for such sets. If it holds label maps, name its"
        " folders of images and of label maps with `image_dir` and `label_dir`"
    )


def _size_of(chosen: StreamedSet) -> tuple[int, int]:
    """Return height and width of the first training image that can be read."""
    first: str | None = None
    for index in range(len(chosen.train)):
        try:
            image, _ = chosen.train.read(index)
        except DataError as error:
            first = first or f"{printable(chosen.train.names[index])}: {error}"
            continue
        return image.shape[1], image.shape[2]
    raise DataError(f"{chosen.location}: none of its {len(chosen.train):,} training images can be used; {first}")
