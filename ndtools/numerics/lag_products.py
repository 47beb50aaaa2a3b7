r"""Second moments of all windows of a signal, image or volume, from its correlations at every lag.

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

With several axes, the same step is applied to each of them, the last axis first. It takes the lags along this axis to
products of window elements, for the whole image and for its strips at both ends of the other axes, and the results for
the strips are the borders of the next step. So for every set of axes it needs the products of pixels near an end of
each of these axes, at all lags along the others:

* no axis: correlations of the image at all lags |l| < k, by the FFT (:class:`LagSpectra`);
* some axes: products of all pairs of lines in the strips at their ends, at all lags along the other axes, by the FFT
  along the strip (:class:`StripSpectra`). An image has such strips of k_y - 1 rows at the top and bottom, and of
  k_x - 1 columns at the sides; a volume has slabs at its faces, and bars along its edges;
* all axes: products of pixel pairs in the corners, of (k_y - 1) × (k_x - 1) pixels each (:class:`CornerProducts`).

All are linear in the products of the image, so they are summed over images, and S is assembled once
at the end. The cost of an image is that of its Fourier transform, for any k.

The windows of an image are the disjoint union of the windows of tiles that overlap by k - 1 pixels, so an
image of any size is cut into tiles whose transforms fit the processor's cache (:mod:`ndtools.numerics.tiles`).
"""

import itertools
import math
from functools import partial

import torch
from torch import Tensor

from ndtools.numerics.correlations import CornerProducts, LagSpectra, StripSpectra, Total
from ndtools.numerics.patches import Sizes
from ndtools.numerics.tiles import Centred, borders_of, cut, longest_transform, subsets, transform_length

__all__ = ["WindowProducts", "window_products", "window_sums"]

SIZES_OF_TILES = 32
LENGTHS_OF_STRIPS = 8
_LAST = ((), (-1,), (-2, -1), (-3, -2, -1))  # by how many they are


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


