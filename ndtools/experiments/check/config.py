"""Configuration of ``ndtools check``: its settings, with their defaults and limits. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from ndtools.errors import OptionError
from ndtools.validation import Configuration, check_choice, check_count, check_eps, check_odd, check_run

__all__ = ["NAMES", "CheckConfig"]

NAMES = ("prop1", "prop2", "prop3", "equivalence", "batch-norm", "natural-gradient")
"""Names of all checks, in the order in which they run."""

LARGEST_KERNEL = 15  # pixels, as in fig. 2: the checks of larger patches take minutes, and show nothing else
LEAST_EPS = 1e-18  # that of the layers


@dataclass(frozen=True, repr=False)
class CheckConfig(Configuration):
    """Configuration of the checks of the paper's propositions.

    Attributes
    ----------
    names : tuple of str
        Checks to run, each one of "prop1", "prop2", "prop3", "equivalence", "batch-norm" and "natural-gradient".
        Default: all.
    source : str
        Source of the images whose patches are used; see :func:`ndtools.data.images.sources.resolve_source`.
    kernel_size : int
        Side of the patches in pixels, odd, at most 15. "prop3" and "natural-gradient" take at most 3×3 pixels.
    images : int
        Number of images to draw at random from the source; all if there are fewer.
    gray : bool
        Whether to reduce images to luma: one channel in place of three. Default False.
    eps : float
        Ridge added to the covariance of [0, 1] pixels where a check has one, at least 1e-18.
    dtype : {"float64", "float32"}
        Precision of the arithmetic that is checked. What it is compared with is computed in float64.
    seed : int
        Seed of the positions of the patches, and of all weights and responses.
    jobs : int, optional
        Number of threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes; "auto" is CUDA where there is a device.
    """

    hints: ClassVar[Mapping[str, str]] = {"names": 'write one check as ("prop1",)'}
    names: tuple[str, ...] = NAMES
    _: KW_ONLY
    source: str = "sample-photo"
    kernel_size: int = 3
    images: int = 25
    gray: bool = False
    eps: float = 1e-4
    dtype: Literal["float64", "float32"] = "float64"
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_run(self)
        for name in self.names:
            check_choice("names", name, NAMES)
        if not self.names or len(set(self.names)) < len(self.names):
            raise OptionError("names", f"must name one or more checks, each once, got {', '.join(self.names)!r}")
        check_odd(self.kernel_size)
        if self.kernel_size > LARGEST_KERNEL:
            raise OptionError("kernel_size", f"must be at most {LARGEST_KERNEL}, got {self.kernel_size}")
        check_count("images", self.images)
        check_eps(self.eps)
        if self.eps < LEAST_EPS:
            raise OptionError("eps", f"must be at least {LEAST_EPS:g}, the smallest ridge of a layer, got {self.eps:g}")
        check_choice("dtype", self.dtype, ("float64", "float32"))
