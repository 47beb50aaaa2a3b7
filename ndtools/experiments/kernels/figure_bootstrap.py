"""Picture of how uncertain kernels are."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from ndtools.drawing.channels import shown_in_words
from ndtools.drawing.kernel_maps import extent_of, tick_pixels
from ndtools.drawing.palette import METHODS, SIDES
from ndtools.drawing.style import (
    PAGE,
    add_letters,
    add_title,
    drawing_style,
    legend_columns,
    new_figure,
    split_figure,
    width_of,
)
from ndtools.experiments.kernels.figure import has_room, rows_named
from ndtools.text import counted, in_space, ridge_in_words, source_name, with_error

if TYPE_CHECKING:
    from ndtools.experiments.kernels.bootstrap import KernelBootstrap
    from ndtools.experiments.kernels.result import KernelsResult

__all__ = ["caption_kernel_bootstrap", "plot_kernel_bootstrap"]

PAPER = (128, 1024)  # numbers of images in the paper's caption and text of fig. 2
IN_A_ROW = 150.0  # millimetres of width from which maps stand beside the curve
CURVE = 58.0  # millimetres of height of the curve with its legend, above the maps
MAPS = 0.75  # height of the maps below it, in units of the width
BEYOND = 2.5  # times as many images as there are: where the curves end
SUBSETS, LIMIT = SIDES["after"]["color"], SIDES["before"]["color"]


def plot_kernel_bootstrap(
    result: "KernelsResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw how kernels settle as images are added, and the standard error of each weight.

    Parameters
    ----------
    result : KernelsResult
        From :func:`ndtools.experiments.kernels.run.run` with ``bootstrap``.
    width : float
        Width of the figure in print, millimetres. Default 180; below 150 the maps stand below the curve.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        The change against the number of images, a C×C grid of maps on one logarithmic scale, and a colour bar.

    Raises
    ------
    ValueError
        If the result has no bootstrap.
    """
    found = _bootstrap(result)
    result = result.shown
    count = len(result.channels)
    with drawing_style():
        width = width_of(fig, width)
        wide = width >= IN_A_ROW
        fig = new_figure(fig, width, (0.34 * width + 14 if wide else CURVE + MAPS * width) + 6 * title)
        part: FigureBase = fig  # that has the curve and its legend
        if wide:
            grid = fig.add_gridspec(1, 2)
            curve = fig.add_subplot(grid[0])
            maps = grid[1].subgridspec(count, count).subplots(squeeze=False)
        else:
            part, below = split_figure(fig, CURVE, MAPS * width)
            curve, maps = part.subplots(), below.subplots(count, count, squeeze=False)
        if found.per_image > 0:
            _draw_change(curve, found)
            handles, labels = curve.get_legend_handles_labels()
            part.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels, width))
        else:
            curve.text(0.5, 0.5, _no_curve(found), ha="center", transform=curve.transAxes)
            curve.set_axis_off()
        _draw_maps(fig, maps, result, width)
        add_letters([curve, maps[0, 0]])
        if title:
            k = result.config.kernel_size
            add_title(
                fig, f"Uncertainty of {k}×{k} kernels of {source_name(result.source)}{in_space(result.config.space)}"
            )
    return fig


def caption_kernel_bootstrap(result: "KernelsResult") -> str:
    """Say in words what the figure of :func:`plot_kernel_bootstrap` shows."""
    found = _bootstrap(result)
    k, total = result.config.kernel_size, found.total
    if found.per_image > 0:
        paper = " and ".join(f"{found.change_in_words(images)} for {images} images" for images in PAPER)
        curve = (
            "(a) Relative change ‖Kₙ − K‖/‖K‖ of the kernels Kₙ of n images. Points: subsets, against the kernels of"
            f" all {total} images; bars are standard errors over the orders in which images were added. Solid line: the"
            f" change that the bootstrap predicts for them. Dashed line: c/√n, c ="
            f" {with_error(found.per_image, found.per_image_error, 2)}, the predicted distance from the kernels of"
            f" infinitely many images; it is {found.change_in_words(total)} for these {total}, and {paper}, the numbers"
            f" in the paper. {_settled(found)}"
        )
    else:
        curve = f"(a) There is no curve: {_no_curve(found)}."
    failed = f"; {counted(found.failed, 'resampled set')} had no kernels and were left out" if found.failed else ""
    return (
        f"Uncertainty of {k}×{k} kernels of {result.source}: bootstrap of {total} images in {found.groups} groups,"
        f" {found.replicates} replicates{failed}. {curve}"
        f" (b) Standard error of each weight, by output and input channel. {ridge_in_words(result.deconvolution)}."
        f"{shown_in_words([channel.name for channel in result.shown.channels], len(result.channels))}"
    )


