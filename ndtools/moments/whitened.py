"""Values of pixels before and after deconvolution, measured in one pass over the images."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d

from ndtools.computing.progress import Progress
from ndtools.data.images.reading import Decoded
from ndtools.data.images.sources import ImageSource
from ndtools.moments.gathering import Gathered, gather
from ndtools.moments.images import too_small
from ndtools.moments.keeping import KeptImages
from ndtools.moments.origin import PatchSetting
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.patches import Sizes, as_pixels
from ndtools.numerics.pixels import white
from ndtools.numerics.sparsity import OF_OFFSET, ROUNDING, Density, Distribution, SparsitySums

__all__ = ["Measured", "PixelMap", "Whitening", "measure_values"]

WORKING = 130  # bytes for each pixel of an image that measuring it takes
FINER = 16  # bins in the width of one, where they are put together later
WORKING_EACH = 12  # bytes more for the values of each map


@dataclass(frozen=True, eq=False)
class PixelMap:
    """Convolution of pixels in [0, 1], whose output has mean 0 and unit variance over all images, or is 0.

    Attributes
    ----------
    weight : Tensor of shape (C, C, k_y, k_x)
        Weight of the convolution, float32.
    bias : Tensor of shape (C,)
        Bias of the convolution of pixels less their offset, float32.
    sigma : float
        Standard deviation of the output before it was scaled; 0 if it is only rounding.
    offset : tuple of float
        Mean of each channel, which is taken off before: products with a large one would cancel, and leave their
        rounding.
    """

    weight: Tensor
    bias: Tensor
    sigma: float
    offset: tuple[float, ...]

    @classmethod
    def of(cls, weight: Tensor, covariance: Covariance) -> "PixelMap":
        """Scale a convolution (C, C, k_y, k_x) to the patches of a covariance."""
        rows = weight.flatten(1)
        sigma = math.sqrt(max(0.0, (rows @ covariance.matrix @ rows.mT).diagonal().mean().item()))
        patches = covariance.mean.view(covariance.channels, -1)
        offset = patches.mean(1).float().double()  # numbers of float32, so that images of uint8 lose the same
        about = (patches - offset[:, None]).flatten()
        terms = about.abs() + covariance.matrix.diagonal().clamp_min(0).sqrt() + OF_OFFSET * covariance.mean.abs()
        if sigma <= ROUNDING * (rows.abs() @ terms).max().item():
            return cls(torch.zeros_like(weight).float(), torch.zeros(len(weight)), 0.0, (0.0,) * covariance.channels)
        bias = -(rows @ about) / sigma
        return cls((weight / sigma).float(), bias.float(), sigma, tuple(offset.tolist()))

    def __call__(self, image: Decoded) -> NDArray[np.float32]:
        """Return the output at every valid position, (C, H', W')."""
        return _values([self], image)[0]

    @cached_property
    def window(self) -> tuple[int, int]:
        """Height and width of the part about the centre outside of which all weights are 0."""
        used = self.weight.ne(0).any(0).any(0)
        sizes = []
        for lines in (used.any(1), used.any(0)):
            middle = len(lines) // 2
            distance = (lines.nonzero() - middle).abs()
            sizes.append(1 + 2 * (int(distance.max()) if len(distance) else 0))
        return sizes[0], sizes[1]


@dataclass(frozen=True, eq=False)
class Whitening:
    """What makes the values before and after deconvolution from the patch around a pixel.

    Attributes
    ----------
    pixel, output : callable
        Give the values of an image (C, H, W) before and after, of mean 0 and unit variance over all images.
    fit : Deconvolution or None
        D of the patches, or of the channels of a pixel; None if values stay as they are.
    """

    pixel: PixelMap
    output: PixelMap
    fit: Deconvolution | None

    @classmethod
    def of(
        cls,
        covariance: Covariance,
        whitening: Literal["patch", "channel", "none"],
        eps: float,
        *,
        relative: bool = False,
    ) -> "Whitening":
        """Compute it.

        Parameters
        ----------
        covariance : Covariance
            Covariance of patches with odd sides.
        whitening : {"patch", "channel", "none"}
            The rows of D that belong to the centre pixel; D of the channels of that pixel alone; the identity.
        eps : float
            Ridge added to the covariance.
        relative : bool
            Whether ``eps`` is in units of the mean variance.

        Returns
        -------
        Whitening
            For images that the covariance is of.
        """
        channels, (ky, kx) = covariance.channels, covariance.kernel_size
        pixel = torch.zeros(channels, channels, ky, kx, dtype=torch.float64)
        pixel[:, :, ky // 2, kx // 2] = torch.eye(channels)
        output, fit = pixel, None
        if whitening != "none":
            whitened = covariance if whitening == "patch" else covariance.at_centre()
            fit = Deconvolution.from_covariance(whitened, eps=eps, relative=relative)
            kernels = fit.kernels()
            output = torch.zeros_like(pixel)
            rows = slice((ky - kernels.shape[2]) // 2, (ky + kernels.shape[2]) // 2)
            columns = slice((kx - kernels.shape[3]) // 2, (kx + kernels.shape[3]) // 2)
            output[:, :, rows, columns] = kernels
        return cls(PixelMap.of(pixel, covariance), PixelMap.of(output, covariance), fit)


@dataclass(frozen=True, eq=False)
class Measured:
    """Distributions of the values that several maps make of the pixels of the same images.

    Attributes
    ----------
    distributions : tuple of Distribution
        Distribution of the values of each map.
    counts : tuple of int
        Number of values of each map: channels times valid positions.
    gathered : Gathered
        Images that were used and skipped.
    """

    distributions: tuple[Distribution, ...]
    counts: tuple[int, ...]
    gathered: Gathered[list[tuple[SparsitySums, Density]]]


def measure_values(
    images: ImageSource,
    maps: Sequence[PixelMap],
    setting: PatchSetting,
    *,
    edges: NDArray[np.float64],
    groups: int,
    largest: Sizes,
    own: bool = True,
    jobs: int | None = None,
    kept: KeptImages | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Measure the distributions of the values that maps make of the pixels of images.

    Parameters
    ----------
    images : ImageSource
        Source of the images.
    maps : sequence of PixelMap
        Maps from pixels to values, all of which are measured in the same pass.
    setting : PatchSetting
        Settings of the images. Its seed is that of the assignment of the images to groups.
    edges : array of shape (bins + 1,)
        Edges of the bins of the densities, in units of the standard deviation of the values.
    groups : int
        Number of groups of images, each of which is left out once for the intervals; 0 for no intervals.
    largest : (int, int)
        Height and width in pixels of the largest patch; smaller images are left out.
    own : bool
        Whether the maps were made from the moments of these images, so that their values have unit variance. If not,
        the standard deviation is that of the values. Default True.
    jobs : int, optional
        Number of threads; one for each processor by default.
    kept : KeptImages, optional
        Images that were decoded before and need not be decoded again.
    progress : callable, optional
        Function that is told the number of images done and of all images.

    Returns
    -------
    Measured
        A distribution for each map.
    """
    reach = edges if own else _wider(edges)
    working = WORKING + WORKING_EACH * len(maps)

    def new() -> list[tuple[SparsitySums, Density]]:
        return [(SparsitySums(groups), Density(reach)) for _ in maps]

    def add(parts: list[tuple[SparsitySums, Density]], image: Decoded) -> str | None:
        reason = too_small(image, largest)
        if reason is None:
            for (sums, density), values in zip(parts, _values(maps, image), strict=True):
                # The same groups for all maps, whatever thread and order.
                sums.add(values, np.random.default_rng([setting.seed, zlib.crc32(image.name.encode())]))
                density.add(values)
        return reason

    gathered = gather(
        images,
        new,
        add,
        gray=setting.gray,
        resize=setting.resize,
        space=setting.space,
        jobs=jobs,
        working=working,
        kept=kept,
        progress=progress,
    )
    total, *others = gathered.parts
    for part in others:
        for mine, theirs in zip(total, part, strict=True):
            mine[0].merge(theirs[0])
            mine[1].merge(theirs[1])
    distributions = []
    for (sums, density), transform in zip(total, maps, strict=True):
        unit = 1.0 if own else sums.deviation
        if not own:
            density = density.rescaled(unit, edges)
        distributions.append(
            Distribution(transform.sigma * unit, sums.measures(unit), density.density, density.clipped)
        )
    return Measured(tuple(distributions), tuple(sums.count for sums, _ in total), gathered)


