"""Configuration of ``ndtools sparsity``: its settings, with their defaults and limits. Imports nothing heavy."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from ndtools.errors import OptionError
from ndtools.validation import (
    Configuration,
    Ridge,
    Space,
    check_bootstrap,
    check_choice,
    check_count,
    check_odd,
    check_positive,
    check_ridge,
    check_run,
    check_space,
)

__all__ = ["SparsityConfig"]


@dataclass(frozen=True, repr=False)
class SparsityConfig(Configuration):
    """Configuration of the sparsity of images before and after deconvolution (Ye et al. 2020, fig. 10; once fig. 9).

    Attributes
    ----------
    source : str
        Source of images; see :func:`ndtools.data.images.sources.resolve_source`.
    kernel_size : int
        Side of the patches in pixels, odd.
    images : int
        Number of images to draw at random from the source, which may have fewer. The paper has 1,000.
    eps : float, "paper" or "auto"
        Ridge added to the covariance of [0, 1] pixels, at least 0. "paper" is that of the paper, 1e-5 of the mean
        variance of a pixel; "auto" chooses the ridge that gives held-out images the highest likelihood.
    relative_eps : bool
        Whether a number ``eps`` is in units of the mean variance of a pixel.
    gray : bool
        Whether to reduce images to luma: one channel in place of three. Default False.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels: as files have it ("srgb"), light ("linear"), CIE XYZ, cone signals ("lms") or their
        logarithm; see :mod:`ndtools.numerics.colour`. With ``gray``, "srgb" or "linear".
    bins : int
        Number of bins of the histograms, from -10 to 10 standard deviations; at least 10.
    whitening : {"patch", "channel", "none"}
        Features that D decorrelates: those of a patch (deconvolution), the channels of a single pixel, or none (D is
        the identity).
    bootstrap : int
        Number of groups of images for the intervals, at least 2. Each group is left out once. 0 for no intervals.
    from_moments : tuple of str
        Files of moments, as ``ndtools kernels`` saves them, from which D and μ are computed. They are applied to the
        images of ``source``, which need not be those of the moments. Kernel size and channels are then those of the
        files, and σ of each distribution is the root mean square of its values.
    seed : int
        Seed of the random draw of the images, and of their assignment to groups.
    jobs : int, optional
        Number of threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes the covariance; "auto" is CUDA where there is a device.
    """

    source: str = "sample"
    _: KW_ONLY
    kernel_size: int = 3
    images: int = 1000
    eps: Ridge = "paper"
    relative_eps: bool = False
    gray: bool = False
    space: Space = "srgb"
    bins: int = 201
    whitening: Literal["patch", "channel", "none"] = "patch"
    bootstrap: int = 200
    from_moments: tuple[str, ...] = ()
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_run(self)
        check_space(self)
        check_odd(self.kernel_size)
        check_positive(self, "images")
        if self.bins < 10:
            raise OptionError("bins", f"must be at least 10, two standard deviations wide, got {self.bins}")
        check_count("bins", self.bins)
        check_ridge(self.eps)
        check_choice("whitening", self.whitening, ("patch", "channel", "none"))
        check_bootstrap(self.bootstrap)
        if self.from_moments and self.whitening == "none":
            raise OptionError("from_moments", "has no meaning without whitening: moments give D")
