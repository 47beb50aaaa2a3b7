"""Picture of deconvolution kernels (Ye et al. 2020, fig. 2)."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from ndtools.drawing.channels import shown_in_words, weights_in_words
from ndtools.drawing.kernel_maps import draw_colours, draw_map, tick_pixels
from ndtools.drawing.palette import channel_style
from ndtools.drawing.style import (
    PAGE,
    add_letters,
    add_title,
    drawing_style,
    is_wide,
    new_figure,
    split_figure,
    width_of,
)
from ndtools.drawing.weights import scale_axis, weight_norm, weight_ticks
from ndtools.text import in_space, precision_in_words, ridge_in_words, source_name

if TYPE_CHECKING:
    from ndtools.experiments.kernels.result import KernelsResult

__all__ = ["caption_kernels", "has_room", "plot_kernels", "rows_named"]

Array = NDArray[np.float64]

# Millimetres of width at which titles have room beside a letter: of nine maps in a row, and of three.
ROOMY_ROW, ROOMY_COLUMN = 150.0, 75.0
HEADED = 14.0  # millimetres about a row of panels for letter, title and axis
MAP = 0.15  # side of a map in a narrow figure, in units of its width
PROFILE, LOW = 0.8, 19.0  # height of profiles in a narrow figure: in units of their width, and at least, millimetres


def plot_kernels(
    result: "KernelsResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw each output channel's kernels: as one colour picture, as profiles through the centre, and one by one.

    The centre of a kernel exceeds its surround many times over, so colours and profiles are linear about 0 and
    logarithmic beyond. The scale ends at 1, 3, 10, 30, ..., and so is the same for most sets of images. In the colour
    pictures the kernels from red, green and blue are the red, green and blue of one picture, grey being 0: the colour
    that the output channel prefers at each place. Grey images have one kernel, and no colour picture. Of more than
    three channels, the first, the middle and the last are shown.

    Parameters
    ----------
    result : KernelsResult
        Result of :func:`ndtools.experiments.kernels.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the maps are a table with a row for each
        output channel.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        The axes are: colour pictures (of colour images) and profiles, with a column for each output channel; maps by
        output and input channel; and the colour bar.
    """
    result = result.shown
    names = [channel.name for channel in result.channels]
    norm = weight_norm(result.kernels)
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        heights = _heights(width, len(names))
        fig = new_figure(fig, width, sum(heights) + 6 * title)
        curves, pictures, profiles, maps = _axes(fig, len(names), heights, wide=wide)
        for ax, kernels in zip(pictures, result.kernels, strict=False):
            draw_colours(ax, kernels, norm)
        for ax, kernels in zip(profiles, result.kernels, strict=True):
            _draw_profiles(ax, kernels, names, norm, size=_marker_size(result.config.kernel_size, width))
        for (i, j), ax in np.ndenumerate(maps):
            image = draw_map(ax, result.kernels[i, j], norm)
        _label(pictures, profiles, maps, names, width=width, pixels_per_degree=result.config.pixels_per_degree)
        location = "bottom" if wide else "right"
        bar = fig.colorbar(
            image,
            ax=maps.ravel().tolist(),
            location=location,
            ticks=weight_ticks(norm)[:: 1 if has_room(width) else 3],
            aspect=45 if wide else 30,
            pad=0.02,
            fraction=0.06,
        )
        _label_bar(bar.ax, result.kernels, location)
        add_letters([pictures[0], profiles[0], maps[0, 0]] if pictures.size else [maps[0, 0], profiles[0]])
        if len(names) > 1:
            handles, labels = profiles[0].get_legend_handles_labels()
            curves.legend(handles, labels, loc="outside lower center", ncols=len(names))
        if title:
            k = result.config.kernel_size
            add_title(
                fig, f"{k}×{k} deconvolution kernels of {source_name(result.source)}{in_space(result.config.space)}"
            )
    return fig


