"""The covariance of patches before and after deconvolution (Ye et al. 2020, fig. 3)."""

from collections.abc import Sequence

from ndtools.computing.progress import Progress
from ndtools.console.short_form import short_form
from ndtools.experiments.covariance.config import CovarianceConfig
from ndtools.experiments.covariance.result import CovarianceResult, MeanCorrelation, roundings
from ndtools.moments.groups import GroupMoments
from ndtools.moments.noise import warn_if_below_noise
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.inverse_sqrt import method_from_name
from ndtools.results.series import Series, configurations
from ndtools.results.series_moments import SeriesMoments, series_moments
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
    found = series_moments(*configurations(config, kernel_sizes, ridges), odd=False, progress=progress)
    series = Series(tuple(_result(member, moments, found) for member, moments in found.members))
    warn_if_below_noise(min(member.fit.eps for member in series), found.images.noise)
    return series


def _result(
    config: CovarianceConfig, moments: GroupMoments, found: SeriesMoments[CovarianceConfig]
) -> CovarianceResult:
    covariance = moments.whole
    eps, relative, choice = moments.terms(config.eps, relative=config.relative_eps)
    method = method_from_name(config.method, n_iter=config.iterations)
    fit = Deconvolution.from_covariance(covariance, eps=eps, relative=relative, method=method)
    whitened = (fit.matrix @ covariance.matrix @ fit.matrix).numpy()
    rounding, rounding_after = roundings(covariance, fit)
    return CovarianceResult(
        config=config,
        images=found.images,
        covariance=covariance,
        deconvolution=fit,
        whitened=whitened,
        before=MeanCorrelation.of(covariance.matrix.numpy(), covariance.channels, rounding),
        after=MeanCorrelation.of(whitened, covariance.channels, rounding_after),
        device=str(found.device),
        ridge=choice,
        origin=found.origin,
    )


covariance = short_form(CovarianceConfig, run, run_series, counting="images")
