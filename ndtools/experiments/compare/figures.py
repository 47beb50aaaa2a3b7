"""All figures of ``ndtools compare``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.compare.caption import caption_compare
from ndtools.experiments.compare.figure import plot_compare

__all__ = ["FIGURES"]

FIGURES = {
    "": Picture(plot_compare, caption_compare),
}
