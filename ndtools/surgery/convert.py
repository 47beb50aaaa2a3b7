"""Conversion of networks: deconvolution layers in place of convolutions, linear layers and batch normalisation."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import ParametrizationList, is_parametrized

from ndtools.layers.checks import check_config, check_model
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv1d, FastDeconv2d, FastDeconv3d
from ndtools.layers.conv_transpose import FastDeconvTranspose1d, FastDeconvTranspose2d, FastDeconvTranspose3d
from ndtools.layers.linear import DeconvLinear
from ndtools.surgery.replacing import (
    carry_hooks,
    copy_of,
    deconvolves,
    has_hooks,
    held_aside,
    own_names,
    replace_modules,
    shape_of,
)
from ndtools.surgery.specs import update_spec

__all__ = ["Plan", "PlanEntry", "convert"]

Choice = Callable[[str, nn.Module], DeconvConfig | None]

LINEAR_BLOCK = 512  # block size of linear layers, as in the published experiments; most layers have fewer features

_CONVOLUTIONS: dict[type, type[Any]] = {
    nn.Conv1d: FastDeconv1d,
    nn.Conv2d: FastDeconv2d,
    nn.Conv3d: FastDeconv3d,
    nn.ConvTranspose1d: FastDeconvTranspose1d,
    nn.ConvTranspose2d: FastDeconvTranspose2d,
    nn.ConvTranspose3d: FastDeconvTranspose3d,
}
_COMPUTING = (
    "forward",
    "_conv_forward",
    "__call__",
    "_call_impl",
    "__getattr__",
    "_output_padding",
)  # methods that determine the output
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_OTHER_NORMS = (_InstanceNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_NORMS = (_NormBase, *_OTHER_NORMS)


@dataclass(frozen=True)
class PlanEntry:
    """Result of the conversion for one module.

    Attributes
    ----------
    name : str
        Name of the module in the network, or its first name if it is shared. "" is the network itself.
    was : str
        Type of the module before the conversion.
    became : str
        Type of the module after the conversion; the same if it is kept.
    action : {"converted", "removed", "kept"}
        Action on the module.
    reason : str
        Reason for keeping the module, or further changes to it; may be empty.
    """

    name: str
    was: str
    became: str
    action: Literal["converted", "removed", "kept"]
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    """Result of the conversion for each module that holds parameters or normalises.

    Attributes
    ----------
    entries : tuple of PlanEntry
        Results in the order of the network.
    """

    entries: tuple[PlanEntry, ...]

    @property
    def converted(self) -> int:
        """Number of layers that were converted."""
        return self._count("converted")

    @property
    def removed(self) -> int:
        """Number of batch normalisations that were removed."""
        return self._count("removed")

    @property
    def kept(self) -> int:
        """Number of modules that were not changed."""
        return self._count("kept")

    def _count(self, action: str) -> int:
        return sum(entry.action == action for entry in self.entries)

    def __str__(self) -> str:
        rows = [("name", "was", "became", "action", "")]
        rows += [(e.name or "(model)", e.was, e.became, e.action, e.reason) for e in self.entries]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = ["  ".join([*map(str.ljust, row[:4], widths), row[4]]).rstrip() for row in rows]
        return "\n".join([*lines, f"{self.converted} converted, {self.removed} removed, {self.kept} kept"])


def convert(
    model: nn.Module,
    config: DeconvConfig | Choice | None = None,
    *,
    first: DeconvConfig | None = None,
    inplace: bool = False,
) -> tuple[nn.Module, Plan]:
    """Turn a network into its deconvolution form: layers decorrelate their input in place of batch normalisation.

    Conv1d, Conv2d and Conv3d become FastDeconv1d, 2d and 3d; ConvTranspose1d, 2d and 3d become FastDeconvTranspose1d,
    2d and 3d; Linear becomes DeconvLinear. Hyperparameters, weights and biases stay the same (the same Parameters, so
    tied weights stay tied). BatchNorm and SyncBatchNorm become Identity. If any batch normalisation is removed, each
    layer without a bias gets one of zeros, in place of the shift of the batch normalisation.

    **The function changes.** The weights are kept but are applied to decorrelated inputs, and the scales of the batch
    normalisations are dropped: train the network, or at least fine-tune it. Before the first training batch the layers
    decorrelate nothing.

    A subclass of a convolution is converted if it computes what its base class computes, that is, if it does not
    override ``forward`` or ``_conv_forward``; its other attributes are carried over. Other subclasses, lazy, quantised
    and parametrised layers, other normalisations, and layers whose weights are read by other modules are kept, and the
    plan gives the reason.

    A batch normalisation is also kept if it normalises the output of a layer that is kept. As modules do not tell what
    they are applied to, a batch normalisation is assumed to follow the nearest layer that has a weight matrix, is
    registered before it, and has as many outputs as it has channels. The nearest such layer is looked for twice, among
    the modules of the same parent and in the whole network; if the two differ, both must be converted. If no layer has
    that number of outputs (after a concatenation, for example), the nearest layer before it counts. If no layer comes
    before it, the next layer counts, whose input it then normalises.

    Parameters
    ----------
    model : Module
        Network to convert, or a single layer. A copy of it holds tensors that modules keep from earlier computations
        (caches) without their history.
    config : DeconvConfig or callable, optional
        Settings of the layers; by default ``DeconvConfig()``, and blocks of 512 in linear layers. Unless ``block_size``
        is set, a block has at most 64 channels and at most 576 features (see `DeconvConfig`). A callable takes a name
        and a module, and returns the settings, or None to keep the module. It is also called for batch normalisations,
        which are removed only if the layer they normalise is converted.
    first : DeconvConfig, optional
        Settings of the first convolution, plain or transposed, in the order of registration. By default those of
        ``config`` with 15 iterations, frozen after 200 batches (Ye et al. 2020, A.2), or the result of the callable.
    inplace : bool
        Whether to change ``model`` itself instead of a copy. Make a new optimiser after converting in place: an
        existing one lacks the added biases, and still holds the parameters of the removed normalisations.

    Returns
    -------
    model : Module
        Deconvolution form of the network; a new module if ``model`` is itself a layer.
    plan : Plan
        Fate of each module that holds parameters or normalises.

    Raises
    ------
    ValueError
        If no layer can be converted, or the network is compiled or distributed.
    TypeError
        If the model is not a Module, or a configuration is not a DeconvConfig.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    >>> net, plan = convert(net)
    >>> print(plan)
    name  was          became        action
    0     Conv2d       FastDeconv2d  converted  first; bias added
    1     BatchNorm2d  Identity      removed
    4     Linear       DeconvLinear  converted
    2 converted, 1 removed, 0 kept
    """
    check_model(model)
    _check_configs(config, first)
    _refuse_wrappers(model)
    if not inplace:
        model = copy_of(model)
    names, kept = own_names(model), _kept(model)
    convolutions, linears, norms = _candidates(model, names, kept, config)
    if not convolutions and not linears:
        raise ValueError(f"nothing to convert in {type(model).__name__}: {_found(model, names, kept)}")
    norms = _without_object(model, names, kept, norms)
    if convolutions:
        module, given = convolutions[0]
        default = given if callable(config) else given.for_first_layer()
        convolutions[0] = module, first or default
    new: dict[int, nn.Module] = {}
    notes: dict[int, list[str]] = {}
    for module, settings in convolutions + linears:
        layer = _deconvolving(module, settings, bias=bool(norms))
        new[id(module)] = layer
        notes[id(module)] = ["bias added"] if module.bias is None and layer.bias is not None else []
    if convolutions:
        notes[id(convolutions[0][0])].insert(0, "first")
    for norm in norms:
        new[id(norm)] = nn.Identity().train(norm.training)
        notes[id(norm)] = []
    entries = []
    for module in _listed(model):
        name, *others = names[id(module)]
        was = type(module).__name__
        also = [f"also {', '.join(others)}"] if others else []
        if id(module) not in new:
            entries.append(PlanEntry(name, was, was, "kept", "; ".join([kept[id(module)], *also])))
            continue
        if has_hooks(module):
            carry_hooks(module, new[id(module)])
            also.append("hooks carried over")
        action: Literal["converted", "removed"] = "removed" if isinstance(module, _BatchNorm) else "converted"
        became = type(new[id(module)]).__name__
        entries.append(PlanEntry(name, was, became, action, "; ".join(notes[id(module)] + also)))
    converted = replace_modules(model, new)
    update_spec(converted)
    return converted, Plan(tuple(entries))


def _check_configs(config: Any, first: Any) -> None:  # noqa: ANN401
    uncalled = (DeconvConfig, DeconvConfig.paper, DeconvConfig.reference)
    if not callable(config) or config in uncalled:
        check_config("config", config)
    check_config("first", first)


def _refuse_wrappers(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "_orig_mod"):
            raise ValueError("the network is compiled: convert it before torch.compile")
        if isinstance(module, nn.parallel.DistributedDataParallel):
            raise ValueError("the network is distributed: convert its .module, then wrap that")


def _listed(model: nn.Module) -> list[nn.Module]:
    """Return the modules that hold parameters or normalise, without those inside a deconvolution layer."""
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


def _kept(model: nn.Module) -> dict[int, str]:
    """Return the reasons for keeping modules, by the modules' ids."""
    reasons = {}
    read = {
        id(layer): f"{type(module).__name__} reads its weight"
        for module in model.modules()
        if isinstance(module, nn.TransformerEncoderLayer)
        for layer in (module.linear1, module.linear2)
    }
    held = {id(module): f"{where} holds it, too" for module, where in held_aside(model)}
    for module in _listed(model):
        reason = read.get(id(module)) or _reason(module) or held.get(id(module))
        if reason:
            reasons[id(module)] = reason
    return reasons


