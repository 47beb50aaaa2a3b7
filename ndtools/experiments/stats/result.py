"""Statistics of the channels of images: the result of ``ndtools stats``, live or read back from its files."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult
from ndtools.experiments.stats.config import StatsConfig
from ndtools.numerics.channel_statistics import ChannelStatistics
from ndtools.results.inputs import ImagesUsed
from ndtools.results.read import SavedResult, floats
from ndtools.text import in_space, source_name

__all__ = ["Sizes", "SplitUsed", "StatsResult", "plain_number"]

PARTS = {"train": "training images", "test": "test images", "all": "training and test images"}


@dataclass(frozen=True)
class Sizes:
    """Sizes of the images of a set, in pixels.

    Attributes
    ----------
    different : int
        Number of different sizes.
    widths, heights : (int, int)
        Smallest and largest width, and smallest and largest height.
    common : (int, int)
        Width and height that most images have; the smaller of two that are as common.
    share : float
        Share of the images that have the most common size.
    """

    different: int
    widths: tuple[int, int]
    heights: tuple[int, int]
    common: tuple[int, int]
    share: float

    @classmethod
    def of(cls, counts: Mapping[tuple[int, int], int]) -> "Sizes":
        """Summarise the number of images by height and width."""
        heights, widths = ([size[i] for size in counts] for i in (0, 1))
        (height, width), most = min(counts.items(), key=lambda item: (-item[1], item[0]))
        return cls(
            len(counts),
            (min(widths), max(widths)),
            (min(heights), max(heights)),
            (width, height),
            most / sum(counts.values()),
        )

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any]) -> "Sizes":
        """Restore the value from what the .json file holds of it."""
        pairs = {name: (numbers[name][0], numbers[name][1]) for name in ("widths", "heights", "common")}
        return cls(different=numbers["different"], share=numbers["share"], **pairs)

    @property
    def in_words(self) -> str:
        """Sizes as titles have them: width×height, or the ranges of both."""
        if self.different == 1:
            return f"{self.widths[0]}×{self.heights[0]} pixels"
        return f"{_range(self.widths)} × {_range(self.heights)} pixels"


@dataclass(frozen=True)
class SplitUsed:
    """Part of a data set with labels whose images were used.

    Attributes
    ----------
    name : str
        Name of the data set.
    part : {"train", "test", "all"}
        Training images, test images, or both.
    synthetic : bool
        Whether the images are made in code.
    location : str
        Folder of the files, printable, or "built in".
    """

    name: str
    part: str
    synthetic: bool
    location: str

    @property
    def label(self) -> str:
        """Name as titles have it: the data set with its part."""
        return f"{self.name}{' (synthetic)' if self.synthetic else ''}, {PARTS[self.part]}"


@dataclass(frozen=True, eq=False, repr=False)
class StatsResult(ShownResult):
    """Statistics of the channels of images.

    Attributes
    ----------
    config : StatsConfig
        Configuration of this run.
    images : ImagesUsed
        Images that were used and skipped.
    split : SplitUsed or None
        Data set with labels that the images belong to; None for other images.
    names : tuple of str
        Names of the channels.
    sizes : Sizes
        Sizes of the images.
    statistics : ChannelStatistics
        Means, standard deviations, covariance and histograms of the channels.
    device : str
        Device on which the result was computed.
    """

    config: StatsConfig
    images: ImagesUsed
    split: SplitUsed | None
    names: tuple[str, ...]
    sizes: Sizes
    statistics: ChannelStatistics
    device: str

    @property
    def source(self) -> str:
        """Name of the image source, or location of the data set, printable."""
        return self.split.location if self.split else self.images.label

    @property
    def title(self) -> str:
        """Name of the images as titles have it."""
        return self.split.label if self.split else source_name(self.images.label)

    def normalize(self, over: str = "pixels") -> str | None:
        """Return a line for torchvision's transforms, ready to paste.

        Parameters
        ----------
        over : {"pixels", "images"}
            Whether mean and standard deviation are those of all pixels, or means over images. Default "pixels".

        Returns
        -------
        str or None
            Text such as "Normalize(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))"; None if a channel
            has no variance, by which nothing can be divided.
        """
        found = self.statistics
        mean, sd = (found.mean, found.sd) if over == "pixels" else (found.image_mean, found.image_sd)
        if not (found.varies.all() and (sd > 0).all()):
            return None
        return f"Normalize(mean={_tuple(mean)}, std={_tuple(sd)})"

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        return (
            f"{self.title} · {self.images.counted} · {self.sizes.in_words}{in_space(self.config.space, ' · ')}",
            f"all pixels: {self.normalize() or _CONSTANT}",
            f"mean over images: {self.normalize('images') or _CONSTANT}",
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file by name."""
        found = self.statistics
        return {
            "edges": found.edges,
            "counts": found.counts,
            "sd_edges": found.sd_edges,
            "sd_counts": found.sd_counts,
            "covariance": found.covariance,
            "correlation": found.correlation,
        }

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        found = self.statistics
        shares, axes = found.axes()
        return {
            "images": self.images.numbers(),
            "dataset": asdict(self.split) if self.split else None,
            "channels": self.names,
            "pixels": found.pixels,
            "sizes": asdict(self.sizes),
            "all_pixels": {"mean": found.mean, "sd": found.sd},
            "mean_over_images": {"mean": found.image_mean, "sd": found.image_sd},
            "sd_between_images": found.between,
            "min": found.low,
            "max": found.high,
            "covariance": found.covariance,
            "correlation": found.correlation,
            "principal_axes": {"variance_shares": shares, "axes": axes},
            "normalize": {"all_pixels": self.normalize(), "mean_over_images": self.normalize("images")},
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "StatsResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("stats"):
            numbers, arrays = saved.numbers, saved.arrays
            split = SplitUsed(**numbers["dataset"]) if numbers["dataset"] else None
            return cls(
                config=saved.configuration(StatsConfig),
                images=ImagesUsed.from_numbers(split.name if split else saved.source, numbers["images"]),
                split=split,
                names=tuple(numbers["channels"]),
                sizes=Sizes.from_numbers(numbers["sizes"]),
                statistics=ChannelStatistics(
                    images=numbers["images"]["read"],
                    pixels=numbers["pixels"],
                    mean=floats(numbers["all_pixels"]["mean"]),
                    covariance=arrays["covariance"],
                    image_mean=floats(numbers["mean_over_images"]["mean"]),
                    image_sd=floats(numbers["mean_over_images"]["sd"]),
                    between=floats(numbers["sd_between_images"]),
                    low=floats(numbers["min"]),
                    high=floats(numbers["max"]),
                    edges=arrays["edges"],
                    counts=arrays["counts"],
                    sd_edges=arrays["sd_edges"],
                    sd_counts=arrays["sd_counts"],
                ),
                device=saved.device,
            )


_CONSTANT = "none, since a channel is constant"


def plain_number(value: float, least: float = 0.01, digits: int = 6) -> str:
    """Return a number with four decimals, with some digits if it is below ``least``, or with six from a million on."""
    if value == 0 or least <= abs(value) < 1e6:
        return f"{value:.4f}"
    return f"{value:.{digits if abs(value) < least else 6}g}"


def _range(sides: tuple[int, int]) -> str:
    return str(sides[0]) if sides[0] == sides[1] else f"{sides[0]} to {sides[1]}"


def _tuple(values: NDArray[np.float64]) -> str:
    """Write numbers as a tuple of Python, with the four decimals that published ones have, or four digits of less."""
    texts = [plain_number(value) for value in values]
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"
