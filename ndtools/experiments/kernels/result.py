"""Kernels of an image set: the result of ``ndtools kernels``, live or read back from its files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.drawing.channels import shown_channels
from ndtools.experiments.kernels.bootstrap import KernelBootstrap
from ndtools.experiments.kernels.cells import CellMeasures
from ndtools.experiments.kernels.config import KernelsConfig
from ndtools.experiments.kernels.degrees import degrees_of
from ndtools.moments.words import space_array
from ndtools.numerics.covariance import has_variance
from ndtools.numerics.kernel_profiles import opponency
from ndtools.results.deconvolutions import PatchResult, deconvolution_arrays
from ndtools.results.read import SavedResult
from ndtools.text import in_space, precision_in_words, ridge_in_words, source_name, with_error

__all__ = ["ChannelKernel", "KernelsResult"]


@dataclass(frozen=True)
class ChannelKernel:
    """Summary of the kernel by which a channel enters itself.

    Attributes
    ----------
    name : str
        Name of the channel: "R", "G", "B", "X", "Y", "Z", "L", "M", "S" or "gray", or that of a channel of arrays.
    center : float
        The kernel at its centre.
    surround_mean : float or None
        Mean of the 8 taps around it; None for a kernel of one pixel.
    center_surround_ratio : float or None
        center / |surround_mean|; None where the surround is 0.
    polarity : {"on", "off", None}
        "on" if center > 0 > surround_mean, "off" if center < 0 < surround_mean.
    standard_error : dict of str to float or None, optional
        Standard error of ``center_surround_ratio``, if there is a bootstrap.
    """

    name: str
    center: float
    surround_mean: float | None
    center_surround_ratio: float | None
    polarity: str | None
    standard_error: dict[str, float | None] | None = None

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        return {name: value for name, value in vars(self).items() if name != "standard_error" or value is not None}

    def ratio_in_words(self) -> str:
        """Return the ratio of centre and surround with its standard error; "-" if there is no ratio."""
        error = (self.standard_error or {}).get("center_surround_ratio")
        return with_error(self.center_surround_ratio, error, 4)

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any]) -> "ChannelKernel":
        """Restore the summary from what `numbers` returned, with or without further keys."""
        names = ("name", "center", "surround_mean", "center_surround_ratio", "polarity")
        return cls(**{name: numbers[name] for name in names}, standard_error=numbers.get("standard_error"))


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class KernelsResult(PatchResult):
    """Deconvolution kernels of an image set, with their ridge, condition number and errors.

    Attributes
    ----------
    config : KernelsConfig
        Configuration of this run.
    images : ImagesUsed
        Images that were used and skipped.
    covariance : Covariance
        Covariance of all patches of the images.
    deconvolution : Deconvolution
        D = (Cov + eps·I)^(-1/2).
    kernels : array of shape (C, C, k, k)
        float64; ``kernels[i, j]`` is how input channel j enters output channel i.
    channels : tuple of ChannelKernel
        A summary for each channel.
    device : str
        Device on which the result was computed.
    cells : tuple of CellMeasures
        One for each channel if ``fit`` was asked for; else none.
    bootstrap : KernelBootstrap or None
        If asked for.
    ridge : RidgeChoice or None
        Choice of the ridge, if it was "auto".
    origin : Origin or None
        Source of the moments; None if there are several, or if it is not known.
    """

    config: KernelsConfig
    kernels: NDArray[np.float64]
    channels: tuple[ChannelKernel, ...]
    cells: tuple[CellMeasures, ...] = ()
    bootstrap: KernelBootstrap | None = None

    @property
    def shown(self) -> "KernelsResult":
        """The same result with the channels that figures show one by one: of more than three, three."""
        places = shown_channels(len(self.channels))
        if len(places) == len(self.channels):
            return self
        among = np.ix_(places, places)
        found = self.bootstrap
        if found:
            samples = found.samples[np.ix_(range(len(found.samples)), places, places)]
            found = replace(found, error=found.error[among], samples=samples)
        return replace(
            self,
            kernels=self.kernels[among],
            channels=tuple(self.channels[i] for i in places),
            cells=tuple(self.cells[i] for i in places) if self.cells else (),
            bootstrap=found,
        )

    def summary(self) -> Sequence[str]:
        """Return lines that say what the result comes from, and its main numbers."""
        size = self.config.kernel_size
        centers = (
            f"{channel.name} {channel.center:.4g}, {channel.ratio_in_words()}" for channel in self.shown.channels
        )
        return (
            f"{source_name(self.source)} · {self.images.counted} · {self.covariance.count:,} patches of {size}×{size}"
            f"{in_space(self.config.space, ' · ')}",
            f"{ridge_in_words(self.deconvolution, self.ridge)} · {precision_in_words(self.deconvolution)}",
            "center, center/surround: " + " · ".join(centers),
        )

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return the arrays of the .npz file by name."""
        return {
            "kernels": self.kernels,
            "covariance": self.covariance.matrix.numpy(),
            **deconvolution_arrays(self.deconvolution),
            "space": space_array(self.config.space),
            **(self.bootstrap.arrays() if self.bootstrap else {}),
        }

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        middle = self.config.kernel_size // 2
        return {
            **super().numbers(),
            "centers": self.kernels[:, :, middle, middle].tolist(),
            "channels": [
                channel.numbers() | (self._cell(i) if self.cells else {}) for i, channel in enumerate(self.channels)
            ],
            **({"opponency": self.opponency} if self.cells else {}),
            **({"bootstrap": self.bootstrap.numbers()} if self.bootstrap else {}),
        }

    def _cell(self, channel: int) -> dict[str, Any]:
        """Return what the .json file holds of a cell, in degrees too if the visual angle of a pixel is known."""
        cell, scale = self.cells[channel], self.config.pixels_per_degree
        return cell.numbers() | ({} if scale is None else {"degrees": degrees_of(cell, scale)})

    @property
    def opponency(self) -> NDArray[np.float64]:
        """How each channel weighs the others in a uniform image, (C, C)."""
        return opponency(self.kernels)

    @classmethod
    def from_saved(cls, saved: SavedResult) -> "KernelsResult":
        """Restore the result from its files; DataError if they are not those of a whole result of this command."""
        with saved.restoring("kernels"):
            config, numbers = saved.configuration(KernelsConfig), saved.numbers
            moments = cls.saved_fields(saved)
            kernels = saved.arrays["kernels"]
            cells = zip(numbers["channels"], has_variance(moments["covariance"]), strict=True) if config.fit else ()
            return cls(
                config=config,
                **moments,
                kernels=kernels,
                channels=tuple(ChannelKernel.from_numbers(channel) for channel in numbers["channels"]),
                cells=tuple(
                    CellMeasures.from_numbers(channel, kernels[i, i], varies=varies)
                    for i, (channel, varies) in enumerate(cells)
                ),
                bootstrap=KernelBootstrap.from_saved(saved) if config.bootstrap else None,
            )
