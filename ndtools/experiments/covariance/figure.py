"""Picture of the covariance of patches before and after deconvolution (Ye et al. 2020, fig. 3)."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ndtools.drawing.palette import DIVERGING
from ndtools.text import ridge_in_words, shortened

if TYPE_CHECKING:
    from ndtools.experiments.covariance.result import CovarianceResult, MeanCorrelation

__all__ = ["plot_covariance"]

PANEL = 4.2  # inches


def plot_covariance(result: "CovarianceResult", *, fig: Figure | None = None) -> Figure:
    """Draw Cov and D Cov D, each in units of its mean variance, on one colour scale.

    Parameters
    ----------
    result : CovarianceResult
        Result of :func:`ndtools.experiments.covariance.run.run`.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        With two heat maps, whose blocks are named by channel, and a colour bar.
    """
    width, height = 2 * PANEL + 2.3, PANEL + 1.75
    fig = fig or Figure(figsize=(width, height))
    k, channels = result.config.kernel_size, result.covariance.channels
    sides = (
        (result.covariance.matrix.numpy(), "before: Cov", result.before),
        (result.whitened, "after: D Cov D", result.after),
    )
    variances = [float(matrix.diagonal().mean()) or 1.0 for matrix, *_ in sides]
    limit = max(float(np.abs(matrix).max()) / v for (matrix, *_), v in zip(sides, variances, strict=True)) or 1.0
    for i, ((matrix, name, correlation), variance) in enumerate(zip(sides, variances, strict=True)):
        left = 0.65 + i * (PANEL + 0.35)
        ax = fig.add_axes((left / width, 0.75 / height, PANEL / width, PANEL / height))
        mesh = ax.imshow(matrix / variance, cmap=DIVERGING, vmin=-limit, vmax=limit, interpolation="nearest")
        _name_blocks(ax, matrix, channels, k)
        ax.set_title(f"{name}, mean variance {variance:.3g}\n{_words(correlation)}", fontsize="small")
        if i:
            ax.tick_params(labelleft=False)
        else:
            ax.set_ylabel(f"channel, and pixel of the {k}×{k} patch row by row")
        ax.set_xlabel("channel, and pixel of the patch")
    bar_axes = fig.add_axes(((width - 0.85) / width, 0.75 / height, 0.15 / width, PANEL / height))
    fig.colorbar(mesh, cax=bar_axes).set_label("covariance / mean variance")
    fig.suptitle(_title(result), fontsize="medium", y=1 - 0.1 / height)
    return fig


def _name_blocks(ax: Axes, matrix: NDArray[np.float64], channels: int, k: int) -> None:
    names = ("R", "G", "B") if channels == 3 else ("gray",)
    size = len(matrix) // channels
    middles = np.arange(channels) * size + (size - 1) / 2
    ax.set_xticks(middles, names)
    ax.set_yticks(middles, names)
    ax.tick_params(length=0)
    for edge in np.arange(1, channels) * size - 0.5:
        ax.axhline(edge, color="k", linewidth=1.0)
        ax.axvline(edge, color="k", linewidth=1.0)
    if 2 <= k <= 7:  # the rows of the patch within each block
        for edge in np.arange(1, channels * k) * k - 0.5:
            ax.axhline(edge, color="0.6", linewidth=0.3)
            ax.axvline(edge, color="0.6", linewidth=0.3)


def _words(correlation: "MeanCorrelation") -> str:
    parts = {
        "within channels": correlation.within_channel,
        "across": correlation.across_channels,
    }
    found = ", ".join(f"{value:.3g} {name}" for name, value in parts.items() if value is not None)
    return f"mean |correlation| {found}" if found else "no correlations"


def _title(result: "CovarianceResult") -> str:
    config = result.config
    method = config.method if config.method == "eigh" else f"{config.method}, {config.iterations} iterations"
    return (
        f"{shortened(result.source)}: {result.images.counted}, {result.covariance.count:.3g} patches\n"
        f"{ridge_in_words(result.deconvolution)}, {method}, condition {result.deconvolution.condition:.3g}"
    )
