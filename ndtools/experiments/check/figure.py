"""Picture of the checks of the paper's propositions: a panel for each."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ndtools.drawing.style import PAGE, add_letters, add_title, drawing_style, is_wide, new_figure, width_of
from ndtools.experiments.check.panels import CAPTIONS, PANELS, TITLES
from ndtools.text import counted, source_name

if TYPE_CHECKING:
    from ndtools.experiments.check.result import CheckResult

__all__ = ["caption_check", "plot_check"]

HEIGHT = 58.0  # millimetres of a row of panels, with their legends


def plot_check(result: "CheckResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None) -> Figure:
    """Draw a panel for each check: what happens where its statement holds, and where it does not.

    Parameters
    ----------
    result : CheckResult
        Result of :func:`ndtools.experiments.check.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; below 120 there are two panels in a row, not three.
    title : bool
        Whether the figure has a title. Default True.
    fig : Figure, optional
        An empty figure to draw on, which keeps its size. Default: a new one.

    Returns
    -------
    Figure
        Figure with one panel for each check.
    """
    with drawing_style():
        width = width_of(fig, width)
        count = len(result.outcomes)
        columns = min(count, 3 if is_wide(width) else 2)
        rows = -(-count // columns)
        fig = new_figure(fig, width, HEIGHT * rows)
        panels = fig.subplots(rows, columns, squeeze=False).flatten()
        for ax, outcome in zip(panels, result.outcomes, strict=False):
            PANELS[outcome.name](ax, outcome)
            ax.set_title(TITLES[outcome.name])
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), borderaxespad=0, labelspacing=0.25)
        for ax in panels[count:]:
            ax.set_axis_off()
        add_letters(list(panels[:count]))
        if title:
            add_title(fig, f"Propositions in numbers · {source_name(result.source)}")
    return fig


def caption_check(result: "CheckResult") -> str:
    """Say in words what the figure of :func:`plot_check` shows.

    Parameters
    ----------
    result : CheckResult
        Result of :func:`ndtools.experiments.check.run.run`.

    Returns
    -------
    str
        The caption, one paragraph.
    """
    config = result.config
    letters = [f"({chr(ord('a') + number)}) " for number in range(len(result.outcomes))]
    panels = " ".join(
        f"{letter if len(letters) > 1 else ''}{CAPTIONS[outcome.name]}. {outcome.statement} Verdict: {outcome.verdict}."
        for letter, outcome in zip(letters, result.outcomes, strict=True)
    )
    k = config.kernel_size
    return (
        f"Propositions of network deconvolution in numbers, on {result.patches:,} patches of {k}×{k} pixels"
        f" ({counted(result.features, 'feature')}, condition number {result.condition:.3g}) of"
        f" {source_name(result.source)}, {result.images.counted}; {config.dtype}, ridge {config.eps:.3g} where there is"
        f" one. {panels}"
    )
