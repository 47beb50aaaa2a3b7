"""Covariances before and after deconvolution: the result of ``ndtools covariance``, live or read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.experiments.covariance.config import CovarianceConfig
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.results.deconvolutions import PatchResult, deconvolution_arrays
from ndtools.results.read import SavedResult
from ndtools.text import in_space, precision_in_words, ridge_in_words, source_name, with_error

__all__ = ["CovarianceResult", "MeanCorrelation", "roundings"]

ROUNDING = 1e-15  # relative


@dataclass(frozen=True)
class MeanCorrelation:
    """How correlated the features of a patch are. Those without variance, but for rounding, are left out.

    Attributes
    ----------
    within_channel : float or None
        Mean absolute correlation of different pixels of the same channel; None for patches of one pixel.
    across_channels : float or None
        Mean absolute correlation of pixels, equal or different, of different channels; None for one channel.
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
            Mean correlations of all features that have variance.
        """
        correlation = _correlation(covariance, rounding)
        features, area = np.arange(len(covariance)), len(covariance) // channels
        channel, pixel = features // area, features % area
        same = channel[:, None] == channel[None, :]
        used = ~np.isnan(correlation) & ~np.eye(len(covariance), dtype=bool)
        within, across = (np.abs(correlation[used & where]) for where in (same, ~same))
        same_pixel = correlation[used & ~same & (pixel[:, None] == pixel[None, :])]
        every = np.concatenate([within, across])
        means = [float(values.mean()) if values.size else None for values in (within, across, same_pixel)]
        return cls(means[0], means[1], means[2], float(every.max()) if every.size else None)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CovarianceResult(PatchResult):
    """Covariances of patches before and after deconvolution.

    Attributes
    ----------
    config : CovarianceConfig
        Configuration of this run.
    images : ImagesUsed
        Images that were used and skipped.
    covariance : Covariance
        Cov of all patches.
    deconvolution : Deconvolution
        D = (Cov + eps·I)^(-1/2), as the method has it.
    whitened : array of shape (d, d)
        D Cov D, the covariance of D x.
    before, after : MeanCorrelation
        Correlations of ``covariance`` and of ``whitened``.
    device : str
        Device on which the result was computed.
    ridge : RidgeChoice or None
        Choice of the ridge, if it was "auto".
    origin : Origin or None
        Source of the moments; None if there are several, or if it is not known.
    """

    config: CovarianceConfig
    whitened: NDArray[np.float64]
    before: MeanCorrelation
    after: MeanCorrelation

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels."""
        return self.config.names_of(self.covariance.channels)

    def correlations(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the correlations before and after, each of shape (d, d); NaN where a feature has no variance."""
        before, after = roundings(self.covariance, self.deconvolution)
        return _correlation(self.covariance.matrix.numpy(), before), _correlation(self.whitened, after)

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        size, sides = self.config.kernel_size, (self.before, self.after)
        within, across = (
            " -> ".join(with_error(getattr(side, where)) for side in sides)
            for where in ("within_channel", "across_channels")
        )
        return (
            f"{source_name(self.source)} · {self.images.counted} · {self.covariance.count:,} patches of {size}×{size}"
            f"{in_space(self.config.space, ' · ')}",
            f"{ridge_in_words(self.deconvolution, self.ridge)} · {precision_in_words(self.deconvolution)}",
            f"mean |correlation|, before -> after: {within} within channels · {across} across channels",
        )

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays of the .npz file by name."""
        return {
            "covariance": self.covariance.matrix.numpy(),
            "whitened": self.whitened,
            **deconvolution_arrays(self.deconvolution),
        }

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        sides = {"before": self.before, "after": self.after}
        return {
            **super().numbers(),
            "mean_abs_correlation": {
                side: {"within_channel": found.within_channel, "across_channels": found.across_channels}
                for side, found in sides.items()
            },
            "max_abs_correlation": {side: found.largest for side, found in sides.items()},
            "same_pixel_correlation": {side: found.same_pixel for side, found in sides.items()},
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "CovarianceResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("covariance"):
            return cls(
                config=saved.configuration(CovarianceConfig),
                **cls.saved_fields(saved),
                whitened=saved.arrays["whitened"],
                before=_saved_correlation(saved.numbers, "before"),
                after=_saved_correlation(saved.numbers, "after"),
            )


def roundings(covariance: Covariance, deconvolution: Deconvolution) -> tuple[float, float]:
    """Return what variances before and after deconvolution must exceed to be more than rounding.

    Parameters
    ----------
    covariance : Covariance
        Cov of all patches.
    deconvolution : Deconvolution
        D that is applied to it.

    Returns
    -------
    (float, float)
        Variances, in squared units of [0, 1] pixels for Cov.
    """
    before = ROUNDING * covariance.mean.square().max().item()  # of the squares that a variance is the difference of
    gain = deconvolution.matrix.abs().sum(1).max().item()  # at least the largest eigenvalue, and quickly found
    return before, before * gain**2


def _correlation(covariance: NDArray[np.float64], rounding: float) -> NDArray[np.float64]:
    variance = covariance.diagonal()
    deviation = np.sqrt(np.where(variance > max(rounding, 0.0), variance, np.nan))
    return np.asarray(covariance / np.outer(deviation, deviation))


def _saved_correlation(numbers: dict[str, Any], side: str) -> MeanCorrelation:
    means = numbers["mean_abs_correlation"][side]
    return MeanCorrelation(
        within_channel=means["within_channel"],
        across_channels=means["across_channels"],
        same_pixel=numbers["same_pixel_correlation"][side],
        largest=numbers["max_abs_correlation"][side],
    )
