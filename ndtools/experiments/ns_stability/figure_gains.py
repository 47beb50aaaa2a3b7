"""Picture of what iterations towards the inverse square root cost, and of what they do to each eigenvalue."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ndtools.drawing.axes import plain_ticks
from ndtools.drawing.palette import SIDES
from ndtools.drawing.style import (
    PAGE,
    add_letters,
    add_title,
    drawing_style,
    is_wide,
    new_figure,
    split_figure,
    width_of,
)
from ndtools.experiments.ns_stability.figure import (
    draw_curve,
    matrix_in_words,
    residual_axis,
    steps_in_a_sentence,
    style,
)
from ndtools.text import source_name

if TYPE_CHECKING:
    from ndtools.experiments.ns_stability.result import Curve, NsStabilityResult

__all__ = ["caption_ns_gains", "plot_ns_gains"]

PAIRED = 75.0  # millimetres from which two names stand in a row
LABELS = {
    "coupled": "coupled Newton-Schulz",
    "chebyshev": "coupled Chebyshev",
    "denman-beavers": "Denman-Beavers",
    "gram": "Gram Newton-Schulz",
}


def plot_ns_gains(
    result: "NsStabilityResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the stable algorithms by the matrix products that they cost, and what Newton-Schulz does to the spectrum.

    Parameters
    ----------
    result : NsStabilityResult
        Result of :func:`ndtools.experiments.ns_stability.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 the panels stand one above the other.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With two axes: residuals in the widest precision by products, and the factor by which n iterations of
        Newton-Schulz change the standard deviation along each eigenvector (times its inverse square root, so that 1
        is white), with the eigenvalues of A as ticks.
    """
    with drawing_style():
        width = width_of(fig, width)
        wide = is_wide(width)
        fig = new_figure(fig, width, (74 if wide else 116) + 6 * title)
        left, right = split_figure(fig, 1, 1, across=wide)
        by_product, spectrum = left.subplots(), right.subplots()
        _draw_products(by_product, result)
        _draw_gain(spectrum, result)
        add_letters([by_product, spectrum])
        handles = [Line2D([], [], label=LABELS[curve.algorithm], **style(curve)) for curve in _curves(result)]
        # Both legends have as many rows, so that the panels are of one height.
        left.legend(handles=handles, loc="outside lower center", ncols=2 if width >= PAIRED else 1)
        lines = spectrum.get_lines()[: len(result.arrays()["gain_iterations"])]
        right.legend(handles=lines, loc="outside lower center", ncols=3)
        if title:
            add_title(fig, f"Cost and partial whitening of iterations on {source_name(result.source)}")
    return fig


def caption_ns_gains(result: "NsStabilityResult") -> str:
    """Say in words what the figure of :func:`plot_ns_gains` shows."""
    costs = ", ".join(f"{LABELS[curve.algorithm]} {_cost(curve, result)}" for curve in _curves(result))
    return (
        f"Iterations towards the inverse square root of A. {matrix_in_words(result)}"
        f" (a) Residual of the stable algorithms in {result.widest} by the matrix products that they take; an inverse"
        f" counts as one. Products until twice the least residual: {costs}. (b) Partial whitening: the factor √λ·p(λ)"
        " by which n coupled iterations change the standard deviation along an eigenvector with eigenvalue λ, where 1"
        " is white. Ticks below: the eigenvalues of A." + steps_in_a_sentence(result)
    )


def _curves(result: "NsStabilityResult") -> list["Curve"]:
    return [curve for curve in result.curves if curve.dtype == result.widest and curve.algorithm in LABELS]


def _cost(curve: "Curve", result: "NsStabilityResult") -> str:
    floor = result.floor(curve.dtype)
    cost = curve.cost(floor)
    if cost is not None:
        return str(cost)
    return "none, as it diverges" if curve.diverges(floor) else "none, as its residual does not fall below 1"


def _draw_products(ax: Axes, result: "NsStabilityResult") -> None:
    residual_axis(ax, result)
    top = ax.get_ylim()[1]
    curves = _curves(result)
    ends = [c.diverges(result.floor(c.dtype)) or c.measured.settled_iteration or 1 for c in curves]
    right = 1.25 * max([*(int(c.products[n - 1]) for c, n in zip(curves, ends, strict=True)), 12])
    for curve in curves:
        shown = curve.products <= right
        draw_curve(ax, curve.products[shown], curve.residual[shown], top, curve)
    ax.set_xlim(-0.02 * right, right)
    ax.set_xlabel("matrix products")


def _draw_gain(ax: Axes, result: "NsStabilityResult") -> None:
    low, high = result.eigenvalues[0], result.eigenvalues[-1]
    values = np.geomspace(low / 3, min(high * 1.5, result.norm), 400)
    gains = result.gain(values)
    counts = result.arrays()["gain_iterations"]
    colours = colormaps["viridis"](np.linspace(0.75, 0, len(counts)))
    for n, gain, colour in zip(counts, gains, colours, strict=True):
        ax.plot(values, gain, color=colour, label=f"n = {n}")
    ax.axhline(1, color="0.7", linewidth=0.5, zorder=0)
    ax.vlines(
        result.eigenvalues, 0, 0.04, color=SIDES["before"]["color"], linewidth=0.6, transform=ax.get_xaxis_transform()
    )
    ax.set_xscale("log")
    ax.set_xlim(values[0], values[-1])
    ax.set_ylim(0, 1.08)
    plain_ticks(ax.xaxis)
    ax.set_xlabel("eigenvalue λ")
    ax.set_ylabel("gain √λ·p(λ), 1 = white")
