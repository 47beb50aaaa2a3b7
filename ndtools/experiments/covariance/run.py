"""The covariance of patches before and after deconvolution (Ye et al. 2020, fig. 3)."""

from ndtools.computing.operators import resolve_device
from ndtools.computing.progress import Progress
from ndtools.console.short_form import short_form
from ndtools.data.images.sources import resolve_source
from ndtools.experiments.covariance.config import CovarianceConfig
from ndtools.experiments.covariance.result import CovarianceResult, MeanCorrelation, roundings
from ndtools.moments.grey import warn_if_grey
from ndtools.moments.images import image_moments
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.inverse_sqrt import method_from_name
from ndtools.results.inputs import images_used

__all__ = ["covariance", "run"]


def run(config: CovarianceConfig, *, progress: Progress | None = None) -> CovarianceResult:
    """Measure the covariance of an image source, and what D leaves of it.

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
        If colour images are grey, have several frames, or are named more than once.
    """
    CovarianceConfig.check_type(config)
    device = resolve_device(config.device)
    images = resolve_source(config.source)
    if config.images is not None:
        images = images.subset(config.images, config.seed)
    found = image_moments(
        images,
        kernel_size=config.kernel_size,
        eps=config.eps,
        relative=config.relative_eps,
        device=device,
        gray=config.gray,
        jobs=config.jobs,
        progress=progress,
    )
    covariance = found.moments.finalize().cpu()
    warn_if_grey(covariance)
    method = method_from_name(config.method, n_iter=config.iterations)
    fit = Deconvolution.from_covariance(covariance, eps=config.eps, relative=config.relative_eps, method=method)
    whitened = (fit.matrix @ covariance.matrix @ fit.matrix).numpy()
    rounding, rounding_after = roundings(covariance, fit)
    return CovarianceResult(
        config=config,
        images=images_used(images, found.read, found.skipped, found.frames),
        covariance=covariance,
        deconvolution=fit,
        whitened=whitened,
        before=MeanCorrelation.of(covariance.matrix.numpy(), covariance.channels, rounding),
        after=MeanCorrelation.of(whitened, covariance.channels, rounding_after),
        device=str(device),
    )


covariance = short_form(CovarianceConfig, run, counting="images")
