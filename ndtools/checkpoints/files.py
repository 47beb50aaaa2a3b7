"""Checkpoints of the networks of ``ndtools.models``: writing, reading, and recognising them by their tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ndtools.checkpoints.block_sizes import deconvolving
from ndtools.checkpoints.config import LAYOUT, PRESETS, CheckpointConfig, LayerSettings
from ndtools.checkpoints.metadata import spec_from_metadata
from ndtools.checkpoints.state_dicts import State, from_published, is_published, load_state, save_state
from ndtools.checkpoints.torchvision_names import from_torchvision
from ndtools.errors import DataError, OptionError
from ndtools.layers.checks import check_model
from ndtools.models.catalogue import CATALOGUE
from ndtools.models.factories import LayerSpec, Norm, lineage, plain
from ndtools.models.spec import NetworkSpec

__all__ = ["Checkpoint", "load_network", "read_checkpoint", "save_network"]


_FOR_TRAINING = ("eps", "n_iter", "momentum", "sampling_stride", "freeze_after", "through_statistics", "layer_norm")


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
        and of torchvision are translated.
    published : bool
        Whether the file is one of the published code.
    assumed : dict, optional
        Settings of the layers by role, None for a role that does not deconvolve, if the file does not say them. None
        if it does.
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
            The assumed settings, such as "eps=1e-05", and those of single roles that differ, such as "first.n_iter=15";
            empty if the file says all that matters.
        """
        if self.assumed is None:
            return []
        names = names or _FOR_TRAINING
        stated = {role: settings for role, settings in self.assumed.items() if settings is not None}
        common: dict[str, Any] = stated.get("conv") or next(iter(stated.values()))
        if common["running"] == "matrix":  # D is in the file
            names = [name for name in names if name not in ("eps", "n_iter")] if names[2:] else []
        said = [f"{name}={common[name]}" for name in names if common[name] is not None]
        for role, settings in stated.items():
            said += [f"{role}.{name}={settings[name]}" for name in names if settings[name] != common[name]]
        return said


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
    also those of the published code and of torchvision's VGGs, ResNets, DenseNet, DeepLabV3 and FCN, ``arch`` is
    needed; all else follows from the names and shapes of the tensors.

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
    if not spec.describes(model):
        raise ValueError(f"the network is no longer a {spec.arch} in the form {spec.form!r}; {_INSTEAD}")
    save_state(path, dict(zip(outline.state_dict(), model.state_dict().values(), strict=True)), asdict(spec))


_INSTEAD = "write its state_dict with torch.save, and read it into the same network"


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return a network without torch.compile and DataParallel around it."""
    for name in ("_orig_mod", "module"):
        inner = getattr(model, name, None)
        if isinstance(inner, nn.Module) and len(list(model.children())) == 1:
            return _unwrapped(inner)
    return model


def read_checkpoint(config: CheckpointConfig) -> Checkpoint:
    """Read a checkpoint, and complete the specification of its network from its tensors.

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
            state = from_torchvision(from_published(state) if published else state)
            network = _recognise(config, state, published)
        try:
            outline = network.outline()
        except OptionError as error:  # a role that the network does not have
            if metadata:
                raise DataError(f"metadata that this version does not know: {error.message}") from None
            raise
        if mismatch := _mismatch(outline, state):
            hint = "" if metadata or published else _other_preset(network, state) or _OTHER_LAYERS
            raise DataError(f"not a checkpoint of {network.arch} in the form {network.form!r}: {mismatch}{hint}")
    except DataError as error:
        raise DataError(f"{config.source}: {error}") from None
    for key, value in _unused(outline).items():
        state.setdefault(key, value.to(dtype) if value.is_floating_point() else value)
    assumed = None
    if network.form == "deconv" and not metadata:
        configs = {role: network.layer(role).deconv for role in ("conv", "first", "linear", *network.layers)}
        assumed = {role: config and asdict(config) for role, config in configs.items()}
    return Checkpoint(network=network, state=state, published=published, assumed=assumed)