def caption_kernels(result: "KernelsResult") -> str:
    """Say in words what the figure of :func:`plot_kernels` shows."""
    k, fit, count = result.config.kernel_size, result.deconvolution, len(result.channels)
    result = result.shown
    names = [channel.name for channel in result.channels]
    norm = weight_norm(result.kernels)
    profiles = "Profiles through the centre (Δy = 0), with the largest weight."
    units = result.images.values_in_words(result.config.space)
    panels = (
        f"(a) For each output channel, the {weights_in_words(names)}; grey is 0. (b) {profiles} (c) Each"
        " kernel by itself, by output and input channel; the mark at"
        f" the colour bar is the largest weight of all, {np.abs(result.kernels).max():.3g}."
        if len(result.channels) > 1
        else f"(a) The kernel; the mark at the colour bar is the largest weight. (b) {profiles}"
    )
    scale = result.config.pixels_per_degree
    angle = "" if scale is None else f" A degree of visual angle has {scale:g} pixels."
    return (
        f"{k}×{k} deconvolution kernels of {result.source} ({result.images.counted}, {result.covariance.count:.3g}"
        f" patches; {units}).{shown_in_words(names, count)} {panels} All scales are linear within"
        f" ±{norm.linthresh:.2g} and logarithmic beyond. {ridge_in_words(fit, result.ridge)}; inverse square root by"
        f" {result.config.method}; {precision_in_words(fit, ', ')}.{angle}"
    )


def has_room(width: float) -> bool:
    """Return whether the titles of maps have room for "from R" beside a letter, in a figure of this width."""
    return width >= (ROOMY_ROW if is_wide(width) else ROOMY_COLUMN)


def rows_named(names: list[str], width: float) -> list[str]:
    """Return the names at the left of a table of maps with a row for each output channel."""
    if has_room(width):
        return [f"output {name}\nΔy / pixels" for name in names]
    return [f"to {name}" for name in names]


def _heights(width: float, channels: int) -> tuple[float, float]:
    """Return the heights in millimetres of the pictures and profiles, and of the maps with what belongs to them."""
    wide = is_wide(width)
    if channels == 1:
        return (0.0, 0.36 * width + 20) if wide else (0.35 * width + 10, 0.55 * width + 8)
    if wide:  # the maps stand in the columns of the pictures, so all have one layout
        return 0.575 * width + 40, 0.0
    column = (width - HEADED) / channels
    return column + max(PROFILE * column, LOW) + 2 * HEADED - 4, channels * (MAP * width + 1.5) + HEADED


def _axes(
    fig: Figure, count: int, heights: tuple[float, float], *, wide: bool
) -> tuple[FigureBase, NDArray[np.object_], NDArray[np.object_], NDArray[np.object_]]:
    """Return the part of the figure with the profiles, the colour pictures, the profiles, and the maps."""
    maps = np.empty((count, count), dtype=object)
    if count == 1:
        grid = (
            fig.add_gridspec(1, 2, width_ratios=[1, 1.5])
            if wide
            else fig.add_gridspec(2, 1, height_ratios=heights[::-1])
        )
        maps[0, 0] = fig.add_subplot(grid[0])
        return fig, np.empty(0, dtype=object), np.array([fig.add_subplot(grid[1])]), maps
    if not wide:
        above, below = split_figure(fig, *heights)
        column = heights[0] - 2 * HEADED + 4
        high = max(column * PROFILE / (1 + PROFILE), LOW)
        pictures, profiles = above.subplots(2, count, height_ratios=[column - high, high])
        return above, pictures, profiles, below.subplots(count, count)
    each = count + 1  # a narrow column sets output channels apart
    grid = fig.add_gridspec(
        3,
        count * each - 1,
        height_ratios=[3.0, 2.0, 1.1],
        width_ratios=([1.0] * count + [0.06 * count]) * (count - 1) + [1.0] * count,
    )
    columns = [slice(i * each, i * each + count) for i in range(count)]
    pictures = np.array([fig.add_subplot(grid[0, column]) for column in columns])
    profiles = np.array([fig.add_subplot(grid[1, column]) for column in columns])
    for i, j in np.ndindex(count, count):
        maps[i, j] = fig.add_subplot(grid[2, i * each + j])
    return fig, pictures, profiles, maps


