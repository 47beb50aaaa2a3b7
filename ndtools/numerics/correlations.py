"""Sums of correlations over many images, kept as the products that they are inverse transforms of.

What :mod:`ndtools.numerics.lag_products` assembles the second moments of windows from.
"""

import itertools
from collections.abc import Iterable

import torch
from torch import Tensor

from ndtools.numerics.patches import Pair

__all__ = ["CrossProducts", "LagSpectra", "StripSpectra"]


class LagSpectra:
    """Cross-spectra of tiles, summed; their inverse transform is the correlation at every lag.

    Parameters
    ----------
    channels : int
        C.
    size : (int, int)
        Height and width of the transform: tile plus k - 1 at least, so that no wanted lag wraps around.
    dtype : torch.dtype
        Real type of the tiles. Sums over an image are made in it, sums over images in float64.
    device : torch.device
        Where the tiles are.
    """

    def __init__(self, channels: int, size: Pair, dtype: torch.dtype, device: torch.device) -> None:
        self.size, self.dtype = size, dtype
        # Element s of each list holds the pairs (c, c + s); the pairs (c + s, c) follow by symmetry.
        self._total = [
            torch.zeros(channels - s, size[0], size[1] // 2 + 1, dtype=torch.complex128, device=device)
            for s in range(channels)
        ]

    def add(self, batches: Iterable[Tensor]) -> None:
        """Add the tiles of one image, in batches of shape (T, C, height, width), zero-padded to ``size``."""
        image = [torch.zeros_like(total, dtype=self.dtype.to_complex()) for total in self._total]
        for tile in itertools.chain.from_iterable(batches):  # one at a time, to stay in the cache
            spectrum = torch.fft.rfft2(tile)
            conjugate = spectrum.conj_physical()
            for s, sums in enumerate(image):
                sums.addcmul_(conjugate[: len(sums)], spectrum[s:])
        for total, sums in zip(self._total, image, strict=True):
            total += sums

    def merge(self, other: "LagSpectra") -> None:
        """Add the total of ``other``."""
        for total, theirs in zip(self._total, other._total, strict=True):
            total += theirs

    def lags(self, kernel_size: Pair) -> Tensor:
        """Return the correlations, float64 of shape (2k_x - 1, 2k_y - 1, C, C)."""
        ly, lx = (torch.arange(1 - k, k, device=self._total[0].device) for k in kernel_size)
        channels = len(self._total)
        lags = self._total[0].real.new_zeros(len(lx), len(ly), channels, channels)
        for s, total in enumerate(self._total):
            correlation = torch.fft.irfft2(total, s=self.size)[:, ly][:, :, lx].permute(2, 1, 0)
            for c in range(channels - s):
                lags[:, :, c, c + s] = correlation[..., c]
                lags[:, :, c + s, c] = correlation[..., c].flip(0, 1)
        return lags


class CrossProducts:
    """Sums of v* vᵀ over many vectors v, for each of several batches.

    The vectors wait until many can be multiplied at once, as a matrix product; in double precision, so that the
    sum does not depend on who waited with whom.

    Parameters
    ----------
    batches, features : int
        B products of n × n.
    dtype : torch.dtype
        float64 or complex128.
    device : torch.device
        Where the vectors are.
    """

    AT_ONCE = 32

    def __init__(self, batches: int, features: int, dtype: torch.dtype, device: torch.device) -> None:
        self._total = torch.zeros(batches, features, features, dtype=dtype, device=device)
        self._waiting: list[Tensor] = []

    def add(self, vectors: Tensor) -> None:
        """Add T vectors to each batch, Tensor of shape (B, T, n)."""
        self._waiting.append(vectors)
        if sum(v.shape[1] for v in self._waiting) >= self.AT_ONCE:
            self._multiply()

    def _multiply(self) -> None:
        if self._waiting:
            vectors = torch.cat(self._waiting, dim=1).to(self._total.dtype)
            self._total.baddbmm_(vectors.mH, vectors)
            self._waiting.clear()

    def merge(self, other: "CrossProducts") -> None:
        """Add the sums of ``other``."""
        self._total += other.total()

    def total(self) -> Tensor:
        """Return the sums, of shape (B, n, n): conj(v[i]) v[j]."""
        self._multiply()
        return self._total


class StripSpectra:
    """Cross-spectra of all pairs of lines, in the strips at either side of tiles, summed.

    Parameters
    ----------
    lines : int
        C·(k - 1) lines of a strip, in (channel, line) order.
    length : int
        Length of the transform: that of the strip plus k - 1 (of the other axis) at least.
    device : torch.device
        Where the strips are.
    """

    def __init__(self, lines: int, length: int, device: torch.device) -> None:
        self.lines, self.length = lines, length
        self._products = CrossProducts(2 * (length // 2 + 1), lines, torch.complex128, device)

    def add(self, strips: Tensor) -> None:
        """Add the strips at both sides of T tiles, of shape (2, T, C, k - 1, length), zero-padded to ``length``."""
        if self.lines:  # a window of one pixel leaves no border out
            spectra = torch.fft.rfft(strips.flatten(2, 3))  # (side, T, line, frequency)
            self._products.add(spectra.movedim(-1, 1).flatten(0, 1))

    def merge(self, other: "StripSpectra") -> None:
        """Add the sums of ``other``."""
        self._products.merge(other._products)

    def lags(self, k: int) -> Tensor:
        """Return the correlations of all line pairs, float64 of shape (2, 2k - 1, lines, lines)."""
        total = self._products.total().view(2, self.length // 2 + 1, self.lines, self.lines)
        if not self.lines:
            return torch.zeros(2, 2 * k - 1, 0, 0, dtype=torch.float64, device=total.device)
        lag = torch.arange(1 - k, k, device=total.device)
        correlations: Tensor = torch.fft.irfft(total, n=self.length, dim=1)
        return correlations[:, lag]
