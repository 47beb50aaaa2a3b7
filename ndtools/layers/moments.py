"""Means and covariances of a layer's input, whose gradient needs little memory and no extra pass over the input."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ndtools.layers.blocks import Part
from ndtools.layers.sampling import Sampling
from ndtools.numerics.inverse_sqrt import full_precision
from ndtools.numerics.products import outer_products
from ndtools.numerics.shrinkage import shrink

__all__ = ["Moments", "exact_product", "moments_of", "pool", "shrunk_moments_of"]

Moments = tuple[Tensor, Tensor]
"""Means (G, S, F) and covariances (G, S, F, F)."""


def moments_of(
    x: Tensor, sampling: Sampling, parts: Sequence[Part], groups: int, dtype: torch.dtype
) -> tuple[Tensor, list[int], list[Moments]]:
    """Return means and covariances of sampled features, block by block.

    Parameters
    ----------
    x : Tensor
        Input of a layer.
    sampling : Sampling
        Sampling of the features.
    parts : sequence of Part
        Layout of the blocks.
    groups : int
        Number of groups of channels.
    dtype : torch.dtype
        Dtype of the arithmetic and of the moments.

    Returns
    -------
    x : Tensor
        The input, to be used in place of the argument, and by one operation only. In the backward pass the gradient of
        the moments is added in place to the gradient that arrives through this tensor, which saves a pass over the
        pixels that are not sampled. A hook on the operation that uses it is therefore shown a gradient that changes
        afterwards.
    counts : list of int
        Number of samples M of each stack, for each part.
    moments : list of (Tensor, Tensor)
        Means (G, S, F) and covariances (G, S, F, F), for each part.
    """
    x, *flat = _Moments.apply(x, sampling, parts, groups, dtype)  # type: ignore[no-untyped-call]
    counts = [rows.shape[-1] for rows in flat[2::3]]
    return x, counts, list(zip(flat[::3], flat[1::3], strict=True))


def pool(average: Moments, more: Moments, share: float) -> None:
    """Add the moments of further samples to those of others, in place.

    Parameters
    ----------
    average : (Tensor, Tensor)
        Mean (..., F) and covariance (..., F, F), which become those of all samples about their common mean.
    more : (Tensor, Tensor)
        Mean and covariance of the further samples.
    share : float
        Share of the further samples among all, in (0, 1].
    """
    mean, covariance = average
    apart = more[0] - mean  # the spread of the means is part of the covariance of all samples
    covariance.lerp_(more[1] + (1 - share) * apart[..., None] * apart[..., None, :], share)
    mean.lerp_(more[0], share)


def shrunk_moments_of(
    x: Tensor, sampling: Sampling, parts: Sequence[Part], groups: int, dtype: torch.dtype, shrinkage: str
) -> tuple[int, list[Moments]]:
    """Return means and shrunk covariances of sampled features, block by block, with autograd's own gradient.

    Parameters
    ----------
    x, sampling, parts, groups, dtype
        The same arguments as those of `moments_of`.
    shrinkage : {"lw", "oas"}
        Shrinkage of the covariance, see :mod:`ndtools.numerics.shrinkage`.

    Returns
    -------
    count : int
        Number of samples of the features.
    moments : list of (Tensor, Tensor)
        Means (G, S, F) and covariances (G, S, F, F), for each part.
    """
    with full_precision(x.device):
        features = sampling.gather(x).to(dtype)
        grouped = features.reshape(groups, -1, *features.shape[1:])
        moments = []
        for part in parts:
            rows = part.rows(grouped)
            mean = rows.mean(-1, keepdim=True)
            centred = rows - mean
            covariance = centred @ centred.mT / rows.shape[-1]
            moments.append((mean[..., 0], shrink(centred.mT, covariance, shrinkage)))
    return features.shape[-1], moments


def exact_product(a: Tensor, b: Tensor) -> Tensor:
    """Return a b (..., m, k), computed like its gradient in the full precision of the dtype, without TF32."""
    out: Tensor = _ExactProduct.apply(a, b)  # type: ignore[no-untyped-call]
    return out


class _ExactProduct(torch.autograd.Function):
    @staticmethod
    def forward(a: Tensor, b: Tensor) -> Tensor:
        with full_precision(a.device):
            return a @ b

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ANN401, ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:  # noqa: ANN401
        a, b = ctx.saved_tensors
        with full_precision(grad.device):
            of_a = grad @ b.mT if ctx.needs_input_grad[0] else None
            of_b = a.mT @ grad if ctx.needs_input_grad[1] else None
        return of_a, of_b


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(
        x: Tensor, sampling: Sampling, parts: Sequence[Part], groups: int, dtype: torch.dtype
    ) -> tuple[Tensor, ...]:
        features = sampling.gather(x)
        if features.dtype != dtype:
            features = features.to(dtype)
        elif features.untyped_storage().data_ptr() == x.untyped_storage().data_ptr():
            features = features.clone()  # as features are centred in place
        grouped = features.view(groups, -1, *features.shape[1:])
        out = [x]
        with full_precision(x.device):
            for part in parts:
                rows = part.rows(grouped)
                mean = rows.mean(-1, keepdim=True)
                rows -= mean
                out += [mean[..., 0], outer_products(rows).div_(rows.shape[-1]), rows]
        return tuple(out)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:  # noqa: ANN401
        _, ctx.sampling, ctx.parts, *_ = inputs
        centred = output[3::3]
        ctx.mark_non_differentiable(*centred)
        ctx.save_for_backward(*centred)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *grads: Tensor) -> tuple[Tensor | None, None, None, None, None]:  # noqa: ANN401
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None
        features = []
        with full_precision(grad.device):
            for part, rows, of_mean, of_covariance in zip(
                ctx.parts, ctx.saved_tensors, grads[::3], grads[1::3], strict=True
            ):
                count = rows.shape[-1]
                mean = (of_mean / count).flatten(0, 1)[..., None]
                both = ((of_covariance + of_covariance.mT) / count).flatten(0, 1)
                of_rows = torch.baddbmm(mean, both, rows.flatten(0, 1)).view_as(rows)
                features.append(part.features(of_rows))
        whole = features[0] if len(features) == 1 else torch.cat(features, 1)
        if any(stride == 0 for stride in grad.stride()):  # an expanded tensor cannot be written to
            grad = grad.clone()
        ctx.sampling.scatter_add(grad, whole.flatten(0, 1))
        return grad, None, None, None, None
