r"""Second moments of all windows of an image, from its correlations at every lag.

Let x be an image of C channels, zero outside its H × W pixels, and let a k_y × k_x window slide over its
N = (H - k_y + 1)(W - k_x + 1) valid positions. Wanted is, for every two window elements (c, d) and (c', d'),

    S[c, d, c', d'] = Σ_p x_c[p + d] · x_c'[p + d'],       p over the valid positions.

Along one axis (n samples, n' = n - k + 1 positions) substitute q = p + d and l = d' - d:

    S[d, d'] = Σ_{q = d}^{d + n' - 1} x[q] · x[q + l]

which is the correlation at lag l over *all* q, less the terms with q < d and those with q ≥ d + n':

    S[d, d'] = lags[l] - Σ_{q < d} x[q] x[q + l] - Σ_{q ≥ d + n'} x[q] x[q + l]

In the first sum q + l = q - d + d' < d', so both factors are among the first k - 1 samples; in the second,
both are among the last k - 1. Hence S follows from the lag correlations and the products within the two
borders: :func:`window_products`. Each sum over q < d grows from d - 1 to d by one product, so all of them
are one cumulative sum along diagonals.

An image has two axes, and the same step serves for both. The columns first, of the image and of the strips
at its top and bottom; then the rows, with the strips' results as the borders. It needs

* lags: correlations of the image at all lags |l| < k, by the FFT (:class:`LagSpectra`);
* strips: for the first and last k_y - 1 rows, products of row pairs at all horizontal lags; for the first
  and last k_x - 1 columns likewise, by the FFT along the strip (:class:`StripSpectra`);
* corners: products of pixel pairs in the four (k_y - 1) × (k_x - 1) corners (:class:`CrossProducts`).

All three are linear in the products of the image, so they are summed over images, as spectra, and S is
assembled once at the end. The cost of an image is that of its Fourier transform, whatever k.

The windows of an image are the disjoint union of the windows of tiles that overlap by k - 1 pixels, so an
image of any size is cut into tiles whose transforms fit the processor's cache.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ndtools.numerics.correlations import CrossProducts, LagSpectra, StripSpectra
from ndtools.numerics.patches import Pair

__all__ = ["Centred", "WindowProducts", "window_products", "window_sums"]

# Samples: three channels of such a tile and their spectrum take 2 MB, a processor's second-level cache.
LONGEST_TRANSFORM = 320


@dataclass(frozen=True, eq=False)
class Centred:
    """The pixels of an image about an offset, computed where they are wanted.

    Attributes
    ----------
    pixels : Tensor of shape (C, H, W)
        uint8, float32 or float64.
    offset : Tensor of shape (C,)
        To be subtracted, float64, in units of the pixels.
    scale : float
        What to multiply the difference with.
    dtype : torch.dtype
        Type of the result, float32 or float64.
    """

    pixels: Tensor
    offset: Tensor
    scale: float
    dtype: torch.dtype

    def copy_to(self, out: Tensor, rows: slice = slice(None), columns: slice = slice(None)) -> Tensor:
        """Compute scale · (pixels - offset) of some rows and columns into ``out``, and return it."""
        offset = self.offset.to(self.pixels.dtype if self.pixels.is_floating_point() else self.dtype)
        torch.sub(self.pixels[:, rows, columns], offset[:, None, None], out=out)
        return out if self.scale == 1 else out.mul_(self.scale)


def window_products(lags: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Turn the lag correlations along one axis into the products of a window sliding along it.

    Parameters
    ----------
    lags : Tensor of shape (2k - 1, ...)
        Correlations Σ_q x[q] x'[q + l] over all q, at lags l = -(k - 1), ..., k - 1.
    first, last : Tensor of shape (k - 1, k - 1, ...)
        Products x[i] x'[j] within the first, and within the last, k - 1 samples.

    Returns
    -------
    Tensor of shape (k, k, ...)
        Σ_p x[p + d] x'[p + d'] over the valid positions p, for every d and d'.
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
    """Turn the sum along one axis into the sums that the elements of a window sliding along it see.

    Parameters
    ----------
    total : Tensor of shape (...)
        Σ_q x[q] over all q.
    first, last : Tensor of shape (k - 1, ...)
        The first, and the last, k - 1 samples.

    Returns
    -------
    Tensor of shape (k, ...)
        Σ_p x[p + d] over the valid positions p, for every d.
    """
    none = torch.zeros_like(total)[None]
    before = torch.cat([none, first]).cumsum(0)
    up_to = torch.cat([none, last]).cumsum(0)
    return total - before - (up_to[-1] - up_to)


def cut(length: int, k: int) -> list[slice]:
    """Cut an axis of ``length`` samples into pieces whose windows of k are all the windows, each once.

    Parameters
    ----------
    length, k : int
        Samples of the axis, and of the window.

    Returns
    -------
    list of slice
        Pieces of nearly equal length that overlap by k - 1, each with a transform of at most
        ``LONGEST_TRANSFORM`` samples (longer where the window is a large part of that).
    """
    positions = length - k + 1
    longest = max(LONGEST_TRANSFORM, 4 * k) - 2 * (k - 1)
    step = math.ceil(positions / math.ceil(positions / longest))
    return [slice(p, min(p + step, positions) + k - 1) for p in range(0, positions, step)]


def transform_length(length: int, k: int) -> int:
    """Return a quick length of transform for ``length`` samples and lags below k.

    Parameters
    ----------
    length, k : int
        Samples of the piece, and of the window.

    Returns
    -------
    int
        At least ``length + k - 1``, so that no wanted lag wraps around, rounded up to one of four lengths an
        octave: the sums are kept by length, so there must not be many.
    """
    shortest = length + k - 1
    step = max(2, (1 << shortest.bit_length()) // 8)
    return math.ceil(shortest / step) * step


class WindowProducts:
    """Second moments of the windows of images, accumulated.

    Parameters
    ----------
    channels : int
        C.
    kernel_size : (int, int)
        Height k_y and width k_x of the window.
    device : torch.device
        Where the images come from and the sums are kept.
    """

    def __init__(self, channels: int, kernel_size: Pair, *, device: torch.device) -> None:
        self.channels, self.kernel_size, self.device = channels, kernel_size, device
        ky, kx = kernel_size
        self._lags: dict[tuple[Pair, torch.dtype], LagSpectra] = {}
        # By the length of the transform: strips at the top and bottom, at the left and right.
        self._rows: dict[int, StripSpectra] = {}
        self._columns: dict[int, StripSpectra] = {}
        self._corners = CrossProducts(4, channels * (ky - 1) * (kx - 1), torch.float64, device)

    def add(self, image: "Centred") -> Tensor:
        """Add an image, of the window's size at least.

        Parameters
        ----------
        image : Centred
            Its pixels, about an offset.

        Returns
        -------
        Tensor of shape (C, k_y, k_x)
            The first moments that come with it: Σ_p x_c[p + d], float64.
        """
        (ky, kx), (_, height, width) = self.kernel_size, image.pixels.shape
        rows, columns = cut(height, ky), cut(width, kx)
        size = (transform_length(rows[0].stop, ky), transform_length(columns[0].stop, kx))
        sums = torch.zeros(self.channels, ky, kx, dtype=torch.float64, device=self.device)

        def batches() -> Iterator[Tensor]:
            for y in rows:
                tiles = torch.zeros(len(columns), self.channels, *size, dtype=image.dtype, device=self.device)
                sizes = [(y.stop - y.start, x.stop - x.start) for x in columns]
                for tile, x, (h, w) in zip(tiles, columns, sizes, strict=True):
                    image.copy_to(tile[:, :h, :w], y, x)
                sums.add_(self._add_borders(tiles, sizes))
                yield tiles

        self._lag_spectra(size, image.dtype).add(batches())
        return sums

    def _add_borders(self, tiles: Tensor, sizes: list[Pair]) -> Tensor:
        """Add strips and corners of a row of tiles (T, C, height, width); return the sums (C, k_y, k_x) of windows."""
        (ky, kx), (height, width) = self.kernel_size, tiles.shape[2:]
        bottom = slice(sizes[0][0] - ky + 1, sizes[0][0])  # tiles in a row are equally high
        right = torch.stack([tile[..., w - kx + 1 : w] for tile, (_, w) in zip(tiles, sizes, strict=True)])
        sides = torch.stack([tiles[..., : kx - 1], right])  # (2, T, C, height, k_x - 1)
        ends = torch.stack([tiles[..., : ky - 1, :], tiles[..., bottom, :]])  # (2, T, C, k_y - 1, width)
        corners = torch.stack([sides[..., : ky - 1, :], sides[..., bottom, :]])  # (2, 2, T, C, k_y - 1, k_x - 1)
        self._strip_spectra(self._rows, ky, width).add(ends)
        self._strip_spectra(self._columns, kx, height).add(sides.mT)
        self._corners.add(corners.flatten(3).flatten(0, 1))
        # Sums over the tiles, of all pixels, rows, columns and corners, the axis that they stand on first.
        total = tiles.sum((0, 2, 3)).double()
        of_rows = ends.sum((1, 4)).double().movedim(-1, 1)  # (2, k_y - 1, C)
        of_columns = sides.sum((1, 3)).double().movedim(-1, 1)  # (2, k_x - 1, C)
        of_corners = corners.sum(2).double().permute(0, 1, 4, 3, 2)  # (2, 2, k_x - 1, k_y - 1, C)
        columns = window_sums(total, of_columns[0], of_columns[1])  # (k_x, C)
        first, last = (window_sums(of_rows[i], of_corners[i, 0], of_corners[i, 1]).movedim(1, 0) for i in (0, 1))
        return window_sums(columns, first, last).permute(2, 0, 1)

    @staticmethod
    def memory_needed(channels: int, kernel_size: Pair) -> int:
        """Estimate the bytes held once images of many sizes were added."""
        ky, kx = kernel_size
        lengths, longest = 5, max(LONGEST_TRANSFORM, 4 * max(kernel_size))
        spectra = lengths**2 * channels * (channels + 1) // 2 * (longest * longest // 4) * 16
        strips = 2 * lengths * (longest // 2) * channels**2 * ((ky - 1) ** 2 + (kx - 1) ** 2) * 16
        corners = 4 * (channels * (ky - 1) * (kx - 1)) ** 2 * 8
        return spectra + strips + corners

    def _lag_spectra(self, size: Pair, dtype: torch.dtype) -> LagSpectra:
        if (size, dtype) not in self._lags:
            self._lags[size, dtype] = LagSpectra(self.channels, size, dtype, self.device)
        return self._lags[size, dtype]

    def _strip_spectra(self, strips: dict[int, StripSpectra], k: int, length: int) -> StripSpectra:
        if length not in strips:
            strips[length] = StripSpectra(self.channels * (k - 1), length, self.device)
        return strips[length]

    def merge(self, other: "WindowProducts") -> None:
        """Add the sums of ``other``, of the same channels, window and device."""
        ky, kx = self.kernel_size
        for key, lags in other._lags.items():
            self._lag_spectra(*key).merge(lags)
        for mine, theirs, k in ((self._rows, other._rows, ky), (self._columns, other._columns, kx)):
            for length, strips in theirs.items():
                self._strip_spectra(mine, k, length).merge(strips)
        self._corners.merge(other._corners)

    def total(self) -> Tensor:
        """Assemble the second moments.

        Returns
        -------
        Tensor of shape (C, k_y, k_x, C, k_y, k_x)
            Σ over all images and valid positions of x_c[p + d] x_c'[p + d'], in float64.
        """
        (ky, kx), c = self.kernel_size, self.channels
        lags = torch.zeros(2 * kx - 1, 2 * ky - 1, c, c, dtype=torch.float64, device=self.device)
        for spectra in self._lags.values():
            lags += spectra.lags(self.kernel_size)
        # Strips, with their lags first: at the top and bottom (l_x, y, y', c, c'), at the sides (l_y, x, x', c, c').
        top, bottom = self._strip_lags(self._rows, ky, kx)
        left, right = self._strip_lags(self._columns, kx, ky)
        # Corners (x, x', y, y', c, c').
        corners = self._corners.total().view(4, *(c, ky - 1, kx - 1) * 2).permute(0, 3, 6, 2, 5, 1, 4)
        columns = window_products(lags, left.permute(1, 2, 0, 3, 4), right.permute(1, 2, 0, 3, 4))
        first = window_products(top, corners[0], corners[1])
        last = window_products(bottom, corners[2], corners[3])
        products = window_products(
            columns.movedim(2, 0), first.permute(2, 3, 0, 1, 4, 5), last.permute(2, 3, 0, 1, 4, 5)
        )  # (y, y', x, x', c, c')
        return products.permute(4, 0, 2, 5, 1, 3)

    def _strip_lags(self, strips: dict[int, StripSpectra], k: int, k_along: int) -> Tensor:
        """Return the lag correlations (2, 2·k_along - 1, k - 1, k - 1, C, C) of the strips at both sides."""
        c = self.channels
        lags = torch.zeros(2, 2 * k_along - 1, *(c * (k - 1),) * 2, dtype=torch.float64, device=self.device)
        for spectra in strips.values():
            lags += spectra.lags(k_along)
        return lags.view(*lags.shape[:2], *(c, k - 1) * 2).permute(0, 1, 3, 5, 2, 4)