def _values(maps: Sequence[PixelMap], image: Decoded) -> list[NDArray[np.float32]]:
    """Return the outputs (C, H', W') of several maps at every position that is valid for all of a map's weight."""
    pixels = as_pixels(image.pixels)
    if pixels.dtype != torch.float64:
        pixels = pixels.float() / white(pixels)
    outputs: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(maps)
    by_shape: dict[tuple[tuple[int, ...], tuple[int, int], tuple[float, ...]], list[int]] = {}
    for i, each in enumerate(maps):
        by_shape.setdefault((tuple(each.weight.shape), each.window, each.offset), []).append(i)
    # One convolution with many outputs takes half the time of several, and a narrow window a fraction.
    for (shape, (height, width), offset), places in by_shape.items():
        y, x = (shape[2] - height) // 2, (shape[3] - width) // 2
        weight = torch.cat([maps[i].weight[:, :, y : shape[2] - y, x : shape[3] - x] for i in places])
        inner = pixels[None, :, y : pixels.shape[1] - y, x : pixels.shape[2] - x]
        inner = (inner - torch.tensor(offset, dtype=inner.dtype).view(1, -1, 1, 1)).float()
        values = conv2d(inner, weight, torch.cat([maps[i].bias for i in places]))[0]
        for i, part in zip(places, torch.split(values, shape[0]), strict=True):
            outputs[i] = part.numpy()
    return outputs


def _wider(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return narrow bins that reach four times as far, for values whose standard deviation is not known yet."""
    return np.linspace(4 * edges[0], 4 * edges[-1], 4 * FINER * (len(edges) - 1) + 1)
