"""Samples of a layer's input for its statistics, such as patches at regular positions (Ye et al. 2020, sec. 4.5.2)."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "Axis",
    "Patches",
    "Pixels",
    "Sampler",
    "Sampling",
    "Staggered",
    "Vectors",
    "ZeroStuffed",
    "axes_of",
    "patches_of",
]


class Sampling(Protocol):
    """Selection of the features of a layer's input whose statistics are taken."""

    def gather(self, x: Tensor) -> Tensor:
        """Return the features of an input, of shape (C, taps, n), possibly as a view of it."""
        ...

    def scatter_add(self, grad: Tensor, features: Tensor) -> None:
        """Add features (C, taps, n) in place to the entries of ``grad`` they come from: the adjoint of `gather`."""
        ...


Sampler = Callable[[int, int, int], Sampling]
"""Choice of a sampling, made only when statistics are taken: from the number of images, the sampling stride (in steps
of the convolution) and the turn, the number of images whose grids came before (:class:`Staggered`)."""


@dataclass(frozen=True)
class Vectors:
    """All samples of an input of vectors (..., C); all axes but the last count as samples."""

    def gather(self, x: Tensor) -> Tensor:  # noqa: D102
        return x.reshape(-1, x.shape[-1]).mT[:, None]

    def scatter_add(self, grad: Tensor, features: Tensor) -> None:  # noqa: D102
        grad += features[:, 0].mT.reshape(grad.shape)


@dataclass(frozen=True)
class Pixels:
    """Pixels at a regular distance in the sequence of all images' pixels, as in the published code for 1×1 kernels.

    Attributes
    ----------
    every : int
        Step along the flattened axes of samples and pixels of images (N, C, ...).
    """

    every: int

    def gather(self, x: Tensor) -> Tensor:  # noqa: D102
        if self.every == 1:
            return x.movedim(1, 0).flatten(1)[:, None]
        return x[self._places(x)].mT[:, None]

    def scatter_add(self, grad: Tensor, features: Tensor) -> None:  # noqa: D102
        grad[self._places(grad)] += features[:, 0].mT.to(grad.dtype)

    def _places(self, x: Tensor) -> tuple[Tensor | slice, ...]:
        """Return an index into images (N, C, ...) that selects the pixels, as (n, C)."""
        sizes = [len(x), *x.shape[2:]]
        row = torch.arange(0, math.prod(sizes), self.every, device=x.device)
        sample, *pixel = torch.unravel_index(row, sizes)
        return sample, slice(None), *pixel


@dataclass(frozen=True)
class Axis:
    """Positions of patches along one axis.

    Attributes
    ----------
    first : int
        Beginning of the first patch, in pixels of the padded image.
    step : int
        Distance of the beginnings of neighbouring patches, pixels.
    count : int
        Number of patches along the axis.
    padding : (int, int)
        Number of zeros before and after the image, both 0 if no patch reaches into them. Negative numbers are pixels of
        the image that are cut off.
    """

    first: int
    step: int
    count: int
    padding: tuple[int, int]


