"""Configuration of ``ndtools train``: classification of images. Imports nothing heavy."""

from dataclasses import KW_ONLY, dataclass

from ndtools.errors import OptionError
from ndtools.runs.config import RunConfig
from ndtools.validation import check_positive

__all__ = ["TrainConfig"]


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
