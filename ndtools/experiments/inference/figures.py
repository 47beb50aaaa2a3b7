"""The figure of ``ndtools inference``, with its caption."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.inference.figure import caption_inference, plot_inference

__all__ = ["FIGURES"]

FIGURES = {
    "": Picture(plot_inference, caption_inference),
}
