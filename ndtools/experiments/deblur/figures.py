"""All figures of ``ndtools deblur``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.deblur.figure import caption_deblur, plot_deblur

__all__ = ["FIGURES"]

FIGURES = {
    "": Picture(plot_deblur, caption_deblur),
}
