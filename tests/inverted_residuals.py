"""A small network with roles of its own, as those of MobileNetV2, ResNeXt and EfficientNet have."""

import sys
from types import ModuleType

import pytest
from torch import nn

from ndtools.models.catalogue import CATALOGUE, Entry

NAME = "inverted"
WIDTHS = (8, 16)
PUBLISHED = {
    "first": {"n_iter": 10, "freeze_after": 101},
    "depthwise": {"n_iter": 1},
    "projection": {"n_iter": 1},
    **{f"projection.{width}": {"block_size": width} for width in WIDTHS},
}
"""MobileNetV2's settings in the published code: the blocks of a projection have as many channels as enter its block."""


class InvertedResidual(nn.Module):
    """Expansion 1×1, depthwise 3×3 or 5×5, projection 1×1; with normalisations if the makers say so."""

    def __init__(self, inputs, outputs, kernel, factories):
        super().__init__()
        planes = 2 * inputs
        projection = f"projection.{inputs}"
        self.expand = factories.conv(inputs, planes, 1)
        self.bn1 = factories.norm(planes)
        self.spread = factories.conv(planes, planes, kernel, padding=kernel // 2)
        self.bn2 = factories.norm(planes)
        self.depthwise = factories.conv(planes, planes, 3, padding=1, groups=planes, role="depthwise")
        self.bn3 = factories.norm(planes, role="depthwise")
        self.project = factories.conv(planes, outputs, 1, role=projection)
        self.bn4 = factories.norm(outputs, role=projection)

    def forward(self, x):
        x = self.bn1(self.expand(x)).relu()
        x = self.bn2(self.spread(x)).relu()
        x = self.bn3(self.depthwise(x)).relu()
        return self.bn4(self.project(x))


class InvertedResiduals(nn.Module):
    """A convolution, two blocks, the average over pixels, a linear layer."""

    def __init__(self, factories, num_classes, in_channels):
        super().__init__()
        self.conv = factories.conv(in_channels, WIDTHS[0], 3, stride=4, role="first")
        self.bn = factories.norm(WIDTHS[0], role="first")
        self.block1 = InvertedResidual(WIDTHS[0], WIDTHS[1], 3, factories)
        self.block2 = InvertedResidual(WIDTHS[1], 6, 5, factories)
        self.linear = factories.linear(6, num_classes)

    def forward(self, x):
        x = self.bn(self.conv(x)).relu()
        return self.linear(self.block2(self.block1(x)).mean((2, 3)))


@pytest.fixture
def inverted(monkeypatch):
    """Name of the network, which the catalogue has during the test."""
    module = ModuleType(f"ndtools.models.{NAME}")
    module.build = InvertedResiduals
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(CATALOGUE, NAME, Entry(f"{NAME}:build", {}, PUBLISHED))
    return NAME
