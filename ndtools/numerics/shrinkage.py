"""Shrinkage: covariances of too few rows, pulled towards a multiple of the identity.

The sample covariance S of n rows with d features is singular for n <= d and spreads its eigenvalues for any n near d,
so an inverse square root of it fits the noise of the sample. The estimate (1 − ρ) S + ρ (tr S/d) I keeps the
trace; the two rules here choose ρ for the least expected squared error in the Frobenius norm.

References: Ledoit and Wolf 2004, *A well-conditioned estimator for large-dimensional covariance matrices*; Chen,
Wiesel, Eldar and Hero 2010, *Shrinkage algorithms for MMSE covariance estimation*, eq. 23 (OAS).
"""

import torch
from torch import Tensor

from ndtools.errors import OptionError

__all__ = ["SHRINKAGES", "shrink", "shrinkage_intensity"]

SHRINKAGES = ("none", "lw", "oas")


def shrinkage_intensity(centred: Tensor, covariance: Tensor, kind: str) -> Tensor:
    """Return the share ρ of the multiple of the identity.

    Parameters
    ----------
    centred : Tensor of shape (..., n, d)
        The rows less their mean.
    covariance : Tensor of shape (..., d, d)
        Their biased covariance, S = XᵗX/n.
    kind : {"none", "lw", "oas"}
        0; Ledoit and Wolf's, which asks the rows how much S varies; or the oracle-approximating one, which takes
        them as Gaussian.

    Returns
    -------
    Tensor of shape (...)
        In [0, 1], in the dtype of the covariance.

    Raises
    ------
    OptionError
        If there is no such rule.
    """
    n, d = centred.shape[-2:]
    trace, square = _trace(covariance), covariance.square().sum((-2, -1))
    distance = square - trace**2 / d  # ‖S − μI‖², μ = tr S/d
    alike = distance <= d * torch.finfo(square.dtype).eps * square  # S = μI already: any share gives the same
    distance = torch.where(alike, 1, distance)  # neither it nor its gradient may divide by zero
    if kind == "none":
        return torch.zeros_like(trace)
    if kind == "lw":
        # ‖xxᵗ − S‖² summed over the rows, without forming any xxᵗ: Σ‖x‖⁴ − n‖S‖².
        variation = (centred.square().sum(-1).square().sum(-1) / n - square) / n
        ratio = variation / distance
    elif kind == "oas":
        ratio = ((1 - 2 / d) * square + trace**2) / ((n + 1 - 2 / d) * distance)
    else:
        raise OptionError("shrinkage", f"must be one of {', '.join(SHRINKAGES)}, got {kind!r}")
    return torch.where(alike, 1, ratio).clamp(0, 1)


def shrink(centred: Tensor, covariance: Tensor, kind: str) -> Tensor:
    """Return (1 − ρ) S + ρ (tr S/d) I.

    Parameters
    ----------
    centred, covariance, kind
        As in `shrinkage_intensity`.

    Returns
    -------
    Tensor of shape (..., d, d)
        The covariance itself for "none".
    """
    if kind == "none":
        return covariance
    share = shrinkage_intensity(centred, covariance, kind)[..., None, None]
    d = covariance.shape[-1]
    mean = _trace(covariance)[..., None, None] / d
    identity = torch.eye(d, dtype=covariance.dtype, device=covariance.device)
    return (1 - share) * covariance + share * mean * identity


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)
