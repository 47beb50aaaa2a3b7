"""One image and its deconvolution (Ye et al. 2020, fig. 4)."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from ndtools.computing.operators import resolve_device
from ndtools.console.short_form import short_form
from ndtools.data.images.decoding import Pixels
from ndtools.data.images.reading import Decoded, load_images
from ndtools.data.images.single import load_single
from ndtools.data.images.sources import resolve_source
from ndtools.errors import DataError, MatrixError, NumericalError, OptionError
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.experiments.deconvolve.result import DeconvolveResult, centred
from ndtools.moments.files import SPACE, check_space_of_files, read_written, space_of
from ndtools.moments.grey import warn_if_grey
from ndtools.moments.groups import GroupMoments
from ndtools.moments.images import too_small
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.inverse_sqrt import method_from_name
from ndtools.numerics.patch_covariance import PatchCovariance
from ndtools.numerics.pixels import white
from ndtools.numerics.ridge import RidgeChoice, tightest_ridge
from ndtools.numerics.sparsity import measured
from ndtools.results.series import Series, configurations
from ndtools.validation import Ridge, Space

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
    """
    DeconvolveConfig.check_type(config)
    _, eps, members = configurations(config, kernel_sizes, ridges)
    if len(members) > 1 and config.from_file is not None:
        raise OptionError("from_file", "cannot be combined with several kernel sizes or ridges; the file has one each")
    device = resolve_device(config.device)
    if config.from_file is not None:
        kernels, mean, space = _kernels_from(config.from_file)
        check_space_of_files(config.space, space)
        config = replace(config, space=space, gray=len(kernels) == 1)
        if members[0].gray and len(kernels) == 3:
            raise OptionError(
                "gray", f"cannot be combined with {config.from_file}, which holds kernels of colour images"
            )
        image = _image(config, gray=len(kernels) == 1)
        return Series((_result(replace(members[0], space=space), image, kernels, mean, device),))
    image = _image(config, gray=config.gray)
    results, moments = [], dict[int, GroupMoments]()
    for member in members:
        k = member.kernel_size
        if k not in moments:
            moments[k] = _moments(image, k, eps, config, device)
        ridge, relative, choice = moments[k].terms(member.eps, relative=config.relative_eps)
        method = method_from_name(config.method, n_iter=config.iterations)
        fit = Deconvolution.from_covariance(moments[k].whole, eps=ridge, relative=relative, method=method)
        results.append(_result(member, image, fit.kernels(), fit.mean, device, fit, choice))
    return Series(tuple(results))


def _result(
    config: DeconvolveConfig,
    image: Decoded,
    kernels: Tensor,
    mean: Tensor,
    device: torch.device,
    fit: Deconvolution | None = None,
    choice: RidgeChoice | None = None,
) -> DeconvolveResult:
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
        before=measured(centred(pixels.numpy(), mean.numpy(), k, config.border), terms=largest),
        after=measured(deconvolved, terms=largest * float(kernels.abs().sum((1, 2, 3)).max())),
        device=str(device),
        reduced_to_luma=len(kernels) == 1 and not config.gray and _has_colour(config),
        ridge=choice,
    )


deconvolve = short_form(DeconvolveConfig, run, run_series)


def _image(config: DeconvolveConfig, *, gray: bool) -> Decoded:
    return load_single(config.source, gray=gray, space=config.space, working=WORKING_GRAY if gray else WORKING)


def _has_colour(config: DeconvolveConfig) -> bool:
    images = load_images(resolve_source(config.source))
    red, green, blue = next(image.pixels for image in images if isinstance(image, Decoded))
    return bool((red != green).any() or (red != blue).any())


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


def _kernels_from(path: str) -> tuple[Tensor, Tensor, Space]:
    """Read the kernels and the mean that ``ndtools kernels`` has written, and the colour space of both."""
    hint = "`from_file` takes the .npz file that ndtools kernels writes"
    arrays = read_written(path, ("kernels", "mean"), hint, [SPACE])
    kernels, mean = (arrays[key].astype(np.float64) for key in ("kernels", "mean"))
    shape = kernels.shape
    if len(shape) != 4 or shape[0] != shape[1] or shape[2] != shape[3] or shape[0] not in (1, 3) or not shape[2] % 2:
        raise MatrixError(f"{path} holds kernels of shape {shape}, where (C, C, k, k) with C 1 or 3, k odd is wanted")
    if mean.shape != (math.prod(shape[1:]),):
        raise MatrixError(f"{path} holds a mean of shape {mean.shape}, where ({math.prod(shape[1:])},) is wanted")
    if not (np.isfinite(kernels).all() and np.isfinite(mean).all()):
        raise MatrixError(f"{path} holds values that are not finite")
    return torch.from_numpy(kernels), torch.from_numpy(mean), space_of(arrays.get(SPACE), path)
