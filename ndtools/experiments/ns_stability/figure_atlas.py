"""Picture of up to which condition number each iteration works in each precision."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ndtools.drawing.axes import plain_ticks
from ndtools.drawing.palette import ALGORITHMS
from ndtools.drawing.style import PAGE, add_title, drawing_style, is_wide, new_figure, width_of

if TYPE_CHECKING:
    from ndtools.experiments.ns_stability.atlas import PrecisionAtlas

__all__ = ["caption_precision_atlas", "plot_precision_atlas"]

GOOD = 1e-3  # residual that is good enough, as in the printed table
EPSILON = {"bfloat16": 2.0**-7, "float16": 2.0**-10, "float32": 2.0**-23, "float64": 2.0**-52}
ROW = 3.6  # millimetres
CROSS: dict[str, Any] = {"color": "k", "linestyle": "", "marker": "x", "markersize": 4}
LIMIT: dict[str, Any] = {"color": "k", "linewidth": 0.7, "linestyle": ":"}


def plot_precision_atlas(
    atlas: "PrecisionAtlas", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw up to which condition number every run reaches a residual of 1e-3, and from which the first is not finite.

    Parameters
    ----------
    atlas : PrecisionAtlas
        Result of :func:`ndtools.experiments.ns_stability.atlas.run_atlas`.
    width : float
        Width of the figure in print, millimetres. Default 180.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With one axes, a row for each algorithm and precision: a bar up to the condition number that is reached, a
        cross at that of the first run that is not finite, and a short line where ε·κ = 1, ε the machine epsilon.
    """
    limits = atlas.limits(GOOD)
    conditions = atlas.arrays()["sweep_conditions"]
    names = list(dict.fromkeys(row[0] for row in limits))
    # Half a row sets algorithms apart.
    places = [i + 0.5 * names.index(row[0]) for i, row in enumerate(limits)]
    with drawing_style():
        width = width_of(fig, width)
        fig = new_figure(fig, width, 27 + ROW * places[-1] + (0 if is_wide(width) else 6))
        ax = fig.add_subplot()
        lowest, highest = conditions[0] / 3, conditions[-1] * 3
        for place, (algorithm, dtype, reached, lost) in zip(places, limits, strict=True):
            colour = ALGORITHMS[algorithm]["color"]
            if reached is not None:
                ax.barh(place, reached - lowest, left=lowest, height=0.6, color=colour)
            if lost is not None:
                ax.plot(lost, place, **CROSS)
            ax.plot([1 / EPSILON[dtype]] * 2, [place - 0.42, place + 0.42], **LIMIT)
        ax.set_xscale("log")
        _label(ax, places, limits)
        ax.set_xlim(lowest, highest)
        ax.set_ylim(places[-1] + 0.7, -0.7)
        handles = [
            Patch(color="0.5", label=f"residual {GOOD:g} reached up to κ"),
            Line2D([], [], label="first run that is not finite", **CROSS),
            Line2D([], [], label="ε·κ = 1", **LIMIT),
        ]
        fig.legend(handles=handles, loc="outside lower center", ncols=3 if is_wide(width) else 1)
        if title:
            add_title(fig, "Largest condition number by algorithm and precision")
    return fig


def caption_precision_atlas(atlas: "PrecisionAtlas") -> str:
    """Say in words what the figure of :func:`plot_precision_atlas` shows."""
    conditions = atlas.arrays()["sweep_conditions"]
    return (
        f"Inverse square roots of {atlas.features}×{atlas.features} matrices by {atlas.iterations} iterations of each"
        f" algorithm in each precision, for condition numbers κ from {conditions[0]:.2g} to {conditions[-1]:.0e}, with"
        " the stretched spectrum of the images and a log-uniform one, divided by the Frobenius norm or the trace"
        f" ({len(atlas.cells)} runs). Bars end at the largest κ up to which all these runs reach a residual"
        f" ‖D·D·A − I‖ of {GOOD:g}; where there is no bar, some run misses it at the smallest κ. The last κ is"
        " the largest that was run. Crosses: the smallest κ at which some"
        " run is not finite. Dotted lines: ε·κ = 1, ε the machine epsilon; beyond, A is not positive definite to that"
        " precision. Denman-Beavers needs an inverse, which does not exist in half precision."
    )


def _label(ax: Axes, places: list[float], limits: "list[tuple[str, str, float | None, float | None]]") -> None:
    """Name algorithms and precisions at the left, and the axis below."""
    ax.set_yticks(places, [f"{algorithm}, {dtype}" for algorithm, dtype, *_ in limits])
    ax.tick_params("y", length=0)
    ax.set_xlabel("condition number κ")
    plain_ticks(ax.xaxis)
    ax.grid(axis="x", color="0.9")
    ax.set_axisbelow(True)
    for place, following in zip(places, np.array(places[1:]), strict=False):
        if following - place > 1:
            ax.axhline((place + following) / 2, color="0.7", linewidth=0.5)
