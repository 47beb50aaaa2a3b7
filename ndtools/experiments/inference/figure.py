"""Picture of the times of whole networks at testing time (Ye et al. 2020, sec. 4.5.1)."""

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from ndtools.drawing.axes import plain_ticks
from ndtools.drawing.palette import METHODS
from ndtools.drawing.style import PAGE, add_title, drawing_style, new_figure, width_of
from ndtools.text import counted

if TYPE_CHECKING:
    from ndtools.experiments.inference.result import InferenceResult

__all__ = ["caption_inference", "plot_inference"]

STYLES: dict[str, dict[str, Any]] = {
    "deconv": METHODS["deconv"],
    "folded": {**METHODS["deconv"], "marker": "D", "markerfacecolor": "none"},
    "bn": METHODS["bn"],
    "none": METHODS["none"],
}
NAMES = {
    "deconv": "deconvolution",
    "folded": "deconvolution, folded",
    "bn": "batch normalisation",
    "none": "no normalisation",
}
_WIDE = 20.0  # largest median by smallest, above which the axis is logarithmic
ROW = 5.0  # millimetres for each arm of a network


def plot_inference(
    result: "InferenceResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None
) -> Figure:
    """Draw the seconds per image of the arms of each network, with the range of the repeats.

    Parameters
    ----------
    result : InferenceResult
        Result of :func:`ndtools.experiments.inference.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        Figure with one panel: networks from top to bottom, a mark for each arm at its median.
    """
    milliseconds = 1000 / result.config.batch_size
    arms = list(STYLES)
    with drawing_style():
        width = width_of(fig, width)
        fig = new_figure(fig, width, ROW * (len(arms) + 0.8) * len(result.networks) + (38 if title else 32))
        ax = fig.add_subplot()
        for number, each in enumerate(result.networks):
            for place, arm in enumerate(arms):
                values = milliseconds * each.seconds[arm]
                y = number + 0.18 * (place - (len(arms) - 1) / 2)
                style = {name: value for name, value in STYLES[arm].items() if name != "linestyle"}
                ax.plot([values.min(), values.max()], [y, y], color=style["color"], linewidth=1)
                label = NAMES[arm] if number == 0 else None
                ax.plot([milliseconds * each.median(arm)], [y], linestyle="none", label=label, **style)
        ax.set_yticks(range(len(result.networks)), [each.arch for each in result.networks])
        ax.set_ylim(len(result.networks) - 0.5, -0.5)
        if _apart(result):
            ax.set_xscale("log")
            plain_ticks(ax.xaxis)
        else:
            ax.set_xlim(left=0)
        ax.set_xlabel("time per image / ms")
        ax.tick_params("y", length=0)
        fig.legend(loc="outside lower center", ncols=2)
        if title:
            add_title(fig, "Networks at testing time")
    return fig


def _apart(result: "InferenceResult") -> bool:
    """Return whether the times of some networks would lie on top of one another at the left of a linear axis."""
    medians = [each.median(arm) for each in result.networks for arm in STYLES]
    return max(medians) > _WIDE * min(medians)


def caption_inference(result: "InferenceResult") -> str:
    """Say in words what the figure of :func:`plot_inference` shows."""
    config = result.config
    ratios = "; ".join(
        f"{each.arch}: folded {each.ratio('folded', 'deconv'):.2f} of deconvolution,"
        f" {each.ratio('folded', 'bn'):.2f} of batch normalisation,"
        f" {each.ratio('folded', 'none'):.2f} of the plain network"
        for each in result.networks
    )
    axis = ", on a logarithmic axis" if _apart(result) else ""
    return (
        f"Time per image of whole networks at testing time{axis}, in batches of {config.batch_size} images of"
        f" {config.size}×{config.size} pixels on {result.processor}, {counted(result.threads, 'thread')}, torch"
        f" {result.torch}: median (mark) and range (line) of {counted(config.repeats, 'repeat')}. Deconvolution is"
        f" {config.norm}; folded, D is part of the weights of plain convolutions. Ratios of the medians: {ratios}."
    )
