"""Convert pixels of 8 bits that are arrays already, as decoding an image file would."""

import numpy as np
from numpy.typing import NDArray

from ndtools.data.images.planes import Pixels
from ndtools.numerics.colour import from_light, light, luminance
from ndtools.validation import Space

__all__ = ["in_colour_space", "luma"]


def in_colour_space(pixels: NDArray[np.uint8], space: Space, *, gray: bool = False) -> Pixels:
    """Return 8-bit pixels (..., C, H, W) in a colour space, or reduced to one channel, as `decode_image` would.

    Parameters
    ----------
    pixels : array of shape (..., C, H, W), uint8
        Pixels of images as files have them, with C 3 or 1.
    space : {"srgb", "linear", "xyz", "lms", "log-lms"}
        Colour space of the result; "srgb" or "linear" for one channel.
    gray : bool
        Whether to reduce three channels to one: luma, or the luminance of the light. Default False.

    Returns
    -------
    array of shape (..., C, H, W)
        Pixels: uint8 in sRGB, float32 in other spaces.
    """
    coloured = pixels.shape[-3] == 3
    if space == "srgb":
        return luma(pixels) if gray and coloured else pixels
    linear = light(pixels)
    if not coloured:
        return linear
    return luminance(linear) if gray else from_light(linear, space)


def luma(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma of pixels (..., 3, H, W) as (..., 1, H, W), equal to that of `decode_image` for every colour."""
    # Pillow's arithmetic, in units of 1/65536.
    red, green, blue = (pixels[..., i : i + 1, :, :].astype(np.uint32) for i in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).astype(np.uint8)
