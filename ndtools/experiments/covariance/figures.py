"""All figures of ``ndtools covariance``."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ndtools.drawing.style import PAGE
from ndtools.experiments.covariance.figure import plot_correlation, plot_covariance

if TYPE_CHECKING:
    from ndtools.experiments.covariance.result import CovarianceResult

__all__ = ["draw"]


def draw(result: "CovarianceResult", *, width: float = PAGE, title: bool = True) -> dict[str, Figure]:
    """Draw the covariances ("") and the correlations ("correlation")."""
    return {
        "": plot_covariance(result, width=width, title=title),
        "correlation": plot_correlation(result, width=width, title=title),
    }
