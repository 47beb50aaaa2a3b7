"""Kernels measured as physiologists measure cells, with the errors of that."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.experiments.kernels.bootstrap import KernelBootstrap
from ndtools.numerics.center_surround import DifferenceOfGaussians, fit_difference_of_gaussians
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.deconvolution import has_variance
from ndtools.numerics.kernel_profiles import FrequencyResponse, RadialProfile, frequency_response, radial_profile
from ndtools.results.read import floats, optional_float

__all__ = ["CellMeasures", "measure_cells"]

FITTED = 50  # replicates at most: a standard error is then known to a tenth, and a fit takes some time
ERRORS = ("center_sigma", "surround_sigma", "volume_ratio", "low_frequency_slope")


@dataclass(frozen=True, eq=False)
class CellMeasures:
    """A channel's own kernel, measured as physiologists measure a cell.

    Attributes
    ----------
    dog : DifferenceOfGaussians or None
        None for kernels of 1 or 3 pixels, which are too small for a fit, and for channels without variance.
    profile : RadialProfile
        Around the centre.
    response : FrequencyResponse
        Response |H| to gratings.
    varies : bool
        Whether the channel has variance: else its kernel shows the ridge alone.
    errors : dict of str to float or None
        Standard errors of the fit's σ and ratio of volumes and of the slope, by name, from a bootstrap. None of what
        is a bound.
    """

    dog: DifferenceOfGaussians | None
    profile: RadialProfile
    response: FrequencyResponse
    varies: bool = True
    errors: dict[str, float | None] = field(default_factory=dict)

    @classmethod
    def of(cls, kernel: NDArray[np.float64], *, varies: bool = True) -> "CellMeasures":
        """Measure a kernel of shape (k, k), k odd, that is not 0 everywhere."""
        dog = fit_difference_of_gaussians(kernel) if varies and len(kernel) > 3 else None
        response = frequency_response(kernel)
        if not varies:
            response = replace(response, low_frequency_slope=None)
        return cls(dog, radial_profile(kernel), response, varies)

    def with_errors(self, found: KernelBootstrap, channel: int) -> "CellMeasures":
        """Return the same with standard errors, from what replicates of the kernel make of it."""
        if not self.varies:
            return self
        others = [CellMeasures.of(kernels[channel, channel])._values() for kernels in found.samples[:FITTED]]
        own = self._values()
        errors = {
            name: found.standard_error([other[name] for other in others]) if math.isfinite(own[name]) else None
            for name in ERRORS
        }
        if self.dog:
            for name, bound in (("center_sigma", self.dog.center_bound), ("surround_sigma", self.dog.surround_bound)):
                errors[name] = None if bound else errors[name]
        return replace(self, errors=errors)

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        dog, response = dict(vars(self.dog)) if self.dog else None, dict(vars(self.response))
        slope = self.response.low_frequency_slope
        response["slope_band"] = None if slope is None else self.response.low_band
        if self.errors:
            if dog:
                dog["standard_error"] = {name: self.errors[name] for name in ERRORS[:3]}
            response["standard_error"] = {"low_frequency_slope": self.errors["low_frequency_slope"]}
        return {"dog": dog, "radial_profile": vars(self.profile), "frequency_response": response}

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any], *, varies: bool) -> "CellMeasures":
        """Restore the measures from what `numbers` returned, with or without further keys."""
        dog, response = numbers["dog"], dict(numbers["frequency_response"])
        profile = numbers["radial_profile"]
        slope_error = response.pop("standard_error", None)
        response.pop("slope_band")
        for name in ("frequency", "magnitude"):
            response[name] = floats(response[name])
        response["count"] = np.array(response["count"], dtype=np.int64)
        response["low_band"] = tuple(response["low_band"])
        errors = {}
        if dog is not None:
            dog = dict(dog)
            errors = dog.pop("standard_error", {})
            dog["volume_ratio"] = optional_float(dog["volume_ratio"])
        if slope_error is not None:
            errors = {name: (errors | slope_error).get(name) for name in ERRORS}
        return cls(
            dog=None if dog is None else DifferenceOfGaussians(**dog),
            profile=RadialProfile(
                radius=floats(profile["radius"]),
                mean=floats(profile["mean"]),
                standard_deviation=floats(profile["standard_deviation"]),
                count=np.array(profile["count"], dtype=np.int64),
            ),
            response=FrequencyResponse(**response),
            varies=varies,
            errors=errors,
        )

    def _values(self) -> dict[str, float]:
        dog, slope = self.dog, self.response.low_frequency_slope
        sigmas = (dog.center_sigma, dog.surround_sigma, dog.volume_ratio) if dog else (math.nan,) * 3
        return dict(zip(ERRORS, (*sigmas, math.nan if slope is None else slope), strict=True))


def measure_cells(
    kernels: NDArray[np.float64], covariance: Covariance, found: KernelBootstrap | None
) -> tuple[CellMeasures, ...]:
    """Measure each channel's own kernel.

    Parameters
    ----------
    kernels : array of shape (C, C, k, k)
        Kernels by output and input channel.
    covariance : Covariance
        Covariance that the kernels come from.
    found : KernelBootstrap, optional
        Replicates of the kernels, for errors.

    Returns
    -------
    tuple of CellMeasures
        One for each channel.
    """
    varies: Sequence[bool] = has_variance(covariance)
    cells = [CellMeasures.of(kernels[i, i], varies=varies[i]) for i in range(len(kernels))]
    return tuple(cell.with_errors(found, i) if found else cell for i, cell in enumerate(cells))
