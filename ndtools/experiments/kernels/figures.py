"""All figures of ``ndtools kernels``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.drawing.ridge import caption_ridge, chosen_ridges, plot_ridge
from ndtools.drawing.spectrum import caption_spectrum, plot_spectrum, wants_spectrum
from ndtools.experiments.kernels.figure import caption_kernels, plot_kernels
from ndtools.experiments.kernels.figure_bootstrap import caption_kernel_bootstrap, plot_kernel_bootstrap
from ndtools.experiments.kernels.figure_channels import (
    caption_kernel_channels,
    plot_kernel_channels,
    wants_channels,
)
from ndtools.experiments.kernels.figure_fit import caption_kernel_fit, plot_kernel_fit
from ndtools.experiments.kernels.figure_series import caption_kernel_series, plot_kernel_series

__all__ = ["FIGURES", "SERIES"]

OF_RIDGES = {
    "ridge": Picture(plot_ridge, caption_ridge, wanted=lambda result: bool(chosen_ridges(result))),
    "spectrum": Picture(plot_spectrum, caption_spectrum, wanted=wants_spectrum),
}
FIGURES = {
    "": Picture(plot_kernels, caption_kernels),
    "channels": Picture(plot_kernel_channels, caption_kernel_channels, wanted=wants_channels),
    "fit": Picture(plot_kernel_fit, caption_kernel_fit, wanted=lambda result: bool(result.cells)),
    "bootstrap": Picture(plot_kernel_bootstrap, caption_kernel_bootstrap, wanted=lambda result: bool(result.bootstrap)),
    **OF_RIDGES,
}
SERIES = {
    "": Picture(plot_kernel_series, caption_kernel_series),
    **OF_RIDGES,
}
