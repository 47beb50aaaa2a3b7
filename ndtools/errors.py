"""Exceptions and warnings of ndtools.

Misuse of the library raises :class:`ValueError` or :class:`TypeError`, which state the expected and the given value.
All errors that data, options or files can cause are :class:`NdtoolsError`. The command line turns each branch of this
tree into one exit code (``ndtools.console.failures``).

Messages quote names and texts that come from files. A message is one line without characters that control a terminal:
control characters are escaped when the error is created.

A message that refers to an argument of the library writes it in backquotes, alone or with a value, as in
"take a smaller `kernel_size`" or "use `gray=True`". The command line shows the option of the same name instead.
"""

from typing import TYPE_CHECKING, Self

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
    "SkippedResultWarning",
    "SkippedRunWarning",
    "TrainingDiverged",
    "UnreachableError",
]


class NdtoolsError(Exception):
    """Base class of all errors that ndtools raises deliberately.

    Parameters
    ----------
    message : str
        Description of the problem and its remedy. Control characters in it are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class OptionError(NdtoolsError, ValueError):
    """An option or configuration value is out of range.

    Parameters
    ----------
    option : str
        Name of the field of the configuration, e.g. ``"kernel_size"``.
    message : str
        Description of the problem and its remedy, such that it can follow the name of the option.
    """

    def __init__(self, option: str, message: str) -> None:
        super().__init__(f"{option}: {message}")
        self.option = option
        self.message = printable(message)

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:  # else a worker process could not send the error
        return type(self), (self.option, self.message)


class DataError(NdtoolsError):
    """The input is absent or unusable: missing, undecodable, too small, of the wrong format."""


class UnreachableError(DataError):
    """Storage did not answer, after several attempts. It says nothing about the images, so none is left out for it."""


class NoUsableImageError(DataError):
    """No image of a source could be used.

    Parameters
    ----------
    message : str
        Description of the problem with the reason for the first image.
    skipped : tuple of Skipped
        All images that were tried, each with the reason.
    """

    def __init__(self, message: str, skipped: tuple["Skipped", ...]) -> None:
        super().__init__(message)
        self.skipped = skipped

    def __reduce__(self) -> tuple[type[Self], tuple[str, tuple["Skipped", ...]]]:
        return type(self), (str(self), self.skipped)


class MatrixError(DataError, ValueError):
    """A matrix that was given is not square, not symmetric or not finite."""


class NumericalError(NdtoolsError, ArithmeticError):
    """A computation failed numerically on well-formed input."""


class NotPositiveDefiniteError(NumericalError):
    """A matrix has no inverse square root: it is not positive definite to working precision."""


class NotConvergedError(NumericalError):
    """An iteration diverged, or did not reach its tolerance where convergence is required."""


class TrainingDiverged(NumericalError):  # noqa: N818 (the name of what happened)
    """The loss of a training batch, or weights at the end of an epoch, are NaN or infinite.

    Parameters
    ----------
    message : str
        Description of the problem and its remedy.
    step : int
        Number of the step, from 1. If it is the loss that is not finite, weights are those before that step.
    layer : str, optional
        Name of the first layer whose output is not finite, or whose weights are not at the end of an epoch; None if all
        outputs are finite.
    condition : float, optional
        Condition number of the covariance of that layer's input, with the ridge added; None if the layer does not
        deconvolve, or if its input is not finite.
    """

    def __init__(self, message: str, *, step: int, layer: str | None = None, condition: float | None = None) -> None:
        super().__init__(message)
        self.step, self.layer, self.condition = step, layer, condition


class OutputError(NdtoolsError, OSError):
    """A result could not be written."""


class NumericalWarning(UserWarning):
    """A result is usable but inaccurate, or is weaker evidence than it seems."""


class SkippedImageWarning(UserWarning):
    """An image could not be read and was left out."""


class SkippedResultWarning(UserWarning):
    """A result or training run could not be read and was left out of a report."""


class SkippedRunWarning(UserWarning):
    """A path among those of training runs holds no run and was left out."""
