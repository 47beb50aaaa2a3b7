"""All figures of ``ndtools sparsity``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.sparsity.figure import caption_sparsity, plot_sparsity

__all__ = ["FIGURES"]

FIGURES = {
    "": Picture(plot_sparsity, caption_sparsity),
}
