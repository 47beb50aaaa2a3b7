"""Patches of signals, images and volumes as rows of a matrix (im2col), on a regular grid of positions.

Throughout ndtools a patch of C channels and kernel size (kh, kw) is a vector of d = C·kh·kw features in
channel-major order (c, ky, kx). A patch position is valid if the whole patch lies inside the image. A signal (C, T) has
one axis besides its channels, an image (C, H, W) has two, and a volume (C, D, H, W) three; the kernel size, with a
number for each axis, says which of them is meant.
"""

import operator
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "MOST_AXES",
    "NOUNS",
    "UNITS",
    "as_pixels",
    "axes_in_words",
    "each_image",
    "im2col",
    "patch_grid",
    "times",
    "to_pair",
    "to_sizes",
]

Pair = tuple[int, int]
Sizes = tuple[int, ...]
MOST_AXES = 3
NOUNS = {1: "signal", 2: "image", 3: "volume"}
"""What an array with this number of axes besides its channels is called."""
UNITS = {1: "samples", 2: "pixels", 3: "voxels"}
"""What its elements are called."""
_AXES = {1: "T", 2: "H, W", 3: "D, H, W"}


def to_sizes(value: int | Sizes, name: str = "kernel_size", axes: int | None = None) -> Sizes:
    """Return ``value`` as a positive integer for each axis.

    Parameters
    ----------
    value : int or tuple of int
        One number for all axes, or one for each axis, vertical before horizontal.
    name : str
        Name of the value for the error message.
    axes : int, optional
        Number of axes. By default it is the length of a tuple, or two for one number.

    Returns
    -------
    tuple of int
        Positive integers, one for each of one to three axes.

    Raises
    ------
    ValueError
        If ``value`` is neither a positive integer nor as many of them as there are axes.
    """
    try:
        sizes = tuple(map(operator.index, value if isinstance(value, tuple | list) else (value,) * (axes or 2)))
    except TypeError:
        sizes = ()
    if not 1 <= len(sizes) <= MOST_AXES or min(sizes) < 1 or (axes and len(sizes) != axes):
        wanted = {None: "one for each of one to three axes", 1: "a tuple of one", 2: "a pair of them"}
        raise ValueError(
            f"{name} must be a positive integer or {wanted.get(axes, 'one for each of three axes')}, got {value!r}"
        )
    return sizes


def to_pair(kernel_size: int | Sizes) -> Pair:
    """Return ``kernel_size`` as a (vertical, horizontal) pair of positive integers; ValueError as by `to_sizes`."""
    height, width = to_sizes(kernel_size, axes=2)
    return height, width


def times(sizes: Sizes) -> str:
    """Write sizes along axes, as in "5×3"."""
    return "×".join(map(str, sizes))


def axes_in_words(axes: int) -> str:
    """Write the axes besides the channels, as in "H, W" for two."""
    return _AXES[axes]


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


def each_image(images: object, axes: int = 2) -> Iterator[object]:
    """Return an iterator over images, signals or volumes, of which a tensor or array may hold one or a batch.

    Parameters
    ----------
    images : Tensor or array of shape (C, H, W) or (N, C, H, W), or iterable
        Images in one of these forms. The members of an iterable are returned as they are, unchecked.
    axes : int
        Number of axes besides the channels: 1 for signals (C, T) or (N, C, T), 3 for volumes. Default 2, for images.

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
        if len(images.shape) not in (axes + 1, axes + 2):
            shape, names, noun = tuple(images.shape), axes_in_words(axes), NOUNS[axes]
            hint = "" if axes != 2 else "; kernel_size=(k,) is for signals (C, T), and (k, k, k) for volumes"
            raise ValueError(
                f"images must have shape (C, {names}) or (N, C, {names}), or be a list of {noun}s, got {shape}{hint}"
            )
        return iter([images] if len(images.shape) == axes + 1 else images)
    if isinstance(images, str | os.PathLike) or not isinstance(images, Iterable):
        raise TypeError(
            "images must be Tensors or arrays, one or an iterable of them, got"
            f" {type(images).__name__}; ndtools.iter_images reads the images of a file or folder"
        )
    return iter(images)


def patch_grid(size: Sizes, kernel_size: int | Sizes, stride: int | Sizes = 1) -> Sizes:
    """Count the valid patch positions of an image along each axis.

    Parameters
    ----------
    size : tuple of int
        Height and width of the image in pixels; length of a signal; depth, height and width of a volume.
    kernel_size, stride : int or tuple of int
        Patch size, and step between neighbouring positions, in pixels: one for all axes, or one for each.

    Returns
    -------
    tuple of int
        Number of positions along each axis; all are 0 if the image is smaller than the patch.
    """
    axes = len(size)
    counts = tuple(
        (n - k) // s + 1 if n >= k else 0
        for n, k, s in zip(size, to_sizes(kernel_size, axes=axes), to_sizes(stride, "stride", axes=axes), strict=True)
    )
    return counts if all(counts) else (0,) * axes


def im2col(image: Tensor, kernel_size: int | Sizes, stride: int | Sizes = 1) -> Tensor:
    """Unfold a signal, image or volume into the matrix of its valid patches.

    Parameters
    ----------
    image : Tensor of shape (..., C, H, W); (..., C, T); or (..., C, D, H, W)
        Image, signal or volume, or several with any number of leading batch dimensions.
    kernel_size, stride : int or tuple of int
        Patch size, and step between neighbouring positions, in pixels. One kernel size is that of square patches of
        images; otherwise there is one for each axis.

    Returns
    -------
    Tensor of shape (..., P, C·kh·kw)
        Matrix with one row for each of the P positions in raster order, and features in (c, ky, kx) order.

    Raises
    ------
    ValueError
        If ``image`` has fewer dimensions than channels and axes, or is smaller than the patch.

    Examples
    --------
    >>> import torch
    >>> im2col(torch.arange(12.0).reshape(1, 3, 4), 2).shape
    torch.Size([6, 4])
    >>> im2col(torch.arange(12.0).reshape(1, 3, 4), 2)[0]
    tensor([0., 1., 4., 5.])
    >>> im2col(torch.arange(4.0).reshape(1, 4), (3,))
    tensor([[0., 1., 2.],
            [1., 2., 3.]])
    """
    sides = to_sizes(kernel_size)
    axes = len(sides)
    steps = to_sizes(stride, "stride", axes=axes)
    if image.dim() < axes + 1:
        raise ValueError(f"image must have shape (..., C, {axes_in_words(axes)}), got {tuple(image.shape)}")
    size = tuple(image.shape[-axes:])
    if any(n < k for n, k in zip(size, sides, strict=True)):
        raise ValueError(
            f"{NOUNS[axes]} must be at least as large as a {times(sides)} patch, got {times(size)} {UNITS[axes]}"
        )
    windows = image
    for k, s in zip(sides, steps, strict=True):  # each axis becomes positions, and its window comes last
        windows = windows.unfold(-axes, k, s)
    windows = windows.movedim(-2 * axes - 1, -axes - 1)  # (..., positions, C, window)
    return windows.flatten(-axes - 1).flatten(-axes - 1, -2)
