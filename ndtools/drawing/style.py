"""Style and page of all figures: sizes in print, type, and what the files say about themselves."""

import io
import os
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase, SubFigure

from ndtools import __version__
from ndtools.errors import OptionError

__all__ = [
    "COLUMN",
    "PAGE",
    "PrintFigure",
    "add_letters",
    "add_panels",
    "add_title",
    "drawing_style",
    "is_wide",
    "legend_columns",
    "new_figure",
    "panel_rows",
    "split_figure",
    "width_of",
]

COLUMN: float = 85.0
"""Width of one column of many journals, millimetres."""
PAGE: float = 180.0
"""Width of a whole page of many journals, millimetres."""

MILLIMETRES = 25.4  # in an inch
LEAST_WIDTH, MOST_WIDTH = 60.0, 500.0  # millimetres
WIDE, PAIRED = 120.0, 75.0  # millimetres from which three panels, and two, stand side by side
TYPE = 7.0  # points: journals print 5 to 8
SMALL = 6.0  # points: ticks, legends and notes
LETTER = 0.56  # width of a letter in units of its size
ENTRY = 5.2  # width of the line of a legend's entry with the space about it, in the same units

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so figures are the same on every machine
    "font.size": TYPE,
    "axes.titlesize": TYPE,
    "axes.labelsize": TYPE,
    "figure.titlesize": TYPE,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "axes.linewidth": 0.5,
    "axes.titlepad": 3.0,
    "axes.labelpad": 2.0,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "lines.linewidth": 1.0,
    "lines.markersize": 3.0,
    "grid.linewidth": 0.4,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "pdf.fonttype": 42,  # text stays text: TrueType, which journals and editors take
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "ndtools",  # equal figures are equal files
}

# Entries of files about themselves, by format: matplotlib would write the date into PDF and SVG files.
_ENTRIES: dict[str, dict[str, Any]] = {
    "png": {"Software": f"ndtools {__version__}"},
    "pdf": {"Creator": f"ndtools {__version__}", "CreationDate": None},
    "svg": {"Creator": f"ndtools {__version__}", "Date": None},
}


