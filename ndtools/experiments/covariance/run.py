"""The covariance of patches before and after deconvolution (Ye et al. 2020, fig. 3)."""

from collections.abc import Sequence
from dataclasses import replace

from ndtools.computing.operators import resolve_device
from ndtools.computing.progress import Progress
from ndtools.console.short_form import short_form
from ndtools.data.images.sources import resolve_source
from ndtools.errors import MatrixError
from ndtools.experiments.covariance.config import CovarianceConfig
from ndtools.experiments.covariance.result import CovarianceResult, MeanCorrelation, roundings
from ndtools.moments.files import check_space_of_files
from ndtools.moments.grey import warn_if_grey
from ndtools.moments.groups import GroupMoments, grouped_moments, moments_of_files
from ndtools.moments.noise import warn_if_below_noise
from ndtools.moments.origin import Origin, PatchSetting
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.inverse_sqrt import method_from_name
from ndtools.results.inputs import ImagesUsed, images_used
from ndtools.results.series import Series, configurations
from ndtools.text import printable
from ndtools.validation import Ridge

__all__ = ["covariance", "run", "run_series"]


def run(config: CovarianceConfig, *, progress: Progress | None = None) -> CovarianceResult:
    """Measure the covariance of patches of images, before and after deconvolution.

    Parameters
    ----------
    config : CovarianceConfig
        Configuration of the run.
    progress : callable, optional
        Told how many of how many images are done.

    Returns
    -------
    CovarianceResult
        On the CPU.

    Warns
    -----
    NumericalWarning
        If colour images are grey, have several frames, or are named more than once; or if the ridge is below the noise
        of files whose pixels are rounded.
    """
    return run_series(config, progress=progress)[0]


def run_series(
    config: CovarianceConfig,
    *,
    kernel_sizes: Sequence[int] | None = None,
    ridges: Sequence[Ridge] | None = None,
    progress: Progress | None = None,
) -> Series[CovarianceResult]:
    """Measure the covariance for several kernel sizes, and what D leaves of it for several ridges.

    Parameters
    ----------
    config : CovarianceConfig
        Configuration of all results, but for their kernel sizes and ridges.
    kernel_sizes : sequence of int, optional
        Sides of the patches in pixels. Images smaller than the largest are left out for all sizes. Default: that of
        ``config``.
    ridges : sequence of float, "paper" or "auto", optional
        Ridges, in the unit that ``config.relative_eps`` says. Default: that of ``config``.
    progress : callable, optional
        Told how many of how many images are done; each is decoded once.

    Returns
    -------
    Series of CovarianceResult
        For each kernel size in turn, a result for each ridge.

    Raises
    ------
    OptionError
        If there are too many of them.
    MatrixError
        If moments are not those of square patches.
    """
    CovarianceConfig.check_type(config)
    sizes, eps, members = configurations(config, kernel_sizes, ridges)
    device = resolve_device(config.device)
    if config.from_moments:
        found = moments_of_files(config.from_moments, halves="auto" in eps, odd=False)
        check_space_of_files(config.space, found.space)
        whole = found.by_size[0].whole
        if whole.kernel_size[0] != whole.kernel_size[1]:
            raise MatrixError(f"{printable(config.from_moments[0])} is not of square patches, got {whole!r}")
        k, gray = whole.kernel_size[0], whole.channels == 1
        members = tuple(
            replace(member, kernel_size=k, gray=gray, resize=found.resize, space=found.space) for member in members
        )
        label = ", ".join(map(printable, config.from_moments))
        used = ImagesUsed(label, found.read, noise=found.noise, calibrated=found.calibrated)
        members = tuple(member.of_moments(found.names, calibrated=found.calibrated) for member in members)
        origin = found.origin
    else:
        images = resolve_source(config.source, layout=config.layout, progress=progress)
        if config.images is not None:
            images = images.subset(config.images, config.seed)
        config, members = config.applied_to(images), tuple(member.applied_to(images) for member in members)
        found = grouped_moments(
            images,
            kernel_sizes=sizes,
            ridges=eps,
            relative=config.relative_eps,
            seed=config.seed,
            device=device,
            gray=config.gray,
            resize=config.resize,
            space=config.space,
            jobs=config.jobs,
            progress=progress,
        )
        used = images_used(images, found.read, found.skipped, found.frames, found.noise)
        origin = Origin.of(images.label, images.listing, PatchSetting.of(config, eps))
    moments = [each for each in found.by_size for _ in eps]
    warn_if_grey(moments[0].whole)
    series = Series(
        tuple(
            replace(_result(member, each, used, str(device)), origin=origin)
            for member, each in zip(members, moments, strict=True)
        )
    )
    warn_if_below_noise(min(member.fit.eps for member in series), used.noise)
    return series


def _result(config: CovarianceConfig, moments: GroupMoments, used: ImagesUsed, device: str) -> CovarianceResult:
    covariance = moments.whole
    eps, relative, choice = moments.terms(config.eps, relative=config.relative_eps)
    method = method_from_name(config.method, n_iter=config.iterations)
    fit = Deconvolution.from_covariance(covariance, eps=eps, relative=relative, method=method)
    whitened = (fit.matrix @ covariance.matrix @ fit.matrix).numpy()
    rounding, rounding_after = roundings(covariance, fit)
    return CovarianceResult(
        config=config,
        images=used,
        covariance=covariance,
        deconvolution=fit,
        whitened=whitened,
        before=MeanCorrelation.of(covariance.matrix.numpy(), covariance.channels, rounding),
        after=MeanCorrelation.of(whitened, covariance.channels, rounding_after),
        device=device,
        ridge=choice,
    )


covariance = short_form(CovarianceConfig, run, run_series, counting="images")
