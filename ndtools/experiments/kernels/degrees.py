"""Kernels in units of the eye: lengths in degrees of visual angle, frequencies in cycles per degree."""

from typing import Any

from ndtools.experiments.kernels.cells import CellMeasures

__all__ = ["degrees_of", "in_degrees"]


def in_degrees(pixels: float | None, pixels_per_degree: float) -> float | None:
    """Return a length in degrees of visual angle; None for none."""
    return None if pixels is None else pixels / pixels_per_degree


def degrees_of(cell: CellMeasures, pixels_per_degree: float) -> dict[str, Any]:
    """Return the lengths and frequencies of a kernel in units of the eye.

    Parameters
    ----------
    cell : CellMeasures
        Measures of the kernel in pixels.
    pixels_per_degree : float
        Number of pixels in a degree of visual angle.

    Returns
    -------
    dict of str
        Lengths in degrees by the names of their measures, None for those that the kernel does not have; frequencies in
        cycles per degree; and the standard errors of those that have one.
    """
    dog, measures, response = cell.dog, cell.measures, cell.response
    lengths = {name: getattr(measures, name) for name in ("zero_crossing", "surround_half_width")}
    for part in ("center", "surround"):
        known = dog is not None and (part == "center" or bool(dog.surround_volume))
        for name in (f"{part}_sigma", f"{part}_radius"):
            lengths[name] = getattr(dog, name) if known else None
        limit = getattr(dog, f"{part}_limit") if known else None
        lengths[f"{part}_limit"] = limit
    errors = {name: in_degrees(error, pixels_per_degree) for name, error in cell.errors.items() if name in lengths}
    low, high = response.low_band
    return {
        "pixels_per_degree": pixels_per_degree,
        **{name: in_degrees(length, pixels_per_degree) for name, length in lengths.items()},
        "peak_frequency": response.peak_frequency * pixels_per_degree,
        "nyquist": 0.5 * pixels_per_degree,
        "slope_band": None
        if response.low_frequency_slope is None
        else (low * pixels_per_degree, high * pixels_per_degree),
        **({"standard_error": errors} if errors else {}),
    }
