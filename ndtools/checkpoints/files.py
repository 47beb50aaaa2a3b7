"""Checkpoints of the project's networks: which network a file is of, by what it says or by its tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ndtools.checkpoints.config import LAYOUT, PRESETS, CheckpointConfig, LayerSettings
from ndtools.checkpoints.metadata import spec_from_metadata, spec_to_metadata
from ndtools.checkpoints.state_dicts import State, from_published, is_published, load_state, save_state
from ndtools.errors import DataError, OptionError
from ndtools.layers.checks import check_model
from ndtools.layers.config import DeconvConfig
from ndtools.models import NAMES
from ndtools.models.catalogue import CATALOGUE
from ndtools.models.factories import Form
from ndtools.models.spec import NetworkSpec

__all__ = ["Checkpoint", "load_network", "read_checkpoint", "save_network"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Checkpoint:
    """Contents of a checkpoint.

    Attributes
    ----------
    network : NetworkSpec
        Specification of the network: from the file's metadata, or else from the user, completed by the shapes of the
        tensors.
    state : dict of Tensor
        State dict of that network, float64 if any tensor of the file is, else float32. Tensors of the published code
        are translated.
    published : bool
        Whether the file is one of the published code.
    assumed : dict, optional
        Settings of the deconvolution layers by role, ``config``, ``first`` and ``linear``, if the file does not say
        them; None if it does.
    """

    network: NetworkSpec
    state: State
    published: bool
    assumed: dict[str, Any] | None

    def assumptions(self, names: Sequence[str] = ()) -> list[str]:
        """List the settings of the deconvolution layers that had to be assumed, since the file does not say them.

        Parameters
        ----------
        names : sequence of str
            Names of the settings that matter for what follows; by default those that matter for training.

        Returns
        -------
        list of str
            Settings such as "eps=1e-05", and those of the first layer that differ, such as "first.n_iter=15"; empty if
            the file says all that matters.
        """
        if self.assumed is None:
            return []
        names = names or ("eps", "n_iter", "momentum", "sampling_stride", "freeze_after", "through_statistics")
        config, first = self.assumed["config"], self.assumed["first"]
        if config["running"] == "matrix":  # D is in the file
            names = [name for name in names if name not in ("eps", "n_iter")] if names[2:] else []
        everywhere = [f"{name}={config[name]}" for name in names if config[name] is not None]
        return everywhere + [f"first.{name}={first[name]}" for name in names if first[name] != config[name]]


def load_network(
    path: str | Path,
    *,
    arch: str | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
) -> nn.Module:
    """Read a network of :mod:`ndtools.models` from a checkpoint.

    Files of `save_network` and of the commands ``convert`` and ``fold`` say which network they hold. For other files,
    also those of the published code, ``arch`` is needed; all else follows from the shapes of the tensors.

    Parameters
    ----------
    path : str or Path
        Path of a .safetensors file, or of a file of ``torch.save``.
    arch : str, optional
        Name of the network, one of :data:`ndtools.models.NAMES`.
    num_classes : int, optional
        Number of outputs, which the file must agree with.
    in_channels : int, optional
        Number of channels of the images, which the file must agree with.
    config : str, Path or mapping, optional
        Settings of the deconvolution layers where the file does not say them: "interleaved", "paper" or "reference", a
        JSON file, or a mapping, see :meth:`ndtools.checkpoints.config.LayerSettings.of`.

    Returns
    -------
    Module
        The network on the CPU, in evaluation mode.

    Raises
    ------
    DataError
        If the file cannot be read, or is not one of the network.
    OptionError
        If options contradict the file, or ``arch`` is needed.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from ndtools.models import build
    >>> from ndtools.models.factories import deconv
    >>> network = build("vgg11", deconv())
    >>> with TemporaryDirectory() as folder:
    ...     save_network(network, f"{folder}/vgg11.safetensors")
    ...     again = load_network(f"{folder}/vgg11.safetensors")
    >>> bool((again.classifier.weight == network.classifier.weight).all())
    True
    """
    given = read_checkpoint(
        CheckpointConfig(
            source=str(path),
            arch=arch,
            num_classes=num_classes,
            in_channels=in_channels,
            settings=LayerSettings.of(config),
        )
    )
    return given.network.holding(given.state).eval()


def save_network(model: nn.Module, path: str | Path) -> None:
    """Write a network of :mod:`ndtools.models` with its specification, for `load_network` and the commands.

    The network may have been converted (:func:`ndtools.surgery.convert.convert`) or folded
    (:func:`ndtools.surgery.fold.fold`). Its tensors are written under the names that they have in the network that is
    built from the specification.

    Parameters
    ----------
    model : Module
        Network of :func:`ndtools.models.build`, which knows its specification. ``torch.compile`` and ``DataParallel``
        around it are left out.
    path : str or Path
        Path of the file to write or replace, ending in .safetensors.

    Raises
    ------
    ValueError
        If the model has no specification, or has been changed so that it is another network.
    TypeError
        If the model is no Module.
    OutputError
        If the file cannot be written.

    Examples
    --------
    See `load_network`.
    """
    check_model(model)
    model = _unwrapped(model)
    spec = getattr(model, "spec", None)
    if not isinstance(spec, NetworkSpec):
        raise ValueError(
            f"{type(model).__name__} has no specification, by which it could be read again: networks of"
            f" ndtools.models.build have one; {_INSTEAD}"
        )
    outline = spec.outline()
    if _layers(model) != _layers(outline):
        raise ValueError(f"the network is no longer a {spec.arch} in the form {spec.form!r}; {_INSTEAD}")
    save_state(path, dict(zip(outline.state_dict(), model.state_dict().values(), strict=True)), spec_to_metadata(spec))


_INSTEAD = "write its state_dict with torch.save, and read it into the same network"


def _layers(model: nn.Module) -> list[tuple[str, str]]:
    """Return the types and hyperparameters of a network's layers, without those that do nothing."""
    nothing = (nn.Sequential, nn.Identity)  # the published networks are numbered without them
    return [(type(m).__name__, m.extra_repr()) for m in model.modules() if not isinstance(m, nothing)]


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return a network without torch.compile and DataParallel around it."""
    for name in ("_orig_mod", "module"):
        inner = getattr(model, name, None)
        if isinstance(inner, nn.Module) and len(list(model.children())) == 1:
            return _unwrapped(inner)
    return model


def read_checkpoint(config: CheckpointConfig) -> Checkpoint:
    """Read a checkpoint, and complete what is known of its network.

    Parameters
    ----------
    config : CheckpointConfig
        The checkpoint, and what its user knows of it.

    Returns
    -------
    Checkpoint
        Specification of the network, and its tensors.

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
            network = spec_from_metadata(metadata)
            _compare(config, network)
        else:
            state = from_published(state) if published else state
            network = _recognise(config, state, published)
        mismatch = _mismatch(network.outline(), state)
        if mismatch:
            hint = "" if metadata else _other_preset(network, state)
            raise DataError(f"not a checkpoint of {network.arch} in the form {network.form!r}: {mismatch}{hint}")
    except DataError as error:
        raise DataError(f"{config.source}: {error}") from None
    said = metadata or network.form != "deconv"
    settings = None if said else {key: spec_to_metadata(network)[key] for key in ("config", "first", "linear")}
    return Checkpoint(network=network, state=state, published=published, assumed=settings)


