"""Covariance of the patches of an image source, computed by several threads."""

import math
from collections.abc import Sequence
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
from ndtools.moments.keeping import KeptImages
from ndtools.numerics.colour import reach_of
from ndtools.numerics.patch_covariance import PatchCovariance, memory_needed, transform_dtype
from ndtools.numerics.patches import Sizes
from ndtools.validation import Space

__all__ = ["ImageMoments", "Progress", "image_moments", "too_small"]

CERTAIN = 2**30  # bytes up to which no request is refused: estimates are upper bounds, which small patches do not reach
WORKING = 8  # bytes per pixel that adding an image in float32 takes


@dataclass(frozen=True, eq=False)
class ImageMoments:
    """Patch moments of those images of a source that could be used.

    Attributes
    ----------
    by_size : tuple of PatchCovariance
        Sums of the patch moments of all images used, for each kernel size.
    read : int
        Number of images that were used.
    skipped : tuple of Skipped
        Images that were not used, each with the reason, sorted by name.
    frames : tuple of Frames
        Images of several frames, of which the first was used, sorted by name.
    noise : float
        Mean variance of the rounding of the files' pixels in [0, 1].
    """

    by_size: tuple[PatchCovariance, ...]
    read: int
    skipped: tuple[Skipped, ...]
    frames: tuple[Frames, ...] = ()
    noise: float = 0.0

    @property
    def moments(self) -> PatchCovariance:
        """Sum of the patch moments for the only, or the first, kernel size."""
        return self.by_size[0]


def image_moments(
    source: ImageSource,
    *,
    kernel_size: int | Sequence[int],
    method: Literal["exact", "im2col"] = "exact",
    stride: int = 1,
    eps: float | None = None,
    relative: bool = False,
    device: torch.device | str = "cpu",
    gray: bool = False,
    resize: int | None = None,
    space: Space = "srgb",
    jobs: int | None = None,
    accumulators: int | None = None,
    kept: KeptImages | None = None,
    progress: Progress | None = None,
) -> ImageMoments:
    """Accumulate the patch moments of all images of a source.

    Each thread has its own accumulator, as far as the accumulators fit into memory; on a GPU there is only one. At the
    end they are added. The memory does not grow with the number of images. With several kernel sizes, each image is
    decoded once, and those smaller than the largest patch are left out for all sizes.

    Parameters
    ----------
    source : ImageSource
        Source of the images.
    kernel_size : int or sequence of int
        Side of the patches in pixels, or several.
    method, stride, eps, relative, device
        Settings of the accumulators, as in :class:`ndtools.numerics.patch_covariance.PatchCovariance`.
    gray, resize, space
        Settings for decoding, as in :func:`ndtools.data.images.reading.load_images`.
    jobs : int, optional
        Number of threads that decode and compute. Default: one for each processor.
    accumulators : int, optional
        Largest number of accumulators. With one, the sums do not depend on the number of threads, to the bit. Default:
        one for each thread.
    kept : KeptImages, optional
        Store that keeps the decoded images for a second pass. By default none are kept.
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
    channels = len(source.channels_decoded(gray=gray))

    sizes = (kernel_size,) if isinstance(kernel_size, int) else tuple(kernel_size)

    def new() -> list[PatchCovariance]:
        return [
            PatchCovariance(channels, k, method=method, stride=stride, eps=eps, relative=relative, device=device)
            for k in sizes
        ]

    jobs = processors(jobs)
    needed, widest = 0, torch.float32
    low, high = reach_of(space)
    largest = ((high - low) / 2) ** 2  # variance of numbers between these ends
    for k in sizes:
        dtype = torch.float32
        if source.calibrated:  # whose variance is not known yet
            dtype = torch.float64
        elif eps is not None:
            dtype = transform_dtype(largest, channels * k**2, eps, relative=relative)
        needed += memory_needed(channels, k, method, dtype)
        widest = torch.promote_types(widest, dtype)
    workers = 1 if device.type != "cpu" else _affordable(min(jobs, accumulators or jobs), needed)
    working = WORKING * widest.itemsize // torch.float32.itemsize
    gathered = gather(
        source,
        new,
        _add,
        workers=workers,
        jobs=jobs,
        gray=gray,
        resize=resize,
        space=space,
        working=working,
        kept=kept,
        progress=progress,
    )
    total, *others = gathered.parts
    for part in others:
        for moments, more in zip(total, part, strict=True):
            moments.merge(more)
    return ImageMoments(tuple(total), gathered.read, gathered.skipped, gathered.frames, gathered.noise)


def _add(by_size: list[PatchCovariance], image: Decoded) -> str | None:
    largest = max((moments.kernel_size for moments in by_size), key=math.prod)
    reason = too_small(image, largest)
    if reason is None:
        for moments in by_size:
            moments.update(image.pixels)
    return reason


def too_small(image: Decoded, kernel_size: Sizes) -> str | None:
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
