"""All figures of ``ndtools sparsity``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.drawing.ridge import caption_ridge, chosen_ridges, plot_ridge
from ndtools.experiments.sparsity.figure import caption_sparsity, plot_sparsity
from ndtools.experiments.sparsity.figure_series import caption_sparsity_series, plot_sparsity_series

__all__ = ["FIGURES", "SERIES"]

RIDGE = {"ridge": Picture(plot_ridge, caption_ridge, wanted=lambda result: bool(chosen_ridges(result)))}
FIGURES = {
    "": Picture(plot_sparsity, caption_sparsity),
    **RIDGE,
}
SERIES = {
    "": Picture(plot_sparsity_series, caption_sparsity_series),
    **RIDGE,
}
