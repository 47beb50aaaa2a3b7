"""What the project's networks are built from, as checkpoints state it and as commands are told."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from reprlib import repr as short
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch
from torch import nn

from ndtools.checkpoints.state_dicts import State
from ndtools.errors import DataError, OptionError
from ndtools.layers.config import DeconvConfig
from ndtools.models import NAMES, build
from ndtools.models.factories import Factories, batch_norm, deconv, plain

__all__ = ["LAYOUT", "PRESETS", "PUBLISHED_FIRST", "CheckpointConfig", "Form", "Network"]

Form = Literal["plain", "batch_norm", "batch_norm_with_bias", "deconv"]
T = TypeVar("T")

PRESETS: dict[str, Callable[..., DeconvConfig]] = {"paper": DeconvConfig.paper, "reference": DeconvConfig.reference}
LAYOUT = ("grouping", "shared", "running")  # in which the presets differ, and the tensors with them
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
            elif name in PRESETS:
                preset = name
            else:
                presets = " or ".join(PRESETS)
                raise OptionError("config", f"must be {presets}, or settings such as eps=0.001,n_iter=7, got {name!r}")
        known = [field.name for field in fields(DeconvConfig)]
        text = str(self.config)
        text = text if len(text) <= 80 else f"{text[:77]}..."
        for settings in (everywhere, first):
            for name in settings:
                if name not in known:
                    raise OptionError("config", f"{text}: there is no {name}; settings are {', '.join(known)}")
            try:
                _checked(DeconvConfig, settings)
            except ValueError as error:
                raise OptionError("config", f"{text}: {error}") from None
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
        config = (make or PRESETS[preset or "paper"])(**(blocks | everywhere))
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

    def fits(self, model: nn.Module) -> bool:
        """Return whether a model has the layers of this network, in its order; layers that do nothing do not count."""
        return _kinds(model) == _kinds(self.outline())

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


def _kinds(model: nn.Module) -> list[tuple[str, str]]:
    """Return types and hyperparameters of a model's modules."""
    nothing = (nn.Sequential, nn.Identity)  # the published networks are numbered without what does nothing
    return [(type(m).__name__, m.extra_repr()) for m in model.modules() if not isinstance(m, nothing)]


def _checked(cls: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """Make an instance of a dataclass of what JSON holds; a ValueError names what is not of the type of its field."""
    hints, given = get_type_hints(cls), dict(values)
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"there is no {prefix}{name}")
        if DeconvConfig in get_args(hints[name]) and isinstance(value, Mapping):
            given[name] = _checked(DeconvConfig, value, f"{prefix}{name}.")
        elif not _fits(value, hints[name]):
            raise ValueError(f"{prefix}{name} must be {_words(hints[name])}, got {short(value)}")
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
    except (ValueError, RecursionError):
        return text
