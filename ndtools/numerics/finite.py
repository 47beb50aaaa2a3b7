"""Where the numbers of an array are not finite, in words."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["not_finite"]

_PLACES = {1: ("sample",), 2: ("row", "column"), 3: ("slice", "row", "column")}


def not_finite(values: NDArray[Any]) -> str | None:
    """Say where an array has its first number that is not finite, and what can be done about it.

    Parameters
    ----------
    values : array of shape (C, T), (C, H, W) or (C, D, H, W)
        Numbers of channels.

    Returns
    -------
    str or None
        Text such as "nan at channel 2, row 5, column 7, and 3 more; replace them, as by numpy.nan_to_num, or leave them
        out", which counts channels and all places from 1; None if all numbers are finite.
    """
    if values.dtype.kind not in "fc":
        return None
    bad = ~np.isfinite(values)
    count = int(np.count_nonzero(bad))
    if not count:
        return None
    first = np.unravel_index(int(bad.argmax()), values.shape)
    names = ("channel", *_PLACES[values.ndim - 1])
    place = ", ".join(f"{name} {index + 1}" for name, index in zip(names, first, strict=True))
    more = f", and {count - 1:,} more" if count > 1 else ""
    return f"{values[first]} at {place}{more}; replace them, as by numpy.nan_to_num, or leave them out"
