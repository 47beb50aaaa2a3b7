"""Panels of series of results: a line or a picture for each ridge and kernel size, and measures against the ridge."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from ndtools.drawing.axes import plain_number, plain_ticks
from ndtools.drawing.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY
from ndtools.drawing.style import legend_columns
from ndtools.text import listed

__all__ = [
    "MARGIN",
    "MARK",
    "ROOMY",
    "add_series_legend",
    "draw_against",
    "legend_rows",
    "line_name",
    "lines_of_pictures",
    "member_styles",
    "picture_titles",
    "plain_eps",
    "rows_of",
    "series_in_words",
    "side_of_pictures",
    "sized_styles",
]

MARGIN, SMALLEST = 14.0, 11.5  # millimetres beside pictures, and least width of one with its title
ROOMY = 19.0  # millimetres of width that a title such as "eps 7.6·10⁻⁷" needs

MARK: dict[str, Any] = {"color": "0.5", "linewidth": 0.8, "linestyle": (0, (1, 1))}

# Shapes of lines, which differ by dash and marker as well as by colour. There are as many as ridges are allowed.
_DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1.2)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (8, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)
_SIZES = (BLUE, ORANGE, PURPLE, SKY, GREEN, GREY)
_MARKERS = "os^DvP<X>p*h"
_COLOURS, _LIGHTEST = "viridis", 0.86  # its lightest colours are too pale for lines on white


def rows_of(series: Sequence[Any]) -> list[list[Any]]:
    """Return the members of a series by kernel size, each row with its ridges in descending order."""
    rows: dict[int, list[Any]] = {}
    for member in series:
        rows.setdefault(member.config.kernel_size, []).append(member)
    return [sorted(row, key=lambda member: -member.fit.eps) for row in rows.values()]


def plain_eps(member: Any) -> str:  # noqa: ANN401
    """Write the ridge of a member with two digits, as in "0.001" or "7.6·10⁻⁷"."""
    return plain_number(float(f"{member.fit.eps:.2g}"))


def picture_titles(series: Sequence[Any], lines: Sequence[Sequence[Any]], side: float) -> list[list[str]]:
    """Return what stands above pictures of this side in millimetres: what differs between those of a line.

    Parameters
    ----------
    series : sequence of results
        Members of the series.
    lines : sequence of sequences of results
        Members by line, from `lines_of_pictures`.
    side : float
        Side of a picture in millimetres, which decides on the length of the titles.

    Returns
    -------
    list of list of str
        Titles by line, empty where the line above has the same ridges.
    """
    sizes = len(rows_of(series)[0]) == 1
    eps = "eps " if side >= ROOMY else ""
    titles = [[_size(member) if sizes else f"{eps}{plain_eps(member)}" for member in line] for line in lines]
    return [[""] * len(line) if i and line == titles[i - 1] else line for i, line in enumerate(titles)]


def member_styles(series: Sequence[Any]) -> list[tuple[dict[str, Any], str]]:
    """Return the line of each member: its colour, dash and marker, and its name.

    Colours are in order of the ridges, dark for the largest; with one ridge, of the kernel sizes. With several of both,
    dashes and markers are those of the kernel sizes.

    Returns
    -------
    list of (dict, str)
        Style and name of each member's line, in the order of the series.
    """
    rows = rows_of(series)
    colours = matplotlib.colormaps[_COLOURS]
    lines = {}
    for i, row in enumerate(rows):
        for j, member in enumerate(row):
            at, count = (j, len(row)) if len(row) > 1 else (i, len(rows))
            shape = i if len(rows) > 1 and len(row) > 1 else at
            names = [_size(member)] * (len(rows) > 1) + [f"eps {plain_eps(member)}"] * (len(row) > 1)
            color = colours(_LIGHTEST * at / max(1, count - 1))
            lines[id(member)] = {"color": color, **_shape(shape)}, ", ".join(names)
    return [lines[id(member)] for member in series]


def add_series_legend(
    fig: Figure, series: Sequence[Any], width: float, more: Sequence[tuple[dict[str, Any], str]] = ()
) -> None:
    """Name the lines of `member_styles`, and ``more``, below all panels of a figure of this width, millimetres."""
    named = [*_entries(series), *more]
    handles = [Line2D([], [], **style) for style, _ in named]
    names = [name for _, name in named]
    fig.legend(handles, names, loc="outside lower center", ncols=legend_columns(names, width))


def legend_rows(series: Sequence[Any], width: float, more: Sequence[tuple[dict[str, Any], str]] = ()) -> int:
    """Return the number of rows that the legend of `add_series_legend` has."""
    names = [name for _, name in (*_entries(series), *more)]
    return -(-len(names) // legend_columns(names, width))


def _entries(series: Sequence[Any]) -> list[tuple[dict[str, Any], str]]:
    """Return what the legend names: each line, or colours and dashes where both have a meaning."""
    styles = member_styles(series)
    rows = rows_of(series)
    ridges = [[plain_eps(member) for member in row] for row in rows]
    if len(rows) > 1 and len(rows[0]) > 1 and all(row == ridges[0] for row in ridges):
        look = {id(member): style for member, (style, _) in zip(series, styles, strict=True)}
        named = [({"color": look[id(member)]["color"]}, f"eps {plain_eps(member)}") for member in rows[0]]
        return named + [({**_shape(i), "color": "0.4"}, _size(row[0])) for i, row in enumerate(rows)]
    return styles


def line_name(series: Sequence[Any], line: Sequence[Any], otherwise: str) -> str:
    """Name a line of pictures at its left: by its kernel size, if lines differ in it."""
    rows = rows_of(series)
    return _size(line[0]) if len(rows) > 1 and len(rows[0]) > 1 else otherwise


def sized_styles(number: int) -> dict[str, Any]:
    """Return the style of a line that stands for a kernel size, by its number in a series."""
    return {"color": _SIZES[number % len(_SIZES)], **_shape(number)}


def _size(member: Any) -> str:  # noqa: ANN401
    return f"{member.config.kernel_size}×{member.config.kernel_size}"


def _shape(number: int) -> dict[str, Any]:
    return {"linestyle": _DASHES[number % len(_DASHES)], "marker": _MARKERS[number % len(_MARKERS)]}


def lines_of_pictures(series: Sequence[Any], width: float) -> list[list[Any]]:
    """Divide the members into lines of pictures: a kernel size each, or more if it has more ridges than have room.

    Parameters
    ----------
    series : sequence of results
        Members of the series.
    width : float
        Width of the figure, millimetres.

    Returns
    -------
    list of list of results
        Members by line.
    """
    rows = rows_of(series)
    if all(len(row) == 1 for row in rows):
        rows = [[row[0] for row in rows]]
    count = -(-len(rows[0]) // max(1, int((width - MARGIN) / SMALLEST)))
    most = -(-len(rows[0]) // count)
    return [row[i : i + most] for row in rows for i in range(0, len(row), most)]


def side_of_pictures(lines: Sequence[Sequence[Any]], width: float, largest: float) -> float:
    """Return the side in millimetres of pictures in lines, at most ``largest``, in a figure of this width."""
    return min(largest, (width - MARGIN) / max(map(len, lines)) - 1)


def _x_values(row: Sequence[Any]) -> tuple[list[float], str]:
    """Return what the members of a row differ in, and its name as an axis has it."""
    if len({member.config.kernel_size for member in row}) > 1:
        return [member.config.kernel_size for member in row], "kernel size / pixels"
    return [member.fit.eps for member in row], "eps"


def draw_against(
    ax: Axes,
    series: Sequence[Any],
    measures: Mapping[str, tuple[Callable[[Any], float | None], dict[str, Any]]],
    *,
    name: str,
    logarithmic: bool = False,
    mark: float | None = None,
) -> None:
    """Draw measures of all members against their ridges, or against their kernel sizes if they have one ridge.

    Parameters
    ----------
    ax : Axes
        Empty panel to draw in.
    series : sequence of results
        Members, each with ``config.kernel_size`` and ``fit``.
    measures : mapping of str to (callable, dict)
        Functions that return a number of a member, or None where there is none, with the styles of their lines, by
        name. With several kernel sizes and ridges, each has a line for each size, of another dash and marker.
    name : str
        Name of the vertical axis.
    logarithmic : bool
        Whether the vertical axis is logarithmic; numbers that are not positive are left out then. Default False.
    mark : float, optional
        Ridge that a vertical line of the style ``MARK`` marks.
    """
    rows = rows_of(series)
    if len(rows[0]) == 1:
        rows = [[row[0] for row in rows]]
    for i, row in enumerate(rows):
        x, axis = _x_values(row)
        for label, (measure, style) in measures.items():
            values = [measure(member) for member in row]
            y = np.array([np.nan if value is None else value for value in values])
            if logarithmic:
                y[~(y > 0)] = np.nan
            look = style
            if len(rows) > 1:
                look = style | _shape(i)
                label = f"{label}, {_size(row[0])}" if label else _size(row[0])
            ax.plot(x, y, label=label, **look)
    ax.set_xlabel(axis)
    ax.set_ylabel(name)
    if axis == "eps":
        ax.set_xscale("log")
        if mark is not None:
            ax.axvline(mark, zorder=0, **MARK)
        plain_ticks(ax.xaxis)
    else:
        ax.xaxis.set_major_locator(FixedLocator(sorted(x)))
        ax.xaxis.set_minor_locator(NullLocator())
    if logarithmic and any(line.get_ydata().size and np.isfinite(line.get_ydata()).any() for line in ax.lines):  # type: ignore[union-attr]
        ax.set_yscale("log")
        plain_ticks(ax.yaxis)


def series_in_words(series: Sequence[Any]) -> str:
    """Name the ridges and kernel sizes of a series in words, for captions."""
    rows = rows_of(series)
    eps = listed([f"{member.fit.eps:.3g}" for member in rows[0]])
    relative = listed([f"{member.fit.relative_eps:.2g}" for member in rows[0] if member.fit.relative_eps is not None])
    reasons = [
        f" For {_size(member)} patches, eps {member.fit.eps:.3g} was {member.ridge.in_words}."
        for member in series
        if member.ridge
    ]
    return (
        f"{listed([_size(row[0]) for row in rows])} patches and eps {eps}"
        f"{relative and f' ({relative} of the mean variance)'}.{''.join(reasons)}"
    )
