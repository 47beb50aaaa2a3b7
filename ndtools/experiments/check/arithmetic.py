"""Arithmetic that several checks share: what rounding can do, relative differences, and layers with a fixed D."""

import math

import torch
from torch import Tensor

from ndtools.errors import NotPositiveDefiniteError
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.linear import DeconvLinear
from ndtools.numerics.inverse_sqrt import inverse_sqrt

__all__ = [
    "cancellation",
    "condition_of",
    "fixed",
    "fixed_map",
    "relative",
    "rounding",
    "said",
    "singular_in",
    "whitening_matrix",
]

CONVERGED = 60  # Newton-Schulz iterations: enough for condition numbers up to 1e16, of which each step takes 2.25


def rounding(dtype: torch.dtype, condition: float, *, power: int = 1, terms: int = 1, summed: int = 1) -> float:
    """Return the relative difference that rounding can cause where a power of D = A^(-1/2) undoes the same of A^(1/2).

    An eigendecomposition, or a product of matrices, is that of a matrix A + E with ‖E‖ of up to 16 roundings of ‖A‖.
    To first order, (A + E)^(-1/2) A^(1/2) = I − A^(-1/2) E A^(-1/2)/2 where E commutes with A: it is off by up to half
    the condition number times ‖E‖/‖A‖, so by 8 times the unit of rounding times the condition number, and
    (A + E)^(-1) A by twice as much. Beside it, a sum of many terms has the error of a random walk, the root of their
    number.

    Parameters
    ----------
    dtype : torch.dtype
        Precision of the arithmetic.
    condition : float
        Condition number of A, at least 1; times `cancellation` where D is applied to a gradient.
    power : {1, 2}
        Power of D: 1 for A^(-1/2), 2 for A^(-1). Default 1.
    terms : int
        Number of terms of the longest sum. Default 1.
    summed : int
        Number of rows of a covariance that both sides sum on their own, so that theirs differ by the root of this
        number of roundings if that is more than 16. Default 1.

    Returns
    -------
    float
        Bound of the relative difference.
    """
    roundings = max(16.0, math.sqrt(summed))
    return power * torch.finfo(dtype).eps * (roundings / 2 * condition + 8 * math.sqrt(terms))


def cancellation(errors: Tensor, features: Tensor) -> float:
    """Return by how much the terms of a gradient cancel: ‖E‖‖X‖/‖EᵗX‖, by which their rounding counts more.

    Parameters
    ----------
    errors : Tensor of shape (N, O)
        Derivatives E of the loss with respect to outputs.
    features : Tensor of shape (N, d)
        Features X that the outputs are linear in.

    Returns
    -------
    float
        Factor of at least 1.
    """
    errors, features = errors.double(), features.double()
    return float(errors.norm() * features.norm() / (errors.mT @ features).norm())


def relative(found: Tensor, expected: Tensor) -> float:
    """Return ‖found − expected‖/‖expected‖ in float64, NaN if a value is not finite."""
    expected = expected.double()
    size = float(torch.linalg.vector_norm(expected))
    distance = float(torch.linalg.vector_norm(found.double() - expected))
    if not math.isfinite(distance):
        return math.nan
    return distance / size if size else distance


def said(value: float) -> str:
    """Write a relative difference with two digits for a sentence."""
    return f"{value:.2g}"


def singular_in(dtype: torch.dtype, condition: float) -> str:
    """Return the finding where the covariance of the patches is singular in a precision."""
    name = str(dtype).removeprefix("torch.")
    return (
        f"In {name} the patches cannot be whitened without a ridge, since the condition number of their covariance is"
        f" {condition:.2g}: take float64."
    )


def condition_of(matrix: Tensor) -> float:
    """Return the condition number of a symmetric matrix in float64; infinite if it is not positive definite."""
    values = torch.linalg.eigvalsh(matrix.double())
    return float(values[-1] / values[0]) if values[0] > 0 else math.inf


def whitening_matrix(covariance: Tensor) -> Tensor:
    """Return D = A^(-1/2) by the package's eigendecomposition; all NaN if A is singular in float32, or not finite.

    Parameters
    ----------
    covariance : Tensor of shape (d, d)
        Matrix A, in the precision that is checked.

    Returns
    -------
    Tensor of shape (d, d)
        Matrix D in the same precision.

    Raises
    ------
    NotPositiveDefiniteError
        If A is singular in float64.
    """
    if not torch.isfinite(covariance).all():
        return torch.full_like(covariance, math.nan)
    try:
        return inverse_sqrt(covariance).matrix
    except NotPositiveDefiniteError:
        if covariance.dtype == torch.float64:
            raise
        return torch.full_like(covariance, math.nan)


def fixed(eps: float) -> DeconvConfig:
    """Return settings of a layer that whitens all channels together, and whose D is fixed after one batch."""
    return DeconvConfig.paper(
        block_size=None, n_iter=CONVERGED, eps=eps, sampling_stride=1, freeze_after=1, shrinkage="none"
    )


def fixed_map(layer: FastDeconv2d | DeconvLinear, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Show a layer of `fixed` settings its only batch, and return the mean and the D that it keeps.

    Parameters
    ----------
    layer : FastDeconv2d or DeconvLinear
        Layer in training mode with one block and no groups.
    batch : Tensor
        Input of the layer.

    Returns
    -------
    mean : Tensor of shape (d,)
        Mean of the features.
    matrix : Tensor of shape (d, d)
        Matrix D of the kept statistics.
    """
    with torch.no_grad():
        layer(batch)
    ((mean, matrix),) = layer.whitening.running_statistics()
    return mean[0, 0].detach(), matrix[0, 0].detach()
