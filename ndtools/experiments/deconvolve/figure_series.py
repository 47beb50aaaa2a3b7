"""Picture of an image deconvolved with several ridges and kernel sizes."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ndtools.drawing.series import member_styles, rows_of, series_in_words
from ndtools.drawing.style import PAGE, add_title, drawing_style, is_wide, new_figure, width_of
from ndtools.experiments.deconvolve.figure import HIGHEST, NAMED, show
from ndtools.text import in_space, percent, source_name

if TYPE_CHECKING:
    from ndtools.experiments.deconvolve.result import DeconvolveResult
    from ndtools.results.series import Series

__all__ = ["caption_deconvolve_series", "plot_deconvolve_series"]

ACROSS, ACROSS_NARROW = 4, 2  # pictures side by side


def plot_deconvolve_series(
    series: "Series[DeconvolveResult]", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw an image, and beside it the image deconvolved with each ridge and kernel size.

    Parameters
    ----------
    series : Series of DeconvolveResult
        Result of :func:`ndtools.experiments.deconvolve.run.run_series`.
    width : float
        Width of the figure in print, millimetres. Default 180.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With the image, and a panel for each member, in which mid-grey is 0; at most four side by side, and two in
        figures below 120 mm.
    """
    rows, columns = series[0].pixels.shape[1:]
    members = [member for row in rows_of(series.members) for member in row]
    with drawing_style():
        width = width_of(fig, width)
        most = ACROSS if is_wide(width) else ACROSS_NARROW
        across = min(most, 1 + len(members))
        down = -(-(1 + len(members)) // across)
        while across < 8 and down * (width / across * rows / columns + NAMED) > HIGHEST:
            across, down = across + 1, -(-(1 + len(members)) // (across + 1))
        height = down * (width / across * rows / columns + NAMED) + 6.0 * title
        fig = new_figure(fig, width, min(max(height, 16.0 * down), HIGHEST))
        axes = fig.subplots(down, across, squeeze=False).ravel()
        names = {id(member): name for (_, name), member in zip(member_styles(series.members), series, strict=True)}
        for ax, name, values in zip(
            axes,
            ["input", *(names[id(member)].replace(", ", "\n") for member in members)],
            [series[0].shown, *(member.picture() for member in members)],
            strict=False,
        ):
            show(ax, values)
            ax.set_xlabel(name)
        for ax in axes[1 + len(members) :]:
            ax.set_visible(False)
        if title:
            add_title(fig, f"Deconvolution of {source_name(series.source)}{in_space(series[0].config.space)}")
    return fig


def caption_deconvolve_series(series: "Series[DeconvolveResult]") -> str:
    """Say in words what the figure of :func:`plot_deconvolve_series` shows."""
    height, width = series[0].pixels.shape[1:]
    measures = [
        (f"{member.config.kernel_size}×{member.config.kernel_size}, eps {member.fit.eps:.3g}: ", member.after.measures)
        for row in rows_of(series.members)
        for member in row
        if member.fit
    ]
    words = "; ".join(
        f"{name}kurtosis {of['kurtosis'].value:.3g}, {percent(of['near_zero'].value, digits=2)} within 0.1 standard"
        " deviations"
        for name, of in measures
        if of["kurtosis"].value is not None and of["near_zero"].value is not None
    )
    shown = (
        "Each channel has the mean and standard deviation that it has in the input."
        if series[0].config.keep_scale
        else "Mid-grey is 0, and each panel is scaled to the 99.5th percentile of its magnitude, beyond which it is"
        " clipped."
    )
    return (
        f"{series.source} ({width}×{height} pixels), and its deconvolution with kernels of its own patches, for"
        f" {series_in_words(series.members)} {shown}{f' Values after deconvolution: {words}.' if words else ''}"
    )
