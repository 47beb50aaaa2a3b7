"""Picture of what the stages of deconvolution layers cost (Ye et al. 2020, table 3)."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ndtools.drawing.axes import plain_ticks
from ndtools.drawing.palette import METHODS
from ndtools.drawing.style import PAGE, SMALL, add_letters, add_title, drawing_style, new_figure, width_of
from ndtools.experiments.timing.table import PUBLISHED_BATCH_SIZE
from ndtools.text import counted, percent

if TYPE_CHECKING:
    from ndtools.experiments.timing.result import RowTiming, TimingResult

__all__ = ["PANELS", "caption_timing", "plot_timing", "sorted_rows"]

PANELS = {
    "total": "sum",
    "im2col": "im2col",
    "covariance": "covariance",
    "inverse": "inverse root",
}
STYLES: dict[str, dict[str, Any]] = {
    "published": {**METHODS["published"], "markerfacecolor": "none"},
    "measured": METHODS["reference"],
    "ours": METHODS["deconv"],
}
NAMES = {
    "published": "published (on the authors' CPU)",
    "measured": "the published code's arithmetic, measured",
    "ours": "this project's layer, measured",
}
# What a layer is: a heading, and its width in characters.
COLUMNS = {"image": 8, "channels": 8, "kernel": 6, "stride": 6, "block": 5}
ROW, ROW_NARROW = 3.4, 2.7  # millimetres, beside each other and one above the other
CHARACTER = 0.62 * SMALL  # points
IN_A_ROW, IN_COLUMNS = 150.0, 80.0  # millimetres of width at which there is room for that
GAP = 0.06  # inches at the sides of each panel, so that labels of ticks of neighbours are apart
LEADING = 1.6  # times as long is a decade of the sum as one of a single stage
SHARE = "time / convolution"
LEAST = 1e-5  # share that is drawn: of what took no time
LEAST_DECADES = 2.0  # of an axis: it has two labels at least


def plot_timing(
    result: "TimingResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the stages' times as shares of the convolution's, layer by layer, their sum first.

    Parameters
    ----------
    result : TimingResult
        Result of :func:`ndtools.experiments.timing.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 150 the single stages stand below their sum,
        and below 80 layers have short labels.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With logarithmic axes for the sum, im2col, covariance and inverse; the last three have one scale. Layers
        are sorted by the published sum, the largest on top. A line marks the convolution's time where it is in range.
    """
    rows = sorted_rows(result)
    limits = [_limits(result, stage) for stage in PANELS]
    decades = [high - low for low, high in limits]
    with drawing_style():
        width = width_of(fig, width)
        wide = width >= IN_A_ROW
        height = (ROW if wide else ROW_NARROW) * max(len(rows), 3)
        fig = new_figure(fig, width, height + 30 if wide else 2 * height + 50)
        layout: Any = fig.get_layout_engine()
        layout.set(w_pad=GAP)
        if wide:
            axes = list(fig.subplots(1, 4, width_ratios=[LEADING * decades[0], *decades[1:]]))
        else:
            grid = fig.add_gridspec(2, 1)
            below = grid[1].subgridspec(1, 3, width_ratios=decades[1:])
            axes = [fig.add_subplot(grid[0]), *(fig.add_subplot(below[i]) for i in range(3))]
        for ax, stage, (low, high) in zip(axes, PANELS, limits, strict=True):
            _draw(ax, rows, stage)
            roomy = width >= IN_COLUMNS or stage == "total"
            ax.set_title(PANELS[stage] if roomy else PANELS[stage][:3])
            ax.set_xlim(10**low, 10**high)
            plain_ticks(ax.xaxis)
            if not roomy:
                ends = 10.0 ** np.array([math.ceil(low), math.floor(high)])
                ax.set_xticks(ends, [f"{end:g}" for end in ends])
            ax.set_yticks(range(len(rows)), [""] * len(rows))
            ax.tick_params("y", length=0)
        for ax in (axes[0], axes[2]):  # the middle one of the single stages: their axes may be narrower than the label
            ax.set_xlabel(SHARE)
        if width >= IN_COLUMNS:
            _name_layers(axes[0], rows)
        else:
            axes[0].set_yticklabels([f"{row.layer.label}  {row.layer.number}" for row in rows])
        if not wide:
            axes[1].set_yticklabels([str(row.layer.number) for row in rows])
        add_letters(axes)
        handles, names = axes[0].get_legend_handles_labels()
        fig.legend(handles, names, loc="outside lower center", ncols=len(names) if wide else 1)
        if title:
            add_title(fig, "Cost of the stages of deconvolution layers")
    return fig


