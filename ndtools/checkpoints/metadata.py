"""Specifications of networks as JSON: written into checkpoints, and read from there without trusting them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from reprlib import repr as short
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from ndtools.errors import DataError, OptionError
from ndtools.layers.config import DeconvConfig
from ndtools.models.catalogue import CATALOGUE, Stem, check_stem
from ndtools.models.factories import LayerSpec, batch_norm, deconv, plain
from ndtools.models.spec import NetworkSpec

__all__ = ["checked", "spec_from_metadata"]

T = TypeVar("T")


def spec_from_metadata(metadata: Mapping[str, Any]) -> NetworkSpec:
    """Read a specification from the metadata of a checkpoint.

    Parameters
    ----------
    metadata : mapping
        Specification as `dataclasses.asdict` returns it, perhaps from JSON.

    Returns
    -------
    NetworkSpec
        Specification of the network in the file.

    Raises
    ------
    DataError
        If the metadata is not a specification, or one that this version does not know.
    """
    wrong = "metadata that this version does not know: "
    try:
        spec = _spec(metadata)
    except ValueError as error:
        raise DataError(f"{wrong}{error}") from None
    if spec.arch not in CATALOGUE:
        raise DataError(f"{wrong}arch must be one of {', '.join(CATALOGUE)}, got {spec.arch!r}")
    try:
        check_stem(spec.arch, spec.stem)
    except OptionError as error:
        raise DataError(f"{wrong}{error}") from None
    for name in ("num_classes", "in_channels"):
        value = getattr(spec, name)
        if not 1 <= value < 2**31:
            raise DataError(f"{wrong}{name} must be at least 1 and below 2**31, got {value}")
    return spec


def _spec(metadata: Mapping[str, Any]) -> NetworkSpec:
    if "form" in metadata:
        return checked(_EarlierSpec, metadata).spec()
    size = checked(_Size, {name: value for name, value in metadata.items() if name != "layers"})
    layers = metadata.get("layers")
    if not isinstance(layers, Mapping) or not all(isinstance(layer, Mapping) for layer in layers.values()):
        raise ValueError(f"layers must be an object with an object for each role, got {short(layers)}")
    given = {role: checked(LayerSpec, layer, f"layers.{role}.") for role, layer in layers.items()}
    return NetworkSpec(**asdict(size), layers=given)


@dataclass(frozen=True, kw_only=True)
class _Size:
    """What a specification says beside its layers."""

    arch: str
    num_classes: int
    in_channels: int
    stem: Stem = "cifar"


@dataclass(frozen=True, kw_only=True)
class _EarlierSpec(_Size):
    """The specification that files had before settings could differ between more roles than three."""

    form: Literal["plain", "batch_norm", "batch_norm_with_bias", "deconv"]
    config: DeconvConfig | None = None
    first: DeconvConfig | None = None
    linear: DeconvConfig | None = None

    def spec(self) -> NetworkSpec:
        if self.form == "deconv":
            made = deconv(self.config, first=self.first, linear=self.linear)
        else:
            made = plain() if self.form == "plain" else batch_norm(conv_bias=self.form == "batch_norm_with_bias")
        return NetworkSpec(
            arch=self.arch, num_classes=self.num_classes, in_channels=self.in_channels, layers=made.layers
        )


def checked(cls: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    """Make an instance of a dataclass from values that were read from JSON, checking the type of each field.

    Parameters
    ----------
    cls : type
        The dataclass, whose fields are numbers, truth values, text, literals or settings of layers.
    values : mapping
        Value of each field by name; fields with a default may be absent.
    prefix : str
        Beginning of the names of fields in messages, such as "first.".

    Returns
    -------
    object
        Instance of the dataclass.

    Raises
    ------
    ValueError
        If there is no such field, or its value is of another type or refused by the dataclass.
    """
    hints, given = get_type_hints(cls), dict(values)
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"there is no {prefix}{name}; settings are {', '.join(hints)}")
        if DeconvConfig in get_args(hints[name]) and isinstance(value, Mapping):
            given[name] = checked(DeconvConfig, value, f"{prefix}{name}.")
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
        return any(_fits(value, option) for option in get_args(hint))
    return type(value) is hint or (hint is float and type(value) is int)


def _words(hint: Any) -> str:  # noqa: ANN401
    if args := get_args(hint):
        return " or ".join(repr(arg) if get_origin(hint) is Literal else _words(arg) for arg in args)
    words = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        NoneType: "null",
        DeconvConfig: "an object of settings",
    }
    return words.get(hint, f"a {hint.__name__}")
