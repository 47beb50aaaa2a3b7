"""Pictures of the covariance and correlation of patches before and after deconvolution (Ye et al. 2020, fig. 3)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ndtools.drawing.channels import shown_channels
from ndtools.drawing.palette import DIVERGING
from ndtools.drawing.style import PAGE, add_letters, add_title, drawing_style, is_wide, new_figure, width_of
from ndtools.numerics.colour import units_in_words
from ndtools.text import in_space, precision_in_words, ridge_in_words, source_name

if TYPE_CHECKING:
    from ndtools.experiments.covariance.result import CovarianceResult, MeanCorrelation

__all__ = [
    "NO_VARIANCE",
    "THICK",
    "caption_correlation",
    "caption_covariance",
    "name_blocks",
    "plot_correlation",
    "plot_covariance",
]

NAMES = ("before", "after")
NO_VARIANCE = "0.8"  # colour of features without correlations
MOST_NAMED = 8  # channels whose names have room, and whose patches have room for lines
ROWS_SHOWN = 7  # side of the largest patches whose rows are marked by lines
BAR, THICK = 18.0, 2.5  # millimetres that the colour bar takes with its labels and without


def plot_covariance(
    result: "CovarianceResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw Cov and D Cov D, each in units of its mean variance, on one colour scale.

    Parameters
    ----------
    result : CovarianceResult
        Result of :func:`ndtools.experiments.covariance.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With two heat maps, whose blocks are named by channel, and a colour bar.
    """
    scaled = [matrix / variance for matrix, variance in zip(_matrices(result), _variances(result), strict=True)]
    limit = max(float(np.abs(matrix).max()) for matrix in scaled) or 1.0
    heading = f"Covariance of patches of {_named(result)}" if title else ""
    return _draw(result, scaled, limit, "covariance / mean variance", heading, width, fig)


def plot_correlation(
    result: "CovarianceResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the correlations of Cov and of D Cov D, on a colour scale from -1 to 1.

    Parameters
    ----------
    result : CovarianceResult
        Result of :func:`ndtools.experiments.covariance.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With two heat maps, whose blocks are named by channel, and a colour bar. Features without variance, which have
        no correlations, are grey.
    """
    heading = f"Correlation of patches of {_named(result)}" if title else ""
    return _draw(result, result.correlations(), 1.0, "correlation", heading, width, fig)


def caption_covariance(result: "CovarianceResult") -> str:
    """Say in words what the figure of :func:`plot_covariance` shows."""
    before, after = _variances(result)
    return (
        f"Covariance of the pixels of {_patches(result)}. (a) Covariance Cov before deconvolution, in units of its mean"
        f" variance {before:.3g}. (b) Covariance D Cov D after it, in units of its mean variance {after:.3g}."
        f" {_layout(result)} {_how(result)}"
    )


def caption_correlation(result: "CovarianceResult") -> str:
    """Say in words what the figure of :func:`plot_correlation` shows."""
    none = any(np.isnan(matrix).any() for matrix in result.correlations())
    return (
        f"Correlation of the pixels of {_patches(result)}. (a) Before deconvolution{_words(result.before)}. (b) After"
        f" it{_words(result.after)}. {_layout(result)}"
        + (" Pixels without variance, which have no correlations, are grey." if none else "")
        + f" {_how(result)}"
    )


def _matrices(result: "CovarianceResult") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return result.covariance.matrix.numpy(), result.whitened


def _variances(result: "CovarianceResult") -> list[float]:
    return [float(matrix.diagonal().mean()) or 1.0 for matrix in _matrices(result)]


def _draw(
    result: "CovarianceResult",
    matrices: "list[NDArray[np.float64]] | tuple[NDArray[np.float64], NDArray[np.float64]]",
    limit: float,
    quantity: str,
    heading: str,
    width: float,
    fig: Figure | None,
) -> Figure:
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        panel = (width - (BAR if wide else 0) - 11) / 2
        fig = new_figure(fig, width, panel + (12 if wide else 25) + (6 if heading else 0))
        axes = list(fig.subplots(1, 2))
        colours = DIVERGING.with_extremes(bad=NO_VARIANCE)
        for ax, matrix, name in zip(axes, matrices, NAMES, strict=True):
            mesh = ax.imshow(matrix, cmap=colours, vmin=-limit, vmax=limit, interpolation="nearest")
            name_blocks(ax, matrix, result.channels, result.config.kernel_size)
            ax.set_title(name)
            ax.set_xlabel("channel, pixel")
        axes[0].set_ylabel("channel, pixel")
        axes[1].tick_params(labelleft=False)
        length = panel if wide else width - 12
        bar = fig.colorbar(
            mesh,
            ax=axes,
            location="right" if wide else "bottom",
            aspect=length / THICK,
            pad=0.02,
            ticks=MaxNLocator(4),
        )
        bar.set_label(quantity)
        add_letters(axes)
        if heading:
            add_title(fig, heading)
    return fig


def name_blocks(ax: Axes, matrix: NDArray[np.float64], names: Sequence[str], k: int) -> None:
    """Name the blocks of channels at the axes of a heat map, and part them, and the rows of small patches, by lines.

    Of many channels, the first, the middle and the last are named, and lines part no rows.
    """
    channels = len(names)
    size = len(matrix) // channels
    middles = np.arange(channels) * size + (size - 1) / 2
    named = list(range(channels)) if channels <= MOST_NAMED else shown_channels(channels)
    ax.set_xticks(middles[named], [names[i] for i in named])
    ax.set_yticks(middles[named], [names[i] for i in named])
    ax.tick_params(length=0)
    thick = 0.6 if channels <= MOST_NAMED else 0.2
    for edge in np.arange(1, channels) * size - 0.5:
        ax.axhline(edge, color="k", linewidth=thick)
        ax.axvline(edge, color="k", linewidth=thick)
    if 2 <= k <= ROWS_SHOWN and channels <= MOST_NAMED:
        for edge in np.arange(1, channels * k) * k - 0.5:
            ax.axhline(edge, color="0.6", linewidth=0.2)
            ax.axvline(edge, color="0.6", linewidth=0.2)


def _named(result: "CovarianceResult") -> str:
    return f"{source_name(result.source)}{in_space(result.config.space)}"


def _patches(result: "CovarianceResult") -> str:
    k = result.config.kernel_size
    return (
        f"{result.covariance.count:.3g} {k}×{k} patches of {result.source} ({result.images.counted};"
        f" {units_in_words(result.config.space)})"
    )


def _layout(result: "CovarianceResult") -> str:
    few = len(result.channels) <= MOST_NAMED
    lines = "; thin lines part the rows" if few and 2 <= result.config.kernel_size <= ROWS_SHOWN else ""
    blocks = "" if result.covariance.channels == 1 else "Blocks are channels. "
    return f"{blocks}Within a channel, pixels follow row by row{lines}."


def _how(result: "CovarianceResult") -> str:
    config = result.config
    exact = "exact inverse square root"
    method = exact if config.method == "eigh" else f"{config.iterations} {config.method} Newton-Schulz iterations"
    fit = result.deconvolution
    ridge = ridge_in_words(fit, result.ridge)
    return f"Deconvolution D = (Cov + eps·I)^(-1/2): {ridge}, {method}, {precision_in_words(fit, ', ')}."


def _words(correlation: "MeanCorrelation") -> str:
    parts = {
        "within channels": correlation.within_channel,
        "across channels": correlation.across_channels,
    }
    found = " and ".join(f"{value:.3g} {name}" for name, value in parts.items() if value is not None)
    return f" (mean absolute correlation {found})" if found else " (no correlations)"
