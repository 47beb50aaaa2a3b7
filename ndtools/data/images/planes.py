"""Images whose channels are arrays that Pillow cannot hold: of any number of channels, and any type of numbers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ndtools.errors import DataError
from ndtools.numerics.finite import not_finite

__all__ = ["LUMA", "Pixels", "Planes"]

Pixels: TypeAlias = NDArray[np.uint8 | np.float32 | np.float64]

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in the luma of ITU-R 601-2."""

_MOST_PIXELS = 2**31  # of an image after resizing


@dataclass(frozen=True, eq=False)
class Planes:
    """Image whose pixels are read only when they are needed.

    Attributes
    ----------
    width, height : int
        Size in pixels.
    channels : int
        Number of channels.
    load : callable
        Function without arguments that returns the pixels, of shape (C, H, W). It raises DataError, whose message is
        only the reason. Any thread may call it.
    itemsize : int
        Bytes of a number of the pixels.
    step : float
        Step between neighbouring values of the pixels; 0 for floating point.
    frames : int
        Number of frames or pages of the file, of which this is the first. Default 1.
    bounded : bool
        Whether values are in [0, 1] or 0 to 255, so that resized ones are clipped to this range. Default False.
    """

    width: int
    height: int
    channels: int
    load: Callable[[], Pixels] = field(repr=False)
    itemsize: int = 4
    step: float = 0.0
    frames: int = 1
    bounded: bool = False

    @property
    def pixels(self) -> int:
        """Number of pixels, of all channels together."""
        return self.width * self.height * self.channels

    def memory(self, resize: int | None = None) -> int:
        """Estimate the memory in bytes that `decode` takes, including its result."""
        # The file's numbers, their conversion, and the check that they are finite.
        needed = (2 * self.itemsize + 9) * self.pixels
        if resize is not None:
            needed += round(12 * (resize / min(self.width, self.height)) ** 2 * self.pixels)
        return needed

    def using_memory(self, working: int, resize: int | None = None) -> int:
        """Estimate the memory in bytes of work that takes ``working`` bytes for each pixel of an 8-bit colour image."""
        scale = 1.0 if resize is None else resize / min(self.width, self.height)
        return round((working / 3 + 2 * self.itemsize) * scale**2 * self.pixels)

    def decode(self, *, gray: bool = False, resize: int | None = None) -> Pixels:
        """Read the pixels.

        Parameters
        ----------
        gray : bool
            Whether to return the luma of three channels, which are taken to be R, G and B. One channel stays as it is.
        resize : int, optional
            Length of the short side in pixels after antialiased (Lanczos) resizing of each channel.

        Returns
        -------
        array of shape (C, H, W)
            Pixels in uint8, float32 or float64.

        Raises
        ------
        DataError
            The file cannot be read, its values are not finite, or luma is not defined. The message is only the reason.
        """
        if gray and self.channels not in (1, 3):
            raise DataError(f"luma is defined for R, G and B, and the image has {self.channels} channels")
        pixels = self.load()
        if bad := not_finite(pixels):
            raise DataError(f"values must be finite, got {bad}")
        if gray and len(pixels) == 3:
            luma = np.tensordot(np.array(LUMA), pixels, 1)[None]
            pixels = np.rint(luma).astype(np.uint8) if pixels.dtype == np.uint8 else luma.astype(pixels.dtype)
        return pixels if resize is None else self._resized(pixels, resize)

    def _resized(self, pixels: Pixels, short_side: int) -> Pixels:
        scale = short_side / min(self.width, self.height)
        width, height = (max(1, round(side * scale)) for side in (self.width, self.height))
        if width * height * len(pixels) > _MOST_PIXELS:
            raise DataError(f"would have {width} x {height} pixels after resizing; crop it, or choose a smaller resize")
        # Pillow resizes numbers of 32 bits; the mean is taken off, so that their rounding is that of the variation.
        means = pixels.mean((1, 2), dtype=np.float64)
        planes = [np.asarray(plane - mean, dtype=np.float32) for plane, mean in zip(pixels, means, strict=True)]
        resized: NDArray[Any] = np.stack(
            [
                np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.LANCZOS)) + mean
                for plane, mean in zip(planes, means, strict=True)
            ]
        )
        if pixels.dtype == np.uint8:
            resized = np.rint(resized).clip(0, 255)
        elif self.bounded:
            resized = resized.clip(0, 1)
        return np.asarray(resized, dtype=pixels.dtype)
