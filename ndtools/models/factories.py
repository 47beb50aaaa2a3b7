"""Makers of a network's layers by role: the only difference between batch normalisation and deconvolution.

A role is a word for the place of a layer in its network. All networks have the roles "first" (the convolution that sees
the images), "conv" (convolutions without a role of their own) and "linear"; a network may have others, such as
"shortcut". A role with dots refines the one before the dot: a layer in the role "projection.16" has the settings of
"projection.16", or else of "projection", or else of "conv".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from torch import nn

from ndtools.layers.checks import check_config
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.iternorm import IterNorm
from ndtools.layers.linear import DeconvLinear

__all__ = ["Factories", "LayerSpec", "batch_norm", "chain", "deconv", "layer_in", "lineage", "plain", "roles_of"]

M = TypeVar("M", bound=nn.Module)
Norm = Literal["none", "batch_norm", "group_norm", "layer_norm", "iter_norm"]

GROUPS = 32
"""Number of groups in group normalisation (Wu and He 2018)."""


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """Kind and settings of the layers in one role of a network.

    Attributes
    ----------
    deconv : DeconvConfig, optional
        Settings of the deconvolution; None for layers that do not deconvolve.
    norm : {"none", "batch_norm", "group_norm", "layer_norm", "iter_norm"}
        Normalisation that the network puts beside a convolution in this role. "group_norm" normalises each image by
        itself, in 32 groups of channels, or in the half, quarter, ... of these if 32 do not divide the channels (Wu and
        He 2018); "layer_norm" has one group. "iter_norm" is :class:`ndtools.layers.iternorm.IterNorm`. All of them
        scale and shift each channel afterwards.
    bias : bool
        Whether the layers add a bias.
    """

    deconv: DeconvConfig | None = None
    norm: Norm = "none"
    bias: bool = True


def lineage(role: str) -> tuple[str, ...]:
    """Return a role after the roles that it refines: ("projection", "projection.16") for "projection.16"."""
    words = role.split(".")
    return tuple(".".join(words[: i + 1]) for i in range(len(words)))


def layer_in(layers: Mapping[str, LayerSpec], role: str) -> LayerSpec:
    """Return the specification of a role, or else of the nearest role that it refines, or else of "conv"."""
    return next((layers[name] for name in reversed(lineage(role)) if name in layers), layers["conv"])


def roles_of(network: nn.Module) -> set[str]:
    """Return the roles of a network's layers, and the roles that they refine."""
    roles = {module.role for module in network.modules() if isinstance(getattr(module, "role", None), str)}
    return {name for role in roles for name in lineage(str(role))}


@dataclass(frozen=True)
class Factories:
    """Makers of a network's layers. Each layer remembers its role as the attribute ``role``.

    A subclass may make layers of another kind; the networks that it makes have no specification.

    Attributes
    ----------
    layers : mapping of str to LayerSpec
        Specifications of the layers by role, among them "conv" and "linear".
    """

    layers: Mapping[str, LayerSpec]

    def conv(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool | None = None,
        role: str = "conv",
    ) -> nn.Module:
        """Make a convolution.

        Parameters
        ----------
        in_channels, out_channels : int
            Number of channels of the input and of the output.
        kernel_size : int
            Side of the kernel, pixels.
        stride, padding, dilation, groups : int
            Arguments of :class:`torch.nn.Conv2d`.
        bias : bool, optional
            Whether the layer adds a bias; by default as the specification of its role says. Layers that no
            normalisation follows in any form of the network have one.
        role : str
            Role of the layer in its network.

        Returns
        -------
        Module
            A layer that maps (N, in_channels, H, W) to (N, out_channels, H', W').
        """
        spec = layer_in(self.layers, role)
        shape = (in_channels, out_channels, kernel_size, stride, padding, dilation)
        bias = spec.bias if bias is None else bias
        if spec.deconv is None:
            return _in_role(nn.Conv2d(*shape, groups=groups, bias=bias), role)
        return _in_role(FastDeconv2d(*shape, groups=groups, bias=bias, config=spec.deconv), role)

    def norm(self, channels: int, *, role: str = "conv") -> nn.Module:
        """Make the normalisation beside a convolution.

        Parameters
        ----------
        channels : int
            Number of channels that are normalised.
        role : str
            Role of the convolution.

        Returns
        -------
        Module
            A normalisation; ``torch.nn.Identity`` for none.
        """
        return _in_role(_NORMS[layer_in(self.layers, role).norm](channels), role)

    def linear(self, in_features: int, out_features: int, *, role: str = "linear") -> nn.Module:
        """Make a linear layer.

        Parameters
        ----------
        in_features, out_features : int
            Number of features of the input and of the output.
        role : str
            Role of the layer in its network, "linear" or one that refines it.

        Returns
        -------
        Module
            A layer that maps (N, in_features) to (N, out_features).
        """
        spec = layer_in(self.layers, role)
        if spec.deconv is None:
            return _in_role(nn.Linear(in_features, out_features, bias=spec.bias), role)
        return _in_role(DeconvLinear(in_features, out_features, bias=spec.bias, config=spec.deconv), role)


def plain() -> Factories:
    """Return makers of plain convolutions with a bias, for networks without normalisation."""
    return Factories({"conv": LayerSpec(), "linear": LayerSpec()})


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
    return Factories({"conv": LayerSpec(norm="batch_norm", bias=conv_bias), "linear": LayerSpec()})


def deconv(
    config: DeconvConfig | None = None,
    *,
    first: DeconvConfig | None = None,
    linear: DeconvConfig | None = None,
    **roles: DeconvConfig | None,
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
    **roles : DeconvConfig, optional
        Settings of the convolutions in other roles that the network has, such as ``shortcut``; None if they do not
        deconvolve. A role with dots is passed as ``**{"projection.16": ...}``.

    Returns
    -------
    Factories
        Makers of deconvolution layers with a bias.

    Raises
    ------
    TypeError
        If a configuration is not a DeconvConfig, or ``conv`` is given beside ``config``.

    Examples
    --------
    >>> from ndtools.models import build
    >>> network = build("resnet18", deconv(shortcut=DeconvConfig(n_iter=3)))
    >>> network.layer2[0].shortcut[0].role, network.layer2[0].shortcut[0].whitening.config.n_iter
    ('shortcut', 3)
    """
    if "conv" in roles:
        raise TypeError("conv must not be given: `config` has the settings of convolutions without a role of theirs")
    for name, settings in {"config": config, "first": first, "linear": linear, **roles}.items():
        check_config(name, settings)
    config = config or DeconvConfig()
    by_role = {"conv": config, "first": first or config.for_first_layer(), "linear": linear, **roles}
    return Factories({role: LayerSpec(deconv=settings) for role, settings in by_role.items()})


def chain(*layers: nn.Module) -> nn.Sequential:
    """Chain layers without ``nn.Identity``, so that they are numbered as in the published networks."""
    return nn.Sequential(*(layer for layer in layers if not isinstance(layer, nn.Identity)))


def _group_norm(channels: int) -> nn.GroupNorm:
    groups = GROUPS
    while channels % groups:
        groups //= 2
    return nn.GroupNorm(groups, channels)


_NORMS: dict[Norm, Callable[[int], nn.Module]] = {
    "none": lambda channels: nn.Identity(),
    "batch_norm": nn.BatchNorm2d,
    "group_norm": _group_norm,
    "layer_norm": lambda channels: nn.GroupNorm(1, channels),
    "iter_norm": IterNorm,
}


def _in_role(layer: M, role: str) -> M:
    layer.role = role  # type: ignore[assignment]
    return layer
