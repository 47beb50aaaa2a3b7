"""Panels that figures of compared sets share: pictures of kernels and of their differences, and curves of each set."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, SymLogNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from ndtools.drawing.axes import plain_numbers, plain_ticks
from ndtools.drawing.channels import shown_channels
from ndtools.drawing.kernel_maps import draw_colours, draw_map, tick_pixels
from ndtools.drawing.palette import BLUE, DIVERGING, GREEN, VERMILION
from ndtools.drawing.weights import LINEAR_LENGTH, LINEAR_SHARE, weight_norm
from ndtools.text import source_name

if TYPE_CHECKING:
    from ndtools.experiments.compare_sets.measures import SetMeasures
    from ndtools.experiments.compare_sets.result import CompareSetsResult

__all__ = [
    "add_error_bar",
    "add_set_legend",
    "draw_correlations",
    "draw_kernel",
    "draw_pair",
    "draw_responses",
    "difference_norm",
    "draw_with_band",
    "kernel_norm",
    "look",
    "middle",
    "pair_name",
]

Array = NDArray[np.float64]

_LOOKS: dict[str, dict[str, Any]] = {
    "A": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "B": {"color": VERMILION, "linestyle": "--", "marker": "^"},
    "C": {"color": GREEN, "linestyle": ":", "marker": "s"},
}
LEAST = 1e-4  # of the end of a scale: least linear part
_STEPS = (2, 4, 8, 16)  # standard errors at which the colours of differences change
_TWO = 2.0  # standard errors on either side of a curve that its band covers
_FEW = 12  # points, from which on a curve has no markers


def look(name: str) -> dict[str, Any]:
    """Return the colour, dash and marker of a set."""
    return _LOOKS[name]


def middle(result: "CompareSetsResult") -> int:
    """Return the output channel that is shown: the one in the middle, which is green, or the only one."""
    return len(result.sets[0].kernels) // 2


def pair_name(names: Sequence[str]) -> str:
    """Return the name of the difference of a pair of sets, as in "A − B"."""
    return " − ".join(names)


def kernel_norm(result: "CompareSetsResult") -> SymLogNorm:
    """Return one scale for the kernels of all sets: linear up to the median weight at most, so that surrounds show.

    Parameters
    ----------
    result : CompareSetsResult
        Sets that are compared.

    Returns
    -------
    SymLogNorm
        A scale that ends as `weight_norm` does. Large ridges leave surrounds whose weights are a thousandth of the
        centre, and differ by many standard errors.
    """
    weights = np.abs(np.concatenate([each.kernels.ravel() for each in result.sets]))
    norm = weight_norm(weights)
    median = float(np.median(weights[weights > 0])) if weights.any() else norm.linthresh
    end = LINEAR_SHARE * norm.linthresh
    linear = min(norm.linthresh, max(float(f"{median:.0e}"), LEAST * end))
    return SymLogNorm(linthresh=linear, linscale=LINEAR_LENGTH, vmin=-end, vmax=end, base=10)


def difference_norm(results: "Sequence[CompareSetsResult]") -> SymLogNorm:
    """Return one scale for all differences of weights."""
    pairs = [pair for result in results for pair in result.pairs]
    return weight_norm(np.concatenate([(first.kernels - second.kernels).ravel() for first, second in pairs]))


def draw_kernel(ax: Axes, measures: "SetMeasures", channel: int, norm: SymLogNorm) -> None:
    """Draw the kernels of an output channel as a colour picture, or the only kernel of grey images as a map.

    Of more than three input channels, the first, the middle and the last are shown.
    """
    if len(measures.kernels) > 1:
        draw_colours(ax, measures.kernels[channel][shown_channels(len(measures.kernels))], norm)
    else:
        draw_map(ax, measures.kernels[0, 0], norm)
    tick_pixels(ax)


def draw_pair(ax: Axes, result: "CompareSetsResult", pair: int, norm: SymLogNorm) -> AxesImage:
    """Draw the difference of the own kernels of the middle channel, in steps of standard errors, or of their weights.

    Parameters
    ----------
    ax : Axes
        Empty panel to draw in.
    result : CompareSetsResult
        Sets that are compared.
    pair : int
        Place of the pair in the differences of the result.
    norm : SymLogNorm
        Scale of differences of weights, from `difference_norm`.

    Returns
    -------
    AxesImage
        The picture, for a colour bar. Without standard errors, it is the difference of the weights.
    """
    channel, z = middle(result), result.in_errors(pair)
    if z is None:
        first, second = result.pairs[pair]
        image = draw_map(ax, (first.kernels - second.kernels)[channel, channel], norm)
    else:
        ends = [-step for step in reversed(_STEPS)] + list(_STEPS)
        image = draw_map(ax, z[channel, channel], BoundaryNorm(ends, DIVERGING.N, extend="both"))
    tick_pixels(ax)
    return image


def add_error_bar(fig: Figure | SubFigure, image: AxesImage, axes: Sequence[Axes]) -> None:
    """Add the colour bar of differences in standard errors below panels."""
    bar = fig.colorbar(image, ax=list(axes), location="bottom", aspect=40, pad=0.02, shrink=0.8)
    if isinstance(image.norm, BoundaryNorm):
        bar.set_ticks([-step for step in reversed(_STEPS)] + list(_STEPS))
        bar.set_label("difference / standard errors")
    else:
        end = float(image.get_clim()[1] or 1.0)
        ticks = [-end, -end / 10, 0.0, end / 10, end]
        bar.set_ticks(ticks, labels=plain_numbers(ticks))
        bar.set_label("difference of weights")
    bar.ax.xaxis.set_minor_locator(NullLocator())


def draw_with_band(
    ax: Axes,
    x: Array,
    y: Array,
    error: Array | None,
    *,
    positive: bool = False,
    **style: Any,  # noqa: ANN401
) -> None:
    """Draw a curve with a band of two standard errors on either side."""
    if len(x) > _FEW:
        style = style | {"marker": ""}
    ax.plot(x, y, markersize=2.5, **style)
    if error is not None:
        low = y - _TWO * error
        if positive:
            low = np.maximum(low, 1e-3 * y)
        ax.fill_between(x, low, y + _TWO * error, color=style["color"], alpha=0.25, linewidth=0)


def draw_correlations(ax: Axes, result: "CompareSetsResult") -> None:
    """Draw the correlation of pixels of the same channel against their distance, a curve for each set."""
    for each in result.sets:
        found = each.correlations
        x = np.arange(len(found.by_distance), dtype=np.float64)
        draw_with_band(ax, x, found.by_distance, found.by_distance_error, **look(each.name))
    tick_pixels(ax, vertical=False)
    ax.set_xlabel("distance / pixels")
    ax.set_ylabel("correlation")
    ax.set_ylim(top=1.02)


def draw_responses(ax: Axes, result: "CompareSetsResult") -> None:
    """Draw the frequency responses of the middle channel's own kernel on logarithmic axes, a curve for each set."""
    channel = middle(result)
    for each in result.sets:
        error = None if each.response_error is None else each.response_error[channel]
        draw_with_band(ax, each.frequency, each.response[channel], error, positive=True, **look(each.name))
    ax.set_xscale("log")
    ax.set_yscale("log")
    plain_ticks(ax.xaxis)
    plain_ticks(ax.yaxis)
    ax.set_xlabel("cycles per pixel")
    ax.set_ylabel("|H|")


def add_set_legend(fig: Figure, result: "CompareSetsResult", *, columns: int, length: int) -> None:
    """Name the sets below all panels, with names of at most ``length`` letters."""
    handles = [Line2D([], [], **look(each.name)) for each in result.sets]
    names = [f"{each.name}: {source_name(each.source, length)}" for each in result.sets]
    fig.legend(handles, names, loc="outside lower center", ncols=columns)
