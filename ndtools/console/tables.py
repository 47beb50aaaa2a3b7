"""Tables in the style of all commands: columns without lines, names at the left, numbers at the right."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["new_table", "series_cells", "series_table"]


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
