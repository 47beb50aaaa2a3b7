"""Picture of how a ridge was chosen: the likelihood of held-out images against the ridge."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ndtools.drawing.axes import plain_number, plain_ticks
from ndtools.drawing.series import sized_styles
from ndtools.drawing.style import PAGE, add_title, drawing_style, legend_columns, new_figure, width_of
from ndtools.text import in_space, source_name

__all__ = ["caption_ridge", "chosen_ridges", "plot_ridge"]

ROOM = 2.0  # factor that parts the ends of the axis of ridges from the curves
DEPTH = 4.0  # the axis ends at so many times the height of the best ridge above the middle one


def chosen_ridges(result: Any) -> list[Any]:  # noqa: ANN401
    """Return the results whose ridge was chosen: those of a series, or the result itself; none if it was a number."""
    return [member for member in getattr(result, "members", (result,)) if member.ridge is not None]


def plot_ridge(result: Any, *, width: float = PAGE, title: bool = True, fig: Figure | None = None) -> Figure:  # noqa: ANN401
    """Draw the mean log-likelihood of held-out patches against the ridge, less that of the ridge that was chosen.

    Parameters
    ----------
    result : result or Series
        Result whose ridge was "auto", or a series of such.
    width : float
        Width of the figure in print, millimetres. Default 180.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        With one panel; a symbol marks the ridge that was chosen.
    """
    members = chosen_ridges(result)
    with drawing_style():
        width = width_of(fig, width)
        fig = new_figure(fig, width, min(70.0, 30 + 0.5 * width) + 6 * title + 4 * len(members))
        ax = fig.subplots()
        lowest, curves, names, handles = -1e-3, [], [], []
        for i, member in enumerate(members):
            style = sized_styles(i)
            line, symbol = style | {"marker": ""}, style | {"linestyle": "", "markersize": 5}
            choice, k, d = member.ridge, member.config.kernel_size, len(member.fit.mean)
            below = (choice.log_likelihood - choice.best) / d
            ax.plot(choice.ridges, below, **line)
            ax.plot(choice.eps, 0, markeredgecolor="w", markeredgewidth=0.4, **symbol)
            names.append(f"{k}×{k}: eps {plain_number(float(f'{choice.eps:.2g}'))}")
            handles.append(Line2D([], [], **style))
            lowest = min(lowest, DEPTH * float(np.median(below)))
            curves.append((np.asarray(choice.ridges), below))
        ax.set_xscale("log")
        ax.set_ylim(lowest, -0.06 * lowest)
        # The axis ends a little beyond the last ridge at which a curve is above the lower edge.
        last = max(float(ridges[below > lowest].max()) for ridges, below in curves)
        ax.set_xlim(min(float(ridges.min()) for ridges, _ in curves) / ROOM, ROOM * last)
        plain_ticks(ax.xaxis)
        ax.set_xlabel("eps")
        ax.set_ylabel("log-likelihood of held-out patches\nless that of the best / nats per feature")
        fig.legend(handles, names, loc="outside lower center", ncols=legend_columns(names, width))
        if title:
            add_title(fig, f"Choice of the ridge for {source_name(result.source)}{in_space(members[0].config.space)}")
    return fig


def caption_ridge(result: Any) -> str:  # noqa: ANN401
    """Say in words what the figure of :func:`plot_ridge` shows."""
    words = [
        f"for {member.config.kernel_size}×{member.config.kernel_size} patches eps {member.ridge.eps:.3g}"
        + (f", the {member.ridge.at_end} that was tried" if member.ridge.at_end else "")
        for member in chosen_ridges(result)
    ]
    return (
        f"Choice of the ridge for {result.source}: log-likelihood of the patches of one half of the images under a"
        " Gaussian with the mean and Cov + eps·I of the other half, less that of the best ridge, per feature of a"
        f" patch, averaged over both ways. The symbol is the ridge that was chosen: {'; '.join(words)}."
    )
