"""One image and its deconvolution (Ye et al. 2020, fig. 4)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ndtools.computing.operators import resolve_device
from ndtools.console.short_form import short_form
from ndtools.data.images.decoding import Pixels
from ndtools.data.images.reading import Decoded, load_images
from ndtools.data.images.single import load_single
from ndtools.data.images.sources import ImageSource, resolve_source
from ndtools.errors import DataError, OptionError
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.experiments.deconvolve.maps import deconvolved_values, deconvolving, read_fitting
from ndtools.experiments.deconvolve.result import DeconvolveResult, centred
from ndtools.moments.grey import warn_if_grey
from ndtools.moments.groups import GroupMoments
from ndtools.moments.images import too_small
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.inverse_sqrt import method_from_name
from ndtools.numerics.patch_covariance import PatchCovariance
from ndtools.numerics.pixels import white
from ndtools.numerics.ridge import RidgeChoice, tightest_ridge
from ndtools.numerics.sparsity import OF_OFFSET, measured
from ndtools.results.series import Series, configurations
from ndtools.validation import Ridge

__all__ = ["deconvolve", "run", "run_series"]

BANDS = 16  # of rows, at most, into which an image is divided to choose a ridge

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
        If the source is not one image that can be read, or it is smaller than the patch, or than four patches where a
        ridge is to be chosen, or the file of kernels holds none.
    NumericalError
        If the output overflows.
    OptionError
        If ``gray`` is set and the kernels from a file are those of colour images.

    Warns
    -----
    NumericalWarning
        If a colour image is grey, or has several frames.
    """
    return run_series(config)[0]


def run_series(
    config: DeconvolveConfig,
    *,
    kernel_sizes: Sequence[int] | None = None,
    ridges: Sequence[Ridge] | None = None,
) -> Series[DeconvolveResult]:
    """Deconvolve an image by kernels of several sizes and for several ridges.

    Parameters
    ----------
    config : DeconvolveConfig
        Configuration of all results, but for their kernel sizes and ridges.
    kernel_sizes : sequence of int, optional
        Sides of the patches in pixels. Default: that of ``config``.
    ridges : sequence of float, "paper" or "auto", optional
        Ridges, in the unit that ``config.relative_eps`` says. Default: that of ``config``.

    Returns
    -------
    Series of DeconvolveResult
        For each kernel size in turn, a result for each ridge.

    Raises
    ------
    OptionError
        If there are several results of kernels from a file, or too many; and as for :func:`run`.
    DataError
        If the kernels from a file have another number of channels than the image; and as for :func:`run`.
    """
    DeconvolveConfig.check_type(config)
    _, eps, members = configurations(config, kernel_sizes, ridges)
    if len(members) > 1 and config.from_file is not None:
        raise OptionError("from_file", "cannot be combined with several kernel sizes or ridges; the file has one each")
    device = resolve_device(config.device)
    images = resolve_source(config.source, layout=config.layout).subset(config.images, config.seed)
    if config.from_file is not None:
        config, kernels, mean = read_fitting(members[0], images, config.from_file)
        image = _image(config, images, gray=len(kernels) == 1)
        own = None
        if config.keep_scale:
            own = _moments(image, kernels.shape[-1], [0.0], config, device).whole
        return Series((_result(config, image, kernels, mean, device, images, covariance=own),))
    config, members = config.applied_to(images), tuple(member.applied_to(images) for member in members)
    image = _image(config, images, gray=config.gray)
    results, moments = [], dict[int, GroupMoments]()
    for member in members:
        k = member.kernel_size
        if k not in moments:
            moments[k] = _moments(image, k, eps, config, device)
        ridge, relative, choice = moments[k].terms(member.eps, relative=config.relative_eps)
        method = method_from_name(config.method, n_iter=config.iterations)
        fit = Deconvolution.from_covariance(moments[k].whole, eps=ridge, relative=relative, method=method)
        whole = moments[k].whole
        results.append(_result(member, image, fit.kernels(), fit.mean, device, images, fit, choice, covariance=whole))
    return Series(tuple(results))


def _result(
    config: DeconvolveConfig,
    image: Decoded,
    kernels: Tensor,
    mean: Tensor,
    device: torch.device,
    images: ImageSource,
    fit: Deconvolution | None = None,
    choice: RidgeChoice | None = None,
    *,
    covariance: Covariance | None = None,
) -> DeconvolveResult:
    k = kernels.shape[-1]
    if reason := too_small(image, (k, k)):
        raise DataError(f"{image.name}: {reason}")
    pixels = np.divide(image.pixels, white(image.pixels), dtype=np.float32)
    whiten = deconvolving(config, kernels, mean, covariance, calibrated=images.calibrated)
    deconvolved = deconvolved_values(whiten, image.pixels, image.name)
    largest = float(np.abs(pixels).max())
    if images.calibrated:  # deconvolved in float64
        largest = float(np.abs(centred(image.pixels, mean.numpy(), k, "reflect")).max()) + OF_OFFSET * largest
    terms = largest * float(whiten.weight.abs().sum((1, 2, 3)).max()) + float(whiten.offset.abs().max())
    return DeconvolveResult(
        config=config,
        source=image.name,
        image=image.pixels,
        mean=mean.numpy(),
        deconvolved=deconvolved,
        kernels=kernels.numpy(),
        fit=fit,
        before=measured(centred(image.pixels, mean.numpy(), k, config.border), terms=largest),
        after=measured(deconvolved, terms=terms),
        device=str(device),
        reduced_to_luma=len(kernels) == 1 and not config.gray and _has_colour(images),
        ridge=choice,
        calibrated=images.calibrated,
    )


deconvolve = short_form(DeconvolveConfig, run, run_series)


def _image(config: DeconvolveConfig, images: ImageSource, *, gray: bool) -> Decoded:
    return load_single(
        images, gray=gray, space=config.space, working=(WORKING_GRAY if gray else WORKING) * (1 + images.calibrated)
    )


def _has_colour(images: ImageSource) -> bool:
    pixels = next(image.pixels for image in load_images(images) if isinstance(image, Decoded))
    return any(bool((pixels[0] != other).any()) for other in pixels[1:])


def _moments(
    image: Decoded, k: int, ridges: Sequence[Ridge], config: DeconvolveConfig, device: torch.device
) -> GroupMoments:
    """Return the moments of an image's own patches, with those of its two halves if a ridge is to be chosen."""
    if reason := too_small(image, (k, k)):
        raise DataError(f"{image.name}: {reason}")
    eps, relative = tightest_ridge(ridges, relative=config.relative_eps)
    pieces = [[image.pixels]]
    if "auto" in ridges:
        pieces += _halves(image, k)
    covariances = []
    for bands in pieces:
        moments = PatchCovariance(len(image.pixels), k, eps=eps, relative=relative, device=device)
        for band in bands:
            moments.update(band)
        covariances.append(moments.finalize().cpu())
    warn_if_grey(covariances[0], stacklevel=3)
    return GroupMoments(tuple(covariances[1:]), covariances[0]) if "auto" in ridges else GroupMoments((covariances[0],))


def _halves(image: Decoded, k: int) -> list[list[Pixels]]:
    """Return two halves of an image, each of alternate bands of rows."""
    rows = image.pixels.shape[1]
    count = min(BANDS, rows // (2 * k)) // 2 * 2
    if count < 2:
        raise DataError(f"{image.name}: {rows} rows are too few to choose a ridge by halves of {k}×{k} patches")
    bands = np.array_split(image.pixels, count, axis=1)
    return [bands[::2], bands[1::2]]
