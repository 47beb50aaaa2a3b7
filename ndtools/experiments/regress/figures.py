"""All figures of ``ndtools regress``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.regress.figure import caption_regress, plot_regress
from ndtools.experiments.regress.figure_kernels import caption_regress_kernels, plot_regress_kernels

__all__ = ["FIGURES"]

FIGURES = {
    "": Picture(plot_regress, caption_regress),
    "kernels": Picture(plot_regress_kernels, caption_regress_kernels),
}
