"""Patches of a layer's input on a regular grid of positions, as columns (Ye et al. 2020, sec. 4.5.2)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, product
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["Axis", "Pixels", "Patches", "Sampling", "Vectors", "axis_of"]


class Sampling(Protocol):
    """Which features of a layer's input are looked at."""

    def gather(self, x: Tensor) -> Tensor:
        """Return them, of shape (C, taps, n), perhaps as a view."""
        ...

    def scatter_add(self, grad: Tensor, features: Tensor) -> None:
        """Add features (C, taps, n) to where in ``grad`` they come from, in place: the adjoint of `gather`."""
        ...


@dataclass(frozen=True)
class Vectors:
    """All samples of a layer of vectors: ``gather`` takes (..., C), all axes but the last count as samples."""

    def gather(self, x: Tensor) -> Tensor:  # noqa: D102
        return x.reshape(-1, x.shape[-1]).mT[:, None]

    def scatter_add(self, grad: Tensor, features: Tensor) -> None:  # noqa: D102
        grad += features[:, 0].mT.reshape(grad.shape)


@dataclass(frozen=True)
class Pixels:
    """Every so manieth pixel of all images in a row, as the published code has it for 1×1 kernels.

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
        """Return an index into images that gives (n, C)."""
        sizes = [len(x), *x.shape[2:]]
        row = torch.arange(0, math.prod(sizes), self.every, device=x.device)
        sample, *pixel = torch.unravel_index(row, sizes)
        return sample, slice(None), *pixel


@dataclass(frozen=True)
class Axis:
    """Where patches begin along one axis.

    Attributes
    ----------
    first, step, count : int
        Beginnings first, first + step, ..., pixels of the padded image.
    padding : (int, int)
        Zeros before and after; both 0 if no patch reaches into them.
    """

    first: int
    step: int
    count: int
    padding: tuple[int, int]


@dataclass(frozen=True)
class Patches:
    """Patches of images (N, C, ...) with one to three axes of pixels; n = N times the positions.

    Attributes
    ----------
    kernel, dilation : tuple of int
        Of the convolution; the taps are the pixels of the kernel, in row-major order.
    axes : tuple of Axis
        Positions along each axis.
    """

    kernel: tuple[int, ...]
    dilation: tuple[int, ...]
    axes: tuple[Axis, ...]

    def gather(self, x: Tensor) -> Tensor:  # noqa: D102
        padded = any(any(axis.padding) for axis in self.axes)
        shape = x.shape[1], *self.kernel, len(x), *(axis.count for axis in self.axes)
        out = x.new_zeros(shape) if padded else x.new_empty(shape)
        for inside, windows in self._regions(x):
            out[inside] = windows
        return out.view(x.shape[1], math.prod(self.kernel), -1)

    def scatter_add(self, grad: Tensor, features: Tensor) -> None:  # noqa: D102
        counts = [axis.count for axis in self.axes]
        patches = features.reshape(features.shape[0], *self.kernel, len(grad), *counts)
        reaches = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        disjoint = all(axis.step >= reach for axis, reach in zip(self.axes, reaches, strict=True))
        for inside, windows in self._regions(grad):
            part = patches[inside]
            if disjoint:
                windows += part  # no pixel is in two of them
            else:
                for tap in product(*(range(k) for k in windows.shape[1 : 1 + len(counts)])):
                    at: tuple[Any, ...] = (slice(None), *tap)
                    windows[at] += part[at]

    def _regions(self, x: Tensor) -> Iterator[tuple[tuple[slice, ...], Tensor]]:
        """Yield where in (C, taps..., N, positions...) the pixels of images go, and views of these pixels there.

        One region holds all patches without padding, others those of which the same taps are in the padding.
        """
        dims, every = len(self.kernel), slice(None)
        order = [1, *range(2 + dims, 2 + 2 * dims), 0, *range(2, 2 + dims)]
        runs = [
            list(_runs(axis, kernel, dilation, size))
            for axis, kernel, dilation, size in zip(self.axes, self.kernel, self.dilation, x.shape[2:], strict=True)
        ]
        for region in product(*runs):
            windows = x
            for i, (positions, taps, first) in enumerate(region):
                step, dilation = self.axes[i].step, self.dilation[i]
                reach = (len(taps) - 1) * dilation + 1
                length = (len(positions) - 1) * step + reach
                windows = windows.narrow(2 + i, first, length).unfold(2 + i, reach, step)[..., ::dilation]
            of_positions = [slice(positions.start, positions.stop) for positions, _, _ in region]
            of_taps = [slice(taps.start, taps.stop) for _, taps, _ in region]
            yield (every, *of_taps, every, *of_positions), windows.permute(order)


def _runs(axis: Axis, kernel: int, dilation: int, size: int) -> Iterator[tuple[range, range, int]]:
    """Yield runs of positions with the same taps in the image, these taps, and the first pixel."""

    def inside(position: int) -> tuple[int, int]:
        start = axis.first + position * axis.step - axis.padding[0]
        return min(max(0, -(start // dilation)), kernel), max(0, min(kernel, (size - 1 - start) // dilation + 1))

    for (low, high), group in groupby(range(axis.count), inside):
        if low < high:
            run = list(group)
            first = axis.first + run[0] * axis.step - axis.padding[0] + low * dilation
            yield range(run[0], run[-1] + 1), range(low, high), first


def axis_of(
    size: int, kernel: int, stride: int, dilation: int, padding: tuple[int, int], sampling: int, grid: str
) -> Axis:
    """Choose the positions of sampled patches along one axis.

    Parameters
    ----------
    size, kernel, stride, dilation : int
        Of the convolution along the axis.
    padding : (int, int)
        Of the convolution, before and after.
    sampling : int
        Positions of the convolution between sampled ones.
    grid : {"inner", "corner"}
        "inner" leaves out the positions that reach into the padding, if nine tenths as many others are left as one in
        ``sampling``, and two; it takes them closer together before it gives that up, and then takes them all.

    Returns
    -------
    Axis
        One position at least, where the convolution has one.
    """
    reach = (kernel - 1) * dilation + 1
    total = (size + sum(padding) - reach) // stride + 1
    if grid == "corner":
        return Axis(0, sampling * stride, (total - 1) // sampling + 1, padding)
    first = -(-padding[0] // stride)
    last = (size + padding[0] - reach) // stride  # beyond which patches reach the padding behind
    inner = last - first + 1
    wanted = max(min(2, total), 9 * total // (10 * sampling))
    for step in range(sampling, 0, -1):
        count = (inner - 1) // step + 1
        if inner > 0 and count >= wanted:
            middle = (inner - 1 - (count - 1) * step) // 2
            return Axis((first + middle) * stride - padding[0], step * stride, count, (0, 0))
    return Axis(0, stride, total, padding)
