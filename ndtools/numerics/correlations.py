"""Correlations of tiles at all lags within a window, summed over many tiles.

:mod:`ndtools.numerics.lag_products` assembles the second moments of windows from them. Each class here sums up to
``at_once`` tiles in the precision of the tiles; :class:`Total` then takes this sum and adds it up in float64. Double
precision throughout would cost twice the memory traffic, and single precision loses nothing in sums of so few terms.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from ndtools.numerics.patches import Sizes

__all__ = ["CornerProducts", "LagSpectra", "StripSpectra", "Total"]


class LagSpectra:
    """Correlations of all pairs of channels at all lags, from the sum of the tiles' cross-spectra.

    Parameters
    ----------
    channels : int
        Number of channels C.
    kernel_size : tuple of int
        Side of the window along each of n axes.
    size : tuple of int
        Size of the transform along each axis: at least that of the tile plus k - 1, so that no wanted lag wraps around.
    dtype : torch.dtype
        Real dtype of the tiles.
    device : torch.device
        Device of the tiles and of the sums.
    """

    at_once: int = 64

    def __init__(
        self, channels: int, kernel_size: Sizes, size: Sizes, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.kernel_size, self.size = kernel_size, size
        self._axes = tuple(range(1, 1 + len(size)))
        complex_dtype, shape = dtype.to_complex(), (*size[:-1], size[-1] // 2 + 1)
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
        """Add a tile of C channels, zero-padded to ``size``."""
        spectrum = torch.fft.rfftn(tile, dim=self._axes)
        real_imaginary = torch.view_as_real(spectrum)
        self._squares.addcmul_(real_imaginary, real_imaginary)
        torch.conj_physical(spectrum[:-1], out=self._conjugate)
        for s, products in enumerate(self._products, start=1):
            products.addcmul_(self._conjugate[: len(products)], spectrum[s:])
        self._count += 1

    def take(self) -> Tensor:
        """Return the summed correlations of the tiles, of shape (2k - 1, ..., C, C) by lags, and reset the sums."""
        channels = len(self._squares)
        lags = self._squares.new_empty(*(2 * k - 1 for k in self.kernel_size), channels, channels)
        for s, spectra in enumerate([self._squares.sum(-1), *self._products]):
            correlation = torch.fft.irfftn(spectra, s=self.size, dim=self._axes)
            for axis, k in zip(self._axes, self.kernel_size, strict=True):
                wanted = torch.arange(1 - k, k, device=lags.device) % self.size[axis - 1]
                correlation = correlation.index_select(axis, wanted)
            for c in range(channels - s):
                lags[..., c, c + s] = correlation[c]
                lags[..., c + s, c] = correlation[c].flip(tuple(range(len(self.size))))
        for sums in (self._squares, *self._products):
            sums.zero_()
        self._count = 0
        return lags


class StripSpectra:
    """Correlations of all pairs of lines at all lags along the strips at the borders of tiles.

    A border is at one end of one or more axes, so there are 2^b borders where b is the number of these axes. Along the
    others, the *free* axes, the strips are as long as the tile.

    Parameters
    ----------
    channels : int
        Number of channels C.
    border : tuple of int
        Number k - 1 of lines along each of the b axes at whose ends the borders are.
    kernel_size : tuple of int
        Side of the window along each free axis.
    size : tuple of int
        Size of the transform along each free axis: at least that of the strip plus k - 1.
    dtype : torch.dtype
        Real dtype of the tiles.
    device : torch.device
        Device of the tiles and of the sums.
    """

    at_once: int = 64
    AT_ONCE_IN_VOLUMES: ClassVar[int] = 4  # strips with several free axes are large

    def __init__(
        self,
        channels: int,
        border: Sizes,
        kernel_size: Sizes,
        size: Sizes,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        if len(size) > 1:
            self.at_once = self.AT_ONCE_IN_VOLUMES
        self._borders = (2,) * len(border)
        self._axes = tuple(range(3, 3 + len(size)))
        self._lags = tuple(2 * k - 1 for k in kernel_size)
        self._waiting = _Waiting(self.at_once, (*self._borders, channels, *border, *size), dtype, device)
        # Inverse transform at the wanted lags only. The spectrum of real numbers is determined by one half of it.
        self._inverses = [
            _inverse(length, k, half=axis == len(size) - 1, dtype=dtype, device=device)
            for axis, (length, k) in enumerate(zip(size, kernel_size, strict=True))
        ]

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, strips: Tensor) -> None:
        """Add the strips of a tile, of shape (2, ..., C, k - 1, ..., *size), zero-padded to ``size``."""
        self._waiting.next().copy_(strips)

    def take(self) -> Tensor:
        """Return the summed correlations, and forget the tiles.

        Returns
        -------
        Tensor of shape (2, ..., 2k - 1, ..., C(k - 1)..., C(k - 1)...)
            Correlations by border, lag along each free axis, and pair of lines.
        """
        waiting, borders = self._waiting.take(), len(self._borders)
        strips = waiting.flatten(1, borders).flatten(2, 2 + borders)  # (T, border, line, *size)
        spectra = torch.fft.rfftn(strips, dim=self._axes)
        frequencies = spectra.shape[3:]
        vectors = spectra.flatten(3).permute(1, 3, 0, 2).contiguous()
        products = vectors.mH @ vectors  # (border, frequency, line, line)
        lags: Tensor = products.flatten(2).unflatten(1, frequencies)
        for inverse in reversed(self._inverses):
            lags = (inverse @ lags).flatten(-2)
        return lags.real.reshape(*self._borders, *self._lags, *products.shape[2:])


def _inverse(length: int, k: int, *, half: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the matrix of the inverse transform at lags below k, from ``length`` frequencies or one half of them."""
    frequency = torch.arange(length // 2 + 1 if half else length, dtype=torch.float64, device=device)
    lag = torch.arange(1 - k, k, dtype=torch.float64, device=device)
    single = (frequency == 0) | (2 * frequency == length) if half else torch.ones_like(frequency, dtype=torch.bool)
    weight = torch.where(single, 1.0, 2.0).double() / length
    inverse = torch.polar(weight.expand(len(lag), -1), 2 * torch.pi / length * torch.outer(lag, frequency))
    return inverse.to(dtype.to_complex())


class CornerProducts:
    """Products of all pairs of pixels in each corner of tiles.

    Parameters
    ----------
    channels : int
        Number of channels C.
    size : tuple of int
        Size k - 1 of a corner along each of n axes.
    dtype : torch.dtype
        Real dtype of the tiles.
    device : torch.device
        Device of the tiles and of the products.
    """

    at_once: int = 256

    def __init__(self, channels: int, size: Sizes, dtype: torch.dtype, device: torch.device) -> None:
        self._corners = (2,) * len(size)
        self._waiting = _Waiting(self.at_once, (*self._corners, channels, *size), dtype, device)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, corners: Tensor) -> None:
        """Add the 2^n corners of a tile, of shape (2, ..., C, k - 1, ...)."""
        self._waiting.next().copy_(corners)

    def take(self) -> Tensor:
        """Return the summed products, of shape (2, ..., pixels, pixels), and forget the tiles."""
        vectors = self._waiting.take().flatten(1 + len(self._corners)).movedim(0, -2)  # (corner, T, pixel)
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
    at_once: int

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
        if len(recent) == recent.at_once:
            self._sum += recent.take()

    def sum(self) -> Tensor:
        """Return the sum of all tiles."""
        for recent in self._recent.values():
            self._sum += recent.take() if len(recent) else 0
        return self._sum

    def merge(self, other: "Total[R]") -> None:
        """Add the sum of ``other``."""
        self._sum += other.sum()
