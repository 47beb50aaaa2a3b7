"""The networks: published sizes and names, shapes, gradients, what the factories put where."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from ndtools.errors import OptionError
from ndtools.layers.config import DeconvConfig
from ndtools.layers.conv import FastDeconv2d
from ndtools.layers.linear import DeconvLinear
from ndtools.models import NAMES, build
from ndtools.models.factories import Factories, batch_norm, deconv, plain
from tests.narrow_networks import narrow

pytestmark = pytest.mark.filterwarnings("ignore::ndtools.errors.NumericalWarning")

SMALL = DeconvConfig.paper(block_size=4, sampling_stride=1)  # for speed
FACTORIES = {"plain": plain(), "batch_norm": batch_norm(), "deconv": deconv(SMALL, linear=SMALL)}
SHALLOW = ("vgg11", "resnet18", "preact_resnet18")


def shape_of(name, factories, **kwargs):
    """Build a network without memory for its weights."""
    with torch.device("meta"):
        return build(name, factories, **kwargs)


def count(network, kind=None):
    if kind is None:
        return sum(p.numel() for p in network.parameters())
    return sum(isinstance(m, kind) for m in network.modules())


def vgg_size(name, *, bias, norm, classes=10):
    """Add up weights, from the widths as Simonyan and Zisserman list them (their table 1)."""
    widths = {
        "vgg11": [64, 128, 256, 256, 512, 512, 512, 512],
        "vgg13": [64, 64, 128, 128, 256, 256, 512, 512, 512, 512],
        "vgg16": [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6,
        "vgg19": [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8,
    }[name]
    weights = sum(9 * a * b for a, b in zip([3, *widths], widths, strict=False))
    return weights + (bias + 2 * norm) * sum(widths) + 512 * classes + classes


def residual_size(depth, *, bias, norm, preact, classes=10):
    """Add up weights, stage by stage: a first block that projects, if its shape changes, and n - 1 equal ones."""
    blocks = {18: "2222", 34: "3463", 50: "3463", 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    e = 4 if depth >= 50 else 1
    total, inputs = 27 * 64 + bias * 64 + 2 * norm * 64, 64  # the normalisation is in the pre-activation stem, too
    for stage, n in enumerate(map(int, blocks)):
        p = 64 * 2**stage
        outputs = e * p
        for i in inputs, *[outputs] * (n - 1):
            if e == 1:
                total += 9 * i * p + 9 * p * p + bias * 2 * p
                total += 2 * norm * (i + p if preact else 2 * p)
            else:
                total += i * p + 9 * p * p + 4 * p * p + bias * 6 * p
                total += 2 * norm * (i + 2 * p if preact else 6 * p)
            if i != outputs:  # so too where the stride is 2
                total += i * outputs + bias * outputs + (0 if preact else 2 * norm * outputs)
        inputs = outputs
    return total + inputs * classes + classes


def size_of(name, **terms):
    if name.startswith("vgg"):
        return vgg_size(name, **terms)
    preact = name.startswith("preact")
    return residual_size(int(name.split("resnet")[1]), preact=preact, **terms)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("vgg", "resnet", "preact_resnet"))])
def test_sizes_are_those_of_the_formula(name):
    assert count(shape_of(name, deconv(linear=SMALL), num_classes=100)) == size_of(name, bias=1, norm=0, classes=100)
    assert count(shape_of(name, batch_norm())) == size_of(name, bias=0, norm=1)


@pytest.mark.parametrize("name", SHALLOW)
def test_networks_without_normalisation_have_the_size_of_deconvolution_networks(name):
    assert count(shape_of(name, plain())) == count(shape_of(name, deconv())) == size_of(name, bias=1, norm=0)
    assert count(shape_of(name, batch_norm(conv_bias=True))) == size_of(name, bias=1, norm=1)


@pytest.mark.parametrize(
    ("name", "layers", "millions"),
    [("vgg11", 8, 9.226), ("vgg16", 13, 14.720), ("resnet18", 20, 11.169), ("preact_resnet18", 20, 11.169)],
)
def test_deconvolution_networks_have_the_published_layers_and_sizes(name, layers, millions):
    network = shape_of(name, deconv())
    assert count(network, FastDeconv2d) == layers
    assert count(network, nn.modules.batchnorm._BatchNorm) == 0
    assert round(count(network) / 1e6, 3) == millions


@pytest.mark.parametrize(
    ("name", "bias", "size"),
    [("vgg16", True, 14_728_266), ("resnet18", False, 11_173_962), ("preact_resnet18", False, 11_171_274)],
)
def test_normalised_networks_have_the_published_sizes(name, bias, size):
    assert count(shape_of(name, batch_norm(conv_bias=bias))) == size


@pytest.mark.parametrize("name", ["vgg11", "vgg19", "resnet34", "resnet50", "preact_resnet34", "preact_resnet50"])
def test_each_halving_and_class_is_in_the_output_shape(name):
    network = shape_of(name, batch_norm(), num_classes=7)
    last = []
    network.get_submodule("features" if name.startswith("vgg") else "layer4").register_forward_hook(
        lambda module, inputs, output: last.append(output.shape)
    )
    assert network(torch.empty(1, 3, 32, 32, device="meta")).shape == (1, 7)
    channels = 2048 if name.endswith("50") else 512
    assert last == [(1, channels, *((1, 1) if name.startswith("vgg") else (4, 4)))]


@pytest.mark.parametrize("factories", FACTORIES)
@pytest.mark.parametrize("name", SHALLOW)
def test_all_parameters_receive_gradients(name, factories, monkeypatch):
    narrow(monkeypatch)
    torch.manual_seed(0)
    network = build(name, FACTORIES[factories])
    logits = network(torch.randn(4, 3, 32, 32))
    assert logits.shape == (4, 10)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
    for parameter, value in network.named_parameters():
        if name == "preact_resnet18" and parameter in ("bn1.weight", "bn1.bias"):
            assert not value.requires_grad  # part of the published network, but not used in it
            continue
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter
        assert value.grad.any(), parameter


@pytest.mark.parametrize("name", SHALLOW)
def test_one_channel_and_a_hundred_classes(name, monkeypatch):
    narrow(monkeypatch)
    torch.manual_seed(0)
    network = build(name, FACTORIES["deconv"], num_classes=100, in_channels=1)
    assert network(torch.randn(2, 1, 32, 32)).shape == (2, 100)
    network.eval()
    assert network(torch.randn(1, 1, 32, 32)).isfinite().all()


@pytest.mark.parametrize("name", SHALLOW)
def test_the_layer_that_sees_the_images_has_the_role_first(name):
    made = []

    class Tagged(Factories):
        def conv(self, *shape, role="conv", **kwargs):
            made.append((role, shape[0]))
            return super().conv(*shape, role=role, **kwargs)

    with torch.device("meta"):
        build(name, Tagged(plain().layers), in_channels=5)
    assert made[0] == ("first", 5)
    assert {role for role, _ in made[1:]} == ({"conv"} if name == "vgg11" else {"conv", "shortcut"})


def test_a_role_that_the_network_does_not_have_is_refused():
    with pytest.raises(OptionError, match="vgg11 has no layers in the role 'depthwise'; its roles are conv, first, li"):
        shape_of("vgg11", deconv(depthwise=SMALL))


def configs_of(network):
    return [m.whitening.config for m in network.modules() if isinstance(m, FastDeconv2d)]


def test_the_first_layer_iterates_longer_and_freezes():
    config = DeconvConfig.reference(block_size=32)
    for name in SHALLOW:
        first, *others = configs_of(shape_of(name, deconv(config)))
        assert first == replace(config, n_iter=15, freeze_after=200)
        assert set(others) == {config}
    first, *others = configs_of(shape_of("vgg11", deconv()))
    assert (first.n_iter, others[0]) == (15, DeconvConfig())
    first, *others = configs_of(shape_of("vgg11", deconv(first=config)))
    assert first == config
    assert set(others) == {DeconvConfig()}


def test_the_linear_layer_deconvolves_on_demand():
    for name in SHALLOW:
        assert count(shape_of(name, deconv()), DeconvLinear) == 0
        network = shape_of(name, deconv(linear=SMALL))
        assert count(network, DeconvLinear) == 1
        assert getattr(network, "classifier" if name == "vgg11" else "linear").whitening.config == SMALL


def indices(network):
    return [int(key.split(".")[1]) for key in network.state_dict() if key.startswith("f") and key.endswith("t")]


def test_names_are_those_of_the_published_networks():
    with torch.device("meta"):
        # conv, relu, pool; and conv, norm, relu, pool (weights of both)
        assert indices(build("vgg11", plain())) == [0, 3, 6, 8, 11, 13, 16, 18]
        assert indices(build("vgg11", batch_norm())) == [0, 1, 4, 5, 8, 9, 11, 12, 15, 16, 18, 19, 22, 23, 25, 26]
        assert {"classifier.weight", "classifier.bias"} < build("vgg11", plain()).state_dict().keys()
        keys = build("resnet18", batch_norm()).state_dict().keys()
        assert {"conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer4.1.bn2.running_var"} < keys
        assert {"layer2.0.shortcut.0.weight", "layer2.0.shortcut.1.weight", "linear.bias"} < keys
        assert "layer1.0.shortcut.0.weight" not in keys
        assert "layer1.0.shortcut.0.weight" in build("resnet50", batch_norm()).state_dict()
        keys = build("resnet18", plain()).state_dict().keys()
        assert {key.split(".")[-2] for key in keys} == {"conv1", "conv2", "0", "linear"}
        keys = build("preact_resnet18", batch_norm()).state_dict().keys()
        assert "layer2.0.shortcut.0.weight" in keys
        assert "bn1.weight" in keys  # and not used
        assert "layer2.0.shortcut.1.weight" not in keys
        assert "layer2.0.shortcut.weight" in build("preact_resnet18", plain()).state_dict()
        assert "layer2.0.shortcut.0.weight" in build("preact_resnet50", plain()).state_dict()


def test_a_residual_block_adds_its_input():
    """With weights of zero, what is left is the shortcut: the input, rectified after the sum or not at all."""
    x = torch.randn(2, 64, 8, 8)
    for network, expected in (build("resnet18", plain()), x.relu()), (build("preact_resnet18", plain()), x):
        block = network.layer1[0]
        for parameter in block.parameters():
            nn.init.zeros_(parameter)
        assert torch.equal(block(x), expected)


@pytest.mark.parametrize(("depth", "inputs"), [(18, 64), (50, 256)])
def test_the_shortcut_of_a_preact_block_sees_what_its_first_convolution_sees(depth, inputs):
    with torch.device("meta"):
        block = build(f"preact_resnet{depth}", batch_norm()).layer2[0].to_empty(device="cpu")
    for parameter in block.parameters():
        nn.init.ones_(parameter)
    seen = []
    for layer in block.conv1, block.shortcut:
        layer.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    with torch.no_grad():
        block(torch.randn(2, inputs, 8, 8))
    assert torch.equal(*seen)
    assert seen[0].min() == 0


@pytest.mark.parametrize("name", ["vgg12", "resnet", "18", "VGG11", "preact_resnet20"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(
        OptionError, match=rf"^name: must be one of vgg11, .*resnet18.* preact_resnet152, .*senet18.*, got '{name}'$"
    ):
        build(name, plain())


def test_names_are_listed_without_torch():
    code = "import sys, ndtools.models; assert ndtools.models.NAMES; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
