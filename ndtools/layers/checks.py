"""Inputs that a layer cannot take, named before anything is averaged."""

import torch
from torch import Tensor

__all__ = ["check_dtype"]


def check_dtype(x: Tensor, dtype: torch.dtype | None = None) -> None:
    """Refuse inputs of a dtype that a layer cannot compute in.

    Parameters
    ----------
    x : Tensor
        Input.
    dtype : torch.dtype, optional
        Of the layer's weights; under autocast any floating dtype will do, as without weights.

    Raises
    ------
    TypeError
        If the input is of another dtype.
    """
    if not x.is_floating_point():
        raise TypeError(f"expected an input of a floating dtype, got {x.dtype}")
    if dtype not in (None, x.dtype) and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"expected an input of the dtype of the weights, {dtype}, got {x.dtype}")
