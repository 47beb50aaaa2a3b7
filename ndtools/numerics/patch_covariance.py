"""Accumulator of the covariance of the patches of images, which are added one by one."""

import math
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from ndtools.numerics.covariance import TOLERANCE, Covariance, rounding_effect
from ndtools.numerics.finite import not_finite
from ndtools.numerics.lag_products import WindowProducts
from ndtools.numerics.patches import (
    NOUNS,
    UNITS,
    Sizes,
    as_pixels,
    axes_in_words,
    im2col,
    patch_grid,
    times,
    to_sizes,
)
from ndtools.numerics.tiles import Centred

__all__ = ["PatchCovariance", "memory_needed", "transform_dtype"]

GREY_LEVELS = 255.0  # sums are kept in grey levels, in which uint8 pixels are whole numbers
ROOM = 2**18  # pixels that are converted to float64 at a time
# Variances in squared units of the pixels whose sums of squares in a transform are numbers of float32.
FLOAT32_VARIANCES = (1e-20, 1e12)


def transform_dtype(variance: float, features: int, eps: float, *, relative: bool = False) -> torch.dtype:
    """Choose the precision in which the correlations of an image are computed.

    Parameters
    ----------
    variance : float
        Variance of the image's pixels.
    features : int
        Number of features of a patch.
    eps : float
        Ridge that will be added to the covariance.
    relative : bool
        Whether ``eps`` is in units of the variance.

    Returns
    -------
    torch.dtype
        Precision: torch.float32 if the ridge alone keeps the effect of its rounding within `TOLERANCE`, else
        torch.float64. If this holds for each image, it holds for their mean.
    """
    rounding = torch.finfo(torch.float32).eps * variance
    effect = rounding_effect(rounding, features, eps * variance if relative else eps)
    return torch.float32 if effect <= TOLERANCE else torch.float64


