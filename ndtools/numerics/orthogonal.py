"""Orthogonalisation of matrices by Newton-Schulz iterations, for the steps of an optimiser."""

import torch
from torch import Tensor

from ndtools.numerics.inverse_sqrt import full_precision
from ndtools.numerics.iterations import polynomial
from ndtools.numerics.schedules import QUINTIC, Coefficients, steps_of

__all__ = ["orthogonalised"]


def orthogonalised(matrix: Tensor, n_iter: int = 5, coefficients: Coefficients = QUINTIC) -> Tensor:
    """Return a matrix with the same singular vectors, whose singular values are nearly 1.

    From X = A/‖A‖_F, ``n_iter`` times X ← (q_0 I + q_1 X Xᵗ + q_2 (X Xᵗ)² + ...) X: each singular value σ of X goes to
    σ (q_0 + q_1 σ² + q_2 σ⁴ + ...). With the default schedule, Muon's, they end between 0.68 and 1.21 if they are
    above 2e-3 at the beginning. Smaller ones are raised as far as the steps go; 0 stays 0.

    Parameters
    ----------
    matrix : Tensor of shape (..., m, n)
        Matrix A, of a floating dtype.
    n_iter : int, default 5
        Number of iterations.
    coefficients : Coefficients
        Coefficients of each iteration, see :mod:`ndtools.numerics.schedules`.

    Returns
    -------
    Tensor of shape (..., m, n)
        The orthogonalised matrix, 0 for a matrix of zeros, and NaN where the matrix is not finite.

    References
    ----------
    Jordan et al. 2024, Muon, https://kellerjordan.github.io/posts/muon/

    Examples
    --------
    >>> torch.linalg.svdvals(orthogonalised(torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.1, 0.0]]))).round(decimals=2)
    tensor([1.1300, 0.7000])
    """
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix  # the smaller product
    norm = torch.linalg.matrix_norm(x, keepdim=True)
    x = x / torch.where(norm == 0, 1, norm)
    with full_precision(x.device):
        for row in steps_of(coefficients, n_iter):
            x = polynomial(x @ x.mT, row) @ x
    return x.mT if tall else x
