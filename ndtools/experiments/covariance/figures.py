"""All figures of ``ndtools covariance``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.drawing.ridge import caption_ridge, chosen_ridges, plot_ridge
from ndtools.drawing.spectrum import caption_spectrum, plot_spectrum, wants_spectrum
from ndtools.experiments.covariance.figure import (
    caption_correlation,
    caption_covariance,
    plot_correlation,
    plot_covariance,
)
from ndtools.experiments.covariance.figure_series import caption_covariance_series, plot_covariance_series

__all__ = ["FIGURES", "SERIES"]

OF_RIDGES = {
    "ridge": Picture(plot_ridge, caption_ridge, wanted=lambda result: bool(chosen_ridges(result))),
    "spectrum": Picture(plot_spectrum, caption_spectrum, wanted=wants_spectrum),
}
FIGURES = {
    "": Picture(plot_covariance, caption_covariance),
    "correlation": Picture(plot_correlation, caption_correlation),
    **OF_RIDGES,
}
SERIES = {
    "": Picture(plot_covariance_series, caption_covariance_series),
    **OF_RIDGES,
}
