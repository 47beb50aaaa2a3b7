"""Moments of images in memory, for the modes of ``Whiten``: of their patches, of their channels, of whole images."""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ndtools.computing.memory import require_memory
from ndtools.errors import DataError, NumericalWarning
from ndtools.moments.files import read_kernels
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.finite import not_finite
from ndtools.numerics.linear_whitening import COPIES
from ndtools.numerics.patch_covariance import PatchCovariance
from ndtools.numerics.patches import Pair, as_pixels, each_image, to_pair
from ndtools.numerics.pixels import white

__all__ = ["CHUNK", "Images", "covariance_of_images", "covariance_of_patches", "kernels_of_file", "require_features"]

CHUNK = 2**26  # bytes of float64 rows that are added to a covariance at a time

Array = Tensor | np.ndarray[Any, Any]
Images = Array | Iterable[Array]


def covariance_of_patches(images: Images, kernel_size: int | Pair, *, eps: float, relative: bool = False) -> Covariance:
    """Return the covariance of all valid patches of images in memory, which may differ in size.

    Parameters
    ----------
    images : Tensor or array of shape (C, H, W) or (N, C, H, W), or iterable of such
        Images in the units of the pixels, or uint8 for [0, 1]. Each is held only while it is added.
    kernel_size : int or (int, int)
        Height and width of the patches in pixels.
    eps, relative
        Ridge that will be added, as in :class:`ndtools.PatchCovariance`.

    Returns
    -------
    Covariance
        Covariance of the patches, on the CPU.

    Raises
    ------
    DataError
        If there is no image, or one is smaller than the patch.
    TypeError
        If ``images`` hold something else than images.
    ValueError
        If an image has another shape, other channels than the first, or numbers that are not finite.
    """
    ky, kx = to_pair(kernel_size)
    moments: PatchCovariance | None = None
    for batch in _batches(images):
        for image in batch:
            if moments is None:
                moments = PatchCovariance(image.shape[0], (ky, kx), eps=eps, relative=relative)
            if image.shape[1] < ky or image.shape[2] < kx:
                size = "×".join(map(str, image.shape[1:]))
                raise DataError(f"images must have at least {ky}×{kx} pixels (kernel_size), got one of {size}")
            moments.update(image.cpu())
    if moments is None:
        raise DataError("images must hold at least one image, got none")
    return moments.finalize()


def covariance_of_images(images: Images) -> tuple[Covariance, tuple[int, int, int]]:
    """Return the covariance of whole images of one size, whose pixels are the features.

    Parameters
    ----------
    images : Tensor or array of shape (C, H, W) or (N, C, H, W), or iterable of such
        Images of one size in the units of the pixels, or uint8 for [0, 1]. No more than 64 MiB of them are converted
        to float64 at a time.

    Returns
    -------
    covariance : Covariance
        Covariance of the d = C·H·W pixels, in (c, y, x) order, on the CPU.
    shape : (int, int, int)
        Channels, height and width of the images.

    Raises
    ------
    DataError
        If there is no image, or the covariance needs more memory than is free.
    TypeError
        If ``images`` hold something else than images.
    ValueError
        If images differ in shape, or hold numbers that are not finite.
    """
    total: Covariance | None = None
    shape: tuple[int, ...] | None = None
    waiting: list[Tensor] = []

    def add() -> None:
        nonlocal total
        assert shape is not None
        rows = torch.cat(waiting)
        part = Covariance.of_rows(rows, channels=shape[0], kernel_size=(shape[1], shape[2]))
        total = part if total is None else total + part
        waiting.clear()

    for batch in _batches(images):
        if shape is None:
            shape = tuple(batch.shape[1:])
            require_features(batch[0].numel(), "images of {} pixels", "shrink or crop them, or take another mode")
        if tuple(batch.shape[1:]) != shape:
            raise ValueError(f"images must all have the shape of the first, {shape}, got {tuple(batch.shape[1:])}")
        most = max(1, CHUNK // (8 * batch[0].numel()))
        for piece in batch.split(most):  # type: ignore[no-untyped-call]
            rows = piece.cpu().flatten(1).double()
            waiting.append(rows / white(piece) if piece.dtype == torch.uint8 else rows)
            if sum(map(len, waiting)) >= most:
                add()
    if shape is None:
        raise DataError("images must hold at least one image, got none")
    if waiting:
        add()
    assert total is not None
    return total, (shape[0], shape[1], shape[2])


def kernels_of_file(path: str) -> tuple[Tensor, Tensor]:
    """Read kernels that ``ndtools kernels`` has written, and the mean of the patches.

    Parameters
    ----------
    path : str
        Path of the .npz file.

    Returns
    -------
    kernels : Tensor of shape (C, C, k, k)
        Kernels for cross-correlation, float64.
    mean : Tensor of shape (C·k²,)
        Mean of the patches, float64.

    Warns
    -----
    NumericalWarning
        If they are for pixels of another colour space than sRGB.
    """
    kernels, mean, space = read_kernels(path, "path")
    if space != "srgb":
        warnings.warn(
            f"{path} holds kernels for pixels in the colour space {space}: give such pixels to the whitening, as"
            f" nd.iter_images(..., space={space!r}) reads them",
            NumericalWarning,
            stacklevel=3,
        )
    return kernels, mean


def require_features(features: int, what: str, remedy: str) -> None:
    """Raise DataError if the covariance of so many features, and its whitening, need more memory than is free."""
    require_memory(8 * COPIES * features**2, f"whitening {what.format(features)}", remedy)


def _batches(images: Images) -> Iterator[Tensor]:
    """Yield batches (n, C, H, W) of images, checked for their type, number of dimensions, and numbers."""
    before = 0
    given: Iterable[object] = (
        [images] if isinstance(images, Tensor | np.ndarray) and len(images.shape) == 4 else each_image(images)
    )
    for item in given:
        if not isinstance(item, Tensor | np.ndarray):
            pairs = "; give the images alone, as in (image for image, label in data)" if _is_pair(item) else ""
            raise TypeError(f"images must hold Tensors or arrays, got {type(item).__name__}{pairs}")
        pixels = as_pixels(item).detach()
        if pixels.dim() not in (3, 4):
            raise ValueError(f"images must have shape (C, H, W) or (N, C, H, W), got one of {tuple(pixels.shape)}")
        batch = pixels if pixels.dim() == 4 else pixels[None]
        if batch.is_floating_point() and not batch.isfinite().all():
            number = int(batch.isfinite().flatten(1).all(1).logical_not().nonzero()[0, 0])
            bad = not_finite(batch[number].float().cpu().numpy())
            raise ValueError(f"images must be finite, got in image {before + number + 1} {bad}")
        before += len(batch)
        if len(batch):
            yield batch


def _is_pair(item: object) -> bool:
    return isinstance(item, tuple | list)
