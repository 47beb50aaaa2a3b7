"""Choice of the layers of a network that can be converted, and of the normalisations that go with them."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized

from ndtools.layers.checks import check_config
from ndtools.layers.config import LINEAR_BLOCK, DeconvConfig
from ndtools.layers.conv import FastDeconv1d, FastDeconv2d, FastDeconv3d
from ndtools.layers.conv_transpose import FastDeconvTranspose1d, FastDeconvTranspose2d, FastDeconvTranspose3d
from ndtools.surgery.replacing import deconvolves, held_aside

__all__ = [
    "DECONVOLUTIONS",
    "Choice",
    "candidates",
    "convolution_class",
    "reasons_to_keep",
    "relevant_modules",
    "removable_norms",
    "why_nothing",
]

Choice = Callable[[str, nn.Module], DeconvConfig | None]
"""Function that takes the name of a module and the module, and returns its settings, or None to keep it."""

DECONVOLUTIONS: dict[type, type[Any]] = {
    nn.Conv1d: FastDeconv1d,
    nn.Conv2d: FastDeconv2d,
    nn.Conv3d: FastDeconv3d,
    nn.ConvTranspose1d: FastDeconvTranspose1d,
    nn.ConvTranspose2d: FastDeconvTranspose2d,
    nn.ConvTranspose3d: FastDeconvTranspose3d,
}
_COMPUTING = ("forward", "_conv_forward", "__call__", "_call_impl", "__getattr__", "_output_padding")
"""Methods that determine the output of a convolution."""
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_OTHER_NORMS = (_InstanceNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_NORMS = (_NormBase, *_OTHER_NORMS)


def relevant_modules(model: nn.Module) -> list[nn.Module]:
    """Return the modules that a plan lists.

    Parameters
    ----------
    model : Module
        Network that is looked through.

    Returns
    -------
    list of Module
        Modules that hold parameters or normalise, without those inside a deconvolution layer or a parametrisation.
    """
    inside = {
        id(part)
        for module in model.modules()
        for whole in ([module] if deconvolves(module) else [])
        for part in whole.modules()
        if part is not whole
    }
    inside |= {id(p) for m in model.modules() if isinstance(m, ParametrizationList) for p in m.modules()}
    return [
        module
        for module in model.modules()
        if id(module) not in inside
        and (module._parameters or isinstance(module, _NORMS) or deconvolves(module) or is_parametrized(module))
    ]


def reasons_to_keep(model: nn.Module) -> dict[int, str]:
    """Return the reasons for keeping modules that cannot be converted or removed.

    Parameters
    ----------
    model : Module
        Network that is looked through.

    Returns
    -------
    dict of int to str
        Reasons by the ids of the modules.
    """
    reasons = {}
    read = {
        id(layer): f"{type(module).__name__} reads its weight"
        for module in model.modules()
        if isinstance(module, nn.TransformerEncoderLayer)
        for layer in (module.linear1, module.linear2)
    }
    held = {id(module): f"{where} holds it, too" for module, where in held_aside(model)}
    for module in relevant_modules(model):
        reason = read.get(id(module)) or _reason(module) or held.get(id(module))
        if reason:
            reasons[id(module)] = reason
    return reasons


def _reason(module: nn.Module) -> str:
    """Return the reason why a module cannot be converted or removed; empty if it can."""
    known = (*DECONVOLUTIONS, nn.Linear, *_BATCH_NORMS)
    if deconvolves(module):
        return "deconvolves already"
    if is_parametrized(module):
        return "its weight is parametrised"
    if isinstance(module, LazyModuleMixin):
        return "lazy: run the network once first"
    if isinstance(module, _OTHER_NORMS):
        return "normalises samples, not batches"
    if type(module) not in known and convolution_class(module) is None:
        bases = [base.__name__ for base in known if isinstance(module, base)]
        if bases:
            return f"a subclass of {bases[0]}, which may do something else"
        torchs_own = type(module).__module__.startswith("torch.nn.")
        return "it has no deconvolution form" if torchs_own else "holds parameters of its own"
    if "forward" in vars(module):
        return "its forward is replaced"
    if any(getattr(module, name, None) for name in vars(module) if "state_dict" in name and "hooks" in name):
        return "hooks on its state_dict"
    if isinstance(module, _BatchNorm):
        return ""
    if module._parameters.get("weight") is None or set(module._parameters) - {"weight", "bias"} or module._buffers:
        return "its weight is computed from other tensors"
    weight = module._parameters["weight"]
    if weight is None or weight.is_complex():
        return "its weight is complex"
    return "" if weight.numel() else "its weight is empty"


def convolution_class(module: nn.Module) -> type[nn.Module] | None:
    """Return the class of torch whose output a convolution computes.

    Parameters
    ----------
    module : Module
        Layer of a network.

    Returns
    -------
    type or None
        The class of the layer, or the class that it inherits all its computations from; None for other modules.
    """
    for base in DECONVOLUTIONS:
        if type(module) is base:
            return base
        if isinstance(module, base) and not module._modules:
            same = (getattr(type(module), name, None) is getattr(base, name, None) for name in _COMPUTING)
            return base if all(same) else None
    return None


def candidates(
    model: nn.Module, names: dict[int, list[str]], kept: dict[int, str], config: DeconvConfig | Choice | None
) -> tuple[list[tuple[Any, DeconvConfig]], list[tuple[Any, DeconvConfig]], list[nn.Module]]:
    """Choose the layers that can be converted, and the normalisations that can be removed.

    Parameters
    ----------
    model : Module
        Network that is looked through.
    names : dict of int to list of str
        Names of each module, by its id.
    kept : dict of int to str
        Reasons for keeping modules, by their ids. Reasons for modules that ``config`` leaves as they are get added.
    config : DeconvConfig or callable, optional
        Settings of the layers, as in :func:`ndtools.convert`.

    Returns
    -------
    convolutions, linears : list of (Module, DeconvConfig)
        Layers with their settings.
    norms : list of Module
        Batch normalisations that can be removed, if the layers that they normalise are converted.
    """
    convolutions: list[tuple[Any, DeconvConfig]] = []
    linears: list[tuple[Any, DeconvConfig]] = []
    norms: list[nn.Module] = []
    for module in relevant_modules(model):
        if id(module) in kept:
            continue
        if callable(config):
            settings = config(names[id(module)][0], module)
            check_config(f"what config returns for {names[id(module)][0] or '(model)'}", settings)
            if settings is None:
                kept[id(module)] = "left by config"
                continue
        elif config is None and type(module) is nn.Linear:
            settings = DeconvConfig(block_size=LINEAR_BLOCK)
        else:
            settings = config or DeconvConfig()
        if isinstance(module, _BatchNorm):
            norms.append(module)
        else:
            (convolutions if isinstance(module, _ConvNd) else linears).append((module, settings))
    return convolutions, linears, norms


def removable_norms(
    model: nn.Module, names: dict[int, list[str]], kept: dict[int, str], norms: list[nn.Module]
) -> list[nn.Module]:
    """Choose the normalisations whose layers are converted.

    Parameters
    ----------
    model : Module
        Network that is looked through.
    names : dict of int to list of str
        Names of each module, by its id.
    kept : dict of int to str
        Reasons for keeping modules, by their ids. Reasons for the normalisations of layers that stay get added.
    norms : list of Module
        Batch normalisations that can be removed.

    Returns
    -------
    list of Module
        Those of them that normalise the output of a converted layer, as far as the order of the modules tells.
    """
    layers = [module for module in relevant_modules(model) if _multiplies(module) or module in norms]
    for norm in norms:
        place = layers.index(norm)
        before, after = ([m for m in side if m not in norms] for side in (layers[place::-1], layers[place:]))
        fitting = [module for module in before if norm.num_features in _outputs(module)]
        siblings = [module for module in fitting if _parents(names[id(module)]) & _parents(names[id(norm)])]
        for module in [*siblings[:1], *(fitting or before or after)[:1]]:
            if id(module) in kept and not deconvolves(module):
                what = "" if before else "the input of "
                kept[id(norm)] = f"probably normalises {what}{names[id(module)][0] or '(model)'}, which stays"
    return [norm for norm in norms if id(norm) not in kept]


def _parents(names: list[str]) -> set[str]:
    return {name.rpartition(".")[0] for name in names if name}


def _multiplies(module: nn.Module) -> bool:
    """Return whether a module has, or may have, a matrix of weights."""
    if isinstance(module, _NORMS):
        return False
    known = isinstance(module, _ConvNd | nn.Linear) or deconvolves(module) or is_parametrized(module)
    return known or any(sum(n > 1 for n in shape) > 1 for shape in _shapes(module))


def _outputs(module: nn.Module) -> set[int]:
    """Return the number of outputs of a layer, or all sizes of its weights if it has no such attribute."""
    said = [getattr(module, name, None) for name in ("out_channels", "out_features", "num_channels")]
    return {n for n in said if isinstance(n, int)} or {n for shape in _shapes(module) for n in shape}


def _shapes(module: nn.Module) -> list[torch.Size]:
    return [p.shape for p in module._parameters.values() if p is not None and not is_lazy(p)]


def why_nothing(model: nn.Module, kept: dict[int, str]) -> str:
    """Say why a network has nothing to convert.

    Parameters
    ----------
    model : Module
        Network without layers that can be converted.
    kept : dict of int to str
        Reasons for keeping modules, by their ids.

    Returns
    -------
    str
        Number of modules of each type, with the reason why they are kept.
    """
    listed = relevant_modules(model)
    if not listed:
        return "it has no layers with parameters"
    kinds = Counter((type(m).__name__, kept.get(id(m), "no convolution or linear layer")) for m in listed)
    return ", ".join(f"{count} {kind} ({reason})" for (kind, reason), count in kinds.items())
