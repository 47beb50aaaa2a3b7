"""Tiles of signals, images and volumes: how axes are cut into them, their pixels, and views of their borders."""

import itertools
import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ndtools.numerics.patches import Sizes

__all__ = ["LONGEST_TRANSFORM", "Centred", "borders_of", "cut", "longest_transform", "subsets", "transform_length"]

# In samples along each axis, by the number of axes. A longer transform wastes less on the overlap of tiles; a shorter
# one stays in the processor's cache. On photographs of 500 × 375 pixels, 320 to 640 are about equally fast.
LONGEST_TRANSFORM = {1: 4096, 2: 448, 3: 96}
# The memory of a transform's sums grows with the square of the channels, so that many channels have shorter ones.
FEW_CHANNELS = 4


@dataclass(frozen=True, eq=False)
class Centred:
    """Pixels of an image less an offset, computed on demand and only for the rows and columns asked for.

    Attributes
    ----------
    pixels : Tensor of shape (C, H, W), (C, T) or (C, D, H, W)
        Pixels of the image in uint8, float32 or float64.
    offset : Tensor of shape (C,)
        Offset that is subtracted from each channel, float64, in units of the pixels.
    scale : float
        Factor that multiplies the difference.
    dtype : torch.dtype
        Dtype of the result, float32 or float64.
    """

    pixels: Tensor
    offset: Tensor
    scale: float
    dtype: torch.dtype

    def copy_to(self, out: Tensor, *part: slice) -> Tensor:
        """Compute scale · (pixels - offset) of a part, with a slice for each axis, into ``out``, and return ``out``."""
        pixels, offset = self.pixels[:, *part], self.offset.view(-1, *(1,) * (self.pixels.dim() - 1))
        if pixels.is_floating_point():
            torch.sub(pixels, offset.to(pixels.dtype), out=out)
        else:
            out.copy_(pixels).sub_(offset.to(out.dtype))  # whole numbers: exact in either order, and faster in this one
        return out if self.scale == 1 else out.mul_(self.scale)


@cache
def subsets(axes: int) -> tuple[Sizes, ...]:
    """Return all sets of the first axes, the smaller ones first."""
    return tuple(ends for count in range(axes + 1) for ends in itertools.combinations(range(axes), count))


@cache
def _borders_first(axes: int, ends: Sizes) -> Sizes:
    """Return the order of dimensions in which borders come first, then channels, lines of the borders, and the rest."""
    free = (1 + axis for axis in range(axes) if axis not in ends)
    return (*(1 + axis for axis in ends), 0, *range(1 + axes, 1 + axes + len(ends)), *free)


def borders_of(tile: Tensor, used: Sizes, kernel_size: Sizes) -> dict[Sizes, Tensor]:
    """Return views of a tile's borders, which only some elements of the window reach.

    Parameters
    ----------
    tile : Tensor of shape (C, *size)
        Tile that is zero outside the first ``used`` pixels along each axis.
    used : tuple of int
        Number of pixels along each axis.
    kernel_size : tuple of int
        Side k of the window along each axis.

    Returns
    -------
    dict of tuple of int to Tensor of shape (2, ..., C, k - 1, ..., *size)
        For every set of axes, the first and last k - 1 lines along each of them. The 2 ends of each come first, then
        channels and lines, then the whole tile along the other axes. That of no axis is the tile.
    """
    axes = len(used)
    views = {}
    for ends in subsets(axes):
        view = tile
        for axis in ends:
            n, k = used[axis], kernel_size[axis]
            # Windows of k - 1 lines, with the distance of the two borders as step: there are exactly two of them.
            part = view if view.shape[1 + axis] == n else view.narrow(1 + axis, 0, n)
            view = part.unfold(1 + axis, k - 1, n - k + 1)
        views[ends] = view.permute(_borders_first(axes, ends))
    return views


def longest_transform(axes: int, channels: int) -> int:
    """Return the number of samples along an axis that transforms have at most, if k is small."""
    longest = LONGEST_TRANSFORM[axes]
    return longest if channels <= FEW_CHANNELS else longest // 2


def cut(length: int, k: int, longest: int) -> list[slice]:
    """Cut an axis of ``length`` samples into pieces, so that each window of k samples is in exactly one piece.

    Parameters
    ----------
    length, k : int
        Number of samples of the axis, and of the window.
    longest : int
        Largest number of samples of a transform; more are allowed if the window is a large part of that.

    Returns
    -------
    list of slice
        Pieces of nearly equal length that overlap by k - 1 samples.
    """
    positions = length - k + 1
    fewest = math.ceil(positions / (max(longest, 4 * k) - 2 * (k - 1)))

    def samples(pieces: int) -> int:
        return pieces * transform_length(math.ceil(positions / pieces) + k - 1, k)

    step = math.ceil(positions / min(range(fewest, 2 * fewest + 1), key=samples))
    return [slice(p, min(p + step, positions) + k - 1) for p in range(0, positions, step)]


def transform_length(length: int, k: int) -> int:
    """Return a length for which the transform of ``length`` samples, for lags below k, is fast.

    Parameters
    ----------
    length, k : int
        Number of samples of the piece, and of the window.

    Returns
    -------
    int
        Length of at least ``length + k - 1``, so that no wanted lag wraps around, rounded up to one of four lengths
        an octave. These have fast transforms, and they are few, because each length has its own sums of tiles.
    """
    shortest = length + k - 1
    step = max(2, (1 << shortest.bit_length()) // 8)
    return math.ceil(shortest / step) * step
