"""Tables in the style of all commands: columns without lines, names at the left, numbers at the right."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["new_table"]


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
