"""Picture of kernels measured as cells are: profile, frequency response, opponency."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter, SymmetricalLogLocator

from ndtools.plotting.kernels import DIVERGING, STYLES

if TYPE_CHECKING:
    from ndtools.experiments.kernels import KernelsResult

__all__ = ["plot_kernel_fit"]

HEIGHT = 3.6  # of the panels, inches


def plot_kernel_fit(result: "KernelsResult", *, fig: Figure | None = None) -> Figure:
    """Draw radial profiles with their fits, frequency responses, and how channels oppose each other.

    Parameters
    ----------
    result : KernelsResult
        From :func:`ndtools.experiments.kernels.run` with ``fit``.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        Radial means (with the standard deviation over each ring) and differences of Gaussians; mean |H| over
        orientations, with the slopes; the weights of a uniform image.

    Raises
    ------
    ValueError
        If the result has no fits.
    """
    if not result.cells:
        raise ValueError("result has no fits: run with KernelsConfig(fit=True)")
    width, height = 14.6, HEIGHT + 1.5
    fig = fig or Figure(figsize=(width, height))
    profile, response, weights, bar = (
        fig.add_axes((left / width, 0.65 / height, wide / width, HEIGHT / height))
        for left, wide in ((0.8, 4.4), (6.0, 3.9), (10.75, 2.6), (13.55, 0.13))
    )
    _draw_profiles(profile, result)
    _draw_responses(response, result)
    names = [channel.name for channel in result.channels]
    values = result.opponency
    limit = float(np.abs(values).max()) or 1.0
    mesh = weights.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit)
    for (i, j), value in np.ndenumerate(values):
        colour = "w" if abs(value) > 0.6 * limit else "k"
        weights.text(j, i, f"{value:.2g}", ha="center", va="center", fontsize="small", color=colour)
    weights.set_xticks(range(len(names)), [f"from {name}" for name in names])
    weights.set_yticks(range(len(names)), [f"to {name}" for name in names])
    weights.set_title("opponency: sum of weights /\nsum of |weights| of the row", fontsize="small")
    box = weights.get_position()
    bar.set_position((13.55 / width, box.y0 + box.height * 0.14, 0.13 / width, box.height * 0.72))
    fig.colorbar(mesh, cax=bar)
    k, source = result.config.kernel_size, result.source
    fig.suptitle(
        f"{k}×{k} kernels of {source if len(source) <= 60 else '…' + source[-59:]}, eps {result.deconvolution.eps:.3g}:"
        " each channel's own kernel",
        fontsize="medium",
        y=1 - 0.1 / height,
    )
    return fig


def _draw_profiles(ax: Axes, result: "KernelsResult") -> None:
    k = result.config.kernel_size
    largest = max(float(np.abs(cell.profile.mean).max()) for cell in result.cells)
    for i, (channel, cell) in enumerate(zip(result.channels, result.cells, strict=True)):
        style = STYLES[channel.name]
        shift = 0.12 * (i - (len(result.cells) - 1) / 2)  # so that none hides another
        label = channel.name
        if cell.dog:
            dog = cell.dog
            center = f"σc {'≤ ' if dog.at_bound and dog.center_sigma < 0.051 else ''}{dog.center_sigma:.2g}"
            label += (
                f": {center}, σs {dog.surround_sigma:.3g} px, volumes {dog.volume_ratio:.2g}, misfit {dog.residual:.0%}"
            )
            fitted = _radial(dog.kernel(k))
            ax.plot(
                cell.profile.radius + shift, fitted, color=style["color"], linestyle=style["linestyle"], linewidth=1
            )
        ax.errorbar(
            cell.profile.radius + shift,
            cell.profile.mean,
            cell.profile.standard_deviation,
            color=style["color"],
            marker=style["marker"],
            markersize=4,
            linestyle="none",
            linewidth=0.8,
            label=label,
        )
    ax.axhline(0, color="0.7", linewidth=0.8)
    ax.set_yscale("symlog", linthresh=largest / 1000, linscale=0.6)
    lowest = min(float((cell.profile.mean - cell.profile.standard_deviation).min()) for cell in result.cells)
    highest = max(float((cell.profile.mean + cell.profile.standard_deviation).max()) for cell in result.cells)
    ax.set_ylim(min(2 * lowest, -largest / 500), max(3 * highest, largest / 500))
    ax.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=largest / 100))
    ax.set_xlabel("distance from the centre / pixels")
    ax.set_ylabel("weight (linear within 1/1000 of the largest)")
    ax.set_title("radial mean ± standard deviation; lines: difference of Gaussians", fontsize="small")
    ax.legend(fontsize="x-small", frameon=False, loc="upper right")


def _radial(
    kernel: "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Mean over rings of width 1, as in the radial profile."""
    half = len(kernel) // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    ring = np.rint(np.hypot(x, y)).astype(int)
    return np.array([kernel[ring == r].mean() for r in range(half + 1)])


def _draw_responses(ax: Axes, result: "KernelsResult") -> None:
    for channel, cell in zip(result.channels, result.cells, strict=True):
        style, r = STYLES[channel.name], cell.response
        label = channel.name if r.low_frequency_slope is None else f"{channel.name}: slope {r.low_frequency_slope:.2f}"
        ax.plot(
            r.frequency, r.magnitude, color=style["color"], linestyle=style["linestyle"], linewidth=1.4, label=label
        )
    first = result.cells[0].response
    low, high = first.low_band
    if first.low_frequency_slope is not None:
        band = np.array([low, high])
        middle = float(np.interp(np.sqrt(low * high), first.frequency, first.magnitude))
        ax.plot(band, 0.5 * middle * band / np.sqrt(low * high), color="k", linewidth=0.9)
        ax.text(high, 0.5 * middle * high / np.sqrt(low * high), " slope 1", fontsize="x-small", va="top")
        ax.axvspan(low, high, color="0.95", zorder=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("spatial frequency / cycles per pixel")
    ax.set_ylabel("mean |H| over orientations", labelpad=2)
    ax.set_title("frequency response; grey: where the slope is taken", fontsize="small")
    ax.legend(fontsize="small", frameon=False, loc="upper left")
