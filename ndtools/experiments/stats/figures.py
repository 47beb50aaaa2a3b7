"""All figures of ``ndtools stats``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.stats.figure import caption_stats, plot_stats

__all__ = ["FIGURES"]

FIGURES = {"": Picture(plot_stats, caption_stats)}