def _compare(config: CheckpointConfig, network: NetworkSpec) -> None:
    """Refuse what contradicts the specification in a file."""
    for name in ("arch", "num_classes", "in_channels"):
        given, found = getattr(config, name), getattr(network, name)
        if given is not None and given != found:
            raise OptionError(name, f"{given} contradicts the checkpoint, which says {found}; leave the option out")
    if network.form != "deconv":
        return
    ours = network.config or DeconvConfig()
    first = network.first or ours.for_first_layer()
    asked = config.settings
    layout = {name: getattr(PRESETS[asked.preset](), name) for name in LAYOUT} if asked.preset else {}
    everywhere = dict(asked.everywhere)
    for prefix, settings, given in (("", ours, layout | everywhere), ("first.", first, everywhere | dict(asked.first))):
        for name, value in given.items():
            stored = getattr(settings, name)
            if stored != value:
                raise OptionError(
                    "config",
                    f"{prefix}{name} = {value} contradicts the checkpoint, which says {stored}; leave the option out",
                )


def _recognise(config: CheckpointConfig, state: State, published: bool) -> NetworkSpec:
    if config.arch is None:
        raise OptionError(
            "arch", f"is needed: {config.source} does not say of which network it is, one of {', '.join(NAMES)}"
        )
    if published and config.settings.preset not in (None, "reference"):
        raise OptionError(
            "config", f"{config.settings.preset} contradicts the checkpoint, which is one of the published code"
        )
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
        return NetworkSpec(**base, form="deconv", **settings)
    form: Form = "plain"
    if any(key.endswith("running_var") for key in state):
        first = next(key for key, value in state.items() if key.endswith("weight") and value.dim() == 4)
        form = "batch_norm_with_bias" if f"{first.removesuffix('weight')}bias" in state else "batch_norm"
    network = NetworkSpec(**base, form=form)
    if mismatch := _mismatch(network.outline(), state):
        raise DataError(f"not a checkpoint of {config.arch}: {mismatch}")
    return network


def _published(config: CheckpointConfig, state: State) -> dict[str, Any]:
    """Return the settings of a network of the published code; its block sizes follow from shapes."""
    assert config.arch is not None
    return config.settings.of_network(
        DeconvConfig.reference,
        block_size=max(_blocks(state, 4), default=64),
        linear=max(_blocks(state, 2), default=None),
        published_first=CATALOGUE[config.arch].published_first,
    )


def _own(config: CheckpointConfig, state: State) -> dict[str, Any]:
    """Return the settings of a network of this project, as far as they follow from the shapes of its statistics."""
    own = any(key.endswith(_AVERAGES["covariance"]) and value.shape[1] > 1 for key, value in state.items())
    return config.settings.of_network(
        DeconvConfig.paper if own and config.settings.preset is None else None,
        block_size=max(_blocks(state, 4), default=None),
        linear=max(_blocks(state, 2), default=None),
    )


def _blocks(state: State, dims: int) -> list[int]:
    """Return the block sizes of layers with weights of so many dimensions."""
    layers = [key.partition("whitening.")[0] for key in state if key.endswith("whitening.running_mean")]
    weights = {layer: state[f"{layer}weight"] for layer in layers if f"{layer}weight" in state}
    return [
        state[f"{layer}whitening.running_mean"].shape[-1] // weight[0, 0].numel()
        for layer, weight in weights.items()
        if weight.dim() == dims
    ]


def _other_preset(network: NetworkSpec, state: State) -> str:
    """Return a hint, if a state dict has what layers of the other preset average."""
    running = {name for name in ("covariance", "matrix") if any(key.endswith(_AVERAGES[name]) for key in state)}
    if network.config is None or not running or network.config.running in running:
        return ""
    if running == {"matrix"}:
        return '; the file holds averages of D: try `config="reference"`'
    return '; the file holds averages of covariances: try `config="interleaved"` or `config="paper"`'


_AVERAGES = {"covariance": "whitening.running_covariance", "matrix": "whitening.running_deconv"}


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
