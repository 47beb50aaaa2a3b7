"""All figures of ``ndtools mlp``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.mlp.figure import caption_mlp, plot_mlp

__all__ = ["FIGURES"]

FIGURES = {
    "": Picture(plot_mlp, caption_mlp),
}
