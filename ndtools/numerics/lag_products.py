r"""Second moments of all windows of an image, from its correlations at every lag.

Let x be an image of C channels, zero outside its H × W pixels, and let a k_y × k_x window slide over its
N = (H - k_y + 1)(W - k_x + 1) valid positions. This module computes, for every two window elements (c, d) and (c', d'),

    S[c, d, c', d'] = Σ_p x_c[p + d] · x_c'[p + d'],       p over the valid positions.

Along one axis (n samples, n' = n - k + 1 positions) substitute q = p + d and l = d' - d:

    S[d, d'] = Σ_{q = d}^{d + n' - 1} x[q] · x[q + l]

This is the correlation at lag l over *all* q, less the terms with q < d and those with q ≥ d + n':

    S[d, d'] = lags[l] - Σ_{q < d} x[q] x[q + l] - Σ_{q ≥ d + n'} x[q] x[q + l]

In the first sum q + l = q - d + d' < d', so both factors are among the first k - 1 samples; in the second,
both are among the last k - 1. Hence S follows from the lag correlations and the products within the two
borders: :func:`window_products`. Each sum over q < d grows from d - 1 to d by one product, so all of them
are one cumulative sum along diagonals.

An image has two axes, and the same step is applied to both: first to the columns of the image and of the strips
at its top and bottom, then to the rows, with the strips' results as the borders. It needs

* lags: correlations of the image at all lags |l| < k, by the FFT (:class:`LagSpectra`);
* strips: for the first and last k_y - 1 rows, products of row pairs at all horizontal lags; for the first
  and last k_x - 1 columns likewise, by the FFT along the strip (:class:`StripSpectra`);
* corners: products of pixel pairs in the four (k_y - 1) × (k_x - 1) corners (:class:`CornerProducts`).

All three are linear in the products of the image, so they are summed over images, and S is assembled once
at the end. The cost of an image is that of its Fourier transform, for any k.

The windows of an image are the disjoint union of the windows of tiles that overlap by k - 1 pixels, so an
image of any size is cut into tiles whose transforms fit the processor's cache.
"""

import itertools
import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ndtools.numerics.correlations import CornerProducts, LagSpectra, StripSpectra, Total
from ndtools.numerics.patches import Pair

__all__ = ["Centred", "WindowProducts", "window_products", "window_sums"]

# In samples. A longer transform wastes less on the overlap of tiles; a shorter one stays in the processor's cache. On
# photographs of 500 × 375 pixels, anything from 320 to 640 is about equally fast.
LONGEST_TRANSFORM = 448
SIZES_OF_TILES = 32
LENGTHS_OF_STRIPS = 8
# The memory of a transform's sums grows with the square of the channels, so that many channels have shorter ones.
FEW_CHANNELS, LONGEST_OF_MANY = 4, 224


@dataclass(frozen=True, eq=False)
class Centred:
    """Pixels of an image less an offset, computed on demand and only for the rows and columns asked for.

    Attributes
    ----------
    pixels : Tensor of shape (C, H, W)
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

    def copy_to(self, out: Tensor, rows: slice = slice(None), columns: slice = slice(None)) -> Tensor:
        """Compute scale · (pixels - offset) of some rows and columns into ``out``, and return ``out``."""
        pixels, offset = self.pixels[:, rows, columns], self.offset[:, None, None]
        if pixels.is_floating_point():
            torch.sub(pixels, offset.to(pixels.dtype), out=out)
        else:
            out.copy_(pixels).sub_(offset.to(out.dtype))  # whole numbers: exact in either order, and faster in this one
        return out if self.scale == 1 else out.mul_(self.scale)


def window_products(lags: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Compute the products of a window that slides along one axis from the lag correlations along this axis.

    Parameters
    ----------
    lags : Tensor of shape (2k - 1, ...)
        Correlations Σ_q x[q] x'[q + l] over all q, at lags l = -(k - 1), ..., k - 1.
    first, last : Tensor of shape (k - 1, k - 1, ...)
        Products x[i] x'[j] within the first, and within the last, k - 1 samples.

    Returns
    -------
    Tensor of shape (k, k, ...)
        Sums Σ_p x[p + d] x'[p + d'] over the valid positions p, for every d and d'.
    """
    k = first.shape[0] + 1
    d = torch.arange(k, device=lags.device)
    products = lags[d[None, :] - d[:, None] + k - 1]
    before = torch.zeros_like(products)  # Σ over q < d: grows by one product from (d - 1, d' - 1) to (d, d')
    after = torch.zeros_like(products)  # Σ over q ≥ d + n': shrinks likewise
    for i in range(1, k):
        before[i, 1:] = before[i - 1, :-1] + first[i - 1]
        after[k - 1 - i, :-1] = after[k - i, 1:] + last[k - 1 - i]
    return products - before - after


