"""DenseNet for images of 32×32 pixels: each layer sees the features of all layers before it."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from ndtools.errors import OptionError
from ndtools.models.factories import Factories

__all__ = ["DenseLayer", "DenseNet", "Transition", "densenet"]

_GROWTH = 32
"""Number of channels that each layer adds."""
_COUNTS = {121: (6, 12, 24, 16)}
"""For each depth, the numbers of layers in the four blocks."""


class DenseLayer(nn.Module):
    """Convolutions 1×1 and 3×3, whose output is put before the input.

    Parameters
    ----------
    inputs : int
        Number of input channels.
    growth : int
        Number of channels that the layer adds; four times as many are between its convolutions.
    factories : Factories
        Makers of the network's layers.
    """

    def __init__(self, inputs: int, growth: int, factories: Factories) -> None:
        super().__init__()
        self.bn1 = factories.norm(inputs)
        self.conv1 = factories.conv(inputs, 4 * growth, 1)
        self.bn2 = factories.norm(4 * growth)
        self.conv2 = factories.conv(4 * growth, growth, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, growth + inputs, H, W)."""
        added = self.conv2(relu(self.bn2(self.conv1(relu(self.bn1(x))))))
        return torch.cat((added, x), 1)


class Transition(nn.Module):
    """Convolution 1×1 and averages over 2×2 pixels, which halve channels and image.

    Parameters
    ----------
    inputs : int
        Number of input channels.
    factories : Factories
        Makers of the network's layers.
    """

    def __init__(self, inputs: int, factories: Factories) -> None:
        super().__init__()
        self.bn = factories.norm(inputs)
        self.conv = factories.conv(inputs, inputs // 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, inputs // 2, H/2, W/2)."""
        return avg_pool2d(self.conv(relu(self.bn(x))), 2)


class DenseNet(nn.Module):
    """A convolution, four blocks of dense layers with transitions between them, a linear layer (Huang et al. 2017).

    Parameters
    ----------
    counts : tuple of int
        Number of layers in each of the four blocks.
    factories : Factories
        Makers of the network's layers.
    num_classes : int
        Number of outputs.
    in_channels : int
        Number of channels of the images.
    """

    def __init__(
        self, counts: tuple[int, int, int, int], factories: Factories, *, num_classes: int, in_channels: int
    ) -> None:
        super().__init__()
        channels = 2 * _GROWTH
        self.conv1 = factories.conv(in_channels, channels, 3, padding=1, role="first")
        self.dense1, channels = _block(channels, counts[0], factories)
        self.trans1, channels = Transition(channels, factories), channels // 2
        self.dense2, channels = _block(channels, counts[1], factories)
        self.trans2, channels = Transition(channels, factories), channels // 2
        self.dense3, channels = _block(channels, counts[2], factories)
        self.trans3, channels = Transition(channels, factories), channels // 2
        self.dense4, channels = _block(channels, counts[3], factories)
        self.bn = factories.norm(channels)
        self.linear = factories.linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify images.

        Parameters
        ----------
        x : Tensor of shape (N, C, H, W)
            Images, of 32×32 pixels in the paper.

        Returns
        -------
        Tensor of shape (N, num_classes)
            Logits of the classes.
        """
        out = self.trans1(self.dense1(self.conv1(x)))
        out = self.trans3(self.dense3(self.trans2(self.dense2(out))))
        out = relu(self.bn(self.dense4(out)))
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits


def densenet(depth: int, factories: Factories, *, num_classes: int = 10, in_channels: int = 3) -> DenseNet:
    """Build a DenseNet whose layers add 32 channels each.

    Parameters
    ----------
    depth : {121}
        Number of layers with weights.
    factories : Factories
        Makers of the network's layers.
    num_classes : int
        Number of outputs.
    in_channels : int
        Number of channels of the images.

    Returns
    -------
    DenseNet
        Network that maps (N, in_channels, 32, 32) to logits (N, num_classes).

    Raises
    ------
    OptionError
        If there is no DenseNet of this depth.
    """
    if depth not in _COUNTS:
        raise OptionError("depth", f"of a DenseNet must be {', '.join(map(str, _COUNTS))}, got {depth}")
    return DenseNet(_COUNTS[depth], factories, num_classes=num_classes, in_channels=in_channels)


def _block(channels: int, count: int, factories: Factories) -> tuple[nn.Sequential, int]:
    """Return dense layers, and the number of channels that leave them."""
    layers = (DenseLayer(channels + i * _GROWTH, _GROWTH, factories) for i in range(count))
    return nn.Sequential(*layers), channels + count * _GROWTH
