"""Checkpoints of the project's networks: which network a file is of, by what it says or by its tensors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ndtools.errors import DataError, OptionError
from ndtools.layers.checkpoints import State, from_published, is_published, load_state
from ndtools.layers.config import DeconvConfig
from ndtools.models import NAMES, build
from ndtools.models.factories import Factories, batch_norm, deconv, plain

__all__ = ["PRESETS", "CheckpointConfig", "Network", "load_network", "load_with_origin"]

Form = Literal["plain", "batch_norm", "batch_norm_with_bias", "deconv"]

PRESETS = {"paper": DeconvConfig.paper, "reference": DeconvConfig.reference}
# First convolutions of the published networks; their freeze_iter of 100 freezes after the 101st batch.
PUBLISHED_FIRST: dict[str, dict[str, Any]] = {
    "vgg": {"n_iter": 15, "freeze_after": 101},
    "preact": {"n_iter": 10, "freeze_after": 101},
    "resnet": {},
}


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """What is known of a checkpoint; what is None is taken from the file.

    Attributes
    ----------
    source : str
        The file.
    arch : str, optional
        One of :data:`ndtools.models.NAMES`.
    num_classes, in_channels : int, optional
        Outputs, and channels of the images.
    preset : {"paper", "reference"}, optional
        Settings of deconvolution layers: those of the file, where it does not say, or those that layers are converted
        to; "paper" by default.
    """

    source: str
    arch: str | None = None
    num_classes: int | None = None
    in_channels: int | None = None
    preset: str | None = None

    def __post_init__(self) -> None:
        if self.arch is not None and self.arch not in NAMES:
            raise OptionError("arch", f"must be one of {', '.join(NAMES)}, got {self.arch!r}")
        if self.preset is not None and self.preset not in PRESETS:
            raise OptionError("config", f"must be one of {', '.join(PRESETS)}, got {self.preset!r}")
        for name in ("num_classes", "in_channels"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(name, f"must be at least 1, got {value}")


@dataclass(frozen=True, kw_only=True)
class Network:
    """What a network is built from; the metadata of the project's checkpoints.

    Attributes
    ----------
    arch : str
        One of :data:`ndtools.models.NAMES`.
    num_classes, in_channels : int
        Outputs, and channels of the images.
    form : {"plain", "batch_norm", "batch_norm_with_bias", "deconv"}
        What its layers are made of.
    config, first, linear : DeconvConfig, optional
        Of the deconvolution layers, see :func:`ndtools.models.factories.deconv`.
    """

    arch: str
    num_classes: int
    in_channels: int
    form: Form
    config: DeconvConfig | None = None
    first: DeconvConfig | None = None
    linear: DeconvConfig | None = None

    def build(self) -> nn.Module:
        """Return the network, untrained."""
        factories: dict[str, Factories] = {
            "plain": plain(),
            "batch_norm": batch_norm(),
            "batch_norm_with_bias": batch_norm(conv_bias=True),
            "deconv": deconv(self.config, first=self.first, linear=self.linear),
        }
        return build(self.arch, factories[self.form], num_classes=self.num_classes, in_channels=self.in_channels)

    def outline(self) -> nn.Module:
        """Return the network without memory for its tensors."""
        with torch.device("meta"):
            return self.build()

    def holding(self, state: State) -> nn.Module:
        """Return the network with these tensors, which it shares."""
        model = self.outline()
        model.load_state_dict(state, assign=True)
        return model

    def numbers(self) -> dict[str, Any]:
        """Return what JSON can hold of it, and `of_metadata` understands."""
        return asdict(self)

    @classmethod
    def of_metadata(cls, metadata: Mapping[str, Any]) -> "Network":
        """Read what `numbers` has written.

        Parameters
        ----------
        metadata : mapping
            Of a checkpoint.

        Returns
        -------
        Network
            The description.

        Raises
        ------
        DataError
            If it is not one.
        """
        try:
            given: dict[str, Any] = {
                name: DeconvConfig(**value) if name in ("config", "first", "linear") and value is not None else value
                for name, value in metadata.items()
            }
            network = cls(**given)
        except (TypeError, ValueError) as error:
            raise DataError(f"metadata that this version does not know: {error}") from None
        if network.arch not in NAMES or network.form not in ("deconv", *_FORMS):
            raise DataError(f"metadata that this version does not know: {network.arch!r}, {network.form!r}")
        return network


_FORMS: tuple[Form, ...] = ("plain", "batch_norm", "batch_norm_with_bias")


def load_network(config: CheckpointConfig) -> tuple[Network, State]:
    """Read a checkpoint and find out what network it is of.

    Parameters
    ----------
    config : CheckpointConfig
        File, and what is known of it.

    Returns
    -------
    network : Network
        By the file's metadata; else by the options, and by names and shapes of its tensors.
    state : dict of Tensor
        For it; those of the published code are translated.

    Raises
    ------
    DataError
        If the file cannot be read, or is not one of the network.
    OptionError
        If options contradict the file, or ``arch`` is needed.
    """
    network, state, _ = load_with_origin(config)
    return network, state


def load_with_origin(config: CheckpointConfig) -> tuple[Network, State, bool]:
    """Do what `load_network` does, and return also whether the state is translated from the published code's."""
    state, metadata = load_state(config.source)
    published = is_published(state)
    try:
        if metadata:
            network = Network.of_metadata(metadata)
            _compare(config, network)
        else:
            state = from_published(state) if published else state
            network = _recognise(config, state, published)
        mismatch = _mismatch(network.outline(), state)
        if mismatch:
            raise DataError(f"not a checkpoint of {network.arch} in the form {network.form!r}: {mismatch}")
    except DataError as error:
        raise DataError(f"{config.source}: {error}") from None
    return network, state, published


