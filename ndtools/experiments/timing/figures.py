"""The figure of ``ndtools timing``, with its caption."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.timing.figure import caption_timing, plot_timing

__all__ = ["FIGURES"]

FIGURES = {
    "": Picture(plot_timing, caption_timing),
}
