r"""Kernels by distance from their centre, by spatial frequency, and by channel.

What theory asks of them: images whose power spectrum falls like f^-2 are whitened by |H(f)| proportional to f, slope
1 in double logarithmic axes, below the frequency where the ridge eps takes over and |H| levels off.
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
    """A kernel against the distance from its centre.

    Attributes
    ----------
    radius : array of shape (k//2 + 1,)
        0, 1, ..., k//2 pixels. An annulus holds the pixels whose distance rounds to it.
    mean : array of shape (k//2 + 1,)
        Of the kernel over the annulus.
    standard_deviation : array of shape (k//2 + 1,)
        Of the kernel over the annulus (biased); 0 if it is isotropic, but for the annulus' width.
    count : integer array of shape (k//2 + 1,)
        Pixels in the annulus.
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
        k odd.

    Returns
    -------
    RadialProfile
        Without the corners, whose distance rounds to more than k//2.

    Raises
    ------
    ValueError
        If the kernel is not finite or not of such a shape.

    Examples
    --------
    >>> radial_profile([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).mean
    array([-4. ,  0.5])
    """
    kernel = checked_kernel(kernel)
    offset = np.arange(len(kernel)) - len(kernel) // 2
    distance, last = np.hypot(offset[:, None], offset), len(kernel) // 2
    radius, count, mean = _annuli(distance, kernel, last)
    variance = _annuli(distance, kernel, last, about=mean)[2]  # the mean of squares would cancel
    return RadialProfile(radius.astype(np.float64), mean, np.sqrt(variance), count)


@dataclass(frozen=True, eq=False)
class FrequencyResponse:
    """What a kernel makes of gratings, averaged over their orientations.

    Attributes
    ----------
    frequency : array of shape (n//2,)
        In cycles per pixel, 0 < f <= 0.5: means over annuli of width 1/n.
    magnitude : array of shape (n//2,)
        Mean of |H| over each annulus, in the kernel's unit.
    count : integer array of shape (n//2,)
        Frequencies in each annulus.
    dc : float
        H(0), the sum of the kernel: the response to a uniform image of 1. Signed.
    peak_frequency : float
        Where ``magnitude`` is largest, in cycles per pixel, to 1/n; the highest such frequency if several are (as
        for a single pixel, whose response is flat). In the last annulus it is a bound: |H| may rise further beyond.
    peak : float
        ``magnitude`` there.
    low_band : (float, float)
        From 1/k to ``peak_frequency``/2. Below, the kernel's window blurs the response, whose features are 1/k wide;
        above, it bends towards its peak.
    low_frequency_slope : float or None
        Slope of log ``magnitude`` against log ``frequency`` in ``low_band``, by least squares with equal weights,
        so the upper half of the band, with most of the annuli, counts most. It depends on the band, and so on k:
        |H| bends. None if the band spans less than an octave (k < 9, if |H| rises up to 0.5), or fewer than three
        annuli are in it.
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
        """Whether the peak is in the last annulus, and its frequency so a lower bound."""
        return self.peak_frequency == float(self.frequency[-1])


def frequency_response(kernel: ArrayLike, n: int = 256) -> FrequencyResponse:
    """Measure the transfer function of a kernel as a convolution.

    H(f) = Σ kernel[y, x]·exp(−2πi (f_y (y − k//2) + f_x (x − k//2))), on n×n frequencies: the kernel is padded with
    zeros, and its centre is the origin, so that H is real if the kernel is even. A kernel applied by
    cross-correlation has the complex conjugate, of the same magnitude.

    Parameters
    ----------
    kernel : array of shape (k, k)
        k odd.
    n : int, default 256
        Side of the transform, at least k.

    Returns
    -------
    FrequencyResponse
        Without the frequencies beyond 0.5 cycles per pixel, which only oblique gratings have.

    Raises
    ------
    ValueError
        If the kernel is zero everywhere, not finite or not of such a shape, or ``n`` is below k or 2.

    Examples
    --------
    >>> response = frequency_response([[0, 1, 0], [1, -4, 1], [0, 1, 0]], n=4)
    >>> response.dc, response.magnitude
    (0.0, array([3., 4.]))
    """
    kernel = checked_kernel(kernel)
    k, scale = len(kernel), largest_weight(kernel)
    if n < max(k, 2):
        raise ValueError(f"n must be at least the kernel's side and 2, {max(k, 2)}, got {n}")
    padded = np.zeros((n, n))
    padded[:k, :k] = kernel
    gain = np.abs(np.fft.fft2(np.roll(padded, (-(k // 2), -(k // 2)), (0, 1))))
    cycles = np.fft.fftfreq(n, 1 / n)  # across the n pixels: whole numbers, so that the limit 0.5 is exact
    radius = np.hypot(cycles[:, None], cycles)
    # An annulus about n/2 would reach beyond it: cut there.
    inside = 2 * radius <= n
    _, count, magnitude = _annuli(radius[inside], gain[inside], n // 2)
    frequency = _annuli(radius[inside], radius[inside], n // 2)[2] / n
    count, magnitude, frequency = count[1:], magnitude[1:], frequency[1:]  # dc is no grating
    peak = int(np.flatnonzero(magnitude >= magnitude.max() - ROUNDING * scale)[-1])
    low_band = (1 / k, float(frequency[peak]) / 2)
    used = (frequency >= low_band[0]) & (frequency <= low_band[1]) & (magnitude > 0)
    slope = None
    # An octave, less what the last annulus' mean is below 0.5.
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
    r"""Measure how each output channel weighs the input channels in a uniform image.

        O[i, j] = Σ_yx kernels[i, j, y, x] / Σ_jyx |kernels[i, j, y, x]|

    Parameters
    ----------
    kernels : array of shape (C, C, k, k)
        Of output channel i and input channel j, k odd, as ``ndtools kernels`` writes them.

    Returns
    -------
    array of shape (C, C)
        The sum of |O| along a row is at most 1, and 1 only if no kernel of the row changes sign: 1 for a single
        pixel, near 0 where the surround cancels the centre. Signs that differ in a row are colour opponency. Scale
        and number of pixels do not enter.

    Raises
    ------
    ValueError
        If the kernels of an output channel are all zero, not finite or not of such a shape.

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
        raise ValueError(f"kernels must not be all zero, got such of output channel {int(largest.argmin())}")
    scaled = kernels / largest
    weights: Array = scaled.sum((2, 3)) / np.abs(scaled).sum((1, 2, 3))[:, None]
    return weights


def checked_kernel(kernel: ArrayLike, least: int = 1) -> Array:
    """Return a kernel (k, k), k odd and not below ``least``, as float64; ValueError if it is none, or not finite."""
    kernel = np.asarray(kernel, dtype=np.float64)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or len(kernel) % 2 == 0 or len(kernel) < least:
        raise ValueError(f"kernel must have shape (k, k) with k odd and at least {least}, got {kernel.shape}")
    if not np.isfinite(kernel).all():
        raise ValueError("kernel must be finite, got nan or inf")
    return kernel


def largest_weight(kernel: Array) -> float:
    """Return the largest magnitude; ValueError if it is 0."""
    largest = float(np.abs(kernel).max())
    if largest == 0:
        raise ValueError("kernel must not be zero everywhere, got only zeros")
    return largest


def _annuli(
    radius: Array, values: Array, last: int, about: Array | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Return radii 0, ..., last, how many ``radius`` round to each, and the mean (or mean square) of ``values``."""
    # √(integer) is never halfway between integers, so the rule of rounding does not matter.
    annulus = np.rint(radius).astype(np.int64)
    kept = annulus <= last
    annulus, values = annulus[kept], values[kept]
    if about is not None:
        values = (values - about[annulus]) ** 2
    count = np.bincount(annulus, minlength=last + 1)
    return np.arange(last + 1), count, np.bincount(annulus, values, minlength=last + 1) / count
