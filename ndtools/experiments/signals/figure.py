"""Picture of the kernels of signals or volumes, and of what deconvolution does to them."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ndtools.drawing.axes import say_empty
from ndtools.drawing.palette import BLACK, BLUE, DIVERGING, GREEN, ORANGE, SIDES, VERMILION
from ndtools.drawing.style import (
    PAGE,
    add_letters,
    add_title,
    drawing_style,
    is_wide,
    legend_columns,
    new_figure,
    split_figure,
    width_of,
)
from ndtools.drawing.weights import scale_axis, weight_norm, weight_ticks
from ndtools.experiments.signals.result import others
from ndtools.text import precision_in_words, source_name

if TYPE_CHECKING:
    from ndtools.experiments.signals.result import SignalsResult

__all__ = ["caption_signals", "plot_signals"]

Array = NDArray[np.float64]

LINES: list[dict[str, Any]] = [
    {"color": BLUE, "linestyle": "-", "marker": "o"},
    {"color": VERMILION, "linestyle": "--", "marker": "s"},
    {"color": GREEN, "linestyle": "-.", "marker": "^"},
    {"color": ORANGE, "linestyle": ":", "marker": "D"},
]
FEW = len(LINES)  # channels of which each has a panel with all its kernels; of more, only their own kernels are drawn
ROWS, SLICES, SLICES_NARROW = 3, 7, 5  # channels whose slices are drawn, and slices of each
COVERED = 99.5  # percentile of the magnitude at which the greys of slices end


def plot_signals(
    result: "SignalsResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the kernels, the strongest correlation at each lag, and a part of the data before and after deconvolution.

    Kernels of signals are drawn as traces: of up to four channels, a panel for each output channel with a trace for
    each input channel; of more, the kernels of all channels by themselves, and the weights at the centre between all
    of them. Kernels of volumes are drawn as slices along z. Their weights are on a scale that is linear about 0 and
    logarithmic beyond.

    Parameters
    ----------
    result : SignalsResult
        Result of :func:`ndtools.experiments.signals.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 panels stand below one another.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        The axes are: kernels; correlations; the data before and after.
    """
    norm = weight_norm(result.kernels)
    with drawing_style():
        width = width_of(fig, width)
        above, below = _heights(result, width)
        fig = new_figure(fig, width, above + below + 6 * title)
        upper, lower = split_figure(fig, above, below)
        kernels = (
            _draw_traces(upper, result, norm, width) if result.axes == "T" else _draw_slices(upper, result, norm, width)
        )
        further = _further_axes(lower, result, width)
        _draw_correlations(further[0], result)
        _draw_excerpts(further[1], further[2], result)
        if result.axes == "ZYX" and is_wide(width):  # as tall as the pictures beside it
            rows, columns = result.excerpt.before.shape[1:]
            further[0].set_box_aspect(rows / columns)
        add_letters([*kernels, *further])
        if title:
            add_title(fig, f"Deconvolution of {source_name(result.source)}")
    return fig


def caption_signals(result: "SignalsResult") -> str:
    """Say in words what the figure of :func:`plot_signals` shows."""
    norm, count = weight_norm(result.kernels), len(result.names)
    scale = f"weights are linear within ±{norm.linthresh:.2g} and logarithmic beyond"
    if result.axes == "ZYX":
        shown = f" of the first {ROWS} channels" if count > ROWS else " of each channel" if count > 1 else ""
        kernels, letter = f"(a) The kernel{shown} by which it enters itself, in slices along z; {scale}.", "b"
        part = f"slice {result.excerpt.start} of the first channel"
    else:
        part = f"samples {result.excerpt.start} to {result.excerpt.start + result.excerpt.before.shape[1] - 1}"
        part += f" of the first {len(result.excerpt.before)} channels" if len(result.excerpt.before) < count else ""
        letter = chr(ord("a") + (count if count <= FEW else 2))
        if count == 1:
            kernels = f"(a) The kernel; {scale}."
        elif count <= FEW:
            last = chr(ord("a") + count - 1)
            between = "and" if count == 2 else "to"
            kernels = f"(a) {between} ({last}) Kernels of each output channel, a trace for each input channel; {scale}."
        else:
            kernels = (
                f"(a) The kernel of each channel by which it enters itself, from the first (dark) to the last (light)."
                f" (b) Weights at lag 0 between all channels; {scale}."
            )
    of_first = f" of the first {'signal' if result.axes == 'T' else 'volume'}" if len(result.deconvolved) > 1 else ""
    lag = "lag" if result.axes == "T" else "lag (the largest of those along z, y and x)"
    panels = [chr(ord(letter) + i) for i in range(3)]
    return (
        f"{result.source} ({result.counted}; {result.covariance.count:,} patches of {result.patch}) and its"
        f" deconvolution. {kernels} ({panels[0]}) Largest magnitude of a correlation between two channels, or of a"
        f" channel with itself, at each {lag}, before and after deconvolution. ({panels[1]}, {panels[2]})"
        f" {part.capitalize()}{of_first}, before and after, {'each channel' if result.axes == 'T' else 'each'} scaled"
        f" by itself. {result.ridge_words}; inverse square root by {result.config.method};"
        f" {precision_in_words(result.fit, ', ')}."
    )


