"""Recognise grey images among images of three channels, from their covariance."""

import warnings

from ndtools.errors import NumericalWarning
from ndtools.numerics.covariance import Covariance, has_variance

__all__ = ["is_grey", "warn_if_grey"]

EQUAL = 1e-6  # variance of the difference of equal channels, in units of theirs


def is_grey(covariance: Covariance) -> bool:
    """Return whether three channels are equal up to rounding and a factor, such as that of white in CIE XYZ."""
    if covariance.channels != 3 or not all(has_variance(covariance)):
        return False
    size = len(covariance.mean) // 3
    blocks = covariance.matrix.view(3, size, 3, size).diagonal(dim1=1, dim2=3)  # (3, 3, size)
    variance = blocks[0, 0]
    ratios = ((variance / blocks[i, i]).sqrt().nan_to_num(1.0, posinf=1.0) for i in (1, 2))
    differences = (variance + s**2 * blocks[i, i] - 2 * s * blocks[0, i] for i, s in zip((1, 2), ratios, strict=True))
    return all(bool((difference.abs() <= EQUAL * variance).all()) for difference in differences)


def warn_if_grey(covariance: Covariance, *, of: str = "", stacklevel: int = 2) -> None:
    """Warn if images of three channels are grey.

    Parameters
    ----------
    covariance : Covariance
        Covariance of the patches of the images.
    of : str
        Name of the set of the images, where there are several. Default: none.
    stacklevel : int
        Position of the line that the warning points to, as for `warnings.warn`. Default 2: the caller.

    Warns
    -----
    NumericalWarning
        If the three channels are equal. Cov is then singular: the inverse square root amplifies the
        differences of the channels by 1/√eps, which says nothing about the images.
    """
    if is_grey(covariance):
        images = f"the images{of and f' of {of}'} are grey"
        message = f"{images}: what their equal channels do to each other is set by eps alone; use `gray=True`"
        warnings.warn(message, NumericalWarning, stacklevel=stacklevel + 1)
