"""Configuration of ``ndtools deconvolve``: its settings, with their defaults and limits. Imports nothing heavy."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from ndtools.data.images.layouts import ArrayRidgeSettings
from ndtools.validation import (
    Ridge,
    RootMethod,
    Space,
    check_choice,
    check_odd,
    check_positive,
    check_run,
    check_space,
    check_whitening,
)

__all__ = ["DeconvolveConfig"]


@dataclass(frozen=True, repr=False)
class DeconvolveConfig(ArrayRidgeSettings):
    """Configuration of the deconvolution of one image (Ye et al. 2020, fig. 4), or of a set of images.

    Attributes
    ----------
    source : str
        Source of one image, or of the images of a set; see :func:`ndtools.data.images.sources.resolve_source`.
    from_file : str, optional
        A .npz file of ``ndtools kernels`` whose kernels and mean are applied. By default kernels and mean are computed
        from the images themselves, with the five settings below.
    kernel_size : int
        Side of the patches in pixels, odd.
    eps : float, "paper" or "auto"
        Ridge added to the covariance of [0, 1] pixels, at least 0. "paper" is that of the paper, 1e-5 of the mean
        variance of a pixel; "auto" chooses the ridge with which each half of the images (of one image, of alternate
        bands of its rows) gives the other the highest likelihood.
    relative_eps : bool
        Whether a number ``eps`` is in units of the mean variance of a pixel.
    method : {"eigh", "coupled", "vanilla"}
        Method of the inverse square root: exact ("eigh"), or coupled or vanilla Newton-Schulz.
    iterations : int
        Number of Newton-Schulz iterations.
    gray : bool
        Whether to reduce images to luma: one channel in place of three. Default False.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels: as files have it ("srgb"), light ("linear"), CIE XYZ, cone signals ("lms") or their
        logarithm; see :mod:`ndtools.numerics.colour`. With ``gray``, "srgb" or "linear".
    border : {"valid", "reflect"}
        Pixels of the output: those with a whole patch in the image, without k // 2 pixels on every side ("valid"); or
        all pixels, with the image mirrored at its border ("reflect").
    images : int, optional
        Number of images to draw at random from the source; all by default.
    keep_scale : bool
        Whether each deconvolved channel is given the mean and the standard deviation that the channel has in the
        images: a decorrelation stretch. Default False.
    key : str, optional
        Name of the array in a .npz or .mat file. By default the file holds one array of images.
    axes : str, optional
        Order of the axes of arrays, of the letters N (images), C (channels), H (rows) and W (columns), as in "HWC".
    raw : str, optional
        Sizes of the axes and type of the numbers of files without a header, as in "1024x1536:>u2".
    channels : tuple of str
        Names of the channels of arrays; "gray", "R", "G", "B", or numbers by default.
    absolute_eps : bool
        Whether a number ``eps`` is in squared units of the values of arrays that are taken as they are. By default it
        is in units of their mean variance.
    seed : int
        Seed of the random draw of ``images``.
    jobs : int, optional
        Number of threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Device that computes the covariance; "auto" is CUDA where there is a device.
    """

    source: str = "sample-photo"
    _: KW_ONLY
    from_file: str | None = None
    kernel_size: int = 3
    eps: Ridge = "paper"
    relative_eps: bool = False
    method: RootMethod = "eigh"
    iterations: int = 15
    gray: bool = False
    space: Space = "srgb"
    border: Literal["valid", "reflect"] = "valid"
    keep_scale: bool = False
    images: int | None = None
    key: str | None = None
    axes: str | None = None
    raw: str | None = None
    channels: tuple[str, ...] = ()
    absolute_eps: bool = False
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        check_run(self)
        self.check_arrays()
        check_space(self)
        check_odd(self.kernel_size)
        check_positive(self, "images")
        check_whitening(self)
        check_choice("border", self.border, ("valid", "reflect"))
