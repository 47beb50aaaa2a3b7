"""Inverse of the convolution of images that are continued by their opposite side, by Fourier transform."""

import torch
from torch import Tensor

from ndtools.errors import MatrixError

__all__ = ["circular_inverse"]


def circular_inverse(images: Tensor, weight: Tensor) -> Tensor:
    """Return the images whose circular convolution gives the ones that are passed.

    A circular convolution multiplies each frequency of an image by a matrix of C × C numbers, so its inverse solves a
    linear system for each frequency.

    Parameters
    ----------
    images : Tensor of shape (..., C, H, W)
        Images that were convolved, without bias.
    weight : Tensor of shape (C, C, k_y, k_x)
        Kernels for cross-correlation, with odd sides.

    Returns
    -------
    Tensor of shape (..., C, H, W)
        Images before the convolution, in the dtype of ``images``.

    Raises
    ------
    MatrixError
        If the convolution removes a frequency, so that it has no inverse.
    """
    height, width = images.shape[-2:]
    ky, kx = weight.shape[-2:]
    # Output pixel p is the sum of weight[q] times pixel p + q - centre, so weight[q] stands at centre - q.
    rows = (ky // 2 - torch.arange(ky, device=weight.device)) % height
    columns = (kx // 2 - torch.arange(kx, device=weight.device)) % width
    kernel = weight.new_zeros(*weight.shape[:2], height * width)
    places = (rows[:, None] * width + columns).flatten()
    kernel = kernel.index_add(-1, places, weight.flatten(2)).view(*weight.shape[:2], height, width)
    response = torch.fft.rfft2(kernel).movedim((0, 1), (-2, -1))
    spectrum = torch.fft.rfft2(images).movedim(-3, -1)
    try:
        solved = torch.linalg.solve(response, spectrum.unsqueeze(-1)).squeeze(-1)
    except RuntimeError:  # torch.linalg.LinAlgError
        raise MatrixError(
            f"weight must have an inverse for images of {height}×{width} pixels, got kernels that remove a frequency"
        ) from None
    inverse: Tensor = torch.fft.irfft2(solved.movedim(-1, -3), s=(height, width))
    return inverse
