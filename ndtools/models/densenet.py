"""DenseNet, in which each layer sees the features of all layers before it: for images of 32×32 pixels or ImageNet."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, relu

from ndtools.models.catalogue import Stem
from ndtools.models.factories import Factories
from ndtools.models.initial import draw_convolutions

__all__ = ["DenseLayer", "DenseNet", "Transition"]

_GROWTH = 32
"""Number of channels that each layer adds."""
_COUNTS = (6, 12, 24, 16)
"""Numbers of layers in the four blocks of DenseNet-121."""


class DenseLayer(nn.Module):
    """Convolutions 1×1 and 3×3, whose output is put before or behind the input.

    Parameters
    ----------
    inputs : int
        Number of input channels.
    growth : int
        Number of channels that the layer adds; four times as many are between its convolutions.
    factories : Factories
        Makers of the network's layers.
    behind : bool
        Whether the output is put behind the input, as in the network for ImageNet.
    """

    def __init__(self, inputs: int, growth: int, factories: Factories, *, behind: bool = False) -> None:
        super().__init__()
        self.behind = behind
        self.bn1 = factories.norm(inputs)
        self.conv1 = factories.conv(inputs, 4 * growth, 1)
        self.bn2 = factories.norm(4 * growth)
        self.conv2 = factories.conv(4 * growth, growth, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, growth + inputs, H, W)."""
        added = self.conv2(relu(self.bn2(self.conv1(relu(self.bn1(x))))))
        return torch.cat((x, added) if self.behind else (added, x), 1)


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
    """DenseNet-121: a convolution, four blocks of dense layers, transitions, a linear layer (Huang et al. 2017).

    Parameters
    ----------
    factories : Factories
        Makers of the network's layers.
    num_classes : int
        Number of outputs.
    in_channels : int
        Number of channels of the images.
    stem : {"cifar", "imagenet"}
        Images that the network is made for. With "imagenet" the first convolution is 7×7 with a stride of 2, and
        normalisation, ReLU and maximum pooling of stride 2 follow.
    """

    def __init__(
        self,
        factories: Factories,
        *,
        num_classes: int,
        in_channels: int,
        stem: Stem = "cifar",
    ) -> None:
        super().__init__()
        channels = 2 * _GROWTH
        self.pools = stem == "imagenet"
        kernel_size, stride = (7, 2) if self.pools else (3, 1)
        self.conv1 = factories.conv(
            in_channels, channels, kernel_size, stride=stride, padding=kernel_size // 2, role="first"
        )
        if self.pools:
            self.bn1 = factories.norm(channels, role="first")
        self.dense1, channels = _block(channels, _COUNTS[0], factories, self.pools)
        self.trans1, channels = Transition(channels, factories), channels // 2
        self.dense2, channels = _block(channels, _COUNTS[1], factories, self.pools)
        self.trans2, channels = Transition(channels, factories), channels // 2
        self.dense3, channels = _block(channels, _COUNTS[2], factories, self.pools)
        self.trans3, channels = Transition(channels, factories), channels // 2
        self.dense4, channels = _block(channels, _COUNTS[3], factories, self.pools)
        self.bn = factories.norm(channels)
        self.linear = factories.linear(channels, num_classes)
        if self.pools:
            draw_convolutions(self, "fan_in", deconvolving=False)
            for name, value in self.linear.named_parameters():
                if name == "bias":
                    nn.init.zeros_(value)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes, (N, num_classes), of images (N, C, H, W)."""
        out = self.conv1(x)
        if self.pools:
            out = max_pool2d(relu(self.bn1(out)), 3, 2, padding=1)
        out = self.trans1(self.dense1(out))
        out = self.trans3(self.dense3(self.trans2(self.dense2(out))))
        out = relu(self.bn(self.dense4(out)))
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits


def _block(channels: int, count: int, factories: Factories, behind: bool) -> tuple[nn.Sequential, int]:
    """Return dense layers, and the number of channels that leave them."""
    layers = (DenseLayer(channels + i * _GROWTH, _GROWTH, factories, behind=behind) for i in range(count))
    return nn.Sequential(*layers), channels + count * _GROWTH
