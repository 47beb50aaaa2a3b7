"""Covariance of the patches of images, accumulated image by image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from ndtools.numerics.lag_products import Centred, WindowProducts
from ndtools.numerics.patches import Pair, as_pixels, im2col, patch_grid, to_pair

__all__ = ["TOLERANCE", "Covariance", "PatchCovariance", "memory_needed", "rounding_effect", "transform_dtype"]

TOLERANCE = 1e-3  # largest effect of rounding on D A D for which float32 is accepted


def rounding_effect(rounding: float, features: int, smallest: float) -> float:
    """Estimate how much rounding of a covariance changes D A D, the identity if D = A^(-1/2) of the exact A.

    Rounding errors of Fourier transforms are about equal in all entries and nearly independent. Their spectral norm is
    therefore about √d times the error of an entry, and D amplifies it by at most 1/λ_min of A. This is an estimate, not
    a bound. It was compared with float64 for photographs, blurred and low-contrast ones, noise and 1/f noise, single
    images and sets, in grey and colour, with k = 1 to 31 and ridges from 1e-2 to 1e-7. The norm was 0.002 to 2 times
    the estimate: near 1 for single images, less for many.

    Parameters
    ----------
    rounding : float
        Size of the rounding error of an entry.
    features : int
        Number of features d.
    smallest : float
        Smallest eigenvalue of A.

    Returns
    -------
    float
        Estimate of ‖D ΔCov D‖₂; infinite if the smallest eigenvalue is not positive.
    """
    if rounding == 0:
        return 0.0
    return math.sqrt(features) * rounding / smallest if smallest > 0 else math.inf


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


@dataclass(frozen=True, eq=False)
class Covariance:
    """Mean and covariance of patches, which have d = C·k_y·k_x features in (c, ky, kx) order.

    Attributes
    ----------
    mean : Tensor of shape (d,)
        Mean patch μ = (1/N) Σ x, float64, in units of the pixels ([0, 1]).
    matrix : Tensor of shape (d, d)
        Covariance (1/N) Σ (x - μ)(x - μ)ᵀ, float64: biased (divided by N), without ridge.
    count : int
        Number N of patches.
    channels : int
        Number C of channels.
    kernel_size : (int, int)
        Height k_y and width k_x of a patch in pixels.
    rounding : float
        Estimated rounding error of an entry of ``matrix``: the machine epsilon of the transforms times the variance
        within images. 0 for a matrix that is taken as given.
    """

    mean: Tensor
    matrix: Tensor
    count: int
    channels: int
    kernel_size: Pair
    rounding: float = 0.0

    @property
    def mean_variance(self) -> float:
        """Mean variance of a feature, which is the unit of a relative ridge."""
        return float(self.matrix.diagonal().mean())

    def at_centre(self) -> "Covariance":
        """Return the covariance of the channels of the centre pixel, as for patches of one pixel (odd sides only)."""
        ky, kx = self.kernel_size
        features = torch.arange(self.channels, device=self.mean.device) * ky * kx + ky * kx // 2
        matrix = self.matrix[features][:, features]
        return replace(self, mean=self.mean[features], matrix=matrix, kernel_size=(1, 1))

    def cpu(self) -> "Covariance":
        """Return the covariance with its tensors on the CPU; tensors that are there already are not copied."""
        return replace(self, mean=self.mean.cpu(), matrix=self.matrix.cpu())

    def __add__(self, other: "Covariance") -> "Covariance":
        """Return the covariance of both sets of patches together, exact to rounding; ValueError if shapes differ."""
        return Covariance.pooled([self, other])

    @classmethod
    def pooled(cls, parts: Sequence["Covariance"], weights: Sequence[int] | None = None) -> "Covariance":
        """Return the covariance of several sets of patches together.

        Parameters
        ----------
        parts : sequence of Covariance
            Covariances of at least one set, of patches of the same shape.
        weights : sequence of int, optional
            Number of times that each set counts; by default once.

        Returns
        -------
        Covariance
            Covariance of all patches together, exact to rounding.

        Raises
        ------
        ValueError
            If the patches differ in shape, or the weights leave no patch.
        """
        first = parts[0]
        for part in parts:
            for name in ("channels", "kernel_size"):
                mine, theirs = getattr(first, name), getattr(part, name)
                if mine != theirs:
                    raise ValueError(f"{name} must be the same for all covariances, got {mine} and {theirs}")
        counts = [part.count * weight for part, weight in zip(parts, weights or [1] * len(parts), strict=True)]
        total = sum(counts)
        if total < 1:
            raise ValueError(f"patches times weights must add up to at least 1, got {total}")
        mean = torch.zeros_like(first.mean)
        for part, count in zip(parts, counts, strict=True):
            mean += count / total * part.mean
        matrix = torch.zeros_like(first.matrix)
        for part, count in zip(parts, counts, strict=True):
            if count:
                shift = part.mean - mean
                matrix += count / total * torch.addr(part.matrix, shift, shift)
        rounding = sum(part.rounding * count for part, count in zip(parts, counts, strict=True)) / total
        return replace(first, mean=mean, matrix=matrix, count=total, rounding=rounding)


GREY_LEVELS = 255.0  # sums are kept in grey levels, in which uint8 pixels are whole numbers


class PatchCovariance:
    """Accumulator of the covariance of all valid patches of a set of images.

    Its memory does not grow with the number of images. Accumulators can be added: the sum of the accumulators of two
    sets is the accumulator of their union, to rounding, for any order and partition.

    Parameters
    ----------
    channels : int
        Number C of channels.
    kernel_size : int or (int, int)
        Height and width of the patches in pixels.
    method : {"exact", "im2col"}
        Algorithm. "exact" uses all positions, by the correlations of the image at every lag
        (:mod:`ndtools.numerics.lag_products`), at the cost of a Fourier transform. "im2col" builds the patch
        matrix; it is slower by a factor of about k², but can skip positions.
    stride : int or (int, int)
        Step between positions in pixels; other than 1 only with "im2col".
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
    An offset close to the mean of each image is subtracted from its pixels, so that low contrast is not lost in
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
        kernel_size: int | Pair = 15,
        *,
        method: Literal["exact", "im2col"] = "exact",
        stride: int | Pair = 1,
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
        if method == "exact" and to_pair(stride, "stride") != (1, 1):
            raise ValueError(f"stride must be 1 with method 'exact', got {stride}; use method 'im2col'")
        self.channels, self.kernel_size, self.stride = (
            channels,
            to_pair(kernel_size),
            to_pair(stride, "stride"),
        )
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
        image : Tensor or array of shape (C, H, W)
            Pixels of the image: uint8, where 0 ... 255 stand for [0, 1], or floating point, which is not scaled.

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
        rows, columns = patch_grid((pixels.shape[1], pixels.shape[2]), self.kernel_size, self.stride)
        # A sample of the pixels is enough: the sums are exact for any offset, and one near the mean rounds less.
        step = max(1, min(pixels.shape[1:]) // 32)
        sample = pixels[:, ::step, ::step].double()
        offset = sample.mean((1, 2))
        variance = (sample - offset[:, None, None]).square().mean().item()
        scale = GREY_LEVELS
        if pixels.dtype == torch.uint8:
            offset, scale = offset.round(), 1.0  # whole numbers: the difference is exact in float32
            variance /= GREY_LEVELS**2
        dtype = self._dtype_of(variance)
        # Lags are summed over all pixels and then reduced to the positions; with few positions float32 is too coarse.
        if pixels[0].numel() > 2 * rows * columns:
            dtype = torch.float64
        if pixels.is_floating_point():
            pixels = pixels.to(torch.promote_types(pixels.dtype, dtype))
            offset = offset.to(pixels.dtype).double()  # rounded, because this is what is subtracted
        self._rounding += torch.finfo(dtype).eps * variance * pixels[0].numel()
        sums = self._products.add(Centred(pixels, offset, scale, dtype))
        offset = offset * scale
        if self._origin is None:
            self._origin = offset
        extended = torch.cat([offset - self._origin, offset.new_ones(1)])  # (a, 1)
        self._sums += torch.outer(sums, extended)
        self._offsets += rows * columns * torch.outer(extended, extended)
        self.count += rows * columns
        return self

    def _dtype_of(self, variance: float) -> torch.dtype:
        """Return the precision for an image, given the variance of its pixels."""
        if self.method == "im2col":
            return torch.float64
        if self.eps is None or self.dtype == torch.float64:
            return self.dtype
        features = self.channels * self.kernel_size[0] * self.kernel_size[1]
        return transform_dtype(variance, features, self.eps, relative=self.relative)

    def _check(self, image: Tensor | np.ndarray[Any, Any]) -> Tensor:
        """Return the image as a tensor on the device; TypeError or ValueError if it cannot be used."""
        pixels = as_pixels(image, self.device)
        if pixels.dim() != 3 or pixels.shape[0] != self.channels:
            raise ValueError(f"image must have shape ({self.channels}, H, W), got {tuple(pixels.shape)}")
        (height, width), (ky, kx) = pixels.shape[1:], self.kernel_size
        if height < ky or width < kx:
            raise ValueError(f"image must be at least as large as a {ky}×{kx} patch, got {height}×{width} pixels")
        if pixels.is_floating_point() and not pixels.isfinite().all():
            raise ValueError("image must be finite, got NaN or Inf")
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
        area = self.kernel_size[0] * self.kernel_size[1]
        sums = self._products.first_moments(self._sums).flatten(0, 2)
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


def memory_needed(
    channels: int,
    kernel_size: int | Pair,
    method: Literal["exact", "im2col"] = "exact",
    dtype: torch.dtype = torch.float32,
) -> int:
    """Estimate the memory of an accumulator and of its assembly, which does not depend on the number of images.

    Parameters
    ----------
    channels : int
        Number C of channels.
    kernel_size : int or (int, int)
        Height and width of the patches in pixels.
    method : {"exact", "im2col"}
        Algorithm, as in :class:`PatchCovariance`.
    dtype : torch.dtype
        Precision of the transforms; the widest one, if they differ.

    Returns
    -------
    int
        Number of bytes: an upper bound for images of many sizes, whose sums are kept apart up to a number of sizes.
    """
    ky, kx = to_pair(kernel_size)
    matrix = 8 * (channels * ky * kx) ** 2
    if method == "im2col":
        return 10 * matrix
    return 10 * matrix + dtype.itemsize // 4 * WindowProducts.memory_needed(channels, (ky, kx))


class _Im2colProducts:
    """Accumulator of the second moments of patches, which builds the patch matrix, in float64."""

    CHUNK = 4096  # patches at a time, so that memory does not grow with the image

    def __init__(self, channels: int, kernel_size: Pair, stride: Pair, *, device: torch.device) -> None:
        self.kernel_size, self.stride = kernel_size, stride
        self.window = (channels, *kernel_size)
        features = channels * kernel_size[0] * kernel_size[1]
        self.n_sums = features
        self._total = torch.zeros(features, features, dtype=torch.float64, device=device)

    def add(self, image: Centred) -> Tensor:
        """Add an image; return its first moments, float64 of shape (C·k_y·k_x,)."""
        ky, kx = self.kernel_size
        channels, height, width = image.pixels.shape
        rows, columns = patch_grid((height, width), self.kernel_size, self.stride)
        sums = self._total.new_zeros(len(self._total))
        step = max(1, self.CHUNK // columns)  # rows of positions
        for row in range(0, rows, step):
            last = min(row + step, rows) - 1
            band = slice(row * self.stride[0], last * self.stride[0] + ky)
            pixels = torch.empty(channels, band.stop - band.start, width, dtype=torch.float64, device=sums.device)
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
