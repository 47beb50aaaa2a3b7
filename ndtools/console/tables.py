"""Tables in the style of all commands: columns without lines, names at the left, numbers at the right."""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

__all__ = ["new_table", "series_cells", "series_table", "stacked_tables"]

_NAME = 24  # letters of a name in a line of a narrow table


def new_table(
    names: Sequence[str], numbers: Sequence[str] = (), *, gap: int = 3, caption: str | None = None
) -> "Table":
    """Return an empty table.

    Parameters
    ----------
    names : sequence of str
        Headings of the first columns, aligned at the left.
    numbers : sequence of str
        Headings of the columns after them, aligned at the right. Default: none.
    gap : int
        Number of spaces between columns. Default 3.
    caption : str, optional
        Text below the table. By default there is none.

    Returns
    -------
    rich.table.Table
        Table without rows.
    """
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), caption=caption, caption_justify="left")
    for heading in names:
        table.add_column(heading, no_wrap=True)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def stacked_tables(
    heading: str,
    names: Sequence[str],
    parts: Sequence[Mapping[str, Sequence[str]]],
    *,
    width: int,
    caption: str | None = None,
) -> "Group":
    """Return a table, or several below one another if one would be wider than the screen.

    Parameters
    ----------
    heading : str
        Heading of the names.
    names : sequence of str
        Name of each row, which all tables repeat; long ones have several lines.
    parts : sequence of mappings
        Cells of the rows by the heading of their column. Columns of a part stay in one table.
    width : int
        Width of the screen, letters.
    caption : str, optional
        Text below the tables. By default there is none.

    Returns
    -------
    rich.console.Group
        Tables and caption. A part that is wider than the screen makes a table that is, too.
    """
    from rich.console import Console, Group
    from rich.text import Text

    def table(columns: Mapping[str, Sequence[str]]) -> "Table":
        made = new_table((heading,), tuple(columns), gap=2)
        for i, name in enumerate(shown):
            made.add_row(name, *(cells[i] for cells in columns.values()))
        return made

    def fits(columns: Mapping[str, Sequence[str]]) -> bool:
        console = Console(width=10_000)
        return console.measure(table(columns)).maximum <= width

    whole = {name: cells for part in parts for name, cells in part.items()}
    shown = list(names)
    tables = [whole]
    if not fits(whole):
        shown = [_in_lines(name) for name in names]
        tables = []
        for part in parts:
            if tables and fits({**tables[-1], **part}):
                tables[-1] = {**tables[-1], **part}
            else:
                tables.append(dict(part))
    lines: list[Any] = []
    for columns in tables:
        lines += [*([Text("")] if lines else []), table(columns)]
    return Group(*lines, *([Text(caption, style="italic dim")] if caption else []))


def _in_lines(name: str) -> str:
    """Return a name in lines that end at its commas."""
    parts = name.replace(" ", "\0").replace(",\0", ", ")
    lines = wrap(parts, _NAME, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def series_table(series: Iterable[Any], numbers: Iterable[str]) -> "Table":
    """Return an empty table of a series of results, whose rows begin with the cells of `series_cells`.

    Parameters
    ----------
    series : iterable of results
        Members of the series. How a ridge was chosen is written below the table.
    numbers : iterable of str
        Headings of the columns after kernel size and ridge.

    Returns
    -------
    rich.table.Table
        Table without rows.
    """
    table = new_table((), ("k", "eps", "/ mean variance", *numbers), gap=2)
    chosen = [f"eps {member.fit.eps:.3g}: {member.ridge.in_words}" for member in series if member.ridge]
    table.caption = "\n".join(chosen) or None
    return table


def series_cells(member: Any) -> tuple[str, str, str]:  # noqa: ANN401
    """Return the first cells of a row: kernel size, absolute ridge, and ridge in units of the mean variance."""
    relative = member.fit.relative_eps
    return str(member.config.kernel_size), f"{member.fit.eps:.3g}", "-" if relative is None else f"{relative:.2g}"
