"""Picture of the channels of a set of images: their values, the contrast of the images, and their correlations."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ndtools.drawing.channels import shown_channels, shown_in_words
from ndtools.drawing.palette import BLACK, DIVERGING, channel_style
from ndtools.drawing.style import (
    PAGE,
    add_letters,
    add_panels,
    add_title,
    drawing_style,
    new_figure,
    panel_rows,
    width_of,
)
from ndtools.text import in_space, share_in_percent

if TYPE_CHECKING:
    from ndtools.experiments.stats.result import StatsResult

__all__ = ["caption_stats", "plot_stats"]

HEIGHTS = {1: 62.0, 2: 108.0, 3: 165.0}  # millimetres, by the number of rows of panels
NO_VARIANCE = "0.8"
MOST_NUMBERS = 6  # channels whose correlations have room as numbers
MOST_POINTS = 40  # channels whose standard deviations have room as points


def plot_stats(result: "StatsResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None) -> Figure:
    """Draw the histograms of the channels, of the standard deviations within images, and the correlations of channels.

    Parameters
    ----------
    result : StatsResult
        Result of :func:`ndtools.experiments.stats.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With three axes, the last of which has the correlations; of one channel with two.
    """
    with drawing_style():
        width = width_of(fig, width)
        several = len(result.names) > 1
        rows = panel_rows(width)
        fig = new_figure(fig, width, HEIGHTS[rows] + 6 * title)
        axes = add_panels(fig, width, (1.2, 1, 0.9) if several else (1.2, 1))
        _draw_values(axes[0], result)
        _draw_deviations(axes[1], result)
        if several:
            _draw_correlations(axes[2], result)
        add_letters(axes)
        handles, labels = axes[0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=len(labels))
        if title:
            add_title(fig, f"Channels of {result.title}{in_space(result.config.space)}")
    return fig


def caption_stats(result: "StatsResult") -> str:
    """Say in words what the figure of :func:`plot_stats` shows."""
    found = result.statistics
    places = shown_channels(len(result.names))
    shown = [result.names[i] for i in places]
    channels = ", ".join(
        f"{name} {found.mean[i]:.4f} ± {found.sd[i]:.4f}" for i, name in zip(places, shown, strict=True)
    )
    parts = [
        f"Channels of {result.split.label if result.split else result.images.label} ({result.images.counted} of"
        f" {result.sizes.in_words}, {found.pixels:.3g} pixels; {result.images.values_in_words(result.config.space)})."
        f"{shown_in_words(shown, len(result.names))}",
        f"(a) Values of all pixels; points with bars are mean and standard deviation: {channels}.",
        "(b) Standard deviation of each channel within the image."
        if found.images == 1
        else "(b) Standard deviation within each image. A solid line is the mean over images"
        f" ({', '.join(f'{found.image_sd[i]:.4f}' for i in places)}), a dotted line the standard deviation over all"
        " pixels, which also has the differences between images.",
    ]
    if len(result.names) > 1:
        shares, _ = found.axes()
        axes = " : ".join(share_in_percent(share) for share in shares[:MOST_NUMBERS])
        axes += f", and {len(shares) - MOST_NUMBERS} smaller ones" if len(shares) > MOST_NUMBERS else ""
        parts.append(
            "(c) Correlation of the channels of a pixel, from blue (-1) over white (0) to orange (1); the variances"
            f" along its principal axes are as {axes}."
        )
    return " ".join(parts)


def _draw_values(ax: Axes, result: "StatsResult") -> None:
    """Draw the density of each channel, and above them mean and standard deviation."""
    found = result.statistics
    places = shown_channels(len(result.names))
    density = found.counts[places] / found.pixels / np.diff(found.edges)
    middles = (found.edges[1:] + found.edges[:-1]) / 2
    # A few values, such as white, may hold so many pixels that all others are a flat line beside them.
    ranked = np.sort(density, axis=1)
    top = 1.15 * float(ranked[:, : -len(middles) // 50].max() or ranked.max())
    for i, (place, values) in enumerate(zip(places, density, strict=True)):
        name = result.names[place]
        style = channel_style(name, i)
        ax.plot(middles, values, label=name, color=style["color"], linestyle=style["linestyle"])
        y = top * (1.06 + 0.07 * i)
        ax.errorbar(
            found.mean[place],
            y,
            xerr=found.sd[place],
            color=style["color"],
            marker=style["marker"],
            capsize=2,
            linewidth=0.8,
        )
    ax.set_xlim(found.edges[0], found.edges[-1])
    ax.set_ylim(0, top * (1.06 + 0.07 * len(places)))
    ax.set_xlabel("value")
    ax.set_ylabel("probability density")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(5))


def _draw_deviations(ax: Axes, result: "StatsResult") -> None:
    """Draw the histogram of the standard deviations within images, with their mean and that of all pixels."""
    found = result.statistics
    if found.images == 1:
        _draw_deviation(ax, result)
        return
    share = 100 * found.sd_counts / found.images
    used = np.flatnonzero(share.any(0))
    step = found.sd_edges[1]
    for i, place in enumerate(shown_channels(len(result.names))):
        style = channel_style(result.names[place], i)
        ax.stairs(share[place], found.sd_edges, baseline=None, color=style["color"], linestyle=style["linestyle"])
        ax.axvline(found.image_sd[place], color=style["color"], linewidth=0.8)
        ax.axvline(found.sd[place], color=style["color"], linewidth=0.8, linestyle=":")
    right = max(found.sd_edges[used[-1] + 1], float(found.sd.max())) + step
    ax.set_xlim(max(0.0, min(found.sd_edges[used[0]], float(found.sd.min())) - step), right)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("standard deviation within an image")
    ax.set_ylabel("images / %")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(5))


def _draw_deviation(ax: Axes, result: "StatsResult") -> None:
    """Draw the standard deviation of each channel of a single image."""
    found, count = result.statistics, len(result.names)
    ax.plot(range(count), found.image_sd, color=BLACK, marker="o" if count <= MOST_POINTS else None, markersize=3)
    places = list(range(count)) if count <= MOST_NUMBERS else shown_channels(count)
    ax.set_xticks(places, [result.names[i] for i in places])
    ax.set_xlim(-0.5, count - 0.5)
    ax.set_ylim(0, 1.1 * float(found.image_sd.max()) or 1.0)
    ax.set_xlabel("channel")
    ax.set_ylabel("standard deviation within the image")
    ax.yaxis.set_major_locator(MaxNLocator(5))


def _draw_correlations(ax: Axes, result: "StatsResult") -> None:
    """Draw the correlations of the channels of a pixel, with their numbers."""
    correlation = result.statistics.correlation
    image = ax.imshow(correlation, cmap=DIVERGING.with_extremes(bad=NO_VARIANCE), vmin=-1, vmax=1)
    for (i, j), value in np.ndenumerate(correlation) if len(correlation) <= MOST_NUMBERS else ():
        text = "none" if np.isnan(value) else f"{value:.3f}"
        ax.text(j, i, text, ha="center", va="center", color="w" if value < -0.5 else "k")
    places = list(range(len(result.names)))
    if len(places) > MOST_NUMBERS:
        places = shown_channels(len(places))
        bar = ax.figure.colorbar(image, ax=ax, ticks=[-1, 0, 1], aspect=20, pad=0.03, fraction=0.06)
        bar.set_label("correlation")
    ax.set_xticks(places, [result.names[i] for i in places])
    ax.set_yticks(places, [result.names[i] for i in places])
    ax.tick_params(length=0)
