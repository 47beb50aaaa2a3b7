"""What a command, or its user, knows of a checkpoint beyond what the file says."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ndtools.checkpoints.metadata import checked
from ndtools.data.files import read_file
from ndtools.errors import DataError, OptionError
from ndtools.layers.config import DeconvConfig
from ndtools.models import NAMES

__all__ = ["LAYOUT", "PRESETS", "CheckpointConfig", "LayerSettings"]

PRESETS: dict[str, Callable[..., DeconvConfig]] = {
    "interleaved": DeconvConfig.interleaved,
    "paper": DeconvConfig.paper,
    "reference": DeconvConfig.reference,
}
LAYOUT = ("grouping", "shared", "running")  # settings in which the presets, and the tensors of their layers, differ
_LARGEST_FILE = 1 << 20
_OR = " or "
_EXAMPLE = 'such as {"eps": 0.001, "first": {"n_iter": 5}}'


@dataclass(frozen=True, kw_only=True)
class LayerSettings:
    """Settings of the deconvolution layers of a network, as far as they differ from a preset.

    Attributes
    ----------
    preset : {"interleaved", "paper", "reference"}, optional
        Name of the preset; None leaves the choice to whoever uses the settings, who takes "interleaved".
    everywhere : mapping
        Settings of all layers by name, see :class:`ndtools.layers.config.DeconvConfig`.
    first : mapping
        Settings of the first layer by name. The first layer otherwise has 15 iterations, and its statistics freeze
        after 200 batches.
    """

    preset: str | None = None
    everywhere: Mapping[str, Any] = field(default_factory=dict)
    first: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.preset is not None and self.preset not in PRESETS:
            raise OptionError("config", f"preset must be {_OR.join(PRESETS)}, got {self.preset!r}")
        for prefix, settings in (("", self.everywhere), ("first.", self.first)):
            try:
                checked(DeconvConfig, settings, prefix)
            except ValueError as error:
                raise OptionError("config", str(error)) from None

    @classmethod
    def of(cls, given: "str | Path | Mapping[str, Any] | None") -> "LayerSettings":
        """Read settings that a user gives.

        Parameters
        ----------
        given : str, Path or mapping, optional
            Name of a preset; or a JSON file, or a mapping, with any of the keys "preset", "first" (a mapping with
            settings of the first layer) and the names of settings of all layers.

        Returns
        -------
        LayerSettings
            The settings; no preset and nothing that differs for None.

        Raises
        ------
        OptionError
            If the text is neither a preset nor a file, or the settings are not valid.
        """
        if given is None:
            return cls()
        if isinstance(given, str | Path):
            if given in PRESETS:
                return cls(preset=str(given))
            content = _from_json(Path(given))
            try:
                return cls.of(content)
            except OptionError as error:
                raise OptionError("config", f"{given}: {error.message}") from None
        everywhere = dict(given)
        preset, first = everywhere.pop("preset", None), everywhere.pop("first", {})
        if not isinstance(first, Mapping):
            raise OptionError("config", f"first must be an object of settings, got {first!r}")
        if preset is not None and not isinstance(preset, str):
            raise OptionError("config", f"preset must be {_OR.join(PRESETS)}, got {preset!r}")
        return cls(preset=preset, everywhere=everywhere, first=first)

    def of_network(
        self,
        make: Callable[..., DeconvConfig] | None = None,
        *,
        block_size: int | None = None,
        linear: int | None,
        published_first: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the settings of a network's layers by their role.

        Parameters
        ----------
        make : callable, optional
            Constructor of a configuration; by default that of the preset.
        block_size : int, optional
            Block size of the convolutions; by default that of the preset.
        linear : int, optional
            Block size of the linear layer, which by default does not deconvolve.
        published_first : mapping, optional
            Settings of a published network's first layer, in place of those of
            :meth:`~ndtools.layers.config.DeconvConfig.for_first_layer`.

        Returns
        -------
        dict
            Configurations "config", "first" and "linear" of a :class:`ndtools.models.spec.NetworkSpec`.
        """
        blocks = {} if block_size is None else {"block_size": block_size}
        config = (make or PRESETS[self.preset or "interleaved"])(**(blocks | dict(self.everywhere)))
        first = config.for_first_layer() if published_first is None else replace(config, **published_first)
        return {
            "config": config,
            "first": replace(first, **(dict(self.everywhere) | dict(self.first))),
            "linear": None if linear is None else replace(config, block_size=linear),
        }


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """A checkpoint, and what its user knows of it; what is None is taken from the file.

    Attributes
    ----------
    source : str
        Path of the checkpoint.
    arch : str, optional
        Name of the network, one of :data:`ndtools.models.NAMES`.
    num_classes : int, optional
        Number of outputs of the network.
    in_channels : int, optional
        Number of channels of the images.
    settings : LayerSettings
        Settings of the deconvolution layers: those of the network where the file does not say them, or those that its
        layers are to be converted to.
    """

    source: str
    arch: str | None = None
    num_classes: int | None = None
    in_channels: int | None = None
    settings: LayerSettings = LayerSettings()

    def __post_init__(self) -> None:
        if self.arch is not None and self.arch not in NAMES:
            raise OptionError("arch", f"must be one of {', '.join(NAMES)}, got {self.arch!r}")
        for name in ("num_classes", "in_channels"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(name, f"must be at least 1, got {value}")


def _from_json(path: Path) -> Mapping[str, Any]:
    if path.suffix != ".json":
        presets = _OR.join(PRESETS)
        raise OptionError("config", f"must be {presets}, or a .json file of settings, got {str(path)!r}")
    try:
        content = json.loads(read_file(path, limit=_LARGEST_FILE))
    except DataError as error:
        raise OptionError("config", f"cannot read {path}: {error}") from None
    except (ValueError, RecursionError):
        raise OptionError("config", f"{path} is not a JSON file") from None
    if not isinstance(content, dict):
        raise OptionError("config", f"{path} must hold a JSON object, {_EXAMPLE}")
    return content
