"""Exceptions and warnings of ndtools.

Misuse of the library raises :class:`ValueError` or :class:`TypeError` with what was wanted and what was
found. Everything a user can cause with data, options or files is an :class:`NdtoolsError`; the command line
turns each branch of this tree into one exit code (``ndtools.console.failures``).

Messages quote names and texts that come from files. They are one line, and hold nothing that a terminal would
act upon: control characters are escaped when the error is made.
"""

import os
import re

__all__ = [
    "DataError",
    "MatrixError",
    "NdtoolsError",
    "NotConvergedError",
    "NotPositiveDefiniteError",
    "NumericalError",
    "NumericalWarning",
    "OptionError",
    "OutputError",
    "printable",
    "reason",
]

_LONGEST_REASON = 200


class NdtoolsError(Exception):
    """Base of all errors that ndtools raises knowingly.

    Parameters
    ----------
    message : str
        What is wrong, and the remedy. Control characters in it are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class OptionError(NdtoolsError, ValueError):
    """An option or configuration value is out of range.

    Parameters
    ----------
    option : str
        Field name of the configuration, e.g. ``"kernel_size"``.
    message : str
        What is wrong with it, and the remedy.
    """

    def __init__(self, option: str, message: str) -> None:
        super().__init__(f"{option}: {message}")
        self.option = option
        self.message = printable(message)


class DataError(NdtoolsError):
    """The input is absent or unusable: missing, undecodable, too small, of the wrong format."""


class MatrixError(DataError, ValueError):
    """A matrix that was given is not square, not symmetric or not finite."""


class NumericalError(NdtoolsError, ArithmeticError):
    """The arithmetic failed on well-formed input."""


class NotPositiveDefiniteError(NumericalError):
    """A matrix whose inverse square root was wanted is not positive definite to working precision."""


class NotConvergedError(NumericalError):
    """An iteration diverged or did not reach its tolerance where it must."""


class OutputError(NdtoolsError, OSError):
    """A result could not be written."""


class NumericalWarning(UserWarning):
    """A result is usable but poor, or means less than it seems to."""


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
