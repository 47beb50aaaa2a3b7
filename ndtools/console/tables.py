"""Tables in the style of all commands: columns without lines, names at the left, numbers at the right."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby, product
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

__all__ = ["fitted_table", "new_table", "series_cells", "series_table", "stacked_tables"]

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


def fitted_table(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    wrapped: Sequence[int],
    width: int | None = None,
) -> "Table":
    """Return a table that fits the screen, where the words of some columns may take several lines.

    Parameters
    ----------
    names : sequence of str
        Headings of the columns, which are aligned at the left.
    rows : sequence of sequences of str
        Cells of each row.
    wrapped : sequence of int
        Columns whose cells take several lines if the table is too wide, and only then.
    width : int, optional
        Width of the screen, letters. By default it is that of the terminal, or 80.

    Returns
    -------
    rich.table.Table
        Table with all rows. It is wider than the screen only if its words are.
    """
    from rich.console import Console

    columns = list(zip(names, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    excess = sum(widths) + 2 * (len(names) - 1) - (Console().width if width is None else width)
    if excess > 0:
        narrowed = _narrowed([columns[i] for i in wrapped], excess)
        widths = [narrowed[wrapped.index(i)] if i in wrapped else size for i, size in enumerate(widths)]
    table = new_table(names, gap=2)
    for row in rows:
        table.add_row(*("\n".join(_wrapped(cell, size)) for cell, size in zip(row, widths, strict=True)))
    return table


def _narrowed(columns: Sequence[Sequence[str]], excess: int) -> tuple[int, ...]:
    """Return the widths at which columns are narrower by some letters in all, and their rows take the fewest lines."""
    sizes = [
        range(max(max(map(len, cell.split()), default=1) for cell in column), max(map(len, column)) + 1)
        for column in columns
    ]
    lines = [
        {size: [len(_wrapped(cell, size)) for cell in column] for size in sizes[i]} for i, column in enumerate(columns)
    ]
    wanted = max(sum(size[-1] for size in sizes) - excess, sum(size[0] for size in sizes))

    def total(chosen: tuple[int, ...]) -> tuple[int, int]:
        rows = zip(*(lines[i][size] for i, size in enumerate(chosen)), strict=True)
        return sum(map(max, rows)), -min(chosen)

    return min((chosen for chosen in product(*sizes) if sum(chosen) == wanted), key=total)


def _wrapped(cell: str, width: int) -> list[str]:
    """Return the lines of a cell, which are no longer than the width unless a word is."""
    return [cell] if len(cell) <= width else wrap(cell, width, break_long_words=False, break_on_hyphens=False)


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


def series_table(
    series: Iterable[Any], numbers: Iterable[str], cells: Callable[[Any], Iterable[str]] | None = None
) -> "Table":
    """Return a table of a series of results, whose rows begin with the cells of `series_cells`.

    Parameters
    ----------
    series : iterable of results
        Members of the series. How a ridge was chosen is written below the table.
    numbers : iterable of str
        Headings of the columns after kernel size and ridge.
    cells : callable, optional
        Function from a side of a result, ``before`` or ``after``, to the cells of these columns. By default the table
        has no rows.

    Returns
    -------
    rich.table.Table
        Table with a row before deconvolution for each kernel size, and one after it for each result.
    """
    table = new_table((), ("k", "eps", "/ mean variance", *numbers), gap=2)
    chosen = [f"eps {member.fit.eps:.3g}: {member.ridge.in_words}" for member in series if member.ridge]
    table.caption = "\n".join(chosen) or None
    if cells is not None:
        for size, members in groupby(series, lambda member: member.config.kernel_size):
            for i, member in enumerate(members):
                if i == 0:
                    table.add_row(str(size), "before", "", *cells(member.before))
                table.add_row(*series_cells(member), *cells(member.after))
    return table


def series_cells(member: Any) -> tuple[str, str, str]:  # noqa: ANN401
    """Return the first cells of a row: kernel size, absolute ridge, and ridge in units of the mean variance."""
    relative = member.fit.relative_eps
    return str(member.config.kernel_size), f"{member.fit.eps:.3g}", "-" if relative is None else f"{relative:.2g}"