def _heights(result: "SignalsResult", width: float) -> tuple[float, float]:
    """Return the heights in millimetres of the kernels and of the panels below them."""
    wide, count = is_wide(width), len(result.names)
    shown = len(result.excerpt.before)
    if result.axes == "ZYX":
        _, height, side = result.fit.kernel_size
        columns = _slice_count(result, width)
        row = min(0.7 * width / columns * height / side, 40.0)
        rows, columns_below = result.excerpt.before.shape[1:]
        picture = min(width * (0.33 if wide else 0.46) * rows / columns_below, 80.0)
        return min(count, ROWS) * (row + 4) + 14, (picture + 14 if wide else picture + 0.45 * width + 24)
    traces = 18 + 5.5 * shown
    if wide:
        return (50.0 if count <= FEW else 62.0), max(48.0, traces)
    if count <= FEW:
        return (52.0 if count == 1 else 44.0 * math.ceil(count / 2) + 8), 44 + 2 * traces
    return 112.0, 44 + 2 * traces


def _lags(result: "SignalsResult", count: int) -> tuple[Array, str]:
    """Return lags from -count to count, and the name of their axis."""
    lags = np.arange(-count, count + 1.0)
    return (lags, "lag / samples") if result.rate is None else (1000 / result.rate * lags, "lag / ms")


def _draw_traces(fig: FigureBase, result: "SignalsResult", norm: SymLogNorm, width: float) -> list[Axes]:
    """Draw the kernels of signals."""
    kernels, names, count = result.kernels, result.names, len(result.names)
    half = kernels.shape[-1] // 2
    lags, label = _lags(result, half)
    size = float(np.clip(0.35 * width / kernels.shape[-1], 1.0, 3.0))
    if count > FEW:
        across = (1, 2) if is_wide(width) else (2, 1)
        axes = fig.subplots(*across)
        for i, colour in enumerate(_viridis(count)):
            axes[0].plot(lags, kernels[i, i], color=colour, linewidth=0.6)
        _name_traces(axes[0], norm, label)
        _draw_weights(fig, axes[1], result, norm, width)
        return list(axes)
    across = (1, count) if is_wide(width) or count == 1 else (math.ceil(count / 2), 2)
    panels = fig.subplots(*across, squeeze=False, sharey=True)
    axes = list(panels.ravel())
    for unused in axes[count:]:
        unused.set_visible(False)
    for i, ax in enumerate(axes[:count]):
        for j in sorted(range(count), key=lambda j: j == i):  # its own above the others
            ax.plot(lags, kernels[i, j], label=f"from {names[j]}", markersize=size, **LINES[j])
        _name_traces(ax, norm, label)
        ax.label_outer(remove_inner_ticks=False)
        if count > 1:
            ax.set_title(f"output {names[i]}")
    if count > 1:
        handles, labels = axes[0].get_legend_handles_labels()
        order = np.argsort([names.index(text.removeprefix("from ")) for text in labels])
        labels = [labels[i] for i in order]
        columns = legend_columns(labels, width)
        fig.legend([handles[i] for i in order], labels, loc="outside lower center", ncols=columns)
    return axes[:count]


def _name_traces(ax: Axes, norm: SymLogNorm, label: str) -> None:
    ax.axhline(0, color="0.7", linewidth=0.5, zorder=0)
    scale_axis(ax, norm)
    low, high = ax.get_ylim()
    ax.set_ylim(1.3 * low, 1.3 * high)  # room for the markers
    ax.set_xlabel(label)
    ax.set_ylabel("weight")


