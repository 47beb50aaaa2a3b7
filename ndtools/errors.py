"""Exceptions and warnings of ndtools.

Misuse of the library raises :class:`ValueError` or :class:`TypeError` with what was wanted and what was
found. Everything a user can cause with data, options or files is an :class:`NdtoolsError`; the command line
turns each branch of this tree into one exit code (``ndtools.console.failures``).

Messages quote names and texts that come from files. They are one line, and hold nothing that a terminal would
act upon: control characters are escaped when the error is made.
"""

from typing import TYPE_CHECKING

from ndtools.text import printable

if TYPE_CHECKING:
    from ndtools.data.images.sources import Skipped

__all__ = [
    "DataError",
    "MatrixError",
    "NoUsableImageError",
    "NdtoolsError",
    "NotConvergedError",
    "NotPositiveDefiniteError",
    "NumericalError",
    "NumericalWarning",
    "OptionError",
    "OutputError",
    "SkippedImageWarning",
]


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


class NoUsableImageError(DataError):
    """Nothing in a source could be used.

    Parameters
    ----------
    message : str
        Says so, with the first reason.
    skipped : tuple of Skipped
        All that was tried.
    """

    def __init__(self, message: str, skipped: tuple["Skipped", ...]) -> None:
        super().__init__(message)
        self.skipped = skipped


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


class SkippedImageWarning(UserWarning):
    """An image could not be read and was left out."""
