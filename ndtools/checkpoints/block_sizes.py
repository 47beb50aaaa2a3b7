"""Settings of deconvolution layers by the shapes of their statistics, for files that do not state them."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from torch import nn

from ndtools.checkpoints.config import LayerSettings
from ndtools.checkpoints.state_dicts import State
from ndtools.errors import DataError
from ndtools.layers.config import LINEAR_BLOCK, DeconvConfig
from ndtools.models.catalogue import CATALOGUE
from ndtools.models.factories import LayerSpec, layer_in
from ndtools.models.spec import NetworkSpec

__all__ = ["deconvolving"]

_MEAN = "whitening.running_mean"


def deconvolving(network: NetworkSpec, state: State, settings: LayerSettings, *, published: bool) -> NetworkSpec:
    """Return the specification of a network with deconvolution, by the shapes of the tensors in its state dict.

    The shapes tell which roles deconvolve, and the number of channels in their blocks. The block size of the preset is
    preferred (512 in linear layers), then one that all convolutions can have in common, then one for each role.

    Parameters
    ----------
    network : NetworkSpec
        Specification of the network without deconvolution, which has the same names of layers. Roles that do not
        deconvolve keep their specification.
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
    kept = {role: network.layer(role) for role in ordinary}
    normalised = {roles[name] for name in stored if f"{name}.running_var" in state} - ordinary
    # the tensors tell which roles do not deconvolve, whatever the published code does there
    known = CATALOGUE[network.arch].deconvolving(network.stem)

    def assuming(block_sizes: Mapping[str, int]) -> NetworkSpec:
        configs = settings.by_role(
            _preset(state, settings, published=published),
            block_sizes=block_sizes,
            published=known if published else None,
        )
        found = {role: LayerSpec(deconv=config) for role, config in configs.items()}
        found |= {role: replace(layer_in(found, role), norm="batch_norm") for role in normalised}
        return replace(network, layers=found | kept)

    linear = {roles[name]: LINEAR_BLOCK for name in sizes if roles[name].startswith("linear")}
    if unlike := _other_sizes(assuming(linear), {name: size for name, size in sizes.items() if roles[name] in linear}):
        linear |= {roles[name]: sizes[name] for name in unlike}
    for chosen in _choices({name: size for name, size in sizes.items() if roles[name] not in linear}, roles):
        guess = assuming(linear | chosen)
        if not (unlike := _other_sizes(guess, sizes)):
            return guess
    said = [f"{name} has blocks of {sizes[name]} channels, not {size}" for name, size in unlike.items()]
    more = f", and {len(said) - 3} more" if len(said) > 3 else ""
    raise DataError(
        f"the blocks of its layers in the role {roles[next(iter(unlike))]!r} follow from no block size that they"
        f" have in common: {', '.join(said[:3])}{more}; state block_size among the settings, or load the tensors into"
        " the network that wrote them, and write that with ndtools.save_network, which stores its settings"
    )


def _choices(sizes: Mapping[str, int], roles: Mapping[str, str]) -> Iterator[dict[str, int]]:
    """Return block sizes of convolutions by role, the likeliest first, from the channels of their blocks by name."""
    yield {}
    if not sizes:
        return
    by_role: dict[str, list[int]] = {}
    for name, size in sizes.items():
        by_role.setdefault(roles[name], []).append(size)
    # Blocks are filled up to the block size, or have the greatest common divisor of it and the channels.
    for common in max, _power_of_two, lambda found: math.lcm(*found):
        yield {"conv": common(sizes.values())}
        yield {role: common(found) for role, found in by_role.items()}


def _power_of_two(sizes: Iterable[int]) -> int:
    return 1 << (max(sizes) - 1).bit_length()


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
    ours = {name: _block_channels(name, layers[name], state) for name in sizes if name in layers}
    return {name: size for name, size in ours.items() if size and size != sizes[name]}