def window_sums(total: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Compute the sum over each element of a window that slides along one axis from the sum along this axis.

    Parameters
    ----------
    total : Tensor of shape (...)
        Sum Σ_q x[q] over all q.
    first, last : Tensor of shape (k - 1, ...)
        First k - 1 samples, and last k - 1 samples.

    Returns
    -------
    Tensor of shape (k, ...)
        Sums Σ_p x[p + d] over the valid positions p, for every d.
    """
    k = len(first) + 1
    before = torch.ones(k, k - 1, dtype=total.dtype, device=total.device).tril(-1)  # [d, q]: whether q < d
    sums: Tensor = total - torch.tensordot(before, first, 1) - torch.tensordot(1 - before, last, 1)
    return sums


@dataclass(frozen=True, eq=False)
class Borders:
    """Views of a tile's borders, which only some elements of the window reach.

    Attributes
    ----------
    ends : Tensor of shape (2, C, k_y - 1, width)
        Strips at the top and the bottom.
    sides : Tensor of shape (2, C, k_x - 1, height)
        Strips at the left and the right.
    corners : Tensor of shape (2, 2, C, k_y - 1, k_x - 1)
        Corners at the top left, top right, bottom left and bottom right.
    """

    ends: Tensor
    sides: Tensor
    corners: Tensor

    @classmethod
    def of(cls, tile: Tensor, size: Pair, kernel_size: Pair) -> "Borders":
        """Return the borders of the ``size`` = (h, w) pixels of a tile (C, height, width) that is zero elsewhere."""
        (h, w), (ky, kx) = size, kernel_size
        # Windows of k - 1 lines, with the distance of the two borders as step: there are exactly two of them.
        ends = tile[:, :h].unfold(1, ky - 1, h - ky + 1)
        sides = tile[:, :, :w].unfold(2, kx - 1, w - kx + 1)
        corners = ends[:, :, :w].unfold(2, kx - 1, w - kx + 1)
        return cls(ends.permute(1, 0, 3, 2), sides.permute(2, 0, 3, 1), corners.permute(1, 2, 0, 3, 4))


def longest_transform(channels: int) -> int:
    """Return the number of samples that the transforms of images with so many channels have at most, if k is small."""
    return LONGEST_TRANSFORM if channels <= FEW_CHANNELS else LONGEST_OF_MANY


def sizes_of_tiles(channels: int) -> int:
    """Return how many sizes of transforms are kept apart: as many as take the memory of those of three channels."""
    pairs = channels * (channels + 1) // 2
    return min(SIZES_OF_TILES, max(1, 6 * SIZES_OF_TILES // pairs))


def cut(length: int, k: int, longest: int = LONGEST_TRANSFORM) -> list[slice]:
    """Cut an axis of ``length`` samples into pieces, so that each window of k samples is in exactly one piece.

    Parameters
    ----------
    length, k : int
        Number of samples of the axis, and of the window.
    longest : int
        Number of samples that a transform has at most (more if the window is a large part of that).

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


class WindowProducts:
    """Accumulator of the second moments of the windows of images.

    Parameters
    ----------
    channels : int
        Number C of channels.
    kernel_size : (int, int)
        Height k_y and width k_x of the window in pixels.
    device : torch.device
        Device of the images and of the sums.
    """

    def __init__(self, channels: int, kernel_size: Pair, *, device: torch.device) -> None:
        self.channels, self.kernel_size, self.device = channels, kernel_size, device
        self._memory: dict[torch.dtype, Tensor] = {}
        ky, kx = kernel_size
        # Shapes of the sums that give the first moments: over all pixels, along the ends, along the sides, and corners.
        c = channels
        self._shapes = ((c,), (2, c, ky - 1), (2, c, kx - 1), (2, 2, c, ky - 1, kx - 1))
        self.n_sums = sum(map(math.prod, self._shapes))
        rows, columns = channels * (ky - 1), channels * (kx - 1)  # lines of the strips
        self._lags = Total(
            (2 * kx - 1, 2 * ky - 1, channels, channels),
            device,
            partial(LagSpectra, channels, kernel_size, device=device),
            most=sizes_of_tiles(channels),
        )
        self._ends = Total(  # at the top and bottom
            (2, 2 * kx - 1, rows, rows),
            device,
            partial(StripSpectra, channels, ky - 1, kx, device=device),
            most=LENGTHS_OF_STRIPS,
        )
        self._sides = Total(  # at the left and right
            (2, 2 * ky - 1, columns, columns),
            device,
            partial(StripSpectra, channels, kx - 1, ky, device=device),
            most=LENGTHS_OF_STRIPS,
        )
        pixels = channels * (ky - 1) * (kx - 1)
        self._corners = Total(
            (2, 2, pixels, pixels),
            device,
            partial(CornerProducts, channels, (ky - 1, kx - 1), device=device),
            most=2,  # one for each dtype
        )

    def add(self, image: Centred) -> Tensor:
        """Add an image that is at least as large as the window.

        Parameters
        ----------
        image : Centred
            Pixels of the image less an offset.

        Returns
        -------
        Tensor of shape (n_sums,)
            Sums of the image over all pixels and along the borders, float64, which `first_moments` assembles.
        """
        (ky, kx), (_, height, width) = self.kernel_size, image.pixels.shape
        longest = longest_transform(self.channels)
        rows, columns = cut(height, ky, longest), cut(width, kx, longest)
        size = (transform_length(rows[0].stop, ky), transform_length(columns[0].stop, kx))
        tile = self._room(size, image.dtype)
        sums = torch.zeros(self.n_sums, dtype=torch.float64, device=self.device)
        for y, x in itertools.product(rows, columns):
            h, w = y.stop - y.start, x.stop - x.start
            image.copy_to(tile[:, :h, :w], y, x)
            tile[:, h:] = 0
            tile[:, :h, w:] = 0
            borders = Borders.of(tile, (h, w), self.kernel_size)
            self._lags.add((size, image.dtype), tile)
            self._ends.add((size[1], image.dtype), borders.ends)
            self._sides.add((size[0], image.dtype), borders.sides)
            self._corners.add((image.dtype,), borders.corners)
            sums_of_tile = (tile.sum((1, 2)), borders.ends.sum(3), borders.sides.sum(3), borders.corners)
            sums += torch.cat([values.flatten() for values in sums_of_tile])
        return sums

    def first_moments(self, sums: Tensor) -> Tensor:
        """Assemble first moments from sums over images.

        Parameters
        ----------
        sums : Tensor of shape (n_sums, m)
            Linear combinations of the results of `add`, m in number.

        Returns
        -------
        Tensor of shape (C, k_y, k_x, m)
            Sums Σ_p x_c[p + d] over the valid positions p, in these combinations.
        """
        pieces = torch.split(sums, [math.prod(shape) for shape in self._shapes])
        total, ends, sides, corners = (
            piece.view(*shape, sums.shape[1]) for piece, shape in zip(pieces, self._shapes, strict=True)
        )
        # The axis along which the window slides comes first.
        columns_seen = window_sums(total, *sides.permute(0, 2, 1, 3))  # (k_x, C, m)
        ends_seen = window_sums(ends, *corners.permute(1, 4, 0, 2, 3, 5))  # (k_x, 2, C, k_y - 1, m)
        return window_sums(columns_seen, *ends_seen.permute(1, 3, 0, 2, 4)).permute(2, 0, 1, 3)

    def _room(self, size: Pair, dtype: torch.dtype) -> Tensor:
        """Return memory for a tile (C, *size). The same memory is reused, because new memory is slow."""
        samples = self.channels * size[0] * size[1]
        if dtype not in self._memory or len(self._memory[dtype]) < samples:
            self._memory[dtype] = torch.empty(samples, dtype=dtype, device=self.device)
        return self._memory[dtype][:samples].view(self.channels, *size)

    @staticmethod
    def memory_needed(channels: int, kernel_size: Pair) -> int:
        """Estimate the number of bytes that are held after images of many sizes were added in float32."""
        ky, kx = kernel_size
        longest = transform_length(
            max(longest_transform(channels), 4 * max(kernel_size)) - max(kernel_size) + 1, max(kernel_size)
        )
        spectra = (
            sizes_of_tiles(channels) * (channels * (channels + 1) // 2 + channels) * longest * (longest // 2 + 1) * 8
        )
        lines = channels * (ky + kx - 2)
        strips = LENGTHS_OF_STRIPS * StripSpectra.AT_ONCE * 2 * lines * longest * 4
        pixels = channels * (ky - 1) * (kx - 1)
        corners = 4 * pixels * (8 * pixels + 4 * CornerProducts.AT_ONCE)
        return spectra + strips + corners

    def merge(self, other: "WindowProducts") -> None:
        """Add the sums of ``other``, which has the same channels, window and device."""
        self._lags.merge(other._lags)
        self._ends.merge(other._ends)
        self._sides.merge(other._sides)
        self._corners.merge(other._corners)

    def total(self) -> Tensor:
        """Assemble the second moments of all windows.

        Returns
        -------
        Tensor of shape (C, k_y, k_x, C, k_y, k_x)
            Sum over all images and valid positions of x_c[p + d] x_c'[p + d'], in float64.
        """
        (ky, kx), c = self.kernel_size, self.channels
        lags = self._lags.sum()  # (l_x, l_y, c, c')
        # Strips with their lags first: (l_x, y, y', c, c') at the top and bottom, (l_y, x, x', c, c') at the sides.
        top, bottom = self._ends.sum().view(2, 2 * kx - 1, *(c, ky - 1) * 2).permute(0, 1, 3, 5, 2, 4)
        left, right = self._sides.sum().view(2, 2 * ky - 1, *(c, kx - 1) * 2).permute(0, 1, 3, 5, 2, 4)
        # Corners (x, x', y, y', c, c').
        corners = self._corners.sum().view(2, 2, *(c, ky - 1, kx - 1) * 2).permute(0, 1, 4, 7, 3, 6, 2, 5)
        columns = window_products(lags, left.permute(1, 2, 0, 3, 4), right.permute(1, 2, 0, 3, 4))
        first, last = (window_products(strip, *ends) for strip, ends in ((top, corners[0]), (bottom, corners[1])))
        products = window_products(
            columns.movedim(2, 0), first.permute(2, 3, 0, 1, 4, 5), last.permute(2, 3, 0, 1, 4, 5)
        )  # (y, y', x, x', c, c')
        return products.permute(4, 0, 2, 5, 1, 3)
