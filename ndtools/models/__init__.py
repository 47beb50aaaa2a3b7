"""The networks of Ye et al. 2020 for small images, with convolution, normalisation and linear layer passed in.

This module imports torch only once a network is built, so that names can be listed without it.
"""

from typing import TYPE_CHECKING

from ndtools.errors import OptionError

if TYPE_CHECKING:
    from torch import nn

    from ndtools.models.factories import Factories

__all__ = ["NAMES", "build"]

_FAMILIES = {"vgg": (11, 13, 16, 19), "resnet": (18, 34, 50, 101, 152), "preact": (18, 34, 50, 101, 152)}
NAMES = tuple(f"{family}{depth}" for family, depths in _FAMILIES.items() for depth in depths)
"""Networks that :func:`build` knows."""


def build(name: str, factories: "Factories", *, num_classes: int = 10, in_channels: int = 3) -> "nn.Module":
    """Build a network by its name.

    Parameters
    ----------
    name : str
        One of ``NAMES``, e.g. ``"resnet18"``.
    factories : Factories
        Makers of its layers.
    num_classes : int
        Outputs.
    in_channels : int
        Channels of the images.

    Returns
    -------
    torch.nn.Module
        Maps images (N, in_channels, 32, 32) to logits (N, num_classes).

    Raises
    ------
    OptionError
        If there is no network of this name.

    Examples
    --------
    >>> from ndtools.models.factories import batch_norm
    >>> network = build("vgg11", batch_norm())
    >>> sum(p.numel() for p in network.parameters())
    9228362
    """
    if name not in NAMES:
        raise OptionError("name", f"must be one of {', '.join(NAMES)}, got {name!r}")
    from ndtools.models.preact_resnet import preact_resnet
    from ndtools.models.resnet import resnet
    from ndtools.models.vgg import vgg

    family = name.rstrip("0123456789")
    make = {"vgg": vgg, "resnet": resnet, "preact": preact_resnet}[family]
    return make(int(name.removeprefix(family)), factories, num_classes=num_classes, in_channels=in_channels)
