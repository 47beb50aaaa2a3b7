"""Dual path networks for images of 32×32 pixels: each block adds to some channels and appends others."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ndtools.models.factories import Factories, chain

__all__ = ["DPN", "DualPathBlock"]

_GROUPS = 32
"""Number of groups of the 3×3 convolutions."""


class _Stage(NamedTuple):
    """Size of one stage.

    Attributes
    ----------
    blocks : int
        Number of blocks.
    planes : int
        Number of channels between the convolutions of a block.
    residual : int
        Number of channels of the residual path, to which every block adds.
    growth : int
        Number of channels that every block appends to the dense path.
    """

    blocks: int
    planes: int
    residual: int
    growth: int


_STAGES = (_Stage(3, 96, 256, 16), _Stage(4, 192, 512, 32), _Stage(20, 384, 1024, 24), _Stage(3, 768, 2048, 128))
"""Sizes of the four stages of DPN-92, as in table 1 of Chen et al. 2017."""


class DualPathBlock(nn.Module):
    """Convolutions 1×1, 3×3 in groups, 1×1, whose output is partly added and partly appended to the input.

    Parameters
    ----------
    inputs : int
        Number of input channels.
    stage : NamedTuple
        Numbers of channels in the stage of this block.
    stride : int
        Stride of the 3×3 convolution and of the projection, pixels.
    projects : bool
        Whether a 1×1 convolution makes the first ``residual + growth`` channels from the input, as in the first block
        of a stage. Other blocks continue both paths of their input.
    factories : Factories
        Makers of the network's layers.

    Attributes
    ----------
    residual : int
        Number of channels that are added; all others are appended.
    """

    def __init__(self, inputs: int, stage: _Stage, stride: int, projects: bool, factories: Factories) -> None:
        super().__init__()
        self.residual = stage.residual
        outputs = stage.residual + stage.growth
        self.shortcut: nn.Module = nn.Identity()
        if projects:
            conv = factories.conv(inputs, outputs, 1, stride=stride, role="shortcut")
            norm = factories.norm(outputs, role="shortcut")
            # the published network without normalisation does not wrap it: "shortcut.weight", not "shortcut.0.weight"
            self.shortcut = conv if isinstance(norm, nn.Identity) else chain(conv, norm)
        self.conv1 = factories.conv(inputs, stage.planes, 1)
        self.bn1 = factories.norm(stage.planes)
        self.conv2 = factories.conv(
            stage.planes, stage.planes, 3, stride=stride, padding=1, groups=_GROUPS, role="grouped"
        )
        self.bn2 = factories.norm(stage.planes, role="grouped")
        self.conv3 = factories.conv(stage.planes, outputs, 1)
        self.bn3 = factories.norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C + growth, H/stride, W/stride), where C is the number of channels of the shortcut."""
        out = relu(self.bn1(self.conv1(x)))
        out = relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        shortcut = self.shortcut(x)
        added = shortcut[:, : self.residual] + out[:, : self.residual]
        return relu(torch.cat((added, shortcut[:, self.residual :], out[:, self.residual :]), 1))


class DPN(nn.Module):
    """DPN-92: a convolution, four stages of dual path blocks, an average, a linear layer (Chen et al. 2017).

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
        channels = 64
        self.conv1 = factories.conv(in_channels, channels, 3, padding=1, role="first")
        self.bn1 = factories.norm(channels, role="first")
        layers = []
        for index, stage in enumerate(_STAGES):
            layer = []
            for number in range(stage.blocks):
                stride = 2 if index and not number else 1
                layer.append(DualPathBlock(channels, stage, stride, not number, factories))
                channels = stage.growth + (channels if number else stage.residual + stage.growth)
            layers.append(nn.Sequential(*layer))
        self.layer1, self.layer2, self.layer3, self.layer4 = layers
        self.linear = factories.linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes, (N, num_classes), of images (N, C, H, W)."""
        out = relu(self.bn1(self.conv1(x)))
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits
