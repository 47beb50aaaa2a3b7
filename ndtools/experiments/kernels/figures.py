"""All figures of ``ndtools kernels``."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ndtools.experiments.kernels.figure import plot_kernels
from ndtools.experiments.kernels.figure_bootstrap import plot_kernel_bootstrap
from ndtools.experiments.kernels.figure_fit import plot_kernel_fit

if TYPE_CHECKING:
    from ndtools.experiments.kernels.result import KernelsResult

__all__ = ["draw"]


def draw(result: "KernelsResult") -> dict[str, Figure]:
    """Draw the kernels (""), and if they were asked for their fits ("fit") and their errors ("bootstrap")."""
    figures = {"": plot_kernels(result)}
    if result.cells:
        figures["fit"] = plot_kernel_fit(result)
    if result.bootstrap:
        figures["bootstrap"] = plot_kernel_bootstrap(result)
    return figures