class PatchCovariance:
    """Accumulator of the covariance of all valid patches of a set of images, signals or volumes.

    Its memory does not grow with the number of images. Accumulators can be added: the sum of the accumulators of two
    sets is the accumulator of their union, to rounding, for any order and partition.

    Parameters
    ----------
    channels : int
        Number C of channels.
    kernel_size : int or tuple of int
        Height and width of the patches in pixels, or one number for both. A tuple of one number is the length of the
        patches of signals (C, T); a tuple of three has depth, height and width of those of volumes (C, D, H, W).
    method : {"exact", "im2col"}
        Algorithm. "exact" uses all positions, by the correlations of the image at every lag
        (:mod:`ndtools.numerics.lag_products`), at the cost of a Fourier transform. "im2col" builds the patch
        matrix; it is slower by a factor of about k², but can skip positions.
    stride : int or tuple of int
        Step between positions in pixels, for all axes or for each; other than 1 only with "im2col".
    dtype : torch.dtype
        Precision: torch.float32 (error about 1e-7 of the largest second moment about an image's mean) or
        torch.float64 (1e-14, at 1.7 times the time). Images little larger than the patch use float64 in both cases.
    eps : float, optional
        Ridge that will be added to the covariance. Images whose rounding in float32 would matter beside it use float64
        (`transform_dtype`). By default no ridge is known, and all images use ``dtype``.
    relative : bool
        Whether ``eps`` is in units of the mean variance, as in :meth:`Deconvolution.from_covariance`.
    device : torch.device or str
        Device of the computation and of the sums.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    The mean of each image, rounded, is subtracted from its pixels, so that low contrast is not lost in
    rounding. Let x = o + a + y, where the origin o is the same for all images and o + a is the image's offset. Then

        Σ (x - o)(x - o)ᵀ = Σ y yᵀ + Σ_images (s aᵀ + a sᵀ + n a aᵀ),    s = Σ_positions y,  n positions,

    where a is the same for all pixels of a channel. So besides Σ y yᵀ only Σ s (a, 1)ᵀ and
    Σ n (a, 1)(a, 1)ᵀ over the images are kept, with C + 1 columns each. The origin is the first image's offset.

    Examples
    --------
    >>> moments = PatchCovariance(channels=1, kernel_size=2)
    >>> moments.update(torch.tensor([[[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]])).finalize().matrix
    tensor([[ 0.2500, -0.2500, -0.2500,  0.2500],
            [-0.2500,  0.2500,  0.2500, -0.2500],
            [-0.2500,  0.2500,  0.2500, -0.2500],
            [ 0.2500, -0.2500, -0.2500,  0.2500]], dtype=torch.float64)
    """

    def __init__(
        self,
        channels: int = 3,
        kernel_size: int | Sizes = 15,
        *,
        method: Literal["exact", "im2col"] = "exact",
        stride: int | Sizes = 1,
        dtype: torch.dtype = torch.float32,
        eps: float | None = None,
        relative: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        if channels < 1:
            raise ValueError(f"channels must be at least 1, got {channels}")
        if dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype must be torch.float32 or torch.float64, got {dtype}")
        if method not in ("exact", "im2col"):
            raise ValueError(f"method must be 'exact' or 'im2col', got {method!r}")
        self.channels, self.kernel_size = channels, to_sizes(kernel_size)
        self.stride = to_sizes(stride, "stride", axes=len(self.kernel_size))
        if method == "exact" and max(self.stride) > 1:
            raise ValueError(f"stride must be 1 with method 'exact', got {stride}; use method 'im2col'")
        if eps is not None and not eps >= 0:
            raise ValueError(f"eps must be at least 0, got {eps}")
        self.method, self.dtype, self.eps, self.relative = method, dtype, eps, relative
        self.device = torch.empty(0, device=device).device  # with its index: "cuda" becomes "cuda:0"
        self.count = 0
        self._origin: Tensor | None = None
        self._rounding = 0.0  # rounding error of an entry of Σ x xᵀ, in units of the pixels
        self._products: WindowProducts | _Im2colProducts = (
            WindowProducts(channels, self.kernel_size, device=self.device)
            if method == "exact"
            else _Im2colProducts(channels, self.kernel_size, self.stride, device=self.device)
        )
        # Σ s (a, 1)ᵀ, with each s stored as the sums that it is assembled from, and Σ n (a, 1)(a, 1)ᵀ.
        zero = torch.zeros((), dtype=torch.float64, device=self.device)
        self._sums = zero.new_zeros(self._products.n_sums, channels + 1)
        self._offsets = zero.new_zeros(channels + 1, channels + 1)

    def update(self, image: Tensor | np.ndarray[Any, Any]) -> Self:
        """Add all patches of an image.

        Parameters
        ----------
        image : Tensor or array of shape (C, H, W), (C, T) or (C, D, H, W)
            Pixels of the image, signal or volume, with as many axes as the patches: uint8, where 0 ... 255 stand for
            [0, 1], or floating point, which is not scaled.

        Returns
        -------
        Self
            This accumulator, updated.

        Raises
        ------
        ValueError
            If the shape is wrong, the image is smaller than the patch, or a pixel is not finite.
        TypeError
            If the pixels are neither uint8 nor floating point.
        """
        pixels = self._check(image)
        positions = math.prod(patch_grid(tuple(pixels.shape[1:]), self.kernel_size, self.stride))
        offset, variance = _offset_and_variance(pixels)
        scale = GREY_LEVELS
        if pixels.dtype == torch.uint8:
            scale, variance = 1.0, variance / GREY_LEVELS**2
        dtype = self._dtype_of(variance)
        # Lags are summed over all pixels and then reduced to the positions; with few positions float32 is too coarse.
        if pixels[0].numel() > 2 * positions:
            dtype = torch.float64
        if pixels.is_floating_point():
            pixels = pixels.to(torch.promote_types(pixels.dtype, dtype))
        self._rounding += torch.finfo(dtype).eps * variance * pixels[0].numel()
        sums = self._products.add(Centred(pixels, offset, scale, dtype))
        offset = offset * scale
        if self._origin is None:
            self._origin = offset
        extended = torch.cat([offset - self._origin, offset.new_ones(1)])  # (a, 1)
        self._sums += torch.outer(sums, extended)
        self._offsets += positions * torch.outer(extended, extended)
        self.count += positions
        return self

    def _dtype_of(self, variance: float) -> torch.dtype:
        """Return the precision for an image, given the variance of its pixels."""
        smallest, largest = FLOAT32_VARIANCES
        if self.method == "im2col" or not (variance == 0 or smallest <= variance <= largest):
            return torch.float64
        if self.eps is None or self.dtype == torch.float64:
            return self.dtype
        features = self.channels * math.prod(self.kernel_size)
        return transform_dtype(variance, features, self.eps, relative=self.relative)

    def _check(self, image: Tensor | np.ndarray[Any, Any]) -> Tensor:
        """Return the image as a tensor on the device; TypeError or ValueError if it cannot be used."""
        pixels = as_pixels(image, self.device)
        axes = len(self.kernel_size)
        noun, shape = NOUNS[axes], tuple(pixels.shape)
        if len(shape) != 1 + axes or shape[0] != self.channels:
            raise ValueError(f"{noun} must have shape ({self.channels}, {axes_in_words(axes)}), got {shape}")
        if any(n < k for n, k in zip(shape[1:], self.kernel_size, strict=True)):
            raise ValueError(
                f"{noun} must be at least as large as a {times(self.kernel_size)} patch, got {times(shape[1:])}"
                f" {UNITS[axes]}"
            )
        if pixels.is_floating_point() and not pixels.isfinite().all():
            raise ValueError(f"{noun} must be finite, got {not_finite(pixels.float().cpu().numpy())}")
        return pixels

    def merge(self, other: "PatchCovariance") -> Self:
        """Add all patches of another accumulator to this one.

        Parameters
        ----------
        other : PatchCovariance
            Accumulator with the same channels, kernel size, method, stride, dtype and device. It is not changed.

        Returns
        -------
        Self
            This accumulator, with the patches of both.

        Raises
        ------
        ValueError
            If the two accumulators differ in one of these settings.
        """
        for name in ("channels", "kernel_size", "method", "stride", "dtype", "device"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise ValueError(f"{name} must be the same for both accumulators, got {mine} and {theirs}")
        if other._origin is None:
            return self
        if self._origin is None:
            self._origin = other._origin
        shift = torch.eye(self.channels + 1, dtype=torch.float64, device=self.device)
        shift[:-1, -1] = other._origin - self._origin  # (a, 1) about the other origin -> about this one
        self._sums += other._sums @ shift.mT
        self._offsets += shift @ other._offsets @ shift.mT
        self._products.merge(other._products)  # type: ignore[arg-type]  # of the same method
        self._rounding += other._rounding
        self.count += other.count
        return self

    def __add__(self, other: "PatchCovariance") -> "PatchCovariance":
        empty = PatchCovariance(
            self.channels,
            self.kernel_size,
            method=self.method,
            stride=self.stride,
            dtype=self.dtype,
            eps=self.eps,
            relative=self.relative,
            device=self.device,
        )
        return empty.merge(self).merge(other)

    def finalize(self) -> Covariance:
        """Assemble the mean and the covariance of all patches added so far.

        Returns
        -------
        Covariance
            Mean and covariance on the accumulator's device. More images may be added afterwards.

        Raises
        ------
        ValueError
            If no image was added.
        """
        if self._origin is None:
            raise ValueError("images must be added before finalize, got none; call update first")
        area = math.prod(self.kernel_size)
        sums = self._products.first_moments(self._sums).flatten(0, -2)
        of_offset = sums[:, :-1].repeat_interleave(area, dim=1)  # Σ s aᵀ over features
        offsets = self._offsets[:-1, :-1].repeat_interleave(area, dim=0).repeat_interleave(area, dim=1)
        products = self._products.total().reshape(len(sums), len(sums))
        second = (products + of_offset + of_offset.mT + offsets) / self.count
        first = (sums[:, -1] + self._offsets[:-1, -1].repeat_interleave(area)) / self.count
        matrix = second - torch.outer(first, first)
        return Covariance(
            mean=(first + self._origin.repeat_interleave(area)) / GREY_LEVELS,
            matrix=(matrix + matrix.mT) / (2 * GREY_LEVELS**2),
            count=self.count,
            channels=self.channels,
            kernel_size=self.kernel_size,
            rounding=self._rounding / self.count,
        )


def _offset_and_variance(pixels: Tensor) -> tuple[Tensor, float]:
    """Return an offset for each channel, near its mean, and the mean square of all pixels about it."""
    bands = pixels.split(max(1, ROOM // pixels[:, 0].numel()), dim=1)  # type: ignore[no-untyped-call]
    axes = tuple(range(1, pixels.dim()))
    mean = sum(band.sum(axes, dtype=torch.float64) for band in bands) / pixels[0].numel()
    if pixels.dtype == torch.uint8:
        offset = mean.round()  # whole numbers: the difference is exact in float32
    else:  # a number of the dtype of the pixels, because this is what is subtracted
        offset = mean.to(torch.promote_types(pixels.dtype, torch.float32)).double()
    offsets = offset.view(-1, *(1,) * len(axes))
    squares = [torch.linalg.vector_norm(band - offsets).item() ** 2 for band in bands]
    return offset, sum(squares) / pixels.numel()


def memory_needed(
    channels: int,
    kernel_size: int | Sizes,
    method: Literal["exact", "im2col"] = "exact",
    dtype: torch.dtype = torch.float32,
) -> int:
    """Estimate the memory of an accumulator and of its assembly, which does not depend on the number of images.

    Parameters
    ----------
    channels : int
        Number C of channels.
    kernel_size : int or tuple of int
        Size of the patches, as in :class:`PatchCovariance`.
    method : {"exact", "im2col"}
        Algorithm, as in :class:`PatchCovariance`.
    dtype : torch.dtype
        Precision of the transforms; the widest one, if they differ.

    Returns
    -------
    int
        Number of bytes: an upper bound for images of many sizes, whose sums are kept apart up to a number of sizes.
    """
    sizes = to_sizes(kernel_size)
    matrix = 8 * (channels * math.prod(sizes)) ** 2
    if method == "im2col":
        return 10 * matrix
    return 10 * matrix + dtype.itemsize // 4 * WindowProducts.memory_needed(channels, sizes)


class _Im2colProducts:
    """Accumulator of the second moments of patches, which builds the patch matrix, in float64."""

    CHUNK = 4096  # patches at a time, so that memory does not grow with the image

    def __init__(self, channels: int, kernel_size: Sizes, stride: Sizes, *, device: torch.device) -> None:
        self.kernel_size, self.stride = kernel_size, stride
        self.window = (channels, *kernel_size)
        features = channels * math.prod(kernel_size)
        self.n_sums = features
        self._total = torch.zeros(features, features, dtype=torch.float64, device=device)

    def add(self, image: Centred) -> Tensor:
        """Add an image; return its first moments, float64 of shape (C·k_y·k_x,)."""
        channels, *size = image.pixels.shape
        rows, *others = patch_grid(tuple(size), self.kernel_size, self.stride)
        sums = self._total.new_zeros(len(self._total))
        step = max(1, self.CHUNK // math.prod(others))  # rows of positions
        for row in range(0, rows, step):
            last = min(row + step, rows) - 1
            band = slice(row * self.stride[0], last * self.stride[0] + self.kernel_size[0])
            shape = (channels, band.stop - band.start, *size[1:])
            pixels = torch.empty(shape, dtype=torch.float64, device=sums.device)
            patches = im2col(image.copy_to(pixels, band), self.kernel_size, self.stride)
            self._total.addmm_(patches.mT, patches)
            sums += patches.sum(0)
        return sums

    def first_moments(self, sums: Tensor) -> Tensor:
        """Reshape linear combinations (C·k_y·k_x, m) of the results of `add` to (C, k_y, k_x, m)."""
        return sums.view(*self.window, -1)

    def merge(self, other: "_Im2colProducts") -> None:
        """Add the sums of ``other``."""
        self._total += other._total

    def total(self) -> Tensor:
        """Return Σ x xᵀ, float64 of shape (C, k_y, k_x, C, k_y, k_x)."""
        return self._total.view(self.window * 2)