@contextmanager
def drawing_style() -> Iterator[None]:
    """Draw and write figures in the style of ndtools, whatever the user's matplotlibrc says.

    Yields
    ------
    None
        The former settings of matplotlib come back at the end.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


class PrintFigure(Figure):
    """Figure that is written in the style of ndtools, and that notebooks show without pyplot.

    Files hold no date, so that equal figures are equal files, and text stays text in PDF and SVG files.
    """

    def savefig(
        self,
        fname: str | os.PathLike[str] | IO[bytes],
        *,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Write the figure to a file.

        Parameters
        ----------
        fname : str, path-like or binary file
            Place of the file.
        metadata : dict, optional
            Entries of the file about itself, beside or in place of those of ndtools.
        **kwargs
            All other arguments of :meth:`matplotlib.figure.Figure.savefig`.
        """
        suffix = "png" if hasattr(fname, "write") else os.path.splitext(fname)[1][1:]
        written = kwargs.get("format") or suffix
        entries = {**_ENTRIES.get(str(written).lower(), {}), **(metadata or {})}
        with drawing_style():
            super().savefig(fname, metadata=entries or None, **kwargs)

    def _repr_png_(self) -> bytes:
        """Return the figure as a notebook shows it."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=150)
        return file.getvalue()


def new_figure(fig: Figure | None, width: float, height: float) -> Figure:
    """Return an empty figure that lays its panels out by itself.

    Parameters
    ----------
    fig : Figure or None
        An empty figure of the caller, whose size is kept; None for a new one.
    width, height : float
        Size of a new figure in millimetres.

    Returns
    -------
    Figure
        The figure, with matplotlib's constrained layout.
    """
    if fig is None:
        return PrintFigure(figsize=(width / MILLIMETRES, height / MILLIMETRES), layout="constrained")
    fig.set_layout_engine("constrained")
    return fig


def width_of(fig: Figure | None, width: float) -> float:
    """Return the width in millimetres of a figure of the caller, or the wanted width if there is none.

    Parameters
    ----------
    fig : Figure or None
        Figure of the caller.
    width : float
        Wanted width in millimetres.

    Returns
    -------
    float
        Width in millimetres.

    Raises
    ------
    OptionError
        If the wanted width is no number of millimetres from 60 to 500: below, texts overlap; above, they are too small.
    """
    if fig is not None:
        return fig.get_figwidth() * MILLIMETRES
    if not isinstance(width, int | float) or not LEAST_WIDTH <= width <= MOST_WIDTH:
        raise OptionError("width", f"must be {LEAST_WIDTH:g} to {MOST_WIDTH:g} millimetres, as in 85, got {width!r}")
    return width


def is_wide(width: float) -> bool:
    """Return whether a figure of this width, in millimetres, has room for panels side by side."""
    return width >= WIDE


def panel_rows(width: float) -> int:
    """Return the number of rows in which a figure of this width, in millimetres, has three panels."""
    return 1 if is_wide(width) else 2 if width >= PAIRED else 3


def add_panels(fig: FigureBase, width: float, ratios: Sequence[float] = (1, 1, 1)) -> list[Axes]:
    """Lay out up to three panels: side by side, the first above the others, or one above the other.

    Parameters
    ----------
    fig : Figure or SubFigure
        An empty figure.
    width : float
        Width in millimetres.
    ratios : sequence of float
        Widths of the panels, in proportion, which also says how many there are. Default: three of one width.

    Returns
    -------
    list of Axes
        The panels in reading order.
    """
    match panel_rows(width):
        case 1:
            return list(fig.subplots(1, len(ratios), width_ratios=ratios))
        case 2:
            grid = fig.add_gridspec(2, len(ratios) - 1, width_ratios=ratios[1:])
            return [fig.add_subplot(grid[0, :]), *(fig.add_subplot(grid[1, i]) for i in range(len(ratios) - 1))]
        case _:
            return list(fig.subplots(len(ratios), 1))


def split_figure(fig: Figure, first: float, second: float, *, across: bool = False) -> tuple[SubFigure, SubFigure]:
    """Divide a figure into two parts, each with a layout and legends of its own.

    Parameters
    ----------
    fig : Figure
        An empty figure.
    first, second : float
        Sizes of the upper and the lower part, or of the left and the right one, in proportion.
    across : bool
        Whether the parts stand side by side. Default False.

    Returns
    -------
    (SubFigure, SubFigure)
        Upper and lower part, or left and right one.
    """
    shares = [first, second]
    parts: Any = fig.subfigures(1, 2, width_ratios=shares) if across else fig.subfigures(2, 1, height_ratios=shares)
    return parts[0], parts[1]


def legend_columns(names: Sequence[str], width: float) -> int:
    """Return the number of columns in which the names of a legend fit a width, with rows that are equally full.

    Parameters
    ----------
    names : sequence of str
        Names in the legend.
    width : float
        Width in millimetres.

    Returns
    -------
    int
        Number of columns, at least one.
    """
    widest = (LETTER * max(map(len, names), default=0) + ENTRY) * SMALL / 72 * MILLIMETRES
    rows = -(-len(names) // max(1, int(width / widest)))
    return -(-len(names) // max(1, rows))


def add_title(fig: Figure, text: str) -> None:
    """Write a title above all panels, broken into lines that fit the width of the figure.

    Parameters
    ----------
    fig : Figure
        Figure that gets the title.
    text : str
        A short title; all details belong in the caption.
    """
    columns = int(fig.get_figwidth() * 72 / (LETTER * TYPE))
    fig.suptitle("\n".join(textwrap.wrap(text, columns)))


def add_letters(axes: Sequence[Axes], first: str = "a") -> None:
    """Name panels a, b, c, ... in bold at their upper left, as captions refer to them.

    Parameters
    ----------
    axes : sequence of Axes
        One for each panel, in reading order. Fewer than two have no letters.
    first : str
        Letter of the first panel, if others come before it. Default "a".
    """
    if len(axes) > 1 or first != "a":
        for number, ax in enumerate(axes):
            letter = chr(ord(first) + number)
            ax.set_title(letter, loc="left", fontweight="bold")
