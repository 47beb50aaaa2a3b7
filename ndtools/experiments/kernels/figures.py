"""All figures of ``ndtools kernels``, with their captions."""

from ndtools.drawing.pictures import Picture
from ndtools.experiments.kernels.figure import caption_kernels, plot_kernels
from ndtools.experiments.kernels.figure_bootstrap import caption_kernel_bootstrap, plot_kernel_bootstrap
from ndtools.experiments.kernels.figure_fit import caption_kernel_fit, plot_kernel_fit

__all__ = ["FIGURES"]

FIGURES = {
    "": Picture(plot_kernels, caption_kernels),
    "fit": Picture(plot_kernel_fit, caption_kernel_fit, wanted=lambda result: bool(result.cells)),
    "bootstrap": Picture(plot_kernel_bootstrap, caption_kernel_bootstrap, wanted=lambda result: bool(result.bootstrap)),
}