def _reason(module: nn.Module) -> str:
    """Return the reason why a module cannot be converted or removed; empty if it can."""
    known = (*_CONVOLUTIONS, nn.Linear, *_BATCH_NORMS)
    if deconvolves(module):
        return "deconvolves already"
    if is_parametrized(module):
        return "parametrised"
    if isinstance(module, LazyModuleMixin):
        return "lazy: run the network once first"
    if isinstance(module, _OTHER_NORMS):
        return "normalises samples, not batches"
    if type(module) not in known and _convolution(module) is None:
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
        return "complex"
    return "" if weight.numel() else "no weights"


def _convolution(module: nn.Module) -> type[nn.Module] | None:
    """Return the class of torch whose output a convolution computes; None for other modules and other outputs."""
    for base in _CONVOLUTIONS:
        if type(module) is base:
            return base
        if isinstance(module, base) and not module._modules:
            same = (getattr(type(module), name, None) is getattr(base, name, None) for name in _COMPUTING)
            return base if all(same) else None
    return None


def _candidates(
    model: nn.Module, names: dict[int, list[str]], kept: dict[int, str], config: DeconvConfig | Choice | None
) -> tuple[list[tuple[Any, DeconvConfig]], list[tuple[Any, DeconvConfig]], list[nn.Module]]:
    """Return the convolutions and linear layers to convert, with their settings, and the normalisations to remove."""
    convolutions: list[tuple[Any, DeconvConfig]] = []
    linears: list[tuple[Any, DeconvConfig]] = []
    norms: list[nn.Module] = []
    for module in _listed(model):
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


