"""The numbers of a result as tables that can be read, whatever the experiment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ndtools.text import counted

__all__ = ["Table", "in_words", "named_values", "number_in_words", "tables_of"]

_MOST_ROWS, _MOST_COLUMNS = 40, 10
_MOST_IN_CELL = 8  # numbers in one cell
_LONGEST_TEXT = 300
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Table:
    """Table of a page.

    Attributes
    ----------
    caption : str
        Text above the table.
    head : tuple of str
        Names of the columns.
    rows : tuple of tuple of str
        Cells of each row; the first is the name of the row.
    note : str or None
        Remark about what was left out.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str | None = None


def tables_of(numbers: Mapping[str, Any]) -> list[Table]:
    """Return the numbers of a result as tables.

    Parameters
    ----------
    numbers : mapping
        Numbers of the .json file of a result, without its manifest.

    Returns
    -------
    list of Table
        First one of single values; then one for each list of records, and each record of records. Long lists of
        numbers are left out and counted.
    """
    plain, further, left_out = [], [], 0
    for name, value in _flat(numbers):
        if (cell := _cell(value)) is not None:
            plain.append((name, cell))
        elif (table := _table(name, value)) is not None:
            further.append(table)
        else:
            left_out += 1
    note = (
        f"{counted(left_out, 'longer list')} of numbers left out here: see the data of the page." if left_out else None
    )
    shown = plain[:_MOST_ROWS]
    if len(shown) < len(plain):
        note = " ".join(filter(None, [f"{counted(len(plain) - len(shown), 'further value')} left out here.", note]))
    if not shown:
        return [Table(table.caption, table.head, table.rows, table.note or note) for table in further]
    return [Table("Single values", ("name", "value"), tuple(shown), note), *further]


def named_values(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the entries of a mapping as names and values in words; what is nested has the names of both, "a: b"."""
    return [(name, cell if (cell := _cell(value)) is not None else "(a list)") for name, value in _flat(values)]


def in_words(name: str) -> str:
    """Return the name of a number in words: "center_surround_ratio" is "center surround ratio"."""
    return name.replace("_", " ")


def number_in_words(value: float | None, digits: int = 4) -> str:
    """Return a number as people read it: "-" for none, thousands with commas, at most ``digits`` significant digits."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**15 else f"{value:.{digits}g}"
    return f"{value:,.0f}" if 10**digits <= abs(value) < 10**9 else f"{value:,.{digits}g}"


def _flat(values: Mapping[str, Any], before: str = "", depth: int = 0) -> list[tuple[str, Any]]:
    """Return entries of nested mappings under joined names, but those that make a table of their own."""
    entries: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{before}{in_words(str(key))}"
        if isinstance(value, Mapping) and depth < 3 and not _is_table(value):
            entries += _flat(value, f"{name}: ", depth + 1)
        else:
            entries.append((name, value))
    return entries


def _is_table(value: Mapping[str, Any]) -> bool:
    """Return whether a mapping is one of records that have the same names."""
    records = list(value.values())
    return len(records) > 1 and all(isinstance(each, Mapping) and each.keys() == records[0].keys() for each in records)


def _cell(value: object) -> str | None:
    """Return a value that fits a cell in words; None if it does not fit."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return number_in_words(value)
        case str():
            return value if len(value) <= _LONGEST_TEXT else f"{value[: _LONGEST_TEXT - 3]}..."
        case list() | tuple() if len(value) <= _MOST_IN_CELL and not any(_nested(each) for each in value):
            return ", ".join(str(_cell(each)) for each in value) or "none"
        case Mapping() if not value:
            return "none"
        case _:
            return None


def _nested(value: object) -> bool:
    return isinstance(value, Mapping | list | tuple)


def _table(name: str, value: object) -> Table | None:
    """Return a list of records, a record of records, or a small matrix as a table; None for anything else."""
    if isinstance(value, Mapping) and _is_table(value):
        return _records(name, [{"name": in_words(str(key)), **record} for key, record in value.items()])
    if not isinstance(value, list | tuple) or not value:
        return None
    if all(isinstance(each, Mapping) for each in value):
        return _records(name, value)
    if all(isinstance(each, list | tuple) for each in value):
        return _matrix(name, value)
    return None


def _records(name: str, records: Sequence[Mapping[str, Any]]) -> Table | None:
    rows = [dict(_flat(record)) for record in records[:_MOST_ROWS]]
    names = dict.fromkeys(key for row in rows for key in row)
    fitting = [key for key in names if all(key not in row or _cell(row[key]) is not None for row in rows)]
    # Rows have a name: what tells them apart stands first.
    fitting.sort(key=lambda key: key not in ("name", "layer", "algorithm", "title"))
    columns = fitting[:_MOST_COLUMNS]
    if not columns:
        return None
    absent = [
        counted(number, noun)
        for number, noun in (
            (len(records) - len(rows), "further row"),
            (len(names) - len(columns), "further column"),
        )
        if number
    ]
    return Table(
        _shortened(name),
        tuple(columns),
        tuple(tuple(str(_cell(row.get(key))) for key in columns) for row in rows),
        f"{' and '.join(absent)} left out here: see the data of the page." if absent else None,
    )


def _matrix(name: str, rows: Sequence[Sequence[Any]]) -> Table | None:
    columns = len(rows[0])
    if len(rows) > _MOST_IN_CELL or not 0 < columns <= _MOST_IN_CELL:
        return None
    if any(len(row) != columns or any(_cell(value) is None or _nested(value) for value in row) for row in rows):
        return None
    return Table(
        _shortened(name),
        ("row", *(f"column {j + 1}" for j in range(columns))),
        tuple((str(i + 1), *(str(_cell(value)) for value in row)) for i, row in enumerate(rows)),
    )


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."
