"""Mean and covariance of patches, and the effect of their rounding on D."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ndtools.errors import NumericalWarning
from ndtools.numerics.patches import UNITS, Sizes, times
from ndtools.numerics.products import outer_products
from ndtools.text import counted

__all__ = ["TOLERANCE", "Covariance", "absolute_ridge", "has_variance", "rounding_effect", "warn_if_degenerate"]

TOLERANCE = 1e-3  # largest effect of rounding on D A D for which float32 is accepted
VARIANCE_ROUNDING = 1e-15  # of the squares that a variance is the difference of


def rounding_effect(rounding: float, features: int, smallest: float) -> float:
    """Estimate how much rounding of a covariance changes D A D, the identity if D = A^(-1/2) of the exact A.

    Rounding errors of Fourier transforms are about equal in all entries and nearly independent. Their spectral norm is
    therefore about √d times the error of an entry, and D amplifies it by at most 1/λ_min of A. This is an estimate, not
    a bound. It was compared with float64 for photographs, blurred and low-contrast ones, noise and 1/f noise, single
    images and sets, in grey and colour, with k = 1 to 31 and ridges from 1e-2 to 1e-7. The norm was 0.002 to 2 times
    the estimate: near 1 for single images, less for many.

    Parameters
    ----------
    rounding : float
        Size of the rounding error of an entry.
    features : int
        Number of features d.
    smallest : float
        Smallest eigenvalue of A.

    Returns
    -------
    float
        Estimate of ‖D ΔCov D‖₂; infinite if the smallest eigenvalue is not positive.
    """
    if rounding == 0:
        return 0.0
    return math.sqrt(features) * rounding / smallest if smallest > 0 else math.inf


@dataclass(frozen=True, eq=False, repr=False)
class Covariance:
    """Mean and covariance of patches, which have d = C·k_y·k_x features in (c, ky, kx) order.

    Patches of signals have one axis besides the channels, and those of volumes three.

    Attributes
    ----------
    mean : Tensor of shape (d,)
        Mean patch μ = (1/N) Σ x, float64, in units of the pixels ([0, 1]).
    matrix : Tensor of shape (d, d)
        Covariance (1/N) Σ (x - μ)(x - μ)ᵀ, float64: biased (divided by N), without ridge.
    count : int
        Number N of patches.
    channels : int
        Number C of channels.
    kernel_size : tuple of int
        Height k_y and width k_x of a patch in pixels; or its length alone, or depth, height and width.
    rounding : float
        Estimated rounding error of an entry of ``matrix``: the machine epsilon of the transforms times the variance
        within images. 0 for a matrix that is taken as given.
    """

    mean: Tensor
    matrix: Tensor
    count: int
    channels: int
    kernel_size: Sizes
    rounding: float = 0.0

    def __repr__(self) -> str:
        size = f"{times(self.kernel_size)} {UNITS[len(self.kernel_size)]}"
        patches = f"{self.count:,} patches of {size} and {counted(self.channels, 'channel')}"
        return f"Covariance({patches}, mean variance {self.mean_variance:.3g})"

    @property
    def mean_variance(self) -> float:
        """Mean variance of a feature, which is the unit of a relative ridge."""
        return float(self.matrix.diagonal().mean())

    def at_centre(self) -> "Covariance":
        """Return the covariance of the channels of the centre pixel, as for patches of one pixel (odd sides only)."""
        area = math.prod(self.kernel_size)
        features = torch.arange(self.channels, device=self.mean.device) * area + area // 2
        matrix = self.matrix[features][:, features]
        return replace(self, mean=self.mean[features], matrix=matrix, kernel_size=(1,) * len(self.kernel_size))

    def correlations_of_centre(self) -> Tensor:
        """Return how the centre pixel correlates with all pixels of the patch (odd sides only).

        Returns
        -------
        Tensor of shape (C, C, k, ...)
            Correlation of channel i of the centre pixel with channel j of each pixel; NaN where one of both has no
            variance.
        """
        c, area = self.channels, math.prod(self.kernel_size)
        rows = self.matrix.view(c, area, c, *self.kernel_size)[:, area // 2]
        variance = self.matrix.diagonal().view(c, *self.kernel_size)
        # Variances are differences of squares, and those up to their rounding are none.
        variance = torch.where(variance > VARIANCE_ROUNDING * self.mean.square().max(), variance, torch.nan)
        centre = variance.flatten(1)[:, area // 2].sqrt()
        return rows / (centre.view(c, *(1,) * variance.dim()) * variance.sqrt())

    def cpu(self) -> "Covariance":
        """Return the covariance with its tensors on the CPU; tensors that are there already are not copied."""
        return replace(self, mean=self.mean.cpu(), matrix=self.matrix.cpu())

    def __add__(self, other: "Covariance") -> "Covariance":
        """Return the covariance of both sets of patches together, exact to rounding; ValueError if shapes differ."""
        return Covariance.pooled([self, other])

    @classmethod
    def of_rows(cls, rows: Tensor, *, channels: int | None = None, kernel_size: Sizes = (1, 1)) -> "Covariance":
        """Return the covariance of features whose values are in memory.

        Parameters
        ----------
        rows : Tensor of shape (n, d)
            Values of d features in n samples, of any dtype; they are computed with in float64.
        channels : int, optional
            Number of channels that the features belong to. Default: each feature is a channel.
        kernel_size : (int, int)
            Height and width of the pixels of a channel. Default (1, 1).

        Returns
        -------
        Covariance
            Mean and biased covariance of the samples. Those of several sets of samples add up.
        """
        values = rows.double()
        mean = values.mean(0)
        matrix = outer_products((values - mean).mT) / len(values)
        return cls(mean, matrix, len(values), channels or len(mean), kernel_size)

    @classmethod
    def pooled(cls, parts: Sequence["Covariance"], weights: Sequence[int] | None = None) -> "Covariance":
        """Return the covariance of several sets of patches together.

        Parameters
        ----------
        parts : sequence of Covariance
            Covariances of at least one set, of patches of the same shape.
        weights : sequence of int, optional
            Number of times that each set counts; by default once.

        Returns
        -------
        Covariance
            Covariance of all patches together, exact to rounding.

        Raises
        ------
        ValueError
            If the patches differ in shape, or the weights leave no patch.
        """
        first = parts[0]
        for part in parts:
            for name in ("channels", "kernel_size"):
                mine, theirs = getattr(first, name), getattr(part, name)
                if mine != theirs:
                    raise ValueError(f"{name} must be the same for all covariances, got {mine} and {theirs}")
        counts = [part.count * weight for part, weight in zip(parts, weights or [1] * len(parts), strict=True)]
        total = sum(counts)
        if total < 1:
            raise ValueError(f"patches times weights must add up to at least 1, got {total}")
        mean = torch.zeros_like(first.mean)
        for part, count in zip(parts, counts, strict=True):
            mean += count / total * part.mean
        matrix = torch.zeros_like(first.matrix)
        for part, count in zip(parts, counts, strict=True):
            if count:
                shift = part.mean - mean
                matrix += count / total * torch.addr(part.matrix, shift, shift)
        rounding = sum(part.rounding * count for part, count in zip(parts, counts, strict=True)) / total
        return replace(first, mean=mean, matrix=matrix, count=total, rounding=rounding)


def has_variance(covariance: Covariance) -> list[bool]:
    """Return for each channel of a covariance whether its variance is more than rounding."""
    # A variance is a difference of squares; if it is this small beside them, it is only their rounding.
    variance = covariance.matrix.diagonal().view(covariance.channels, -1).amax(1)
    square = covariance.mean.square().view(covariance.channels, -1).amax(1)
    varies: list[bool] = (variance > 1e-15 * square).tolist()
    return varies


def absolute_ridge(covariance: Covariance, eps: float, *, relative: bool = False) -> float:
    """Return a ridge in squared units of the pixels.

    Parameters
    ----------
    covariance : Covariance
        Covariance to which the ridge is added.
    eps : float
        Ridge, at least 0.
    relative : bool
        Whether ``eps`` is in units of the mean variance of a feature; of 1 if nothing varies. Default False.

    Returns
    -------
    float
        Ridge that is added to the diagonal.

    Raises
    ------
    ValueError
        If ``eps`` is negative.
    """
    if not eps >= 0:
        raise ValueError(f"eps must be at least 0, got {eps}")
    return eps * (covariance.mean_variance if relative and any(has_variance(covariance)) else 1.0)


def warn_if_degenerate(
    covariance: Covariance,
    *,
    samples: str = "patches",
    remedy: str = "add images or use a smaller kernel",
    stacklevel: int = 2,
) -> None:
    """Warn if the kernels would show the ridge instead of the images.

    Parameters
    ----------
    covariance : Covariance
        Covariance of the patches.
    samples : str
        Noun of what the covariance is of, for the message. Default "patches".
    remedy : str
        Advice if there are too few samples. Default "add images or use a smaller kernel".
    stacklevel : int
        Level of the warning, as :func:`warnings.warn` counts it. Default 2: the caller.

    Warns
    -----
    NumericalWarning
        If there are no more patches than features, or a channel is constant.
    """
    features = len(covariance.matrix)
    if covariance.count <= features:
        warnings.warn(
            f"{covariance.count} {samples} cannot determine the covariance of {features} features: "
            f"the ridge eps alone determines the rest; {remedy}",
            NumericalWarning,
            stacklevel=stacklevel + 1,
        )
        return
    constant = [channel for channel, varies in enumerate(has_variance(covariance)) if not varies]
    if len(constant) == covariance.channels:
        message = "the images have constant colour, without variance"
    elif constant:
        message = f"channel {', '.join(map(str, constant))} is constant, without variance"
    else:
        return
    warnings.warn(f"{message}: the kernels show only the ridge eps", NumericalWarning, stacklevel=stacklevel + 1)