def _compare(config: CheckpointConfig, network: Network) -> None:
    for name in ("arch", "num_classes", "in_channels"):
        given, found = getattr(config, name), getattr(network, name)
        if given is not None and given != found:
            raise OptionError(name, f"{given} contradicts the checkpoint, which says {found}; leave the option out")
    if config.preset is not None and network.config is not None:
        ours = PRESETS[config.preset]()
        if any(getattr(ours, name) != getattr(network.config, name) for name in ("grouping", "shared", "running")):
            raise OptionError("config", f"{config.preset} contradicts the checkpoint's settings; leave the option out")


def _recognise(config: CheckpointConfig, state: State, published: bool) -> Network:
    if config.arch is None:
        raise OptionError("arch", f"is needed: {config.source} does not say of which network it is; see --help")
    if published and config.preset == "paper":
        raise OptionError("config", "paper contradicts the checkpoint, which is of the published code")
    weights = [value for key, value in state.items() if key.endswith("weight")]
    matrices, kernels = ([value for value in weights if value.dim() == dims] for dims in (2, 4))
    if not matrices or not kernels:
        raise DataError(f"not a checkpoint of {config.arch}: it has no convolutions or no linear layer")
    sizes = {"num_classes": len(matrices[-1]), "in_channels": kernels[0].shape[1]}
    for name, found in sizes.items():
        given = getattr(config, name)
        if given is not None and given != found:
            raise OptionError(name, f"{given} contradicts the checkpoint, which has {found}")
    base: dict[str, Any] = {"arch": config.arch, **sizes}
    if any(".whitening." in key for key in state):
        settings = _published(config.arch, state) if published else _preset(config.preset, state)
        return Network(**base, form="deconv", **settings)
    forms: tuple[Form, ...] = _FORMS
    fitting = [network for form in forms if not _mismatch((network := Network(**base, form=form)).outline(), state)]
    if not fitting:
        normalised = any(key.endswith("running_var") for key in state)
        nearest = Network(**base, form="batch_norm" if normalised else "plain")
        raise DataError(f"not a checkpoint of {config.arch}: {_mismatch(nearest.outline(), state)}")
    return fitting[0]


def _published(arch: str, state: State) -> dict[str, Any]:
    """Return the settings of a network of the published code; its block sizes follow from shapes."""
    config = DeconvConfig.reference(block_size=max(_blocks(state, 4), default=64))
    first = replace(config, **PUBLISHED_FIRST[arch.rstrip("0123456789")])
    linear = {"linear": DeconvConfig.reference(block_size=max(sizes))} if (sizes := _blocks(state, 2)) else {}
    return {"config": config, "first": first, **linear}


def _preset(name: str | None, state: State) -> dict[str, Any]:
    make = PRESETS[name or "paper"]
    sizes = _blocks(state, 2)
    return {"config": make(), **({"linear": make(block_size=max(sizes))} if sizes else {})}


def _blocks(state: State, dims: int) -> list[int]:
    """Return the block sizes of layers with weights of so many dimensions."""
    layers = [key.partition("whitening.")[0] for key in state if key.endswith("whitening.running_mean")]
    weights = {layer: state[f"{layer}weight"] for layer in layers if f"{layer}weight" in state}
    return [
        state[f"{layer}whitening.running_mean"].shape[-1] // weight[0, 0].numel()
        for layer, weight in weights.items()
        if weight.dim() == dims
    ]


def _mismatch(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Return in which way a state dict is not that of a network; empty if it is."""
    wanted = model.state_dict()
    missing, further = sorted(set(wanted) - set(state)), sorted(set(state) - set(wanted))
    shapes = [key for key, value in wanted.items() if key in state and state[key].shape != value.shape]
    if missing:
        return f"{missing[0]} is missing" + (f", and {len(missing) - 1} more" if len(missing) > 1 else "")
    if shapes:
        return f"{shapes[0]} has the shape {tuple(state[shapes[0]].shape)}, not {tuple(wanted[shapes[0]].shape)}"
    return f"{further[0]} is not part of it" if further else ""
