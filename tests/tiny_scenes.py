"""A network for segmentation whose steps take milliseconds; `ENTRY` belongs into the catalogue, as tiny_scenes."""

import sys

from torch import Tensor, nn
from torch.nn.functional import relu

from ndtools.models.catalogue import Entry
from ndtools.models.segmentation import FCNHead, Segmentation

ENTRY = Entry("tiny_scenes:tiny_scenes", {}, {"first": {"n_iter": 3, "freeze_after": 5}}, task="segmentation")
sys.modules["ndtools.models.tiny_scenes"] = sys.modules[__name__]  # where builders are looked for


class Backbone(nn.Module):
    """Two convolutions, whose outputs the heads see."""

    def __init__(self, factories, in_channels) -> None:
        super().__init__()
        self.conv1 = factories.conv(in_channels, 8, 3, stride=4, padding=1, role="first")
        self.norm1 = factories.norm(8, role="first")
        self.conv2 = factories.conv(8, 16, 3, padding=1)
        self.norm2 = factories.norm(16)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        third = relu(self.norm1(self.conv1(x)))
        return third, relu(self.norm2(self.conv2(third)))


def tiny_scenes(factories, num_classes, in_channels):
    heads = FCNHead(16, num_classes, factories), FCNHead(8, num_classes, factories, role="auxiliary")
    return Segmentation(Backbone(factories, in_channels), *heads)
