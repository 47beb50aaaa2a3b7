"""Configuration of ``ndtools covariance``: its settings, with their defaults and limits. Imports nothing heavy."""

from dataclasses import KW_ONLY, dataclass

from ndtools.data.images.layouts import MomentsSettings
from ndtools.validation import (
    Ridge,
    RootMethod,
    Space,
    check_positive,
    check_run,
    check_space,
    check_whitening,
)

__all__ = ["CovarianceConfig"]


@dataclass(frozen=True, repr=False)
class CovarianceConfig(MomentsSettings):
    """Configuration of the covariance of patches before and after deconvolution (Ye et al. 2020, fig. 3).

    Attributes
    ----------
    source : str
        Source of images; see :func:`ndtools.data.images.sources.resolve_source`.
    kernel_size : int
        Side of the patches in pixels.
    images : int, optional
        Number of images to draw at random from the source; all by default.
    eps : float, "paper" or "auto"
        Ridge added to the covariance of [0, 1] pixels, at least 0. "paper" is that of the paper, 1e-5 of the mean
        variance of a pixel; "auto" chooses the ridge that gives held-out images the highest likelihood.
    relative_eps : bool
        Whether a number ``eps`` is in units of the mean variance of a pixel.
    gray : bool
        Whether to reduce images to luma: one channel in place of three. Default False.
    resize : int, optional
        Short side in pixels to which images are resized. By default they are not resized.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels: as files have it ("srgb"), light ("linear"), CIE XYZ, cone signals ("lms") or their
        logarithm; see :mod:`ndtools.numerics.colour`. With ``gray``, "srgb" or "linear".
    method : {"eigh", "coupled", "vanilla"}
        Method of the inverse square root: exact ("eigh"), or coupled or vanilla Newton-Schulz.
    iterations : int
        Number of Newton-Schulz iterations.
    from_moments : tuple of str
        Files of moments, as ``ndtools covariance`` and ``ndtools kernels`` save them, to add up in place of images. The
        size of the patches and the channels are then those of the files.
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

    source: str = "sample"
    _: KW_ONLY
    kernel_size: int = 3
    images: int | None = None
    eps: Ridge = 1e-3
    relative_eps: bool = False
    gray: bool = False
    resize: int | None = None
    space: Space = "srgb"
    method: RootMethod = "eigh"
    iterations: int = 15
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
        check_positive(self, "kernel_size", "images", "resize")
        check_whitening(self)
