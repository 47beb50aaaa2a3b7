"""The deconvolution kernels of an image set (Ye et al. 2020, fig. 2)."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ndtools.computing.operators import resolve_device
from ndtools.computing.progress import Progress
from ndtools.console.short_form import short_form
from ndtools.data.images.frames import Frames
from ndtools.data.images.sources import ImageSource, Skipped, resolve_source
from ndtools.errors import DataError, MatrixError, NoUsableImageError
from ndtools.experiments.kernels.bootstrap import GROUPS, KernelBootstrap, bootstrap_kernels
from ndtools.experiments.kernels.cells import measure_cells
from ndtools.experiments.kernels.config import KernelsConfig
from ndtools.experiments.kernels.result import ChannelKernel, KernelsResult
from ndtools.moments.files import iterate_moments
from ndtools.moments.grey import warn_if_grey
from ndtools.moments.images import image_moments
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.inverse_sqrt import Method, method_from_name
from ndtools.results.inputs import ImagesUsed, images_used
from ndtools.text import printable

__all__ = ["kernels", "run"]


def run(config: KernelsConfig, *, progress: Progress | None = None) -> KernelsResult:
    """Fit the kernels of an image source.

    Parameters
    ----------
    config : KernelsConfig
        Configuration of the run.
    progress : callable, optional
        Told how many of how many images are done.

    Returns
    -------
    KernelsResult
        Kernels, covariance and deconvolution, on the CPU.

    Raises
    ------
    DataError
        If nothing could be used, or a bootstrap has nothing to resample.
    MatrixError
        If moments are not those of square patches with a centre pixel.

    Warns
    -----
    NumericalWarning
        If colour images are grey, have several frames, or are named more than once.
    """
    KernelsConfig.check_type(config)
    device = resolve_device(config.device)
    if config.from_moments:
        parts = _moments_of_files(config)
        source = ", ".join(map(printable, config.from_moments))
        config = replace(config, kernel_size=parts[0][0].kernel_size[0], gray=parts[0][0].channels == 1)
        used = ImagesUsed(source, sum(size for _, size in parts))
    else:
        images = resolve_source(config.source)
        if config.images is not None:
            images = images.subset(config.images, config.seed)
        parts, skipped, frames = _parts(images, config, device, progress)
        used = images_used(images, sum(size for _, size in parts), skipped, frames)
        source = images.label
    if config.bootstrap and len(parts) < 2:
        raise DataError(f"a bootstrap needs two images, or files of moments, at least; {source} is one")
    covariance = Covariance.pooled([part for part, _ in parts])
    warn_if_grey(covariance)
    method = method_from_name(config.method, n_iter=config.iterations)
    deconvolution = Deconvolution.from_covariance(
        covariance, eps=config.eps, relative=config.relative_eps, method=method
    )
    kernels = deconvolution.kernels().numpy()
    found = _resample(parts, config, deconvolution.eps, method, progress) if config.bootstrap else None
    names = ("gray",) if config.gray else ("R", "G", "B")
    return KernelsResult(
        config=config,
        images=used,
        covariance=covariance,
        deconvolution=deconvolution,
        kernels=kernels,
        channels=tuple(_channel_kernel(name, kernels[i, i], found, i) for i, name in enumerate(names)),
        device=str(device),
        cells=measure_cells(kernels, covariance, found) if config.fit else (),
        bootstrap=found,
    )


kernels = short_form(KernelsConfig, run, counting="images")


def _moments_of_files(config: KernelsConfig) -> list[tuple[Covariance, int]]:
    """Return what the files hold if it is to be resampled, or else its sum, which needs the memory of one."""
    parts: list[tuple[Covariance, int]] = []
    for covariance, images in iterate_moments(config.from_moments):
        if not parts:
            ky, kx = covariance.kernel_size
            if ky != kx or ky % 2 == 0:
                message = (
                    f"{printable(config.from_moments[0])} is of {ky}×{kx} patches, where a side that is odd is wanted"
                )
                raise MatrixError(f"{message}: kernels are square about a centre pixel")
        if parts and not config.bootstrap:
            parts[0] = (parts[0][0] + covariance, parts[0][1] + images)
        else:
            parts.append((covariance, images))
    return parts


def _resample(
    parts: list[tuple[Covariance, int]], config: KernelsConfig, eps: float, method: Method, progress: Progress | None
) -> KernelBootstrap:
    return bootstrap_kernels(
        [part for part, _ in parts],
        [size for _, size in parts],
        eps=eps,
        method=method,
        replicates=config.bootstrap,
        seed=config.seed,
        progress=progress,
    )


def _parts(
    images: ImageSource, config: KernelsConfig, device: torch.device, progress: Progress | None
) -> tuple[list[tuple[Covariance, int]], tuple[Skipped, ...], tuple[Frames, ...]]:
    """Return covariances of groups of images (one without bootstrap) with their sizes, skipped images, and frames."""
    groups = images.parts(GROUPS, config.seed) if config.bootstrap else (images,)
    parts, skipped, frames, before = [], list[Skipped](), list[Frames](), 0
    failure: NoUsableImageError | None = None
    for group in groups:

        def report(done: int, _: int, before: int = before) -> None:
            if progress:
                progress(before + done, len(images) + len(images.skipped))

        try:
            found = image_moments(
                group,
                kernel_size=config.kernel_size,
                method="im2col" if config.covariance == "im2col" else "exact",
                stride=config.stride,
                eps=config.eps,
                relative=config.relative_eps,
                device=device,
                gray=config.gray,
                resize=config.resize,
                jobs=config.jobs,
                progress=report,
            )
            parts.append((found.moments.finalize().cpu(), found.read))
            skipped += found.skipped
            frames += found.frames
        except NoUsableImageError as error:
            skipped += error.skipped
            failure = failure or error
        before += len(group) + len(group.skipped)
    if failure and not parts:
        raise failure
    return parts, tuple(sorted(skipped, key=lambda s: s.name)), tuple(sorted(frames, key=lambda f: f.name))


def _channel_kernel(
    name: str, kernel: NDArray[np.float64], found: KernelBootstrap | None = None, channel: int = 0
) -> ChannelKernel:
    """Summarise a kernel of shape (k, k), k odd, the one of ``channel`` in a bootstrap."""
    middle = len(kernel) // 2
    center = float(kernel[middle, middle])
    if middle == 0:
        return ChannelKernel(name, center, None, None, None)
    block = kernel[middle - 1 : middle + 2, middle - 1 : middle + 2]
    surround = float((block.sum() - center) / 8)
    polarity = "on" if center > 0 > surround else "off" if center < 0 < surround else None
    ratio = center / abs(surround) if surround else None
    errors = None
    if found and ratio is not None:
        others = [_channel_kernel(name, sample[channel, channel]) for sample in found.samples]
        ratios = [other.center_surround_ratio or np.nan for other in others]
        errors = {"center_surround_ratio": found.standard_error(ratios)}
    return ChannelKernel(name, center, surround, ratio, polarity, errors)
