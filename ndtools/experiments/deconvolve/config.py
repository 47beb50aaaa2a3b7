"""What ``ndtools deconvolve`` can be told, with the paper's values as defaults. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal

from ndtools.validation import (
    DEVICES,
    METHODS,
    MOST_NEWTON_SCHULZ,
    check_choice,
    check_count,
    check_eps,
    check_odd,
    check_positive,
)

__all__ = ["DeconvolveConfig"]


@dataclass(frozen=True, kw_only=True)
class DeconvolveConfig:
    """Configuration of the deconvolution of one image (Ye et al. 2020, fig. 4).

    Attributes
    ----------
    source : str
        One image: see :func:`ndtools.data.images.sources.resolve_source`.
    from_file : str, optional
        A .npz file of ``ndtools kernels``, whose kernels and mean are applied. By default they come from the image
        itself, and the five settings below say how.
    kernel_size : int
        Side of the patches in pixels, odd.
    eps : float
        Ridge added to the covariance of [0, 1] pixels, at least 0.
    relative_eps : bool
        Whether ``eps`` is in units of the mean variance of a pixel.
    method : {"eigh", "coupled", "vanilla"}
        Inverse square root: exact, or by Newton-Schulz.
    iterations : int
        Number of Newton-Schulz iterations.
    gray : bool
        Whether to reduce images to luma: one channel in place of three. Default False.
    border : {"valid", "reflect"}
        Only where a whole patch lies in the image, which loses k // 2 pixels on every side; or everywhere, the image
        continued by its mirror image.
    seed : int
        Nothing here is random; recorded with the result.
    jobs : int, optional
        Threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes the covariance; "auto" is CUDA where there is a device.
    """

    source: str = "sample-photo"
    from_file: str | None = None
    kernel_size: int = 3
    eps: float = 1e-3
    relative_eps: bool = False
    method: Literal["eigh", "coupled", "vanilla"] = "eigh"
    iterations: int = 15
    gray: bool = False
    border: Literal["valid", "reflect"] = "valid"
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_odd(self.kernel_size)
        check_positive(self, "jobs")
        check_count("iterations", self.iterations, MOST_NEWTON_SCHULZ)
        check_eps(self.eps)
        check_choice("method", self.method, METHODS)
        check_choice("border", self.border, ("valid", "reflect"))
        check_choice("device", self.device, DEVICES)
