"""What a network of this package is: enough to build it again, and what its files say of it."""

from dataclasses import dataclass

import torch
from torch import nn

from ndtools.layers.config import DeconvConfig
from ndtools.models.catalogue import build
from ndtools.models.factories import Factories, Form, batch_norm, deconv, plain

__all__ = ["NetworkSpec"]


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Specification of a network: its architecture, its size, and the settings of its layers by their role.

    `ndtools.models.build` attaches it to the network as ``spec``; `ndtools.convert` and `ndtools.fold` attach that of
    the network they return; checkpoints store it.

    Attributes
    ----------
    arch : str
        Name of the architecture, one of :data:`ndtools.models.NAMES`.
    num_classes : int
        Number of outputs.
    in_channels : int
        Number of channels of the images.
    form : {"plain", "batch_norm", "batch_norm_with_bias", "deconv"}
        Kind of the layers: without normalisation, with batch normalisation (and convolutions with or without a bias),
        or with deconvolution.
    config : DeconvConfig, optional
        Settings of the convolutions, in the form "deconv".
    first : DeconvConfig, optional
        Settings of the convolution that sees the images, in the form "deconv".
    linear : DeconvConfig, optional
        Settings of the linear layer; None if it does not deconvolve.
    """

    arch: str
    num_classes: int
    in_channels: int
    form: Form
    config: DeconvConfig | None = None
    first: DeconvConfig | None = None
    linear: DeconvConfig | None = None

    def factories(self) -> Factories:
        """Return the makers of the network's layers."""
        if self.form == "deconv":
            return deconv(self.config, first=self.first, linear=self.linear)
        return plain() if self.form == "plain" else batch_norm(conv_bias=self.form == "batch_norm_with_bias")

    def build(self) -> nn.Module:
        """Build the network, untrained."""
        return build(self.arch, self.factories(), num_classes=self.num_classes, in_channels=self.in_channels)

    def outline(self) -> nn.Module:
        """Build the network on torch's meta device, where tensors have shapes but take no memory."""
        with torch.device("meta"):
            return self.build()

    def holding(self, state: dict[str, torch.Tensor]) -> nn.Module:
        """Build the network around the tensors of a state dict, which it shares.

        Parameters
        ----------
        state : dict of Tensor
            State dict of such a network, whose floating-point tensors have one dtype.

        Returns
        -------
        Module
            The network, in training mode.
        """
        model = self.outline().to(next(value.dtype for value in state.values() if value.is_floating_point()))
        model.load_state_dict(state, assign=True)
        return model
