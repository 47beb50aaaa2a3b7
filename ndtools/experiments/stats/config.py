"""Configuration of ``ndtools stats``: its settings, with their defaults and limits. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from ndtools.validation import (
    Configuration,
    Space,
    check_choice,
    check_positive,
    check_run,
    check_space,
)

__all__ = ["SPLITS", "StatsConfig"]

SPLITS = ("train", "test", "all")


@dataclass(frozen=True, repr=False)
class StatsConfig(Configuration):
    """Configuration of the statistics of the channels of images, of a folder or of a data set with labels.

    Attributes
    ----------
    source : str
        Source of images, see :func:`ndtools.data.images.sources.resolve_source`; or name or folder of a data set with
        labels, see :func:`ndtools.data.labelled.datasets.load_dataset`. "sample" is built in.
    data_dir : str, optional
        Folder in which a data set is looked for first by its name.
    split : {"train", "test", "all"}
        Images of a data set that are used: training images, test images or both. Other sources have no such parts.
    images : int, optional
        Number of images to draw at random; all by default.
    gray : bool
        Whether to reduce images to luma: one channel in place of three. Default False.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels: as files have it ("srgb"), light ("linear"), CIE XYZ, cone signals ("lms") or their
        logarithm; see :mod:`ndtools.numerics.colour`. With ``gray``, "srgb" or "linear".
    resize : int, optional
        Short side in pixels to which images are resized. By default they are not resized.
    seed : int
        Seed of the random draw of ``images``.
    jobs : int, optional
        Number of threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that is recorded with the result. It has no effect: the processor adds up the pixels.
    """

    hints: ClassVar[Mapping[str, str]] = {
        "source": "one text names several images as a glob, or as '@FILE' with a path in each line"
    }
    source: str = "sample"
    _: KW_ONLY
    data_dir: str | None = None
    split: Literal["train", "test", "all"] = "train"
    images: int | None = None
    gray: bool = False
    space: Space = "srgb"
    resize: int | None = None
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_run(self)
        check_space(self)
        check_choice("split", self.split, SPLITS)
        check_positive(self, "images", "resize")
