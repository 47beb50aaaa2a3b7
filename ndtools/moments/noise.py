"""The noise of files: their pixels are rounded, to 8 bits mostly."""

import warnings

from ndtools.errors import NumericalWarning

__all__ = ["warn_if_below_noise"]


def warn_if_below_noise(eps: float, noise: float | None, *, spectrum: bool = True) -> None:
    """Warn if a ridge is smaller than the variance by which files round their pixels.

    Parameters
    ----------
    eps : float
        Absolute ridge, for pixels in [0, 1].
    noise : float or None
        Mean variance of the rounding of the files' pixels; None if it is not known.
    spectrum : bool
        Whether the caller can show the eigenvalues, which the warning then recommends. Default True.

    Warns
    -----
    NumericalWarning
        If the ridge is below the noise, which D then amplifies like any other part of the images.
    """
    if noise is not None and eps < noise:
        look = ", or look at the eigenvalues with `spectrum=True`" if spectrum else ""
        message = (
            f"eps {eps:.2g} is below the noise of the files, whose pixels are rounded (variance {noise:.2g}): D"
            f" amplifies this noise; take a larger `eps`{look}"
        )
        warnings.warn(message, NumericalWarning, stacklevel=3)
