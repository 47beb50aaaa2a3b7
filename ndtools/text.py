"""Names, texts and numbers as people read them."""

import math
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ndtools.numerics.deconvolution import Deconvolution

__all__ = [
    "counted",
    "percent",
    "precision_in_words",
    "printable",
    "reason",
    "ridge_in_words",
    "shortened",
    "with_error",
]

_LONGEST_REASON = 200


def ridge_in_words(fit: "Deconvolution") -> str:
    """Write the ridge of a deconvolution in both of its units, as in "eps 0.001 (0.013 of the mean variance)"."""
    relative = "" if fit.relative_eps is None else f" ({fit.relative_eps:.2g} of the mean variance)"
    return f"eps {fit.eps:.3g}{relative}"


def precision_in_words(fit: "Deconvolution", separator: str = " · ") -> str:
    """Write how exact a deconvolution is: its inverse, and the covariance it is the inverse of."""
    parts = (
        f"condition {fit.condition:.3g}",
        f"residual {fit.residual:.2g}",
        f"covariance good to {fit.covariance_error:.1g}",
    )
    return separator.join(parts)


def with_error(value: float | None, error: float | None = None, digits: int = 3) -> str:
    """Write a number with its standard error.

    Parameters
    ----------
    value : float or None
        "-" if None.
    error : float, optional
        Its standard error.
    digits : int
        Significant digits of a number without error.

    Returns
    -------
    str
        Both to the error's second digit, as in "0.777 ± 0.032".
    """
    if value is None:
        return "-"
    if error is None or not (error > 0 and math.isfinite(error)):
        return f"{value:.{digits}g}"
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{places}f} ± {error:.{places}f}"


def printable(path: str | os.PathLike[str]) -> str:
    r"""Return a path or text such that it can be printed: undecodable bytes and control characters are escaped.

    Parameters
    ----------
    path : str or path-like
        As the operating system gives it, with surrogates for undecodable bytes.

    Returns
    -------
    str

    Examples
    --------
    >>> printable("caf\udce9.png")
    'caf\\xe9.png'
    """
    text = os.fspath(path)
    try:
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte, in a name from Windows or an archive
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", _escaped, text)


def reason(error: BaseException) -> str:
    """Return what an error of another library says, as part of a line of a message.

    Parameters
    ----------
    error : exception
        The error; of the operating system or of a library that reads a format.

    Returns
    -------
    str
        The first line of its message, printable and at most 200 characters long; the name of its class if it has no
        message.
    """
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = said.strip().splitlines() or [type(error).__name__]
    text = printable(lines[0])
    return text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON - 3]}..."


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def counted(number: int, noun: str) -> str:
    """Write a number of things, as in "1 image" and "25 images"; the plural of the noun ends in s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def shortened(text: str, length: int = 60) -> str:
    """Return a text that is too long for a title as "…" and its end, ``length`` characters in all."""
    return text if len(text) <= length else f"…{text[len(text) - length + 1 :]}"


def percent(share: float, error: float | None = None, digits: int = 3) -> str:
    """Write a share in per cent with its standard error, as in "1.50 ± 0.12 %"; for the digits see `with_error`."""
    return with_error(100 * share, None if error is None else 100 * error, digits) + " %"
