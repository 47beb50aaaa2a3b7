"""Inverse square roots A^(-1/2) of symmetric positive definite matrices.

:func:`inverse_sqrt` is the entry point for all methods: the eigendecomposition, and the iterations of
:mod:`ndtools.numerics.iterations`. It checks its input and reports how well the result whitens.

Reference: Higham 2008, *Functions of Matrices*, theorem 3.11 (derivative).
"""

import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from ndtools.errors import MatrixError, NotConvergedError, NotPositiveDefiniteError, NumericalWarning, OptionError
from ndtools.numerics.iterations import (
    N_ITER,
    CoupledChebyshev,
    CoupledNewtonSchulz,
    DenmanBeavers,
    GramNewtonSchulz,
    Iteration,
    Norm,
    VanillaNewtonSchulz,
    iterates,
)
from ndtools.text import counted

__all__ = [
    "Eigh",
    "InverseSqrt",
    "Method",
    "full_precision",
    "inverse_sqrt",
    "method_from_name",
    "warn_unless_converged",
]


@dataclass(frozen=True, kw_only=True)
class Eigh:
    """Eigendecomposition: D = V Λ^(-1/2) Vᵀ, symmetric to the last bit.

    The decomposition is always in float64, and the result is rounded at the end. In float32 the error would grow with
    the condition number (3e-4 at 1e4, 1e-1 at 1e6). In float64 only the final rounding is left (3e-8), at 1.6 times the
    time (70 against 43 ms for 675×675, two CPU cores). The result is differentiable once, even if eigenvalues coincide.
    """

    n_iter: ClassVar[int] = 0


Method = Eigh | Iteration
_EIGH = Eigh()
_ITERATIONS: dict[str, type[CoupledNewtonSchulz] | type[VanillaNewtonSchulz] | type[GramNewtonSchulz]] = {
    "coupled": CoupledNewtonSchulz,
    "vanilla": VanillaNewtonSchulz,
    "gram": GramNewtonSchulz,
}
_BOUNDED: dict[str, type[CoupledChebyshev] | type[DenmanBeavers]] = {
    "chebyshev": CoupledChebyshev,
    "denman-beavers": DenmanBeavers,
}


def method_from_name(name: str, *, n_iter: int = N_ITER, norm: Norm = "fro", lower: float = 1e-5) -> Method:
    """Return the configuration of the method with a short name.

    Parameters
    ----------
    name : {"eigh", "coupled", "vanilla", "gram", "chebyshev", "denman-beavers"}
        Short name of the method.
    n_iter, norm
        Number of iterations, and the norm ‖A‖ that an iteration divides by; ignored for "eigh".
    lower : float
        Approximate λ_min/‖A‖, for "chebyshev" and "denman-beavers"; ignored for the others.

    Returns
    -------
    Method
        Configuration of the method.

    Raises
    ------
    OptionError
        If the name is unknown, or a value out of range.
    """
    if name == "eigh":
        return _EIGH
    if name not in {**_ITERATIONS, **_BOUNDED}:
        known = ", ".join([*_ITERATIONS, *_BOUNDED])
        raise OptionError("method", f"must be one of eigh, {known}, got {name!r}")
    if name in _BOUNDED:
        return _BOUNDED[name](n_iter=n_iter, norm=norm, lower=lower)
    return _ITERATIONS[name](n_iter=n_iter, norm=norm)


@dataclass(frozen=True, eq=False)
class InverseSqrt:
    """Inverse square root D ≈ A^(-1/2) of each matrix of a batch, with a report on how well it whitens.

    Attributes
    ----------
    matrix : Tensor of shape (..., d, d)
        Inverse square root D, float32 or float64.
    n_iter : int
        Number of iterations; 0 for :class:`Eigh`.
    eigenvalues : float64 Tensor of shape (..., d)
        Eigenvalues of A, ascending.
    condition : float64 Tensor of shape (...)
        Condition number λ_max/λ_min of A.
    residual : float64 Tensor of shape (...)
        Residual ‖D A D − I‖_F/√d, evaluated in float64: 0 whitens exactly, 1 is as poor as D = 0.
    converged : bool Tensor of shape (...)
        Whether the residual is at most the requested tolerance.
    """

    matrix: Tensor
    n_iter: int
    eigenvalues: Tensor
    condition: Tensor
    residual: Tensor
    converged: Tensor


