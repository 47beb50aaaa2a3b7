"""Kernels measured as physiologists measure cells, with the errors of that."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.experiments.kernels.bootstrap import KernelBootstrap
from ndtools.numerics.center_surround import MEASURES, CenterSurround, measure_center_surround
from ndtools.numerics.covariance import Covariance, has_variance
from ndtools.numerics.difference_of_gaussians import DifferenceOfGaussians, fit_difference_of_gaussians
from ndtools.numerics.kernel_profiles import FrequencyResponse, RadialProfile, frequency_response, radial_profile
from ndtools.results.read import floats, optional_float

__all__ = ["CellMeasures", "measure_cells"]

FITTED = 50  # replicates at most: a standard error is then known to a tenth, and a fit takes some time
DOG_ERRORS = ("center_sigma", "surround_sigma", "volume_ratio")
ERRORS = (*DOG_ERRORS, "low_frequency_slope", *MEASURES)


@dataclass(frozen=True, eq=False)
class CellMeasures:
    """A channel's own kernel, measured as physiologists measure a cell.

    Attributes
    ----------
    dog : DifferenceOfGaussians or None
        None for kernels of 1 or 3 pixels, which are too small for a fit, and for channels without variance.
    measures : CenterSurround
        Sizes and strengths of centre and surround that need no fit.
    profile : RadialProfile
        Around the centre.
    response : FrequencyResponse
        Response |H| to gratings.
    varies : bool
        Whether the channel has variance: else its kernel shows the ridge alone.
    errors : dict of str to float or None
        Standard errors of the fit's σ and ratio of volumes, of the slope, and of ``measures``, by name, from a
        bootstrap. None for a parameter whose interval is open at an end, and for what does not exist.
    """

    dog: DifferenceOfGaussians | None
    measures: CenterSurround
    profile: RadialProfile
    response: FrequencyResponse
    varies: bool = True
    errors: dict[str, float | None] = field(default_factory=dict)

    @classmethod
    def of(cls, kernel: NDArray[np.float64], *, varies: bool = True, intervals: bool = True) -> "CellMeasures":
        """Measure a kernel of shape (k, k), k odd, that is not 0 everywhere, with or without intervals of the fit."""
        dog = fit_difference_of_gaussians(kernel, intervals=intervals) if varies and len(kernel) > 3 else None
        response = frequency_response(kernel)
        if not varies:
            response = replace(response, low_frequency_slope=None)
        return cls(dog, measure_center_surround(kernel), radial_profile(kernel), response, varies)

    @property
    def dog_missing(self) -> str | None:
        """Reason why there is no difference of Gaussians; None if there is one."""
        if self.dog:
            return None
        if not self.varies:
            return "no variance: the kernel shows the ridge alone"
        if len(self.profile.radius) == 1:
            return "a kernel of one pixel has no surround"
        return "a 3×3 kernel has too few pixels"

    def with_errors(self, found: KernelBootstrap, channel: int) -> "CellMeasures":
        """Return the same with standard errors, from what replicates of the kernel make of it."""
        if not self.varies:
            return self
        others = [
            CellMeasures.of(kernels[channel, channel], intervals=False)._values() for kernels in found.samples[:FITTED]
        ]
        own = self._values()
        errors = {
            name: found.standard_error([other[name] for other in others]) if math.isfinite(own[name]) else None
            for name in ERRORS
        }
        if self.dog:
            errors |= {name: None for name in DOG_ERRORS if None in self.dog.intervals.get(name, ())}
        return replace(self, errors=errors)

    def numbers(self) -> dict[str, Any]:
        """Return what the .json file holds of it."""
        dog, response = dict(vars(self.dog)) if self.dog else None, dict(vars(self.response))
        if self.dog and dog:
            dog |= {"center_radius": self.dog.center_radius, "surround_radius": self.dog.surround_radius}
        measures = dict(vars(self.measures))
        slope = self.response.low_frequency_slope
        response["slope_band"] = None if slope is None else self.response.low_band
        if self.errors:
            if dog:
                dog["standard_error"] = {name: self.errors[name] for name in DOG_ERRORS}
            measures["standard_error"] = {name: self.errors[name] for name in MEASURES}
            response["standard_error"] = {"low_frequency_slope": self.errors["low_frequency_slope"]}
        return {
            "dog": dog,
            "dog_missing": self.dog_missing,
            "center_surround": measures,
            "radial_profile": vars(self.profile),
            "frequency_response": response,
        }

    @classmethod
    def from_numbers(cls, numbers: dict[str, Any], kernel: NDArray[np.float64], *, varies: bool) -> "CellMeasures":
        """Restore the measures from what `numbers` returned, with or without further keys."""
        dog, response, profile = numbers["dog"], numbers["frequency_response"], numbers["radial_profile"]
        measures = numbers.get("center_surround")  # absent from older files: then the kernel is measured again
        found = [part["standard_error"] for part in (dog, measures, response) if part and "standard_error" in part]
        errors: dict[str, float | None] = {}
        if found:
            errors = dict.fromkeys(ERRORS) | {name: value for part in found for name, value in part.items()}
        if dog is not None:
            intervals = {name: tuple(ends) for name, ends in dog.get("intervals", {}).items()}
            ratio = optional_float(dog["volume_ratio"])
            dog = _fields(DifferenceOfGaussians, dog | {"intervals": intervals, "volume_ratio": ratio})
        return cls(
            dog=None if dog is None else DifferenceOfGaussians(**dog),
            measures=CenterSurround(**_fields(CenterSurround, measures))
            if measures
            else measure_center_surround(kernel),
            profile=RadialProfile(
                radius=floats(profile["radius"]),
                mean=floats(profile["mean"]),
                standard_deviation=floats(profile["standard_deviation"]),
                count=np.array(profile["count"], dtype=np.int64),
            ),
            response=FrequencyResponse(
                **_fields(FrequencyResponse, response)
                | {
                    "frequency": floats(response["frequency"]),
                    "magnitude": floats(response["magnitude"]),
                    "count": np.array(response["count"], dtype=np.int64),
                    "low_band": tuple(response["low_band"]),
                }
            ),
            varies=varies,
            errors=errors,
        )

    def _values(self) -> dict[str, float]:
        """Return what has a standard error, by name; nan for what does not exist."""
        values = {name: getattr(self.measures, name) for name in MEASURES}
        values |= {name: getattr(self.dog, name) if self.dog else None for name in DOG_ERRORS}
        values["low_frequency_slope"] = self.response.low_frequency_slope
        return {name: math.nan if value is None else value for name, value in values.items()}


def _fields(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that are fields of a dataclass: files may hold further keys."""
    names = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in values.items() if name in names}


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
