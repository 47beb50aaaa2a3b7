"""All figures of ``ndtools compare``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.compare.figure import caption_compare, plot_compare

__all__ = ["FIGURES"]

FIGURES = {
    "": Picture(plot_compare, caption_compare),
}
