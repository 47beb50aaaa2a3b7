"""Means and covariances of a layer's input, with a gradient that costs little memory and no pass of its own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ndtools.layers.blocks import Part
from ndtools.layers.sampling import Sampling

__all__ = ["moments_of"]


def moments_of(
    x: Tensor, sampling: Sampling, parts: Sequence[Part], groups: int, dtype: torch.dtype
) -> tuple[Tensor, list[int], list[tuple[Tensor, Tensor]]]:
    """Return means and covariances of sampled features, block by block.

    Parameters
    ----------
    x : Tensor
        Input of a layer.
    sampling : Sampling
        Of its features.
    parts : sequence of Part
        Blocks.
    groups : int
        Of channels.
    dtype : torch.dtype
        To compute in.

    Returns
    -------
    x : Tensor
        The input, to be used in place of it: the gradient of the moments is added in place to the gradient that comes
        back through it, which saves a pass over all that is not sampled. Nothing else must use this tensor.
    counts : list of int
        For each part, samples M of each stack.
    moments : list of (Tensor, Tensor)
        For each part, means (G, S, F) and covariances (G, S, F, F).
    """
    counts: list[int] = []
    x, *flat = _Moments.apply(x, sampling, parts, groups, dtype, counts)  # type: ignore[no-untyped-call]
    return x, counts, list(zip(flat[::2], flat[1::2], strict=True))


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 (what torch's type knows is not enough)
        x: Tensor,
        sampling: Sampling,
        parts: Sequence[Part],
        groups: int,
        dtype: torch.dtype,
        counts: list[int],
    ) -> tuple[Tensor, ...]:
        features = sampling.gather(x)
        if features.dtype != dtype:
            features = features.to(dtype)
        elif features.untyped_storage().data_ptr() == x.untyped_storage().data_ptr():
            features = features.clone()  # it is centred in place
        grouped = features.view(groups, -1, *features.shape[1:])
        centred, out = [], [x]
        for part in parts:
            rows = part.rows(grouped)
            mean = rows.mean(-1, keepdim=True)
            rows -= mean
            centred.append(rows)
            counts.append(rows.shape[-1])
            out += [mean[..., 0], _products(rows) / rows.shape[-1]]
        ctx.save_for_backward(*centred)
        ctx.sampling, ctx.parts, ctx.groups, ctx.taps = sampling, parts, groups, features.shape[1]
        return tuple(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *grads: Tensor) -> tuple[Tensor | None, None, None, None, None, None]:  # noqa: ANN401
        if not ctx.needs_input_grad[0]:
            return None, None, None, None, None, None
        features = []
        for part, rows, of_mean, of_covariance in zip(
            ctx.parts, ctx.saved_tensors, grads[::2], grads[1::2], strict=True
        ):
            count = rows.shape[-1]
            both = (of_covariance + of_covariance.mT) / count
            features.append(
                part.features(
                    torch.baddbmm(
                        (of_mean / count).flatten(0, 1)[..., None], both.flatten(0, 1), rows.flatten(0, 1)
                    ).view_as(rows),
                    ctx.taps,
                )
            )
        whole = features[0] if len(features) == 1 else torch.cat(features, 1)
        if any(stride == 0 for stride in grad.stride()):  # an expanded one cannot be written to
            grad = grad.clone()
        ctx.sampling.scatter_add(grad, whole.flatten(0, 1))
        return grad, None, None, None, None, None


def _products(rows: Tensor) -> Tensor:
    """Return X Xᵗ, by five eighths of the operations where that pays."""
    width = rows.shape[-2]
    if width < _WIDE:
        return rows @ rows.mT
    out = rows.new_empty(*rows.shape[:-1], width)
    panel = -(-width // 4)
    for start in range(0, width, panel):
        below, beside = slice(start, None), slice(start, start + panel)
        out[..., below, beside] = rows[..., below, :] @ rows[..., beside, :].mT
        out[..., beside, below] = out[..., below, beside].mT
    return out


_WIDE = 256  # narrower products are bound by memory
