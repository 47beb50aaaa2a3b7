"""Configuration of ``ndtools kernels``: its settings, with their defaults and limits. Imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from ndtools.data.images.layouts import MomentsSettings
from ndtools.errors import OptionError
from ndtools.validation import (
    Ridge,
    RootMethod,
    Space,
    check_bootstrap,
    check_choice,
    check_odd,
    check_positive,
    check_run,
    check_space,
    check_visual_angle,
    check_whitening,
)

__all__ = ["KernelsConfig"]


@dataclass(frozen=True, repr=False)
class KernelsConfig(MomentsSettings):
    """Configuration of the deconvolution kernels of an image set (Ye et al. 2020, fig. 2).

    Attributes
    ----------
    source : str
        Source of images; see :func:`ndtools.data.images.sources.resolve_source`. "sample" is the built-in set.
    kernel_size : int
        Side of the kernels in pixels, odd. 15 in fig. 2.
    images : int, optional
        Number of images to draw at random from the source; all by default. Fig. 2 says 128, its text 1,024.
    eps : float, "paper" or "auto"
        Ridge added to the covariance of [0, 1] pixels, at least 0. The paper does not give it for fig. 2: at "paper",
        the ridge of its networks (1e-5 of the mean variance), 15×15 kernels of photographs ring. "auto" chooses the
        ridge that gives held-out images the highest likelihood.
    relative_eps : bool
        Whether a number ``eps`` is in units of the mean variance of a pixel.
    method : {"eigh", "coupled", "vanilla"}
        Method of the inverse square root: exact ("eigh"), or coupled or vanilla Newton-Schulz.
    iterations : int
        Number of Newton-Schulz iterations; 15 in the paper's first layer (A.2).
    covariance : {"exact", "im2col"}
        Method of the covariance: of all patches by Fourier transforms ("exact"), or from a patch matrix ("im2col").
    stride : int
        Step between patch positions in pixels ("im2col" only).
    gray : bool
        Whether to reduce images to luma.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels: as files have it ("srgb"), light ("linear"), CIE XYZ, cone signals ("lms") or their
        logarithm; see :mod:`ndtools.numerics.colour`. With ``gray``, "srgb" or "linear".
    resize : int, optional
        Short side in pixels to which images are resized. By default they are not resized.
    fit : bool
        Whether to fit a difference of Gaussians to each channel's kernel, and to compute its radial profile and its
        frequency response.
    pixels_per_degree : float, optional
        Number of pixels in a degree of visual angle, for figures and measures in degrees and cycles per degree beside
        pixels. It counts the pixels of the images as they are used, after ``resize``. By default it is not known.
    bootstrap : int
        Number of replicates of a bootstrap over images, for the standard error of each weight; 0 for no errors.
    from_moments : tuple of str
        Files of moments, as ``ndtools kernels`` saves them, to add up in place of images. Kernel size and channels are
        then those of the files.
    spectrum : bool
        Whether to draw the eigenvalues of the covariance, beside the ridge and the noise of the files.
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
        Device that computes; "auto" is CUDA where there is a device.
    """

    hints: ClassVar[Mapping[str, str]] = {
        "source": "one text names several images as a glob, or as '@FILE' with a path in each line, and"
        " nd.fit_deconvolution takes images as arrays"
    }
    source: str = "sample"
    _: KW_ONLY
    kernel_size: int = 15
    images: int | None = None
    eps: Ridge = 1e-3
    relative_eps: bool = False
    method: RootMethod = "eigh"
    iterations: int = 15
    covariance: Literal["exact", "im2col"] = "exact"
    stride: int = 1
    gray: bool = False
    space: Space = "srgb"
    resize: int | None = None
    fit: bool = False
    pixels_per_degree: float | None = None
    bootstrap: int = 0
    from_moments: tuple[str, ...] = ()
    spectrum: bool = False
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
        check_positive(self, "images", "stride", "resize")
        check_whitening(self)
        check_bootstrap(self.bootstrap)
        if self.pixels_per_degree is not None:
            check_visual_angle(self.pixels_per_degree)
        check_choice("covariance", self.covariance, ("exact", "im2col"))
        if self.stride != 1 and self.covariance == "exact":
            raise OptionError("stride", 'needs `covariance="im2col"`: the exact covariance takes every position')
