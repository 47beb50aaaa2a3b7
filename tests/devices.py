"""A pretended CUDA device: real numbers on the processor, in tensors that refuse to meet those of the processor.

Whole experiments run on it without a GPU. Torch's own stand-ins do not do: its meta device has no numbers, so a run
ends where the first is read back, and FakeTensorMode needs a torch built for CUDA besides. To torch these tensors are
on the meta device, which every build knows; Python code is told "cuda:0".
"""

import threading
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map, tree_map_only

__all__ = ["pretended_cuda"]

CUDA, INSIDE, CPU = torch.device("cuda", 0), torch.device("meta"), torch.device("cpu")
COPIES = ("aten::_to_copy", "aten::copy_")
AT_ONCE = {torch.ops.aten._conj.default: torch.ops.aten.conj_physical.default}  # what is put off would be lost
INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")  # takes indices of the CPU


class _Tensor(torch.Tensor):
    """A tensor that says it is on CUDA, and holds one on the CPU."""

    device, is_cuda, is_meta, is_cpu = CUDA, True, False, False
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held):
        self = cls._make_wrapper_subclass(
            cls, held.size(), held.stride(), held.storage_offset(), dtype=held.dtype, device=INSIDE
        )
        self.held = held
        return self

    def __repr__(self):
        return f"{self.held} (pretended cuda:0)"

    def tolist(self):  # torch refuses a subclass
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _compute(func, args, kwargs or {})


def _compute(func, args, kwargs):
    """Run an operator on what its tensors hold, or refuse as CUDA does if only some of them are there.

    Numbers (tensors without axes) of the CPU may meet any tensor, as in torch.
    """
    name = func._schema.name
    there = any(isinstance(leaf, _Tensor) for leaf in tree_leaves((args, kwargs)))
    if there and name not in COPIES:
        checked = args[0] if name in INDEXING and isinstance(args[0], _Tensor) else (args, kwargs)
        for leaf in tree_leaves(checked):
            if isinstance(leaf, torch.Tensor) and not isinstance(leaf, _Tensor) and leaf.dim():
                raise RuntimeError(f"{name}: a tensor of shape {tuple(leaf.shape)} is on the cpu, another on cuda:0")
    if kwargs.get("device") is not None:
        there = kwargs["device"] == INSIDE
        kwargs = kwargs | {"device": CPU}
    elif name == "aten::copy_":
        there = isinstance(args[0], _Tensor)
    plain_args, plain_kwargs = tree_map_only(_Tensor, lambda tensor: tensor.held, (args, kwargs))
    out = AT_ONCE.get(func, func)(*plain_args, **plain_kwargs)
    if not there:
        return out
    return return_and_correct_aliasing(func, args, kwargs, tree_map_only(torch.Tensor, _Tensor, out))


class _Event:
    """A moment among the operators of a device, which runs none of them later."""

    def record(self):
        pass

    def synchronize(self):
        pass


class _Operators(TorchDispatchMode):
    """Makes tensors there; operators on tensors that are there find their way by themselves."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _compute(func, args, kwargs or {})


class _Devices(TorchFunctionMode):
    """Tells torch "meta" where Python code says "cuda"."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.unravel_index and isinstance(args[0], _Tensor):  # in Python, beyond the reach of this mode
            return tree_map_only(torch.Tensor, _Tensor, func(args[0].held, *args[1:], **kwargs or {}))
        if func is not torch.device:
            args, kwargs = tree_map(_told, (args, kwargs or {}))
        return func(*args, **kwargs or {})


def _told(value):
    if isinstance(value, torch.device):
        return INSIDE if value.type == "cuda" else value
    return INSIDE if isinstance(value, str) and value in ("cuda", "cuda:0") else value


@contextmanager
def pretended_cuda():
    """Pretend that there is a CUDA device, in all threads that start meanwhile.

    Yields a list of the devices that were waited for, one for each time.
    """
    waits = []
    run, run_backward = threading.Thread.run, torch.autograd._engine_run_backward

    def run_with_modes(thread):
        with _Operators(), _Devices():
            run(thread)

    def run_backward_with_modes(*args, **kwargs):  # torch takes a mode out while it runs what the mode was told of
        with _Devices():
            return run_backward(*args, **kwargs)

    with (
        patch.object(threading.Thread, "run", run_with_modes),
        patch.object(torch.autograd, "_engine_run_backward", run_backward_with_modes),
        patch.multiple(
            torch.cuda,
            is_available=lambda: True,
            synchronize=waits.append,
            mem_get_info=lambda device: (1 << 40, 1 << 40),
            get_device_name=lambda device: "pretended",
            get_rng_state=lambda device: None,
            set_rng_state=lambda state, device: None,
            manual_seed=lambda seed: None,
            Event=_Event,
        ),
        _Operators(),
        _Devices(),
    ):
        yield waits
