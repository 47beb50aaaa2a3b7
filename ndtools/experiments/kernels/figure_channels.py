"""Picture of how many channels are correlated, and how their kernels weigh each other."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter
from numpy.typing import NDArray

from ndtools.drawing.channels import shown_channels
from ndtools.drawing.palette import DIVERGING
from ndtools.drawing.style import PAGE, add_letters, add_title, drawing_style, new_figure, width_of
from ndtools.drawing.weights import weight_norm, weight_ticks
from ndtools.text import ridge_in_words, source_name

if TYPE_CHECKING:
    from ndtools.experiments.kernels.result import KernelsResult

__all__ = ["caption_kernel_channels", "plot_kernel_channels", "wants_channels"]

FEW = 3  # channels up to which the figure of the kernels shows all
MOST_NAMED = 12  # channels whose names have room at an axis
BAR = 14.0  # millimetres of height that a colour bar takes with its labels


def wants_channels(result: "KernelsResult") -> bool:
    """Return whether the kernels have more channels than their own figure shows one by one."""
    return len(result.channels) > FEW


def plot_kernel_channels(
    result: "KernelsResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the correlation of all pairs of channels at a pixel, and the weights of their kernels at the centre.

    Parameters
    ----------
    result : KernelsResult
        Result of :func:`ndtools.experiments.kernels.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With two heat maps, each with a colour bar below it. Channels without variance have no correlations: grey.
    """
    names = [channel.name for channel in result.channels]
    centres = _centres(result)
    norm = weight_norm(centres)
    with drawing_style():
        width = width_of(fig, width)
        fig = new_figure(fig, width, width / 2 + BAR + 6 * title)
        axes = list(fig.subplots(1, 2))
        colours = DIVERGING.with_extremes(bad="0.8")
        correlation = axes[0].imshow(_correlations(result), cmap=colours, vmin=-1, vmax=1, interpolation="nearest")
        weights = axes[1].imshow(centres, cmap=colours, norm=norm, interpolation="nearest")
        for ax in axes:
            _name_channels(ax, names)
            ax.set_xlabel("from channel")
        axes[0].set_ylabel("to channel")
        axes[1].tick_params(labelleft=False)
        bars = [
            fig.colorbar(correlation, ax=axes[0], location="bottom", ticks=[-1, -0.5, 0, 0.5, 1], aspect=30, pad=0.02),
            fig.colorbar(weights, ax=axes[1], location="bottom", ticks=weight_ticks(norm)[::3], aspect=30, pad=0.02),
        ]
        for bar, label in zip(bars, ("correlation at a pixel", "weight at the centre"), strict=True):
            bar.ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            bar.ax.xaxis.set_minor_locator(NullLocator())
            bar.set_label(label)
        add_letters(axes)
        if title:
            add_title(fig, f"{len(names)} channels of {source_name(result.source)}")
    return fig


def caption_kernel_channels(result: "KernelsResult") -> str:
    """Say in words what the figure of :func:`plot_kernel_channels` shows."""
    k, norm = result.config.kernel_size, weight_norm(_centres(result))
    grey = " Channels without variance, which have no correlations, are grey." if _lacks_variance(result) else ""
    return (
        f"The {len(result.channels)} channels of {result.source} ({result.images.counted},"
        f" {result.covariance.count:.3g} patches; {result.images.values_in_words(result.config.space)})."
        f" (a) Correlation of the channels at the same pixel.{grey}"
        f" (b) Weight at the centre of each {k}×{k} kernel, by output channel (rows) and input"
        f" channel (columns), on a scale that is linear within ±{norm.linthresh:.2g} and logarithmic beyond."
        f" {ridge_in_words(result.deconvolution, result.ridge)}."
    )


def _centres(result: "KernelsResult") -> NDArray[np.float64]:
    middle = result.config.kernel_size // 2
    return np.asarray(result.kernels[:, :, middle, middle])


def _correlations(result: "KernelsResult") -> NDArray[np.float64]:
    middle = result.config.kernel_size // 2
    return np.asarray(result.covariance.correlations_of_centre().numpy()[:, :, middle, middle])


def _lacks_variance(result: "KernelsResult") -> bool:
    return bool(np.isnan(_correlations(result)).any())


def _name_channels(ax: Axes, names: list[str]) -> None:
    """Name all channels at both axes, or of many the first, the middle and the last."""
    places = list(range(len(names))) if len(names) <= MOST_NAMED else shown_channels(len(names))
    ax.set_xticks(places, [names[i] for i in places])
    ax.set_yticks(places, [names[i] for i in places])
    ax.tick_params(length=2)
