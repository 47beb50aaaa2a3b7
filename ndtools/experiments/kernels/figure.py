"""Picture of deconvolution kernels (Ye et al. 2020, fig. 2)."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from ndtools.drawing.kernel_maps import draw_colours, draw_map, tick_pixels
from ndtools.drawing.palette import CHANNELS
from ndtools.drawing.style import PAGE, add_letters, add_title, drawing_style, is_wide, new_figure, width_of
from ndtools.drawing.weights import scale_axis, weight_norm, weight_ticks
from ndtools.text import precision_in_words, ridge_in_words, source_name

if TYPE_CHECKING:
    from ndtools.experiments.kernels.result import KernelsResult

__all__ = ["caption_kernels", "has_room", "plot_kernels"]

Array = NDArray[np.float64]

# Millimetres of width at which titles have room beside a letter: of nine maps in a row, and of three.
ROOMY_ROW, ROOMY_COLUMN = 150.0, 75.0


def plot_kernels(
    result: "KernelsResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw each output channel's kernels: as one colour picture, as profiles through the centre, and one by one.

    The centre of a kernel exceeds its surround many times over, so colours and profiles are linear about 0 and
    logarithmic beyond. The scale ends at 1, 3, 10, 30, ..., and so is the same for most sets of images. In the colour
    pictures the kernels from red, green and blue are the red, green and blue of one picture, grey being 0: the colour
    that the output channel prefers at each place. Grey images have one kernel, and no colour picture.

    Parameters
    ----------
    result : KernelsResult
        Result of :func:`ndtools.experiments.kernels.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the maps of an output channel stand one
        above the other.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With a column for each output channel. The axes are: colour pictures (of colour images), profiles, maps by
        output and input channel, and the colour bar.
    """
    names = [channel.name for channel in result.channels]
    norm = weight_norm(result.kernels)
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        fig = new_figure(fig, width, _height(width, len(names)))
        pictures, profiles, maps = _axes(fig, len(names), wide=wide)
        for ax, kernels in zip(pictures, result.kernels, strict=False):
            draw_colours(ax, kernels, norm)
        for ax, kernels in zip(profiles, result.kernels, strict=True):
            _draw_profiles(ax, kernels, names, norm, size=_marker_size(result.config.kernel_size, width))
        for (i, j), ax in np.ndenumerate(maps):
            image = draw_map(ax, result.kernels[i, j], norm)
        _label(pictures, profiles, maps, names, width=width)
        bar = fig.colorbar(
            image,
            ax=maps.ravel().tolist(),
            location="bottom",
            ticks=weight_ticks(norm),
            aspect=45,
            pad=0.02,
            fraction=0.06,
        )
        _label_bar(bar.ax, result.kernels)
        add_letters([pictures[0], profiles[0], maps[0, 0]] if pictures.size else [maps[0, 0], profiles[0]])
        if len(names) > 1:
            handles, labels = profiles[0].get_legend_handles_labels()
            fig.legend(handles, labels, loc="outside lower center", ncols=len(names))
        if title:
            k = result.config.kernel_size
            add_title(fig, f"{k}×{k} deconvolution kernels of {source_name(result.source)}")
    return fig


def caption_kernels(result: "KernelsResult") -> str:
    """Say in words what the figure of :func:`plot_kernels` shows.

    Parameters
    ----------
    result : KernelsResult
        Result of :func:`ndtools.experiments.kernels.run.run`.

    Returns
    -------
    str
        The caption, one paragraph.
    """
    k, fit = result.config.kernel_size, result.deconvolution
    norm = weight_norm(result.kernels)
    profiles = "Profiles through the centre (Δy = 0), with the largest weight."
    panels = (
        "(a) The weights of the red, green and blue input of each output channel, as the red, green and blue of one"
        f" picture; grey is 0. (b) {profiles} (c) Each kernel by itself, below its output channel; the mark at the"
        f" colour bar is the largest weight of all, {np.abs(result.kernels).max():.3g}."
        if len(result.channels) > 1
        else f"(a) The kernel; the mark at the colour bar is the largest weight. (b) {profiles}"
    )
    return (
        f"{k}×{k} deconvolution kernels of {result.source} ({result.images.counted}, {result.covariance.count:.3g}"
        f" patches; pixels in [0, 1]). {panels} All scales are linear within ±{norm.linthresh:.2g} and logarithmic"
        f" beyond. {ridge_in_words(fit, result.ridge)}; inverse square root by {result.config.method};"
        f" {precision_in_words(fit, ', ')}."
    )


