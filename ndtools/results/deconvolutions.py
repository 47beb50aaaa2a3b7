"""Covariances and deconvolutions in result files, and what results that come from patches have in common."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ndtools.data.images.layouts import MomentsSettings
from ndtools.drawing.shown import ShownResult
from ndtools.moments.files import Moments
from ndtools.moments.origin import Origin
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.deconvolution import RIDGE_AND_PRECISION, Deconvolution
from ndtools.numerics.ridge import RidgeChoice
from ndtools.results.inputs import ImagesUsed
from ndtools.results.read import SavedResult, optional_float
from ndtools.validation import Ridge

__all__ = [
    "PatchResult",
    "deconvolution_arrays",
    "deconvolution_numbers",
    "ridge_numbers",
    "saved_covariance",
    "saved_deconvolution",
]


def deconvolution_arrays(fit: Deconvolution | None) -> dict[str, NDArray[np.float64]]:
    """Return the arrays of a deconvolution for a .npz file; none if there is no deconvolution."""
    if fit is None:
        return {}
    return {"mean": fit.mean.numpy(), "deconvolution": fit.matrix.numpy(), "eigenvalues": fit.eigenvalues.numpy()}


def deconvolution_numbers(fit: Deconvolution | None) -> dict[str, Any]:
    """Return the numbers of a deconvolution for a .json file; all are None if there is no deconvolution."""
    if fit is None:
        return {**dict.fromkeys(RIDGE_AND_PRECISION), "deconvolution": None}
    names = ("channels", "kernel_size", "mean_variance")
    return {**fit.numbers(), "deconvolution": {name: getattr(fit, name) for name in names}}


class _Ridged(Protocol):
    @property
    def eps(self) -> Ridge: ...
    @property
    def relative_eps(self) -> bool: ...


def ridge_numbers(config: _Ridged, choice: RidgeChoice | None) -> dict[str, Any]:
    """Return what a .json file says about how a ridge was asked for, and how it was chosen if it was "auto"."""
    relative = config.eps == "paper" or (config.relative_eps and config.eps != "auto")
    return {"relative_eps": relative, **({"ridge": choice.numbers()} if choice else {})}


def saved_deconvolution(saved: SavedResult) -> Deconvolution | None:
    """Restore a deconvolution from what `deconvolution_arrays` and `deconvolution_numbers` returned."""
    numbers, shape = saved.numbers, saved.numbers["deconvolution"]
    if shape is None:
        return None
    return Deconvolution(
        mean=torch.from_numpy(saved.arrays["mean"]),
        matrix=torch.from_numpy(saved.arrays["deconvolution"]),
        eigenvalues=torch.from_numpy(saved.arrays["eigenvalues"]),
        channels=shape["channels"],
        kernel_size=tuple(shape["kernel_size"]),
        eps=numbers["eps"],
        condition=optional_float(numbers["condition"]),
        residual=optional_float(numbers["residual"]),
        covariance_error=optional_float(numbers["covariance_error"]),
        mean_variance=shape["mean_variance"],
    )


def saved_covariance(saved: SavedResult, fit: Deconvolution) -> Covariance:
    """Restore the covariance of patches that a deconvolution was fitted to.

    Parameters
    ----------
    saved : SavedResult
        Files with the array "covariance" and the numbers "patches" and "covariance_rounding".
    fit : Deconvolution
        The deconvolution of the same files, which has the same mean, channels and kernel size.

    Returns
    -------
    Covariance
        The covariance, in float64.
    """
    return Covariance(
        mean=fit.mean,
        matrix=torch.from_numpy(saved.arrays["covariance"]),
        count=saved.numbers["patches"],
        channels=fit.channels,
        kernel_size=fit.kernel_size,
        rounding=saved.numbers["covariance_rounding"],
    )


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PatchResult(ShownResult):
    """Result that comes from the covariance of patches, whose moments can be saved and added up with others.

    Attributes
    ----------
    config : MomentsSettings
        Configuration of the run.
    images : ImagesUsed
        Images that were used and skipped.
    covariance : Covariance
        Covariance of all patches of the images.
    deconvolution : Deconvolution
        D = (Cov + eps·I)^(-1/2).
    device : str
        Device on which the result was computed.
    ridge : RidgeChoice or None
        Choice of the ridge, if it was "auto".
    origin : Origin or None
        Source of the moments; None if there are several, or if it is not known.
    """

    config: MomentsSettings
    images: ImagesUsed
    covariance: Covariance
    deconvolution: Deconvolution
    device: str
    ridge: RidgeChoice | None = None
    origin: Origin | None = None

    @property
    def fit(self) -> Deconvolution:
        """The deconvolution, under the name that it has in all results."""
        return self.deconvolution

    @property
    def source(self) -> str:
        """Name of the image source, or of the files of moments, printable."""
        return self.images.label

    def moments(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of a file of moments, which adds up with others (``from_moments``)."""
        config, images = self.config, self.images
        return Moments(
            self.covariance,
            images.read,
            config.resize,
            config.space,
            images.noise,
            self.origin,
            calibrated=images.calibrated,
            names=config.names_of(self.covariance.channels),
        ).arrays()

    def numbers(self) -> dict[str, Any]:
        """Return the numbers of the .json file by key."""
        return {
            "images": self.images.numbers(),
            "patches": self.covariance.count,
            "covariance_rounding": self.covariance.rounding,
            "origin": self.origin.numbers() if self.origin else None,
            "kernel_size": self.config.kernel_size,
            **deconvolution_numbers(self.deconvolution),
            **ridge_numbers(self.config, self.ridge),
            "method": self.config.method,
        }

    @staticmethod
    def saved_fields(saved: SavedResult) -> dict[str, Any]:
        """Restore the fields above, but for the configuration, from the files of a result."""
        numbers, fit = saved.numbers, saved_deconvolution(saved)
        if fit is None:
            raise ValueError("it has no deconvolution")
        return {
            "images": ImagesUsed.from_numbers(saved.source, numbers["images"]),
            "covariance": saved_covariance(saved, fit),
            "deconvolution": fit,
            "device": saved.device,
            "ridge": RidgeChoice.from_numbers(numbers.get("ridge")),
            "origin": Origin.from_numbers(numbers.get("origin")),
        }
