"""Picture of the first images of a set, before and after deconvolution."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ndtools.drawing.style import PAGE, add_title, drawing_style, new_figure, width_of
from ndtools.experiments.deconvolve.figure import HIGHEST, NAMED, show
from ndtools.text import counted, in_space, source_name

if TYPE_CHECKING:
    from ndtools.experiments.deconvolve.set_result import DeconvolvedSet

__all__ = ["caption_deconvolved_set", "plot_deconvolved_set"]


def plot_deconvolved_set(
    result: "DeconvolvedSet", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the first images of a set, each above its deconvolution.

    Parameters
    ----------
    result : DeconvolvedSet
        Result of :func:`ndtools.experiments.deconvolve.set_run.run_set`.
    width : float
        Width of the figure in print, millimetres. Default 180.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With a column for each of up to four images.
    """
    across = max(1, len(result.samples))
    tallest = max((sample.before.shape[0] / sample.before.shape[1] for sample in result.samples), default=1.0)
    with drawing_style():
        width = width_of(fig, width)
        height = 2 * (width / max(across, 2) * tallest + NAMED) + 6.0 * title
        fig = new_figure(fig, width, min(max(height, 32.0), HIGHEST))
        axes = fig.subplots(2, across, squeeze=False)
        for column, sample in zip(axes.T, result.samples, strict=False):
            for ax, values in zip(column, (sample.before, sample.after), strict=True):
                show(ax, values)
            column[0].set_xlabel(source_name(sample.name))
            column[1].set_xlabel("deconvolved")
        if not result.samples:
            for ax in axes.ravel():
                ax.set_visible(False)
        if title:
            add_title(fig, f"Deconvolution of {source_name(result.source)}{in_space(result.config.space)}")
    return fig


def caption_deconvolved_set(result: "DeconvolvedSet") -> str:
    """Say in words what the figure of :func:`plot_deconvolved_set` shows."""
    k = result.kernels.shape[-1]
    scale = (
        "each channel has the mean and standard deviation that it has in the set, and values outside of the range of"
        " pixels are clipped"
        if result.config.keep_scale
        else "mid-grey is 0, and the largest 0.5 % of magnitudes of each image are clipped"
    )
    first = counted(len(result.samples), "image")
    return (
        f"The first {first} of {result.source} ({result.images.counted}), each above its deconvolution"
        f" by {k}×{k} kernels ({result.how()}){in_space(result.config.space)}. In the lower row, {scale}."
    )