def _compare(config: CheckpointConfig, network: NetworkSpec) -> None:
    """Refuse what contradicts the specification in a file."""
    for name in ("arch", "num_classes", "in_channels"):
        given, found = getattr(config, name), getattr(network, name)
        if given is not None and given != found:
            raise OptionError(name, f"{given} contradicts the checkpoint, which says {found}; leave the option out")
    if network.form != "deconv":
        return
    asked = config.settings
    layout = {name: getattr(PRESETS[asked.preset](), name) for name in LAYOUT} if asked.preset else {}
    everywhere = dict(asked.everywhere)
    for role in dict.fromkeys(["conv", "first", *asked.roles]):
        stored = network.layer(role).deconv
        given = {} if lineage(role)[0] == "linear" else (layout if role == "conv" else {}) | everywhere
        given |= asked.roles.get(role) or {}
        if stored is None and given:
            raise OptionError("config", f"{role} contradicts the checkpoint, in which these layers do not deconvolve")
        prefix = "" if role == "conv" else f"{role}."
        for name, value in given.items():
            if getattr(stored, name) != value:
                raise OptionError(
                    "config",
                    f"{prefix}{name} = {value} contradicts the checkpoint, which says {getattr(stored, name)}; leave"
                    " the option out",
                )


def _recognise(config: CheckpointConfig, state: State, published: bool) -> NetworkSpec:
    if config.arch is None:
        origin = Path(config.source)
        beside = origin.with_name("last.safetensors")
        if origin.name == "state.safetensors" and beside.is_file():
            raise DataError(f"it is the state from which a training run goes on; its network is in {beside}")
        raise OptionError(
            "arch", f"is needed: {config.source} does not say of which network it is, one of {', '.join(CATALOGUE)}"
        )
    if published and config.settings.preset not in (None, "reference"):
        raise OptionError(
            "config", f"{config.settings.preset} contradicts the checkpoint, which is one of the published code"
        )
    forms = [
        NetworkSpec(arch=config.arch, num_classes=1, in_channels=1, layers=plain().layers, stem=stem)
        for stem in CATALOGUE[config.arch].stems
    ]
    network = next((form for form in reversed(forms) if _begins_and_ends_as(form, state)), forms[0])
    first, last = _ends(network)
    kernel, matrix = state.get(f"{first}.weight"), state.get(f"{last}.weight")
    segments = CATALOGUE[config.arch].task == "segmentation"
    if kernel is None or matrix is None or (kernel.dim(), matrix.dim()) != (4, 4 if segments else 2):
        kind = "convolution" if segments else "linear layer"
        raise DataError(f"not a checkpoint of {config.arch}: it has no convolution {first} or no {kind} {last}")
    sizes = {"num_classes": len(matrix), "in_channels": kernel.shape[1]}
    for name, found in sizes.items():
        given = getattr(config, name)
        if given is not None and given != found:
            raise OptionError(name, f"{given} contradicts the checkpoint, which has {found}")
    network = replace(network, num_classes=sizes["num_classes"], in_channels=sizes["in_channels"])
    for norm, average in _AVERAGES_OF_NORMS.items():
        if any(key.endswith(average) for key in state):
            network = _normalised(network, state, norm)
    if any(".whitening." in key for key in state):
        return deconvolving(network, state, config.settings, published=published)
    if mismatch := _mismatch(network.outline(), state):
        if not _mismatch(_normalised(network, state, "group_norm").outline(), state):
            raise DataError(_UNTOLD)
        raise DataError(f"not a checkpoint of {config.arch}: {mismatch}")
    return network


_AVERAGES_OF_NORMS: dict[Norm, str] = {"batch_norm": ".running_var", "iter_norm": ".running_matrix"}
"""Normalisations that the names of their averages tell, with the ends of these names."""
_OTHER_LAYERS = (
    "; if some of its layers alone deconvolve, give the .safetensors file of its training run, or write it with"
    " ndtools.save_network: such files say which"
)
_UNTOLD = (
    "it has normalisations without averages, which may be group or layer normalisation, as both have the same tensors;"
    " give the .safetensors file of its training run, or write the network with ndtools.save_network: such files say it"
)


