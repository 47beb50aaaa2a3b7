"""Covariance of the patches of an image source, computed by several threads."""

from dataclasses import dataclass
from typing import Literal

import torch

from ndtools.computing.memory import free_memory
from ndtools.computing.progress import Progress
from ndtools.data.images.frames import Frames
from ndtools.data.images.reading import Decoded, processors
from ndtools.data.images.sources import ImageSource, Skipped
from ndtools.errors import OptionError
from ndtools.moments.gathering import gather
from ndtools.numerics.patch_covariance import PatchCovariance, memory_needed, transform_dtype
from ndtools.numerics.patches import Pair

__all__ = ["ImageMoments", "Progress", "image_moments", "too_small"]

CERTAIN = 2**30  # bytes up to which no request is refused: estimates are upper bounds, which small patches do not reach
WORKING = 8  # bytes per pixel that adding an image in float32 takes
LARGEST_VARIANCE = 0.25  # largest variance of numbers in [0, 1]


@dataclass(frozen=True, eq=False)
class ImageMoments:
    """Patch moments of those images of a source that could be used.

    Attributes
    ----------
    moments : PatchCovariance
        Sum of the patch moments of all images used.
    read : int
        Number of images that were used.
    skipped : tuple of Skipped
        Images that were not used, each with the reason, sorted by name.
    frames : tuple of Frames
        Images of several frames, of which the first was used, sorted by name.
    """

    moments: PatchCovariance
    read: int
    skipped: tuple[Skipped, ...]
    frames: tuple[Frames, ...] = ()


def image_moments(
    source: ImageSource,
    *,
    kernel_size: int,
    method: Literal["exact", "im2col"] = "exact",
    stride: int = 1,
    eps: float | None = None,
    relative: bool = False,
    device: torch.device | str = "cpu",
    gray: bool = False,
    resize: int | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> ImageMoments:
    """Accumulate the patch moments of all images of a source.

    Each thread has its own accumulator, as far as the accumulators fit into memory; on a GPU there is only one. At the
    end they are added. The memory does not grow with the number of images.

    Parameters
    ----------
    source : ImageSource
        Source of the images.
    kernel_size, method, stride, eps, relative, device
        Settings of the accumulators, as in :class:`ndtools.numerics.patch_covariance.PatchCovariance`.
    gray, resize
        Settings for decoding, as in :func:`ndtools.data.images.reading.load_images`.
    jobs : int, optional
        Number of threads that decode and compute. Default: one for each processor.
    progress : callable, optional
        Function that is called in the caller's thread a few times a second; see `Progress`.

    Returns
    -------
    ImageMoments
        Sum of the moments, and the images that were left out.

    Raises
    ------
    DataError
        If no image could be used. The message names the first skipped image and the reason.
    OptionError
        If patches of that size need more memory than is free.
    """
    device = torch.device(device)
    channels = 1 if gray else 3

    def new() -> PatchCovariance:
        return PatchCovariance(
            channels, kernel_size, method=method, stride=stride, eps=eps, relative=relative, device=device
        )

    jobs = processors(jobs)
    widest = torch.float32
    if eps is not None:
        widest = transform_dtype(LARGEST_VARIANCE, channels * kernel_size**2, eps, relative=relative)
    needed = memory_needed(channels, kernel_size, method, widest)
    workers = 1 if device.type != "cpu" else _affordable(jobs, needed)
    working = WORKING * widest.itemsize // torch.float32.itemsize
    gathered = gather(
        source, new, _add, workers=workers, jobs=jobs, gray=gray, resize=resize, working=working, progress=progress
    )
    total, *others = gathered.parts
    for moments in others:
        total.merge(moments)
    return ImageMoments(total, gathered.read, gathered.skipped, gathered.frames)


def _add(moments: PatchCovariance, image: Decoded) -> str | None:
    reason = too_small(image, moments.kernel_size)
    if reason is None:
        moments.update(image.pixels)
    return reason


def too_small(image: Decoded, kernel_size: Pair) -> str | None:
    """Return the reason why an image is too small for a patch, or None if it is large enough."""
    _, height, width = image.pixels.shape
    ky, kx = kernel_size
    return f"{width}×{height} pixels, smaller than a {kx}×{ky} patch" if height < ky or width < kx else None


def _affordable(workers: int, needed: int) -> int:
    """Return the number of accumulators of ``needed`` bytes that fit into half of the free memory, at least 1."""
    free = free_memory()
    if free is None:
        return workers
    if needed > max(free, CERTAIN):
        raise OptionError(
            "kernel_size",
            f"is too large for this machine: patches of that size need about {needed / 1e9:.2g} GB of memory, and"
            f" {free / 1e9:.2g} GB are free; choose a smaller one",
        )
    return max(1, min(workers, free // (2 * needed)))
