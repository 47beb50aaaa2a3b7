"""Training by several processes of ``torch.distributed``: they share each batch, and take the same step."""

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ndtools.errors import NdtoolsError, OptionError, OutputError
from ndtools.layers.iternorm import IterNorm
from ndtools.layers.processes import merged, rank, summed, world_size
from ndtools.layers.running import RunningStatistics

__all__ = ["average", "first_alone", "joined", "share_weights", "synchronised", "total"]


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started, for the body of a ``with`` statement.

    Parameters
    ----------
    device : torch.device
        Device that the run was asked for.

    Yields
    ------
    torch.device
        Device of this process: each has a GPU of its own. It is the given one where ``torchrun`` started no processes.

    Raises
    ------
    OptionError
        If there are fewer GPUs than processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or not dist.is_available():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if device.index >= (devices := torch.cuda.device_count()):
            raise OptionError(
                "device",
                f"must be cpu, or have a GPU for each process: process {device.index + 1} finds {devices} of them",
            )
        torch.cuda.set_device(device)
    # Its functions keep the group that exists when it is first imported, which the first optimizer would do: the
    # threads of that group would then outlive it, and could abort the process while the interpreter shuts down.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def average(tensors: list[Tensor]) -> None:
    """Replace tensors of one dtype by their means over all processes, in one exchange."""
    if world_size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    means = flat.split([tensor.numel() for tensor in tensors])  # type: ignore[no-untyped-call]
    for tensor, mean in zip(tensors, means, strict=True):
        tensor.copy_(mean.view(tensor.shape))


def total(numbers: Tensor) -> Tensor:
    """Return the sum of the processes' numbers, which takes the place of the given ones."""
    if world_size() > 1:
        dist.all_reduce(numbers)
    return numbers


def first_alone(action: Callable[[], object], *wishes: bool, device: torch.device) -> tuple[bool, ...]:
    """Let the first process do something that the others do not, such as writing a file, and agree on wishes.

    All processes have to call this. If the action fails, all of them raise an error: otherwise the others would wait
    for a process that has ended.

    Parameters
    ----------
    action : callable
        Function without arguments, which the first process calls.
    *wishes : bool
        Wishes of this process, such as that to stop.
    device : torch.device
        Device on which processes exchange numbers.

    Returns
    -------
    tuple of bool
        For each wish, whether any process has it.

    Raises
    ------
    NdtoolsError
        The error of the action, in the first process.
    OutputError
        If the action fails, in the other processes.
    """
    error: NdtoolsError | None = None
    if rank() == 0:
        try:
            action()
        except NdtoolsError as raised:
            error = raised
    if world_size() > 1:
        numbers = total(torch.tensor([error is not None, *wishes], dtype=torch.long, device=device))
        failed, *agreed = map(bool, numbers.tolist())
        wishes = tuple(agreed)
        if failed and error is None:
            raise OutputError("the first process has ended: its message says why")
    if error is not None:
        raise error
    return wishes


def share_weights(model: nn.Module) -> None:
    """Give all processes the parameters and buffers of the first."""
    if world_size() > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, 0)


@contextmanager
def synchronised(model: nn.Module) -> Iterator[None]:
    """Let deconvolution, IterNorm and batch normalisation take statistics over all processes, within the body.

    The network itself stays as it is, so that its specification still describes it. With one process nothing happens.

    Parameters
    ----------
    model : Module
        Network in training.

    Yields
    ------
    None
        No value; training passes in the body share their statistics.
    """
    with ExitStack() as stack:
        for module in model.modules() if world_size() > 1 else ():
            if isinstance(module, RunningStatistics) and not module.config.sync:
                stack.callback(setattr, module, "config", module.config)
                module.config = replace(module.config, sync=True)
            elif isinstance(module, IterNorm) and not module.sync:
                stack.callback(setattr, module, "sync", False)
                module.sync = True
            elif isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm):
                stack.callback(delattr, module, "forward")
                module.forward = partial(_batch_norm, module, module.forward)  # type: ignore[method-assign]
        yield


def _batch_norm(module: _BatchNorm, alone: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Normalise a batch by mean and variance over all processes; torch's own synchronised layer needs GPUs."""
    if not module.training:
        return alone(x)
    full = x.float() if x.dtype.itemsize < 4 else x
    pixels = full.transpose(0, 1).flatten(1)
    count = pixels.shape[1]
    variance, mean = torch.var_mean(pixels, 1, correction=0, keepdim=True)
    mean, covariance = merged(count, mean, variance[..., None])
    variance, count = covariance[..., 0], summed(count, x.device)
    if module.track_running_stats:
        with torch.no_grad():
            assert module.num_batches_tracked is not None
            module.num_batches_tracked += 1
            share = 1 / float(module.num_batches_tracked) if module.momentum is None else module.momentum
            for running, new in (
                (module.running_mean, mean),
                (module.running_var, variance * (count / (count - 1))),
            ):
                assert running is not None
                running.lerp_(new.flatten().to(running.dtype), share)
    shape = (1, -1, *(1,) * (x.dim() - 2))
    scale = (variance + module.eps).rsqrt()
    out = (full - mean.view(shape)) * scale.view(shape)
    if module.affine:
        out = out * module.weight.view(shape) + module.bias.view(shape)
    return out.to(x.dtype)
