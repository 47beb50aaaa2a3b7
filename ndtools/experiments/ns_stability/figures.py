"""All figures of ``ndtools ns-stability``, with or without ``--sweep``, and their captions."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ndtools.drawing.pictures import Picture
from ndtools.experiments.ns_stability.figure import caption_ns_stability, plot_ns_stability
from ndtools.experiments.ns_stability.figure_atlas import caption_precision_atlas, plot_precision_atlas
from ndtools.experiments.ns_stability.figure_gains import caption_ns_gains, plot_ns_gains

if TYPE_CHECKING:
    from ndtools.experiments.ns_stability.result import NsStabilityResult

__all__ = ["FIGURES"]


def _plot_main(result: "NsStabilityResult", *, width: float, title: bool) -> Figure:
    """Draw the sweep, if it was run, and otherwise the residuals by iteration."""
    if result.atlas:
        return plot_precision_atlas(result.atlas, width=width, title=title)
    return plot_ns_stability(result, width=width, title=title)


def _caption_main(result: "NsStabilityResult") -> str:
    return caption_precision_atlas(result.atlas) if result.atlas else caption_ns_stability(result)


FIGURES = {
    "": Picture(_plot_main, _caption_main),
    "gains": Picture(plot_ns_gains, caption_ns_gains, wanted=lambda result: result.atlas is None),
}
