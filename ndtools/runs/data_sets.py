"""Data sets of training runs, on the device that trains."""

from dataclasses import asdict, fields, replace

import torch
from torch.nn.functional import pad

from ndtools.data.labelled.dataset import Dataset, Split
from ndtools.data.labelled.datasets import load_dataset
from ndtools.errors import OptionError
from ndtools.runs.config import LAYER_SETTINGS, RunConfig
from ndtools.runs.loaded import Loaded
from ndtools.runs.streams import check_known, is_streamed, load_streams
from ndtools.training.data import PUBLISHED, TrainingData
from ndtools.training.recipe import Recipe

__all__ = ["SIDE", "DataSets"]

SIDE = 32
"""Side of the images that all networks take; smaller images get black margins."""
_NOT_OF_DATA = {field.name for field in fields(Recipe)} | {"arch", "norm", "jobs", "device", *LAYER_SETTINGS}


class DataSets:
    """Data of several runs. What a run has in common with the run before is not loaded again.

    Parameters
    ----------
    device : torch.device
        Device of this process, which computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._source: tuple[object, ...] = ()
        self._dataset: Dataset | None = None
        self._chosen: object = None
        self._loaded: Loaded | None = None

    def of(self, config: RunConfig) -> Loaded:
        """Load the data of a run, or find the files that they are streamed from.

        Parameters
        ----------
        config : RunConfig
            Configuration of the run.

        Returns
        -------
        Loaded
            The images. Sets in memory get margins around images that are smaller than 32×32 pixels.

        Raises
        ------
        OptionError
            If the published code has no constants for this data set, and they are asked for.
        DataError
            If the data set is not there, or is damaged.
        """
        of_data = asdict(config)
        for name in _NOT_OF_DATA:
            of_data.pop(name, None)
        if self._loaded is None or of_data != self._chosen:
            self._loaded = None  # before the memory for the next is needed
            check_known(config)
            streamed = config.task == "segmentation" or is_streamed(config.dataset)
            self._loaded = load_streams(config, self.device) if streamed else self._in_memory(config)
            self._chosen = of_data
        return self._loaded

    def _in_memory(self, config: RunConfig) -> Loaded:
        source = (config.dataset, config.data_dir)
        if self._dataset is None or source != self._source:
            self._dataset, self._source = _large_enough(load_dataset(config.dataset, data_dir=config.data_dir)), source
        dataset, published = self._dataset, config.constants == "published"
        if published and dataset.name not in PUBLISHED:
            raise OptionError(
                "constants",
                f"must be pooled for {dataset.name}: the published code normalises {', '.join(PUBLISHED)} alone",
            )
        data = TrainingData.of(dataset, images=config.images, holdout=config.holdout, published=published)
        return Loaded(
            name=dataset.name,
            location=dataset.location,
            synthetic=dataset.synthetic,
            classes=dataset.classes,
            channels=dataset.train.images.shape[1],
            data=data.to(self.device),
            task=config.task_of(len(dataset.classes)),
        )


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
