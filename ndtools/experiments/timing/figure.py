"""Picture of what the stages of deconvolution layers cost (Ye et al. 2020, table 3)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ndtools.text import counted, percent

if TYPE_CHECKING:
    from ndtools.experiments.timing.result import TimingResult

__all__ = ["plot_timing"]

PANELS = {
    "im2col": "im2col",
    "covariance": "covariance",
    "inverse": "inverse square root",
    "total": "sum of the three",
}
STYLES: dict[str, dict[str, Any]] = {
    "published": {"color": "0.35", "marker": "o", "markerfacecolor": "none", "markersize": 7.5},
    "measured": {"color": "#d98c00", "marker": "^", "markersize": 5},
    "ours": {"color": "#2166ac", "marker": "s", "markersize": 4.5},
}
NAMES = {
    "published": "published (on the authors' CPU)",
    "measured": "the published code's arithmetic, measured",
    "ours": "this project's layer, measured",
}
WIDTH = 12.5  # inches
ROW, ABOVE, BELOW = 0.235, 0.85, 0.9
LEFT, GAP, RIGHT = 1.95, 0.25, 0.2
LEAST = 1e-5  # share that is drawn: of what took no time
LEAST_DECADES = 2.0  # of an axis: it has two labels at least


def plot_timing(result: "TimingResult", *, fig: Figure | None = None) -> Figure:
    """Draw the stages' times as shares of the convolution's, row by row.

    Parameters
    ----------
    result : TimingResult
        Result of :func:`ndtools.experiments.timing.run.run`.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        With logarithmic axes for im2col, covariance, inverse and their sum, all on one scale; a line marks the
        convolution's time where it is in range.
    """
    count = len(result.rows)
    height = ABOVE + BELOW + ROW * max(count, 3)
    fig = fig or Figure(figsize=(WIDTH, height))
    limits = [_limits(result, stage) for stage in PANELS]
    decades = sum(high - low for low, high in limits)
    inches = (WIDTH - LEFT - RIGHT - (len(PANELS) - 1) * GAP) / decades
    left = LEFT
    for i, (stage, title) in enumerate(PANELS.items()):
        low, high = limits[i]
        wide = inches * (high - low)
        ax = fig.add_axes((left / WIDTH, BELOW / height, wide / WIDTH, 1 - (ABOVE + BELOW) / height))
        left += wide + GAP
        _draw(ax, result, stage)
        ax.set_title(title, fontsize="medium")
        ax.set_xlim(10**low, 10**high)
        labels = [f"{row.layer.label}  {row.layer.number:>2}" for row in result.rows]
        ax.set_yticks(range(count), labels if i == 0 else [""] * count, fontsize="small")
        ax.tick_params("y", length=0)
    handles, names = fig.axes[0].get_legend_handles_labels()
    fig.legend(handles, names, loc="lower center", ncols=len(names), fontsize="small", frameon=False)
    fig.supxlabel("time of the stage / time of the layer's convolution", fontsize="medium", y=0.33 / height)
    fig.suptitle(_title(result), fontsize="medium", y=1 - 0.1 / height)
    return fig


def _limits(result: "TimingResult", stage: str) -> tuple[float, float]:
    """Return the decimal logarithms of the ends of an axis. All have the same scale."""
    shares = [max(row.shares(arm)[stage], LEAST) for row in result.rows for arm in NAMES]
    low, high = np.log10(min(shares)) - 0.25, np.log10(max(shares)) + 0.25
    return float(min(low, high - LEAST_DECADES)), float(high)


def _draw(ax: Axes, result: "TimingResult", stage: str) -> None:
    places = np.arange(len(result.rows))
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(numticks=9))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(share, digits=6)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params("x", labelsize="small")
    ax.axvline(1, color="0.3", linewidth=0.8, zorder=0)
    ax.grid(axis="x", color="0.9", linewidth=0.6)
    ax.set_axisbelow(True)
    for place in places[::2]:
        ax.axhspan(place - 0.5, place + 0.5, color="0.965", linewidth=0, zorder=-1)
    for arm, style in STYLES.items():
        shares = [max(row.shares(arm)[stage], LEAST) for row in result.rows]
        ax.plot(shares, places, linestyle="", label=NAMES[arm], **style)
    ax.set_ylim(len(places) - 0.5, -0.5)


def _title(result: "TimingResult") -> str:
    config = result.config
    threads = f", {counted(result.threads, 'thread')}" if result.device == "cpu" else ""
    direction = "forward and backward (published: forward)" if config.backward else "forward"
    return (
        f"Cost of the stages of deconvolution layers, {direction};"
        f" k: kernel, S: sampling stride, B: channels decorrelated together\n"
        f"measured: {result.processor}{threads}, float32, batches of {config.batch_size}, median of {config.repeats};"
        f" the inverse, once a batch, per 128 images as published"
    )
