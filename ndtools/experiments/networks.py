"""Checkpoints of the project's networks: which network a file is of, by what it says or by its tensors."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from ndtools.errors import DataError, OptionError
from ndtools.layers.checkpoints import State, from_published, is_published, load_state
from ndtools.layers.config import DeconvConfig
from ndtools.models import NAMES, build
from ndtools.models.factories import Factories, batch_norm, deconv, plain

__all__ = ["Checkpoint", "CheckpointConfig", "Network", "load_network"]

Form = Literal["plain", "batch_norm", "batch_norm_with_bias", "deconv"]
T = TypeVar("T")

_PRESETS: dict[str, Callable[..., DeconvConfig]] = {"paper": DeconvConfig.paper, "reference": DeconvConfig.reference}
_LAYOUT = ("grouping", "shared", "running")  # in which the presets differ, and the tensors with them
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
    config : str, optional
        Settings of deconvolution layers, separated by commas: those of the file, where it does not say, or those that
        layers are converted to. A preset, "paper" by default, or "reference"; NAME=VALUE, a setting of
        :class:`DeconvConfig` in all layers; first.NAME=VALUE, one of the first layer, which has 15 iterations and is
        frozen after 200 batches else.
    """

    source: str
    arch: str | None = None
    num_classes: int | None = None
    in_channels: int | None = None
    config: str | None = None

    def __post_init__(self) -> None:
        if self.arch is not None and self.arch not in NAMES:
            raise OptionError("arch", f"must be one of {', '.join(NAMES)}, got {self.arch!r}")
        for name in ("num_classes", "in_channels"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(name, f"must be at least 1, got {value}")
        self.settings()

    def settings(self) -> tuple[str | None, dict[str, Any], dict[str, Any]]:
        """Read ``config``.

        Returns
        -------
        preset : str or None
            If it is named.
        everywhere, first : dict
            Settings of all layers, and of the first.

        Raises
        ------
        OptionError
            If it is not understood.
        """
        preset: str | None = None
        everywhere: dict[str, Any] = {}
        first: dict[str, Any] = {}
        for part in self.config.split(",") if self.config else []:
            name, given, value = part.strip().partition("=")
            if given:
                (first if name.startswith("first.") else everywhere)[name.removeprefix("first.")] = _value(value)
            elif name in _PRESETS:
                preset = name
            else:
                presets = " or ".join(_PRESETS)
                raise OptionError("config", f"must be {presets}, or settings such as eps=0.001,n_iter=7, got {name!r}")
        for settings in (everywhere, first):
            try:
                _checked(DeconvConfig, settings)
            except ValueError as error:
                raise OptionError("config", f"{self.config}: {error}") from None
        return preset, everywhere, first

    def layers(
        self,
        make: Callable[..., DeconvConfig] | None = None,
        *,
        block_size: int | None = None,
        linear: int | None,
        first: Callable[[DeconvConfig], DeconvConfig] = DeconvConfig.for_first_layer,
    ) -> dict[str, Any]:
        """Return the settings of a network's layers.

        Parameters
        ----------
        make : callable, optional
            The preset; by default that of ``config``.
        block_size, linear : int, optional
            Block sizes of convolutions, by default of the preset, and of linear layers, by default not deconvolving.
        first : callable
            What else holds in the first layer.

        Returns
        -------
        dict
            ``config``, ``first`` and ``linear`` of :class:`Network`.
        """
        preset, everywhere, of_first = self.settings()
        blocks = {} if block_size is None else {"block_size": block_size}
        config = (make or _PRESETS[preset or "paper"])(**(blocks | everywhere))
        return {
            "config": config,
            "first": replace(first(config), **(everywhere | of_first)),
            "linear": None if linear is None else replace(config, block_size=linear),
        }


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
        """Return the network with these tensors, which it shares; those with a fraction of one dtype."""
        model = self.outline().to(next(value.dtype for value in state.values() if value.is_floating_point()))
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
        wrong = "metadata that this version does not know: "
        try:
            network = _checked(cls, metadata)
        except ValueError as error:
            raise DataError(f"{wrong}{error}") from None
        if network.arch not in NAMES:
            raise DataError(f"{wrong}arch must be one of {', '.join(NAMES)}, got {network.arch!r}")
        for name in ("num_classes", "in_channels"):
            value = getattr(network, name)
            if not 1 <= value < 2**31:
                raise DataError(f"{wrong}{name} must be at least 1 and below 2**31, got {value}")
        return network


def _checked(cls: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """Make an instance of a dataclass of what JSON holds; a ValueError names what is not of the type of its field."""
    hints, given = get_type_hints(cls), dict(values)
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"there is no {prefix}{name}")
        if DeconvConfig in get_args(hints[name]) and isinstance(value, Mapping):
            given[name] = _checked(DeconvConfig, value, f"{prefix}{name}.")
        elif not _fits(value, hints[name]):
            raise ValueError(f"{prefix}{name} must be {_words(hints[name])}, got {value!r}")
    try:
        return cls(**given)
    except (TypeError, OptionError) as error:
        raise ValueError(f"{prefix}{error}") from None


def _fits(value: Any, hint: Any) -> bool:  # noqa: ANN401
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is UnionType:
        return any(_fits(value, each) for each in get_args(hint))
    return type(value) is hint or (hint is float and type(value) is int)


def _words(hint: Any) -> str:  # noqa: ANN401
    if args := get_args(hint):
        return " or ".join(repr(each) if get_origin(hint) is Literal else _words(each) for each in args)
    words = {int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}
    return words.get(hint, f"a {hint.__name__}")


def _value(text: str) -> Any:  # noqa: ANN401
    """Return a value as JSON has it, and None and text without quotes."""
    try:
        return None if text == "None" else json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text


_FORMS: tuple[Form, ...] = ("plain", "batch_norm", "batch_norm_with_bias")


@dataclass(frozen=True, eq=False, kw_only=True)
class Checkpoint:
    """What a file holds.

    Attributes
    ----------
    network : Network
        By the file's metadata; else by the options, and by names and shapes of its tensors.
    state : dict of Tensor
        For it, float64 if any is, else float32; those of the published code are translated.
    published : bool
        Whether they are.
    assumed : dict, optional
        Settings of the deconvolution layers, ``config``, ``first`` and ``linear``, if the file does not say them.
    """

    network: Network
    state: State
    published: bool
    assumed: dict[str, Any] | None

    def note(self) -> str:
        """Return a line on what is assumed; empty if nothing is."""
        if self.assumed is None:
            return ""
        config, first = (
            {name: value for name, value in self.assumed[key].items() if name not in ("block_size", *_LAYOUT)}
            for key in ("config", "first")
        )
        of_first = {name: value for name, value in first.items() if value != config[name]}
        said = ", ".join(f"{name}={value}" for name, value in config.items())
        if of_first:
            said += "; in the first layer " + ", ".join(f"{name}={value}" for name, value in of_first.items())
        why = "the file does not say, and evaluation does not need them" if self.published else "the file does not say"
        return f"settings assumed: {said} ({why}; choose with --config, such as eps=0.001,first.n_iter=5)"


def load_network(config: CheckpointConfig) -> Checkpoint:
    """Read a checkpoint and find out what network it is of.

    Parameters
    ----------
    config : CheckpointConfig
        File, and what is known of it.

    Returns
    -------
    Checkpoint
        Network and tensors.

    Raises
    ------
    DataError
        If the file cannot be read, or is not one of the network.
    OptionError
        If options contradict the file, or ``arch`` is needed.
    """
    state, metadata = load_state(config.source)
    floating = [value.dtype for value in state.values() if value.is_floating_point()]
    dtype = torch.float64 if torch.float64 in floating else torch.float32
    state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
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
    said = metadata or network.form != "deconv"
    settings = None if said else {key: network.numbers()[key] for key in ("config", "first", "linear")}
    return Checkpoint(network=network, state=state, published=published, assumed=settings)


def _compare(config: CheckpointConfig, network: Network) -> None:
    for name in ("arch", "num_classes", "in_channels"):
        given, found = getattr(config, name), getattr(network, name)
        if given is not None and given != found:
            raise OptionError(name, f"{given} contradicts the checkpoint, which says {found}; leave the option out")
    if network.form != "deconv":
        return
    ours = network.config or DeconvConfig()
    first = network.first or ours.for_first_layer()
    preset, everywhere, of_first = config.settings()
    layout = {name: getattr(_PRESETS[preset](), name) for name in _LAYOUT} if preset else {}
    for settings, given in ((ours, layout | everywhere), (first, everywhere | of_first)):
        if any(getattr(settings, name) != value for name, value in given.items()):
            raise OptionError("config", f"{config.config} contradicts the checkpoint's settings; leave the option out")


def _recognise(config: CheckpointConfig, state: State, published: bool) -> Network:
    if config.arch is None:
        raise OptionError("arch", f"is needed: {config.source} does not say of which network it is; see --help")
    if published and config.settings()[0] == "paper":
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
        settings = _published(config, state) if published else _own(config, state)
        return Network(**base, form="deconv", **settings)
    forms: tuple[Form, ...] = _FORMS
    fitting = [network for form in forms if not _mismatch((network := Network(**base, form=form)).outline(), state)]
    if not fitting:
        normalised = any(key.endswith("running_var") for key in state)
        nearest = Network(**base, form="batch_norm" if normalised else "plain")
        raise DataError(f"not a checkpoint of {config.arch}: {_mismatch(nearest.outline(), state)}")
    return fitting[0]


def _published(config: CheckpointConfig, state: State) -> dict[str, Any]:
    """Return the settings of a network of the published code; its block sizes follow from shapes."""
    assert config.arch is not None
    first = PUBLISHED_FIRST[config.arch.rstrip("0123456789")]
    return config.layers(
        DeconvConfig.reference,
        block_size=max(_blocks(state, 4), default=64),
        linear=max(_blocks(state, 2), default=None),
        first=lambda settings: replace(settings, **first),
    )


def _own(config: CheckpointConfig, state: State) -> dict[str, Any]:
    """Return the settings of a network of this project; its block sizes follow from shapes."""
    return config.layers(block_size=max(_blocks(state, 4), default=None), linear=max(_blocks(state, 2), default=None))


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
    kinds = [k for k, v in wanted.items() if k in state and state[k].is_floating_point() != v.is_floating_point()]
    if missing:
        return f"{missing[0]} is missing" + (f", and {len(missing) - 1} more" if len(missing) > 1 else "")
    if shapes:
        return f"{shapes[0]} has the shape {tuple(state[shapes[0]].shape)}, not {tuple(wanted[shapes[0]].shape)}"
    if kinds:
        return f"{kinds[0]} is of {state[kinds[0]].dtype}, not {wanted[kinds[0]].dtype}"
    return f"{further[0]} is not part of it" if further else ""
