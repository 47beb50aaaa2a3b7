"""The figure of ``ndtools compare-sets``, with its caption: of one result, and of several ridges or kernel sizes."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.compare_sets.figure import caption_compare_sets, plot_compare_sets
from ndtools.experiments.compare_sets.figure_series import caption_compare_sets_series, plot_compare_sets_series

__all__ = ["FIGURES", "SERIES"]

FIGURES = {"": Picture(plot_compare_sets, caption_compare_sets)}
SERIES = {"": Picture(plot_compare_sets_series, caption_compare_sets_series)}
