"""All figures of ``ndtools covariance``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.covariance.figure import (
    caption_correlation,
    caption_covariance,
    plot_correlation,
    plot_covariance,
)

__all__ = ["FIGURES"]

FIGURES = {
    "": Picture(plot_covariance, caption_covariance),
    "correlation": Picture(plot_correlation, caption_correlation),
}
