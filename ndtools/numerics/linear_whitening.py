"""Linear maps that whiten features: W with W A Wᵀ = I for A = Cov + eps·I, in one of three forms.

All such maps are rotations of one another, W = Q A^(-1/2) with Q orthogonal. "zca" (Q = I) changes the features least.
"pca" gives the principal components, each divided by its standard deviation. "cholesky" whitens each feature by itself
and the features before it, with a triangular matrix.

Reference: Kessy, Lewin and Strimmer 2018, *Optimal whitening and decorrelation*, The American Statistician 72.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from ndtools.errors import OptionError
from ndtools.numerics.covariance import Covariance, absolute_ridge, has_variance, warn_if_degenerate
from ndtools.numerics.inverse_sqrt import Eigh, Method, checked, inverse_sqrt, warn_unless_converged
from ndtools.numerics.products import ridged
from ndtools.validation import check_choice

__all__ = ["COPIES", "Form", "LinearWhitening", "linear_whitening", "restoring_scales"]

Form = Literal["zca", "pca", "cholesky"]

COPIES = 9  # number of float64 matrices of the size of the covariance that are held, at most, while W is computed


@dataclass(frozen=True, eq=False)
class LinearWhitening:
    """Linear map x -> W (x - μ) that whitens features, and its inverse.

    Attributes
    ----------
    mean : Tensor of shape (d,)
        Mean μ of the features, float64.
    matrix : Tensor of shape (d, d)
        Whitening matrix W, float64.
    inverse : Tensor of shape (d, d)
        Inverse of W, float64.
    eps : float
        Absolute ridge, in squared units of the features.
    """

    mean: Tensor
    matrix: Tensor
    inverse: Tensor
    eps: float


def linear_whitening(
    covariance: Covariance,
    form: Form = "zca",
    *,
    eps: float,
    relative: bool = False,
    method: Method | None = None,
    samples: str = "samples",
) -> LinearWhitening:
    """Compute a matrix that whitens features, and its inverse.

    Parameters
    ----------
    covariance : Covariance
        Mean and covariance of the features.
    form : {"zca", "pca", "cholesky"}
        Form of the matrix W. "zca" is the symmetric D = A^(-1/2). "pca" is Λ^(-1/2) Vᵀ with the eigenvalues Λ of A,
        largest first, and eigenvectors V, of each of which the entry of largest magnitude is positive. "cholesky" is
        L^(-1) with A = L Lᵀ, L lower triangular with a positive diagonal. Default "zca".
    eps : float
        Ridge added to the diagonal of the covariance, at least 0.
    relative : bool
        Whether ``eps`` is in units of the mean variance of a feature. Default False.
    method : Method, optional
        Algorithm of the inverse square root, for "zca" only; the eigendecomposition by default.
    samples : str
        Noun of what the covariance is of, for warnings. Default "samples".

    Returns
    -------
    LinearWhitening
        Matrix and inverse, in float64.

    Raises
    ------
    OptionError
        If the form is unknown, or a method is given for another form than "zca".
    ValueError
        If ``eps`` is negative.
    NotPositiveDefiniteError
        If the covariance with the ridge is singular to working precision.

    Warns
    -----
    NumericalWarning
        If there are no more samples than features, nothing varies, or the iteration has not converged.
    """
    check_choice("form", form, get_args(Form))
    if method is not None and form != "zca":
        raise OptionError("method", f"has no meaning for the form {form!r}; it is the algorithm of A^(-1/2)")
    ridge = absolute_ridge(covariance, eps, relative=relative)
    warn_if_degenerate(covariance, samples=samples, remedy="add some, or take a larger eps", stacklevel=3)
    a = ridged(covariance.matrix, ridge)
    if form == "zca":
        root = inverse_sqrt(a, method or Eigh())
        warn_unless_converged(root, stacklevel=3)
        inverse = torch.linalg.inv(root.matrix)
        return LinearWhitening(covariance.mean, root.matrix, (inverse + inverse.mT) / 2, ridge)
    a, values, vectors, _ = checked(a)
    if form == "pca":
        values, vectors = values.flip(0).sqrt(), vectors.flip(1)
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        vectors = vectors * largest.sign()
        return LinearWhitening(covariance.mean, (vectors / values).mT.contiguous(), vectors * values, ridge)
    lower = torch.linalg.cholesky(a)
    eye = torch.eye(len(a), dtype=a.dtype, device=a.device)
    return LinearWhitening(covariance.mean, torch.linalg.solve_triangular(lower, eye, upper=False), lower, ridge)


def restoring_scales(kernels: Tensor, covariance: Covariance) -> Tensor:
    """Return factors that give deconvolved channels the standard deviations that they had before.

    Parameters
    ----------
    kernels : Tensor of shape (C, C, k_y, k_x)
        Kernels of a deconvolution, float64.
    covariance : Covariance
        Covariance of the patches to which they are applied, with odd sides.

    Returns
    -------
    Tensor of shape (C,)
        Standard deviation of each channel at the centre of a patch, divided by that of the output channel; 1 for a
        channel that is constant.
    """
    rows = kernels.flatten(1)
    after = (rows @ covariance.matrix * rows).sum(1).clamp_min(0).sqrt()
    before = covariance.at_centre().matrix.diagonal().clamp_min(0).sqrt()
    varies = torch.tensor(has_variance(covariance), device=before.device) & (after > 0)
    return torch.where(varies, before / torch.where(varies, after, 1.0), 1.0)
