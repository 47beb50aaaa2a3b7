"""Picture of kernels for several ridges and kernel sizes."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure, SubFigure

from ndtools.drawing.channels import shown_in_words, weights_in_words
from ndtools.drawing.kernel_maps import draw_colours, draw_map, tick_pixels
from ndtools.drawing.palette import channel_style
from ndtools.drawing.series import (
    add_series_legend,
    draw_against,
    legend_rows,
    line_name,
    lines_of_pictures,
    member_styles,
    picture_titles,
    rows_of,
    series_in_words,
    side_of_pictures,
)
from ndtools.drawing.style import (
    PAGE,
    add_letters,
    add_panels,
    add_title,
    drawing_style,
    is_wide,
    new_figure,
    panel_rows,
    split_figure,
    width_of,
)
from ndtools.drawing.weights import scale_axis, weight_norm
from ndtools.text import in_space, source_name

if TYPE_CHECKING:
    from ndtools.experiments.kernels.result import KernelsResult
    from ndtools.results.series import Series

__all__ = ["caption_kernel_series", "plot_kernel_series"]

LARGEST, TINY = 28.0, 14.0  # sides of kernels, millimetres: at most, and without room for many ticks
LINES = 62.0  # millimetres that several lines of kernels have at most, as far as that leaves them TINY
PANEL, PANEL_NARROW = 50.0, 38.0  # height of a panel of curves, millimetres
HIGHEST = 225.0  # millimetres: a page holds no more


def plot_kernel_series(
    series: "Series[KernelsResult]", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw kernels for several ridges and kernel sizes on one scale, their profiles, and their centres.

    Parameters
    ----------
    series : Series of KernelsResult
        Result of :func:`ndtools.experiments.kernels.run.run_series`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the profiles have a row of their own.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With a picture of each kernel, and panels of profiles, of centres, and of the ratio of centre to surround. With
        several kernel sizes, only the middle output channel is shown.
    """
    series = _shown(series)
    outputs, norm = _outputs(series), _norm(series)
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        lines = lines_of_pictures(series.members, width)
        down = len(lines) * len(outputs)
        side = side_of_pictures(lines, width, min(LARGEST, max(TINY, LINES / down)))
        titled = sum(map(any, picture_titles(series.members, lines, side)))
        above, below = (
            down * (side + 1.5) + 4 * (len(lines) + titled) + 4,
            PANEL if wide else panel_rows(width) * PANEL_NARROW,
        )
        height = above + below + 6 * title + 4 * legend_rows(series.members, width)
        fig = new_figure(fig, width, min(height, HIGHEST))
        pictures, curves = split_figure(fig, above, below)
        _draw_pictures(pictures, series, lines, outputs, norm, side=side)
        profile, centre, ratio = add_panels(curves, width)
        _draw_profiles(profile, series, outputs[len(outputs) // 2], norm)
        names = [series[0].channels[output].name for output in outputs]
        for ax, quantity, attribute in (
            (centre, "weight at the centre", "center"),
            (ratio, "centre / |surround|", "center_surround_ratio"),
        ):
            measures = {
                name if len(outputs) > 1 else "": (
                    partial(_measure, output=output, name=attribute),
                    channel_style(name, output),
                )
                for output, name in zip(outputs, names, strict=True)
            }
            draw_against(ax, series.members, measures, name=quantity, logarithmic=True)
        if len(outputs) > 1:  # with several kernel sizes, the legend of the figure names the lines
            centre.legend()
        pictures.suptitle("a", x=0.01, ha="left", fontweight="bold")
        add_letters([profile, centre, ratio], first="b")
        add_series_legend(fig, series.members, width)
        if title:
            add_title(fig, f"Deconvolution kernels of {source_name(series.source)}{in_space(series[0].config.space)}")
    return fig


def caption_kernel_series(series: "Series[KernelsResult]") -> str:
    """Say in words what the figure of :func:`plot_kernel_series` shows."""
    count, series = len(series[0].channels), _shown(series)
    first, norm = series[0], _norm(series)
    names = [channel.name for channel in first.channels]
    outputs = _outputs(series)
    name = first.channels[outputs[len(outputs) // 2]].name
    shown = (
        "kernel"
        if len(first.channels) == 1
        else f"{weights_in_words(names)} (grey is 0), of"
        + (f" output {name}" if len(outputs) == 1 else " each output channel")
    )
    own = "" if len(first.channels) == 1 else f" of {name}" if len(outputs) == 1 else " of each channel"
    profile = "" if len(first.channels) == 1 else f" from {name} to {name}"
    return (
        f"Deconvolution kernels of {series.source} ({first.images.counted};"
        f" {first.images.values_in_words(first.config.space)}) for"
        f" {series_in_words(series.members)}{shown_in_words(names, count)} (a) The {shown}, all on one scale,"
        f" which is linear within ±{norm.linthresh:.2g}, logarithmic beyond, and ends at ±{norm.vmax:.3g}. (b) Profiles"
        f" through the centre (Δy = 0){profile}. (c) The weight at the centre{own}. (d) The ratio of that"
        " weight to the magnitude of the mean of the 8 weights around it. Inverse square root by"
        f" {first.config.method}."
    )


def _measure(member: "KernelsResult", *, output: int, name: str) -> float | None:
    value: float | None = getattr(member.channels[output], name)
    return value


def _outputs(series: "Series[KernelsResult]") -> list[int]:
    """Return the output channels that are shown: all of one kernel size, or else the one in the middle, green."""
    count = len(series[0].channels)
    return list(range(count)) if len(rows_of(series.members)) == 1 else [count // 2]


def _shown(series: "Series[KernelsResult]") -> "Series[KernelsResult]":
    """Return the series with the channels that are shown."""
    return type(series)(tuple(member.shown for member in series))


def _norm(series: "Series[KernelsResult]") -> SymLogNorm:
    return weight_norm(np.concatenate([member.kernels.ravel() for member in series]))


def _draw_pictures(
    fig: SubFigure,
    series: "Series[KernelsResult]",
    lines: "list[list[KernelsResult]]",
    outputs: list[int],
    norm: SymLogNorm,
    *,
    side: float,
) -> None:
    """Draw lines of kernels, each with a row for each output channel."""
    grid = fig.add_gridspec(len(lines) * len(outputs), max(map(len, lines)))
    titles, output_name = picture_titles(series.members, lines, side), "" if side < TINY else "output "
    names = [channel.name for channel in series[0].channels]
    for i, line in enumerate(lines):
        for (o, output), (j, member) in ((a, b) for a in enumerate(outputs) for b in enumerate(line)):
            ax = fig.add_subplot(grid[i * len(outputs) + o, j])
            if len(names) > 1:
                draw_colours(ax, member.kernels[output], norm)
            else:
                draw_map(ax, member.kernels[output, output], norm)
            tick_pixels(ax)
            if side < TINY:
                ax.set(xticks=[0], yticks=[0])
            ax.tick_params(labelleft=j == 0, labelbottom=o == len(outputs) - 1)
            if o == 0:
                ax.set_title(titles[i][j])
            if j == 0:
                name = f"{output_name}{names[output]}" if len(names) > 1 else "Δy / pixels"
                ax.set_ylabel(line_name(series.members, line, name))


def _draw_profiles(ax: Axes, series: "Series[KernelsResult]", output: int, norm: SymLogNorm) -> None:
    """Draw the middle row of the kernel by which a channel enters itself, a line for each member."""
    styles = member_styles(series.members)
    largest = max(member.config.kernel_size for member in series) // 2
    ax.axhline(0, color="0.7", linewidth=0.5)
    for (style, label), member in zip(styles, series, strict=True):
        middle = member.config.kernel_size // 2
        row = member.kernels[output, output, middle]
        ax.plot(np.arange(-middle, middle + 1), row, label=label, markersize=2.2, **style)
    scale_axis(ax, norm)
    ax.set_xlim(-largest - 0.5, largest + 0.5)
    tick_pixels(ax, vertical=False)
    ax.set_xlabel("Δx / pixels")
    ax.set_ylabel("weight")
