"""Modes of whitening, and checks of the arguments of ``Whiten``."""

import json
import math
from typing import Any, Literal

import torch
from torch import Tensor

from ndtools.errors import OptionError
from ndtools.numerics.patches import Pair

__all__ = ["Mode", "check_image", "check_odd_sides", "check_shapes", "refuse", "settings_from"]

Mode = Literal["conv", "full", "channel", "pca", "cholesky"]


def check_shapes(
    mode: str, shape: tuple[int, ...] | None, border: str, *, mean: Tensor, weight: Tensor, inverse: Tensor | None
) -> None:
    """Raise an error if the arguments of a whitening do not fit one another.

    Parameters
    ----------
    mode, shape, border, mean, weight, inverse
        Arguments of :class:`ndtools.Whiten`.

    Raises
    ------
    OptionError
        If an argument has no meaning in this mode.
    ValueError
        If the shapes of the tensors do not fit one another.
    """
    refuse("shape", shape is not None and mode in ("conv", "channel"), mode)
    refuse("border", border != "valid" and mode != "conv", mode)
    refuse("inverse", inverse is not None and mode == "conv", mode)
    found = tuple(weight.shape)
    if mode == "conv":
        if len(found) != 4 or found[0] != found[1]:
            raise ValueError(f"weight must have shape (C, C, k, k) in mode 'conv', got {found}")
        check_odd_sides((found[2], found[3]))
        features = found[1] * found[2] * found[3]
    else:
        if shape is None and mode != "channel":
            raise ValueError(f"shape must be that of the images, (C, H, W), in mode {mode!r}, got None")
        if shape is not None and len(shape) != 3:
            raise ValueError(f"shape must be (C, H, W), got {shape}")
        features = math.prod(shape) if shape is not None else len(weight)
        if found != (features, features):
            raise ValueError(f"weight must have shape ({features}, {features}) in mode {mode!r}, got {found}")
        if inverse is not None and inverse.shape != weight.shape:
            raise ValueError(f"inverse must have the shape of weight, {found}, got {tuple(inverse.shape)}")
    if tuple(mean.shape) != (features,):
        raise ValueError(f"mean must have shape ({features},), got {tuple(mean.shape)}")


def check_image(found: tuple[int, ...], wanted: tuple[int | None, ...], kernel_size: tuple[int, ...]) -> None:
    """Raise an error if images have another shape than a whitening takes.

    Parameters
    ----------
    found : tuple of int
        Shape of an image or of a batch.
    wanted : (int, int or None, int or None)
        Channels, height and width of an image; None for any.
    kernel_size : (int, int)
        Least height and width.

    Raises
    ------
    ValueError
        If the shape is another.
    """
    least = (1, *kernel_size)
    fits = zip(found[-3:], wanted, least, strict=False)
    if len(found) in (3, 4) and all((n is None or n == m) and m >= low for m, n, low in fits):
        return
    names = (f"{n}" if n else name for n, name in zip(wanted, "CHW", strict=True))
    text = ", ".join(names)
    pixels = f" of at least {'×'.join(map(str, kernel_size))} pixels" if max(kernel_size) > 1 else ""
    raise ValueError(f"images must have shape ({text}) or (N, {text}){pixels}, got {found}")


def check_odd_sides(kernel_size: Pair) -> None:
    """Raise ValueError if a patch has no centre pixel."""
    if not (kernel_size[0] % 2 and kernel_size[1] % 2):
        sides = "×".join(map(str, kernel_size))
        raise ValueError(f"kernel_size must be odd, so that there is a centre pixel, got {sides}")


def refuse(name: str, given: bool, mode: str) -> None:
    """Raise OptionError if an argument is given that has no meaning in a mode."""
    if given:
        raise OptionError(name, f"has no meaning in mode {mode!r}")


def settings_from(state: object) -> dict[str, Any]:
    """Return mode, shape and border of the extra state of a whitening; ValueError if it is of another module."""
    if not isinstance(state, Tensor) or state.dtype != torch.uint8:
        raise ValueError("state must be the state_dict of a Whiten, got one with another extra state")
    settings: dict[str, Any] = json.loads(bytes(state.tolist()))
    settings["shape"] = settings["shape"] and tuple(settings["shape"])
    return settings