def _without_object(
    model: nn.Module, names: dict[int, list[str]], kept: dict[int, str], norms: list[nn.Module]
) -> list[nn.Module]:
    """Return the normalisations of converted layers; add the reasons for keeping the others to ``kept``."""
    layers = [module for module in _listed(model) if _multiplies(module) or module in norms]
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


def _found(model: nn.Module, names: dict[int, list[str]], kept: dict[int, str]) -> str:
    listed = _listed(model)
    if not listed:
        return "it has no layers with parameters"
    kinds = Counter((type(m).__name__, kept.get(id(m), "no convolution or linear layer")) for m in listed)
    return ", ".join(f"{count} {kind} ({reason})" for (kind, reason), count in kinds.items())


def _deconvolving(module: Any, config: DeconvConfig, *, bias: bool) -> Any:  # noqa: ANN401
    """Return the deconvolution form of a convolution or linear layer, with its Parameters."""
    convolution = _convolution(module)
    kind = DeconvLinear if convolution is None else _CONVOLUTIONS[convolution]
    layer: Any = kind(**shape_of(module), bias=False, device="meta", dtype=module.weight.dtype, config=config)
    layer.whitening.to_empty(device=module.weight.device)
    layer.whitening.reset_running_stats()
    layer.weight, layer.bias = module.weight, module.bias
    if bias and module.bias is None:
        outputs = module.out_features if convolution is None else module.out_channels
        zeros = torch.zeros(outputs, device=module.weight.device, dtype=module.weight.dtype)
        layer.bias = nn.Parameter(zeros, requires_grad=module.weight.requires_grad)
    for name in vars(module).keys() - vars(layer).keys():  # attributes that only the subclass has
        vars(layer)[name] = vars(module)[name]
    return layer.train(module.training)
