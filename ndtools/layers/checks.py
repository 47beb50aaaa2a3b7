"""Checks of arguments, made before any statistics are updated."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from ndtools.layers.config import DeconvConfig

__all__ = ["check_arguments", "check_config", "check_dtype", "check_model"]

_PUBLISHED = {"block": "block_size", "freeze": "freeze_after", "freeze_iter": "freeze_after"}
"""Settings by the names that the arguments of the published layers have."""


def check_dtype(x: Tensor, dtype: torch.dtype | None = None) -> None:
    """Raise a TypeError if a layer cannot compute in the dtype of its input.

    Parameters
    ----------
    x : Tensor
        Input of the layer.
    dtype : torch.dtype, optional
        Dtype of the layer's weights. Under autocast, and for a layer without weights, any floating dtype will do.

    Raises
    ------
    TypeError
        If the input is not of a floating dtype, or of another one than the weights.
    """
    if not x.is_floating_point():
        raise TypeError(f"expected an input of a floating dtype, got {x.dtype}")
    if dtype not in (None, x.dtype) and not torch.is_autocast_enabled(x.device.type):
        raise TypeError(f"expected an input of the dtype of the weights, {dtype}, got {x.dtype}")


def check_arguments(layer: str, names: Iterable[str]) -> None:
    """Raise a TypeError if arguments of a layer are settings of its configuration.

    Parameters
    ----------
    layer : str
        Name of the layer.
    names : iterable of str
        Names of the arguments, under which the published layers take settings themselves.

    Raises
    ------
    TypeError
        If one is a setting, here or in the published code.
    """
    settings = {field.name: field.name for field in fields(DeconvConfig)}
    for name in names:
        setting = (settings | _PUBLISHED).get(name)
        if setting is not None:
            form = "DeconvConfig" if name in settings else "DeconvConfig.reference"
            raise TypeError(
                f"{layer} has no argument {name!r}: it is a setting, passed as config={form}({setting}=...)"
            )


def check_config(name: str, value: Any) -> None:  # noqa: ANN401
    """Raise a TypeError, with a hint for common mistakes, if a value is neither None nor a DeconvConfig."""
    if value is None or isinstance(value, DeconvConfig):
        return
    found, remedy = f"{value!r}", "DeconvConfig(...), DeconvConfig.paper() or DeconvConfig.reference()"
    if isinstance(value, str) and value in ("interleaved", "paper", "reference"):
        remedy = f"DeconvConfig.{value}()"
    elif isinstance(value, dict):
        found, remedy = "a dict", "DeconvConfig(**settings)"
    elif callable(value):
        called = getattr(value, "__qualname__", type(value).__name__)
        found = called
        if value in (DeconvConfig, DeconvConfig.paper, DeconvConfig.reference):
            found, remedy = f"{called} itself", f"{called}(), called"
    raise TypeError(f"{name} must be a DeconvConfig, got {found}: pass {remedy}")


def check_model(model: Any) -> None:  # noqa: ANN401
    """Raise a TypeError, which says what to do, if a value is not a network."""
    if isinstance(model, nn.Module):
        return
    found = f"the class {model.__name__}" if isinstance(model, type) else f"one of type {type(model).__name__}"
    remedy = "build the network, and load a state dict into it with load_state_dict"
    raise TypeError(f"model must be a torch.nn.Module, got {found}: {remedy}")
