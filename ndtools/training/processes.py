"""Training by several processes: they share each batch, and take the same step."""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ndtools.layers.processes import world_size

__all__ = ["average", "total"]


def average(tensors: list[Tensor]) -> None:
    """Replace tensors of one dtype by their means over all processes, in one exchange."""
    count = world_size()
    if count == 1:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= count
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):  # type: ignore[no-untyped-call]
        tensor.copy_(mean.view_as(tensor))


def total(numbers: Tensor) -> Tensor:
    """Return the sum of the processes' numbers."""
    if world_size() > 1:
        dist.all_reduce(numbers)
    return numbers


def share_weights(model: nn.Module) -> None:
    """Give all processes the parameters and buffers of the first."""
    if world_size() > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, 0)