def inverse_sqrt(matrix: Tensor, method: Method = _EIGH, *, tolerance: float = 1e-3) -> InverseSqrt:
    """Compute the inverse square root of each symmetric positive definite matrix of a batch.

    Matrices in float16 and bfloat16 are computed and returned in float32. Autocast and TF32 have no effect. The result
    is differentiable; the report on it is not.

    Parameters
    ----------
    matrix : Tensor of shape (..., d, d)
        Matrices A, symmetric up to rounding (the symmetric part is used), with any ridge already added.
    method : Method
        Configuration of the algorithm.
    tolerance : float
        Largest residual for which the result counts as converged. A larger one causes no warning here.

    Returns
    -------
    InverseSqrt
        Inverse square roots D = A^(-1/2) with their condition numbers and residuals.

    Raises
    ------
    TypeError
        If ``matrix`` is not of a floating dtype.
    MatrixError
        If a matrix is not square, not finite or not symmetric.
    NotPositiveDefiniteError
        If λ_min <= d·eps·λ_max, with eps of the dtype of the computation: rounding alone could have made it positive.
    NotConvergedError
        If the iteration diverged: its result is not finite, or whitens worse than D = 0 would.

    Examples
    --------
    >>> inverse_sqrt(torch.tensor([[4.0, 0.0], [0.0, 16.0]])).matrix
    tensor([[0.5000, 0.0000],
            [0.0000, 0.2500]])
    >>> partly = inverse_sqrt(torch.diag(torch.tensor([1.0, 0.01])), CoupledNewtonSchulz(n_iter=5))
    >>> f"condition {partly.condition:.0f}, residual {partly.residual:.2f}, converged: {partly.converged}"
    'condition 100, residual 0.40, converged: False'
    """
    a, values, vectors, condition = checked(matrix)
    with full_precision(a.device):
        if isinstance(method, Eigh):
            d = _SpectralInverseSqrt.apply(a.double(), values, vectors).to(a.dtype)  # type: ignore[no-untyped-call]
        else:
            d = deque(iterates(a, method), maxlen=1)[0]
        whitened = d.detach().double() @ a.detach().double() @ d.detach().double()
    eye = torch.eye(a.shape[-1], dtype=torch.float64, device=a.device)
    residual = (whitened - eye).square().mean((-2, -1)).mul(a.shape[-1]).sqrt()
    if (bad := ~(residual <= 1)).any():
        at, label = _first(bad)
        raise NotConvergedError(
            f"{type(method).__name__} diverged on {label} within {method.n_iter} iterations: residual"
            f" {residual[at]:.3g} (D = 0 would have 1), condition number {condition[at]:.3g};"
            " use the method eigh or coupled, or a larger ridge eps"
        )
    return InverseSqrt(d, method.n_iter, values, condition, residual, residual <= tolerance)


def warn_unless_converged(root: InverseSqrt, *, stacklevel: int = 2) -> None:
    """Warn if an inverse square root whitens only in part.

    Parameters
    ----------
    root : InverseSqrt
        Inverse square root of one matrix.
    stacklevel : int
        Level of the warning, as :func:`warnings.warn` counts it. Default 2: the caller.

    Warns
    -----
    NumericalWarning
        If the residual is above the tolerance.
    """
    if not root.converged:
        warnings.warn(
            f"D whitens only in part after {counted(root.n_iter or 0, 'iteration')}: residual "
            f'{root.residual:.2g} at condition {root.condition:.3g}; use more `iterations`, or `method="eigh"`',
            NumericalWarning,
            stacklevel=stacklevel + 1,
        )


