"""Data sets of training runs, on the device that trains."""

from dataclasses import replace

import torch
from torch.nn.functional import pad

from ndtools.data.labelled.dataset import Dataset, Split
from ndtools.data.labelled.datasets import load_dataset
from ndtools.errors import OptionError
from ndtools.experiments.train.config import TrainConfig
from ndtools.training.data import PUBLISHED, TrainingData

__all__ = ["SIDE", "DataSets"]

SIDE = 32
"""Side of the images that all networks take; smaller images get black margins."""


class DataSets:
    """Data of several runs. What a run has in common with the run before is not loaded again.

    Parameters
    ----------
    device : torch.device
        Device of this process, which holds the images.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
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
            Images for training and evaluation, on the device.

        Raises
        ------
        OptionError
            If the published code has no constants for this data set, and they are asked for.
        """
        source = (config.dataset, config.data_dir)
        if self._dataset is None or source != self._source:
            self._dataset, self._source = _large_enough(load_dataset(config.dataset, data_dir=config.data_dir)), source
        published = config.constants == "published"
        if published and self._dataset.name not in PUBLISHED:
            raise OptionError(
                "constants",
                f"must be pooled for {self._dataset.name}: the published code normalises {', '.join(PUBLISHED)} alone",
            )
        chosen = (*source, config.images, config.holdout, published)
        if self._data is None or chosen != self._chosen:
            self._data = None  # before the memory for the next is needed
            data = TrainingData.of(self._dataset, images=config.images, holdout=config.holdout, published=published)
            self._data, self._chosen = data.to(self.device), chosen
        return self._dataset, self._data


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
