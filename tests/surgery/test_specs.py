"""What networks say that they are, after their layers were exchanged."""

import copy

import pytest
import torch
from torch import nn

from ndtools.layers.config import DeconvConfig
from ndtools.models import build
from ndtools.models.factories import Factories, batch_norm, deconv, plain
from ndtools.models.spec import NetworkSpec
from ndtools.surgery.convert import convert
from ndtools.surgery.fold import fold

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
CONFIG = DeconvConfig(block_size=16)


@pytest.mark.parametrize("form", ["plain", "batch_norm", "batch_norm_with_bias", "deconv"])
def test_a_network_is_built_again_from_its_specification(form):
    layers = {"config": CONFIG, "first": CONFIG.for_first_layer()} if form == "deconv" else {}
    spec = NetworkSpec(arch="resnet18", num_classes=7, in_channels=1, form=form, **layers)
    with torch.device("meta"):
        network = spec.build()
    assert network.spec == spec
    assert copy.deepcopy(network).spec == spec
    again = network.spec.outline()
    assert str(again) == str(network)


def test_makers_of_ones_own_leave_no_specification():
    own = Factories(nn.Conv2d, nn.Conv2d, nn.Identity, nn.Linear)
    with torch.device("meta"):
        assert build("vgg11", own).spec is None


def test_conversion_and_folding_keep_it_true():
    network = build("vgg11", batch_norm(), num_classes=3)
    converted, _ = convert(network, CONFIG, first=DeconvConfig(n_iter=7))
    assert network.spec.form == "batch_norm"
    expected = NetworkSpec(
        arch="vgg11",
        num_classes=3,
        in_channels=3,
        form="deconv",
        config=CONFIG,
        first=DeconvConfig(n_iter=7),
        linear=converted.spec.linear,
    )
    assert converted.spec == expected
    assert converted.spec.linear == converted.classifier.whitening.config
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        converted(images)
    folded, _ = fold(converted.eval(), images)
    assert folded.spec == NetworkSpec(arch="vgg11", num_classes=3, in_channels=3, form="plain")


def test_layers_that_no_role_describes_leave_no_specification():
    network = build("vgg11", plain())
    mixed, _ = convert(network, lambda name, _: DeconvConfig(n_iter=9) if name == "features.3" else CONFIG)
    assert mixed.spec is None
    partly, _ = convert(network, lambda name, _: CONFIG if name == "features.3" else None)
    assert partly.spec is None
    with torch.device("meta"):
        assert build("vgg11", deconv(CONFIG)).spec.config == CONFIG
