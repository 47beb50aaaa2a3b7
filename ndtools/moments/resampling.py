"""Resampling of groups of images: what kernels and correlations of other images of the same kind would be."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ndtools.errors import NumericalWarning
from ndtools.numerics.covariance import Covariance

__all__ = ["GROUPS", "ResampledKernels", "correction", "resample_kernels", "warn_of_groups"]

GROUPS = 32  # of images at most: moments add up, so a group is read once and resampled as one
FEW_GROUPS = 8  # with fewer, an error is itself uncertain by more than a quarter

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ResampledKernels:
    """Kernels and correlations of bootstrap replicates of a set of images.

    Deviations of the replicates from their mean are enlarged by √(g/(g − 1)) for g groups, so that their spread is
    that of other sets of as many images.

    Attributes
    ----------
    kernels : array of shape (m, r, C, C, k, k)
        Kernels of each of m ridges and r replicates; NaN where a replicate has none.
    correlations : array of shape (r, C, C, k, k)
        Correlations of the centre pixel; see :meth:`ndtools.numerics.covariance.Covariance.correlations_of_centre`.
    """

    kernels: Array
    correlations: Array


def resample_kernels(
    parts: Sequence[Covariance],
    ridges: Sequence[tuple[float, bool]],
    *,
    replicates: int,
    rng: np.random.Generator,
) -> ResampledKernels:
    """Draw groups of images with replacement, and compute the kernels of each draw for several ridges.

    One eigendecomposition of a covariance gives the kernels for all ridges.

    Parameters
    ----------
    parts : sequence of Covariance
        Covariance of each group of images, at least two, of patches with odd sides.
    ridges : sequence of (float, bool)
        Ridges, each with whether it is in units of the mean variance, and is then that of each draw by itself, or
        absolute, in squared units of [0, 1] pixels.
    replicates : int
        Number of draws, at least two.
    rng : numpy.random.Generator
        Random generator of the draws.

    Returns
    -------
    ResampledKernels
        Kernels and correlations of all draws.

    Warns
    -----
    NumericalWarning
        If draws have no kernels for a ridge, because their covariance is singular.
    """
    kernels, correlations = [], []
    count = len(parts)
    for weights in rng.multinomial(count, np.full(count, 1 / count), replicates):
        pooled = Covariance.pooled(parts, weights.tolist())
        unit = pooled.mean_variance
        kernels.append(_kernels(pooled, [unit * eps if relative else eps for eps, relative in ridges]))
        correlations.append(pooled.correlations_of_centre().numpy())
    of_ridges = np.stack(kernels, axis=1)
    failed = int(np.isnan(of_ridges).any((0, 2, 3, 4, 5)).sum())
    if failed:
        warnings.warn(
            f"{failed} of {replicates} resampled sets of images have no kernels for the smallest eps, and are left out:"
            " errors are too small; take a larger eps",
            NumericalWarning,
            stacklevel=2,
        )
    return ResampledKernels(_enlarged(of_ridges, 1, count), _enlarged(np.stack(correlations), 0, count))


def correction(groups: int) -> float:
    """Return what makes up for resampling from ``groups``, whose own variance is (g - 1)/g of that they come from."""
    return math.sqrt(groups / (groups - 1))


def warn_of_groups(sizes: Sequence[int]) -> None:
    """Warn if there are few groups of images, or if they differ much in size.

    Parameters
    ----------
    sizes : sequence of int
        Number of images in each group.

    Warns
    -----
    NumericalWarning
        If standard errors by resampling these groups are rough or wrong.
    """
    if len(sizes) < FEW_GROUPS:
        message = f"a bootstrap of {len(sizes)} images, or files of moments, gives a rough error; take 8 at least"
        warnings.warn(message, NumericalWarning, stacklevel=3)
    if max(sizes) > 2 * min(sizes):
        message = (
            f"the bootstrap takes sets of {min(sizes)} to {max(sizes)} images for equals, which makes errors wrong;"
            " take files of moments of about as many images"
        )
        warnings.warn(message, NumericalWarning, stacklevel=3)


def _enlarged(samples: Array, axis: int, groups: int) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where no replicate has a value
        mean = np.nanmean(samples, axis=axis, keepdims=True)
    return np.asarray(mean + correction(groups) * (samples - mean))


def _kernels(covariance: Covariance, ridges: Sequence[float]) -> Array:
    """Return the kernels (m, C, C, k_y, k_x) for each ridge; NaN where Cov + eps·I is singular to rounding."""
    c, (ky, kx) = covariance.channels, covariance.kernel_size
    values, vectors = torch.linalg.eigh(covariance.matrix)
    centre = vectors.view(c, ky, kx, -1)[:, ky // 2, kx // 2]
    found = torch.full((len(ridges), c, c * ky * kx), math.nan, dtype=torch.float64)
    for i, eps in enumerate(ridges):
        shifted = values + eps
        if shifted[0] > len(values) * torch.finfo(torch.float64).eps * shifted[-1]:
            found[i] = (centre * shifted.rsqrt()) @ vectors.mT
    return np.asarray(found.view(len(ridges), c, c, ky, kx).numpy())
