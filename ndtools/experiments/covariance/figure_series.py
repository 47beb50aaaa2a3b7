"""Picture of the correlations that deconvolution leaves with several ridges and kernel sizes."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from ndtools.drawing.palette import BLUE, DIVERGING, VERMILION
from ndtools.drawing.series import (
    MARGIN,
    draw_against,
    line_name,
    lines_of_pictures,
    picture_titles,
    rows_of,
    series_in_words,
    side_of_pictures,
)
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
from ndtools.experiments.covariance.figure import NO_VARIANCE, THICK, name_blocks
from ndtools.numerics.colour import units_in_words
from ndtools.text import in_space, source_name

if TYPE_CHECKING:
    from ndtools.experiments.covariance.result import CovarianceResult
    from ndtools.results.series import Series

__all__ = ["caption_covariance_series", "plot_covariance_series"]

LARGEST = 40.0  # side of a heat map, millimetres
PANEL, PANEL_NARROW = 48.0, 40.0  # height of a panel of curves, millimetres
HIGHEST = 225.0  # millimetres: a page holds no more


def plot_covariance_series(
    series: "Series[CovarianceResult]", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the correlations after deconvolution for several ridges and kernel sizes, and their mean magnitudes.

    Parameters
    ----------
    series : Series of CovarianceResult
        Result of :func:`ndtools.experiments.covariance.run.run_series`.
    width : float
        Width of the figure in print, millimetres. Default 180.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With a heat map for each member, and panels of the mean absolute correlations within and across channels.
    """
    measures = {
        "within a channel": ("within_channel", {"color": BLUE, "linestyle": "-", "marker": "o"}),
        "across channels": ("across_channels", {"color": VERMILION, "linestyle": "--", "marker": "s"}),
    }
    shown = {
        label: (name, style)
        for label, (name, style) in measures.items()
        if any(getattr(member.after, name) is not None for member in series)
    }
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        lines = lines_of_pictures(series.members, width)
        side = side_of_pictures(lines, width, LARGEST)
        above, below = len(lines) * (side + 4) + 18, PANEL if wide else PANEL_NARROW
        fig = new_figure(fig, width, min(above + below + 6 * title, HIGHEST))
        pictures, curves = split_figure(fig, above, below)
        _draw_maps(pictures, series, lines, side, width)
        axes = curves.subplots(1, max(1, len(shown)), squeeze=False).ravel().tolist()
        for ax, (label, (name, style)) in zip(axes, shown.items(), strict=False):
            measure = {"": (lambda member, n=name: getattr(member.after, n), style)}
            draw_against(ax, series.members, measure, name=f"mean |correlation|\n{label}", logarithmic=True)
            if len(ax.lines) > 1:
                ax.legend()
        pictures.suptitle("a", x=0.01, ha="left", fontweight="bold")
        add_letters(axes, first="b")
        if title:
            space = in_space(series[0].config.space)
            add_title(fig, f"Correlation of patches of {source_name(series.source)}{space} after deconvolution")
    return fig


def caption_covariance_series(series: "Series[CovarianceResult]") -> str:
    """Say in words what the figure of :func:`plot_covariance_series` shows."""
    first = series[0]
    parts = {
        "within a channel": [row[0].before.within_channel for row in rows_of(series.members)],
        "across channels": [row[0].before.across_channels for row in rows_of(series.members)],
    }
    before = " and ".join(
        f"{', '.join(f'{value:.3g}' for value in values if value is not None)} {name}"
        for name, values in parts.items()
        if any(value is not None for value in values)
    )
    return (
        f"Correlation of the pixels of patches of {series.source} ({first.images.counted};"
        f" {units_in_words(first.config.space)}) after deconvolution, for"
        f" {series_in_words(series.members)} (a) Correlations; blocks are channels, within which pixels follow row by"
        f" row. Other panels: mean absolute correlation{f' (before deconvolution {before})' if before else ''}."
        f" Inverse square root by {first.config.method}."
    )


def _draw_maps(
    fig: SubFigure, series: "Series[CovarianceResult]", lines: "list[list[CovarianceResult]]", side: float, width: float
) -> None:
    axes = fig.subplots(len(lines), max(map(len, lines)), squeeze=False)
    titles = picture_titles(series.members, lines, side)
    colours = DIVERGING.with_extremes(bad=NO_VARIANCE)
    for i, row in enumerate(axes):
        for j, ax in enumerate(row):
            if j >= len(lines[i]):
                ax.set_visible(False)
                continue
            member = lines[i][j]
            mesh = ax.imshow(member.correlations()[1], cmap=colours, vmin=-1, vmax=1, interpolation="nearest")
            name_blocks(ax, member.whitened, member.channels, member.config.kernel_size)
            ax.set_title(titles[i][j])
            ax.tick_params(labelleft=j == 0, labelbottom=i == len(lines) - 1)
            if j == 0:
                ax.set_ylabel(line_name(series.members, lines[i], "channel, pixel"))
    bar = fig.colorbar(
        mesh,
        ax=axes.ravel().tolist(),
        location="bottom",
        aspect=(width - MARGIN) / THICK,
        pad=0.02,
        fraction=0.06,
        ticks=MaxNLocator(4),
    )
    bar.set_label("correlation")