def checked(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Check that matrices have inverse square roots, and return their eigendecompositions.

    Parameters
    ----------
    matrix : Tensor of shape (..., d, d)
        Matrices A, as in `inverse_sqrt`, which also lists the errors.

    Returns
    -------
    tuple of Tensor
        Symmetric parts in float32 or float64; eigenvalues (ascending), eigenvectors and condition numbers in float64.
    """
    a = symmetric_part(matrix)
    values, vectors = torch.linalg.eigh(a.detach().double())
    return a, values, vectors, _condition(values, a.dtype)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Compute matrix products on ``device`` in the dtype of their operands: no autocast, no TF32 or bfloat16.

    The settings are restored afterwards, also after an exception. Until then they affect every thread of the process.
    """
    backend = {"cuda": torch.backends.cuda, "cpu": torch.backends.mkldnn}.get(device.type)
    matmul: Any = getattr(backend, "matmul", None)
    if hasattr(matmul, "fp32_precision"):  # torch >= 2.9, where even reading the older setting can raise an error
        before, full = matmul.fp32_precision, "ieee"
        set_precision: Any = partial(setattr, matmul, "fp32_precision")
    else:
        before, full = torch.get_float32_matmul_precision(), "highest"
        set_precision = torch.set_float32_matmul_precision
    set_precision(full)
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        set_precision(before)


class _SpectralInverseSqrt(torch.autograd.Function):
    # V Λ^(-1/2) Vᵀ. The derivative of eigh divides by λ_i − λ_j, which fails if eigenvalues coincide. The divided
    # difference of λ^(-1/2) does not: it is −1/(s_i s_j (s_i + s_j)) with s = √λ.
    @staticmethod
    def forward(ctx: FunctionCtx, matrix: Tensor, values: Tensor, vectors: Tensor) -> Tensor:
        ctx.save_for_backward(values, vectors)
        d = (vectors * values.rsqrt().unsqueeze(-2)) @ vectors.mT
        return (d + d.mT) / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401 (no saved_tensors in torch's type)
        values, v = ctx.saved_tensors
        s_i, s_j = values.sqrt().unsqueeze(-1), values.sqrt().unsqueeze(-2)
        inner = (v.mT @ grad @ v) / (s_i * s_j * (s_i + s_j))
        return -(v @ inner @ v.mT), None, None


def symmetric_part(matrix: Tensor) -> Tensor:
    """Return (A + Aᵀ)/2, after a check that it differs from A only by rounding in A's dtype.

    Parameters
    ----------
    matrix : Tensor of shape (..., d, d)
        Matrices A of a floating dtype.

    Returns
    -------
    Tensor
        Symmetric part, float64 if the matrix is float64, else float32.

    Raises
    ------
    TypeError
        If it is not a tensor of a floating dtype.
    MatrixError
        If a matrix is not square, not finite or not symmetric.
    """
    if not isinstance(matrix, Tensor):
        raise TypeError(f"matrix must be a torch.Tensor, got {type(matrix).__name__}; use torch.as_tensor")
    if not matrix.is_floating_point():
        raise TypeError(f"matrix must have a floating dtype, got {matrix.dtype}")
    if matrix.dim() < 2 or matrix.shape[-1] != matrix.shape[-2] or matrix.shape[-1] == 0:
        raise MatrixError(f"matrix must be square, of shape (..., d, d), got {tuple(matrix.shape)}")
    a = matrix if matrix.dtype == torch.float64 else matrix.float()
    if (bad := ~a.isfinite().all(-1).all(-1)).any():
        raise MatrixError(f"{_first(bad)[1]} must be finite, got NaN or Inf")
    # A product XᵀX may sum its N terms in different orders on the two sides of the diagonal. The sums then differ by
    # about √N·eps (N up to 10^6 is allowed). After that every entry may have been rounded to the given dtype.
    allowed = (1000 * torch.finfo(a.dtype).eps + torch.finfo(matrix.dtype).eps) * a.abs().amax((-2, -1))
    asymmetry = (a - a.mT).abs().amax((-2, -1))
    if (bad := asymmetry > allowed).any():
        at, label = _first(bad)
        reached = f"|A − Aᵀ| up to {asymmetry[at]:.3g} (rounding explains {allowed[at]:.3g})"
        raise MatrixError(f"{label} must be symmetric, got {reached}")
    return a / 2 + a.mT / 2


def _condition(values: Tensor, dtype: torch.dtype) -> Tensor:
    low, high = values[..., 0], values[..., -1]
    share = values.shape[-1] * torch.finfo(dtype).eps  # rounding A moves its eigenvalues by up to d·eps·λ_max
    if (bad := low <= share * high).any():
        at, label = _first(bad)
        ridge = (share * high[at] - low[at]) / (1 - share)
        raise NotPositiveDefiniteError(
            f"{label} is not positive definite to working precision ({dtype}): smallest eigenvalue"
            f" {low[at]:.3g}, largest {high[at]:.3g}, and their ratio must exceed {share:.1e};"
            f" add a ridge: eps above {max(ridge.item(), 0):.2g} on the diagonal"
        )
    return high / low


def _first(bad: Tensor) -> tuple[tuple[int, ...], str]:
    at = tuple(bad.nonzero()[0].tolist())
    return at, f"matrix {list(at)} of the batch" if at else "the matrix"
