"""Picture of kernels measured as cells are: profile, frequency response, opponency."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter, SymmetricalLogLocator

from ndtools.drawing.palette import CHANNELS, DIVERGING
from ndtools.text import shortened, with_error

if TYPE_CHECKING:
    from ndtools.experiments.kernels.cells import CellMeasures
    from ndtools.experiments.kernels.result import KernelsResult

__all__ = ["plot_kernel_fit"]

HEIGHT, BELOW = 3.6, 1.3  # of the panels and of what is under them, inches


def plot_kernel_fit(result: "KernelsResult", *, fig: Figure | None = None) -> Figure:
    """Draw radial profiles with their fits, frequency responses, and how channels oppose each other.

    Parameters
    ----------
    result : KernelsResult
        From :func:`ndtools.experiments.kernels.run.run` with ``fit``.
    fig : Figure, optional
        An empty figure to draw on.

    Returns
    -------
    Figure
        Radial means (with the scatter over the pixels of each ring) and differences of Gaussians; mean |H| over
        orientations, with the slopes; the weights of a uniform image. Grey images have no map of these weights: the one
        number is in the title.

    Raises
    ------
    ValueError
        If the result has no fits.
    """
    if not result.cells:
        raise ValueError("result has no fits: run with KernelsConfig(fit=True)")
    channels, values = len(result.channels), result.opponency
    width, height = 14.6 if channels > 1 else 10.2, HEIGHT + BELOW + 0.85
    fig = fig or Figure(figsize=(width, height))
    panels = [(0.8, 4.4), (6.0, 3.9), *([(10.75, 2.6), (13.55, 0.13)] if channels > 1 else [])]
    profile, response, *opponents = (
        fig.add_axes((left / width, BELOW / height, wide / width, HEIGHT / height)) for left, wide in panels
    )
    _draw_profiles(profile, result)
    _draw_responses(response, result)
    if opponents:
        weights, bar = opponents
        _draw_opponency(weights, bar, result)
    whole = "" if channels > 1 else f"; sum of weights / sum of |weights|: {values[0, 0]:.2g}"
    k, eps = result.config.kernel_size, result.deconvolution.eps
    fig.suptitle(
        f"{k}×{k} kernels of {shortened(result.source)}, eps {eps:.3g}: each channel's own kernel{whole}",
        fontsize="medium",
        y=1 - 0.1 / height,
    )
    return fig


def _draw_opponency(weights: Axes, bar: Axes, result: "KernelsResult") -> None:
    """Draw the weights of a uniform image as a map with a colour bar."""
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
    place = bar.get_position()
    bar.set_position((place.x0, box.y0 + box.height * 0.14, place.width, box.height * 0.72))
    weights.figure.colorbar(mesh, cax=bar)


def _draw_profiles(ax: Axes, result: "KernelsResult") -> None:
    k = result.config.kernel_size
    largest = max(float(np.abs(cell.profile.mean).max()) for cell in result.cells)
    radius = np.linspace(0, k // 2, 60 * (k // 2) + 1)
    for i, (channel, cell) in enumerate(zip(result.channels, result.cells, strict=True)):
        style = CHANNELS[channel.name]
        shift = 0.12 * (i - (len(result.cells) - 1) / 2)  # so that none hides another
        if cell.dog:
            line = {"color": style["color"], "linestyle": style["linestyle"]}
            ax.plot(radius, cell.dog.radial(radius), linewidth=1, **line)
        ax.errorbar(
            cell.profile.radius + shift,
            cell.profile.mean,
            cell.profile.standard_deviation,
            color=style["color"],
            marker=style["marker"],
            markersize=4,
            linestyle="none",
            linewidth=0.8,
            label=_words(channel.name, cell),
        )
    ax.axhline(0, color="0.7", linewidth=0.8)
    ax.set_yscale("symlog", linthresh=largest / 1000, linscale=0.6)
    lowest = min(float((cell.profile.mean - cell.profile.standard_deviation).min()) for cell in result.cells)
    highest = max(float((cell.profile.mean + cell.profile.standard_deviation).max()) for cell in result.cells)
    ax.set_ylim(min(2 * lowest, -largest / 500), max(2 * highest, largest / 500))
    ax.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=largest / 100))
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.set_xlabel("distance from the centre / pixels")
    ax.set_ylabel("weight (linear within 1/1000 of the largest)")
    ax.set_title("mean over rings; bars: scatter of a ring's pixels\nlines: difference of Gaussians", fontsize="small")
    _legend_below(ax)


def _words(name: str, cell: "CellMeasures") -> str:
    """Say what was fitted, a line for each channel under the panel."""
    dog = cell.dog
    if dog is None:
        return name if cell.varies else f"{name}: no variance"
    center, surround = (
        f"{bound} {limit:.2g}" if bound and limit is not None else with_error(sigma, cell.errors.get(key))
        for sigma, bound, limit, key in (
            (dog.center_sigma, dog.center_bound, dog.center_limit, "center_sigma"),
            (dog.surround_sigma, dog.surround_bound, dog.surround_limit, "surround_sigma"),
        )
    )
    misfit = "-" if dog.residual_off_center is None else f"{dog.residual_off_center:.0%}"
    if not dog.surround_volume:
        return f"{name}: σc {center} px, no surround, misfit off centre {misfit}"
    ratio = with_error(dog.volume_ratio, cell.errors.get("volume_ratio"), 2)
    return f"{name}: σc {center}, σs {surround} px, volumes {ratio}, misfit off centre {misfit}"


def _legend_below(ax: Axes) -> None:
    box = (0.5, -0.14)
    ax.legend(fontsize="x-small", frameon=False, loc="upper center", bbox_to_anchor=box, borderaxespad=0)


def _draw_responses(ax: Axes, result: "KernelsResult") -> None:
    for channel, cell in zip(result.channels, result.cells, strict=True):
        style, r = CHANNELS[channel.name], cell.response
        label = channel.name
        if r.low_frequency_slope is not None:
            label += f": slope {with_error(r.low_frequency_slope, cell.errors.get('low_frequency_slope'), 2)}"
            label += f" over {r.low_band[0]:.2g}-{r.low_band[1]:.2g} cycles/pixel"
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
    _legend_below(ax)
