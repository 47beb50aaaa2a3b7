"""All figures of ``ndtools kernels``, and their captions."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ndtools.drawing.style import PAGE
from ndtools.experiments.kernels.figure import caption_kernels, plot_kernels
from ndtools.experiments.kernels.figure_bootstrap import caption_kernel_bootstrap, plot_kernel_bootstrap
from ndtools.experiments.kernels.figure_fit import caption_kernel_fit, plot_kernel_fit

if TYPE_CHECKING:
    from ndtools.experiments.kernels.result import KernelsResult

__all__ = ["captions", "draw"]

FIGURES = {
    "": (plot_kernels, caption_kernels),
    "fit": (plot_kernel_fit, caption_kernel_fit),
    "bootstrap": (plot_kernel_bootstrap, caption_kernel_bootstrap),
}


def draw(result: "KernelsResult", *, width: float = PAGE, title: bool = True) -> dict[str, Figure]:
    """Draw the kernels (""), and if they were asked for their fits ("fit") and their errors ("bootstrap").

    Parameters
    ----------
    result : KernelsResult
        Result of :func:`ndtools.experiments.kernels.run.run`.
    width : float
        Width of the figures in print, millimetres. Default 180.
    title : bool
        Whether the figures have titles. Default True.

    Returns
    -------
    dict of str to Figure
        Figures by what is added to the file name.
    """
    return {name: FIGURES[name][0](result, width=width, title=title) for name in _names(result)}


def captions(result: "KernelsResult") -> dict[str, str]:
    """Return the captions of the figures that `draw` draws, by the same names."""
    return {name: FIGURES[name][1](result) for name in _names(result)}


def _names(result: "KernelsResult") -> list[str]:
    return ["", *(["fit"] if result.cells else []), *(["bootstrap"] if result.bootstrap else [])]
