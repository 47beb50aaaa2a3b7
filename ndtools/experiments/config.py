"""What each experiment can be told: frozen configurations, checked, with the paper's values as defaults.

This module imports nothing heavy, so a command can refuse its options at once. The name of a field is that
of the command line's option.
"""

import math
from dataclasses import dataclass
from typing import Literal

from ndtools.errors import OptionError

__all__ = [
    "ALGORITHMS",
    "DTYPES",
    "CovarianceConfig",
    "DeconvolveConfig",
    "KernelsConfig",
    "NsStabilityConfig",
    "SparsityConfig",
]


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
    fit : bool
        Whether to measure each channel's kernel as a cell: difference of Gaussians, profile, frequency response.
    bootstrap : int
        Replicates of a bootstrap over images, for the standard error of each weight; 0 for none.
    from_moments : tuple of str
        Files of ``--save-moments`` to add up in place of images; kernel size and channels are then theirs.
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
    fit: bool = False
    bootstrap: int = 0
    from_moments: tuple[str, ...] = ()
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_odd(self.kernel_size)
        _check_positive(self, "images", "iterations", "stride", "resize", "jobs")
        _check_eps(self.eps)
        if self.bootstrap < 0 or self.bootstrap == 1:
            raise OptionError("bootstrap", f"must be 0 or at least 2, got {self.bootstrap}")
        _check_choice("method", self.method, METHODS)
        _check_choice("covariance", self.covariance, ("exact", "im2col"))
        _check_choice("device", self.device, DEVICES)
        if self.stride != 1 and self.covariance == "exact":
            raise OptionError("stride", "needs --covariance im2col: the exact covariance takes every position")


ALGORITHMS = ("coupled", "vanilla", "chebyshev", "denman-beavers")
DTYPES = ("bfloat16", "float16", "float32", "float64")


@dataclass(frozen=True, kw_only=True)
class NsStabilityConfig:
    """Configuration of the study of Newton-Schulz' stability (Ye et al. 2020, fig. 6; fig. 7 of the first version).

    Attributes
    ----------
    source : str
        Images (see :func:`ndtools.data.sources.resolve_source`), of whose patches the covariance is taken; or a
        .npy or .npz file with a square symmetric matrix, in the latter under "covariance". The paper has Lenna;
        "sample-photo" is a free photograph.
    kernel_size : int
        Side of the patches in pixels. 3 in the paper, which makes 27 features of colour images.
    iterations : int
        How many to follow.
    eps : float
        Ridge added to the covariance (of [0, 1] pixels, or to the given matrix), at least 0.
    dtype : tuple of str
        Of :data:`DTYPES`: in which to iterate.
    norm : {"fro", "trace"}
        What A is divided by at first: Frobenius norm (the paper's) or trace.
    sweep : bool
        Whether to run all algorithms, precisions and norms over condition numbers, too.
    seed : int
        Of the random eigenvectors of ``sweep``.
    jobs : int, optional
        Threads that read images; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    """

    source: str = "sample-photo"
    kernel_size: int = 3
    iterations: int = 50
    eps: float = 1e-5
    dtype: tuple[str, ...] = ("float32", "float64")
    norm: Literal["fro", "trace"] = "fro"
    sweep: bool = False
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_positive(self, "kernel_size", "iterations", "jobs")
        _check_eps(self.eps)
        _check_choice("norm", self.norm, ("fro", "trace"))
        _check_choice("device", self.device, DEVICES)
        if not self.dtype or len(set(self.dtype)) < len(self.dtype):
            raise OptionError("dtype", f"must name one or more precisions, each once, got {', '.join(self.dtype)!r}")
        for name in self.dtype:
            _check_choice("dtype", name, DTYPES)


