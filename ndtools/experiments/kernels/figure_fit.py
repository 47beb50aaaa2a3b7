"""Picture of kernels measured as cells are: profile, frequency response, opponency."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ndtools.drawing.axes import plain_ticks
from ndtools.drawing.channels import shown_channels, shown_in_words
from ndtools.drawing.palette import DIVERGING, channel_style
from ndtools.drawing.style import (
    PAGE,
    SMALL,
    add_letters,
    add_panels,
    add_title,
    drawing_style,
    new_figure,
    panel_rows,
    width_of,
)
from ndtools.drawing.weights import scale_axis, weight_norm
from ndtools.experiments.kernels.degrees import in_degrees
from ndtools.text import in_space, ridge_in_words, source_name, with_error

if TYPE_CHECKING:
    from ndtools.experiments.kernels.cells import CellMeasures
    from ndtools.experiments.kernels.result import KernelsResult

__all__ = ["caption_kernel_fit", "plot_kernel_fit"]

WIDTHS = (1.25, 1.1, 0.85)  # of panels, in proportion
PALE = 4.0  # times the largest sum of weights is where the colours of the table would end


def plot_kernel_fit(
    result: "KernelsResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw radial profiles with their fits, frequency responses, and how channels oppose each other.

    Parameters
    ----------
    result : KernelsResult
        From :func:`ndtools.experiments.kernels.run.run` with ``fit``.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the profiles have a row of their own.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With three axes: radial means (with the scatter over the pixels of each ring) and differences of Gaussians;
        mean |H| over orientations; the weights of a uniform image. Of grey images the last is one number, and stands in
        the caption alone.

    Raises
    ------
    ValueError
        If the result has no fits.
    """
    _check(result)
    among = np.ix_(*[shown_channels(len(result.channels))] * 2)
    opponency, result = result.opponency[among], result.shown
    with drawing_style():
        width = width_of(fig, width)
        several = len(result.channels) > 1
        rows = min(panel_rows(width), 2 + several)
        above = 0 if result.config.pixels_per_degree is None else 8 * rows  # room for the axes above the panels
        fig = new_figure(fig, width, (66 if rows == 1 else 50 * rows) + above + 6 * title)
        profile, response, *others = add_panels(fig, width, WIDTHS[: 2 + several])
        _draw_profiles(profile, result)
        _draw_responses(response, result)
        if result.config.pixels_per_degree is not None:
            _add_degrees(profile, response, result.config.pixels_per_degree)
        for weights in others:
            _draw_opponency(weights, result, opponency)
        add_letters([profile, response, *others])
        if several:
            handles, labels = response.get_legend_handles_labels()
            fig.legend(handles, labels, loc="outside lower center", ncols=len(handles))
        if title:
            k = result.config.kernel_size
            add_title(
                fig, f"{k}×{k} kernels of {source_name(result.source)}{in_space(result.config.space)} measured as cells"
            )
    return fig


def caption_kernel_fit(result: "KernelsResult") -> str:
    """Say in words what the figure of :func:`plot_kernel_fit` shows."""
    _check(result)
    count, uniform_grey = len(result.channels), float(result.opponency[0, 0])
    result = result.shown
    k, cells = result.config.kernel_size, zip(result.channels, result.cells, strict=True)
    norm = weight_norm(result.kernels)
    uniform = (
        " (c) Sum of the weights from each channel (columns) to each channel (rows), in per cent of the sum of all"
        " magnitudes in the row: the response to a uniform image. The colours are in units of the largest."
        if len(result.channels) > 1
        else f" The weights sum to {100 * uniform_grey:.2g} % of the sum of their magnitudes, the"
        " response to a uniform image."
    )
    fits, slopes = [], []
    for channel, cell in cells:
        fits.append(_fit_in_words(channel.name, cell))
        slope = cell.response.low_frequency_slope
        if slope is not None:
            words = with_error(slope, cell.errors.get("low_frequency_slope"), 2)
            low, high = cell.response.low_band
            slopes.append(f"{channel.name} {words} between {low:.2g} and {high:.2g} cycles/pixel")
    measured = f" The slopes are {'; '.join(slopes)} (grey: the band of the first)." if slopes else ""
    misfit = (
        " The misfit is that of the weights off the centre pixel; no Gaussian falls as slowly as"
        " the tails of such kernels."
        if any(cell.dog for cell in result.cells)
        else ""
    )
    scale = result.config.pixels_per_degree
    angle = "" if scale is None else f" {_angles_in_words(result, scale)}"
    return (
        f"Each channel's own {k}×{k} kernel of {result.source} ({result.images.counted}), measured as a cell."
        f"{shown_in_words([channel.name for channel in result.channels], count)}"
        " (a) Mean of the weights over rings about the centre; bars: standard deviation within a ring; symbols of"
        " different channels are moved apart sideways; lines: difference of two Gaussians."
        f" The axis is linear within ±{norm.linthresh:.2g} and logarithmic beyond."
        f" {'; '.join(fits)}.{misfit}"
        f" (b) Response to gratings, mean of |H| over orientations.{measured}"
        f"{uniform} {ridge_in_words(result.deconvolution)}.{angle}"
    )


def _angles_in_words(result: "KernelsResult", pixels_per_degree: float) -> str:
    """Say how large the kernels are in degrees."""
    sizes = []
    for channel, cell in zip(result.channels, result.cells, strict=True):
        crossing = in_degrees(cell.measures.zero_crossing, pixels_per_degree)
        if crossing is not None:
            sizes.append(f"{channel.name} {crossing:.3g}°")
    crossings = f" The centres cross zero at {', '.join(sizes)}." if sizes else ""
    return f"A degree of visual angle has {pixels_per_degree:g} pixels.{crossings}"