def _marker_size(kernel_size: int, width: float) -> float:
    """Return the size in points at which markers in a third of the width do not hide their lines."""
    return float(np.clip(0.35 * width / kernel_size, 1.2, 3))


def _draw_profiles(ax: Axes, kernels: Array, names: list[str], norm: SymLogNorm, *, size: float) -> None:
    """Draw the middle row of kernels (C, k, k), a line for each input channel, on the scale of ``norm``."""
    middle = kernels.shape[-1] // 2
    ax.axhline(0, color="0.7", linewidth=0.5)
    for i, (name, row) in enumerate(zip(names, kernels[:, middle], strict=True)):
        style = channel_style(name, i)
        ax.plot(np.arange(-middle, middle + 1), row, markersize=size, label=f"from {name}", **style)
    at = np.unravel_index(np.abs(kernels).argmax(), kernels.shape)
    largest, x = kernels[at], at[-1] - middle
    right = x <= 0
    ax.annotate(
        f"{largest:.3g}",
        (x, largest),
        xytext=(4 if right else -4, 0),
        textcoords="offset points",
        ha="left" if right else "right",
        va="center",
    )
    scale_axis(ax, norm)
    low, high = ax.get_ylim()
    ax.set_ylim(1.6 * low, 1.6 * high)  # room for the markers
    ax.set_xlim(-middle - 0.5, middle + 0.5)


def _label(
    pictures: NDArray[np.object_],
    profiles: NDArray[np.object_],
    maps: NDArray[np.object_],
    names: list[str],
    *,
    width: float,
    pixels_per_degree: float | None,
) -> None:
    """Name the panels and their axes, each only where nothing above or at its left says the same."""
    count, wide = len(names), is_wide(width)
    roomy = has_room(width)
    for i, name in enumerate(names):
        for ax in (*pictures[i : i + 1], profiles[i]):
            tick_pixels(ax, vertical=ax is not profiles[i])
            ax.tick_params(labelleft=i == 0)
        if count > 1:
            pictures[i].set_title(f"output {name}" if wide or roomy else f"to {name}")
            pictures[i].tick_params(labelbottom=False)
        if roomy or i == count // 2:
            angle = "" if pixels_per_degree is None else f" ({pixels_per_degree:g} = 1°)"
            profiles[i].set_xlabel(f"Δx / pixels{angle}")
    for (i, j), ax in np.ndenumerate(maps):
        tick_pixels(ax)
        # Wide figures have the maps of an output channel in a row below it, narrow ones in a row of their own.
        first, last = (i == j == 0, True) if wide else (j == 0, i == count - 1)
        ax.tick_params(labelleft=first, labelbottom=last)
        if count > 1 and (wide or i == 0):
            ax.set_title(f"from {names[j]}" if roomy else names[j])
        if first:
            ax.set_ylabel("Δy / pixels" if wide or count == 1 else rows_named(names, width)[i])
        if last and j == count // 2:
            ax.set_xlabel("Δx / pixels")
    profiles[0].set_ylabel("weight")
    for ax in pictures[:1]:
        ax.set_ylabel("Δy / pixels")


def _label_bar(ax: Axes, kernels: Array, location: str) -> None:
    """Name the colour bar, and mark the largest weight on it."""
    across = location == "bottom"
    axis = ax.xaxis if across else ax.yaxis
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_label_text("weight")
    largest = float(kernels.flat[np.abs(kernels).argmax()])
    if across:
        ax.plot(largest, 1.0, "v", color="k", transform=ax.get_xaxis_transform(), clip_on=False)
    else:
        ax.plot(0.0, largest, ">", color="k", transform=ax.get_yaxis_transform(), clip_on=False)
