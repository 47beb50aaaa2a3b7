"""All figures of ``ndtools regress``."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ndtools.drawing.style import PAGE
from ndtools.experiments.regress.figure import plot_regress
from ndtools.experiments.regress.figure_kernels import plot_regress_kernels

if TYPE_CHECKING:
    from ndtools.experiments.regress.result import RegressResult

__all__ = ["draw"]


def draw(result: "RegressResult", *, width: float = PAGE, title: bool = True) -> dict[str, Figure]:
    """Draw the losses ("") and the kernels ("kernels")."""
    return {
        "": plot_regress(result, width=width, title=title),
        "kernels": plot_regress_kernels(result, width=width, title=title),
    }
