"""Configuration of ``ndtools features``: its settings, with their defaults and limits. Imports nothing heavy."""

import math
from dataclasses import KW_ONLY, dataclass

from ndtools.errors import OptionError
from ndtools.models.catalogue import CATALOGUE, EARLIER_NAMES
from ndtools.models.norms import NORMS
from ndtools.validation import Configuration, check_choice, check_count, check_run

__all__ = ["FeaturesConfig"]


@dataclass(frozen=True, repr=False)
class FeaturesConfig(Configuration):
    """Configuration of the input features of a layer and their deconvolution (Ye et al. 2020, fig. 11; once fig. 10).

    Attributes
    ----------
    checkpoint : str, optional
        File of the network. By default the network is new: its weights are random, and its features are of little
        meaning.
    source : str
        Source of one image; see :func:`ndtools.data.images.sources.resolve_source`.
    layer : int or str, optional
        Layer whose input is shown: the number of a convolution, from 1, in the order in which the network lists them,
        or the name of one. The default is the fifth, as in the paper, or the last of fewer.
    channels : int
        Number of channels that are shown, from the first; all if there are fewer.
    size : int
        Short side in pixels to which the image is resized.
    mean, std : tuple of float, optional
        Mean and standard deviation of the pixels of each channel that the network was trained with, of pixels in
        [0, 1]. By default those that the training run recorded in whose folder the checkpoint lies, or else those of
        the image.
    arch : str, optional
        Name of the network, one of :data:`ndtools.models.NAMES`. By default the checkpoint says it, and a new network
        is "vgg11".
    norm : str, optional
        Arm of the comparison that a new network is in, one of :data:`ndtools.models.NORMS`. Default "deconv".
    seed : int
        Seed of the weights of a new network.
    jobs : int, optional
        Number of threads of torch's operators. The default is torch's own.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes; "auto" is CUDA where there is a device.
    """

    checkpoint: str | None = None
    source: str = "sample-photo"
    _: KW_ONLY
    layer: int | str | None = None
    channels: int = 16
    size: int = 224
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    arch: str | None = None
    norm: str | None = None
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_run(self)
        if isinstance(self.layer, int):
            check_count("layer", self.layer)
        check_count("channels", self.channels, 1024)
        check_count("size", self.size, 4096)
        if self.arch is not None:
            check_choice("arch", self.arch, (*CATALOGUE, *EARLIER_NAMES))
        if self.norm is not None:
            check_choice("norm", self.norm, tuple(NORMS))
            if self.checkpoint is not None:
                raise OptionError("norm", "cannot be combined with a checkpoint, which says what normalises its layers")
        if (self.mean is None) != (self.std is None):
            name = "std" if self.std is None else "mean"
            raise OptionError(name, "must be given, too: `mean` and `std` belong together")
        for name in ("mean", "std"):
            values = getattr(self, name)
            if values is not None and not all(math.isfinite(value) for value in values):
                raise OptionError(name, f"must be finite, got {values}")
        if self.std is not None and min(self.std) <= 0:
            raise OptionError("std", f"must be above 0, got {min(self.std)}")
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise OptionError("std", f"must have as many values as mean, {len(self.mean)}, got {len(self.std)}")
