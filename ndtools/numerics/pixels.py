"""The scale of pixels: uint8 values 0 ... 255 stand for numbers in [0, 1], and floating-point values for themselves."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["white"]


def white(pixels: NDArray[Any] | Tensor) -> float:
    """Return the value of pixels that stands for 1, by which they are divided to be in [0, 1].

    Parameters
    ----------
    pixels : numpy.ndarray or Tensor
        Pixels of any shape: uint8, or floating point.

    Returns
    -------
    float
        255.0 for uint8, otherwise 1.0.
    """
    return 255.0 if pixels.dtype in (np.uint8, torch.uint8) else 1.0
