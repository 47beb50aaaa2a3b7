"""Segmentation networks against torchvision's, written a second time as plain functions of its files."""

import pytest
import torch
from torch import nn

from ndtools.checkpoints.files import load_network
from ndtools.checkpoints.torchvision_names import from_torchvision
from ndtools.models import SEGMENTATION_NAMES, build
from ndtools.models import resnet as ours
from ndtools.models import segmentation as heads
from tests.narrow_networks import narrow
from tests.oracles import torchvision_segmentation as torchvision
from tests.tolerance import assert_equal_to_rounding


@pytest.mark.parametrize("name", SEGMENTATION_NAMES)
def test_names_and_shapes_are_those_of_torchvision(name):
    with torch.device("meta"):
        network = build(name, "bn", num_classes=21)
        theirs = {key: torch.empty(shape) for key, shape in torchvision.shapes(name, 21).items()}
    wanted = {key: value.shape for key, value in network.state_dict().items()}
    assert {key: value.shape for key, value in from_torchvision(theirs).items()} == wanted


_SIZES = [(name, (65, 49)) for name in SEGMENTATION_NAMES]
_WIDE = [(name, (17, 313)) for name in SEGMENTATION_NAMES if name.startswith("deeplab")]  # 40 pixels for a rate of 36


@pytest.mark.parametrize(("name", "size"), _SIZES + _WIDE)
def test_logits_are_those_of_torchvision(name, size, monkeypatch, tmp_path):
    """All layers are there, with few channels; the reference takes these from the file, and sums kernels by pixel."""
    narrow(monkeypatch)
    state = torchvision.random_state(torchvision.shapes(name, 6, ours._WIDTHS, heads._WIDTH))
    torch.save(state, tmp_path / "net.pth")
    network = load_network(tmp_path / "net.pth", arch=name).train()  # in which the auxiliary classifier takes part
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.Dropout)):
            module.eval()
    x = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        found, wanted = network(x), torchvision.logits(name, state, x)
        single = network.float()(x.float())
    for head, mine, theirs, rounded in zip(("main", "auxiliary"), found, wanted, single, strict=True):
        assert theirs.std() > 0.1, head  # a signal that all layers have their part in
        assert_equal_to_rounding(mine, theirs, single=rounded, name=head)
    with torch.no_grad():
        assert torch.equal(network.eval()(x.float()), single.logits)
