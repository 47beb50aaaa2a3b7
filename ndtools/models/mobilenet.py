"""MobileNetV2 for images of 32×32 pixels: blocks that expand the channels and filter each by itself."""

from torch import Tensor, nn
from torch.nn.functional import relu

from ndtools.models.factories import Factories, chain

__all__ = ["InvertedResidual", "MobileNetV2"]

_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""For each stage, the expansion, the number of channels that leave a block, the number of blocks, and the stride."""
_STEM, _HEAD = 32, 1280
"""Number of channels of the first and of the last convolution."""


class InvertedResidual(nn.Module):
    """Convolution 1×1 that expands, 3×3 of each channel by itself, 1×1 that projects, without ReLU at the end.

    Blocks of stride 1 have a shortcut, with a convolution if the number of channels changes.

    Parameters
    ----------
    inputs, outputs : int
        Number of channels of the input and of the output.
    expansion : int
        Number of channels within the block, in multiples of ``inputs``.
    stride : int
        Stride of the 3×3 convolution, pixels.
    factories : Factories
        Makers of the network's layers.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, factories: Factories) -> None:
        super().__init__()
        self.adds = stride == 1
        planes, projection = expansion * inputs, f"projection.{inputs}"
        self.conv1 = factories.conv(inputs, planes, 1)
        self.bn1 = factories.norm(planes)
        self.conv2 = factories.conv(planes, planes, 3, stride=stride, padding=1, groups=planes, role="depthwise")
        self.bn2 = factories.norm(planes, role="depthwise")
        self.conv3 = factories.conv(planes, outputs, 1, role=projection)
        self.bn3 = factories.norm(outputs, role=projection)
        self.shortcut = nn.Sequential()
        if self.adds and inputs != outputs:
            shortcut = factories.conv(inputs, outputs, 1, role="shortcut")
            self.shortcut = chain(shortcut, factories.norm(outputs, role="shortcut"))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H/stride, W/stride)."""
        out = relu(self.bn1(self.conv1(x)))
        out = relu(self.bn2(self.conv2(out)))
        projected: Tensor = self.bn3(self.conv3(out))
        return projected + self.shortcut(x) if self.adds else projected


class MobileNetV2(nn.Module):
    """A convolution, 17 blocks, a convolution 1×1, the average over pixels, a linear layer (Sandler et al. 2018).

    Parameters
    ----------
    factories : Factories
        Makers of the network's layers.
    num_classes : int
        Number of outputs.
    in_channels : int
        Number of channels of the images.
    """

    def __init__(self, factories: Factories, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1 = factories.conv(in_channels, _STEM, 3, padding=1, role="first")
        self.bn1 = factories.norm(_STEM, role="first")
        self.conv2 = factories.conv(_STAGES[-1][1], _HEAD, 1)
        self.bn2 = factories.norm(_HEAD)
        channels = _STEM
        blocks = []
        for expansion, outputs, count, stride in _STAGES:
            for i in range(count):
                blocks.append(InvertedResidual(channels, outputs, expansion, stride if i == 0 else 1, factories))
                channels = outputs
        self.layers = nn.Sequential(*blocks)
        self.linear = factories.linear(_HEAD, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes, (N, num_classes), of images (N, C, H, W)."""
        out = relu(self.bn1(self.conv1(x)))
        out = relu(self.bn2(self.conv2(self.layers(out))))
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits
