"""Pre-activation ResNets for images of 32×32 pixels: normalisation and ReLU before convolution."""

from torch import Tensor, nn
from torch.nn.functional import relu

from ndtools.models.factories import Factories
from ndtools.models.resnet import BLOCK_COUNTS, Block, ResNet

__all__ = ["PreActBlock", "PreActBottleneck", "preact_resnet"]


class PreActBlock(Block):
    """Two convolutions 3×3; see :class:`~ndtools.models.resnet.Block`."""

    def __init__(self, inputs: int, planes: int, stride: int, factories: Factories) -> None:
        super().__init__(inputs, planes, stride, factories)
        self.bn1 = factories.norm(inputs)
        self.conv1 = factories.conv(inputs, planes, 3, stride=stride, padding=1)
        self.bn2 = factories.norm(planes)
        self.conv2 = factories.conv(planes, planes, 3, padding=1)
        if self.projects:
            shortcut = factories.conv(inputs, planes, 1, stride=stride, role="shortcut")
            # the published network without normalisation does not wrap it: "shortcut.weight", not "shortcut.0.weight"
            self.shortcut = shortcut if isinstance(self.bn1, nn.Identity) else nn.Sequential(shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, planes, H/stride, W/stride)."""
        active = relu(self.bn1(x))
        out: Tensor = self.conv2(relu(self.bn2(self.conv1(active))))
        return out + (self.shortcut(active) if self.projects else x)


class PreActBottleneck(Block):
    """Convolutions 1×1, 3×3, 1×1; see :class:`~ndtools.models.resnet.Block`."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int, factories: Factories) -> None:
        super().__init__(inputs, planes, stride, factories)
        self.bn1 = factories.norm(inputs)
        self.conv1 = factories.conv(inputs, planes, 1)
        self.bn2 = factories.norm(planes)
        self.conv2 = factories.conv(planes, planes, 3, stride=stride, padding=1)
        self.bn3 = factories.norm(planes)
        self.conv3 = factories.conv(planes, self.expansion * planes, 1)
        if self.projects:
            shortcut = factories.conv(inputs, self.expansion * planes, 1, stride=stride, role="shortcut")
            self.shortcut = nn.Sequential(shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 4 * planes, H/stride, W/stride)."""
        active = relu(self.bn1(x))
        out = relu(self.bn2(self.conv1(active)))
        out = self.conv3(relu(self.bn3(self.conv2(out))))
        total: Tensor = out + (self.shortcut(active) if self.projects else x)
        return total


def preact_resnet(depth: int, factories: Factories, *, num_classes: int, in_channels: int) -> ResNet:
    """Build a pre-activation ResNet as `resnet` does; as published, nothing is normalised before the average."""
    block = PreActBottleneck if depth >= 50 else PreActBlock
    return ResNet(
        block,
        BLOCK_COUNTS[depth],
        factories,
        num_classes=num_classes,
        in_channels=in_channels,
        active_stem=False,
    )
