"""The map that deconvolves images."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ndtools.data.images.decoding import Pixels
from ndtools.errors import NumericalError
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.linear_whitening import restoring_scales
from ndtools.numerics.patches import as_pixels
from ndtools.transforms.whiten import Whiten

__all__ = ["deconvolved_values", "deconvolving"]


def deconvolving(
    config: DeconvolveConfig, kernels: Tensor, mean: Tensor, covariance: Covariance | None = None
) -> Whiten:
    """Return the map from images to deconvolved images.

    Parameters
    ----------
    config : DeconvolveConfig
        Configuration with the border, and with ``keep_scale``.
    kernels : Tensor of shape (C, C, k, k)
        Kernels of the deconvolution, float64.
    mean : Tensor of shape (C·k²,)
        Mean of the patches that the deconvolution subtracts, float64.
    covariance : Covariance, optional
        Mean and covariance of the patches of the images that are deconvolved, which ``keep_scale`` needs.

    Returns
    -------
    Whiten
        Map of float32. With ``keep_scale``, each output channel has the mean and the standard deviation that the
        channel has at the centres of those patches.
    """
    offset = None
    if config.keep_scale:
        assert covariance is not None
        kernels = kernels * restoring_scales(kernels, covariance)[:, None, None, None]
        mean, offset = covariance.mean, covariance.at_centre().mean
    return Whiten(mean, kernels, offset=offset, border=config.border, dtype=torch.float32)


def deconvolved_values(whiten: Whiten, pixels: Pixels, name: str) -> NDArray[np.float32]:
    """Return a deconvolved image of shape (C, H', W'); NumericalError with its name if it overflows."""
    with torch.no_grad():
        values: NDArray[np.float32] = whiten(as_pixels(pixels)).numpy()
    if not np.isfinite(values).all():
        raise NumericalError(f"{name}: the deconvolved image overflows; the kernels are too large")
    return values
