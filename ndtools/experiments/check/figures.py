"""All figures of ``ndtools check``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.check.figure import caption_check, plot_check

__all__ = ["FIGURES"]

FIGURES = {
    "": Picture(plot_check, caption_check),
}