def _ends(network: NetworkSpec) -> tuple[str, str]:
    """Return the names of a network's first convolution and last linear layer, or classifier of pixels."""
    named = [(name, module) for name, module in network.outline().named_modules() if hasattr(module, "role")]
    first = next(name for name, module in named if module.role == "first")
    classifying = [name for name, module in named if module.role == "classifier" or isinstance(module, nn.Linear)]
    return first, classifying[-1]


def _begins_and_ends_as(network: NetworkSpec, state: State) -> bool:
    """Return whether the first kernel in a state dict has the size of a network's, and the last layer its name."""
    first, last = (f"{name}.weight" for name in _ends(network))
    kernel = network.outline().state_dict()[first]
    return first in state and last in state and state[first].shape[2:] == kernel.shape[2:]


def _normalised(network: NetworkSpec, state: State, norm: Norm) -> NetworkSpec:
    """Return the specification of a network with a normalisation, whose convolutions have a bias as in a file."""

    def layers(*, bias: bool) -> dict[str, LayerSpec]:
        return {"conv": LayerSpec(norm=norm, bias=bias), "linear": LayerSpec()}

    network = replace(network, layers=layers(bias=False))
    unbiased = [name for name, module in network.outline().named_modules() if getattr(module, "bias", "") is None]
    # layers that deconvolve have a bias in any case
    biased = any(f"{name}.bias" in state and f"{name}.whitening.running_mean" not in state for name in unbiased)
    return replace(network, layers=layers(bias=biased))


def _other_preset(network: NetworkSpec, state: State) -> str:
    """Return a hint, if a state dict has what layers of the other preset average."""
    running = {name for name in ("covariance", "matrix") if any(key.endswith(_AVERAGES[name]) for key in state)}
    assumed = {layer.deconv.running for layer in network.layers.values() if layer.deconv}
    if not assumed or not running or assumed & running:
        return ""
    if running == {"matrix"}:
        return '; the file holds averages of D: try `config="reference"`, and `layer_norm` beside it if it is of ND++'
    return '; the file holds averages of covariances: try `config="interleaved"` or `config="paper"`'


_AVERAGES = {"covariance": "whitening.running_covariance", "matrix": "whitening.running_deconv"}


def _unused(model: nn.Module) -> State:
    """Return the initial tensors of the normalisation that a pre-activation ResNet has but never uses."""
    # the published networks have it; those of ndtools 0.1 had not, so that their files lack its tensors
    norm = getattr(model, "bn1", None)
    if getattr(model, "active_stem", True) or not isinstance(norm, nn.BatchNorm2d):
        return {}
    return {f"bn1.{name}": value for name, value in nn.BatchNorm2d(norm.num_features).state_dict().items()}


def _mismatch(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Return in which way a state dict is not that of a network; empty if it is."""
    wanted = model.state_dict()
    missing, further = sorted(set(wanted) - set(state) - set(_unused(model))), sorted(set(state) - set(wanted))
    shapes = [key for key, value in wanted.items() if key in state and state[key].shape != value.shape]
    kinds = [k for k, v in wanted.items() if k in state and state[k].is_floating_point() != v.is_floating_point()]
    if missing:
        return f"{missing[0]} is missing" + (f", and {len(missing) - 1} more" if len(missing) > 1 else "")
    if shapes:
        return f"{shapes[0]} has the shape {tuple(state[shapes[0]].shape)}, not {tuple(wanted[shapes[0]].shape)}"
    if kinds:
        return f"{kinds[0]} is of {state[kinds[0]].dtype}, not {wanted[kinds[0]].dtype}"
    return f"{further[0]} is not part of it" if further else ""
