"""Picture of compared sets of images, for several ridges and kernel sizes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from ndtools.drawing.axes import plain_number, plain_ticks
from ndtools.drawing.series import (
    MARK,
    ROOMY,
    lines_of_pictures,
    member_styles,
    picture_titles,
    rows_of,
    side_of_pictures,
    sized_styles,
)
from ndtools.drawing.style import (
    PAGE,
    SMALL,
    add_letters,
    add_title,
    drawing_style,
    is_wide,
    new_figure,
    split_figure,
    width_of,
)
from ndtools.experiments.compare_sets.figure import title_of
from ndtools.experiments.compare_sets.panels import (
    add_error_bar,
    difference_norm,
    draw_correlations,
    draw_kernel,
    draw_pair,
    kernel_norm,
    look,
    middle,
    pair_name,
)
from ndtools.experiments.compare_sets.ridges import (
    pair_ridges,
    paper_ridge,
    ridge_name,
    ridges_in_words,
    shared_ridge,
)
from ndtools.experiments.compare_sets.words import bands_in_words, differences_in_words, pictures_in_words
from ndtools.text import source_name
from ndtools.validation import PAPER_RIDGE

if TYPE_CHECKING:
    from ndtools.experiments.compare_sets.result import CompareSetsResult
    from ndtools.results.series import Series

    # Value with the ends of its interval, and ridge, or the smaller and the larger one of a pair.
    Point = tuple[float | None, float | None, float | None, float, float]
    Curve = tuple[dict[str, Any], Callable[[CompareSetsResult], Point]]  # its style, and its point for a result

__all__ = ["caption_compare_sets_series", "plot_compare_sets_series"]

LARGEST = 22.0  # side of a picture, millimetres
PANEL, PANEL_NARROW = 44.0, 37.0  # height of a panel of curves, millimetres
HIGHEST = 225.0  # millimetres: a page holds no more
_MEASURES = {"kurtosis": "kurtosis", "near_zero": "share within 0.1 σ", "ggd_shape": "shape of gen. Gaussian"}


def plot_compare_sets_series(
    series: "Series[CompareSetsResult]", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw kernels of each set and their differences for each ridge, and what the sets differ in against the ridge.

    Parameters
    ----------
    series : Series of CompareSetsResult
        Result of :func:`ndtools.experiments.compare_sets.run.run_series`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 there are two panels of curves in a row.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With pictures of kernels and of their differences, in a column for each ridge of the largest kernel size, or
        for each kernel size. Below are the differences in per cent, the ratio of the responses of A and B, the
        correlations, and measures of sparsity if they were measured.
    """
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        lines, side = _pictured(series, width)
        rows = len(series[0].sets) + len(series[0].differences)
        ridges = 4 * len(series[0].sets) * (not all(map(shared_ridge, series)))
        above = len(lines) * (rows * (side + 1.5) + ridges + 6) + 14
        count = 6 if any(each.after for each in series[0].sets) else 3
        across = 3 if wide else 2
        below = -(-count // across) * (PANEL if wide else PANEL_NARROW)
        handles, names = _legend(series, 36 if wide else 28)
        columns = max(1, int(width / (36 if wide else 42)))
        height = above + below + 6 * title + 4 * -(-len(handles) // columns)
        fig = new_figure(fig, width, min(height, HIGHEST))
        upper, lower = split_figure(fig, above, below)
        _draw_pictures(upper, series, lines, side)
        panels = [lower.add_subplot(-(-count // across), across, i + 1) for i in range(count)]
        _draw_against(panels[0], series, "kernels differ by / %", _differences(series))
        _whiten_by_chance(panels[0], series)
        _draw_ratios(panels[1], series)
        draw_correlations(panels[2], _largest(series)[0])
        for ax, (name, label) in zip(panels[3:], _MEASURES.items(), strict=False):
            _draw_against(ax, series, label, _sparsity(series, name), paper=True)
        upper.suptitle("a", x=0.01, ha="left", fontweight="bold")
        add_letters(panels, first="b")
        fig.legend(handles, names, loc="outside lower center", ncols=columns)
        if title:
            add_title(fig, title_of(series[0]))
    return fig


def caption_compare_sets_series(series: "Series[CompareSetsResult]") -> str:
    """Say in words what the figure of :func:`plot_compare_sets_series` shows."""
    first, largest = series[0], _largest(series)[0]
    sets = "; ".join(f"{each.name} is {each.source} ({each.images.counted})" for each in first.sets)
    k = largest.config.kernel_size
    sparsity = ""
    if any(each.after for each in first.sets):
        sparsity = (
            " Of the deconvolved pixels: (e) kurtosis (Gaussian 3, Laplace 6), (f) share within 0.1 σ (Gaussian 0.080,"
            " Laplace 0.132), (g) shape of the generalised Gaussian (Gaussian 2, Laplace 1), with 95 % intervals."
        )
        if len(rows_of(series.members)[0]) > 1:
            sparsity += (
                " The dotted line is at the paper's ridge, 1e-5 of the mean variance of A."
                if paper_ridge(series.members)
                else f" The paper's ridge, 1e-5 of the mean variance of A, is {_paper(first):.2g}, beyond the axis."
            )
    errors = ""
    if first.differences[0].kernels.error is not None:
        errors = ", ± its standard error; marks with a white middle are not clearly more than chance makes"
    if not all(map(shared_ridge, series)) and len(rows_of(series.members)[0]) > 1:
        errors += ", and horizontal bars reach from the ridge of one set to that of the other"
    return (
        f"Sets of images compared: {sets}, for {ridges_in_words(series.members)} {pictures_in_words(list(series))}"
        f" (b) Difference of the kernels in per cent of their size{errors}. (c) Ratio of the frequency responses of A"
        f" and B. (d) Correlation of pixels of the same channel, {k}×{k} patches.{bands_in_words(largest)}{sparsity}"
        f" {differences_in_words([member for row in rows_of(series.members) for member in row])}"
    )


def _paper(first: "CompareSetsResult") -> float:
    """Return the paper's ridge of set A."""
    return PAPER_RIDGE * first.sets[0].mean_variance


def _largest(series: "Series[CompareSetsResult]") -> "list[CompareSetsResult]":
    """Return the results for the largest kernel size."""
    return max(rows_of(series.members), key=lambda row: row[0].config.kernel_size)


def _pictured(series: "Series[CompareSetsResult]", width: float) -> "tuple[list[list[CompareSetsResult]], float]":
    """Return the results whose kernels are drawn, by lines, and the side of a picture in millimetres."""
    rows = rows_of(series.members)
    shown = [row[0] for row in rows] if len(rows[0]) == 1 else _largest(series)
    lines = lines_of_pictures(shown, width)
    return lines, side_of_pictures(lines, width, LARGEST)


def _draw_pictures(
    fig: SubFigure, series: "Series[CompareSetsResult]", lines: "list[list[CompareSetsResult]]", side: float
) -> None:
    """Draw lines of results: a row for each set and each pair, a column for each result."""
    channel, norm = middle(series[0]), difference_norm(list(series))
    names = [each.name for each in series[0].sets]
    pairs = [pair_name(each.names) for each in series[0].differences]
    down = len(names) + len(pairs)
    grid = fig.add_gridspec(len(lines) * down, max(map(len, lines)))
    of_ridges = len(rows_of(series.members)[0]) > 1
    titles = picture_titles([member for line in lines for member in line], lines, side)
    axes = []
    for i, line in enumerate(lines):
        for j, member in enumerate(line):
            column = [fig.add_subplot(grid[i * down + row, j]) for row in range(down)]
            axes += column
            scale = kernel_norm(member)
            for ax, measures in zip(column, member.sets, strict=False):
                draw_kernel(ax, measures, channel, scale)
            for pair, ax in enumerate(column[len(names) :]):
                image = draw_pair(ax, member, pair, norm)
            own_ridges = of_ridges and titles[i][j] and not shared_ridge(member)
            column[0].set_title(ridge_name(member) if own_ridges else titles[i][j])
            for row, (ax, label) in enumerate(zip(column, names + pairs, strict=True)):
                ax.set(xticks=[], yticks=[])
                if row < len(names) and not shared_ridge(member):
                    eps = plain_number(float(f"{member.sets[row].fit.eps:.2g}"))
                    ax.set_xlabel(f"eps {eps}" if side >= ROOMY else eps, labelpad=1.5, fontsize=SMALL)
                if j == 0:
                    color = look(label)["color"] if row < len(names) else "k"
                    ax.set_ylabel(label, color=color, fontweight="bold" if row < len(names) else "normal")
    add_error_bar(fig, image, axes)


def _differences(
    series: "Series[CompareSetsResult]",
) -> "list[Curve]":
    """Return the curve of each pair: its style, and the difference of the kernels of a result in per cent."""
    found: list[Curve] = []
    for i, each in enumerate(series[0].differences):
        style = {"color": "k", "linestyle": "-", "marker": "o"}
        if len(series[0].differences) > 1:
            style = look(each.names[0] if each.names != ("A", "C") else "C")

        def point(member: "CompareSetsResult", i: int = i) -> "Point":
            kernels = member.differences[i].kernels
            error = kernels.error or 0.0
            ridges = pair_ridges(member, member.differences[i])
            return 100 * kernels.value, 100 * (kernels.value - error), 100 * (kernels.value + error), *ridges

        found.append((style, point))
    return found


def _sparsity(series: "Series[CompareSetsResult]", name: str) -> "list[Curve]":
    """Return the curve of each set: its style, and a measure of sparsity of a result."""
    found: list[Curve] = []
    for i, each in enumerate(series[0].sets):

        def point(member: "CompareSetsResult", i: int = i) -> "Point":
            after, eps = member.sets[i].after, member.sets[i].fit.eps
            if after is None:
                return None, None, None, eps, eps
            estimate = after.measures[name]
            return estimate.value, estimate.low, estimate.high, eps, eps

        found.append((look(each.name), point))
    return found


def _draw_against(
    ax: Axes,
    series: "Series[CompareSetsResult]",
    label: str,
    curves: "list[Curve]",
    *,
    paper: bool = False,
) -> None:
    """Draw curves with intervals against the ridge, or the kernel size if there is one ridge."""
    rows = rows_of(series.members)
    of_ridges = len(rows[0]) > 1
    if not of_ridges:
        rows = [[row[0] for row in rows]]
    for i, row in enumerate(rows):
        for style, point in curves:
            if len(rows) > 1:  # dashes and markers are those of kernel sizes
                style = sized_styles(i) | {"color": style["color"]}
            points = np.array([point(member) for member in row], dtype=np.float64)
            value, low, high, lower, upper = (points[points[:, 3].argsort()] if of_ridges else points).T
            x = np.sqrt(lower * upper) if of_ridges else np.array([member.config.kernel_size for member in row])
            across = np.stack([x - lower, upper - x]) if of_ridges and (upper > lower).any() else None
            ends = np.nan_to_num(np.abs(np.stack([value - low, high - value])))
            ax.errorbar(x, value, yerr=ends, xerr=across, elinewidth=0.8, capsize=1.5, capthick=0.6, **style)
    ax.set_ylabel(label)
    if of_ridges:
        ax.set_xlabel("eps")
        ax.set_xscale("log")
        if paper and (mark := paper_ridge(series.members)):
            ax.axvline(mark, zorder=0, **MARK)
            ax.annotate(
                "paper",
                (mark, 0.97),
                (1.5, 0),
                xycoords=ax.get_xaxis_transform(),
                textcoords="offset points",
                rotation=90,
                va="top",
                fontsize=SMALL,
                color="0.4",
            )
        plain_ticks(ax.xaxis)
    else:
        ax.set_xlabel("kernel size / pixels")
        ax.xaxis.set_major_locator(FixedLocator(sorted(x)))
        ax.xaxis.set_minor_locator(NullLocator())


def _whiten_by_chance(ax: Axes, series: "Series[CompareSetsResult]") -> None:
    """Fill the marks of differences that are not larger than by chance with white, and begin the axis at 0."""
    of_ridges = len(rows_of(series.members)[0]) > 1
    for member in series:
        for each in member.differences:
            x = np.sqrt(np.prod(pair_ridges(member, each))) if of_ridges else member.config.kernel_size
            if each.kernels.is_apart is False or each.kernels.is_unsure:
                ax.plot(x, 100 * each.kernels.value, "o", color="w", markersize=2, zorder=5)
    ax.set_ylim(bottom=0)


def _draw_ratios(ax: Axes, series: "Series[CompareSetsResult]") -> None:
    """Draw the ratio of the frequency responses of A and B for each result, those of the largest kernel size."""
    ax.axhline(1, color="0.7", linewidth=0.5)
    shown = _largest(series) if len(rows_of(series.members)[0]) > 1 else list(series)
    for member, (style, _) in zip(series, member_styles(series.members), strict=True):
        if any(member is each for each in shown):
            a, b = member.sets[:2]
            channel = middle(member)
            ratio = a.response[channel] / b.response[channel]
            ax.plot(a.frequency, ratio, **(style | {"marker": "", "linestyle": "-"}))
    ax.set_xscale("log")
    plain_ticks(ax.xaxis)
    ax.set_xlabel("cycles per pixel")
    ax.set_ylabel("|H| of A / |H| of B")


def _legend(series: "Series[CompareSetsResult]", length: int) -> tuple[list[Line2D], list[str]]:
    """Return the lines of the legend and their names: sets, then results."""
    handles = [Line2D([], [], **look(each.name)) for each in series[0].sets]
    names = [f"{each.name}: {source_name(each.source, length)}" for each in series[0].sets]
    rows = rows_of(series.members)
    styles = member_styles(series.members)
    for member, (style, name) in zip(series, styles, strict=True):
        if len(rows) == 1 or len(rows[0]) == 1 or any(member is each for each in _largest(series)):
            handles.append(Line2D([], [], color=style["color"]))
            names.append(f"c: {name.rpartition(', ')[2] if len(rows[0]) == 1 else ridge_name(member)}")
    if len(rows) > 1 and len(rows[0]) > 1:
        for i, row in enumerate(rows):
            handles.append(Line2D([], [], **(sized_styles(i) | {"color": "0.4"})))
            names.append(f"{row[0].config.kernel_size}×{row[0].config.kernel_size}")
    return handles, names
