"""All figures of ``ndtools features``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.features.figure import caption_features, plot_features

__all__ = ["FIGURES"]

FIGURES = {
    "": Picture(plot_features, caption_features),
}
