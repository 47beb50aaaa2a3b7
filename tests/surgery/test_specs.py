"""What networks say that they are, after their layers were exchanged."""

import copy
from dataclasses import replace

import pytest
import torch

from ndtools.layers.config import DeconvConfig
from ndtools.models import build
from ndtools.models.factories import Factories, LayerSpec, batch_norm, deconv, plain
from ndtools.models.spec import NetworkSpec
from ndtools.surgery.convert import convert
from ndtools.surgery.fold import fold
from tests.narrow_networks import narrow

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")
CONFIG = DeconvConfig(block_size=16)


@pytest.mark.parametrize("make", [plain(), batch_norm(), batch_norm(conv_bias=True), deconv(CONFIG)])
def test_a_network_is_built_again_from_its_specification(make):
    spec = NetworkSpec(arch="resnet18", num_classes=7, in_channels=1, layers=make.layers)
    with torch.device("meta"):
        network = spec.build()
    assert network.spec == spec
    assert copy.deepcopy(network).spec == spec
    again = network.spec.outline()
    assert str(again) == str(network)


def test_a_specification_leaves_out_roles_that_are_like_others():
    same = deconv(CONFIG, first=CONFIG, shortcut=CONFIG, **{"shortcut.wide": CONFIG})
    spec = NetworkSpec(arch="resnet18", num_classes=7, in_channels=1, layers=same.layers)
    assert set(spec.layers) == {"conv", "linear"}
    other = deconv(CONFIG, first=CONFIG, **{"shortcut.wide": DeconvConfig()})
    assert set(replace(spec, layers=other.layers).layers) == {"conv", "linear", "shortcut.wide"}


def test_makers_of_ones_own_leave_no_specification():
    class Own(Factories):
        """Layers of another kind."""

    with torch.device("meta"):
        assert build("vgg11", Own(plain().layers)).spec is None


def test_conversion_and_folding_keep_it_true(monkeypatch):
    narrow(monkeypatch)
    network = build("vgg11", batch_norm(), num_classes=3)
    converted, _ = convert(network, CONFIG, first=DeconvConfig(n_iter=7))
    assert network.spec.form == "batch_norm"
    made = deconv(CONFIG, first=DeconvConfig(n_iter=7), linear=converted.classifier.whitening.config)
    assert converted.spec == NetworkSpec(arch="vgg11", num_classes=3, in_channels=3, layers=made.layers)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        converted(images)
    folded, _ = fold(converted.eval(), images)
    assert folded.spec == NetworkSpec(arch="vgg11", num_classes=3, in_channels=3, layers=plain().layers)


def test_a_role_with_settings_of_its_own_is_kept_after_conversion():
    with torch.device("meta"):
        network = build("resnet18", batch_norm())
    other = DeconvConfig(n_iter=9)
    choice = {"shortcut": other, "linear": None}
    converted, _ = convert(network, lambda _, module: choice.get(module.role, CONFIG))
    assert converted.spec.layers == {
        "conv": LayerSpec(deconv=CONFIG),
        "shortcut": LayerSpec(deconv=other),
        "linear": LayerSpec(),
    }
    partly, plan = convert(network, lambda _, module: None if module.role == "shortcut" else CONFIG)
    assert partly.spec.layer("shortcut") == LayerSpec(norm="batch_norm", bias=False)
    assert partly.spec.layer("first") == LayerSpec(deconv=CONFIG)
    assert plan.kept == 6


def test_layers_that_no_role_describes_leave_no_specification():
    network = build("vgg11", plain())
    mixed, _ = convert(network, lambda name, _: DeconvConfig(n_iter=9) if name == "features.3" else CONFIG)
    assert mixed.spec is None
    partly, _ = convert(network, lambda name, _: CONFIG if name == "features.3" else None)
    assert partly.spec is None
