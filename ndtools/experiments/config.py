"""What each experiment can be told: frozen configurations, checked, with the paper's values as defaults.

This module imports nothing heavy, so a command can refuse its options at once. The name of a field is that
of the command line's option.
"""

import math
from dataclasses import dataclass

from ndtools.errors import OptionError

__all__ = ["KernelsConfig"]


@dataclass(frozen=True, kw_only=True)
class KernelsConfig:
    """Configuration of the deconvolution kernels of an image set (Ye et al. 2020, fig. 2).

    Attributes
    ----------
    source : str
        Images: see :func:`ndtools.data.sources.resolve_source`. "sample" is the built-in set.
    kernel_size : int
        Side of the kernels in pixels, odd. 15 in fig. 2.
    images : int, optional
        Number of images to draw at random from the source; all by default. Fig. 2 says 128, its text 1,024.
    eps : float
        Ridge added to the covariance of [0, 1] pixels, at least 0. The paper does not give it for fig. 2.
    relative_eps : bool
        Whether ``eps`` is in units of the mean variance of a pixel.
    method : {"eigh", "coupled", "vanilla"}
        Inverse square root: exact, or by Newton-Schulz.
    iterations : int
        Of Newton-Schulz. 15 in the paper's first layer (A.2).
    covariance : {"exact", "im2col"}
        All patch positions at the cost of a Fourier transform, or the patch matrix.
    stride : int
        Step between patch positions in pixels ("im2col" only).
    gray : bool
        Whether to reduce images to luma.
    resize : int, optional
        Short side in pixels to which images are resized; as they are by default.
    seed : int
        Of the draw of ``images``.
    jobs : int, optional
        Threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    """

    source: str = "sample"
    kernel_size: int = 15
    images: int | None = None
    eps: float = 1e-3
    relative_eps: bool = False
    method: str = "eigh"
    iterations: int = 15
    covariance: str = "exact"
    stride: int = 1
    gray: bool = False
    resize: int | None = None
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise OptionError(
                "kernel_size",
                f"must be odd and positive, so that there is a centre pixel, got {self.kernel_size}",
            )
        for name in ("images", "iterations", "stride", "resize", "jobs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(name, f"must be at least 1, got {value}")
        if not (self.eps >= 0 and math.isfinite(self.eps)):
            raise OptionError("eps", f"must be at least 0 and finite, got {self.eps}")
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise OptionError(name, f"must be one of {', '.join(allowed)}, got {value!r}")
        if self.stride != 1 and self.covariance == "exact":
            raise OptionError("stride", "needs --covariance im2col: the exact covariance takes every position")


_CHOICES = {
    "method": ("eigh", "coupled", "vanilla"),
    "covariance": ("exact", "im2col"),
    "device": ("auto", "cpu", "cuda", "mps"),
}
