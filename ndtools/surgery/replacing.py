"""Tools for operations on networks: copying, and replacing modules wherever and however often they occur."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from ndtools.layers.whitening import Whitening

__all__ = [
    "carry_hooks",
    "carry_role",
    "copy_of",
    "deconvolves",
    "has_hooks",
    "held_aside",
    "own_names",
    "replace_modules",
    "shape_of",
    "whitening_of",
]

T = TypeVar("T")

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
)
_CONVOLUTION = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
_LINEAR = ("in_features", "out_features")


def deconvolves(module: nn.Module) -> bool:
    """Return whether a module is a deconvolution layer."""
    return isinstance(getattr(module, "whitening", None), Whitening)


def whitening_of(module: nn.Module) -> Whitening:
    """Return the statistics of a deconvolution layer."""
    assert isinstance(module.whitening, Whitening)
    return module.whitening


def shape_of(module: nn.Module) -> dict[str, Any]:
    """Return the arguments that a convolution or linear layer was made with, except bias, device and dtype."""
    names = _CONVOLUTION if isinstance(module, _ConvNd) else _LINEAR
    if isinstance(module, _ConvTransposeNd):
        names = (*names, "output_padding")
    return {name: getattr(module, name) for name in names}


def copy_of(model: nn.Module) -> nn.Module:
    """Return a deep copy of a network, also of one that keeps results of computations.

    Parameters
    ----------
    model : Module
        Network to copy.

    Returns
    -------
    Module
        The copy. Tensors that were computed with a gradient and kept by a module (a cache, as in LeViT), which torch
        cannot copy, are copied without their history.
    """
    computed = {
        id(tensor): tensor.detach().clone()
        for module in model.modules()
        for tensor in _held_in(vars(module), Tensor)
        if not tensor.is_leaf
    }
    return copy.deepcopy(model, computed)


def has_hooks(module: nn.Module) -> bool:
    """Return whether a module has forward or backward hooks."""
    return any(getattr(module, name, None) for name in ("_forward_hooks", "_forward_pre_hooks")) or any(
        getattr(module, name, None) for name in ("_backward_hooks", "_backward_pre_hooks")
    )


def carry_hooks(old: nn.Module, new: nn.Module) -> None:
    """Share the forward and backward hooks of a module with another one. A hook's handle removes it from both.

    Parameters
    ----------
    old, new : Module
        Module that hooks are taken from, and module that they are given to.
    """
    for name in _HOOKS:
        if hasattr(old, name):
            setattr(new, name, getattr(old, name))


def carry_role(old: nn.Module, new: nn.Module) -> None:
    """Give a module the role of another one in a network of :mod:`ndtools.models`; other modules have none.

    Parameters
    ----------
    old, new : Module
        Module that the role is taken from, and module that it is given to.
    """
    if hasattr(old, "role"):
        new.role = old.role


def own_names(model: nn.Module) -> dict[int, list[str]]:
    """Return all names of each module, by the module's id. The name of the network itself is ""."""
    names: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(id(module), []).append(name)
    return names


def held_aside(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Find modules that are held outside the tree of modules, in a list, tuple or dict, where replacing misses them.

    Parameters
    ----------
    model : Module
        Network that is looked through.

    Yields
    ------
    module : Module
        Module that is held outside the tree.
    where : str
        Type of the module that holds it, and the attribute.
    """
    for module in model.modules():
        for attribute, value in vars(module).items():
            if attribute != "_modules":
                for held in _held_in(value, nn.Module):
                    yield held, f"{type(module).__name__}.{attribute}"


def _held_in(value: Any, kind: type[T], depth: int = 3) -> Iterator[T]:  # noqa: ANN401
    """Yield the objects of a type in a container and in containers within it."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, Mapping | list | tuple | set) and depth:
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _held_in(item, kind, depth - 1)


def replace_modules(model: nn.Module, new: Mapping[int, nn.Module]) -> nn.Module:
    """Replace modules in place. Shared modules are replaced everywhere.

    Parameters
    ----------
    model : Module
        Network that is looked through.
    new : mapping
        Replacements by the id of the module that is replaced.

    Returns
    -------
    Module
        The network, or its replacement if the network itself is replaced.
    """
    for parent in list(model.modules()):
        if id(parent) in new:
            continue
        for name, child in list(parent._modules.items()):
            if child is not None and id(child) in new:
                parent._modules[name] = new[id(child)]
    return new.get(id(model), model)
