"""What a user states about a checkpoint that the file does not: network, sizes, settings of layers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ndtools.checkpoints.metadata import checked
from ndtools.data.files import read_file
from ndtools.errors import DataError, OptionError
from ndtools.layers.config import FIRST_LAYER, DeconvConfig
from ndtools.models.catalogue import CATALOGUE, EARLIER_NAMES
from ndtools.models.factories import lineage

__all__ = ["LAYOUT", "PRESETS", "CheckpointConfig", "LayerSettings"]

PRESETS: dict[str, Callable[..., DeconvConfig]] = {
    "interleaved": DeconvConfig.interleaved,
    "paper": DeconvConfig.paper,
    "reference": DeconvConfig.reference,
}
LAYOUT = ("grouping", "shared", "running")  # settings in which the presets, and the tensors of their layers, differ
_COMMON_ROLES = ("first", "conv", "linear")
_LARGEST_FILE = 1 << 20
_PRESET_NAMES = ", ".join(PRESETS)
_EXAMPLE = 'such as {"eps": 0.001, "first": {"n_iter": 5}}'


@dataclass(frozen=True, kw_only=True)
class LayerSettings:
    """Settings of the deconvolution layers of a network, as far as they differ from a preset.

    Attributes
    ----------
    preset : {"interleaved", "paper", "reference"}, optional
        Name of the preset; None is "interleaved", or the one that the tensors of a checkpoint show.
    everywhere : mapping
        Settings of all layers by name, see :class:`ndtools.layers.config.DeconvConfig`.
    roles : mapping
        Settings by name of the layers in one role, by the role (see :mod:`ndtools.models.factories`); None for layers
        that do not deconvolve. The first layer otherwise has 15 iterations, and its statistics freeze after 200
        batches.
    """

    preset: str | None = None
    everywhere: Mapping[str, Any] = field(default_factory=dict)
    roles: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.preset is not None and self.preset not in PRESETS:
            raise OptionError("config", f"preset must be one of {_PRESET_NAMES}, got {self.preset!r}")
        for role, settings in {"": self.everywhere, **self.roles}.items():
            try:
                checked(DeconvConfig, settings or {}, f"{role}." if role else "")
            except ValueError as error:
                raise OptionError("config", str(error)) from None

    @classmethod
    def of(cls, given: "str | Path | Mapping[str, Any] | None") -> "LayerSettings":
        """Read settings that a user gives.

        Parameters
        ----------
        given : str, Path or mapping, optional
            Name of a preset; or a JSON file, or a mapping, with any of the keys "preset", the names of settings of all
            layers, and roles such as "first" or "shortcut", whose value is a mapping with the settings of the layers in
            that role, or None if they do not deconvolve.

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
        names = {each.name for each in fields(DeconvConfig)}
        roles = {key: value for key, value in given.items() if key not in (*names, "preset")}
        for role, settings in roles.items():
            if not isinstance(settings, Mapping | None):
                if role in _COMMON_ROLES:
                    raise OptionError("config", f"{role} must be an object of settings or null, got {settings!r}")
                known = f"settings are {', '.join(sorted(names))}; a role of layers has an object of settings"
                raise OptionError("config", f"there is no setting {role!r}; {known}")
        preset = given.get("preset")
        if preset is not None and not isinstance(preset, str):
            raise OptionError("config", f"preset must be one of {_PRESET_NAMES}, got {preset!r}")
        everywhere = {key: value for key, value in given.items() if key in names}
        return cls(preset=preset, everywhere=everywhere, roles=roles)

    def by_role(
        self,
        make: Callable[..., DeconvConfig] | None = None,
        *,
        block_sizes: Mapping[str, int],
        published: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, DeconvConfig | None]:
        """Return the configuration of a network's layers by their role.

        Parameters
        ----------
        make : callable, optional
            Constructor of a configuration; by default that of the preset.
        block_sizes : mapping
            Block size by role, where the preset's is not meant. A role without one has that of the role that it
            refines, or of "conv". Without one for "linear", linear layers do not deconvolve.
        published : mapping, optional
            Settings of a published network by role, in place of the 15 iterations and freezing of the first layer.

        Returns
        -------
        dict
            Configurations by role, among them "conv", "first" and "linear"; None for layers that do not deconvolve.
        """
        make = make or PRESETS[self.preset or "interleaved"]
        defaults: Mapping[str, Mapping[str, Any]] = {"first": FIRST_LAYER} if published is None else published
        configs: dict[str, DeconvConfig | None] = {}
        for role in dict.fromkeys(["conv", "first", "linear", *defaults, *block_sizes, *self.roles]):
            names = lineage(role)
            own = [self.roles[name] for name in names if name in self.roles]
            linear = names[0] == "linear"
            if (own and own[-1] is None) or (linear and not own and "linear" not in block_sizes):
                configs[role] = None
                continue
            sized = [name for name in (names if linear else ("conv", *names)) if name in block_sizes]
            settings: dict[str, Any] = {"block_size": block_sizes[sized[-1]]} if sized else {}
            for name in names:
                settings |= defaults.get(name, {})
            # the block size that a user gives for all layers is that of convolutions
            settings = {**self.everywhere, **settings} if linear else {**settings, **self.everywhere}
            for name in names if names[0] in _COMMON_ROLES else ("conv", *names):
                settings |= self.roles.get(name) or {}
            configs[role] = make(**settings)
        return configs


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """Path of a checkpoint, and what its user states about it. Fields that are None follow from the file.

    Attributes
    ----------
    source : str
        Path of the checkpoint.
    arch : str, optional
        Name of the network, one of :data:`ndtools.models.NAMES`. The name that it had in ndtools 0.1 becomes its
        present name.
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
        if self.arch is not None:
            object.__setattr__(self, "arch", EARLIER_NAMES.get(self.arch, self.arch))
        if self.arch is not None and self.arch not in CATALOGUE:
            raise OptionError("arch", f"must be one of {', '.join(CATALOGUE)}, got {self.arch!r}")
        for name in ("num_classes", "in_channels"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(name, f"must be at least 1, got {value}")


def _from_json(path: Path) -> Mapping[str, Any]:
    if path.suffix != ".json":
        raise OptionError("config", f"must be one of {_PRESET_NAMES}, or a .json file of settings, got {str(path)!r}")
    try:
        content = json.loads(read_file(path, limit=_LARGEST_FILE))
    except DataError as error:
        raise OptionError("config", f"cannot read {path}: {error}") from None
    except (ValueError, RecursionError):
        raise OptionError("config", f"{path} is not a JSON file") from None
    if not isinstance(content, dict):
        raise OptionError("config", f"{path} must hold a JSON object, {_EXAMPLE}")
    return content
