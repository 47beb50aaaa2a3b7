"""Patches of a layer's input on a regular grid of positions, as columns (Ye et al. 2020, sec. 4.5.2)."""

import math
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import pad

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
        if any(self._sides):
            x = pad(x, self._sides)
        dims = len(self.kernel)
        order = [1, *range(2 + dims, 2 + 2 * dims), 0, *range(2, 2 + dims)]
        return self._windows(x).permute(order).reshape(x.shape[1], math.prod(self.kernel), -1)

    def scatter_add(self, grad: Tensor, features: Tensor) -> None:  # noqa: D102
        padded = pad(torch.zeros_like(grad), self._sides) if any(self._sides) else grad
        dims = len(self.kernel)
        order = [1 + dims, 0, *range(2 + dims, 2 + 2 * dims), *range(1, 1 + dims)]
        counts = [axis.count for axis in self.axes]
        patches = features.reshape(features.shape[0], *self.kernel, len(grad), *counts).permute(order)
        windows = self._windows(padded)
        if all(axis.step >= reach for axis, reach in zip(self.axes, self._reaches, strict=True)):
            windows += patches  # no pixel is in two of them
        else:
            for tap in product(*(range(k) for k in self.kernel)):
                at: tuple[Any, ...] = (..., *tap)
                windows[at] += patches[at]
        if padded is not grad:
            grad += pad(padded, [-side for side in self._sides])

    @property
    def _sides(self) -> list[int]:
        return [side for axis in reversed(self.axes) for side in axis.padding]

    @property
    def _reaches(self) -> list[int]:
        return [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]

    def _windows(self, x: Tensor) -> Tensor:
        """View padded images (N, C, ...) as (N, C, positions..., taps...)."""
        for i, (reach, d, axis) in enumerate(zip(self._reaches, self.dilation, self.axes, strict=True), start=2):
            x = x.narrow(i, axis.first, (axis.count - 1) * axis.step + reach).unfold(i, reach, axis.step)[..., ::d]
        return x


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
        "inner" leaves out the positions that reach into the padding, if at least as many others are left as one in
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
    wanted = max(min(2, total), total // sampling)
    for step in range(sampling, 0, -1):
        count = (inner - 1) // step + 1
        if inner > 0 and count >= wanted:
            middle = (inner - 1 - (count - 1) * step) // 2
            return Axis((first + middle) * stride - padding[0], step * stride, count, (0, 0))
    return Axis(0, stride, total, padding)
