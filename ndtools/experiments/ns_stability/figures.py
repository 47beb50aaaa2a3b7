"""The figure of ``ndtools ns-stability``: residuals by iteration or, for a sweep, the precision atlas."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ndtools.experiments.ns_stability.figure import plot_ns_stability
from ndtools.experiments.ns_stability.figure_atlas import plot_precision_atlas

if TYPE_CHECKING:
    from ndtools.experiments.ns_stability.result import NsStabilityResult

__all__ = ["draw"]


def draw(result: "NsStabilityResult") -> Figure:
    """Draw the sweep over condition numbers if there is one, else the residuals by iteration."""
    return plot_precision_atlas(result.atlas) if result.atlas else plot_ns_stability(result)
