"""Normalisation of single samples before their deconvolution, as in the method's successor (ND++, AAAI 2022)."""

import torch
from torch import Tensor

from ndtools.layers.config import DeconvConfig

__all__ = ["each_normalised"]


def each_normalised(x: Tensor, config: DeconvConfig, *, axes: int) -> Tensor:
    """Return samples without their own mean and scale, if the configuration asks for that.

    Parameters
    ----------
    x : Tensor of shape (..., C, H, W) or (..., F)
        Images or vectors, whose axes are the last ones.
    config : DeconvConfig
        Settings, of which ``layer_norm`` and ``eps`` count.
    axes : int
        Number of axes of one sample: 3 for images, 1 for vectors.

    Returns
    -------
    Tensor
        (x − mean)/(std + eps) with mean and unbiased standard deviation of each sample, in the dtype of the input; the
        input itself without ``layer_norm``. A sample that does not vary becomes zero.
    """
    if not config.layer_norm:
        return x
    with torch.autocast(x.device.type, enabled=False):
        wide = x.float() if x.dtype.itemsize < 4 else x
        over = tuple(range(x.dim() - axes, x.dim()))
        several = x[(0,) * (x.dim() - axes)].numel() > 1 if x.numel() else False
        variance, mean = torch.var_mean(wide, over, correction=int(several), keepdim=True)
        # A variance of zero has a gradient of zero, as the square root of zero has none.
        deviation = variance.clamp_min(torch.finfo(wide.dtype).tiny).sqrt()
        return ((wide - mean) / (deviation + config.eps)).to(x.dtype)
