"""Images of a source or of a data set with labels, whichever a name means, for ``ndtools stats``."""

import os
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ndtools.data.images.sources import ImageSource, resolve_source
from ndtools.data.labelled.catalogue import KNOWN, names_of_sets
from ndtools.data.labelled.dataset import Dataset
from ndtools.data.labelled.datasets import load_dataset
from ndtools.data.labelled.locations import find_in
from ndtools.errors import DataError, OptionError
from ndtools.experiments.stats.config import StatsConfig

__all__ = ["LabelledImages", "resolve"]


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images of a data set with labels, all of one size and in memory.

    Attributes
    ----------
    dataset : Dataset
        Data set that the images belong to.
    pixels : Tensor of shape (N, C, H, W), uint8
        Images of the chosen part of the data set.
    """

    dataset: Dataset
    pixels: Tensor


def resolve(config: StatsConfig) -> ImageSource | LabelledImages:
    """Find the images of a configuration.

    A name of a data set, and a folder that holds all files of one, mean that data set. All else is a source of images.

    Parameters
    ----------
    config : StatsConfig
        Configuration that names the images.

    Returns
    -------
    ImageSource or LabelledImages
        Images that are drawn from the source or data set.

    Raises
    ------
    DataError
        If the name means nothing, or what it means cannot be read.
    OptionError
        If settings do not fit what the name means.
    """
    source, exists = config.source, os.path.lexists(config.source)
    lack: str | None = None
    if os.path.isdir(source):
        try:
            find_in(source)
        except DataError as error:
            lack = str(error)
    if source in KNOWN if not exists else os.path.isdir(source) and lack is None:
        return _labelled(config)
    for name in ("data_dir", "split"):
        if getattr(config, name) != getattr(StatsConfig, name):
            raise OptionError(name, f"needs a data set with labels ({names_of_sets()}), got images: {source}")
    try:
        images = resolve_source(source, layout=config.layout)
    except DataError as error:
        if lack is not None:
            raise DataError(f"{error}; {lack}") from None
        if str(error).startswith("no such file"):
            raise DataError(f"{error}; data sets are {names_of_sets()}") from None
        raise
    return images.subset(config.images, config.seed)


def _labelled(config: StatsConfig) -> LabelledImages:
    for name in ("key", "axes", "raw", "channels"):
        if getattr(config, name) != getattr(StatsConfig, name):
            raise OptionError(name, f"has no meaning for {config.source}, a data set with labels")
    if config.resize is not None:
        raise OptionError("resize", "cannot be combined with a data set with labels, whose images have one size")
    dataset = load_dataset(config.source, data_dir=config.data_dir)
    splits = {"train": [dataset.train], "test": [dataset.test], "all": [dataset.train, dataset.test]}[config.split]
    pixels = splits[0].images if len(splits) == 1 else torch.cat([split.images for split in splits])
    if config.images is not None and config.images < len(pixels):
        # The draw of a source of images, so that a larger number adds to the choice of a smaller one.
        chosen = np.sort(np.random.default_rng(config.seed).permutation(len(pixels))[: config.images])
        pixels = pixels[torch.from_numpy(chosen)]
    if config.space not in ("srgb", "linear") and pixels.shape[1] == 1:
        raise OptionError("space", f"must be srgb or linear for images of one channel, got {config.space!r}")
    return LabelledImages(dataset, pixels)
