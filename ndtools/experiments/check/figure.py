"""Picture of the checks of the paper's propositions: a panel for each."""

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from ndtools.drawing.style import PAGE, add_letters, add_title, drawing_style, new_figure, panel_rows, width_of
from ndtools.experiments.check.panels import CAPTIONS, ENTRIES, PANELS, TITLES
from ndtools.text import counted, source_name

if TYPE_CHECKING:
    from ndtools.experiments.check.result import CheckResult

__all__ = ["caption_check", "plot_check"]

PANEL, ENTRY = 46.0, 2.9  # millimetres: most height of a panel with its texts, and that of an entry of a legend
SHAPE = 0.82  # height of narrow panels with their texts, over their width


def plot_check(result: "CheckResult", *, width: float = PAGE, title: bool = True, fig: Figure | None = None) -> Figure:
    """Draw a panel for each check: what happens where its statement holds, and where it does not.

    Parameters
    ----------
    result : CheckResult
        Result of :func:`ndtools.experiments.check.run.run`.
    width : float
        Width of the figure in print, millimetres. Default 180; panels stand in rows of three; of two below 120, and
        one by one below 75.
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
        columns = min(count, 4 - panel_rows(width))
        rows = -(-count // columns)
        lists = [result.outcomes[row * columns :][:columns] for row in range(rows)]
        heights = [min(PANEL, SHAPE * width / columns), 0.0] * rows
        for row, outcomes in enumerate(lists):
            heights[2 * row + 1] = ENTRY * max(ENTRIES[outcome.name] for outcome in outcomes) + 1
        fig = new_figure(fig, width, sum(heights) + (5 if title else 0))
        grid = fig.add_gridspec(2 * rows, columns, height_ratios=heights)
        panels = []
        for number, outcome in enumerate(result.outcomes):
            row, column = divmod(number, columns)
            ax, below = (fig.add_subplot(grid[2 * row + i, column]) for i in range(2))
            PANELS[outcome.name](ax, outcome)
            ax.set_title(TITLES[outcome.name])
            below.set_axis_off()
            below.legend(*ax.get_legend_handles_labels(), loc="upper center", borderaxespad=0, labelspacing=0.25)
            panels.append(ax)
        add_letters(panels)
        if title:
            add_title(fig, f"Propositions in numbers · {source_name(result.source)}")
    return fig


def caption_check(result: "CheckResult") -> str:
    """Say in words what the figure of :func:`plot_check` shows."""
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
