"""EfficientNet for images of 32×32 pixels, in the early form that the published experiments ran."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import relu

from ndtools.models.factories import Factories, chain

__all__ = ["EfficientNet", "InvertedResidual"]

_STEM = 32
"""Number of channels of the first convolution."""
_REDUCTION = 16
"""Number of channels of a block for each channel of its gate."""


class _Stage(NamedTuple):
    """Size of one stage.

    Attributes
    ----------
    expansion : int
        Number of channels of the depthwise convolution for each input channel of the block.
    outputs : int
        Number of output channels.
    blocks : int
        Number of blocks.
    stride : int
        Stride of the first block, pixels.
    """

    expansion: int
    outputs: int
    blocks: int
    stride: int


_STAGES = (
    _Stage(1, 16, 1, 2),
    _Stage(6, 24, 2, 1),
    _Stage(6, 40, 2, 2),
    _Stage(6, 80, 3, 2),
    _Stage(6, 112, 3, 1),
    _Stage(6, 192, 4, 2),
    _Stage(6, 320, 1, 2),
)


class InvertedResidual(nn.Module):
    """Expansion by a 1×1 convolution, a depthwise convolution 3×3, projection by a 1×1 convolution, and a gate.

    The gate (squeeze and excitation) multiplies each channel of the projection by a number in (0, 1), which two 1×1
    convolutions compute from the averages of all channels over pixels.

    Parameters
    ----------
    inputs, outputs : int
        Number of channels of the input and of the output.
    expansion : int
        Number of channels of the depthwise convolution for each input channel.
    stride : int
        Stride of the depthwise convolution, pixels.
    factories : Factories
        Makers of the network's layers.
    """

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, factories: Factories) -> None:
        super().__init__()
        self.stride = stride
        planes = expansion * inputs
        self.shortcut: nn.Module = nn.Identity()
        if stride == 1 and inputs != outputs:
            conv = factories.conv(inputs, outputs, 1, role="shortcut")
            self.shortcut = chain(conv, factories.norm(outputs, role="shortcut"))
        self.conv1 = factories.conv(inputs, planes, 1)
        self.bn1 = factories.norm(planes)
        self.conv2 = factories.conv(planes, planes, 3, stride=stride, padding=1, groups=planes, role="depthwise")
        self.bn2 = factories.norm(planes, role="depthwise")
        self.conv3 = factories.conv(planes, outputs, 1)
        self.bn3 = factories.norm(outputs)
        self.fc1 = factories.conv(outputs, outputs // _REDUCTION, 1, bias=True, role="gate")
        self.fc2 = factories.conv(outputs // _REDUCTION, outputs, 1, bias=True, role="gate")

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H/stride, W/stride)."""
        out = relu(self.bn1(self.conv1(x)))
        out = relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        # A block that halves the image has no shortcut past it; the published one adds what the gate sees instead.
        shortcut = self.shortcut(x) if self.stride == 1 else out
        gate = self.fc2(relu(self.fc1(out.mean((2, 3), keepdim=True)))).sigmoid()
        added: Tensor = out * gate + shortcut
        return added


class EfficientNet(nn.Module):
    """EfficientNet-B0: a convolution, inverted residual blocks, an average, a linear layer (Tan and Le 2019).

    The published experiments ran an early form: kernels of 3×3 pixels in all stages, ReLU for Swish, gates that see the
    projections, and no 1×1 convolution to 1280 channels before the average.

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
        channels = _STEM
        self.conv1 = factories.conv(in_channels, channels, 3, padding=1, role="first")
        self.bn1 = factories.norm(channels, role="first")
        blocks = []
        for stage in _STAGES:
            for number in range(stage.blocks):
                stride = 1 if number else stage.stride
                blocks.append(InvertedResidual(channels, stage.outputs, stage.expansion, stride, factories))
                channels = stage.outputs
        self.layers = nn.Sequential(*blocks)
        self.linear = factories.linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes, (N, num_classes), of images (N, C, H, W)."""
        out = self.layers(relu(self.bn1(self.conv1(x))))
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits
