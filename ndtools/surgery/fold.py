"""Folding of networks: D is merged into the weights of plain layers, for inference (Ye et al. 2020, sec. 4.5.1)."""

import copy
import inspect
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import skip_init

from ndtools.errors import NumericalWarning
from ndtools.layers.channel import ChannelDeconv
from ndtools.layers.checks import check_model
from ndtools.layers.conv_transpose import FastDeconvTransposeNd, exchanged
from ndtools.layers.linear import DeconvLinear
from ndtools.layers.running import Statistics
from ndtools.layers.whitening import Whitening
from ndtools.surgery.replacing import (
    carry_hooks,
    carry_role,
    copy_of,
    deconvolves,
    held_aside,
    own_names,
    replace_modules,
    shape_of,
    whitening_of,
)
from ndtools.surgery.specs import update_spec
from ndtools.text import counted

__all__ = ["call", "check_example", "copied", "fold", "poor_statistics"]

_Input = tuple[int, torch.dtype]  # number of axes, and dtype
_CONVOLUTIONS: tuple[type[Any], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED: tuple[type[Any], ...] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@torch.no_grad()
def fold(model: nn.Module, example: Any) -> tuple[nn.Module, float]:  # noqa: ANN401
    """Merge the deconvolution of a trained network into its weights, for inference.

    Convolutions, transposed convolutions and linear layers become those of torch, with weight w D and bias b − w D μ,
    where μ and D are those of evaluation. ChannelDeconv becomes a 1×1 convolution, or a linear layer for inputs of
    shape (N, C). Products are computed in float64 and rounded once. The folded network consists of plain layers: it can
    be traced, exported, and loaded without ndtools. Batch normalisations are kept.

    Parameters
    ----------
    model : Module
        Trained network with deconvolution layers. It is not changed.
    example : Tensor, tuple or dict
        Input of the network: its argument, a tuple of arguments, or a dict of arguments by name. It is not changed.

    Returns
    -------
    model : Module
        Folded copy of the network, in evaluation mode.
    max_difference : float
        Largest |folded(example) − model(example)| in evaluation mode; not finite if an output is not finite.

    Raises
    ------
    ValueError
        If the network has no deconvolution layers, or one that has not been trained or cannot be folded. A layer
        cannot be folded if it is of an unknown type, if it normalises each sample (``layer_norm``), if it is held in a
        list or dict outside the tree of modules, if hooks compute its weights at each call, if its averaged statistics
        are not finite or a covariance is indefinite, or if it is a ChannelDeconv that the example does not reach, or
        reaches in two shapes.
    TypeError
        If the model is not a Module, the network does not accept the example, or its output holds no tensors.

    Examples
    --------
    >>> from ndtools.layers.conv import FastDeconv2d
    >>> net = nn.Sequential(FastDeconv2d(3, 8, 3), nn.ReLU())
    >>> x = torch.randn(10, 3, 12, 12)
    >>> _ = net(x)  # a training batch
    >>> plain, difference = fold(net, x)
    >>> plain[0], difference < 1e-4
    (Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1)), True)
    """
    check_model(model)
    check_example(example)
    names = {key: of[0] for key, of in own_names(model).items()}
    _check(model, names)
    if poor := poor_statistics(model):
        raise ValueError(poor)
    original = copy_of(model).eval()
    folded = copy_of(original)
    reached: dict[str, set[_Input]] = {}
    handles = [
        module.register_forward_pre_hook(
            lambda _, args, name=name: reached.setdefault(name, set()).add((args[0].dim(), args[0].dtype))
        )
        for name, module in original.named_modules()
        if isinstance(module, ChannelDeconv)
    ]
    before = _tensors(call(original, copied(example)))
    for handle in handles:
        handle.remove()
    new = {}
    for name, module in folded.named_modules():
        if deconvolves(module):
            new[id(module)] = _plain(module, name, reached.get(name, set()))
            carry_hooks(module, new[id(module)])
            carry_role(module, new[id(module)])
    folded = replace_modules(folded, new)
    after = _tensors(call(folded, copied(example)))
    differences = [_difference(a, b) for a, b in zip(before, after, strict=True) if a.numel()]
    update_spec(folded)
    return folded, float(torch.stack(differences).max()) if differences else 0.0


def call(model: nn.Module, example: Any) -> Any:  # noqa: ANN401
    """Apply a network to an example.

    Parameters
    ----------
    model : Module
        Network to apply.
    example : Tensor, tuple or dict
        Argument of the network, a tuple of arguments, or a dict of arguments by name.

    Returns
    -------
    object
        Output of the network.

    Raises
    ------
    TypeError
        If the network takes another number of arguments, or arguments of other names.
    """
    arguments = example if isinstance(example, tuple) else () if isinstance(example, Mapping) else (example,)
    named = dict(example) if isinstance(example, Mapping) else {}
    try:
        return model(*arguments, **named)
    except TypeError as error:
        if _takes(model, arguments, named):
            raise
        count = counted(len(arguments), "argument")
        given = f"the arguments {', '.join(named)}" if named else count
        raise TypeError(
            f"{type(model).__name__} does not take {given}: a tuple holds the network's arguments, a dict its"
            " arguments by name; of a batch (x, y) of inputs and targets pass x"
        ) from error


def _takes(model: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Return whether a network's forward accepts the arguments; True if its signature is unknown."""
    try:
        signature = inspect.signature(model.forward)
    except ValueError:
        return True
    try:
        signature.bind(*arguments, **named)
    except TypeError:
        return False
    return True


def check_example(example: Any) -> None:  # noqa: ANN401
    """Raise a TypeError for objects that are often passed by mistake in place of an example.

    Parameters
    ----------
    example : object
        Value that should be an example input.

    Raises
    ------
    TypeError
        If the example is a NumPy array, a list, or anything else but a Tensor, tuple or dict.
    ValueError
        If a Tensor in it holds no samples.
    """
    expected = "example must be a Tensor, a tuple of arguments or a dict of arguments by name"
    if isinstance(example, np.ndarray):
        raise TypeError(f"{expected}, got an array of numpy: pass torch.from_numpy(array)")
    if isinstance(example, list):
        raise TypeError(
            f"{expected}, got a list: of a batch [x, y] pass x; where a list is the network's argument, (list,)"
        )
    if not isinstance(example, Tensor | tuple | Mapping):
        raise TypeError(
            f"{expected}, got {type(example).__name__}: pass a small batch of inputs, or a tuple with the argument"
        )
    values = (
        (example,)
        if isinstance(example, Tensor)
        else tuple(example.values() if isinstance(example, Mapping) else example)
    )
    for value in values:
        if isinstance(value, Tensor) and not value.numel():
            raise ValueError(f"example must hold at least one sample, got a Tensor of shape {tuple(value.shape)}")


def poor_statistics(model: nn.Module) -> str:
    """Return a message about the deconvolution layers whose averages give no usable D.

    Parameters
    ----------
    model : Module
        Network that is looked through.

    Returns
    -------
    str
        Sentence with the names of the layers and a remedy; "" if there are no such layers.
    """
    found: dict[str, list[str]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NumericalWarning)  # about the same layers
        for name, module in model.named_modules():
            trouble = whitening_of(module).trouble() if deconvolves(module) else ""
            if trouble:
                found.setdefault(trouble, []).append(name or "(model)")
    said = []
    for kind, names in found.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        said.append(f"{', '.join(names[:3])}{more}: {_TROUBLES[kind]}")
    return "; ".join([*said, "estimate them anew (ndtools.recalibrate), or train on"]) if said else ""


_TROUBLES = {
    "non-finite": "the averaged statistics contain NaN or Inf, as after a training batch that did",
    "indefinite": "the averaged covariance has negative eigenvalues, as after rounding to half precision (keep"
    " statistics in float32)",
}


def _check(model: nn.Module, names: dict[int, str]) -> None:
    aside = [where for held, where in held_aside(model) if _left_behind(held, names)]
    if aside:
        raise ValueError(
            f"{', '.join(sorted(set(aside)))}: lists and dicts of modules with deconvolution layers, which cannot be"
            " exchanged there: use torch.nn.ModuleList or ModuleDict"
        )
    layers = [module for module in model.modules() if deconvolves(module)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no deconvolution layers: there is nothing to fold")
    known = {id(layer.whitening) for layer in layers}
    for module in model.modules():
        if isinstance(module, Whitening) and id(module) not in known:
            raise ValueError(
                f"a module of an unknown type holds the statistics {names[id(module)]!r}, and cannot be folded"
            )
    untrained = [names[id(m)] or "(model)" for m in layers if int(whitening_of(m).num_batches_tracked) == 0]
    if untrained:
        raise ValueError(
            f"{len(untrained)} of {len(layers)} deconvolution layers have not seen a training batch, the first of them"
            f" {untrained[0]!r}: train the network, or load its checkpoint, before you fold it"
        )
    for layer in layers:
        if whitening_of(layer).config.layer_norm:
            raise ValueError(
                f"{names[id(layer)] or '(model)'} normalises each sample by itself (layer_norm=True), which no weight"
                " can do: the network cannot be folded, and is used as it is"
            )
        computed = [
            key for key in ("weight", "bias") if isinstance(vars(layer).get(key), Tensor)
        ]  # a tensor, not a Parameter
        if computed:
            raise ValueError(
                f"hooks compute the {' and '.join(computed)} of {names[id(layer)] or '(model)'} at each call"
                " (pruning, weight_norm): make that permanent before you fold, with torch.nn.utils.prune.remove or"
                " torch.nn.utils.remove_weight_norm"
            )


def _left_behind(held: nn.Module, names: Mapping[int, str]) -> bool:
    """Return whether a module outside the tree is or holds a deconvolution layer that replacing would not reach."""
    return deconvolves(held) or any(deconvolves(each) and id(each) not in names for each in held.modules())


def _plain(module: nn.Module, name: str, inputs: set[_Input]) -> nn.Module:
    """Return the plain form of a deconvolution layer in evaluation mode."""
    statistics = [(m.cpu().double(), d.cpu().double()) for m, d in whitening_of(module).running_statistics()]
    if isinstance(module, ChannelDeconv):
        return _plain_channels(module, name, inputs, statistics)
    if not isinstance(module, _ConvNd | DeconvLinear):
        raise ValueError(f"{name or '(model)'} is a {type(module).__name__}, which cannot be folded")
    kind: type[Any] = nn.Linear
    if isinstance(module, _ConvNd):
        kinds = _TRANSPOSED if isinstance(module, FastDeconvTransposeNd) else _CONVOLUTIONS
        kind = kinds[len(module.kernel_size) - 1]
    plain = _empty(kind, **shape_of(module), device=module.weight.device, dtype=module.weight.dtype)
    return _filled(plain, module, module.weight, module.bias, statistics)


def _plain_channels(module: ChannelDeconv, name: str, inputs: set[_Input], statistics: Statistics) -> nn.Module:
    if len(inputs) != 1:
        seen = " and ".join(f"{dims} axes of {kind}" for dims, kind in sorted(inputs, key=str)) or "nothing"
        raise ValueError(
            f"{name or '(model)'} sees {seen} with this example: a ChannelDeconv can be folded if all its inputs have"
            " the same number of axes and the same dtype"
        )
    ((dims, dtype),) = inputs
    channels = module.num_channels
    new = {"device": module.whitening.num_batches_tracked.device, "dtype": dtype}
    plain: Any
    if dims == 2:
        plain = _empty(nn.Linear, channels, channels, **new)
    else:
        plain = _empty(_CONVOLUTIONS[dims - 3], channels, channels, 1, **new)
    return _filled(plain, module, torch.eye(channels, dtype=torch.float64), None, statistics)


def _empty(kind: type[Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Return a module of torch without initialising its weights."""
    return skip_init(kind, *args, **kwargs)  # type: ignore[no-untyped-call]


def _filled(
    plain: Any,  # noqa: ANN401
    module: nn.Module,
    weight: Tensor,
    bias: Tensor | None,
    statistics: Statistics,
) -> nn.Module:
    if isinstance(module, FastDeconvTransposeNd):
        merged, shift = whitening_of(module).fold(exchanged(weight.cpu(), module.groups), statistics)
        merged = exchanged(merged, module.groups)
    else:
        merged, shift = whitening_of(module).fold(weight.cpu(), statistics)
    plain.weight.copy_(merged.view_as(plain.weight))
    plain.bias.copy_(shift if bias is None else bias.cpu().double() + shift)
    for parameter in plain.parameters():
        parameter.requires_grad_(weight.requires_grad)
    result: nn.Module = plain.eval()
    return result


def _tensors(output: Any) -> list[Tensor]:  # noqa: ANN401
    found = list(_tensors_in(output))
    if not found:
        raise TypeError(f"the output of the network must hold tensors, got {type(output).__name__}")
    return found


def copied(example: Any) -> Any:  # noqa: ANN401
    """Return a copy of an example with cloned tensors, for networks that write to their input."""
    return copy.deepcopy(example, {id(tensor): tensor.clone() for tensor in _tensors_in(example)})


def _tensors_in(output: Any) -> Iterator[Tensor]:  # noqa: ANN401
    # torch.utils._pytree would treat dataclasses and subclasses of dict as leaves, unless they are registered.
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors_in(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors_in(value)
    elif is_dataclass(output) and not isinstance(output, type):
        for field in fields(output):
            yield from _tensors_in(getattr(output, field.name))


def _difference(a: Tensor, b: Tensor) -> Tensor:
    kind = torch.complex128 if a.is_complex() else torch.float64
    a, b = a.cpu().to(kind), b.cpu().to(kind)
    return torch.where(a == b, 0.0, (a - b).abs()).max()
