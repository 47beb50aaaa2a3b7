"""Format names, texts and numbers for people to read."""

import math
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ndtools.numerics.deconvolution import Deconvolution
    from ndtools.numerics.ridge import RidgeChoice
    from ndtools.validation import Space

__all__ = [
    "begins_as_result",
    "counted",
    "duration",
    "percent",
    "precision_in_words",
    "in_space",
    "listed",
    "names_in_words",
    "printable",
    "reason",
    "ridge_in_words",
    "share_in_percent",
    "shortened",
    "source_name",
    "space_in_words",
    "with_error",
]

_LONGEST_REASON = 200
_SPACES = {"srgb": "sRGB", "linear": "linear RGB", "xyz": "CIE XYZ", "lms": "cones (LMS)", "log-lms": "log cones (LMS)"}
_NO_SHARE = 1e-14  # of a variance, as along the differences of equal channels


def ridge_in_words(fit: "Deconvolution", choice: "RidgeChoice | None" = None) -> str:
    """Format the ridge of a deconvolution in both of its units, and why it was chosen if it was.

    Parameters
    ----------
    fit : Deconvolution
        Deconvolution with its ridge.
    choice : RidgeChoice, optional
        Choice of the ridge. By default it was given as a number.

    Returns
    -------
    str
        Text such as "eps 0.001 (0.013 of the mean variance)".
    """
    relative = "" if fit.relative_eps is None else f" ({fit.relative_eps:.2g} of the mean variance)"
    return f"eps {fit.eps:.3g}{relative}{f', {choice.in_words}' if choice else ''}"


def precision_in_words(fit: "Deconvolution", separator: str = " · ") -> str:
    """Format the precision of a deconvolution: condition number, residual, and effect of rounding in its covariance."""
    parts = (
        f"condition {fit.condition:.3g}",
        f"residual {fit.residual:.2g}",
        f"covariance good to {fit.covariance_error:.1g}",
    )
    return separator.join(parts)


def with_error(value: float | None, error: float | None = None, digits: int = 3) -> str:
    """Format a number with its standard error.

    Parameters
    ----------
    value : float or None
        Number to format. None gives "-".
    error : float, optional
        Standard error of the number. It is left out if it is not positive and finite.
    digits : int
        Number of significant digits of a number without standard error. Default 3.

    Returns
    -------
    str
        Number and error, both rounded to the second significant digit of the error, as in "0.777 ± 0.032".
    """
    if value is None:
        return "-"
    if error is None or not (error > 0 and math.isfinite(error)):
        return f"{value:.{digits}g}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def begins_as_result(content: bytes) -> bool:
    """Return whether the beginning of a file is that of the .json file of a result of ndtools."""
    # Versions before this one began with the command.
    own = rb'\s*\{\s*("experiment":\s*"[\w-]+",\s*"format_version":|"command":\s*"ndtools\b)'
    return re.match(own, content) is not None


def printable(path: str | os.PathLike[str]) -> str:
    r"""Return a path or text in printable form: undecodable bytes and control characters are escaped.

    Parameters
    ----------
    path : str or path-like
        Path or text from the operating system, with surrogates for undecodable bytes.

    Returns
    -------
    str
        Text that can be printed on one line.

    Examples
    --------
    >>> printable("caf\udce9.png")
    'caf\\xe9.png'
    """
    text = os.fspath(path)
    try:
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that does not stand for a byte, in a name from Windows or an archive
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", _escaped, text)


def reason(error: BaseException) -> str:
    """Return the message of an error from another library, shortened so that a message of ndtools can quote it.

    Parameters
    ----------
    error : exception
        Error of the operating system, or of a library that reads a file format.

    Returns
    -------
    str
        First line of the message, printable and at most 200 characters long; the name of the error's class if it has
        no message.
    """
    message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = message.strip().splitlines() or [type(error).__name__]
    text = printable(lines[0])
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 3]}..."


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def counted(number: int, noun: str) -> str:
    """Write a number of things, as in "1 image" and "25 images"; the plural of the noun ends in s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(words: "Sequence[str]") -> str:
    """Write words as a list in a sentence, as in "a", "a and b" and "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def share_in_percent(share: float) -> str:
    """Return a share of a variance as a number of per cent, "91.1"; "0" where it is only the rounding of float64."""
    return f"{100 * share:.3g}" if not share <= _NO_SHARE else "0"


def names_in_words(names: "Sequence[str]") -> str:
    """Return the names of channels for a message; of more than four, the first three and how many there are."""
    texts = [printable(name) for name in names]
    return ", ".join(texts) if len(texts) <= 4 else f"{', '.join(texts[:3])}, ... ({len(texts)} in all)"


def duration(seconds: float | None) -> str:
    """Return a duration in words: "0.04 s", "45 s", "12 min", "3.2 h", "40 days"; "-" for none."""
    if seconds is None:
        return "-"
    if seconds < 99.5:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    if seconds < 5970:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:,.0f} days"


def shortened(text: str, length: int = 60) -> str:
    """Return a text that is too long for a title as "…" and its end, ``length`` characters in all."""
    return text if len(text) <= length else f"…{text[len(text) - length + 1 :]}"


def source_name(source: str, length: int = 60) -> str:
    """Return the name of a data source as titles have it: without the folders that it lies in, and not too long.

    Parameters
    ----------
    source : str
        Name of a file, folder or built-in set; several are separated by ", ".
    length : int
        Most characters. Default 60.

    Returns
    -------
    str
        Last part of each path, shortened as by `shortened`.

    Examples
    --------
    >>> source_name("/home/me/photos/, b/c.zip")
    'photos, c.zip'
    """
    parts = (re.split(r"[/\\]", part.rstrip("/\\"))[-1] or part for part in source.split(", "))
    return shortened(", ".join(parts), length)


def percent(share: float, error: float | None = None, digits: int = 3) -> str:
    """Write a share in per cent with its standard error, as in "1.50 ± 0.12 %"; for the digits see `with_error`."""
    return with_error(100 * share, None if error is None else 100 * error, digits) + " %"


def space_in_words(space: "Space") -> str:
    """Return the name of a colour space as titles and captions have it."""
    return _SPACES[space]


def in_space(space: "Space", before: str = " in ") -> str:
    """Return words that a title ends with, as in " in cones (LMS)"; empty for sRGB, which is the rule."""
    return "" if space == "srgb" else f"{before}{space_in_words(space)}"
