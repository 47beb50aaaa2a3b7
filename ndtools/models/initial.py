"""Initial weights of the forms for ImageNet; those for small images have the initial weights of torch's layers."""

from torch import nn

__all__ = ["draw_convolutions"]


def draw_convolutions(network: nn.Module) -> None:
    """Draw the weights of all convolutions anew, so that gradients keep their scale through ReLUs (He et al. 2015).

    Deep networks without normalisation hardly learn from torch's own initial weights, which are smaller.

    Parameters
    ----------
    network : torch.nn.Module
        Network, changed in place. Deconvolution layers that are convolutions are drawn alike, as published.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
