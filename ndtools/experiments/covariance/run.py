"""The covariance of patches before and after deconvolution (Ye et al. 2020, fig. 3)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ndtools.computing.operators import resolve_device
from ndtools.data.images.sources import Skipped, resolve_source
from ndtools.experiments.covariance.config import CovarianceConfig
from ndtools.moments.images import Progress, image_moments
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.inverse_sqrt import method_from_name

__all__ = ["CovarianceConfig", "CovarianceResult", "MeanCorrelation", "run"]

ROUNDING = 1e-15  # relative


@dataclass(frozen=True)
class MeanCorrelation:
    """How correlated the features of a patch are. Those without variance, but for rounding, are left out.

    Attributes
    ----------
    within_channel : float or None
        Mean absolute correlation of different pixels of the same channel; None for patches of one pixel.
    across_channels : float or None
        Of pixels, equal or different, of different channels; None for one channel.
    same_pixel : float or None
        Mean correlation, with its sign, of different channels at the same pixel.
    largest : float or None
        Largest absolute correlation of different features.
    """

    within_channel: float | None
    across_channels: float | None
    same_pixel: float | None
    largest: float | None

    @classmethod
    def of(cls, covariance: NDArray[np.float64], channels: int, rounding: float = 0.0) -> "MeanCorrelation":
        """Measure it.

        Parameters
        ----------
        covariance : array of shape (d, d)
            Features channel by channel.
        channels : int
            C, a divisor of d.
        rounding : float
            A variance up to this is none.

        Returns
        -------
        MeanCorrelation
            Of those features that have variance.
        """
        variance = covariance.diagonal()
        varies = variance > max(rounding, 0.0)
        deviation = np.sqrt(np.where(varies, variance, 1.0))
        correlation = covariance / np.outer(deviation, deviation)
        features, area = np.arange(len(covariance)), len(covariance) // channels
        channel, pixel = features // area, features % area
        same = channel[:, None] == channel[None, :]
        used = np.outer(varies, varies) & ~np.eye(len(covariance), dtype=bool)
        within, across = (np.abs(correlation[used & where]) for where in (same, ~same))
        same_pixel = correlation[used & ~same & (pixel[:, None] == pixel[None, :])]
        every = np.concatenate([within, across])
        means = [float(values.mean()) if values.size else None for values in (within, across, same_pixel)]
        return cls(means[0], means[1], means[2], float(every.max()) if every.size else None)


@dataclass(frozen=True, eq=False)
class CovarianceResult:
    """Covariances before and after.

    Attributes
    ----------
    config : CovarianceConfig
        What was asked for.
    source : str
        What the images came from, printable.
    read : int
        Images used.
    skipped : tuple of Skipped
        Images not used, and why.
    covariance : Covariance
        Cov of all patches.
    deconvolution : Deconvolution
        D = (Cov + eps·I)^(-1/2), as the method has it.
    whitened : array of shape (d, d)
        D Cov D, the covariance of D x.
    before, after : MeanCorrelation
        Of both.
    device : str
        Where it was computed.
    """

    config: CovarianceConfig
    source: str
    read: int
    skipped: tuple[Skipped, ...]
    covariance: Covariance
    deconvolution: Deconvolution
    whitened: NDArray[np.float64]
    before: MeanCorrelation
    after: MeanCorrelation
    device: str

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays of the .npz file by name."""
        return {
            "covariance": self.covariance.matrix.numpy(),
            "whitened": self.whitened,
            "mean": self.covariance.mean.numpy(),
            "deconvolution": self.deconvolution.matrix.numpy(),
            "eigenvalues": self.deconvolution.eigenvalues.numpy(),
        }

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        sides = {"before": self.before, "after": self.after}
        return {
            "images": {"read": self.read, "skipped": [{"path": s.name, "reason": s.reason} for s in self.skipped]},
            "patches": self.covariance.count,
            "kernel_size": self.config.kernel_size,
            **self.deconvolution.numbers(),
            "relative_eps": self.config.relative_eps,
            "method": self.config.method,
            "mean_abs_correlation": {
                side: {"within_channel": found.within_channel, "across_channels": found.across_channels}
                for side, found in sides.items()
            },
            "max_abs_correlation": {side: found.largest for side, found in sides.items()},
            "same_pixel_correlation": {side: found.same_pixel for side, found in sides.items()},
        }


def run(config: CovarianceConfig, *, progress: Progress | None = None) -> CovarianceResult:
    """Measure the covariance of an image source, and what D leaves of it.

    Parameters
    ----------
    config : CovarianceConfig
        What to do.
    progress : callable, optional
        Told how many of how many images are done.

    Returns
    -------
    CovarianceResult
        On the CPU.
    """
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
        jobs=config.jobs,
        progress=progress,
    )
    covariance = found.moments.finalize().cpu()
    method = method_from_name(config.method, n_iter=config.iterations)
    fit = Deconvolution.from_covariance(covariance, eps=config.eps, relative=config.relative_eps, method=method)
    whitened = (fit.matrix @ covariance.matrix @ fit.matrix).numpy()
    rounding = ROUNDING * covariance.mean.square().max().item()  # of the squares that a variance is the difference of
    gain = torch.linalg.matrix_norm(fit.matrix, 2).item()
    return CovarianceResult(
        config=config,
        source=images.label,
        read=found.read,
        skipped=found.skipped,
        covariance=covariance,
        deconvolution=fit,
        whitened=whitened,
        before=MeanCorrelation.of(covariance.matrix.numpy(), covariance.channels, rounding),
        after=MeanCorrelation.of(whitened, covariance.channels, rounding * gain**2),
        device=str(device),
    )
