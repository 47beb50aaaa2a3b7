"""SENet for images of 32×32 pixels: pre-activation residual blocks whose output channels are weighted by gates."""

from torch import Tensor, nn
from torch.nn.functional import relu

from ndtools.models.factories import Factories
from ndtools.models.preact_resnet import PreActBlock
from ndtools.models.resnet import BLOCK_COUNTS, ResNet

__all__ = ["SEBlock", "senet"]

_REDUCTION = 16
"""Number of channels of a block for each hidden unit of its gates."""


class SEBlock(PreActBlock):
    """Two convolutions 3×3 and a gate for each channel, between 0 and 1, from the averages over the image.

    See :class:`~ndtools.models.resnet.Block` for its parameters.
    """

    def __init__(self, inputs: int, planes: int, stride: int, factories: Factories) -> None:
        super().__init__(inputs, planes, stride, factories)
        hidden = planes // _REDUCTION
        # no normalisation follows these two, so that they have a bias in every form
        self.fc1 = factories.conv(planes, hidden, 1, bias=True, role="gate")
        self.fc2 = factories.conv(hidden, planes, 1, bias=True, role="gate")

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, planes, H/stride, W/stride)."""
        active = relu(self.bn1(x))
        out = self.conv2(relu(self.bn2(self.conv1(active))))
        gates = self.fc2(relu(self.fc1(out.mean((2, 3), keepdim=True)))).sigmoid()
        total: Tensor = out * gates + (self.shortcut(active) if self.projects else x)
        return total


def senet(depth: int, factories: Factories, *, num_classes: int, in_channels: int) -> nn.Module:
    """Build a SENet of 18 or 34 layers with pre-activation blocks (Hu et al. 2018), as `resnet` does."""
    return ResNet(SEBlock, BLOCK_COUNTS[depth], factories, num_classes=num_classes, in_channels=in_channels)
