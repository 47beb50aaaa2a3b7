"""Covariances and deconvolutions in result files, which several experiments write and read."""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ndtools.numerics.covariance import Covariance
from ndtools.numerics.deconvolution import RIDGE_AND_PRECISION, Deconvolution
from ndtools.numerics.ridge import RidgeChoice
from ndtools.results.read import SavedResult, optional_float
from ndtools.validation import Ridge

__all__ = [
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
