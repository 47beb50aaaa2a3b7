"""Shrinkage of covariances of few rows towards a multiple of the identity.

The sample covariance S of n rows with d features is singular for n <= d, and its eigenvalues are too spread for any n
near d, so its inverse square root fits the noise of the sample. The estimate (1 − ρ) S + ρ (tr S/d) I keeps the trace.
The two rules here choose ρ for the least expected squared error in the Frobenius norm.

References: Ledoit and Wolf 2004, *A well-conditioned estimator for large-dimensional covariance matrices*; Chen,
Wiesel, Eldar and Hero 2010, *Shrinkage algorithms for MMSE covariance estimation*, eq. 23 (OAS).
"""

import torch
from torch import Tensor

from ndtools.errors import OptionError
from ndtools.validation import SHRINKAGES

__all__ = ["oas_shrunk", "shrink", "shrinkage_intensity", "weakened"]


def shrinkage_intensity(centred: Tensor, covariance: Tensor, kind: str) -> Tensor:
    """Return the share ρ of the multiple of the identity in a shrunk covariance.

    Parameters
    ----------
    centred : Tensor of shape (..., n, d)
        Rows with their mean subtracted.
    covariance : Tensor of shape (..., d, d)
        Biased covariance of the rows, S = XᵗX/n.
    kind : {"none", "lw", "oas"}
        Rule for the share. "none" gives 0. "lw" is Ledoit and Wolf's rule, which estimates from the rows how much S
        varies. "oas" is the oracle-approximating rule, which assumes Gaussian rows and uses only S and n.

    Returns
    -------
    Tensor of shape (...)
        Share ρ in [0, 1], in the dtype of the covariance.

    Raises
    ------
    OptionError
        If the rule is unknown.
    """
    n = centred.shape[-2]
    if kind == "none":
        return torch.zeros_like(_trace(covariance))
    if kind == "lw":
        size = _size(covariance)
        centred, covariance = centred / size.sqrt(), covariance / size
        # ‖xxᵗ − S‖² summed over the rows, without forming any xxᵗ: Σ‖x‖⁴ − n‖S‖².
        squares = covariance.square().sum((-2, -1))
        return _share((centred.square().sum(-1).square().sum(-1) / n - squares) / n, covariance)
    if kind == "oas":
        return _oas_intensity(covariance, n)
    raise OptionError("shrinkage", f"must be one of {', '.join(SHRINKAGES)}, got {kind!r}")


def shrink(centred: Tensor, covariance: Tensor, kind: str) -> Tensor:
    """Return the shrunk covariance, (1 − ρ) S + ρ (tr S/d) I.

    Parameters
    ----------
    centred, covariance, kind
        Rows, their covariance and the rule, as in `shrinkage_intensity`.

    Returns
    -------
    Tensor of shape (..., d, d)
        Shrunk covariance; for "none" the covariance itself.
    """
    if kind == "none":
        return covariance
    return _shrunk(covariance, shrinkage_intensity(centred, covariance, kind))


def oas_shrunk(covariance: Tensor, n: int) -> Tensor:
    """Shrink a covariance by the rule "oas", which needs the number of rows but not the rows.

    Parameters
    ----------
    covariance : Tensor of shape (..., d, d)
        Biased covariance S.
    n : int
        Number of rows that S was computed from.

    Returns
    -------
    Tensor of shape (..., d, d)
        Shrunk covariance (1 − ρ) S + ρ (tr S/d) I, differentiable.
    """
    return _shrunk(covariance, _oas_intensity(covariance, n))


def weakened(covariance: Tensor, n: int) -> Tensor:
    """Weaken the correlations of a covariance of few rows; return that of at least three rows a feature unchanged.

    Off-diagonal entries are multiplied by r³ with r = n/(3 d), so that a few rows are standardised, not whitened.
    Whitening by a covariance of n < d rows gives these rows variance 1 in n directions and 0 in the other d − n. Other
    rows have variance in all d directions. With n > d rows of independent normal features, other rows get a variance of
    n/(n − d − 1): in evaluation, activations grow from layer to layer, without bound as n approaches d.

    Parameters
    ----------
    covariance : Tensor of shape (..., d, d)
        Biased covariance S.
    n : int
        Number of rows that S was computed from.

    Returns
    -------
    Tensor of shape (..., d, d)
        Weakened covariance r³ S + (1 − r³) diag S with r = min(1, n/(3 d)).
    """
    d = covariance.shape[-1]
    if n >= _ENOUGH * d:
        return covariance
    variances = torch.diag_embed(covariance.diagonal(dim1=-2, dim2=-1))
    return torch.lerp(variances, covariance, (n / (_ENOUGH * d)) ** 3)


_ENOUGH = 3  # rows a feature


def _oas_intensity(covariance: Tensor, n: int) -> Tensor:
    d = covariance.shape[-1]
    covariance = covariance / _size(covariance)
    squares = covariance.square().sum((-2, -1))
    return _share(((1 - 2 / d) * squares + _trace(covariance) ** 2) / (n + 1 - 2 / d), covariance)


def _size(covariance: Tensor) -> Tensor:
    """Return the largest entry (..., 1, 1), by which covariances are divided so that no square of them overflows."""
    largest = covariance.detach().abs().amax((-2, -1), keepdim=True)  # shares do not depend on it
    return torch.where(largest > 0, largest, 1)


def _share(variation: Tensor, covariance: Tensor) -> Tensor:
    """Return ``variation``, the expected squared error of S, over its squared distance from (tr S/d) I, in [0, 1]."""
    d = covariance.shape[-1]
    squares = covariance.square().sum((-2, -1))
    distance = squares - _trace(covariance) ** 2 / d
    alike = distance <= d * torch.finfo(squares.dtype).eps * squares  # S is (tr S/d) I, and any share keeps it
    distance = torch.where(alike, 1, distance)  # so that neither the share nor its gradient divides by zero
    return torch.where(alike, 1, variation / distance).clamp(0, 1)


def _shrunk(covariance: Tensor, share: Tensor) -> Tensor:
    d = covariance.shape[-1]
    target = (_trace(covariance) / d)[..., None, None] * torch.eye(d, dtype=covariance.dtype, device=covariance.device)
    return torch.lerp(covariance, target, share[..., None, None])


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)
