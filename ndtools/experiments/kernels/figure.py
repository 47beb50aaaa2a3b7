"""Picture of deconvolution kernels (Ye et al. 2020, fig. 2)."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from ndtools.drawing.palette import CHANNELS, DIVERGING
from ndtools.text import precision_in_words, ridge_in_words, shortened

if TYPE_CHECKING:
    from ndtools.experiments.kernels.result import KernelsResult

__all__ = ["plot_kernels"]

CELL, GAP = 1.7, 0.16  # one kernel and the space between two, inches
LINEAR_SHARE = 100  # the scales are linear up to this part of the largest weight


def plot_kernels(result: "KernelsResult", *, fig: Figure | None = None) -> Figure:
    """Draw the C×C grid of kernels, and the profiles of each of its rows through the centre.

    The centre of a kernel exceeds its surround many times over, so colours and profiles are linear up to 1/100
    of the largest weight and logarithmic beyond, symmetric about 0. Of colour images each row ends with the
    three kernels as the red, green and blue of one picture, grey being 0: the colour that the cell prefers
    at each place.

    Parameters
    ----------
    result : KernelsResult
        Result of :func:`ndtools.experiments.kernels.run.run`.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        With one row of axes for each output channel.
    """
    kernels, names = result.kernels, [channel.name for channel in result.channels]
    count = len(names)
    pictures = 1 if count == 3 else 0
    columns = count + pictures + 1
    fig = fig or Figure(
        figsize=(
            1.6 + CELL * (columns + 0.9) + GAP * (columns - 1),
            (2.15 if count > 1 else 2.35) + (CELL + GAP) * count - GAP,
        )
    )
    axes, bar_axes = _axes(fig, count, columns)
    limit = float(np.abs(kernels).max())
    norm = SymLogNorm(linthresh=limit / LINEAR_SHARE, linscale=0.5, vmin=-limit, vmax=limit, base=10)
    half = kernels.shape[-1] / 2
    place = {"extent": (-half, half, half, -half), "interpolation": "nearest"}
    for i, name in enumerate(names):
        for j in range(count):
            mesh = axes[i, j].imshow(kernels[i, j], cmap=DIVERGING, norm=norm, **place)
        if pictures:
            colours = np.ma.filled(norm(kernels[i].ravel())).reshape(kernels[i].shape)
            axes[i, count].imshow(colours.transpose(1, 2, 0), **place)
        axes[i, 0].set_ylabel(f"output {name}\nΔy / pixels")
        _draw_profiles(axes[i, -1], kernels[i], names, norm, limit)
        for ax in axes[i, 1:-1]:
            ax.tick_params(labelleft=False)
        for ax in axes[i]:
            ax.tick_params(labelbottom=i == count - 1)
    titles = [f"from input {name}" for name in names] + ["as colour"] * pictures + ["profile at Δy = 0"]
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, fontsize="medium")
    for ax in axes[-1]:
        ax.set_xlabel("Δx / pixels")
    for ax in axes.flat:
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5]))
    for ax in axes[:, :-1].flat:
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5]))
    bar = fig.colorbar(mesh, cax=bar_axes, orientation="horizontal", ticks=_ticks(norm, limit))
    bar.ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    bar.ax.xaxis.set_minor_locator(NullLocator())
    bar.set_label(f"weight (linear within ±{norm.linthresh:.2g}, logarithmic beyond)")
    if count > 1:
        axes[-1, -1].legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncols=count, frameon=False)
    fig.suptitle(_title(result, int(13 * fig.get_figwidth())), fontsize="medium", y=1 - 0.07 / fig.get_figheight())
    return fig


def _axes(fig: Figure, rows: int, columns: int) -> tuple[NDArray[Any], Axes]:
    """Lay out a grid of axes, its last column wider, and those of the colour bar under all others."""
    # Margins in inches: matplotlib's automatic layouts would take as long as drawing.
    width, height = (float(inches) for inches in fig.get_size_inches())
    left, bottom = 0.75 / width, 1.4 / height
    ratios = [1.0] * (columns - 1) + [1.9]
    grid = fig.add_gridspec(
        rows,
        columns,
        width_ratios=ratios,
        left=left,
        right=1 - 0.85 / width,
        bottom=bottom,
        top=1 - (0.75 if rows > 1 else 0.95) / height,
        hspace=GAP / CELL,
        wspace=GAP / CELL * columns / sum(ratios),
    )
    axes = grid.subplots(squeeze=False)
    end = axes[0, -2 if rows > 1 else -1].get_position().x1
    return axes, fig.add_axes((left, 0.62 / height, end - left, 0.13 / height))


def _draw_profiles(ax: Axes, kernel: NDArray[np.float64], names: list[str], norm: SymLogNorm, limit: float) -> None:
    """Draw the middle row of a kernel (C, k, k), a line for each input channel, on the scale of ``norm``."""
    middle = kernel.shape[-1] // 2
    ax.axhline(0, color="0.7", linewidth=0.8)
    for name, row in zip(names, kernel[:, middle], strict=True):
        ax.plot(
            np.arange(-middle, middle + 1),
            row,
            markersize=3,
            linewidth=1.1,
            label=f"from {name}",
            **CHANNELS[name],
        )
    ax.set_yscale("symlog", linthresh=norm.linthresh, linscale=0.5)
    ax.set_ylim(-1.3 * limit, 1.3 * limit)
    ax.set_xlim(-middle - 0.5, middle + 0.5)
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.set_ylabel("weight, scaled as in the maps", fontsize="small")
    ax.yaxis.set_major_locator(FixedLocator(_ticks(norm, limit)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def _ticks(norm: SymLogNorm, limit: float) -> list[float]:
    """Return 0 and those powers of ten in the logarithmic parts of a scale that are not too close to it."""
    exponents = range(math.ceil(math.log10(3 * norm.linthresh)), math.floor(math.log10(limit)) + 1)
    powers = [10.0**n for n in exponents]
    return [-p for p in reversed(powers)] + [0.0] + powers


def _title(result: "KernelsResult", room: int) -> str:
    """Return two lines, or three for a narrow figure; the source has the room that the first line leaves."""
    k, fit = result.config.kernel_size, result.deconvolution
    room, separator = max(20, room - 60), "," if room > 100 else ",\n"  # 60 for all but the source
    return (
        f"{k}×{k} deconvolution kernels of {shortened(result.source, room)}: {result.images.counted},"
        f" {result.covariance.count:.3g} patches\n"
        f"pixels in [0, 1], {ridge_in_words(fit)}, {result.config.method}{separator} {precision_in_words(fit, ', ')}"
    )
