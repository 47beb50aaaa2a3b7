"""Statistics over the batches of all processes of ``torch.distributed``."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["merged", "rank", "summed", "world_size"]


def world_size() -> int:
    """Return the number of processes of ``torch.distributed``, or 1 if it is not in use."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0; 0 if ``torch.distributed`` is not in use."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def merged(count: int, mean: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Return the moments of a batch from those of its shares, which the processes hold.

    Parameters
    ----------
    count : int
        Number of samples of this process.
    mean : Tensor of shape (..., F)
        Mean of the samples of this process.
    covariance : Tensor of shape (..., F, F)
        Covariance of the samples of this process.

    Returns
    -------
    mean : Tensor of shape (..., F)
        Mean of the samples of all processes.
    covariance : Tensor of shape (..., F, F)
        Covariance of the samples of all processes, about their common mean.
    """
    share = torch.tensor([float(count)], dtype=mean.dtype, device=mean.device)
    sums = _sum(torch.cat([share, (mean * count).flatten()]))
    total = sums[0].detach()
    whole = (sums[1:] / total).view_as(mean)
    off = mean - whole
    return whole, _sum((covariance + off[..., None] * off[..., None, :]) * (count / total))


def summed(count: int, device: torch.device) -> int:
    """Return the sum of the processes' counts, exchanged on ``device`` because a backend may not reach others."""
    if world_size() == 1:
        return count
    total = torch.tensor(count, device=device)
    dist.all_reduce(total)
    return int(total)


def _sum(x: Tensor) -> Tensor:
    out: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]
    return out


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        x = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ANN401, ARG004
        # The loss of each process depends on the samples of all of them.
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        return grad
