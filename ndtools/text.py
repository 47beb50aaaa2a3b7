"""Numbers as people read them."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ndtools.numerics.deconvolution import Deconvolution

__all__ = ["precision_in_words", "ridge_in_words", "with_error"]


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
