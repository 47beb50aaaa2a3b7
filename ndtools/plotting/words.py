"""Numbers as people read them."""

import math

__all__ = ["with_error"]


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
