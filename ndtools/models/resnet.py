"""ResNets: convolution before normalisation, and no pooling in the stem for images of 32×32 pixels."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import relu

from ndtools.models.catalogue import Stem
from ndtools.models.factories import Factories, chain
from ndtools.models.initial import draw_convolutions

__all__ = ["BLOCK_COUNTS", "BasicBlock", "Block", "Bottleneck", "DilatedResNet", "ResNet", "resnet"]

_WIDTHS = (64, 128, 256, 512)
"""Number of channels within the blocks of each stage; the first is also that of the first convolution."""
BLOCK_COUNTS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""For each depth, the numbers of blocks in the stages."""


class Block(nn.Module):
    """A residual block.

    Parameters
    ----------
    inputs : int
        Number of input channels.
    planes : int
        Number of channels within the block; ``expansion * planes`` channels leave it.
    stride : int
        Stride of the block in pixels, which one of its convolutions has.
    factories : Factories
        Makers of the network's layers.

    Attributes
    ----------
    projects : bool
        Whether the shape changes, so that the shortcut needs a convolution.
    """

    expansion: ClassVar[int] = 1

    def __init__(self, inputs: int, planes: int, stride: int, factories: Factories) -> None:
        super().__init__()
        self.projects = stride != 1 or inputs != self.expansion * planes


class BasicBlock(Block):
    """Two convolutions 3×3, whose dilations can be given; see :class:`Block`."""

    def __init__(
        self, inputs: int, planes: int, stride: int, factories: Factories, dilations: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__(inputs, planes, stride, factories)
        first, second = dilations
        self.conv1 = factories.conv(inputs, planes, 3, stride=stride, padding=first, dilation=first)
        self.bn1 = factories.norm(planes)
        self.conv2 = factories.conv(planes, planes, 3, padding=second, dilation=second)
        self.bn2 = factories.norm(planes)
        self.shortcut = _shortcut(self, inputs, planes, stride, factories)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, planes, H/stride, W/stride)."""
        out = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        return relu(out + self.shortcut(x))


class Bottleneck(Block):
    """Convolutions 1×1, 3×3, 1×1; see :class:`Block`. The first of two dilations is that of the convolution 3×3."""

    expansion = 4

    def __init__(
        self, inputs: int, planes: int, stride: int, factories: Factories, dilations: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__(inputs, planes, stride, factories)
        dilation, _ = dilations
        self.conv1 = factories.conv(inputs, planes, 1)
        self.bn1 = factories.norm(planes)
        self.conv2 = factories.conv(planes, planes, 3, stride=stride, padding=dilation, dilation=dilation)
        self.bn2 = factories.norm(planes)
        self.conv3 = factories.conv(planes, self.expansion * planes, 1)
        self.bn3 = factories.norm(self.expansion * planes)
        self.shortcut = _shortcut(self, inputs, planes, stride, factories)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 4 * planes, H/stride, W/stride)."""
        out = relu(self.bn1(self.conv1(x)))
        out = relu(self.bn2(self.conv2(out)))
        return relu(self.bn3(self.conv3(out)) + self.shortcut(x))