@dataclass(frozen=True)
class Patches:
    """Patches of images (N, C, ...) with one to three axes of pixels, at the same positions in each image.

    Attributes
    ----------
    kernel, dilation : tuple of int
        Kernel size and dilation of the convolution; the taps are the pixels of the kernel, in row-major order.
    axes : tuple of Axis
        Positions of the patches along each axis.
    """

    kernel: tuple[int, ...]
    dilation: tuple[int, ...]
    axes: tuple[Axis, ...]

    def gather(self, x: Tensor) -> Tensor:  # noqa: D102
        x = x.transpose(0, 1)
        if self._padded:
            outer, inner = self._crops(x.shape[2:])
            covered = x.new_zeros(*x.shape[:2], *self._lengths)
            covered[inner] = x[outer]
            x = covered
        else:
            x = x[self._crops(x.shape[2:])[0]]
        dims = len(self.kernel)
        order = [0, *range(2 + dims, 2 + 2 * dims), 1, *range(2, 2 + dims)]
        return self._windows(x).permute(order).reshape(x.shape[0], math.prod(self.kernel), -1)

    def scatter_add(self, grad: Tensor, features: Tensor) -> None:  # noqa: D102
        grad = grad.transpose(0, 1)
        outer, inner = self._crops(grad.shape[2:])
        dims, counts = len(self.kernel), [axis.count for axis in self.axes]
        order = [0, 1 + dims, *range(2 + dims, 2 + 2 * dims), *range(1, 1 + dims)]
        patches = features.reshape(features.shape[0], *self.kernel, grad.shape[1], *counts).permute(order)
        # Summed up in a separate image first, as adding to short runs of pixels is slow
        covered = features.new_zeros(*grad.shape[:2], *self._lengths)
        windows = self._windows(covered)
        if all(axis.step >= reach for axis, reach in zip(self.axes, self._reaches, strict=True)):
            windows.copy_(patches)  # no pixel is in two patches
        else:
            for tap in product(*(range(k) for k in self.kernel)):
                at: tuple[Any, ...] = (..., *tap)
                windows[at] += patches[at]
        grad[outer] += covered[inner]

    def count(self, images: int) -> int:
        """Return the number of patches in a number of images."""
        return images * math.prod([axis.count for axis in self.axes])  # a list, for torch.compile

    @property
    def _padded(self) -> bool:
        return any(any(axis.padding) for axis in self.axes)

    @property
    def _reaches(self) -> list[int]:
        return [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]

    @property
    def _lengths(self) -> list[int]:
        """Number of pixels from the beginning of the first patch to the end of the last, along each axis."""
        return [(axis.count - 1) * axis.step + reach for axis, reach in zip(self.axes, self._reaches, strict=True)]

    def _crops(self, sizes: Sequence[int]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return indices of the pixels that all patches together cover: in the image, and in the covered area."""
        starts = [axis.first - axis.padding[0] for axis in self.axes]
        firsts = [max(start, 0) for start in starts]
        ends = [
            max(first, min(start + length, size))  # not before the first, where all patches lie in the padding
            for first, start, length, size in zip(firsts, starts, self._lengths, sizes, strict=True)
        ]
        outer = [slice(first, end) for first, end in zip(firsts, ends, strict=True)]
        inner = [slice(first - start, end - start) for first, start, end in zip(firsts, starts, ends, strict=True)]
        return (..., *outer), (..., *inner)

    def _windows(self, covered: Tensor) -> Tensor:
        """Return a view of the covered area (C, N, pixels...) as patches (C, N, positions..., taps...)."""
        for i, (reach, d, axis) in enumerate(zip(self._reaches, self.dilation, self.axes, strict=True), start=2):
            covered = covered.unfold(i, reach, axis.step)[..., ::d]
        return covered


@dataclass(frozen=True)
class Staggered:
    """Patches of images (N, C, ...) on grids that the images use in turns.

    Attributes
    ----------
    kernel, dilation : tuple of int
        Kernel size and dilation of the convolution.
    axes : tuple of tuple of Axis
        Alternative positions along each axis; a grid is one of their combinations.
    turn : int
        Number of images that used the grids before. The i-th image is sampled on grid ``turn + i``, modulo the number
        of grids. Samples are ordered by grid, from that of the first image.
    """

    kernel: tuple[int, ...]
    dilation: tuple[int, ...]
    axes: tuple[tuple[Axis, ...], ...]
    turn: int = 0

    def __len__(self) -> int:
        """Return the number of grids."""
        return math.prod([len(along) for along in self.axes])

    def gather(self, x: Tensor) -> Tensor:  # noqa: D102
        return torch.cat([grid.gather(images) for grid, images in self._shares(x)], -1)

    def scatter_add(self, grad: Tensor, features: Tensor) -> None:  # noqa: D102
        shares = list(self._shares(grad))
        parts = features.split([grid.count(len(images)) for grid, images in shares], -1)  # type: ignore[no-untyped-call]
        for (grid, images), part in zip(shares, parts, strict=True):
            grid.scatter_add(images, part)

    def _shares(self, x: Tensor) -> Iterator[tuple[Patches, Tensor]]:
        """Return the grids that images use, each with its images."""
        n = len(self)
        for i in range(min(n, len(x))):
            places = np.unravel_index((self.turn + i) % n, [len(along) for along in self.axes])
            axes = tuple(along[place] for along, place in zip(self.axes, places, strict=True))
            yield Patches(self.kernel, self.dilation, axes), x[i::n]


@dataclass(frozen=True)
class ZeroStuffed:
    """Patches of images (N, C, ...) with zeros between their pixels, as a transposed convolution sees them.

    Attributes
    ----------
    stride : tuple of int
        Distance of the pixels after stuffing along each axis: the stride of the transposed convolution.
    patches : Sampling
        Patches of the stuffed images.
    """

    stride: tuple[int, ...]
    patches: Sampling

    def gather(self, x: Tensor) -> Tensor:  # noqa: D102
        stuffed = x.new_zeros(*x.shape[:2], *self.sizes(x.shape[2:]))
        stuffed[self._pixels] = x
        return self.patches.gather(stuffed)

    def scatter_add(self, grad: Tensor, features: Tensor) -> None:  # noqa: D102
        stuffed = features.new_zeros(*grad.shape[:2], *self.sizes(grad.shape[2:]))
        self.patches.scatter_add(stuffed, features)
        grad += stuffed[self._pixels]

    def sizes(self, sizes: Sequence[int]) -> list[int]:
        """Return the size of stuffed images along each axis, for sizes of images."""
        return [(size - 1) * step + 1 for size, step in zip(sizes, self.stride, strict=True)]

    @property
    def _pixels(self) -> tuple[Any, ...]:
        return (..., *(slice(None, None, step) for step in self.stride))


def patches_of(
    images: int,
    sampling: int,
    turn: int = 0,
    *,
    patches: int,
    sizes: Sequence[int],
    kernel: tuple[int, ...],
    stride: Sequence[int],
    dilation: tuple[int, ...],
    padding: Sequence[tuple[int, int]],
    grid: str,
    periods: Sequence[int] | None = None,
) -> Sampling:
    """Choose the patches of a batch whose covariance is taken.

    Parameters
    ----------
    images : int
        Number of images in the batch.
    sampling : int
        Sampling stride, in steps of the convolution.
    turn : int, default 0
        Number of images that used the staggered grids before, so that successive batches use them in turns.
    patches : int
        Number of patches needed for a regular covariance. On staggered grids the sampling stride is lowered until so
        many images have as many patches, on average over all turns.
    sizes : sequence of int
        Size of the images along each axis.
    kernel, stride, dilation : tuple of int
        Size of the kernel, stride and dilation of the convolution along each axis.
    padding : sequence of (int, int)
        Padding of the convolution before and after along each axis, pixels.
    grid : {"staggered", "corner"}
        Placement of the patches, see `axes_of`.
    periods : sequence of int, optional
        Distance, in steps of the convolution, after which the images repeat their pattern of zeros along each axis; 1
        by default, for images without such a pattern.

    Returns
    -------
    Patches or Staggered
        One grid of positions, or several that images use in turns.
    """
    periods = periods or (1,) * len(kernel)
    geometry = list(zip(sizes, kernel, stride, dilation, padding, strict=True))
    totals = [_positions(*along) for along in geometry]
    sampling = min(sampling, max(totals))  # larger strides also leave one position
    if grid == "staggered":
        while images * math.prod(totals) < patches * math.prod(map(_grids, totals, [sampling] * len(totals), periods)):
            if sampling == 1:
                break
            sampling -= 1
    axes = tuple(axes_of(*along, sampling, grid, period) for along, period in zip(geometry, periods, strict=True))
    staggered = Staggered(kernel, dilation, axes, turn)
    if len(staggered) > 1:
        return staggered
    return Patches(kernel, dilation, tuple(along[0] for along in axes))


def axes_of(
    size: int,
    kernel: int,
    stride: int,
    dilation: int,
    padding: tuple[int, int],
    sampling: int,
    grid: str,
    period: int = 1,
) -> tuple[Axis, ...]:
    """Choose the positions of sampled patches along one axis.

    Parameters
    ----------
    size : int
        Size of the image along the axis.
    kernel, stride, dilation : int
        Size of the kernel, stride and dilation of the convolution along the axis.
    padding : (int, int)
        Padding of the convolution before and after, pixels.
    sampling : int
        Sampling stride S, in steps of the convolution: about one in S of its positions is sampled.
    grid : {"staggered", "corner"}
        "staggered" returns S grids (fewer on short axes) that together contain each position of the convolution once.
        Images that use the grids in turns thus sample the padding exactly as often as the convolution meets it.
        "corner" returns every S-th position from the first one, which lies in the padding.
    period : int
        Distance, in steps of the convolution, after which the image repeats its pattern of zeros. The step between
        samples is lowered until it has no divisor in common with the period, so that every grid meets all phases of
        the pattern.

    Returns
    -------
    tuple of Axis
        Alternative grids along the axis, each with at least one position.
    """
    reach = (kernel - 1) * dilation + 1
    total = _positions(size, kernel, stride, dilation, padding)
    if grid == "corner":
        sampling = _coprime(sampling, period)
        return (Axis(0, sampling * stride, (total - 1) // sampling + 1, padding),)
    step = _grids(total, sampling, period)
    # The first batch, if of fewer images than grids, begins in the middle, away from the padding.
    offsets = [(step // 2 + i) % step for i in range(step)]
    grids = [Axis(first * stride, step * stride, (total - 1 - first) // step + 1, padding) for first in offsets]
    return tuple(_without_unused_padding(axis, size, reach) for axis in grids)


def _positions(size: int, kernel: int, stride: int, dilation: int, padding: tuple[int, int]) -> int:
    """Return the number of positions of a convolution along one axis."""
    return (size + sum(padding) - (kernel - 1) * dilation - 1) // stride + 1


def _grids(total: int, sampling: int, period: int) -> int:
    """Return the number of staggered grids that share the positions along one axis, which is the step of each."""
    widest = -(-total // -(-total // sampling))  # that keeps the number of positions, one in S
    return _coprime(widest, period)


def _coprime(step: int, period: int) -> int:
    """Return the largest step, up to the one given, that has no divisor in common with a period."""
    while math.gcd(step, period) > 1:
        step -= 1
    return step


def _without_unused_padding(axis: Axis, size: int, reach: int) -> Axis:
    """Return the same positions in the image without padding if no patch reaches into it, which saves a copy."""
    start = axis.first - axis.padding[0]
    end = start + (axis.count - 1) * axis.step + reach
    return Axis(start, axis.step, axis.count, (0, 0)) if start >= 0 and end <= size else axis
