r"""Profiles of kernels by distance from their centre, by spatial frequency, and by channel.

In theory, images whose power spectrum falls like f^-2 are whitened by |H(f)| proportional to f, a slope of 1 on double
logarithmic axes, below the frequency where the ridge eps takes over and |H| levels off.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ROUNDING",
    "FrequencyResponse",
    "RadialProfile",
    "checked_kernel",
    "frequency_response",
    "largest_weight",
    "opponency",
    "radial_profile",
]

Array = NDArray[np.float64]

ROUNDING = 1e-12  # relative difference below which two kernels, or two magnitudes, count as equal


@dataclass(frozen=True, eq=False)
class RadialProfile:
    """Mean and standard deviation of a kernel as functions of the distance from its centre.

    Attributes
    ----------
    radius : array of shape (k//2 + 1,)
        Distances 0, 1, ..., k//2 in pixels. An annulus holds the pixels whose distance rounds to its radius.
    mean : array of shape (k//2 + 1,)
        Mean of the kernel over each annulus.
    standard_deviation : array of shape (k//2 + 1,)
        Standard deviation of the kernel over each annulus (biased). For an isotropic kernel it is 0, apart from the
        effect of the annulus' width.
    count : integer array of shape (k//2 + 1,)
        Number of pixels in each annulus.
    """

    radius: Array
    mean: Array
    standard_deviation: Array
    count: NDArray[np.int64]


def radial_profile(kernel: ArrayLike) -> RadialProfile:
    """Average a kernel over annuli one pixel wide.

    Parameters
    ----------
    kernel : array of shape (k, k)
        Square kernel with an odd side k.

    Returns
    -------
    RadialProfile
        Profile without the corners, whose distance rounds to more than k//2.

    Raises
    ------
    ValueError
        If the kernel is not finite or not of this shape.

    Examples
    --------
    >>> radial_profile([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).mean
    array([-4. ,  0.5])
    """
    kernel = checked_kernel(kernel)
    offset = np.arange(len(kernel)) - len(kernel) // 2
    distance, last = np.hypot(offset[:, None], offset), len(kernel) // 2
    radius, count, mean = _annuli(distance, kernel, last)
    variance = _annuli(distance, kernel, last, about=mean)[2]  # mean square less squared mean would lose digits
    return RadialProfile(radius.astype(np.float64), mean, np.sqrt(variance), count)


@dataclass(frozen=True, eq=False)
class FrequencyResponse:
    """Response of a kernel to gratings of each spatial frequency, averaged over their orientations.

    Attributes
    ----------
    frequency : array of shape (n//2,)
        Mean frequency in each annulus of width 1/n, in cycles per pixel, 0 < f <= 0.5.
    magnitude : array of shape (n//2,)
        Mean of |H| over each annulus, in the kernel's unit.
    count : integer array of shape (n//2,)
        Number of frequencies in each annulus.
    dc : float
        Response to a uniform image of 1: H(0), the sum of the kernel, with its sign.
    peak_frequency : float
        Frequency at which ``magnitude`` is largest, in cycles per pixel, to 1/n. If several frequencies are tied, the
        highest of them (as for a single pixel, whose response is flat). In the last annulus it is a lower bound,
        because |H| may rise further beyond.
    peak : float
        Value of ``magnitude`` at ``peak_frequency``.
    low_band : (float, float)
        Band from 1/k to ``peak_frequency``/2. Below it, the kernel's window blurs the response, whose features are 1/k
        wide. Above it, the response bends towards its peak.
    low_frequency_slope : float or None
        Slope of log ``magnitude`` against log ``frequency`` in ``low_band``, by least squares with equal weights. The
        upper half of the band holds most of the annuli and so counts most. The slope depends on the band, and so on k,
        because |H| bends. None if the band spans less than an octave (k < 9, if |H| rises up to 0.5), or holds fewer
        than three annuli.
    """

    frequency: Array
    magnitude: Array
    count: NDArray[np.int64]
    dc: float
    peak_frequency: float
    peak: float
    low_band: tuple[float, float]
    low_frequency_slope: float | None

    @property
    def peaks_at_end(self) -> bool:
        """Whether the peak is in the last annulus, so that its frequency is a lower bound."""
        return self.peak_frequency == float(self.frequency[-1])


def frequency_response(kernel: ArrayLike, n: int = 256) -> FrequencyResponse:
    """Measure the transfer function of a kernel that is applied as a convolution.

    H(f) = Σ kernel[y, x]·exp(−2πi (f_y (y − k//2) + f_x (x − k//2))), on n×n frequencies. The kernel is padded with
    zeros, and its centre is the origin, so that H is real if the kernel is even. A kernel applied by
    cross-correlation has the complex conjugate, of the same magnitude.

    Parameters
    ----------
    kernel : array of shape (k, k)
        Square kernel with an odd side k.
    n : int, default 256
        Side of the transform in pixels, at least k and at least 2.

    Returns
    -------
    FrequencyResponse
        Response without the frequencies beyond 0.5 cycles per pixel, which only oblique gratings have.

    Raises
    ------
    ValueError
        If the kernel is zero everywhere, not finite or not of this shape, or ``n`` is below k or 2.

    Examples
    --------
    >>> response = frequency_response([[0, 1, 0], [1, -4, 1], [0, 1, 0]], n=4)
    >>> response.dc, response.magnitude
    (0.0, array([3., 4.]))
    """
    kernel = checked_kernel(kernel)
    k, scale = len(kernel), largest_weight(kernel)
    if n < max(k, 2):
        raise ValueError(f"n must be at least {max(k, 2)} (at least 2, and at least the kernel's side), got {n}")
    padded = np.zeros((n, n))
    padded[:k, :k] = kernel
    gain = np.abs(np.fft.fft2(np.roll(padded, (-(k // 2), -(k // 2)), (0, 1))))
    cycles = np.fft.fftfreq(n, 1 / n)  # cycles per n pixels: whole numbers, so that the limit n/2 is exact
    radius = np.hypot(cycles[:, None], cycles)
    # The annulus about n/2 would reach beyond it, so frequencies are cut off there.
    inside = 2 * radius <= n
    _, count, magnitude = _annuli(radius[inside], gain[inside], n // 2)
    frequency = _annuli(radius[inside], radius[inside], n // 2)[2] / n
    count, magnitude, frequency = count[1:], magnitude[1:], frequency[1:]  # f = 0 is not a grating
    peak = int(np.flatnonzero(magnitude >= magnitude.max() - ROUNDING * scale)[-1])
    low_band = (1 / k, float(frequency[peak]) / 2)
    used = (frequency >= low_band[0]) & (frequency <= low_band[1]) & (magnitude > 0)
    slope = None
    # An octave would be a ratio of 2; the mean frequency of the last annulus is a little below 0.5.
    if used.sum() >= 3 and low_band[1] >= 1.99 * low_band[0]:
        x = np.log(frequency[used])
        x -= x.mean()
        slope = float(x @ np.log(magnitude[used]) / (x @ x))
    return FrequencyResponse(
        frequency,
        magnitude,
        count,
        float(kernel.sum()),
        float(frequency[peak]),
        float(magnitude[peak]),
        low_band,
        slope,
    )


def opponency(kernels: ArrayLike) -> Array:
    r"""Measure the weight of each input channel in each output channel, for a uniform image.

        O[i, j] = Σ_yx kernels[i, j, y, x] / Σ_jyx |kernels[i, j, y, x]|

    Parameters
    ----------
    kernels : array of shape (C, C, k, k)
        Kernels of output channel i and input channel j, with k odd, as ``ndtools kernels`` writes them.

    Returns
    -------
    array of shape (C, C)
        Weights O. The sum of |O| along a row is at most 1, and 1 only if no kernel of the row changes sign. It is 1
        for a single pixel, and near 0 where the surround cancels the centre. Different signs in a row mean colour
        opponency. Neither the scale of the kernels nor their number of pixels matters.

    Raises
    ------
    ValueError
        If the kernels of an output channel are all zero, not finite or not of this shape.

    Examples
    --------
    >>> opponency([[[[3.0]], [[-1.0]]], [[[-2.0]], [[2.0]]]])
    array([[ 0.75, -0.25],
           [-0.5 ,  0.5 ]])
    """
    kernels = np.asarray(kernels, dtype=np.float64)
    shape = kernels.shape
    if kernels.ndim != 4 or shape[0] != shape[1] or shape[2] != shape[3] or shape[3] % 2 == 0 or not shape[0]:
        raise ValueError(f"kernels must have shape (C, C, k, k) with k odd, got {shape}")
    if not np.isfinite(kernels).all():
        raise ValueError("kernels must be finite, got nan or inf")
    largest = np.abs(kernels).max((1, 2, 3), keepdims=True)
    if not largest.all():
        raise ValueError(f"kernels must not be all zero, got only zeros for output channel {int(largest.argmin())}")
    scaled = kernels / largest
    weights: Array = scaled.sum((2, 3)) / np.abs(scaled).sum((1, 2, 3))[:, None]
    return weights


def checked_kernel(kernel: ArrayLike, least: int = 1) -> Array:
    """Return a kernel as float64; ValueError unless it is finite, of shape (k, k), with k odd and k >= ``least``."""
    kernel = np.asarray(kernel, dtype=np.float64)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or len(kernel) % 2 == 0 or len(kernel) < least:
        raise ValueError(f"kernel must have shape (k, k) with k odd and at least {least}, got {kernel.shape}")
    if not np.isfinite(kernel).all():
        raise ValueError("kernel must be finite, got nan or inf")
    return kernel


def largest_weight(kernel: Array) -> float:
    """Return the largest magnitude in a kernel; ValueError if it is 0."""
    largest = float(np.abs(kernel).max())
    if largest == 0:
        raise ValueError("kernel must not be zero everywhere, got only zeros")
    return largest


def _annuli(
    radius: Array, values: Array, last: int, about: Array | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Return radii 0, ..., last, the count in each annulus, and the mean (or mean square from ``about``) of values."""
    # √(integer) is never halfway between integers, so it does not matter which way halves are rounded.
    annulus = np.rint(radius).astype(np.int64)
    kept = annulus <= last
    annulus, values = annulus[kept], values[kept]
    if about is not None:
        values = (values - about[annulus]) ** 2
    count = np.bincount(annulus, minlength=last + 1)
    return np.arange(last + 1), count, np.bincount(annulus, values, minlength=last + 1) / count