@dataclass(frozen=True, kw_only=True)
class SparsityConfig:
    """Configuration of the sparsity of images before and after deconvolution (Ye et al. 2020, fig. 9; later fig. 10).

    Attributes
    ----------
    source : str
        Images: see :func:`ndtools.data.sources.resolve_source`.
    kernel_size : int
        Side of the patches in pixels, odd.
    images : int
        Number of images to draw at random from the source, which may have fewer. The paper has 1,000.
    eps : float
        Ridge added to the covariance of [0, 1] pixels, at least 0.
    bins : int
        Of the histograms.
    whitening : {"patch", "channel", "none"}
        D of the patches (deconvolution), of the channels of single pixels, or the identity.
    bootstrap : int
        Replicates of the bootstrap over images; 0 for no intervals.
    seed : int
        Of the draw of images and of the bootstrap.
    jobs : int, optional
        Threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute the covariance.
    """

    source: str = "sample"
    kernel_size: int = 3
    images: int = 1000
    eps: float = 1e-3
    bins: int = 201
    whitening: Literal["patch", "channel", "none"] = "patch"
    bootstrap: int = 200
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_odd(self.kernel_size)
        _check_positive(self, "images", "bins", "jobs")
        _check_eps(self.eps)
        _check_choice("whitening", self.whitening, ("patch", "channel", "none"))
        _check_choice("device", self.device, DEVICES)
        if self.bootstrap < 0:
            raise OptionError("bootstrap", f"must be at least 0, got {self.bootstrap}")


@dataclass(frozen=True, kw_only=True)
class CovarianceConfig:
    """Configuration of the covariance of patches before and after deconvolution (Ye et al. 2020, fig. 3).

    Attributes
    ----------
    source : str
        Images: see :func:`ndtools.data.sources.resolve_source`.
    kernel_size : int
        Side of the patches in pixels.
    eps : float
        Ridge added to the covariance of [0, 1] pixels, at least 0.
    method : {"eigh", "coupled", "vanilla"}
        Inverse square root: exact, or by Newton-Schulz.
    iterations : int
        Of Newton-Schulz.
    seed : int
        Nothing here is random; recorded with the result.
    jobs : int, optional
        Threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    """

    source: str = "sample"
    kernel_size: int = 3
    eps: float = 1e-3
    method: str = "eigh"
    iterations: int = 15
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_positive(self, "kernel_size", "iterations", "jobs")
        _check_eps(self.eps)
        _check_choice("method", self.method, METHODS)
        _check_choice("device", self.device, DEVICES)


@dataclass(frozen=True, kw_only=True)
class DeconvolveConfig:
    """Configuration of the deconvolution of one image (Ye et al. 2020, fig. 4).

    Attributes
    ----------
    source : str
        One image: see :func:`ndtools.data.sources.resolve_source`.
    from_file : str, optional
        A .npz file of ``ndtools kernels``, whose kernels and mean are applied. By default they come from the image
        itself, and the four settings below say how.
    kernel_size : int
        Side of the patches in pixels, odd.
    eps : float
        Ridge added to the covariance of [0, 1] pixels, at least 0.
    method : {"eigh", "coupled", "vanilla"}
        Inverse square root: exact, or by Newton-Schulz.
    iterations : int
        Of Newton-Schulz.
    border : {"valid", "reflect"}
        Only where a whole patch lies in the image, which loses k // 2 pixels on every side; or everywhere, the image
        continued by its mirror image.
    seed : int
        Nothing here is random; recorded with the result.
    jobs : int, optional
        Threads; one for each processor by default.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute the covariance.
    """

    source: str = "sample-photo"
    from_file: str | None = None
    kernel_size: int = 3
    eps: float = 1e-3
    method: str = "eigh"
    iterations: int = 15
    border: Literal["valid", "reflect"] = "valid"
    seed: int = 0
    jobs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_odd(self.kernel_size)
        _check_positive(self, "iterations", "jobs")
        _check_eps(self.eps)
        _check_choice("method", self.method, METHODS)
        _check_choice("border", self.border, ("valid", "reflect"))
        _check_choice("device", self.device, DEVICES)


METHODS = ("eigh", "coupled", "vanilla")
DEVICES = ("auto", "cpu", "cuda", "mps")


def _check_odd(kernel_size: int) -> None:
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise OptionError(
            "kernel_size", f"must be odd and positive, so that there is a centre pixel, got {kernel_size}"
        )


def _check_positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None and value < 1:
            raise OptionError(name, f"must be at least 1, got {value}")


def _check_eps(eps: float) -> None:
    if not (eps >= 0 and math.isfinite(eps)):
        raise OptionError("eps", f"must be at least 0 and finite, got {eps}")


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise OptionError(name, f"must be one of {', '.join(allowed)}, got {value!r}")
