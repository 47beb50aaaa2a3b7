"""What is measured of one set of images, for one kernel size and ridge."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.experiments.compare_sets.differences import Uncertain, degrees_of_freedom, spread_of
from ndtools.numerics.deconvolution import RIDGE_AND_PRECISION, Deconvolution
from ndtools.numerics.kernel_profiles import frequency_response, radial_profile
from ndtools.numerics.ridge import RidgeChoice
from ndtools.numerics.sparsity import Distribution, Estimate
from ndtools.results.inputs import ImagesUsed

__all__ = ["Correlations", "RidgeUsed", "SetMeasures", "correlations_of", "responses_of"]

Array = NDArray[np.float64]

FREQUENCIES = 64  # side of the transforms, at least: frequencies are 1/64 cycles per pixel apart
_SIDES = ("before", "after")


@dataclass(frozen=True)
class RidgeUsed:
    """Ridge of the deconvolution of a set, and how precise that is; see `ndtools.numerics.deconvolution`.

    Attributes
    ----------
    eps : float
        Absolute ridge, in squared units of [0, 1] pixels.
    relative_eps : float or None
        Ridge in units of the mean variance of the set; None if there is no variance.
    condition, residual, covariance_error : float
        Condition number of Cov + eps·I, residual of its inverse square root, and effect of rounding in Cov.
    """

    eps: float
    relative_eps: float | None
    condition: float
    residual: float
    covariance_error: float

    @classmethod
    def of(cls, fit: Deconvolution) -> "RidgeUsed":
        """Take the numbers from a deconvolution."""
        return cls(fit.eps, fit.relative_eps, fit.condition, fit.residual, fit.covariance_error)

    def numbers(self) -> dict[str, float | None]:
        """Return the entries of the .json file, under the names that all commands have for them."""
        return dict(zip(RIDGE_AND_PRECISION, vars(self).values(), strict=True))

    @classmethod
    def from_numbers(cls, numbers: Mapping[str, Any]) -> "RidgeUsed":
        """Restore the value from what `numbers` returned, with or without further keys."""
        return cls(*(numbers[name] for name in RIDGE_AND_PRECISION))


@dataclass(frozen=True, eq=False)
class Correlations:
    """Correlations between the pixels of a set, which depend on no ridge.

    Attributes
    ----------
    by_distance : array of shape (k//2 + 1,)
        Correlation of pixels of the same channel, mean over the channels and over pixels whose distance rounds to 0,
        1, ..., k//2 pixels.
    by_distance_error : array of shape (k//2 + 1,) or None
        Its standard error; None without a bootstrap.
    neighbours : Uncertain
        Correlation at a distance of one pixel; undefined for kernels of one pixel.
    channels : Uncertain
        Mean correlation of different channels of the same pixel; undefined for grey images.
    """

    by_distance: Array
    by_distance_error: Array | None
    neighbours: Uncertain
    channels: Uncertain

    def numbers(self) -> dict[str, Any]:
        """Return the entries of the .json file."""
        return {"neighbours": vars(self.neighbours), "channels": vars(self.channels)}


@dataclass(frozen=True, eq=False)
class SetMeasures:
    """Measures of one set of images.

    Attributes
    ----------
    name : str
        Name of the set in tables and figures: "A", "B" or "C".
    images : ImagesUsed
        Images that were used and skipped.
    from_moments : bool
        Whether the set is files of moments, which hold no images.
    patches : int
        Number of patches.
    groups : int
        Number of groups of images that were resampled for the standard errors; 1 for no errors.
    mean_variance : float
        Mean variance of a pixel in [0, 1].
    fit : RidgeUsed
        Ridge and precision of D.
    ridge : RidgeChoice or None
        Choice of the ridge, if it was "auto".
    kernels : array of shape (C, C, k, k)
        Kernels by output and input channel.
    kernels_error : array of shape (C, C, k, k) or None
        Standard error of each weight; None without a bootstrap.
    frequency : array of shape (n,)
        Spatial frequencies, cycles per pixel.
    response : array of shape (C, n)
        Mean of |H| over orientations, of the kernel by which each channel enters itself.
    response_error : array of shape (C, n) or None
        Standard error of ``response``; None without a bootstrap.
    correlations : Correlations
        Correlations of pixels and of channels.
    before, after : Distribution or None
        Distribution of the pixels less the channel means, and of the deconvolved pixels; None if it was not measured.
    """

    name: str
    images: ImagesUsed
    from_moments: bool
    patches: int
    groups: int
    mean_variance: float
    fit: RidgeUsed
    ridge: RidgeChoice | None
    kernels: Array
    kernels_error: Array | None
    frequency: Array
    response: Array
    response_error: Array | None
    correlations: Correlations
    before: Distribution | None
    after: Distribution | None

    @property
    def source(self) -> str:
        """Name of the image source, or of the files of moments, printable."""
        return self.images.label

    def arrays(self) -> dict[str, Array]:
        """Return the arrays of the .npz file, with the name of the set before theirs."""
        found: dict[str, Array | None] = {
            "kernels": self.kernels,
            "kernels_error": self.kernels_error,
            "frequency": self.frequency,
            "response": self.response,
            "response_error": self.response_error,
            "correlation": self.correlations.by_distance,
            "correlation_error": self.correlations.by_distance_error,
            **{f"density_{side}": getattr(self, side) and getattr(self, side).density for side in _SIDES},
        }
        return {f"{self.name}_{name}": array for name, array in found.items() if array is not None}

    def numbers(self) -> dict[str, Any]:
        """Return the entries of the .json file about this set."""
        middle = self.kernels.shape[-1] // 2
        return {
            "name": self.name,
            "source": self.source,
            "from_moments": self.from_moments,
            "images": self.images.numbers(),
            "patches": self.patches,
            "groups": self.groups,
            "mean_variance": self.mean_variance,
            **self.fit.numbers(),
            **({"ridge": self.ridge.numbers()} if self.ridge else {}),
            "centers": self.kernels[:, :, middle, middle].tolist(),
            "correlations": self.correlations.numbers(),
            **{side: getattr(self, side) and getattr(self, side).numbers() for side in _SIDES},
        }

    @classmethod
    def from_saved(cls, numbers: Mapping[str, Any], arrays: Mapping[str, Array]) -> "SetMeasures":
        """Restore the measures from their entries of the .json file and all arrays of the .npz file."""
        name = numbers["name"]
        own = {key.removeprefix(f"{name}_"): array for key, array in arrays.items() if key.startswith(f"{name}_")}
        correlations = {key: Uncertain(**numbers["correlations"][key]) for key in ("neighbours", "channels")}
        return cls(
            name=name,
            images=ImagesUsed.from_numbers(numbers["source"], numbers["images"]),
            from_moments=numbers["from_moments"],
            patches=numbers["patches"],
            groups=numbers["groups"],
            mean_variance=numbers["mean_variance"],
            fit=RidgeUsed.from_numbers(numbers),
            ridge=RidgeChoice.from_numbers(numbers.get("ridge")),
            kernels=own["kernels"],
            kernels_error=own.get("kernels_error"),
            frequency=own["frequency"],
            response=own["response"],
            response_error=own.get("response_error"),
            correlations=Correlations(own["correlation"], own.get("correlation_error"), **correlations),
            **{side: _distribution(numbers[side], own.get(f"density_{side}")) for side in _SIDES},
        )


def responses_of(kernels: Array) -> tuple[Array, Array]:
    """Return frequencies, and the frequency responses of the kernels by which channels enter themselves.

    Parameters
    ----------
    kernels : array of shape (..., C, C, k, k)
        Kernels by output and input channel.

    Returns
    -------
    frequency : array of shape (n,)
        Frequencies, cycles per pixel.
    response : array of shape (..., C, n)
        Mean of |H| over orientations; NaN for kernels that are not finite.
    """
    own = np.moveaxis(np.diagonal(kernels, axis1=-4, axis2=-3), -1, -3)
    n = max(FREQUENCIES, own.shape[-1] + 1)
    frequency = frequency_response(np.ones((1, 1)), n).frequency
    flat = own.reshape(-1, *own.shape[-2:])
    found = [
        frequency_response(kernel, n).magnitude if np.isfinite(kernel).all() else np.full(len(frequency), np.nan)
        for kernel in flat
    ]
    return frequency, np.array(found).reshape(*own.shape[:-2], -1)


def correlations_of(correlations: Array, samples: Array | None, groups: int = 1) -> Correlations:
    """Summarise the correlations of the centre pixel.

    Parameters
    ----------
    correlations : array of shape (C, C, k, k)
        Correlations of the centre pixel with all pixels of a patch.
    samples : array of shape (r, C, C, k, k) or None
        The same of bootstrap replicates; None without a bootstrap.
    groups : int
        Number of groups of images that were resampled.

    Returns
    -------
    Correlations
        Correlations by distance, of neighbours, and of channels.
    """
    curve, across = _summary(correlations)
    freedom = None if samples is None else degrees_of_freedom(groups, len(samples))
    curves = others = None
    if samples is not None:
        summaries = [_summary(sample) for sample in samples]
        curves, others = np.array([c for c, _ in summaries]), np.array([a for _, a in summaries])
    neighbours = Uncertain(None, None)
    if len(curve) > 1:
        neighbours = Uncertain.of(float(curve[1]), None if curves is None else curves[:, 1], freedom)
    error = None if curves is None else spread_of(curves)
    return Correlations(curve, error, neighbours, Uncertain.of(across, others, freedom))


def _summary(correlations: Array) -> tuple[Array, float]:
    """Return the correlation by distance, and the mean one of different channels of the same pixel."""
    channels, middle = len(correlations), correlations.shape[-1] // 2
    varying = [i for i in range(channels) if np.isfinite(correlations[i, i]).all()]
    if not varying:
        return np.full(middle + 1, np.nan), np.nan
    curve = np.mean([radial_profile(correlations[i, i]).mean for i in varying], axis=0)
    across = [correlations[i, j, middle, middle] for i in varying for j in varying if i < j]
    return curve, float(np.mean(across)) if across else np.nan


def _distribution(numbers: Mapping[str, Any] | None, density: Array | None) -> Distribution | None:
    if numbers is None or density is None:
        return None
    measures = {name: Estimate(numbers[name], *ends) for name, ends in numbers["intervals"].items()}
    return Distribution(numbers["sigma"], measures, density, numbers["clipped"])
