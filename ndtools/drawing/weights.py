"""One scale for the weights of kernels: the same steps in every figure, linear about 0 and logarithmic beyond."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

__all__ = ["LINEAR_LENGTH", "LINEAR_SHARE", "scale_axis", "weight_norm", "weight_ticks"]

LINEAR_SHARE = 100  # a scale is linear up to this part of its end
LINEAR_LENGTH = 0.5  # of the linear part on either side of 0, in decades


def weight_norm(kernels: NDArray[np.float64]) -> SymLogNorm:
    """Return a scale for kernels that is symmetric about 0.

    Parameters
    ----------
    kernels : array
        Weights of kernels.

    Returns
    -------
    SymLogNorm
        It ends at the next of ..., 1, 3, 10, 30, ... above the largest magnitude, so that kernels of different sets
        of images nearly always have the same colours. It is linear up to 1/100 of that, and logarithmic beyond.
    """
    largest = float(np.abs(kernels).max()) or 1.0
    decade = math.floor(math.log10(largest))
    end = next(step for step in (1 * 10.0**decade, 3 * 10.0**decade, 10.0 ** (decade + 1)) if largest <= step)
    return SymLogNorm(linthresh=end / LINEAR_SHARE, linscale=LINEAR_LENGTH, vmin=-end, vmax=end, base=10)


def weight_ticks(norm: SymLogNorm) -> list[float]:
    """Return 0 and, on either side, the end of the linear part and each decade from there: 0.3, 3 and 30, say."""
    powers = [float(f"{norm.linthresh * step:.3g}") for step in (1, 10, 100)]
    return [-power for power in reversed(powers)] + [0.0] + powers


def scale_axis(ax: Axes, norm: SymLogNorm) -> None:
    """Give the vertical axis the scale and the ticks of ``norm``."""
    ax.set_yscale("symlog", linthresh=norm.linthresh, linscale=LINEAR_LENGTH)
    ax.set_ylim(norm.vmin, norm.vmax)
    ax.yaxis.set_major_locator(FixedLocator(weight_ticks(norm)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