def _bootstrap(result: "KernelsResult") -> "KernelBootstrap":
    if result.bootstrap is None:
        raise ValueError("result has no bootstrap: run with KernelsConfig(bootstrap=200)")
    return result.bootstrap


def _draw_maps(fig: Figure, maps: NDArray[np.object_], result: "KernelsResult", width: float) -> None:
    error, names = _bootstrap(result).error, [channel.name for channel in result.channels]
    positive = error[error > 0]
    norm = LogNorm(float(positive.min()), float(positive.max())) if positive.size and np.ptp(positive) else None
    for (i, j), ax in np.ndenumerate(maps):
        image = ax.imshow(
            error[i, j],
            norm=norm,
            cmap="viridis",
            extent=extent_of(result.config.kernel_size),
            interpolation="nearest",
        )
        tick_pixels(ax)
        first, last = j == 0, i == len(names) - 1
        ax.tick_params(labelleft=first, labelbottom=last)
        if len(names) > 1 and i == 0:
            ax.set_title(f"from {names[j]}" if has_room(width) else names[j])
        if first:
            ax.set_ylabel(rows_named(names, width)[i] if len(names) > 1 else "Δy / pixels")
        if last and j == len(names) // 2:
            ax.set_xlabel("Δx / pixels")
    ticks = LogLocator(subs=(1, 2, 5) if np.ptp(np.log10(positive)) < 2.5 else (1,)) if norm else None
    bar = fig.colorbar(image, ax=maps.ravel().tolist(), ticks=ticks, format="%g", aspect=35, fraction=0.05, pad=0.02)
    bar.set_label("standard error of the weight")
    bar.ax.yaxis.set_minor_locator(NullLocator())


def _draw_change(curve: Axes, found: "KernelBootstrap") -> None:
    """Draw how far kernels of n images are from those of all, measured and as the bootstrap has it."""
    total = found.total
    least = float(min([*found.images, total])) / 1.5
    n = np.geomspace(least, BEYOND * total, 300)
    curve.errorbar(
        found.images,
        100 * found.change,
        100 * found.change_error,
        fmt="o",
        elinewidth=0.6,
        color=SUBSETS,
        label=f"subsets against all {total}",
    )
    inside = n[n < total]
    expected = 100 * found.expected_change(inside)
    curve.plot(inside, expected, color=SUBSETS, label="predicted for subsets")
    curve.plot(
        n, 100 * found.per_image / np.sqrt(n), color=LIMIT, linestyle="--", label="predicted against infinitely many"
    )
    for images in PAPER:
        if least < images <= BEYOND * total:
            value = 100 * found.per_image / np.sqrt(images)
            curve.plot(images, value, color=LIMIT, linestyle="", marker=METHODS["published"]["marker"])
            curve.annotate(
                f"{images}",
                (images, value),
                xytext=(-3, -3),
                textcoords="offset points",
                color=LIMIT,
                ha="right",
                va="top",
            )
    curve.set_xscale("log")
    curve.set_yscale("log")
    for axis in (curve.xaxis, curve.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    curve.set_xlim(n[0], n[-1])
    lowest = [100 * found.per_image / np.sqrt(n[-1]), *(100 * found.change[found.change > 0])]
    curve.set_ylim(0.6 * float(min(lowest)), None)
    curve.set_xlabel("number of images n")
    curve.set_ylabel("change of the kernels / %")


def _no_curve(found: "KernelBootstrap") -> str:
    if not np.isfinite(found.relative_error):
        return "too few replicates have kernels"
    return "the kernels do not change at all"  # as of one set of moments given twice


def _settled(found: "KernelBootstrap") -> str:
    if found.settles_at is None:
        return "Not even the largest subsets change as predicted, within two standard errors."
    if found.settles_at == found.images[0]:
        return "Subsets of all sizes change as predicted, within two standard errors."
    return f"Subsets of {found.settles_at} images and more change as predicted, within two standard errors."
