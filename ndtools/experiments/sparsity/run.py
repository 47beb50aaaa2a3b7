"""How sparse images are before and after deconvolution (Ye et al. 2020, fig. 9; fig. 10 of the second version)."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d

from ndtools.computing.operators import resolve_device
from ndtools.computing.progress import Progress
from ndtools.console.short_form import short_form
from ndtools.data.images.reading import Decoded
from ndtools.data.images.sources import resolve_source
from ndtools.errors import OptionError
from ndtools.experiments.sparsity.config import SparsityConfig
from ndtools.experiments.sparsity.result import SparsityResult
from ndtools.moments.gathering import gather
from ndtools.moments.grey import warn_if_grey
from ndtools.moments.groups import GroupMoments, grouped_moments
from ndtools.moments.images import too_small
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.deconvolution import Deconvolution
from ndtools.numerics.patches import as_pixels
from ndtools.numerics.pixels import white
from ndtools.numerics.ridge import RidgeChoice
from ndtools.numerics.sparsity import REACH, ROUNDING, Density, Distribution, SparsitySums
from ndtools.results.inputs import images_used
from ndtools.results.series import Series, configurations
from ndtools.validation import Ridge

__all__ = ["Whitening", "run", "run_series", "sparsity"]

WORKING = 130  # bytes for each pixel of an image that measuring it takes


def run(config: SparsityConfig, *, progress: Progress | None = None) -> SparsityResult:
    """Measure the distributions in two passes: the covariance, and what it makes of each image.

    Parameters
    ----------
    config : SparsityConfig
        Configuration of the run.
    progress : callable, optional
        Told how many of how many images are done, each counting twice.

    Returns
    -------
    SparsityResult
        Both distributions with their measures. Intervals are those for the D and μ of these images, which stay as
        they are in all replicates.

    Warns
    -----
    NumericalWarning
        If colour images are grey, have several frames, or are named more than once.
    """
    return run_series(config, progress=progress)[0]


def run_series(
    config: SparsityConfig,
    *,
    kernel_sizes: Sequence[int] | None = None,
    ridges: Sequence[Ridge] | None = None,
    progress: Progress | None = None,
) -> Series[SparsityResult]:
    """Measure the distributions for several kernel sizes and ridges, in two passes over the images for all of them.

    Parameters
    ----------
    config : SparsityConfig
        Configuration of all results, but for their kernel sizes and ridges.
    kernel_sizes : sequence of int, optional
        Sides of the patches in pixels. Images smaller than the largest are left out for all sizes. Default: that of
        ``config``.
    ridges : sequence of float, "paper" or "auto", optional
        Ridges, in the unit that ``config.relative_eps`` says. Default: that of ``config``.
    progress : callable, optional
        Told how many of how many images are done, each counting twice.

    Returns
    -------
    Series of SparsityResult
        For each kernel size in turn, a result for each ridge. Those of one kernel size share the distribution
        before deconvolution.

    Raises
    ------
    OptionError
        If there are several results of images that are not decorrelated, or too many.
    """
    SparsityConfig.check_type(config)
    sizes, eps, members = configurations(config, kernel_sizes, ridges)
    if len(members) > 1 and config.whitening == "none":
        raise OptionError("whitening", "must decorrelate something where there are several results, got 'none'")
    device = resolve_device(config.device)
    images = resolve_source(config.source)
    if len(images) > config.images:
        images = images.subset(config.images, config.seed)

    def report(first: int) -> Progress | None:
        return (lambda done, total: progress(first * total + done, 2 * total)) if progress else None

    found = grouped_moments(
        images,
        kernel_sizes=sizes,
        ridges=eps,
        relative=config.relative_eps,
        seed=config.seed,
        device=device,
        gray=config.gray,
        jobs=config.jobs,
        progress=report(0),
    )
    if config.whitening != "none":
        warn_if_grey(found.by_size[0].whole)
    moments = [each for each in found.by_size for _ in eps]
    largest = max(each.whole.kernel_size for each in found.by_size)
    whitenings, choices = [], []
    for member, each in zip(members, moments, strict=True):
        ridge, relative, choice = _terms(member, each)
        whitenings.append(Whitening.of(each.whole, config.whitening, ridge, relative=relative))
        choices.append(choice)
    edges = np.linspace(-REACH, REACH, config.bins + 1)
    # Results of one kernel size share the values before deconvolution.
    maps = [whitening.pixel for whitening in whitenings[:: len(eps)]] + [whitening.output for whitening in whitenings]

    def new() -> list[tuple[SparsitySums, Density]]:
        return [(SparsitySums(config.bootstrap), Density(edges)) for _ in maps]

    def add(parts: list[tuple[SparsitySums, Density]], image: Decoded) -> str | None:
        reason = too_small(image, largest)
        if reason is None:
            for (sums, density), transform in zip(parts, maps, strict=True):
                values = transform(image)
                # The same weights before and after, whatever thread and order.
                sums.add(values, np.random.default_rng([config.seed, zlib.crc32(image.name.encode())]))
                density.add(values)
        return reason

    gathered = gather(images, new, add, gray=config.gray, jobs=config.jobs, working=WORKING, progress=report(1))
    total, *others = gathered.parts
    for part in others:
        for mine, theirs in zip(total, part, strict=True):
            mine[0].merge(theirs[0])
            mine[1].merge(theirs[1])
    distributions = [
        Distribution(transform.sigma, sums.measures(), density.density, density.clipped)
        for (sums, density), transform in zip(total, maps, strict=True)
    ]
    used = images_used(images, gathered.read, gathered.skipped, gathered.frames, gathered.noise)
    return Series(
        tuple(
            SparsityResult(
                config=member,
                images=used,
                count=total[i // len(eps)][0].count,
                edges=edges,
                before=distributions[i // len(eps)],
                after=distributions[len(sizes) + i],
                fit=whitening.fit,
                device=str(device),
                ridge=choice,
            )
            for i, (member, whitening, choice) in enumerate(zip(members, whitenings, choices, strict=True))
        )
    )


def _terms(config: SparsityConfig, moments: GroupMoments) -> tuple[float, bool, RidgeChoice | None]:
    """Return the ridge for the features that are decorrelated."""
    if config.whitening == "none":
        return 0.0, False, None
    if config.whitening == "channel":
        moments = GroupMoments(tuple(group.at_centre() for group in moments.groups))
    return moments.terms(config.eps, relative=config.relative_eps)


sparsity = short_form(SparsityConfig, run, run_series, counting="images, twice")


@dataclass(frozen=True, eq=False)
class _Map:
    """A convolution of pixels in [0, 1], whose output has mean 0 and unit variance over all images, or is 0."""

    weight: Tensor
    bias: Tensor
    sigma: float

    @classmethod
    def of(cls, weight: Tensor, covariance: Covariance) -> "_Map":
        """Scale a convolution (C, C, k_y, k_x) to the patches of a covariance."""
        rows = weight.flatten(1)
        sigma = math.sqrt(max(0.0, (rows @ covariance.matrix @ rows.mT).diagonal().mean().item()))
        if sigma <= ROUNDING * (rows.abs() @ covariance.mean.abs()).max().item():
            return cls(torch.zeros_like(weight).float(), torch.zeros(len(weight)), 0.0)
        return cls((weight / sigma).float(), (-(rows @ covariance.mean) / sigma).float(), sigma)

    def __call__(self, image: Decoded) -> NDArray[np.float32]:
        """Return the output at every valid position, (C, H', W')."""
        pixels = as_pixels(image.pixels)
        pixels = pixels.float() / white(pixels)
        values: NDArray[np.float32] = conv2d(pixels[None], self.weight, self.bias)[0].numpy()
        return values


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

    pixel: _Map
    output: _Map
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
        return cls(_Map.of(pixel, covariance), _Map.of(output, covariance), fit)
