"""Coefficients of Newton-Schulz iterations by name, or from a file of the user."""

import csv
import json
from pathlib import Path
from typing import Any

from ndtools.data.files import read_file
from ndtools.errors import DataError, OptionError
from ndtools.numerics.schedules import PUBLISHED, SOURCES, Coefficients, check_rows
from ndtools.text import printable

__all__ = ["read_coefficients", "source_of"]

_LARGEST = 2**20  # bytes; a thousand rows of eight numbers are a tenth of it


def read_coefficients(name: str) -> Coefficients:
    """Return a published schedule, or read one from a file.

    Parameters
    ----------
    name : str
        Name of a published schedule, or path of a .json file with a list of rows, or of a .csv file with a row in each
        line. A row holds the coefficients q_0, q_1, ... of a step.

    Returns
    -------
    Coefficients
        Rows of the schedule.

    Raises
    ------
    DataError
        If the file is absent, unreadable, or does not hold rows of two to eight finite numbers.
    """
    if name in PUBLISHED:
        return PUBLISHED[name]
    shown = printable(name)
    try:
        text = read_file(name, limit=_LARGEST).decode()
    except DataError as error:
        raise DataError(f"cannot read the coefficients in {shown}: {error}") from None
    except UnicodeDecodeError:
        raise DataError(f"{shown} is not text in UTF-8: give rows of numbers") from None
    try:
        rows: Any = json.loads(text) if Path(name).suffix.lower() == ".json" else _lines(text)
    except (ValueError, RecursionError, csv.Error):
        raise DataError(f"{shown} must hold rows such as {_example(name)}: it cannot be read as such") from None
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise DataError(f"{shown} must hold rows such as {_example(name)}, got something else")
    try:
        schedule = tuple(tuple(_number(value) for value in row) for row in rows)
        check_rows(schedule)
    except OptionError as error:
        raise DataError(f"{shown} {error.message}") from None
    return schedule


def source_of(name: str) -> str:
    """Return where a schedule was published, or the name of the file that holds it."""
    return SOURCES.get(name) or printable(name)


def _lines(text: str) -> list[list[str]]:
    rows = csv.reader(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    return [list(row) for row in rows]


def _number(value: object) -> float:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise OptionError("coefficients", f"must hold numbers only, got {str(value)[:40]!r}")


def _example(name: str) -> str:
    return "[[3.4, -4.8, 2.0], [1.5, -0.5]]" if Path(name).suffix.lower() == ".json" else "3.4, -4.8, 2.0"
