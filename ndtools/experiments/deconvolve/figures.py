"""All figures of ``ndtools deconvolve``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.drawing.ridge import caption_ridge, chosen_ridges, plot_ridge
from ndtools.experiments.deconvolve.figure import caption_deconvolve, plot_deconvolve
from ndtools.experiments.deconvolve.figure_series import caption_deconvolve_series, plot_deconvolve_series
from ndtools.experiments.deconvolve.set_figure import caption_deconvolved_set, plot_deconvolved_set

__all__ = ["FIGURES", "SERIES", "SETS"]

RIDGE = {"ridge": Picture(plot_ridge, caption_ridge, wanted=lambda result: bool(chosen_ridges(result)))}
FIGURES = {
    "": Picture(plot_deconvolve, caption_deconvolve),
    **RIDGE,
}
SERIES = {
    "": Picture(plot_deconvolve_series, caption_deconvolve_series),
    **RIDGE,
}
SETS = {
    "": Picture(plot_deconvolved_set, caption_deconvolved_set),
    **RIDGE,
}
