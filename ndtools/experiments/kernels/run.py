"""The deconvolution kernels of an image set (Ye et al. 2020, fig. 2)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ndtools.computing.progress import Progress
from ndtools.console.short_form import short_form
from ndtools.errors import DataError, OptionError
from ndtools.experiments.kernels.bootstrap import KernelBootstrap, bootstrap_kernels
from ndtools.experiments.kernels.cells import measure_cells
from ndtools.experiments.kernels.config import KernelsConfig
from ndtools.experiments.kernels.result import ChannelKernel, KernelsResult
from ndtools.moments.groups import GroupMoments
from ndtools.moments.noise import warn_if_below_noise
from ndtools.moments.resampling import GROUPS
from ndtools.numerics.covariance import has_variance
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.inverse_sqrt import method_from_name
from ndtools.results.series import Series, configurations
from ndtools.results.series_moments import SeriesMoments, series_moments
from ndtools.validation import Ridge

__all__ = ["kernels", "run", "run_series"]


def run(config: KernelsConfig, *, progress: Progress | None = None) -> KernelsResult:
    """Fit the deconvolution kernels of a source of images.

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
        If nothing could be used, or there is one image where a bootstrap, or the choice of a ridge, needs two.
    MatrixError
        If moments are not those of square patches with a centre pixel.

    Warns
    -----
    NumericalWarning
        If colour images are grey, have several frames, or are named more than once; or if the ridge is below the noise
        of files whose pixels are rounded.
    """
    return run_series(config, progress=progress)[0]


def run_series(
    config: KernelsConfig,
    *,
    kernel_sizes: Sequence[int] | None = None,
    ridges: Sequence[Ridge] | None = None,
    progress: Progress | None = None,
) -> Series[KernelsResult]:
    """Fit the kernels of an image source for several kernel sizes and ridges; each image is decoded once.

    Parameters
    ----------
    config : KernelsConfig
        Configuration of all results, but for their kernel sizes and ridges.
    kernel_sizes : sequence of int, optional
        Sides of the kernels in pixels. Images smaller than the largest are left out for all sizes. Default: that of
        ``config``.
    ridges : sequence of float, "paper" or "auto", optional
        Ridges, in the unit that ``config.relative_eps`` says. Default: that of ``config``.
    progress : callable, optional
        Told how many of how many images are done.

    Returns
    -------
    Series of KernelsResult
        For each kernel size in turn, a result for each ridge.

    Raises
    ------
    DataError
        If nothing could be used, or there is one image where a bootstrap, or the choice of a ridge, needs two.
    OptionError
        If there are several results and ``config`` asks for a fit or a bootstrap, or if there are too many.
    """
    KernelsConfig.check_type(config)
    sizes, eps, members = configurations(config, kernel_sizes, ridges)
    if len(members) > 1:
        for name in ("fit", "bootstrap"):
            if getattr(config, name):
                raise OptionError(name, "cannot be combined with several kernel sizes or ridges; take one of each")
    groups = GROUPS if config.bootstrap else 1
    found = series_moments(sizes, eps, members, groups=groups, progress=progress)
    if config.bootstrap and len(found.groups) < 2:
        raise DataError(f"a bootstrap needs two images, or files of moments, at least; {found.images.label} is one")
    series = Series(tuple(_result(member, moments, found, progress) for member, moments in found.members))
    warn_if_below_noise(min(member.fit.eps for member in series), found.images.noise)
    return series


def _result(
    config: KernelsConfig, moments: GroupMoments, found: SeriesMoments[KernelsConfig], progress: Progress | None
) -> KernelsResult:
    covariance = moments.whole
    eps, relative, choice = moments.terms(config.eps, relative=config.relative_eps)
    method = method_from_name(config.method, n_iter=config.iterations)
    deconvolution = Deconvolution.from_covariance(covariance, eps=eps, relative=relative, method=method)
    kernels = deconvolution.kernels().numpy()
    bootstrap = None
    if config.bootstrap:
        bootstrap = bootstrap_kernels(
            moments.groups,
            found.groups,
            eps=eps,
            relative=relative and any(has_variance(covariance)),  # without variance, a relative ridge is absolute
            method=method,
            replicates=config.bootstrap,
            seed=config.seed,
            progress=progress,
        )
    names = config.names_of(covariance.channels)
    return KernelsResult(
        config=config,
        images=found.images,
        covariance=covariance,
        deconvolution=deconvolution,
        kernels=kernels,
        channels=tuple(_channel_kernel(name, kernels[i, i], bootstrap, i) for i, name in enumerate(names)),
        device=str(found.device),
        cells=measure_cells(kernels, covariance, bootstrap) if config.fit else (),
        bootstrap=bootstrap,
        ridge=choice,
        origin=found.origin,
    )


kernels = short_form(KernelsConfig, run, run_series, counting="images")


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
