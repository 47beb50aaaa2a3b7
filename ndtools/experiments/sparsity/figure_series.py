"""Picture of the distributions of pixels after deconvolution with several ridges and kernel sizes."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ndtools.drawing.axes import plain_ticks
from ndtools.drawing.palette import BLACK, SIDES
from ndtools.drawing.series import (
    MARK,
    add_series_legend,
    draw_against,
    legend_rows,
    member_styles,
    rows_of,
    series_in_words,
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
    width_of,
)
from ndtools.experiments.sparsity.verdict import verdicts
from ndtools.text import in_space, source_name
from ndtools.validation import PAPER_RIDGE

if TYPE_CHECKING:
    from ndtools.experiments.sparsity.result import SparsityResult
    from ndtools.numerics.sparsity import Distribution
    from ndtools.results.series import Series

__all__ = ["caption_sparsity_series", "plot_sparsity_series"]

PANEL, PANEL_NARROW = 62.0, 46.0  # height of a panel, millimetres


def plot_sparsity_series(
    series: "Series[SparsityResult]", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the histograms for several ridges and kernel sizes on a logarithmic axis, and two measures of each.

    Parameters
    ----------
    series : Series of SparsityResult
        Result of :func:`ndtools.experiments.sparsity.run.run_series`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the densities have a row of their own.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With panels of the densities, the kurtosis, and the share of values within 0.1 σ.
    """
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        fit = series[0].fit
        paper = PAPER_RIDGE * fit.mean_variance if fit and fit.mean_variance > 0 else None
        marked = [] if paper is None or len(rows_of(series.members)[0]) == 1 else [(MARK, "the paper's ridge")]
        height = (
            (PANEL if wide else panel_rows(width) * PANEL_NARROW)
            + 6 * title
            + 4 * legend_rows(series.members, width, marked)
        )
        fig = new_figure(fig, width, height)
        densities, kurtosis, near = add_panels(fig, width)
        _draw_densities(densities, series)
        style = {"color": SIDES["after"]["color"], "linestyle": "-", "marker": "o"}
        for ax, name, label in ((kurtosis, "kurtosis", "kurtosis"), (near, "near_zero", "share within 0.1 σ")):
            measures = {"": (lambda member, n=name: member.after.measures[n].value, style)}
            draw_against(ax, series.members, measures, name=label, mark=paper)
        add_letters([densities, kurtosis, near])
        add_series_legend(fig, series.members, width, marked)
        if title:
            add_title(
                fig, f"Sparsity of {source_name(series.source)}{in_space(series[0].config.space)} after deconvolution"
            )
    return fig


def caption_sparsity_series(series: "Series[SparsityResult]") -> str:
    """Say in words what the figure of :func:`plot_sparsity_series` shows."""
    first = series[0]
    after = "after deconvolution" if first.config.whitening == "patch" else "after the decorrelation of the channels"
    return (
        f"Distribution of pixel values of {series.source} ({first.images.counted}) {after}, for"
        f" {series_in_words(series.members)} (a) Densities, each divided by its standard deviation σ, on a logarithmic"
        " axis; the dotted line is that of the pixels less the mean of their channel. (b) Kurtosis (Gaussian 3, Laplace"
        " 6). (c) Share of the values within 0.1 σ (Gaussian 0.080, Laplace 0.132). The dotted line is at the paper's"
        " ridge, 1e-5 of the mean variance." + "".join(f" {verdict}" for verdict in verdicts(series))
    )


def _draw_densities(ax: Axes, series: "Series[SparsityResult]") -> None:
    """Draw the histogram of each member, and the one before deconvolution."""
    edges = series[0].edges
    middles = (edges[1:] + edges[:-1]) / 2
    every = max(1, len(middles) // 12)  # markers are apart
    drawn: list[tuple[Distribution, dict[str, Any]]] = [
        (series[0].before, {"color": BLACK, "linestyle": ":", "marker": ""})
    ]
    drawn += [(member.after, style) for (style, _), member in zip(member_styles(series.members), series, strict=True)]
    lowest = []
    for i, (side, style) in enumerate(drawn):
        density = np.where(side.density > 0, side.density, np.nan)
        if not side.sigma or np.isnan(density).all():
            continue
        ax.plot(middles, density, linewidth=0.9, markersize=2.5, markevery=(i % every, every), **style)
        lowest.append(np.nanmin(density))
    ax.set_xlim(edges[0], edges[-1])
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    if lowest:
        ax.set_yscale("log")
        ax.set_ylim(bottom=min(lowest) / 3)
        plain_ticks(ax.yaxis)
    ax.set_xlabel("x / σ")
    ax.set_ylabel("probability density")
