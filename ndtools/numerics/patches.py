"""Patches of images as rows of a matrix (im2col), on a regular grid of positions.

Throughout ndtools a patch of C channels and kernel size (kh, kw) is a vector of d = C·kh·kw features in
channel-major order (c, ky, kx). A patch position is valid if the whole patch lies inside the image.
"""

import operator
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["as_pixels", "each_image", "im2col", "patch_grid", "to_pair"]

Pair = tuple[int, int]


def to_pair(value: int | Pair, name: str = "kernel_size") -> Pair:
    """Return ``value`` as a (vertical, horizontal) pair of positive integers.

    Parameters
    ----------
    value : int or (int, int)
        One number for both axes, or one for each.
    name : str
        Name of the value for the error message.

    Returns
    -------
    (int, int)
        Pair of positive integers, vertical first.

    Raises
    ------
    ValueError
        If ``value`` is neither a positive integer nor a pair of them.
    """
    try:
        pair = tuple(map(operator.index, value if isinstance(value, tuple | list) else (value, value)))
    except TypeError:
        pair = ()
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"{name} must be a positive integer or a pair of them, got {value!r}")
    return pair[0], pair[1]


def as_pixels(image: Tensor | np.ndarray[Any, Any], device: torch.device | str | None = None) -> Tensor:
    """Return an image of any memory layout as a tensor of uint8 or floating point.

    Parameters
    ----------
    image : Tensor or array
        Image of any shape.
    device : torch.device or str, optional
        Device of the result; that of the image by default.

    Returns
    -------
    Tensor
        Image as a tensor. It shares the memory of ``image`` if that is possible, so it must not be written to.

    Raises
    ------
    TypeError
        If the pixels are neither uint8 nor floating point.
    """
    if isinstance(image, np.ndarray):
        native = image.dtype.newbyteorder("=")
        # torch accepts no other byte order and no negative strides, and warns about read-only memory.
        if not image.flags.writeable or image.dtype != native or min(image.strides, default=0) < 0:
            image = image.astype(native, order="K", copy=True)
            if min(image.strides, default=0) < 0:
                image = np.ascontiguousarray(image)
    pixels = torch.as_tensor(image, device=device)
    if pixels.dtype != torch.uint8 and not pixels.is_floating_point():
        raise TypeError(f"image must be uint8 or floating point, got {pixels.dtype}")
    return pixels


def each_image(images: object) -> Iterator[object]:
    """Return an iterator over images, of which a tensor or array may hold one or a batch.

    Parameters
    ----------
    images : Tensor or array of shape (C, H, W) or (N, C, H, W), or iterable
        Images in one of these forms. The members of an iterable are returned as they are, unchecked.

    Returns
    -------
    iterator
        Iterator over the images.

    Raises
    ------
    TypeError
        If ``images`` are no images, such as the name of a folder.
    ValueError
        If a tensor or array has another shape.
    """
    if isinstance(images, Tensor | np.ndarray):
        if len(images.shape) not in (3, 4):
            shape = tuple(images.shape)
            raise ValueError(f"images must have shape (C, H, W) or (N, C, H, W), or be a list of images, got {shape}")
        return iter([images] if len(images.shape) == 3 else images)
    if isinstance(images, str | os.PathLike) or not isinstance(images, Iterable):
        raise TypeError(
            "images must be Tensors or arrays, one or an iterable of them, got"
            f" {type(images).__name__}; ndtools.iter_images reads the images of a file or folder"
        )
    return iter(images)


def patch_grid(size: Pair, kernel_size: int | Pair, stride: int | Pair = 1) -> Pair:
    """Count the valid patch positions of an image along each axis.

    Parameters
    ----------
    size : (int, int)
        Height and width of the image in pixels.
    kernel_size, stride : int or (int, int)
        Patch size, and step between neighbouring positions, in pixels.

    Returns
    -------
    (int, int)
        Rows and columns of the grid of positions; (0, 0) if the image is smaller than the patch.
    """
    counts = [
        (n - k) // s + 1 if n >= k else 0
        for n, k, s in zip(size, to_pair(kernel_size), to_pair(stride, "stride"), strict=True)
    ]
    return (counts[0], counts[1]) if all(counts) else (0, 0)


def im2col(image: Tensor, kernel_size: int | Pair, stride: int | Pair = 1) -> Tensor:
    """Unfold an image into the matrix of its valid patches.

    Parameters
    ----------
    image : Tensor of shape (..., C, H, W)
        Image, or images with any number of leading batch dimensions.
    kernel_size, stride : int or (int, int)
        Patch size, and step between neighbouring positions, in pixels.

    Returns
    -------
    Tensor of shape (..., P, C·kh·kw)
        Matrix with one row for each of the P positions in raster order, and features in (c, ky, kx) order.

    Raises
    ------
    ValueError
        If ``image`` has fewer than three dimensions or is smaller than the patch.

    Examples
    --------
    >>> import torch
    >>> im2col(torch.arange(12.0).reshape(1, 3, 4), 2).shape
    torch.Size([6, 4])
    >>> im2col(torch.arange(12.0).reshape(1, 3, 4), 2)[0]
    tensor([0., 1., 4., 5.])
    """
    (kh, kw), (sh, sw) = to_pair(kernel_size), to_pair(stride, "stride")
    if image.dim() < 3:
        raise ValueError(f"image must have shape (..., C, H, W), got {tuple(image.shape)}")
    if image.shape[-2] < kh or image.shape[-1] < kw:
        height, width = image.shape[-2:]
        raise ValueError(f"image must be at least as large as a {kh}×{kw} patch, got {height}×{width} pixels")
    windows = image.unfold(-2, kh, sh).unfold(-2, kw, sw)  # (..., C, rows, columns, kh, kw)
    windows = windows.movedim(-5, -3)  # (..., rows, columns, C, kh, kw)
    return windows.flatten(-3).flatten(-3, -2)
