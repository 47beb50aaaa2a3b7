"""Settings of deconvolution layers by the shapes of their statistics, for files that do not state them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import nn

from ndtools.checkpoints.config import LayerSettings
from ndtools.checkpoints.state_dicts import State
from ndtools.errors import DataError
from ndtools.layers.config import DeconvConfig
from ndtools.models.catalogue import CATALOGUE
from ndtools.models.factories import LayerSpec, layer_in
from ndtools.models.spec import NetworkSpec

__all__ = ["deconvolving"]

_MEAN = "whitening.running_mean"


def deconvolving(network: NetworkSpec, state: State, settings: LayerSettings, *, published: bool) -> NetworkSpec:
    """Return the specification of a network with deconvolution, by the shapes of the tensors in its state dict.

    The shapes tell which roles deconvolve, and the number of channels in their blocks. The block size of the preset is
    preferred, then one that all convolutions can have in common, then one for each role.

    Parameters
    ----------
    network : NetworkSpec
        Specification of the network without deconvolution, which has the same names of layers.
    state : dict of Tensor
        State dict of the network with deconvolution.
    settings : LayerSettings
        Settings that the user gives. Block sizes among them come before those that follow from the shapes.
    published : bool
        Whether the state dict is one of the published code, whose settings are known.

    Returns
    -------
    NetworkSpec
        Specification of the network with deconvolution.

    Raises
    ------
    DataError
        If the blocks of the layers in one role follow from no block size.
    OptionError
        If the settings are those of a role that the network does not have.
    """
    layers = {name: module for name, module in network.outline().named_modules() if hasattr(module, "weight")}
    sizes = {name: size for name, module in layers.items() if (size := _block_channels(name, module, state))}
    roles = {name: str(module.role) for name, module in layers.items()}
    stored = [name for name in layers if f"{name}.weight" in state]
    ordinary = {roles[name] for name in stored} - {roles[name] for name in stored if f"{name}.{_MEAN}" in state}

    entry = CATALOGUE[network.arch]

    def assuming(block_sizes: Mapping[str, int]) -> NetworkSpec:
        configs = settings.by_role(
            _preset(state, settings, published=published),
            block_sizes=block_sizes,
            published=entry.published_for(network.stem) if published else None,
        )
        found = {role: LayerSpec(deconv=config) for role, config in configs.items()}
        if published and network.stem == "imagenet":
            found |= {role: replace(layer_in(found, role), norm="batch_norm") for role in entry.imagenet_norms}
        return replace(network, layers=found | {role: LayerSpec() for role in ordinary})

    def common(names: list[str]) -> int:
        # The published code takes the greatest common divisor of channels and block size; ndtools fills blocks.
        found = [sizes[name] for name in names]
        return math.lcm(*found) if published else max(found)

    linear = {roles[name]: common([name]) for name in sizes if roles[name].startswith("linear")}
    convolutions = [name for name in sizes if roles[name] not in linear]
    guess = assuming(linear)
    if convolutions and _other_sizes(guess, sizes):
        guess = assuming(linear | {"conv": common(convolutions)})
    if convolutions and _other_sizes(guess, sizes):
        by_role: dict[str, list[str]] = {}
        for name in convolutions:
            by_role.setdefault(roles[name], []).append(name)
        guess = assuming(linear | {role: common(names) for role, names in by_role.items()})
    if unlike := _other_sizes(guess, sizes):
        said = ", ".join(f"{name} has blocks of {sizes[name]} channels, not {size}" for name, size in unlike.items())
        raise DataError(
            f"the blocks of its layers in the role {roles[next(iter(unlike))]!r} follow from no block size that they"
            f" have in common: {said}; load the tensors into the network that wrote them, and write that with"
            " ndtools.save_network, which stores its settings"
        )
    return guess


def _preset(state: State, settings: LayerSettings, *, published: bool) -> Callable[..., DeconvConfig] | None:
    if published:
        return DeconvConfig.reference
    own = any(key.endswith("whitening.running_covariance") and value.shape[1] > 1 for key, value in state.items())
    return DeconvConfig.paper if own and settings.preset is None else None


def _block_channels(name: str, module: nn.Module, state: State) -> int:
    """Return the number of channels of a layer's blocks; 0 without statistics, or if the weights have another shape."""
    mean, weight = state.get(f"{name}.{_MEAN}"), state.get(f"{name}.weight")
    if mean is None or weight is None or weight.shape != module.weight.shape:
        return 0
    return int(mean.shape[-1] // weight[0, 0].numel())


def _other_sizes(network: NetworkSpec, sizes: Mapping[str, int]) -> dict[str, int]:
    """Return the number of channels of a network's blocks, by the name of the layer, where it is another."""
    outline = network.outline()
    layers, state = dict(outline.named_modules()), outline.state_dict()
    ours = {name: _block_channels(name, layers[name], state) for name in sizes}
    return {name: size for name, size in ours.items() if size and size != sizes[name]}
