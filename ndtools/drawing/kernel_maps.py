"""Kernels as pictures: one kernel in colours of its weights, or those of three channels as one colour picture."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, SymLogNorm
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ndtools.drawing.channels import as_colours
from ndtools.drawing.palette import DIVERGING

__all__ = ["draw_colours", "draw_map", "extent_of", "tick_pixels"]

Array = NDArray[np.float64]


def extent_of(kernel_size: int) -> tuple[float, float, float, float]:
    """Return the edges of a kernel in pixels from its centre: left, right, bottom, top."""
    half = kernel_size / 2
    return -half, half, half, -half


def tick_pixels(ax: Axes, *, vertical: bool = True) -> None:
    """Put a few ticks at whole pixels."""
    for axis in (ax.xaxis, ax.yaxis) if vertical else (ax.xaxis,):
        axis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 4, 5, 10], min_n_ticks=1))


def draw_colours(ax: Axes, kernels: Array, norm: SymLogNorm) -> None:
    """Draw the kernels (C, k, k) of an output channel, C = 2 or 3, as the colours of one picture."""
    kernels = as_colours(kernels)
    colours = np.ma.filled(norm(kernels.ravel())).reshape(kernels.shape)
    ax.imshow(colours.transpose(1, 2, 0), extent=extent_of(kernels.shape[-1]), interpolation="nearest")


def draw_map(ax: Axes, kernel: Array, norm: Normalize) -> AxesImage:
    """Draw a kernel (k, k) in colours on the scale of ``norm``, and return its image."""
    return ax.imshow(kernel, cmap=DIVERGING, norm=norm, extent=extent_of(len(kernel)), interpolation="nearest")
