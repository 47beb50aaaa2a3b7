"""Images and deconvolved images as levels from 0 to 255."""

import numpy as np
from numpy.typing import NDArray

from ndtools.numerics.colour import light_of, srgb
from ndtools.validation import Space

__all__ = ["brightest", "picture_of", "picture_of_pixels", "shown"]

ROWS = 128  # of an image that are converted at a time
BRIGHTEST = 99.5  # percentile of a magnitude that is shown white: scaled to the very largest, the rest is a grey haze


def picture_of(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a deconvolved image as levels from 0 to 255, in which 0 is mid-grey.

    Parameters
    ----------
    values : array of shape (C, H, W)
        Values of a deconvolved image, of which the largest 0.5 % of magnitudes are clipped.

    Returns
    -------
    array of shape (H, W) or (H, W, 3)
        Grey levels or colours.
    """
    return _levels(127.5 * (1 + np.clip(values / brightest(values), -1, 1)))


def picture_of_pixels(pixels: NDArray[np.float32], space: Space) -> NDArray[np.uint8]:
    """Return pixels of a colour space as levels from 0 to 255 in sRGB; what is outside of its range is clipped.

    Parameters
    ----------
    pixels : array of shape (C, H, W)
        Pixels of an image, or of a deconvolved image that kept the scale of its channels.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the pixels.

    Returns
    -------
    array of shape (H, W) or (H, W, 3)
        Grey levels or colours.
    """
    return _levels(255 * np.clip(shown(pixels, space), 0, 1))


def shown(pixels: NDArray[np.float32], space: Space) -> NDArray[np.float32]:
    """Return pixels (C, H, W) of a colour space as files show them: sRGB, in [0, 1] for images."""
    if space == "srgb":
        return pixels
    converted = np.empty_like(pixels, dtype=np.float32)
    for start in range(0, pixels.shape[1], ROWS):  # conversion takes ten times the memory of what it converts
        rows = slice(start, start + ROWS)
        converted[:, rows] = srgb(light_of(pixels[:, rows], space))
    return converted


def _levels(scaled: NDArray[np.float32]) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = np.rint(scaled).astype(np.uint8)
    return levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)


def brightest(values: NDArray[np.float32]) -> float:
    """Return the magnitude that pictures show black or white: the 99.5th percentile, or else the largest, or else 1."""
    size = np.abs(values)
    return float(np.percentile(size, BRIGHTEST)) or float(size.max()) or 1.0