def _check(result: "KernelsResult") -> None:
    if not result.cells:
        raise ValueError("result has no fits: run with KernelsConfig(fit=True)")


def _draw_profiles(ax: Axes, result: "KernelsResult") -> None:
    k = result.config.kernel_size
    radius = np.linspace(0, k // 2, 60 * (k // 2) + 1)
    ax.axhline(0, color="0.7", linewidth=0.5)
    for i, (channel, cell) in enumerate(zip(result.channels, result.cells, strict=True)):
        style = channel_style(channel.name, i)
        shift = 0.12 * (i - (len(result.cells) - 1) / 2)  # so that none hides another
        if cell.dog:
            ax.plot(radius, cell.dog.radial(radius), color=style["color"], linestyle=style["linestyle"])
        ax.errorbar(
            cell.profile.radius + shift,
            cell.profile.mean,
            cell.profile.standard_deviation,
            color=style["color"],
            marker=style["marker"],
            linestyle="none",
            elinewidth=0.6,
        )
    scale_axis(ax, weight_norm(result.kernels))
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    ax.set_xlabel("distance from the centre / pixels")
    ax.set_ylabel("weight")


def _draw_responses(ax: Axes, result: "KernelsResult") -> None:
    for i, (channel, cell) in enumerate(zip(result.channels, result.cells, strict=True)):
        style, response = channel_style(channel.name, i), cell.response
        # The marker stands for the points of the other panel in the legend.
        ax.plot(response.frequency, response.magnitude, label=channel.name, markevery=(1000, 1000), **style)
    first = result.cells[0].response
    low, high = first.low_band
    magnitudes = np.concatenate([cell.response.magnitude for cell in result.cells])
    bottom, top = magnitudes.min() / 1.3, 1.3 * magnitudes.max()  # also if all are equal
    if first.low_frequency_slope is not None:
        band = np.array([low, high])
        middle = np.sqrt(low * high)
        line = 0.5 * float(np.interp(middle, first.frequency, first.magnitude)) * band / middle
        ax.plot(band, line, color="k", linewidth=0.7)
        # The words begin in the lower part of the line, as they may be wider than the band.
        at = [end[0] * (end[1] / end[0]) ** 0.3 for end in (band, line)]
        ax.annotate(
            "slope 1",
            (at[0], at[1]),
            xytext=(2, -2),
            textcoords="offset points",
            ha="left",
            va="top",
            fontsize=SMALL,
        )
        ax.axvspan(low, high, color="0.95", zorder=0)
        # The line ends above the frame, and so do the words.
        bottom = min([bottom, *(top * (y / top) ** (1 / (1 - share)) for y, share in ((line[0], 0.04), (at[1], 0.16)))])
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(bottom, top)
    plain_ticks(ax.xaxis)
    plain_ticks(ax.yaxis)
    ax.set_xlabel("frequency / cycles per pixel")
    ax.set_ylabel("mean |H|")


def _add_degrees(profile: Axes, response: Axes, pixels_per_degree: float) -> None:
    """Add axes in degrees and in cycles per degree above the panels."""
    divided, multiplied = partial(np.multiply, 1 / pixels_per_degree), partial(np.multiply, pixels_per_degree)
    above = profile.secondary_xaxis("top", functions=(divided, multiplied))
    above.xaxis.set_major_locator(MaxNLocator(5))
    above.set_xlabel("degrees of visual angle")
    above = response.secondary_xaxis("top", functions=(multiplied, divided))
    above.set_xlabel("cycles per degree")
    plain_ticks(above.xaxis)


def _draw_opponency(ax: Axes, result: "KernelsResult", opponency: NDArray[np.float64]) -> None:
    """Draw a table whose colours show signs: pale, since the numbers tell how small all are."""
    names, values = [channel.name for channel in result.channels], 100 * opponency
    end = PALE * float(np.abs(values).max()) or 1.0
    ax.imshow(values, cmap=DIVERGING, vmin=-end, vmax=end)
    digits = 2 if np.abs(values).max() < 9.995 else 1 if np.abs(values).max() < 99.95 else 0
    for (i, j), value in np.ndenumerate(values):
        ax.text(j, i, f"{value:.{digits}f}".replace("-", "−"), ha="center", va="center", fontsize=SMALL)
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.set_xlabel("from channel\n(sum of weights / %)")
    ax.set_ylabel("to channel")


def _fit_in_words(name: str, cell: "CellMeasures") -> str:
    """Say what was fitted to the kernel of a channel."""
    dog = cell.dog
    if dog is None:
        return f"{name}: no fit to so few pixels" if cell.varies else f"{name}: no variance"
    center, surround = (
        f"{bound} {limit:.2g}" if bound and limit is not None else f"= {with_error(sigma, cell.errors.get(key))}"
        for sigma, bound, limit, key in (
            (dog.center_sigma, dog.center_bound, dog.center_limit, "center_sigma"),
            (dog.surround_sigma, dog.surround_bound, dog.surround_limit, "surround_sigma"),
        )
    )
    misfit = "none" if dog.residual_off_center is None else f"{dog.residual_off_center:.0%}"
    if not dog.surround_volume:
        return f"{name}: centre σ {center} pixels, no surround, misfit {misfit}"
    ratio = with_error(dog.volume_ratio, cell.errors.get("volume_ratio"), 2)
    return (
        f"{name}: centre σ {center} pixels, surround σ {surround} pixels, volume of surround/centre {ratio},"
        f" misfit {misfit}"
    )
