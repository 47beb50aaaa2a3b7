"""All figures of ``ndtools deconvolve``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.deconvolve.figure import caption_deconvolve, plot_deconvolve

__all__ = ["FIGURES"]

FIGURES = {
    "": Picture(plot_deconvolve, caption_deconvolve),
}