def _draw_weights(fig: FigureBase, ax: Axes, result: "SignalsResult", norm: SymLogNorm, width: float) -> None:
    """Draw the weights at the centre between all channels."""
    count = len(result.names)
    image = ax.imshow(result.kernels[..., result.kernels.shape[-1] // 2], cmap=DIVERGING, norm=norm)
    _draw_bar(fig, image, [ax], norm)
    step = math.ceil(count / (16 if is_wide(width) else 8))
    ticks = range(0, count, step)
    for axis, words in ((ax.xaxis, "from channel"), (ax.yaxis, "to channel")):
        axis.set_ticks(list(ticks), [result.names[i] for i in ticks])
        axis.set_label_text(words)
    if max(map(len, result.names)) > 2:
        ax.tick_params(axis="x", labelrotation=90)


def _draw_bar(fig: FigureBase, image: Any, axes: list[Axes], norm: SymLogNorm) -> None:  # noqa: ANN401
    bar = fig.colorbar(image, ax=axes, ticks=weight_ticks(norm), aspect=25, pad=0.02, fraction=0.06)
    bar.ax.yaxis.set_major_formatter("{x:g}")
    bar.ax.minorticks_off()
    bar.set_label("weight")


def _viridis(count: int) -> Array:
    import matplotlib

    return np.asarray(matplotlib.colormaps["viridis"](np.linspace(0, 0.9, count)))


def _slice_count(result: "SignalsResult", width: float) -> int:
    return min(result.fit.kernel_size[0], SLICES if is_wide(width) else SLICES_NARROW)


def _draw_slices(fig: FigureBase, result: "SignalsResult", norm: SymLogNorm, width: float) -> list[Axes]:
    """Draw the channels' own kernels of volumes, a row for each channel with a panel for each slice."""
    depth, height, side = result.fit.kernel_size
    columns, rows = _slice_count(result, width), min(len(result.names), ROWS)
    axes = fig.subplots(rows, columns, squeeze=False)
    extent = (-side / 2, side / 2, height / 2, -height / 2)
    for (i, place), ax in np.ndenumerate(axes):
        z = place - columns // 2
        image = ax.imshow(result.kernels[i, i, depth // 2 + z], cmap=DIVERGING, norm=norm, extent=extent)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(3, integer=True, min_n_ticks=1))
        ax.tick_params(labelleft=place == 0, labelbottom=i == rows - 1)
        if i == 0:
            # In a narrow figure only the middle has room for the name beside the letter of the panel.
            words = f"Δz = {z}" if is_wide(width) or z == 0 else f"{z}"
            ax.set_title(words.replace("-", "−"))
        if place == 0:
            ax.set_ylabel("Δy / voxels" if rows == 1 else f"{result.names[i]}\nΔy / voxels")
        if i == rows - 1 and place == columns // 2:
            ax.set_xlabel("Δx / voxels")
    _draw_bar(fig, image, list(axes.ravel()), norm)
    return [axes[0, 0]]


def _further_axes(fig: FigureBase, result: "SignalsResult", width: float) -> list[Axes]:
    """Return the panels of correlations, and of the data before and after."""
    if is_wide(width):
        return list(fig.subplots(1, 3, width_ratios=[1, 1.25, 1.25] if result.axes == "T" else [1, 1, 1]))
    if result.axes == "T":
        shown = 18 + 5.5 * len(result.excerpt.before)
        return list(fig.subplots(3, 1, height_ratios=[44, shown, shown]))
    grid = fig.add_gridspec(2, 2, height_ratios=[1, 1.1])
    return [fig.add_subplot(grid[0, :]), fig.add_subplot(grid[1, 0]), fig.add_subplot(grid[1, 1])]


def _draw_correlations(ax: Axes, result: "SignalsResult") -> None:
    """Draw the strongest correlation at each lag, before and after."""
    half = max(result.fit.kernel_size) // 2
    lags, label = _lags(result, half)
    drawn = False
    for side, correlations in (("before", result.correlations_before), ("after", result.correlations_after)):
        values = _by_lag(np.abs(others(correlations)))
        if np.isfinite(values).any():
            ax.plot(lags[half:], values, marker="o", markersize=2, label=side, **SIDES[side])
            drawn = True
    if not drawn:
        say_empty(ax, "a single element has no correlation")
        return
    ax.set_ylim(0, 1)
    ax.set_xlabel("|lag|" + label.removeprefix("lag") if result.axes == "T" else "lag / voxels")
    ax.set_ylabel("largest |correlation|")
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=result.rate is None, min_n_ticks=1))
    ax.legend(loc="upper right")


def _by_lag(size: Array) -> Array:
    """Return the largest of the magnitudes (C, C, k, ...) at each distance from the centre."""
    sides = size.shape[2:]
    distance = np.max(np.meshgrid(*(np.abs(np.arange(k) - k // 2) for k in sides), indexing="ij"), axis=0)
    largest = np.where(np.isfinite(size), size, -1).max((0, 1))
    values = np.array([largest[distance == lag].max() for lag in range(max(sides) // 2 + 1)])
    return np.where(values < 0, np.nan, values)


def _draw_excerpts(before: Axes, after: Axes, result: "SignalsResult") -> None:
    """Draw a part of the data before and after deconvolution."""
    for ax, values, words in ((before, result.excerpt.before, "before"), (after, result.excerpt.after, "after")):
        if result.axes == "ZYX":
            end = float(np.percentile(np.abs(values[0]), COVERED)) or 1.0
            ax.imshow(values[0], cmap="gray", vmin=-end, vmax=end, interpolation="nearest")
            ax.set(xticks=[], yticks=[], xlabel=f"{words} (z = {result.excerpt.start})")
            continue
        start, length = result.excerpt.start, values.shape[1]
        times, label = np.arange(start, start + length, dtype=float), "sample"
        if result.rate is not None:
            times, label = times / result.rate, "time / s"
        for i, trace in enumerate(values):
            end = float(np.abs(trace).max()) or 1.0
            colour = LINES[i]["color"] if len(result.names) <= FEW else BLACK
            ax.plot(times, 0.48 * trace / end - i, color=colour, linewidth=0.6)
        ax.set_yticks(-np.arange(len(values)), result.names[: len(values)])
        ax.set_ylim(0.4 - len(values), 0.6)
        ax.set_xlim(times[0], times[-1] if length > 1 else times[0] + 1)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel(f"{label}, {words}" if label == "sample" else f"{label} ({words})")
        ax.xaxis.set_major_locator(MaxNLocator(5))
