"""Measures of a kernel's centre and surround that need no model of its shape.

Kernels have shape (k, k) with k odd, and their centre pixel is kernel[k//2, k//2]. The *centre* of a kernel is where
its radial profile has the sign of the centre pixel, up to the first change of sign; the *surround* is all beyond.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ndtools.numerics.kernel_profiles import (
    ROUNDING,
    checked_kernel,
    frequency_response,
    largest_weight,
    radial_profile,
)

__all__ = ["MEASURES", "CenterSurround", "measure_center_surround"]

Array = NDArray[np.float64]

MEASURES = ("zero_crossing", "surround_half_width", "surround_ratio", "peak_to_dc")


@dataclass(frozen=True)
class CenterSurround:
    """Sizes and strengths of a kernel's centre and surround.

    Attributes
    ----------
    zero_crossing : float or None
        Distance from the centre in pixels at which the radial profile first changes sign. The profile is the mean over
        rings one pixel wide, each at the mean distance of its pixels, and is taken for linear between rings. A centre
        of a single pixel crosses zero near 1, however narrow it is.
    surround_half_width : float or None
        Half-width of the surround at half its maximum in pixels: from the ring where the surround is strongest outwards
        to where the profile, taken for linear between rings, has fallen to half of that.
    surround_ratio : float or None
        Integrated surround over integrated centre: −(sum of the weights beyond the zero crossing)/(sum of the weights
        within), by whole rings. 1 if the response to a uniform image is 0, 0 without a surround. It compares with
        V_s/V_c of a difference of Gaussians, whose surround extends beyond the kernel.
    peak_to_dc : float or None
        Largest gain over the gain for a uniform image: max |H(f)|/|H(0)|, |H| averaged over orientations.
        1 if no grating is passed better than a uniform image.
    missing : dict of str to str
        Reason why a measure is None, by its name.
    """

    zero_crossing: float | None
    surround_half_width: float | None
    surround_ratio: float | None
    peak_to_dc: float | None
    missing: dict[str, str] = field(default_factory=dict)


def measure_center_surround(kernel: ArrayLike) -> CenterSurround:
    """Measure a kernel's centre and surround.

    Parameters
    ----------
    kernel : array of shape (k, k)
        Kernel of either polarity with an odd side k.

    Returns
    -------
    CenterSurround
        Measures, or None with a reason for those that this kernel does not have.

    Raises
    ------
    ValueError
        If the kernel is zero everywhere, not finite, or not of this shape.

    Examples
    --------
    >>> measure_center_surround([[0, -1, 0], [-1, 8, -1], [0, -1, 0]]).surround_ratio
    0.5
    """
    kernel = checked_kernel(kernel)
    scaled = kernel / largest_weight(kernel)  # prevents sums from overflowing
    response, missing = frequency_response(scaled), dict[str, str]()
    peak_to_dc = crossing = half_width = ratio = None
    if abs(response.dc) > ROUNDING * np.abs(scaled).sum():
        peak_to_dc = max(1.0, response.peak / abs(response.dc))
    else:
        missing["peak_to_dc"] = "the response to a uniform image is 0"
    distance, means, count = _rings(scaled)
    profile = means * np.sign(means[0])
    changed = np.flatnonzero(profile < -ROUNDING)
    if len(changed) and means[0]:
        first = int(changed[0])
        crossing = _where(distance, profile, first, 0.0)
        center = float(count[:first] @ profile[:first])
        ratio = (center - float(np.sign(means[0]) * scaled.sum())) / center
        half_width = _half_width(distance, -profile, first)
        if half_width is None:
            missing["surround_half_width"] = "at the edge the surround is above half its maximum"
    else:
        reason = "the radial profile does not change sign" if means[0] else "the centre pixel is 0"
        missing |= dict.fromkeys(MEASURES[:3], reason)
    return CenterSurround(crossing, half_width, ratio, peak_to_dc, missing)


def _rings(kernel: Array) -> tuple[Array, Array, NDArray[np.int64]]:
    """Return the mean distance of the pixels of each ring from the centre, their mean weight, and their number."""
    offset = np.arange(len(kernel)) - len(kernel) // 2
    profile = radial_profile(kernel)
    return radial_profile(np.hypot(offset[:, None], offset)).mean, profile.mean, profile.count


def _where(distance: Array, profile: Array, ring: int, level: float) -> float:
    """Return the distance at which the profile falls to a level between a ring and the one before."""
    before, after = profile[ring - 1] - level, profile[ring] - level
    share = before / (before - after)
    return float(distance[ring - 1] + share * (distance[ring] - distance[ring - 1]))


def _half_width(distance: Array, surround: Array, first: int) -> float | None:
    """Return the half-width at half maximum of the lobe that begins at a ring; None if it reaches the last ring."""
    ends = np.flatnonzero(surround[first:] <= 0)
    beyond = first + int(ends[0]) if len(ends) else len(surround)
    strongest = first + int(surround[first:beyond].argmax())
    half = float(surround[strongest]) / 2
    fallen = np.flatnonzero(surround[strongest:] <= half)
    if not len(fallen):
        return None
    return _where(distance, surround, strongest + int(fallen[0]), half) - float(distance[strongest])
