"""Exchange modules of a network for others, wherever and however often they occur."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from ndtools.layers.whitening import Whitening

__all__ = [
    "carry_hooks",
    "deconvolves",
    "has_hooks",
    "hidden_holders",
    "own_names",
    "replace_modules",
    "whitening_of",
]

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


def deconvolves(module: nn.Module) -> bool:
    """Return whether a module is a deconvolution layer."""
    return isinstance(getattr(module, "whitening", None), Whitening)


def whitening_of(module: nn.Module) -> Whitening:
    """Return the statistics of a deconvolution layer."""
    assert isinstance(module.whitening, Whitening)
    return module.whitening


def has_hooks(module: nn.Module) -> bool:
    """Return whether a module has forward or backward hooks."""
    return any(getattr(module, name, None) for name in ("_forward_hooks", "_forward_pre_hooks")) or any(
        getattr(module, name, None) for name in ("_backward_hooks", "_backward_pre_hooks")
    )


def carry_hooks(old: nn.Module, new: nn.Module) -> None:
    """Let a module have the forward and backward hooks of another, and their handles remove them from both.

    Parameters
    ----------
    old, new : Module
        From, to.
    """
    for name in _HOOKS:
        if hasattr(old, name):
            setattr(new, name, getattr(old, name))


def own_names(model: nn.Module) -> dict[int, list[str]]:
    """Return all names of each module, by its id; that of the root is ""."""
    names: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(id(module), []).append(name)
    return names


def hidden_holders(model: nn.Module) -> dict[int, str]:
    """Find modules that are held beside the tree, in a list, tuple or dict of another one, where they stay.

    Parameters
    ----------
    model : Module
        Network.

    Returns
    -------
    dict
        Name of the attribute, by the id of the module.
    """
    return {
        id(held): f"{type(module).__name__}.{attribute}"
        for module in model.modules()
        for attribute, value in vars(module).items()
        if attribute != "_modules"
        for held in _modules_in(value)
    }


def _modules_in(value: Any) -> Iterator[nn.Module]:  # noqa: ANN401
    if isinstance(value, nn.Module):
        yield value
    elif isinstance(value, Mapping):
        yield from (item for item in value.values() if isinstance(item, nn.Module))
    elif isinstance(value, list | tuple | set):
        yield from (item for item in value if isinstance(item, nn.Module))


def replace_modules(model: nn.Module, new: Mapping[int, nn.Module]) -> nn.Module:
    """Exchange modules in place, shared ones everywhere.

    Parameters
    ----------
    model : Module
        Network.
    new : mapping
        What comes in, by the id of what goes.

    Returns
    -------
    Module
        The network; what it was exchanged for, if it is exchanged itself.
    """
    for parent in list(model.modules()):
        if id(parent) in new:
            continue
        for name, child in list(parent._modules.items()):
            if child is not None and id(child) in new:
                parent._modules[name] = new[id(child)]
    return new.get(id(model), model)
