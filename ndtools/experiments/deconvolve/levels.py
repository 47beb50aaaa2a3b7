"""Deconvolved images as grey levels."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["brightest", "picture_of"]

BRIGHTEST = 99.5  # percentile of a magnitude that is shown white: scaled to the very largest, the rest is a grey haze


def picture_of(values: NDArray[np.float32], *, keep_scale: bool = False) -> NDArray[np.uint8]:
    """Return a deconvolved image as grey levels.

    Parameters
    ----------
    values : array of shape (C, H, W)
        Values of a deconvolved image.
    keep_scale : bool
        Whether its values are in [0, 1] like those of the image, and others are clipped. By default 0 is mid-grey, and
        the largest 0.5 % of magnitudes are clipped.

    Returns
    -------
    array of shape (H, W) or (H, W, 3)
        Grey levels or colours.
    """
    scaled = 255 * np.clip(values, 0, 1) if keep_scale else 127.5 * (1 + np.clip(values / brightest(values), -1, 1))
    levels: NDArray[np.uint8] = np.rint(scaled).astype(np.uint8)
    return levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)


def brightest(values: NDArray[np.float32]) -> float:
    """Return the magnitude that pictures show black or white: the 99.5th percentile, or else the largest, or else 1."""
    size = np.abs(values)
    return float(np.percentile(size, BRIGHTEST)) or float(size.max()) or 1.0
