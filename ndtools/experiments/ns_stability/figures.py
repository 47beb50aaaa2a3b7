"""All figures of ``ndtools ns-stability``, with or without ``--sweep``, and their captions."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ndtools.drawing.style import PAGE
from ndtools.experiments.ns_stability.figure import caption_ns_stability, plot_ns_stability
from ndtools.experiments.ns_stability.figure_atlas import caption_precision_atlas, plot_precision_atlas
from ndtools.experiments.ns_stability.figure_gains import caption_ns_gains, plot_ns_gains

if TYPE_CHECKING:
    from ndtools.experiments.ns_stability.result import NsStabilityResult

__all__ = ["captions", "draw"]


def draw(result: "NsStabilityResult", *, width: float = PAGE, title: bool = True) -> dict[str, Figure]:
    """Draw the residuals by iteration ("") and what iterations cost and do ("gains"); or the sweep (""), if it was run.

    Parameters
    ----------
    result : NsStabilityResult
        Result of :func:`ndtools.experiments.ns_stability.run.run`.
    width : float
        Width of the figures in print, millimetres. Default 180.
    title : bool
        Whether the figures have titles. Default True.

    Returns
    -------
    dict of str to Figure
        Figures by what is added to the file name.
    """
    if result.atlas:
        return {"": plot_precision_atlas(result.atlas, width=width, title=title)}
    return {
        "": plot_ns_stability(result, width=width, title=title),
        "gains": plot_ns_gains(result, width=width, title=title),
    }


def captions(result: "NsStabilityResult") -> dict[str, str]:
    """Return the captions of the figures that `draw` draws, by the same names."""
    if result.atlas:
        return {"": caption_precision_atlas(result.atlas)}
    return {"": caption_ns_stability(result), "gains": caption_ns_gains(result)}
