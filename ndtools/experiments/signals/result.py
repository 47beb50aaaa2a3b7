"""Signals or volumes before and after deconvolution: the result of ``ndtools signals``, live or read from its files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.shown import ShownResult
from ndtools.experiments.signals.config import SignalsConfig
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.patches import NOUNS, UNITS, times
from ndtools.numerics.ridge import RidgeChoice
from ndtools.numerics.sparsity import Distribution
from ndtools.results.deconvolutions import (
    deconvolution_arrays,
    deconvolution_numbers,
    ridge_numbers,
    saved_covariance,
    saved_deconvolution,
)
from ndtools.results.distributions import before_and_after, density_arrays, saved_distribution
from ndtools.results.read import SavedResult
from ndtools.text import counted, precision_in_words, ridge_in_words, source_name, with_error

__all__ = ["Excerpt", "SignalsResult", "strongest"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Excerpt:
    """A part of the first signal, or the middle slice of the first volume, that figures show.

    Attributes
    ----------
    before, after : array of shape (C', n) or (C', Y', X')
        Values of the first channels, less their mean before deconvolution, at the same places.
    start : int
        Number of the first sample, or of the slice, from 0.
    """

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    start: int


@dataclass(frozen=True, eq=False, repr=False)
class SignalsResult(ShownResult):
    """Signals or volumes before and after deconvolution, and its kernels.

    Attributes
    ----------
    config : SignalsConfig
        Configuration of this run.
    source : str
        Name of the source, printable.
    axes : str
        Axes of the patches besides the channels: "T" or "ZYX".
    names : tuple of str
        Names of the channels.
    rate : float or None
        Samples per second; None if it is not known.
    covariance : Covariance
        Covariance of all patches of all signals.
    fit : Deconvolution
        D = (Cov + eps·I)^(-1/2).
    kernels : array of shape (C, C, k, ...)
        float64; ``kernels[i, j]`` is how input channel j enters output channel i.
    deconvolved : tuple of array of shape (C, T - k + 1) or (C, Z - k + 1, Y - k + 1, X - k + 1)
        Centre outputs of D(x − μ) for each signal or volume.
    correlations_after : array of shape (C, C, k, ...)
        Correlation of each channel at the centre with all channels at all lags, after deconvolution. NaN where it is
        not defined: everywhere if all that is left is smaller than a patch.
    before, after : Distribution
        Distributions of all values about the mean of their channel in each signal.
    excerpt : Excerpt
        Part that figures show.
    device : str
        Device on which the covariance was computed.
    ridge : RidgeChoice or None
        Choice of the ridge, if it was "auto".
    """

    config: SignalsConfig
    source: str
    axes: str
    names: tuple[str, ...]
    rate: float | None
    covariance: Covariance
    fit: Deconvolution
    kernels: Array
    deconvolved: tuple[NDArray[Any], ...] = field(repr=False)
    correlations_after: Array
    before: Distribution
    after: Distribution
    excerpt: Excerpt
    device: str
    ridge: RidgeChoice | None = None

    @property
    def correlations_before(self) -> Array:
        """Correlation of each channel at the centre with all channels at all lags, before deconvolution."""
        return np.asarray(self.covariance.correlations_of_centre().numpy())

    @property
    def counted(self) -> str:
        """Number of signals or volumes, and of channels, in words."""
        noun = NOUNS[len(self.axes)]
        return f"{counted(len(self.deconvolved), noun)} of {counted(len(self.names), 'channel')}"

    @property
    def patch(self) -> str:
        """Size of the patches in words, as in "15 samples" or "5×5×5 voxels"."""
        return f"{times(self.fit.kernel_size)} {UNITS[len(self.axes)]}"

    @property
    def ridge_words(self) -> str:
        """The ridge in both of its units, and why it was chosen if it was."""
        chosen = ", chosen by the likelihood of held-out parts" if self.ridge else ""
        end = f"; it is the {self.ridge.at_end} ridge that was tried" if self.ridge and self.ridge.at_end else ""
        return f"{ridge_in_words(self.fit)}{chosen}{end}"

    @property
    def correlation_words(self) -> str:
        """The strongest correlation before and after deconvolution, in words."""
        sides = (strongest(side) for side in (self.correlations_before, self.correlations_after))
        return f"strongest correlation {' -> '.join(with_error(side) for side in sides)}"

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        return (
            f"{source_name(self.source)} · {self.counted} · {self.covariance.count:,} patches of {self.patch}",
            f"{self.ridge_words} · {precision_in_words(self.fit)}",
            f"{self.correlation_words} · {before_and_after(self.before, self.after)}",
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the .npz file by name."""
        shapes = {values.shape for values in self.deconvolved}
        if len(shapes) == 1:
            deconvolved = {"deconvolved": np.stack(self.deconvolved)}
        else:
            deconvolved = {f"deconvolved_{i}": values for i, values in enumerate(self.deconvolved)}
        return {
            "kernels": self.kernels,
            **deconvolved,
            "covariance": self.covariance.matrix.numpy(),
            **deconvolution_arrays(self.fit),
            "correlations_before": self.correlations_before,
            "correlations_after": self.correlations_after,
            "excerpt_before": self.excerpt.before,
            "excerpt_after": self.excerpt.after,
            **density_arrays(self.before, self.after),
        }

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        middle = math.prod(self.fit.kernel_size) // 2
        return {
            "axes": self.axes,
            "names": list(self.names),
            "rate": self.rate,
            "signals": len(self.deconvolved),
            "patches": self.covariance.count,
            "covariance_rounding": self.covariance.rounding,
            "kernel_size": list(self.fit.kernel_size),
            **deconvolution_numbers(self.fit),
            **ridge_numbers(self.config, self.ridge),
            "method": self.config.method,
            "centers": self.kernels.reshape(*self.kernels.shape[:2], -1)[:, :, middle].tolist(),
            "strongest_correlation": {
                "before": strongest(self.correlations_before),
                "after": strongest(self.correlations_after),
            },
            "excerpt_start": self.excerpt.start,
            "before": self.before.numbers(),
            "after": self.after.numbers(),
        }

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "SignalsResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("signals"):
            numbers, arrays, fit = saved.numbers, saved.arrays, saved_deconvolution(saved)
            if fit is None:
                raise ValueError("it has no deconvolution")
            if "deconvolved" in arrays:
                deconvolved = tuple(arrays["deconvolved"])
            else:
                deconvolved = tuple(arrays[f"deconvolved_{i}"] for i in range(numbers["signals"]))
            return cls(
                config=saved.configuration(SignalsConfig),
                source=saved.source,
                axes=numbers["axes"],
                names=tuple(numbers["names"]),
                rate=numbers["rate"],
                covariance=saved_covariance(saved, fit),
                fit=fit,
                kernels=arrays["kernels"],
                deconvolved=deconvolved,
                correlations_after=arrays["correlations_after"],
                before=saved_distribution(saved, "before"),
                after=saved_distribution(saved, "after"),
                excerpt=Excerpt(arrays["excerpt_before"], arrays["excerpt_after"], numbers["excerpt_start"]),
                device=saved.device,
                ridge=RidgeChoice.from_numbers(numbers.get("ridge")),
            )


def strongest(correlations: Array) -> float | None:
    """Return the largest magnitude of a correlation between two different elements of a patch.

    Parameters
    ----------
    correlations : array of shape (C, C, k, ...)
        Correlation of each channel at the centre with all channels at all lags.

    Returns
    -------
    float or None
        Magnitude from 0 to 1; None if no correlation is defined.
    """
    size = np.abs(others(correlations))
    return float(np.nanmax(size)) if np.isfinite(size).any() else None


def others(correlations: Array) -> Array:
    """Return correlations (C, C, k, ...), with NaN in place of those of each element with itself."""
    flat = correlations.reshape(*correlations.shape[:2], -1).copy()
    flat[np.arange(len(flat)), np.arange(len(flat)), flat.shape[2] // 2] = np.nan
    return np.asarray(flat.reshape(correlations.shape))