def has_room(width: float) -> bool:
    """Return whether the titles of maps have room for "from R" beside a letter, in a figure of this width."""
    return width >= (ROOMY_ROW if is_wide(width) else ROOMY_COLUMN)


def _height(width: float, channels: int) -> float:
    """Return the height in millimetres at which square panels fill their columns."""
    wide = is_wide(width)
    if channels == 1:
        return 0.36 * width + 26 if wide else 1.45 * width + 27
    return (0.575 * width + 46) if wide else (1.52 * width + 45)


def _axes(
    fig: Figure, count: int, *, wide: bool
) -> tuple[NDArray[np.object_], NDArray[np.object_], NDArray[np.object_]]:
    """Lay out the panels: colour pictures (count or 0), profiles (count), and maps (count × count) by output, input."""
    # A column is an output channel. Its maps stand side by side below it if there is room, else one above the other.
    maps = np.empty((count, count), dtype=object)
    if count == 1:
        grid = fig.add_gridspec(1, 2, width_ratios=[1, 1.5]) if wide else fig.add_gridspec(2, 1, height_ratios=[1.5, 1])
        maps[0, 0] = fig.add_subplot(grid[0])
        profile = fig.add_subplot(grid[1])
        return np.empty(0, dtype=object), np.array([profile]), maps
    spread, rows = (count, 1) if wide else (1, count)  # columns and rows of maps below an output channel
    each = spread + 1  # a narrow column sets output channels apart
    grid = fig.add_gridspec(
        2 + rows,
        count * each - 1,
        height_ratios=[3.0, 2.0, 1.1] if wide else [1.0, 1.25, *([1.0] * rows)],
        width_ratios=([1.0] * spread + [0.06 * spread]) * (count - 1) + [1.0] * spread,
    )
    columns = [slice(i * each, i * each + spread) for i in range(count)]
    pictures = np.array([fig.add_subplot(grid[0, column]) for column in columns])
    profiles = np.array([fig.add_subplot(grid[1, column]) for column in columns])
    for i, j in np.ndindex(count, count):
        maps[i, j] = fig.add_subplot(grid[2, i * each + j] if wide else grid[2 + j, i * each])
    return pictures, profiles, maps


def _marker_size(kernel_size: int, width: float) -> float:
    """Return the size in points at which markers in a third of the width do not hide their lines."""
    return float(np.clip(0.35 * width / kernel_size, 1.2, 3))


def _draw_profiles(ax: Axes, kernels: Array, names: list[str], norm: SymLogNorm, *, size: float) -> None:
    """Draw the middle row of kernels (C, k, k), a line for each input channel, on the scale of ``norm``."""
    middle = kernels.shape[-1] // 2
    ax.axhline(0, color="0.7", linewidth=0.5)
    for name, row in zip(names, kernels[:, middle], strict=True):
        ax.plot(np.arange(-middle, middle + 1), row, markersize=size, label=f"from {name}", **CHANNELS[name])
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
        profiles[i].set_xlabel("Δx / pixels")
    for (i, j), ax in np.ndenumerate(maps):
        tick_pixels(ax)
        beside, below = (i == j == 0, True) if wide else (i == 0, j == count - 1)
        ax.tick_params(labelleft=beside, labelbottom=below)
        if count > 1:
            ax.set_title(f"from {names[j]}" if roomy else names[j])
        if beside:
            ax.set_ylabel("Δy / pixels")
        if below and (not wide or j == count // 2):
            ax.set_xlabel("Δx / pixels")
    profiles[0].set_ylabel("weight")
    for ax in pictures[:1]:
        ax.set_ylabel("Δy / pixels")


def _label_bar(ax: Axes, kernels: Array) -> None:
    """Name the colour bar, and mark the largest weight on it."""
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("weight")
    largest = float(kernels.flat[np.abs(kernels).argmax()])
    ax.plot(largest, 1.0, "v", color="k", transform=ax.get_xaxis_transform(), clip_on=False)
