"""Conversion of networks: deconvolution layers in place of convolutions, linear layers and batch normalisation."""

from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ndtools.layers.checks import check_config, check_model
from ndtools.layers.config import DeconvConfig
from ndtools.layers.linear import DeconvLinear
from ndtools.surgery.plan import Plan, PlanEntry
from ndtools.surgery.replacing import carry_hooks, copy_of, has_hooks, own_names, replace_modules, shape_of
from ndtools.surgery.selection import (
    DECONVOLUTIONS,
    Choice,
    candidates,
    convolution_class,
    reasons_to_keep,
    relevant_modules,
    removable_norms,
    why_nothing,
)
from ndtools.surgery.specs import update_spec

__all__ = ["convert"]


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
        Result for each module that holds parameters or normalises.

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
    names, kept = own_names(model), reasons_to_keep(model)
    convolutions, linears, norms = candidates(model, names, kept, config)
    if not convolutions and not linears:
        raise ValueError(f"nothing to convert in {type(model).__name__}: {why_nothing(model, kept)}")
    norms = removable_norms(model, names, kept, norms)
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
    for module in relevant_modules(model):
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


def _deconvolving(module: Any, config: DeconvConfig, *, bias: bool) -> Any:  # noqa: ANN401
    """Return the deconvolution form of a convolution or linear layer, with its Parameters."""
    convolution = convolution_class(module)
    kind = DeconvLinear if convolution is None else DECONVOLUTIONS[convolution]
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
