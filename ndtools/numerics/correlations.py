"""Correlations of tiles at all lags within a window, summed over many tiles.

:mod:`ndtools.numerics.lag_products` assembles the second moments of windows from them. Each class here sums up to
``AT_ONCE`` tiles in the precision of the tiles; :class:`Total` then takes this sum and adds it up in float64. Double
precision throughout would cost twice the memory traffic, and single precision loses nothing in sums of so few terms.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from ndtools.numerics.patches import Pair

__all__ = ["CornerProducts", "LagSpectra", "StripSpectra", "Total"]


class LagSpectra:
    """Correlations of all pairs of channels at all lags, from the sum of the tiles' cross-spectra.

    Parameters
    ----------
    channels : int
        Number of channels C.
    kernel_size : (int, int)
        Height k_y and width k_x of the window in pixels.
    size : (int, int)
        Height and width of the transform: at least those of the tile plus k - 1, so that no wanted lag wraps around.
    dtype : torch.dtype
        Real dtype of the tiles.
    device : torch.device
        Device of the tiles and of the sums.
    """

    AT_ONCE: ClassVar[int] = 64

    def __init__(self, channels: int, kernel_size: Pair, size: Pair, dtype: torch.dtype, device: torch.device) -> None:
        self.kernel_size, self.size = kernel_size, size
        complex_dtype, shape = dtype.to_complex(), (size[0], size[1] // 2 + 1)
        # A channel with itself takes only squares of real and imaginary parts: half the work of complex products.
        self._squares = torch.zeros(channels, *shape, 2, dtype=dtype, device=device)
        # Element s - 1 holds the pairs (c, c + s); the pairs (c + s, c) follow by symmetry.
        self._products = [
            torch.zeros(channels - s, *shape, dtype=complex_dtype, device=device) for s in range(1, channels)
        ]
        self._conjugate = torch.empty(channels - 1, *shape, dtype=complex_dtype, device=device)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, tile: Tensor) -> None:
        """Add a tile of shape (C, height, width), zero-padded to ``size``."""
        spectrum = torch.fft.rfft2(tile)
        real_imaginary = torch.view_as_real(spectrum)
        self._squares.addcmul_(real_imaginary, real_imaginary)
        torch.conj_physical(spectrum[:-1], out=self._conjugate)
        for s, products in enumerate(self._products, start=1):
            products.addcmul_(self._conjugate[: len(products)], spectrum[s:])
        self._count += 1

    def take(self) -> Tensor:
        """Return the summed correlations of the tiles, of shape (2k_x - 1, 2k_y - 1, C, C), and reset the sums."""
        channels = len(self._squares)
        ly, lx = (torch.arange(1 - k, k, device=self._squares.device) for k in self.kernel_size)
        lags = self._squares.new_empty(len(lx), len(ly), channels, channels)
        for s, spectra in enumerate([self._squares.sum(-1), *self._products]):
            correlation = torch.fft.irfft2(spectra, s=self.size)[:, ly][:, :, lx].permute(2, 1, 0)
            for c in range(channels - s):
                lags[:, :, c, c + s] = correlation[..., c]
                lags[:, :, c + s, c] = correlation[..., c].flip(0, 1)
        for sums in (self._squares, *self._products):
            sums.zero_()
        self._count = 0
        return lags


class StripSpectra:
    """Correlations of all pairs of lines at all lags along the strips at two opposite sides of tiles.

    Parameters
    ----------
    channels, lines : int
        Number of channels C, and number k - 1 of lines that a strip has in each channel.
    k_along : int
        Side of the window along the strip, in pixels.
    length : int
        Length of the transform: at least that of the strip plus k_along - 1.
    dtype : torch.dtype
        Real dtype of the tiles.
    device : torch.device
        Device of the tiles and of the sums.
    """

    AT_ONCE: ClassVar[int] = 64

    def __init__(
        self, channels: int, lines: int, k_along: int, length: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._waiting = _Waiting(self.AT_ONCE, (2, channels, lines, length), dtype, device)
        # Inverse transform at the wanted lags only. The spectrum of real numbers is determined by one half of it.
        frequency = torch.arange(length // 2 + 1, dtype=torch.float64, device=device)
        lag = torch.arange(1 - k_along, k_along, dtype=torch.float64, device=device)
        weight = torch.where((frequency == 0) | (2 * frequency == length), 1.0, 2.0).double() / length
        inverse = torch.polar(weight.expand(len(lag), -1), 2 * torch.pi / length * torch.outer(lag, frequency))
        self._inverse = inverse.to(dtype.to_complex())

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, strips: Tensor) -> None:
        """Add the strips at both sides of a tile, of shape (2, C, k - 1, length), zero-padded to ``length``."""
        self._waiting.next().copy_(strips)

    def take(self) -> Tensor:
        """Return the summed correlations, of shape (2, 2·k_along - 1, C(k - 1), C(k - 1)), and forget the tiles."""
        spectra = torch.fft.rfft(self._waiting.take().flatten(2, 3))  # (T, side, line, frequency)
        vectors = spectra.permute(1, 3, 0, 2).contiguous()
        products = vectors.mH @ vectors  # (side, frequency, line, line)
        lags: Tensor = self._inverse @ products.flatten(2)
        return lags.real.view(2, -1, *products.shape[2:])


class CornerProducts:
    """Products of all pairs of pixels in each corner of tiles.

    Parameters
    ----------
    channels : int
        Number of channels C.
    size : (int, int)
        Height k_y - 1 and width k_x - 1 of a corner in pixels.
    dtype : torch.dtype
        Real dtype of the tiles.
    device : torch.device
        Device of the tiles and of the products.
    """

    AT_ONCE: ClassVar[int] = 256

    def __init__(self, channels: int, size: Pair, dtype: torch.dtype, device: torch.device) -> None:
        self._waiting = _Waiting(self.AT_ONCE, (2, 2, channels, *size), dtype, device)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, corners: Tensor) -> None:
        """Add the corners of a tile, of shape (2, 2, C, k_y - 1, k_x - 1)."""
        self._waiting.next().copy_(corners)

    def take(self) -> Tensor:
        """Return the summed products, of shape (2 vertical, 2 horizontal, pixels, pixels), and forget the tiles."""
        vectors = self._waiting.take().flatten(3).permute(1, 2, 0, 3)  # (side, side, T, pixel)
        return vectors.mT @ vectors


class _Waiting:
    """Memory for tensors of one shape that wait to be multiplied together."""

    def __init__(self, at_once: int, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self._room = torch.empty(at_once, *shape, dtype=dtype, device=device)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def next(self) -> Tensor:
        """Return the memory of the next tensor, which the caller fills."""
        self._count += 1
        return self._room[self._count - 1]

    def take(self) -> Tensor:
        """Return the waiting tensors, of shape (T, ...), and forget them."""
        waiting = self._room[: self._count]
        self._count = 0
        return waiting


class _Recent(Protocol):
    AT_ONCE: ClassVar[int]

    def __len__(self) -> int: ...

    def add(self, tensor: Tensor, /) -> None: ...

    def take(self) -> Tensor: ...


R = TypeVar("R", bound=_Recent)


class Total(Generic[R]):
    """Sum over all tiles in float64, added up from sums of recent tiles, one for each size of transform.

    Parameters
    ----------
    shape : tuple of int
        Shape of the sum.
    device : torch.device
        Device that holds the sum.
    make : callable
        Function that makes an empty sum of recent tiles, given its key.
    most : int
        Largest number of keys that are kept apart at a time, so that memory does not grow with the number of sizes.
    """

    def __init__(self, shape: tuple[int, ...], device: torch.device, make: Callable[..., R], most: int) -> None:
        self._most = most
        self._sum = torch.zeros(shape, dtype=torch.float64, device=device)
        self._make = make
        self._recent: dict[tuple[Any, ...], R] = {}  # in order of last use, the oldest first

    def add(self, key: tuple[Any, ...], tensor: Tensor) -> None:
        """Add a tensor to the sum of recent tiles with this key."""
        if not self._sum.numel():
            return
        recent = self._recent.pop(key, None)
        if recent is None:
            if len(self._recent) == self._most:
                oldest = self._recent.pop(next(iter(self._recent)))
                self._sum += oldest.take() if len(oldest) else 0
            recent = self._make(*key)
        self._recent[key] = recent
        recent.add(tensor)
        if len(recent) == recent.AT_ONCE:
            self._sum += recent.take()

    def sum(self) -> Tensor:
        """Return the sum of all tiles."""
        for recent in self._recent.values():
            self._sum += recent.take() if len(recent) else 0
        return self._sum

    def merge(self, other: "Total[R]") -> None:
        """Add the sum of ``other``."""
        self._sum += other.sum()
