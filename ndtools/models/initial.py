"""Initial weights of the forms for ImageNet; those for small images have the initial weights of torch's layers."""

from typing import Literal

from torch import nn

from ndtools.layers.conv import FastDeconv2d

__all__ = ["draw_convolutions"]


def draw_convolutions(
    network: nn.Module, mode: Literal["fan_in", "fan_out"] = "fan_out", *, deconvolving: bool = True
) -> None:
    """Draw the weights of all convolutions anew, so that gradients keep their scale through ReLUs (He et al. 2015).

    Deep networks without normalisation hardly learn from torch's own initial weights, which are smaller.

    Parameters
    ----------
    network : torch.nn.Module
        Network, changed in place.
    mode : {"fan_in", "fan_out"}
        Connections that the variance of the weights is inverse to: those into an output, or those from an input, with
        which it is the gradients in place of the outputs that keep their scale.
    deconvolving : bool
        Whether convolutions that deconvolve are drawn alike. It depends on the family of networks, as published.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and (deconvolving or not isinstance(module, FastDeconv2d)):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
