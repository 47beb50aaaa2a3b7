"""Patches of a layer's input on a regular grid of positions, as columns (Ye et al. 2020, sec. 4.5.2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["Axis", "axis_of", "sample_patches", "sample_row"]


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


def sample_patches(x: Tensor, kernel: Sequence[int], dilation: Sequence[int], axes: Sequence[Axis]) -> Tensor:
    """Gather patches.

    Parameters
    ----------
    x : Tensor of shape (N, C, ...)
        Images, with one to three axes of pixels.
    kernel, dilation : sequence of int
        Of the convolution.
    axes : sequence of Axis
        Positions along each axis.

    Returns
    -------
    Tensor of shape (C, taps, n)
        Taps are the pixels of the kernel, in row-major order; n = N times the positions.
    """
    dims = len(kernel)
    widths = [side for axis in reversed(axes) for side in axis.padding]
    if any(widths):
        x = pad(x, widths)
    for i, (k, d, axis) in enumerate(zip(kernel, dilation, axes, strict=True), start=2):
        reach = (k - 1) * d + 1
        x = x.narrow(i, axis.first, (axis.count - 1) * axis.step + reach).unfold(i, reach, axis.step)[..., ::d]
    order = [1, *range(2 + dims, 2 + 2 * dims), 0, *range(2, 2 + dims)]
    return x.permute(order).reshape(x.shape[1], math.prod(kernel), -1)


def sample_row(x: Tensor, every: int) -> Tensor:
    """Gather every so manieth pixel of all images in a row, as the published code does for 1×1 kernels.

    Parameters
    ----------
    x : Tensor of shape (N, C, ...)
        Images.
    every : int
        Step along the flattened axes of samples and pixels.

    Returns
    -------
    Tensor of shape (C, 1, n)
        The pixels.
    """
    return torch.movedim(x, 1, 0).flatten(1)[:, None, ::every]
