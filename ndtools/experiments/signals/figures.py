"""All figures of ``ndtools signals``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.signals.figure import caption_signals, plot_signals

__all__ = ["FIGURES"]

FIGURES = {"": Picture(plot_signals, caption_signals)}
