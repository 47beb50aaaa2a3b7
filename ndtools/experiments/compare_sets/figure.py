"""Picture of compared sets of images, for one kernel size and ridge."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from ndtools.drawing.axes import plain_ticks
from ndtools.drawing.palette import BLACK
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
from ndtools.experiments.compare_sets.panels import (
    add_error_bar,
    add_set_legend,
    difference_norm,
    draw_correlations,
    draw_kernel,
    draw_pair,
    draw_responses,
    kernel_norm,
    look,
    middle,
    pair_name,
)
from ndtools.experiments.compare_sets.words import (
    bands_in_words,
    differences_in_words,
    of_channel,
    pictures_in_words,
    sets_in_words,
)
from ndtools.text import in_space, source_name

if TYPE_CHECKING:
    from ndtools.experiments.compare_sets.result import CompareSetsResult

__all__ = ["caption_compare_sets", "plot_compare_sets", "title_of"]

LARGEST = 38.0  # side of a picture, millimetres
PANEL, PANEL_NARROW = 46.0, 40.0  # height of a panel of curves, millimetres


def plot_compare_sets(
    result: "CompareSetsResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the kernels of each set and their differences in standard errors, and curves of responses and values.

    Parameters
    ----------
    result : CompareSetsResult
        Result of :func:`ndtools.experiments.compare_sets.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the panels of curves stand in two rows.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With a picture of each set's kernels and of each difference; then frequency responses, correlations, and
        densities of the deconvolved pixels if they were measured.
    """
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        pictures = len(result.sets) + len(result.differences)
        columns = pictures if wide or pictures <= 3 else len(result.sets)
        side = min(LARGEST, (width - 14) / columns - 3)
        curves = 3 if any(each.after for each in result.sets) else 2
        down = 1 if wide else -(-curves // 2)
        above = (side + 5) * -(-pictures // columns) + 16
        below = down * (PANEL if wide else PANEL_NARROW)
        legend = 4 * (1 if wide else len(result.sets))
        fig = new_figure(fig, width, above + below + legend + 6 * title)
        upper, lower = split_figure(fig, above, below)
        _draw_pictures(upper, result, columns)
        grid = lower.add_gridspec(down, curves if wide else 2)
        panels = [lower.add_subplot(grid[0, 0]), lower.add_subplot(grid[0, 1])]
        if curves == 3:
            panels.append(lower.add_subplot(grid[0, 2] if wide else grid[1, :]))
        draw_responses(panels[0], result)
        draw_correlations(panels[1], result)
        if curves == 3:
            _draw_densities(panels[2], result)
        upper.suptitle("a", x=0.01, ha="left", fontweight="bold")
        add_letters(panels, first="b")
        add_set_legend(fig, result, columns=len(result.sets) if wide else 1, length=36)
        if title:
            add_title(fig, title_of(result))
    return fig


def caption_compare_sets(result: "CompareSetsResult") -> str:
    """Say in words what the figure of :func:`plot_compare_sets` shows."""
    densities = ""
    if any(each.after for each in result.sets):
        densities = (
            " (d) Densities of the deconvolved pixels, each divided by its standard deviation σ; the dotted line is a"
            " Gaussian."
        )
    k = result.config.kernel_size
    return (
        f"Sets of images compared: {sets_in_words(result)}; {k}×{k} patches. {pictures_in_words([result])}"
        f" (b) Frequency responses{of_channel(result)}, averaged over orientations. (c) Correlation of pixels of the"
        f" same channel.{bands_in_words(result)}{densities} {differences_in_words([result])}"
    )


def title_of(result: "CompareSetsResult") -> str:
    """Return the title: what is compared."""
    return (
        " and ".join(source_name(each.source, 24) for each in result.sets) + " compared" + in_space(result.config.space)
    )


def _draw_pictures(fig: SubFigure, result: "CompareSetsResult", columns: int) -> None:
    """Draw the kernels of each set and the differences of each pair."""
    channel, norm = middle(result), kernel_norm(result)
    count = len(result.sets) + len(result.differences)
    axes = [fig.add_subplot(-(-count // columns), columns, i + 1) for i in range(count)]
    for ax, each in zip(axes, result.sets, strict=False):
        draw_kernel(ax, each, channel, norm)
        ax.set_title(each.name, color=look(each.name)["color"], fontweight="bold")
    own = axes[len(result.sets) :]
    for i, (ax, difference) in enumerate(zip(own, result.differences, strict=True)):
        image = draw_pair(ax, result, i, difference_norm([result]))
        ax.set_title(pair_name(difference.names))
    for i, ax in enumerate(axes):
        ax.tick_params(labelleft=i % columns == 0)
        if i % columns == 0:
            ax.set_ylabel("Δy / pixels")
        if i >= count - columns:
            ax.set_xlabel("Δx / pixels")
        else:
            ax.tick_params(labelbottom=False)
    add_error_bar(fig, image, axes)


def _draw_densities(ax: Axes, result: "CompareSetsResult") -> None:
    """Draw the density of the deconvolved pixels of each set on a logarithmic axis."""
    edges = result.edges
    middles = (edges[1:] + edges[:-1]) / 2
    lowest = []
    for each in result.sets:
        if each.after and each.after.sigma:
            density = np.where(each.after.density > 0, each.after.density, np.nan)
            ax.plot(middles, density, **(look(each.name) | {"marker": ""}))
            lowest.append(float(np.nanmin(density)))
    ax.plot(middles, np.exp(-(middles**2) / 2) / np.sqrt(2 * np.pi), color=BLACK, linestyle=(0, (1, 1)), linewidth=0.8)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_yscale("log")
    ax.set_ylim(bottom=min(lowest, default=1e-6) / 2, top=5)
    plain_ticks(ax.yaxis)
    ax.set_xlabel("x / σ")
    ax.set_ylabel("probability density")