def caption_timing(result: "TimingResult") -> str:
    """Say in words what the figure of :func:`plot_timing` shows."""
    config = result.config
    threads = f", {counted(result.threads, 'thread')}" if result.device == "cpu" else ""
    direction = "forward and backward (published: forward)" if config.backward else "forward"
    medians = ", ".join(
        f"{percent(float(np.median([row.shares(arm)['total'] for row in result.rows])))} {words}"
        for arm, words in (
            ("published", "as published"),
            ("measured", "for the published code's arithmetic measured here"),
            ("ours", "for this project's layer"),
        )
    )
    left_out = f" Rows left out: {', '.join(str(row.number) for row in result.left_out)}." if result.left_out else ""
    return (
        f"Time of the stages of deconvolution layers, {direction}, in units of the time of the layer's convolution,"
        " for the layers of table 3 of Ye et al. 2020, sorted by the published sum. (a) Sum of the three stages; its"
        f" median is {medians}. (b) Sampling of patches (im2col). (c) Covariance. (d) Inverse square root. The number"
        " of a row is that in the table; image: height and width in pixels; channels: of input → output; kernel: in"
        " pixels; stride: between sampled patches, in pixels; block: channels that are decorrelated together. Measured"
        f" on {result.processor}{threads}, in float32, with batches of {config.batch_size}; medians of"
        f" {config.repeats}. The inverse takes as long for any batch, and is given for {PUBLISHED_BATCH_SIZE} images as"
        f" published.{left_out}"
    )


def sorted_rows(result: "TimingResult") -> list["RowTiming"]:
    """Return the rows by their published sum, the largest first: in the same order for every machine."""
    return sorted(result.rows, key=lambda row: row.shares("published")["total"], reverse=True)


def _limits(result: "TimingResult", stage: str) -> tuple[float, float]:
    """Return the decimal logarithms of the ends of an axis."""
    shares = [max(row.shares(arm)[stage], LEAST) for row in result.rows for arm in NAMES]
    low, high = np.log10(min(shares)) - 0.25, np.log10(max(shares)) + 0.25
    return float(min(low, high - LEAST_DECADES)), float(high)


def _draw(ax: Axes, rows: Sequence["RowTiming"], stage: str) -> None:
    places = np.arange(len(rows))
    ax.set_xscale("log")
    ax.axvline(1, color="0.3", linewidth=0.6, zorder=0)
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    for place in places[::2]:
        ax.axhspan(place - 0.5, place + 0.5, color="0.965", linewidth=0, zorder=-1)
    for arm, style in STYLES.items():
        shares = [max(row.shares(arm)[stage], LEAST) for row in rows]
        ax.plot(shares, places, label=NAMES[arm], **{**style, "linestyle": ""})
    ax.set_ylim(len(places) - 0.5, -0.5)


def _name_layers(ax: Axes, rows: Sequence["RowTiming"]) -> None:
    """Write what each layer is at the left of its row, in columns with headings."""
    right = 0.0
    cells = [_cells(row) for row in rows]
    for column, (heading, length) in reversed(list(enumerate(COLUMNS.items(), start=1))):
        for place, texts in enumerate(cells):
            _write(ax, texts[column], (-4 - right, 0), place)
        _write(ax, heading, (-4 - right, 3), None)
        right += CHARACTER * (length + 0.8)
    for place, texts in enumerate(cells):
        _write(ax, texts[0], (-4 - right, 0), place)
    _write(ax, "row", (-4 - right, 3), None)


def _cells(row: "RowTiming") -> tuple[str, ...]:
    layer = row.layer
    return (
        str(layer.number),
        f"{layer.size}×{layer.size}",
        f"{layer.in_channels}→{layer.out_channels}",
        f"{layer.kernel_size}×{layer.kernel_size}",
        str(layer.sampling_stride),
        str(layer.block_size),
    )


def _write(ax: Axes, text: str, offset: tuple[float, float], place: int | None) -> None:
    """Write at the left of a row, or of the top of the panel; the offset is in points."""
    ax.annotate(
        text,
        (0, 1 if place is None else place),
        xycoords=ax.transAxes if place is None else ax.get_yaxis_transform(),
        xytext=offset,
        textcoords="offset points",
        ha="right",
        va="bottom" if place is None else "center",
        fontsize=SMALL,
        annotation_clip=False,
    )
