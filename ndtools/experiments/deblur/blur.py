"""Blur: its kernels, what it does to an image, and the kernel's estimate from the sharp and the blurred image.

Everything is on valid positions, where the kernel lies wholly inside the image, so nothing is assumed of what is
beyond its border. A blur is a convolution, y(p) = Σ_d k(d) x(p − d) with d counted from the centre of the kernel.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ndtools.errors import NumericalWarning
from ndtools.numerics.patch_covariance import PatchCovariance
from ndtools.numerics.patches import Pair
from ndtools.numerics.pixels import white

__all__ = ["KernelMoments", "blur", "correlate", "descend", "gaussian_kernel", "motion_kernel", "solve", "unit_pixels"]

REACH = 3.5  # of a Gaussian, standard deviations: 15 pixels a side at sigma 2
BAND = 512  # rows at a time, so that memory does not grow with a transform of the whole image


def gaussian_kernel(sigma: float) -> NDArray[np.float64]:
    """Sample a Gaussian at the pixels, up to 3.5 standard deviations.

    Parameters
    ----------
    sigma : float
        Standard deviation in pixels, above 0.

    Returns
    -------
    array of shape (n, n)
        exp(−r²/2σ²), divided by its sum; n = 2 ⌈3.5 σ⌉ + 1.

    Raises
    ------
    ValueError
        If ``sigma`` is not positive and finite.

    Examples
    --------
    >>> gaussian_kernel(2).shape
    (15, 15)
    """
    if not (sigma > 0 and math.isfinite(sigma)):
        raise ValueError(f"sigma must be positive and finite, got {sigma}")
    half = math.ceil(REACH * sigma)
    profile = np.exp(-((np.arange(-half, half + 1) / sigma) ** 2) / 2)
    profile /= profile.sum()
    return np.outer(profile, profile)


def motion_kernel(length: float, angle: float) -> NDArray[np.float64]:
    """Draw the line that a point leaves when it moves at constant speed.

    Each point of the line is shared among its four nearest pixels by bilinear interpolation, integrated exactly:
    k(d) = (1/L) ∫ tent(d_x − t cos φ) tent(d_y + t sin φ) dt over |t| ≤ L/2, tent(u) = max(0, 1 − |u|). The variance
    along an axis is that of the line, (L cos φ)²/12 or (L sin φ)²/12, and at most a quarter from the sharing.

    Parameters
    ----------
    length : float
        L in pixels, above 0.
    angle : float
        φ in degrees, anticlockwise from the horizontal as the image is seen.

    Returns
    -------
    array of shape (n, n)
        Symmetric about its centre, of sum 1; n odd, no larger than needed.

    Raises
    ------
    ValueError
        If a number is not finite, or ``length`` not positive.

    Examples
    --------
    >>> motion_kernel(2, 0)
    array([[0.  , 0.  , 0.  ],
           [0.25, 0.5 , 0.25],
           [0.  , 0.  , 0.  ]])
    """
    if not (length > 0 and math.isfinite(length) and math.isfinite(angle)):
        raise ValueError(f"length must be positive and both finite, got {length} and {angle}")
    # Rounded: cos 90° is 6e-17, which would make the line a column wider.
    direction = np.round([math.cos(math.radians(angle)), -math.sin(math.radians(angle))], 12)
    half = max(1, math.ceil(length / 2 * np.abs(direction).max() - 1e-9))
    # Between the places where the line crosses a row or column of pixels, k is quadratic in t: two Gauss points do.
    whole = np.arange(-half, half + 1)
    crossings = [whole / step for step in direction if step]
    knots = np.unique(np.clip(np.concatenate([*crossings, [-length / 2, length / 2]]), -length / 2, length / 2))
    middle, width = (knots[1:] + knots[:-1]) / 2, np.diff(knots)
    t = np.concatenate([middle - width / math.sqrt(12), middle + width / math.sqrt(12)])
    x, y = (np.maximum(0, 1 - np.abs(whole[:, None] - t * step)) for step in direction)
    kernel = (y * np.tile(width / 2, 2)) @ x.T
    kernel += kernel[::-1, ::-1]
    return np.asarray(kernel / kernel.sum(), dtype=np.float64)


def blur(image: Tensor, kernel: Tensor) -> Tensor:
    """Convolve an image with a kernel, valid positions only.

    Parameters
    ----------
    image : Tensor of shape (H, W)
        Image x, float64.
    kernel : Tensor of shape (k_y, k_x)
        k, float64, no larger than the image.

    Returns
    -------
    Tensor of shape (H − k_y + 1, W − k_x + 1)
        y(p) = Σ_d k(d) x(p + k_size − 1 − d), d from (0, 0): by Fourier transform, exact to rounding.
    """
    ky, kx = kernel.shape
    size = _checked(image, (ky, kx))
    blurred = image.new_empty(size)
    responses: dict[Pair, Tensor] = {}
    for rows, length, spectrum in _bands(image, size[0], ky):
        if length not in responses:
            responses[length] = torch.fft.rfft2(kernel.flip(0, 1), s=length).conj()
        whole = torch.fft.irfft2(spectrum * responses[length], s=length)
        blurred[rows] = whole[: rows.stop - rows.start, : size[1]]
    return blurred


def correlate(image: Tensor, other: Tensor) -> Tensor:
    """Correlate an image with a smaller one at every displacement that keeps this within it.

    Parameters
    ----------
    image : Tensor of shape (H, W)
        Image x, float64.
    other : Tensor of shape (H − k_y + 1, W − k_x + 1)
        Image y, float64.

    Returns
    -------
    Tensor of shape (k_y, k_x)
        Σ_p x(p + d) y(p): Xᵗy for the matrix X of the k_y × k_x patches of x, which is not built. By Fourier
        transform, exact to rounding.
    """
    ky, kx = _checked(image, (other.shape[0], other.shape[1]))
    products: dict[Pair, Tensor] = {}
    for rows, length, spectrum in _bands(image, other.shape[0], ky):
        product = spectrum.mul_(torch.fft.rfft2(other[rows], s=length).conj())
        products[length] = products[length].add_(product) if length in products else product
    return torch.stack([torch.fft.irfft2(sum_, s=length)[:ky, :kx] for length, sum_ in products.items()]).sum(0)


def unit_pixels(pixels: NDArray[Any], device: torch.device) -> Tensor:
    """Return pixels as float64 numbers in [0, 1] on a device."""
    return torch.from_numpy(np.divide(pixels, white(pixels), dtype=np.float64)).to(device)


@dataclass(frozen=True, eq=False)
class KernelMoments:
    """All that a least-squares estimate of a kernel needs of a sharp and a blurred image.

    The loss of a kernel w is ½ mean (Xw + o − y)², X being the matrix of the K×K patches of x, with an offset o for
    each channel that is at its optimum: ½ (σ² − 2 wᵗb + wᵗCw).

    Attributes
    ----------
    covariance : Tensor of shape (K², K²)
        C = Cov of the patches, mean of the channels', float64, of [0, 1] pixels.
    cross : Tensor of shape (K²,)
        b = Cov of the patches with y, in the order of the patch.
    variance : float
        σ², of y.
    """

    covariance: Tensor
    cross: Tensor
    variance: float

    @classmethod
    def of(cls, sharp: NDArray[Any], blurred: NDArray[np.float64], *, device: torch.device) -> "KernelMoments":
        """Take the moments of a pair of images, without the patch matrix.

        Parameters
        ----------
        sharp : array of shape (C, H, W)
            uint8, or floating point in [0, 1].
        blurred : array of shape (C, H − K + 1, W − K + 1)
            y on the valid positions of K×K patches, of [0, 1] pixels.
        device : torch.device
            Device that computes; "auto" is CUDA where there is a device.

        Returns
        -------
        KernelMoments
            Exact to rounding, on the CPU.
        """
        kernel_size = sharp.shape[1] - blurred.shape[1] + 1, sharp.shape[2] - blurred.shape[2] + 1
        features = kernel_size[0] * kernel_size[1]
        covariance, cross, variance = torch.zeros(features, features).double(), torch.zeros(features).double(), 0.0
        for x, y in zip(sharp, blurred, strict=True):
            moments = PatchCovariance(1, kernel_size, dtype=torch.float64, device=device).update(
                np.ascontiguousarray(x)[None]
            )
            covariance += moments.finalize().matrix.cpu() / len(sharp)
            centred = torch.as_tensor(y, dtype=torch.float64, device=device)
            centred = centred - centred.mean()
            plane = unit_pixels(x, device)
            cross += correlate(plane - plane.mean(), centred).flatten().cpu() / (centred.numel() * len(sharp))
            variance += float(centred.square().mean()) / len(sharp)
        return cls(covariance, cross, variance)


def solve(moments: KernelMoments) -> Tensor:
    """Return the weights of least loss, C⁻¹b; of those the smallest where C is singular, with a warning.

    Parameters
    ----------
    moments : KernelMoments
        Moments of the sharp and the blurred image.

    Returns
    -------
    Tensor of shape (K²,)
        In the order of the patch, so the kernel reversed.

    Warns
    -----
    NumericalWarning
        If C is singular to working precision.
    """
    values, vectors = torch.linalg.eigh(moments.covariance)
    determined = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
    if not determined.all():
        warnings.warn(
            f"the image determines {int(determined.sum())} of the {len(values)} weights of the kernel only: the closed"
            " form is the smallest kernel that fits; take a larger or more detailed image, or a smaller"
            " `kernel_size`",
            NumericalWarning,
            stacklevel=2,
        )
    inverse = torch.where(determined, 1 / values, 0)
    weights: Tensor = vectors @ (inverse * (vectors.mT @ moments.cross))
    return weights


def descend(moments: KernelMoments, lr: float, iterations: int, d: Tensor | None = None) -> Tensor:
    """Follow gradient descent from zero weights, in the space of patches or of deconvolved patches.

    Parameters
    ----------
    moments : KernelMoments
        Moments of the sharp and the blurred image.
    lr : float
        Learning rate of the descent.
    iterations : int
        Number of steps.
    d : Tensor of shape (K², K²), optional
        D: weights v are learned for D x in place of x, v ← v − lr·D(C D v − b), and w = D v.

    Returns
    -------
    Tensor of shape (iterations + 1, K²)
        w, from zero on.
    """
    hessian = moments.covariance if d is None else d @ moments.covariance @ d
    target = moments.cross if d is None else d @ moments.cross
    path = target.new_zeros(iterations + 1, len(target))
    for n in range(iterations):
        path[n + 1] = path[n] - lr * (hessian @ path[n] - target)
    return path if d is None else path @ d.mT


def _checked(image: Tensor, size: Pair) -> Pair:
    """Return how many positions something of that size has in an image along each axis."""
    rows, columns = image.shape[0] - size[0] + 1, image.shape[1] - size[1] + 1
    if rows < 1 or columns < 1:
        raise ValueError(f"image of {image.shape[0]}×{image.shape[1]} is smaller than {size[0]}×{size[1]}")
    return rows, columns


def _bands(image: Tensor, positions: int, ky: int) -> Iterator[tuple[slice, Pair, Tensor]]:
    """Cut positions into bands of rows; yield each, and length and transform of the pixels that its windows see.

    A transform of all these pixels wraps around nothing that is wanted, as no window reaches beyond them.
    """
    for start in range(0, positions, BAND):
        rows = slice(start, min(start + BAND, positions))
        seen = image[start : rows.stop + ky - 1]
        length = _quick_length(seen.shape[0]), _quick_length(seen.shape[1])
        yield rows, length, torch.fft.rfft2(seen, s=length)


def _quick_length(length: int) -> int:
    """Round up to one of 32 lengths an octave, which have no large prime factor."""
    step = max(1, (1 << length.bit_length()) // 64)
    return math.ceil(length / step) * step
