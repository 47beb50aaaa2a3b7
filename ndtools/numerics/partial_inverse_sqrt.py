"""Inverse square root by a fixed number of coupled Newton-Schulz iterations, without checks, for training steps.

On A/‖A‖, with eigenvalues x, the iterations act on each eigenvalue alone (:mod:`ndtools.numerics.iterations`): from
z = 1 and P = x, n times z ← z t and P ← P t² with t = (3 − P)/2. So D = p_n(A/‖A‖)/√‖A‖ for a polynomial p_n. There are
two exact ways to compute it: products of matrices follow the recurrence; with the eigendecomposition the recurrence
runs on numbers. Eigenvalues are faster on CPUs. Products are faster on GPUs, where eigenvalues are slow.

The derivative of D in direction E is, in the eigenbasis of A, the elementwise product of E with the divided differences
p_n[x_i, x_j] (Daleckii and Krein). The same recurrence gives them by a product rule, even if eigenvalues coincide. The
derivative is its own adjoint.

References: Ye et al. 2020, algorithm 1; Higham 2008, *Functions of Matrices*, theorem 3.11.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ndtools.numerics.inverse_sqrt import full_precision

__all__ = ["Route", "partial_inverse_sqrt"]

Route = Literal["eigenvalues", "products"]


def partial_inverse_sqrt(matrix: Tensor, n_iter: int, *, lower: float = 0.0, route: Route | None = None) -> Tensor:
    """Approximate A^(-1/2) by a fixed number of coupled Newton-Schulz iterations from A/‖A‖_F.

    The result is differentiable once. Autocast and TF32 have no effect.

    Parameters
    ----------
    matrix : Tensor of shape (..., d, d)
        Matrix A, float32 or float64, symmetric (not checked) and positive definite.
    n_iter : int
        Number of iterations, at least 1.
    lower : float, default 0
        Known lower bound of the eigenvalues of A, such as the ridge that was added to it. Rounding may move computed
        eigenvalues below this bound, even below 0, where n iterations multiply the error by 2.25^n; the route
        "eigenvalues" raises them to the bound.
    route : {"eigenvalues", "products"}, optional
        Algorithm; both give the same result up to rounding. The default is the one that is faster on the device:
        "eigenvalues" on CPUs, "products" elsewhere. For more than 20 iterations in float32 it is "eigenvalues" on every
        device, because "products" would lose all digits.

    Returns
    -------
    Tensor of shape (..., d, d)
        D ≈ A^(-1/2), symmetric; NaN where A is not finite.
    """
    with full_precision(matrix.device):
        if (route or _fastest(matrix, n_iter)) == "eigenvalues":
            out: Tensor = _ByEigenvalues.apply(matrix, n_iter, lower)[0]  # type: ignore[no-untyped-call]
        else:
            out = _ByProducts.apply(matrix, n_iter)[0]  # type: ignore[no-untyped-call]
    return out


def _norm(matrix: Tensor) -> Tensor:
    """Return the Frobenius norm, also where squares of entries overflow (above 1e19 in float32) or underflow."""
    largest = matrix.abs().amax((-2, -1))
    size = torch.where(largest > 0, largest, 1)
    norm: Tensor = torch.linalg.matrix_norm(matrix / size[..., None, None]) * size
    return norm


def _fastest(matrix: Tensor, n_iter: int) -> Route:
    # With singular covariances of 576 features, products lose all digits beyond 20 iterations in float32.
    unstable = matrix.dtype == torch.float32 and n_iter > 20
    return "eigenvalues" if matrix.device.type == "cpu" or unstable else "products"


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
    """Save all outputs of a forward pass except D for the backward pass."""
    ctx.n_iter = inputs[1]
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*output[1:])


class _ByEigenvalues(torch.autograd.Function):
    @staticmethod
    def forward(matrix: Tensor, n_iter: int, lower: float) -> tuple[Tensor, ...]:
        norm = _norm(matrix)
        finite = norm.isfinite()
        if not finite.all():  # the decomposition would raise an error
            matrix = torch.where(finite[..., None, None], matrix, torch.eye(matrix.shape[-1]).to(matrix))
            norm = torch.where(finite, norm, torch.nan)
        values, vectors = torch.linalg.eigh(matrix)
        values = values.clamp_min(lower)
        x = p = values / norm[..., None]
        z = torch.ones_like(p)
        for _ in range(n_iter):
            t = (3 - p) / 2
            z, p = z * t, p * t * t
        return (vectors * (z * norm.rsqrt()[..., None]).unsqueeze(-2)) @ vectors.mT, x, vectors, norm

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
        _save(ctx, inputs, output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        x, v, norm = ctx.saved_tensors
        with full_precision(grad.device):
            z, divided = _divided_differences(x, ctx.n_iter)
            inner = v.mT @ (grad @ v)
            # D = p_n(A/s)/√s also depends on A through s = ‖A‖: dD/ds = −(x p_n' + p_n/2) s^(-3/2)
            slope = x * divided.diagonal(dim1=-2, dim2=-1) + z / 2
            along = -(inner.diagonal(dim1=-2, dim2=-1) * slope).sum(-1, keepdim=True) * x
            inner.mul_(divided).diagonal(dim1=-2, dim2=-1).add_(along)
            scale = norm.rsqrt()[..., None, None]
            inner.mul_(scale).mul_(scale * scale)  # not by norm^(-3/2), which underflows for large inputs
            out = v @ (inner @ v.mT)
        return (out + out.mT) / 2, None, None


def _divided_differences(p: Tensor, n_iter: int) -> tuple[Tensor, Tensor]:
    """Return p_n(x_i) and the divided differences p_n[x_i, x_j] for x = ``p`` of shape (..., d)."""
    z = torch.ones_like(p)
    dp = p.new_ones(*p.shape, p.shape[-1])
    dz = torch.zeros_like(dp)
    for left in range(n_iter, 0, -1):
        t = (3 - p) / 2
        dz.mul_(t[..., None, :]).addcmul_(dp, z[..., None], value=-0.5)  # z[i, j] t_j + z_i t[i, j]
        if left > 1:  # P ↦ P t² has the divided differences (a_i + P_i P_j + b_j)/4
            one, a = torch.ones_like(p), p * p - 6 * p
            dp *= torch.stack([a / 4, p / 4, one], -1) @ torch.stack([one, p, (a + 9) / 4], -2)
        z, p = z * t, p * t * t
    return z, dz


class _ByProducts(torch.autograd.Function):
    # Products for each iteration but the first: 3 forward, and 4 backward, because the derivatives are symmetric.
    @staticmethod
    def forward(matrix: Tensor, n_iter: int) -> tuple[Tensor, ...]:
        norm = _norm(matrix)[..., None, None]
        p = matrix / norm
        z = t = _plus(-p / 2, 1.5)
        kept = [norm, p]
        for _ in range(n_iter - 1):
            p = (p @ t) @ t
            t = _plus(-p / 2, 1.5)
            kept += [p, z]
            z = z @ t
        return z / norm.sqrt(), *kept, z

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
        _save(ctx, inputs, output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        norm, first, *later, last = ctx.saved_tensors
        with full_precision(grad.device):
            grad_z = (grad + grad.mT) / 2
            total = grad_z
            grad_p = None  # the P after the last iteration is not used
            for p, z in zip(later[-2::-2], later[:0:-2], strict=True):
                grad_p = _through_cubic(p, grad_p) - _symmetric(grad_z @ z) / 2
                grad_z = _symmetric(grad_z @ _plus(-p / 2, 1.5))
            grad_p = _through_cubic(first, grad_p) - grad_z / 2
        slope = (grad_p * first).sum((-2, -1), keepdim=True) + (total * last).sum((-2, -1), keepdim=True) / 2
        return (grad_p - slope * first) / norm.sqrt() / norm, None


def _through_cubic(p: Tensor, grad: Tensor | None) -> Tensor | float:
    """Return the derivative of P ↦ P t² = P(3 − P)²/4 in a symmetric direction, by 2 products; 0 for None."""
    if grad is None:
        return 0
    pe = p @ grad
    inner = pe + pe.mT / 2
    return (9 * grad - 12 * _symmetric(pe)) / 4 + _symmetric(p @ inner) / 2


def _plus(matrix: Tensor, value: float) -> Tensor:
    matrix.diagonal(dim1=-2, dim2=-1).add_(value)
    return matrix


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.mT) / 2
