"""Checkpoints of the project's networks: which network a file is of, by what it says or by its tensors."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ndtools.checkpoints.networks import LAYOUT, PRESETS, PUBLISHED_FIRST, CheckpointConfig, Form, Network
from ndtools.checkpoints.state_dicts import State, from_published, is_published, load_state, save_state
from ndtools.errors import DataError, OptionError
from ndtools.layers.checks import check_model
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.linear import DeconvLinear
from ndtools.models import NAMES
from ndtools.surgery.replacing import whitening_of

__all__ = ["Checkpoint", "load_network", "read_checkpoint", "save_network"]

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

    def note(self, names: Sequence[str] = (), *, width: int = 80) -> str:
        """Return a line on what is assumed, broken where it is long; empty if nothing is that matters.

        Parameters
        ----------
        names : sequence of str
            Settings that matter; by default those of training.
        width : int
            Characters of a line.

        Returns
        -------
        str
            Those settings, and those of the first layer that differ.
        """
        if self.assumed is None:
            return ""
        names = names or ("eps", "n_iter", "momentum", "sampling_stride", "freeze_after", "through_statistics")
        config, first = self.assumed["config"], self.assumed["first"]
        if config["running"] == "matrix":  # D is in the file
            names = [name for name in names if name not in ("eps", "n_iter")] if names[2:] else []
        said = [f"{name}={config[name]}" for name in names if config[name] is not None]
        said += [f"first.{name}={first[name]}" for name in names if first[name] != config[name]]
        if not said:
            return ""
        line = f"settings assumed: {', '.join(said)} (the file does not say; choose with --config)"
        return textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)


def load_network(
    path: str | Path,
    *,
    arch: str | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    config: str | None = None,
) -> nn.Module:
    """Read a network of :mod:`ndtools.models` from a checkpoint.

    What `save_network` and the commands ``convert`` and ``fold`` write says of which network it is. Of other files,
    also of those of the published code, ``arch`` is needed; the rest is found by names and shapes of their tensors.

    Parameters
    ----------
    path : str or Path
        A .safetensors file, or one of ``torch.save``.
    arch : str, optional
        One of :data:`ndtools.models.NAMES`.
    num_classes, in_channels : int, optional
        Outputs, and channels of the images: to be checked.
    config : str, optional
        Settings of the deconvolution layers where the file does not say, see :class:`CheckpointConfig`.

    Returns
    -------
    Module
        On the CPU, in evaluation mode.

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
        CheckpointConfig(source=str(path), arch=arch, num_classes=num_classes, in_channels=in_channels, config=config)
    )
    return given.network.holding(given.state).eval()


def save_network(model: nn.Module, path: str | Path) -> None:
    """Write a network of :mod:`ndtools.models`, with what it is built from: `load_network` and the commands read it.

    It may be converted (:func:`ndtools.surgery.convert.convert`) or folded (:func:`ndtools.surgery.fold.fold`); its
    tensors are written under the names of the network as it is built.

    Parameters
    ----------
    model : Module
        Of :func:`ndtools.models.build`; convolutions after the first with the same settings. What wraps it, for
        several devices or compiled, is taken away.
    path : str or Path
        File to write or replace, ending in .safetensors.

    Raises
    ------
    ValueError
        If the model is not one of these networks.
    TypeError
        If it is no Module.
    OutputError
        If the file cannot be written.

    Examples
    --------
    See `load_network`.
    """
    check_model(model)
    network = _described(model := _unwrapped(model))
    values = model.state_dict().values()
    save_state(path, dict(zip(network.outline().state_dict(), values, strict=True)), network.numbers())


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return a network without torch.compile and DataParallel around it."""
    for name in ("_orig_mod", "module"):
        inner = getattr(model, name, None)
        if isinstance(inner, nn.Module) and len(list(model.children())) == 1:
            return _unwrapped(inner)
    return model


def _described(model: nn.Module) -> Network:
    """Return what a model is built from."""
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    if weights and type(model).__module__.startswith("ndtools.models."):
        convolutions = [whitening_of(m).config for m in model.modules() if isinstance(m, FastDeconv2d)]
        linear = [whitening_of(m).config for m in model.modules() if isinstance(m, DeconvLinear)]
        settings = {"linear": linear[-1] if linear else None}
        if convolutions:
            settings |= {"first": convolutions[0], "config": convolutions[-1]}
        for arch in NAMES:
            for form in _FORMS if not convolutions else ("deconv",):
                network = Network(
                    arch=arch,
                    num_classes=len(weights[-1]),
                    in_channels=weights[0].shape[1],
                    form=form,
                    **(settings if convolutions else {}),
                )
                if network.fits(model):
                    return network
    raise ValueError(
        f"{type(model).__name__} is not a network of ndtools.models in one of its forms (plain, batch normalisation, or"
        " deconvolution with one configuration in all convolutions after the first): write its state_dict"
        " with torch.save, and read it into the same network"
    )


def read_checkpoint(config: CheckpointConfig) -> Checkpoint:
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
            hint = "" if metadata else _other_preset(network, state)
            raise DataError(f"not a checkpoint of {network.arch} in the form {network.form!r}: {mismatch}{hint}")
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
    layout = {name: getattr(PRESETS[preset](), name) for name in LAYOUT} if preset else {}
    for settings, given in ((ours, layout | everywhere), (first, everywhere | of_first)):
        if any(getattr(settings, name) != value for name, value in given.items()):
            raise OptionError("config", f"{config.config} contradicts the checkpoint's settings; leave the option out")


def _recognise(config: CheckpointConfig, state: State, published: bool) -> Network:
    if config.arch is None:
        raise OptionError(
            "arch", f"is needed: {config.source} does not say of which network it is, one of {', '.join(NAMES)}"
        )
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


def _other_preset(network: Network, state: State) -> str:
    """Return a hint, if a state dict has what layers of the other preset average."""
    running = {name for name in ("covariance", "matrix") if any(key.endswith(_AVERAGES[name]) for key in state)}
    if network.config is None or not running or network.config.running in running:
        return ""
    what, preset = ("D", "reference") if running == {"matrix"} else ("covariances", "paper")
    return f"; the file holds averages of {what}: try --config {preset}"


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
