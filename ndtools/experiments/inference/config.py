"""Configuration of ``ndtools inference``: its settings, with their defaults and limits. Imports nothing heavy."""

from dataclasses import KW_ONLY, dataclass

from ndtools.errors import OptionError
from ndtools.models.catalogue import NAMES
from ndtools.models.norms import NORMS
from ndtools.validation import Configuration, check_choice, check_positive, check_run

__all__ = ["InferenceConfig"]


@dataclass(frozen=True, repr=False)
class InferenceConfig(Configuration):
    """Configuration of the times of whole networks at testing time (Ye et al. 2020, sec. 4.5.1).

    Attributes
    ----------
    archs : tuple of str
        Names of the networks, of :data:`ndtools.models.NAMES`. One may be given alone, and becomes a tuple.
    norm : str
        Arm with deconvolution that is timed, and folded; one of :data:`ndtools.models.NORMS`. Default "deconv".
    batch_size : int
        Number of images in a batch. 1 is what a camera gives.
    size : int
        Height and width of the images in pixels.
    repeats : int
        Number of measurements whose median is taken, after two that are discarded.
    seed : int
        Seed of the random images and weights.
    jobs : int, optional
        Number of threads of torch's operators. The default is torch's own.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes; "auto" is CUDA where there is a device.
    """

    archs: tuple[str, ...] | str = ("vgg16", "resnet18")  # a tuple once it is set
    _: KW_ONLY
    norm: str = "deconv"
    batch_size: int = 16
    size: int = 32
    repeats: int = 5
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_run(self)
        archs = (self.archs,) if isinstance(self.archs, str) else tuple(self.archs)
        object.__setattr__(self, "archs", archs)
        if not archs or len(set(archs)) < len(archs):
            raise OptionError("archs", "must name one network or more, each once")
        for arch in archs:
            check_choice("archs", arch, NAMES)
        check_choice("norm", self.norm, tuple(name for name, arm in NORMS.items() if arm.deconvolves))
        check_positive(self, "batch_size", "size", "repeats")
