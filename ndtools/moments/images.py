"""Covariance of the patches of an image source, by several threads."""

from dataclasses import dataclass
from typing import Literal

import torch

from ndtools.computing.memory import free_memory
from ndtools.data.images.reading import Decoded, processors
from ndtools.data.images.sources import ImageSource, Skipped
from ndtools.errors import OptionError
from ndtools.moments.gathering import Progress, gather
from ndtools.numerics.covariance import PatchCovariance, memory_needed, transform_dtype
from ndtools.numerics.patches import Pair

__all__ = ["ImageMoments", "Progress", "image_moments", "too_small"]

CERTAIN = 2**30  # bytes that are never refused: the need is an upper bound, which small patches do not reach
WORKING = 8  # bytes for each pixel of an image that adding it in float32 takes


LARGEST_VARIANCE = 0.25  # of numbers in [0, 1]


@dataclass(frozen=True, eq=False)
class ImageMoments:
    """Patch moments of those images of a source that could be used.

    Attributes
    ----------
    moments : PatchCovariance
        Their sum.
    read : int
        Number of images used.
    skipped : tuple of Skipped
        Those not used, by name and reason, sorted by name.
    """

    moments: PatchCovariance
    read: int
    skipped: tuple[Skipped, ...]


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

    Each thread has an accumulator, as many as fit into memory (one on a GPU); in the end they are added. Memory does
    not grow with the number of images.

    Parameters
    ----------
    source : ImageSource
        The images.
    kernel_size, method, stride, eps, relative, device
        As in :class:`ndtools.numerics.covariance.PatchCovariance`.
    gray, resize
        As in :func:`ndtools.data.images.reading.load_images`.
    jobs : int, optional
        Threads that decode and compute; one for each processor by default.
    progress : callable, optional
        Called in this thread, a few times a second.

    Returns
    -------
    ImageMoments
        The sum, and what was left out.

    Raises
    ------
    DataError
        If no image could be used; it names the first and its reason.
    OptionError
        If patches of that size need more memory than there is.
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
    found = gather(
        source, new, _add, workers=workers, jobs=jobs, gray=gray, resize=resize, working=working, progress=progress
    )
    total, *others = found.parts
    for moments in others:
        total.merge(moments)
    return ImageMoments(total, found.read, found.skipped)


def _add(moments: PatchCovariance, image: Decoded) -> str | None:
    reason = too_small(image, moments.kernel_size)
    if reason is None:
        moments.update(image.pixels)
    return reason


def too_small(image: Decoded, kernel_size: Pair) -> str | None:
    """Say why an image has no patch of a size, if so."""
    _, height, width = image.pixels.shape
    ky, kx = kernel_size
    return f"{width}×{height} pixels, smaller than a {kx}×{ky} patch" if height < ky or width < kx else None


def _affordable(workers: int, needed: int) -> int:
    """Return how many accumulators of ``needed`` bytes fit into half of the free memory, at least 1."""
    free = free_memory()
    if free is None:
        return workers
    if needed > max(free, CERTAIN):
        raise OptionError(
            "kernel_size",
            f"is too large for this machine: patches of that size need about {needed / 1e9:.2g} GB of memory, and"
            f" {free / 1e9:.2g} GB are free",
        )
    return max(1, min(workers, free // (2 * needed)))