def sizes_of_tiles(channels: int) -> int:
    """Return how many sizes of transforms are kept apart: as many as take the memory of those of three channels."""
    pairs = channels * (channels + 1) // 2
    return min(SIZES_OF_TILES, max(1, 6 * SIZES_OF_TILES // pairs))


class WindowProducts:
    """Accumulator of the second moments of the windows of signals, images or volumes.

    Parameters
    ----------
    channels : int
        Number C of channels.
    kernel_size : tuple of int
        Side of the window along each of the n axes, in pixels: (k_y, k_x) for images.
    device : torch.device
        Device of the images and of the sums.
    """

    def __init__(self, channels: int, kernel_size: Sizes, *, device: torch.device) -> None:
        self.channels, self.kernel_size, self.device = channels, kernel_size, device
        self._memory: dict[torch.dtype, Tensor] = {}
        axes = len(kernel_size)
        # Shapes of the sums that give the first moments: over all pixels, along the strips, and of the corners.
        self._shapes = {
            ends: ((2,) * len(ends), (channels, *(kernel_size[a] - 1 for a in ends))) for ends in subsets(axes)
        }
        self.n_sums = sum(math.prod(borders + lines) for borders, lines in self._shapes.values())
        self._totals = {ends: self._total_of(ends) for ends in subsets(axes)}
        self._free = {ends: tuple(axis for axis in range(axes) if axis not in ends) for ends in subsets(axes)}

    def _total_of(self, ends: Sizes) -> "Total[LagSpectra] | Total[StripSpectra] | Total[CornerProducts]":
        """Return the empty sum of the products of pixels that are near an end of each of some axes."""
        c, device, (borders, lines) = self.channels, self.device, self._shapes[ends]
        free = tuple(k for axis, k in enumerate(self.kernel_size) if axis not in ends)
        shape = (*borders, *(2 * k - 1 for k in free), *(math.prod(lines),) * 2)
        if not ends:
            return Total(shape, device, partial(LagSpectra, c, free, device=device), most=sizes_of_tiles(c))
        if not free:
            return Total(shape, device, partial(CornerProducts, c, lines[1:], device=device), most=2)  # dtypes
        spectra = partial(StripSpectra, c, lines[1:], free, device=device)
        return Total(shape, device, spectra, most=LENGTHS_OF_STRIPS)

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
        kernel_size, axes = self.kernel_size, len(self.kernel_size)
        longest = longest_transform(axes, self.channels)
        pieces = [cut(n, k, longest) for n, k in zip(image.pixels.shape[1:], kernel_size, strict=True)]
        size = tuple(transform_length(piece[0].stop, k) for piece, k in zip(pieces, kernel_size, strict=True))
        tile = self._room(size, image.dtype)
        sums = torch.zeros(self.n_sums, dtype=torch.float64, device=self.device)
        for place in itertools.product(*pieces):
            used = tuple(piece.stop - piece.start for piece in place)
            inner = tuple(slice(0, n) for n in used)
            image.copy_to(tile[:, *inner], *place)
            for axis, n in enumerate(used):
                tile[:, *inner[:axis], n:] = 0
            views = borders_of(tile, used, kernel_size)
            sums_of_tile = []
            for ends, total in self._totals.items():
                view, free = views[ends], self._free[ends]
                key = tuple([size[axis] for axis in free])
                total.add((key, image.dtype) if free else (image.dtype,), view)
                sums_of_tile.append((view.sum(_LAST[len(free)]) if free else view).flatten())
            sums += torch.cat(sums_of_tile)
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
        shapes = [borders + lines for borders, lines in self._shapes.values()]
        pieces = torch.split(sums, [math.prod(shape) for shape in shapes])
        # Dimensions: window elements of the axes that are done, borders, channels, lines of the borders, combinations.
        found = {
            ends: piece.view(*shape, sums.shape[1])
            for ends, piece, shape in zip(self._shapes, pieces, shapes, strict=True)
        }
        axes = len(self.kernel_size)
        for axis in reversed(range(axes)):
            done = axes - 1 - axis
            for ends in subsets(axis):
                strips = found[(*ends, axis)]
                border, line = done + len(ends), done + 2 * len(ends) + 2
                found[ends] = window_sums(found[ends], *_in_front(strips, border, line))
        return found[()].movedim(-2, 0)

    def _room(self, size: Sizes, dtype: torch.dtype) -> Tensor:
        """Return memory for a tile (C, *size). The same memory is reused, because new memory is slow."""
        samples = self.channels * math.prod(size)
        if dtype not in self._memory or len(self._memory[dtype]) < samples:
            self._memory[dtype] = torch.empty(samples, dtype=dtype, device=self.device)
        return self._memory[dtype][:samples].view(self.channels, *size)

    @staticmethod
    def memory_needed(channels: int, kernel_size: Sizes) -> int:
        """Estimate the number of bytes that are held after images of many sizes were added in float32."""
        axes, k = len(kernel_size), max(kernel_size)
        longest = transform_length(max(longest_transform(axes, channels), 4 * k) - k + 1, k)
        needed = 0
        for ends in subsets(axes):
            free, borders = axes - len(ends), 2 ** len(ends)
            lines = channels * math.prod(kernel_size[a] - 1 for a in ends)
            frequencies = longest ** (free - 1) * (longest // 2 + 1) if free else 1
            if not ends:
                needed += sizes_of_tiles(channels) * (channels * (channels + 1) // 2 + channels) * frequencies * 8
            elif free == 1:
                needed += LENGTHS_OF_STRIPS * StripSpectra.at_once * borders * lines * longest * 4
            elif free:  # and the spectra of all pairs of lines, while they are summed
                tiles = LENGTHS_OF_STRIPS * StripSpectra.AT_ONCE_IN_VOLUMES
                needed += borders * lines * (tiles * longest**free * 4 + 2 * lines * frequencies * 8)
            else:
                needed += borders * lines * (8 * lines + 4 * CornerProducts.at_once)
        return needed

    def merge(self, other: "WindowProducts") -> None:
        """Add the sums of ``other``, which has the same channels, window and device."""
        for ends, total in self._totals.items():
            total.merge(other._totals[ends])  # type: ignore[arg-type]  # of the same sort

    def total(self) -> Tensor:
        """Assemble the second moments of all windows.

        Returns
        -------
        Tensor of shape (C, k_y, k_x, C, k_y, k_x)
            Sum over all images and valid positions of x_c[p + d] x_c'[p + d'], in float64.
        """
        axes = len(self.kernel_size)
        # Dimensions: pairs of window elements of the axes that are done, borders, lags along the other axes, and twice
        # channels and lines of the borders.
        found = {}
        for ends, total in self._totals.items():
            summed = total.sum()
            found[ends] = summed.view(*summed.shape[:-2], *self._shapes[ends][1] * 2)
        for axis in reversed(range(axes)):
            done = 2 * (axes - 1 - axis)
            for ends in subsets(axis):
                at_ends, b = found[(*ends, axis)], len(ends)
                lag = done + axis  # the last of b borders and axis + 1 - b lags
                channels = done + axis + 1  # of the strips, which have a border more and a lag less
                strips = _in_front(at_ends, done + b, channels + b + 1, channels + 2 * b + 3)
                found[ends] = window_products(found[ends].movedim(lag, 0), *strips)
        whole = found[()]  # (y, y', x, x', c, c')
        elements = range(0, 2 * axes, 2)
        return whole.permute(2 * axes, *elements, 2 * axes + 1, *(e + 1 for e in elements))


def _in_front(tensor: Tensor, *dims: int) -> Tensor:
    """Move some dimensions of a tensor to the front, in this order."""
    return tensor.permute(*dims, *(dim for dim in range(tensor.dim()) if dim not in dims))