class ResNet(nn.Module):
    """A convolution, four stages of residual blocks, the average over pixels, a linear layer (He et al. 2016).

    Parameters
    ----------
    block : type of Block
        Class of the blocks that the stages consist of.
    counts : tuple of int
        Blocks in each of the four stages.
    factories : Factories
        Makers of the network's layers.
    num_classes : int
        Number of outputs.
    in_channels : int
        Number of channels of the images.
    active_stem : bool
        Whether normalisation and ReLU follow the first convolution. Pre-activation blocks begin with both themselves.
        The normalisation is then part of the network, as in the published one, and never used.
    stem : {"cifar", "imagenet"}
        First convolution: "cifar" is one of 3×3 pixels; "imagenet" one of 7×7 pixels and stride 2, with pooling after
        it (He et al. 2016).
    """

    def __init__(
        self,
        block: type[Block],
        counts: tuple[int, int, int, int],
        factories: Factories,
        *,
        num_classes: int,
        in_channels: int,
        active_stem: bool = True,
        stem: Stem = "cifar",
    ) -> None:
        super().__init__()
        large = stem == "imagenet"
        kernel, stride, padding = (7, 2, 3) if large else (3, 1, 1)
        self.conv1 = factories.conv(in_channels, _WIDTHS[0], kernel, stride=stride, padding=padding, role="first")
        self.pool = nn.MaxPool2d(3, stride=2, padding=1) if large else None
        self.bn1 = factories.norm(_WIDTHS[0], role="first").requires_grad_(active_stem)
        self.active_stem = active_stem
        inputs = (_WIDTHS[0], *(width * block.expansion for width in _WIDTHS))
        self.layer1 = _stage(block, inputs[0], _WIDTHS[0], counts[0], 1, factories)
        self.layer2 = _stage(block, inputs[1], _WIDTHS[1], counts[1], 2, factories)
        self.layer3 = _stage(block, inputs[2], _WIDTHS[2], counts[2], 2, factories)
        self.layer4 = _stage(block, inputs[3], _WIDTHS[3], counts[3], 2, factories)
        self.linear = factories.linear(inputs[4], num_classes)
        if large:
            draw_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of the classes, (N, num_classes), of images (N, C, H, W)."""
        out = self.conv1(x)
        if self.active_stem:
            out = relu(self.bn1(out))
        if self.pool is not None:
            out = self.pool(out)
        out = self.layer4(self.layer3(self.layer2(self.layer1(out))))
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits


class DilatedResNet(nn.Module):
    """The stages of a ResNet for ImageNet, of which the last two are dilated in place of their strides.

    Its outputs have a pixel for each 8×8 pixels of the image. At every second pixel in the third stage, and at every
    fourth in the last, they are those of the ResNet with the same weights, whatever the size of the image.

    Parameters
    ----------
    depth : int
        Number of layers with weights of the ResNet, without those of shortcuts, as in `resnet`.
    factories : Factories
        Makers of the network's layers.
    in_channels : int
        Number of channels of the images.

    Attributes
    ----------
    channels : (int, int)
        Number of channels of the third and of the last stage.
    """

    def __init__(self, depth: int, factories: Factories, *, in_channels: int) -> None:
        super().__init__()
        block = _block(depth)
        counts = BLOCK_COUNTS[depth]
        inputs = (_WIDTHS[0], *(width * block.expansion for width in _WIDTHS))
        self.channels = (inputs[3], inputs[4])
        self.conv1 = factories.conv(in_channels, _WIDTHS[0], 7, stride=2, padding=3, role="first")
        self.bn1 = factories.norm(_WIDTHS[0], role="first")
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(block, inputs[0], _WIDTHS[0], counts[0], 1, factories)
        self.layer2 = _stage(block, inputs[1], _WIDTHS[1], counts[1], 2, factories)
        self.layer3 = _dilated_stage(block, inputs[2], _WIDTHS[2], counts[2], (1, 2), factories)
        self.layer4 = _dilated_stage(block, inputs[3], _WIDTHS[3], counts[3], (2, 4), factories)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the third and of the last stage, (N, channels, H/8, W/8), rounded up."""
        out = self.pool(relu(self.bn1(self.conv1(x))))
        third = self.layer3(self.layer2(self.layer1(out)))
        return third, self.layer4(third)


def resnet(depth: int, factories: Factories, *, num_classes: int, in_channels: int, stem: Stem = "cifar") -> ResNet:
    """Build a ResNet.

    Parameters
    ----------
    depth : {18, 34, 50, 101, 152}
        Number of layers with weights, without those of shortcuts. From 50 on, the blocks are bottlenecks.
    factories : Factories
        Makers of the network's layers.
    num_classes : int
        Number of outputs.
    in_channels : int
        Number of channels of the images.
    stem : {"cifar", "imagenet"}
        First convolution, as in `ResNet`.

    Returns
    -------
    ResNet
        Network that maps (N, in_channels, H, W) to logits (N, num_classes).
    """
    counts = BLOCK_COUNTS[depth]
    return ResNet(_block(depth), counts, factories, num_classes=num_classes, in_channels=in_channels, stem=stem)


def _block(depth: int) -> type[BasicBlock] | type[Bottleneck]:
    return Bottleneck if depth >= 50 else BasicBlock


def _stage(
    block: type[Block], inputs: int, planes: int, count: int, stride: int, factories: Factories
) -> nn.Sequential:
    outputs = planes * block.expansion
    first = block(inputs, planes, stride, factories)
    return nn.Sequential(first, *(block(outputs, planes, 1, factories) for _ in range(count - 1)))


def _dilated_stage(
    block: type[BasicBlock] | type[Bottleneck],
    inputs: int,
    planes: int,
    count: int,
    dilations: tuple[int, int],
    factories: Factories,
) -> nn.Sequential:
    """Make a stage whose first block is dilated by the first number up to its missing stride, by the second behind."""
    outputs, behind = planes * block.expansion, (dilations[1], dilations[1])
    first = block(inputs, planes, 1, factories, dilations)
    return nn.Sequential(first, *(block(outputs, planes, 1, factories, behind) for _ in range(count - 1)))


def _shortcut(block: Block, inputs: int, planes: int, stride: int, factories: Factories) -> nn.Sequential:
    if not block.projects:
        return nn.Sequential()
    outputs = planes * block.expansion
    conv = factories.conv(inputs, outputs, 1, stride=stride, role="shortcut")
    return chain(conv, factories.norm(outputs, role="shortcut"))
