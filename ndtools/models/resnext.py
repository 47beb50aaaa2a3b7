"""ResNeXt for images of 32×32 pixels: residual blocks whose 3×3 convolution has many groups of channels."""

from torch import Tensor, nn
from torch.nn.functional import relu

from ndtools.models.factories import Factories, chain

__all__ = ["GroupedBottleneck", "ResNeXt"]

_STEM = 64
"""Number of channels of the first convolution."""
_EXPANSION = 2
"""Number of channels that leave a block, in multiples of those within it."""
_BLOCKS = 3
"""Number of blocks in each of the three stages."""


class GroupedBottleneck(nn.Module):
    """Convolutions 1×1, 3×3 in groups, 1×1, and a shortcut.

    Parameters
    ----------
    inputs : int
        Number of input channels.
    groups : int
        Number of groups of channels.
    width : int
        Number of channels in each group.
    stride : int
        Stride of the 3×3 convolution and of the shortcut, pixels.
    factories : Factories
        Makers of the network's layers.
    """

    def __init__(self, inputs: int, groups: int, width: int, stride: int, factories: Factories) -> None:
        super().__init__()
        planes, outputs = groups * width, _EXPANSION * groups * width
        self.conv1 = factories.conv(inputs, planes, 1)
        self.bn1 = factories.norm(planes)
        self.conv2 = factories.conv(planes, planes, 3, stride=stride, padding=1, groups=groups, role="grouped")
        self.bn2 = factories.norm(planes, role="grouped")
        self.conv3 = factories.conv(planes, outputs, 1)
        self.bn3 = factories.norm(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            shortcut = factories.conv(inputs, outputs, 1, stride=stride, role="shortcut")
            self.shortcut = chain(shortcut, factories.norm(outputs, role="shortcut"))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 2 * groups * width, H/stride, W/stride)."""
        out = relu(self.bn1(self.conv1(x)))
        out = relu(self.bn2(self.conv2(out)))
        return relu(self.bn3(self.conv3(out)) + self.shortcut(x))


class ResNeXt(nn.Module):
    """A convolution 1×1, three stages of three blocks, the average over pixels, a linear layer (Xie et al. 2017).

    Parameters
    ----------
    groups : int
        Number of groups of channels in the 3×3 convolutions; 32 in ResNeXt-29 32×4d.
    width : int
        Number of channels in each group in the first stage, 4 in ResNeXt-29 32×4d; it doubles from stage to stage.
    factories : Factories
        Makers of the network's layers.
    num_classes : int
        Number of outputs.
    in_channels : int
        Number of channels of the images.
    """

    def __init__(self, groups: int, width: int, factories: Factories, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1 = factories.conv(in_channels, _STEM, 1, role="first")
        self.bn1 = factories.norm(_STEM, role="first")
        outputs = [_EXPANSION * groups * width * 2**i for i in range(3)]
        self.layer1 = _stage(_STEM, groups, width, 1, factories)
        self.layer2 = _stage(outputs[0], groups, 2 * width, 2, factories)
        self.layer3 = _stage(outputs[1], groups, 4 * width, 2, factories)
        self.linear = factories.linear(outputs[2], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes, (N, num_classes), of images (N, C, H, W)."""
        out = relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits


def _stage(inputs: int, groups: int, width: int, stride: int, factories: Factories) -> nn.Sequential:
    first = GroupedBottleneck(inputs, groups, width, stride, factories)
    outputs = _EXPANSION * groups * width
    others = (GroupedBottleneck(outputs, groups, width, 1, factories) for _ in range(_BLOCKS - 1))
    return nn.Sequential(first, *others)
