"""One image and its deconvolution (Ye et al. 2020, fig. 4)."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, pad

from ndtools.computing.operators import resolve_device
from ndtools.console.short_form import short_form
from ndtools.data.images.reading import Decoded, load_images
from ndtools.data.images.single import load_single
from ndtools.data.images.sources import resolve_source
from ndtools.errors import DataError, MatrixError, NumericalError, OptionError
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.experiments.deconvolve.result import DeconvolveResult, centred
from ndtools.moments.files import read_written
from ndtools.moments.grey import warn_if_grey
from ndtools.moments.images import too_small
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.inverse_sqrt import method_from_name
from ndtools.numerics.patch_covariance import PatchCovariance
from ndtools.numerics.pixels import white
from ndtools.numerics.sparsity import REACH, ROUNDING, Density, Distribution, SparsitySums

__all__ = ["deconvolve", "run"]

# Bytes for each pixel that the command takes, its figure included. Measured as the peak of the process at 4, 8 and
# 16 Mpixel: 179 more for each pixel of three channels, with patches of 3×3 and of 15×15; and 75 to 89 of one channel.
WORKING = 185
WORKING_GRAY = 90


def run(config: DeconvolveConfig) -> DeconvolveResult:
    """Deconvolve an image.

    Parameters
    ----------
    config : DeconvolveConfig
        Configuration of the run.

    Returns
    -------
    DeconvolveResult
        On the CPU.

    Raises
    ------
    DataError
        If the source is not one image that can be read, or it is smaller than the patch, or the file of kernels
        holds none.
    NumericalError
        If the output overflows.
    OptionError
        If ``gray`` is set and the kernels from a file are those of colour images.

    Warns
    -----
    NumericalWarning
        If a colour image is grey, or has several frames.
    """
    DeconvolveConfig.check_type(config)
    device = resolve_device(config.device)
    fit = None
    if config.from_file is None:
        image = _image(config, gray=config.gray)
        fit = _fit(image, config, device)
        kernels, mean = fit.kernels(), fit.mean
    else:
        kernels, mean = _kernels_from(config.from_file)
        if config.gray and len(kernels) == 3:
            raise OptionError(
                "gray", f"cannot be combined with {config.from_file}, which holds kernels of colour images"
            )
        image = _image(config, gray=len(kernels) == 1)
    k = kernels.shape[-1]
    if reason := too_small(image, (k, k)):
        raise DataError(f"{image.name}: {reason}")
    pixels = torch.from_numpy(np.divide(image.pixels, white(image.pixels), dtype=np.float32))
    bias = -(kernels.flatten(1) @ mean)
    half = k // 2
    whole = pad(pixels[None], (half,) * 4, mode="reflect") if config.border == "reflect" and half else pixels[None]
    deconvolved = conv2d(whole, kernels.float(), bias.float())[0].numpy()
    if not np.isfinite(deconvolved).all():
        raise NumericalError(f"{image.name}: the deconvolved image overflows; the kernels are too large")
    largest = float(pixels.abs().max())
    return DeconvolveResult(
        config=config,
        source=image.name,
        image=image.pixels,
        mean=mean.numpy(),
        deconvolved=deconvolved,
        kernels=kernels.numpy(),
        fit=fit,
        before=_distribution(centred(pixels.numpy(), mean.numpy(), k, config.border), largest),
        after=_distribution(deconvolved, largest * float(kernels.abs().sum((1, 2, 3)).max())),
        device=str(device),
        reduced_to_luma=len(kernels) == 1 and not config.gray and _has_colour(config),
    )


deconvolve = short_form(DeconvolveConfig, run)


def _image(config: DeconvolveConfig, *, gray: bool) -> Decoded:
    return load_single(config.source, gray=gray, working=WORKING_GRAY if gray else WORKING)


def _has_colour(config: DeconvolveConfig) -> bool:
    images = load_images(resolve_source(config.source))
    red, green, blue = next(image.pixels for image in images if isinstance(image, Decoded))
    return bool((red != green).any() or (red != blue).any())


def _fit(image: Decoded, config: DeconvolveConfig, device: torch.device) -> Deconvolution:
    """Return the deconvolution of an image's own patches."""
    k = config.kernel_size
    if reason := too_small(image, (k, k)):
        raise DataError(f"{image.name}: {reason}")
    moments = PatchCovariance(len(image.pixels), k, eps=config.eps, relative=config.relative_eps, device=device)
    covariance = moments.update(image.pixels).finalize().cpu()
    warn_if_grey(covariance, stacklevel=3)
    method = method_from_name(config.method, n_iter=config.iterations)
    return Deconvolution.from_covariance(covariance, eps=config.eps, relative=config.relative_eps, method=method)


def _kernels_from(path: str) -> tuple[Tensor, Tensor]:
    """Read the kernels and the mean that ``ndtools kernels`` has written."""
    arrays = read_written(path, ("kernels", "mean"), "`from_file` takes the .npz file that ndtools kernels writes")
    kernels, mean = (arrays[key].astype(np.float64) for key in ("kernels", "mean"))
    shape = kernels.shape
    if len(shape) != 4 or shape[0] != shape[1] or shape[2] != shape[3] or shape[0] not in (1, 3) or not shape[2] % 2:
        raise MatrixError(f"{path} holds kernels of shape {shape}, where (C, C, k, k) with C 1 or 3, k odd is wanted")
    if mean.shape != (math.prod(shape[1:]),):
        raise MatrixError(f"{path} holds a mean of shape {mean.shape}, where ({math.prod(shape[1:])},) is wanted")
    if not (np.isfinite(kernels).all() and np.isfinite(mean).all()):
        raise MatrixError(f"{path} holds values that are not finite")
    return torch.from_numpy(kernels), torch.from_numpy(mean)


def _distribution(values: NDArray[np.float32], terms: float) -> Distribution:
    """Measure values (C, H, W) about each channel's mean; ``terms`` is the size of what they are the sums of."""
    about_mean = values - values.mean((1, 2), dtype=np.float64, keepdims=True)
    sigma = float(about_mean.std())
    if sigma <= ROUNDING * terms:
        sigma, about_mean = 0.0, np.zeros_like(about_mean)
    scaled = (about_mean / (sigma or 1)).astype(np.float32)
    density = Density(np.linspace(-REACH, REACH, 202)).add(scaled)
    sums = SparsitySums().add(scaled, np.random.default_rng(0))
    return Distribution(sigma, sums.measures(), density.density, density.clipped)
