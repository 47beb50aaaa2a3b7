"""Read the values of options: lists of numbers and ridges, formats of figures, and widths in print."""

import re
from collections.abc import Callable
from typing import TypeVar

from ndtools.errors import OptionError
from ndtools.validation import Ridge

__all__ = ["formats_from", "numbers_from", "ridges_from", "width_from"]

N = TypeVar("N", int, float)

IMAGE_FORMATS = ("png", "svg", "pdf")
LEAST_WIDTH, MOST_WIDTH = 60.0, 500.0  # millimetres, as in ndtools.drawing.style, which is slow to import


def numbers_from(option: str, text: str, kind: Callable[[str], N]) -> tuple[N, ...]:
    """Read a list of numbers.

    Parameters
    ----------
    option : str
        Name of the option, for the error.
    text : str
        Numbers separated by commas, such as "128,128".
    kind : callable
        ``int`` or ``float``.

    Returns
    -------
    tuple
        Numbers in the order of the text.

    Raises
    ------
    OptionError
        If a part of the text is not a number of that kind.
    """
    try:
        return tuple(kind(number) for number in text.split(","))
    except ValueError:
        wanted = "whole numbers" if kind is int else "numbers"
        raise OptionError(option, f"must be {wanted} separated by commas, got {text!r}") from None


def ridges_from(text: str) -> tuple[Ridge, ...]:
    """Read a list of ridges.

    Parameters
    ----------
    text : str
        Numbers, "paper" or "auto", separated by commas, such as "paper,1e-3".

    Returns
    -------
    tuple of float, "paper" or "auto"
        Ridges in the order of the text.

    Raises
    ------
    OptionError
        If a part of the text is none of these.
    """
    ridges: list[Ridge] = []
    for part in text.split(","):
        match part.strip():
            case "paper" | "auto" as name:
                ridges.append(name)
            case word:
                try:
                    ridges.append(float(word))
                except ValueError:
                    raise OptionError(
                        "eps", f"must be numbers, 'paper' or 'auto', separated by commas, got {text!r}"
                    ) from None
    return tuple(ridges)


def formats_from(text: str) -> tuple[str, ...]:
    """Read the formats of figures.

    Parameters
    ----------
    text : str
        Formats separated by commas, such as "png,pdf".

    Returns
    -------
    tuple of str
        Formats in the order of the text, each once.

    Raises
    ------
    OptionError
        If a format is unknown.
    """
    formats = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",")))
    if not set(formats) <= set(IMAGE_FORMATS):
        raise OptionError(
            "formats", f"must be {', '.join(IMAGE_FORMATS)}, or several separated by commas, got {text!r}"
        )
    return formats


def width_from(text: str) -> float:
    """Read a width in print.

    Parameters
    ----------
    text : str
        Number of millimetres, as in "85" or "85mm", or of inches, as in "7in".

    Returns
    -------
    float
        Width in millimetres.

    Raises
    ------
    OptionError
        If the text is no such number, or the width is below 60 mm or above 500 mm.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(mm|in)?\s*", text)
    width = float(match[1]) * (25.4 if match[2] == "in" else 1.0) if match else 0.0
    if not LEAST_WIDTH <= width <= MOST_WIDTH:
        raise OptionError(
            "width", f"must be {LEAST_WIDTH:g} to {MOST_WIDTH:g} millimetres, as in 85 or 3.5in, got {text!r}"
        )
    return width
