"""Small PNASNets for images of 32×32 pixels: cells of large depthwise convolutions and max pooling."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from ndtools.models.factories import Factories

__all__ = ["CellA", "CellB", "PNASNet", "SeparableConv"]

_CELLS = 6
"""Number of cells between two halvings of the image."""


class SeparableConv(nn.Module):
    """A convolution that filters each channel alone, followed by a normalisation.

    The published code has this name for it, though the 1×1 convolution of a separable convolution is missing. If the
    number of channels doubles, each input channel is filtered twice.

    Parameters
    ----------
    inputs, outputs : int
        Number of channels of the input and of the output, a multiple of it.
    kernel_size : int
        Side of the kernel, pixels.
    stride : int
        Stride of the convolution, pixels.
    factories : Factories
        Makers of the network's layers.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int, factories: Factories) -> None:
        super().__init__()
        self.conv1 = factories.conv(
            inputs, outputs, kernel_size, stride=stride, padding=kernel_size // 2, groups=inputs, role="depthwise"
        )
        self.bn1 = factories.norm(outputs, role="depthwise")

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H/stride, W/stride)."""
        out: Tensor = self.bn1(self.conv1(x))
        return out


class _Cell(nn.Module):
    """What both cells have: a 1×1 convolution behind the max pooling where the image is halved.

    Parameters
    ----------
    inputs, outputs : int
        Number of channels of the input and of the output.
    stride : {1, 2}
        Stride of the cell, pixels. With a stride of 2, a 1×1 convolution follows the max pooling.
    factories : Factories
        Makers of the network's layers.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, factories: Factories) -> None:
        super().__init__()
        self.stride = stride
        self._add_convolutions(inputs, outputs, factories)
        if stride == 2:
            self.conv1 = factories.conv(inputs, outputs, 1)
            self.bn1 = factories.norm(outputs)

    def _add_convolutions(self, inputs: int, outputs: int, factories: Factories) -> None:
        self.sep_conv1 = SeparableConv(inputs, outputs, 7, self.stride, factories)

    def pooled(self, x: Tensor) -> Tensor:
        """Return the maximum over windows of 3×3 pixels, mixed by the 1×1 convolution if there is one."""
        out = max_pool2d(x, 3, self.stride, padding=1)
        return self.bn1(self.conv1(out)) if self.stride == 2 else out


class CellA(_Cell):
    """The sum of a depthwise convolution 7×7 and of max pooling; see :class:`_Cell`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H/stride, W/stride)."""
        return relu(self.sep_conv1(x) + self.pooled(x))


class CellB(_Cell):
    """Depthwise convolutions 7×7 and 3×3 on one path, 5×5 and max pooling on the other; see :class:`_Cell`."""

    def __init__(self, inputs: int, outputs: int, stride: int, factories: Factories) -> None:
        super().__init__(inputs, outputs, stride, factories)
        self.conv2 = factories.conv(2 * outputs, outputs, 1)
        self.bn2 = factories.norm(outputs)

    def _add_convolutions(self, inputs: int, outputs: int, factories: Factories) -> None:
        super()._add_convolutions(inputs, outputs, factories)
        self.sep_conv2 = SeparableConv(inputs, outputs, 3, self.stride, factories)
        self.sep_conv3 = SeparableConv(inputs, outputs, 5, self.stride, factories)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H/stride, W/stride)."""
        left = relu(self.sep_conv1(x) + self.sep_conv2(x))
        right = relu(self.pooled(x) + self.sep_conv3(x))
        return relu(self.bn2(self.conv2(torch.cat((left, right), 1))))


_NETWORKS: dict[str, tuple[type[_Cell], int]] = {"a": (CellA, 44), "b": (CellB, 32)}
"""For each network, its cells and the number of channels of the first of them."""


class PNASNet(nn.Module):
    """A convolution, three times six cells with halvings between, the average over pixels, a linear layer.

    The cells are among those that Liu et al. 2018 found by search; the published code for CIFAR chose these two.

    Parameters
    ----------
    variant : {"a", "b"}
        Cells of the network: one depthwise convolution and max pooling from 44 channels on, or three depthwise
        convolutions and max pooling from 32 channels on. Their number doubles with each halving of the image.
    factories : Factories
        Makers of the network's layers.
    num_classes : int
        Number of outputs.
    in_channels : int
        Number of channels of the images.
    """

    def __init__(self, variant: Literal["a", "b"], factories: Factories, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        cell, planes = _NETWORKS[variant]
        self.conv1 = factories.conv(in_channels, planes, 3, padding=1, role="first")
        self.bn1 = factories.norm(planes, role="first")
        self.layer1 = _cells(cell, planes, factories)
        self.layer2 = cell(planes, 2 * planes, 2, factories)
        self.layer3 = _cells(cell, 2 * planes, factories)
        self.layer4 = cell(2 * planes, 4 * planes, 2, factories)
        self.layer5 = _cells(cell, 4 * planes, factories)
        self.linear = factories.linear(4 * planes, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes, (N, num_classes), of images (N, C, H, W)."""
        out = self.layer1(relu(self.bn1(self.conv1(x))))
        out = self.layer5(self.layer4(self.layer3(self.layer2(out))))
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits


def _cells(cell: type[_Cell], planes: int, factories: Factories) -> nn.Sequential:
    return nn.Sequential(*(cell(planes, planes, 1, factories) for _ in range(_CELLS)))
