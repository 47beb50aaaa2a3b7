"""Configuration of ``ndtools train``: classification of images. Imports nothing heavy."""

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from ndtools.errors import OptionError
from ndtools.models.catalogue import CATALOGUE, Stem
from ndtools.runs.config import RunConfig
from ndtools.validation import check_positive

if TYPE_CHECKING:
    from ndtools.data.labelled.streamed import StreamedSet
    from ndtools.data.labelled.views import Crops
    from ndtools.training.tasks import Classification

__all__ = ["TrainConfig"]

_LARGE = 64  # pixels of a side from which networks have their form for ImageNet
_MARGIN = 8 / 7  # of the short side in evaluation over the side of the square that is cut out


@dataclass(frozen=True, repr=False)
class TrainConfig(RunConfig):
    """Configuration of a training run that classifies images.

    Further settings are those of :class:`ndtools.runs.config.RunConfig` and of
    :class:`ndtools.training.recipe.Recipe`.

    Attributes
    ----------
    size : int
        Side of the square that the network takes of images streamed from files, pixels. Networks for images of 64
        pixels and more have the stem of ImageNet. Sets in memory keep their size.
    resize : int, optional
        Length to which the short side of streamed images is scaled for evaluation, before a square is cut from their
        centre, pixels, at least ``size``. The default is 8/7 of ``size``, which is 256 for 224.
    """

    _: KW_ONLY
    size: int = 224
    resize: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "size", "resize")
        if self.resize is not None and self.resize < self.size:
            raise OptionError("resize", f"must be at least size, {self.size}, got {self.resize}")

    @property
    def stem(self) -> Stem:
        """Form of the network: that for ImageNet from 64 pixels on, if it has one."""
        return "imagenet" if self.size >= _LARGE and CATALOGUE[self.arch].imagenet is not None else "cifar"

    def find(self, folder: str) -> "StreamedSet":
        """Find class folders or tar shards in a folder."""
        from ndtools.data.labelled.streamed import load_streamed

        return load_streamed(folder)

    def view_of(self, found: "StreamedSet", size: tuple[int, int]) -> "Crops":  # noqa: ARG002 - as in all configurations
        """Return the squares that the network takes of images."""
        from ndtools.data.labelled.views import Crops

        return Crops(size=self.size, resize=self.resize or round(self.size * _MARGIN))

    def task_of(self, classes: int) -> "Classification":
        """Return loss and accuracies of the classification of images."""
        from ndtools.training.tasks import Classification

        return Classification(classes)
