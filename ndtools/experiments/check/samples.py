"""Patches and crops of images, the data of all checks."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ndtools.data.images.frames import Frames
from ndtools.data.images.reading import Decoded, Skipped, load_images
from ndtools.data.images.sources import resolve_source
from ndtools.errors import DataError, NotPositiveDefiniteError, NoUsableImageError
from ndtools.experiments.check.arithmetic import condition_of
from ndtools.experiments.check.config import CheckConfig
from ndtools.numerics.patches import patch_grid
from ndtools.numerics.pixels import white
from ndtools.results.inputs import ImagesUsed, images_used

__all__ = ["Samples", "draw_samples"]

PATCHES = 20_000  # at most
NUMBERS = 8_000_000  # in all patches, at most
CROPS, SIDE = 16, 24  # number of crops, and their side in pixels


@dataclass(frozen=True, eq=False)
class Samples:
    """Data of the checks, in float64.

    Attributes
    ----------
    rows : Tensor of shape (N, d)
        Patches of the images at random positions, less their mean.
    covariance : Tensor of shape (d, d)
        Covariance (1/N) XᵗX of these rows.
    condition : float
        Condition number of the covariance.
    crops : Tensor of shape (16, C, s, s)
        Square pieces of the images at random positions, of 24 pixels a side or the smallest image's.
    kernel_size : int
        Side of the patches in pixels.
    images : ImagesUsed
        Images that were used and skipped.
    """

    rows: Tensor
    covariance: Tensor
    condition: float
    crops: Tensor
    kernel_size: int
    images: ImagesUsed

    @property
    def middle(self) -> Tensor:
        """Middle 3×3 pixels of each patch, or all if patches are of one pixel: of shape (N, d')."""
        side = min(3, self.kernel_size)
        first = (self.kernel_size - side) // 2
        windows = self.rows.view(len(self.rows), -1, self.kernel_size, self.kernel_size)
        return windows[:, :, first : first + side, first : first + side].flatten(1)


def draw_samples(config: CheckConfig, device: torch.device) -> Samples:
    """Draw patches and crops of the images of a configuration.

    Parameters
    ----------
    config : CheckConfig
        Configuration of the run.
    device : torch.device
        Device of the samples.

    Returns
    -------
    Samples
        Patches and crops with the images that they come from.

    Raises
    ------
    NoUsableImageError
        If no image can be used.
    DataError
        If the images have too few patches.
    NotPositiveDefiniteError
        If the covariance of the patches is singular.
    """
    source = resolve_source(config.source).subset(config.images, config.seed)
    rng = np.random.default_rng(config.seed)
    k, channels = config.kernel_size, 1 if config.gray else 3
    features = channels * k * k
    # So that the patches of all crops are twice as many as their features.
    least = max(4, k - 1 + math.ceil(k * math.sqrt(2 * channels / CROPS)))
    wanted = min(PATCHES, NUMBERS // features)
    images, skipped, frames = list[Tensor](), list[Skipped](source.skipped), list[Frames]()
    for item in load_images(source, gray=config.gray, jobs=config.jobs):
        if isinstance(item, Skipped):
            skipped.append(item)
        elif min(item.pixels.shape[1:]) < least:
            height, width = item.pixels.shape[1:]
            skipped.append(Skipped(item.name, f"{width}×{height} pixels are less than the {least}×{least} of a crop"))
        else:
            images.append(_pixels(item))
            if item.frames > 1:
                frames.append(Frames(item.name, item.frames))
    if not images:
        raise NoUsableImageError(f"{source.label}: no image could be used; {skipped[0].reason}", tuple(skipped))
    each = -(-wanted // len(images))
    rows = torch.cat([_patches(image, k, each, rng) for image in images])[:wanted]
    if len(rows) < 4 * features:
        raise DataError(
            f"{source.label} has {len(rows)} patches for {features} features; use larger or more images, or a smaller"
            " `kernel_size`"
        )
    rows = (rows - rows.mean(0)).to(device)
    covariance = rows.mT @ rows / len(rows)
    condition = condition_of(covariance)
    if not condition < 1 / (features * torch.finfo(torch.float64).eps):
        raise NotPositiveDefiniteError(
            f"the covariance of the patches of {source.label} is singular, so that no D whitens them: take images that"
            " vary, or `gray=True` for grey images"
        )
    side = min(SIDE, *(min(image.shape[1:]) for image in images))
    crops = torch.stack([_crop(images[i % len(images)], side, rng) for i in range(CROPS)]).to(device)
    used = images_used(source, len(images), skipped, frames)
    return Samples(rows, covariance, condition, crops, k, used)


def _pixels(image: Decoded) -> Tensor:
    return torch.from_numpy(np.divide(image.pixels, white(image.pixels), dtype=np.float64))


def _patches(image: Tensor, kernel_size: int, count: int, rng: np.random.Generator) -> Tensor:
    """Return patches at random positions, each position at most once."""
    rows, columns = patch_grid((image.shape[1], image.shape[2]), kernel_size)
    chosen = rng.permutation(rows * columns)[:count]
    windows = image.unfold(1, kernel_size, 1).unfold(2, kernel_size, 1)
    y, x = (torch.from_numpy(place) for place in np.divmod(chosen, columns))
    return windows[:, y, x].movedim(1, 0).flatten(1)


def _crop(image: Tensor, side: int, rng: np.random.Generator) -> Tensor:
    y, x = (int(rng.integers(0, size - side + 1)) for size in image.shape[1:])
    return image[:, y : y + side, x : x + side]
