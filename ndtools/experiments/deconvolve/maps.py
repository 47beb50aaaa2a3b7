"""The map that deconvolves images, and the kernels of a file for it."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ndtools.data.images.decoding import Pixels
from ndtools.data.images.sources import ImageSource
from ndtools.errors import DataError, NumericalError, OptionError
from ndtools.experiments.deconvolve.config import DeconvolveConfig
from ndtools.moments.files import check_space_of_files, read_kernels
from ndtools.numerics.covariance import Covariance
from ndtools.numerics.linear_whitening import restoring_scales
from ndtools.numerics.patches import as_pixels
from ndtools.text import counted
from ndtools.transforms.whiten import Whiten

__all__ = ["deconvolved_values", "deconvolving", "read_fitting"]


def read_fitting(config: DeconvolveConfig, images: ImageSource, path: str) -> tuple[DeconvolveConfig, Tensor, Tensor]:
    """Read the kernels and the mean of a file, if they fit the images; return them after the configuration for both."""
    kernels, mean, space = read_kernels(path)
    check_space_of_files(config.space, space)
    if config.gray and len(kernels) > 1:
        raise OptionError("gray", f"cannot be combined with {path}, which holds kernels of colour images")
    channels = images.channels_decoded(gray=len(kernels) == 1)
    if len(channels) != len(kernels):
        raise DataError(
            f"{path} holds kernels of {counted(len(kernels), 'channel')}, and {images.label} has {len(channels)}"
        )
    return replace(config, space=space).applied_to(images), kernels, mean


def deconvolving(
    config: DeconvolveConfig,
    kernels: Tensor,
    mean: Tensor,
    covariance: Covariance | None = None,
    *,
    calibrated: bool = False,
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
    calibrated : bool
        Whether the images are arrays whose values are taken as they are. Default False.

    Returns
    -------
    Whiten
        Map of float32; of float64 for arrays, whose mean may be so large that float32 rounds the rest away. With
        ``keep_scale``, each output channel has the mean and the standard deviation that the channel has at the centres
        of those patches.
    """
    offset = None
    if config.keep_scale:
        assert covariance is not None
        kernels = kernels * restoring_scales(kernels, covariance)[:, None, None, None]
        mean, offset = covariance.mean, covariance.at_centre().mean
    return Whiten(
        mean, kernels, offset=offset, border=config.border, dtype=torch.float64 if calibrated else torch.float32
    )


def deconvolved_values(whiten: Whiten, pixels: Pixels, name: str) -> NDArray[np.float32]:
    """Return a deconvolved image of shape (C, H', W'); NumericalError with its name if it overflows."""
    with torch.no_grad():
        values: NDArray[np.float32] = whiten(as_pixels(pixels)).numpy().astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise NumericalError(f"{name}: the deconvolved image overflows; the kernels are too large")
    return values
