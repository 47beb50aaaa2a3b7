r"""Colour spaces of pixels: sRGB as files have it, light, CIE XYZ, and the signals of cones.

The pixels of files are taken to be sRGB (IEC 61966-2-1:1999), about the power 1/2.2 of light, so that their products
and sums are not those of light. Every other space begins with the light of the three primaries,

    linear = s/12.92                      for s ≤ 0.04045,
             ((s + 0.055)/1.055)^2.4      beyond,

and goes on with one matrix for each pixel. CIE XYZ is that of the same standard (D65, 2 degrees, 1931). Cones are those
of Hunt, Pointer and Estevez: the matrix from XYZ of CIE 159:2004 (CIECAM02), each row divided by its value for white,
so that white is L = M = S = 1. All entries of the matrix from linear RGB are positive, hence L, M and S of every colour
are in [0, 1]. A file does not tell the spectra: these are the cone signals that the picture causes on an sRGB display.

The logarithm, log10(x + 1/255), is defined for black: the offset is 1/255 of white, below which 8-bit files have only
about a dozen levels. It ranges from -2.41 to 0.002.

Arrays have shape (..., C, H, W) with C 3 or 1: one channel stands for light without colour.

References: Hunt and Pointer 1985, Color Research and Application 10, 165-179; Estevez 1979, thesis, Amsterdam;
Ruderman, Cronin and Chiao 1998, J. Opt. Soc. Am. A 15, 2036-2045, for the logarithm of cone signals.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ndtools.validation import Space

__all__ = [
    "OFFSET",
    "Single",
    "channel_names",
    "channel_words",
    "from_light",
    "light",
    "light_of",
    "luminance",
    "matrix_of",
    "reach_of",
    "rounding_variance",
    "srgb",
    "units_in_words",
]

Array = NDArray[np.float64]
Single = NDArray[np.float32]

XYZ_OF_LIGHT = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
"""From linear sRGB to CIE XYZ (IEC 61966-2-1)."""
CONES_OF_XYZ = np.array([[0.38971, 0.68898, -0.07868], [-0.22981, 1.18340, 0.04641], [0.0, 0.0, 1.0]])
"""From CIE XYZ to cones by Hunt, Pointer and Estevez, before white is scaled to 1 (CIE 159:2004)."""
LUMINANCE = XYZ_OF_LIGHT[1]
"""Relative luminance Y of the red, green and blue primaries."""
OFFSET = 1 / 255
"""Offset under the logarithm of cone signals, in units of white."""
SAMPLED = 2**12  # pixels, about, from which the effect of rounding is estimated

_LINEAR_UP_TO, _SLOPE, _SHIFT, _POWER = 0.04045, 12.92, 0.055, 2.4
_NAMES: dict[str, tuple[str, ...]] = {
    "srgb": ("R", "G", "B"),
    "linear": ("R", "G", "B"),
    "xyz": ("X", "Y", "Z"),
    "lms": ("L", "M", "S"),
    "log-lms": ("L", "M", "S"),
}


def channel_names(channels: int, space: Space = "srgb") -> tuple[str, ...]:
    """Return the names of the channels of a colour space, or "gray" for one channel."""
    return ("gray",) if channels == 1 else _NAMES[space]


def channel_words(space: Space) -> tuple[str, ...]:
    """Return the names of the three channels of a colour space as sentences have them, such as "green"."""
    return ("red", "green", "blue") if space in ("srgb", "linear") else _NAMES[space]


def units_in_words(space: Space) -> str:
    """Say in which unit pixels of a colour space are, as captions do."""
    return {
        "srgb": "pixels in [0, 1]",
        "linear": "light of the primaries, of which white is 1",
        "xyz": "CIE XYZ, of which white has Y = 1",
        "lms": "cone signals L, M and S, of which white is 1",
        "log-lms": "log10 of the cone signals L, M and S plus 1/255 of white",
    }[space]


def reach_of(space: Space) -> tuple[float, float]:
    """Return the smallest and the largest value that a channel can have."""
    if space == "log-lms":
        return float(np.log10(OFFSET)), float(np.log10(1 + OFFSET))
    return 0.0, float(XYZ_OF_LIGHT.sum(1).max()) if space == "xyz" else 1.0


def matrix_of(space: Space) -> Array:
    """Return the matrix from linear RGB to a space, or to what a space is the logarithm of, (3, 3)."""
    if space in ("srgb", "linear"):
        return np.eye(3)
    if space == "xyz":
        return XYZ_OF_LIGHT
    cones = CONES_OF_XYZ @ XYZ_OF_LIGHT
    scaled: Array = cones / cones.sum(1, keepdims=True)  # white is red, green and blue of 1
    return scaled


def _decoded(values: Array) -> Array:
    linear: Array = np.where(
        values <= _LINEAR_UP_TO, values / _SLOPE, ((np.maximum(values, 0) + _SHIFT) / (1 + _SHIFT)) ** _POWER
    )
    return linear


_LEVELS: Single = _decoded(np.arange(256) / 255).astype(np.float32)


def light(pixels: NDArray[np.uint8 | np.float32 | np.float64]) -> Single:
    """Return the light of sRGB pixels: uint8 in 0..255, or floats in [0, 1], of any shape; float32 in [0, 1]."""
    if pixels.dtype == np.uint8:
        levels: Single = _LEVELS[pixels]
        return levels
    return _decoded(pixels.astype(np.float64)).astype(np.float32)


def srgb(linear: NDArray[Any]) -> Array:
    """Return the sRGB values in [0, 1] of light, of any shape; light beyond [0, 1] is clipped."""
    linear = np.clip(linear, 0, 1).astype(np.float64)
    small = _LINEAR_UP_TO / _SLOPE
    values: Array = np.where(
        linear <= small, linear * _SLOPE, (1 + _SHIFT) * np.maximum(linear, small) ** (1 / _POWER) - _SHIFT
    )
    return values


def from_light(linear: Single, space: Space) -> Single:
    """Convert light to a colour space.

    Parameters
    ----------
    linear : array of shape (..., 3, H, W)
        Light of the red, green and blue primaries, float32 in [0, 1].
    space : {"linear", "xyz", "lms", "log-lms"}
        Colour space of the result.

    Returns
    -------
    array of shape (..., 3, H, W)
        Pixels in that space, float32.
    """
    if space == "linear":
        return linear
    shape = linear.shape
    flat = linear.reshape(*shape[:-2], -1)
    values = (matrix_of(space).astype(np.float32) @ flat).reshape(shape)
    if space == "log-lms":
        values += np.float32(OFFSET)
        np.log10(values, out=values)
    return values


def luminance(linear: Single) -> Single:
    """Return the relative luminance of light (..., 3, H, W) as (..., 1, H, W)."""
    weights = LUMINANCE.astype(np.float32).reshape(3, 1, 1)
    values: Single = (linear * weights).sum(-3, keepdims=True)
    return values


def light_of(values: NDArray[Any], space: Space) -> Array:
    """Convert pixels of a colour space (..., C, H, W) back to light, float64; one channel is light already."""
    wide: Array = values.astype(np.float64)
    if space == "srgb":
        return _decoded(wide)
    if wide.shape[-3] == 1:
        return wide
    if space == "log-lms":
        wide = 10**wide - OFFSET
    flat = wide.reshape(*wide.shape[:-2], -1)
    return np.asarray((np.linalg.inv(matrix_of(space)) @ flat).reshape(wide.shape))


def rounding_variance(pixels: Single, space: Space, step: float) -> float:
    """Estimate the variance that the rounding of a file's sRGB values has in another colour space.

    Parameters
    ----------
    pixels : array of shape (C, H, W)
        Pixels in the colour space, of which a grid of about 4,096 is looked at.
    space : {"linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels.
    step : float
        Step between neighbouring sRGB values of the file, in [0, 1]; 0 for none.

    Returns
    -------
    float
        Mean variance over pixels and channels. Errors of the three channels of a file count as independent, and as
        uniform within a step.
    """
    every = max(1, round((pixels.shape[1] * pixels.shape[2] / SAMPLED) ** 0.5))
    sample = pixels[:, ::every, ::every]
    linear = light_of(sample, space)
    value = srgb(linear)
    slope = np.where(
        value <= _LINEAR_UP_TO, 1 / _SLOPE, _POWER / (1 + _SHIFT) * ((value + _SHIFT) / (1 + _SHIFT)) ** (_POWER - 1)
    )
    variance = slope**2 * (step**2 / 12)
    if len(pixels) == 1:
        return float(variance.mean() * (LUMINANCE**2).sum())
    weights = matrix_of(space) ** 2
    variance = (weights @ variance.reshape(3, -1)).reshape(variance.shape)
    if space == "log-lms":
        variance = variance / (np.log(10) * 10 ** sample.astype(np.float64)) ** 2
    return float(variance.mean())
