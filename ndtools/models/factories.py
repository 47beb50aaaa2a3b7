"""Makers of layers: the only difference between a network with batch normalisation and one with deconvolution."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

from torch import nn

from ndtools.layers.checks import check_config
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.linear import DeconvLinear

__all__ = ["Conv", "Factories", "Form", "batch_norm", "chain", "deconv", "plain"]

Form = Literal["plain", "batch_norm", "batch_norm_with_bias", "deconv"]
"""Kinds of layers that a network can be made of."""


class Conv(Protocol):
    """Maker of a convolution; it decides itself whether the convolution has a bias."""

    def __call__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        /,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
    ) -> nn.Module:
        """Return a layer that maps (N, in_channels, H, W) to (N, out_channels, H', W')."""
        ...


@dataclass(frozen=True)
class Factories:
    """Makers of a network's layers, by the role of the layer in the network.

    Attributes
    ----------
    first : Conv
        Maker of the convolution that sees the images.
    conv : Conv
        Maker of all other convolutions.
    norm : callable
        Maker of a normalisation, from the number of channels; ``torch.nn.Identity`` for none.
    linear : callable
        Maker of the linear layer, from the numbers of inputs and outputs.
    form : {"plain", "batch_norm", "batch_norm_with_bias", "deconv"}, optional
        Name of these makers in the specification of a network; None for makers of one's own, whose networks have no
        specification.
    settings : dict
        Settings of deconvolution layers by role, as the specification holds them.
    """

    first: Conv
    conv: Conv
    norm: Callable[[int], nn.Module]
    linear: Callable[[int, int], nn.Module]
    form: Form | None = None
    settings: dict[str, Any] = field(default_factory=dict)


def plain() -> Factories:
    """Return makers of layers for networks without normalisation.

    Returns
    -------
    Factories
        Makers of plain convolutions with a bias.
    """
    return Factories(nn.Conv2d, nn.Conv2d, nn.Identity, nn.Linear, form="plain")


def batch_norm(conv_bias: bool = False) -> Factories:
    """Return makers of layers for networks with batch normalisation.

    Parameters
    ----------
    conv_bias : bool
        Whether convolutions have a bias, which a normalisation that follows at once subtracts again. The published VGG
        has biases, the published ResNets have none.

    Returns
    -------
    Factories
        Makers of convolutions and batch normalisations.
    """
    conv = partial(nn.Conv2d, bias=conv_bias)
    form: Form = "batch_norm_with_bias" if conv_bias else "batch_norm"
    return Factories(conv, conv, nn.BatchNorm2d, nn.Linear, form=form)


def deconv(
    config: DeconvConfig | None = None, *, first: DeconvConfig | None = None, linear: DeconvConfig | None = None
) -> Factories:
    """Return makers of layers for networks with deconvolution and without normalisation.

    Parameters
    ----------
    config : DeconvConfig, optional
        Settings of the convolutions; ``DeconvConfig()`` by default.
    first : DeconvConfig, optional
        Settings of the first convolution; by default ``config`` with 15 iterations, and with statistics that freeze
        after 200 batches (Ye et al. 2020, appendix A.2).
    linear : DeconvConfig, optional
        Settings of the linear layer, which by default does not deconvolve.

    Returns
    -------
    Factories
        Makers of deconvolution layers with a bias.

    Raises
    ------
    TypeError
        If a configuration is not a DeconvConfig.
    """
    for name, settings in (("config", config), ("first", first), ("linear", linear)):
        check_config(name, settings)
    config = config or DeconvConfig()
    first = first or config.for_first_layer()
    return Factories(
        first=partial(FastDeconv2d, config=first),
        conv=partial(FastDeconv2d, config=config),
        norm=nn.Identity,
        linear=partial(DeconvLinear, config=linear) if linear else nn.Linear,
        form="deconv",
        settings={"config": config, "first": first, "linear": linear},
    )


def chain(*layers: nn.Module) -> nn.Sequential:
    """Chain layers without those that do nothing, so that layers are numbered as in the published networks.

    Parameters
    ----------
    *layers : torch.nn.Module
        Layers in their order; ``torch.nn.Identity`` stands for no normalisation.

    Returns
    -------
    torch.nn.Sequential
        All layers that are not ``torch.nn.Identity``.
    """
    return nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))
